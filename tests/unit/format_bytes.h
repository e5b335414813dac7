/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of formats: fixed ids and hashes, and bytes that are changed in one place. */
#ifndef KMS_TEST_FORMAT_BYTES_H
#define KMS_TEST_FORMAT_BYTES_H

#include "crypto.h"
#include "format.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* xxxxxxxx-0000-4000-8000-0000000000xx with one byte x repeated, so that goldens read well. */
static inline struct kms_id id_of(uint8_t x)
{
	struct kms_id id = {{x, x, x, x, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, x}};
	return id;
}

static inline struct kms_hash hash_of(uint8_t x)
{
	struct kms_hash hash;
	memset(hash.b, x, sizeof(hash.b));
	return hash;
}

/* What a reader says of bytes. */
typedef kms_err (*reader_fn)(struct kms_bytes bytes);

/* Every proper prefix, and one byte more, is refused. */
static inline void all_cuts_refused(struct kms_bytes bytes, reader_fn reader)
{
	uint8_t *longer = calloc(1, bytes.len + 1);
	ck_assert_ptr_nonnull(longer);
	memcpy(longer, bytes.ptr, bytes.len);
	ck_assert(kms_is_ok(reader((struct kms_bytes){longer, bytes.len})));
	for (size_t len = 0; len < bytes.len; len++) {
		/* Of exactly that size, so that ASan sees a read past the end. */
		uint8_t *cut = malloc(len + (len == 0 ? 1 : 0));
		ck_assert_ptr_nonnull(cut);
		memcpy(cut, longer, len);
		ck_assert_msg(!kms_is_ok(reader((struct kms_bytes){cut, len})), "cut at %zu", len);
		free(cut);
	}
	ck_assert_msg(!kms_is_ok(reader((struct kms_bytes){longer, bytes.len + 1})), "one more");
	free(longer);
}

/* What reader says when the byte at `at` is value. */
static inline enum kms_code with_byte(
	struct kms_bytes bytes, size_t at, uint8_t value, reader_fn reader)
{
	KMS_AUTO_BUF copy = {0};
	ck_assert(kms_is_ok(kms_buf_copy(bytes, &copy)));
	ck_assert_uint_lt(at, copy.len);
	copy.ptr[at] = value;
	return reader(kms_buf_bytes(&copy)).code;
}

/* The statement with 64 bytes where a signature stands. */
static inline void statement_bytes(
	const struct format_statement *statement, struct kms_buf *ret_bytes)
{
	KMS_AUTO_BUF part = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	uint8_t signature[CRYPTO_SIG_RAW];
	memset(signature, 0x5a, sizeof(signature));
	ck_assert(kms_is_ok(format_statement_write(statement, &part)));
	kms_write_bytes(&writer, kms_buf_bytes(&part));
	kms_write_fixed(&writer, signature, sizeof(signature));
	ck_assert(kms_is_ok(kms_writer_take(&writer, ret_bytes)));
}

static inline kms_err read_statement(struct kms_bytes bytes)
{
	struct format_statement into;
	struct kms_bytes part, signature;
	return format_statement_read(bytes, &into, &part, &signature);
}

#endif
