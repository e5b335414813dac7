/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What entries say of keys: intents, results with the tokens' birth statements, states. What is
 * said of a birth beside its statement (commitment, attributes) is what the statement says, or the
 * entry is refused in both directions.
 */
#include "entry_int.h"

#include "format.h"

#include <string.h>

/* ---- key.create.intent, key.rotate.intent ---- */

static const struct kms_id *key_intent_key(const struct model_change *change)
{
	return &change->u.key_intent.key.id;
}

static kms_err key_intent_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	const struct model_key *key = &change->u.key_intent.key;
	uint32_t version = change->u.key_intent.version;
	if (!kms_id_equal(&key->tenant, &change->tenant) || kms_id_is_zero(&key->id) ||
		version == 0 || key->token_count == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (version > LIMIT_KEY_VERSIONS || key->token_count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	doc_set_int(entry, "kver", version);
	KMS_TRY(record_subject_set(entry, &key->label));
	doc_set_id(data, "custodian", &key->custodian);
	doc_set_text(data, "custody", model_custody_text(key->custody));
	doc_set_text(data, "delivery", model_delivery_text(key->delivery));
	doc_set_text(data, "state", model_state_text(key->state));
	doc_set_int(data, "current", key->version);
	doc_set_int(data, "created", key->created_unix_ms);
	struct doc *keks = doc_set_array(data, "keks");
	for (uint32_t i = 0; i < key->token_count; i++) {
		struct doc *kek = doc_add_object(keks);
		doc_set_id(kek, "token", &key->tokens[i]);
		doc_set_id(kek, "kek", &change->u.key_intent.keks[i]);
	}
	return KMS_OK;
}

static kms_err keks_get(struct doc *keks, struct model_change *change)
{
	struct model_key *key = &change->u.key_intent.key;
	size_t count = doc_count(keks);
	if (count == 0) {
		return KMS_ERR(FORMAT);
	}
	if (count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	for (size_t i = 0; i < count; i++) {
		struct doc *kek = NULL;
		KMS_TRY(doc_item_object(keks, i, &kek));
		KMS_TRY(doc_get_id(kek, "token", &key->tokens[i]));
		KMS_TRY(doc_get_id(kek, "kek", &change->u.key_intent.keks[i]));
		KMS_TRY(doc_end(kek));
	}
	key->token_count = (uint32_t)count;
	return KMS_OK;
}

static kms_err key_intent_get(
	struct doc *entry, struct doc *data, const struct kms_id *id, struct model_change *change)
{
	struct model_key *key = &change->u.key_intent.key;
	struct doc *keks = NULL;
	key->id = *id;
	key->tenant = change->tenant;
	KMS_TRY(record_version_get(entry, "kver", &change->u.key_intent.version));
	KMS_TRY(record_subject_get(entry));
	KMS_TRY(doc_get_id(data, "custodian", &key->custodian));
	KMS_TRY(RECORD_WORD_GET(data, "custody", model_custody_parse, &key->custody));
	KMS_TRY(RECORD_WORD_GET(data, "delivery", model_delivery_parse, &key->delivery));
	KMS_TRY(RECORD_WORD_GET(data, "state", model_state_parse, &key->state));
	KMS_TRY(record_version_get(data, "current", &key->version));
	KMS_TRY(doc_get_int(data, "created", &key->created_unix_ms));
	KMS_TRY(doc_get_array(data, "keks", &keks));
	KMS_TRY(keks_get(keks, change));
	return kms_id_is_zero(id) || change->u.key_intent.version == 0 ? KMS_ERR(FORMAT) : KMS_OK;
}

const struct entry_part entry_key_intent = {key_intent_key, key_intent_set, key_intent_get};

/* ---- key.create.result, key.rotate.result ---- */

enum { ATTRIBUTES = 11 };

/* `obj`: the attributes by name, in no order that matters. */
static void attributes_list(
	const struct format_attributes *a, const char *names[ATTRIBUTES], bool values[ATTRIBUTES])
{
	const struct {
		const char *name;
		bool value;
	} list[ATTRIBUTES] = {{"sensitive", a->sensitive},
		{"always_sensitive", a->always_sensitive}, {"extractable", a->extractable},
		{"never_extractable", a->never_extractable}, {"local", a->local},
		{"copyable", a->copyable}, {"destroyable", a->destroyable},
		{"modifiable", a->modifiable}, {"wrap", a->wrap}, {"unwrap", a->unwrap},
		{"derive", a->derive}};
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		names[i] = list[i].name;
		values[i] = list[i].value;
	}
}

static const char *origin_text(const struct format_birth *birth)
{
	return birth->imported ? "imported" : "generated";
}

/* Parse a birth statement and hold it against the change; who signed it is the verifier's
 * question. */
static kms_err birth_parse(const struct model_change *change, const struct model_birth *birth,
	struct kms_err bad, struct format_birth *ret_birth)
{
	struct format_statement statement;
	struct kms_bytes signed_part;
	struct kms_bytes signature;
	const struct format_birth *said = &statement.u.birth;
	KMS_TRY(format_statement_read(
		kms_buf_bytes(&birth->statement), &statement, &signed_part, &signature));
	if (statement.type != FORMAT_STATEMENT_BIRTH ||
		!kms_id_equal(&statement.token, &birth->token) ||
		!kms_id_equal(&statement.tenant, &change->tenant) ||
		!kms_id_equal(&said->kek, &birth->kek) ||
		!kms_id_equal(&said->key, &change->u.key_result.key) ||
		said->version != change->u.key_result.version ||
		!kms_hash_equal(&said->commitment, &birth->commitment)) {
		return bad;
	}
	*ret_birth = *said;
	return KMS_OK;
}

static kms_err birth_set(
	struct doc *object, const struct model_change *change, const struct model_birth *birth)
{
	struct format_birth said;
	const char *names[ATTRIBUTES];
	bool values[ATTRIBUTES];
	KMS_TRY(birth_parse(change, birth, KMS_ERR(ARGUMENT), &said));
	doc_set_id(object, "token", &birth->token);
	doc_set_id(object, "kek", &birth->kek);
	doc_set_hash(object, "kc", &birth->commitment);
	doc_set_bytes(object, "stmt", kms_buf_bytes(&birth->statement));
	struct doc *obj = doc_set_object(object, "obj");
	doc_set_text(obj, "type", "AES");
	doc_set_int(obj, "bits", 256);
	doc_set_text(obj, "origin", origin_text(&said));
	attributes_list(&said.attributes, names, values);
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		doc_set_bool(obj, names[i], values[i]);
	}
	return KMS_OK;
}

static kms_err attributes_match(struct doc *obj, const struct format_birth *said)
{
	const char *names[ATTRIBUTES];
	bool values[ATTRIBUTES];
	const char *type = NULL;
	const char *origin = NULL;
	uint64_t bits = 0;
	bool same = true;
	KMS_TRY(doc_get_text(obj, "type", &type));
	KMS_TRY(doc_get_uint(obj, "bits", 256, &bits));
	KMS_TRY(doc_get_text(obj, "origin", &origin));
	same = strcmp(type, "AES") == 0 && bits == 256 && strcmp(origin, origin_text(said)) == 0;
	attributes_list(&said->attributes, names, values);
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		bool value = false;
		KMS_TRY(doc_get_bool(obj, names[i], &value));
		same = same && value == values[i];
	}
	KMS_TRY(doc_end(obj));
	return same ? KMS_OK : KMS_ERR(FORMAT);
}

static kms_err birth_get(
	struct doc *object, const struct model_change *change, struct model_birth *birth)
{
	struct format_birth said;
	struct doc *obj = NULL;
	KMS_TRY(doc_get_id(object, "token", &birth->token));
	KMS_TRY(doc_get_id(object, "kek", &birth->kek));
	KMS_TRY(doc_get_hash(object, "kc", &birth->commitment));
	KMS_TRY(doc_get_bytes(object, "stmt", LIMIT_STATEMENT_BYTES, &birth->statement));
	KMS_TRY(birth_parse(change, birth, KMS_ERR(FORMAT), &said));
	KMS_TRY(doc_get_object(object, "obj", &obj));
	KMS_TRY(attributes_match(obj, &said));
	return doc_end(object);
}

static const struct kms_id *key_result_key(const struct model_change *change)
{
	return &change->u.key_result.key;
}

static kms_err key_result_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	size_t count = change->u.key_result.birth_count;
	uint32_t version = change->u.key_result.version;
	if (kms_id_is_zero(&change->u.key_result.key) || version == 0 ||
		change->u.key_result.made != (count > 0)) {
		return KMS_ERR(ARGUMENT);
	}
	if (version > LIMIT_KEY_VERSIONS || count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	doc_set_int(entry, "kver", version);
	doc_set_text(entry, "res", change->u.key_result.made ? "ok" : "error");
	struct doc *births = doc_set_array(data, "births");
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(birth_set(doc_add_object(births), change, &change->u.key_result.births[i]));
	}
	return KMS_OK;
}

static kms_err key_result_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	const char *result = NULL;
	struct doc *births = NULL;
	change->u.key_result.key = *key;
	KMS_TRY(record_version_get(entry, "kver", &change->u.key_result.version));
	KMS_TRY(doc_get_text(entry, "res", &result));
	change->u.key_result.made = strcmp(result, "ok") == 0;
	if (!change->u.key_result.made && strcmp(result, "error") != 0) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(doc_get_array(data, "births", &births));
	size_t count = doc_count(births);
	if (count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	if (kms_id_is_zero(key) || change->u.key_result.version == 0 ||
		change->u.key_result.made != (count > 0)) {
		return KMS_ERR(FORMAT);
	}
	for (size_t i = 0; i < count; i++) {
		struct doc *birth = NULL;
		KMS_TRY(doc_item_object(births, i, &birth));
		KMS_TRY(birth_get(birth, change, &change->u.key_result.births[i]));
	}
	change->u.key_result.birth_count = count;
	return KMS_OK;
}

const struct entry_part entry_key_result = {key_result_key, key_result_set, key_result_get};

/* ---- key.state ---- */

static const struct kms_id *key_state_key(const struct model_change *change)
{
	return &change->u.key_state.key;
}

static kms_err key_state_set(struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	if (kms_id_is_zero(&change->u.key_state.key)) {
		return KMS_ERR(ARGUMENT);
	}
	doc_set_text(data, "event", model_event_text(change->u.key_state.event));
	doc_set_text(data, "state", model_state_text(change->u.key_state.state));
	return KMS_OK;
}

static kms_err key_state_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)entry;
	change->u.key_state.key = *key;
	KMS_TRY(RECORD_WORD_GET(data, "event", model_event_parse, &change->u.key_state.event));
	KMS_TRY(RECORD_WORD_GET(data, "state", model_state_parse, &change->u.key_state.state));
	return kms_id_is_zero(key) ? KMS_ERR(FORMAT) : KMS_OK;
}

const struct entry_part entry_key_state = {key_state_key, key_state_set, key_state_get};
