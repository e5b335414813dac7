/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door. Every operation of every face comes through service_call: the thing it is about is
 * found, the policy decides, a denial is recorded before it is answered, and only then does the
 * operation's own file act. An operation cannot forget any of this: it is not asked to remember.
 */
#include "service_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an operation's id names. */
enum subject {
	ABOUT_NOTHING,
	ABOUT_TENANT,
	ABOUT_PRINCIPAL,
	ABOUT_TOKEN,
	ABOUT_TOKENS,
	ABOUT_KEY,
	ABOUT_DATASET,
	ABOUT_ERASURE,
	ABOUT_WISH,  /* what an erasure would be about */
	ABOUT_SIGNED /* the same, in the bytes of its request */
};

static const struct {
	service_operation run;
	enum subject about;
} rows[MODEL_OP_COUNT_] = {
	[MODEL_OP_STATUS] = {lists_status, ABOUT_NOTHING},
	[MODEL_OP_TENANT_LIST] = {lists_tenants, ABOUT_NOTHING},
	[MODEL_OP_TENANT_SHOW] = {lists_tenants, ABOUT_TENANT},
	[MODEL_OP_PRINCIPAL_LIST] = {lists_principals, ABOUT_NOTHING},
	[MODEL_OP_PRINCIPAL_SHOW] = {lists_principals, ABOUT_PRINCIPAL},
	[MODEL_OP_TOKEN_LIST] = {lists_tokens, ABOUT_NOTHING},
	[MODEL_OP_TOKEN_SHOW] = {lists_tokens, ABOUT_TOKEN},
	[MODEL_OP_KEY_CREATE] = {keys_create, ABOUT_TOKENS},
	[MODEL_OP_KEY_LIST] = {lists_keys, ABOUT_NOTHING},
	[MODEL_OP_KEY_SHOW] = {lists_keys, ABOUT_KEY},
	[MODEL_OP_KEY_ROTATE] = {keys_rotate, ABOUT_KEY},
	[MODEL_OP_KEY_SUSPEND] = {keys_change_state, ABOUT_KEY},
	[MODEL_OP_KEY_RESUME] = {keys_change_state, ABOUT_KEY},
	[MODEL_OP_KEY_DEACTIVATE] = {keys_change_state, ABOUT_KEY},
	[MODEL_OP_KEY_HISTORY] = {lists_history, ABOUT_KEY},
	[MODEL_OP_DATASET_ADD] = {datasets_add, ABOUT_KEY},
	[MODEL_OP_DATASET_LIST] = {lists_datasets, ABOUT_NOTHING},
	[MODEL_OP_DATASET_SHOW] = {lists_datasets, ABOUT_DATASET},
	[MODEL_OP_SESSION_OPEN] = {sessions_open, ABOUT_TOKEN},
	[MODEL_OP_DATAKEY] = {uses_run, ABOUT_KEY},
	[MODEL_OP_WRAP] = {uses_run, ABOUT_KEY},
	[MODEL_OP_UNWRAP] = {uses_run, ABOUT_KEY},
	[MODEL_OP_REWRAP] = {uses_run, ABOUT_KEY},
	[MODEL_OP_LEASE_REPORT] = {leases_report, ABOUT_NOTHING},
	[MODEL_OP_LEDGER_HEAD] = {lists_head, ABOUT_NOTHING},
	[MODEL_OP_LEDGER_ENTRIES] = {lists_entries, ABOUT_NOTHING},
	[MODEL_OP_LEDGER_USES] = {lists_uses, ABOUT_NOTHING},
	[MODEL_OP_ERASE_PLAN] = {erase_plan, ABOUT_WISH},
	[MODEL_OP_ERASE_REQUEST] = {erase_request, ABOUT_SIGNED},
	[MODEL_OP_ERASE_LIST] = {erase_list, ABOUT_NOTHING},
	[MODEL_OP_ERASE_SHOW] = {erase_show, ABOUT_ERASURE},
	[MODEL_OP_ERASE_APPROVE] = {approve_run, ABOUT_ERASURE},
	[MODEL_OP_ERASE_CANCEL] = {approve_cancel, ABOUT_ERASURE},
	[MODEL_OP_ERASE_EXECUTE] = {execute_run, ABOUT_ERASURE},
	[MODEL_OP_ERASE_CERTIFICATE] = {certify_run, ABOUT_ERASURE},
};

/* The id that the request names; the union's members differ by operation. */
static const struct kms_id *id_of(const struct model_request *request)
{
	if (model_op_is_use(request->op)) {
		return &request->u.use.key;
	}
	if (request->op == MODEL_OP_SESSION_OPEN) {
		return &request->u.session_open.token;
	}
	if (request->op == MODEL_OP_DATASET_ADD) {
		return &request->u.dataset_add.key;
	}
	if (request->op == MODEL_OP_ERASE_APPROVE || request->op == MODEL_OP_ERASE_CANCEL) {
		return &request->u.erase_sign.id;
	}
	return &request->u.id;
}

static kms_err find_tenant(struct store *store, const struct kms_id *id, struct kms_id *ret_tenant)
{
	struct model_tenant tenant;
	KMS_TRY(store_tenant_get(store, id, &tenant));
	*ret_tenant = tenant.id;
	model_tenant_free(&tenant);
	return KMS_OK;
}

/* Of the tokens that a new key names, the first that is another's decides; without any, none does.
 */
static kms_err find_tokens(
	struct store *store, const struct service_ask *ask, struct kms_id *ret_tenant)
{
	struct model_token token = {.tenant = ask->who->tenant};
	for (uint32_t i = 0; i < ask->request->u.key_create.token_count; i++) {
		KMS_TRY(store_token_get(store, &ask->request->u.key_create.tokens[i], &token));
		if (!kms_id_equal(&token.tenant, &ask->who->tenant)) {
			break;
		}
	}
	*ret_tenant = token.tenant;
	return KMS_OK;
}

static kms_err find_erasure(struct store *store, const struct kms_id *id, struct kms_id *ret_tenant)
{
	struct model_erasure erasure;
	KMS_TRY(store_erasure_get(store, id, &erasure));
	*ret_tenant = erasure.tenant;
	model_erasure_free(&erasure);
	return KMS_OK;
}

/* Both the tenant that the bytes name and the thing's own have to be the asker's. */
static kms_err find_signed(
	struct service *service, struct service_ask *ask, struct kms_id *ret_tenant)
{
	KMS_AUTO(format_erase) erase = NULL;
	KMS_TRY(format_erase_read(kms_buf_bytes(&ask->request->u.erase_request.bytes), &erase));
	if (!kms_id_equal(&erase->tenant, &ask->who->tenant)) {
		*ret_tenant = erase->tenant;
		return KMS_OK;
	}
	const struct model_erase_target target = {.scope = erase->scope, .subject = erase->subject};
	return erase_subject(service, ask, &target, ret_tenant);
}

/* Whose thing is it? Fills ask->key when it is a key. */
static kms_err find_subject(
	struct service *service, struct service_ask *ask, struct kms_id *ret_tenant)
{
	struct store *store = service->parts.store;
	const struct kms_id *id = id_of(ask->request);
	struct model_principal principal;
	struct model_token token;
	struct model_dataset dataset;
	switch (rows[ask->request->op].about) {
	case ABOUT_NOTHING:
		*ret_tenant = ask->who->tenant;
		return KMS_OK;
	case ABOUT_TENANT:
		return find_tenant(store, id, ret_tenant);
	case ABOUT_PRINCIPAL:
		KMS_TRY(store_principal_get(store, id, &principal));
		*ret_tenant = principal.tenant;
		return KMS_OK;
	case ABOUT_TOKEN:
		KMS_TRY(store_token_get(store, id, &token));
		/* The operator keeps every token's link; it sees no more than that. */
		*ret_tenant =
			ask->who->role == MODEL_ROLE_OPERATOR ? ask->who->tenant : token.tenant;
		return KMS_OK;
	case ABOUT_TOKENS:
		return find_tokens(store, ask, ret_tenant);
	case ABOUT_KEY:
		KMS_TRY(store_key_get(store, id, &ask->key));
		ask->has_key = true;
		*ret_tenant = ask->key.tenant;
		return KMS_OK;
	case ABOUT_DATASET:
		KMS_TRY(store_dataset_get(store, id, &dataset));
		*ret_tenant = dataset.tenant;
		return KMS_OK;
	case ABOUT_ERASURE:
		return find_erasure(store, id, ret_tenant);
	case ABOUT_WISH:
		return erase_subject(service, ask, &ask->request->u.erase_plan.target, ret_tenant);
	case ABOUT_SIGNED:
		return find_signed(service, ask, ret_tenant);
	}
	return KMS_ERR(INTERNAL);
}

kms_err service_refuse(const struct service_ask *ask, kms_err err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(ask->detail, LIMIT_REASON + 1, format, args);
	va_end(args);
	return err;
}

/* What an erasure names is neither used nor awaited: it is gone, or about to be. */
static kms_err admit_use(struct service *service, struct service_ask *ask, kms_err decided)
{
	bool allowed = kms_is_ok(decided), named = !kms_id_is_zero(&ask->key.erasure);
	bool gone = ask->key.state == MODEL_STATE_DESTROYED ||
		    ask->key.state == MODEL_STATE_DESTROYED_COMPROMISED;
	if (kms_is(decided, KMS_CODE_KEY_STATE) && named && gone) {
		return erase_refuse_use(service, ask);
	}
	if (allowed && named) {
		return KMS_ERR(KEY_STATE);
	}
	return allowed ? holds_admit(service, &ask->key, &ask->held) : decided;
}

static kms_err decide(struct service *service, struct service_ask *ask)
{
	struct policy_question question = {
		.role = ask->who->role,
		.tenant = ask->who->tenant,
		.expires_unix_s = ask->who->expires_unix_s,
		.op = ask->request->op,
		.now_unix_ms = kms_now_unix_ms(),
	};
	KMS_TRY(find_subject(service, ask, &question.subject_tenant));
	if (ask->has_key) {
		question.delivery = ask->key.delivery;
		question.state = ask->key.state;
	} else if (ask->request->op == MODEL_OP_KEY_CREATE) {
		question.delivery = ask->request->u.key_create.delivery;
	}
	struct policy_answer answer = policy_decide(service->parts.policy, &question);
	if (!answer.allowed) {
		kms_log(KMS_LOG_INFO, "denied %s by %s: %s", model_op_text(ask->request->op),
			answer.rule, answer.text);
	}
	kms_err err = answer.allowed ? KMS_OK : kms_err_from_code((unsigned)answer.code);
	return model_op_is_use(ask->request->op) ? admit_use(service, ask, err) : err;
}

static bool is_outage(kms_err err)
{
	return kms_is(err, KMS_CODE_STORE) || kms_is(err, KMS_CODE_NO_MEMORY) ||
	       kms_is(err, KMS_CODE_TOKEN_DOWN);
}

/* One record of a request that was refused as a whole. */
static kms_err record_denial(struct service *service, const struct service_ask *ask, kms_err why)
{
	struct model_use denial = {
		.unix_ms = kms_now_unix_ms(),
		.op = ask->request->op,
		.principal = ask->who->id,
		.spki = ask->who->spki,
		.denied = why.code,
	};
	if (ask->has_key) {
		denial.key = ask->key.id;
	}
	return ledger_deny(service->parts.ledger, &ask->who->tenant, &denial, 1);
}

static bool is_about_erasure(enum model_op op)
{
	return rows[op].about == ABOUT_ERASURE || rows[op].about == ABOUT_WISH ||
	       rows[op].about == ABOUT_SIGNED;
}

kms_err service_call(struct service *service, const struct model_principal *who,
	enum model_face face, const struct model_request *request, struct model_answer **ret_answer,
	char ret_detail[LIMIT_REASON + 1])
{
	ret_detail[0] = '\0';
	if (request->op <= 0 || request->op >= MODEL_OP_COUNT_ || rows[request->op].run == NULL ||
		(model_op_face(request->op) & face) == 0) {
		return KMS_ERR(NOT_FOUND);
	}
	struct service_ask *ask KMS_AUTO_FREE = calloc(1, sizeof(*ask));
	KMS_AUTO(model_answer) answer = calloc(1, sizeof(*answer));
	if (ask == NULL || answer == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	ask->who = who;
	ask->request = request;
	ask->detail = ret_detail;
	answer->op = request->op;
	kms_err err = decide(service, ask);
	if (is_outage(err)) {
		return err; /* nobody was refused anything */
	}
	if (!kms_is_ok(err)) {
		KMS_TRY(record_denial(service, ask, err));
		return err;
	}
	err = rows[request->op].run(service, ask, answer);
	if (kms_is(err, KMS_CODE_DENIED) && is_about_erasure(request->op)) {
		KMS_TRY(record_denial(service, ask, err)); /* a signature or a person */
	}
	KMS_TRY(err);
	*ret_answer = kms_take(&answer);
	return KMS_OK;
}

kms_err service_principal(
	struct service *service, const struct kms_hash *spki, struct model_principal *ret_principal)
{
	struct model_principal principal;
	kms_err err = store_principal_by_spki(service->parts.store, spki, &principal);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_ERR(UNAUTHENTICATED);
	}
	KMS_TRY(err);
	if (kms_now_unix_ms() / 1000 >= principal.expires_unix_s) {
		return KMS_ERR(UNAUTHENTICATED);
	}
	*ret_principal = principal;
	return KMS_OK;
}

kms_err service_tenant_ca(struct service *service, const struct kms_id *tenant, char **ret_ca_pem)
{
	if (kms_id_is_zero(tenant)) {
		return store_setting_get(service->parts.store, "platform_ca", ret_ca_pem);
	}
	struct model_tenant row;
	KMS_TRY(store_tenant_get(service->parts.store, tenant, &row));
	*ret_ca_pem = kms_take(&row.ca_pem);
	model_tenant_free(&row);
	return KMS_OK;
}

kms_err service_start(const struct service_parts *parts, struct service **ret_service)
{
	KMS_AUTO(service) service = calloc(1, sizeof(*service));
	if (service == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	service->parts = *parts;
	(void)pthread_mutex_init(&service->lock, NULL);
	(void)pthread_mutex_init(&service->certificates, NULL);
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&service->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	service->settled = calloc(token_count(parts->tokens) + 1, sizeof(*service->settled));
	if (service->settled == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(holds_load(service));
	if (pthread_create(&service->recovery, NULL, recover_run, service) != 0) {
		return KMS_ERR(NO_MEMORY);
	}
	service->has_recovery = true;
	*ret_service = kms_take(&service);
	return KMS_OK;
}

void service_free(struct service **service)
{
	if (service == NULL || *service == NULL) {
		return;
	}
	struct service *s = *service;
	(void)pthread_mutex_lock(&s->lock);
	s->stopping = true;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	if (s->has_recovery) {
		(void)pthread_join(s->recovery, NULL);
	}
	sessions_free_all(s);
	holds_free_all(s);
	free(s->settled);
	(void)pthread_mutex_destroy(&s->certificates);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
	*service = NULL;
}
