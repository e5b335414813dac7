/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 certificates (RFC 5280): parse, name, pin. Runs in every program. It must never decide
 * who somebody is by a name: names are for people, the SPKI hash is the identity.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "cert_int.h"

/* Takes x509. */
static kms_err cert_of(X509 *x509, struct crypto_cert **ret_cert)
{
	struct crypto_cert *cert = calloc(1, sizeof(*cert));
	if (cert == NULL) {
		X509_free(x509);
		return KMS_ERR(NO_MEMORY);
	}
	cert->x509 = x509;
	*ret_cert = cert;
	return KMS_OK;
}

void crypto_cert_free(struct crypto_cert **cert)
{
	if (*cert == NULL) {
		return;
	}
	X509_free((*cert)->x509);
	free(*cert);
	*cert = NULL;
}

kms_err crypto_cert_parse_pem(struct kms_bytes pem, struct crypto_cert **ret_cert)
{
	if (pem.len > CRYPTO_CERT_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	CRYPTO_AUTO_BIO bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	if (bio == NULL) {
		return crypto_fail("opening a certificate");
	}
	X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (x509 == NULL) {
		return crypto_refuse("certificate", KMS_ERR(FORMAT));
	}
	return cert_of(x509, ret_cert);
}

kms_err crypto_cert_read(const char *pem_path, struct crypto_cert **ret_cert)
{
	KMS_AUTO_BUF pem = {0};
	KMS_TRY(kms_file_read(pem_path, CRYPTO_CERT_MAX, &pem));
	kms_err err = crypto_cert_parse_pem(kms_buf_bytes(&pem), ret_cert);
	if (kms_is(err, KMS_CODE_FORMAT)) {
		kms_log(KMS_LOG_ERROR, "%s: no certificate in it", pem_path);
	}
	return err;
}

kms_err crypto_cert_parse_der(struct kms_bytes der, struct crypto_cert **ret_cert)
{
	if (der.len > CRYPTO_CERT_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	const uint8_t *at = der.ptr;
	X509 *x509 = d2i_X509(NULL, &at, (long)der.len);
	if (x509 == NULL) {
		return crypto_refuse("certificate", KMS_ERR(FORMAT));
	}
	if (at != der.ptr + der.len) {
		X509_free(x509);
		return KMS_ERR(FORMAT);
	}
	return cert_of(x509, ret_cert);
}

kms_err crypto_cert_der(const struct crypto_cert *cert, struct kms_buf *ret_der)
{
	uint8_t *der = NULL;
	int len = i2d_X509(cert->x509, &der);
	if (len <= 0) {
		return crypto_fail("encoding a certificate");
	}
	kms_err err = kms_buf_copy((struct kms_bytes){der, (size_t)len}, ret_der);
	OPENSSL_free(der);
	return err;
}

kms_err crypto_cert_spki(const struct crypto_cert *cert, struct kms_buf *ret_der)
{
	uint8_t *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert->x509), &der);
	if (len <= 0) {
		return crypto_fail("encoding a public key");
	}
	kms_err err = kms_buf_copy((struct kms_bytes){der, (size_t)len}, ret_der);
	OPENSSL_free(der);
	return err;
}

kms_err crypto_cert_spki_hash(const struct crypto_cert *cert, struct kms_hash *ret_hash)
{
	KMS_AUTO_BUF der = {0};
	KMS_TRY(crypto_cert_spki(cert, &der));
	return crypto_sha256_one(kms_buf_bytes(&der), ret_hash);
}

static kms_err unix_of(const ASN1_TIME *time, int64_t *ret_unix_s)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(time, &tm) != 1) {
		return crypto_refuse("time in a certificate", KMS_ERR(FORMAT));
	}
	*ret_unix_s = timegm(&tm); /* RFC 5280 section 4.1.2.5: always UTC */
	return KMS_OK;
}

kms_err crypto_cert_times(
	const struct crypto_cert *cert, int64_t *ret_from_unix_s, int64_t *ret_until_unix_s)
{
	int64_t from = 0;
	int64_t until = 0;
	KMS_TRY(unix_of(X509_get0_notBefore(cert->x509), &from));
	KMS_TRY(unix_of(X509_get0_notAfter(cert->x509), &until));
	*ret_from_unix_s = from;
	*ret_until_unix_s = until;
	return KMS_OK;
}

kms_err crypto_cert_name(const struct crypto_cert *cert, char **ret_name)
{
	const X509_NAME *subject = X509_get_subject_name(cert->x509);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0) {
		return kms_text(ret_name, "%s", "");
	}
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	uint8_t *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8, value);
	if (len < 0) {
		return crypto_refuse("common name in a certificate", KMS_ERR(FORMAT));
	}
	/* A NUL inside would make two names look alike. */
	kms_err err = strlen((const char *)utf8) == (size_t)len
			      ? kms_text(ret_name, "%s", (const char *)utf8)
			      : KMS_ERR(FORMAT);
	OPENSSL_free(utf8);
	return err;
}

kms_err crypto_cert_has_purpose(const struct crypto_cert *cert, const char *oid, bool *ret_has)
{
	ASN1_OBJECT *wanted = OBJ_txt2obj(oid, 1);
	if (wanted == NULL) {
		return crypto_refuse("object identifier", KMS_ERR(ARGUMENT));
	}
	int found = 0;
	EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(cert->x509, NID_ext_key_usage, &found, NULL);
	bool has = false;
	/* RFC 5280 section 4.2.1.12; anyExtendedKeyUsage names no purpose of ours. */
	for (int i = 0; usage != NULL && i < sk_ASN1_OBJECT_num(usage); i++) {
		has = has || OBJ_cmp(sk_ASN1_OBJECT_value(usage, i), wanted) == 0;
	}
	bool absent = usage == NULL && found == -1;
	bool bad = usage == NULL && !absent; /* twice there, or not decodable */
	sk_ASN1_OBJECT_pop_free(usage, ASN1_OBJECT_free);
	ASN1_OBJECT_free(wanted);
	if (bad) {
		return crypto_refuse("extended key usage in a certificate", KMS_ERR(FORMAT));
	}
	*ret_has = has;
	return KMS_OK;
}
