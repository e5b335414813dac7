/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plan saw beside its scope (docs/formats/plan.md): counts, links, what the tokens' owners
 * ask for, and all that stands in the way. Runs in kmsd. Dated, and never hashed.
 */
#include "evidence_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tokens' pins ---- */

struct asked {
	uint32_t needed; /* the most that any of them asks for */
	struct kms_id first_token;
	struct model_erase_pins first; /* of the first that answered */
	bool has_first;
	bool reached; /* one from which something is to be destroyed answered */
};

static int compare_pins(const void *a, const void *b)
{
	const struct model_erase_pins *none = NULL;
	return memcmp(a, b, sizeof(none->rows[0]));
}

static bool pins_equal(const struct model_erase_pins *a, const struct model_erase_pins *b)
{
	return a->needed == b->needed && a->count == b->count &&
	       memcmp(a->rows, b->rows, a->count * sizeof(a->rows[0])) == 0;
}

/* Is one of them an approver of this tenant who may sign here? */
static kms_err may_approve(
	const struct plan_draft *draft, const struct kms_id *approver, bool *ret_may)
{
	struct model_principal row;
	kms_err err = store_principal_get(draft->parts->store, approver, &row);
	*ret_may = kms_is_ok(err) && row.role == MODEL_ROLE_APPROVER &&
		   kms_id_equal(&row.tenant, &draft->wish->tenant) &&
		   !kms_id_equal(approver, &draft->wish->requester);
	return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_OK : err;
}

static kms_err check_approvers(
	struct plan_draft *draft, const char *token, const struct model_erase_pins *pins)
{
	uint32_t able = 0;
	for (uint32_t i = 0; i < pins->count; i++) {
		bool may = false;
		KMS_TRY(may_approve(draft, &pins->rows[i].approver, &may));
		able += may ? 1 : 0;
	}
	if (able < pins->needed) {
		plan_problem(draft,
			"token %s asks for %u approvals, and only %u of the approvers whose keys "
			"it "
			"pins are approvers here: its owner's file or the tenant's principals must "
			"change",
			token, (unsigned)pins->needed, (unsigned)able);
	}
	return KMS_OK;
}

static kms_err judge_pins(struct plan_draft *draft, struct asked *asked, const struct kms_id *token,
	struct model_erase_pins *pins)
{
	char id[KMS_ID_TEXT], other[KMS_ID_TEXT];
	(void)kms_id_text(token, id);
	if (pins->needed == 0) {
		plan_problem(draft,
			"token %s allows no erasure: its owner's file pins no approvals", id);
		return KMS_OK;
	}
	if (pins->count > LIMIT_APPROVALS) {
		return KMS_ERR(FORMAT);
	}
	/* An owner may list them in any order. */
	qsort(pins->rows, pins->count, sizeof(pins->rows[0]), compare_pins);
	if (!asked->has_first) {
		asked->has_first = true;
		asked->first_token = *token;
		asked->first = *pins;
	} else if (!pins_equal(&asked->first, pins)) {
		plan_problem(draft,
			"tokens %s and %s pin different approvers: their owners' files must agree",
			kms_id_text(&asked->first_token, other), id);
	}
	asked->needed = pins->needed > asked->needed ? pins->needed : asked->needed;
	return check_approvers(draft, id, pins);
}

/* Do the bytes to sign name something of it? */
static bool is_named(const struct plan_draft *draft, const struct kms_id *token)
{
	bool named = false;
	for (uint32_t i = 0; i < draft->erase.kek_count && !named; i++) {
		named = kms_id_equal(&draft->erase.keks[i].token, token);
	}
	for (uint32_t i = 0; i < draft->erase.wipe_count && !named; i++) {
		named = kms_id_equal(&draft->erase.wipes[i], token);
	}
	return named;
}

/* One that does not answer may be lost for good: that must not keep the keys in use. */
static kms_err ask_token(struct plan_draft *draft, struct asked *asked, const struct kms_id *token,
	struct doc *array)
{
	struct token *link;
	struct token_state state = {0};
	struct model_erase_pins *pins KMS_AUTO_FREE = calloc(1, sizeof(*pins));
	char id[KMS_ID_TEXT];
	if (pins == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = token_find(draft->parts->tokens, token, &link);
	if (kms_is_ok(err)) {
		token_state_get(link, &state);
		err = token_erase_pins(link, pins);
	}
	struct doc *row = doc_add_object(array);
	doc_set_id(row, "token", token);
	doc_set_bool(row, "up", state.up);
	doc_set_int(row, "needed", kms_is_ok(err) ? pins->needed : 0);
	bool dies = is_named(draft, token);
	asked->reached = asked->reached || (dies && kms_is_ok(err));
	if (kms_is_ok(err)) {
		return judge_pins(draft, asked, token, pins);
	}
	if (dies) {
		plan_note(draft,
			"token %s is not reached (%s): nobody knows which approvers its owner asks "
			"for; its copies are held and destroyed when it is back and finds enough "
			"of them; until then the erasure stays executing and its certificate "
			"provisional",
			kms_id_text(token, id), kms_err_name(err));
	}
	return KMS_OK;
}

static kms_err ask_tokens(struct plan_draft *draft, struct doc *observed)
{
	struct asked *asked KMS_AUTO_FREE = calloc(1, sizeof(*asked));
	struct doc *array = doc_set_array(observed, "tokens");
	if (asked == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (uint32_t i = 0; i < draft->token_count; i++) {
		KMS_TRY(ask_token(draft, asked, &draft->tokens[i], array));
	}
	for (uint32_t i = 0; i < draft->erase.wipe_count; i++) {
		const struct kms_id *token = &draft->erase.wipes[i];
		if (bsearch(token, draft->tokens, draft->token_count, sizeof(*token),
			    plan_compare_ids) == NULL) {
			KMS_TRY(ask_token(draft, asked, token, array));
		}
	}
	if (!asked->reached) {
		plan_problem(draft,
			"no token of this erasure answers, so nobody knows which approvers it asks "
			"for: the kms-tokend of one of them must run");
	}
	doc_set_int(observed, "needed", asked->needed);
	return KMS_OK;
}

/* ---- counts ---- */

static kms_err add_uses(const struct plan_draft *draft, struct doc *observed)
{
	struct doc *uses = doc_set_array(observed, "uses");
	for (size_t i = 0; i < draft->key_count; i++) {
		struct store_use_count count = {0};
		const struct kms_id *key = &draft->keys[i].key.id;
		KMS_TRY(store_use_count_get(draft->parts->store, key, &count));
		struct doc *row = doc_add_object(uses);
		doc_set_id(row, "key", key);
		doc_set_int(row, "datakeys", (int64_t)count.datakeys);
		doc_set_int(row, "wraps", (int64_t)count.wraps);
		doc_set_int(row, "unwraps", (int64_t)count.unwraps);
		doc_set_int(row, "rewraps", (int64_t)count.rewraps);
		doc_set_int(row, "first", count.first_unix_ms);
		doc_set_int(row, "last", count.last_unix_ms);
	}
	return KMS_OK;
}

static kms_err add_leases(const struct plan_draft *draft, struct doc *observed)
{
	LEASE_COUNTS_AUTO counts = {0};
	KMS_TRY(lease_counts_of(draft->parts->store, &draft->erase, &counts));
	lease_counts_write(&counts, kms_now_unix_ms(), observed);
	return KMS_OK;
}

kms_err plan_observed_write(struct plan_draft *draft, struct kms_buf *ret_observed)
{
	KMS_AUTO(doc) observed = NULL;
	KMS_TRY(doc_new_object(&observed));
	doc_set_int(observed, "at", kms_now_unix_ms());
	KMS_TRY(add_uses(draft, observed));
	KMS_TRY(add_leases(draft, observed));
	KMS_TRY(ask_tokens(draft, observed));
	doc_set_copy(observed, "notes", draft->notes);
	doc_set_copy(observed, "problems", draft->problems);
	return doc_write(observed, ret_observed);
}
