/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of evidence share.
 *	plan.c       what the wish is about: keys, tokens; the bytes to sign
 *	plan_keks.c  the KEKs of a key that die
 *	plan_scope.c the plan's scope, which is hashed    plan_observed.c  what is not
 *	leases.c     data keys that were handed out
 *	plan_renew.c what it may take over from erasures that expired
 */
#ifndef KMS_EVIDENCE_INT_H
#define KMS_EVIDENCE_INT_H

#include "evidence.h"

#include "doc.h"
#include "format.h"
#include "store.h"
#include "token.h"

/* ---- leases.c ---- */

/* Data keys that were handed out under the versions that an erasure names (of a whole key: under
 * all of them). Start as {0}. */
struct lease_counts {
	uint64_t handed_out, returned;
	int64_t last_end_unix_ms; /* of those that nobody gave back; 0: there are none */
	size_t client_count;      /* principals who have not given all back */
	struct kms_id *clients;   /* owned */
};
kms_err lease_counts_of(
	struct store *store, const struct format_erase *erase, struct lease_counts *counts);
void lease_counts_free(struct lease_counts *counts);
#define LEASE_COUNTS_AUTO __attribute__((cleanup(lease_counts_free))) struct lease_counts
bool lease_counts_are_over(const struct lease_counts *counts, int64_t now_unix_ms);
/* `leases` of a plan or certificate, as they were seen at that time. */
void lease_counts_write(
	const struct lease_counts *counts, int64_t seen_unix_ms, struct doc *object);

/* ---- plans ---- */

/* A key of the plan, with every KEK that it ever had, by id. */
struct plan_key {
	struct model_key key;
	struct model_kek *keks; /* owned */
	size_t kek_count;
};
struct plan_draft {
	const struct evidence_parts *parts;
	const struct evidence_wish *wish;
	size_t key_count;
	struct plan_key *keys;     /* by id; owned */
	struct format_erase erase; /* the signed bytes to be; keks by token and KEK, owned */
	size_t kek_room;
	uint32_t token_count;
	struct kms_id tokens[LIMIT_TOKENS]; /* every one that ever held a KEK that dies; sorted */
	struct doc *problems;               /* array of texts; owned */
	struct doc *notes;                  /* the same, of what is no problem */
	bool recorded;                      /* its request is: it takes over no more than it did */
	/* Erasures whose rest it takes over; sorted, each once. Then what an executing erasure
	 * holds else is left to that one. */
	bool renewing;
	uint32_t renew_count;
	struct kms_id renews[LIMIT_ERASE_KEKS + LIMIT_TOKENS];
};

/* Does this version of the key die by the wish? */
bool plan_takes(const struct evidence_wish *wish, uint32_t version);
/* What is left where nothing stands in the way: who reads it should know. */
void plan_note(struct plan_draft *draft, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void plan_problem(struct plan_draft *draft, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The key with those of its KEKs that die; nothing of it is planned when none does. */
kms_err plan_add_key(struct plan_draft *draft, const struct model_key *key);
/* Is it the wish's to take: free, its own, or left by one that it renews? Else *ret_left says that
 * an executing erasure goes on with it. kek zero: the token's wipe. */
kms_err plan_admits(struct plan_draft *draft, const struct kms_id *token, const struct kms_id *kek,
	bool *ret_admits, bool *ret_left);
/* Which erasures does a recorded wish renew? */
kms_err plan_renews_read(struct plan_draft *draft);
int plan_compare_ids(const void *a, const void *b);
kms_err plan_scope_write(struct plan_draft *draft, struct kms_buf *ret_scope);
/* Asks the tokens; adds the problems that they are. After plan_scope_write. */
kms_err plan_observed_write(struct plan_draft *draft, struct kms_buf *ret_observed);

#endif
