/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that people gave, and the encryption context built of it: what characters may stand in
 * names and values. Only exact bytes bind; nothing is normalised.
 */
#include "model.h"

#include <string.h>

/* Length of the UTF-8 sequence (RFC 3629) at text, its code point in ret_point; 0: none. */
static size_t utf8_next(const unsigned char *text, uint32_t *ret_point)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least; /* shorter forms are overlong */
	} forms[] = {
		{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	for (size_t more = 0; more < 4; more++) {
		if ((text[0] & forms[more].mask) != forms[more].lead) {
			continue;
		}
		uint32_t point = text[0] & (unsigned char)~forms[more].mask;
		for (size_t i = 1; i <= more; i++) {
			/* The NUL at the end is no continuation, so this never runs past it. */
			if ((text[i] & 0xc0) != 0x80) {
				return 0;
			}
			point = point << 6 | (text[i] & 0x3fu);
		}
		if (point < forms[more].least || point > 0x10ffff ||
			(point >= 0xd800 && point <= 0xdfff)) {
			return 0;
		}
		*ret_point = point;
		return more + 1;
	}
	return 0;
}

kms_err model_text_check(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);
	if (len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	for (size_t at = 0; at < len;) {
		uint32_t point = 0;
		size_t step = utf8_next((const unsigned char *)text + at, &point);
		/* C0, DEL and C1 controls could lie to whoever reads the name on a terminal. */
		if (step == 0 || point < 0x20 || (point >= 0x7f && point <= 0x9f)) {
			return KMS_ERR(ARGUMENT);
		}
		at += step;
	}
	return KMS_OK;
}

static kms_err name_check(const char *name)
{
	size_t len = strnlen(name, LIMIT_CONTEXT_NAME + 1);
	if (len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (len > LIMIT_CONTEXT_NAME) {
		return KMS_ERR(TOO_LARGE);
	}
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != len) {
		return KMS_ERR(ARGUMENT);
	}
	return KMS_OK;
}

kms_err model_context_add(struct model_context *context, const char *name, const char *value)
{
	KMS_TRY(name_check(name));
	KMS_TRY(model_text_check(value, LIMIT_CONTEXT_VALUE));
	for (size_t i = 0; i < context->count; i++) {
		if (strcmp(context->pairs[i].name, name) == 0) {
			return KMS_ERR(EXISTS);
		}
	}
	if (context->count >= LIMIT_CONTEXT_PAIRS) {
		return KMS_ERR(TOO_LARGE);
	}
	memcpy(context->pairs[context->count].name, name, strlen(name) + 1);
	memcpy(context->pairs[context->count].value, value, strlen(value) + 1);
	context->count++;
	return KMS_OK;
}
