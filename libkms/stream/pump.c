/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From descriptor to descriptor: workers that take turns at reading a batch, work on it side by
 * side, and take turns, in the same order, at writing it. Runs wherever libkms does. Nothing of a
 * batch may be written before all of it is verified and all before it is written, so the error
 * that is returned is always the one of the first bad batch.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "stream_int.h"

enum {
	BATCH_CHUNKS = 4, /* 256 KiB in, 256 KiB out: both fit a core's second-level cache */
	IN_MAX = BATCH_CHUNKS * STREAM_RECORD_BYTES + STREAM_DECRYPT_AHEAD,
	OUT_MAX = BATCH_CHUNKS * STREAM_RECORD_BYTES + STREAM_END_BYTES,
	AUTO_THREADS = 4,
	SMALL_BYTES = 1024 * 1024, /* a second thread does not pay below this */
	PIPE_BYTES = 1024 * 1024,
};

struct direction {
	size_t batch; /* bytes of BATCH_CHUNKS chunks on their way in */
	size_t ahead; /* bytes behind a batch that show that the stream goes on */
	kms_err (*run)(struct stream_codec *codec, uint64_t first, bool ended, struct kms_bytes in,
		uint8_t *ret_out, size_t *ret_len);
	bool plain_in;
};

static const struct direction ENCRYPT = {
	BATCH_CHUNKS * STREAM_CHUNK_BYTES, 1, stream_run_seal, true};
static const struct direction DECRYPT = {
	BATCH_CHUNKS * STREAM_RECORD_BYTES, STREAM_DECRYPT_AHEAD, stream_run_open, false};

/* Lock order: in_lock and out_lock are never held together. */
struct pump {
	const struct direction *direction;
	const struct stream_options *options;

	pthread_mutex_t in_lock; /* what follows */
	int in_fd;
	uint64_t next;
	uint8_t carry[STREAM_DECRYPT_AHEAD]; /* read behind the last batch */
	size_t carry_len;
	bool ended;

	pthread_mutex_t out_lock; /* what follows */
	pthread_cond_t out_turn;
	int out_fd;
	uint64_t turn;
	uint64_t done_bytes;
	kms_err err;      /* of the first bad batch: everything stops */
	int error_number; /* its errno, which is the failing thread's alone */
};

struct worker {
	struct pump *pump;
	struct stream_codec *codec;
	pthread_t thread;
	uint64_t batch;
	bool ended;       /* the batch is the last one */
	int error_number; /* errno, where reading it failed */
	size_t in_len;
	size_t out_len;
	uint8_t *in;
	uint8_t *out;
};

static void enter(pthread_mutex_t *lock)
{
	KMS_ASSERT(pthread_mutex_lock(lock) == 0);
}

static void leave(pthread_mutex_t *lock)
{
	KMS_ASSERT(pthread_mutex_unlock(lock) == 0);
}

static kms_err failed(const char *action)
{
	int saved_errno = errno;
	kms_log(KMS_LOG_ERROR, "cannot %s: %s", action, strerror(saved_errno));
	errno = saved_errno;
	return KMS_ERR(IO);
}

static kms_err read_batch(struct pump *pump, struct worker *worker)
{
	size_t batch = pump->direction->batch;
	size_t want = batch + pump->direction->ahead;
	memcpy(worker->in, pump->carry, pump->carry_len);
	size_t got;
	if (!kms_is_ok(kms_fd_read_full(
		    pump->in_fd, worker->in + pump->carry_len, want - pump->carry_len, &got))) {
		return failed("read the input");
	}
	worker->in_len = pump->carry_len + got;
	worker->ended = worker->in_len < want;
	if (!worker->ended) {
		pump->carry_len = pump->direction->ahead;
		memcpy(pump->carry, worker->in + batch, pump->carry_len);
		worker->in_len = batch;
	}
	return KMS_OK;
}

/* False when no batch is left. A failure is kept for the batch's turn. */
static bool take_batch(struct pump *pump, struct worker *worker, kms_err *ret_err)
{
	enter(&pump->in_lock);
	bool more = !pump->ended;
	if (more) {
		worker->batch = pump->next++;
		*ret_err = read_batch(pump, worker);
		worker->error_number = errno;
		pump->ended = !kms_is_ok(*ret_err) || worker->ended;
	}
	leave(&pump->in_lock);
	return more;
}

static kms_err write_batch(struct pump *pump, const struct worker *worker)
{
	struct kms_bytes bytes = {worker->out, worker->out_len};
	if (!kms_is_ok(kms_fd_write_all(pump->out_fd, bytes))) {
		return failed("write the output");
	}
	pump->done_bytes += pump->direction->plain_in ? worker->in_len : worker->out_len;
	const struct stream_options *options = pump->options;
	return options->progress == NULL
		       ? KMS_OK
		       : options->progress(options->progress_arg, pump->done_bytes);
}

/* Wait for the batch's turn, then write it, or stop everything by err. False when stopped. */
static bool put_batch(struct pump *pump, const struct worker *worker, kms_err err)
{
	enter(&pump->out_lock);
	while (pump->turn != worker->batch && kms_is_ok(pump->err)) {
		KMS_ASSERT(pthread_cond_wait(&pump->out_turn, &pump->out_lock) == 0);
	}
	if (kms_is_ok(pump->err)) {
		pump->err = kms_is_ok(err) ? write_batch(pump, worker) : err;
		pump->error_number = kms_is_ok(err) ? errno : worker->error_number;
		pump->turn++;
	}
	bool going = kms_is_ok(pump->err);
	KMS_ASSERT(pthread_cond_broadcast(&pump->out_turn) == 0);
	leave(&pump->out_lock);
	return going;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct pump *pump = worker->pump;
	bool going = true;
	kms_err err = KMS_OK;
	while (going && take_batch(pump, worker, &err)) {
		if (kms_is_ok(err)) {
			struct kms_bytes in = {worker->in, worker->in_len};
			err = pump->direction->run(worker->codec, worker->batch * BATCH_CHUNKS,
				worker->ended, in, worker->out, &worker->out_len);
		}
		going = put_batch(pump, worker, err);
	}
	return NULL;
}

static kms_err worker_init(struct worker *worker, struct pump *pump, const struct stream_keys *keys)
{
	worker->pump = pump;
	worker->in = malloc(IN_MAX);
	worker->out = malloc(OUT_MAX);
	if (worker->in == NULL || worker->out == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	return stream_codec_new(keys, &worker->codec);
}

static void worker_clear(struct worker *worker)
{
	if (worker->in != NULL) {
		explicit_bzero(worker->in, IN_MAX);
	}
	if (worker->out != NULL) {
		explicit_bzero(worker->out, OUT_MAX);
	}
	free(worker->in);
	free(worker->out);
	stream_codec_free(&worker->codec);
}

/* The calling thread is the first worker; a thread that does not start is done without. */
static void run_workers(struct worker *workers, size_t count)
{
	size_t started = 1;
	while (started < count &&
		pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0) {
		started++;
	}
	(void)work(&workers[0]);
	for (size_t i = 1; i < started; i++) {
		KMS_ASSERT(pthread_join(workers[i].thread, NULL) == 0);
	}
}

/* Threads that do not wait for a slow pipe with the error of another in their hands. */
static size_t count_threads(int in_fd, const struct stream_options *options)
{
	if (options->threads > 0) {
		return options->threads < STREAM_THREADS_MAX ? options->threads
							     : STREAM_THREADS_MAX;
	}
	struct stat st;
	cpu_set_t cpus;
	if (fstat(in_fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < SMALL_BYTES ||
		sched_getaffinity(0, sizeof(cpus), &cpus) != 0) {
		return 1;
	}
	int count = CPU_COUNT(&cpus);
	return count < AUTO_THREADS ? (size_t)count : AUTO_THREADS;
}

/* Fewer wake-ups per byte; where it is not allowed, or no pipe, it stays as it is. */
static void widen_pipe(int fd)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
		(void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
	}
}

static kms_err pump(const struct direction *direction, int in_fd, int out_fd,
	const struct stream_keys *keys, const struct stream_options *options)
{
	static const struct stream_options DEFAULTS;
	struct pump pump = {.direction = direction,
		.options = options == NULL ? &DEFAULTS : options,
		.in_lock = PTHREAD_MUTEX_INITIALIZER,
		.in_fd = in_fd,
		.out_lock = PTHREAD_MUTEX_INITIALIZER,
		.out_turn = PTHREAD_COND_INITIALIZER,
		.out_fd = out_fd};
	struct worker workers[STREAM_THREADS_MAX] = {0};
	size_t count = count_threads(in_fd, pump.options);
	widen_pipe(in_fd);
	widen_pipe(out_fd);
	kms_err err = KMS_OK;
	for (size_t i = 0; i < count && kms_is_ok(err); i++) {
		err = worker_init(&workers[i], &pump, keys);
	}
	if (kms_is_ok(err)) {
		run_workers(workers, count);
		err = pump.err;
	}
	for (size_t i = 0; i < count; i++) {
		worker_clear(&workers[i]);
	}
	if (kms_is(err, KMS_CODE_IO)) {
		errno = pump.error_number;
	}
	return err;
}

kms_err stream_encrypt_with_salt(int in_fd, int out_fd, const struct stream_inputs *inputs,
	const uint8_t salt[STREAM_SALT_BYTES], const struct stream_options *options)
{
	STREAM_AUTO_KEYS keys = {0};
	KMS_AUTO_BUF header = {0};
	KMS_TRY(stream_segment_new(inputs, salt, &keys, &header));
	if (!kms_is_ok(kms_fd_write_all(out_fd, kms_buf_bytes(&header)))) {
		return failed("write the output");
	}
	return pump(&ENCRYPT, in_fd, out_fd, &keys, options);
}

kms_err stream_encrypt_fd(int in_fd, int out_fd, const struct stream_inputs *inputs,
	const struct stream_options *options)
{
	uint8_t salt[STREAM_SALT_BYTES];
	kms_random(salt, sizeof(salt));
	return stream_encrypt_with_salt(in_fd, out_fd, inputs, salt, options);
}

kms_err stream_decrypt_fd(int in_fd, int out_fd, const struct stream_header *header,
	const struct kms_secret *key, const struct stream_options *options)
{
	STREAM_AUTO_KEYS keys = {0};
	KMS_TRY(stream_segment_keys(header, key, &keys));
	return pump(&DECRYPT, in_fd, out_fd, &keys, options);
}
