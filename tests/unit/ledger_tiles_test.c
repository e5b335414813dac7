/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the tree as static files (C2SP tlog-tiles): names and sizes as the specification's
 * examples have them, roots recomputed from the files alone, and files that are missing or wrong.
 */
#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"
#include "ledger_int.h"
#include "store.h"
#include "tlog.h"

static void ok(kms_err err, const char *what, int line)
{
	if (!kms_is_ok(err)) {
		ck_abort_msg("line %d: %s: %s", line, what, kms_err_name(err));
	}
}
#define OK(expr) ok(expr, #expr, __LINE__)
#define FAILS(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

/* ---- names and sizes ---- */

static const struct {
	unsigned level;
	uint64_t index;
	unsigned width;
	const char *path;
} PATHS[] = {
	{0, 1234067, 256, "tile/0/x001/x234/067"}, /* the specification's */
	{0, 0, 256, "tile/0/000"},
	{0, 0, 1, "tile/0/000.p/1"},
	{0, 0, 255, "tile/0/000.p/255"},
	{1, 999, 256, "tile/1/999"},
	{1, 1000, 256, "tile/1/x001/000"},
	{0, 273, 112, "tile/0/273.p/112"},
	{2, 1000000, 7, "tile/2/x001/x000/000.p/7"},
	{63, 5, 256, "tile/63/005"},
	{0, ((uint64_t)INT64_MAX) / 256, 255, "tile/0/x036/x028/x797/x018/x963/967.p/255"},
	{0, UINT64_MAX, 256, "tile/0/x018/x446/x744/x073/x709/x551/615"},
};

START_TEST(paths_are_as_specified)
{
	char text[TLOG_TILE_PATH];
	ck_assert_str_eq(tlog_tile_path(PATHS[_i].level, PATHS[_i].index, PATHS[_i].width, text),
		PATHS[_i].path);
}
END_TEST

/* Hashes of all tiles of one level together: 256 * full ones + the width of the partial one. */
START_TEST(sizes_are_as_specified)
{
	ck_assert_uint_eq(tlog_tile_hashes(70000, 0), 273 * 256 + 112);
	ck_assert_uint_eq(tlog_tile_hashes(70000, 1), 1 * 256 + 17);
	ck_assert_uint_eq(tlog_tile_hashes(70000, 2), 1);
	ck_assert_uint_eq(tlog_tile_hashes(70000, 3), 0);
	ck_assert_uint_eq(tlog_tile_hashes(256, 0), 256);
	ck_assert_uint_eq(tlog_tile_hashes(256, 1), 1);
	ck_assert_uint_eq(tlog_tile_hashes(255, 1), 0);
	ck_assert_uint_eq(tlog_tile_hashes(TLOG_SIZE_MAX, 7), 127);
	ck_assert_uint_eq(tlog_tile_hashes(TLOG_SIZE_MAX, 8), 0);
}
END_TEST

/* ---- a tree in a store, and its files ---- */

static char folder[64];
static struct store *store;
static struct tiles *tiles;
static struct tlog_edge edge;

static void set_up(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/kmsd-tiles-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	OK(store_open(NULL, STORE_CREATE, &store));
	memset(&edge, 0, sizeof(edge));
	(void)umask(077); /* as in kmsd */
	OK(ledger_tiles_open(store, folder, &tiles));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void tear_down(void)
{
	tiles_free(&tiles);
	store_free(&store);
	(void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void grow(uint64_t size)
{
	struct store_tx *tx = NULL;
	OK(store_begin(store, &tx));
	while (edge.size < size) {
		struct tlog_node nodes[TLOG_LEVELS];
		struct kms_hash leaf;
		unsigned count = 0;
		const uint64_t data = edge.size;
		OK(tlog_leaf_hash((struct kms_bytes){(const uint8_t *)&data, sizeof(data)}, &leaf));
		OK(tlog_edge_append(&edge, &leaf, nodes, &count));
		for (unsigned i = 0; i < count; i++) {
			OK(store_node_put(tx, nodes[i].level, nodes[i].index, &nodes[i].hash));
		}
	}
	OK(store_commit(&tx));
}

static struct kms_bytes note_of(uint64_t size)
{
	static char text[64];
	(void)snprintf(text, sizeof(text), "a checkpoint of %llu\n", (unsigned long long)size);
	return kms_bytes_str(text);
}

/* How many calls it took. */
static unsigned publish(void)
{
	bool done = false;
	unsigned calls = 0;
	for (; !done; calls++) {
		ck_assert_uint_lt(calls, 10);
		OK(ledger_tiles_publish(tiles, edge.size, note_of(edge.size), &done));
	}
	ck_assert_uint_eq(ledger_tiles_size(tiles), edge.size);
	return calls;
}

static const char *path_of(const char *name)
{
	static char path[160];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static const char *path_of_tile(unsigned level, uint64_t index, unsigned width)
{
	char name[TLOG_TILE_PATH];
	return path_of(tlog_tile_path(level, index, width, name));
}

/* All hashes of a level, from the files of a tree of that size. */
static struct kms_hash *read_level(uint64_t size, unsigned level, size_t *ret_count)
{
	size_t count = (size_t)tlog_tile_hashes(size, level);
	struct kms_hash *hashes = calloc(count + 1, sizeof(*hashes));
	for (size_t first = 0; first < count; first += TLOG_TILE_WIDTH) {
		KMS_AUTO_BUF file = {0};
		size_t width = count - first < TLOG_TILE_WIDTH ? count - first : TLOG_TILE_WIDTH;
		OK(kms_file_read(path_of_tile(level, first / TLOG_TILE_WIDTH, (unsigned)width),
			TLOG_TILE_BYTES, &file));
		ck_assert_uint_eq(file.len, width * sizeof(*hashes));
		memcpy(&hashes[first], file.ptr, file.len);
	}
	*ret_count = count;
	return hashes;
}

/* The root from the leaves; each full tile leads to its hash in the level above. */
static void files_hold_the_tree(void)
{
	struct kms_hash root, want;
	size_t count = 0, above_count = 0;
	struct kms_hash *hashes = read_level(edge.size, 0, &count);
	KMS_AUTO_BUF note = {0};
	OK(tlog_root_of(hashes, count, &root));
	OK(tlog_edge_root(&edge, &want));
	ck_assert(kms_hash_equal(&root, &want));
	for (unsigned level = 1; count > 0; level++) {
		struct kms_hash *above = read_level(edge.size, level, &above_count);
		ck_assert_uint_eq(above_count, count / TLOG_TILE_WIDTH);
		for (size_t i = 0; i < above_count; i++) {
			OK(tlog_root_of(&hashes[i * TLOG_TILE_WIDTH], TLOG_TILE_WIDTH, &root));
			ck_assert(kms_hash_equal(&root, &above[i]));
		}
		free(hashes);
		hashes = above;
		count = above_count;
	}
	free(hashes);
	OK(kms_file_read(path_of("checkpoint"), 100, &note));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&note), note_of(edge.size)));
}

static bool is_there(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

/* Every size up to the second partial tile of level 1, then what is around the borders. */
START_TEST(roots_follow_from_the_files_alone)
{
	for (uint64_t size = 1; size <= 1100; size += size < 10 || size % 256 > 250 ? 1 : 7) {
		grow(size);
		(void)publish();
		files_hold_the_tree();
	}
}
END_TEST

START_TEST(partial_tiles_stay_until_the_full_one_is_there)
{
	grow(5);
	(void)publish();
	grow(255);
	(void)publish();
	ck_assert(is_there(path_of_tile(0, 0, 5)));
	ck_assert(is_there(path_of_tile(0, 0, 255)));
	ck_assert(!is_there(path_of_tile(0, 0, 6))); /* nobody signed that size */
	ck_assert(!is_there(path_of("tile/1")));     /* empty ones must not be served */
	grow(256);
	(void)publish();
	ck_assert(!is_there(path_of("tile/0/000.p")));
	ck_assert(!is_there(path_of("tile/0/001.p")));
	ck_assert(is_there(path_of_tile(0, 0, 256)));
	ck_assert(is_there(path_of_tile(1, 0, 1)));
	files_hold_the_tree();
}
END_TEST

static int check_mode(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)at;
	if (strcmp(path, folder) != 0) {
		ck_assert_msg((st->st_mode & 07777) == (type == FTW_D ? 0755 : 0644), "%s: %o",
			path, (unsigned)st->st_mode);
	}
	return 0;
}

START_TEST(everybody_can_read_them)
{
	grow(300);
	(void)publish();
	ck_assert_int_eq(nftw(folder, check_mode, 16, FTW_PHYS), 0);
}
END_TEST

/* 257 full tiles of level 0 and one of level 1: more than one call writes, or looks at. */
START_TEST(a_large_tree_takes_several_calls)
{
	KMS_AUTO_BUF note = {0};
	bool done = true;
	grow(3);
	(void)publish();
	grow(257 * 256 + 9);
	OK(ledger_tiles_publish(tiles, edge.size, note_of(edge.size), &done));
	ck_assert(!done);
	OK(kms_file_read(path_of("checkpoint"), 100, &note));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&note), note_of(3)));
	ck_assert_uint_eq(publish(), 1);
	ck_assert(is_there(path_of_tile(1, 0, 256)));
	ck_assert(is_there(path_of_tile(1, 1, 1)));
	ck_assert(is_there(path_of_tile(2, 0, 1)));
	files_hold_the_tree();
	tiles_free(&tiles);
	OK(ledger_tiles_open(store, folder, &tiles));
	ck_assert_uint_eq(publish(), 2);
	files_hold_the_tree();
}
END_TEST

/* ---- after a start ---- */

static void overwrite(const char *path, size_t at, const char *bytes, size_t cut)
{
	FILE *file = fopen(path, "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, (long)at, SEEK_SET), 0);
	ck_assert_int_ge(fputs(bytes, file), 0);
	ck_assert_int_eq(fclose(file), 0);
	if (cut > 0) {
		ck_assert_int_eq(truncate(path, (off_t)cut), 0);
	}
}

START_TEST(missing_and_wrong_files_are_made_anew)
{
	struct stat before, after;
	grow(5);
	(void)publish(); /* a partial tile that is to go */
	grow(6 * 256 + 17);
	(void)publish();
	ck_assert_int_eq(stat(path_of_tile(0, 3, 256), &before), 0);
	tiles_free(&tiles);
	ck_assert_int_eq(unlink(path_of_tile(0, 0, 256)), 0);
	overwrite(path_of_tile(0, 1, 256), 100, "wrong", 0);
	overwrite(path_of_tile(0, 2, 256), 0, "", TLOG_TILE_BYTES - 1);
	overwrite(path_of_tile(0, 4, 256), TLOG_TILE_BYTES, "more", 0);
	overwrite(path_of_tile(0, 6, 17), 3, "wrong", 0);
	overwrite(path_of_tile(1, 0, 6), 3, "wrong", 0);
	overwrite(path_of("checkpoint"), 0, "an older one", 0);
	ck_assert_int_eq(mkdir(path_of("tile/0/005.p"), 0700), 0);
	OK(kms_file_write(path_of("tile/0/005.p/9.new"), note_of(1), 0600)); /* a kill left it */

	OK(ledger_tiles_open(store, folder, &tiles));
	(void)publish();
	files_hold_the_tree();
	ck_assert(!is_there(path_of("tile/0/005.p")));
	ck_assert_int_eq(stat(path_of_tile(0, 3, 256), &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino); /* a good one is left alone */
}
END_TEST

START_TEST(the_checkpoint_is_the_last)
{
	KMS_AUTO_BUF note = {0};
	bool done = false;
	grow(2);
	(void)publish();
	grow(3);
	ck_assert_int_eq(mkdir(path_of("tile/0/000.p/3"), 0700), 0); /* in the way */
	FAILS(ledger_tiles_publish(tiles, 3, note_of(3), &done), IO);
	ck_assert_uint_eq(ledger_tiles_size(tiles), 2);
	OK(kms_file_read(path_of("checkpoint"), 100, &note));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&note), note_of(2)));
	ck_assert_int_eq(rmdir(path_of("tile/0/000.p/3")), 0);
	(void)publish();
	files_hold_the_tree();
}
END_TEST

START_TEST(a_tree_that_the_store_has_not_is_not_published)
{
	bool done = false;
	grow(3);
	FAILS(ledger_tiles_publish(tiles, 4, note_of(4), &done), NOT_FOUND);
	ck_assert(!is_there(path_of("checkpoint")));
}
END_TEST

START_TEST(the_folder_has_to_be_one)
{
	struct tiles *none = NULL;
	grow(1);
	(void)publish();
	FAILS(ledger_tiles_open(store, path_of("not there"), &none), CONFIG);
	FAILS(ledger_tiles_open(store, path_of("checkpoint"), &none), CONFIG);
	ck_assert_ptr_null(none);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ledger_tiles");
	TCase *names = tcase_create("names");
	tcase_add_loop_test(
		names, paths_are_as_specified, 0, (int)(sizeof(PATHS) / sizeof(PATHS[0])));
	tcase_add_test(names, sizes_are_as_specified);
	suite_add_tcase(suite, names);
	TCase *files = tcase_create("files");
	tcase_add_checked_fixture(files, set_up, tear_down);
	tcase_set_timeout(files, 60);
	tcase_add_test(files, roots_follow_from_the_files_alone);
	tcase_add_test(files, partial_tiles_stay_until_the_full_one_is_there);
	tcase_add_test(files, everybody_can_read_them);
	tcase_add_test(files, a_large_tree_takes_several_calls);
	tcase_add_test(files, missing_and_wrong_files_are_made_anew);
	tcase_add_test(files, the_checkpoint_is_the_last);
	tcase_add_test(files, a_tree_that_the_store_has_not_is_not_published);
	tcase_add_test(files, the_folder_has_to_be_one);
	suite_add_tcase(suite, files);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
