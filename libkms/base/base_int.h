/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What base's own files share: base64 that neither branches nor indexes on the bytes it turns,
 * so that one implementation serves public bytes and secrets.
 */
#ifndef KMS_BASE_INT_H
#define KMS_BASE_INT_H

#include "base.h"

/* Writes kms_base64_len(len) characters, without a NUL. */
void base64_encode(const uint8_t *bytes, size_t len, uint8_t *text);
/* Bytes that the text stands for, by its length and padding alone; FORMAT, or TOO_LARGE. */
kms_err base64_decoded_len(const uint8_t *text, size_t text_len, size_t max, size_t *ret_len);
/* Decodes into room of that length. FORMAT: wipe what was written. */
kms_err base64_decode(const uint8_t *text, size_t text_len, uint8_t *ret_bytes);

#endif
