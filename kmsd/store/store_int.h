/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store's own: connections, cached statements and the pool of readers. Runs in kmsd.
 */
#ifndef KMS_STORE_INT_H
#define KMS_STORE_INT_H

#include <pthread.h>
#include <sqlite3.h>

#include "base.h"
#include "model.h"
#include "store.h"

enum {
	STORE_STATEMENTS = 144,             /* texts of SQL in this module, and some room */
	STORE_APPLICATION_ID = 0x6b6d7364,  /* "kmsd" */
	STORE_DUMP_MAX = 256 * 1024 * 1024, /* bytes of store_dump */
	STORE_BUSY_MS = 2000, /* another process reads (--replay); one that writes is an error */
};

/* One SQLite connection, used by one thread at a time. */
struct store_conn {
	sqlite3 *db;
	const char *path; /* for the log; borrowed from struct store */
	bool busy;        /* taken from the pool */
	bool broken;      /* a statement failed: nothing more until the transaction is over */
	size_t count;
	struct {
		const char *sql; /* constant text: its address is its name */
		sqlite3_stmt *stmt;
	} cache[STORE_STATEMENTS];
};

struct store {
	char *path; /* NULL: in memory, for one thread */
	int lock_fd;
	bool read_only;
	pthread_mutex_t write_lock; /* held from store_begin to the end of the transaction */
	struct store_conn writer;
	pthread_mutex_t pool_lock; /* over readers[].busy; taken alone or after write_lock */
	pthread_cond_t pool_free;
	struct store_conn readers[LIMIT_STORE_READERS];
};

struct store_tx {
	struct store *store;
};

/* ---- connections (conn.c) ---- */

kms_err store_conn_open(struct store_conn *conn, const char *path, int flags);
void store_conn_close(struct store_conn *conn);
/* Constant text with one or more statements and no binds, uncached: pragmas, migrations, BEGIN. */
kms_err store_conn_exec(struct store_conn *conn, const char *sql);
/* Translate and log a result of SQLite: EXISTS and NOT_FOUND for broken constraints, else STORE. */
kms_err store_conn_result(struct store_conn *conn, int rc, const char *doing);

/* ---- statements (query.c): bind by name, step, read columns. Failures stick. ---- */

struct store_query {
	struct store *pool; /* whose reader it holds; NULL: the writer's own */
	struct store_conn *conn;
	sqlite3_stmt *stmt;
	int failed;
};
#define STORE_AUTO_QUERY __attribute__((cleanup(store_query_close))) struct store_query
/* On the writer's connection. */
kms_err store_query_open(struct store_conn *conn, const char *sql, struct store_query *ret_query);
/* On a reader of the pool. A thread holds one at a time, so nobody waits for what he holds. */
kms_err store_query_read(struct store *store, const char *sql, struct store_query *ret_query);
void store_query_close(struct store_query *query);

void store_query_id(struct store_query *query, const char *name, const struct kms_id *id);
/* Zero stands for "the platform's" or "none" and is NULL in the row. */
void store_query_id_or_null(struct store_query *query, const char *name, const struct kms_id *id);
void store_query_hash(struct store_query *query, const char *name, const struct kms_hash *hash);
void store_query_int(struct store_query *query, const char *name, int64_t value);
/* STORE for one that is past int64_t. */
void store_query_uint(struct store_query *query, const char *name, uint64_t value);
void store_query_text(struct store_query *query, const char *name, const char *text);
void store_query_bytes(struct store_query *query, const char *name, struct kms_bytes bytes);
kms_err store_query_step(struct store_query *query, bool *ret_row);
/* Step a statement that gives no row. */
kms_err store_query_run(struct store_query *query);
/* Step a statement that gives one row: NOT_FOUND when it does not. */
kms_err store_query_one(struct store_query *query);
/* How many rows the last statement changed. */
int store_query_changes(const struct store_query *query);

void store_column_id(struct store_query *query, int i, struct kms_id *ret_id);
void store_column_hash(struct store_query *query, int i, struct kms_hash *ret_hash);
uint64_t store_column_uint(struct store_query *query, int i);
int64_t store_column_int(struct store_query *query, int i);
void store_column_text(struct store_query *query, int i, char *ret_text, size_t cap);
kms_err store_column_bytes(struct store_query *query, int i, struct kms_buf *ret_buf);
/* Text and salt in columns i and i + 1; an empty label where there is none. */
void store_column_label(struct store_query *query, int i, struct model_label *ret_label);
/* STORE when a column since the last step did not hold what it must. */
kms_err store_query_checked(struct store_query *query);

/* All rows of a query. clear frees what one row owns; NULL: nothing. */
kms_err store_query_list(struct store_query *query, size_t row_size,
	kms_err (*read)(struct store_query *query, void *ret_row), void (*clear)(void *row),
	void **ret_rows, size_t *ret_count);

/* ---- readers (open.c) ---- */

kms_err store_reader_take(struct store *store, struct store_conn **ret_conn);
void store_reader_give(struct store *store, struct store_conn *conn);

/* ---- rows that both readers and the writer look at (keys.c) ---- */

kms_err store_key_find(struct store_conn *conn, const struct kms_id *id, struct model_key *ret_key);

/* ---- migrations, in order; constant, never edited once released ---- */

extern const char *const store_migrations[];
extern const int store_migration_count;
extern const char store_migration_001[];
extern const char store_migration_002[];
extern const char store_migration_003[];

#endif
