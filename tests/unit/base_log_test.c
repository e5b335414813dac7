/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line each, readable or for the journal, and no line that a text from outside made.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"

enum { LINE_MAX_BYTES = 2048 };

static int log_end = -1;

/* stderr of the forked test becomes a pipe that it reads itself. */
static void catch_stderr(void)
{
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_end = ends[0];
	ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
	kms_log_set("kms-test", KMS_LOG_INFO);
}

static const char *logged(void)
{
	static char text[3 * LINE_MAX_BYTES];
	ssize_t len = read(log_end, text, sizeof(text) - 1);
	text[len < 0 ? 0 : len] = '\0';
	return text;
}

START_TEST(a_line_names_program_and_level)
{
	kms_log(KMS_LOG_ERROR, "cannot open %s: %d", "x", 7);
	ck_assert_str_eq(logged(), "kms-test: error: cannot open x: 7\n");
	kms_log(KMS_LOG_WARNING, "w");
	kms_log(KMS_LOG_INFO, "i");
	ck_assert_str_eq(logged(), "kms-test: warning: w\nkms-test: info: i\n");
}
END_TEST

START_TEST(the_level_is_a_bound)
{
	kms_log(KMS_LOG_DEBUG, "hidden");
	ck_assert_str_eq(logged(), "");
	kms_log_set("kms-test", KMS_LOG_DEBUG);
	kms_log(KMS_LOG_DEBUG, "shown");
	ck_assert_str_eq(logged(), "kms-test: debug: shown\n");
	kms_log_set("kms-test", KMS_LOG_ERROR);
	kms_log(KMS_LOG_WARNING, "hidden");
	ck_assert_str_eq(logged(), "");
}
END_TEST

START_TEST(levels_have_names)
{
	enum kms_log_level level = KMS_LOG_INFO;
	ck_assert(kms_is_ok(kms_log_level_parse("error", &level)));
	ck_assert_int_eq(level, KMS_LOG_ERROR);
	ck_assert(kms_is_ok(kms_log_level_parse("debug", &level)));
	ck_assert_int_eq(level, KMS_LOG_DEBUG);
	ck_assert(kms_is(kms_log_level_parse("Debug", &level), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(kms_log_level_parse("", &level), KMS_CODE_ARGUMENT));
	ck_assert_int_eq(level, KMS_LOG_DEBUG);
}
END_TEST

START_TEST(control_characters_are_replaced)
{
	kms_log(KMS_LOG_INFO, "a%sb", "\n<3>forged\r\t\x1b[2J\x7f");
	ck_assert_str_eq(logged(), "kms-test: info: a?<3>forged???[2J?b\n");
	kms_log(KMS_LOG_INFO, "%s",
		"\xc2\x9b"
		"2J\xc2\x85\xc3\xa9\xc2\xa0\xc2");
	ck_assert_str_eq(logged(), "kms-test: info: ??2J??\xc3\xa9\xc2\xa0\xc2\n");
}
END_TEST

START_TEST(the_journal_gets_priorities)
{
	struct stat st;
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	KMS_AUTO_FREE char *stream = NULL;
	ck_assert(kms_is_ok(
		kms_text(&stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino)));
	ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
	kms_log_set("kms-test", KMS_LOG_DEBUG);
	kms_log(KMS_LOG_ERROR, "e");
	kms_log(KMS_LOG_WARNING, "w");
	kms_log(KMS_LOG_INFO, "i");
	kms_log(KMS_LOG_DEBUG, "d");
	ck_assert_str_eq(logged(), "<3>e\n<4>w\n<6>i\n<7>d\n");
	/* Inherited by a child whose stderr goes elsewhere. */
	ck_assert_int_eq(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	kms_log_set("kms-test", KMS_LOG_DEBUG);
	kms_log(KMS_LOG_ERROR, "e");
	ck_assert_str_eq(logged(), "kms-test: error: e\n");
}
END_TEST

START_TEST(a_long_line_is_cut_and_says_so)
{
	static const char HEAD[] = "kms-test: info: ";
	static char text[2 * LINE_MAX_BYTES];
	memset(text, 'x', sizeof(text));
	size_t fits = LINE_MAX_BYTES - 1 - (sizeof(HEAD) - 1);
	text[fits] = '\0';
	kms_log(KMS_LOG_INFO, "%s", text);
	const char *whole = logged();
	ck_assert_uint_eq(strlen(whole), LINE_MAX_BYTES);
	ck_assert_ptr_null(strstr(whole, "[cut]"));
	text[fits] = 'x';
	text[sizeof(text) - 1] = '\0';
	kms_log(KMS_LOG_INFO, "%s", text);
	const char *cut = logged();
	ck_assert_uint_eq(strlen(cut), LINE_MAX_BYTES);
	ck_assert_str_eq(cut + LINE_MAX_BYTES - 8, "x [cut]\n");
}
END_TEST

START_TEST(errno_is_kept_even_when_nobody_listens)
{
	errno = ENOSPC;
	kms_log(KMS_LOG_ERROR, "x");
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(close(STDERR_FILENO), 0);
	errno = ENOSPC;
	kms_log(KMS_LOG_ERROR, "x");
	ck_assert_int_eq(errno, ENOSPC);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base_log");
	TCase *lines = tcase_create("lines");
	tcase_add_checked_fixture(lines, catch_stderr, NULL);
	tcase_add_test(lines, a_line_names_program_and_level);
	tcase_add_test(lines, the_level_is_a_bound);
	tcase_add_test(lines, levels_have_names);
	tcase_add_test(lines, control_characters_are_replaced);
	tcase_add_test(lines, the_journal_gets_priorities);
	tcase_add_test(lines, a_long_line_is_cut_and_says_so);
	tcase_add_test(lines, errno_is_kept_even_when_nobody_listens);
	suite_add_tcase(suite, lines);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
