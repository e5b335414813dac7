/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and shows: what a principal may see of its own tenant. They change nothing. */
#include "service_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t page(uint32_t asked, uint32_t most)
{
	return asked == 0 || asked > most ? most : asked;
}

/* One row on the heap, for the shows. */
static kms_err one_row(const void *row, size_t bytes, void **ret_rows)
{
	void *copy = malloc(bytes);
	if (copy == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	memcpy(copy, row, bytes);
	*ret_rows = copy;
	return KMS_OK;
}

static void fill_status(
	struct service *service, const struct model_token *token, struct model_token_status *status)
{
	struct token *link;
	struct token_state state;
	*status = (struct model_token_status){.token = *token};
	if (kms_is_ok(token_find(service->parts.tokens, &token->id, &link))) {
		token_state_get(link, &state);
		status->up = state.up;
		status->boot = state.hello.boot;
		status->since_unix_ms = state.since_unix_ms;
	}
}

/* The operator keeps every token's link; others see their tenant's tokens. */
static kms_err list_tokens(struct service *service, const struct service_ask *ask,
	struct model_token_status **ret_rows, size_t *ret_count)
{
	bool every = ask->who->role == MODEL_ROLE_OPERATOR;
	struct model_token *tokens KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(store_token_list(
		service->parts.store, every ? NULL : &ask->who->tenant, &tokens, &count));
	struct model_token_status *rows = calloc(count + 1, sizeof(*rows));
	if (rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		fill_status(service, &tokens[i], &rows[i]);
	}
	*ret_rows = rows;
	*ret_count = count;
	return KMS_OK;
}

kms_err lists_status(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	KMS_AUTO_BUF checkpoint = {0};
	(void)snprintf(answer->u.status.version, sizeof(answer->u.status.version), "%s",
		service->parts.version);
	KMS_TRY(ledger_head(service->parts.ledger, &answer->u.status.size,
		&answer->u.status.signed_size, &checkpoint));
	return list_tokens(service, ask, &answer->u.status.tokens, &answer->u.status.token_count);
}

kms_err lists_tenants(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	/* A principal sees its own tenant and no other, in the list as well. */
	struct model_tenant tenant;
	void *row;
	if (kms_id_is_zero(&ask->who->tenant)) {
		return KMS_OK;
	}
	KMS_TRY(store_tenant_get(service->parts.store, &ask->who->tenant, &tenant));
	kms_err err = one_row(&tenant, sizeof(tenant), &row);
	if (!kms_is_ok(err)) {
		model_tenant_free(&tenant);
		return err;
	}
	answer->u.tenants.rows = row;
	answer->u.tenants.count = 1;
	return KMS_OK;
}

kms_err lists_principals(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct model_request *request = ask->request;
	if (request->op == MODEL_OP_PRINCIPAL_LIST) {
		return store_principal_list(service->parts.store, &ask->who->tenant,
			&request->u.list.after, page(request->u.list.limit, LIMIT_LIST_PAGE),
			&answer->u.principals.rows, &answer->u.principals.count);
	}
	struct model_principal principal;
	void *row;
	KMS_TRY(store_principal_get(service->parts.store, &request->u.id, &principal));
	KMS_TRY(one_row(&principal, sizeof(principal), &row));
	answer->u.principals.rows = row;
	answer->u.principals.count = 1;
	return KMS_OK;
}

kms_err lists_tokens(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct model_request *request = ask->request;
	if (request->op == MODEL_OP_TOKEN_LIST) {
		return list_tokens(service, ask, &answer->u.tokens.rows, &answer->u.tokens.count);
	}
	struct model_token token;
	KMS_TRY(store_token_get(service->parts.store, &request->u.id, &token));
	answer->u.tokens.rows = calloc(1, sizeof(*answer->u.tokens.rows));
	if (answer->u.tokens.rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->u.tokens.count = 1;
	fill_status(service, &token, answer->u.tokens.rows);
	return KMS_OK;
}

kms_err lists_answer_key(
	struct service *service, const struct kms_id *id, struct model_answer *answer)
{
	struct model_key key;
	void *row;
	KMS_TRY(store_key_get(service->parts.store, id, &key));
	KMS_TRY(one_row(&key, sizeof(key), &row));
	answer->u.keys.rows = row;
	answer->u.keys.count = 1;
	return store_kek_list(
		service->parts.store, id, &answer->u.keys.keks, &answer->u.keys.kek_count);
}

kms_err lists_keys(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct model_request *request = ask->request;
	if (request->op == MODEL_OP_KEY_SHOW) {
		return lists_answer_key(service, &request->u.id, answer);
	}
	return store_key_list(service->parts.store, &ask->who->tenant, &request->u.list.after,
		page(request->u.list.limit, LIMIT_LIST_PAGE), &answer->u.keys.rows,
		&answer->u.keys.count);
}

kms_err lists_datasets(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct model_request *request = ask->request;
	if (request->op == MODEL_OP_DATASET_LIST) {
		return store_dataset_list(service->parts.store, &ask->who->tenant,
			&request->u.list.after, page(request->u.list.limit, LIMIT_LIST_PAGE),
			&answer->u.datasets.rows, &answer->u.datasets.count);
	}
	struct model_dataset dataset;
	void *row;
	KMS_TRY(store_dataset_get(service->parts.store, &request->u.id, &dataset));
	KMS_TRY(one_row(&dataset, sizeof(dataset), &row));
	answer->u.datasets.rows = row;
	answer->u.datasets.count = 1;
	return KMS_OK;
}

static kms_err fill_size(struct service *service, struct model_answer *answer)
{
	uint64_t signed_size;
	KMS_AUTO_BUF checkpoint = {0};
	return ledger_head(
		service->parts.ledger, &answer->u.entries.size, &signed_size, &checkpoint);
}

kms_err lists_entries(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct model_request *request = ask->request;
	KMS_TRY(fill_size(service, answer));
	return store_entries_get(service->parts.store, &ask->who->tenant, request->u.entries.from,
		page(request->u.entries.limit, LIMIT_ENTRIES_PAGE), &answer->u.entries.rows,
		&answer->u.entries.count);
}

kms_err lists_uses(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	return store_uses_get(service->parts.store, &ask->who->tenant, ask->request->u.use_batch,
		&answer->u.uses.records, &answer->u.uses.count);
}

kms_err lists_head(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	uint64_t signed_size;
	(void)ask;
	return ledger_head(service->parts.ledger, &answer->u.head.size, &signed_size,
		&answer->u.head.checkpoint);
}
