/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who issued a certificate, what its key signed, and asking for one. Runs in every program. It
 * must never look at the system's trust store: a tenant's CA is the one that was pinned.
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "cert_int.h"

enum {
	NAME_MAX_BYTES = 64, /* RFC 5280 appendix A: ub-common-name */
	/* SECURITY of SSL_CTX_set_security_level(3): 112 bits; no SHA-1, RSA of 2048 bits and up.
	 */
	AUTH_LEVEL = 2,
};

/* RFC 5280 section 6.1 with ca as the trust anchor and nothing between; 1 when it holds. */
static int path_verify(X509_STORE_CTX *ctx, X509_STORE *store, const struct crypto_cert *cert,
	const struct crypto_cert *ca, int64_t now_unix_s)
{
	if (X509_STORE_add_cert(store, ca->x509) != 1 ||
		X509_STORE_CTX_init(ctx, store, cert->x509, NULL) != 1) {
		return -1;
	}
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, now_unix_s);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	/* The pinned CA is the anchor, even if another one signed it. */
	if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1) {
		return -1;
	}
	return X509_verify_cert(ctx);
}

kms_err crypto_cert_check(
	const struct crypto_cert *cert, const struct crypto_cert *ca, int64_t now_unix_s)
{
	/* X509_verify_cert would take a version 1 certificate, or the anchor itself. */
	if (X509_check_ca(ca->x509) != 1) {
		kms_log(KMS_LOG_WARNING, "certificate refused: its CA is none (no CA:TRUE)");
		return KMS_ERR(DENIED);
	}
	if (X509_cmp(cert->x509, ca->x509) == 0) {
		kms_log(KMS_LOG_WARNING, "certificate refused: it is the CA's own");
		return KMS_ERR(DENIED);
	}
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	kms_err err = KMS_OK;
	int verdict =
		store == NULL || ctx == NULL ? -1 : path_verify(ctx, store, cert, ca, now_unix_s);
	if (verdict < 0) {
		err = crypto_fail("checking a certificate");
	} else if (verdict == 0) {
		kms_log(KMS_LOG_WARNING, "certificate refused: %s",
			X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
		err = KMS_ERR(DENIED);
	}
	ERR_clear_error();
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return err;
}

kms_err crypto_cert_verify(
	const struct crypto_cert *cert, struct kms_bytes message, struct kms_bytes signature)
{
	EVP_PKEY *pkey = X509_get0_pubkey(cert->x509);
	if (pkey == NULL) {
		return crypto_refuse("public key of a certificate", KMS_ERR(FORMAT));
	}
	if (EVP_PKEY_is_a(pkey, "EC") != 1 && EVP_PKEY_is_a(pkey, "RSA") != 1) {
		return KMS_ERR(UNSUPPORTED);
	}
	return crypto_pkey_verify(pkey, message, signature);
}

static kms_err request_fill(X509_REQ *request, EVP_PKEY *pkey, const char *common_name)
{
	X509_NAME *name = X509_REQ_get_subject_name(request); /* the request's own */
	if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
		    (const unsigned char *)common_name, -1, -1, 0) != 1) {
		return crypto_refuse("common name", KMS_ERR(ARGUMENT));
	}
	if (X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
		X509_REQ_set_pubkey(request, pkey) != 1 ||
		X509_REQ_sign(request, pkey, crypto_algs()->sha256) <= 0) {
		return crypto_fail("making a certificate request");
	}
	return KMS_OK;
}

static void request_cleanup(X509_REQ **request)
{
	X509_REQ_free(*request);
	*request = NULL;
}

kms_err crypto_request_make(
	const struct crypto_signer *signer, const char *common_name, struct kms_buf *ret_pem)
{
	if (common_name[0] == '\0' || strlen(common_name) > NAME_MAX_BYTES) {
		return KMS_ERR(ARGUMENT);
	}
	CRYPTO_AUTO_BIO bio = BIO_new(BIO_s_mem());
	__attribute__((cleanup(request_cleanup))) X509_REQ *request = X509_REQ_new();
	if (bio == NULL || request == NULL) {
		return crypto_fail("making a certificate request");
	}
	KMS_TRY(request_fill(request, crypto_signer_pkey(signer), common_name));
	if (PEM_write_bio_X509_REQ(bio, request) != 1) {
		return crypto_fail("writing a certificate request");
	}
	return crypto_bio_take(bio, ret_pem);
}
