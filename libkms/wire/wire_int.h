/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of wire: plain structs described field by field in tables, so that one table serves
 * both directions, and a row per operation.
 */
#ifndef KMS_WIRE_INT_H
#define KMS_WIRE_INT_H

#include <stddef.h>

#include "doc.h"
#include "wire.h"

/* ---- fields (fields.c) ---- */

enum wire_kind {
	WIRE_ID,
	WIRE_ID_OPTIONAL, /* absent when zero; zero is refused when it is written out */
	WIRE_HASH,
	WIRE_TEXT,         /* a char array: model_text_check */
	WIRE_TEXT_OWNED,   /* char *, of at most max bytes */
	WIRE_BYTES,        /* a uint8_t array, all of it, base64 */
	WIRE_BUF,          /* struct kms_buf of at most max bytes, base64 */
	WIRE_BUF_OPTIONAL, /* absent when empty */
	WIRE_WORD,         /* an enum of model, by its text */
	WIRE_BOOL,
	WIRE_U32,
	WIRE_U64, /* below 2^53 */
	WIRE_I64, /* a time; not negative, below 2^53 */
	WIRE_IDS, /* an array of ids and, at count_at, their uint32_t count */
};
struct wire_field {
	const char *name; /* NULL: the end of a table */
	enum wire_kind kind;
	size_t at;   /* in the struct */
	size_t size; /* of the member */
	size_t max;
	size_t count_at;
	const char *(*word)(unsigned value); /* "unknown" past the last */
};
#define WIRE_FIELD_AS(type, member, as, its_kind)                                                  \
	.name = (as), .kind = (its_kind), .at = offsetof(struct type, member),                     \
	.size = sizeof(((struct type *)0)->member)
#define WIRE_FIELD(type, member, its_kind) WIRE_FIELD_AS(type, member, #member, its_kind)

/* Members of one object. Reading ends with doc_end(). */
void wire_fields_set(struct doc *object, const struct wire_field *fields, const void *from);
kms_err wire_fields_get(struct doc *object, const struct wire_field *fields, void *into);

/* An array of such objects as member `name`. What was read before a failure is in *rows, the
 * caller's to free with the answer it lies in. */
void wire_rows_set(struct doc *object, const char *name, const struct wire_field *fields,
	const void *rows, size_t count, size_t row_bytes);
kms_err wire_rows_get(struct doc *object, const char *name, const struct wire_field *fields,
	size_t row_bytes, size_t max, void **rows, size_t *count);

const char *wire_role(unsigned value);
const char *wire_class(unsigned value);
const char *wire_custody(unsigned value);
const char *wire_delivery(unsigned value);
const char *wire_state(unsigned value);
const char *wire_kek_state(unsigned value);

/* ---- what stands in the URL (url.c) ---- */

enum wire_url {
	WIRE_URL_NONE,
	WIRE_URL_ID,      /* {id} is u.id */
	WIRE_URL_KEY,     /* {id} is u.use.key */
	WIRE_URL_BATCH,   /* {id} is u.use_batch, a number */
	WIRE_URL_ERASURE, /* {id} is u.erase_sign.id */
	WIRE_URL_PAGE,    /* ?after=UUID&limit=N */
	WIRE_URL_RANGE,   /* ?from=N&limit=N */
};
kms_err wire_url_write(enum wire_url url, const char *path, const struct model_request *request,
	char **ret_target);
kms_err wire_url_read(enum wire_url url, const char *id, const struct wire_query *query,
	size_t query_count, struct model_request *request);

/* ---- operations: keys.c, things.c, ledger.c, use.c, lease.c, erase.c ---- */

/* Writers leave failures in the document. Readers may leave a half-filled struct: its owner frees
 * it. Both directions of every body. */
void wire_key_create_set(struct doc *body, const struct model_request *request);
kms_err wire_key_create_get(struct doc *body, struct model_request *request);
void wire_dataset_add_set(struct doc *body, const struct model_request *request);
kms_err wire_dataset_add_get(struct doc *body, struct model_request *request);
void wire_session_set(struct doc *body, const struct model_request *request);
kms_err wire_session_get(struct doc *body, struct model_request *request);
void wire_sealed_set(struct doc *body, const struct model_request *request);
kms_err wire_use_get(struct doc *body, struct model_request *request);
void wire_lease_report_set(struct doc *body, const struct model_request *request);
kms_err wire_lease_report_get(struct doc *body, struct model_request *request);
void wire_erase_plan_set(struct doc *body, const struct model_request *request);
kms_err wire_erase_plan_get(struct doc *body, struct model_request *request);
void wire_erase_request_set(struct doc *body, const struct model_request *request);
kms_err wire_erase_request_get(struct doc *body, struct model_request *request);
void wire_erase_sign_set(struct doc *body, const struct model_request *request);
kms_err wire_erase_sign_get(struct doc *body, struct model_request *request);

void wire_status_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_status_answer_get(struct doc *body, struct model_answer *answer);
void wire_tenants_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_tenants_answer_get(struct doc *body, struct model_answer *answer);
void wire_principals_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_principals_answer_get(struct doc *body, struct model_answer *answer);
void wire_tokens_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_tokens_answer_get(struct doc *body, struct model_answer *answer);
void wire_keys_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_keys_answer_get(struct doc *body, struct model_answer *answer);
void wire_datasets_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_datasets_answer_get(struct doc *body, struct model_answer *answer);
void wire_session_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_session_answer_get(struct doc *body, struct model_answer *answer);
void wire_sealed_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_use_answer_get(struct doc *body, struct model_answer *answer);
void wire_entries_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_entries_answer_get(struct doc *body, struct model_answer *answer);
void wire_head_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_head_answer_get(struct doc *body, struct model_answer *answer);
void wire_uses_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_uses_answer_get(struct doc *body, struct model_answer *answer);
void wire_lease_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_lease_answer_get(struct doc *body, struct model_answer *answer);
void wire_plan_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_plan_answer_get(struct doc *body, struct model_answer *answer);
/* Of a list; and one of them with all that belongs to it. */
void wire_erasures_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_erasures_answer_get(struct doc *body, struct model_answer *answer);
void wire_erasure_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_erasure_answer_get(struct doc *body, struct model_answer *answer);
void wire_bundle_answer_set(struct doc *body, const struct model_answer *answer);
kms_err wire_bundle_answer_get(struct doc *body, struct model_answer *answer);

/* Bodies that may hold data keys are written without doc, straight into secret memory (clear.c). */
kms_err wire_clear_request_write(const struct model_request *request, struct kms_secret **ret_body);
kms_err wire_clear_answer_write(const struct model_answer *answer, struct kms_secret **ret_body);

#endif
