/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random access. Runs wherever libkms does. It must never answer from a chunk that is not
 * verified, nor for a file whose end is not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream_int.h"

struct stream_reader {
	struct stream_codec *codec;
	int fd;
	uint64_t start; /* of the first chunk in the file */
	uint64_t size;  /* of the plaintext */
	uint64_t last;  /* number of the last chunk */
	bool loaded;    /* `plain` holds chunk `index` */
	uint64_t index;
	uint8_t record[STREAM_RECORD_BYTES];
	uint8_t plain[STREAM_CHUNK_BYTES];
};

/* TRUNCATED when the file is shorter, as it may have become. */
static kms_err read_exact(int fd, uint64_t offset, uint8_t *into, size_t len)
{
	size_t have = 0;
	while (have < len) {
		ssize_t got = pread(fd, into + have, len - have, (off_t)(offset + have));
		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			int saved_errno = errno;
			kms_log(KMS_LOG_ERROR, "cannot read the encrypted file: %s",
				strerror(saved_errno));
			errno = saved_errno;
			return KMS_ERR(IO);
		}
		if (got == 0) {
			return KMS_ERR(TRUNCATED);
		}
		have += (size_t)got;
	}
	return KMS_OK;
}

/* Where the end mark says the end is. */
static kms_err find_end(struct stream_reader *reader)
{
	struct stat st;
	if (fstat(reader->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		return KMS_ERR(ARGUMENT);
	}
	uint64_t file_size = (uint64_t)st.st_size;
	if (file_size < reader->start + STREAM_TAG_BYTES + STREAM_END_BYTES) {
		return KMS_ERR(TRUNCATED);
	}
	uint8_t mark[STREAM_END_BYTES];
	uint64_t end = file_size - STREAM_END_BYTES;
	KMS_TRY(read_exact(reader->fd, end, mark, sizeof(mark)));
	if (memcmp(mark, STREAM_END_MARK, sizeof(mark)) != 0) {
		return KMS_ERR(TRUNCATED);
	}
	uint64_t sealed = end - reader->start;
	uint64_t records = (sealed + STREAM_RECORD_BYTES - 1) / STREAM_RECORD_BYTES;
	if (sealed - (records - 1) * STREAM_RECORD_BYTES < STREAM_TAG_BYTES) {
		return KMS_ERR(INTEGRITY); /* the last chunk is shorter than its tag */
	}
	reader->last = records - 1;
	reader->size = sealed - records * STREAM_TAG_BYTES;
	return KMS_OK;
}

static kms_err load(struct stream_reader *reader, uint64_t index)
{
	if (reader->loaded && reader->index == index) {
		return KMS_OK;
	}
	reader->loaded = false;
	bool last = index == reader->last;
	size_t len = STREAM_RECORD_BYTES;
	if (last) {
		len = (size_t)(reader->size - index * STREAM_CHUNK_BYTES) + STREAM_TAG_BYTES;
	}
	KMS_TRY(read_exact(
		reader->fd, reader->start + index * STREAM_RECORD_BYTES, reader->record, len));
	struct kms_bytes record = {reader->record, len};
	KMS_TRY(stream_chunk_open(reader->codec, index, last, record, reader->plain));
	reader->index = index;
	reader->loaded = true;
	return KMS_OK;
}

kms_err stream_reader_new(int fd, const struct stream_header *header, const struct kms_secret *key,
	struct stream_reader **ret_reader)
{
	KMS_AUTO(stream_reader) reader = calloc(1, sizeof(*reader));
	if (reader == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	STREAM_AUTO_KEYS keys = {0};
	KMS_TRY(stream_segment_keys(header, key, &keys));
	KMS_TRY(stream_codec_new(&keys, &reader->codec));
	reader->fd = fd;
	reader->start = header->bytes;
	KMS_TRY(find_end(reader));
	KMS_TRY(load(reader, reader->last));
	*ret_reader = kms_take(&reader);
	return KMS_OK;
}

void stream_reader_free(struct stream_reader **reader)
{
	if (*reader == NULL) {
		return;
	}
	stream_codec_free(&(*reader)->codec);
	explicit_bzero((*reader)->plain, sizeof((*reader)->plain));
	free(*reader);
	*reader = NULL;
}

uint64_t stream_reader_size(const struct stream_reader *reader)
{
	return reader->size;
}

kms_err stream_read_at(
	struct stream_reader *reader, uint64_t offset, size_t len, void *ret_bytes, size_t *ret_len)
{
	uint8_t *into = ret_bytes;
	uint64_t left = offset < reader->size ? reader->size - offset : 0;
	size_t want = left < len ? (size_t)left : len;
	size_t done = 0;
	while (done < want) {
		uint64_t at = offset + done;
		KMS_TRY(load(reader, at / STREAM_CHUNK_BYTES));
		size_t from = (size_t)(at % STREAM_CHUNK_BYTES);
		size_t take = STREAM_CHUNK_BYTES - from;
		take = take < want - done ? take : want - done;
		memcpy(into + done, reader->plain + from, take);
		done += take;
	}
	*ret_len = want;
	return KMS_OK;
}
