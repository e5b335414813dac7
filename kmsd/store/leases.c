/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: who was handed out how many data keys of which key version, and how many of them were
 * given back. Runs in kmsd. Grants come from use records, receipts from entries, both in the
 * ledger's order, and what is folded together goes by the records' times: replaying gives the same
 * rows.
 */
#include "apply_int.h"

#include "format.h"

/* Rows that are folded with one commit, beyond those that it can have made. */
enum { FOLD_MORE = 256 };

/* ---- grants ---- */

static bool same_lease(const struct model_use *a, const struct model_use *b)
{
	return a->lease_end_unix_ms == b->lease_end_unix_ms && a->version == b->version &&
	       kms_id_equal(&a->key, &b->key) && kms_id_equal(&a->principal, &b->principal) &&
	       kms_id_equal(&a->holder, &b->holder);
}

static kms_err grant(struct store_conn *conn, const struct model_use *use, uint64_t count)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO lease (logical_key, version, principal, holder, granted, returned,"
		" last_end_unix_ms) VALUES (:key, :version, :principal, :holder, :granted, 0, :end)"
		" ON CONFLICT (logical_key, version, principal, holder) DO UPDATE SET"
		" granted = granted + excluded.granted,"
		" last_end_unix_ms = max(last_end_unix_ms, excluded.last_end_unix_ms)",
		&query));
	store_query_id(&query, ":key", &use->key);
	store_query_uint(&query, ":version", use->version);
	store_query_id(&query, ":principal", &use->principal);
	store_query_id(&query, ":holder", &use->holder);
	store_query_uint(&query, ":granted", count);
	store_query_int(&query, ":end", use->lease_end_unix_ms);
	return store_query_run(&query);
}

/* Numbers of holders that keep no row. It looks at those alone whose rows go: this is in the way of
 * every use, however many receipts there are. */
static kms_err forget_receipts(struct store_conn *conn, int64_t before)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"DELETE FROM receipt WHERE (principal, holder) IN"
		" (SELECT principal, holder FROM lease AS gone WHERE last_end_unix_ms < :before AND"
		" holder <> x'00000000000000000000000000000000' AND NOT EXISTS"
		" (SELECT 1 FROM lease AS kept WHERE kept.principal = gone.principal AND"
		" kept.holder = gone.holder AND kept.last_end_unix_ms >= :before))",
		&query));
	store_query_int(&query, ":before", before);
	return store_query_run(&query);
}

/* Of the rows that ended before, about as many as max: the others go with the next uses. All that
 * ended at the same time go at once. */
static kms_err bound(struct store_conn *conn, size_t max, int64_t *before)
{
	STORE_AUTO_QUERY query = {0};
	bool more = false;
	KMS_TRY(store_query_open(conn,
		"SELECT last_end_unix_ms FROM lease INDEXED BY lease_end WHERE"
		" last_end_unix_ms < :before AND holder <> x'00000000000000000000000000000000'"
		" ORDER BY last_end_unix_ms LIMIT 1 OFFSET :max",
		&query));
	store_query_int(&query, ":before", *before);
	store_query_uint(&query, ":max", max);
	KMS_TRY(store_query_step(&query, &more));
	if (more) {
		*before = store_column_int(&query, 0) + 1;
	}
	return store_query_checked(&query);
}

/* Holders whose last lease ended so long ago that no receipt of theirs counts any more. By the
 * index that it names: a commit that every use waits for must not read all leases. */
static kms_err fold(struct store_conn *conn, int64_t now_unix_ms, size_t max)
{
	int64_t before = now_unix_ms - (int64_t)LIMIT_LEASE_LATE_S * 1000;
	KMS_TRY(bound(conn, max, &before));
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"INSERT INTO lease (logical_key, version, principal, holder, granted,"
			" returned, last_end_unix_ms) SELECT logical_key, version, principal,"
			" zeroblob(16), sum(granted), sum(returned), max(last_end_unix_ms)"
			" FROM lease INDEXED BY lease_end WHERE last_end_unix_ms < :before AND"
			" holder <> x'00000000000000000000000000000000'"
			" GROUP BY logical_key, version, principal"
			" ON CONFLICT (logical_key, version, principal, holder) DO UPDATE SET"
			" granted = granted + excluded.granted,"
			" returned = returned + excluded.returned,"
			" last_end_unix_ms = max(last_end_unix_ms, excluded.last_end_unix_ms)",
			&query));
		store_query_int(&query, ":before", before);
		KMS_TRY(store_query_run(&query));
		if (store_query_changes(&query) == 0) {
			return KMS_OK;
		}
	}
	KMS_TRY(forget_receipts(conn, before));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"DELETE FROM lease WHERE last_end_unix_ms < :before AND"
		" holder <> x'00000000000000000000000000000000'",
		&query));
	store_query_int(&query, ":before", before);
	return store_query_run(&query);
}

kms_err store_leases_grant(struct store_conn *conn, const struct model_use *uses, size_t count)
{
	int64_t now = 0;
	for (size_t i = 0; i < count;) {
		const struct model_use *first = &uses[i];
		size_t run = 1;
		for (; i + run < count && same_lease(first, &uses[i + run]); run++) {
		}
		if (first->denied == KMS_CODE_OK && first->lease_end_unix_ms != 0) {
			KMS_TRY(grant(conn, first, run));
			now = first->unix_ms;
		}
		i += run;
	}
	return now == 0 ? KMS_OK : fold(conn, now, count + FOLD_MORE);
}

/* ---- receipts ---- */

/* False: this number, or a greater one, was there already. */
static kms_err count_receipt(struct store_conn *conn, const struct kms_id *principal,
	const struct format_receipt *receipt, bool *ret_new)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO receipt (principal, holder, number)"
		" VALUES (:principal, :holder, :number)"
		" ON CONFLICT (principal, holder) DO UPDATE SET number = excluded.number"
		" WHERE excluded.number > number",
		&query));
	store_query_id(&query, ":principal", principal);
	store_query_id(&query, ":holder", &receipt->holder);
	store_query_uint(&query, ":number", receipt->number);
	KMS_TRY(store_query_run(&query));
	*ret_new = store_query_changes(&query) == 1;
	return KMS_OK;
}

static kms_err bind_row(struct store_query *query, const struct kms_id *principal,
	const struct kms_id *holder, const struct format_receipt_row *row)
{
	store_query_id(query, ":key", &row->key);
	store_query_uint(query, ":version", row->version);
	store_query_id(query, ":principal", principal);
	store_query_id(query, ":holder", holder);
	return store_query_run(query);
}

/* Never more than was handed out; false: it said more. */
static kms_err give_back(struct store_conn *conn, const struct kms_id *principal,
	const struct kms_id *holder, const struct format_receipt_row *row, bool *ret_exact)
{
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"UPDATE lease SET returned = returned + :count WHERE logical_key = :key"
			" AND version = :version AND principal = :principal AND holder = :holder"
			" AND granted - returned >= :count",
			&query));
		store_query_uint(&query, ":count", row->count);
		KMS_TRY(bind_row(&query, principal, holder, row));
		*ret_exact = store_query_changes(&query) == 1;
	}
	if (*ret_exact) {
		return KMS_OK;
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE lease SET returned = granted WHERE logical_key = :key AND version = "
		":version AND principal = :principal AND holder = :holder",
		&query));
	return bind_row(&query, principal, holder, row);
}

/* The certificate of an erasure that names the version shows the receipt, while it has room. */
static kms_err show_in_erasures(
	struct store_conn *conn, const struct format_receipt_row *row, uint64_t seq)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT OR IGNORE INTO erasure_entry (erasure, seq) SELECT DISTINCT r.erasure, :seq"
		" FROM erasure_row AS r JOIN erasure AS e ON e.id = r.erasure"
		" WHERE r.logical_key = :key AND r.version = :version AND e.state <> :cancelled"
		" AND (SELECT count(*) FROM erasure_entry AS n WHERE n.erasure = r.erasure) < :max",
		&query));
	store_query_uint(&query, ":seq", seq);
	store_query_id(&query, ":key", &row->key);
	store_query_uint(&query, ":version", row->version);
	store_query_int(&query, ":max", LIMIT_ERASE_SHOWN);
	store_query_int(&query, ":cancelled", MODEL_ERASE_CANCELLED);
	return store_query_run(&query);
}

kms_err store_apply_lease_receipt(
	struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	KMS_AUTO(format_receipt) receipt = NULL;
	bool is_new = false, exact = true;
	KMS_TRY(format_receipt_read(kms_buf_bytes(&change->u.lease_receipt.bytes), &receipt));
	KMS_TRY(count_receipt(conn, &change->actor, receipt, &is_new));
	if (!is_new) {
		return KMS_ERR(EXISTS);
	}
	for (uint32_t i = 0; i < receipt->row_count; i++) {
		bool row_exact = false;
		KMS_TRY(give_back(
			conn, &change->actor, &receipt->holder, &receipt->rows[i], &row_exact));
		exact = exact && row_exact;
	}
	/* One that says more than it had would contradict what a certificate counts: its client
	 * could spoil any certificate, of others' keys too. */
	for (uint32_t i = 0; exact && i < receipt->row_count; i++) {
		KMS_TRY(show_in_erasures(conn, &receipt->rows[i], seq));
	}
	return KMS_OK;
}

/* ---- reading ---- */

kms_err store_lease_sum(struct store *store, const struct kms_id *key, uint32_t version,
	struct store_lease_sum *ret_sum)
{
	STORE_AUTO_QUERY query = {0};
	struct store_lease_sum sum = {0};
	KMS_TRY(store_query_read(store,
		"SELECT coalesce(sum(granted), 0), coalesce(sum(returned), 0),"
		" coalesce(max(last_end_unix_ms) FILTER (WHERE granted > returned), 0)"
		" FROM lease WHERE logical_key = :key AND (version = :version OR :version = 0)",
		&query));
	store_query_id(&query, ":key", key);
	store_query_uint(&query, ":version", version);
	KMS_TRY(store_query_one(&query));
	sum.granted = store_column_uint(&query, 0);
	sum.returned = store_column_uint(&query, 1);
	sum.last_end_unix_ms = store_column_int(&query, 2);
	KMS_TRY(store_query_checked(&query));
	*ret_sum = sum;
	return KMS_OK;
}

static kms_err read_id(struct store_query *query, void *ret_row)
{
	store_column_id(query, 0, ret_row);
	return store_query_checked(query);
}

kms_err store_lease_clients(struct store *store, const struct kms_id *key, uint32_t version,
	struct kms_id **ret_principals, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		"SELECT DISTINCT principal FROM lease WHERE logical_key = :key AND"
		" (version = :version OR :version = 0) AND granted > returned ORDER BY principal",
		&query));
	store_query_id(&query, ":key", key);
	store_query_uint(&query, ":version", version);
	KMS_TRY(store_query_list(&query, sizeof(struct kms_id), read_id, NULL, &rows, ret_count));
	*ret_principals = rows;
	return KMS_OK;
}

kms_err store_lease_recalled(struct store *store, const struct kms_id *principal,
	const struct kms_id *holder, struct kms_id **ret_keys, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		"SELECT DISTINCT l.logical_key FROM lease AS l JOIN logical_key AS k"
		" ON k.id = l.logical_key WHERE l.principal = :principal AND l.holder = :holder"
		" AND l.granted > l.returned AND k.erasure IS NOT NULL ORDER BY l.logical_key"
		" LIMIT :limit",
		&query));
	store_query_id(&query, ":principal", principal);
	store_query_id(&query, ":holder", holder);
	store_query_int(&query, ":limit", LIMIT_RECALLED_KEYS);
	KMS_TRY(store_query_list(&query, sizeof(struct kms_id), read_id, NULL, &rows, ret_count));
	*ret_keys = rows;
	return KMS_OK;
}

kms_err store_lease_is_open(struct store *store, const struct kms_id *key, uint32_t version,
	const struct kms_id *principal, const struct kms_id *holder, bool *ret_open)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store,
		"SELECT 1 FROM lease WHERE logical_key = :key AND version = :version"
		" AND principal = :principal AND holder = :holder AND granted > returned",
		&query));
	store_query_id(&query, ":key", key);
	store_query_uint(&query, ":version", version);
	store_query_id(&query, ":principal", principal);
	store_query_id(&query, ":holder", holder);
	return store_query_step(&query, ret_open);
}

kms_err store_receipt_last(struct store *store, const struct kms_id *principal,
	const struct kms_id *holder, uint64_t *ret_number)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store,
		"SELECT coalesce(max(number), 0) FROM receipt"
		" WHERE principal = :principal AND holder = :holder",
		&query));
	store_query_id(&query, ":principal", principal);
	store_query_id(&query, ":holder", holder);
	KMS_TRY(store_query_one(&query));
	*ret_number = store_column_uint(&query, 0);
	return store_query_checked(&query);
}
