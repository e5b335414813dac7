/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's head, entries and use records as JSON, both directions. Stored bytes go through
 * unchanged, as base64: whoever verifies hashes exactly those.
 */
#include <stdlib.h>
#include <string.h>

#include "wire_int.h"

static const struct wire_field entry_fields[] = {
	{WIRE_FIELD(model_entry, seq, WIRE_U64)},
	{WIRE_FIELD(model_entry, leaf, WIRE_HASH)},
	{WIRE_FIELD(model_entry, bytes, WIRE_BUF_OPTIONAL), .max = LIMIT_ENTRY_BYTES},
	{0},
};

static const struct wire_field size_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.entries.size, "size", WIRE_U64)},
	{0},
};

static const struct wire_field head_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.head.checkpoint, "checkpoint", WIRE_BUF),
		.max = LIMIT_STATEMENT_BYTES},
	{WIRE_FIELD_AS(model_answer, u.head.size, "size", WIRE_U64)},
	{0},
};

/* A record stands alone in its row. */
static const struct wire_field use_fields[] = {
	{.name = "bytes", .kind = WIRE_BUF, .at = 0, .max = LIMIT_USE_RECORD_BYTES},
	{0},
};

void wire_entries_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_rows_set(body, "entries", entry_fields, answer->u.entries.rows,
		answer->u.entries.count, sizeof(answer->u.entries.rows[0]));
	wire_fields_set(body, size_fields, answer);
}

kms_err wire_entries_answer_get(struct doc *body, struct model_answer *answer)
{
	void *rows = NULL;
	/* A key's history comes by LIMIT_LIST_PAGE, the ledger by LIMIT_ENTRIES_PAGE. */
	kms_err err = wire_rows_get(body, "entries", entry_fields, sizeof(struct model_entry),
		LIMIT_LIST_PAGE, &rows, &answer->u.entries.count);
	answer->u.entries.rows = rows;
	KMS_TRY(err);
	return wire_fields_get(body, size_fields, answer);
}

void wire_head_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_fields_set(body, head_fields, answer);
}

kms_err wire_head_answer_get(struct doc *body, struct model_answer *answer)
{
	return wire_fields_get(body, head_fields, answer);
}

void wire_uses_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_rows_set(body, "uses", use_fields, answer->u.uses.records, answer->u.uses.count,
		sizeof(answer->u.uses.records[0]));
}

kms_err wire_uses_answer_get(struct doc *body, struct model_answer *answer)
{
	void *rows = NULL;
	kms_err err = wire_rows_get(body, "uses", use_fields, sizeof(struct kms_buf),
		LIMIT_COMMIT_USES, &rows, &answer->u.uses.count);
	answer->u.uses.records = rows;
	KMS_TRY(err);
	return doc_end(body);
}
