/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: bytes that two programs must agree on: canonical context, wrapped key, sealed request
 * and answer, the running hash over uses, statements. Version 1 of each; docs/formats has their
 * example bytes and rules. Decoders are strict and bounded.
 */
#ifndef KMS_FORMAT_H
#define KMS_FORMAT_H

#include "base.h"
#include "model.h"

/* ---- canonical encryption context (docs/formats/context.md) ---- */

/*
 * 16-bit count, then for each pair, sorted by name bytes: 16-bit length and name, 16-bit length
 * and value. The pair "tenant" is added from tenant; one in context is refused (ARGUMENT).
 */
kms_err format_context_write(const struct model_context *context, const struct kms_id *tenant,
	struct kms_buf *ret_bytes);
/* Strict: sorted, no duplicates, tenant there. ret_context has no "tenant" pair. */
kms_err format_context_read(
	struct kms_bytes bytes, struct model_context *ret_context, struct kms_id *ret_tenant);
kms_err format_context_hash(struct kms_bytes canonical, struct kms_hash *ret_hash);

/* ---- wrapped key (docs/formats/wrapped-key.md) ---- */

enum format_mechanism { FORMAT_MECHANISM_AES_256_GCM = 1 };

/* What stands before the slots; all of it is in every slot's AAD. The slots fill the rest: there is
 * no count of them. */
struct format_head {
	enum model_custody custody;
	enum model_delivery delivery;
	struct kms_id key;
	struct kms_id wrapped_key; /* random, made by libkms (kmsd in `clear`) */
	struct kms_hash context;   /* SHA-256 of the canonical context */
};
enum {
	FORMAT_HEAD_BYTES =
		4 + 1 + 1 + 1 + 16 + 16 + 32, /* "KMSW", version, custody, delivery, .. */
	FORMAT_SLOT_BYTES = 16 + 16 + 4 + 1 + 12 + 32 + 16,
};
/* One token's encryption of the data key (custody any) or of its share (custody all). */
struct format_slot {
	struct kms_id token;
	struct kms_id kek;
	uint32_t version;
	enum format_mechanism mechanism;
	uint8_t nonce[12];
	uint8_t ciphertext[32];
	uint8_t tag[16];
};
struct format_wrapped {
	struct format_head head;
	uint32_t slot_count; /* 1 .. LIMIT_CUSTODY_TOKENS, in the order of the key's tokens */
	struct format_slot slots[LIMIT_CUSTODY_TOKENS];
};
kms_err format_wrapped_write(const struct format_wrapped *wrapped, struct kms_buf *ret_bytes);
kms_err format_wrapped_read(struct kms_bytes bytes, struct format_wrapped *ret_wrapped);
/*
 * The AAD of a slot: the head, the slot's token, KEK, version and mechanism, and for custody `all`
 * the number of tokens and their ids in order (tokens is not looked at for `any`).
 */
enum { FORMAT_AAD_MAX = FORMAT_HEAD_BYTES + 37 + 1 + 16 * LIMIT_CUSTODY_TOKENS };
kms_err format_slot_aad(const struct format_head *head, const struct format_slot *slot,
	const struct kms_id *tokens, uint32_t token_count, uint8_t ret_aad[FORMAT_AAD_MAX],
	size_t *ret_len);

/* ---- sealed request and answer (docs/formats/sealed.md) ---- */

/*
 * Op, request id, key, then the items. Op is DATAKEY (make a data key, or for custody `all` a
 * share, and its slot), WRAP (make a slot for this one), UNWRAP (open the slot) or REWRAP (a new
 * slot under the newest version). The same bytes for `sealed` and `clear`: in `clear` kmsd is the
 * client.
 */
struct format_item {
	struct format_head head;
	uint32_t token_count; /* the key's tokens in order */
	struct kms_id tokens[LIMIT_CUSTODY_TOKENS];
	struct kms_bytes context;          /* canonical; borrowed */
	struct format_slot slot;           /* UNWRAP, REWRAP */
	const struct kms_secret *data_key; /* WRAP, when writing; borrowed */
	struct kms_bytes data_key_bytes;   /* WRAP, when read: borrows from the message */
};
struct format_request {
	enum model_op op;
	uint64_t id; /* chosen by the client; the answer repeats it */
	struct kms_id key;
	uint32_t count;            /* 1 .. LIMIT_BATCH_ITEMS */
	struct format_item *items; /* owned */
};
void format_request_free(struct format_request **request);
kms_err format_request_write(const struct format_request *request, struct kms_secret **ret_bytes);
/* Borrows from bytes. Checks that heads carry the request's key (FORMAT) and the hash of their
 * context (CONTEXT), and that slots are of one of the tokens. Writing checks the same. */
kms_err format_request_read(struct kms_bytes bytes, struct format_request **ret_request);

struct format_answer_item {
	enum kms_code code;
	struct format_slot slot;           /* OK: DATAKEY, WRAP, REWRAP */
	const struct kms_secret *data_key; /* OK: DATAKEY, UNWRAP, when writing; borrowed */
	struct kms_bytes data_key_bytes;   /* the same when read: borrows from the message */
};
struct format_answer {
	enum model_op op;
	uint64_t id;
	uint32_t count;
	struct format_answer_item *items; /* owned */
};
void format_answer_free(struct format_answer **answer);
kms_err format_answer_write(const struct format_answer *answer, struct kms_secret **ret_bytes);
kms_err format_answer_read(struct kms_bytes bytes, struct format_answer **ret_answer);

/* ---- one operation over all tokens of a key (custody.c) ---- */

/* What a client must know of a key before it asks: pinned, never taken from kmsd. */
struct format_key {
	struct kms_id id;
	enum model_custody custody;
	enum model_delivery delivery;
	uint32_t token_count;
	struct kms_id tokens[LIMIT_CUSTODY_TOKENS]; /* in order */
};
/* One item. wrapped: given for UNWRAP and REWRAP, made by DATAKEY and WRAP (its head's wrapped_key
 * is the caller's choice), changed by REWRAP. data_key: given for WRAP and left alone, made by
 * DATAKEY and UNWRAP where all went well (then the caller's to free; NULL before). */
struct format_use {
	struct kms_bytes context; /* canonical; borrowed */
	struct format_wrapped wrapped;
	struct kms_secret *data_key;
	enum kms_code code; /* OK, or why this item failed; its outputs do not count then */
	/* Under which version of the key token i handed the data key, or a share of it, out; 0: it
	 * did not. Also when the item failed in the end. */
	uint32_t handed[LIMIT_CUSTODY_TOKENS];
};
/* Carry one message to token i of the key and bring its answer. */
typedef kms_err (*format_exchange)(void *ctx, uint32_t token, enum model_op op,
	const struct kms_secret *request, struct kms_secret **ret_answer);
/*
 * Run op for all items: shares joined, second wraps made. CONTEXT when a context given is not that
 * of the wrapped key given; PINS when that is weaker or otherwise than the key.
 */
kms_err format_custody_call(const struct format_key *key, enum model_op op, struct format_use *uses,
	uint32_t count, format_exchange exchange, void *ctx);

/*
 * Is that wrapped key this key's (ARGUMENT), guarded as it should be, with a slot for each of its
 * tokens in their order (PINS), and bound to this canonical context (CONTEXT)?
 */
kms_err format_custody_check(const struct format_key *key, const struct format_wrapped *wrapped,
	struct kms_bytes context);

/* ---- the running hash over uses (docs/formats/use.md) ---- */

/* SHA-256("kmsd-use/1" || previous || n || spki || op || kek || wrapped key || context hash);
 * a boot starts from 32 zero bytes. */
kms_err format_use_step(
	const struct kms_hash *previous, const struct model_use *use, struct kms_hash *ret_next);

/* ---- receipt for data keys that were given up (docs/formats/receipt.md) ---- */

struct format_receipt_row {
	struct kms_id key;
	uint32_t version; /* of the key */
	uint32_t count;   /* times that a data key under it was handed out and is given up now */
};
/* "kmsd-receipt/1": what a client signs with the key of its certificate. */
struct format_receipt {
	struct kms_id tenant;
	struct kms_id holder; /* which of that principal's clients; it drew the id itself */
	uint64_t number;      /* from 1, each greater than the one before: none counts twice */
	int64_t unix_ms;      /* by the client's clock: they were wiped by then */
	uint32_t row_count;   /* 1 .. LIMIT_RECEIPT_ROWS; by key, then version, each once */
	struct format_receipt_row *rows; /* owned */
};
kms_err format_receipt_write(const struct format_receipt *receipt, struct kms_buf *ret_bytes);
kms_err format_receipt_read(struct kms_bytes bytes, struct format_receipt **ret_receipt);
void format_receipt_free(struct format_receipt **receipt);

/* ---- erasure (docs/formats/erase.md) ---- */

struct format_erase_kek {
	struct kms_id token, kek, key;
	uint32_t version;
	struct kms_hash commitment;
};
/* "kmsd-erase/1": what requester and approvers sign. Lists are sorted, each element once. */
struct format_erase {
	char origin[256]; /* of the ledger */
	struct kms_id erasure, tenant, requester;
	enum model_erase_scope scope;
	struct kms_id subject;
	struct kms_hash plan; /* SHA-256 of the plan's scope */
	int64_t not_before_unix_s;
	int64_t expires_unix_s; /* after not_before */
	uint32_t wipe_count;    /* TENANT only */
	struct kms_id wipes[LIMIT_TOKENS];
	uint32_t kek_count; /* .. LIMIT_ERASE_KEKS; by token, then KEK id; 0: only wipes */
	struct format_erase_kek *keks; /* owned */
};
void format_erase_free(struct format_erase **erase);
kms_err format_erase_write(const struct format_erase *erase, struct kms_buf *ret_bytes);
kms_err format_erase_read(struct kms_bytes bytes, struct format_erase **ret_erase);
/* "kmsd-erase-cancel/1", erasure id, SHA-256 of its kmsd-erase/1 bytes: what a cancellation signs.
 */
kms_err format_erase_cancel_write(
	const struct kms_id *erasure, const struct kms_hash *erase, struct kms_buf *ret_bytes);

/* ---- statements (docs/formats/statement.md) ---- */

enum format_statement_type {
	FORMAT_STATEMENT_BIRTH = 1,
	FORMAT_STATEMENT_USES = 2,
	FORMAT_STATEMENT_DESTROY = 3,
	FORMAT_STATEMENT_ABSENCE = 4,
	FORMAT_STATEMENT_WIPE = 5,
};

/* The attributes of a KEK object as they were read back (reference field `obj`). */
struct format_attributes {
	bool sensitive, always_sensitive, extractable, never_extractable;
	bool local, copyable, destroyable, modifiable, wrap, unwrap, derive;
};
struct format_birth {
	struct kms_id key;
	uint32_t version;
	struct kms_id kek;
	enum model_custody custody;
	enum model_delivery delivery;
	uint32_t token_count;
	struct kms_id tokens[LIMIT_CUSTODY_TOKENS];
	struct kms_hash commitment; /* reference field `kc` */
	struct format_attributes attributes;
	bool imported; /* origin: generated in the token, or imported */
};
struct format_uses {
	uint64_t boot;  /* counts from 1 */
	uint64_t count; /* uses acknowledged in this boot: the number of the last one */
	struct kms_hash running;
	/* The last statement of the boot before; zeros in a token's first boot. */
	uint64_t previous_boot;
	uint64_t previous_count;
	struct kms_hash previous_running;
};
/* Which KEK, and on whose word. */
struct format_erased {
	struct kms_id erasure;
	struct kms_hash erase; /* SHA-256 of the kmsd-erase/1 bytes */
	struct kms_id key;
	uint32_t version;
	struct kms_id kek;
	struct kms_hash commitment; /* of its birth */
};
struct format_destroy {
	struct format_erased what;
	int64_t begun_unix_ms; /* durable before C_DestroyObject; the statement's own time is its
				* end
				*/
	/* The object was there, and its commitment, computed anew, was that. False: an interrupted
	 * destruction had removed it already. */
	bool found;
	uint64_t rv;        /* CK_RV of C_DestroyObject; CKR_OK where found is false */
	bool canary_before; /* a test ciphertext, made just before, opened */
	bool canary_after;  /* and opened still after it: never in a good statement */
};
struct format_absence {
	struct format_erased what;
	uint32_t searched; /* secret keys of the token that were looked at */
	uint32_t matched;  /* of them with that id or that commitment: 0 in a good statement */
	uint32_t born;     /* KEKs that were ever committed for this key in this token */
	uint32_t living;   /* of them not destroyed yet */
};
struct format_wipe {
	struct kms_id erasure;
	struct kms_hash erase;
	int64_t begun_unix_ms; /* durable before the first file was touched */
	uint32_t destroyed;    /* KEKs destroyed before it: every one that was committed */
	bool initialised;      /* the token was initialised anew, or its directory removed */
	bool overwritten;      /* the file that holds its own key was overwritten first (SoftHSM) */
};
struct format_statement {
	enum format_statement_type type;
	struct kms_id token;
	struct kms_id tenant;
	int64_t unix_ms; /* kms-tokend's clock: of the signing */
	union {
		struct format_birth birth;
		struct format_uses uses;
		struct format_destroy destroy;
		struct format_absence absence;
		struct format_wipe wipe;
	} u;
};
/* The bytes to be signed. The statement as kept and sent is these, then 64 bytes of signature
 * (r || s, ECDSA P-256 with SHA-256, by the token's statement key). */
kms_err format_statement_write(
	const struct format_statement *statement, struct kms_buf *ret_signed_part);
/* Parse without verifying; ret_signed_part and ret_signature borrow. */
kms_err format_statement_read(struct kms_bytes bytes, struct format_statement *ret_statement,
	struct kms_bytes *ret_signed_part, struct kms_bytes *ret_signature);
/* Parse and verify under the DER SPKI of a statement key: INTEGRITY when it is not its word. */
kms_err format_statement_verify(
	struct kms_bytes bytes, struct kms_bytes spki_der, struct format_statement *ret_statement);

#endif
