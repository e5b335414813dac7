/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of kmsd/store through its header: leases. What uses hand out, what receipts give back, who
 * is asked to give up what, and what becomes of the rows of holders that are gone.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "store.h"

enum { TENANT = 1, STORAGE = 2, OTHER = 3, KEY = 10, SECOND_KEY = 11, HOLDER = 20, NOBODY = 0 };
enum { NOW = 1000 * 1000, LEASE_MS = 60 * 1000 };

static struct store *store;
static uint64_t seq;

static void ok(kms_err err, const char *what, int line)
{
	if (!kms_is_ok(err)) {
		ck_abort_msg("line %d: %s: %s", line, what, kms_err_name(err));
	}
}
#define OK(expr) ok(expr, #expr, __LINE__)
#define FAILS(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

static struct kms_id id(unsigned n)
{
	struct kms_id made = {{0}};
	made.b[15] = (uint8_t)n;
	made.b[0] = n == NOBODY ? 0 : 7;
	return made;
}

static struct model_use use_of(unsigned key, uint32_t version, unsigned who, unsigned holder)
{
	return (struct model_use){.n = 1,
		.unix_ms = NOW,
		.op = MODEL_OP_UNWRAP,
		.principal = id(who),
		.key = id(key),
		.kek = id(99),
		.version = version,
		.lease_end_unix_ms = NOW + LEASE_MS,
		.holder = id(holder)};
}

static void count(const struct model_use *uses, size_t n)
{
	struct store_tx *tx = NULL;
	OK(store_begin(store, &tx));
	OK(store_uses_count(tx, uses, n));
	OK(store_commit(&tx));
}

/* n uses alike, at that time. */
static void hand_out(struct model_use use, unsigned n, int64_t unix_ms)
{
	use.unix_ms = unix_ms;
	use.lease_end_unix_ms = unix_ms + LEASE_MS;
	for (unsigned i = 0; i < n; i++) {
		count(&use, 1);
	}
}

static kms_err receive(
	unsigned who, unsigned holder, uint64_t number, const struct format_receipt_row *row)
{
	struct format_receipt_row copy = *row;
	const struct format_receipt receipt = {.tenant = id(TENANT),
		.holder = id(holder),
		.number = number,
		.row_count = 1,
		.rows = &copy};
	struct model_change change = {
		.type = MODEL_CHANGE_LEASE_RECEIPT, .tenant = id(TENANT), .actor = id(who)};
	struct store_tx *tx = NULL;
	OK(format_receipt_write(&receipt, &change.u.lease_receipt.bytes));
	OK(store_begin(store, &tx));
	OK(store_savepoint(tx));
	kms_err err = store_apply(tx, &change, seq++, NOW);
	OK(kms_is_ok(err) ? store_savepoint_keep(tx) : store_savepoint_drop(tx));
	OK(store_commit(&tx));
	model_change_free(&change);
	return err;
}

static kms_err give_back(
	unsigned key, uint32_t version, unsigned who, unsigned holder, uint64_t number, uint32_t n)
{
	return receive(who, holder, number, &(struct format_receipt_row){id(key), version, n});
}

static void check_sum(
	unsigned key, uint32_t version, uint64_t granted, uint64_t returned, int64_t last_end)
{
	struct store_lease_sum sum;
	const struct kms_id key_id = id(key);
	OK(store_lease_sum(store, &key_id, version, &sum));
	ck_assert_uint_eq(sum.granted, granted);
	ck_assert_uint_eq(sum.returned, returned);
	ck_assert_int_eq(sum.last_end_unix_ms, last_end);
}

static size_t clients_of(unsigned key, uint32_t version)
{
	struct kms_id *rows KMS_AUTO_FREE = NULL;
	const struct kms_id key_id = id(key);
	size_t n = 0;
	OK(store_lease_clients(store, &key_id, version, &rows, &n));
	return n;
}

static bool is_open(unsigned key, uint32_t version, unsigned who, unsigned holder)
{
	const struct kms_id key_id = id(key), principal = id(who), holder_id = id(holder);
	bool open = false;
	OK(store_lease_is_open(store, &key_id, version, &principal, &holder_id, &open));
	return open;
}

static void setup(void)
{
	OK(store_open(NULL, STORE_CREATE, &store));
}

static void teardown(void)
{
	store_free(&store);
}

START_TEST(what_is_handed_out_is_on_lease)
{
	struct model_use uses[5];
	check_sum(KEY, 0, 0, 0, 0);
	for (size_t i = 0; i < 5; i++) {
		uses[i] = use_of(KEY, 1, STORAGE, HOLDER);
	}
	uses[2].version = 2;
	uses[3].op = MODEL_OP_WRAP; /* hands nothing out */
	uses[3].lease_end_unix_ms = 0;
	uses[4].denied = KMS_CODE_DENIED;
	uses[4].lease_end_unix_ms = 0;
	count(uses, 5);
	check_sum(KEY, 1, 2, 0, NOW + LEASE_MS);
	check_sum(KEY, 2, 1, 0, NOW + LEASE_MS);
	check_sum(KEY, 0, 3, 0, NOW + LEASE_MS);
	check_sum(SECOND_KEY, 0, 0, 0, 0);
	ck_assert_uint_eq(clients_of(KEY, 0), 1);
	hand_out(use_of(KEY, 1, OTHER, HOLDER), 1, NOW + 5);
	check_sum(KEY, 1, 3, 0, NOW + 5 + LEASE_MS); /* the last end counts */
	ck_assert_uint_eq(clients_of(KEY, 1), 2);
	ck_assert_uint_eq(clients_of(KEY, 2), 1);
}
END_TEST

START_TEST(a_receipt_gives_back_what_its_holder_had)
{
	hand_out(use_of(KEY, 1, STORAGE, HOLDER), 3, NOW);
	hand_out(use_of(KEY, 1, STORAGE, HOLDER + 1), 1, NOW + 7);
	OK(give_back(KEY, 1, STORAGE, HOLDER, 1, 2));
	check_sum(KEY, 0, 4, 2, NOW + 7 + LEASE_MS);
	ck_assert(is_open(KEY, 1, STORAGE, HOLDER));
	/* Of another holder, version, key or principal it gives nothing back. */
	OK(give_back(KEY, 1, STORAGE, HOLDER + 2, 1, 9));
	OK(give_back(KEY, 2, STORAGE, HOLDER, 2, 9));
	OK(give_back(SECOND_KEY, 1, STORAGE, HOLDER, 3, 9));
	OK(give_back(KEY, 1, OTHER, HOLDER, 1, 9));
	check_sum(KEY, 0, 4, 2, NOW + 7 + LEASE_MS);
	/* And never more than was handed out. */
	OK(give_back(KEY, 1, STORAGE, HOLDER, 4, UINT32_MAX));
	check_sum(KEY, 0, 4, 3, NOW + 7 + LEASE_MS);
	ck_assert(!is_open(KEY, 1, STORAGE, HOLDER));
	ck_assert_uint_eq(clients_of(KEY, 0), 1); /* its other holder */
	OK(give_back(KEY, 1, STORAGE, HOLDER + 1, 1, 1));
	check_sum(KEY, 0, 4, 4, 0); /* nothing is open: there is no last end */
	ck_assert_uint_eq(clients_of(KEY, 0), 0);
}
END_TEST

START_TEST(no_receipt_counts_twice)
{
	const struct kms_id principal = id(STORAGE), holder = id(HOLDER);
	uint64_t last = 7;
	OK(store_receipt_last(store, &principal, &holder, &last));
	ck_assert_uint_eq(last, 0);
	hand_out(use_of(KEY, 1, STORAGE, HOLDER), 5, NOW);
	OK(give_back(KEY, 1, STORAGE, HOLDER, 2, 1));
	FAILS(give_back(KEY, 1, STORAGE, HOLDER, 2, 1), EXISTS);
	FAILS(give_back(KEY, 1, STORAGE, HOLDER, 1, 1), EXISTS);
	check_sum(KEY, 0, 5, 1, NOW + LEASE_MS);
	OK(give_back(KEY, 1, STORAGE, HOLDER, 3, 1));
	OK(store_receipt_last(store, &principal, &holder, &last));
	ck_assert_uint_eq(last, 3);
	check_sum(KEY, 0, 5, 2, NOW + LEASE_MS);
}
END_TEST

START_TEST(holders_that_are_long_gone_are_sums)
{
	const int64_t late = (int64_t)LIMIT_LEASE_LATE_S * 1000;
	const struct kms_id principal = id(STORAGE), holder = id(HOLDER);
	uint64_t last = 0;
	hand_out(use_of(KEY, 1, STORAGE, HOLDER), 3, NOW);
	OK(give_back(KEY, 1, STORAGE, HOLDER, 1, 1));
	/* At the last moment it still counts. */
	hand_out(use_of(SECOND_KEY, 1, OTHER, HOLDER), 1, NOW + LEASE_MS + late);
	ck_assert(is_open(KEY, 1, STORAGE, HOLDER));
	hand_out(use_of(SECOND_KEY, 1, OTHER, HOLDER), 1, NOW + LEASE_MS + late + 1);
	ck_assert(!is_open(KEY, 1, STORAGE, HOLDER));
	check_sum(KEY, 0, 3, 1, NOW + LEASE_MS); /* what was open is not forgotten */
	ck_assert_uint_eq(clients_of(KEY, 0), 1);
	OK(store_receipt_last(store, &principal, &holder, &last));
	ck_assert_uint_eq(last, 0);
	OK(give_back(KEY, 1, STORAGE, HOLDER, 2, 2));
	check_sum(KEY, 0, 3, 1, NOW + LEASE_MS); /* too late */
	ck_assert(is_open(SECOND_KEY, 1, OTHER, HOLDER));
}
END_TEST

/* Of a holder with another row its receipt's number stays: else it could count twice. */
START_TEST(a_holder_with_one_lease_left_keeps_its_number)
{
	const int64_t late = (int64_t)LIMIT_LEASE_LATE_S * 1000;
	const struct kms_id principal = id(STORAGE), holder = id(HOLDER);
	uint64_t last = 0;
	hand_out(use_of(KEY, 1, STORAGE, HOLDER), 1, NOW);
	hand_out(use_of(SECOND_KEY, 1, STORAGE, HOLDER), 1, NOW + late);
	OK(give_back(KEY, 1, STORAGE, HOLDER, 3, 1));
	hand_out(use_of(SECOND_KEY, 2, OTHER, HOLDER), 1, NOW + LEASE_MS + late + 1);
	ck_assert(!is_open(KEY, 1, STORAGE, HOLDER));
	ck_assert(is_open(SECOND_KEY, 1, STORAGE, HOLDER));
	OK(store_receipt_last(store, &principal, &holder, &last));
	ck_assert_uint_eq(last, 3);
	FAILS(give_back(SECOND_KEY, 1, STORAGE, HOLDER, 3, 1), EXISTS);
	hand_out(use_of(SECOND_KEY, 2, OTHER, HOLDER), 1, NOW + LEASE_MS + 2 * late + 1);
	OK(store_receipt_last(store, &principal, &holder, &last));
	ck_assert_uint_eq(last, 0);
}
END_TEST

static uint64_t folded(const struct kms_id *principal, unsigned holders)
{
	struct kms_id key = id(KEY);
	uint64_t gone = 0;
	for (unsigned i = 0; i < holders; i++) {
		struct kms_id holder = id(HOLDER);
		bool open = false;
		holder.b[1] = (uint8_t)(i >> 8);
		holder.b[2] = (uint8_t)i;
		OK(store_lease_is_open(store, &key, 1, principal, &holder, &open));
		gone += open ? 0 : 1;
	}
	return gone;
}

/* Not with one commit, which others wait for; and none is forgotten. */
START_TEST(many_holders_become_sums_bit_by_bit)
{
	enum { HOLDERS = 700 };
	const int64_t later = NOW + 2 * LEASE_MS + (int64_t)LIMIT_LEASE_LATE_S * 1000;
	const struct kms_id principal = id(STORAGE);
	uint64_t before = 0;
	for (unsigned i = 0; i < HOLDERS; i++) {
		struct model_use use = use_of(KEY, 1, STORAGE, HOLDER);
		use.holder.b[1] = (uint8_t)(i >> 8);
		use.holder.b[2] = (uint8_t)i;
		hand_out(use, 1, NOW + i);
	}
	ck_assert_uint_eq(folded(&principal, HOLDERS), 0);
	for (int turn = 0; before < HOLDERS; turn++) {
		hand_out(use_of(SECOND_KEY, 1, OTHER, HOLDER), 1, later);
		uint64_t now = folded(&principal, HOLDERS);
		ck_assert_uint_gt(now, before);
		ck_assert_uint_lt(now - before, HOLDERS / 2);
		before = now;
		check_sum(KEY, 1, HOLDERS, 0, NOW + HOLDERS - 1 + LEASE_MS);
	}
}
END_TEST

START_TEST(a_holder_may_be_unknown)
{
	hand_out(use_of(KEY, 1, STORAGE, NOBODY), 2, NOW);
	check_sum(KEY, 0, 2, 0, NOW + LEASE_MS);
	hand_out(use_of(KEY, 1, STORAGE, NOBODY), 1, NOW + 2 * (int64_t)LIMIT_LEASE_LATE_S * 1000);
	check_sum(KEY, 0, 3, 0, NOW + 2 * (int64_t)LIMIT_LEASE_LATE_S * 1000 + LEASE_MS);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {what_is_handed_out_is_on_lease,
		a_receipt_gives_back_what_its_holder_had, no_receipt_counts_twice,
		holders_that_are_long_gone_are_sums, a_holder_with_one_lease_left_keeps_its_number,
		many_holders_become_sums_bit_by_bit, a_holder_may_be_unknown};
	Suite *suite = suite_create("store_lease");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		tcase_add_test(all, tests[i]);
	}
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
