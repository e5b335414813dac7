/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 10: the level is what the evidence gives, never what the certificate says; and no word of
 * the certificate says more than its level may.
 */
#include "bundle_int.h"

#include <string.h>

/* Every token of the erasure is a device that the trust file pins with its certificate's number. */
static bool all_validated(const struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	for (size_t i = 0; i < c->module_count; i++) {
		const struct trust_token *token = trust_find(bundle->trust, &c->modules[i].token);
		if (token == NULL || !token->has_class || token->class != MODEL_CLASS_HSM ||
			token->certificate_no[0] == '\0') {
			return false;
		}
	}
	return c->module_count > 0;
}

/* That the list of copies is complete is a person's word, and this version has no place for one. */
static bool copies_asserted(const struct bundle *bundle)
{
	(void)bundle;
	return false;
}

const char *level_of(const struct bundle *bundle)
{
	return all_validated(bundle) && copies_asserted(bundle) ? "asserted" : "recorded";
}

/* ---- words that say what this version may say, and no others ---- */

static void check_word(struct bundle *bundle, const char *member, const char *said, const char *may)
{
	if (strcmp(said, may) != 0) {
		step_fail(bundle, 10, "%s is \"%s\", and no more than \"%s\" may be said",
			"%s は「%s」だが、言えるのは「%s」まで", member, said, may);
	}
}

static void check_words(struct bundle *bundle)
{
	const struct cert_words *words = &bundle->certificate->words;
	check_word(bundle, "plaintext_before", words->plaintext_before, "unknown");
	check_word(bundle, "copies_complete", words->copies_complete, "not asserted");
	check_word(bundle, "method", words->method, "none claimed");
	check_word(bundle, "technique", words->technique, "CE");
	check_word(bundle, "zeroization.call", words->zeroization_call, "C_DestroyObject");
	check_word(bundle, "zeroization.standard", words->zeroization_standard, "none");
	check_word(bundle, "validation.status", words->validation, "pending");
	for (size_t i = 0; i < bundle->certificate->key_count; i++) {
		const struct cert_key *key = &bundle->certificate->keys[i];
		check_word(bundle, "level of a key", key->level, "wrapping key");
		if (key->alg_bits != 256) {
			step_fail(bundle, 10, "a key of %llu bits, and all have 256",
				"鍵の長さが %llu ビットとあるが、全て 256 ビットである",
				(unsigned long long)key->alg_bits);
		}
	}
}

/* ---- the fixed texts ---- */

static const char statement[] =
	"For every copy with a removal entry, the daemon of its token signed this: the "
	"key-encryption "
	"key with this id and commitment was destroyed with C_DestroyObject on the word of the "
	"requester and approvers listed here, and a search of the token no longer finds it, by id "
	"or "
	"by commitment. A test decryption that worked before failed afterwards as often as "
	"'verification' says. The signed words stand in the ledger at the entries listed. This is "
	"a "
	"record of what was done and answered. It is no more than that.";
static const char *const not_claimed[] = {
	"Clear, Purge or Destroy as in NIST SP 800-88 or IEEE 2883",
	"zeroization as in ISO/IEC 19790 or FIPS 140",
	"that the data is unrecoverable",
	"that no other copy of a key exists",
	"a FIPS 140, JCMVP or ISO/IEC 19790 status of any module",
	"that a person has reviewed the erasure and accepted the remaining risk",
};
enum { NOT_CLAIMED = sizeof(not_claimed) / sizeof(not_claimed[0]) };

static void check_texts(struct bundle *bundle)
{
	const struct cert_words *words = &bundle->certificate->words;
	bool same = strcmp(words->statement, statement) == 0 &&
		    doc_count(words->not_claimed) == NOT_CLAIMED;
	for (size_t i = 0; same && i < NOT_CLAIMED; i++) {
		const char *text = NULL;
		same = kms_is_ok(doc_item_text(words->not_claimed, i, &text)) &&
		       strcmp(text, not_claimed[i]) == 0;
	}
	if (!same) {
		step_fail(bundle, 10,
			"the statement, or the list of what is not claimed, is not that of the "
			"level %s",
			"声明または「主張しないこと」の一覧が水準 %s のものではない",
			level_of(bundle));
	}
}

/* ---- the modules, where they are pinned ---- */

static void check_module(struct bundle *bundle, const struct cert_module *module)
{
	const struct trust_token *token = trust_find(bundle->trust, &module->token);
	char id[KMS_ID_TEXT];
	(void)kms_id_text(&module->token, id);
	if (token == NULL || !token->has_class) {
		bundle_note(bundle,
			"that token %s is of the class %s, and its certificate's number",
			"トークン %s の種別が %s であること、およびその認証番号", id,
			model_class_text(module->class));
		return;
	}
	if (token->class != module->class) {
		step_fail(bundle, 10, "token %s is called %s, and %s is pinned",
			"トークン %s の種別は %s とあるが、固定した種別は %s", id,
			model_class_text(module->class), model_class_text(token->class));
	}
	if (strcmp(token->certificate_no, module->certificate_no) != 0) {
		step_fail(bundle, 10,
			"token %s has the certificate number \"%s\", and \"%s\" is pinned",
			"トークン %s の認証番号は「%s」とあるが、固定した番号は「%s」", id,
			module->certificate_no, token->certificate_no);
	}
}

kms_err step_level(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	if (c == NULL) {
		step_not_shown(bundle, 10, "without a certificate there is no claim",
			"証明書がないため、主張もない");
		return KMS_OK;
	}
	if (strcmp(c->words.claim_level, level_of(bundle)) != 0) {
		step_fail(bundle, 10,
			"the certificate claims \"%s\", and the evidence gives \"%s\"",
			"証明書の主張は「%s」だが、証拠が示すのは「%s」", c->words.claim_level,
			level_of(bundle));
	}
	check_words(bundle);
	check_texts(bundle);
	for (size_t i = 0; i < c->module_count; i++) {
		check_module(bundle, &c->modules[i]);
	}
	return KMS_OK;
}
