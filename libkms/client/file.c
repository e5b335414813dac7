/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files under data keys, over libkms/stream. Runs inside storage systems. Nothing is written before
 * the context that was given is that of the file, and the data key was opened by the tokens.
 */
#include "client_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream.h"

static void fd_close(int *fd)
{
	if (*fd > STDERR_FILENO) {
		(void)close(*fd); /* only read from */
	}
}
#define FD_AUTO __attribute__((cleanup(fd_close))) int

/* NULL: standard input. */
static kms_err open_input(struct kms_client *client, const char *path, int *ret_fd)
{
	int fd = path == NULL ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		int error = errno;
		client_problem_set(client, "cannot open %s: %s", path, strerror(error));
		errno = error;
		return KMS_ERR(IO);
	}
	*ret_fd = fd;
	return KMS_OK;
}

/* ---- one stream, its lease and its progress ---- */

/* The data key is borrowed as long as the stream runs: what is derived from it lives as long. */
struct run {
	struct kms_client *client;
	const struct kms_context *context;
	struct kms_data_key *data_key;
	const struct kms_file_options *options;
	uint64_t total;
};

static void run_end(struct run *run)
{
	if (run->data_key != NULL) {
		kms_data_key_return(run->data_key);
		kms_data_key_free(&run->data_key);
	}
}
#define RUN_AUTO __attribute__((cleanup(run_end))) struct run

static kms_err run_begin(struct run *run, struct work *work)
{
	KMS_AUTO(kms_data_key) data_key = NULL;
	const uint8_t *bytes;
	KMS_TRY(data_key_take(work, &data_key));
	KMS_TRY(kms_data_key_borrow(data_key, &bytes));
	run->data_key = kms_take(&data_key);
	return KMS_OK;
}

/* A stream that outlives its lease asks for another, and ends where kmsd gives none. */
static kms_err tell(void *arg, uint64_t done)
{
	const struct run *run = arg;
	if (kms_data_key_lease_s(run->data_key) == 0) {
		KMS_TRY(kms_data_key_renew(run->client, run->data_key, run->context));
	}
	if (run->options == NULL || run->options->progress == NULL) {
		return KMS_OK;
	}
	return run->options->progress(run->options->progress_arg, done, run->total);
}

/* Bytes from here to the end of a regular file; 0 where there is no telling. */
static uint64_t bytes_left(int fd)
{
	struct stat st;
	off_t at = lseek(fd, 0, SEEK_CUR);
	if (at < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < at) {
		return 0;
	}
	return (uint64_t)(st.st_size - at);
}

/* Plaintext in that many bytes of chunks and end mark. */
static uint64_t plain_bytes(uint64_t sealed)
{
	const uint64_t record = STREAM_CHUNK_BYTES + STREAM_TAG_BYTES;
	if (sealed < STREAM_END_BYTES) {
		return 0;
	}
	sealed -= STREAM_END_BYTES;
	uint64_t tags = (sealed + record - 1) / record * STREAM_TAG_BYTES;
	return sealed > tags ? sealed - tags : 0;
}

static struct stream_options stream_options_of(struct run *run)
{
	struct stream_options stream = {.progress = tell, .progress_arg = run};
	if (run->options != NULL) {
		stream.threads = run->options->threads;
		stream.force = run->options->force;
	}
	return stream;
}

/* ---- encrypt, decrypt ---- */

kms_err kms_encrypt_file(struct kms_client *client, const char *key_id,
	const struct kms_context *context, const char *in_path, const char *out_path,
	const struct kms_file_options *options)
{
	FD_AUTO in = -1;
	WORK_AUTO work = {0};
	RUN_AUTO run = {client, context, NULL, options, 0};
	struct kms_id key;
	client_problem_set(client, "%s", "");
	KMS_TRY(client_key(client, key_id, &key));
	KMS_TRY(open_input(client, in_path, &in));
	KMS_TRY(work_new(client, context, &work));
	KMS_TRY(work_run(client, MODEL_OP_DATAKEY, &key, &work));
	KMS_TRY(run_begin(&run, &work));
	const struct stream_inputs inputs = {
		.key = run.data_key->key,
		.context = kms_buf_bytes(&work.canonical),
		.wrapped = kms_buf_bytes(&run.data_key->wrapped),
	};
	run.total = bytes_left(in);
	const struct stream_options stream = stream_options_of(&run);
	return out_path == NULL ? stream_encrypt_fd(in, STDOUT_FILENO, &inputs, &stream)
				: stream_encrypt_file(in, out_path, &inputs, &stream);
}

/* What the file was made with, for whoever gave something else. It is not secret. */
static void tell_context(struct kms_client *client, const struct stream_header *header)
{
	struct model_context *context KMS_AUTO_FREE = calloc(1, sizeof(*context));
	struct kms_id tenant;
	KMS_AUTO_WRITER text = kms_writer_grow(CLIENT_PROBLEM_MAX - 64);
	struct kms_bytes written;
	if (context == NULL || !kms_is_ok(format_context_read(
				       kms_buf_bytes(&header->context), context, &tenant))) {
		client_problem_set(client, "the file's header holds no encryption context");
		return;
	}
	if (!kms_id_equal(&tenant, &client->profile->tenant)) {
		client_problem_set(client, "the file is another tenant's");
		return;
	}
	for (size_t i = 0; i < context->count; i++) {
		kms_write_format(&text, " %s=%s", context->pairs[i].name, context->pairs[i].value);
	}
	if (!kms_is_ok(kms_writer_bytes(&text, &written))) {
		client_problem_set(client, "the file was made with another context");
		return;
	}
	client_problem_set(client, "the file was made with the context%.*s", (int)written.len,
		written.len == 0 ? "" : (const char *)written.ptr);
}

/* The file's own copy is compared first: it says what is missing. What binds is the hash in the
 * wrapped key, which works_run compares. */
static kms_err work_of_header(struct kms_client *client, const struct kms_context *context,
	const struct stream_header *header, struct work *ret_work)
{
	WORK_AUTO work = {0};
	KMS_TRY(work_new_wrapped(client, context, kms_buf_bytes(&header->wrapped), &work));
	if (!kms_bytes_equal(kms_buf_bytes(&work.canonical), kms_buf_bytes(&header->context))) {
		tell_context(client, header);
		return KMS_ERR(CONTEXT);
	}
	*ret_work = work;
	work = (struct work){0};
	return KMS_OK;
}

kms_err kms_decrypt_file(struct kms_client *client, const struct kms_context *context,
	const char *in_path, const char *out_path, const struct kms_file_options *options)
{
	FD_AUTO in = -1;
	KMS_AUTO(stream_header) header = NULL;
	WORK_AUTO work = {0};
	RUN_AUTO run = {client, context, NULL, options, 0};
	client_problem_set(client, "%s", "");
	KMS_TRY(open_input(client, in_path, &in));
	KMS_TRY(stream_header_read_fd(in, &header));
	KMS_TRY(work_of_header(client, context, header, &work));
	const struct kms_id key = work.use.wrapped.head.key;
	KMS_TRY(work_run(client, MODEL_OP_UNWRAP, &key, &work));
	KMS_TRY(run_begin(&run, &work));
	run.total = plain_bytes(bytes_left(in));
	const struct stream_options stream = stream_options_of(&run);
	return out_path == NULL
		       ? stream_decrypt_fd(in, STDOUT_FILENO, header, run.data_key->key, &stream)
		       : stream_decrypt_file(in, out_path, header, run.data_key->key, &stream);
}

/* ---- headers ---- */

static kms_err read_header(
	struct kms_client *client, const char *path, struct stream_header **ret_header)
{
	FD_AUTO in = -1;
	KMS_TRY(open_input(client, path, &in));
	return stream_header_read_fd(in, ret_header);
}

kms_err kms_rewrap_file(
	struct kms_client *client, const struct kms_context *context, const char *path)
{
	KMS_AUTO(stream_header) header = NULL;
	WORK_AUTO work = {0};
	KMS_AUTO_BUF rewrapped = {0};
	client_problem_set(client, "%s", "");
	if (path == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(read_header(client, path, &header));
	KMS_TRY(work_of_header(client, context, header, &work));
	const struct kms_id key = work.use.wrapped.head.key;
	KMS_TRY(work_run(client, MODEL_OP_REWRAP, &key, &work));
	KMS_TRY(format_wrapped_write(&work.use.wrapped, &rewrapped));
	return stream_header_rewrap(
		path, kms_buf_bytes(&header->wrapped), kms_buf_bytes(&rewrapped));
}

kms_err kms_file_wrapped(const char *path, uint8_t **ret_wrapped, size_t *ret_len)
{
	KMS_AUTO(stream_header) header = NULL;
	FD_AUTO in = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (in < 0) {
		return path == NULL ? KMS_ERR(ARGUMENT) : KMS_ERR(IO);
	}
	KMS_TRY(stream_header_read_fd(in, &header));
	*ret_len = header->wrapped.len;
	*ret_wrapped = kms_take(&header->wrapped.ptr);
	return KMS_OK;
}
