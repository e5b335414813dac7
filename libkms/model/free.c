/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freeing what requests, answers and changes own. Which union member lives follows from the type
 * or operation, by table.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

void model_tenant_free(struct model_tenant *tenant)
{
	free(tenant->ca_pem);
	tenant->ca_pem = NULL;
}

void model_tenant_set_free(struct model_tenant_set *set)
{
	model_tenant_free(&set->tenant);
	free(set->principals);
	free(set->tokens);
	memset(set, 0, sizeof(*set));
}

void model_erasure_free(struct model_erasure *erasure)
{
	kms_buf_free(&erasure->bytes);
	kms_buf_free(&erasure->certificate);
	for (size_t i = 0; erasure->approvals != NULL && i < erasure->approval_count; i++) {
		kms_buf_free(&erasure->approvals[i].spki);
	}
	free(erasure->approvals);
	memset(erasure, 0, sizeof(*erasure));
}

void model_change_free(struct model_change *change)
{
	switch (change->type) {
	case MODEL_CHANGE_LOG_OPEN:
		free(change->u.log_open.principals);
		change->u.log_open.principals = NULL;
		model_tenant_set_free(&change->u.log_open.first);
		break;
	case MODEL_CHANGE_TENANT_ADD:
		model_tenant_set_free(&change->u.tenant_add);
		break;
	case MODEL_CHANGE_KEY_RESULT:
		for (size_t i = 0; i < LIMIT_CUSTODY_TOKENS; i++) {
			kms_buf_free(&change->u.key_result.births[i].statement);
		}
		break;
	case MODEL_CHANGE_USE_STATEMENT:
		kms_buf_free(&change->u.use_statement.statement);
		break;
	case MODEL_CHANGE_ERASE_REQUEST:
		kms_buf_free(&change->u.erase_request.bytes);
		kms_buf_free(&change->u.erase_request.certificate);
		kms_buf_free(&change->u.erase_request.plan);
		break;
	case MODEL_CHANGE_CERT_ISSUE:
		kms_buf_free(&change->u.cert_issue.json);
		break;
	case MODEL_CHANGE_LEASE_RECEIPT:
		kms_buf_free(&change->u.lease_receipt.bytes);
		kms_buf_free(&change->u.lease_receipt.certificate);
		break;
	case MODEL_CHANGE_ERASE_APPROVE:
	case MODEL_CHANGE_ERASE_CANCEL:
		kms_buf_free(&change->u.erase_signed.by.spki);
		break;
	case MODEL_CHANGE_ERASE_RESULT:
	case MODEL_CHANGE_ERASE_WIPE:
		kms_buf_free(&change->u.erase_done.statement);
		kms_buf_free(&change->u.erase_done.absence);
		break;
	case MODEL_CHANGE_ERASE_REFUSED:
		free(change->u.erase_refused.keks);
		break;
	case MODEL_CHANGE_ERASE_INTENT:
	case MODEL_CHANGE_ERASE_FINAL:
	case MODEL_CHANGE_KEY_INTENT:
	case MODEL_CHANGE_KEY_STATE:
	case MODEL_CHANGE_DATASET_ADD:
	case MODEL_CHANGE_TOKEN_BOOT:
	case MODEL_CHANGE_USE_BATCH:
	case MODEL_CHANGE_ALARM:
		break;
	}
	memset(change, 0, sizeof(*change));
}

void model_request_free(struct model_request **request)
{
	struct model_request *it = *request;
	if (it == NULL) {
		return;
	}
	if (it->op == MODEL_OP_SESSION_OPEN) {
		kms_buf_free(&it->u.session_open.flight);
	} else if (model_op_is_use(it->op)) {
		kms_buf_free(&it->u.use.record);
		for (size_t i = 0; it->u.use.items != NULL && i < it->u.use.item_count; i++) {
			free(it->u.use.items[i].context);
			kms_buf_free(&it->u.use.items[i].wrapped);
			kms_secret_free(&it->u.use.items[i].data_key);
		}
		free(it->u.use.items);
	} else if (it->op == MODEL_OP_ERASE_REQUEST) {
		kms_buf_free(&it->u.erase_request.bytes);
		kms_buf_free(&it->u.erase_request.certificate);
	} else if (it->op == MODEL_OP_LEASE_REPORT) {
		kms_buf_free(&it->u.lease_report.receipt);
		kms_buf_free(&it->u.lease_report.certificate);
	} else if (it->op == MODEL_OP_ERASE_APPROVE || it->op == MODEL_OP_ERASE_CANCEL) {
		kms_buf_free(&it->u.erase_sign.spki);
	}
	free(it);
	*request = NULL;
}

static void free_status(struct model_answer *it)
{
	free(it->u.status.tokens);
}

static void free_tenants(struct model_answer *it)
{
	for (size_t i = 0; it->u.tenants.rows != NULL && i < it->u.tenants.count; i++) {
		model_tenant_free(&it->u.tenants.rows[i]);
	}
	free(it->u.tenants.rows);
}

static void free_principals(struct model_answer *it)
{
	free(it->u.principals.rows);
}

static void free_tokens(struct model_answer *it)
{
	free(it->u.tokens.rows);
}

static void free_keys(struct model_answer *it)
{
	free(it->u.keys.rows);
	free(it->u.keys.keks);
}

static void free_datasets(struct model_answer *it)
{
	free(it->u.datasets.rows);
}

static void free_session(struct model_answer *it)
{
	kms_buf_free(&it->u.session_open.flight);
}

static void free_use(struct model_answer *it)
{
	kms_buf_free(&it->u.use.record);
	for (size_t i = 0; it->u.use.items != NULL && i < it->u.use.item_count; i++) {
		kms_buf_free(&it->u.use.items[i].wrapped);
		kms_secret_free(&it->u.use.items[i].data_key);
	}
	free(it->u.use.items);
}

static void free_entries(struct model_answer *it)
{
	for (size_t i = 0; it->u.entries.rows != NULL && i < it->u.entries.count; i++) {
		kms_buf_free(&it->u.entries.rows[i].bytes);
	}
	free(it->u.entries.rows);
}

static void free_head(struct model_answer *it)
{
	kms_buf_free(&it->u.head.checkpoint);
}

static void free_uses(struct model_answer *it)
{
	for (size_t i = 0; it->u.uses.records != NULL && i < it->u.uses.count; i++) {
		kms_buf_free(&it->u.uses.records[i]);
	}
	free(it->u.uses.records);
}

static void free_erase_plan(struct model_answer *it)
{
	kms_buf_free(&it->u.erase_plan.scope);
	kms_buf_free(&it->u.erase_plan.observed);
	kms_buf_free(&it->u.erase_plan.bytes);
}

static void free_erasures(struct model_answer *it)
{
	for (size_t i = 0; it->u.erasures.rows != NULL && i < it->u.erasures.count; i++) {
		model_erasure_free(&it->u.erasures.rows[i]);
	}
	free(it->u.erasures.rows);
	free(it->u.erasures.keks);
	kms_buf_free(&it->u.erasures.scope);
}

static void free_bundle(struct model_answer *it)
{
	for (size_t i = 0; it->u.bundle.files != NULL && i < it->u.bundle.count; i++) {
		kms_buf_free(&it->u.bundle.files[i].bytes);
	}
	free(it->u.bundle.files);
}

static void (*const free_answer[MODEL_OP_COUNT_])(struct model_answer *) = {
	[MODEL_OP_STATUS] = free_status,
	[MODEL_OP_TENANT_LIST] = free_tenants,
	[MODEL_OP_TENANT_SHOW] = free_tenants,
	[MODEL_OP_PRINCIPAL_LIST] = free_principals,
	[MODEL_OP_PRINCIPAL_SHOW] = free_principals,
	[MODEL_OP_TOKEN_LIST] = free_tokens,
	[MODEL_OP_TOKEN_SHOW] = free_tokens,
	[MODEL_OP_KEY_CREATE] = free_keys,
	[MODEL_OP_KEY_LIST] = free_keys,
	[MODEL_OP_KEY_SHOW] = free_keys,
	[MODEL_OP_KEY_ROTATE] = free_keys,
	[MODEL_OP_KEY_SUSPEND] = free_keys,
	[MODEL_OP_KEY_RESUME] = free_keys,
	[MODEL_OP_KEY_DEACTIVATE] = free_keys,
	[MODEL_OP_KEY_HISTORY] = free_entries,
	[MODEL_OP_DATASET_ADD] = free_datasets,
	[MODEL_OP_DATASET_LIST] = free_datasets,
	[MODEL_OP_DATASET_SHOW] = free_datasets,
	[MODEL_OP_SESSION_OPEN] = free_session,
	[MODEL_OP_DATAKEY] = free_use,
	[MODEL_OP_WRAP] = free_use,
	[MODEL_OP_UNWRAP] = free_use,
	[MODEL_OP_REWRAP] = free_use,
	[MODEL_OP_LEDGER_HEAD] = free_head,
	[MODEL_OP_LEDGER_ENTRIES] = free_entries,
	[MODEL_OP_LEDGER_USES] = free_uses,
	[MODEL_OP_ERASE_PLAN] = free_erase_plan,
	[MODEL_OP_ERASE_REQUEST] = free_erasures,
	[MODEL_OP_ERASE_LIST] = free_erasures,
	[MODEL_OP_ERASE_SHOW] = free_erasures,
	[MODEL_OP_ERASE_APPROVE] = free_erasures,
	[MODEL_OP_ERASE_CANCEL] = free_erasures,
	[MODEL_OP_ERASE_EXECUTE] = free_erasures,
	[MODEL_OP_ERASE_CERTIFICATE] = free_bundle,
};

void model_answer_free(struct model_answer **answer)
{
	struct model_answer *it = *answer;
	if (it == NULL) {
		return;
	}
	if ((size_t)it->op < MODEL_OP_COUNT_ && free_answer[it->op] != NULL) {
		free_answer[it->op](it);
	}
	free(it);
	*answer = NULL;
}
