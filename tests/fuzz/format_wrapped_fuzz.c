/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrapped keys, canonical contexts and statements. What parses has one spelling: written again, it
 * is the same bytes.
 */
#include "format.h"
#include "fuzz.h"

static void wrapped_key(struct kms_bytes input)
{
	struct format_wrapped wrapped;
	KMS_AUTO_BUF again = {0};
	if (kms_is_ok(format_wrapped_read(input, &wrapped))) {
		KMS_ASSERT(kms_is_ok(format_wrapped_write(&wrapped, &again)));
		KMS_ASSERT(kms_bytes_equal(input, kms_buf_bytes(&again)));
	}
}

static void context(struct kms_bytes input)
{
	static struct model_context parsed;
	struct kms_id tenant;
	KMS_AUTO_BUF again = {0};
	if (kms_is_ok(format_context_read(input, &parsed, &tenant))) {
		KMS_ASSERT(kms_is_ok(format_context_write(&parsed, &tenant, &again)));
		KMS_ASSERT(kms_bytes_equal(input, kms_buf_bytes(&again)));
	}
}

static void statement(struct kms_bytes input)
{
	struct format_statement parsed;
	struct kms_bytes signed_part;
	struct kms_bytes signature;
	KMS_AUTO_BUF again = {0};
	if (kms_is_ok(format_statement_read(input, &parsed, &signed_part, &signature))) {
		KMS_ASSERT(signed_part.len + signature.len == input.len);
		KMS_ASSERT(kms_is_ok(format_statement_write(&parsed, &again)));
		KMS_ASSERT(kms_bytes_equal(signed_part, kms_buf_bytes(&again)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	wrapped_key(input);
	context(input);
	statement(input);
	return 0;
}
