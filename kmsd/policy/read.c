/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy file: see policy/default.yaml, where every line is explained. Runs in kmsd at its
 * start. It must never let a file grant what the fixed rules deny: there is no word for that.
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "policy_int.h"

static const enum model_role roles[] = {MODEL_ROLE_STORAGE, MODEL_ROLE_CUSTODIAN,
	MODEL_ROLE_APPROVER, MODEL_ROLE_AUDITOR, MODEL_ROLE_OPERATOR};
enum { ROLES = sizeof(roles) / sizeof(roles[0]) };

/* A text of the rule, copied into its place. */
static kms_err read_text(struct config *rule, const char *name, size_t max, char *into)
{
	const char *text = NULL;
	KMS_TRY(config_get_text(rule, name, &text));
	size_t len = strlen(text);
	if (len > max || strpbrk(text, "\n\t") != NULL) {
		return config_refuse(rule, name,
			"`%s` is too long; write one line of at most %zu bytes", name, max);
	}
	memcpy(into, text, len + 1);
	return KMS_OK;
}

static kms_err read_roles(struct config *rule, uint64_t *ret_roles)
{
	const char *words[ROLES];
	uint64_t all = 0;
	for (size_t i = 0; i < ROLES; i++) {
		words[i] = model_role_text(roles[i]);
		all |= policy_bit(roles[i]);
	}
	struct config *list = NULL;
	KMS_TRY(config_get_list_or_none(rule, "roles", &list));
	if (list == NULL) {
		*ret_roles = all;
		return KMS_OK;
	}
	uint64_t named = 0;
	for (size_t i = 0; i < config_count(list); i++) {
		size_t index = 0;
		KMS_TRY(config_item_choice(list, i, words, ROLES, &index));
		named |= policy_bit(roles[index]);
	}
	if (named == 0) {
		return config_refuse(rule, "roles",
			"`roles` is empty; name some, or remove the key to mean all");
	}
	*ret_roles = named;
	return KMS_OK;
}

static kms_err read_ops(struct config *rule, uint64_t *ret_ops)
{
	const char *words[MODEL_OP_COUNT_ - 1];
	for (int op = 1; op < MODEL_OP_COUNT_; op++) {
		words[op - 1] = model_op_text((enum model_op)op);
	}
	struct config *list = NULL;
	KMS_TRY(config_get_list(rule, "operations", &list));
	uint64_t named = 0;
	for (size_t i = 0; i < config_count(list); i++) {
		size_t index = 0;
		KMS_TRY(config_item_choice(list, i, words, MODEL_OP_COUNT_ - 1, &index));
		named |= policy_bit((unsigned)index + 1);
	}
	if (named == 0) {
		return config_refuse(rule, "operations", "`operations` is empty; name some");
	}
	*ret_ops = named;
	return KMS_OK;
}

static kms_err read_rules(struct config *root, struct policy *policy)
{
	struct config *list = NULL;
	KMS_TRY(config_get_list(root, "deny", &list));
	if (config_count(list) > POLICY_DENY_MAX) {
		return config_refuse(root, "deny", "%zu rules under `deny`; write at most %d",
			config_count(list), POLICY_DENY_MAX);
	}
	for (size_t i = 0; i < config_count(list); i++) {
		struct policy_rule *rule = &policy->rules[i];
		struct config *map = NULL;
		KMS_TRY(config_item_map(list, i, &map));
		KMS_TRY(read_text(map, "name", POLICY_NAME_MAX, rule->name));
		KMS_TRY(read_text(map, "reason", LIMIT_REASON, rule->reason));
		KMS_TRY(read_roles(map, &rule->roles));
		KMS_TRY(read_ops(map, &rule->ops));
		for (size_t j = 0; j < i; j++) {
			if (strcmp(policy->rules[j].name, rule->name) == 0) {
				return config_refuse(map, "name",
					"another rule is called %s; give each its own name",
					rule->name);
			}
		}
	}
	policy->rule_count = config_count(list);
	return KMS_OK;
}

static kms_err read_delivery(struct config *root, struct policy *policy)
{
	static const enum model_delivery deliveries[] = {
		MODEL_DELIVERY_SEALED, MODEL_DELIVERY_CLEAR};
	const char *words[] = {
		model_delivery_text(deliveries[0]), model_delivery_text(deliveries[1])};
	struct config *list = NULL;
	KMS_TRY(config_get_list(root, "delivery", &list));
	for (size_t i = 0; i < config_count(list); i++) {
		size_t index = 0;
		KMS_TRY(config_item_choice(list, i, words, 2, &index));
		policy->sealed = policy->sealed || deliveries[index] == MODEL_DELIVERY_SEALED;
		policy->clear = policy->clear || deliveries[index] == MODEL_DELIVERY_CLEAR;
	}
	return KMS_OK;
}

kms_err policy_read(const char *path, struct policy **ret_policy)
{
	KMS_AUTO(config) root = NULL;
	KMS_TRY(config_read(path, &root));
	KMS_AUTO(policy) policy = calloc(1, sizeof(*policy));
	if (policy == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	uint64_t version = 0, lease = 0;
	KMS_TRY(config_get_uint(root, "version", POLICY_VERSION, POLICY_VERSION, &version));
	KMS_TRY(config_get_uint_or(
		root, "lease_seconds", POLICY_LEASE_S, 1, LIMIT_LEASE_S, &lease));
	policy->lease_s = (uint32_t)lease;
	KMS_TRY(read_delivery(root, policy));
	KMS_TRY(read_rules(root, policy));
	KMS_TRY(config_end(root));
	*ret_policy = kms_take(&policy);
	return KMS_OK;
}

void policy_free(struct policy **policy)
{
	free(*policy);
	*policy = NULL;
}
