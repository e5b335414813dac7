/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proofs from stored nodes (RFC 9162 sections 2.1.3.1 and 2.1.4.1). Runs in kmsd and in programs
 * that hold a whole ledger. It reads full subtrees only; the others it hashes from them.
 */
#include "tlog.h"

/* Leaves [start, end) of a tree; start is a multiple of the largest full subtree in it. */
struct range {
	uint64_t start;
	uint64_t end;
};

struct source {
	tlog_read_node read;
	void *ctx;
};

/* The largest power of two smaller than n, n > 1: where RFC 9162 splits a tree. */
static uint64_t split_of(uint64_t n)
{
	return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

/* Its Merkle tree hash: the full subtrees, joined from the smallest (the last) on. */
static kms_err range_root(
	const struct source *source, struct range range, struct kms_hash *ret_root)
{
	uint64_t count = range.end - range.start;
	struct kms_hash root = {0};
	bool first = true;
	for (unsigned level = 0; level < TLOG_LEVELS && count >> level != 0; level++) {
		if ((count >> level & 1) == 0) {
			continue;
		}
		uint64_t before = (count >> level) - 1; /* subtrees of this size left of it */
		struct kms_hash node;
		KMS_TRY(source->read(source->ctx, level, (range.start >> level) + before, &node));
		if (first) {
			root = node;
			first = false;
		} else {
			KMS_TRY(tlog_node_hash(&node, &root, &root));
		}
	}
	*ret_root = root;
	return KMS_OK;
}

/* Go down one level to the side that holds leaf; the other side's hash belongs to the proof. */
static kms_err descend(
	const struct source *source, uint64_t leaf, struct range *range, struct tlog_proof *proof)
{
	uint64_t middle = range->start + split_of(range->end - range->start);
	struct range left = {range->start, middle};
	struct range right = {middle, range->end};
	bool in_left = leaf < middle;
	KMS_ASSERT(proof->count < TLOG_PROOF_MAX);
	KMS_TRY(range_root(source, in_left ? right : left, &proof->hashes[proof->count]));
	proof->count++;
	*range = in_left ? left : right;
	return KMS_OK;
}

/* Both are collected from the root down, and written from the leaf up. */
static void reverse(const struct tlog_proof *proof, struct tlog_proof *ret_proof)
{
	ret_proof->count = proof->count;
	for (unsigned i = 0; i < proof->count; i++) {
		ret_proof->hashes[i] = proof->hashes[proof->count - 1 - i];
	}
}

kms_err tlog_prove_inclusion(
	tlog_read_node read, void *ctx, uint64_t index, uint64_t size, struct tlog_proof *ret_proof)
{
	if (index >= size || size > TLOG_SIZE_MAX) {
		return KMS_ERR(ARGUMENT);
	}
	const struct source source = {read, ctx};
	struct tlog_proof proof = {0};
	struct range range = {0, size};
	while (range.end - range.start > 1) {
		KMS_TRY(descend(&source, index, &range, &proof));
	}
	reverse(&proof, ret_proof);
	return KMS_OK;
}

kms_err tlog_prove_consistency(tlog_read_node read, void *ctx, uint64_t old_size, uint64_t size,
	struct tlog_proof *ret_proof)
{
	if (old_size == 0 || old_size > size || size > TLOG_SIZE_MAX) {
		return KMS_ERR(ARGUMENT);
	}
	const struct source source = {read, ctx};
	struct tlog_proof proof = {0};
	struct range range = {0, size};
	/* SUBPROOF: follow the old tree's last leaf until a range ends where the old tree does. */
	while (range.end != old_size) {
		KMS_TRY(descend(&source, old_size - 1, &range, &proof));
	}
	if (range.start != 0) { /* b is false: the verifier does not have this hash */
		KMS_ASSERT(proof.count < TLOG_PROOF_MAX);
		KMS_TRY(range_root(&source, range, &proof.hashes[proof.count]));
		proof.count++;
	}
	reverse(&proof, ret_proof);
	return KMS_OK;
}
