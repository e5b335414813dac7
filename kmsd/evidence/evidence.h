/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence: what an erasure is about and what is left of it: the plan, the certificate and its
 * bundle (docs/formats/bundle.md). Reads store, ledger and tokens; decides nothing, changes
 * nothing. Runs in kmsd.
 */
#ifndef KMS_EVIDENCE_H
#define KMS_EVIDENCE_H

#include "base.h"
#include "exchange.h"
#include "model.h"

struct format_erase;
struct ledger;
struct store;
struct token;
struct token_set;

struct evidence_parts {
	struct store *store;
	struct ledger *ledger;
	struct token_set *tokens;
	struct token *system;
	const char *version; /* of kmsd */
};

/* ---- the plan ---- */

struct evidence_wish {
	struct kms_id erasure, tenant, requester;
	struct model_erase_target target;
	int64_t not_before_unix_s, expires_unix_s;
};
struct evidence_plan {
	struct kms_buf scope;    /* RFC 8785 JSON: everything that dies, and what would stay */
	struct kms_buf observed; /* the same: counts, links, pins, and `problems` */
	struct kms_buf bytes;    /* kmsd-erase/1; empty when problems forbid it */
};
/*
 * NOT_FOUND, DENIED (another tenant's), KEY_STATE (nothing left to erase, a current version),
 * ARGUMENT. A dataset that shares its key, tokens whose pins differ from one another's, or that
 * are away with nothing known of their pins, are problems, not errors: the plan says what to do.
 */
kms_err evidence_plan_make(const struct evidence_parts *parts, const struct evidence_wish *wish,
	struct evidence_plan **ret_plan);
void evidence_plan_free(struct evidence_plan **plan);
/* The wish that made those bytes, to make the plan anew before it is executed. */
kms_err evidence_wish_of(const struct format_erase *erase, struct evidence_wish *ret_wish);

/* ---- the certificate and its bundle ---- */

/* certificate.json as the evidence stands now, with a fresh id; it supersedes erasure->cert. One
 * that was issued already is read from the store instead (store_certificate). */
struct evidence_certificate {
	struct kms_id id;
	bool final;
	struct kms_buf json;
	struct kms_hash hash;
};
kms_err evidence_certificate_make(const struct evidence_parts *parts,
	const struct model_erasure *erasure, struct evidence_certificate **ret_certificate);
/* Is every lease of its keys over by now, or given back? Then a certificate may be final. */
kms_err evidence_leases_over(
	const struct evidence_parts *parts, const struct model_erasure *erasure, bool *ret_over);
void evidence_certificate_free(struct evidence_certificate **certificate);
/* The whole bundle, once cert.issue is entry cert_seq; the files are the caller's, as
 * model_answer's bundle. TIMEOUT while no signed checkpoint covers it. */
kms_err evidence_bundle_make(const struct evidence_parts *parts,
	const struct model_erasure *erasure, const struct evidence_certificate *certificate,
	uint64_t cert_seq, struct model_file **ret_files, size_t *ret_count);

#endif
