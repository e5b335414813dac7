/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error table, times and random bytes of base. The other files of base have suites of their
 * own: base_bytes, base_text, base_secret, base_file, base_log.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

/* Every code of kms/err.h: a new one that the table forgets shows as INTERNAL's row. */
static const enum kms_code CODES[] = {
	KMS_CODE_OK,
	KMS_CODE_ARGUMENT,
	KMS_CODE_FORMAT,
	KMS_CODE_TOO_LARGE,
	KMS_CODE_UNAUTHENTICATED,
	KMS_CODE_DENIED,
	KMS_CODE_NOT_FOUND,
	KMS_CODE_EXISTS,
	KMS_CODE_KEY_STATE,
	KMS_CODE_CONTEXT,
	KMS_CODE_INTEGRITY,
	KMS_CODE_TRUNCATED,
	KMS_CODE_PINS,
	KMS_CODE_BUDGET,
	KMS_CODE_RATE,
	KMS_CODE_ERASED,
	KMS_CODE_LEASE,
	KMS_CODE_CONFIG,
	KMS_CODE_TOKEN_DOWN,
	KMS_CODE_TOKEN_REFUSED,
	KMS_CODE_LEDGER,
	KMS_CODE_STORE,
	KMS_CODE_IO,
	KMS_CODE_NETWORK,
	KMS_CODE_TIMEOUT,
	KMS_CODE_ROLLBACK,
	KMS_CODE_VERSION,
	KMS_CODE_SESSION,
	KMS_CODE_NO_MEMORY,
	KMS_CODE_INTERNAL,
	KMS_CODE_UNSUPPORTED,
};
enum { CODES_COUNT = sizeof(CODES) / sizeof(CODES[0]) };

START_TEST(every_code_has_its_row)
{
	kms_err err = {CODES[_i]};
	ck_assert(kms_is(kms_err_from_name(kms_err_name(err)), err.code));
	ck_assert(kms_is(kms_err_from_code((unsigned)err.code), err.code));
	const char *text = kms_err_text(err);
	ck_assert_uint_gt(strlen(text), 0);
	ck_assert_ptr_null(strchr(text, '\n'));
	ck_assert_int_ne(text[strlen(text) - 1], '.');
	int status = kms_err_http_status(err);
	int exit_code = kms_err_exit_code(err);
	if (kms_is_ok(err)) {
		ck_assert_int_eq(status, 200);
		ck_assert_int_eq(exit_code, 0);
		ck_assert_uint_eq(kms_err_kmip_reason(err), 0);
	} else {
		ck_assert(status >= 400 && status <= 599);
		ck_assert(exit_code >= 2 && exit_code <= 125);
		ck_assert_uint_ne(kms_err_kmip_reason(err), 0);
	}
}
END_TEST

START_TEST(rows_that_clients_depend_on)
{
	ck_assert_str_eq(kms_err_name(KMS_ERR(KEY_STATE)), "key-state");
	ck_assert_int_eq(kms_err_http_status(KMS_ERR(TOKEN_DOWN)), 503);
	ck_assert_int_eq(kms_err_http_status(KMS_ERR(RATE)), 429);
	ck_assert_int_eq(kms_err_http_status(KMS_ERR(ERASED)), 410);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(ARGUMENT)), 2);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(DENIED)), 3);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(NOT_FOUND)), 4);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(INTEGRITY)), 5);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(KEY_STATE)), 6);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(PINS)), 7);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(TOKEN_DOWN)), 8);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(CONFIG)), 9);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(IO)), 10);
	ck_assert_int_eq(kms_err_exit_code(KMS_ERR(INTERNAL)), 70);
	/* Object Destroyed, Wrong Key Lifecycle State, Object Already Exists */
	ck_assert_uint_eq(kms_err_kmip_reason(KMS_ERR(ERASED)), 0x36);
	ck_assert_uint_eq(kms_err_kmip_reason(KMS_ERR(KEY_STATE)), 0x43);
	ck_assert_uint_eq(kms_err_kmip_reason(KMS_ERR(EXISTS)), 0x18);
}
END_TEST

START_TEST(unknown_codes_are_internal)
{
	ck_assert(kms_is(kms_err_from_name("no-such-name"), KMS_CODE_INTERNAL));
	ck_assert(kms_is(kms_err_from_name(""), KMS_CODE_INTERNAL));
	ck_assert(kms_is(kms_err_from_code(17), KMS_CODE_INTERNAL)); /* between the groups */
	ck_assert(kms_is(kms_err_from_code(KMS_CODE_UNSUPPORTED + 1), KMS_CODE_INTERNAL));
	ck_assert(kms_is(kms_err_from_code(UINT32_MAX), KMS_CODE_INTERNAL));
	ck_assert_str_eq(kms_err_name((kms_err){(enum kms_code)1000}), "internal");
}
END_TEST

static kms_err try_twice(kms_err first, int *calls)
{
	KMS_TRY(first);
	(*calls)++;
	return KMS_OK;
}

START_TEST(try_returns_the_first_failure)
{
	int calls = 0;
	ck_assert(kms_is(try_twice(KMS_ERR(RATE), &calls), KMS_CODE_RATE));
	ck_assert_int_eq(calls, 0);
	ck_assert(kms_is_ok(try_twice(KMS_OK, &calls)));
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(a_broken_invariant_aborts)
{
	KMS_ASSERT(_i == 0);
	KMS_ASSERT(_i != 0);
}
END_TEST

static const struct {
	int64_t unix_ms;
	const char *text;
} TIMES[] = {
	{0, "1970-01-01T00:00:00.000Z"},
	{-1, "1969-12-31T23:59:59.999Z"},
	{INT64_C(1795251600123), "2026-11-21T09:00:00.123Z"},
	{INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
	{INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
	{INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
};

START_TEST(times_have_one_text)
{
	char text[KMS_TIME_TEXT];
	ck_assert_str_eq(kms_time_text(TIMES[_i].unix_ms, text), TIMES[_i].text);
	int64_t unix_ms = 7;
	ck_assert(kms_is_ok(kms_time_parse(TIMES[_i].text, &unix_ms)));
	ck_assert_int_eq(unix_ms, TIMES[_i].unix_ms);
}
END_TEST

START_TEST(times_past_the_years_are_held_at_their_ends)
{
	char text[KMS_TIME_TEXT];
	ck_assert_str_eq(kms_time_text(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
	ck_assert_str_eq(kms_time_text(INT64_MIN, text), "0000-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(milliseconds_may_be_left_out)
{
	int64_t unix_ms = 0;
	ck_assert(kms_is_ok(kms_time_parse("2026-11-21T09:00:00Z", &unix_ms)));
	ck_assert_int_eq(unix_ms, INT64_C(1795251600000));
}
END_TEST

static const char *const BAD_TIMES[] = {
	"",
	"2026-11-21",
	"2026-11-21T09:00:00",
	"2026-11-21 09:00:00Z",
	"2026-11-21t09:00:00z",
	"2026-11-21T09:00:00.0Z",
	"2026-11-21T09:00:00.0000Z",
	"2026-11-21T09:00:00+00:00",
	"2026-11-21T09:00:00,000Z",
	"2026-02-29T09:00:00Z",
	"2026-04-31T09:00:00Z",
	"2026-13-01T09:00:00Z",
	"2026-00-01T09:00:00Z",
	"2026-01-00T09:00:00Z",
	"2026-01-01T24:00:00Z",
	"2026-01-01T00:60:00Z",
	"2026-01-01T00:00:60Z",
	"+026-01-01T00:00:00Z",
	" 2026-01-01T00:00:00",
	"2026-01-01T00:00:00Z ",
};

START_TEST(other_times_are_refused)
{
	int64_t unix_ms = 42;
	ck_assert(kms_is(kms_time_parse(BAD_TIMES[_i], &unix_ms), KMS_CODE_FORMAT));
	ck_assert_int_eq(unix_ms, 42);
}
END_TEST

START_TEST(tests_can_fix_the_clock)
{
	int64_t before = kms_now_unix_ms();
	ck_assert_int_gt(before, INT64_C(1600000000000));
	kms_clock_fix(1234);
	ck_assert_int_eq(kms_now_unix_ms(), 1234);
	kms_clock_fix(-1);
	ck_assert_int_ge(kms_now_unix_ms(), before);
	int64_t start = kms_monotonic_ms();
	ck_assert_int_ge(kms_monotonic_ms(), start);
}
END_TEST

START_TEST(random_bytes_differ)
{
	uint8_t a[32] = {0};
	uint8_t b[32] = {0};
	kms_random(a, sizeof(a));
	kms_random(b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	uint8_t untouched = 0x5a;
	kms_random(&untouched, 0);
	ck_assert_uint_eq(untouched, 0x5a);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *errors = tcase_create("errors");
	tcase_add_loop_test(errors, every_code_has_its_row, 0, CODES_COUNT);
	tcase_add_test(errors, rows_that_clients_depend_on);
	tcase_add_test(errors, unknown_codes_are_internal);
	tcase_add_test(errors, try_returns_the_first_failure);
	tcase_add_test_raise_signal(errors, a_broken_invariant_aborts, SIGABRT);
	suite_add_tcase(suite, errors);
	TCase *times = tcase_create("times");
	tcase_add_loop_test(times, times_have_one_text, 0, sizeof(TIMES) / sizeof(TIMES[0]));
	tcase_add_test(times, times_past_the_years_are_held_at_their_ends);
	tcase_add_test(times, milliseconds_may_be_left_out);
	tcase_add_loop_test(
		times, other_times_are_refused, 0, sizeof(BAD_TIMES) / sizeof(BAD_TIMES[0]));
	tcase_add_test(times, tests_can_fix_the_clock);
	suite_add_tcase(suite, times);
	TCase *random = tcase_create("random");
	tcase_add_test(random, random_bytes_differ);
	suite_add_tcase(suite, random);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
