/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: cached statements, bound by name, and their columns. Runs in kmsd. Never builds SQL: a
 * statement is constant text, and its address is its name in the cache.
 */
#include <stdlib.h>
#include <string.h>

#include "store_int.h"

static kms_err prepare(struct store_conn *conn, const char *sql, sqlite3_stmt **ret_stmt)
{
	if (conn->broken) {
		return KMS_ERR(STORE);
	}
	for (size_t i = 0; i < conn->count; i++) {
		if (conn->cache[i].sql == sql) {
			*ret_stmt = conn->cache[i].stmt;
			return KMS_OK;
		}
	}
	KMS_ASSERT(conn->count < STORE_STATEMENTS);
	sqlite3_stmt *stmt = NULL;
	KMS_TRY(store_conn_result(conn,
		sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL),
		sql));
	conn->cache[conn->count].sql = sql;
	conn->cache[conn->count].stmt = stmt;
	conn->count++;
	*ret_stmt = stmt;
	return KMS_OK;
}

kms_err store_query_open(struct store_conn *conn, const char *sql, struct store_query *ret_query)
{
	struct store_query query = {.conn = conn};
	KMS_TRY(prepare(conn, sql, &query.stmt));
	*ret_query = query;
	return KMS_OK;
}

kms_err store_query_read(struct store *store, const char *sql, struct store_query *ret_query)
{
	struct store_conn *conn = NULL;
	KMS_TRY(store_reader_take(store, &conn));
	kms_err err = store_query_open(conn, sql, ret_query);
	if (!kms_is_ok(err)) {
		store_reader_give(store, conn);
		return err;
	}
	ret_query->pool = store;
	return KMS_OK;
}

void store_query_close(struct store_query *query)
{
	if (query->stmt != NULL) {
		/* Repeats the error of the last step, which was reported then. */
		(void)sqlite3_reset(query->stmt);
		(void)sqlite3_clear_bindings(query->stmt);
	}
	if (query->pool != NULL) {
		store_reader_give(query->pool, query->conn);
	}
	*query = (struct store_query){0};
}

static int place(struct store_query *query, const char *name)
{
	int i = sqlite3_bind_parameter_index(query->stmt, name);
	KMS_ASSERT(i > 0);
	return i;
}

static void note(struct store_query *query, int rc)
{
	if (rc != SQLITE_OK && query->failed == SQLITE_OK) {
		query->failed = rc;
	}
}

static void bind_blob(struct store_query *query, const char *name, const void *ptr, size_t len)
{
	note(query, sqlite3_bind_blob64(query->stmt, place(query, name), len > 0 ? ptr : "", len,
			    SQLITE_TRANSIENT));
}

void store_query_id(struct store_query *query, const char *name, const struct kms_id *id)
{
	bind_blob(query, name, id->b, sizeof(id->b));
}

void store_query_id_or_null(struct store_query *query, const char *name, const struct kms_id *id)
{
	if (kms_id_is_zero(id)) {
		note(query, sqlite3_bind_null(query->stmt, place(query, name)));
	} else {
		store_query_id(query, name, id);
	}
}

void store_query_hash(struct store_query *query, const char *name, const struct kms_hash *hash)
{
	bind_blob(query, name, hash->b, sizeof(hash->b));
}

void store_query_int(struct store_query *query, const char *name, int64_t value)
{
	note(query, sqlite3_bind_int64(query->stmt, place(query, name), value));
}

void store_query_uint(struct store_query *query, const char *name, uint64_t value)
{
	if (value > INT64_MAX) {
		note(query, SQLITE_TOOBIG);
		return;
	}
	store_query_int(query, name, (int64_t)value);
}

void store_query_text(struct store_query *query, const char *name, const char *text)
{
	note(query, sqlite3_bind_text64(query->stmt, place(query, name), text, strlen(text),
			    SQLITE_TRANSIENT, SQLITE_UTF8));
}

void store_query_bytes(struct store_query *query, const char *name, struct kms_bytes bytes)
{
	bind_blob(query, name, bytes.ptr, bytes.len);
}

kms_err store_query_checked(struct store_query *query)
{
	return store_conn_result(query->conn, query->failed, sqlite3_sql(query->stmt));
}

kms_err store_query_step(struct store_query *query, bool *ret_row)
{
	KMS_TRY(store_query_checked(query));
	int rc = sqlite3_step(query->stmt);
	KMS_TRY(store_conn_result(query->conn, rc, sqlite3_sql(query->stmt)));
	*ret_row = rc == SQLITE_ROW;
	return KMS_OK;
}

kms_err store_query_run(struct store_query *query)
{
	bool row = false;
	KMS_TRY(store_query_step(query, &row));
	KMS_ASSERT(!row);
	return KMS_OK;
}

kms_err store_query_one(struct store_query *query)
{
	bool row = false;
	KMS_TRY(store_query_step(query, &row));
	return row ? KMS_OK : KMS_ERR(NOT_FOUND);
}

int store_query_changes(const struct store_query *query)
{
	return sqlite3_changes(query->conn->db);
}

/* Exactly len bytes, or none at all (NULL), which stands for zeros. */
static void column_fixed(struct store_query *query, int i, void *ret_bytes, size_t len)
{
	memset(ret_bytes, 0, len);
	if (sqlite3_column_type(query->stmt, i) == SQLITE_NULL) {
		return;
	}
	const void *blob = sqlite3_column_blob(query->stmt, i);
	if (blob == NULL || (size_t)sqlite3_column_bytes(query->stmt, i) != len) {
		note(query, SQLITE_CORRUPT);
		return;
	}
	memcpy(ret_bytes, blob, len);
}

void store_column_id(struct store_query *query, int i, struct kms_id *ret_id)
{
	column_fixed(query, i, ret_id->b, sizeof(ret_id->b));
}

void store_column_hash(struct store_query *query, int i, struct kms_hash *ret_hash)
{
	column_fixed(query, i, ret_hash->b, sizeof(ret_hash->b));
}

int64_t store_column_int(struct store_query *query, int i)
{
	return sqlite3_column_int64(query->stmt, i);
}

uint64_t store_column_uint(struct store_query *query, int i)
{
	int64_t value = store_column_int(query, i);
	if (value < 0) {
		note(query, SQLITE_CORRUPT);
		return 0;
	}
	return (uint64_t)value;
}

void store_column_text(struct store_query *query, int i, char *ret_text, size_t cap)
{
	const void *text = sqlite3_column_text(query->stmt, i);
	size_t len = (size_t)sqlite3_column_bytes(query->stmt, i);
	memset(ret_text, 0, cap);
	if (len >= cap || (text == NULL && len > 0)) {
		note(query, SQLITE_CORRUPT);
		return;
	}
	if (len > 0) {
		memcpy(ret_text, text, len);
	}
}

kms_err store_column_bytes(struct store_query *query, int i, struct kms_buf *ret_buf)
{
	const void *blob = sqlite3_column_blob(query->stmt, i);
	size_t len = (size_t)sqlite3_column_bytes(query->stmt, i);
	return kms_buf_copy((struct kms_bytes){blob, len}, ret_buf);
}

void store_column_label(struct store_query *query, int i, struct model_label *ret_label)
{
	store_column_text(query, i, ret_label->text, sizeof(ret_label->text));
	column_fixed(query, i + 1, ret_label->salt, sizeof(ret_label->salt));
}

kms_err store_query_list(struct store_query *query, size_t row_size,
	kms_err (*read)(struct store_query *query, void *ret_row), void (*clear)(void *row),
	void **ret_rows, size_t *ret_count)
{
	char *rows = NULL;
	size_t count = 0;
	size_t cap = 0;
	kms_err err = KMS_OK;
	bool row = false;
	while (kms_is_ok(err = store_query_step(query, &row)) && row) {
		if (count == cap) {
			cap = cap == 0 ? 16 : cap * 2;
			char *grown = reallocarray(rows, cap, row_size);
			if (grown == NULL) {
				err = KMS_ERR(NO_MEMORY);
				break;
			}
			rows = grown;
		}
		memset(rows + count * row_size, 0, row_size);
		err = read(query, rows + count * row_size);
		if (!kms_is_ok(err)) {
			break;
		}
		count++;
	}
	if (!kms_is_ok(err)) {
		for (size_t i = 0; clear != NULL && i < count; i++) {
			clear(rows + i * row_size);
		}
		free(rows);
		return err;
	}
	*ret_rows = rows;
	*ret_count = count;
	return KMS_OK;
}
