/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libkms's HTTPS against a bare TLS server that says what a kmsd never would.
 */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "client_int.h"

#define ck_ok(expr)                                                                                \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(kms_is_ok(ck_err_), "%s: %s", #expr, kms_err_text(ck_err_));         \
	} while (0)
#define ck_code(expr, name)                                                                        \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(ck_err_.code == KMS_CODE_##name, "%s: %s, not " #name, #expr,        \
			kms_err_name(ck_err_));                                                    \
	} while (0)

/* ---- the server: one connection after the other, one canned answer for each request ---- */

static struct {
	int fd;
	unsigned port;
	SSL_CTX *ctx;
	const char *answer;
	char request[4096]; /* the last one */
	unsigned connections;
	unsigned requests;
	pthread_t thread;
} server;

/* A request's end: its head's, and as many bytes more as Content-Length says. */
static bool read_request(SSL *ssl)
{
	size_t len = 0;
	for (;;) {
		int n = SSL_read(
			ssl, server.request + len, (int)(sizeof(server.request) - 1 - len));
		if (n <= 0) {
			return false;
		}
		len += (size_t)n;
		server.request[len] = '\0';
		const char *end = strstr(server.request, "\r\n\r\n");
		const char *length = strstr(server.request, "Content-Length: ");
		size_t more = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
		if (end != NULL && (size_t)(end + 4 - server.request) + more <= len) {
			return true;
		}
	}
}

static void *serve(void *arg)
{
	int fd;
	sigset_t pipe; /* held here only: one on libkms's side would end the test */
	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	while ((fd = accept(server.fd, NULL, NULL)) >= 0) {
		SSL *ssl = SSL_new(server.ctx);
		server.connections++;
		if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1) {
			while (read_request(ssl)) {
				server.requests++;
				(void)SSL_write(ssl, server.answer, (int)strlen(server.answer));
				if (strstr(server.answer, "Content-Length") == NULL) {
					break; /* its end is the connection's */
				}
			}
		}
		SSL_free(ssl);
		(void)close(fd);
	}
	return arg;
}

static char directory[64];
static struct profile profile;
static struct http *http;
static char url[64];

static void server_start(const char *name)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	char cert[32], key[32];
	(void)snprintf(cert, sizeof(cert), "%s.pem", name);
	(void)snprintf(key, sizeof(key), "%s.key", name);
	server.ctx = SSL_CTX_new(TLS_server_method());
	ck_assert_int_eq(SSL_CTX_use_certificate_file(server.ctx, cert, SSL_FILETYPE_PEM), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(server.ctx, key, SSL_FILETYPE_PEM), 1);
	ck_assert_int_eq(SSL_CTX_load_verify_locations(server.ctx, "us.pem", NULL), 1);
	SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(server.fd, 8), 0);
	ck_assert_int_eq(getsockname(server.fd, (struct sockaddr *)&address, &len), 0);
	server.port = ntohs(address.sin_port);
	(void)snprintf(url, sizeof(url), "https://localhost:%u", server.port);
	server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void setup(void)
{
	(void)strcpy(directory, "/tmp/kms-http-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
	ck_assert_int_eq(system("for n in localhost other us; do openssl req -x509 -newkey ec "
				"-pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$n "
				"-addext subjectAltName=DNS:localhost -keyout $n.key -out $n.pem "
				"2>/dev/null || exit 1; done"),
		0);
	ck_ok(kms_secret_init());
	profile = (struct profile){
		.server_ca = "localhost.pem", .certificate = "us.pem", .key = "us.key"};
	ck_ok(http_new(&profile, &http));
}

static void teardown(void)
{
	http_free(&http);
	if (server.fd > 0) {
		(void)shutdown(server.fd, SHUT_RDWR);
		ck_assert_int_eq(pthread_join(server.thread, NULL), 0);
		(void)close(server.fd);
		SSL_CTX_free(server.ctx);
	}
	ck_assert_int_eq(system("rm -f ./*"), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

static kms_err get(struct http_answer *answer)
{
	const struct http_call call = {.url = url, .method = "GET", .target = "/v1/status"};
	return http_call(http, &call, answer);
}

/* ---- tests ---- */

START_TEST(a_connection_is_kept_and_bodies_arrive)
{
	HTTP_AUTO_ANSWER first = {0};
	HTTP_AUTO_ANSWER second = {0};
	struct http_call call = {.url = url,
		.method = "POST",
		.target = "/v1/keys",
		.body = kms_bytes_str("{\"a\":1}"),
		.secret = true};
	server_start("localhost");
	ck_ok(get(&first));
	ck_assert_uint_eq(first.status, 200);
	ck_assert_ptr_null(first.secret);
	ck_assert(kms_bytes_equal(http_answer_body(&first), kms_bytes_str("hello")));
	ck_assert_int_eq(strncmp(server.request, "GET /v1/status HTTP/1.1\r\n", 25), 0);
	ck_ok(http_call(http, &call, &second));
	ck_assert_ptr_nonnull(second.secret);
	ck_assert(kms_bytes_equal(http_answer_body(&second), kms_bytes_str("hello")));
	ck_assert_ptr_nonnull(strstr(server.request, "\r\n\r\n{\"a\":1}"));
	ck_assert_ptr_nonnull(strstr(server.request, "Content-Type: application/json"));
	ck_assert_uint_eq(server.connections, 1);
}
END_TEST

START_TEST(a_problem_comes_with_its_status)
{
	HTTP_AUTO_ANSWER answer = {0};
	server_start("localhost");
	server.answer = "HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
	ck_ok(get(&answer));
	ck_assert_uint_eq(answer.status, 503);
	ck_assert_uint_eq(answer.retry_after_s, 2);
	ck_assert_uint_eq(http_answer_body(&answer).len, 0);
}
END_TEST

START_TEST(a_redirect_is_not_followed)
{
	HTTP_AUTO_ANSWER answer = {0};
	server_start("localhost");
	server.answer = "HTTP/1.1 302 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
	ck_ok(get(&answer));
	ck_assert_uint_eq(answer.status, 302);
	ck_assert_uint_eq(server.requests, 1);
}
END_TEST

START_TEST(another_ca_is_refused)
{
	HTTP_AUTO_ANSWER answer = {0};
	server_start("other");
	ck_code(get(&answer), PINS);
	ck_assert_uint_eq(server.requests, 0);
	ck_assert_str_ne(answer.problem, "");
}
END_TEST

START_TEST(another_host_is_refused)
{
	HTTP_AUTO_ANSWER answer = {0};
	server_start("localhost");
	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%u", server.port);
	ck_code(get(&answer), PINS);
	ck_assert_uint_eq(server.requests, 0);
}
END_TEST

START_TEST(an_older_tls_is_refused)
{
	HTTP_AUTO_ANSWER answer = {0};
	server_start("localhost");
	ck_assert_int_eq(SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION), 1);
	ck_code(get(&answer), NETWORK);
	ck_assert_uint_eq(server.requests, 0);
}
END_TEST

START_TEST(nobody_there_is_an_error)
{
	HTTP_AUTO_ANSWER answer = {0};
	(void)snprintf(url, sizeof(url), "https://localhost:1");
	ck_code(get(&answer), NETWORK);
}
END_TEST

START_TEST(the_environment_changes_nothing)
{
	HTTP_AUTO_ANSWER answer = {0};
	(void)setenv("https_proxy", "http://127.0.0.1:1", 1);
	(void)setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	(void)setenv("SSL_CERT_FILE", "other.pem", 1);
	server_start("localhost");
	ck_ok(get(&answer));
}
END_TEST

START_TEST(an_answer_without_its_length_is_refused)
{
	HTTP_AUTO_ANSWER answer = {0};
	server_start("localhost");
	server.answer = "HTTP/1.1 200 OK\r\n\r\nhello";
	ck_code(get(&answer), FORMAT);
}
END_TEST

static kms_err get_length(size_t length, bool secret)
{
	static char text[LIMIT_HTTP_ANSWER + 256];
	HTTP_AUTO_ANSWER answer = {0};
	const struct http_call call = {
		.url = url, .method = "GET", .target = "/", .secret = secret};
	int head = snprintf(
		text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", length);
	memset(text + head, 'x', length < LIMIT_HTTP_ANSWER ? length : LIMIT_HTTP_ANSWER);
	text[(size_t)head + (length < LIMIT_HTTP_ANSWER ? length : LIMIT_HTTP_ANSWER)] = '\0';
	server.answer = text;
	kms_err err = http_call(http, &call, &answer);
	ck_assert(!kms_is_ok(err) || http_answer_body(&answer).len == length);
	return err;
}

START_TEST(answers_are_limited)
{
	server_start("localhost");
	ck_ok(get_length(LIMIT_HTTP_ANSWER, false));
	ck_code(get_length(LIMIT_HTTP_ANSWER + 1, false), TOO_LARGE);
	ck_ok(get_length(KMS_SECRET_MAX, true));
	ck_code(get_length(KMS_SECRET_MAX + 1, true), TOO_LARGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_http");
	TCase *tests = tcase_create("https");
	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_connection_is_kept_and_bodies_arrive);
	tcase_add_test(tests, a_problem_comes_with_its_status);
	tcase_add_test(tests, a_redirect_is_not_followed);
	tcase_add_test(tests, another_ca_is_refused);
	tcase_add_test(tests, another_host_is_refused);
	tcase_add_test(tests, an_older_tls_is_refused);
	tcase_add_test(tests, nobody_there_is_an_error);
	tcase_add_test(tests, the_environment_changes_nothing);
	tcase_add_test(tests, an_answer_without_its_length_is_refused);
	tcase_add_test(tests, answers_are_limited);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
