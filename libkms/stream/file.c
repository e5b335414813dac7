/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output files that appear whole or not at all. Runs wherever libkms does. Plaintext must never
 * stand under a name before its last chunk is verified: the file has no name at all until then
 * (O_TMPFILE), or, where the file system has no such files, one of its own that is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream_int.h"

enum { MODE_DEFAULT = 0600 };

struct output {
	int dir_fd;
	int fd;
	char *dir;        /* owned */
	const char *name; /* in the directory; borrowed from the path */
	char *part;       /* owned; a name beside it */
	bool part_exists;
};

static kms_err failed(const char *action, const struct output *output)
{
	int saved_errno = errno;
	kms_log(KMS_LOG_ERROR, "cannot %s %s%s: %s", action, output->dir, output->name,
		strerror(saved_errno));
	errno = saved_errno;
	return KMS_ERR(IO);
}

static void output_clear(struct output *output)
{
	int saved_errno = errno;
	if (output->part_exists) {
		(void)unlinkat(output->dir_fd, output->part, 0);
	}
	if (output->fd >= 0) {
		(void)close(output->fd); /* fsynced, or given up */
	}
	if (output->dir_fd >= 0) {
		(void)close(output->dir_fd);
	}
	free(output->dir);
	free(output->part);
	errno = saved_errno;
}
#define AUTO_OUTPUT __attribute__((cleanup(output_clear))) struct output

static kms_err split_path(const char *path, struct output *output)
{
	const char *slash = strrchr(path, '/');
	output->name = slash == NULL ? path : slash + 1;
	if (output->name[0] == '\0') {
		return KMS_ERR(ARGUMENT);
	}
	/* With the slash, so that the root directory has a name too. */
	KMS_TRY(kms_text(&output->dir, "%.*s", (int)(output->name - path), path));
	uint8_t random[4];
	char hex[2 * sizeof(random) + 1];
	kms_random(random, sizeof(random));
	kms_hex_encode(KMS_BYTES_OF(random), hex);
	return kms_text(&output->part, ".%s.%s.part", output->name, hex);
}

/* Said now and not after hours of work; publish() makes sure. */
static kms_err check_target(const struct output *output, bool force)
{
	struct stat st;
	if (fstatat(output->dir_fd, output->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		return errno == ENOENT ? KMS_OK : failed("look at", output);
	}
	return force && S_ISREG(st.st_mode) ? KMS_OK : KMS_ERR(EXISTS);
}

static kms_err output_open(const char *path, bool force, struct output *output)
{
	KMS_TRY(split_path(path, output));
	output->dir_fd = open(
		output->dir[0] == '\0' ? "." : output->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (output->dir_fd < 0) {
		return failed("open the directory of", output);
	}
	KMS_TRY(check_target(output, force));
	output->fd = openat(output->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, MODE_DEFAULT);
	if (output->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		output->fd = openat(output->dir_fd, output->part,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE_DEFAULT);
		output->part_exists = output->fd >= 0;
	}
	return output->fd >= 0 ? KMS_OK : failed("create", output);
}

/* Give a nameless file a name; 0, or -1 with errno. */
static int name_file(const struct output *output, const char *name)
{
	/* open(2), O_TMPFILE: the way that needs no capability */
	char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", output->fd);
	return linkat(AT_FDCWD, link, output->dir_fd, name, AT_SYMLINK_FOLLOW);
}

/* Without replacing anything. */
static kms_err publish_new(struct output *output)
{
	int got;
	if (!output->part_exists) {
		got = name_file(output, output->name);
	} else {
		got = renameat2(output->dir_fd, output->part, output->dir_fd, output->name,
			RENAME_NOREPLACE);
		if (got != 0 && (errno == EINVAL || errno == ENOSYS)) {
			/* The part is unlinked by output_clear. */
			got = linkat(output->dir_fd, output->part, output->dir_fd, output->name, 0);
		} else {
			output->part_exists = got != 0;
		}
	}
	if (got != 0) {
		return errno == EEXIST ? KMS_ERR(EXISTS) : failed("name", output);
	}
	return KMS_OK;
}

static kms_err publish_over(struct output *output)
{
	if (!output->part_exists) {
		if (name_file(output, output->part) != 0) {
			return failed("name", output);
		}
		output->part_exists = true;
	}
	if (renameat(output->dir_fd, output->part, output->dir_fd, output->name) != 0) {
		return failed("replace", output);
	}
	output->part_exists = false;
	return KMS_OK;
}

static kms_err publish(struct output *output, const struct stream_options *options)
{
	uint32_t mode = options->mode == 0 ? MODE_DEFAULT : options->mode;
	if (fchmod(output->fd, (mode_t)mode) != 0) { /* not by openat(): the umask has no say */
		return failed("set the mode of", output);
	}
	if (fsync(output->fd) != 0) {
		return failed("sync", output);
	}
	KMS_TRY(options->force ? publish_over(output) : publish_new(output));
	/* From here on the file is there, and whole; an error says it may not survive a crash. */
	return fsync(output->dir_fd) == 0 ? KMS_OK : failed("sync the directory of", output);
}

static const struct stream_options DEFAULTS;

kms_err stream_encrypt_file(int in_fd, const char *out_path, const struct stream_inputs *inputs,
	const struct stream_options *options)
{
	options = options == NULL ? &DEFAULTS : options;
	AUTO_OUTPUT output = {.dir_fd = -1, .fd = -1};
	KMS_TRY(output_open(out_path, options->force, &output));
	KMS_TRY(stream_encrypt_fd(in_fd, output.fd, inputs, options));
	return publish(&output, options);
}

kms_err stream_decrypt_file(int in_fd, const char *out_path, const struct stream_header *header,
	const struct kms_secret *key, const struct stream_options *options)
{
	options = options == NULL ? &DEFAULTS : options;
	AUTO_OUTPUT output = {.dir_fd = -1, .fd = -1};
	KMS_TRY(output_open(out_path, options->force, &output));
	KMS_TRY(stream_decrypt_fd(in_fd, output.fd, header, key, options));
	return publish(&output, options);
}
