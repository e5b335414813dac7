/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: the shipped file's decisions against tests/golden/policy.txt (KMS_GOLDEN_UPDATE=1 writes
 * it anew), each check by itself, and what a policy file may not say. KMS_SOURCE names the source
 * tree.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy.h"

static struct policy *shipped;
static char folder[] = "/tmp/kms-policy-XXXXXX";
static char file[64];

static const struct kms_id tenant_a = {{0xaa}};
static const struct kms_id tenant_b = {{0xbb}};
static const int64_t now_ms = 1795251600000;

static char *source_path(const char *name)
{
	const char *root = getenv("KMS_SOURCE");
	ck_assert_msg(root != NULL, "KMS_SOURCE names the source tree");
	char *path = NULL;
	ck_assert(kms_is_ok(kms_text(&path, "%s/%s", root, name)));
	return path;
}

static void setup(void)
{
	KMS_AUTO_FREE char *path = source_path("policy/default.yaml");
	ck_assert(kms_is_ok(policy_read(path, &shipped)));
	(void)strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(file, sizeof(file), "%s/policy.yaml", folder);
}

static void teardown(void)
{
	policy_free(&shipped);
	policy_free(&shipped);
	(void)unlink(file);
	(void)rmdir(folder);
}

static kms_err read_text(const char *yaml, struct policy **ret_policy)
{
	ck_assert(kms_is_ok(kms_file_write(file, kms_bytes_str(yaml), 0600)));
	return policy_read(file, ret_policy);
}

/* A storage system's unwrap with a sealed, active key of its own: allowed. */
static struct policy_question unwrap(void)
{
	return (struct policy_question){
		.role = MODEL_ROLE_STORAGE,
		.tenant = tenant_a,
		.expires_unix_s = now_ms / 1000 + 1,
		.op = MODEL_OP_UNWRAP,
		.subject_tenant = tenant_a,
		.delivery = MODEL_DELIVERY_SEALED,
		.state = MODEL_STATE_ACTIVE,
		.now_unix_ms = now_ms,
	};
}

static void decided(const struct policy *policy, const struct policy_question *question,
	enum kms_code code, const char *rule)
{
	struct policy_answer answer = policy_decide(policy, question);
	ck_assert_str_eq(answer.rule, rule);
	ck_assert_int_eq((int)answer.code, (int)code);
	ck_assert(answer.allowed == (code == KMS_CODE_OK));
	ck_assert_uint_gt(strlen(answer.text), 0);
}

/* ---- the golden table ---- */

static void write_table(struct kms_writer *out)
{
	kms_write_text(out, "# role operation tenant delivery: decision rule; active keys, "
			    "policy/default.yaml\n");
	for (int role = MODEL_ROLE_STORAGE; role <= MODEL_ROLE_OPERATOR; role++) {
		for (int op = 1; op < MODEL_OP_COUNT_; op++) {
			for (int i = 0; i < 4; i++) {
				struct policy_question q = unwrap();
				bool same = (i & 1) == 0;
				q.role = (enum model_role)role;
				q.op = (enum model_op)op;
				q.tenant = role == MODEL_ROLE_OPERATOR ? (struct kms_id){{0}}
								       : tenant_a;
				q.subject_tenant = same ? q.tenant : tenant_b;
				q.delivery =
					(i & 2) == 0 ? MODEL_DELIVERY_SEALED : MODEL_DELIVERY_CLEAR;
				/* What only a suspended key allows is asked of one. */
				q.state = op == MODEL_OP_KEY_RESUME ? MODEL_STATE_SUSPENDED
								    : MODEL_STATE_ACTIVE;
				struct policy_answer answer = policy_decide(shipped, &q);
				kms_write_format(out, "%s %s %s %s: %s %s\n",
					model_role_text(q.role), model_op_text(q.op),
					same ? "same" : "other", model_delivery_text(q.delivery),
					answer.allowed ? "allow" : "deny", answer.rule);
			}
		}
	}
}

START_TEST(shipped_decisions_are_the_golden_ones)
{
	KMS_AUTO_WRITER out = kms_writer_grow((size_t)256 * 1024);
	write_table(&out);
	struct kms_bytes table;
	ck_assert(kms_is_ok(kms_writer_bytes(&out, &table)));
	KMS_AUTO_FREE char *path = source_path("tests/golden/policy.txt");
	const char *update = getenv("KMS_GOLDEN_UPDATE");
	if (update != NULL && strcmp(update, "1") == 0) {
		ck_assert(kms_is_ok(kms_file_write(path, table, 0644)));
	}
	KMS_AUTO_BUF golden = {0};
	ck_assert(kms_is_ok(kms_file_read(path, (size_t)256 * 1024, &golden)));
	size_t line = 1;
	for (size_t i = 0; i < golden.len && i < table.len; i++) {
		ck_assert_msg(golden.ptr[i] == table.ptr[i],
			"tests/golden/policy.txt differs in line %zu; is the change meant? Then "
			"KMS_GOLDEN_UPDATE=1",
			line);
		line += golden.ptr[i] == '\n' ? 1 : 0;
	}
	ck_assert_uint_eq(golden.len, table.len);
}
END_TEST

/* ---- each check ---- */

START_TEST(allows_what_is_in_order)
{
	struct policy_question q = unwrap();
	decided(shipped, &q, KMS_CODE_OK, "allow");
}
END_TEST

START_TEST(the_last_second_before_expiry_counts)
{
	struct policy_question q = unwrap();
	q.now_unix_ms = q.expires_unix_s * 1000 - 1;
	decided(shipped, &q, KMS_CODE_OK, "allow");
	q.now_unix_ms = q.expires_unix_s * 1000;
	decided(shipped, &q, KMS_CODE_UNAUTHENTICATED, "expiry");
}
END_TEST

START_TEST(nothing_crosses_tenants)
{
	struct policy_question q = unwrap();
	q.subject_tenant = tenant_b;
	decided(shipped, &q, KMS_CODE_DENIED, "tenant");
	/* A forgotten fact is a denial. */
	q.subject_tenant = (struct kms_id){{0}};
	decided(shipped, &q, KMS_CODE_DENIED, "tenant");
	/* Of no tenant, and yet storage: not even with subjects of no tenant. */
	q.tenant = (struct kms_id){{0}};
	decided(shipped, &q, KMS_CODE_DENIED, "tenant");
	/* An operator of a tenant is none. */
	q = unwrap();
	q.role = MODEL_ROLE_OPERATOR;
	q.op = MODEL_OP_STATUS;
	decided(shipped, &q, KMS_CODE_DENIED, "tenant");
}
END_TEST

START_TEST(roles_and_operations_out_of_range_are_denied)
{
	struct policy_question q = unwrap();
	q.role = (enum model_role)0;
	decided(shipped, &q, KMS_CODE_DENIED, "role");
	q.role = (enum model_role)77;
	decided(shipped, &q, KMS_CODE_DENIED, "role");
	q = unwrap();
	q.op = MODEL_OP_COUNT_;
	decided(shipped, &q, KMS_CODE_DENIED, "role");
}
END_TEST

START_TEST(clear_keys_can_be_stopped_but_neither_made_nor_used)
{
	struct policy_question q = unwrap();
	q.delivery = MODEL_DELIVERY_CLEAR;
	decided(shipped, &q, KMS_CODE_DENIED, "delivery");
	q.delivery = (enum model_delivery)0;
	decided(shipped, &q, KMS_CODE_DENIED, "delivery");
	q.role = MODEL_ROLE_CUSTODIAN;
	q.delivery = MODEL_DELIVERY_CLEAR;
	q.op = MODEL_OP_KEY_CREATE;
	decided(shipped, &q, KMS_CODE_DENIED, "delivery");
	q.op = MODEL_OP_KEY_ROTATE;
	decided(shipped, &q, KMS_CODE_DENIED, "delivery");
	q.op = MODEL_OP_KEY_SUSPEND;
	decided(shipped, &q, KMS_CODE_OK, "allow");
	q.op = MODEL_OP_KEY_DEACTIVATE;
	decided(shipped, &q, KMS_CODE_OK, "allow");
}
END_TEST

START_TEST(a_file_can_allow_clear_delivery)
{
	KMS_AUTO(policy) policy = NULL;
	ck_assert(
		kms_is_ok(read_text("version: 1\ndelivery: [sealed, clear]\ndeny: []\n", &policy)));
	struct policy_question q = unwrap();
	decided(policy, &q, KMS_CODE_OK, "allow");
	q.delivery = MODEL_DELIVERY_CLEAR;
	decided(policy, &q, KMS_CODE_OK, "allow");
	KMS_AUTO(policy) none = NULL;
	ck_assert(kms_is_ok(read_text("version: 1\ndelivery: []\ndeny: []\n", &none)));
	q.delivery = MODEL_DELIVERY_SEALED;
	decided(none, &q, KMS_CODE_DENIED, "delivery");
}
END_TEST

START_TEST(states_are_the_models)
{
	for (int state = MODEL_STATE_PRE_ACTIVATION; state <= MODEL_STATE_DESTROYED_COMPROMISED;
		state++) {
		struct policy_question q = unwrap();
		q.state = (enum model_state)state;
		bool allows = model_state_allows(q.state, q.op);
		decided(shipped, &q, allows ? KMS_CODE_OK : KMS_CODE_KEY_STATE,
			allows ? "allow" : "state");
	}
	/* A forgotten state is a denial; an operation without a key needs none. */
	struct policy_question q = unwrap();
	q.state = (enum model_state)0;
	decided(shipped, &q, KMS_CODE_KEY_STATE, "state");
	q.op = MODEL_OP_STATUS;
	decided(shipped, &q, KMS_CODE_OK, "allow");
}
END_TEST

START_TEST(file_rules_take_away_by_name)
{
	KMS_AUTO(policy) policy = NULL;
	ck_assert(kms_is_ok(read_text("version: 1\n"
				      "delivery: [sealed]\n"
				      "deny:\n"
				      "- name: read-only\n"
				      "  reason: no writes today\n"
				      "  roles: [storage]\n"
				      "  operations: [datakey, wrap]\n"
				      "- name: all-quiet\n"
				      "  reason: nobody asks\n"
				      "  operations: [status, datakey]\n",
		&policy)));
	struct policy_question q = unwrap();
	decided(policy, &q, KMS_CODE_OK, "allow");
	q.op = MODEL_OP_DATAKEY;
	decided(policy, &q, KMS_CODE_DENIED, "read-only");
	ck_assert_str_eq(policy_decide(policy, &q).text, "no writes today");
	q.op = MODEL_OP_STATUS;
	decided(policy, &q, KMS_CODE_DENIED, "all-quiet");
	/* The fixed rules come first. */
	q.op = MODEL_OP_DATAKEY;
	q.subject_tenant = tenant_b;
	decided(policy, &q, KMS_CODE_DENIED, "tenant");
}
END_TEST

/* ---- files ---- */

#define HEAD "version: 1\ndelivery: [sealed]\n"
#define RULE(text) HEAD "deny:\n- name: n\n  reason: r\n" text

static const char *const bad_files[] = {
	"",
	"delivery: [sealed]\ndeny: []\n",
	"version: 2\ndelivery: [sealed]\ndeny: []\n",
	"version: 1\ndeny: []\n",
	HEAD,
	HEAD "deny: []\nallow: []\n",
	"version: 1\ndelivery: [open]\ndeny: []\n",
	RULE("  operations: []\n"),
	RULE("  operations: [key.destory]\n"),
	RULE("  roles: []\n  operations: [status]\n"),
	RULE("  roles: [root]\n  operations: [status]\n"),
	RULE("  role: [storage]\n  operations: [status]\n"),
	RULE("  operations: [status]\n- name: n\n  reason: r\n  operations: [status]\n"),
	HEAD "deny:\n- reason: r\n  operations: [status]\n",
	HEAD "deny:\n- name: n\n  operations: [status]\n",
};

START_TEST(refuses_files)
{
	struct policy *policy = NULL;
	ck_assert(kms_is(read_text(bad_files[_i], &policy), KMS_CODE_CONFIG));
	ck_assert_ptr_null(policy);
}
END_TEST

START_TEST(holds_its_limits)
{
	for (int over = 0; over < 2; over++) {
		enum kms_code code = over == 0 ? KMS_CODE_OK : KMS_CODE_CONFIG;
		KMS_AUTO_WRITER rules = kms_writer_grow((size_t)64 * 1024);
		kms_write_text(&rules, HEAD "deny:\n");
		for (int i = 0; i < POLICY_DENY_MAX + over; i++) {
			kms_write_format(
				&rules, "- {name: n%d, reason: r, operations: [status]}\n", i);
		}
		kms_write_u8(&rules, 0);
		struct kms_bytes text;
		ck_assert(kms_is_ok(kms_writer_bytes(&rules, &text)));
		KMS_AUTO(policy) policy = NULL;
		ck_assert(kms_is(read_text((const char *)text.ptr, &policy), code));

		char name[POLICY_NAME_MAX + 2];
		(void)snprintf(name, sizeof(name), "%0*d", POLICY_NAME_MAX + over, 1);
		KMS_AUTO_FREE char *named = NULL;
		ck_assert(kms_is_ok(kms_text(&named,
			HEAD "deny:\n- {name: n%s, reason: r, operations: [status]}\n", name + 1)));
		KMS_AUTO(policy) other = NULL;
		ck_assert(kms_is(read_text(named, &other), code));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy");
	TCase *tcase = tcase_create("policy");
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, shipped_decisions_are_the_golden_ones);
	tcase_add_test(tcase, allows_what_is_in_order);
	tcase_add_test(tcase, the_last_second_before_expiry_counts);
	tcase_add_test(tcase, nothing_crosses_tenants);
	tcase_add_test(tcase, roles_and_operations_out_of_range_are_denied);
	tcase_add_test(tcase, clear_keys_can_be_stopped_but_neither_made_nor_used);
	tcase_add_test(tcase, a_file_can_allow_clear_delivery);
	tcase_add_test(tcase, states_are_the_models);
	tcase_add_test(tcase, file_rules_take_away_by_name);
	tcase_add_loop_test(
		tcase, refuses_files, 0, (int)(sizeof(bad_files) / sizeof(bad_files[0])));
	tcase_add_test(tcase, holds_its_limits);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
