/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a SoftHSM token: its files overwritten, token.object with the key under which all its
 * objects stand first of all, then removed. C_InitToken would need the SO PIN, which was never
 * kept, and would leave the old blocks on the disk. On a disk that writes elsewhere (flash, a
 * journal, a snapshot) old blocks may outlive this: docs/threat-model.md.
 */
#include "p11_raw_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1024 };

bool p11_wipe_can(const struct p11_profile *profile)
{
	return profile->softhsm;
}

static kms_err fail(const char *path)
{
	kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(errno));
	return KMS_ERR(IO);
}

static kms_err fill(int fd, const char *path)
{
	struct stat st;
	if (fstat(fd, &st) != 0) {
		return fail(path);
	}
	for (off_t left = st.st_size; left > 0;) {
		uint8_t noise[CHUNK];
		size_t len = left < CHUNK ? (size_t)left : CHUNK;
		kms_random(noise, len);
		KMS_TRY(kms_fd_write_all(fd, (struct kms_bytes){noise, len}));
		left -= (off_t)len;
	}
	return fsync(fd) == 0 ? KMS_OK : fail(path);
}

/* NOT_FOUND when there is none. */
static kms_err overwrite(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return errno == ENOENT ? KMS_ERR(NOT_FOUND) : fail(path);
	}
	kms_err err = fill(fd, path);
	(void)close(fd);
	return err;
}

static kms_err missing_is_ok(kms_err err)
{
	return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_OK : err;
}

static void dir_close(DIR **dir)
{
	if (*dir != NULL) {
		(void)closedir(*dir);
	}
}

static kms_err each_file(const char *folder, kms_err (*act)(const char *path))
{
	__attribute__((cleanup(dir_close))) DIR *dir = opendir(folder);
	if (dir == NULL) {
		return fail(folder);
	}
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		KMS_AUTO_FREE char *path = NULL;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
			continue;
		}
		KMS_TRY(kms_text(&path, "%s/%s", folder, entry->d_name));
		KMS_TRY(missing_is_ok(act(path)));
	}
	return KMS_OK;
}

struct wipe {
	const struct p11_profile *profile;
	bool whole;
};

static kms_err overwrite_token(const char *folder, const char *name, void *arg)
{
	struct wipe *wipe = arg;
	KMS_AUTO_FREE char *object = NULL;
	KMS_AUTO_FREE char *copy = NULL;
	KMS_TRY(kms_text(&object, "%s/token.object", folder));
	KMS_TRY(kms_text(&copy, "%s/%s.token.object", wipe->profile->dir, name));
	kms_err err = overwrite(object);
	KMS_TRY(missing_is_ok(err));
	wipe->whole = wipe->whole || kms_is_ok(err);
	KMS_TRY(missing_is_ok(overwrite(copy)));
	return each_file(folder, overwrite);
}

kms_err p11_wipe_overwrite(const struct p11_profile *profile, bool *ret_whole)
{
	struct wipe wipe = {profile, false};
	if (!p11_wipe_can(profile)) {
		return KMS_ERR(UNSUPPORTED);
	}
	KMS_TRY(p11_softhsm_each(profile, overwrite_token, &wipe));
	*ret_whole = wipe.whole;
	return KMS_OK;
}

static kms_err remove_token(const char *folder, const char *name, void *arg)
{
	const struct p11_profile *profile = arg;
	KMS_AUTO_FREE char *copy = NULL;
	KMS_TRY(kms_text(&copy, "%s/%s.token.object", profile->dir, name));
	KMS_TRY(kms_file_remove(copy));
	KMS_TRY(each_file(folder, kms_file_remove));
	return rmdir(folder) == 0 || errno == ENOENT ? KMS_OK : fail(folder);
}

kms_err p11_wipe_remove(const struct p11_profile *profile)
{
	if (!p11_wipe_can(profile)) {
		return KMS_ERR(UNSUPPORTED);
	}
	KMS_TRY(p11_softhsm_each(profile, remove_token, p11_lend(profile)));
	return p11_softhsm_sync(profile); /* the folder that lost its folders */
}
