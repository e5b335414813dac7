/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kms-tokend that does as it is told: real links and messages, uses numbered as the real one
 * numbers them, and misbehaviour on demand. One thread; its fields are behind its lock.
 */
#ifndef TOKEND_DOUBLE_H
#define TOKEND_DOUBLE_H

#include "toklink.h"
#include "tokmsg_samples.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

enum double_mode {
	DOUBLE_HONEST,
	DOUBLE_SILENT,     /* takes messages, answers none */
	DOUBLE_DROP,       /* counts a CALL, then closes instead of answering */
	DOUBLE_WRONG_TYPE, /* answers a CALL as if it had been a PING */
	DOUBLE_UNKNOWN_ID,
	DOUBLE_ID_0,
	DOUBLE_REQUEST, /* sends a request instead of an answer */
	DOUBLE_GAP,     /* leaves out a number */
	DOUBLE_AGAIN,   /* gives the last number twice */
	DOUBLE_BOOT,    /* says another boot */
	DOUBLE_SHORT,   /* says nothing of the last item */
	DOUBLE_UNUSED,  /* an item went well, and no use was counted */
	DOUBLE_REFUSE,
};

enum { DOUBLE_USES = 20000 };

struct tokend_double {
	pthread_t thread;
	int listen_fd;
	pthread_mutex_t lock;
	bool stop;
	bool hang_up; /* close the link that is there */
	enum double_mode mode;
	struct kms_id id;
	uint64_t boot, used, acked;
	unsigned hellos, calls, acks;
	struct model_counted_use uses[DOUBLE_USES + 1];
	struct tokmsg request, answer;
};

static inline void double_count(struct tokend_double *d, const struct tokmsg_call *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		ck_assert_uint_lt(d->used, DOUBLE_USES);
		d->used++;
		d->uses[d->used] = (struct model_counted_use){
			.n = d->used,
			.op = call->op,
			.spki = call->principal,
			.key = call->key,
			.kek = sample_id(0x53),
			.version = 1,
			.wrapped_key = call->items[i].wrapped_key,
			.context = call->items[i].context,
		};
	}
}

/* Uses after `after`, at most max of them. */
static inline struct model_counted double_uses(
	struct tokend_double *d, uint64_t after, uint32_t max)
{
	uint64_t left = d->used - after;
	struct model_counted uses = {
		.boot = d->boot,
		.first = after + 1,
		.count = left < max ? (uint32_t)left : max,
	};
	uses.rows = calloc(uses.count + 1, sizeof(*uses.rows));
	memcpy(uses.rows, &d->uses[after + 1], uses.count * sizeof(*uses.rows));
	return uses;
}

static inline void double_call(struct tokend_double *d)
{
	const struct tokmsg_call *call = &d->request.u.call;
	struct tokmsg *answer = &d->answer;
	d->calls++;
	if (d->mode == DOUBLE_REFUSE) {
		answer->code = KMS_CODE_TOKEN_REFUSED;
		return;
	}
	if (d->mode == DOUBLE_GAP) {
		double_count(d, call);
	}
	uint64_t before = d->used;
	double_count(d, call);
	answer->u.answered = calloc(1, sizeof(*answer->u.answered));
	struct tokmsg_call_answer *answered = answer->u.answered;
	answered->count = call->count;
	if (d->mode == DOUBLE_AGAIN && before > 0) {
		before--;
	}
	answered->uses = double_uses(d, before, call->count);
	answered->record = call->record; /* an echo */
	for (uint32_t i = 0; i < answered->uses.count; i++) {
		answered->uses.rows[i].n = answered->uses.first + i;
	}
	answered->uses.boot += d->mode == DOUBLE_BOOT ? 1 : 0;
	answered->count -= d->mode == DOUBLE_SHORT ? 1 : 0;
	if (d->mode == DOUBLE_UNUSED) {
		answered->uses.count--;
	}
}

static inline void double_fill(struct tokend_double *d)
{
	struct tokmsg *answer = &d->answer;
	enum tokmsg_type type = d->request.type;
	if (type == TOKMSG_HELLO) {
		d->hellos++;
		answer->u.hello =
			(struct model_hello){d->id, sample_id(2), d->boot, d->used, d->acked};
	} else if (type == TOKMSG_USES_ACK) {
		d->acks++;
		if (d->request.u.position.boot == d->boot) {
			d->acked = d->request.u.position.n;
		} else {
			answer->code = KMS_CODE_ARGUMENT;
		}
	} else if (type == TOKMSG_USES_PENDING) {
		uint64_t n = d->request.u.position.boot == d->boot ? d->request.u.position.n : 0;
		answer->u.uses = double_uses(d, n < d->acked ? d->acked : n, LIMIT_COMMIT_USES);
	} else if (type == TOKMSG_CALL) {
		double_call(d);
	} else if (d->mode == DOUBLE_REFUSE) {
		answer->code = KMS_CODE_TOKEN_REFUSED;
		(void)strcpy(answer->reason, "not by this owner's file");
	} else {
		sample_answer(answer);
	}
}

static inline bool double_send(struct tokend_double *d, struct toklink *link)
{
	bool call = d->request.type == TOKMSG_CALL;
	if (call && d->mode == DOUBLE_DROP) {
		return false;
	}
	if (call && d->mode == DOUBLE_WRONG_TYPE) {
		tokmsg_clear(&d->answer);
		sample_blank(&d->answer, TOKMSG_PING, true);
	}
	if (call && d->mode == DOUBLE_REQUEST) {
		tokmsg_clear(&d->answer);
		sample_blank(&d->answer, TOKMSG_PING, false);
	}
	d->answer.id = d->request.id;
	if (call && d->mode == DOUBLE_UNKNOWN_ID) {
		d->answer.id += 1000;
	}
	if (call && d->mode == DOUBLE_ID_0) {
		d->answer.id = 0;
	}
	return kms_is_ok(toklink_send(link, &d->answer, 1000));
}

/* One message; false ends the link. */
static inline bool double_serve(struct tokend_double *d, struct toklink *link)
{
	kms_err err = toklink_receive(link, 5, &d->request);
	(void)pthread_mutex_lock(&d->lock);
	bool go_on = !d->stop && !d->hang_up;
	if (!kms_is_ok(err)) {
		go_on = go_on && kms_is(err, KMS_CODE_TIMEOUT);
	} else {
		if (go_on && d->mode != DOUBLE_SILENT) {
			sample_blank(&d->answer, d->request.type, true);
			double_fill(d);
			go_on = double_send(d, link);
			tokmsg_clear(&d->answer);
		}
		tokmsg_clear(&d->request);
	}
	d->hang_up = false;
	(void)pthread_mutex_unlock(&d->lock);
	return go_on;
}

static inline void *double_run(void *arg)
{
	struct tokend_double *d = arg;
	bool stop = false;
	while (!stop) {
		struct pollfd pfd = {.fd = d->listen_fd, .events = POLLIN};
		struct toklink *link = NULL;
		if (poll(&pfd, 1, 5) == 1 &&
			kms_is_ok(toklink_accept(d->listen_fd, geteuid(), &link))) {
			while (double_serve(d, link)) {
			}
			toklink_free(&link);
		}
		(void)pthread_mutex_lock(&d->lock);
		stop = d->stop;
		(void)pthread_mutex_unlock(&d->lock);
	}
	return NULL;
}

static inline void double_start(struct tokend_double *d, const char *path)
{
	d->id = sample_id(1);
	d->boot = 3;
	ck_assert(kms_is_ok(toklink_listen(path, &d->listen_fd)));
	(void)pthread_mutex_init(&d->lock, NULL);
	ck_assert_int_eq(pthread_create(&d->thread, NULL, double_run, d), 0);
}

static inline void double_stop(struct tokend_double *d)
{
	(void)pthread_mutex_lock(&d->lock);
	d->stop = true;
	(void)pthread_mutex_unlock(&d->lock);
	(void)pthread_join(d->thread, NULL);
	(void)close(d->listen_fd);
}

static inline void double_mode(struct tokend_double *d, enum double_mode mode)
{
	(void)pthread_mutex_lock(&d->lock);
	d->mode = mode;
	(void)pthread_mutex_unlock(&d->lock);
}

#endif
