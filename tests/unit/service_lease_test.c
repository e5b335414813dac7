/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of leases through the one door: what a use says of its lease, whose receipts are recorded
 * and whose are refused, and what a holder is asked to give up.
 */
#include "service_world.h"

enum { HOLDER = 90, OTHER_HOLDER };

static struct crypto_signer *storage_key, *stranger_key;
static struct kms_buf storage_der, person_der, foreign_der, ca_pem;
static char keys[48]; /* a folder */

static const char *file(const char *name)
{
	static char full[96];
	(void)snprintf(full, sizeof(full), "%s/%s", keys, name);
	return full;
}

static void make_der(const char *name, struct kms_buf *ret_der)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	OK(crypto_cert_read(file(name), &cert));
	OK(crypto_cert_der(cert, ret_der));
}

/* A storage system's certificate, and the same key under one of other use and of another CA. */
static void make_certificates(void)
{
	char command[1024];
	(void)strcpy(keys, "/tmp/kmsd-service-lease-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(keys));
	(void)snprintf(command, sizeof(command),
		"cd %s; exec 2>make.log; set -e\n"
		"for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt "
		"ec_paramgen_curve:P-256 -nodes -keyout $ca.key -out $ca.pem -subj /CN=$ca -days "
		"30; done\n"
		"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out storage.key\n"
		"issue() { openssl req -new -key storage.key -out s.csr -subj /CN=s -addext "
		"extendedKeyUsage=$3; openssl x509 -req -in s.csr -CA $1.pem -CAkey $1.key "
		"-CAcreateserial -days 30 -out $2.pem -copy_extensions copy; }\n"
		"issue ca storage clientAuth," CRYPTO_PURPOSE_STORAGE "\n"
		"issue ca person clientAuth\n"
		"issue other foreign clientAuth," CRYPTO_PURPOSE_STORAGE "\n"
		"chmod 600 *.key",
		keys);
	ck_assert_msg(system(command) == 0, "%s", command);
	make_der("storage.pem", &storage_der);
	make_der("person.pem", &person_der);
	make_der("foreign.pem", &foreign_der);
	OK(crypto_signer_read(file("storage.key"), &storage_key));
	OK(crypto_signer_read(file("other.key"), &stranger_key));
	OK(kms_file_read(file("ca.pem"), CRYPTO_CERT_MAX, &ca_pem));
}

static void set_up_leases(void)
{
	static char pem[LIMIT_CERT_PEM];
	KMS_AUTO(crypto_cert) cert = NULL;
	make_certificates();
	OK(crypto_cert_read(file("storage.pem"), &cert));
	OK(crypto_cert_spki_hash(cert, &storage_spki));
	has_storage_spki = true;
	(void)snprintf(pem, sizeof(pem), "%.*s", (int)ca_pem.len, (const char *)ca_pem.ptr);
	tenant_ca = pem;
	set_up();
}

static void tear_down_leases(void)
{
	char command[96];
	tear_down();
	crypto_signer_free(&storage_key);
	crypto_signer_free(&stranger_key);
	kms_buf_free(&storage_der);
	kms_buf_free(&person_der);
	kms_buf_free(&foreign_der);
	kms_buf_free(&ca_pem);
	(void)snprintf(command, sizeof(command), "rm -rf %s", keys);
	ck_assert_int_eq(system(command), 0);
}

/* ---- steps ---- */

/* count uses; says how long their lease is. */
static uint32_t use(enum model_op op, const struct kms_id *key, unsigned holder, size_t count)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	struct model_request *asked = sealed_request(op, key, TOKEN_A, &session, count);
	asked->u.use.holder = id(holder);
	OK(call(STORAGE, asked, &answer));
	return answer->u.use.lease_s;
}

struct report {
	unsigned who, holder, tenant;
	const struct kms_id *key;
	uint32_t count;
	uint64_t number;
	const struct crypto_signer *by;
	const struct kms_buf *der;
	unsigned receipt_holder; /* 0: the holder */
	bool damaged;
};

static struct report honest(const struct kms_id *key, uint64_t number, uint32_t count)
{
	return (struct report){.who = STORAGE,
		.holder = HOLDER,
		.tenant = TENANT,
		.key = key,
		.count = count,
		.number = number,
		.by = storage_key,
		.der = &storage_der};
}

static kms_err report_as(const struct report *it, struct model_answer **ret)
{
	struct model_request *asked = request(MODEL_OP_LEASE_REPORT);
	struct format_receipt_row row = {*it->key, 1, it->count};
	const struct format_receipt receipt = {.tenant = id(it->tenant),
		.holder = id(it->receipt_holder != 0 ? it->receipt_holder : it->holder),
		.number = it->number,
		.row_count = 1,
		.rows = &row};
	asked->u.lease_report.holder = id(it->holder);
	OK(format_receipt_write(&receipt, &asked->u.lease_report.receipt));
	OK(kms_buf_copy(kms_buf_bytes(it->der), &asked->u.lease_report.certificate));
	OK(crypto_sign(it->by, kms_buf_bytes(&asked->u.lease_report.receipt),
		asked->u.lease_report.signature));
	if (it->damaged) {
		asked->u.lease_report.receipt.ptr[0] ^= 1;
	}
	return call(it->who, asked, ret);
}

static kms_err ask(unsigned who, unsigned holder, struct model_answer **ret)
{
	struct model_request *asked = request(MODEL_OP_LEASE_REPORT);
	asked->u.lease_report.holder = id(holder);
	return call(who, asked, ret);
}

static size_t receipts(void)
{
	return look(MODEL_CHANGE_LEASE_RECEIPT, NULL).count;
}

static uint64_t returned(const struct kms_id *key)
{
	struct store_lease_sum sum;
	OK(store_lease_sum(store, key, 0, &sum));
	return sum.returned;
}

/* ---- tests ---- */

START_TEST(a_use_says_how_long_its_lease_is)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct store_lease_sum sum;
	int64_t before = kms_now_unix_ms();
	ck_assert_uint_eq(use(MODEL_OP_DATAKEY, &key, HOLDER, 2), POLICY_LEASE_S);
	ck_assert_uint_eq(use(MODEL_OP_UNWRAP, &key, HOLDER, 1), POLICY_LEASE_S);
	ck_assert_uint_eq(use(MODEL_OP_WRAP, &key, HOLDER, 1), 0);
	ck_assert_uint_eq(use(MODEL_OP_REWRAP, &key, HOLDER, 1), 0);
	OK(store_lease_sum(store, &key, 1, &sum));
	ck_assert_uint_eq(sum.granted, 3);
	ck_assert_int_ge(sum.last_end_unix_ms, before + POLICY_LEASE_S * 1000);
	ck_assert_int_le(sum.last_end_unix_ms, kms_now_unix_ms() + POLICY_LEASE_S * 1000);
}
END_TEST

START_TEST(a_receipt_is_recorded_once)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	KMS_AUTO(model_answer) answer = NULL;
	(void)use(MODEL_OP_UNWRAP, &key, HOLDER, 3);
	struct report report = honest(&key, 1, 2);
	OK(report_as(&report, &answer));
	ck_assert_uint_eq(answer->u.lease_report.recalled_count, 0);
	ck_assert_uint_eq(receipts(), 1);
	ck_assert_uint_eq(returned(&key), 2);
	OK(report_as(&report, NULL)); /* the answer was lost: it comes again, and counts once */
	ck_assert_uint_eq(receipts(), 1);
	ck_assert_uint_eq(returned(&key), 2);
	report = honest(&key, 2, 1);
	OK(report_as(&report, NULL));
	ck_assert_uint_eq(receipts(), 2);
	ck_assert_uint_eq(returned(&key), 3);
	report = honest(&key, 3, 1); /* nothing is open any more: nothing to record */
	OK(report_as(&report, NULL));
	ck_assert_uint_eq(receipts(), 2);
}
END_TEST

/* So that no client can fill the ledger with receipts. */
START_TEST(what_gives_nothing_back_is_not_recorded)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED), other = id(77);
	(void)use(MODEL_OP_UNWRAP, &key, OTHER_HOLDER, 1);
	struct report report = honest(&key, 1, 1); /* not this holder's */
	OK(report_as(&report, NULL));
	report = honest(&other, 2, 1);
	OK(report_as(&report, NULL));
	ck_assert_uint_eq(receipts(), 0);
	ck_assert_uint_eq(returned(&key), 0);
}
END_TEST

START_TEST(another_word_than_its_own_is_refused)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	(void)use(MODEL_OP_UNWRAP, &key, HOLDER, 1);
	struct report report = honest(&key, 1, 1);
	report.by = stranger_key;
	FAILS(report_as(&report, NULL), INTEGRITY);
	report = honest(&key, 1, 1);
	report.damaged = true;
	FAILS(report_as(&report, NULL), FORMAT);
	report = honest(&key, 1, 1);
	report.tenant = OTHER_TENANT;
	FAILS(report_as(&report, NULL), ARGUMENT);
	report = honest(&key, 1, 1);
	report.receipt_holder = OTHER_HOLDER;
	FAILS(report_as(&report, NULL), ARGUMENT);
	report = honest(&key, 1, 1);
	report.der = &person_der; /* an auditor would not take it for a storage system's */
	FAILS(report_as(&report, NULL), ARGUMENT);
	report = honest(&key, 1, 1);
	report.der = &foreign_der;
	FAILS(report_as(&report, NULL), ARGUMENT);
	report = honest(&key, 1, 1);
	report.who = STORAGE_TOO; /* who has another key than the receipt's */
	FAILS(report_as(&report, NULL), ARGUMENT);
	report = honest(&key, 1, 1);
	report.who = CUSTODIAN;
	FAILS(report_as(&report, NULL), DENIED);
	ck_assert_uint_eq(receipts(), 0);
	ck_assert_uint_eq(returned(&key), 0);
}
END_TEST

/* Its entry may be later than its certificate's end, and spoil what shows it. */
START_TEST(a_certificate_that_ends_now_signs_nothing)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	const int64_t days_ms = 30 * (int64_t)24 * 3600 * 1000, now = kms_now_unix_ms();
	(void)use(MODEL_OP_UNWRAP, &key, HOLDER, 2);
	kms_clock_fix(now + days_ms - 50 * 1000);
	struct report report = honest(&key, 1, 1);
	FAILS(report_as(&report, NULL), ARGUMENT);
	ck_assert_uint_eq(receipts(), 0);
	kms_clock_fix(now + days_ms - 600 * 1000);
	OK(report_as(&report, NULL));
	ck_assert_uint_eq(receipts(), 1);
}
END_TEST

/* What a holder is asked to give up because of an erasure: service_erase_test.c. */
START_TEST(who_asks_is_told_what_to_give_up)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	KMS_AUTO(model_answer) answer = NULL;
	(void)use(MODEL_OP_UNWRAP, &key, HOLDER, 1);
	OK(ask(STORAGE, HOLDER, &answer));
	ck_assert_uint_eq(answer->u.lease_report.recalled_count, 0);
	FAILS(ask(CUSTODIAN, HOLDER, NULL), DENIED);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {a_use_says_how_long_its_lease_is, a_receipt_is_recorded_once,
		what_gives_nothing_back_is_not_recorded, another_word_than_its_own_is_refused,
		a_certificate_that_ends_now_signs_nothing, who_asks_is_told_what_to_give_up};
	Suite *suite = suite_create("service_lease");
	TCase *all = tcase_create("all");
	tcase_set_timeout(all, 60);
	tcase_add_checked_fixture(all, set_up_leases, tear_down_leases);
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
