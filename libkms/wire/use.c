/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data key, wrap, unwrap, rewrap and the sealed session: reading, and writing where kmsd only
 * carries sealed bytes. A data key that is read (`clear`) goes from the document, which is wiped,
 * into secret memory; writing one is clear.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "wire_int.h"

static const struct wire_field session_fields[] = {
	{WIRE_FIELD_AS(model_request, u.session_open.token, "token", WIRE_ID)},
	{WIRE_FIELD_AS(model_request, u.session_open.flight, "flight", WIRE_BUF),
		.max = LIMIT_TOKMSG_BYTES},
	{0},
};

static const struct wire_field session_answer_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.session_open.session, "session", WIRE_ID)},
	{WIRE_FIELD_AS(model_answer, u.session_open.flight, "flight", WIRE_BUF),
		.max = LIMIT_TOKMSG_BYTES},
	{0},
};

/* Beside the items. */
static const struct wire_field sealed_fields[] = {
	{WIRE_FIELD_AS(model_request, u.use.token, "token", WIRE_ID)},
	{WIRE_FIELD_AS(model_request, u.use.session, "session", WIRE_ID)},
	{WIRE_FIELD_AS(model_request, u.use.record, "record", WIRE_BUF), .max = LIMIT_TOKMSG_BYTES},
	{WIRE_FIELD_AS(model_request, u.use.holder, "holder", WIRE_ID_OPTIONAL)},
	{0},
};

/* Beside the items, in `clear`. */
static const struct wire_field clear_fields[] = {
	{WIRE_FIELD_AS(model_request, u.use.holder, "holder", WIRE_ID_OPTIONAL)},
	{0},
};

static const struct wire_field record_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.use.record, "record", WIRE_BUF), .max = LIMIT_TOKMSG_BYTES},
	{WIRE_FIELD_AS(model_answer, u.use.lease_s, "lease_s", WIRE_U32)},
	{0},
};

static const struct wire_field clear_answer_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.use.lease_s, "lease_s", WIRE_U32)},
	{0},
};

void wire_session_set(struct doc *body, const struct model_request *request)
{
	wire_fields_set(body, session_fields, request);
}

kms_err wire_session_get(struct doc *body, struct model_request *request)
{
	return wire_fields_get(body, session_fields, request);
}

void wire_session_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_fields_set(body, session_answer_fields, answer);
}

kms_err wire_session_answer_get(struct doc *body, struct model_answer *answer)
{
	return wire_fields_get(body, session_answer_fields, answer);
}

void wire_sealed_set(struct doc *body, const struct model_request *request)
{
	wire_fields_set(body, sealed_fields, request);
	struct doc *items = doc_set_array(body, "items");
	for (size_t i = 0; i < request->u.use.item_count; i++) {
		const struct model_item *item = &request->u.use.items[i];
		struct doc *object = doc_add_object(items);
		struct doc *context = doc_set_object(object, "context");
		for (size_t p = 0; p < item->context->count; p++) {
			doc_set_text(context, item->context->pairs[p].name,
				item->context->pairs[p].value);
		}
		doc_set_id(object, "wrapped_key", &item->wrapped_key);
	}
}

void wire_sealed_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_fields_set(body, record_fields, answer);
}

/* ---- in ---- */

static kms_err get_context(struct doc *object, struct model_item *item)
{
	struct doc *pairs = NULL;
	KMS_TRY(doc_get_object(object, "context", &pairs));
	item->context = calloc(1, sizeof(*item->context));
	if (item->context == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < doc_count(pairs); i++) {
		const char *name = NULL;
		const char *value = NULL;
		KMS_TRY(doc_member_text(pairs, i, &name, &value));
		KMS_TRY(model_context_add(item->context, name, value));
	}
	return KMS_OK;
}

static kms_err get_data_key(struct doc *object, struct kms_secret **ret_key)
{
	const char *text = NULL;
	KMS_TRY(doc_get_text(object, "data_key", &text));
	return kms_secret_base64_decode(kms_bytes_str(text), LIMIT_DATA_KEY_BYTES, ret_key);
}

/* The wrapped key's own id, so that a refusal is recorded under it. */
static kms_err get_wrapped(struct doc *object, struct model_item *item)
{
	struct format_wrapped wrapped;
	KMS_TRY(doc_get_bytes(object, "wrapped", LIMIT_WRAPPED_BYTES, &item->wrapped));
	KMS_TRY(format_wrapped_read(kms_buf_bytes(&item->wrapped), &wrapped));
	item->wrapped_key = wrapped.head.wrapped_key;
	return KMS_OK;
}

static kms_err get_clear_item(struct doc *object, enum model_op op, struct model_item *item)
{
	if (op == MODEL_OP_UNWRAP || op == MODEL_OP_REWRAP) {
		return get_wrapped(object, item);
	}
	if (op == MODEL_OP_WRAP) {
		KMS_TRY(get_data_key(object, &item->data_key));
	}
	if (!doc_has(object, "wrapped_key")) {
		return kms_id_random(&item->wrapped_key);
	}
	return doc_get_id(object, "wrapped_key", &item->wrapped_key);
}

static kms_err get_items(struct doc *body, struct model_request *request)
{
	struct doc *array = NULL;
	KMS_TRY(doc_get_array(body, "items", &array));
	size_t count = doc_count(array);
	if (count == 0 || count > LIMIT_BATCH_ITEMS) {
		return count == 0 ? KMS_ERR(FORMAT) : KMS_ERR(TOO_LARGE);
	}
	request->u.use.items = calloc(count, sizeof(request->u.use.items[0]));
	if (request->u.use.items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	request->u.use.item_count = count;
	for (size_t i = 0; i < count; i++) {
		struct model_item *item = &request->u.use.items[i];
		struct doc *object = NULL;
		KMS_TRY(doc_item_object(array, i, &object));
		KMS_TRY(get_context(object, item));
		if (request->u.use.sealed) {
			KMS_TRY(doc_get_id(object, "wrapped_key", &item->wrapped_key));
		} else {
			KMS_TRY(get_clear_item(object, request->op, item));
		}
		KMS_TRY(doc_end(object));
	}
	return KMS_OK;
}

kms_err wire_use_get(struct doc *body, struct model_request *request)
{
	request->u.use.sealed = doc_has(body, "session");
	KMS_TRY(get_items(body, request));
	return wire_fields_get(body, request->u.use.sealed ? sealed_fields : clear_fields, request);
}

static kms_err get_answer_item(struct doc *object, enum model_op op, struct model_answer_item *item)
{
	const char *name = NULL;
	if (doc_has(object, "error")) {
		KMS_TRY(doc_get_text(object, "error", &name));
		item->code = kms_err_from_name(name).code;
		/* "ok" is said by silence: an item with an error and no reason is neither. */
		return item->code == KMS_CODE_OK ? KMS_ERR(FORMAT) : doc_end(object);
	}
	if (op != MODEL_OP_UNWRAP) {
		KMS_TRY(doc_get_bytes(object, "wrapped", LIMIT_WRAPPED_BYTES, &item->wrapped));
	}
	if (op == MODEL_OP_DATAKEY || op == MODEL_OP_UNWRAP) {
		KMS_TRY(get_data_key(object, &item->data_key));
	}
	return doc_end(object);
}

kms_err wire_use_answer_get(struct doc *body, struct model_answer *answer)
{
	if (doc_has(body, "record")) {
		return wire_fields_get(body, record_fields, answer);
	}
	struct doc *array = NULL;
	KMS_TRY(doc_get_array(body, "items", &array));
	size_t count = doc_count(array);
	if (count == 0 || count > LIMIT_BATCH_ITEMS) {
		return count == 0 ? KMS_ERR(FORMAT) : KMS_ERR(TOO_LARGE);
	}
	answer->u.use.items = calloc(count, sizeof(answer->u.use.items[0]));
	if (answer->u.use.items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->u.use.item_count = count;
	for (size_t i = 0; i < count; i++) {
		struct doc *object = NULL;
		KMS_TRY(doc_item_object(array, i, &object));
		KMS_TRY(get_answer_item(object, answer->op, &answer->u.use.items[i]));
	}
	return wire_fields_get(body, clear_answer_fields, answer);
}
