/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS to kmsd over libcurl: TLS 1.3 only, our certificate, the profile's CA and nobody else's.
 * Runs wherever libkms does. It must never follow a redirect, take a proxy or a CA from the
 * environment, or read more than the limit.
 *
 * libcurl and OpenSSL copy a body into buffers of their own, which they free unwiped: for `clear`
 * keys data keys are in there, for `sealed` ones only TLS records of the sealed channel.
 */
#include "client_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

struct http {
	const struct profile *profile;
	struct curl_slist *headers;
	pthread_mutex_t lock;      /* of what follows; a leaf */
	CURL *idle[HTTP_IDLE_MAX]; /* handles with their kept connections */
	size_t idle_count;
};

/* Where an answer's body goes while it arrives. */
struct sink {
	CURL *curl;
	const struct http_call *call;
	struct http_answer *answer;
	uint8_t *at;
	size_t left;
	kms_err err;
};

/*
 * OpenSSL writes to sockets that kmsd has closed, and SIGPIPE would end a host that does not expect
 * it. libcurl's own way changes the signal for the whole process; this one holds it in this thread.
 */
struct quiet {
	sigset_t before;
	bool pending; /* already, and not ours to take */
};

static void quiet_start(struct quiet *quiet)
{
	sigset_t pipe, pending;
	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	(void)sigpending(&pending);
	quiet->pending = sigismember(&pending, SIGPIPE) == 1;
	(void)pthread_sigmask(SIG_BLOCK, &pipe, &quiet->before);
}

static void quiet_end(const struct quiet *quiet)
{
	const struct timespec at_once = {0};
	sigset_t pipe;
	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	if (!quiet->pending) {
		(void)sigtimedwait(&pipe, NULL, &at_once); /* nothing there: nothing taken */
	}
	(void)pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
}

static void close_handle(CURL *curl)
{
	struct quiet quiet;
	quiet_start(&quiet);
	curl_easy_cleanup(curl); /* accepts NULL */
	quiet_end(&quiet);
}

static void curl_start(void)
{
	/* Its failure shows in curl_easy_init. */
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

kms_err http_new(const struct profile *profile, struct http **ret_http)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, curl_start);
	KMS_AUTO(http) http = calloc(1, sizeof(*http));
	if (http == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	http->profile = profile;
	(void)pthread_mutex_init(&http->lock, NULL);
	http->headers = curl_slist_append(NULL, "Content-Type: application/json");
	/* No waiting for "100 Continue" (RFC 9110 section 10.1.1). */
	struct curl_slist *more =
		http->headers == NULL ? NULL : curl_slist_append(http->headers, "Expect:");
	if (more == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	http->headers = more;
	*ret_http = kms_take(&http);
	return KMS_OK;
}

void http_free(struct http **http)
{
	if (http == NULL || *http == NULL) {
		return;
	}
	for (size_t i = 0; i < (*http)->idle_count; i++) {
		close_handle((*http)->idle[i]);
	}
	curl_slist_free_all((*http)->headers);
	(void)pthread_mutex_destroy(&(*http)->lock);
	free(*http);
	*http = NULL;
}

void http_answer_free(struct http_answer *answer)
{
	kms_secret_free(&answer->secret);
	kms_buf_free(&answer->plain);
}

struct kms_bytes http_answer_body(const struct http_answer *answer)
{
	return answer->secret != NULL ? kms_secret_bytes(answer->secret)
				      : kms_buf_bytes(&answer->plain);
}

/* Room for the whole body, as long as Content-Length says: memory for secrets does not grow. */
static kms_err sink_open(struct sink *sink)
{
	curl_off_t length = -1;
	size_t max = sink->call->secret ? KMS_SECRET_MAX : LIMIT_HTTP_ANSWER;
	if (curl_easy_getinfo(sink->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) !=
			CURLE_OK ||
		length < 0) {
		return KMS_ERR(FORMAT);
	}
	if ((uint64_t)length > max) {
		return KMS_ERR(TOO_LARGE);
	}
	sink->left = (size_t)length;
	if (sink->call->secret) {
		KMS_TRY(kms_secret_new(sink->left, &sink->answer->secret));
		sink->at = kms_secret_ptr(sink->answer->secret);
		return KMS_OK;
	}
	sink->at = malloc(sink->left + 1);
	sink->answer->plain = (struct kms_buf){sink->at, sink->left};
	return sink->at == NULL ? KMS_ERR(NO_MEMORY) : KMS_OK;
}

static size_t sink_write(char *bytes, size_t size, size_t count, void *arg)
{
	struct sink *sink = arg;
	size_t len = size * count; /* size is 1: CURLOPT_WRITEFUNCTION(3) */
	if (sink->at == NULL) {
		sink->err = sink_open(sink);
	}
	if (kms_is_ok(sink->err) && len > sink->left) {
		sink->err = KMS_ERR(FORMAT);
	}
	if (!kms_is_ok(sink->err)) {
		return CURL_WRITEFUNC_ERROR;
	}
	memcpy(sink->at, bytes, len);
	sink->at += len;
	sink->left -= len;
	return len;
}

static bool set_text(CURL *curl, CURLoption option, const char *text)
{
	return curl_easy_setopt(curl, option, text) == CURLE_OK;
}

static bool set_long(CURL *curl, CURLoption option, long value)
{
	return curl_easy_setopt(curl, option, value) == CURLE_OK;
}

/* What is the same for every request. */
static bool set_up(CURL *curl, const struct http *http)
{
	const struct profile *profile = http->profile;
	return set_text(curl, CURLOPT_PROTOCOLS_STR, "https") &&
	       set_long(curl, CURLOPT_SSLVERSION,
		       CURL_SSLVERSION_TLSv1_3 | CURL_SSLVERSION_MAX_TLSv1_3) &&
	       set_long(curl, CURLOPT_SSL_VERIFYPEER, 1) &&
	       set_long(curl, CURLOPT_SSL_VERIFYHOST, 2) &&
	       set_text(curl, CURLOPT_CAINFO, profile->server_ca) &&
	       set_text(curl, CURLOPT_CAPATH, NULL) &&
	       set_text(curl, CURLOPT_SSLCERT, profile->certificate) &&
	       set_text(curl, CURLOPT_SSLKEY, profile->key) &&
	       set_long(curl, CURLOPT_SSL_SESSIONID_CACHE, 0) &&
	       set_long(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) &&
	       set_long(curl, CURLOPT_FOLLOWLOCATION, 0) && set_text(curl, CURLOPT_PROXY, "") &&
	       set_long(curl, CURLOPT_NOSIGNAL, 1) &&
	       set_long(curl, CURLOPT_CONNECTTIMEOUT_MS, HTTP_CONNECT_MS) &&
	       set_long(curl, CURLOPT_TIMEOUT_MS, HTTP_CALL_MS) &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, sink_write) == CURLE_OK;
}

static kms_err take_handle(struct http *http, CURL **ret_curl)
{
	CURL *curl = NULL;
	(void)pthread_mutex_lock(&http->lock);
	if (http->idle_count > 0) {
		curl = http->idle[--http->idle_count];
	}
	(void)pthread_mutex_unlock(&http->lock);
	if (curl == NULL) {
		curl = curl_easy_init();
		if (curl == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		if (!set_up(curl, http)) {
			curl_easy_cleanup(curl);
			kms_log(KMS_LOG_ERROR, "libcurl does not know an option that libkms needs");
			return KMS_ERR(UNSUPPORTED);
		}
	}
	*ret_curl = curl;
	return KMS_OK;
}

static void put_handle(struct http *http, CURL *curl)
{
	(void)pthread_mutex_lock(&http->lock);
	if (http->idle_count < HTTP_IDLE_MAX) {
		http->idle[http->idle_count++] = curl;
		curl = NULL;
	}
	(void)pthread_mutex_unlock(&http->lock);
	close_handle(curl);
}

static bool set_call(
	CURL *curl, const struct http *http, const struct http_call *call, const char *url)
{
	bool post = strcmp(call->method, "POST") == 0;
	if (!set_text(curl, CURLOPT_URL, url) || !set_long(curl, CURLOPT_HTTPGET, 1)) {
		return false;
	}
	if (!post) {
		return curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL) == CURLE_OK;
	}
	/* POSTFIELDS is not copied when it is set; an empty body still needs a pointer. */
	return set_long(curl, CURLOPT_POST, 1) &&
	       curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len) ==
		       CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
		       call->body.len == 0 ? "" : (const char *)call->body.ptr) == CURLE_OK;
}

/* libcurl's word for what happened, as ours. */
static kms_err translate(CURLcode code)
{
	static const struct {
		CURLcode curl;
		kms_err err;
	} rows[] = {
		{CURLE_OPERATION_TIMEDOUT, {KMS_CODE_TIMEOUT}},
		{CURLE_PEER_FAILED_VERIFICATION, {KMS_CODE_PINS}},
		{CURLE_SSL_CERTPROBLEM, {KMS_CODE_CONFIG}},
		{CURLE_SSL_CACERT_BADFILE, {KMS_CODE_CONFIG}},
		{CURLE_OUT_OF_MEMORY, {KMS_CODE_NO_MEMORY}},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].curl == code) {
			return rows[i].err;
		}
	}
	return code == CURLE_OK ? KMS_OK : KMS_ERR(NETWORK);
}

static kms_err perform(CURL *curl, struct sink *sink)
{
	char text[CURL_ERROR_SIZE] = "";
	struct http_answer *answer = sink->answer;
	if (curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink) != CURLE_OK ||
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text) != CURLE_OK) {
		return KMS_ERR(NO_MEMORY);
	}
	struct quiet quiet;
	quiet_start(&quiet);
	CURLcode code = curl_easy_perform(curl);
	quiet_end(&quiet);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL); /* text goes out of scope */
	if (!kms_is_ok(sink->err)) {
		(void)snprintf(answer->problem, sizeof(answer->problem),
			"%s: the answer is too large, or not as long as it says", sink->call->url);
		return sink->err;
	}
	if (code != CURLE_OK) {
		(void)snprintf(answer->problem, sizeof(answer->problem), "%s: %s", sink->call->url,
			text[0] != '\0' ? text : curl_easy_strerror(code));
		return translate(code);
	}
	long status = 0;
	curl_off_t after = 0;
	if (curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
		curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after) != CURLE_OK || status < 0) {
		return KMS_ERR(NETWORK);
	}
	answer->status = (unsigned)status;
	answer->retry_after_s = after > 0 && after < 3600 ? (unsigned)after : 0;
	return KMS_OK;
}

kms_err http_call(struct http *http, const struct http_call *call, struct http_answer *answer)
{
	KMS_AUTO_FREE char *url = NULL;
	CURL *curl;
	KMS_TRY(kms_text(&url, "%s%s", call->url, call->target));
	KMS_TRY(take_handle(http, &curl));
	struct sink sink = {.curl = curl, .call = call, .answer = answer, .err = KMS_OK};
	kms_err err = set_call(curl, http, call, url) ? perform(curl, &sink) : KMS_ERR(NO_MEMORY);
	put_handle(http, curl);
	return err;
}
