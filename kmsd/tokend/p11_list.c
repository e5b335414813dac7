/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list behind kms-tokend's start-up sweep: every secret key of the token, those included that
 * a killed C_GenerateKey left half made. It only looks; what is swept is its caller's judgement,
 * from durable births.
 */
#include "p11_raw_int.h"

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

enum { FIND_BATCH = 64 };

/* ---- every handle ---- */

struct handles {
	CK_OBJECT_HANDLE *ptr;
	size_t count;
	size_t room;
	bool no_memory;
};

static bool handles_add(struct handles *handles, const CK_OBJECT_HANDLE *more, CK_ULONG count)
{
	if (handles->count + count > handles->room) {
		size_t room = handles->room * 2 + FIND_BATCH;
		CK_OBJECT_HANDLE *ptr = reallocarray(handles->ptr, room, sizeof(*ptr));
		if (ptr == NULL) {
			handles->no_memory = true;
			return false;
		}
		handles->ptr = ptr;
		handles->room = room;
	}
	memcpy(handles->ptr + handles->count, more, count * sizeof(*more));
	handles->count += count;
	return true;
}

/* No template: an object that was cut short may lack CKA_CLASS and CKA_TOKEN. */
static CK_RV handles_call(struct p11 *p11, CK_OBJECT_HANDLE none, void *arg)
{
	(void)none;
	CK_FUNCTION_LIST_PTR fn = p11->module.fn;
	struct handles *handles = arg;
	CK_OBJECT_HANDLE batch[FIND_BATCH];
	CK_ULONG count = 0;
	handles->count = 0;
	CK_RV rv = fn->C_FindObjectsInit(p11->session, NULL, 0);
	if (rv != CKR_OK) {
		return rv;
	}
	do {
		rv = fn->C_FindObjects(p11->session, batch, FIND_BATCH, &count);
	} while (rv == CKR_OK && count > 0 && handles_add(handles, batch, count) &&
		 handles->count <= P11_OBJECTS_MAX);
	CK_RV end = fn->C_FindObjectsFinal(p11->session);
	return rv != CKR_OK ? rv : end;
}

/* ---- one object ---- */

/* What a half-made object cannot say is missing; what the token cannot say is an error. */
static kms_err missing_is_ok(kms_err err)
{
	return kms_is(err, KMS_CODE_INTERNAL) ? KMS_OK : err;
}

struct attempt {
	CK_OBJECT_HANDLE object;
	uint8_t blocks[2 * P11_BLOCK];
};

static CK_RV try_call(struct p11 *p11, CK_OBJECT_HANDLE none, void *arg)
{
	(void)none;
	struct attempt *attempt = arg;
	return p11_raw_commit_blocks(p11, attempt->object, attempt->blocks);
}

/* Does this AES key answer? Then its commitment. */
static kms_err try_key(struct p11 *p11, struct p11_object *found, bool *ret_answers)
{
	struct attempt attempt = {.object = found->object};
	kms_err err = p11_attempt(p11, "C_Encrypt", NULL, KMS_CODE_INTERNAL, try_call, &attempt);
	*ret_answers = kms_is_ok(err);
	return kms_is_ok(err) ? crypto_sha256_one(KMS_BYTES_OF(attempt.blocks), &found->commitment)
			      : missing_is_ok(err);
}

static kms_err look(
	struct p11 *p11, CK_OBJECT_HANDLE object, struct p11_object *ret_found, bool *ret_ours)
{
	struct p11_object found = {.object = object, .epoch = p11->epoch};
	CK_ULONG class = CK_UNAVAILABLE_INFORMATION;
	CK_ULONG type = CK_UNAVAILABLE_INFORMATION;
	CK_ULONG bytes = CK_UNAVAILABLE_INFORMATION;
	char label[P11_LABEL_MAX] = "";
	uint8_t id[sizeof(found.id.b)] = {0};
	size_t label_len = 0;
	size_t id_len = 0;
	KMS_TRY(missing_is_ok(p11_attribute_ulong(p11, object, CKA_CLASS, &class)));
	/* SoftHSM begins an object as CKO_VENDOR_DEFINED. */
	*ret_ours = class == CKO_SECRET_KEY || class == CKO_VENDOR_DEFINED ||
		    class == CK_UNAVAILABLE_INFORMATION;
	if (!*ret_ours) {
		return KMS_OK;
	}
	KMS_TRY(missing_is_ok(p11_attribute_bytes(p11, object, CKA_ID, id, sizeof(id), &id_len)));
	KMS_TRY(missing_is_ok(p11_attribute_ulong(p11, object, CKA_KEY_TYPE, &type)));
	KMS_TRY(missing_is_ok(p11_attribute_ulong(p11, object, CKA_VALUE_LEN, &bytes)));
	KMS_TRY(missing_is_ok(
		p11_attribute_bytes(p11, object, CKA_LABEL, label, sizeof(label), &label_len)));
	if (id_len == sizeof(id)) {
		memcpy(found.id.b, id, sizeof(id));
	}
	*ret_ours = !kms_id_equal(&found.id, &p11_canary_id);
	bool named =
		label_len == strlen(P11_KEK_LABEL) && memcmp(label, P11_KEK_LABEL, label_len) == 0;
	/* A copy may have lost id and label. */
	if (class == CKO_SECRET_KEY && type == CKK_AES && *ret_ours) {
		bool answers;
		KMS_TRY(try_key(p11, &found, &answers));
		found.whole =
			answers && bytes == P11_KEK_BYTES && named && !kms_id_is_zero(&found.id);
	}
	*ret_found = found;
	return KMS_OK;
}

/* ---- the list ---- */

struct list {
	struct p11_object *ptr;
	size_t count;
	size_t room;
};

static kms_err list_add(struct list *list, const struct p11_object *object)
{
	if (list->count == P11_OBJECTS_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	if (list->count == list->room) {
		size_t room = list->room * 2 + FIND_BATCH;
		struct p11_object *ptr = reallocarray(list->ptr, room, sizeof(*ptr));
		if (ptr == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		list->ptr = ptr;
		list->room = room;
	}
	list->ptr[list->count++] = *object;
	return KMS_OK;
}

static kms_err add_litter(void *arg, const char *file)
{
	struct p11_object object = {0};
	if (strlen(file) >= sizeof(object.file)) {
		return KMS_ERR(INTERNAL);
	}
	memcpy(object.file, file, strlen(file));
	return list_add(arg, &object);
}

static kms_err list_all(struct p11 *p11, const struct handles *handles, struct list *list)
{
	for (size_t i = 0; i < handles->count; i++) {
		struct p11_object object;
		bool ours = false;
		KMS_TRY(look(p11, handles->ptr[i], &object, &ours));
		if (ours) {
			KMS_TRY(list_add(list, &object));
		}
	}
	return p11_softhsm_litter(p11->profile, add_litter, list);
}

kms_err p11_object_list(struct p11 *p11, struct p11_object **ret_objects, size_t *ret_count)
{
	struct handles handles = {0};
	struct list list = {0};
	/* A token that lost its directory, or its login, lists nothing and says OK. */
	KMS_TRY(p11_ping(p11));
	uint64_t epoch = p11->epoch;
	kms_err err =
		p11_attempt(p11, "C_FindObjects", NULL, KMS_CODE_INTERNAL, handles_call, &handles);
	if (kms_is_ok(err) && handles.no_memory) {
		err = KMS_ERR(NO_MEMORY);
	}
	if (kms_is_ok(err)) {
		err = list_all(p11, &handles, &list);
	}
	free(handles.ptr);
	if (kms_is_ok(err)) {
		err = p11_ping(p11);
	}
	if (kms_is_ok(err) && epoch != p11->epoch) {
		err = KMS_ERR(TOKEN_DOWN); /* a new login in between: handles of two epochs */
	}
	if (!kms_is_ok(err)) {
		free(list.ptr);
		return err;
	}
	*ret_objects = list.ptr;
	*ret_count = list.count;
	return KMS_OK;
}

kms_err p11_object_destroy(struct p11 *p11, const struct p11_object *object)
{
	if (kms_id_equal(&object->id, &p11_canary_id)) {
		return KMS_ERR(ARGUMENT);
	}
	if (object->file[0] != '\0') {
		return p11_softhsm_litter_remove(p11->profile, object->file);
	}
	return p11_destroy_confirmed(p11, object->object, object->epoch);
}
