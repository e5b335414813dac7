/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: start, stop, and the callers' side of the sequencer. Runs in kmsd. A caller waits until
 * what it asked for is durable, or is told that it is not.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ledger_int.h"

void ledger_deadline(struct timespec *ret_time, int64_t ms)
{
	(void)clock_gettime(CLOCK_MONOTONIC, ret_time);
	ret_time->tv_sec += ms / 1000;
	ret_time->tv_nsec += ms % 1000 * 1000000;
	if (ret_time->tv_nsec >= 1000000000) {
		ret_time->tv_sec++;
		ret_time->tv_nsec -= 1000000000;
	}
}

bool ledger_tick(struct ledger *ledger)
{
	struct timespec until;
	ledger_deadline(&until, 1000);
	int rc = 0;
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	while (!ledger->stopping && rc == 0) {
		rc = pthread_cond_timedwait(&ledger->tick, &ledger->lock, &until);
	}
	bool stop = ledger->stopping;
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	return stop;
}

/* ---- start and stop ---- */

static void cond_make(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	KMS_ASSERT(pthread_condattr_init(&attr) == 0);
	KMS_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	KMS_ASSERT(pthread_cond_init(cond, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
}

static kms_err open_track(struct store *store, struct token *token, struct track *track)
{
	struct model_token row;
	struct store_position position;
	track->token = token;
	track->id = *token_id(token);
	KMS_TRY(store_token_get(store, &track->id, &row));
	KMS_TRY(store_position_get(store, &track->id, &position));
	memcpy(track->statement_vkey, row.statement_vkey, sizeof(track->statement_vkey));
	track->tenant = row.tenant;
	track->place.boot = position.boot;
	track->place.n = position.n;
	track->place.running = position.running;
	return KMS_OK;
}

/* Every token of a tenant; the system token has no KEK, and so no uses. */
static kms_err open_tracks(struct ledger *ledger, struct token_set *tokens)
{
	ledger->tracks = calloc(token_count(tokens) + 1, sizeof(*ledger->tracks));
	if (ledger->tracks == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < token_count(tokens); i++) {
		struct token *token = token_at(tokens, i);
		if (token == ledger->system) {
			continue;
		}
		kms_err err =
			open_track(ledger->store, token, &ledger->tracks[ledger->track_count]);
		if (!kms_is_ok(err)) {
			char id[KMS_ID_TEXT];
			kms_log(KMS_LOG_ERROR, "ledger: token %s: %s",
				kms_id_text(token_id(token), id), kms_err_text(err));
			return err;
		}
		ledger->track_count++;
	}
	return KMS_OK;
}

static kms_err open_parts(struct ledger *ledger, struct token_set *tokens)
{
	KMS_TRY(ledger_book_open(ledger->store, &ledger->book));
	ledger->size = ledger->book->kept.size;
	ledger->root = ledger->book->root;
	KMS_TRY(store_checkpoint_last(ledger->store, &ledger->signed_size, &ledger->note));
	KMS_TRY(open_tracks(ledger, tokens));
	KMS_TRY(token_wait_up(ledger->system, LIMIT_TOKEN_WAIT_MS));
	return ledger_last_check(ledger);
}

static kms_err start_threads(struct ledger *ledger)
{
	static void *(*const bodies[])(void *) = {ledger_sequence, ledger_sign, ledger_notary};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		if (pthread_create(&ledger->threads[i], NULL, bodies[i], ledger) != 0) {
			kms_log(KMS_LOG_ERROR, "ledger: no thread");
			return KMS_ERR(NO_MEMORY);
		}
		ledger->thread_count++;
	}
	return KMS_OK;
}

kms_err ledger_start(struct store *store, struct token_set *tokens, struct token *system,
	const char *tiles, uint32_t lease_s, struct ledger **ret_ledger)
{
	KMS_AUTO(ledger) ledger = calloc(1, sizeof(*ledger));
	if (ledger == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	ledger->store = store;
	ledger->system = system;
	ledger->changes.last = &ledger->changes.first;
	ledger->denials.last = &ledger->denials.first;
	ledger->uses.last = &ledger->uses.first;
	KMS_ASSERT(pthread_mutex_init(&ledger->lock, NULL) == 0);
	cond_make(&ledger->work);
	cond_make(&ledger->tick);
	if (tiles != NULL) {
		KMS_TRY(ledger_tiles_open(store, tiles, &ledger->tiles));
	}
	KMS_TRY(open_parts(ledger, tokens));
	ledger->book->lease_s = lease_s;
	KMS_TRY(start_threads(ledger));
	*ret_ledger = kms_take(&ledger);
	return KMS_OK;
}

/* Signer and notary first: what they still append is recorded. */
static void stop_threads(struct ledger *ledger)
{
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	ledger->stopping = true;
	KMS_ASSERT(pthread_cond_broadcast(&ledger->tick) == 0);
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	for (size_t i = 1; i < ledger->thread_count; i++) {
		KMS_ASSERT(pthread_join(ledger->threads[i], NULL) == 0);
	}
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	ledger->draining = true;
	KMS_ASSERT(pthread_cond_signal(&ledger->work) == 0);
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	if (ledger->thread_count > 0) {
		KMS_ASSERT(pthread_join(ledger->threads[0], NULL) == 0);
	}
}

void ledger_free(struct ledger **ledger)
{
	if (*ledger == NULL) {
		return;
	}
	struct ledger *old = kms_take(ledger);
	stop_threads(old);
	tiles_free(&old->tiles);
	book_free(&old->book);
	ledger_deny_free(&old->deny);
	kms_buf_free(&old->note);
	free(old->tracks);
	(void)pthread_cond_destroy(&old->work);
	(void)pthread_cond_destroy(&old->tick);
	(void)pthread_mutex_destroy(&old->lock);
	free(old);
}

/* ---- callers ---- */

static kms_err wait_in(struct ledger *ledger, struct queue *queue, struct wait *wait)
{
	KMS_ASSERT(pthread_cond_init(&wait->cond, NULL) == 0);
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	*queue->last = wait;
	queue->last = &wait->next;
	KMS_ASSERT(pthread_cond_signal(&ledger->work) == 0);
	while (!wait->done) {
		KMS_ASSERT(pthread_cond_wait(&wait->cond, &ledger->lock) == 0);
	}
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	(void)pthread_cond_destroy(&wait->cond);
	return wait->err;
}

kms_err ledger_change(struct ledger *ledger, struct model_change *change, uint64_t *ret_seq)
{
	struct change_wait wait = {.change = change};
	KMS_TRY(wait_in(ledger, &ledger->changes, &wait.wait));
	*ret_seq = wait.seq;
	return KMS_OK;
}

kms_err ledger_deny(struct ledger *ledger, const struct kms_id *tenant,
	const struct model_use *denials, size_t count)
{
	struct deny_wait wait = {.tenant = *tenant, .denials = denials, .count = count};
	if (count > LIMIT_BATCH_ITEMS) {
		return KMS_ERR(TOO_LARGE);
	}
	return wait_in(ledger, &ledger->denials, &wait.wait);
}

kms_err ledger_uses_wait(
	struct ledger *ledger, const struct kms_id *token, uint64_t boot, uint64_t n)
{
	struct uses_wait wait = {.token = *token, .boot = boot, .n = n};
	return wait_in(ledger, &ledger->uses, &wait.wait);
}

kms_err ledger_head(struct ledger *ledger, uint64_t *ret_size, uint64_t *ret_signed_size,
	struct kms_buf *ret_checkpoint)
{
	KMS_AUTO_BUF note = {0};
	KMS_ASSERT(pthread_mutex_lock(&ledger->lock) == 0);
	uint64_t size = ledger->size;
	uint64_t signed_size = ledger->signed_size;
	kms_err err = kms_buf_copy(kms_buf_bytes(&ledger->note), &note);
	KMS_ASSERT(pthread_mutex_unlock(&ledger->lock) == 0);
	KMS_TRY(err);
	*ret_size = size;
	*ret_signed_size = signed_size;
	*ret_checkpoint = note;
	note = (struct kms_buf){0};
	return KMS_OK;
}
