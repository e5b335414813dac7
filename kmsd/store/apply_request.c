/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the effect of an erasure's request, which holds keys and KEKs for it and suspends them at
 * once. Runs in kmsd. What the bytes must say is the plan's question; here stands that what they
 * name is there, free, and all of the scope.
 */
#include <string.h>

#include "format.h"
#include "apply_int.h"

static kms_err check_room(struct store_conn *conn, const struct kms_id *tenant)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(
		conn, "SELECT count(*) FROM erasure WHERE tenant = :tenant", &query));
	store_query_id(&query, ":tenant", tenant);
	KMS_TRY(store_query_one(&query));
	return store_column_uint(&query, 0) < LIMIT_ERASURES ? KMS_OK : KMS_ERR(TOO_LARGE);
}

static kms_err insert_erasure(struct store_conn *conn, const struct model_change *change,
	const struct format_erase *erase, uint64_t seq, int64_t unix_ms)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO erasure (id, tenant, requester, scope, subject, state,"
		" not_before_unix_s, expires_unix_s, requested_unix_ms, done_unix_ms, bytes,"
		" certificate, signature, request_seq, intent_seq, final_seq, kek_count,"
		" destroyed_count, wipe_count, wiped_count, cert) VALUES (:id, :tenant,"
		" :requester, :scope, :subject, :state, :not_before, :expires, :requested, 0,"
		" :bytes, :certificate, :signature, :seq, 0, 0, :keks, 0, :wipes, 0, NULL)",
		&query));
	store_query_id(&query, ":id", &erase->erasure);
	store_query_id(&query, ":tenant", &erase->tenant);
	store_query_id(&query, ":requester", &erase->requester);
	store_query_int(&query, ":scope", (int64_t)erase->scope);
	store_query_id(&query, ":subject", &erase->subject);
	store_query_int(&query, ":state", MODEL_ERASE_REQUESTED);
	store_query_int(&query, ":not_before", erase->not_before_unix_s);
	store_query_int(&query, ":expires", erase->expires_unix_s);
	store_query_int(&query, ":requested", unix_ms);
	store_query_bytes(&query, ":bytes", kms_buf_bytes(&change->u.erase_request.bytes));
	store_query_bytes(
		&query, ":certificate", kms_buf_bytes(&change->u.erase_request.certificate));
	store_query_bytes(&query, ":signature", KMS_BYTES_OF(change->u.erase_request.signature));
	store_query_uint(&query, ":seq", seq);
	store_query_int(&query, ":keks", erase->kek_count);
	store_query_int(&query, ":wipes", erase->wipe_count);
	return store_query_run(&query);
}

/* The key whose end a DATASET erasure is: its own, and no other dataset's. */
static kms_err dataset_key(
	struct store_conn *conn, const struct format_erase *erase, struct kms_id *ret_key)
{
	struct kms_id key;
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"SELECT logical_key FROM dataset WHERE id = :id AND tenant = :tenant",
			&query));
		store_query_id(&query, ":id", &erase->subject);
		store_query_id(&query, ":tenant", &erase->tenant);
		KMS_TRY(store_query_one(&query));
		store_column_id(&query, 0, &key);
		KMS_TRY(store_query_checked(&query));
	}
	STORE_AUTO_QUERY query = {0};
	bool shared = false;
	KMS_TRY(store_query_open(conn,
		"SELECT 1 FROM dataset WHERE logical_key = :key AND id <> :id LIMIT 1", &query));
	store_query_id(&query, ":key", &key);
	store_query_id(&query, ":id", &erase->subject);
	KMS_TRY(store_query_step(&query, &shared));
	*ret_key = key;
	return shared ? KMS_ERR(KEY_STATE) : KMS_OK;
}

/* The one key that the scope is about; zero: every key of the tenant. */
static kms_err scope_key(
	struct store_conn *conn, const struct format_erase *erase, struct kms_id *ret_key)
{
	switch (erase->scope) {
	case MODEL_ERASE_VERSIONS:
	case MODEL_ERASE_KEY:
		*ret_key = erase->subject;
		return KMS_OK;
	case MODEL_ERASE_DATASET:
		return dataset_key(conn, erase, ret_key);
	case MODEL_ERASE_TENANT:
		*ret_key = (struct kms_id){{0}};
		return KMS_OK;
	}
	return KMS_ERR(ARGUMENT);
}

/* Keep the key's state for a cancellation, and suspend it where that is a step. */
static kms_err hold_key(
	struct store_conn *conn, const struct format_erase *erase, const struct model_key *key)
{
	enum model_state state = key->state;
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"INSERT INTO erasure_key (erasure, logical_key, state_before)"
			" VALUES (:erasure, :key, :state)",
			&query));
		store_query_id(&query, ":erasure", &erase->erasure);
		store_query_id(&query, ":key", &key->id);
		store_query_int(&query, ":state", (int64_t)state);
		KMS_TRY(store_query_run(&query));
	}
	if (state == MODEL_STATE_ACTIVE) {
		KMS_TRY(model_state_next(state, MODEL_EVENT_SUSPEND, &state));
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE logical_key SET erasure = :erasure, state = :state WHERE id = :key",
		&query));
	store_query_id(&query, ":erasure", &erase->erasure);
	store_query_id(&query, ":key", &key->id);
	store_query_int(&query, ":state", (int64_t)state);
	return store_query_run(&query);
}

/* Its key is the scope's, and in no other erasure's hand, but for what is taken over from that one.
 * An erasure of versions leaves the key itself alone, and so its current version. */
static kms_err take_key(struct store_conn *conn, const struct format_erase *erase,
	const struct kms_id *only, const struct format_erase_kek *kek, bool renewed)
{
	struct model_key key;
	KMS_TRY(store_key_find(conn, &kek->key, &key));
	if (!kms_id_equal(&key.tenant, &erase->tenant)) {
		return KMS_ERR(NOT_FOUND);
	}
	if (!kms_id_is_zero(only) && !kms_id_equal(&key.id, only)) {
		return KMS_ERR(ARGUMENT);
	}
	if (kms_id_equal(&key.erasure, &erase->erasure)) {
		return KMS_OK;
	}
	if (!kms_id_is_zero(&key.erasure) && (!renewed || erase->scope == MODEL_ERASE_VERSIONS)) {
		return KMS_ERR(KEY_STATE);
	}
	if (erase->scope == MODEL_ERASE_VERSIONS) {
		return kek->version < key.version ? KMS_OK : KMS_ERR(KEY_STATE);
	}
	return hold_key(conn, erase, &key);
}

static kms_err know_kek(struct store_conn *conn, const struct format_erase_kek *kek)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"SELECT 1 FROM kek WHERE id = :id AND logical_key = :key AND version = :version"
		" AND token = :token AND commitment IS :commitment",
		&query));
	store_query_id(&query, ":id", &kek->kek);
	store_query_id(&query, ":key", &kek->key);
	store_query_int(&query, ":version", kek->version);
	store_query_id(&query, ":token", &kek->token);
	store_query_hash(&query, ":commitment", &kek->commitment);
	return store_query_one(&query);
}

/* NOT_FOUND for a KEK that is not as the bytes say, KEY_STATE for one that is not live, or neither
 * free nor left by that old one. */
static kms_err take_kek(struct store_conn *conn, const struct format_erase *erase,
	const struct format_erase_kek *kek, const struct kms_id *old)
{
	KMS_TRY(know_kek(conn, kek));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE kek SET erasure = :erasure"
		" WHERE id = :id AND state = :live AND erasure IS :old",
		&query));
	store_query_id(&query, ":erasure", &erase->erasure);
	store_query_id(&query, ":id", &kek->kek);
	store_query_id_or_null(&query, ":old", old);
	store_query_int(&query, ":live", MODEL_KEK_LIVE);
	KMS_TRY(store_query_run(&query));
	return store_query_changes(&query) == 1 ? KMS_OK : KMS_ERR(KEY_STATE);
}

static kms_err insert_row(struct store_conn *conn, const struct kms_id *erasure,
	const struct kms_id *token, const struct kms_id *kek, const struct kms_id *key,
	uint32_t version)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO erasure_row (erasure, token, kek, logical_key, version, seq,"
		" renewed_by, refused_unix_ms, refused)"
		" VALUES (:erasure, :token, :kek, :key, :version, 0, NULL, 0, '')",
		&query));
	store_query_id(&query, ":erasure", erasure);
	store_query_id(&query, ":token", token);
	store_query_id(&query, ":kek", kek);
	store_query_id_or_null(&query, ":key", key);
	store_query_int(&query, ":version", version);
	return store_query_run(&query);
}

static kms_err insert_wipe(struct store_conn *conn, const struct format_erase *erase,
	const struct kms_id *token, int64_t unix_ms)
{
	static const struct kms_id none = {{0}};
	struct kms_id old;
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"SELECT 1 FROM token WHERE id = :token AND tenant = :tenant", &query));
		store_query_id(&query, ":token", token);
		store_query_id(&query, ":tenant", &erase->tenant);
		KMS_TRY(store_query_one(&query));
	}
	KMS_TRY(store_row_admit(conn, token, &none, unix_ms, &old));
	KMS_TRY(store_row_take(conn, &old, &erase->erasure, token, &none));
	return insert_row(conn, &erase->erasure, token, &none, &none, 0);
}

static kms_err take(struct store_conn *conn, const struct format_erase *erase,
	const struct kms_id *only, const struct format_erase_kek *kek, int64_t unix_ms)
{
	struct kms_id old;
	KMS_TRY(store_row_admit(conn, &kek->token, &kek->kek, unix_ms, &old));
	KMS_TRY(take_key(conn, erase, only, kek, !kms_id_is_zero(&old)));
	KMS_TRY(take_kek(conn, erase, kek, &old));
	KMS_TRY(store_row_take(conn, &old, &erase->erasure, &kek->token, &kek->kek));
	return insert_row(conn, &erase->erasure, &kek->token, &kek->kek, &kek->key, kek->version);
}

/* Nothing of the scope lives on but what an executing one goes on with, and nothing of it is in the
 * making. */
#define LEFT                                                                                       \
	" AND kek.state <> 3 AND kek.state IN (1, 2) AND kek.erasure IS NOT :erasure"              \
	" AND NOT EXISTS (SELECT 1 FROM erasure AS e WHERE e.id = kek.erasure AND e.state = 3)"    \
	" LIMIT 1"
static kms_err check_complete(
	struct store_conn *conn, const struct format_erase *erase, const struct kms_id *only)
{
	bool left = false;
	if (erase->scope == MODEL_ERASE_VERSIONS) {
		return KMS_OK;
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		kms_id_is_zero(only) ? "SELECT 1 FROM logical_key CROSS JOIN kek"
				       " ON kek.logical_key = logical_key.id"
				       " WHERE logical_key.tenant = :owner" LEFT
				     : "SELECT 1 FROM kek WHERE logical_key = :owner" LEFT,
		&query));
	store_query_id(&query, ":owner", kms_id_is_zero(only) ? &erase->tenant : only);
	store_query_id(&query, ":erasure", &erase->erasure);
	KMS_TRY(store_query_step(&query, &left));
	return left ? KMS_ERR(KEY_STATE) : KMS_OK;
}

kms_err store_apply_erase_request(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms)
{
	KMS_AUTO(format_erase) erase = NULL;
	struct kms_id only;
	kms_err err = format_erase_read(kms_buf_bytes(&change->u.erase_request.bytes), &erase);
	if (!kms_is_ok(err)) {
		return kms_is(err, KMS_CODE_FORMAT) ? KMS_ERR(ARGUMENT) : err;
	}
	if (!kms_id_equal(&erase->tenant, &change->tenant) ||
		!kms_id_equal(&erase->requester, &change->actor)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(store_principal_know(conn, &erase->tenant, &erase->requester));
	KMS_TRY(check_room(conn, &erase->tenant));
	KMS_TRY(insert_erasure(conn, change, erase, seq, unix_ms));
	KMS_TRY(scope_key(conn, erase, &only));
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		KMS_TRY(take(conn, erase, &only, &erase->keks[i], unix_ms));
	}
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		KMS_TRY(insert_wipe(conn, erase, &erase->wipes[i], unix_ms));
	}
	KMS_TRY(check_complete(conn, erase, &only));
	KMS_TRY(store_paper_put(
		conn, STORE_PAPER_PLAN, &erase->erasure, &change->u.erase_request.plan));
	return store_erasure_note(conn, &erase->erasure, seq);
}
