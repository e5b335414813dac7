/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What crypto's own files share: fetched algorithms and the translation of OpenSSL's errors.
 */
#ifndef KMS_CRYPTO_INT_H
#define KMS_CRYPTO_INT_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "crypto.h"

/*
 * Algorithms looked up once for the life of the process, never changed after that: a fetch by
 * name costs more than the hash of a Merkle node. NULL where the provider has none.
 */
struct crypto_algs {
	EVP_MD *sha256;
	EVP_CIPHER *aes_256_gcm;
	EVP_KDF *hkdf;
};
const struct crypto_algs *crypto_algs(void);

/* Log what was tried with OpenSSL's reason, empty its error queue; INTERNAL, or NO_MEMORY. */
kms_err crypto_fail(const char *what);
/* The same for bytes from outside: logged, the queue emptied, and that code returned. */
kms_err crypto_refuse(const char *what, kms_err err);

/* Everything that was written to a memory BIO. */
kms_err crypto_bio_take(BIO *bio, struct kms_buf *ret_buf);

/* Scope ends for OpenSSL's own types. */
void crypto_bio_cleanup(BIO **bio);
void crypto_md_ctx_cleanup(EVP_MD_CTX **ctx);
void crypto_pkey_cleanup(EVP_PKEY **pkey);
#define CRYPTO_AUTO_BIO __attribute__((cleanup(crypto_bio_cleanup))) BIO *
#define CRYPTO_AUTO_MD_CTX __attribute__((cleanup(crypto_md_ctx_cleanup))) EVP_MD_CTX *
#define CRYPTO_AUTO_PKEY __attribute__((cleanup(crypto_pkey_cleanup))) EVP_PKEY *

bool crypto_pkey_is_p256(const EVP_PKEY *pkey);
/* FORMAT for anything but an uncompressed point of P-256 in DER (RFC 5480). */
kms_err crypto_pkey_of_spki(struct kms_bytes der, EVP_PKEY **ret_pkey);
/* With SHA-256, ECDSA (DER) or RSA (PKCS #1 v1.5); INTEGRITY when it does not match. */
kms_err crypto_pkey_verify(EVP_PKEY *pkey, struct kms_bytes message, struct kms_bytes sig);

#endif
