/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: all state as text, one row a line, in the order of ids: what two stores of one ledger
 * have in common. Runs in kmsd. Leaves labels out, which the ledger only commits to, and settings.
 */
#include <string.h>

#include "store_int.h"

static const struct {
	const char *name;
	const char *sql;
} TABLES[] = {
	{"head", "SELECT size, root FROM head"},
	{"tenant", "SELECT * FROM tenant ORDER BY id"},
	{"principal", "SELECT * FROM principal ORDER BY id"},
	{"token", "SELECT * FROM token ORDER BY id"},
	{"position", "SELECT * FROM position ORDER BY token"},
	{"key", "SELECT * FROM logical_key ORDER BY id"},
	{"kek", "SELECT * FROM kek ORDER BY id"},
	{"dataset", "SELECT * FROM dataset ORDER BY id"},
	{"erasure", "SELECT * FROM erasure ORDER BY id"},
	{"erasure_signature", "SELECT * FROM erasure_signature ORDER BY erasure, kind, principal"},
	{"erasure_row", "SELECT * FROM erasure_row ORDER BY erasure, token, kek"},
	{"erasure_key", "SELECT * FROM erasure_key ORDER BY erasure, logical_key"},
	{"erasure_entry", "SELECT * FROM erasure_entry ORDER BY erasure, seq"},
	{"certificate", "SELECT * FROM certificate ORDER BY id"},
	{"use_count", "SELECT * FROM use_count ORDER BY logical_key"},
	{"lease", "SELECT * FROM lease ORDER BY logical_key, version, principal, holder"},
	{"receipt", "SELECT * FROM receipt ORDER BY principal, holder"},
};

static void write_blob(struct kms_writer *writer, const uint8_t *blob, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		kms_write_format(writer, "%02x", (unsigned)blob[i]);
	}
}

/* Quoted; what is not plain ASCII in hex, so that a row stays one line. */
static void write_text(struct kms_writer *writer, const uint8_t *text, size_t len)
{
	kms_write_text(writer, "\"");
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] >= 0x7f || text[i] == '"' || text[i] == '\\') {
			kms_write_format(writer, "\\x%02x", (unsigned)text[i]);
		} else {
			kms_write_u8(writer, text[i]);
		}
	}
	kms_write_text(writer, "\"");
}

static void write_column(struct kms_writer *writer, sqlite3_stmt *stmt, int i)
{
	kms_write_format(writer, " %s=", sqlite3_column_name(stmt, i));
	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_NULL:
		kms_write_text(writer, "-");
		break;
	case SQLITE_INTEGER:
		kms_write_format(writer, "%lld", (long long)sqlite3_column_int64(stmt, i));
		break;
	case SQLITE_BLOB: {
		const uint8_t *blob = sqlite3_column_blob(stmt, i);
		write_blob(writer, blob, (size_t)sqlite3_column_bytes(stmt, i));
		break;
	}
	default: {
		const uint8_t *text = sqlite3_column_text(stmt, i);
		write_text(writer, text, (size_t)sqlite3_column_bytes(stmt, i));
		break;
	}
	}
}

static kms_err dump_table(struct store_conn *conn, size_t i, struct kms_writer *writer)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, TABLES[i].sql, &query));
	bool row = false;
	for (;;) {
		KMS_TRY(store_query_step(&query, &row));
		if (!row) {
			return KMS_OK;
		}
		kms_write_text(writer, TABLES[i].name);
		for (int k = 0; k < sqlite3_column_count(query.stmt); k++) {
			write_column(writer, query.stmt, k);
		}
		kms_write_text(writer, "\n");
	}
}

static kms_err dump_all(struct store_conn *conn, struct kms_writer *writer)
{
	for (size_t i = 0; i < sizeof(TABLES) / sizeof(TABLES[0]); i++) {
		KMS_TRY(dump_table(conn, i, writer));
	}
	return KMS_OK;
}

kms_err store_dump(struct store *store, struct kms_buf *ret_text)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(STORE_DUMP_MAX);
	struct store_conn *conn = NULL;
	KMS_TRY(store_reader_take(store, &conn));
	/* One read transaction: the tables of one moment. */
	kms_err err = store_conn_exec(conn, "BEGIN");
	if (kms_is_ok(err)) {
		err = dump_all(conn, &writer);
		conn->broken = false;
		kms_err end = store_conn_exec(conn, "ROLLBACK");
		err = kms_is_ok(err) ? end : err;
	}
	store_reader_give(store, conn);
	KMS_TRY(err);
	return kms_writer_take(&writer, ret_text);
}
