/* SPDX-License-Identifier: Apache-2.0 */
/* A test's world as a bundle: tree, checkpoint, proofs, manifest; and the trust file against it. */
#ifndef BUNDLE_FILES_H
#define BUNDLE_FILES_H

#include <sys/stat.h>

#include "bundle_certificate.h"
#include "ed25519.h"

/* ---- a note ---- */

enum { LOG_SEED = 0x11, OTHER_SEED = 0x22 };

/* The text of the ledger's Ed25519 key. */
static inline char *log_ed25519(void)
{
	char *text = NULL;
	const struct tlog_vkey vkey = ed25519_vkey(ORIGIN, LOG_SEED);
	ck_ok(tlog_vkey_text(&vkey, &text));
	return text;
}

static inline void note_sign(enum signer signer, struct kms_bytes text, struct kms_buf *ret_note)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	KMS_AUTO_WRITER note = kms_writer_grow(LIMIT_MANIFEST_BYTES);
	bundle_sign(signer, text, raw);
	ck_ok(crypto_sig_raw_to_der(raw, &der));
	ck_ok(tlog_note_line(&signer_vkeys[signer], kms_buf_bytes(&der), &line));
	kms_write_bytes(&note, text);
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	if (signer == SIGNER_LOG) { /* as the system token does: both keys, or none */
		kms_buf_free(&line);
		ed25519_line(ORIGIN, LOG_SEED, text, &line);
		kms_write_bytes(&note, kms_buf_bytes(&line));
	}
	ck_ok(kms_writer_take(&note, ret_note));
}

/* ---- cert.issue, and the tree ---- */

static inline void world_issue(struct world *world)
{
	struct made *issue = &world->issue;
	issue->unix_ms = world->start_ms + (int64_t)world->count * 1000;
	issue->change.type = MODEL_CHANGE_CERT_ISSUE;
	issue->change.tenant = id_of(ID_TENANT);
	issue->change.actor = id_of(ID_EXECUTOR);
	issue->change.u.cert_issue.erasure = world->erase.erasure;
	issue->change.u.cert_issue.certificate = id_of((uint8_t)(ID_CERT + world->salt));
	issue->change.u.cert_issue.final = world->final;
	ck_ok(crypto_sha256_one(
		kms_buf_bytes(&world->certificate_json), &issue->change.u.cert_issue.hash));
	bend(world, STAGE_ISSUE);
	entry_write(world, issue, world->count);
}

struct tree {
	size_t count;
	struct {
		bool known;
		struct kms_hash hash;
	} nodes[8][ENTRIES_MAX + 2];
};

static inline kms_err tree_read(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret)
{
	struct tree *tree = ctx;
	ck_assert(level < 8 && index < ENTRIES_MAX + 2 && tree->nodes[level][index].known);
	*ret = tree->nodes[level][index].hash;
	return KMS_OK;
}

static inline void tree_append(
	struct tree *tree, struct tlog_edge *edge, const struct kms_hash *leaf)
{
	static struct tlog_node nodes[TLOG_LEVELS];
	unsigned count = 0;
	ck_ok(tlog_edge_append(edge, leaf, nodes, &count));
	for (unsigned i = 0; i < count; i++) {
		tree->nodes[nodes[i].level][nodes[i].index].known = true;
		tree->nodes[nodes[i].level][nodes[i].index].hash = nodes[i].hash;
	}
	tree->count++;
}

static inline void file_add(struct world *world, const char *name, struct kms_bytes bytes)
{
	ck_assert_uint_lt(world->file_count, FILES_MAX);
	struct model_file *file = &world->files[world->file_count++];
	(void)snprintf(file->name, sizeof(file->name), "%s", name);
	ck_ok(kms_buf_copy(bytes, &file->bytes));
}

static inline void file_add_proof(
	struct world *world, struct tree *tree, const char *name, uint64_t index)
{
	struct tlog_proof proof;
	KMS_AUTO_BUF text = {0};
	ck_ok(tlog_prove_inclusion(tree_read, tree, index, tree->count, &proof));
	ck_ok(tlog_proof_text(index, &proof, kms_buf_bytes(&world->note), &text));
	file_add(world, name, kms_buf_bytes(&text));
}

static inline void world_tree(struct world *world, struct tree *tree)
{
	struct tlog_edge edge = {0};
	struct kms_hash newer = hash_of(0x44);
	KMS_AUTO_BUF text = {0};
	for (size_t i = 0; i < world->count; i++) {
		tree_append(tree, &edge, &world->entries[i].leaf);
	}
	tree_append(tree, &edge, &world->issue.leaf);
	tree_append(tree, &edge, &newer); /* the checkpoint covers more than the certificate */
	world->checkpoint = (struct tlog_checkpoint){.origin = ORIGIN, .size = edge.size};
	ck_ok(tlog_edge_root(&edge, &world->checkpoint.root));
	bend(world, STAGE_CHECKPOINT);
	ck_ok(tlog_checkpoint_text(&world->checkpoint, &text));
	note_sign(world->checkpoint_by, kms_buf_bytes(&text), &world->note);
	bend(world, STAGE_NOTE);
}

/* ---- files ---- */

static inline int file_compare(const void *a, const void *b)
{
	return strcmp(((const struct model_file *)a)->name, ((const struct model_file *)b)->name);
}

static inline struct model_file *file_find(struct world *world, const char *name)
{
	for (size_t i = 0; i < world->file_count; i++) {
		if (strcmp(world->files[i].name, name) == 0) {
			return &world->files[i];
		}
	}
	ck_abort_msg("no file %s", name);
	return NULL;
}

static inline void file_set(struct model_file *file, struct kms_bytes bytes)
{
	struct kms_buf copy = {0};
	ck_ok(kms_buf_copy(bytes, &copy));
	kms_buf_free(&file->bytes);
	file->bytes = copy;
}

static inline void world_manifest(struct world *world)
{
	KMS_AUTO_WRITER text = kms_writer_grow(LIMIT_MANIFEST_BYTES);
	KMS_AUTO_BUF note = {0};
	qsort(world->files, world->file_count, sizeof(world->files[0]), file_compare);
	kms_write_text(&text, "kmsd-bundle/1\n");
	for (size_t i = 0; i < world->file_count; i++) {
		struct kms_hash hash;
		char hex[KMS_HASH_TEXT];
		ck_ok(crypto_sha256_one(kms_buf_bytes(&world->files[i].bytes), &hash));
		kms_write_format(
			&text, "%s  %s\n", kms_hash_text(&hash, hex), world->files[i].name);
	}
	ck_ok(kms_writer_take(&text, &world->manifest));
	bend(world, STAGE_MANIFEST);
	note_sign(world->manifest_by, kms_buf_bytes(&world->manifest), &note);
	file_add(world, "manifest", kms_buf_bytes(&note));
}

static inline void world_files(struct world *world, struct tree *tree)
{
	char *vkey = NULL, *line = NULL, *ed25519 = log_ed25519();
	file_add(world, "certificate.json", kms_buf_bytes(&world->certificate_json));
	file_add(world, "cert-entry.json", kms_buf_bytes(&world->issue.json));
	file_add_proof(world, tree, "certificate.tlog-proof", world->count);
	for (size_t i = 0; i < world->count; i++) {
		char name[64];
		if (world->entries[i].hidden) {
			continue;
		}
		(void)snprintf(name, sizeof(name), "entries/%zu.json", i);
		file_add(world, name, kms_buf_bytes(&world->entries[i].json));
		(void)snprintf(name, sizeof(name), "entries/%zu.tlog-proof", i);
		file_add_proof(world, tree, name, i);
	}
	file_add(world, "checkpoint", kms_buf_bytes(&world->note));
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &vkey));
	ck_ok(kms_text(&line, "%s\n%s\n", vkey, ed25519));
	file_add(world, "log.vkey", kms_bytes_str(line));
	free(vkey);
	free(ed25519);
	free(line);
	file_add(world, "certificate.html", kms_bytes_str("<p>erased</p>"));
	file_add(world, "certificate.ja.html", kms_bytes_str("<p>消去</p>"));
	file_add(world, "VERIFY.txt", kms_bytes_str("kms verify\n"));
	bend(world, STAGE_FILES);
}

/* ---- all of it ---- */

static inline struct world *world_make(
	uint8_t salt, enum stage bend_at, void (*bend_it)(struct world *world))
{
	struct tree *tree = calloc(1, sizeof(*tree));
	struct world *world = calloc(1, sizeof(*world));
	ck_assert(tree != NULL && world != NULL);
	world->salt = salt;
	world->bend_at = bend_at;
	world->bend = bend_it;
	world_describe(world);
	world_state(world);
	world_append(world);
	world_write(world);
	world_certify(world);
	world_issue(world);
	world_tree(world, tree);
	world_files(world, tree);
	world_manifest(world);
	free(tree);
	return world;
}

static inline void file_write(const char *folder, const char *name, struct kms_bytes bytes)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(bytes.len == 0 ? 0 : fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
	ck_assert_int_eq(fclose(file), 0);
}

static inline void world_lay_out(const struct world *world, const char *folder)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/entries", folder);
	ck_assert(mkdir(folder, 0700) == 0 && mkdir(path, 0700) == 0);
	for (size_t i = 0; i < world->file_count; i++) {
		file_write(folder, world->files[i].name, kms_buf_bytes(&world->files[i].bytes));
	}
}

/* ---- the trust file ---- */

enum trust_without {
	TRUST_WHOLE = 0,
	TRUST_NO_MANIFEST = 1,
	TRUST_NO_APPROVALS = 2,
	TRUST_NO_CA = 4,
	TRUST_NO_TOKEN_1 = 8,
	TRUST_NO_CLASS = 16,
	TRUST_NO_ED25519 = 32,
};

static inline void trust_add_token(struct doc *tokens, uint32_t i, bool has_class)
{
	char *vkey = NULL;
	struct kms_id id = token_id(i);
	struct doc *token = doc_add_object(tokens);
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_TOKEN_0 + i], &vkey));
	doc_set_id(token, "id", &id);
	doc_set_text(token, "serial", i == 0 ? "serial-0" : "serial-1");
	doc_set_text(token, "statement_key", vkey);
	if (has_class) {
		doc_set_text(token, "class", "software");
	}
	free(vkey);
}

static inline struct doc *trust_doc(int without)
{
	char *log = NULL, *manifest = NULL, *ca = NULL;
	struct doc *doc = NULL;
	ck_ok(doc_new_object(&doc));
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &log));
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_MANIFEST], &manifest));
	ck_ok(kms_text(&ca, "%.*s", (int)tenant_ca.len, (const char *)tenant_ca.ptr));
	doc_set_text(doc, "v", "kmsd-trust/1");
	doc_set_text(doc, "origin", ORIGIN);
	struct doc *ledger = doc_set_array(doc, "ledger_keys");
	doc_add_text(ledger, log);
	if ((without & TRUST_NO_ED25519) == 0) {
		char *ed25519 = log_ed25519();
		doc_add_text(ledger, ed25519);
		free(ed25519);
	}
	struct doc *tokens = doc_set_array(doc, "tokens");
	for (uint32_t i = 0; i < TOKENS && !(i == 1 && (without & TRUST_NO_TOKEN_1) != 0); i++) {
		trust_add_token(tokens, i, (without & TRUST_NO_CLASS) == 0);
	}
	if ((without & TRUST_NO_MANIFEST) == 0) {
		doc_set_text(doc, "manifest_key", manifest);
	}
	if ((without & TRUST_NO_CA) == 0) {
		doc_set_text(doc, "tenant_ca", ca);
	}
	if ((without & TRUST_NO_APPROVALS) == 0) {
		struct doc *approvals = doc_set_object(doc, "approvals");
		doc_set_int(approvals, "needed", 2);
		struct doc *list = doc_set_array(approvals, "approvers");
		for (uint8_t i = 0; i < APPROVERS; i++) {
			struct kms_id id = id_of((uint8_t)(ID_APPROVER_0 + i));
			struct doc *row = doc_add_object(list);
			doc_set_id(row, "id", &id);
			doc_set_bytes(
				row, "key", kms_buf_bytes(&signer_spkis[SIGNER_APPROVER_0 + i]));
		}
	}
	free(log);
	free(manifest);
	free(ca);
	return doc;
}

static inline void trust_write(const char *path, const struct doc *doc)
{
	KMS_AUTO_BUF json = {0};
	ck_ok(doc_write(doc, &json));
	ck_ok(kms_file_write(path, kms_buf_bytes(&json), 0600));
}

#endif
