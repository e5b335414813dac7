/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kmsd and its kms-tokends for tests of libkms, in the place of its HTTP layer: real REST bodies,
 * real sealed sessions, pretended KEKs (a data key is "wrapped" by XOR with the token's number).
 * It compares inside and outside as kms-tokend does, and misbehaves where a test says so.
 */
#ifndef KMS_TEST_CLIENT_DOUBLE_H
#define KMS_TEST_CLIENT_DOUBLE_H

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "client_int.h"
#include "crypto.h"
#include "format.h"
#include "wire.h"

#define ck_ok(expr)                                                                                \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(kms_is_ok(ck_err_), "%s: %s", #expr, kms_err_text(ck_err_));         \
	} while (0)
#define ck_code(expr, name)                                                                        \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(ck_err_.code == KMS_CODE_##name, "%s: %s, not " #name, #expr,        \
			kms_err_name(ck_err_));                                                    \
	} while (0)

enum { DOUBLE_TOKENS = 2, DOUBLE_SESSIONS = 64 };

struct double_session {
	struct kms_id id;
	struct kms_id token;
	struct channel *channel;
};

static struct {
	pthread_mutex_t lock;
	struct kms_id tenant;
	struct kms_id tokens[DOUBLE_TOKENS];
	struct channel_identity *identity[DOUBLE_TOKENS];
	struct double_session sessions[DOUBLE_SESSIONS];
	uint32_t version; /* of every KEK */
	/* what was seen */
	unsigned opened;
	unsigned uses;       /* sealed requests */
	unsigned wraps;      /* of them those that hand nothing out */
	unsigned clear_uses; /* clear ones */
	uint32_t items;      /* of the last request */
	/* what goes wrong */
	unsigned fail;         /* that many calls with this problem: */
	enum kms_code problem; /*   */
	struct kms_id down;    /* this token does not answer */
	unsigned retry_after_s;
	bool forget;          /* sessions are forgotten at each use */
	bool replay;          /* the last record is brought again */
	bool withhold;        /* the answer is kept, and TIMEOUT said */
	bool swap_identity;   /* tokens show each other's certificates */
	bool other_wrapped;   /* clear: another wrapped-key id comes back */
	enum kms_code refuse; /* the first item of each request, with this */
	struct kms_buf last_record;
	/* leases */
	uint32_t lease_s;              /* what is said of it */
	struct kms_id holder;          /* of the last use */
	unsigned reports;              /* how often it was asked */
	unsigned receipts;             /* of them with a receipt that was taken */
	unsigned repeated;             /* and with one that it had already */
	uint64_t number;               /* of the last receipt */
	unsigned refuse_reports;       /* that many are refused for good */
	unsigned lose_reports;         /* that many are taken, and not answered */
	uint32_t given_up;             /* data keys, in all receipts */
	uint32_t rows;                 /* of the last receipt */
	unsigned refuse_unwraps_after; /* sealed uses; 0: never */
	struct kms_id recalled;        /* this key is wanted back */
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .lease_s = 3600};

/* Reports hang, as at a kmsd that accepts and says nothing, until it is false again. */
static _Atomic bool hang_reports;
static _Atomic unsigned hung;

static uint32_t token_index(const struct kms_id *id)
{
	return kms_id_equal(id, &fake.tokens[0]) ? 0 : 1;
}

/* ---- the token ---- */

static void pretend_wrap(uint32_t token, const uint8_t *from, uint8_t *ret_to)
{
	for (size_t i = 0; i < LIMIT_DATA_KEY_BYTES; i++) {
		ret_to[i] = (uint8_t)(from[i] ^ (0xa0 + token));
	}
}

static struct format_slot slot_for(uint32_t token, const uint8_t *data_key)
{
	struct format_slot slot = {
		.token = fake.tokens[token],
		.kek = fake.tokens[token],
		.version = fake.version,
		.mechanism = FORMAT_MECHANISM_AES_256_GCM,
	};
	pretend_wrap(token, data_key, slot.ciphertext);
	return slot;
}

/* One item; ret_key is what a data key in the answer borrows, for the caller to free. */
static void use_item(uint32_t token, enum model_op op, const struct format_item *item,
	struct format_answer_item *ret_item, struct kms_secret **ret_key)
{
	uint8_t key[LIMIT_DATA_KEY_BYTES];
	if (op == MODEL_OP_DATAKEY) {
		kms_random(key, sizeof(key));
	} else if (op == MODEL_OP_WRAP) {
		memcpy(key, item->data_key_bytes.ptr, sizeof(key));
	} else {
		pretend_wrap(token, item->slot.ciphertext, key);
	}
	ck_ok(kms_secret_copy(KMS_BYTES_OF(key), ret_key));
	ret_item->data_key = *ret_key;
	ret_item->slot = slot_for(token, key);
}

static void token_answer(uint32_t token, struct kms_bytes message,
	const struct model_request *outer, struct kms_secret **ret_answer)
{
	KMS_AUTO(format_request) request = NULL;
	ck_ok(format_request_read(message, &request));
	ck_assert_int_eq(request->op, outer->op);
	ck_assert(kms_id_equal(&request->key, &outer->u.use.key));
	ck_assert_uint_eq(request->count, outer->u.use.item_count);
	struct format_answer_item *items KMS_AUTO_FREE = calloc(request->count, sizeof(*items));
	struct kms_secret **keys KMS_AUTO_FREE =
		calloc(request->count, sizeof(struct kms_secret *));
	struct format_answer answer = {request->op, request->id, request->count, items};
	for (uint32_t i = 0; i < request->count; i++) {
		KMS_AUTO_BUF context = {0};
		ck_ok(format_context_write(outer->u.use.items[i].context, &fake.tenant, &context));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&context), request->items[i].context));
		ck_assert(kms_id_equal(
			&outer->u.use.items[i].wrapped_key, &request->items[i].head.wrapped_key));
		use_item(token, request->op, &request->items[i], &items[i], &keys[i]);
		items[i].code = i == 0 ? fake.refuse : KMS_CODE_OK;
	}
	ck_ok(format_answer_write(&answer, ret_answer));
	for (uint32_t i = 0; i < request->count; i++) {
		kms_secret_free(&keys[i]);
	}
}

/* ---- kmsd ---- */

static kms_err session_open(const struct model_request *request, struct model_answer *answer)
{
	struct double_session *session = &fake.sessions[fake.opened++ % DOUBLE_SESSIONS];
	uint32_t token = token_index(&request->u.session_open.token);
	channel_free(&session->channel);
	ck_ok(channel_new_server(
		fake.identity[fake.swap_identity ? 1 - token : token], &session->channel));
	ck_ok(channel_step(session->channel, kms_buf_bytes(&request->u.session_open.flight),
		&answer->u.session_open.flight));
	ck_ok(kms_id_random(&session->id));
	session->token = request->u.session_open.token;
	answer->u.session_open.session = session->id;
	return KMS_OK;
}

static kms_err use_sealed(const struct model_request *request, struct model_answer *answer)
{
	struct double_session *session = NULL;
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(kms_secret) inside = NULL;
	fake.uses++;
	fake.wraps += model_op_hands_out(request->op) ? 0 : 1;
	if (fake.refuse_unwraps_after > 0 && fake.uses > fake.refuse_unwraps_after) {
		return KMS_ERR(KEY_STATE);
	}
	for (size_t i = 0; i < DOUBLE_SESSIONS; i++) {
		if (fake.sessions[i].channel != NULL &&
			kms_id_equal(&fake.sessions[i].id, &request->u.use.session)) {
			session = &fake.sessions[i];
		}
	}
	if (session == NULL || fake.forget) {
		return KMS_ERR(SESSION);
	}
	ck_assert(kms_id_equal(&session->token, &request->u.use.token));
	KMS_TRY(channel_open(session->channel, kms_buf_bytes(&request->u.use.record), &message));
	token_answer(token_index(&session->token), kms_secret_bytes(message), request, &inside);
	if (fake.replay) {
		return kms_buf_copy(kms_buf_bytes(&fake.last_record), &answer->u.use.record);
	}
	KMS_TRY(channel_seal(session->channel, kms_secret_bytes(inside), &answer->u.use.record));
	kms_buf_free(&fake.last_record);
	ck_ok(kms_buf_copy(kms_buf_bytes(&answer->u.use.record), &fake.last_record));
	return fake.withhold ? KMS_ERR(TIMEOUT) : KMS_OK;
}

/* As kmsd is the client: custody `any`, one token. */
static void clear_item(const struct model_request *request, const struct model_item *item,
	struct model_answer_item *ret_item)
{
	KMS_AUTO_BUF context = {0};
	struct format_wrapped wrapped = {0};
	struct format_item inner = {0};
	struct format_answer_item done = {0};
	KMS_AUTO(kms_secret) key = NULL;
	ck_ok(format_context_write(item->context, &fake.tenant, &context));
	if (request->op == MODEL_OP_UNWRAP || request->op == MODEL_OP_REWRAP) {
		ck_ok(format_wrapped_read(kms_buf_bytes(&item->wrapped), &wrapped));
		inner.slot = wrapped.slots[0];
	} else {
		wrapped.head = (struct format_head){MODEL_CUSTODY_ANY, MODEL_DELIVERY_CLEAR,
			request->u.use.key, item->wrapped_key, {{0}}};
		ck_ok(format_context_hash(kms_buf_bytes(&context), &wrapped.head.context));
		wrapped.slot_count = 1;
	}
	if (item->data_key != NULL) {
		inner.data_key_bytes = kms_secret_bytes(item->data_key);
	}
	use_item(0, request->op, &inner, &done, &key);
	wrapped.slots[0] = done.slot;
	wrapped.head.wrapped_key.b[0] ^= fake.other_wrapped ? 1 : 0;
	if (request->op != MODEL_OP_UNWRAP) {
		ck_ok(format_wrapped_write(&wrapped, &ret_item->wrapped));
	}
	if (request->op == MODEL_OP_DATAKEY || request->op == MODEL_OP_UNWRAP) {
		ret_item->data_key = kms_take(&key);
	}
}

static kms_err use_clear(const struct model_request *request, struct model_answer *answer)
{
	size_t count = request->u.use.item_count;
	fake.clear_uses++;
	answer->u.use.items = calloc(count, sizeof(*answer->u.use.items));
	answer->u.use.item_count = count;
	for (size_t i = 0; i < count; i++) {
		clear_item(request, &request->u.use.items[i], &answer->u.use.items[i]);
	}
	return KMS_OK;
}

/* A receipt by the client's own key, about this tenant and holder, in the order of numbers. */
static void take_receipt(const struct model_request *request)
{
	struct kms_bytes bytes = kms_buf_bytes(&request->u.lease_report.receipt);
	KMS_AUTO(format_receipt) receipt = NULL;
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_BUF spki = {0};
	ck_ok(format_receipt_read(bytes, &receipt));
	ck_ok(crypto_cert_parse_der(kms_buf_bytes(&request->u.lease_report.certificate), &cert));
	ck_ok(crypto_cert_spki(cert, &spki));
	ck_ok(crypto_verify_raw(kms_buf_bytes(&spki), bytes, request->u.lease_report.signature));
	ck_assert(kms_id_equal(&receipt->tenant, &fake.tenant));
	ck_assert(kms_id_equal(&receipt->holder, &request->u.lease_report.holder));
	if (receipt->number == fake.number) {
		fake.repeated++;
		return;
	}
	ck_assert_uint_gt(receipt->number, fake.number);
	fake.number = receipt->number;
	fake.receipts++;
	fake.rows = receipt->row_count;
	for (uint32_t i = 0; i < receipt->row_count; i++) {
		fake.given_up += receipt->rows[i].count;
	}
}

static kms_err take_report(const struct model_request *request, struct model_answer *answer)
{
	fake.reports++;
	ck_assert(kms_id_equal(&request->u.lease_report.holder, &fake.holder));
	if (fake.refuse_reports > 0) {
		fake.refuse_reports--;
		return KMS_ERR(ARGUMENT);
	}
	if (request->u.lease_report.receipt.len > 0) {
		take_receipt(request);
	}
	if (fake.lose_reports > 0) {
		fake.lose_reports--;
		return KMS_ERR(TIMEOUT);
	}
	if (!kms_id_is_zero(&fake.recalled)) {
		answer->u.lease_report.recalled[0] = fake.recalled;
		answer->u.lease_report.recalled_count = 1;
	}
	return KMS_OK;
}

static kms_err serve(const struct model_request *request, struct model_answer *answer)
{
	bool open = request->op == MODEL_OP_SESSION_OPEN;
	const struct kms_id *token = open ? &request->u.session_open.token : &request->u.use.token;
	if (fake.fail > 0) {
		fake.fail--;
		return (kms_err){fake.problem};
	}
	if (request->op == MODEL_OP_LEASE_REPORT) {
		return take_report(request, answer);
	}
	if (!kms_id_is_zero(&fake.down) && kms_id_equal(token, &fake.down)) {
		return KMS_ERR(TOKEN_DOWN);
	}
	if (open) {
		return session_open(request, answer);
	}
	fake.holder = request->u.use.holder;
	answer->u.use.lease_s = model_op_hands_out(request->op) ? fake.lease_s : 0;
	fake.items = (uint32_t)request->u.use.item_count;
	return request->u.use.sealed ? use_sealed(request, answer) : use_clear(request, answer);
}

/* ---- in the place of http.c ---- */

kms_err http_new(const struct profile *profile, struct http **ret_http)
{
	(void)profile;
	*ret_http = NULL;
	return KMS_OK;
}

void http_free(struct http **http)
{
	(void)http;
}

void http_answer_free(struct http_answer *answer)
{
	kms_buf_free(&answer->plain);
	kms_secret_free(&answer->secret);
}

struct kms_bytes http_answer_body(const struct http_answer *answer)
{
	return answer->secret != NULL ? kms_secret_bytes(answer->secret)
				      : kms_buf_bytes(&answer->plain);
}

static void parse_target(const struct http_call *call, struct model_request **ret_request)
{
	static const struct {
		const char *end;
		enum model_op op;
	} ends[] = {{"/v1/sessions", MODEL_OP_SESSION_OPEN}, {"/v1/leases", MODEL_OP_LEASE_REPORT},
		{"/datakey", MODEL_OP_DATAKEY}, {"/wrap", MODEL_OP_WRAP},
		{"/unwrap", MODEL_OP_UNWRAP}, {"/rewrap", MODEL_OP_REWRAP}};
	char id[KMS_ID_TEXT] = "";
	const char *end = strrchr(call->target, '/');
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		bool whole = strcmp(call->target, ends[i].end) == 0;
		if (!whole && strcmp(end, ends[i].end) != 0) {
			continue;
		}
		(void)snprintf(id, sizeof(id), "%s", call->target + strlen("/v1/keys/"));
		ck_ok(wire_request_read(
			ends[i].op, whole ? NULL : id, NULL, 0, call->body, ret_request));
		return;
	}
	ck_abort_msg("%s", call->target);
}

kms_err http_call(struct http *http, const struct http_call *call, struct http_answer *answer)
{
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO(model_answer) model = calloc(1, sizeof(*model));
	struct wire_body body __attribute__((cleanup(wire_body_free))) = {0};
	(void)http;
	parse_target(call, &request);
	model->op = request->op;
	if (request->op == MODEL_OP_LEASE_REPORT && atomic_load(&hang_reports)) {
		(void)atomic_fetch_add(&hung, 1);
		while (atomic_load(&hang_reports)) {
			(void)usleep(1000);
		}
		return KMS_ERR(TIMEOUT);
	}
	(void)pthread_mutex_lock(&fake.lock);
	kms_err err = serve(request, model);
	(void)pthread_mutex_unlock(&fake.lock);
	if (!kms_is_ok(err)) {
		answer->status = (unsigned)kms_err_http_status(err);
		answer->retry_after_s = fake.retry_after_s;
		return wire_problem_write(err, 0, "so it is", &answer->plain);
	}
	answer->status = 200;
	ck_ok(wire_answer_write(model, &body));
	/* Only what libkms expects as a secret may carry one. */
	ck_assert(call->secret || body.secret == NULL || request->op == MODEL_OP_WRAP ||
		  request->op == MODEL_OP_REWRAP);
	return call->secret ? kms_secret_copy(wire_body_bytes(&body), &answer->secret)
			    : kms_buf_copy(wire_body_bytes(&body), &answer->plain);
}

#endif
