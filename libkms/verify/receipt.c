/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose word a lease.receipt entry is: by the certificate beside it, whoever issued that.
 */
#include "verify_int.h"

kms_err receipt_signer(const struct model_change *change, struct crypto_cert **ret_cert)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(crypto_cert_parse_der(kms_buf_bytes(&change->u.lease_receipt.certificate), &cert));
	KMS_TRY(crypto_cert_spki(cert, &spki));
	KMS_TRY(crypto_verify_raw(kms_buf_bytes(&spki),
		kms_buf_bytes(&change->u.lease_receipt.bytes), change->u.lease_receipt.signature));
	*ret_cert = kms_take(&cert);
	return KMS_OK;
}
