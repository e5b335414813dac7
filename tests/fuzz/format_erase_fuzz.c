/* SPDX-License-Identifier: Apache-2.0 */
/* What is signed for an erasure: one that parses has one spelling. */
#include "format.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	KMS_AUTO(format_erase) erase = NULL;
	KMS_AUTO_BUF again = {0};
	if (kms_is_ok(format_erase_read(input, &erase))) {
		KMS_ASSERT(erase->kek_count > 0 && erase->expires_unix_s > erase->not_before_unix_s);
		KMS_ASSERT(kms_is_ok(format_erase_write(erase, &again)));
		KMS_ASSERT(kms_bytes_equal(input, kms_buf_bytes(&again)));
	}
	return 0;
}
