/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory: one slab of locked pages between two guard pages, cut into units. Runs in every
 * program that holds a key or a PIN. It must never hand out memory that could be swapped, dumped
 * or inherited by a forked child, and never give a unit back unwiped.
 *
 * What the allocator knows about a unit lies outside the slab, so a run over the end of a secret
 * cannot bend it: whether a pointer is a live secret is decided without reading the secret.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base.h"

enum { UNIT = 64, UNITS = KMS_SECRET_SLAB / UNIT };

/* The head of a secret, at the start of its first unit; a data key and its head fill one unit. */
struct kms_secret {
	size_t len;
	_Alignas(16) uint8_t bytes[];
};

enum unit_state { UNIT_FREE = 0, UNIT_FIRST, UNIT_REST };

/* One per process; `lock` guards all of it. While it is held nothing is called but libc and
 * kms_log.*/
static struct {
	pthread_mutex_t lock;
	uint8_t *base; /* NULL until made */
	pid_t locked_by;
	size_t next; /* where the search for free units goes on */
	uint8_t units[UNITS];
} slab = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void slab_enter(void)
{
	KMS_ASSERT(pthread_mutex_lock(&slab.lock) == 0);
}

static void slab_leave(void)
{
	KMS_ASSERT(pthread_mutex_unlock(&slab.lock) == 0);
}

static kms_err refuse(const char *action)
{
	kms_log(KMS_LOG_ERROR, "cannot %s secret memory (%d bytes): %s", action, KMS_SECRET_SLAB,
		strerror(errno));
	return KMS_ERR(NO_MEMORY);
}

/* Locks are not inherited over fork(2): a child locks for itself before it makes secrets. */
static kms_err slab_lock_pages(void)
{
	pid_t self = getpid();
	if (slab.locked_by == self) {
		return KMS_OK;
	}
	if (mlock(slab.base, KMS_SECRET_SLAB) != 0) {
		return refuse("lock");
	}
	slab.locked_by = self;
	return KMS_OK;
}

static kms_err slab_make(void)
{
	if (slab.base != NULL) {
		return slab_lock_pages();
	}
	long page = sysconf(_SC_PAGESIZE);
	KMS_ASSERT(page > 0 && KMS_SECRET_SLAB % page == 0);
	size_t guard = (size_t)page;
	size_t whole = KMS_SECRET_SLAB + 2 * guard;
	uint8_t *map = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED) {
		return refuse("map");
	}
	uint8_t *base = map + guard;
	kms_err err = KMS_OK;
	if (mprotect(base, KMS_SECRET_SLAB, PROT_READ | PROT_WRITE) != 0) {
		err = refuse("open");
	} else if (madvise(base, KMS_SECRET_SLAB, MADV_DONTDUMP) != 0) {
		err = refuse("keep out of core dumps the");
	} else if (madvise(base, KMS_SECRET_SLAB, MADV_WIPEONFORK) != 0) {
		err = refuse("keep out of child processes the");
	} else {
		slab.base = base;
		err = slab_lock_pages();
	}
	if (!kms_is_ok(err)) {
		slab.base = NULL;
		(void)munmap(map, whole);
	}
	return err;
}

/* The first of count free units in [from, to), or `to`. */
static size_t slab_find(size_t from, size_t to, size_t count)
{
	size_t run = 0;
	for (size_t i = from; i < to; i++) {
		run = slab.units[i] == UNIT_FREE ? run + 1 : 0;
		if (run == count) {
			return i + 1 - count;
		}
	}
	return to;
}

static kms_err slab_take(size_t count, struct kms_secret **ret_secret)
{
	KMS_TRY(slab_make());
	size_t first = slab_find(slab.next, UNITS, count);
	if (first == UNITS) {
		first = slab_find(0, UNITS, count);
	}
	if (first == UNITS) {
		kms_log(KMS_LOG_ERROR, "secret memory is full (%d bytes)", KMS_SECRET_SLAB);
		return KMS_ERR(NO_MEMORY);
	}
	slab.units[first] = UNIT_FIRST;
	memset(slab.units + first + 1, UNIT_REST, count - 1);
	slab.next = first + count;
	*ret_secret = (struct kms_secret *)(void *)(slab.base + first * UNIT);
	return KMS_OK;
}

static size_t units_for(size_t len)
{
	return (sizeof(struct kms_secret) + len + UNIT - 1) / UNIT;
}

/* The first unit of a live secret; anything else is a pointer of no secret, or a freed one. */
static size_t slab_index(const struct kms_secret *secret)
{
	uintptr_t offset = (uintptr_t)secret - (uintptr_t)slab.base;
	KMS_ASSERT(slab.base != NULL && offset < KMS_SECRET_SLAB && offset % UNIT == 0);
	KMS_ASSERT(slab.units[offset / UNIT] == UNIT_FIRST);
	return offset / UNIT;
}

static size_t slab_count(size_t first)
{
	size_t count = 1;
	while (first + count < UNITS && slab.units[first + count] == UNIT_REST) {
		count++;
	}
	return count;
}

static void slab_give_back(size_t first, size_t count)
{
	explicit_bzero(slab.base + first * UNIT, count * UNIT);
	memset(slab.units + first, UNIT_FREE, count);
}

kms_err kms_secret_init(void)
{
	slab_enter();
	kms_err err = slab_make();
	slab_leave();
	return err;
}

kms_err kms_secret_new(size_t len, struct kms_secret **ret_secret)
{
	if (len > KMS_SECRET_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	struct kms_secret *secret = NULL;
	slab_enter();
	kms_err err = slab_take(units_for(len), &secret);
	slab_leave();
	KMS_TRY(err);
	secret->len = len; /* the bytes are zero: fresh from the kernel, or wiped when given back */
	*ret_secret = secret;
	return KMS_OK;
}

kms_err kms_secret_copy(struct kms_bytes from, struct kms_secret **ret_secret)
{
	struct kms_secret *secret = NULL;
	KMS_TRY(kms_secret_new(from.len, &secret));
	if (from.len > 0) {
		memcpy(secret->bytes, from.ptr, from.len);
	}
	*ret_secret = secret;
	return KMS_OK;
}

void kms_secret_free(struct kms_secret **secret)
{
	if (secret == NULL || *secret == NULL) {
		return;
	}
	slab_enter();
	size_t first = slab_index(*secret);
	slab_give_back(first, slab_count(first));
	slab_leave();
	*secret = NULL;
}

uint8_t *kms_secret_ptr(struct kms_secret *secret)
{
	return secret->bytes;
}

const uint8_t *kms_secret_cptr(const struct kms_secret *secret)
{
	return secret->bytes;
}

size_t kms_secret_len(const struct kms_secret *secret)
{
	return secret->len;
}

struct kms_bytes kms_secret_bytes(const struct kms_secret *secret)
{
	return (struct kms_bytes){secret->bytes, secret->len};
}

void kms_secret_shrink(struct kms_secret *secret, size_t len)
{
	slab_enter();
	size_t first = slab_index(secret);
	KMS_ASSERT(len <= secret->len);
	explicit_bzero(secret->bytes + len, secret->len - len);
	secret->len = len;
	size_t keep = units_for(len);
	size_t have = slab_count(first);
	slab_give_back(first + keep, have - keep);
	slab_leave();
}
