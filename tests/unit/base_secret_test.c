/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory: locked, guarded, not dumped, empty in a child, wiped when freed, bounded, and
 * stopping the process for a pointer that is no secret.
 */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base.h"

enum {
	UNIT = 64, /* what the slab is cut into; a secret's head is 16 bytes of its first one */
	HEAD = 16,
	UNITS = KMS_SECRET_SLAB / UNIT,
	ONE_UNIT = UNIT - HEAD, /* longest secret of one unit */
	NOBODY = 65534,
};

/* AddressSanitizer turns mlock() into nothing: what rests on it is then not looked at. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NO_MLOCK
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define NO_MLOCK
#endif
#if defined(NO_MLOCK)
static const bool can_lock = false;
#else
static const bool can_lock = true;
#endif

static struct kms_secret *made(size_t len)
{
	struct kms_secret *secret = NULL;
	ck_assert(kms_is_ok(kms_secret_new(len, &secret)));
	return secret;
}

static bool is_zero(const uint8_t *ptr, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (ptr[i] != 0) {
			return false;
		}
	}
	return true;
}

/* What the kernel says of the mapping around a pointer. */
struct mapping {
	uintptr_t start;
	uintptr_t end;
	unsigned long locked_kb;
	char flags[256];
};

static struct mapping mapping_of(const void *ptr)
{
	struct mapping found = {0};
	FILE *smaps = fopen("/proc/self/smaps", "re");
	ck_assert_ptr_nonnull(smaps);
	char line[512];
	bool inside = false;
	while (fgets(line, sizeof(line), smaps) != NULL) {
		unsigned long start;
		unsigned long end;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = (uintptr_t)ptr >= start && (uintptr_t)ptr < end;
			if (inside) {
				found.start = start;
				found.end = end;
			}
		} else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
			(void)snprintf(found.flags, sizeof(found.flags), "%.200s", line);
		} else if (inside) {
			(void)sscanf(line, "Locked: %lu kB", &found.locked_kb);
		}
	}
	ck_assert_int_eq(fclose(smaps), 0);
	ck_assert_uint_ne(found.end, 0);
	return found;
}

static void check_protected(const void *ptr)
{
	struct mapping mapping = mapping_of(ptr);
	ck_assert_uint_eq(mapping.end - mapping.start, KMS_SECRET_SLAB);
	if (can_lock) {
		ck_assert_uint_eq(mapping.locked_kb, KMS_SECRET_SLAB / 1024);
		ck_assert_ptr_nonnull(strstr(mapping.flags, " lo")); /* locked */
	}
	ck_assert_ptr_nonnull(strstr(mapping.flags, " dd")); /* not dumped */
	ck_assert_ptr_nonnull(strstr(mapping.flags, " wf")); /* wiped on fork */
}

/* ---- life of a secret ---- */

START_TEST(a_new_secret_is_zero_and_of_its_length)
{
	static const size_t LENGTHS[] = {0, 1, 32, ONE_UNIT, ONE_UNIT + 1, 4096, KMS_SECRET_MAX};
	for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
		KMS_AUTO(kms_secret) secret = made(LENGTHS[i]);
		ck_assert_uint_eq(kms_secret_len(secret), LENGTHS[i]);
		ck_assert_ptr_eq(kms_secret_ptr(secret), kms_secret_cptr(secret));
		ck_assert_ptr_eq(kms_secret_bytes(secret).ptr, kms_secret_ptr(secret));
		ck_assert_uint_eq(kms_secret_bytes(secret).len, LENGTHS[i]);
		ck_assert(is_zero(kms_secret_ptr(secret), LENGTHS[i]));
		memset(kms_secret_ptr(secret), 0xa5, LENGTHS[i]);
	}
}
END_TEST

START_TEST(a_secret_past_the_limit_is_refused)
{
	struct kms_secret *secret = NULL;
	ck_assert(kms_is(kms_secret_new(KMS_SECRET_MAX + 1, &secret), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is(kms_secret_new(SIZE_MAX, &secret), KMS_CODE_TOO_LARGE));
	ck_assert_ptr_null(secret);
}
END_TEST

START_TEST(a_freed_secret_is_wiped)
{
	struct kms_secret *secret = made(100);
	const uint8_t *ptr = kms_secret_ptr(secret); /* the page stays mapped after the free */
	memset(kms_secret_ptr(secret), 0xa5, 100);
	kms_secret_free(&secret);
	ck_assert_ptr_null(secret);
	ck_assert(is_zero(ptr, 100));
	kms_secret_free(&secret);
	kms_secret_free(NULL);
}
END_TEST

START_TEST(a_copy_is_a_copy)
{
	KMS_AUTO(kms_secret) secret = NULL;
	ck_assert(kms_is_ok(kms_secret_copy(kms_bytes_str("abc"), &secret)));
	ck_assert(kms_bytes_equal(kms_secret_bytes(secret), kms_bytes_str("abc")));
	KMS_AUTO(kms_secret) empty = NULL;
	ck_assert(kms_is_ok(kms_secret_copy((struct kms_bytes){0}, &empty)));
	ck_assert_uint_eq(kms_secret_len(empty), 0);
}
END_TEST

START_TEST(shrinking_wipes_the_rest_and_gives_it_back)
{
	KMS_AUTO(kms_secret) secret = made(1000);
	uint8_t *ptr = kms_secret_ptr(secret);
	memset(ptr, 0xa5, 1000);
	kms_secret_shrink(secret, 1000);
	ck_assert_uint_eq(kms_secret_len(secret), 1000);
	kms_secret_shrink(secret, 10);
	ck_assert_uint_eq(kms_secret_len(secret), 10);
	ck_assert(!is_zero(ptr + 9, 1));
	ck_assert(is_zero(ptr + 10, 990));
	kms_secret_shrink(secret, 0);
	ck_assert(is_zero(ptr, 10));
}
END_TEST

START_TEST(secrets_do_not_overlap)
{
	enum { COUNT = 200 };
	struct kms_secret *secrets[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		secrets[i] = made(i * 7);
		memset(kms_secret_ptr(secrets[i]), (int)i, i * 7);
	}
	for (size_t i = 0; i < COUNT; i += 2) { /* holes, to be filled by other sizes */
		kms_secret_free(&secrets[i]);
		secrets[i] = made(i * 5);
		memset(kms_secret_ptr(secrets[i]), (int)i, i * 5);
	}
	for (size_t i = 0; i < COUNT; i++) {
		for (size_t j = 0; j < kms_secret_len(secrets[i]); j++) {
			ck_assert_uint_eq(kms_secret_ptr(secrets[i])[j], (uint8_t)i);
		}
		kms_secret_free(&secrets[i]);
	}
}
END_TEST

START_TEST(base64_of_a_secret_stays_secret)
{
	KMS_AUTO(kms_secret) secret = NULL;
	ck_assert(kms_is_ok(kms_secret_copy(kms_bytes_str("fooba"), &secret)));
	KMS_AUTO(kms_secret) text = NULL;
	ck_assert(kms_is_ok(kms_secret_base64_encode(secret, &text)));
	ck_assert(kms_bytes_equal(kms_secret_bytes(text), kms_bytes_str("Zm9vYmE=")));
	check_protected(kms_secret_cptr(text));
	KMS_AUTO(kms_secret) again = NULL;
	struct kms_bytes borrowed = kms_secret_bytes(text);
	ck_assert(kms_is(kms_secret_base64_decode(borrowed, 4, &again), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is(
		kms_secret_base64_decode(kms_bytes_str("Zm9vYmF="), 5, &again), KMS_CODE_FORMAT));
	ck_assert_ptr_null(again);
	ck_assert(kms_is_ok(kms_secret_base64_decode(borrowed, 5, &again)));
	ck_assert(kms_bytes_equal(kms_secret_bytes(again), kms_secret_bytes(secret)));
}
END_TEST

/* ---- the slab ---- */

START_TEST(the_slab_is_locked_and_neither_dumped_nor_inherited)
{
	ck_assert(kms_is_ok(kms_secret_init()));
	KMS_AUTO(kms_secret) secret = made(32);
	check_protected(kms_secret_ptr(secret));
}
END_TEST

START_TEST(a_child_sees_nothing_and_locks_its_own)
{
	KMS_AUTO(kms_secret) secret = made(32);
	memset(kms_secret_ptr(secret), 0xa5, 32);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		ck_assert_uint_eq(kms_secret_len(secret), 0);
		ck_assert(is_zero(kms_secret_ptr(secret), 32));
		struct kms_secret *own = made(32);
		memset(kms_secret_ptr(own), 0x5a, 32);
		check_protected(kms_secret_ptr(own));
		kms_secret_free(&secret);
		kms_secret_free(&own);
		_exit(0);
	}
	int status = -1;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_uint_eq(kms_secret_ptr(secret)[31], 0xa5);
}
END_TEST

static void touch(uintptr_t address)
{
	(void)signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it and exit */
	*(volatile uint8_t *)address = 1;
}

START_TEST(the_page_before_the_slab_faults)
{
	KMS_AUTO(kms_secret) secret = made(32);
	struct mapping mapping = mapping_of(kms_secret_ptr(secret));
	*(volatile uint8_t *)mapping.start = 0; /* the first byte is ours: no fault before this */
	touch(mapping.start - 1);
}
END_TEST

START_TEST(the_page_after_the_slab_faults)
{
	KMS_AUTO(kms_secret) secret = made(32);
	struct mapping mapping = mapping_of(kms_secret_ptr(secret));
	*(volatile uint8_t *)(mapping.end - 1) = 0;
	touch(mapping.end);
}
END_TEST

START_TEST(memory_that_cannot_be_locked_is_refused)
{
	struct rlimit none = {0, 0};
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	if (geteuid() == 0) { /* root may lock without a limit */
		ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	}
	struct kms_secret *secret = NULL;
	ck_assert(kms_is(kms_secret_init(), KMS_CODE_NO_MEMORY));
	ck_assert(kms_is(kms_secret_new(1, &secret), KMS_CODE_NO_MEMORY));
	ck_assert_ptr_null(secret);
}
END_TEST

START_TEST(the_slab_holds_as_many_as_fit_and_not_one_more)
{
	static struct kms_secret *secrets[UNITS];
	for (size_t i = 0; i < UNITS; i++) {
		secrets[i] = made(ONE_UNIT);
	}
	struct kms_secret *over = NULL;
	ck_assert(kms_is(kms_secret_new(0, &over), KMS_CODE_NO_MEMORY));
	/* Single holes: one unit fits, two do not. */
	for (size_t i = 1; i < UNITS; i += 2) {
		kms_secret_free(&secrets[i]);
	}
	ck_assert(kms_is(kms_secret_new(ONE_UNIT + 1, &over), KMS_CODE_NO_MEMORY));
	ck_assert_ptr_null(over);
	secrets[1] = made(ONE_UNIT);
	for (size_t i = 0; i < UNITS; i++) {
		kms_secret_free(&secrets[i]);
	}
	over = made(KMS_SECRET_MAX); /* the holes have grown together */
	kms_secret_free(&over);
}
END_TEST

START_TEST(full_of_the_longest)
{
	enum { FIT = UNITS / ((KMS_SECRET_MAX + HEAD + UNIT - 1) / UNIT) };
	struct kms_secret *secrets[FIT];
	for (size_t i = 0; i < FIT; i++) {
		secrets[i] = made(KMS_SECRET_MAX);
	}
	struct kms_secret *over = NULL;
	ck_assert(kms_is(kms_secret_new(KMS_SECRET_MAX, &over), KMS_CODE_NO_MEMORY));
	kms_secret_shrink(secrets[0], 1);
	over = made(KMS_SECRET_MAX - UNIT);
	kms_secret_free(&over);
	for (size_t i = 0; i < FIT; i++) {
		kms_secret_free(&secrets[i]);
	}
}
END_TEST

static void *churn(void *arg)
{
	const uint8_t *mark = arg;
	for (size_t i = 0; i < 2000; i++) {
		size_t len = i % 300;
		KMS_AUTO(kms_secret) secret = NULL;
		if (!kms_is_ok(kms_secret_new(len, &secret)) ||
			!is_zero(kms_secret_ptr(secret), len)) {
			return NULL;
		}
		memset(kms_secret_ptr(secret), *mark, len);
		for (size_t j = 0; j < len; j++) {
			if (kms_secret_ptr(secret)[j] != *mark) {
				return NULL;
			}
		}
	}
	return arg;
}

START_TEST(threads_share_the_slab)
{
	enum { THREADS = 4 };
	static uint8_t marks[THREADS] = {1, 2, 3, 4};
	pthread_t threads[THREADS];
	for (size_t i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, &marks[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		void *result = NULL;
		ck_assert_int_eq(pthread_join(threads[i], &result), 0);
		ck_assert_ptr_eq(result, &marks[i]);
	}
}
END_TEST

/* ---- pointers that are no secrets ---- */

START_TEST(a_double_free_stops_the_process)
{
	struct kms_secret *secret = made(32);
	struct kms_secret *again = secret;
	kms_secret_free(&secret);
	kms_secret_free(&again);
}
END_TEST

START_TEST(a_foreign_pointer_stops_the_process)
{
	ck_assert(kms_is_ok(kms_secret_init()));
	_Alignas(UNIT) uint8_t foreign[UNIT] = {0};
	struct kms_secret *wrong = (struct kms_secret *)(void *)foreign;
	kms_secret_free(&wrong);
}
END_TEST

START_TEST(a_pointer_into_a_secret_stops_the_process)
{
	struct kms_secret *secret = made(1000);
	struct kms_secret *wrong =
		(struct kms_secret *)(void *)((uint8_t *)secret + (_i == 0 ? UNIT : HEAD));
	kms_secret_free(&wrong);
}
END_TEST

START_TEST(a_shrink_to_more_stops_the_process)
{
	KMS_AUTO(kms_secret) secret = made(32);
	kms_secret_shrink(secret, 33);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base_secret");
	TCase *life = tcase_create("life");
	tcase_add_test(life, a_new_secret_is_zero_and_of_its_length);
	tcase_add_test(life, a_secret_past_the_limit_is_refused);
	tcase_add_test(life, a_freed_secret_is_wiped);
	tcase_add_test(life, a_copy_is_a_copy);
	tcase_add_test(life, shrinking_wipes_the_rest_and_gives_it_back);
	tcase_add_test(life, secrets_do_not_overlap);
	tcase_add_test(life, base64_of_a_secret_stays_secret);
	suite_add_tcase(suite, life);
	TCase *slab = tcase_create("slab");
	tcase_set_timeout(slab, 60);
	tcase_add_test(slab, the_slab_is_locked_and_neither_dumped_nor_inherited);
	tcase_add_test(slab, a_child_sees_nothing_and_locks_its_own);
	tcase_add_test_raise_signal(slab, the_page_before_the_slab_faults, SIGSEGV);
	tcase_add_test_raise_signal(slab, the_page_after_the_slab_faults, SIGSEGV);
	if (can_lock) {
		tcase_add_test(slab, memory_that_cannot_be_locked_is_refused);
	}
	tcase_add_test(slab, the_slab_holds_as_many_as_fit_and_not_one_more);
	tcase_add_test(slab, full_of_the_longest);
	tcase_add_test(slab, threads_share_the_slab);
	suite_add_tcase(suite, slab);
	TCase *wrong = tcase_create("wrong");
	tcase_add_test_raise_signal(wrong, a_double_free_stops_the_process, SIGABRT);
	tcase_add_test_raise_signal(wrong, a_foreign_pointer_stops_the_process, SIGABRT);
	tcase_add_loop_test_raise_signal(
		wrong, a_pointer_into_a_secret_stops_the_process, SIGABRT, 0, 2);
	tcase_add_test_raise_signal(wrong, a_shrink_to_more_stops_the_process, SIGABRT);
	suite_add_tcase(suite, wrong);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
