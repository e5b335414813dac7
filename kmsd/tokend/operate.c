/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four operations on a KEK, one item at a time. kms-tokend finds the KEK itself, by key id, in
 * its own record of births: nobody can put another one underneath. Data keys live in kms_secret
 * from the token's answer to the sealed record.
 */
#include "tokend_int.h"

#include <stdlib.h>
#include <string.h>

/* The slot's own AAD: head, token, KEK, version, mechanism, and the tokens for custody `all`. */
static kms_err slot_encrypt(struct tokend *tokend, struct kek *kek, const struct format_item *item,
	const struct kms_secret *data_key, struct format_slot *ret_slot)
{
	struct format_slot slot = {
		.token = tokend->token,
		.kek = kek->birth.kek,
		.version = kek->birth.version,
		.mechanism = FORMAT_MECHANISM_AES_256_GCM,
	};
	uint8_t aad[FORMAT_AAD_MAX];
	size_t aad_len;
	uint8_t out[sizeof(slot.ciphertext) + sizeof(slot.tag)];
	KMS_TRY(format_slot_aad(
		&item->head, &slot, item->tokens, item->token_count, aad, &aad_len));
	KMS_TRY(keks_count_wrap(tokend, kek));
	kms_random(slot.nonce, sizeof(slot.nonce));
	KMS_TRY(p11_gcm_encrypt(tokend->p11, &kek->object, slot.nonce,
		(struct kms_bytes){aad, aad_len}, data_key, out));
	memcpy(slot.ciphertext, out, sizeof(slot.ciphertext));
	memcpy(slot.tag, out + sizeof(slot.ciphertext), sizeof(slot.tag));
	*ret_slot = slot;
	return KMS_OK;
}

static kms_err slot_decrypt(struct tokend *tokend, struct kek *kek, const struct format_item *item,
	struct kms_secret **ret_data_key)
{
	uint8_t aad[FORMAT_AAD_MAX];
	size_t aad_len;
	uint8_t in[sizeof(item->slot.ciphertext) + sizeof(item->slot.tag)];
	KMS_TRY(format_slot_aad(
		&item->head, &item->slot, item->tokens, item->token_count, aad, &aad_len));
	memcpy(in, item->slot.ciphertext, sizeof(item->slot.ciphertext));
	memcpy(in + sizeof(item->slot.ciphertext), item->slot.tag, sizeof(item->slot.tag));
	return p11_gcm_decrypt(tokend->p11, &kek->object, item->slot.nonce,
		(struct kms_bytes){aad, aad_len}, KMS_BYTES_OF(in), ret_data_key);
}

/* Is the KEK of this key, with head and tokens as at its birth? */
static bool fits(const struct format_birth *birth, const struct format_item *item)
{
	return kms_id_equal(&birth->key, &item->head.key) && birth->custody == item->head.custody &&
	       birth->delivery == item->head.delivery && birth->token_count == item->token_count &&
	       memcmp(birth->tokens, item->tokens, item->token_count * sizeof(item->tokens[0])) ==
		       0;
}

/* The KEK that this item must use: the newest of the key for a new slot, the slot's own to open
 * it. It must fit, and the key be of this session's delivery. TIMEOUT: born, and kmsd has not yet
 * said that this is recorded: a later try finds it. */
static kms_err find_kek(struct tokend *tokend, const struct session *session, bool opens,
	const struct format_item *item, struct kek **ret_kek)
{
	struct kek *kek = opens ? keks_find(tokend->keks, &item->slot.kek)
				: keks_newest(tokend->keks, &item->head.key);
	if (kek == NULL || kek->life == KEK_BORN || kek->life == KEK_ABANDONED) {
		bool born = opens ? kek != NULL && kek->life == KEK_BORN
				  : keks_has_born(tokend->keks, &item->head.key);
		return born ? KMS_ERR(TIMEOUT) : KMS_ERR(NOT_FOUND);
	}
	KMS_TRY(kek_usable(kek));
	const struct format_birth *birth = &kek->birth;
	bool same = !kek->wrong && fits(birth, item);
	if (opens) {
		same = same && kms_id_equal(&item->slot.token, &tokend->token) &&
		       item->slot.version == birth->version &&
		       item->slot.mechanism == FORMAT_MECHANISM_AES_256_GCM;
	}
	if (!same) {
		/* There is no wrapped key yet that could be damaged: it is what the client pins. */
		return opens || kek->wrong ? KMS_ERR(INTEGRITY) : KMS_ERR(PINS);
	}
	enum session_kind needed =
		birth->delivery == MODEL_DELIVERY_SEALED ? SESSION_SEALED : SESSION_CLEAR;
	if (session->kind != needed) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	*ret_kek = kek;
	return KMS_OK;
}

/* The context itself comes, not its hash: it must be of this tenant (format checked the hash). */
static kms_err check_context(struct tokend *tokend, const struct format_item *item)
{
	struct kms_id tenant;
	struct model_context *context KMS_AUTO_FREE = malloc(sizeof(*context));
	if (context == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(format_context_read(item->context, context, &tenant));
	return kms_id_equal(&tenant, &tokend->owner->tenant) ? KMS_OK : KMS_ERR(CONTEXT);
}

static kms_err make(struct tokend *tokend, struct kek *kek, const struct format_item *item,
	struct format_slot *ret_slot, struct kms_secret **ret_data_key)
{
	KMS_AUTO(kms_secret) data_key = NULL;
	KMS_TRY(p11_random(tokend->p11, LIMIT_DATA_KEY_BYTES, &data_key));
	KMS_TRY(slot_encrypt(tokend, kek, item, data_key, ret_slot));
	*ret_data_key = kms_take(&data_key);
	return KMS_OK;
}

static kms_err wrap(struct tokend *tokend, struct kek *kek, const struct format_item *item,
	struct format_slot *ret_slot)
{
	KMS_AUTO(kms_secret) data_key = NULL;
	KMS_TRY(kms_secret_copy(item->data_key_bytes, &data_key));
	return slot_encrypt(tokend, kek, item, data_key, ret_slot);
}

/* Only to a newer version of the same key, and never out of this function. One that was born with
 * another custody or delivery could never open the slot again. */
static kms_err rewrap(struct tokend *tokend, struct kek *kek, const struct format_item *item,
	struct kek **ret_kek, struct format_slot *ret_slot)
{
	struct kek *newest = keks_newest(tokend->keks, &item->head.key);
	KMS_AUTO(kms_secret) data_key = NULL;
	if (newest == NULL || newest->wrong || !fits(&newest->birth, item)) {
		return KMS_ERR(INTEGRITY);
	}
	KMS_TRY(kek_usable(newest));
	KMS_TRY(slot_decrypt(tokend, kek, item, &data_key));
	KMS_TRY(slot_encrypt(tokend, newest, item, data_key, ret_slot));
	*ret_kek = newest;
	return KMS_OK;
}

kms_err operate(struct tokend *tokend, const struct session *session, enum model_op op,
	const struct format_item *item, struct format_answer_item *answer,
	struct model_counted_use *use, struct kms_secret **ret_data_key)
{
	struct kek *kek = NULL;
	bool opens = op == MODEL_OP_UNWRAP || op == MODEL_OP_REWRAP;
	kms_err err = check_context(tokend, item);
	if (kms_is_ok(err)) {
		err = find_kek(tokend, session, opens, item, &kek);
	}
	if (kms_is_ok(err)) {
		if (op == MODEL_OP_DATAKEY) {
			err = make(tokend, kek, item, &answer->slot, ret_data_key);
		} else if (op == MODEL_OP_WRAP) {
			err = wrap(tokend, kek, item, &answer->slot);
		} else if (op == MODEL_OP_UNWRAP) {
			err = slot_decrypt(tokend, kek, item, ret_data_key);
		} else {
			err = rewrap(tokend, kek, item, &kek, &answer->slot);
		}
	}
	if (kms_is(err, KMS_CODE_TOKEN_DOWN)) {
		return err;
	}
	answer->code = err.code;
	if (!kms_is_ok(err)) {
		return KMS_OK;
	}
	answer->data_key = *ret_data_key;
	*use = (struct model_counted_use){
		.op = op,
		.spki = session->spki,
		.key = item->head.key,
		.kek = kek->birth.kek,
		.version = kek->birth.version,
		.wrapped_key = item->head.wrapped_key,
		.context = item->head.context,
	};
	return KMS_OK;
}
