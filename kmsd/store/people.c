/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: reading tenants, principals and tokens, by id or in the order of ids. Runs in kmsd.
 */
#include <stdlib.h>
#include <string.h>

#include "store_int.h"

static uint32_t page(uint32_t limit)
{
	return limit < LIMIT_LIST_PAGE ? limit : LIMIT_LIST_PAGE;
}

/* ---- tenants ---- */

#define TENANT                                                                                     \
	"SELECT tenant.id, tenant.ca_pem, label.text, label.salt FROM tenant"                      \
	" LEFT JOIN label ON label.kind = 1 AND label.id = tenant.id"

static kms_err read_tenant(struct store_query *query, void *ret_row)
{
	struct model_tenant *tenant = ret_row;
	store_column_id(query, 0, &tenant->id);
	store_column_label(query, 2, &tenant->label);
	KMS_TRY(store_query_checked(query));
	return kms_text(&tenant->ca_pem, "%s", (const char *)sqlite3_column_text(query->stmt, 1));
}

static void clear_tenant(void *row)
{
	model_tenant_free(row);
}

kms_err store_tenant_get(
	struct store *store, const struct kms_id *id, struct model_tenant *ret_tenant)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, TENANT " WHERE tenant.id = :id", &query));
	store_query_id(&query, ":id", id);
	KMS_TRY(store_query_one(&query));
	struct model_tenant tenant = {0};
	KMS_TRY(read_tenant(&query, &tenant));
	*ret_tenant = tenant;
	return KMS_OK;
}

kms_err store_tenant_list(struct store *store, const struct kms_id *after, uint32_t limit,
	struct model_tenant **ret_rows, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(
		store, TENANT " WHERE tenant.id > :after ORDER BY tenant.id LIMIT :limit", &query));
	store_query_id(&query, ":after", after);
	store_query_int(&query, ":limit", page(limit));
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_tenant), read_tenant, clear_tenant, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

/* ---- principals ---- */

#define PRINCIPAL                                                                                  \
	"SELECT principal.id, principal.tenant, principal.role, principal.spki,"                   \
	" principal.expires_unix_s, label.text, label.salt FROM principal"                         \
	" LEFT JOIN label ON label.kind = 2 AND label.id = principal.id"

static kms_err read_principal(struct store_query *query, void *ret_row)
{
	struct model_principal *principal = ret_row;
	store_column_id(query, 0, &principal->id);
	store_column_id(query, 1, &principal->tenant);
	principal->role = (enum model_role)store_column_uint(query, 2);
	store_column_hash(query, 3, &principal->spki);
	principal->expires_unix_s = store_column_int(query, 4);
	store_column_label(query, 5, &principal->label);
	return store_query_checked(query);
}

static kms_err one_principal(struct store_query *query, struct model_principal *ret_principal)
{
	struct model_principal principal = {0};
	KMS_TRY(store_query_one(query));
	KMS_TRY(read_principal(query, &principal));
	*ret_principal = principal;
	return KMS_OK;
}

kms_err store_principal_get(
	struct store *store, const struct kms_id *id, struct model_principal *ret_principal)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, PRINCIPAL " WHERE principal.id = :id", &query));
	store_query_id(&query, ":id", id);
	return one_principal(&query, ret_principal);
}

kms_err store_principal_by_spki(
	struct store *store, const struct kms_hash *spki, struct model_principal *ret_principal)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_read(store, PRINCIPAL " WHERE principal.spki = :spki", &query));
	store_query_hash(&query, ":spki", spki);
	return one_principal(&query, ret_principal);
}

kms_err store_principal_list(struct store *store, const struct kms_id *tenant,
	const struct kms_id *after, uint32_t limit, struct model_principal **ret_rows,
	size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	KMS_TRY(store_query_read(store,
		PRINCIPAL " WHERE principal.tenant IS :tenant AND principal.id > :after"
			  " ORDER BY principal.id LIMIT :limit",
		&query));
	store_query_id_or_null(&query, ":tenant", tenant);
	store_query_id(&query, ":after", after);
	store_query_int(&query, ":limit", page(limit));
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_principal), read_principal, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}

/* ---- tokens ---- */

#define TOKEN                                                                                      \
	"SELECT id, tenant, class, manufacturer, model, serial, firmware, certificate_no,"         \
	" organisation, site, country, session_spki, statement_vkey FROM token"

static kms_err read_token(struct store_query *query, void *ret_row)
{
	struct model_token *token = ret_row;
	store_column_id(query, 0, &token->id);
	store_column_id(query, 1, &token->tenant);
	token->class = (enum model_class)store_column_uint(query, 2);
	store_column_text(query, 3, token->manufacturer, sizeof(token->manufacturer));
	store_column_text(query, 4, token->model, sizeof(token->model));
	store_column_text(query, 5, token->serial, sizeof(token->serial));
	store_column_text(query, 6, token->firmware, sizeof(token->firmware));
	store_column_text(query, 7, token->certificate_no, sizeof(token->certificate_no));
	store_column_text(query, 8, token->organisation, sizeof(token->organisation));
	store_column_text(query, 9, token->site, sizeof(token->site));
	store_column_text(query, 10, token->country, sizeof(token->country));
	store_column_hash(query, 11, &token->session_spki);
	store_column_text(query, 12, token->statement_vkey, sizeof(token->statement_vkey));
	return store_query_checked(query);
}

kms_err store_token_get(struct store *store, const struct kms_id *id, struct model_token *ret_token)
{
	STORE_AUTO_QUERY query = {0};
	struct model_token token = {0};
	KMS_TRY(store_query_read(store, TOKEN " WHERE id = :id", &query));
	store_query_id(&query, ":id", id);
	KMS_TRY(store_query_one(&query));
	KMS_TRY(read_token(&query, &token));
	*ret_token = token;
	return KMS_OK;
}

kms_err store_token_list(struct store *store, const struct kms_id *tenant,
	struct model_token **ret_rows, size_t *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	void *rows = NULL;
	static const struct kms_id none = {{0}};
	KMS_TRY(store_query_read(
		store, TOKEN " WHERE (tenant IS :tenant OR :every) ORDER BY id", &query));
	store_query_id_or_null(&query, ":tenant", tenant != NULL ? tenant : &none);
	store_query_int(&query, ":every", tenant == NULL);
	KMS_TRY(store_query_list(
		&query, sizeof(struct model_token), read_token, NULL, &rows, ret_count));
	*ret_rows = rows;
	return KMS_OK;
}
