/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed receipts for data keys that were wiped (docs/formats/receipt.md), and the question what
 * kmsd wants back. Runs in a thread of the client's own, and in its callers'. A receipt that kmsd
 * did not answer is sent again, byte for byte, before any other: it has a number, and kmsd counts
 * none twice.
 */
#include "client_int.h"

#include <stdlib.h>
#include <string.h>

#include "wire.h"

kms_err receipts_open(struct leases *leases)
{
	const struct profile *profile = leases->client->profile;
	KMS_AUTO(crypto_cert) cert = NULL;
	if (profile->data_url == NULL) {
		return KMS_OK; /* it is handed nothing out */
	}
	KMS_TRY(crypto_cert_read(profile->certificate, &cert));
	KMS_TRY(crypto_cert_der(cert, &leases->certificate));
	return crypto_signer_read(profile->key, &leases->signer);
}

static int compare_rows(const void *a, const void *b)
{
	const struct format_receipt_row *one = a, *other = b;
	int order = memcmp(one->key.b, other->key.b, sizeof(one->key.b));
	return order != 0 ? order
			  : (one->version > other->version) - (one->version < other->version);
}

/* The first rows of what was given up, as many as one receipt may have. */
kms_err receipts_make(struct leases *leases)
{
	size_t count =
		leases->row_count < LIMIT_RECEIPT_ROWS ? leases->row_count : LIMIT_RECEIPT_ROWS;
	KMS_AUTO_BUF bytes = {0};
	qsort(leases->rows, leases->row_count, sizeof(leases->rows[0]), compare_rows);
	const struct format_receipt receipt = {
		.tenant = leases->client->profile->tenant,
		.holder = leases->holder,
		.number = leases->number + 1,
		.unix_ms = kms_now_unix_ms(),
		.row_count = (uint32_t)count,
		.rows = leases->rows,
	};
	KMS_TRY(format_receipt_write(&receipt, &bytes));
	KMS_TRY(crypto_sign(leases->signer, kms_buf_bytes(&bytes), leases->signature));
	leases->pending = bytes;
	bytes = (struct kms_buf){0};
	leases->pending_until_ms = leases->rows_until_ms;
	leases->number++;
	leases->row_count -= count;
	memmove(leases->rows, leases->rows + count, leases->row_count * sizeof(leases->rows[0]));
	leases->news_since_ms = leases->row_count > 0 ? leases->news_since_ms : 0;
	return KMS_OK;
}

kms_err receipts_send(
	struct leases *leases, struct kms_id ret_recalled[LIMIT_RECALLED_KEYS], uint32_t *ret_count)
{
	HTTP_AUTO_ANSWER body = {0};
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request request = {.op = MODEL_OP_LEASE_REPORT};
	request.u.lease_report.holder = leases->holder;
	if (leases->pending.len > 0) { /* borrowed by the request */
		request.u.lease_report.receipt = leases->pending;
		request.u.lease_report.certificate = leases->certificate;
		memcpy(request.u.lease_report.signature, leases->signature, MODEL_SIGNATURE);
	}
	KMS_TRY(client_ask_quietly(leases->client, &request, &body));
	KMS_TRY(wire_answer_read(MODEL_OP_LEASE_REPORT, http_answer_body(&body), &answer));
	*ret_count = answer->u.lease_report.recalled_count;
	memcpy(ret_recalled, answer->u.lease_report.recalled, *ret_count * sizeof(*ret_recalled));
	return KMS_OK;
}
