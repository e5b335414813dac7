/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain data that kmsd and kms-tokend exchange, apart from how it is written (tokmsg) and carried
 * (toklink), so that the modules above need to know neither.
 */
#ifndef KMS_EXCHANGE_H
#define KMS_EXCHANGE_H

#include "base.h"
#include "model.h"

struct model_hello {
	struct kms_id token;
	struct kms_id tenant; /* zero: system token */
	uint64_t boot;
	uint64_t used;  /* uses counted in this boot */
	uint64_t acked; /* of them acknowledged */
};

struct model_call_item {
	struct kms_id wrapped_key;
	struct kms_hash context; /* SHA-256 of the canonical context, tenant included */
};

struct model_counted_use {
	uint64_t n;
	enum model_op op;
	struct kms_hash spki;
	struct kms_id key;
	struct kms_id kek;
	uint32_t version;
	struct kms_id wrapped_key;
	struct kms_hash context;
};

/* Uses in the order of their numbers, without gaps. */
struct model_counted {
	uint64_t boot;
	uint64_t first;                 /* from 1 */
	uint32_t count;                 /* may be 0: then running is that of use first - 1 */
	struct kms_hash running;        /* after the last of them */
	struct model_counted_use *rows; /* owned when read */
};

struct model_held_kek {
	struct kms_id kek;
	struct kms_id key;
	uint32_t version;
	bool committed;
};

struct model_bear {
	struct kms_id kek;
	struct kms_id tenant;
	struct kms_id key;
	uint32_t version;
	enum model_custody custody;
	enum model_delivery delivery;
	uint32_t token_count;
	struct kms_id tokens[LIMIT_CUSTODY_TOKENS];
};

struct model_head_sign {
	struct kms_bytes checkpoint; /* the three lines; borrowed */
	uint32_t proof_count;        /* consistency from the last signed head; 0 for the first */
	struct kms_hash proof[64];
};

#endif
