/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's manners: algorithms fetched once, its error queue turned into our errors, cleanup of
 * its types. Runs in every program. It must never leave an error in the queue: libssl would take
 * it for its own.
 */
#include <pthread.h>

#include <openssl/err.h>

#include "crypto_int.h"

static pthread_once_t algs_once = PTHREAD_ONCE_INIT;
static struct crypto_algs algs;

static void algs_fetch(void)
{
	algs.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	algs.aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	algs.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	ERR_clear_error();
}

const struct crypto_algs *crypto_algs(void)
{
	KMS_ASSERT(pthread_once(&algs_once, algs_fetch) == 0);
	return &algs;
}

kms_err crypto_refuse(const char *what, kms_err err)
{
	unsigned long last = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(last);
	kms_log(KMS_LOG_ERROR, "%s: %s", what, reason != NULL ? reason : "refused");
	ERR_clear_error();
	return err;
}

kms_err crypto_fail(const char *what)
{
	bool memory = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
	return crypto_refuse(what, memory ? KMS_ERR(NO_MEMORY) : KMS_ERR(INTERNAL));
}

kms_err crypto_bio_take(BIO *bio, struct kms_buf *ret_buf)
{
	char *ptr = NULL;
	long len = BIO_get_mem_data(bio, &ptr);
	if (len < 0) {
		return crypto_fail("reading a memory BIO");
	}
	return kms_buf_copy((struct kms_bytes){(const uint8_t *)ptr, (size_t)len}, ret_buf);
}

void crypto_bio_cleanup(BIO **bio)
{
	BIO_free(*bio);
	*bio = NULL;
}

void crypto_md_ctx_cleanup(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

void crypto_pkey_cleanup(EVP_PKEY **pkey)
{
	EVP_PKEY_free(*pkey);
	*pkey = NULL;
}
