/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams over buffers, one chunk at a time. Runs wherever libkms does. It must never give out
 * plaintext whose chunk is not verified.
 */
#include <stdlib.h>
#include <string.h>

#include "stream_int.h"

struct stream_encoder {
	struct stream_codec *codec;
	uint64_t index;
	size_t len;
	uint8_t plain[STREAM_CHUNK_BYTES];
	uint8_t record[STREAM_RECORD_BYTES + STREAM_END_BYTES];
};

struct stream_decoder {
	struct stream_codec *codec;
	uint64_t index;
	size_t len;
	uint8_t record[STREAM_RECORD_BYTES + STREAM_DECRYPT_AHEAD];
	uint8_t plain[STREAM_CHUNK_BYTES];
};

/* Move as much of `from` as there is room for. */
static void fill(uint8_t *into, size_t cap, size_t *len, struct kms_bytes *from)
{
	size_t take = cap - *len < from->len ? cap - *len : from->len;
	if (take > 0) {
		memcpy(into + *len, from->ptr, take);
		from->ptr += take;
		from->len -= take;
		*len += take;
	}
}

static kms_err written(const struct kms_writer *out)
{
	struct kms_bytes bytes;
	return kms_writer_bytes(out, &bytes);
}

kms_err stream_encoder_new(const struct stream_inputs *inputs, struct kms_writer *out,
	struct stream_encoder **ret_encoder)
{
	KMS_AUTO(stream_encoder) encoder = calloc(1, sizeof(*encoder));
	if (encoder == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	uint8_t salt[STREAM_SALT_BYTES];
	kms_random(salt, sizeof(salt));
	STREAM_AUTO_KEYS keys = {0};
	KMS_AUTO_BUF header = {0};
	KMS_TRY(stream_segment_new(inputs, salt, &keys, &header));
	KMS_TRY(stream_codec_new(&keys, &encoder->codec));
	kms_write_bytes(out, kms_buf_bytes(&header));
	KMS_TRY(written(out));
	*ret_encoder = kms_take(&encoder);
	return KMS_OK;
}

void stream_encoder_free(struct stream_encoder **encoder)
{
	if (*encoder == NULL) {
		return;
	}
	stream_codec_free(&(*encoder)->codec);
	explicit_bzero((*encoder)->plain, sizeof((*encoder)->plain));
	free(*encoder);
	*encoder = NULL;
}

static kms_err encode(struct stream_encoder *encoder, bool ended, struct kms_writer *out)
{
	struct kms_bytes plain = {encoder->plain, encoder->len};
	size_t len;
	KMS_TRY(stream_run_seal(
		encoder->codec, encoder->index, ended, plain, encoder->record, &len));
	encoder->index++;
	encoder->len = 0;
	kms_write_fixed(out, encoder->record, len);
	return written(out);
}

kms_err stream_encoder_put(
	struct stream_encoder *encoder, struct kms_bytes plain, struct kms_writer *out)
{
	while (plain.len > 0) {
		/* A full chunk waits until it is known not to be the last. */
		if (encoder->len == sizeof(encoder->plain)) {
			KMS_TRY(encode(encoder, false, out));
		}
		fill(encoder->plain, sizeof(encoder->plain), &encoder->len, &plain);
	}
	return KMS_OK;
}

kms_err stream_encoder_end(struct stream_encoder *encoder, struct kms_writer *out)
{
	return encode(encoder, true, out);
}

kms_err stream_decoder_new(const struct stream_header *header, const struct kms_secret *key,
	struct stream_decoder **ret_decoder)
{
	KMS_AUTO(stream_decoder) decoder = calloc(1, sizeof(*decoder));
	if (decoder == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	STREAM_AUTO_KEYS keys = {0};
	KMS_TRY(stream_segment_keys(header, key, &keys));
	KMS_TRY(stream_codec_new(&keys, &decoder->codec));
	*ret_decoder = kms_take(&decoder);
	return KMS_OK;
}

void stream_decoder_free(struct stream_decoder **decoder)
{
	if (*decoder == NULL) {
		return;
	}
	stream_codec_free(&(*decoder)->codec);
	explicit_bzero((*decoder)->plain, sizeof((*decoder)->plain));
	free(*decoder);
	*decoder = NULL;
}

/* Open the first `take` buffered bytes; what is behind them moves up. */
static kms_err decode(
	struct stream_decoder *decoder, size_t take, bool ended, struct kms_writer *out)
{
	struct kms_bytes record = {decoder->record, take};
	size_t len;
	KMS_TRY(stream_run_open(
		decoder->codec, decoder->index, ended, record, decoder->plain, &len));
	decoder->index++;
	decoder->len -= take;
	memmove(decoder->record, decoder->record + take, decoder->len);
	kms_write_fixed(out, decoder->plain, len);
	return written(out);
}

kms_err stream_decoder_put(
	struct stream_decoder *decoder, struct kms_bytes sealed, struct kms_writer *out)
{
	while (sealed.len > 0) {
		fill(decoder->record, sizeof(decoder->record), &decoder->len, &sealed);
		if (decoder->len == sizeof(decoder->record)) {
			KMS_TRY(decode(decoder, STREAM_RECORD_BYTES, false, out));
		}
	}
	return KMS_OK;
}

kms_err stream_decoder_end(struct stream_decoder *decoder, struct kms_writer *out)
{
	return decode(decoder, decoder->len, true, out);
}
