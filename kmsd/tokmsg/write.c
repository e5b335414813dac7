/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing messages between kmsd and kms-tokend. Runs in both. Must never put on the wire what
 * tokmsg_read would refuse.
 */
#include "tokmsg_int.h"

static void write_id(struct kms_writer *writer, const struct kms_id *id)
{
	kms_write_fixed(writer, id->b, sizeof(id->b));
}

static void write_hash(struct kms_writer *writer, const struct kms_hash *hash)
{
	kms_write_fixed(writer, hash->b, sizeof(hash->b));
}

static void write_call(struct kms_writer *writer, const struct tokmsg_call *call)
{
	write_id(writer, &call->session);
	kms_write_u8(writer, (uint8_t)call->op);
	write_hash(writer, &call->principal);
	write_id(writer, &call->key);
	kms_write_u16(writer, (uint16_t)call->count);
	for (uint32_t i = 0; i < call->count; i++) {
		write_id(writer, &call->items[i].wrapped_key);
		write_hash(writer, &call->items[i].context);
	}
	kms_write_lp32(writer, call->record);
}

static void write_uses(struct kms_writer *writer, const struct model_counted *uses)
{
	kms_write_u64(writer, uses->boot);
	kms_write_u64(writer, uses->first);
	kms_write_u16(writer, (uint16_t)uses->count);
	write_hash(writer, &uses->running);
	/* Numbers follow from `first`: a gap cannot be written. */
	for (uint32_t i = 0; i < uses->count; i++) {
		const struct model_counted_use *use = &uses->rows[i];
		KMS_ASSERT(use->n == uses->first + i);
		kms_write_u8(writer, (uint8_t)use->op);
		write_hash(writer, &use->spki);
		write_id(writer, &use->key);
		write_id(writer, &use->kek);
		kms_write_u32(writer, use->version);
		write_id(writer, &use->wrapped_key);
		write_hash(writer, &use->context);
	}
}

static void write_call_answer(struct kms_writer *writer, const struct tokmsg_call_answer *answer)
{
	kms_write_u16(writer, (uint16_t)answer->count);
	for (uint32_t i = 0; i < answer->count; i++) {
		kms_write_u16(writer, (uint16_t)answer->codes[i]);
	}
	write_uses(writer, &answer->uses);
	kms_write_lp32(writer, answer->record);
}

static void write_tokens(struct kms_writer *writer, const struct kms_id *tokens, uint32_t count)
{
	kms_write_u8(writer, (uint8_t)count);
	for (uint32_t i = 0; i < count; i++) {
		write_id(writer, &tokens[i]);
	}
}

static void write_request(struct kms_writer *writer, const struct tokmsg *msg)
{
	switch (msg->type) {
	case TOKMSG_HELLO:
	case TOKMSG_HEAD_LAST:
	case TOKMSG_PING:
		break;
	case TOKMSG_SESSION_OPEN:
		kms_write_lp32(writer, msg->u.flight);
		break;
	case TOKMSG_SESSION_CLOSE:
		write_id(writer, &msg->u.session);
		break;
	case TOKMSG_CALL:
		write_call(writer, &msg->u.call);
		break;
	case TOKMSG_USES_ACK:
	case TOKMSG_USES_PENDING:
	case TOKMSG_STATEMENT_NEXT:
		kms_write_u64(writer, msg->u.position.boot);
		kms_write_u64(writer, msg->u.position.n);
		break;
	case TOKMSG_KEK_BEAR: {
		const struct model_bear *bear = &msg->u.kek_bear;
		write_id(writer, &bear->kek);
		write_id(writer, &bear->tenant);
		write_id(writer, &bear->key);
		kms_write_u32(writer, bear->version);
		kms_write_u8(writer, (uint8_t)bear->custody);
		kms_write_u8(writer, (uint8_t)bear->delivery);
		write_tokens(writer, bear->tokens, bear->token_count);
		break;
	}
	case TOKMSG_KEK_COMMIT:
	case TOKMSG_KEK_ABANDON:
	case TOKMSG_KEK_LIST:
		write_id(writer, &msg->u.kek);
		break;
	case TOKMSG_HEAD_SIGN:
		kms_write_lp16(writer, msg->u.head_sign.checkpoint);
		kms_write_u8(writer, (uint8_t)msg->u.head_sign.proof_count);
		for (uint32_t i = 0; i < msg->u.head_sign.proof_count; i++) {
			write_hash(writer, &msg->u.head_sign.proof[i]);
		}
		break;
	case TOKMSG_KEK_HOLD:
	case TOKMSG_ERASE_PINS:
	case TOKMSG_ERASE_OPEN:
	case TOKMSG_ERASE_KEK:
	case TOKMSG_ERASE_WIPE:
	case TOKMSG_ERASE_CANCEL:
	case TOKMSG_MANIFEST_SIGN:
		tokmsg_erase_write_request(writer, msg);
		break;
	case TOKMSG_TYPE_COUNT_:
		break;
	}
}

static void write_answer(struct kms_writer *writer, const struct tokmsg *msg)
{
	kms_write_u16(writer, (uint16_t)msg->code);
	if (msg->code != KMS_CODE_OK) {
		kms_write_lp16(writer, kms_bytes_str(msg->reason));
		return;
	}
	switch (msg->type) {
	case TOKMSG_HELLO:
		write_id(writer, &msg->u.hello.token);
		write_id(writer, &msg->u.hello.tenant);
		kms_write_u64(writer, msg->u.hello.boot);
		kms_write_u64(writer, msg->u.hello.used);
		kms_write_u64(writer, msg->u.hello.acked);
		break;
	case TOKMSG_SESSION_OPEN:
		write_id(writer, &msg->u.session_opened.session);
		kms_write_lp32(writer, msg->u.session_opened.flight);
		break;
	case TOKMSG_CALL:
		write_call_answer(writer, msg->u.answered);
		break;
	case TOKMSG_USES_PENDING:
		write_uses(writer, &msg->u.uses);
		break;
	case TOKMSG_STATEMENT_NEXT:
	case TOKMSG_KEK_BEAR:
	case TOKMSG_HEAD_SIGN:
	case TOKMSG_HEAD_LAST:
		kms_write_lp32(writer, msg->u.bytes);
		break;
	case TOKMSG_KEK_LIST:
		kms_write_u16(writer, (uint16_t)msg->u.keks.count);
		for (uint32_t i = 0; i < msg->u.keks.count; i++) {
			write_id(writer, &msg->u.keks.rows[i].kek);
			write_id(writer, &msg->u.keks.rows[i].key);
			kms_write_u32(writer, msg->u.keks.rows[i].version);
			kms_write_u8(writer, (uint8_t)msg->u.keks.rows[i].life);
		}
		break;
	case TOKMSG_SESSION_CLOSE:
	case TOKMSG_USES_ACK:
	case TOKMSG_KEK_COMMIT:
	case TOKMSG_KEK_ABANDON:
	case TOKMSG_PING:
		break;
	case TOKMSG_KEK_HOLD:
	case TOKMSG_ERASE_PINS:
	case TOKMSG_ERASE_OPEN:
	case TOKMSG_ERASE_KEK:
	case TOKMSG_ERASE_WIPE:
	case TOKMSG_ERASE_CANCEL:
	case TOKMSG_MANIFEST_SIGN:
		tokmsg_erase_write_answer(writer, msg);
		break;
	case TOKMSG_TYPE_COUNT_:
		break;
	}
}

/* Lists are written as they are counted: what tokmsg_read would refuse is refused here. */
static kms_err check_uses(const struct model_counted *uses)
{
	if (uses->count > TOKMSG_USES_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	return uses->first == 0 || uses->first > UINT64_MAX - TOKMSG_USES_MAX ? KMS_ERR(ARGUMENT)
									      : KMS_OK;
}

static kms_err check_request(const struct tokmsg *msg)
{
	bool empty = false, large = false;
	if (msg->type == TOKMSG_CALL) {
		empty = msg->u.call.count == 0 || !model_op_is_use(msg->u.call.op);
		large = msg->u.call.count > LIMIT_BATCH_ITEMS;
	} else if (msg->type == TOKMSG_KEK_BEAR) {
		empty = msg->u.kek_bear.token_count == 0;
		large = msg->u.kek_bear.token_count > LIMIT_CUSTODY_TOKENS;
	} else if (msg->type == TOKMSG_HEAD_SIGN) {
		large = msg->u.head_sign.proof_count > TOKMSG_PROOF_MAX ||
			msg->u.head_sign.checkpoint.len > TOKMSG_CHECKPOINT_MAX;
	}
	if (empty) {
		return KMS_ERR(ARGUMENT);
	}
	return large ? KMS_ERR(TOO_LARGE) : tokmsg_erase_check_request(msg);
}

static kms_err check_answer(const struct tokmsg *msg)
{
	if (msg->code != KMS_CODE_OK) {
		return KMS_OK;
	}
	if (msg->type == TOKMSG_CALL) {
		return msg->u.answered->count > LIMIT_BATCH_ITEMS
			       ? KMS_ERR(TOO_LARGE)
			       : check_uses(&msg->u.answered->uses);
	}
	if (msg->type == TOKMSG_USES_PENDING) {
		return check_uses(&msg->u.uses);
	}
	bool large = msg->type == TOKMSG_KEK_LIST && msg->u.keks.count > LIMIT_LIST_PAGE;
	return large ? KMS_ERR(TOO_LARGE) : tokmsg_erase_check_answer(msg);
}

kms_err tokmsg_write(const struct tokmsg *msg, struct kms_writer *writer)
{
	if (msg->type < TOKMSG_HELLO || msg->type >= TOKMSG_TYPE_COUNT_) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(msg->is_answer ? check_answer(msg) : check_request(msg));
	KMS_AUTO_WRITER body = kms_writer_grow(LIMIT_TOKMSG_BYTES);
	kms_write_u8(&body, TOKMSG_VERSION);
	kms_write_u8(&body, (uint8_t)(msg->type | (msg->is_answer ? TOKMSG_ANSWER : 0)));
	kms_write_u32(&body, msg->id);
	if (msg->is_answer) {
		write_answer(&body, msg);
	} else {
		write_request(&body, msg);
	}
	struct kms_bytes bytes;
	KMS_TRY(kms_writer_bytes(&body, &bytes));
	kms_write_lp32(writer, bytes);
	return kms_writer_bytes(writer, &bytes);
}
