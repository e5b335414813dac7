/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between kmsd and kms-tokend: a compromised one of them must not harm the other. What
 * parses has one spelling, but for error codes that nobody gave: they are read as INTERNAL.
 */
#include "fuzz.h"
#include "tokmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	static struct tokmsg msg;
	static struct tokmsg twice;
	if (!kms_is_ok(tokmsg_read(input, &msg))) {
		return 0;
	}
	KMS_AUTO_WRITER writer = kms_writer_grow(4 + (size_t)LIMIT_TOKMSG_BYTES);
	struct kms_bytes again;
	struct kms_bytes body;
	KMS_ASSERT(kms_is_ok(tokmsg_write(&msg, &writer)));
	KMS_ASSERT(kms_is_ok(kms_writer_bytes(&writer, &again)));
	struct kms_reader reader = kms_reader_of(again);
	KMS_ASSERT(kms_is_ok(kms_read_lp32(&reader, LIMIT_TOKMSG_BYTES, &body)));
	KMS_ASSERT(body.len == input.len);
	KMS_ASSERT(kms_is_ok(tokmsg_read(body, &twice)));
	tokmsg_clear(&twice);
	tokmsg_clear(&msg);
	return 0;
}
