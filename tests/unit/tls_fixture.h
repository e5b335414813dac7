/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and a TLS client for tests of listeners: over GnuTLS, with nothing of ours. */
#ifndef TLS_FIXTURE_H
#define TLS_FIXTURE_H

#include <arpa/inet.h>
#include <check.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

struct tls_pair {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	char key_pem[2048];
	char crt_pem[4096];
};

enum tls_use { TLS_USE_CA, TLS_USE_SERVER, TLS_USE_CLIENT };

/* issuer NULL: self-signed. Valid from an hour ago for `seconds` from now. Over key_of's key, or a
 * fresh one where that is NULL. */
static inline void tls_pair_make(struct tls_pair *pair, const char *name, enum tls_use use,
	const struct tls_pair *issuer, const struct tls_pair *key_of, long seconds)
{
	static unsigned char serial;
	memset(pair, 0, sizeof(*pair));
	ck_assert_int_eq(gnutls_x509_privkey_init(&pair->key), 0);
	if (key_of != NULL) {
		ck_assert_int_eq(gnutls_x509_privkey_cpy(pair->key, key_of->key), 0);
	} else {
		ck_assert_int_eq(gnutls_x509_privkey_generate(pair->key, GNUTLS_PK_ECDSA,
					 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
			0);
	}
	serial++;
	ck_assert_int_eq(gnutls_x509_crt_init(&pair->crt), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_version(pair->crt, 3), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_serial(pair->crt, &serial, 1), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_key(pair->crt, pair->key), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_dn_by_oid(pair->crt, GNUTLS_OID_X520_COMMON_NAME, 0,
				 name, (unsigned)strlen(name)),
		0);
	time_t now = time(NULL);
	ck_assert_int_eq(gnutls_x509_crt_set_activation_time(pair->crt, now - 3600), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_expiration_time(pair->crt, now + seconds), 0);
	ck_assert_int_eq(
		gnutls_x509_crt_set_basic_constraints(pair->crt, use == TLS_USE_CA, -1), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_key_usage(
				 pair->crt, use == TLS_USE_CA ? GNUTLS_KEY_KEY_CERT_SIGN
							      : GNUTLS_KEY_DIGITAL_SIGNATURE),
		0);
	if (use != TLS_USE_CA) {
		const char *purpose =
			use == TLS_USE_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
		ck_assert_int_eq(gnutls_x509_crt_set_key_purpose_oid(pair->crt, purpose, 0), 0);
	}
	const struct tls_pair *by = issuer == NULL ? pair : issuer;
	ck_assert_int_eq(
		gnutls_x509_crt_sign2(pair->crt, by->crt, by->key, GNUTLS_DIG_SHA256, 0), 0);
	size_t size = sizeof(pair->key_pem) - 1;
	ck_assert_int_eq(
		gnutls_x509_privkey_export(pair->key, GNUTLS_X509_FMT_PEM, pair->key_pem, &size),
		0);
	size = sizeof(pair->crt_pem) - 1;
	ck_assert_int_eq(
		gnutls_x509_crt_export(pair->crt, GNUTLS_X509_FMT_PEM, pair->crt_pem, &size), 0);
}

static inline void tls_pair_free(struct tls_pair *pair)
{
	gnutls_x509_crt_deinit(pair->crt);
	gnutls_x509_privkey_deinit(pair->key);
}

struct tls_client {
	int fd;
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
};

/* Connects and shakes hands; false when the handshake fails on this side already. */
static inline bool tls_client_open(struct tls_client *client, uint16_t port,
	const struct tls_pair *pair, const char *priorities)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client->fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(client->fd, 0);
	int one = 1;
	(void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ck_assert_int_eq(connect(client->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(gnutls_certificate_allocate_credentials(&client->credentials), 0);
	/* NO_SIGNAL: a server that hangs up is an error, not a SIGPIPE. FORCE_CLIENT_CERT: this
	 * client offers its certificate even where the server names other CAs. */
	ck_assert_int_eq(gnutls_init(&client->session,
				 GNUTLS_CLIENT | GNUTLS_NO_SIGNAL | GNUTLS_FORCE_CLIENT_CERT),
		0);
	if (pair != NULL) {
		gnutls_x509_crt_t crt = pair->crt;
		ck_assert_int_ge(
			gnutls_certificate_set_x509_key(client->credentials, &crt, 1, pair->key),
			0);
	}
	ck_assert_int_eq(gnutls_credentials_set(
				 client->session, GNUTLS_CRD_CERTIFICATE, client->credentials),
		0);
	ck_assert_int_eq(gnutls_priority_set_direct(client->session, priorities, NULL), 0);
	gnutls_transport_set_int(client->session, client->fd);
	gnutls_handshake_set_timeout(client->session, 5000);
	int rc;
	do {
		rc = gnutls_handshake(client->session);
	} while (rc < 0 && gnutls_error_is_fatal(rc) == 0);
	return rc == 0;
}

static inline void tls_client_close(struct tls_client *client)
{
	gnutls_deinit(client->session);
	gnutls_certificate_free_credentials(client->credentials);
	(void)close(client->fd);
}

static inline void tls_client_send(struct tls_client *client, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t sent = gnutls_record_send(client->session, text, len);
		if (sent <= 0) {
			return; /* the server hung up: reading tells */
		}
		text += sent;
		len -= (size_t)sent;
	}
}

/* Everything until the server ends or `size` is full, as a C string; "" when there is nothing. */
static inline void tls_client_read(struct tls_client *client, char *into, size_t size)
{
	size_t len = 0;
	while (len + 1 < size) {
		ssize_t got = gnutls_record_recv(client->session, into + len, size - 1 - len);
		if (got <= 0 && got != GNUTLS_E_AGAIN && got != GNUTLS_E_INTERRUPTED) {
			break;
		}
		len += got > 0 ? (size_t)got : 0;
	}
	into[len] = '\0';
}

#endif
