/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation over every token of a key, as whoever is the client runs it: libkms for sealed
 * keys, kmsd for clear ones. Custody `any`: the first token makes the data key and the others wrap
 * it. Custody `all`: every token makes or opens one share, and only here are they joined (XOR).
 * No kms-tokend talks to another. What carries the messages is the caller's business.
 */
#include "format.h"

#include <stdlib.h>
#include <string.h>

struct run {
	const struct format_key *key;
	struct format_use *uses;
	uint32_t count;
	format_exchange exchange;
	void *ctx;
	bool makes_keys; /* else they are the caller's */
	uint64_t next_id;
};

static void drop_keys(struct run *run)
{
	for (uint32_t i = 0; run->makes_keys && i < run->count; i++) {
		kms_secret_free(&run->uses[i].data_key);
	}
}

static void head_of(const struct format_key *key, const struct format_use *use,
	const struct kms_hash *context, struct format_head *ret_head)
{
	*ret_head = (struct format_head){
		.custody = key->custody,
		.delivery = key->delivery,
		.key = key->id,
		.wrapped_key = use->wrapped.head.wrapped_key,
		.context = *context,
	};
}

static void xor_into(struct kms_secret *into, struct kms_bytes share)
{
	uint8_t *key = kms_secret_ptr(into);
	for (size_t i = 0; i < LIMIT_DATA_KEY_BYTES; i++) {
		key[i] = (uint8_t)(key[i] ^ share.ptr[i]);
	}
}

/* Send one op for all items to one token. secrets: what WRAP wraps, one per item, or NULL. */
static kms_err ask(struct run *run, uint32_t token, enum model_op op,
	struct kms_secret *const *secrets, struct kms_secret **ret_message,
	struct format_answer **ret_answer)
{
	struct format_item *items KMS_AUTO_FREE = calloc(run->count, sizeof(*items));
	if (items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (uint32_t i = 0; i < run->count; i++) {
		struct format_use *use = &run->uses[i];
		items[i].head = use->wrapped.head;
		items[i].token_count = run->key->token_count;
		memcpy(items[i].tokens, run->key->tokens, sizeof(items[i].tokens));
		items[i].context = use->context;
		if (op == MODEL_OP_UNWRAP || op == MODEL_OP_REWRAP) {
			items[i].slot = use->wrapped.slots[token];
		}
		items[i].data_key = secrets == NULL ? NULL : secrets[i];
	}
	struct format_request request = {
		.op = op,
		.id = ++run->next_id,
		.key = run->key->id,
		.count = run->count,
		.items = items,
	};
	KMS_AUTO(kms_secret) bytes = NULL;
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(format_answer) answer = NULL;
	KMS_TRY(format_request_write(&request, &bytes));
	KMS_TRY(run->exchange(run->ctx, token, op, bytes, &message));
	KMS_TRY(format_answer_read(kms_secret_bytes(message), &answer));
	if (answer->op != op || answer->id != request.id || answer->count != run->count) {
		return KMS_ERR(FORMAT); /* an answer to something that was not asked */
	}
	*ret_message = kms_take(&message);
	*ret_answer = kms_take(&answer);
	return KMS_OK;
}

/* What the token says that it handed out. */
static void note_handed(struct format_use *use, uint32_t token, enum model_op op,
	const struct format_answer_item *item)
{
	if (item->code == KMS_CODE_OK && model_op_hands_out(op)) {
		use->handed[token] = op == MODEL_OP_UNWRAP ? use->wrapped.slots[token].version
							   : item->slot.version;
	}
}

/* Slots and key material of one token's answer into the uses. first: of the tokens asked. */
static kms_err take_answer(
	struct run *run, uint32_t token, const struct format_answer *answer, bool first)
{
	bool slots = answer->op != MODEL_OP_UNWRAP;
	bool keys = model_op_hands_out(answer->op);
	for (uint32_t i = 0; i < run->count; i++) {
		struct format_use *use = &run->uses[i];
		const struct format_answer_item *item = &answer->items[i];
		note_handed(use, token, answer->op, item);
		if (use->code == KMS_CODE_OK) {
			use->code = item->code;
		}
		if (use->code != KMS_CODE_OK) {
			if (run->makes_keys) {
				kms_secret_free(&use->data_key);
			}
			continue;
		}
		if (slots) {
			if (!kms_id_equal(&item->slot.token, &run->key->tokens[token])) {
				return KMS_ERR(FORMAT);
			}
			use->wrapped.slots[token] = item->slot;
			use->wrapped.slot_count = run->key->token_count;
		}
		if (keys && first) {
			KMS_TRY(kms_secret_copy(item->data_key_bytes, &use->data_key));
		} else if (keys) {
			xor_into(use->data_key, item->data_key_bytes);
		}
	}
	return KMS_OK;
}

static kms_err ask_and_take(struct run *run, uint32_t token, enum model_op op,
	struct kms_secret *const *secrets, bool first)
{
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(format_answer) answer = NULL;
	KMS_TRY(ask(run, token, op, secrets, &message, &answer));
	return take_answer(run, token, answer, first);
}

/* Any: each of the tokens from `from` on wraps the whole data key. */
static kms_err wrap_whole(struct run *run, uint32_t from)
{
	struct kms_secret *keys[LIMIT_BATCH_ITEMS] = {0};
	KMS_AUTO(kms_secret) blank = NULL;
	KMS_TRY(kms_secret_new(LIMIT_DATA_KEY_BYTES, &blank));
	for (uint32_t token = from; token < run->key->token_count; token++) {
		for (uint32_t i = 0; i < run->count; i++) {
			/* An item that failed already goes along, so that the counts stay equal;
			 * its key may be gone. */
			keys[i] = run->uses[i].code == KMS_CODE_OK ? run->uses[i].data_key : blank;
		}
		KMS_TRY(ask_and_take(run, token, MODEL_OP_WRAP, keys, false));
	}
	return KMS_OK;
}

/* What the last token gets: the data key less every share before it. */
static kms_err copy_keys(const struct run *run, struct kms_secret **ret_rest)
{
	for (uint32_t i = 0; i < run->count; i++) {
		KMS_TRY(kms_secret_copy(kms_secret_bytes(run->uses[i].data_key), &ret_rest[i]));
	}
	return KMS_OK;
}

static kms_err draw_shares(
	const struct run *run, struct kms_secret *const *rest, struct kms_secret **ret_shares)
{
	for (uint32_t i = 0; i < run->count; i++) {
		kms_secret_free(&ret_shares[i]);
		KMS_TRY(kms_secret_new(LIMIT_DATA_KEY_BYTES, &ret_shares[i]));
		kms_random(kms_secret_ptr(ret_shares[i]), LIMIT_DATA_KEY_BYTES);
		xor_into(rest[i], kms_secret_bytes(ret_shares[i]));
	}
	return KMS_OK;
}

/* All: random shares for every token but the last, which gets what is left of the data key. */
static kms_err wrap_shares(struct run *run)
{
	uint32_t last = run->key->token_count - 1;
	struct kms_secret **both KMS_AUTO_FREE = calloc(2 * (size_t)run->count, sizeof(*both));
	if (both == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	struct kms_secret **rest = both, **shares = both + run->count;
	kms_err err = copy_keys(run, rest);
	for (uint32_t token = 0; kms_is_ok(err) && token < last; token++) {
		err = draw_shares(run, rest, shares);
		if (kms_is_ok(err)) {
			err = ask_and_take(run, token, MODEL_OP_WRAP, shares, false);
		}
	}
	if (kms_is_ok(err)) {
		err = ask_and_take(run, last, MODEL_OP_WRAP, rest, false);
	}
	for (size_t i = 0; i < 2 * (size_t)run->count; i++) {
		kms_secret_free(&both[i]);
	}
	return err;
}

/* What this token opened of the items that none before it did. Why an item failed is the first
 * token's word. */
static kms_err take_missing(
	struct run *run, uint32_t token, const struct format_answer *answer, bool first)
{
	for (uint32_t i = 0; i < run->count; i++) {
		struct format_use *use = &run->uses[i];
		const struct format_answer_item *item = &answer->items[i];
		note_handed(use, token, MODEL_OP_UNWRAP, item);
		if (use->data_key != NULL) {
			continue;
		}
		if (item->code == KMS_CODE_OK) {
			KMS_TRY(kms_secret_copy(item->data_key_bytes, &use->data_key));
		}
		if (first || item->code == KMS_CODE_OK) {
			use->code = item->code;
		}
	}
	return KMS_OK;
}

static bool is_missing(const struct run *run)
{
	bool missing = false;
	for (uint32_t i = 0; i < run->count; i++) {
		missing = missing || run->uses[i].data_key == NULL;
	}
	return missing;
}

/* Any: each token alone can unwrap. The first that answers, and what it does not open the next. */
static kms_err unwrap_any(struct run *run)
{
	kms_err err = KMS_ERR(TOKEN_DOWN);
	bool answered = false;
	drop_keys(run);
	for (uint32_t token = 0; token < run->key->token_count && is_missing(run); token++) {
		KMS_AUTO(kms_secret) message = NULL;
		KMS_AUTO(format_answer) answer = NULL;
		kms_err asked = ask(run, token, MODEL_OP_UNWRAP, NULL, &message, &answer);
		if (kms_is_ok(asked)) {
			asked = take_missing(run, token, answer, !answered);
		}
		answered = answered || kms_is_ok(asked);
		err = answered ? KMS_OK : asked;
	}
	return err;
}

static kms_err run_op(struct run *run, enum model_op op)
{
	bool all = run->key->custody == MODEL_CUSTODY_ALL;
	if (op == MODEL_OP_UNWRAP && !all) {
		return unwrap_any(run);
	}
	if (op == MODEL_OP_WRAP) {
		return all ? wrap_shares(run) : wrap_whole(run, 0);
	}
	if (op == MODEL_OP_DATAKEY && !all) {
		KMS_TRY(ask_and_take(run, 0, op, NULL, true));
		return wrap_whole(run, 1);
	}
	for (uint32_t token = 0; token < run->key->token_count; token++) {
		KMS_TRY(ask_and_take(run, token, op, NULL, token == 0));
	}
	return KMS_OK;
}

kms_err format_custody_check(const struct format_key *key, const struct format_wrapped *wrapped,
	struct kms_bytes context)
{
	const struct format_head *head = &wrapped->head;
	struct kms_hash hash;
	if (!kms_id_equal(&head->key, &key->id)) {
		return KMS_ERR(ARGUMENT);
	}
	if (head->custody != key->custody || head->delivery != key->delivery ||
		wrapped->slot_count != key->token_count) {
		return KMS_ERR(PINS);
	}
	for (uint32_t i = 0; i < key->token_count; i++) {
		if (!kms_id_equal(&wrapped->slots[i].token, &key->tokens[i])) {
			return KMS_ERR(PINS);
		}
	}
	KMS_TRY(format_context_hash(context, &hash));
	return kms_hash_equal(&head->context, &hash) ? KMS_OK : KMS_ERR(CONTEXT);
}

kms_err format_custody_call(const struct format_key *key, enum model_op op, struct format_use *uses,
	uint32_t count, format_exchange exchange, void *ctx)
{
	struct run run = {.key = key,
		.uses = uses,
		.count = count,
		.exchange = exchange,
		.ctx = ctx,
		.makes_keys = model_op_hands_out(op)};
	if (count == 0 || count > LIMIT_BATCH_ITEMS || key->token_count == 0 ||
		key->token_count > LIMIT_CUSTODY_TOKENS || !model_op_is_use(op)) {
		return KMS_ERR(ARGUMENT);
	}
	for (uint32_t i = 0; i < count; i++) {
		if (op == MODEL_OP_UNWRAP || op == MODEL_OP_REWRAP) {
			KMS_TRY(format_custody_check(key, &uses[i].wrapped, uses[i].context));
		} else {
			struct kms_hash context;
			KMS_TRY(format_context_hash(uses[i].context, &context));
			head_of(key, &uses[i], &context, &uses[i].wrapped.head);
		}
		uses[i].code = KMS_CODE_OK;
		memset(uses[i].handed, 0, sizeof(uses[i].handed));
	}
	kms_err err = run_op(&run, op);
	if (!kms_is_ok(err)) {
		drop_keys(&run);
	}
	return err;
}
