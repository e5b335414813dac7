/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy's own: a policy file in memory, as read.c fills it and decide.c asks it.
 */
#ifndef KMS_POLICY_INT_H
#define KMS_POLICY_INT_H

#include "policy.h"

/* A rule of the file: these roles may not do these operations. */
struct policy_rule {
	char name[POLICY_NAME_MAX + 1];
	char reason[LIMIT_REASON + 1];
	uint64_t roles; /* policy_bit of each */
	uint64_t ops;
};

struct policy {
	bool sealed;
	bool clear;
	uint32_t lease_s;
	size_t rule_count;
	struct policy_rule rules[POLICY_DENY_MAX];
};

_Static_assert(MODEL_OP_COUNT_ <= 64, "operations fit a mask of 64 bits");

static inline uint64_t policy_bit(unsigned value)
{
	return value < 64 ? (uint64_t)1 << value : 0;
}

#endif
