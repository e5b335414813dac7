/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON out: order and escapes of RFC 8785, the building of documents, and failures that stick.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"

static void check_written(const struct doc *doc, const char *expected)
{
	KMS_AUTO_BUF json = {0};
	ck_assert(kms_is_ok(doc_write(doc, &json)));
	KMS_AUTO_FREE char *text = strndup((const char *)json.ptr, json.len);
	ck_assert_str_eq(text, expected);
}

static void check_refused(const struct doc *doc, enum kms_code code)
{
	KMS_AUTO_BUF json = {0};
	ck_assert(kms_is(doc_write(doc, &json), code));
	ck_assert(kms_is(doc_write_pretty(doc, &json), code));
	ck_assert_ptr_null(json.ptr);
}

/* Both ways into the tree must give the same bytes. */
static void check_canonical(const char *json, const char *expected)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_parse(kms_bytes_str(json), strlen(json), &doc)));
	check_written(doc, expected);
	KMS_AUTO(doc) copy = NULL;
	ck_assert(kms_is_ok(doc_new_object(&copy)));
	doc_set_copy(copy, "x", doc);
	KMS_AUTO_FREE char *wrapped = NULL;
	doc_add_copy(doc_set_array(copy, "y"), doc);
	ck_assert(kms_is_ok(kms_text(&wrapped, "{\"x\":%s,\"y\":[%s]}", expected, expected)));
	check_written(copy, wrapped);
}

START_TEST(names_sort_by_utf16_code_units)
{
	/* RFC 8785 section 3.2.3: U+1F600, as surrogates, sorts before U+FB33. */
	check_canonical("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,"
			"\"\\u0080\":6,\"\\u00f6\":7}",
		"{\"\\r\":2,\"1\":4,\"\xc2\x80\":6,\"\xc3\xb6\":7,\"\xe2\x82\xac\":1,"
		"\"\xf0\x9f\x98\x80\":5,\"\xef\xac\xb3\":3}");
}
END_TEST

START_TEST(surrogates_sort_between_d7ff_and_e000)
{
	check_canonical("{\"\\uffff\":1,\"\\ue000\":2,\"\\udbff\\udfff\":3,\"\\ud800\\udc00\":4,"
			"\"\\ud7ff\":5,\"\\ud800\\udc01\":6}",
		"{\"\xed\x9f\xbf\":5,\"\xf0\x90\x80\x80\":4,\"\xf0\x90\x80\x81\":6,"
		"\"\xf4\x8f\xbf\xbf\":3,\"\xee\x80\x80\":2,\"\xef\xbf\xbf\":1}");
}
END_TEST

START_TEST(a_prefix_sorts_first)
{
	check_canonical("{\"ab\":1,\"a\":2,\"\":3,\"B\":4,\"aa\":5}",
		"{\"\":3,\"B\":4,\"a\":2,\"aa\":5,\"ab\":1}");
}
END_TEST

START_TEST(nested_objects_are_sorted_and_arrays_are_not)
{
	check_canonical(
		" { \"b\" : [ 3, 1, { \"z\" : null , \"y\" : true } ],\n\"a\":{} , \"c\":[] } ",
		"{\"a\":{},\"b\":[3,1,{\"y\":true,\"z\":null}],\"c\":[]}");
}
END_TEST

START_TEST(escapes_are_the_shortest)
{
	/* RFC 8785 section 3.2.2.2 */
	check_canonical("[\"\\u0008\\u0009\\u000a\\u000c\\u000d\\u0022\\u005c\\/\"]",
		"[\"\\b\\t\\n\\f\\r\\\"\\\\/\"]");
	check_canonical("[\"\\u0001\\u000B\\u000e\\u001F\\u007f\\u0080\\u2028\\u0041\"]",
		"[\"\\u0001\\u000b\\u000e\\u001f\x7f\xc2\x80\xe2\x80\xa8"
		"A\"]");
	check_canonical("[\"plain\",\"\",\"\\nend\",\"start\\n\",\"\\n\\n\"]",
		"[\"plain\",\"\",\"\\nend\",\"start\\n\",\"\\n\\n\"]");
}
END_TEST

START_TEST(integers_are_plain)
{
	check_canonical("[0,-0,-1,9007199254740991,-9007199254740991]",
		"[0,0,-1,9007199254740991,-9007199254740991]");
}
END_TEST

START_TEST(every_setter_writes_its_form)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_object(&doc)));
	struct kms_id id = {{0x01, 0x23}};
	struct kms_hash hash = {{0xab}};
	doc_set_text(doc, "text", "a\"b");
	doc_set_int(doc, "int", -5);
	doc_set_bool(doc, "yes", true);
	doc_set_bool(doc, "no", false);
	doc_set_null(doc, "null");
	doc_set_id(doc, "id", &id);
	doc_set_hash(doc, "hash", &hash);
	doc_set_bytes(doc, "bytes", KMS_BYTES_OF("a")); /* with its NUL */
	doc_set_bytes(doc, "empty", (struct kms_bytes){0});
	doc_set_time(doc, "time", 0);
	struct doc *array = doc_set_array(doc, "array");
	doc_add_text(array, "one");
	doc_set_int(doc_add_object(array), "two", 2);
	doc_add_int(array, -3);
	doc_set_int(doc_set_object(doc, "object"), "three", 3);
	check_written(doc,
		"{\"array\":[\"one\",{\"two\":2},-3],\"bytes\":\"YQA=\",\"empty\":\"\","
		"\"hash\":\"ab00000000000000000000000000000000000000000000000000000000000000\","
		"\"id\":\"01230000-0000-0000-0000-000000000000\",\"int\":-5,\"no\":false,"
		"\"null\":null,\"object\":{\"three\":3},\"text\":\"a\\\"b\","
		"\"time\":\"1970-01-01T00:00:00.000Z\",\"yes\":true}");
}
END_TEST

START_TEST(a_name_is_set_once_and_the_last_wins)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_object(&doc)));
	doc_set_text(doc, "a", "first");
	doc_set_int(doc, "b", 1);
	doc_set_int(doc, "a", 2);
	check_written(doc, "{\"a\":2,\"b\":1}");
}
END_TEST

START_TEST(a_child_can_be_written_alone)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_array(&doc)));
	struct doc *child = doc_add_object(doc);
	doc_set_int(child, "a", 1);
	check_written(child, "{\"a\":1}");
	check_written(doc, "[{\"a\":1}]");
}
END_TEST

START_TEST(pretty_is_indented)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_object(&doc)));
	doc_set_int(doc, "b", 1);
	doc_add_text(doc_set_array(doc, "a"), "x");
	(void)doc_set_object(doc, "c");
	KMS_AUTO_BUF json = {0};
	ck_assert(kms_is_ok(doc_write_pretty(doc, &json)));
	KMS_AUTO_FREE char *text = strndup((const char *)json.ptr, json.len);
	ck_assert_str_eq(text, "{\n  \"a\": [\n    \"x\"\n  ],\n  \"b\": 1,\n  \"c\": {}\n}\n");
}
END_TEST

START_TEST(integers_past_the_limit_stick)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_object(&doc)));
	doc_set_int(doc, "max", INT64_C(9007199254740991));
	doc_set_int(doc, "min", INT64_C(-9007199254740991));
	check_written(doc, "{\"max\":9007199254740991,\"min\":-9007199254740991}");
	if (_i == 0) {
		doc_set_int(doc, "over", INT64_C(9007199254740992));
	} else {
		doc_set_int(doc, "under", INT64_MIN);
	}
	check_refused(doc, KMS_CODE_TOO_LARGE);
}
END_TEST

static const char *const BAD_UTF8[] = {
	"\x80",
	"\xff",
	"a\xc3",
	"\xc0\xaf",
	"\xc1\xbf",
	"\xe0\x9f\xbf",
	"\xe2\x82",
	"\xed\xa0\x80",
	"\xf0\x8f\xbf\xbf",
	"\xf0\x9f\x98",
	"\xf4\x90\x80\x80",
	"\xf5\x80\x80\x80",
	"\xe2\x82\x41",
};

START_TEST(bad_utf8_sticks)
{
	KMS_AUTO(doc) as_text = NULL;
	ck_assert(kms_is_ok(doc_new_object(&as_text)));
	doc_set_text(as_text, "a", BAD_UTF8[_i]);
	check_refused(as_text, KMS_CODE_FORMAT);
	KMS_AUTO(doc) as_name = NULL;
	ck_assert(kms_is_ok(doc_new_object(&as_name)));
	doc_set_int(as_name, BAD_UTF8[_i], 1);
	check_refused(as_name, KMS_CODE_FORMAT);
	KMS_AUTO(doc) as_item = NULL;
	ck_assert(kms_is_ok(doc_new_array(&as_item)));
	doc_add_text(as_item, BAD_UTF8[_i]);
	check_refused(as_item, KMS_CODE_FORMAT);
}
END_TEST

START_TEST(after_a_failure_every_setter_is_harmless)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_object(&doc)));
	struct doc *array = doc_set_array(doc, "array");
	doc_set_text(doc, "bad", "\xff");
	doc_set_int(doc, "int", 1);
	doc_add_text(array, "x");
	/* What these return stands in for a child of the other kind. */
	struct doc *lost_array = doc_set_array(doc, "lost");
	doc_add_text(lost_array, "x");
	struct doc *lost_object = doc_add_object(array);
	doc_set_int(lost_object, "a", 1);
	doc_set_copy(lost_object, "b", array);
	check_refused(doc, KMS_CODE_FORMAT);
	/* A copy of a broken document is broken. */
	KMS_AUTO(doc) other = NULL;
	ck_assert(kms_is_ok(doc_new_object(&other)));
	doc_set_copy(other, "copy", _i == 0 ? doc : array);
	check_refused(other, KMS_CODE_FORMAT);
}
END_TEST

START_TEST(the_depth_limit_sticks)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_object(&doc)));
	struct doc *at = doc;
	for (int depth = 1; depth < DOC_DEPTH_MAX; depth++) {
		at = doc_set_object(at, "a");
	}
	doc_set_int(at, "leaf", 1);
	KMS_AUTO_BUF json = {0};
	ck_assert(kms_is_ok(doc_write(doc, &json)));
	(void)doc_set_object(at, "b");
	check_refused(doc, KMS_CODE_TOO_LARGE);
}
END_TEST

START_TEST(to_set_a_member_of_an_array_is_our_mistake)
{
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_new_array(&doc)));
	doc_set_int(doc, "a", 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doc_write");
	TCase *canonical = tcase_create("canonical");
	tcase_add_test(canonical, names_sort_by_utf16_code_units);
	tcase_add_test(canonical, surrogates_sort_between_d7ff_and_e000);
	tcase_add_test(canonical, a_prefix_sorts_first);
	tcase_add_test(canonical, nested_objects_are_sorted_and_arrays_are_not);
	tcase_add_test(canonical, escapes_are_the_shortest);
	tcase_add_test(canonical, integers_are_plain);
	suite_add_tcase(suite, canonical);
	TCase *building = tcase_create("building");
	tcase_add_test(building, every_setter_writes_its_form);
	tcase_add_test(building, a_name_is_set_once_and_the_last_wins);
	tcase_add_test(building, a_child_can_be_written_alone);
	tcase_add_test(building, pretty_is_indented);
	tcase_add_loop_test(building, integers_past_the_limit_stick, 0, 2);
	tcase_add_loop_test(building, bad_utf8_sticks, 0, sizeof(BAD_UTF8) / sizeof(BAD_UTF8[0]));
	tcase_add_loop_test(building, after_a_failure_every_setter_is_harmless, 0, 2);
	tcase_add_test(building, the_depth_limit_sticks);
	tcase_add_test_raise_signal(building, to_set_a_member_of_an_array_is_our_mistake, SIGABRT);
	suite_add_tcase(suite, building);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
