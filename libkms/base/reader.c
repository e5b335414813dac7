/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded reader of big-endian bytes: with the writer, the only way wire bytes are parsed.
 * Runs in every program. It must never read past the end, and a failed read leaves the reader
 * where it was.
 */
#include <string.h>

#include "base.h"

struct kms_reader kms_reader_of(struct kms_bytes bytes)
{
	return (struct kms_reader){bytes.ptr, bytes.len};
}

kms_err kms_read_bytes(struct kms_reader *reader, size_t len, struct kms_bytes *ret_bytes)
{
	if (len > reader->left) {
		return KMS_ERR(TRUNCATED);
	}
	*ret_bytes = (struct kms_bytes){reader->ptr, len};
	if (len > 0) { /* NULL + 0 of an empty reader is not arithmetic C knows */
		reader->ptr += len;
		reader->left -= len;
	}
	return KMS_OK;
}

static kms_err read_number(struct kms_reader *reader, size_t len, uint64_t *ret_value)
{
	struct kms_bytes bytes;
	KMS_TRY(kms_read_bytes(reader, len, &bytes));
	uint64_t value = 0;
	for (size_t i = 0; i < len; i++) {
		value = value << 8 | bytes.ptr[i];
	}
	*ret_value = value;
	return KMS_OK;
}

kms_err kms_read_u8(struct kms_reader *reader, uint8_t *ret_value)
{
	uint64_t value;
	KMS_TRY(read_number(reader, sizeof(*ret_value), &value));
	*ret_value = (uint8_t)value;
	return KMS_OK;
}

kms_err kms_read_u16(struct kms_reader *reader, uint16_t *ret_value)
{
	uint64_t value;
	KMS_TRY(read_number(reader, sizeof(*ret_value), &value));
	*ret_value = (uint16_t)value;
	return KMS_OK;
}

kms_err kms_read_u32(struct kms_reader *reader, uint32_t *ret_value)
{
	uint64_t value;
	KMS_TRY(read_number(reader, sizeof(*ret_value), &value));
	*ret_value = (uint32_t)value;
	return KMS_OK;
}

kms_err kms_read_u64(struct kms_reader *reader, uint64_t *ret_value)
{
	return read_number(reader, sizeof(*ret_value), ret_value);
}

kms_err kms_read_fixed(struct kms_reader *reader, void *ret_bytes, size_t len)
{
	struct kms_bytes bytes;
	KMS_TRY(kms_read_bytes(reader, len, &bytes));
	if (len > 0) {
		memcpy(ret_bytes, bytes.ptr, len);
	}
	return KMS_OK;
}

static kms_err read_lp(
	struct kms_reader *reader, size_t prefix, size_t max, struct kms_bytes *ret_bytes)
{
	struct kms_reader ahead = *reader;
	uint64_t len;
	KMS_TRY(read_number(&ahead, prefix, &len));
	if (len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(kms_read_bytes(&ahead, (size_t)len, ret_bytes));
	*reader = ahead;
	return KMS_OK;
}

kms_err kms_read_lp16(struct kms_reader *reader, size_t max, struct kms_bytes *ret_bytes)
{
	return read_lp(reader, sizeof(uint16_t), max, ret_bytes);
}

kms_err kms_read_lp32(struct kms_reader *reader, size_t max, struct kms_bytes *ret_bytes)
{
	return read_lp(reader, sizeof(uint32_t), max, ret_bytes);
}

kms_err kms_read_expect(struct kms_reader *reader, const void *bytes, size_t len)
{
	struct kms_reader ahead = *reader;
	struct kms_bytes found;
	KMS_TRY(kms_read_bytes(&ahead, len, &found));
	if (!kms_bytes_equal(found, (struct kms_bytes){bytes, len})) {
		return KMS_ERR(FORMAT);
	}
	*reader = ahead;
	return KMS_OK;
}

kms_err kms_read_end(const struct kms_reader *reader)
{
	return reader->left == 0 ? KMS_OK : KMS_ERR(FORMAT);
}
