/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of the ledger, signed with a key of the system token. What is signed is parsed, must
 * be of the pinned log, and must extend the last head, which is kept in a file of its own: kmsd can
 * neither fork nor shorten the ledger. The file is durable before the signature leaves.
 */
#include "tokend_int.h"

#include <stdlib.h>
#include <string.h>

struct head {
	struct p11_sign_key key;
	struct tlog_vkey vkey;
	struct kms_buf note; /* empty: nothing was signed yet */
	struct tlog_checkpoint last;
};

void head_free(struct head **head)
{
	if (head == NULL || *head == NULL) {
		return;
	}
	kms_buf_free(&(*head)->note);
	free(*head);
	*head = NULL;
}

kms_err head_open(struct tokend *tokend, struct head **ret_head)
{
	KMS_AUTO(head) head = calloc(1, sizeof(*head));
	if (head == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(p11_sign_key_find(tokend->p11, HEAD_SIGN_LABEL, &head->key));
	KMS_TRY(p11_sign_key_spki(&head->key, &spki));
	KMS_TRY(tlog_vkey_make(tokend->owner->log_origin, kms_buf_bytes(&spki), &head->vkey));
	kms_err err = state_read(&tokend->state, "head", TLOG_NOTE_MAX, &head->note);
	if (kms_is_ok(err)) {
		struct kms_bytes text;
		err = tlog_note_open(kms_buf_bytes(&head->note), &head->vkey, 1, &text);
		if (kms_is_ok(err)) {
			err = tlog_checkpoint_parse(text, &head->last);
		}
		if (!kms_is_ok(err)) {
			kms_log(KMS_LOG_ERROR, "%s/head is not a head that this token signed",
				tokend->state.dir);
			return KMS_ERR(INTEGRITY);
		}
	} else if (!kms_is(err, KMS_CODE_NOT_FOUND)) {
		return err;
	}
	*ret_head = kms_take(&head);
	return KMS_OK;
}

/* Does the new head extend the last one that was signed? */
static kms_err check_extends(const struct head *head, const struct tlog_checkpoint *checkpoint,
	const struct model_head_sign *request)
{
	if (head->note.len == 0) {
		return KMS_OK;
	}
	if (checkpoint->size < head->last.size) {
		return KMS_ERR(ROLLBACK);
	}
	if (checkpoint->size == head->last.size) {
		return kms_hash_equal(&checkpoint->root, &head->last.root) ? KMS_OK
									   : KMS_ERR(INTEGRITY);
	}
	struct tlog_proof proof = {.count = request->proof_count};
	memcpy(proof.hashes, request->proof, request->proof_count * sizeof(proof.hashes[0]));
	return tlog_check_consistency(
		head->last.size, &head->last.root, checkpoint->size, &checkpoint->root, &proof);
}

static kms_err sign_note(struct tokend *tokend, struct kms_bytes text, struct kms_buf *ret_note)
{
	uint8_t raw[P11_SIG];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	KMS_TRY(p11_sign(tokend->p11, &tokend->head->key, text, raw));
	KMS_TRY(crypto_sig_raw_to_der(raw, &der));
	KMS_TRY(tlog_note_line(&tokend->head->vkey, kms_buf_bytes(&der), &line));
	KMS_AUTO_WRITER note = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_bytes(&note, text);
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	return kms_writer_take(&note, ret_note);
}

kms_err head_sign(
	struct tokend *tokend, const struct model_head_sign *request, struct kms_bytes *ret_note)
{
	struct head *head = tokend->head;
	struct tlog_checkpoint checkpoint;
	KMS_TRY(tlog_checkpoint_parse(request->checkpoint, &checkpoint));
	if (strcmp(checkpoint.origin, tokend->owner->log_origin) != 0 || checkpoint.size == 0) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	KMS_TRY(check_extends(head, &checkpoint, request));
	if (head->note.len == 0 || checkpoint.size > head->last.size) {
		KMS_AUTO_BUF note = {0};
		KMS_TRY(sign_note(tokend, request->checkpoint, &note));
		KMS_TRY(state_write(&tokend->state, "head", kms_buf_bytes(&note)));
		kms_buf_free(&head->note);
		head->note = note;
		note = (struct kms_buf){0};
		head->last = checkpoint;
	}
	*ret_note = kms_buf_bytes(&head->note);
	return KMS_OK;
}

kms_err head_last(const struct head *head, struct kms_bytes *ret_note)
{
	*ret_note = kms_buf_bytes(&head->note);
	return KMS_OK;
}
