/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Approve and cancel an erasure. What counts in the end is each kms-tokend's own judgement of the
 * same signatures; here is refused early what it would refuse late. Runs in kmsd.
 */
#include "service_int.h"

#include "record.h"

#include <stdlib.h>
#include <string.h>

/* ---- pins ---- */

static bool has_row(const struct model_erase_pins *pins, const struct kms_id *approver,
	const struct kms_hash *spki)
{
	for (uint32_t i = 0; i < pins->count; i++) {
		if (kms_id_equal(&pins->rows[i].approver, approver) &&
			kms_hash_equal(&pins->rows[i].spki, spki)) {
			return true;
		}
	}
	return false;
}

bool approve_is_pinned(
	const struct model_erase_pins *pins, const struct kms_id *approver, struct kms_bytes spki)
{
	struct kms_hash hash;
	return kms_is_ok(crypto_sha256_one(spki, &hash)) && has_row(pins, approver, &hash);
}

static void join(struct model_erase_pins *pins, const struct model_erase_pins *more)
{
	uint32_t left = 0;
	for (uint32_t i = 0; i < pins->count; i++) {
		if (has_row(more, &pins->rows[i].approver, &pins->rows[i].spki)) {
			pins->rows[left++] = pins->rows[i];
		}
	}
	pins->count = left;
	pins->needed = more->needed > pins->needed ? more->needed : pins->needed;
}

kms_err approve_pins(struct service *service, const struct format_erase *erase,
	struct model_erase_pins *ret_pins)
{
	struct kms_id tokens[LIMIT_TOKENS];
	uint32_t count = erase_tokens(erase, tokens), answered = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct token *token;
		struct model_erase_pins pins = {0};
		if (!kms_is_ok(token_find(service->parts.tokens, &tokens[i], &token)) ||
			!kms_is_ok(token_erase_pins(token, &pins)) ||
			pins.count > LIMIT_APPROVALS) {
			continue;
		}
		if (answered++ == 0) {
			*ret_pins = pins;
		} else {
			join(ret_pins, &pins);
		}
	}
	return answered > 0 ? KMS_OK : KMS_ERR(TOKEN_DOWN);
}

/* Is it a key of an approver, by the owners' files? */
static kms_err check_pinned(
	struct service *service, const struct service_ask *ask, const struct format_erase *erase)
{
	struct model_erase_pins pins;
	kms_err err = approve_pins(service, erase, &pins);
	if (kms_is(err, KMS_CODE_TOKEN_DOWN)) {
		return service_refuse(ask, err,
			"no token of this erasure answers, so nobody knows whose signature it "
			"takes: try again when its kms-tokend runs");
	}
	KMS_TRY(err);
	return approve_is_pinned(
		       &pins, &ask->who->id, kms_buf_bytes(&ask->request->u.erase_sign.spki))
		       ? KMS_OK
		       : service_refuse(ask, KMS_ERR(DENIED),
				 "the tokens' owners pin another key for this approver, or none");
}

static kms_err check_signature(const struct service_ask *ask, struct kms_bytes message)
{
	kms_err err = crypto_verify_raw(kms_buf_bytes(&ask->request->u.erase_sign.spki), message,
		ask->request->u.erase_sign.signature);
	return kms_is_ok(err) ? KMS_OK
			      : service_refuse(ask, KMS_ERR(DENIED),
					"the signature is not by that key over this erasure");
}

/* APPROVE or CANCEL, as who asks signed it. */
static kms_err record(
	struct service *service, const struct service_ask *ask, enum model_change_type type)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = type;
	change->actor = ask->who->id;
	change->tenant = ask->who->tenant;
	change->u.erase_signed.erasure = ask->request->u.erase_sign.id;
	change->u.erase_signed.by.principal = ask->who->id;
	memcpy(change->u.erase_signed.by.signature, ask->request->u.erase_sign.signature,
		MODEL_SIGNATURE);
	uint64_t seq;
	kms_err err = kms_buf_copy(
		kms_buf_bytes(&ask->request->u.erase_sign.spki), &change->u.erase_signed.by.spki);
	if (kms_is_ok(err)) {
		err = ledger_change(service->parts.ledger, change, &seq);
	}
	model_change_free(change);
	return err;
}

/* ---- approve ---- */

static kms_err check_new(const struct service_ask *ask, const struct model_erasure *erasure)
{
	struct kms_bytes spki = kms_buf_bytes(&ask->request->u.erase_sign.spki);
	for (size_t i = 0; i < erasure->approval_count; i++) {
		if (kms_id_equal(&erasure->approvals[i].principal, &ask->who->id)) {
			return service_refuse(ask, KMS_ERR(EXISTS), "you have approved it already");
		}
		if (kms_bytes_equal(kms_buf_bytes(&erasure->approvals[i].spki), spki)) {
			return service_refuse(
				ask, KMS_ERR(DENIED), "another approver signed with that key");
		}
	}
	return KMS_OK;
}

static kms_err check_approval(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, const struct format_erase *erase)
{
	if (kms_id_equal(&erasure->requester, &ask->who->id)) {
		return service_refuse(
			ask, KMS_ERR(DENIED), "nobody approves an erasure that they requested");
	}
	if (erasure->state != MODEL_ERASE_REQUESTED) {
		return service_refuse(ask, KMS_ERR(KEY_STATE), "it is %s",
			model_erase_state_text(erasure->state));
	}
	if (kms_now_unix_ms() / 1000 >= erasure->expires_unix_s) {
		return service_refuse(ask, KMS_ERR(KEY_STATE), "it has expired: cancel it");
	}
	KMS_TRY(check_new(ask, erasure));
	KMS_TRY(check_signature(ask, kms_buf_bytes(&erasure->bytes)));
	return check_pinned(service, ask, erase);
}

kms_err approve_run(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct kms_id *id = &ask->request->u.erase_sign.id;
	struct model_erasure erasure;
	KMS_AUTO(format_erase) erase = NULL;
	KMS_TRY(erase_get(service, id, &erasure, &erase));
	kms_err err = check_approval(service, ask, &erasure, erase);
	model_erasure_free(&erasure);
	KMS_TRY(err);
	KMS_TRY(record(service, ask, MODEL_CHANGE_ERASE_APPROVE));
	return erase_answer(service, id, answer);
}

/* ---- cancel ---- */

/* The requester with the key of its request, or an approver. */
static kms_err check_canceller(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, const struct format_erase *erase)
{
	if (ask->who->role == MODEL_ROLE_APPROVER) {
		return check_pinned(service, ask, erase);
	}
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(crypto_cert_parse_der(kms_buf_bytes(&erasure->certificate), &cert));
	KMS_TRY(crypto_cert_spki(cert, &spki));
	bool own = kms_id_equal(&erasure->requester, &ask->who->id) &&
		   kms_bytes_equal(
			   kms_buf_bytes(&spki), kms_buf_bytes(&ask->request->u.erase_sign.spki));
	return own ? KMS_OK
		   : service_refuse(ask, KMS_ERR(DENIED),
			     "only its requester, with the key of the request, or an approver "
			     "cancels it");
}

static kms_err check_cancel(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, const struct format_erase *erase)
{
	struct kms_hash hash;
	KMS_AUTO_BUF message = {0};
	if (erasure->state != MODEL_ERASE_REQUESTED) {
		return service_refuse(ask, KMS_ERR(KEY_STATE), "it is %s",
			model_erase_state_text(erasure->state));
	}
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&erasure->bytes), &hash));
	KMS_TRY(format_erase_cancel_write(&erasure->id, &hash, &message));
	KMS_TRY(check_signature(ask, kms_buf_bytes(&message)));
	return check_canceller(service, ask, erasure, erase);
}

static kms_err tell(struct service *service, const struct model_erasure *erasure,
	const struct format_erase *erase, const struct model_signed *by, const struct kms_id *only)
{
	struct kms_id tokens[LIMIT_TOKENS];
	uint32_t count = erase_tokens(erase, tokens);
	bool requester = kms_id_equal(&by->principal, &erasure->requester);
	kms_err first = KMS_OK;
	for (uint32_t i = 0; i < count; i++) {
		struct token *token;
		if (only != NULL && !kms_id_equal(only, &tokens[i])) {
			continue;
		}
		kms_err err = token_find(service->parts.tokens, &tokens[i], &token);
		if (kms_is_ok(err)) {
			err = token_erase_cancel(token, kms_buf_bytes(&erasure->bytes),
				kms_buf_bytes(&by->spki),
				requester ? kms_buf_bytes(&erasure->certificate)
					  : (struct kms_bytes){0},
				by->signature);
		}
		first = kms_is_ok(first) ? err : first;
	}
	return first;
}

/* Who cancelled it stands in its newest entries. */
kms_err approve_tell_cancelled(struct service *service, const struct model_erasure *erasure,
	const struct format_erase *erase, const struct kms_id *token)
{
	struct store *store = service->parts.store;
	uint64_t *seqs KMS_AUTO_FREE = NULL;
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	struct record_head *head KMS_AUTO_FREE = calloc(1, sizeof(*head));
	size_t count;
	if (change == NULL || head == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(store_erasure_entries(store, &erasure->id, &seqs, &count));
	for (size_t i = count; i > 0; i--) {
		struct model_entry *entry KMS_AUTO_FREE = NULL;
		size_t got = 0;
		KMS_TRY(store_entries_get(store, NULL, seqs[i - 1], 1, &entry, &got));
		if (got != 1) {
			return KMS_ERR(NOT_FOUND);
		}
		kms_err err = record_entry_read(kms_buf_bytes(&entry->bytes), head, change);
		kms_buf_free(&entry->bytes);
		KMS_TRY(err);
		bool found = change->type == MODEL_CHANGE_ERASE_CANCEL;
		if (found) {
			err = tell(service, erasure, erase, &change->u.erase_signed.by, token);
		}
		model_change_free(change);
		if (found) {
			return err;
		}
	}
	return KMS_ERR(NOT_FOUND);
}

kms_err approve_cancel(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	const struct kms_id *id = &ask->request->u.erase_sign.id;
	struct model_erasure erasure;
	KMS_AUTO(format_erase) erase = NULL;
	struct kms_id *older KMS_AUTO_FREE = NULL;
	size_t count = 0;
	KMS_TRY(store_erasure_renews(service->parts.store, id, &older, &count));
	KMS_TRY(erase_get(service, id, &erasure, &erase));
	kms_err err = check_cancel(service, ask, &erasure, erase);
	if (kms_is_ok(err)) {
		err = record(service, ask, MODEL_CHANGE_ERASE_CANCEL);
	}
	if (kms_is_ok(err)) {
		err = holds_follow(service, older, count);
	}
	if (kms_is_ok(err)) {
		/* Who does not hear it now, hears it after its next link. */
		KMS_IGNORE(approve_tell_cancelled(service, &erasure, erase, NULL));
		holds_tell(service, erase, false);
		holds_remove(service, id);
	}
	model_erasure_free(&erasure);
	KMS_TRY(err);
	return erase_answer(service, id, answer);
}
