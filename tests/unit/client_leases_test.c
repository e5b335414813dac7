/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys on lease, against a double of kmsd: wiped at the end, on request, when kmsd wants them
 * back, and when the client ends; never while they are looked at; and a signed receipt for each.
 */
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "client_fixture.h"

/* The C library's, with the clock of leases put forward. */
static _Atomic int64_t skip_s;
int clock_gettime(clockid_t id, struct timespec *ret_time);
int clock_gettime(clockid_t id, struct timespec *ret_time)
{
	long rc = syscall(SYS_clock_gettime, id, ret_time);
	if (rc == 0 && id == CLOCK_BOOTTIME) {
		ret_time->tv_sec += atomic_load(&skip_s);
	}
	return (int)rc;
}

static bool is_wiped(struct kms_data_key *data_key)
{
	const uint8_t *bytes;
	kms_err err = kms_data_key_borrow(data_key, &bytes);
	if (kms_is_ok(err)) {
		kms_data_key_return(data_key);
		return false;
	}
	ck_code(err, LEASE);
	return true;
}

static unsigned seen(const unsigned *what)
{
	(void)pthread_mutex_lock(&fake.lock);
	unsigned value = *what;
	(void)pthread_mutex_unlock(&fake.lock);
	return value;
}

/* Until the client's own thread has done it; the limit is for one that never does. */
static void wait_for(const unsigned *what, unsigned value)
{
	for (int i = 0; seen(what) < value; i++) {
		ck_assert_int_lt(i, 3000);
		(void)usleep(10 * 1000);
	}
}

/* The thread itself, and not the next borrow, wiped it. */
static void wait_gone(struct kms_data_key *data_key)
{
	bool gone = false;
	for (int i = 0; !gone; i++) {
		ck_assert_int_lt(i, 3000);
		(void)usleep(10 * 1000);
		(void)pthread_mutex_lock(&data_key->leases->lock);
		gone = data_key->key == NULL;
		(void)pthread_mutex_unlock(&data_key->leases->lock);
	}
}

START_TEST(freed_keys_are_in_one_receipt_at_the_end)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	ck_assert_uint_gt(kms_data_key_lease_s(made), 3590);
	ck_assert_uint_le(kms_data_key_lease_s(made), 3600);
	for (int i = 0; i < 3; i++) {
		KMS_AUTO(kms_data_key) again = NULL;
		ck_ok(unwrap(made, context, &again));
	}
	kms_data_key_free(&made);
	kms_client_free(&client);
	ck_assert_uint_eq(fake.receipts, 1);
	ck_assert_uint_eq(fake.given_up, 4);
	ck_assert_uint_eq(fake.rows, 1);
}
END_TEST

START_TEST(a_client_that_ends_wipes_what_lives_on)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	kms_client_free(&client);
	ck_assert(is_wiped(made));
	ck_assert_uint_eq(kms_data_key_lease_s(made), 0);
	ck_assert_uint_eq(fake.given_up, 1);
}
END_TEST

START_TEST(nothing_is_said_where_nothing_was_handed_out)
{
	KMS_AUTO_FREE uint8_t *wrapped = NULL;
	size_t len;
	ck_ok(kms_wrap(client, NULL, context, (const uint8_t *)"0123456789abcdef0123456789abcde",
		&wrapped, &len));
	kms_client_free(&client);
	ck_assert_uint_eq(fake.reports, 0);
}
END_TEST

START_TEST(a_lease_that_is_over_is_wiped)
{
	KMS_AUTO(kms_data_key) made = NULL;
	fake.lease_s = 1;
	ck_ok(kms_datakey(client, NULL, context, &made));
	wait_gone(made);
	ck_assert(is_wiped(made));
	/* And unwrapped again, in place. */
	fake.lease_s = 3600;
	ck_ok(kms_data_key_renew(client, made, context));
	ck_assert(!is_wiped(made));
	ck_code(kms_data_key_renew(client, made, other), CONTEXT);
	kms_data_key_free(&made);
	kms_client_free(&client);
	ck_assert_uint_eq(fake.given_up, 2);
}
END_TEST

START_TEST(a_host_that_slept_finds_its_leases_over)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	atomic_store(&skip_s, 3599);
	ck_assert(!is_wiped(made));
	atomic_store(&skip_s, 3600);
	ck_assert(is_wiped(made)); /* before the thread wakes */
}
END_TEST

START_TEST(what_is_borrowed_is_wiped_when_it_comes_back)
{
	KMS_AUTO(kms_data_key) made = NULL;
	const uint8_t *bytes, *second;
	uint8_t before[KMS_DATA_KEY_BYTES];
	ck_ok(kms_datakey(client, NULL, context, &made));
	ck_ok(kms_data_key_borrow(made, &bytes));
	ck_ok(kms_data_key_borrow(made, &second));
	memcpy(before, bytes, sizeof(before));
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.given_up, 0); /* it is not wiped yet, and nobody says so */
	ck_assert_mem_eq(bytes, before, sizeof(before));
	ck_assert(is_wiped(made)); /* nobody gets it any more */
	kms_data_key_return(made);
	ck_assert_mem_eq(bytes, before, sizeof(before));
	kms_data_key_return(made);
	ck_assert_ptr_null(made->key);
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.given_up, 1);
}
END_TEST

START_TEST(on_request_one_key_or_all)
{
	KMS_AUTO(kms_data_key) one = NULL;
	KMS_AUTO(kms_data_key) another = NULL;
	ck_ok(kms_datakey(client, KEY, context, &one));
	ck_ok(kms_datakey(client, KEY_ANY, context, &another));
	ck_ok(kms_client_purge(client, KEY));
	ck_assert(is_wiped(one));
	ck_assert(!is_wiped(another));
	ck_assert_uint_eq(fake.given_up, 1);
	ck_ok(kms_client_purge(client, NULL));
	ck_assert(is_wiped(another));
	ck_assert_uint_eq(fake.given_up, 2);
	ck_code(kms_client_purge(client, "no id"), ARGUMENT);
}
END_TEST

START_TEST(what_kmsd_wants_back_is_wiped)
{
	KMS_AUTO(kms_data_key) doomed = NULL;
	KMS_AUTO(kms_data_key) lives = NULL;
	ck_ok(kms_datakey(client, KEY, context, &doomed));
	ck_ok(kms_datakey(client, KEY_ANY, context, &lives));
	(void)pthread_mutex_lock(&fake.lock);
	ck_ok(kms_id_parse(KEY, &fake.recalled));
	(void)pthread_mutex_unlock(&fake.lock);
	wait_for(&fake.receipts, 1); /* it asks by itself, and says at once what it did */
	ck_assert(is_wiped(doomed));
	ck_assert(!is_wiped(lives));
	ck_assert_uint_eq(fake.given_up, 1);
}
END_TEST

START_TEST(custody_counts_what_each_token_handed_out)
{
	KMS_AUTO(kms_data_key) all = NULL;
	KMS_AUTO(kms_data_key) any = NULL;
	KMS_AUTO(kms_data_key) clear = NULL;
	ck_ok(kms_datakey(client, KEY_ALL, context, &all)); /* a share of each of two */
	ck_ok(kms_datakey(client, KEY_ANY, context, &any)); /* the other one only wraps */
	ck_ok(kms_datakey(client, KEY_CLEAR, context, &clear));
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.given_up, 2 + 1 + 1);
	ck_assert_uint_eq(fake.rows, 3);
}
END_TEST

/* Where the second token of `all` does not answer, the first one's share was handed out. */
START_TEST(a_share_of_a_call_that_failed_is_given_up)
{
	KMS_AUTO(kms_data_key) made = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	ck_ok(kms_datakey(client, KEY_ALL, context, &made));
	fake.down = fake.tokens[1];
	ck_code(unwrap(made, context, &again), TOKEN_DOWN);
	fake.down = (struct kms_id){{0}};
	kms_data_key_free(&made);
	kms_client_free(&client);
	ck_assert_uint_eq(fake.given_up, 2 + 1);
}
END_TEST

START_TEST(a_receipt_that_was_lost_comes_again_as_it_was)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	fake.lose_reports = 1;
	ck_code(kms_client_purge(client, NULL), TIMEOUT);
	ck_assert(is_wiped(made)); /* whatever kmsd says */
	ck_assert_uint_eq(fake.given_up, 1);
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.repeated, 1);
	ck_assert_uint_eq(fake.given_up, 1);
	ck_ok(kms_data_key_renew(client, made, context));
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.number, 2);
	ck_assert_uint_eq(fake.given_up, 2);
}
END_TEST

/* One that kmsd never takes holds up no other, and is not said in another's place. */
START_TEST(a_receipt_that_is_refused_is_dropped)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	fake.refuse_reports = 1;
	ck_code(kms_client_purge(client, NULL), ARGUMENT);
	ck_assert(is_wiped(made));
	ck_ok(kms_data_key_renew(client, made, context));
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.given_up, 1);
	ck_assert_uint_eq(fake.receipts, 1);
}
END_TEST

START_TEST(what_its_user_keeps_has_no_receipt)
{
	KMS_AUTO(kms_data_key) made = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	kms_data_key_disown(made);
	ck_ok(unwrap(made, context, &again));
	ck_ok(kms_client_purge(client, NULL));
	ck_assert(is_wiped(made));
	ck_assert_uint_eq(fake.given_up, 1);
}
END_TEST

/* Neither copy: the program took the bytes of the one, and the other was never shown. */
START_TEST(what_its_user_keeps_has_none_after_a_renewal)
{
	KMS_AUTO(kms_data_key) made = NULL;
	const uint8_t *bytes;
	ck_ok(kms_datakey(client, NULL, context, &made));
	ck_ok(kms_data_key_borrow(made, &bytes));
	kms_data_key_disown(made);
	ck_ok(kms_data_key_renew(client, made, context));
	kms_data_key_return(made);
	kms_data_key_free(&made);
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.given_up, 0);
}
END_TEST

/* kmsd knows a holder for a day. After that it would take the receipt for one of a new lease. */
START_TEST(a_receipt_that_comes_too_late_is_not_sent)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	fake.fail = 1;
	fake.problem = KMS_CODE_LEDGER;
	ck_code(kms_client_purge(client, NULL), LEDGER); /* it is to be sent again */
	atomic_fetch_add(&skip_s, 3600 + LIMIT_LEASE_LATE_S);
	ck_ok(kms_data_key_renew(client, made, context));
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.given_up, 1); /* of the new one */
}
END_TEST

static void wait_hung(void)
{
	for (int i = 0; atomic_load(&hung) == 0; i++) {
		ck_assert_int_lt(i, 3000);
		(void)usleep(10 * 1000);
	}
}

START_TEST(a_kmsd_that_hangs_keeps_no_key_from_its_end)
{
	KMS_AUTO(kms_data_key) made = NULL;
	fake.lease_s = 8;
	ck_ok(kms_datakey(client, NULL, context, &made));
	atomic_store(&hang_reports, true);
	wait_hung(); /* at the first poll */
	wait_gone(made);
	atomic_store(&hang_reports, false);
}
END_TEST

static void *end_client(void *arg)
{
	(void)arg;
	kms_client_free(&client);
	return NULL;
}

/* It is waited for once, and what is wiped is wiped before. */
START_TEST(a_kmsd_that_hangs_holds_up_the_end_once)
{
	KMS_AUTO(kms_data_key) made = NULL;
	pthread_t thread;
	ck_ok(kms_datakey(client, NULL, context, &made));
	atomic_store(&hang_reports, true);
	wait_hung();
	ck_assert_int_eq(pthread_create(&thread, NULL, end_client, NULL), 0);
	wait_gone(made);
	atomic_store(&hang_reports, false);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(atomic_load(&hung), 1);
	ck_assert_uint_eq(fake.reports, 0);
}
END_TEST

/* ---- many threads ---- */

static void work_a_bit(struct kms_data_key *shared, int turn)
{
	KMS_AUTO(kms_data_key) own = NULL;
	const uint8_t *bytes;
	ck_ok(kms_datakey(client, turn % 2 == 0 ? KEY : KEY_ANY, context, &own));
	if (kms_is_ok(kms_data_key_borrow(shared, &bytes))) {
		uint8_t copy[KMS_DATA_KEY_BYTES];
		memcpy(copy, bytes, sizeof(copy));
		ck_assert_mem_eq(copy, bytes, sizeof(copy));
		if (turn % 5 == 0) {
			ck_ok(kms_data_key_renew(client, shared, context));
		}
		kms_data_key_return(shared);
	} else {
		ck_ok(kms_data_key_renew(client, shared, context));
	}
	if (turn % 7 == 0) {
		ck_ok(kms_client_purge(client, turn % 2 == 0 ? KEY : NULL));
	}
	(void)kms_data_key_lease_s(shared);
}

static struct kms_data_key *shared_key;
enum { THREADS = 6, TURNS = 40 };

static void *work_much(void *arg)
{
	(void)arg;
	for (int turn = 0; turn < TURNS; turn++) {
		work_a_bit(shared_key, turn);
	}
	return NULL;
}

/* And whatever the order, each that was handed out is given up once. */
START_TEST(many_threads_share_a_client)
{
	pthread_t threads[THREADS];
	ck_ok(kms_datakey(client, NULL, context, &shared_key));
	for (size_t i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work_much, NULL), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	}
	kms_data_key_free(&shared_key);
	kms_client_free(&client);
	ck_assert_uint_eq(fake.given_up, fake.uses - fake.wraps);
}
END_TEST

START_TEST(many_keys_and_versions_need_more_receipts)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	for (uint32_t i = 1; i <= LIMIT_RECEIPT_ROWS + 10; i++) {
		struct lease lease = {.end_ms = INT64_MAX / 2, .versions = {i}};
		leases_gave_up(client->leases, &made->id, &lease);
	}
	ck_ok(kms_client_purge(client, NULL));
	ck_assert_uint_eq(fake.receipts, 2);
	ck_assert_uint_eq(fake.given_up, LIMIT_RECEIPT_ROWS + 10 + 1);
}
END_TEST

static kms_err sleep_a_while(void *arg, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	atomic_fetch_add(&skip_s, *(const int *)arg);
	return KMS_OK;
}

/* A file that outlives its lease asks for another, and ends where there is none. */
START_TEST(a_stream_without_a_lease_ends)
{
	int step = 3600;
	const struct kms_file_options options = {
		.threads = 1, .progress = sleep_a_while, .progress_arg = &step};
	ck_assert_int_eq(system("head -c 3000000 /dev/zero > plain"), 0);
	ck_ok(kms_encrypt_file(client, NULL, context, "plain", "sealed", &options));
	ck_assert_uint_gt(fake.uses, 3); /* it asked again on its way */
	ck_ok(kms_decrypt_file(client, context, "sealed", "back", NULL));
	fake.lease_s = 10;
	fake.refuse_unwraps_after = fake.uses + 1;
	ck_code(kms_decrypt_file(client, context, "sealed", "again", &options), KEY_STATE);
	ck_assert_int_ne(access("again", F_OK), 0);
	ck_assert_int_eq(access("back", F_OK), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {freed_keys_are_in_one_receipt_at_the_end,
		a_client_that_ends_wipes_what_lives_on,
		nothing_is_said_where_nothing_was_handed_out, a_lease_that_is_over_is_wiped,
		a_host_that_slept_finds_its_leases_over,
		what_is_borrowed_is_wiped_when_it_comes_back, on_request_one_key_or_all,
		what_kmsd_wants_back_is_wiped, custody_counts_what_each_token_handed_out,
		a_share_of_a_call_that_failed_is_given_up,
		a_receipt_that_was_lost_comes_again_as_it_was, a_receipt_that_is_refused_is_dropped,
		what_its_user_keeps_has_no_receipt, what_its_user_keeps_has_none_after_a_renewal,
		a_receipt_that_comes_too_late_is_not_sent,
		a_kmsd_that_hangs_keeps_no_key_from_its_end,
		a_kmsd_that_hangs_holds_up_the_end_once, many_threads_share_a_client,
		many_keys_and_versions_need_more_receipts, a_stream_without_a_lease_ends};
	Suite *suite = suite_create("client_leases");
	TCase *all = tcase_create("all");
	tcase_set_timeout(all, 60);
	tcase_add_checked_fixture(all, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		tcase_add_test(all, tests[i]);
	}
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
