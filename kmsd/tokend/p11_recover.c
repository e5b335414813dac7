/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CK_RV means, in kms-tokend: the one table, and the one loop that mends and repeats. It
 * must never report a key as gone, or a token as down, from one return code (the canary is asked),
 * and never try a refused PIN again.
 */
#include "p11_raw_int.h"

#include "crypto.h"

/* PKCS#11 v2.40, 5.1; the classes are what tokens were measured to mean by them. */
static const struct {
	CK_RV rv;
	const char *name;
	enum p11_rv_class class;
} meanings[] = {
	{CKR_OK, "CKR_OK", P11_RV_OK},
	{CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", P11_RV_STALE},
	{CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", P11_RV_STALE},
	{CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", P11_RV_STALE},
	{CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", P11_RV_SESSION},
	{CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", P11_RV_SESSION},
	{CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE", P11_RV_SESSION},
	{CKR_OPERATION_NOT_INITIALIZED, "CKR_OPERATION_NOT_INITIALIZED", P11_RV_SESSION},
	{MORE_CKR_OPERATION_CANCEL_FAILED, "CKR_OPERATION_CANCEL_FAILED", P11_RV_SESSION},
	/* SoftHSM says GENERAL_ERROR for a bad GCM tag, and for a full descriptor table. */
	{CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", P11_RV_DOUBTFUL},
	{CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", P11_RV_DOUBTFUL},
	{CKR_HOST_MEMORY, "CKR_HOST_MEMORY", P11_RV_DOUBTFUL},
	{CKR_CANT_LOCK, "CKR_CANT_LOCK", P11_RV_DOUBTFUL},
	{MORE_CKR_AEAD_DECRYPT_FAILED, "CKR_AEAD_DECRYPT_FAILED", P11_RV_CIPHERTEXT},
	{CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID", P11_RV_CIPHERTEXT},
	{CKR_ENCRYPTED_DATA_LEN_RANGE, "CKR_ENCRYPTED_DATA_LEN_RANGE", P11_RV_CIPHERTEXT},
	{CKR_DATA_INVALID, "CKR_DATA_INVALID", P11_RV_CIPHERTEXT},
	{CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE", P11_RV_CIPHERTEXT},
	{CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", P11_RV_REFUSED},
	{CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY", P11_RV_REFUSED},
	{CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE", P11_RV_REFUSED},
	{CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID", P11_RV_REFUSED},
	{CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID", P11_RV_REFUSED},
	{CKR_ACTION_PROHIBITED, "CKR_ACTION_PROHIBITED", P11_RV_REFUSED},
	{CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE", P11_RV_REFUSED},
	{CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", P11_RV_REFUSED},
	{CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", P11_RV_REFUSED},
	{CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID", P11_RV_REFUSED},
	{CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT", P11_RV_REFUSED},
	{CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE", P11_RV_REFUSED},
	{CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED", P11_RV_REFUSED},
	{CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED", P11_RV_REFUSED},
	{CKR_FUNCTION_REJECTED, "CKR_FUNCTION_REJECTED", P11_RV_REFUSED},
	{CKR_CURVE_NOT_SUPPORTED, "CKR_CURVE_NOT_SUPPORTED", P11_RV_REFUSED},
	{CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID", P11_RV_REFUSED},
	{CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL", P11_RV_REFUSED},
	{CKR_SESSION_READ_ONLY, "CKR_SESSION_READ_ONLY", P11_RV_REFUSED},
	{CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED", P11_RV_REFUSED},
	{CKR_RANDOM_NO_RNG, "CKR_RANDOM_NO_RNG", P11_RV_REFUSED},
	{CKR_CRYPTOKI_ALREADY_INITIALIZED, "CKR_CRYPTOKI_ALREADY_INITIALIZED", P11_RV_REFUSED},
	{CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", P11_RV_PIN},
	{CKR_PIN_INVALID, "CKR_PIN_INVALID", P11_RV_PIN},
	{CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE", P11_RV_PIN},
	{CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", P11_RV_PIN},
	{CKR_PIN_LOCKED, "CKR_PIN_LOCKED", P11_RV_PIN},
	{CKR_PIN_TOO_WEAK, "CKR_PIN_TOO_WEAK", P11_RV_PIN},
	{CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED", P11_RV_PIN},
	{CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", P11_RV_FULL},
	{CKR_SESSION_COUNT, "CKR_SESSION_COUNT", P11_RV_DOWN},
	{MORE_CKR_TOKEN_RESOURCE_EXCEEDED, "CKR_TOKEN_RESOURCE_EXCEEDED", P11_RV_FULL},
	{CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", P11_RV_DOWN},
	{CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", P11_RV_DOWN},
	{CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", P11_RV_DOWN},
	{CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", P11_RV_DOWN},
	{CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID", P11_RV_DOWN},
	{CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", P11_RV_DOWN},
};
enum { MEANINGS = sizeof(meanings) / sizeof(meanings[0]) };

enum p11_rv_class p11_rv_class(CK_RV rv)
{
	for (size_t i = 0; i < MEANINGS; i++) {
		if (meanings[i].rv == rv) {
			return meanings[i].class;
		}
	}
	return P11_RV_DOUBTFUL; /* vendors' own codes among them */
}

const char *p11_rv_name(CK_RV rv)
{
	for (size_t i = 0; i < MEANINGS; i++) {
		if (meanings[i].rv == rv) {
			return meanings[i].name;
		}
	}
	return "CKR_?";
}

/* The code of a class; doubtful and stale ones only after the canary was found well. */
static kms_err class_error(enum p11_rv_class class, enum kms_code doubt)
{
	switch (class) {
	case P11_RV_OK:
		return KMS_OK;
	case P11_RV_DOUBTFUL:
	case P11_RV_CIPHERTEXT:
		return (kms_err){doubt};
	case P11_RV_STALE:
	case P11_RV_SESSION:
	case P11_RV_REFUSED:
		return KMS_ERR(INTERNAL);
	case P11_RV_PIN:
	case P11_RV_FULL:
		return KMS_ERR(CONFIG);
	case P11_RV_DOWN:
		break;
	}
	return KMS_ERR(TOKEN_DOWN);
}

kms_err p11_rv_error(CK_RV rv, const char *function)
{
	enum p11_rv_class class = p11_rv_class(rv);
	if (class != P11_RV_OK) {
		kms_log(KMS_LOG_ERROR, "token: %s: %s (0x%lx)", function, p11_rv_name(rv), rv);
	}
	/* No session and no canary yet: a doubt at start is a token that does not work. */
	if (class == P11_RV_STALE || class == P11_RV_SESSION) {
		return KMS_ERR(TOKEN_DOWN);
	}
	return class_error(class, KMS_CODE_TOKEN_DOWN);
}

/* ---- the canary ---- */

static CK_RV canary_try(struct p11 *p11, uint8_t ret_blocks[2 * P11_BLOCK])
{
	if (p11->canary == CK_INVALID_HANDLE) {
		CK_ULONG count = 0;
		CK_RV rv =
			p11_raw_find(p11, CKO_SECRET_KEY, &p11_canary_id, &p11->canary, 1, &count);
		if (rv != CKR_OK || count != 1) {
			p11->canary = CK_INVALID_HANDLE;
			return rv != CKR_OK ? rv : CKR_OBJECT_HANDLE_INVALID;
		}
	}
	CK_RV rv = p11_raw_commit_blocks(p11, p11->canary, ret_blocks);
	if (rv != CKR_OK) {
		p11->canary = CK_INVALID_HANDLE;
	}
	return rv;
}

kms_err p11_canary_check(struct p11 *p11)
{
	uint8_t blocks[2 * P11_BLOCK];
	CK_RV rv = canary_try(p11, blocks);
	if (rv != CKR_OK) {
		KMS_TRY(p11_session_mend(p11, p11_rv_class(rv) == P11_RV_SESSION));
		rv = canary_try(p11, blocks);
	}
	if (rv != CKR_OK) {
		kms_log(KMS_LOG_ERROR, "token: the canary key does not answer: %s (0x%lx)",
			p11_rv_name(rv), rv);
		return KMS_ERR(TOKEN_DOWN);
	}
	struct kms_hash answer;
	KMS_TRY(crypto_sha256_one(KMS_BYTES_OF(blocks), &answer));
	if (!kms_hash_equal(&answer, &p11->pins.canary)) {
		kms_log(KMS_LOG_ERROR, "token: the canary key gives another answer than pinned");
		return KMS_ERR(PINS);
	}
	return KMS_OK;
}

kms_err p11_canary_ask(struct p11 *p11)
{
	kms_err err = p11_canary_check(p11);
	return kms_is_ok(err) || kms_is(err, KMS_CODE_CONFIG) ? err : KMS_ERR(TOKEN_DOWN);
}

kms_err p11_ping(struct p11 *p11)
{
	if (p11->session == CK_INVALID_HANDLE) {
		return KMS_ERR(TOKEN_DOWN);
	}
	return kms_is_ok(p11_canary_ask(p11)) ? KMS_OK : KMS_ERR(TOKEN_DOWN);
}

/* ---- the loop ---- */

static kms_err handle_now(struct p11 *p11, const struct p11_ref *ref, CK_OBJECT_HANDLE *ret_object)
{
	if (ref == NULL) {
		*ret_object = CK_INVALID_HANDLE;
		return KMS_OK;
	}
	if (*ref->epoch != p11->epoch) {
		CK_OBJECT_HANDLE object;
		KMS_TRY(p11_find_one(p11, ref->class, ref->id, &object));
		*ref->object = object;
		*ref->epoch = p11->epoch;
	}
	*ret_object = *ref->object;
	return KMS_OK;
}

static kms_err judge(struct p11 *p11, const char *function, CK_RV rv, enum kms_code doubt)
{
	enum p11_rv_class class = p11_rv_class(rv);
	kms_err err = class_error(class, doubt);
	bool ask = class == P11_RV_STALE || class == P11_RV_SESSION || class == P11_RV_DOUBTFUL ||
		   class == P11_RV_REFUSED;
	if (ask) {
		kms_err asked = p11_canary_ask(p11);
		err = kms_is_ok(asked) ? err : asked;
	}
	/* A client can send bad ciphertext as often as it likes: no line of the log for each. */
	enum kms_log_level level = kms_is(err, KMS_CODE_INTEGRITY) ? KMS_LOG_DEBUG : KMS_LOG_ERROR;
	kms_log(level, "token: %s: %s (0x%lx): %s", function, p11_rv_name(rv), rv,
		kms_err_text(err));
	return err;
}

kms_err p11_attempt(struct p11 *p11, const char *function, const struct p11_ref *ref,
	enum kms_code doubt, CK_RV (*call)(struct p11 *p11, CK_OBJECT_HANDLE object, void *arg),
	void *arg)
{
	for (bool mended = false;; mended = true) {
		if (p11->session == CK_INVALID_HANDLE) {
			return p11_pin_refused(p11) ? KMS_ERR(CONFIG) : KMS_ERR(TOKEN_DOWN);
		}
		CK_OBJECT_HANDLE object;
		KMS_TRY(handle_now(p11, ref, &object));
		CK_RV rv = call(p11, object, arg);
		if (rv == CKR_OK) {
			return KMS_OK;
		}
		enum p11_rv_class class = p11_rv_class(rv);
		if (mended || (class != P11_RV_STALE && class != P11_RV_SESSION)) {
			return judge(p11, function, rv, doubt);
		}
		KMS_TRY(p11_session_mend(p11, class == P11_RV_SESSION));
		if (ref != NULL) {
			*ref->epoch = p11->epoch - 1; /* look for the object again */
		}
	}
}
