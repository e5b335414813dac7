/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ledger entries and use records. What parses can be written, and what was written parses as the
 * same change (labels apart: an entry has none).
 */
#include <string.h>

#include "fuzz.h"
#include "record.h"

static void entry(struct kms_bytes input)
{
	static struct record_head head, head_again;
	static struct model_change change, change_again; /* too large for a frame */
	KMS_AUTO_BUF first = {0};
	KMS_AUTO_BUF second = {0};
	if (!kms_is_ok(record_entry_read(input, &head, &change))) {
		return;
	}
	KMS_ASSERT(kms_is_ok(record_entry_write(&head, &change, &first)));
	KMS_ASSERT(kms_is_ok(record_entry_read(kms_buf_bytes(&first), &head_again, &change_again)));
	KMS_ASSERT(kms_is_ok(record_entry_write(&head_again, &change_again, &second)));
	KMS_ASSERT(kms_bytes_equal(kms_buf_bytes(&first), kms_buf_bytes(&second)));
	model_change_free(&change);
	model_change_free(&change_again);
}

static void use(struct kms_bytes input)
{
	struct model_use parsed, parsed_again;
	KMS_AUTO_BUF first = {0};
	KMS_AUTO_BUF second = {0};
	if (!kms_is_ok(record_use_read(input, &parsed))) {
		return;
	}
	KMS_ASSERT(kms_is_ok(record_use_write(&parsed, &first)));
	KMS_ASSERT(kms_is_ok(record_use_read(kms_buf_bytes(&first), &parsed_again)));
	KMS_ASSERT(kms_is_ok(record_use_write(&parsed_again, &second)));
	KMS_ASSERT(kms_bytes_equal(kms_buf_bytes(&first), kms_buf_bytes(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	entry(input);
	use(input);
	return 0;
}
