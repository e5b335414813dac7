/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the whole token, where the signed bytes say so and every KEK of it is destroyed:
 * state/wiping is durable before its files are overwritten, and says when all of them are; then
 * they are removed, and state/wiped holds the signed statement. From the first mark on the token is
 * never opened again, and every use says ERASED. The statement key is not in that token.
 */
#include "tokend_int.h"

#include <string.h>

static const char wiping_magic[8] = "KMSWIPE1";
enum { WIPING_BYTES = 8 + 16 + 32 + 8 + 1 };
struct wiping {
	struct kms_id erasure;
	struct kms_hash erase;
	int64_t begun_unix_ms;
	uint8_t overwritten; /* 1: every file, before the first was removed */
};

static kms_err write_wiping(const struct tokend *tokend, const struct wiping *wiping)
{
	uint8_t bytes[WIPING_BYTES];
	struct kms_writer writer = kms_writer_fixed(bytes, sizeof(bytes));
	kms_write_fixed(&writer, wiping_magic, sizeof(wiping_magic));
	kms_write_fixed(&writer, wiping->erasure.b, sizeof(wiping->erasure.b));
	kms_write_fixed(&writer, wiping->erase.b, sizeof(wiping->erase.b));
	kms_write_u64(&writer, (uint64_t)wiping->begun_unix_ms);
	kms_write_u8(&writer, wiping->overwritten);
	return state_write(&tokend->state, "wiping", KMS_BYTES_OF(bytes));
}

static kms_err read_wiping(const struct tokend *tokend, struct wiping *ret_wiping)
{
	KMS_AUTO_BUF bytes = {0};
	struct wiping wiping;
	uint64_t begun;
	KMS_TRY(state_read(&tokend->state, "wiping", WIPING_BYTES, &bytes));
	struct kms_reader reader = kms_reader_of(kms_buf_bytes(&bytes));
	KMS_TRY(kms_read_expect(&reader, wiping_magic, sizeof(wiping_magic)));
	KMS_TRY(kms_read_fixed(&reader, wiping.erasure.b, sizeof(wiping.erasure.b)));
	KMS_TRY(kms_read_fixed(&reader, wiping.erase.b, sizeof(wiping.erase.b)));
	KMS_TRY(kms_read_u64(&reader, &begun));
	KMS_TRY(kms_read_u8(&reader, &wiping.overwritten));
	KMS_TRY(kms_read_end(&reader));
	wiping.begun_unix_ms = (int64_t)begun;
	*ret_wiping = wiping;
	return KMS_OK;
}

kms_err erase_wipe_read(const struct tokend *tokend, bool *ret_wiped)
{
	struct wiping wiping;
	kms_err err = read_wiping(tokend, &wiping);
	*ret_wiped = kms_is_ok(err);
	if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NOT_FOUND)) {
		kms_log(KMS_LOG_ERROR, "%s/wiping is not what this program wrote: restore it",
			tokend->state.dir);
		return KMS_ERR(INTEGRITY);
	}
	return KMS_OK;
}

static bool is_by(
	const struct wiping *wiping, const struct kms_id *erasure, const struct kms_hash *hash)
{
	return kms_id_equal(&wiping->erasure, erasure) && kms_hash_equal(&wiping->erase, hash);
}

bool erase_wipe_begun(
	const struct tokend *tokend, const struct kms_id *erasure, const struct kms_hash *hash)
{
	struct wiping wiping;
	return tokend->wiped && kms_is_ok(read_wiping(tokend, &wiping)) &&
	       is_by(&wiping, erasure, hash);
}

/* The statement that is there, when it is about this erasure. */
static kms_err read_wiped(struct tokend *tokend, const struct kms_id *erasure,
	struct kms_buf *ret_statement, char *ret_reason)
{
	KMS_AUTO_BUF bytes = {0};
	struct format_statement statement;
	KMS_TRY(state_read(&tokend->state, "wiped", LIMIT_STATEMENT_BYTES, &bytes));
	KMS_TRY(format_statement_verify(
		kms_buf_bytes(&bytes), kms_buf_bytes(&tokend->statement_spki), &statement));
	if (statement.type != FORMAT_STATEMENT_WIPE ||
		!kms_id_equal(&statement.u.wipe.erasure, erasure)) {
		return erase_refuse(ret_reason, "the token was wiped by another erasure");
	}
	*ret_statement = bytes;
	bytes = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err check(
	struct tokend *tokend, const struct erasure *erasure, int64_t unix_ms, char *ret_reason)
{
	const struct format_erase *order = erasure->order;
	struct keks_tally tally;
	bool cancelled;
	if (!erase_wipes(order, &tokend->token)) {
		return erase_refuse(ret_reason, "nobody signed that this token is wiped");
	}
	KMS_TRY(erase_is_cancelled(tokend, &order->erasure, &cancelled));
	if (cancelled) {
		return erase_refuse(ret_reason, "it was cancelled");
	}
	keks_count(tokend->keks, NULL, &tally);
	if (tally.born > 0 || tally.committed != tally.destroyed) {
		return KMS_ERR(KEY_STATE);
	}
	bool begun = erase_wipe_begun(tokend, &order->erasure, &erasure->hash);
	return erase_in_time(order, unix_ms, begun || erasure->late, ret_reason);
}

/* Mark, overwrite, mark, remove: each durable before the next. */
static kms_err wipe(struct tokend *tokend, struct wiping *wiping)
{
	const struct p11_profile *profile = &tokend->profile->p11;
	if (!tokend->wiped) {
		KMS_TRY(write_wiping(tokend, wiping));
		tokend->wiped = true;
		tokend->down = false;
	}
	p11_free(&tokend->p11);
	if (wiping->overwritten == 0) {
		bool whole;
		KMS_TRY(p11_wipe_overwrite(profile, &whole));
		wiping->overwritten = whole ? 1 : 0;
		KMS_TRY(write_wiping(tokend, wiping));
	}
	return p11_wipe_remove(profile);
}

static kms_err state_wiped(
	struct tokend *tokend, const struct wiping *wiping, struct kms_buf *ret_statement)
{
	struct keks_tally tally;
	KMS_AUTO_BUF bytes = {0};
	keks_count(tokend->keks, NULL, &tally);
	const struct format_statement statement = {
		.type = FORMAT_STATEMENT_WIPE,
		.token = tokend->token,
		.tenant = tokend->owner->tenant,
		.unix_ms = kms_now_unix_ms(),
		.u.wipe =
			{
				.erasure = wiping->erasure,
				.erase = wiping->erase,
				.begun_unix_ms = wiping->begun_unix_ms,
				.destroyed = tally.destroyed,
				.initialised = true,
				.overwritten = wiping->overwritten == 1,
			},
	};
	KMS_TRY(tokend_sign_statement(tokend, &statement, &bytes));
	KMS_TRY(state_write(&tokend->state, "wiped", kms_buf_bytes(&bytes)));
	kms_log(KMS_LOG_WARNING, "the token is wiped");
	*ret_statement = bytes;
	bytes = (struct kms_buf){0};
	return KMS_OK;
}

kms_err erase_wipe(struct tokend *tokend, const struct kms_id *erasure,
	struct kms_buf *ret_statement, char *ret_reason)
{
	kms_err err = read_wiped(tokend, erasure, ret_statement, ret_reason);
	if (!kms_is(err, KMS_CODE_NOT_FOUND)) {
		return err;
	}
	const struct erasure *held = erasures_find(tokend->erasures, erasure);
	if (held == NULL) {
		return KMS_ERR(NOT_FOUND);
	}
	struct wiping wiping = {held->order->erasure, held->hash, kms_now_unix_ms(), 0};
	KMS_TRY(check(tokend, held, wiping.begun_unix_ms, ret_reason));
	if (tokend->wiped) {
		KMS_TRY(read_wiping(tokend, &wiping));
		if (!is_by(&wiping, &held->order->erasure, &held->hash)) {
			return erase_refuse(ret_reason, "another erasure wipes the token");
		}
	}
	KMS_TRY(wipe(tokend, &wiping));
	return state_wiped(tokend, &wiping, ret_statement);
}
