/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data key, wrap, unwrap, rewrap. Nothing leaves before its use records are durable: an answer that
 * cannot be recorded is dropped and its session closed. Sealed, kmsd carries bytes that it cannot
 * read; clear, it is the client, and wipes.
 */
#include "service_int.h"

#include <stdlib.h>
#include <string.h>

/* The canonical context of each item, with the principal's tenant in it. */
static kms_err write_contexts(
	const struct service_ask *ask, struct kms_buf *contexts, struct model_call_item *items)
{
	for (size_t i = 0; i < ask->request->u.use.item_count; i++) {
		const struct model_item *item = &ask->request->u.use.items[i];
		KMS_TRY(format_context_write(item->context, &ask->who->tenant, &contexts[i]));
		KMS_TRY(format_context_hash(kms_buf_bytes(&contexts[i]), &items[i].context));
		items[i].wrapped_key = item->wrapped_key;
	}
	return KMS_OK;
}

/* Outages are not denials: nobody was refused anything. */
static bool is_refusal(kms_err err)
{
	return !kms_is(err, KMS_CODE_TOKEN_DOWN) && !kms_is(err, KMS_CODE_TIMEOUT) &&
	       !kms_is(err, KMS_CODE_NO_MEMORY) && !kms_is(err, KMS_CODE_LEDGER) &&
	       !kms_is(err, KMS_CODE_SESSION);
}

/* A denial for each item that was refused, or, with `all`, for every item of a call that did. */
static kms_err record_refusals(struct service *service, const struct service_ask *ask,
	const struct model_call_item *items, const enum kms_code *codes, kms_err all)
{
	size_t count = ask->request->u.use.item_count, refused = 0;
	struct model_use *denials KMS_AUTO_FREE = calloc(count, sizeof(*denials));
	if (denials == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		enum kms_code code = kms_is_ok(all) ? codes[i] : all.code;
		if (code == KMS_CODE_OK || !is_refusal((kms_err){code})) {
			continue;
		}
		denials[refused++] = (struct model_use){
			.unix_ms = kms_now_unix_ms(),
			.op = ask->request->op,
			.principal = ask->who->id,
			.spki = ask->who->spki,
			.key = ask->key.id,
			.wrapped_key = items[i].wrapped_key,
			.context = items[i].context,
			.denied = code,
		};
	}
	return refused == 0
		       ? KMS_OK
		       : ledger_deny(service->parts.ledger, &ask->who->tenant, denials, refused);
}

/* Was the key suspended, or worse, while we were at it? Then the answer does not go out. */
static kms_err check_state_again(struct service *service, const struct service_ask *ask)
{
	struct model_key key;
	KMS_TRY(store_key_get(service->parts.store, &ask->key.id, &key));
	/* Of versions that an erasure came to name meanwhile nobody here knows which were used. */
	bool named =
		!kms_id_is_zero(&key.erasure) || (!ask->held && holds_has(service, &ask->key.id));
	return model_state_allows(key.state, ask->request->op) && !named ? KMS_OK
									 : KMS_ERR(KEY_STATE);
}

static bool guards(const struct model_key *key, const struct kms_id *token)
{
	for (uint32_t i = 0; i < key->token_count; i++) {
		if (kms_id_equal(&key->tokens[i], token)) {
			return true;
		}
	}
	return false;
}

static kms_err release(struct service *service, const struct service_ask *ask,
	const struct model_call_item *items, const struct token_result *result)
{
	const struct kms_id *token = &ask->request->u.use.token;
	if (result->last_n > 0) {
		KMS_TRY(ledger_uses_wait(
			service->parts.ledger, token, result->boot, result->last_n));
	}
	/* Before the items' own denials: a call that is refused as a whole denies each of them
	 * once. */
	KMS_TRY(check_state_again(service, ask));
	return record_refusals(service, ask, items, result->codes, KMS_OK);
}

static kms_err run_sealed(struct service *service, const struct service_ask *ask,
	const struct model_call_item *items, struct model_answer *answer)
{
	const struct kms_id *session = &ask->request->u.use.session;
	struct token *token;
	KMS_TRY(token_find(service->parts.tokens, &ask->request->u.use.token, &token));
	KMS_TRY(sessions_check(service, session, &ask->who->id, token_id(token)));
	struct token_call call = {
		.session = *session,
		.op = ask->request->op,
		.user = {ask->who->id, ask->request->u.use.holder},
		.principal_spki = ask->who->spki,
		.key = ask->key.id,
		.count = (uint32_t)ask->request->u.use.item_count,
		.items = items,
		.record = kms_buf_bytes(&ask->request->u.use.record),
	};
	KMS_AUTO(token_result) result = NULL;
	kms_err err = token_call(token, &call, &result);
	if (kms_is_ok(err) && result->count != call.count) {
		err = KMS_ERR(INTERNAL);
	}
	if (kms_is_ok(err)) {
		err = release(service, ask, items, result);
	}
	if (!kms_is_ok(err)) {
		sessions_drop(service, session, token_id(token));
		return err;
	}
	answer->u.use.record = result->record;
	result->record = (struct kms_buf){0};
	return KMS_OK;
}

/* What the client gave for one item of a clear call. */
static kms_err fill_use(const struct service_ask *ask, size_t i, const struct kms_buf *context,
	struct format_use *use)
{
	const struct model_item *item = &ask->request->u.use.items[i];
	use->context = kms_buf_bytes(context);
	if (ask->request->op == MODEL_OP_UNWRAP || ask->request->op == MODEL_OP_REWRAP) {
		return format_wrapped_read(kms_buf_bytes(&item->wrapped), &use->wrapped);
	}
	use->wrapped.head.wrapped_key = item->wrapped_key;
	if (ask->request->op != MODEL_OP_WRAP) {
		return KMS_OK;
	}
	if (item->data_key == NULL || kms_secret_len(item->data_key) != LIMIT_DATA_KEY_BYTES) {
		return KMS_ERR(ARGUMENT);
	}
	return kms_secret_copy(kms_secret_bytes(item->data_key), &use->data_key);
}

static kms_err take_use(
	enum model_op op, struct format_use *use, struct model_answer_item *ret_item)
{
	ret_item->code = use->code;
	if (use->code != KMS_CODE_OK) {
		return KMS_OK;
	}
	if (op != MODEL_OP_UNWRAP) {
		KMS_TRY(format_wrapped_write(&use->wrapped, &ret_item->wrapped));
	}
	if (op == MODEL_OP_DATAKEY || op == MODEL_OP_UNWRAP) {
		ret_item->data_key = kms_take(&use->data_key);
	}
	return KMS_OK;
}

static kms_err clear_call(
	struct service *service, const struct service_ask *ask, struct format_use *uses)
{
	struct format_key key = {
		.id = ask->key.id,
		.custody = ask->key.custody,
		.delivery = ask->key.delivery,
		.token_count = ask->key.token_count,
	};
	uint64_t boot[LIMIT_CUSTODY_TOKENS], n[LIMIT_CUSTODY_TOKENS];
	memcpy(key.tokens, ask->key.tokens, sizeof(key.tokens));
	const struct token_user user = {ask->who->id, ask->request->u.use.holder};
	KMS_TRY(token_clear_call(service->parts.tokens, &key, ask->request->op, &user, uses,
		(uint32_t)ask->request->u.use.item_count, boot, n));
	for (uint32_t i = 0; i < key.token_count; i++) {
		if (n[i] > 0) {
			KMS_TRY(ledger_uses_wait(
				service->parts.ledger, &key.tokens[i], boot[i], n[i]));
		}
	}
	return check_state_again(service, ask);
}

static kms_err run_clear(struct service *service, const struct service_ask *ask,
	const struct kms_buf *contexts, const struct model_call_item *items,
	struct model_answer *answer)
{
	size_t count = ask->request->u.use.item_count;
	struct format_use *uses KMS_AUTO_FREE = calloc(count, sizeof(*uses));
	enum kms_code *codes KMS_AUTO_FREE = calloc(count, sizeof(*codes));
	answer->u.use.items = calloc(count, sizeof(*answer->u.use.items));
	if (uses == NULL || codes == NULL || answer->u.use.items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->u.use.item_count = count;
	kms_err err = KMS_OK;
	for (size_t i = 0; kms_is_ok(err) && i < count; i++) {
		err = fill_use(ask, i, &contexts[i], &uses[i]);
	}
	if (kms_is_ok(err)) {
		err = clear_call(service, ask, uses);
	}
	for (size_t i = 0; kms_is_ok(err) && i < count; i++) {
		codes[i] = uses[i].code;
		err = take_use(ask->request->op, &uses[i], &answer->u.use.items[i]);
	}
	for (size_t i = 0; i < count; i++) {
		kms_secret_free(&uses[i].data_key);
	}
	KMS_TRY(err);
	return record_refusals(service, ask, items, codes, KMS_OK);
}

static kms_err run(struct service *service, const struct service_ask *ask,
	const struct kms_buf *contexts, const struct model_call_item *items,
	struct model_answer *answer)
{
	bool sealed = ask->request->u.use.sealed;
	/* A sealed key never answers a clear session, nor the other way round. */
	if (sealed != (ask->key.delivery == MODEL_DELIVERY_SEALED)) {
		return KMS_ERR(PINS);
	}
	if (sealed && !guards(&ask->key, &ask->request->u.use.token)) {
		return KMS_ERR(PINS);
	}
	return sealed ? run_sealed(service, ask, items, answer)
		      : run_clear(service, ask, contexts, items, answer);
}

kms_err uses_run(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	size_t count = ask->request->u.use.item_count;
	if (count == 0 || count > LIMIT_BATCH_ITEMS) {
		return KMS_ERR(ARGUMENT);
	}
	struct kms_buf *contexts KMS_AUTO_FREE = calloc(count, sizeof(*contexts));
	struct model_call_item *items KMS_AUTO_FREE = calloc(count, sizeof(*items));
	if (contexts == NULL || items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	if (model_op_hands_out(ask->request->op)) {
		answer->u.use.lease_s = policy_lease_s(service->parts.policy);
	}
	kms_err err = write_contexts(ask, contexts, items);
	if (kms_is_ok(err)) {
		err = run(service, ask, contexts, items, answer);
		if (!kms_is_ok(err)) {
			kms_err recorded = record_refusals(service, ask, items, NULL, err);
			err = kms_is_ok(recorded) ? err : recorded;
		}
	}
	for (size_t i = 0; i < count; i++) {
		kms_buf_free(&contexts[i]);
	}
	return err;
}
