/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/formats shows the golden bytes: each block ```hex NAME is, byte by byte, what
 * tests/golden/NAME holds, and each line of a block ```jsonl NAME is one of its lines.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

static char *source_read(const char *folder, const char *name)
{
	const char *root = getenv("KMS_SOURCE");
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO_BUF bytes = {0};
	char *text = NULL;
	ck_assert_msg(root != NULL, "KMS_SOURCE names the source tree");
	ck_assert(kms_is_ok(kms_text(&path, "%s/%s/%s", root, folder, name)));
	ck_assert_msg(kms_is_ok(kms_file_read(path, (size_t)256 * 1024, &bytes)), "%s", path);
	ck_assert(kms_is_ok(kms_text(&text, "%.*s", (int)bytes.len, (const char *)bytes.ptr)));
	return text;
}

/* Hex digits of a text, without line ends and what stands after " |". */
static char *hex_of(const char *text)
{
	char *hex = calloc(1, strlen(text) + 1);
	size_t len = 0;
	ck_assert_ptr_nonnull(hex);
	while (*text != 0) {
		size_t line = strcspn(text, "\n");
		size_t digits = strspn(text, "0123456789abcdef");
		memcpy(hex + len, text, digits);
		len += digits;
		text += line + (text[line] == '\n' ? 1 : 0);
	}
	return hex;
}

static void block_check(const char *doc, bool is_hex, const char *name, const char *block)
{
	KMS_AUTO_FREE char *golden = source_read("tests/golden", name);
	if (is_hex) {
		KMS_AUTO_FREE char *shown = hex_of(block);
		KMS_AUTO_FREE char *meant = hex_of(golden);
		ck_assert_msg(strcmp(shown, meant) == 0, "%s shows other bytes than %s", doc, name);
		return;
	}
	for (const char *line = block; *line != 0; line += strcspn(line, "\n") + 1) {
		KMS_AUTO_FREE char *whole = NULL;
		ck_assert(kms_is_ok(kms_text(&whole, "%.*s\n", (int)strcspn(line, "\n"), line)));
		ck_assert_msg(strstr(golden, whole) != NULL, "%s: not in %s: %s", doc, name, whole);
	}
}

/* Check every block of that kind; returns how many there were. */
static size_t blocks_check(const char *doc, const char *text, bool is_hex)
{
	const char *fence = is_hex ? "\n```hex " : "\n```jsonl ";
	size_t count = 0;
	for (const char *at = text; (at = strstr(at, fence)) != NULL; count++) {
		KMS_AUTO_FREE char *name = NULL;
		KMS_AUTO_FREE char *block = NULL;
		at += strlen(fence);
		size_t name_len = strcspn(at, "\n");
		ck_assert(kms_is_ok(kms_text(&name, "%.*s", (int)name_len, at)));
		const char *start = at + name_len + 1;
		const char *end = strstr(start, "```\n");
		ck_assert_ptr_nonnull(end);
		ck_assert(kms_is_ok(kms_text(&block, "%.*s", (int)(end - start), start)));
		block_check(doc, is_hex, name, block);
	}
	return count;
}

static const struct {
	const char *doc;
	size_t hex, jsonl; /* blocks */
} docs[] = {
	{"context.md", 1, 0},
	{"wrapped-key.md", 2, 0},
	{"sealed.md", 2, 0},
	{"use.md", 1, 0},
	{"statement.md", 5, 0},
	{"erase.md", 2, 0},
	{"receipt.md", 1, 0},
	{"ledger-entry.md", 0, 4},
};

START_TEST(docs_show_the_golden_bytes)
{
	KMS_AUTO_FREE char *text = source_read("docs/formats", docs[_i].doc);
	ck_assert_uint_eq(blocks_check(docs[_i].doc, text, true), docs[_i].hex);
	ck_assert_uint_eq(blocks_check(docs[_i].doc, text, false), docs[_i].jsonl);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("formats_docs");
	TCase *all = tcase_create("all");
	tcase_add_loop_test(
		all, docs_show_the_golden_bytes, 0, (int)(sizeof(docs) / sizeof(docs[0])));
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
