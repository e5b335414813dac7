/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA P-256 with SHA-256 (FIPS 186-5), as 64 bytes r || s or as DER, and Ed25519 signatures of
 * others. Runs in every program. It must never accept a second encoding of a signature.
 */
#include <string.h>

#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "crypto_int.h"

enum {
	SCALAR = CRYPTO_SIG_RAW / 2,
	SIG_DER_MAX = 72, /* two INTEGERs of 33 bytes in a SEQUENCE */
};

static void ecdsa_sig_cleanup(ECDSA_SIG **sig)
{
	ECDSA_SIG_free(*sig);
	*sig = NULL;
}
#define AUTO_ECDSA_SIG __attribute__((cleanup(ecdsa_sig_cleanup))) ECDSA_SIG *

/* The DER of r and s, at most SIG_DER_MAX bytes. */
static kms_err der_of(
	const uint8_t raw[CRYPTO_SIG_RAW], uint8_t ret_der[SIG_DER_MAX], size_t *ret_len)
{
	AUTO_ECDSA_SIG sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, SCALAR, NULL);
	BIGNUM *s = BN_bin2bn(raw + SCALAR, SCALAR, NULL);
	if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return crypto_fail("encoding a signature");
	}
	uint8_t *at = ret_der;
	int len = i2d_ECDSA_SIG(sig, &at);
	if (len <= 0) {
		return crypto_fail("encoding a signature");
	}
	*ret_len = (size_t)len;
	return KMS_OK;
}

kms_err crypto_sig_raw_to_der(const uint8_t raw[CRYPTO_SIG_RAW], struct kms_buf *ret_der)
{
	uint8_t der[SIG_DER_MAX];
	size_t len = 0;
	KMS_TRY(der_of(raw, der, &len));
	return kms_buf_copy((struct kms_bytes){der, len}, ret_der);
}

kms_err crypto_sig_der_to_raw(struct kms_bytes der, uint8_t ret_raw[CRYPTO_SIG_RAW])
{
	if (der.len > SIG_DER_MAX) {
		return KMS_ERR(FORMAT);
	}
	const uint8_t *at = der.ptr;
	AUTO_ECDSA_SIG sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
	uint8_t raw[CRYPTO_SIG_RAW];
	if (sig == NULL || BN_is_negative(ECDSA_SIG_get0_r(sig)) ||
		BN_is_negative(ECDSA_SIG_get0_s(sig)) ||
		BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, SCALAR) != SCALAR ||
		BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + SCALAR, SCALAR) != SCALAR) {
		ERR_clear_error();
		return KMS_ERR(FORMAT);
	}
	/* OpenSSL reads BER; X.690 section 10 leaves one encoding, so make it and compare. */
	uint8_t again[SIG_DER_MAX];
	size_t len = 0;
	KMS_TRY(der_of(raw, again, &len));
	if (!kms_bytes_equal(der, (struct kms_bytes){again, len})) {
		return KMS_ERR(FORMAT);
	}
	memcpy(ret_raw, raw, sizeof(raw));
	return KMS_OK;
}

kms_err crypto_sign(const struct crypto_signer *signer, struct kms_bytes message,
	uint8_t ret_raw[CRYPTO_SIG_RAW])
{
	uint8_t der[SIG_DER_MAX];
	size_t len = sizeof(der);
	CRYPTO_AUTO_MD_CTX ctx = EVP_MD_CTX_new();
	if (ctx == NULL ||
		EVP_DigestSignInit_ex(
			ctx, NULL, "SHA256", NULL, NULL, crypto_signer_pkey(signer), NULL) != 1 ||
		EVP_DigestSign(ctx, der, &len, message.ptr, message.len) != 1) {
		return crypto_fail("signing");
	}
	return crypto_sig_der_to_raw((struct kms_bytes){der, len}, ret_raw);
}

kms_err crypto_pkey_verify(EVP_PKEY *pkey, struct kms_bytes message, struct kms_bytes sig)
{
	CRYPTO_AUTO_MD_CTX ctx = EVP_MD_CTX_new();
	if (ctx == NULL ||
		EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, pkey, NULL) != 1) {
		return crypto_fail("verifying a signature");
	}
	int verdict = EVP_DigestVerify(ctx, sig.ptr, sig.len, message.ptr, message.len);
	ERR_clear_error();
	return verdict == 1 ? KMS_OK : KMS_ERR(INTEGRITY);
}

kms_err crypto_verify_raw(
	struct kms_bytes spki_der, struct kms_bytes message, const uint8_t raw[CRYPTO_SIG_RAW])
{
	CRYPTO_AUTO_PKEY pkey = NULL;
	KMS_TRY(crypto_pkey_of_spki(spki_der, &pkey));
	uint8_t der[SIG_DER_MAX];
	size_t len = 0;
	KMS_TRY(der_of(raw, der, &len));
	return crypto_pkey_verify(pkey, message, (struct kms_bytes){der, len});
}

kms_err crypto_verify_der(
	struct kms_bytes spki_der, struct kms_bytes message, struct kms_bytes sig_der)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	kms_err err = crypto_sig_der_to_raw(sig_der, raw);
	if (kms_is(err, KMS_CODE_FORMAT)) {
		return KMS_ERR(INTEGRITY); /* not DER: no signature of this key */
	}
	KMS_TRY(err);
	return crypto_verify_raw(spki_der, message, raw);
}

kms_err crypto_verify_ed25519(
	const uint8_t key[CRYPTO_ED25519_KEY], struct kms_bytes message, struct kms_bytes sig)
{
	CRYPTO_AUTO_PKEY pkey =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, CRYPTO_ED25519_KEY);
	CRYPTO_AUTO_MD_CTX ctx = EVP_MD_CTX_new();
	if (pkey == NULL || ctx == NULL ||
		EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, NULL) != 1) {
		return crypto_fail("verifying an Ed25519 signature");
	}
	/* Of another length, with S not below the group's order, or a key that is no point: not
	 * verified (RFC 8032 section 5.1.7). */
	int verdict = EVP_DigestVerify(ctx, sig.ptr, sig.len, message.ptr, message.len);
	ERR_clear_error();
	return verdict == 1 ? KMS_OK : KMS_ERR(INTEGRITY);
}
