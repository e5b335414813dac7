/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel: mutual TLS 1.3 (RFC 8446) over memory: the sealed channel between libkms and
 * kms-tokend. Whoever owns the two ends carries the bytes; kmsd only relays them.
 * No tickets, no resumption, no early data, one suite (TLS_AES_256_GCM_SHA384), group P-256,
 * a life of CHANNEL_LIFE_MS and CHANNEL_RECORDS_MAX records. The only module with
 * <openssl/ssl.h>; the BIO is its own (no copies that outlive a call).
 */
#ifndef KMS_CHANNEL_H
#define KMS_CHANNEL_H

#include "base.h"

enum {
	CHANNEL_LIFE_MS = 10 * 60 * 1000,
	CHANNEL_RECORDS_MAX = 1 << 20,    /* both ways; far below RFC 8446's 2^24.5 */
	CHANNEL_EXTRAS_MAX = 16,          /* KeyUpdates, or other handshake messages after it */
	CHANNEL_FLIGHT_MAX = 64 * 1024,   /* bytes of a handshake flight */
	CHANNEL_MESSAGE_MAX = 192 * 1024, /* bytes of one message inside */
	CHANNEL_BYTES_MAX = 256 * 1024,   /* TLS bytes that carry one message */
};

/* Certificate and key of this end; shared by its sessions, which may outlive it. Not changed after
 * it is made. */
struct channel_identity;
/* PEM files; the key's mode is checked as a secret's. CONFIG when they are not a pair. */
kms_err channel_identity_read(
	const char *cert_path, const char *key_path, struct channel_identity **ret_identity);
void channel_identity_free(struct channel_identity **identity);
kms_err channel_identity_spki(const struct channel_identity *identity, struct kms_hash *ret_hash);

/* One session, one end. Not thread-safe. */
struct channel;

/* Client end: the peer's certificate must have this SPKI hash (the pin); nothing else is looked
 * at, no CA and no name, because kmsd and the platform could bring those. */
kms_err channel_new_client(struct channel_identity *identity, const struct kms_hash *server_spki,
	struct channel **ret_channel);
/*
 * Server end: the client must show a certificate. Whether it is welcome is decided by the caller,
 * after the handshake, from channel_peer_der(): its owner's file changes while sessions live.
 */
kms_err channel_new_server(struct channel_identity *identity, struct channel **ret_channel);
void channel_free(struct channel **channel);

/*
 * Take bytes from the peer and go on with the handshake; ret_out gets what must go to the peer
 * (may be empty). A client's first step has no input. PINS when the server's certificate is
 * not the pinned one; SESSION when the handshake failed otherwise.
 */
kms_err channel_step(struct channel *channel, struct kms_bytes in, struct kms_buf *ret_out);
bool channel_is_open(const struct channel *channel);
/* Open, and too old or with too many records behind it? Then open a new one: a worn session takes
 * no new request (a client's channel_seal and a server's channel_open say SESSION), while requests
 * that it took before can still be answered. */
bool channel_is_worn(const struct channel *channel);
/* The peer's leaf certificate, DER, and its SPKI hash; once the handshake is done. */
kms_err channel_peer_der(const struct channel *channel, struct kms_buf *ret_der);
kms_err channel_peer_spki(const struct channel *channel, struct kms_hash *ret_hash);

/*
 * One message (a 32-bit length, then that many bytes, over as many records as needed). Bytes that
 * channel_seal made must reach the peer in order, each once. A client may seal its first message
 * as soon as it has the server's flight: put channel_step's output before it. TOO_LARGE past
 * CHANNEL_MESSAGE_MAX.
 */
kms_err channel_seal(struct channel *channel, struct kms_bytes message, struct kms_buf *ret_out);
/*
 * Exactly one whole message out of the peer's bytes, into secret memory. SESSION for a lost,
 * swapped or replayed record, a message cut short or bytes left over; the session is dead then.
 * A server end accepts the client's last handshake flight in front of the first message.
 */
kms_err channel_open(struct channel *channel, struct kms_bytes in, struct kms_secret **ret_message);

#endif
