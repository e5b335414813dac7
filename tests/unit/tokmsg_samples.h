/* SPDX-License-Identifier: Apache-2.0 */
/* One message of each type, both ways, with something in every field. */
#ifndef TOKMSG_SAMPLES_H
#define TOKMSG_SAMPLES_H

#include "tokmsg.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static inline struct kms_id sample_id(uint8_t n)
{
	struct kms_id id;
	memset(id.b, n, sizeof(id.b));
	return id;
}

static inline struct kms_hash sample_hash(uint8_t n)
{
	struct kms_hash hash;
	memset(hash.b, n, sizeof(hash.b));
	return hash;
}

static inline struct model_counted sample_uses(uint64_t boot, uint64_t first, uint32_t count)
{
	struct model_counted uses = {
		.boot = boot, .first = first, .count = count, .running = sample_hash(0xaa)};
	uses.rows = calloc(count + 1, sizeof(*uses.rows));
	ck_assert_ptr_nonnull(uses.rows);
	for (uint32_t i = 0; i < count; i++) {
		uses.rows[i] = (struct model_counted_use){
			.n = first + i,
			.op = MODEL_OP_UNWRAP,
			.spki = sample_hash(0x51),
			.key = sample_id(0x52),
			.kek = sample_id(0x53),
			.version = i + 1,
			.wrapped_key = sample_id((uint8_t)(0x60 + i)),
			.context = sample_hash(0x54),
		};
	}
	return uses;
}

/* count OK items in a call, or their answer. */
static inline void sample_call(struct tokmsg *msg, uint32_t count)
{
	struct tokmsg_call *call = &msg->u.call;
	call->session = sample_id(0x21);
	call->op = MODEL_OP_UNWRAP;
	call->principal = sample_hash(0x22);
	call->key = sample_id(0x23);
	call->count = count;
	call->items = calloc(count + 1, sizeof(*call->items));
	ck_assert_ptr_nonnull(call->items);
	for (uint32_t i = 0; i < count; i++) {
		call->items[i].wrapped_key = sample_id((uint8_t)(0x60 + i));
		call->items[i].context = sample_hash(0x54);
	}
	call->record = kms_bytes_str("sealed bytes");
}

static inline void sample_call_answer(struct tokmsg *msg, uint64_t first, uint32_t count)
{
	msg->u.answered = calloc(1, sizeof(*msg->u.answered));
	ck_assert_ptr_nonnull(msg->u.answered);
	msg->u.answered->count = count;
	msg->u.answered->uses = sample_uses(3, first, count);
	msg->u.answered->record = kms_bytes_str("sealed answer");
}

static inline void sample_order(struct tokmsg *msg)
{
	struct model_erase_order *order = calloc(1, sizeof(*order));
	ck_assert_ptr_nonnull(order);
	*order = (struct model_erase_order){
		.erase = kms_bytes_str("what dies"),
		.certificate = kms_bytes_str("a certificate"),
		.signature = {1, 2, 3},
		.approval_count = 2,
		.entry = kms_bytes_str("an entry"),
		.index = 77,
		.proof_count = 2,
		.proof = {sample_hash(0x81), sample_hash(0x82)},
		.checkpoint = kms_bytes_str("a note"),
		.late = kms_bytes_str("a statement"),
	};
	for (uint32_t i = 0; i < 2; i++) {
		order->approvals[i].approver = sample_id((uint8_t)(0x83 + i));
		order->approvals[i].spki = kms_bytes_str("a public key");
		order->approvals[i].signature[63] = (uint8_t)(9 + i);
	}
	msg->u.erase_open = order;
}

static inline void sample_pins(struct tokmsg *msg)
{
	struct model_erase_pins *pins = calloc(1, sizeof(*pins));
	ck_assert_ptr_nonnull(pins);
	pins->needed = 2;
	pins->count = 3;
	for (uint32_t i = 0; i < 3; i++) {
		pins->rows[i].approver = sample_id((uint8_t)(0x91 + i));
		pins->rows[i].spki = sample_hash((uint8_t)(0x95 + i));
	}
	msg->u.erase_pins = pins;
}

static inline void sample_request(struct tokmsg *msg)
{
	switch (msg->type) {
	case TOKMSG_SESSION_OPEN:
		msg->u.flight = kms_bytes_str("client hello");
		break;
	case TOKMSG_SESSION_CLOSE:
		msg->u.session = sample_id(0x11);
		break;
	case TOKMSG_CALL:
		sample_call(msg, 2);
		break;
	case TOKMSG_USES_ACK:
	case TOKMSG_USES_PENDING:
	case TOKMSG_STATEMENT_NEXT:
		msg->u.position.boot = 3;
		msg->u.position.n = 0x0102030405060708;
		break;
	case TOKMSG_KEK_BEAR:
		msg->u.kek_bear = (struct model_bear){
			.kek = sample_id(1),
			.tenant = sample_id(2),
			.key = sample_id(3),
			.version = 7,
			.custody = MODEL_CUSTODY_ALL,
			.delivery = MODEL_DELIVERY_SEALED,
			.token_count = 2,
			.tokens = {sample_id(4), sample_id(5)},
		};
		break;
	case TOKMSG_KEK_COMMIT:
	case TOKMSG_KEK_ABANDON:
	case TOKMSG_KEK_LIST:
		msg->u.kek = sample_id(0x31);
		break;
	case TOKMSG_HEAD_SIGN:
		msg->u.head_sign.checkpoint = kms_bytes_str("origin\n5\nroot\n");
		msg->u.head_sign.proof_count = 2;
		msg->u.head_sign.proof[0] = sample_hash(0x41);
		msg->u.head_sign.proof[1] = sample_hash(0x42);
		break;
	case TOKMSG_KEK_HOLD:
		msg->u.hold.kek = sample_id(0x84);
		msg->u.hold.held = true;
		break;
	case TOKMSG_ERASE_OPEN:
		sample_order(msg);
		break;
	case TOKMSG_ERASE_KEK:
		msg->u.erase.kek = sample_id(0x86);
		msg->u.erase.erasure = sample_id(0x85);
		break;
	case TOKMSG_ERASE_WIPE:
		msg->u.erase.erasure = sample_id(0x85);
		break;
	case TOKMSG_ERASE_CANCEL:
		msg->u.erase_cancel.erase = kms_bytes_str("what would have died");
		msg->u.erase_cancel.spki = kms_bytes_str("a public key");
		msg->u.erase_cancel.certificate = kms_bytes_str("a certificate");
		msg->u.erase_cancel.signature[0] = 7;
		break;
	case TOKMSG_MANIFEST_SIGN:
		msg->u.manifest = kms_bytes_str("kmsd-bundle/1\n");
		break;
	case TOKMSG_HELLO:
	case TOKMSG_HEAD_LAST:
	case TOKMSG_PING:
	case TOKMSG_ERASE_PINS:
	case TOKMSG_TYPE_COUNT_:
		break;
	}
}

static inline void sample_keks(struct tokmsg *msg, uint32_t count)
{
	msg->u.keks.count = count;
	msg->u.keks.rows = calloc(count + 1, sizeof(*msg->u.keks.rows));
	ck_assert_ptr_nonnull(msg->u.keks.rows);
	for (uint32_t i = 0; i < count; i++) {
		msg->u.keks.rows[i] = (struct model_held_kek){sample_id((uint8_t)i),
			sample_id(0x71), i + 1, (enum model_held_life)(i % 5)};
	}
}

static inline void sample_answer(struct tokmsg *msg)
{
	switch (msg->type) {
	case TOKMSG_HELLO:
		msg->u.hello = (struct model_hello){sample_id(1), sample_id(2), 3, 40, 30};
		break;
	case TOKMSG_SESSION_OPEN:
		msg->u.session_opened.session = sample_id(0x11);
		msg->u.session_opened.flight = kms_bytes_str("server flight");
		break;
	case TOKMSG_CALL:
		sample_call_answer(msg, 9, 2);
		msg->u.answered->count = 3; /* the first and last were uses */
		msg->u.answered->codes[1] = KMS_CODE_INTEGRITY;
		break;
	case TOKMSG_USES_PENDING:
		msg->u.uses = sample_uses(3, 31, 3);
		break;
	case TOKMSG_STATEMENT_NEXT:
	case TOKMSG_KEK_BEAR:
	case TOKMSG_HEAD_SIGN:
	case TOKMSG_HEAD_LAST:
	case TOKMSG_ERASE_WIPE:
	case TOKMSG_MANIFEST_SIGN:
		msg->u.bytes = kms_bytes_str("signed bytes");
		break;
	case TOKMSG_KEK_LIST:
		sample_keks(msg, 2);
		break;
	case TOKMSG_ERASE_PINS:
		sample_pins(msg);
		break;
	case TOKMSG_ERASE_KEK:
		msg->u.erased.destroy = kms_bytes_str("destroyed");
		msg->u.erased.absence = kms_bytes_str("absent");
		break;
	case TOKMSG_SESSION_CLOSE:
	case TOKMSG_USES_ACK:
	case TOKMSG_KEK_COMMIT:
	case TOKMSG_KEK_ABANDON:
	case TOKMSG_PING:
	case TOKMSG_KEK_HOLD:
	case TOKMSG_ERASE_OPEN:
	case TOKMSG_ERASE_CANCEL:
	case TOKMSG_TYPE_COUNT_:
		break;
	}
}

/* An empty message; a message is too large for the stack of a test. */
static inline void sample_blank(struct tokmsg *msg, enum tokmsg_type type, bool is_answer)
{
	memset(msg, 0, sizeof(*msg));
	msg->type = type;
	msg->is_answer = is_answer;
	msg->id = 0x01020304;
}

/* tokmsg_clear() frees it. */
static inline void sample_msg(struct tokmsg *msg, enum tokmsg_type type, bool is_answer)
{
	sample_blank(msg, type, is_answer);
	if (is_answer) {
		sample_answer(msg);
	} else {
		sample_request(msg);
	}
}

/* The frame without its length: what tokmsg_read takes. The caller frees. */
static inline kms_err sample_frame(const struct tokmsg *msg, struct kms_buf *ret_frame)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(4 + (size_t)LIMIT_TOKMSG_BYTES);
	struct kms_bytes all;
	struct kms_bytes body;
	KMS_TRY(tokmsg_write(msg, &writer));
	KMS_TRY(kms_writer_bytes(&writer, &all));
	struct kms_reader reader = kms_reader_of(all);
	KMS_TRY(kms_read_lp32(&reader, LIMIT_TOKMSG_BYTES, &body));
	KMS_TRY(kms_read_end(&reader));
	return kms_buf_copy(body, ret_frame);
}

#endif
