/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles that are wrong in one step and signed anew, manifest and all, with every key that their
 * makers could have: exactly the steps that the fault implies fail, each with a reason. Steps 2 to
 * 7, 9 and 10; steps 8 and 11 show nothing, ever. Step 1 and the files: verify_bundle_test.c.
 */
#include "verify_steps.h"

/* ---- 2: the checkpoint ---- */

BEND(b2_stranger)
{
	world->checkpoint_by = SIGNER_STRANGER;
}
BEND(b2_other_origin)
{
	(void)strcpy(world->checkpoint.origin, "other.example/kmsd/1");
}
/* The checkpoint with these lines under it, of one line each but the last. */
static void note_lines(struct world *world, const char *first, const char *second)
{
	KMS_AUTO_BUF text = {0};
	ck_ok(tlog_checkpoint_text(&world->checkpoint, &text));
	note_replace(world, "%.*s\n%s%s", (int)text.len, (const char *)text.ptr, first, second);
}

static char *line_string(const struct kms_buf *line)
{
	char *text = NULL;
	ck_ok(kms_text(&text, "%.*s", (int)line->len, (const char *)line->ptr));
	return text;
}

/* Under the ledger's name and P-256 key ID, by whoever. */
static char *p256_by(const struct world *world, enum signer signer)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	KMS_AUTO_BUF text = {0};
	ck_ok(tlog_checkpoint_text(&world->checkpoint, &text));
	bundle_sign(signer, kms_buf_bytes(&text), raw);
	ck_ok(crypto_sig_raw_to_der(raw, &der));
	ck_ok(tlog_note_line(&signer_vkeys[SIGNER_LOG], kms_buf_bytes(&der), &line));
	return line_string(&line);
}

/* Under the ledger's name, over the checkpoint or over something else. */
static char *ed25519_by(const struct world *world, uint8_t seed, bool other_text)
{
	KMS_AUTO_BUF line = {0};
	KMS_AUTO_BUF text = {0};
	ck_ok(tlog_checkpoint_text(&world->checkpoint, &text));
	ed25519_line(
		ORIGIN, seed, other_text ? kms_bytes_str("other\n") : kms_buf_bytes(&text), &line);
	return line_string(&line);
}

BEND(b2_forged)
{
	KMS_AUTO_FREE char *p256 = p256_by(world, SIGNER_STRANGER);
	KMS_AUTO_FREE char *ed25519 = ed25519_by(world, LOG_SEED, false);
	note_lines(world, p256, ed25519);
}
BEND(b2_no_p256)
{
	KMS_AUTO_FREE char *ed25519 = ed25519_by(world, LOG_SEED, false);
	note_lines(world, ed25519, "");
}
BEND(b2_no_ed25519)
{
	KMS_AUTO_FREE char *p256 = p256_by(world, SIGNER_LOG);
	note_lines(world, p256, "");
}
BEND(b2_bad_ed25519)
{
	KMS_AUTO_FREE char *p256 = p256_by(world, SIGNER_LOG);
	KMS_AUTO_FREE char *ed25519 = ed25519_by(world, LOG_SEED, true);
	note_lines(world, p256, ed25519);
}
BEND(b2_other_ed25519)
{
	KMS_AUTO_FREE char *p256 = p256_by(world, SIGNER_LOG);
	KMS_AUTO_FREE char *ed25519 = ed25519_by(world, OTHER_SEED, false);
	note_lines(world, p256, ed25519);
}
/* These two are good: C2SP gives the order of lines no meaning, and passes over unknown keys. */
BEND(g2_swapped)
{
	KMS_AUTO_FREE char *p256 = p256_by(world, SIGNER_LOG);
	KMS_AUTO_FREE char *ed25519 = ed25519_by(world, LOG_SEED, false);
	note_lines(world, ed25519, p256);
}
BEND(g2_one_more)
{
	KMS_AUTO_FREE char *note = note_string(world);
	note_replace(world, "%s\u2014 witness.example AAAAAAA=\n", note);
}
#define ROOT "RERERERERERERERERERERERERERERERERERERERERERE"
BEND(b2_extension)
{
	note_text(world, ORIGIN "\n40\n" ROOT "=\nmore\n");
}
BEND(b2_leading_zero)
{
	note_text(world, ORIGIN "\n040\n" ROOT "=\n");
}
BEND(b2_no_number)
{
	note_text(world, ORIGIN "\nmany\n" ROOT "=\n");
}
BEND(b2_short_root)
{
	note_text(world, ORIGIN "\n40\nRERE\n");
}
BEND(b2_two_lines)
{
	note_text(world, ORIGIN "\n40\n");
}
BEND(b2_no_text)
{
	note_text(world, "\n");
}
BEND(b2_unsigned)
{
	KMS_AUTO_BUF text = {0};
	ck_ok(tlog_checkpoint_text(&world->checkpoint, &text));
	note_replace(world, "%.*s\n", (int)text.len, (const char *)text.ptr);
}
BEND(b2_nothing)
{
	note_replace(world, "%s", " ");
}
BEND(b2_after_it)
{
	KMS_AUTO_FREE char *note = note_string(world);
	note_replace(world, "%smore\n", note);
}
BEND(b2_many_signatures)
{
	KMS_AUTO_FREE char *note = note_string(world);
	const char *line = strstr(note, "\n\n") + 2;
	static char all[8192];
	(void)snprintf(all, sizeof(all), "%s", note);
	for (int i = 0; i < TLOG_SIGNATURES_MAX; i++) {
		(void)strcat(all, line);
	}
	note_replace(world, "%s", all);
}
BEND(b2_other_signature)
{
	KMS_AUTO_FREE char *note = note_string(world);
	struct tlog_checkpoint other = world->checkpoint;
	KMS_AUTO_BUF text = {0};
	other.size++;
	ck_ok(tlog_checkpoint_text(&other, &text));
	note_replace(
		world, "%.*s\n%s", (int)text.len, (const char *)text.ptr, strstr(note, "\n\n") + 2);
}
BEND(b2_one_bad_of_two)
{
	KMS_AUTO_FREE char *note = note_string(world);
	KMS_AUTO_FREE char *bad = strdup(strstr(note, "\n\n") + 2);
	/* The same key, another signature: in the base64, past id and DER head. */
	char *at = strchr(strchr(bad, ' ') + 1, ' ') + 40;
	*at = *at == 'A' ? 'B' : 'A';
	note_replace(world, "%s%s", note, bad);
}

/* ---- 3: the certificate's entry ---- */

BEND(b3_hash)
{
	world->issue.change.u.cert_issue.hash = hash_of(1);
}
BEND(b3_id)
{
	world->issue.change.u.cert_issue.certificate = id_of(ID_OTHER);
}
BEND(b3_status)
{
	world->issue.change.u.cert_issue.final = !world->final;
}
BEND(b3_erasure)
{
	world->issue.change.u.cert_issue.erasure = id_of(ID_OTHER);
}
BEND(b3_supersedes)
{
	world->issue.change.u.cert_issue.supersedes = id_of(ID_OTHER);
}
BEND(b3_tenant)
{
	world->issue.change.tenant = id_of(ID_OTHER);
}
BEND(b3_predecessor)
{
	struct kms_id id = id_of(ID_OTHER);
	doc_set_id(world->certificate, "supersedes", &id);
}
BEND(b3_no_issue)
{
	world->issue.change.type = MODEL_CHANGE_ALARM;
	memset(&world->issue.change.u, 0, sizeof(world->issue.change.u));
	(void)strcpy(world->issue.change.u.alarm.text, "no certificate");
}
BEND(b3_log)
{
	if (world->at == world->count) {
		(void)strcpy(world->issue.head.log, "other.example/kmsd/1");
	}
}
BEND(b3_seq)
{
	world->issue.head.seq += world->at == world->count ? 1 : 0;
}
BEND(b3_index)
{
	proof_copy(world, "certificate.tlog-proof", "entries/2.tlog-proof");
}
BEND(b3_proof)
{
	struct kms_buf *proof = &file_find(world, "certificate.tlog-proof")->bytes;
	uint8_t *hash = (uint8_t *)memmem(proof->ptr, proof->len, "index ", 6) + 12;
	*hash = *hash == 'A' ? 'B' : 'A';
}
BEND(b3_no_proof)
{
	file_drop(world, "certificate.tlog-proof");
}
BEND(b3_no_entry)
{
	file_drop(world, "cert-entry.json");
}
BEND(b3_member)
{
	doc_set_text(world->certificate, "purge", "yes");
}
BEND(b3_inner_member)
{
	doc_set_text(object(world, "scope"), "purge", "yes");
}
BEND(b3_type)
{
	doc_set_text(world->certificate, "type", "physical-destruction");
}
BEND(b3_kind)
{
	doc_set_text(object(world, "scope"), "kind", "everything");
}
BEND(b3_version)
{
	doc_set_text(world->certificate, "v", "kmsd-cert/2");
}
BEND(b3_null)
{
	doc_set_null(world->certificate, "tenant");
}
BEND(b3_negative)
{
	doc_set_int(world->certificate, "requested", -1);
}
BEND(b3_origin)
{
	doc_set_text(object(world, "issuer"), "log_origin", "other.example/kmsd/1");
}

/* ---- 4: entries and chains ---- */

BEND(b4_hole)
{
	hide(world, MODEL_CHANGE_KEY_STATE, 0);
}
BEND(b4_hidden_rotation)
{
	hide(world, MODEL_CHANGE_KEY_INTENT, 2);
}
BEND(b4_no_creation)
{
	hide(world, MODEL_CHANGE_KEY_INTENT, 0);
}
BEND(b4_kprev_leaf)
{
	if (world->at == entry_find(world, MODEL_CHANGE_KEY_STATE, 0)) {
		world->entries[world->at].head.previous_leaf = hash_of(1);
	}
}
BEND(b4_kprev_seq)
{
	if (world->at == entry_find(world, MODEL_CHANGE_KEY_STATE, 0)) {
		world->entries[world->at].head.previous_seq--;
	}
}
BEND(b4_kprev_none)
{
	if (world->at == entry_find(world, MODEL_CHANGE_ERASE_RESULT, 1)) {
		world->entries[world->at].head.has_previous = false;
	}
}
BEND(b4_kprev_first)
{
	if (world->at == entry_find(world, MODEL_CHANGE_ERASE_RESULT, 1)) {
		size_t first = entry_find(world, MODEL_CHANGE_KEY_INTENT, 0);
		world->entries[world->at].head.previous_seq = first;
		world->entries[world->at].head.previous_leaf = world->entries[first].leaf;
	}
}
BEND(b4_seq)
{
	if (world->at == entry_find(world, MODEL_CHANGE_KEY_STATE, 0)) {
		world->entries[world->at].head.seq++;
	}
}
BEND(b4_log)
{
	if (world->at == entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0)) {
		(void)strcpy(world->entries[world->at].head.log, "other.example/kmsd/1");
	}
}
BEND(b4_proof)
{
	proof_copy(world, "entries/2.tlog-proof", "entries/3.tlog-proof");
}
BEND(b4_no_proof)
{
	file_drop(world, "entries/2.tlog-proof");
}
BEND(b4_orphan)
{
	file_add(world, "entries/39.tlog-proof", kms_bytes_str("x"));
}
BEND(b4_no_number)
{
	file_add(world, "entries/02.json", kms_bytes_str("{}"));
}
BEND(b4_event_leaf)
{
	struct kms_hash leaf = hash_of(1);
	doc_set_hash(row(world, "events", 3), "leaf", &leaf);
}
BEND(b4_event_type)
{
	doc_set_text(row(world, "events", 3), "type", "destroy.final");
}
BEND(b4_event_away)
{
	doc_set_int(row(world, "events", 0), "seq", 0);
}
BEND(b4_event_missing)
{
	static const int order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1};
	reorder(world, "events", order);
}
BEND(b4_event_order)
{
	static const int order[] = {0, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, -1};
	reorder(world, "events", order);
}
BEND(b4_foreign)
{
	world->entries[entry_find(world, MODEL_CHANGE_TOKEN_BOOT, 1)].hidden = false;
}
BEND(b4_tenant)
{
	entry(world, MODEL_CHANGE_KEY_STATE, 0)->tenant = id_of(ID_OTHER);
}
BEND(b4_dataset)
{
	world->entries[entry_find(world, MODEL_CHANGE_DATASET_ADD, 0)].hidden = false;
}
BEND(b4_kprev_dataset)
{
	if (world->at == entry_find(world, MODEL_CHANGE_KEY_INTENT, 2)) {
		size_t dataset = entry_find(world, MODEL_CHANGE_DATASET_ADD, 0);
		world->entries[world->at].head.previous_seq = dataset;
		world->entries[world->at].head.previous_leaf = world->entries[dataset].leaf;
	}
}
BEND(b4_created)
{
	doc_set_int(row(world, "keys", 0), "created_seq", 2);
}
BEND(b4_created_at)
{
	doc_set_int(row(world, "keys", 1), "created", 5);
}
BEND(b4_no_approval)
{
	file_drop(world, "entries/10.json");
}
BEND(b4_fork)
{
	world->checkpoint.root = hash_of(1);
}
BEND(b4_changed)
{
	KMS_AUTO_FREE char *json = NULL;
	struct model_file *file = file_find(world, "entries/5.json");
	ck_ok(kms_text(&json, "%.*s ", (int)file->bytes.len, (const char *)file->bytes.ptr));
	file_set(file, kms_bytes_str(json));
}

/* ---- 5: statements ---- */

BEND(b5_destroy_by)
{
	world->destroys[0].by = SIGNER_STRANGER;
}
BEND(b5_absence_by)
{
	world->absences[5].by = SIGNER_STRANGER;
}
BEND(b5_birth_by)
{
	world->births[2].by = SIGNER_STRANGER;
}
BEND(b5_wipe_by)
{
	world->wipes[1].by = SIGNER_STRANGER;
}
BEND(b5_other_token)
{
	world->destroys[0].by = SIGNER_TOKEN_1;
}
BEND(b5_by_ledger)
{
	world->absences[1].by = SIGNER_LOG;
}
BEND(b5_rv)
{
	world->destroys[4].statement.u.destroy.rv = 0x30;
}
BEND(b5_canary)
{
	world->destroys[3].statement.u.destroy.canary_after = true;
}
BEND(b5_no_canary)
{
	world->destroys[3].statement.u.destroy.canary_before = false;
}
BEND(b5_matched)
{
	world->absences[1].statement.u.absence.matched = 1;
}
BEND(b5_commitment)
{
	world->destroys[1].statement.u.destroy.what.commitment = hash_of(1);
}
BEND(b5_absent_commitment)
{
	world->absences[1].statement.u.absence.what.commitment = hash_of(1);
}
BEND(b5_bytes)
{
	world->destroys[1].statement.u.destroy.what.erase = hash_of(1);
}
BEND(b5_absent_bytes)
{
	world->absences[1].statement.u.absence.what.erase = hash_of(1);
}
BEND(b5_other_erasure)
{
	world->destroys[2].statement.u.destroy.what.erasure = id_of(ID_OTHER);
	world->absences[2].statement.u.absence.what.erasure = id_of(ID_OTHER);
}
BEND(b5_signed_commitment)
{
	world->erase_keks[0].commitment = hash_of(1);
}
BEND(b5_signed_version)
{
	world->erase_keks[0].version = 2;
}
BEND(b5_birth_commitment)
{
	world->births[1].statement.u.birth.commitment = hash_of(1);
}
BEND(b5_origin)
{
	(void)strcpy(world->erase.origin, "other.example/kmsd/1");
}
BEND(b5_not_wiped)
{
	world->wipes[0].statement.u.wipe.initialised = false;
}
BEND(b5_wipe_bytes)
{
	world->wipes[0].statement.u.wipe.erase = hash_of(1);
}
BEND(b5_serial)
{
	doc_set_text(row(world, "modules", 1), "serial", "serial-9");
}
BEND(b5_no_module)
{
	static const int order[] = {0, -1};
	static const int people[] = {0, 1, 2, 3, 4, 6, -1};
	reorder(world, "modules", order);
	reorder(world, "persons", people);
}
BEND(b5_sums)
{
	doc_set_int(object(world, "verification"), "canary_failed", 7);
}
BEND(b5_plan)
{
	struct kms_hash plan = hash_of(1);
	doc_set_hash(object(world, "scope"), "plan", &plan);
}
BEND(b5_subject)
{
	struct kms_id id = id_of(ID_OTHER);
	doc_set_id(object(world, "scope"), "subject", &id);
}
BEND(b5_copy_commitment)
{
	struct kms_hash commitment = hash_of(1);
	doc_set_hash(row(world, "copies", 2), "commitment", &commitment);
}

/* ---- 6: copies ---- */

BEND(b6_copy_missing)
{
	static const int order[] = {0, 1, 3, 4, 5, -1};
	reorder(world, "copies", order);
}
BEND(b6_copy_twice)
{
	static const int order[] = {0, 1, 2, 2, 3, 4, 5, -1};
	reorder(world, "copies", order);
}
BEND(b6_order)
{
	static const int order[] = {1, 0, 2, 3, 4, 5, -1};
	reorder(world, "copies", order);
}
BEND(b6_never_born)
{
	static const int order[] = {0, 1, 2, 3, 4, 5, 5, -1};
	struct kms_id id = id_of(0xbf);
	reorder(world, "copies", order);
	doc_set_id(row(world, "copies", 6), "kek", &id);
}
BEND(b6_not_removed)
{
	doc_set_null(row(world, "copies", 0), "removed_seq");
}
BEND(b6_removed_seq)
{
	doc_set_int(row(world, "copies", 0), "removed_seq", 1);
}
BEND(b6_added_seq)
{
	doc_set_int(row(world, "copies", 0), "added_seq", 1);
}
BEND(b6_provisional)
{
	doc_set_text(world->certificate, "status", "provisional");
	world->final = false;
}
BEND(b6_key_missing)
{
	static const int order[] = {0, -1};
	reorder(world, "keys", order);
}
BEND(b6_version_missing)
{
	struct doc *versions = doc_set_array(row(world, "keys", 0), "versions");
	doc_add_int(versions, 1);
}
BEND(b6_version_more)
{
	struct doc *versions = NULL;
	ck_ok(doc_get_array(row(world, "keys", 1), "versions", &versions));
	doc_add_int(versions, 2);
}
BEND(b6_destroyed_seq)
{
	doc_set_int(row(world, "keys", 0), "destroyed_seq", 1);
}
BEND(b6_destroyed_null)
{
	doc_set_null(row(world, "keys", 1), "destroyed_seq");
}
BEND(b6_hidden_birth)
{
	world->absences[0].statement.u.absence.born = 3;
}
BEND(b6_wipe_fewer)
{
	world->wipes[1].statement.u.wipe.destroyed = 2;
}
BEND(b6_wipe_order)
{
	static const int order[] = {1, 0, -1};
	reorder(world, "wipes", order);
}
BEND(b6_wipe_missing)
{
	static const int order[] = {0, -1};
	reorder(world, "wipes", order);
}
BEND(b6_wipe_seq)
{
	doc_set_int(row(world, "wipes", 0), "seq", 1);
}
BEND(b6_no_final)
{
	entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_FINAL, 0));
}
BEND(b56_no_result)
{
	entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_RESULT, 5));
}
BEND(b56_no_wipe)
{
	entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_WIPE, 1));
}

/* A copy that nobody signed for, and that lives on. */
BEND(b6_left_out)
{
	world->erase.kek_count = KEKS - 1;
}

/* ---- 7: people ---- */

BEND(b7_one_too_few)
{
	world->approval_count = 1;
}
BEND(b7_none)
{
	world->approval_count = 0;
}
BEND(b7_requester_id)
{
	world->approvals[1].principal = ID_REQUESTER;
}
BEND(b7_requester_key)
{
	world->approvals[1].by = SIGNER_REQUESTER;
}
BEND(b7_unpinned)
{
	world->approvals[1] = (struct approval){0x60, SIGNER_STRANGER, false};
}
BEND(b7_other_key)
{
	world->approvals[1].by = SIGNER_APPROVER_2;
}
BEND(b7_twice)
{
	world->approvals[1] = world->approvals[0];
}
BEND(b7_other_plan)
{
	world->approvals[0].other_bytes = true;
}
BEND(b7_stranger_key)
{
	world->approvals[0].by = SIGNER_STRANGER;
}
BEND(b7_third_bad)
{
	world->approval_count = 3;
	world->approvals[2] = (struct approval){ID_APPROVER_0 + 2, SIGNER_APPROVER_2, true};
}
BEND(b7_request_by)
{
	world->requester_by = SIGNER_STRANGER;
}
BEND(b7_foreign_ca)
{
	world->requester_cert = &foreign_cert;
}
BEND(b7_storage)
{
	world->requester_cert = &storage_cert;
	world->requester_by = SIGNER_STORAGE;
}
BEND(b7_no_cert)
{
	struct model_change *change = entry(world, MODEL_CHANGE_ERASE_REQUEST, 0);
	kms_buf_free(&change->u.erase_request.certificate);
	ck_ok(kms_buf_copy(kms_bytes_str("no certificate"), &change->u.erase_request.certificate));
}
BEND(b7_cancelled)
{
	entry_add_cancel(world);
	entry_move(world, world->count - 1, entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0));
}
BEND(b7_executor)
{
	entry(world, MODEL_CHANGE_ERASE_INTENT, 0)->actor = id_of(ID_APPROVER_0);
}
BEND(b7_named_approver)
{
	struct kms_id id = id_of(ID_OTHER);
	doc_set_id(row(world, "persons", 1), "id", &id);
}
BEND(b7_named_key)
{
	struct kms_hash spki = hash_of(1);
	doc_set_hash(row(world, "persons", 0), "spki", &spki);
}
BEND(b7_unnamed)
{
	static const int order[] = {0, 1, 3, 4, 5, 6, -1};
	reorder(world, "persons", order);
}
BEND(b7_verifier)
{
	struct kms_hash spki = hash_of(1);
	doc_set_hash(row(world, "persons", 4), "spki", &spki);
}
BEND(b7_validator)
{
	struct kms_id id = id_of(ID_OTHER);
	doc_set_id(row(world, "persons", 6), "id", &id);
}
BEND(b7_needed)
{
	doc_set_int(world->certificate, "approvals_needed", 3);
}

/* ---- 9: order and times ---- */

BEND(b9_late_approval)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_APPROVE, 1),
		entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0));
}
BEND(b9_late_request)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_REQUEST, 0),
		entry_find(world, MODEL_CHANGE_ERASE_APPROVE, 1));
}
BEND(b9_late_intent)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0),
		entry_find(world, MODEL_CHANGE_ERASE_RESULT, 1));
}
BEND(b9_early_final)
{
	entry_move(world, entry_find(world, MODEL_CHANGE_ERASE_FINAL, 0),
		entry_find(world, MODEL_CHANGE_ERASE_WIPE, 1));
}
BEND(b9_no_intent)
{
	entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0));
}
BEND(b9_two_intents)
{
	(void)entry_add_step(world, MODEL_CHANGE_ERASE_INTENT);
	entry_move(world, world->count - 1, entry_find(world, MODEL_CHANGE_ERASE_INTENT, 0));
}
BEND(b9_intent_bytes)
{
	entry(world, MODEL_CHANGE_ERASE_INTENT, 0)->u.erase_step.erase = hash_of(1);
}
/* A destruction that takes no time. */
static void begun_at(struct world *world, int kek, int64_t ms)
{
	world->destroys[kek].statement.u.destroy.begun_unix_ms =
		world->destroys[kek].statement.unix_ms = world->absences[kek].statement.unix_ms =
			ms;
}
static void wipes_begun_at(struct world *world, int64_t ms)
{
	for (int i = 0; i < TOKENS; i++) {
		world->wipes[i].statement.u.wipe.begun_unix_ms = world->wipes[i].statement.unix_ms =
			ms;
	}
}
BEND(b9_too_early)
{
	world->destroys[3].statement.u.destroy.begun_unix_ms =
		world->erase.not_before_unix_s * 1000 - 1;
}
BEND(b9_ended_first)
{
	world->destroys[3].statement.unix_ms =
		world->destroys[3].statement.u.destroy.begun_unix_ms - 1;
}
BEND(b9_begun_late)
{
	/* Its own token's others do not help it, and neither does a time before the end. */
	for (int i = 0; i < KEKS; i++) {
		begun_at(world, i, world->erase.expires_unix_s * 1000 + (i == 0 ? 0 : 1));
	}
	wipes_begun_at(world, world->erase.expires_unix_s * 1000);
}
BEND(b9_window_cut)
{
	/* By a week: all of it happened on the first day. */
	for (int i = 0; i < KEKS; i++) {
		begun_at(world, i, world->start_ms + 60000);
	}
}
BEND(b9_expired)
{
	int64_t ms = world->erase.expires_unix_s * 1000 + 1;
	for (int i = 0; i < KEKS; i++) {
		begun_at(world, i, ms);
	}
	wipes_begun_at(world, ms);
}
BEND(b9_absent_first)
{
	world->absences[2].statement.unix_ms -= 10;
}
BEND(b9_early_wipe)
{
	world->wipes[1].statement.u.wipe.begun_unix_ms = world->start_ms;
}
BEND(b9_late_wipe)
{
	/* Of the token alone that destroyed in time: another's word would do. */
	for (int i = KEKS / TOKENS; i < KEKS; i++) {
		begun_at(world, i, world->erase.expires_unix_s * 1000 + 1);
	}
	world->wipes[0].statement.u.wipe.begun_unix_ms = world->wipes[0].statement.unix_ms =
		world->erase.expires_unix_s * 1000 + 1;
}
BEND(b9_wipe_ended_first)
{
	world->wipes[0].statement.unix_ms = world->wipes[0].statement.u.wipe.begun_unix_ms - 1;
}
BEND(b9_not_before)
{
	doc_set_int(world->certificate, "not_before", world->start_ms);
}
BEND(b9_expires)
{
	doc_set_int(world->certificate, "expires", world->start_ms * 2);
}
BEND(b9_requested)
{
	doc_set_int(world->certificate, "requested", world->start_ms);
}
BEND(b9_executed)
{
	doc_set_int(world->certificate, "executed", world->start_ms);
}
BEND(b9_not_executed)
{
	doc_set_null(world->certificate, "executed");
}

/* ---- 10: the level ---- */

BEND(b10_asserted)
{
	doc_set_text(world->certificate, "claim_level", "asserted");
}
BEND(b10_evidenced)
{
	doc_set_text(world->certificate, "claim_level", "evidenced");
}
BEND(b10_invented)
{
	doc_set_text(world->certificate, "claim_level", "proven");
}
BEND(b10_plaintext)
{
	doc_set_text(object(world, "scope"), "plaintext_before", "no");
}
BEND(b10_complete)
{
	doc_set_text(world->certificate, "copies_complete", "asserted");
}
BEND(b10_purge)
{
	doc_set_text(world->certificate, "method", "purge");
}
BEND(b10_technique)
{
	doc_set_text(world->certificate, "technique", "overwrite");
}
BEND(b10_zeroization)
{
	doc_set_text(object(world, "zeroization"), "standard", "ISO/IEC 19790");
}
BEND(b10_call)
{
	doc_set_text(object(world, "zeroization"), "call", "zeroize");
}
BEND(b10_validation)
{
	doc_set_text(object(world, "validation"), "status", "accept");
}
BEND(b10_statement)
{
	doc_set_text(world->certificate, "statement", "The data is unrecoverable.");
}
BEND(b10_silent)
{
	struct doc *list = doc_set_array(world->certificate, "not_claimed");
	doc_add_text(list, fixture_not_claimed[0]);
}
BEND(b10_class)
{
	doc_set_text(row(world, "modules", 0), "class", "hsm");
}
BEND(b10_number)
{
	doc_set_text(row(world, "modules", 0), "certificate_no", "FIPS 140-3 #4711");
}
BEND(b10_master)
{
	doc_set_text(row(world, "keys", 0), "level", "master");
}
BEND(b10_bits)
{
	doc_set_int(row(world, "keys", 0), "alg_bits", 512);
}

/* ---- the table ---- */

static const struct wrong cases[] = {
	CASE(b2_stranger, CHECKPOINT, S(2)),
	CASE(b2_other_origin, CHECKPOINT, S(2)),
	CASE(b2_forged, NOTE, S(2)),
	CASE(b2_no_p256, NOTE, S(2)),
	CASE(b2_no_ed25519, NOTE, S(2)),
	CASE(b2_bad_ed25519, NOTE, S(2)),
	CASE(b2_other_ed25519, NOTE, S(2)),
	CASE(b2_extension, NOTE, S(2)),
	CASE(b2_leading_zero, NOTE, S(2)),
	CASE(b2_no_number, NOTE, S(2)),
	CASE(b2_short_root, NOTE, S(2)),
	CASE(b2_two_lines, NOTE, S(2)),
	CASE(b2_no_text, NOTE, S(2)),
	CASE(b2_unsigned, NOTE, S(2)),
	CASE(b2_nothing, NOTE, S(2)),
	CASE(b2_after_it, NOTE, S(2)),
	CASE(b2_many_signatures, NOTE, S(2)),
	CASE(b2_other_signature, NOTE, S(2)),
	CASE(b2_one_bad_of_two, NOTE, S(2)),

	CASE(b3_hash, ISSUE, S(3)),
	CASE(b3_id, ISSUE, S(3)),
	CASE(b3_status, ISSUE, S(3)),
	CASE(b3_erasure, ISSUE, S(3)),
	CASE(b3_supersedes, ISSUE, S(3)),
	CASE(b3_tenant, ISSUE, S(3)),
	CASE(b3_predecessor, CERTIFICATE, S(3)),
	CASE(b3_no_issue, ISSUE, S(3)),
	CASE(b3_log, HEAD, S(3)),
	CASE(b3_seq, HEAD, S(3)),
	CASE(b3_index, FILES, S(3)),
	CASE(b3_proof, FILES, S(3)),
	CASE(b3_no_proof, FILES, S(1) | S(3)),
	CASE(b3_no_entry, FILES, S(1) | S(3)),
	CASE(b3_member, CERTIFICATE, S(3)),
	CASE(b3_inner_member, CERTIFICATE, S(3)),
	CASE(b3_type, CERTIFICATE, S(3)),
	CASE(b3_kind, CERTIFICATE, S(3)),
	CASE(b3_version, CERTIFICATE, S(3)),
	CASE(b3_null, CERTIFICATE, S(3)),
	CASE(b3_negative, CERTIFICATE, S(3)),
	CASE(b3_origin, CERTIFICATE, S(3)),

	CASE(b4_hole, ENTRIES, S(4)),
	CASE(b4_hidden_rotation, ENTRIES, S(4)),
	CASE(b4_no_creation, ENTRIES, S(4)),
	CASE(b4_kprev_leaf, HEAD, S(4)),
	CASE(b4_kprev_seq, HEAD, S(4)),
	CASE(b4_kprev_none, HEAD, S(4)),
	CASE(b4_kprev_first, HEAD, S(4)),
	CASE(b4_kprev_dataset, HEAD, S(4)),
	CASE(b4_seq, HEAD, S(4)),
	CASE(b4_log, HEAD, S(4)),
	CASE(b4_proof, FILES, S(4)),
	CASE(b4_no_proof, FILES, S(4)),
	CASE(b4_orphan, FILES, S(4)),
	CASE(b4_no_number, FILES, S(4)),
	CASE(b4_event_leaf, CERTIFICATE, S(4)),
	CASE(b4_event_type, CERTIFICATE, S(4)),
	CASE(b4_event_away, CERTIFICATE, S(4)),
	CASE(b4_event_missing, CERTIFICATE, S(4)),
	CASE(b4_event_order, CERTIFICATE, S(4)),
	CASE(b4_foreign, ENTRIES, S(4)),
	CASE(b4_dataset, ENTRIES, S(4)),
	CASE(b4_tenant, ENTRIES, S(4)),
	CASE(b4_created, CERTIFICATE, S(4)),
	CASE(b4_created_at, CERTIFICATE, S(4)),
	CASE(b4_no_approval, FILES, S(4) | S(7)), /* one approval too few is left */
	CASE(b4_fork, CHECKPOINT, S(3) | S(4)),   /* nothing leads to another root */
	CASE(b4_changed, FILES, S(4)),

	CASE(b5_destroy_by, STATEMENTS, S(5)),
	CASE(b5_absence_by, STATEMENTS, S(5)),
	CASE(b5_birth_by, DESCRIBE, S(5)),
	CASE(b5_wipe_by, STATEMENTS, S(5)),
	CASE(b5_other_token, STATEMENTS, S(5)),
	CASE(b5_by_ledger, STATEMENTS, S(5)),
	CASE(b5_rv, STATEMENTS, S(5)),
	CASE(b5_canary, STATEMENTS, S(5)),
	CASE(b5_no_canary, STATEMENTS, S(5)),
	CASE(b5_matched, STATEMENTS, S(5)),
	CASE(b5_commitment, STATEMENTS, S(5)),
	CASE(b5_absent_commitment, STATEMENTS, S(5)),
	CASE(b5_bytes, STATEMENTS, S(5)),
	CASE(b5_absent_bytes, STATEMENTS, S(5)),
	CASE(b5_other_erasure, STATEMENTS, S(5)),
	CASE(b5_signed_commitment, DESCRIBE, S(5)),
	CASE(b5_signed_version, DESCRIBE, S(5)),
	CASE(b5_birth_commitment, DESCRIBE, S(5)),
	CASE(b5_origin, DESCRIBE, S(5)),
	CASE(b5_not_wiped, STATEMENTS, S(5)),
	CASE(b5_wipe_bytes, STATEMENTS, S(5)),
	CASE(b5_serial, CERTIFICATE, S(5)),
	CASE(b5_no_module, CERTIFICATE, S(5)),
	CASE(b5_sums, CERTIFICATE, S(5)),
	CASE(b5_plan, CERTIFICATE, S(5)),
	CASE(b5_subject, CERTIFICATE, S(5)),
	CASE(b5_copy_commitment, CERTIFICATE, S(5)),

	CASE(b6_copy_missing, CERTIFICATE, S(6)),
	CASE(b6_copy_twice, CERTIFICATE, S(6)),
	CASE(b6_order, CERTIFICATE, S(6)),
	CASE(b6_never_born, CERTIFICATE, S(5) | S(6)), /* no statement about it either */
	CASE(b6_not_removed, CERTIFICATE, S(6)),
	CASE(b6_removed_seq, CERTIFICATE, S(6)),
	CASE(b6_added_seq, CERTIFICATE, S(6)),
	CASE(b6_provisional, CERTIFICATE, S(6)),
	CASE(b6_key_missing, CERTIFICATE, S(4) | S(6)), /* its chain belongs to nothing then */
	CASE(b6_version_missing, CERTIFICATE, S(6)),
	CASE(b6_version_more, CERTIFICATE, S(6)),
	CASE(b6_destroyed_seq, CERTIFICATE, S(6)),
	CASE(b6_destroyed_null, CERTIFICATE, S(6)),
	CASE(b6_hidden_birth, STATEMENTS, S(6)),
	CASE(b6_wipe_fewer, STATEMENTS, S(6)),
	CASE(b6_wipe_order, CERTIFICATE, S(6)),
	CASE(b6_wipe_missing, CERTIFICATE, S(6)),
	CASE(b6_wipe_seq, CERTIFICATE, S(6)),

	CASE(b7_one_too_few, DESCRIBE, S(7)),
	CASE(b7_none, DESCRIBE, S(7)),
	CASE(b7_requester_id, DESCRIBE, S(7)),
	CASE(b7_requester_key, DESCRIBE, S(7)),
	CASE(b7_unpinned, DESCRIBE, S(7)),
	CASE(b7_other_key, DESCRIBE, S(7)),
	CASE(b7_twice, DESCRIBE, S(7)),
	CASE(b7_other_plan, DESCRIBE, S(7)),
	CASE(b7_stranger_key, DESCRIBE, S(7)),
	CASE(b7_third_bad, DESCRIBE, S(7)),
	CASE(b7_request_by, DESCRIBE, S(7)),
	CASE(b7_foreign_ca, DESCRIBE, S(7)),
	CASE(b7_storage, DESCRIBE, S(7)),
	CASE(b7_no_cert, ENTRIES, S(7)),
	CASE(b7_cancelled, ENTRIES, S(7)),
	CASE(b7_executor, ENTRIES, S(7)),
	CASE(b7_named_approver, CERTIFICATE, S(7)),
	CASE(b7_named_key, CERTIFICATE, S(7)),
	CASE(b7_unnamed, CERTIFICATE, S(7)),
	CASE(b7_verifier, CERTIFICATE, S(7)),
	CASE(b7_validator, CERTIFICATE, S(7)),
	CASE(b7_needed, CERTIFICATE, S(7)),

	CASE(b9_late_approval, ENTRIES, S(9)),
	CASE(b9_late_request, ENTRIES, S(9)),
	CASE(b9_late_intent, ENTRIES, S(9)),
	CASE(b9_early_final, ENTRIES, S(9)),
	CASE(b9_no_intent, ENTRIES, S(9)),
	CASE(b9_two_intents, ENTRIES, S(9)),
	CASE(b9_intent_bytes, ENTRIES, S(9)),
	CASE(b9_too_early, STATEMENTS, S(9)),
	CASE(b9_window_cut, STATEMENTS, S(9)),
	CASE(b9_expired, STATEMENTS, S(9)),
	CASE(b9_absent_first, STATEMENTS, S(9)),
	CASE(b9_early_wipe, STATEMENTS, S(9)),
	CASE(b9_late_wipe, STATEMENTS, S(9)),
	CASE(b9_wipe_ended_first, STATEMENTS, S(9)),
	CASE(b9_ended_first, STATEMENTS, S(9)),
	CASE(b9_begun_late, STATEMENTS, S(9)),
	CASE(b9_not_before, CERTIFICATE, S(9)),
	CASE(b9_expires, CERTIFICATE, S(9)),
	CASE(b9_requested, CERTIFICATE, S(9)),
	CASE(b9_executed, CERTIFICATE, S(9)),
	CASE(b9_not_executed, CERTIFICATE, S(9)),

	CASE(b10_asserted, CERTIFICATE, S(10)),
	CASE(b10_evidenced, CERTIFICATE, S(10)),
	CASE(b10_invented, CERTIFICATE, S(10)),
	CASE(b10_plaintext, CERTIFICATE, S(10)),
	CASE(b10_complete, CERTIFICATE, S(10)),
	CASE(b10_purge, CERTIFICATE, S(10)),
	CASE(b10_technique, CERTIFICATE, S(10)),
	CASE(b10_zeroization, CERTIFICATE, S(10)),
	CASE(b10_call, CERTIFICATE, S(10)),
	CASE(b10_validation, CERTIFICATE, S(10)),
	CASE(b10_statement, CERTIFICATE, S(10)),
	CASE(b10_silent, CERTIFICATE, S(10)),
	CASE(b10_class, CERTIFICATE, S(10)),
	CASE(b10_number, CERTIFICATE, S(10)),
	CASE(b10_master, CERTIFICATE, S(10)),
	CASE(b10_bits, CERTIFICATE, S(10)),
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

/* ---- verify it ---- */

START_TEST(wrong_in_a_step)
{
	expect_wrong(&cases[_i]);
}
END_TEST

/* What the checkpoint's lines may be. */
START_TEST(good_checkpoints)
{
	void (*const bends[])(struct world * world) = {g2_swapped, g2_one_more};
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		kms_err err;
		KMS_AUTO_FREE char *json = NULL;
		struct world *world = world_make(0, STAGE_NOTE, bends[i]);
		unsigned failed = failed_steps(world, &err, &json);
		ck_assert_msg(failed == 0 && kms_is_ok(err), "%zu: %#x\n%.4000s", i, failed, json);
		world_free(world);
	}
}
END_TEST

/* A trust file without the Ed25519 key: its line is one of an unknown key, whatever it says. The
 * P-256 key is as needed as before. */
START_TEST(ed25519_lines_that_are_not_pinned)
{
	const struct {
		void (*bend)(struct world *world);
		unsigned failed;
	} lines[] = {{g2_swapped, 0}, {b2_no_ed25519, 0}, {b2_bad_ed25519, 0},
		{b2_other_ed25519, 0}, {b2_forged, S(2)}, {b2_no_p256, S(2)}};
	KMS_AUTO(doc) trust = trust_doc(TRUST_NO_ED25519);
	trust_write(trust_path, trust);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		kms_err err;
		KMS_AUTO_FREE char *json = NULL;
		struct world *world = world_make(0, STAGE_NOTE, lines[i].bend);
		unsigned failed = failed_steps(world, &err, &json);
		ck_assert_msg(failed == lines[i].failed && kms_is_ok(err) == (failed == 0),
			"%zu: %#x\n%.4000s", i, failed, json);
		/* log.vkey has both keys, and says so of the one that nobody pinned */
		ck_assert_ptr_nonnull(strstr(json, "the keys in log.vkey"));
		world_free(world);
	}
	KMS_AUTO(doc) whole = trust_doc(TRUST_WHOLE);
	trust_write(trust_path, whole);
}
END_TEST

/* At least ten bundles for each step, each of which fails that step. */
START_TEST(ten_for_each_step)
{
	static const int steps[] = {2, 3, 4, 5, 6, 7, 9, 10};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		size_t alone = 0;
		for (size_t j = 0; j < CASES; j++) {
			alone += cases[j].steps == S(steps[i]) ? 1 : 0;
		}
		ck_assert_msg(alone >= 10, "step %d: %zu cases", steps[i], alone);
	}
}
END_TEST

/* What is open and said to be open is no fault; said to be closed, it is. */
static const struct {
	const char *name;
	void (*bend)(struct world *world);
	unsigned steps; /* that fail when the certificate claims to be final */
} open_cases[] = {
	{"no result", b56_no_result, S(5) | S(6)},
	{"no wipe", b56_no_wipe, S(5) | S(6)},
	{"no final entry", b6_no_final, S(6)},
};

static void (*open_bend)(struct world *world);

static void open_and_final(struct world *world)
{
	if (world->stage == STAGE_ENTRIES) {
		open_bend(world);
		world->bend_at = STAGE_CERTIFICATE;
	} else {
		claim_final(world);
	}
}

START_TEST(open_work)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO_FREE char *json_final = NULL;
	struct world *world = world_make(0, STAGE_ENTRIES, open_cases[_i].bend);
	unsigned failed = failed_steps(world, &err, &json);
	ck_assert_msg(failed == 0 && kms_is_ok(err), "%s: %#x\n%.4000s", open_cases[_i].name,
		failed, json);
	ck_assert_ptr_nonnull(strstr(json, "\"status\":\"provisional\""));
	ck_assert_int_eq(strstr(json, "1 of 6 copies are not removed yet") != NULL,
		open_cases[_i].bend == b56_no_result);
	world_free(world);
	open_bend = open_cases[_i].bend;
	world = world_make(0, STAGE_ENTRIES, open_and_final);
	failed = failed_steps(world, &err, &json_final);
	ck_assert_msg(failed == open_cases[_i].steps, "%s: %#x\n%.4000s", open_cases[_i].name,
		failed, json_final);
	world_free(world);
}
END_TEST

/* One token came back after the expiry, and another one had begun inside the window. */
static void late_token(struct world *world)
{
	for (int i = KEKS / TOKENS; i < KEKS; i++) {
		begun_at(world, i, world->erase.expires_unix_s * 1000 + 5);
	}
	world->wipes[1].statement.u.wipe.begun_unix_ms = world->wipes[1].statement.unix_ms =
		world->erase.expires_unix_s * 1000 + 5;
}

/* All was begun in time, and every kms-tokend was away before it was done. */
static void late_end(struct world *world)
{
	int64_t ms = world->erase.expires_unix_s * 1000 + 86400000;
	for (int i = 0; i < KEKS; i++) {
		world->destroys[i].statement.unix_ms = world->absences[i].statement.unix_ms = ms;
	}
	world->wipes[0].statement.unix_ms = world->wipes[1].statement.unix_ms = ms;
}

/* An interrupted destruction had removed the object already. */
static void found_gone(struct world *world)
{
	world->destroys[0].statement.u.destroy.found = false;
	world->destroys[0].statement.u.destroy.canary_before = false;
}

/* A cancellation that came after the intent changes nothing. */
static void late_cancel(struct world *world)
{
	entry_add_cancel(world);
	entry_move(world, world->count - 1, entry_find(world, MODEL_CHANGE_ERASE_RESULT, 0));
}

/* The token had keys that an earlier erasure ended. */
static void more_destroyed(struct world *world)
{
	world->wipes[0].statement.u.wipe.destroyed = 9;
}

static const struct {
	enum stage stage;
	void (*bend)(struct world *world);
} good_cases[] = {
	{STAGE_DESCRIBE, NULL},
	{STAGE_STATEMENTS, late_token},
	{STAGE_STATEMENTS, late_end},
	{STAGE_STATEMENTS, found_gone},
	{STAGE_ENTRIES, late_cancel},
	{STAGE_STATEMENTS, more_destroyed},
};

START_TEST(good_bundles)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, good_cases[_i].stage, good_cases[_i].bend);
	unsigned failed = failed_steps(world, &err, &json);
	ck_assert_msg(failed == 0 && kms_is_ok(err), "%d: %#x\n%.4000s", _i, failed, json);
	ck_assert_ptr_nonnull(strstr(json, "\"status\":\"final\""));
	ck_assert_ptr_nonnull(strstr(json, "\"claim_level\":\"recorded\""));
	ck_assert_int_eq(strstr(json, "that a test ciphertext of KEK b0b0b0b0") != NULL,
		good_cases[_i].bend == found_gone);
	world_free(world);
}
END_TEST

/* Nobody asked for wipes: what else the tokens hold is open. */
static void no_wipes(struct world *world)
{
	if (world->stage == STAGE_DESCRIBE) {
		world->erase.wipe_count = 0;
		world->bend_at = STAGE_ENTRIES;
	} else {
		entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_WIPE, 1));
		entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_WIPE, 0));
	}
}

START_TEST(a_tenant_without_wipes)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, STAGE_DESCRIBE, no_wipes);
	unsigned failed = failed_steps(world, &err, &json);
	ck_assert_msg(failed == 0 && kms_is_ok(err), "%#x\n%.4000s", failed, json);
	ck_assert_ptr_nonnull(strstr(json, "all the keys of the tenant: token a1a1a1a1"));
	ck_assert_ptr_nonnull(strstr(json, "all the keys of the tenant: token a2a2a2a2"));
	world_free(world);
}
END_TEST

/* The approvals expired, and the last KEK died under another erasure. */
static bool over_by_stranger, over_is_final;

static void went_over(struct world *world)
{
	const int last = KEKS - 1;
	if (world->stage == STAGE_STATEMENTS) {
		world->destroys[last].statement.u.destroy.what.erasure = id_of(ID_OTHER);
		world->destroys[last].statement.u.destroy.what.erase = hash_of(1);
		world->absences[last].statement.u.absence.what.erasure = id_of(ID_OTHER);
		world->absences[last].statement.u.absence.what.erase = hash_of(1);
		if (over_by_stranger) {
			world->destroys[last].by = SIGNER_STRANGER;
		}
		world->bend_at = STAGE_ENTRIES;
	} else if (world->stage == STAGE_ENTRIES) {
		b6_no_final(world);
		world->bend_at = over_is_final ? STAGE_CERTIFICATE : STAGE_ENTRIES;
	} else {
		claim_final(world);
	}
}

START_TEST(what_went_over_to_another_erasure)
{
	static const unsigned fails[] = {0, S(5), S(5) | S(6)};
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	over_by_stranger = _i == 1;
	over_is_final = _i == 2;
	struct world *world = world_make(0, STAGE_STATEMENTS, went_over);
	unsigned failed = failed_steps(world, &err, &json);
	ck_assert_msg(failed == fails[_i], "%#x\n%.4000s", failed, json);
	if (_i == 0) {
		ck_assert_ptr_nonnull(strstr(json, "\"status\":\"provisional\""));
		ck_assert_ptr_nonnull(strstr(json, "was destroyed under erasure"));
	}
	world_free(world);
}
END_TEST

/* A copy that the signed bytes leave out and that no token destroyed lives on. */
static void left_out(struct world *world)
{
	if (world->stage == STAGE_DESCRIBE) {
		b6_left_out(world);
		world->bend_at = STAGE_ENTRIES;
	} else if (world->stage == STAGE_ENTRIES) {
		b56_no_result(world);
		world->bend_at = STAGE_CERTIFICATE;
	} else {
		claim_final(world);
	}
}

START_TEST(a_copy_left_out_of_the_signed_bytes)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, STAGE_DESCRIBE, left_out);
	unsigned failed = failed_steps(world, &err, &json);
	ck_assert_msg(failed == (S(5) | S(6)), "%#x\n%.4000s", failed, json);
	world_free(world);
}
END_TEST

/* ---- attacks, numbered as in docs/threat-model.md ---- */

/* 3: the operator has kmsd, the ledger's and the manifest's key, and not the tokens' daemons. */
static void own_statements(struct world *world)
{
	for (int i = 0; i < KEKS; i++) {
		world->destroys[i].by = world->absences[i].by = SIGNER_STRANGER;
	}
}

static void statements_of_another_erasure(struct world *world)
{
	for (int i = 0; i < KEKS; i++) {
		world->destroys[i].statement.u.destroy.what.erasure = id_of(ID_OTHER);
		world->destroys[i].statement.u.destroy.what.erase = hash_of(1);
		world->absences[i].statement.u.absence.what.erasure = id_of(ID_OTHER);
		world->absences[i].statement.u.absence.what.erase = hash_of(1);
	}
}

static void key_not_destroyed(struct world *world)
{
	open_bend = b56_no_result;
	open_and_final(world);
}

/* 7: the ledger has the result, the bundle has not. */
static void result_left_out(struct world *world)
{
	hide(world, MODEL_CHANGE_ERASE_RESULT, 2);
}

/* 9: another key died, which had the id of the one that was to go. */
static void another_key_destroyed(struct world *world)
{
	world->destroys[0].statement.u.destroy.what.commitment = hash_of(1);
	world->absences[0].statement.u.absence.what.commitment = hash_of(1);
}

static const struct {
	const char *name;
	enum stage stage;
	void (*bend)(struct world *world);
	unsigned steps;
} attacks[] = {
	{"3: statements by a key that is not pinned", STAGE_STATEMENTS, own_statements, S(5)},
	{"3: statements of another erasure", STAGE_STATEMENTS, statements_of_another_erasure, S(5)},
	{"3: a key that was not destroyed", STAGE_ENTRIES, key_not_destroyed, S(5) | S(6)},
	{"7: a result left out", STAGE_ENTRIES, result_left_out, S(4) | S(5) | S(6)},
	{"9: another key destroyed", STAGE_STATEMENTS, another_key_destroyed, S(5)},
};

START_TEST(attack_3_7_9_bundles_are_refused)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, attacks[_i].stage, attacks[_i].bend);
	unsigned failed = failed_steps(world, &err, &json);
	ck_assert_msg(failed == attacks[_i].steps, "%s: steps %#x failed, not %#x",
		attacks[_i].name, failed, attacks[_i].steps);
	ck_assert(kms_is(err, KMS_CODE_INTEGRITY));
	world_free(world);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify_steps");
	TCase *tcase = tcase_create("verify_steps");
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, set_up, bundle_keys_drop);
	tcase_add_loop_test(
		tcase, good_bundles, 0, (int)(sizeof(good_cases) / sizeof(good_cases[0])));
	tcase_add_loop_test(tcase, open_work, 0, 3);
	tcase_add_test(tcase, a_tenant_without_wipes);
	tcase_add_loop_test(tcase, what_went_over_to_another_erasure, 0, 3);
	tcase_add_test(tcase, a_copy_left_out_of_the_signed_bytes);
	tcase_add_test(tcase, good_checkpoints);
	tcase_add_test(tcase, ed25519_lines_that_are_not_pinned);
	tcase_add_test(tcase, ten_for_each_step);
	tcase_add_loop_test(tcase, attack_3_7_9_bundles_are_refused, 0,
		(int)(sizeof(attacks) / sizeof(attacks[0])));
	tcase_add_loop_test(tcase, wrong_in_a_step, 0, CASES);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
