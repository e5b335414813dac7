/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After each new link to a kms-tokend, store and token are brought to agree, by the ledger's word:
 * KEKs whose birth is recorded are committed, those whose making was cut off are given up, and
 * what should not be is an alarm. Runs in one thread of kmsd.
 */
#include "service_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_EVERY_MS = 200, ALL_EVERY_MS = 30 * 1000 };

static kms_err record_boot(
	struct service *service, const struct model_token *row, const struct token_state *state)
{
	struct store_position position;
	KMS_TRY(store_position_get(service->parts.store, &row->id, &position));
	if (position.known_boot == state->hello.boot) {
		return KMS_OK;
	}
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = MODEL_CHANGE_TOKEN_BOOT;
	change->tenant = row->tenant;
	change->u.token_boot.token = row->id;
	change->u.token_boot.boot = state->hello.boot;
	uint64_t seq;
	return ledger_change(service->parts.ledger, change, &seq);
}

static kms_err alarm_about(struct service *service, const struct model_token *row,
	const struct kms_id *key, const char *text)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_log(KMS_LOG_ERROR, "alarm: %s", text);
	change->type = MODEL_CHANGE_ALARM;
	change->tenant = row->tenant;
	change->u.alarm.token = row->id;
	change->u.alarm.key = *key;
	(void)snprintf(change->u.alarm.text, sizeof(change->u.alarm.text), "%s", text);
	uint64_t seq;
	return ledger_change(service->parts.ledger, change, &seq);
}

/* Versions whose making nobody pursues any more: it was cut off, so the result is that it failed.
 */
static kms_err give_up_pending(struct service *service, const struct model_token *row)
{
	struct model_kek *keks KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(store_kek_of_token(
		service->parts.store, &row->id, MODEL_KEK_PENDING, &keks, &count));
	for (size_t i = 0; i < count; i++) {
		if (births_in_progress(service, &keks[i].key)) {
			continue;
		}
		kms_err err = births_give_up(service, &row->tenant, &keks[i].key, keks[i].version);
		/* Another token of the same key may have been here first. */
		if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_KEY_STATE) &&
			!kms_is(err, KMS_CODE_NOT_FOUND) && !kms_is(err, KMS_CODE_EXISTS)) {
			return err;
		}
	}
	return KMS_OK;
}

struct books {
	bool fresh; /* the first look after a link: what is wrong is said once for each */
	struct model_kek *live;
	size_t live_count;
	struct model_kek *given_up;
	size_t given_up_count;
};

static int compare_kek(const void *a, const void *b)
{
	const struct model_kek *x = a, *y = b;
	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

/* The store gives rows by id; there may be LIMIT_KEYS of them. */
static bool in(const struct model_kek *rows, size_t count, const struct kms_id *kek)
{
	const struct model_kek wanted = {.id = *kek};
	return count > 0 && bsearch(&wanted, rows, count, sizeof(*rows), compare_kek) != NULL;
}

/* The books are older than the token's list: a KEK may have been made in between. Its result is
 * durable before the token hears of the commit, so that the store knows by now. */
static kms_err is_live_now(
	struct service *service, const struct model_held_kek *held, bool *ret_live)
{
	struct model_kek *keks KMS_AUTO_FREE = NULL;
	size_t count;
	bool live = false;
	KMS_TRY(store_kek_list(service->parts.store, &held->key, &keks, &count));
	for (size_t i = 0; i < count; i++) {
		live = live ||
		       (kms_id_equal(&keks[i].id, &held->kek) && keks[i].state == MODEL_KEK_LIVE);
	}
	*ret_live = live;
	return KMS_OK;
}

/* One KEK that the token has, against the books. */
static kms_err settle(struct service *service, struct token *token, const struct model_token *row,
	const struct books *books, const struct model_held_kek *kek)
{
	if (kek->life == MODEL_HELD_REAPPEARED) {
		return alarm_about(service, row, &kek->key,
			"an erased KEK has reappeared in the token; it is not used");
	}
	if (kek->life == MODEL_HELD_ERASING || kek->life == MODEL_HELD_DESTROYED) {
		return KMS_OK; /* its result is the erasure's to record */
	}
	bool committed = kek->life == MODEL_HELD_COMMITTED;
	if (in(books->live, books->live_count, &kek->kek)) {
		return committed ? KMS_OK : token_kek_commit(token, &kek->kek);
	}
	if (committed) {
		bool live = true;
		if (books->fresh) {
			KMS_TRY(is_live_now(service, kek, &live));
		}
		return live ? KMS_OK
			    : alarm_about(service, row, &kek->key,
				      "the token has a committed KEK that the ledger does "
				      "not know as live");
	}
	if (in(books->given_up, books->given_up_count, &kek->kek)) {
		return token_kek_abandon(token, &kek->kek);
	}
	return KMS_OK; /* being made right now */
}

/* Did kms-tokend answer, and refuse this one KEK? The others are settled all the same, and it is
 * tried again with the next look at everything. */
static bool is_its_own(const struct model_held_kek *kek, kms_err err)
{
	static const enum kms_code outages[] = {KMS_CODE_TOKEN_DOWN, KMS_CODE_TIMEOUT,
		KMS_CODE_LEDGER, KMS_CODE_STORE, KMS_CODE_NO_MEMORY};
	char text[KMS_ID_TEXT];
	for (size_t i = 0; i < sizeof(outages) / sizeof(outages[0]); i++) {
		if (kms_is(err, outages[i])) {
			return false;
		}
	}
	kms_log(KMS_LOG_ERROR, "KEK %s cannot be committed or given up now: %s",
		kms_id_text(&kek->kek, text), kms_err_text(err));
	return true;
}

static kms_err settle_all(struct service *service, struct token *token,
	const struct model_token *row, const struct books *books)
{
	struct kms_id after = {0};
	size_t met = 0;
	for (;;) {
		struct model_held_kek *rows KMS_AUTO_FREE = NULL;
		uint32_t count;
		KMS_TRY(token_kek_list(token, &after, &rows, &count));
		for (uint32_t i = 0; i < count; i++) {
			met += in(books->live, books->live_count, &rows[i].kek) ? 1 : 0;
			kms_err err = settle(service, token, row, books, &rows[i]);
			if (!kms_is_ok(err) && !is_its_own(&rows[i], err)) {
				return err;
			}
		}
		if (count == 0) {
			break;
		}
		after = rows[count - 1].kek;
	}
	static const struct kms_id none;
	return met == books->live_count || !books->fresh
		       ? KMS_OK
		       : alarm_about(service, row, &none,
				 "the token lacks a KEK that the ledger knows as live");
}

static kms_err compare_keks(
	struct service *service, struct token *token, const struct model_token *row, bool fresh)
{
	struct books books = {.fresh = fresh};
	KMS_TRY(give_up_pending(service, row));
	kms_err err = store_kek_of_token(
		service->parts.store, &row->id, MODEL_KEK_LIVE, &books.live, &books.live_count);
	if (kms_is_ok(err)) {
		err = store_kek_of_token(service->parts.store, &row->id, MODEL_KEK_ABANDONED,
			&books.given_up, &books.given_up_count);
	}
	if (kms_is_ok(err)) {
		err = settle_all(service, token, row, &books);
	}
	free(books.live);
	free(books.given_up);
	return err;
}

static kms_err recover_token(struct service *service, struct token *token, bool fresh)
{
	struct token_state state;
	struct model_token row;
	token_state_get(token, &state);
	if (!state.up) {
		return KMS_ERR(TOKEN_DOWN);
	}
	KMS_TRY(store_token_get(service->parts.store, token_id(token), &row));
	KMS_TRY(record_boot(service, &row, &state));
	return kms_id_is_zero(&row.tenant) ? KMS_OK : compare_keks(service, token, &row, fresh);
}

/* Returns true when it is time to stop. */
static bool pause_for(struct service *service, int ms)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&service->lock);
	while (!service->stopping &&
		pthread_cond_timedwait(&service->changed, &service->lock, &until) != ETIMEDOUT) {
	}
	bool stopping = service->stopping;
	(void)pthread_mutex_unlock(&service->lock);
	return stopping;
}

void *recover_run(void *arg)
{
	struct service *service = arg;
	size_t count = token_count(service->parts.tokens);
	uint64_t *done KMS_AUTO_FREE = calloc(count + 1, sizeof(*done));
	if (done == NULL) {
		kms_abort(__FILE__, __LINE__, "no memory for recovery at start");
	}
	int64_t all_ms = kms_monotonic_ms();
	do {
		bool all = kms_monotonic_ms() - all_ms > ALL_EVERY_MS;
		for (size_t i = 0; i < count; i++) {
			struct token *token = token_at(service->parts.tokens, i);
			struct token_state state;
			token_state_get(token, &state);
			/* Once after each link, and again where the last try failed half-way. */
			if (state.up && (state.links != done[i] || all)) {
				kms_err err = recover_token(service, token, state.links != done[i]);
				done[i] = kms_is_ok(err) ? state.links : done[i];
			}
		}
		all_ms = all ? kms_monotonic_ms() : all_ms;
	} while (!pause_for(service, LOOK_EVERY_MS));
	return NULL;
}
