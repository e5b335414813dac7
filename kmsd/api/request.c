/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request, stage by stage: who asks and what for, before a byte of body is taken; the body, into
 * memory that is wiped; one service_call(); the answer. Runs in kmsd, in the connection's thread.
 * It must never log a body, nor leave one that may hold a data key in libmicrohttpd's memory.
 */
#include "api_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct request {
	struct route_match match; /* route NULL until it is found */
	struct model_principal who;
	bool entered; /* peer_enter() succeeded */
	int status;   /* what went out; 0: nothing yet */
	int64_t began_ms;
	size_t body_len; /* as Content-Length said */
	size_t got;
	/* A data key comes in nothing but a `clear` wrap. */
	struct kms_secret *secret;
	uint8_t *plain;
};

static struct connection *connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info == NULL ? NULL : info->socket_context;
}

static uint8_t *body_ptr(struct request *request)
{
	return request->secret != NULL ? kms_secret_ptr(request->secret) : request->plain;
}

static void free_body(struct request *request)
{
	kms_secret_free(&request->secret);
	if (request->plain != NULL) {
		explicit_bzero(request->plain, request->body_len);
		free(request->plain);
		request->plain = NULL;
	}
}

static enum MHD_Result refuse(
	struct MHD_Connection *mhd, struct request *request, const struct refusal *refusal)
{
	return answer_refuse(mhd, refusal, &request->status);
}

/* ---- before the body ---- */

static const char *header(struct MHD_Connection *mhd, const char *name)
{
	return MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, name);
}

static bool is_json(const char *type)
{
	static const char json[] = "application/json";
	if (type == NULL || strncasecmp(type, json, sizeof(json) - 1) != 0) {
		return false;
	}
	const char *rest = type + sizeof(json) - 1;
	return *rest == '\0' || *rest == ';' || *rest == ' ';
}

/* Room for the body, by Content-Length: RFC 9110 section 8.6 and 15.5.12, 14, 16. */
static kms_err take_secret(struct MHD_Connection *mhd, struct request *request)
{
	KMS_TRY(peer_take_secret(connection_of(mhd)->peer, request->body_len));
	return kms_secret_new(request->body_len, &request->secret);
}

static bool prepare_body(
	struct MHD_Connection *mhd, struct request *request, struct refusal *refusal)
{
	const char *length = header(mhd, "Content-Length");
	if (header(mhd, "Transfer-Encoding") != NULL) {
		*refusal = (struct refusal){KMS_ERR(FORMAT), MHD_HTTP_LENGTH_REQUIRED,
			"a body needs its Content-Length", NULL};
		return false;
	}
	if (length == NULL || strcmp(length, "0") == 0) {
		return true;
	}
	/* Who may not wrap takes no secret memory from those who may: it is scarce. The door
	 * refuses and records; what was in the body is wiped all the same. */
	enum model_op op = request->match.route->op;
	bool may_be_secret = op == MODEL_OP_WRAP && model_role_may(request->who.role, op);
	size_t max = op == MODEL_OP_WRAP ? KMS_SECRET_MAX : LIMIT_HTTP_BODY;
	size_t digits = strlen(length);
	unsigned long long len = strtoull(length, NULL, 10);
	if (strspn(length, "0123456789") != digits || digits > 15 || len > max) {
		*refusal = (struct refusal){.err = KMS_ERR(TOO_LARGE)};
		return false;
	}
	if (!is_json(header(mhd, "Content-Type"))) {
		*refusal = (struct refusal){KMS_ERR(FORMAT), MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
			"a body is application/json", NULL};
		return false;
	}
	request->body_len = (size_t)len;
	if (may_be_secret) {
		refusal->err = take_secret(mhd, request);
	} else {
		request->plain = malloc(request->body_len);
		refusal->err = request->plain == NULL ? KMS_ERR(NO_MEMORY) : KMS_OK;
	}
	return kms_is_ok(refusal->err);
}

static kms_err enter(struct api *api, struct MHD_Connection *mhd, struct request *request)
{
	struct connection *connection = connection_of(mhd);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (connection == NULL || info == NULL) {
		return KMS_ERR(INTERNAL);
	}
	KMS_TRY(peer_enter(connection->peer, api->service, info->tls_session, &request->who));
	request->entered = true;
	return KMS_OK;
}

/* True: go on. Identity comes first: who is not known here learns nothing of the routes. */
static bool begin(struct api *api, struct MHD_Connection *mhd, const char *method, const char *url,
	struct request *request, struct refusal *refusal)
{
	refusal->err = enter(api, mhd, request);
	if (!kms_is_ok(refusal->err)) {
		return false;
	}
	if (header(mhd, "Upgrade") != NULL) {
		*refusal = (struct refusal){
			KMS_ERR(FORMAT), 0, "this server speaks HTTP/1.1 only", NULL};
		return false;
	}
	refusal->err = route_find(method, url, &request->match, &refusal->allow);
	if (!kms_is_ok(refusal->err)) {
		refusal->status = refusal->allow != NULL ? MHD_HTTP_METHOD_NOT_ALLOWED : 0;
		return false;
	}
	return prepare_body(mhd, request, refusal);
}

/* ---- the body, and the call ---- */

/* libmicrohttpd keeps what was read in the connection's memory and frees that unwiped. */
static void take_upload(struct request *request, const char *upload, size_t len)
{
	memcpy(body_ptr(request) + request->got, upload, len);
	request->got += len;
	if (request->secret != NULL) {
		/* Its own read buffer, which it will not look at again. */
		explicit_bzero((void *)(uintptr_t)upload, len);
	}
}

struct arguments {
	struct wire_query query[LIMIT_HTTP_QUERY];
	size_t count;
	bool too_many;
};

static enum MHD_Result take_argument(
	void *closure, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct arguments *arguments = closure;
	(void)kind;
	if (arguments->count == LIMIT_HTTP_QUERY) {
		arguments->too_many = true;
		return MHD_NO;
	}
	arguments->query[arguments->count++] = (struct wire_query){name, value};
	return MHD_YES;
}

static kms_err call(struct api *api, struct MHD_Connection *mhd, struct request *request,
	struct wire_body *ret_body, char ret_detail[LIMIT_REASON + 1])
{
	struct arguments arguments = {.count = 0};
	KMS_AUTO(model_request) asked = NULL;
	KMS_AUTO(model_answer) answer = NULL;
	(void)MHD_get_connection_values(mhd, MHD_GET_ARGUMENT_KIND, take_argument, &arguments);
	if (arguments.too_many) {
		return KMS_ERR(FORMAT);
	}
	kms_err err = wire_request_read(request->match.route->op,
		request->match.has_id ? request->match.id : NULL, arguments.query, arguments.count,
		(struct kms_bytes){body_ptr(request), request->got}, &asked);
	free_body(request);
	KMS_TRY(err);
	KMS_TRY(service_call(api->service, &request->who, api->face, asked, &answer, ret_detail));
	return wire_answer_write(answer, ret_body);
}

static enum MHD_Result finish(struct api *api, struct MHD_Connection *mhd, struct request *request)
{
	struct connection *connection = connection_of(mhd);
	struct wire_body body = {0};
	enum MHD_Result result;
	watch_set(&api->watch, &connection->watched, 0);
	char detail[LIMIT_REASON + 1] = "";
	kms_err err = call(api, mhd, request, &body, detail);
	if (kms_is_ok(err)) {
		result = answer_send(mhd, &body, &request->status);
	} else {
		result = refuse(mhd, request,
			&(struct refusal){.err = err, .detail = detail[0] != '\0' ? detail : NULL});
	}
	wire_body_free(&body);
	watch_set(&api->watch, &connection->watched, LIMIT_HTTP_SEND_MS);
	return result;
}

enum MHD_Result request_handle(void *closure, struct MHD_Connection *mhd, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_len,
	void **request_at)
{
	struct api *api = closure;
	struct request *request = *request_at;
	(void)version;
	if (request == NULL) {
		struct refusal refusal = {.status = 0};
		request = calloc(1, sizeof(*request));
		if (request == NULL) {
			return MHD_NO;
		}
		request->began_ms = kms_monotonic_ms();
		*request_at = request;
		if (!begin(api, mhd, method, url, request, &refusal)) {
			return refuse(mhd, request, &refusal);
		}
		watch_set(&api->watch, &connection_of(mhd)->watched, LIMIT_HTTP_BODY_MS);
		return MHD_YES;
	}
	if (request->status != 0) {
		*upload_len = 0; /* refused; what still comes is not looked at */
		return MHD_YES;
	}
	if (*upload_len > 0) {
		if (*upload_len > request->body_len - request->got) {
			return MHD_NO;
		}
		take_upload(request, upload, *upload_len);
		*upload_len = 0;
		return MHD_YES;
	}
	return finish(api, mhd, request);
}

void request_completed(void *closure, struct MHD_Connection *mhd, void **request_at,
	enum MHD_RequestTerminationCode why)
{
	struct api *api = closure;
	struct connection *connection = connection_of(mhd);
	struct request *request = *request_at;
	(void)why;
	if (request == NULL) {
		return;
	}
	char who[KMS_ID_TEXT] = "-";
	if (request->entered) {
		(void)kms_id_text(&request->who.id, who);
		peer_leave(connection->peer);
	}
	kms_log(KMS_LOG_INFO, "%s: %s %s %d %" PRId64 " ms",
		api->face == MODEL_FACE_ADMIN ? "admin" : "data", who,
		request->match.route != NULL ? model_op_text(request->match.route->op) : "-",
		request->status, kms_monotonic_ms() - request->began_ms);
	free_body(request);
	free(request);
	*request_at = NULL;
	if (connection != NULL) {
		watch_set(&api->watch, &connection->watched, LIMIT_HTTP_IDLE_MS);
	}
}
