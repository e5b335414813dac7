/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: what is left of an erasure whose approvals have expired, and how it goes over to another
 * one that people approve anew. A row goes over only where its kms-tokend has refused it after the
 * expiry, which is its word that it never began it. A KEK is of one erasure at each time, and so
 * never free in between. Runs in kmsd.
 */
#include <stdlib.h>
#include <string.h>

#include "apply_int.h"

#define HOLDER "SELECT e.id, e.state, e.expires_unix_s, r.refused_unix_ms FROM "
#define HELD                                                                                       \
	" CROSS JOIN erasure_row AS r ON r.erasure = e.id AND r.token = :token AND r.kek = :kek"   \
	" WHERE e.state IN (1, 3) AND r.seq = 0 AND r.renewed_by IS NULL"

/* A KEK says whose it is. A token does not: of the erasures that are open, there are few. */
static const char *holder_of(const struct kms_id *kek)
{
	return kms_id_is_zero(kek) ? HOLDER "erasure AS e" HELD
				   : HOLDER
		       "kek AS k CROSS JOIN erasure AS e ON e.id = k.erasure" HELD
		       " AND k.id = :kek";
}

/* Runs the query and reads its one row, or NOT_FOUND. */
static kms_err read_holder(struct store_query *query, const struct kms_id *token,
	const struct kms_id *kek, int64_t unix_ms, struct store_holder *ret_holder)
{
	struct store_holder holder = {0};
	store_query_id(query, ":token", token);
	store_query_id(query, ":kek", kek);
	KMS_TRY(store_query_one(query));
	store_column_id(query, 0, &holder.erasure);
	holder.executing = store_column_int(query, 1) == MODEL_ERASE_EXECUTING;
	int64_t expires_ms = store_column_int(query, 2) * 1000;
	holder.renewable =
		holder.executing && unix_ms > expires_ms && store_column_int(query, 3) > expires_ms;
	KMS_TRY(store_query_checked(query));
	*ret_holder = holder;
	return KMS_OK;
}

kms_err store_holder_get(struct store *store, const struct kms_id *token, const struct kms_id *kek,
	int64_t unix_ms, struct store_holder *ret_holder)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, holder_of(kek), &query));
	return read_holder(&query, token, kek, unix_ms, ret_holder);
}

static const char wiped[] = "SELECT 1 FROM erasure_row WHERE token = :token AND kek = :none"
			    " AND seq <> 0 LIMIT 1";

static kms_err read_wiped(struct store_query *query, const struct kms_id *token, bool *ret_wiped)
{
	static const struct kms_id none;
	store_query_id(query, ":token", token);
	store_query_id(query, ":none", &none);
	return store_query_step(query, ret_wiped);
}

kms_err store_token_wiped(struct store *store, const struct kms_id *token, bool *ret_wiped)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, wiped, &query));
	return read_wiped(&query, token, ret_wiped);
}

static kms_err read_id(struct store_query *query, void *ret_row)
{
	store_column_id(query, 0, ret_row);
	return store_query_checked(query);
}

kms_err store_erasure_renews(
	struct store *store, const struct kms_id *id, struct kms_id **ret_ids, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		"SELECT DISTINCT erasure FROM erasure_row WHERE renewed_by = :id"
		" ORDER BY erasure",
		&query));
	store_query_id(&query, ":id", id);
	KMS_TRY(store_query_list(&query, sizeof(struct kms_id), read_id, NULL, &rows, ret_count));
	*ret_ids = rows;
	return KMS_OK;
}

/* ---- a kms-tokend refuses ---- */

/* Once while its approvals are good, and once when they have expired. */
static kms_err refuse_row(struct store_conn *conn, const struct model_change *change,
	const struct kms_id *kek, int64_t unix_ms)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE erasure_row SET refused_unix_ms = :now, refused = :text"
		" WHERE erasure = :erasure AND token = :token AND kek = :kek AND seq = 0"
		" AND renewed_by IS NULL AND (refused_unix_ms = 0 OR EXISTS (SELECT 1 FROM erasure"
		" AS e WHERE e.id = :erasure AND refused_unix_ms <= e.expires_unix_s * 1000"
		" AND :now > e.expires_unix_s * 1000))",
		&query));
	store_query_id(&query, ":erasure", &change->u.erase_refused.erasure);
	store_query_id(&query, ":token", &change->u.erase_refused.token);
	store_query_id(&query, ":kek", kek);
	store_query_int(&query, ":now", unix_ms);
	store_query_text(&query, ":text", change->u.erase_refused.text);
	KMS_TRY(store_query_run(&query));
	return store_query_changes(&query) == 1 ? KMS_OK : KMS_ERR(KEY_STATE);
}

kms_err store_apply_erase_refused(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms)
{
	static const struct kms_id none;
	struct store_erasure_head head;
	KMS_TRY(store_erasure_find(conn, change, &change->u.erase_refused.erasure, &head));
	if (head.state != MODEL_ERASE_EXECUTING) {
		return KMS_ERR(KEY_STATE);
	}
	for (uint32_t i = 0; i < change->u.erase_refused.kek_count; i++) {
		KMS_TRY(refuse_row(conn, change, &change->u.erase_refused.keks[i], unix_ms));
	}
	if (change->u.erase_refused.wipe) {
		KMS_TRY(refuse_row(conn, change, &none, unix_ms));
	}
	return store_erasure_note(conn, &head.id, seq);
}

/* ---- over, and back ---- */

kms_err store_row_admit(struct store_conn *conn, const struct kms_id *token,
	const struct kms_id *kek, int64_t unix_ms, struct kms_id *ret_old)
{
	struct store_holder holder;
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn, holder_of(kek), &query));
		kms_err err = read_holder(&query, token, kek, unix_ms, &holder);
		if (!kms_is(err, KMS_CODE_NOT_FOUND)) {
			KMS_TRY(err);
			*ret_old = holder.erasure;
			return holder.renewable ? KMS_OK : KMS_ERR(KEY_STATE);
		}
	}
	STORE_AUTO_QUERY query = {0};
	bool gone = false;
	if (kms_id_is_zero(kek)) {
		KMS_TRY(store_query_open(conn, wiped, &query));
		KMS_TRY(read_wiped(&query, token, &gone));
	}
	*ret_old = (struct kms_id){{0}};
	return gone ? KMS_ERR(KEY_STATE) : KMS_OK;
}

kms_err store_row_take(struct store_conn *conn, const struct kms_id *old,
	const struct kms_id *erasure, const struct kms_id *token, const struct kms_id *kek)
{
	if (kms_id_is_zero(old)) {
		return KMS_OK;
	}
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"UPDATE erasure_row SET renewed_by = :erasure"
			" WHERE erasure = :old AND token = :token AND kek = :kek",
			&query));
		store_query_id(&query, ":erasure", erasure);
		store_query_id(&query, ":old", old);
		store_query_id(&query, ":token", token);
		store_query_id(&query, ":kek", kek);
		KMS_TRY(store_query_run(&query));
	}
	return store_renewed_settle(conn, old);
}

kms_err store_renewed_settle(struct store_conn *conn, const struct kms_id *erasure)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE erasure SET state = CASE WHEN EXISTS (SELECT 1 FROM erasure_row AS r"
		" WHERE r.erasure = :id AND r.seq = 0 AND r.renewed_by IS NULL)"
		" OR NOT EXISTS (SELECT 1 FROM erasure_row AS r"
		" WHERE r.erasure = :id AND r.renewed_by IS NOT NULL)"
		" THEN :executing ELSE :renewed END"
		" WHERE id = :id AND state IN (:executing, :renewed)",
		&query));
	store_query_id(&query, ":id", erasure);
	store_query_int(&query, ":executing", MODEL_ERASE_EXECUTING);
	store_query_int(&query, ":renewed", MODEL_ERASE_RENEWED);
	return store_query_run(&query);
}

/* One statement over `:erasure`, and over `:versions` where it asks for it. */
static kms_err run_over(
	struct store_conn *conn, const struct kms_id *erasure, const char *sql, bool versions)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, sql, &query));
	store_query_id(&query, ":erasure", erasure);
	if (versions) {
		store_query_int(&query, ":versions", MODEL_ERASE_VERSIONS);
	}
	return store_query_run(&query);
}

kms_err store_rows_return(struct store_conn *conn, const struct kms_id *erasure)
{
	KMS_TRY(run_over(conn, erasure,
		"UPDATE kek SET erasure = (SELECT old.erasure FROM erasure_row AS old"
		" WHERE old.renewed_by = :erasure AND old.kek = kek.id)"
		" WHERE erasure = :erasure AND id IN"
		" (SELECT named.kek FROM erasure_row AS named WHERE named.erasure = :erasure)",
		false));
	/* An erasure of versions never holds the key itself. */
	KMS_TRY(run_over(conn, erasure,
		"UPDATE logical_key SET erasure = (SELECT min(old.erasure) FROM erasure_row AS old"
		" JOIN erasure AS e ON e.id = old.erasure WHERE old.renewed_by = :erasure"
		" AND old.logical_key = logical_key.id AND e.scope <> :versions)"
		" WHERE erasure = :erasure AND id IN (SELECT held.logical_key"
		" FROM erasure_key AS held WHERE held.erasure = :erasure)",
		true));
	KMS_TRY(run_over(conn, erasure,
		"UPDATE erasure SET state = 3 WHERE state = 5 AND id IN"
		" (SELECT old.erasure FROM erasure_row AS old WHERE old.renewed_by = :erasure)",
		false));
	return run_over(conn, erasure,
		"UPDATE erasure_row SET renewed_by = NULL WHERE renewed_by = :erasure", false);
}
