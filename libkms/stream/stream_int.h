/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stream's own files share: the keys of a segment and its chunks.
 */
#ifndef KMS_STREAM_INT_H
#define KMS_STREAM_INT_H

#include "stream.h"

enum {
	STREAM_RECORD_BYTES = STREAM_CHUNK_BYTES + STREAM_TAG_BYTES,
	/* A chunk with this much behind it is not the last one. */
	STREAM_DECRYPT_AHEAD = STREAM_END_BYTES + 1,
};

extern const uint8_t STREAM_END_MARK[STREAM_END_BYTES];

/* Zeroed at the start; wiped at the end. */
struct stream_keys {
	struct kms_secret *segment; /* owned */
	struct kms_hash binding;
};
void stream_keys_free(struct stream_keys *keys);
#define STREAM_AUTO_KEYS __attribute__((cleanup(stream_keys_free))) struct stream_keys

/*
 * The keys and the header of a new segment. Tests alone may choose the salt: one salt twice under
 * one data key is one (key, nonce) pair for two plaintexts.
 */
kms_err stream_segment_new(const struct stream_inputs *inputs,
	const uint8_t salt[STREAM_SALT_BYTES], struct stream_keys *ret_keys,
	struct kms_buf *ret_header);
/* The keys of a segment that exists. INTEGRITY, logged, when the commitment is to another key. */
kms_err stream_segment_keys(const struct stream_header *header, const struct kms_secret *key,
	struct stream_keys *ret_keys);
/* A slot's bytes for that wrapped key. */
kms_err stream_slot_write(
	uint64_t sequence, struct kms_bytes wrapped, uint8_t ret_slot[STREAM_SLOT_BYTES]);

/* Chunks; one thread at a time. */
struct stream_codec;
kms_err stream_codec_new(const struct stream_keys *keys, struct stream_codec **ret_codec);
void stream_codec_free(struct stream_codec **codec);
/* ret_record has room for in.len and a tag. */
kms_err stream_chunk_seal(struct stream_codec *codec, uint64_t index, bool last,
	struct kms_bytes in, uint8_t *ret_record);
/* ret_plain has room for record.len without the tag. */
kms_err stream_chunk_open(struct stream_codec *codec, uint64_t index, bool last,
	struct kms_bytes record, uint8_t *ret_plain);

/*
 * The same for consecutive chunks, first being the number of the first one; ended: the stream ends
 * here, with the end mark written, or looked for.
 */
kms_err stream_run_seal(struct stream_codec *codec, uint64_t first, bool ended, struct kms_bytes in,
	uint8_t *ret_out, size_t *ret_len);
kms_err stream_run_open(struct stream_codec *codec, uint64_t first, bool ended, struct kms_bytes in,
	uint8_t *ret_out, size_t *ret_len);

/* stream_encrypt_fd without the choice of a salt. */
kms_err stream_encrypt_with_salt(int in_fd, int out_fd, const struct stream_inputs *inputs,
	const uint8_t salt[STREAM_SALT_BYTES], const struct stream_options *options);

#endif
