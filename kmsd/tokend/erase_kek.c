/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One KEK's destruction: marked durably, destroyed and looked for in the token (p11_erase.c),
 * stated, the statements durable, then answered. Killed anywhere in between, the next call goes on;
 * called again after the end, it gives the same statements.
 */
#include "tokend_int.h"

static bool dies_by(const struct kek *kek, const struct erasure *erasure)
{
	return kms_id_equal(&kek->mark.erasure, &erasure->order->erasure) &&
	       kms_hash_equal(&kek->mark.erase, &erasure->hash);
}

/* Is this KEK named by the erasure, and ours to destroy at that time? One whose mark is there is
 * only finished; that another one was begun in time helps none. */
static kms_err check(struct tokend *tokend, const struct erasure *erasure, const struct kms_id *id,
	const struct kek *kek, int64_t unix_ms, char *ret_reason)
{
	const struct format_erase *order = erasure->order;
	bool named = false, cancelled;
	for (uint32_t i = 0; i < order->kek_count && !named; i++) {
		named = kms_id_equal(&order->keks[i].token, &tokend->token) &&
			kms_id_equal(&order->keks[i].kek, id);
	}
	if (!named) {
		return erase_refuse(ret_reason, "the erasure does not name this KEK");
	}
	KMS_TRY(erase_is_cancelled(tokend, &order->erasure, &cancelled));
	if (cancelled) {
		return erase_refuse(ret_reason, "it was cancelled");
	}
	bool begun = kek != NULL && kek->life == KEK_ERASING && dies_by(kek, erasure);
	return erase_in_time(order, unix_ms, begun || erasure->late, ret_reason);
}

/* The time is the one that was found to be inside the window: it goes into the statement. */
static kms_err begin(
	struct tokend *tokend, const struct erasure *erasure, struct kek *kek, int64_t unix_ms)
{
	const struct kek_mark mark = {
		.erasure = erasure->order->erasure,
		.erase = erasure->hash,
		.begun_unix_ms = unix_ms,
	};
	/* What is not there now was not destroyed here: nothing could be stated about it. */
	kms_err err = p11_kek_is_there(tokend->p11, &kek->birth.kek, &kek->birth.commitment);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		char text[KMS_ID_TEXT];
		kms_log(KMS_LOG_ERROR, "KEK %s is to be erased, but it is not in the token",
			kms_id_text(&kek->birth.kek, text));
		return KMS_ERR(INTEGRITY);
	}
	KMS_TRY(err);
	return keks_mark_erasing(tokend, kek, &mark);
}

static struct format_erased what_of(const struct kek *kek)
{
	return (struct format_erased){
		.erasure = kek->mark.erasure,
		.erase = kek->mark.erase,
		.key = kek->birth.key,
		.version = kek->birth.version,
		.kek = kek->birth.kek,
		.commitment = kek->birth.commitment,
	};
}

static kms_err state_end(struct tokend *tokend, struct kek *kek, const struct p11_erased *erased)
{
	KMS_AUTO_BUF destroy = {0};
	KMS_AUTO_BUF absence = {0};
	struct keks_tally tally;
	keks_count(tokend->keks, &kek->birth.key, &tally);
	struct format_statement statement = {
		.type = FORMAT_STATEMENT_DESTROY,
		.token = tokend->token,
		.tenant = tokend->owner->tenant,
		.unix_ms = kms_now_unix_ms(),
		.u.destroy =
			{
				.what = what_of(kek),
				.begun_unix_ms = kek->mark.begun_unix_ms,
				.found = erased->found,
				.rv = erased->rv,
				.canary_before = erased->canary_before,
			},
	};
	KMS_TRY(tokend_sign_statement(tokend, &statement, &destroy));
	statement.type = FORMAT_STATEMENT_ABSENCE;
	statement.u.absence = (struct format_absence){
		.what = what_of(kek),
		.searched = erased->searched,
		.born = tally.committed,
		.living = tally.committed - tally.destroyed - 1, /* this one is still counted */
	};
	KMS_TRY(tokend_sign_statement(tokend, &statement, &absence));
	return keks_mark_destroyed(tokend, kek, kms_buf_bytes(&destroy), kms_buf_bytes(&absence));
}

static kms_err destroy(struct tokend *tokend, struct kek *kek)
{
	struct p11_erased erased;
	char text[KMS_ID_TEXT];
	KMS_TRY(p11_kek_erase(tokend->p11, &kek->birth.kek, &kek->birth.commitment, &erased));
	KMS_TRY(state_end(tokend, kek, &erased));
	kms_log(KMS_LOG_INFO, "KEK %s is destroyed and absent%s",
		kms_id_text(&kek->birth.kek, text),
		erased.found ? "" : " (an interrupted destruction had removed it)");
	return KMS_OK;
}

kms_err erase_kek(struct tokend *tokend, const struct kms_id *erasure, const struct kms_id *kek_id,
	struct kms_buf *ret_file, struct kms_bytes *ret_destroy, struct kms_bytes *ret_absence,
	char *ret_reason)
{
	struct kek *kek = keks_find(tokend->keks, kek_id);
	bool done = kek != NULL && kek->life == KEK_DESTROYED &&
		    kms_id_equal(&kek->mark.erasure, erasure);
	if (!done) {
		const struct erasure *held = erasures_find(tokend->erasures, erasure);
		if (held == NULL) {
			return KMS_ERR(NOT_FOUND);
		}
		int64_t now = kms_now_unix_ms();
		KMS_TRY(check(tokend, held, kek_id, kek, now, ret_reason));
		if (kek == NULL || tokend->wiped) {
			return KMS_ERR(INTEGRITY); /* erase_judge saw it: ours is broken */
		}
		if (kek->life == KEK_COMMITTED) {
			KMS_TRY(begin(tokend, held, kek, now));
		} else if (!dies_by(kek, held)) {
			return erase_refuse(ret_reason, "the KEK dies by another erasure");
		}
		KMS_TRY(destroy(tokend, kek));
	}
	return keks_end_read(tokend, kek, ret_file, ret_destroy, ret_absence);
}
