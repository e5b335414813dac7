/* SPDX-License-Identifier: Apache-2.0 */
/* Status, tenants, principals, tokens and datasets as JSON, both directions. No secrets here. */
#include "wire_int.h"

static const struct wire_field tenant_fields[] = {
	{WIRE_FIELD(model_tenant, id, WIRE_ID)},
	{WIRE_FIELD_AS(model_tenant, label.text, "label", WIRE_TEXT)},
	{WIRE_FIELD_AS(model_tenant, label.salt, "label_salt", WIRE_BYTES)},
	{WIRE_FIELD(model_tenant, ca_pem, WIRE_TEXT_OWNED), .max = LIMIT_CERT_PEM},
	{0},
};

static const struct wire_field principal_fields[] = {
	{WIRE_FIELD(model_principal, id, WIRE_ID)},
	{WIRE_FIELD(model_principal, tenant, WIRE_ID_OPTIONAL)},
	{WIRE_FIELD(model_principal, role, WIRE_WORD), .word = wire_role},
	{WIRE_FIELD(model_principal, spki, WIRE_HASH)},
	{WIRE_FIELD(model_principal, expires_unix_s, WIRE_I64)},
	{WIRE_FIELD_AS(model_principal, label.text, "label", WIRE_TEXT)},
	{WIRE_FIELD_AS(model_principal, label.salt, "label_salt", WIRE_BYTES)},
	{0},
};

#define TOKEN_FIELD(member, kind) WIRE_FIELD_AS(model_token_status, token.member, #member, kind)
static const struct wire_field token_fields[] = {
	{TOKEN_FIELD(id, WIRE_ID)},
	{TOKEN_FIELD(tenant, WIRE_ID_OPTIONAL)},
	{TOKEN_FIELD(class, WIRE_WORD), .word = wire_class},
	{TOKEN_FIELD(manufacturer, WIRE_TEXT)},
	{TOKEN_FIELD(model, WIRE_TEXT)},
	{TOKEN_FIELD(serial, WIRE_TEXT)},
	{TOKEN_FIELD(firmware, WIRE_TEXT)},
	{TOKEN_FIELD(certificate_no, WIRE_TEXT)},
	{TOKEN_FIELD(organisation, WIRE_TEXT)},
	{TOKEN_FIELD(site, WIRE_TEXT)},
	{TOKEN_FIELD(country, WIRE_TEXT)},
	{TOKEN_FIELD(session_spki, WIRE_HASH)},
	{TOKEN_FIELD(statement_vkey, WIRE_TEXT)},
	{WIRE_FIELD(model_token_status, up, WIRE_BOOL)},
	{WIRE_FIELD(model_token_status, boot, WIRE_U64)},
	{WIRE_FIELD(model_token_status, since_unix_ms, WIRE_I64)},
	{0},
};

/* What a custodian says of a dataset, and behind it what kmsd adds. */
#define DATASET_GIVEN                                                                              \
	{WIRE_FIELD(model_dataset, key, WIRE_ID)},                                                 \
		{WIRE_FIELD_AS(model_dataset, label.text, "label", WIRE_TEXT)},                    \
		{WIRE_FIELD(model_dataset, medium, WIRE_TEXT)},                                    \
		{WIRE_FIELD(model_dataset, serial, WIRE_TEXT)},                                    \
		{WIRE_FIELD(model_dataset, site, WIRE_TEXT)},                                      \
		{WIRE_FIELD(model_dataset, country, WIRE_TEXT)},                                   \
	{                                                                                          \
		WIRE_FIELD(model_dataset, first_write_unix_s, WIRE_I64)                            \
	}
static const struct wire_field dataset_given[] = {DATASET_GIVEN, {0}};
static const struct wire_field dataset_fields[] = {
	DATASET_GIVEN,
	{WIRE_FIELD(model_dataset, id, WIRE_ID)},
	{WIRE_FIELD(model_dataset, tenant, WIRE_ID)},
	{WIRE_FIELD(model_dataset, custodian, WIRE_ID)},
	{WIRE_FIELD_AS(model_dataset, label.salt, "label_salt", WIRE_BYTES)},
	{0},
};

static const struct wire_field status_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.status.version, "version", WIRE_TEXT)},
	{WIRE_FIELD_AS(model_answer, u.status.size, "size", WIRE_U64)},
	{WIRE_FIELD_AS(model_answer, u.status.signed_size, "signed_size", WIRE_U64)},
	{0},
};

void wire_dataset_add_set(struct doc *body, const struct model_request *request)
{
	wire_fields_set(body, dataset_given, &request->u.dataset_add);
}

kms_err wire_dataset_add_get(struct doc *body, struct model_request *request)
{
	return wire_fields_get(body, dataset_given, &request->u.dataset_add);
}

/* Every token of every tenant may stand in an operator's list. */
enum { TOKENS_MAX = LIMIT_TENANTS * LIMIT_TOKENS + 1 };

void wire_status_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_rows_set(body, "tokens", token_fields, answer->u.status.tokens,
		answer->u.status.token_count, sizeof(answer->u.status.tokens[0]));
	wire_fields_set(body, status_fields, answer);
}

kms_err wire_status_answer_get(struct doc *body, struct model_answer *answer)
{
	void *rows = NULL;
	kms_err err = wire_rows_get(body, "tokens", token_fields, sizeof(struct model_token_status),
		TOKENS_MAX, &rows, &answer->u.status.token_count);
	answer->u.status.tokens = rows;
	KMS_TRY(err);
	return wire_fields_get(body, status_fields, answer);
}

/* Both directions of an answer that is one list of rows. */
#define WIRE_LIST(noun, row, fields, max)                                                          \
	void wire_##noun##_answer_set(struct doc *body, const struct model_answer *answer)         \
	{                                                                                          \
		wire_rows_set(body, #noun, fields, answer->u.noun.rows, answer->u.noun.count,      \
			sizeof(struct row));                                                       \
	}                                                                                          \
	kms_err wire_##noun##_answer_get(struct doc *body, struct model_answer *answer)            \
	{                                                                                          \
		void *rows = NULL;                                                                 \
		kms_err err = wire_rows_get(body, #noun, fields, sizeof(struct row), max, &rows,   \
			&answer->u.noun.count);                                                    \
		answer->u.noun.rows = rows;                                                        \
		KMS_TRY(err);                                                                      \
		return doc_end(body);                                                              \
	}

WIRE_LIST(tenants, model_tenant, tenant_fields, LIMIT_LIST_PAGE)
WIRE_LIST(principals, model_principal, principal_fields, LIMIT_LIST_PAGE)
WIRE_LIST(tokens, model_token_status, token_fields, TOKENS_MAX)
WIRE_LIST(datasets, model_dataset, dataset_fields, LIMIT_LIST_PAGE)
