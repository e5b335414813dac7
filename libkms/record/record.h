/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: the JSON of ledger entries ("kmsd-entry/1") and use records ("kmsd-use/1"), both
 * directions, and of tenant and platform files ("kmsd-tenant/1", "kmsd-platform/1"), reading. RFC
 * 8785 bytes, integers only, bytes as base64, at most 16 KiB (hard limit LIMIT_ENTRY_BYTES). The
 * stored bytes are what is hashed and verified; nothing re-serialises to verify.
 * docs/formats/ledger-entry.md.
 */
#ifndef KMS_RECORD_H
#define KMS_RECORD_H

#include "base.h"
#include "model.h"

/* What every entry says beside its change (reference 6.1). */
struct record_head {
	char log[256]; /* origin line of the log */
	uint64_t seq;
	int64_t unix_ms;
	struct kms_id node; /* this installation of kmsd */
	/* This key's previous entry; has_previous false: its first, or not about a key. */
	bool has_previous;
	uint64_t previous_seq;
	struct kms_hash previous_leaf;
};
/* ARGUMENT when the change contradicts itself: a birth that is not what its statement says, say. */
kms_err record_entry_write(const struct record_head *head, const struct model_change *change,
	struct kms_buf *ret_json);
/* Labels come back empty: the entry holds only their commitment. Free with model_change_free. */
kms_err record_entry_read(
	struct kms_bytes json, struct record_head *ret_head, struct model_change *ret_change);
/* The entry's type, such as "key.create.intent"; static. */
const char *record_change_text(const struct model_change *change);
/* The key an entry is about; false when it is about none. */
bool record_change_key(const struct model_change *change, struct kms_id *ret_key);
/*
 * The key whose next entry's kprev leads to this one: that of record_change_key, but for
 * dataset.add. There may be a million of those under one key, and the chain is to be short enough
 * to go with a certificate.
 */
bool record_change_link(const struct model_change *change, struct kms_id *ret_key);

kms_err record_use_write(const struct model_use *use, struct kms_buf *ret_json);
kms_err record_use_read(struct kms_bytes json, struct model_use *ret_use);

/* ---- files that people hand to `kmsd --init` and `--add-tenant` (docs/formats/tenant-file.md)
 * ----
 *
 * Strict, and checked as a whole at the clock's now: each certificate is issued by the file's CA,
 * and valid; no principal outlives its certificate; a storage principal's certificate carries
 * CRYPTO_PURPOSE_STORAGE and no other's does; no id, key or name of the file stands twice. What is
 * wrong is logged by name. Errors: FORMAT, TOO_LARGE, ARGUMENT, EXISTS, DENIED (a certificate).
 * Labels get fresh salts. Whether the CA's key signed the file is the caller's question.
 */
enum { RECORD_FILE_MAX = 4 * 1024 * 1024 }; /* bytes of such a file */

/* "kmsd-tenant/1": a tenant, its principals and its tokens' pins. */
kms_err record_tenant_read(struct kms_bytes json, struct model_tenant_set *ret_set);

/* "kmsd-platform/1": the log, the system token's pins, and the operators. */
struct record_platform {
	char origin[256];
	char ledger_vkey[512];
	char ledger_vkey_ed25519[320]; /* "": none */
	struct model_token system_token;
	char *ca_pem; /* the platform's CA; owned */
	size_t principal_count;
	struct model_principal *principals; /* owned */
};
kms_err record_platform_read(struct kms_bytes json, struct record_platform *ret_platform);
void record_platform_free(struct record_platform *platform); /* what it owns, not itself */

#endif
