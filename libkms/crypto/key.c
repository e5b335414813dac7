/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P-256 keys: private ones from and to PEM files, public ones as DER SubjectPublicKeyInfo. Runs
 * in every program. It must never ask for a passphrase, and never accept another curve or another
 * encoding: one key has one SPKI, because keys are pinned by its hash.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "crypto_int.h"

enum {
	POINT = 65, /* SEC 1 section 2.3.3: 04 || x || y */
	KEY_PEM_MAX = 16 * 1024,
};

/* RFC 5480: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING } and the point's form
 * octet. OpenSSL would take X9.62's hybrid form, too. */
static const uint8_t spki_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42,
	0x00, 0x04};
enum { SPKI_BYTES = sizeof(spki_head) + 64 };

struct crypto_signer {
	EVP_PKEY *pkey;
};

EVP_PKEY *crypto_signer_pkey(const struct crypto_signer *signer)
{
	return signer->pkey;
}

bool crypto_pkey_is_p256(const EVP_PKEY *pkey)
{
	char group[32] = "";
	size_t len = 0;
	return EVP_PKEY_is_a(pkey, "EC") == 1 &&
	       EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1 &&
	       strcmp(group, SN_X9_62_prime256v1) == 0;
}

kms_err crypto_pkey_of_spki(struct kms_bytes der, EVP_PKEY **ret_pkey)
{
	if (der.len != SPKI_BYTES || memcmp(der.ptr, spki_head, sizeof(spki_head)) != 0) {
		return KMS_ERR(FORMAT);
	}
	const uint8_t *at = der.ptr;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der.len); /* checks that the point is on it */
	if (pkey == NULL) {
		return crypto_refuse("public key", KMS_ERR(FORMAT));
	}
	*ret_pkey = pkey;
	return KMS_OK;
}

kms_err crypto_spki_of_point(const uint8_t point[POINT], struct kms_buf *ret_der)
{
	uint8_t der[SPKI_BYTES];
	memcpy(der, spki_head, sizeof(spki_head));
	memcpy(der + SPKI_BYTES - POINT, point, POINT); /* its form octet is checked below */
	CRYPTO_AUTO_PKEY pkey = NULL;
	KMS_TRY(crypto_pkey_of_spki(KMS_BYTES_OF(der), &pkey));
	return kms_buf_copy(KMS_BYTES_OF(der), ret_der);
}

static kms_err signer_of(EVP_PKEY *pkey, struct crypto_signer **ret_signer)
{
	struct crypto_signer *signer = calloc(1, sizeof(*signer));
	if (signer == NULL || EVP_PKEY_up_ref(pkey) != 1) {
		free(signer);
		return KMS_ERR(NO_MEMORY);
	}
	signer->pkey = pkey;
	*ret_signer = signer;
	return KMS_OK;
}

void crypto_signer_free(struct crypto_signer **signer)
{
	if (*signer == NULL) {
		return;
	}
	EVP_PKEY_free((*signer)->pkey); /* wipes the private number */
	free(*signer);
	*signer = NULL;
}

/* OpenSSL would ask the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

kms_err crypto_signer_read(const char *pem_path, struct crypto_signer **ret_signer)
{
	KMS_AUTO(kms_secret) pem = NULL;
	KMS_TRY(kms_file_read_secret(pem_path, KEY_PEM_MAX, &pem));
	CRYPTO_AUTO_BIO bio = BIO_new_mem_buf(kms_secret_cptr(pem), (int)kms_secret_len(pem));
	if (bio == NULL) {
		return crypto_fail("opening a private key");
	}
	CRYPTO_AUTO_PKEY pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (pkey == NULL) {
		return crypto_refuse(pem_path, KMS_ERR(FORMAT));
	}
	if (!crypto_pkey_is_p256(pkey)) {
		return crypto_refuse(pem_path, KMS_ERR(UNSUPPORTED));
	}
	/* A file may ask for compressed points; our SPKIs have one form. */
	if (EVP_PKEY_set_utf8_string_param(
		    pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed") != 1) {
		return crypto_fail("setting the form of a public key");
	}
	return signer_of(pkey, ret_signer);
}

/* Make the directory entry of a new file durable. */
static kms_err directory_sync(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;
	KMS_AUTO_FREE char *directory = strndup(path, len);
	if (directory == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	int fd = open(len == 0 ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0) {
		(void)close(fd);
	}
	return synced ? KMS_OK : KMS_ERR(IO);
}

static kms_err file_fill(int fd, const char *path, struct kms_bytes pem)
{
	KMS_TRY(kms_fd_write_all(fd, pem));
	return fsync(fd) == 0 ? directory_sync(path) : KMS_ERR(IO);
}

/* A file that must not be there yet: kms_file_write would replace an older key. */
static kms_err file_create(const char *path, struct kms_bytes pem)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		if (errno == EEXIST) {
			return KMS_ERR(EXISTS);
		}
		kms_log(KMS_LOG_ERROR, "creating %s: %s", path, strerror(errno));
		return KMS_ERR(IO);
	}
	kms_err err = file_fill(fd, path, pem);
	if (close(fd) != 0 && kms_is_ok(err)) {
		err = KMS_ERR(IO);
	}
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "writing %s: %s", path, strerror(errno));
		(void)unlink(path); /* half a key is none */
	}
	return err;
}

kms_err crypto_signer_of_pkey(struct evp_pkey_st *pkey, struct crypto_signer **ret_signer)
{
	if (!crypto_pkey_is_p256(pkey)) {
		return KMS_ERR(ARGUMENT);
	}
	return signer_of(pkey, ret_signer);
}

kms_err crypto_signer_generate(const char *pem_path, struct crypto_signer **ret_signer)
{
	CRYPTO_AUTO_PKEY pkey = EVP_EC_gen("P-256");
	CRYPTO_AUTO_BIO bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
	if (pkey == NULL || bio == NULL ||
		PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1) {
		return crypto_fail("generating a P-256 key");
	}
	char *pem = NULL;
	long len = BIO_get_mem_data(bio, &pem);
	if (len <= 0) {
		return crypto_fail("writing a P-256 key");
	}
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_TRY(signer_of(pkey, &signer));
	KMS_TRY(file_create(pem_path, (struct kms_bytes){(const uint8_t *)pem, (size_t)len}));
	*ret_signer = kms_take(&signer);
	return KMS_OK;
}

kms_err crypto_signer_spki(const struct crypto_signer *signer, struct kms_buf *ret_der)
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(signer->pkey, &der);
	if (len <= 0) {
		return crypto_fail("encoding a public key");
	}
	kms_err err = kms_buf_copy((struct kms_bytes){der, (size_t)len}, ret_der);
	OPENSSL_free(der);
	return err;
}
