/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of records, both directions. A name that people gave never gets into a document here: only
 * its salted commitment does.
 */
#include "record_int.h"

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

void record_id_set(struct doc *object, const char *name, const struct kms_id *id)
{
	if (!kms_id_is_zero(id)) {
		doc_set_id(object, name, id);
	}
}

kms_err record_id_get(struct doc *object, const char *name, struct kms_id *ret_id)
{
	struct kms_id id = {{0}};
	if (doc_has(object, name)) {
		KMS_TRY(doc_get_id(object, name, &id));
		if (kms_id_is_zero(&id)) {
			return KMS_ERR(FORMAT);
		}
	}
	*ret_id = id;
	return KMS_OK;
}

kms_err record_text_get(struct doc *object, const char *name, char *into, size_t size)
{
	const char *text = NULL;
	KMS_TRY(doc_get_text(object, name, &text));
	kms_err err = model_text_check(text, size - 1);
	if (!kms_is_ok(err)) {
		return kms_is(err, KMS_CODE_TOO_LARGE) ? err : KMS_ERR(FORMAT);
	}
	memcpy(into, text, strlen(text) + 1);
	return KMS_OK;
}

kms_err record_text_get_or_none(struct doc *object, const char *name, char *into, size_t size)
{
	if (!doc_has(object, name)) {
		into[0] = '\0';
		return KMS_OK;
	}
	KMS_TRY(record_text_get(object, name, into, size));
	return into[0] == '\0' ? KMS_ERR(FORMAT) : KMS_OK;
}

kms_err record_number_set(struct doc *object, const char *name, uint64_t value)
{
	if (value > RECORD_INT_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	doc_set_int(object, name, (int64_t)value);
	return KMS_OK;
}

kms_err record_version_get(struct doc *object, const char *name, uint32_t *ret_version)
{
	uint64_t version = 0;
	KMS_TRY(doc_get_uint(object, name, LIMIT_KEY_VERSIONS, &version));
	*ret_version = (uint32_t)version;
	return KMS_OK;
}

kms_err record_subject_set(struct doc *object, const struct model_label *label)
{
	struct kms_hash hash;
	struct kms_bytes parts[] = {KMS_BYTES_OF(label->salt), kms_bytes_str(label->text)};
	KMS_TRY(crypto_sha256(parts, 2, &hash));
	doc_set_hash(object, "subj", &hash);
	return KMS_OK;
}

kms_err record_subject_get(struct doc *object)
{
	struct kms_hash hash;
	return doc_get_hash(object, "subj", &hash);
}

/* ---- tokens ---- */

/* The texts of a token's pins: member, place, room. */
static const struct {
	const char *name;
	size_t at;
	size_t size;
} token_texts[] = {
#define TOKEN_TEXT(member)                                                                         \
	{                                                                                          \
#member, offsetof(struct model_token, member),                                     \
			sizeof(((struct model_token *)0)->member)                                  \
	}
	TOKEN_TEXT(manufacturer),
	TOKEN_TEXT(model),
	TOKEN_TEXT(serial),
	TOKEN_TEXT(firmware),
	TOKEN_TEXT(certificate_no),
	TOKEN_TEXT(organisation),
	TOKEN_TEXT(site),
	TOKEN_TEXT(country),
	TOKEN_TEXT(statement_vkey),
#undef TOKEN_TEXT
};
enum { TOKEN_TEXTS = sizeof(token_texts) / sizeof(token_texts[0]) };

void record_token_set(struct doc *object, const struct model_token *token)
{
	doc_set_id(object, "id", &token->id);
	doc_set_text(object, "class", model_class_text(token->class));
	doc_set_hash(object, "session_spki", &token->session_spki);
	for (size_t i = 0; i < TOKEN_TEXTS; i++) {
		doc_set_text(object, token_texts[i].name, (const char *)token + token_texts[i].at);
	}
}

kms_err record_token_get(struct doc *object, struct model_token *ret_token)
{
	struct model_token token;
	memset(&token, 0, sizeof(token));
	KMS_TRY(doc_get_id(object, "id", &token.id));
	KMS_TRY(RECORD_WORD_GET(object, "class", model_class_parse, &token.class));
	KMS_TRY(doc_get_hash(object, "session_spki", &token.session_spki));
	for (size_t i = 0; i < TOKEN_TEXTS; i++) {
		KMS_TRY(record_text_get(object, token_texts[i].name,
			(char *)&token + token_texts[i].at, token_texts[i].size));
	}
	/* ISO 3166-1 alpha-2 */
	if (strlen(token.country) != 2 ||
		strspn(token.country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2) {
		return KMS_ERR(FORMAT);
	}
	*ret_token = token;
	return KMS_OK;
}

kms_err record_tokens_get(struct doc *array, const struct kms_id *tenant,
	struct model_token **ret_tokens, size_t *ret_count)
{
	size_t count = doc_count(array);
	if (count > LIMIT_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO_FREE struct model_token *tokens = calloc(count + 1, sizeof(tokens[0]));
	if (tokens == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		struct doc *object = NULL;
		KMS_TRY(doc_item_object(array, i, &object));
		KMS_TRY(record_token_get(object, &tokens[i]));
		KMS_TRY(doc_end(object));
		tokens[i].tenant = *tenant;
	}
	*ret_tokens = kms_take(&tokens);
	*ret_count = count;
	return KMS_OK;
}

/* ---- principals ---- */

kms_err record_principals_set(struct doc *array, const struct model_principal *principals,
	size_t count, const struct kms_id *tenant)
{
	for (size_t i = 0; i < count; i++) {
		if (!kms_id_equal(&principals[i].tenant, tenant)) {
			return KMS_ERR(ARGUMENT);
		}
		struct doc *object = doc_add_object(array);
		doc_set_id(object, "id", &principals[i].id);
		doc_set_text(object, "role", model_role_text(principals[i].role));
		doc_set_hash(object, "spki", &principals[i].spki);
		doc_set_int(object, "expires", principals[i].expires_unix_s);
		KMS_TRY(record_subject_set(object, &principals[i].label));
	}
	return KMS_OK;
}

kms_err record_principals_get(struct doc *array, const struct kms_id *tenant,
	struct model_principal **ret_principals, size_t *ret_count)
{
	size_t count = doc_count(array);
	if (count > LIMIT_PRINCIPALS) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO_FREE struct model_principal *principals = calloc(count + 1, sizeof(principals[0]));
	if (principals == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		struct doc *object = NULL;
		KMS_TRY(doc_item_object(array, i, &object));
		KMS_TRY(doc_get_id(object, "id", &principals[i].id));
		KMS_TRY(RECORD_WORD_GET(object, "role", model_role_parse, &principals[i].role));
		KMS_TRY(doc_get_hash(object, "spki", &principals[i].spki));
		KMS_TRY(doc_get_int(object, "expires", &principals[i].expires_unix_s));
		KMS_TRY(record_subject_get(object));
		KMS_TRY(doc_end(object));
		principals[i].tenant = *tenant;
	}
	*ret_principals = kms_take(&principals);
	*ret_count = count;
	return KMS_OK;
}

/* ---- a tenant with all that comes with it ---- */

kms_err record_tenant_set(struct doc *object, const struct model_tenant_set *set)
{
	doc_set_id(object, "id", &set->tenant.id);
	KMS_TRY(record_subject_set(object, &set->tenant.label));
	doc_set_text(object, "ca", set->tenant.ca_pem);
	KMS_TRY(record_principals_set(doc_set_array(object, "principals"), set->principals,
		set->principal_count, &set->tenant.id));
	struct doc *tokens = doc_set_array(object, "tokens");
	for (size_t i = 0; i < set->token_count; i++) {
		if (!kms_id_equal(&set->tokens[i].tenant, &set->tenant.id)) {
			return KMS_ERR(ARGUMENT);
		}
		record_token_set(doc_add_object(tokens), &set->tokens[i]);
	}
	return KMS_OK;
}

kms_err record_tenant_get(struct doc *object, struct model_tenant_set *ret_set)
{
	__attribute__((cleanup(model_tenant_set_free))) struct model_tenant_set set;
	const char *ca = NULL;
	struct doc *principals = NULL;
	struct doc *tokens = NULL;

	memset(&set, 0, sizeof(set));
	KMS_TRY(doc_get_id(object, "id", &set.tenant.id));
	KMS_TRY(record_subject_get(object));
	KMS_TRY(doc_get_text(object, "ca", &ca));
	if (strlen(ca) > LIMIT_CERT_PEM) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(kms_text(&set.tenant.ca_pem, "%s", ca));
	KMS_TRY(doc_get_array(object, "principals", &principals));
	KMS_TRY(record_principals_get(
		principals, &set.tenant.id, &set.principals, &set.principal_count));
	KMS_TRY(doc_get_array(object, "tokens", &tokens));
	KMS_TRY(record_tokens_get(tokens, &set.tenant.id, &set.tokens, &set.token_count));
	KMS_TRY(doc_end(object));
	*ret_set = set;
	memset(&set, 0, sizeof(set));
	return KMS_OK;
}

void record_signature_set(struct doc *data, const uint8_t signature[MODEL_SIGNATURE])
{
	doc_set_bytes(data, "sig", (struct kms_bytes){signature, MODEL_SIGNATURE});
}

kms_err record_signature_get(struct doc *data, uint8_t signature[MODEL_SIGNATURE])
{
	KMS_AUTO_BUF bytes = {0};
	KMS_TRY(doc_get_bytes(data, "sig", MODEL_SIGNATURE, &bytes));
	if (bytes.len != MODEL_SIGNATURE) {
		return KMS_ERR(FORMAT);
	}
	memcpy(signature, bytes.ptr, MODEL_SIGNATURE);
	return KMS_OK;
}
