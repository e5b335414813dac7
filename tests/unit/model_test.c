/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model: the tables cell by cell against tests/golden/tables.txt, the words both ways, text and
 * context at their limits, and freeing of what requests, answers and changes own (under ASan: all
 * of it).
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "model.h"

static struct model_context context;

static void setup(void)
{
	memset(&context, 0, sizeof(context));
}

/* ---- tables ---- */

static void roles_table(struct kms_writer *writer)
{
	for (unsigned op = 1; op < MODEL_OP_COUNT_; op++) {
		kms_write_format(writer, "%-15s face %d use %d:", model_op_text((enum model_op)op),
			model_op_face((enum model_op)op), model_op_is_use((enum model_op)op));
		for (unsigned role = MODEL_ROLE_STORAGE; role <= MODEL_ROLE_OPERATOR; role++) {
			if (model_role_may((enum model_role)role, (enum model_op)op)) {
				kms_write_format(
					writer, " %s", model_role_text((enum model_role)role));
			}
		}
		kms_write_text(writer, "\n");
	}
}

static void states_table(struct kms_writer *writer)
{
	for (unsigned op = 1; op < MODEL_OP_COUNT_; op++) {
		kms_write_format(writer, "%-15s in:", model_op_text((enum model_op)op));
		for (unsigned s = 1; s <= MODEL_STATE_DESTROYED_COMPROMISED; s++) {
			if (model_state_allows((enum model_state)s, (enum model_op)op)) {
				kms_write_format(
					writer, " %s", model_state_text((enum model_state)s));
			}
		}
		kms_write_text(writer, "\n");
	}
}

static void transitions_table(struct kms_writer *writer)
{
	for (unsigned s = 1; s <= MODEL_STATE_DESTROYED_COMPROMISED; s++) {
		for (unsigned e = 1; e <= MODEL_EVENT_DESTROY; e++) {
			enum model_state to = 0;
			kms_err err =
				model_state_next((enum model_state)s, (enum model_event)e, &to);
			if (!kms_is_ok(err)) {
				ck_assert(kms_is(err, KMS_CODE_KEY_STATE));
				ck_assert_int_eq(to, 0);
				continue;
			}
			kms_write_format(writer, "%s + %s = %s\n",
				model_state_text((enum model_state)s),
				model_event_text((enum model_event)e), model_state_text(to));
		}
	}
}

START_TEST(tables_are_the_reviewed_ones)
{
	KMS_AUTO_WRITER writer = kms_writer_grow((size_t)64 * 1024);
	struct kms_bytes text;
	roles_table(&writer);
	kms_write_text(&writer, "\n");
	states_table(&writer);
	kms_write_text(&writer, "\n");
	transitions_table(&writer);
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &text)));
	golden_text("tables.txt", text);
}
END_TEST

START_TEST(only_storage_uses_keys)
{
	for (unsigned op = 1; op < MODEL_OP_COUNT_; op++) {
		for (unsigned role = 1; role <= MODEL_ROLE_OPERATOR; role++) {
			if (model_op_is_use((enum model_op)op)) {
				ck_assert_int_eq(
					model_role_may((enum model_role)role, (enum model_op)op),
					role == MODEL_ROLE_STORAGE);
			}
		}
	}
}
END_TEST

/* The two tables say the same of the operations that are transitions. */
START_TEST(state_changes_agree_with_transitions)
{
	static const struct {
		enum model_op op;
		enum model_event event;
	} pairs[] = {{MODEL_OP_KEY_SUSPEND, MODEL_EVENT_SUSPEND},
		{MODEL_OP_KEY_RESUME, MODEL_EVENT_RESUME},
		{MODEL_OP_KEY_DEACTIVATE, MODEL_EVENT_DEACTIVATE}};
	for (size_t i = 0; i < 3; i++) {
		for (unsigned s = 1; s <= MODEL_STATE_DESTROYED_COMPROMISED; s++) {
			enum model_state to;
			ck_assert_int_eq(model_state_allows((enum model_state)s, pairs[i].op),
				kms_is_ok(model_state_next(
					(enum model_state)s, pairs[i].event, &to)));
		}
	}
}
END_TEST

START_TEST(what_is_not_in_a_table_is_refused)
{
	static const unsigned bad_ops[] = {0, MODEL_OP_COUNT_, MODEL_OP_COUNT_ + 1, 1000};
	for (size_t i = 0; i < 4; i++) {
		enum model_op op = (enum model_op)bad_ops[i];
		ck_assert(!model_role_may(MODEL_ROLE_CUSTODIAN, op));
		ck_assert(!model_state_allows(MODEL_STATE_ACTIVE, op));
		ck_assert(!model_op_is_use(op));
		ck_assert_str_eq(model_op_text(op), "unknown");
	}
	ck_assert(!model_role_may((enum model_role)0, MODEL_OP_STATUS));
	ck_assert(!model_role_may((enum model_role)(MODEL_ROLE_OPERATOR + 1), MODEL_OP_STATUS));
	ck_assert(!model_role_may((enum model_role)33, MODEL_OP_STATUS));
	ck_assert(!model_state_allows((enum model_state)0, MODEL_OP_STATUS));
	ck_assert(!model_state_allows((enum model_state)8, MODEL_OP_STATUS));
	enum model_state to;
	ck_assert(kms_is(model_state_next(MODEL_STATE_ACTIVE, (enum model_event)7, &to),
		KMS_CODE_KEY_STATE));
	ck_assert(kms_is(model_state_next((enum model_state)8, MODEL_EVENT_DESTROY, &to),
		KMS_CODE_KEY_STATE));
}
END_TEST

/* ---- words ---- */

#define WORDS_BOTH_WAYS(noun, last)                                                                \
	do {                                                                                       \
		enum model_##noun parsed = 0;                                                      \
		for (unsigned i = 1; i <= (last); i++) {                                           \
			const char *text = model_##noun##_text((enum model_##noun)i);              \
			ck_assert(kms_is_ok(model_##noun##_parse(text, &parsed)));                 \
			ck_assert_uint_eq((unsigned)parsed, i);                                    \
		}                                                                                  \
		ck_assert_str_eq(model_##noun##_text((enum model_##noun)((last) + 1)), "unknown"); \
		ck_assert_str_eq(model_##noun##_text((enum model_##noun)0), "unknown");            \
		ck_assert(kms_is(model_##noun##_parse("unknown", &parsed), KMS_CODE_ARGUMENT));    \
		ck_assert(kms_is(model_##noun##_parse("", &parsed), KMS_CODE_ARGUMENT));           \
		ck_assert_uint_eq((unsigned)parsed, (last));                                       \
	} while (0)

START_TEST(words_go_both_ways)
{
	WORDS_BOTH_WAYS(role, MODEL_ROLE_OPERATOR);
	WORDS_BOTH_WAYS(custody, MODEL_CUSTODY_ALL);
	WORDS_BOTH_WAYS(delivery, MODEL_DELIVERY_CLEAR);
	WORDS_BOTH_WAYS(class, MODEL_CLASS_HSM);
	WORDS_BOTH_WAYS(state, MODEL_STATE_DESTROYED_COMPROMISED);
	WORDS_BOTH_WAYS(event, MODEL_EVENT_DESTROY);
	WORDS_BOTH_WAYS(op, MODEL_OP_COUNT_ - 1);
	ck_assert_str_eq(model_kek_state_text(MODEL_KEK_LIVE), "live");
	ck_assert_str_eq(model_kek_state_text((enum model_kek_state)5), "unknown");
	enum model_role role;
	ck_assert(kms_is(model_role_parse("Storage", &role), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(model_role_parse("storage ", &role), KMS_CODE_ARGUMENT));
}
END_TEST

/* ---- text ---- */

START_TEST(text_is_utf8_without_controls)
{
	static const char *const good[] = {"", "plain", "\xe9\x8d\xb5", "\xf0\x9f\x94\x91",
		"\xc2\xa0", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"};
	static const char *const bad[] = {
		"\x80", "\xc3", "\xc3(", "\xe9\x8d", "\xf0\x9f\x94", /* broken off */
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf",      /* overlong */
		"\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xf8\x88\x80\x80\x80", "a\nb",
		"\x1b[31m", "\x7f", "\xc2\x85", /* controls */
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(kms_is_ok(model_text_check(good[i], 16)), "good %zu", i);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(
			kms_is(model_text_check(bad[i], 16), KMS_CODE_ARGUMENT), "bad %zu", i);
	}
	ck_assert(kms_is_ok(model_text_check("12345", 5)));
	ck_assert(kms_is(model_text_check("123456", 5), KMS_CODE_TOO_LARGE));
}
END_TEST

static const char *repeat(char c, size_t len)
{
	static char text[1024];
	memset(text, c, len);
	text[len] = 0;
	return text;
}

START_TEST(context_names_and_values)
{
	ck_assert(kms_is_ok(model_context_add(&context, "data-set_1.x", "")));
	ck_assert(kms_is(model_context_add(&context, "", "v"), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(model_context_add(&context, "Upper", "v"), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(model_context_add(&context, "a b", "v"), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(model_context_add(&context, "n", "a\tb"), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(model_context_add(&context, "n", "\xff"), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(model_context_add(&context, "data-set_1.x", "v"), KMS_CODE_EXISTS));
	ck_assert_uint_eq(context.count, 1);
}
END_TEST

START_TEST(context_limits)
{
	ck_assert(kms_is_ok(model_context_add(&context, repeat('n', LIMIT_CONTEXT_NAME), "v")));
	ck_assert(kms_is(model_context_add(&context, repeat('m', LIMIT_CONTEXT_NAME + 1), "v"),
		KMS_CODE_TOO_LARGE));
	ck_assert(kms_is_ok(model_context_add(&context, "v", repeat('v', LIMIT_CONTEXT_VALUE))));
	ck_assert(kms_is(model_context_add(&context, "w", repeat('v', LIMIT_CONTEXT_VALUE + 1)),
		KMS_CODE_TOO_LARGE));
	for (char name[2] = "a"; context.count < LIMIT_CONTEXT_PAIRS; name[0]++) {
		ck_assert(kms_is_ok(model_context_add(&context, name, "")));
	}
	ck_assert(kms_is(model_context_add(&context, "z", ""), KMS_CODE_TOO_LARGE));
	ck_assert_uint_eq(context.count, LIMIT_CONTEXT_PAIRS);
}
END_TEST

/* ---- freeing ---- */

static struct kms_buf some(void)
{
	struct kms_buf buf = {0};
	ck_assert(kms_is_ok(kms_buf_copy(kms_bytes_str("some"), &buf)));
	return buf;
}

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	ck_assert_ptr_nonnull(memory);
	return memory;
}

START_TEST(requests_are_freed_whole)
{
	struct model_request *none = NULL;
	model_request_free(&none);

	struct model_request *request = zeroed(1, sizeof(*request));
	request->op = MODEL_OP_WRAP;
	request->u.use.record = some();
	request->u.use.item_count = 2;
	request->u.use.items = zeroed(2, sizeof(struct model_item));
	for (size_t i = 0; i < 2; i++) {
		request->u.use.items[i].context = zeroed(1, sizeof(struct model_context));
		request->u.use.items[i].wrapped = some();
		ck_assert(kms_is_ok(kms_secret_new(32, &request->u.use.items[i].data_key)));
	}
	model_request_free(&request);
	ck_assert_ptr_null(request);

	request = zeroed(1, sizeof(*request));
	request->op = MODEL_OP_SESSION_OPEN;
	request->u.session_open.flight = some();
	model_request_free(&request);
	request = zeroed(1, sizeof(*request));
	request->op = MODEL_OP_KEY_SHOW;
	memset(&request->u.id, 0xff, sizeof(request->u.id));
	model_request_free(&request);
	ck_assert_ptr_null(request);
}
END_TEST

static void answer_fill(struct model_answer *answer)
{
	if (answer->op == MODEL_OP_STATUS) {
		answer->u.status.tokens = zeroed(1, sizeof(struct model_token_status));
	} else if (answer->op == MODEL_OP_TENANT_LIST) {
		answer->u.tenants.count = 1;
		answer->u.tenants.rows = zeroed(1, sizeof(struct model_tenant));
		ck_assert(kms_is_ok(kms_text(&answer->u.tenants.rows[0].ca_pem, "pem")));
	} else if (answer->op == MODEL_OP_KEY_SHOW) {
		answer->u.keys.rows = zeroed(1, sizeof(struct model_key));
		answer->u.keys.keks = zeroed(1, sizeof(struct model_kek));
	} else if (answer->op == MODEL_OP_UNWRAP) {
		answer->u.use.record = some();
		answer->u.use.item_count = 1;
		answer->u.use.items = zeroed(1, sizeof(struct model_answer_item));
		answer->u.use.items[0].wrapped = some();
		ck_assert(kms_is_ok(kms_secret_new(32, &answer->u.use.items[0].data_key)));
	} else if (answer->op == MODEL_OP_KEY_HISTORY) {
		answer->u.entries.count = 1;
		answer->u.entries.rows = zeroed(1, sizeof(struct model_entry));
		answer->u.entries.rows[0].bytes = some();
	} else if (answer->op == MODEL_OP_LEDGER_USES) {
		answer->u.uses.count = 1;
		answer->u.uses.records = zeroed(1, sizeof(struct kms_buf));
		answer->u.uses.records[0] = some();
	} else if (answer->op == MODEL_OP_LEDGER_HEAD) {
		answer->u.head.checkpoint = some();
	} else if (answer->op == MODEL_OP_SESSION_OPEN) {
		answer->u.session_open.flight = some();
	}
}

START_TEST(answers_are_freed_whole)
{
	struct model_answer *none = NULL;
	model_answer_free(&none);
	for (unsigned op = 0; op <= MODEL_OP_COUNT_; op++) {
		struct model_answer *answer = zeroed(1, sizeof(*answer));
		answer->op = (enum model_op)op;
		answer_fill(answer);
		model_answer_free(&answer);
		ck_assert_ptr_null(answer);
	}
}
END_TEST

START_TEST(changes_are_freed_whole)
{
	static struct model_change change;
	change.type = MODEL_CHANGE_LOG_OPEN;
	change.u.log_open.principals = zeroed(1, sizeof(struct model_principal));
	change.u.log_open.first.principals = zeroed(1, sizeof(struct model_principal));
	change.u.log_open.first.tokens = zeroed(1, sizeof(struct model_token));
	ck_assert(kms_is_ok(kms_text(&change.u.log_open.first.tenant.ca_pem, "pem")));
	model_change_free(&change);
	ck_assert_int_eq(change.type, 0);
	model_change_free(&change);

	change.type = MODEL_CHANGE_KEY_RESULT;
	change.u.key_result.births[LIMIT_CUSTODY_TOKENS - 1].statement = some();
	model_change_free(&change);
	change.type = MODEL_CHANGE_USE_STATEMENT;
	change.u.use_statement.statement = some();
	model_change_free(&change);
	change.type = MODEL_CHANGE_ALARM;
	memset(&change.u, 0xff, sizeof(change.u));
	model_change_free(&change);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {tables_are_the_reviewed_ones, only_storage_uses_keys,
		state_changes_agree_with_transitions, what_is_not_in_a_table_is_refused,
		words_go_both_ways, text_is_utf8_without_controls, context_names_and_values,
		context_limits, requests_are_freed_whole, answers_are_freed_whole,
		changes_are_freed_whole};
	Suite *suite = suite_create("model");
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
