/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the effect of one change on state, by the tables of model: tenants, tokens, datasets,
 * positions; keys stand in apply_key.c, erasures in apply_request.c, apply_erase.c and
 * apply_erased.c, leases in leases.c. Runs in kmsd.
 * Decides by what the change and the rows say and by nothing else (no clock, no random), so that
 * replaying the ledger gives the same rows.
 */
#include <string.h>

#include "apply_int.h"

kms_err store_label_put(
	struct store_conn *conn, int kind, const struct kms_id *id, const struct model_label *label)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO label (kind, id, text, salt) VALUES (:kind, :id, :text, :salt)",
		&query));
	store_query_int(&query, ":kind", kind);
	store_query_id(&query, ":id", id);
	store_query_text(&query, ":text", label->text);
	store_query_bytes(&query, ":salt", KMS_BYTES_OF(label->salt));
	return store_query_run(&query);
}

/* sql counts rows of :tenant: TOO_LARGE when there are max already. */
static kms_err room(
	struct store_conn *conn, const char *sql, const struct kms_id *tenant, uint64_t max)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, sql, &query));
	store_query_id_or_null(&query, ":tenant", tenant);
	KMS_TRY(store_query_one(&query));
	uint64_t count = store_column_uint(&query, 0);
	KMS_TRY(store_query_checked(&query));
	return count < max ? KMS_OK : KMS_ERR(TOO_LARGE);
}

/* A principal belongs to the tenant whose set it stands in; NULL: to the platform. */
static kms_err add_principal(struct store_conn *conn, const struct kms_id *tenant,
	const struct model_principal *principal)
{
	KMS_TRY(room(conn, "SELECT count(*) FROM principal WHERE tenant IS :tenant", tenant,
		LIMIT_PRINCIPALS));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO principal (id, tenant, role, spki, expires_unix_s)"
		" VALUES (:id, :tenant, :role, :spki, :expires)",
		&query));
	store_query_id(&query, ":id", &principal->id);
	store_query_id_or_null(&query, ":tenant", tenant);
	store_query_int(&query, ":role", (int64_t)principal->role);
	store_query_hash(&query, ":spki", &principal->spki);
	store_query_int(&query, ":expires", principal->expires_unix_s);
	KMS_TRY(store_query_run(&query));
	return store_label_put(conn, STORE_LABEL_PRINCIPAL, &principal->id, &principal->label);
}

static kms_err add_position(struct store_conn *conn, const struct kms_id *token)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO position"
		" (token, boot, n, running, statement_boot, statement_n, known_boot)"
		" VALUES (:token, 0, 0, NULL, 0, 0, 0)",
		&query));
	store_query_id(&query, ":token", token);
	return store_query_run(&query);
}

static kms_err add_token(
	struct store_conn *conn, const struct kms_id *tenant, const struct model_token *token)
{
	KMS_TRY(room(
		conn, "SELECT count(*) FROM token WHERE tenant IS :tenant", tenant, LIMIT_TOKENS));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO token (id, tenant, class, manufacturer, model, serial, firmware,"
		" certificate_no, organisation, site, country, session_spki, statement_vkey)"
		" VALUES (:id, :tenant, :class, :manufacturer, :model, :serial, :firmware,"
		" :certificate_no, :organisation, :site, :country, :session_spki, :vkey)",
		&query));
	store_query_id(&query, ":id", &token->id);
	store_query_id_or_null(&query, ":tenant", tenant);
	store_query_int(&query, ":class", (int64_t)token->class);
	store_query_text(&query, ":manufacturer", token->manufacturer);
	store_query_text(&query, ":model", token->model);
	store_query_text(&query, ":serial", token->serial);
	store_query_text(&query, ":firmware", token->firmware);
	store_query_text(&query, ":certificate_no", token->certificate_no);
	store_query_text(&query, ":organisation", token->organisation);
	store_query_text(&query, ":site", token->site);
	store_query_text(&query, ":country", token->country);
	store_query_hash(&query, ":session_spki", &token->session_spki);
	store_query_text(&query, ":vkey", token->statement_vkey);
	KMS_TRY(store_query_run(&query));
	return add_position(conn, &token->id);
}

static kms_err add_tenant(struct store_conn *conn, const struct model_tenant_set *set)
{
	const struct kms_id *id = &set->tenant.id;
	if (kms_id_is_zero(id)) {
		return KMS_ERR(ARGUMENT); /* that is the platform */
	}
	KMS_TRY(room(
		conn, "SELECT count(*) FROM tenant WHERE :tenant IS NOT NULL", id, LIMIT_TENANTS));
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(
			conn, "INSERT INTO tenant (id, ca_pem) VALUES (:id, :ca_pem)", &query));
		store_query_id(&query, ":id", id);
		store_query_text(
			&query, ":ca_pem", set->tenant.ca_pem != NULL ? set->tenant.ca_pem : "");
		KMS_TRY(store_query_run(&query));
	}
	KMS_TRY(store_label_put(conn, STORE_LABEL_TENANT, id, &set->tenant.label));
	for (size_t i = 0; i < set->principal_count; i++) {
		KMS_TRY(add_principal(conn, id, &set->principals[i]));
	}
	for (size_t i = 0; i < set->token_count; i++) {
		KMS_TRY(add_token(conn, id, &set->tokens[i]));
	}
	return KMS_OK;
}

/* Entry 0 and no other. */
static kms_err open_log(struct store_conn *conn, const struct model_change *change, uint64_t seq)
{
	static const struct kms_id platform = {{0}};
	if (seq != 0) {
		return KMS_ERR(EXISTS);
	}
	KMS_TRY(add_token(conn, &platform, &change->u.log_open.system_token));
	for (size_t i = 0; i < change->u.log_open.principal_count; i++) {
		KMS_TRY(add_principal(conn, &platform, &change->u.log_open.principals[i]));
	}
	return add_tenant(conn, &change->u.log_open.first);
}

/* Past its intent an erasure finishes what was approved: what it names is named. */
static kms_err check_not_executing(struct store_conn *conn, const struct kms_id *erasure)
{
	STORE_AUTO_QUERY query = {0};
	bool found = false;
	KMS_TRY(store_query_open(
		conn, "SELECT 1 FROM erasure WHERE id = :id AND state = :executing", &query));
	store_query_id(&query, ":id", erasure);
	store_query_int(&query, ":executing", MODEL_ERASE_EXECUTING);
	KMS_TRY(store_query_step(&query, &found));
	return found ? KMS_ERR(KEY_STATE) : KMS_OK;
}

static kms_err count_dataset(struct store_conn *conn, const struct kms_id *tenant)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE tenant SET dataset_count = dataset_count + 1"
		" WHERE id = :tenant AND dataset_count < :max",
		&query));
	store_query_id(&query, ":tenant", tenant);
	store_query_int(&query, ":max", LIMIT_DATASETS);
	KMS_TRY(store_query_run(&query));
	return store_query_changes(&query) == 1 ? KMS_OK : KMS_ERR(TOO_LARGE);
}

/* A dataset under a key of the same tenant that is not gone. */
static kms_err add_dataset(struct store_conn *conn, const struct model_dataset *dataset)
{
	struct model_key key;
	KMS_TRY(store_key_find(conn, &dataset->key, &key));
	if (!kms_id_equal(&key.tenant, &dataset->tenant)) {
		return KMS_ERR(NOT_FOUND);
	}
	if (!model_state_allows(key.state, MODEL_OP_DATASET_ADD)) {
		return KMS_ERR(KEY_STATE);
	}
	KMS_TRY(check_not_executing(conn, &key.erasure));
	KMS_TRY(count_dataset(conn, &dataset->tenant));
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO dataset (id, tenant, logical_key, custodian, medium, serial, site,"
		" country, first_write_unix_s) VALUES (:id, :tenant, :key, :custodian, :medium,"
		" :serial, :site, :country, :first_write)",
		&query));
	store_query_id(&query, ":id", &dataset->id);
	store_query_id(&query, ":tenant", &dataset->tenant);
	store_query_id(&query, ":key", &dataset->key);
	store_query_id(&query, ":custodian", &dataset->custodian);
	store_query_text(&query, ":medium", dataset->medium);
	store_query_text(&query, ":serial", dataset->serial);
	store_query_text(&query, ":site", dataset->site);
	store_query_text(&query, ":country", dataset->country);
	store_query_int(&query, ":first_write", dataset->first_write_unix_s);
	KMS_TRY(store_query_run(&query));
	return store_label_put(conn, STORE_LABEL_DATASET, &dataset->id, &dataset->label);
}

/* NOT_FOUND for no such token; EXISTS for a boot that is not newer than the one we know. */
static kms_err boot_token(struct store_conn *conn, const struct kms_id *token, uint64_t boot)
{
	{
		STORE_AUTO_QUERY query = {0};
		KMS_TRY(store_query_open(conn,
			"UPDATE position SET known_boot = :boot"
			" WHERE token = :token AND known_boot < :boot",
			&query));
		store_query_id(&query, ":token", token);
		store_query_uint(&query, ":boot", boot);
		KMS_TRY(store_query_run(&query));
		if (store_query_changes(&query) == 1) {
			return KMS_OK;
		}
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, "SELECT 1 FROM position WHERE token = :token", &query));
	store_query_id(&query, ":token", token);
	KMS_TRY(store_query_one(&query));
	return KMS_ERR(EXISTS);
}

/* The position is where the batch says that it ends: whether it should is the ledger's question. */
static kms_err count_uses(struct store_conn *conn, const struct model_change *change)
{
	if (kms_id_is_zero(&change->u.use_batch.token)) {
		return KMS_OK; /* denials */
	}
	if (change->u.use_batch.first == 0 || change->u.use_batch.count == 0) {
		return KMS_ERR(ARGUMENT);
	}
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"UPDATE position SET boot = :boot, n = :n, running = :running"
		" WHERE token = :token",
		&query));
	store_query_id(&query, ":token", &change->u.use_batch.token);
	store_query_uint(&query, ":boot", change->u.use_batch.boot);
	store_query_uint(&query, ":n", change->u.use_batch.first + change->u.use_batch.count - 1);
	store_query_hash(&query, ":running", &change->u.use_batch.running);
	KMS_TRY(store_query_run(&query));
	return store_query_changes(&query) == 1 ? KMS_OK : KMS_ERR(NOT_FOUND);
}

static kms_err know_token(struct store_conn *conn, const struct kms_id *token)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn, "SELECT 1 FROM token WHERE id = :token", &query));
	store_query_id(&query, ":token", token);
	return store_query_one(&query);
}

kms_err store_apply(
	struct store_tx *tx, const struct model_change *change, uint64_t seq, int64_t unix_ms)
{
	struct store_conn *conn = &tx->store->writer;
	switch (change->type) {
	case MODEL_CHANGE_LOG_OPEN:
		return open_log(conn, change, seq);
	case MODEL_CHANGE_TENANT_ADD:
		return add_tenant(conn, &change->u.tenant_add);
	case MODEL_CHANGE_KEY_INTENT:
		return store_apply_key_intent(conn, change, unix_ms);
	case MODEL_CHANGE_KEY_RESULT:
		return store_apply_key_result(conn, change);
	case MODEL_CHANGE_KEY_STATE:
		return store_apply_key_state(conn, change);
	case MODEL_CHANGE_DATASET_ADD:
		return add_dataset(conn, &change->u.dataset_add);
	case MODEL_CHANGE_TOKEN_BOOT:
		return boot_token(conn, &change->u.token_boot.token, change->u.token_boot.boot);
	case MODEL_CHANGE_USE_STATEMENT:
		return know_token(conn, &change->u.use_statement.token);
	case MODEL_CHANGE_USE_BATCH:
		return count_uses(conn, change);
	case MODEL_CHANGE_ERASE_REQUEST:
		return store_apply_erase_request(conn, change, seq, unix_ms);
	case MODEL_CHANGE_ERASE_APPROVE:
		return store_apply_erase_approve(conn, change, seq, unix_ms);
	case MODEL_CHANGE_ERASE_CANCEL:
		return store_apply_erase_cancel(conn, change, seq, unix_ms);
	case MODEL_CHANGE_ERASE_INTENT:
		return store_apply_erase_intent(conn, change, seq);
	case MODEL_CHANGE_ERASE_RESULT:
		return store_apply_erase_result(conn, change, seq, unix_ms);
	case MODEL_CHANGE_ERASE_WIPE:
		return store_apply_erase_wipe(conn, change, seq);
	case MODEL_CHANGE_ERASE_FINAL:
		return store_apply_erase_final(conn, change, seq);
	case MODEL_CHANGE_ERASE_REFUSED:
		return store_apply_erase_refused(conn, change, seq, unix_ms);
	case MODEL_CHANGE_CERT_ISSUE:
		return store_apply_cert_issue(conn, change, seq);
	case MODEL_CHANGE_LEASE_RECEIPT:
		return store_apply_lease_receipt(conn, change, seq);
	case MODEL_CHANGE_ALARM:
		return KMS_OK; /* it says something and changes nothing */
	}
	return KMS_ERR(ARGUMENT);
}
