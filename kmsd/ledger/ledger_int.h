/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger's own: the book (the log as one transaction sees it), what waits, and the threads' parts.
 * Runs in kmsd.
 */
#ifndef KMS_LEDGER_INT_H
#define KMS_LEDGER_INT_H

#include <pthread.h>

#include "base.h"
#include "model.h"
#include "store.h"
#include "tlog.h"
#include "token.h"
#include "ledger.h"

/* ---- the book (book.c): one thread at a time ---- */

struct book {
	struct store *store;
	char origin[256];
	struct kms_id node;       /* this installation of kmsd */
	struct tlog_log_keys log; /* each signs every checkpoint */
	uint32_t lease_s;         /* of what uses hand out */
	/* Durable: */
	struct tlog_edge kept;
	struct kms_hash root;
	/* In the open transaction: */
	struct tlog_edge edge;
	struct tlog_node nodes[TLOG_LEVELS];
};
/* INTEGRITY when the stored tree is not the head's; NOT_FOUND in a store without an entry. */
kms_err ledger_book_open(struct store *store, struct book **ret_book);
void book_free(struct book **book);
/* One change: its state, its entry, its leaf. On an error drop the savepoint around it. */
kms_err ledger_book_append(struct book *book, struct store_tx *tx,
	const struct model_change *change, int64_t unix_ms, uint64_t *ret_seq);
/* Write the head, before the commit; take it over, after it; or go back. */
kms_err ledger_book_seal(struct book *book, struct store_tx *tx);
kms_err ledger_book_keep(struct book *book);
void ledger_book_restore(struct book *book);
/* State by one change, where a statement is its token's position: also what replaying does. */
kms_err ledger_state_apply(
	struct store_tx *tx, const struct model_change *change, uint64_t seq, int64_t unix_ms);
/* A tlog_read_node whose ctx is the store. */
kms_err ledger_node_read(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash);
/* A change on the heap: it is too large for stacks. */
struct change_box {
	struct model_change change;
};
kms_err ledger_change_new(enum model_change_type type, struct change_box **ret_box);
void change_box_free(struct change_box **box); /* and what the change owns */
/* The disk or the memory failed: nothing of the transaction can be kept. */
bool ledger_err_is_hard(kms_err err);

/* ---- waiting callers; their memory, until done ---- */

struct wait {
	struct wait *next;
	kms_err err;
	bool done;
	pthread_cond_t cond;
};
struct change_wait {
	struct wait wait;
	const struct model_change *change;
	uint64_t seq;
};
struct deny_wait {
	struct wait wait;
	struct kms_id tenant;
	const struct model_use *denials;
	size_t count;
};
struct uses_wait {
	struct wait wait;
	struct kms_id token;
	uint64_t boot, n;
};
struct queue {
	struct wait *first;
	struct wait **last;
};

/* ---- uses of one token (uses.c) ---- */

/* Where its recorded uses end. */
struct place {
	uint64_t boot, n;
	struct kms_hash running;
};
struct track {
	struct token *token;
	struct kms_id id;
	struct kms_id tenant;
	char statement_vkey[512];
	bool statement_bad; /* said so already: the notary's alone */
	struct place place; /* durable; under ledger->lock */
	/* The sequencer's, in a round: */
	struct place next;
	struct token_uses *taken;
	kms_err err;
};
/* Everything that was taken of one token: alarms, use records, use.batch entries. */
kms_err ledger_uses_write(
	struct book *book, struct store_tx *tx, struct track *track, int64_t unix_ms);
/* count records of one tenant as one use.batch; batch says whose and is completed. */
kms_err ledger_batch_write(struct book *book, struct store_tx *tx, struct model_change *batch,
	const struct model_use *uses, size_t count, int64_t unix_ms);

/* ---- denials (deny.c); the sequencer's alone ---- */

struct denial {
	struct kms_id tenant;
	struct model_use use;
};
struct counter {
	struct kms_id tenant, principal;
	int64_t hour; /* since 1970; -1: over, write it */
	uint32_t kept;
	uint32_t counted; /* beyond those kept, not yet written */
	struct model_use last;
	bool writing;
};
struct deny_book {
	struct counter *counters;
	size_t count;
	/* The rows of this round. */
	struct denial *rows;
	size_t row_count, row_cap;
};
/* Rows for what was counted in hours that are over (all: in every hour). */
kms_err ledger_deny_flush(struct deny_book *deny, int64_t unix_ms, bool all);
/* A row for the denial, or one more counted. */
kms_err ledger_deny_take(struct deny_book *deny, const struct kms_id *tenant,
	const struct model_use *use, int64_t unix_ms);
kms_err ledger_deny_write(
	struct book *book, struct store_tx *tx, struct deny_book *deny, int64_t unix_ms);
/* The round is over: forget its rows, and what they stood for when they are durable. */
void ledger_deny_done(struct deny_book *deny, bool durable);
void ledger_deny_free(struct deny_book *deny);

/* ---- tiles (tiles.c); the signer's alone ---- */

struct tiles;
/* folder is there already: CONFIG, logged, where kmsd cannot write in it. */
kms_err ledger_tiles_open(struct store *store, const char *folder, struct tiles **ret_tiles);
void tiles_free(struct tiles **tiles);
/*
 * Write the tiles of a tree of that size, which the store has, and then its checkpoint. *ret_done
 * is false, and no new checkpoint is there, when there is so much to write or to look at that
 * another call has to go on. IO, logged: the same, to be tried again.
 */
kms_err ledger_tiles_publish(
	struct tiles *tiles, uint64_t size, struct kms_bytes note, bool *ret_done);
uint64_t ledger_tiles_size(const struct tiles *tiles); /* of the newest checkpoint; 0: none yet */

/* ---- the ledger ---- */

struct ledger {
	struct store *store;
	struct token *system;
	struct book *book; /* the sequencer's alone, but for origin, node and log */
	struct deny_book deny;
	size_t track_count;
	struct track *tracks;

	pthread_mutex_t lock; /* taken alone; over all that follows */
	pthread_cond_t work;  /* for the sequencer */
	pthread_cond_t tick;  /* for signer and notary: stopping */
	bool stopping;        /* signer and notary end */
	bool draining;        /* then the sequencer, when nothing waits */
	struct queue changes, denials, uses;
	uint64_t size; /* durable */
	struct kms_hash root;
	uint64_t signed_size;
	struct kms_buf note;
	bool note_waits; /* to be stored */

	/* The signer's alone: what the system token signed last. */
	bool last_known;
	uint64_t last_size;
	enum kms_code last_problem;
	struct tiles *tiles;  /* NULL: none are wanted */
	unsigned tiles_pause; /* seconds until they are tried again */

	size_t thread_count;
	pthread_t threads[3];
};

void *ledger_sequence(void *arg); /* sequencer.c */
void *ledger_sign(void *arg);     /* signer.c */
void *ledger_notary(void *arg);   /* notary.c */
/* What the system token signed last, held against our tree: ROLLBACK when they part. */
kms_err ledger_last_check(struct ledger *ledger);
/* Sleep until the next second; true: stop. */
bool ledger_tick(struct ledger *ledger);
void ledger_deadline(struct timespec *ret_time, int64_t ms);

#endif
