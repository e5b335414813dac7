/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api: REST under /v1, over mutual TLS. Translates a request into one service_call() and its answer
 * back, and decides nothing. Runs in kmsd, a thread per connection: a call may wait for the ledger.
 */
#ifndef KMS_API_H
#define KMS_API_H

#include "base.h"
#include "model.h"

struct service;

struct api_listener {
	enum model_face face; /* DATA or ADMIN: operations of the other are not found here */
	const char *address;  /* an IPv4 or IPv6 address, no name */
	uint16_t port;        /* 0: any that is free */
	const char *cert_pem; /* the server's certificate and what stands between it and its CA */
	const struct kms_secret *key_pem;
	const char *trust_pem; /* every tenant's CA and the platform's, one behind the other */
};

struct api;
/* Listens until api_free. Borrows the service; of the listener nothing is kept. CONFIG for what
 * TLS or the address does not take, NETWORK when it cannot listen; logged. */
kms_err api_start(
	const struct api_listener *listener, struct service *service, struct api **ret_api);
/* Ends connections, after the calls that are at work. */
void api_free(struct api **api);
uint16_t api_port(const struct api *api);

#endif
