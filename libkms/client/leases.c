/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys on lease: a thread of the client's own wipes each at its end. Another asks what kmsd
 * wants back earlier, and sends signed receipts (receipts.c). Runs inside storage systems. It must
 * never wipe a key that its user is looking at, and never count a key as given up that is not
 * wiped.
 */
#include "client_int.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	POLL_MS = 5 * 1000,     /* how often kmsd is asked for what it wants back */
	RECEIPT_MS = 60 * 1000, /* how long a receipt may wait for more to say */
};

/* ---- what was given up, and no receipt says so yet ---- */

static kms_err count_row(struct leases *leases, const struct kms_id *key, uint32_t version)
{
	for (size_t i = 0; i < leases->row_count; i++) {
		struct format_receipt_row *row = &leases->rows[i];
		if (row->version == version && kms_id_equal(&row->key, key)) {
			row->count++;
			return KMS_OK;
		}
	}
	if (leases->row_count == leases->row_cap) {
		size_t cap = leases->row_cap * 2 + 16;
		struct format_receipt_row *rows =
			realloc(leases->rows, cap * sizeof(leases->rows[0]));
		if (rows == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		leases->rows = rows;
		leases->row_cap = cap;
	}
	leases->rows[leases->row_count++] = (struct format_receipt_row){*key, version, 1};
	return KMS_OK;
}

/* So late kmsd only knows sums of what was handed out, and would count it for another. */
static int64_t last_use_ms(int64_t end_ms, int64_t part)
{
	return end_ms + (int64_t)LIMIT_LEASE_LATE_S * 1000 / 4 * part;
}

/* lock is held. */
static void give_up(struct leases *leases, const struct kms_id *key, const struct lease *lease)
{
	bool too_late = last_use_ms(lease->end_ms, 2) < kms_boottime_ms();
	int64_t until_ms = last_use_ms(lease->end_ms, 3); /* of its receipt */
	for (uint32_t i = 0; !too_late && i < LIMIT_CUSTODY_TOKENS; i++) {
		/* Without memory it stays open at kmsd: that claims less than is true. */
		if (lease->versions[i] == 0 ||
			!kms_is_ok(count_row(leases, key, lease->versions[i]))) {
			continue;
		}
		if (leases->news_since_ms == 0) {
			leases->news_since_ms = kms_boottime_ms();
			leases->rows_until_ms = until_ms;
		}
		if (until_ms < leases->rows_until_ms) {
			leases->rows_until_ms = until_ms;
		}
	}
	(void)pthread_cond_broadcast(&leases->changed);
}

void leases_gave_up(struct leases *leases, const struct kms_id *key, const struct lease *lease)
{
	(void)pthread_mutex_lock(&leases->lock);
	give_up(leases, key, lease);
	(void)pthread_mutex_unlock(&leases->lock);
}

/* ---- data keys ---- */

/* lock is held. */
static void purge(struct leases *leases, struct kms_data_key *data_key)
{
	if (data_key->key == NULL) {
		return;
	}
	kms_secret_free(&data_key->key);
	if (!data_key->disowned) {
		give_up(leases, &data_key->id, &data_key->lease);
		leases->urgent = leases->urgent || data_key->recalled;
	}
	data_key->lease = (struct lease){0};
}

/* lock is held. */
static bool is_over(const struct kms_data_key *data_key)
{
	return data_key->recalled || kms_boottime_ms() >= data_key->lease.end_ms;
}

static void purge_over(struct leases *leases)
{
	for (struct kms_data_key *it = leases->first; it != NULL; it = it->next) {
		if (it->borrowed == 0 && is_over(it)) {
			purge(leases, it);
		}
	}
}

/* The threads start with the first lease. lock is held. */
static kms_err start(struct leases *leases);

kms_err leases_add(struct leases *leases, struct kms_data_key *data_key)
{
	(void)pthread_mutex_lock(&leases->lock);
	kms_err err = start(leases);
	if (kms_is_ok(err)) {
		data_key->leases = leases;
		data_key->next = leases->first;
		if (leases->first != NULL) {
			leases->first->previous = data_key;
		}
		leases->first = data_key;
		leases->references++;
		(void)pthread_cond_broadcast(&leases->changed);
	}
	(void)pthread_mutex_unlock(&leases->lock);
	return err;
}

static void leases_drop(struct leases *leases, size_t left)
{
	if (left > 0) {
		return;
	}
	kms_buf_free(&leases->pending);
	kms_buf_free(&leases->certificate);
	crypto_signer_free(&leases->signer);
	free(leases->rows);
	(void)pthread_cond_destroy(&leases->changed);
	(void)pthread_mutex_destroy(&leases->lock);
	free(leases);
}

void leases_remove(struct kms_data_key *data_key)
{
	struct leases *leases = data_key->leases;
	if (leases == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&leases->lock);
	purge(leases, data_key);
	*(data_key->previous == NULL ? &leases->first : &data_key->previous->next) = data_key->next;
	if (data_key->next != NULL) {
		data_key->next->previous = data_key->previous;
	}
	size_t left = --leases->references;
	(void)pthread_mutex_unlock(&leases->lock);
	leases_drop(leases, left);
}

kms_err kms_data_key_borrow(struct kms_data_key *data_key, const uint8_t **ret_bytes)
{
	struct leases *leases = data_key->leases;
	(void)pthread_mutex_lock(&leases->lock);
	bool live = data_key->key != NULL && !is_over(data_key);
	if (live) {
		data_key->borrowed++;
		*ret_bytes = kms_secret_cptr(data_key->key);
	}
	(void)pthread_mutex_unlock(&leases->lock);
	return live ? KMS_OK : KMS_ERR(LEASE);
}

void kms_data_key_return(struct kms_data_key *data_key)
{
	struct leases *leases = data_key->leases;
	(void)pthread_mutex_lock(&leases->lock);
	KMS_ASSERT(data_key->borrowed > 0);
	if (--data_key->borrowed == 0 && (is_over(data_key) || leases->closed)) {
		purge(leases, data_key);
	}
	(void)pthread_mutex_unlock(&leases->lock);
}

void kms_data_key_disown(struct kms_data_key *data_key)
{
	(void)pthread_mutex_lock(&data_key->leases->lock);
	data_key->disowned = true;
	(void)pthread_mutex_unlock(&data_key->leases->lock);
}

uint32_t kms_data_key_lease_s(const struct kms_data_key *data_key)
{
	struct leases *leases = data_key->leases;
	(void)pthread_mutex_lock(&leases->lock);
	int64_t left_ms = data_key->lease.end_ms - kms_boottime_ms();
	bool live = data_key->key != NULL && !data_key->recalled && left_ms > 0;
	(void)pthread_mutex_unlock(&leases->lock);
	return live ? (uint32_t)((left_ms + 999) / 1000) : 0;
}

void leases_renew(struct kms_data_key *data_key, struct kms_secret **key, const struct lease *lease)
{
	struct leases *leases = data_key->leases;
	(void)pthread_mutex_lock(&leases->lock);
	if (data_key->key != NULL && data_key->borrowed > 0) {
		/* It is looked at: the old copy stays, the new one is given up. */
		kms_secret_free(key);
		if (!data_key->disowned) {
			give_up(leases, &data_key->id, &data_key->lease);
		}
	} else {
		purge(leases, data_key);
		data_key->key = kms_take(key);
	}
	data_key->lease = *lease;
	data_key->recalled = false;
	(void)pthread_cond_broadcast(&leases->changed);
	(void)pthread_mutex_unlock(&leases->lock);
}

/* ---- the threads ---- */

static bool is_held(const struct leases *leases)
{
	bool held = false;
	for (const struct kms_data_key *it = leases->first; it != NULL && !held; it = it->next) {
		held = it->key != NULL && !it->disowned;
	}
	return held;
}

static bool is_due(const struct leases *leases)
{
	int64_t now = kms_boottime_ms();
	bool something = leases->row_count > 0 || leases->pending.len > 0;
	return (something && leases->urgent) ||
	       ((something || is_held(leases)) && now >= leases->asked_ms + POLL_MS);
}

/* Until when there is nothing to tell. */
static int64_t next_report(const struct leases *leases)
{
	bool something = leases->row_count > 0 || leases->pending.len > 0;
	return something || is_held(leases) ? leases->asked_ms + POLL_MS : INT64_MAX;
}

/* Until when there is nothing to wipe. */
static int64_t next_end(const struct leases *leases)
{
	int64_t next = INT64_MAX;
	for (const struct kms_data_key *it = leases->first; it != NULL; it = it->next) {
		if (it->key != NULL && it->borrowed == 0 && it->lease.end_ms < next) {
			next = it->lease.end_ms;
		}
	}
	return next;
}

static void wait_until(struct leases *leases, int64_t next)
{
	int64_t left = next == INT64_MAX ? INT64_MAX : next - kms_boottime_ms();
	struct timespec until;
	if (left <= 0) {
		return;
	}
	if (left > POLL_MS && left != INT64_MAX) {
		left = POLL_MS; /* a host that slept is looked at soon after it woke */
	}
	if (left == INT64_MAX) {
		(void)pthread_cond_wait(&leases->changed, &leases->lock);
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(left % 1000 + 1) * 1000000;
	until.tv_sec += left / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_cond_timedwait(&leases->changed, &leases->lock, &until);
}

static void recall(struct leases *leases, const struct kms_id *keys, uint32_t count)
{
	for (struct kms_data_key *it = leases->first; it != NULL; it = it->next) {
		for (uint32_t i = 0; i < count; i++) {
			it->recalled = it->recalled || kms_id_equal(&it->id, &keys[i]);
		}
	}
	purge_over(leases);
	/* What it asks for is answered at once, where there is something to say. */
	leases->urgent = leases->urgent || (count > 0 && leases->row_count > 0);
}

/* Would the same receipt be taken another time? */
static bool may_be_taken_later(kms_err err)
{
	return kms_is(err, KMS_CODE_NETWORK) || kms_is(err, KMS_CODE_TIMEOUT) ||
	       kms_is(err, KMS_CODE_LEDGER) || kms_is(err, KMS_CODE_STORE) ||
	       kms_is(err, KMS_CODE_RATE) || kms_is(err, KMS_CODE_TOKEN_DOWN) ||
	       kms_is(err, KMS_CODE_NO_MEMORY);
}

/* What kmsd may have folded together by now stays open: it would count it for another lease. */
static void drop_stale(struct leases *leases)
{
	int64_t now = kms_boottime_ms();
	if (leases->pending.len > 0 && now >= leases->pending_until_ms) {
		kms_buf_free(&leases->pending);
	}
	if (leases->row_count > 0 && now >= leases->rows_until_ms) {
		leases->row_count = 0;
		leases->news_since_ms = 0;
	}
}

/* One report; lock is held, but for the call itself. */
static kms_err report(struct leases *leases)
{
	struct kms_id keys[LIMIT_RECALLED_KEYS];
	uint32_t count = 0;
	while (leases->reporting) {
		(void)pthread_cond_wait(&leases->changed, &leases->lock);
	}
	drop_stale(leases);
	bool ripe = leases->urgent || leases->closed ||
		    (leases->news_since_ms != 0 &&
			    kms_boottime_ms() >= leases->news_since_ms + RECEIPT_MS);
	kms_err err = KMS_OK;
	leases->asked_ms = kms_boottime_ms();
	leases->urgent = false;
	leases->reporting = true;
	if (ripe && leases->pending.len == 0 && leases->row_count > 0) {
		err = receipts_make(leases);
	}
	(void)pthread_mutex_unlock(&leases->lock);
	if (kms_is_ok(err)) {
		err = receipts_send(leases, keys, &count);
	}
	(void)pthread_mutex_lock(&leases->lock);
	leases->reporting = false;
	(void)pthread_cond_broadcast(&leases->changed);
	if (kms_is_ok(err)) {
		kms_buf_free(&leases->pending);
		recall(leases, keys, count);
	} else if (!may_be_taken_later(err)) {
		/* What it says stays open at kmsd; what comes after it is heard. */
		kms_buf_free(&leases->pending);
	}
	leases->gone_by = leases->closed && kms_is(err, KMS_CODE_TIMEOUT);
	return err;
}

static void *wipe(void *arg)
{
	struct leases *leases = arg;
	(void)pthread_mutex_lock(&leases->lock);
	while (!leases->closed) {
		purge_over(leases);
		wait_until(leases, next_end(leases));
	}
	(void)pthread_mutex_unlock(&leases->lock);
	return NULL;
}

static void *tell(void *arg)
{
	struct leases *leases = arg;
	(void)pthread_mutex_lock(&leases->lock);
	while (!leases->closed) {
		if (is_due(leases)) {
			KMS_IGNORE(report(leases)); /* the next poll tries again */
		} else {
			wait_until(leases, next_report(leases));
		}
	}
	(void)pthread_mutex_unlock(&leases->lock);
	return NULL;
}

static kms_err start(struct leases *leases)
{
	sigset_t all, before;
	if (leases->has_wiper && leases->has_teller) {
		return KMS_OK;
	}
	/* The host's signals are not for these threads. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	leases->asked_ms = kms_boottime_ms();
	leases->has_wiper =
		leases->has_wiper || pthread_create(&leases->wiper, NULL, wipe, leases) == 0;
	leases->has_teller =
		leases->has_teller || pthread_create(&leases->teller, NULL, tell, leases) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return leases->has_wiper && leases->has_teller ? KMS_OK : KMS_ERR(NO_MEMORY);
}

kms_err leases_new(struct kms_client *client, struct leases **ret_leases)
{
	struct leases *leases = calloc(1, sizeof(*leases));
	pthread_condattr_t attr;
	if (leases == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	leases->client = client;
	leases->references = 1;
	(void)pthread_mutex_init(&leases->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&leases->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	kms_err err = kms_id_random(&leases->holder);
	if (kms_is_ok(err)) {
		err = receipts_open(leases);
	}
	if (!kms_is_ok(err)) {
		leases_drop(leases, 0);
		return err;
	}
	*ret_leases = leases;
	return KMS_OK;
}

/* Wipes all of that key, or with NULL of all, that nobody looks at. lock is held. */
static void purge_key(struct leases *leases, const struct kms_id *key)
{
	for (struct kms_data_key *it = leases->first; it != NULL; it = it->next) {
		if (key != NULL && !kms_id_equal(&it->id, key)) {
			continue;
		}
		it->recalled = true;
		if (it->borrowed == 0) {
			purge(leases, it);
		}
	}
}

kms_err leases_purge(struct leases *leases, const struct kms_id *key)
{
	kms_err err = KMS_OK;
	(void)pthread_mutex_lock(&leases->lock);
	purge_key(leases, key);
	while (kms_is_ok(err) && (leases->row_count > 0 || leases->pending.len > 0)) {
		leases->urgent = true;
		err = report(leases);
	}
	(void)pthread_mutex_unlock(&leases->lock);
	return err;
}

void leases_free(struct leases **leases)
{
	struct leases *it = *leases;
	if (it == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&it->lock);
	it->closed = true;
	purge_key(it, NULL); /* now: a thread may wait for kmsd still */
	(void)pthread_cond_broadcast(&it->changed);
	(void)pthread_mutex_unlock(&it->lock);
	if (it->has_wiper) {
		(void)pthread_join(it->wiper, NULL);
	}
	if (it->has_teller) {
		(void)pthread_join(it->teller, NULL);
	}
	/* Whom a kmsd that hangs held up once, it does not hold up again. */
	kms_err err = it->gone_by ? KMS_ERR(TIMEOUT) : leases_purge(it, NULL);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_INFO, "data keys were wiped, and kmsd took no receipt: %s",
			kms_err_text(err));
	}
	(void)pthread_mutex_lock(&it->lock);
	it->client = NULL;
	size_t left = --it->references;
	(void)pthread_mutex_unlock(&it->lock);
	leases_drop(it, left);
	*leases = NULL;
}
