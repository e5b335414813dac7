/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an erasure may begin. From its intent on it can only be finished, so everything is looked at
 * once more before: approvals, times, and that it would still destroy what people signed. Every
 * kms-tokend looks at all of this by itself. Runs in kmsd.
 */
#include "service_int.h"

#include <stdlib.h>

static uint32_t count_good(const struct model_erasure *erasure, const struct model_erase_pins *pins)
{
	uint32_t good = 0;
	for (size_t i = 0; i < erasure->approval_count; i++) {
		const struct model_signed *by = &erasure->approvals[i];
		good += approve_is_pinned(pins, &by->principal, kms_buf_bytes(&by->spki)) ? 1 : 0;
	}
	return good;
}

static kms_err check_approvals(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, const struct format_erase *erase)
{
	struct model_erase_pins pins;
	kms_err err = approve_pins(service, erase, &pins);
	if (kms_is(err, KMS_CODE_TOKEN_DOWN)) {
		return service_refuse(
			ask, err, "no token of this erasure answers: nothing was begun");
	}
	KMS_TRY(err);
	uint32_t good = count_good(erasure, &pins);
	if (pins.needed == 0 || good < pins.needed) {
		return service_refuse(ask, KMS_ERR(KEY_STATE),
			"%u approvals of %u that its tokens ask for", (unsigned)good,
			(unsigned)pins.needed);
	}
	return KMS_OK;
}

static kms_err check_times(const struct service_ask *ask, const struct model_erasure *erasure)
{
	char at[KMS_TIME_TEXT];
	int64_t now_s = kms_now_unix_ms() / 1000;
	if (now_s < erasure->not_before_unix_s) {
		return service_refuse(ask, KMS_ERR(KEY_STATE), "not before %s",
			kms_time_text(erasure->not_before_unix_s * 1000, at));
	}
	if (now_s >= erasure->expires_unix_s) {
		return service_refuse(ask, KMS_ERR(KEY_STATE),
			"its approvals expired at %s: cancel it and plan anew",
			kms_time_text(erasure->expires_unix_s * 1000, at));
	}
	return KMS_OK;
}

/* What stands in the way by now is each token's own affair; what would be destroyed is not. */
static kms_err check_plan(
	struct service *service, const struct service_ask *ask, const struct format_erase *erase)
{
	struct evidence_parts parts = erase_parts(service);
	struct evidence_wish *wish KMS_AUTO_FREE = calloc(1, sizeof(*wish));
	KMS_AUTO(evidence_plan) plan = NULL;
	struct kms_hash hash;
	if (wish == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(evidence_wish_of(erase, wish));
	KMS_TRY(evidence_plan_make(&parts, wish, &plan));
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&plan->scope), &hash));
	return kms_hash_equal(&hash, &erase->plan)
		       ? KMS_OK
		       : service_refuse(ask, KMS_ERR(KEY_STATE),
				 "what it would destroy is not what was approved: cancel it and "
				 "plan anew");
}

static kms_err record_intent(
	struct service *service, const struct service_ask *ask, const struct model_erasure *erasure)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = MODEL_CHANGE_ERASE_INTENT;
	change->actor = ask->who->id;
	change->tenant = erasure->tenant;
	change->u.erase_step.erasure = erasure->id;
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&erasure->bytes), &change->u.erase_step.erase));
	uint64_t seq;
	kms_err err = ledger_change(service->parts.ledger, change, &seq);
	model_change_free(change);
	return err;
}

static kms_err begin(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, const struct format_erase *erase)
{
	switch (erasure->state) {
	case MODEL_ERASE_REQUESTED:
		KMS_TRY(check_times(ask, erasure));
		KMS_TRY(check_approvals(service, ask, erasure, erase));
		KMS_TRY(check_plan(service, ask, erase));
		return record_intent(service, ask, erasure);
	case MODEL_ERASE_EXECUTING:
	case MODEL_ERASE_DONE:
		return KMS_OK; /* it goes on, or there is nothing left to do */
	case MODEL_ERASE_CANCELLED:
	case MODEL_ERASE_RENEWED:
		break;
	}
	return service_refuse(
		ask, KMS_ERR(KEY_STATE), "it is %s", model_erase_state_text(erasure->state));
}

kms_err execute_run(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct kms_id *id = &ask->request->u.id;
	struct model_erasure erasure;
	KMS_AUTO(format_erase) erase = NULL;
	KMS_TRY(erase_get(service, id, &erasure, &erase));
	kms_err err = begin(service, ask, &erasure, erase);
	model_erasure_free(&erasure);
	KMS_TRY(err);
	err = go_on_run(service, id, NULL, &ask->who->id, true);
	/* What a token did not do is in the answer, row by row; it is no failure of the request. */
	if (kms_is(err, KMS_CODE_LEDGER) || kms_is(err, KMS_CODE_STORE) ||
		kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	}
	return erase_answer(service, id, answer);
}
