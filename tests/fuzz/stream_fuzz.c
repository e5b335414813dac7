/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's header, its chunks through the decoder, and the random-access reader. Every file of
 * the corpus is of one data key and one plaintext, so whatever opens must give that plaintext:
 * anything else is a forgery. Decoder and reader must agree on every input.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "stream.h"

static const char PLAIN[] = "crypto-erase\n";
enum { PLAIN_LEN = sizeof(PLAIN) - 1 };

static kms_err decode(const struct stream_header *header, const struct kms_secret *key,
	struct kms_bytes rest, struct kms_writer *out)
{
	KMS_AUTO(stream_decoder) decoder = NULL;
	KMS_TRY(stream_decoder_new(header, key, &decoder));
	/* Two pieces: the border must not matter. */
	size_t half = rest.len / 2;
	KMS_TRY(stream_decoder_put(decoder, (struct kms_bytes){rest.ptr, half}, out));
	KMS_TRY(stream_decoder_put(
		decoder, (struct kms_bytes){rest.ptr + half, rest.len - half}, out));
	return stream_decoder_end(decoder, out);
}

static kms_err read_all(const struct stream_header *header, const struct kms_secret *key, int fd,
	struct kms_writer *out)
{
	KMS_AUTO(stream_reader) reader = NULL;
	KMS_TRY(stream_reader_new(fd, header, key, &reader));
	uint64_t size = stream_reader_size(reader);
	uint8_t piece[1000];
	size_t got;
	for (uint64_t at = 0; at < size; at += got) {
		KMS_TRY(stream_read_at(reader, at, sizeof(piece), piece, &got));
		KMS_ASSERT(got > 0);
		kms_write_fixed(out, piece, got);
	}
	return KMS_OK;
}

static void check_plain(kms_err err, const struct kms_writer *out)
{
	struct kms_bytes plain;
	if (kms_is_ok(err)) {
		KMS_ASSERT(kms_is_ok(kms_writer_bytes(out, &plain)));
		KMS_ASSERT(plain.len == PLAIN_LEN && memcmp(plain.ptr, PLAIN, PLAIN_LEN) == 0);
	}
}

static const struct kms_secret *corpus_key(void)
{
	static struct kms_secret *key; /* made once */
	if (key == NULL) {
		uint8_t bytes[32];
		for (size_t i = 0; i < sizeof(bytes); i++) {
			bytes[i] = (uint8_t)i;
		}
		KMS_ASSERT(kms_is_ok(kms_secret_copy(KMS_BYTES_OF(bytes), &key)));
	}
	return key;
}

static int memory_file(struct kms_bytes bytes)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	KMS_ASSERT(fd >= 0 && kms_is_ok(kms_fd_write_all(fd, bytes)));
	KMS_ASSERT(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kms_bytes input = {data, size};
	int fd = memory_file(input);
	KMS_AUTO(stream_header) header = NULL;
	KMS_AUTO(stream_header) by_fd = NULL;
	kms_err err = stream_header_read(input, &header);
	kms_err err_fd = stream_header_read_fd(fd, &by_fd);
	KMS_ASSERT(kms_is_ok(err) == kms_is_ok(err_fd));
	if (kms_is_ok(err)) {
		KMS_ASSERT(header->bytes <= size && header->bytes == by_fd->bytes);
		KMS_ASSERT(lseek(fd, 0, SEEK_CUR) == (off_t)header->bytes);
		struct kms_bytes rest = {data + header->bytes, size - header->bytes};
		KMS_AUTO_WRITER decoded = kms_writer_grow(size);
		KMS_AUTO_WRITER read = kms_writer_grow(size);
		err = decode(header, corpus_key(), rest, &decoded);
		err_fd = read_all(header, corpus_key(), fd, &read);
		KMS_ASSERT(kms_is_ok(err) == kms_is_ok(err_fd));
		check_plain(err, &decoded);
		check_plain(err_fd, &read);
	}
	(void)close(fd);
	return 0;
}
