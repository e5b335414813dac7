/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmsd's own end of sessions for keys that were born `clear`: the same messages as libkms sends,
 * under the one certificate that the token's owner pinned for this. The only place in kmsd where a
 * data key can be, and only for such keys.
 */
#include "token_int.h"

#include <stdlib.h>
#include <string.h>

struct carry {
	struct token_set *set;
	const struct format_key *key;
	const struct token_user *user;
	const struct format_use *uses;
	uint32_t count;
	uint64_t *boot;
	uint64_t *n;
};

static kms_err open_session(struct token *token, struct clear *clear, struct kms_buf *ret_flight)
{
	KMS_AUTO(channel) channel = NULL;
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF answer = {0};
	struct kms_id session;
	struct token_state state;
	token_state_get(token, &state);
	KMS_TRY(channel_new_client(token->clear_identity, &token->session_spki, &channel));
	KMS_TRY(channel_step(channel, (struct kms_bytes){0}, &hello));
	KMS_TRY(token_session_open(token, kms_buf_bytes(&hello), &session, &answer));
	KMS_TRY(channel_step(channel, kms_buf_bytes(&answer), ret_flight));
	channel_free(&clear->channel);
	clear->channel = kms_take(&channel);
	clear->session = session;
	clear->links = state.links;
	return KMS_OK;
}

/* Is there a session that lives still? Otherwise open one; ret_flight goes before the request. */
static kms_err ready_session(struct token *token, struct clear *clear, struct kms_buf *ret_flight)
{
	struct token_state state;
	token_state_get(token, &state);
	if (clear->channel != NULL && clear->links == state.links &&
		!channel_is_worn(clear->channel)) {
		return KMS_OK;
	}
	return open_session(token, clear, ret_flight);
}

static kms_err send_one(struct carry *carry, uint32_t index, struct token *token,
	struct clear *clear, enum model_op op, const struct kms_secret *request,
	struct kms_secret **ret_answer)
{
	struct model_call_item *items KMS_AUTO_FREE = calloc(carry->count, sizeof(*items));
	if (items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (uint32_t i = 0; i < carry->count; i++) {
		items[i].wrapped_key = carry->uses[i].wrapped.head.wrapped_key;
		items[i].context = carry->uses[i].wrapped.head.context;
	}
	KMS_AUTO_BUF flight = {0};
	KMS_AUTO_BUF sealed = {0};
	struct kms_bytes record;
	struct token_call call = {
		.op = op,
		.user = *carry->user,
		.key = carry->key->id,
		.count = carry->count,
		.items = items,
	};
	KMS_TRY(ready_session(token, clear, &flight));
	KMS_TRY(channel_identity_spki(token->clear_identity, &call.principal_spki));
	KMS_TRY(channel_seal(clear->channel, kms_secret_bytes(request), &sealed));
	KMS_AUTO_WRITER bytes = kms_writer_grow(LIMIT_TOKMSG_BYTES);
	kms_write_bytes(&bytes, kms_buf_bytes(&flight));
	kms_write_bytes(&bytes, kms_buf_bytes(&sealed));
	KMS_TRY(kms_writer_bytes(&bytes, &record));
	call.session = clear->session;
	call.record = record;
	KMS_AUTO(token_result) result = NULL;
	KMS_TRY(token_call(token, &call, &result));
	carry->boot[index] = result->boot;
	carry->n[index] = result->last_n > 0 ? result->last_n : carry->n[index];
	return channel_open(clear->channel, kms_buf_bytes(&result->record), ret_answer);
}

/* Any session that is free, or the first that becomes so. */
static struct clear *take_clear(struct token *token)
{
	struct clear *clear = NULL;
	(void)pthread_mutex_lock(&token->lock);
	for (;;) {
		for (size_t i = 0; clear == NULL && i < CLEAR_SESSIONS; i++) {
			clear = token->clear[i].busy ? NULL : &token->clear[i];
		}
		if (clear != NULL) {
			break;
		}
		(void)pthread_cond_wait(&token->clear_free, &token->lock);
	}
	clear->busy = true;
	(void)pthread_mutex_unlock(&token->lock);
	return clear;
}

static void put_clear(struct token *token, struct clear *clear)
{
	(void)pthread_mutex_lock(&token->lock);
	clear->busy = false;
	(void)pthread_cond_signal(&token->clear_free);
	(void)pthread_mutex_unlock(&token->lock);
}

/* format_exchange */
static kms_err carry_one(void *ctx, uint32_t index, enum model_op op,
	const struct kms_secret *request, struct kms_secret **ret_answer)
{
	struct carry *carry = ctx;
	struct token *token;
	KMS_TRY(token_find(carry->set, &carry->key->tokens[index], &token));
	if (token->clear_identity == NULL) {
		return KMS_ERR(UNSUPPORTED);
	}
	struct clear *clear = take_clear(token);
	kms_err err = send_one(carry, index, token, clear, op, request, ret_answer);
	if (kms_is(err, KMS_CODE_SESSION) && clear->channel != NULL) {
		/* kms-tokend forgot it (it was restarted): once more, in a new one. */
		channel_free(&clear->channel);
		err = send_one(carry, index, token, clear, op, request, ret_answer);
	}
	if (!kms_is_ok(err) && clear->channel != NULL) {
		/* Records may be lost: it is of no use any more, here or there. */
		channel_free(&clear->channel);
		KMS_IGNORE(token_session_close(token, &clear->session));
	}
	put_clear(token, clear);
	return err;
}

kms_err token_clear_call(struct token_set *set, const struct format_key *key, enum model_op op,
	const struct token_user *user, struct format_use *uses, uint32_t count,
	uint64_t ret_boot[LIMIT_CUSTODY_TOKENS], uint64_t ret_n[LIMIT_CUSTODY_TOKENS])
{
	memset(ret_boot, 0, sizeof(uint64_t) * LIMIT_CUSTODY_TOKENS);
	memset(ret_n, 0, sizeof(uint64_t) * LIMIT_CUSTODY_TOKENS);
	struct carry carry = {set, key, user, uses, count, ret_boot, ret_n};
	return format_custody_call(key, op, uses, count, carry_one, &carry);
}
