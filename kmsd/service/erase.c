/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plan, request and show an erasure. A request suspends what it names in the transaction that
 * records it, and then has every kms-tokend hold the KEKs. Runs in kmsd; what the bytes must say
 * is the plan's, and nothing is taken from the client but its signature.
 */
#include "service_int.h"

#include <stdlib.h>
#include <string.h>

struct evidence_parts erase_parts(struct service *service)
{
	return (struct evidence_parts){.store = service->parts.store,
		.ledger = service->parts.ledger,
		.tokens = service->parts.tokens,
		.system = service->parts.system,
		.version = service->parts.version};
}

kms_err erase_get(struct service *service, const struct kms_id *id,
	struct model_erasure *ret_erasure, struct format_erase **ret_erase)
{
	struct model_erasure row;
	KMS_TRY(store_erasure_get(service->parts.store, id, &row));
	kms_err err = format_erase_read(kms_buf_bytes(&row.bytes), ret_erase);
	if (!kms_is_ok(err)) {
		model_erasure_free(&row);
		return err;
	}
	*ret_erasure = row;
	return KMS_OK;
}

static void note(struct kms_id *tokens, uint32_t *count, const struct kms_id *token)
{
	for (uint32_t i = 0; i < *count; i++) {
		if (kms_id_equal(&tokens[i], token)) {
			return;
		}
	}
	if (*count < LIMIT_TOKENS) {
		tokens[(*count)++] = *token;
	}
}

uint32_t erase_tokens(const struct format_erase *erase, struct kms_id ret_tokens[LIMIT_TOKENS])
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		note(ret_tokens, &count, &erase->keks[i].token);
	}
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		note(ret_tokens, &count, &erase->wipes[i]);
	}
	return count;
}

kms_err erase_subject(struct service *service, struct service_ask *ask,
	const struct model_erase_target *target, struct kms_id *ret_tenant)
{
	struct store *store = service->parts.store;
	struct model_dataset dataset;
	switch (target->scope) {
	case MODEL_ERASE_VERSIONS:
	case MODEL_ERASE_KEY:
		KMS_TRY(store_key_get(store, &target->subject, &ask->key));
		ask->has_key = true;
		*ret_tenant = ask->key.tenant;
		return KMS_OK;
	case MODEL_ERASE_DATASET:
		KMS_TRY(store_dataset_get(store, &target->subject, &dataset));
		*ret_tenant = dataset.tenant;
		return KMS_OK;
	case MODEL_ERASE_TENANT:
		*ret_tenant = target->subject;
		return KMS_OK;
	}
	return KMS_ERR(ARGUMENT);
}

kms_err erase_refuse_use(struct service *service, const struct service_ask *ask)
{
	struct model_erasure row;
	char at[KMS_TIME_TEXT], erasure[KMS_ID_TEXT], certificate[KMS_ID_TEXT];
	KMS_TRY(store_erasure_get(service->parts.store, &ask->key.erasure, &row));
	(void)kms_time_text(row.done_unix_ms, at);
	memcpy(at + sizeof("2026-11-21T12:00:00") - 1, "Z", 2); /* whole seconds */
	kms_err err = service_refuse(ask, KMS_ERR(ERASED), "erased at %s; erasure %s; %s%s", at,
		kms_id_text(&row.id, erasure),
		kms_id_is_zero(&row.cert) ? "no certificate yet" : "certificate ",
		kms_id_is_zero(&row.cert) ? "" : kms_id_text(&row.cert, certificate));
	model_erasure_free(&row);
	return err;
}

/* ---- plan ---- */

kms_err erase_plan(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	uint32_t window_s = ask->request->u.erase_plan.window_s;
	uint32_t valid_s = ask->request->u.erase_plan.valid_s;
	if (window_s > LIMIT_ERASE_WINDOW_S || valid_s == 0 || valid_s > LIMIT_ERASE_WINDOW_S) {
		return service_refuse(ask, KMS_ERR(ARGUMENT),
			"an erasure waits at most %d days, and is valid for as long at most",
			LIMIT_ERASE_WINDOW_S / (24 * 3600));
	}
	struct evidence_wish wish = {
		.tenant = ask->who->tenant,
		.requester = ask->who->id,
		.target = ask->request->u.erase_plan.target,
		.not_before_unix_s = kms_now_unix_ms() / 1000 + window_s,
	};
	wish.expires_unix_s = wish.not_before_unix_s + valid_s;
	KMS_TRY(kms_id_random(&wish.erasure));
	struct evidence_parts parts = erase_parts(service);
	KMS_AUTO(evidence_plan) plan = NULL;
	KMS_TRY(evidence_plan_make(&parts, &wish, &plan));
	answer->u.erase_plan.scope = plan->scope;
	answer->u.erase_plan.observed = plan->observed;
	answer->u.erase_plan.bytes = plan->bytes;
	plan->scope = plan->observed = plan->bytes = (struct kms_buf){0};
	return KMS_OK;
}

/* ---- request ---- */

static kms_err parse_ca(
	struct service *service, const struct kms_id *tenant, struct crypto_cert **ret_ca)
{
	struct model_tenant row;
	KMS_TRY(store_tenant_get(service->parts.store, tenant, &row));
	kms_err err = crypto_cert_parse_pem(kms_bytes_str(row.ca_pem), ret_ca);
	model_tenant_free(&row);
	return err;
}

/* What each kms-tokend will hold it against: a certificate of the tenant's CA, not for storage,
 * and here the asker's own. */
static kms_err check_certificate(
	struct service *service, const struct service_ask *ask, const struct crypto_cert *cert)
{
	struct kms_hash spki;
	bool storage = false;
	KMS_AUTO(crypto_cert) ca = NULL;
	KMS_TRY(crypto_cert_spki_hash(cert, &spki));
	if (!kms_hash_equal(&spki, &ask->who->spki)) {
		return service_refuse(ask, KMS_ERR(DENIED),
			"the certificate is not the one that asks: the requester signs with its "
			"own");
	}
	KMS_TRY(parse_ca(service, &ask->who->tenant, &ca));
	KMS_TRY(crypto_cert_check(cert, ca, kms_now_unix_ms() / 1000));
	KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &storage));
	return storage ? service_refuse(
				 ask, KMS_ERR(DENIED), "a storage certificate requests no erasure")
		       : KMS_OK;
}

static kms_err check_signature(struct service *service, const struct service_ask *ask)
{
	const struct model_request *request = ask->request;
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(crypto_cert_parse_der(kms_buf_bytes(&request->u.erase_request.certificate), &cert));
	KMS_TRY(check_certificate(service, ask, cert));
	KMS_TRY(crypto_cert_spki(cert, &spki));
	kms_err err = crypto_verify_raw(kms_buf_bytes(&spki),
		kms_buf_bytes(&request->u.erase_request.bytes), request->u.erase_request.signature);
	return kms_is(err, KMS_CODE_INTEGRITY)
		       ? service_refuse(ask, KMS_ERR(DENIED),
				 "the signature is not by that certificate's key over these bytes")
		       : err;
}

static kms_err check_times(const struct service_ask *ask, const struct format_erase *erase)
{
	int64_t now_s = kms_now_unix_ms() / 1000;
	if (erase->not_before_unix_s < 0 ||
		erase->not_before_unix_s > now_s + LIMIT_ERASE_WINDOW_S ||
		erase->expires_unix_s <= erase->not_before_unix_s ||
		erase->expires_unix_s > erase->not_before_unix_s + LIMIT_ERASE_WINDOW_S) {
		return service_refuse(ask, KMS_ERR(ARGUMENT), "its times are not those of a plan");
	}
	return erase->expires_unix_s > now_s
		       ? KMS_OK
		       : service_refuse(ask, KMS_ERR(KEY_STATE), "it has expired: plan anew");
}

/* Is it what the plan says now? */
static kms_err check_plan(struct service *service, const struct service_ask *ask,
	const struct format_erase *erase, struct kms_buf *ret_scope)
{
	struct evidence_parts parts = erase_parts(service);
	struct evidence_wish *wish KMS_AUTO_FREE = calloc(1, sizeof(*wish));
	KMS_AUTO(evidence_plan) plan = NULL;
	struct kms_hash hash;
	if (wish == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(evidence_wish_of(erase, wish));
	KMS_TRY(evidence_plan_make(&parts, wish, &plan));
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&plan->scope), &hash));
	if (!kms_hash_equal(&hash, &erase->plan)) {
		return service_refuse(ask, KMS_ERR(KEY_STATE),
			"what it would destroy is not what the plan says now: plan anew");
	}
	if (plan->bytes.len == 0) {
		return service_refuse(ask, KMS_ERR(KEY_STATE),
			"something stands in the way now: the plan says what");
	}
	if (!kms_bytes_equal(kms_buf_bytes(&plan->bytes),
		    kms_buf_bytes(&ask->request->u.erase_request.bytes))) {
		return service_refuse(ask, KMS_ERR(ARGUMENT), "these are not the plan's bytes");
	}
	*ret_scope = plan->scope;
	plan->scope = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err check_request(
	struct service *service, const struct service_ask *ask, const struct format_erase *erase)
{
	if (!kms_id_equal(&erase->requester, &ask->who->id)) {
		return service_refuse(
			ask, KMS_ERR(DENIED), "the bytes name another requester than who asks");
	}
	KMS_TRY(check_signature(service, ask));
	return check_times(ask, erase);
}

static kms_err record_request(
	struct service *service, const struct service_ask *ask, struct kms_buf *scope)
{
	const struct model_request *request = ask->request;
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = MODEL_CHANGE_ERASE_REQUEST;
	change->actor = ask->who->id;
	change->tenant = ask->who->tenant;
	change->u.erase_request.plan = *scope;
	*scope = (struct kms_buf){0};
	memcpy(change->u.erase_request.signature, request->u.erase_request.signature,
		MODEL_SIGNATURE);
	kms_err err = kms_buf_copy(
		kms_buf_bytes(&request->u.erase_request.bytes), &change->u.erase_request.bytes);
	if (kms_is_ok(err)) {
		err = kms_buf_copy(kms_buf_bytes(&request->u.erase_request.certificate),
			&change->u.erase_request.certificate);
	}
	uint64_t seq;
	if (kms_is_ok(err)) {
		err = ledger_change(service->parts.ledger, change, &seq);
	}
	model_change_free(change);
	return err;
}

static kms_err request(
	struct service *service, const struct service_ask *ask, const struct format_erase *erase)
{
	KMS_AUTO_BUF scope = {0};
	struct kms_id *older KMS_AUTO_FREE = NULL;
	size_t count = 0;
	KMS_TRY(check_plan(service, ask, erase, &scope));
	KMS_TRY(holds_add(service, erase));
	kms_err err = record_request(service, ask, &scope);
	if (!kms_is_ok(err)) {
		holds_remove(service, &erase->erasure);
		return err;
	}
	holds_tell(service, erase, true);
	KMS_TRY(store_erasure_renews(service->parts.store, &erase->erasure, &older, &count));
	return holds_follow(service, older, count);
}

kms_err erase_request(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	KMS_AUTO(format_erase) erase = NULL;
	struct renewal *renewal = NULL;
	KMS_TRY(format_erase_read(kms_buf_bytes(&ask->request->u.erase_request.bytes), &erase));
	KMS_TRY(check_request(service, ask, erase));
	KMS_TRY(renew_begin(service, ask, erase, &renewal));
	kms_err err = request(service, ask, erase);
	renew_end(service, &renewal);
	KMS_TRY(err);
	return erase_answer(service, &erase->erasure, answer);
}

/* ---- lists and shows ---- */

static bool is_up(struct service *service, const struct kms_id *token)
{
	struct token *link;
	struct token_state state = {0};
	if (kms_is_ok(token_find(service->parts.tokens, token, &link))) {
		token_state_get(link, &state);
	}
	return state.up;
}

/* How many approvals its tokens ask for, as far as they answer. */
static uint32_t needed(struct service *service, const struct kms_buf *bytes)
{
	KMS_AUTO(format_erase) erase = NULL;
	struct model_erase_pins pins = {0};
	if (!kms_is_ok(format_erase_read(kms_buf_bytes(bytes), &erase)) ||
		!kms_is_ok(approve_pins(service, erase, &pins))) {
		return 0;
	}
	return pins.needed;
}

kms_err erase_answer(struct service *service, const struct kms_id *id, struct model_answer *answer)
{
	struct store *store = service->parts.store;
	struct model_erasure *row = calloc(1, sizeof(*row));
	if (row == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = store_erasure_get(store, id, row);
	if (!kms_is_ok(err)) {
		free(row);
		return err;
	}
	answer->u.erasures.rows = row; /* freed with the answer */
	answer->u.erasures.count = 1;
	KMS_TRY(store_erasure_rows(
		store, id, &answer->u.erasures.keks, &answer->u.erasures.row_count));
	for (size_t i = 0; i < answer->u.erasures.row_count; i++) {
		struct model_erase_row *kek = &answer->u.erasures.keks[i];
		kek->token_up = is_up(service, &kek->token);
	}
	err = store_erasure_plan(store, id, &answer->u.erasures.scope);
	if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NOT_FOUND)) {
		return err;
	}
	answer->u.erasures.needed = needed(service, &row->bytes);
	return KMS_OK;
}

kms_err erase_show(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	return erase_answer(service, &ask->request->u.id, answer);
}

/* Rows of a list are short: what was signed is in the show. */
kms_err erase_list(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	uint32_t limit = ask->request->u.list.limit;
	KMS_TRY(store_erasure_list(service->parts.store, &ask->who->tenant,
		&ask->request->u.list.after,
		limit == 0 || limit > LIMIT_LIST_PAGE ? LIMIT_LIST_PAGE : limit,
		&answer->u.erasures.rows, &answer->u.erasures.count));
	for (size_t i = 0; i < answer->u.erasures.count; i++) {
		kms_buf_free(&answer->u.erasures.rows[i].bytes);
		kms_buf_free(&answer->u.erasures.rows[i].certificate);
	}
	return KMS_OK;
}
