/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One KEK or one wipe of an erasure that is carried out: the order that its kms-tokend judges, what
 * its statements have to say, and the entry that holds them. Nothing is recorded as destroyed but
 * by statements that say so. Runs in kmsd.
 */
#include "go_on_int.h"

#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the order ---- */

/* Another token's destroy statement that began while the approvals were good: with it a token that
 * was away takes them late. Empty where there is none. */
static kms_err find_late(struct go_on_work *work, struct kms_buf *ret_statement)
{
	struct store *store = work->service->parts.store;
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	struct record_head *head KMS_AUTO_FREE = calloc(1, sizeof(*head));
	if (change == NULL || head == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < work->row_count && ret_statement->len == 0; i++) {
		const struct model_erase_row *row = &work->rows[i];
		struct model_entry *entry KMS_AUTO_FREE = NULL;
		struct format_statement said;
		struct kms_bytes part, signature;
		size_t count = 0;
		if (!row->done || kms_id_is_zero(&row->kek) ||
			kms_id_equal(&row->token, &work->row.id)) {
			continue;
		}
		KMS_TRY(store_entries_get(store, NULL, row->seq, 1, &entry, &count));
		if (count != 1) {
			return KMS_ERR(NOT_FOUND);
		}
		kms_err err = record_entry_read(kms_buf_bytes(&entry->bytes), head, change);
		kms_buf_free(&entry->bytes);
		KMS_TRY(err);
		struct kms_buf *statement = &change->u.erase_done.statement;
		if (change->type == MODEL_CHANGE_ERASE_RESULT &&
			kms_is_ok(format_statement_read(
				kms_buf_bytes(statement), &said, &part, &signature)) &&
			said.u.destroy.begun_unix_ms >= work->erasure.not_before_unix_s * 1000 &&
			said.u.destroy.begun_unix_ms <= work->erasure.expires_unix_s * 1000) {
			*ret_statement = *statement;
			*statement = (struct kms_buf){0};
		}
		model_change_free(change);
	}
	return KMS_OK;
}

/* Those that this token's owner pins: one more that it does not know would make it refuse. */
static kms_err fill_approvals(struct go_on_work *work, struct model_erase_order *order)
{
	struct model_erase_pins pins = {0};
	KMS_TRY(token_erase_pins(work->token, &pins));
	if (pins.count > LIMIT_APPROVALS) {
		return KMS_ERR(FORMAT);
	}
	for (size_t i = 0; i < work->erasure.approval_count; i++) {
		const struct model_signed *by = &work->erasure.approvals[i];
		uint32_t at = order->approval_count;
		if (at == LIMIT_APPROVALS ||
			!approve_is_pinned(&pins, &by->principal, kms_buf_bytes(&by->spki))) {
			continue;
		}
		order->approvals[at].approver = by->principal;
		order->approvals[at].spki = kms_buf_bytes(&by->spki);
		memcpy(order->approvals[at].signature, by->signature, MODEL_SIGNATURE);
		order->approval_count = at + 1;
	}
	return KMS_OK;
}

kms_err go_on_open(struct go_on_work *work)
{
	KMS_AUTO_BUF late = {0};
	struct model_erase_order *order KMS_AUTO_FREE = calloc(1, sizeof(*order));
	if (order == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	order->erase = kms_buf_bytes(&work->erasure.bytes);
	order->certificate = kms_buf_bytes(&work->erasure.certificate);
	memcpy(order->signature, work->erasure.signature, MODEL_SIGNATURE);
	KMS_TRY(fill_approvals(work, order));
	order->entry = kms_buf_bytes(&work->entry);
	order->index = work->erasure.intent_seq;
	order->proof_count = work->proof.count;
	memcpy(order->proof, work->proof.hashes, work->proof.count * sizeof(order->proof[0]));
	order->checkpoint = kms_buf_bytes(&work->checkpoint);
	/* One that had begun in time by its own mark needs nobody else's word. */
	kms_err err = token_erase_open(work->token, order, work->reason);
	if (!kms_is(err, KMS_CODE_TOKEN_REFUSED) ||
		kms_now_unix_ms() / 1000 < work->erasure.expires_unix_s) {
		return err;
	}
	KMS_TRY(find_late(work, &late));
	order->late = kms_buf_bytes(&late);
	/* What counts as the reason is why it needs another's word, not what it says to that. */
	char ignored[LIMIT_REASON + 1];
	return late.len == 0 ? err : token_erase_open(work->token, order, ignored);
}

/* ---- what the statements say ---- */

static bool is_about(const struct go_on_work *work, const struct format_erased *what,
	const struct format_erase_kek *kek)
{
	return kms_id_equal(&what->erasure, &work->erasure.id) &&
	       kms_hash_equal(&what->erase, &work->hash) && kms_id_equal(&what->key, &kek->key) &&
	       what->version == kek->version && kms_id_equal(&what->kek, &kek->kek) &&
	       kms_hash_equal(&what->commitment, &kek->commitment);
}

/* Its own word, under its registered key, of that type. */
static kms_err read_statement(const struct go_on_work *work, const struct kms_buf *bytes,
	enum format_statement_type type, struct format_statement *ret_statement)
{
	KMS_TRY(ledger_statement_check(
		kms_buf_bytes(bytes), work->row.statement_vkey, ret_statement));
	bool right = ret_statement->type == type &&
		     kms_id_equal(&ret_statement->token, &work->row.id) &&
		     kms_id_equal(&ret_statement->tenant, &work->erasure.tenant);
	return right ? KMS_OK : KMS_ERR(INTEGRITY);
}

static kms_err alarm(struct go_on_work *work, const struct kms_id *key, const char *what,
	const struct kms_id *kek)
{
	char text[LIMIT_REASON + 1], id[KMS_ID_TEXT];
	(void)snprintf(text, sizeof(text), "%s %s", what, kms_id_text(kek, id));
	if (!work->fresh) {
		kms_log(KMS_LOG_ERROR, "%s", text);
		return KMS_ERR(INTEGRITY);
	}
	KMS_TRY(recover_alarm(work->service, &work->row, key, text));
	return KMS_ERR(INTEGRITY);
}

/* OK when both say, about this KEK and these signed bytes, that it is gone. */
static kms_err check_result(struct go_on_work *work, const struct format_erase_kek *kek,
	const struct kms_buf *destroy, const struct kms_buf *absence)
{
	struct format_statement said;
	KMS_TRY(read_statement(work, destroy, FORMAT_STATEMENT_DESTROY, &said));
	if (!is_about(work, &said.u.destroy.what, kek)) {
		return KMS_ERR(INTEGRITY);
	}
	if (said.u.destroy.rv != 0 || said.u.destroy.canary_after) {
		return alarm(work, &kek->key,
			"destroyed by its token's word, and still at work: KEK", &kek->kek);
	}
	KMS_TRY(read_statement(work, absence, FORMAT_STATEMENT_ABSENCE, &said));
	if (!is_about(work, &said.u.absence.what, kek)) {
		return KMS_ERR(INTEGRITY);
	}
	return said.u.absence.matched == 0
		       ? KMS_OK
		       : alarm(work, &kek->key,
				 "destroyed by its token's word, and still found: KEK", &kek->kek);
}

static kms_err check_wipe(struct go_on_work *work, const struct kms_buf *statement)
{
	struct format_statement said;
	KMS_TRY(read_statement(work, statement, FORMAT_STATEMENT_WIPE, &said));
	bool right = kms_id_equal(&said.u.wipe.erasure, &work->erasure.id) &&
		     kms_hash_equal(&said.u.wipe.erase, &work->hash) && said.u.wipe.initialised;
	return right ? KMS_OK : KMS_ERR(INTEGRITY);
}

/* ---- one row ---- */

/* The change takes over what the buffers own. */
static kms_err record_done(struct go_on_work *work, const struct model_erase_row *row,
	struct kms_buf *statement, struct kms_buf *absence)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	bool wipe = kms_id_is_zero(&row->kek);
	change->type = wipe ? MODEL_CHANGE_ERASE_WIPE : MODEL_CHANGE_ERASE_RESULT;
	change->actor = *work->actor;
	change->tenant = work->erasure.tenant;
	change->u.erase_done.erasure = work->erasure.id;
	change->u.erase_done.token = row->token;
	change->u.erase_done.kek = row->kek;
	change->u.erase_done.statement = *statement;
	*statement = (struct kms_buf){0};
	if (!wipe) {
		change->u.erase_done.key = row->key;
		change->u.erase_done.version = row->version;
		change->u.erase_done.absence = *absence;
		*absence = (struct kms_buf){0};
	}
	uint64_t seq;
	kms_err err = ledger_change(work->service->parts.ledger, change, &seq);
	model_change_free(change);
	return err;
}

static const struct format_erase_kek *signed_kek(
	const struct format_erase *erase, const struct model_erase_row *row)
{
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (kms_id_equal(&erase->keks[i].kek, &row->kek) &&
			kms_id_equal(&erase->keks[i].token, &row->token)) {
			return &erase->keks[i];
		}
	}
	return NULL;
}

static kms_err erase_kek(struct go_on_work *work, const struct model_erase_row *row)
{
	KMS_AUTO_BUF destroy = {0};
	KMS_AUTO_BUF absence = {0};
	const struct format_erase_kek *kek = signed_kek(work->erase, row);
	if (kek == NULL) {
		return KMS_ERR(INTERNAL);
	}
	kms_err err = token_erase_kek(
		work->token, &work->erasure.id, &kek->kek, &destroy, &absence, work->reason);
	if (kms_is(err, KMS_CODE_INTERNAL)) {
		/* kms-tokend's answer when a module says OK and goes on with the KEK. */
		KMS_IGNORE(alarm(work, &kek->key,
			"its token was told to destroy it and did not: KEK", &kek->kek));
	}
	KMS_TRY(err);
	KMS_TRY(check_result(work, kek, &destroy, &absence));
	return record_done(work, row, &destroy, &absence);
}

static kms_err wipe(struct go_on_work *work, const struct model_erase_row *row)
{
	KMS_AUTO_BUF statement = {0};
	KMS_TRY(token_erase_wipe(work->token, &work->erasure.id, &statement, work->reason));
	KMS_TRY(check_wipe(work, &statement));
	return record_done(work, row, &statement, NULL);
}

/* Once more where kms-tokend was started anew in between and holds no erasure any more. */
kms_err go_on_row(struct go_on_work *work, const struct model_erase_row *row)
{
	bool is_wipe = kms_id_is_zero(&row->kek);
	kms_err err = is_wipe ? wipe(work, row) : erase_kek(work, row);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		KMS_TRY(go_on_open(work));
		err = is_wipe ? wipe(work, row) : erase_kek(work, row);
	}
	return err;
}
