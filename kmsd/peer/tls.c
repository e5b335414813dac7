/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS of the listeners. Runs in kmsd. It must never take a certificate that was not asked to prove
 * itself, nor a version or cipher beside the one that is tested. No tickets: GnuTLS sends none
 * before a server enables them.
 */
#include "peer.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "crypto.h"

const char peer_tls_priorities[] =
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM:-GROUP-ALL:+GROUP-SECP256R1";

/* RFC 5280 section 4.2.1.12. GnuTLS itself cannot read a purpose whose arcs have more than 64 bits,
 * as those under 2.25 have, and would refuse every storage certificate. */
static bool is_for_clients(gnutls_session_t session)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	KMS_AUTO(crypto_cert) cert = NULL;
	bool has = false;
	return chain != NULL && count > 0 &&
	       kms_is_ok(crypto_cert_parse_der(
		       (struct kms_bytes){chain[0].data, chain[0].size}, &cert)) &&
	       kms_is_ok(crypto_cert_has_purpose(cert, GNUTLS_KP_TLS_WWW_CLIENT, &has)) && has;
}

/* GnuTLS ends the handshake when this is not 0. */
static int verify_client(gnutls_session_t session)
{
	unsigned status = 0;
	int rc = gnutls_certificate_verify_peers(session, NULL, 0, &status);
	if (rc != GNUTLS_E_SUCCESS || status != 0) {
		kms_log(KMS_LOG_INFO, "client certificate refused: %s, status %#x",
			rc == GNUTLS_E_SUCCESS ? "not trusted" : gnutls_strerror(rc), status);
		return GNUTLS_E_CERTIFICATE_ERROR;
	}
	if (!is_for_clients(session)) {
		kms_log(KMS_LOG_INFO, "client certificate refused: its purposes lack clientAuth");
		return GNUTLS_E_CERTIFICATE_ERROR;
	}
	return 0;
}

void peer_tls_require(gnutls_session_t session)
{
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_function(session, verify_client);
}
