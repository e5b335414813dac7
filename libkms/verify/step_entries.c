/* SPDX-License-Identifier: Apache-2.0 */
/* Steps 3 and 4: the certificate and every entry are leaves of the ledger, and chains are whole. */
#include "bundle_int.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- one entry is in the ledger ---- */

/* What is wrong with its proof. */
static struct why wrong_proof(const struct bundle *bundle, const struct proven *entry)
{
	uint64_t index;
	struct tlog_proof proof;
	struct kms_bytes note;
	if (entry->proof == NULL) {
		return WHY("it has no proof", "証明がない");
	}
	if (!kms_is_ok(
		    tlog_proof_parse(kms_buf_bytes(&entry->proof->bytes), &index, &proof, &note))) {
		return WHY("its proof is not of that form", "証明の形式が正しくない");
	}
	if (!kms_bytes_equal(note, kms_buf_bytes(&bundle->checkpoint_file->bytes))) {
		return WHY("its proof is under another checkpoint",
			"別のチェックポイントの証明である");
	}
	if (index != entry->seq) {
		return WHY("its proof is of another index", "別の番号の証明である");
	}
	return kms_is_ok(tlog_check_inclusion(&entry->leaf, index, bundle->checkpoint.size, &proof,
		       &bundle->checkpoint.root))
		       ? WHY_NOT
		       : WHY("its proof does not lead to the checkpoint's root",
				 "証明がチェックポイントの根に至らない");
}

static void check_proven(struct bundle *bundle, int step, const struct proven *entry)
{
	const char *name = entry->file->name;
	if (!entry->read) {
		step_fail(bundle, step, "%s is not an entry", "%s は記録ではない", name);
		return;
	}
	if (entry->head.seq != entry->seq) {
		step_fail(bundle, step, "%s says that it is entry %llu",
			"%s は自らを %llu 番の記録と述べている", name, (ull)entry->head.seq);
	}
	if (strcmp(entry->head.log, bundle->trust->origin) != 0) {
		step_fail(bundle, step, "%s is of the log %s", "%s は台帳 %s のもの", name,
			entry->head.log);
	}
	struct why wrong = bundle->has_checkpoint ? wrong_proof(bundle, entry) : WHY_NOT;
	if (wrong.en != NULL) {
		step_fail_why(bundle, step, wrong, "%s is not shown to be in the ledger",
			"%s：台帳にあることが示されない", name);
	}
}

static void without_checkpoint(struct bundle *bundle, int step)
{
	if (!bundle->has_checkpoint) {
		step_not_shown(bundle, step, "without a checkpoint nothing is in the ledger",
			"チェックポイントがないため、台帳にあることは示されない");
	}
}

/* ---- 3: the certificate ---- */

static void check_claims(struct bundle *bundle, const struct proven *issue)
{
	const struct certificate *c = bundle->certificate;
	const struct kms_id *supersedes = &issue->change.u.cert_issue.supersedes;
	bool same = kms_id_equal(&c->id, &issue->change.u.cert_issue.certificate) &&
		    kms_id_equal(&c->erasure, &issue->change.u.cert_issue.erasure) &&
		    kms_id_equal(&c->tenant, &issue->change.tenant) &&
		    c->final == issue->change.u.cert_issue.final &&
		    c->has_supersedes == !kms_id_is_zero(supersedes) &&
		    (!c->has_supersedes || kms_id_equal(&c->supersedes, supersedes));
	if (!same) {
		step_fail(bundle, 3,
			"cert-entry.json says another id, erasure, tenant, status or predecessor "
			"than the certificate",
			"cert-entry.json の番号、消去、テナント、状態または前版が証明書と異なる");
	}
	if (strcmp(c->log_origin, bundle->trust->origin) != 0) {
		step_fail(bundle, 3,
			"the certificate's issuer keeps the log %s, not the pinned one",
			"証明書の発行者の台帳は %s であり、固定した台帳ではない", c->log_origin);
	}
}

static kms_err check_hash(struct bundle *bundle, const struct proven *issue)
{
	const struct model_file *file = folder_find(bundle->folder, "certificate.json");
	struct kms_hash hash;
	if (file == NULL) {
		return KMS_OK; /* said below */
	}
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&file->bytes), &hash));
	if (!kms_hash_equal(&hash, &issue->change.u.cert_issue.hash)) {
		step_fail(bundle, 3, "cert-entry.json holds the hash of another certificate",
			"cert-entry.json のハッシュは別の証明書のもの");
	}
	return KMS_OK;
}

kms_err step_issue(struct bundle *bundle)
{
	const struct proven *issue = bundle->evidence->issue;
	without_checkpoint(bundle, 3);
	if (bundle->certificate == NULL) {
		const char *member = bundle->certificate_member;
		step_fail_why(bundle, 3, bundle->certificate_problem,
			"certificate.json is not a certificate%s%s",
			"certificate.json は証明書ではない%s%s", member[0] == '\0' ? "" : ", ",
			member);
	}
	if (issue == NULL) {
		step_fail(bundle, 3, "there is no cert-entry.json", "cert-entry.json がない");
		return KMS_OK;
	}
	check_proven(bundle, 3, issue);
	if (!issue->read) {
		return KMS_OK;
	}
	if (issue->change.type != MODEL_CHANGE_CERT_ISSUE) {
		step_fail(bundle, 3, "cert-entry.json is a %s", "cert-entry.json は %s である",
			record_change_text(&issue->change));
		return KMS_OK;
	}
	KMS_TRY(check_hash(bundle, issue));
	if (bundle->certificate != NULL) {
		check_claims(bundle, issue);
	}
	return KMS_OK;
}

/* ---- 4: entries ---- */

static bool is_about(const struct bundle *bundle, const struct proven *entry)
{
	const struct certificate *c = bundle->certificate;
	const struct kms_id *erasure = evidence_erasure(entry);
	return entry == bundle->evidence->request ||
	       (entry->read && entry->change.type == MODEL_CHANGE_LEASE_RECEIPT) || /* step 6 */
	       (erasure != NULL && kms_id_equal(erasure, &c->erasure));
}

static bool in_events(const struct certificate *c, uint64_t seq)
{
	for (size_t i = 0; i < c->event_count; i++) {
		if (c->events[i].seq == seq) {
			return true;
		}
	}
	return false;
}

/* Of this tenant, and there for a reason. */
static void check_place(struct bundle *bundle, const struct proven *entry)
{
	const struct certificate *c = bundle->certificate;
	if (!entry->read) {
		return;
	}
	if (!kms_id_equal(&entry->change.tenant, &c->tenant)) {
		step_fail(bundle, 4, "%s is of another tenant", "%s は別のテナントのもの",
			entry->file->name);
	}
	bool about = is_about(bundle, entry);
	bool chained = entry->has_key && certificate_key(c, &entry->key) != NULL;
	if (about && !in_events(c, entry->seq)) {
		step_fail(bundle, 4, "%s is of this erasure and not among the events",
			"%s はこの消去の記録だが、経過に載っていない", entry->file->name);
	}
	if (!about && !chained) {
		step_fail(bundle, 4, "%s has nothing to do with this erasure",
			"%s はこの消去と関係がない", entry->file->name);
	}
}

static void check_event(struct bundle *bundle, const struct cert_event *event)
{
	const struct proven *entry = evidence_entry(bundle->evidence, event->seq);
	if (entry == NULL) {
		step_fail(bundle, 4, "entry %llu (%s) of the events is not in the bundle",
			"経過の記録 %llu 番（%s）がない", (ull)event->seq, event->type);
		return;
	}
	bool same = entry->read && kms_hash_equal(&entry->leaf, &event->leaf) &&
		    strcmp(record_change_text(&entry->change), event->type) == 0 &&
		    is_about(bundle, entry);
	if (!same) {
		step_fail(bundle, 4, "entry %llu is not the %s that the events name",
			"記録 %llu 番は経過に載っている %s ではない", (ull)event->seq, event->type);
	}
}

/* ---- a key's chain ---- */

static bool is_first(const struct proven *entry)
{
	return !entry->head.has_previous && entry->change.type == MODEL_CHANGE_KEY_INTENT &&
	       entry->change.u.key_intent.version == 1;
}

static void check_link(struct bundle *bundle, const char *key, const struct proven *before,
	const struct proven *entry)
{
	if (before == NULL && !is_first(entry)) {
		step_fail(bundle, 4,
			"key %s: entry %llu is not its creation, and is the first here",
			"鍵 %s：最初の記録 %llu 番が生成の記録ではない", key, (ull)entry->seq);
	}
	bool linked = before == NULL ||
		      (entry->head.has_previous && entry->head.previous_seq == before->seq &&
			      kms_hash_equal(&entry->head.previous_leaf, &before->leaf));
	if (!linked) {
		step_fail(bundle, 4, "key %s: entry %llu does not follow entry %llu",
			"鍵 %s：記録 %llu 番は記録 %llu 番に続いていない", key, (ull)entry->seq,
			(ull)before->seq);
	}
}

static void check_chain(struct bundle *bundle, const struct cert_key *key)
{
	const struct evidence *evidence = bundle->evidence;
	const struct proven *before = NULL;
	const struct proven *first = NULL;
	char text[KMS_ID_TEXT];
	(void)kms_id_text(&key->id, text);
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		if (entry->read && entry->has_key && kms_id_equal(&entry->key, &key->id)) {
			check_link(bundle, text, before, entry);
			first = first == NULL ? entry : first;
			before = entry;
		}
	}
	if (first == NULL) {
		step_fail(bundle, 4, "key %s: none of its entries is here",
			"鍵 %s：記録が一つもない", text);
		return;
	}
	if (first->seq != key->created_seq || first->head.unix_ms != key->created) {
		step_fail(bundle, 4,
			"key %s: entry %llu is not the creation that the certificate "
			"names",
			"鍵 %s：記録 %llu 番は証明書の述べる生成の記録ではない", text,
			(ull)first->seq);
	}
}

/* Nothing lies in entries/ but entries and their proofs. */
static void check_files(struct bundle *bundle)
{
	static const char folder[] = "entries/";
	size_t files = 0, known = 0;
	for (size_t i = 0; i < bundle->folder->count; i++) {
		const char *name = bundle->folder->files[i].name;
		files += strncmp(name, folder, sizeof(folder) - 1) == 0;
	}
	for (size_t i = 0; i < bundle->evidence->count; i++) {
		known += bundle->evidence->entries[i]->proof == NULL ? 1 : 2;
	}
	if (files != known) {
		step_fail(bundle, 4,
			"entries holds %zu files that are no entry and no proof of one",
			"entries に記録でも証明でもないファイルが %zu 個ある", files - known);
	}
}

static void check_against_certificate(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	for (size_t i = 0; i < bundle->evidence->count; i++) {
		check_place(bundle, bundle->evidence->entries[i]);
	}
	for (size_t i = 0; i < c->event_count; i++) {
		check_event(bundle, &c->events[i]);
		if (i > 0 && c->events[i].seq <= c->events[i - 1].seq) {
			step_fail(bundle, 4, "the events are not in order at entry %llu",
				"経過が記録 %llu 番で順序どおりでない", (ull)c->events[i].seq);
		}
	}
	for (size_t i = 0; i < c->key_count; i++) {
		check_chain(bundle, &c->keys[i]);
	}
	if (bundle->evidence->request == NULL) {
		step_fail(bundle, 4, "the request of this erasure is not in the bundle",
			"この消去の請求の記録がない");
	}
}

kms_err step_entries(struct bundle *bundle)
{
	without_checkpoint(bundle, 4);
	check_files(bundle);
	for (size_t i = 0; i < bundle->evidence->count; i++) {
		check_proven(bundle, 4, bundle->evidence->entries[i]);
	}
	if (bundle->certificate == NULL) {
		step_not_shown(bundle, 4, "without a certificate no entry belongs to it",
			"証明書がないため、記録との対応は示されない");
	} else {
		check_against_certificate(bundle);
	}
	return KMS_OK;
}
