/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an open erasure names is held by its kms-tokends: they refuse its use, whatever kmsd says.
 * A key as a whole is suspended in the store besides; single versions are held there alone, so a
 * key of which some are held is not used while a token may not have heard of it. Runs in kmsd.
 */
#include "service_int.h"

#include <stdlib.h>
#include <string.h>

struct held_key {
	struct kms_id erasure, key;
	bool told; /* the tokens hold them, or are not settled */
	struct held_key *next;
};

kms_err holds_add(struct service *service, const struct format_erase *erase)
{
	if (erase->scope != MODEL_ERASE_VERSIONS) {
		return KMS_OK;
	}
	struct held_key *row = calloc(1, sizeof(*row));
	if (row == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	row->erasure = erase->erasure;
	row->key = erase->subject;
	(void)pthread_mutex_lock(&service->lock);
	row->next = service->held;
	service->held = row;
	(void)pthread_mutex_unlock(&service->lock);
	return KMS_OK;
}

void holds_remove(struct service *service, const struct kms_id *erasure)
{
	(void)pthread_mutex_lock(&service->lock);
	struct held_key **at = &service->held;
	while (*at != NULL && !kms_id_equal(&(*at)->erasure, erasure)) {
		at = &(*at)->next;
	}
	struct held_key *row = *at;
	if (row != NULL) {
		*at = row->next;
	}
	(void)pthread_mutex_unlock(&service->lock);
	free(row);
}

static void tell_done(struct service *service, const struct kms_id *erasure)
{
	(void)pthread_mutex_lock(&service->lock);
	for (struct held_key *row = service->held; row != NULL; row = row->next) {
		row->told = row->told || kms_id_equal(&row->erasure, erasure);
	}
	(void)pthread_mutex_unlock(&service->lock);
}

static bool is_open(enum model_erase_state state)
{
	return state == MODEL_ERASE_REQUESTED || state == MODEL_ERASE_EXECUTING;
}

kms_err holds_follow(struct service *service, const struct kms_id *older, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct model_erasure row;
		KMS_TRY(store_erasure_get(service->parts.store, &older[i], &row));
		const struct format_erase erase = {
			.erasure = row.id, .scope = row.scope, .subject = row.subject};
		bool open = is_open(row.state);
		model_erasure_free(&row);
		holds_remove(service, &erase.erasure);
		if (open) {
			KMS_TRY(holds_add(service, &erase));
			tell_done(service, &erase.erasure); /* what it names is held all the time */
		}
	}
	return KMS_OK;
}

void holds_free_all(struct service *service)
{
	while (service->held != NULL) {
		struct held_key *next = service->held->next;
		free(service->held);
		service->held = next;
	}
}

/* Recovery brings it to agree again, as after a new link. */
static void unsettle(struct service *service, const struct kms_id *token)
{
	(void)pthread_mutex_lock(&service->lock);
	for (size_t i = 0; i < token_count(service->parts.tokens); i++) {
		if (kms_id_equal(token_id(token_at(service->parts.tokens, i)), token)) {
			service->settled[i] = UINT64_MAX;
		}
	}
	(void)pthread_mutex_unlock(&service->lock);
}

/* Is it named by no erasure any more? */
static kms_err is_free(struct service *service, const struct format_erase_kek *kek, bool *ret_free)
{
	struct model_kek *rows KMS_AUTO_FREE = NULL;
	size_t count;
	bool is_free = false;
	KMS_TRY(store_kek_list(service->parts.store, &kek->key, &rows, &count));
	for (size_t i = 0; i < count; i++) {
		is_free = is_free || (kms_id_equal(&rows[i].id, &kek->kek) &&
					     rows[i].state == MODEL_KEK_LIVE &&
					     kms_id_is_zero(&rows[i].erasure));
	}
	*ret_free = is_free;
	return KMS_OK;
}

void holds_tell(struct service *service, const struct format_erase *erase, bool held)
{
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		struct token *token;
		bool do_it = true;
		kms_err err = held ? KMS_OK : is_free(service, &erase->keks[i], &do_it);
		if (kms_is_ok(err) && do_it) {
			err = token_find(service->parts.tokens, &erase->keks[i].token, &token);
		}
		if (kms_is_ok(err) && do_it) {
			err = token_kek_hold(token, &erase->keks[i].kek, held);
		}
		if (!kms_is_ok(err)) {
			unsettle(service, &erase->keks[i].token);
		}
	}
	tell_done(service, &erase->erasure);
}

/* ---- for uses ---- */

/* Called with the lock held. */
static const struct held_key *find(const struct service *service, const struct kms_id *key)
{
	const struct held_key *row = service->held;
	while (row != NULL && !kms_id_equal(&row->key, key)) {
		row = row->next;
	}
	return row;
}

bool holds_has(struct service *service, const struct kms_id *key)
{
	(void)pthread_mutex_lock(&service->lock);
	bool has = find(service, key) != NULL;
	(void)pthread_mutex_unlock(&service->lock);
	return has;
}

static bool guards(const struct model_key *key, const struct kms_id *token)
{
	for (uint32_t i = 0; i < key->token_count; i++) {
		if (kms_id_equal(&key->tokens[i], token)) {
			return true;
		}
	}
	return false;
}

kms_err holds_admit(struct service *service, const struct model_key *key, bool *ret_held)
{
	bool known = true;
	(void)pthread_mutex_lock(&service->lock);
	const struct held_key *row = find(service, &key->id);
	bool held = row != NULL;
	for (; row != NULL; row = row->next) {
		known = known && (row->told || !kms_id_equal(&row->key, &key->id));
	}
	for (size_t i = 0; held && i < token_count(service->parts.tokens); i++) {
		struct token *token = token_at(service->parts.tokens, i);
		struct token_state state;
		token_state_get(token, &state);
		known = known &&
			(!guards(key, token_id(token)) || service->settled[i] == state.links);
	}
	(void)pthread_mutex_unlock(&service->lock);
	*ret_held = held;
	return known ? KMS_OK : KMS_ERR(TOKEN_DOWN);
}

/* ---- after a new link, and at start ---- */

static kms_err resend_one(
	struct service *service, struct token *token, const struct format_erase_kek *kek, bool held)
{
	bool do_it = true;
	char id[KMS_ID_TEXT];
	if (!held) {
		KMS_TRY(is_free(service, kek, &do_it));
	}
	kms_err err = do_it ? token_kek_hold(token, &kek->kek, held) : KMS_OK;
	if (kms_is_ok(err) || recover_is_outage(err)) {
		return err;
	}
	/* One that is gone already, say: the others are told all the same. */
	kms_log(KMS_LOG_INFO, "KEK %s is not %s now: %s", kms_id_text(&kek->kek, id),
		held ? "held" : "released", kms_err_text(err));
	return KMS_OK;
}

static kms_err resend(
	struct service *service, struct token *token, const struct model_erasure *erasure)
{
	bool cancelled = erasure->state == MODEL_ERASE_CANCELLED;
	KMS_AUTO(format_erase) erase = NULL;
	if (erasure->state == MODEL_ERASE_DONE || erasure->state == MODEL_ERASE_RENEWED) {
		return KMS_OK; /* nothing of it is left, or it is another's to hold */
	}
	KMS_TRY(format_erase_read(kms_buf_bytes(&erasure->bytes), &erase));
	if (cancelled) {
		kms_err err = approve_tell_cancelled(service, erasure, erase, token_id(token));
		if (recover_is_outage(err)) {
			return err;
		}
	}
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (kms_id_equal(&erase->keks[i].token, token_id(token))) {
			KMS_TRY(resend_one(service, token, &erase->keks[i], !cancelled));
		}
	}
	return KMS_OK;
}

typedef kms_err (*visitor)(
	struct service *service, struct token *token, const struct model_erasure *erasure);

static kms_err visit_all(
	struct service *service, const struct kms_id *tenant, struct token *token, visitor visit)
{
	struct kms_id after = {0};
	size_t count = 1;
	kms_err err = KMS_OK;
	while (kms_is_ok(err) && count > 0) {
		struct model_erasure *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(store_erasure_list(
			service->parts.store, tenant, &after, LIMIT_LIST_PAGE, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			err = kms_is_ok(err) ? visit(service, token, &rows[i]) : err;
			after = rows[i].id;
			model_erasure_free(&rows[i]);
		}
	}
	return err;
}

kms_err holds_resend(struct service *service, struct token *token, const struct model_token *row)
{
	return visit_all(service, &row->tenant, token, resend);
}

static kms_err load(
	struct service *service, struct token *token, const struct model_erasure *erasure)
{
	(void)token;
	if (!is_open(erasure->state) || erasure->scope != MODEL_ERASE_VERSIONS) {
		return KMS_OK;
	}
	const struct format_erase erase = {
		.erasure = erasure->id, .scope = erasure->scope, .subject = erasure->subject};
	KMS_TRY(holds_add(service, &erase));
	service->held->told = true; /* or not settled yet: nobody else runs at start */
	return KMS_OK;
}

/* No token is settled before its first link, so that none is used before it was told. */
kms_err holds_load(struct service *service)
{
	struct kms_id after = {0};
	size_t count = 1;
	kms_err err = KMS_OK;
	while (kms_is_ok(err) && count > 0) {
		struct model_tenant *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(store_tenant_list(
			service->parts.store, &after, LIMIT_LIST_PAGE, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			err = kms_is_ok(err) ? visit_all(service, &rows[i].id, NULL, load) : err;
			after = rows[i].id;
			model_tenant_free(&rows[i]);
		}
	}
	return err;
}
