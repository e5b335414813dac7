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
	const char *p256;
	const char *ed25519 = "";
	KMS_TRY(doc_get_array(doc, "ledger_keys", &list));
	if (doc_count(list) == 0 || doc_count(list) > TLOG_LOG_KEYS) {
		return KMS_ERR(CONFIG);
	}
	KMS_TRY(doc_item_text(list, 0, &p256));
	if (doc_count(list) > 1) {
		KMS_TRY(doc_item_text(list, 1, &ed25519));
		if (ed25519[0] == '\0') {
			return KMS_ERR(CONFIG);
		}
	}
	kms_err err = tlog_log_keys_parse(p256, ed25519, &trust->ledger);
	return kms_is(err, KMS_CODE_NO_MEMORY) || kms_is_ok(err) ? err : KMS_ERR(CONFIG);
}

static kms_err read_place(struct doc *item, const char *name, char into[LIMIT_PLACE + 1])
{
	const char *text;
	KMS_TRY(doc_get_text(item, name, &text));
	if (strlen(text) > LIMIT_PLACE) {
		return KMS_ERR(TOO_LARGE);
	}
	memcpy(into, text, strlen(text) + 1);
	return KMS_OK;
}

static kms_err read_token(struct doc *item, struct trust_token *token)
{
	const char *text;
	KMS_TRY(doc_get_id(item, "id", &token->id));
	KMS_TRY(read_place(item, "serial", token->serial));
	KMS_TRY(doc_get_text(item, "statement_key", &text));
	KMS_TRY(read_vkey(text, &token->statement));
	if (doc_has(item, "class")) {
		KMS_TRY(doc_get_text(item, "class", &text));
		KMS_TRY(model_class_parse(text, &token->class));
		token->has_class = true;
	}
	if (doc_has(item, "certificate_no")) {
		KMS_TRY(read_place(item, "certificate_no", token->certificate_no));
	}
	return doc_end(item);
}

/* Each token once: else the order would say which of its keys counts. */
static kms_err check_other(const struct trust *trust, const struct trust_token *token)
{
	return trust_find(trust, &token->id) == NULL ? KMS_OK : KMS_ERR(EXISTS);
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
		KMS_TRY(doc_item_object(list, i, &item));
		KMS_TRY(read_token(item, &trust->tokens[i]));
		KMS_TRY(check_other(trust, &trust->tokens[i]));
		trust->token_count = i + 1;
	}
	return KMS_OK;
}

/* ---- approvers, and the CA of the requester's certificate ---- */

/* A vkey, or the DER SubjectPublicKeyInfo itself in base64. */
static kms_err read_approver_key(const char *text, struct kms_buf *ret_spki)
{
	struct tlog_vkey vkey;
	if (strchr(text, '+') != NULL && kms_is_ok(tlog_vkey_parse(text, &vkey))) {
		return kms_buf_copy((struct kms_bytes){vkey.spki, vkey.spki_len}, ret_spki);
	}
	KMS_AUTO_BUF der = {0};
	KMS_TRY(kms_base64_decode(text, strlen(text), sizeof(vkey.spki), &der));
	/* Only a P-256 key makes a vkey. */
	KMS_TRY(tlog_vkey_make("approver", kms_buf_bytes(&der), &vkey));
	*ret_spki = der;
	der = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err read_approver(struct doc *item, struct trust *trust)
{
	const char *text;
	struct trust_approver *approver = &trust->approvers[trust->approver_count];
	KMS_TRY(doc_get_id(item, "id", &approver->id));
	KMS_TRY(doc_get_text(item, "key", &text));
	KMS_TRY(read_approver_key(text, &approver->spki));
	trust->approver_count++;
	/* Each of them once, by id and by key: two ids of one key are one person. */
	for (size_t i = 0; i + 1 < trust->approver_count; i++) {
		const struct trust_approver *other = &trust->approvers[i];
		if (kms_id_equal(&other->id, &approver->id) ||
			kms_bytes_equal(
				kms_buf_bytes(&other->spki), kms_buf_bytes(&approver->spki))) {
			return KMS_ERR(EXISTS);
		}
	}
	return doc_end(item);
}

/* 0 approvals, or more than there are approvers, is a mistake and never a wish. */
static kms_err read_approvals(struct doc *doc, struct trust *trust)
{
	struct doc *approvals, *list;
	uint64_t needed;
	KMS_TRY(doc_get_object(doc, "approvals", &approvals));
	KMS_TRY(doc_get_uint(approvals, "needed", LIMIT_APPROVALS, &needed));
	KMS_TRY(doc_get_array(approvals, "approvers", &list));
	if (doc_count(list) > LIMIT_APPROVALS) {
		return KMS_ERR(TOO_LARGE);
	}
	if (needed == 0 || needed > doc_count(list)) {
		return KMS_ERR(CONFIG);
	}
	for (size_t i = 0; i < doc_count(list); i++) {
		struct doc *item;
		KMS_TRY(doc_item_object(list, i, &item));
		KMS_TRY(read_approver(item, trust));
	}
	trust->approvals_needed = (uint32_t)needed;
	return doc_end(approvals);
}

static kms_err read_optional(struct doc *doc, struct trust *trust)
{
	const char *text;
	if (doc_has(doc, "manifest_key")) {
		KMS_TRY(doc_get_text(doc, "manifest_key", &text));
		KMS_TRY(read_vkey(text, &trust->manifest));
		trust->has_manifest = true;
	}
	if (doc_has(doc, "approvals")) {
		KMS_TRY(read_approvals(doc, trust));
	}
	if (doc_has(doc, "tenant_ca")) {
		KMS_TRY(doc_get_text(doc, "tenant_ca", &text));
		KMS_TRY(crypto_cert_parse_pem(kms_bytes_str(text), &trust->tenant_ca));
	}
	return KMS_OK;
}

static kms_err read_trust(struct doc *doc, struct trust *trust)
{
	const char *text;
	KMS_TRY(doc_get_text(doc, "v", &text));
	if (strcmp(text, "kmsd-trust/1") != 0) {
		return KMS_ERR(VERSION);
	}
	KMS_TRY(doc_get_text(doc, "origin", &text));
	if (strlen(text) > TLOG_NAME_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	memcpy(trust->origin, text, strlen(text) + 1);
	KMS_TRY(read_ledger_keys(doc, trust));
	KMS_TRY(read_tokens(doc, trust));
	KMS_TRY(read_optional(doc, trust));
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
		const char *problem = doc == NULL ? "" : doc_problem(doc);
		kms_log(KMS_LOG_ERROR,
			"%s is not a trust file: %s%s%s; make one with `kms init trust`", path,
			kms_err_text(err), problem[0] == '\0' ? "" : ": ", problem);
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
	for (size_t i = 0; i < LIMIT_APPROVALS; i++) {
		kms_buf_free(&(*trust)->approvers[i].spki);
	}
	crypto_cert_free(&(*trust)->tenant_ca);
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

const struct trust_approver *trust_approver(const struct trust *trust, const struct kms_id *id)
{
	for (size_t i = 0; i < trust->approver_count; i++) {
		if (kms_id_equal(&trust->approvers[i].id, id)) {
			return &trust->approvers[i];
		}
	}
	return NULL;
}
