/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of the ledger, signed with the keys of the system token: P-256, and Ed25519 after it
 * where --init made one. What is signed is parsed, must be of the pinned log, and must extend the
 * last head, which is kept in a file of its own: kmsd can neither fork nor shorten the ledger. The
 * file is durable before the signatures leave, and never does one leave without the other.
 */
#include "tokend_int.h"

#include <stdlib.h>
#include <string.h>

struct head {
	struct tlog_log_keys log; /* as readers have them, in the order of their lines */
	struct p11_sign_key keys[TLOG_LOG_KEYS];
	struct kms_buf note; /* empty: nothing was signed yet */
	struct tlog_checkpoint last;
};

void head_free(struct head **head)
{
	if (head == NULL || *head == NULL) {
		return;
	}
	kms_buf_free(&(*head)->note);
	free(*head);
	*head = NULL;
}

static kms_err find_keys(struct tokend *tokend, struct head *head)
{
	const char *origin = tokend->owner->log_origin;
	struct p11_sign_key *p256 = &head->keys[0], *ed25519 = &head->keys[1];
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(p11_sign_key_find(tokend->p11, P11_SIGN_P256, HEAD_SIGN_LABEL, p256));
	KMS_TRY(p11_sign_key_spki(p256, &spki));
	KMS_TRY(tlog_vkey_make(origin, kms_buf_bytes(&spki), &head->log.keys[0]));
	head->log.count = 1;
	if (!tokend->has_ed25519) {
		return KMS_OK;
	}
	/* --init made it: without it there are no heads, rather than heads of one signature. */
	kms_err err =
		p11_sign_key_find(tokend->p11, P11_SIGN_ED25519, HEAD_SIGN_ED25519_LABEL, ed25519);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		kms_log(KMS_LOG_ERROR, "the ledger's Ed25519 key is not in the token any more");
	}
	KMS_TRY(err);
	KMS_TRY(tlog_vkey_make_ed25519(origin, ed25519->point, &head->log.keys[1]));
	head->log.count = 2;
	return KMS_OK;
}

static kms_err open_note(const struct head *head, struct kms_bytes note, struct kms_bytes *ret_text)
{
	return tlog_note_open_exact(note, TLOG_NOTE_MAX, head->log.keys, head->log.count, ret_text);
}

kms_err head_open(struct tokend *tokend, struct head **ret_head)
{
	KMS_AUTO(head) head = calloc(1, sizeof(*head));
	if (head == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(find_keys(tokend, head));
	kms_err err = state_read(&tokend->state, "head", TLOG_NOTE_MAX, &head->note);
	if (kms_is_ok(err)) {
		struct kms_bytes text;
		err = open_note(head, kms_buf_bytes(&head->note), &text);
		if (kms_is_ok(err)) {
			err = tlog_checkpoint_parse(text, &head->last);
		}
		if (!kms_is_ok(err)) {
			kms_log(KMS_LOG_ERROR, "%s/head is not a head that this token signed",
				tokend->state.dir);
			return KMS_ERR(INTEGRITY);
		}
	} else if (!kms_is(err, KMS_CODE_NOT_FOUND)) {
		return err;
	}
	*ret_head = kms_take(&head);
	return KMS_OK;
}

/* Does the new head extend the last one that was signed? */
static kms_err check_extends(const struct head *head, const struct tlog_checkpoint *checkpoint,
	const struct model_head_sign *request)
{
	if (head->note.len == 0) {
		return KMS_OK;
	}
	if (checkpoint->size < head->last.size) {
		return KMS_ERR(ROLLBACK);
	}
	if (checkpoint->size == head->last.size) {
		return kms_hash_equal(&checkpoint->root, &head->last.root) ? KMS_OK
									   : KMS_ERR(INTEGRITY);
	}
	struct tlog_proof proof = {.count = request->proof_count};
	memcpy(proof.hashes, request->proof, request->proof_count * sizeof(proof.hashes[0]));
	return tlog_check_consistency(
		head->last.size, &head->last.root, checkpoint->size, &checkpoint->root, &proof);
}

static kms_err write_line(
	struct tokend *tokend, size_t key, struct kms_bytes text, struct kms_writer *note)
{
	struct head *head = tokend->head;
	uint8_t raw[P11_SIG];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	struct kms_bytes sig = KMS_BYTES_OF(raw);
	KMS_TRY(p11_sign(tokend->p11, &head->keys[key], text, raw));
	if (head->log.keys[key].type == TLOG_VKEY_ECDSA) {
		KMS_TRY(crypto_sig_raw_to_der(raw, &der));
		sig = kms_buf_bytes(&der);
	}
	KMS_TRY(tlog_note_line(&head->log.keys[key], sig, &line));
	kms_write_bytes(note, kms_buf_bytes(&line));
	return KMS_OK;
}

/* All signatures, or none. */
static kms_err sign_note(struct tokend *tokend, struct kms_bytes text, struct kms_buf *ret_note)
{
	KMS_AUTO_WRITER note = kms_writer_grow(TLOG_NOTE_MAX);
	struct kms_bytes bytes, signed_text;
	kms_write_bytes(&note, text);
	kms_write_text(&note, "\n");
	for (size_t i = 0; i < tokend->head->log.count; i++) {
		KMS_TRY(write_line(tokend, i, text, &note));
	}
	KMS_TRY(kms_writer_bytes(&note, &bytes));
	/* A note with a bad signature must not become the head: the next start would refuse it. */
	if (!kms_is_ok(open_note(tokend->head, bytes, &signed_text)) ||
		!kms_bytes_equal(text, signed_text)) {
		kms_log(KMS_LOG_ERROR, "the token signed a head, and the signature is not good");
		return KMS_ERR(INTERNAL);
	}
	return kms_writer_take(&note, ret_note);
}

kms_err head_sign(
	struct tokend *tokend, const struct model_head_sign *request, struct kms_bytes *ret_note)
{
	struct head *head = tokend->head;
	struct tlog_checkpoint checkpoint;
	KMS_TRY(tlog_checkpoint_parse(request->checkpoint, &checkpoint));
	if (strcmp(checkpoint.origin, tokend->owner->log_origin) != 0 || checkpoint.size == 0) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	KMS_TRY(check_extends(head, &checkpoint, request));
	if (head->note.len == 0 || checkpoint.size > head->last.size) {
		KMS_AUTO_BUF note = {0};
		KMS_TRY(sign_note(tokend, request->checkpoint, &note));
		KMS_TRY(state_write(&tokend->state, "head", kms_buf_bytes(&note)));
		kms_buf_free(&head->note);
		head->note = note;
		note = (struct kms_buf){0};
		head->last = checkpoint;
	}
	*ret_note = kms_buf_bytes(&head->note);
	return KMS_OK;
}

kms_err head_last(const struct head *head, struct kms_bytes *ret_note)
{
	*ret_note = kms_buf_bytes(&head->note);
	return KMS_OK;
}
