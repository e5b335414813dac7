/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: REST under /v1: the table of routes, and JSON bodies to model and back, strictly, in both
 * directions: kmsd reads requests and writes answers, libkms the other way round. An unknown or
 * duplicate field is an error. docs/openapi.yaml describes the same and is held against the table.
 */
#ifndef KMS_WIRE_H
#define KMS_WIRE_H

#include "base.h"
#include "model.h"

struct wire_route {
	enum model_op op;
	const char *method; /* GET or POST */
	/* One path segment may be "{id}"; GET lists take ?after=UUID&limit=N, entries
	 * ?from=N&limit=N */
	const char *path;
};
/* NULL-path terminated, one row per operation. */
extern const struct wire_route wire_routes[];
/* The row of an operation; NULL for none. */
const struct wire_route *wire_route_of(enum model_op op);

/* One query argument of a request's URL, as text. */
struct wire_query {
	const char *name;
	const char *value;
};

/*
 * A body that was written, in one of the two: secret where it may carry data keys (`clear`), which
 * limits it to KMS_SECRET_MAX (TOO_LARGE: ask for fewer at a time). Both empty: no body.
 */
struct wire_body {
	struct kms_buf plain;
	struct kms_secret *secret;
};
struct kms_bytes wire_body_bytes(const struct wire_body *body); /* borrowed */
void wire_body_free(struct wire_body *body);                    /* what it owns */

/* Client: path with its id and query, and body (empty for GET and for changes of a key's state). */
kms_err wire_request_write(
	const struct model_request *request, char **ret_target, struct wire_body *ret_body);
/*
 * Server. id is the text of the path's {id} or NULL. Unknown or repeated arguments and members are
 * FORMAT, what is past a limit TOO_LARGE. In `clear` requests a wrapped-key id is made for an item
 * that has none (datakey, wrap), or taken from its wrapped key (unwrap, rewrap).
 */
kms_err wire_request_read(enum model_op op, const char *id, const struct wire_query *query,
	size_t query_count, struct kms_bytes body, struct model_request **ret_request);
/* Server. */
kms_err wire_answer_write(const struct model_answer *answer, struct wire_body *ret_body);
/* Client. What may be a `clear` answer is the caller's to wipe. */
kms_err wire_answer_read(enum model_op op, struct kms_bytes body, struct model_answer **ret_answer);

/* problem+json (RFC 9457): type "urn:kmsd:problem:<name>", title, status (0: the error's own),
 * detail (or NULL). */
kms_err wire_problem_write(kms_err err, int status, const char *detail, struct kms_buf *ret_body);
/* The error that a problem body names; ret_detail may be NULL. */
kms_err wire_problem_read(struct kms_bytes body, kms_err *ret_err, char **ret_detail);

#endif
