/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Erasures as JSON, both directions: what is to be signed, signatures, and bundles. Signed bytes
 * and documents go through unchanged, as base64: whoever signs or verifies hashes exactly those.
 */
#include <stdlib.h>

#include "wire_int.h"

static const char *scope_word(unsigned value)
{
	return model_erase_scope_text((enum model_erase_scope)value);
}

static const char *state_word(unsigned value)
{
	return model_erase_state_text((enum model_erase_state)value);
}

/* ---- requests ---- */

#define PLAN(member, name, kind) WIRE_FIELD_AS(model_request, u.erase_plan.member, name, kind)
static const struct wire_field plan_fields[] = {
	{PLAN(target.scope, "scope", WIRE_WORD), .word = scope_word},
	{PLAN(target.subject, "subject", WIRE_ID)},
	{PLAN(target.wipe, "wipe", WIRE_BOOL)},
	{PLAN(window_s, "window_s", WIRE_U32)},
	{PLAN(valid_s, "valid_s", WIRE_U32)},
	{0},
};

void wire_erase_plan_set(struct doc *body, const struct model_request *request)
{
	const struct model_erase_target *target = &request->u.erase_plan.target;
	struct doc *versions = doc_set_array(body, "versions");
	KMS_ASSERT(target->version_count <= LIMIT_ERASE_VERSIONS);
	for (uint32_t i = 0; i < target->version_count; i++) {
		doc_add_int(versions, target->versions[i]);
	}
	wire_fields_set(body, plan_fields, request);
}

static kms_err get_versions(struct doc *body, struct model_erase_target *target)
{
	struct doc *versions = NULL;
	KMS_TRY(doc_get_array(body, "versions", &versions));
	size_t count = doc_count(versions);
	if (count > LIMIT_ERASE_VERSIONS) {
		return KMS_ERR(TOO_LARGE);
	}
	for (size_t i = 0; i < count; i++) {
		int64_t version = 0;
		KMS_TRY(doc_item_int(versions, i, &version));
		if (version < 1 || version > LIMIT_KEY_VERSIONS) {
			return KMS_ERR(FORMAT);
		}
		target->versions[i] = (uint32_t)version;
	}
	target->version_count = (uint32_t)count;
	return KMS_OK;
}

kms_err wire_erase_plan_get(struct doc *body, struct model_request *request)
{
	struct model_erase_target *target = &request->u.erase_plan.target;
	KMS_TRY(get_versions(body, target));
	KMS_TRY(wire_fields_get(body, plan_fields, request));
	/* What belongs to one scope only is an error in another, never ignored. */
	bool by_version = target->scope == MODEL_ERASE_VERSIONS;
	if (by_version != (target->version_count > 0) ||
		(target->wipe && target->scope != MODEL_ERASE_TENANT)) {
		return KMS_ERR(FORMAT);
	}
	return KMS_OK;
}

#define REQUEST(member, kind) WIRE_FIELD_AS(model_request, u.erase_request.member, #member, kind)
static const struct wire_field request_fields[] = {
	{REQUEST(bytes, WIRE_BUF), .max = LIMIT_ERASE_BYTES},
	{REQUEST(certificate, WIRE_BUF), .max = LIMIT_CERT_PEM},
	{REQUEST(signature, WIRE_BYTES)},
	{0},
};

void wire_erase_request_set(struct doc *body, const struct model_request *request)
{
	wire_fields_set(body, request_fields, request);
}

kms_err wire_erase_request_get(struct doc *body, struct model_request *request)
{
	return wire_fields_get(body, request_fields, request);
}

enum { SPKI_MAX = 256 }; /* DER of a P-256 key has 91 bytes */

#define SIGN(member, kind) WIRE_FIELD_AS(model_request, u.erase_sign.member, #member, kind)
static const struct wire_field sign_fields[] = {
	{SIGN(spki, WIRE_BUF), .max = SPKI_MAX},
	{SIGN(signature, WIRE_BYTES)},
	{0},
};

void wire_erase_sign_set(struct doc *body, const struct model_request *request)
{
	wire_fields_set(body, sign_fields, request);
}

kms_err wire_erase_sign_get(struct doc *body, struct model_request *request)
{
	return wire_fields_get(body, sign_fields, request);
}

/* ---- answers: the plan ---- */

#define PLANNED(member, most)                                                                      \
	{                                                                                          \
		WIRE_FIELD_AS(model_answer, u.erase_plan.member, #member, WIRE_BUF), .max = (most) \
	}
static const struct wire_field planned_fields[] = {
	PLANNED(scope, LIMIT_PLAN_BYTES),
	PLANNED(observed, LIMIT_PLAN_BYTES),
	PLANNED(bytes, LIMIT_ERASE_BYTES),
	{0},
};

void wire_plan_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_fields_set(body, planned_fields, answer);
}

kms_err wire_plan_answer_get(struct doc *body, struct model_answer *answer)
{
	return wire_fields_get(body, planned_fields, answer);
}

/* ---- answers: erasures ---- */

#define ERASURE(member, kind) WIRE_FIELD(model_erasure, member, kind)
#define SUMMARY                                                                                    \
	{ERASURE(id, WIRE_ID)}, {ERASURE(tenant, WIRE_ID)}, {ERASURE(requester, WIRE_ID)},         \
		{ERASURE(scope, WIRE_WORD), .word = scope_word}, {ERASURE(subject, WIRE_ID)},      \
		{ERASURE(state, WIRE_WORD), .word = state_word},                                   \
		{ERASURE(not_before_unix_s, WIRE_I64)}, {ERASURE(expires_unix_s, WIRE_I64)},       \
		{ERASURE(requested_unix_ms, WIRE_I64)}, {ERASURE(done_unix_ms, WIRE_I64)},         \
		{ERASURE(request_seq, WIRE_U64)}, {ERASURE(intent_seq, WIRE_U64)},                 \
		{ERASURE(final_seq, WIRE_U64)}, {ERASURE(kek_count, WIRE_U32)},                    \
		{ERASURE(destroyed_count, WIRE_U32)}, {ERASURE(wipe_count, WIRE_U32)},             \
		{ERASURE(wiped_count, WIRE_U32)}, {ERASURE(renewed_count, WIRE_U32)},              \
		{ERASURE(cert, WIRE_ID_OPTIONAL)}, {ERASURE(cert_final, WIRE_BOOL)},               \
		{ERASURE(cert_seq, WIRE_U64)},                                                     \
	{                                                                                          \
		ERASURE(cert_hash, WIRE_HASH)                                                      \
	}
/* A page of them has to fit one answer: only a count of what is long. */
static const struct wire_field list_fields[] = {
	SUMMARY,
	{ERASURE(approval_count, WIRE_U64)},
	{0},
};
static const struct wire_field show_fields[] = {
	SUMMARY,
	{ERASURE(bytes, WIRE_BUF), .max = LIMIT_ERASE_BYTES},
	{ERASURE(certificate, WIRE_BUF), .max = LIMIT_CERT_PEM},
	{ERASURE(signature, WIRE_BYTES)},
	{0},
};
static const struct wire_field approval_fields[] = {
	{WIRE_FIELD(model_signed, principal, WIRE_ID)},
	{WIRE_FIELD(model_signed, spki, WIRE_BUF), .max = SPKI_MAX},
	{WIRE_FIELD(model_signed, signature, WIRE_BYTES)},
	{WIRE_FIELD(model_signed, unix_ms, WIRE_I64)},
	{WIRE_FIELD(model_signed, seq, WIRE_U64)},
	{0},
};
static const struct wire_field copy_fields[] = {
	{WIRE_FIELD(model_erase_row, token, WIRE_ID)},
	{WIRE_FIELD(model_erase_row, kek, WIRE_ID_OPTIONAL)}, /* absent, as key: a wipe */
	{WIRE_FIELD(model_erase_row, key, WIRE_ID_OPTIONAL)},
	{WIRE_FIELD(model_erase_row, version, WIRE_U32)},
	{WIRE_FIELD(model_erase_row, done, WIRE_BOOL)},
	{WIRE_FIELD(model_erase_row, seq, WIRE_U64)},
	{WIRE_FIELD(model_erase_row, token_up, WIRE_BOOL)},
	{WIRE_FIELD(model_erase_row, renewed, WIRE_ID_OPTIONAL)},
	{WIRE_FIELD(model_erase_row, refused_unix_ms, WIRE_I64)},
	{WIRE_FIELD(model_erase_row, refused, WIRE_TEXT)},
	{0},
};
static const struct wire_field shown_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.erasures.scope, "plan", WIRE_BUF), .max = LIMIT_PLAN_BYTES},
	{WIRE_FIELD_AS(model_answer, u.erasures.needed, "needed", WIRE_U32)},
	{0},
};

void wire_erasures_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_rows_set(body, "erasures", list_fields, answer->u.erasures.rows,
		answer->u.erasures.count, sizeof(struct model_erasure));
}

kms_err wire_erasures_answer_get(struct doc *body, struct model_answer *answer)
{
	void *rows = NULL;
	kms_err err = wire_rows_get(body, "erasures", list_fields, sizeof(struct model_erasure),
		LIMIT_LIST_PAGE, &rows, &answer->u.erasures.count);
	answer->u.erasures.rows = rows;
	KMS_TRY(err);
	return doc_end(body);
}

void wire_erasure_answer_set(struct doc *body, const struct model_answer *answer)
{
	struct doc *rows = doc_set_array(body, "erasures");
	for (size_t i = 0; i < answer->u.erasures.count; i++) {
		const struct model_erasure *erasure = &answer->u.erasures.rows[i];
		struct doc *row = doc_add_object(rows);
		wire_fields_set(row, show_fields, erasure);
		wire_rows_set(row, "approvals", approval_fields, erasure->approvals,
			erasure->approval_count, sizeof(erasure->approvals[0]));
	}
	wire_rows_set(body, "copies", copy_fields, answer->u.erasures.keks,
		answer->u.erasures.row_count, sizeof(answer->u.erasures.keks[0]));
	wire_fields_set(body, shown_fields, answer);
}

static kms_err get_erasure(struct doc *row, struct model_erasure *erasure)
{
	void *approvals = NULL;
	kms_err err = wire_rows_get(row, "approvals", approval_fields, sizeof(struct model_signed),
		LIMIT_APPROVALS, &approvals, &erasure->approval_count);
	erasure->approvals = approvals;
	KMS_TRY(err);
	return wire_fields_get(row, show_fields, erasure);
}

/* Its one row. */
static kms_err get_shown(struct doc *body, struct model_answer *answer)
{
	struct doc *rows = NULL;
	struct doc *row = NULL;
	KMS_TRY(doc_get_array(body, "erasures", &rows));
	if (doc_count(rows) != 1) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(doc_item_object(rows, 0, &row));
	answer->u.erasures.rows = calloc(1, sizeof(answer->u.erasures.rows[0]));
	if (answer->u.erasures.rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->u.erasures.count = 1;
	return get_erasure(row, &answer->u.erasures.rows[0]);
}

kms_err wire_erasure_answer_get(struct doc *body, struct model_answer *answer)
{
	void *rows = NULL;
	KMS_TRY(get_shown(body, answer));
	kms_err err = wire_rows_get(body, "copies", copy_fields, sizeof(struct model_erase_row),
		LIMIT_ERASE_KEKS + LIMIT_TOKENS, &rows, &answer->u.erasures.row_count);
	answer->u.erasures.keks = rows;
	KMS_TRY(err);
	return wire_fields_get(body, shown_fields, answer);
}

/* ---- answers: the bundle ---- */

static const struct wire_field file_fields[] = {
	{WIRE_FIELD(model_file, name, WIRE_TEXT)},
	{WIRE_FIELD(model_file, bytes, WIRE_BUF), .max = LIMIT_BUNDLE_BYTES},
	{0},
};
static const struct wire_field bundle_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.bundle.certificate, "certificate", WIRE_ID)},
	{0},
};

void wire_bundle_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_rows_set(body, "files", file_fields, answer->u.bundle.files, answer->u.bundle.count,
		sizeof(answer->u.bundle.files[0]));
	wire_fields_set(body, bundle_fields, answer);
}

kms_err wire_bundle_answer_get(struct doc *body, struct model_answer *answer)
{
	void *rows = NULL;
	kms_err err = wire_rows_get(body, "files", file_fields, sizeof(struct model_file),
		LIMIT_BUNDLE_FILES, &rows, &answer->u.bundle.count);
	answer->u.bundle.files = rows;
	KMS_TRY(err);
	return wire_fields_get(body, bundle_fields, answer);
}
