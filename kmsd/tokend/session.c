/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed sessions: TLS 1.3 between a client and this process, carried by kmsd. Who is welcome is
 * the owner's file's word: the tenant's client CA and the storage purpose, or kmsd's own pinned
 * certificate where the owner allows `clear`; and the deny list as it stands on disk now.
 */
#include "tokend_int.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct sessions {
	struct tokend *tokend;
	struct crypto_cert *client_ca; /* NULL for the system token: nobody has a session there */
	void *by_id;                   /* struct session, tsearch(3) */
	size_t count;
	/* the deny list, sorted, and the file as it was when it was read */
	struct kms_hash *denied;
	size_t denied_count;
	struct stat denied_file;
	bool denied_fresh; /* it was changed just before: its time may not show one more change */
};

enum { DENY_FILE_MAX = OWNER_DENY_MAX * (KMS_HASH_TEXT + 1) };

static int compare_session(const void *a, const void *b)
{
	const struct session *x = a, *y = b;
	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

static int compare_hash(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct kms_hash));
}

kms_err sessions_new(struct tokend *tokend, struct sessions **ret_sessions)
{
	KMS_AUTO(sessions) sessions = calloc(1, sizeof(*sessions));
	if (sessions == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	sessions->tokend = tokend;
	if (!tokend->owner->system) {
		KMS_TRY(crypto_cert_read(tokend->owner->client_ca, &sessions->client_ca));
	}
	*ret_sessions = kms_take(&sessions);
	return KMS_OK;
}

static void free_session(void *node)
{
	struct session *session = node;
	channel_free(&session->channel);
	free(session);
}

void sessions_free(struct sessions **sessions)
{
	if (sessions == NULL || *sessions == NULL) {
		return;
	}
	tdestroy((*sessions)->by_id, free_session);
	crypto_cert_free(&(*sessions)->client_ca);
	free((*sessions)->denied);
	free(*sessions);
	*sessions = NULL;
}

struct session *sessions_find(struct sessions *sessions, const struct kms_id *id)
{
	struct session wanted = {.id = *id};
	struct session **found = tfind(&wanted, &sessions->by_id, compare_session);
	return found == NULL ? NULL : *found;
}

void sessions_close(struct sessions *sessions, const struct kms_id *id)
{
	struct session *session = sessions_find(sessions, id);
	if (session != NULL) {
		(void)tdelete(session, &sessions->by_id, compare_session);
		free_session(session);
		sessions->count--;
	}
}

struct worn {
	struct kms_id ids[LIMIT_TOKEN_SESSIONS];
	size_t count;
};

static void find_worn(const void *node, VISIT visit, void *closure)
{
	struct worn *worn = closure;
	const struct session *session = *(struct session *const *)node;
	/* A handshake that does not end is as old as a session can be. */
	bool stale = kms_monotonic_ms() - session->opened_ms > CHANNEL_LIFE_MS;
	if ((visit == postorder || visit == leaf) && worn->count < LIMIT_TOKEN_SESSIONS &&
		(stale || channel_is_worn(session->channel))) {
		worn->ids[worn->count++] = session->id;
	}
}

void sessions_tick(struct sessions *sessions)
{
	struct worn *worn KMS_AUTO_FREE = calloc(1, sizeof(*worn));
	if (worn == NULL) {
		return; /* the next tick will do */
	}
	twalk_r(sessions->by_id, find_worn, worn);
	for (size_t i = 0; i < worn->count; i++) {
		sessions_close(sessions, &worn->ids[i]);
	}
}

kms_err sessions_open(struct sessions *sessions, struct kms_bytes flight, struct kms_id *ret_id,
	struct kms_buf *ret_flight)
{
	if (sessions->client_ca == NULL) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	if (sessions->count == LIMIT_TOKEN_SESSIONS) {
		sessions_tick(sessions);
	}
	if (sessions->count >= LIMIT_TOKEN_SESSIONS) {
		return KMS_ERR(RATE);
	}
	struct session *session = calloc(1, sizeof(*session));
	if (session == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_AUTO_BUF answer = {0};
	kms_err err = channel_new_server(sessions->tokend->identity, &session->channel);
	if (kms_is_ok(err)) {
		err = kms_id_random(&session->id);
	}
	if (kms_is_ok(err)) {
		err = channel_step(session->channel, flight, &answer);
	}
	session->opened_ms = kms_monotonic_ms();
	if (kms_is_ok(err) && tsearch(session, &sessions->by_id, compare_session) == NULL) {
		err = KMS_ERR(NO_MEMORY);
	}
	if (!kms_is_ok(err)) {
		free_session(session);
		return err;
	}
	sessions->count++;
	*ret_id = session->id;
	*ret_flight = answer;
	answer = (struct kms_buf){0};
	return KMS_OK;
}

/* Replaces the list in memory only when all of the file was understood. */
static kms_err parse_denied(struct sessions *sessions, const struct kms_buf *text)
{
	struct kms_hash *list = calloc(OWNER_DENY_MAX, sizeof(*list));
	if (list == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	size_t count = 0;
	unsigned line = 1;
	for (size_t at = 0; at < text->len; line++) {
		const uint8_t *end = memchr(text->ptr + at, '\n', text->len - at);
		size_t len = end == NULL ? text->len - at : (size_t)(end - (text->ptr + at));
		char hex[KMS_HASH_TEXT] = {0};
		if (len > 0 && text->ptr[at] != '#') {
			bool fits = len == KMS_HASH_TEXT - 1 && count < OWNER_DENY_MAX;
			memcpy(hex, text->ptr + at, fits ? len : 0);
			if (!fits || !kms_is_ok(kms_hash_parse(hex, &list[count]))) {
				kms_log(KMS_LOG_ERROR,
					"%s:%u: one SPKI hash (64 hex digits) a line, or # and a "
					"remark",
					sessions->tokend->owner->deny, line);
				free(list);
				return KMS_ERR(CONFIG);
			}
			count++;
		}
		at += len + 1;
	}
	qsort(list, count, sizeof(*list), compare_hash);
	free(sessions->denied);
	sessions->denied = list;
	sessions->denied_count = count;
	return KMS_OK;
}

/* Read the deny list again when its file is another than last time. A list that cannot be read
 * lets nobody in. */
static kms_err refresh_denied(struct sessions *sessions)
{
	const char *path = sessions->tokend->owner->deny;
	struct stat st;
	if (path == NULL) {
		return KMS_OK;
	}
	if (stat(path, &st) != 0) {
		kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(errno));
		return KMS_ERR(CONFIG);
	}
	const struct stat *old = &sessions->denied_file;
	if (sessions->denied != NULL && !sessions->denied_fresh && st.st_dev == old->st_dev &&
		st.st_ino == old->st_ino && st.st_size == old->st_size &&
		st.st_mtim.tv_sec == old->st_mtim.tv_sec &&
		st.st_mtim.tv_nsec == old->st_mtim.tv_nsec) {
		return KMS_OK;
	}
	KMS_AUTO_BUF text = {0};
	KMS_TRY(kms_file_read(path, DENY_FILE_MAX, &text));
	KMS_TRY(parse_denied(sessions, &text));
	sessions->denied_file = st;
	sessions->denied_fresh = time(NULL) - st.st_mtim.tv_sec <= 1;
	return KMS_OK;
}

static kms_err refuse(char *ret_reason, const char *why)
{
	(void)snprintf(ret_reason, LIMIT_REASON + 1, "%s", why);
	return KMS_ERR(TOKEN_REFUSED);
}

#define EXPIRED "the session's certificate has expired"
static bool is_over(int64_t until_unix_s)
{
	return kms_now_unix_ms() / 1000 > until_unix_s;
}

/* Once for each session: whose certificate is it? */
static kms_err identify(struct sessions *sessions, struct session *session, char *ret_reason)
{
	const struct owner *owner = sessions->tokend->owner;
	KMS_AUTO_BUF der = {0};
	KMS_AUTO(crypto_cert) cert = NULL;
	struct kms_hash spki;
	int64_t from, until;
	KMS_TRY(channel_peer_der(session->channel, &der));
	KMS_TRY(crypto_cert_parse_der(kms_buf_bytes(&der), &cert));
	KMS_TRY(crypto_cert_spki_hash(cert, &spki));
	KMS_TRY(crypto_cert_times(cert, &from, &until));
	enum session_kind kind = SESSION_SEALED;
	if (owner->clear && kms_hash_equal(&spki, &owner->clear_session)) {
		kind = SESSION_CLEAR;
	} else {
		bool storage = false;
		if (is_over(until)) {
			return refuse(ret_reason, EXPIRED);
		}
		if (!kms_is_ok(crypto_cert_check(
			    cert, sessions->client_ca, kms_now_unix_ms() / 1000))) {
			return refuse(ret_reason,
				"the session's certificate is not one of the tenant's client CA");
		}
		KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &storage));
		if (!storage) {
			return refuse(
				ret_reason, "the session's certificate lacks the storage purpose");
		}
	}
	session->spki = spki;
	session->cert_until_unix_s = until;
	session->kind = kind;
	return KMS_OK;
}

kms_err sessions_denied(struct sessions *sessions, const struct kms_hash *spki, char *ret_reason)
{
	if (!kms_is_ok(refresh_denied(sessions))) {
		return refuse(ret_reason, "the deny list cannot be read");
	}
	if (sessions->denied_count > 0 && bsearch(spki, sessions->denied, sessions->denied_count,
						  sizeof(*spki), compare_hash) != NULL) {
		return refuse(ret_reason, "the owner's deny list names this certificate");
	}
	return KMS_OK;
}

const struct crypto_cert *sessions_client_ca(const struct sessions *sessions)
{
	return sessions->client_ca;
}

kms_err sessions_welcome(struct sessions *sessions, struct session *session, char *ret_reason)
{
	if (session->kind == SESSION_UNKNOWN) {
		KMS_TRY(identify(sessions, session, ret_reason));
	}
	if (is_over(session->cert_until_unix_s)) {
		return refuse(ret_reason, EXPIRED);
	}
	return sessions_denied(sessions, &session->spki, ret_reason);
}
