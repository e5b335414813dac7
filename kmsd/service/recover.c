/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After each new link to a kms-tokend, store and token are brought to agree, by the ledger's word:
 * what an erasure names is held, KEKs whose birth is recorded are committed, those whose making was
 * cut off are given up, erasures that were begun go on, and what should not be is an alarm. Runs in
 * one thread of kmsd.
 */
#include "service_int.h"

#include "record.h"

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

kms_err recover_alarm(struct service *service, const struct model_token *row,
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
	struct model_kek *destroyed;
	size_t destroyed_count;
};

static int compare_kek(const void *a, const void *b)
{
	const struct model_kek *x = a, *y = b;
	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

/* The store gives rows by id; there may be LIMIT_KEYS of them. */
static const struct model_kek *row_of(
	const struct model_kek *rows, size_t count, const struct kms_id *kek)
{
	const struct model_kek wanted = {.id = *kek};
	return count == 0 ? NULL : bsearch(&wanted, rows, count, sizeof(*rows), compare_kek);
}

static bool in(const struct model_kek *rows, size_t count, const struct kms_id *kek)
{
	return row_of(rows, count, kek) != NULL;
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

/* Is there an alarm with this text about this key already? */
static kms_err was_said(
	struct service *service, const struct kms_id *key, const char *text, bool *ret_said)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	struct record_head *head KMS_AUTO_FREE = calloc(1, sizeof(*head));
	struct model_entry *rows KMS_AUTO_FREE = NULL;
	size_t count = 0;
	kms_err err = KMS_OK;
	if (change == NULL || head == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(store_entries_of_key(
		service->parts.store, key, LIMIT_KEY_VERSIONS * 10, &rows, &count));
	for (size_t i = 0; i < count; i++) {
		if (kms_is_ok(err)) {
			err = record_entry_read(kms_buf_bytes(&rows[i].bytes), head, change);
		}
		if (kms_is_ok(err)) {
			*ret_said = *ret_said || (change->type == MODEL_CHANGE_ALARM &&
							 strcmp(change->u.alarm.text, text) == 0);
			model_change_free(change);
		}
		kms_buf_free(&rows[i].bytes);
	}
	return err;
}

/* A restored copy stays where it is: it is said once for each KEK, not at each look. */
static kms_err alarm_once(struct service *service, const struct model_token *row,
	const struct model_held_kek *kek, const char *what)
{
	char text[LIMIT_REASON + 1], id[KMS_ID_TEXT];
	bool said = false;
	(void)snprintf(
		text, sizeof(text), "%s; it is not used: %s", what, kms_id_text(&kek->kek, id));
	KMS_TRY(was_said(service, &kek->key, text, &said));
	return said ? KMS_OK : recover_alarm(service, row, &kek->key, text);
}

/* The token destroyed it: by an erasure that the ledger is executing, whose result is still to
 * come, or by one that this store does not know (any more). */
static kms_err settle_destroyed(struct service *service, const struct model_token *row,
	const struct books *books, const struct model_held_kek *held)
{
	const struct model_kek *live = row_of(books->live, books->live_count, &held->kek);
	if (live == NULL) {
		return KMS_OK;
	}
	bool expected = false;
	if (!kms_id_is_zero(&live->erasure)) {
		struct model_erasure *erasure KMS_AUTO_FREE = calloc(1, sizeof(*erasure));
		if (erasure == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		KMS_TRY(store_erasure_get(service->parts.store, &live->erasure, erasure));
		expected = erasure->state == MODEL_ERASE_EXECUTING ||
			   erasure->state == MODEL_ERASE_DONE; /* the books are older */
		model_erasure_free(erasure);
	}
	return expected ? KMS_OK
			: alarm_once(service, row, held,
				  "the token destroyed a KEK that the ledger knows as live");
}

/* One KEK that the token has, against the books. */
static kms_err settle(struct service *service, struct token *token, const struct model_token *row,
	const struct books *books, const struct model_held_kek *kek)
{
	if (kek->life == MODEL_HELD_REAPPEARED) {
		return alarm_once(service, row, kek, "an erased KEK is in the token again");
	}
	if (kek->life == MODEL_HELD_ERASING || kek->life == MODEL_HELD_DESTROYED) {
		return settle_destroyed(service, row, books, kek);
	}
	bool committed = kek->life == MODEL_HELD_COMMITTED;
	if (in(books->live, books->live_count, &kek->kek)) {
		return committed ? KMS_OK : token_kek_commit(token, &kek->kek);
	}
	if (in(books->destroyed, books->destroyed_count, &kek->kek)) {
		KMS_TRY(token_kek_hold(token, &kek->kek, true));
		return alarm_once(service, row, kek, "the token holds a KEK that was erased");
	}
	if (committed) {
		bool live = true;
		if (books->fresh) {
			KMS_TRY(is_live_now(service, kek, &live));
		}
		return live ? KMS_OK
			    : recover_alarm(service, row, &kek->key,
				      "the token has a committed KEK that the ledger does "
				      "not know as live");
	}
	if (in(books->given_up, books->given_up_count, &kek->kek)) {
		return token_kek_abandon(token, &kek->kek);
	}
	return KMS_OK; /* being made right now */
}

bool recover_is_outage(kms_err err)
{
	static const enum kms_code outages[] = {KMS_CODE_TOKEN_DOWN, KMS_CODE_TIMEOUT,
		KMS_CODE_LEDGER, KMS_CODE_STORE, KMS_CODE_NO_MEMORY};
	for (size_t i = 0; i < sizeof(outages) / sizeof(outages[0]); i++) {
		if (kms_is(err, outages[i])) {
			return true;
		}
	}
	return false;
}

/* Did kms-tokend answer, and refuse this one KEK? The others are settled all the same, and it is
 * tried again with the next look at everything. */
static bool is_its_own(const struct model_held_kek *kek, kms_err err)
{
	char text[KMS_ID_TEXT];
	if (recover_is_outage(err)) {
		return false;
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
		       : recover_alarm(service, row, &none,
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
		err = store_kek_of_token(service->parts.store, &row->id, MODEL_KEK_DESTROYED,
			&books.destroyed, &books.destroyed_count);
	}
	if (kms_is_ok(err)) {
		err = settle_all(service, token, row, &books);
	}
	free(books.live);
	free(books.given_up);
	free(books.destroyed);
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
	if (kms_id_is_zero(&row.tenant)) {
		return KMS_OK;
	}
	if (fresh) {
		KMS_TRY(holds_resend(service, token, &row));
	}
	return compare_keks(service, token, &row, fresh);
}

/* Erasures that were begun, as far as this token comes with them now. */
static void go_on(struct service *service, struct token *token, bool fresh)
{
	static const struct kms_id nobody;
	struct model_erasure *rows KMS_AUTO_FREE = NULL;
	size_t count;
	if (!kms_is_ok(store_erasure_open(service->parts.store, &rows, &count))) {
		return;
	}
	for (size_t i = 0; i < count; i++) {
		/* It says by itself what failed; the next look goes on. */
		KMS_IGNORE(go_on_run(service, &rows[i].id, token_id(token), &nobody, fresh));
		model_erasure_free(&rows[i]);
	}
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

static uint64_t settled(struct service *service, size_t i)
{
	(void)pthread_mutex_lock(&service->lock);
	uint64_t links = service->settled[i];
	(void)pthread_mutex_unlock(&service->lock);
	return links;
}

/* Unless it came apart again meanwhile. */
static void settle_at(struct service *service, size_t i, uint64_t before, uint64_t links)
{
	(void)pthread_mutex_lock(&service->lock);
	if (service->settled[i] == before) {
		service->settled[i] = links;
	}
	(void)pthread_mutex_unlock(&service->lock);
}

/* Once after each link, and again where the last try failed half-way. */
static void look_at(struct service *service, size_t i, bool all)
{
	struct token *token = token_at(service->parts.tokens, i);
	struct token_state state;
	uint64_t before = settled(service, i);
	token_state_get(token, &state);
	bool fresh = state.links != before;
	if (!state.up || (!fresh && !all)) {
		return;
	}
	kms_err err = recover_token(service, token, fresh);
	if (kms_is_ok(err)) {
		settle_at(service, i, before, state.links);
		go_on(service, token, fresh);
	}
}

void *recover_run(void *arg)
{
	struct service *service = arg;
	int64_t all_ms = kms_monotonic_ms();
	do {
		bool all = kms_monotonic_ms() - all_ms > ALL_EVERY_MS;
		for (size_t i = 0; i < token_count(service->parts.tokens); i++) {
			look_at(service, i, all);
		}
		all_ms = all ? kms_monotonic_ms() : all_ms;
	} while (!pause_for(service, LOOK_EVERY_MS));
	return NULL;
}
