/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Management: typed parameters to a request, the body of kmsd's answer back as it came. Runs in the
 * command line and in operators' tools. Who may do what is kmsd's to say, not checked here.
 */
#include "client_int.h"

#include <stdlib.h>
#include <string.h>

/* The answer's body as text. */
kms_err admin_call(struct kms_client *client, const struct model_request *request, char **ret_json)
{
	HTTP_AUTO_ANSWER answer = {0};
	client_problem_set(client, "%s", "");
	KMS_TRY(client_ask(client, request, NULL, &answer));
	struct kms_bytes body = http_answer_body(&answer);
	if (body.len == 0 || memchr(body.ptr, '\0', body.len) != NULL) {
		return KMS_ERR(FORMAT);
	}
	return kms_text(ret_json, "%.*s", (int)body.len, (const char *)body.ptr);
}

kms_err admin_id(const char *text, struct kms_id *ret_id)
{
	return text != NULL && kms_is_ok(kms_id_parse(text, ret_id)) ? KMS_OK : KMS_ERR(ARGUMENT);
}

static kms_err copy_text(const char *from, size_t max, char *ret_text)
{
	if (from == NULL) {
		return KMS_OK;
	}
	KMS_TRY(model_text_check(from, max));
	memcpy(ret_text, from, strlen(from) + 1);
	return KMS_OK;
}

/* ---- by operation alone, by id, by page ---- */

kms_err admin_call_id(struct kms_client *client, enum model_op op, const char *id, char **ret_json)
{
	struct model_request request = {.op = op};
	KMS_TRY(admin_id(id, &request.u.id));
	return admin_call(client, &request, ret_json);
}

kms_err admin_call_page(
	struct kms_client *client, enum model_op op, const struct kms_page *page, char **ret_json)
{
	struct model_request request = {.op = op};
	if (page != NULL) {
		request.u.list.limit = page->limit;
		if (page->after != NULL) {
			KMS_TRY(admin_id(page->after, &request.u.list.after));
		}
	}
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_status(struct kms_client *client, char **ret_json)
{
	const struct model_request request = {.op = MODEL_OP_STATUS};
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_tenant_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json)
{
	return admin_call_page(client, MODEL_OP_TENANT_LIST, page, ret_json);
}

kms_err kms_admin_tenant_show(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_TENANT_SHOW, id, ret_json);
}

kms_err kms_admin_principal_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json)
{
	return admin_call_page(client, MODEL_OP_PRINCIPAL_LIST, page, ret_json);
}

kms_err kms_admin_principal_show(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_PRINCIPAL_SHOW, id, ret_json);
}

kms_err kms_admin_token_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json)
{
	return admin_call_page(client, MODEL_OP_TOKEN_LIST, page, ret_json);
}

kms_err kms_admin_token_show(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_TOKEN_SHOW, id, ret_json);
}

/* ---- keys ---- */

kms_err kms_admin_key_create(
	struct kms_client *client, const struct kms_key_create *create, char **ret_json)
{
	struct model_request request = {.op = MODEL_OP_KEY_CREATE};
	if (create == NULL || create->label == NULL || create->token_ids == NULL ||
		create->token_count == 0 || create->custody < KMS_CUSTODY_ANY ||
		create->custody > KMS_CUSTODY_ALL || create->delivery < KMS_DELIVERY_SEALED ||
		create->delivery > KMS_DELIVERY_CLEAR) {
		return KMS_ERR(ARGUMENT);
	}
	if (create->token_count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(copy_text(create->label, LIMIT_LABEL, request.u.key_create.label));
	request.u.key_create.custody =
		create->custody == KMS_CUSTODY_ANY ? MODEL_CUSTODY_ANY : MODEL_CUSTODY_ALL;
	request.u.key_create.delivery = create->delivery == KMS_DELIVERY_SEALED
						? MODEL_DELIVERY_SEALED
						: MODEL_DELIVERY_CLEAR;
	request.u.key_create.token_count = (uint32_t)create->token_count;
	for (size_t i = 0; i < create->token_count; i++) {
		KMS_TRY(admin_id(create->token_ids[i], &request.u.key_create.tokens[i]));
	}
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_key_list(struct kms_client *client, const struct kms_page *page, char **ret_json)
{
	return admin_call_page(client, MODEL_OP_KEY_LIST, page, ret_json);
}

kms_err kms_admin_key_show(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_KEY_SHOW, id, ret_json);
}

kms_err kms_admin_key_rotate(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_KEY_ROTATE, id, ret_json);
}

kms_err kms_admin_key_suspend(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_KEY_SUSPEND, id, ret_json);
}

kms_err kms_admin_key_resume(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_KEY_RESUME, id, ret_json);
}

kms_err kms_admin_key_deactivate(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_KEY_DEACTIVATE, id, ret_json);
}

kms_err kms_admin_key_history(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_KEY_HISTORY, id, ret_json);
}

/* ---- datasets ---- */

kms_err kms_admin_dataset_add(
	struct kms_client *client, const struct kms_dataset_add *add, char **ret_json)
{
	struct model_request request = {.op = MODEL_OP_DATASET_ADD};
	struct model_dataset *dataset = &request.u.dataset_add;
	if (add == NULL || add->label == NULL || add->medium == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(admin_id(add->key_id, &dataset->key));
	KMS_TRY(copy_text(add->label, LIMIT_LABEL, dataset->label.text));
	KMS_TRY(copy_text(add->medium, LIMIT_PLACE, dataset->medium));
	KMS_TRY(copy_text(add->serial, LIMIT_PLACE, dataset->serial));
	KMS_TRY(copy_text(add->site, LIMIT_PLACE, dataset->site));
	KMS_TRY(copy_text(add->country, sizeof(dataset->country) - 1, dataset->country));
	dataset->first_write_unix_s = add->first_write_unix_s;
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_dataset_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json)
{
	return admin_call_page(client, MODEL_OP_DATASET_LIST, page, ret_json);
}

kms_err kms_admin_dataset_show(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_DATASET_SHOW, id, ret_json);
}

/* ---- ledger ---- */

kms_err kms_admin_ledger_head(struct kms_client *client, char **ret_json)
{
	const struct model_request request = {.op = MODEL_OP_LEDGER_HEAD};
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_ledger_entries(
	struct kms_client *client, uint64_t from, uint32_t limit, char **ret_json)
{
	struct model_request request = {.op = MODEL_OP_LEDGER_ENTRIES};
	request.u.entries.from = from;
	request.u.entries.limit = limit;
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_ledger_uses(struct kms_client *client, uint64_t batch, char **ret_json)
{
	struct model_request request = {.op = MODEL_OP_LEDGER_USES};
	request.u.use_batch = batch;
	return admin_call(client, &request, ret_json);
}
