/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: rows, transactions and migrations; SQLite (WAL, synchronous=FULL, secure_delete). The
 * only place for SQL: constant text with named binds. One writer, many readers, one kmsd per
 * store. State is what store_apply made of the ledger's changes, and nothing else.
 * Errors: STORE (with the reason logged), NOT_FOUND, EXISTS, KEY_STATE, TOO_LARGE.
 */
#ifndef KMS_STORE_H
#define KMS_STORE_H

#include "base.h"
#include "model.h"

struct store;
enum store_mode { STORE_CREATE, STORE_WRITE, STORE_READ };
/*
 * path NULL: in memory, for one thread (replay). CREATE refuses one that has an entry (EXISTS; one
 * without is a first --init that was cut short); WRITE runs migrations. Both hold a lock file
 * beside the database: EXISTS when another kmsd has it. NOT_FOUND: there is no store. VERSION: it
 * was made by a newer kmsd. READ needs no lock, and may go on beside a running kmsd.
 */
kms_err store_open(const char *path, enum store_mode mode, struct store **ret_store);
void store_free(struct store **store);
kms_err store_check(struct store *store); /* PRAGMA integrity_check, foreign keys */

/* ---- one transaction helper; one writer thread ---- */

struct store_tx;
kms_err store_begin(struct store *store, struct store_tx **ret_tx);
/* Durable when it returns OK. On an error everything is rolled back. */
kms_err store_commit(struct store_tx **tx);
void store_tx_free(struct store_tx **tx); /* rolls back what was not committed */
/* A savepoint around one change, so that a refused one leaves the others of its commit alone.
 * After STORE nothing of the transaction can be kept: the rest says STORE too. */
kms_err store_savepoint(struct store_tx *tx);
kms_err store_savepoint_keep(struct store_tx *tx);
kms_err store_savepoint_drop(struct store_tx *tx);

/* ---- state ---- */

/*
 * The effect of one change, by the tables of model: refuses what they refuse (EXISTS, NOT_FOUND,
 * KEY_STATE; ARGUMENT for one that contradicts itself; TOO_LARGE past a limit). A refused change
 * may be half written: drop its savepoint. `seq` and `unix_ms` are those of its ledger entry, so
 * that replaying gives the same. Times of creation are the entry's. Principals and tokens of a
 * tenant's set are that tenant's, whatever they say themselves. A key whose first version was
 * given up is DESTROYED.
 */
kms_err store_apply(
	struct store_tx *tx, const struct model_change *change, uint64_t seq, int64_t unix_ms);
/* Head and every row of state as text, one line each in a fixed order, without labels: two stores
 * of one ledger agree. */
kms_err store_dump(struct store *store, struct kms_buf *ret_text);

kms_err store_tenant_get(
	struct store *store, const struct kms_id *id, struct model_tenant *ret_tenant);
kms_err store_tenant_list(struct store *store, const struct kms_id *after, uint32_t limit,
	struct model_tenant **ret_rows, size_t *ret_count);
kms_err store_principal_get(
	struct store *store, const struct kms_id *id, struct model_principal *ret_principal);
kms_err store_principal_by_spki(
	struct store *store, const struct kms_hash *spki, struct model_principal *ret_principal);
/* tenant zero: the platform's. The same for tokens. */
kms_err store_principal_list(struct store *store, const struct kms_id *tenant,
	const struct kms_id *after, uint32_t limit, struct model_principal **ret_rows,
	size_t *ret_count);
kms_err store_token_get(
	struct store *store, const struct kms_id *id, struct model_token *ret_token);
/* tenant NULL: every token of every tenant and the system token. */
kms_err store_token_list(struct store *store, const struct kms_id *tenant,
	struct model_token **ret_rows, size_t *ret_count);
kms_err store_key_get(struct store *store, const struct kms_id *id, struct model_key *ret_key);
kms_err store_key_list(struct store *store, const struct kms_id *tenant, const struct kms_id *after,
	uint32_t limit, struct model_key **ret_rows, size_t *ret_count);
kms_err store_kek_list(struct store *store, const struct kms_id *key, struct model_kek **ret_rows,
	size_t *ret_count);
/* The KEKs of a token in one state, for recovery. */
kms_err store_kek_of_token(struct store *store, const struct kms_id *token,
	enum model_kek_state state, struct model_kek **ret_rows, size_t *ret_count);
kms_err store_dataset_get(
	struct store *store, const struct kms_id *id, struct model_dataset *ret_dataset);
kms_err store_dataset_list(struct store *store, const struct kms_id *tenant,
	const struct kms_id *after, uint32_t limit, struct model_dataset **ret_rows,
	size_t *ret_count);

/* Erasures: what they own is the caller's (model_erasure_free for each row). */
kms_err store_erasure_get(
	struct store *store, const struct kms_id *id, struct model_erasure *ret_erasure);
kms_err store_erasure_list(struct store *store, const struct kms_id *tenant,
	const struct kms_id *after, uint32_t limit, struct model_erasure **ret_rows,
	size_t *ret_count);
/* Those that are EXECUTING, of every tenant: for recovery. */
kms_err store_erasure_open(struct store *store, struct model_erasure **ret_rows, size_t *ret_count);
/* Its KEKs and wipes, as rows of its bytes; token_up is left false. */
kms_err store_erasure_rows(struct store *store, const struct kms_id *id,
	struct model_erase_row **ret_rows, size_t *ret_count);
/* Whose a KEK is, or a token's wipe (kek zero), of the erasures that are not at an end. */
struct store_holder {
	struct kms_id erasure;
	bool executing; /* else requested */
	bool renewable; /* expired, and refused by its kms-tokend since: another may take it over */
};
/* As of that time. NOT_FOUND: nobody's. */
kms_err store_holder_get(struct store *store, const struct kms_id *token, const struct kms_id *kek,
	int64_t unix_ms, struct store_holder *ret_holder);
/* Did an erasure wipe it? */
kms_err store_token_wiped(struct store *store, const struct kms_id *token, bool *ret_wiped);
/* From which erasures did this one take over what was left? By id; caller frees. */
kms_err store_erasure_renews(
	struct store *store, const struct kms_id *id, struct kms_id **ret_ids, size_t *ret_count);
/* Seqs of every entry that is about this erasure, its certificates among them, oldest first. Caller
 * frees. */
kms_err store_erasure_entries(
	struct store *store, const struct kms_id *id, uint64_t **ret_seqs, size_t *ret_count);
/* The plan's scope and a certificate's JSON, as they came with their changes. NOT_FOUND also where
 * only a replay made the state. */
kms_err store_erasure_plan(struct store *store, const struct kms_id *id, struct kms_buf *ret_json);
kms_err store_certificate(struct store *store, const struct kms_id *id, struct kms_buf *ret_json);
/* Datasets under one key, by id. Caller frees. */
kms_err store_dataset_of_key(struct store *store, const struct kms_id *key,
	const struct kms_id *after, uint32_t limit, struct model_dataset **ret_rows,
	size_t *ret_count);
/* How often the KEKs of a key were used, by its use records: counted in the rows as they come. */
struct store_use_count {
	uint64_t datakeys, wraps, unwraps, rewraps;
	int64_t first_unix_ms, last_unix_ms; /* 0: never */
};
kms_err store_use_count_get(
	struct store *store, const struct kms_id *key, struct store_use_count *ret_count);

/* Data keys that were handed out and are on lease, of one version of a key or (version 0) of all. */
struct store_lease_sum {
	uint64_t granted, returned;
	int64_t last_end_unix_ms; /* of those that were not returned; 0: there are none */
};
kms_err store_lease_sum(struct store *store, const struct kms_id *key, uint32_t version,
	struct store_lease_sum *ret_sum);
/* Who has some that were not returned, their leases over or not, by id. Caller frees. */
kms_err store_lease_clients(struct store *store, const struct kms_id *key, uint32_t version,
	struct kms_id **ret_principals, size_t *ret_count);
/* Keys of which this holder is to give everything up: an erasure has them. At most
 * LIMIT_RECALLED_KEYS; caller frees. */
kms_err store_lease_recalled(struct store *store, const struct kms_id *principal,
	const struct kms_id *holder, struct kms_id **ret_keys, size_t *ret_count);
/* Has this holder something of it that was not returned? */
kms_err store_lease_is_open(struct store *store, const struct kms_id *key, uint32_t version,
	const struct kms_id *principal, const struct kms_id *holder, bool *ret_open);
/* The number of a holder's last receipt; 0: none is known. */
kms_err store_receipt_last(struct store *store, const struct kms_id *principal,
	const struct kms_id *holder, uint64_t *ret_number);

/* Count these uses, and what they lease, with the records that say so: denials among them are
 * passed over. */
kms_err store_uses_count(struct store_tx *tx, const struct model_use *uses, size_t count);

/* Where the recorded uses, and the recorded statements, of a token end; zeros: none yet. */
struct store_position {
	uint64_t boot, n; /* last use.batch */
	struct kms_hash running;
	uint64_t statement_boot, statement_n; /* last recorded statement */
	uint64_t known_boot;                  /* last token.boot */
};
kms_err store_position_get(
	struct store *store, const struct kms_id *token, struct store_position *ret_position);
kms_err store_position_statement(struct store_tx *tx, const struct kms_id *token, uint64_t boot,
	uint64_t n); /* with the USE_STATEMENT change */

/* ---- the ledger's rows ---- */

struct store_entry {
	uint64_t seq;
	struct kms_id tenant; /* zero: the platform's */
	struct kms_id key;    /* whose chain it is a link of (record_change_link); zero: none */
	struct kms_hash leaf;
	struct kms_bytes bytes;
};
kms_err store_entry_put(struct store_tx *tx, const struct store_entry *entry);
/* Entries from, from + 1, ... as that tenant sees them (NULL: all of them). Stops at limit rows or
 * LIMIT_ENTRIES_PAGE_BYTES. */
kms_err store_entries_get(struct store *store, const struct kms_id *tenant, uint64_t from,
	uint32_t limit, struct model_entry **ret_rows, size_t *ret_count);
/* The entries of one key's chain, oldest first: at most LIMIT_ENTRIES_PAGE of them. */
kms_err store_entries_of_key(struct store *store, const struct kms_id *key, uint32_t limit,
	struct model_entry **ret_rows, size_t *ret_count);
/* The same from this seq on, for who wants all of them. */
kms_err store_entries_of_key_from(struct store *store, const struct kms_id *key, uint64_t from,
	uint32_t limit, struct model_entry **ret_rows, size_t *ret_count);
/* The newest link of a key's chain: its next entry's `kprev`. NOT_FOUND: it has none. */
kms_err store_entry_last_of_key(struct store_tx *tx, const struct kms_id *key, uint64_t *ret_seq,
	struct kms_hash *ret_leaf);

kms_err store_node_put(
	struct store_tx *tx, unsigned level, uint64_t index, const struct kms_hash *hash);
kms_err store_node_get(
	struct store *store, unsigned level, uint64_t index, struct kms_hash *ret_hash);

/* The head row is compare-and-swap: STORE when (old_size, old_root) is not what stands there. */
kms_err store_head_swap(struct store_tx *tx, uint64_t old_size, const struct kms_hash *old_root,
	uint64_t size, const struct kms_hash *root);
kms_err store_head_get(struct store *store, uint64_t *ret_size, struct kms_hash *ret_root);

/* The newest signed checkpoint; older ones are dropped. */
kms_err store_checkpoint_put(struct store_tx *tx, uint64_t size, struct kms_bytes note);
kms_err store_checkpoint_last(
	struct store *store, uint64_t *ret_size, struct kms_buf *ret_note); /* 0: none */

/* The use records of one use.batch entry, each a JSON text, in leaf order. */
kms_err store_uses_put(
	struct store_tx *tx, uint64_t seq, const struct kms_buf *records, size_t count);
kms_err store_uses_get(struct store *store, const struct kms_id *tenant, uint64_t seq,
	struct kms_buf **ret_records, size_t *ret_count);

/* Settings made at --init: origin, node id, the ledger's vkeys. */
kms_err store_setting_put(struct store_tx *tx, const char *name, const char *value);
kms_err store_setting_get(struct store *store, const char *name, char **ret_value);

#endif
