/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: errors, bounded bytes, secret memory, durable files, log, clock and random.
 * Every program and module stands on it; it stands on libc alone.
 */
#ifndef KMS_BASE_H
#define KMS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kms/err.h>

/* ---- errors (err.c) ---- */

#define KMS_OK ((kms_err){KMS_CODE_OK})
#define KMS_ERR(name) ((kms_err){KMS_CODE_##name})

static inline bool kms_is_ok(kms_err err)
{
	return err.code == KMS_CODE_OK;
}

static inline bool kms_is(kms_err err, enum kms_code code)
{
	return err.code == code;
}

/* Return at once when the expression failed. */
#define KMS_TRY(expr)                                                                              \
	do {                                                                                       \
		kms_err kms_try_err_ = (expr);                                                     \
		if (kms_try_err_.code != KMS_CODE_OK) {                                            \
			return kms_try_err_;                                                       \
		}                                                                                  \
	} while (0)

/* Ignore a failure, visibly. */
#define KMS_IGNORE(expr)                                                                           \
	do {                                                                                       \
		kms_err kms_ignored_ = (expr);                                                     \
		(void)kms_ignored_;                                                                \
	} while (0)

int kms_err_http_status(kms_err err);      /* RFC 9110 */
int kms_err_exit_code(kms_err err);        /* 0 .. 125, documented in kms(1) */
unsigned kms_err_kmip_reason(kms_err err); /* KMIP 2.1 section 11.48; 0 for OK */
/* The code behind a stable name or number; INTERNAL for one that is not known. */
kms_err kms_err_from_name(const char *name);
kms_err kms_err_from_code(unsigned code);

/*
 * KMS_AUTO(x) v = NULL; frees v at the end of the scope by x_free(struct x **), which accepts
 * NULL, wipes, and sets NULL. kms_take() moves the pointer out of such a variable.
 */
#define KMS_AUTO(x) __attribute__((cleanup(x##_free))) struct x *
#define kms_take(pp)                                                                               \
	__extension__({                                                                            \
		__typeof__(*(pp)) kms_taken_ = *(pp);                                              \
		*(pp) = NULL;                                                                      \
		kms_taken_;                                                                        \
	})

/* Stop the process on a broken invariant of ours; never on bad data. */
#define KMS_ASSERT(cond)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			kms_abort(__FILE__, __LINE__, #cond);                                      \
		}                                                                                  \
	} while (0)
_Noreturn void kms_abort(const char *file, int line, const char *what);

/* ---- bytes (bytes.c, reader.c, writer.c) ---- */

/* Borrowed bytes. */
struct kms_bytes {
	const uint8_t *ptr;
	size_t len;
};
#define KMS_BYTES_OF(array) ((struct kms_bytes){(const uint8_t *)(array), sizeof(array)})
struct kms_bytes kms_bytes_str(const char *text); /* without the NUL */
bool kms_bytes_equal(struct kms_bytes a, struct kms_bytes b);
/* Constant time in the contents; for MACs, tags and secrets. */
bool kms_equal_ct(const void *a, const void *b, size_t len);

/* Owned bytes, not secret. Start as {0}; kms_buf_free accepts that. */
struct kms_buf {
	uint8_t *ptr;
	size_t len;
};
void kms_buf_free(struct kms_buf *buf);
#define KMS_AUTO_BUF __attribute__((cleanup(kms_buf_free))) struct kms_buf
kms_err kms_buf_copy(struct kms_bytes from, struct kms_buf *ret_buf);
static inline struct kms_bytes kms_buf_bytes(const struct kms_buf *buf)
{
	return (struct kms_bytes){buf->ptr, buf->len};
}
/* free() for strings and plain structs at scope end: KMS_AUTO_FREE char *s = NULL; */
void kms_free_ptr(void *pp);
#define KMS_AUTO_FREE __attribute__((cleanup(kms_free_ptr)))
/* printf into fresh memory. */
kms_err kms_text(char **ret_text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* a*b and a+b, or TOO_LARGE. */
kms_err kms_size_mul(size_t a, size_t b, size_t *ret_size);
kms_err kms_size_add(size_t a, size_t b, size_t *ret_size);

/* A bounded reader over borrowed bytes: big endian, never past the end (FORMAT, or TRUNCATED
 * where the bytes end too early). */
struct kms_reader {
	const uint8_t *ptr;
	size_t left;
};
struct kms_reader kms_reader_of(struct kms_bytes bytes);
kms_err kms_read_u8(struct kms_reader *reader, uint8_t *ret_value);
kms_err kms_read_u16(struct kms_reader *reader, uint16_t *ret_value);
kms_err kms_read_u32(struct kms_reader *reader, uint32_t *ret_value);
kms_err kms_read_u64(struct kms_reader *reader, uint64_t *ret_value);
kms_err kms_read_fixed(struct kms_reader *reader, void *ret_bytes, size_t len);
/* Borrow the next len bytes. */
kms_err kms_read_bytes(struct kms_reader *reader, size_t len, struct kms_bytes *ret_bytes);
/* A 16- or 32-bit length, at most max (TOO_LARGE), then that many borrowed bytes. */
kms_err kms_read_lp16(struct kms_reader *reader, size_t max, struct kms_bytes *ret_bytes);
kms_err kms_read_lp32(struct kms_reader *reader, size_t max, struct kms_bytes *ret_bytes);
/* These exact bytes, else FORMAT: magics. */
kms_err kms_read_expect(struct kms_reader *reader, const void *bytes, size_t len);
/* Nothing may be left, else FORMAT. */
kms_err kms_read_end(const struct kms_reader *reader);

/*
 * A bounded writer, big endian. Failures stick: write on, and look once at the end. A growing
 * writer owns its memory until kms_writer_take or kms_writer_free; a fixed one fills the
 * caller's memory (a kms_secret, say) and never moves it.
 */
struct kms_writer {
	uint8_t *ptr;
	size_t len;
	size_t cap;
	size_t max;
	bool fixed;
	enum kms_code failed;
};
struct kms_writer kms_writer_grow(size_t max);
struct kms_writer kms_writer_fixed(void *ptr, size_t cap);
void kms_write_u8(struct kms_writer *writer, uint8_t value);
void kms_write_u16(struct kms_writer *writer, uint16_t value);
void kms_write_u32(struct kms_writer *writer, uint32_t value);
void kms_write_u64(struct kms_writer *writer, uint64_t value);
void kms_write_fixed(struct kms_writer *writer, const void *bytes, size_t len);
void kms_write_bytes(struct kms_writer *writer, struct kms_bytes bytes);
void kms_write_lp16(struct kms_writer *writer, struct kms_bytes bytes);
void kms_write_lp32(struct kms_writer *writer, struct kms_bytes bytes);
void kms_write_text(struct kms_writer *writer, const char *text); /* without the NUL */
void kms_write_format(struct kms_writer *writer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* What has been written, or the first failure (TOO_LARGE, NO_MEMORY). */
kms_err kms_writer_bytes(const struct kms_writer *writer, struct kms_bytes *ret_bytes);
/* Move the bytes of a growing writer out. */
kms_err kms_writer_take(struct kms_writer *writer, struct kms_buf *ret_buf);
void kms_writer_free(struct kms_writer *writer); /* wipes and frees what a growing writer owns */
#define KMS_AUTO_WRITER __attribute__((cleanup(kms_writer_free))) struct kms_writer

/* ---- ids, hashes and their text (text.c, base64.c) ---- */

/* A UUID (RFC 9562), or any 128-bit identifier. */
struct kms_id {
	uint8_t b[16];
};
/* A SHA-256 value. */
struct kms_hash {
	uint8_t b[32];
};
enum {
	KMS_ID_TEXT = 37,   /* bytes of a UUID's text with its NUL */
	KMS_HASH_TEXT = 65, /* bytes of a hash in hex with its NUL */
};
bool kms_id_equal(const struct kms_id *a, const struct kms_id *b);
bool kms_id_is_zero(const struct kms_id *id);
bool kms_hash_equal(const struct kms_hash *a, const struct kms_hash *b);
kms_err kms_id_random(struct kms_id *ret_id); /* version 4 */
/* Lower case with hyphens, as RFC 9562 section 4 writes it. Returns text. */
const char *kms_id_text(const struct kms_id *id, char text[KMS_ID_TEXT]);
/* Accepts exactly that form: 36 characters, lower case. */
kms_err kms_id_parse(const char *text, struct kms_id *ret_id);
const char *kms_hash_text(const struct kms_hash *hash, char text[KMS_HASH_TEXT]);
kms_err kms_hash_parse(const char *text, struct kms_hash *ret_hash);
/* Lower-case hex; text has room for 2 * len + 1. */
void kms_hex_encode(struct kms_bytes bytes, char *text);
kms_err kms_hex_decode(const char *text, size_t max, struct kms_buf *ret_buf);
/* Standard base64 with padding (RFC 4648 section 4); decoding is strict: canonical, no space. */
size_t kms_base64_len(size_t len);                          /* characters, without the NUL */
void kms_base64_encode(struct kms_bytes bytes, char *text); /* room for kms_base64_len + 1 */
kms_err kms_base64_text(struct kms_bytes bytes, char **ret_text);
kms_err kms_base64_decode(const char *text, size_t text_len, size_t max, struct kms_buf *ret_buf);

/* ---- secret memory (secret.c) ---- */

/*
 * Data keys, shares and PINs. They lie in one slab of locked pages between guard pages, kept out
 * of core dumps and of forked children, and are wiped when freed. The slab is made at the first
 * use (or by kms_secret_init, where its failure should be seen early) and has KMS_SECRET_SLAB
 * bytes; when it is full, or cannot be locked, kms_secret_new says NO_MEMORY. A pointer that is no
 * live secret stops the process. In a forked child every secret of the parent is empty. No
 * function prints a secret.
 */
struct kms_secret;
enum {
	KMS_SECRET_SLAB = 2 * 1024 * 1024,
	KMS_SECRET_MAX = 256 * 1024, /* bytes of the longest secret: a batch of answers */
};
kms_err kms_secret_init(void);
/* Zeroed; len may be 0, and over KMS_SECRET_MAX is TOO_LARGE. */
kms_err kms_secret_new(size_t len, struct kms_secret **ret_secret);
kms_err kms_secret_copy(struct kms_bytes from, struct kms_secret **ret_secret);
void kms_secret_free(struct kms_secret **secret);
uint8_t *kms_secret_ptr(struct kms_secret *secret);
const uint8_t *kms_secret_cptr(const struct kms_secret *secret);
size_t kms_secret_len(const struct kms_secret *secret);
struct kms_bytes kms_secret_bytes(const struct kms_secret *secret);
/* Shorten, wiping the rest. */
void kms_secret_shrink(struct kms_secret *secret, size_t len);
/* Base64 of a secret to a secret and back; strict. For `clear` delivery and the CLI. */
kms_err kms_secret_base64_encode(const struct kms_secret *from, struct kms_secret **ret_text);
kms_err kms_secret_base64_decode(struct kms_bytes text, size_t max, struct kms_secret **ret_secret);

/* ---- files (file.c) ---- */

/*
 * Failures are IO with errno set, and logged; but a file that cannot be opened for reading is not
 * logged, because whether it must be there is for the caller to say.
 */
/* All of a regular file of at most max bytes, else TOO_LARGE. */
kms_err kms_file_read(const char *path, size_t max, struct kms_buf *ret_buf);
/*
 * The same into secret memory, one trailing newline cut off; refuses (CONFIG, logged) a file that
 * group or others may do anything with, or that another user than us or root owns.
 */
kms_err kms_file_read_secret(const char *path, size_t max, struct kms_secret **ret_secret);
/*
 * Replace or create a file so that after a crash it is either the old or the new one: temporary
 * name (path.new: one writer of a path at a time), write, fsync, rename, fsync of the directory.
 */
kms_err kms_file_write(const char *path, struct kms_bytes bytes, unsigned mode);
/* Remove a file and fsync its directory; a missing file is fine. */
kms_err kms_file_remove(const char *path);
/* write() all, read() until len or the end (ret_len tells), both resumed after EINTR. Not logged.
 */
kms_err kms_fd_write_all(int fd, struct kms_bytes bytes);
kms_err kms_fd_read_full(int fd, void *into, size_t len, size_t *ret_len);

/* ---- log (log.c) ---- */

enum kms_log_level { KMS_LOG_ERROR, KMS_LOG_WARNING, KMS_LOG_INFO, KMS_LOG_DEBUG };
/* The one global setting; INFO unless told. */
void kms_log_set(const char *program, enum kms_log_level level);
kms_err kms_log_level_parse(const char *text, enum kms_log_level *ret_level);
/*
 * One line to stderr: "program: level: text", or in the journal with the priority prefix of
 * sd-daemon(3). Control characters are replaced, errno is kept.
 */
void kms_log(enum kms_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- clock and random (clock.c, random.c) ---- */

int64_t kms_now_unix_ms(void);  /* UTC */
int64_t kms_monotonic_ms(void); /* for time limits */
int64_t kms_boottime_ms(void);  /* the same, and goes on while the host sleeps: for leases */
/* Tests only: fix the UTC clock; a negative value lets it run again. */
void kms_clock_fix(int64_t unix_ms);
enum { KMS_TIME_TEXT = 25 };
/* "2026-11-21T09:00:00.000Z"; parsing accepts exactly that form, or without the milliseconds. A
 * time outside the years 0000 to 9999 is written as the nearest that is inside. */
const char *kms_time_text(int64_t unix_ms, char text[KMS_TIME_TEXT]);
kms_err kms_time_parse(const char *text, int64_t *ret_unix_ms);
/* getrandom(2); aborts rather than give bytes that are not random. */
void kms_random(void *ret_bytes, size_t len);

#endif
