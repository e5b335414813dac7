/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the ledger's rows: entries, tree nodes, head, checkpoints, use records and positions.
 * Runs in kmsd. An entry is inserted and never updated.
 */
#include <stdlib.h>
#include <string.h>

#include "store_int.h"

/* ---- entries ---- */

kms_err store_entry_put(struct store_tx *tx, const struct store_entry *entry)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(&tx->store->writer,
		"INSERT INTO entry (seq, tenant, logical_key, leaf, bytes)"
		" VALUES (:seq, :tenant, :key, :leaf, :bytes)",
		&query));
	store_query_uint(&query, ":seq", entry->seq);
	store_query_id_or_null(&query, ":tenant", &entry->tenant);
	store_query_id_or_null(&query, ":key", &entry->key);
	store_query_hash(&query, ":leaf", &entry->leaf);
	store_query_bytes(&query, ":bytes", entry->bytes);
	return store_query_run(&query);
}

static kms_err read_entry(struct store_query *query, void *ret_row)
{
	struct model_entry *entry = ret_row;
	entry->seq = store_column_uint(query, 0);
	store_column_hash(query, 1, &entry->leaf);
	KMS_TRY(store_query_checked(query));
	return store_column_bytes(query, 2, &entry->bytes);
}

static void clear_entry(void *row)
{
	kms_buf_free(&((struct model_entry *)row)->bytes);
}

kms_err store_entries_get(struct store *store, const struct kms_id *tenant, uint64_t from,
	uint32_t limit, struct model_entry **ret_rows, size_t *ret_count)
{
	static const struct kms_id none = {{0}};
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	/* `before` is the bytes of the page's earlier rows: the first row always fits. */
	KMS_TRY(store_query_read(store,
		"SELECT seq, leaf, shown FROM (SELECT seq, leaf, shown,"
		" sum(length(shown)) OVER (ORDER BY seq) - length(shown) AS before,"
		" length(shown) AS len FROM (SELECT seq, leaf,"
		" CASE WHEN :every OR tenant = :tenant THEN bytes ELSE x'' END AS shown"
		" FROM entry WHERE seq >= :from ORDER BY seq LIMIT :limit))"
		" WHERE before = 0 OR before + len <= :max ORDER BY seq",
		&query));
	store_query_int(&query, ":every", tenant == NULL);
	store_query_id_or_null(&query, ":tenant", tenant != NULL ? tenant : &none);
	store_query_uint(&query, ":from", from);
	store_query_int(&query, ":limit", limit < LIMIT_ENTRIES_PAGE ? limit : LIMIT_ENTRIES_PAGE);
	store_query_int(&query, ":max", LIMIT_ENTRIES_PAGE_BYTES);
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_entry), read_entry, clear_entry, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

kms_err store_entries_of_key(struct store *store, const struct kms_id *key, uint32_t limit,
	struct model_entry **ret_rows, size_t *ret_count)
{
	return store_entries_of_key_from(store, key, 0, limit, ret_rows, ret_count);
}

kms_err store_entries_of_key_from(struct store *store, const struct kms_id *key, uint64_t from,
	uint32_t limit, struct model_entry **ret_rows, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		"SELECT seq, leaf, bytes FROM entry WHERE logical_key = :key"
		" AND seq >= :from ORDER BY seq LIMIT :limit",
		&query));
	store_query_id(&query, ":key", key);
	store_query_uint(&query, ":from", from);
	store_query_int(&query, ":limit", limit < LIMIT_ENTRIES_PAGE ? limit : LIMIT_ENTRIES_PAGE);
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_entry), read_entry, clear_entry, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

kms_err store_entry_last_of_key(
	struct store_tx *tx, const struct kms_id *key, uint64_t *ret_seq, struct kms_hash *ret_leaf)
{
	STORE_AUTO_QUERY query = {0};
	struct kms_hash leaf;
	KMS_TRY(store_query_open(&tx->store->writer,
		"SELECT seq, leaf FROM entry WHERE logical_key = :key ORDER BY seq DESC LIMIT 1",
		&query));
	store_query_id(&query, ":key", key);
	KMS_TRY(store_query_one(&query));
	uint64_t seq = store_column_uint(&query, 0);
	store_column_hash(&query, 1, &leaf);
	KMS_TRY(store_query_checked(&query));
	*ret_seq = seq;
	*ret_leaf = leaf;
	return KMS_OK;
}

/* ---- tree and head ---- */

kms_err store_node_put(
	struct store_tx *tx, unsigned level, uint64_t index, const struct kms_hash *hash)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(&tx->store->writer,
		"INSERT INTO node (level, place, hash) VALUES (:level, :place, :hash)", &query));
	store_query_uint(&query, ":level", level);
	store_query_uint(&query, ":place", index);
	store_query_hash(&query, ":hash", hash);
	return store_query_run(&query);
}

kms_err store_node_get(
	struct store *store, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	STORE_AUTO_QUERY query = {0};
	struct kms_hash hash;
	KMS_TRY(store_query_read(
		store, "SELECT hash FROM node WHERE level = :level AND place = :place", &query));
	store_query_uint(&query, ":level", level);
	store_query_uint(&query, ":place", index);
	KMS_TRY(store_query_one(&query));
	store_column_hash(&query, 0, &hash);
	KMS_TRY(store_query_checked(&query));
	*ret_hash = hash;
	return KMS_OK;
}

kms_err store_head_swap(struct store_tx *tx, uint64_t old_size, const struct kms_hash *old_root,
	uint64_t size, const struct kms_hash *root)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(&tx->store->writer,
		"UPDATE head SET size = :size, root = :root"
		" WHERE id = 1 AND size = :old_size AND root = :old_root",
		&query));
	store_query_uint(&query, ":size", size);
	store_query_hash(&query, ":root", root);
	store_query_uint(&query, ":old_size", old_size);
	store_query_hash(&query, ":old_root", old_root);
	KMS_TRY(store_query_run(&query));
	if (store_query_changes(&query) != 1) {
		kms_log(KMS_LOG_ERROR, "store %s: the head is not the one it was",
			tx->store->path != NULL ? tx->store->path : "in memory");
		return KMS_ERR(STORE);
	}
	return KMS_OK;
}

kms_err store_head_get(struct store *store, uint64_t *ret_size, struct kms_hash *ret_root)
{
	STORE_AUTO_QUERY query = {0};
	struct kms_hash root;
	KMS_TRY(store_query_read(store, "SELECT size, root FROM head WHERE id = 1", &query));
	KMS_TRY(store_query_one(&query));
	uint64_t size = store_column_uint(&query, 0);
	store_column_hash(&query, 1, &root);
	KMS_TRY(store_query_checked(&query));
	*ret_size = size;
	*ret_root = root;
	return KMS_OK;
}

/* ---- checkpoints: the newest is enough, since proofs lead from any older one to it ---- */

kms_err store_checkpoint_put(struct store_tx *tx, uint64_t size, struct kms_bytes note)
{
	struct store_conn *conn = &tx->store->writer;
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(
			conn, "DELETE FROM checkpoint WHERE size <= :size", &query));
		store_query_uint(&query, ":size", size);
		KMS_TRY(store_query_run(&query));
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(
		conn, "INSERT INTO checkpoint (size, note) VALUES (:size, :note)", &query));
	store_query_uint(&query, ":size", size);
	store_query_bytes(&query, ":note", note);
	return store_query_run(&query);
}

kms_err store_checkpoint_last(struct store *store, uint64_t *ret_size, struct kms_buf *ret_note)
{
	STORE_AUTO_QUERY query = {0};
	bool row = false;
	KMS_TRY(store_query_read(
		store, "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1", &query));
	KMS_TRY(store_query_step(&query, &row));
	if (!row) {
		*ret_size = 0;
		*ret_note = (struct kms_buf){0};
		return KMS_OK;
	}
	uint64_t size = store_column_uint(&query, 0);
	KMS_TRY(store_query_checked(&query));
	KMS_TRY(store_column_bytes(&query, 1, ret_note));
	*ret_size = size;
	return KMS_OK;
}

/* ---- use records ---- */

kms_err store_uses_put(
	struct store_tx *tx, uint64_t seq, const struct kms_buf *records, size_t count)
{
	KMS_ASSERT(count <= LIMIT_COMMIT_USES);
	KMS_AUTO_WRITER writer =
		kms_writer_grow((size_t)LIMIT_COMMIT_USES * (4 + LIMIT_USE_RECORD_BYTES));
	for (size_t i = 0; i < count; i++) {
		if (records[i].len > LIMIT_USE_RECORD_BYTES) {
			return KMS_ERR(TOO_LARGE);
		}
		kms_write_lp32(&writer, kms_buf_bytes(&records[i]));
	}
	struct kms_bytes packed;
	KMS_TRY(kms_writer_bytes(&writer, &packed));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(&tx->store->writer,
		"INSERT INTO uses (seq, count, records) VALUES (:seq, :count, :records)", &query));
	store_query_uint(&query, ":seq", seq);
	store_query_uint(&query, ":count", count);
	store_query_bytes(&query, ":records", packed);
	return store_query_run(&query);
}

static kms_err unpack(struct kms_buf *packed, struct kms_buf *records, size_t count)
{
	struct kms_reader reader = kms_reader_of(kms_buf_bytes(packed));
	for (size_t i = 0; i < count; i++) {
		struct kms_bytes one;
		KMS_TRY(kms_read_lp32(&reader, LIMIT_USE_RECORD_BYTES, &one));
		KMS_TRY(kms_buf_copy(one, &records[i]));
	}
	return kms_read_end(&reader);
}

kms_err store_uses_get(struct store *store, const struct kms_id *tenant, uint64_t seq,
	struct kms_buf **ret_records, size_t *ret_count)
{
	static const struct kms_id none = {{0}};
	STORE_AUTO_QUERY query = {0};
	KMS_AUTO_BUF packed = {0};
	KMS_TRY(store_query_read(store,
		"SELECT uses.count, uses.records FROM uses JOIN entry ON entry.seq = uses.seq"
		" WHERE uses.seq = :seq AND (:every OR entry.tenant = :tenant)",
		&query));
	store_query_uint(&query, ":seq", seq);
	store_query_int(&query, ":every", tenant == NULL);
	store_query_id_or_null(&query, ":tenant", tenant != NULL ? tenant : &none);
	KMS_TRY(store_query_one(&query));
	uint64_t count = store_column_uint(&query, 0);
	KMS_TRY(store_query_checked(&query));
	KMS_TRY(store_column_bytes(&query, 1, &packed));
	if (count > LIMIT_COMMIT_USES) {
		return KMS_ERR(STORE);
	}
	struct kms_buf *records = calloc((size_t)count + 1, sizeof(*records));
	if (records == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	if (!kms_is_ok(unpack(&packed, records, (size_t)count))) {
		kms_log(KMS_LOG_ERROR, "store: the use records of entry %llu do not unpack",
			(unsigned long long)seq);
		for (size_t i = 0; i < count; i++) {
			kms_buf_free(&records[i]);
		}
		free(records);
		return KMS_ERR(STORE);
	}
	*ret_records = records;
	*ret_count = (size_t)count;
	return KMS_OK;
}

/* ---- positions ---- */

kms_err store_position_get(
	struct store *store, const struct kms_id *token, struct store_position *ret_position)
{
	STORE_AUTO_QUERY query = {0};
	struct store_position position = {0};
	KMS_TRY(store_query_read(store,
		"SELECT boot, n, running, statement_boot, statement_n, known_boot FROM position"
		" WHERE token = :token",
		&query));
	store_query_id(&query, ":token", token);
	KMS_TRY(store_query_one(&query));
	position.boot = store_column_uint(&query, 0);
	position.n = store_column_uint(&query, 1);
	store_column_hash(&query, 2, &position.running);
	position.statement_boot = store_column_uint(&query, 3);
	position.statement_n = store_column_uint(&query, 4);
	position.known_boot = store_column_uint(&query, 5);
	KMS_TRY(store_query_checked(&query));
	*ret_position = position;
	return KMS_OK;
}

kms_err store_position_statement(
	struct store_tx *tx, const struct kms_id *token, uint64_t boot, uint64_t n)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(&tx->store->writer,
		"UPDATE position SET statement_boot = :boot, statement_n = :n WHERE token = :token",
		&query));
	store_query_id(&query, ":token", token);
	store_query_uint(&query, ":boot", boot);
	store_query_uint(&query, ":n", n);
	KMS_TRY(store_query_run(&query));
	return store_query_changes(&query) == 1 ? KMS_OK : KMS_ERR(NOT_FOUND);
}
