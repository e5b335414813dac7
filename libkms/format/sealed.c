/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed request and answer: what libkms and kms-tokend say to each other inside their TLS session.
 * They hold data keys, so they lie in secret memory whole, and what is read borrows from there.
 */
#include "format_int.h"

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t request_magic[4] = {'K', 'M', 'S', 'Q'};
static const uint8_t answer_magic[4] = {'K', 'M', 'S', 'A'};

enum {
	REQUEST_BYTES = 4 + 1 + 1 + 8 + 16 + 2, /* before the items */
	ANSWER_BYTES = 4 + 1 + 1 + 8 + 2,
};

/* What an item carries beside its head, tokens and context, and what an answer that is OK does. */
static const struct shape {
	bool slot_in, key_in, slot_out, key_out;
} shapes[MODEL_OP_COUNT_] = {
	[MODEL_OP_DATAKEY] = {.slot_out = true, .key_out = true},
	[MODEL_OP_WRAP] = {.key_in = true, .slot_out = true},
	[MODEL_OP_UNWRAP] = {.slot_in = true, .key_out = true},
	[MODEL_OP_REWRAP] = {.slot_in = true, .slot_out = true},
};

static kms_err count_check(uint32_t count, struct kms_err none)
{
	if (count == 0) {
		return none;
	}
	return count > LIMIT_BATCH_ITEMS ? KMS_ERR(TOO_LARGE) : KMS_OK;
}

static bool token_listed(const struct format_item *item, const struct kms_id *token)
{
	for (uint32_t i = 0; i < item->token_count; i++) {
		if (kms_id_equal(&item->tokens[i], token)) {
			return true;
		}
	}
	return false;
}

/*
 * What must agree inside one item: its head is of the request's key and of this very context, and
 * its slot is of one of the key's tokens.
 */
static kms_err item_check(
	const struct format_request *request, const struct format_item *item, struct kms_err bad)
{
	struct kms_hash hash;
	if (!kms_id_equal(&item->head.key, &request->key)) {
		return bad;
	}
	if (shapes[request->op].slot_in && !token_listed(item, &item->slot.token)) {
		return bad;
	}
	KMS_TRY(format_context_hash(item->context, &hash));
	return kms_hash_equal(&hash, &item->head.context) ? KMS_OK : KMS_ERR(CONTEXT);
}

void format_request_free(struct format_request **request)
{
	if (*request != NULL) {
		free((*request)->items);
		free(*request);
		*request = NULL;
	}
}

static kms_err item_write_check(const struct format_request *request,
	const struct format_item *item, struct model_context *scratch)
{
	const struct shape *shape = &shapes[request->op];
	struct kms_id tenant;
	KMS_TRY(format_head_check(&item->head));
	KMS_TRY(format_tokens_check(item->tokens, item->token_count));
	if (shape->slot_in) {
		KMS_TRY(format_slot_check(&item->slot));
	}
	if (shape->key_in && (item->data_key == NULL ||
				     kms_secret_len(item->data_key) != LIMIT_DATA_KEY_BYTES)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(format_context_scan(item->context, scratch, &tenant));
	return item_check(request, item, KMS_ERR(ARGUMENT));
}

static size_t item_bytes(const struct shape *shape, const struct format_item *item)
{
	return FORMAT_HEAD_BYTES + 1 + item->token_count * sizeof(struct kms_id) + 2 +
	       item->context.len + (shape->slot_in ? FORMAT_SLOT_BYTES : 0) +
	       (shape->key_in ? LIMIT_DATA_KEY_BYTES : 0);
}

static void item_write(
	struct kms_writer *writer, const struct shape *shape, const struct format_item *item)
{
	format_head_write(writer, &item->head);
	format_tokens_write(writer, item->tokens, item->token_count);
	kms_write_lp16(writer, item->context);
	if (shape->slot_in) {
		format_slot_write(writer, &item->slot);
	}
	if (shape->key_in) {
		kms_write_bytes(writer, kms_secret_bytes(item->data_key));
	}
}

/* Secret memory of exactly len bytes, and a writer that fills it. */
static kms_err message_new(
	size_t len, struct kms_secret **ret_message, struct kms_writer *ret_writer)
{
	if (len > KMS_SECRET_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(kms_secret_new(len, ret_message));
	*ret_writer = kms_writer_fixed(kms_secret_ptr(*ret_message), len);
	return KMS_OK;
}

static kms_err message_done(const struct kms_writer *writer, size_t len)
{
	struct kms_bytes written;
	KMS_TRY(kms_writer_bytes(writer, &written));
	KMS_ASSERT(written.len == len);
	return KMS_OK;
}

kms_err format_request_write(const struct format_request *request, struct kms_secret **ret_bytes)
{
	KMS_AUTO(kms_secret) message = NULL;
	struct kms_writer writer;
	uint8_t op = 0;
	size_t len = REQUEST_BYTES;

	KMS_TRY(format_op_number(request->op, &op));
	KMS_TRY(count_check(request->count, KMS_ERR(ARGUMENT)));
	KMS_AUTO_FREE struct model_context *scratch = calloc(1, sizeof(*scratch));
	if (scratch == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (uint32_t i = 0; i < request->count; i++) {
		KMS_TRY(item_write_check(request, &request->items[i], scratch));
		len += item_bytes(&shapes[request->op], &request->items[i]);
	}
	KMS_TRY(message_new(len, &message, &writer));
	kms_write_fixed(&writer, request_magic, sizeof(request_magic));
	kms_write_u8(&writer, FORMAT_VERSION);
	kms_write_u8(&writer, op);
	kms_write_u64(&writer, request->id);
	kms_write_fixed(&writer, request->key.b, sizeof(request->key.b));
	kms_write_u16(&writer, (uint16_t)request->count);
	for (uint32_t i = 0; i < request->count; i++) {
		item_write(&writer, &shapes[request->op], &request->items[i]);
	}
	KMS_TRY(message_done(&writer, len));
	*ret_bytes = kms_take(&message);
	return KMS_OK;
}

static kms_err item_read(struct kms_reader *reader, const struct format_request *request,
	struct format_item *item, struct model_context *scratch)
{
	const struct shape *shape = &shapes[request->op];
	struct kms_id tenant;
	KMS_TRY(format_head_read(reader, &item->head));
	KMS_TRY(format_tokens_read(reader, item->tokens, &item->token_count));
	KMS_TRY(kms_read_lp16(reader, LIMIT_CONTEXT_BYTES, &item->context));
	KMS_TRY(format_context_scan(item->context, scratch, &tenant));
	if (shape->slot_in) {
		KMS_TRY(format_slot_read(reader, &item->slot));
	}
	if (shape->key_in) {
		KMS_TRY(kms_read_bytes(reader, LIMIT_DATA_KEY_BYTES, &item->data_key_bytes));
	}
	return item_check(request, item, KMS_ERR(FORMAT));
}

kms_err format_request_read(struct kms_bytes bytes, struct format_request **ret_request)
{
	struct kms_reader reader = kms_reader_of(bytes);
	KMS_AUTO(format_request) request = calloc(1, sizeof(*request));
	KMS_AUTO_FREE struct model_context *scratch = calloc(1, sizeof(*scratch));
	uint16_t count = 0;

	if (request == NULL || scratch == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(kms_read_expect(&reader, request_magic, sizeof(request_magic)));
	KMS_TRY(format_version_read(&reader));
	KMS_TRY(format_op_read(&reader, &request->op));
	KMS_TRY(kms_read_u64(&reader, &request->id));
	KMS_TRY(format_id_read(&reader, &request->key));
	KMS_TRY(kms_read_u16(&reader, &count));
	KMS_TRY(count_check(count, KMS_ERR(FORMAT)));
	request->items = calloc(count, sizeof(request->items[0]));
	if (request->items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	request->count = count;
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(item_read(&reader, request, &request->items[i], scratch));
	}
	KMS_TRY(kms_read_end(&reader));
	*ret_request = kms_take(&request);
	return KMS_OK;
}

void format_answer_free(struct format_answer **answer)
{
	if (*answer != NULL) {
		free((*answer)->items);
		free(*answer);
		*answer = NULL;
	}
}

static kms_err answer_item_check(const struct shape *shape, const struct format_answer_item *item)
{
	if (item->code != KMS_CODE_OK) {
		return KMS_OK;
	}
	if (shape->slot_out) {
		KMS_TRY(format_slot_check(&item->slot));
	}
	if (shape->key_out && (item->data_key == NULL ||
				      kms_secret_len(item->data_key) != LIMIT_DATA_KEY_BYTES)) {
		return KMS_ERR(ARGUMENT);
	}
	return KMS_OK;
}

static size_t answer_item_bytes(const struct shape *shape, const struct format_answer_item *item)
{
	if (item->code != KMS_CODE_OK) {
		return 2;
	}
	return (size_t)2 + (shape->slot_out ? FORMAT_SLOT_BYTES : 0) +
	       (shape->key_out ? LIMIT_DATA_KEY_BYTES : 0);
}

static void answer_item_write(
	struct kms_writer *writer, const struct shape *shape, const struct format_answer_item *item)
{
	kms_write_u16(writer, (uint16_t)item->code);
	if (item->code != KMS_CODE_OK) {
		return;
	}
	if (shape->slot_out) {
		format_slot_write(writer, &item->slot);
	}
	if (shape->key_out) {
		kms_write_bytes(writer, kms_secret_bytes(item->data_key));
	}
}

kms_err format_answer_write(const struct format_answer *answer, struct kms_secret **ret_bytes)
{
	KMS_AUTO(kms_secret) message = NULL;
	struct kms_writer writer;
	uint8_t op = 0;
	size_t len = ANSWER_BYTES;

	KMS_TRY(format_op_number(answer->op, &op));
	KMS_TRY(count_check(answer->count, KMS_ERR(ARGUMENT)));
	for (uint32_t i = 0; i < answer->count; i++) {
		KMS_TRY(answer_item_check(&shapes[answer->op], &answer->items[i]));
		len += answer_item_bytes(&shapes[answer->op], &answer->items[i]);
	}
	KMS_TRY(message_new(len, &message, &writer));
	kms_write_fixed(&writer, answer_magic, sizeof(answer_magic));
	kms_write_u8(&writer, FORMAT_VERSION);
	kms_write_u8(&writer, op);
	kms_write_u64(&writer, answer->id);
	kms_write_u16(&writer, (uint16_t)answer->count);
	for (uint32_t i = 0; i < answer->count; i++) {
		answer_item_write(&writer, &shapes[answer->op], &answer->items[i]);
	}
	KMS_TRY(message_done(&writer, len));
	*ret_bytes = kms_take(&message);
	return KMS_OK;
}

static kms_err answer_item_read(
	struct kms_reader *reader, const struct shape *shape, struct format_answer_item *item)
{
	uint16_t code = 0;
	KMS_TRY(kms_read_u16(reader, &code));
	item->code = kms_err_from_code(code).code;
	if ((uint16_t)item->code != code) {
		return KMS_ERR(FORMAT);
	}
	if (item->code != KMS_CODE_OK) {
		return KMS_OK;
	}
	if (shape->slot_out) {
		KMS_TRY(format_slot_read(reader, &item->slot));
	}
	if (shape->key_out) {
		KMS_TRY(kms_read_bytes(reader, LIMIT_DATA_KEY_BYTES, &item->data_key_bytes));
	}
	return KMS_OK;
}

kms_err format_answer_read(struct kms_bytes bytes, struct format_answer **ret_answer)
{
	struct kms_reader reader = kms_reader_of(bytes);
	KMS_AUTO(format_answer) answer = calloc(1, sizeof(*answer));
	uint16_t count = 0;

	if (answer == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(kms_read_expect(&reader, answer_magic, sizeof(answer_magic)));
	KMS_TRY(format_version_read(&reader));
	KMS_TRY(format_op_read(&reader, &answer->op));
	KMS_TRY(kms_read_u64(&reader, &answer->id));
	KMS_TRY(kms_read_u16(&reader, &count));
	KMS_TRY(count_check(count, KMS_ERR(FORMAT)));
	answer->items = calloc(count, sizeof(answer->items[0]));
	if (answer->items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->count = count;
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(answer_item_read(&reader, &shapes[answer->op], &answer->items[i]));
	}
	KMS_TRY(kms_read_end(&reader));
	*ret_answer = kms_take(&answer);
	return KMS_OK;
}
