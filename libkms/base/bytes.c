/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed and owned bytes, and memory helpers. Runs in every program. Nothing here is for
 * secrets but kms_equal_ct: those live in struct kms_secret.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

struct kms_bytes kms_bytes_str(const char *text)
{
	return (struct kms_bytes){(const uint8_t *)text, strlen(text)};
}

bool kms_bytes_equal(struct kms_bytes a, struct kms_bytes b)
{
	/* memcmp must not see the NULL of an empty range. */
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool kms_equal_ct(const void *a, const void *b, size_t len)
{
	/* volatile: the compiler must not leave the loop at the first difference. */
	const volatile uint8_t *x = a;
	const volatile uint8_t *y = b;
	uint8_t difference = 0;
	for (size_t i = 0; i < len; i++) {
		difference = (uint8_t)(difference | (x[i] ^ y[i]));
	}
	return difference == 0;
}

void kms_buf_free(struct kms_buf *buf)
{
	if (buf != NULL) {
		free(buf->ptr);
		*buf = (struct kms_buf){0};
	}
}

kms_err kms_buf_copy(struct kms_bytes from, struct kms_buf *ret_buf)
{
	if (from.len == 0) {
		*ret_buf = (struct kms_buf){0};
		return KMS_OK;
	}
	uint8_t *ptr = malloc(from.len);
	if (ptr == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	memcpy(ptr, from.ptr, from.len);
	*ret_buf = (struct kms_buf){ptr, from.len};
	return KMS_OK;
}

void kms_free_ptr(void *pp)
{
	/* pp is the address of a pointer of some type: copied as bytes, aliasing stays legal. */
	void *ptr;
	memcpy(&ptr, pp, sizeof(ptr));
	free(ptr);
	ptr = NULL;
	memcpy(pp, &ptr, sizeof(ptr));
}

kms_err kms_text(char **ret_text, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) {
		return KMS_ERR(NO_MEMORY);
	}
	*ret_text = text;
	return KMS_OK;
}

kms_err kms_size_mul(size_t a, size_t b, size_t *ret_size)
{
	size_t size;
	if (__builtin_mul_overflow(a, b, &size)) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_size = size;
	return KMS_OK;
}

kms_err kms_size_add(size_t a, size_t b, size_t *ret_size)
{
	size_t size;
	if (__builtin_add_overflow(a, b, &size)) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_size = size;
	return KMS_OK;
}
