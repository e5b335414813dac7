/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes from the kernel. Runs in every program. It must never return with bytes that are
 * not random: a key made of them could not be told from a good one.
 */
#include <errno.h>
#include <sys/random.h>

#include "base.h"

void kms_random(void *ret_bytes, size_t len)
{
	uint8_t *at = ret_bytes;
	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);
		if (got < 0 && errno == EINTR) {
			continue;
		}
		KMS_ASSERT(got > 0);
		at += got;
		len -= (size_t)got;
	}
}
