/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a session's certificate to a principal. Runs in kmsd. It must never take one tenant's CA for
 * another's, nor remember a principal past a request: it may expire or be taken away.
 */
#include "peer_int.h"

#include <stdlib.h>

#include <gnutls/gnutls.h>

#include "crypto.h"
#include "service.h"

struct peer {
	struct peer_limits *limits;
	struct crypto_cert *cert; /* of the connection; NULL until the first request */
	struct kms_hash spki;
	int64_t from_unix_s, until_unix_s;
	bool counted; /* among the connections of `principal` */
	struct kms_id principal;
	size_t secret; /* bytes that the request at work was granted */
};

kms_err peer_new(struct peer_limits *limits, struct peer **ret_peer)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	peer->limits = limits;
	*ret_peer = peer;
	return KMS_OK;
}

void peer_free(struct peer **peer)
{
	if (peer == NULL || *peer == NULL) {
		return;
	}
	if ((*peer)->counted) {
		limits_disconnect((*peer)->limits, &(*peer)->principal);
	}
	crypto_cert_free(&(*peer)->cert);
	free(*peer);
	*peer = NULL;
}

/* The leaf of what the client sent, and what is asked of it again and again. */
static kms_err read_cert(struct peer *peer, gnutls_session_t session)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	if (chain == NULL || count == 0) {
		return KMS_ERR(UNAUTHENTICATED);
	}
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_TRY(crypto_cert_parse_der((struct kms_bytes){chain[0].data, chain[0].size}, &cert));
	KMS_TRY(crypto_cert_spki_hash(cert, &peer->spki));
	KMS_TRY(crypto_cert_times(cert, &peer->from_unix_s, &peer->until_unix_s));
	peer->cert = kms_take(&cert);
	return KMS_OK;
}

static kms_err check_issuer(
	struct peer *peer, struct service *service, const struct model_principal *who)
{
	KMS_AUTO_FREE char *ca_pem = NULL;
	KMS_AUTO(crypto_cert) ca = NULL;
	KMS_TRY(service_tenant_ca(service, &who->tenant, &ca_pem));
	KMS_TRY(crypto_cert_parse_pem(kms_bytes_str(ca_pem), &ca));
	return crypto_cert_check(peer->cert, ca, kms_now_unix_ms() / 1000);
}

/* A connection has one certificate, and a public key one principal: checked and counted once. */
static kms_err admit(struct peer *peer, struct service *service, const struct model_principal *who)
{
	if (peer->counted) {
		return kms_id_equal(&peer->principal, &who->id) ? KMS_OK : KMS_ERR(UNAUTHENTICATED);
	}
	kms_err err = check_issuer(peer, service, who);
	if (kms_is(err, KMS_CODE_DENIED) || kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_ERR(UNAUTHENTICATED);
	}
	KMS_TRY(err);
	KMS_TRY(limits_connect(peer->limits, &who->id));
	peer->principal = who->id;
	peer->counted = true;
	return KMS_OK;
}

kms_err peer_enter(struct peer *peer, struct service *service, gnutls_session_t session,
	struct model_principal *ret_who)
{
	struct model_principal who;
	if (peer->cert == NULL) {
		KMS_TRY(read_cert(peer, session));
	}
	/* RFC 5280 section 4.1.2.5: a connection does not outlive its certificate. */
	int64_t now = kms_now_unix_ms() / 1000;
	if (now < peer->from_unix_s || now > peer->until_unix_s) {
		return KMS_ERR(UNAUTHENTICATED);
	}
	KMS_TRY(service_principal(service, &peer->spki, &who));
	KMS_TRY(admit(peer, service, &who));
	KMS_TRY(limits_begin(peer->limits, &who.id));
	*ret_who = who;
	return KMS_OK;
}

void peer_leave(struct peer *peer)
{
	limits_end(peer->limits, &peer->principal, peer->secret);
	peer->secret = 0;
}

kms_err peer_take_secret(struct peer *peer, size_t bytes)
{
	KMS_TRY(limits_secret(peer->limits, &peer->principal, bytes));
	peer->secret += bytes;
	return KMS_OK;
}
