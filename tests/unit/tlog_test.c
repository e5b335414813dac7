/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of every size up to 130 against RFC 9162's own recursive definitions, every proof of
 * them, and what happens when one thing in a proof is changed.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tlog.h"

enum { LEAVES = 130, LEVELS = 8 };

static struct kms_hash leaves[LEAVES];
static struct kms_hash roots[LEAVES + 1]; /* by the definition */
static struct kms_hash nodes[LEVELS][LEAVES];
static bool stored[LEVELS][LEAVES];
/* Large, so not on the stack. */
static struct tlog_node filled[TLOG_LEVELS];
static struct tlog_edge edge;
static struct tlog_edge again;
static struct tlog_proof proof;
static struct tlog_proof changed;

static void ok(kms_err err)
{
	ck_assert_msg(kms_is_ok(err), "%s", kms_err_text(err));
}

/* The split of RFC 9162 section 2.1.1: k < n <= 2k. */
static size_t split_of(size_t n)
{
	size_t k = 1;
	while (2 * k < n) {
		k *= 2;
	}
	return k;
}

/* MTH, word for word. */
static struct kms_hash mth(const struct kms_hash *at, size_t n)
{
	struct kms_hash hash;
	if (n == 1) {
		return at[0];
	}
	struct kms_hash left = mth(at, split_of(n));
	struct kms_hash right = mth(at + split_of(n), n - split_of(n));
	ok(tlog_node_hash(&left, &right, &hash));
	return hash;
}

/* A proof's shape: on which side each sibling stands, leaf to root. Two positions of one shape
 * are told apart by nothing but the root, which the log signs together with the size. */
struct shape {
	char text[LEVELS + 2];
};

static void shape_push(struct shape *shape, char side)
{
	size_t len = strlen(shape->text);
	ck_assert_uint_lt(len + 1, sizeof(shape->text));
	shape->text[len] = side;
}

static void path_shape(size_t m, size_t n, struct shape *shape)
{
	if (n > 1) {
		size_t k = split_of(n);
		path_shape(m < k ? m : m - k, m < k ? k : n - k, shape);
		shape_push(shape, m < k ? 'r' : 'l');
	}
}

static void subproof_shape(size_t m, size_t n, bool b, struct shape *shape)
{
	if (m == n) {
		shape_push(shape, b ? 'o' : 'h'); /* the old root itself, or a first hash */
	} else {
		size_t k = split_of(n);
		subproof_shape(m <= k ? m : m - k, m <= k ? k : n - k, b && m <= k, shape);
		shape_push(shape, m <= k ? 'r' : 'l');
	}
}

static bool same_shape(const struct shape *a, const struct shape *b)
{
	return strcmp(a->text, b->text) == 0;
}

/* Reads nodes of the first *ctx leaves only, as they were when the tree had that size. */
static kms_err read_stored(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	const uint64_t *size = ctx;
	if (level >= LEVELS || (index + 1) << level > *size) {
		return KMS_ERR(NOT_FOUND);
	}
	ck_assert(stored[level][index]);
	*ret_hash = nodes[level][index];
	return KMS_OK;
}

static kms_err read_nothing(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	(void)ctx;
	(void)level;
	(void)index;
	(void)ret_hash;
	return KMS_ERR(NOT_FOUND);
}

static void store_node(const struct tlog_node *node)
{
	ck_assert_uint_lt(node->level, LEVELS);
	ck_assert_uint_lt(node->index, LEAVES);
	ck_assert(!stored[node->level][node->index]);
	stored[node->level][node->index] = true;
	nodes[node->level][node->index] = node->hash;
}

static void setup(void)
{
	edge = (struct tlog_edge){0};
	memset(stored, 0, sizeof(stored));
	ok(tlog_root_of(NULL, 0, &roots[0]));
	for (size_t i = 0; i < LEAVES; i++) {
		uint8_t data[] = {'e', (uint8_t)i};
		ok(tlog_leaf_hash(KMS_BYTES_OF(data), &leaves[i]));
		unsigned count = 0;
		ok(tlog_edge_append(&edge, &leaves[i], filled, &count));
		for (unsigned j = 0; j < count; j++) {
			store_node(&filled[j]);
		}
		roots[i + 1] = mth(leaves, i + 1);
	}
}

static void flip(struct kms_hash *hash, size_t bit)
{
	hash->b[bit / 8 % sizeof(hash->b)] ^= (uint8_t)(1U << bit % 8);
}

START_TEST(hashes_as_rfc_6962_does)
{
	/* The known answers of the RFC 6962 reference implementation. */
	static const char empty[] =
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	static const char empty_leaf[] =
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
	char text[KMS_HASH_TEXT];
	struct kms_hash hash;
	ck_assert_str_eq(kms_hash_text(&roots[0], text), empty);
	ok(tlog_leaf_hash((struct kms_bytes){NULL, 0}, &hash));
	ck_assert_str_eq(kms_hash_text(&hash, text), empty_leaf);
	ok(tlog_node_hash(&leaves[0], &leaves[1], &hash));
	struct kms_hash swapped;
	ok(tlog_node_hash(&leaves[1], &leaves[0], &swapped));
	ck_assert(!kms_hash_equal(&hash, &swapped));
}
END_TEST

START_TEST(grows_as_defined)
{
	edge = (struct tlog_edge){0};
	for (uint64_t size = 0; size <= LEAVES; size++) {
		struct kms_hash root;
		ck_assert_uint_eq(edge.size, size);
		ok(tlog_edge_root(&edge, &root));
		ck_assert(kms_hash_equal(&root, &roots[size]));
		ok(tlog_root_of(leaves, size, &root));
		ck_assert(kms_hash_equal(&root, &roots[size]));

		ok(tlog_edge_read(read_stored, &size, size, &again));
		ck_assert_uint_eq(again.size, edge.size);
		ck_assert_uint_eq(again.count, edge.count);
		ck_assert_mem_eq(again.roots, edge.roots, edge.count * sizeof(edge.roots[0]));
		if (size < LEAVES) {
			unsigned count = 0;
			ok(tlog_edge_append(&edge, &leaves[size], filled, &count));
			ck_assert_uint_eq(filled[0].level, 0);
			ck_assert_uint_eq(filled[0].index, size);
		}
	}
	/* every full subtree of the largest tree was given out */
	for (unsigned level = 0; level < LEVELS; level++) {
		for (size_t i = 0; i < LEAVES; i++) {
			ck_assert(stored[level][i] == ((i + 1) << level <= LEAVES));
			if (stored[level][i]) {
				struct kms_hash root =
					mth(leaves + (i << level), (size_t)1 << level);
				ck_assert(kms_hash_equal(&nodes[level][i], &root));
			}
		}
	}
}
END_TEST

/* Everything that may be changed in a good inclusion proof, one at a time. */
static void inclusion_changed(size_t index, size_t size)
{
	const struct kms_hash *leaf = &leaves[index];
	const struct kms_hash *root = &roots[size];
	changed = proof;
	for (unsigned i = 0; i < proof.count; i++) {
		flip(&changed.hashes[i], index + 31 * i);
		ck_assert(kms_is(tlog_check_inclusion(leaf, index, size, &changed, root),
			KMS_CODE_INTEGRITY));
		changed.hashes[i] = proof.hashes[i];
	}
	struct kms_hash other = *leaf;
	flip(&other, size);
	ck_assert(kms_is(
		tlog_check_inclusion(&other, index, size, &proof, root), KMS_CODE_INTEGRITY));
	other = *root;
	flip(&other, size);
	ck_assert(kms_is(
		tlog_check_inclusion(leaf, index, size, &proof, &other), KMS_CODE_INTEGRITY));
	changed.count = proof.count + 1; /* its last hash is zero */
	ck_assert(kms_is(
		tlog_check_inclusion(leaf, index, size, &changed, root), KMS_CODE_INTEGRITY));
	if (proof.count > 0) {
		changed.count = proof.count - 1;
		ck_assert(kms_is(tlog_check_inclusion(leaf, index, size, &changed, root),
			KMS_CODE_INTEGRITY));
	}
}

/* No other index is good; another size only where the tree has the same shape there. */
static void inclusion_moved(size_t index, size_t size)
{
	struct shape shape = {{0}};
	path_shape(index, size, &shape);
	size_t step = size <= 40 ? 1 : 7; /* all of them would take a sanitizer build a minute */
	for (size_t i = 0; i <= size; i += step) {
		kms_err err = tlog_check_inclusion(&leaves[index], i, size, &proof, &roots[size]);
		ck_assert(kms_is(err, i == index ? KMS_CODE_OK : KMS_CODE_INTEGRITY));
	}
	const size_t sizes[] = {0, 1, index, size - 1, size + 1, size / 2, size * 2 % LEAVES};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct shape other = {{0}};
		if (index < sizes[i]) {
			path_shape(index, sizes[i], &other);
		}
		bool good = index < sizes[i] && same_shape(&shape, &other);
		kms_err err =
			tlog_check_inclusion(&leaves[index], index, sizes[i], &proof, &roots[size]);
		ck_assert(kms_is(err, good ? KMS_CODE_OK : KMS_CODE_INTEGRITY));
		if (good && sizes[i] != size) { /* and the signed root of that size refuses it */
			ck_assert(kms_is(tlog_check_inclusion(&leaves[index], index, sizes[i],
						 &proof, &roots[sizes[i]]),
				KMS_CODE_INTEGRITY));
		}
	}
}

START_TEST(proves_every_leaf)
{
	for (uint64_t size = 1; size <= LEAVES; size++) {
		for (uint64_t index = 0; index < size; index++) {
			ok(tlog_prove_inclusion(read_stored, &size, index, size, &proof));
			ok(tlog_check_inclusion(&leaves[index], index, size, &proof, &roots[size]));
			inclusion_changed(index, size);
			inclusion_moved(index, size);
		}
	}
}
END_TEST

static void consistency_changed(size_t old, size_t size)
{
	changed = proof;
	for (unsigned i = 0; i < proof.count; i++) {
		flip(&changed.hashes[i], old + 31 * i);
		ck_assert(kms_is(
			tlog_check_consistency(old, &roots[old], size, &roots[size], &changed),
			KMS_CODE_INTEGRITY));
		changed.hashes[i] = proof.hashes[i];
	}
	struct kms_hash other = roots[old];
	flip(&other, size);
	ck_assert(kms_is(tlog_check_consistency(old, &other, size, &roots[size], &proof),
		KMS_CODE_INTEGRITY));
	other = roots[size];
	flip(&other, old);
	ck_assert(kms_is(tlog_check_consistency(old, &roots[old], size, &other, &proof),
		KMS_CODE_INTEGRITY));
	changed.count = proof.count + 1;
	ck_assert(kms_is(tlog_check_consistency(old, &roots[old], size, &roots[size], &changed),
		KMS_CODE_INTEGRITY));
	if (proof.count > 0) {
		changed.count = proof.count - 1;
		ck_assert(kms_is(
			tlog_check_consistency(old, &roots[old], size, &roots[size], &changed),
			KMS_CODE_INTEGRITY));
	}
}

static void consistency_moved(size_t old, size_t size)
{
	struct shape shape = {{0}};
	subproof_shape(old, size, true, &shape);
	const size_t moves[][2] = {{old - 1, size}, {old + 1, size}, {old, size - 1},
		{old, size + 1}, {old, size * 2}, {size, old}, {old / 2, size}, {old * 2, size}};
	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		size_t old_moved = moves[i][0];
		size_t size_moved = moves[i][1];
		if ((old_moved == old && size_moved == size) || old_moved == 0) {
			continue;
		}
		struct shape other = {{0}};
		if (old_moved <= size_moved && size_moved <= LEAVES) {
			subproof_shape(old_moved, size_moved, true, &other);
		}
		bool good = same_shape(&shape, &other);
		kms_err err = tlog_check_consistency(
			old_moved, &roots[old], size_moved, &roots[size], &proof);
		if (size_moved <= LEAVES) {
			ck_assert(kms_is(err, good ? KMS_CODE_OK : KMS_CODE_INTEGRITY));
		}
	}
}

START_TEST(proves_every_growth)
{
	for (uint64_t size = 1; size <= LEAVES; size++) {
		for (uint64_t old = 1; old <= size; old++) {
			ok(tlog_prove_consistency(read_stored, &size, old, size, &proof));
			ok(tlog_check_consistency(old, &roots[old], size, &roots[size], &proof));
			consistency_changed(old, size);
			consistency_moved(old, size);
		}
	}
}
END_TEST

START_TEST(refuses_what_has_no_proof)
{
	uint64_t size = 5;
	proof.count = 77;
	ck_assert(
		kms_is(tlog_prove_inclusion(read_stored, &size, 5, 5, &proof), KMS_CODE_ARGUMENT));
	ck_assert(
		kms_is(tlog_prove_inclusion(read_stored, &size, 0, 0, &proof), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		tlog_prove_consistency(read_stored, &size, 0, 5, &proof), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		tlog_prove_consistency(read_stored, &size, 6, 5, &proof), KMS_CODE_ARGUMENT));
	/* a node that is not stored is said so, and nothing is returned */
	edge.size = 77;
	ck_assert(
		kms_is(tlog_prove_inclusion(read_nothing, NULL, 0, 5, &proof), KMS_CODE_NOT_FOUND));
	ck_assert(kms_is(
		tlog_prove_consistency(read_nothing, NULL, 3, 5, &proof), KMS_CODE_NOT_FOUND));
	ck_assert(kms_is(tlog_edge_read(read_nothing, NULL, 5, &edge), KMS_CODE_NOT_FOUND));
	ck_assert_uint_eq(proof.count, 77);
	ck_assert_uint_eq(edge.size, 77);

	proof.count = 0;
	ck_assert(kms_is(
		tlog_check_consistency(0, &roots[0], 5, &roots[5], &proof), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		tlog_check_consistency(0, &roots[0], 0, &roots[0], &proof), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		tlog_check_inclusion(&leaves[0], 0, 0, &proof, &leaves[0]), KMS_CODE_INTEGRITY));
}
END_TEST

/* A tree of equal leaves has one hash per level: enough to stand in for any size. */
static kms_err read_equal(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	const struct kms_hash *levels = ctx;
	ck_assert_uint_le(index, (TLOG_SIZE_MAX >> level) - 1);
	*ret_hash = levels[level];
	return KMS_OK;
}

static void equal_levels(struct kms_hash levels[TLOG_LEVELS])
{
	levels[0] = leaves[0];
	for (size_t i = 1; i < TLOG_LEVELS; i++) {
		ok(tlog_node_hash(&levels[i - 1], &levels[i - 1], &levels[i]));
	}
}

START_TEST(holds_its_largest_size)
{
	struct kms_hash levels[TLOG_LEVELS];
	equal_levels(levels);
	const uint64_t size = TLOG_SIZE_MAX;
	struct kms_hash root;
	ok(tlog_edge_read(read_equal, levels, size, &edge));
	ck_assert_uint_eq(edge.count, 63);
	ok(tlog_edge_root(&edge, &root));

	const uint64_t indexes[] = {0, 1, size / 2, size - 1};
	for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		ok(tlog_prove_inclusion(read_equal, levels, indexes[i], size, &proof));
		ok(tlog_check_inclusion(&leaves[0], indexes[i], size, &proof, &root));
	}
	const uint64_t half = (uint64_t)1 << 62;
	const uint64_t olds[] = {1, 2, half, half + 1, size - 1, size};
	unsigned longest = 0;
	for (size_t i = 0; i < sizeof(olds) / sizeof(olds[0]); i++) {
		struct kms_hash old_root;
		ok(tlog_edge_read(read_equal, levels, olds[i], &again));
		ok(tlog_edge_root(&again, &old_root));
		ok(tlog_prove_consistency(read_equal, levels, olds[i], size, &proof));
		ok(tlog_check_consistency(olds[i], &old_root, size, &root, &proof));
		longest = proof.count > longest ? proof.count : longest;
	}
	ck_assert_uint_eq(longest, TLOG_PROOF_MAX); /* old size 2^62 + 1 */
	proof.count = TLOG_PROOF_MAX + 1;
	ck_assert(kms_is(
		tlog_check_inclusion(&leaves[0], 0, size, &proof, &root), KMS_CODE_INTEGRITY));
	ck_assert(kms_is(
		tlog_check_consistency(half + 1, &root, size, &root, &proof), KMS_CODE_INTEGRITY));
}
END_TEST

START_TEST(refuses_a_larger_size)
{
	struct kms_hash levels[TLOG_LEVELS];
	equal_levels(levels);
	const uint64_t over = TLOG_SIZE_MAX + 1;
	unsigned count = 0;
	ok(tlog_edge_read(read_equal, levels, TLOG_SIZE_MAX - 1, &edge));
	ok(tlog_edge_append(&edge, &leaves[0], filled, &count));
	ck_assert_uint_eq(edge.size, TLOG_SIZE_MAX);
	ck_assert(kms_is(tlog_edge_append(&edge, &leaves[0], filled, &count), KMS_CODE_TOO_LARGE));
	ck_assert_uint_eq(edge.size, TLOG_SIZE_MAX);
	ck_assert(kms_is(tlog_edge_read(read_equal, levels, over, &edge), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		tlog_prove_inclusion(read_equal, levels, 0, over, &proof), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		tlog_prove_consistency(read_equal, levels, 1, over, &proof), KMS_CODE_ARGUMENT));
	/* a power of two, so the walk itself would come out right: the size alone is refused */
	proof.count = 63;
	for (size_t i = 0; i < 63; i++) {
		proof.hashes[i] = levels[i];
	}
	struct kms_hash root;
	ok(tlog_node_hash(&levels[62], &levels[62], &root));
	ck_assert(kms_is(
		tlog_check_inclusion(&leaves[0], 0, over, &proof, &root), KMS_CODE_INTEGRITY));
	ck_assert(kms_is(
		tlog_check_consistency(1, &leaves[0], over, &root, &proof), KMS_CODE_INTEGRITY));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tlog");
	TCase *tcase = tcase_create("tree");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, hashes_as_rfc_6962_does);
	tcase_add_test(tcase, grows_as_defined);
	tcase_add_test(tcase, proves_every_leaf);
	tcase_add_test(tcase, proves_every_growth);
	tcase_add_test(tcase, refuses_what_has_no_proof);
	tcase_add_test(tcase, holds_its_largest_size);
	tcase_add_test(tcase, refuses_a_larger_size);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
