/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes back to the client. Runs in kmsd. An answer's memory stays ours until libmicrohttpd has
 * sent it, and is then wiped: it may hold data keys. It must never be kept by a cache.
 */
#include "api_int.h"

#include <stdlib.h>
#include <string.h>

static void free_body(void *closure)
{
	struct wire_body *body = closure;
	wire_body_free(body);
	free(body);
}

/* A response over the body, which is moved out of *body; NULL when memory is short. */
static struct MHD_Response *respond(struct wire_body *body, const char *type)
{
	struct wire_body *moved = calloc(1, sizeof(*moved));
	if (moved == NULL) {
		return NULL;
	}
	*moved = *body;
	*body = (struct wire_body){0};
	uint8_t *bytes = moved->secret != NULL ? kms_secret_ptr(moved->secret) : moved->plain.ptr;
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
		wire_body_bytes(moved).len, bytes, free_body, moved);
	if (response == NULL) {
		free_body(moved);
		return NULL;
	}
	if (MHD_add_response_header(response, "Content-Type", type) != MHD_YES ||
		MHD_add_response_header(response, "Cache-Control", "no-store") != MHD_YES) {
		MHD_destroy_response(response);
		return NULL;
	}
	return response;
}

static enum MHD_Result queue(
	struct MHD_Connection *connection, int status, struct MHD_Response *response)
{
	enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
	MHD_destroy_response(response); /* our reference */
	return result;
}

enum MHD_Result answer_send(
	struct MHD_Connection *connection, struct wire_body *body, int *ret_status)
{
	struct MHD_Response *response = respond(body, "application/json");
	if (response == NULL) {
		return MHD_NO;
	}
	*ret_status = MHD_HTTP_OK;
	return queue(connection, MHD_HTTP_OK, response);
}

enum MHD_Result answer_refuse(
	struct MHD_Connection *connection, const struct refusal *refusal, int *ret_status)
{
	int status = refusal->status != 0 ? refusal->status : kms_err_http_status(refusal->err);
	struct wire_body body = {0};
	if (!kms_is_ok(wire_problem_write(refusal->err, status, refusal->detail, &body.plain))) {
		return MHD_NO; /* libmicrohttpd closes the connection */
	}
	struct MHD_Response *response = respond(&body, "application/problem+json");
	wire_body_free(&body);
	if (response == NULL) {
		return MHD_NO;
	}
	/* RFC 9110 section 10.2.3: asking again later makes sense. */
	bool again = status == MHD_HTTP_SERVICE_UNAVAILABLE || status == MHD_HTTP_TOO_MANY_REQUESTS;
	if ((again && MHD_add_response_header(response, "Retry-After", "1") != MHD_YES) ||
		(refusal->allow != NULL &&
			MHD_add_response_header(response, "Allow", refusal->allow) != MHD_YES)) {
		MHD_destroy_response(response);
		return MHD_NO;
	}
	*ret_status = status;
	return queue(connection, status, response);
}
