/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes, and for each operation how its URL and bodies are written and read. Runs in kmsd and
 * in libkms. An operation without a row cannot be asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "wire_int.h"

const struct wire_route wire_routes[] = {
	{MODEL_OP_STATUS, "GET", "/v1/status"},
	{MODEL_OP_TENANT_LIST, "GET", "/v1/tenants"},
	{MODEL_OP_TENANT_SHOW, "GET", "/v1/tenants/{id}"},
	{MODEL_OP_PRINCIPAL_LIST, "GET", "/v1/principals"},
	{MODEL_OP_PRINCIPAL_SHOW, "GET", "/v1/principals/{id}"},
	{MODEL_OP_TOKEN_LIST, "GET", "/v1/tokens"},
	{MODEL_OP_TOKEN_SHOW, "GET", "/v1/tokens/{id}"},
	{MODEL_OP_KEY_CREATE, "POST", "/v1/keys"},
	{MODEL_OP_KEY_LIST, "GET", "/v1/keys"},
	{MODEL_OP_KEY_SHOW, "GET", "/v1/keys/{id}"},
	{MODEL_OP_KEY_ROTATE, "POST", "/v1/keys/{id}/rotate"},
	{MODEL_OP_KEY_SUSPEND, "POST", "/v1/keys/{id}/suspend"},
	{MODEL_OP_KEY_RESUME, "POST", "/v1/keys/{id}/resume"},
	{MODEL_OP_KEY_DEACTIVATE, "POST", "/v1/keys/{id}/deactivate"},
	{MODEL_OP_KEY_HISTORY, "GET", "/v1/keys/{id}/history"},
	{MODEL_OP_DATASET_ADD, "POST", "/v1/datasets"},
	{MODEL_OP_DATASET_LIST, "GET", "/v1/datasets"},
	{MODEL_OP_DATASET_SHOW, "GET", "/v1/datasets/{id}"},
	{MODEL_OP_SESSION_OPEN, "POST", "/v1/sessions"},
	{MODEL_OP_DATAKEY, "POST", "/v1/keys/{id}/datakey"},
	{MODEL_OP_WRAP, "POST", "/v1/keys/{id}/wrap"},
	{MODEL_OP_UNWRAP, "POST", "/v1/keys/{id}/unwrap"},
	{MODEL_OP_REWRAP, "POST", "/v1/keys/{id}/rewrap"},
	{MODEL_OP_LEASE_REPORT, "POST", "/v1/leases"},
	{MODEL_OP_LEDGER_HEAD, "GET", "/v1/ledger/head"},
	{MODEL_OP_LEDGER_ENTRIES, "GET", "/v1/ledger/entries"},
	{MODEL_OP_LEDGER_USES, "GET", "/v1/ledger/uses/{id}"},
	{MODEL_OP_ERASE_PLAN, "POST", "/v1/erasures/plan"},
	{MODEL_OP_ERASE_REQUEST, "POST", "/v1/erasures"},
	{MODEL_OP_ERASE_LIST, "GET", "/v1/erasures"},
	{MODEL_OP_ERASE_SHOW, "GET", "/v1/erasures/{id}"},
	{MODEL_OP_ERASE_APPROVE, "POST", "/v1/erasures/{id}/approve"},
	{MODEL_OP_ERASE_CANCEL, "POST", "/v1/erasures/{id}/cancel"},
	{MODEL_OP_ERASE_EXECUTE, "POST", "/v1/erasures/{id}/execute"},
	{MODEL_OP_ERASE_CERTIFICATE, "GET", "/v1/erasures/{id}/certificate"},
	{0, NULL, NULL},
};

struct row {
	enum wire_url url;
	/* Both NULL: a request without a body. */
	void (*request_set)(struct doc *body, const struct model_request *request);
	kms_err (*request_get)(struct doc *body, struct model_request *request);
	void (*answer_set)(struct doc *body, const struct model_answer *answer);
	kms_err (*answer_get)(struct doc *body, struct model_answer *answer);
};
#define ANSWER(noun) wire_##noun##_answer_set, wire_##noun##_answer_get
#define USE                                                                                        \
	{                                                                                          \
		WIRE_URL_KEY, wire_sealed_set, wire_use_get, wire_sealed_answer_set,               \
			wire_use_answer_get                                                        \
	}
#define SIGN                                                                                       \
	{                                                                                          \
		WIRE_URL_ERASURE, wire_erase_sign_set, wire_erase_sign_get, ANSWER(erasure)        \
	}

static const struct row rows[MODEL_OP_COUNT_] = {
	[MODEL_OP_STATUS] = {WIRE_URL_NONE, NULL, NULL, ANSWER(status)},
	[MODEL_OP_TENANT_LIST] = {WIRE_URL_PAGE, NULL, NULL, ANSWER(tenants)},
	[MODEL_OP_TENANT_SHOW] = {WIRE_URL_ID, NULL, NULL, ANSWER(tenants)},
	[MODEL_OP_PRINCIPAL_LIST] = {WIRE_URL_PAGE, NULL, NULL, ANSWER(principals)},
	[MODEL_OP_PRINCIPAL_SHOW] = {WIRE_URL_ID, NULL, NULL, ANSWER(principals)},
	[MODEL_OP_TOKEN_LIST] = {WIRE_URL_PAGE, NULL, NULL, ANSWER(tokens)},
	[MODEL_OP_TOKEN_SHOW] = {WIRE_URL_ID, NULL, NULL, ANSWER(tokens)},
	[MODEL_OP_KEY_CREATE] = {WIRE_URL_NONE, wire_key_create_set, wire_key_create_get,
		ANSWER(keys)},
	[MODEL_OP_KEY_LIST] = {WIRE_URL_PAGE, NULL, NULL, ANSWER(keys)},
	[MODEL_OP_KEY_SHOW] = {WIRE_URL_ID, NULL, NULL, ANSWER(keys)},
	[MODEL_OP_KEY_ROTATE] = {WIRE_URL_ID, NULL, NULL, ANSWER(keys)},
	[MODEL_OP_KEY_SUSPEND] = {WIRE_URL_ID, NULL, NULL, ANSWER(keys)},
	[MODEL_OP_KEY_RESUME] = {WIRE_URL_ID, NULL, NULL, ANSWER(keys)},
	[MODEL_OP_KEY_DEACTIVATE] = {WIRE_URL_ID, NULL, NULL, ANSWER(keys)},
	[MODEL_OP_KEY_HISTORY] = {WIRE_URL_ID, NULL, NULL, ANSWER(entries)},
	[MODEL_OP_DATASET_ADD] = {WIRE_URL_NONE, wire_dataset_add_set, wire_dataset_add_get,
		ANSWER(datasets)},
	[MODEL_OP_DATASET_LIST] = {WIRE_URL_PAGE, NULL, NULL, ANSWER(datasets)},
	[MODEL_OP_DATASET_SHOW] = {WIRE_URL_ID, NULL, NULL, ANSWER(datasets)},
	[MODEL_OP_SESSION_OPEN] = {WIRE_URL_NONE, wire_session_set, wire_session_get,
		ANSWER(session)},
	[MODEL_OP_DATAKEY] = USE,
	[MODEL_OP_WRAP] = USE,
	[MODEL_OP_UNWRAP] = USE,
	[MODEL_OP_REWRAP] = USE,
	[MODEL_OP_LEASE_REPORT] = {WIRE_URL_NONE, wire_lease_report_set, wire_lease_report_get,
		ANSWER(lease)},
	[MODEL_OP_LEDGER_HEAD] = {WIRE_URL_NONE, NULL, NULL, ANSWER(head)},
	[MODEL_OP_LEDGER_ENTRIES] = {WIRE_URL_RANGE, NULL, NULL, ANSWER(entries)},
	[MODEL_OP_LEDGER_USES] = {WIRE_URL_BATCH, NULL, NULL, ANSWER(uses)},
	[MODEL_OP_ERASE_PLAN] = {WIRE_URL_NONE, wire_erase_plan_set, wire_erase_plan_get,
		ANSWER(plan)},
	[MODEL_OP_ERASE_REQUEST] = {WIRE_URL_NONE, wire_erase_request_set, wire_erase_request_get,
		ANSWER(erasure)},
	[MODEL_OP_ERASE_LIST] = {WIRE_URL_PAGE, NULL, NULL, ANSWER(erasures)},
	[MODEL_OP_ERASE_SHOW] = {WIRE_URL_ID, NULL, NULL, ANSWER(erasure)},
	[MODEL_OP_ERASE_APPROVE] = SIGN,
	[MODEL_OP_ERASE_CANCEL] = SIGN,
	[MODEL_OP_ERASE_EXECUTE] = {WIRE_URL_ID, NULL, NULL, ANSWER(erasure)},
	[MODEL_OP_ERASE_CERTIFICATE] = {WIRE_URL_ID, NULL, NULL, ANSWER(bundle)},
};

static const struct row *row_of(enum model_op op)
{
	size_t i = (size_t)op;
	return i < MODEL_OP_COUNT_ && rows[i].answer_set != NULL ? &rows[i] : NULL;
}

const struct wire_route *wire_route_of(enum model_op op)
{
	for (const struct wire_route *route = wire_routes; route->path != NULL; route++) {
		if (route->op == op) {
			return route;
		}
	}
	return NULL;
}

struct kms_bytes wire_body_bytes(const struct wire_body *body)
{
	return body->secret != NULL ? kms_secret_bytes(body->secret) : kms_buf_bytes(&body->plain);
}

void wire_body_free(struct wire_body *body)
{
	kms_buf_free(&body->plain);
	kms_secret_free(&body->secret);
}

static kms_err write_request_body(
	const struct row *row, const struct model_request *request, struct wire_body *body)
{
	if (row->request_set == NULL) {
		return KMS_OK;
	}
	if (model_op_is_use(request->op) && !request->u.use.sealed) {
		return wire_clear_request_write(request, &body->secret);
	}
	KMS_AUTO(doc) doc = NULL;
	KMS_TRY(doc_new_object(&doc));
	row->request_set(doc, request);
	return doc_write(doc, &body->plain);
}

kms_err wire_request_write(
	const struct model_request *request, char **ret_target, struct wire_body *ret_body)
{
	const struct row *row = row_of(request->op);
	if (row == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO_FREE char *target = NULL;
	struct wire_body body = {0};
	KMS_TRY(wire_url_write(row->url, wire_route_of(request->op)->path, request, &target));
	KMS_TRY(write_request_body(row, request, &body));
	*ret_target = kms_take(&target);
	*ret_body = body;
	return KMS_OK;
}

kms_err wire_request_read(enum model_op op, const char *id, const struct wire_query *query,
	size_t query_count, struct kms_bytes body, struct model_request **ret_request)
{
	const struct row *row = row_of(op);
	if (row == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO(model_request) request = calloc(1, sizeof(*request));
	if (request == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	request->op = op;
	KMS_TRY(wire_url_read(row->url, id, query, query_count, request));
	if (row->request_get == NULL) {
		KMS_TRY(body.len == 0 ? KMS_OK : KMS_ERR(FORMAT));
	} else {
		KMS_AUTO(doc) doc = NULL;
		KMS_TRY(doc_parse(body, LIMIT_HTTP_BODY, &doc));
		KMS_TRY(row->request_get(doc, request));
	}
	*ret_request = kms_take(&request);
	return KMS_OK;
}

kms_err wire_answer_write(const struct model_answer *answer, struct wire_body *ret_body)
{
	const struct row *row = row_of(answer->op);
	if (row == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	struct wire_body body = {0};
	if (model_op_is_use(answer->op) && answer->u.use.item_count > 0) {
		KMS_TRY(wire_clear_answer_write(answer, &body.secret));
	} else {
		KMS_AUTO(doc) doc = NULL;
		KMS_TRY(doc_new_object(&doc));
		row->answer_set(doc, answer);
		KMS_TRY(doc_write(doc, &body.plain));
	}
	*ret_body = body;
	return KMS_OK;
}

kms_err wire_answer_read(enum model_op op, struct kms_bytes body, struct model_answer **ret_answer)
{
	const struct row *row = row_of(op);
	if (row == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO(model_answer) answer = calloc(1, sizeof(*answer));
	KMS_AUTO(doc) doc = NULL;
	if (answer == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->op = op;
	KMS_TRY(doc_parse(body, LIMIT_HTTP_ANSWER, &doc));
	KMS_TRY(row->answer_get(doc, answer));
	*ret_answer = kms_take(&answer);
	return KMS_OK;
}
