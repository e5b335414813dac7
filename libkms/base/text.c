/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids, hashes and hex, and their one spelling. Runs in every program. It must never accept a
 * second spelling of a value: comparing texts is then comparing values.
 */
#include <stdlib.h>
#include <string.h>

#include "base.h"

bool kms_id_equal(const struct kms_id *a, const struct kms_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool kms_id_is_zero(const struct kms_id *id)
{
	return kms_id_equal(id, &(struct kms_id){0});
}

bool kms_hash_equal(const struct kms_hash *a, const struct kms_hash *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

kms_err kms_id_random(struct kms_id *ret_id)
{
	struct kms_id id;
	kms_random(id.b, sizeof(id.b));
	id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40); /* version 4, RFC 9562 section 5.4 */
	id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80); /* variant, RFC 9562 section 4.1 */
	*ret_id = id;
	return KMS_OK;
}

static char *hex_put(char *text, uint8_t byte)
{
	static const char DIGITS[] = "0123456789abcdef";
	*text++ = DIGITS[byte >> 4];
	*text++ = DIGITS[byte & 15];
	return text;
}

/* The value of a lower-case hex digit, or -1. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_get(const char *text, uint8_t *ret_byte)
{
	int high = hex_value(text[0]);
	int low = high < 0 ? -1 : hex_value(text[1]); /* text may end after the first digit */
	if (low < 0) {
		return false;
	}
	*ret_byte = (uint8_t)(high << 4 | low);
	return true;
}

/* RFC 9562 section 4: groups of 4, 2, 2, 2 and 6 bytes. */
static bool hyphen_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

const char *kms_id_text(const struct kms_id *id, char text[KMS_ID_TEXT])
{
	char *at = text;
	for (size_t i = 0; i < sizeof(id->b); i++) {
		if (hyphen_before(i)) {
			*at++ = '-';
		}
		at = hex_put(at, id->b[i]);
	}
	*at = '\0';
	return text;
}

kms_err kms_id_parse(const char *text, struct kms_id *ret_id)
{
	struct kms_id id;
	for (size_t i = 0; i < sizeof(id.b); i++) {
		if (hyphen_before(i) && *text++ != '-') {
			return KMS_ERR(FORMAT);
		}
		if (!hex_get(text, &id.b[i])) {
			return KMS_ERR(FORMAT);
		}
		text += 2;
	}
	if (*text != '\0') {
		return KMS_ERR(FORMAT);
	}
	*ret_id = id;
	return KMS_OK;
}

const char *kms_hash_text(const struct kms_hash *hash, char text[KMS_HASH_TEXT])
{
	kms_hex_encode(KMS_BYTES_OF(hash->b), text);
	return text;
}

kms_err kms_hash_parse(const char *text, struct kms_hash *ret_hash)
{
	struct kms_hash hash;
	for (size_t i = 0; i < sizeof(hash.b); i++) {
		if (!hex_get(text + 2 * i, &hash.b[i])) {
			return KMS_ERR(FORMAT);
		}
	}
	if (text[2 * sizeof(hash.b)] != '\0') {
		return KMS_ERR(FORMAT);
	}
	*ret_hash = hash;
	return KMS_OK;
}

void kms_hex_encode(struct kms_bytes bytes, char *text)
{
	for (size_t i = 0; i < bytes.len; i++) {
		text = hex_put(text, bytes.ptr[i]);
	}
	*text = '\0';
}

kms_err kms_hex_decode(const char *text, size_t max, struct kms_buf *ret_buf)
{
	size_t text_len = strlen(text);
	if (text_len % 2 != 0) {
		return KMS_ERR(FORMAT);
	}
	size_t len = text_len / 2;
	if (len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	if (len == 0) {
		*ret_buf = (struct kms_buf){0};
		return KMS_OK;
	}
	KMS_AUTO_BUF buf = {malloc(len), len};
	if (buf.ptr == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < len; i++) {
		if (!hex_get(text + 2 * i, &buf.ptr[i])) {
			return KMS_ERR(FORMAT);
		}
	}
	*ret_buf = buf;
	buf = (struct kms_buf){0};
	return KMS_OK;
}
