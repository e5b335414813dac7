/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KEKs of a plan, key by key: those that die, and what stands in the way. Runs in kmsd. It only
 * looks.
 */
#include "evidence_int.h"

#include <stdlib.h>

/* A token that ever held one: not where it was given up, since no data key was ever under it. */
static void note_token(struct plan_draft *draft, const struct kms_id *token)
{
	for (uint32_t i = 0; i < draft->token_count; i++) {
		if (kms_id_equal(&draft->tokens[i], token)) {
			return;
		}
	}
	KMS_ASSERT(draft->token_count < LIMIT_TOKENS); /* the store has no more of one tenant */
	draft->tokens[draft->token_count++] = *token;
}

static kms_err add_copy(struct plan_draft *draft, const struct model_kek *kek)
{
	if (draft->erase.kek_count == draft->kek_room) {
		size_t room = draft->kek_room * 2 + 16;
		struct format_erase_kek *grown = realloc(draft->erase.keks, room * sizeof(*grown));
		if (grown == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		draft->erase.keks = grown;
		draft->kek_room = room;
	}
	draft->erase.keks[draft->erase.kek_count++] = (struct format_erase_kek){.token = kek->token,
		.kek = kek->id,
		.key = kek->key,
		.version = kek->version,
		.commitment = kek->commitment};
	return KMS_OK;
}

/* Another erasure's KEKs are its own to destroy. */
static bool is_anothers(const struct plan_draft *draft, const struct kms_id *erasure)
{
	return !kms_id_is_zero(erasure) && !kms_id_equal(erasure, &draft->wish->erasure);
}

static kms_err add_live(struct plan_draft *draft, const struct model_kek *kek, bool *ret_busy)
{
	char token[KMS_ID_TEXT], id[KMS_ID_TEXT], erasure[KMS_ID_TEXT];
	bool admits = true, left = false;
	if (is_anothers(draft, &kek->erasure)) {
		KMS_TRY(plan_admits(draft, &kek->token, &kek->id, &admits, &left));
	}
	if (left && draft->renewing) {
		plan_note(draft, "KEK %s in token %s stays in erasure %s, which goes on with it",
			kms_id_text(&kek->id, id), kms_id_text(&kek->token, token),
			kms_id_text(&kek->erasure, erasure));
		return KMS_OK;
	}
	*ret_busy = *ret_busy || !admits;
	return add_copy(draft, kek);
}

static kms_err add_kek(struct plan_draft *draft, const struct model_kek *kek, bool *ret_busy)
{
	char key[KMS_ID_TEXT];
	switch (kek->state) {
	case MODEL_KEK_PENDING:
		plan_problem(draft, "version %u of key %s is being made: wait until that has ended",
			(unsigned)kek->version, kms_id_text(&kek->key, key));
		return KMS_OK;
	case MODEL_KEK_LIVE:
		return add_live(draft, kek, ret_busy);
	case MODEL_KEK_ABANDONED:
	case MODEL_KEK_DESTROYED:
		return KMS_OK;
	}
	return KMS_ERR(INTERNAL);
}

/* Takes over what row owns when it is OK. */
static kms_err add_row(struct plan_draft *draft, const struct plan_key *row)
{
	for (size_t i = 0; i < row->kek_count; i++) {
		enum model_kek_state state = row->keks[i].state;
		if (plan_takes(draft->wish, row->keks[i].version) &&
			(state == MODEL_KEK_LIVE || state == MODEL_KEK_DESTROYED)) {
			note_token(draft, &row->keks[i].token);
		}
	}
	struct plan_key *grown =
		realloc(draft->keys, (draft->key_count + 1) * sizeof(*draft->keys));
	if (grown == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	draft->keys = grown;
	draft->keys[draft->key_count++] = *row;
	return KMS_OK;
}

kms_err plan_add_key(struct plan_draft *draft, const struct model_key *key)
{
	struct plan_key row = {.key = *key};
	char text[KMS_ID_TEXT];
	uint32_t before = draft->erase.kek_count;
	/* An erasure of versions cannot be of a key that is another's as a whole. */
	bool busy = is_anothers(draft, &key->erasure) &&
		    (!draft->renewing || draft->wish->target.scope == MODEL_ERASE_VERSIONS);
	KMS_TRY(store_kek_list(draft->parts->store, &key->id, &row.keks, &row.kek_count));
	kms_err err = KMS_OK;
	for (size_t i = 0; kms_is_ok(err) && i < row.kek_count; i++) {
		if (plan_takes(draft->wish, row.keks[i].version)) {
			err = add_kek(draft, &row.keks[i], &busy);
		}
	}
	bool dies = kms_is_ok(err) && draft->erase.kek_count > before;
	if (dies && busy) {
		plan_problem(draft,
			"key %s is in another erasure already: cancel that one, or wait for it; "
			"what its tokens refuse after its approvals have expired can be planned "
			"anew",
			kms_id_text(&key->id, text));
	}
	err = dies ? add_row(draft, &row) : err;
	if (!dies || !kms_is_ok(err)) {
		free(row.keks);
	}
	return err;
}
