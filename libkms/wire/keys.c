/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and their KEKs as JSON, both directions: what is known of them, never what they are. */
#include "wire_int.h"

static const struct wire_field create_fields[] = {
	{WIRE_FIELD_AS(model_request, u.key_create.label, "label", WIRE_TEXT)},
	{WIRE_FIELD_AS(model_request, u.key_create.custody, "custody", WIRE_WORD),
		.word = wire_custody},
	{WIRE_FIELD_AS(model_request, u.key_create.delivery, "delivery", WIRE_WORD),
		.word = wire_delivery},
	{WIRE_FIELD_AS(model_request, u.key_create.tokens, "tokens", WIRE_IDS),
		.count_at = offsetof(struct model_request, u.key_create.token_count)},
	{0},
};

static const struct wire_field key_fields[] = {
	{WIRE_FIELD(model_key, id, WIRE_ID)},
	{WIRE_FIELD(model_key, tenant, WIRE_ID)},
	{WIRE_FIELD(model_key, custodian, WIRE_ID)},
	{WIRE_FIELD_AS(model_key, label.text, "label", WIRE_TEXT)},
	{WIRE_FIELD_AS(model_key, label.salt, "label_salt", WIRE_BYTES)},
	{WIRE_FIELD(model_key, custody, WIRE_WORD), .word = wire_custody},
	{WIRE_FIELD(model_key, delivery, WIRE_WORD), .word = wire_delivery},
	{WIRE_FIELD(model_key, state, WIRE_WORD), .word = wire_state},
	{WIRE_FIELD(model_key, erasure, WIRE_ID_OPTIONAL)},
	{WIRE_FIELD(model_key, version, WIRE_U32)},
	{WIRE_FIELD(model_key, created_unix_ms, WIRE_I64)},
	{WIRE_FIELD(model_key, tokens, WIRE_IDS),
		.count_at = offsetof(struct model_key, token_count)},
	{0},
};

static const struct wire_field kek_fields[] = {
	{WIRE_FIELD(model_kek, id, WIRE_ID)},
	{WIRE_FIELD(model_kek, key, WIRE_ID)},
	{WIRE_FIELD(model_kek, version, WIRE_U32)},
	{WIRE_FIELD(model_kek, token, WIRE_ID)},
	{WIRE_FIELD(model_kek, state, WIRE_WORD), .word = wire_kek_state},
	{WIRE_FIELD(model_kek, erasure, WIRE_ID_OPTIONAL)},
	{WIRE_FIELD(model_kek, commitment, WIRE_HASH)},
	{WIRE_FIELD(model_kek, created_unix_ms, WIRE_I64)},
	{0},
};

void wire_key_create_set(struct doc *body, const struct model_request *request)
{
	wire_fields_set(body, create_fields, request);
}

kms_err wire_key_create_get(struct doc *body, struct model_request *request)
{
	return wire_fields_get(body, create_fields, request);
}

enum { KEKS_MAX = LIMIT_KEY_VERSIONS * LIMIT_CUSTODY_TOKENS };

void wire_keys_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_rows_set(body, "keys", key_fields, answer->u.keys.rows, answer->u.keys.count,
		sizeof(answer->u.keys.rows[0]));
	wire_rows_set(body, "keks", kek_fields, answer->u.keys.keks, answer->u.keys.kek_count,
		sizeof(answer->u.keys.keks[0]));
}

kms_err wire_keys_answer_get(struct doc *body, struct model_answer *answer)
{
	void *rows = NULL;
	kms_err err = wire_rows_get(body, "keys", key_fields, sizeof(struct model_key),
		LIMIT_LIST_PAGE, &rows, &answer->u.keys.count);
	answer->u.keys.rows = rows;
	KMS_TRY(err);
	rows = NULL;
	err = wire_rows_get(body, "keks", kek_fields, sizeof(struct model_kek), KEKS_MAX, &rows,
		&answer->u.keys.kek_count);
	answer->u.keys.keks = rows;
	KMS_TRY(err);
	return doc_end(body);
}
