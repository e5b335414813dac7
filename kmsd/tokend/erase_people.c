/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who signed an erasure: its requester, with a certificate of the tenant's CA that is no storage
 * system's, and approvers, each with the key that the owner's file pins to that id, the requester
 * none of them. One signature that is wrong refuses all.
 */
#include "tokend_int.h"

kms_err erase_person(struct tokend *tokend, struct kms_bytes certificate, int64_t unix_s,
	struct kms_buf *ret_spki, char *ret_reason)
{
	const struct crypto_cert *ca = sessions_client_ca(tokend->sessions);
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_BUF spki = {0};
	struct kms_hash hash;
	bool storage = false;
	if (ca == NULL || !kms_is_ok(crypto_cert_parse_der(certificate, &cert)) ||
		!kms_is_ok(crypto_cert_check(cert, ca, unix_s))) {
		return erase_refuse(ret_reason,
			"the person's certificate is not a valid one of the tenant's client CA");
	}
	KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &storage));
	if (storage) {
		return erase_refuse(ret_reason, "a storage system's certificate is no person's");
	}
	KMS_TRY(crypto_cert_spki(cert, &spki));
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&spki), &hash));
	KMS_TRY(sessions_denied(tokend->sessions, &hash, ret_reason));
	*ret_spki = spki;
	spki = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err check_approvals(const struct tokend *tokend, const struct model_erase_order *order,
	const struct kms_id *requester, const struct kms_hash *requester_key, char *ret_reason)
{
	const struct model_erase_pins *pins = &tokend->owner->approvals;
	bool seen[LIMIT_APPROVALS] = {false};
	for (uint32_t i = 0; i < order->approval_count; i++) {
		struct kms_hash spki;
		uint32_t at = 0;
		KMS_TRY(crypto_sha256_one(order->approvals[i].spki, &spki));
		while (at < pins->count &&
			!(kms_id_equal(&pins->rows[at].approver, &order->approvals[i].approver) &&
				kms_hash_equal(&pins->rows[at].spki, &spki))) {
			at++;
		}
		if (at == pins->count) {
			return erase_refuse(ret_reason, "an approver, or a key, is not pinned");
		}
		/* The pins have each approver and each key once: one row is one of both. */
		if (seen[at]) {
			return erase_refuse(ret_reason, "an approver has signed twice");
		}
		seen[at] = true;
		if (kms_id_equal(&order->approvals[i].approver, requester) ||
			kms_hash_equal(&spki, requester_key)) {
			return erase_refuse(ret_reason, "the requester cannot approve");
		}
		if (!kms_is_ok(crypto_verify_raw(order->approvals[i].spki, order->erase,
			    order->approvals[i].signature))) {
			return erase_refuse(ret_reason, "an approval's signature is wrong");
		}
	}
	if (order->approval_count < pins->needed) {
		return erase_refuse(ret_reason, "%u approvals, and %u are needed",
			(unsigned)order->approval_count, (unsigned)pins->needed);
	}
	return KMS_OK;
}

kms_err erase_check_people(struct tokend *tokend, const struct model_erase_order *order,
	const struct format_erase *erase, int64_t at_unix_ms, char *ret_reason)
{
	KMS_AUTO_BUF spki = {0};
	struct kms_hash key;
	KMS_TRY(erase_person(tokend, order->certificate, at_unix_ms / 1000, &spki, ret_reason));
	if (!kms_is_ok(crypto_verify_raw(kms_buf_bytes(&spki), order->erase, order->signature))) {
		return erase_refuse(ret_reason, "the requester's signature is wrong");
	}
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&spki), &key));
	return check_approvals(tokend, order, &erase->requester, &key, ret_reason);
}
