/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys and wrapped keys as files. A data key is in locked memory or in a file that only its
 * owner can read; it never comes from argv or the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_int.h"

/* Base64, line breaks at the end included. */
enum { WRAPPED_TEXT_MAX = KMS_WRAPPED_MAX / 3 * 4 + 8 };

static kms_err read_key(int fd, struct kms_secret **ret_key)
{
	KMS_AUTO(kms_secret) key = NULL;
	size_t len = 0;
	KMS_TRY(kms_secret_new(KMS_DATA_KEY_BYTES + 1, &key));
	KMS_TRY(kms_fd_read_full(fd, kms_secret_ptr(key), KMS_DATA_KEY_BYTES + 1, &len));
	if (len != KMS_DATA_KEY_BYTES) {
		return cli_refuse(KMS_ERR(ARGUMENT), "a data key is exactly %d bytes, as they are",
			KMS_DATA_KEY_BYTES);
	}
	kms_secret_shrink(key, len);
	*ret_key = kms_take(&key);
	return KMS_OK;
}

kms_err cli_key_file_read(const char *path, struct kms_secret **ret_key)
{
	struct stat st;
	if (path == NULL) {
		return read_key(0, ret_key);
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		kms_err err = cli_refuse(KMS_ERR(IO), "%s: %s", path, strerror(errno));
		(void)(fd >= 0 && close(fd));
		return err;
	}
	kms_err err = KMS_OK;
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		err = cli_refuse(KMS_ERR(CONFIG),
			"%s: others can read this key, or change it; chmod 600", path);
	}
	err = kms_is_ok(err) ? read_key(fd, ret_key) : err;
	(void)close(fd);
	return err;
}

kms_err cli_key_file_write(const char *path, struct kms_bytes key)
{
	return cli_file_write(path, key, 0600);
}

static kms_err read_text(const char *path, char text[WRAPPED_TEXT_MAX], size_t *ret_len)
{
	int fd = 0;
	if (path != NULL && strcmp(path, "-") != 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			return cli_refuse(KMS_ERR(IO), "%s: %s", path, strerror(errno));
		}
	}
	kms_err err = kms_fd_read_full(fd, text, WRAPPED_TEXT_MAX, ret_len);
	if (fd != 0) {
		(void)close(fd);
	}
	return err;
}

kms_err cli_wrapped_read(const char *path, struct kms_buf *ret_wrapped)
{
	char text[WRAPPED_TEXT_MAX];
	size_t len = 0;
	KMS_TRY(read_text(path, text, &len));
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
		len--;
	}
	kms_err err = kms_base64_decode(text, len, KMS_WRAPPED_MAX, ret_wrapped);
	return kms_is_ok(err) && ret_wrapped->len > 0
		       ? KMS_OK
		       : cli_refuse(KMS_ERR(FORMAT), "%s: no wrapped key in base64",
				 path != NULL ? path : "standard input");
}

kms_err cli_wrapped_write(const char *path, struct kms_bytes wrapped)
{
	char text[WRAPPED_TEXT_MAX];
	KMS_ASSERT(wrapped.len <= KMS_WRAPPED_MAX);
	kms_base64_encode(wrapped, text);
	size_t len = strlen(text);
	text[len] = '\n';
	return cli_file_write(path, (struct kms_bytes){(const uint8_t *)text, len + 1}, 0644);
}
