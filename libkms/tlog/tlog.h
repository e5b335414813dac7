/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlog: the Merkle tree of RFC 6962/9162, C2SP signed notes, checkpoints and proofs: built by
 * kmsd, verified by everybody else with the same code. The only place for Merkle hashing.
 * No I/O: whoever builds proofs brings a function that reads nodes.
 */
#ifndef KMS_TLOG_H
#define KMS_TLOG_H

#include "base.h"

/* ---- hashing (RFC 9162 section 2.1.1) ---- */

kms_err tlog_leaf_hash(struct kms_bytes data, struct kms_hash *ret_hash);
kms_err tlog_node_hash(
	const struct kms_hash *left, const struct kms_hash *right, struct kms_hash *ret_hash);
/* The root of a small tree held in memory; count 0 gives SHA-256(""). */
kms_err tlog_root_of(const struct kms_hash *leaves, size_t count, struct kms_hash *ret_root);

/* ---- a growing tree ---- */

enum { TLOG_LEVELS = 64, TLOG_PROOF_MAX = 64 };
/* Leaves of the largest tree: with one more bit a consistency proof could have 65 hashes. */
#define TLOG_SIZE_MAX ((uint64_t)INT64_MAX)

/*
 * The right edge of a tree of size leaves: the roots of its full subtrees, largest first. Enough
 * to append and to know the root.
 */
struct tlog_edge {
	uint64_t size;
	unsigned count;
	struct kms_hash roots[TLOG_LEVELS];
};
/* A full subtree's root that became known by an append: node (level, index), where level 0 are
 * the leaves and node (l, i) covers leaves [i << l, (i + 1) << l). Whoever stores all of them can
 * answer any proof. */
struct tlog_node {
	unsigned level;
	uint64_t index;
	struct kms_hash hash;
};
/*
 * Append a leaf; ret_nodes has room for TLOG_LEVELS and gets the leaf and every node it filled.
 * TOO_LARGE past TLOG_SIZE_MAX; after any failure the edge is as it was.
 */
kms_err tlog_edge_append(struct tlog_edge *edge, const struct kms_hash *leaf,
	struct tlog_node *ret_nodes, unsigned *ret_count);
kms_err tlog_edge_root(const struct tlog_edge *edge, struct kms_hash *ret_root);

/* Reads a stored node; NOT_FOUND when it is not there. */
typedef kms_err (*tlog_read_node)(
	void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash);

struct tlog_proof {
	unsigned count;
	struct kms_hash hashes[TLOG_PROOF_MAX];
};
/* index < size <= TLOG_SIZE_MAX, else ARGUMENT. Leaf to root. */
kms_err tlog_prove_inclusion(tlog_read_node read, void *ctx, uint64_t index, uint64_t size,
	struct tlog_proof *ret_proof);
/* 0 < old_size <= size <= TLOG_SIZE_MAX, else ARGUMENT. */
kms_err tlog_prove_consistency(tlog_read_node read, void *ctx, uint64_t old_size, uint64_t size,
	struct tlog_proof *ret_proof);
/* Rebuild the edge of a stored tree. */
kms_err tlog_edge_read(tlog_read_node read, void *ctx, uint64_t size, struct tlog_edge *ret_edge);

/* ---- verification (RFC 9162 sections 2.1.3.2 and 2.1.4.2): INTEGRITY when it fails ---- */

kms_err tlog_check_inclusion(const struct kms_hash *leaf, uint64_t index, uint64_t size,
	const struct tlog_proof *proof, const struct kms_hash *root);
/* old_size 0 is refused (ARGUMENT): an empty tree proves nothing. */
kms_err tlog_check_consistency(uint64_t old_size, const struct kms_hash *old_root, uint64_t size,
	const struct kms_hash *root, const struct tlog_proof *proof);

/* ---- verifier keys and notes (C2SP signed-note) ---- */

enum {
	TLOG_NAME_MAX = 255, /* bytes of a key name or origin */
	TLOG_NOTE_MAX = 8192,
	TLOG_SIGNATURES_MAX = 16,
};
/*
 * "name+hex8(keyID)+base64(type || key)". A name is UTF-8 without spaces, control characters and
 * "+". Of the types two are known, and which one is wanted the caller always says:
 * 0x02: ECDSA, here P-256 with a DER SPKI, whose key ID is the first four bytes of SHA-256(SPKI).
 * 0x01: Ed25519, whose key ID is the first four bytes of SHA-256(name || 0x0a || 0x01 || key).
 */
struct tlog_vkey {
	char name[TLOG_NAME_MAX + 1];
	uint32_t id;
	uint8_t type;
	uint8_t spki[128]; /* P-256 */
	size_t spki_len;   /* 0: not P-256 */
	uint8_t ed25519[32];
};
enum { TLOG_VKEY_ED25519 = 1, TLOG_VKEY_ECDSA = 2 };
/* P-256. FORMAT for what does not parse, UNSUPPORTED for another type. */
kms_err tlog_vkey_make(const char *name, struct kms_bytes spki_der, struct tlog_vkey *ret_vkey);
kms_err tlog_vkey_parse(const char *text, struct tlog_vkey *ret_vkey);
/* Ed25519, with the same errors. That the key is a point shows when it verifies something. */
kms_err tlog_vkey_make_ed25519(const char *name, const uint8_t key[32], struct tlog_vkey *ret_vkey);
kms_err tlog_vkey_parse_ed25519(const char *text, struct tlog_vkey *ret_vkey);
kms_err tlog_vkey_text(const struct tlog_vkey *vkey, char **ret_text);

/*
 * What signs a log's checkpoints: a P-256 key always, and an Ed25519 key after it where the system
 * token has one. Both are of the log's name. The order is that of their signature lines.
 */
enum { TLOG_LOG_KEYS = 2 };
struct tlog_log_keys {
	size_t count;
	struct tlog_vkey keys[TLOG_LOG_KEYS];
};
/* ed25519 "": there is none. Errors as the two parsers have them. */
kms_err tlog_log_keys_parse(const char *p256, const char *ed25519, struct tlog_log_keys *ret_keys);

/* The signature line of key over text: "— name base64(id || signature)\n". The signature is DER of
 * an ECDSA key, 64 bytes of an Ed25519 key. */
kms_err tlog_note_line(
	const struct tlog_vkey *vkey, struct kms_bytes sig, struct kms_buf *ret_line);
/*
 * Parse a whole note (FORMAT) of at most TLOG_NOTE_MAX bytes and TLOG_SIGNATURES_MAX signatures
 * (TOO_LARGE) and verify it: every known key, one at least, must have signed it, and every
 * signature by a known key must be good (else INTEGRITY). In any order, and unknown keys are
 * passed over. ret_text borrows the signed text, its last newline included.
 */
kms_err tlog_note_open(struct kms_bytes note, const struct tlog_vkey *known, size_t known_count,
	struct kms_bytes *ret_text);
/* The same, of at most max bytes, with exactly one line of each known key, in their order, and no
 * other line (FORMAT): what a signer of ours made, and nobody added to. */
kms_err tlog_note_open_exact(struct kms_bytes note, size_t max, const struct tlog_vkey *known,
	size_t known_count, struct kms_bytes *ret_text);

/* ---- checkpoints (C2SP tlog-checkpoint): exactly three lines, no extensions ---- */

/* The origin is a key name as above: our logs sign under their origin. The root of size 0 is
 * SHA-256(""). */
struct tlog_checkpoint {
	char origin[TLOG_NAME_MAX + 1];
	uint64_t size;
	struct kms_hash root;
};
kms_err tlog_checkpoint_text(const struct tlog_checkpoint *checkpoint, struct kms_buf *ret_text);
kms_err tlog_checkpoint_parse(struct kms_bytes text, struct tlog_checkpoint *ret_checkpoint);

/* ---- tiles (C2SP tlog-tiles): the tree's hashes as static files ---- */

enum {
	TLOG_TILE_HEIGHT = 8,
	TLOG_TILE_WIDTH = 256, /* hashes of a full tile */
	TLOG_TILE_BYTES = 256 * 32,
	TLOG_TILE_PATH = 64, /* bytes of a path with its NUL */
};
/* How many hashes level `level` of all tiles has together: size / 256^level. Hash i of it is node
 * (TLOG_TILE_HEIGHT * level, i). */
uint64_t tlog_tile_hashes(uint64_t size, unsigned level);
/* "tile/0/x001/x234/067", or, for a width of less than TLOG_TILE_WIDTH, with ".p/<width>". Returns
 * text. */
const char *tlog_tile_path(
	unsigned level, uint64_t index, unsigned width, char text[TLOG_TILE_PATH]);

/* ---- inclusion proof files (c2sp.org/tlog-proof@v1), without `extra` ---- */

kms_err tlog_proof_text(uint64_t index, const struct tlog_proof *proof,
	struct kms_bytes checkpoint_note, struct kms_buf *ret_text);
/* ret_note borrows from text: not empty, and not looked into; tlog_note_open does that. */
kms_err tlog_proof_parse(struct kms_bytes text, uint64_t *ret_index, struct tlog_proof *ret_proof,
	struct kms_bytes *ret_note);

#endif
