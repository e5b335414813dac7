/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two listeners. Both trust every tenant's CA and the platform's for the handshake; whose
 * certificate it is, and that its own tenant's CA issued it, is decided behind them.
 */
#include "main_int.h"

#include "api.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

enum { TRUST_MAX = (LIMIT_TENANTS + 1) * LIMIT_CERT_PEM, KEY_PEM_MAX = 16 * 1024 };

static kms_err write_tenants(struct store *store, struct kms_writer *pem)
{
	struct kms_id after = {0};
	for (;;) {
		struct model_tenant *rows = NULL;
		size_t count;
		KMS_TRY(store_tenant_list(store, &after, LIMIT_LIST_PAGE, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			kms_write_text(pem, rows[i].ca_pem);
			kms_write_text(pem, "\n");
			after = rows[i].id;
			model_tenant_free(&rows[i]);
		}
		free(rows);
		if (count == 0) {
			return KMS_OK;
		}
	}
}

kms_err listen_trust(struct store *store, struct kms_buf *ret_pem)
{
	char *platform KMS_AUTO_FREE = NULL;
	KMS_AUTO_WRITER pem = kms_writer_grow(TRUST_MAX);
	KMS_TRY(store_setting_get(store, "platform_ca", &platform));
	kms_write_text(&pem, platform);
	kms_write_text(&pem, "\n");
	KMS_TRY(write_tenants(store, &pem));
	kms_write_u8(&pem, 0);
	return kms_writer_take(&pem, ret_pem);
}

kms_err listen_start(const struct settings_listener *settings, enum model_face face,
	const struct kms_buf *trust, struct service *service, struct api **ret_api)
{
	KMS_AUTO_BUF cert = {0};
	char *cert_pem KMS_AUTO_FREE = NULL;
	KMS_AUTO(kms_secret) key = NULL;
	kms_err err = kms_file_read(settings->certificate, LIMIT_CERT_PEM, &cert);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s: %s", settings->certificate, kms_err_text(err));
		return err;
	}
	KMS_TRY(kms_text(&cert_pem, "%.*s", (int)cert.len, (const char *)cert.ptr));
	KMS_TRY(kms_file_read_secret(settings->key, KEY_PEM_MAX, &key));
	const struct api_listener listener = {
		.face = face,
		.address = settings->address,
		.port = settings->port,
		.cert_pem = cert_pem,
		.key_pem = key,
		.trust_pem = (const char *)trust->ptr,
	};
	return api_start(&listener, service, ret_api);
}
