/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the effect of an erasure's second half, which cannot be taken back: what its kms-tokends
 * stated of each KEK and each token, its end, and its certificates. Runs in kmsd. A KEK is
 * destroyed here only when both of its statements are about these bytes and say that all went well;
 * whose signatures they bear, the service has asked before.
 */
#include <string.h>

#include "format.h"
#include "apply_int.h"

/* ---- statements ---- */

static kms_err read_statement(const struct kms_buf *bytes, enum format_statement_type type,
	const struct kms_id *token, struct format_statement *ret_statement)
{
	struct kms_bytes signed_part, signature;
	kms_err err = format_statement_read(
		kms_buf_bytes(bytes), ret_statement, &signed_part, &signature);
	if (!kms_is_ok(err) || ret_statement->type != type ||
		!kms_id_equal(&ret_statement->token, token)) {
		return kms_is(err, KMS_CODE_NO_MEMORY) ? err : KMS_ERR(ARGUMENT);
	}
	return KMS_OK;
}

/* About that KEK, by its birth's commitment, on the word of these bytes. */
static bool is_about(const struct format_erased *what, const struct model_change *change,
	const struct kms_hash *erase, const struct kms_hash *commitment)
{
	return kms_id_equal(&what->erasure, &change->u.erase_done.erasure) &&
	       kms_hash_equal(&what->erase, erase) &&
	       kms_id_equal(&what->key, &change->u.erase_done.key) &&
	       what->version == change->u.erase_done.version &&
	       kms_id_equal(&what->kek, &change->u.erase_done.kek) &&
	       kms_hash_equal(&what->commitment, commitment);
}

static kms_err check_destroy(const struct model_change *change, const struct kms_hash *erase,
	const struct kms_hash *commitment)
{
	struct format_statement statement;
	const struct format_destroy *said = &statement.u.destroy;
	KMS_TRY(read_statement(&change->u.erase_done.statement, FORMAT_STATEMENT_DESTROY,
		&change->u.erase_done.token, &statement));
	return is_about(&said->what, change, erase, commitment) && said->rv == 0 &&
			       !said->canary_after
		       ? KMS_OK
		       : KMS_ERR(ARGUMENT);
}

static kms_err check_absence(const struct model_change *change, const struct kms_hash *erase,
	const struct kms_hash *commitment)
{
	struct format_statement statement;
	const struct format_absence *said = &statement.u.absence;
	KMS_TRY(read_statement(&change->u.erase_done.absence, FORMAT_STATEMENT_ABSENCE,
		&change->u.erase_done.token, &statement));
	return is_about(&said->what, change, erase, commitment) && said->matched == 0
		       ? KMS_OK
		       : KMS_ERR(ARGUMENT);
}

/* ---- rows ---- */

/* The row that has been waiting for this: NOT_FOUND where the bytes name none, EXISTS where it
 * came before, KEY_STATE where it is another erasure's by now. kek zero: a wipe. */
static kms_err settle_row(struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"SELECT seq, renewed_by IS NOT NULL FROM erasure_row WHERE erasure = "
			":erasure AND token = :token"
			" AND kek = :kek AND logical_key IS :key AND version = :version",
			&query));
		store_query_id(&query, ":erasure", &change->u.erase_done.erasure);
		store_query_id(&query, ":token", &change->u.erase_done.token);
		store_query_id(&query, ":kek", &change->u.erase_done.kek);
		store_query_id_or_null(&query, ":key", &change->u.erase_done.key);
		store_query_int(&query, ":version", change->u.erase_done.version);
		KMS_TRY(store_query_one(&query));
		if (store_column_uint(&query, 0) != 0) {
			return KMS_ERR(EXISTS);
		}
		if (store_column_uint(&query, 1) != 0) {
			return KMS_ERR(KEY_STATE);
		}
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE erasure_row SET seq = :seq"
		" WHERE erasure = :erasure AND token = :token AND kek = :kek",
		&query));
	store_query_uint(&query, ":seq", seq);
	store_query_id(&query, ":erasure", &change->u.erase_done.erasure);
	store_query_id(&query, ":token", &change->u.erase_done.token);
	store_query_id(&query, ":kek", &change->u.erase_done.kek);
	return store_query_run(&query);
}

static kms_err find_executing(struct store_conn *conn, const struct model_change *change,
	const struct kms_id *erasure, struct store_erasure_head *ret_head)
{
	KMS_TRY(store_erasure_find(conn, change, erasure, ret_head));
	return ret_head->state == MODEL_ERASE_EXECUTING ? KMS_OK : KMS_ERR(KEY_STATE);
}

/* ---- a KEK ---- */

static kms_err commitment_of(
	struct store_conn *conn, const struct kms_id *kek, struct kms_hash *ret_commitment)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, "SELECT commitment FROM kek WHERE id = :kek", &query));
	store_query_id(&query, ":kek", kek);
	KMS_TRY(store_query_one(&query));
	store_column_hash(&query, 0, ret_commitment);
	return store_query_checked(&query);
}

static kms_err destroy_kek(
	struct store_conn *conn, const struct kms_id *kek, const struct kms_id *erasure)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE kek SET state = :destroyed"
		" WHERE id = :kek AND state = :live AND erasure = :erasure",
		&query));
	store_query_id(&query, ":kek", kek);
	store_query_id(&query, ":erasure", erasure);
	store_query_int(&query, ":live", MODEL_KEK_LIVE);
	store_query_int(&query, ":destroyed", MODEL_KEK_DESTROYED);
	KMS_TRY(store_query_run(&query));
	return store_query_changes(&query) == 1 ? KMS_OK : KMS_ERR(KEY_STATE);
}

/* The last KEK takes its key along, by the erasure that it died under. */
static kms_err end_key(
	struct store_conn *conn, const struct kms_id *id, const struct kms_id *erasure)
{
	struct model_key key;
	enum model_state state;
	{
		STORE_AUTO_QUERY query = {0};
		bool left = false;
		KMS_TRY(store_query_open(conn,
			"SELECT 1 FROM kek WHERE logical_key = :key AND state <> 3"
			" AND state IN (1, 2) LIMIT 1",
			&query));
		store_query_id(&query, ":key", id);
		KMS_TRY(store_query_step(&query, &left));
		if (left) {
			return KMS_OK;
		}
	}
	KMS_TRY(store_key_find(conn, id, &key));
	KMS_TRY(model_state_next(key.state, MODEL_EVENT_DESTROY, &state));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE logical_key SET state = :state, erasure = :erasure WHERE id = :key",
		&query));
	store_query_id(&query, ":key", id);
	store_query_id(&query, ":erasure", erasure);
	store_query_int(&query, ":state", (int64_t)state);
	return store_query_run(&query);
}

kms_err store_apply_erase_result(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms)
{
	const struct kms_id *kek = &change->u.erase_done.kek;
	struct store_erasure_head head;
	struct kms_hash commitment;
	if (kms_id_is_zero(kek)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(find_executing(conn, change, &change->u.erase_done.erasure, &head));
	KMS_TRY(settle_row(conn, change, seq));
	KMS_TRY(commitment_of(conn, kek, &commitment));
	KMS_TRY(check_destroy(change, &head.erase, &commitment));
	KMS_TRY(check_absence(change, &head.erase, &commitment));
	KMS_TRY(destroy_kek(conn, kek, &head.id));
	KMS_TRY(end_key(conn, &change->u.erase_done.key, &head.id));
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"UPDATE erasure SET destroyed_count = destroyed_count + 1, done_unix_ms ="
			" CASE WHEN EXISTS (SELECT 1 FROM erasure_row AS r WHERE r.erasure = :id"
			" AND r.logical_key IS NOT NULL AND r.seq = 0 AND r.renewed_by IS NULL)"
			" THEN 0 ELSE :now END WHERE id = :id",
			&query));
		store_query_id(&query, ":id", &head.id);
		store_query_int(&query, ":now", unix_ms);
		KMS_TRY(store_query_run(&query));
	}
	KMS_TRY(store_renewed_settle(conn, &head.id));
	return store_erasure_note(conn, &head.id, seq);
}

/* ---- a token ---- */

/* KEY_STATE while a KEK of this token waits for its statements. */
static kms_err check_token_done(struct store_conn *conn, const struct model_change *change)
{
	static const struct kms_id none = {{0}};
	STORE_AUTO_QUERY query = {0};
	bool left = false;
	KMS_TRY(store_query_open(conn,
		"SELECT 1 FROM erasure_row WHERE erasure = :erasure AND token = :token"
		" AND kek <> :wipe AND seq = 0 AND renewed_by IS NULL LIMIT 1",
		&query));
	store_query_id(&query, ":erasure", &change->u.erase_done.erasure);
	store_query_id(&query, ":token", &change->u.erase_done.token);
	store_query_id(&query, ":wipe", &none);
	KMS_TRY(store_query_step(&query, &left));
	return left ? KMS_ERR(KEY_STATE) : KMS_OK;
}

kms_err store_apply_erase_wipe(
	struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	struct store_erasure_head head;
	struct format_statement statement;
	const struct format_wipe *said = &statement.u.wipe;
	if (!kms_id_is_zero(&change->u.erase_done.kek)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(find_executing(conn, change, &change->u.erase_done.erasure, &head));
	KMS_TRY(settle_row(conn, change, seq));
	KMS_TRY(check_token_done(conn, change));
	KMS_TRY(read_statement(&change->u.erase_done.statement, FORMAT_STATEMENT_WIPE,
		&change->u.erase_done.token, &statement));
	if (!kms_id_equal(&said->erasure, &head.id) || !kms_hash_equal(&said->erase, &head.erase) ||
		!said->initialised) {
		return KMS_ERR(ARGUMENT);
	}
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"UPDATE erasure SET wiped_count = wiped_count + 1 WHERE id = :id", &query));
		store_query_id(&query, ":id", &head.id);
		KMS_TRY(store_query_run(&query));
	}
	KMS_TRY(store_renewed_settle(conn, &head.id));
	return store_erasure_note(conn, &head.id, seq);
}

/* ---- the end ---- */

kms_err store_apply_erase_final(
	struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	struct store_erasure_head head;
	KMS_TRY(find_executing(conn, change, &change->u.erase_step.erasure, &head));
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"UPDATE erasure SET state = :done, final_seq = :seq WHERE id = :id"
			" AND destroyed_count = kek_count AND wiped_count = wipe_count",
			&query));
		store_query_id(&query, ":id", &head.id);
		store_query_int(&query, ":done", MODEL_ERASE_DONE);
		store_query_uint(&query, ":seq", seq);
		KMS_TRY(store_query_run(&query));
		if (store_query_changes(&query) != 1) {
			return KMS_ERR(KEY_STATE);
		}
	}
	return store_erasure_note(conn, &head.id, seq);
}

/* ---- certificates ---- */

static kms_err insert_certificate(
	struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO certificate (id, erasure, supersedes, final, hash, seq)"
		" VALUES (:id, :erasure, :supersedes, :final, :hash, :seq)",
		&query));
	store_query_id(&query, ":id", &change->u.cert_issue.certificate);
	store_query_id(&query, ":erasure", &change->u.cert_issue.erasure);
	store_query_id_or_null(&query, ":supersedes", &change->u.cert_issue.supersedes);
	store_query_int(&query, ":final", change->u.cert_issue.final);
	store_query_hash(&query, ":hash", &change->u.cert_issue.hash);
	store_query_uint(&query, ":seq", seq);
	return store_query_run(&query);
}

/* Each stands in the place of the one before: two that were made at once do not both. */
kms_err store_apply_cert_issue(
	struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	struct store_erasure_head head;
	const struct kms_id *id = &change->u.cert_issue.certificate;
	KMS_TRY(store_erasure_find(conn, change, &change->u.cert_issue.erasure, &head));
	if (!kms_id_equal(&head.cert, &change->u.cert_issue.supersedes)) {
		return KMS_ERR(EXISTS);
	}
	if (change->u.cert_issue.final && head.state != MODEL_ERASE_DONE) {
		return KMS_ERR(KEY_STATE);
	}
	KMS_TRY(insert_certificate(conn, change, seq));
	KMS_TRY(store_paper_put(conn, STORE_PAPER_CERTIFICATE, id, &change->u.cert_issue.json));
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(
			conn, "UPDATE erasure SET cert = :cert WHERE id = :id", &query));
		store_query_id(&query, ":cert", id);
		store_query_id(&query, ":id", &head.id);
		KMS_TRY(store_query_run(&query));
	}
	return store_erasure_note(conn, &head.id, seq);
}
