/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: reading erasures, what they name, and their certificates. Runs in kmsd.
 */
#include <stdlib.h>
#include <string.h>

#include "apply_int.h"

#define ERASURE                                                                                    \
	"SELECT e.id, e.tenant, e.requester, e.scope, e.subject, e.state, e.not_before_unix_s,"    \
	" e.expires_unix_s, e.requested_unix_ms, e.done_unix_ms, e.bytes, e.certificate,"          \
	" e.signature, e.request_seq, e.intent_seq, e.final_seq, e.kek_count,"                     \
	" e.destroyed_count, e.wipe_count, e.wiped_count, c.id, c.final, c.seq, c.hash,"           \
	" (SELECT count(*) FROM erasure_row AS r WHERE r.erasure = e.id"                           \
	" AND r.renewed_by IS NOT NULL)"                                                           \
	" FROM erasure AS e LEFT JOIN certificate AS c ON c.id = e.cert"

static void read_signature(struct store_query *query, int i, uint8_t signature[MODEL_SIGNATURE])
{
	/* Its length is the schema's to check. */
	const void *blob = sqlite3_column_blob(query->stmt, i);
	if (blob == NULL || sqlite3_column_bytes(query->stmt, i) != MODEL_SIGNATURE) {
		query->failed = SQLITE_CORRUPT;
		return;
	}
	memcpy(signature, blob, MODEL_SIGNATURE);
}

static void read_numbers(struct store_query *query, struct model_erasure *erasure)
{
	store_column_id(query, 0, &erasure->id);
	store_column_id(query, 1, &erasure->tenant);
	store_column_id(query, 2, &erasure->requester);
	erasure->scope = (enum model_erase_scope)store_column_uint(query, 3);
	store_column_id(query, 4, &erasure->subject);
	erasure->state = (enum model_erase_state)store_column_uint(query, 5);
	erasure->not_before_unix_s = store_column_int(query, 6);
	erasure->expires_unix_s = store_column_int(query, 7);
	erasure->requested_unix_ms = store_column_int(query, 8);
	erasure->done_unix_ms = store_column_int(query, 9);
	read_signature(query, 12, erasure->signature);
	erasure->request_seq = store_column_uint(query, 13);
	erasure->intent_seq = store_column_uint(query, 14);
	erasure->final_seq = store_column_uint(query, 15);
	erasure->kek_count = (uint32_t)store_column_uint(query, 16);
	erasure->destroyed_count = (uint32_t)store_column_uint(query, 17);
	erasure->wipe_count = (uint32_t)store_column_uint(query, 18);
	erasure->wiped_count = (uint32_t)store_column_uint(query, 19);
	store_column_id(query, 20, &erasure->cert);
	erasure->cert_final = store_column_uint(query, 21) != 0;
	erasure->cert_seq = store_column_uint(query, 22);
	store_column_hash(query, 23, &erasure->cert_hash);
	erasure->renewed_count = (uint32_t)store_column_uint(query, 24);
}

static kms_err read_erasure(struct store_query *query, void *ret_row)
{
	struct model_erasure *erasure = ret_row;
	read_numbers(query, erasure);
	KMS_TRY(store_query_checked(query));
	KMS_TRY(store_column_bytes(query, 10, &erasure->bytes));
	kms_err err = store_column_bytes(query, 11, &erasure->certificate);
	if (!kms_is_ok(err)) {
		kms_buf_free(&erasure->bytes);
	}
	return err;
}

static void clear_erasure(void *row)
{
	model_erasure_free(row);
}

/* ---- approvals ---- */

static kms_err read_approval(struct store_query *query, void *ret_row)
{
	struct model_signed *approval = ret_row;
	store_column_id(query, 0, &approval->principal);
	read_signature(query, 2, approval->signature);
	approval->unix_ms = store_column_int(query, 3);
	approval->seq = store_column_uint(query, 4);
	KMS_TRY(store_query_checked(query));
	return store_column_bytes(query, 1, &approval->spki);
}

static void clear_approval(void *row)
{
	kms_buf_free(&((struct model_signed *)row)->spki);
}

static kms_err add_approvals(struct store *store, struct model_erasure *erasure)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		"SELECT principal, spki, signature, unix_ms, seq FROM erasure_signature"
		" WHERE erasure = :erasure AND kind = 1 ORDER BY seq",
		&query));
	store_query_id(&query, ":erasure", &erasure->id);
	KMS_TRY(store_query_list(&query, sizeof(struct model_signed), read_approval, clear_approval,
		&rows, &erasure->approval_count));
	erasure->approvals = rows;
	return KMS_OK;
}

/* ---- erasures ---- */

static kms_err one_erasure(
	struct store *store, const struct kms_id *id, struct model_erasure *erasure)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, ERASURE " WHERE e.id = :id", &query));
	store_query_id(&query, ":id", id);
	KMS_TRY(store_query_one(&query));
	return read_erasure(&query, erasure);
}

kms_err store_erasure_get(
	struct store *store, const struct kms_id *id, struct model_erasure *ret_erasure)
{
	struct model_erasure erasure;
	memset(&erasure, 0, sizeof(erasure));
	KMS_TRY(one_erasure(store, id, &erasure));
	kms_err err = add_approvals(store, &erasure);
	if (!kms_is_ok(err)) {
		model_erasure_free(&erasure);
		return err;
	}
	*ret_erasure = erasure;
	return KMS_OK;
}

/* The rows of a query that is bound and closed here, with their approvals. */
static kms_err list_erasures(struct store *store, struct store_query *query,
	struct model_erasure **ret_rows, size_t *ret_count)
{
	void *found = NULL;
	size_t count = 0;
	kms_err err = store_query_list(
		query, sizeof(struct model_erasure), read_erasure, clear_erasure, &found, &count);
	store_query_close(query); /* a thread holds one reader at a time */
	KMS_TRY(err);
	struct model_erasure *rows = found;
	for (size_t i = 0; i < count && kms_is_ok(err); i++) {
		err = add_approvals(store, &rows[i]);
	}
	if (!kms_is_ok(err)) {
		for (size_t i = 0; i < count; i++) {
			model_erasure_free(&rows[i]);
		}
		free(rows);
		return err;
	}
	*ret_rows = rows;
	*ret_count = count;
	return KMS_OK;
}

kms_err store_erasure_list(struct store *store, const struct kms_id *tenant,
	const struct kms_id *after, uint32_t limit, struct model_erasure **ret_rows,
	size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store,
		ERASURE " WHERE e.tenant = :tenant AND e.id > :after ORDER BY e.id LIMIT :limit",
		&query));
	store_query_id(&query, ":tenant", tenant);
	store_query_id(&query, ":after", after);
	store_query_int(&query, ":limit", limit < LIMIT_LIST_PAGE ? limit : LIMIT_LIST_PAGE);
	return list_erasures(store, &query, ret_rows, ret_count);
}

kms_err store_erasure_open(struct store *store, struct model_erasure **ret_rows, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, ERASURE " WHERE e.state = 3 ORDER BY e.id", &query));
	return list_erasures(store, &query, ret_rows, ret_count);
}

static kms_err read_row(struct store_query *query, void *ret_row)
{
	struct model_erase_row *row = ret_row;
	store_column_id(query, 0, &row->token);
	store_column_id(query, 1, &row->kek);
	store_column_id(query, 2, &row->key);
	row->version = (uint32_t)store_column_uint(query, 3);
	row->seq = store_column_uint(query, 4);
	row->done = row->seq != 0;
	store_column_id(query, 5, &row->renewed);
	row->refused_unix_ms = store_column_int(query, 6);
	store_column_text(query, 7, row->refused, sizeof(row->refused));
	return store_query_checked(query);
}

kms_err store_erasure_rows(struct store *store, const struct kms_id *id,
	struct model_erase_row **ret_rows, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	/* The wipes, whose KEK is zeros, last. */
	KMS_TRY(store_query_read(store,
		"SELECT token, kek, logical_key, version, seq, renewed_by, refused_unix_ms, refused"
		" FROM erasure_row"
		" WHERE erasure = :erasure ORDER BY logical_key IS NULL, token, kek",
		&query));
	store_query_id(&query, ":erasure", id);
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_erase_row), read_row, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

static kms_err read_seq(struct store_query *query, void *ret_row)
{
	*(uint64_t *)ret_row = store_column_uint(query, 0);
	return store_query_checked(query);
}

kms_err store_erasure_entries(
	struct store *store, const struct kms_id *id, uint64_t **ret_seqs, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		"SELECT seq FROM erasure_entry WHERE erasure = :erasure ORDER BY seq", &query));
	store_query_id(&query, ":erasure", id);
	KMS_TRY(store_query_list(&query, sizeof(uint64_t), read_seq, NULL, &rows, ret_count));
	*ret_seqs = rows;
	return KMS_OK;
}

/* ---- papers ---- */

static kms_err paper_get(
	struct store *store, int kind, const struct kms_id *id, struct kms_buf *ret_json)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(
		store, "SELECT json FROM paper WHERE kind = :kind AND id = :id", &query));
	store_query_int(&query, ":kind", kind);
	store_query_id(&query, ":id", id);
	KMS_TRY(store_query_one(&query));
	return store_column_bytes(&query, 0, ret_json);
}

kms_err store_erasure_plan(struct store *store, const struct kms_id *id, struct kms_buf *ret_json)
{
	return paper_get(store, STORE_PAPER_PLAN, id, ret_json);
}

kms_err store_certificate(struct store *store, const struct kms_id *id, struct kms_buf *ret_json)
{
	return paper_get(store, STORE_PAPER_CERTIFICATE, id, ret_json);
}
