/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4) and HKDF-SHA256 (RFC 5869). Runs in every program. It must never leave
 * key material outside secret memory; what EVP keeps of it is wiped when its context is freed.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "crypto_int.h"

enum { HKDF_OUT_MAX = 255 * 32 }; /* RFC 5869 section 2.3 */

kms_err crypto_sha256(const struct kms_bytes *parts, size_t count, struct kms_hash *ret_hash)
{
	struct kms_hash hash;
	CRYPTO_AUTO_MD_CTX ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_DigestInit_ex2(ctx, crypto_algs()->sha256, NULL) != 1) {
		return crypto_fail("starting SHA-256");
	}
	for (size_t i = 0; i < count; i++) {
		if (EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len) != 1) {
			return crypto_fail("SHA-256");
		}
	}
	if (EVP_DigestFinal_ex(ctx, hash.b, NULL) != 1) {
		return crypto_fail("ending SHA-256");
	}
	*ret_hash = hash;
	return KMS_OK;
}

kms_err crypto_sha256_one(struct kms_bytes bytes, struct kms_hash *ret_hash)
{
	return crypto_sha256(&bytes, 1, ret_hash);
}

static OSSL_PARAM octets(const char *name, struct kms_bytes bytes)
{
	/* OSSL_PARAM is not const-correct; EVP_KDF_derive only reads its parameters. */
	union {
		const uint8_t *in;
		void *out;
	} ptr = {.in = bytes.ptr};
	return OSSL_PARAM_construct_octet_string(name, ptr.out, bytes.len);
}

kms_err crypto_hkdf(const struct kms_secret *key, struct kms_bytes salt, struct kms_bytes info,
	size_t out_len, struct kms_secret **ret_out)
{
	if (out_len > HKDF_OUT_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	if (kms_secret_len(key) == 0 || out_len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO(kms_secret) out = NULL;
	KMS_TRY(kms_secret_new(out_len, &out));

	char digest[] = "SHA256";
	OSSL_PARAM params[5];
	size_t n = 0;
	params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	params[n++] = octets(OSSL_KDF_PARAM_KEY, kms_secret_bytes(key));
	if (salt.len > 0) { /* none is the same as an empty one: RFC 5869 section 2.2 */
		params[n++] = octets(OSSL_KDF_PARAM_SALT, salt);
	}
	if (info.len > 0) {
		params[n++] = octets(OSSL_KDF_PARAM_INFO, info);
	}
	params[n] = OSSL_PARAM_construct_end();

	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(crypto_algs()->hkdf);
	bool done = ctx != NULL && EVP_KDF_derive(ctx, kms_secret_ptr(out), out_len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	if (!done) {
		return crypto_fail("HKDF");
	}
	*ret_out = kms_take(&out);
	return KMS_OK;
}
