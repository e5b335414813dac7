/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of an erasure, both directions. Runs in kmsd and in kms-tokend. Strict and bounded
 * like read.c; what an order holds is judged by kms-tokend, not here.
 */
#include "tokmsg_int.h"

#include <stdlib.h>

static void write_id(struct kms_writer *writer, const struct kms_id *id)
{
	kms_write_fixed(writer, id->b, sizeof(id->b));
}

static kms_err read_id(struct kms_reader *reader, struct kms_id *ret_id)
{
	return kms_read_fixed(reader, ret_id->b, sizeof(ret_id->b));
}

/* ---- ERASE_OPEN ---- */

static void write_order(struct kms_writer *writer, const struct model_erase_order *order)
{
	kms_write_lp32(writer, order->erase);
	kms_write_lp32(writer, order->certificate);
	kms_write_fixed(writer, order->signature, sizeof(order->signature));
	kms_write_u8(writer, (uint8_t)order->approval_count);
	for (uint32_t i = 0; i < order->approval_count; i++) {
		write_id(writer, &order->approvals[i].approver);
		kms_write_lp16(writer, order->approvals[i].spki);
		kms_write_fixed(writer, order->approvals[i].signature,
			sizeof(order->approvals[i].signature));
	}
	kms_write_lp32(writer, order->entry);
	kms_write_u64(writer, order->index);
	kms_write_u8(writer, (uint8_t)order->proof_count);
	for (uint32_t i = 0; i < order->proof_count; i++) {
		kms_write_fixed(writer, order->proof[i].b, sizeof(order->proof[i].b));
	}
	kms_write_lp32(writer, order->checkpoint);
	kms_write_lp16(writer, order->late);
}

static kms_err read_approvals(struct kms_reader *reader, struct model_erase_order *order)
{
	uint8_t count;
	KMS_TRY(kms_read_u8(reader, &count));
	if (count > LIMIT_APPROVALS) {
		return KMS_ERR(TOO_LARGE);
	}
	order->approval_count = count;
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(read_id(reader, &order->approvals[i].approver));
		KMS_TRY(kms_read_lp16(reader, LIMIT_SPKI_BYTES, &order->approvals[i].spki));
		KMS_TRY(kms_read_fixed(reader, order->approvals[i].signature,
			sizeof(order->approvals[i].signature)));
	}
	return KMS_OK;
}

static kms_err read_proof(struct kms_reader *reader, struct model_erase_order *order)
{
	uint8_t count;
	KMS_TRY(kms_read_u8(reader, &count));
	if (count > TOKMSG_PROOF_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	order->proof_count = count;
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(kms_read_fixed(reader, order->proof[i].b, sizeof(order->proof[i].b)));
	}
	return KMS_OK;
}

static kms_err read_order(struct kms_reader *reader, struct tokmsg *msg)
{
	struct model_erase_order *order = calloc(1, sizeof(*order));
	if (order == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	msg->u.erase_open = order; /* tokmsg_clear() frees it */
	KMS_TRY(kms_read_lp32(reader, LIMIT_ERASE_BYTES, &order->erase));
	KMS_TRY(kms_read_lp32(reader, LIMIT_CERT_PEM, &order->certificate));
	KMS_TRY(kms_read_fixed(reader, order->signature, sizeof(order->signature)));
	KMS_TRY(read_approvals(reader, order));
	KMS_TRY(kms_read_lp32(reader, LIMIT_ENTRY_BYTES, &order->entry));
	KMS_TRY(kms_read_u64(reader, &order->index));
	KMS_TRY(read_proof(reader, order));
	KMS_TRY(kms_read_lp32(reader, TOKMSG_NOTE_MAX, &order->checkpoint));
	return kms_read_lp16(reader, LIMIT_STATEMENT_BYTES, &order->late);
}

/* ---- requests ---- */

void tokmsg_erase_write_request(struct kms_writer *writer, const struct tokmsg *msg)
{
	if (msg->type == TOKMSG_KEK_HOLD) {
		write_id(writer, &msg->u.hold.kek);
		kms_write_u8(writer, msg->u.hold.held ? 1 : 0);
	} else if (msg->type == TOKMSG_ERASE_OPEN) {
		write_order(writer, msg->u.erase_open);
	} else if (msg->type == TOKMSG_ERASE_KEK) {
		write_id(writer, &msg->u.erase.erasure);
		write_id(writer, &msg->u.erase.kek);
	} else if (msg->type == TOKMSG_ERASE_WIPE) {
		write_id(writer, &msg->u.erase.erasure);
	} else if (msg->type == TOKMSG_ERASE_CANCEL) {
		kms_write_lp32(writer, msg->u.erase_cancel.erase);
		kms_write_lp16(writer, msg->u.erase_cancel.spki);
		kms_write_lp32(writer, msg->u.erase_cancel.certificate);
		kms_write_fixed(writer, msg->u.erase_cancel.signature,
			sizeof(msg->u.erase_cancel.signature));
	} else if (msg->type == TOKMSG_MANIFEST_SIGN) {
		kms_write_lp32(writer, msg->u.manifest);
	}
}

static kms_err read_hold(struct kms_reader *reader, struct tokmsg *msg)
{
	uint8_t held;
	KMS_TRY(read_id(reader, &msg->u.hold.kek));
	KMS_TRY(kms_read_u8(reader, &held));
	if (held > 1) {
		return KMS_ERR(FORMAT);
	}
	msg->u.hold.held = held == 1;
	return KMS_OK;
}

static kms_err read_cancel(struct kms_reader *reader, struct tokmsg *msg)
{
	KMS_TRY(kms_read_lp32(reader, LIMIT_ERASE_BYTES, &msg->u.erase_cancel.erase));
	KMS_TRY(kms_read_lp16(reader, LIMIT_SPKI_BYTES, &msg->u.erase_cancel.spki));
	KMS_TRY(kms_read_lp32(reader, LIMIT_CERT_PEM, &msg->u.erase_cancel.certificate));
	return kms_read_fixed(
		reader, msg->u.erase_cancel.signature, sizeof(msg->u.erase_cancel.signature));
}

kms_err tokmsg_erase_read_request(struct kms_reader *reader, struct tokmsg *msg)
{
	if (msg->type == TOKMSG_KEK_HOLD) {
		return read_hold(reader, msg);
	}
	if (msg->type == TOKMSG_ERASE_OPEN) {
		return read_order(reader, msg);
	}
	if (msg->type == TOKMSG_ERASE_KEK) {
		KMS_TRY(read_id(reader, &msg->u.erase.erasure));
		return read_id(reader, &msg->u.erase.kek);
	}
	if (msg->type == TOKMSG_ERASE_WIPE) {
		return read_id(reader, &msg->u.erase.erasure);
	}
	if (msg->type == TOKMSG_ERASE_CANCEL) {
		return read_cancel(reader, msg);
	}
	if (msg->type == TOKMSG_MANIFEST_SIGN) {
		return kms_read_lp32(reader, LIMIT_MANIFEST_BYTES, &msg->u.manifest);
	}
	return KMS_OK; /* ERASE_PINS asks for nothing else */
}

static kms_err check_order(const struct model_erase_order *order)
{
	bool large =
		order->approval_count > LIMIT_APPROVALS || order->proof_count > TOKMSG_PROOF_MAX ||
		order->erase.len > LIMIT_ERASE_BYTES || order->certificate.len > LIMIT_CERT_PEM ||
		order->entry.len > LIMIT_ENTRY_BYTES || order->checkpoint.len > TOKMSG_NOTE_MAX ||
		order->late.len > LIMIT_STATEMENT_BYTES;
	for (uint32_t i = 0; !large && i < order->approval_count; i++) {
		large = order->approvals[i].spki.len > LIMIT_SPKI_BYTES;
	}
	return large ? KMS_ERR(TOO_LARGE) : KMS_OK;
}

kms_err tokmsg_erase_check_request(const struct tokmsg *msg)
{
	bool large = false;
	if (msg->type == TOKMSG_ERASE_OPEN) {
		return check_order(msg->u.erase_open);
	}
	if (msg->type == TOKMSG_ERASE_CANCEL) {
		large = msg->u.erase_cancel.erase.len > LIMIT_ERASE_BYTES ||
			msg->u.erase_cancel.spki.len > LIMIT_SPKI_BYTES ||
			msg->u.erase_cancel.certificate.len > LIMIT_CERT_PEM;
	} else if (msg->type == TOKMSG_MANIFEST_SIGN) {
		large = msg->u.manifest.len > LIMIT_MANIFEST_BYTES;
	}
	return large ? KMS_ERR(TOO_LARGE) : KMS_OK;
}

/* ---- answers ---- */

void tokmsg_erase_write_answer(struct kms_writer *writer, const struct tokmsg *msg)
{
	if (msg->type == TOKMSG_ERASE_PINS) {
		const struct model_erase_pins *pins = msg->u.erase_pins;
		kms_write_u8(writer, (uint8_t)pins->needed);
		kms_write_u8(writer, (uint8_t)pins->count);
		for (uint32_t i = 0; i < pins->count; i++) {
			write_id(writer, &pins->rows[i].approver);
			kms_write_fixed(writer, pins->rows[i].spki.b, sizeof(pins->rows[i].spki.b));
		}
	} else if (msg->type == TOKMSG_ERASE_KEK) {
		kms_write_lp16(writer, msg->u.erased.destroy);
		kms_write_lp16(writer, msg->u.erased.absence);
	} else if (msg->type == TOKMSG_ERASE_WIPE || msg->type == TOKMSG_MANIFEST_SIGN) {
		kms_write_lp32(writer, msg->u.bytes);
	}
}

static kms_err read_pins(struct kms_reader *reader, struct tokmsg *msg)
{
	struct model_erase_pins *pins = calloc(1, sizeof(*pins));
	uint8_t needed, count;
	if (pins == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	msg->u.erase_pins = pins; /* tokmsg_clear() frees it */
	KMS_TRY(kms_read_u8(reader, &needed));
	KMS_TRY(kms_read_u8(reader, &count));
	if (count > LIMIT_APPROVALS) {
		return KMS_ERR(TOO_LARGE);
	}
	if (needed > count) {
		return KMS_ERR(FORMAT);
	}
	pins->needed = needed;
	pins->count = count;
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(read_id(reader, &pins->rows[i].approver));
		KMS_TRY(kms_read_fixed(reader, pins->rows[i].spki.b, sizeof(pins->rows[i].spki.b)));
	}
	return KMS_OK;
}

kms_err tokmsg_erase_read_answer(struct kms_reader *reader, struct tokmsg *msg)
{
	if (msg->type == TOKMSG_ERASE_PINS) {
		return read_pins(reader, msg);
	}
	if (msg->type == TOKMSG_ERASE_KEK) {
		KMS_TRY(kms_read_lp16(reader, LIMIT_STATEMENT_BYTES, &msg->u.erased.destroy));
		return kms_read_lp16(reader, LIMIT_STATEMENT_BYTES, &msg->u.erased.absence);
	}
	if (msg->type == TOKMSG_ERASE_WIPE || msg->type == TOKMSG_MANIFEST_SIGN) {
		return kms_read_lp32(reader, LIMIT_TOKMSG_BYTES, &msg->u.bytes);
	}
	return KMS_OK;
}

kms_err tokmsg_erase_check_answer(const struct tokmsg *msg)
{
	if (msg->type == TOKMSG_ERASE_PINS) {
		const struct model_erase_pins *pins = msg->u.erase_pins;
		if (pins->count > LIMIT_APPROVALS) {
			return KMS_ERR(TOO_LARGE);
		}
		return pins->needed <= pins->count ? KMS_OK : KMS_ERR(ARGUMENT);
	}
	bool large = msg->type == TOKMSG_ERASE_KEK &&
		     (msg->u.erased.destroy.len > LIMIT_STATEMENT_BYTES ||
			     msg->u.erased.absence.len > LIMIT_STATEMENT_BYTES);
	return large ? KMS_ERR(TOO_LARGE) : KMS_OK;
}
