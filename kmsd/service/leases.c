/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys that clients hold on lease: their receipts are recorded, and they are told what to
 * give up at once. Runs in kmsd. A receipt is the client's own signed word. It is recorded only
 * where it gives back something that was open, so a client makes no more receipts than it had uses.
 */
#include "service_int.h"

#include <stdlib.h>
#include <string.h>

/* What a certificate must still be good for: a verifier holds it against the entry's time, which is
 * later than ours, or ahead of it where the clock was set back. */
enum { RECEIPT_AHEAD_S = 60 };

/* A certificate of a storage system of the tenant, for the key that the caller has: so that an
 * auditor with the tenant's CA alone can tell whose word the receipt is. */
static kms_err check_certificate(struct service *service, const struct service_ask *ask,
	const struct kms_buf *der, struct kms_buf *ret_spki)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO(crypto_cert) ca = NULL;
	KMS_AUTO_FREE char *ca_pem = NULL;
	struct kms_hash spki;
	bool is_storage = false;
	int64_t now_s = kms_now_unix_ms() / 1000;
	KMS_TRY(crypto_cert_parse_der(kms_buf_bytes(der), &cert));
	KMS_TRY(crypto_cert_spki_hash(cert, &spki));
	KMS_TRY(service_tenant_ca(service, &ask->who->tenant, &ca_pem));
	KMS_TRY(crypto_cert_parse_pem(kms_bytes_str(ca_pem), &ca));
	KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &is_storage));
	if (!kms_hash_equal(&spki, &ask->who->spki) || !is_storage ||
		!kms_is_ok(crypto_cert_check(cert, ca, now_s)) ||
		!kms_is_ok(crypto_cert_check(cert, ca, now_s + RECEIPT_AHEAD_S))) {
		return service_refuse(ask, KMS_ERR(ARGUMENT),
			"the receipt's certificate is not that of its storage system");
	}
	return crypto_cert_spki(cert, ret_spki);
}

/* Would any of its rows give something back? */
static kms_err says_news(struct service *service, const struct service_ask *ask,
	const struct format_receipt *receipt, bool *ret_news)
{
	struct store *store = service->parts.store;
	uint64_t last = 0;
	bool news = false;
	KMS_TRY(store_receipt_last(store, &ask->who->id, &receipt->holder, &last));
	for (uint32_t i = 0; receipt->number > last && !news && i < receipt->row_count; i++) {
		KMS_TRY(store_lease_is_open(store, &receipt->rows[i].key, receipt->rows[i].version,
			&ask->who->id, &receipt->holder, &news));
	}
	*ret_news = news;
	return KMS_OK;
}

static kms_err record(struct service *service, const struct service_ask *ask)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	uint64_t seq;
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = MODEL_CHANGE_LEASE_RECEIPT;
	change->tenant = ask->who->tenant;
	change->actor = ask->who->id;
	change->u.lease_receipt.bytes = ask->request->u.lease_report.receipt; /* borrowed */
	change->u.lease_receipt.certificate = ask->request->u.lease_report.certificate;
	memcpy(change->u.lease_receipt.signature, ask->request->u.lease_report.signature,
		MODEL_SIGNATURE);
	kms_err err = ledger_change(service->parts.ledger, change, &seq);
	/* The same one came twice at once: it is recorded. */
	return kms_is(err, KMS_CODE_EXISTS) ? KMS_OK : err;
}

static kms_err take_receipt(struct service *service, const struct service_ask *ask)
{
	KMS_AUTO(format_receipt) receipt = NULL;
	KMS_AUTO_BUF spki = {0};
	struct kms_bytes bytes = kms_buf_bytes(&ask->request->u.lease_report.receipt);
	bool news = false;
	KMS_TRY(format_receipt_read(bytes, &receipt));
	if (!kms_id_equal(&receipt->tenant, &ask->who->tenant) ||
		!kms_id_equal(&receipt->holder, &ask->request->u.lease_report.holder)) {
		return service_refuse(ask, KMS_ERR(ARGUMENT),
			"the receipt is of another tenant or holder than the request");
	}
	KMS_TRY(check_certificate(service, ask, &ask->request->u.lease_report.certificate, &spki));
	KMS_TRY(crypto_verify_raw(
		kms_buf_bytes(&spki), bytes, ask->request->u.lease_report.signature));
	KMS_TRY(says_news(service, ask, receipt, &news));
	return news ? record(service, ask) : KMS_OK;
}

kms_err leases_report(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	struct kms_id *keys KMS_AUTO_FREE = NULL;
	size_t count = 0;
	if (ask->request->u.lease_report.receipt.len > 0) {
		KMS_TRY(take_receipt(service, ask));
	}
	KMS_TRY(store_lease_recalled(service->parts.store, &ask->who->id,
		&ask->request->u.lease_report.holder, &keys, &count));
	KMS_ASSERT(count <= LIMIT_RECALLED_KEYS);
	if (count > 0) {
		memcpy(answer->u.lease_report.recalled, keys, count * sizeof(*keys));
	}
	answer->u.lease_report.recalled_count = (uint32_t)count;
	return KMS_OK;
}
