/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden files: tests/golden/NAME holds what was reviewed; a test fails where it makes other bytes.
 * KMS_GOLDEN_UPDATE=1 writes them anew. KMS_SOURCE names the source tree.
 */
#ifndef KMS_TEST_GOLDEN_H
#define KMS_TEST_GOLDEN_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

static inline void golden_text(const char *name, struct kms_bytes made)
{
	const char *root = getenv("KMS_SOURCE");
	const char *update = getenv("KMS_GOLDEN_UPDATE");
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO_BUF golden = {0};

	ck_assert_msg(root != NULL, "KMS_SOURCE names the source tree");
	ck_assert(kms_is_ok(kms_text(&path, "%s/tests/golden/%s", root, name)));
	if (update != NULL && strcmp(update, "1") == 0) {
		ck_assert(kms_is_ok(kms_file_write(path, made, 0644)));
	}
	ck_assert_msg(kms_is_ok(kms_file_read(path, (size_t)256 * 1024, &golden)), "%s", path);
	ck_assert_msg(kms_bytes_equal(kms_buf_bytes(&golden), made),
		"%s differs; is the change meant? Then KMS_GOLDEN_UPDATE=1", path);
}

/* Binary: as hex, 32 bytes a line. */
static inline void golden_hex(const char *name, struct kms_bytes made)
{
	KMS_AUTO_WRITER writer = kms_writer_grow((size_t)256 * 1024);
	struct kms_bytes text;
	for (size_t at = 0; at < made.len; at += 32) {
		char line[65];
		size_t len = made.len - at < 32 ? made.len - at : 32;
		kms_hex_encode((struct kms_bytes){made.ptr + at, len}, line);
		kms_write_format(&writer, "%s\n", line);
	}
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &text)));
	golden_text(name, text);
}

#endif
