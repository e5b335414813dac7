/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded writer of big-endian bytes. Runs in every program. It must never write past its
 * bound, nor move the memory of a fixed writer.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

enum { FIRST_CAP = 256 };

struct kms_writer kms_writer_grow(size_t max)
{
	return (struct kms_writer){.max = max};
}

struct kms_writer kms_writer_fixed(void *ptr, size_t cap)
{
	return (struct kms_writer){.ptr = ptr, .cap = cap, .max = cap, .fixed = true};
}

static void wipe(uint8_t *ptr, size_t len)
{
	if (ptr != NULL) {
		explicit_bzero(ptr, len);
	}
}

/* realloc() would leave a copy of the old bytes behind, unwiped. */
static bool grow(struct kms_writer *writer, size_t need)
{
	size_t cap = writer->cap < FIRST_CAP ? FIRST_CAP : writer->cap;
	while (cap < need) {
		cap = cap > writer->max / 2 ? writer->max : cap * 2;
	}
	uint8_t *ptr = malloc(cap);
	if (ptr == NULL) {
		writer->failed = KMS_CODE_NO_MEMORY;
		return false;
	}
	if (writer->len > 0) {
		memcpy(ptr, writer->ptr, writer->len);
	}
	wipe(writer->ptr, writer->len);
	free(writer->ptr);
	writer->ptr = ptr;
	writer->cap = cap;
	return true;
}

/* Room for len more bytes, or NULL with the failure noted. */
static uint8_t *reserve(struct kms_writer *writer, size_t len)
{
	if (writer->failed != KMS_CODE_OK) {
		return NULL;
	}
	if (len > writer->max - writer->len) {
		writer->failed = KMS_CODE_TOO_LARGE;
		return NULL;
	}
	if (len > writer->cap - writer->len && !grow(writer, writer->len + len)) {
		return NULL;
	}
	return writer->ptr + writer->len;
}

void kms_write_fixed(struct kms_writer *writer, const void *bytes, size_t len)
{
	if (len == 0) {
		return;
	}
	uint8_t *room = reserve(writer, len);
	if (room != NULL) {
		memcpy(room, bytes, len);
		writer->len += len;
	}
}

static void write_number(struct kms_writer *writer, uint64_t value, size_t len)
{
	uint8_t *room = reserve(writer, len);
	if (room != NULL) {
		for (size_t i = 0; i < len; i++) {
			room[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
		}
		writer->len += len;
	}
}

void kms_write_u8(struct kms_writer *writer, uint8_t value)
{
	write_number(writer, value, sizeof(value));
}

void kms_write_u16(struct kms_writer *writer, uint16_t value)
{
	write_number(writer, value, sizeof(value));
}

void kms_write_u32(struct kms_writer *writer, uint32_t value)
{
	write_number(writer, value, sizeof(value));
}

void kms_write_u64(struct kms_writer *writer, uint64_t value)
{
	write_number(writer, value, sizeof(value));
}

void kms_write_bytes(struct kms_writer *writer, struct kms_bytes bytes)
{
	kms_write_fixed(writer, bytes.ptr, bytes.len);
}

static void write_lp(struct kms_writer *writer, struct kms_bytes bytes, size_t prefix, size_t max)
{
	if (bytes.len > max) {
		if (writer->failed == KMS_CODE_OK) {
			writer->failed = KMS_CODE_TOO_LARGE;
		}
		return;
	}
	write_number(writer, bytes.len, prefix);
	kms_write_bytes(writer, bytes);
}

void kms_write_lp16(struct kms_writer *writer, struct kms_bytes bytes)
{
	write_lp(writer, bytes, sizeof(uint16_t), UINT16_MAX);
}

void kms_write_lp32(struct kms_writer *writer, struct kms_bytes bytes)
{
	write_lp(writer, bytes, sizeof(uint32_t), UINT32_MAX);
}

void kms_write_text(struct kms_writer *writer, const char *text)
{
	kms_write_bytes(writer, kms_bytes_str(text));
}

void kms_write_format(struct kms_writer *writer, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) {
		if (writer->failed == KMS_CODE_OK) {
			writer->failed = KMS_CODE_NO_MEMORY;
		}
		return;
	}
	kms_write_fixed(writer, text, (size_t)len);
	free(text);
}

kms_err kms_writer_bytes(const struct kms_writer *writer, struct kms_bytes *ret_bytes)
{
	if (writer->failed != KMS_CODE_OK) {
		return (kms_err){writer->failed};
	}
	*ret_bytes = (struct kms_bytes){writer->ptr, writer->len};
	return KMS_OK;
}

kms_err kms_writer_take(struct kms_writer *writer, struct kms_buf *ret_buf)
{
	KMS_ASSERT(!writer->fixed);
	if (writer->failed != KMS_CODE_OK) {
		return (kms_err){writer->failed};
	}
	*ret_buf = (struct kms_buf){writer->ptr, writer->len};
	*writer = kms_writer_grow(writer->max);
	return KMS_OK;
}

void kms_writer_free(struct kms_writer *writer)
{
	if (writer == NULL) {
		return;
	}
	if (!writer->fixed) {
		wipe(writer->ptr, writer->len);
		free(writer->ptr);
	}
	*writer = (struct kms_writer){0};
}
