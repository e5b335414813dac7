/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libkms's bulk path from file to file, beside a plain copy of the same shape and the cipher alone.
 * Files lie in a folder that should be on tmpfs, and are rewritten in place: fresh pages and disks
 * would be all that is measured.
 *
 *	bench-stream FOLDER MEGABYTES
 *
 * Commands: encrypt|decrypt|copy|cipher THREADS     (cipher: EVP AES-256-GCM, 64 KiB at a time, as
 *	`openssl speed -evp aes-256-gcm -bytes 65536` calls it)
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lap.h"
#include "stream.h"

enum { THREADS_MAX = 2, COPY_BYTES = 256 * 1024, MEGABYTES_MAX = 16384, NONCE = 12 };

struct bench {
	int plain, sealed, out;
	uint64_t bytes;
	unsigned threads;
	struct kms_secret *key;
	struct stream_header *header;
};

struct part {
	struct bench *bench;
	kms_err (*run)(struct part *part);
	pthread_t thread;
	uint64_t from, to;
	kms_err err;
};

/* ---- ours ---- */

static kms_err encrypt_to(struct bench *bench, int fd)
{
	static const uint8_t wrapped[210]; /* a header's worth; nobody unwraps it */
	const struct stream_inputs inputs = {.key = bench->key, .wrapped = KMS_BYTES_OF(wrapped)};
	const struct stream_options options = {.threads = bench->threads};
	if (lseek(bench->plain, 0, SEEK_SET) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
		return KMS_ERR(IO);
	}
	return stream_encrypt_fd(bench->plain, fd, &inputs, &options);
}

static kms_err encrypt(void *arg, unsigned thread)
{
	struct bench *bench = arg;
	(void)thread;
	return encrypt_to(bench, bench->out);
}

static kms_err decrypt(void *arg, unsigned thread)
{
	struct bench *bench = arg;
	const struct stream_options options = {.threads = bench->threads};
	(void)thread;
	if (lseek(bench->sealed, (off_t)bench->header->bytes, SEEK_SET) < 0 ||
		lseek(bench->out, 0, SEEK_SET) != 0) {
		return KMS_ERR(IO);
	}
	return stream_decrypt_fd(bench->sealed, bench->out, bench->header, bench->key, &options);
}

/* ---- the limits beside it ---- */

static void *run_part(void *arg)
{
	struct part *part = arg;
	part->err = part->run(part);
	return NULL;
}

/* An equal range of the bytes for each thread. */
static kms_err run_parts(struct bench *bench, kms_err (*run)(struct part *part))
{
	struct part parts[THREADS_MAX];
	uint64_t each = bench->bytes / bench->threads;
	for (unsigned i = 0; i < bench->threads; i++) {
		parts[i] = (struct part){
			.bench = bench, .run = run, .from = each * i, .to = each * (i + 1)};
		KMS_ASSERT(pthread_create(&parts[i].thread, NULL, run_part, &parts[i]) == 0);
	}
	kms_err err = KMS_OK;
	for (unsigned i = 0; i < bench->threads; i++) {
		KMS_ASSERT(pthread_join(parts[i].thread, NULL) == 0);
		err = kms_is_ok(err) ? parts[i].err : err;
	}
	return err;
}

static kms_err copy_part(struct part *part)
{
	uint8_t *buf KMS_AUTO_FREE = malloc(COPY_BYTES);
	if (buf == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (uint64_t at = part->from; at < part->to;) {
		size_t want = part->to - at < COPY_BYTES ? (size_t)(part->to - at) : COPY_BYTES;
		ssize_t n = pread(part->bench->plain, buf, want, (off_t)at);
		if (n <= 0 || pwrite(part->bench->out, buf, (size_t)n, (off_t)at) != n) {
			return KMS_ERR(IO);
		}
		at += (uint64_t)n;
	}
	return KMS_OK;
}

/* Key schedule once, a nonce and a tag for each chunk, always the same cached buffer. */
static bool cipher_chunks(EVP_CIPHER_CTX *ctx, uint8_t *buf, const struct part *part)
{
	uint8_t nonce[NONCE] = {0};
	uint8_t tag[STREAM_TAG_BYTES];
	int len;
	for (uint64_t at = part->from; at < part->to; at += STREAM_CHUNK_BYTES) {
		memcpy(nonce, &at, sizeof(at));
		if (EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) != 1 ||
			EVP_EncryptUpdate(ctx, buf, &len, buf, STREAM_CHUNK_BYTES) != 1 ||
			EVP_EncryptFinal_ex(ctx, buf, &len) != 1 ||
			EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) != 1) {
			return false;
		}
	}
	return true;
}

static kms_err cipher_part(struct part *part)
{
	const uint8_t *key = kms_secret_cptr(part->bench->key);
	uint8_t *buf KMS_AUTO_FREE = calloc(1, STREAM_CHUNK_BYTES);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool done = buf != NULL && ctx != NULL &&
		    EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, NULL, NULL) == 1 &&
		    cipher_chunks(ctx, buf, part);
	EVP_CIPHER_CTX_free(ctx);
	return done ? KMS_OK : KMS_ERR(INTERNAL);
}

static kms_err copy(void *arg, unsigned thread)
{
	(void)thread;
	return run_parts(arg, copy_part);
}

static kms_err cipher(void *arg, unsigned thread)
{
	(void)thread;
	return run_parts(arg, cipher_part);
}

/* ---- set-up and commands ---- */

static kms_err open_file(const char *folder, const char *name, int *ret_fd)
{
	char *path KMS_AUTO_FREE = NULL;
	KMS_TRY(kms_text(&path, "%s/%s", folder, name));
	*ret_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? KMS_ERR(IO) : KMS_OK;
}

/* Every page of every file is there before the first lap. */
static kms_err prepare(struct bench *bench, const char *folder)
{
	uint8_t *block KMS_AUTO_FREE = malloc(COPY_BYTES);
	if (block == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_random(block, COPY_BYTES);
	KMS_TRY(open_file(folder, "plain", &bench->plain));
	KMS_TRY(open_file(folder, "sealed", &bench->sealed));
	KMS_TRY(open_file(folder, "out", &bench->out));
	for (uint64_t at = 0; at < bench->bytes; at += COPY_BYTES) {
		memcpy(block, &at, sizeof(at));
		KMS_TRY(kms_fd_write_all(bench->plain, (struct kms_bytes){block, COPY_BYTES}));
	}
	KMS_TRY(kms_secret_new(32, &bench->key));
	kms_random(kms_secret_ptr(bench->key), 32);
	bench->threads = 1;
	KMS_TRY(encrypt_to(bench, bench->sealed));
	KMS_TRY(encrypt_to(bench, bench->out));
	if (lseek(bench->sealed, 0, SEEK_SET) != 0) {
		return KMS_ERR(IO);
	}
	return stream_header_read_fd(bench->sealed, &bench->header);
}

static kms_err serve(struct bench *bench)
{
	static const struct {
		const char *name;
		lap_call call;
	} rows[] = {{"encrypt", encrypt}, {"decrypt", decrypt}, {"copy", copy}, {"cipher", cipher}};
	char line[64];
	const char *words[LAP_WORDS];
	while (lap_command(line, sizeof(line), words)) {
		lap_call call = NULL;
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			call = strcmp(rows[i].name, words[0]) == 0 ? rows[i].call : call;
		}
		bench->threads = lap_number(words[1], THREADS_MAX);
		if (call == NULL || bench->threads == 0) {
			return KMS_ERR(ARGUMENT);
		}
		KMS_TRY(lap_bytes(bench->bytes, call, bench));
	}
	return KMS_OK;
}

int main(int argc, char *argv[])
{
	struct bench bench = {.plain = -1, .sealed = -1, .out = -1};
	kms_log_set("bench-stream", KMS_LOG_WARNING);
	unsigned megabytes = argc == 3 ? lap_number(argv[2], MEGABYTES_MAX) : 0;
	bench.bytes = (uint64_t)megabytes * 1024 * 1024;
	kms_err err = megabytes == 0 ? KMS_ERR(ARGUMENT) : prepare(&bench, argv[1]);
	if (kms_is_ok(err)) {
		err = serve(&bench);
	}
	stream_header_free(&bench.header);
	kms_secret_free(&bench.key);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s", kms_err_text(err));
	}
	return kms_err_exit_code(err);
}
