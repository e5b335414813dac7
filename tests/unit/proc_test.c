/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: options, and what a process can no longer do once it was hardened, dropped and locked in.
 * Whatever cannot be undone runs in a child of its own, which leaves by _exit: a leak checker at
 * its exit would need the very calls that the sandbox denies.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"

static char folder[] = "/tmp/kms-proc-XXXXXX";
static char path[64];

static void setup(void)
{
	(void)strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/file", folder);
}

static void teardown(void)
{
	(void)unlink(path);
	(void)rmdir(folder);
}

/* Run a body in a child; it returns 0, or the line of what did not hold. */
static void in_child(int (*body)(void))
{
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		_exit(body() == 0 ? 0 : 1);
	}
	int status = 0;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(
		WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: %#x", (unsigned)status);
}

#define HOLDS(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			(void)fprintf(                                                             \
				stderr, "line %d: %s (%s)\n", __LINE__, #cond, strerror(errno));   \
			return __LINE__;                                                           \
		}                                                                                  \
	} while (0)

static bool skipped_without_root(void)
{
	if (geteuid() == 0) {
		return false;
	}
	(void)printf("skipped: this needs root\n");
	return true;
}

/* ---- options ---- */

static const struct proc_option options[] = {
	{"config", 'c', "FILE", "read the configuration from FILE"},
	{"init", 0, NULL, "make a new store and stop"},
	{"log-level", 0, "LEVEL", "error, warning, info or debug"},
};
static const struct proc_program program = {"kmsd", "a test", "1.2.3", options, 3};

static kms_err parse(const char *const words[], const char *values[], bool *ret_done)
{
	/* getopt permutes nothing here, but its prototype says that it might. */
	char *argv[8] = {NULL};
	int argc = 0;
	for (; words[argc] != NULL; argc++) {
		argv[argc] = strdup(words[argc]);
	}
	kms_err err = proc_options(&program, argc, argv, values, ret_done);
	for (size_t i = 0; kms_is_ok(err) && i < 3; i++) {
		static char copies[3][32];
		if (values[i] != NULL) {
			(void)snprintf(copies[i], sizeof(copies[i]), "%s", values[i]);
			values[i] = copies[i];
		}
	}
	for (int i = 0; i < argc; i++) {
		free(argv[i]);
	}
	return err;
}

START_TEST(reads_options)
{
	const char *values[3] = {"x", "x", "x"};
	bool done = true;
	ck_assert(kms_is_ok(parse((const char *const[]){"kmsd", NULL}, values, &done)));
	ck_assert(!done);
	ck_assert_ptr_null(values[0]);
	ck_assert_ptr_null(values[1]);
	ck_assert(kms_is_ok(parse(
		(const char *const[]){"kmsd", "--config=a", "--init", "--log-level", "debug", NULL},
		values, &done)));
	ck_assert_str_eq(values[0], "a");
	ck_assert_str_eq(values[1], "");
	ck_assert_str_eq(values[2], "debug");
	ck_assert(kms_is_ok(parse((const char *const[]){"kmsd", "-c", "b", NULL}, values, &done)));
	ck_assert_str_eq(values[0], "b");
	ck_assert_ptr_null(values[1]);
}
END_TEST

START_TEST(help_and_version_end_it)
{
	static const char *const words[][3] = {
		{"kmsd", "--help", NULL},
		{"kmsd", "-h", NULL},
		{"kmsd", "--version", NULL},
		{"kmsd", "-V", NULL},
	};
	for (size_t i = 0; i < 4; i++) {
		const char *values[3];
		bool done = false;
		ck_assert(kms_is_ok(parse(words[i], values, &done)));
		ck_assert(done);
	}
}
END_TEST

START_TEST(refuses_other_words)
{
	static const char *const words[][5] = {
		{"kmsd", "--confg", "a", NULL},
		{"kmsd", "--conf", "a", NULL}, /* abbreviated */
		{"kmsd", "--conf=a", NULL},
		{"kmsd", "--hel", NULL},
		{"kmsd", "--vers", NULL},
		{"kmsd", "-x", NULL},
		{"kmsd", "--config", NULL},
		{"kmsd", "-c", NULL},
		{"kmsd", "--init=yes", NULL},
		{"kmsd", "-ca", "-cb", NULL},
		{"kmsd", "--init", "--init", NULL},
		{"kmsd", "start", NULL},
		{"kmsd", "--", "start", NULL},
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *values[3] = {"untouched", NULL, NULL};
		bool done = false;
		ck_assert_msg(kms_is(parse(words[i], values, &done), KMS_CODE_ARGUMENT), "%s",
			words[i][1]);
		ck_assert_str_eq(values[0], "untouched");
	}
}
END_TEST

/* ---- hardening ---- */

static int hardened(void)
{
	(void)umask(022);
	HOLDS(kms_is_ok(proc_harden()));
	HOLDS(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	struct rlimit core;
	HOLDS(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
	HOLDS(umask(0) == 077);
	int fds[2];
	HOLDS(pipe(fds) == 0 && close(fds[0]) == 0);
	HOLDS(write(fds[1], "x", 1) == -1 && errno == EPIPE); /* and not the end of us */
	return 0;
}

START_TEST(hardens)
{
	in_child(hardened);
}
END_TEST

/* ---- users ---- */

static int root_stays_never(void)
{
	HOLDS(kms_is(proc_drop_user(NULL), KMS_CODE_CONFIG));
	HOLDS(kms_is(proc_drop_user("root"), KMS_CODE_CONFIG));
	HOLDS(kms_is(proc_drop_user("no-such-user-here"), KMS_CODE_CONFIG));
	HOLDS(geteuid() == 0);
	return 0;
}

static int dropped(void)
{
	struct passwd *nobody = getpwnam("nobody");
	HOLDS(nobody != NULL);
	uid_t uid = nobody->pw_uid;
	gid_t gid = nobody->pw_gid;
	const gid_t roots[] = {0, 1};
	HOLDS(setgroups(2, roots) == 0); /* to be given up, too */
	HOLDS(kms_is_ok(proc_harden()));
	HOLDS(kms_is_ok(proc_drop_user("nobody")));
	HOLDS(getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid);
	HOLDS(setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0);
	gid_t groups[64];
	int count = getgroups(64, groups);
	HOLDS(count >= 0);
	for (int i = 0; i < count; i++) {
		HOLDS(groups[i] != 0);
	}
	HOLDS(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	HOLDS(open("/etc/shadow", O_RDONLY) < 0 && errno == EACCES);
	/* Dropped already: the own name and none are fine, another is not. */
	HOLDS(kms_is_ok(proc_drop_user("nobody")));
	HOLDS(kms_is_ok(proc_drop_user(NULL)));
	HOLDS(kms_is(proc_drop_user("daemon"), KMS_CODE_CONFIG));
	return 0;
}

START_TEST(never_stays_root)
{
	if (!skipped_without_root()) {
		in_child(root_stays_never);
	}
}
END_TEST

START_TEST(becomes_its_user_for_good)
{
	if (!skipped_without_root()) {
		in_child(dropped);
	}
}
END_TEST

/* ---- one instance ---- */

static int second_instance(void)
{
	int fd = -1;
	HOLDS(kms_is(proc_lock_file(path, &fd), KMS_CODE_EXISTS));
	HOLDS(fd == -1);
	return 0;
}

START_TEST(locks_out_a_second_instance)
{
	int fd = -1;
	ck_assert(kms_is_ok(proc_lock_file(path, &fd)));
	in_child(second_instance);
	KMS_AUTO_BUF text = {0};
	ck_assert(kms_is_ok(kms_file_read(path, 64, &text)));
	char expected[16];
	(void)snprintf(expected, sizeof(expected), "%d\n", (int)getpid());
	ck_assert(kms_bytes_equal(kms_buf_bytes(&text), kms_bytes_str(expected)));
	ck_assert_int_eq(close(fd), 0);
	/* Free again, though the file is still there. */
	ck_assert(kms_is_ok(proc_lock_file(path, &fd)));
	ck_assert_int_eq(close(fd), 0);
	/* No link is followed, and no folder is missing quietly. */
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/tmp/kms-proc-elsewhere", path), 0);
	ck_assert(kms_is(proc_lock_file(path, &fd), KMS_CODE_IO));
	ck_assert(kms_is(proc_lock_file("/nonexistent/lock", &fd), KMS_CODE_IO));
}
END_TEST

/* ---- signals and the service manager ---- */

static int signals(void)
{
	int fd = -1;
	HOLDS(kms_is_ok(proc_signals(&fd)));
	HOLDS(proc_signal_read(fd) == PROC_SIGNAL_NONE);
	HOLDS(raise(SIGHUP) == 0 && proc_signal_read(fd) == PROC_SIGNAL_RELOAD);
	HOLDS(raise(SIGTERM) == 0 && proc_signal_read(fd) == PROC_SIGNAL_STOP);
	HOLDS(raise(SIGINT) == 0 && proc_signal_read(fd) == PROC_SIGNAL_STOP);
	HOLDS(proc_signal_read(fd) == PROC_SIGNAL_NONE);
	return 0;
}

START_TEST(signals_come_by_descriptor)
{
	in_child(signals);
}
END_TEST

static void notified(const char *where, const struct sockaddr_un *address, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)address, len), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", where, 1), 0);
	ck_assert(kms_is_ok(proc_daemon_ready()));
	char message[32];
	ssize_t got = recv(fd, message, sizeof(message), MSG_DONTWAIT);
	ck_assert_int_eq(got, 7);
	ck_assert_mem_eq(message, "READY=1", 7);
	ck_assert_int_eq(close(fd), 0);
}

START_TEST(tells_the_service_manager)
{
	ck_assert_int_eq(unsetenv("NOTIFY_SOCKET"), 0);
	ck_assert(kms_is_ok(proc_daemon_ready()));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	notified(path, &address, sizeof(address));
	char name[64];
	(void)snprintf(name, sizeof(name), "@kms-proc-test-%d", (int)getpid());
	memset(address.sun_path, 0, sizeof(address.sun_path));
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	notified(
		name, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
	/* Nobody listens; no address; too long. */
	ck_assert(kms_is(proc_daemon_ready(), KMS_CODE_IO));
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", "relative", 1), 0);
	ck_assert(kms_is(proc_daemon_ready(), KMS_CODE_IO));
	char longest[sizeof(address.sun_path) + 1];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", longest, 1), 0);
	ck_assert(kms_is(proc_daemon_ready(), KMS_CODE_IO));
}
END_TEST

START_TEST(finds_credentials)
{
	char *found = NULL;
	ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	ck_assert(kms_is(proc_credential_path("file", &found), KMS_CODE_NOT_FOUND));
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	ck_assert(kms_is(proc_credential_path("file", &found), KMS_CODE_NOT_FOUND));
	ck_assert(kms_is(proc_credential_path("../file", &found), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(proc_credential_path("..", &found), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(proc_credential_path("", &found), KMS_CODE_ARGUMENT));
	ck_assert(kms_is_ok(kms_file_write(path, kms_bytes_str("x"), 0600)));
	ck_assert(kms_is_ok(proc_credential_path("file", &found)));
	ck_assert_str_eq(found, path);
	free(found);
}
END_TEST

/* ---- the sandbox ---- */

static int sandboxed_calls(void)
{
	struct proc_sandbox sandbox = {0};
	HOLDS(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0); /* allowed before, once */
	HOLDS(kms_is_ok(proc_sandbox(NULL, 0, &sandbox)));
	if (!sandbox.seccomp) {
		(void)printf("skipped: this kernel takes no seccomp filter\n");
		return 0;
	}
	HOLDS(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == -1 && errno == EPERM);
	char byte = 0;
	struct iovec iov = {&byte, 1};
	HOLDS(syscall(SYS_process_vm_readv, getpid(), &iov, 1, &iov, 1, 0) == -1 && errno == EPERM);
	HOLDS(syscall(SYS_process_vm_writev, getpid(), &iov, 1, &iov, 1, 0) == -1 &&
		errno == EPERM);
	HOLDS(syscall(SYS_keyctl, 0, 0, 0, 0, 0) == -1 && errno == EPERM);
	HOLDS(syscall(SYS_userfaultfd, 1) == -1 && errno == EPERM);
	HOLDS(syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM);
	HOLDS(syscall(SYS_unshare, 0) == -1 && errno == EPERM);
	HOLDS(mount("none", "/nonexistent", "tmpfs", 0, NULL) == -1 && errno == EPERM);
	HOLDS(execl("/bin/true", "true", (char *)NULL) == -1 && errno == EPERM);
	/* What a daemon lives on still goes. */
	HOLDS(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	return 0;
}

static int sandboxed_files(void)
{
	const struct proc_path paths[] = {
		{folder, PROC_WRITE},
		{"/etc/passwd", PROC_READ},
		{"/nonexistent", PROC_READ},
	};
	struct proc_sandbox sandbox = {0};
	HOLDS(kms_is_ok(proc_sandbox(paths, 3, &sandbox)));
	if (sandbox.landlock_abi == 0) {
		(void)printf("skipped: this kernel has no Landlock\n");
		return 0;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	HOLDS(fd >= 0 && write(fd, "x", 1) == 1);
	HOLDS(unlink(path) == 0);
	HOLDS(open("/etc/passwd", O_RDONLY) >= 0);
	HOLDS(open("/etc/passwd", O_RDWR) == -1 && errno == EACCES);
	HOLDS(open("/etc/group", O_RDONLY) == -1 && errno == EACCES);
	HOLDS(open("/tmp/kms-proc-elsewhere", O_WRONLY | O_CREAT, 0600) == -1 && errno == EACCES);
	HOLDS(open("/tmp", O_RDONLY | O_DIRECTORY) == -1 && errno == EACCES);
	return 0;
}

static int sandboxed_exec(void)
{
	const struct proc_path paths[] = {
		{"/usr", PROC_READ | PROC_EXEC},
		{"/lib", PROC_READ | PROC_EXEC},
		{"/lib64", PROC_READ | PROC_EXEC},
		{"/etc", PROC_READ},
	};
	struct proc_sandbox sandbox = {0};
	HOLDS(kms_is_ok(proc_sandbox(paths, 4, &sandbox)));
	(void)execl("/usr/bin/true", "true", (char *)NULL);
	HOLDS(false);
	return 0;
}

START_TEST(denies_calls)
{
	in_child(sandboxed_calls);
}
END_TEST

START_TEST(denies_files)
{
	in_child(sandboxed_files);
}
END_TEST

START_TEST(allows_exec_where_a_path_has_it)
{
	in_child(sandboxed_exec);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proc");
	TCase *tcase = tcase_create("proc");
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, reads_options);
	tcase_add_test(tcase, help_and_version_end_it);
	tcase_add_test(tcase, refuses_other_words);
	tcase_add_test(tcase, hardens);
	tcase_add_test(tcase, never_stays_root);
	tcase_add_test(tcase, becomes_its_user_for_good);
	tcase_add_test(tcase, locks_out_a_second_instance);
	tcase_add_test(tcase, signals_come_by_descriptor);
	tcase_add_test(tcase, tells_the_service_manager);
	tcase_add_test(tcase, finds_credentials);
	tcase_add_test(tcase, denies_calls);
	tcase_add_test(tcase, denies_files);
	tcase_add_test(tcase, allows_exec_where_a_path_has_it);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
