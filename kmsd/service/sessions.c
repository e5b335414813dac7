/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose sealed session is it? kmsd carries its bytes and cannot read them; here it remembers the
 * principal that opened it, so that nobody sends records into another's session.
 */
#include "service_int.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { LIFE_MS = 10 * 60 * 1000 }; /* as long as kms-tokend keeps one */

struct relayed {
	struct kms_id session;
	struct kms_id principal;
	struct kms_id token;
	int64_t opened_ms, used_ms;
};

static int compare(const void *a, const void *b)
{
	const struct relayed *x = a, *y = b;
	return memcmp(x->session.b, y->session.b, sizeof(x->session.b));
}

struct count {
	const struct kms_id *principal;
	size_t live;
	struct relayed *idle; /* of the live ones, the longest unused */
	size_t old_count;
	struct relayed *old[64]; /* a few at a time are swept; the next call goes on */
};

static void count_one(const void *node, VISIT visit, void *closure)
{
	struct count *count = closure;
	struct relayed *relayed = *(struct relayed *const *)node;
	if (visit != postorder && visit != leaf) {
		return;
	}
	if (kms_monotonic_ms() - relayed->opened_ms > LIFE_MS) {
		if (count->old_count < sizeof(count->old) / sizeof(count->old[0])) {
			count->old[count->old_count++] = relayed;
		}
	} else if (kms_id_equal(&relayed->principal, count->principal)) {
		count->live++;
		if (count->idle == NULL || relayed->used_ms < count->idle->used_ms) {
			count->idle = relayed;
		}
	}
}

/*
 * Room for one more session of this principal: sweeps old ones, and at the limit ends the longest
 * unused. A client that leaves does not say so, and many short-lived ones must not lock each other
 * out; one whose session ended opens another.
 */
static void make_room(struct service *service, const struct kms_id *principal)
{
	struct count count = {.principal = principal};
	struct relayed idle = {0};
	(void)pthread_mutex_lock(&service->lock);
	twalk_r(service->sessions, count_one, &count);
	for (size_t i = 0; i < count.old_count; i++) {
		(void)tdelete(count.old[i], &service->sessions, compare);
		free(count.old[i]);
	}
	bool full = count.live >= LIMIT_PRINCIPAL_SESSIONS;
	if (full) {
		idle = *count.idle;
	}
	(void)pthread_mutex_unlock(&service->lock);
	if (full) {
		sessions_drop(service, &idle.session, &idle.token);
	}
}

kms_err sessions_open(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	struct token *token;
	KMS_TRY(token_find(service->parts.tokens, &ask->request->u.session_open.token, &token));
	make_room(service, &ask->who->id);
	struct relayed *relayed = calloc(1, sizeof(*relayed));
	if (relayed == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = token_session_open(token, kms_buf_bytes(&ask->request->u.session_open.flight),
		&relayed->session, &answer->u.session_open.flight);
	if (!kms_is_ok(err)) {
		free(relayed);
		return err;
	}
	relayed->principal = ask->who->id;
	relayed->token = *token_id(token);
	relayed->opened_ms = relayed->used_ms = kms_monotonic_ms();
	answer->u.session_open.session = relayed->session;
	(void)pthread_mutex_lock(&service->lock);
	void *node = tsearch(relayed, &service->sessions, compare);
	(void)pthread_mutex_unlock(&service->lock);
	if (node == NULL) {
		free(relayed);
		return KMS_ERR(NO_MEMORY);
	}
	return KMS_OK;
}

kms_err sessions_check(struct service *service, const struct kms_id *session,
	const struct kms_id *principal, const struct kms_id *token)
{
	struct relayed wanted = {.session = *session};
	(void)pthread_mutex_lock(&service->lock);
	struct relayed **found = tfind(&wanted, &service->sessions, compare);
	bool known = found != NULL;
	bool mine = known && kms_id_equal(&(*found)->principal, principal) &&
		    kms_id_equal(&(*found)->token, token);
	if (mine) {
		(*found)->used_ms = kms_monotonic_ms();
	}
	(void)pthread_mutex_unlock(&service->lock);
	if (!known) {
		return KMS_ERR(SESSION);
	}
	return mine ? KMS_OK : KMS_ERR(DENIED);
}

void sessions_drop(
	struct service *service, const struct kms_id *session, const struct kms_id *token_id)
{
	struct relayed wanted = {.session = *session};
	struct token *token;
	(void)pthread_mutex_lock(&service->lock);
	struct relayed **found = tfind(&wanted, &service->sessions, compare);
	struct relayed *relayed = found == NULL ? NULL : *found;
	if (relayed != NULL) {
		(void)tdelete(relayed, &service->sessions, compare);
	}
	(void)pthread_mutex_unlock(&service->lock);
	free(relayed);
	if (kms_is_ok(token_find(service->parts.tokens, token_id, &token))) {
		KMS_IGNORE(token_session_close(token, session));
	}
}

void sessions_free_all(struct service *service)
{
	tdestroy(service->sessions, free);
	service->sessions = NULL;
}
