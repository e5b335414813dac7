/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: listen.c starts and stops, watch.c ends slow connections, request.c takes a request
 * through its stages, route.c finds its operation, answer.c writes what goes back.
 */
#ifndef KMS_API_INT_H
#define KMS_API_INT_H

#include <pthread.h>

#include <microhttpd.h>

#include "api.h"
#include "peer.h"
#include "service.h"
#include "wire.h"

/* ---- a connection and its time limit (watch.c) ---- */

struct watch_entry {
	int fd;
	int64_t deadline_ms; /* kms_monotonic_ms(); 0: none, the service is at work */
	struct watch_entry *previous, *next;
};
/* Shuts down connections that are past their deadline: libmicrohttpd's own time limit starts again
 * with each byte, and so never ends a sender of one byte a second. */
struct watch {
	pthread_mutex_t lock; /* guards the list and each deadline_ms */
	pthread_cond_t stopped;
	pthread_t thread;
	bool has_thread, stopping;
	struct watch_entry *first;
};
kms_err watch_start(struct watch *watch);
void watch_stop(struct watch *watch);
void watch_add(struct watch *watch, struct watch_entry *entry, int fd, int64_t ms);
void watch_remove(struct watch *watch, struct watch_entry *entry); /* before fd is closed */
void watch_set(struct watch *watch, struct watch_entry *entry, int64_t ms); /* 0: none */

struct connection {
	struct peer *peer;
	struct watch_entry watched;
};

struct api {
	enum model_face face;
	uint16_t port;
	struct service *service; /* borrowed */
	struct peer_limits *limits;
	struct watch watch;
	struct MHD_Daemon *daemon;
};

/* ---- routes (route.c) ---- */

enum { ROUTE_ID_MAX = 36 };
struct route_match {
	const struct wire_route *route;
	bool has_id;
	char id[ROUTE_ID_MAX + 1];
};
/* NOT_FOUND when no route has the path; UNSUPPORTED when none has it with this method: then
 * ret_allow is what may be used (RFC 9110 section 10.2.1), static. */
kms_err route_find(const char *method, const char *path, struct route_match *ret_match,
	const char **ret_allow);

/* ---- a request (request.c) ---- */

/* MHD_AccessHandlerCallback and MHD_RequestCompletedCallback; the closure is the struct api. */
enum MHD_Result request_handle(void *closure, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_len,
	void **request);
void request_completed(void *closure, struct MHD_Connection *connection, void **request,
	enum MHD_RequestTerminationCode why);

/* ---- answers (answer.c) ---- */

/* An error as it goes to the client. */
struct refusal {
	kms_err err;
	int status;         /* 0: the error's own */
	const char *detail; /* static; NULL for none */
	const char *allow;  /* with 405 */
};
/* Queue an answer; the status that goes out in ret_status. answer_send empties the body. */
enum MHD_Result answer_send(
	struct MHD_Connection *connection, struct wire_body *body, int *ret_status);
enum MHD_Result answer_refuse(
	struct MHD_Connection *connection, const struct refusal *refusal, int *ret_status);

#endif
