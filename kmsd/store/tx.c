/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the one transaction helper, and settings. Runs in kmsd. After any failure of the disk,
 * COMMIT's included, nothing of the transaction stays.
 */
#include <stdlib.h>
#include <string.h>

#include "store_int.h"

kms_err store_begin(struct store *store, struct store_tx **ret_tx)
{
	KMS_ASSERT(!store->read_only);
	struct store_tx *tx = calloc(1, sizeof(*tx));
	if (tx == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	tx->store = store;
	KMS_ASSERT(pthread_mutex_lock(&store->write_lock) == 0);
	store->writer.broken = false;
	kms_err err = store_conn_exec(&store->writer, "BEGIN IMMEDIATE");
	if (!kms_is_ok(err)) {
		store_tx_free(&tx);
		return err;
	}
	*ret_tx = tx;
	return KMS_OK;
}

void store_tx_free(struct store_tx **tx)
{
	if (*tx == NULL) {
		return;
	}
	struct store_tx *old = kms_take(tx);
	struct store_conn *conn = &old->store->writer;
	/* SQLite rolls some failures back by itself (sqlite.org/lang_transaction.html). */
	if (sqlite3_get_autocommit(conn->db) == 0) {
		conn->broken = false;
		KMS_IGNORE(store_conn_exec(conn, "ROLLBACK")); /* logged */
	}
	conn->broken = false;
	KMS_ASSERT(pthread_mutex_unlock(&old->store->write_lock) == 0);
	free(old);
}

kms_err store_commit(struct store_tx **tx)
{
	kms_err err = store_conn_exec(&(*tx)->store->writer, "COMMIT");
	store_tx_free(tx);
	return err;
}

kms_err store_savepoint(struct store_tx *tx)
{
	return store_conn_exec(&tx->store->writer, "SAVEPOINT change");
}

kms_err store_savepoint_keep(struct store_tx *tx)
{
	return store_conn_exec(&tx->store->writer, "RELEASE change");
}

kms_err store_savepoint_drop(struct store_tx *tx)
{
	return store_conn_exec(&tx->store->writer, "ROLLBACK TO change; RELEASE change");
}

kms_err store_setting_put(struct store_tx *tx, const char *name, const char *value)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(&tx->store->writer,
		"INSERT INTO setting (name, value) VALUES (:name, :value)"
		" ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		&query));
	store_query_text(&query, ":name", name);
	store_query_text(&query, ":value", value);
	return store_query_run(&query);
}

kms_err store_setting_get(struct store *store, const char *name, char **ret_value)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, "SELECT value FROM setting WHERE name = :name", &query));
	store_query_text(&query, ":name", name);
	KMS_TRY(store_query_one(&query));
	return kms_text(ret_value, "%s", (const char *)sqlite3_column_text(query.stmt, 0));
}
