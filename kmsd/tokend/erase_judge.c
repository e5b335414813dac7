/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is an erasure approved? Judged from the signed bytes and the owner's file alone: who signed, when
 * it may happen, which KEKs die, and that its intent stands in the ledger. What kmsd says counts
 * for nothing. One thing that is wrong refuses all of it.
 */
#include "tokend_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what dies ---- */

static kms_err check_kek(
	struct tokend *tokend, const struct erasure *erasure, size_t i, char *ret_reason)
{
	const struct format_erase_kek *row = &erasure->order->keks[i];
	const struct kek *kek = keks_find(tokend->keks, &row->kek);
	char text[KMS_ID_TEXT];
	(void)kms_id_text(&row->kek, text);
	if (kek == NULL || kek->life == KEK_BORN || kek->life == KEK_ABANDONED) {
		return erase_refuse(ret_reason, "there is no KEK %s in this token", text);
	}
	if (!kms_id_equal(&kek->birth.key, &row->key) || kek->birth.version != row->version ||
		!kms_hash_equal(&kek->birth.commitment, &row->commitment)) {
		return erase_refuse(ret_reason,
			"KEK %s was born for another key or version, or is another KEK", text);
	}
	if (kek->life != KEK_COMMITTED &&
		(!kms_id_equal(&kek->mark.erasure, &erasure->order->erasure) ||
			!kms_hash_equal(&kek->mark.erase, &erasure->hash))) {
		return erase_refuse(ret_reason, "KEK %s dies by another erasure", text);
	}
	return KMS_OK;
}

bool erase_wipes(const struct format_erase *order, const struct kms_id *token)
{
	for (uint32_t i = 0; i < order->wipe_count; i++) {
		if (kms_id_equal(&order->wipes[i], token)) {
			return true;
		}
	}
	return false;
}

struct listed {
	const struct tokend *tokend;
	const struct format_erase *order;
};

/* Every KEK that lives must be among those listed. */
static kms_err is_listed(const struct kek *kek, void *arg)
{
	const struct listed *listed = arg;
	if (kek->life != KEK_COMMITTED && kek->life != KEK_ERASING) {
		return KMS_OK;
	}
	for (uint32_t i = 0; i < listed->order->kek_count; i++) {
		if (kms_id_equal(&listed->order->keks[i].token, &listed->tokend->token) &&
			kms_id_equal(&listed->order->keks[i].kek, &kek->birth.kek)) {
			return KMS_OK;
		}
	}
	return KMS_ERR(TOKEN_REFUSED);
}

static kms_err check_objects(struct tokend *tokend, const struct erasure *erasure, char *ret_reason)
{
	const struct format_erase *order = erasure->order;
	bool ours = erase_wipes(order, &tokend->token);
	if (ours) {
		struct listed listed = {tokend, order};
		if (!kms_is_ok(keks_each(tokend->keks, is_listed, &listed))) {
			return erase_refuse(ret_reason,
				"it wipes this token and does not list every living KEK of it");
		}
		if (!p11_wipe_can(&tokend->profile->p11)) {
			return erase_refuse(ret_reason,
				"a token of this kind is wiped by its owner, not by kms-tokend");
		}
	}
	for (uint32_t i = 0; i < order->kek_count; i++) {
		if (kms_id_equal(&order->keks[i].token, &tokend->token)) {
			KMS_TRY(check_kek(tokend, erasure, i, ret_reason));
			ours = true;
		}
	}
	return ours ? KMS_OK : erase_refuse(ret_reason, "it names nothing of this token");
}

/* ---- the intent ---- */

static bool holds(struct kms_bytes entry, const char *member)
{
	return entry.ptr != NULL && memmem(entry.ptr, entry.len, member, strlen(member)) != NULL;
}

/* Quotes inside a text of canonical JSON are escaped: these bytes can only be members. */
static bool is_intent(struct kms_bytes entry, const struct kms_hash *hash)
{
	char member[KMS_HASH_TEXT + 16], hex[KMS_HASH_TEXT];
	(void)snprintf(member, sizeof(member), "\"erase\":\"%s\"", kms_hash_text(hash, hex));
	return entry.len > 0 && holds(entry, "\"type\":\"destroy.execute.intent\"") &&
	       holds(entry, member);
}

static kms_err check_intent(const struct owner *owner, const struct model_erase_order *order,
	const struct kms_hash *hash, char *ret_reason)
{
	struct tlog_checkpoint checkpoint;
	struct kms_bytes text;
	struct kms_hash leaf;
	if (!is_intent(order->entry, hash)) {
		return erase_refuse(ret_reason, "the entry given is not its intent");
	}
	kms_err err = tlog_note_open(order->checkpoint, &owner->ledger, 1, &text);
	if (kms_is_ok(err)) {
		err = tlog_checkpoint_parse(text, &checkpoint);
	}
	if (!kms_is_ok(err) || strcmp(checkpoint.origin, owner->ledger.name) != 0) {
		return erase_refuse(ret_reason, "the checkpoint is not the pinned ledger's");
	}
	struct tlog_proof *proof KMS_AUTO_FREE = calloc(1, sizeof(*proof));
	if (proof == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	proof->count = order->proof_count < TLOG_PROOF_MAX ? order->proof_count : TLOG_PROOF_MAX;
	memcpy(proof->hashes, order->proof, proof->count * sizeof(proof->hashes[0]));
	KMS_TRY(tlog_leaf_hash(order->entry, &leaf));
	if (order->index >= checkpoint.size || !kms_is_ok(tlog_check_inclusion(&leaf, order->index,
						       checkpoint.size, proof, &checkpoint.root))) {
		return erase_refuse(ret_reason, "its intent is not in the ledger");
	}
	return KMS_OK;
}

/* ---- all of it ---- */

static kms_err judge(struct tokend *tokend, const struct model_erase_order *order,
	struct erasure *erasure, char *ret_reason)
{
	const struct owner *owner = tokend->owner;
	const struct format_erase *erase = erasure->order;
	int64_t at = kms_now_unix_ms();
	bool cancelled;
	if (strcmp(erase->origin, owner->ledger.name) != 0) {
		return erase_refuse(ret_reason, "it is of another ledger");
	}
	if (!kms_id_equal(&erase->tenant, &owner->tenant)) {
		return erase_refuse(ret_reason, "it is of another tenant");
	}
	KMS_TRY(erase_is_cancelled(tokend, &erase->erasure, &cancelled));
	if (cancelled) {
		return erase_refuse(ret_reason, "it was cancelled");
	}
	bool begun = erase_has_begun(tokend, erase, &erasure->hash);
	if (order->late.len > 0) {
		KMS_TRY(erase_check_late(tokend, order->late, erasure, &at, ret_reason));
		erasure->late = true;
	} else if (begun && at > erase->expires_unix_s * 1000) {
		at = erase->expires_unix_s * 1000; /* it was judged before, in time */
	}
	KMS_TRY(erase_in_time(erase, kms_now_unix_ms(), begun || erasure->late, ret_reason));
	KMS_TRY(check_objects(tokend, erasure, ret_reason));
	KMS_TRY(erase_check_people(tokend, order, erase, at, ret_reason));
	return check_intent(owner, order, &erasure->hash, ret_reason);
}

kms_err erase_judge(struct tokend *tokend, const struct model_erase_order *order,
	struct erasure *ret_erasure, char *ret_reason)
{
	struct erasure erasure = {0};
	if (tokend->owner->system || tokend->owner->approvals.needed == 0) {
		return erase_refuse(ret_reason, "this token's owner allows no erasure");
	}
	KMS_TRY(crypto_sha256_one(order->erase, &erasure.hash));
	kms_err err = format_erase_read(order->erase, &erasure.order);
	if (!kms_is_ok(err)) {
		return kms_is(err, KMS_CODE_NO_MEMORY)
			       ? err
			       : erase_refuse(ret_reason, "its bytes do not parse");
	}
	err = judge(tokend, order, &erasure, ret_reason);
	if (!kms_is_ok(err)) {
		format_erase_free(&erasure.order);
		return err;
	}
	*ret_erasure = erasure;
	return KMS_OK;
}
