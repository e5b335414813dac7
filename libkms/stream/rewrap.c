/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replacing the wrapped key of a file in place. Runs wherever libkms does. It must never touch the
 * slot that counts, nor any other byte of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "stream_int.h"

static kms_err failed(const char *action, const char *path)
{
	int saved_errno = errno;
	kms_log(KMS_LOG_ERROR, "cannot %s %s: %s", action, path, strerror(saved_errno));
	errno = saved_errno;
	return KMS_ERR(IO);
}

static kms_err write_slot(int fd, uint32_t slot, const uint8_t bytes[STREAM_SLOT_BYTES])
{
	size_t done = 0;
	while (done < STREAM_SLOT_BYTES) {
		off_t at = (off_t)(STREAM_FIXED_BYTES + slot * STREAM_SLOT_BYTES + done);
		ssize_t put = pwrite(fd, bytes + done, STREAM_SLOT_BYTES - done, at);
		if (put < 0 && errno != EINTR) {
			return KMS_ERR(IO);
		}
		done += put > 0 ? (size_t)put : 0;
	}
	return fsync(fd) == 0 ? KMS_OK : KMS_ERR(IO);
}

static kms_err rewrap_fd(
	int fd, const char *path, struct kms_bytes expected_old, struct kms_bytes new_wrapped)
{
	/* Two at once would both write the same slot. The lock goes with the descriptor. */
	if (flock(fd, LOCK_EX) != 0) {
		return failed("lock", path);
	}
	KMS_AUTO(stream_header) header = NULL;
	KMS_TRY(stream_header_read_fd(fd, &header));
	if (!kms_bytes_equal(kms_buf_bytes(&header->wrapped), expected_old)) {
		return KMS_ERR(ARGUMENT);
	}
	if (header->sequence == UINT64_MAX) {
		return KMS_ERR(FORMAT); /* nobody rewraps that often */
	}
	uint8_t slot[STREAM_SLOT_BYTES];
	KMS_TRY(stream_slot_write(header->sequence + 1, new_wrapped, slot));
	if (!kms_is_ok(write_slot(fd, 1 - header->slot, slot))) {
		return failed("write the header of", path);
	}
	return KMS_OK;
}

kms_err stream_header_rewrap(
	const char *path, struct kms_bytes expected_old, struct kms_bytes new_wrapped)
{
	/* O_NONBLOCK: a FIFO in the file's place must not make us wait. */
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		return failed("open", path);
	}
	kms_err err = rewrap_fd(fd, path, expected_old, new_wrapped);
	int saved_errno = errno;
	(void)close(fd); /* fsynced, or failed anyway */
	errno = saved_errno;
	return err;
}
