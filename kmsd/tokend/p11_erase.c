/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a KEK: every object of its commitment destroyed, and its absence looked for, first
 * with the handle and the session that knew it, then after C_Finalize and a new start, since a
 * module may go on with a key that C_DestroyObject removed (an operation that is active, a cache).
 * It must never answer OK while anything in the token has the id or the commitment.
 */
#include "p11_raw_int.h"

#include <stdlib.h>
#include <string.h>

enum { CANARY_BYTES = 32 };
static const char canary_aad[] = "kmsd/erase-canary/1";

/* ---- every object that is the KEK ---- */

struct copies {
	struct p11_object *ptr; /* the first count are the KEK, or have its id */
	size_t count;
	uint32_t searched;
};

static bool is_answering(const struct p11_object *object, const struct kms_hash *commitment)
{
	return object->file[0] == '\0' && kms_hash_equal(&object->commitment, commitment);
}

static kms_err find_copies(struct p11 *p11, const struct kms_id *id,
	const struct kms_hash *commitment, struct copies *ret_copies)
{
	struct p11_object *objects = NULL;
	size_t count, found = 0;
	bool other = false;
	KMS_TRY(p11_object_list(p11, &objects, &count));
	for (size_t i = 0; i < count; i++) {
		bool same = is_answering(&objects[i], commitment);
		other = other || (kms_id_equal(&objects[i].id, id) && !same);
		if (same) {
			objects[found++] = objects[i];
		}
	}
	if (other) {
		char text[KMS_ID_TEXT];
		kms_log(KMS_LOG_ERROR, "token: %s is not the KEK that was born under this id",
			kms_id_text(id, text));
		free(objects);
		return KMS_ERR(INTEGRITY);
	}
	*ret_copies = (struct copies){objects, found, (uint32_t)count};
	return KMS_OK;
}

static void copies_free(struct copies *copies)
{
	free(copies->ptr);
}

kms_err p11_kek_is_there(
	struct p11 *p11, const struct kms_id *id, const struct kms_hash *commitment)
{
	__attribute__((cleanup(copies_free))) struct copies copies = {0};
	KMS_TRY(find_copies(p11, id, commitment, &copies));
	return copies.count > 0 ? KMS_OK : KMS_ERR(NOT_FOUND);
}

/* ---- the canary: something that only this KEK opens ---- */

struct canary {
	struct p11_kek kek;
	uint8_t nonce[P11_GCM_NONCE];
	uint8_t sealed[CANARY_BYTES + P11_GCM_TAG];
	struct kms_secret *text;
};

static void canary_free(struct canary *canary)
{
	kms_secret_free(&canary->text);
}

static kms_err canary_open(struct p11 *p11, struct canary *canary, bool *ret_opens)
{
	KMS_AUTO(kms_secret) opened = NULL;
	kms_err err = p11_gcm_decrypt(p11, &canary->kek, canary->nonce, kms_bytes_str(canary_aad),
		KMS_BYTES_OF(canary->sealed), &opened);
	*ret_opens =
		kms_is_ok(err) && kms_secret_len(opened) == CANARY_BYTES &&
		kms_equal_ct(kms_secret_cptr(opened), kms_secret_cptr(canary->text), CANARY_BYTES);
	return err;
}

static kms_err canary_make(struct p11 *p11, struct canary *canary)
{
	bool opens;
	kms_random(canary->nonce, sizeof(canary->nonce));
	KMS_TRY(p11_random(p11, CANARY_BYTES, &canary->text));
	KMS_TRY(p11_gcm_encrypt(p11, &canary->kek, canary->nonce, kms_bytes_str(canary_aad),
		canary->text, canary->sealed));
	KMS_TRY(canary_open(p11, canary, &opens));
	return opens ? KMS_OK : KMS_ERR(INTERNAL);
}

/* The token refuses it, and is well. */
static kms_err canary_expect_dead(struct p11 *p11, struct canary *canary)
{
	bool opens;
	kms_err err = canary_open(p11, canary, &opens);
	if (kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "token: C_DestroyObject said OK, but the KEK still opens "
				       "what it encrypted");
		return KMS_ERR(INTERNAL);
	}
	/* All three only after the token's own canary answered. */
	bool dead = kms_is(err, KMS_CODE_NOT_FOUND) || kms_is(err, KMS_CODE_INTEGRITY) ||
		    kms_is(err, KMS_CODE_INTERNAL);
	return dead ? KMS_OK : err;
}

/* ---- the end ---- */

static kms_err destroy_copies(struct p11 *p11, const struct copies *copies, struct canary *canary)
{
	for (size_t i = 0; i < copies->count; i++) {
		KMS_TRY(p11_destroy_confirmed(p11, copies->ptr[i].object, copies->ptr[i].epoch));
	}
	return canary_expect_dead(p11, canary);
}

kms_err p11_kek_erase(struct p11 *p11, const struct kms_id *id, const struct kms_hash *commitment,
	struct p11_erased *ret_erased)
{
	__attribute__((cleanup(copies_free))) struct copies copies = {0};
	__attribute__((cleanup(copies_free))) struct copies left = {0};
	__attribute__((cleanup(canary_free))) struct canary canary = {0};
	struct p11_erased erased = {.rv = CKR_OK};
	KMS_TRY(find_copies(p11, id, commitment, &copies));
	if (copies.count > 1) {
		kms_log(KMS_LOG_WARNING, "token: %zu objects are one KEK: all are destroyed",
			copies.count);
	}
	if (copies.count > 0) {
		const struct p11_object *first = &copies.ptr[0];
		canary.kek = (struct p11_kek){first->id, first->object, first->epoch};
		KMS_TRY(canary_make(p11, &canary));
		KMS_TRY(destroy_copies(p11, &copies, &canary));
		erased.found = true;
		erased.canary_before = true;
	}
	KMS_TRY(p11_reopen(p11));
	if (erased.found) {
		KMS_TRY(canary_expect_dead(p11, &canary));
	}
	KMS_TRY(find_copies(p11, id, commitment, &left));
	if (left.count > 0) {
		kms_log(KMS_LOG_ERROR, "token: C_DestroyObject said OK, but the KEK is found");
		return KMS_ERR(INTERNAL);
	}
	erased.searched = left.searched;
	*ret_erased = erased;
	return KMS_OK;
}
