/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of service share.
 *	door.c      service_call: find, decide, act, record, in this order for every operation
 *	lists.c     lists and shows           keys.c     create, rotate, suspend, resume, deactivate
 *	uses.c      data key, wrap, unwrap, rewrap, sealed or clear
 *	sessions.c  whose sealed session is it  births.c   one KEK in every token of a key
 *	recover.c   after each new link: commit or abandon by the ledger's word
 *	init.c      offline: --init, --add-tenant
 */
#ifndef KMS_SERVICE_INT_H
#define KMS_SERVICE_INT_H

#include "service.h"

#include "crypto.h"
#include "format.h"
#include "ledger.h"
#include "policy.h"
#include "store.h"
#include "token.h"

#include <pthread.h>

struct service {
	struct service_parts parts;
	pthread_mutex_t lock; /* sessions and births below */
	void *sessions;       /* struct relayed, tsearch(3) */
	/* Key versions that are being made right now: recovery leaves them alone. */
	struct in_birth *births;
	pthread_t recovery;
	bool has_recovery;
	bool stopping;
	pthread_cond_t changed;
};

/* One request on its way through the door. */
struct service_ask {
	const struct model_principal *who;
	const struct model_request *request;
	/* The key that it is about, when it is about one; `has_key` tells. */
	bool has_key;
	struct model_key key;
};

/* An operation. It may act because the door let it pass; what it changes goes through the ledger,
 * what it uses through uses.c. */
typedef kms_err (*service_operation)(
	struct service *service, const struct service_ask *ask, struct model_answer *answer);

kms_err lists_status(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_tenants(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_principals(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_tokens(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_keys(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_datasets(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_history(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_entries(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_uses(struct service *, const struct service_ask *, struct model_answer *);
kms_err lists_head(struct service *, const struct service_ask *, struct model_answer *);
kms_err keys_create(struct service *, const struct service_ask *, struct model_answer *);
kms_err keys_rotate(struct service *, const struct service_ask *, struct model_answer *);
kms_err keys_change_state(struct service *, const struct service_ask *, struct model_answer *);
kms_err datasets_add(struct service *, const struct service_ask *, struct model_answer *);
kms_err sessions_open(struct service *, const struct service_ask *, struct model_answer *);
kms_err uses_run(struct service *, const struct service_ask *, struct model_answer *);

/* A key with every KEK of it, as KEY_SHOW answers. */
kms_err lists_answer_key(
	struct service *service, const struct kms_id *id, struct model_answer *answer);

/* ---- sessions.c ---- */

/* DENIED when the session is not this principal's with this token. */
kms_err sessions_check(struct service *service, const struct kms_id *session,
	const struct kms_id *principal, const struct kms_id *token);
/* Forget it, and have kms-tokend close it: one of its answers was dropped. */
void sessions_drop(
	struct service *service, const struct kms_id *session, const struct kms_id *token);
void sessions_free_all(struct service *service);

/* ---- births.c ---- */

/*
 * Record the intent, have every token bear its KEK, check the birth statements, record the result,
 * commit. On a failure the result says so and every token is told to abandon.
 */
kms_err births_make(struct service *service, const struct kms_id *actor, struct model_key *key,
	uint32_t version);
/* Give up a version whose making was cut off by a crash: result, then abandon. */
kms_err births_give_up(struct service *service, const struct kms_id *tenant,
	const struct kms_id *key, uint32_t version);
bool births_in_progress(struct service *service, const struct kms_id *key);

/* ---- recover.c ---- */
void *recover_run(void *service);

#endif
