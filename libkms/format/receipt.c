/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmsd-receipt/1: a client's word that it wiped data keys which it held on lease. Sorted rows, so
 * that one receipt has one form.
 */
#include "format_int.h"

#include <stdlib.h>
#include <string.h>

static const char magic[] = "kmsd-receipt/1";

static int compare_row(const struct format_receipt_row *a, const struct format_receipt_row *b)
{
	int order = memcmp(a->key.b, b->key.b, sizeof(a->key.b));
	return order != 0 ? order : (a->version > b->version) - (a->version < b->version);
}

static kms_err check(const struct format_receipt *receipt)
{
	if (kms_id_is_zero(&receipt->tenant) || kms_id_is_zero(&receipt->holder) ||
		receipt->number == 0 || receipt->unix_ms < 0 || receipt->row_count == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (receipt->row_count > LIMIT_RECEIPT_ROWS) {
		return KMS_ERR(TOO_LARGE);
	}
	for (uint32_t i = 0; i < receipt->row_count; i++) {
		const struct format_receipt_row *row = &receipt->rows[i];
		if (kms_id_is_zero(&row->key) || row->version == 0 || row->count == 0 ||
			(i > 0 && compare_row(&receipt->rows[i - 1], row) >= 0)) {
			return KMS_ERR(ARGUMENT);
		}
		if (row->version > LIMIT_KEY_VERSIONS) {
			return KMS_ERR(TOO_LARGE);
		}
	}
	return KMS_OK;
}

kms_err format_receipt_write(const struct format_receipt *receipt, struct kms_buf *ret_bytes)
{
	KMS_TRY(check(receipt));
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_RECEIPT_BYTES);
	kms_write_text(&writer, magic);
	kms_write_fixed(&writer, receipt->tenant.b, sizeof(receipt->tenant.b));
	kms_write_fixed(&writer, receipt->holder.b, sizeof(receipt->holder.b));
	kms_write_u64(&writer, receipt->number);
	kms_write_u64(&writer, (uint64_t)receipt->unix_ms);
	kms_write_u16(&writer, (uint16_t)receipt->row_count);
	for (uint32_t i = 0; i < receipt->row_count; i++) {
		const struct format_receipt_row *row = &receipt->rows[i];
		kms_write_fixed(&writer, row->key.b, sizeof(row->key.b));
		kms_write_u32(&writer, row->version);
		kms_write_u32(&writer, row->count);
	}
	return kms_writer_take(&writer, ret_bytes);
}

static kms_err read_head(struct kms_reader *reader, struct format_receipt *receipt)
{
	uint64_t unix_ms;
	KMS_TRY(kms_read_expect(reader, magic, sizeof(magic) - 1));
	KMS_TRY(format_id_read(reader, &receipt->tenant));
	KMS_TRY(format_id_read(reader, &receipt->holder));
	KMS_TRY(kms_read_u64(reader, &receipt->number));
	KMS_TRY(kms_read_u64(reader, &unix_ms));
	if (receipt->number > INT64_MAX || unix_ms > INT64_MAX) {
		return KMS_ERR(FORMAT);
	}
	receipt->unix_ms = (int64_t)unix_ms;
	return KMS_OK;
}

static kms_err read_rows(struct kms_reader *reader, struct format_receipt *receipt)
{
	uint16_t count;
	KMS_TRY(kms_read_u16(reader, &count));
	if (count > LIMIT_RECEIPT_ROWS) {
		return KMS_ERR(TOO_LARGE);
	}
	receipt->rows = calloc((size_t)count + 1, sizeof(*receipt->rows));
	if (receipt->rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	receipt->row_count = count;
	for (uint32_t i = 0; i < receipt->row_count; i++) {
		struct format_receipt_row *row = &receipt->rows[i];
		KMS_TRY(format_id_read(reader, &row->key));
		KMS_TRY(kms_read_u32(reader, &row->version));
		KMS_TRY(kms_read_u32(reader, &row->count));
	}
	return kms_read_end(reader);
}

kms_err format_receipt_read(struct kms_bytes bytes, struct format_receipt **ret_receipt)
{
	if (bytes.len > LIMIT_RECEIPT_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO(format_receipt) receipt = calloc(1, sizeof(*receipt));
	if (receipt == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	struct kms_reader reader = kms_reader_of(bytes);
	KMS_TRY(read_head(&reader, receipt));
	KMS_TRY(read_rows(&reader, receipt));
	kms_err err = check(receipt);
	if (!kms_is_ok(err)) {
		return kms_is(err, KMS_CODE_ARGUMENT) ? KMS_ERR(FORMAT) : err;
	}
	*ret_receipt = kms_take(&receipt);
	return KMS_OK;
}

void format_receipt_free(struct format_receipt **receipt)
{
	if (receipt == NULL || *receipt == NULL) {
		return;
	}
	free((*receipt)->rows);
	free(*receipt);
	*receipt = NULL;
}
