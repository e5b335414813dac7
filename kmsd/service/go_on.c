/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out an erasure whose intent is recorded, token by token and KEK by KEK. Every step can be
 * cut off and done again: kms-tokend answers the same statements again, and what is recorded
 * already is not asked for. What one row takes is in go_on_row.c. Runs in kmsd.
 */
#include "go_on_int.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* lock is held. */
static bool is_free(const struct service *service, const struct going *going)
{
	const struct going *g = service->going;
	while (g != NULL && !(kms_id_equal(&g->erasure, &going->erasure) &&
				    kms_id_equal(&g->token, &going->token))) {
		g = g->next;
	}
	return g == NULL;
}

bool go_on_enter(struct service *service, struct going *going, int wait_ms)
{
	struct timespec until;
	int rc = 0;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	(void)pthread_mutex_lock(&service->lock);
	while (wait_ms > 0 && !is_free(service, going) && !service->stopping && rc != ETIMEDOUT) {
		rc = pthread_cond_timedwait(&service->changed, &service->lock, &until);
	}
	bool enters = is_free(service, going);
	if (enters) {
		going->next = service->going;
		service->going = going;
	}
	(void)pthread_mutex_unlock(&service->lock);
	return enters;
}

void go_on_leave(struct service *service, struct going *going)
{
	(void)pthread_mutex_lock(&service->lock);
	struct going **at = &service->going;
	while (*at != going) {
		at = &(*at)->next;
	}
	*at = going->next;
	(void)pthread_cond_broadcast(&service->changed);
	(void)pthread_mutex_unlock(&service->lock);
}

/* ---- one token ---- */

/* Every KEK of the token, and then its wipe, which cannot come while a KEK is left. */
static kms_err steps(struct go_on_work *work)
{
	kms_err first = KMS_OK;
	for (int wipes = 0; wipes <= 1 && kms_is_ok(first); wipes++) {
		for (size_t i = 0; i < work->row_count; i++) {
			struct model_erase_row *row = &work->rows[i];
			bool its = go_on_is_left(work, row) &&
				   kms_id_is_zero(&row->kek) == (wipes == 1);
			kms_err err = its ? go_on_row(work, row) : KMS_OK;
			first = kms_is_ok(first) ? err : first;
			work->refuses[i] = kms_is(err, KMS_CODE_TOKEN_REFUSED);
			/* A refusal, and a statement that does not hold, are about one KEK; all
			 * else is not. */
			if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_INTEGRITY) &&
				!work->refuses[i]) {
				return err;
			}
			row->done = row->done || (its && kms_is_ok(err));
		}
	}
	return first;
}

static bool has_open_rows(const struct go_on_work *work, const struct kms_id *token)
{
	for (size_t i = 0; i < work->row_count; i++) {
		const struct model_erase_row *row = &work->rows[i];
		if (!row->done && kms_id_is_zero(&row->renewed) &&
			kms_id_equal(&row->token, token)) {
			return true;
		}
	}
	return false;
}

static kms_err run_entered(struct go_on_work *work, const struct kms_id *token)
{
	struct store *store = work->service->parts.store;
	free(work->rows); /* what another did meanwhile */
	free(work->refuses);
	work->rows = NULL;
	work->refuses = NULL;
	KMS_TRY(store_erasure_rows(store, &work->erasure.id, &work->rows, &work->row_count));
	work->refuses = calloc(work->row_count + 1, sizeof(*work->refuses));
	if (work->refuses == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	if (!has_open_rows(work, token)) {
		return KMS_OK;
	}
	KMS_TRY(store_token_get(store, token, &work->row));
	KMS_TRY(token_find(work->service->parts.tokens, token, &work->token));
	kms_err err = go_on_open(work);
	if (kms_is(err, KMS_CODE_TOKEN_REFUSED)) {
		KMS_TRY(go_on_note_unbegun(work));
	} else if (kms_is_ok(err)) {
		err = steps(work);
	}
	KMS_TRY(go_on_record_refused(work));
	return err;
}

static kms_err run_token(struct go_on_work *work, const struct kms_id *token)
{
	struct going going = {.erasure = work->erasure.id, .token = *token};
	char id[KMS_ID_TEXT], erasure[KMS_ID_TEXT];
	/* Recovery has other things to do than to wait; a person wants to know how it ends. */
	int wait_ms = kms_id_is_zero(work->actor) ? 0 : LIMIT_TOKEN_WAIT_MS;
	if (!work->entered && !go_on_enter(work->service, &going, wait_ms)) {
		return KMS_OK; /* somebody is at it */
	}
	kms_err err = run_entered(work, token);
	if (!work->entered) {
		go_on_leave(work->service, &going);
	}
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_WARNING, "erasure %s is not finished in token %s: %s",
			kms_id_text(&work->erasure.id, erasure), kms_id_text(token, id),
			kms_err_text(err));
	}
	return err;
}

/* ---- all of them ---- */

static kms_err finish(struct go_on_work *work)
{
	struct service *service = work->service;
	struct model_erasure now;
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(store_erasure_get(service->parts.store, &work->erasure.id, &now));
	bool all = now.state == MODEL_ERASE_EXECUTING && now.destroyed_count == now.kek_count &&
		   now.wiped_count == now.wipe_count;
	model_erasure_free(&now);
	if (!all) {
		return KMS_OK;
	}
	change->type = MODEL_CHANGE_ERASE_FINAL;
	change->actor = *work->actor;
	change->tenant = work->erasure.tenant;
	change->u.erase_step.erasure = work->erasure.id;
	uint64_t seq;
	kms_err err = ledger_change(service->parts.ledger, change, &seq);
	if (kms_is_ok(err)) {
		holds_remove(service, &work->erasure.id);
	}
	/* Another thread may have been first. */
	return kms_is(err, KMS_CODE_KEY_STATE) ? KMS_OK : err;
}

static bool is_ours(kms_err err)
{
	return kms_is(err, KMS_CODE_LEDGER) || kms_is(err, KMS_CODE_STORE) ||
	       kms_is(err, KMS_CODE_NO_MEMORY);
}

static kms_err run(struct go_on_work *work, const struct kms_id *only)
{
	struct ledger *ledger = work->service->parts.ledger;
	struct kms_id tokens[LIMIT_TOKENS];
	uint32_t count = erase_tokens(work->erase, tokens);
	uint64_t size;
	kms_err first = KMS_OK;
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&work->erasure.bytes), &work->hash));
	/* Nothing irrevocable starts before its intent is under a signed head. */
	KMS_TRY(ledger_covered(
		ledger, work->erasure.intent_seq, LIMIT_TOKEN_WAIT_MS, &size, &work->checkpoint));
	KMS_TRY(ledger_inclusion(
		ledger, work->erasure.intent_seq, size, &work->entry, &work->proof));
	for (uint32_t i = 0; i < count; i++) {
		if (only != NULL && !kms_id_equal(only, &tokens[i])) {
			continue;
		}
		kms_err err = run_token(work, &tokens[i]);
		if (is_ours(err)) {
			return err;
		}
		first = kms_is_ok(first) ? err : first;
	}
	kms_err err = finish(work);
	return kms_is_ok(err) ? first : err;
}

static kms_err go_on(struct service *service, const struct kms_id *erasure,
	const struct kms_id *token, const struct kms_id *actor, bool fresh, bool entered)
{
	struct go_on_work *work KMS_AUTO_FREE = calloc(1, sizeof(*work));
	if (work == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	work->service = service;
	work->actor = actor;
	work->fresh = fresh;
	work->entered = entered;
	KMS_TRY(erase_get(service, erasure, &work->erasure, &work->erase));
	kms_err err = work->erasure.state == MODEL_ERASE_EXECUTING ? run(work, token) : KMS_OK;
	model_erasure_free(&work->erasure);
	format_erase_free(&work->erase);
	free(work->rows);
	free(work->refuses);
	kms_buf_free(&work->entry);
	kms_buf_free(&work->checkpoint);
	return err;
}

kms_err go_on_run(struct service *service, const struct kms_id *erasure, const struct kms_id *token,
	const struct kms_id *actor, bool fresh)
{
	return go_on(service, erasure, token, actor, fresh, false);
}

kms_err go_on_run_entered(struct service *service, const struct kms_id *erasure,
	const struct kms_id *token, const struct kms_id *actor)
{
	return go_on(service, erasure, token, actor, false, true);
}
