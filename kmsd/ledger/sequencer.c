/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the sequencer thread, the only writer of the store. Whatever waits goes into one
 * transaction; only when it is durable do the callers go on. On a failed disk nothing is kept,
 * everybody is told, and the uses stay queued for the next try. Runs in kmsd. Never waits for a
 * token.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "ledger_int.h"

/* What one transaction is to hold. */
struct round {
	struct wait *changes, *denials, *uses;
	bool note;
	bool any_taken;    /* uses of some token */
	bool any_recorded; /* and durable */
	bool flush;        /* every counted denial, at the end */
	kms_err deny_err;
};

static struct wait *take_queue(struct queue *queue)
{
	struct wait *first = queue->first;
	queue->first = NULL;
	queue->last = &queue->first;
	return first;
}

/* A savepoint around one part: kept, or nothing of it. Returns hard errors; ret_err has the rest.
 */
static kms_err part_end(
	struct book *book, struct store_tx *tx, const struct tlog_edge *before, kms_err *ret_err)
{
	if (kms_is_ok(*ret_err)) {
		return store_savepoint_keep(tx);
	}
	if (ledger_err_is_hard(*ret_err)) {
		return *ret_err;
	}
	book->edge = *before;
	return store_savepoint_drop(tx);
}

static kms_err write_change(
	struct ledger *ledger, struct store_tx *tx, struct change_wait *wait, int64_t now)
{
	struct tlog_edge before = ledger->book->edge;
	KMS_TRY(store_savepoint(tx));
	wait->wait.err = ledger_book_append(ledger->book, tx, wait->change, now, &wait->seq);
	return part_end(ledger->book, tx, &before, &wait->wait.err);
}

static kms_err write_uses(
	struct ledger *ledger, struct store_tx *tx, struct track *track, int64_t now)
{
	struct tlog_edge before = ledger->book->edge;
	KMS_TRY(store_savepoint(tx));
	track->err = ledger_uses_write(ledger->book, tx, track, now);
	if (!kms_is_ok(track->err)) {
		char id[KMS_ID_TEXT];
		kms_log(KMS_LOG_ERROR, "ledger: uses of token %s cannot be recorded: %s",
			kms_id_text(&track->id, id), kms_err_text(track->err));
	}
	return part_end(ledger->book, tx, &before, &track->err);
}

static kms_err write_denials(
	struct ledger *ledger, struct store_tx *tx, struct round *round, int64_t now)
{
	struct tlog_edge before = ledger->book->edge;
	KMS_TRY(store_savepoint(tx));
	round->deny_err = ledger_deny_write(ledger->book, tx, &ledger->deny, now);
	return part_end(ledger->book, tx, &before, &round->deny_err);
}

static kms_err write_parts(
	struct ledger *ledger, struct store_tx *tx, struct round *round, int64_t now)
{
	for (struct wait *wait = round->changes; wait != NULL; wait = wait->next) {
		KMS_TRY(write_change(ledger, tx, (struct change_wait *)wait, now));
	}
	for (size_t i = 0; i < ledger->track_count; i++) {
		if (ledger->tracks[i].taken != NULL) {
			KMS_TRY(write_uses(ledger, tx, &ledger->tracks[i], now));
		}
	}
	if (ledger->deny.row_count > 0) {
		KMS_TRY(write_denials(ledger, tx, round, now));
	}
	if (round->note) {
		/* note and signed_size change only while note_waits is false. */
		KMS_TRY(store_checkpoint_put(
			tx, ledger->signed_size, kms_buf_bytes(&ledger->note)));
	}
	return ledger_book_seal(ledger->book, tx);
}

static kms_err write_round(struct ledger *ledger, struct round *round, int64_t now)
{
	struct store_tx *tx = NULL;
	KMS_TRY(store_begin(ledger->store, &tx));
	kms_err err = write_parts(ledger, tx, round, now);
	if (kms_is_ok(err)) {
		err = store_commit(&tx);
	}
	store_tx_free(&tx);
	if (!kms_is_ok(err)) {
		ledger_book_restore(ledger->book);
		return err;
	}
	return ledger_book_keep(ledger->book);
}

/* ---- before and after ---- */

static void take_uses(struct ledger *ledger, struct round *round)
{
	size_t count = ledger->track_count > 0 ? ledger->track_count : 1;
	for (size_t i = 0; i < ledger->track_count; i++) {
		struct track *track = &ledger->tracks[i];
		/* An equal part of the commit for each, so that none keeps the others waiting. */
		track->taken = token_uses_take(track->token, (uint32_t)(LIMIT_COMMIT_USES / count));
		track->err = KMS_OK;
		round->any_taken |= track->taken != NULL;
	}
}

static kms_err take_denials(struct ledger *ledger, struct round *round, int64_t now)
{
	KMS_TRY(ledger_deny_flush(&ledger->deny, now, round->flush));
	for (struct wait *wait = round->denials; wait != NULL; wait = wait->next) {
		const struct deny_wait *deny = (const struct deny_wait *)wait;
		for (size_t i = 0; i < deny->count; i++) {
			KMS_TRY(ledger_deny_take(
				&ledger->deny, &deny->tenant, &deny->denials[i], now));
		}
	}
	return KMS_OK;
}

/* Under the lock: the waiter's memory may be gone as soon as it is released. */
static void finish(struct wait *wait, kms_err err)
{
	wait->err = err;
	wait->done = true;
	KMS_ASSERT(pthread_cond_signal(&wait->cond) == 0);
}

static void finish_all(struct wait *wait, kms_err err)
{
	while (wait != NULL) {
		struct wait *next = wait->next;
		finish(wait, err);
		wait = next;
	}
}

static struct track *track_of(struct ledger *ledger, const struct kms_id *token)
{
	for (size_t i = 0; i < ledger->track_count; i++) {
		if (kms_id_equal(&ledger->tracks[i].id, token)) {
			return &ledger->tracks[i];
		}
	}
	return NULL;
}

/* Among what this round took? */
static bool among(const struct token_uses *taken, uint64_t boot, uint64_t n)
{
	for (const struct token_uses *uses = taken; uses != NULL; uses = uses->next) {
		if (uses->uses.boot == boot && n >= uses->uses.first &&
			n < uses->uses.first + uses->uses.count) {
			return true;
		}
	}
	return false;
}

/* OK when durable, LEDGER when this round could not make it so; INTERNAL: wait for the next. */
static kms_err uses_result(
	const struct track *track, const struct uses_wait *wait, kms_err round_err)
{
	if (track == NULL) {
		return KMS_ERR(LEDGER);
	}
	if (track->place.boot == wait->boot && wait->n <= track->place.n) {
		return KMS_OK;
	}
	if (!kms_is_ok(round_err) || !kms_is_ok(track->err) || track->taken == NULL) {
		return KMS_ERR(LEDGER); /* nothing taken: nothing is left that could bring it */
	}
	return among(track->taken, wait->boot, wait->n) ? KMS_OK : KMS_ERR(INTERNAL);
}

static void finish_uses(struct ledger *ledger, struct round *round, kms_err err)
{
	struct wait *wait = round->uses;
	while (wait != NULL) {
		struct wait *next = wait->next;
		const struct uses_wait *uses = (const struct uses_wait *)wait;
		kms_err result = uses_result(track_of(ledger, &uses->token), uses, err);
		if (!kms_is(result, KMS_CODE_INTERNAL)) {
			finish(wait, result);
		} else {
			wait->next = NULL;
			*ledger->uses.last = wait;
			ledger->uses.last = &wait->next;
		}
		wait = next;
	}
}

/* Tokens hear of what is durable, and get back what is not. Outside of the lock. */
static void settle_tokens(struct ledger *ledger, kms_err err)
{
	for (size_t i = 0; i < ledger->track_count; i++) {
		struct track *track = &ledger->tracks[i];
		if (track->taken == NULL) {
			continue;
		}
		if (kms_is_ok(err) && kms_is_ok(track->err)) {
			token_uses_ack(track->token, track->place.boot, track->place.n);
			token_uses_free(&track->taken);
		} else {
			token_uses_return(track->token, track->taken);
			track->taken = NULL;
		}
	}
}

static void settle(struct ledger *ledger, struct round *round, kms_err err)
{
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	if (kms_is_ok(err)) {
		ledger->size = ledger->book->kept.size;
		ledger->root = ledger->book->root;
		ledger->note_waits &= !round->note;
		for (size_t i = 0; i < ledger->track_count; i++) {
			struct track *track = &ledger->tracks[i];
			if (track->taken != NULL && kms_is_ok(track->err)) {
				track->place = track->next;
				round->any_recorded = true;
			}
		}
	}
	finish_uses(ledger, round, err);
	for (struct wait *wait = round->changes; wait != NULL;) {
		struct wait *next = wait->next;
		finish(wait, kms_is_ok(err) ? wait->err : KMS_ERR(LEDGER));
		wait = next;
	}
	finish_all(round->denials,
		kms_is_ok(err) && kms_is_ok(round->deny_err) ? KMS_OK : KMS_ERR(LEDGER));
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	settle_tokens(ledger, err);
	ledger_deny_done(&ledger->deny, kms_is_ok(err));
}

static kms_err run(struct ledger *ledger, struct round *round)
{
	int64_t now = kms_now_unix_ms();
	take_uses(ledger, round);
	kms_err err = take_denials(ledger, round, now);
	if (kms_is_ok(err) && (round->changes != NULL || round->any_taken || round->note ||
				      ledger->deny.row_count > 0)) {
		err = write_round(ledger, round, now);
	}
	settle(ledger, round, err);
	return err;
}

/* Under the lock. */
static bool has_work(const struct ledger *ledger)
{
	return ledger->changes.first != NULL || ledger->denials.first != NULL ||
	       ledger->uses.first != NULL || ledger->note_waits;
}

void *ledger_sequence(void *arg)
{
	struct ledger *ledger = arg;
	bool again = false;  /* a token may have more */
	bool failed = false; /* then only new work, or the next second, is a reason to try */
	bool last = false;
	while (!last) {
		struct round round = {.deny_err = KMS_OK};
		struct timespec until;
		ledger_deadline(&until, 1000);
		KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
		int rc = 0;
		while (!again && !ledger->draining && rc != ETIMEDOUT &&
			(failed ? ledger->changes.first == NULL && ledger->denials.first == NULL &&
						ledger->uses.first == NULL
				: !has_work(ledger))) {
			rc = pthread_cond_timedwait(&ledger->work, &ledger->lock, &until);
		}
		last = ledger->draining && !again && !has_work(ledger);
		round.changes = take_queue(&ledger->changes);
		round.denials = take_queue(&ledger->denials);
		round.uses = take_queue(&ledger->uses);
		round.note = ledger->note_waits;
		last |= ledger->draining && failed;
		round.flush = last;
		KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
		failed = !kms_is_ok(run(ledger, &round));
		again = round.any_recorded;
	}
	return NULL;
}
