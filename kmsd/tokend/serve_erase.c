/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the poll loop's table that are about erasures and manifests. */
#include "serve_int.h"

kms_err serve_kek_hold(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	(void)answer;
	(void)kept;
	return keks_hold(tokend, &request->u.hold.kek, request->u.hold.held);
}

kms_err serve_erase_pins(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	(void)request;
	(void)kept;
	answer->u.erase_pins = &tokend->owner->approvals;
	return KMS_OK;
}

kms_err serve_erase_open(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	(void)kept;
	return erase_open(tokend, request->u.erase_open, answer->reason);
}

kms_err serve_erase_kek(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	return erase_kek(tokend, &request->u.erase.erasure, &request->u.erase.kek, &kept->bytes,
		&answer->u.erased.destroy, &answer->u.erased.absence, answer->reason);
}

kms_err serve_erase_wipe(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	KMS_TRY(erase_wipe(tokend, &request->u.erase.erasure, &kept->bytes, answer->reason));
	answer->u.bytes = kms_buf_bytes(&kept->bytes);
	return KMS_OK;
}

kms_err serve_erase_cancel(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)kept;
	return erase_cancel(tokend, request->u.erase_cancel.erase, request->u.erase_cancel.spki,
		request->u.erase_cancel.certificate, request->u.erase_cancel.signature,
		answer->reason);
}

kms_err serve_manifest_sign(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	KMS_TRY(manifest_sign(tokend, request->u.manifest, &kept->bytes));
	answer->u.bytes = kms_buf_bytes(&kept->bytes);
	return KMS_OK;
}
