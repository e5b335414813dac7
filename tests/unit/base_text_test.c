/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids, hashes, hex and base64: one spelling of each value, every other refused.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

#define ID_TEXT "01234567-89ab-4cde-8f01-23456789abcd"
#define HASH_TEXT "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"

/* ---- ids and hashes ---- */

START_TEST(an_id_has_one_text)
{
	struct kms_id id;
	char text[KMS_ID_TEXT];
	ck_assert(kms_is_ok(kms_id_parse(ID_TEXT, &id)));
	ck_assert_uint_eq(id.b[0], 0x01);
	ck_assert_uint_eq(id.b[15], 0xcd);
	ck_assert_str_eq(kms_id_text(&id, text), ID_TEXT);
	struct kms_id same = id;
	ck_assert(kms_id_equal(&id, &same));
	same.b[15] ^= 1;
	ck_assert(!kms_id_equal(&id, &same));
	ck_assert(!kms_id_is_zero(&id));
	ck_assert(kms_id_is_zero(&(struct kms_id){0}));
}
END_TEST

static const char *const BAD_IDS[] = {
	"",
	"0",
	"01234567-89ab-4cde-8f01-23456789abc",
	"01234567-89ab-4cde-8f01-23456789abcde",
	"01234567-89AB-4cde-8f01-23456789abcd",
	"0123456789ab4cde8f0123456789abcd",
	"{01234567-89ab-4cde-8f01-23456789abcd}",
	"urn:uuid:01234567-89ab-4cde-8f01-23456789abcd",
	"01234567-89ab-4cde-8f01-23456789abcg",
	"01234567_89ab_4cde_8f01_23456789abcd",
	"0123456-789ab-4cde-8f01-23456789abcd",
	" 01234567-89ab-4cde-8f01-23456789abcd",
	"01234567-89ab-4cde-8f01-23456789abcd\n",
};

START_TEST(other_ids_are_refused)
{
	struct kms_id id = {{0x5a}};
	ck_assert(kms_is(kms_id_parse(BAD_IDS[_i], &id), KMS_CODE_FORMAT));
	ck_assert_uint_eq(id.b[0], 0x5a);
}
END_TEST

START_TEST(random_ids_are_version_4)
{
	struct kms_id a;
	struct kms_id b;
	ck_assert(kms_is_ok(kms_id_random(&a)));
	ck_assert(kms_is_ok(kms_id_random(&b)));
	ck_assert(!kms_id_equal(&a, &b));
	ck_assert_uint_eq(a.b[6] >> 4, 4);
	ck_assert_uint_eq(a.b[8] >> 6, 2);
}
END_TEST

START_TEST(a_hash_has_one_text)
{
	struct kms_hash hash;
	char text[KMS_HASH_TEXT];
	ck_assert(kms_is_ok(kms_hash_parse(HASH_TEXT, &hash)));
	ck_assert_uint_eq(hash.b[1], 0x01);
	ck_assert_uint_eq(hash.b[31], 0xff);
	ck_assert_str_eq(kms_hash_text(&hash, text), HASH_TEXT);
	struct kms_hash other = hash;
	ck_assert(kms_hash_equal(&hash, &other));
	ck_assert(kms_is(kms_hash_parse(HASH_TEXT "0", &other), KMS_CODE_FORMAT));
	ck_assert(kms_is(kms_hash_parse(&HASH_TEXT[1], &other), KMS_CODE_FORMAT));
	ck_assert(kms_is(kms_hash_parse(&HASH_TEXT[2], &other), KMS_CODE_FORMAT));
	ck_assert(kms_is(kms_hash_parse("", &other), KMS_CODE_FORMAT));
	KMS_AUTO_FREE char *upper = strdup(HASH_TEXT);
	upper[63] = 'F';
	ck_assert(kms_is(kms_hash_parse(upper, &other), KMS_CODE_FORMAT));
	ck_assert(kms_hash_equal(&hash, &other));
	other.b[31] = 0;
	ck_assert(!kms_hash_equal(&hash, &other));
}
END_TEST

START_TEST(hex_is_lower_case_and_bounded)
{
	char text[7];
	kms_hex_encode(KMS_BYTES_OF("\x00\xaf"), text); /* with the NUL of the literal */
	ck_assert_str_eq(text, "00af00");
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is_ok(kms_hex_decode("00af10", 3, &buf)));
	ck_assert_uint_eq(buf.len, 3);
	ck_assert_mem_eq(buf.ptr, "\x00\xaf\x10", 3);
	kms_buf_free(&buf);
	ck_assert(kms_is_ok(kms_hex_decode("", 0, &buf)));
	ck_assert_uint_eq(buf.len, 0);
	ck_assert(kms_is(kms_hex_decode("00af10", 2, &buf), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is(kms_hex_decode("00a", 3, &buf), KMS_CODE_FORMAT));
	ck_assert(kms_is(kms_hex_decode("00AF", 3, &buf), KMS_CODE_FORMAT));
	ck_assert(kms_is(kms_hex_decode("0x", 3, &buf), KMS_CODE_FORMAT));
	ck_assert(kms_is(kms_hex_decode("0 ", 3, &buf), KMS_CODE_FORMAT));
	ck_assert(kms_is(kms_hex_decode("g0", 3, &buf), KMS_CODE_FORMAT));
	ck_assert_ptr_null(buf.ptr);
}
END_TEST

/* ---- base64 ---- */

/* RFC 4648 section 10, and every character of the alphabet. */
static const struct {
	const char *bytes;
	size_t len;
	const char *text;
} BASE64[] = {
	{"", 0, ""},
	{"f", 1, "Zg=="},
	{"fo", 2, "Zm8="},
	{"foo", 3, "Zm9v"},
	{"foob", 4, "Zm9vYg=="},
	{"fooba", 5, "Zm9vYmE="},
	{"foobar", 6, "Zm9vYmFy"},
	{"\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97\x61\x96\x9b\x71"
	 "\xd7\x9f\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e"
	 "\xbb\xf3\xdf\xbf",
		48, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"},
};

START_TEST(base64_goes_both_ways)
{
	struct kms_bytes bytes = {(const uint8_t *)BASE64[_i].bytes, BASE64[_i].len};
	ck_assert_uint_eq(kms_base64_len(bytes.len), strlen(BASE64[_i].text));
	KMS_AUTO_FREE char *text = NULL;
	ck_assert(kms_is_ok(kms_base64_text(bytes, &text)));
	ck_assert_str_eq(text, BASE64[_i].text);
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is_ok(kms_base64_decode(text, strlen(text), bytes.len, &buf)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&buf), bytes));
	if (bytes.len > 0) {
		struct kms_buf none = {0};
		ck_assert(kms_is(kms_base64_decode(text, strlen(text), bytes.len - 1, &none),
			KMS_CODE_TOO_LARGE));
		ck_assert_ptr_null(none.ptr);
	}
}
END_TEST

static const char *const BAD_BASE64[] = {
	"Z",
	"Zg",
	"Zg=",
	"Zm8",
	"=",
	"====",
	"Z===",
	"Zg==Zg==", /* padding in the middle */
	"Zm8=Zm9v",
	"Zm=v",
	"Zh==", /* unused bits that are not zero */
	"Zm9=",
	"Zm9v\n",
	"Zm9v====",
	" Zm9v",
	"Zm 9",
	"Zm9\n",
	"Zm-_", /* the alphabet of URLs */
	"Zm9*",
	"Zm9@",
	"Zm9[",
	"Zm9`",
	"Zm9{",
	"Zm9:",
	"Zm9.",
	"Zm9,",
	"Zm9\x80",
	"Zm9\xff",
};

START_TEST(other_base64_is_refused)
{
	struct kms_buf buf = {0};
	const char *text = BAD_BASE64[_i];
	ck_assert_msg(kms_is(kms_base64_decode(text, strlen(text), 100, &buf), KMS_CODE_FORMAT),
		"%s", text);
	ck_assert_ptr_null(buf.ptr);
}
END_TEST

START_TEST(every_byte_outside_the_alphabet_is_refused)
{
	static const char ALPHABET[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (int c = 0; c < 256; c++) {
		char text[4] = {(char)c, 'A', 'A', 'A'};
		const char *known = memchr(ALPHABET, c, sizeof(ALPHABET) - 1);
		KMS_AUTO_BUF buf = {0};
		kms_err err = kms_base64_decode(text, sizeof(text), 3, &buf);
		ck_assert_int_eq(kms_is_ok(err), known != NULL);
		if (known != NULL) {
			ck_assert_int_eq(buf.ptr[0], (int)(known - ALPHABET) << 2);
		}
	}
}
END_TEST

START_TEST(every_pair_of_bytes_comes_back)
{
	for (unsigned v = 0; v <= UINT16_MAX; v++) {
		uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
		char text[5];
		kms_base64_encode(KMS_BYTES_OF(bytes), text);
		KMS_AUTO_BUF buf = {0};
		ck_assert(kms_is_ok(kms_base64_decode(text, 4, 2, &buf)));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&buf), KMS_BYTES_OF(bytes)));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base_text");
	TCase *ids = tcase_create("ids");
	tcase_add_test(ids, an_id_has_one_text);
	tcase_add_loop_test(ids, other_ids_are_refused, 0, sizeof(BAD_IDS) / sizeof(BAD_IDS[0]));
	tcase_add_test(ids, random_ids_are_version_4);
	tcase_add_test(ids, a_hash_has_one_text);
	tcase_add_test(ids, hex_is_lower_case_and_bounded);
	suite_add_tcase(suite, ids);
	TCase *base64 = tcase_create("base64");
	tcase_add_loop_test(base64, base64_goes_both_ways, 0, sizeof(BASE64) / sizeof(BASE64[0]));
	tcase_add_loop_test(
		base64, other_base64_is_refused, 0, sizeof(BAD_BASE64) / sizeof(BAD_BASE64[0]));
	tcase_add_test(base64, every_byte_outside_the_alphabet_is_refused);
	tcase_add_test(base64, every_pair_of_bytes_comes_back);
	suite_add_tcase(suite, base64);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
