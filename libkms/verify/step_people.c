/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 7: who asked, who approved, and that none of them is another. Approvers count by the keys
 * that the trust file pins; the requester by the certificate of the tenant's CA, where that is
 * pinned.
 */
#include "bundle_int.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- the requester ---- */

static kms_err check_issuer(struct bundle *bundle, const struct crypto_cert *cert)
{
	bool storage = false;
	KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &storage));
	if (storage) {
		step_fail(bundle, 7, "the requester's certificate is that of a storage system",
			"請求者の証明書はストレージ装置のもの");
	}
	if (bundle->trust->tenant_ca == NULL) {
		bundle_note(bundle,
			"that the requester's certificate is of the tenant's CA: the trust file "
			"does not pin it",
			"請求者の証明書がテナントの認証局のものであること：信頼ファイルにない");
		return KMS_OK;
	}
	kms_err err = crypto_cert_check(
		cert, bundle->trust->tenant_ca, bundle->evidence->request->head.unix_ms / 1000);
	if (kms_is(err, KMS_CODE_DENIED)) {
		step_fail(bundle, 7,
			"the requester's certificate was not valid under the pinned CA at the "
			"request",
			"請求者の証明書は請求の時点で固定した認証局の有効な証明書ではない");
		return KMS_OK;
	}
	return err;
}

static const struct cert_person *person_of(
	const struct certificate *c, const char *role, const struct kms_id *id)
{
	for (size_t i = 0; i < c->person_count; i++) {
		const struct cert_person *person = &c->persons[i];
		bool same = id == NULL ? !person->has_id
				       : person->has_id && kms_id_equal(&person->id, id);
		if (strcmp(person->role, role) == 0 && same) {
			return person;
		}
	}
	return NULL;
}

static struct why role_words(const char *role)
{
	static const struct why words[] = {{"requester", "請求者"}, {"approver", "承認者"},
		{"executor", "実行者"}, {"verifier", "検証者"}};
	size_t i = 0;
	while (i < 3 && strcmp(words[i].en, role) != 0) {
		i++;
	}
	return words[i];
}

/* The certificate's row for somebody; spki NULL: any. */
static void check_person(struct bundle *bundle, const char *role, const struct kms_id *id,
	const struct kms_hash *spki)
{
	const struct cert_person *person = person_of(bundle->certificate, role, id);
	if (person == NULL ||
		(spki != NULL && (!person->has_spki || !kms_hash_equal(&person->spki, spki)))) {
		step_fail_why(bundle, 7, role_words(role),
			"the certificate names another person, or with another key",
			"証明書の人またはその鍵が記録と異なる");
	}
}

static kms_err check_requester(struct bundle *bundle, struct kms_hash *ret_spki)
{
	const struct model_change *change = &bundle->evidence->request->change;
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_BUF spki = {0};
	kms_err err =
		crypto_cert_parse_der(kms_buf_bytes(&change->u.erase_request.certificate), &cert);
	if (!kms_is_ok(err)) {
		step_fail(bundle, 7, "the request holds no certificate", "請求に証明書がない");
		return kms_is(err, KMS_CODE_NO_MEMORY) ? err : KMS_OK;
	}
	KMS_TRY(crypto_cert_spki(cert, &spki));
	KMS_TRY(crypto_cert_spki_hash(cert, ret_spki));
	if (!kms_is_ok(crypto_verify_raw(kms_buf_bytes(&spki), bundle->evidence->erase_bytes,
		    change->u.erase_request.signature))) {
		step_fail(bundle, 7,
			"the requester's signature is not by the certificate in the request",
			"請求者の署名は請求の証明書によるものではない");
	}
	if (!kms_id_equal(&change->actor, &bundle->evidence->erase->requester)) {
		step_fail(bundle, 7, "somebody else than the requester of the signed bytes sent it",
			"署名対象の請求者とは別の者が請求した");
	}
	check_person(bundle, "requester", &bundle->evidence->erase->requester, ret_spki);
	return check_issuer(bundle, cert);
}

/* ---- approvals ---- */

struct approvals {
	size_t count; /* approvals that are good */
	size_t all;
	const struct model_signed *rows[LIMIT_APPROVALS]; /* all of them */
};

static struct why wrong_approval(const struct bundle *bundle, const struct model_signed *by,
	const struct kms_hash *requester_spki)
{
	const struct evidence *evidence = bundle->evidence;
	struct kms_hash hash;
	struct kms_bytes spki = kms_buf_bytes(&by->spki);
	if (kms_id_equal(&by->principal, &evidence->erase->requester) ||
		!kms_is_ok(crypto_sha256_one(spki, &hash)) ||
		kms_hash_equal(&hash, requester_spki)) {
		return WHY("it is the requester's", "請求者自身のもの");
	}
	if (bundle->trust->approvals_needed > 0) {
		const struct trust_approver *pinned = trust_approver(bundle->trust, &by->principal);
		if (pinned == NULL) {
			return WHY("this approver is not pinned", "この承認者は固定されていない");
		}
		if (!kms_bytes_equal(spki, kms_buf_bytes(&pinned->spki))) {
			return WHY("another key than this approver's pinned one",
				"この承認者の固定した鍵と異なる");
		}
	}
	return kms_is_ok(crypto_verify_raw(spki, evidence->erase_bytes, by->signature))
		       ? WHY_NOT
		       : WHY("its signature is not over these bytes",
				 "署名がこの対象のものではない");
}

static struct why seen_before(const struct approvals *approvals, const struct model_signed *by)
{
	for (size_t i = 0; i < approvals->all; i++) {
		const struct model_signed *other = approvals->rows[i];
		if (kms_id_equal(&other->principal, &by->principal)) {
			return WHY("this approver stands there twice", "同じ承認者が重複している");
		}
		if (kms_bytes_equal(kms_buf_bytes(&other->spki), kms_buf_bytes(&by->spki))) {
			return WHY("another approver has the same key", "別の承認者と同じ鍵である");
		}
	}
	return WHY_NOT;
}

static kms_err check_approval(struct bundle *bundle, const struct proven *entry,
	const struct kms_hash *requester_spki, struct approvals *approvals)
{
	const struct model_signed *by = &entry->change.u.erase_signed.by;
	struct kms_hash spki;
	struct why wrong = approvals->all == LIMIT_APPROVALS
				   ? WHY("there are too many", "数が上限を超える")
				   : wrong_approval(bundle, by, requester_spki);
	wrong = wrong.en != NULL ? wrong : seen_before(approvals, by);
	if (wrong.en != NULL) {
		char id[KMS_ID_TEXT];
		step_fail_why(bundle, 7, wrong, "the approval of %s at entry %llu does not count",
			"%s の承認（記録 %llu 番）は無効", kms_id_text(&by->principal, id),
			(ull)entry->seq);
	} else {
		approvals->count++;
	}
	if (approvals->all < LIMIT_APPROVALS) {
		approvals->rows[approvals->all++] = by;
	}
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&by->spki), &spki));
	check_person(bundle, "approver", &by->principal, &spki);
	return KMS_OK;
}

static bool is_ours(const struct bundle *bundle, const struct proven *entry)
{
	const struct kms_id *erasure = evidence_erasure(entry);
	return erasure != NULL && kms_id_equal(erasure, &bundle->certificate->erasure);
}

static kms_err check_approvals(
	struct bundle *bundle, const struct kms_hash *requester_spki, struct approvals *approvals)
{
	const struct evidence *evidence = bundle->evidence;
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		if (is_ours(bundle, entry) && entry->change.type == MODEL_CHANGE_ERASE_APPROVE) {
			KMS_TRY(check_approval(bundle, entry, requester_spki, approvals));
		}
	}
	return KMS_OK;
}

/* Was anything done on their word? */
static bool was_executed(const struct bundle *bundle)
{
	bool done = bundle->evidence->intent != NULL || bundle->certificate->final;
	for (size_t i = 0; i < bundle->evidence->count; i++) {
		const struct proven *entry = bundle->evidence->entries[i];
		done = done || (is_ours(bundle, entry) &&
				       (entry->change.type == MODEL_CHANGE_ERASE_RESULT ||
					       entry->change.type == MODEL_CHANGE_ERASE_WIPE));
	}
	return done;
}

static void check_count(struct bundle *bundle, const struct approvals *approvals)
{
	const struct certificate *c = bundle->certificate;
	uint64_t needed = bundle->trust->approvals_needed;
	if (needed == 0) {
		step_not_shown(bundle, 7,
			"the trust file pins no approvers: who they are, and how many must sign, "
			"is "
			"open",
			"信頼ファイルに承認者がない：承認者とその必要人数は不明");
	}
	needed = c->has_needed && c->needed > needed ? c->needed : needed;
	if (approvals->count >= needed) {
		return;
	}
	if (was_executed(bundle)) {
		step_fail(bundle, 7, "%zu approvals count, and %llu are needed",
			"有効な承認は %zu 件、必要なのは %llu 件", approvals->count, (ull)needed);
	} else {
		step_not_shown(bundle, 7, "%zu approvals of %llu, and nothing is executed yet",
			"承認は %zu 件（必要 %llu 件）、まだ実行されていない", approvals->count,
			(ull)needed);
	}
}

static void check_cancel(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		if (is_ours(bundle, entry) && entry->change.type == MODEL_CHANGE_ERASE_CANCEL &&
			(evidence->intent == NULL || entry->seq < evidence->intent->seq)) {
			step_fail(bundle, 7, "it was cancelled at entry %llu, before its execution",
				"実行前に取り消されている（記録 %llu 番）", (ull)entry->seq);
		}
	}
}

/* ---- the certificate's list of persons ---- */

static size_t count_role(const struct certificate *c, const char *role)
{
	size_t count = 0;
	for (size_t i = 0; i < c->person_count; i++) {
		count += strcmp(c->persons[i].role, role) == 0;
	}
	return count;
}

/* Requester, approvers, executor, verifiers, validator: in that order, and no other role. */
static bool in_order(const struct certificate *c)
{
	static const char *const roles[] = {
		"requester", "approver", "executor", "verifier", "validator"};
	enum { ROLES = sizeof(roles) / sizeof(roles[0]) };
	size_t role = 0;
	for (size_t i = 0; i < c->person_count; i++) {
		while (role < ROLES && strcmp(roles[role], c->persons[i].role) != 0) {
			role++;
		}
	}
	return role < ROLES;
}

static kms_err check_verifiers(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	for (size_t i = 0; i < c->module_count; i++) {
		const struct trust_token *token = trust_find(bundle->trust, &c->modules[i].token);
		struct kms_hash spki;
		if (token == NULL) {
			check_person(bundle, "verifier", &c->modules[i].token, NULL);
			continue;
		}
		KMS_TRY(crypto_sha256_one(
			(struct kms_bytes){token->statement.spki, token->statement.spki_len},
			&spki));
		check_person(bundle, "verifier", &token->id, &spki);
	}
	return KMS_OK;
}

/* Who executes must not be one of those who approve; and a kms-tokend is no person at all. */
static void check_executor(struct bundle *bundle, const struct approvals *approvals)
{
	const struct kms_id *executor = &bundle->evidence->intent->change.actor;
	bool distinct = true;
	for (size_t i = 0; i < approvals->all; i++) {
		distinct = distinct && !kms_id_equal(&approvals->rows[i]->principal, executor);
	}
	if (!distinct || kms_id_is_zero(executor)) {
		step_fail(bundle, 7, "the executor is an approver, or nobody",
			"実行者が承認者であるか、不明である");
	}
	check_person(bundle, "executor", executor, NULL);
	bundle_note(bundle, "with which certificate the executor was registered",
		"実行者がどの証明書で登録されていたか");
}

static kms_err check_persons(struct bundle *bundle, const struct approvals *approvals)
{
	const struct certificate *c = bundle->certificate;
	bool executed = bundle->evidence->intent != NULL;
	size_t executors = executed ? 1 : 0;
	size_t verifiers = executed ? c->module_count : 0;
	bool counts = count_role(c, "requester") == 1 &&
		      count_role(c, "approver") == approvals->all &&
		      count_role(c, "executor") == executors &&
		      count_role(c, "verifier") == verifiers && count_role(c, "validator") == 1 &&
		      c->person_count == 2 + approvals->all + executors + verifiers;
	if (!counts) {
		step_fail(bundle, 7, "the certificate names more or fewer people than the entries",
			"証明書の人数が記録と合わない");
	}
	if (!in_order(c)) {
		step_fail(bundle, 7, "the certificate's people are not in their order",
			"証明書の人の順序が正しくない");
	}
	const struct cert_person *validator = person_of(c, "validator", NULL);
	if (validator == NULL || validator->has_spki) {
		step_fail(bundle, 7, "the certificate names a validator, and nobody validated it",
			"証明書に検証承認者が載っているが、その記録はない");
	}
	if (!executed) {
		return KMS_OK;
	}
	check_executor(bundle, approvals);
	return check_verifiers(bundle);
}

kms_err step_people(struct bundle *bundle)
{
	struct kms_hash requester_spki = {{0}};
	struct approvals approvals = {0};
	if (bundle->certificate == NULL || bundle->evidence->erase == NULL) {
		step_not_shown(bundle, 7,
			"without certificate and request there is nothing to show",
			"証明書と請求がないため、示すものがない");
		return KMS_OK;
	}
	KMS_TRY(check_requester(bundle, &requester_spki));
	KMS_TRY(check_approvals(bundle, &requester_spki, &approvals));
	check_count(bundle, &approvals);
	check_cancel(bundle);
	return check_persons(bundle, &approvals);
}
