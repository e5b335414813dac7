/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines, names, numbers and hashes of the C2SP text formats. Runs in every program that reads or
 * writes them. It must never accept two spellings of the same thing: what is signed and compared
 * are bytes.
 */
#include <string.h>

#include "tlog_int.h"

static struct kms_bytes after(struct kms_bytes bytes, size_t len)
{
	return (struct kms_bytes){bytes.ptr + len, bytes.len - len};
}

kms_err tlog_part_next(struct kms_bytes *rest, char mark, struct kms_bytes *ret_part)
{
	const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->ptr, mark, rest->len);
	if (at == NULL) {
		return KMS_ERR(FORMAT);
	}
	size_t len = (size_t)(at - rest->ptr);
	*ret_part = (struct kms_bytes){rest->ptr, len};
	*rest = after(*rest, len + 1);
	return KMS_OK;
}

kms_err tlog_line_next(struct kms_bytes *rest, struct kms_bytes *ret_line)
{
	return tlog_part_next(rest, '\n', ret_line);
}

kms_err tlog_prefix_skip(struct kms_bytes *bytes, const char *prefix)
{
	size_t len = strlen(prefix);
	if (bytes->len < len || memcmp(bytes->ptr, prefix, len) != 0) {
		return KMS_ERR(FORMAT);
	}
	*bytes = after(*bytes, len);
	return KMS_OK;
}

/* Take one code point off rest; false when it is not UTF-8. rest is not empty. */
static bool rune_next(struct kms_bytes *rest, uint32_t *ret_rune)
{
	/* RFC 3629 section 3: lead byte, and the smallest code point of each length, so that no
	 * character has a second, longer form. */
	static const struct {
		uint8_t mask;
		uint8_t lead;
		uint32_t min;
	} forms[] = {
		{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	uint8_t first = rest->ptr[0];
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if ((first & forms[i].mask) != forms[i].lead) {
			continue;
		}
		if (rest->len <= i) {
			return false;
		}
		uint32_t rune = first & (uint8_t)~forms[i].mask;
		for (size_t j = 1; j <= i; j++) {
			if ((rest->ptr[j] & 0xc0) != 0x80) {
				return false;
			}
			rune = rune << 6 | (rest->ptr[j] & 0x3f);
		}
		if (rune < forms[i].min || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) {
			return false;
		}
		*rest = after(*rest, i + 1);
		*ret_rune = rune;
		return true;
	}
	return false;
}

bool tlog_text_is_valid(struct kms_bytes text)
{
	while (text.len > 0) {
		uint32_t rune = 0;
		if (!rune_next(&text, &rune) || (rune < 0x20 && rune != '\n')) {
			return false;
		}
	}
	return true;
}

/* White_Space of the Unicode character database. */
static bool is_space(uint32_t rune)
{
	return (rune >= 0x09 && rune <= 0x0d) || rune == 0x20 || rune == 0x85 || rune == 0xa0 ||
	       rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
	       rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

bool tlog_name_is_valid(struct kms_bytes name)
{
	if (name.len == 0 || name.len > TLOG_NAME_MAX) {
		return false;
	}
	while (name.len > 0) {
		uint32_t rune = 0;
		if (!rune_next(&name, &rune) || rune < 0x20 || is_space(rune) || rune == '+') {
			return false;
		}
	}
	return true;
}

kms_err tlog_name_copy(struct kms_bytes name, char ret_name[TLOG_NAME_MAX + 1])
{
	if (!tlog_name_is_valid(name)) {
		return KMS_ERR(FORMAT);
	}
	memcpy(ret_name, name.ptr, name.len);
	ret_name[name.len] = '\0';
	return KMS_OK;
}

kms_err tlog_decimal_parse(struct kms_bytes text, uint64_t *ret_value)
{
	if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0')) {
		return KMS_ERR(FORMAT);
	}
	uint64_t value = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return KMS_ERR(FORMAT);
		}
		uint64_t digit = (uint64_t)(text.ptr[i] - '0');
		if (value > (TLOG_SIZE_MAX - digit) / 10) {
			return KMS_ERR(FORMAT);
		}
		value = value * 10 + digit;
	}
	*ret_value = value;
	return KMS_OK;
}

kms_err tlog_hash_parse(struct kms_bytes text, struct kms_hash *ret_hash)
{
	KMS_AUTO_BUF bytes = {0};
	if (text.len != TLOG_HASH_BASE64) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(kms_base64_decode((const char *)text.ptr, text.len, text.len, &bytes));
	if (bytes.len != sizeof(ret_hash->b)) {
		return KMS_ERR(FORMAT);
	}
	memcpy(ret_hash->b, bytes.ptr, bytes.len);
	return KMS_OK;
}

void tlog_hash_write(struct kms_writer *writer, const struct kms_hash *hash)
{
	char text[TLOG_HASH_BASE64 + 1];
	kms_base64_encode(KMS_BYTES_OF(hash->b), text);
	kms_write_text(writer, text);
	kms_write_text(writer, "\n");
}
