/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 5: what the tokens' own daemons signed. Births, destructions, absences and wipes count only
 * under a statement key that the trust file pins, and only about these very KEKs and bytes.
 */
#include "bundle_int.h"

#include <string.h>

typedef unsigned long long ull;

/* Who is spoken of, in a reason. */
struct name {
	char token[KMS_ID_TEXT], kek[KMS_ID_TEXT];
};

static struct name name_of(const struct kms_id *token, const struct kms_id *kek)
{
	struct name name;
	(void)kms_id_text(token, name.token);
	(void)kms_id_text(kek, name.kek);
	return name;
}

/* ---- whose word ---- */

static bool is_word_of(const struct trust_token *token, const struct kms_buf *statement)
{
	struct format_statement ignored;
	return kms_is_ok(format_statement_verify(kms_buf_bytes(statement),
		(struct kms_bytes){token->statement.spki, token->statement.spki_len}, &ignored));
}

static bool says_who(const struct bundle *bundle, const struct format_statement *statement,
	const struct kms_id *token)
{
	return kms_id_equal(&statement->token, token) &&
	       kms_id_equal(&statement->tenant, &bundle->certificate->tenant);
}

/* ---- birth ---- */

static bool is_birth_of(const struct bundle *bundle, const struct evidence_birth *birth,
	const struct format_erase_kek *kek)
{
	const struct format_birth *said = &birth->statement.u.birth;
	return birth->read && says_who(bundle, &birth->statement, &kek->token) &&
	       kms_id_equal(&said->kek, &kek->kek) && kms_id_equal(&said->key, &kek->key) &&
	       said->version == kek->version && kms_hash_equal(&said->commitment, &kek->commitment);
}

static void check_birth(
	struct bundle *bundle, const struct trust_token *token, const struct format_erase_kek *kek)
{
	const struct evidence_birth *birth =
		evidence_birth(bundle->evidence, &kek->token, &kek->kek);
	struct name name = name_of(&kek->token, &kek->kek);
	if (birth == NULL) {
		step_fail(bundle, 5, "KEK %s in token %s: no birth statement",
			"KEK %s（トークン %s）：生成の署名がない", name.kek, name.token);
	} else if (!is_birth_of(bundle, birth, kek)) {
		step_fail(bundle, 5,
			"KEK %s in token %s: its birth statement names another key, version or "
			"commitment",
			"KEK %s（トークン %s）：生成の署名の鍵、版またはコミットメントが異なる",
			name.kek, name.token);
	} else if (!is_word_of(token, &birth->birth->statement)) {
		step_fail(bundle, 5,
			"KEK %s in token %s: its birth statement is not the word of that token",
			"KEK %s（トークン %s）：生成の署名がそのトークンのものではない", name.kek,
			name.token);
	}
}

/* ---- destruction and absence ---- */

/* Does its destruction have to be by the word of this erasure's people? Else what was left when
 * their approvals expired went over to another one, and the certificate cannot be final. */
static bool is_by_others(const struct bundle *bundle, const struct evidence_result *result)
{
	return !bundle->certificate->final &&
	       !kms_id_equal(&result->erasure, &bundle->certificate->erasure);
}

/* Both statements are about this KEK, and about one erasure. */
static bool is_about(const struct bundle *bundle, const struct evidence_result *result,
	const struct format_erase_kek *kek, const struct format_erased *what)
{
	bool ours = evidence_erases(bundle->evidence->erase, &kek->token, &kek->kek) &&
		    !is_by_others(bundle, result);
	return kms_id_equal(&what->kek, &kek->kek) && kms_id_equal(&what->key, &kek->key) &&
	       what->version == kek->version &&
	       kms_hash_equal(&what->commitment, &kek->commitment) &&
	       kms_id_equal(&what->erasure, &result->erasure) &&
	       (!ours || (kms_id_equal(&what->erasure, &bundle->certificate->erasure) &&
				 kms_hash_equal(&what->erase, &bundle->evidence->erase_hash)));
}

static bool both_about(const struct bundle *bundle, const struct evidence_result *result,
	const struct format_erase_kek *kek)
{
	const struct format_erased *destroyed = &result->destroy.u.destroy.what;
	const struct format_erased *absent = &result->absence.u.absence.what;
	return says_who(bundle, &result->destroy, &kek->token) &&
	       says_who(bundle, &result->absence, &kek->token) &&
	       is_about(bundle, result, kek, destroyed) && is_about(bundle, result, kek, absent) &&
	       kms_hash_equal(&destroyed->erase, &absent->erase);
}

/* A good destruction looks like this. */
static struct why wrong_destroy(const struct format_destroy *destroy)
{
	if (destroy->rv != 0) {
		return WHY("C_DestroyObject failed", "C_DestroyObject が失敗した");
	}
	if (destroy->canary_after) {
		return WHY("the test ciphertext still opened afterwards",
			"試験用の暗号文が破棄後も復号できた");
	}
	if (destroy->found && !destroy->canary_before) {
		return WHY("the test ciphertext was not seen to open before",
			"試験用の暗号文が破棄前に復号できたことが示されない");
	}
	return WHY_NOT;
}

static struct why wrong_result(const struct bundle *bundle, const struct trust_token *token,
	const struct evidence_result *result, const struct format_erase_kek *kek)
{
	if (!result->read) {
		return WHY("its entry holds no destroy and absence statement",
			"記録に破棄と不在の署名がない");
	}
	if (!both_about(bundle, result, kek)) {
		return WHY("its statements are about another KEK, commitment, erasure or signed "
			   "bytes",
			"署名が別の KEK、コミットメント、消去または署名対象についてのもの");
	}
	if (!is_word_of(token, &result->entry->change.u.erase_done.statement) ||
		!is_word_of(token, &result->entry->change.u.erase_done.absence)) {
		return WHY("its statements are not the word of that token",
			"署名がそのトークンのものではない");
	}
	if (result->absence.u.absence.matched != 0) {
		return WHY("the search after it still found it", "破棄後の探索でまだ見つかった");
	}
	return wrong_destroy(&result->destroy.u.destroy);
}

/* Good all the same: what was there when it began is gone, and a search says so. */
static void note_interrupted(
	struct bundle *bundle, const struct evidence_result *result, const struct name *name)
{
	if (result->read && !result->destroy.u.destroy.found) {
		bundle_note(bundle,
			"that a test ciphertext of KEK %s in token %s opened before and not after: "
			"an interrupted destruction had removed the KEK",
			"KEK %s（トークン "
			"%s）の試験用の暗号文が破棄の前に復号でき、後に復号できない"
			"こと：中断された破棄が KEK を既に除去していた",
			name->kek, name->token);
	}
}

static void check_result(
	struct bundle *bundle, const struct trust_token *token, const struct format_erase_kek *kek)
{
	const struct certificate *c = bundle->certificate;
	const struct cert_copy *copy = certificate_copy(c, &kek->token, &kek->kek);
	const struct evidence_result *result =
		evidence_result(bundle->evidence, &kek->token, &kek->kek);
	struct name name = name_of(&kek->token, &kek->kek);
	if (result != NULL) {
		note_interrupted(bundle, result, &name);
		struct why wrong = wrong_result(bundle, token, result, kek);
		if (wrong.en != NULL) {
			step_fail_why(bundle, 5, wrong, "KEK %s in token %s",
				"KEK %s（トークン %s）：破棄が示されていない", name.kek,
				name.token);
		} else if (is_by_others(bundle, result) &&
			   evidence_erases(bundle->evidence->erase, &kek->token, &kek->kek)) {
			char other[KMS_ID_TEXT];
			step_not_shown(bundle, 5,
				"KEK %s in token %s was destroyed under erasure %s, not under this "
				"one: on whose word, that one's certificate shows",
				"KEK %s（トークン %s）は別の消去 %s "
				"により破棄された：その承認は当該消去の証明書が示す",
				name.kek, name.token, kms_id_text(&result->erasure, other));
		}
	} else if (c->final || (copy != NULL && copy->removed)) {
		step_fail(bundle, 5, "KEK %s in token %s: no destroy and absence statements",
			"KEK %s（トークン %s）：破棄と不在の署名がない", name.kek, name.token);
	} else {
		step_not_shown(bundle, 5,
			"KEK %s in token %s is not destroyed yet, and the certificate says so",
			"KEK %s（トークン %s）は未破棄であり、証明書もそう述べている", name.kek,
			name.token);
	}
}

static void check_kek(struct bundle *bundle, const struct format_erase_kek *kek)
{
	const struct trust_token *token = trust_find(bundle->trust, &kek->token);
	struct name name = name_of(&kek->token, &kek->kek);
	if (token == NULL) {
		step_fail(bundle, 5, "KEK %s: its token %s is not pinned, so its word is nothing",
			"KEK %s：トークン %s は固定されておらず、その署名は証拠にならない",
			name.kek, name.token);
		return;
	}
	check_birth(bundle, token, kek);
	check_result(bundle, token, kek);
}

/* The KEKs of the signed bytes, with the certificate's word on each of them beside. */
static void check_signed(struct bundle *bundle)
{
	const struct format_erase *erase = bundle->evidence->erase;
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		const struct format_erase_kek *kek = &erase->keks[i];
		const struct cert_copy *copy =
			certificate_copy(bundle->certificate, &kek->token, &kek->kek);
		struct name name = name_of(&kek->token, &kek->kek);
		if (copy != NULL && (!kms_hash_equal(&copy->kek.commitment, &kek->commitment) ||
					    !kms_id_equal(&copy->kek.key, &kek->key) ||
					    copy->kek.version != kek->version)) {
			step_fail(bundle, 5,
				"KEK %s in token %s: the certificate names another key, version "
				"or commitment than the signed bytes",
				"KEK %s（トークン "
				"%s）：証明書の鍵、版またはコミットメントが署名対象"
				"と異なる",
				name.kek, name.token);
		}
		check_kek(bundle, kek);
	}
}

/* Those that an earlier erasure destroyed. */
static void check_earlier(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	for (size_t i = 0; i < c->copy_count; i++) {
		const struct format_erase_kek *kek = &c->copies[i].kek;
		if (!evidence_erases(bundle->evidence->erase, &kek->token, &kek->kek)) {
			check_kek(bundle, kek);
		}
	}
}

/* ---- wipes ---- */

static struct why wrong_wipe(
	const struct bundle *bundle, const struct trust_token *token, const struct kms_buf *bytes)
{
	struct format_statement statement;
	struct kms_bytes part, signature;
	if (token == NULL) {
		return WHY("it is not pinned", "固定されていない");
	}
	if (!kms_is_ok(
		    format_statement_read(kms_buf_bytes(bytes), &statement, &part, &signature)) ||
		statement.type != FORMAT_STATEMENT_WIPE) {
		return WHY("its entry holds no wipe statement", "記録に初期化の署名がない");
	}
	const struct format_wipe *wipe = &statement.u.wipe;
	if (!says_who(bundle, &statement, &token->id) ||
		!kms_id_equal(&wipe->erasure, &bundle->certificate->erasure) ||
		!kms_hash_equal(&wipe->erase, &bundle->evidence->erase_hash)) {
		return WHY("its statement is about another token, erasure or other signed bytes",
			"署名が別のトークン、消去手続または署名対象についてのもの");
	}
	if (!is_word_of(token, bytes)) {
		return WHY("its statement is not its word", "署名がそのトークンのものではない");
	}
	return wipe->initialised ? WHY_NOT
				 : WHY("it was not initialised anew", "初期化されていない");
}

static void check_wipes(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	const struct format_erase *erase = bundle->evidence->erase;
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		const struct proven *entry =
			evidence_wipe(bundle->evidence, &c->erasure, &erase->wipes[i]);
		bool claimed = c->final;
		char token[KMS_ID_TEXT];
		(void)kms_id_text(&erase->wipes[i], token);
		for (size_t j = 0; j < c->wipe_count; j++) {
			claimed = claimed || (kms_id_equal(&c->wipes[j].token, &erase->wipes[i]) &&
						     c->wipes[j].done);
		}
		struct why wrong =
			entry == NULL
				? WHY("no wipe statement", "初期化の署名がない")
				: wrong_wipe(bundle, trust_find(bundle->trust, &erase->wipes[i]),
					  &entry->change.u.erase_done.statement);
		if (wrong.en != NULL && (entry != NULL || claimed)) {
			step_fail_why(bundle, 5, wrong, "wipe of token %s",
				"トークン %s の初期化が示されていない", token);
		} else if (wrong.en != NULL) {
			step_not_shown(bundle, 5,
				"token %s is not wiped yet, and the certificate says so",
				"トークン %s は未初期化であり、証明書もそう述べている", token);
		}
	}
}

/* ---- the certificate against the signed bytes, and against the pins ---- */

static void check_same(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	const struct format_erase *erase = bundle->evidence->erase;
	if (strcmp(erase->origin, bundle->trust->origin) != 0) {
		step_fail(bundle, 5, "the signed bytes are about the log %s",
			"署名対象は台帳 %s についてのもの", erase->origin);
	}
	if (!kms_id_equal(&erase->tenant, &c->tenant) || erase->scope != c->scope ||
		!kms_id_equal(&erase->subject, &c->subject) ||
		!kms_hash_equal(&erase->plan, &c->plan)) {
		step_fail(bundle, 5,
			"the certificate names another tenant, scope or plan than the signed bytes",
			"証明書のテナント、範囲または計画が署名対象と異なる");
	}
}

/* The certificate's sums, over the results of this erasure. */
static void check_sums(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	uint64_t absent = 0, failed = 0;
	for (size_t i = 0; i < bundle->evidence->result_count; i++) {
		const struct evidence_result *result = &bundle->evidence->results[i];
		if (!result->read || !kms_id_equal(&result->erasure, &c->erasure)) {
			continue;
		}
		const struct format_destroy *destroy = &result->destroy.u.destroy;
		absent += result->absence.u.absence.matched == 0;
		failed += destroy->canary_before && !destroy->canary_after;
	}
	if (absent != c->absent || failed != c->canary_failed) {
		step_fail(bundle, 5,
			"the statements show %llu absences and %llu failed canaries, the "
			"certificate says %llu and %llu",
			"署名が示すのは不在 %llu 件・復号試験の失敗 %llu 件、証明書の記載は %llu "
			"件・"
			"%llu 件",
			(ull)absent, (ull)failed, (ull)c->absent, (ull)c->canary_failed);
	}
}

kms_err step_statements(struct bundle *bundle)
{
	if (bundle->certificate == NULL || bundle->evidence->erase == NULL) {
		step_not_shown(bundle, 5,
			"without certificate and request there is nothing to show",
			"証明書と請求がないため、示すものがない");
		return KMS_OK;
	}
	check_same(bundle);
	check_signed(bundle);
	check_earlier(bundle);
	check_wipes(bundle);
	check_sums(bundle);
	statements_check_rest(bundle);
	return KMS_OK;
}
