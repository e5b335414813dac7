/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files, read whole and replaced whole. Runs in every program. A crash at any point must
 * never leave anything but the old or the new file; a secret must never pass through the heap.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"

static void close_fd(const int *fd)
{
	if (*fd >= 0) {
		int saved_errno = errno;
		(void)close(*fd); /* read-only, or already fsynced: nothing to lose */
		errno = saved_errno;
	}
}
#define AUTO_FD __attribute__((cleanup(close_fd))) int

static kms_err failed(const char *action, const char *path)
{
	int saved_errno = errno;
	kms_log(KMS_LOG_ERROR, "cannot %s %s: %s", action, path, strerror(errno));
	errno = saved_errno;
	return KMS_ERR(IO);
}

kms_err kms_fd_write_all(int fd, struct kms_bytes bytes)
{
	while (bytes.len > 0) {
		ssize_t put = write(fd, bytes.ptr, bytes.len);
		if (put < 0) {
			if (errno == EINTR) {
				continue;
			}
			return KMS_ERR(IO);
		}
		bytes.ptr += put;
		bytes.len -= (size_t)put;
	}
	return KMS_OK;
}

kms_err kms_fd_read_full(int fd, void *into, size_t len, size_t *ret_len)
{
	uint8_t *at = into;
	size_t have = 0;
	while (have < len) {
		ssize_t got = read(fd, at + have, len - have);
		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			return KMS_ERR(IO);
		}
		if (got == 0) {
			break;
		}
		have += (size_t)got;
	}
	*ret_len = have;
	return KMS_OK;
}

/* Open a regular file for reading and say what it is like. */
static kms_err open_regular(const char *path, int *ret_fd, struct stat *ret_stat)
{
	/* O_NONBLOCK: a FIFO in the file's place must not make us wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		return KMS_ERR(IO); /* not logged: a missing file is often the caller's question */
	}
	struct stat st;
	if (fstat(fd, &st) != 0) {
		close_fd(&fd);
		return failed("look at", path);
	}
	if (!S_ISREG(st.st_mode)) {
		close_fd(&fd);
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		kms_log(KMS_LOG_ERROR, "%s is not a regular file", path);
		return KMS_ERR(IO);
	}
	*ret_fd = fd;
	*ret_stat = st;
	return KMS_OK;
}

/* All of the file into room for its size and one byte more, so that growth is seen. */
static kms_err read_all(int fd, const char *path, uint8_t *into, size_t size, size_t *ret_len)
{
	size_t len;
	if (!kms_is_ok(kms_fd_read_full(fd, into, size + 1, &len))) {
		return failed("read", path);
	}
	if (len > size) {
		errno = EBUSY;
		kms_log(KMS_LOG_ERROR, "%s grew while it was read", path);
		return KMS_ERR(IO);
	}
	*ret_len = len;
	return KMS_OK;
}

kms_err kms_file_read(const char *path, size_t max, struct kms_buf *ret_buf)
{
	AUTO_FD fd = -1;
	struct stat st;
	KMS_TRY(open_regular(path, &fd, &st));
	if ((uintmax_t)st.st_size > max) {
		return KMS_ERR(TOO_LARGE);
	}
	size_t size = (size_t)st.st_size;
	KMS_AUTO_BUF buf = {malloc(size + 1), size};
	if (buf.ptr == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(read_all(fd, path, buf.ptr, size, &buf.len));
	*ret_buf = buf;
	buf = (struct kms_buf){0};
	return KMS_OK;
}

kms_err kms_file_read_secret(const char *path, size_t max, struct kms_secret **ret_secret)
{
	AUTO_FD fd = -1;
	struct stat st;
	KMS_TRY(open_regular(path, &fd, &st));
	/* Asked of the open file, not of the path, so nobody can change it between. */
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		kms_log(KMS_LOG_ERROR,
			"%s holds a secret and its mode is %04o; chmod it to 0600 or 0400", path,
			(unsigned)st.st_mode & 07777);
		return KMS_ERR(CONFIG);
	}
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		kms_log(KMS_LOG_ERROR,
			"%s holds a secret and belongs to user %u, not to us or root", path,
			(unsigned)st.st_uid);
		return KMS_ERR(CONFIG);
	}
	if (max > KMS_SECRET_MAX - 2) {
		return KMS_ERR(ARGUMENT);
	}
	if ((uintmax_t)st.st_size > max + 1) { /* one byte for the newline */
		return KMS_ERR(TOO_LARGE);
	}
	size_t size = (size_t)st.st_size;
	KMS_AUTO(kms_secret) secret = NULL;
	KMS_TRY(kms_secret_new(size + 1, &secret));
	size_t len;
	KMS_TRY(read_all(fd, path, kms_secret_ptr(secret), size, &len));
	if (len > 0 && kms_secret_cptr(secret)[len - 1] == '\n') {
		len--;
	}
	if (len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	kms_secret_shrink(secret, len);
	*ret_secret = kms_take(&secret);
	return KMS_OK;
}

/* Make renames and unlinks in the file's directory durable. */
static kms_err sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	KMS_AUTO_FREE char *directory = NULL;
	if (slash == NULL) {
		KMS_TRY(kms_text(&directory, "."));
	} else {
		/* With the slash, so that the root directory has a name too. */
		KMS_TRY(kms_text(&directory, "%.*s", (int)(slash - path) + 1, path));
	}
	AUTO_FD fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return failed("open", directory);
	}
	return fsync(fd) == 0 ? KMS_OK : failed("sync", directory);
}

static kms_err write_new(const char *path, struct kms_bytes bytes, unsigned mode)
{
	/* A new file, never one that somebody else put there, nor where a link points. */
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		return failed("create", path);
	}
	if (!kms_is_ok(kms_fd_write_all(fd, bytes))) {
		return failed("write", path);
	}
	if (fchmod(fd, (mode_t)mode) != 0) { /* not by open(): the umask has no say */
		return failed("set the mode of", path);
	}
	return fsync(fd) == 0 ? KMS_OK : failed("sync", path);
}

kms_err kms_file_write(const char *path, struct kms_bytes bytes, unsigned mode)
{
	KMS_AUTO_FREE char *new_path = NULL;
	KMS_TRY(kms_text(&new_path, "%s.new", path));
	/* What a crash left is in the way once, and does not pile up. */
	if (unlink(new_path) != 0 && errno != ENOENT) {
		return failed("remove", new_path);
	}
	kms_err err = write_new(new_path, bytes, mode);
	if (kms_is_ok(err) && rename(new_path, path) != 0) {
		err = failed("replace", path);
	}
	if (!kms_is_ok(err)) {
		int saved_errno = errno;
		(void)unlink(new_path);
		errno = saved_errno;
		return err;
	}
	return sync_directory(path);
}

kms_err kms_file_remove(const char *path)
{
	if (unlink(path) != 0 && errno != ENOENT) {
		return failed("remove", path);
	}
	/* Also when it was gone: who removed it may have died before this. */
	return sync_directory(path);
}
