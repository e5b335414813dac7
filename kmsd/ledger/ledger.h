/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the append-only log and its one sequencer thread. It takes whatever waits (changes,
 * denials, the tokens' uses), writes entries, state and tree in one transaction, and only then
 * lets the callers go on: recorded before released. Once a second it has the newest head signed by
 * the system token, publishes it with the tree's hashes, and records the tokens' uses statements.
 */
#ifndef KMS_LEDGER_H
#define KMS_LEDGER_H

#include "base.h"
#include "model.h"

struct format_statement;
struct store;
struct token;
struct token_set;
struct ledger;

/* Entry 0 and its head, offline, in a new store (else EXISTS); and the settings origin, node (made
 * here), ledger_vkey and ledger_vkey_ed25519 ("": none). ARGUMENT when a vkey is not one of that
 * origin; FORMAT or UNSUPPORTED when it is none of its type. */
kms_err ledger_found(struct store *store, struct model_change *log_open);
/* One more change, offline (--add-tenant): no daemon, no token. */
kms_err ledger_append_offline(struct store *store, struct model_change *change);

/*
 * Start the sequencer. Asks the system token for its last signed head first: ROLLBACK when the
 * store is older, or is not an extension of it, or when the token's own is older than one that the
 * store has; TOKEN_DOWN when it does not answer in time. INTEGRITY when the stored tree is broken,
 * or the token's head is not signed by each pinned key (FORMAT: by others too, or in another
 * order); NOT_FOUND for a token that no entry added. tiles is the folder where hashes and
 * checkpoints are published as files (C2SP tlog-tiles; CONFIG when kmsd cannot write there), or
 * NULL. What is handed out is leased for lease_s. store, tokens and system live longer than the
 * ledger. Every thread of callers has come back when ledger_free is called; what was counted of
 * denials is written then.
 */
kms_err ledger_start(struct store *store, struct token_set *tokens, struct token *system,
	const char *tiles, uint32_t lease_s, struct ledger **ret_ledger);
void ledger_free(struct ledger **ledger); /* drains, then stops */

/*
 * Append one change; returns when entry and state are durable. The error of store_apply when the
 * tables refuse it (nothing is appended then), LEDGER when it cannot be made durable.
 */
kms_err ledger_change(struct ledger *ledger, struct model_change *change, uint64_t *ret_seq);
/* Returns when every use of that token up to (boot, n) is durable; LEDGER when it cannot be now:
 * the uses stay queued and are tried again, without this caller. They were in the token's queue
 * before this call. */
kms_err ledger_uses_wait(
	struct ledger *ledger, const struct kms_id *token, uint64_t boot, uint64_t n);
/* Record at most LIMIT_BATCH_ITEMS denials (a failure of each item, say); returns when durable.
 * Beyond LIMIT_DENIALS_KEPT per principal and hour they are counted instead, in memory. */
kms_err ledger_deny(struct ledger *ledger, const struct kms_id *tenant,
	const struct model_use *denials, size_t count);

/* Parse a kms-tokend's statement and verify it under its registered key (tlog vkey text):
 * INTEGRITY when it is not its word. */
kms_err ledger_statement_check(
	struct kms_bytes statement, const char *vkey, struct format_statement *ret_statement);

/* Size now, size that the newest signed checkpoint covers, and that note (empty: none yet). */
kms_err ledger_head(struct ledger *ledger, uint64_t *ret_size, uint64_t *ret_signed_size,
	struct kms_buf *ret_checkpoint);

/* The newest signed checkpoint that covers entry seq, and its size; waits for it at most
 * timeout_ms (TIMEOUT). */
kms_err ledger_covered(struct ledger *ledger, uint64_t seq, int timeout_ms, uint64_t *ret_size,
	struct kms_buf *ret_checkpoint);
/* Entry seq as it is stored, and its inclusion in the first `size` entries: many under one
 * checkpoint. NOT_FOUND: no such entry; ARGUMENT: seq is not below size. */
struct tlog_proof;
kms_err ledger_inclusion(struct ledger *ledger, uint64_t seq, uint64_t size,
	struct kms_buf *ret_entry, struct tlog_proof *ret_proof);

/*
 * Rebuild the state from a store's entries in memory and compare it with the store's own, checking
 * sequence, leaf hashes, kprev, tree, head and use records on the way; beside a running kmsd, too.
 * INTEGRITY when they part. ret_report (also then) says what was found and where it parts, as text.
 */
kms_err ledger_replay(struct store *store, struct kms_buf *ret_report);

#endif
