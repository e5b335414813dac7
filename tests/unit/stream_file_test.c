/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams in files and pipes: outputs that appear whole or not at all, full disks, dead readers,
 * rewrap in place and what its crashes leave.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream.h"
#include "stream_int.h" /* where the slots are written by hand */

enum {
	CHUNK = STREAM_CHUNK_BYTES,
	HEADER = STREAM_HEADER_MIN + 7,
	SLOT_0 = STREAM_FIXED_BYTES,
	SLOT_1 = SLOT_0 + STREAM_SLOT_BYTES,
};

static char dir[] = "/tmp/stream-XXXXXX";
static char plain_path[64], sealed_path[64], out_path[64];
static struct kms_secret *key;
static struct stream_inputs inputs;

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(plain_path, sizeof(plain_path), "%s/plain", dir);
	(void)snprintf(sealed_path, sizeof(sealed_path), "%s/sealed", dir);
	(void)snprintf(out_path, sizeof(out_path), "%s/out", dir);
	uint8_t bytes[32] = {42};
	ck_assert(kms_is_ok(kms_secret_copy(KMS_BYTES_OF(bytes), &key)));
	inputs = (struct stream_inputs){
		.key = key, .context = kms_bytes_str("context"), .wrapped = kms_bytes_str("first")};
}

/* Files in the directory; with `clear`, removed. */
static int count_files(bool clear)
{
	DIR *d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	int count = 0;
	for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			count++;
			if (clear) {
				(void)unlinkat(dirfd(d), entry->d_name, 0);
			}
		}
	}
	(void)closedir(d);
	return count;
}

static void teardown(void)
{
	(void)count_files(true);
	(void)rmdir(dir);
	kms_secret_free(&key);
}

static struct kms_buf make_plain(size_t len)
{
	struct kms_buf buf = {malloc(len + 1), len};
	ck_assert_ptr_nonnull(buf.ptr);
	for (size_t i = 0; i < len; i++) {
		buf.ptr[i] = (uint8_t)(i * 31 + (i >> 16) * 17);
	}
	return buf;
}

static void write_plain(size_t len)
{
	KMS_AUTO_BUF plain = make_plain(len);
	ck_assert(kms_is_ok(kms_file_write(plain_path, kms_buf_bytes(&plain), 0600)));
}

static void same_files(const char *a_path, const char *b_path)
{
	KMS_AUTO_BUF a = {0};
	KMS_AUTO_BUF b = {0};
	ck_assert(kms_is_ok(kms_file_read(a_path, 1 << 30, &a)));
	ck_assert(kms_is_ok(kms_file_read(b_path, 1 << 30, &b)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&a), kms_buf_bytes(&b)));
}

static kms_err encrypt_to(const char *to, const struct stream_options *options)
{
	int in = open(plain_path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(in, 0);
	kms_err err = stream_encrypt_file(in, to, &inputs, options);
	(void)close(in);
	return err;
}

static kms_err read_header(struct stream_header **ret_header)
{
	int in = open(sealed_path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(in, 0);
	kms_err err = stream_header_read_fd(in, ret_header);
	(void)close(in);
	return err;
}

static kms_err decrypt_to(const char *to, const struct stream_options *options)
{
	int in = open(sealed_path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(in, 0);
	KMS_AUTO(stream_header) header = NULL;
	kms_err err = stream_header_read_fd(in, &header);
	if (kms_is_ok(err)) {
		err = stream_decrypt_file(in, to, header, key, options);
	}
	(void)close(in);
	return err;
}

static void damage(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;
	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	(void)close(fd);
}

/* As a kernel answers where the file system cannot do what was asked. */
static void forbid(int call, int error, bool nameless_only)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	ck_assert_ptr_nonnull(filter);
	struct scmp_arg_cmp nameless = SCMP_A2(SCMP_CMP_MASKED_EQ, O_TMPFILE, O_TMPFILE);
	ck_assert_int_eq(seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)error), call,
				 nameless_only ? 1 : 0, &nameless),
		0);
	ck_assert_int_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
}

/* The ways of making an output: without a name; with one, where there are no nameless files; and
 * where a name cannot be refused by renaming either. */
enum { WAYS = 3 };
static void choose_way(int way)
{
	if (way >= 1) {
		forbid(SCMP_SYS(openat), EOPNOTSUPP, true);
		ck_assert_int_eq(open(dir, O_TMPFILE | O_RDWR, 0600), -1);
		ck_assert_int_eq(errno, EOPNOTSUPP);
	}
	if (way >= 2) {
		forbid(SCMP_SYS(renameat2), EINVAL, false);
	}
}

START_TEST(files_come_back)
{
	choose_way(_i);
	write_plain(9 * CHUNK + 5);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	ck_assert(kms_is_ok(decrypt_to(out_path, NULL)));
	same_files(plain_path, out_path);
	ck_assert_int_eq(count_files(false), 3);
	struct stat st;
	ck_assert_int_eq(stat(out_path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_nlink, 1);
}
END_TEST

START_TEST(nothing_is_replaced_without_force)
{
	choose_way(_i);
	write_plain(1000);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	ck_assert(kms_is_ok(kms_file_write(out_path, kms_bytes_str("mine"), 0600)));
	ck_assert(kms_is(decrypt_to(out_path, NULL), KMS_CODE_EXISTS));
	KMS_AUTO_BUF kept = {0};
	ck_assert(kms_is_ok(kms_file_read(out_path, 100, &kept)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&kept), kms_bytes_str("mine")));
	ck_assert_int_eq(count_files(false), 3);

	struct stream_options force = {.force = true, .mode = 0640};
	ck_assert(kms_is_ok(decrypt_to(out_path, &force)));
	same_files(plain_path, out_path);
	struct stat st;
	ck_assert_int_eq(stat(out_path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(count_files(false), 3);
}
END_TEST

static kms_err put_in_the_way(void *arg, uint64_t done)
{
	(void)done;
	return kms_file_write(arg, kms_bytes_str("faster"), 0600);
}

START_TEST(one_who_was_faster_is_not_replaced)
{
	choose_way(_i);
	write_plain(1000);
	struct stream_options options = {.progress = put_in_the_way, .progress_arg = out_path};
	ck_assert(kms_is(encrypt_to(out_path, &options), KMS_CODE_EXISTS));
	KMS_AUTO_BUF kept = {0};
	ck_assert(kms_is_ok(kms_file_read(out_path, 100, &kept)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&kept), kms_bytes_str("faster")));
	ck_assert_int_eq(count_files(false), 2);
}
END_TEST

START_TEST(damage_leaves_no_output)
{
	choose_way(_i);
	write_plain(9 * CHUNK + 5);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	struct stat st;
	ck_assert_int_eq(stat(sealed_path, &st), 0);
	damage(sealed_path, st.st_size - 20); /* in the last chunk's tag */
	ck_assert(kms_is(decrypt_to(out_path, NULL), KMS_CODE_INTEGRITY));
	ck_assert_int_eq(count_files(false), 2);
	ck_assert_int_eq(truncate(sealed_path, st.st_size - 30), 0);
	ck_assert(kms_is(decrypt_to(out_path, NULL), KMS_CODE_TRUNCATED));
	ck_assert_int_eq(count_files(false), 2);
	/* What force would have replaced stays. */
	struct stream_options force = {.force = true};
	ck_assert(kms_is_ok(kms_file_write(out_path, kms_bytes_str("mine"), 0600)));
	ck_assert(kms_is(decrypt_to(out_path, &force), KMS_CODE_TRUNCATED));
	KMS_AUTO_BUF kept = {0};
	ck_assert(kms_is_ok(kms_file_read(out_path, 100, &kept)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&kept), kms_bytes_str("mine")));
	ck_assert_int_eq(count_files(false), 3);
}
END_TEST

/* A disk that fills up: the same short write and error, by the process's own limit. */
START_TEST(full_disk_leaves_no_output)
{
	choose_way(_i);
	write_plain(9 * CHUNK);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	static const rlim_t LIMITS[] = {0, 100, HEADER, 5 * CHUNK, 9 * CHUNK - 1};
	for (size_t i = 0; i < sizeof(LIMITS) / sizeof(LIMITS[0]); i++) {
		struct rlimit limit = {LIMITS[i], RLIM_INFINITY};
		struct stream_options options = {.threads = (uint32_t)i % 3 + 1};
		ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
		errno = 0;
		kms_err sealing = encrypt_to(out_path, &options);
		int sealing_errno = errno;
		errno = 0;
		kms_err opening = decrypt_to(out_path, &options);
		int opening_errno = errno;
		limit.rlim_cur = RLIM_INFINITY;
		ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
		ck_assert(kms_is(sealing, KMS_CODE_IO));
		ck_assert(kms_is(opening, KMS_CODE_IO));
		ck_assert_int_eq(sealing_errno, EFBIG);
		ck_assert_int_eq(opening_errno, EFBIG);
		ck_assert_int_eq(count_files(false), 2);
	}
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int in = open(plain_path, O_RDONLY | O_CLOEXEC);
	ck_assert(kms_is(stream_encrypt_fd(in, full, &inputs, NULL), KMS_CODE_IO));
	(void)close(full);
	(void)close(in);
}
END_TEST

/* The key is not inherited by a child: it makes its own. */
static _Noreturn void encrypt_for_ever(int in, int ready)
{
	uint8_t bytes[32] = {42};
	struct kms_secret *own = NULL;
	ck_assert(kms_is_ok(kms_secret_copy(KMS_BYTES_OF(bytes), &own)));
	inputs.key = own;
	ck_assert(kms_is_ok(kms_fd_write_all(ready, kms_bytes_str("x"))));
	KMS_IGNORE(stream_encrypt_file(in, out_path, &inputs, NULL));
	_exit(0); /* not reached: nobody ends the input */
}

START_TEST(killed_writer_leaves_nothing)
{
	int data[2];
	int ready[2];
	ck_assert_int_eq(pipe2(data, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		encrypt_for_ever(data[0], ready[1]);
	}
	(void)close(data[0]);
	uint8_t byte;
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	/* More than the pipe holds: when all of it is written, some has been read. */
	KMS_AUTO_BUF plain = make_plain(64 * CHUNK);
	ck_assert(kms_is_ok(kms_fd_write_all(data[1], kms_buf_bytes(&plain))));
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	int status = 0;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(count_files(false), 0);
	(void)close(data[1]);
}
END_TEST

START_TEST(paths_that_cannot_be)
{
	write_plain(10);
	struct stream_options force = {.force = true};
	char path[96];
	(void)snprintf(path, sizeof(path), "%s/none/out", dir);
	ck_assert(kms_is(encrypt_to(path, &force), KMS_CODE_IO));
	ck_assert_int_eq(errno, ENOENT);
	(void)snprintf(path, sizeof(path), "%s/", dir);
	ck_assert(kms_is(encrypt_to(path, &force), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(encrypt_to("", &force), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(encrypt_to(dir, &force), KMS_CODE_EXISTS)); /* a directory */
	ck_assert(kms_is(encrypt_to("/dev/full", &force), KMS_CODE_EXISTS));
	ck_assert_int_eq(symlink(plain_path, out_path), 0);
	ck_assert(kms_is(encrypt_to(out_path, &force), KMS_CODE_EXISTS)); /* not followed */
	ck_assert_int_eq(count_files(false), 2);
}
END_TEST

struct progress {
	uint64_t last;
	uint64_t stop_at;
	int calls;
};

static kms_err watch(void *arg, uint64_t done)
{
	struct progress *progress = arg;
	ck_assert_uint_gt(done, progress->last);
	progress->last = done;
	progress->calls++;
	return done < progress->stop_at ? KMS_OK : KMS_ERR(TIMEOUT);
}

START_TEST(progress_counts_and_stops)
{
	write_plain(40 * CHUNK + 1);
	struct progress all = {.stop_at = UINT64_MAX};
	struct stream_options options = {.progress = watch, .progress_arg = &all, .threads = 3};
	ck_assert(kms_is_ok(encrypt_to(sealed_path, &options)));
	ck_assert_uint_eq(all.last, 40 * CHUNK + 1);
	ck_assert_int_eq(all.calls, 11);
	all = (struct progress){.stop_at = UINT64_MAX};
	ck_assert(kms_is_ok(decrypt_to(out_path, &options)));
	ck_assert_uint_eq(all.last, 40 * CHUNK + 1);
	ck_assert_int_eq(unlink(out_path), 0);

	all = (struct progress){.stop_at = 10 * CHUNK};
	ck_assert(kms_is(decrypt_to(out_path, &options), KMS_CODE_TIMEOUT));
	ck_assert_uint_eq(all.last, 12 * CHUNK);
	ck_assert_int_eq(count_files(false), 2);
}
END_TEST

struct feed {
	struct kms_bytes bytes;
	int fd;
};

static void *feed(void *arg)
{
	struct feed *feed = arg;
	/* Odd pieces, so that reads come up short. */
	for (size_t at = 0; at < feed->bytes.len; at += 40001) {
		size_t left = feed->bytes.len - at;
		struct kms_bytes piece = {feed->bytes.ptr + at, left < 40001 ? left : 40001};
		if (!kms_is_ok(kms_fd_write_all(feed->fd, piece))) {
			break;
		}
	}
	(void)close(feed->fd);
	return NULL;
}

struct pipe_job {
	int in;
	int out;
};

static void *encrypt_pipe(void *arg)
{
	struct pipe_job *job = arg;
	ck_assert(kms_is_ok(stream_encrypt_fd(job->in, job->out, &inputs, NULL)));
	(void)close(job->out);
	return NULL;
}

START_TEST(pipes_all_the_way)
{
	static const size_t SIZES[] = {0, 1, CHUNK, 4 * CHUNK, 30 * CHUNK + 77};
	KMS_AUTO_BUF plain = make_plain(SIZES[_i]);
	int source[2];
	int sealed[2];
	ck_assert_int_eq(pipe2(source, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(sealed, O_CLOEXEC), 0);
	struct feed feeding = {kms_buf_bytes(&plain), source[1]};
	struct pipe_job job = {source[0], sealed[1]};
	pthread_t threads[2];
	ck_assert_int_eq(pthread_create(&threads[0], NULL, feed, &feeding), 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, encrypt_pipe, &job), 0);
	KMS_AUTO(stream_header) header = NULL;
	ck_assert(kms_is_ok(stream_header_read_fd(sealed[0], &header)));
	ck_assert(kms_is_ok(stream_decrypt_file(sealed[0], out_path, header, key, NULL)));
	ck_assert_int_eq(pthread_join(threads[0], NULL), 0);
	ck_assert_int_eq(pthread_join(threads[1], NULL), 0);
	KMS_AUTO_BUF out = {0};
	ck_assert(kms_is_ok(kms_file_read(out_path, 1 << 30, &out)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&out), kms_buf_bytes(&plain)));
}
END_TEST

START_TEST(dead_reader_is_an_error)
{
	write_plain(30 * CHUNK);
	ck_assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	(void)close(ends[0]);
	int in = open(plain_path, O_RDONLY | O_CLOEXEC);
	ck_assert(kms_is(stream_encrypt_fd(in, ends[1], &inputs, NULL), KMS_CODE_IO));
	(void)close(in);
	(void)close(ends[1]);
	/* and so is an input that cannot be read */
	in = open(dir, O_RDONLY | O_CLOEXEC);
	ck_assert(kms_is(stream_encrypt_file(in, out_path, &inputs, NULL), KMS_CODE_IO));
	ck_assert_int_eq(errno, EISDIR);
	ck_assert_int_eq(count_files(false), 1);
	(void)close(in);
}
END_TEST

static void expect_wrapped(const char *wrapped, uint64_t sequence, bool torn)
{
	KMS_AUTO(stream_header) header = NULL;
	ck_assert(kms_is_ok(read_header(&header)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&header->wrapped), kms_bytes_str(wrapped)));
	ck_assert_uint_eq(header->sequence, sequence);
	ck_assert_uint_eq(header->torn, torn);
	struct stream_options force = {.force = true};
	ck_assert(kms_is_ok(decrypt_to(out_path, &force)));
	same_files(plain_path, out_path);
}

START_TEST(rewrap_alternates)
{
	write_plain(1000);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	KMS_AUTO_BUF before = {0};
	ck_assert(kms_is_ok(kms_file_read(sealed_path, 1 << 20, &before)));
	static const char *const KEYS[] = {"first", "a second, longer", "3", "fourth", "fifth"};
	for (uint32_t i = 1; i < 5; i++) {
		ck_assert(kms_is_ok(stream_header_rewrap(
			sealed_path, kms_bytes_str(KEYS[i - 1]), kms_bytes_str(KEYS[i]))));
		expect_wrapped(KEYS[i], i + 1, false);
		KMS_AUTO(stream_header) header = NULL;
		ck_assert(kms_is_ok(read_header(&header)));
		ck_assert_uint_eq(header->slot, i % 2);
	}
	/* Nothing but the slots has changed. */
	KMS_AUTO_BUF after = {0};
	ck_assert(kms_is_ok(kms_file_read(sealed_path, 1 << 20, &after)));
	ck_assert_uint_eq(before.len, after.len);
	ck_assert_mem_eq(before.ptr, after.ptr, SLOT_0);
	ck_assert_mem_eq(before.ptr + STREAM_HEADER_MIN, after.ptr + STREAM_HEADER_MIN,
		before.len - STREAM_HEADER_MIN);
}
END_TEST

START_TEST(rewrap_refuses)
{
	static const uint8_t big[STREAM_WRAPPED_MAX + 1] = {1};
	write_plain(1000);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	KMS_AUTO_BUF before = {0};
	ck_assert(kms_is_ok(kms_file_read(sealed_path, 1 << 20, &before)));
	struct kms_bytes old = kms_bytes_str("first");
	struct kms_bytes new = kms_bytes_str("second");
	ck_assert(kms_is(stream_header_rewrap(sealed_path, new, new), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		stream_header_rewrap(sealed_path, old, (struct kms_bytes){0}), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(
		stream_header_rewrap(sealed_path, old, KMS_BYTES_OF(big)), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is(stream_header_rewrap(plain_path, old, new), KMS_CODE_FORMAT));
	ck_assert(kms_is(stream_header_rewrap(out_path, old, new), KMS_CODE_IO));
	ck_assert_int_eq(errno, ENOENT);
	KMS_AUTO_BUF after = {0};
	ck_assert(kms_is_ok(kms_file_read(sealed_path, 1 << 20, &after)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&before), kms_buf_bytes(&after)));
	/* the limit itself */
	ck_assert(kms_is_ok(stream_header_rewrap(
		sealed_path, old, (struct kms_bytes){big, STREAM_WRAPPED_MAX})));
}
END_TEST

static void *rewrap_first(void *arg)
{
	bool *done = arg;
	ck_assert(kms_is_ok(stream_header_rewrap(
		sealed_path, kms_bytes_str("first"), kms_bytes_str("second"))));
	__atomic_store_n(done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

START_TEST(rewrap_waits_for_another)
{
	write_plain(10);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	int fd = open(sealed_path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_SH), 0);
	bool done = false;
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, rewrap_first, &done), 0);
	(void)usleep(200 * 1000);
	ck_assert(!__atomic_load_n(&done, __ATOMIC_SEQ_CST));
	expect_wrapped("first", 1, false);
	(void)close(fd);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	expect_wrapped("second", 2, false);
}
END_TEST

static void put_slot(off_t at, const uint8_t *slot, size_t len)
{
	int fd = open(sealed_path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, slot, len, at), (ssize_t)len);
	(void)close(fd);
}

/* The new slot is written up to any byte, over zeros or over an older slot: the old key counts
 * until the last byte is there, and the next rewrap mends it. */
START_TEST(torn_rewrap_keeps_the_old_key)
{
	write_plain(1000);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	uint8_t slot[STREAM_SLOT_BYTES];
	const char *now = "first";
	uint64_t sequence = 1;
	if (_i == 1) { /* two more, so that the other slot is an old one */
		ck_assert(kms_is_ok(stream_header_rewrap(
			sealed_path, kms_bytes_str("first"), kms_bytes_str("middle"))));
		ck_assert(kms_is_ok(stream_header_rewrap(
			sealed_path, kms_bytes_str("middle"), kms_bytes_str("third"))));
		now = "third";
		sequence = 3;
	}
	ck_assert(kms_is_ok(stream_slot_write(sequence + 1, kms_bytes_str("the next"), slot)));
	KMS_AUTO_BUF sealed = {0};
	ck_assert(kms_is_ok(kms_file_read(sealed_path, 1 << 20, &sealed)));
	for (size_t len = 0; len < sizeof(slot); len++) {
		KMS_AUTO(stream_header) header = NULL;
		memcpy(sealed.ptr + SLOT_1, slot, len);
		ck_assert(kms_is_ok(stream_header_read(kms_buf_bytes(&sealed), &header)));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&header->wrapped), kms_bytes_str(now)));
		ck_assert_uint_eq(header->sequence, sequence);
	}
	put_slot(SLOT_1, slot, 100);
	expect_wrapped(now, sequence, true);
	ck_assert(kms_is_ok(
		stream_header_rewrap(sealed_path, kms_bytes_str(now), kms_bytes_str("the next"))));
	expect_wrapped("the next", sequence + 1, false);
}
END_TEST

START_TEST(slots_that_no_writer_makes)
{
	write_plain(1000);
	ck_assert(kms_is_ok(encrypt_to(sealed_path, NULL)));
	uint8_t slot[STREAM_SLOT_BYTES];
	KMS_AUTO(stream_header) header = NULL;
	/* two with one number */
	ck_assert(kms_is_ok(stream_slot_write(1, kms_bytes_str("other"), slot)));
	put_slot(SLOT_1, slot, sizeof(slot));
	ck_assert(kms_is(read_header(&header), KMS_CODE_FORMAT));
	/* number zero, well summed */
	ck_assert(kms_is_ok(stream_slot_write(0, kms_bytes_str("other"), slot)));
	put_slot(SLOT_1, slot, sizeof(slot));
	ck_assert(kms_is(read_header(&header), KMS_CODE_FORMAT));
	/* none whole */
	memset(slot, 0, sizeof(slot));
	put_slot(SLOT_0, slot, sizeof(slot));
	put_slot(SLOT_1, slot, sizeof(slot));
	ck_assert(kms_is(read_header(&header), KMS_CODE_INTEGRITY));
	/* the highest number can be read, but not followed */
	ck_assert(kms_is_ok(stream_slot_write(UINT64_MAX, kms_bytes_str("last"), slot)));
	put_slot(SLOT_0, slot, sizeof(slot));
	expect_wrapped("last", UINT64_MAX, false);
	ck_assert(kms_is(
		stream_header_rewrap(sealed_path, kms_bytes_str("last"), kms_bytes_str("next")),
		KMS_CODE_FORMAT));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream_file");
	TCase *tcase = tcase_create("stream_file");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, files_come_back, 0, WAYS);
	tcase_add_loop_test(tcase, nothing_is_replaced_without_force, 0, WAYS);
	tcase_add_loop_test(tcase, one_who_was_faster_is_not_replaced, 0, WAYS);
	tcase_add_loop_test(tcase, damage_leaves_no_output, 0, WAYS);
	tcase_add_loop_test(tcase, full_disk_leaves_no_output, 0, WAYS);
	tcase_add_test(tcase, killed_writer_leaves_nothing);
	tcase_add_test(tcase, paths_that_cannot_be);
	tcase_add_test(tcase, progress_counts_and_stops);
	tcase_add_loop_test(tcase, pipes_all_the_way, 0, 5);
	tcase_add_test(tcase, dead_reader_is_an_error);
	tcase_add_test(tcase, rewrap_alternates);
	tcase_add_test(tcase, rewrap_refuses);
	tcase_add_test(tcase, rewrap_waits_for_another);
	tcase_add_loop_test(tcase, torn_rewrap_keeps_the_old_key, 0, 2);
	tcase_add_test(tcase, slots_that_no_writer_makes);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
