/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms erase certificate: the bundle as a folder, whole or not at all. Names come from kmsd: none
 * may lead out of the folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "erase_int.h"

enum { NAME_MAX_BYTES = 127, DEPTH_MAX = 4 };

/* docs/formats/bundle.md, 3; and no part of it starts with a dot, nor is empty. */
static bool name_is_good(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
	size_t len = strlen(name);
	size_t depth = 0;
	if (len == 0 || len > NAME_MAX_BYTES || strspn(name, allowed) != len) {
		return false;
	}
	for (const char *part = name; part != NULL; depth++) {
		if (*part == '.' || *part == '/' || *part == '\0') {
			return false;
		}
		part = strchr(part, '/');
		part = part != NULL ? part + 1 : NULL;
	}
	return depth <= DEPTH_MAX;
}

static kms_err io(const char *path)
{
	return cli_refuse(KMS_ERR(IO), "%s: %s", path, strerror(errno));
}

/* The folders of a file below the bundle's, which is there. */
static kms_err make_folders(const char *folder, char *path)
{
	for (char *at = strchr(path + strlen(folder) + 1, '/'); at != NULL;
		at = strchr(at + 1, '/')) {
		*at = '\0';
		bool made = mkdir(path, 0755) == 0 || errno == EEXIST;
		kms_err err = made ? KMS_OK : io(path);
		*at = '/';
		KMS_TRY(err);
	}
	return KMS_OK;
}

static kms_err write_file(const char *folder, struct doc *row)
{
	const char *name = NULL;
	struct stat st;
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_FREE char *path = NULL;
	KMS_TRY(doc_get_text(row, "name", &name));
	KMS_TRY(doc_get_bytes(row, "bytes", LIMIT_BUNDLE_BYTES, &bytes));
	if (!name_is_good(name)) {
		return cli_refuse(KMS_ERR(FORMAT),
			"kmsd's bundle has a file whose name is not allowed; it is not written");
	}
	KMS_TRY(kms_text(&path, "%s/%s", folder, name));
	KMS_TRY(make_folders(folder, path));
	if (lstat(path, &st) == 0) {
		return cli_refuse(KMS_ERR(FORMAT), "kmsd's bundle has the file %s twice", name);
	}
	return kms_file_write(path, kms_buf_bytes(&bytes), 0644);
}

static kms_err sync_parent(const char *path)
{
	KMS_AUTO_FREE char *parent = NULL;
	const char *slash = strrchr(path, '/');
	KMS_TRY(kms_text(&parent, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
		slash != NULL ? path : "."));
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	kms_err err = synced ? KMS_OK : io(parent);
	(void)(fd >= 0 && close(fd));
	return err;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

/* Under a temporary name, then all of it at once under its own, which must be free. */
static kms_err write_folder(const char *folder, const char *temporary, struct doc *files)
{
	for (size_t i = 0; i < doc_count(files); i++) {
		struct doc *row = NULL;
		KMS_TRY(doc_item_object(files, i, &row));
		KMS_TRY(write_file(temporary, row));
	}
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, folder, RENAME_NOREPLACE) != 0) {
		return io(folder);
	}
	return sync_parent(folder);
}

static kms_err write_bundle(const char *folder, struct doc *files)
{
	enum { WALK_FILES = 16 };
	KMS_AUTO_FREE char *temporary = NULL;
	KMS_TRY(kms_text(&temporary, "%s.XXXXXX", folder));
	if (mkdtemp(temporary) == NULL) {
		return io(temporary);
	}
	kms_err err = chmod(temporary, 0755) == 0 ? KMS_OK : io(temporary);
	err = kms_is_ok(err) ? write_folder(folder, temporary, files) : err;
	if (!kms_is_ok(err)) {
		(void)nftw(temporary, remove_one, WALK_FILES, FTW_DEPTH | FTW_PHYS);
	}
	return err;
}

static kms_err print_bundle(
	const struct cli *cli, const char *folder, struct doc *answer, struct doc *files)
{
	const char *id = NULL;
	KMS_TRY(doc_get_text(answer, "certificate", &id));
	if (cli_value(cli, "json") == NULL) {
		cli_line("certificate", id);
		cli_line("bundle", folder);
		(void)printf("\n%zu files. It verifies without kmsd and without a network:\n"
			     "  kms verify %s --trust TRUSTFILE\n",
			doc_count(files), folder);
		return KMS_OK;
	}
	KMS_AUTO(doc) doc = NULL;
	KMS_TRY(doc_new_object(&doc));
	doc_set_text(doc, "certificate", id);
	doc_set_text(doc, "folder", folder);
	doc_set_int(doc, "files", (int64_t)doc_count(files));
	return cli_json_write(NULL, doc);
}

static kms_err save(const struct cli *cli, const char *folder, struct doc *answer)
{
	struct doc *files = NULL;
	KMS_TRY(doc_get_array(answer, "files", &files));
	if (doc_count(files) == 0 || doc_count(files) > LIMIT_BUNDLE_FILES) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(write_bundle(folder, files));
	return print_bundle(cli, folder, answer, files);
}

kms_err cli_erase_certificate(struct cli *cli)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) answer = NULL;
	struct stat st;
	const char *folder = cli_value(cli, "output");
	size_t len = strlen(folder);
	if (len == 0 || folder[len - 1] == '/') {
		return cli_refuse(
			KMS_ERR(ARGUMENT), "--output names a new folder, without a / behind it");
	}
	if (lstat(folder, &st) == 0) {
		return cli_refuse(KMS_ERR(EXISTS),
			"%s: there is such a thing already; choose another name", folder);
	}
	kms_err err = kms_admin_erase_certificate(cli->client, cli_operand(cli, 0), &json);
	KMS_TRY(cli_answer(cli, err, &json, &answer));
	return cli_shape(cli, save(cli, folder, answer));
}
