/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SoftHSM 2's quirks in kms-tokend, each a measured one: its configuration file, its token.object
 * that a killed C_Login leaves empty, its files that it never fsyncs, and the object files that a
 * killed C_GenerateKey leaves. It must never read or change an object that SoftHSM can read.
 *
 * Folder: DIR/softhsm2.conf, DIR/tokens/UUID/ with token.object, generation and one UUID.object
 * and UUID.lock per object, and our DIR/UUID.token.object, the copy. The copy holds the token's
 * key under the PIN as the original does: who wipes the token wipes both.
 */
#include "p11_raw_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OBJECT_FILE_MAX = 64 * 1024, ATTRIBUTE_BYTES_MAX = 16 * 1024 };

/* Just what kms-tokend uses: without CKM_AES_CBC a stolen session has no wrap-and-decrypt. */
static const char mechanisms[] = "CKM_AES_KEY_GEN,CKM_AES_GCM,CKM_AES_ECB,"
				 "CKM_EC_KEY_PAIR_GEN,CKM_ECDSA,"
				 "CKM_EC_EDWARDS_KEY_PAIR_GEN,CKM_EDDSA";

kms_err p11_softhsm_configure(const struct p11_profile *profile)
{
	if (!profile->softhsm) {
		return KMS_OK;
	}
	KMS_AUTO_FREE char *tokens = NULL;
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO_FREE char *text = NULL;
	KMS_TRY(kms_text(&tokens, "%s/tokens", profile->dir));
	KMS_TRY(kms_text(&path, "%s/softhsm2.conf", profile->dir));
	/* reset_on_fork: a forked child is not logged in. */
	KMS_TRY(kms_text(&text,
		"# Written by kms-tokend at each start.\n"
		"directories.tokendir = %s\n"
		"objectstore.backend = file\n"
		"log.level = ERROR\n"
		"slots.removable = false\n"
		"slots.mechanisms = %s\n"
		"library.reset_on_fork = true\n",
		tokens, mechanisms));
	if (mkdir(tokens, 0700) != 0 && errno != EEXIST) {
		kms_log(KMS_LOG_ERROR, "%s: %s", tokens, strerror(errno));
		return KMS_ERR(IO);
	}
	KMS_TRY(kms_file_write(path, kms_bytes_str(text), 0600));
	if (setenv("SOFTHSM2_CONF", path, 1) != 0) {
		return KMS_ERR(NO_MEMORY);
	}
	return KMS_OK;
}

/* ---- walks ---- */

static void dir_close(DIR **dir)
{
	if (*dir != NULL) {
		(void)closedir(*dir);
	}
}

static kms_err dir_open(const char *path, DIR **ret_dir)
{
	*ret_dir = opendir(path);
	if (*ret_dir == NULL) {
		kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(errno));
		return KMS_ERR(TOKEN_DOWN);
	}
	return KMS_OK;
}

/* The next name that is not hidden; NULL at the end. */
static const char *dir_next(DIR *dir)
{
	const struct dirent *entry;
	do {
		entry = readdir(dir);
	} while (entry != NULL && entry->d_name[0] == '.');
	return entry != NULL ? entry->d_name : NULL;
}

kms_err p11_softhsm_each(const struct p11_profile *profile,
	kms_err (*act)(const char *folder, const char *name, void *arg), void *arg)
{
	KMS_AUTO_FREE char *tokens = NULL;
	KMS_TRY(kms_text(&tokens, "%s/tokens", profile->dir));
	__attribute__((cleanup(dir_close))) DIR *dir = NULL;
	KMS_TRY(dir_open(tokens, &dir));
	for (const char *name = dir_next(dir); name != NULL; name = dir_next(dir)) {
		KMS_AUTO_FREE char *folder = NULL;
		KMS_TRY(kms_text(&folder, "%s/%s", tokens, name));
		KMS_TRY(act(folder, name, arg));
	}
	return KMS_OK;
}

/* ---- token.object ---- */

static kms_err read_if_there(const char *path, struct kms_buf *ret_buf)
{
	struct stat st;
	if (stat(path, &st) != 0 && errno == ENOENT) {
		return KMS_ERR(NOT_FOUND);
	}
	return kms_file_read(path, OBJECT_FILE_MAX, ret_buf);
}

static kms_err repair_token(const char *folder, const char *name, void *arg)
{
	const struct p11_profile *profile = arg;
	KMS_AUTO_FREE char *object_path = NULL;
	KMS_AUTO_FREE char *copy_path = NULL;
	KMS_TRY(kms_text(&object_path, "%s/token.object", folder));
	KMS_TRY(kms_text(&copy_path, "%s/%s.token.object", profile->dir, name));
	KMS_AUTO_BUF object = {0};
	KMS_AUTO_BUF copy = {0};
	kms_err err = read_if_there(object_path, &object);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_OK; /* wiped or moved: nothing that a killed C_Login does */
	}
	KMS_TRY(err);
	err = read_if_there(copy_path, &copy);
	if (!kms_is(err, KMS_CODE_NOT_FOUND)) {
		KMS_TRY(err);
	}
	/* C_Login truncates and writes the same length anew: shorter is cut. */
	if (object.len > 0 && object.len >= copy.len) {
		return KMS_OK;
	}
	if (copy.len == 0) {
		kms_log(KMS_LOG_ERROR, "%s: empty, and there is no copy of it", object_path);
		return KMS_ERR(TOKEN_DOWN);
	}
	kms_log(KMS_LOG_WARNING, "%s: cut by a killed login, put back from its copy", object_path);
	return kms_file_write(object_path, kms_buf_bytes(&copy), 0600);
}

kms_err p11_softhsm_repair(const struct p11_profile *profile)
{
	return profile->softhsm ? p11_softhsm_each(profile, repair_token, p11_lend(profile))
				: KMS_OK;
}

static kms_err keep_token(const char *folder, const char *name, void *arg)
{
	const struct p11_profile *profile = arg;
	KMS_AUTO_FREE char *object_path = NULL;
	KMS_AUTO_FREE char *copy_path = NULL;
	KMS_TRY(kms_text(&object_path, "%s/token.object", folder));
	KMS_TRY(kms_text(&copy_path, "%s/%s.token.object", profile->dir, name));
	KMS_AUTO_BUF object = {0};
	KMS_AUTO_BUF copy = {0};
	KMS_TRY(kms_file_read(object_path, OBJECT_FILE_MAX, &object));
	kms_err err = read_if_there(copy_path, &copy);
	if (!kms_is(err, KMS_CODE_NOT_FOUND)) {
		KMS_TRY(err);
	}
	if (object.len == 0 || kms_bytes_equal(kms_buf_bytes(&object), kms_buf_bytes(&copy))) {
		return KMS_OK;
	}
	return kms_file_write(copy_path, kms_buf_bytes(&object), 0600);
}

kms_err p11_softhsm_keep(const struct p11_profile *profile)
{
	return profile->softhsm ? p11_softhsm_each(profile, keep_token, p11_lend(profile)) : KMS_OK;
}

/* ---- fsync ---- */

static kms_err sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		return KMS_OK; /* removed since it was listed */
	}
	int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0) {
		(void)close(fd);
	}
	if (failed != 0) {
		kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(failed));
		return KMS_ERR(IO);
	}
	return KMS_OK;
}

static kms_err sync_token(const char *folder, const char *name, void *arg)
{
	(void)name;
	(void)arg;
	__attribute__((cleanup(dir_close))) DIR *dir = NULL;
	KMS_TRY(dir_open(folder, &dir));
	for (const char *file = dir_next(dir); file != NULL; file = dir_next(dir)) {
		KMS_AUTO_FREE char *path = NULL;
		KMS_TRY(kms_text(&path, "%s/%s", folder, file));
		KMS_TRY(sync_path(path));
	}
	return sync_path(folder);
}

kms_err p11_softhsm_sync(const struct p11_profile *profile)
{
	if (!profile->softhsm) {
		return KMS_OK;
	}
	KMS_TRY(p11_softhsm_each(profile, sync_token, NULL));
	KMS_AUTO_FREE char *tokens = NULL;
	KMS_TRY(kms_text(&tokens, "%s/tokens", profile->dir));
	return sync_path(tokens);
}

/* ---- litter ---- */

/*
 * Is this one whole object file? ObjectFile::refresh of SoftHSM 2.6.1: a generation number (alone
 * in a file just begun, which is an object already), then attributes of (type, kind, value) with
 * 64-bit big-endian numbers; kinds 1 boolean (a byte), 2 number, 3 bytes and 4 map (a length in
 * bytes first), 5 mechanisms (a count of numbers first).
 */
static bool is_whole_object(struct kms_bytes file)
{
	struct kms_reader reader = kms_reader_of(file);
	uint64_t number;
	if (!kms_is_ok(kms_read_u64(&reader, &number))) {
		return false;
	}
	while (reader.left > 0) {
		uint64_t kind;
		uint64_t len;
		struct kms_bytes value;
		if (!kms_is_ok(kms_read_u64(&reader, &number)) ||
			!kms_is_ok(kms_read_u64(&reader, &kind))) {
			return false;
		}
		if (kind == 1 || kind == 2) {
			len = kind == 1 ? 1 : 8;
		} else if (kind >= 3 && kind <= 5) {
			if (!kms_is_ok(kms_read_u64(&reader, &len)) || len > ATTRIBUTE_BYTES_MAX) {
				return false;
			}
			len = kind == 5 ? len * 8 : len;
		} else {
			return false;
		}
		if (!kms_is_ok(kms_read_bytes(&reader, (size_t)len, &value))) {
			return false;
		}
	}
	return true;
}

/* UUID.object, as SoftHSM names them. */
static bool is_object_name(const char *name)
{
	char uuid[KMS_ID_TEXT];
	struct kms_id id;
	if (strlen(name) != 36 + strlen(".object") || strcmp(name + 36, ".object") != 0) {
		return false;
	}
	memcpy(uuid, name, 36);
	uuid[36] = '\0';
	return kms_is_ok(kms_id_parse(uuid, &id));
}

struct litter {
	kms_err (*found)(void *arg, const char *file);
	void *arg;
};

static kms_err litter_in_token(const char *folder, const char *name, void *arg)
{
	(void)name;
	const struct litter *litter = arg;
	__attribute__((cleanup(dir_close))) DIR *dir = NULL;
	KMS_TRY(dir_open(folder, &dir));
	for (const char *file = dir_next(dir); file != NULL; file = dir_next(dir)) {
		if (!is_object_name(file)) {
			continue;
		}
		KMS_AUTO_FREE char *path = NULL;
		KMS_AUTO_BUF bytes = {0};
		KMS_TRY(kms_text(&path, "%s/%s", folder, file));
		kms_err err = read_if_there(path, &bytes);
		if (kms_is(err, KMS_CODE_NOT_FOUND)) {
			continue;
		}
		KMS_TRY(err);
		if (!is_whole_object(kms_buf_bytes(&bytes))) {
			KMS_TRY(litter->found(litter->arg, file));
		}
	}
	return KMS_OK;
}

kms_err p11_softhsm_litter(
	const struct p11_profile *profile, kms_err (*found)(void *arg, const char *file), void *arg)
{
	struct litter litter = {found, arg};
	return profile->softhsm ? p11_softhsm_each(profile, litter_in_token, &litter) : KMS_OK;
}

struct removal {
	const char *file;
	bool removed;
};

static kms_err remove_in_token(const char *folder, const char *name, void *arg)
{
	(void)name;
	struct removal *removal = arg;
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO_FREE char *lock_path = NULL;
	KMS_AUTO_BUF bytes = {0};
	KMS_TRY(kms_text(&path, "%s/%s", folder, removal->file));
	KMS_TRY(kms_text(&lock_path, "%s/%.36s.lock", folder, removal->file));
	kms_err err = read_if_there(path, &bytes);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_OK;
	}
	KMS_TRY(err);
	if (is_whole_object(kms_buf_bytes(&bytes))) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(kms_file_remove(path));
	KMS_TRY(kms_file_remove(lock_path));
	removal->removed = true;
	return KMS_OK;
}

kms_err p11_softhsm_litter_remove(const struct p11_profile *profile, const char *file)
{
	if (!profile->softhsm || !is_object_name(file)) {
		return KMS_ERR(ARGUMENT);
	}
	struct removal removal = {file, false};
	KMS_TRY(p11_softhsm_each(profile, remove_in_token, &removal));
	return removal.removed ? KMS_OK : KMS_ERR(NOT_FOUND);
}
