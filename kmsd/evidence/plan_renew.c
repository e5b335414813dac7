/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plan takes over from erasures that are executing and have expired: what their kms-tokends
 * refused since. Runs in kmsd. A plan that takes over something leaves to them what they go on
 * with.
 */
#include "evidence_int.h"

#include <stdlib.h>
#include <string.h>

/* Sorted, each once. */
static void add(struct plan_draft *draft, const struct kms_id *erasure)
{
	uint32_t at = 0;
	while (at < draft->renew_count && plan_compare_ids(&draft->renews[at], erasure) < 0) {
		at++;
	}
	if (at < draft->renew_count && kms_id_equal(&draft->renews[at], erasure)) {
		return;
	}
	KMS_ASSERT(draft->renew_count < sizeof(draft->renews) / sizeof(draft->renews[0]));
	memmove(&draft->renews[at + 1], &draft->renews[at],
		(draft->renew_count - at) * sizeof(draft->renews[0]));
	draft->renews[at] = *erasure;
	draft->renew_count++;
}

kms_err plan_admits(struct plan_draft *draft, const struct kms_id *token, const struct kms_id *kek,
	bool *ret_admits, bool *ret_left)
{
	struct store_holder holder;
	kms_err err = store_holder_get(draft->parts->store, token, kek, kms_now_unix_ms(), &holder);
	*ret_left = false;
	*ret_admits = kms_is(err, KMS_CODE_NOT_FOUND) ||
		      (kms_is_ok(err) && kms_id_equal(&holder.erasure, &draft->wish->erasure));
	if (kms_is(err, KMS_CODE_NOT_FOUND) || *ret_admits) {
		return KMS_OK;
	}
	KMS_TRY(err);
	*ret_left = holder.executing;
	/* There is room for as many as one erasure may name. */
	bool room = draft->renew_count < sizeof(draft->renews) / sizeof(draft->renews[0]);
	if (holder.renewable && !draft->recorded && draft->renewing && room) {
		add(draft, &holder.erasure);
		*ret_admits = true;
		*ret_left = false;
	}
	return KMS_OK;
}

kms_err plan_renews_read(struct plan_draft *draft)
{
	struct kms_id *ids KMS_AUTO_FREE = NULL;
	struct model_erasure row;
	size_t count = 0;
	kms_err err = store_erasure_get(draft->parts->store, &draft->wish->erasure, &row);
	draft->renewing = true; /* where it is new: as far as there is something */
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_OK;
	}
	KMS_TRY(err);
	model_erasure_free(&row);
	KMS_TRY(store_erasure_renews(draft->parts->store, &draft->wish->erasure, &ids, &count));
	for (size_t i = 0; i < count; i++) {
		add(draft, &ids[i]);
	}
	draft->recorded = true;
	draft->renewing = count > 0;
	return KMS_OK;
}
