/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON in: every refusal of doc_parse, and the reading cursor. Writing has doc_write_test.c.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"

enum { ANY_SIZE = 64 * 1024 };

static kms_err parse(const char *json, struct doc **ret_doc)
{
	return doc_parse(kms_bytes_str(json), ANY_SIZE, ret_doc);
}

static struct doc *parsed(const char *json)
{
	struct doc *doc = NULL;
	ck_assert(kms_is_ok(parse(json, &doc)));
	return doc;
}

static void check_written(const struct doc *doc, const char *expected)
{
	KMS_AUTO_BUF json = {0};
	ck_assert(kms_is_ok(doc_write(doc, &json)));
	ck_assert_uint_eq(json.len, strlen(expected));
	ck_assert_mem_eq(json.ptr, expected, json.len);
}

/* ---- what is refused ---- */

static const char *const REFUSED[] = {
	"",
	" ",
	"1",
	"\"text\"",
	"true",
	"null",
	"{\"a\":1,\"a\":2}",
	"{\"o\":{\"a\":1,\"\\u0061\":2}}", /* the same name, spelled otherwise */
	"{} ,",
	"{}{}",
	"[1]x",
	"[1,]",
	"{\"a\":1,}",
	"{a:1}",
	"{'a':1}",
	"[1 2]",
	"// note\n[]",
	"[01]",
	"[+1]",
	"[.5]",
	"[0x10]",
	"[1.0]",
	"[1.5]",
	"[1e3]",
	"[1E-3]",
	"[1e999]",
	"[NaN]",
	"[Infinity]",
	"[9007199254740992]",
	"[-9007199254740992]",
	"[9223372036854775808]",
	"[\"\\u0000\"]",
	"{\"a\\u0000b\":1}",
	"[\"\\ud800\"]",        /* a lone high surrogate */
	"[\"\\udc00\"]",        /* a lone low surrogate */
	"[\"\\ud800\\u0041\"]", /* a high one without its low one */
	"[\"\xff\"]",
	"[\"\xc0\xaf\"]",         /* overlong */
	"[\"\xed\xa0\x80\"]",     /* a surrogate in UTF-8 */
	"[\"\xf4\x90\x80\x80\"]", /* past U+10FFFF */
	"[\"\xe2\x82\"]",         /* cut */
	"\xef\xbb\xbf[]",         /* a byte order mark */
	"[\"\n\"]",               /* a control character, not escaped */
	"[\"\\x41\"]",
	"[\"\\'\"]",
	"[\"a]",
	"[",
	"{",
	"[TRUE]",
};

START_TEST(what_is_not_strict_json_is_refused)
{
	struct doc *doc = NULL;
	ck_assert_msg(kms_is(parse(REFUSED[_i], &doc), KMS_CODE_FORMAT), "%s", REFUSED[_i]);
	ck_assert_ptr_null(doc);
}
END_TEST

START_TEST(a_nul_byte_is_refused)
{
	struct doc *doc = NULL;
	ck_assert(kms_is(doc_parse(KMS_BYTES_OF("[\"a\0b\"]"), ANY_SIZE, &doc), KMS_CODE_FORMAT));
	ck_assert(kms_is(doc_parse(KMS_BYTES_OF("[]"), ANY_SIZE, &doc), KMS_CODE_FORMAT));
	ck_assert_ptr_null(doc);
}
END_TEST

START_TEST(the_size_limit_holds)
{
	struct doc *doc = NULL;
	struct kms_bytes json = kms_bytes_str("[\"abc\"]");
	ck_assert(kms_is(doc_parse(json, json.len - 1, &doc), KMS_CODE_TOO_LARGE));
	ck_assert_ptr_null(doc);
	ck_assert(kms_is_ok(doc_parse(json, json.len, &doc)));
	doc_free(&doc);
}
END_TEST

/* depth arrays or objects, each the only child of the one around it */
static char *nested(size_t depth, const char *opening, const char *closing)
{
	KMS_AUTO_WRITER text = kms_writer_grow(ANY_SIZE);
	for (size_t i = 0; i < depth; i++) {
		kms_write_text(&text, opening);
	}
	kms_write_u8(&text, '1');
	for (size_t i = 0; i < depth; i++) {
		kms_write_text(&text, closing);
	}
	kms_write_u8(&text, '\0');
	struct kms_buf buf = {0};
	ck_assert(kms_is_ok(kms_writer_take(&text, &buf)));
	return (char *)buf.ptr;
}

static void check_depth(const char *opening, const char *closing)
{
	KMS_AUTO(doc) doc = NULL;
	KMS_AUTO_FREE char *deep = nested(DOC_DEPTH_MAX, opening, closing);
	ck_assert(kms_is_ok(parse(deep, &doc)));
	check_written(doc, deep);
	doc_free(&doc);
	KMS_AUTO_FREE char *deeper = nested(DOC_DEPTH_MAX + 1, opening, closing);
	ck_assert(kms_is(parse(deeper, &doc), KMS_CODE_FORMAT));
	KMS_AUTO_FREE char *deepest = nested(5000, opening, closing);
	ck_assert(kms_is(parse(deepest, &doc), KMS_CODE_FORMAT));
}

START_TEST(the_depth_limit_holds)
{
	check_depth("[", "]");
	check_depth("{\"a\":", "}");
}
END_TEST

START_TEST(integers_at_the_limit_are_read)
{
	KMS_AUTO(doc) doc = parsed("{\"max\":9007199254740991,\"min\":-9007199254740991}");
	int64_t value = 0;
	ck_assert(kms_is_ok(doc_get_int(doc, "max", &value)));
	ck_assert_int_eq(value, INT64_C(9007199254740991));
	ck_assert(kms_is_ok(doc_get_int(doc, "min", &value)));
	ck_assert_int_eq(value, INT64_C(-9007199254740991));
}
END_TEST

/* ---- the cursor ---- */

#define ID_TEXT "01234567-89ab-4def-8123-456789abcdef"
#define HASH_TEXT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

START_TEST(members_are_read_by_type)
{
	KMS_AUTO(doc)
	doc = parsed("{\"text\":\"\\u00e9\\ud83d\\ude00\",\"yes\":true,\"no\":false,"
		     "\"id\":\"" ID_TEXT "\",\"hash\":\"" HASH_TEXT "\","
		     "\"bytes\":\"AAEC\",\"n\":5,\"none\":null,"
		     "\"object\":{\"a\":1},\"array\":[\"x\",{\"b\":2},-7]}");
	const char *text = NULL;
	ck_assert(kms_is_ok(doc_get_text(doc, "text", &text)));
	ck_assert_str_eq(text, "\xc3\xa9\xf0\x9f\x98\x80");
	bool flag = false;
	ck_assert(kms_is_ok(doc_get_bool(doc, "yes", &flag)) && flag);
	ck_assert(kms_is_ok(doc_get_bool(doc, "no", &flag)) && !flag);
	struct kms_id id;
	char id_text[KMS_ID_TEXT];
	ck_assert(kms_is_ok(doc_get_id(doc, "id", &id)));
	ck_assert_str_eq(kms_id_text(&id, id_text), ID_TEXT);
	struct kms_hash hash;
	char hash_text[KMS_HASH_TEXT];
	ck_assert(kms_is_ok(doc_get_hash(doc, "hash", &hash)));
	ck_assert_str_eq(kms_hash_text(&hash, hash_text), HASH_TEXT);
	KMS_AUTO_BUF bytes = {0};
	ck_assert(kms_is_ok(doc_get_bytes(doc, "bytes", 3, &bytes)));
	ck_assert_uint_eq(bytes.len, 3);
	ck_assert_mem_eq(bytes.ptr, "\x00\x01\x02", 3);
	uint64_t number = 0;
	ck_assert(kms_is_ok(doc_get_uint(doc, "n", 5, &number)));
	ck_assert_uint_eq(number, 5);
	ck_assert(!doc_has(doc, "none"));
	ck_assert(!doc_has(doc, "absent"));
	ck_assert(doc_has(doc, "n"));
	struct doc *object = NULL;
	ck_assert(kms_is_ok(doc_get_object(doc, "object", &object)));
	ck_assert(kms_is_ok(doc_get_uint(object, "a", 1, &number)));
	struct doc *array = NULL;
	ck_assert(kms_is_ok(doc_get_array(doc, "array", &array)));
	ck_assert_uint_eq(doc_count(array), 3);
	ck_assert(kms_is_ok(doc_item_text(array, 0, &text)));
	ck_assert_str_eq(text, "x");
	int64_t value = 0;
	ck_assert(kms_is_ok(doc_item_int(array, 2, &value)));
	ck_assert_int_eq(value, -7);
	ck_assert(kms_is_ok(doc_item_object(array, 1, &object)));
	ck_assert(kms_is_ok(doc_end(doc)));
	ck_assert_str_eq(doc_problem(doc), "");
}
END_TEST

static kms_err read_text(struct doc *doc)
{
	const char *text = NULL;
	return doc_get_text(doc, "a", &text);
}

static kms_err read_int(struct doc *doc)
{
	int64_t value;
	return doc_get_int(doc, "a", &value);
}

static kms_err read_uint(struct doc *doc)
{
	uint64_t value;
	return doc_get_uint(doc, "a", 5, &value);
}

static kms_err read_bool(struct doc *doc)
{
	bool value;
	return doc_get_bool(doc, "a", &value);
}

static kms_err read_id(struct doc *doc)
{
	struct kms_id id;
	return doc_get_id(doc, "a", &id);
}

static kms_err read_hash(struct doc *doc)
{
	struct kms_hash hash;
	return doc_get_hash(doc, "a", &hash);
}

static kms_err read_bytes(struct doc *doc)
{
	KMS_AUTO_BUF buf = {0};
	return doc_get_bytes(doc, "a", 3, &buf);
}

static kms_err read_object(struct doc *doc)
{
	struct doc *object;
	return doc_get_object(doc, "a", &object);
}

static kms_err read_array(struct doc *doc)
{
	struct doc *array;
	return doc_get_array(doc, "a", &array);
}

static kms_err read_item_text(struct doc *doc)
{
	struct doc *array = NULL;
	const char *text;
	KMS_TRY(doc_get_array(doc, "a", &array));
	return doc_item_text(array, 1, &text);
}

static kms_err read_item_int(struct doc *doc)
{
	struct doc *array = NULL;
	int64_t value;
	KMS_TRY(doc_get_array(doc, "a", &array));
	return doc_item_int(array, 1, &value);
}

static kms_err read_item_object(struct doc *doc)
{
	struct doc *array = NULL;
	struct doc *object;
	KMS_TRY(doc_get_array(doc, "a", &array));
	return doc_item_object(array, 0, &object);
}

static kms_err read_member(struct doc *doc)
{
	const char *name;
	const char *text;
	return doc_member_text(doc, 0, &name, &text);
}

static kms_err read_nested(struct doc *doc)
{
	struct doc *array = NULL;
	struct doc *object = NULL;
	KMS_TRY(doc_get_array(doc, "a", &array));
	KMS_TRY(doc_item_object(array, 1, &object));
	return read_text(object) /* a[1].a */;
}

static const struct {
	const char *json;
	kms_err (*read)(struct doc *doc);
	enum kms_code code;
	const char *problem;
} MISREADS[] = {
	{"{}", read_text, KMS_CODE_FORMAT, "a: is missing"},
	{"{\"a\":1}", read_text, KMS_CODE_FORMAT, "a: is an integer, not a string"},
	{"{\"a\":null}", read_text, KMS_CODE_FORMAT, "a: is null, not a string"},
	{"{\"a\":\"1\"}", read_int, KMS_CODE_FORMAT, "a: is a string, not an integer"},
	{"{\"a\":true}", read_int, KMS_CODE_FORMAT, "a: is a boolean, not an integer"},
	{"{\"a\":6}", read_uint, KMS_CODE_FORMAT, "a: is not between 0 and 5"},
	{"{\"a\":-1}", read_uint, KMS_CODE_FORMAT, "a: is not between 0 and 5"},
	{"{\"a\":0}", read_bool, KMS_CODE_FORMAT, "a: is an integer, not a boolean"},
	{"{\"a\":\"" ID_TEXT "0\"}", read_id, KMS_CODE_FORMAT, "a: is not a UUID"},
	{"{\"a\":\"" ID_TEXT "\"}", read_hash, KMS_CODE_FORMAT, "a: is not a SHA-256 value in hex"},
	{"{\"a\":\"AAE\"}", read_bytes, KMS_CODE_FORMAT, "a: is not base64"},
	{"{\"a\":\"AAECAw==\"}", read_bytes, KMS_CODE_TOO_LARGE, "a: is too long"},
	{"{\"a\":[1]}", read_item_int, KMS_CODE_FORMAT, "a: has too few items"},
	{"{\"a\":[1,\"2\"]}", read_item_int, KMS_CODE_FORMAT, "a[1]: is a string, not an integer"},
	{"{\"a\":[]}", read_object, KMS_CODE_FORMAT, "a: is an array, not an object"},
	{"{\"a\":{}}", read_array, KMS_CODE_FORMAT, "a: is an object, not an array"},
	{"{\"a\":[\"x\"]}", read_item_text, KMS_CODE_FORMAT, "a: has too few items"},
	{"{\"a\":[\"x\"]}", read_item_object, KMS_CODE_FORMAT, "a[0]: is a string, not an object"},
	{"{\"a\":[{},{\"a\":2}]}", read_nested, KMS_CODE_FORMAT,
		"a[1].a: is an integer, not a string"},
	{"{\"a\":[{},{\"b\":2}]}", read_nested, KMS_CODE_FORMAT, "a[1].a: is missing"},
	{"{\"a\":1}", read_member, KMS_CODE_FORMAT, "a: is an integer, not a string"},
	{"{}", read_member, KMS_CODE_FORMAT, "the document: has too few members"},
	{"[1]", read_text, KMS_CODE_FORMAT, "the document: is an array, not an object"},
	{"[1]", read_member, KMS_CODE_FORMAT, "the document: is an array, not an object"},
	{"[1]", doc_end, KMS_CODE_FORMAT, "the document: is an array, not an object"},
	{"{\"a\":1}", doc_end, KMS_CODE_FORMAT, "a: is not known here"},
};

START_TEST(a_misread_names_the_field)
{
	KMS_AUTO(doc) doc = parsed(MISREADS[_i].json);
	ck_assert(kms_is(MISREADS[_i].read(doc), MISREADS[_i].code));
	ck_assert_str_eq(doc_problem(doc), MISREADS[_i].problem);
	/* The first problem stays. */
	int64_t value;
	ck_assert(kms_is(doc_get_int(doc, "zzz", &value), KMS_CODE_FORMAT));
	ck_assert_str_eq(doc_problem(doc), MISREADS[_i].problem);
}
END_TEST

START_TEST(an_unread_member_is_an_error_at_every_level)
{
	KMS_AUTO(doc) doc = parsed("{\"inner\":{\"a\":\"1\",\"b\":\"2\"},\"z\":null}");
	struct doc *inner = NULL;
	ck_assert(kms_is_ok(doc_get_object(doc, "inner", &inner)));
	ck_assert(!doc_has(doc, "z"));
	ck_assert(kms_is_ok(doc_end(doc)));
	ck_assert(kms_is_ok(read_text(inner)));
	ck_assert(doc_has(inner, "b")); /* to ask is not to read */
	ck_assert(kms_is(doc_end(inner), KMS_CODE_FORMAT));
	ck_assert_str_eq(doc_problem(doc), "inner.b: is not known here");
}
END_TEST

START_TEST(members_of_a_context_are_read_in_order)
{
	KMS_AUTO(doc) doc = parsed("{\"b\":\"2\",\"a\":\"1\"}");
	ck_assert_uint_eq(doc_count(doc), 2);
	const char *name = NULL;
	const char *text = NULL;
	ck_assert(kms_is_ok(doc_member_text(doc, 0, &name, &text)));
	ck_assert_str_eq(name, "a");
	ck_assert_str_eq(text, "1");
	ck_assert(kms_is(doc_end(doc), KMS_CODE_FORMAT));
	ck_assert(kms_is_ok(doc_member_text(doc, 1, &name, &text)));
	ck_assert_str_eq(name, "b");
	ck_assert(kms_is_ok(doc_end(doc)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doc");
	TCase *in = tcase_create("in");
	tcase_add_loop_test(
		in, what_is_not_strict_json_is_refused, 0, sizeof(REFUSED) / sizeof(REFUSED[0]));
	tcase_add_test(in, a_nul_byte_is_refused);
	tcase_add_test(in, the_size_limit_holds);
	tcase_add_test(in, the_depth_limit_holds);
	tcase_add_test(in, integers_at_the_limit_are_read);
	suite_add_tcase(suite, in);
	TCase *cursor = tcase_create("cursor");
	tcase_add_test(cursor, members_are_read_by_type);
	tcase_add_loop_test(
		cursor, a_misread_names_the_field, 0, sizeof(MISREADS) / sizeof(MISREADS[0]));
	tcase_add_test(cursor, an_unread_member_is_an_error_at_every_level);
	tcase_add_test(cursor, members_of_a_context_are_read_in_order);
	suite_add_tcase(suite, cursor);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
