/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the program kmsd share.
 *	settings.c  kmsd.yaml        start.c  the order in which the parts start and stop
 *	listen.c    the data and admin listeners
 *	main.c      options, --init, --add-tenant, --check, --replay
 */
#ifndef KMS_MAIN_INT_H
#define KMS_MAIN_INT_H

#include "base.h"
#include "model.h"

struct settings_listener {
	const char *address;
	uint16_t port;
	const char *certificate;
	const char *key;
};

/* kmsd.yaml as it was read; every text is borrowed from the file. */
struct settings {
	struct config *file;
	const char *directory; /* the store; mode 0700 */
	const char *tiles;     /* where the ledger's hashes are published; NULL: nowhere */
	const char *user;      /* to become, when started as root */
	const char *policy;
	size_t token_count;
	struct kms_id token_ids[LIMIT_TOKENS * 8];
	const char *token_sockets[LIMIT_TOKENS * 8];
	struct settings_listener data;
	struct settings_listener admin;
	const char *clear_certificate; /* NULL: kmsd has no session certificate for `clear` */
	const char *clear_key;
	char store_path[1024];
};
kms_err settings_read(const char *path, struct settings **ret_settings);
void settings_free(struct settings **settings);

struct api;
struct service;
struct store;
/* Every tenant's CA and the platform's, PEM, with a NUL. */
kms_err listen_trust(struct store *store, struct kms_buf *ret_pem);
kms_err listen_start(const struct settings_listener *settings, enum model_face face,
	const struct kms_buf *trust, struct service *service, struct api **ret_api);

/* Serve until SIGTERM or SIGINT. */
kms_err start_and_serve(const struct settings *settings);

#endif
