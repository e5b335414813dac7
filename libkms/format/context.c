/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical encryption context: the bytes that a wrapped key is bound to. Two programs that
 * hold the same pairs hold the same bytes.
 */
#include "format_int.h"

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

struct pair {
	const char *name;
	const char *value;
};

static int pair_compare(const void *a, const void *b)
{
	const struct pair *left = a;
	const struct pair *right = b;
	return strcmp(left->name, right->name);
}

kms_err format_context_write(
	const struct model_context *context, const struct kms_id *tenant, struct kms_buf *ret_bytes)
{
	struct pair pairs[LIMIT_CONTEXT_PAIRS + 1];
	char tenant_text[KMS_ID_TEXT];
	size_t count = 0;

	if (context->count > LIMIT_CONTEXT_PAIRS) {
		return KMS_ERR(TOO_LARGE);
	}
	for (; count < context->count; count++) {
		pairs[count].name = context->pairs[count].name;
		pairs[count].value = context->pairs[count].value;
	}
	pairs[count].name = MODEL_CONTEXT_TENANT;
	pairs[count].value = kms_id_text(tenant, tenant_text);
	count++;
	qsort(pairs, count, sizeof(pairs[0]), pair_compare);

	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_CONTEXT_BYTES);
	kms_write_u16(&writer, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		/* A pair named twice, and so also a caller's own "tenant". */
		if (i > 0 && strcmp(pairs[i - 1].name, pairs[i].name) == 0) {
			return KMS_ERR(ARGUMENT);
		}
		kms_write_lp16(&writer, kms_bytes_str(pairs[i].name));
		kms_write_lp16(&writer, kms_bytes_str(pairs[i].value));
	}
	return kms_writer_take(&writer, ret_bytes);
}

/* Length-prefixed text without NUL into text, which has room for max + 1. */
static kms_err text_read(struct kms_reader *reader, size_t max, char *text)
{
	struct kms_bytes bytes;
	KMS_TRY(kms_read_lp16(reader, max, &bytes));
	if (bytes.len > 0) {
		if (memchr(bytes.ptr, 0, bytes.len) != NULL) {
			return KMS_ERR(FORMAT);
		}
		memcpy(text, bytes.ptr, bytes.len);
	}
	text[bytes.len] = 0;
	return KMS_OK;
}

kms_err format_context_scan(
	struct kms_bytes bytes, struct model_context *into, struct kms_id *ret_tenant)
{
	struct kms_reader reader = kms_reader_of(bytes);
	char previous[LIMIT_CONTEXT_NAME + 1] = "";
	struct kms_id tenant;
	bool has_tenant = false;
	uint16_t count = 0;

	into->count = 0;
	KMS_TRY(kms_read_u16(&reader, &count));
	if (count > LIMIT_CONTEXT_PAIRS + 1) {
		return KMS_ERR(TOO_LARGE);
	}
	for (uint16_t i = 0; i < count; i++) {
		char name[LIMIT_CONTEXT_NAME + 1];
		char value[LIMIT_CONTEXT_VALUE + 1];
		KMS_TRY(text_read(&reader, LIMIT_CONTEXT_NAME, name));
		KMS_TRY(text_read(&reader, LIMIT_CONTEXT_VALUE, value));
		/* Strictly ascending: sorted, none twice; an empty name fails here too. */
		if (strcmp(previous, name) >= 0) {
			return KMS_ERR(FORMAT);
		}
		memcpy(previous, name, sizeof(name));
		if (strcmp(name, MODEL_CONTEXT_TENANT) == 0) {
			if (!kms_is_ok(kms_id_parse(value, &tenant))) {
				return KMS_ERR(FORMAT);
			}
			has_tenant = true;
			continue;
		}
		kms_err err = model_context_add(into, name, value);
		if (!kms_is_ok(err)) {
			return kms_is(err, KMS_CODE_TOO_LARGE) ? err : KMS_ERR(FORMAT);
		}
	}
	KMS_TRY(kms_read_end(&reader));
	if (!has_tenant) {
		return KMS_ERR(FORMAT);
	}
	*ret_tenant = tenant;
	return KMS_OK;
}

kms_err format_context_read(
	struct kms_bytes bytes, struct model_context *ret_context, struct kms_id *ret_tenant)
{
	KMS_AUTO_FREE struct model_context *context = calloc(1, sizeof(*context));
	if (context == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(format_context_scan(bytes, context, ret_tenant));
	*ret_context = *context;
	return KMS_OK;
}

kms_err format_context_hash(struct kms_bytes canonical, struct kms_hash *ret_hash)
{
	return crypto_sha256_one(canonical, ret_hash);
}
