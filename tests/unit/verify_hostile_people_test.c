/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles by somebody who holds the ledger's and the manifest's key and not those of the people:
 * who is said to have signed, when it is said to have happened, and what is said to follow. Steps
 * 7, 9 and 10; more of them in verify_steps_test.c.
 */
#include "verify_steps.h"

/* ---- 7: people ---- */

static struct model_signed *approval(struct world *world, size_t i)
{
	return &entry(world, MODEL_CHANGE_ERASE_APPROVE, i)->u.erase_signed.by;
}
static void approve_bytes(struct world *world, struct kms_bytes bytes)
{
	bundle_sign(SIGNER_APPROVER_1, bytes, approval(world, 1)->signature);
}

BEND(b7_over_hash)
{
	approve_bytes(world, (struct kms_bytes){world->erase_hash.b, sizeof(world->erase_hash.b)});
}
BEND(b7_one_byte_more)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_ERASE_BYTES);
	KMS_AUTO_BUF bytes = {0};
	kms_write_bytes(&writer, kms_buf_bytes(&world->erase_bytes));
	kms_write_u8(&writer, 0);
	ck_ok(kms_writer_take(&writer, &bytes));
	approve_bytes(world, kms_buf_bytes(&bytes));
}
BEND(b7_one_byte_less)
{
	approve_bytes(
		world, (struct kms_bytes){world->erase_bytes.ptr, world->erase_bytes.len - 1});
}
BEND(b7_nothing)
{
	approve_bytes(world, (struct kms_bytes){world->erase_bytes.ptr, 0});
}
BEND(b7_over_cancel)
{
	KMS_AUTO_BUF bytes = {0};
	ck_ok(format_erase_cancel_write(&world->erase.erasure, &world->erase_hash, &bytes));
	approve_bytes(world, kms_buf_bytes(&bytes));
}
BEND(b7_zeros)
{
	memset(approval(world, 1)->signature, 0, MODEL_SIGNATURE);
}
BEND(b7_ones)
{
	memset(approval(world, 1)->signature, 0xff, MODEL_SIGNATURE);
}
BEND(b7_halves_swapped)
{
	struct model_signed *by = approval(world, 1);
	uint8_t half[MODEL_SIGNATURE / 2];
	memcpy(half, by->signature, sizeof(half));
	memmove(by->signature, by->signature + sizeof(half), sizeof(half));
	memcpy(by->signature + sizeof(half), half, sizeof(half));
}
BEND(b7_first_ones_signature)
{
	memcpy(approval(world, 1)->signature, approval(world, 0)->signature, MODEL_SIGNATURE);
}
BEND(b7_key_and_more)
{
	struct model_signed *by = approval(world, 1);
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_SPKI_BYTES);
	kms_write_bytes(&writer, kms_buf_bytes(&by->spki));
	kms_write_u8(&writer, 0);
	kms_buf_free(&by->spki);
	ck_ok(kms_writer_take(&writer, &by->spki));
}
BEND(b7_key_of_nobody)
{
	struct model_signed *by = approval(world, 1);
	kms_buf_free(&by->spki);
	ck_ok(kms_buf_copy(kms_bytes_str("key"), &by->spki));
}
BEND(b7_keys_swapped)
{
	world->approvals[0].by = SIGNER_APPROVER_1;
	world->approvals[1].by = SIGNER_APPROVER_0;
}
/* Another person, and the key that approved already. */
BEND(b7_one_key)
{
	world->approvals[1].by = SIGNER_APPROVER_0;
}
BEND(b7_by_ledger)
{
	world->approvals[1].by = SIGNER_LOG;
}
BEND(b7_by_token)
{
	world->approvals[1] = (struct approval){ID_TOKEN_0, SIGNER_TOKEN_0, false};
}
BEND(b7_other_erasure)
{
	entry(world, MODEL_CHANGE_ERASE_APPROVE, 1)->u.erase_signed.erasure = id_of(ID_OTHER);
}
/* Long after the certificates of the test have ended. */
BEND(b7_expired)
{
	world->start_ms += (int64_t)400 * DAY_S * 1000;
	for (int i = 0; i < KEKS; i++) {
		world->births[i].statement.unix_ms = world->start_ms;
	}
	world->erase.not_before_unix_s += 400 * DAY_S;
	world->erase.expires_unix_s += 400 * DAY_S;
}
BEND(b7_not_yet)
{
	world->start_ms -= (int64_t)400 * DAY_S * 1000;
	for (int i = 0; i < KEKS; i++) {
		world->births[i].statement.unix_ms = world->start_ms;
	}
}
BEND(b7_cert_and_more)
{
	struct kms_buf *cert =
		&entry(world, MODEL_CHANGE_ERASE_REQUEST, 0)->u.erase_request.certificate;
	KMS_AUTO_WRITER writer = kms_writer_grow(CRYPTO_CERT_MAX);
	kms_write_bytes(&writer, kms_buf_bytes(cert));
	kms_write_u8(&writer, 0);
	kms_buf_free(cert);
	ck_ok(kms_writer_take(&writer, cert));
}
BEND(b7_request_zeros)
{
	memset(entry(world, MODEL_CHANGE_ERASE_REQUEST, 0)->u.erase_request.signature, 0,
		MODEL_SIGNATURE);
}
/* Whoever cancelled, the tokens' daemons err on the side of the data. */
BEND(b7_cancelled_by_stranger)
{
	entry_add_cancel(world);
	struct model_signed *by = &entry(world, MODEL_CHANGE_ERASE_CANCEL, 0)->u.erase_signed.by;
	memset(by->signature, 1, MODEL_SIGNATURE);
	entry_move(world, world->count - 1, entry_find(world, MODEL_CHANGE_ERASE_APPROVE, 0));
}
BEND(b7_people_reordered)
{
	static const int order[] = {1, 0, 2, 3, 4, 5, 6, -1};
	reorder(world, "persons", order);
}
BEND(b7_nobody)
{
	(void)doc_set_array(world->certificate, "persons");
}
BEND(b7_two_requesters)
{
	static const int order[] = {0, 0, 1, 2, 3, 4, 5, 6, -1};
	reorder(world, "persons", order);
}
BEND(b7_new_role)
{
	static const int order[] = {0, 1, 2, 3, 4, 5, 6, 6, -1};
	reorder(world, "persons", order);
	doc_set_text(row(world, "persons", 7), "role", "notary");
}
BEND(b7_role_case)
{
	doc_set_text(row(world, "persons", 1), "role", "Approver");
}
BEND(b7_no_executor)
{
	static const int order[] = {0, 1, 2, 4, 5, 6, -1};
	reorder(world, "persons", order);
}
BEND(b7_other_executor)
{
	struct kms_id id = id_of(ID_OTHER);
	doc_set_id(row(world, "persons", 3), "id", &id);
}
BEND(b7_approver_without_key)
{
	doc_set_null(row(world, "persons", 2), "spki");
}
BEND(b7_validator_key)
{
	struct kms_hash spki = hash_of(1);
	doc_set_hash(row(world, "persons", 6), "spki", &spki);
}
BEND(b7_needed_huge)
{
	doc_set_int(world->certificate, "approvals_needed", 9007199254740991);
}

/* ---- 9: order and times ---- */

static void destroyed_at(struct world *world, int i, int64_t unix_ms)
{
	world->destroys[i].statement.u.destroy.begun_unix_ms =
		world->destroys[i].statement.unix_ms = world->absences[i].statement.unix_ms =
			unix_ms;
}
static void all_at(struct world *world, int64_t unix_ms)
{
	for (int i = 0; i < KEKS; i++) {
		destroyed_at(world, i, unix_ms);
	}
	for (int i = 0; i < TOKENS; i++) {
		world->wipes[i].statement.u.wipe.begun_unix_ms =
			world->wipes[i].statement.unix_ms = unix_ms;
	}
}

BEND(b9_epoch)
{
	destroyed_at(world, 0, 0);
}
BEND(b9_last_ms)
{
	all_at(world, INT64_MAX);
}
BEND(b9_seconds)
{
	/* As seconds it would be inside. */
	destroyed_at(world, 0, world->erase.not_before_unix_s + 1);
}
BEND(b9_by_one)
{
	destroyed_at(world, 5, world->erase.not_before_unix_s * 1000 - 1);
}
BEND(b9_late_by_one)
{
	all_at(world, world->erase.expires_unix_s * 1000 + 1);
}
/* By its own token's clock it died before it was born. */
BEND(b9_before_birth)
{
	world->births[0].statement.unix_ms = world->erase.expires_unix_s * 1000;
}
BEND(b9_born_after_request)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_KEY_RESULT, 2),
		entry_find(world, MODEL_CHANGE_ERASE_REQUEST, 0));
}
BEND(b9_final_first)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_FINAL, 0),
		entry_find(world, MODEL_CHANGE_ERASE_APPROVE, 0));
}
BEND(b9_two_finals)
{
	(void)entry_add_step(world, MODEL_CHANGE_ERASE_FINAL);
}
BEND(b9_approved_after_all)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_APPROVE, 0), world->count - 1);
}
BEND(b9_intent_last)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0), world->count - 1);
}
BEND(b9_wipe_without_intent)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_WIPE, 0),
		entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0));
}
BEND(b9_window_swapped)
{
	doc_set_int(world->certificate, "not_before", world->erase.expires_unix_s * 1000);
	doc_set_int(world->certificate, "expires", world->erase.not_before_unix_s * 1000);
}
BEND(b9_window_in_seconds)
{
	doc_set_int(world->certificate, "not_before", world->erase.not_before_unix_s);
}
BEND(b9_executed_now)
{
	doc_set_int(world->certificate, "executed", 9007199254740991);
}
BEND(b9_executed_first)
{
	size_t first = entry_find(world, MODEL_CHANGE_ERASE_RESULT, 0);
	doc_set_int(world->certificate, "executed", world->entries[first].unix_ms);
}

/* ---- 10: the level ---- */

BEND(b10_case)
{
	doc_set_text(world->certificate, "claim_level", "Recorded");
}
BEND(b10_space)
{
	doc_set_text(world->certificate, "claim_level", "recorded ");
}
BEND(b10_none)
{
	doc_set_text(world->certificate, "claim_level", "");
}
BEND(b10_statement_more)
{
	KMS_AUTO_FREE char *text = NULL;
	ck_ok(kms_text(&text, "%s The data is gone.", fixture_statement));
	doc_set_text(world->certificate, "statement", text);
}
BEND(b10_statement_newline)
{
	KMS_AUTO_FREE char *text = NULL;
	ck_ok(kms_text(&text, "%s\n", fixture_statement));
	doc_set_text(world->certificate, "statement", text);
}
BEND(b10_not_claimed_reordered)
{
	struct doc *list = doc_set_array(world->certificate, "not_claimed");
	for (size_t i = sizeof(fixture_not_claimed) / sizeof(fixture_not_claimed[0]); i > 0; i--) {
		doc_add_text(list, fixture_not_claimed[i - 1]);
	}
}
BEND(b10_not_claimed_more)
{
	struct doc *list = NULL;
	ck_ok(doc_get_array(world->certificate, "not_claimed", &list));
	doc_add_text(list, "nothing else");
}
BEND(b10_not_claimed_none)
{
	(void)doc_set_array(world->certificate, "not_claimed");
}
BEND(b10_plaintext_text)
{
	doc_set_text(object(world, "scope"), "plaintext_before", "never");
}
BEND(b10_rewritten_class)
{
	doc_set_text(row(world, "modules", 1), "class", "hsm");
}
BEND(b10_bits_0)
{
	doc_set_int(row(world, "keys", 1), "alg_bits", 0);
}
BEND(b10_level_and_number)
{
	doc_set_text(world->certificate, "claim_level", "asserted");
	doc_set_text(world->certificate, "copies_complete", "asserted");
	for (size_t i = 0; i < TOKENS; i++) {
		doc_set_text(row(world, "modules", i), "class", "hsm");
		doc_set_text(row(world, "modules", i), "certificate_no", "FIPS 140-3 #4711");
	}
}

static const struct wrong cases[] = {
	CASE(b7_over_hash, ENTRIES, S(7)),
	CASE(b7_one_byte_more, ENTRIES, S(7)),
	CASE(b7_one_byte_less, ENTRIES, S(7)),
	CASE(b7_nothing, ENTRIES, S(7)),
	CASE(b7_over_cancel, ENTRIES, S(7)),
	CASE(b7_zeros, ENTRIES, S(7)),
	CASE(b7_ones, ENTRIES, S(7)),
	CASE(b7_halves_swapped, ENTRIES, S(7)),
	CASE(b7_first_ones_signature, ENTRIES, S(7)),
	CASE(b7_key_and_more, ENTRIES, S(7)),
	CASE(b7_key_of_nobody, ENTRIES, S(7)),
	CASE(b7_keys_swapped, DESCRIBE, S(7)),
	CASE(b7_one_key, DESCRIBE, S(7)),
	CASE(b7_by_ledger, DESCRIBE, S(7)),
	CASE(b7_by_token, DESCRIBE, S(7)),
	CASE(b7_other_erasure, ENTRIES, S(4) | S(7)),
	CASE(b7_expired, DESCRIBE, S(7)),
	CASE(b7_not_yet, DESCRIBE, S(7)),
	CASE(b7_cert_and_more, ENTRIES, S(7)),
	CASE(b7_request_zeros, ENTRIES, S(7)),
	CASE(b7_cancelled_by_stranger, ENTRIES, S(7)),
	CASE(b7_people_reordered, CERTIFICATE, S(7)),
	CASE(b7_nobody, CERTIFICATE, S(7)),
	CASE(b7_two_requesters, CERTIFICATE, S(7)),
	CASE(b7_new_role, CERTIFICATE, S(7)),
	CASE(b7_role_case, CERTIFICATE, S(7)),
	CASE(b7_no_executor, CERTIFICATE, S(7)),
	CASE(b7_other_executor, CERTIFICATE, S(7)),
	CASE(b7_approver_without_key, CERTIFICATE, S(7)),
	CASE(b7_validator_key, CERTIFICATE, S(7)),
	CASE(b7_needed_huge, CERTIFICATE, S(7)),

	CASE(b9_epoch, STATEMENTS, S(9)),
	CASE(b9_last_ms, STATEMENTS, S(9)),
	CASE(b9_seconds, STATEMENTS, S(9)),
	CASE(b9_by_one, STATEMENTS, S(9)),
	CASE(b9_late_by_one, STATEMENTS, S(9)),
	CASE(b9_before_birth, DESCRIBE, S(9)),
	CASE(b9_born_after_request, ENTRIES, S(9)),
	CASE(b9_final_first, ENTRIES, S(9)),
	CASE(b9_two_finals, ENTRIES, S(9)),
	CASE(b9_approved_after_all, ENTRIES, S(9)),
	CASE(b9_intent_last, ENTRIES, S(9)),
	CASE(b9_wipe_without_intent, ENTRIES, S(9)),
	CASE(b9_window_swapped, CERTIFICATE, S(9)),
	CASE(b9_window_in_seconds, CERTIFICATE, S(9)),
	CASE(b9_executed_now, CERTIFICATE, S(9)),
	CASE(b9_executed_first, CERTIFICATE, S(9)),

	CASE(b10_case, CERTIFICATE, S(10)),
	CASE(b10_space, CERTIFICATE, S(10)),
	CASE(b10_none, CERTIFICATE, S(10)),
	CASE(b10_statement_more, CERTIFICATE, S(10)),
	CASE(b10_statement_newline, CERTIFICATE, S(10)),
	CASE(b10_not_claimed_reordered, CERTIFICATE, S(10)),
	CASE(b10_not_claimed_more, CERTIFICATE, S(10)),
	CASE(b10_not_claimed_none, CERTIFICATE, S(10)),
	CASE(b10_plaintext_text, CERTIFICATE, S(10)),
	CASE(b10_rewritten_class, CERTIFICATE, S(10)),
	CASE(b10_bits_0, CERTIFICATE, S(10)),
	CASE(b10_level_and_number, CERTIFICATE, S(10)),
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

START_TEST(wrong_of_the_people)
{
	expect_wrong(&cases[_i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify_hostile_people");
	TCase *tcase = tcase_create("verify_hostile_people");
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, set_up, bundle_keys_drop);
	tcase_add_loop_test(tcase, wrong_of_the_people, 0, CASES);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
