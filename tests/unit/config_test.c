/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: what is read, what is refused, and that each complaint names file, line and remedy.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#define FILE_NAME "/etc/kms/test.yaml"

static struct config *parsed(const char *yaml)
{
	struct config *root = NULL;
	ck_assert(kms_is_ok(config_parse(FILE_NAME, kms_bytes_str(yaml), &root)));
	ck_assert_ptr_nonnull(root);
	return root;
}

/* What a refused file prints, which is the one log line of a parse that gave no tree. */
static void refused_bytes(struct kms_bytes yaml, const char *expected)
{
	int fds[2];
	ck_assert_int_eq(pipe(fds), 0);
	int saved = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
	struct config *root = NULL;
	kms_err err = config_parse(FILE_NAME, yaml, &root);
	(void)fflush(stderr);
	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	(void)close(saved);
	(void)close(fds[1]);
	char line[1024];
	ssize_t len = read(fds[0], line, sizeof(line) - 1);
	(void)close(fds[0]);
	ck_assert_int_gt(len, 0);
	line[len] = '\0';
	ck_assert(kms_is(err, KMS_CODE_CONFIG));
	ck_assert_ptr_null(root);
	ck_assert_msg(strstr(line, expected) != NULL, "`%s` is not in `%s`", expected, line);
	/* Once: one line. */
	ck_assert_ptr_eq(strchr(line, '\n'), line + len - 1);
}

static void refused(const char *yaml, const char *expected)
{
	refused_bytes(kms_bytes_str(yaml), expected);
}

static void complained(const struct config *root, kms_err err, const char *expected)
{
	ck_assert(kms_is(err, KMS_CODE_CONFIG));
	ck_assert_str_eq(config_problem(root), expected);
}

START_TEST(reads_every_type)
{
	KMS_AUTO(config)
	root = parsed("# a comment\n"
		      "text: a word, and more\n"
		      "quoted: \"true\"\n"
		      "number: 8443\n"
		      "yes_or_no: true\n"
		      "delivery: sealed\n"
		      "id: 0f0e0d0c-0b0a-4908-8706-050403020100\n"
		      "hash: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
		      "store: {directory: data, absolute: /var/lib/kms}\n"
		      "list:\n- one\n- two\n"
		      "maps:\n- a: 1\n- a: 2\n");
	const char *text = NULL;
	ck_assert(kms_is_ok(config_get_text(root, "text", &text)));
	ck_assert_str_eq(text, "a word, and more");
	ck_assert(kms_is_ok(config_get_text(root, "quoted", &text)));
	ck_assert_str_eq(text, "true");
	uint64_t number = 0;
	ck_assert(kms_is_ok(config_get_uint(root, "number", 1, 65535, &number)));
	ck_assert_uint_eq(number, 8443);
	bool yes = false;
	ck_assert(kms_is_ok(config_get_bool(root, "yes_or_no", &yes)));
	ck_assert(yes);
	static const char *const words[] = {"clear", "sealed"};
	size_t index = 0;
	ck_assert(kms_is_ok(config_get_choice(root, "delivery", words, 2, &index)));
	ck_assert_uint_eq(index, 1);
	struct kms_id id;
	char id_text[KMS_ID_TEXT];
	ck_assert(kms_is_ok(config_get_id(root, "id", &id)));
	ck_assert_str_eq(kms_id_text(&id, id_text), "0f0e0d0c-0b0a-4908-8706-050403020100");
	struct kms_hash hash;
	ck_assert(kms_is_ok(config_get_hash(root, "hash", &hash)));
	ck_assert_uint_eq(hash.b[31], 0x55);
	struct config *store = NULL;
	ck_assert(kms_is_ok(config_get_map(root, "store", &store)));
	ck_assert(kms_is_ok(config_get_path(store, "directory", &text)));
	ck_assert_str_eq(text, "/etc/kms/data");
	ck_assert(kms_is_ok(config_get_path(store, "absolute", &text)));
	ck_assert_str_eq(text, "/var/lib/kms");
	struct config *list = NULL;
	ck_assert(kms_is_ok(config_get_list(root, "list", &list)));
	ck_assert_uint_eq(config_count(list), 2);
	ck_assert(kms_is_ok(config_item_text(list, 0, &text)));
	ck_assert(kms_is_ok(config_item_path(list, 1, &text)));
	ck_assert_str_eq(text, "/etc/kms/two");
	struct config *maps = NULL;
	ck_assert(kms_is_ok(config_get_list(root, "maps", &maps)));
	for (size_t i = 0; i < config_count(maps); i++) {
		struct config *map = NULL;
		ck_assert(kms_is_ok(config_item_map(maps, i, &map)));
		ck_assert(kms_is_ok(config_get_uint(map, config_name(map, 0), 0, 9, &number)));
		ck_assert_uint_eq(number, i + 1);
	}
	ck_assert(kms_is_ok(config_end(root)));
	ck_assert_str_eq(config_problem(root), "");
}
END_TEST

START_TEST(absent_ones_have_their_defaults)
{
	KMS_AUTO(config) root = parsed("a: 1\n");
	const char *text = NULL;
	uint64_t number = 0;
	bool yes = false;
	struct config *list = root;
	ck_assert(!config_has(root, "b"));
	ck_assert(config_has(root, "a"));
	ck_assert(kms_is_ok(config_get_text_or(root, "b", "default", &text)));
	ck_assert_str_eq(text, "default");
	ck_assert(kms_is_ok(config_get_path_or(root, "b", NULL, &text)));
	ck_assert_ptr_null(text);
	ck_assert(kms_is_ok(config_get_uint_or(root, "b", 7, 0, 9, &number)));
	ck_assert_uint_eq(number, 7);
	ck_assert(kms_is_ok(config_get_uint_or(root, "a", 7, 0, 9, &number)));
	ck_assert_uint_eq(number, 1);
	ck_assert(kms_is_ok(config_get_bool_or(root, "b", true, &yes)));
	ck_assert(yes);
	ck_assert(kms_is_ok(config_get_list_or_none(root, "b", &list)));
	ck_assert_ptr_null(list);
	ck_assert_uint_eq(config_count(list), 0);
	list = root;
	ck_assert(kms_is_ok(config_get_map_or_none(root, "b", &list)));
	ck_assert_ptr_null(list);
	ck_assert(kms_is_ok(config_end(root)));
}
END_TEST

START_TEST(refuses_what_is_not_plain_yaml)
{
	refused("", FILE_NAME ": the file is empty");
	refused("# only a comment\n", ": the file is empty");
	refused("just text\n", ":1: the file does not start with a mapping");
	refused("- a\n- b\n", ":1: the file does not start with a mapping");
	refused("a: 1\nb: &x 2\n", ":2: an anchor (&)");
	refused("a: &x {}\n", ":1: an anchor (&)");
	refused("a: &x []\n", ":1: an anchor (&)");
	refused("a: 1\nb: *x\n", ":2: an alias (*)");
	refused("*x : 1\n", ":1: an alias (*)");
	refused("a: !!str 2\n", ":1: a tag (!)");
	refused("a: !secret {b: 1}\n", ":1: a tag (!)");
	refused("a: 1\n---\nb: 2\n", ":2: a second document");
	refused("%YAML 1.1\n---\na: 1\n", ":1: a YAML directive");
	refused("a: 1\n\nb: 2\na: 3\n", ":4: the key `a` stands in line 1 already");
	refused("? {a: 1}\n: 2\n", ":1: a key that is not a word");
	refused("\"\": 2\n", ":1: a key of 0 bytes");
	refused("a: \"x\\0y\"\n", ":1: a control character");
	refused("a: \"\\e[2J\"\n", ":1: a control character");
	refused("a:\n  b: 1\n c: 2\n", ":3: not YAML");
	refused("a: [1, 2\nb: 3\n", "not YAML");
	refused("a: 1\n\tb: 2\n", "not YAML");
	refused("a: 1\nb: \xff\n", ":2: not YAML");
	refused("a: 1\nb: \xc0\xaf\n", ":2: not YAML");
	refused_bytes((struct kms_bytes){(const uint8_t *)"\xff\xfe"
							  "a\0:\0 \0001\0",
			      10},
		"not YAML");
}
END_TEST

START_TEST(holds_its_limits)
{
	/* depth: the root is 1 */
	KMS_AUTO(config) deep = parsed("a: [[[[[[[]]]]]]]\n");
	ck_assert_uint_eq(config_count(deep), 1);
	refused("a: [[[[[[[[]]]]]]]]\n", ":1: mappings and lists more than 8 deep");

	char name[CONFIG_NAME_MAX + 8];
	memset(name, 'n', sizeof(name));
	(void)snprintf(name + CONFIG_NAME_MAX, 8, ": 1\n");
	KMS_AUTO(config) longest = parsed(name);
	ck_assert_uint_eq(strlen(config_name(longest, 0)), CONFIG_NAME_MAX);
	(void)snprintf(name + CONFIG_NAME_MAX, 8, "n: 1\n");
	refused(name, ":1: a key of 65 bytes");

	for (size_t over = 0; over < 2; over++) {
		/* items of a list */
		KMS_AUTO_WRITER list = kms_writer_grow(CONFIG_FILE_MAX);
		kms_write_text(&list, "a:\n");
		for (size_t i = 0; i < CONFIG_ITEMS_MAX + over; i++) {
			kms_write_text(&list, "- 1\n");
		}
		/* a text */
		KMS_AUTO_WRITER text = kms_writer_grow(CONFIG_FILE_MAX);
		kms_write_text(&text, "a: ");
		for (size_t i = 0; i < CONFIG_TEXT_MAX + over; i++) {
			kms_write_u8(&text, 't');
		}
		/* a file */
		KMS_AUTO_WRITER file = kms_writer_grow(CONFIG_FILE_MAX + 1);
		kms_write_text(&file, "a: 1\n");
		while (file.len < CONFIG_FILE_MAX + over) {
			kms_write_u8(&file, file.len % 80 == 79 ? '\n' : '#');
		}
		struct kms_writer *all[] = {&list, &text, &file};
		static const char *const complaints[] = {":1026: more than 1024 entries",
			"a text of 16385 bytes", ": the file is over"};
		for (size_t i = 0; i < 3; i++) {
			struct kms_bytes yaml;
			ck_assert(kms_is_ok(kms_writer_bytes(all[i], &yaml)));
			if (over == 1) {
				refused_bytes(yaml, complaints[i]);
				continue;
			}
			KMS_AUTO(config) root = NULL;
			ck_assert(kms_is_ok(config_parse(FILE_NAME, yaml, &root)));
		}
	}
}
END_TEST

static const struct {
	const char *yaml;
	const char *problem;
} uint_cases[] = {
	{"a: 0\n", FILE_NAME ":1: `a` is 0; write a number from 1 to 100, digits only"},
	{"a: 101\n", FILE_NAME ":1: `a` is 101; write a number from 1 to 100, digits only"},
	{"a: -1\n", FILE_NAME ":1: `a` is -1; write a number from 1 to 100, digits only"},
	{"a: +1\n", FILE_NAME ":1: `a` is +1; write a number from 1 to 100, digits only"},
	{"a: 010\n", FILE_NAME ":1: `a` is 010; write a number from 1 to 100, digits only"},
	{"a: 0x10\n", FILE_NAME ":1: `a` is 0x10; write a number from 1 to 100, digits only"},
	{"a: 1.0\n", FILE_NAME ":1: `a` is 1.0; write a number from 1 to 100, digits only"},
	{"a: 1k\n", FILE_NAME ":1: `a` is 1k; write a number from 1 to 100, digits only"},
	{"a: \"10\"\n", FILE_NAME ":1: `a` is \"10\"; write a number from 1 to 100, digits only"},
	{"a: 18446744073709551617\n", /* 2^64 + 1 */
		FILE_NAME
		":1: `a` is 18446744073709551617; write a number from 1 to 100, digits only"},
	{"a: [1]\n", FILE_NAME ":1: `a` is a list; write one value"},
	{"b: 1\nc: {}\n", FILE_NAME ":1: `a` is missing here; write `a: ...`"},
	{"a:\n", FILE_NAME ":1: `a` has no value; write one, or remove the key"},
	{"a: ~\n", FILE_NAME ":1: `a` has no value; write one, or remove the key"},
	{"a: Null\n", FILE_NAME ":1: `a` has no value; write one, or remove the key"},
	{"a: ''\n", FILE_NAME ":1: `a` has no value; write one, or remove the key"},
};

START_TEST(refuses_other_numbers)
{
	KMS_AUTO(config) root = parsed(uint_cases[_i].yaml);
	uint64_t value = 42;
	complained(root, config_get_uint(root, "a", 1, 100, &value), uint_cases[_i].problem);
	ck_assert_uint_eq(value, 42);
}
END_TEST

START_TEST(numbers_reach_both_ends)
{
	KMS_AUTO(config) root = parsed("min: 0\nmax: 18446744073709551615\n");
	uint64_t value = 1;
	ck_assert(kms_is_ok(config_get_uint(root, "min", 0, UINT64_MAX, &value)));
	ck_assert_uint_eq(value, 0);
	ck_assert(kms_is_ok(config_get_uint(root, "max", 0, UINT64_MAX, &value)));
	ck_assert(value == UINT64_MAX);
}
END_TEST

START_TEST(refuses_other_booleans)
{
	static const char *const others[] = {"yes", "on", "1", "True", "TRUE", "\"true\"", "no"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char yaml[32];
		(void)snprintf(yaml, sizeof(yaml), "a: %s\n", others[i]);
		KMS_AUTO(config) root = parsed(yaml);
		bool value = false;
		ck_assert(kms_is(config_get_bool(root, "a", &value), KMS_CODE_CONFIG));
		ck_assert_ptr_nonnull(strstr(config_problem(root), "write true or false"));
		/* Who goes on all the same is stopped at the end. */
		ck_assert(kms_is(config_end(root), KMS_CODE_CONFIG));
	}
}
END_TEST

START_TEST(refuses_other_words_ids_hashes_and_paths)
{
	static const char *const words[] = {"clear", "sealed"};
	const char *yaml = "a:\n  - x\n  - ~/pin\n  - [1]\n";
	for (int i = 0; i < 6; i++) {
		KMS_AUTO(config) root = parsed(yaml);
		struct config *list = NULL;
		size_t index = 0;
		struct kms_id id;
		struct kms_hash hash;
		const char *text = NULL;
		ck_assert(kms_is_ok(config_get_list(root, "a", &list)));
		switch (i) {
		case 0:
			complained(root, config_item_choice(list, 0, words, 2, &index),
				FILE_NAME ":2: item 1 of `a` is x; write one of: clear, sealed");
			break;
		case 1:
			complained(root, config_item_id(list, 0, &id),
				FILE_NAME ":2: item 1 of `a` is not an id; write a UUID in lower "
					  "case, 36 characters");
			break;
		case 2:
			complained(root, config_item_hash(list, 0, &hash),
				FILE_NAME ":2: item 1 of `a` is not a SHA-256 value; write 64 hex "
					  "digits in lower case");
			break;
		case 3:
			complained(root, config_item_path(list, 1, &text),
				FILE_NAME ":3: item 2 of `a` starts with `~`, which only shells "
					  "know; write the path in full");
			break;
		case 4:
			complained(root, config_item_text(list, 2, &text),
				FILE_NAME ":4: item 3 of `a` is a list; write one value");
			break;
		default:
			complained(root, config_get_map(root, "a", &list),
				FILE_NAME ":1: `a` is not a mapping; write `key: value` lines "
					  "below it");
			break;
		}
	}
}
END_TEST

START_TEST(unknown_keys_are_named_with_what_was_meant)
{
	KMS_AUTO(config) root = parsed("store:\n  directory: x\nlimits:\n  conections: 5\n");
	struct config *store = NULL;
	struct config *limits = NULL;
	const char *text = NULL;
	uint64_t number = 0;
	ck_assert(kms_is_ok(config_get_map(root, "store", &store)));
	ck_assert(kms_is_ok(config_get_path(store, "directory", &text)));
	ck_assert(kms_is_ok(config_end(store)));
	ck_assert(kms_is_ok(config_get_map(root, "limits", &limits)));
	ck_assert(kms_is_ok(config_get_uint_or(limits, "connections", 1, 0, 9, &number)));
	complained(root, config_end(root),
		FILE_NAME ":4: unknown key `conections`; did you mean `connections`?");
}
END_TEST

START_TEST(unknown_keys_far_from_all_are_named_alone)
{
	KMS_AUTO(config) root = parsed("listen: x\n\npin: 123456\n");
	const char *text = NULL;
	ck_assert(kms_is_ok(config_get_text(root, "listen", &text)));
	/* The value may be a secret in the wrong place: never shown. */
	complained(root, config_end(root), FILE_NAME ":3: unknown key `pin`; remove it");
}
END_TEST

START_TEST(a_misspelt_required_key_is_found_at_once)
{
	KMS_AUTO(config) root = parsed("a: 1\nlitsen: x\n");
	const char *text = NULL;
	complained(root, config_get_text(root, "listen", &text),
		FILE_NAME ":2: unknown key `litsen`; did you mean `listen`, which is missing?");
	/* The first problem stays, and the end does not forgive it. */
	ck_assert(kms_is(config_get_text(root, "other", &text), KMS_CODE_CONFIG));
	complained(root, config_end(root),
		FILE_NAME ":2: unknown key `litsen`; did you mean `listen`, which is missing?");
}
END_TEST

START_TEST(callers_complain_with_line_too)
{
	KMS_AUTO(config) root = parsed("a: 1\nb:\n  c: 2\n");
	struct config *b = NULL;
	ck_assert(kms_is_ok(config_get_map(root, "b", &b)));
	ck_assert_uint_eq(config_line(b), 2);
	ck_assert_str_eq(config_file(b), FILE_NAME);
	complained(root, config_refuse(b, "c", "`c` is %d; write an odd number", 2),
		FILE_NAME ":3: `c` is 2; write an odd number");
}
END_TEST

START_TEST(reads_files_from_their_folder)
{
	char folder[] = "/tmp/kms-config-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(folder));
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/a.yaml", folder);
	struct config *none = NULL;
	ck_assert(kms_is(config_read(path, &none), KMS_CODE_CONFIG));
	ck_assert_ptr_null(none);
	ck_assert(kms_is_ok(kms_file_write(path, kms_bytes_str("a: b/c\n"), 0600)));
	{
		KMS_AUTO(config) root = NULL;
		const char *text = NULL;
		char expected[64];
		(void)snprintf(expected, sizeof(expected), "%s/b/c", folder);
		ck_assert(kms_is_ok(config_read(path, &root)));
		ck_assert(kms_is_ok(config_get_path(root, "a", &text)));
		ck_assert_str_eq(text, expected);
	}
	/* by a name without a folder */
	ck_assert_int_eq(chdir(folder), 0);
	{
		KMS_AUTO(config) root = NULL;
		const char *text = NULL;
		ck_assert(kms_is_ok(config_read("a.yaml", &root)));
		ck_assert(kms_is_ok(config_get_path(root, "a", &text)));
		char expected[64];
		(void)snprintf(expected, sizeof(expected), "%s/b/c", folder);
		ck_assert_str_eq(text, expected);
	}
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tcase = tcase_create("config");
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, reads_every_type);
	tcase_add_test(tcase, absent_ones_have_their_defaults);
	tcase_add_test(tcase, refuses_what_is_not_plain_yaml);
	tcase_add_test(tcase, holds_its_limits);
	tcase_add_loop_test(
		tcase, refuses_other_numbers, 0, (int)(sizeof(uint_cases) / sizeof(uint_cases[0])));
	tcase_add_test(tcase, numbers_reach_both_ends);
	tcase_add_test(tcase, refuses_other_booleans);
	tcase_add_test(tcase, refuses_other_words_ids_hashes_and_paths);
	tcase_add_test(tcase, unknown_keys_are_named_with_what_was_meant);
	tcase_add_test(tcase, unknown_keys_far_from_all_are_named_alone);
	tcase_add_test(tcase, a_misspelt_required_key_is_found_at_once);
	tcase_add_test(tcase, callers_complain_with_line_too);
	tcase_add_test(tcase, reads_files_from_their_folder);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
