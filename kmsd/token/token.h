/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token: kmsd's side of its kms-tokends: connect, reconnect with back-off, one request and its
 * answer, the queue of uses that wait to be recorded, and kmsd's own end of `clear` sessions.
 * Thread-safe. A call waits at most LIMIT_TOKEN_WAIT_MS (TIMEOUT, and the link is made anew);
 * TOKEN_DOWN at once while there is no link.
 */
#ifndef KMS_TOKEN_H
#define KMS_TOKEN_H

#include "base.h"
#include "exchange.h"
#include "model.h"

struct format_key;
struct format_use;

struct token_set;
struct token; /* one kms-tokend; lives as long as its set */

struct token_place {
	struct kms_id id;
	const char *socket_path;
	struct kms_hash session_spki; /* pinned: what `clear` sessions must meet */
	/* Where the store's records of its uses end. */
	uint64_t recorded_boot;
	uint64_t recorded_n;
};
/* kmsd's own session certificate and key for `clear`; both NULL where there is none. */
kms_err token_set_open(const struct token_place *places, size_t count, const char *clear_cert,
	const char *clear_key, struct token_set **ret_set);
void token_set_free(struct token_set **set); /* joins the threads */
kms_err token_find(struct token_set *set, const struct kms_id *id, struct token **ret_token);
size_t token_count(const struct token_set *set);
struct token *token_at(struct token_set *set, size_t i);
const struct kms_id *token_id(const struct token *token);

struct token_state {
	bool up;
	int64_t since_unix_ms;
	struct model_hello hello; /* of the newest link */
	uint64_t links;           /* links made so far: recovery runs once after each */
};
void token_state_get(struct token *token, struct token_state *ret_state);
/* Wait until it is up, at most timeout_ms. */
kms_err token_wait_up(struct token *token, int timeout_ms);

/* ---- sealed sessions: kmsd carries bytes it cannot read ---- */

kms_err token_session_open(struct token *token, struct kms_bytes flight, struct kms_id *ret_session,
	struct kms_buf *ret_flight);
kms_err token_session_close(struct token *token, const struct kms_id *session);

/* For whom a key is used, as the use records say it. */
struct token_user {
	struct kms_id principal; /* zero: find it by the SPKI */
	struct kms_id holder;    /* its libkms client; zero: not said */
};
struct token_call {
	struct kms_id session;
	enum model_op op;
	struct token_user user;
	struct kms_hash principal_spki;
	struct kms_id key;
	uint32_t count;
	const struct model_call_item *items;
	struct kms_bytes record;
};
struct token_result {
	uint32_t count;
	enum kms_code codes[LIMIT_BATCH_ITEMS];
	uint64_t boot;
	uint64_t last_n; /* wait until the ledger has recorded up to here; 0: nothing was used */
	struct kms_buf record;
};
void token_result_free(struct token_result **result);
/*
 * The uses that the answer counted are in the token's queue before this returns, in order, also
 * when nobody waits for the answer any more.
 */
kms_err token_call(
	struct token *token, const struct token_call *call, struct token_result **ret_result);

/* ---- clear: kmsd is the client ---- */

/*
 * One op over all tokens of a key, as format_custody_call runs it, through kmsd's own session with
 * each. ret_boot and ret_n, in the order of key->tokens: what the ledger must have recorded before
 * the answer goes out; n 0: nothing was used there.
 */
kms_err token_clear_call(struct token_set *set, const struct format_key *key, enum model_op op,
	const struct token_user *user, struct format_use *uses, uint32_t count,
	uint64_t ret_boot[LIMIT_CUSTODY_TOKENS], uint64_t ret_n[LIMIT_CUSTODY_TOKENS]);

/* ---- the queue of uses ---- */

/* What one answer counted, or what was offered again. */
struct token_uses {
	struct model_counted uses;
	struct token_user user; /* zeros: offered again */
	struct token_uses *next;
};
/* Take all that waits, oldest first, whole batches of at most max uses together (at least one
 * batch); the caller owns the list. NULL when there is nothing. */
struct token_uses *token_uses_take(struct token *token, uint32_t max);
void token_uses_free(struct token_uses **list);
/* They are durable: tell kms-tokend, without waiting for it. */
void token_uses_ack(struct token *token, uint64_t boot, uint64_t n);
/* What was taken could not be recorded (full disk): put it back in front. */
void token_uses_return(struct token *token, struct token_uses *list);

/* ---- the rest ---- */

/* The first signed uses statement after this position; empty: none yet. */
kms_err token_statement_next(
	struct token *token, uint64_t boot, uint64_t n, struct kms_buf *ret_statement);
kms_err token_kek_bear(
	struct token *token, const struct model_bear *bear, struct kms_buf *ret_birth_statement);
kms_err token_kek_commit(struct token *token, const struct kms_id *kek);
kms_err token_kek_abandon(struct token *token, const struct kms_id *kek);
/* KEKs after an id (zero: from the start), at most LIMIT_LIST_PAGE. Caller frees the rows. */
kms_err token_kek_list(struct token *token, const struct kms_id *after,
	struct model_held_kek **ret_rows, uint32_t *ret_count);
kms_err token_kek_hold(struct token *token, const struct kms_id *kek, bool held);
kms_err token_erase_pins(struct token *token, struct model_erase_pins *ret_pins);
/*
 * TOKEN_REFUSED, with the reason logged: a signature, the count, the requester, the proof, a
 * cancellation it has seen. TIMEOUT: too early by its clock, try again. NOT_FOUND from the two
 * others: it does not hold that erasure (any more): open it again. ret_reason: LIMIT_REASON + 1
 * bytes, what kms-tokend said where it failed.
 */
kms_err token_erase_open(
	struct token *token, const struct model_erase_order *order, char *ret_reason);
kms_err token_erase_kek(struct token *token, const struct kms_id *erasure, const struct kms_id *kek,
	struct kms_buf *ret_destroy, struct kms_buf *ret_absence, char *ret_reason);
kms_err token_erase_wipe(struct token *token, const struct kms_id *erasure,
	struct kms_buf *ret_statement, char *ret_reason);
/* certificate empty: an approver's. */
kms_err token_erase_cancel(struct token *token, struct kms_bytes erase, struct kms_bytes spki,
	struct kms_bytes certificate, const uint8_t signature[MODEL_SIGNATURE]);
/* The signed note over a manifest's text. */
kms_err token_manifest_sign(struct token *token, struct kms_bytes text, struct kms_buf *ret_note);
kms_err token_head_sign(
	struct token *token, const struct model_head_sign *request, struct kms_buf *ret_note);
/* The last signed note; empty: it never signed one. */
kms_err token_head_last(struct token *token, struct kms_buf *ret_note);

#endif
