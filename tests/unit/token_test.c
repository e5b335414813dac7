/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of kmsd/token through its header, against a double of kms-tokend: each use is queued once,
 * in order and without a gap, whatever becomes of the link.
 */
#include "token.h"
#include "tokend_double.h"

#include <stdio.h>
#include <unistd.h>

#define ck_ok(expr) ck_assert_str_eq(kms_err_name(expr), "ok")
#define ck_code(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

enum { UP_MS = 5000, NOT_UP_MS = 400, THREADS = 64, CALLS_EACH = 20 };

static char directory[64];
static char path[96];
static struct tokend_double far;
static struct token_set *set;
static struct token *token;

static bool is_id(const struct kms_id *id, uint8_t n)
{
	const struct kms_id wanted = sample_id(n);
	return kms_id_equal(id, &wanted);
}

static void open_set(uint64_t recorded_boot, uint64_t recorded_n)
{
	const struct token_place place = {
		.id = sample_id(1),
		.socket_path = path,
		.recorded_boot = recorded_boot,
		.recorded_n = recorded_n,
	};
	ck_ok(token_set_open(&place, 1, NULL, NULL, &set));
	token = token_at(set, 0);
}

static void setup(void)
{
	kms_log_set("token_test", KMS_LOG_ERROR);
	(void)strcpy(directory, "/tmp/kms-token-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/socket", directory);
	double_start(&far, path);
}

static void teardown(void)
{
	token_set_free(&set);
	double_stop(&far);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(directory), 0);
}

static void open_up(void)
{
	open_set(0, 0);
	ck_ok(token_wait_up(token, UP_MS));
}

/* One call of count items by principal n. */
static kms_err call_as(uint8_t n, uint32_t count, struct token_result **ret_result)
{
	struct model_call_item items[4] = {0};
	const struct token_call call = {
		.session = sample_id(9),
		.op = MODEL_OP_UNWRAP,
		.user = {sample_id(n), sample_id(n)},
		.principal_spki = sample_hash(n),
		.key = sample_id(5),
		.count = count,
		.items = items,
		.record = kms_bytes_str("sealed"),
	};
	return token_call(token, &call, ret_result);
}

static void called(uint8_t n, uint32_t count, uint64_t last_n)
{
	KMS_AUTO(token_result) result = NULL;
	ck_ok(call_as(n, count, &result));
	ck_assert_uint_eq(result->count, count);
	ck_assert_uint_eq(result->boot, far.boot);
	ck_assert_uint_eq(result->last_n, last_n);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&result->record), kms_bytes_str("sealed")));
}

/* Everything that is queued follows on use `after` and ends with `last`; who is zero where it was
 * offered again. Returns the number of batches. */
static unsigned drained(uint64_t after, uint64_t last, uint8_t who)
{
	const struct kms_id principal = sample_id(who);
	struct token_uses *list = token_uses_take(token, UINT32_MAX);
	unsigned batches = 0;
	for (const struct token_uses *b = list; b != NULL; b = b->next, batches++) {
		ck_assert_uint_eq(b->uses.first, after + 1);
		ck_assert_uint_gt(b->uses.count, 0);
		ck_assert(who == 0xff || kms_id_equal(&b->user.principal, &principal));
		for (uint32_t i = 0; i < b->uses.count; i++) {
			ck_assert_uint_eq(b->uses.rows[i].n, ++after);
		}
	}
	ck_assert_uint_eq(after, last);
	token_uses_free(&list);
	return batches;
}

/* A new link after the one that is there. */
static void wait_links(uint64_t links)
{
	struct token_state state = {0};
	for (int i = 0; i < 500 && !(state.up && state.links >= links); i++) {
		(void)usleep(10 * 1000);
		token_state_get(token, &state);
	}
	ck_assert(state.up && state.links >= links);
}

START_TEST(uses_queue_in_order_with_their_principal)
{
	open_up();
	called(10, 1, 1);
	called(11, 2, 3);
	called(12, 3, 6);
	/* At least one batch, then whole ones while they fit. */
	struct token_uses *list = token_uses_take(token, 2);
	ck_assert_uint_eq(list->uses.count, 1);
	ck_assert(is_id(&list->user.principal, 10));
	ck_assert_ptr_null(list->next);
	struct token_uses *second = token_uses_take(token, 1);
	ck_assert_uint_eq(second->uses.count, 2);
	ck_assert(is_id(&second->user.principal, 11));
	ck_assert_ptr_null(second->next);
	/* What could not be recorded goes back in front. */
	list->next = second;
	token_uses_return(token, list);
	token_uses_return(token, NULL);
	ck_assert_uint_eq(drained(0, 6, 0xff), 3);
	ck_assert_ptr_null(token_uses_take(token, 1));
}
END_TEST

struct caller {
	uint8_t n;
	uint64_t last[CALLS_EACH];
	kms_err err;
};

static void *call_often(void *arg)
{
	struct caller *caller = arg;
	for (int i = 0; kms_is_ok(caller->err) && i < CALLS_EACH; i++) {
		struct token_result *result = NULL;
		caller->err = call_as(caller->n, 2, &result);
		caller->last[i] = kms_is_ok(caller->err) ? result->last_n : 0;
		token_uses_ack(token, far.boot, 1);
		token_result_free(&result);
	}
	return NULL;
}

START_TEST(sixty_four_threads)
{
	static struct caller callers[THREADS];
	static uint8_t owner[THREADS * CALLS_EACH * 2 + 1];
	pthread_t threads[THREADS];
	open_up();
	for (int i = 0; i < THREADS; i++) {
		callers[i].n = (uint8_t)(i + 1);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_ok(callers[i].err);
	}
	struct token_uses *list = token_uses_take(token, UINT32_MAX);
	uint64_t n = 0;
	for (const struct token_uses *b = list; b != NULL; b = b->next) {
		for (uint32_t i = 0; i < b->uses.count; i++) {
			ck_assert_uint_eq(b->uses.rows[i].n, ++n);
			ck_assert_uint_eq(b->uses.rows[i].spki.b[0], b->user.principal.b[0]);
			owner[n] = b->user.principal.b[0];
		}
	}
	token_uses_free(&list);
	ck_assert_uint_eq(n, THREADS * CALLS_EACH * 2);
	/* Each was told of its own uses. */
	for (int i = 0; i < THREADS; i++) {
		for (int k = 0; k < CALLS_EACH; k++) {
			ck_assert_uint_eq(owner[callers[i].last[k]], callers[i].n);
		}
	}
	struct token_state state;
	token_state_get(token, &state);
	ck_assert_uint_eq(state.links, 1);
}
END_TEST

static void wait_acked(uint64_t n)
{
	for (int i = 0; i < 500; i++) {
		(void)pthread_mutex_lock(&far.lock);
		bool there = far.acked == n;
		(void)pthread_mutex_unlock(&far.lock);
		if (there) {
			return;
		}
		(void)usleep(10 * 1000);
	}
	ck_abort_msg("never acknowledged");
}

START_TEST(acknowledgements_are_sent)
{
	open_up();
	for (uint64_t n = 1; n <= 200; n++) {
		called(10, 1, n);
		token_uses_ack(token, far.boot, n);
	}
	wait_acked(200);
	/* One that came while the link was away goes out on the next, unless it is known there. */
	called(10, 1, 201);
	double_mode(&far, DOUBLE_DROP);
	KMS_AUTO(token_result) result = NULL;
	ck_code(call_as(10, 1, &result), TOKEN_DOWN);
	token_uses_ack(token, far.boot, 201);
	double_mode(&far, DOUBLE_HONEST);
	wait_links(2);
	wait_acked(201);
	ck_assert_uint_eq(far.hellos, 2);
}
END_TEST

static void *ack_often(void *arg)
{
	(void)arg;
	for (uint64_t n = 1; n <= 3000; n++) {
		token_uses_ack(token, far.boot, n);
	}
	return NULL;
}

/* None may be forgotten because somebody was sending at that moment. */
START_TEST(no_acknowledgement_is_forgotten)
{
	pthread_t thread;
	open_up();
	ck_assert_int_eq(pthread_create(&thread, NULL, ack_often, NULL), 0);
	for (int i = 0; i < 300; i++) {
		ck_ok(token_session_close(token, &(struct kms_id){{1}}));
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wait_acked(3000);
}
END_TEST

START_TEST(a_lost_link_loses_no_use)
{
	open_up();
	called(10, 2, 2);
	double_mode(&far, DOUBLE_DROP);
	KMS_AUTO(token_result) result = NULL;
	ck_code(call_as(11, 2, &result), TOKEN_DOWN);
	double_mode(&far, DOUBLE_HONEST);
	wait_links(2);
	called(12, 1, 5);
	/* 1-2 answered, 3-4 offered again, 5 answered: each once. */
	struct token_uses *list = token_uses_take(token, 2);
	ck_assert(is_id(&list->user.principal, 10));
	token_uses_free(&list);
	list = token_uses_take(token, 2);
	ck_assert_uint_eq(list->uses.first, 3);
	ck_assert_uint_eq(list->uses.count, 2);
	ck_assert(kms_id_is_zero(&list->user.principal));
	ck_assert_uint_eq(list->uses.rows[0].spki.b[0], 11);
	token_uses_free(&list);
	ck_assert_uint_eq(drained(4, 5, 12), 1);
}
END_TEST

START_TEST(a_restarted_kmsd_fetches_what_it_has_not_recorded)
{
	open_up();
	called(10, 3, 3);
	called(10, 4, 7);
	token_set_free(&set);
	open_set(far.boot, 3); /* the store has 1-3 */
	ck_ok(token_wait_up(token, UP_MS));
	ck_assert_uint_eq(drained(3, 7, 0), 1);
	token_set_free(&set);
	open_set(far.boot, 7); /* all of them: and that is acknowledged at once */
	ck_ok(token_wait_up(token, UP_MS));
	ck_assert_uint_eq(drained(7, 7, 0), 0);
	wait_acked(7);
	token_set_free(&set);
	far.acked = 0;
	open_set(far.boot - 1, 99); /* of an earlier boot: nothing of this one */
	ck_ok(token_wait_up(token, UP_MS));
	ck_assert_uint_eq(drained(0, 7, 0), 1);
}
END_TEST

START_TEST(many_unacknowledged_uses_come_in_pieces)
{
	far.used = 2 * LIMIT_COMMIT_USES + 5;
	for (uint64_t n = 1; n <= far.used; n++) {
		far.uses[n] = (struct model_counted_use){.n = n, .op = MODEL_OP_WRAP};
	}
	open_up();
	ck_assert_uint_eq(drained(0, 2 * LIMIT_COMMIT_USES + 5, 0), 3);
	called(10, 1, 2 * LIMIT_COMMIT_USES + 6);
}
END_TEST

START_TEST(another_token_is_refused)
{
	far.id = sample_id(8);
	open_set(0, 0);
	ck_code(token_wait_up(token, NOT_UP_MS), TOKEN_DOWN);
	KMS_AUTO(token_result) result = NULL;
	ck_code(call_as(10, 1, &result), TOKEN_DOWN);
	ck_assert_uint_eq(far.calls, 0);
}
END_TEST

/* Its numbers would come a second time, for other uses. */
START_TEST(a_state_that_went_back_is_refused)
{
	open_set(far.boot + 1, 0);
	ck_code(token_wait_up(token, NOT_UP_MS), TOKEN_DOWN);
	token_set_free(&set);
	open_set(far.boot, 1);
	ck_code(token_wait_up(token, NOT_UP_MS), TOKEN_DOWN);
	ck_assert_ptr_null(token_uses_take(token, 1));
}
END_TEST

/* An answer that cannot be right ends the link; its uses are then fetched, whole and in order. */
START_TEST(a_wrong_answer_ends_the_link)
{
	static const enum double_mode modes[] = {DOUBLE_WRONG_TYPE, DOUBLE_UNKNOWN_ID, DOUBLE_ID_0,
		DOUBLE_REQUEST, DOUBLE_GAP, DOUBLE_AGAIN, DOUBLE_BOOT, DOUBLE_SHORT, DOUBLE_UNUSED};
	open_up();
	called(10, 2, 2);
	double_mode(&far, modes[_i]);
	KMS_AUTO(token_result) result = NULL;
	ck_code(call_as(11, 2, &result), TOKEN_DOWN);
	ck_assert_ptr_null(result);
	double_mode(&far, DOUBLE_HONEST);
	wait_links(2);
	uint64_t used = far.used;
	called(12, 1, used + 1);
	(void)drained(0, used + 1, 0xff);
}
END_TEST

START_TEST(a_refusal_is_the_callers_alone)
{
	open_up();
	double_mode(&far, DOUBLE_REFUSE);
	KMS_AUTO(token_result) result = NULL;
	ck_code(call_as(11, 2, &result), TOKEN_REFUSED);
	double_mode(&far, DOUBLE_HONEST);
	called(12, 1, 1);
	struct token_state state;
	token_state_get(token, &state);
	ck_assert_uint_eq(state.links, 1);
}
END_TEST

static void *call_once(void *ret_err)
{
	struct token_result *result = NULL;
	*(kms_err *)ret_err = call_as(20, 1, &result);
	token_result_free(&result);
	return NULL;
}

START_TEST(a_hang_is_a_timeout_and_then_it_goes_on)
{
	enum { WAITERS = 8 };
	pthread_t threads[WAITERS];
	kms_err errs[WAITERS];
	open_up();
	double_mode(&far, DOUBLE_SILENT);
	int64_t before = kms_monotonic_ms();
	for (int i = 0; i < WAITERS; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, call_once, &errs[i]), 0);
	}
	/* The ledger is not held up meanwhile, even by a full socket. */
	for (int i = 0; i < 20000; i++) {
		token_uses_ack(token, far.boot, 0);
	}
	ck_assert_int_lt(kms_monotonic_ms() - before, LIMIT_TOKEN_WAIT_MS / 2);
	unsigned timeouts = 0;
	for (int i = 0; i < WAITERS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		timeouts += kms_is(errs[i], KMS_CODE_TIMEOUT) ? 1 : 0;
		ck_assert(
			kms_is(errs[i], KMS_CODE_TIMEOUT) || kms_is(errs[i], KMS_CODE_TOKEN_DOWN));
	}
	ck_assert_uint_ge(timeouts, 1);
	int64_t took = kms_monotonic_ms() - before;
	ck_assert_int_ge(took, LIMIT_TOKEN_WAIT_MS);
	ck_assert_int_lt(took, LIMIT_TOKEN_WAIT_MS * 3 / 2);
	double_mode(&far, DOUBLE_HONEST);
	wait_links(2);
	called(12, 1, far.used + 1);
}
END_TEST

START_TEST(stopping_does_not_wait_for_a_greeting)
{
	double_mode(&far, DOUBLE_SILENT);
	open_set(0, 0);
	ck_code(token_wait_up(token, NOT_UP_MS), TOKEN_DOWN);
	int64_t before = kms_monotonic_ms();
	token_set_free(&set);
	ck_assert_int_lt(kms_monotonic_ms() - before, 2000);
}
END_TEST

START_TEST(every_other_message)
{
	struct kms_id session;
	KMS_AUTO_BUF flight = {0};
	KMS_AUTO_BUF bytes = {0};
	open_up();
	ck_ok(token_session_open(token, kms_bytes_str("hello"), &session, &flight));
	ck_assert(is_id(&session, 0x11));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&flight), kms_bytes_str("server flight")));
	ck_ok(token_session_close(token, &session));
	ck_ok(token_kek_commit(token, &session));
	ck_ok(token_kek_abandon(token, &session));
	static struct tokmsg sample;
	sample_msg(&sample, TOKMSG_KEK_BEAR, false);
	const struct model_bear bear = sample.u.kek_bear;
	ck_ok(token_kek_bear(token, &bear, &bytes));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_bytes_str("signed bytes")));
	kms_buf_free(&bytes);
	ck_ok(token_statement_next(token, 1, 2, &bytes));
	kms_buf_free(&bytes);
	static const struct model_head_sign head = {.checkpoint = {(const uint8_t *)"x", 1}};
	ck_ok(token_head_sign(token, &head, &bytes));
	kms_buf_free(&bytes);
	ck_ok(token_head_last(token, &bytes));
	struct model_held_kek *rows = NULL;
	uint32_t count = 0;
	ck_ok(token_kek_list(token, &session, &rows, &count));
	ck_assert_uint_eq(count, 2);
	ck_assert(rows[1].life == MODEL_HELD_COMMITTED && rows[0].life == MODEL_HELD_BORN);
	free(rows);
	/* Past a limit nothing is sent, and the link lives on. */
	static struct model_bear large;
	large.token_count = LIMIT_CUSTODY_TOKENS + 1;
	kms_buf_free(&bytes);
	ck_code(token_kek_bear(token, &large, &bytes), TOO_LARGE);
	called(10, 1, 1);
	struct token_state state;
	token_state_get(token, &state);
	ck_assert_uint_eq(state.links, 1);
	struct token *found;
	const struct kms_id id_1 = sample_id(1), id_2 = sample_id(2);
	ck_ok(token_find(set, &id_1, &found));
	ck_assert_ptr_eq(found, token);
	ck_code(token_find(set, &id_2, &found), NOT_FOUND);
	ck_assert_uint_eq(token_count(set), 1);
}
END_TEST

START_TEST(a_refused_erasure_comes_with_its_reason)
{
	static struct tokmsg sample;
	const struct kms_id id = sample_id(7);
	const char *said = "not by this owner's file";
	char why[3][LIMIT_REASON + 1];
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF absence = {0};
	open_up();
	sample_msg(&sample, TOKMSG_ERASE_OPEN, false);
	double_mode(&far, DOUBLE_REFUSE);
	ck_code(token_erase_open(token, sample.u.erase_open, why[0]), TOKEN_REFUSED);
	ck_code(token_erase_kek(token, &id, &id, &bytes, &absence, why[1]), TOKEN_REFUSED);
	ck_code(token_erase_wipe(token, &id, &bytes, why[2]), TOKEN_REFUSED);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_str_eq(why[i], said);
	}
	tokmsg_clear(&sample);
}
END_TEST

START_TEST(every_message_of_an_erasure)
{
	static struct model_erase_pins pins;
	static struct tokmsg sample;
	const struct kms_id id = sample_id(7);
	const uint8_t signature[MODEL_SIGNATURE] = {1};
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF absence = {0};
	char why[LIMIT_REASON + 1];
	open_up();
	ck_ok(token_kek_hold(token, &id, true));
	ck_ok(token_erase_pins(token, &pins));
	ck_assert(pins.needed == 2 && pins.count == 3 && is_id(&pins.rows[2].approver, 0x93));
	sample_msg(&sample, TOKMSG_ERASE_OPEN, false);
	ck_ok(token_erase_open(token, sample.u.erase_open, why));
	ck_assert_uint_eq(sample.u.erase_open->approval_count, 2); /* still the caller's */
	ck_ok(token_erase_kek(token, &id, &id, &bytes, &absence, why));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_bytes_str("destroyed")));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&absence), kms_bytes_str("absent")));
	kms_buf_free(&bytes);
	ck_ok(token_erase_wipe(token, &id, &bytes, why));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_bytes_str("signed bytes")));
	kms_buf_free(&bytes);
	ck_ok(token_erase_cancel(token, kms_bytes_str("bytes"), kms_bytes_str("key"),
		(struct kms_bytes){0}, signature));
	ck_ok(token_manifest_sign(token, kms_bytes_str("kmsd-bundle/1\n"), &bytes));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_bytes_str("signed bytes")));
	/* Past a limit nothing is sent, and the link lives on. */
	sample.u.erase_open->approval_count = LIMIT_APPROVALS + 1;
	ck_code(token_erase_open(token, sample.u.erase_open, why), TOO_LARGE);
	tokmsg_clear(&sample);
	struct token_state state;
	token_state_get(token, &state);
	ck_assert(state.up && state.links == 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token");
	TCase *tcase = tcase_create("token");
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 40);
	tcase_add_test(tcase, uses_queue_in_order_with_their_principal);
	tcase_add_test(tcase, sixty_four_threads);
	tcase_add_test(tcase, acknowledgements_are_sent);
	tcase_add_test(tcase, no_acknowledgement_is_forgotten);
	tcase_add_test(tcase, a_lost_link_loses_no_use);
	tcase_add_test(tcase, a_restarted_kmsd_fetches_what_it_has_not_recorded);
	tcase_add_test(tcase, many_unacknowledged_uses_come_in_pieces);
	tcase_add_test(tcase, another_token_is_refused);
	tcase_add_test(tcase, a_state_that_went_back_is_refused);
	tcase_add_loop_test(tcase, a_wrong_answer_ends_the_link, 0, 9);
	tcase_add_test(tcase, a_refusal_is_the_callers_alone);
	tcase_add_test(tcase, a_hang_is_a_timeout_and_then_it_goes_on);
	tcase_add_test(tcase, stopping_does_not_wait_for_a_greeting);
	tcase_add_test(tcase, every_other_message);
	tcase_add_test(tcase, every_message_of_an_erasure);
	tcase_add_test(tcase, a_refused_erasure_comes_with_its_reason);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
