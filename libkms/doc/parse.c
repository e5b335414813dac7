/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict JSON in. Runs in every program that speaks JSON, on bytes from outside. It must never
 * accept what another reader could understand differently (RFC 7493), nor log what it read: a
 * body may carry a key.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "doc_int.h"

static kms_err copy_value(json_t *from, size_t depth, struct doc **ret_node);

static kms_err refuse(const char *reason)
{
	kms_log(KMS_LOG_DEBUG, "JSON refused: %s", reason);
	return KMS_ERR(FORMAT);
}

static kms_err copy_text(const char *from, char **ret_text)
{
	char *text = strdup(from);
	if (text == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*ret_text = text;
	return KMS_OK;
}

static kms_err copy_items(json_t *from, size_t depth, struct doc *array)
{
	for (size_t i = 0; i < json_array_size(from); i++) {
		KMS_AUTO(doc) child = NULL;
		KMS_TRY(copy_value(json_array_get(from, i), depth, &child));
		KMS_TRY(doc_node_insert(array, array->count, &child));
	}
	return KMS_OK;
}

static int compare_members(const void *a, const void *b)
{
	const struct doc *const *x = a;
	const struct doc *const *y = b;
	return doc_name_compare((*x)->name, (*y)->name);
}

static kms_err copy_members(json_t *from, size_t depth, struct doc *object)
{
	for (void *at = json_object_iter(from); at != NULL; at = json_object_iter_next(from, at)) {
		KMS_AUTO(doc) child = NULL;
		KMS_TRY(copy_value(json_object_iter_value(at), depth, &child));
		KMS_TRY(copy_text(json_object_iter_key(at), &child->name));
		KMS_TRY(doc_node_insert(object, object->count, &child));
	}
	if (object->count > 1) {
		qsort(object->children, object->count, sizeof(struct doc *), compare_members);
	}
	return KMS_OK;
}

static kms_err copy_int(json_t *from, struct doc *node)
{
	json_int_t value = json_integer_value(from);
	if (value > DOC_INT_MAX || value < -DOC_INT_MAX) {
		return refuse("an integer of 2^53 or more");
	}
	node->number = value;
	return KMS_OK;
}

/* depth is that of the container around the value. */
static kms_err copy_value(json_t *from, size_t depth, struct doc **ret_node)
{
	static const enum doc_type TYPES[] = {
		[JSON_OBJECT] = DOC_OBJECT,
		[JSON_ARRAY] = DOC_ARRAY,
		[JSON_STRING] = DOC_TEXT,
		[JSON_INTEGER] = DOC_INT,
		[JSON_REAL] = DOC_NULL, /* refused below */
		[JSON_TRUE] = DOC_BOOL,
		[JSON_FALSE] = DOC_BOOL,
		[JSON_NULL] = DOC_NULL,
	};
	if (json_is_real(from)) {
		return refuse("a number with a fraction or an exponent");
	}
	if ((json_is_object(from) || json_is_array(from)) && depth == DOC_DEPTH_MAX) {
		return refuse("nested too deep");
	}
	KMS_AUTO(doc) node = NULL;
	KMS_TRY(doc_node_new(TYPES[json_typeof(from)], &node));
	switch (node->type) {
	case DOC_OBJECT:
		KMS_TRY(copy_members(from, depth + 1, node));
		break;
	case DOC_ARRAY:
		KMS_TRY(copy_items(from, depth + 1, node));
		break;
	case DOC_TEXT:
		KMS_TRY(copy_text(json_string_value(from), &node->text));
		break;
	case DOC_INT:
		KMS_TRY(copy_int(from, node));
		break;
	case DOC_BOOL:
		node->number = json_is_true(from);
		break;
	case DOC_NULL:
		break;
	}
	*ret_node = kms_take(&node);
	return KMS_OK;
}

kms_err doc_parse(struct kms_bytes json, size_t max, struct doc **ret_doc)
{
	if (json.len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	doc_heap_wipe();
	json_error_t error;
	/*
	 * Without JSON_DECODE_ANY, JSON_DISABLE_EOF_CHECK and JSON_ALLOW_NUL: one object or array,
	 * nothing behind it, no \u0000. Bad UTF-8 and lone surrogates jansson always refuses.
	 */
	json_t *parsed =
		json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
	if (parsed == NULL) {
		/* Not error.text: it quotes the input. */
		kms_log(KMS_LOG_DEBUG, "JSON refused at line %d, column %d", error.line,
			error.column);
		return json_error_code(&error) == json_error_out_of_memory ? KMS_ERR(NO_MEMORY)
									   : KMS_ERR(FORMAT);
	}
	kms_err err = copy_value(parsed, 0, ret_doc);
	json_decref(parsed);
	return err;
}
