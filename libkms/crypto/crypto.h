/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto: hashes, HKDF, AES-256-GCM, ECDSA P-256, Ed25519 and X.509 names, all over OpenSSL's EVP.
 * The only module that includes <openssl/evp.h>. OpenSSL's errors are translated and logged here.
 */
#ifndef KMS_CRYPTO_H
#define KMS_CRYPTO_H

#include "base.h"

/* ---- SHA-256 and HKDF ---- */

/* SHA-256 over the concatenation of count byte ranges. */
kms_err crypto_sha256(const struct kms_bytes *parts, size_t count, struct kms_hash *ret_hash);
/* SHA-256 of one range. */
kms_err crypto_sha256_one(struct kms_bytes bytes, struct kms_hash *ret_hash);

/* HKDF-SHA256 (RFC 5869), extract and expand, into a new secret of out_len bytes. */
kms_err crypto_hkdf(const struct kms_secret *key, struct kms_bytes salt, struct kms_bytes info,
	size_t out_len, struct kms_secret **ret_out);

/* ---- AES-256-GCM (SP 800-38D), 12-byte nonces, 16-byte tags ---- */

enum { CRYPTO_GCM_NONCE = 12, CRYPTO_GCM_TAG = 16, CRYPTO_KEY_BYTES = 32 };
/* A key schedule; one thread at a time. Freed wiped. */
struct crypto_gcm;
kms_err crypto_gcm_new(const struct kms_secret *key, struct crypto_gcm **ret_gcm); /* 32 bytes */
void crypto_gcm_free(struct crypto_gcm **gcm);
/* out has room for in.len bytes and may be in's own memory. */
kms_err crypto_gcm_seal(struct crypto_gcm *gcm, const uint8_t nonce[CRYPTO_GCM_NONCE],
	struct kms_bytes aad, struct kms_bytes in, uint8_t *ret_out,
	uint8_t ret_tag[CRYPTO_GCM_TAG]);
/* INTEGRITY when the tag does not match; out is wiped then. */
kms_err crypto_gcm_open(struct crypto_gcm *gcm, const uint8_t nonce[CRYPTO_GCM_NONCE],
	struct kms_bytes aad, struct kms_bytes in, const uint8_t tag[CRYPTO_GCM_TAG],
	uint8_t *ret_out);

/* ---- ECDSA P-256 with SHA-256 (FIPS 186-5) ---- */

enum { CRYPTO_SIG_RAW = 64 };
/* A private key; from a PEM file (PKCS#8 or SEC 1, not encrypted), mode checked as a secret. */
struct crypto_signer;
kms_err crypto_signer_read(const char *pem_path, struct crypto_signer **ret_signer);
/* A new key, written to pem_path with mode 0600 (EXISTS when the file is there). */
kms_err crypto_signer_generate(const char *pem_path, struct crypto_signer **ret_signer);
void crypto_signer_free(struct crypto_signer **signer);
/* r || s, 32 bytes each. */
kms_err crypto_sign(const struct crypto_signer *signer, struct kms_bytes message,
	uint8_t ret_raw[CRYPTO_SIG_RAW]);
/* OpenSSL's own handle, borrowed: for libkms/channel alone, whose SSL_CTX takes nothing else. */
struct evp_pkey_st *crypto_signer_pkey(const struct crypto_signer *signer);
/* A private key that lives elsewhere, as OpenSSL's own handle: for cli alone, whose smart cards
 * come through libp11. Takes a reference; ARGUMENT when it is not P-256. */
kms_err crypto_signer_of_pkey(struct evp_pkey_st *pkey, struct crypto_signer **ret_signer);
/* DER SubjectPublicKeyInfo of the signer. */
kms_err crypto_signer_spki(const struct crypto_signer *signer, struct kms_buf *ret_der);

/* INTEGRITY when the signature is not that of the P-256 key in this DER SPKI. */
kms_err crypto_verify_raw(
	struct kms_bytes spki_der, struct kms_bytes message, const uint8_t raw[CRYPTO_SIG_RAW]);
kms_err crypto_verify_der(
	struct kms_bytes spki_der, struct kms_bytes message, struct kms_bytes sig_der);
/* ECDSA-Sig-Value of RFC 3279 section 2.2.3, and back; strict DER. */
kms_err crypto_sig_raw_to_der(const uint8_t raw[CRYPTO_SIG_RAW], struct kms_buf *ret_der);
kms_err crypto_sig_der_to_raw(struct kms_bytes der, uint8_t ret_raw[CRYPTO_SIG_RAW]);
/* The SPKI of an uncompressed point (04 || x || y), as PKCS#11's CKA_EC_POINT holds. */
kms_err crypto_spki_of_point(const uint8_t point[65], struct kms_buf *ret_der);

/* ---- Ed25519 (RFC 8032): verified here, signed in tokens only ---- */

enum { CRYPTO_ED25519_KEY = 32 };
/* INTEGRITY when it is not the signature, R || S, of that public key. */
kms_err crypto_verify_ed25519(
	const uint8_t key[CRYPTO_ED25519_KEY], struct kms_bytes message, struct kms_bytes sig);

/* ---- X.509 (RFC 5280) ---- */

enum { CRYPTO_CERT_MAX = 64 * 1024 }; /* bytes of a certificate, or of its file */
struct crypto_cert;
kms_err crypto_cert_read(const char *pem_path, struct crypto_cert **ret_cert); /* first in file */
kms_err crypto_cert_parse_pem(struct kms_bytes pem, struct crypto_cert **ret_cert);
kms_err crypto_cert_parse_der(struct kms_bytes der, struct crypto_cert **ret_cert);
void crypto_cert_free(struct crypto_cert **cert);
kms_err crypto_cert_der(const struct crypto_cert *cert, struct kms_buf *ret_der);
kms_err crypto_cert_spki(const struct crypto_cert *cert, struct kms_buf *ret_der);
/* SHA-256 of the DER SPKI: how certificates are pinned and principals are found. */
kms_err crypto_cert_spki_hash(const struct crypto_cert *cert, struct kms_hash *ret_hash);
/* notBefore and notAfter. */
kms_err crypto_cert_times(
	const struct crypto_cert *cert, int64_t *ret_from_unix_s, int64_t *ret_until_unix_s);
/* The subject's common name, "" when it has none. */
kms_err crypto_cert_name(const struct crypto_cert *cert, char **ret_name);
/* Does extendedKeyUsage hold this object identifier, dotted? */
kms_err crypto_cert_has_purpose(const struct crypto_cert *cert, const char *oid, bool *ret_has);
/*
 * Is cert issued, directly, by ca (a certificate with CA:TRUE), signature and validity times at
 * now included? DENIED with a logged reason when not.
 */
kms_err crypto_cert_check(
	const struct crypto_cert *cert, const struct crypto_cert *ca, int64_t now_unix_s);
/* message is signed by the CA's own key (ECDSA or RSA with SHA-256, as `openssl dgst -sign` does).
 * INTEGRITY when not. */
kms_err crypto_cert_verify(
	const struct crypto_cert *cert, struct kms_bytes message, struct kms_bytes signature);
/* A PKCS#10 request (RFC 2986) for that common name (UTF-8, 1 .. 64 bytes, else ARGUMENT), PEM. */
kms_err crypto_request_make(
	const struct crypto_signer *signer, const char *common_name, struct kms_buf *ret_pem);

/*
 * Extended key usage that a storage principal's certificate must carry where the token's owner
 * asks for it (architecture: "the purpose"). ITU-T X.667: the random UUID
 * 3d73528c-158a-4801-9822-e89b3ddfa86c as an integer under 2.25.
 */
#define CRYPTO_PURPOSE_STORAGE "2.25.81681696137807981867546420679643474028"

#endif
