/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed sessions in memory: both ends of libkms/channel, and one end against a bare libssl that
 * does what a peer may not.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "channel.h"
#include "crypto.h"

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

/* The C library's, with the monotonic clock put forward: so a session ages in a test. */
static int64_t clock_skip_s;
int clock_gettime(clockid_t id, struct timespec *ret_time);
int clock_gettime(clockid_t id, struct timespec *ret_time)
{
	long rc = syscall(SYS_clock_gettime, id, ret_time);
	if (rc == 0 && id == CLOCK_MONOTONIC) {
		ret_time->tv_sec += clock_skip_s;
	}
	return (int)rc;
}

/* ---- fixtures: certificates once, two ends for each test ---- */

static char directory[64];

static void shell(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

static void certificates_make(void)
{
	(void)strcpy(directory, "/tmp/kms-channel-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
	shell("for n in client server other; do openssl req -x509 -newkey ec "
	      "-pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$n -keyout $n.key "
	      "-out $n.pem 2>/dev/null || exit 1; done");
}

static void certificates_remove(void)
{
	shell("rm -f ./*");
	ck_assert_int_eq(rmdir(directory), 0);
}

static struct channel_identity *client_id;
static struct channel_identity *server_id;
static struct kms_hash server_pin;
static struct channel *client;
static struct channel *server;

static void ends_make(void)
{
	ck_ok(channel_identity_read("client.pem", "client.key", &client_id));
	ck_ok(channel_identity_read("server.pem", "server.key", &server_id));
	ck_ok(channel_identity_spki(server_id, &server_pin));
	ck_ok(channel_new_client(client_id, &server_pin, &client));
	ck_ok(channel_new_server(server_id, &server));
}

static void ends_free(void)
{
	channel_free(&client);
	channel_free(&server);
	channel_identity_free(&client_id);
	channel_identity_free(&server_id);
}

static struct kms_bytes str(const char *text)
{
	return kms_bytes_str(text);
}

/* One message from one end to the other. */
static void carry(struct channel *from, struct channel *to, struct kms_bytes message)
{
	KMS_AUTO_BUF sealed = {0};
	KMS_AUTO(kms_secret) opened = NULL;
	ck_ok(channel_seal(from, message, &sealed));
	ck_ok(channel_open(to, kms_buf_bytes(&sealed), &opened));
	ck_assert(kms_bytes_equal(kms_secret_bytes(opened), message));
}

static void join(const struct kms_buf *a, const struct kms_buf *b, struct kms_buf *ret_buf)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(CHANNEL_BYTES_MAX);
	kms_write_bytes(&writer, kms_buf_bytes(a));
	kms_write_bytes(&writer, kms_buf_bytes(b));
	ck_ok(kms_writer_take(&writer, ret_buf));
}

/* The client's Finished, once hello and the server's flight have gone across. */
static void greet(struct kms_buf *ret_finished)
{
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF flight = {0};
	ck_ok(channel_step(client, (struct kms_bytes){0}, &hello));
	ck_ok(channel_step(server, kms_buf_bytes(&hello), &flight));
	ck_assert(!channel_is_open(client) && !channel_is_open(server));
	ck_ok(channel_step(client, kms_buf_bytes(&flight), ret_finished));
	ck_assert(channel_is_open(client) && !channel_is_open(server));
}

static void ends_open(void)
{
	ends_make();
	KMS_AUTO_BUF finished = {0};
	KMS_AUTO_BUF nothing = {0};
	greet(&finished);
	ck_ok(channel_step(server, kms_buf_bytes(&finished), &nothing));
	ck_assert_uint_eq(nothing.len, 0); /* no tickets */
	ck_assert(channel_is_open(server));
}

/* ---- the handshake ---- */

START_TEST(the_first_answer_takes_two_round_trips)
{
	KMS_AUTO_BUF finished = {0};
	KMS_AUTO_BUF request = {0};
	KMS_AUTO_BUF both = {0};
	KMS_AUTO(kms_secret) opened = NULL;
	greet(&finished);
	ck_ok(channel_seal(client, str("request"), &request));
	join(&finished, &request, &both);
	ck_ok(channel_open(server, kms_buf_bytes(&both), &opened));
	ck_assert(kms_bytes_equal(kms_secret_bytes(opened), str("request")));
	ck_assert(channel_is_open(server) && !channel_is_worn(server));
	carry(server, client, str("answer"));
	carry(client, server, str("again"));
}
END_TEST

START_TEST(each_end_knows_the_other)
{
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF wanted = {0};
	KMS_AUTO(crypto_cert) cert = NULL;
	struct kms_hash hash;
	struct kms_hash pin;
	ck_ok(crypto_cert_read("client.pem", &cert));
	ck_ok(crypto_cert_der(cert, &wanted));
	ck_ok(channel_peer_der(server, &der));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&der), kms_buf_bytes(&wanted)));
	ck_ok(channel_peer_spki(server, &hash));
	ck_ok(channel_identity_spki(client_id, &pin));
	ck_assert(kms_hash_equal(&hash, &pin));
	ck_ok(channel_peer_spki(client, &hash));
	ck_assert(kms_hash_equal(&hash, &server_pin));
}
END_TEST

START_TEST(nothing_is_known_or_sealed_before_the_end_of_the_handshake)
{
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF none = {0};
	struct kms_hash hash;
	ck_ok(channel_step(client, (struct kms_bytes){0}, &hello));
	ck_code(channel_peer_der(client, &none), SESSION);
	ck_code(channel_peer_spki(server, &hash), SESSION);
	ck_code(channel_seal(client, str("x"), &none), SESSION);
	ck_code(channel_seal(server, str("x"), &none), SESSION);
	ck_assert(!channel_is_worn(client));
}
END_TEST

START_TEST(another_server_is_refused_by_the_pin)
{
	KMS_AUTO(channel_identity) other_id = NULL;
	KMS_AUTO(channel) other = NULL;
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF flight = {0};
	KMS_AUTO_BUF none = {0};
	ck_ok(channel_identity_read("other.pem", "other.key", &other_id));
	ck_ok(channel_new_server(other_id, &other));
	ck_ok(channel_step(client, (struct kms_bytes){0}, &hello));
	ck_ok(channel_step(other, kms_buf_bytes(&hello), &flight));
	ck_code(channel_step(client, kms_buf_bytes(&flight), &none), PINS);
	ck_assert_ptr_null(none.ptr); /* not even the client's certificate goes there */
	ck_assert(!channel_is_open(client));
	ck_code(channel_step(client, kms_buf_bytes(&flight), &none), SESSION);
}
END_TEST

START_TEST(a_flight_comes_whole_and_unchanged)
{
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF flight = {0};
	KMS_AUTO_BUF none = {0};
	ck_ok(channel_step(client, (struct kms_bytes){0}, &hello));
	ck_ok(channel_step(server, kms_buf_bytes(&hello), &flight));
	ck_assert_uint_gt(flight.len, 300);
	struct kms_bytes bytes = kms_buf_bytes(&flight);
	switch (_i) {
	case 0:
		bytes.len--;
		break;
	case 1:
		bytes.len = 0;
		break;
	case 2:
		flight.ptr[flight.len - 1] ^= 1;
		break;
	case 3:
		flight.ptr[60] ^= 1; /* the server's key share */
		break;
	default:
		join(&flight, &hello, &none);
		bytes = kms_buf_bytes(&none);
		break;
	}
	KMS_AUTO_BUF out = {0};
	ck_code(channel_step(client, bytes, &out), SESSION);
	ck_assert_ptr_null(out.ptr);
}
END_TEST

START_TEST(a_flight_has_a_longest_length)
{
	static uint8_t zeros[CHANNEL_FLIGHT_MAX + 1];
	KMS_AUTO_BUF none = {0};
	ck_code(channel_step(server, KMS_BYTES_OF(zeros), &none), SESSION);
	ck_code(channel_step(server, (struct kms_bytes){0}, &none), SESSION); /* dead */
}
END_TEST

START_TEST(a_step_after_the_handshake_ends_the_session)
{
	KMS_AUTO_BUF none = {0};
	ck_code(channel_step(client, str("x"), &none), SESSION);
	ck_assert(!channel_is_open(client));
}
END_TEST

START_TEST(a_certificate_needs_its_own_key)
{
	KMS_AUTO(channel_identity) identity = NULL;
	ck_code(channel_identity_read("client.pem", "server.key", &identity), CONFIG);
	ck_code(channel_identity_read("none.pem", "client.key", &identity), IO);
	ck_assert_ptr_null(identity);
}
END_TEST

START_TEST(sessions_may_outlive_their_identity)
{
	channel_identity_free(&client_id);
	channel_identity_free(&server_id);
	carry(client, server, str("x"));
}
END_TEST

/* ---- messages ---- */

START_TEST(messages_up_to_the_limit)
{
	static uint8_t large[CHANNEL_MESSAGE_MAX + 1];
	kms_random(large, sizeof(large));
	const size_t lens[] = {0, 1, 210, 16380, 16384, 16385, CHANNEL_MESSAGE_MAX};
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		carry(client, server, (struct kms_bytes){large, lens[i]});
		carry(server, client, (struct kms_bytes){large, lens[i]});
	}
	KMS_AUTO_BUF none = {0};
	ck_code(channel_seal(client, KMS_BYTES_OF(large), &none), TOO_LARGE);
	carry(client, server, str("the session goes on"));
}
END_TEST

START_TEST(sixteen_requests_in_flight)
{
	struct kms_buf sealed[16] = {0};
	for (uint8_t i = 0; i < 16; i++) {
		ck_ok(channel_seal(client, (struct kms_bytes){&i, 1}, &sealed[i]));
	}
	for (uint8_t i = 0; i < 16; i++) {
		KMS_AUTO(kms_secret) opened = NULL;
		ck_ok(channel_open(server, kms_buf_bytes(&sealed[i]), &opened));
		ck_assert_uint_eq(kms_secret_cptr(opened)[0], i);
		kms_buf_free(&sealed[i]);
		ck_ok(channel_seal(server, (struct kms_bytes){&i, 1}, &sealed[i]));
	}
	for (uint8_t i = 0; i < 16; i++) {
		KMS_AUTO(kms_secret) opened = NULL;
		ck_ok(channel_open(client, kms_buf_bytes(&sealed[i]), &opened));
		ck_assert_uint_eq(kms_secret_cptr(opened)[0], i);
		kms_buf_free(&sealed[i]);
	}
}
END_TEST

/* What a relay can do to the bytes of two messages. */
enum { REPLAY, SWAP, DROP, CUT, CUT_TO_NOTHING, CHANGE, APPEND, JOIN, REFLECT, TAMPERINGS };

START_TEST(a_relay_that_tampers_ends_the_session)
{
	KMS_AUTO_BUF one = {0};
	KMS_AUTO_BUF two = {0};
	KMS_AUTO_BUF both = {0};
	KMS_AUTO(kms_secret) first = NULL;
	KMS_AUTO(kms_secret) none = NULL;
	ck_ok(channel_seal(client, str("one"), &one));
	ck_ok(channel_seal(client, str("two"), &two));
	join(&one, &two, &both);
	struct channel *to = server;
	struct kms_bytes bytes = kms_buf_bytes(&one);
	switch (_i) {
	case REPLAY:
		ck_ok(channel_open(server, bytes, &first));
		break;
	case SWAP:
	case DROP:
		bytes = kms_buf_bytes(&two);
		break;
	case CUT:
		bytes.len--;
		break;
	case CUT_TO_NOTHING:
		bytes.len = 0;
		break;
	case CHANGE:
		one.ptr[one.len / 2] ^= 1;
		break;
	case APPEND:
		bytes = (struct kms_bytes){both.ptr, one.len + 1};
		break;
	case JOIN:
		bytes = kms_buf_bytes(&both);
		break;
	default:
		to = client; /* its own record back */
		break;
	}
	ck_code(channel_open(to, bytes, &none), SESSION);
	ck_assert_ptr_null(none);
	ck_assert(!channel_is_open(to));
	/* Dead: neither the right bytes nor an answer any more. */
	KMS_AUTO_BUF sealed = {0};
	ck_code(channel_open(to, kms_buf_bytes(&one), &none), SESSION);
	ck_code(channel_seal(to, str("answer"), &sealed), SESSION);
	struct kms_hash hash;
	ck_code(channel_peer_spki(to, &hash), SESSION);
}
END_TEST

START_TEST(a_message_has_a_longest_form)
{
	static uint8_t zeros[CHANNEL_BYTES_MAX + 1];
	KMS_AUTO(kms_secret) none = NULL;
	ck_code(channel_open(server, KMS_BYTES_OF(zeros), &none), SESSION);
	ck_assert(!channel_is_open(server));
}
END_TEST

/* How often 32 bytes, known inverted so as not to be found here, stand between two addresses. Looks
 * at freed memory, too, which a sanitizer would object to. */
__attribute__((no_sanitize("address"))) static size_t copies_between(
	const volatile uint8_t *from, const volatile uint8_t *to, const uint8_t inverted[32])
{
	size_t found = 0;
	for (; to - from >= 32; from++) {
		size_t k = 0;
		while (k < 32 && from[k] + inverted[k] == 0xff) {
			k++;
		}
		found += k == 32;
	}
	return found;
}

static size_t copies_in_memory(const uint8_t inverted[32])
{
	const uintptr_t region_max = 64 * 1024 * 1024; /* a sanitizer's shadow is larger */
	size_t found = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	ck_assert_ptr_nonnull(maps);
	char line[512];
	while (fgets(line, sizeof(line), maps) != NULL) {
		uintptr_t from = 0;
		uintptr_t to = 0;
		char mode[5];
		ck_assert_int_eq(
			sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode), 3);
		if (mode[0] == 'r' && mode[1] == 'w' && to - from <= region_max) {
			found += copies_between(
				(const uint8_t *)from, (const uint8_t *)to, inverted);
		}
	}
	(void)fclose(maps);
	return found;
}

START_TEST(no_plaintext_outlives_a_message)
{
	uint8_t inverted[32];
	kms_random(inverted, sizeof(inverted));
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(kms_secret) opened = NULL;
	KMS_AUTO_BUF sealed = {0};
	ck_ok(kms_secret_new(20000, &message)); /* two records */
	for (size_t i = 0; i < 20000; i++) {
		kms_secret_ptr(message)[i] = (uint8_t)(0xff - inverted[i % 32]);
	}
	ck_ok(channel_seal(client, kms_secret_bytes(message), &sealed));
	ck_ok(channel_open(server, kms_buf_bytes(&sealed), &opened));
	ck_assert_uint_ge(copies_in_memory(inverted), 2 * (20000 / 32));
	kms_secret_free(&message);
	kms_secret_free(&opened);
	ck_assert_uint_eq(copies_in_memory(inverted), 0);
}
END_TEST

START_TEST(no_memory_for_a_message_ends_the_session)
{
	struct kms_secret *held[KMS_SECRET_SLAB / CHANNEL_MESSAGE_MAX + 1] = {0};
	const size_t count = sizeof(held) / sizeof(held[0]);
	KMS_AUTO(kms_secret) none = NULL;
	KMS_AUTO_BUF one = {0};
	KMS_AUTO_BUF two = {0};
	static const uint8_t large[CHANNEL_MESSAGE_MAX];
	ck_ok(channel_seal(client, KMS_BYTES_OF(large), &one));
	ck_ok(channel_seal(client, str("two"), &two));
	size_t filled = 0;
	while (filled < count && kms_is_ok(kms_secret_new(CHANNEL_MESSAGE_MAX, &held[filled]))) {
		filled++;
	}
	ck_assert_uint_lt(filled, count);
	ck_code(channel_open(server, kms_buf_bytes(&one), &none), NO_MEMORY);
	for (size_t i = 0; i < count; i++) {
		kms_secret_free(&held[i]);
	}
	ck_assert(!channel_is_open(server));
	ck_code(channel_open(server, kms_buf_bytes(&two), &none), SESSION);
}
END_TEST

START_TEST(a_record_of_another_session_is_refused)
{
	KMS_AUTO_BUF sealed = {0};
	KMS_AUTO(kms_secret) none = NULL;
	ck_ok(channel_seal(client, str("x"), &sealed));
	struct channel *old_client = client;
	struct channel *old_server = server;
	channel_identity_free(&client_id);
	channel_identity_free(&server_id);
	ends_open();
	ck_code(channel_open(server, kms_buf_bytes(&sealed), &none), SESSION);
	channel_free(&old_client);
	channel_free(&old_server);
}
END_TEST

/* ---- age ---- */

START_TEST(a_session_wears_out_by_time)
{
	KMS_AUTO_BUF in_flight = {0};
	KMS_AUTO_BUF late = {0};
	KMS_AUTO(kms_secret) opened = NULL;
	KMS_AUTO_BUF answer = {0};
	clock_skip_s = CHANNEL_LIFE_MS / 1000 - 5;
	ck_assert(!channel_is_worn(client) && !channel_is_worn(server));
	carry(client, server, str("request"));
	ck_ok(channel_seal(server, str("answer"), &answer));
	ck_ok(channel_seal(client, str("request"), &in_flight));
	clock_skip_s = CHANNEL_LIFE_MS / 1000;
	ck_assert(channel_is_worn(client) && channel_is_worn(server));
	ck_code(channel_seal(client, str("request"), &late), SESSION);
	ck_ok(channel_open(client, kms_buf_bytes(&answer), &opened)); /* asked in time */
	KMS_AUTO(kms_secret) none = NULL;
	ck_code(channel_open(server, kms_buf_bytes(&in_flight), &none), SESSION);
	ck_assert(!channel_is_open(server));
}
END_TEST

START_TEST(a_session_wears_out_by_records)
{
	uint32_t sent = 0;
	kms_err err = KMS_OK;
	/* Check writes each assertion that it passes into a file: none a million times. */
	while (kms_is_ok(err) && !channel_is_worn(server)) {
		KMS_AUTO_BUF sealed = {0};
		KMS_AUTO(kms_secret) opened = NULL;
		err = channel_seal(client, str("x"), &sealed);
		if (kms_is_ok(err)) {
			err = channel_open(server, kms_buf_bytes(&sealed), &opened);
		}
		sent++;
	}
	ck_ok(err);
	ck_assert_uint_le(sent, CHANNEL_RECORDS_MAX);
	ck_assert_uint_gt(sent, CHANNEL_RECORDS_MAX - 32); /* the handshake's records count */
	KMS_AUTO_BUF none = {0};
	ck_assert(channel_is_worn(client));
	ck_code(channel_seal(client, str("x"), &none), SESSION);
}
END_TEST

/* ---- a peer of another make ---- */

/* A libssl client over memory BIOs, as plain as can be. */
struct bare {
	SSL_CTX *ctx;
	SSL *ssl;
};
static struct bare bare;
/* Not const: libssl's macros are not const-correct. */
static char group[] = "P-256";
static char other_group[] = "P-384";
static char other_sigalg[] = "RSA-PSS+SHA256";

static void bare_make(void)
{
	ends_make();
	bare.ctx = SSL_CTX_new(TLS_client_method());
	ck_assert_ptr_nonnull(bare.ctx);
	ck_assert_int_eq(SSL_CTX_set1_groups_list(bare.ctx, group), 1);
}

static void bare_start(bool certificate)
{
	if (certificate) {
		ck_assert_int_eq(
			SSL_CTX_use_certificate_file(bare.ctx, "client.pem", SSL_FILETYPE_PEM), 1);
		ck_assert_int_eq(
			SSL_CTX_use_PrivateKey_file(bare.ctx, "client.key", SSL_FILETYPE_PEM), 1);
	}
	bare.ssl = SSL_new(bare.ctx);
	SSL_set_bio(bare.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(bare.ssl);
}

static void bare_free(void)
{
	SSL_free(bare.ssl);
	SSL_CTX_free(bare.ctx);
	ends_free();
}

static void bare_take(struct kms_buf *ret_out)
{
	char *ptr = NULL;
	long len = BIO_get_mem_data(SSL_get_wbio(bare.ssl), &ptr);
	ck_ok(kms_buf_copy((struct kms_bytes){(uint8_t *)ptr, (size_t)len}, ret_out));
	ck_assert_int_eq(BIO_reset(SSL_get_wbio(bare.ssl)), 1);
}

static void bare_give(const struct kms_buf *in)
{
	ck_assert_int_eq(BIO_write(SSL_get_rbio(bare.ssl), in->ptr, (int)in->len), (int)in->len);
}

/* Until the client's Finished, which is returned. */
static void bare_greet(struct kms_buf *ret_finished)
{
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF flight = {0};
	ck_assert_int_eq(SSL_do_handshake(bare.ssl), -1);
	bare_take(&hello);
	ck_ok(channel_step(server, kms_buf_bytes(&hello), &flight));
	bare_give(&flight);
	ck_assert_int_eq(SSL_do_handshake(bare.ssl), 1);
	bare_take(ret_finished);
}

static void bare_open(void)
{
	KMS_AUTO_BUF finished = {0};
	KMS_AUTO_BUF nothing = {0};
	bare_start(true);
	bare_greet(&finished);
	ck_ok(channel_step(server, kms_buf_bytes(&finished), &nothing));
	ck_assert(channel_is_open(server));
}

START_TEST(only_tls_1_3_with_one_suite_and_group)
{
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF none = {0};
	switch (_i) {
	case 0:
		ck_assert_int_eq(SSL_CTX_set_max_proto_version(bare.ctx, TLS1_2_VERSION), 1);
		break;
	case 1:
		ck_assert_int_eq(
			SSL_CTX_set_ciphersuites(bare.ctx, "TLS_CHACHA20_POLY1305_SHA256"), 1);
		break;
	case 2:
		ck_assert_int_eq(SSL_CTX_set1_groups_list(bare.ctx, other_group), 1);
		break;
	default:
		ck_assert_int_eq(SSL_CTX_set1_sigalgs_list(bare.ctx, other_sigalg), 1);
		break;
	}
	bare_start(true);
	ck_assert_int_eq(SSL_do_handshake(bare.ssl), -1);
	bare_take(&hello);
	ck_assert_uint_gt(hello.len, 0);
	ck_code(channel_step(server, kms_buf_bytes(&hello), &none), SESSION);
}
END_TEST

START_TEST(a_client_certificate_of_another_curve_is_refused)
{
	KMS_AUTO_BUF finished = {0};
	KMS_AUTO_BUF none = {0};
	shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -subj /CN=x "
	      "-keyout p384.key -out p384.pem 2>/dev/null");
	ck_assert_int_eq(SSL_CTX_use_certificate_file(bare.ctx, "p384.pem", SSL_FILETYPE_PEM), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(bare.ctx, "p384.key", SSL_FILETYPE_PEM), 1);
	bare_start(false);
	bare_greet(&finished); /* libssl sends no certificate that the server cannot take */
	ck_code(channel_step(server, kms_buf_bytes(&finished), &none), SESSION);
}
END_TEST

START_TEST(a_client_without_a_certificate_is_refused)
{
	KMS_AUTO_BUF finished = {0};
	KMS_AUTO_BUF none = {0};
	bare_start(false);
	bare_greet(&finished);
	ck_code(channel_step(server, kms_buf_bytes(&finished), &none), SESSION);
	ck_assert(!channel_is_open(server));
}
END_TEST

/* Sends these bytes inside the session and opens them as a message. */
static kms_err bare_message(struct kms_bytes inside, struct kms_secret **ret_message)
{
	KMS_AUTO_BUF sealed = {0};
	if (inside.len > 0) {
		ck_assert_int_eq(SSL_write(bare.ssl, inside.ptr, (int)inside.len), (int)inside.len);
	}
	bare_take(&sealed);
	return channel_open(server, kms_buf_bytes(&sealed), ret_message);
}

START_TEST(lengths_that_lie)
{
	static const struct {
		const char *inside;
		size_t len;
	} lies[] = {
		{"\0\0\0\3ab", 6},   /* cut short */
		{"\0\0\0\1ab", 6},   /* left over */
		{"\0\0\0", 3},       /* no length */
		{"\0\3\0\1abcd", 8}, /* CHANNEL_MESSAGE_MAX and one */
		{"\377\377\377\377a", 5},
	};
	ck_assert_int_eq(CHANNEL_MESSAGE_MAX, 0x30000);
	KMS_AUTO(kms_secret) message = NULL;
	bare_open();
	ck_ok(bare_message(KMS_BYTES_OF(((const uint8_t[]){0, 0, 0, 1, 'a'})), &message));
	KMS_AUTO(kms_secret) none = NULL;
	ck_code(bare_message(
			(struct kms_bytes){(const uint8_t *)lies[_i].inside, lies[_i].len}, &none),
		SESSION);
	ck_assert_ptr_null(none);
}
END_TEST

START_TEST(a_message_may_span_records_of_any_size)
{
	static const uint8_t inside[] = {0, 0, 0, 3, 'a', 'b', 'c'};
	KMS_AUTO(kms_secret) message = NULL;
	bare_open();
	for (size_t i = 0; i + 1 < sizeof(inside); i++) {
		ck_assert_int_eq(SSL_write(bare.ssl, inside + i, 1), 1);
	}
	ck_ok(bare_message((struct kms_bytes){inside + sizeof(inside) - 1, 1}, &message));
	ck_assert(kms_bytes_equal(kms_secret_bytes(message), str("abc")));
}
END_TEST

/* Number of key updates before one message. */
static void key_updates(int count)
{
	for (int i = 0; i < count; i++) {
		ck_assert_int_eq(SSL_key_update(bare.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		ck_assert_int_eq(SSL_do_handshake(bare.ssl), 1);
	}
}

START_TEST(key_updates_are_followed_up_to_a_number)
{
	static const uint8_t inside[] = {0, 0, 0, 1, 'a'};
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO_BUF answer = {0};
	bare_open();
	key_updates(CHANNEL_EXTRAS_MAX);
	ck_ok(bare_message(KMS_BYTES_OF(inside), &message));
	/* The server's own update goes before its answer. */
	ck_ok(channel_seal(server, str("answer"), &answer));
	bare_give(&answer);
	uint8_t text[10];
	ck_assert_int_eq(SSL_read(bare.ssl, text, sizeof(text)), 10);
	ck_assert_int_eq(memcmp(text, "\0\0\0\6answer", 10), 0);

	KMS_AUTO(kms_secret) none = NULL;
	key_updates(1);
	ck_code(bare_message(KMS_BYTES_OF(inside), &none), SESSION);
	ck_assert(!channel_is_open(server));
}
END_TEST

START_TEST(a_flood_of_key_updates_is_not_worked_off)
{
	static const uint8_t inside[] = {0, 0, 0, 1, 'a'};
	KMS_AUTO(kms_secret) none = NULL;
	bare_open();
	key_updates(5000);
	struct timespec before;
	struct timespec after;
	ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before), 0);
	ck_code(bare_message(KMS_BYTES_OF(inside), &none), SESSION);
	ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after), 0);
	int64_t spent_us =
		(after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
	ck_assert_int_lt(spent_us, 20000); /* all of them would take 100 ms */
}
END_TEST

START_TEST(an_end_of_session_is_no_message)
{
	KMS_AUTO(kms_secret) none = NULL;
	bare_open();
	ck_assert_int_eq(SSL_shutdown(bare.ssl), 0);
	ck_code(bare_message((struct kms_bytes){0}, &none), SESSION);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("channel");
	TCase *fresh = tcase_create("handshake");
	tcase_add_unchecked_fixture(fresh, certificates_make, certificates_remove);
	tcase_add_checked_fixture(fresh, ends_make, ends_free);
	tcase_add_test(fresh, the_first_answer_takes_two_round_trips);
	tcase_add_test(fresh, nothing_is_known_or_sealed_before_the_end_of_the_handshake);
	tcase_add_test(fresh, another_server_is_refused_by_the_pin);
	tcase_add_loop_test(fresh, a_flight_comes_whole_and_unchanged, 0, 5);
	tcase_add_test(fresh, a_flight_has_a_longest_length);
	tcase_add_test(fresh, a_certificate_needs_its_own_key);
	suite_add_tcase(suite, fresh);
	TCase *open = tcase_create("messages");
	tcase_set_timeout(open, 60);
	tcase_add_unchecked_fixture(open, certificates_make, certificates_remove);
	tcase_add_checked_fixture(open, ends_open, ends_free);
	tcase_add_test(open, each_end_knows_the_other);
	tcase_add_test(open, a_step_after_the_handshake_ends_the_session);
	tcase_add_test(open, sessions_may_outlive_their_identity);
	tcase_add_test(open, messages_up_to_the_limit);
	tcase_add_test(open, sixteen_requests_in_flight);
	tcase_add_loop_test(open, a_relay_that_tampers_ends_the_session, 0, TAMPERINGS);
	tcase_add_test(open, a_message_has_a_longest_form);
	tcase_add_test(open, no_plaintext_outlives_a_message);
	tcase_add_test(open, no_memory_for_a_message_ends_the_session);
	tcase_add_test(open, a_record_of_another_session_is_refused);
	tcase_add_test(open, a_session_wears_out_by_time);
	tcase_add_test(open, a_session_wears_out_by_records);
	suite_add_tcase(suite, open);
	TCase *foreign = tcase_create("foreign peer");
	tcase_add_unchecked_fixture(foreign, certificates_make, certificates_remove);
	tcase_add_checked_fixture(foreign, bare_make, bare_free);
	tcase_add_loop_test(foreign, only_tls_1_3_with_one_suite_and_group, 0, 4);
	tcase_add_test(foreign, a_client_certificate_of_another_curve_is_refused);
	tcase_add_test(foreign, a_client_without_a_certificate_is_refused);
	tcase_add_loop_test(foreign, lengths_that_lie, 0, 5);
	tcase_add_test(foreign, a_message_may_span_records_of_any_size);
	tcase_add_test(foreign, key_updates_are_followed_up_to_a_number);
	tcase_add_test(foreign, a_flood_of_key_updates_is_not_worked_off);
	tcase_add_test(foreign, an_end_of_session_is_no_message);
	suite_add_tcase(suite, foreign);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
