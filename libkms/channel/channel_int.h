/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What channel's own files share.
 */
#ifndef KMS_CHANNEL_INT_H
#define KMS_CHANNEL_INT_H

#include <openssl/ssl.h>

#include "channel.h"
#include "crypto.h"

struct channel {
	SSL *ssl;
	bool client;
	bool open; /* the handshake is done */
	bool dead;
	bool pin_refused;      /* the verify callback saw another server */
	struct kms_hash pin;   /* client: SPKI hash of the server */
	int64_t born_ms;       /* monotonic */
	uint32_t records;      /* both ways */
	uint32_t extras;       /* handshake messages after the handshake: KeyUpdate and the like */
	struct kms_bytes in;   /* the rest of the caller's bytes, during a call */
	struct kms_writer out; /* TLS bytes for the peer */
};

/* ---- identity.c ---- */

SSL *channel_identity_session(const struct channel_identity *identity); /* NULL: no memory */

/* ---- verify.c ---- */

/* Sessions of this context look at the peer's certificate: the client at its pin alone. */
void channel_verify_by_pin(SSL_CTX *ctx);

/* ---- bio.c ---- */

/* A BIO over channel's in and out; owned by the SSL it is given to. NULL: no memory. */
BIO *channel_bio_new(struct channel *channel);

/* ---- session.c ---- */

/* Log what was tried with OpenSSL's reason and empty its error queue. */
kms_err channel_fail(const char *what, kms_err err);

#endif
