/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Management: erasures. Runs in the command line and in operators' tools. Nothing is signed here:
 * signatures come from whoever holds the key, over the bytes that they looked at.
 */
#include "client_int.h"

#include <string.h>

static kms_err take_target(const struct kms_erase_plan *plan, struct model_erase_target *target)
{
	static const enum model_erase_scope scopes[] = {
		[KMS_ERASE_VERSIONS] = MODEL_ERASE_VERSIONS,
		[KMS_ERASE_KEY] = MODEL_ERASE_KEY,
		[KMS_ERASE_DATASET] = MODEL_ERASE_DATASET,
		[KMS_ERASE_TENANT] = MODEL_ERASE_TENANT,
	};
	bool by_version = plan->scope == KMS_ERASE_VERSIONS;
	if (plan->scope < KMS_ERASE_VERSIONS || plan->scope > KMS_ERASE_TENANT ||
		by_version != (plan->version_count > 0) || (by_version && plan->versions == NULL) ||
		(plan->wipe != 0 && plan->scope != KMS_ERASE_TENANT)) {
		return KMS_ERR(ARGUMENT);
	}
	if (plan->version_count > LIMIT_ERASE_VERSIONS) {
		return KMS_ERR(TOO_LARGE);
	}
	target->scope = scopes[plan->scope];
	target->wipe = plan->wipe != 0;
	target->version_count = (uint32_t)plan->version_count;
	for (size_t i = 0; i < plan->version_count; i++) {
		target->versions[i] = plan->versions[i];
	}
	return admin_id(plan->subject, &target->subject);
}

kms_err kms_admin_erase_plan(
	struct kms_client *client, const struct kms_erase_plan *plan, char **ret_json)
{
	struct model_request request = {.op = MODEL_OP_ERASE_PLAN};
	if (plan == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(take_target(plan, &request.u.erase_plan.target));
	request.u.erase_plan.window_s = plan->window_s;
	request.u.erase_plan.valid_s = plan->valid_s;
	return admin_call(client, &request, ret_json);
}

/* Bytes that the request only borrows: it is written, never freed. */
static struct kms_buf lend(const uint8_t *ptr, size_t len)
{
	return (struct kms_buf){(uint8_t *)(uintptr_t)ptr, len};
}

kms_err kms_admin_erase_request(struct kms_client *client, const uint8_t *bytes, size_t len,
	const uint8_t *certificate, size_t certificate_len, const uint8_t *signature,
	char **ret_json)
{
	struct model_request request = {.op = MODEL_OP_ERASE_REQUEST};
	if (bytes == NULL || certificate == NULL || signature == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	if (len > LIMIT_ERASE_BYTES || certificate_len > LIMIT_CERT_PEM) {
		return KMS_ERR(TOO_LARGE);
	}
	request.u.erase_request.bytes = lend(bytes, len);
	request.u.erase_request.certificate = lend(certificate, certificate_len);
	memcpy(request.u.erase_request.signature, signature, MODEL_SIGNATURE);
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_erase_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json)
{
	return admin_call_page(client, MODEL_OP_ERASE_LIST, page, ret_json);
}

kms_err kms_admin_erase_show(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_ERASE_SHOW, id, ret_json);
}

kms_err kms_admin_erase_sign(struct kms_client *client, const char *id, int cancel,
	const uint8_t *spki, size_t spki_len, const uint8_t *signature, char **ret_json)
{
	struct model_request request = {
		.op = cancel != 0 ? MODEL_OP_ERASE_CANCEL : MODEL_OP_ERASE_APPROVE};
	if (spki == NULL || signature == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(admin_id(id, &request.u.erase_sign.id));
	request.u.erase_sign.spki = lend(spki, spki_len);
	memcpy(request.u.erase_sign.signature, signature, MODEL_SIGNATURE);
	return admin_call(client, &request, ret_json);
}

kms_err kms_admin_erase_execute(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_ERASE_EXECUTE, id, ret_json);
}

kms_err kms_admin_erase_certificate(struct kms_client *client, const char *id, char **ret_json)
{
	return admin_call_id(client, MODEL_OP_ERASE_CERTIFICATE, id, ret_json);
}
