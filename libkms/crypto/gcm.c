/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM (SP 800-38D) with 12-byte nonces and whole tags. Runs in every program. It must
 * never choose a nonce, and never leave plaintext in the caller's memory when the tag is wrong.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "crypto_int.h"

struct crypto_gcm {
	EVP_CIPHER_CTX *ctx; /* holds the key schedule; GCM's is the same for both directions */
};

kms_err crypto_gcm_new(const struct kms_secret *key, struct crypto_gcm **ret_gcm)
{
	if (kms_secret_len(key) != CRYPTO_KEY_BYTES) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO(crypto_gcm) gcm = calloc(1, sizeof(*gcm));
	if (gcm == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	gcm->ctx = EVP_CIPHER_CTX_new();
	if (gcm->ctx == NULL || EVP_EncryptInit_ex2(gcm->ctx, crypto_algs()->aes_256_gcm,
					kms_secret_cptr(key), NULL, NULL) != 1) {
		return crypto_fail("making an AES-256-GCM key schedule");
	}
	*ret_gcm = kms_take(&gcm);
	return KMS_OK;
}

void crypto_gcm_free(struct crypto_gcm **gcm)
{
	if (*gcm == NULL) {
		return;
	}
	EVP_CIPHER_CTX_free((*gcm)->ctx); /* wipes the schedule */
	free(*gcm);
	*gcm = NULL;
}

/* Nonce, AAD and text, in either direction; what is left is the tag. */
static bool run(struct crypto_gcm *gcm, int encrypt, const uint8_t nonce[CRYPTO_GCM_NONCE],
	struct kms_bytes aad, struct kms_bytes in, uint8_t *out)
{
	int len = 0;
	if (EVP_CipherInit_ex2(gcm->ctx, NULL, NULL, nonce, encrypt, NULL) != 1) {
		return false;
	}
	if (aad.len > 0 && EVP_CipherUpdate(gcm->ctx, NULL, &len, aad.ptr, (int)aad.len) != 1) {
		return false;
	}
	return in.len == 0 || EVP_CipherUpdate(gcm->ctx, out, &len, in.ptr, (int)in.len) == 1;
}

kms_err crypto_gcm_seal(struct crypto_gcm *gcm, const uint8_t nonce[CRYPTO_GCM_NONCE],
	struct kms_bytes aad, struct kms_bytes in, uint8_t *ret_out,
	uint8_t ret_tag[CRYPTO_GCM_TAG])
{
	if (aad.len > INT_MAX || in.len > INT_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	uint8_t rest[CRYPTO_GCM_TAG]; /* GCM writes nothing here, EVP wants a place */
	int len = 0;
	if (!run(gcm, 1, nonce, aad, in, ret_out) ||
		EVP_CipherFinal_ex(gcm->ctx, rest, &len) != 1 ||
		EVP_CIPHER_CTX_ctrl(gcm->ctx, EVP_CTRL_AEAD_GET_TAG, CRYPTO_GCM_TAG, ret_tag) !=
			1) {
		if (in.len > 0) {
			explicit_bzero(ret_out, in.len);
		}
		return crypto_fail("AES-256-GCM encryption");
	}
	return KMS_OK;
}

kms_err crypto_gcm_open(struct crypto_gcm *gcm, const uint8_t nonce[CRYPTO_GCM_NONCE],
	struct kms_bytes aad, struct kms_bytes in, const uint8_t tag[CRYPTO_GCM_TAG],
	uint8_t *ret_out)
{
	if (aad.len > INT_MAX || in.len > INT_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	uint8_t expected[CRYPTO_GCM_TAG];
	memcpy(expected, tag, sizeof(expected));
	uint8_t rest[CRYPTO_GCM_TAG];
	int len = 0;
	kms_err err = KMS_OK;
	if (!run(gcm, 0, nonce, aad, in, ret_out) ||
		EVP_CIPHER_CTX_ctrl(gcm->ctx, EVP_CTRL_AEAD_SET_TAG, CRYPTO_GCM_TAG, expected) !=
			1) {
		err = crypto_fail("AES-256-GCM decryption");
	} else if (EVP_CipherFinal_ex(gcm->ctx, rest, &len) != 1) {
		ERR_clear_error();
		err = KMS_ERR(INTEGRITY); /* SP 800-38D section 7.2, step 8 */
	}
	if (!kms_is_ok(err) && in.len > 0) {
		explicit_bzero(ret_out, in.len);
	}
	return err;
}
