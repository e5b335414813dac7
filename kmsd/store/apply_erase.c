/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the effect of an erasure's first half, which can still be taken back: approvals, a
 * cancellation, and the intent (its request is in apply_request.c). Runs in kmsd. Who may sign, and
 * when, is the service's question and each kms-tokend's; here stands what no order of steps may
 * break.
 */
#include <string.h>

#include "crypto.h"
#include "apply_int.h"

enum { APPROVAL = 1, CANCELLATION };

/* ---- parts ---- */

kms_err store_erasure_find(struct store_conn *conn, const struct model_change *change,
	const struct kms_id *id, struct store_erasure_head *ret_head)
{
	STORE_AUTO_QUERY query = {0};
	KMS_AUTO_BUF bytes = {0};
	struct store_erasure_head head;
	memset(&head, 0, sizeof(head));
	KMS_TRY(store_query_open(conn,
		"SELECT state, requester, bytes, cert FROM erasure"
		" WHERE id = :id AND tenant = :tenant",
		&query));
	store_query_id(&query, ":id", id);
	store_query_id(&query, ":tenant", &change->tenant);
	KMS_TRY(store_query_one(&query));
	head.id = *id;
	head.state = (enum model_erase_state)store_column_uint(&query, 0);
	store_column_id(&query, 1, &head.requester);
	store_column_id(&query, 3, &head.cert);
	KMS_TRY(store_query_checked(&query));
	KMS_TRY(store_column_bytes(&query, 2, &bytes));
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&bytes), &head.erase));
	*ret_head = head;
	return KMS_OK;
}

kms_err store_erasure_note(struct store_conn *conn, const struct kms_id *erasure, uint64_t seq)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(
		conn, "INSERT INTO erasure_entry (erasure, seq) VALUES (:erasure, :seq)", &query));
	store_query_id(&query, ":erasure", erasure);
	store_query_uint(&query, ":seq", seq);
	return store_query_run(&query);
}

kms_err store_paper_put(
	struct store_conn *conn, int kind, const struct kms_id *id, const struct kms_buf *json)
{
	if (json->len == 0) {
		return KMS_OK; /* a replay has none */
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(
		conn, "INSERT INTO paper (kind, id, json) VALUES (:kind, :id, :json)", &query));
	store_query_int(&query, ":kind", kind);
	store_query_id(&query, ":id", id);
	store_query_bytes(&query, ":json", kms_buf_bytes(json));
	return store_query_run(&query);
}

kms_err store_principal_know(
	struct store_conn *conn, const struct kms_id *tenant, const struct kms_id *principal)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"SELECT 1 FROM principal WHERE id = :principal AND tenant = :tenant", &query));
	store_query_id(&query, ":principal", principal);
	store_query_id(&query, ":tenant", tenant);
	return store_query_one(&query);
}

static kms_err set_state(
	struct store_conn *conn, const struct kms_id *erasure, enum model_erase_state state)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(
		conn, "UPDATE erasure SET state = :state WHERE id = :erasure", &query));
	store_query_id(&query, ":erasure", erasure);
	store_query_int(&query, ":state", (int64_t)state);
	return store_query_run(&query);
}

/* ---- approvals and cancellations ---- */

static kms_err count_approvals(
	struct store_conn *conn, const struct kms_id *erasure, uint64_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"SELECT count(*) FROM erasure_signature WHERE erasure = :erasure AND kind = 1",
		&query));
	store_query_id(&query, ":erasure", erasure);
	KMS_TRY(store_query_one(&query));
	*ret_count = store_column_uint(&query, 0);
	return store_query_checked(&query);
}

/* EXISTS for the same person, or the same key, a second time. */
static kms_err insert_signature(struct store_conn *conn, const struct model_change *change,
	int kind, uint64_t seq, int64_t unix_ms)
{
	const struct model_signed *by = &change->u.erase_signed.by;
	if (!kms_id_equal(&by->principal, &change->actor)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(store_principal_know(conn, &change->tenant, &by->principal));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO erasure_signature (erasure, kind, principal, spki, signature,"
		" unix_ms, seq) VALUES (:erasure, :kind, :principal, :spki, :signature,"
		" :unix_ms, :seq)",
		&query));
	store_query_id(&query, ":erasure", &change->u.erase_signed.erasure);
	store_query_int(&query, ":kind", kind);
	store_query_id(&query, ":principal", &by->principal);
	store_query_bytes(&query, ":spki", kms_buf_bytes(&by->spki));
	store_query_bytes(&query, ":signature", KMS_BYTES_OF(by->signature));
	store_query_int(&query, ":unix_ms", unix_ms);
	store_query_uint(&query, ":seq", seq);
	return store_query_run(&query);
}

kms_err store_apply_erase_approve(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms)
{
	struct store_erasure_head head;
	uint64_t count = 0;
	KMS_TRY(store_erasure_find(conn, change, &change->u.erase_signed.erasure, &head));
	if (head.state != MODEL_ERASE_REQUESTED) {
		return KMS_ERR(KEY_STATE);
	}
	if (kms_id_equal(&head.requester, &change->u.erase_signed.by.principal)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(count_approvals(conn, &head.id, &count));
	if (count >= LIMIT_APPROVALS) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(insert_signature(conn, change, APPROVAL, seq, unix_ms));
	return store_erasure_note(conn, &head.id, seq);
}

/* Back to where it was: free, or of the erasure that it was taken over from. A key that went on to
 * another state meanwhile (compromised, deactivated) stays there. */
static kms_err release(struct store_conn *conn, const struct kms_id *erasure)
{
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"UPDATE logical_key SET state = CASE"
			" WHEN state <> :suspended THEN state ELSE"
			" (SELECT held.state_before FROM erasure_key AS held"
			" WHERE held.erasure = :erasure AND held.logical_key = logical_key.id) END"
			" WHERE id IN (SELECT held.logical_key FROM erasure_key AS held"
			" WHERE held.erasure = :erasure)",
			&query));
		store_query_id(&query, ":erasure", erasure);
		store_query_int(&query, ":suspended", MODEL_STATE_SUSPENDED);
		KMS_TRY(store_query_run(&query));
	}
	return store_rows_return(conn, erasure);
}

kms_err store_apply_erase_cancel(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms)
{
	struct store_erasure_head head;
	KMS_TRY(store_erasure_find(conn, change, &change->u.erase_signed.erasure, &head));
	if (head.state != MODEL_ERASE_REQUESTED) {
		return KMS_ERR(KEY_STATE);
	}
	KMS_TRY(insert_signature(conn, change, CANCELLATION, seq, unix_ms));
	KMS_TRY(release(conn, &head.id));
	KMS_TRY(set_state(conn, &head.id, MODEL_ERASE_CANCELLED));
	return store_erasure_note(conn, &head.id, seq);
}

/* ---- the intent ---- */

/* How many approvals are enough, the tokens' owners say; never none. */
kms_err store_apply_erase_intent(
	struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	struct store_erasure_head head;
	uint64_t count = 0;
	KMS_TRY(store_erasure_find(conn, change, &change->u.erase_step.erasure, &head));
	if (!kms_hash_equal(&head.erase, &change->u.erase_step.erase)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(count_approvals(conn, &head.id, &count));
	if (head.state != MODEL_ERASE_REQUESTED || count == 0) {
		return KMS_ERR(KEY_STATE);
	}
	KMS_TRY(set_state(conn, &head.id, MODEL_ERASE_EXECUTING));
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(
			conn, "UPDATE erasure SET intent_seq = :seq WHERE id = :id", &query));
		store_query_uint(&query, ":seq", seq);
		store_query_id(&query, ":id", &head.id);
		KMS_TRY(store_query_run(&query));
	}
	return store_erasure_note(conn, &head.id, seq);
}
