/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the uses that a kms-tokend counted become use records and use.batch entries. What does
 * not follow on what is recorded, or is not what its running hash says, raises an alarm and is
 * recorded as given: the record of a use is never refused. Runs in kmsd's sequencer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "format.h"
#include "record.h"
#include "ledger_int.h"

static void free_records(struct kms_buf *records, size_t count)
{
	for (size_t i = 0; records != NULL && i < count; i++) {
		kms_buf_free(&records[i]);
	}
	free(records);
}

/* Records and their leaf hashes. */
static kms_err write_records(const struct model_use *uses, size_t count, struct kms_buf *records,
	struct kms_hash *leaves)
{
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(record_use_write(&uses[i], &records[i]));
		KMS_TRY(tlog_leaf_hash(kms_buf_bytes(&records[i]), &leaves[i]));
	}
	return KMS_OK;
}

kms_err ledger_batch_write(struct book *book, struct store_tx *tx, struct model_change *batch,
	const struct model_use *uses, size_t count, int64_t unix_ms)
{
	uint64_t seq = 0;
	if (count == 0 || count > LIMIT_COMMIT_USES) {
		return KMS_ERR(TOO_LARGE);
	}
	struct kms_buf *records = calloc(count, sizeof(*records));
	struct kms_hash *leaves = calloc(count, sizeof(*leaves));
	kms_err err = KMS_ERR(NO_MEMORY);
	if (records != NULL && leaves != NULL) {
		err = write_records(uses, count, records, leaves);
	}
	if (kms_is_ok(err)) {
		err = tlog_root_of(leaves, count, &batch->u.use_batch.root);
	}
	if (kms_is_ok(err)) {
		batch->u.use_batch.count = (uint32_t)count;
		err = ledger_book_append(book, tx, batch, unix_ms, &seq);
	}
	if (kms_is_ok(err)) {
		err = store_uses_put(tx, seq, records, count);
	}
	if (kms_is_ok(err)) {
		err = store_uses_count(tx, uses, count);
	}
	free_records(records, count);
	free(leaves);
	return err;
}

static kms_err alarm_raise(struct book *book, struct store_tx *tx, const struct track *track,
	const char *what, const struct model_counted *uses, int64_t unix_ms)
{
	KMS_AUTO(change_box) box = NULL;
	uint64_t seq = 0;
	char id[KMS_ID_TEXT];
	KMS_TRY(ledger_change_new(MODEL_CHANGE_ALARM, &box));
	box->change.tenant = track->tenant;
	box->change.u.alarm.token = track->id;
	(void)snprintf(box->change.u.alarm.text, sizeof(box->change.u.alarm.text),
		"uses %llu to %llu of boot %llu: %s (recorded: boot %llu, use %llu)",
		(unsigned long long)uses->first,
		(unsigned long long)(uses->first + uses->count - 1), (unsigned long long)uses->boot,
		what, (unsigned long long)track->next.boot, (unsigned long long)track->next.n);
	kms_log(KMS_LOG_ERROR, "ledger: token %s: %s", kms_id_text(&track->id, id),
		box->change.u.alarm.text);
	return ledger_book_append(book, tx, &box->change, unix_ms, &seq);
}

static bool follows(const struct place *place, const struct model_counted *uses)
{
	return uses->boot == place->boot ? uses->first == place->n + 1
					 : uses->boot > place->boot && uses->first == 1;
}

static void fill_use(const struct model_counted_use *row, struct model_use *ret_use)
{
	*ret_use = (struct model_use){.n = row->n,
		.op = row->op,
		.spki = row->spki,
		.key = row->key,
		.kek = row->kek,
		.version = row->version,
		.wrapped_key = row->wrapped_key,
		.context = row->context,
		.denied = KMS_CODE_OK};
}

/* Our own recomputation of the running hash. */
static kms_err hash_is_right(
	const struct place *place, const struct model_counted *uses, bool *ret_right)
{
	struct kms_hash running = {{0}}; /* a boot starts from zeros */
	if (uses->boot == place->boot) {
		running = place->running;
	}
	for (uint32_t i = 0; i < uses->count; i++) {
		struct model_use use;
		fill_use(&uses->rows[i], &use);
		if (use.n != uses->first + i) {
			*ret_right = false;
			return KMS_OK;
		}
		KMS_TRY(format_use_step(&running, &use, &running));
	}
	*ret_right = kms_hash_equal(&running, &uses->running);
	return KMS_OK;
}

static kms_err check(struct book *book, struct store_tx *tx, struct track *track,
	const struct model_counted *uses, int64_t unix_ms)
{
	bool right = true;
	if (!follows(&track->next, uses)) {
		KMS_TRY(alarm_raise(
			book, tx, track, "do not follow on what is recorded", uses, unix_ms));
	} else {
		KMS_TRY(hash_is_right(&track->next, uses, &right));
		if (!right) {
			KMS_TRY(alarm_raise(
				book, tx, track, "are not what their hash says", uses, unix_ms));
		}
	}
	track->next.boot = uses->boot;
	track->next.n = uses->first + uses->count - 1;
	track->next.running = uses->running;
	return KMS_OK;
}

/* The principal of an offered-again use is who has its certificate's key now. */
static kms_err name_principal(struct book *book, const struct token_uses *batch,
	const struct model_use *before, struct model_use *use)
{
	struct model_principal principal;
	use->principal = batch->user.principal;
	if (!kms_id_is_zero(&use->principal)) {
		return KMS_OK;
	}
	if (before != NULL && kms_hash_equal(&before->spki, &use->spki)) {
		use->principal = before->principal;
		return KMS_OK;
	}
	kms_err err = store_principal_by_spki(book->store, &use->spki, &principal);
	if (kms_is_ok(err)) {
		use->principal = principal.id;
	}
	return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_OK : err;
}

/* Counted from the record, which the answer waits for: the client counts from its request, earlier.
 */
static void lease(const struct book *book, const struct token_uses *batch, struct model_use *use)
{
	if (model_op_hands_out(use->op)) {
		use->lease_end_unix_ms = use->unix_ms + (int64_t)book->lease_s * 1000;
		use->holder = batch->user.holder;
	}
}

/* One use.batch of the batches from first up to end, which count uses together. */
static kms_err write_run(struct book *book, struct store_tx *tx, const struct track *track,
	const struct token_uses *first, const struct token_uses *end, size_t count, int64_t unix_ms)
{
	KMS_AUTO(change_box) box = NULL;
	KMS_AUTO_FREE struct model_use *uses = calloc(count, sizeof(*uses));
	if (uses == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(ledger_change_new(MODEL_CHANGE_USE_BATCH, &box));
	box->change.tenant = track->tenant;
	box->change.u.use_batch.token = track->id;
	box->change.u.use_batch.boot = first->uses.boot;
	box->change.u.use_batch.first = first->uses.first;
	size_t n = 0;
	for (const struct token_uses *batch = first; batch != end; batch = batch->next) {
		for (uint32_t i = 0; i < batch->uses.count; i++, n++) {
			fill_use(&batch->uses.rows[i], &uses[n]);
			uses[n].unix_ms = unix_ms;
			lease(book, batch, &uses[n]);
			KMS_TRY(name_principal(book, batch, i > 0 ? &uses[n - 1] : NULL, &uses[n]));
		}
		box->change.u.use_batch.running = batch->uses.running;
	}
	return ledger_batch_write(book, tx, &box->change, uses, count, unix_ms);
}

/* Runs of batches that follow on each other become one entry each. */
kms_err ledger_uses_write(
	struct book *book, struct store_tx *tx, struct track *track, int64_t unix_ms)
{
	struct token_uses *first = track->taken;
	track->next = track->place;
	while (first != NULL) {
		if (first->uses.count == 0) {
			first = first->next;
			continue;
		}
		KMS_TRY(check(book, tx, track, &first->uses, unix_ms));
		size_t count = first->uses.count;
		struct token_uses *end = first->next;
		while (end != NULL && end->uses.count > 0 && end->uses.boot == first->uses.boot &&
			follows(&track->next, &end->uses) &&
			count + end->uses.count <= LIMIT_COMMIT_USES) {
			KMS_TRY(check(book, tx, track, &end->uses, unix_ms));
			count += end->uses.count;
			end = end->next;
		}
		KMS_TRY(write_run(book, tx, track, first, end, count, unix_ms));
		first = end;
	}
	return KMS_OK;
}
