/* SPDX-License-Identifier: Apache-2.0 */
/* problem+json, as libkms reads it: what parses names an error. */
#include "fuzz.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	kms_err err = KMS_OK;
	KMS_AUTO_FREE char *detail = NULL;
	if (kms_is_ok(wire_problem_read((struct kms_bytes){data, size}, &err, &detail))) {
		KMS_ASSERT(!kms_is_ok(err) && detail != NULL);
	}
	return 0;
}
