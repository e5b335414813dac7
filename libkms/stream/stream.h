/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: encrypted files and pipes of any size, format version 1 (docs/formats/stream.md):
 * AES-256-GCM chunks of 64 KiB, so that a change, cut, swap, repetition or splice is an error.
 * It knows neither what an encryption context means nor how a wrapped key is made: both are bytes
 * here. Its maxima stand here and not in model/limits.h, since they are numbers of the format.
 * Where a function says IO, it has logged why and errno says it too.
 */
#ifndef KMS_STREAM_H
#define KMS_STREAM_H

#include "base.h"

enum {
	STREAM_CHUNK_BYTES = 64 * 1024, /* plaintext of every chunk but the last */
	STREAM_TAG_BYTES = 16,          /* after each chunk */
	STREAM_SALT_BYTES = 32,
	STREAM_COMMITMENT_BYTES = 32,
	STREAM_END_BYTES = 8,      /* the mark at the end */
	STREAM_CONTEXT_MAX = 8192, /* canonical bytes of an encryption context */
	STREAM_WRAPPED_MAX = 1024, /* bytes of a wrapped key */
	STREAM_SLOT_BYTES = 8 + 2 + STREAM_WRAPPED_MAX + 32,
	STREAM_SLOTS = 2,
	STREAM_FIXED_BYTES = 80, /* before the slots */
	STREAM_HEADER_MIN = STREAM_FIXED_BYTES + STREAM_SLOTS * STREAM_SLOT_BYTES,
	STREAM_HEADER_MAX = STREAM_HEADER_MIN + STREAM_CONTEXT_MAX,
	STREAM_THREADS_MAX = 16,
};

/* ---- header (header.c, rewrap.c) ---- */

struct stream_header {
	uint8_t salt[STREAM_SALT_BYTES];
	uint8_t commitment[STREAM_COMMITMENT_BYTES]; /* to the data key */
	struct kms_hash binding; /* of every header byte that never changes; every chunk's AAD */
	struct kms_buf context;  /* as it was given when the file was made; owned */
	struct kms_buf wrapped;  /* of the slot that counts; owned */
	uint64_t sequence;       /* of that slot; grows by one with each rewrap */
	uint32_t slot;           /* 0 or 1 */
	bool torn;               /* the other slot holds bytes that are no slot: a rewrap died */
	size_t bytes;            /* the first chunk starts here */
};
void stream_header_free(struct stream_header **header);
/*
 * Parse the header that bytes start with; more may follow. Nothing in it is authenticated before
 * the data key has opened a chunk. FORMAT: no stream, or not as the format wants it. VERSION:
 * version, suite or flags of a later day. TRUNCATED: ends within the header. INTEGRITY: no slot is
 * whole.
 */
kms_err stream_header_read(struct kms_bytes bytes, struct stream_header **ret_header);
/* The same from a descriptor, which then stands at the first chunk. IO as well. */
kms_err stream_header_read_fd(int fd, struct stream_header **ret_header);
/*
 * Replace the wrapped key in the file's header in place: the slot that does not count is written,
 * made durable, and counts from then on. After a crash the file has the one or the other. The
 * caller shows by expected_old that it knows what it replaces: ARGUMENT when the file holds
 * another (somebody else was faster).
 */
kms_err stream_header_rewrap(
	const char *path, struct kms_bytes expected_old, struct kms_bytes new_wrapped);

/* ---- descriptors and files (pump.c, file.c) ---- */

/* What a new stream is made of; all borrowed. A fresh random salt is drawn for each, so a data key
 * may serve several streams. */
struct stream_inputs {
	const struct kms_secret *key; /* the data key, 32 bytes */
	struct kms_bytes context;     /* canonical; may be empty */
	struct kms_bytes wrapped;     /* 1 .. STREAM_WRAPPED_MAX bytes */
};
/* NULL or zeroed for the defaults. */
struct stream_options {
	/* Told the plaintext bytes that are done, about every 256 KiB, from any thread but never
	 * from two at once. An error from it stops the work and is returned. */
	kms_err (*progress)(void *arg, uint64_t done_bytes);
	void *progress_arg;
	uint32_t threads; /* 0: one per CPU, at most four, for regular files; one otherwise */
	bool force;       /* files: replace what is there */
	uint32_t mode;    /* files: permissions of the output; 0 stands for 0600 */
};

/*
 * Encrypt everything from in_fd to out_fd, each a file, pipe or socket at its present position.
 * ARGUMENT: key or wrapped key of a wrong length. TOO_LARGE: context or wrapped key. IO, logged:
 * reading or writing failed; SIGPIPE is the caller's to ignore. What was written is then no whole
 * stream, and no reader takes it for one.
 */
kms_err stream_encrypt_fd(int in_fd, int out_fd, const struct stream_inputs *inputs,
	const struct stream_options *options);
/*
 * Decrypt what follows the header in in_fd. No byte is written before its chunk is verified, and
 * none that follows a bad chunk; but bytes do go out before the end is known, so a reader of a pipe
 * must look at the result. INTEGRITY: another key (said in the log; nothing was written), or
 * changed, swapped, repeated, added bytes. TRUNCATED: the stream has no end.
 */
kms_err stream_decrypt_fd(int in_fd, int out_fd, const struct stream_header *header,
	const struct kms_secret *key, const struct stream_options *options);

/*
 * The same into a file that appears under its name only when it is whole, verified and durable.
 * When anything fails, or the process is killed, there is no such file (where the file system has
 * no nameless files, a kill may leave one named .NAME.xxxxxxxx.part). EXISTS: it is there and
 * `force` is not set, or what is there is no regular file.
 */
kms_err stream_encrypt_file(int in_fd, const char *out_path, const struct stream_inputs *inputs,
	const struct stream_options *options);
kms_err stream_decrypt_file(int in_fd, const char *out_path, const struct stream_header *header,
	const struct kms_secret *key, const struct stream_options *options);

/* ---- buffers (coder.c) ---- */

/* For callers with their own transport. Output is appended to a writer of theirs; after an error
 * a coder is only good to be freed. */
struct stream_encoder;
/* Writes the header. */
kms_err stream_encoder_new(const struct stream_inputs *inputs, struct kms_writer *out,
	struct stream_encoder **ret_encoder);
void stream_encoder_free(struct stream_encoder **encoder);
kms_err stream_encoder_put(
	struct stream_encoder *encoder, struct kms_bytes plain, struct kms_writer *out);
kms_err stream_encoder_end(struct stream_encoder *encoder, struct kms_writer *out);

struct stream_decoder;
kms_err stream_decoder_new(const struct stream_header *header, const struct kms_secret *key,
	struct stream_decoder **ret_decoder);
void stream_decoder_free(struct stream_decoder **decoder);
/* Takes what follows the header, cut anywhere; errors as stream_decrypt_fd. */
kms_err stream_decoder_put(
	struct stream_decoder *decoder, struct kms_bytes sealed, struct kms_writer *out);
/* Without this the plaintext may lack its end. */
kms_err stream_decoder_end(struct stream_decoder *decoder, struct kms_writer *out);

/* ---- random access (reader.c) ---- */

/* One thread at a time. The descriptor is borrowed, must be a regular file with the stream at
 * offset 0, and keeps its position. */
struct stream_reader;
/* Checks key, end mark and last chunk, so that the size is known to be true. */
kms_err stream_reader_new(int fd, const struct stream_header *header, const struct kms_secret *key,
	struct stream_reader **ret_reader);
void stream_reader_free(struct stream_reader **reader);
/* Plaintext bytes. */
uint64_t stream_reader_size(const struct stream_reader *reader);
/* Up to len bytes from offset: fewer only at the end, none past it. On an error ret_bytes may hold
 * some that were verified; ret_len is not written. */
kms_err stream_read_at(struct stream_reader *reader, uint64_t offset, size_t len, void *ret_bytes,
	size_t *ret_len);

#endif
