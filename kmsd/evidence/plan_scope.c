/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan's scope (docs/formats/plan.md): what is hashed into the bytes that people sign. Runs in
 * kmsd. It must hold nothing that moves by itself between request and execution.
 */
#include "evidence_int.h"

#include "crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys and copies ---- */

/* A copy of it dies: not where all that lives of it is left to another erasure. */
static bool has_copy(const struct plan_draft *draft, const struct plan_key *row, uint32_t version)
{
	for (uint32_t i = 0; i < draft->erase.kek_count; i++) {
		if (draft->erase.keks[i].version == version &&
			kms_id_equal(&draft->erase.keks[i].key, &row->key.id)) {
			return true;
		}
	}
	return false;
}

/* Versions of a key of which a KEK lives, ascending, and that die or not. */
static void add_versions(
	const struct plan_draft *draft, const struct plan_key *row, bool die, struct doc *array)
{
	for (uint32_t version = 1; version <= row->key.version; version++) {
		bool lives = false;
		for (size_t i = 0; i < row->kek_count; i++) {
			lives = lives || (row->keks[i].version == version &&
						 row->keks[i].state == MODEL_KEK_LIVE);
		}
		bool dies = plan_takes(draft->wish, version);
		if (lives && dies == die && (!dies || has_copy(draft, row, version))) {
			doc_add_int(array, version);
		}
	}
}

static void add_keys(const struct plan_draft *draft, struct doc *scope)
{
	struct doc *keys = doc_set_array(scope, "keys");
	for (size_t i = 0; i < draft->key_count; i++) {
		const struct plan_key *row = &draft->keys[i];
		struct doc *key = doc_add_object(keys);
		doc_set_id(key, "id", &row->key.id);
		add_versions(draft, row, true, doc_set_array(key, "versions"));
		add_versions(draft, row, false, doc_set_array(key, "stay"));
	}
}

static void add_copies(const struct plan_draft *draft, struct doc *scope)
{
	struct doc *copies = doc_set_array(scope, "copies");
	for (uint32_t i = 0; i < draft->erase.kek_count; i++) {
		const struct format_erase_kek *kek = &draft->erase.keks[i];
		struct doc *copy = doc_add_object(copies);
		doc_set_id(copy, "token", &kek->token);
		doc_set_id(copy, "kek", &kek->kek);
		doc_set_id(copy, "key", &kek->key);
		doc_set_int(copy, "version", kek->version);
		doc_set_hash(copy, "commitment", &kek->commitment);
	}
}

static void add_ids(struct doc *object, const char *name, const struct kms_id *ids, uint32_t count)
{
	struct doc *array = doc_set_array(object, name);
	for (uint32_t i = 0; i < count; i++) {
		char text[KMS_ID_TEXT];
		doc_add_text(array, kms_id_text(&ids[i], text));
	}
}

/* ---- datasets ---- */

struct media {
	int64_t count;
	struct kms_hash hash; /* after each row: SHA-256(the hash before || the row's JSON) */
	struct doc *rows;     /* borrowed */
};

static void set_text(struct doc *row, const char *name, const char *text)
{
	if (text[0] == '\0') {
		doc_set_null(row, name);
	} else {
		doc_set_text(row, name, text);
	}
}

static kms_err add_dataset(struct media *media, const struct model_dataset *dataset)
{
	KMS_AUTO(doc) row = NULL;
	KMS_AUTO_BUF json = {0};
	KMS_TRY(doc_new_object(&row));
	doc_set_id(row, "id", &dataset->id);
	doc_set_id(row, "key", &dataset->key);
	set_text(row, "kind", dataset->medium);
	set_text(row, "serial", dataset->serial);
	set_text(row, "site", dataset->site);
	set_text(row, "country", dataset->country);
	doc_set_int(row, "encrypted_since", dataset->first_write_unix_s);
	KMS_TRY(doc_write(row, &json));
	const struct kms_bytes parts[] = {KMS_BYTES_OF(media->hash.b), kms_buf_bytes(&json)};
	struct kms_hash next;
	KMS_TRY(crypto_sha256(parts, 2, &next));
	media->hash = next;
	if (media->count++ < LIMIT_PLAN_DATASETS) {
		doc_add_copy(media->rows, row);
	}
	return KMS_OK;
}

static int compare_key(const void *a, const void *b)
{
	const struct plan_key *x = a, *y = b;
	return plan_compare_ids(&x->key.id, &y->key.id);
}

static bool has_key(const struct plan_draft *draft, const struct kms_id *key)
{
	const struct plan_key wanted = {.key.id = *key};
	return bsearch(&wanted, draft->keys, draft->key_count, sizeof(wanted), compare_key) != NULL;
}

/* Both lists are by id. */
static kms_err next_page(const struct plan_draft *draft, const struct kms_id *after,
	struct model_dataset **ret_rows, size_t *ret_count)
{
	struct store *store = draft->parts->store;
	return draft->wish->target.scope == MODEL_ERASE_TENANT
		       ? store_dataset_list(store, &draft->wish->tenant, after, LIMIT_LIST_PAGE,
				 ret_rows, ret_count)
		       : store_dataset_of_key(store, &draft->keys[0].key.id, after, LIMIT_LIST_PAGE,
				 ret_rows, ret_count);
}

static kms_err add_datasets(const struct plan_draft *draft, struct doc *scope)
{
	struct doc *datasets = doc_set_object(scope, "datasets");
	struct media media = {.rows = doc_set_array(datasets, "rows")};
	struct kms_id after = {0};
	size_t count = 1;
	while (count > 0) {
		struct model_dataset *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(next_page(draft, &after, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			after = rows[i].id;
			if (has_key(draft, &rows[i].key)) {
				KMS_TRY(add_dataset(&media, &rows[i]));
			}
		}
	}
	doc_set_int(datasets, "count", media.count);
	doc_set_hash(datasets, "hash", &media.hash);
	return KMS_OK;
}

/* ---- what stays ---- */

static void add_backups(struct doc *scope)
{
	struct doc *backups = doc_set_object(scope, "backups");
	(void)doc_set_array(backups, "known");
	doc_set_text(backups, "statement",
		"kmsd makes no backups of tokens and knows of none; a copy that somebody else made "
		"of a token is outside this plan");
}

static void add_stays(const struct plan_draft *draft, struct doc *scope)
{
	struct doc *stays = doc_set_array(scope, "stays");
	char text[LIMIT_REASON * 2], id[KMS_ID_TEXT];
	if (draft->wish->target.scope == MODEL_ERASE_VERSIONS) {
		(void)snprintf(text, sizeof(text),
			"key %s and its other versions: data whose keys were rewrapped to one of "
			"them can still be read",
			kms_id_text(&draft->keys[0].key.id, id));
		doc_add_text(stays, text);
	}
	if (draft->wish->target.scope == MODEL_ERASE_TENANT && !draft->wish->target.wipe) {
		doc_add_text(stays, "the tenant's tokens, without these KEKs");
	}
	doc_add_text(stays, "data keys that were handed out before, for as long as somebody holds "
			    "them in memory");
	doc_add_text(stays, "the encrypted data itself, and plaintext written elsewhere");
	doc_add_text(stays, "the ledger: entries and use records, without keys");
}

kms_err plan_scope_write(struct plan_draft *draft, struct kms_buf *ret_scope)
{
	KMS_AUTO(doc) scope = NULL;
	KMS_TRY(doc_new_object(&scope));
	doc_set_text(scope, "v", "kmsd-plan/1");
	doc_set_text(scope, "kind", model_erase_scope_text(draft->wish->target.scope));
	doc_set_id(scope, "subject", &draft->wish->target.subject);
	add_keys(draft, scope);
	add_copies(draft, scope);
	add_ids(scope, "tokens", draft->tokens, draft->token_count);
	KMS_TRY(add_datasets(draft, scope));
	add_backups(scope);
	(void)doc_set_array(scope, "imports"); /* no KEK comes from outside: births.c */
	add_ids(scope, "renews", draft->renews, draft->renew_count);
	add_ids(scope, "wipes", draft->erase.wipes, draft->erase.wipe_count);
	add_stays(draft, scope);
	KMS_AUTO_BUF json = {0};
	KMS_TRY(doc_write(scope, &json));
	if (json.len > LIMIT_PLAN_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_scope = json;
	json = (struct kms_buf){0};
	return KMS_OK;
}
