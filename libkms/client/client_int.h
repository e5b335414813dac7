/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libkms/client's own files share. <kms/kms.h> and <kms/admin.h> are the module's header.
 */
#ifndef KMS_CLIENT_INT_H
#define KMS_CLIENT_INT_H

#include <pthread.h>

#include <kms/admin.h>
#include <kms/kms.h>

#include "base.h"
#include "channel.h"
#include "config.h"
#include "crypto.h"
#include "format.h"
#include "model.h"

/* ---- profile (profile.c) ---- */

enum {
	PROFILE_KEYS_MAX = 1000, /* keys with pins of their own */
	PROFILE_TOKENS_MAX = LIMIT_TOKENS,
};

/* A token that was pinned, by id and session certificate. */
struct pinned_token {
	struct kms_id id;
	struct kms_hash session_spki;
};

/* What a key must be: its id is zero in the tenant's default pins. */
struct pins {
	struct format_key key;
	uint32_t token[LIMIT_CUSTODY_TOKENS]; /* where in profile.tokens */
};

struct profile {
	struct config *file;   /* owns the texts below */
	const char *data_url;  /* NULL: no data path */
	const char *admin_url; /* NULL: no management */
	const char *server_ca;
	const char *certificate;
	const char *key;
	struct kms_id tenant;
	bool has_default_key;
	struct kms_id default_key;
	bool has_default_pins;
	struct pins default_pins;
	struct pins *key_pins; /* owned */
	size_t key_pins_count;
	struct pinned_token tokens[PROFILE_TOKENS_MAX]; /* each once */
	uint32_t token_count;
};
kms_err profile_read(const char *path, struct profile **ret_profile);
void profile_free(struct profile **profile);
/* The pins of a key, with its id filled in. PINS: none were given for it. */
kms_err profile_pins(
	const struct profile *profile, const struct kms_id *key, struct pins *ret_pins);

/* ---- HTTPS (http.c): the only file with libcurl ---- */

struct http;
/* Borrows the profile. */
kms_err http_new(const struct profile *profile, struct http **ret_http);
void http_free(struct http **http);

enum {
	CLIENT_PROBLEM_MAX = 512, /* bytes of a text for people */
	HTTP_CONNECT_MS = 5 * 1000,
	HTTP_CALL_MS = 30 * 1000, /* kmsd itself waits LIMIT_TOKEN_WAIT_MS for a token */
	HTTP_IDLE_MAX = 8,        /* kept connections of one client */
};
struct http_call {
	const char *url;       /* https://HOST[:PORT] */
	const char *method;    /* GET or POST */
	const char *target;    /* path and query */
	struct kms_bytes body; /* of a POST */
	bool secret;           /* the answer carries data keys */
};
/* Start as {0}. */
struct http_answer {
	unsigned status;           /* of HTTP */
	unsigned retry_after_s;    /* 0: not said */
	struct kms_secret *secret; /* the body, where it carries data keys */
	struct kms_buf plain;      /* the body, else */
	char problem[CLIENT_PROBLEM_MAX];
};
void http_answer_free(struct http_answer *answer);
#define HTTP_AUTO_ANSWER __attribute__((cleanup(http_answer_free))) struct http_answer
struct kms_bytes http_answer_body(const struct http_answer *answer);
/*
 * One request, whatever the answer's status. NETWORK, TIMEOUT; PINS: the server's certificate is
 * not of the profile's CA or for another host; CONFIG: our own certificate cannot be used;
 * TOO_LARGE, FORMAT: an answer too large, or without its length. The problem is said in the answer.
 * Any thread.
 */
kms_err http_call(struct http *http, const struct http_call *call, struct http_answer *answer);

/* ---- the client (client.c, ask.c) ---- */

struct kms_client {
	struct profile *profile;
	struct channel_identity *identity;
	struct http *http;
	struct leases *leases;
	struct sealed *sealed[PROFILE_TOKENS_MAX]; /* one for each of profile.tokens */
	pthread_mutex_t lock; /* of the problem; a leaf: nothing is locked under it */
	char problem[CLIENT_PROBLEM_MAX];
};
struct kms_context {
	struct model_context model;
};
void client_problem_set(struct kms_client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

enum {
	RETRY_MAX = 5,             /* of one call, while a token is down */
	RETRY_TOTAL_MS = 9 * 1000, /* and no longer than this altogether, waiting included */
	RETRY_FIRST_MS = 200,      /* doubled each time, unless kmsd says Retry-After */
};
/* How often and how long one call was tried. */
struct retry {
	int64_t since_ms;
	unsigned tries;
	unsigned after_s; /* kmsd's Retry-After; 0: none */
	bool reopened;    /* a lost session was replaced, once */
};
/* Shall the call be made again? Waits where it has to: only for TOKEN_DOWN, and for SESSION once.
 */
bool retry_again(struct retry *retry, kms_err err);

/* One request to kmsd and its answer's body; a problem that kmsd names is the error. retry may be
 * NULL. */
kms_err client_ask(struct kms_client *client, const struct model_request *request,
	struct retry *retry, struct http_answer *ret_answer);

/* The same once, for the client's own thread: the problem is nobody's. */
kms_err client_ask_quietly(struct kms_client *client, const struct model_request *request,
	struct http_answer *ret_answer);

/* ---- one request's worth of uses, all of one key ---- */

struct batch {
	uint32_t count;
	int64_t lease_end_ms; /* boottime; the earliest of what was handed out; 0: nothing yet */
	struct format_use *uses;
	struct model_context **contexts; /* as the callers gave them: what kmsd may know */
};
/* The answer to a request of that time leases what it handed out for so long. */
void batch_lease(struct batch *batch, enum model_op op, int64_t asked_ms, uint32_t lease_s);

/* ---- sealed sessions (sealed.c) ---- */

enum { SEALED_SESSIONS = 4 }; /* open channels to one token */

/* The sessions of one token; any thread. Borrows client and token. */
struct sealed;
kms_err sealed_new(
	struct kms_client *client, const struct pinned_token *token, struct sealed **ret_sealed);
void sealed_free(struct sealed **sealed);
/*
 * One message into a session and its answer out of it. A session that is worn or lost is replaced,
 * once. patient: wait and try again while the token is down.
 */
kms_err sealed_exchange(struct sealed *sealed, enum model_op op, const struct kms_id *key,
	struct batch *batch, bool patient, const struct kms_secret *message,
	struct kms_secret **ret_answer);

/* ---- clear delivery (clear.c) ---- */

/* The batch, through a kmsd that sees the data keys: only for keys that are pinned as clear. */
kms_err clear_call(struct kms_client *client, const struct format_key *key, enum model_op op,
	struct batch *batch);

/* ---- uses of keys (work.c) ---- */

/* What a data key was handed out for. */
struct lease {
	int64_t end_ms;                          /* boottime */
	uint32_t versions[LIMIT_CUSTODY_TOKENS]; /* of the key, by its tokens; 0: not by this one */
};

/* One use of a key, on its way. What it was handed and does not pass on it gives up. */
struct work {
	struct leases *leases; /* borrowed from the client */
	struct lease lease;
	struct model_context *context; /* as the caller gave it; owned */
	struct kms_buf canonical;      /* the same with the tenant; owned */
	struct format_use use;         /* borrows canonical; owns its data key */
};
void work_free(struct work *work); /* what it owns */
#define WORK_AUTO __attribute__((cleanup(work_free))) struct work
/* With a copy of the context (NULL: none), and a new wrapped-key id. */
kms_err work_new(
	const struct kms_client *client, const struct kms_context *context, struct work *ret_work);
/* With the wrapped key that was given. */
kms_err work_new_wrapped(const struct kms_client *client, const struct kms_context *context,
	struct kms_bytes wrapped, struct work *ret_work);
/*
 * Run op over works of one key, in as few requests as its limits allow. Each work's use.code tells
 * of it; when the call fails as a whole, those that it did not do carry its error.
 */
kms_err works_run(struct kms_client *client, enum model_op op, const struct kms_id *key,
	struct work *const *works, size_t count);
/* The same for one: its code, too, is the error. */
kms_err work_run(
	struct kms_client *client, enum model_op op, const struct kms_id *key, struct work *work);

/* ---- leases (leases.c, receipts.c) ---- */

/* All that a client holds on lease, and what it gave up and has not said yet; any thread. Data keys
 * keep it while they live. */
struct leases {
	struct kms_client *client;    /* NULL: freed */
	struct kms_id holder;         /* the client, in use records and receipts */
	struct crypto_signer *signer; /* of the client's certificate */
	struct kms_buf certificate;
	pthread_t wiper, teller; /* two: no slow kmsd keeps a key from being wiped */
	bool has_wiper, has_teller;
	pthread_mutex_t lock; /* of all that follows; nothing is locked under it */
	pthread_cond_t changed;
	size_t references; /* the client, and data keys */
	bool closed;
	struct kms_data_key *first;
	/* given up, and in no receipt yet */
	struct format_receipt_row *rows;
	size_t row_count, row_cap;
	int64_t news_since_ms; /* 0: none */
	int64_t rows_until_ms; /* boottime; later kmsd may know a holder of them no more */
	/* the receipt that kmsd has not answered; empty: none */
	struct kms_buf pending;
	int64_t pending_until_ms;
	uint8_t signature[MODEL_SIGNATURE];
	uint64_t number; /* of the last receipt made */
	int64_t asked_ms;
	bool urgent;    /* kmsd, or the user, wants the receipts now */
	bool reporting; /* somebody does: pending and number are theirs */
	bool gone_by;   /* kmsd did not answer in time while the client ended */
};
/* CONFIG and others, as of certificate and key. */
kms_err leases_new(struct kms_client *client, struct leases **ret_leases);
/* Wipes everything, ends the threads, and sends the receipts, once. */
void leases_free(struct leases **leases);
kms_err leases_add(struct leases *leases, struct kms_data_key *data_key);
void leases_remove(struct kms_data_key *data_key); /* wiped */
/* A new lease for the same data key; takes the key. */
void leases_renew(
	struct kms_data_key *data_key, struct kms_secret **key, const struct lease *lease);
/* What was handed out for this, and no data key holds, is wiped. */
void leases_gave_up(struct leases *leases, const struct kms_id *key, const struct lease *lease);
/* Wipe what is held under one key (NULL: all), but what is borrowed, and tell kmsd now. */
kms_err leases_purge(struct leases *leases, const struct kms_id *key);
/* Its signer and certificate. */
kms_err receipts_open(struct leases *leases);
/* pending, of what was given up. lock is held. */
kms_err receipts_make(struct leases *leases);
/* pending, if there is any, to kmsd, and what it wants back. */
kms_err receipts_send(struct leases *leases, struct kms_id ret_recalled[LIMIT_RECALLED_KEYS],
	uint32_t *ret_count);

/* ---- keys (keys.c) ---- */

struct kms_data_key {
	struct kms_id id; /* of the key that it is under */
	struct kms_buf wrapped;
	struct leases *leases;
	/* under its lock: */
	struct kms_secret *key; /* NULL: purged */
	struct lease lease;
	uint32_t borrowed;
	bool recalled;
	bool disowned;
	struct kms_data_key *previous, *next;
};
/* Takes the key out of a work that is done. */
kms_err data_key_take(struct work *work, struct kms_data_key **ret_data_key);
/* A key id as text, or the profile's default key for NULL. */
kms_err client_key(struct kms_client *client, const char *key_id, struct kms_id *ret_id);

/* ---- management (admin.c, admin_erase.c) ---- */

/* The answer's body as text; and by the operation with an id, or with a page, alone. */
kms_err admin_call(struct kms_client *client, const struct model_request *request, char **ret_json);
kms_err admin_call_id(struct kms_client *client, enum model_op op, const char *id, char **ret_json);
kms_err admin_call_page(
	struct kms_client *client, enum model_op op, const struct kms_page *page, char **ret_json);
/* ARGUMENT where it is none. */
kms_err admin_id(const char *text, struct kms_id *ret_id);

#endif
