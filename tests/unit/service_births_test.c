/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of how service makes keys: intent, births, result, commit, in this order; nothing but the
 * KEK that was asked for is used; and who guards a key is never guessed.
 */
#include "service_world.h"

static struct model_request *plain(void)
{
	return create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ANY, TOKEN_A, 0);
}

static void expect_heard(
	const struct token *token, const char *whats, const enum model_kek_state *states)
{
	ck_assert_uint_eq(token->heard_count, strlen(whats));
	for (size_t i = 0; i < token->heard_count; i++) {
		ck_assert_int_eq(token->heard[i].what, whats[i]);
		ck_assert_int_eq(token->heard[i].state, states[i]);
	}
}

/* ---- the order of things ---- */

START_TEST(intent_births_result_commit)
{
	static const enum model_kek_state states[] = {MODEL_KEK_PENDING, MODEL_KEK_LIVE};
	KMS_AUTO(model_answer) answer = NULL;
	OK(call(CUSTODIAN,
		create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ANY, TOKEN_A, TOKEN_B),
		&answer));
	expect_heard(token_a, "bc", states);
	expect_heard(token_b, "bc", states);
	ck_assert_int_eq(answer->u.keys.rows[0].state, MODEL_STATE_ACTIVE);
	ck_assert_uint_eq(answer->u.keys.rows[0].version, 1);
	ck_assert_uint_eq(answer->u.keys.kek_count, 2);
	ck_assert(token_a->held[0].life == MODEL_HELD_COMMITTED &&
		  token_b->held[0].life == MODEL_HELD_COMMITTED);
	static struct model_change result;
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_INTENT, NULL).count, 1);
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_RESULT, &result).count, 1);
	ck_assert(result.u.key_result.made);
	ck_assert_uint_eq(result.u.key_result.birth_count, 2);
}
END_TEST

START_TEST(without_a_durable_intent_nothing_is_born)
{
	break_store(true);
	kms_err err = call(CUSTODIAN, plain(), NULL);
	break_store(false);
	FAILS(err, LEDGER);
	ck_assert_uint_eq(token_a->heard_count, 0);
}
END_TEST

static void break_now(void)
{
	break_store(true);
}

START_TEST(without_a_durable_result_nothing_is_committed)
{
	token_a->during = break_now;
	kms_err err = call(CUSTODIAN, plain(), NULL);
	break_store(false);
	FAILS(err, LEDGER);
	ck_assert_uint_eq(token_a->heard_count, 1);
	ck_assert(token_a->held[0].life == MODEL_HELD_BORN);
	/* It stays pending until recovery gives it up. */
	ck_assert_int_eq(recorded_state(token_a, &token_a->heard[0].kek), MODEL_KEK_PENDING);
}
END_TEST

/* ---- what fails, or lies ---- */

/* Given up in the ledger first, then abandoned; the key is gone and can be made again. */
static void expect_given_up(kms_err err, enum kms_code code)
{
	static struct model_change result;
	struct model_key key;
	ck_assert_str_eq(kms_err_name(err), kms_err_name((kms_err){code}));
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_RESULT, &result).count, 1);
	ck_assert(!result.u.key_result.made);
	ck_assert_uint_eq(token_a->heard_count, 2);
	ck_assert_int_eq(token_a->heard[1].what, 'a');
	ck_assert(kms_id_equal(&token_a->heard[1].kek, &token_a->heard[0].kek));
	ck_assert_int_eq(token_a->heard[1].state, MODEL_KEK_ABANDONED);
	ck_assert_uint_eq(token_a->held_count, 0);
	OK(store_key_get(store, &result.u.key_result.key, &key));
	ck_assert_int_eq(key.state, MODEL_STATE_DESTROYED);
	token_a->lie = token_b->lie = LIE_NONE;
	token_a->bear_code = token_b->bear_code = KMS_CODE_OK;
	OK(call(CUSTODIAN, plain(), NULL));
	ck_assert(token_a->held[0].life == MODEL_HELD_COMMITTED);
}

START_TEST(a_token_that_fails_gets_the_key_given_up)
{
	token_a->bear_code = KMS_CODE_TOKEN_REFUSED;
	expect_given_up(call(CUSTODIAN, plain(), NULL), KMS_CODE_TOKEN_REFUSED);
}
END_TEST

START_TEST(when_the_second_token_fails_the_first_abandons_too)
{
	token_b->bear_code = KMS_CODE_TOKEN_DOWN;
	expect_given_up(
		call(CUSTODIAN,
			create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ALL, TOKEN_A, TOKEN_B),
			NULL),
		KMS_CODE_TOKEN_DOWN);
	/* It may have born it before its link broke. */
	ck_assert_uint_eq(token_b->heard_count, 2);
	ck_assert_int_eq(token_b->heard[1].what, 'a');
}
END_TEST

START_TEST(a_token_that_lies_gets_the_key_given_up)
{
	token_a->lie = (enum lie)_i;
	expect_given_up(call(CUSTODIAN, plain(), NULL), KMS_CODE_INTEGRITY);
}
END_TEST

START_TEST(a_rotation_that_fails_leaves_the_key_as_it_was)
{
	struct kms_id id_of_key = make_key(MODEL_DELIVERY_SEALED);
	struct model_key key;
	token_a->lie = LIE_EXTRACTABLE;
	FAILS(call_about(CUSTODIAN, MODEL_OP_KEY_ROTATE, &id_of_key), INTEGRITY);
	OK(store_key_get(store, &id_of_key, &key));
	ck_assert_int_eq(key.state, MODEL_STATE_ACTIVE);
	ck_assert_uint_eq(key.version, 1);
	ck_assert_uint_eq(token_a->held_count, 1);
	token_a->lie = LIE_NONE;
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_ROTATE, &id_of_key));
	OK(store_key_get(store, &id_of_key, &key));
	ck_assert_uint_eq(key.version, 2);
	ck_assert_uint_eq(token_a->held_count, 2);
}
END_TEST

/* ---- two at once ---- */

static struct kms_id contended;
static pthread_barrier_t both;

static void *rotate(void *ret)
{
	(void)pthread_barrier_wait(&both);
	*(kms_err *)ret = call_about(CUSTODIAN, MODEL_OP_KEY_ROTATE, &contended);
	return NULL;
}

static void linger(void)
{
	(void)usleep(200 * 1000);
}

START_TEST(of_two_rotations_at_once_one_wins)
{
	pthread_t threads[2];
	kms_err errs[2];
	struct model_key key;
	contended = make_key(MODEL_DELIVERY_SEALED);
	token_a->during = linger;
	ck_assert_int_eq(pthread_barrier_init(&both, NULL, 2), 0);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, rotate, &errs[i]), 0);
	}
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	}
	ck_assert(kms_is_ok(errs[0]) != kms_is_ok(errs[1]));
	FAILS(kms_is_ok(errs[0]) ? errs[1] : errs[0], KEY_STATE);
	OK(store_key_get(store, &contended, &key));
	ck_assert_uint_eq(key.version, 2);
	ck_assert_uint_eq(token_a->held_count, 2);
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_INTENT, NULL).count, 2);
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_RESULT, NULL).count, 2);
	(void)pthread_barrier_destroy(&both);
}
END_TEST

/* ---- who guards a key ---- */

START_TEST(the_only_token_is_taken_and_of_two_none_is_guessed)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct kms_id only = id(TOKEN_C);
	FAILS(call(CUSTODIAN, create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ANY, 0, 0), NULL),
		ARGUMENT);
	OK(call(OTHER_CUSTODIAN, create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ANY, 0, 0),
		&answer));
	ck_assert_uint_eq(answer->u.keys.rows[0].token_count, 1);
	ck_assert(kms_id_equal(&answer->u.keys.rows[0].tokens[0], &only));
}
END_TEST

START_TEST(bad_choices_of_tokens_are_refused)
{
	static const struct {
		enum model_custody custody;
		unsigned first, second;
		enum kms_code code;
	} bad[] = {
		{MODEL_CUSTODY_ANY, 98, 0, KMS_CODE_NOT_FOUND},
		{MODEL_CUSTODY_ANY, TOKEN_A, 98, KMS_CODE_NOT_FOUND},
		{MODEL_CUSTODY_ANY, TOKEN_C, 0, KMS_CODE_DENIED}, /* another tenant's */
		{MODEL_CUSTODY_ANY, TOKEN_A, TOKEN_C, KMS_CODE_DENIED},
		{MODEL_CUSTODY_ANY, TOKEN_SYSTEM, 0, KMS_CODE_DENIED},
		{MODEL_CUSTODY_ANY, TOKEN_A, TOKEN_A, KMS_CODE_ARGUMENT},
		{MODEL_CUSTODY_ALL, TOKEN_A, TOKEN_A, KMS_CODE_ARGUMENT},
		{MODEL_CUSTODY_ALL, TOKEN_A, 0, KMS_CODE_ARGUMENT},
	};
	size_t refused = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		kms_err err = call(CUSTODIAN,
			create_request(
				MODEL_DELIVERY_SEALED, bad[i].custody, bad[i].first, bad[i].second),
			NULL);
		ck_assert_str_eq(kms_err_name(err), kms_err_name((kms_err){bad[i].code}));
		refused += bad[i].code == KMS_CODE_ARGUMENT ? 0 : 1;
		ck_assert_uint_eq(look_at_uses().denials, refused);
	}
	FAILS(call(OTHER_CUSTODIAN, create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ALL, 0, 0),
		      NULL),
		ARGUMENT);
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_INTENT, NULL).count, 0);
	ck_assert_uint_eq(token_a->heard_count + token_b->heard_count + token_c->heard_count, 0);
}
END_TEST

START_TEST(tokens_keep_the_order_that_was_asked_for)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct kms_id first = id(TOKEN_B), second = id(TOKEN_A);
	OK(call(CUSTODIAN,
		create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ALL, TOKEN_B, TOKEN_A),
		&answer));
	ck_assert(kms_id_equal(&answer->u.keys.rows[0].tokens[0], &first));
	ck_assert(kms_id_equal(&answer->u.keys.rows[0].tokens[1], &second));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("service_births");
	TCase *births = tcase_create("births");
	tcase_add_checked_fixture(births, set_up, tear_down);
	tcase_add_test(births, intent_births_result_commit);
	tcase_add_test(births, without_a_durable_intent_nothing_is_born);
	tcase_add_test(births, without_a_durable_result_nothing_is_committed);
	tcase_add_test(births, a_token_that_fails_gets_the_key_given_up);
	tcase_add_test(births, when_the_second_token_fails_the_first_abandons_too);
	tcase_add_loop_test(
		births, a_token_that_lies_gets_the_key_given_up, LIE_NONE + 1, LIE_COUNT_);
	tcase_add_test(births, a_rotation_that_fails_leaves_the_key_as_it_was);
	tcase_add_test(births, of_two_rotations_at_once_one_wins);
	suite_add_tcase(s, births);
	TCase *tokens = tcase_create("tokens");
	tcase_add_checked_fixture(tokens, set_up, tear_down);
	tcase_add_test(tokens, the_only_token_is_taken_and_of_two_none_is_guessed);
	tcase_add_test(tokens, bad_choices_of_tokens_are_refused);
	tcase_add_test(tokens, tokens_keep_the_order_that_was_asked_for);
	suite_add_tcase(s, tokens);
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
