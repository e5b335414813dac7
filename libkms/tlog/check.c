/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification of proofs, step by step as RFC 9162 sections 2.1.3.2 and 2.1.4.2 have it. Runs in
 * every program. It must never trust a count, an index or a hash that it is given.
 */
#include "tlog.h"

/* Where the walk from leaf to root is: the position at this level and the last position there. */
struct walk {
	uint64_t fn;
	uint64_t sn;
};

static void up(struct walk *walk)
{
	walk->fn >>= 1;
	walk->sn >>= 1;
}

/* Is the next sibling on the left? If so, skip the levels where the right edge has no sibling. */
static bool sibling_is_left(struct walk *walk)
{
	if ((walk->fn & 1) == 0 && walk->fn != walk->sn) {
		return false;
	}
	while ((walk->fn & 1) == 0 && walk->fn != 0) {
		up(walk);
	}
	return true;
}

kms_err tlog_check_inclusion(const struct kms_hash *leaf, uint64_t index, uint64_t size,
	const struct tlog_proof *proof, const struct kms_hash *root)
{
	if (index >= size || size > TLOG_SIZE_MAX || proof->count > TLOG_PROOF_MAX) { /* step 1 */
		return KMS_ERR(INTEGRITY);
	}
	struct walk walk = {index, size - 1};
	struct kms_hash r = *leaf;
	for (unsigned i = 0; i < proof->count; i++) {
		const struct kms_hash *p = &proof->hashes[i];
		if (walk.sn == 0) { /* step 4a */
			return KMS_ERR(INTEGRITY);
		}
		if (sibling_is_left(&walk)) {
			KMS_TRY(tlog_node_hash(p, &r, &r));
		} else {
			KMS_TRY(tlog_node_hash(&r, p, &r));
		}
		up(&walk);
	}
	return walk.sn == 0 && kms_hash_equal(&r, root) ? KMS_OK : KMS_ERR(INTEGRITY);
}

/* Steps 2 to 7 for 0 < old_size < size. */
static kms_err check_growth(uint64_t old_size, const struct kms_hash *old_root, uint64_t size,
	const struct kms_hash *root, const struct tlog_proof *proof)
{
	if (proof->count == 0) {
		return KMS_ERR(INTEGRITY);
	}
	/* Step 2: an old tree of a power of two is itself the first node. */
	bool whole = (old_size & (old_size - 1)) == 0;
	struct kms_hash fr = whole ? *old_root : proof->hashes[0];
	struct kms_hash sr = fr;
	struct walk walk = {old_size - 1, size - 1};
	while ((walk.fn & 1) != 0) { /* step 4 */
		up(&walk);
	}
	for (unsigned i = whole ? 0 : 1; i < proof->count; i++) {
		const struct kms_hash *c = &proof->hashes[i];
		if (walk.sn == 0) { /* step 6a */
			return KMS_ERR(INTEGRITY);
		}
		if (sibling_is_left(&walk)) {
			KMS_TRY(tlog_node_hash(c, &fr, &fr));
			KMS_TRY(tlog_node_hash(c, &sr, &sr));
		} else {
			KMS_TRY(tlog_node_hash(&sr, c, &sr));
		}
		up(&walk);
	}
	bool same = kms_hash_equal(&fr, old_root) && kms_hash_equal(&sr, root);
	return walk.sn == 0 && same ? KMS_OK : KMS_ERR(INTEGRITY);
}

kms_err tlog_check_consistency(uint64_t old_size, const struct kms_hash *old_root, uint64_t size,
	const struct kms_hash *root, const struct tlog_proof *proof)
{
	if (old_size == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (old_size > size || size > TLOG_SIZE_MAX || proof->count > TLOG_PROOF_MAX) {
		return KMS_ERR(INTEGRITY);
	}
	if (old_size == size) {
		bool same = proof->count == 0 && kms_hash_equal(old_root, root);
		return same ? KMS_OK : KMS_ERR(INTEGRITY);
	}
	return check_growth(old_size, old_root, size, root, proof);
}
