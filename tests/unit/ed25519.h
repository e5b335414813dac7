/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ed25519 signatures as a system token makes them, straight from OpenSSL: our own code only
 * verifies. A key is 32 equal bytes of its private half.
 */
#ifndef TEST_ED25519_H
#define TEST_ED25519_H

#include <check.h>
#include <string.h>

#include <openssl/evp.h>

#include "tlog.h"

static inline EVP_PKEY *ed25519_key(uint8_t fill)
{
	uint8_t seed[32];
	memset(seed, fill, sizeof(seed));
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	ck_assert_ptr_nonnull(key);
	return key;
}

static inline struct tlog_vkey ed25519_vkey(const char *name, uint8_t fill)
{
	uint8_t public[32];
	size_t len = sizeof(public);
	struct tlog_vkey vkey;
	EVP_PKEY *key = ed25519_key(fill);
	ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, public, &len), 1);
	EVP_PKEY_free(key);
	ck_assert(kms_is_ok(tlog_vkey_make_ed25519(name, public, &vkey)));
	return vkey;
}

static inline void ed25519_sign(uint8_t fill, struct kms_bytes text, uint8_t ret_sig[64])
{
	size_t len = 64;
	EVP_PKEY *key = ed25519_key(fill);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ck_assert_ptr_nonnull(ctx);
	ck_assert_int_eq(EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL), 1);
	ck_assert_int_eq(EVP_DigestSign(ctx, ret_sig, &len, text.ptr, text.len), 1);
	ck_assert_uint_eq(len, 64);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

/* The signature line over text, under that name. */
static inline void ed25519_line(
	const char *name, uint8_t fill, struct kms_bytes text, struct kms_buf *ret_line)
{
	uint8_t sig[64];
	const struct tlog_vkey vkey = ed25519_vkey(name, fill);
	ed25519_sign(fill, text, sig);
	ck_assert(kms_is_ok(tlog_note_line(&vkey, KMS_BYTES_OF(sig), ret_line)));
}

#endif
