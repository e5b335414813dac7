/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merkle hashing and the growing edge of a tree (RFC 9162 section 2.1.1). Runs in kmsd, which
 * builds the ledger, and wherever one is verified. It must never change an edge by half.
 */
#include "crypto.h"
#include "tlog.h"

/* Set apart, so that no leaf can be passed off as a node. */
static const uint8_t LEAF[] = {0x00};
static const uint8_t NODE[] = {0x01};

kms_err tlog_leaf_hash(struct kms_bytes data, struct kms_hash *ret_hash)
{
	const struct kms_bytes parts[] = {KMS_BYTES_OF(LEAF), data};
	return crypto_sha256(parts, 2, ret_hash);
}

kms_err tlog_node_hash(
	const struct kms_hash *left, const struct kms_hash *right, struct kms_hash *ret_hash)
{
	const struct kms_bytes parts[] = {
		KMS_BYTES_OF(NODE), KMS_BYTES_OF(left->b), KMS_BYTES_OF(right->b)};
	return crypto_sha256(parts, 3, ret_hash);
}

/* ret_nodes may be NULL. */
static kms_err edge_add(struct tlog_edge *edge, const struct kms_hash *leaf,
	struct tlog_node *ret_nodes, unsigned *ret_count)
{
	/* The tree has a full subtree of 2^l leaves for each bit l of its size: adding one is
	 * binary addition, and each carry joins two subtrees. */
	struct kms_hash root = *leaf;
	unsigned count = edge->count;
	unsigned level = 0;
	for (;;) {
		if (ret_nodes != NULL) {
			ret_nodes[level] = (struct tlog_node){level, edge->size >> level, root};
		}
		if ((edge->size >> level & 1) == 0) {
			break;
		}
		KMS_ASSERT(count > 0);
		count--;
		KMS_TRY(tlog_node_hash(&edge->roots[count], &root, &root));
		level++;
	}
	edge->roots[count] = root;
	edge->count = count + 1;
	edge->size++;
	*ret_count = level + 1;
	return KMS_OK;
}

kms_err tlog_edge_append(struct tlog_edge *edge, const struct kms_hash *leaf,
	struct tlog_node *ret_nodes, unsigned *ret_count)
{
	if (edge->size >= TLOG_SIZE_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	return edge_add(edge, leaf, ret_nodes, ret_count);
}

kms_err tlog_root_of(const struct kms_hash *leaves, size_t count, struct kms_hash *ret_root)
{
	struct tlog_edge edge = {0};
	for (size_t i = 0; i < count; i++) {
		unsigned filled = 0;
		KMS_TRY(edge_add(&edge, &leaves[i], NULL, &filled));
	}
	return tlog_edge_root(&edge, ret_root);
}

kms_err tlog_edge_root(const struct tlog_edge *edge, struct kms_hash *ret_root)
{
	if (edge->count == 0) {
		return crypto_sha256(NULL, 0, ret_root); /* RFC 9162: MTH({}) = HASH() */
	}
	struct kms_hash root = edge->roots[edge->count - 1];
	for (unsigned i = edge->count - 1; i-- > 0;) {
		KMS_TRY(tlog_node_hash(&edge->roots[i], &root, &root));
	}
	*ret_root = root;
	return KMS_OK;
}

kms_err tlog_edge_read(tlog_read_node read, void *ctx, uint64_t size, struct tlog_edge *ret_edge)
{
	if (size > TLOG_SIZE_MAX) {
		return KMS_ERR(ARGUMENT);
	}
	struct tlog_edge edge = {.size = size};
	uint64_t start = 0;
	for (unsigned level = TLOG_LEVELS; level-- > 0;) {
		if ((size >> level & 1) != 0) {
			KMS_TRY(read(ctx, level, start >> level, &edge.roots[edge.count]));
			edge.count++;
			start += (uint64_t)1 << level;
		}
	}
	*ret_edge = edge;
	return KMS_OK;
}
