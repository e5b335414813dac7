/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: who is at the other end of a connection, how much one principal may take of a listener, and
 * the TLS settings of listeners. Runs in kmsd. REST and KMIP share it.
 *
 * The handshake already needs a certificate under one of the listener's CAs. That says nothing yet:
 * one tenant's CA must not speak for another's principal, so each principal is found by its public
 * key and its certificate then checked against its own tenant's CA alone.
 */
#ifndef KMS_PEER_H
#define KMS_PEER_H

#include "base.h"
#include "model.h"

struct gnutls_session_int; /* what gnutls_session_t points to */
struct service;

/* ---- TLS ---- */

/* GnuTLS priorities: TLS 1.3, AES-256-GCM and P-256 only. */
extern const char peer_tls_priorities[];
/*
 * Before a handshake: a client certificate is required, and one that no CA of the session's
 * credentials issued, or that is not valid now, ends the handshake.
 */
void peer_tls_require(struct gnutls_session_int *session);

/* ---- limits ---- */

/* Counts connections and requests at work, by principal; one for a listener. */
struct peer_limits;
kms_err peer_limits_new(struct peer_limits **ret_limits);
void peer_limits_free(struct peer_limits **limits); /* after every peer */

/* ---- one connection ---- */

struct peer;
/* Borrows limits, which outlives it. */
kms_err peer_new(struct peer_limits *limits, struct peer **ret_peer);
void peer_free(struct peer **peer);
/*
 * A request begins: who asks? UNAUTHENTICATED when the certificate is no registered principal's, or
 * not (any more) good; RATE past LIMIT_PEER_CONNECTIONS or LIMIT_PEER_REQUESTS. peer_leave() after
 * success, and only then.
 */
kms_err peer_enter(struct peer *peer, struct service *service, struct gnutls_session_int *session,
	struct model_principal *ret_who);
void peer_leave(struct peer *peer);
/*
 * The request that entered is about to take so many bytes of secret memory: RATE past
 * LIMIT_PEER_SECRET of its principal, whatever other connections it has. peer_leave() gives it
 * back.
 */
kms_err peer_take_secret(struct peer *peer, size_t bytes);

#endif
