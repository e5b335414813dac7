/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the handshake asks of the peer's certificate. Runs where channel runs. It must never look
 * at a name or a CA: kmsd and the platform could bring those. The client has its pin; the server
 * lets every certificate in whose key the client has proven, for its caller to judge.
 */
#include <string.h>

#include <openssl/x509_vfy.h>

#include "channel_int.h"

static kms_err der_of(const X509 *x509, struct kms_buf *ret_der)
{
	uint8_t *der = NULL;
	int len = i2d_X509(x509, &der);
	if (len <= 0) {
		return channel_fail("encoding the peer's certificate", KMS_ERR(INTERNAL));
	}
	kms_err err = kms_buf_copy((struct kms_bytes){der, (size_t)len}, ret_der);
	OPENSSL_free(der);
	return err;
}

static kms_err spki_of(const X509 *x509, struct kms_hash *ret_hash)
{
	KMS_AUTO_BUF der = {0};
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_TRY(der_of(x509, &der));
	KMS_TRY(crypto_cert_parse_der(kms_buf_bytes(&der), &cert));
	return crypto_cert_spki_hash(cert, ret_hash);
}

/* Replaces libssl's own path validation; libssl checks CertificateVerify either way. */
static int verify(X509_STORE_CTX *ctx, void *arg)
{
	(void)arg;
	const SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct channel *channel = SSL_get_app_data(ssl);
	if (!channel->client) {
		return 1;
	}
	struct kms_hash spki;
	if (kms_is_ok(spki_of(X509_STORE_CTX_get0_cert(ctx), &spki)) &&
		kms_hash_equal(&spki, &channel->pin)) {
		return 1;
	}
	channel->pin_refused = true;
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REJECTED);
	return 0;
}

void channel_verify_by_pin(SSL_CTX *ctx)
{
	/* The server needs some certificate of the client; the client gets one in any case. */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
}

static const X509 *peer_of(const struct channel *channel)
{
	return channel_is_open(channel) ? SSL_get0_peer_certificate(channel->ssl) : NULL;
}

kms_err channel_peer_der(const struct channel *channel, struct kms_buf *ret_der)
{
	const X509 *peer = peer_of(channel);
	return peer == NULL ? KMS_ERR(SESSION) : der_of(peer, ret_der);
}

kms_err channel_peer_spki(const struct channel *channel, struct kms_hash *ret_hash)
{
	const X509 *peer = peer_of(channel);
	return peer == NULL ? KMS_ERR(SESSION) : spki_of(peer, ret_hash);
}
