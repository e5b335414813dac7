/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes, the bounded reader and the bounded writer: at their limits and one past them.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

static const uint8_t DATA[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09};

static struct kms_reader reader_of(size_t len)
{
	return kms_reader_of((struct kms_bytes){DATA, len});
}

/* ---- bytes ---- */

START_TEST(bytes_compare)
{
	struct kms_bytes none = {0};
	ck_assert(kms_bytes_equal(none, none));
	ck_assert(kms_bytes_equal(kms_bytes_str(""), none));
	ck_assert(kms_bytes_equal(kms_bytes_str("abc"), kms_bytes_str("abc")));
	ck_assert(!kms_bytes_equal(kms_bytes_str("abc"), kms_bytes_str("abd")));
	ck_assert(!kms_bytes_equal(kms_bytes_str("abc"), kms_bytes_str("ab")));
	ck_assert(kms_equal_ct("abc", "abc", 3));
	ck_assert(!kms_equal_ct("abc", "xbc", 3));
	ck_assert(!kms_equal_ct("abc", "abx", 3));
	ck_assert(kms_equal_ct("abc", "xyz", 0));
}
END_TEST

START_TEST(buffers_are_copies)
{
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is_ok(kms_buf_copy((struct kms_bytes){0}, &buf)));
	ck_assert_uint_eq(buf.len, 0);
	ck_assert(kms_is_ok(kms_buf_copy(KMS_BYTES_OF(DATA), &buf)));
	ck_assert_ptr_ne(buf.ptr, DATA);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&buf), KMS_BYTES_OF(DATA)));
	kms_buf_free(&buf);
	ck_assert_ptr_null(buf.ptr);
	kms_buf_free(&buf);
	kms_buf_free(NULL);
}
END_TEST

START_TEST(texts_are_printed)
{
	KMS_AUTO_FREE char *text = NULL;
	ck_assert(kms_is_ok(kms_text(&text, "%s-%d", "a", 7)));
	ck_assert_str_eq(text, "a-7");
}
END_TEST

START_TEST(sizes_do_not_wrap)
{
	size_t size = 42;
	ck_assert(kms_is_ok(kms_size_add(SIZE_MAX - 1, 1, &size)));
	ck_assert_uint_eq(size, SIZE_MAX);
	ck_assert(kms_is(kms_size_add(SIZE_MAX, 1, &size), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is_ok(kms_size_mul(SIZE_MAX / 3, 3, &size)));
	ck_assert_uint_eq(size, SIZE_MAX / 3 * 3);
	ck_assert(kms_is(kms_size_mul(SIZE_MAX / 3 + 1, 3, &size), KMS_CODE_TOO_LARGE));
	ck_assert_uint_eq(size, SIZE_MAX / 3 * 3);
}
END_TEST

/* ---- reader ---- */

START_TEST(numbers_are_big_endian)
{
	uint8_t u8 = 0;
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	uint64_t u64 = 0;
	struct kms_reader reader = reader_of(7);
	ck_assert(kms_is_ok(kms_read_u8(&reader, &u8)));
	ck_assert(kms_is_ok(kms_read_u16(&reader, &u16)));
	ck_assert(kms_is_ok(kms_read_u32(&reader, &u32)));
	ck_assert(kms_is_ok(kms_read_end(&reader)));
	ck_assert_uint_eq(u8, 0x01);
	ck_assert_uint_eq(u16, 0x0203);
	ck_assert_uint_eq(u32, 0x04050607);
	reader = reader_of(8);
	ck_assert(kms_is_ok(kms_read_u64(&reader, &u64)));
	ck_assert_uint_eq(u64, 0x0102030405060708);
}
END_TEST

START_TEST(a_number_cut_short_is_truncated)
{
	uint8_t u8 = 0x5a;
	uint16_t u16 = 0x5a;
	uint32_t u32 = 0x5a;
	uint64_t u64 = 0x5a;
	struct kms_reader reader = reader_of(0);
	ck_assert(kms_is(kms_read_u8(&reader, &u8), KMS_CODE_TRUNCATED));
	reader = reader_of(1);
	ck_assert(kms_is(kms_read_u16(&reader, &u16), KMS_CODE_TRUNCATED));
	reader = reader_of(3);
	ck_assert(kms_is(kms_read_u32(&reader, &u32), KMS_CODE_TRUNCATED));
	reader = reader_of(7);
	ck_assert(kms_is(kms_read_u64(&reader, &u64), KMS_CODE_TRUNCATED));
	ck_assert_uint_eq(reader.left, 7);
	ck_assert(u8 == 0x5a && u16 == 0x5a && u32 == 0x5a && u64 == 0x5a);
}
END_TEST

START_TEST(bytes_are_borrowed_up_to_the_end)
{
	struct kms_reader reader = reader_of(9);
	struct kms_bytes bytes = {0};
	ck_assert(kms_is(kms_read_bytes(&reader, 10, &bytes), KMS_CODE_TRUNCATED));
	ck_assert(kms_is(kms_read_bytes(&reader, SIZE_MAX, &bytes), KMS_CODE_TRUNCATED));
	ck_assert(kms_is_ok(kms_read_bytes(&reader, 0, &bytes)));
	ck_assert_uint_eq(bytes.len, 0);
	ck_assert(kms_is(kms_read_end(&reader), KMS_CODE_FORMAT));
	ck_assert(kms_is_ok(kms_read_bytes(&reader, 9, &bytes)));
	ck_assert_ptr_eq(bytes.ptr, DATA);
	ck_assert_uint_eq(bytes.len, 9);
	ck_assert(kms_is_ok(kms_read_end(&reader)));
	struct kms_reader empty = kms_reader_of((struct kms_bytes){0});
	ck_assert(kms_is_ok(kms_read_bytes(&empty, 0, &bytes)));
	ck_assert(kms_is_ok(kms_read_end(&empty)));
}
END_TEST

START_TEST(fixed_bytes_are_copied_whole_or_not)
{
	uint8_t into[4] = {0x5a, 0x5a, 0x5a, 0x5a};
	struct kms_reader reader = reader_of(3);
	ck_assert(kms_is(kms_read_fixed(&reader, into, 4), KMS_CODE_TRUNCATED));
	ck_assert_uint_eq(into[0], 0x5a);
	ck_assert(kms_is_ok(kms_read_fixed(&reader, into, 3)));
	ck_assert_mem_eq(into, DATA, 3);
	ck_assert_uint_eq(into[3], 0x5a);
}
END_TEST

START_TEST(a_length_prefix_is_held_to_its_maximum)
{
	static const uint8_t LP16[] = {0, 2, 'a', 'b', 'c'};
	static const uint8_t LP32[] = {0, 0, 0, 2, 'a', 'b'};
	struct kms_bytes bytes = {0};
	struct kms_reader reader = kms_reader_of(KMS_BYTES_OF(LP16));
	ck_assert(kms_is(kms_read_lp16(&reader, 1, &bytes), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is_ok(kms_read_lp16(&reader, 2, &bytes)));
	ck_assert(kms_bytes_equal(bytes, kms_bytes_str("ab")));
	ck_assert_uint_eq(reader.left, 1);
	reader = kms_reader_of(KMS_BYTES_OF(LP32));
	ck_assert(kms_is(kms_read_lp32(&reader, 1, &bytes), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is_ok(kms_read_lp32(&reader, 2, &bytes)));
	ck_assert(kms_bytes_equal(bytes, kms_bytes_str("ab")));
	/* A prefix that promises more than there is, and one that is cut itself. */
	reader = kms_reader_of((struct kms_bytes){LP16, 3});
	ck_assert(kms_is(kms_read_lp16(&reader, 100, &bytes), KMS_CODE_TRUNCATED));
	ck_assert_uint_eq(reader.left, 3);
	reader = kms_reader_of((struct kms_bytes){LP32, 3});
	ck_assert(kms_is(kms_read_lp32(&reader, 100, &bytes), KMS_CODE_TRUNCATED));
	ck_assert_uint_eq(reader.left, 3);
}
END_TEST

START_TEST(magics_are_expected)
{
	struct kms_reader reader = kms_reader_of(kms_bytes_str("kms!x"));
	ck_assert(kms_is(kms_read_expect(&reader, "kmsX", 4), KMS_CODE_FORMAT));
	ck_assert_uint_eq(reader.left, 5);
	ck_assert(kms_is_ok(kms_read_expect(&reader, "kms!", 4)));
	ck_assert(kms_is(kms_read_expect(&reader, "xy", 2), KMS_CODE_TRUNCATED));
	ck_assert_uint_eq(reader.left, 1);
}
END_TEST

/* ---- writer ---- */

START_TEST(what_is_written_is_read_back)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(100);
	kms_write_u8(&writer, 0x01);
	kms_write_u16(&writer, 0x0203);
	kms_write_u32(&writer, 0x04050607);
	kms_write_u64(&writer, 0x08090a0b0c0d0e0f);
	kms_write_fixed(&writer, "ab", 2);
	kms_write_bytes(&writer, (struct kms_bytes){0});
	kms_write_lp16(&writer, kms_bytes_str("c"));
	kms_write_lp32(&writer, kms_bytes_str("d"));
	kms_write_text(&writer, "e");
	kms_write_format(&writer, "%03d", 7);
	struct kms_bytes bytes = {0};
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &bytes)));
	static const uint8_t EXPECTED[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'a',
		'b', 0, 1, 'c', 0, 0, 0, 1, 'd', 'e', '0', '0', '7'};
	ck_assert(kms_bytes_equal(bytes, KMS_BYTES_OF(EXPECTED)));
}
END_TEST

START_TEST(a_growing_writer_stops_at_its_maximum)
{
	/* Past the first allocation, so that it grows; and not a power of two. */
	enum { MAX = 1000 };
	KMS_AUTO_WRITER writer = kms_writer_grow(MAX);
	for (int i = 0; i < MAX; i++) {
		kms_write_u8(&writer, (uint8_t)i);
	}
	struct kms_bytes bytes = {0};
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &bytes)));
	ck_assert_uint_eq(bytes.len, MAX);
	for (int i = 0; i < MAX; i++) {
		ck_assert_uint_eq(bytes.ptr[i], (uint8_t)i);
	}
	kms_write_u8(&writer, 0);
	ck_assert(kms_is(kms_writer_bytes(&writer, &bytes), KMS_CODE_TOO_LARGE));
	struct kms_buf buf = {0};
	ck_assert(kms_is(kms_writer_take(&writer, &buf), KMS_CODE_TOO_LARGE));
	ck_assert_ptr_null(buf.ptr);
}
END_TEST

START_TEST(a_failure_sticks)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(4);
	kms_write_u32(&writer, 1);
	kms_write_u16(&writer, 2);
	kms_write_bytes(&writer, (struct kms_bytes){0});
	struct kms_bytes bytes = {0};
	ck_assert(kms_is(kms_writer_bytes(&writer, &bytes), KMS_CODE_TOO_LARGE));
	ck_assert_uint_eq(writer.len, 4);
	KMS_AUTO_WRITER small = kms_writer_grow(3);
	kms_write_u32(&small, 1);
	kms_write_u8(&small, 1); /* would fit, but the number before is missing */
	ck_assert(kms_is(kms_writer_bytes(&small, &bytes), KMS_CODE_TOO_LARGE));
	ck_assert_uint_eq(small.len, 0);
}
END_TEST

START_TEST(a_length_has_to_fit_its_prefix)
{
	static uint8_t big[UINT16_MAX + 1];
	KMS_AUTO_WRITER fits = kms_writer_grow(2 * sizeof(big));
	kms_write_lp16(&fits, (struct kms_bytes){big, UINT16_MAX});
	struct kms_bytes bytes = {0};
	ck_assert(kms_is_ok(kms_writer_bytes(&fits, &bytes)));
	ck_assert_uint_eq(bytes.len, 2 + UINT16_MAX);
	KMS_AUTO_WRITER over = kms_writer_grow(2 * sizeof(big));
	kms_write_lp16(&over, (struct kms_bytes){big, UINT16_MAX + 1});
	ck_assert(kms_is(kms_writer_bytes(&over, &bytes), KMS_CODE_TOO_LARGE));
}
END_TEST

START_TEST(a_fixed_writer_never_moves)
{
	uint8_t room[5] = {0, 0, 0, 0, 0x5a};
	KMS_AUTO_WRITER writer = kms_writer_fixed(room, 4);
	kms_write_u32(&writer, 0x01020304);
	struct kms_bytes bytes = {0};
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &bytes)));
	ck_assert_ptr_eq(bytes.ptr, room);
	ck_assert_uint_eq(bytes.len, 4);
	kms_write_u8(&writer, 5);
	ck_assert(kms_is(kms_writer_bytes(&writer, &bytes), KMS_CODE_TOO_LARGE));
	ck_assert_uint_eq(room[4], 0x5a);
	kms_writer_free(&writer);
	ck_assert_mem_eq(room, DATA, 4); /* the caller's memory stays */
}
END_TEST

START_TEST(taking_moves_the_bytes_out)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(10);
	kms_write_text(&writer, "abc");
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is_ok(kms_writer_take(&writer, &buf)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&buf), kms_bytes_str("abc")));
	struct kms_bytes bytes = {0};
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &bytes)));
	ck_assert_uint_eq(bytes.len, 0);
	kms_write_text(&writer, "0123456789"); /* and it can be filled again, to the same maximum */
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &bytes)));
	kms_writer_free(&writer);
	kms_writer_free(&writer);
	kms_writer_free(NULL);
}
END_TEST

START_TEST(taking_from_a_fixed_writer_is_our_mistake)
{
	uint8_t room[4];
	struct kms_writer writer = kms_writer_fixed(room, sizeof(room));
	struct kms_buf buf = {0};
	KMS_IGNORE(kms_writer_take(&writer, &buf));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base_bytes");
	TCase *bytes = tcase_create("bytes");
	tcase_add_test(bytes, bytes_compare);
	tcase_add_test(bytes, buffers_are_copies);
	tcase_add_test(bytes, texts_are_printed);
	tcase_add_test(bytes, sizes_do_not_wrap);
	suite_add_tcase(suite, bytes);
	TCase *reader = tcase_create("reader");
	tcase_add_test(reader, numbers_are_big_endian);
	tcase_add_test(reader, a_number_cut_short_is_truncated);
	tcase_add_test(reader, bytes_are_borrowed_up_to_the_end);
	tcase_add_test(reader, fixed_bytes_are_copied_whole_or_not);
	tcase_add_test(reader, a_length_prefix_is_held_to_its_maximum);
	tcase_add_test(reader, magics_are_expected);
	suite_add_tcase(suite, reader);
	TCase *writer = tcase_create("writer");
	tcase_add_test(writer, what_is_written_is_read_back);
	tcase_add_test(writer, a_growing_writer_stops_at_its_maximum);
	tcase_add_test(writer, a_failure_sticks);
	tcase_add_test(writer, a_length_has_to_fit_its_prefix);
	tcase_add_test(writer, a_fixed_writer_never_moves);
	tcase_add_test(writer, taking_moves_the_bytes_out);
	tcase_add_test_raise_signal(writer, taking_from_a_fixed_writer_is_our_mistake, SIGABRT);
	suite_add_tcase(suite, writer);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
