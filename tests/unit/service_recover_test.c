/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of recovery: after each new link to a kms-tokend its KEKs and the ledger's are brought to
 * agree by the ledger's word, and what should not be is an alarm, once.
 */
#include "service_world.h"

enum { LOOKS_US = 700 * 1000 }; /* more than three looks of the recovery thread */

static void link_up(struct token *token)
{
	(void)pthread_mutex_lock(&token->lock);
	token->links++;
	(void)pthread_mutex_unlock(&token->lock);
}

static size_t heard_count(struct token *token)
{
	(void)pthread_mutex_lock(&token->lock);
	size_t count = token->heard_count;
	(void)pthread_mutex_unlock(&token->lock);
	return count;
}

static void wait_for_heard(struct token *token, size_t count)
{
	for (int i = 0; i < 100 && heard_count(token) < count; i++) {
		(void)usleep(50 * 1000);
	}
	(void)usleep(LOOKS_US);
	ck_assert_uint_eq(heard_count(token), count);
}

static void wait_for_entries(enum model_change_type type, size_t count, struct model_change *last)
{
	for (int i = 0; i < 100 && look(type, last).count < count; i++) {
		(void)usleep(50 * 1000);
	}
	(void)usleep(LOOKS_US);
	ck_assert_uint_eq(look(type, last).count, count);
}

/* What a kmsd left that was killed after the intent; the KEK in each token has its own id. */
static struct kms_id intend(unsigned n, uint32_t token_count)
{
	struct model_change *intent = calloc(1, sizeof(*intent));
	struct kms_id key = id(n);
	uint64_t seq = 0;
	intent->type = MODEL_CHANGE_KEY_INTENT;
	intent->actor = id(CUSTODIAN);
	intent->tenant = id(TENANT);
	intent->u.key_intent.version = 1;
	intent->u.key_intent.key = (struct model_key){.id = key,
		.tenant = id(TENANT),
		.custodian = id(CUSTODIAN),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.state = MODEL_STATE_PRE_ACTIVATION,
		.token_count = token_count,
		.tokens = {token_a->id, token_b->id}};
	intent->u.key_intent.keks[0] = id(n + 1);
	intent->u.key_intent.keks[1] = id(n + 2);
	OK(ledger_change(ledger, intent, &seq));
	model_change_free(intent);
	free(intent);
	return key;
}

/* ---- what was cut off ---- */

START_TEST(a_pending_version_is_given_up_and_abandoned)
{
	static struct model_change result;
	struct kms_id key = intend(150, 2), kek = id(151);
	struct model_key row;
	hold(token_a, &kek, &key, false);
	link_up(token_a);
	wait_for_heard(token_a, 1);
	ck_assert_int_eq(token_a->heard[0].what, 'a');
	ck_assert_int_eq(token_a->heard[0].state, MODEL_KEK_ABANDONED);
	ck_assert_uint_eq(token_a->held_count, 0);
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_RESULT, &result).count, 1);
	ck_assert(!result.u.key_result.made);
	OK(store_key_get(store, &key, &row));
	ck_assert_int_eq(row.state, MODEL_STATE_DESTROYED);
	/* The other token comes back later, with its KEK: no second result. */
	kek = id(152);
	hold(token_b, &kek, &key, false);
	link_up(token_b);
	wait_for_heard(token_b, 1);
	ck_assert_int_eq(token_b->heard[0].what, 'a');
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_RESULT, NULL).count, 1);
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, 0);
}
END_TEST

START_TEST(a_pending_version_of_a_token_that_never_bore_it_is_given_up)
{
	(void)intend(150, 1);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_KEY_RESULT, 1, NULL);
	ck_assert_uint_eq(heard_count(token_a), 0);
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, 0);
}
END_TEST

static void look_here(void)
{
	link_up(token_a);
	(void)usleep(LOOKS_US);
}

START_TEST(a_version_that_is_being_made_is_left_alone)
{
	static struct model_change result;
	token_a->during = look_here;
	(void)make_key(MODEL_DELIVERY_SEALED);
	ck_assert_uint_eq(look(MODEL_CHANGE_KEY_RESULT, &result).count, 1);
	ck_assert(result.u.key_result.made);
	ck_assert_uint_eq(token_a->held_count, 1);
	ck_assert(token_a->held[0].life == MODEL_HELD_COMMITTED);
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, 0);
}
END_TEST

/* ---- live ones ---- */

START_TEST(a_live_kek_that_was_not_committed_is_committed)
{
	token_a->commit_code = KMS_CODE_TOKEN_DOWN;
	(void)make_key(MODEL_DELIVERY_SEALED);
	ck_assert(token_a->held[0].life == MODEL_HELD_BORN);
	token_a->commit_code = KMS_CODE_OK;
	link_up(token_a);
	wait_for_heard(token_a, 3);
	ck_assert_int_eq(token_a->heard[2].what, 'c');
	ck_assert(token_a->held[0].life == MODEL_HELD_COMMITTED);
	/* And when all is well, nothing is said. */
	link_up(token_a);
	wait_for_heard(token_a, 3);
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, 0);
}
END_TEST

START_TEST(a_committed_kek_that_is_not_live_is_one_alarm_per_link)
{
	static struct model_change alarm;
	struct kms_id key = id(160), kek = id(161);
	hold(token_a, &kek, &key, true);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_ALARM, 1, &alarm);
	ck_assert_ptr_nonnull(strstr(alarm.u.alarm.text, "does not know as live"));
	ck_assert(kms_id_equal(&alarm.u.alarm.token, &token_a->id));
	ck_assert(kms_id_equal(&alarm.u.alarm.key, &key));
	/* Nobody destroys it for that. */
	ck_assert_uint_eq(heard_count(token_a), 0);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_ALARM, 2, NULL);
}
END_TEST

START_TEST(a_given_up_kek_that_is_committed_is_an_alarm_and_not_abandoned)
{
	struct kms_id key = intend(150, 1), kek = id(151);
	hold(token_a, &kek, &key, true);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_ALARM, 1, NULL);
	ck_assert_uint_eq(heard_count(token_a), 0);
	ck_assert_uint_eq(token_a->held_count, 1);
}
END_TEST

START_TEST(a_live_kek_that_the_token_lacks_is_one_alarm_per_link)
{
	static struct model_change alarm;
	/* More than one page of them. */
	for (int i = 0; i < 3; i++) {
		(void)make_key(MODEL_DELIVERY_SEALED);
	}
	struct model_held_kek lost = token_a->held[2];
	settle_held(token_a, &lost.kek, false);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_ALARM, 1, &alarm);
	ck_assert_ptr_nonnull(strstr(alarm.u.alarm.text, "lacks"));
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_ALARM, 2, NULL);
	hold(token_a, &lost.kek, &lost.key, true);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_ALARM, 2, NULL);
}
END_TEST

START_TEST(one_kek_that_cannot_be_committed_repeats_no_alarm_and_holds_up_no_other)
{
	/* In the order of ids: one that nobody knows, one that was given up, around the one made.
	 */
	struct kms_id first = {{0}}, unknown = id(160), key = intend(150, 1), kek = id(151);
	first.b[15] = 1;
	token_a->commit_code = KMS_CODE_TOKEN_REFUSED;
	(void)make_key(MODEL_DELIVERY_SEALED);
	(void)make_key(MODEL_DELIVERY_SEALED);
	hold(token_a, &first, &unknown, true);
	hold(token_a, &kek, &key, false);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_ALARM, 1, NULL);
	/* Born and refused twice, both tried once more, and the third let go. */
	ck_assert_uint_eq(heard_count(token_a), 2 + 2 + 2 + 1);
	ck_assert_uint_eq(token_a->held_count, 3);
}
END_TEST

/* A kmsd that cannot write its ledger says it when it can. */
START_TEST(an_alarm_that_cannot_be_recorded_is_recorded_later)
{
	struct kms_id key = id(160), kek = id(161);
	hold(token_a, &kek, &key, true);
	break_store(true);
	link_up(token_a);
	(void)usleep(LOOKS_US);
	break_store(false);
	wait_for_entries(MODEL_CHANGE_ALARM, 1, NULL);
}
END_TEST

/* ---- boots ---- */

START_TEST(a_boot_is_recorded_once)
{
	static struct model_change boot;
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_TOKEN_BOOT, 1, &boot);
	ck_assert(kms_id_equal(&boot.u.token_boot.token, &token_a->id));
	ck_assert_uint_eq(boot.u.token_boot.boot, 1);
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_TOKEN_BOOT, 1, NULL);
	token_a->boot = 2;
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_TOKEN_BOOT, 2, &boot);
	ck_assert_uint_eq(boot.u.token_boot.boot, 2);
	/* Nor does a new kmsd say it again; the system token has boots as well. */
	service_free(&service);
	start_service();
	link_up(token_system);
	wait_for_entries(MODEL_CHANGE_TOKEN_BOOT, 3, &boot);
	ck_assert(kms_id_equal(&boot.u.token_boot.token, &token_system->id));
}
END_TEST

START_TEST(a_token_that_is_down_waits_for_its_link)
{
	token_a->down = true;
	link_up(token_a);
	wait_for_entries(MODEL_CHANGE_TOKEN_BOOT, 0, NULL);
	(void)pthread_mutex_lock(&token_a->lock);
	token_a->down = false;
	(void)pthread_mutex_unlock(&token_a->lock);
	wait_for_entries(MODEL_CHANGE_TOKEN_BOOT, 1, NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("service_recover");
	TCase *keks = tcase_create("keks");
	tcase_add_checked_fixture(keks, set_up, tear_down);
	tcase_add_test(keks, a_pending_version_is_given_up_and_abandoned);
	tcase_add_test(keks, a_pending_version_of_a_token_that_never_bore_it_is_given_up);
	tcase_add_test(keks, a_version_that_is_being_made_is_left_alone);
	tcase_add_test(keks, a_live_kek_that_was_not_committed_is_committed);
	tcase_add_test(keks, a_committed_kek_that_is_not_live_is_one_alarm_per_link);
	tcase_add_test(keks, a_given_up_kek_that_is_committed_is_an_alarm_and_not_abandoned);
	tcase_add_test(keks, a_live_kek_that_the_token_lacks_is_one_alarm_per_link);
	tcase_add_test(
		keks, one_kek_that_cannot_be_committed_repeats_no_alarm_and_holds_up_no_other);
	tcase_add_test(keks, an_alarm_that_cannot_be_recorded_is_recorded_later);
	suite_add_tcase(s, keks);
	TCase *boots = tcase_create("boots");
	tcase_add_checked_fixture(boots, set_up, tear_down);
	tcase_add_test(boots, a_boot_is_recorded_once);
	tcase_add_test(boots, a_token_that_is_down_waits_for_its_link);
	suite_add_tcase(s, boots);
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
