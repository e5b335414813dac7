/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are the old or the new one, and files that hold secrets.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"

enum { OTHER_USER = 65534 };

/* Every test works in a directory of its own. */
static void enter_directory(void)
{
	char directory[] = "/tmp/kms-base-file-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
}

static void leave_directory(void)
{
	static const char *const NAMES[] = {"a", "a.new", "target", "other"};
	KMS_AUTO_FREE char *directory = get_current_dir_name();
	ck_assert_ptr_nonnull(directory);
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		(void)remove(NAMES[i]);
	}
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert(kms_is_ok(kms_fd_write_all(fd, kms_bytes_str(text))));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	ck_assert_int_eq(close(fd), 0);
}

static void check_holds(const char *path, const char *text)
{
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is_ok(kms_file_read(path, 100, &buf)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&buf), kms_bytes_str(text)));
}

/* ---- reading ---- */

START_TEST(a_file_is_read_up_to_the_limit)
{
	put("a", "12345", 0644);
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is(kms_file_read("a", 4, &buf), KMS_CODE_TOO_LARGE));
	ck_assert_ptr_null(buf.ptr);
	ck_assert(kms_is_ok(kms_file_read("a", 5, &buf)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&buf), kms_bytes_str("12345")));
	put("a", "", 0644);
	check_holds("a", "");
}
END_TEST

START_TEST(a_missing_file_says_so_in_errno)
{
	KMS_AUTO_BUF buf = {0};
	KMS_AUTO(kms_secret) secret = NULL;
	errno = 0;
	ck_assert(kms_is(kms_file_read("a", 5, &buf), KMS_CODE_IO));
	ck_assert_int_eq(errno, ENOENT);
	errno = 0;
	ck_assert(kms_is(kms_file_read_secret("a", 5, &secret), KMS_CODE_IO));
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(only_regular_files_are_read)
{
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is(kms_file_read(".", 5, &buf), KMS_CODE_IO));
	ck_assert_int_eq(errno, EISDIR);
	ck_assert_int_eq(mkfifo("a", 0600), 0); /* and nobody waits for a writer */
	ck_assert(kms_is(kms_file_read("a", 5, &buf), KMS_CODE_IO));
	KMS_AUTO(kms_secret) secret = NULL;
	ck_assert(kms_is(kms_file_read_secret("a", 5, &secret), KMS_CODE_IO));
}
END_TEST

/* ---- secrets ---- */

static const struct {
	const char *text;
	const char *secret;
} SECRETS[] = {
	{"12345", "12345"},
	{"12345\n", "12345"},
	{"123\n\n", "123\n"},
	{"1 2\r\n", "1 2\r"},
	{"\n", ""},
	{"", ""},
};

START_TEST(one_newline_at_the_end_is_cut_off)
{
	put("a", SECRETS[_i].text, 0600);
	KMS_AUTO(kms_secret) secret = NULL;
	ck_assert(kms_is_ok(kms_file_read_secret("a", 5, &secret)));
	ck_assert(kms_bytes_equal(kms_secret_bytes(secret), kms_bytes_str(SECRETS[_i].secret)));
}
END_TEST

static const char *const LONG_SECRETS[] = {"123456", "123456\n", "12345\n\n", "1234567"};

START_TEST(a_longer_secret_is_refused)
{
	put("a", LONG_SECRETS[_i], 0600);
	KMS_AUTO(kms_secret) secret = NULL;
	ck_assert(kms_is(kms_file_read_secret("a", 5, &secret), KMS_CODE_TOO_LARGE));
	ck_assert_ptr_null(secret);
}
END_TEST

static const mode_t OPEN_MODES[] = {0640, 0620, 0610, 0604, 0602, 0601, 0644, 0777, 0440};

START_TEST(a_secret_that_others_can_reach_is_refused)
{
	put("a", "12345", OPEN_MODES[_i]);
	KMS_AUTO(kms_secret) secret = NULL;
	ck_assert(kms_is(kms_file_read_secret("a", 5, &secret), KMS_CODE_CONFIG));
	ck_assert_ptr_null(secret);
	ck_assert_int_eq(chmod("a", 0400), 0);
	ck_assert(kms_is_ok(kms_file_read_secret("a", 5, &secret)));
}
END_TEST

START_TEST(a_secret_of_another_user_is_refused)
{
	if (geteuid() != 0) {
		return; /* only root can give a file away */
	}
	put("a", "12345", 0600);
	ck_assert_int_eq(chown("a", OTHER_USER, OTHER_USER), 0);
	KMS_AUTO(kms_secret) secret = NULL;
	ck_assert(kms_is(kms_file_read_secret("a", 5, &secret), KMS_CODE_CONFIG));
	/* The directory's owner too, so that the other user can reach it: then it is their own. */
	ck_assert_int_eq(chown(".", OTHER_USER, OTHER_USER), 0);
	ck_assert_int_eq(seteuid(OTHER_USER), 0);
	kms_err own = kms_file_read_secret("a", 5, &secret);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert(kms_is_ok(own));
}
END_TEST

/* ---- writing ---- */

START_TEST(a_file_is_created_with_its_mode_whatever_the_umask)
{
	(void)umask(_i == 0 ? 0077 : 0);
	ck_assert(kms_is_ok(kms_file_write("a", kms_bytes_str("new"), 0640)));
	struct stat st;
	ck_assert_int_eq(stat("a", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	check_holds("a", "new");
	ck_assert_int_ne(access("a.new", F_OK), 0);
}
END_TEST

START_TEST(a_file_is_replaced_not_overwritten)
{
	put("a", "old", 0600);
	int old = open("a", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(old, 0);
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO_FREE char *directory = get_current_dir_name();
	ck_assert_ptr_nonnull(directory);
	ck_assert(kms_is_ok(kms_text(&path, "%s/a", directory)));
	ck_assert(kms_is_ok(kms_file_write(path, kms_bytes_str("new"), 0644)));
	check_holds("a", "new");
	char text[4] = "";
	size_t len = 0;
	ck_assert(kms_is_ok(kms_fd_read_full(old, text, 3, &len)));
	ck_assert_str_eq(text, "old"); /* who had it open goes on with a whole old file */
	ck_assert_int_eq(close(old), 0);
}
END_TEST

START_TEST(what_a_crash_left_is_in_nobodys_way)
{
	put("target", "precious", 0600);
	if (_i == 0) {
		put("a.new", "half of an old attempt", 0600);
	} else {
		ck_assert_int_eq(symlink("target", "a.new"), 0); /* and never written through */
	}
	ck_assert(kms_is_ok(kms_file_write("a", kms_bytes_str("new"), 0600)));
	check_holds("a", "new");
	check_holds("target", "precious");
	ck_assert_int_ne(access("a.new", F_OK), 0);
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file)
{
	put("a", "old", 0600);
	/* The disk is full after 2 bytes. */
	struct rlimit limit;
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	struct rlimit tiny = {2, limit.rlim_max};
	(void)signal(SIGXFSZ, SIG_IGN);
	/* The log goes to a file too, perhaps. */
	int log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tiny), 0);
	kms_err err = kms_file_write("a", kms_bytes_str("new"), 0600);
	int saved_errno = errno;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(kms_is(err, KMS_CODE_IO));
	ck_assert_int_eq(saved_errno, EFBIG);
	check_holds("a", "old");
	ck_assert_int_ne(access("a.new", F_OK), 0);
	ck_assert_int_eq(close(log_fd), 0);
}
END_TEST

START_TEST(a_failed_rename_leaves_nothing_behind)
{
	ck_assert_int_eq(mkdir("a", 0700), 0);
	ck_assert(kms_is(kms_file_write("a", kms_bytes_str("new"), 0600), KMS_CODE_IO));
	ck_assert_int_ne(access("a.new", F_OK), 0);
	ck_assert(kms_is(kms_file_write("none/a", kms_bytes_str("x"), 0600), KMS_CODE_IO));
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(a_file_is_removed_once_or_was_gone)
{
	put("a", "old", 0600);
	ck_assert(kms_is_ok(kms_file_remove("a")));
	ck_assert_int_ne(access("a", F_OK), 0);
	ck_assert(kms_is_ok(kms_file_remove("a")));
	ck_assert_int_eq(mkdir("a", 0700), 0);
	ck_assert(kms_is(kms_file_remove("a"), KMS_CODE_IO));
}
END_TEST

START_TEST(descriptors_are_read_to_their_end)
{
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert(kms_is_ok(kms_fd_write_all(ends[1], kms_bytes_str("123456"))));
	char text[10] = "";
	size_t len = 0;
	ck_assert(kms_is_ok(kms_fd_read_full(ends[0], text, 4, &len)));
	ck_assert_uint_eq(len, 4);
	ck_assert_int_eq(close(ends[1]), 0);
	ck_assert(kms_is_ok(kms_fd_read_full(ends[0], text, sizeof(text), &len)));
	ck_assert_uint_eq(len, 2);
	ck_assert_mem_eq(text, "56", 2);
	ck_assert_int_eq(close(ends[0]), 0);
	ck_assert(kms_is(kms_fd_read_full(-1, text, 1, &len), KMS_CODE_IO));
	ck_assert(kms_is(kms_fd_write_all(-1, kms_bytes_str("x")), KMS_CODE_IO));
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base_file");
	TCase *reading = tcase_create("reading");
	tcase_add_checked_fixture(reading, enter_directory, leave_directory);
	tcase_add_test(reading, a_file_is_read_up_to_the_limit);
	tcase_add_test(reading, a_missing_file_says_so_in_errno);
	tcase_add_test(reading, only_regular_files_are_read);
	tcase_add_loop_test(reading, one_newline_at_the_end_is_cut_off, 0,
		sizeof(SECRETS) / sizeof(SECRETS[0]));
	tcase_add_loop_test(reading, a_longer_secret_is_refused, 0,
		sizeof(LONG_SECRETS) / sizeof(LONG_SECRETS[0]));
	tcase_add_loop_test(reading, a_secret_that_others_can_reach_is_refused, 0,
		sizeof(OPEN_MODES) / sizeof(OPEN_MODES[0]));
	tcase_add_test(reading, a_secret_of_another_user_is_refused);
	suite_add_tcase(suite, reading);
	TCase *writing = tcase_create("writing");
	tcase_add_checked_fixture(writing, enter_directory, leave_directory);
	tcase_add_loop_test(writing, a_file_is_created_with_its_mode_whatever_the_umask, 0, 2);
	tcase_add_test(writing, a_file_is_replaced_not_overwritten);
	tcase_add_loop_test(writing, what_a_crash_left_is_in_nobodys_way, 0, 2);
	tcase_add_test(writing, a_failed_write_leaves_the_old_file);
	tcase_add_test(writing, a_failed_rename_leaves_nothing_behind);
	tcase_add_test(writing, a_file_is_removed_once_or_was_gone);
	tcase_add_test(writing, descriptors_are_read_to_their_end);
	suite_add_tcase(suite, writing);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
