/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: one SQLite connection: how it is opened, and how its errors become ours. Runs in kmsd.
 * Never waits for a writer of another process: there must be none.
 */
#include <string.h>

#include "store_int.h"

/* What each connection is set to. The log of writes is synced at each commit (FULL). */
static const char PRAGMAS[] = "PRAGMA foreign_keys = ON;"
			      "PRAGMA synchronous = FULL;"
			      "PRAGMA secure_delete = ON;"
			      "PRAGMA trusted_schema = OFF;"
			      "PRAGMA cell_size_check = ON;"
			      "PRAGMA temp_store = MEMORY;";

kms_err store_conn_result(struct store_conn *conn, int rc, const char *doing)
{
	switch (rc) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return KMS_OK;
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_ROWID:
		return KMS_ERR(EXISTS);
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return KMS_ERR(NOT_FOUND);
	default:
		break;
	}
	/* Full, read-only or failing disk among them. What follows in this transaction would only
	 * say the same again. */
	conn->broken = true;
	kms_log(KMS_LOG_ERROR, "store %s: %s: %s (SQLite %d)",
		conn->path != NULL ? conn->path : "in memory", doing,
		conn->db != NULL ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc), rc);
	return (rc & 0xff) == SQLITE_NOMEM ? KMS_ERR(NO_MEMORY) : KMS_ERR(STORE);
}

kms_err store_conn_exec(struct store_conn *conn, const char *sql)
{
	if (conn->broken) {
		return KMS_ERR(STORE);
	}
	return store_conn_result(conn, sqlite3_exec(conn->db, sql, NULL, NULL, NULL), sql);
}

static kms_err set_up(struct store_conn *conn)
{
	KMS_TRY(store_conn_result(
		conn, sqlite3_extended_result_codes(conn->db, 1), "extended result codes"));
	KMS_TRY(store_conn_result(
		conn, sqlite3_busy_timeout(conn->db, STORE_BUSY_MS), "busy timeout"));
	KMS_TRY(store_conn_result(conn,
		sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL), "defensive"));
	return store_conn_exec(conn, PRAGMAS);
}

kms_err store_conn_open(struct store_conn *conn, const char *path, int flags)
{
	*conn = (struct store_conn){.path = path};
	int rc = sqlite3_open_v2(path != NULL ? path : ":memory:", &conn->db,
		flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	kms_err err = store_conn_result(conn, rc, "open");
	if (kms_is_ok(err)) {
		err = set_up(conn);
	}
	if (!kms_is_ok(err)) {
		store_conn_close(conn);
	}
	return err;
}

void store_conn_close(struct store_conn *conn)
{
	for (size_t i = 0; i < conn->count; i++) {
		(void)sqlite3_finalize(conn->cache[i].stmt);
	}
	if (conn->db != NULL) {
		KMS_ASSERT(sqlite3_close(conn->db) == SQLITE_OK);
	}
	memset(conn, 0, sizeof(*conn));
}
