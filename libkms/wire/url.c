/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in a URL beside its path: the id in the path, and the arguments of lists. Runs in
 * kmsd and in libkms. Nothing here needs percent-encoding: ids and numbers only.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wire_int.h"

#define ID_PART "{id}"

/* ---- out ---- */

static kms_err write_path(const char *path, const char *id, struct kms_writer *target)
{
	const char *part = strstr(path, ID_PART);
	KMS_ASSERT((part != NULL) == (id != NULL));
	if (part == NULL) {
		kms_write_text(target, path);
	} else {
		kms_write_fixed(target, path, (size_t)(part - path));
		kms_write_text(target, id);
		kms_write_text(target, part + strlen(ID_PART));
	}
	return KMS_OK;
}

static void write_page(struct kms_writer *target, const struct model_request *request)
{
	char text[KMS_ID_TEXT];
	char mark = '?';
	if (!kms_id_is_zero(&request->u.list.after)) {
		kms_write_format(target, "?after=%s", kms_id_text(&request->u.list.after, text));
		mark = '&';
	}
	if (request->u.list.limit > 0) {
		kms_write_format(target, "%climit=%" PRIu32, mark, request->u.list.limit);
	}
}

static void write_range(struct kms_writer *target, const struct model_request *request)
{
	kms_write_format(target, "?from=%" PRIu64, request->u.entries.from);
	if (request->u.entries.limit > 0) {
		kms_write_format(target, "&limit=%" PRIu32, request->u.entries.limit);
	}
}

kms_err wire_url_write(
	enum wire_url url, const char *path, const struct model_request *request, char **ret_target)
{
	enum { TARGET_MAX = 256 };
	KMS_AUTO_WRITER target = kms_writer_grow(TARGET_MAX);
	char text[KMS_ID_TEXT];
	KMS_AUTO_FREE char *number = NULL;
	const char *id = NULL;
	if (url == WIRE_URL_ID) {
		id = kms_id_text(&request->u.id, text);
	} else if (url == WIRE_URL_KEY) {
		id = kms_id_text(&request->u.use.key, text);
	} else if (url == WIRE_URL_ERASURE) {
		id = kms_id_text(&request->u.erase_sign.id, text);
	} else if (url == WIRE_URL_BATCH) {
		KMS_TRY(kms_text(&number, "%" PRIu64, request->u.use_batch));
		id = number;
	}
	KMS_TRY(write_path(path, id, &target));
	if (url == WIRE_URL_PAGE) {
		write_page(&target, request);
	} else if (url == WIRE_URL_RANGE) {
		write_range(&target, request);
	}
	kms_write_u8(&target, '\0');
	struct kms_buf taken = {0};
	KMS_TRY(kms_writer_take(&target, &taken));
	*ret_target = (char *)taken.ptr;
	return KMS_OK;
}

/* ---- in ---- */

/* Decimal digits without a leading zero, below 2^53: one spelling of each number. */
static kms_err read_number(const char *text, uint64_t max, uint64_t *ret_value)
{
	size_t len = strlen(text);
	if (len == 0 || len > 16 || strspn(text, "0123456789") != len ||
		(text[0] == '0' && len > 1)) {
		return KMS_ERR(FORMAT);
	}
	uint64_t value = strtoull(text, NULL, 10);
	if (value > max) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_value = value;
	return KMS_OK;
}

static kms_err read_limit(const char *text, uint32_t max, uint32_t *ret_limit)
{
	uint64_t value = 0;
	KMS_TRY(read_number(text, max, &value));
	*ret_limit = (uint32_t)value;
	return KMS_OK;
}

static kms_err read_page(const struct wire_query *query, struct model_request *request)
{
	if (strcmp(query->name, "after") == 0) {
		return kms_id_parse(query->value, &request->u.list.after);
	}
	if (strcmp(query->name, "limit") == 0) {
		return read_limit(query->value, LIMIT_LIST_PAGE, &request->u.list.limit);
	}
	return KMS_ERR(FORMAT);
}

static kms_err read_range(const struct wire_query *query, struct model_request *request)
{
	if (strcmp(query->name, "from") == 0) {
		return read_number(query->value, ((uint64_t)1 << 53) - 1, &request->u.entries.from);
	}
	if (strcmp(query->name, "limit") == 0) {
		return read_limit(query->value, LIMIT_ENTRIES_PAGE, &request->u.entries.limit);
	}
	return KMS_ERR(FORMAT);
}

static kms_err read_query(enum wire_url url, const struct wire_query *query, size_t count,
	struct model_request *request)
{
	for (size_t i = 0; i < count; i++) {
		if (query[i].value == NULL) {
			return KMS_ERR(FORMAT);
		}
		for (size_t j = 0; j < i; j++) {
			if (strcmp(query[j].name, query[i].name) == 0) {
				return KMS_ERR(FORMAT);
			}
		}
		if (url == WIRE_URL_PAGE) {
			KMS_TRY(read_page(&query[i], request));
		} else if (url == WIRE_URL_RANGE) {
			KMS_TRY(read_range(&query[i], request));
		} else {
			return KMS_ERR(FORMAT);
		}
	}
	return KMS_OK;
}

kms_err wire_url_read(enum wire_url url, const char *id, const struct wire_query *query,
	size_t query_count, struct model_request *request)
{
	bool has_id = url == WIRE_URL_ID || url == WIRE_URL_KEY || url == WIRE_URL_BATCH ||
		      url == WIRE_URL_ERASURE;
	if (has_id != (id != NULL)) {
		return KMS_ERR(FORMAT);
	}
	if (url == WIRE_URL_ID) {
		KMS_TRY(kms_id_parse(id, &request->u.id));
	} else if (url == WIRE_URL_KEY) {
		KMS_TRY(kms_id_parse(id, &request->u.use.key));
	} else if (url == WIRE_URL_ERASURE) {
		KMS_TRY(kms_id_parse(id, &request->u.erase_sign.id));
	} else if (url == WIRE_URL_BATCH) {
		KMS_TRY(read_number(id, ((uint64_t)1 << 53) - 1, &request->u.use_batch));
	}
	return read_query(url, query, query_count, request);
}
