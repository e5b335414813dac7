/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.json (docs/formats/bundle.md): what the evidence shows, and beside it what it does
 * not. Runs in kmsd. It must never claim a level above "recorded": nothing here asserts that the
 * list of copies is complete.
 */
#include "certificate_int.h"
#include "evidence_int.h"

#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "doc.h"
#include "tlog.h"
#include "token.h"

void evidence_certificate_free(struct evidence_certificate **certificate)
{
	if (*certificate != NULL) {
		kms_buf_free(&(*certificate)->json);
		free(*certificate);
		*certificate = NULL;
	}
}

static void set_seq(struct doc *object, const char *name, uint64_t seq)
{
	doc_set_int(object, name, (int64_t)seq);
}

/* 0 is no entry that could be meant (it is log.open), and no time. */
static void set_number_or_null(struct doc *object, const char *name, int64_t number)
{
	if (number == 0) {
		doc_set_null(object, name);
	} else {
		doc_set_int(object, name, number);
	}
}

static void set_text_or_null(struct doc *object, const char *name, const char *text)
{
	if (text[0] == '\0') {
		doc_set_null(object, name);
	} else {
		doc_set_text(object, name, text);
	}
}

static void set_id_or_null(struct doc *object, const char *name, const struct kms_id *id)
{
	if (kms_id_is_zero(id)) {
		doc_set_null(object, name);
	} else {
		doc_set_id(object, name, id);
	}
}

static void add_texts(struct doc *array, const char *const *texts)
{
	for (size_t i = 0; texts[i] != NULL; i++) {
		doc_add_text(array, texts[i]);
	}
}

/* ---- who, and about whom ---- */

static kms_err set_issuer(const struct facts *facts, struct doc *certificate)
{
	struct doc *issuer = doc_set_object(certificate, "issuer");
	KMS_AUTO_FREE char *vkey = NULL;
	KMS_AUTO_FREE char *ed25519 = NULL;
	KMS_TRY(store_setting_get(facts->parts->store, "ledger_vkey", &vkey));
	KMS_TRY(store_setting_get(facts->parts->store, "ledger_vkey_ed25519", &ed25519));
	doc_set_text(issuer, "log_origin", facts->erase->origin);
	struct doc *vkeys = doc_set_array(issuer, "log_vkeys");
	doc_add_text(vkeys, vkey);
	if (ed25519[0] != '\0') {
		doc_add_text(vkeys, ed25519);
	}
	return KMS_OK;
}

static kms_err set_customer(const struct facts *facts, struct doc *certificate)
{
	__attribute__((cleanup(model_tenant_free))) struct model_tenant tenant = {0};
	struct kms_hash hash;
	doc_set_id(certificate, "tenant", &facts->erase->tenant);
	KMS_TRY(store_tenant_get(facts->parts->store, &facts->erase->tenant, &tenant));
	if (tenant.label.text[0] == '\0') { /* forgotten */
		doc_set_null(certificate, "customer");
		return KMS_OK;
	}
	struct kms_bytes parts[] = {
		KMS_BYTES_OF(tenant.label.salt), kms_bytes_str(tenant.label.text)};
	KMS_TRY(crypto_sha256(parts, 2, &hash));
	doc_set_hash(certificate, "customer", &hash);
	return KMS_OK;
}

/* spki NULL: nothing to say. */
static void add_person(
	struct doc *persons, const char *role, const struct kms_id *id, const struct kms_hash *spki)
{
	struct doc *person = doc_add_object(persons);
	doc_set_text(person, "role", role);
	set_id_or_null(person, "id", id);
	if (spki == NULL) {
		doc_set_null(person, "spki");
	} else {
		doc_set_hash(person, "spki", spki);
	}
}

static kms_err add_requester(const struct facts *facts, struct doc *persons)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	struct kms_hash spki;
	KMS_TRY(crypto_cert_parse_der(kms_buf_bytes(&facts->erasure->certificate), &cert));
	KMS_TRY(crypto_cert_spki_hash(cert, &spki));
	add_person(persons, "requester", &facts->erase->requester, &spki);
	return KMS_OK;
}

static kms_err add_executor(const struct facts *facts, struct doc *persons)
{
	struct model_principal executor;
	kms_err err = store_principal_get(facts->parts->store, &facts->executor, &executor);
	if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NOT_FOUND)) {
		return err;
	}
	add_person(persons, "executor", &facts->executor, kms_is_ok(err) ? &executor.spki : NULL);
	return KMS_OK;
}

static kms_err add_verifier(struct doc *persons, const struct model_token *token)
{
	struct tlog_vkey vkey;
	struct kms_hash spki;
	KMS_TRY(tlog_vkey_parse(token->statement_vkey, &vkey));
	KMS_TRY(crypto_sha256_one((struct kms_bytes){vkey.spki, vkey.spki_len}, &spki));
	add_person(persons, "verifier", &token->id, &spki);
	return KMS_OK;
}

static kms_err set_persons(const struct facts *facts, const struct model_token *tokens,
	size_t token_count, struct doc *certificate)
{
	static const struct kms_id nobody;
	struct doc *persons = doc_set_array(certificate, "persons");
	KMS_TRY(add_requester(facts, persons));
	for (size_t i = 0; i < facts->erasure->approval_count; i++) {
		const struct model_signed *approval = &facts->erasure->approvals[i];
		struct kms_hash spki;
		KMS_TRY(crypto_sha256_one(kms_buf_bytes(&approval->spki), &spki));
		add_person(persons, "approver", &approval->principal, &spki);
	}
	if (!kms_id_is_zero(&facts->executor)) {
		KMS_TRY(add_executor(facts, persons));
		for (size_t i = 0; i < token_count; i++) {
			KMS_TRY(add_verifier(persons, &tokens[i]));
		}
	}
	add_person(persons, "validator", &nobody, NULL);
	return KMS_OK;
}

/* ---- the keys, and where they were ---- */

static uint64_t destroyed_seq(const struct facts *facts, const struct kms_id *key)
{
	uint64_t last = 0;
	for (size_t i = 0; i < facts->copy_count; i++) {
		const struct facts_copy *copy = &facts->copies[i];
		if (!kms_id_equal(&copy->kek.key, key)) {
			continue;
		}
		if (copy->removed_seq == 0) {
			return 0;
		}
		last = copy->removed_seq > last ? copy->removed_seq : last;
	}
	return last;
}

static kms_err add_key(const struct facts *facts, const struct facts_key *key, struct doc *keys)
{
	struct store_use_count uses;
	struct doc *row = doc_add_object(keys);
	KMS_TRY(store_use_count_get(facts->parts->store, &key->id, &uses));
	doc_set_id(row, "id", &key->id);
	struct doc *versions = doc_set_array(row, "versions");
	for (uint32_t i = 0; i < key->version_count; i++) {
		doc_add_int(versions, key->versions[i]);
	}
	doc_set_text(row, "level", "wrapping key");
	doc_set_int(row, "alg_bits", 256);
	set_seq(row, "created_seq", key->created_seq);
	doc_set_int(row, "created", key->created_unix_ms);
	set_number_or_null(row, "destroyed_seq", (int64_t)destroyed_seq(facts, &key->id));
	struct doc *count = doc_set_object(row, "uses");
	doc_set_int(count, "datakeys", (int64_t)uses.datakeys);
	doc_set_int(count, "wraps", (int64_t)uses.wraps);
	doc_set_int(count, "unwraps", (int64_t)uses.unwraps);
	doc_set_int(count, "rewraps", (int64_t)uses.rewraps);
	set_number_or_null(count, "first", uses.first_unix_ms);
	set_number_or_null(count, "last", uses.last_unix_ms);
	return KMS_OK;
}

static kms_err set_keys(const struct facts *facts, struct doc *certificate)
{
	struct doc *keys = doc_set_array(certificate, "keys");
	for (size_t i = 0; i < facts->key_count; i++) {
		KMS_TRY(add_key(facts, &facts->keys[i], keys));
	}
	return KMS_OK;
}

static void set_copies(const struct facts *facts, struct doc *certificate)
{
	struct doc *copies = doc_set_array(certificate, "copies");
	for (size_t i = 0; i < facts->copy_count; i++) {
		const struct facts_copy *copy = &facts->copies[i];
		struct doc *row = doc_add_object(copies);
		doc_set_id(row, "token", &copy->kek.token);
		doc_set_id(row, "kek", &copy->kek.kek);
		doc_set_id(row, "key", &copy->kek.key);
		doc_set_int(row, "version", copy->kek.version);
		doc_set_hash(row, "commitment", &copy->kek.commitment);
		set_seq(row, "added_seq", copy->added_seq);
		set_number_or_null(row, "removed_seq", (int64_t)copy->removed_seq);
		doc_set_text(row, "method", "C_DestroyObject");
	}
	doc_set_text(certificate, "copies_complete", "not asserted");
	struct doc *wipes = doc_set_array(certificate, "wipes");
	for (uint32_t i = 0; i < facts->erase->wipe_count; i++) {
		struct doc *row = doc_add_object(wipes);
		doc_set_id(row, "token", &facts->wipes[i].token);
		set_number_or_null(row, "seq", (int64_t)facts->wipes[i].seq);
	}
}

static void set_modules(
	const struct model_token *tokens, size_t token_count, struct doc *certificate)
{
	struct doc *modules = doc_set_array(certificate, "modules");
	for (size_t i = 0; i < token_count; i++) {
		const struct model_token *token = &tokens[i];
		struct doc *row = doc_add_object(modules);
		doc_set_id(row, "token", &token->id);
		set_text_or_null(row, "manufacturer", token->manufacturer);
		set_text_or_null(row, "model", token->model);
		set_text_or_null(row, "serial", token->serial);
		set_text_or_null(row, "firmware", token->firmware);
		doc_set_text(row, "class", model_class_text(token->class));
		set_text_or_null(row, "certificate_no", token->certificate_no);
		set_text_or_null(row, "organisation", token->organisation);
		set_text_or_null(row, "site", token->site);
		set_text_or_null(row, "country", token->country);
	}
}

/* ---- what the plan knows ---- */

static bool has_imports(struct doc *plan)
{
	struct doc *imports = NULL;
	return kms_is_ok(doc_get_array(plan, "imports", &imports)) && doc_count(imports) > 0;
}

static kms_err set_plan(const struct facts *facts, struct doc *certificate)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO(doc) plan = NULL;
	struct doc *part = NULL;
	struct kms_hash hash;
	KMS_TRY(store_erasure_plan(facts->parts->store, &facts->erasure->id, &json));
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&json), &hash));
	if (!kms_hash_equal(&hash, &facts->erase->plan)) {
		return KMS_ERR(INTEGRITY);
	}
	KMS_TRY(doc_parse(kms_buf_bytes(&json), LIMIT_PLAN_BYTES, &plan));
	KMS_TRY(doc_get_object(plan, "datasets", &part));
	doc_set_copy(certificate, "media", part);
	KMS_TRY(doc_get_object(plan, "backups", &part));
	doc_set_copy(certificate, "backups", part);

	struct doc *scope = doc_set_object(certificate, "scope");
	doc_set_text(scope, "kind", model_erase_scope_text(facts->erase->scope));
	doc_set_id(scope, "subject", &facts->erase->subject);
	doc_set_hash(scope, "plan", &facts->erase->plan);
	doc_set_text(scope, "plaintext_before", "unknown");
	struct doc *excluded = doc_set_array(scope, "excluded");
	add_texts(excluded, texts_excluded);
	if (has_imports(plan)) {
		doc_add_text(excluded, texts_excluded_imported);
	}
	if (facts->erase->scope == MODEL_ERASE_VERSIONS) {
		doc_add_text(excluded, texts_excluded_versions);
	}
	return KMS_OK;
}

/* ---- how it went ---- */

static void set_events(const struct facts *facts, struct doc *certificate)
{
	struct doc *events = doc_set_array(certificate, "events");
	for (size_t i = 0; i < facts->event_count; i++) {
		struct doc *row = doc_add_object(events);
		doc_set_text(row, "type", facts->events[i].type);
		set_seq(row, "seq", facts->events[i].seq);
		doc_set_hash(row, "leaf", &facts->events[i].leaf);
	}
	doc_set_int(certificate, "requested", facts->requested_unix_ms);
	doc_set_int(certificate, "not_before", facts->erase->not_before_unix_s * 1000);
	doc_set_int(certificate, "expires", facts->erase->expires_unix_s * 1000);
	set_number_or_null(certificate, "executed", facts->executed_unix_ms);
	struct doc *time = doc_set_object(certificate, "time");
	doc_set_null(time, "not_before");
	doc_set_null(time, "not_after");
	struct doc *verification = doc_set_object(certificate, "verification");
	doc_set_int(verification, "absent", facts->absent);
	doc_set_int(verification, "canary_failed", facts->canary_failed);
	add_texts(doc_set_array(certificate, "verification_not_done"), texts_not_done);
}

/* The tokens' own word on how many must sign; one that is away says nothing. */
static void set_needed(const struct facts *facts, const struct model_token *tokens,
	size_t token_count, struct doc *certificate)
{
	uint32_t needed = 0;
	for (size_t i = 0; i < token_count; i++) {
		struct token *token = NULL;
		struct model_erase_pins pins = {0};
		if (kms_is_ok(token_find(facts->parts->tokens, &tokens[i].id, &token)) &&
			kms_is_ok(token_erase_pins(token, &pins)) && pins.needed > needed) {
			needed = pins.needed;
		}
	}
	set_number_or_null(certificate, "approvals_needed", needed);
}

/* Whatever the tokens are: a higher level needs a person's word that the list of copies is
 * complete, and there is none. */
static void set_claim(const struct facts *facts, struct doc *certificate)
{
	doc_set_text(certificate, "claim_level", "recorded");
	doc_set_text(certificate, "method", "none claimed");
	doc_set_text(certificate, "technique", "CE");
	struct doc *zeroization = doc_set_object(certificate, "zeroization");
	doc_set_text(zeroization, "call", "C_DestroyObject");
	doc_set_text(zeroization, "standard", "none");
	doc_set_text(doc_set_object(certificate, "tool"), "kmsd", facts->parts->version);
	doc_set_text(doc_set_object(certificate, "validation"), "status", "pending");
	doc_set_text(certificate, "statement", texts_recorded);
	add_texts(doc_set_array(certificate, "not_claimed"), texts_not_claimed);
}

/* ---- all of it ---- */

static bool holds_token(const struct facts *facts, const struct kms_id *token)
{
	bool found = false;
	for (size_t i = 0; i < facts->copy_count && !found; i++) {
		found = kms_id_equal(&facts->copies[i].kek.token, token);
	}
	for (uint32_t i = 0; i < facts->erase->wipe_count && !found; i++) {
		found = kms_id_equal(&facts->wipes[i].token, token);
	}
	return found;
}

static int compare_token(const void *a, const void *b)
{
	const struct model_token *one = a;
	const struct model_token *other = b;
	return memcmp(one->id.b, other->id.b, sizeof(one->id.b));
}

/* The tenant's tokens that ever held a copy, or are wiped, by id. */
static kms_err list_tokens(
	const struct facts *facts, struct model_token **ret_tokens, size_t *ret_count)
{
	KMS_AUTO_FREE struct model_token *tokens = NULL;
	size_t count = 0;
	size_t kept = 0;
	KMS_TRY(store_token_list(facts->parts->store, &facts->erase->tenant, &tokens, &count));
	for (size_t i = 0; i < count; i++) {
		if (holds_token(facts, &tokens[i].id)) {
			tokens[kept++] = tokens[i];
		}
	}
	if (kept == 0) {
		return KMS_ERR(INTEGRITY);
	}
	qsort(tokens, kept, sizeof(tokens[0]), compare_token);
	*ret_tokens = kms_take(&tokens);
	*ret_count = kept;
	return KMS_OK;
}

static kms_err fill(const struct facts *facts, struct doc *certificate)
{
	KMS_AUTO_FREE struct model_token *tokens = NULL;
	size_t token_count = 0;
	KMS_TRY(list_tokens(facts, &tokens, &token_count));
	KMS_TRY(set_issuer(facts, certificate));
	KMS_TRY(set_customer(facts, certificate));
	KMS_TRY(set_plan(facts, certificate));
	KMS_TRY(set_keys(facts, certificate));
	set_copies(facts, certificate);
	set_modules(tokens, token_count, certificate);
	set_events(facts, certificate);
	KMS_TRY(set_persons(facts, tokens, token_count, certificate));
	set_needed(facts, tokens, token_count, certificate);
	set_claim(facts, certificate);
	return KMS_OK;
}

kms_err evidence_certificate_make(const struct evidence_parts *parts,
	const struct model_erasure *erasure, struct evidence_certificate **ret_certificate)
{
	KMS_AUTO(facts) facts = NULL;
	KMS_AUTO(doc) doc = NULL;
	KMS_AUTO(evidence_certificate) certificate = calloc(1, sizeof(*certificate));
	if (certificate == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	LEASE_COUNTS_AUTO leases = {0};
	int64_t seen = kms_now_unix_ms();
	KMS_TRY(facts_collect(parts, erasure, UINT64_MAX, &facts));
	KMS_TRY(lease_counts_of(parts->store, facts->erase, &leases));
	KMS_TRY(kms_id_random(&certificate->id));
	certificate->final = facts_are_closed(facts) && lease_counts_are_over(&leases, seen);
	KMS_TRY(doc_new_object(&doc));
	lease_counts_write(&leases, seen, doc);
	doc_set_text(doc, "v", "kmsd-cert/1");
	doc_set_text(doc, "type", "crypto-erase");
	doc_set_id(doc, "id", &certificate->id);
	set_id_or_null(doc, "supersedes", &erasure->cert);
	doc_set_text(doc, "status", certificate->final ? "final" : "provisional");
	doc_set_id(doc, "erasure", &erasure->id);
	KMS_TRY(fill(facts, doc));
	KMS_TRY(doc_write(doc, &certificate->json));
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&certificate->json), &certificate->hash));
	*ret_certificate = kms_take(&certificate);
	return KMS_OK;
}
