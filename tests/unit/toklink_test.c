/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of kmsd/toklink through its header, against a bare socket where a peer misbehaves. */
#include "toklink.h"
#include "tokmsg_samples.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ck_ok(expr) ck_assert_str_eq(kms_err_name(expr), "ok")
#define ck_code(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

enum { SHORT_MS = 60, LONG_MS = 5000 };

static char directory[64];
static char path[96];
static int listen_fd = -1;
static struct toklink *ours, *theirs;
static struct tokmsg msg, got;

static void setup(void)
{
	kms_log_set("toklink_test", KMS_LOG_ERROR);
	(void)strcpy(directory, "/tmp/kms-toklink-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/socket", directory);
	ck_ok(toklink_listen(path, &listen_fd));
}

static void teardown(void)
{
	toklink_free(&ours);
	toklink_free(&theirs);
	if (listen_fd >= 0) {
		(void)close(listen_fd);
	}
	(void)unlink(path);
	ck_assert_int_eq(rmdir(directory), 0);
}

static void connect_both(void)
{
	ck_ok(toklink_connect(path, &ours));
	ck_ok(toklink_accept(listen_fd, geteuid(), &theirs));
}

/* A socket of our own that speaks to `theirs` byte by byte. */
static int connect_raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	(void)strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_ok(toklink_accept(listen_fd, geteuid(), &theirs));
	return fd;
}

static void send_bytes(int fd, const void *bytes, size_t len)
{
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

START_TEST(messages_go_both_ways_in_order)
{
	connect_both();
	for (uint32_t i = 1; i <= 3; i++) {
		sample_msg(&msg, TOKMSG_CALL, false);
		msg.id = i;
		ck_ok(toklink_send(ours, &msg, LONG_MS));
		tokmsg_clear(&msg);
	}
	for (uint32_t i = 1; i <= 3; i++) {
		ck_ok(toklink_receive(theirs, LONG_MS, &got));
		ck_assert_uint_eq(got.id, i);
		ck_assert(kms_bytes_equal(got.u.call.record, kms_bytes_str("sealed bytes")));
		tokmsg_clear(&got);
		/* All three came in one read. */
		ck_assert_int_eq(toklink_pending(theirs), i < 3);
	}
	sample_msg(&msg, TOKMSG_PING, true);
	ck_ok(toklink_send(theirs, &msg, LONG_MS));
	ck_ok(toklink_receive(ours, LONG_MS, &got));
	ck_assert(got.is_answer && got.type == TOKMSG_PING);
}
END_TEST

START_TEST(the_largest_frame_passes)
{
	static uint8_t flight[LIMIT_TOKMSG_BYTES - 6 - 4];
	memset(flight, 0x5a, sizeof(flight));
	connect_both();
	sample_blank(&msg, TOKMSG_SESSION_OPEN, false);
	msg.u.flight = KMS_BYTES_OF(flight);
	/* Larger than the socket's buffer: both ends have to work at the same time. */
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		_exit(kms_is_ok(toklink_send(ours, &msg, LONG_MS)) ? 0 : 1);
	}
	ck_ok(toklink_receive(theirs, LONG_MS, &got));
	ck_assert(kms_bytes_equal(got.u.flight, KMS_BYTES_OF(flight)));
}
END_TEST

START_TEST(a_frame_over_the_limit_ends_the_link)
{
	int fd = connect_raw();
	const uint32_t over = LIMIT_TOKMSG_BYTES + 1;
	const uint8_t len[4] = {over >> 24, (over >> 16) & 0xff, (over >> 8) & 0xff, over & 0xff};
	send_bytes(fd, len, sizeof(len));
	ck_code(toklink_receive(theirs, LONG_MS, &got), TOO_LARGE);
	ck_assert(toklink_pending(theirs)); /* and receive says so again */
	ck_code(toklink_receive(theirs, LONG_MS, &got), TOO_LARGE);
	(void)close(fd);
}
END_TEST

START_TEST(a_frame_that_does_not_parse)
{
	int fd = connect_raw();
	const uint8_t empty[4] = {0};
	const uint8_t strange[] = {0, 0, 0, 6, 1, 0x7f, 0, 0, 0, 1};
	send_bytes(fd, strange, sizeof(strange));
	ck_code(toklink_receive(theirs, LONG_MS, &got), FORMAT);
	send_bytes(fd, empty, sizeof(empty));
	ck_code(toklink_receive(theirs, LONG_MS, &got), TRUNCATED);
	(void)close(fd);
}
END_TEST

START_TEST(a_cut_frame_waits_and_then_the_link_is_down)
{
	int fd = connect_raw();
	const uint8_t ping[] = {0, 0, 0, 6, 1, TOKMSG_PING, 0, 0, 0, 9};
	for (size_t cut = 1; cut < sizeof(ping); cut++) {
		send_bytes(fd, ping, cut);
		ck_code(toklink_receive(theirs, SHORT_MS / 10, &got), TIMEOUT);
		ck_assert(!toklink_pending(theirs));
		send_bytes(fd, ping + cut, sizeof(ping) - cut);
		ck_ok(toklink_receive(theirs, LONG_MS, &got));
		ck_assert_uint_eq(got.id, 9);
	}
	send_bytes(fd, ping, sizeof(ping) - 1);
	(void)close(fd);
	ck_code(toklink_receive(theirs, LONG_MS, &got), TOKEN_DOWN);
}
END_TEST

START_TEST(patience_has_an_end)
{
	connect_both();
	int64_t before = kms_monotonic_ms();
	ck_code(toklink_receive(ours, SHORT_MS, &got), TIMEOUT);
	int64_t took = kms_monotonic_ms() - before;
	ck_assert_int_ge(took, SHORT_MS - 1);
	ck_assert_int_lt(took, LONG_MS);
	/* Nobody reads at the other end: sending does not block for ever either. */
	static uint8_t flight[200 * 1024];
	sample_blank(&msg, TOKMSG_SESSION_OPEN, false);
	msg.u.flight = KMS_BYTES_OF(flight);
	kms_err err = KMS_OK;
	for (int i = 0; kms_is_ok(err) && i < 100; i++) {
		err = toklink_send(ours, &msg, SHORT_MS);
	}
	ck_code(err, TIMEOUT);
	ck_assert(!toklink_writable(ours));
	ck_assert(toklink_writable(theirs));
}
END_TEST

START_TEST(a_closed_peer_is_down)
{
	connect_both();
	toklink_free(&theirs);
	ck_code(toklink_receive(ours, LONG_MS, &got), TOKEN_DOWN);
	sample_msg(&msg, TOKMSG_PING, false);
	ck_code(toklink_send(ours, &msg, LONG_MS), TOKEN_DOWN); /* and no SIGPIPE */
	toklink_free(&theirs);                                  /* NULL is fine */
}
END_TEST

static void *receive_for_ever(void *ret_err)
{
	static struct tokmsg never;
	*(kms_err *)ret_err = toklink_receive(ours, 0, &never);
	return NULL;
}

START_TEST(shutdown_wakes_who_waits_for_ever)
{
	connect_both();
	pthread_t thread;
	kms_err err = KMS_OK;
	ck_assert_int_eq(pthread_create(&thread, NULL, receive_for_ever, &err), 0);
	(void)usleep(SHORT_MS * 1000);
	toklink_shutdown(ours);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_code(err, TOKEN_DOWN);
	ck_code(toklink_receive(theirs, LONG_MS, &got), TOKEN_DOWN);
}
END_TEST

START_TEST(another_uid_is_refused)
{
	ck_ok(toklink_connect(path, &ours));
	ck_code(toklink_accept(listen_fd, geteuid() + 1, &theirs), DENIED);
	ck_assert_ptr_null(theirs);
	ck_code(toklink_receive(ours, LONG_MS, &got), TOKEN_DOWN);
	/* The next one is not the worse for it. */
	toklink_free(&ours);
	connect_both();
}
END_TEST

START_TEST(nobody_listens)
{
	char other[128];
	(void)snprintf(other, sizeof(other), "%s/none", directory);
	ck_code(toklink_connect(other, &ours), TOKEN_DOWN);
	(void)close(listen_fd); /* the file stays, as after a kill */
	listen_fd = -1;
	ck_code(toklink_connect(path, &ours), TOKEN_DOWN);
	memset(other, 'x', sizeof(other) - 1);
	other[sizeof(other) - 1] = '\0';
	ck_code(toklink_connect(other, &ours), CONFIG); /* longer than sun_path */
	ck_code(toklink_connect("", &ours), CONFIG);
	ck_code(toklink_listen(other, &listen_fd), CONFIG);
}
END_TEST

START_TEST(a_stale_socket_is_replaced_and_a_live_one_is_not)
{
	int second = -1;
	struct stat st;
	ck_code(toklink_listen(path, &second), EXISTS);
	connect_both(); /* and it still works */
	toklink_free(&ours);
	toklink_free(&theirs);
	(void)close(listen_fd);
	ck_ok(toklink_listen(path, &listen_fd));
	connect_both();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
}
END_TEST

START_TEST(what_is_no_socket_stays)
{
	char file[128];
	int fd;
	(void)snprintf(file, sizeof(file), "%s/file", directory);
	ck_ok(kms_file_write(file, kms_bytes_str("precious"), 0600));
	ck_code(toklink_listen(file, &fd), EXISTS);
	ck_assert_int_eq(unlink(file), 0);
}
END_TEST

/* A kms-tokend that hangs accepts nobody: its queue of connections fills up. */
START_TEST(a_full_queue_neither_blocks_nor_looks_stale)
{
	struct toklink *queued[64] = {0};
	size_t count = 0;
	kms_err err = KMS_OK;
	(void)alarm(10); /* a connect that blocks fails this test */
	while (count < 64 && kms_is_ok(err)) {
		err = toklink_connect(path, &queued[count]);
		count += kms_is_ok(err) ? 1 : 0;
	}
	(void)alarm(0);
	ck_code(err, TOKEN_DOWN);
	int second;
	ck_code(toklink_listen(path, &second), EXISTS);
	for (size_t i = 0; i < count; i++) {
		toklink_free(&queued[i]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("toklink");
	TCase *tcase = tcase_create("toklink");
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, messages_go_both_ways_in_order);
	tcase_add_test(tcase, the_largest_frame_passes);
	tcase_add_test(tcase, a_frame_over_the_limit_ends_the_link);
	tcase_add_test(tcase, a_frame_that_does_not_parse);
	tcase_add_test(tcase, a_cut_frame_waits_and_then_the_link_is_down);
	tcase_add_test(tcase, patience_has_an_end);
	tcase_add_test(tcase, a_closed_peer_is_down);
	tcase_add_test(tcase, shutdown_wakes_who_waits_for_ever);
	tcase_add_test(tcase, another_uid_is_refused);
	tcase_add_test(tcase, nobody_listens);
	tcase_add_test(tcase, a_stale_socket_is_replaced_and_a_live_one_is_not);
	tcase_add_test(tcase, what_is_no_socket_stays);
	tcase_add_test(tcase, a_full_queue_neither_blocks_nor_looks_stale);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
