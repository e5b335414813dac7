/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of service share.
 *	door.c      service_call: find, decide, act, record, in this order for every operation
 *	lists.c     lists and shows           keys.c     create, rotate, suspend, resume, deactivate
 *	history.c   all that happened to one key
 *	uses.c      data key, wrap, unwrap, rewrap, sealed or clear
 *	leases.c    clients' receipts for data keys, and what they are to give up
 *	sessions.c  whose sealed session is it  births.c   one KEK in every token of a key
 *	recover.c   after each new link: commit or abandon by the ledger's word
 *	erase.c     plan, request and show an erasure      approve.c  approve and cancel it
 *	execute.c   when it may begin: its intent          go_on.c    token by token, row by row
 *	go_on_row.c one of them: order, statements, entry  renew.c    what is refused, taken over
 *	holds.c     kms-tokends keep held what an erasure names
 *	certify.c   its certificate
 *	init.c      offline: --init, --add-tenant
 */
#ifndef KMS_SERVICE_INT_H
#define KMS_SERVICE_INT_H

#include "service.h"

#include "crypto.h"
#include "evidence.h"
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
	/* Keys of which an open erasure names some versions: holds.c. */
	struct held_key *held;
	/* Tokens that an erasure is being carried out in right now: go_on.c. */
	struct going *going;
	/* For each token of the set: the link after which it was brought to agree last. */
	uint64_t *settled;
	pthread_mutex_t certificates; /* one is made at a time: each supersedes the one before */
	pthread_t recovery;
	bool has_recovery;
	bool stopping;
	pthread_cond_t changed; /* stopping, or one that was going has left */
};

/* One request on its way through the door. */
struct service_ask {
	const struct model_principal *who;
	const struct model_request *request;
	/* The key that it is about, when it is about one; `has_key` tells. */
	bool has_key;
	struct model_key key;
	/* A use of a key that had some of its versions held already when it came. */
	bool held;
	char *detail; /* LIMIT_REASON + 1 bytes: what more the client may know of an error */
};
/* Says why in ask->detail, and returns err. */
kms_err service_refuse(const struct service_ask *ask, kms_err err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

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
kms_err leases_report(struct service *, const struct service_ask *, struct model_answer *);
kms_err erase_plan(struct service *, const struct service_ask *, struct model_answer *);
kms_err erase_request(struct service *, const struct service_ask *, struct model_answer *);
kms_err erase_list(struct service *, const struct service_ask *, struct model_answer *);
kms_err erase_show(struct service *, const struct service_ask *, struct model_answer *);
kms_err approve_run(struct service *, const struct service_ask *, struct model_answer *);
kms_err approve_cancel(struct service *, const struct service_ask *, struct model_answer *);
kms_err execute_run(struct service *, const struct service_ask *, struct model_answer *);
kms_err certify_run(struct service *, const struct service_ask *, struct model_answer *);

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

/* ---- erase.c ---- */

struct evidence_parts erase_parts(struct service *service);
/* As ERASE_SHOW answers. */
kms_err erase_answer(struct service *service, const struct kms_id *id, struct model_answer *answer);
/* The erasure and its bytes; the caller frees both. */
kms_err erase_get(struct service *service, const struct kms_id *id,
	struct model_erasure *ret_erasure, struct format_erase **ret_erase);
/* Every token that it names, each once. */
uint32_t erase_tokens(const struct format_erase *erase, struct kms_id ret_tokens[LIMIT_TOKENS]);
/* Whose thing does a wish name? Fills ask->key when it is a key. */
kms_err erase_subject(struct service *service, struct service_ask *ask,
	const struct model_erase_target *target, struct kms_id *ret_tenant);
/* Says by which erasure the key is gone, and returns ERASED. */
kms_err erase_refuse_use(struct service *service, const struct service_ask *ask);

/* ---- approve.c ---- */

/* What all its tokens that answer ask for: the approvers that each of them pins, and the highest
 * number. TOKEN_DOWN when none answers. */
kms_err approve_pins(struct service *service, const struct format_erase *erase,
	struct model_erase_pins *ret_pins);
bool approve_is_pinned(
	const struct model_erase_pins *pins, const struct kms_id *approver, struct kms_bytes spki);
/* A cancelled erasure's cancellation, to one token, or to all with NULL. */
kms_err approve_tell_cancelled(struct service *service, const struct model_erasure *erasure,
	const struct format_erase *erase, const struct kms_id *token);

/* ---- go_on.c ---- */

/*
 * Carry out an erasure whose intent is recorded, as far as it goes now: in one token, or with NULL
 * in all. What a token fails at stays for the next time. `fresh`: what is wrong is an alarm now.
 * The first failure of the ledger or store, else of a token.
 */
kms_err go_on_run(struct service *service, const struct kms_id *erasure, const struct kms_id *token,
	const struct kms_id *actor, bool fresh);

/* ---- renew.c ---- */

struct renewal;
/*
 * Before a request is checked that takes over what is left of older erasures: from here to the end
 * nobody carries those out in these tokens, and each token was asked once more. What it went on
 * with makes the plan another one. TIMEOUT: somebody is at it, try again.
 */
kms_err renew_begin(struct service *service, const struct service_ask *ask,
	const struct format_erase *erase, struct renewal **ret_renewal);
void renew_end(struct service *service, struct renewal **renewal); /* accepts NULL in it */

/* ---- holds.c ---- */

/* Before its request is recorded: from then on uses of its key's versions have to wait. */
kms_err holds_add(struct service *service, const struct format_erase *erase);
void holds_remove(struct service *service, const struct kms_id *erasure);
/* Those from which this one took over, or back to which what it had went. */
kms_err holds_follow(struct service *service, const struct kms_id *older, size_t count);
/* Tell every token to hold its KEKs, or no longer. What a token does not hear now, recovery tells
 * it, and until then no key that has held versions is used. */
void holds_tell(struct service *service, const struct format_erase *erase, bool held);
/* What open and cancelled erasures say of this token's KEKs, after a new link. */
kms_err holds_resend(struct service *service, struct token *token, const struct model_token *row);
kms_err holds_load(struct service *service); /* at start */
/* For a use: TOKEN_DOWN while a token may not know yet what it holds. */
kms_err holds_admit(struct service *service, const struct model_key *key, bool *ret_held);
bool holds_has(struct service *service, const struct kms_id *key);
void holds_free_all(struct service *service);

/* ---- recover.c ---- */
void *recover_run(void *service);
kms_err recover_alarm(struct service *service, const struct model_token *row,
	const struct kms_id *key, const char *text);
/* An error that says nothing about what was asked, only that it cannot be asked now. */
bool recover_is_outage(kms_err err);

#endif
