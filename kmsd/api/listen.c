/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener: its settings, its start and its end. Runs in kmsd. It must never come up with weaker
 * TLS than peer asks for, nor without a limit.
 */
#include "api_int.h"

#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_LINE = 256, STACK_BYTES = 512 * 1024 };

/* libmicrohttpd's own words: broken connections and handshakes, so nothing to alarm anybody. */
static void log_line(void *closure, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static void log_line(void *closure, const char *format, va_list args)
{
	char line[LOG_LINE];
	(void)closure;
	(void)vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	kms_log(KMS_LOG_DEBUG, "http: %s", line);
}

static void open_connection(struct api *api, struct MHD_Connection *mhd, void **context)
{
	const union MHD_ConnectionInfo *fd =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	const union MHD_ConnectionInfo *tls =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	KMS_ASSERT(fd != NULL && tls != NULL && tls->tls_session != NULL);
	peer_tls_require(tls->tls_session);
	struct connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL || !kms_is_ok(peer_new(api->limits, &connection->peer))) {
		free(connection); /* requests without a connection are refused */
		return;
	}
	watch_add(&api->watch, &connection->watched, fd->connect_fd, LIMIT_HTTP_HEAD_MS);
	*context = connection;
}

static void close_connection(struct api *api, void **context)
{
	struct connection *connection = *context;
	if (connection != NULL) {
		watch_remove(&api->watch, &connection->watched);
		peer_free(&connection->peer);
		free(connection);
		*context = NULL;
	}
}

static void on_connection(void *closure, struct MHD_Connection *mhd, void **context,
	enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		open_connection(closure, mhd, context);
	} else {
		close_connection(closure, context);
	}
}

static kms_err resolve(const char *address, uint16_t port, struct addrinfo **ret_info)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	char service[8];
	(void)snprintf(service, sizeof(service), "%u", port);
	int rc = getaddrinfo(address, service, &hints, ret_info);
	if (rc != 0) {
		kms_log(KMS_LOG_ERROR, "cannot listen on %s: %s", address, gai_strerror(rc));
		return KMS_ERR(CONFIG);
	}
	return KMS_OK;
}

/* The options come from here alone, so that a listener cannot lack one. */
static struct MHD_Daemon *start(struct api *api, const struct api_listener *listener,
	const char *key_pem, const struct addrinfo *where)
{
	unsigned flags = MHD_USE_TLS | MHD_USE_THREAD_PER_CONNECTION |
			 MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ERROR_LOG |
			 (where->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0);
	return MHD_start_daemon(flags, listener->port, NULL, NULL, request_handle, api,
		MHD_OPTION_EXTERNAL_LOGGER, log_line,
		NULL, /* first, so that it hears of the rest */
		MHD_OPTION_SOCK_ADDR, where->ai_addr, MHD_OPTION_HTTPS_MEM_KEY, key_pem,
		MHD_OPTION_HTTPS_MEM_CERT, listener->cert_pem, MHD_OPTION_HTTPS_MEM_TRUST,
		listener->trust_pem, MHD_OPTION_HTTPS_PRIORITIES, peer_tls_priorities,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIMIT_CONNECTIONS,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)LIMIT_ADDRESS_CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(LIMIT_HTTP_IDLE_MS / 1000),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_HTTP_MEMORY,
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, api, MHD_OPTION_NOTIFY_COMPLETED,
		request_completed, api, MHD_OPTION_END);
}

static kms_err listen_on(struct api *api, const struct api_listener *listener)
{
	struct addrinfo *where = NULL;
	KMS_AUTO(kms_secret) key = NULL;
	size_t key_len = kms_secret_len(listener->key_pem);
	if (strstr(listener->trust_pem, "-----BEGIN CERTIFICATE-----") == NULL) {
		kms_log(KMS_LOG_ERROR, "no CA to trust: nobody could connect");
		return KMS_ERR(CONFIG);
	}
	KMS_TRY(kms_secret_new(key_len + 1, &key)); /* a C string */
	memcpy(kms_secret_ptr(key), kms_secret_cptr(listener->key_pem), key_len);
	KMS_TRY(resolve(listener->address, listener->port, &where));
	api->daemon = start(api, listener, (const char *)kms_secret_cptr(key), where);
	freeaddrinfo(where);
	if (api->daemon == NULL) {
		kms_log(KMS_LOG_ERROR, "cannot listen on %s port %u, or bad TLS files",
			listener->address, listener->port);
		return KMS_ERR(NETWORK);
	}
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(api->daemon, MHD_DAEMON_INFO_BIND_PORT);
	KMS_ASSERT(info != NULL);
	api->port = info->port;
	return KMS_OK;
}

kms_err api_start(
	const struct api_listener *listener, struct service *service, struct api **ret_api)
{
	KMS_AUTO(api) api = calloc(1, sizeof(*api));
	if (api == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	api->face = listener->face;
	api->service = service;
	KMS_TRY(peer_limits_new(&api->limits));
	KMS_TRY(watch_start(&api->watch));
	KMS_TRY(listen_on(api, listener));
	*ret_api = kms_take(&api);
	return KMS_OK;
}

void api_free(struct api **api)
{
	if (api == NULL || *api == NULL) {
		return;
	}
	if ((*api)->daemon != NULL) {
		MHD_stop_daemon((*api)->daemon);
	}
	watch_stop(&(*api)->watch);
	peer_limits_free(&(*api)->limits);
	free(*api);
	*api = NULL;
}

uint16_t api_port(const struct api *api)
{
	return api->port;
}
