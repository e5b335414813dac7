/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of one token in kmsd: connect, greet, fetch the uses that were never acknowledged,
 * then read answers until the link breaks; and again, with back-off. It never waits for anybody
 * but the kms-tokend, so that uses reach the queue in the order in which they were counted.
 */
#include "token_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void reply_clear(struct reply *reply)
{
	kms_buf_free(&reply->bytes);
	free(reply->keks);
	kms_buf_free(&reply->absence);
	free(reply->pins);
	*reply = (struct reply){0};
}

static kms_err greet(struct token *token, struct toklink *link, struct model_hello *ret_hello)
{
	struct tokmsg msg = {.type = TOKMSG_HELLO};
	KMS_TRY(toklink_send(link, &msg, LIMIT_TOKEN_WAIT_MS));
	KMS_TRY(toklink_receive(link, LIMIT_TOKEN_WAIT_MS, &msg));
	if (!msg.is_answer || msg.type != TOKMSG_HELLO || msg.code != KMS_CODE_OK) {
		tokmsg_clear(&msg);
		return KMS_ERR(FORMAT);
	}
	if (!kms_id_equal(&msg.u.hello.token, &token->id)) {
		kms_log(KMS_LOG_ERROR, "%s: another token answers there than the registered one",
			token->socket_path);
		return KMS_ERR(PINS);
	}
	const struct model_hello *hello = &msg.u.hello;
	if (hello->boot < token->queued_boot ||
		(hello->boot == token->queued_boot && hello->used < token->queued_n)) {
		/* Its numbers would come a second time. Only this thread changes what is queued. */
		kms_log(KMS_LOG_ERROR,
			"%s: its state is older than what is recorded of it (boot %llu, use %llu): "
			"was it restored from a copy?",
			token->socket_path, (unsigned long long)token->queued_boot,
			(unsigned long long)token->queued_n);
		return KMS_ERR(ROLLBACK);
	}
	*ret_hello = *hello;
	return KMS_OK;
}

/* The number of the newest use that is queued or recorded. lock is held. */
static uint64_t queued_of(const struct token *token, uint64_t boot)
{
	return token->queued_boot == boot ? token->queued_n : 0;
}

/* Uses of this boot that we never acknowledged, also those of answers that got lost. */
static kms_err fetch_pending(
	struct token *token, struct toklink *link, const struct model_hello *hello)
{
	for (;;) {
		(void)pthread_mutex_lock(&token->lock);
		uint64_t have = queued_of(token, hello->boot);
		(void)pthread_mutex_unlock(&token->lock);
		struct tokmsg msg = {
			.type = TOKMSG_USES_PENDING, .u.position = {hello->boot, have}};
		KMS_TRY(toklink_send(link, &msg, LIMIT_TOKEN_WAIT_MS));
		KMS_TRY(toklink_receive(link, LIMIT_TOKEN_WAIT_MS, &msg));
		if (!msg.is_answer || msg.type != TOKMSG_USES_PENDING || msg.code != KMS_CODE_OK) {
			tokmsg_clear(&msg);
			return KMS_ERR(FORMAT);
		}
		kms_err err = KMS_OK;
		bool more = msg.u.uses.count > 0;
		/* None twice. A gap can be there where the store was restored from a copy: the
		 * ledger records it and raises the alarm. */
		if (more && (msg.u.uses.boot != hello->boot || msg.u.uses.first <= have)) {
			err = KMS_ERR(FORMAT);
		} else if (more) {
			(void)pthread_mutex_lock(&token->lock);
			err = uses_queue(token, &msg.u.uses, &nobody);
			(void)pthread_mutex_unlock(&token->lock);
		}
		tokmsg_clear(&msg);
		KMS_TRY(err);
		if (!more) {
			return KMS_OK;
		}
	}
}

static void set_up(struct token *token, const struct model_hello *hello)
{
	(void)pthread_mutex_lock(&token->send_lock);
	(void)pthread_mutex_lock(&token->lock);
	token->up = true;
	token->links++;
	token->since_unix_ms = kms_now_unix_ms();
	token->hello = *hello;
	/* What was recorded before, and perhaps never acknowledged. */
	token->ack_waits = token->ack_boot == hello->boot && token->ack_n > hello->acked;
	(void)pthread_cond_broadcast(&token->changed);
	(void)pthread_mutex_unlock(&token->lock);
	(void)pthread_mutex_unlock(&token->send_lock);
	link_flush_ack(token);
}

void link_finish(struct token *token, struct pending **at, kms_err err)
{
	struct pending *pending = *at;
	*at = pending->next;
	token->pending_count--;
	pending->err = err;
	pending->done = true;
	if (!kms_is_ok(err) || pending->left) {
		reply_clear(&pending->reply);
	}
	if (pending->left) {
		pending_free(pending);
	} else {
		(void)pthread_cond_signal(&pending->answered);
	}
}

/* Take the link away from everybody, and close it. */
static void hide_link(struct token *token, struct toklink **link)
{
	(void)pthread_mutex_lock(&token->send_lock);
	(void)pthread_mutex_lock(&token->lock);
	token->since_unix_ms = token->up ? kms_now_unix_ms() : token->since_unix_ms;
	token->up = false;
	while (token->pending != NULL) {
		link_finish(token, &token->pending, KMS_ERR(TOKEN_DOWN));
	}
	token->link = NULL;
	(void)pthread_cond_broadcast(&token->changed);
	(void)pthread_mutex_unlock(&token->lock);
	(void)pthread_mutex_unlock(&token->send_lock);
	toklink_free(link);
}

/* An answer to a CALL says something of each item, and its uses are those that went well, next in
 * number. lock is held. */
static bool is_right(
	const struct token *token, const struct pending *pending, const struct tokmsg *msg)
{
	const struct tokmsg_call_answer *answer = msg->u.answered;
	uint32_t used = 0;
	for (uint32_t i = 0; i < answer->count; i++) {
		used += answer->codes[i] == KMS_CODE_OK ? 1 : 0;
	}
	return answer->count == pending->count && answer->uses.count == used &&
	       answer->uses.boot == token->hello.boot &&
	       answer->uses.first == queued_of(token, token->hello.boot) + 1;
}

/* Copy what the answer borrows, queue what it counted. lock is held. */
static kms_err take_answer(struct token *token, struct pending *pending, struct tokmsg *msg)
{
	struct reply *reply = &pending->reply;
	reply->code = msg->code;
	if (msg->code != KMS_CODE_OK) {
		memcpy(reply->reason, msg->reason, sizeof(reply->reason));
		return KMS_OK;
	}
	struct kms_bytes bytes = {0};
	switch (msg->type) {
	case TOKMSG_SESSION_OPEN:
		reply->session = msg->u.session_opened.session;
		bytes = msg->u.session_opened.flight;
		break;
	case TOKMSG_CALL: {
		struct tokmsg_call_answer *answer = msg->u.answered;
		if (!is_right(token, pending, msg)) {
			return KMS_ERR(FORMAT);
		}
		bytes = answer->record;
		reply->count = answer->count;
		memcpy(reply->codes, answer->codes, sizeof(reply->codes));
		reply->boot = answer->uses.boot;
		if (answer->uses.count > 0) {
			reply->last_n = answer->uses.first + answer->uses.count - 1;
			KMS_TRY(uses_queue(token, &answer->uses, &pending->user));
		}
		break;
	}
	case TOKMSG_STATEMENT_NEXT:
	case TOKMSG_KEK_BEAR:
	case TOKMSG_HEAD_SIGN:
	case TOKMSG_HEAD_LAST:
	case TOKMSG_ERASE_WIPE:
	case TOKMSG_MANIFEST_SIGN:
		bytes = msg->u.bytes;
		break;
	case TOKMSG_KEK_LIST:
		reply->count = msg->u.keks.count;
		reply->keks = msg->u.keks.rows;
		msg->u.keks.rows = NULL;
		break;
	case TOKMSG_ERASE_KEK:
		bytes = msg->u.erased.destroy;
		KMS_TRY(kms_buf_copy(msg->u.erased.absence, &reply->absence));
		break;
	case TOKMSG_ERASE_PINS:
		reply->pins = kms_take(&msg->u.erase_pins);
		break;
	case TOKMSG_HELLO:
	case TOKMSG_SESSION_CLOSE:
	case TOKMSG_USES_ACK:
	case TOKMSG_USES_PENDING:
	case TOKMSG_KEK_COMMIT:
	case TOKMSG_KEK_ABANDON:
	case TOKMSG_PING:
	case TOKMSG_KEK_HOLD:
	case TOKMSG_ERASE_OPEN:
	case TOKMSG_ERASE_CANCEL:
	case TOKMSG_TYPE_COUNT_:
		break;
	}
	return kms_buf_copy(bytes, &reply->bytes);
}

/* An answer must belong to a request of its type; those to acknowledgements have id 0. What does
 * not fit ends the link: uses are then offered again, whole and in order. */
static kms_err deliver(struct token *token, struct tokmsg *msg)
{
	if (!msg->is_answer) {
		return KMS_ERR(FORMAT);
	}
	if (msg->id == 0 && msg->type == TOKMSG_USES_ACK) {
		return KMS_OK;
	}
	if (msg->code != KMS_CODE_OK) {
		kms_log(KMS_LOG_INFO, "%s: %s", token->socket_path, msg->reason);
	}
	(void)pthread_mutex_lock(&token->lock);
	struct pending **at = &token->pending;
	while (*at != NULL && (*at)->id != msg->id) {
		at = &(*at)->next;
	}
	kms_err err = KMS_ERR(FORMAT);
	if (*at != NULL && (*at)->type == msg->type) {
		err = take_answer(token, *at, msg);
	}
	if (kms_is_ok(err)) {
		link_finish(token, at, KMS_OK);
	} /* otherwise the link ends now, and its end finishes the request */
	(void)pthread_mutex_unlock(&token->lock);
	return err;
}

static void read_answers(struct token *token, struct toklink *link)
{
	kms_err err = KMS_OK;
	while (kms_is_ok(err)) {
		struct tokmsg msg;
		err = toklink_receive(link, 0, &msg);
		if (kms_is_ok(err)) {
			err = deliver(token, &msg);
			tokmsg_clear(&msg);
			/* It reads, so an acknowledgement that found its socket full may go now. */
			link_flush_ack(token);
		}
	}
	if (!kms_is(err, KMS_CODE_TOKEN_DOWN)) {
		kms_log(KMS_LOG_WARNING, "%s: closing the link: %s", token->socket_path,
			kms_err_text(err));
	}
}

/* Whoever stops the set can wake us from here on. */
static kms_err show_link(struct token *token, struct toklink *link)
{
	(void)pthread_mutex_lock(&token->send_lock);
	(void)pthread_mutex_lock(&token->lock);
	bool stopping = token->stopping;
	token->link = stopping ? NULL : link;
	(void)pthread_mutex_unlock(&token->lock);
	(void)pthread_mutex_unlock(&token->send_lock);
	return stopping ? KMS_ERR(TOKEN_DOWN) : KMS_OK;
}

static kms_err connect_once(struct token *token)
{
	struct toklink *link = NULL;
	struct model_hello hello;
	KMS_TRY(toklink_connect(token->socket_path, &link));
	kms_err err = show_link(token, link);
	if (kms_is_ok(err)) {
		err = greet(token, link, &hello);
	}
	if (kms_is_ok(err)) {
		err = fetch_pending(token, link, &hello);
	}
	if (!kms_is_ok(err)) {
		hide_link(token, &link);
		return err;
	}
	set_up(token, &hello);
	kms_log(KMS_LOG_INFO, "%s: link is up, boot %llu", token->socket_path,
		(unsigned long long)hello.boot);
	read_answers(token, link);
	hide_link(token, &link);
	kms_log(KMS_LOG_WARNING, "%s: link is down", token->socket_path);
	return KMS_OK;
}

/* Returns true when it is time to stop. */
static bool pause_for(struct token *token, int ms)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&token->lock);
	while (!token->stopping &&
		pthread_cond_timedwait(&token->changed, &token->lock, &until) != ETIMEDOUT) {
	}
	bool stopping = token->stopping;
	(void)pthread_mutex_unlock(&token->lock);
	return stopping;
}

void *link_run(void *arg)
{
	struct token *token = arg;
	int backoff_ms = BACKOFF_MIN_MS;
	do {
		if (kms_is_ok(connect_once(token))) {
			backoff_ms = BACKOFF_MIN_MS;
		} else if (backoff_ms < BACKOFF_MAX_MS) {
			backoff_ms *= 2;
		}
	} while (!pause_for(token, backoff_ms));
	return NULL;
}

/* send_lock is held. False: it cannot be sent now, so that trying on makes no sense. */
static bool send_ack(struct token *token)
{
	bool writable = token->link != NULL && toklink_writable(token->link);
	(void)pthread_mutex_lock(&token->lock);
	struct tokmsg msg = {
		.type = TOKMSG_USES_ACK,
		.u.position = {token->ack_boot, token->ack_n},
	};
	bool can = token->up && writable;
	bool sends = token->ack_waits && can;
	token->ack_waits = token->ack_waits && !sends;
	(void)pthread_mutex_unlock(&token->lock);
	if (sends && !kms_is_ok(toklink_send(token->link, &msg, LIMIT_TOKEN_WAIT_MS))) {
		toklink_shutdown(token->link); /* a frame cut short cannot be mended */
	}
	return can;
}

/* Looks again after the unlocking: one that came meanwhile found the lock taken. A kms-tokend that
 * reads nothing gets its acknowledgement after its next answer, or on the next link. */
void link_flush_ack(struct token *token)
{
	bool waits = true;
	while (waits && pthread_mutex_trylock(&token->send_lock) == 0) {
		bool can = send_ack(token);
		(void)pthread_mutex_unlock(&token->send_lock);
		(void)pthread_mutex_lock(&token->lock);
		waits = can && token->ack_waits;
		(void)pthread_mutex_unlock(&token->lock);
	}
}
