/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time limits of connections. Runs in kmsd, one thread for a listener. It must never touch a socket
 * that is no longer its connection's: entries leave the list before their socket is closed, and
 * both happen under the lock.
 */
#include "api_int.h"

#include <sys/socket.h>
#include <time.h>

enum { ROUND_MS = 500 };

static void end_late_ones(struct watch *watch)
{
	int64_t now = kms_monotonic_ms();
	for (struct watch_entry *entry = watch->first; entry != NULL; entry = entry->next) {
		if (entry->deadline_ms != 0 && entry->deadline_ms <= now) {
			/* libmicrohttpd sees the end of the stream and closes it. */
			(void)shutdown(entry->fd, SHUT_RDWR);
			entry->deadline_ms = 0;
		}
	}
}

static void *run(void *closure)
{
	struct watch *watch = closure;
	(void)pthread_mutex_lock(&watch->lock);
	while (!watch->stopping) {
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += ROUND_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		(void)pthread_cond_timedwait(&watch->stopped, &watch->lock, &until);
		end_late_ones(watch);
	}
	(void)pthread_mutex_unlock(&watch->lock);
	return NULL;
}

kms_err watch_start(struct watch *watch)
{
	pthread_condattr_t attr;
	(void)pthread_mutex_init(&watch->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&watch->stopped, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (pthread_create(&watch->thread, NULL, run, watch) != 0) {
		return KMS_ERR(NO_MEMORY);
	}
	watch->has_thread = true;
	return KMS_OK;
}

void watch_stop(struct watch *watch)
{
	if (!watch->has_thread) {
		return;
	}
	(void)pthread_mutex_lock(&watch->lock);
	watch->stopping = true;
	(void)pthread_cond_signal(&watch->stopped);
	(void)pthread_mutex_unlock(&watch->lock);
	(void)pthread_join(watch->thread, NULL);
	watch->has_thread = false;
}

void watch_add(struct watch *watch, struct watch_entry *entry, int fd, int64_t ms)
{
	entry->fd = fd;
	entry->deadline_ms = kms_monotonic_ms() + ms;
	entry->previous = NULL;
	(void)pthread_mutex_lock(&watch->lock);
	entry->next = watch->first;
	if (entry->next != NULL) {
		entry->next->previous = entry;
	}
	watch->first = entry;
	(void)pthread_mutex_unlock(&watch->lock);
}

void watch_remove(struct watch *watch, struct watch_entry *entry)
{
	(void)pthread_mutex_lock(&watch->lock);
	if (entry->previous != NULL) {
		entry->previous->next = entry->next;
	} else {
		watch->first = entry->next;
	}
	if (entry->next != NULL) {
		entry->next->previous = entry->previous;
	}
	(void)pthread_mutex_unlock(&watch->lock);
}

void watch_set(struct watch *watch, struct watch_entry *entry, int64_t ms)
{
	(void)pthread_mutex_lock(&watch->lock);
	entry->deadline_ms = ms == 0 ? 0 : kms_monotonic_ms() + ms;
	(void)pthread_mutex_unlock(&watch->lock);
}
