/* SPDX-License-Identifier: Apache-2.0 */
/* Complaints to people, and the files that kms reads and makes for them. Never a secret. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli_int.h"

kms_err cli_refuse(kms_err err, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	kms_log(KMS_LOG_ERROR, "%s", text);
	return err;
}

kms_err cli_file_read(const char *path, size_t max, struct kms_buf *ret_buf)
{
	kms_err err = kms_file_read(path, max, ret_buf);
	if (kms_is(err, KMS_CODE_IO)) {
		return cli_refuse(err, "%s: %s", path, strerror(errno));
	}
	return kms_is_ok(err) ? err : cli_refuse(err, "%s: %s", path, kms_err_text(err));
}

kms_err cli_file_write(const char *path, struct kms_bytes bytes, unsigned mode)
{
	struct stat st;
	if (path == NULL) {
		kms_err err = kms_fd_write_all(1, bytes);
		return kms_is_ok(err) ? err
				      : cli_refuse(err, "standard output: %s", strerror(errno));
	}
	if (lstat(path, &st) == 0) {
		return cli_refuse(KMS_ERR(EXISTS),
			"%s: there is such a file already; remove it, or choose another name",
			path);
	}
	return kms_file_write(path, bytes, mode);
}

kms_err cli_json_write(const char *path, const struct doc *doc)
{
	KMS_AUTO_BUF json = {0};
	KMS_TRY(doc_write_pretty(doc, &json));
	return cli_file_write(path, kms_buf_bytes(&json), 0644);
}
