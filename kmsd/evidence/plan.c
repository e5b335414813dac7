/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an erasure would destroy, and what would stay. Runs in kmsd. It only looks: whether the
 * erasure may happen is decided by others, by what stands here.
 */
#include "evidence_int.h"

#include "crypto.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void evidence_plan_free(struct evidence_plan **plan)
{
	if (*plan != NULL) {
		kms_buf_free(&(*plan)->scope);
		kms_buf_free(&(*plan)->observed);
		kms_buf_free(&(*plan)->bytes);
	}
	free(*plan);
	*plan = NULL;
}

static bool names_version(const struct model_erase_target *target, uint32_t version)
{
	for (uint32_t i = 0; i < target->version_count; i++) {
		if (target->versions[i] == version) {
			return true;
		}
	}
	return false;
}

bool plan_takes(const struct evidence_wish *wish, uint32_t version)
{
	return wish->target.scope != MODEL_ERASE_VERSIONS || names_version(&wish->target, version);
}

static void __attribute__((format(printf, 2, 0)))
add_text(struct doc *array, const char *format, va_list args)
{
	char text[LIMIT_REASON * 2];
	(void)vsnprintf(text, sizeof(text), format, args);
	doc_add_text(array, text);
}

void plan_problem(struct plan_draft *draft, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_text(draft->problems, format, args);
	va_end(args);
}

void plan_note(struct plan_draft *draft, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_text(draft->notes, format, args);
	va_end(args);
}

int plan_compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct kms_id));
}

static int compare_copies(const void *a, const void *b)
{
	const struct format_erase_kek *x = a, *y = b;
	int by_token = plan_compare_ids(&x->token, &y->token);
	return by_token != 0 ? by_token : plan_compare_ids(&x->kek, &y->kek);
}

/* ---- what the wish names ---- */

static kms_err check_versions(const struct evidence_wish *wish, const struct model_key *key)
{
	const struct model_erase_target *target = &wish->target;
	if (target->version_count == 0 || target->version_count > LIMIT_ERASE_VERSIONS) {
		return KMS_ERR(ARGUMENT);
	}
	for (uint32_t i = 0; i < target->version_count; i++) {
		if (target->versions[i] == 0 || target->versions[i] > key->version) {
			return KMS_ERR(NOT_FOUND);
		}
		if (target->versions[i] == key->version) {
			return KMS_ERR(KEY_STATE); /* what is in use: rotate first */
		}
		for (uint32_t j = 0; j < i; j++) {
			if (target->versions[j] == target->versions[i]) {
				return KMS_ERR(ARGUMENT);
			}
		}
	}
	return KMS_OK;
}

static kms_err find_key(struct plan_draft *draft, const struct kms_id *id)
{
	struct model_key key;
	KMS_TRY(store_key_get(draft->parts->store, id, &key));
	if (!kms_id_equal(&key.tenant, &draft->wish->tenant)) {
		return KMS_ERR(DENIED);
	}
	if (draft->wish->target.scope == MODEL_ERASE_VERSIONS) {
		KMS_TRY(check_versions(draft->wish, &key));
	}
	return plan_add_key(draft, &key);
}

static kms_err check_alone(struct plan_draft *draft, const struct model_dataset *dataset)
{
	struct kms_id after = {0};
	size_t others = 0, count = 1;
	while (count > 0) {
		struct model_dataset *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(store_dataset_of_key(draft->parts->store, &dataset->key, &after,
			LIMIT_LIST_PAGE, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			others += kms_id_equal(&rows[i].id, &dataset->id) ? 0 : 1;
			after = rows[i].id;
		}
	}
	char id[KMS_ID_TEXT], key[KMS_ID_TEXT];
	if (others > 0) {
		plan_problem(draft,
			"dataset %s shares key %s with %zu others: rotate the key, rewrap the "
			"others to its new version, then erase its older versions instead",
			kms_id_text(&dataset->id, id), kms_id_text(&dataset->key, key), others);
	}
	return KMS_OK;
}

static kms_err find_dataset(struct plan_draft *draft, const struct kms_id *id)
{
	struct model_dataset dataset;
	KMS_TRY(store_dataset_get(draft->parts->store, id, &dataset));
	if (!kms_id_equal(&dataset.tenant, &draft->wish->tenant)) {
		return KMS_ERR(DENIED);
	}
	KMS_TRY(check_alone(draft, &dataset));
	return find_key(draft, &dataset.key);
}

static kms_err find_wipe(struct plan_draft *draft, const struct kms_id *token)
{
	static const struct kms_id none;
	char id[KMS_ID_TEXT];
	bool wiped = false, admits, left;
	KMS_TRY(store_token_wiped(draft->parts->store, token, &wiped));
	if (wiped) {
		return KMS_OK;
	}
	KMS_TRY(plan_admits(draft, token, &none, &admits, &left));
	if (left && draft->renewing) {
		plan_note(draft, "token %s is wiped by the erasure that goes on in it",
			kms_id_text(token, id));
		return KMS_OK;
	}
	if (!admits) {
		plan_problem(draft, "token %s is to be wiped by another erasure already",
			kms_id_text(token, id));
	}
	KMS_ASSERT(draft->erase.wipe_count < LIMIT_TOKENS);
	draft->erase.wipes[draft->erase.wipe_count++] = *token;
	return KMS_OK;
}

static kms_err find_wipes(struct plan_draft *draft)
{
	struct model_token *rows KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(store_token_list(draft->parts->store, &draft->wish->tenant, &rows, &count));
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(find_wipe(draft, &rows[i].id));
	}
	qsort(draft->erase.wipes, draft->erase.wipe_count, sizeof(draft->erase.wipes[0]),
		plan_compare_ids);
	return KMS_OK;
}

static kms_err find_tenant(struct plan_draft *draft)
{
	struct kms_id after = {0};
	size_t count = 1;
	if (!kms_id_equal(&draft->wish->target.subject, &draft->wish->tenant)) {
		return KMS_ERR(DENIED);
	}
	/* Past the limit nothing can be signed, and nothing more is looked at. */
	while (count > 0 && draft->erase.kek_count <= LIMIT_ERASE_KEKS) {
		struct model_key *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(store_key_list(draft->parts->store, &draft->wish->tenant, &after,
			LIMIT_LIST_PAGE, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			after = rows[i].id;
			if (draft->erase.kek_count <= LIMIT_ERASE_KEKS) {
				KMS_TRY(plan_add_key(draft, &rows[i]));
			}
		}
	}
	return draft->wish->target.wipe ? find_wipes(draft) : KMS_OK;
}

static kms_err find(struct plan_draft *draft)
{
	const struct model_erase_target *target = &draft->wish->target;
	if ((target->wipe && target->scope != MODEL_ERASE_TENANT) ||
		(target->version_count > 0 && target->scope != MODEL_ERASE_VERSIONS)) {
		return KMS_ERR(ARGUMENT);
	}
	switch (target->scope) {
	case MODEL_ERASE_VERSIONS:
	case MODEL_ERASE_KEY:
		return find_key(draft, &target->subject);
	case MODEL_ERASE_DATASET:
		return find_dataset(draft, &target->subject);
	case MODEL_ERASE_TENANT:
		return find_tenant(draft);
	}
	return KMS_ERR(ARGUMENT);
}

static void forget(struct plan_draft *draft)
{
	for (size_t i = 0; i < draft->key_count; i++) {
		free(draft->keys[i].keks);
	}
	free(draft->keys);
	free(draft->erase.keks);
	doc_free(&draft->problems);
	doc_free(&draft->notes);
	draft->keys = NULL;
	draft->erase.keks = NULL;
	draft->key_count = draft->kek_room = 0;
	draft->erase.kek_count = draft->erase.wipe_count = draft->token_count = 0;
}

static kms_err find_once(struct plan_draft *draft)
{
	KMS_TRY(doc_new_array(&draft->problems));
	KMS_TRY(doc_new_array(&draft->notes));
	return find(draft);
}

static kms_err find_all(struct plan_draft *draft)
{
	KMS_TRY(plan_renews_read(draft));
	KMS_TRY(find_once(draft));
	if (draft->renewing && draft->renew_count == 0) {
		/* There is nothing to renew: what others hold stands in the way. */
		forget(draft);
		draft->renewing = false;
		KMS_TRY(find_once(draft));
	}
	if (draft->erase.kek_count == 0 && draft->erase.wipe_count == 0) {
		return KMS_ERR(KEY_STATE); /* nothing is left, or nothing was ever made */
	}
	if (draft->erase.kek_count > LIMIT_ERASE_KEKS) {
		plan_problem(draft,
			"there are more than %d KEKs, which is more than one erasure may name: "
			"erase some of the keys by themselves first",
			LIMIT_ERASE_KEKS);
	}
	if (draft->erase.kek_count > 0) {
		qsort(draft->erase.keks, draft->erase.kek_count, sizeof(*draft->erase.keks),
			compare_copies);
	}
	qsort(draft->tokens, draft->token_count, sizeof(draft->tokens[0]), plan_compare_ids);
	return KMS_OK;
}

/* ---- the plan ---- */

static kms_err write_bytes(struct plan_draft *draft, struct evidence_plan *plan)
{
	const struct evidence_wish *wish = draft->wish;
	char *origin KMS_AUTO_FREE = NULL;
	if (doc_count(draft->problems) > 0) {
		return KMS_OK; /* nobody signs what cannot be carried out */
	}
	KMS_TRY(store_setting_get(draft->parts->store, "origin", &origin));
	(void)snprintf(draft->erase.origin, sizeof(draft->erase.origin), "%s", origin);
	draft->erase.erasure = wish->erasure;
	draft->erase.tenant = wish->tenant;
	draft->erase.requester = wish->requester;
	draft->erase.scope = wish->target.scope;
	draft->erase.subject = wish->target.subject;
	draft->erase.not_before_unix_s = wish->not_before_unix_s;
	draft->erase.expires_unix_s = wish->expires_unix_s;
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&plan->scope), &draft->erase.plan));
	return format_erase_write(&draft->erase, &plan->bytes);
}

static kms_err make(struct plan_draft *draft, struct evidence_plan *plan)
{
	KMS_TRY(find_all(draft));
	KMS_TRY(plan_scope_write(draft, &plan->scope));
	KMS_TRY(plan_observed_write(draft, &plan->observed));
	return write_bytes(draft, plan);
}

kms_err evidence_plan_make(const struct evidence_parts *parts, const struct evidence_wish *wish,
	struct evidence_plan **ret_plan)
{
	KMS_AUTO(evidence_plan) plan = calloc(1, sizeof(*plan));
	struct plan_draft *draft KMS_AUTO_FREE = calloc(1, sizeof(*draft));
	if (plan == NULL || draft == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	draft->parts = parts;
	draft->wish = wish;
	kms_err err = make(draft, plan);
	forget(draft);
	KMS_TRY(err);
	*ret_plan = kms_take(&plan);
	return KMS_OK;
}

kms_err evidence_wish_of(const struct format_erase *erase, struct evidence_wish *ret_wish)
{
	struct evidence_wish wish = {
		.erasure = erase->erasure,
		.tenant = erase->tenant,
		.requester = erase->requester,
		.target = {.scope = erase->scope,
			.subject = erase->subject,
			.wipe = erase->wipe_count > 0},
		.not_before_unix_s = erase->not_before_unix_s,
		.expires_unix_s = erase->expires_unix_s,
	};
	for (uint32_t i = 0; erase->scope == MODEL_ERASE_VERSIONS && i < erase->kek_count; i++) {
		if (names_version(&wish.target, erase->keks[i].version)) {
			continue;
		}
		if (wish.target.version_count == LIMIT_ERASE_VERSIONS) {
			return KMS_ERR(TOO_LARGE);
		}
		wish.target.versions[wish.target.version_count++] = erase->keks[i].version;
	}
	*ret_wish = wish;
	return KMS_OK;
}
