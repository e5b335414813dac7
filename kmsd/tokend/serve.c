/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poll loop of kms-tokend: one row of a table per message, the default is to refuse. A message
 * that does not parse ends its connection. A watchdog ends a process whose module hangs: the
 * service manager starts it again.
 */
#include "serve_int.h"

#include "proc.h"
#include "toklink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINKS_MAX = 4, /* one kmsd, and room for one that is being replaced */
	TICK_MS = 250,
	SIGN_EVERY_MS = 1000,
	WATCHDOG_S = 60,
	SEND_MS = 5000,
};

struct serve {
	struct tokend *tokend;
	struct toklink *links[LINKS_MAX];
	struct tokmsg request; /* the one that is being answered */
	int64_t signed_ms;
	int64_t retry_ms; /* when to try a token that is down again */
	int backoff_ms;
};

static kms_err on_hello(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	(void)request;
	(void)kept;
	struct kms_hash running;
	struct model_hello *hello = &answer->u.hello;
	hello->token = tokend->token;
	hello->tenant = tokend->owner->tenant;
	uses_where(tokend->uses, &hello->boot, &hello->used, &hello->acked, &running);
	return KMS_OK;
}

static kms_err on_session_open(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	KMS_TRY(sessions_open(tokend->sessions, request->u.flight,
		&answer->u.session_opened.session, &kept->bytes));
	answer->u.session_opened.flight = kms_buf_bytes(&kept->bytes);
	return KMS_OK;
}

static kms_err on_session_close(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)answer;
	(void)kept;
	sessions_close(tokend->sessions, &request->u.session);
	return KMS_OK;
}

static kms_err on_call(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	kept->answered = calloc(1, sizeof(*kept->answered));
	if (kept->answered == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(call_answer(
		tokend, &request->u.call, kept->answered, &kept->bytes, answer->reason));
	kept->answered->record = kms_buf_bytes(&kept->bytes);
	answer->u.answered = kept->answered;
	return KMS_OK;
}

static kms_err on_uses_ack(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)answer;
	(void)kept;
	return uses_ack(tokend->uses, request->u.position.boot, request->u.position.n);
}

static kms_err on_uses_pending(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)kept;
	uint64_t boot, used, acked;
	struct kms_hash running;
	uses_where(tokend->uses, &boot, &used, &acked, &running);
	/* What kmsd recorded of another boot says nothing about this one. */
	uint64_t after = request->u.position.boot == boot ? request->u.position.n : 0;
	return uses_pending(tokend->uses, after, &answer->u.uses);
}

static kms_err on_statement_next(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)kept;
	return uses_statement(
		tokend->uses, request->u.position.boot, request->u.position.n, &answer->u.bytes);
}

static kms_err on_kek_bear(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)kept;
	return keks_bear(tokend, &request->u.kek_bear, &answer->u.bytes);
}

static kms_err on_kek_commit(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)answer;
	(void)kept;
	return keks_commit(tokend, &request->u.kek);
}

static kms_err on_kek_abandon(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)answer;
	(void)kept;
	return keks_abandon(tokend, &request->u.kek);
}

static kms_err on_kek_list(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	KMS_TRY(keks_list(tokend->keks, &request->u.kek, &kept->keks, &answer->u.keks.count));
	answer->u.keks.rows = kept->keks;
	return KMS_OK;
}

static kms_err on_head_sign(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)kept;
	return tokend->head == NULL ? KMS_ERR(TOKEN_REFUSED)
				    : head_sign(tokend, &request->u.head_sign, &answer->u.bytes);
}

static kms_err on_head_last(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept)
{
	(void)request;
	(void)kept;
	return tokend->head == NULL ? KMS_ERR(TOKEN_REFUSED)
				    : head_last(tokend->head, &answer->u.bytes);
}

static kms_err on_ping(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	(void)request;
	(void)answer;
	(void)kept;
	return p11_ping(tokend->p11);
}

/* The table: no row, no answer. `token` rows are refused while the token is down, and when it was
 * wiped. */
static const struct {
	handler handle;
	bool token;
} rows[TOKMSG_TYPE_COUNT_] = {
	[TOKMSG_HELLO] = {on_hello, false},
	[TOKMSG_SESSION_OPEN] = {on_session_open, false},
	[TOKMSG_SESSION_CLOSE] = {on_session_close, false},
	[TOKMSG_CALL] = {on_call, true},
	[TOKMSG_USES_ACK] = {on_uses_ack, false},
	[TOKMSG_USES_PENDING] = {on_uses_pending, false},
	[TOKMSG_STATEMENT_NEXT] = {on_statement_next, false},
	[TOKMSG_KEK_BEAR] = {on_kek_bear, true},
	[TOKMSG_KEK_COMMIT] = {on_kek_commit, false},
	[TOKMSG_KEK_ABANDON] = {on_kek_abandon, true},
	[TOKMSG_KEK_LIST] = {on_kek_list, false},
	[TOKMSG_HEAD_SIGN] = {on_head_sign, true},
	[TOKMSG_HEAD_LAST] = {on_head_last, false},
	[TOKMSG_PING] = {on_ping, true},
	[TOKMSG_KEK_HOLD] = {serve_kek_hold, false},
	[TOKMSG_ERASE_PINS] = {serve_erase_pins, false},
	[TOKMSG_ERASE_OPEN] = {serve_erase_open, false},
	[TOKMSG_ERASE_KEK] = {serve_erase_kek, false}, /* one that is done needs no token */
	[TOKMSG_ERASE_WIPE] = {serve_erase_wipe, false},
	[TOKMSG_ERASE_CANCEL] = {serve_erase_cancel, false},
	[TOKMSG_MANIFEST_SIGN] = {serve_manifest_sign, true},
};

static void note_down(struct serve *serve, kms_err err)
{
	if (kms_is(err, KMS_CODE_TOKEN_DOWN) && !serve->tokend->down) {
		kms_log(KMS_LOG_ERROR, "the token does not answer; trying again");
		serve->tokend->down = true;
		serve->backoff_ms = P11_BACKOFF_MIN_MS;
		serve->retry_ms = kms_monotonic_ms() + serve->backoff_ms;
	}
}

static kms_err handle(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept)
{
	if (rows[request->type].token && tokend->wiped) {
		return KMS_ERR(ERASED);
	}
	if (rows[request->type].token && tokend->down) {
		return KMS_ERR(TOKEN_DOWN);
	}
	return rows[request->type].handle(tokend, request, answer, kept);
}

/* Answer one request. A failure to send ends the connection; uses stay to be offered again. */
static kms_err answer_one(struct serve *serve, struct toklink *link)
{
	const struct tokmsg *request = &serve->request;
	struct kept kept = {0};
	struct tokmsg answer = {.type = request->type, .is_answer = true, .id = request->id};
	kms_err err = handle(serve->tokend, request, &answer, &kept);
	note_down(serve, err);
	answer.code = err.code;
	if (!kms_is_ok(err) && answer.reason[0] == '\0') {
		(void)snprintf(answer.reason, sizeof(answer.reason), "%s", kms_err_text(err));
	}
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_DEBUG, "message %d refused: %s", (int)request->type, answer.reason);
	}
	err = toklink_send(link, &answer, SEND_MS);
	if (kept.answered != NULL) {
		free(kept.answered->uses.rows);
		free(kept.answered);
	}
	free(kept.keks);
	kms_buf_free(&kept.bytes);
	return err;
}

static void accept_link(struct serve *serve, int listen_fd)
{
	struct toklink *link = NULL;
	if (!kms_is_ok(toklink_accept(listen_fd, serve->tokend->owner->peer_uid, &link))) {
		return;
	}
	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (serve->links[i] == NULL) {
			serve->links[i] = link;
			return;
		}
	}
	kms_log(KMS_LOG_WARNING, "refused a connection: %d are open", LINKS_MAX);
	toklink_free(&link);
}

static void try_token_again(struct serve *serve)
{
	struct tokend *tokend = serve->tokend;
	if (!tokend->down || kms_monotonic_ms() < serve->retry_ms) {
		return;
	}
	kms_err err = p11_reopen(tokend->p11);
	if (kms_is_ok(err)) {
		kms_log(KMS_LOG_WARNING, "the token answers again");
		tokend->down = false;
		return;
	}
	serve->backoff_ms = serve->backoff_ms * 2 < P11_BACKOFF_MAX_MS ? serve->backoff_ms * 2
								       : P11_BACKOFF_MAX_MS;
	serve->retry_ms = kms_monotonic_ms() + serve->backoff_ms;
}

static void tick(struct serve *serve)
{
	(void)alarm(WATCHDOG_S); /* SIGALRM's default ends a process that hangs in the module */
	try_token_again(serve);
	int64_t now = kms_monotonic_ms();
	if (now - serve->signed_ms >= SIGN_EVERY_MS) {
		kms_err err = uses_sign(serve->tokend);
		if (!kms_is_ok(err)) {
			kms_log(KMS_LOG_ERROR, "cannot state the uses: %s", kms_err_text(err));
		}
		sessions_tick(serve->tokend->sessions);
		serve->signed_ms = now;
	}
}

/* Everything that waits on one link, however much: statements and the watchdog go on. */
static void serve_link(struct serve *serve, struct toklink **link)
{
	do {
		tick(serve);
		kms_err err = toklink_receive(*link, SEND_MS, &serve->request);
		if (kms_is_ok(err)) {
			err = serve->request.is_answer ? KMS_ERR(FORMAT) : answer_one(serve, *link);
			tokmsg_clear(&serve->request);
		}
		if (!kms_is_ok(err)) {
			if (!kms_is(err, KMS_CODE_TOKEN_DOWN)) {
				kms_log(KMS_LOG_WARNING, "closing a connection: %s",
					kms_err_text(err));
			}
			toklink_free(link);
			return;
		}
	} while (toklink_pending(*link));
}

/* Returns false when it is time to stop. */
static bool serve_once(struct serve *serve, int listen_fd, int signal_fd)
{
	struct pollfd fds[2 + LINKS_MAX] = {
		{.fd = signal_fd, .events = POLLIN},
		{.fd = listen_fd, .events = POLLIN},
	};
	for (size_t i = 0; i < LINKS_MAX; i++) {
		fds[2 + i].fd = serve->links[i] == NULL ? -1 : toklink_fd(serve->links[i]);
		fds[2 + i].events = POLLIN;
	}
	int ready = poll(fds, 2 + LINKS_MAX, TICK_MS);
	tick(serve);
	if (ready <= 0) {
		return true;
	}
	if (fds[0].revents != 0 && proc_signal_read(signal_fd) == PROC_SIGNAL_STOP) {
		return false;
	}
	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (fds[2 + i].revents != 0) {
			serve_link(serve, &serve->links[i]);
		}
	}
	if (fds[1].revents != 0) {
		accept_link(serve, listen_fd);
	}
	return true;
}

kms_err serve_run(struct tokend *tokend, int listen_fd, int signal_fd)
{
	struct serve *serve KMS_AUTO_FREE = calloc(1, sizeof(*serve));
	if (serve == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	serve->tokend = tokend;
	while (serve_once(serve, listen_fd, signal_fd)) {
	}
	for (size_t i = 0; i < LINKS_MAX; i++) {
		toklink_free(&serve->links[i]);
	}
	(void)alarm(0);
	return uses_sign(tokend);
}
