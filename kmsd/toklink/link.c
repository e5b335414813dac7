/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connected unix socket that carries whole frames. Runs in kmsd and kms-tokend; a link has one
 * sending and one receiving thread at most (each end locks for itself). Frames hold `clear`
 * secrets at no time: sealed bytes are all that passes.
 */
#include "toklink_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct toklink {
	int fd;
	uint8_t *buf; /* received bytes: [0, used) */
	size_t used;
	size_t taken; /* of them the frame that was handed out last */
};

enum { LENGTH_BYTES = 4, BUFFER_BYTES = LENGTH_BYTES + LIMIT_TOKMSG_BYTES };

kms_err toklink_of_fd(int fd, struct toklink **ret_link)
{
	struct toklink *link = calloc(1, sizeof(*link));
	uint8_t *buf = malloc(BUFFER_BYTES);
	if (link == NULL || buf == NULL) {
		free(link);
		free(buf);
		(void)close(fd);
		return KMS_ERR(NO_MEMORY);
	}
	link->fd = fd;
	link->buf = buf;
	*ret_link = link;
	return KMS_OK;
}

void toklink_free(struct toklink **link)
{
	if (link == NULL || *link == NULL) {
		return;
	}
	(void)close((*link)->fd);
	free((*link)->buf);
	free(*link);
	*link = NULL;
}

int toklink_fd(const struct toklink *link)
{
	return link->fd;
}

void toklink_shutdown(struct toklink *link)
{
	(void)shutdown(link->fd, SHUT_RDWR);
}

/* timeout_ms 0 waits for ever, as toklink.h says; poll() wants -1 for that. */
static kms_err wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = events};
	int ready;
	do {
		ready = poll(&pfd, 1, timeout_ms == 0 ? -1 : timeout_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0) {
		return KMS_ERR(IO);
	}
	return ready == 0 ? KMS_ERR(TIMEOUT) : KMS_OK;
}

kms_err toklink_send(struct toklink *link, const struct tokmsg *msg, int timeout_ms)
{
	KMS_AUTO_WRITER frame = kms_writer_grow(BUFFER_BYTES);
	KMS_TRY(tokmsg_write(msg, &frame));
	for (size_t sent = 0; sent < frame.len;) {
		ssize_t n = send(
			link->fd, frame.ptr + sent, frame.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			KMS_TRY(wait_for(link->fd, POLLOUT, timeout_ms));
		} else if (errno != EINTR) {
			return KMS_ERR(TOKEN_DOWN);
		}
	}
	return KMS_OK;
}

/* The kernel says writable only while most of the socket's buffer is free (unix_writable()). */
bool toklink_writable(const struct toklink *link)
{
	struct pollfd pfd = {.fd = link->fd, .events = POLLOUT};
	return poll(&pfd, 1, 0) == 1;
}

/* Bytes of the frame at the start of the buffer, length included; 0: its length is not there yet */
static kms_err frame_bytes(const struct toklink *link, size_t *ret_bytes)
{
	size_t from = link->taken;
	if (link->used - from < LENGTH_BYTES) {
		*ret_bytes = 0;
		return KMS_OK;
	}
	struct kms_reader reader =
		kms_reader_of((struct kms_bytes){link->buf + from, LENGTH_BYTES});
	uint32_t len;
	KMS_TRY(kms_read_u32(&reader, &len));
	if (len > LIMIT_TOKMSG_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_bytes = LENGTH_BYTES + (size_t)len;
	return KMS_OK;
}

bool toklink_pending(const struct toklink *link)
{
	size_t need;
	if (!kms_is_ok(frame_bytes(link, &need))) {
		return true; /* receive will say what is wrong with it */
	}
	return need > 0 && link->used - link->taken >= need;
}

static kms_err read_more(struct toklink *link, int timeout_ms)
{
	for (;;) {
		ssize_t n = recv(
			link->fd, link->buf + link->used, BUFFER_BYTES - link->used, MSG_DONTWAIT);
		if (n > 0) {
			link->used += (size_t)n;
			return KMS_OK;
		}
		if (n == 0) {
			return KMS_ERR(TOKEN_DOWN);
		}
		if (errno == EAGAIN) {
			KMS_TRY(wait_for(link->fd, POLLIN, timeout_ms));
		} else if (errno != EINTR) {
			return KMS_ERR(TOKEN_DOWN);
		}
	}
}

kms_err toklink_receive(struct toklink *link, int timeout_ms, struct tokmsg *ret_msg)
{
	size_t need;
	for (;;) {
		KMS_TRY(frame_bytes(link, &need));
		if (need > 0 && link->used - link->taken >= need) {
			break;
		}
		/* Move only when more must be read: a burst of frames is parsed where it lies. */
		memmove(link->buf, link->buf + link->taken, link->used - link->taken);
		link->used -= link->taken;
		link->taken = 0;
		KMS_TRY(read_more(link, timeout_ms));
	}
	struct kms_bytes frame = {link->buf + link->taken + LENGTH_BYTES, need - LENGTH_BYTES};
	link->taken += need;
	return tokmsg_read(frame, ret_msg);
}
