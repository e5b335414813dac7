/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit that kmsd is held against: kmsd's own listener (TLS, HTTP, JSON, limits for each peer)
 * with a double behind it that answers every use of a key with the same bytes: no store, policy,
 * token or ledger. Prints its port, and serves until standard input ends.
 *
 *	bench-constant CERTIFICATE KEY TRUST-PEM CLIENT-CA
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "service.h"

enum { PEM_MAX = 64 * 1024, RECORD_BYTES = 64, RECORD_ITEM_BYTES = 48 };

struct service {
	char *client_ca; /* of whoever asks */
};

kms_err service_principal(
	struct service *service, const struct kms_hash *spki, struct model_principal *ret_principal)
{
	(void)service;
	*ret_principal = (struct model_principal){
		.id = {{1}}, .tenant = {{1}}, .spki = *spki, .role = MODEL_ROLE_STORAGE};
	return KMS_OK;
}

kms_err service_tenant_ca(struct service *service, const struct kms_id *tenant, char **ret_ca_pem)
{
	(void)tenant;
	return kms_text(ret_ca_pem, "%s", service->client_ca);
}

/* About as long as the sealed answer to as many unwraps. */
kms_err service_call(struct service *service, const struct model_principal *who,
	enum model_face face, const struct model_request *request, struct model_answer **ret_answer,
	char ret_detail[LIMIT_REASON + 1])
{
	ret_detail[0] = '\0';
	static const uint8_t bytes[RECORD_BYTES + LIMIT_BATCH_ITEMS * RECORD_ITEM_BYTES];
	(void)service;
	(void)who;
	if (!model_op_is_use(request->op) || (model_op_face(request->op) & face) == 0) {
		return KMS_ERR(NOT_FOUND);
	}
	KMS_AUTO(model_answer) answer = calloc(1, sizeof(*answer));
	if (answer == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->op = request->op;
	size_t len = RECORD_BYTES + request->u.use.item_count * RECORD_ITEM_BYTES;
	KMS_TRY(kms_buf_copy((struct kms_bytes){bytes, len}, &answer->u.use.record));
	*ret_answer = kms_take(&answer);
	return KMS_OK;
}

static kms_err read_text(const char *path, char **ret_text)
{
	KMS_AUTO_BUF file = {0};
	KMS_TRY(kms_file_read(path, PEM_MAX, &file));
	return kms_text(ret_text, "%.*s", (int)file.len, (const char *)file.ptr);
}

static kms_err serve(char *argv[])
{
	KMS_AUTO_FREE char *certificate = NULL;
	KMS_AUTO_FREE char *trust = NULL;
	KMS_AUTO_FREE char *client_ca = NULL;
	KMS_AUTO(kms_secret) key = NULL;
	KMS_AUTO(api) api = NULL;
	char byte;
	KMS_TRY(read_text(argv[1], &certificate));
	KMS_TRY(kms_file_read_secret(argv[2], PEM_MAX, &key));
	KMS_TRY(read_text(argv[3], &trust));
	KMS_TRY(read_text(argv[4], &client_ca));
	struct service service = {.client_ca = client_ca};
	const struct api_listener listener = {
		.face = MODEL_FACE_DATA,
		.address = "127.0.0.1",
		.cert_pem = certificate,
		.key_pem = key,
		.trust_pem = trust,
	};
	KMS_TRY(api_start(&listener, &service, &api));
	(void)printf("%u\n", (unsigned)api_port(api));
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0) {
	}
	return KMS_OK;
}

int main(int argc, char *argv[])
{
	kms_log_set("bench-constant", KMS_LOG_WARNING);
	kms_err err = argc == 5 ? serve(argv) : KMS_ERR(ARGUMENT);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s", kms_err_text(err));
	}
	return kms_err_exit_code(err);
}
