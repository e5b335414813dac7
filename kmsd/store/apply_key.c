/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the effect of changes on keys and their KEKs. Runs in kmsd. A KEK is pending from its
 * intent to its result; a key has at most one version in the making.
 */
#include <string.h>

#include "apply_int.h"

/* Each token is the tenant's own, and none stands twice. */
static kms_err check_tokens(struct store_conn *conn, const struct model_key *key)
{
	if (key->token_count == 0 || key->token_count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(ARGUMENT);
	}
	for (uint32_t i = 0; i < key->token_count; i++) {
		for (uint32_t k = 0; k < i; k++) {
			if (kms_id_equal(&key->tokens[i], &key->tokens[k])) {
				return KMS_ERR(ARGUMENT);
			}
		}
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(
			conn, "SELECT 1 FROM token WHERE id = :id AND tenant = :tenant", &query));
		store_query_id(&query, ":id", &key->tokens[i]);
		store_query_id(&query, ":tenant", &key->tenant);
		KMS_TRY(store_query_one(&query));
	}
	return KMS_OK;
}

static kms_err check_room(struct store_conn *conn, const struct kms_id *tenant)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(
		conn, "SELECT count(*) FROM logical_key WHERE tenant = :tenant", &query));
	store_query_id(&query, ":tenant", tenant);
	KMS_TRY(store_query_one(&query));
	return store_column_uint(&query, 0) < LIMIT_KEYS ? KMS_OK : KMS_ERR(TOO_LARGE);
}

/* The end of a contract, once asked for, is not outrun by new keys. */
static kms_err check_tenant_stays(struct store_conn *conn, const struct kms_id *tenant)
{
	STORE_AUTO_QUERY query = {0};
	bool ends = false;
	KMS_TRY(store_query_open(conn,
		"SELECT 1 FROM erasure WHERE tenant = :tenant AND scope = :whole"
		" AND state IN (:requested, :executing) LIMIT 1",
		&query));
	store_query_id(&query, ":tenant", tenant);
	store_query_int(&query, ":whole", MODEL_ERASE_TENANT);
	store_query_int(&query, ":requested", MODEL_ERASE_REQUESTED);
	store_query_int(&query, ":executing", MODEL_ERASE_EXECUTING);
	KMS_TRY(store_query_step(&query, &ends));
	return ends ? KMS_ERR(KEY_STATE) : KMS_OK;
}

static kms_err insert_key(struct store_conn *conn, const struct model_key *key, int64_t unix_ms)
{
	static const char *const columns[LIMIT_CUSTODY_TOKENS] = {
		":token_1", ":token_2", ":token_3", ":token_4"};
	static const struct kms_id none = {{0}};
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO logical_key (id, tenant, custodian, custody, delivery, state,"
		" version, created_unix_ms, token_1, token_2, token_3, token_4) VALUES (:id,"
		" :tenant, :custodian, :custody, :delivery, :state, 0, :created, :token_1,"
		" :token_2, :token_3, :token_4)",
		&query));
	store_query_id(&query, ":id", &key->id);
	store_query_id(&query, ":tenant", &key->tenant);
	store_query_id(&query, ":custodian", &key->custodian);
	store_query_int(&query, ":custody", (int64_t)key->custody);
	store_query_int(&query, ":delivery", (int64_t)key->delivery);
	store_query_int(&query, ":state", MODEL_STATE_PRE_ACTIVATION);
	store_query_int(&query, ":created", unix_ms);
	for (uint32_t i = 0; i < LIMIT_CUSTODY_TOKENS; i++) {
		store_query_id_or_null(
			&query, columns[i], i < key->token_count ? &key->tokens[i] : &none);
	}
	return store_query_run(&query);
}

static kms_err insert_kek(struct store_conn *conn, const struct kms_id *id,
	const struct model_key *key, uint32_t version, uint32_t i, int64_t unix_ms)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO kek (id, logical_key, version, token, state, commitment,"
		" created_unix_ms) VALUES (:id, :key, :version, :token, :state, NULL, :created)",
		&query));
	store_query_id(&query, ":id", id);
	store_query_id(&query, ":key", &key->id);
	store_query_int(&query, ":version", version);
	store_query_id(&query, ":token", &key->tokens[i]);
	store_query_int(&query, ":state", MODEL_KEK_PENDING);
	store_query_int(&query, ":created", unix_ms);
	return store_query_run(&query);
}

static kms_err count_pending(
	struct store_conn *conn, const struct kms_id *key, uint32_t version, uint64_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"SELECT count(*) FROM kek WHERE logical_key = :key AND state = :state"
		" AND (version = :version OR :version = 0)",
		&query));
	store_query_id(&query, ":key", key);
	store_query_int(&query, ":state", MODEL_KEK_PENDING);
	store_query_int(&query, ":version", version);
	KMS_TRY(store_query_one(&query));
	*ret_count = store_column_uint(&query, 0);
	return store_query_checked(&query);
}

/* A rotation: the next version, in a state that allows it, with none in the making. */
static kms_err check_rotation(
	struct store_conn *conn, const struct model_change *change, struct model_key *ret_key)
{
	const struct model_key *asked = &change->u.key_intent.key;
	struct model_key key;
	uint64_t pending = 0;
	KMS_TRY(store_key_find(conn, &asked->id, &key));
	if (!kms_id_equal(&key.tenant, &asked->tenant)) {
		return KMS_ERR(NOT_FOUND);
	}
	KMS_TRY(count_pending(conn, &key.id, 0, &pending));
	if (!model_state_allows(key.state, MODEL_OP_KEY_ROTATE) || pending > 0 ||
		!kms_id_is_zero(&key.erasure) || change->u.key_intent.version != key.version + 1) {
		return KMS_ERR(KEY_STATE);
	}
	if (change->u.key_intent.version > LIMIT_KEY_VERSIONS) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_key = key;
	return KMS_OK;
}

kms_err store_apply_key_intent(
	struct store_conn *conn, const struct model_change *change, int64_t unix_ms)
{
	struct model_key key = change->u.key_intent.key;
	if (change->u.key_intent.version == 1) {
		KMS_TRY(check_tokens(conn, &key));
		KMS_TRY(check_room(conn, &key.tenant));
		KMS_TRY(check_tenant_stays(conn, &key.tenant));
		KMS_TRY(insert_key(conn, &key, unix_ms));
		KMS_TRY(store_label_put(conn, STORE_LABEL_KEY, &key.id, &key.label));
	} else {
		KMS_TRY(check_rotation(conn, change, &key));
	}
	for (uint32_t i = 0; i < key.token_count; i++) {
		KMS_TRY(insert_kek(conn, &change->u.key_intent.keks[i], &key,
			change->u.key_intent.version, i, unix_ms));
	}
	return KMS_OK;
}

static kms_err set_key(
	struct store_conn *conn, const struct kms_id *key, enum model_state state, uint32_t version)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE logical_key SET state = :state, version = :version WHERE id = :key",
		&query));
	store_query_id(&query, ":key", key);
	store_query_int(&query, ":state", (int64_t)state);
	store_query_int(&query, ":version", version);
	KMS_TRY(store_query_run(&query));
	KMS_ASSERT(store_query_changes(&query) == 1);
	return KMS_OK;
}

static kms_err abandon_keks(struct store_conn *conn, const struct kms_id *key, uint32_t version)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE kek SET state = :abandoned"
		" WHERE logical_key = :key AND version = :version AND state = :pending",
		&query));
	store_query_id(&query, ":key", key);
	store_query_int(&query, ":version", version);
	store_query_int(&query, ":pending", MODEL_KEK_PENDING);
	store_query_int(&query, ":abandoned", MODEL_KEK_ABANDONED);
	return store_query_run(&query);
}

/* ARGUMENT when the birth is not that of a KEK which was intended. */
static kms_err bear_kek(struct store_conn *conn, const struct kms_id *key, uint32_t version,
	const struct model_birth *birth)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE kek SET state = :live, commitment = :commitment WHERE id = :id"
		" AND logical_key = :key AND version = :version AND token = :token"
		" AND state = :pending",
		&query));
	store_query_id(&query, ":id", &birth->kek);
	store_query_id(&query, ":key", key);
	store_query_int(&query, ":version", version);
	store_query_id(&query, ":token", &birth->token);
	store_query_hash(&query, ":commitment", &birth->commitment);
	store_query_int(&query, ":pending", MODEL_KEK_PENDING);
	store_query_int(&query, ":live", MODEL_KEK_LIVE);
	KMS_TRY(store_query_run(&query));
	return store_query_changes(&query) == 1 ? KMS_OK : KMS_ERR(ARGUMENT);
}

/* A key whose first version was given up never lived: SP 800-57 lets it go from pre-activation
 * to destroyed. */
static kms_err give_up(struct store_conn *conn, const struct model_key *key, uint32_t version)
{
	KMS_TRY(abandon_keks(conn, &key->id, version));
	if (version > 1) {
		return KMS_OK;
	}
	enum model_state state = key->state;
	KMS_TRY(model_state_next(key->state, MODEL_EVENT_DESTROY, &state));
	return set_key(conn, &key->id, state, key->version);
}

kms_err store_apply_key_result(struct store_conn *conn, const struct model_change *change)
{
	uint32_t version = change->u.key_result.version;
	struct model_key key;
	uint64_t pending = 0;
	KMS_TRY(store_key_find(conn, &change->u.key_result.key, &key));
	KMS_TRY(count_pending(conn, &key.id, version, &pending));
	if (version == 0 || pending == 0) {
		return KMS_ERR(KEY_STATE); /* no intent waits for it */
	}
	if (!change->u.key_result.made) {
		return give_up(conn, &key, version);
	}
	if (change->u.key_result.birth_count != pending) {
		return KMS_ERR(ARGUMENT);
	}
	for (size_t i = 0; i < change->u.key_result.birth_count; i++) {
		KMS_TRY(bear_kek(conn, &key.id, version, &change->u.key_result.births[i]));
	}
	enum model_state state = key.state;
	if (version == 1) {
		KMS_TRY(model_state_next(key.state, MODEL_EVENT_ACTIVATE, &state));
	}
	return set_key(conn, &key.id, state, version);
}

kms_err store_apply_key_state(struct store_conn *conn, const struct model_change *change)
{
	struct model_key key;
	enum model_state state = MODEL_STATE_DESTROYED;
	KMS_TRY(store_key_find(conn, &change->u.key_state.key, &key));
	KMS_TRY(model_state_next(key.state, change->u.key_state.event, &state));
	/* What an erasure holds, only it gives back, and only statements destroy. */
	if (!kms_id_is_zero(&key.erasure) &&
		(change->u.key_state.event == MODEL_EVENT_RESUME ||
			change->u.key_state.event == MODEL_EVENT_DESTROY)) {
		return KMS_ERR(KEY_STATE);
	}
	/* A key without a version has only its intent's result before it; and the entry must say
	 * what the table says. */
	if (key.version == 0 || state != change->u.key_state.state) {
		return KMS_ERR(KEY_STATE);
	}
	return set_key(conn, &key.id, state, key.version);
}
