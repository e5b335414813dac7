/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that a kmsd serves: made at start, one thread each, joined at the end. */
#include "token_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void token_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static kms_err start_token(
	struct token_set *set, struct token *token, const struct token_place *place)
{
	token->id = place->id;
	token->session_spki = place->session_spki;
	token->clear_identity = set->clear_identity;
	token->queued_boot = token->ack_boot = place->recorded_boot;
	token->queued_n = token->ack_n = place->recorded_n;
	token->since_unix_ms = kms_now_unix_ms();
	token->socket_path = strdup(place->socket_path);
	if (token->socket_path == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	(void)pthread_mutex_init(&token->lock, NULL);
	(void)pthread_mutex_init(&token->send_lock, NULL);
	token_cond_init(&token->changed);
	token_cond_init(&token->clear_free);
	set->count++; /* from here on token_set_free takes it apart */
	if (pthread_create(&token->thread, NULL, link_run, token) != 0) {
		return KMS_ERR(NO_MEMORY);
	}
	token->has_thread = true;
	return KMS_OK;
}

kms_err token_set_open(const struct token_place *places, size_t count, const char *clear_cert,
	const char *clear_key, struct token_set **ret_set)
{
	KMS_AUTO(token_set) set = calloc(1, sizeof(*set));
	if (set == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	set->tokens = calloc(count + 1, sizeof(*set->tokens));
	if (set->tokens == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	if (clear_cert != NULL && clear_key != NULL) {
		KMS_TRY(channel_identity_read(clear_cert, clear_key, &set->clear_identity));
	}
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(start_token(set, &set->tokens[i], &places[i]));
	}
	*ret_set = kms_take(&set);
	return KMS_OK;
}

static void stop_token(struct token *token)
{
	(void)pthread_mutex_lock(&token->lock);
	token->stopping = true;
	(void)pthread_cond_broadcast(&token->changed);
	(void)pthread_mutex_unlock(&token->lock);
	(void)pthread_mutex_lock(&token->send_lock);
	if (token->link != NULL) {
		toklink_shutdown(token->link);
	}
	(void)pthread_mutex_unlock(&token->send_lock);
	if (token->has_thread) {
		(void)pthread_join(token->thread, NULL);
	}
	for (size_t i = 0; i < CLEAR_SESSIONS; i++) {
		channel_free(&token->clear[i].channel);
	}
	token_uses_free(&token->uses);
	(void)pthread_cond_destroy(&token->clear_free);
	(void)pthread_cond_destroy(&token->changed);
	(void)pthread_mutex_destroy(&token->send_lock);
	(void)pthread_mutex_destroy(&token->lock);
	free(token->socket_path);
}

void token_set_free(struct token_set **set)
{
	if (set == NULL || *set == NULL) {
		return;
	}
	for (size_t i = 0; i < (*set)->count; i++) {
		stop_token(&(*set)->tokens[i]);
	}
	channel_identity_free(&(*set)->clear_identity);
	free((*set)->tokens);
	free(*set);
	*set = NULL;
}

kms_err token_find(struct token_set *set, const struct kms_id *id, struct token **ret_token)
{
	for (size_t i = 0; i < set->count; i++) {
		if (kms_id_equal(&set->tokens[i].id, id)) {
			*ret_token = &set->tokens[i];
			return KMS_OK;
		}
	}
	return KMS_ERR(NOT_FOUND);
}

size_t token_count(const struct token_set *set)
{
	return set->count;
}

struct token *token_at(struct token_set *set, size_t i)
{
	KMS_ASSERT(i < set->count);
	return &set->tokens[i];
}

const struct kms_id *token_id(const struct token *token)
{
	return &token->id;
}

kms_err token_wait_up(struct token *token, int timeout_ms)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	until.tv_sec += timeout_ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	int rc = 0;
	(void)pthread_mutex_lock(&token->lock);
	while (!token->up && rc != ETIMEDOUT) {
		rc = pthread_cond_timedwait(&token->changed, &token->lock, &until);
	}
	bool up = token->up;
	(void)pthread_mutex_unlock(&token->lock);
	return up ? KMS_OK : KMS_ERR(TOKEN_DOWN);
}
