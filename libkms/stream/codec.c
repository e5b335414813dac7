/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of a segment: AES-256-GCM under STREAM's nonces (Hoang, Reyhanitabar, Rogaway, Vizar,
 * "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015). Runs wherever
 * libkms does. It must never seal two plaintexts under one nonce: chunk numbers only grow.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "stream_int.h"

const uint8_t STREAM_END_MARK[STREAM_END_BYTES] = {'K', 'M', 'S', 'S', 'T', 'E', 'N', 'D'};

struct stream_codec {
	struct crypto_gcm *gcm;
	struct kms_hash binding;
};

kms_err stream_codec_new(const struct stream_keys *keys, struct stream_codec **ret_codec)
{
	KMS_AUTO(stream_codec) codec = calloc(1, sizeof(*codec));
	if (codec == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	codec->binding = keys->binding;
	KMS_TRY(crypto_gcm_new(keys->segment, &codec->gcm));
	*ret_codec = kms_take(&codec);
	return KMS_OK;
}

void stream_codec_free(struct stream_codec **codec)
{
	if (*codec == NULL) {
		return;
	}
	crypto_gcm_free(&(*codec)->gcm);
	free(*codec);
	*codec = NULL;
}

/* stream.md, chunks: an 88-bit counter, then the flag of the last chunk. */
static void make_nonce(uint64_t index, bool last, uint8_t ret_nonce[CRYPTO_GCM_NONCE])
{
	memset(ret_nonce, 0, CRYPTO_GCM_NONCE);
	for (size_t i = 0; i < sizeof(index); i++) {
		ret_nonce[CRYPTO_GCM_NONCE - 2 - i] = (uint8_t)(index >> (8 * i));
	}
	ret_nonce[CRYPTO_GCM_NONCE - 1] = last ? 1 : 0;
}

kms_err stream_chunk_seal(struct stream_codec *codec, uint64_t index, bool last,
	struct kms_bytes in, uint8_t *ret_record)
{
	uint8_t nonce[CRYPTO_GCM_NONCE];
	make_nonce(index, last, nonce);
	return crypto_gcm_seal(codec->gcm, nonce, KMS_BYTES_OF(codec->binding.b), in, ret_record,
		ret_record + in.len);
}

kms_err stream_chunk_open(struct stream_codec *codec, uint64_t index, bool last,
	struct kms_bytes record, uint8_t *ret_plain)
{
	/* stream.md, chunks: no chunk is empty but the only one of an empty plaintext. */
	size_t least = last && index == 0 ? STREAM_TAG_BYTES : STREAM_TAG_BYTES + 1;
	if (record.len < least || record.len > STREAM_RECORD_BYTES) {
		return KMS_ERR(INTEGRITY);
	}
	uint8_t nonce[CRYPTO_GCM_NONCE];
	make_nonce(index, last, nonce);
	struct kms_bytes sealed = {record.ptr, record.len - STREAM_TAG_BYTES};
	return crypto_gcm_open(codec->gcm, nonce, KMS_BYTES_OF(codec->binding.b), sealed,
		record.ptr + sealed.len, ret_plain);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

kms_err stream_run_seal(struct stream_codec *codec, uint64_t first, bool ended, struct kms_bytes in,
	uint8_t *ret_out, size_t *ret_len)
{
	size_t at = 0;
	uint8_t *out = ret_out;
	do { /* once for an empty plaintext */
		struct kms_bytes chunk = {in.ptr + at, smaller(in.len - at, STREAM_CHUNK_BYTES)};
		at += chunk.len;
		KMS_TRY(stream_chunk_seal(codec, first++, ended && at == in.len, chunk, out));
		out += chunk.len + STREAM_TAG_BYTES;
	} while (at < in.len);
	if (ended) {
		memcpy(out, STREAM_END_MARK, STREAM_END_BYTES);
		out += STREAM_END_BYTES;
	}
	*ret_len = (size_t)(out - ret_out);
	return KMS_OK;
}

/*
 * The mark is no proof of anything: the last chunk's flag is. It tells a cut from a change, which
 * no tag can.
 */
static kms_err cut_end_mark(struct kms_bytes *bytes)
{
	if (bytes->len >= STREAM_END_BYTES && memcmp(bytes->ptr + bytes->len - STREAM_END_BYTES,
						      STREAM_END_MARK, STREAM_END_BYTES) == 0) {
		bytes->len -= STREAM_END_BYTES;
		return KMS_OK;
	}
	if (bytes->len > 0 &&
		memmem(bytes->ptr, bytes->len, STREAM_END_MARK, STREAM_END_BYTES) != NULL) {
		return KMS_ERR(INTEGRITY); /* something was added behind it */
	}
	return KMS_ERR(TRUNCATED);
}

kms_err stream_run_open(struct stream_codec *codec, uint64_t first, bool ended, struct kms_bytes in,
	uint8_t *ret_out, size_t *ret_len)
{
	if (ended) {
		KMS_TRY(cut_end_mark(&in));
	}
	size_t at = 0;
	uint8_t *out = ret_out;
	do {
		struct kms_bytes record = {in.ptr + at, smaller(in.len - at, STREAM_RECORD_BYTES)};
		at += record.len;
		KMS_TRY(stream_chunk_open(codec, first++, ended && at == in.len, record, out));
		out += record.len - STREAM_TAG_BYTES;
	} while (at < in.len);
	*ret_len = (size_t)(out - ret_out);
	return KMS_OK;
}
