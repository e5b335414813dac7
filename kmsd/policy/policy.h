/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: what is allowed. Fixed rules first, which no file can loosen: the role table, tenants
 * apart, the key's state. Then the policy file, which only takes away. All that is not allowed is
 * denied.
 */
#ifndef KMS_POLICY_H
#define KMS_POLICY_H

#include "base.h"
#include "model.h"

enum {
	POLICY_VERSION = 1,   /* of the file */
	POLICY_DENY_MAX = 64, /* rules under `deny` */
	POLICY_NAME_MAX = 64, /* bytes of a rule's name */
	POLICY_LEASE_S = 3600, /* where the file does not say */
};

/* A policy file as it was read. Constant from then on, so threads may share it. */
struct policy;
/* CONFIG, logged with file and line. */
kms_err policy_read(const char *path, struct policy **ret_policy);
void policy_free(struct policy **policy);

/* How long a client may hold a data key that it was handed: seconds, 1 .. LIMIT_LEASE_S. */
uint32_t policy_lease_s(const struct policy *policy);

/* The facts of one request. */
struct policy_question {
	/* the principal */
	enum model_role role;
	struct kms_id tenant; /* zero: the platform's */
	int64_t expires_unix_s;
	enum model_op op;
	/* Of the key, token, dataset, tenant or principal that the operation is about; the
	 * principal's own in lists, which show no others, and for what is yet to be made. */
	struct kms_id subject_tenant;
	enum model_delivery delivery; /* of the key that it touches or makes; 0: none */
	enum model_state state;       /* of the key that it touches; 0: none */
	int64_t now_unix_ms;
};

struct policy_answer {
	bool allowed;
	enum kms_code code; /* OK, UNAUTHENTICATED (expired), DENIED or KEY_STATE */
	const char *rule;   /* what decided: its name; borrowed from the policy */
	const char *text;   /* why, safe for the client; borrowed from the policy */
};

/* Pure: the same question always has the same answer. */
struct policy_answer policy_decide(
	const struct policy *policy, const struct policy_question *question);

#endif
