/* SPDX-License-Identifier: Apache-2.0 */
/* A client's receipt: one that parses has one spelling. */
#include "format.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	KMS_AUTO(format_receipt) receipt = NULL;
	KMS_AUTO_BUF again = {0};
	if (kms_is_ok(format_receipt_read(input, &receipt))) {
		KMS_ASSERT(receipt->row_count > 0 && receipt->rows[0].count > 0);
		KMS_ASSERT(kms_is_ok(format_receipt_write(receipt, &again)));
		KMS_ASSERT(kms_bytes_equal(input, kms_buf_bytes(&again)));
	}
	return 0;
}
