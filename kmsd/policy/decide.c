/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision. Runs in kmsd, for every request, through the one door. It must never look at a
 * clock, a file or the store: all it knows is in the question.
 */
#include "policy_int.h"

static struct policy_answer allow(void)
{
	return (struct policy_answer){true, KMS_CODE_OK, "allow", "allowed"};
}

static struct policy_answer deny(enum kms_code code, const char *rule, const char *text)
{
	return (struct policy_answer){false, code, rule, text};
}

/* Architecture section 2: a principal has an expiry date. That second is past it. */
static struct policy_answer check_expiry(
	const struct policy *policy, const struct policy_question *q)
{
	(void)policy;
	if (q->now_unix_ms / 1000 >= q->expires_unix_s) {
		return deny(KMS_CODE_UNAUTHENTICATED, "expiry", "the principal has expired");
	}
	return allow();
}

/* Section 9. */
static struct policy_answer check_role(const struct policy *policy, const struct policy_question *q)
{
	(void)policy;
	if (!model_role_may(q->role, q->op)) {
		return deny(KMS_CODE_DENIED, "role", "the role does not have this operation");
	}
	return allow();
}

/*
 * Nothing crosses tenants. An operator is of no tenant, and the role table gives it nothing that
 * a tenant owns but the link state of tokens; everybody else is of one.
 */
static struct policy_answer check_tenant(
	const struct policy *policy, const struct policy_question *q)
{
	(void)policy;
	bool is_operator = q->role == MODEL_ROLE_OPERATOR;
	if (kms_id_is_zero(&q->tenant) != is_operator) {
		return deny(KMS_CODE_DENIED, "tenant", "the role does not fit the tenant");
	}
	if (!is_operator && !kms_id_equal(&q->tenant, &q->subject_tenant)) {
		return deny(KMS_CODE_DENIED, "tenant", "it belongs to another tenant");
	}
	return allow();
}

/* Making and using keys goes by delivery; looking at them, and stopping them, is always possible.
 */
static bool is_by_delivery(enum model_op op)
{
	return op == MODEL_OP_KEY_CREATE || op == MODEL_OP_KEY_ROTATE || model_op_is_use(op);
}

static struct policy_answer check_delivery(
	const struct policy *policy, const struct policy_question *q)
{
	if (!is_by_delivery(q->op)) {
		return allow();
	}
	if (q->delivery == MODEL_DELIVERY_SEALED && policy->sealed) {
		return allow();
	}
	if (q->delivery == MODEL_DELIVERY_CLEAR && policy->clear) {
		return allow();
	}
	return deny(KMS_CODE_DENIED, "delivery", "the policy does not allow this key's delivery");
}

static struct policy_answer check_file(const struct policy *policy, const struct policy_question *q)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct policy_rule *rule = &policy->rules[i];
		if ((rule->roles & policy_bit(q->role)) != 0 &&
			(rule->ops & policy_bit(q->op)) != 0) {
			return deny(KMS_CODE_DENIED, rule->name, rule->reason);
		}
	}
	return allow();
}

/*
 * SP 800-57 part 1 section 7. Last, so that only who may ask at all learns of the state. Without a
 * key it is as with a destroyed one: what needs a living key does not go.
 */
static struct policy_answer check_state(
	const struct policy *policy, const struct policy_question *q)
{
	(void)policy;
	enum model_state state = q->state != 0 ? q->state : MODEL_STATE_DESTROYED;
	if (!model_state_allows(state, q->op)) {
		return deny(KMS_CODE_KEY_STATE, "state",
			"the key's state does not allow the operation");
	}
	return allow();
}

uint32_t policy_lease_s(const struct policy *policy)
{
	return policy->lease_s;
}

struct policy_answer policy_decide(
	const struct policy *policy, const struct policy_question *question)
{
	static struct policy_answer (*const checks[])(
		const struct policy *, const struct policy_question *) = {
		check_expiry,
		check_role,
		check_tenant,
		check_delivery,
		check_file,
		check_state,
	};
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct policy_answer answer = checks[i](policy, question);
		if (!answer.allowed) {
			return answer;
		}
	}
	return allow();
}
