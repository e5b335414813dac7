/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence's own, for certificates: what store and ledger hold about one erasure (facts.c), the
 * fixed texts (texts.c), and the view for people (view.c, words.c). Runs in kmsd.
 */
#ifndef KMS_EVIDENCE_CERTIFICATE_INT_H
#define KMS_EVIDENCE_CERTIFICATE_INT_H

#include "evidence.h"
#include "format.h"
#include "store.h"

/* ---- facts: read from the entries as they are stored, nothing from the rows of state ---- */

struct facts_key {
	struct kms_id id;
	uint32_t version_count;
	uint32_t *versions; /* ascending; owned */
	uint64_t created_seq;
	int64_t created_unix_ms;
};
/* A KEK that was born for one of those versions. */
struct facts_copy {
	struct format_erase_kek kek;
	uint64_t added_seq;
	uint64_t removed_seq; /* 0: it is not */
};
struct facts_wipe {
	struct kms_id token;
	uint64_t seq; /* 0: not yet */
};
struct facts_event {
	const char *type;
	uint64_t seq;
	struct kms_hash leaf;
};
struct facts {
	const struct evidence_parts *parts;
	const struct model_erasure *erasure;
	struct format_erase *erase;
	uint64_t before; /* entries from this one on are not looked at */
	size_t key_count, copy_count, event_count;
	struct facts_key *keys;     /* by id */
	struct facts_copy *copies;  /* by token, then KEK */
	struct facts_event *events; /* by seq */
	struct facts_wipe wipes[LIMIT_TOKENS];
	size_t seq_count;
	uint64_t *seqs;         /* of the events and the keys' chains, ascending, each once */
	struct kms_id executor; /* who executed; zero: there is no intent */
	int64_t requested_unix_ms;
	int64_t executed_unix_ms; /* of the last result; 0: none */
	bool finished;            /* the final entry is there */
	uint32_t absent, canary_failed;
	size_t receipt_bytes; /* of those that are shown */
};
/* TOO_LARGE where the keys' chains do not fit a bundle; INTEGRITY for entries that contradict one
 * another. before: UINT64_MAX for what stands now. */
kms_err facts_collect(const struct evidence_parts *parts, const struct model_erasure *erasure,
	uint64_t before, struct facts **ret_facts);
void facts_free(struct facts **facts);
/* Nothing of the erasure is open any more: every copy removed, every wipe made, all recorded. */
bool facts_are_closed(const struct facts *facts);

/* ---- texts ---- */

/* Each list ends with NULL. */
extern const char *const texts_excluded[];    /* scope.excluded, always */
extern const char texts_excluded_imported[];  /* and where a key came from outside */
extern const char texts_excluded_versions[];  /* and where other versions live on */
extern const char *const texts_not_done[];    /* verification_not_done */
extern const char texts_recorded[];           /* statement of the level "recorded" */
extern const char texts_recorded_japanese[];  /* the same, for the view */
extern const char *const texts_not_claimed[]; /* not_claimed of that level */
extern const char *const texts_verify[];      /* the lines of VERIFY.txt */

/* ---- the view ---- */

enum view_language { VIEW_ENGLISH, VIEW_JAPANESE, VIEW_LANGUAGES };
/* A page for people, made from certificate.json alone. */
kms_err view_write(
	struct kms_bytes certificate_json, enum view_language language, struct kms_buf *ret_html);
/* The word or text in that language; English where there is none. */
const char *view_word(enum view_language language, const char *english);

#endif
