/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the text formats of tlog share: lines, names, numbers and base64, each with one spelling.
 * For the module's own files.
 */
#ifndef KMS_TLOG_INT_H
#define KMS_TLOG_INT_H

#include "tlog.h"

enum {
	TLOG_KEY_ID = 4, /* bytes before a signature (C2SP signed-note) */
	TLOG_HASH_BASE64 = 44,
};

/* Take the next line off rest, without its newline; FORMAT when there is no newline. */
kms_err tlog_line_next(struct kms_bytes *rest, struct kms_bytes *ret_line);
/* Take this prefix off bytes, or FORMAT. */
kms_err tlog_prefix_skip(struct kms_bytes *bytes, const char *prefix);
/* Take what stands before the first mark off rest, and the mark; FORMAT when there is none. */
kms_err tlog_part_next(struct kms_bytes *rest, char mark, struct kms_bytes *ret_part);

/* UTF-8 (RFC 3629) without control characters but the newline (C2SP signed-note). */
bool tlog_text_is_valid(struct kms_bytes text);
/* A key name: such text, one to TLOG_NAME_MAX bytes, without Unicode spaces and "+". */
bool tlog_name_is_valid(struct kms_bytes name);
/* Copy a valid name, or FORMAT. */
kms_err tlog_name_copy(struct kms_bytes name, char ret_name[TLOG_NAME_MAX + 1]);

/* INTEGRITY when it is not that key's signature over text. */
kms_err tlog_vkey_check(const struct tlog_vkey *vkey, struct kms_bytes text, struct kms_bytes sig);

/* A decimal number of at most TLOG_SIZE_MAX without leading zeros. */
kms_err tlog_decimal_parse(struct kms_bytes text, uint64_t *ret_value);
/* Exactly 32 bytes in base64. */
kms_err tlog_hash_parse(struct kms_bytes text, struct kms_hash *ret_hash);
/* A hash in base64 and a newline. */
void tlog_hash_write(struct kms_writer *writer, const struct kms_hash *hash);

#endif
