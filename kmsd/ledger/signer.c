/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the newest durable head is signed by the system token, once a second when it grew, and
 * published when the signature is stored. A thread of its own: no commit waits for a token or for
 * those files, and no other token delays the signature. Runs in kmsd, which cannot sign by itself.
 */
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "ledger_int.h"

enum { TILES_PAUSE_S = 60 };

/* Open a note of the system token: signed by each pinned key and nobody else, of this log. */
static kms_err open_note(
	const struct book *book, struct kms_bytes note, struct tlog_checkpoint *ret_checkpoint)
{
	struct kms_bytes text;
	KMS_TRY(tlog_note_open_exact(note, TLOG_NOTE_MAX, book->log.keys, book->log.count, &text));
	KMS_TRY(tlog_checkpoint_parse(text, ret_checkpoint));
	return strcmp(ret_checkpoint->origin, book->origin) == 0 ? KMS_OK : KMS_ERR(PINS);
}

/* Is a head of ours? ROLLBACK when our tree is shorter, or another one at that size. */
static kms_err check_head(struct ledger *ledger, const struct tlog_checkpoint *head)
{
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	uint64_t size = ledger->size;
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	if (head->size > size) {
		kms_log(KMS_LOG_ERROR,
			"ledger: the store has %llu entries, the system token signed %llu: "
			"the store was rolled back",
			(unsigned long long)size, (unsigned long long)head->size);
		return KMS_ERR(ROLLBACK);
	}
	struct tlog_edge edge;
	struct kms_hash root;
	KMS_TRY(tlog_edge_read(ledger_node_read, ledger->store, head->size, &edge));
	KMS_TRY(tlog_edge_root(&edge, &root));
	if (!kms_hash_equal(&root, &head->root)) {
		kms_log(KMS_LOG_ERROR,
			"ledger: the first %llu entries are not those that the system token signed",
			(unsigned long long)head->size);
		return KMS_ERR(ROLLBACK);
	}
	return KMS_OK;
}

/* Show it to readers, and have the sequencer store it. */
static void publish(struct ledger *ledger, uint64_t size, struct kms_buf *note)
{
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	if (size > ledger->signed_size && !ledger->note_waits) {
		kms_buf_free(&ledger->note);
		ledger->note = *note;
		*note = (struct kms_buf){0};
		ledger->signed_size = size;
		ledger->note_waits = true;
		KMS_ASSERT(pthread_cond_signal(&ledger->work) == 0);
	}
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
}

kms_err ledger_last_check(struct ledger *ledger)
{
	KMS_AUTO_BUF note = {0};
	struct tlog_checkpoint head = {.size = 0};
	KMS_TRY(token_head_last(ledger->system, &note));
	if (note.len > 0) {
		KMS_TRY(open_note(ledger->book, kms_buf_bytes(&note), &head));
		KMS_TRY(check_head(ledger, &head));
	}
	if (head.size < ledger->signed_size) {
		/* It keeps a head before it lets the signature go, so it can have no older one. */
		kms_log(KMS_LOG_ERROR,
			"ledger: the system token signed %llu entries and now says %llu: "
			"its files were rolled back",
			(unsigned long long)ledger->signed_size, (unsigned long long)head.size);
		return KMS_ERR(ROLLBACK);
	}
	ledger->last_size = head.size;
	ledger->last_known = true;
	publish(ledger, head.size, &note);
	return KMS_OK;
}

static kms_err ask(struct ledger *ledger, const struct tlog_checkpoint *head)
{
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF note = {0};
	/* On the heap: both hold 64 hashes. */
	KMS_AUTO_FREE struct tlog_proof *proof = calloc(1, sizeof(*proof));
	KMS_AUTO_FREE struct model_head_sign *request = calloc(1, sizeof(*request));
	struct tlog_checkpoint signed_head;
	if (proof == NULL || request == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(tlog_checkpoint_text(head, &text));
	if (ledger->last_size > 0) {
		KMS_TRY(tlog_prove_consistency(
			ledger_node_read, ledger->store, ledger->last_size, head->size, proof));
	}
	request->checkpoint = kms_buf_bytes(&text);
	request->proof_count = proof->count;
	memcpy(request->proof, proof->hashes, proof->count * sizeof(proof->hashes[0]));
	KMS_TRY(token_head_sign(ledger->system, request, &note));
	KMS_TRY(open_note(ledger->book, kms_buf_bytes(&note), &signed_head));
	if (signed_head.size != head->size || !kms_hash_equal(&signed_head.root, &head->root)) {
		return KMS_ERR(INTEGRITY); /* a good signature, of something else */
	}
	ledger->last_size = head->size;
	publish(ledger, head->size, &note);
	return KMS_OK;
}

static kms_err sign_newest(struct ledger *ledger)
{
	struct tlog_checkpoint head = {.size = 0};
	memcpy(head.origin, ledger->book->origin, sizeof(head.origin));
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	head.size = ledger->size;
	head.root = ledger->root;
	bool stored = !ledger->note_waits;
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	/* One note at a time: the last is stored before the next. */
	if (!stored) {
		return KMS_OK;
	}
	if (!ledger->last_known) {
		KMS_TRY(ledger_last_check(ledger));
	}
	return head.size > ledger->last_size ? ask(ledger, &head) : KMS_OK;
}

/* Tiles and checkpoint of what is signed and stored. */
static kms_err publish_tiles(struct ledger *ledger)
{
	KMS_AUTO_BUF note = {0};
	kms_err err = KMS_OK;
	bool done;
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	uint64_t size = ledger->signed_size;
	bool due = !ledger->note_waits && size > ledger_tiles_size(ledger->tiles);
	if (due) {
		err = kms_buf_copy(kms_buf_bytes(&ledger->note), &note);
	}
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	if (!due || !kms_is_ok(err)) {
		return err;
	}
	return ledger_tiles_publish(ledger->tiles, size, kms_buf_bytes(&note), &done);
}

static void try_tiles(struct ledger *ledger)
{
	if (ledger->tiles == NULL) {
		return;
	}
	if (ledger->tiles_pause > 0) {
		ledger->tiles_pause--;
		return;
	}
	kms_err err = publish_tiles(ledger);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_WARNING, "ledger: tiles are not published: %s; again in %d s",
			kms_err_text(err), TILES_PAUSE_S);
		ledger->tiles_pause = TILES_PAUSE_S;
	}
}

void *ledger_sign(void *arg)
{
	struct ledger *ledger = arg;
	while (!ledger_tick(ledger)) {
		/* Before the next signature, so that no stored one is passed over. */
		try_tiles(ledger);
		kms_err err = sign_newest(ledger);
		if (!kms_is_ok(err)) {
			/* It may have signed, and the answer was lost. */
			ledger->last_known = false;
			if (err.code != ledger->last_problem) {
				kms_log(KMS_LOG_WARNING, "ledger: the head is not signed: %s",
					kms_err_text(err));
			}
		}
		ledger->last_problem = err.code;
	}
	return NULL;
}
