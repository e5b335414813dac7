/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of verify share.
 *	trust.c    the trust file: what is pinned       findings.c  what came out, as JSON
 *	ledger.c   entries: leaf, order, kprev, root    uses.c      use records against statements
 * What the files about bundles share besides is in bundle_int.h.
 */
#ifndef KMS_VERIFY_INT_H
#define KMS_VERIFY_INT_H

#include <kms/verify.h>

#include "base.h"
#include "crypto.h"
#include "doc.h"
#include "format.h"
#include "model.h"
#include "record.h"
#include "tlog.h"

enum {
	TRUST_FILE_MAX = 1024 * 1024,
	TRUST_TOKENS_MAX = 1000,
	FINDINGS_FAIL_MAX = 100, /* failures told one by one; more are counted */
	OLDER_MAX = 8,
};

/* ---- trust.c ---- */

/* What may be left out of the file, and then is not pinned, says so here. */
struct trust_token {
	struct kms_id id;
	struct tlog_vkey statement;
	char serial[LIMIT_PLACE + 1];
	bool has_class;
	enum model_class class;
	char certificate_no[LIMIT_PLACE + 1]; /* "": none */
};
struct trust_approver {
	struct kms_id id;
	struct kms_buf spki; /* DER */
};
struct trust {
	char origin[TLOG_NAME_MAX + 1];
	struct tlog_log_keys ledger; /* each of them must have signed a checkpoint */
	bool has_manifest;
	struct tlog_vkey manifest;
	size_t token_count;
	struct trust_token *tokens;
	uint32_t approvals_needed; /* 0: no approvers are pinned */
	size_t approver_count;
	struct trust_approver approvers[LIMIT_APPROVALS];
	struct crypto_cert *tenant_ca; /* NULL: not pinned */
};
kms_err trust_read(const char *path, struct trust **ret_trust);
void trust_free(struct trust **trust);
/* NULL: not pinned. */
const struct trust_token *trust_find(const struct trust *trust, const struct kms_id *token);
const struct trust_approver *trust_approver(const struct trust *trust, const struct kms_id *id);

/* ---- findings.c ---- */

/* The checks, in the order in which they are reported. */
enum check {
	CHECK_CHECKPOINT, /* signatures by the pinned keys, origin */
	CHECK_TREE,       /* leaf hashes, root, older checkpoints */
	CHECK_ENTRIES,    /* each entry parses, says its own index, kprev chains */
	CHECK_BIRTHS,     /* birth statements by pinned keys */
	CHECK_ERASURES,   /* destroy, absence and wipe statements by pinned keys */
	CHECK_USES,       /* use records: trees, numbers, running hashes, principals */
	CHECK_STATEMENTS, /* signed uses statements against the records */
	CHECK_RECEIPTS,   /* receipts by the certificates of those who gave them */
	CHECK_COUNT
};
struct findings {
	struct {
		uint64_t good;
		uint64_t failed;
		uint64_t not_shown;
	} counts[CHECK_COUNT];
	struct doc *list; /* array of the failures and what is not shown */
	size_t told;
};
kms_err findings_new(struct findings *ret_findings);
void findings_clear(struct findings *findings);
void findings_good(struct findings *findings, enum check check);
void findings_fail(struct findings *findings, enum check check, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void findings_not_shown(struct findings *findings, enum check check, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool findings_failed(const struct findings *findings);
kms_err findings_report(struct findings *findings, char **ret_json);

/* ---- receipt.c ---- */

/* The certificate whose key signed the receipt: FORMAT for none, INTEGRITY for another's
 * signature. */
kms_err receipt_signer(const struct model_change *change, struct crypto_cert **ret_cert);

/* ---- uses.c: the books of one token ---- */

struct book;
/* By token id; made at the first mention. */
kms_err book_of(struct kms_verify *verify, const struct kms_id *token, struct book **ret_book);
void books_free(struct book **books);
/* A use.batch entry begins; its records follow. */
kms_err book_batch(struct kms_verify *verify, uint64_t seq, const struct model_change *change);
kms_err book_record(struct kms_verify *verify, struct kms_bytes json);
/* Every record of the batch was given. */
kms_err book_batch_end(struct kms_verify *verify);
/* A signed statement; where: from an entry, or from the token's owner. */
kms_err book_statement(struct kms_verify *verify, const char *where, struct kms_bytes statement);
/* Uses past the last signed value. */
void books_close(struct kms_verify *verify);

/* ---- ledger.c ---- */

/* The last entry of a key, for kprev. */
struct last_of_key {
	struct kms_id key;
	uint64_t seq;
	struct kms_hash leaf;
};
struct known_principal {
	struct kms_id id;
	struct kms_hash spki;
};
/* What a pinned token said of a KEK at its birth. */
struct known_kek {
	struct kms_id id, key;
	uint32_t version;
	enum model_delivery delivery;
};
struct older {
	struct tlog_checkpoint checkpoint;
};

struct kms_verify {
	struct trust *trust;
	struct findings findings;
	struct kms_hash *leaves;
	size_t leaf_count, leaf_cap;
	void *keys;       /* struct last_of_key, tsearch(3) */
	void *principals; /* struct known_principal, tsearch(3) */
	void *keks;       /* struct known_kek, tsearch(3) */
	struct book *books;
	size_t older_count;
	struct older older[OLDER_MAX];
	uint64_t hidden;     /* entries of other tenants */
	uint64_t clear_uses; /* whose principal is kmsd's word alone */
	/* the use.batch entry whose records are being given */
	struct {
		bool open;
		uint64_t seq;
		uint32_t expected, given;
		struct model_change change;
		struct kms_hash *leaves;
	} batch;
};
/* The SPKI that a principal was registered with; NULL: not seen. */
const struct known_principal *ledger_principal(struct kms_verify *verify, const struct kms_id *id);
/* Is it the SPKI of any of them? */
bool ledger_spki_known(struct kms_verify *verify, const struct kms_hash *spki);
/* NULL: its birth was not seen, or not of a pinned token. */
const struct known_kek *ledger_kek(struct kms_verify *verify, const struct kms_id *id);

#endif
