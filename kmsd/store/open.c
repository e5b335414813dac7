/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: opening, the lock beside the database, migrations and the pool of readers. Runs in kmsd.
 * Never opens a database for writing that another process may write.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store_int.h"

const char *const store_migrations[] = {
	store_migration_001, store_migration_002, store_migration_003};
const int store_migration_count = sizeof(store_migrations) / sizeof(store_migrations[0]);

static kms_err io_error(const char *path, const char *doing)
{
	kms_log(KMS_LOG_ERROR, "store %s: %s: %s", path, doing, strerror(errno));
	return KMS_ERR(STORE);
}

static kms_err take_lock(const char *path, int *ret_fd)
{
	KMS_AUTO_FREE char *lock = NULL;
	KMS_TRY(kms_text(&lock, "%s.lock", path));
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return io_error(lock, "open");
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		bool taken = errno == EWOULDBLOCK;
		kms_err err = taken ? KMS_ERR(EXISTS) : io_error(lock, "lock");
		if (taken) {
			kms_log(KMS_LOG_ERROR, "store %s: another kmsd has it open (%s is locked)",
				path, lock);
		}
		(void)close(fd);
		return err;
	}
	*ret_fd = fd;
	return KMS_OK;
}

/* The file with our mode before SQLite sees it; SQLite gives its -wal and -shm the same mode. */
static kms_err touch(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return io_error(path, "create");
	}
	(void)close(fd);
	return KMS_OK;
}

/* A new name is durable only when its directory is. */
static kms_err sync_directory(const char *path)
{
	KMS_AUTO_FREE char *dir = NULL;
	KMS_TRY(kms_text(&dir, "%s", path));
	char *slash = strrchr(dir, '/');
	if (slash != NULL) {
		slash[slash == dir ? 1 : 0] = '\0';
	}
	int fd = open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return io_error(path, "open its directory");
	}
	kms_err err = fsync(fd) == 0 ? KMS_OK : io_error(path, "fsync its directory");
	(void)close(fd);
	return err;
}

static kms_err number(struct store_conn *conn, const char *sql, int64_t *ret_value)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, sql, &query));
	KMS_TRY(store_query_one(&query));
	*ret_value = store_column_int(&query, 0);
	return KMS_OK;
}

/* Ours, or empty; and of a version that we know. */
static kms_err identify(struct store_conn *conn, int64_t *ret_version)
{
	int64_t application = 0;
	int64_t version = 0;
	int64_t tables = 0;
	KMS_TRY(number(conn, "PRAGMA application_id", &application));
	KMS_TRY(number(conn, "PRAGMA user_version", &version));
	KMS_TRY(number(conn, "SELECT count(*) FROM sqlite_schema", &tables));
	bool empty = application == 0 && version == 0 && tables == 0;
	if (!empty && application != STORE_APPLICATION_ID) {
		kms_log(KMS_LOG_ERROR, "store %s: not a store of kmsd", conn->path);
		return KMS_ERR(STORE);
	}
	if (version > store_migration_count) {
		kms_log(KMS_LOG_ERROR, "store %s: made by a newer kmsd (schema %lld, ours is %d)",
			conn->path, (long long)version, store_migration_count);
		return KMS_ERR(VERSION);
	}
	*ret_version = version;
	return KMS_OK;
}

/* All that are missing, in one transaction. */
static kms_err migrate(struct store_conn *conn, int64_t version)
{
	if (version == store_migration_count) {
		return KMS_OK;
	}
	KMS_TRY(store_conn_exec(conn, "BEGIN IMMEDIATE"));
	for (int64_t i = version; i < store_migration_count; i++) {
		KMS_TRY(store_conn_exec(conn, store_migrations[i]));
	}
	KMS_AUTO_FREE char *mark = NULL; /* pragmas take no binds */
	KMS_TRY(kms_text(&mark, "PRAGMA application_id = %d; PRAGMA user_version = %d",
		STORE_APPLICATION_ID, store_migration_count));
	KMS_TRY(store_conn_exec(conn, mark));
	return store_conn_exec(conn, "COMMIT");
}

/* CREATE goes on with a store that has no entry yet: a first --init may have been cut short. */
static kms_err prepare(struct store *store, enum store_mode mode)
{
	int64_t version = 0;
	KMS_TRY(identify(&store->writer, &version));
	if (mode != STORE_CREATE && version == 0) {
		kms_log(KMS_LOG_ERROR, "store %s: empty", store->path);
		return KMS_ERR(NOT_FOUND);
	}
	if (mode == STORE_READ) {
		return version == store_migration_count ? KMS_OK : KMS_ERR(VERSION);
	}
	KMS_TRY(store_conn_exec(&store->writer, "PRAGMA journal_mode = WAL"));
	KMS_TRY(migrate(&store->writer, version));
	uint64_t size = 0;
	struct kms_hash root;
	KMS_TRY(store_head_get(store, &size, &root));
	if (mode == STORE_CREATE && size > 0) {
		kms_log(KMS_LOG_ERROR, "store %s: exists, with %llu ledger entries", store->path,
			(unsigned long long)size);
		return KMS_ERR(EXISTS);
	}
	return store->path != NULL ? sync_directory(store->path) : KMS_OK;
}

static kms_err open_file(struct store *store, enum store_mode mode)
{
	if (mode != STORE_CREATE && access(store->path, F_OK) != 0) {
		bool missing = errno == ENOENT;
		kms_err err = io_error(store->path, "open");
		return missing ? KMS_ERR(NOT_FOUND) : err;
	}
	if (mode == STORE_READ) {
		return store_conn_open(&store->writer, store->path, SQLITE_OPEN_READONLY);
	}
	KMS_TRY(take_lock(store->path, &store->lock_fd));
	KMS_TRY(touch(store->path));
	return store_conn_open(&store->writer, store->path, SQLITE_OPEN_READWRITE);
}

kms_err store_open(const char *path, enum store_mode mode, struct store **ret_store)
{
	KMS_AUTO(store) store = calloc(1, sizeof(*store));
	if (store == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	store->lock_fd = -1;
	store->read_only = mode == STORE_READ;
	KMS_ASSERT(pthread_mutex_init(&store->write_lock, NULL) == 0);
	KMS_ASSERT(pthread_mutex_init(&store->pool_lock, NULL) == 0);
	KMS_ASSERT(pthread_cond_init(&store->pool_free, NULL) == 0);
	if (path == NULL) {
		KMS_ASSERT(mode == STORE_CREATE);
		KMS_TRY(store_conn_open(&store->writer, NULL,
			SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY));
	} else {
		KMS_TRY(kms_text(&store->path, "%s", path));
		KMS_TRY(open_file(store, mode));
	}
	KMS_TRY(prepare(store, mode));
	*ret_store = kms_take(&store);
	return KMS_OK;
}

void store_free(struct store **store)
{
	if (*store == NULL) {
		return;
	}
	struct store *old = kms_take(store);
	for (size_t i = 0; i < LIMIT_STORE_READERS; i++) {
		KMS_ASSERT(!old->readers[i].busy);
		store_conn_close(&old->readers[i]);
	}
	store_conn_close(&old->writer); /* the last connection: it empties the -wal */
	if (old->lock_fd >= 0) {
		(void)close(old->lock_fd);
	}
	(void)pthread_cond_destroy(&old->pool_free);
	(void)pthread_mutex_destroy(&old->pool_lock);
	(void)pthread_mutex_destroy(&old->write_lock);
	free(old->path);
	free(old);
}

/* A free reader that is open already, or a free place, or NULL. */
static struct store_conn *free_reader(struct store *store)
{
	struct store_conn *closed = NULL;
	for (size_t i = 0; i < LIMIT_STORE_READERS; i++) {
		struct store_conn *conn = &store->readers[i];
		if (!conn->busy && conn->db != NULL) {
			return conn;
		}
		if (!conn->busy && closed == NULL) {
			closed = conn;
		}
	}
	return closed;
}

kms_err store_reader_take(struct store *store, struct store_conn **ret_conn)
{
	if (store->path == NULL) {
		*ret_conn = &store->writer; /* a database in memory has one connection */
		return KMS_OK;
	}
	KMS_ASSERT(pthread_mutex_lock(&store->pool_lock) == 0);
	struct store_conn *conn = NULL;
	while ((conn = free_reader(store)) == NULL) {
		KMS_ASSERT(pthread_cond_wait(&store->pool_free, &store->pool_lock) == 0);
	}
	kms_err err = KMS_OK;
	if (conn->db == NULL) {
		err = store_conn_open(conn, store->path, SQLITE_OPEN_READONLY);
	}
	if (kms_is_ok(err)) {
		conn->busy = true;
		conn->broken = false;
		*ret_conn = conn;
	}
	KMS_ASSERT(pthread_mutex_unlock(&store->pool_lock) == 0);
	return err;
}

void store_reader_give(struct store *store, struct store_conn *conn)
{
	if (conn == &store->writer) {
		return;
	}
	KMS_ASSERT(pthread_mutex_lock(&store->pool_lock) == 0);
	conn->busy = false;
	KMS_ASSERT(pthread_cond_signal(&store->pool_free) == 0);
	KMS_ASSERT(pthread_mutex_unlock(&store->pool_lock) == 0);
}

kms_err store_check(struct store *store)
{
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_read(store, "PRAGMA integrity_check(1)", &query));
		KMS_TRY(store_query_one(&query));
		char text[512];
		store_column_text(&query, 0, text, sizeof(text));
		if (strcmp(text, "ok") != 0) {
			kms_log(KMS_LOG_ERROR, "store %s: %s", store->path, text);
			return KMS_ERR(STORE);
		}
	}
	STORE_AUTO_QUERY query = {0};
	bool row = false;
	KMS_TRY(store_query_read(store, "PRAGMA foreign_key_check", &query));
	KMS_TRY(store_query_step(&query, &row));
	if (row) {
		kms_log(KMS_LOG_ERROR, "store %s: a row refers to none", store->path);
		return KMS_ERR(STORE);
	}
	return KMS_OK;
}
