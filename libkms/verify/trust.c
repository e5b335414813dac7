/* SPDX-License-Identifier: Apache-2.0 */
/* The trust file: what an auditor pins, from the owners themselves. Strict JSON. */
#include "verify_int.h"

#include <stdlib.h>
#include <string.h>

static kms_err read_vkey(const char *text, struct tlog_vkey *ret_vkey)
{
	kms_err err = tlog_vkey_parse(text, ret_vkey);
	return kms_is(err, KMS_CODE_NO_MEMORY) || kms_is_ok(err) ? err : KMS_ERR(CONFIG);
}

static kms_err read_ledger_keys(struct doc *doc, struct trust *trust)
{
	struct doc *list;
	KMS_TRY(doc_get_array(doc, "ledger_keys", &list));
	if (doc_count(list) == 0 || doc_count(list) > TRUST_KEYS_MAX) {
		return KMS_ERR(CONFIG);
	}
	for (size_t i = 0; i < doc_count(list); i++) {
		const char *text;
		KMS_TRY(doc_item_text(list, i, &text));
		KMS_TRY(read_vkey(text, &trust->ledger_keys[i]));
		trust->ledger_key_count = i + 1;
	}
	return KMS_OK;
}

static kms_err read_tokens(struct doc *doc, struct trust *trust)
{
	struct doc *list;
	KMS_TRY(doc_get_array(doc, "tokens", &list));
	if (doc_count(list) > TRUST_TOKENS_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	trust->tokens = calloc(doc_count(list) + 1, sizeof(*trust->tokens));
	if (trust->tokens == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < doc_count(list); i++) {
		struct doc *item;
		const char *vkey, *serial;
		struct trust_token *token = &trust->tokens[i];
		KMS_TRY(doc_item_object(list, i, &item));
		KMS_TRY(doc_get_id(item, "id", &token->id));
		KMS_TRY(doc_get_text(item, "serial", &serial));
		KMS_TRY(doc_get_text(item, "statement_key", &vkey));
		KMS_TRY(read_vkey(vkey, &token->statement));
		KMS_TRY(doc_end(item));
		trust->token_count = i + 1;
	}
	return KMS_OK;
}

static kms_err read_trust(struct doc *doc, struct trust *trust)
{
	const char *text;
	struct tlog_vkey manifest;
	KMS_TRY(doc_get_text(doc, "v", &text));
	if (strcmp(text, "kmsd-trust/1") != 0) {
		return KMS_ERR(VERSION);
	}
	KMS_TRY(doc_get_text(doc, "origin", &text));
	if (strlen(text) > TLOG_NAME_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	memcpy(trust->origin, text, strlen(text) + 1);
	if (doc_has(doc, "manifest_key")) {
		KMS_TRY(doc_get_text(doc, "manifest_key", &text));
		KMS_TRY(read_vkey(text, &manifest));
	}
	KMS_TRY(read_ledger_keys(doc, trust));
	KMS_TRY(read_tokens(doc, trust));
	return doc_end(doc);
}

kms_err trust_read(const char *path, struct trust **ret_trust)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO(doc) doc = NULL;
	KMS_AUTO(trust) trust = calloc(1, sizeof(*trust));
	if (trust == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = kms_file_read(path, TRUST_FILE_MAX, &json);
	if (kms_is_ok(err)) {
		err = doc_parse(kms_buf_bytes(&json), TRUST_FILE_MAX, &doc);
	}
	if (kms_is_ok(err)) {
		err = read_trust(doc, trust);
	}
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR,
			"%s is not a trust file: %s %s; make one with `kms init trust`", path,
			kms_err_text(err), doc == NULL ? "" : doc_problem(doc));
		return kms_is(err, KMS_CODE_NO_MEMORY) ? err : KMS_ERR(CONFIG);
	}
	*ret_trust = kms_take(&trust);
	return KMS_OK;
}

void trust_free(struct trust **trust)
{
	if (trust == NULL || *trust == NULL) {
		return;
	}
	free((*trust)->tokens);
	free(*trust);
	*trust = NULL;
}

const struct trust_token *trust_find(const struct trust *trust, const struct kms_id *token)
{
	for (size_t i = 0; i < trust->token_count; i++) {
		if (kms_id_equal(&trust->tokens[i].id, token)) {
			return &trust->tokens[i];
		}
	}
	return NULL;
}
