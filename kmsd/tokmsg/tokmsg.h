/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokmsg: the messages between kmsd and kms-tokend, version 1. A frame is a 32-bit length, then
 * version, type, a 32-bit request id, and the body; an answer has the request's type and id with
 * TOKMSG_ANSWER set, and starts its body with a kms_code and, when that is not OK, a reason.
 * Fixed and bounded: whatever does not parse ends the connection.
 */
#ifndef KMS_TOKMSG_H
#define KMS_TOKMSG_H

#include "base.h"
#include "exchange.h"
#include "model.h"

enum { TOKMSG_VERSION = 1, TOKMSG_ANSWER = 0x80 };

enum tokmsg_type {
	TOKMSG_HELLO = 1,    /* first on a connection: who are you, where do you stand */
	TOKMSG_SESSION_OPEN, /* a client's first TLS flight */
	TOKMSG_SESSION_CLOSE,
	TOKMSG_CALL,           /* sealed bytes, and outside of them what kmsd may know */
	TOKMSG_USES_ACK,       /* uses up to n are durably recorded */
	TOKMSG_USES_PENDING,   /* uses that were never acknowledged, offered again */
	TOKMSG_STATEMENT_NEXT, /* the next signed uses statement after a position */
	TOKMSG_KEK_BEAR,       /* generate, read back, test, birth statement; idempotent */
	TOKMSG_KEK_COMMIT,     /* the ledger holds the birth: it may be used; idempotent */
	TOKMSG_KEK_ABANDON,    /* never committed: destroy it; refused once committed */
	TOKMSG_KEK_LIST,
	TOKMSG_HEAD_SIGN, /* system token: sign this checkpoint */
	TOKMSG_HEAD_LAST, /* system token: the last head it signed */
	TOKMSG_PING,
	TOKMSG_KEK_HOLD,      /* suspend this KEK, or no longer; durable, idempotent */
	TOKMSG_ERASE_PINS,    /* which approvers, and how many of them */
	TOKMSG_ERASE_OPEN,    /* here is an approved erasure; held until the process ends */
	TOKMSG_ERASE_KEK,     /* destroy one KEK of it and show its absence; idempotent */
	TOKMSG_ERASE_WIPE,    /* wipe the token, when every KEK is gone; idempotent */
	TOKMSG_ERASE_CANCEL,  /* a signed cancellation, kept for ever */
	TOKMSG_MANIFEST_SIGN, /* system token: sign a bundle's manifest */
	TOKMSG_TYPE_COUNT_,
};

struct tokmsg_call {
	struct kms_id session;
	enum model_op op;
	struct kms_hash principal; /* SPKI hash of who kmsd says is asking */
	struct kms_id key;
	uint32_t count;
	struct model_call_item *items; /* owned when read */
	struct kms_bytes record;       /* borrowed */
};

struct tokmsg_call_answer {
	uint32_t count;
	enum kms_code codes[LIMIT_BATCH_ITEMS]; /* per item, so that denials can be recorded */
	struct model_counted uses;              /* what was counted for the OK ones, in order */
	struct kms_bytes record;                /* borrowed */
};

/* One message, either way. Which member counts follows from type and is_answer. */
struct tokmsg {
	enum tokmsg_type type;
	bool is_answer;
	uint32_t id;
	enum kms_code code;            /* answers */
	char reason[LIMIT_REASON + 1]; /* answers that are not OK: for a log, without secrets */
	union {
		struct model_hello hello; /* HELLO answer */
		struct kms_bytes flight;  /* SESSION_OPEN request */
		struct {
			struct kms_id session;
			struct kms_bytes flight;
		} session_opened;                    /* SESSION_OPEN answer */
		struct kms_id session;               /* SESSION_CLOSE */
		struct tokmsg_call call;             /* CALL */
		struct tokmsg_call_answer *answered; /* CALL answer; owned when read */
		struct {
			uint64_t boot;
			uint64_t n;
		} position;                /* USES_ACK, USES_PENDING, STATEMENT_NEXT */
		struct model_counted uses; /* USES_PENDING answer */
		struct kms_bytes bytes; /* STATEMENT_NEXT, KEK_BEAR, HEAD_SIGN, HEAD_LAST answers:
					   a statement, a signed note; may be empty */
		struct model_bear kek_bear; /* KEK_BEAR */
		struct kms_id kek;          /* KEK_COMMIT, KEK_ABANDON; KEK_LIST: after */
		struct {
			uint32_t count;
			struct model_held_kek *rows; /* owned when read */
		} keks;                              /* KEK_LIST answer, by id */
		struct model_head_sign head_sign;    /* HEAD_SIGN */
		struct {
			struct kms_id kek;
			bool held;
		} hold;                               /* KEK_HOLD */
		struct model_erase_pins *erase_pins;  /* ERASE_PINS answer; owned when read */
		struct model_erase_order *erase_open; /* ERASE_OPEN; owned when read, borrows */
		struct {
			struct kms_id erasure;
			struct kms_id kek; /* ERASE_KEK */
		} erase;                   /* ERASE_KEK, ERASE_WIPE */
		struct {
			struct kms_bytes destroy, absence;
		} erased; /* ERASE_KEK answer; ERASE_WIPE and MANIFEST_SIGN answer bytes */
		struct {
			struct kms_bytes erase; /* kmsd-erase/1 */
			struct kms_bytes spki;  /* DER: of an approver's key, or the requester's */
			/* the requester's certificate, DER, when it is the requester */
			struct kms_bytes certificate;
			uint8_t signature[MODEL_SIGNATURE];
		} erase_cancel;            /* ERASE_CANCEL */
		struct kms_bytes manifest; /* MANIFEST_SIGN: the text, its last newline included */
	} u;
};
void tokmsg_clear(struct tokmsg *msg); /* frees what it owns */

/* Append the whole frame to writer. What tokmsg_read would refuse is not written: TOO_LARGE past a
 * limit, ARGUMENT for an empty list that must not be or a type that is none. */
kms_err tokmsg_write(const struct tokmsg *msg, struct kms_writer *writer);
/* Read the body of one frame (without its length); what is borrowed points into frame. */
kms_err tokmsg_read(struct kms_bytes frame, struct tokmsg *ret_msg);

#endif
