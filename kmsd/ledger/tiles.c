/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the tree's hashes and the newest signed checkpoint as static files (C2SP tlog-tiles), for
 * any web server or copy to pass on. Runs in kmsd's signer: no commit waits for it. The files are a
 * cache of the store's nodes: after a start each is looked at once, and made anew where it is
 * missing or wrong. Never holds entries: those are for their tenant's readers.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger_int.h"

enum {
	TILE_LEVELS = TLOG_LEVELS / TLOG_TILE_HEIGHT,
	ROUND_TILES =
		256, /* full ones in one call, so that the next signature is not kept waiting */
	FILE_MODE = 0644,
	FOLDER_MODE = 0755,
};

struct tiles {
	struct store *store;
	char *folder;
	uint64_t size;              /* of the checkpoint that stands there */
	uint64_t full[TILE_LEVELS]; /* full tiles from the first on that are there and right */
	struct kms_hash hashes[TLOG_TILE_WIDTH]; /* of the tile in hand */
};

void tiles_free(struct tiles **tiles)
{
	if (*tiles != NULL) {
		free((*tiles)->folder);
		free(*tiles);
		*tiles = NULL;
	}
}

kms_err ledger_tiles_open(struct store *store, const char *folder, struct tiles **ret_tiles)
{
	KMS_AUTO(tiles) tiles = calloc(1, sizeof(*tiles));
	struct stat st;
	if (tiles == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode) || access(folder, W_OK | X_OK) != 0) {
		kms_log(KMS_LOG_ERROR,
			"ledger: tiles: %s has to be a folder that kmsd can write in; make it",
			folder);
		return KMS_ERR(CONFIG);
	}
	tiles->store = store;
	KMS_TRY(kms_text(&tiles->folder, "%s", folder));
	*ret_tiles = kms_take(&tiles);
	return KMS_OK;
}

uint64_t ledger_tiles_size(const struct tiles *tiles)
{
	return tiles->size;
}

/* ---- files ---- */

static kms_err failed(const char *action, const char *path)
{
	kms_log(KMS_LOG_ERROR, "ledger: cannot %s %s: %s", action, path, strerror(errno));
	return KMS_ERR(IO);
}

/* The folders between ours and the file. */
static kms_err make_folders(const struct tiles *tiles, char *path)
{
	char *slash = path + strlen(tiles->folder);
	while ((slash = strchr(slash + 1, '/')) != NULL) {
		*slash = '\0';
		/* The umask has no say: whoever passes the files on is another user. */
		bool made = mkdir(path, FOLDER_MODE) == 0;
		kms_err err = KMS_OK;
		if ((!made && errno != EEXIST) || (made && chmod(path, FOLDER_MODE) != 0)) {
			err = failed("make", path);
		}
		*slash = '/';
		KMS_TRY(err);
	}
	return KMS_OK;
}

/* Write a file, unless it is so already. */
static kms_err put_file(const struct tiles *tiles, const char *name, struct kms_bytes bytes)
{
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO_BUF there = {0};
	KMS_TRY(kms_text(&path, "%s/%s", tiles->folder, name));
	if (kms_is_ok(kms_file_read(path, bytes.len, &there)) &&
		kms_bytes_equal(kms_buf_bytes(&there), bytes)) {
		return KMS_OK;
	}
	KMS_TRY(make_folders(tiles, path));
	return kms_file_write(path, bytes, FILE_MODE);
}

/* A full tile stands for its partial ones (tlog-tiles, "Partial Tiles"). */
static void drop_partials(const struct tiles *tiles, const char *name)
{
	KMS_AUTO_FREE char *path = NULL;
	if (!kms_is_ok(kms_text(&path, "%s/%s.p", tiles->folder, name))) {
		return;
	}
	DIR *folder = opendir(path);
	if (folder == NULL) {
		return;
	}
	for (struct dirent *file; (file = readdir(folder)) != NULL;) {
		if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0) {
			(void)unlinkat(dirfd(folder), file->d_name, 0);
		}
	}
	(void)closedir(folder);
	(void)rmdir(path); /* what cannot be removed is only in the way of the disk's space */
}

/* ---- tiles ---- */

static kms_err write_tile(struct tiles *tiles, unsigned level, uint64_t index, unsigned width)
{
	char name[TLOG_TILE_PATH];
	for (unsigned i = 0; i < width; i++) {
		KMS_TRY(store_node_get(tiles->store, level * TLOG_TILE_HEIGHT,
			index * TLOG_TILE_WIDTH + i, &tiles->hashes[i]));
	}
	return put_file(tiles, tlog_tile_path(level, index, width, name),
		(struct kms_bytes){tiles->hashes[0].b, width * sizeof(tiles->hashes[0])});
}

/* One read of the store for 256 hashes: they are right when they lead to the node above them. */
static bool tile_is_right(
	struct tiles *tiles, unsigned level, uint64_t index, const struct kms_hash *above)
{
	char name[TLOG_TILE_PATH];
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO_BUF bytes = {0};
	struct kms_hash root;
	(void)tlog_tile_path(level, index, TLOG_TILE_WIDTH, name);
	if (!kms_is_ok(kms_text(&path, "%s/%s", tiles->folder, name)) ||
		!kms_is_ok(kms_file_read(path, TLOG_TILE_BYTES, &bytes)) ||
		bytes.len != TLOG_TILE_BYTES) {
		return false;
	}
	memcpy(tiles->hashes, bytes.ptr, TLOG_TILE_BYTES);
	return kms_is_ok(tlog_root_of(tiles->hashes, TLOG_TILE_WIDTH, &root)) &&
	       kms_hash_equal(&root, above);
}

static kms_err full_tile(struct tiles *tiles, unsigned level, uint64_t index)
{
	char name[TLOG_TILE_PATH];
	struct kms_hash above;
	KMS_TRY(store_node_get(tiles->store, (level + 1) * TLOG_TILE_HEIGHT, index, &above));
	if (!tile_is_right(tiles, level, index, &above)) {
		KMS_TRY(write_tile(tiles, level, index, TLOG_TILE_WIDTH));
	}
	drop_partials(tiles, tlog_tile_path(level, index, TLOG_TILE_WIDTH, name));
	return KMS_OK;
}

kms_err ledger_tiles_publish(
	struct tiles *tiles, uint64_t size, struct kms_bytes note, bool *ret_done)
{
	unsigned left = ROUND_TILES;
	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		uint64_t hashes = tlog_tile_hashes(size, level);
		uint64_t full = hashes / TLOG_TILE_WIDTH;
		for (; tiles->full[level] < full; tiles->full[level]++) {
			if (left-- == 0) {
				*ret_done = false;
				return KMS_OK;
			}
			KMS_TRY(full_tile(tiles, level, tiles->full[level]));
		}
		if (hashes % TLOG_TILE_WIDTH > 0) {
			KMS_TRY(write_tile(
				tiles, level, full, (unsigned)(hashes % TLOG_TILE_WIDTH)));
		}
	}
	/* Last: whoever reads it finds all that it stands for. */
	KMS_TRY(put_file(tiles, "checkpoint", note));
	tiles->size = size;
	*ret_done = true;
	return KMS_OK;
}
