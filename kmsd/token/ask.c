/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a kms-tokend and its answer. Whoever waits too long leaves; the link is then made
 * anew, since a kms-tokend that hangs must not hold up others.
 */
#include "token_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void pending_free(struct pending *pending)
{
	(void)pthread_cond_destroy(&pending->answered);
	free(pending);
}

/* Register before sending: the answer may be quicker than we are. */
static kms_err add_pending(struct token *token, struct tokmsg *msg, const struct token_user *user,
	struct pending **ret_pending)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	if (pending == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	token_cond_init(&pending->answered);
	(void)pthread_mutex_lock(&token->lock);
	bool room = token->up && token->pending_count < LIMIT_TOKEN_QUEUE;
	if (room) {
		if (++token->next_id == 0) {
			token->next_id = 1; /* 0 is for acknowledgements */
		}
		pending->id = token->next_id;
		pending->type = msg->type;
		pending->count = msg->type == TOKMSG_CALL ? msg->u.call.count : 0;
		pending->links = token->links;
		pending->until_ms = kms_monotonic_ms() + LIMIT_TOKEN_WAIT_MS;
		pending->user = *user;
		pending->next = token->pending;
		token->pending = pending;
		token->pending_count++;
		msg->id = pending->id;
	}
	(void)pthread_mutex_unlock(&token->lock);
	if (!room) {
		pending_free(pending);
		return KMS_ERR(TOKEN_DOWN);
	}
	*ret_pending = pending;
	return KMS_OK;
}

/* send_lock is held. Is the link that this request belongs to still there? Otherwise it was
 * finished already, and must not be sent on the next one. */
static bool has_link(struct token *token, uint64_t links)
{
	(void)pthread_mutex_lock(&token->lock);
	bool same = token->up && token->links == links;
	(void)pthread_mutex_unlock(&token->lock);
	return same;
}

/* It could not even be written: nothing of it is on the link, and only its asker is to know. */
static void take_back(struct token *token, uint32_t id, kms_err err)
{
	(void)pthread_mutex_lock(&token->lock);
	for (struct pending **at = &token->pending; *at != NULL; at = &(*at)->next) {
		if ((*at)->id == id) {
			link_finish(token, at, err);
			break;
		}
	}
	(void)pthread_mutex_unlock(&token->lock);
}

static void send_request(struct token *token, uint64_t links, const struct tokmsg *msg)
{
	(void)pthread_mutex_lock(&token->send_lock);
	if (has_link(token, links)) {
		kms_err err = toklink_send(token->link, msg, LIMIT_TOKEN_WAIT_MS);
		if (kms_is(err, KMS_CODE_TOO_LARGE) || kms_is(err, KMS_CODE_ARGUMENT) ||
			kms_is(err, KMS_CODE_NO_MEMORY)) {
			take_back(token, msg->id, err);
		} else if (!kms_is_ok(err)) {
			toklink_shutdown(token->link); /* a frame cut short cannot be mended */
		}
	}
	(void)pthread_mutex_unlock(&token->send_lock);
	link_flush_ack(token);
}

/* Nobody waits for it any more, and its link hangs. */
static void give_up(struct token *token, uint64_t links)
{
	kms_log(KMS_LOG_ERROR, "%s: no answer in %d s; making the link anew", token->socket_path,
		LIMIT_TOKEN_WAIT_MS / 1000);
	(void)pthread_mutex_lock(&token->send_lock);
	if (has_link(token, links)) {
		toklink_shutdown(token->link);
	}
	(void)pthread_mutex_unlock(&token->send_lock);
	link_flush_ack(token);
}

static kms_err wait_for(struct token *token, struct pending *pending, struct reply *ret_reply)
{
	struct timespec until = {
		.tv_sec = pending->until_ms / 1000,
		.tv_nsec = (pending->until_ms % 1000) * 1000000,
	};
	(void)pthread_mutex_lock(&token->lock);
	int rc = 0;
	while (!pending->done && rc != ETIMEDOUT) {
		rc = pthread_cond_timedwait(&pending->answered, &token->lock, &until);
	}
	if (!pending->done) {
		uint64_t links = pending->links;
		pending->left = true; /* from the unlocking on it may be freed */
		(void)pthread_mutex_unlock(&token->lock);
		give_up(token, links);
		return KMS_ERR(TIMEOUT);
	}
	(void)pthread_mutex_unlock(&token->lock);
	kms_err err = pending->err;
	*ret_reply = pending->reply;
	pending_free(pending);
	return err;
}

kms_err ask_why(struct token *token, struct tokmsg *msg, const struct token_user *user,
	struct reply *ret_reply, char *ret_reason)
{
	struct pending *pending;
	KMS_TRY(add_pending(token, msg, user, &pending));
	send_request(token, pending->links, msg);
	struct reply reply;
	KMS_TRY(wait_for(token, pending, &reply));
	if (reply.code != KMS_CODE_OK) {
		kms_err err = kms_err_from_code((unsigned)reply.code);
		memcpy(ret_reason, reply.reason, sizeof(reply.reason));
		reply_clear(&reply);
		return err;
	}
	*ret_reply = reply;
	return KMS_OK;
}

kms_err ask(struct token *token, struct tokmsg *msg, const struct token_user *user,
	struct reply *ret_reply)
{
	char reason[LIMIT_REASON + 1]; /* in the log already */
	return ask_why(token, msg, user, ret_reply, reason);
}
