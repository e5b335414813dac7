/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kms-tokend refuses of an erasure that is executing, and how another erasure takes it over
 * once the approvals have expired. Nothing goes over that a kms-tokend has begun: each is asked
 * once more, while nobody else asks it, before the request of the new one is recorded. Runs in
 * kmsd.
 */
#include "go_on_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is refused ---- */

bool go_on_is_left(const struct go_on_work *work, const struct model_erase_row *row)
{
	return kms_id_equal(&row->token, &work->row.id) && !row->done &&
	       kms_id_is_zero(&row->renewed);
}

static void note(struct go_on_work *work, const struct model_held_kek *held)
{
	for (size_t i = 0; i < work->row_count; i++) {
		if (kms_id_equal(&work->rows[i].kek, &held->kek) &&
			go_on_is_left(work, &work->rows[i])) {
			work->refuses[i] = held->life == MODEL_HELD_COMMITTED;
		}
	}
}

kms_err go_on_note_unbegun(struct go_on_work *work)
{
	struct kms_id after = {0};
	uint32_t count = 1;
	while (count > 0) {
		struct model_held_kek *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(token_kek_list(work->token, &after, &rows, &count));
		for (uint32_t i = 0; i < count; i++) {
			note(work, &rows[i]);
			after = rows[i].kek;
		}
	}
	for (size_t i = 0; i < work->row_count; i++) {
		if (kms_id_is_zero(&work->rows[i].kek)) {
			work->refuses[i] = go_on_is_left(work, &work->rows[i]);
		}
	}
	return KMS_OK;
}

/* A wipe that has to wait for a KEK that is refused is refused with it. */
static void note_wipe(struct go_on_work *work)
{
	bool refused = false;
	for (size_t i = 0; i < work->row_count; i++) {
		refused = refused || work->refuses[i];
	}
	for (size_t i = 0; refused && i < work->row_count; i++) {
		work->refuses[i] = work->refuses[i] || (kms_id_is_zero(&work->rows[i].kek) &&
							       go_on_is_left(work, &work->rows[i]));
	}
}

static bool is_news(const struct go_on_work *work, const struct model_erase_row *row)
{
	int64_t expires_ms = work->erasure.expires_unix_s * 1000;
	return row->refused_unix_ms == 0 ||
	       (row->refused_unix_ms <= expires_ms && kms_now_unix_ms() > expires_ms);
}

static void fill(struct go_on_work *work, struct model_change *change)
{
	const char *reason = work->reason;
	change->type = MODEL_CHANGE_ERASE_REFUSED;
	change->actor = *work->actor;
	change->tenant = work->erasure.tenant;
	change->u.erase_refused.erasure = work->erasure.id;
	change->u.erase_refused.token = work->row.id;
	if (reason[0] == '\0' || !kms_is_ok(model_text_check(reason, LIMIT_REASON))) {
		reason = "it gave no reason that can be shown";
	}
	(void)snprintf(
		change->u.erase_refused.text, sizeof(change->u.erase_refused.text), "%s", reason);
	for (size_t i = 0; i < work->row_count; i++) {
		const struct model_erase_row *row = &work->rows[i];
		if (!work->refuses[i] || !is_news(work, row)) {
			continue;
		}
		if (kms_id_is_zero(&row->kek)) {
			change->u.erase_refused.wipe = true;
		} else { /* in the order of their ids, as the rows are */
			uint32_t at = change->u.erase_refused.kek_count++;
			change->u.erase_refused.keks[at] = row->kek;
		}
	}
}

kms_err go_on_record_refused(struct go_on_work *work)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->u.erase_refused.keks =
		calloc(work->row_count + 1, sizeof(*change->u.erase_refused.keks));
	if (change->u.erase_refused.keks == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	note_wipe(work);
	fill(work, change);
	uint64_t seq;
	kms_err err = KMS_OK;
	if (change->u.erase_refused.kek_count > 0 || change->u.erase_refused.wipe) {
		err = ledger_change(work->service->parts.ledger, change, &seq);
	}
	model_change_free(change);
	return err;
}

/* ---- another takes it over ---- */

/* An older erasure and a token, each pair once; a row does not move while it is entered. */
struct renewal {
	size_t count, entered;
	struct going rows[LIMIT_ERASE_KEKS + LIMIT_TOKENS];
};

static kms_err find(struct service *service, const struct kms_id *token, const struct kms_id *kek,
	struct renewal *renewal)
{
	struct store_holder holder;
	kms_err err =
		store_holder_get(service->parts.store, token, kek, kms_now_unix_ms(), &holder);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_OK;
	}
	KMS_TRY(err);
	for (size_t i = 0; i < renewal->count; i++) {
		if (kms_id_equal(&renewal->rows[i].erasure, &holder.erasure) &&
			kms_id_equal(&renewal->rows[i].token, token)) {
			return KMS_OK;
		}
	}
	if (holder.renewable) {
		renewal->rows[renewal->count++] =
			(struct going){.erasure = holder.erasure, .token = *token};
	}
	return KMS_OK;
}

static kms_err find_all(
	struct service *service, const struct format_erase *erase, struct renewal *renewal)
{
	static const struct kms_id none;
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		KMS_TRY(find(service, &erase->keks[i].token, &erase->keks[i].kek, renewal));
	}
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		KMS_TRY(find(service, &erase->wipes[i], &none, renewal));
	}
	return KMS_OK;
}

/* Enters it, and asks the token once more: what it goes on with is no part of a plan any more. */
static kms_err seize(struct service *service, const struct service_ask *ask,
	struct renewal *renewal, struct going *going)
{
	char id[KMS_ID_TEXT];
	(void)kms_id_text(&going->token, id);
	if (!go_on_enter(service, going, 0)) {
		return service_refuse(ask, KMS_ERR(TIMEOUT),
			"the older erasure is being carried out in token %s right now: try again",
			id);
	}
	renewal->entered++;
	kms_err err = go_on_run_entered(service, &going->erasure, &going->token, &ask->who->id);
	bool answered = kms_is_ok(err) || kms_is(err, KMS_CODE_TOKEN_REFUSED) ||
			kms_is(err, KMS_CODE_INTEGRITY);
	return answered ? KMS_OK
			: service_refuse(ask, err,
				  "token %s does not say now what it has begun of the older "
				  "erasure: try again when it answers",
				  id);
}

void renew_end(struct service *service, struct renewal **renewal)
{
	if (*renewal == NULL) {
		return;
	}
	for (size_t i = 0; i < (*renewal)->entered; i++) {
		go_on_leave(service, &(*renewal)->rows[i]);
	}
	free(*renewal);
	*renewal = NULL;
}

kms_err renew_begin(struct service *service, const struct service_ask *ask,
	const struct format_erase *erase, struct renewal **ret_renewal)
{
	struct renewal *renewal = calloc(1, sizeof(*renewal));
	if (renewal == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = find_all(service, erase, renewal);
	for (size_t i = 0; kms_is_ok(err) && i < renewal->count; i++) {
		err = seize(service, ask, renewal, &renewal->rows[i]);
	}
	if (!kms_is_ok(err)) {
		renew_end(service, &renewal);
		return err;
	}
	*ret_renewal = renewal;
	return KMS_OK;
}
