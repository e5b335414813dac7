/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the one door through its header: found, decided, recorded, and only then answered; and
 * that no answer leaves before its uses are durable.
 */
#include "service_world.h"

static struct kms_id the_key;

static void set_up_key(void)
{
	set_up();
	the_key = make_key(MODEL_DELIVERY_SEALED);
}

/* ---- found ---- */

START_TEST(no_such_operation_or_the_wrong_face_is_not_found)
{
	struct model_principal person = principal(STORAGE);
	struct model_request asked = {.op = MODEL_OP_DATAKEY};
	struct model_answer *answer = NULL;
	FAILS(service_call(service, &person, MODEL_FACE_ADMIN, &asked, &answer, detail), NOT_FOUND);
	asked.op = MODEL_OP_KEY_CREATE;
	FAILS(service_call(service, &person, MODEL_FACE_DATA, &asked, &answer, detail), NOT_FOUND);
	asked.op = MODEL_OP_COUNT_;
	FAILS(service_call(service, &person, MODEL_FACE_BOTH, &asked, &answer, detail), NOT_FOUND);
	asked.op = 0;
	FAILS(service_call(service, &person, MODEL_FACE_BOTH, &asked, &answer, detail), NOT_FOUND);
	ck_assert_ptr_null(answer);
	ck_assert_uint_eq(look_at_uses().records, 0);
}
END_TEST

START_TEST(what_is_not_there_is_not_found_and_recorded)
{
	struct kms_id nothing = id(90);
	FAILS(call_about(CUSTODIAN, MODEL_OP_KEY_SHOW, &nothing), NOT_FOUND);
	FAILS(call_about(CUSTODIAN, MODEL_OP_DATASET_SHOW, &nothing), NOT_FOUND);
	struct seen seen = look_at_uses();
	ck_assert_uint_eq(seen.denials, 2);
	ck_assert_int_eq(seen.last.denied, KMS_CODE_NOT_FOUND);
}
END_TEST

/* ---- decided ---- */

START_TEST(a_denial_is_durable_before_it_is_answered)
{
	struct kms_id person = id(STORAGE);
	struct kms_hash spki = hash(STORAGE);
	FAILS(call_about(STORAGE, MODEL_OP_KEY_ROTATE, &the_key), DENIED);
	struct seen seen = look_at_uses();
	ck_assert_uint_eq(seen.records, 1);
	ck_assert_uint_eq(seen.denials, 1);
	ck_assert_int_eq(seen.last.denied, KMS_CODE_DENIED);
	ck_assert_int_eq(seen.last.op, MODEL_OP_KEY_ROTATE);
	ck_assert(kms_id_equal(&seen.last.principal, &person));
	ck_assert(kms_hash_equal(&seen.last.spki, &spki));
	ck_assert(kms_id_equal(&seen.last.key, &the_key));
}
END_TEST

START_TEST(a_denial_that_cannot_be_recorded_is_not_answered)
{
	break_store(true);
	kms_err err = call_about(STORAGE, MODEL_OP_KEY_ROTATE, &the_key);
	break_store(false);
	FAILS(err, LEDGER);
	ck_assert_uint_eq(look_at_uses().denials, 0);
	FAILS(call_about(STORAGE, MODEL_OP_KEY_ROTATE, &the_key), DENIED);
	ck_assert_uint_eq(look_at_uses().denials, 1);
}
END_TEST

START_TEST(the_policy_file_is_asked)
{
	/* As shipped it has no clear keys. */
	FAILS(call(CUSTODIAN, create_request(MODEL_DELIVERY_CLEAR, MODEL_CUSTODY_ANY, TOKEN_A, 0),
		      NULL),
		DENIED);
	ck_assert_uint_eq(look_at_uses().denials, 1);
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_INTENT, NULL).count, 1);
}
END_TEST

START_TEST(nothing_crosses_tenants)
{
	static const struct {
		unsigned who;
		enum model_op op;
		unsigned what;
	} asked[] = {
		{OTHER_CUSTODIAN, MODEL_OP_TENANT_SHOW, TENANT},
		{OTHER_CUSTODIAN, MODEL_OP_PRINCIPAL_SHOW, CUSTODIAN},
		{OTHER_CUSTODIAN, MODEL_OP_PRINCIPAL_SHOW, OPERATOR},
		{OTHER_CUSTODIAN, MODEL_OP_TOKEN_SHOW, TOKEN_A},
		{OTHER_CUSTODIAN, MODEL_OP_TOKEN_SHOW, TOKEN_SYSTEM},
	};
	static const enum model_op of_key[] = {MODEL_OP_KEY_SHOW, MODEL_OP_KEY_ROTATE,
		MODEL_OP_KEY_SUSPEND, MODEL_OP_KEY_DEACTIVATE, MODEL_OP_KEY_HISTORY};
	size_t denials = 0;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct kms_id what = id(asked[i].what);
		FAILS(call_about(asked[i].who, asked[i].op, &what), DENIED);
		ck_assert_uint_eq(look_at_uses().denials, ++denials);
	}
	for (size_t i = 0; i < sizeof(of_key) / sizeof(of_key[0]); i++) {
		FAILS(call_about(OTHER_CUSTODIAN, of_key[i], &the_key), DENIED);
		ck_assert_uint_eq(look_at_uses().denials, ++denials);
	}
	struct model_request *session = request(MODEL_OP_SESSION_OPEN);
	session->u.session_open.token = id(TOKEN_A);
	FAILS(call(OTHER_STORAGE, session, NULL), DENIED);
	ck_assert_uint_eq(token_a->sessions, 0);
	struct kms_id own = open_session(OTHER_STORAGE, TOKEN_C);
	FAILS(call(OTHER_STORAGE, sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &own, 1),
		      NULL),
		DENIED);
	ck_assert_uint_eq(token_a->calls + token_c->calls, 0);
	ck_assert_uint_eq(look_at_uses().denials, denials + 2);
}
END_TEST

START_TEST(a_dataset_of_another_tenant_is_denied)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request *asked = request(MODEL_OP_DATASET_ADD);
	asked->u.dataset_add.key = the_key;
	(void)snprintf(asked->u.dataset_add.medium, sizeof(asked->u.dataset_add.medium), "bucket");
	(void)snprintf(asked->u.dataset_add.country, sizeof(asked->u.dataset_add.country), "JP");
	OK(call(CUSTODIAN, asked, &answer));
	struct kms_id dataset = answer->u.datasets.rows[0].id;
	OK(call_about(CUSTODIAN, MODEL_OP_DATASET_SHOW, &dataset));
	FAILS(call_about(OTHER_CUSTODIAN, MODEL_OP_DATASET_SHOW, &dataset), DENIED);
	asked = request(MODEL_OP_DATASET_ADD);
	asked->u.dataset_add.key = the_key;
	FAILS(call(OTHER_CUSTODIAN, asked, NULL), DENIED);
	ck_assert_uint_eq(look_at_uses().denials, 2);
	ck_assert_uint_eq(look(MODEL_CHANGE_DATASET_ADD, NULL).count, 1);
}
END_TEST

START_TEST(a_suspended_key_neither_wraps_nor_unwraps)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_SUSPEND, &the_key));
	FAILS(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &session, 1), NULL),
		KEY_STATE);
	FAILS(call_about(CUSTODIAN, MODEL_OP_KEY_SUSPEND, &the_key), KEY_STATE);
	ck_assert_uint_eq(token_a->calls, 0);
	ck_assert_uint_eq(look_at_uses().denials, 2);
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_RESUME, &the_key));
	OK(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &session, 1), NULL));
}
END_TEST

START_TEST(who_has_expired_is_nobody)
{
	struct model_principal person;
	struct kms_hash expired = hash(EXPIRED), unknown = hash(99), good = hash(STORAGE);
	FAILS(service_principal(service, &expired, &person), UNAUTHENTICATED);
	FAILS(service_principal(service, &unknown, &person), UNAUTHENTICATED);
	OK(service_principal(service, &good, &person));
	ck_assert_int_eq(person.role, MODEL_ROLE_STORAGE);
	/* It may expire between the handshake and the request. */
	FAILS(call_about(EXPIRED, MODEL_OP_KEY_SHOW, &the_key), UNAUTHENTICATED);
	ck_assert_uint_eq(look_at_uses().denials, 1);
	ck_assert_int_eq(look_at_uses().last.denied, KMS_CODE_UNAUTHENTICATED);
	/* That second is past it. */
	kms_clock_fix((int64_t)4000000000 * 1000);
	FAILS(service_principal(service, &good, &person), UNAUTHENTICATED);
	kms_clock_fix((int64_t)4000000000 * 1000 - 1);
	OK(service_principal(service, &good, &person));
}
END_TEST

/* ---- sealed ---- */

START_TEST(a_sealed_use_is_durable_before_it_is_answered)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	OK(call(STORAGE, sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, 3),
		&answer));
	struct seen seen = look_at_uses();
	ck_assert_uint_eq(seen.uses, 3);
	ck_assert_uint_eq(seen.denials, 0);
	ck_assert(kms_bytes_equal(
		kms_buf_bytes(&answer->u.use.record), kms_bytes_str("sealed answer")));
	ck_assert(kms_id_is_zero(&token_a->closed));
}
END_TEST

START_TEST(items_that_fail_inside_are_recorded_one_by_one)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A), second = id(201);
	token_a->item_at = 1;
	token_a->item_code = KMS_CODE_CONTEXT;
	OK(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &session, 3), NULL));
	struct seen seen = look_at_uses();
	ck_assert_uint_eq(seen.uses, 2);
	ck_assert_uint_eq(seen.denials, 1);
	ck_assert_int_eq(seen.last.denied, KMS_CODE_CONTEXT);
	ck_assert(kms_id_equal(&seen.last.wrapped_key, &second));
	ck_assert(kms_id_equal(&seen.last.key, &the_key));
}
END_TEST

START_TEST(a_session_is_its_principals_and_its_tokens)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A), unknown = id(99);
	/* Known, but with another token. The double numbers each token's sessions by itself. */
	token_b->sessions = 50;
	struct kms_id elsewhere = open_session(STORAGE, TOKEN_B);
	FAILS(call(STORAGE_TOO, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &session, 1),
		      NULL),
		DENIED);
	FAILS(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &elsewhere, 1),
		      NULL),
		DENIED);
	FAILS(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &unknown, 1), NULL),
		SESSION);
	ck_assert_uint_eq(token_a->calls, 0);
	/* A refusal is recorded; that a session is over is none. And the owner's goes on. */
	ck_assert_uint_eq(look_at_uses().denials, 2);
	ck_assert(kms_id_is_zero(&token_a->closed));
	OK(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &session, 1), NULL));
}
END_TEST

START_TEST(a_token_that_does_not_guard_the_key_is_not_asked)
{
	struct kms_id session = open_session(STORAGE, TOKEN_B);
	FAILS(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_B, &session, 2), NULL),
		PINS);
	ck_assert_uint_eq(token_b->calls, 0);
	ck_assert_uint_eq(look_at_uses().denials, 2);
	ck_assert_int_eq(look_at_uses().last.denied, KMS_CODE_PINS);
}
END_TEST

START_TEST(a_sealed_key_never_answers_in_clear)
{
	FAILS(call(STORAGE, use_request(MODEL_OP_DATAKEY, &the_key, 1), NULL), PINS);
	ck_assert_uint_eq(token_a->calls, 0);
	ck_assert_uint_eq(look_at_uses().denials, 1);
}
END_TEST

static void expect_dropped(enum kms_code code)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	struct model_answer *answer = NULL;
	kms_err err = call(
		STORAGE, sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, 2), &answer);
	break_store(false);
	ck_assert_str_eq(kms_err_name(err), kms_err_name((kms_err){code}));
	ck_assert_ptr_null(answer);
	ck_assert(kms_id_equal(&token_a->closed, &session));
	token_a->during = NULL;
	token_a->call_code = KMS_CODE_OK;
	token_a->item_missing = false;
	FAILS(call(STORAGE, sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, 2), NULL),
		SESSION);
}

static void break_now(void)
{
	break_store(true);
}

START_TEST(an_answer_that_cannot_be_recorded_is_dropped)
{
	token_a->during = break_now;
	expect_dropped(KMS_CODE_LEDGER);
	/* The uses are not forgotten, and nobody was refused anything. */
	struct seen seen = {0};
	for (int i = 0; i < 50 && seen.uses < 2; i++) {
		(void)usleep(100 * 1000);
		seen = look_at_uses();
	}
	ck_assert_uint_eq(seen.uses, 2);
	ck_assert_uint_eq(seen.denials, 0);
}
END_TEST

static void suspend(void)
{
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_SUSPEND, &the_key));
}

START_TEST(an_answer_under_a_key_that_was_suspended_meanwhile_is_dropped)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	token_a->during = suspend;
	FAILS(call(STORAGE, sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, 2), NULL),
		KEY_STATE);
	ck_assert(kms_id_equal(&token_a->closed, &session));
	struct seen seen = look_at_uses();
	ck_assert_uint_eq(seen.uses, 2);
	ck_assert_uint_eq(seen.denials, 2);
}
END_TEST

START_TEST(no_item_is_denied_twice)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	token_a->during = suspend;
	token_a->item_at = 0;
	token_a->item_code = KMS_CODE_CONTEXT;
	FAILS(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &session, 2), NULL),
		KEY_STATE);
	ck_assert_uint_eq(look_at_uses().denials, 2);
}
END_TEST

START_TEST(a_call_that_fails_ends_its_session)
{
	token_a->call_code = KMS_CODE_TOKEN_DOWN;
	expect_dropped(KMS_CODE_TOKEN_DOWN);
	ck_assert_uint_eq(look_at_uses().denials, 0);
	token_a->call_code = KMS_CODE_PINS;
	expect_dropped(KMS_CODE_PINS);
	ck_assert_uint_eq(look_at_uses().denials, 2);
	token_a->item_missing = true;
	expect_dropped(KMS_CODE_INTERNAL);
	ck_assert_uint_eq(look_at_uses().uses, 2);
}
END_TEST

START_TEST(past_the_limit_the_longest_unused_session_ends)
{
	struct kms_id first = open_session(STORAGE, TOKEN_A);
	for (int i = 1; i < LIMIT_PRINCIPAL_SESSIONS; i++) {
		(void)open_session(STORAGE, TOKEN_A);
	}
	(void)open_session(STORAGE_TOO, TOKEN_A); /* others have their own limit */
	ck_assert(kms_id_is_zero(&token_a->closed));
	(void)usleep(10 * 1000);
	OK(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &first, 1), NULL));
	(void)open_session(STORAGE, TOKEN_A);
	ck_assert(!kms_id_is_zero(&token_a->closed));
	ck_assert(!kms_id_equal(&token_a->closed, &first));
	OK(call(STORAGE, sealed_request(MODEL_OP_UNWRAP, &the_key, TOKEN_A, &first, 1), NULL));
}
END_TEST

START_TEST(a_batch_has_a_limit)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	OK(call(STORAGE,
		sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, LIMIT_BATCH_ITEMS),
		NULL));
	FAILS(call(STORAGE,
		      sealed_request(
			      MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, LIMIT_BATCH_ITEMS + 1),
		      NULL),
		ARGUMENT);
	FAILS(call(STORAGE, sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, 0), NULL),
		ARGUMENT);
	ck_assert_uint_eq(token_a->calls, 1);
}
END_TEST

/* ---- clear ---- */

static void set_up_clear_key(void)
{
	set_up_clear();
	the_key = make_key(MODEL_DELIVERY_CLEAR);
}

START_TEST(a_clear_use_is_durable_before_it_is_answered)
{
	KMS_AUTO(model_answer) answer = NULL;
	OK(call(STORAGE, use_request(MODEL_OP_DATAKEY, &the_key, 2), &answer));
	ck_assert_uint_eq(look_at_uses().uses, 2);
	ck_assert_uint_eq(answer->u.use.item_count, 2);
	ck_assert_uint_eq(kms_secret_len(answer->u.use.items[1].data_key), 32);
	ck_assert_uint_gt(answer->u.use.items[1].wrapped.len, 0);
}
END_TEST

START_TEST(clear_items_that_fail_are_recorded_and_have_no_key)
{
	KMS_AUTO(model_answer) answer = NULL;
	token_a->item_at = 1;
	token_a->item_code = KMS_CODE_CONTEXT;
	OK(call(STORAGE, use_request(MODEL_OP_DATAKEY, &the_key, 3), &answer));
	struct seen seen = look_at_uses();
	ck_assert_uint_eq(seen.uses, 2);
	ck_assert_uint_eq(seen.denials, 1);
	ck_assert_int_eq(answer->u.use.items[1].code, KMS_CODE_CONTEXT);
	ck_assert_ptr_null(answer->u.use.items[1].data_key);
	ck_assert_ptr_nonnull(answer->u.use.items[2].data_key);
}
END_TEST

START_TEST(a_clear_answer_that_cannot_be_recorded_is_dropped)
{
	token_a->during = break_now;
	kms_err err = call(STORAGE, use_request(MODEL_OP_DATAKEY, &the_key, 2), NULL);
	break_store(false);
	FAILS(err, LEDGER);
	token_a->during = suspend;
	FAILS(call(STORAGE, use_request(MODEL_OP_DATAKEY, &the_key, 2), NULL), KEY_STATE);
	ck_assert_uint_eq(look_at_uses().denials, 2);
}
END_TEST

START_TEST(clear_items_that_cannot_be_read_are_denied)
{
	struct model_request *asked = use_request(MODEL_OP_UNWRAP, &the_key, 2);
	OK(kms_buf_copy(kms_bytes_str("no wrapped key"), &asked->u.use.items[0].wrapped));
	kms_err err = call(STORAGE, asked, NULL);
	ck_assert(!kms_is_ok(err));
	FAILS(call(STORAGE, use_request(MODEL_OP_WRAP, &the_key, 2), NULL), ARGUMENT);
	ck_assert_uint_eq(token_a->calls, 0);
	ck_assert_uint_eq(look_at_uses().denials, 4);
}
END_TEST

START_TEST(a_clear_key_never_answers_a_sealed_session)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	FAILS(call(STORAGE, sealed_request(MODEL_OP_DATAKEY, &the_key, TOKEN_A, &session, 1), NULL),
		PINS);
	ck_assert_uint_eq(token_a->calls, 0);
	ck_assert_uint_eq(look_at_uses().denials, 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("service_door");
	TCase *door = tcase_create("door");
	tcase_add_checked_fixture(door, set_up_key, tear_down);
	tcase_add_test(door, no_such_operation_or_the_wrong_face_is_not_found);
	tcase_add_test(door, what_is_not_there_is_not_found_and_recorded);
	tcase_add_test(door, a_denial_is_durable_before_it_is_answered);
	tcase_add_test(door, a_denial_that_cannot_be_recorded_is_not_answered);
	tcase_add_test(door, the_policy_file_is_asked);
	tcase_add_test(door, nothing_crosses_tenants);
	tcase_add_test(door, a_dataset_of_another_tenant_is_denied);
	tcase_add_test(door, a_suspended_key_neither_wraps_nor_unwraps);
	tcase_add_test(door, who_has_expired_is_nobody);
	suite_add_tcase(s, door);
	TCase *sealed = tcase_create("sealed");
	tcase_add_checked_fixture(sealed, set_up_key, tear_down);
	tcase_add_test(sealed, a_sealed_use_is_durable_before_it_is_answered);
	tcase_add_test(sealed, items_that_fail_inside_are_recorded_one_by_one);
	tcase_add_test(sealed, a_session_is_its_principals_and_its_tokens);
	tcase_add_test(sealed, a_token_that_does_not_guard_the_key_is_not_asked);
	tcase_add_test(sealed, a_sealed_key_never_answers_in_clear);
	tcase_add_test(sealed, an_answer_that_cannot_be_recorded_is_dropped);
	tcase_add_test(sealed, an_answer_under_a_key_that_was_suspended_meanwhile_is_dropped);
	tcase_add_test(sealed, no_item_is_denied_twice);
	tcase_add_test(sealed, a_call_that_fails_ends_its_session);
	tcase_add_test(sealed, past_the_limit_the_longest_unused_session_ends);
	tcase_add_test(sealed, a_batch_has_a_limit);
	suite_add_tcase(s, sealed);
	TCase *clear = tcase_create("clear");
	tcase_add_checked_fixture(clear, set_up_clear_key, tear_down);
	tcase_add_test(clear, a_clear_use_is_durable_before_it_is_answered);
	tcase_add_test(clear, clear_items_that_fail_are_recorded_and_have_no_key);
	tcase_add_test(clear, a_clear_answer_that_cannot_be_recorded_is_dropped);
	tcase_add_test(clear, clear_items_that_cannot_be_read_are_denied);
	tcase_add_test(clear, a_clear_key_never_answers_a_sealed_session);
	suite_add_tcase(s, clear);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
