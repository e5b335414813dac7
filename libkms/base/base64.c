/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64, RFC 4648 section 4, strict and in constant time. Runs in every program. It must never
 * branch or index on a byte it turns (only on lengths and on padding), nor accept a second
 * spelling of the same bytes (section 3.5: the unused bits are zero).
 */
#include <stdlib.h>
#include <string.h>

#include "base_int.h"

/*
 * All ones if low <= c <= high, else zero: both differences are then not negative. Arithmetic
 * right shift is what gcc and clang define for int.
 */
static int between(int c, int low, int high)
{
	return ~((c - low) >> 8 | (high - c) >> 8);
}

static uint8_t encode_six(unsigned bits)
{
	int v = (int)(bits & 63);
	int c = (between(v, 0, 25) & (v + 'A')) | (between(v, 26, 51) & (v - 26 + 'a')) |
		(between(v, 52, 61) & (v - 52 + '0')) | (between(v, 62, 62) & '+') |
		(between(v, 63, 63) & '/');
	return (uint8_t)c;
}

/* The six bits of a character, and *bad set to ones if it is none of the alphabet. */
static unsigned decode_six(uint8_t character, int *bad)
{
	int c = character;
	int upper = between(c, 'A', 'Z');
	int lower = between(c, 'a', 'z');
	int digit = between(c, '0', '9');
	int plus = between(c, '+', '+');
	int slash = between(c, '/', '/');
	*bad |= ~(upper | lower | digit | plus | slash);
	return (unsigned)((upper & (c - 'A')) | (lower & (c - 'a' + 26)) |
			  (digit & (c - '0' + 52)) | (plus & 62) | (slash & 63));
}

size_t kms_base64_len(size_t len)
{
	return (len / 3 + (len % 3 != 0)) * 4;
}

void base64_encode(const uint8_t *bytes, size_t len, uint8_t *text)
{
	for (; len >= 3; len -= 3, bytes += 3, text += 4) {
		unsigned v = (unsigned)bytes[0] << 16 | (unsigned)bytes[1] << 8 | bytes[2];
		text[0] = encode_six(v >> 18);
		text[1] = encode_six(v >> 12);
		text[2] = encode_six(v >> 6);
		text[3] = encode_six(v);
	}
	if (len > 0) {
		unsigned v = (unsigned)bytes[0] << 16 | (len > 1 ? (unsigned)bytes[1] << 8 : 0);
		text[0] = encode_six(v >> 18);
		text[1] = encode_six(v >> 12);
		text[2] = len > 1 ? encode_six(v >> 6) : '=';
		text[3] = '=';
	}
}

static size_t padding(const uint8_t *text, size_t text_len)
{
	if (text_len == 0 || text[text_len - 1] != '=') {
		return 0;
	}
	return text[text_len - 2] == '=' ? 2 : 1;
}

kms_err base64_decoded_len(const uint8_t *text, size_t text_len, size_t max, size_t *ret_len)
{
	if (text_len % 4 != 0) {
		return KMS_ERR(FORMAT);
	}
	size_t len = text_len / 4 * 3 - padding(text, text_len);
	if (len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_len = len;
	return KMS_OK;
}

kms_err base64_decode(const uint8_t *text, size_t text_len, uint8_t *ret_bytes)
{
	size_t pad = padding(text, text_len);
	int bad = 0;
	for (size_t i = 0; i < text_len; i += 4) {
		size_t given = i + 4 == text_len ? 4 - pad : 4;
		unsigned v = 0;
		for (size_t j = 0; j < 4; j++) {
			v = v << 6 | (j < given ? decode_six(text[i + j], &bad) : 0);
		}
		uint8_t three[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
		memcpy(ret_bytes, three, given - 1);
		ret_bytes += given - 1;
		for (size_t j = given - 1; j < 3; j++) {
			bad |= three[j]; /* the unused bits */
		}
		explicit_bzero(three, sizeof(three));
	}
	return bad == 0 ? KMS_OK : KMS_ERR(FORMAT);
}

void kms_base64_encode(struct kms_bytes bytes, char *text)
{
	base64_encode(bytes.ptr, bytes.len, (uint8_t *)text);
	text[kms_base64_len(bytes.len)] = '\0';
}

kms_err kms_base64_text(struct kms_bytes bytes, char **ret_text)
{
	char *text = malloc(kms_base64_len(bytes.len) + 1);
	if (text == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_base64_encode(bytes, text);
	*ret_text = text;
	return KMS_OK;
}

kms_err kms_base64_decode(const char *text, size_t text_len, size_t max, struct kms_buf *ret_buf)
{
	size_t len;
	KMS_TRY(base64_decoded_len((const uint8_t *)text, text_len, max, &len));
	if (len == 0) {
		*ret_buf = (struct kms_buf){0};
		return KMS_OK;
	}
	KMS_AUTO_BUF buf = {malloc(len), len};
	if (buf.ptr == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(base64_decode((const uint8_t *)text, text_len, buf.ptr));
	*ret_buf = buf;
	buf = (struct kms_buf){0};
	return KMS_OK;
}

kms_err kms_secret_base64_encode(const struct kms_secret *from, struct kms_secret **ret_text)
{
	KMS_AUTO(kms_secret) text = NULL;
	KMS_TRY(kms_secret_new(kms_base64_len(kms_secret_len(from)), &text));
	base64_encode(kms_secret_cptr(from), kms_secret_len(from), kms_secret_ptr(text));
	*ret_text = kms_take(&text);
	return KMS_OK;
}

kms_err kms_secret_base64_decode(struct kms_bytes text, size_t max, struct kms_secret **ret_secret)
{
	size_t len;
	KMS_TRY(base64_decoded_len(text.ptr, text.len, max, &len));
	KMS_AUTO(kms_secret) secret = NULL;
	KMS_TRY(kms_secret_new(len, &secret));
	KMS_TRY(base64_decode(text.ptr, text.len, kms_secret_ptr(secret)));
	*ret_secret = kms_take(&secret);
	return KMS_OK;
}
