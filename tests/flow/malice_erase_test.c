/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A malicious kmsd that wants a KEK destroyed, or a token wiped, against a real kms-tokend: it asks
 * without one of the things that this needs, or with a false one. Each time it is refused by name,
 * data keys that were wrapped before open again, and an erasure that lacks nothing is done.
 * That it cannot claim a destruction that never was is tests/unit/verify_steps_test.c's.
 */
#include "malice_erase.h"

/* ---- the honest way ---- */

START_TEST(an_approved_erasure_is_done)
{
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* ---- people ---- */

START_TEST(without_a_quorum_nothing_is_destroyed)
{
	static const char *const reasons[] = {
		"0 approvals, and 2 are needed", "1 approvals, and 2 are needed"};
	draft();
	sign_draft();
	order.approval_count = (uint32_t)_i;
	open_refused(reasons[_i]);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(an_approver_counts_once)
{
	draft();
	sign_draft();
	approve(1, 0);
	open_refused("an approver has signed twice");
	/* Nor by standing there a second time as another one. */
	ck_ok(kms_id_parse(approver_ids[1], &order.approvals[1].approver));
	open_refused("an approver, or a key, is not pinned");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(a_forged_approval_is_refused)
{
	draft();
	sign_draft();
	if (_i == 0) {
		order.approvals[1].signature[40] ^= 1;
	} else if (_i == 1) { /* under an approver's name, by the double's own key */
		ck_ok(crypto_sign(own_key, order.erase, order.approvals[1].signature));
	} else { /* what another approver signed */
		memcpy(order.approvals[1].signature, order.approvals[0].signature, MODEL_SIGNATURE);
	}
	open_refused("an approval's signature is wrong");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(an_approver_whom_kmsd_made_is_refused)
{
	KMS_AUTO_BUF spki = {0};
	draft();
	sign_draft();
	ck_ok(crypto_signer_spki(own_key, &spki));
	order.approvals[1].spki = kms_buf_bytes(&spki);
	ck_ok(crypto_sign(own_key, order.erase, order.approvals[1].signature));
	open_refused("an approver, or a key, is not pinned");
	ck_ok(kms_id_random(&order.approvals[1].approver));
	open_refused("an approver, or a key, is not pinned");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(approvals_of_another_erasure_are_refused)
{
	draft();
	sign_draft();
	ck_ok(kms_id_random(&erase.erasure));
	change_signed();
	request_as("custodian");
	open_refused("an approval's signature is wrong");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(the_requesters_own_key_does_not_approve)
{
	draft();
	if (_i == 0) { /* pinned as the third approver's */
		sign_draft();
		approve(1, 2);
	} else { /* an approver asks for it, with another key */
		ck_ok(kms_id_parse(approver_ids[1], &erase.requester));
		sign_draft();
	}
	open_refused("the requester cannot approve");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(nobody_requested_it)
{
	draft();
	sign_draft();
	if (_i == 0) {
		order.signature[0] ^= 1;
	} else { /* with the custodian's certificate and the double's own key */
		ck_ok(crypto_sign(own_key, order.erase, order.signature));
	}
	open_refused("the requester's signature is wrong");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(who_is_none_of_the_tenants_people_does_not_request)
{
	static const char *const names[] = {
		"storage", "kmsd", "own-custodian", "other-custodian", "expired-custodian"};
	draft();
	sign_draft();
	request_as(names[_i]);
	open_refused(_i == 0 ? "a storage system's certificate is no person's"
			     : "the person's certificate is not a valid one of the tenant's "
			       "client CA");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* ---- time ---- */

#define TOO_EARLY "its waiting time is not over by this token's clock"

START_TEST(before_the_window_is_over_nothing_is_destroyed)
{
	draft();
	erase.not_before_unix_s = kms_now_unix_ms() / 1000 + HOUR_S / 2;
	sign_draft();
	open_fails(KMS_CODE_TIMEOUT, TOO_EARLY);
	tokend_start("acme", "erase.yaml");
	open_fails(KMS_CODE_TIMEOUT, TOO_EARLY);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(a_window_cut_short_after_the_signing_is_refused)
{
	draft();
	erase.not_before_unix_s = kms_now_unix_ms() / 1000 + HOUR_S / 2;
	sign_draft();
	erase.not_before_unix_s = kms_now_unix_ms() / 1000 - 1;
	change_signed();
	open_refused("the requester's signature is wrong");
	request_as("custodian"); /* who is in it with the double: the approvers are not */
	open_refused("an approval's signature is wrong");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(expired_approvals_are_refused)
{
	draft();
	erase.not_before_unix_s = kms_now_unix_ms() / 1000 - 3;
	erase.expires_unix_s = kms_now_unix_ms() / 1000 - 1;
	sign_draft();
	open_refused("its approvals have expired");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(an_open_erasure_expires)
{
	draft_tenant(true);
	erase.expires_unix_s = kms_now_unix_ms() / 1000 + 2;
	sign_draft();
	ck_ok(say_open());
	while (kms_now_unix_ms() <= erase.expires_unix_s * 1000) {
		sleep_ms(50);
	}
	ck_code(say_kek(&good), TOKEN_REFUSED);
	ck_assert_str_eq(answer.reason, "its approvals have expired");
	lives(&good);
	lives(&other);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* What a token of the tenant would say that had destroyed its own copy inside the window. */
static struct format_statement peers_word(const struct format_erase_kek *row)
{
	struct format_statement said = {
		.type = FORMAT_STATEMENT_DESTROY,
		.token = row->token,
		.tenant = tenant,
		.unix_ms = erase.expires_unix_s * 1000 - 500,
		.u.destroy = {.what = {.erasure = erase.erasure,
				      .key = row->key,
				      .version = row->version,
				      .kek = row->kek,
				      .commitment = row->commitment},
			.begun_unix_ms = erase.expires_unix_s * 1000 - 600,
			.found = true,
			.canary_before = true},
	};
	ck_ok(crypto_sha256_one(order.erase, &said.u.destroy.what.erase));
	return said;
}

static void come_late(const struct format_statement *said, const struct crypto_signer *key)
{
	uint8_t signature[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	ck_ok(format_statement_write(said, &text));
	ck_ok(crypto_sign(key, kms_buf_bytes(&text), signature));
	kms_write_bytes(&writer, kms_buf_bytes(&text));
	kms_write_fixed(&writer, signature, sizeof(signature));
	kms_buf_free(&late);
	ck_ok(kms_writer_take(&writer, &late));
	order.late = kms_buf_bytes(&late);
}

/* Approvals that have expired, and another token that is said to have begun in time. */
START_TEST(a_false_word_of_another_token_does_not_help_the_expired)
{
	struct format_erase_kek row = row_of(&good);
	ck_ok(kms_id_parse(PEER, &row.token));
	draft();
	add_row(&row);
	erase.not_before_unix_s = kms_now_unix_ms() / 1000 - 3;
	erase.expires_unix_s = kms_now_unix_ms() / 1000 - 1;
	sign_draft();
	struct format_statement said = peers_word(&row);
	come_late(&said, own_key);
	open_refused("the late statement is no destroy statement of a pinned token");
	said.token = token;
	come_late(&said, own_key);
	open_refused("the late statement is no destroy statement of a pinned token");
	/* Its real words, but of another erasure, and out of the window. */
	said = peers_word(&row);
	ck_ok(kms_id_random(&said.u.destroy.what.erasure));
	come_late(&said, peer_key);
	open_refused("the late statement is about something else");
	said = peers_word(&row);
	said.u.destroy.begun_unix_ms = said.unix_ms = erase.expires_unix_s * 1000 + 1;
	come_late(&said, peer_key);
	open_refused("the late statement did not begin in the window");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* ---- cancelled ---- */

START_TEST(what_was_cancelled_stays_cancelled)
{
	draft();
	sign_draft();
	ck_ok(say_cancel());
	open_refused("it was cancelled");
	tokend_start("acme", "erase.yaml");
	open_refused("it was cancelled");
	/* Signed anew by everybody: that id is gone. */
	erase.expires_unix_s++;
	sign_draft();
	open_refused("it was cancelled");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(an_open_erasure_that_is_cancelled_destroys_nothing)
{
	draft_tenant(true);
	sign_draft();
	ck_ok(say_open());
	ck_ok(say_cancel());
	ck_code(say_kek(&good), NOT_FOUND);
	ck_code(say_kek(&other), NOT_FOUND);
	ck_code(say_wipe(), NOT_FOUND);
	open_refused("it was cancelled");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* ---- which KEK ---- */

/* The people are told of one key, and the bytes under its name hold another one's KEK. */
START_TEST(another_keys_kek_in_the_bytes_is_refused)
{
	char reason[LIMIT_REASON + 1], text[KMS_ID_TEXT];
	struct format_erase_kek row = row_of(&good);
	row.kek = other.birth.kek;
	if (_i == 1) {
		row.commitment = other.commitment;
	}
	draft_of(MODEL_ERASE_KEY, &good.birth.key);
	add_row(&row);
	sign_draft();
	(void)snprintf(reason, sizeof(reason),
		"KEK %s was born for another key or version, or is another KEK",
		kms_id_text(&row.kek, text));
	open_refused(reason);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(another_kek_than_the_one_that_was_born_is_refused)
{
	char reason[LIMIT_REASON + 1], text[KMS_ID_TEXT];
	struct format_erase_kek row = row_of(&good);
	if (_i == 0) {
		row.commitment = other.commitment;
	} else {
		row.version++;
	}
	draft_of(MODEL_ERASE_KEY, &good.birth.key);
	add_row(&row);
	sign_draft();
	(void)snprintf(reason, sizeof(reason),
		"KEK %s was born for another key or version, or is another KEK",
		kms_id_text(&row.kek, text));
	open_refused(reason);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(a_kek_put_in_after_the_signing_is_refused)
{
	draft_of(MODEL_ERASE_TENANT, &tenant);
	add_kek(&good);
	sign_draft();
	add_kek(&other);
	change_signed();
	open_refused("the requester's signature is wrong");
	request_as("custodian");
	open_refused("an approval's signature is wrong");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(another_kek_than_the_erasure_names_is_refused)
{
	draft();
	sign_draft();
	ck_ok(say_open());
	ck_code(say_kek(&other), TOKEN_REFUSED);
	ck_assert_str_eq(answer.reason, "the erasure does not name this KEK");
	lives(&other);
	lives(&good);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(without_an_open_erasure_nothing_is_destroyed)
{
	draft_tenant(true);
	sign_draft();
	ck_code(say_kek(&good), NOT_FOUND);
	ck_code(say_wipe(), NOT_FOUND);
	lives(&good);
	/* Nor is it when it was open in a process that is no more. */
	ck_ok(say_open());
	tokend_start("acme", "erase.yaml");
	ck_code(say_kek(&good), NOT_FOUND);
	ck_code(say_wipe(), NOT_FOUND);
	lives(&good);
	lives(&other);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(an_open_erasure_does_not_become_another)
{
	draft();
	sign_draft();
	ck_ok(say_open());
	erase.scope = MODEL_ERASE_TENANT;
	erase.subject = tenant;
	add_kek(&other);
	change_signed();
	ck_code(say_open(), TOKEN_REFUSED);
	ck_code(say_kek(&other), TOKEN_REFUSED);
	ck_assert_str_eq(answer.reason, "the erasure does not name this KEK");
	lives(&other);
	lives(&good);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* ---- whose ---- */

START_TEST(another_tenants_erasure_is_refused)
{
	draft();
	ck_ok(kms_id_random(&erase.tenant));
	sign_draft();
	open_refused("it is of another tenant");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(another_ledgers_erasure_is_refused)
{
	static const char *const origins[] = {
		"platform.example/kmsd/other", ORIGIN "2", "platform.example/kmsd/malic"};
	draft();
	(void)strcpy(erase.origin, origins[_i]);
	sign_draft();
	open_refused("it is of another ledger");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(an_owner_who_named_no_approvers_allows_none)
{
	draft();
	sign_draft();
	tokend_start("acme", "owner.yaml");
	open_refused("this token's owner allows no erasure");
	order.approval_count = 0;
	open_refused("this token's owner allows no erasure");
	tokend_start("acme", "erase.yaml");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* ---- the ledger ---- */

#define NOT_IN "its intent is not in the ledger"

START_TEST(an_intent_that_is_not_in_the_ledger_is_refused)
{
	draft();
	sign_draft();
	switch (_i) {
	case 0:
		order.proof[0].b[0] ^= 1;
		break;
	case 1:
		order.index--;
		break;
	case 2: /* beyond its end */
		order.index = edge.size;
		break;
	case 3:
		order.proof_count = 0;
		break;
	default: /* an entry that says it, and stands nowhere */
		(void)strcat(entry, " ");
		order.entry = kms_bytes_str(entry);
		break;
	}
	open_refused(NOT_IN);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* The system token signs no head without what came before: one from before the intent is left. */
START_TEST(a_head_from_before_the_intent_is_refused)
{
	KMS_AUTO_BUF before = {0};
	ledger_sign();
	ck_ok(kms_buf_copy(kms_buf_bytes(&head), &before));
	draft();
	sign_draft();
	order.checkpoint = kms_buf_bytes(&before);
	open_refused(NOT_IN);
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(an_entry_that_is_not_its_intent_is_refused)
{
	static const char *const types[] = {
		"destroy.request", "destroy.approve", "destroy.execute.result", "destroy.cancel"};
	draft();
	sign_draft();
	record(types[_i]);
	open_refused("the entry given is not its intent");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(the_intent_of_another_erasure_is_refused)
{
	draft();
	sign_draft();
	static struct model_erase_order before;
	static char said[sizeof(entry)];
	before = order;
	(void)strcpy(said, entry);
	ck_ok(kms_id_random(&erase.erasure));
	write_bytes();
	sign_people();
	order.entry = kms_bytes_str(said);
	order.index = before.index;
	open_refused("the entry given is not its intent");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(a_checkpoint_by_another_key_is_refused)
{
	KMS_AUTO_BUF note = {0};
	draft();
	sign_draft();
	ledger_sign_as(own_key, &note);
	order.checkpoint = kms_buf_bytes(&note);
	open_refused("the checkpoint is not the pinned ledger's");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

START_TEST(a_checkpoint_that_nobody_signed_is_refused)
{
	KMS_AUTO_BUF text = {0};
	draft();
	sign_draft();
	ledger_checkpoint(&text);
	order.checkpoint = kms_buf_bytes(&text);
	open_refused("the checkpoint is not the pinned ledger's");
	an_approved_one_destroys_this_kek_only();
}
END_TEST

/* ---- the whole token ---- */

/* It still bears keys, and opens what was wrapped. */
static void token_lives(void)
{
	static struct held born;
	held_make(&born);
	lives(&born);
}

static void an_approved_wipe_is_done(void)
{
	struct format_statement said;
	sign_draft();
	ck_ok(say_open());
	for (uint32_t i = 0; i < erase.kek_count; i++) {
		ck_ok(say_row(&rows[i]));
	}
	ck_ok(say_wipe());
	check_said(answer.u.bytes, FORMAT_STATEMENT_WIPE, &said);
	ck_assert(kms_id_equal(&said.u.wipe.erasure, &erase.erasure));
	is_erased(&good);
	is_erased(&other);
	struct model_bear birth = birth_of(MODEL_DELIVERY_SEALED);
	ck_code(bear(&birth), ERASED);
}

START_TEST(a_wipe_that_nobody_signed_is_refused)
{
	draft_tenant(false);
	sign_draft();
	ck_ok(say_open());
	ck_code(say_wipe(), TOKEN_REFUSED);
	ck_assert_str_eq(answer.reason, "nobody signed that this token is wiped");
	lives(&good);
	lives(&other);
	/* Nor when every KEK of it is gone, as was approved. */
	destroys(&good);
	destroys(&other);
	ck_code(say_wipe(), TOKEN_REFUSED);
	ck_assert_str_eq(answer.reason, "nobody signed that this token is wiped");
	token_lives();
}
END_TEST

START_TEST(a_wipe_put_in_after_the_signing_is_refused)
{
	draft_tenant(false);
	sign_draft();
	erase.wipe_count = 1;
	change_signed();
	open_refused("the requester's signature is wrong");
	request_as("custodian");
	open_refused("an approval's signature is wrong");
	draft_tenant(true);
	an_approved_wipe_is_done();
}
END_TEST

START_TEST(a_wipe_that_leaves_out_a_living_kek_is_refused)
{
	draft_of(MODEL_ERASE_TENANT, &tenant);
	erase.wipe_count = 1;
	erase.wipes[0] = token;
	add_kek(&good);
	sign_draft();
	open_refused("it wipes this token and does not list every living KEK of it");
	draft_tenant(true);
	an_approved_wipe_is_done();
}
END_TEST

START_TEST(a_wipe_before_the_keks_are_gone_is_refused)
{
	draft_tenant(true);
	sign_draft();
	ck_ok(say_open());
	ck_code(say_wipe(), KEY_STATE);
	lives(&good);
	lives(&other);
	destroys(&good);
	ck_code(say_wipe(), KEY_STATE);
	lives(&other);
	destroys(&other);
	ck_ok(say_wipe());
}
END_TEST

START_TEST(a_wipe_over_a_kek_that_was_born_since_is_refused)
{
	static struct held born;
	draft_tenant(true);
	sign_draft();
	ck_ok(say_open());
	held_make(&born);
	destroys(&good);
	destroys(&other);
	ck_code(say_wipe(), KEY_STATE);
	lives(&born);
	draft_of(MODEL_ERASE_TENANT, &tenant);
	erase.wipe_count = 1;
	erase.wipes[0] = token;
	add_kek(&born);
	an_approved_wipe_is_done();
}
END_TEST

/* ---- */

static TCase *tcase(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, house_make, house_remove);
	tcase_add_checked_fixture(tcase, erase_setup, erase_teardown);
	suite_add_tcase(suite, tcase);
	return tcase;
}

static void add_people(TCase *people)
{
	tcase_add_test(people, an_approved_erasure_is_done);
	tcase_add_loop_test(people, without_a_quorum_nothing_is_destroyed, 0, 2);
	tcase_add_test(people, an_approver_counts_once);
	tcase_add_loop_test(people, a_forged_approval_is_refused, 0, 3);
	tcase_add_test(people, an_approver_whom_kmsd_made_is_refused);
	tcase_add_test(people, approvals_of_another_erasure_are_refused);
	tcase_add_loop_test(people, the_requesters_own_key_does_not_approve, 0, 2);
	tcase_add_loop_test(people, nobody_requested_it, 0, 2);
	tcase_add_loop_test(people, who_is_none_of_the_tenants_people_does_not_request, 0, 5);
}

static void add_times(TCase *times)
{
	tcase_add_test(times, before_the_window_is_over_nothing_is_destroyed);
	tcase_add_test(times, a_window_cut_short_after_the_signing_is_refused);
	tcase_add_test(times, expired_approvals_are_refused);
	tcase_add_test(times, an_open_erasure_expires);
	tcase_add_test(times, a_false_word_of_another_token_does_not_help_the_expired);
	tcase_add_test(times, what_was_cancelled_stays_cancelled);
	tcase_add_test(times, an_open_erasure_that_is_cancelled_destroys_nothing);
}

static void add_keks(TCase *keks)
{
	tcase_add_loop_test(keks, another_keys_kek_in_the_bytes_is_refused, 0, 2);
	tcase_add_loop_test(keks, another_kek_than_the_one_that_was_born_is_refused, 0, 2);
	tcase_add_test(keks, a_kek_put_in_after_the_signing_is_refused);
	tcase_add_test(keks, another_kek_than_the_erasure_names_is_refused);
	tcase_add_test(keks, without_an_open_erasure_nothing_is_destroyed);
	tcase_add_test(keks, an_open_erasure_does_not_become_another);
	tcase_add_test(keks, another_tenants_erasure_is_refused);
	tcase_add_loop_test(keks, another_ledgers_erasure_is_refused, 0, 3);
	tcase_add_test(keks, an_owner_who_named_no_approvers_allows_none);
}

static void add_ledger(TCase *ledger)
{
	tcase_add_loop_test(ledger, an_intent_that_is_not_in_the_ledger_is_refused, 0, 5);
	tcase_add_test(ledger, a_head_from_before_the_intent_is_refused);
	tcase_add_loop_test(ledger, an_entry_that_is_not_its_intent_is_refused, 0, 4);
	tcase_add_test(ledger, the_intent_of_another_erasure_is_refused);
	tcase_add_test(ledger, a_checkpoint_by_another_key_is_refused);
	tcase_add_test(ledger, a_checkpoint_that_nobody_signed_is_refused);
}

static void add_wipes(TCase *wipes)
{
	tcase_add_test(wipes, a_wipe_that_nobody_signed_is_refused);
	tcase_add_test(wipes, a_wipe_put_in_after_the_signing_is_refused);
	tcase_add_test(wipes, a_wipe_that_leaves_out_a_living_kek_is_refused);
	tcase_add_test(wipes, a_wipe_before_the_keks_are_gone_is_refused);
	tcase_add_test(wipes, a_wipe_over_a_kek_that_was_born_since_is_refused);
}

int main(void)
{
	Suite *suite = suite_create("malice_erase");
	add_people(tcase(suite, "people"));
	add_times(tcase(suite, "times"));
	add_keks(tcase(suite, "keks"));
	add_ledger(tcase(suite, "ledger"));
	add_wipes(tcase(suite, "wipes"));
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
