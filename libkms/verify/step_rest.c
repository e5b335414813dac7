/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 5, the rest: what stands beside the statements that were asked for. Nothing of this erasure
 * ended what nobody signed, nothing ended twice, and the modules are the tokens that it was about.
 */
#include "bundle_int.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- results and wipes that nobody asked for ---- */

static void check_results(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *result = &evidence->results[i];
		char kek[KMS_ID_TEXT];
		(void)kms_id_text(&result->kek, kek);
		if (kms_id_equal(&result->erasure, &bundle->certificate->erasure) &&
			!evidence_erases(evidence->erase, &result->token, &result->kek)) {
			step_fail(bundle, 5,
				"entry %llu destroys KEK %s, which is not in the signed bytes",
				"記録 %llu 番は、署名対象にない KEK %s を破棄している",
				(ull)result->entry->seq, kek);
		}
		if (evidence_result(evidence, &result->token, &result->kek) != result) {
			step_fail(bundle, 5, "entry %llu destroys KEK %s a second time",
				"記録 %llu 番は KEK %s を二度目に破棄している",
				(ull)result->entry->seq, kek);
		}
	}
}

static bool wipe_is_signed(const struct format_erase *erase, const struct kms_id *token)
{
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		if (kms_id_equal(&erase->wipes[i], token)) {
			return true;
		}
	}
	return false;
}

static void check_wipes(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		if (!entry->read || entry->change.type != MODEL_CHANGE_ERASE_WIPE ||
			!kms_id_equal(&entry->change.u.erase_done.erasure,
				&bundle->certificate->erasure)) {
			continue;
		}
		const struct kms_id *token = &entry->change.u.erase_done.token;
		char text[KMS_ID_TEXT];
		(void)kms_id_text(token, text);
		if (!wipe_is_signed(evidence->erase, token)) {
			step_fail(bundle, 5,
				"entry %llu wipes token %s, which is not so in the signed bytes",
				"記録 %llu 番は、署名対象にないトークン %s の初期化である",
				(ull)entry->seq, text);
		}
		if (evidence_wipe(evidence, &bundle->certificate->erasure, token) != entry) {
			step_fail(bundle, 5, "entry %llu wipes token %s a second time",
				"記録 %llu 番はトークン %s の二度目の初期化である", (ull)entry->seq,
				text);
		}
	}
}

/* ---- the modules, against the pins ---- */

static const struct cert_module *module_of(const struct certificate *c, const struct kms_id *token)
{
	for (size_t i = 0; i < c->module_count; i++) {
		if (kms_id_equal(&c->modules[i].token, token)) {
			return &c->modules[i];
		}
	}
	return NULL;
}

/* It has a copy, or is wiped. */
static bool is_involved(const struct certificate *c, const struct kms_id *token)
{
	for (size_t i = 0; i < c->copy_count; i++) {
		if (kms_id_equal(&c->copies[i].kek.token, token)) {
			return true;
		}
	}
	for (size_t i = 0; i < c->wipe_count; i++) {
		if (kms_id_equal(&c->wipes[i].token, token)) {
			return true;
		}
	}
	return false;
}

static void check_module(struct bundle *bundle, size_t i)
{
	const struct certificate *c = bundle->certificate;
	const struct cert_module *module = &c->modules[i];
	const struct trust_token *token = trust_find(bundle->trust, &module->token);
	char text[KMS_ID_TEXT];
	(void)kms_id_text(&module->token, text);
	if (token != NULL && strcmp(token->serial, module->serial) != 0) {
		step_fail(bundle, 5, "token %s has the serial number %s, and %s is pinned",
			"トークン %s の製造番号は %s、固定した番号は %s", text, module->serial,
			token->serial);
	}
	if (!is_involved(c, &module->token)) {
		step_fail(bundle, 5, "token %s is among the modules, with no copy and no wipe",
			"トークン %s は装置の一覧にあるが、複製も初期化もない", text);
	}
	if (i > 0 &&
		memcmp(c->modules[i - 1].token.b, module->token.b, sizeof(module->token.b)) >= 0) {
		step_fail(bundle, 5, "the modules are not in order, or one stands twice: token %s",
			"装置の順序が正しくないか、重複している：トークン %s", text);
	}
}

static void check_modules(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	char text[KMS_ID_TEXT];
	for (size_t i = 0; i < c->module_count; i++) {
		check_module(bundle, i);
	}
	for (size_t i = 0; i < c->copy_count; i++) {
		const struct kms_id *token = &c->copies[i].kek.token;
		if (module_of(c, token) == NULL) {
			step_fail(bundle, 5, "token %s has a copy and is not among the modules",
				"トークン %s は複製を持つが装置の一覧にない",
				kms_id_text(token, text));
		}
	}
}

void statements_check_rest(struct bundle *bundle)
{
	check_results(bundle);
	check_wipes(bundle);
	check_modules(bundle);
}
