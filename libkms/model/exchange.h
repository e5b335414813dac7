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

/* How a KEK that was born in a token stands there. */
enum model_held_life {
	MODEL_HELD_BORN = 0,
	MODEL_HELD_COMMITTED,
	MODEL_HELD_ERASING,    /* its destruction has begun and can only be finished */
	MODEL_HELD_DESTROYED,  /* by statement */
	MODEL_HELD_REAPPEARED, /* destroyed by statement, yet found in the token again: an alarm */
};
struct model_held_kek {
	struct kms_id kek;
	struct kms_id key;
	uint32_t version;
	enum model_held_life life;
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

/* What a kms-tokend asks for before it destroys: by its owner's file. */
struct model_erase_pins {
	uint32_t needed; /* approvals; 0: its owner allows no erasure */
	uint32_t count;
	struct {
		struct kms_id approver;
		struct kms_hash spki; /* SHA-256 of the DER SPKI of the key that signs */
	} rows[LIMIT_APPROVALS];
};

/* Everything that a kms-tokend needs to judge an erasure by itself. Borrowed. */
struct model_erase_order {
	struct kms_bytes erase;       /* kmsd-erase/1 */
	struct kms_bytes certificate; /* the requester's, DER */
	uint8_t signature[MODEL_SIGNATURE];
	uint32_t approval_count;
	struct {
		struct kms_id approver;
		struct kms_bytes spki; /* DER */
		uint8_t signature[MODEL_SIGNATURE];
	} approvals[LIMIT_APPROVALS];
	/* The intent's entry as it is stored, and its inclusion under a signed checkpoint. */
	struct kms_bytes entry;
	uint64_t index;
	uint32_t proof_count;
	struct kms_hash proof[64];
	struct kms_bytes checkpoint;
	/* Another kms-tokend's destroy statement over the same bytes, dated inside the window: for
	 * a token that was away until the approvals expired. Empty: none. */
	struct kms_bytes late;
};

struct model_head_sign {
	struct kms_bytes checkpoint; /* the three lines; borrowed */
	uint32_t proof_count;        /* consistency from the last signed head; 0 for the first */
	struct kms_hash proof[64];
};

#endif
