/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenant and platform files, read by `kmsd --init` and `--add-tenant`. People write these, so what
 * is wrong is logged with the name of whom or what it is wrong with. Must never accept a principal
 * that the file's CA did not certify, or a role that the file has no right to give.
 */
#include "record_int.h"

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

/* What both kinds of file give principals by. */
struct authority {
	struct crypto_cert *ca;
	struct kms_id tenant; /* zero: the platform */
	int64_t now_unix_s;
};

static kms_err version_check(struct doc *file, const char *version)
{
	const char *text = NULL;
	KMS_TRY(doc_get_text(file, "v", &text));
	if (strcmp(text, version) != 0) {
		kms_log(KMS_LOG_ERROR, "expected a %s file", version);
		return KMS_ERR(VERSION);
	}
	return KMS_OK;
}

static kms_err label_get(struct doc *object, struct model_label *label)
{
	KMS_TRY(record_text_get(object, "name", label->text, sizeof(label->text)));
	if (label->text[0] == 0) {
		return KMS_ERR(FORMAT);
	}
	kms_random(label->salt, sizeof(label->salt));
	return KMS_OK;
}

static kms_err cert_get(struct doc *object, const char *name, struct crypto_cert **ret_cert)
{
	const char *pem = NULL;
	KMS_TRY(doc_get_text(object, name, &pem));
	if (strlen(pem) > LIMIT_CERT_PEM) {
		return KMS_ERR(TOO_LARGE);
	}
	return crypto_cert_parse_pem(kms_bytes_str(pem), ret_cert);
}

static kms_err authority_get(struct doc *object, struct crypto_cert **ret_ca, char **ret_ca_pem)
{
	KMS_AUTO(crypto_cert) ca = NULL;
	const char *pem = NULL;
	KMS_TRY(cert_get(object, "ca", &ca));
	KMS_TRY(doc_get_text(object, "ca", &pem));
	KMS_TRY(kms_text(ret_ca_pem, "%s", pem));
	*ret_ca = kms_take(&ca);
	return KMS_OK;
}

/* ---- principals ---- */

/* Operators are the platform's and only they are; everybody else is a tenant's. */
static bool role_fits(enum model_role role, const struct authority *authority)
{
	return (role == MODEL_ROLE_OPERATOR) == kms_id_is_zero(&authority->tenant);
}

static kms_err certificate_check(struct crypto_cert *cert, const struct authority *authority,
	const struct model_principal *principal)
{
	const char *who = principal->label.text;
	int64_t from = 0;
	int64_t until = 0;
	bool storage = false;

	kms_err err = crypto_cert_check(cert, authority->ca, authority->now_unix_s);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s: the certificate is not valid, or not of this file's CA",
			who);
		return err;
	}
	/* The purpose is what kms-tokend knows storage principals by, so nobody else has it. */
	KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &storage));
	if (storage != (principal->role == MODEL_ROLE_STORAGE)) {
		kms_log(KMS_LOG_ERROR, "%s: role %s, but the certificate %s the storage purpose",
			who, model_role_text(principal->role), storage ? "has" : "lacks");
		return KMS_ERR(DENIED);
	}
	KMS_TRY(crypto_cert_times(cert, &from, &until));
	if (principal->expires_unix_s > until) {
		kms_log(KMS_LOG_ERROR, "%s: expires after its certificate", who);
		return KMS_ERR(ARGUMENT);
	}
	if (principal->expires_unix_s <= authority->now_unix_s) {
		kms_log(KMS_LOG_ERROR, "%s: has expired", who);
		return KMS_ERR(ARGUMENT);
	}
	return KMS_OK;
}

static kms_err principal_get(
	struct doc *object, const struct authority *authority, struct model_principal *principal)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	const char *expires = NULL;
	int64_t expires_ms = 0;

	principal->tenant = authority->tenant;
	KMS_TRY(doc_get_id(object, "id", &principal->id));
	KMS_TRY(label_get(object, &principal->label));
	KMS_TRY(RECORD_WORD_GET(object, "role", model_role_parse, &principal->role));
	if (!role_fits(principal->role, authority)) {
		kms_log(KMS_LOG_ERROR, "%s: role %s is not this file's to give",
			principal->label.text, model_role_text(principal->role));
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(doc_get_text(object, "expires", &expires));
	KMS_TRY(kms_time_parse(expires, &expires_ms));
	principal->expires_unix_s = expires_ms / 1000;
	KMS_TRY(cert_get(object, "certificate", &cert));
	KMS_TRY(crypto_cert_spki_hash(cert, &principal->spki));
	KMS_TRY(doc_end(object));
	return certificate_check(cert, authority, principal);
}

/* One id, one key, one name: a person has one role (docs/architecture.md section 9). */
static kms_err principal_unique(const struct model_principal *principals, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (kms_id_equal(&principals[j].id, &principals[i].id) ||
			kms_hash_equal(&principals[j].spki, &principals[i].spki) ||
			strcmp(principals[j].label.text, principals[i].label.text) == 0) {
			kms_log(KMS_LOG_ERROR, "%s and %s share an id, a key or a name",
				principals[j].label.text, principals[i].label.text);
			return KMS_ERR(EXISTS);
		}
	}
	return KMS_OK;
}

static kms_err principals_get(struct doc *file, const struct authority *authority,
	struct model_principal **ret_principals, size_t *ret_count)
{
	struct doc *array = NULL;
	KMS_TRY(doc_get_array(file, "principals", &array));
	size_t count = doc_count(array);
	if (count == 0) {
		kms_log(KMS_LOG_ERROR, "principals: there must be at least one");
		return KMS_ERR(FORMAT);
	}
	if (count > LIMIT_PRINCIPALS) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO_FREE struct model_principal *principals = calloc(count, sizeof(principals[0]));
	if (principals == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		struct doc *object = NULL;
		KMS_TRY(doc_item_object(array, i, &object));
		KMS_TRY(principal_get(object, authority, &principals[i]));
		KMS_TRY(principal_unique(principals, i));
	}
	*ret_principals = kms_take(&principals);
	*ret_count = count;
	return KMS_OK;
}

/* ---- tokens ---- */

static kms_err tokens_unique(const struct model_token *tokens, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (kms_id_equal(&tokens[j].id, &tokens[i].id) ||
				kms_hash_equal(&tokens[j].session_spki, &tokens[i].session_spki) ||
				strcmp(tokens[j].statement_vkey, tokens[i].statement_vkey) == 0) {
				kms_log(KMS_LOG_ERROR, "tokens: two share an id or a key");
				return KMS_ERR(EXISTS);
			}
		}
	}
	return KMS_OK;
}

/* ---- whole files ---- */

/* Names the field when the document itself was at fault. */
static kms_err told(const struct doc *file, kms_err err)
{
	if (!kms_is_ok(err) && file != NULL && doc_problem(file)[0] != 0) {
		kms_log(KMS_LOG_ERROR, "%s", doc_problem(file));
	}
	return err;
}

static kms_err tenant_read(struct doc *file, struct model_tenant_set *set)
{
	KMS_AUTO(crypto_cert) ca = NULL;
	struct doc *tenant = NULL;
	struct doc *tokens = NULL;

	KMS_TRY(version_check(file, "kmsd-tenant/1"));
	KMS_TRY(doc_get_object(file, "tenant", &tenant));
	KMS_TRY(record_id_get(tenant, "id", &set->tenant.id));
	if (kms_id_is_zero(&set->tenant.id)) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(label_get(tenant, &set->tenant.label));
	KMS_TRY(authority_get(tenant, &ca, &set->tenant.ca_pem));
	KMS_TRY(doc_end(tenant));
	struct authority authority = {ca, set->tenant.id, kms_now_unix_ms() / 1000};
	KMS_TRY(principals_get(file, &authority, &set->principals, &set->principal_count));
	KMS_TRY(doc_get_array(file, "tokens", &tokens));
	if (doc_count(tokens) == 0) {
		kms_log(KMS_LOG_ERROR, "tokens: there must be at least one");
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(record_tokens_get(tokens, &set->tenant.id, &set->tokens, &set->token_count));
	KMS_TRY(tokens_unique(set->tokens, set->token_count));
	return doc_end(file);
}

kms_err record_tenant_read(struct kms_bytes json, struct model_tenant_set *ret_set)
{
	__attribute__((cleanup(model_tenant_set_free))) struct model_tenant_set set;
	KMS_AUTO(doc) file = NULL;
	memset(&set, 0, sizeof(set));
	KMS_TRY(doc_parse(json, RECORD_FILE_MAX, &file));
	KMS_TRY(told(file, tenant_read(file, &set)));
	*ret_set = set;
	memset(&set, 0, sizeof(set));
	return KMS_OK;
}

void record_platform_free(struct record_platform *platform)
{
	free(platform->ca_pem);
	free(platform->principals);
	memset(platform, 0, sizeof(*platform));
}

static kms_err platform_read(struct doc *file, struct record_platform *platform)
{
	KMS_AUTO(crypto_cert) ca = NULL;
	struct doc *token = NULL;

	KMS_TRY(version_check(file, "kmsd-platform/1"));
	KMS_TRY(record_text_get(file, "origin", platform->origin, sizeof(platform->origin)));
	KMS_TRY(record_text_get(
		file, "ledger_vkey", platform->ledger_vkey, sizeof(platform->ledger_vkey)));
	KMS_TRY(record_text_get_or_none(file, "ledger_vkey_ed25519", platform->ledger_vkey_ed25519,
		sizeof(platform->ledger_vkey_ed25519)));
	if (platform->origin[0] == 0 || platform->ledger_vkey[0] == 0) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(doc_get_object(file, "system_token", &token));
	KMS_TRY(record_token_get(token, &platform->system_token));
	KMS_TRY(doc_end(token));
	KMS_TRY(authority_get(file, &ca, &platform->ca_pem));
	struct authority authority = {ca, {{0}}, kms_now_unix_ms() / 1000};
	KMS_TRY(principals_get(
		file, &authority, &platform->principals, &platform->principal_count));
	return doc_end(file);
}

kms_err record_platform_read(struct kms_bytes json, struct record_platform *ret_platform)
{
	__attribute__((cleanup(record_platform_free))) struct record_platform platform;
	KMS_AUTO(doc) file = NULL;
	memset(&platform, 0, sizeof(platform));
	KMS_TRY(doc_parse(json, RECORD_FILE_MAX, &file));
	KMS_TRY(told(file, platform_read(file, &platform)));
	*ret_platform = platform;
	memset(&platform, 0, sizeof(platform));
	return KMS_OK;
}
