/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: reading keys, KEKs and datasets, by id or in the order of ids. Runs in kmsd.
 */
#include <string.h>

#include "store_int.h"

static uint32_t page(uint32_t limit)
{
	return limit < LIMIT_LIST_PAGE ? limit : LIMIT_LIST_PAGE;
}

/* ---- keys ---- */

#define KEY                                                                                        \
	"SELECT k.id, k.tenant, k.custodian, k.custody, k.delivery, k.state, k.version,"           \
	" k.created_unix_ms, label.text, label.salt, k.token_1, k.token_2, k.token_3, k.token_4,"  \
	" k.erasure"                                                                               \
	" FROM logical_key AS k LEFT JOIN label ON label.kind = 3 AND label.id = k.id"

static kms_err read_key(struct store_query *query, void *ret_row)
{
	struct model_key *key = ret_row;
	store_column_id(query, 0, &key->id);
	store_column_id(query, 1, &key->tenant);
	store_column_id(query, 2, &key->custodian);
	key->custody = (enum model_custody)store_column_uint(query, 3);
	key->delivery = (enum model_delivery)store_column_uint(query, 4);
	key->state = (enum model_state)store_column_uint(query, 5);
	key->version = (uint32_t)store_column_uint(query, 6);
	key->created_unix_ms = store_column_int(query, 7);
	store_column_label(query, 8, &key->label);
	while (key->token_count < LIMIT_CUSTODY_TOKENS) {
		struct kms_id *token = &key->tokens[key->token_count];
		store_column_id(query, 10 + (int)key->token_count, token);
		if (kms_id_is_zero(token)) {
			break;
		}
		key->token_count++;
	}
	store_column_id(query, 10 + LIMIT_CUSTODY_TOKENS, &key->erasure);
	return store_query_checked(query);
}

static kms_err one_key(
	struct store_query *query, const struct kms_id *id, struct model_key *ret_key)
{
	struct model_key key = {0};
	store_query_id(query, ":id", id);
	KMS_TRY(store_query_one(query));
	KMS_TRY(read_key(query, &key));
	*ret_key = key;
	return KMS_OK;
}

static const char KEY_BY_ID[] = KEY " WHERE k.id = :id";

kms_err store_key_find(struct store_conn *conn, const struct kms_id *id, struct model_key *ret_key)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, KEY_BY_ID, &query));
	return one_key(&query, id, ret_key);
}

kms_err store_key_get(struct store *store, const struct kms_id *id, struct model_key *ret_key)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, KEY_BY_ID, &query));
	return one_key(&query, id, ret_key);
}

kms_err store_key_list(struct store *store, const struct kms_id *tenant, const struct kms_id *after,
	uint32_t limit, struct model_key **ret_rows, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		KEY " WHERE k.tenant = :tenant AND k.id > :after ORDER BY k.id LIMIT :limit",
		&query));
	store_query_id(&query, ":tenant", tenant);
	store_query_id(&query, ":after", after);
	store_query_int(&query, ":limit", page(limit));
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_key), read_key, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

/* ---- KEKs ---- */

#define KEK                                                                                        \
	"SELECT id, logical_key, version, token, state, commitment, created_unix_ms, erasure"      \
	" FROM kek"

static kms_err read_kek(struct store_query *query, void *ret_row)
{
	struct model_kek *kek = ret_row;
	store_column_id(query, 0, &kek->id);
	store_column_id(query, 1, &kek->key);
	kek->version = (uint32_t)store_column_uint(query, 2);
	store_column_id(query, 3, &kek->token);
	kek->state = (enum model_kek_state)store_column_uint(query, 4);
	store_column_hash(query, 5, &kek->commitment);
	kek->created_unix_ms = store_column_int(query, 6);
	store_column_id(query, 7, &kek->erasure);
	return store_query_checked(query);
}

kms_err store_kek_list(struct store *store, const struct kms_id *key, struct model_kek **ret_rows,
	size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(
		store, KEK " WHERE logical_key = :key ORDER BY version, token, id", &query));
	store_query_id(&query, ":key", key);
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_kek), read_kek, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

kms_err store_kek_of_token(struct store *store, const struct kms_id *token,
	enum model_kek_state state, struct model_kek **ret_rows, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(
		store, KEK " WHERE token = :token AND state = :state ORDER BY id", &query));
	store_query_id(&query, ":token", token);
	store_query_int(&query, ":state", (int64_t)state);
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_kek), read_kek, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

/* ---- datasets ---- */

#define DATASET                                                                                    \
	"SELECT d.id, d.tenant, d.logical_key, d.custodian, d.medium, d.serial, d.site,"           \
	" d.country, d.first_write_unix_s, label.text, label.salt FROM dataset AS d"               \
	" LEFT JOIN label ON label.kind = 4 AND label.id = d.id"

static kms_err read_dataset(struct store_query *query, void *ret_row)
{
	struct model_dataset *dataset = ret_row;
	store_column_id(query, 0, &dataset->id);
	store_column_id(query, 1, &dataset->tenant);
	store_column_id(query, 2, &dataset->key);
	store_column_id(query, 3, &dataset->custodian);
	store_column_text(query, 4, dataset->medium, sizeof(dataset->medium));
	store_column_text(query, 5, dataset->serial, sizeof(dataset->serial));
	store_column_text(query, 6, dataset->site, sizeof(dataset->site));
	store_column_text(query, 7, dataset->country, sizeof(dataset->country));
	dataset->first_write_unix_s = store_column_int(query, 8);
	store_column_label(query, 9, &dataset->label);
	return store_query_checked(query);
}

kms_err store_dataset_get(
	struct store *store, const struct kms_id *id, struct model_dataset *ret_dataset)
{
	STORE_AUTO_QUERY query = {0};
	struct model_dataset dataset = {0};
	KMS_TRY(store_query_read(store, DATASET " WHERE d.id = :id", &query));
	store_query_id(&query, ":id", id);
	KMS_TRY(store_query_one(&query));
	KMS_TRY(read_dataset(&query, &dataset));
	*ret_dataset = dataset;
	return KMS_OK;
}

kms_err store_dataset_list(struct store *store, const struct kms_id *tenant,
	const struct kms_id *after, uint32_t limit, struct model_dataset **ret_rows,
	size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		DATASET " WHERE d.tenant = :tenant AND d.id > :after ORDER BY d.id LIMIT :limit",
		&query));
	store_query_id(&query, ":tenant", tenant);
	store_query_id(&query, ":after", after);
	store_query_int(&query, ":limit", page(limit));
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_dataset), read_dataset, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

kms_err store_dataset_of_key(struct store *store, const struct kms_id *key,
	const struct kms_id *after, uint32_t limit, struct model_dataset **ret_rows,
	size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		DATASET " WHERE d.logical_key = :key AND d.id > :after ORDER BY d.id LIMIT :limit",
		&query));
	store_query_id(&query, ":key", key);
	store_query_id(&query, ":after", after);
	store_query_int(&query, ":limit", page(limit));
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_dataset), read_dataset, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}
