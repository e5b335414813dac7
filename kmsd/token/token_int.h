/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of token share.
 *	link.c   the thread of one token: connect, greet, read answers, reconnect
 *	ask.c    one request and its answer, with a time limit
 *	uses.c   the queue of uses that wait to be recorded
 *	calls.c  one function per message
 *	erase.c  and those of erasures
 *	clear.c  kmsd's own end of `clear` sessions
 * Lock order: send_lock, then lock.
 */
#ifndef KMS_TOKEN_INT_H
#define KMS_TOKEN_INT_H

#include "token.h"

#include "channel.h"
#include "format.h"
#include "toklink.h"
#include "tokmsg.h"

#include <pthread.h>

enum {
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 2000,
	CLEAR_SESSIONS = 4,
};

/* An answer out of the link's buffer: everything borrowed was copied. */
struct reply {
	enum kms_code code;
	char reason[LIMIT_REASON + 1]; /* of a code that is not OK */
	struct kms_buf bytes;          /* record, flight, statement or note */
	struct kms_id session;
	uint32_t count;
	enum kms_code codes[LIMIT_BATCH_ITEMS];
	uint64_t boot;
	uint64_t last_n; /* 0: nothing was used */
	struct model_held_kek *keks;
	struct kms_buf absence; /* ERASE_KEK: the second statement */
	struct model_erase_pins *pins;
};
void reply_clear(struct reply *reply);

/* A request that was sent. When its asker gives up it stays, so that its uses find their
 * principal; the answer, or the end of the link, frees it. */
struct pending {
	uint32_t id;
	enum tokmsg_type type;
	uint32_t count;   /* CALL: items */
	uint64_t links;   /* of the link it belongs to: it is sent on no other */
	int64_t until_ms; /* monotonic */
	struct token_user user;
	pthread_cond_t answered; /* its own: an answer wakes its asker, and nobody else */
	bool done;
	bool left; /* nobody waits any more */
	kms_err err;
	struct reply reply;
	struct pending *next;
};

struct clear {
	bool busy;               /* guarded by the token's lock; the rest is its taker's */
	struct channel *channel; /* NULL: none is open */
	struct kms_id session;
	uint64_t links; /* of the link it was opened on */
};

struct token {
	struct kms_id id;
	char *socket_path;
	struct kms_hash session_spki;
	struct channel_identity *clear_identity; /* borrowed from the set; NULL: no `clear` */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock; /* all of the following */
	pthread_cond_t changed;
	bool stopping;
	bool up;
	int64_t since_unix_ms;
	uint64_t links;
	struct model_hello hello;
	uint32_t next_id;
	struct pending *pending;
	size_t pending_count;
	struct token_uses *uses;        /* oldest first */
	uint64_t queued_boot, queued_n; /* the newest use that is queued or recorded */
	bool ack_waits;
	uint64_t ack_boot, ack_n;

	/* Who holds it may send on link, which lives meanwhile; links, up and link change only
	 * under both locks. While up is false link is still being greeted: only its thread sends.
	 */
	pthread_mutex_t send_lock;
	struct toklink *link;

	pthread_cond_t clear_free;
	struct clear clear[CLEAR_SESSIONS];
};

struct token_set {
	size_t count;
	struct token *tokens;
	struct channel_identity *clear_identity;
};

/* A condition whose time limits are of the monotonic clock. */
void token_cond_init(pthread_cond_t *cond);
void pending_free(struct pending *pending); /* but not what is in its reply */
/* The thread of one token (pthread_create's signature). */
void *link_run(void *token);
/* Send what waits to be acknowledged, unless somebody is sending: then that one does it. Never
 * waits. To be called after each unlocking of send_lock. */
void link_flush_ack(struct token *token);
/* This request is over: its asker is woken, or where there is none any more it is freed. lock is
 * held. */
void link_finish(struct token *token, struct pending **at, kms_err err);
/* One request; reply is the caller's to clear, whatever comes back. */
kms_err ask(struct token *token, struct tokmsg *msg, const struct token_user *user,
	struct reply *ret_reply);
/* The same, with kms-tokend's reason where it refused: LIMIT_REASON + 1 bytes, "" for none. */
kms_err ask_why(struct token *token, struct tokmsg *msg, const struct token_user *user,
	struct reply *ret_reply, char *ret_reason);
extern const struct token_user nobody; /* of requests that use no key */
/* Ask for something whose answer is bytes; is that it was done. */
kms_err ask_bytes(struct token *token, struct tokmsg *msg, struct kms_buf *ret_bytes);
kms_err ask_done(struct token *token, struct tokmsg *msg);
/* Append a batch; takes over its rows. lock is held. */
kms_err uses_queue(struct token *token, struct model_counted *uses, const struct token_user *user);

#endif
