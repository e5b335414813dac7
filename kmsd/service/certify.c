/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate of an erasure and its bundle. A new one is issued only where there is none, or
 * where the newest is provisional and more has happened since, or the last lease is over; else the
 * stored one goes out. Runs in kmsd.
 */
#include "service_int.h"

#include <stdlib.h>

static kms_err has_changed(
	struct service *service, const struct model_erasure *erasure, bool *ret_changed)
{
	uint64_t *seqs KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(store_erasure_entries(service->parts.store, &erasure->id, &seqs, &count));
	*ret_changed = count > 0 && seqs[count - 1] > erasure->cert_seq;
	if (*ret_changed || erasure->state != MODEL_ERASE_DONE) {
		return KMS_OK;
	}
	/* Only leases can have kept it from being final. */
	struct evidence_parts parts = erase_parts(service);
	return evidence_leases_over(&parts, erasure, ret_changed);
}

static kms_err read_stored(struct service *service, const struct model_erasure *erasure,
	struct evidence_certificate **ret_certificate)
{
	KMS_AUTO(evidence_certificate) stored = calloc(1, sizeof(*stored));
	if (stored == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	stored->id = erasure->cert;
	stored->final = erasure->cert_final;
	stored->hash = erasure->cert_hash;
	KMS_TRY(store_certificate(service->parts.store, &erasure->cert, &stored->json));
	*ret_certificate = kms_take(&stored);
	return KMS_OK;
}

static kms_err record(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, const struct evidence_certificate *certificate,
	uint64_t *ret_seq)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = MODEL_CHANGE_CERT_ISSUE;
	change->actor = ask->who->id;
	change->tenant = erasure->tenant;
	change->u.cert_issue.erasure = erasure->id;
	change->u.cert_issue.certificate = certificate->id;
	change->u.cert_issue.supersedes = erasure->cert;
	change->u.cert_issue.final = certificate->final;
	change->u.cert_issue.hash = certificate->hash;
	kms_err err = kms_buf_copy(kms_buf_bytes(&certificate->json), &change->u.cert_issue.json);
	if (kms_is_ok(err)) {
		err = ledger_change(service->parts.ledger, change, ret_seq);
	}
	model_change_free(change);
	return err;
}

static kms_err find(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, struct evidence_certificate **ret_certificate,
	uint64_t *ret_seq)
{
	bool changed = true;
	if (!kms_id_is_zero(&erasure->cert)) {
		KMS_TRY(has_changed(service, erasure, &changed));
	}
	if (!kms_id_is_zero(&erasure->cert) && (erasure->cert_final || !changed)) {
		*ret_seq = erasure->cert_seq;
		return read_stored(service, erasure, ret_certificate);
	}
	struct evidence_parts parts = erase_parts(service);
	KMS_TRY(evidence_certificate_make(&parts, erasure, ret_certificate));
	return record(service, ask, erasure, *ret_certificate, ret_seq);
}

static kms_err find_alone(struct service *service, const struct service_ask *ask,
	struct evidence_certificate **ret_certificate, uint64_t *ret_seq)
{
	struct model_erasure erasure;
	(void)pthread_mutex_lock(&service->certificates);
	kms_err err = store_erasure_get(service->parts.store, &ask->request->u.id, &erasure);
	if (kms_is_ok(err)) {
		err = find(service, ask, &erasure, ret_certificate, ret_seq);
		model_erasure_free(&erasure);
	}
	(void)pthread_mutex_unlock(&service->certificates);
	return err;
}

kms_err certify_run(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	KMS_AUTO(evidence_certificate) certificate = NULL;
	struct evidence_parts parts = erase_parts(service);
	struct model_erasure erasure;
	uint64_t seq = 0;
	KMS_TRY(find_alone(service, ask, &certificate, &seq));
	/* As it stands now that the certificate is one of its entries. */
	KMS_TRY(store_erasure_get(service->parts.store, &ask->request->u.id, &erasure));
	kms_err err = evidence_bundle_make(&parts, &erasure, certificate, seq,
		&answer->u.bundle.files, &answer->u.bundle.count);
	model_erasure_free(&erasure);
	KMS_TRY(err);
	answer->u.bundle.certificate = certificate->id;
	return KMS_OK;
}
