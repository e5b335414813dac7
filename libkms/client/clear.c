/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clear delivery: kmsd is the end of the session, and libkms asks it in plain requests. Runs
 * wherever libkms does, for keys whose pins say `clear` and never for others. What kmsd brings must
 * still be what is pinned.
 */
#include "client_int.h"

#include <stdlib.h>
#include <string.h>

#include "wire.h"

static bool gives_wrapped(enum model_op op)
{
	return op == MODEL_OP_UNWRAP || op == MODEL_OP_REWRAP;
}

/* The items of a request; they own only their `wrapped`, and borrow the rest. */
static kms_err fill_items(enum model_op op, const struct batch *batch, struct model_item *items)
{
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct format_use *use = &batch->uses[i];
		items[i].wrapped_key = use->wrapped.head.wrapped_key;
		items[i].context = batch->contexts[i];
		items[i].data_key = op == MODEL_OP_WRAP ? use->data_key : NULL;
		if (gives_wrapped(op)) {
			KMS_TRY(format_wrapped_write(&use->wrapped, &items[i].wrapped));
		}
	}
	return KMS_OK;
}

static kms_err ask(struct kms_client *client, const struct model_request *request,
	struct model_answer **ret_answer)
{
	struct retry retry = {0};
	kms_err err;
	do {
		HTTP_AUTO_ANSWER body = {0};
		err = client_ask(client, request, &retry, &body);
		if (kms_is_ok(err)) {
			err = wire_answer_read(request->op, http_answer_body(&body), ret_answer);
		}
	} while (!kms_is_ok(err) && retry_again(&retry, err));
	return err;
}

/* The wrapped key in the answer is ours: same id, same context, guarded as pinned. */
static kms_err take_wrapped(
	const struct format_key *key, struct kms_bytes bytes, struct format_use *use)
{
	struct format_wrapped wrapped;
	KMS_TRY(format_wrapped_read(bytes, &wrapped));
	if (!kms_id_equal(&wrapped.head.wrapped_key, &use->wrapped.head.wrapped_key)) {
		return KMS_ERR(PINS);
	}
	KMS_TRY(format_custody_check(key, &wrapped, use->context));
	use->wrapped = wrapped;
	return KMS_OK;
}

static kms_err take_item(const struct format_key *key, enum model_op op,
	struct model_answer_item *item, struct format_use *use)
{
	use->code = item->code;
	if (use->code != KMS_CODE_OK) {
		return KMS_OK;
	}
	if (op != MODEL_OP_UNWRAP) {
		KMS_TRY(take_wrapped(key, kms_buf_bytes(&item->wrapped), use));
	}
	if (op == MODEL_OP_DATAKEY || op == MODEL_OP_UNWRAP) {
		if (item->data_key == NULL ||
			kms_secret_len(item->data_key) != LIMIT_DATA_KEY_BYTES) {
			return KMS_ERR(FORMAT);
		}
		use->data_key = kms_take(&item->data_key);
	}
	return KMS_OK;
}

static bool is_of_one_version(const struct format_wrapped *wrapped)
{
	bool one = true;
	for (uint32_t i = 1; i < wrapped->slot_count; i++) {
		one = one && wrapped->slots[i].version == wrapped->slots[0].version;
	}
	return one;
}

/* kmsd asked the tokens, and counted for each that was asked. Of `any` one was, and which one only
 * kmsd knows: where that makes a difference nothing is said, and the lease stays open. */
static void note_handed(const struct format_key *key, enum model_op op, struct format_use *use)
{
	bool all = key->custody == MODEL_CUSTODY_ALL;
	if (use->code != KMS_CODE_OK ||
		(!all && op == MODEL_OP_UNWRAP && !is_of_one_version(&use->wrapped))) {
		return;
	}
	for (uint32_t i = 0; i < (all ? key->token_count : 1); i++) {
		use->handed[i] = use->wrapped.slots[i].version;
	}
}

static kms_err call(struct kms_client *client, const struct format_key *key, enum model_op op,
	struct batch *batch, struct model_item *items)
{
	KMS_AUTO(model_answer) answer = NULL;
	int64_t asked_ms = kms_boottime_ms();
	struct model_request request = {.op = op};
	KMS_TRY(fill_items(op, batch, items));
	request.u.use.key = key->id;
	request.u.use.holder = client->leases->holder;
	request.u.use.item_count = batch->count;
	request.u.use.items = items;
	KMS_TRY(ask(client, &request, &answer));
	if (answer->u.use.item_count != batch->count) {
		return KMS_ERR(FORMAT);
	}
	batch_lease(batch, op, asked_ms, answer->u.use.lease_s);
	for (uint32_t i = 0; i < batch->count; i++) {
		KMS_TRY(take_item(key, op, &answer->u.use.items[i], &batch->uses[i]));
		if (model_op_hands_out(op)) {
			note_handed(key, op, &batch->uses[i]);
		}
	}
	return KMS_OK;
}

kms_err clear_call(struct kms_client *client, const struct format_key *key, enum model_op op,
	struct batch *batch)
{
	struct model_item *items KMS_AUTO_FREE = calloc(batch->count, sizeof(*items));
	if (items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = call(client, key, op, batch, items);
	for (uint32_t i = 0; i < batch->count; i++) {
		kms_buf_free(&items[i].wrapped);
	}
	return err;
}
