/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service: the one door. Whatever touches a key goes through service_call(): principal, key and
 * state, policy, token, ledger, reply. An operation is one file that decides nothing of that by
 * itself. Runs in kmsd; knows nothing of HTTP.
 */
#ifndef KMS_SERVICE_H
#define KMS_SERVICE_H

#include "base.h"
#include "model.h"

struct ledger;
struct policy;
struct store;
struct token;
struct token_set;

struct service;

struct service_parts {
	struct store *store;
	struct policy *policy;
	struct token_set *tokens;
	struct token *system;
	struct ledger *ledger;
	const char *version;
};
/* Borrows the parts. Starts the recovery thread: after each new link to a token it commits or
 * abandons pending KEKs by the ledger's word and records the token's boot. */
kms_err service_start(const struct service_parts *parts, struct service **ret_service);
void service_free(struct service **service);

/* Who is asking: found by the certificate that the TLS layer verified. UNAUTHENTICATED when no
 * principal has this SPKI or it has expired. */
kms_err service_principal(struct service *service, const struct kms_hash *spki,
	struct model_principal *ret_principal);
/* The PEM of a principal's tenant CA, to verify its certificate against; NOT_FOUND: the platform's.
 */
kms_err service_tenant_ca(struct service *service, const struct kms_id *tenant, char **ret_ca_pem);

/*
 * The door. Denials are recorded before they are returned. ret_answer is owned by the caller.
 * After TOKEN_DOWN, TIMEOUT and LEDGER asking again later makes sense. ret_detail says more of an
 * error where there is more to say ("erased at ..., certificate ..."), for the client; "" else.
 */
kms_err service_call(struct service *service, const struct model_principal *who,
	enum model_face face, const struct model_request *request, struct model_answer **ret_answer,
	char ret_detail[LIMIT_REASON + 1]);

/* ---- offline: `kmsd --init`, `kmsd --add-tenant`, `kmsd --replay` ---- */

struct service_init {
	const char *store_path;
	const char
		*platform_path;  /* JSON "kmsd-platform/1": the log, the system token, operators */
	const char *tenant_path; /* JSON "kmsd-tenant/1" */
	const char *tenant_signature; /* its signature by the tenant's CA key, DER */
};
/* A new store with entry 0. EXISTS when there is one. INTEGRITY when the file's signature is not
 * by the CA in it: a tenant file speaks for its tenant only when its CA's key signed it. */
kms_err service_init(const struct service_init *init);
kms_err service_add_tenant(const struct service_init *init);

#endif
