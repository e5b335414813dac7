/* SPDX-License-Identifier: Apache-2.0 */
/* One function per message: fill it, ask, take the reply apart. Runs in kmsd. */
#include "token_int.h"

#include <stdlib.h>
#include <string.h>

const struct token_user nobody;

void token_state_get(struct token *token, struct token_state *ret_state)
{
	(void)pthread_mutex_lock(&token->lock);
	*ret_state = (struct token_state){
		.up = token->up,
		.since_unix_ms = token->since_unix_ms,
		.hello = token->hello,
		.links = token->links,
	};
	(void)pthread_mutex_unlock(&token->lock);
}

kms_err ask_bytes(struct token *token, struct tokmsg *msg, struct kms_buf *ret_bytes)
{
	struct reply reply = {0};
	KMS_TRY(ask(token, msg, &nobody, &reply));
	*ret_bytes = reply.bytes;
	return KMS_OK;
}

kms_err ask_done(struct token *token, struct tokmsg *msg)
{
	struct reply reply = {0};
	KMS_TRY(ask(token, msg, &nobody, &reply));
	reply_clear(&reply);
	return KMS_OK;
}

kms_err token_session_open(struct token *token, struct kms_bytes flight, struct kms_id *ret_session,
	struct kms_buf *ret_flight)
{
	struct tokmsg msg = {.type = TOKMSG_SESSION_OPEN, .u.flight = flight};
	struct reply reply = {0};
	KMS_TRY(ask(token, &msg, &nobody, &reply));
	*ret_session = reply.session;
	*ret_flight = reply.bytes;
	return KMS_OK;
}

kms_err token_session_close(struct token *token, const struct kms_id *session)
{
	struct tokmsg msg = {.type = TOKMSG_SESSION_CLOSE, .u.session = *session};
	return ask_done(token, &msg);
}

void token_result_free(struct token_result **result)
{
	if (result == NULL || *result == NULL) {
		return;
	}
	kms_buf_free(&(*result)->record);
	free(*result);
	*result = NULL;
}

kms_err token_call(
	struct token *token, const struct token_call *call, struct token_result **ret_result)
{
	struct model_call_item *items KMS_AUTO_FREE = calloc(call->count + 1, sizeof(*items));
	KMS_AUTO(token_result) result = calloc(1, sizeof(*result));
	if (items == NULL || result == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	memcpy(items, call->items, call->count * sizeof(*items));
	struct tokmsg msg = {
		.type = TOKMSG_CALL,
		.u.call =
			{
				.session = call->session,
				.op = call->op,
				.principal = call->principal_spki,
				.key = call->key,
				.count = call->count,
				.items = items,
				.record = call->record,
			},
	};
	struct reply reply = {0};
	KMS_TRY(ask(token, &msg, &call->user, &reply));
	result->count = reply.count;
	memcpy(result->codes, reply.codes, sizeof(result->codes));
	result->boot = reply.boot;
	result->last_n = reply.last_n;
	result->record = reply.bytes;
	*ret_result = kms_take(&result);
	return KMS_OK;
}

kms_err token_statement_next(
	struct token *token, uint64_t boot, uint64_t n, struct kms_buf *ret_statement)
{
	struct tokmsg msg = {.type = TOKMSG_STATEMENT_NEXT, .u.position = {boot, n}};
	return ask_bytes(token, &msg, ret_statement);
}

kms_err token_kek_bear(
	struct token *token, const struct model_bear *bear, struct kms_buf *ret_birth_statement)
{
	struct tokmsg msg = {.type = TOKMSG_KEK_BEAR, .u.kek_bear = *bear};
	return ask_bytes(token, &msg, ret_birth_statement);
}

kms_err token_kek_commit(struct token *token, const struct kms_id *kek)
{
	struct tokmsg msg = {.type = TOKMSG_KEK_COMMIT, .u.kek = *kek};
	return ask_done(token, &msg);
}

kms_err token_kek_abandon(struct token *token, const struct kms_id *kek)
{
	struct tokmsg msg = {.type = TOKMSG_KEK_ABANDON, .u.kek = *kek};
	return ask_done(token, &msg);
}

kms_err token_kek_list(struct token *token, const struct kms_id *after,
	struct model_held_kek **ret_rows, uint32_t *ret_count)
{
	struct tokmsg msg = {.type = TOKMSG_KEK_LIST, .u.kek = *after};
	struct reply reply = {0};
	KMS_TRY(ask(token, &msg, &nobody, &reply));
	*ret_rows = reply.keks;
	*ret_count = reply.count;
	kms_buf_free(&reply.bytes);
	return KMS_OK;
}

kms_err token_head_sign(
	struct token *token, const struct model_head_sign *request, struct kms_buf *ret_note)
{
	struct tokmsg msg = {.type = TOKMSG_HEAD_SIGN, .u.head_sign = *request};
	return ask_bytes(token, &msg, ret_note);
}

kms_err token_head_last(struct token *token, struct kms_buf *ret_note)
{
	struct tokmsg msg = {.type = TOKMSG_HEAD_LAST};
	return ask_bytes(token, &msg, ret_note);
}
