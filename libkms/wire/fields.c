/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs to JSON objects and back, by tables of fields. Runs in kmsd and in libkms, on bytes from
 * outside. It must never leave a member unread or write past a field: sizes come from the table.
 */
#include <stdlib.h>
#include <string.h>

#include "wire_int.h"

#define INT_MAX_JSON (((uint64_t)1 << 53) - 1)

const char *wire_role(unsigned value)
{
	return model_role_text((enum model_role)value);
}

const char *wire_class(unsigned value)
{
	return model_class_text((enum model_class)value);
}

const char *wire_custody(unsigned value)
{
	return model_custody_text((enum model_custody)value);
}

const char *wire_delivery(unsigned value)
{
	return model_delivery_text((enum model_delivery)value);
}

const char *wire_state(unsigned value)
{
	return model_state_text((enum model_state)value);
}

const char *wire_kek_state(unsigned value)
{
	return model_kek_state_text((enum model_kek_state)value);
}

/* ---- out ---- */

static void set_u64(struct doc *object, const char *name, uint64_t value)
{
	/* doc refuses what JSON readers do not hold exactly; a larger one becomes such. */
	doc_set_int(object, name, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void set_ids(struct doc *object, const struct wire_field *field, const char *base)
{
	uint32_t count;
	memcpy(&count, base + field->count_at, sizeof(count));
	KMS_ASSERT(count <= field->size / sizeof(struct kms_id));
	struct doc *array = doc_set_array(object, field->name);
	for (uint32_t i = 0; i < count; i++) {
		struct kms_id id;
		char text[KMS_ID_TEXT];
		memcpy(&id, base + field->at + i * sizeof(id), sizeof(id));
		doc_add_text(array, kms_id_text(&id, text));
	}
}

static void set_number(struct doc *object, const struct wire_field *field, const char *at)
{
	uint64_t wide = 0;
	uint32_t narrow = 0;
	bool truth = false;
	if (field->kind == WIRE_BOOL) {
		memcpy(&truth, at, sizeof(truth));
		doc_set_bool(object, field->name, truth);
	} else if (field->size == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		set_u64(object, field->name, wide);
	} else {
		memcpy(&narrow, at, sizeof(narrow));
		if (field->kind == WIRE_WORD) {
			doc_set_text(object, field->name, field->word(narrow));
		} else {
			set_u64(object, field->name, narrow);
		}
	}
}

static void set_buf(struct doc *object, const struct wire_field *field, const char *at)
{
	struct kms_buf buf;
	memcpy(&buf, at, sizeof(buf));
	if (field->kind == WIRE_BUF || buf.len > 0) {
		doc_set_bytes(object, field->name, kms_buf_bytes(&buf));
	}
}

static void set_field(struct doc *object, const struct wire_field *field, const char *base)
{
	const char *at = base + field->at;
	struct kms_id id;
	struct kms_hash hash;
	char *text;
	switch (field->kind) {
	case WIRE_ID:
	case WIRE_ID_OPTIONAL:
		memcpy(&id, at, sizeof(id));
		if (field->kind == WIRE_ID || !kms_id_is_zero(&id)) {
			doc_set_id(object, field->name, &id);
		}
		break;
	case WIRE_HASH:
		memcpy(&hash, at, sizeof(hash));
		doc_set_hash(object, field->name, &hash);
		break;
	case WIRE_TEXT:
		doc_set_text(object, field->name, at);
		break;
	case WIRE_TEXT_OWNED:
		memcpy(&text, at, sizeof(text));
		doc_set_text(object, field->name, text == NULL ? "" : text);
		break;
	case WIRE_BYTES:
		doc_set_bytes(
			object, field->name, (struct kms_bytes){(const uint8_t *)at, field->size});
		break;
	case WIRE_BUF:
	case WIRE_BUF_OPTIONAL:
		set_buf(object, field, at);
		break;
	case WIRE_WORD:
	case WIRE_BOOL:
	case WIRE_U32:
	case WIRE_U64:
	case WIRE_I64:
		set_number(object, field, at);
		break;
	case WIRE_IDS:
		set_ids(object, field, base);
		break;
	}
}

void wire_fields_set(struct doc *object, const struct wire_field *fields, const void *from)
{
	for (; fields->name != NULL; fields++) {
		set_field(object, fields, from);
	}
}

void wire_rows_set(struct doc *object, const char *name, const struct wire_field *fields,
	const void *rows, size_t count, size_t row_bytes)
{
	struct doc *array = doc_set_array(object, name);
	for (size_t i = 0; i < count; i++) {
		wire_fields_set(doc_add_object(array), fields, (const char *)rows + i * row_bytes);
	}
}

/* ---- in ---- */

static kms_err get_ids(struct doc *object, const struct wire_field *field, char *base)
{
	struct doc *array = NULL;
	KMS_TRY(doc_get_array(object, field->name, &array));
	size_t count = doc_count(array);
	if (count > field->size / sizeof(struct kms_id)) {
		return KMS_ERR(TOO_LARGE);
	}
	for (size_t i = 0; i < count; i++) {
		const char *text = NULL;
		struct kms_id id;
		KMS_TRY(doc_item_text(array, i, &text));
		KMS_TRY(kms_id_parse(text, &id));
		memcpy(base + field->at + i * sizeof(id), &id, sizeof(id));
	}
	uint32_t narrow = (uint32_t)count;
	memcpy(base + field->count_at, &narrow, sizeof(narrow));
	return KMS_OK;
}

static kms_err get_number(struct doc *object, const struct wire_field *field, char *at)
{
	uint64_t wide = 0;
	if (field->kind == WIRE_BOOL) {
		bool truth = false;
		KMS_TRY(doc_get_bool(object, field->name, &truth));
		memcpy(at, &truth, sizeof(truth));
		return KMS_OK;
	}
	bool is_wide = field->size == sizeof(wide);
	KMS_TRY(doc_get_uint(object, field->name, is_wide ? INT_MAX_JSON : UINT32_MAX, &wide));
	if (is_wide) {
		memcpy(at, &wide, sizeof(wide));
	} else {
		uint32_t narrow = (uint32_t)wide;
		memcpy(at, &narrow, sizeof(narrow));
	}
	return KMS_OK;
}

static kms_err get_word(struct doc *object, const struct wire_field *field, char *at)
{
	const char *text = NULL;
	KMS_TRY(doc_get_text(object, field->name, &text));
	/* Words start at 1 and their tables end with "unknown". */
	for (unsigned value = 1; strcmp(field->word(value), "unknown") != 0; value++) {
		if (strcmp(field->word(value), text) == 0) {
			memcpy(at, &value, sizeof(value));
			return KMS_OK;
		}
	}
	return KMS_ERR(FORMAT);
}

static kms_err get_text(struct doc *object, const struct wire_field *field, char *at)
{
	const char *text = NULL;
	KMS_TRY(doc_get_text(object, field->name, &text));
	if (field->kind == WIRE_TEXT) {
		KMS_TRY(model_text_check(text, field->size - 1));
		memcpy(at, text, strlen(text) + 1);
		return KMS_OK;
	}
	if (strlen(text) > field->max) {
		return KMS_ERR(TOO_LARGE);
	}
	char *copy = strdup(text);
	if (copy == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	memcpy(at, &copy, sizeof(copy));
	return KMS_OK;
}

static kms_err get_bytes(struct doc *object, const struct wire_field *field, char *at)
{
	if (field->kind == WIRE_BUF_OPTIONAL && !doc_has(object, field->name)) {
		return KMS_OK;
	}
	struct kms_buf buf = {0};
	bool is_array = field->kind == WIRE_BYTES;
	KMS_TRY(doc_get_bytes(object, field->name, is_array ? field->size : field->max, &buf));
	if (!is_array) {
		memcpy(at, &buf, sizeof(buf));
		return KMS_OK;
	}
	kms_err err = buf.len == field->size ? KMS_OK : KMS_ERR(FORMAT);
	if (kms_is_ok(err)) {
		memcpy(at, buf.ptr, buf.len);
	}
	kms_buf_free(&buf);
	return err;
}

static kms_err get_id(struct doc *object, const struct wire_field *field, char *at)
{
	struct kms_id id;
	if (field->kind == WIRE_ID_OPTIONAL && !doc_has(object, field->name)) {
		return KMS_OK;
	}
	KMS_TRY(doc_get_id(object, field->name, &id));
	if (kms_id_is_zero(&id)) {
		return KMS_ERR(FORMAT);
	}
	memcpy(at, &id, sizeof(id));
	return KMS_OK;
}

static kms_err get_field(struct doc *object, const struct wire_field *field, char *base)
{
	char *at = base + field->at;
	struct kms_hash hash;
	switch (field->kind) {
	case WIRE_ID:
	case WIRE_ID_OPTIONAL:
		return get_id(object, field, at);
	case WIRE_HASH:
		KMS_TRY(doc_get_hash(object, field->name, &hash));
		memcpy(at, &hash, sizeof(hash));
		return KMS_OK;
	case WIRE_TEXT:
	case WIRE_TEXT_OWNED:
		return get_text(object, field, at);
	case WIRE_BYTES:
	case WIRE_BUF:
	case WIRE_BUF_OPTIONAL:
		return get_bytes(object, field, at);
	case WIRE_WORD:
		return get_word(object, field, at);
	case WIRE_BOOL:
	case WIRE_U32:
	case WIRE_U64:
	case WIRE_I64:
		return get_number(object, field, at);
	case WIRE_IDS:
		return get_ids(object, field, base);
	}
	return KMS_ERR(INTERNAL);
}

kms_err wire_fields_get(struct doc *object, const struct wire_field *fields, void *into)
{
	for (; fields->name != NULL; fields++) {
		KMS_TRY(get_field(object, fields, into));
	}
	return doc_end(object);
}

kms_err wire_rows_get(struct doc *object, const char *name, const struct wire_field *fields,
	size_t row_bytes, size_t max, void **rows, size_t *count)
{
	struct doc *array = NULL;
	KMS_TRY(doc_get_array(object, name, &array));
	size_t found = doc_count(array);
	if (found > max) {
		return KMS_ERR(TOO_LARGE);
	}
	*rows = calloc(found + 1, row_bytes);
	if (*rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*count = found;
	for (size_t i = 0; i < found; i++) {
		struct doc *item = NULL;
		KMS_TRY(doc_item_object(array, i, &item));
		KMS_TRY(wire_fields_get(item, fields, (char *)*rows + i * row_bytes));
	}
	return KMS_OK;
}
