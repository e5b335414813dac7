/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmsd-receipt/1: golden bytes, both directions, every strictness that docs/formats names, limits.
 */
#include "format_bytes.h"
#include "golden.h"

static struct format_receipt_row rows[LIMIT_RECEIPT_ROWS + 1];
static struct format_receipt receipt;

/* Where things stand in the bytes. */
enum {
	AT_TENANT = 14,
	AT_HOLDER = AT_TENANT + 16,
	AT_NUMBER = AT_HOLDER + 16,
	AT_TIME = AT_NUMBER + 8,
	AT_COUNT = AT_TIME + 8,
	AT_ROWS = AT_COUNT + 2,
	ROW_BYTES = 16 + 4 + 4,
};

static void setup(void)
{
	memset(rows, 0, sizeof(rows));
	rows[0] = (struct format_receipt_row){id_of(0x22), 1, 3};
	rows[1] = (struct format_receipt_row){id_of(0x22), 2, 1};
	receipt = (struct format_receipt){
		.tenant = id_of(0x11),
		.holder = id_of(0x99),
		.number = 5,
		.unix_ms = 1795255200123,
		.row_count = 2,
		.rows = rows,
	};
}

static kms_err read_it(struct kms_bytes bytes)
{
	KMS_AUTO(format_receipt) back = NULL;
	return format_receipt_read(bytes, &back);
}

static enum kms_code written(void)
{
	KMS_AUTO_BUF bytes = {0};
	return format_receipt_write(&receipt, &bytes).code;
}

START_TEST(golden_both_ways)
{
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF again = {0};
	KMS_AUTO(format_receipt) back = NULL;
	ck_assert(kms_is_ok(format_receipt_write(&receipt, &bytes)));
	golden_hex("receipt.hex", kms_buf_bytes(&bytes));
	ck_assert(kms_is_ok(format_receipt_read(kms_buf_bytes(&bytes), &back)));
	ck_assert(kms_id_equal(&back->tenant, &receipt.tenant));
	ck_assert(kms_id_equal(&back->holder, &receipt.holder));
	ck_assert_uint_eq(back->number, 5);
	ck_assert_int_eq(back->unix_ms, receipt.unix_ms);
	ck_assert_uint_eq(back->row_count, 2);
	ck_assert_uint_eq(back->rows[1].version, 2);
	ck_assert_uint_eq(back->rows[0].count, 3);
	ck_assert(kms_is_ok(format_receipt_write(back, &again)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_buf_bytes(&again)));
}
END_TEST

START_TEST(reading_is_strict)
{
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is_ok(format_receipt_write(&receipt, &buf)));
	struct kms_bytes bytes = kms_buf_bytes(&buf);
	all_cuts_refused(bytes, read_it);
	for (size_t i = 0; i < AT_TENANT; i++) {
		ck_assert_int_eq(with_byte(bytes, i, 0x7e, read_it), KMS_CODE_FORMAT);
	}
	ck_assert_int_eq(with_byte(bytes, AT_NUMBER + 7, 0, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_NUMBER, 0x80, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_TIME, 0x80, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_COUNT + 1, 0, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_COUNT, 0xff, read_it), KMS_CODE_TOO_LARGE);
	/* The rows' order, a version and a count of nothing. */
	ck_assert_int_eq(with_byte(bytes, AT_ROWS + ROW_BYTES, 0x21, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_ROWS + ROW_BYTES + 19, 1, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_ROWS + 19, 0, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_ROWS + 23, 0, read_it), KMS_CODE_FORMAT);
	ck_assert_int_eq(
		with_byte(bytes, AT_ROWS + ROW_BYTES + 17, 1, read_it), KMS_CODE_TOO_LARGE);
}
END_TEST

START_TEST(writing_refuses_what_no_reader_takes)
{
	ck_assert_int_eq(written(), KMS_CODE_OK);
	receipt.number = 0;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	receipt.holder = (struct kms_id){{0}};
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	receipt.tenant = (struct kms_id){{0}};
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	receipt.unix_ms = -1;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	receipt.row_count = 0;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	rows[1] = rows[0];
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
}
END_TEST

START_TEST(limits)
{
	KMS_AUTO_BUF bytes = {0};
	for (uint32_t i = 0; i <= LIMIT_RECEIPT_ROWS; i++) {
		rows[i] = (struct format_receipt_row){id_of(0x22), i + 1, UINT32_MAX};
	}
	receipt.row_count = LIMIT_RECEIPT_ROWS;
	ck_assert(kms_is_ok(format_receipt_write(&receipt, &bytes)));
	ck_assert_uint_le(bytes.len, LIMIT_RECEIPT_BYTES);
	ck_assert(kms_is_ok(read_it(kms_buf_bytes(&bytes))));
	receipt.row_count++;
	ck_assert_int_eq(written(), KMS_CODE_TOO_LARGE);
	setup();
	rows[1].version = LIMIT_KEY_VERSIONS;
	ck_assert_int_eq(written(), KMS_CODE_OK);
	rows[1].version++;
	ck_assert_int_eq(written(), KMS_CODE_TOO_LARGE);
	static uint8_t longest[LIMIT_RECEIPT_BYTES + 1];
	ck_assert(
		kms_is(read_it((struct kms_bytes){longest, sizeof(longest)}), KMS_CODE_TOO_LARGE));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		golden_both_ways, reading_is_strict, writing_refuses_what_no_reader_takes, limits};
	Suite *suite = suite_create("format_receipt");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, NULL);
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
