/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One CALL: what the client sealed against what kmsd says outside of it. A difference is refused,
 * so kmsd decides and records exactly what happens here. Uses are counted only when their answer
 * is ready to go.
 */
#include "tokend_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything of one call that has to be freed. */
struct work {
	struct kms_secret *message;
	struct format_request *request;
	struct format_answer answer;
	struct kms_secret *data_keys[LIMIT_BATCH_ITEMS];
	struct model_counted_use uses[LIMIT_BATCH_ITEMS]; /* of the OK items, in order */
	uint32_t used;
};

static void work_free(struct work **work)
{
	if (*work == NULL) {
		return;
	}
	for (size_t i = 0; i < LIMIT_BATCH_ITEMS; i++) {
		kms_secret_free(&(*work)->data_keys[i]);
	}
	free((*work)->answer.items);
	format_request_free(&(*work)->request);
	kms_secret_free(&(*work)->message);
	free(*work);
	*work = NULL;
}

static kms_err refuse(char *ret_reason, const char *why)
{
	(void)snprintf(ret_reason, LIMIT_REASON + 1, "%s", why);
	return KMS_ERR(TOKEN_REFUSED);
}

static kms_err compare(const struct session *session, const struct tokmsg_call *call,
	const struct format_request *request, char *ret_reason)
{
	if (session->kind == SESSION_SEALED && !kms_hash_equal(&session->spki, &call->principal)) {
		return refuse(ret_reason,
			"the sealed session is not the one of the principal that kmsd names");
	}
	if (request->op != call->op) {
		return refuse(ret_reason, "the operation inside is another than outside");
	}
	if (!kms_id_equal(&request->key, &call->key)) {
		return refuse(ret_reason, "the key inside is another than outside");
	}
	if (request->count != call->count) {
		return refuse(ret_reason, "there are more or fewer items inside than outside");
	}
	for (uint32_t i = 0; i < call->count; i++) {
		const struct format_head *head = &request->items[i].head;
		if (!kms_id_equal(&head->wrapped_key, &call->items[i].wrapped_key)) {
			return refuse(
				ret_reason, "a wrapped-key id inside is another than outside");
		}
		if (!kms_hash_equal(&head->context, &call->items[i].context)) {
			return refuse(ret_reason, "a context inside is another than outside");
		}
	}
	return KMS_OK;
}

static kms_err operate_all(struct tokend *tokend, const struct session *session, struct work *work)
{
	const struct format_request *request = work->request;
	work->answer.op = request->op;
	work->answer.id = request->id;
	work->answer.count = request->count;
	work->answer.items = calloc(request->count, sizeof(*work->answer.items));
	if (work->answer.items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (uint32_t i = 0; i < request->count; i++) {
		struct format_answer_item *item = &work->answer.items[i];
		KMS_TRY(operate(tokend, session, request->op, &request->items[i], item,
			&work->uses[work->used], &work->data_keys[i]));
		if (item->code == KMS_CODE_OK) {
			work->used++;
		}
	}
	return KMS_OK;
}

/* Number the uses, after everything that could fail: an answer and its uses go out together. */
static kms_err count_all(
	struct tokend *tokend, const struct work *work, struct tokmsg_call_answer *answer)
{
	struct model_counted_use *rows = calloc(work->used + 1, sizeof(*rows));
	if (rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	uint64_t used, acked;
	uses_where(tokend->uses, &answer->uses.boot, &used, &acked, &answer->uses.running);
	answer->uses.rows = rows; /* the caller's, also on a failure */
	answer->uses.first = used + 1;
	answer->uses.count = work->used;
	for (uint32_t i = 0; i < work->used; i++) {
		rows[i] = work->uses[i];
		KMS_TRY(uses_count(tokend->uses, &rows[i]));
	}
	uses_where(tokend->uses, &answer->uses.boot, &used, &acked, &answer->uses.running);
	answer->count = work->answer.count;
	for (uint32_t i = 0; i < work->answer.count; i++) {
		answer->codes[i] = work->answer.items[i].code;
	}
	return KMS_OK;
}

kms_err call_answer(struct tokend *tokend, const struct tokmsg_call *call,
	struct tokmsg_call_answer *ret_answer, struct kms_buf *ret_record, char *ret_reason)
{
	struct session *session = sessions_find(tokend->sessions, &call->session);
	if (session == NULL || channel_is_worn(session->channel)) {
		return KMS_ERR(SESSION);
	}
	__attribute__((cleanup(work_free))) struct work *work = calloc(1, sizeof(*work));
	if (work == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = channel_open(session->channel, call->record, &work->message);
	if (!kms_is_ok(err)) {
		sessions_close(tokend->sessions, &call->session); /* no record may be lost */
		return kms_is(err, KMS_CODE_NO_MEMORY) ? err : KMS_ERR(SESSION);
	}
	KMS_TRY(sessions_welcome(tokend->sessions, session, ret_reason));
	err = format_request_read(kms_secret_bytes(work->message), &work->request);
	if (!kms_is_ok(err)) {
		return kms_is(err, KMS_CODE_NO_MEMORY)
			       ? err
			       : refuse(ret_reason, "the sealed request does not parse");
	}
	KMS_TRY(compare(session, call, work->request, ret_reason));
	KMS_TRY(uses_admit(tokend->uses, call->count, tokend->owner->uses_per_minute));
	KMS_TRY(operate_all(tokend, session, work));
	KMS_AUTO(kms_secret) bytes = NULL;
	KMS_TRY(format_answer_write(&work->answer, &bytes));
	KMS_AUTO_BUF record = {0};
	KMS_TRY(channel_seal(session->channel, kms_secret_bytes(bytes), &record));
	struct tokmsg_call_answer answer = {0};
	err = count_all(tokend, work, &answer);
	if (!kms_is_ok(err)) {
		/* What was sealed does not leave, so the session has lost a record. Uses that were
		 * counted are offered again, as for any answer that got lost. */
		free(answer.uses.rows);
		sessions_close(tokend->sessions, &call->session);
		return err;
	}
	*ret_answer = answer;
	*ret_record = record;
	record = (struct kms_buf){0};
	return KMS_OK;
}
