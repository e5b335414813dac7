/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle's folder, read whole before anything is looked at. It comes from a stranger: no link is
 * followed, nothing but regular files is opened, and names, files and bytes are bounded.
 */
#include "bundle_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = sizeof(((struct model_file *)NULL)->name) - 1, DEPTH_MAX = 4 };

struct reading {
	const char *path;
	struct folder *folder;
	size_t cap, bytes;
	char **ret_what;
	struct why *ret_why;
};

void folder_free(struct folder **folder)
{
	if (folder == NULL || *folder == NULL) {
		return;
	}
	for (size_t i = 0; i < (*folder)->count; i++) {
		kms_buf_free(&(*folder)->files[i].bytes);
	}
	free((*folder)->files);
	free(*folder);
	*folder = NULL;
}

static bool part_allowed(struct kms_bytes part)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	for (size_t i = 0; i < part.len; i++) {
		if (memchr(allowed, part.ptr[i], sizeof(allowed) - 1) == NULL) {
			return false;
		}
	}
	bool dots = part.len <= 2 && part.len > 0 && part.ptr[0] == '.' &&
		    part.ptr[part.len - 1] == '.';
	return part.len > 0 && !dots;
}

bool folder_name_allowed(struct kms_bytes name)
{
	if (name.len > NAME_MAX_BYTES) {
		return false;
	}
	for (;;) {
		const uint8_t *slash = memchr(name.ptr, '/', name.len);
		size_t len = slash == NULL ? name.len : (size_t)(slash - name.ptr);
		if (!part_allowed((struct kms_bytes){name.ptr, len})) {
			return false;
		}
		if (slash == NULL) {
			return true;
		}
		name = (struct kms_bytes){slash + 1, name.len - len - 1};
	}
}

/* What lies in the folder may have a name of any bytes: it is shown in ASCII. */
static kms_err refuse(const struct reading *reading, kms_err err, const char *name, struct why why)
{
	char *text = NULL;
	KMS_TRY(kms_text(&text, "%s", name));
	bool given = name == reading->path && kms_is_ok(model_text_check(text, strlen(text)));
	for (char *at = text; !given && *at != '\0'; at++) {
		*at = *at >= ' ' && *at < 0x7f ? *at : '?';
	}
	*reading->ret_what = text;
	*reading->ret_why = why;
	return err;
}

static struct why why_errno(int code)
{
	switch (code) {
	case ENOENT:
		return WHY("it is not there", "存在しない");
	case ENOTDIR:
		return WHY("it is no folder", "フォルダーではない");
	case EACCES:
	case EPERM:
		return WHY("you may not read it", "読み取りが許可されていない");
	case ENXIO:
		return WHY("it is a socket or a device", "ソケットまたは装置である");
	case ELOOP:
		return WHY("it is a link", "リンクである");
	default:
		return WHY("it cannot be read", "読み取れない");
	}
}

/* Takes the descriptor. */
static kms_err read_file(struct reading *reading, int fd, const char *name, size_t size)
{
	struct folder *folder = reading->folder;
	uint8_t *bytes = malloc(size + 1);
	size_t len = 0;
	kms_err err =
		bytes == NULL ? KMS_ERR(NO_MEMORY) : kms_fd_read_full(fd, bytes, size + 1, &len);
	(void)close(fd);
	if (kms_is_ok(err) && len != size) {
		err = refuse(reading, KMS_ERR(IO), name,
			WHY("it changes while it is read", "読み取り中に変化した"));
	}
	if (!kms_is_ok(err)) {
		free(bytes);
		return err;
	}
	struct model_file *file = &folder->files[folder->count++];
	(void)snprintf(file->name, sizeof(file->name), "%s", name);
	file->bytes = (struct kms_buf){bytes, len};
	reading->bytes += len;
	return KMS_OK;
}

static kms_err add_file(struct reading *reading, int fd, const char *name, off_t size)
{
	struct folder *folder = reading->folder;
	/* The manifest is not among the files that it lists. */
	if (folder->count == LIMIT_BUNDLE_FILES + 1 || size < 0 ||
		(size_t)size > LIMIT_BUNDLE_BYTES + LIMIT_MANIFEST_BYTES - reading->bytes) {
		(void)close(fd);
		return refuse(reading, KMS_ERR(TOO_LARGE), name,
			WHY("it is more than a bundle may hold", "証明書一式の上限を超える"));
	}
	if (folder->count == reading->cap) {
		size_t cap = reading->cap == 0 ? 64 : reading->cap * 2;
		struct model_file *files = realloc(folder->files, cap * sizeof(*files));
		if (files == NULL) {
			(void)close(fd);
			return KMS_ERR(NO_MEMORY);
		}
		folder->files = files;
		reading->cap = cap;
	}
	return read_file(reading, fd, name, (size_t)size);
}

static kms_err read_folder(struct reading *reading, int fd, const char *prefix, unsigned depth);

static kms_err read_item(struct reading *reading, int folder_fd, const char *item,
	const char *prefix, unsigned depth)
{
	char name[NAME_MAX_BYTES + 1];
	struct stat status;
	int len = snprintf(name, sizeof(name), "%s%s", prefix, item);
	if (len < 0 || (size_t)len >= sizeof(name) || !folder_name_allowed(kms_bytes_str(name))) {
		return refuse(reading, KMS_ERR(FORMAT), item,
			WHY("it is no name that a bundle may hold", "使えないファイル名である"));
	}
	/* O_NONBLOCK: opening a FIFO must not wait. */
	int fd = openat(folder_fd, item, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) != 0) {
		int code = errno;
		if (fd >= 0) {
			(void)close(fd);
		}
		return refuse(reading,
			code == ELOOP || code == ENXIO ? KMS_ERR(FORMAT) : KMS_ERR(IO), name,
			why_errno(code));
	}
	if (S_ISREG(status.st_mode)) {
		return add_file(reading, fd, name, status.st_size);
	}
	if (!S_ISDIR(status.st_mode) || depth == DEPTH_MAX) {
		(void)close(fd);
		return refuse(reading, KMS_ERR(FORMAT), name,
			WHY("it is neither a file nor a folder of a bundle",
				"証明書一式のファイルでもフォルダーでもない"));
	}
	/* The slash may be one byte too much: then no file in it has an allowed name either. */
	char inner[NAME_MAX_BYTES + 2];
	(void)snprintf(inner, sizeof(inner), "%s/", name);
	return read_folder(reading, fd, inner, depth + 1);
}

/* Takes the descriptor. */
static kms_err read_folder(struct reading *reading, int fd, const char *prefix, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return KMS_ERR(IO);
	}
	kms_err err = KMS_OK;
	bool empty = true;
	for (const struct dirent *item = readdir(dir); item != NULL && kms_is_ok(err);
		item = readdir(dir)) {
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) {
			empty = false;
			err = read_item(reading, dirfd(dir), item->d_name, prefix, depth);
		}
	}
	(void)closedir(dir);
	/* Nothing lists it; and so there are no more folders than files, times their depth. */
	return empty && prefix[0] != '\0'
		       ? refuse(reading, KMS_ERR(FORMAT), prefix,
				 WHY("it is an empty folder", "空のフォルダーである"))
		       : err;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct model_file *)a)->name, ((const struct model_file *)b)->name);
}

kms_err folder_read(
	const char *path, struct folder **ret_folder, char **ret_what, struct why *ret_why)
{
	KMS_AUTO(folder) folder = calloc(1, sizeof(*folder));
	struct reading reading = {
		.path = path, .folder = folder, .ret_what = ret_what, .ret_why = ret_why};
	if (folder == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		bool absent = errno == ENOENT || errno == ENOTDIR;
		return refuse(&reading, absent ? KMS_ERR(NOT_FOUND) : KMS_ERR(IO), path,
			why_errno(errno));
	}
	KMS_TRY(read_folder(&reading, fd, "", 1));
	if (folder->count > 0) {
		qsort(folder->files, folder->count, sizeof(folder->files[0]), compare);
	}
	*ret_folder = kms_take(&folder);
	return KMS_OK;
}

const struct model_file *folder_find(const struct folder *folder, const char *name)
{
	struct model_file wanted;
	if (folder->count == 0) {
		return NULL;
	}
	(void)snprintf(wanted.name, sizeof(wanted.name), "%s", name);
	return bsearch(&wanted, folder->files, folder->count, sizeof(wanted), compare);
}
