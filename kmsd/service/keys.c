/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and datasets: create, rotate, suspend, resume, deactivate, register. */
#include "service_int.h"

#include <stdlib.h>
#include <string.h>

/* The tokens that will guard a new key: those that were asked for, which the door found to be the
 * tenant's, or the tenant's only one. */
static kms_err choose_tokens(
	struct service *service, const struct service_ask *ask, struct model_key *key)
{
	struct model_token *rows KMS_AUTO_FREE = NULL;
	size_t count;
	const struct kms_id *wanted = ask->request->u.key_create.tokens;
	uint32_t wanted_count = ask->request->u.key_create.token_count;
	for (uint32_t i = 0; i < wanted_count; i++) {
		for (uint32_t j = 0; j < i; j++) {
			if (kms_id_equal(&wanted[j], &wanted[i])) {
				return KMS_ERR(ARGUMENT);
			}
		}
		key->tokens[i] = wanted[i];
	}
	key->token_count = wanted_count;
	if (wanted_count > 0) {
		return KMS_OK;
	}
	KMS_TRY(store_token_list(service->parts.store, &ask->who->tenant, &rows, &count));
	if (count != 1) {
		return KMS_ERR(ARGUMENT); /* nobody guesses which token guards a key */
	}
	key->tokens[0] = rows[0].id;
	key->token_count = 1;
	return KMS_OK;
}

kms_err keys_create(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	struct model_key key = {
		.tenant = ask->who->tenant,
		.custodian = ask->who->id,
		.custody = ask->request->u.key_create.custody,
		.delivery = ask->request->u.key_create.delivery,
		.state = MODEL_STATE_PRE_ACTIVATION,
	};
	KMS_TRY(choose_tokens(service, ask, &key));
	/* Custody `all` over one token would promise a separation that is not there. */
	if (key.custody == MODEL_CUSTODY_ALL && key.token_count < 2) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(kms_id_random(&key.id));
	memcpy(key.label.text, ask->request->u.key_create.label, sizeof(key.label.text));
	kms_random(key.label.salt, sizeof(key.label.salt));
	KMS_TRY(births_make(service, &ask->who->id, &key, 1));
	return lists_answer_key(service, &key.id, answer);
}

kms_err keys_rotate(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	struct model_key key = ask->key;
	KMS_TRY(births_make(service, &ask->who->id, &key, key.version + 1));
	return lists_answer_key(service, &key.id, answer);
}

static enum model_event event_of(enum model_op op)
{
	return op == MODEL_OP_KEY_SUSPEND  ? MODEL_EVENT_SUSPEND
	       : op == MODEL_OP_KEY_RESUME ? MODEL_EVENT_RESUME
					   : MODEL_EVENT_DEACTIVATE;
}

kms_err keys_change_state(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	change->type = MODEL_CHANGE_KEY_STATE;
	change->actor = ask->who->id;
	change->tenant = ask->key.tenant;
	change->u.key_state.key = ask->key.id;
	change->u.key_state.event = event_of(ask->request->op);
	KMS_TRY(model_state_next(
		ask->key.state, change->u.key_state.event, &change->u.key_state.state));
	uint64_t seq;
	KMS_TRY(ledger_change(service->parts.ledger, change, &seq));
	return lists_answer_key(service, &ask->key.id, answer);
}

kms_err datasets_add(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	struct model_dataset *row = calloc(1, sizeof(*row));
	answer->u.datasets.rows = row; /* freed with the answer */
	if (change == NULL || row == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	answer->u.datasets.count = 1;
	*row = ask->request->u.dataset_add;
	KMS_TRY(kms_id_random(&row->id));
	row->tenant = ask->key.tenant;
	row->custodian = ask->who->id;
	kms_random(row->label.salt, sizeof(row->label.salt));
	change->type = MODEL_CHANGE_DATASET_ADD;
	change->actor = ask->who->id;
	change->tenant = row->tenant;
	change->u.dataset_add = *row;
	uint64_t seq;
	return ledger_change(service->parts.ledger, change, &seq);
}
