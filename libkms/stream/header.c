/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a stream, and the keys that hang on it. Runs wherever libkms does. Everything it
 * parses comes from outside; it must never take a field to be true before a chunk has opened.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "stream_int.h"

static const uint8_t MAGIC[7] = {'K', 'M', 'S', 'S', 'T', 'R', 'M'};
enum { VERSION_1 = 1, SUITE_1 = 1, FLAGS_NONE = 0 };

/* stream.md, keys */
#define INFO_SEGMENT "kmsd-stream/1 segment key"
#define INFO_COMMITMENT "kmsd-stream/1 key commitment"

void stream_keys_free(struct stream_keys *keys)
{
	kms_secret_free(&keys->segment);
}

void stream_header_free(struct stream_header **header)
{
	if (*header == NULL) {
		return;
	}
	kms_buf_free(&(*header)->context);
	kms_buf_free(&(*header)->wrapped);
	free(*header);
	*header = NULL;
}

static kms_err derive(const struct kms_secret *key, const uint8_t salt[STREAM_SALT_BYTES],
	const char *info, struct kms_secret **ret_secret)
{
	struct kms_bytes salt_bytes = {salt, STREAM_SALT_BYTES};
	return crypto_hkdf(key, salt_bytes, kms_bytes_str(info), CRYPTO_KEY_BYTES, ret_secret);
}

/* SHA-256 of what never changes: the fixed part and the context, not the slots. */
static kms_err bind(struct kms_bytes fixed, struct kms_bytes context, struct kms_hash *ret_hash)
{
	struct kms_bytes parts[] = {fixed, context};
	return crypto_sha256(parts, sizeof(parts) / sizeof(parts[0]), ret_hash);
}

kms_err stream_slot_write(
	uint64_t sequence, struct kms_bytes wrapped, uint8_t ret_slot[STREAM_SLOT_BYTES])
{
	if (wrapped.len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (wrapped.len > STREAM_WRAPPED_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	uint8_t slot[STREAM_SLOT_BYTES] = {0};
	struct kms_writer writer = kms_writer_fixed(slot, sizeof(slot));
	kms_write_u64(&writer, sequence);
	kms_write_lp16(&writer, wrapped);
	struct kms_bytes written;
	KMS_TRY(kms_writer_bytes(&writer, &written));
	struct kms_hash sum;
	struct kms_bytes summed = {slot, STREAM_SLOT_BYTES - sizeof(sum.b)};
	KMS_TRY(crypto_sha256_one(summed, &sum));
	memcpy(slot + summed.len, sum.b, sizeof(sum.b));
	memcpy(ret_slot, slot, sizeof(slot));
	return KMS_OK;
}

/* What a slot holds; sequence 0: nothing. */
struct slot {
	uint64_t sequence;
	struct kms_bytes wrapped;
	bool torn;
};

static bool all_zero(struct kms_bytes bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.ptr[i] != 0) {
			return false;
		}
	}
	return true;
}

static kms_err slot_parse(struct kms_bytes summed, struct slot *ret_slot)
{
	struct kms_reader reader = kms_reader_of(summed);
	struct slot slot = {0};
	KMS_TRY(kms_read_u64(&reader, &slot.sequence));
	KMS_TRY(kms_read_lp16(&reader, STREAM_WRAPPED_MAX, &slot.wrapped));
	struct kms_bytes rest = {reader.ptr, reader.left};
	if (slot.sequence == 0 || slot.wrapped.len == 0 || !all_zero(rest)) {
		return KMS_ERR(FORMAT);
	}
	*ret_slot = slot;
	return KMS_OK;
}

/* A slot that is not whole is what a crash leaves: no error as long as the other one is whole. */
static kms_err slot_read(struct kms_bytes bytes, struct slot *ret_slot)
{
	struct kms_hash sum;
	struct kms_bytes summed = {bytes.ptr, bytes.len - sizeof(sum.b)};
	KMS_TRY(crypto_sha256_one(summed, &sum));
	*ret_slot = (struct slot){.torn = !all_zero(bytes)};
	if (memcmp(sum.b, bytes.ptr + summed.len, sizeof(sum.b)) == 0) {
		return slot_parse(summed, ret_slot);
	}
	return KMS_OK;
}

static kms_err read_slots(struct kms_reader *reader, struct stream_header *header)
{
	struct slot slots[STREAM_SLOTS];
	for (size_t i = 0; i < STREAM_SLOTS; i++) {
		struct kms_bytes bytes;
		KMS_TRY(kms_read_bytes(reader, STREAM_SLOT_BYTES, &bytes));
		KMS_TRY(slot_read(bytes, &slots[i]));
	}
	uint32_t best = slots[1].sequence > slots[0].sequence ? 1 : 0;
	const struct slot *other = &slots[1 - best];
	if (slots[best].sequence == 0) {
		return KMS_ERR(INTEGRITY);
	}
	if (other->sequence == slots[best].sequence) {
		return KMS_ERR(FORMAT); /* no writer and no crash makes this */
	}
	header->slot = best;
	header->sequence = slots[best].sequence;
	header->torn = other->torn;
	return kms_buf_copy(slots[best].wrapped, &header->wrapped);
}

/* The fixed part; its fields that are not kept are compared with what they must be. */
static kms_err read_fixed(
	struct kms_bytes fixed, struct stream_header *header, uint16_t *ret_context_len)
{
	struct kms_reader reader = kms_reader_of(fixed);
	uint8_t version;
	uint8_t suite;
	uint8_t flags;
	uint16_t context_len;
	uint32_t chunk_bytes;
	KMS_TRY(kms_read_expect(&reader, MAGIC, sizeof(MAGIC)));
	KMS_TRY(kms_read_u8(&reader, &version));
	if (version != VERSION_1) {
		return KMS_ERR(VERSION); /* and the rest may look different */
	}
	KMS_TRY(kms_read_u8(&reader, &suite));
	KMS_TRY(kms_read_u8(&reader, &flags));
	if (suite != SUITE_1 || flags != FLAGS_NONE) {
		return KMS_ERR(VERSION);
	}
	KMS_TRY(kms_read_u16(&reader, &context_len));
	KMS_TRY(kms_read_u32(&reader, &chunk_bytes));
	if (context_len > STREAM_CONTEXT_MAX || chunk_bytes != STREAM_CHUNK_BYTES) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(kms_read_fixed(&reader, header->salt, sizeof(header->salt)));
	KMS_TRY(kms_read_fixed(&reader, header->commitment, sizeof(header->commitment)));
	KMS_TRY(kms_read_end(&reader));
	*ret_context_len = context_len;
	return KMS_OK;
}

kms_err stream_header_read(struct kms_bytes bytes, struct stream_header **ret_header)
{
	KMS_AUTO(stream_header) header = calloc(1, sizeof(*header));
	if (header == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	struct kms_reader reader = kms_reader_of(bytes);
	struct kms_bytes fixed;
	struct kms_bytes context;
	uint16_t context_len;
	KMS_TRY(kms_read_bytes(&reader, STREAM_FIXED_BYTES, &fixed));
	KMS_TRY(read_fixed(fixed, header, &context_len));
	KMS_TRY(read_slots(&reader, header));
	KMS_TRY(kms_read_bytes(&reader, context_len, &context));
	KMS_TRY(kms_buf_copy(context, &header->context));
	KMS_TRY(bind(fixed, context, &header->binding));
	header->bytes = bytes.len - reader.left;
	*ret_header = kms_take(&header);
	return KMS_OK;
}

static kms_err read_some(int fd, uint8_t *into, size_t len, size_t *ret_len)
{
	if (!kms_is_ok(kms_fd_read_full(fd, into, len, ret_len))) {
		int saved_errno = errno;
		kms_log(KMS_LOG_ERROR, "cannot read the encrypted stream: %s",
			strerror(saved_errno));
		errno = saved_errno;
		return KMS_ERR(IO);
	}
	return KMS_OK;
}

kms_err stream_header_read_fd(int fd, struct stream_header **ret_header)
{
	KMS_AUTO_FREE uint8_t *bytes = malloc(STREAM_HEADER_MAX);
	KMS_AUTO(stream_header) probe = calloc(1, sizeof(*probe));
	if (bytes == NULL || probe == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	size_t len;
	KMS_TRY(read_some(fd, bytes, STREAM_FIXED_BYTES, &len));
	if (len < STREAM_FIXED_BYTES) {
		/* A short file of another kind is that before it is a cut stream. */
		size_t have = len < sizeof(MAGIC) ? len : sizeof(MAGIC);
		return memcmp(bytes, MAGIC, have) == 0 ? KMS_ERR(TRUNCATED) : KMS_ERR(FORMAT);
	}
	uint16_t context_len;
	KMS_TRY(read_fixed((struct kms_bytes){bytes, len}, probe, &context_len));
	size_t rest;
	KMS_TRY(read_some(
		fd, bytes + len, STREAM_HEADER_MIN - STREAM_FIXED_BYTES + context_len, &rest));
	return stream_header_read((struct kms_bytes){bytes, len + rest}, ret_header);
}

kms_err stream_segment_new(const struct stream_inputs *inputs,
	const uint8_t salt[STREAM_SALT_BYTES], struct stream_keys *ret_keys,
	struct kms_buf *ret_header)
{
	if (kms_secret_len(inputs->key) != CRYPTO_KEY_BYTES) {
		return KMS_ERR(ARGUMENT);
	}
	if (inputs->context.len > STREAM_CONTEXT_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO(kms_secret) commitment = NULL;
	KMS_TRY(derive(inputs->key, salt, INFO_COMMITMENT, &commitment));
	uint8_t slots[STREAM_SLOTS][STREAM_SLOT_BYTES] = {0};
	KMS_TRY(stream_slot_write(1, inputs->wrapped, slots[0]));

	KMS_AUTO_WRITER writer = kms_writer_grow(STREAM_HEADER_MAX);
	kms_write_fixed(&writer, MAGIC, sizeof(MAGIC));
	kms_write_u8(&writer, VERSION_1);
	kms_write_u8(&writer, SUITE_1);
	kms_write_u8(&writer, FLAGS_NONE);
	kms_write_u16(&writer, (uint16_t)inputs->context.len);
	kms_write_u32(&writer, STREAM_CHUNK_BYTES);
	kms_write_fixed(&writer, salt, STREAM_SALT_BYTES);
	kms_write_bytes(&writer, kms_secret_bytes(commitment));
	kms_write_fixed(&writer, slots, sizeof(slots));
	kms_write_bytes(&writer, inputs->context);

	KMS_AUTO_BUF header = {0};
	KMS_TRY(kms_writer_take(&writer, &header));
	STREAM_AUTO_KEYS keys = {0};
	struct kms_bytes fixed = {header.ptr, STREAM_FIXED_BYTES};
	KMS_TRY(bind(fixed, inputs->context, &keys.binding));
	KMS_TRY(derive(inputs->key, salt, INFO_SEGMENT, &keys.segment));
	*ret_keys = keys;
	keys = (struct stream_keys){0};
	*ret_header = header;
	header = (struct kms_buf){0};
	return KMS_OK;
}

kms_err stream_segment_keys(const struct stream_header *header, const struct kms_secret *key,
	struct stream_keys *ret_keys)
{
	if (kms_secret_len(key) != CRYPTO_KEY_BYTES) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO(kms_secret) commitment = NULL;
	KMS_TRY(derive(key, header->salt, INFO_COMMITMENT, &commitment));
	if (!kms_equal_ct(
		    kms_secret_cptr(commitment), header->commitment, STREAM_COMMITMENT_BYTES)) {
		kms_log(KMS_LOG_ERROR, "the data key is not the one of this stream");
		return KMS_ERR(INTEGRITY);
	}
	STREAM_AUTO_KEYS keys = {.binding = header->binding};
	KMS_TRY(derive(key, header->salt, INFO_SEGMENT, &keys.segment));
	*ret_keys = keys;
	keys = (struct stream_keys){0};
	return KMS_OK;
}
