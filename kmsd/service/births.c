/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One version of a key: a KEK in each of its tokens. Token and store are two places, so: intent
 * durable, KEKs born, result durable, then commit; whatever is cut off in between is rolled back
 * by the ledger's word. A birth statement must say exactly what was asked for.
 */
#include "service_int.h"

#include <stdlib.h>
#include <string.h>

struct in_birth {
	struct kms_id key;
	struct in_birth *next;
};

static void enter(struct service *service, struct in_birth *birth, const struct kms_id *key)
{
	birth->key = *key;
	(void)pthread_mutex_lock(&service->lock);
	birth->next = service->births;
	service->births = birth;
	(void)pthread_mutex_unlock(&service->lock);
}

static void leave(struct service *service, struct in_birth *birth)
{
	(void)pthread_mutex_lock(&service->lock);
	struct in_birth **at = &service->births;
	while (*at != birth) {
		at = &(*at)->next;
	}
	*at = birth->next;
	(void)pthread_mutex_unlock(&service->lock);
}

bool births_in_progress(struct service *service, const struct kms_id *key)
{
	bool found = false;
	(void)pthread_mutex_lock(&service->lock);
	for (const struct in_birth *b = service->births; b != NULL && !found; b = b->next) {
		found = kms_id_equal(&b->key, key);
	}
	(void)pthread_mutex_unlock(&service->lock);
	return found;
}

/* Made in the token, never to leave it, good for encryption alone, and it can be destroyed: what
 * kms-tokend holds every token to. Copyable and modifiable are for its profile, and stated. */
static bool is_strong(const struct format_birth *birth)
{
	const struct format_attributes *a = &birth->attributes;
	return a->sensitive && a->always_sensitive && !a->extractable && a->never_extractable &&
	       a->local && a->destroyable && !a->wrap && !a->unwrap && !a->derive &&
	       !birth->imported;
}

/* Does the birth statement say what was asked for, of a KEK as strong as it must be? */
static bool is_what_was_asked(
	const struct format_statement *statement, const struct model_bear *bear)
{
	const struct format_birth *birth = &statement->u.birth;
	return statement->type == FORMAT_STATEMENT_BIRTH &&
	       kms_id_equal(&statement->tenant, &bear->tenant) &&
	       kms_id_equal(&birth->key, &bear->key) && kms_id_equal(&birth->kek, &bear->kek) &&
	       birth->version == bear->version && birth->custody == bear->custody &&
	       birth->delivery == bear->delivery && birth->token_count == bear->token_count &&
	       memcmp(birth->tokens, bear->tokens, bear->token_count * sizeof(bear->tokens[0])) ==
		       0 &&
	       is_strong(birth);
}

static kms_err bear_one(struct service *service, const struct model_bear *bear,
	const struct kms_id *token_id, struct model_birth *ret_birth)
{
	struct token *token;
	struct format_statement statement;
	KMS_AUTO_BUF bytes = {0};
	struct model_token row;
	KMS_TRY(token_find(service->parts.tokens, token_id, &token));
	KMS_TRY(token_kek_bear(token, bear, &bytes));
	KMS_TRY(store_token_get(service->parts.store, token_id, &row));
	KMS_TRY(ledger_statement_check(kms_buf_bytes(&bytes), row.statement_vkey, &statement));
	if (!kms_id_equal(&statement.token, token_id) || !is_what_was_asked(&statement, bear)) {
		kms_log(KMS_LOG_ERROR, "a kms-tokend bore another KEK than it was asked for");
		return KMS_ERR(INTEGRITY);
	}
	*ret_birth = (struct model_birth){
		.token = *token_id,
		.kek = bear->kek,
		.commitment = statement.u.birth.commitment,
		.statement = bytes,
	};
	bytes = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err bear_all(
	struct service *service, const struct model_change *intent, struct model_change *result)
{
	const struct model_key *key = &intent->u.key_intent.key;
	struct model_bear bear = {
		.tenant = key->tenant,
		.key = key->id,
		.version = intent->u.key_intent.version,
		.custody = key->custody,
		.delivery = key->delivery,
		.token_count = key->token_count,
	};
	memcpy(bear.tokens, key->tokens, sizeof(bear.tokens));
	for (uint32_t i = 0; i < key->token_count; i++) {
		bear.kek = intent->u.key_intent.keks[i];
		KMS_TRY(bear_one(service, &bear, &key->tokens[i], &result->u.key_result.births[i]));
		result->u.key_result.birth_count = i + 1;
	}
	return KMS_OK;
}

/* After the result is durable; what a token does not hear now, recovery tells it later. */
static void tell_tokens(struct service *service, const struct model_change *intent, bool made)
{
	const struct model_key *key = &intent->u.key_intent.key;
	for (uint32_t i = 0; i < key->token_count; i++) {
		struct token *token;
		if (!kms_is_ok(token_find(service->parts.tokens, &key->tokens[i], &token))) {
			continue;
		}
		const struct kms_id *kek = &intent->u.key_intent.keks[i];
		KMS_IGNORE(made ? token_kek_commit(token, kek) : token_kek_abandon(token, kek));
	}
}

static kms_err make(struct service *service, struct model_change *intent)
{
	struct model_change *result KMS_AUTO_FREE = calloc(1, sizeof(*result));
	if (result == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	uint64_t seq;
	KMS_TRY(ledger_change(service->parts.ledger, intent, &seq));
	result->type = MODEL_CHANGE_KEY_RESULT;
	result->actor = intent->actor;
	result->tenant = intent->tenant;
	result->u.key_result.key = intent->u.key_intent.key.id;
	result->u.key_result.version = intent->u.key_intent.version;
	kms_err err = bear_all(service, intent, result);
	result->u.key_result.made = kms_is_ok(err);
	if (!result->u.key_result.made) {
		for (size_t i = 0; i < result->u.key_result.birth_count; i++) {
			kms_buf_free(&result->u.key_result.births[i].statement);
		}
		result->u.key_result.birth_count = 0;
	}
	kms_err recorded = ledger_change(service->parts.ledger, result, &seq);
	if (kms_is_ok(recorded)) {
		tell_tokens(service, intent, result->u.key_result.made);
	}
	model_change_free(result);
	return kms_is_ok(err) ? recorded : err;
}

kms_err births_make(struct service *service, const struct kms_id *actor, struct model_key *key,
	uint32_t version)
{
	struct model_change *intent KMS_AUTO_FREE = calloc(1, sizeof(*intent));
	if (intent == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	intent->type = MODEL_CHANGE_KEY_INTENT;
	intent->actor = *actor;
	intent->tenant = key->tenant;
	intent->u.key_intent.key = *key;
	intent->u.key_intent.version = version;
	for (uint32_t i = 0; i < key->token_count; i++) {
		KMS_TRY(kms_id_random(&intent->u.key_intent.keks[i]));
	}
	struct in_birth birth;
	enter(service, &birth, &key->id);
	kms_err err = make(service, intent);
	leave(service, &birth);
	return err;
}

kms_err births_give_up(struct service *service, const struct kms_id *tenant,
	const struct kms_id *key, uint32_t version)
{
	struct model_change *result KMS_AUTO_FREE = calloc(1, sizeof(*result));
	if (result == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	result->type = MODEL_CHANGE_KEY_RESULT;
	result->tenant = *tenant;
	result->u.key_result.key = *key;
	result->u.key_result.version = version;
	uint64_t seq;
	return ledger_change(service->parts.ledger, result, &seq);
}
