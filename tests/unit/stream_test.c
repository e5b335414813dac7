/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream format: golden bytes, sizes around chunk borders, every damage, rewrap and its torn
 * writes, buffers and random access. Files and descriptors have a suite of their own, stream_file.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream.h"
#include "stream_int.h" /* for known salts, and for streams that no writer makes */

enum {
	CHUNK = STREAM_CHUNK_BYTES,
	RECORD = STREAM_RECORD_BYTES,
	HEADER = STREAM_HEADER_MIN + 16, /* with this suite's context */
	SLOT_0 = STREAM_FIXED_BYTES,
	SLOT_1 = SLOT_0 + STREAM_SLOT_BYTES,
};

static const uint8_t CONTEXT[16] = "\x00\x01\x00\x07"
				   "dataset\x00\x03"
				   "abc";
static struct kms_secret *key;
static struct kms_secret *other_key;
static struct stream_inputs inputs;

static void setup(void)
{
	uint8_t bytes[32];
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (uint8_t)i;
	}
	ck_assert(kms_is_ok(kms_secret_copy(KMS_BYTES_OF(bytes), &key)));
	bytes[31] ^= 1;
	ck_assert(kms_is_ok(kms_secret_copy(KMS_BYTES_OF(bytes), &other_key)));
	inputs = (struct stream_inputs){.key = key,
		.context = KMS_BYTES_OF(CONTEXT),
		.wrapped = kms_bytes_str("KMSW-an-opaque-wrapped-key")};
}

static void teardown(void)
{
	kms_secret_free(&key);
	kms_secret_free(&other_key);
}

/* Bytes that differ from chunk to chunk and from seed to seed. */
static struct kms_buf make_plain(size_t len, uint32_t seed)
{
	struct kms_buf buf = {malloc(len + 1), len};
	ck_assert_ptr_nonnull(buf.ptr);
	uint32_t state = seed * 2654435761u + 1;
	for (size_t i = 0; i < len; i++) {
		state = state * 1664525u + 1013904223u;
		buf.ptr[i] = (uint8_t)(state >> 24);
	}
	return buf;
}

static int memory_file(struct kms_bytes bytes)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert(kms_is_ok(kms_fd_write_all(fd, bytes)));
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static struct kms_buf content(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	ck_assert_int_ge(end, 0);
	struct kms_buf buf = {malloc((size_t)end + 1), (size_t)end};
	ck_assert_ptr_nonnull(buf.ptr);
	ck_assert_int_eq(pread(fd, buf.ptr, buf.len, 0), end);
	return buf;
}

static struct kms_buf encrypt(struct kms_bytes plain, const struct stream_options *options)
{
	int in = memory_file(plain);
	int out = memory_file((struct kms_bytes){0});
	ck_assert(kms_is_ok(stream_encrypt_fd(in, out, &inputs, options)));
	struct kms_buf sealed = content(out);
	(void)close(in);
	(void)close(out);
	return sealed;
}

/* ret_out holds what came out even when it failed. */
static kms_err decrypt(struct kms_bytes sealed, const struct kms_secret *with,
	const struct stream_options *options, struct kms_buf *ret_out)
{
	int in = memory_file(sealed);
	int out = memory_file((struct kms_bytes){0});
	KMS_AUTO(stream_header) header = NULL;
	kms_err err = stream_header_read_fd(in, &header);
	if (kms_is_ok(err)) {
		err = stream_decrypt_fd(in, out, header, with, options);
	}
	*ret_out = content(out);
	(void)close(in);
	(void)close(out);
	return err;
}

/* Decrypting fails by that code, and what came out are whole chunks from the start of plain. */
static void refused_by(struct kms_bytes sealed, struct kms_bytes plain, enum kms_code code)
{
	KMS_AUTO_BUF out = {0};
	kms_err err = decrypt(sealed, key, NULL, &out);
	ck_assert_msg(kms_is(err, code), "got %s", kms_err_name(err));
	ck_assert_uint_lt(out.len, plain.len + 1);
	ck_assert_uint_eq(out.len % CHUNK, 0);
	ck_assert_mem_eq(out.ptr, plain.ptr, out.len);
}

static const size_t SIZES[] = {0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1,
	2 * CHUNK, 2 * CHUNK + 1, 4 * CHUNK - 1, 4 * CHUNK, 4 * CHUNK + 1, 5 * CHUNK, 8 * CHUNK,
	8 * CHUNK + 1, 40 * CHUNK + 12345};
enum { SIZES_COUNT = sizeof(SIZES) / sizeof(SIZES[0]) };

START_TEST(golden_bytes)
{
	char path[1024];
	(void)snprintf(path, sizeof(path), "%s/tests/golden/stream-v1.bin", getenv("KMS_SOURCE"));
	KMS_AUTO_BUF golden = {0};
	ck_assert(kms_is_ok(kms_file_read(path, 1 << 20, &golden)));
	uint8_t salt[STREAM_SALT_BYTES];
	for (size_t i = 0; i < sizeof(salt); i++) {
		salt[i] = (uint8_t)(0x20 + i);
	}
	int in = memory_file(kms_bytes_str("crypto-erase\n"));
	int out = memory_file((struct kms_bytes){0});
	ck_assert(kms_is_ok(stream_encrypt_with_salt(in, out, &inputs, salt, NULL)));
	KMS_AUTO_BUF sealed = content(out);
	ck_assert_uint_eq(sealed.len, golden.len);
	ck_assert_mem_eq(sealed.ptr, golden.ptr, golden.len);

	KMS_AUTO_BUF plain = {0};
	ck_assert(kms_is_ok(decrypt(kms_buf_bytes(&golden), key, NULL, &plain)));
	ck_assert_uint_eq(plain.len, 13);
	ck_assert_mem_eq(plain.ptr, "crypto-erase\n", 13);
	(void)close(in);
	(void)close(out);
}
END_TEST

START_TEST(every_size_comes_back)
{
	size_t len = SIZES[_i];
	KMS_AUTO_BUF plain = make_plain(len, 1);
	for (uint32_t threads = 0; threads <= 3; threads++) {
		struct stream_options options = {.threads = threads};
		KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), &options);
		size_t chunks = len == 0 ? 1 : (len + CHUNK - 1) / CHUNK;
		ck_assert_uint_eq(
			sealed.len, HEADER + len + chunks * STREAM_TAG_BYTES + STREAM_END_BYTES);
		KMS_AUTO_BUF out = {0};
		ck_assert(kms_is_ok(decrypt(kms_buf_bytes(&sealed), key, &options, &out)));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&out), kms_buf_bytes(&plain)));
	}
}
END_TEST

START_TEST(same_input_twice_has_nothing_in_common)
{
	KMS_AUTO_BUF plain = make_plain(1000, 1);
	KMS_AUTO_BUF a = encrypt(kms_buf_bytes(&plain), NULL);
	KMS_AUTO_BUF b = encrypt(kms_buf_bytes(&plain), NULL);
	ck_assert_mem_ne(a.ptr + 16, b.ptr + 16, STREAM_SALT_BYTES);
	ck_assert_mem_ne(a.ptr + 48, b.ptr + 48, STREAM_COMMITMENT_BYTES);
	for (size_t i = 0; i + 16 <= 1000; i += 16) {
		ck_assert_mem_ne(a.ptr + HEADER + i, b.ptr + HEADER + i, 16);
	}
}
END_TEST

START_TEST(every_flipped_byte_is_an_error)
{
	KMS_AUTO_BUF plain = make_plain(100, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.ptr[i] ^= (uint8_t)(1u << (i % 8));
		KMS_AUTO_BUF out = {0};
		kms_err err = decrypt(kms_buf_bytes(&sealed), key, NULL, &out);
		if (i >= SLOT_1 && i < SLOT_1 + STREAM_SLOT_BYTES) {
			/* the slot that does not count: what a torn rewrap leaves */
			ck_assert(kms_is_ok(err));
			ck_assert(kms_bytes_equal(kms_buf_bytes(&out), kms_buf_bytes(&plain)));
		} else {
			ck_assert_msg(!kms_is_ok(err), "byte %zu", i);
			ck_assert_uint_eq(out.len, 0);
		}
		sealed.ptr[i] ^= (uint8_t)(1u << (i % 8));
	}
}
END_TEST

START_TEST(changed_bytes_have_their_code)
{
	static const struct {
		size_t at;
		enum kms_code code;
	} CASES[] = {
		{0, KMS_CODE_FORMAT},                        /* magic */
		{7, KMS_CODE_VERSION},                       /* version */
		{8, KMS_CODE_VERSION},                       /* suite */
		{9, KMS_CODE_VERSION},                       /* flags */
		{10, KMS_CODE_FORMAT},                       /* context length: over the maximum */
		{12, KMS_CODE_FORMAT},                       /* chunk size */
		{16, KMS_CODE_INTEGRITY},                    /* salt */
		{48, KMS_CODE_INTEGRITY},                    /* commitment */
		{SLOT_0 + 20, KMS_CODE_INTEGRITY},           /* wrapped key */
		{HEADER - 1, KMS_CODE_INTEGRITY},            /* context */
		{HEADER, KMS_CODE_INTEGRITY},                /* first chunk */
		{HEADER + CHUNK, KMS_CODE_INTEGRITY},        /* its tag */
		{HEADER + RECORD, KMS_CODE_INTEGRITY},       /* second chunk */
		{HEADER + RECORD + 100, KMS_CODE_INTEGRITY}, /* its tag */
		{HEADER + RECORD + 116, KMS_CODE_TRUNCATED}, /* end mark */
	};
	KMS_AUTO_BUF plain = make_plain(CHUNK + 100, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		sealed.ptr[CASES[i].at] ^= 0x80;
		refused_by(kms_buf_bytes(&sealed), kms_buf_bytes(&plain), CASES[i].code);
		sealed.ptr[CASES[i].at] ^= 0x80;
	}
}
END_TEST

START_TEST(every_cut_is_truncated)
{
	KMS_AUTO_BUF plain = make_plain(100, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	for (size_t len = 0; len < sealed.len; len++) {
		refused_by((struct kms_bytes){sealed.ptr, len}, kms_buf_bytes(&plain),
			KMS_CODE_TRUNCATED);
	}
}
END_TEST

START_TEST(cuts_at_chunk_borders_are_truncated)
{
	KMS_AUTO_BUF plain = make_plain(10 * CHUNK, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	for (size_t chunks = 0; chunks <= 10; chunks++) {
		for (size_t more = 0; more <= 24; more++) {
			size_t len = HEADER + chunks * RECORD + more;
			if (len < sealed.len) {
				refused_by((struct kms_bytes){sealed.ptr, len},
					kms_buf_bytes(&plain), KMS_CODE_TRUNCATED);
			}
		}
	}
}
END_TEST

/* A cut with the end mark put back: only the last chunk's flag shows it. */
START_TEST(forged_end_is_integrity)
{
	KMS_AUTO_BUF plain = make_plain(10 * CHUNK, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	for (size_t chunks = 0; chunks < 10; chunks++) {
		for (size_t more = 0; more <= 17; more++) {
			size_t len = HEADER + chunks * RECORD + more;
			KMS_AUTO_BUF cut = {0};
			ck_assert(kms_is_ok(kms_buf_copy(
				(struct kms_bytes){sealed.ptr, len + STREAM_END_BYTES}, &cut)));
			memcpy(cut.ptr + len, STREAM_END_MARK, STREAM_END_BYTES);
			refused_by(kms_buf_bytes(&cut), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
		}
	}
}
END_TEST

START_TEST(added_bytes_are_refused)
{
	static const size_t LENS[] = {1, 8, 9, 16, 24, 1000, CHUNK, RECORD, 3 * RECORD};
	static const size_t ENDS[] = {0, 100, CHUNK, 4 * CHUNK - 3, 4 * CHUNK};
	for (size_t e = 0; e < sizeof(ENDS) / sizeof(ENDS[0]); e++) {
		KMS_AUTO_BUF plain = make_plain(ENDS[e], 1);
		KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
		for (size_t i = 0; i < sizeof(LENS) / sizeof(LENS[0]); i++) {
			KMS_AUTO_WRITER longer = kms_writer_grow(1 << 20);
			KMS_AUTO_BUF junk = make_plain(LENS[i], 7);
			kms_write_bytes(&longer, kms_buf_bytes(&sealed));
			kms_write_bytes(&longer, kms_buf_bytes(&junk));
			struct kms_bytes bytes;
			ck_assert(kms_is_ok(kms_writer_bytes(&longer, &bytes)));
			refused_by(bytes, kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
			/* and with an end mark of its own */
			kms_write_fixed(&longer, STREAM_END_MARK, STREAM_END_BYTES);
			ck_assert(kms_is_ok(kms_writer_bytes(&longer, &bytes)));
			refused_by(bytes, kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
		}
	}
}
END_TEST

static void copy_record(
	struct kms_buf *to, size_t to_index, const struct kms_buf *from, size_t from_index)
{
	memmove(to->ptr + HEADER + to_index * RECORD, from->ptr + HEADER + from_index * RECORD,
		RECORD);
}

START_TEST(moved_chunks_are_refused)
{
	KMS_AUTO_BUF plain = make_plain(6 * CHUNK, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	KMS_AUTO_BUF again = encrypt(kms_buf_bytes(&plain), NULL); /* same key, other salt */
	for (size_t a = 0; a < 6; a++) {
		KMS_AUTO_BUF foreign = {0};
		ck_assert(kms_is_ok(kms_buf_copy(kms_buf_bytes(&sealed), &foreign)));
		copy_record(&foreign, a, &again, a);
		refused_by(kms_buf_bytes(&foreign), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
		for (size_t b = a + 1; b < 6; b++) {
			KMS_AUTO_BUF swapped = {0};
			ck_assert(kms_is_ok(kms_buf_copy(kms_buf_bytes(&sealed), &swapped)));
			copy_record(&swapped, a, &sealed, b);
			refused_by(
				kms_buf_bytes(&swapped), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
			copy_record(&swapped, b, &sealed, a);
			refused_by(
				kms_buf_bytes(&swapped), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
		}
	}
	/* A chunk twice, and one left out. */
	KMS_AUTO_BUF longer = {0};
	struct kms_bytes cut = {sealed.ptr, sealed.len - RECORD};
	KMS_AUTO_BUF shorter = {0};
	ck_assert(kms_is_ok(kms_buf_copy(cut, &shorter)));
	memmove(shorter.ptr + HEADER + 2 * RECORD, sealed.ptr + HEADER + 3 * RECORD,
		3 * RECORD + STREAM_END_BYTES);
	refused_by(kms_buf_bytes(&shorter), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
	longer.ptr = malloc(sealed.len + RECORD);
	longer.len = sealed.len + RECORD;
	memcpy(longer.ptr, sealed.ptr, HEADER + 3 * RECORD);
	memcpy(longer.ptr + HEADER + 3 * RECORD, sealed.ptr + HEADER + 2 * RECORD,
		sealed.len - HEADER - 2 * RECORD);
	refused_by(kms_buf_bytes(&longer), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
}
END_TEST

/* The segment of the golden file. */
static kms_err golden_segment(
	struct stream_keys *ret_keys, struct stream_codec **ret_codec, struct kms_buf *ret_header)
{
	uint8_t salt[STREAM_SALT_BYTES];
	for (size_t i = 0; i < sizeof(salt); i++) {
		salt[i] = (uint8_t)(0x20 + i);
	}
	KMS_TRY(stream_segment_new(&inputs, salt, ret_keys, ret_header));
	return stream_codec_new(ret_keys, ret_codec);
}

/* Made by another program, for chunk 0x0102030405060708: no 32 bits count chunks. */
START_TEST(chunk_numbers_go_beyond_32_bits)
{
	static const uint8_t RECORD_X[17] = {0x3c, 0x5f, 0x9b, 0xec, 0x39, 0x12, 0x04, 0x88, 0x01,
		0xb9, 0xb8, 0xcb, 0x21, 0x11, 0x6d, 0x52, 0xb5};
	const uint64_t index = 0x0102030405060708;
	STREAM_AUTO_KEYS keys = {0};
	KMS_AUTO(stream_codec) codec = NULL;
	KMS_AUTO_BUF header = {0};
	ck_assert(kms_is_ok(golden_segment(&keys, &codec, &header)));
	uint8_t record[17];
	ck_assert(kms_is_ok(stream_chunk_seal(codec, index, false, kms_bytes_str("x"), record)));
	ck_assert_mem_eq(record, RECORD_X, sizeof(record));
	uint8_t plain[1];
	struct kms_bytes bytes = KMS_BYTES_OF(record);
	ck_assert(kms_is_ok(stream_chunk_open(codec, index, false, bytes, plain)));
	ck_assert(kms_is(stream_chunk_open(codec, index & UINT32_MAX, false, bytes, plain),
		KMS_CODE_INTEGRITY));
	ck_assert(kms_is(stream_chunk_open(codec, index, true, bytes, plain), KMS_CODE_INTEGRITY));
}
END_TEST

/* Authentic, but one plaintext would have two shapes. */
START_TEST(empty_chunk_after_a_full_one_is_refused)
{
	STREAM_AUTO_KEYS keys = {0};
	KMS_AUTO(stream_codec) codec = NULL;
	KMS_AUTO_BUF header = {0};
	ck_assert(kms_is_ok(golden_segment(&keys, &codec, &header)));
	KMS_AUTO_BUF plain = make_plain(CHUNK, 1);
	KMS_AUTO_BUF sealed = {malloc(HEADER + RECORD + STREAM_TAG_BYTES + STREAM_END_BYTES), 0};
	ck_assert_ptr_nonnull(sealed.ptr);
	sealed.len = HEADER + RECORD + STREAM_TAG_BYTES + STREAM_END_BYTES;
	memcpy(sealed.ptr, header.ptr, HEADER);
	uint8_t *at = sealed.ptr + HEADER;
	ck_assert(kms_is_ok(stream_chunk_seal(codec, 0, false, kms_buf_bytes(&plain), at)));
	at += RECORD;
	ck_assert(kms_is_ok(stream_chunk_seal(codec, 1, true, kms_bytes_str(""), at)));
	memcpy(at + STREAM_TAG_BYTES, STREAM_END_MARK, STREAM_END_BYTES);
	refused_by(kms_buf_bytes(&sealed), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
	int fd = memory_file(kms_buf_bytes(&sealed));
	KMS_AUTO(stream_header) parsed = NULL;
	KMS_AUTO(stream_reader) reader = NULL;
	ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &parsed)));
	ck_assert(kms_is(stream_reader_new(fd, parsed, key, &reader), KMS_CODE_INTEGRITY));
	(void)close(fd);
}
END_TEST

/* The header of one file before the chunks of another, under the same data key. */
START_TEST(foreign_header_is_refused)
{
	KMS_AUTO_BUF plain = make_plain(3 * CHUNK, 1);
	KMS_AUTO_BUF a = encrypt(kms_buf_bytes(&plain), NULL);
	KMS_AUTO_BUF b = encrypt(kms_buf_bytes(&plain), NULL);
	memcpy(a.ptr, b.ptr, HEADER);
	refused_by(kms_buf_bytes(&a), kms_buf_bytes(&plain), KMS_CODE_INTEGRITY);
}
END_TEST

START_TEST(another_key_is_refused_before_the_first_byte)
{
	KMS_AUTO_BUF plain = make_plain(3 * CHUNK, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	KMS_AUTO_BUF out = {0};
	ck_assert(
		kms_is(decrypt(kms_buf_bytes(&sealed), other_key, NULL, &out), KMS_CODE_INTEGRITY));
	ck_assert_uint_eq(out.len, 0);
	/* Even where no chunk can be read: the commitment alone decides. */
	KMS_AUTO(stream_header) header = NULL;
	ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &header)));
	struct stream_decoder *decoder = NULL;
	ck_assert(kms_is(stream_decoder_new(header, other_key, &decoder), KMS_CODE_INTEGRITY));
	ck_assert_ptr_null(decoder);
	ck_assert(kms_is_ok(stream_decoder_new(header, key, &decoder)));
	stream_decoder_free(&decoder);
}
END_TEST

START_TEST(inputs_are_bounded)
{
	static uint8_t big[STREAM_CONTEXT_MAX + 1];
	int in = memory_file(kms_bytes_str("x"));
	int out = memory_file((struct kms_bytes){0});
	KMS_AUTO(kms_secret) short_key = NULL;
	ck_assert(kms_is_ok(kms_secret_new(31, &short_key)));

	struct stream_inputs bad = inputs;
	bad.key = short_key;
	ck_assert(kms_is(stream_encrypt_fd(in, out, &bad, NULL), KMS_CODE_ARGUMENT));
	bad = inputs;
	bad.wrapped = (struct kms_bytes){0};
	ck_assert(kms_is(stream_encrypt_fd(in, out, &bad, NULL), KMS_CODE_ARGUMENT));
	bad.wrapped = (struct kms_bytes){big, STREAM_WRAPPED_MAX + 1};
	ck_assert(kms_is(stream_encrypt_fd(in, out, &bad, NULL), KMS_CODE_TOO_LARGE));
	bad = inputs;
	bad.context = KMS_BYTES_OF(big);
	ck_assert(kms_is(stream_encrypt_fd(in, out, &bad, NULL), KMS_CODE_TOO_LARGE));
	ck_assert_int_eq(lseek(out, 0, SEEK_END), 0);

	struct stream_inputs most = inputs;
	most.context.ptr = big;
	most.context.len = STREAM_CONTEXT_MAX;
	most.wrapped = (struct kms_bytes){big, STREAM_WRAPPED_MAX};
	ck_assert(kms_is_ok(stream_encrypt_fd(in, out, &most, NULL)));
	KMS_AUTO_BUF sealed = content(out);
	KMS_AUTO(stream_header) header = NULL;
	ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &header)));
	ck_assert_uint_eq(header->bytes, STREAM_HEADER_MAX);
	ck_assert_uint_eq(header->context.len, STREAM_CONTEXT_MAX);
	ck_assert_uint_eq(header->wrapped.len, STREAM_WRAPPED_MAX);
	(void)close(in);
	(void)close(out);
}
END_TEST

START_TEST(header_fields_are_read)
{
	KMS_AUTO_BUF sealed = encrypt((struct kms_bytes){0}, NULL);
	KMS_AUTO(stream_header) header = NULL;
	ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &header)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&header->context), inputs.context));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&header->wrapped), inputs.wrapped));
	ck_assert_uint_eq(header->sequence, 1);
	ck_assert_uint_eq(header->slot, 0);
	ck_assert(!header->torn);
	ck_assert_uint_eq(header->bytes, HEADER);
	/* A short file of another kind is no cut stream. */
	int fd = memory_file(kms_bytes_str("#!/bin/sh\n"));
	KMS_AUTO(stream_header) none = NULL;
	ck_assert(kms_is(stream_header_read_fd(fd, &none), KMS_CODE_FORMAT));
	(void)close(fd);
}
END_TEST

/* The encoder fed in pieces gives what the descriptor reader takes, and the other way round. */
START_TEST(buffers_in_pieces)
{
	static const size_t PIECES[] = {1, 7, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK};
	size_t len = SIZES[_i] <= 5 * CHUNK ? SIZES[_i] : 5 * CHUNK + 1;
	KMS_AUTO_BUF plain = make_plain(len, 1);
	for (size_t p = len > 1000 ? 2 : 0; p < sizeof(PIECES) / sizeof(PIECES[0]); p++) {
		KMS_AUTO_WRITER sealed = kms_writer_grow(1 << 20);
		KMS_AUTO(stream_encoder) encoder = NULL;
		ck_assert(kms_is_ok(stream_encoder_new(&inputs, &sealed, &encoder)));
		for (size_t at = 0; at < len; at += PIECES[p]) {
			size_t take = PIECES[p] < len - at ? PIECES[p] : len - at;
			ck_assert(kms_is_ok(stream_encoder_put(
				encoder, (struct kms_bytes){plain.ptr + at, take}, &sealed)));
		}
		ck_assert(kms_is_ok(stream_encoder_end(encoder, &sealed)));
		struct kms_bytes bytes;
		ck_assert(kms_is_ok(kms_writer_bytes(&sealed, &bytes)));
		KMS_AUTO_BUF by_fd = {0};
		ck_assert(kms_is_ok(decrypt(bytes, key, NULL, &by_fd)));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&by_fd), kms_buf_bytes(&plain)));

		KMS_AUTO_WRITER back = kms_writer_grow(1 << 20);
		KMS_AUTO(stream_header) header = NULL;
		KMS_AUTO(stream_decoder) decoder = NULL;
		ck_assert(kms_is_ok(stream_header_read(bytes, &header)));
		ck_assert(kms_is_ok(stream_decoder_new(header, key, &decoder)));
		for (size_t at = header->bytes; at < bytes.len; at += PIECES[p]) {
			size_t take = PIECES[p] < bytes.len - at ? PIECES[p] : bytes.len - at;
			ck_assert(kms_is_ok(stream_decoder_put(
				decoder, (struct kms_bytes){bytes.ptr + at, take}, &back)));
		}
		ck_assert(kms_is_ok(stream_decoder_end(decoder, &back)));
		struct kms_bytes got;
		ck_assert(kms_is_ok(kms_writer_bytes(&back, &got)));
		ck_assert(kms_bytes_equal(got, kms_buf_bytes(&plain)));
	}
}
END_TEST

START_TEST(decoder_without_its_end)
{
	KMS_AUTO_BUF plain = make_plain(2 * CHUNK, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	for (size_t cut = 1; cut <= RECORD + STREAM_END_BYTES + 1; cut += 977) {
		KMS_AUTO(stream_header) header = NULL;
		KMS_AUTO(stream_decoder) decoder = NULL;
		KMS_AUTO_WRITER out = kms_writer_grow(1 << 20);
		ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &header)));
		ck_assert(kms_is_ok(stream_decoder_new(header, key, &decoder)));
		struct kms_bytes rest = {sealed.ptr + HEADER, sealed.len - HEADER - cut};
		ck_assert(kms_is_ok(stream_decoder_put(decoder, rest, &out)));
		ck_assert(kms_is(stream_decoder_end(decoder, &out), KMS_CODE_TRUNCATED));
	}
}
END_TEST

START_TEST(random_access_everywhere)
{
	size_t len = SIZES[_i];
	KMS_AUTO_BUF plain = make_plain(len, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	int fd = memory_file(kms_buf_bytes(&sealed));
	KMS_AUTO(stream_header) header = NULL;
	KMS_AUTO(stream_reader) reader = NULL;
	ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &header)));
	ck_assert(kms_is_ok(stream_reader_new(fd, header, key, &reader)));
	ck_assert_uint_eq(stream_reader_size(reader), len);
	static const size_t TAKES[] = {0, 1, 16, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5};
	KMS_AUTO_BUF room = make_plain(4 * CHUNK, 2);
	for (size_t t = 0; t < sizeof(TAKES) / sizeof(TAKES[0]); t++) {
		for (size_t offset = 0; offset <= len + CHUNK; offset += CHUNK / 2 - 1) {
			size_t want = offset >= len ? 0 : len - offset;
			want = want < TAKES[t] ? want : TAKES[t];
			size_t got = 0;
			ck_assert(kms_is_ok(
				stream_read_at(reader, offset, TAKES[t], room.ptr, &got)));
			ck_assert_uint_eq(got, want);
			ck_assert_mem_eq(room.ptr, plain.ptr + (want > 0 ? offset : 0), want);
		}
	}
	size_t got = 1;
	ck_assert(kms_is_ok(stream_read_at(reader, UINT64_MAX, 1, room.ptr, &got)));
	ck_assert_uint_eq(got, 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 0);
	(void)close(fd);
}
END_TEST

START_TEST(random_access_to_damage)
{
	KMS_AUTO_BUF plain = make_plain(3 * CHUNK, 1);
	KMS_AUTO_BUF sealed = encrypt(kms_buf_bytes(&plain), NULL);
	KMS_AUTO(stream_header) header = NULL;
	ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &header)));
	uint8_t byte;
	size_t got;

	sealed.ptr[HEADER + RECORD + 5] ^= 1; /* chunk 1 */
	int fd = memory_file(kms_buf_bytes(&sealed));
	KMS_AUTO(stream_reader) reader = NULL;
	ck_assert(kms_is_ok(stream_reader_new(fd, header, key, &reader)));
	ck_assert(kms_is_ok(stream_read_at(reader, 0, 1, &byte, &got)));
	ck_assert(kms_is(stream_read_at(reader, CHUNK, 1, &byte, &got), KMS_CODE_INTEGRITY));
	ck_assert(kms_is_ok(stream_read_at(reader, 2 * CHUNK, 1, &byte, &got)));
	ck_assert_uint_eq(byte, plain.ptr[2 * CHUNK]);

	/* The end is looked at before anything is answered. */
	KMS_AUTO(stream_reader) none = NULL;
	ck_assert(kms_is(stream_reader_new(fd, header, other_key, &none), KMS_CODE_INTEGRITY));
	for (size_t len = HEADER; len < sealed.len; len += 501) {
		ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
		ck_assert(kms_is(stream_reader_new(fd, header, key, &none), KMS_CODE_TRUNCATED));
	}
	/* Cut at chunk 2 with the mark put back. */
	for (size_t more = 0; more < 20; more++) {
		size_t end = HEADER + 2 * RECORD + more;
		ck_assert_int_eq(ftruncate(fd, (off_t)end), 0);
		ck_assert_int_eq(pwrite(fd, STREAM_END_MARK, STREAM_END_BYTES, (off_t)end),
			STREAM_END_BYTES);
		ck_assert(kms_is(stream_reader_new(fd, header, key, &none), KMS_CODE_INTEGRITY));
	}
	/* Cut under an open reader. */
	ck_assert_int_eq(ftruncate(fd, HEADER), 0);
	ck_assert(kms_is(stream_read_at(reader, 0, 1, &byte, &got), KMS_CODE_TRUNCATED));
	(void)close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream");
	TCase *tcase = tcase_create("stream");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, golden_bytes);
	tcase_add_loop_test(tcase, every_size_comes_back, 0, SIZES_COUNT);
	tcase_add_test(tcase, same_input_twice_has_nothing_in_common);
	tcase_add_test(tcase, every_flipped_byte_is_an_error);
	tcase_add_test(tcase, changed_bytes_have_their_code);
	tcase_add_test(tcase, every_cut_is_truncated);
	tcase_add_test(tcase, cuts_at_chunk_borders_are_truncated);
	tcase_add_test(tcase, forged_end_is_integrity);
	tcase_add_test(tcase, added_bytes_are_refused);
	tcase_add_test(tcase, moved_chunks_are_refused);
	tcase_add_test(tcase, chunk_numbers_go_beyond_32_bits);
	tcase_add_test(tcase, empty_chunk_after_a_full_one_is_refused);
	tcase_add_test(tcase, foreign_header_is_refused);
	tcase_add_test(tcase, another_key_is_refused_before_the_first_byte);
	tcase_add_test(tcase, inputs_are_bounded);
	tcase_add_test(tcase, header_fields_are_read);
	tcase_add_loop_test(tcase, buffers_in_pieces, 0, SIZES_COUNT);
	tcase_add_test(tcase, decoder_without_its_end);
	tcase_add_loop_test(tcase, random_access_everywhere, 0, SIZES_COUNT);
	tcase_add_test(tcase, random_access_to_damage);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
