/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: handshake, then whole messages in order. Runs in libkms, in kms-tokend, and in kmsd
 * for `clear` sessions. It must never go on after a surprise (one lost, added or reordered record
 * ends the session), and never hold plaintext outside secret memory; what libssl holds of it is
 * wiped by SSL_OP_CLEANSE_PLAINTEXT.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "channel_int.h"

enum { HEAD = 4 }; /* bytes of a message's length */

kms_err channel_fail(const char *what, kms_err err)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	kms_log(kms_is(err, KMS_CODE_SESSION) ? KMS_LOG_INFO : KMS_LOG_ERROR,
		"sealed session: %s%s%s", what, reason != NULL ? ": " : "",
		reason != NULL ? reason : "");
	ERR_clear_error();
	return err;
}

static kms_err die(struct channel *channel, const char *what)
{
	channel->dead = true;
	return channel_fail(what, KMS_ERR(SESSION));
}

/* Called by libssl for each record header and each handshake message, both ways. */
static void on_message(
	int written, int version, int type, const void *bytes, size_t len, SSL *ssl, void *arg)
{
	struct channel *channel = arg;
	(void)version;
	(void)bytes;
	(void)len;
	(void)ssl;
	if (type == SSL3_RT_HEADER) {
		channel->records++;
	}
	/* RFC 8446 section 4.6: KeyUpdate may come at any time and without end, 27 bytes for 20 us
	 * of our time each. The BIO gives nothing more to a dead session. */
	if (type == SSL3_RT_HANDSHAKE && written == 0 && channel->open) {
		channel->extras++;
		channel->dead = channel->dead || channel->extras > CHANNEL_EXTRAS_MAX;
	}
}

static kms_err session_new(struct channel_identity *identity, bool client, struct channel **ret)
{
	KMS_AUTO(channel) channel = calloc(1, sizeof(*channel));
	if (channel == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	channel->client = client;
	channel->born_ms = kms_monotonic_ms();
	channel->out = kms_writer_grow(CHANNEL_BYTES_MAX);
	ERR_clear_error();
	channel->ssl = channel_identity_session(identity);
	BIO *bio = channel->ssl == NULL ? NULL : channel_bio_new(channel);
	if (bio == NULL) {
		return channel_fail("making a session", KMS_ERR(NO_MEMORY));
	}
	SSL_set_bio(channel->ssl, bio, bio); /* takes the one reference for both */
	if (SSL_set_app_data(channel->ssl, channel) != 1) {
		return channel_fail("making a session", KMS_ERR(NO_MEMORY));
	}
	SSL_set_msg_callback(channel->ssl, on_message);
	SSL_set_msg_callback_arg(channel->ssl, channel);
	if (client) {
		SSL_set_connect_state(channel->ssl);
	} else {
		SSL_set_accept_state(channel->ssl);
	}
	*ret = kms_take(&channel);
	return KMS_OK;
}

kms_err channel_new_client(struct channel_identity *identity, const struct kms_hash *server_spki,
	struct channel **ret_channel)
{
	KMS_TRY(session_new(identity, true, ret_channel));
	(*ret_channel)->pin = *server_spki;
	return KMS_OK;
}

kms_err channel_new_server(struct channel_identity *identity, struct channel **ret_channel)
{
	return session_new(identity, false, ret_channel);
}

void channel_free(struct channel **channel)
{
	if (*channel == NULL) {
		return;
	}
	SSL_free((*channel)->ssl);
	kms_writer_free(&(*channel)->out);
	free(*channel);
	*channel = NULL;
}

bool channel_is_open(const struct channel *channel)
{
	return channel->open && !channel->dead;
}

bool channel_is_worn(const struct channel *channel)
{
	return channel->open && (channel->records >= CHANNEL_RECORDS_MAX ||
					kms_monotonic_ms() - channel->born_ms >= CHANNEL_LIFE_MS);
}

/* Move what libssl wrote to the caller. */
static kms_err take_out(struct channel *channel, struct kms_buf *ret_out)
{
	struct kms_writer out = channel->out;
	channel->out = kms_writer_grow(CHANNEL_BYTES_MAX);
	kms_err err = kms_writer_take(&out, ret_out);
	kms_writer_free(&out);
	if (!kms_is_ok(err)) {
		channel->dead = true; /* those bytes are lost to the peer */
	}
	return err;
}

/* Feed channel->in to the handshake as far as it goes. */
static kms_err handshake(struct channel *channel)
{
	ERR_clear_error(); /* an old error would turn WANT_READ into failure */
	int done = SSL_do_handshake(channel->ssl);
	if (done == 1) {
		channel->open = true;
		return KMS_OK;
	}
	if (SSL_get_error(channel->ssl, done) == SSL_ERROR_WANT_READ) {
		return KMS_OK;
	}
	if (channel->pin_refused) {
		channel->dead = true;
		return channel_fail(
			"the server's certificate is not the pinned one", KMS_ERR(PINS));
	}
	return die(channel, "handshake failed");
}

kms_err channel_step(struct channel *channel, struct kms_bytes in, struct kms_buf *ret_out)
{
	if (channel->dead) {
		return KMS_ERR(SESSION);
	}
	if (channel->open || in.len > CHANNEL_FLIGHT_MAX) {
		return die(channel, "a handshake flight that is too long or too late");
	}
	channel->in = in;
	kms_err err = handshake(channel);
	bool left = channel->in.len > 0;
	channel->in = (struct kms_bytes){0};
	KMS_TRY(err);
	/* A flight comes whole: to libssl one that was cut looks like one that is still coming. */
	if (left || (!channel->open && channel->out.len == 0)) {
		return die(channel, "a handshake flight with bytes missing or left over");
	}
	return take_out(channel, ret_out);
}

kms_err channel_seal(struct channel *channel, struct kms_bytes message, struct kms_buf *ret_out)
{
	/* A worn session takes no new request; what was asked before may still be answered. */
	if (!channel_is_open(channel) || (channel->client && channel_is_worn(channel))) {
		return KMS_ERR(SESSION);
	}
	if (message.len > CHANNEL_MESSAGE_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	/* Length and message in one write are one record less. */
	KMS_AUTO(kms_secret) plain = NULL;
	KMS_TRY(kms_secret_new(HEAD + message.len, &plain));
	struct kms_writer writer = kms_writer_fixed(kms_secret_ptr(plain), kms_secret_len(plain));
	kms_write_lp32(&writer, message);
	struct kms_bytes whole;
	KMS_TRY(kms_writer_bytes(&writer, &whole));

	size_t written = 0;
	ERR_clear_error();
	if (SSL_write_ex(channel->ssl, whole.ptr, whole.len, &written) != 1) {
		return die(channel, "sealing a message");
	}
	return take_out(channel, ret_out);
}

static kms_err read_exactly(struct channel *channel, uint8_t *into, size_t len)
{
	while (len > 0) {
		size_t got = 0;
		ERR_clear_error();
		if (SSL_read_ex(channel->ssl, into, len, &got) != 1) {
			return die(channel, "a message that is cut, replayed or out of order");
		}
		into += got;
		len -= got;
	}
	return KMS_OK;
}

/* One message out of channel->in; after a failure the session is dead. */
static kms_err message_read(struct channel *channel, struct kms_secret **ret_message)
{
	if (!channel->open) {
		KMS_TRY(handshake(channel)); /* the client's Finished */
	}
	if (!channel->open) {
		return die(channel, "a message before the handshake's end");
	}
	if (!channel->client && channel_is_worn(channel)) {
		return die(channel, "its life or its records are used up");
	}
	uint8_t head[HEAD];
	KMS_TRY(read_exactly(channel, head, sizeof(head)));
	struct kms_reader reader = kms_reader_of(KMS_BYTES_OF(head));
	uint32_t len = 0;
	KMS_TRY(kms_read_u32(&reader, &len));
	if (len > CHANNEL_MESSAGE_MAX) {
		return die(channel, "a message that is too long");
	}
	KMS_AUTO(kms_secret) message = NULL;
	KMS_TRY(kms_secret_new(len, &message));
	KMS_TRY(read_exactly(channel, kms_secret_ptr(message), len));
	/* One record at a time is read, and read empty: what follows the message is an addition. */
	if (channel->in.len > 0 || SSL_has_pending(channel->ssl) != 0) {
		return die(channel, "bytes after the message");
	}
	*ret_message = kms_take(&message);
	return KMS_OK;
}

kms_err channel_open(struct channel *channel, struct kms_bytes in, struct kms_secret **ret_message)
{
	if (channel->dead) {
		return KMS_ERR(SESSION);
	}
	if (in.len > CHANNEL_BYTES_MAX || (channel->client && !channel->open)) {
		return die(channel, "a message that is too long or too early");
	}
	channel->in = in;
	kms_err err = message_read(channel, ret_message);
	channel->in = (struct kms_bytes){0};
	if (!kms_is_ok(err)) {
		channel->dead = true; /* no memory, too: the message is half read */
	}
	return err;
}
