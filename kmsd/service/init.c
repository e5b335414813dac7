/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offline: the first tenant and principals (entry 0), and further tenants. No default credential
 * exists: everybody who may ever ask comes from a file that the tenant's own CA signed.
 */
#include "service_int.h"

#include "record.h"

#include <stdlib.h>
#include <string.h>

enum { SIGNATURE_MAX = 1024 };

/* ---- the files ---- */

static kms_err read_file(const char *path, size_t max, struct kms_buf *ret_buf)
{
	kms_err err = kms_file_read(path, max, ret_buf);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s: %s", path, kms_err_text(err));
	}
	return err;
}

/* A tenant file speaks for its tenant only when the key of the CA inside signed it. */
static kms_err read_tenant(const struct service_init *init, struct model_tenant_set *ret_set)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_BUF signature = {0};
	KMS_AUTO(crypto_cert) ca = NULL;
	struct model_tenant_set set = {0};
	KMS_TRY(read_file(init->tenant_path, RECORD_FILE_MAX, &json));
	KMS_TRY(read_file(init->tenant_signature, SIGNATURE_MAX, &signature));
	KMS_TRY(record_tenant_read(kms_buf_bytes(&json), &set));
	kms_err err = crypto_cert_parse_pem(kms_bytes_str(set.tenant.ca_pem), &ca);
	if (kms_is_ok(err)) {
		err = crypto_cert_verify(ca, kms_buf_bytes(&json), kms_buf_bytes(&signature));
	}
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s: %s is not its signature by the tenant's CA",
			init->tenant_path, init->tenant_signature);
		model_tenant_set_free(&set);
		return err;
	}
	*ret_set = set;
	return KMS_OK;
}

/* ---- nothing of it is another's ---- */

static kms_err ca_key(const char *pem, struct kms_hash *ret_key)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_TRY(crypto_cert_parse_pem(kms_bytes_str(pem), &cert));
	return crypto_cert_spki_hash(cert, ret_key);
}

/* Who holds the CA's key makes principals of the tenant: two organisations never share one. */
static kms_err check_ca(const struct model_tenant *tenant, const char *other_pem, const char *whose)
{
	struct kms_hash own, other;
	KMS_TRY(ca_key(tenant->ca_pem, &own));
	KMS_TRY(ca_key(other_pem, &other));
	if (!kms_hash_equal(&own, &other)) {
		return KMS_OK;
	}
	kms_log(KMS_LOG_ERROR, "%s: its CA is %s; a tenant has a CA of its own", tenant->label.text,
		whose);
	return KMS_ERR(EXISTS);
}

static kms_err check_cas(struct store *store, const struct model_tenant *tenant)
{
	char *platform KMS_AUTO_FREE = NULL;
	struct kms_id after = {0};
	KMS_TRY(store_setting_get(store, "platform_ca", &platform));
	kms_err err = check_ca(tenant, platform, "the platform's");
	for (size_t count = 1; kms_is_ok(err) && count > 0;) {
		struct model_tenant *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(store_tenant_list(store, &after, LIMIT_LIST_PAGE, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			if (kms_is_ok(err)) {
				err = check_ca(tenant, rows[i].ca_pem, rows[i].label.text);
			}
			after = rows[i].id;
			model_tenant_free(&rows[i]);
		}
	}
	return err;
}

/* What a look-up found that must not be there. */
static kms_err check_absent(kms_err found, const char *what, const char *name)
{
	if (kms_is_ok(found)) {
		kms_log(KMS_LOG_ERROR, "%s %s is registered already", what, name);
		return KMS_ERR(EXISTS);
	}
	return kms_is(found, KMS_CODE_NOT_FOUND) ? KMS_OK : found;
}

static kms_err check_principals(struct store *store, const struct model_tenant_set *set)
{
	for (size_t i = 0; i < set->principal_count; i++) {
		const struct model_principal *principal = &set->principals[i];
		struct model_principal row;
		kms_err err = store_principal_get(store, &principal->id, &row);
		if (kms_is(err, KMS_CODE_NOT_FOUND)) {
			err = store_principal_by_spki(store, &principal->spki, &row);
		}
		KMS_TRY(check_absent(err, "principal", principal->label.text));
	}
	return KMS_OK;
}

static kms_err check_tokens(struct store *store, const struct model_tenant_set *set)
{
	struct model_token *rows KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(store_token_list(store, NULL, &rows, &count));
	for (size_t i = 0; i < set->token_count * count; i++) {
		const struct model_token *token = &set->tokens[i / count];
		const struct model_token *row = &rows[i % count];
		if (kms_id_equal(&token->id, &row->id) ||
			kms_hash_equal(&token->session_spki, &row->session_spki) ||
			strcmp(token->statement_vkey, row->statement_vkey) == 0) {
			char id[KMS_ID_TEXT];
			return check_absent(KMS_OK, "token", kms_id_text(&token->id, id));
		}
	}
	return KMS_OK;
}

static kms_err check_newcomer(struct store *store, const struct model_tenant_set *set)
{
	struct model_tenant row;
	kms_err err = store_tenant_get(store, &set->tenant.id, &row);
	if (kms_is_ok(err)) {
		model_tenant_free(&row);
	}
	KMS_TRY(check_absent(err, "tenant", set->tenant.label.text));
	KMS_TRY(check_cas(store, &set->tenant));
	KMS_TRY(check_principals(store, set));
	return check_tokens(store, set);
}

/* ---- --init and --add-tenant ---- */

/* The rest of the settings is in entry 0, and the ledger's business. */
static kms_err write_platform_ca(struct store *store, const struct record_platform *platform)
{
	KMS_AUTO(store_tx) tx = NULL;
	KMS_TRY(store_begin(store, &tx));
	KMS_TRY(store_setting_put(tx, "platform_ca", platform->ca_pem));
	return store_commit(&tx);
}

/* The change takes over what platform and tenant own. */
static void fill_log_open(struct model_change *change, struct record_platform *platform)
{
	change->type = MODEL_CHANGE_LOG_OPEN;
	/* The first tenant's: its principals stand in it, and others see the leaf hash only. */
	change->tenant = change->u.log_open.first.tenant.id;
	memcpy(change->u.log_open.origin, platform->origin, sizeof(platform->origin));
	memcpy(change->u.log_open.ledger_vkey, platform->ledger_vkey,
		sizeof(platform->ledger_vkey));
	memcpy(change->u.log_open.ledger_vkey_ed25519, platform->ledger_vkey_ed25519,
		sizeof(platform->ledger_vkey_ed25519));
	change->u.log_open.system_token = platform->system_token;
	change->u.log_open.principal_count = platform->principal_count;
	change->u.log_open.principals = kms_take(&platform->principals);
}

kms_err service_init(const struct service_init *init)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO(store) store = NULL;
	struct record_platform platform = {0};
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(read_file(init->platform_path, RECORD_FILE_MAX, &json));
	KMS_TRY(record_platform_read(kms_buf_bytes(&json), &platform));
	kms_err err = read_tenant(init, &change->u.log_open.first);
	if (kms_is_ok(err)) {
		err = check_ca(&change->u.log_open.first.tenant, platform.ca_pem, "the platform's");
	}
	if (kms_is_ok(err)) {
		err = store_open(init->store_path, STORE_CREATE, &store);
	}
	if (kms_is_ok(err)) {
		err = write_platform_ca(store, &platform);
	}
	if (kms_is_ok(err)) {
		fill_log_open(change, &platform);
		err = ledger_found(store, change);
	}
	change->type = MODEL_CHANGE_LOG_OPEN;
	model_change_free(change);
	record_platform_free(&platform);
	return err;
}

kms_err service_add_tenant(const struct service_init *init)
{
	KMS_AUTO(store) store = NULL;
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = MODEL_CHANGE_TENANT_ADD;
	KMS_TRY(read_tenant(init, &change->u.tenant_add));
	change->tenant = change->u.tenant_add.tenant.id;
	kms_err err = store_open(init->store_path, STORE_WRITE, &store);
	if (kms_is_ok(err)) {
		err = check_newcomer(store, &change->u.tenant_add);
	}
	if (kms_is_ok(err)) {
		err = ledger_append_offline(store, change);
	}
	model_change_free(change);
	return err;
}
