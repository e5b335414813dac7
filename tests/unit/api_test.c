/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api and peer, from outside: a real listener, a TLS client that is not ours, and behind them a
 * double of service that says what the test tells it. Who gets in, what is refused and how.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "crypto.h"
#include "service.h"
#include "tls_fixture.h"

#define KEY_ID "22222222-0000-4000-8000-000000000022"

/* ---- the double of service ---- */

struct service {
	struct kms_hash spki_a, spki_b; /* of tenant A's and of B's principal */
	enum kms_code says;
	unsigned calls;
	int hold; /* calls wait while it is set */
};
static struct service service;
static struct tls_pair ca_a, ca_b, ca_foreign;
static const struct kms_id tenant_a = {{0xa}}, tenant_b = {{0xb}};

kms_err service_principal(
	struct service *self, const struct kms_hash *spki, struct model_principal *ret_principal)
{
	struct model_principal who = {
		.id = {{1}}, .tenant = tenant_a, .role = MODEL_ROLE_STORAGE, .spki = *spki};
	if (kms_hash_equal(spki, &self->spki_b)) {
		who.id.b[0] = 2;
		who.tenant = tenant_b;
	} else if (!kms_hash_equal(spki, &self->spki_a)) {
		return KMS_ERR(UNAUTHENTICATED);
	}
	*ret_principal = who;
	return KMS_OK;
}

kms_err service_tenant_ca(struct service *self, const struct kms_id *tenant, char **ret_ca_pem)
{
	(void)self;
	return kms_text(
		ret_ca_pem, "%s", kms_id_equal(tenant, &tenant_a) ? ca_a.crt_pem : ca_b.crt_pem);
}

static kms_err answer_datakey(struct model_answer *answer)
{
	answer->u.use.item_count = 1;
	answer->u.use.items = calloc(1, sizeof(answer->u.use.items[0]));
	KMS_TRY(kms_buf_copy(kms_bytes_str("wrapped"), &answer->u.use.items[0].wrapped));
	return kms_secret_copy(kms_bytes_str("0123456789abcdef0123456789abcdef"),
		&answer->u.use.items[0].data_key);
}

kms_err service_call(struct service *self, const struct model_principal *who, enum model_face face,
	const struct model_request *request, struct model_answer **ret_answer,
	char ret_detail[LIMIT_REASON + 1])
{
	(void)who;
	ret_detail[0] = '\0';
	__atomic_add_fetch(&self->calls, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&self->hold, __ATOMIC_SEQ_CST) != 0) {
		(void)usleep(1000);
	}
	if ((model_op_face(request->op) & face) == 0) {
		return KMS_ERR(NOT_FOUND);
	}
	if (self->says != KMS_CODE_OK) {
		return (kms_err){self->says};
	}
	KMS_AUTO(model_answer) answer = calloc(1, sizeof(*answer));
	answer->op = request->op;
	if (request->op == MODEL_OP_DATAKEY) {
		KMS_TRY(answer_datakey(answer));
	}
	*ret_answer = kms_take(&answer);
	return KMS_OK;
}

/* ---- listeners and clients ---- */

static struct tls_pair server, client_a, client_b, client_foreign, client_crossed, client_stranger,
	client_server_purpose;
static struct kms_secret *server_key;
static struct api *data;
static char trust[16384];
static char reply[65536];

#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static struct kms_hash spki_of(const struct tls_pair *pair)
{
	struct kms_hash hash;
	KMS_AUTO(crypto_cert) cert = NULL;
	ck_assert(kms_is_ok(crypto_cert_parse_pem(kms_bytes_str(pair->crt_pem), &cert)));
	ck_assert(kms_is_ok(crypto_cert_spki_hash(cert, &hash)));
	return hash;
}

static void setup(void)
{
	enum { DAY = 24 * 3600 };
	kms_log_set("test", KMS_LOG_ERROR);
	tls_pair_make(&ca_a, "CA A", TLS_USE_CA, NULL, NULL, DAY);
	tls_pair_make(&ca_b, "CA B", TLS_USE_CA, NULL, NULL, DAY);
	tls_pair_make(&ca_foreign, "CA A", TLS_USE_CA, NULL, NULL, DAY);
	tls_pair_make(&server, "localhost", TLS_USE_SERVER, &ca_b, NULL, DAY);
	tls_pair_make(&client_a, "a", TLS_USE_CLIENT, &ca_a, NULL, DAY);
	tls_pair_make(&client_b, "b", TLS_USE_CLIENT, &ca_b, NULL, DAY);
	tls_pair_make(&client_foreign, "a", TLS_USE_CLIENT, &ca_foreign, &client_a, DAY);
	tls_pair_make(&client_crossed, "a", TLS_USE_CLIENT, &ca_b, &client_a, DAY);
	tls_pair_make(&client_stranger, "c", TLS_USE_CLIENT, &ca_a, NULL, DAY);
	tls_pair_make(&client_server_purpose, "a", TLS_USE_SERVER, &ca_a, &client_a, DAY);
	(void)snprintf(trust, sizeof(trust), "%s%s", ca_a.crt_pem, ca_b.crt_pem);
	ck_assert(kms_is_ok(kms_secret_copy(kms_bytes_str(server.key_pem), &server_key)));
	service = (struct service){.spki_a = spki_of(&client_a), .spki_b = spki_of(&client_b)};
	const struct api_listener listener = {
		.face = MODEL_FACE_DATA,
		.address = "127.0.0.1",
		.cert_pem = server.crt_pem,
		.key_pem = server_key,
		.trust_pem = trust,
	};
	ck_assert(kms_is_ok(api_start(&listener, &service, &data)));
	ck_assert_uint_ne(api_port(data), 0);
}

static void teardown(void)
{
	struct tls_pair *const pairs[] = {&ca_a, &ca_b, &ca_foreign, &server, &client_a, &client_b,
		&client_foreign, &client_crossed, &client_stranger, &client_server_purpose};
	api_free(&data);
	kms_secret_free(&server_key);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		tls_pair_free(pairs[i]);
	}
}

/* The whole reply to some bytes, in `reply`; "" when the server let nothing through. */
static const char *talk_raw(const struct tls_pair *pair, const char *priorities, const char *bytes)
{
	struct tls_client client;
	reply[0] = '\0';
	if (tls_client_open(&client, api_port(data), pair, priorities)) {
		tls_client_send(&client, bytes, strlen(bytes));
		tls_client_read(&client, reply, sizeof(reply));
	}
	tls_client_close(&client);
	return reply;
}

static const char *talk(const struct tls_pair *pair, const char *bytes)
{
	return talk_raw(pair, TLS13, bytes);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

static const char *post(const char *path, const char *type, const char *body)
{
	static char request[4096];
	(void)snprintf(request, sizeof(request),
		"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s"
		"Content-Length: %zu\r\n\r\n%s",
		path, type == NULL ? "" : "Content-Type: ", type == NULL ? "" : type,
		type == NULL ? "" : "\r\n", strlen(body), body);
	return talk(&client_a, request);
}

static void check_status(const char *text, int status)
{
	char expected[32];
	(void)snprintf(expected, sizeof(expected), "HTTP/1.1 %d ", status);
	ck_assert_msg(
		strncmp(text, expected, strlen(expected)) == 0, "not %d: %.300s", status, text);
	ck_assert_ptr_nonnull(strcasestr(text, "\r\ncache-control: no-store\r\n"));
}

static void check_problem(const char *text, int status, const char *type)
{
	char member[64];
	check_status(text, status);
	ck_assert_ptr_nonnull(strcasestr(text, "\r\ncontent-type: application/problem+json\r\n"));
	(void)snprintf(member, sizeof(member), "\"type\":\"urn:kmsd:problem:%s\"", type);
	ck_assert_msg(strstr(text, member) != NULL, "not %s: %s", type, text);
	(void)snprintf(member, sizeof(member), "\"status\":%d", status);
	ck_assert_ptr_nonnull(strstr(text, member));
}

/* ---- who gets in ---- */

START_TEST(answers_a_registered_client)
{
	const char *text = talk(&client_a, GET("/v1/status"));
	check_status(text, 200);
	ck_assert_ptr_nonnull(strcasestr(text, "\r\ncontent-type: application/json\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\"signed_size\":0"));
	check_status(talk(&client_b, GET("/v1/status")), 200);
	ck_assert_uint_eq(service.calls, 2);
}
END_TEST

START_TEST(refuses_no_certificate)
{
	ck_assert_str_eq(talk(NULL, GET("/v1/status")), "");
	ck_assert_uint_eq(service.calls, 0);
}
END_TEST

/* The registered key, but under a CA of its own with the right name. */
START_TEST(refuses_a_foreign_ca)
{
	ck_assert_str_eq(talk(&client_foreign, GET("/v1/status")), "");
	ck_assert_uint_eq(service.calls, 0);
}
END_TEST

START_TEST(refuses_a_certificate_for_servers)
{
	ck_assert_str_eq(talk(&client_server_purpose, GET("/v1/status")), "");
}
END_TEST

/* Tenant B's CA speaks for tenant A's principal. */
START_TEST(refuses_another_tenants_ca)
{
	check_problem(talk(&client_crossed, GET("/v1/status")), 401, "unauthenticated");
	ck_assert_uint_eq(service.calls, 0);
}
END_TEST

START_TEST(refuses_who_is_not_registered)
{
	check_problem(talk(&client_stranger, GET("/v1/nowhere")), 401, "unauthenticated");
}
END_TEST

START_TEST(refuses_weaker_tls)
{
	static const char *const weaker[] = {
		"NORMAL:-VERS-ALL:+VERS-TLS1.2",
		"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305",
		"NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519",
	};
	for (size_t i = 0; i < sizeof(weaker) / sizeof(weaker[0]); i++) {
		ck_assert_str_eq(talk_raw(&client_a, weaker[i], GET("/v1/status")), "");
	}
	check_status(talk_raw(&client_a,
			     "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM:"
			     "-GROUP-ALL:+GROUP-SECP256R1",
			     GET("/v1/status")),
		200);
}
END_TEST

START_TEST(gives_no_tickets)
{
	struct tls_client client;
	ck_assert(tls_client_open(&client, api_port(data), &client_a, TLS13));
	tls_client_send(&client, GET("/v1/status"), strlen(GET("/v1/status")));
	tls_client_read(&client, reply, sizeof(reply));
	check_status(reply, 200);
	ck_assert_uint_eq(
		gnutls_session_get_flags(client.session) & GNUTLS_SFLAGS_SESSION_TICKET, 0);
	tls_client_close(&client);
}
END_TEST

/* A certificate that ends while its connection stands. */
START_TEST(outlives_no_certificate)
{
	struct tls_client client;
	const char *keep = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
	ck_assert(tls_client_open(&client, api_port(data), &client_a, TLS13));
	tls_client_send(&client, keep, strlen(keep));
	ck_assert_int_gt(gnutls_record_recv(client.session, reply, sizeof(reply)), 0);
	kms_clock_fix(kms_now_unix_ms() + (int64_t)48 * 3600 * 1000);
	tls_client_send(&client, GET("/v1/status"), strlen(GET("/v1/status")));
	tls_client_read(&client, reply, sizeof(reply));
	kms_clock_fix(-1);
	ck_assert_ptr_nonnull(strstr(reply, "401 "));
	tls_client_close(&client);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(refuses_unknown_routes)
{
	static const char *const requests[] = {GET("/"), GET("/v1"), GET("/v1/nowhere"),
		GET("/v1/status/"), GET("/v1/keys/"), GET("/v1/keys/a/b/c"), GET("/v2/status"),
		GET("/v1/keys/" KEY_ID "0"), GET("/v1//status")};
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		check_problem(talk(&client_a, requests[i]), 404, "not-found");
	}
	/* Of the other face. */
	check_problem(talk(&client_a, GET("/v1/tenants")), 404, "not-found");
}
END_TEST

START_TEST(names_the_methods_that_may_be_used)
{
	const char *text =
		talk(&client_a, "DELETE /v1/keys HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	check_problem(text, 405, "unsupported");
	ck_assert_ptr_nonnull(strcasestr(text, "\r\nallow: GET, POST\r\n"));
	text = talk(&client_a, GET("/v1/keys/" KEY_ID "/unwrap"));
	check_problem(text, 405, "unsupported");
	ck_assert_ptr_nonnull(strcasestr(text, "\r\nallow: POST\r\n"));
}
END_TEST

/* The server learns of the other connections in its own time. */
static void wait_until_refused(const char *request, int status)
{
	char wanted[32];
	(void)snprintf(wanted, sizeof(wanted), "HTTP/1.1 %d ", status);
	int64_t end = kms_monotonic_ms() + 10000;
	while (strncmp(talk(&client_a, request), wanted, strlen(wanted)) != 0) {
		ck_assert_int_lt(kms_monotonic_ms(), end);
	}
}

START_TEST(limits_bodies)
{
	static char request[512];
	static const struct {
		const char *path;
		size_t max;
	} bodies[] = {{"/v1/sessions", LIMIT_HTTP_BODY},
		{"/v1/keys/" KEY_ID "/wrap", KMS_SECRET_MAX},
		{"/v1/keys/" KEY_ID "/unwrap", LIMIT_HTTP_BODY}};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		(void)snprintf(request, sizeof(request),
			"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
			"Content-Length: %zu\r\n\r\n",
			bodies[i].path, bodies[i].max + 1);
		check_problem(talk(&client_a, request), 413, "too-large");
	}
	ck_assert_uint_eq(service.calls, 0);
}
END_TEST

START_TEST(takes_a_body_of_the_limit)
{
	struct tls_client client;
	static char body[LIMIT_HTTP_BODY];
	static char head[256];
	memset(body, ' ', sizeof(body));
	body[0] = '{'; /* and no end: JSON is what is refused, not its size */
	(void)snprintf(head, sizeof(head),
		"POST /v1/sessions HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		sizeof(body));
	ck_assert(tls_client_open(&client, api_port(data), &client_a, TLS13));
	tls_client_send(&client, head, strlen(head));
	tls_client_send(&client, body, sizeof(body));
	tls_client_read(&client, reply, sizeof(reply));
	tls_client_close(&client);
	check_problem(reply, 400, "format");
}
END_TEST

/* Bodies that are begun and never sent: their principal has its share, others go on. */
START_TEST(limits_secret_memory_of_a_principal)
{
	static char large[512], small[512];
	struct tls_client clients[LIMIT_PEER_SECRET / KMS_SECRET_MAX];
	const size_t count = sizeof(clients) / sizeof(clients[0]);
	static const char head[] = "POST /v1/keys/" KEY_ID "/wrap HTTP/1.1\r\nHost: h\r\n"
				   "Connection: close\r\nContent-Type: application/json\r\n";
	char go_on[64] = "";
	(void)snprintf(large, sizeof(large), "%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		head, KMS_SECRET_MAX);
	(void)snprintf(small, sizeof(small), "%sContent-Length: 2\r\n\r\n{}", head);
	for (size_t i = 0; i < count; i++) {
		ck_assert(tls_client_open(&clients[i], api_port(data), &client_a, TLS13));
		tls_client_send(&clients[i], large, strlen(large));
		/* The server has made room for it, and waits. */
		ck_assert_int_gt(
			gnutls_record_recv(clients[i].session, go_on, sizeof(go_on) - 1), 0);
		ck_assert_ptr_nonnull(strstr(go_on, "100 Continue"));
	}
	check_problem(talk(&client_a, small), 429, "rate");
	check_problem(talk(&client_b, small), 400, "format");
	for (size_t i = 0; i < count; i++) {
		tls_client_close(&clients[i]);
	}
	wait_until_refused(small, 400); /* the share is given back */
}
END_TEST

START_TEST(refuses_other_bodies)
{
	check_problem(post("/v1/sessions", "text/plain", "{}"), 415, "format");
	check_problem(post("/v1/sessions", NULL, "{}"), 415, "format");
	check_problem(post("/v1/sessions", "application/jsonx", "{}"), 415, "format");
	check_problem(post("/v1/sessions", "application/json", "{\"token\":"), 400, "format");
	check_problem(post("/v1/sessions", "application/json", ""), 400, "format");
	check_problem(post("/v1/keys/" KEY_ID "/rotate", "application/json", "{}"), 400, "format");
	check_problem(talk(&client_a, "POST /v1/sessions HTTP/1.1\r\nHost: h\r\n"
				      "Connection: close\r\nContent-Type: application/json\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
		411, "format");
	ck_assert_uint_eq(service.calls, 0);
}
END_TEST

START_TEST(refuses_bad_arguments)
{
	check_problem(talk(&client_a, GET("/v1/keys?color=red")), 400, "format");
	check_problem(talk(&client_a, GET("/v1/keys?limit=1&limit=2")), 400, "format");
	check_problem(talk(&client_a, GET("/v1/keys?limit")), 400, "format");
	check_problem(talk(&client_a, GET("/v1/keys?a=1&b=1&c=1&d=1&e=1")), 400, "format");
	check_problem(talk(&client_a, GET("/v1/keys/not-a-uuid")), 400, "format");
	check_problem(talk(&client_a, GET("/v1/keys?limit=501")), 413, "too-large");
	check_status(talk(&client_a, GET("/v1/keys?limit=500&after=" KEY_ID)), 200);
}
END_TEST

START_TEST(refuses_upgrades)
{
	check_problem(talk(&client_a, "GET /v1/status HTTP/1.1\r\nHost: h\r\n"
				      "Connection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n"),
		400, "format");
}
END_TEST

START_TEST(limits_headers)
{
	static char request[LIMIT_HTTP_MEMORY + 512];
	static char filling[LIMIT_HTTP_MEMORY];
	memset(filling, 'x', sizeof(filling) - 1);
	(void)snprintf(request, sizeof(request),
		"GET /v1/status HTTP/1.1\r\nHost: h\r\nX-Much: %s\r\n\r\n", filling);
	const char *text = talk(&client_a, request);
	ck_assert_ptr_null(strstr(text, " 200 "));
	ck_assert_uint_eq(service.calls, 0);
}
END_TEST

START_TEST(says_when_to_come_again)
{
	static const struct {
		enum kms_code code;
		int status;
		const char *name;
		bool again;
	} rows[] = {{KMS_CODE_TOKEN_DOWN, 503, "token-down", true},
		{KMS_CODE_LEDGER, 503, "ledger", true}, {KMS_CODE_RATE, 429, "rate", true},
		{KMS_CODE_DENIED, 403, "denied", false},
		{KMS_CODE_KEY_STATE, 409, "key-state", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		service.says = rows[i].code;
		const char *text = talk(&client_a, GET("/v1/status"));
		check_problem(text, rows[i].status, rows[i].name);
		ck_assert(rows[i].again == (strcasestr(text, "\r\nretry-after: 1\r\n") != NULL));
	}
}
END_TEST

/* ---- and what is not ---- */

START_TEST(gives_a_clear_data_key)
{
	const char *text = post("/v1/keys/" KEY_ID "/datakey", "application/json; charset=utf-8",
		"{\"items\":[{\"context\":{\"volume\":\"7\"}}]}");
	check_status(text, 200);
	ck_assert_ptr_nonnull(strstr(text,
		"{\"items\":[{\"data_key\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\","
		"\"wrapped\":\"d3JhcHBlZA==\"}],\"lease_s\":"));
}
END_TEST

START_TEST(takes_a_clear_wrap)
{
	check_status(post("/v1/keys/" KEY_ID "/wrap", "application/json",
			     "{\"items\":[{\"context\":{},\"data_key\":"
			     "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"}]}"),
		200);
}
END_TEST

START_TEST(answers_pipelined_requests_in_order)
{
	static const char both[] =
		"GET /v1/status HTTP/1.1\r\nHost: h\r\n\r\n"
		"GET /v1/nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	const char *text = talk(&client_a, both);
	const char *first = strstr(text, "HTTP/1.1 200 ");
	const char *second = strstr(text, "HTTP/1.1 404 ");
	ck_assert(first == text && second != NULL);
}
END_TEST

/* Each of one principal's connections beyond its share is told to come again; others are not. */
START_TEST(shares_connections)
{
	static struct tls_client clients[LIMIT_PEER_CONNECTIONS];
	static const char keep[] = "GET /v1/status HTTP/1.1\r\nHost: h\r\n\r\n";
	for (size_t i = 0; i < LIMIT_PEER_CONNECTIONS; i++) {
		ck_assert(tls_client_open(&clients[i], api_port(data), &client_a, TLS13));
		tls_client_send(&clients[i], keep, strlen(keep));
		ck_assert_int_gt(gnutls_record_recv(clients[i].session, reply, sizeof(reply)), 0);
		ck_assert_ptr_nonnull(strstr(reply, " 200 "));
	}
	check_problem(talk(&client_a, GET("/v1/status")), 429, "rate");
	check_status(talk(&client_b, GET("/v1/status")), 200);
	for (size_t i = 0; i < LIMIT_PEER_CONNECTIONS; i++) {
		tls_client_close(&clients[i]);
	}
	/* They are given back as their threads end. */
	for (int i = 0; i < 100 && strstr(talk(&client_a, GET("/v1/status")), " 200 ") == NULL;
		i++) {
		(void)usleep(20 * 1000);
	}
	check_status(reply, 200);
}
END_TEST

/* A principal whose calls all wait takes no thread more; others go on. */
START_TEST(shares_work)
{
	static struct tls_client clients[LIMIT_PEER_REQUESTS];
	service.hold = 1;
	for (size_t i = 0; i < LIMIT_PEER_REQUESTS; i++) {
		ck_assert(tls_client_open(&clients[i], api_port(data), &client_a, TLS13));
		tls_client_send(&clients[i], GET("/v1/status"), strlen(GET("/v1/status")));
	}
	for (int i = 0;
		i < 500 && __atomic_load_n(&service.calls, __ATOMIC_SEQ_CST) < LIMIT_PEER_REQUESTS;
		i++) {
		(void)usleep(10 * 1000);
	}
	ck_assert_uint_eq(service.calls, LIMIT_PEER_REQUESTS);
	check_problem(talk(&client_a, GET("/v1/status")), 429, "rate");
	__atomic_store_n(&service.hold, 0, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < LIMIT_PEER_REQUESTS; i++) {
		tls_client_read(&clients[i], reply, sizeof(reply));
		check_status(reply, 200);
		tls_client_close(&clients[i]);
	}
	check_status(talk(&client_a, GET("/v1/status")), 200);
}
END_TEST

/* Connections that never say a word are as many as one address may have, and no more. */
START_TEST(limits_connections_of_an_address)
{
	static int sockets[LIMIT_ADDRESS_CONNECTIONS + 1];
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(api_port(data))};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	const struct timeval wait = {.tv_usec = 200 * 1000};
	char byte;
	for (size_t i = 0; i <= LIMIT_ADDRESS_CONNECTIONS; i++) {
		sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(connect(sockets[i], (struct sockaddr *)&at, sizeof(at)), 0);
		ck_assert_int_eq(
			setsockopt(sockets[i], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	}
	/* The last stands, waiting for us to speak; the one past it was hung up on. */
	ck_assert_int_eq(recv(sockets[LIMIT_ADDRESS_CONNECTIONS - 1], &byte, 1, 0), -1);
	ck_assert(errno == EAGAIN);
	ssize_t got = recv(sockets[LIMIT_ADDRESS_CONNECTIONS], &byte, 1, 0);
	ck_assert(got == 0 || (got == -1 && errno == ECONNRESET));
	for (size_t i = 0; i <= LIMIT_ADDRESS_CONNECTIONS; i++) {
		(void)close(sockets[i]);
	}
}
END_TEST

/* One byte a second would keep libmicrohttpd's own time limit from ever ending. */
START_TEST(ends_slow_senders)
{
	struct tls_client client;
	static const char head[] = "GET /v1/status HTTP/1.1\r\nX-Slow: xxxxxxxxxxxxxxxxxxxxxxxxxxx";
	int64_t began = kms_monotonic_ms();
	ck_assert(tls_client_open(&client, api_port(data), &client_a, TLS13));
	for (size_t i = 0; i < sizeof(head) - 1; i++) {
		if (gnutls_record_send(client.session, head + i, 1) < 0) {
			break;
		}
		(void)usleep(300 * 1000);
	}
	tls_client_read(&client, reply, sizeof(reply));
	tls_client_close(&client);
	ck_assert_ptr_null(strstr(reply, " 200 "));
	int64_t took = kms_monotonic_ms() - began;
	ck_assert_int_ge(took, LIMIT_HTTP_HEAD_MS - 1000);
	ck_assert_int_lt(took, LIMIT_HTTP_HEAD_MS + 3000);
}
END_TEST

START_TEST(refuses_a_listener_that_cannot_be)
{
	struct api *api = NULL;
	struct api_listener listener = {.face = MODEL_FACE_ADMIN,
		.address = "localhost",
		.cert_pem = server.crt_pem,
		.key_pem = server_key,
		.trust_pem = trust};
	ck_assert(kms_is(api_start(&listener, &service, &api), KMS_CODE_CONFIG));
	listener.address = "127.0.0.1";
	listener.port = api_port(data);
	ck_assert(kms_is(api_start(&listener, &service, &api), KMS_CODE_NETWORK));
	listener.port = 0;
	listener.cert_pem = "not a certificate";
	ck_assert(!kms_is_ok(api_start(&listener, &service, &api)));
	listener.cert_pem = server.crt_pem;
	listener.trust_pem = "";
	ck_assert(!kms_is_ok(api_start(&listener, &service, &api)));
	ck_assert_ptr_null(api);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api");
	TCase *who = tcase_create("who gets in");
	tcase_add_checked_fixture(who, setup, teardown);
	tcase_set_timeout(who, 30);
	tcase_add_test(who, answers_a_registered_client);
	tcase_add_test(who, refuses_no_certificate);
	tcase_add_test(who, refuses_a_foreign_ca);
	tcase_add_test(who, refuses_a_certificate_for_servers);
	tcase_add_test(who, refuses_another_tenants_ca);
	tcase_add_test(who, refuses_who_is_not_registered);
	tcase_add_test(who, refuses_weaker_tls);
	tcase_add_test(who, gives_no_tickets);
	tcase_add_test(who, outlives_no_certificate);
	suite_add_tcase(suite, who);

	TCase *refused = tcase_create("what is refused");
	tcase_add_checked_fixture(refused, setup, teardown);
	tcase_set_timeout(refused, 30);
	tcase_add_test(refused, refuses_unknown_routes);
	tcase_add_test(refused, names_the_methods_that_may_be_used);
	tcase_add_test(refused, limits_bodies);
	tcase_add_test(refused, limits_secret_memory_of_a_principal);
	tcase_add_test(refused, takes_a_body_of_the_limit);
	tcase_add_test(refused, refuses_other_bodies);
	tcase_add_test(refused, refuses_bad_arguments);
	tcase_add_test(refused, refuses_upgrades);
	tcase_add_test(refused, limits_headers);
	tcase_add_test(refused, says_when_to_come_again);
	tcase_add_test(refused, refuses_a_listener_that_cannot_be);
	suite_add_tcase(suite, refused);

	TCase *work = tcase_create("work");
	tcase_add_checked_fixture(work, setup, teardown);
	tcase_set_timeout(work, 60);
	tcase_add_test(work, gives_a_clear_data_key);
	tcase_add_test(work, takes_a_clear_wrap);
	tcase_add_test(work, answers_pipelined_requests_in_order);
	tcase_add_test(work, shares_connections);
	tcase_add_test(work, shares_work);
	tcase_add_test(work, limits_connections_of_an_address);
	tcase_add_test(work, ends_slow_senders);
	suite_add_tcase(suite, work);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
