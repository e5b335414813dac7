/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenant and platform files, on a day when the corpus's certificates are valid. What is accepted
 * keeps the files' promises, whatever was changed.
 */
#include "fuzz.h"
#include "record.h"

/* 2026-11-21: the certificates of the corpus hold for a hundred years around it. */
static const int64_t NOW_MS = 1795251600000;

static void principals(
	const struct model_principal *rows, size_t count, const struct kms_id *tenant)
{
	KMS_ASSERT(count > 0 && count <= LIMIT_PRINCIPALS);
	for (size_t i = 0; i < count; i++) {
		KMS_ASSERT((rows[i].role == MODEL_ROLE_OPERATOR) == kms_id_is_zero(tenant));
		KMS_ASSERT(kms_id_equal(&rows[i].tenant, tenant));
		KMS_ASSERT(rows[i].expires_unix_s > NOW_MS / 1000);
		KMS_ASSERT(rows[i].label.text[0] != 0);
	}
}

static void tenant_file(struct kms_bytes input)
{
	struct model_tenant_set set;
	if (kms_is_ok(record_tenant_read(input, &set))) {
		KMS_ASSERT(!kms_id_is_zero(&set.tenant.id));
		principals(set.principals, set.principal_count, &set.tenant.id);
		KMS_ASSERT(set.token_count > 0 && set.token_count <= LIMIT_TOKENS);
		model_tenant_set_free(&set);
	}
}

static void platform_file(struct kms_bytes input)
{
	static const struct kms_id none;
	struct record_platform platform;
	if (kms_is_ok(record_platform_read(input, &platform))) {
		KMS_ASSERT(platform.origin[0] != 0 && platform.ledger_vkey[0] != 0);
		principals(platform.principals, platform.principal_count, &none);
		record_platform_free(&platform);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	kms_clock_fix(NOW_MS);
	tenant_file(input);
	platform_file(input);
	return 0;
}
