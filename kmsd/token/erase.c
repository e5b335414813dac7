/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of erasures and manifests, as calls.c has the others. Runs in kmsd. */
#include "token_int.h"

#include <stdlib.h>
#include <string.h>

kms_err token_kek_hold(struct token *token, const struct kms_id *kek, bool held)
{
	struct tokmsg msg = {.type = TOKMSG_KEK_HOLD, .u.hold = {*kek, held}};
	return ask_done(token, &msg);
}

kms_err token_erase_pins(struct token *token, struct model_erase_pins *ret_pins)
{
	struct tokmsg msg = {.type = TOKMSG_ERASE_PINS};
	struct reply reply = {0};
	KMS_TRY(ask(token, &msg, &nobody, &reply));
	*ret_pins = *reply.pins;
	reply_clear(&reply);
	return KMS_OK;
}

kms_err token_erase_open(
	struct token *token, const struct model_erase_order *order, char *ret_reason)
{
	struct model_erase_order *copy KMS_AUTO_FREE = malloc(sizeof(*copy));
	if (copy == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*copy = *order;
	struct tokmsg msg = {.type = TOKMSG_ERASE_OPEN, .u.erase_open = copy};
	struct reply reply = {0};
	KMS_TRY(ask_why(token, &msg, &nobody, &reply, ret_reason));
	reply_clear(&reply);
	return KMS_OK;
}

kms_err token_erase_kek(struct token *token, const struct kms_id *erasure, const struct kms_id *kek,
	struct kms_buf *ret_destroy, struct kms_buf *ret_absence, char *ret_reason)
{
	struct tokmsg msg = {.type = TOKMSG_ERASE_KEK, .u.erase = {*erasure, *kek}};
	struct reply reply = {0};
	KMS_TRY(ask_why(token, &msg, &nobody, &reply, ret_reason));
	*ret_destroy = reply.bytes;
	*ret_absence = reply.absence;
	return KMS_OK;
}

kms_err token_erase_wipe(struct token *token, const struct kms_id *erasure,
	struct kms_buf *ret_statement, char *ret_reason)
{
	struct tokmsg msg = {.type = TOKMSG_ERASE_WIPE, .u.erase.erasure = *erasure};
	struct reply reply = {0};
	KMS_TRY(ask_why(token, &msg, &nobody, &reply, ret_reason));
	*ret_statement = reply.bytes;
	return KMS_OK;
}

kms_err token_erase_cancel(struct token *token, struct kms_bytes erase, struct kms_bytes spki,
	struct kms_bytes certificate, const uint8_t signature[MODEL_SIGNATURE])
{
	struct tokmsg msg = {.type = TOKMSG_ERASE_CANCEL,
		.u.erase_cancel = {.erase = erase, .spki = spki, .certificate = certificate}};
	memcpy(msg.u.erase_cancel.signature, signature, MODEL_SIGNATURE);
	return ask_done(token, &msg);
}

kms_err token_manifest_sign(struct token *token, struct kms_bytes text, struct kms_buf *ret_note)
{
	struct tokmsg msg = {.type = TOKMSG_MANIFEST_SIGN, .u.manifest = text};
	return ask_bytes(token, &msg, ret_note);
}
