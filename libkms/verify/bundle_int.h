/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files about bundles (docs/formats/bundle.md) share.
 *	folder.c       a folder's files, bounded       certificate.c  certificate.json, strict
 *	evidence.c     its entries, read               bundle.c       one verification, the report
 *	step_*.c       the eleven steps
 * Reading takes in what parses and judges nothing; what it may mean is for the steps alone.
 */
#ifndef KMS_BUNDLE_INT_H
#define KMS_BUNDLE_INT_H

#include "verify_int.h"

/* A reason in both languages; en NULL: there is none. */
struct why {
	const char *en, *ja;
};
#define WHY(en, ja) ((struct why){(en), (ja)})
#define WHY_NOT ((struct why){NULL, NULL})
/* What is wrong with bytes that a reader refused. */
struct why why_of(kms_err err);

/* ---- folder.c ---- */

struct folder {
	size_t count;
	struct model_file *files; /* sorted by name, as bytes */
};
/*
 * Regular files with names that a bundle may have, and folders of them: no links, nothing else.
 * NOT_FOUND (no such folder), FORMAT (something that no bundle holds), TOO_LARGE, IO. On failure,
 * for a person: ret_what, which of them, for free(3), and ret_why.
 */
kms_err folder_read(
	const char *path, struct folder **ret_folder, char **ret_what, struct why *ret_why);
void folder_free(struct folder **folder);
const struct model_file *folder_find(const struct folder *folder, const char *name);
/* Up to 127 bytes of a-z A-Z 0-9 . _ - and single /, no part of it "..". */
bool folder_name_allowed(struct kms_bytes name);

/* ---- certificate.c ---- */

struct cert_key {
	struct kms_id id;
	uint32_t version_count;
	uint32_t *versions; /* owned */
	char level[32];
	uint64_t alg_bits, created_seq;
	int64_t created;
	bool destroyed;
	uint64_t destroyed_seq;
};
struct cert_copy {
	struct format_erase_kek kek;
	uint64_t added_seq;
	bool removed;
	uint64_t removed_seq;
};
struct cert_wipe {
	struct kms_id token;
	bool done;
	uint64_t seq;
};
struct cert_module {
	struct kms_id token;
	char serial[LIMIT_PLACE + 1];         /* "": null */
	char certificate_no[LIMIT_PLACE + 1]; /* the same */
	enum model_class class;
};
struct cert_event {
	const char *type; /* borrows from the document */
	uint64_t seq;
	struct kms_hash leaf;
};
struct cert_person {
	const char *role;
	bool has_id, has_spki;
	struct kms_id id;
	struct kms_hash spki;
};
struct cert_leases {
	uint64_t handed_out, returned, clients;
	bool has_last_end;
	int64_t last_end, seen;
};
/* Words of the claim, as they stand there: step 10 says which of them may. */
struct cert_words {
	const char *claim_level, *plaintext_before, *copies_complete, *method, *technique;
	const char *zeroization_call, *zeroization_standard, *validation, *statement;
	struct doc *not_claimed;
};
struct certificate {
	struct doc *doc; /* owned; the texts borrow from it */
	struct kms_id id, supersedes, tenant, erasure, subject;
	bool has_supersedes, final;
	const char *log_origin;
	enum model_erase_scope scope;
	struct kms_hash plan;
	uint64_t dataset_count;
	struct cert_leases leases;
	struct cert_words words;
	size_t key_count, copy_count, wipe_count, module_count, event_count, person_count;
	struct cert_key *keys;
	struct cert_copy *copies;
	struct cert_wipe *wipes;
	struct cert_module *modules;
	struct cert_event *events;
	struct cert_person *persons;
	int64_t requested, not_before, expires, executed; /* ms */
	bool has_executed;
	uint64_t absent, canary_failed;
	bool has_needed;
	uint64_t needed;
};
/* FORMAT, with the reason and the member that it is about ("": none), or NO_MEMORY. */
enum { CERTIFICATE_MEMBER_MAX = 128 };
kms_err certificate_read(struct kms_bytes json, struct certificate **ret_certificate,
	struct why *ret_why, char ret_member[CERTIFICATE_MEMBER_MAX]);
/* Of its part about datasets, media.c: how many there are. */
kms_err certificate_read_media(struct doc *media, uint64_t *ret_count);
void certificate_free(struct certificate **certificate);
const struct cert_key *certificate_key(
	const struct certificate *certificate, const struct kms_id *key);
const struct cert_copy *certificate_copy(const struct certificate *certificate,
	const struct kms_id *token, const struct kms_id *kek);
bool certificate_key_has(const struct cert_key *key, uint32_t version);

/* ---- evidence.c ---- */

/* One entry of the bundle: what parsed of it. */
struct proven {
	const struct model_file *file, *proof; /* proof NULL: there is none */
	uint64_t seq; /* by the file's name; of cert-entry.json: by itself */
	struct kms_hash leaf;
	bool read; /* head and change are there */
	struct record_head head;
	struct model_change change;
	bool has_key;
	struct kms_id key;
};
struct evidence_birth {
	const struct proven *entry;
	const struct model_birth *birth;
	struct kms_id key;
	uint32_t version;
	bool read; /* as a birth statement, verified or not */
	struct format_statement statement;
};
struct evidence_result {
	const struct proven *entry;
	struct kms_id erasure, token, key, kek;
	uint32_t version;
	bool read; /* as a destroy and an absence statement */
	struct format_statement destroy, absence;
};
struct evidence {
	size_t count;
	struct proven **entries; /* by seq; owned */
	struct proven *issue;    /* cert-entry.json; NULL: there is none; owned */
	size_t birth_count, result_count;
	struct evidence_birth *births;
	struct evidence_result *results;
	/* Of the erasure that the certificate names; NULL: not there. The first, where a dishonest
	 * bundle has two. */
	const struct proven *request, *intent, *final;
	struct format_erase *erase; /* the signed bytes, from the request */
	struct kms_bytes erase_bytes;
	struct kms_hash erase_hash;
};
/* certificate NULL: nothing is known of which erasure it is about. */
kms_err evidence_read(const struct folder *folder, const struct certificate *certificate,
	struct evidence **ret_evidence);
void evidence_free(struct evidence **evidence);
const struct proven *evidence_entry(const struct evidence *evidence, uint64_t seq);
const struct evidence_birth *evidence_birth(
	const struct evidence *evidence, const struct kms_id *token, const struct kms_id *kek);
const struct evidence_result *evidence_result(
	const struct evidence *evidence, const struct kms_id *token, const struct kms_id *kek);
/* The first, of these two and a result alike. */
const struct proven *evidence_wipe(
	const struct evidence *evidence, const struct kms_id *erasure, const struct kms_id *token);
/* Which erasure an erase.* entry is about; NULL: it is none. */
const struct kms_id *evidence_erasure(const struct proven *entry);
bool evidence_erases(
	const struct format_erase *erase, const struct kms_id *token, const struct kms_id *kek);

/* ---- bundle.c ---- */

enum { STEP_FIRST = 1, STEP_LAST = 11 };
struct step {
	bool failed, not_shown;
	size_t told;
	struct doc *reasons; /* borrows from the report */
};
struct bundle {
	const struct trust *trust;
	const struct folder *folder;
	const struct certificate *certificate; /* NULL: not there, or not one */
	struct why certificate_problem;        /* then, and with which member; "": none */
	char certificate_member[CERTIFICATE_MEMBER_MAX];
	const struct evidence *evidence;
	bool has_checkpoint; /* signed by a pinned key: set by step 2 */
	struct tlog_checkpoint checkpoint;
	const struct model_file *checkpoint_file;
	struct step steps[STEP_LAST + 1];
	struct doc *not_shown; /* borrows from the report */
	size_t noted;
};
/* Say why, in English and Japanese, with the same arguments in the same order. */
void step_fail(struct bundle *bundle, int step, const char *en, const char *ja, ...)
	__attribute__((format(printf, 3, 5), format(printf, 4, 5)));
/* The same, and behind it the reason. */
void step_fail_why(struct bundle *bundle, int step, struct why why, const char *en, const char *ja,
	...) __attribute__((format(printf, 4, 6), format(printf, 5, 6)));
/* The step as a whole was not shown. */
void step_not_shown(struct bundle *bundle, int step, const char *en, const char *ja, ...)
	__attribute__((format(printf, 3, 5), format(printf, 4, 5)));
/* Something beside what a step shows. */
void bundle_note(struct bundle *bundle, const char *en, const char *ja, ...)
	__attribute__((format(printf, 2, 4), format(printf, 3, 4)));

/* ---- the steps: each looks at the bundle alone, and says what it found ---- */

kms_err step_manifest(struct bundle *bundle);   /* 1: step_files.c */
kms_err step_checkpoint(struct bundle *bundle); /* 2: step_files.c */
kms_err step_issue(struct bundle *bundle);      /* 3: step_entries.c */
kms_err step_entries(struct bundle *bundle);    /* 4: step_entries.c */
kms_err step_statements(struct bundle *bundle); /* 5: step_statements.c */
kms_err step_copies(struct bundle *bundle);     /* 6: step_copies.c */
kms_err step_leases(struct bundle *bundle);     /* of 6: step_leases.c */
kms_err step_people(struct bundle *bundle);     /* 7: step_people.c */
kms_err step_stamp(struct bundle *bundle);      /* 8: step_time.c */
kms_err step_order(struct bundle *bundle);      /* 9: step_time.c */
kms_err step_level(struct bundle *bundle);      /* 10: step_level.c */
kms_err step_newer(struct bundle *bundle);      /* 11: step_time.c */

/* The rest of step 5: step_rest.c. There is a certificate and a request. */
void statements_check_rest(struct bundle *bundle);
/* The numbers of step 6: step_counts.c. The same. */
void copies_check_counts(struct bundle *bundle);
/* The claim level that the evidence gives. */
const char *level_of(const struct bundle *bundle);

#endif
