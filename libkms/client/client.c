/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client itself: its parts, its last problem, and one request to kmsd. Runs wherever libkms
 * does. A problem's text comes from kmsd or libcurl and is for people only: nothing is decided by
 * it.
 */
#include "client_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire.h"

static kms_err open_parts(struct kms_client *client, const char *profile_path)
{
	KMS_TRY(profile_read(profile_path, &client->profile));
	const struct profile *profile = client->profile;
	/* Reads certificate and key, and so checks the key's mode, for management as well. */
	KMS_TRY(channel_identity_read(profile->certificate, profile->key, &client->identity));
	for (uint32_t i = 0; i < profile->token_count; i++) {
		KMS_TRY(sealed_new(client, &profile->tokens[i], &client->sealed[i]));
	}
	KMS_TRY(http_new(profile, &client->http));
	return leases_new(client, &client->leases);
}

kms_err kms_client_open(const char *profile_path, struct kms_client **ret_client)
{
	if (profile_path == NULL || ret_client == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO(kms_client) client = calloc(1, sizeof(*client));
	if (client == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	(void)pthread_mutex_init(&client->lock, NULL);
	KMS_TRY(open_parts(client, profile_path));
	*ret_client = kms_take(&client);
	return KMS_OK;
}

void kms_client_free(struct kms_client **client)
{
	if (client == NULL || *client == NULL) {
		return;
	}
	leases_free(&(*client)->leases); /* its last receipts still go out */
	for (size_t i = 0; i < PROFILE_TOKENS_MAX; i++) {
		sealed_free(&(*client)->sealed[i]);
	}
	http_free(&(*client)->http);
	channel_identity_free(&(*client)->identity);
	profile_free(&(*client)->profile);
	(void)pthread_mutex_destroy(&(*client)->lock);
	free(*client);
	*client = NULL;
}

void client_problem_set(struct kms_client *client, const char *format, ...)
{
	va_list args;
	char text[CLIENT_PROBLEM_MAX];
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *c = text; *c != '\0'; c++) {
		/* It came over the network and goes to a terminal. */
		*c = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
	}
	(void)pthread_mutex_lock(&client->lock);
	memcpy(client->problem, text, sizeof(text));
	(void)pthread_mutex_unlock(&client->lock);
}

const char *kms_client_problem(struct kms_client *client, char *text, size_t size)
{
	if (client == NULL || text == NULL || size == 0) {
		return "";
	}
	(void)pthread_mutex_lock(&client->lock);
	(void)snprintf(text, size, "%s", client->problem);
	(void)pthread_mutex_unlock(&client->lock);
	return text;
}

/* ---- one request ---- */

bool retry_again(struct retry *retry, kms_err err)
{
	if (kms_is(err, KMS_CODE_SESSION) && !retry->reopened) {
		retry->reopened = true;
		return true;
	}
	if (!kms_is(err, KMS_CODE_TOKEN_DOWN) || retry->tries >= RETRY_MAX) {
		return false;
	}
	int64_t now = kms_monotonic_ms();
	if (retry->tries++ == 0) {
		retry->since_ms = now;
	}
	int64_t wait_ms = retry->after_s > 0 ? (int64_t)retry->after_s * 1000
					     : (int64_t)RETRY_FIRST_MS << (retry->tries - 1);
	retry->after_s = 0;
	if (now - retry->since_ms + wait_ms > RETRY_TOTAL_MS) {
		return false;
	}
	const struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000};
	(void)nanosleep(&wait, NULL); /* a signal only shortens it */
	return true;
}

/* The error that the answer names, its detail as the problem. */
static kms_err problem_of(struct http_answer *answer)
{
	kms_err err = KMS_OK;
	KMS_AUTO_FREE char *detail = NULL;
	if (!kms_is_ok(wire_problem_read(http_answer_body(answer), &err, &detail)) ||
		kms_is_ok(err)) {
		(void)snprintf(answer->problem, sizeof(answer->problem),
			"HTTP status %u, which is no answer of a kmsd", answer->status);
		return KMS_ERR(NETWORK);
	}
	(void)snprintf(
		answer->problem, sizeof(answer->problem), "%s", detail == NULL ? "" : detail);
	return err;
}

/* Does the answer hold data keys? Where a sealed one does, they are inside the channel. */
static bool answers_secrets(const struct model_request *request)
{
	return (request->op == MODEL_OP_DATAKEY || request->op == MODEL_OP_UNWRAP) &&
	       !request->u.use.sealed;
}

static kms_err url_of(const struct profile *profile, enum model_op op, const char **ret_url,
	char problem[CLIENT_PROBLEM_MAX])
{
	enum model_face face = model_op_face(op);
	const char *url = face == MODEL_FACE_DATA ? profile->data_url : profile->admin_url;
	if (url == NULL && face == MODEL_FACE_BOTH) {
		url = profile->data_url;
	}
	if (url == NULL) {
		(void)snprintf(problem, CLIENT_PROBLEM_MAX, "the profile has no %s",
			face == MODEL_FACE_DATA ? "data_url" : "admin_url");
		return KMS_ERR(CONFIG);
	}
	*ret_url = url;
	return KMS_OK;
}

/* The answer is the caller's to free, also after a failure, of which it says the problem. */
static kms_err ask(
	struct kms_client *client, const struct model_request *request, struct http_answer *answer)
{
	KMS_AUTO_FREE char *target = NULL;
	struct wire_body body __attribute__((cleanup(wire_body_free))) = {0};
	struct http_call call = {
		.method = wire_route_of(request->op)->method,
		.secret = answers_secrets(request),
	};
	KMS_TRY(url_of(client->profile, request->op, &call.url, answer->problem));
	KMS_TRY(wire_request_write(request, &target, &body));
	call.target = target;
	call.body = wire_body_bytes(&body);
	KMS_TRY(http_call(client->http, &call, answer));
	return answer->status / 100 == 2 ? KMS_OK : problem_of(answer);
}

kms_err client_ask(struct kms_client *client, const struct model_request *request,
	struct retry *retry, struct http_answer *ret_answer)
{
	HTTP_AUTO_ANSWER answer = {0};
	kms_err err = ask(client, request, &answer);
	if (!kms_is_ok(err)) {
		client_problem_set(client, "%s", answer.problem);
		if (retry != NULL) {
			retry->after_s = answer.retry_after_s;
		}
		return err;
	}
	*ret_answer = answer;
	answer = (struct http_answer){0};
	return KMS_OK;
}

kms_err client_ask_quietly(struct kms_client *client, const struct model_request *request,
	struct http_answer *ret_answer)
{
	HTTP_AUTO_ANSWER answer = {0};
	KMS_TRY(ask(client, request, &answer));
	*ret_answer = answer;
	answer = (struct http_answer){0};
	return KMS_OK;
}
