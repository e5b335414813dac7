/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of `clear` delivery, written straight into secret memory: kmsd's answers and libkms's
 * requests. A data key or its base64 must never lie on the heap here. What stands beside it
 * (contexts, ids, wrapped keys) is written by doc or needs no escape.
 */
#include <stdlib.h>
#include <string.h>

#include "wire_int.h"

/* Room for the braces, names and quotes of one item, its id and its error's name. */
enum { ITEM_ROOM = 192, BODY_ROOM = 96 };

static size_t key_room(const struct kms_secret *key)
{
	return key == NULL ? 0 : kms_base64_len(kms_secret_len(key));
}

static void write_key(struct kms_writer *out, const struct kms_secret *key)
{
	KMS_AUTO(kms_secret) text = NULL;
	kms_err err = kms_secret_base64_encode(key, &text);
	if (!kms_is_ok(err)) {
		out->failed = out->failed == KMS_CODE_OK ? err.code : out->failed;
		return;
	}
	kms_write_text(out, "\"data_key\":\"");
	kms_write_bytes(out, kms_secret_bytes(text));
	kms_write_text(out, "\"");
}

static void write_wrapped(struct kms_writer *out, const struct kms_buf *wrapped)
{
	KMS_AUTO_FREE char *text = NULL;
	kms_err err = kms_base64_text(kms_buf_bytes(wrapped), &text);
	if (!kms_is_ok(err)) {
		out->failed = out->failed == KMS_CODE_OK ? err.code : out->failed;
		return;
	}
	kms_write_format(out, "\"wrapped\":\"%s\"", text);
}

/* The secret cut to what was written, or the writer's failure. */
static kms_err finish(
	const struct kms_writer *out, struct kms_secret **body, struct kms_secret **ret_body)
{
	struct kms_bytes written;
	KMS_TRY(kms_writer_bytes(out, &written));
	kms_secret_shrink(*body, written.len);
	*ret_body = kms_take(body);
	return KMS_OK;
}

static void write_answer_item(struct kms_writer *out, const struct model_answer_item *item)
{
	if (item->code != KMS_CODE_OK) {
		kms_write_format(out, "{\"error\":\"%s\"}", kms_err_name((kms_err){item->code}));
		return;
	}
	kms_write_text(out, "{");
	if (item->data_key != NULL) {
		write_key(out, item->data_key);
	}
	if (item->wrapped.len > 0) {
		kms_write_text(out, item->data_key != NULL ? "," : "");
		write_wrapped(out, &item->wrapped);
	}
	kms_write_text(out, "}");
}

kms_err wire_clear_answer_write(const struct model_answer *answer, struct kms_secret **ret_body)
{
	size_t room = BODY_ROOM;
	for (size_t i = 0; i < answer->u.use.item_count; i++) {
		const struct model_answer_item *item = &answer->u.use.items[i];
		room += ITEM_ROOM + key_room(item->data_key) + kms_base64_len(item->wrapped.len);
	}
	KMS_AUTO(kms_secret) body = NULL;
	KMS_TRY(kms_secret_new(room, &body));
	struct kms_writer out = kms_writer_fixed(kms_secret_ptr(body), room);
	kms_write_text(&out, "{\"items\":[");
	for (size_t i = 0; i < answer->u.use.item_count; i++) {
		kms_write_text(&out, i > 0 ? "," : "");
		write_answer_item(&out, &answer->u.use.items[i]);
	}
	kms_write_format(&out, "],\"lease_s\":%u}", (unsigned)answer->u.use.lease_s);
	return finish(&out, &body, ret_body);
}

static kms_err context_json(const struct model_context *context, struct kms_buf *ret_json)
{
	KMS_AUTO(doc) object = NULL;
	KMS_TRY(doc_new_object(&object));
	for (size_t i = 0; i < context->count; i++) {
		doc_set_text(object, context->pairs[i].name, context->pairs[i].value);
	}
	return doc_write(object, ret_json);
}

static kms_err write_request_item(
	struct kms_writer *out, enum model_op op, const struct model_item *item)
{
	KMS_AUTO_BUF context = {0};
	KMS_TRY(context_json(item->context, &context));
	kms_write_text(out, "{\"context\":");
	kms_write_bytes(out, kms_buf_bytes(&context));
	if (op == MODEL_OP_WRAP) {
		KMS_ASSERT(item->data_key != NULL);
		kms_write_text(out, ",");
		write_key(out, item->data_key);
	}
	kms_write_text(out, ",");
	if (op == MODEL_OP_UNWRAP || op == MODEL_OP_REWRAP) {
		write_wrapped(out, &item->wrapped);
	} else {
		char text[KMS_ID_TEXT];
		kms_write_format(
			out, "\"wrapped_key\":\"%s\"", kms_id_text(&item->wrapped_key, text));
	}
	kms_write_text(out, "}");
	return KMS_OK;
}

/* At most: doc doubles quotes and backslashes, and nothing else can stand in a context. */
static size_t context_room(const struct model_context *context)
{
	size_t room = 2;
	for (size_t i = 0; i < context->count; i++) {
		room += strlen(context->pairs[i].name) + 2 * strlen(context->pairs[i].value) + 6;
	}
	return room;
}

kms_err wire_clear_request_write(const struct model_request *request, struct kms_secret **ret_body)
{
	size_t room = BODY_ROOM;
	for (size_t i = 0; i < request->u.use.item_count; i++) {
		const struct model_item *item = &request->u.use.items[i];
		room += ITEM_ROOM + context_room(item->context) + key_room(item->data_key) +
			kms_base64_len(item->wrapped.len);
	}
	KMS_AUTO(kms_secret) body = NULL;
	KMS_TRY(kms_secret_new(room, &body));
	struct kms_writer out = kms_writer_fixed(kms_secret_ptr(body), room);
	kms_write_text(&out, "{\"items\":[");
	for (size_t i = 0; i < request->u.use.item_count; i++) {
		kms_write_text(&out, i > 0 ? "," : "");
		KMS_TRY(write_request_item(&out, request->op, &request->u.use.items[i]));
	}
	kms_write_text(&out, "]");
	if (!kms_id_is_zero(&request->u.use.holder)) {
		char holder[KMS_ID_TEXT];
		kms_write_format(
			&out, ",\"holder\":\"%s\"", kms_id_text(&request->u.use.holder, holder));
	}
	kms_write_text(&out, "}");
	return finish(&out, &body, ret_body);
}
