/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <kms/verify.h>: offline verification, with pinned keys only. The trust file ("kmsd-trust/1",
 * JSON) comes from the owners of log and tokens, out of band; nothing that kmsd says is believed.
 * What the trust file does not pin is reported as not shown, never as good.
 *
 * A ledger is given in order: kms_verify_entry for every index from 0, kms_verify_use after an
 * entry that asks for its use records, then kms_verify_finish. No network, no files but the trust
 * file.
 */
#ifndef KMS_VERIFY_H
#define KMS_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kms/err.h>

/* One verification; one thread at a time. */
struct kms_verify;

/* CONFIG, with the reason on stderr, when the trust file is not right. */
KMS_API kms_err kms_verify_open(const char *trust_path, struct kms_verify **ret_verify);
KMS_API void kms_verify_free(struct kms_verify **verify); /* accepts NULL; sets NULL */

/*
 * The next entry, by its index. bytes is the stored JSON, or NULL with len 0 for an entry of
 * another tenant, of which only the leaf hash (32 bytes) is known. *ret_use_records: how many use
 * records of it have to be given next, each with kms_verify_use.
 * What is wrong with the entry becomes a finding; an error is ARGUMENT (a wrong order) or
 * NO_MEMORY.
 */
KMS_API kms_err kms_verify_entry(struct kms_verify *verify, uint64_t index, const uint8_t *leaf,
	const uint8_t *bytes, size_t len, uint32_t *ret_use_records);
/* The next use record of the last entry, as it is stored. */
KMS_API kms_err kms_verify_use(struct kms_verify *verify, const uint8_t *bytes, size_t len);

/* A statement that a token's owner printed (`kms-tokend --statement`); before finish. */
KMS_API kms_err kms_verify_statement(struct kms_verify *verify, const uint8_t *bytes, size_t len);
/* An older checkpoint that was kept (a signed note): the log must extend it. Before the entries. */
KMS_API kms_err kms_verify_older(struct kms_verify *verify, const char *note);

/*
 * The newest checkpoint (a signed note), and the result. INTEGRITY when a finding failed. The
 * report, for free(3), is JSON in any case: {"result": "pass" | "fail", "findings": [{"check": ...,
 * "result": "pass" | "fail" | "not shown", "text": ...}, ...]}.
 */
KMS_API kms_err kms_verify_finish(
	struct kms_verify *verify, const char *checkpoint, char **ret_report);

/*
 * An erasure's certificate: the folder of a bundle (docs/formats/bundle.md), against the trust
 * file, by the eleven steps that stand there; no network, no server, nothing but these files.
 * report, for free(3), is JSON: {"result": "pass" | "fail", "certificate": UUID, "status": "final"
 * | "provisional", "claim_level": "recorded" | ..., by the evidence; "claims": {what the
 * certificate says: "log", "tenant", "erasure", "kind", "subject", "status", "claim_level", counts
 * of "keys", "copies", "removed", "wipes", "datasets", ms of "requested", "executed"}; "steps":
 * [{"step": 1 .. 11, "text", "ja", "result": "pass" | "fail" | "not shown", "reasons": [{"text",
 * "ja"}]}], "not_shown": [{"text", "ja"}]}: texts in English, "ja" the same in Japanese. Without a
 * certificate that parses the middle four are null. "pass" of a provisional certificate says only
 * that it tells the truth: that the erasure is not finished.
 * INTEGRITY when a step failed; FORMAT, TOO_LARGE, NOT_FOUND, IO, with a report, when it is no
 * bundle; CONFIG as kms_verify_open.
 */
KMS_API kms_err kms_verify_bundle(const char *trust_path, const char *folder, char **ret_report);

#endif
