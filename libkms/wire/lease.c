/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client says of the data keys that it holds on lease, and what kmsd wants back.
 */
#include "wire_int.h"

#define REPORT(member, its_kind)                                                                   \
	WIRE_FIELD_AS(model_request, u.lease_report.member, #member, its_kind)

/* Three that come together, or not at all. */
static const struct wire_field receipt_fields[] = {
	{REPORT(holder, WIRE_ID)},
	{REPORT(receipt, WIRE_BUF), .max = LIMIT_RECEIPT_BYTES},
	{REPORT(certificate, WIRE_BUF), .max = LIMIT_CERT_PEM},
	{REPORT(signature, WIRE_BYTES)},
	{0},
};
static const struct wire_field holder_fields[] = {
	{REPORT(holder, WIRE_ID)},
	{0},
};

static const struct wire_field recalled_fields[] = {
	{WIRE_FIELD_AS(model_answer, u.lease_report.recalled, "recalled", WIRE_IDS),
		.count_at = offsetof(struct model_answer, u.lease_report.recalled_count)},
	{0},
};

void wire_lease_report_set(struct doc *body, const struct model_request *request)
{
	bool only_asks = request->u.lease_report.receipt.len == 0;
	wire_fields_set(body, only_asks ? holder_fields : receipt_fields, request);
}

kms_err wire_lease_report_get(struct doc *body, struct model_request *request)
{
	return wire_fields_get(
		body, doc_has(body, "receipt") ? receipt_fields : holder_fields, request);
}

void wire_lease_answer_set(struct doc *body, const struct model_answer *answer)
{
	wire_fields_set(body, recalled_fields, answer);
}

kms_err wire_lease_answer_get(struct doc *body, struct model_answer *answer)
{
	return wire_fields_get(body, recalled_fields, answer);
}
