/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of the token in kms-tokend: find, read attributes, list for the sweep, destroy and
 * confirm. It must never call an object gone that only one return code called gone.
 */
#include "p11_raw_int.h"

/* ---- find ---- */

CK_RV p11_raw_find(struct p11 *p11, CK_OBJECT_CLASS class, const struct kms_id *id,
	CK_OBJECT_HANDLE *ret_objects, CK_ULONG max, CK_ULONG *ret_count)
{
	CK_FUNCTION_LIST_PTR fn = p11->module.fn;
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE wanted[] = {
		{CKA_CLASS, &class, sizeof(class)},
		{CKA_TOKEN, &yes, sizeof(yes)},
		{CKA_ID, p11_lend(id->b), sizeof(id->b)},
	};
	CK_RV rv = fn->C_FindObjectsInit(p11->session, wanted, sizeof(wanted) / sizeof(wanted[0]));
	if (rv != CKR_OK) {
		return rv;
	}
	CK_ULONG count = 0;
	rv = fn->C_FindObjects(p11->session, ret_objects, max, &count);
	CK_RV end = fn->C_FindObjectsFinal(p11->session);
	if (rv == CKR_OK && end == CKR_OK) {
		*ret_count = count;
	}
	return rv != CKR_OK ? rv : end;
}

struct find {
	CK_OBJECT_CLASS class;
	const struct kms_id *id;
	CK_OBJECT_HANDLE objects[2]; /* two: to notice a duplicate CKA_ID */
	CK_ULONG count;
};

static CK_RV find_call(struct p11 *p11, CK_OBJECT_HANDLE object, void *arg)
{
	(void)object;
	struct find *find = arg;
	return p11_raw_find(p11, find->class, find->id, find->objects, 2, &find->count);
}

static kms_err find(struct p11 *p11, struct find *find)
{
	return p11_attempt(p11, "C_FindObjects", NULL, KMS_CODE_INTERNAL, find_call, find);
}

kms_err p11_find_one(struct p11 *p11, CK_OBJECT_CLASS class, const struct kms_id *id,
	CK_OBJECT_HANDLE *ret_object)
{
	struct find result = {.class = class, .id = id};
	uint64_t epoch = p11->epoch;
	KMS_TRY(find(p11, &result));
	if (result.count == 0) {
		/* A token that lost its directory, or its login, finds nothing and says OK. */
		KMS_TRY(p11_canary_ask(p11));
		if (p11->epoch != epoch) {
			epoch = p11->epoch;
			KMS_TRY(find(p11, &result));
		}
	}
	if (result.count == 0) {
		return p11->epoch == epoch ? KMS_ERR(NOT_FOUND) : KMS_ERR(TOKEN_DOWN);
	}
	if (result.count > 1) {
		char text[KMS_ID_TEXT];
		kms_log(KMS_LOG_ERROR, "token: several objects have CKA_ID %s",
			kms_id_text(id, text));
		return KMS_ERR(EXISTS);
	}
	*ret_object = result.objects[0];
	return KMS_OK;
}

kms_err p11_expect_none(struct p11 *p11, CK_OBJECT_CLASS class, const struct kms_id *id)
{
	CK_OBJECT_HANDLE object;
	kms_err err = p11_find_one(p11, class, id, &object);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_OK;
	}
	return kms_is_ok(err) ? KMS_ERR(EXISTS) : err;
}

/* ---- attributes ---- */

struct attribute {
	CK_OBJECT_HANDLE object;
	uint64_t epoch;
	CK_ATTRIBUTE attribute;
	bool missing;
};

static CK_RV attribute_call(struct p11 *p11, CK_OBJECT_HANDLE none, void *arg)
{
	(void)none;
	struct attribute *wanted = arg;
	if (wanted->epoch != p11->epoch) {
		return CKR_OBJECT_HANDLE_INVALID; /* it may mean another object by now */
	}
	CK_ATTRIBUTE attribute = wanted->attribute;
	CK_RV rv = p11->module.fn->C_GetAttributeValue(p11->session, wanted->object, &attribute, 1);
	/* v2.40, 5.7: answers, not failures. VALUE_INVALID is SoftHSM's for one never written. */
	wanted->missing = rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
			  (rv == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION);
	if (wanted->missing) {
		return CKR_OK;
	}
	if (rv == CKR_OK) {
		wanted->attribute.ulValueLen = attribute.ulValueLen;
	}
	return rv;
}

/* The handle is used as it is: whoever asks has just made or found it. */
static kms_err attribute_get(struct p11 *p11, struct attribute *wanted)
{
	return p11_attempt(
		p11, "C_GetAttributeValue", NULL, KMS_CODE_INTERNAL, attribute_call, wanted);
}

kms_err p11_attribute_flag(
	struct p11 *p11, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, enum p11_flag *ret_flag)
{
	CK_BBOOL value = CK_FALSE;
	struct attribute wanted = {object, p11->epoch, {type, &value, sizeof(value)}, false};
	KMS_TRY(attribute_get(p11, &wanted));
	if (wanted.missing || wanted.attribute.ulValueLen != sizeof(value)) {
		*ret_flag = P11_UNKNOWN;
	} else {
		*ret_flag = value != CK_FALSE ? P11_YES : P11_NO;
	}
	return KMS_OK;
}

kms_err p11_attribute_ulong(
	struct p11 *p11, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_ULONG *ret_value)
{
	CK_ULONG value = 0;
	struct attribute wanted = {object, p11->epoch, {type, &value, sizeof(value)}, false};
	KMS_TRY(attribute_get(p11, &wanted));
	bool known = !wanted.missing && wanted.attribute.ulValueLen == sizeof(value);
	*ret_value = known ? value : CK_UNAVAILABLE_INFORMATION;
	return KMS_OK;
}

kms_err p11_attribute_bytes(struct p11 *p11, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
	void *ret_bytes, size_t max, size_t *ret_len)
{
	struct attribute wanted = {object, p11->epoch, {type, ret_bytes, (CK_ULONG)max}, false};
	KMS_TRY(attribute_get(p11, &wanted));
	*ret_len = wanted.missing ? 0 : wanted.attribute.ulValueLen;
	return *ret_len <= max ? KMS_OK : KMS_ERR(INTERNAL);
}

kms_err p11_attributes_expect(
	struct p11 *p11, CK_OBJECT_HANDLE object, const struct p11_expected *expected, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum p11_flag flag;
		KMS_TRY(p11_attribute_flag(p11, object, expected[i].type, &flag));
		if (flag != expected[i].flag) {
			kms_log(KMS_LOG_ERROR, "token: a new object has not %s = %s: refused",
				expected[i].name, expected[i].flag == P11_YES ? "true" : "false");
			return KMS_ERR(CONFIG);
		}
	}
	return KMS_OK;
}

/* ---- make and destroy ---- */

kms_err p11_create_begin(struct p11 *p11)
{
	return p11->profile->serialise_create ? p11_lock_take(p11->lock) : KMS_OK;
}

void p11_create_end(struct p11 *p11)
{
	if (p11->profile->serialise_create) {
		p11_lock_drop(p11->lock);
	}
}

/* Does the token deny the handle? */
static bool handle_is_dead(struct p11 *p11, CK_OBJECT_HANDLE object)
{
	CK_OBJECT_CLASS class = 0;
	CK_ATTRIBUTE attribute = {CKA_CLASS, &class, sizeof(class)};
	CK_RV rv = p11->module.fn->C_GetAttributeValue(p11->session, object, &attribute, 1);
	return rv == CKR_OBJECT_HANDLE_INVALID;
}

/* NOT_FOUND when the handle is dead and the canary of the same epoch well, OK when it lives. */
static kms_err handle_look(struct p11 *p11, CK_OBJECT_HANDLE object, uint64_t epoch)
{
	bool dead = handle_is_dead(p11, object);
	KMS_TRY(p11_canary_ask(p11));
	if (p11->epoch != epoch) {
		return KMS_ERR(TOKEN_DOWN);
	}
	return dead ? KMS_ERR(NOT_FOUND) : KMS_OK;
}

struct destroy {
	CK_OBJECT_HANDLE object;
	uint64_t epoch;
};

static CK_RV destroy_call(struct p11 *p11, CK_OBJECT_HANDLE none, void *arg)
{
	(void)none;
	const struct destroy *destroy = arg;
	if (destroy->epoch != p11->epoch) {
		return CKR_OBJECT_HANDLE_INVALID; /* it may mean another object by now */
	}
	return p11->module.fn->C_DestroyObject(p11->session, destroy->object);
}

kms_err p11_destroy_confirmed(struct p11 *p11, CK_OBJECT_HANDLE object, uint64_t epoch)
{
	struct destroy destroy = {object, epoch};
	if (p11->session == CK_INVALID_HANDLE) {
		return KMS_ERR(TOKEN_DOWN);
	}
	KMS_TRY(handle_look(p11, object, epoch));
	KMS_TRY(p11_create_begin(p11));
	kms_err err = p11_attempt(
		p11, "C_DestroyObject", NULL, KMS_CODE_INTERNAL, destroy_call, &destroy);
	p11_create_end(p11);
	KMS_TRY(err);
	err = handle_look(p11, object, epoch);
	if (kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "token: C_DestroyObject said OK, but the object lives");
		return KMS_ERR(INTERNAL);
	}
	return kms_is(err, KMS_CODE_NOT_FOUND) ? p11_softhsm_sync(p11->profile) : err;
}

static CK_RV kek_destroy_call(struct p11 *p11, CK_OBJECT_HANDLE object, void *arg)
{
	(void)arg;
	return p11->module.fn->C_DestroyObject(p11->session, object);
}

kms_err p11_kek_destroy(struct p11 *p11, const struct kms_id *id)
{
	if (kms_id_is_zero(id) || kms_id_equal(id, &p11_canary_id)) {
		return KMS_ERR(ARGUMENT);
	}
	struct p11_kek kek = {.id = *id, .epoch = p11->epoch - 1}; /* it is looked for first */
	struct p11_ref ref = {CKO_SECRET_KEY, &kek.id, &kek.object, &kek.epoch};
	KMS_TRY(p11_create_begin(p11));
	kms_err err = p11_attempt(
		p11, "C_DestroyObject", &ref, KMS_CODE_INTERNAL, kek_destroy_call, NULL);
	p11_create_end(p11);
	KMS_TRY(err);
	CK_OBJECT_HANDLE object;
	err = p11_find_one(p11, CKO_SECRET_KEY, id, &object);
	if (kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "token: C_DestroyObject said OK, but the KEK is found");
		return KMS_ERR(INTERNAL);
	}
	/* NOT_FOUND is what the canary confirmed. */
	return kms_is(err, KMS_CODE_NOT_FOUND) ? p11_softhsm_sync(p11->profile) : err;
}
