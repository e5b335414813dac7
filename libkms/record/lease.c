/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What entries say of data keys that clients gave up. The grants are no entries of their own: each
 * is in the use record of what was handed out (use.c).
 */
#include "entry_int.h"

#include "format.h"

/* A storage principal's receipt, for its own tenant. */
static kms_err receipt_check(const struct model_change *change, kms_err bad)
{
	KMS_AUTO(format_receipt) receipt = NULL;
	if (kms_id_is_zero(&change->tenant) || kms_id_is_zero(&change->actor) ||
		change->u.lease_receipt.certificate.len == 0) {
		return bad;
	}
	KMS_TRY(format_receipt_read(kms_buf_bytes(&change->u.lease_receipt.bytes), &receipt));
	return kms_id_equal(&receipt->tenant, &change->tenant) ? KMS_OK : bad;
}

static kms_err lease_receipt_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	KMS_TRY(receipt_check(change, KMS_ERR(ARGUMENT)));
	doc_set_bytes(data, "receipt", kms_buf_bytes(&change->u.lease_receipt.bytes));
	doc_set_bytes(data, "cert", kms_buf_bytes(&change->u.lease_receipt.certificate));
	record_signature_set(data, change->u.lease_receipt.signature);
	return KMS_OK;
}

static kms_err lease_receipt_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_bytes(
		data, "receipt", LIMIT_RECEIPT_BYTES, &change->u.lease_receipt.bytes));
	KMS_TRY(doc_get_bytes(data, "cert", LIMIT_CERT_PEM, &change->u.lease_receipt.certificate));
	KMS_TRY(record_signature_get(data, change->u.lease_receipt.signature));
	return receipt_check(change, KMS_ERR(FORMAT));
}

const struct entry_part entry_lease_receipt = {NULL, lease_receipt_set, lease_receipt_get};
