/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading messages between kmsd and kms-tokend: strict and bounded. Runs in both. What does not
 * parse is never passed on in part.
 */
#include "tokmsg_int.h"

#include <stdlib.h>
#include <string.h>

static kms_err read_id(struct kms_reader *reader, struct kms_id *ret_id)
{
	return kms_read_fixed(reader, ret_id->b, sizeof(ret_id->b));
}

static kms_err read_hash(struct kms_reader *reader, struct kms_hash *ret_hash)
{
	return kms_read_fixed(reader, ret_hash->b, sizeof(ret_hash->b));
}

static kms_err read_use_op(struct kms_reader *reader, enum model_op *ret_op)
{
	uint8_t op;
	KMS_TRY(kms_read_u8(reader, &op));
	if (op >= MODEL_OP_COUNT_ || !model_op_is_use((enum model_op)op)) {
		return KMS_ERR(FORMAT);
	}
	*ret_op = (enum model_op)op;
	return KMS_OK;
}

static kms_err read_code(struct kms_reader *reader, enum kms_code *ret_code)
{
	uint16_t code;
	KMS_TRY(kms_read_u16(reader, &code));
	*ret_code = kms_err_from_code(code).code;
	return KMS_OK;
}

/* A count of rows of at least row_bytes each: bounded by max and by what is there. */
static kms_err read_count16(
	struct kms_reader *reader, uint32_t max, size_t row_bytes, uint32_t *ret_count)
{
	uint16_t count;
	KMS_TRY(kms_read_u16(reader, &count));
	if (count > max) {
		return KMS_ERR(TOO_LARGE);
	}
	if (reader->left < count * row_bytes) {
		return KMS_ERR(TRUNCATED);
	}
	*ret_count = count;
	return KMS_OK;
}

static kms_err new_rows(uint32_t count, size_t row_bytes, void **ret_rows)
{
	void *rows = calloc(count > 0 ? count : 1, row_bytes);
	if (rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*ret_rows = rows;
	return KMS_OK;
}

static kms_err read_call(struct kms_reader *reader, struct tokmsg_call *call)
{
	KMS_TRY(read_id(reader, &call->session));
	KMS_TRY(read_use_op(reader, &call->op));
	KMS_TRY(read_hash(reader, &call->principal));
	KMS_TRY(read_id(reader, &call->key));
	KMS_TRY(read_count16(reader, LIMIT_BATCH_ITEMS, 16 + 32, &call->count));
	if (call->count == 0) {
		return KMS_ERR(FORMAT);
	}
	void *rows;
	KMS_TRY(new_rows(call->count, sizeof(*call->items), &rows));
	call->items = rows;
	for (uint32_t i = 0; i < call->count; i++) {
		KMS_TRY(read_id(reader, &call->items[i].wrapped_key));
		KMS_TRY(read_hash(reader, &call->items[i].context));
	}
	return kms_read_lp32(reader, LIMIT_TOKMSG_BYTES, &call->record);
}

static kms_err read_uses(struct kms_reader *reader, struct model_counted *uses)
{
	KMS_TRY(kms_read_u64(reader, &uses->boot));
	KMS_TRY(kms_read_u64(reader, &uses->first));
	KMS_TRY(read_count16(reader, TOKMSG_USES_MAX, 0, &uses->count));
	KMS_TRY(read_hash(reader, &uses->running));
	if (uses->first == 0 || uses->first > UINT64_MAX - TOKMSG_USES_MAX) {
		return KMS_ERR(FORMAT);
	}
	if (reader->left < (size_t)uses->count * (1 + 32 + 16 + 16 + 4 + 16 + 32)) {
		return KMS_ERR(TRUNCATED);
	}
	void *rows;
	KMS_TRY(new_rows(uses->count, sizeof(*uses->rows), &rows));
	uses->rows = rows;
	for (uint32_t i = 0; i < uses->count; i++) {
		struct model_counted_use *use = &uses->rows[i];
		use->n = uses->first + i;
		KMS_TRY(read_use_op(reader, &use->op));
		KMS_TRY(read_hash(reader, &use->spki));
		KMS_TRY(read_id(reader, &use->key));
		KMS_TRY(read_id(reader, &use->kek));
		KMS_TRY(kms_read_u32(reader, &use->version));
		KMS_TRY(read_id(reader, &use->wrapped_key));
		KMS_TRY(read_hash(reader, &use->context));
	}
	return KMS_OK;
}

static kms_err read_call_answer(struct kms_reader *reader, struct tokmsg *msg)
{
	void *fresh;
	KMS_TRY(new_rows(1, sizeof(*msg->u.answered), &fresh));
	msg->u.answered = fresh;
	struct tokmsg_call_answer *answer = msg->u.answered;
	KMS_TRY(read_count16(reader, LIMIT_BATCH_ITEMS, 2, &answer->count));
	for (uint32_t i = 0; i < answer->count; i++) {
		KMS_TRY(read_code(reader, &answer->codes[i]));
	}
	KMS_TRY(read_uses(reader, &answer->uses));
	return kms_read_lp32(reader, LIMIT_TOKMSG_BYTES, &answer->record);
}

static kms_err read_kek_bear(struct kms_reader *reader, struct model_bear *bear)
{
	KMS_TRY(read_id(reader, &bear->kek));
	KMS_TRY(read_id(reader, &bear->tenant));
	KMS_TRY(read_id(reader, &bear->key));
	KMS_TRY(kms_read_u32(reader, &bear->version));
	uint8_t custody, delivery, count;
	KMS_TRY(kms_read_u8(reader, &custody));
	KMS_TRY(kms_read_u8(reader, &delivery));
	KMS_TRY(kms_read_u8(reader, &count));
	if (custody < MODEL_CUSTODY_ANY || custody > MODEL_CUSTODY_ALL ||
		delivery < MODEL_DELIVERY_SEALED || delivery > MODEL_DELIVERY_CLEAR || count == 0) {
		return KMS_ERR(FORMAT);
	}
	if (count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	bear->custody = (enum model_custody)custody;
	bear->delivery = (enum model_delivery)delivery;
	bear->token_count = count;
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(read_id(reader, &bear->tokens[i]));
	}
	return KMS_OK;
}

static kms_err read_keks(struct kms_reader *reader, struct tokmsg *msg)
{
	KMS_TRY(read_count16(reader, LIMIT_LIST_PAGE, 16 + 16 + 4 + 1, &msg->u.keks.count));
	void *rows;
	KMS_TRY(new_rows(msg->u.keks.count, sizeof(*msg->u.keks.rows), &rows));
	msg->u.keks.rows = rows;
	for (uint32_t i = 0; i < msg->u.keks.count; i++) {
		struct model_held_kek *row = &msg->u.keks.rows[i];
		uint8_t life;
		KMS_TRY(read_id(reader, &row->kek));
		KMS_TRY(read_id(reader, &row->key));
		KMS_TRY(kms_read_u32(reader, &row->version));
		KMS_TRY(kms_read_u8(reader, &life));
		if (life > MODEL_HELD_REAPPEARED) {
			return KMS_ERR(FORMAT);
		}
		row->life = (enum model_held_life)life;
	}
	return KMS_OK;
}

static kms_err read_head_sign(struct kms_reader *reader, struct model_head_sign *sign)
{
	KMS_TRY(kms_read_lp16(reader, TOKMSG_CHECKPOINT_MAX, &sign->checkpoint));
	uint8_t count;
	KMS_TRY(kms_read_u8(reader, &count));
	if (count > TOKMSG_PROOF_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	sign->proof_count = count;
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(read_hash(reader, &sign->proof[i]));
	}
	return KMS_OK;
}

static kms_err read_request(struct kms_reader *reader, struct tokmsg *msg)
{
	switch (msg->type) {
	case TOKMSG_HELLO:
	case TOKMSG_HEAD_LAST:
	case TOKMSG_PING:
		return KMS_OK;
	case TOKMSG_SESSION_OPEN:
		return kms_read_lp32(reader, LIMIT_TOKMSG_BYTES, &msg->u.flight);
	case TOKMSG_SESSION_CLOSE:
		return read_id(reader, &msg->u.session);
	case TOKMSG_CALL:
		return read_call(reader, &msg->u.call);
	case TOKMSG_USES_ACK:
	case TOKMSG_USES_PENDING:
	case TOKMSG_STATEMENT_NEXT:
		KMS_TRY(kms_read_u64(reader, &msg->u.position.boot));
		return kms_read_u64(reader, &msg->u.position.n);
	case TOKMSG_KEK_BEAR:
		return read_kek_bear(reader, &msg->u.kek_bear);
	case TOKMSG_KEK_COMMIT:
	case TOKMSG_KEK_ABANDON:
	case TOKMSG_KEK_LIST:
		return read_id(reader, &msg->u.kek);
	case TOKMSG_HEAD_SIGN:
		return read_head_sign(reader, &msg->u.head_sign);
	case TOKMSG_KEK_HOLD:
	case TOKMSG_ERASE_PINS:
	case TOKMSG_ERASE_OPEN:
	case TOKMSG_ERASE_KEK:
	case TOKMSG_ERASE_WIPE:
	case TOKMSG_ERASE_CANCEL:
	case TOKMSG_MANIFEST_SIGN:
		return tokmsg_erase_read_request(reader, msg);
	case TOKMSG_TYPE_COUNT_:
		break;
	}
	return KMS_ERR(FORMAT);
}

static kms_err read_reason(struct kms_reader *reader, struct tokmsg *msg)
{
	struct kms_bytes reason;
	KMS_TRY(kms_read_lp16(reader, LIMIT_REASON, &reason));
	if (memchr(reason.ptr, '\0', reason.len) != NULL) {
		return KMS_ERR(FORMAT);
	}
	memcpy(msg->reason, reason.ptr, reason.len);
	msg->reason[reason.len] = '\0';
	return KMS_OK;
}

static kms_err read_answer(struct kms_reader *reader, struct tokmsg *msg)
{
	KMS_TRY(read_code(reader, &msg->code));
	if (msg->code != KMS_CODE_OK) {
		return read_reason(reader, msg);
	}
	switch (msg->type) {
	case TOKMSG_HELLO:
		KMS_TRY(read_id(reader, &msg->u.hello.token));
		KMS_TRY(read_id(reader, &msg->u.hello.tenant));
		KMS_TRY(kms_read_u64(reader, &msg->u.hello.boot));
		KMS_TRY(kms_read_u64(reader, &msg->u.hello.used));
		return kms_read_u64(reader, &msg->u.hello.acked);
	case TOKMSG_SESSION_OPEN:
		KMS_TRY(read_id(reader, &msg->u.session_opened.session));
		return kms_read_lp32(reader, LIMIT_TOKMSG_BYTES, &msg->u.session_opened.flight);
	case TOKMSG_CALL:
		return read_call_answer(reader, msg);
	case TOKMSG_USES_PENDING:
		return read_uses(reader, &msg->u.uses);
	case TOKMSG_STATEMENT_NEXT:
	case TOKMSG_KEK_BEAR:
	case TOKMSG_HEAD_SIGN:
	case TOKMSG_HEAD_LAST:
		return kms_read_lp32(reader, LIMIT_TOKMSG_BYTES, &msg->u.bytes);
	case TOKMSG_KEK_LIST:
		return read_keks(reader, msg);
	case TOKMSG_SESSION_CLOSE:
	case TOKMSG_USES_ACK:
	case TOKMSG_KEK_COMMIT:
	case TOKMSG_KEK_ABANDON:
	case TOKMSG_PING:
		return KMS_OK;
	case TOKMSG_KEK_HOLD:
	case TOKMSG_ERASE_PINS:
	case TOKMSG_ERASE_OPEN:
	case TOKMSG_ERASE_KEK:
	case TOKMSG_ERASE_WIPE:
	case TOKMSG_ERASE_CANCEL:
	case TOKMSG_MANIFEST_SIGN:
		return tokmsg_erase_read_answer(reader, msg);
	case TOKMSG_TYPE_COUNT_:
		break;
	}
	return KMS_ERR(FORMAT);
}

static kms_err read_message(struct kms_reader *reader, struct tokmsg *msg)
{
	uint8_t version, type;
	KMS_TRY(kms_read_u8(reader, &version));
	if (version != TOKMSG_VERSION) {
		return KMS_ERR(VERSION);
	}
	KMS_TRY(kms_read_u8(reader, &type));
	msg->is_answer = (type & TOKMSG_ANSWER) != 0;
	type &= (uint8_t)~TOKMSG_ANSWER;
	if (type < TOKMSG_HELLO || type >= TOKMSG_TYPE_COUNT_) {
		return KMS_ERR(FORMAT);
	}
	msg->type = (enum tokmsg_type)type;
	KMS_TRY(kms_read_u32(reader, &msg->id));
	KMS_TRY(msg->is_answer ? read_answer(reader, msg) : read_request(reader, msg));
	return kms_read_end(reader);
}

kms_err tokmsg_read(struct kms_bytes frame, struct tokmsg *ret_msg)
{
	if (frame.len > LIMIT_TOKMSG_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	struct tokmsg msg = {0};
	struct kms_reader reader = kms_reader_of(frame);
	kms_err err = read_message(&reader, &msg);
	if (!kms_is_ok(err)) {
		tokmsg_clear(&msg);
		return err;
	}
	*ret_msg = msg;
	return KMS_OK;
}

void tokmsg_clear(struct tokmsg *msg)
{
	if (msg->type == TOKMSG_CALL && !msg->is_answer) {
		free(msg->u.call.items);
	} else if (msg->type == TOKMSG_ERASE_OPEN && !msg->is_answer) {
		free(msg->u.erase_open);
	}
	if (msg->is_answer && msg->code == KMS_CODE_OK) {
		if (msg->type == TOKMSG_CALL && msg->u.answered != NULL) {
			free(msg->u.answered->uses.rows);
			free(msg->u.answered);
		} else if (msg->type == TOKMSG_USES_PENDING) {
			free(msg->u.uses.rows);
		} else if (msg->type == TOKMSG_KEK_LIST) {
			free(msg->u.keks.rows);
		} else if (msg->type == TOKMSG_ERASE_PINS) {
			free(msg->u.erase_pins);
		}
	}
	*msg = (struct tokmsg){0};
}
