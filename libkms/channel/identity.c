/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end's certificate and key, and the settings of every session of it. Runs in libkms, in
 * kms-tokend, and in kmsd for `clear` sessions. It must never let a system's openssl.cnf, a ticket
 * or an older protocol change what a session is.
 */
#include <stdlib.h>

#include <openssl/err.h>

#include "channel_int.h"

enum { CERT_LIST_MAX = 16 * 1024 }; /* bytes of a peer's certificate message */

struct channel_identity {
	SSL_CTX *ctx;
	struct kms_hash spki;
};

/* RFC 8446 with one suite, one group, one signature algorithm: nothing is negotiated, so nothing
 * can be negotiated down, and no HelloRetryRequest costs another trip through the relay. */
static bool settings(SSL_CTX *ctx)
{
	/* Tickets would follow the handshake, and a relay that drops them breaks the next answer;
	 * resumption would skip the check of the peer's certificate. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT);
	/* There is no middlebox to please with dummy ChangeCipherSpecs (RFC 8446 appendix D.4). */
	SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
	/* The peer pins us, or has our CA: it needs no chain, and building one costs 30 %. No
	 * SSL_MODE_RELEASE_BUFFERS: it saves 9 KB an idle session, but with
	 * SSL_OP_CLEANSE_PLAINTEXT it wipes 16 KB at each record, which more than doubles the cost
	 * of opening one. */
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
	SSL_CTX_set_quiet_shutdown(ctx, 1);
	char groups[] = "P-256"; /* libssl's macros are not const-correct */
	char sigalgs[] = "ECDSA+SHA256";
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") == 1 &&
	       SSL_CTX_set1_groups_list(ctx, groups) == 1 &&
	       SSL_CTX_set1_sigalgs_list(ctx, sigalgs) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 0) == 1 && SSL_CTX_set_max_early_data(ctx, 0) == 1;
}

static kms_err load(struct channel_identity *identity, const struct crypto_cert *cert,
	const struct crypto_signer *signer)
{
	KMS_AUTO_BUF der = {0};
	KMS_TRY(crypto_cert_der(cert, &der));
	KMS_TRY(crypto_cert_spki_hash(cert, &identity->spki));
	identity->ctx = SSL_CTX_new(TLS_method());
	if (identity->ctx == NULL || !settings(identity->ctx) ||
		SSL_CTX_use_certificate_ASN1(identity->ctx, (int)der.len, der.ptr) != 1) {
		return channel_fail("setting up TLS", KMS_ERR(INTERNAL));
	}
	/* Refuses a key that is not the certificate's. */
	if (SSL_CTX_use_PrivateKey(identity->ctx, crypto_signer_pkey(signer)) != 1) {
		return channel_fail("certificate and key", KMS_ERR(CONFIG));
	}
	channel_verify_by_pin(identity->ctx);
	return KMS_OK;
}

kms_err channel_identity_read(
	const char *cert_path, const char *key_path, struct channel_identity **ret_identity)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_TRY(crypto_cert_read(cert_path, &cert));
	KMS_TRY(crypto_signer_read(key_path, &signer));
	KMS_AUTO(channel_identity) identity = calloc(1, sizeof(*identity));
	if (identity == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	ERR_clear_error();
	KMS_TRY(load(identity, cert, signer));
	*ret_identity = kms_take(&identity);
	return KMS_OK;
}

void channel_identity_free(struct channel_identity **identity)
{
	if (*identity == NULL) {
		return;
	}
	SSL_CTX_free((*identity)->ctx); /* counted: open sessions keep it */
	free(*identity);
	*identity = NULL;
}

kms_err channel_identity_spki(const struct channel_identity *identity, struct kms_hash *ret_hash)
{
	*ret_hash = identity->spki;
	return KMS_OK;
}

SSL *channel_identity_session(const struct channel_identity *identity)
{
	return SSL_new(identity->ctx);
}
