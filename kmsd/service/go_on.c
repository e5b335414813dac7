/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out an erasure whose intent is recorded, token by token and KEK by KEK. Every step can be
 * cut off and done again: kms-tokend answers the same statements again, and what is recorded
 * already is not asked for. Nothing is recorded as destroyed but by statements that say so. Runs in
 * kmsd.
 */
#include "service_int.h"

#include "record.h"
#include "tlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An erasure is carried out in one token by one thread at a time. */
struct going {
	struct kms_id erasure, token;
	struct going *next;
};

struct work {
	struct service *service;
	const struct kms_id *actor;
	bool fresh;
	struct model_erasure erasure; /* owned, as the rest */
	struct format_erase *erase;
	struct kms_hash hash; /* of its bytes */
	struct model_erase_row *rows;
	size_t row_count;
	struct kms_buf entry, checkpoint; /* of its intent */
	struct tlog_proof proof;
	/* the token that it is at */
	struct token *token;
	struct model_token row;
};

static bool enter(struct service *service, struct going *going)
{
	bool is_free = true;
	(void)pthread_mutex_lock(&service->lock);
	for (const struct going *g = service->going; g != NULL; g = g->next) {
		is_free = is_free && !(kms_id_equal(&g->erasure, &going->erasure) &&
					     kms_id_equal(&g->token, &going->token));
	}
	if (is_free) {
		going->next = service->going;
		service->going = going;
	}
	(void)pthread_mutex_unlock(&service->lock);
	return is_free;
}

static void leave(struct service *service, struct going *going)
{
	(void)pthread_mutex_lock(&service->lock);
	struct going **at = &service->going;
	while (*at != going) {
		at = &(*at)->next;
	}
	*at = going->next;
	(void)pthread_mutex_unlock(&service->lock);
}

/* ---- the order ---- */

/* Another token's destroy statement, dated while the approvals were good: with it a token that was
 * away takes them late. Empty where there is none. */
static kms_err find_late(struct work *work, struct kms_buf *ret_statement)
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
			said.unix_ms >= work->erasure.not_before_unix_s * 1000 &&
			said.unix_ms < work->erasure.expires_unix_s * 1000) {
			*ret_statement = *statement;
			*statement = (struct kms_buf){0};
		}
		model_change_free(change);
	}
	return KMS_OK;
}

/* Those that this token's owner pins: one more that it does not know would make it refuse. */
static kms_err fill_approvals(struct work *work, struct model_erase_order *order)
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

static kms_err open_erasure(struct work *work)
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
	kms_err err = token_erase_open(work->token, order);
	if (!kms_is(err, KMS_CODE_TOKEN_REFUSED) ||
		kms_now_unix_ms() / 1000 < work->erasure.expires_unix_s) {
		return err;
	}
	KMS_TRY(find_late(work, &late));
	order->late = kms_buf_bytes(&late);
	return late.len == 0 ? err : token_erase_open(work->token, order);
}

/* ---- what the statements say ---- */

static bool is_about(const struct work *work, const struct format_erased *what,
	const struct format_erase_kek *kek)
{
	return kms_id_equal(&what->erasure, &work->erasure.id) &&
	       kms_hash_equal(&what->erase, &work->hash) && kms_id_equal(&what->key, &kek->key) &&
	       what->version == kek->version && kms_id_equal(&what->kek, &kek->kek) &&
	       kms_hash_equal(&what->commitment, &kek->commitment);
}

/* Its own word, under its registered key, of that type. */
static kms_err read_statement(const struct work *work, const struct kms_buf *bytes,
	enum format_statement_type type, struct format_statement *ret_statement)
{
	KMS_TRY(ledger_statement_check(
		kms_buf_bytes(bytes), work->row.statement_vkey, ret_statement));
	bool right = ret_statement->type == type &&
		     kms_id_equal(&ret_statement->token, &work->row.id) &&
		     kms_id_equal(&ret_statement->tenant, &work->erasure.tenant);
	return right ? KMS_OK : KMS_ERR(INTEGRITY);
}

static kms_err alarm(
	struct work *work, const struct kms_id *key, const char *what, const struct kms_id *kek)
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
static kms_err check_result(struct work *work, const struct format_erase_kek *kek,
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

static kms_err check_wipe(struct work *work, const struct kms_buf *statement)
{
	struct format_statement said;
	KMS_TRY(read_statement(work, statement, FORMAT_STATEMENT_WIPE, &said));
	bool right = kms_id_equal(&said.u.wipe.erasure, &work->erasure.id) &&
		     kms_hash_equal(&said.u.wipe.erase, &work->hash) && said.u.wipe.initialised;
	return right ? KMS_OK : KMS_ERR(INTEGRITY);
}

/* ---- one token ---- */

/* The change takes over what the buffers own. */
static kms_err record_done(struct work *work, const struct model_erase_row *row,
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

static kms_err erase_kek(struct work *work, const struct model_erase_row *row)
{
	KMS_AUTO_BUF destroy = {0};
	KMS_AUTO_BUF absence = {0};
	const struct format_erase_kek *kek = signed_kek(work->erase, row);
	if (kek == NULL) {
		return KMS_ERR(INTERNAL);
	}
	kms_err err =
		token_erase_kek(work->token, &work->erasure.id, &kek->kek, &destroy, &absence);
	if (kms_is(err, KMS_CODE_INTERNAL)) {
		/* kms-tokend's answer when a module says OK and goes on with the KEK. */
		KMS_IGNORE(alarm(work, &kek->key,
			"its token was told to destroy it and did not: KEK", &kek->kek));
	}
	KMS_TRY(err);
	KMS_TRY(check_result(work, kek, &destroy, &absence));
	return record_done(work, row, &destroy, &absence);
}

static kms_err wipe(struct work *work, const struct model_erase_row *row)
{
	KMS_AUTO_BUF statement = {0};
	KMS_TRY(token_erase_wipe(work->token, &work->erasure.id, &statement));
	KMS_TRY(check_wipe(work, &statement));
	return record_done(work, row, &statement, NULL);
}

/* Once more where kms-tokend was started anew in between and holds no erasure any more. */
static kms_err step(struct work *work, const struct model_erase_row *row)
{
	bool is_wipe = kms_id_is_zero(&row->kek);
	kms_err err = is_wipe ? wipe(work, row) : erase_kek(work, row);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		KMS_TRY(open_erasure(work));
		err = is_wipe ? wipe(work, row) : erase_kek(work, row);
	}
	return err;
}

/* Every KEK of the token, and then its wipe. */
static kms_err steps(struct work *work)
{
	kms_err first = KMS_OK;
	for (int wipes = 0; wipes <= 1 && kms_is_ok(first); wipes++) {
		for (size_t i = 0; i < work->row_count; i++) {
			struct model_erase_row *row = &work->rows[i];
			bool its = kms_id_equal(&row->token, &work->row.id) && !row->done &&
				   kms_id_is_zero(&row->kek) == (wipes == 1);
			kms_err err = its ? step(work, row) : KMS_OK;
			first = kms_is_ok(first) ? err : first;
			/* A statement that does not hold is about one KEK; all else is not. */
			if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_INTEGRITY)) {
				return err;
			}
			row->done = row->done || (its && kms_is_ok(err));
		}
	}
	return first;
}

static bool has_open_rows(const struct work *work, const struct kms_id *token)
{
	for (size_t i = 0; i < work->row_count; i++) {
		if (!work->rows[i].done && kms_id_equal(&work->rows[i].token, token)) {
			return true;
		}
	}
	return false;
}

static kms_err run_entered(struct work *work, const struct kms_id *token)
{
	struct store *store = work->service->parts.store;
	free(work->rows); /* what another did meanwhile */
	work->rows = NULL;
	KMS_TRY(store_erasure_rows(store, &work->erasure.id, &work->rows, &work->row_count));
	if (!has_open_rows(work, token)) {
		return KMS_OK;
	}
	KMS_TRY(store_token_get(store, token, &work->row));
	KMS_TRY(token_find(work->service->parts.tokens, token, &work->token));
	KMS_TRY(open_erasure(work));
	return steps(work);
}

static kms_err run_token(struct work *work, const struct kms_id *token)
{
	struct going going = {.erasure = work->erasure.id, .token = *token};
	char id[KMS_ID_TEXT], erasure[KMS_ID_TEXT];
	if (!enter(work->service, &going)) {
		return KMS_OK; /* somebody is at it */
	}
	kms_err err = run_entered(work, token);
	leave(work->service, &going);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_WARNING, "erasure %s is not finished in token %s: %s",
			kms_id_text(&work->erasure.id, erasure), kms_id_text(token, id),
			kms_err_text(err));
	}
	return err;
}

/* ---- all of them ---- */

static kms_err finish(struct work *work)
{
	struct service *service = work->service;
	struct model_erasure now;
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(store_erasure_get(service->parts.store, &work->erasure.id, &now));
	bool all = now.state == MODEL_ERASE_EXECUTING && now.destroyed_count == now.kek_count &&
		   now.wiped_count == now.wipe_count;
	model_erasure_free(&now);
	if (!all) {
		return KMS_OK;
	}
	change->type = MODEL_CHANGE_ERASE_FINAL;
	change->actor = *work->actor;
	change->tenant = work->erasure.tenant;
	change->u.erase_step.erasure = work->erasure.id;
	uint64_t seq;
	kms_err err = ledger_change(service->parts.ledger, change, &seq);
	if (kms_is_ok(err)) {
		holds_remove(service, &work->erasure.id);
	}
	/* Another thread may have been first. */
	return kms_is(err, KMS_CODE_KEY_STATE) ? KMS_OK : err;
}

static bool is_ours(kms_err err)
{
	return kms_is(err, KMS_CODE_LEDGER) || kms_is(err, KMS_CODE_STORE) ||
	       kms_is(err, KMS_CODE_NO_MEMORY);
}

static kms_err run(struct work *work, const struct kms_id *only)
{
	struct ledger *ledger = work->service->parts.ledger;
	struct kms_id tokens[LIMIT_TOKENS];
	uint32_t count = erase_tokens(work->erase, tokens);
	uint64_t size;
	kms_err first = KMS_OK;
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&work->erasure.bytes), &work->hash));
	/* Nothing irrevocable starts before its intent is under a signed head. */
	KMS_TRY(ledger_covered(
		ledger, work->erasure.intent_seq, LIMIT_TOKEN_WAIT_MS, &size, &work->checkpoint));
	KMS_TRY(ledger_inclusion(
		ledger, work->erasure.intent_seq, size, &work->entry, &work->proof));
	for (uint32_t i = 0; i < count; i++) {
		if (only != NULL && !kms_id_equal(only, &tokens[i])) {
			continue;
		}
		kms_err err = run_token(work, &tokens[i]);
		if (is_ours(err)) {
			return err;
		}
		first = kms_is_ok(first) ? err : first;
	}
	kms_err err = finish(work);
	return kms_is_ok(err) ? first : err;
}

kms_err go_on_run(struct service *service, const struct kms_id *erasure, const struct kms_id *token,
	const struct kms_id *actor, bool fresh)
{
	struct work *work KMS_AUTO_FREE = calloc(1, sizeof(*work));
	if (work == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	work->service = service;
	work->actor = actor;
	work->fresh = fresh;
	KMS_TRY(erase_get(service, erasure, &work->erasure, &work->erase));
	kms_err err = work->erasure.state == MODEL_ERASE_EXECUTING ? run(work, token) : KMS_OK;
	model_erasure_free(&work->erasure);
	format_erase_free(&work->erase);
	free(work->rows);
	kms_buf_free(&work->entry);
	kms_buf_free(&work->checkpoint);
	return err;
}
