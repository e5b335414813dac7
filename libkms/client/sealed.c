/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed sessions to one token: opened through kmsd, used by one thread at a time, kept for the
 * next. Runs wherever libkms does. kmsd only carries bytes here: nothing that it says may change
 * which certificate a session must have, and no session is used again after an error, because a
 * record may be lost.
 */
#include "client_int.h"

#include <stdlib.h>
#include <string.h>

#include "wire.h"

struct slot {
	bool busy;
	struct channel *channel; /* NULL: none open */
	struct kms_id session;   /* kms-tokend's name for it */
	struct kms_buf flight;   /* the handshake's end, which goes before the first request */
};

struct sealed {
	struct kms_client *client;
	const struct pinned_token *token;
	pthread_mutex_t lock; /* of `busy`; a leaf. The rest of a slot is its taker's. */
	pthread_cond_t free;
	struct slot slots[SEALED_SESSIONS];
};

kms_err sealed_new(
	struct kms_client *client, const struct pinned_token *token, struct sealed **ret_sealed)
{
	struct sealed *sealed = calloc(1, sizeof(*sealed));
	if (sealed == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	sealed->client = client;
	sealed->token = token;
	(void)pthread_mutex_init(&sealed->lock, NULL);
	(void)pthread_cond_init(&sealed->free, NULL);
	*ret_sealed = sealed;
	return KMS_OK;
}

static void slot_close(struct slot *slot)
{
	channel_free(&slot->channel);
	kms_buf_free(&slot->flight);
}

void sealed_free(struct sealed **sealed)
{
	if (sealed == NULL || *sealed == NULL) {
		return;
	}
	for (size_t i = 0; i < SEALED_SESSIONS; i++) {
		slot_close(&(*sealed)->slots[i]);
	}
	(void)pthread_cond_destroy(&(*sealed)->free);
	(void)pthread_mutex_destroy(&(*sealed)->lock);
	free(*sealed);
	*sealed = NULL;
}

/* A free slot, rather one with a session; waits while all are busy. */
static struct slot *slot_take(struct sealed *sealed)
{
	struct slot *slot = NULL;
	(void)pthread_mutex_lock(&sealed->lock);
	for (;;) {
		for (size_t i = 0; i < SEALED_SESSIONS; i++) {
			struct slot *it = &sealed->slots[i];
			if (!it->busy && (slot == NULL || slot->channel == NULL)) {
				slot = it;
			}
		}
		if (slot != NULL) {
			break;
		}
		(void)pthread_cond_wait(&sealed->free, &sealed->lock);
	}
	slot->busy = true;
	(void)pthread_mutex_unlock(&sealed->lock);
	return slot;
}

static void slot_put(struct sealed *sealed, struct slot *slot)
{
	(void)pthread_mutex_lock(&sealed->lock);
	slot->busy = false;
	(void)pthread_cond_signal(&sealed->free);
	(void)pthread_mutex_unlock(&sealed->lock);
}

/* Hello through kmsd, kms-tokend's flight back; ours goes with the first request. */
static kms_err open_session(struct sealed *sealed, struct slot *slot, struct retry *retry)
{
	KMS_AUTO(channel) channel = NULL;
	KMS_AUTO_BUF hello = {0};
	HTTP_AUTO_ANSWER body = {0};
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request request = {.op = MODEL_OP_SESSION_OPEN};
	KMS_TRY(channel_new_client(
		sealed->client->identity, &sealed->token->session_spki, &channel));
	KMS_TRY(channel_step(channel, (struct kms_bytes){0}, &hello));
	request.u.session_open.token = sealed->token->id;
	request.u.session_open.flight = hello; /* borrowed by the request */
	KMS_TRY(client_ask(sealed->client, &request, retry, &body));
	KMS_TRY(wire_answer_read(MODEL_OP_SESSION_OPEN, http_answer_body(&body), &answer));
	KMS_TRY(channel_step(
		channel, kms_buf_bytes(&answer->u.session_open.flight), &slot->flight));
	slot->session = answer->u.session_open.session;
	slot->channel = kms_take(&channel);
	return KMS_OK;
}

/* The message as the bytes that kmsd is to carry: with the handshake's end in front, if that is
 * still to go. */
static kms_err seal(struct slot *slot, const struct kms_secret *message, struct kms_buf *ret_record)
{
	KMS_AUTO_BUF sealed = {0};
	KMS_AUTO_WRITER record = kms_writer_grow(LIMIT_TOKMSG_BYTES);
	KMS_TRY(channel_seal(slot->channel, kms_secret_bytes(message), &sealed));
	kms_write_bytes(&record, kms_buf_bytes(&slot->flight));
	kms_write_bytes(&record, kms_buf_bytes(&sealed));
	KMS_TRY(kms_writer_take(&record, ret_record));
	kms_buf_free(&slot->flight);
	return KMS_OK;
}

struct message {
	enum model_op op;
	const struct kms_id *key;
	struct batch *batch;
	const struct kms_secret *bytes;
};

static kms_err send_record(struct sealed *sealed, const struct slot *slot,
	const struct message *message, const struct kms_buf *record, struct retry *retry,
	struct model_answer **ret_answer)
{
	struct batch *batch = message->batch;
	HTTP_AUTO_ANSWER body = {0};
	int64_t asked_ms = kms_boottime_ms();
	struct model_item *items KMS_AUTO_FREE = calloc(batch->count, sizeof(*items));
	if (items == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (uint32_t i = 0; i < batch->count; i++) {
		/* kms-tokend compares this with what is inside. */
		items[i].wrapped_key = batch->uses[i].wrapped.head.wrapped_key;
		items[i].context = batch->contexts[i];
	}
	struct model_request request = {.op = message->op};
	request.u.use.key = *message->key;
	request.u.use.sealed = true;
	request.u.use.token = sealed->token->id;
	request.u.use.session = slot->session;
	request.u.use.holder = sealed->client->leases->holder;
	request.u.use.record = *record; /* borrowed, as the items are */
	request.u.use.item_count = batch->count;
	request.u.use.items = items;
	KMS_TRY(client_ask(sealed->client, &request, retry, &body));
	KMS_TRY(wire_answer_read(message->op, http_answer_body(&body), ret_answer));
	batch_lease(batch, message->op, asked_ms, (*ret_answer)->u.use.lease_s);
	return KMS_OK;
}

static kms_err send_once(struct sealed *sealed, struct slot *slot, const struct message *message,
	struct retry *retry, struct kms_secret **ret_answer)
{
	KMS_AUTO_BUF record = {0};
	KMS_AUTO(model_answer) answer = NULL;
	if (slot->channel != NULL && channel_is_worn(slot->channel)) {
		slot_close(slot);
	}
	if (slot->channel == NULL) {
		KMS_TRY(open_session(sealed, slot, retry));
	}
	KMS_TRY(seal(slot, message->bytes, &record));
	KMS_TRY(send_record(sealed, slot, message, &record, retry, &answer));
	/* An answer in the clear has no record, which no session opens. */
	return channel_open(slot->channel, kms_buf_bytes(&answer->u.use.record), ret_answer);
}

kms_err sealed_exchange(struct sealed *sealed, enum model_op op, const struct kms_id *key,
	struct batch *batch, bool patient, const struct kms_secret *message,
	struct kms_secret **ret_answer)
{
	const struct message it = {op, key, batch, message};
	struct retry retry = {.tries = patient ? 0 : RETRY_MAX};
	struct slot *slot = slot_take(sealed);
	kms_err err;
	do {
		err = send_once(sealed, slot, &it, &retry, ret_answer);
		if (!kms_is_ok(err)) {
			slot_close(slot);
		}
	} while (!kms_is_ok(err) && retry_again(&retry, err));
	slot_put(sealed, slot);
	if (kms_is(err, KMS_CODE_PINS)) {
		char id[KMS_ID_TEXT];
		client_problem_set(sealed->client, "token %s is not what the profile pins",
			kms_id_text(&sealed->token->id, id));
	}
	return err;
}
