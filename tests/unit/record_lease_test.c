/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of a client's receipt: golden bytes, both directions, and what is refused.
 */
#include "crypto.h"
#include "format_bytes.h"
#include "golden.h"
#include "record.h"

static struct record_head head;
static struct model_change change;

static void setup(void)
{
	struct format_receipt_row row = {id_of(0x22), 1, 3};
	const struct format_receipt receipt = {.tenant = id_of(0x11),
		.holder = id_of(0x99),
		.number = 5,
		.unix_ms = 1795255200123,
		.row_count = 1,
		.rows = &row};
	memset(&head, 0, sizeof(head));
	memset(&change, 0, sizeof(change));
	memcpy(head.log, "kms.example/kmsd/1", 19);
	head.seq = 300;
	head.unix_ms = 1795255200200;
	head.node = id_of(0x66);
	change.type = MODEL_CHANGE_LEASE_RECEIPT;
	change.tenant = id_of(0x11);
	change.actor = id_of(0x56);
	ck_assert(kms_is_ok(format_receipt_write(&receipt, &change.u.lease_receipt.bytes)));
	ck_assert(kms_is_ok(kms_buf_copy(
		kms_bytes_str("a certificate, DER"), &change.u.lease_receipt.certificate)));
	memset(change.u.lease_receipt.signature, 0x53, MODEL_SIGNATURE);
}

static void teardown(void)
{
	model_change_free(&change);
}

static kms_err write_it(void)
{
	KMS_AUTO_BUF json = {0};
	return record_entry_write(&head, &change, &json);
}

START_TEST(golden_both_ways)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_BUF again = {0};
	KMS_AUTO_FREE char *line = NULL;
	struct record_head head_back;
	__attribute__((cleanup(model_change_free))) struct model_change back = {0};
	struct kms_id key;
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(kms_text(&line, "%.*s\n", (int)json.len, (const char *)json.ptr)));
	golden_text("lease-entries.jsonl", kms_bytes_str(line));
	ck_assert(kms_is_ok(record_entry_read(kms_buf_bytes(&json), &head_back, &back)));
	ck_assert_str_eq(record_change_text(&back), "lease.receipt");
	ck_assert(!record_change_key(&back, &key));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&back.u.lease_receipt.bytes),
		kms_buf_bytes(&change.u.lease_receipt.bytes)));
	ck_assert(kms_is_ok(record_entry_write(&head_back, &back, &again)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&json), kms_buf_bytes(&again)));
}
END_TEST

START_TEST(contradictions_are_refused)
{
	ck_assert(kms_is_ok(write_it()));
	change.tenant = id_of(0x12);
	ck_assert(kms_is(write_it(), KMS_CODE_ARGUMENT));
	change.tenant = (struct kms_id){{0}};
	ck_assert(kms_is(write_it(), KMS_CODE_ARGUMENT));
	change.tenant = id_of(0x11);
	change.actor = (struct kms_id){{0}};
	ck_assert(kms_is(write_it(), KMS_CODE_ARGUMENT));
	change.actor = id_of(0x56);
	head.has_previous = true; /* it is about no one key */
	ck_assert(kms_is(write_it(), KMS_CODE_ARGUMENT));
	head.has_previous = false;
	change.u.lease_receipt.bytes.ptr[0] ^= 1;
	ck_assert(!kms_is_ok(write_it()));
	change.u.lease_receipt.bytes.ptr[0] ^= 1;
	kms_buf_free(&change.u.lease_receipt.certificate);
	ck_assert(kms_is(write_it(), KMS_CODE_ARGUMENT));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("record_lease");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, golden_both_ways);
	tcase_add_test(all, contradictions_are_refused);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
