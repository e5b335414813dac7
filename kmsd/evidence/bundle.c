/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle (docs/formats/bundle.md): the certificate, every entry that it rests on with its
 * inclusion under one checkpoint, views for people, and a manifest over all of it that the system
 * token signs. Runs in kmsd; writes no file itself.
 */
#include "certificate_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "ledger.h"
#include "tlog.h"
#include "token.h"

enum { CHECKPOINT_WAIT_MS = 10 * 1000 };

struct files {
	size_t count, cap, bytes;
	struct model_file *rows;
};

static void files_free(struct files **files)
{
	if (*files != NULL) {
		for (size_t i = 0; i < (*files)->count; i++) {
			kms_buf_free(&(*files)->rows[i].bytes);
		}
		free((*files)->rows);
		free(*files);
		*files = NULL;
	}
}

/* Takes the bytes. */
static kms_err add_taken(struct files *files, const char *name, struct kms_buf *bytes)
{
	if (files->count == files->cap || bytes->len > LIMIT_BUNDLE_BYTES - files->bytes) {
		kms_log(KMS_LOG_ERROR, "evidence: this erasure's bundle is too large");
		return KMS_ERR(TOO_LARGE);
	}
	struct model_file *file = &files->rows[files->count++];
	(void)snprintf(file->name, sizeof(file->name), "%s", name);
	file->bytes = *bytes;
	files->bytes += bytes->len;
	*bytes = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err add(struct files *files, const char *name, struct kms_bytes bytes)
{
	KMS_AUTO_BUF copy = {0};
	KMS_TRY(kms_buf_copy(bytes, &copy));
	return add_taken(files, name, &copy);
}

/* ---- inclusion ---- */

/* What all proofs lead to. */
struct under {
	struct ledger *ledger;
	struct kms_buf note;
	uint64_t size;
};

static kms_err add_entry(struct files *files, const struct under *under, uint64_t seq,
	const char *entry_name, const char *proof_name)
{
	struct tlog_proof proof;
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF entry = {0};
	KMS_TRY(ledger_inclusion(under->ledger, seq, under->size, &entry, &proof));
	KMS_TRY(tlog_proof_text(seq, &proof, kms_buf_bytes(&under->note), &text));
	KMS_TRY(add_taken(files, entry_name, &entry));
	return add_taken(files, proof_name, &text);
}

static kms_err add_entries(struct files *files, const struct under *under,
	const struct facts *facts, uint64_t cert_seq)
{
	for (size_t i = 0; i < facts->seq_count; i++) {
		char entry_name[64], proof_name[64];
		(void)snprintf(
			entry_name, sizeof(entry_name), "entries/%" PRIu64 ".json", facts->seqs[i]);
		(void)snprintf(proof_name, sizeof(proof_name), "entries/%" PRIu64 ".tlog-proof",
			facts->seqs[i]);
		KMS_TRY(add_entry(files, under, facts->seqs[i], entry_name, proof_name));
	}
	return add_entry(files, under, cert_seq, "cert-entry.json", "certificate.tlog-proof");
}

static kms_err add_proven(struct files *files, const struct facts *facts, uint64_t cert_seq)
{
	struct under under = {.ledger = facts->parts->ledger};
	KMS_AUTO_FREE char *vkey = NULL;
	KMS_AUTO_FREE char *ed25519 = NULL;
	KMS_AUTO_FREE char *lines = NULL;
	KMS_TRY(store_setting_get(facts->parts->store, "ledger_vkey", &vkey));
	KMS_TRY(store_setting_get(facts->parts->store, "ledger_vkey_ed25519", &ed25519));
	KMS_TRY(kms_text(&lines, "%s\n%s%s", vkey, ed25519, ed25519[0] != '\0' ? "\n" : ""));
	kms_err err = ledger_covered(
		under.ledger, cert_seq, CHECKPOINT_WAIT_MS, &under.size, &under.note);
	if (kms_is_ok(err)) {
		err = add_entries(files, &under, facts, cert_seq);
	}
	if (kms_is_ok(err)) {
		err = add(files, "checkpoint", kms_buf_bytes(&under.note));
	}
	kms_buf_free(&under.note);
	KMS_TRY(err);
	return add(files, "log.vkey", kms_bytes_str(lines));
}

/* ---- views and manifest ---- */

static kms_err add_steps(struct files *files)
{
	KMS_AUTO_WRITER text = kms_writer_grow(LIMIT_BUNDLE_BYTES);
	struct kms_bytes bytes;
	for (size_t i = 0; texts_verify[i] != NULL; i++) {
		kms_write_text(&text, texts_verify[i]);
	}
	KMS_TRY(kms_writer_bytes(&text, &bytes));
	return add(files, "VERIFY.txt", bytes);
}

static kms_err add_views(struct files *files, struct kms_bytes json)
{
	static const char *const names[VIEW_LANGUAGES] = {
		[VIEW_ENGLISH] = "certificate.html", [VIEW_JAPANESE] = "certificate.ja.html"};
	for (int i = 0; i < VIEW_LANGUAGES; i++) {
		KMS_AUTO_BUF html = {0};
		KMS_TRY(view_write(json, (enum view_language)i, &html));
		KMS_TRY(add_taken(files, names[i], &html));
	}
	return add_steps(files);
}

static int compare_file(const void *a, const void *b)
{
	const struct model_file *one = a;
	const struct model_file *other = b;
	return strcmp(one->name, other->name);
}

static kms_err add_manifest(struct files *files, struct token *system)
{
	KMS_AUTO_WRITER text = kms_writer_grow(LIMIT_MANIFEST_BYTES);
	KMS_AUTO_BUF note = {0};
	struct kms_bytes bytes;
	qsort(files->rows, files->count, sizeof(files->rows[0]), compare_file);
	kms_write_text(&text, "kmsd-bundle/1\n");
	for (size_t i = 0; i < files->count; i++) {
		struct kms_hash hash;
		char hex[KMS_HASH_TEXT];
		KMS_TRY(crypto_sha256_one(kms_buf_bytes(&files->rows[i].bytes), &hash));
		kms_write_format(&text, "%s  %s\n", kms_hash_text(&hash, hex), files->rows[i].name);
	}
	KMS_TRY(kms_writer_bytes(&text, &bytes));
	KMS_TRY(token_manifest_sign(system, bytes, &note));
	return add_taken(files, "manifest", &note);
}

kms_err evidence_bundle_make(const struct evidence_parts *parts,
	const struct model_erasure *erasure, const struct evidence_certificate *certificate,
	uint64_t cert_seq, struct model_file **ret_files, size_t *ret_count)
{
	KMS_AUTO(facts) facts = NULL;
	KMS_AUTO(files) files = calloc(1, sizeof(*files));
	if (files == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	/* What came after the certificate is not what it certifies. */
	KMS_TRY(facts_collect(parts, erasure, cert_seq, &facts));
	enum { FIXED_FILES = 9 };
	files->cap = 2 * facts->seq_count + FIXED_FILES;
	if (files->cap > LIMIT_BUNDLE_FILES) {
		return KMS_ERR(TOO_LARGE);
	}
	files->rows = calloc(files->cap, sizeof(files->rows[0]));
	if (files->rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(add(files, "certificate.json", kms_buf_bytes(&certificate->json)));
	KMS_TRY(add_proven(files, facts, cert_seq));
	KMS_TRY(add_views(files, kms_buf_bytes(&certificate->json)));
	KMS_TRY(add_manifest(files, parts->system));
	*ret_files = kms_take(&files->rows);
	*ret_count = files->count;
	files->count = 0;
	return KMS_OK;
}
