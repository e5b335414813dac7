/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokend: the program kms-tokend, one per token, run by the token's owner under a user of its own.
 * It holds the vendor's module, the PIN and the sessions, and trusts its owner's file, never kmsd.
 * It has one thread: messages are answered in the order in which they came.
 *
 *	owner.c     the owner's file                 profile.c  pkcs11-profiles/, the PIN
 *	state.c     small fsynced files              uses.c     numbering, running hash, statements
 *	keks.c      the KEKs in memory               session.c  sealed sessions, who may have one
 *	births.c    their births on disk             bear.c     born, committed, abandoned
 *	sweep.c     what a killed birth leaves
 *	call.c      inside against outside           operate.c  the four operations on a KEK
 *	head.c      checkpoints (system token)       manifest.c manifests of bundles (the same)
 *	owner_erase.c  who may have a KEK destroyed  marks.c    held, erasing, destroyed: durable
 *	erase.c     approved erasures, opened        erase_judge.c  is one approved? by our own file
 *	erase_people.c  who signed it?               erase_time.c  is it time?
 *	erase_kek.c destroy, look, state             erase_cancel.c cancellations, kept for ever
 *	erase_wipe.c  the token's end                serve_erase.c  the rows of all these
 *	serve.c     poll loop, one row per message   init.c     kms-tokend --init
 *	p11*.c      the token itself
 */
#ifndef KMS_TOKEND_INT_H
#define KMS_TOKEND_INT_H

#include "base.h"
#include "channel.h"
#include "crypto.h"
#include "exchange.h"
#include "format.h"
#include "model.h"
#include "p11_int.h"
#include "tlog.h"
#include "tokmsg.h"

/* ---- owner.c: what the owner allows. Read once at start; only the deny list is read again ---- */

enum { OWNER_DENY_MAX = 10000, OWNER_PATH_MAX = 1024 };

/* Another token of the tenant, and the key of its statements. */
struct owner_peer {
	struct kms_id token;
	struct tlog_vkey statement;
};

struct owner {
	struct config *file; /* owns every text below */
	bool system;         /* the system token: signs heads, bears no KEKs */
	struct kms_id tenant;
	const char *directory; /* kms-tokend's own, mode 0700 */
	const char *user;      /* to become, when started as root */
	const char *socket;
	unsigned peer_uid; /* kmsd's */
	const char *profile_path;
	const char *label;
	const char *pin_file; /* one of the three, or none: prompt */
	const char *pin_credential;
	const char *organisation;
	const char *site;
	const char *country;
	const char *client_ca;         /* tenant: PEM of the CA that issues storage certificates */
	const char *deny;              /* SPKI hashes in hex, one a line; NULL: none */
	bool clear;                    /* may `clear` keys and sessions exist here? */
	struct kms_hash clear_session; /* then: kmsd's session certificate */
	uint64_t uses_per_minute;      /* cap; 0: none */
	const char *log_origin;        /* system: the log whose heads it signs */
	/* owner_erase.c: without approvals (needed 0) nothing is ever destroyed here */
	struct tlog_vkey ledger; /* under whose checkpoints an intent must stand */
	struct model_erase_pins approvals;
	uint32_t peer_count;
	struct owner_peer peers[LIMIT_TOKENS]; /* whose destroy statements count as `late` */
};
kms_err owner_erase_read(struct config *map, struct owner *owner);
kms_err owner_read(const char *path, struct owner **ret_owner);
void owner_free(struct owner **owner);

/* ---- profile.c ---- */

struct profile {
	struct config *file;
	struct p11_profile p11;
	enum model_class class;
};
/* The owner's profile, completed with label and directory from its file. */
kms_err profile_read(const struct owner *owner, struct profile **ret_profile);
void profile_free(struct profile **profile);
/* File, systemd credential or prompt. With `make`, a PIN file that is not there is made: 32 random
 * characters, mode 0400. */
kms_err profile_pin(const struct owner *owner, bool make, struct kms_secret **ret_pin);

/* ---- state.c: durable files in DIRECTORY/state, each replaced whole and fsynced ---- */

struct state {
	char dir[OWNER_PATH_MAX];
};
kms_err state_open(const char *directory, bool make, struct state *ret_state);
/* A file of the state directory; NOT_FOUND when it is not there. */
kms_err state_read(
	const struct state *state, const char *name, size_t max, struct kms_buf *ret_buf);
kms_err state_write(const struct state *state, const char *name, struct kms_bytes bytes);
kms_err state_remove(const struct state *state, const char *name); /* OK when it is not there */
/* One unsigned number; a missing file is 0. */
kms_err state_read_u64(const struct state *state, const char *name, uint64_t *ret_value);
kms_err state_write_u64(const struct state *state, const char *name, uint64_t value);
/* What `kms-tokend --init` fixed: the token's id, how p11 knows it again, and whether it has an
 * Ed25519 key for the ledger. */
struct state_pins {
	struct kms_id token;
	struct p11_pins p11;
	bool has_ed25519;
};
kms_err state_pins_read(const struct state *state, struct state_pins *ret_pins);
kms_err state_pins_write(const struct state *state, const struct state_pins *pins);

/* ---- keks.c: every KEK that was ever born here ---- */

enum kek_life { KEK_BORN, KEK_COMMITTED, KEK_ABANDONED, KEK_ERASING, KEK_DESTROYED };
/* By which erasure a KEK dies, and when that began. */
struct kek_mark {
	struct kms_id erasure;
	struct kms_hash erase; /* SHA-256 of its kmsd-erase/1 bytes */
	int64_t begun_unix_ms;
};
struct kek {
	struct format_birth birth;
	struct kms_buf statement;
	enum kek_life life;
	bool wrong;           /* the token has another key under its id: evidence, never used */
	bool held;            /* kmsd suspended it */
	bool reappeared;      /* destroyed, and in the token again: never used */
	struct kek_mark mark; /* ERASING, DESTROYED */
	struct p11_kek object;
	uint64_t wraps;    /* counted in this run, from the reserved number on */
	uint64_t reserved; /* durable: never wrap past it */
};
struct keks;
struct tokend;
/* Read the births, check that committed KEKs are in the token, sweep what was never born. */
kms_err keks_open(struct tokend *tokend, struct keks **ret_keks);
void keks_free(struct keks **keks);
/* Any KEK by id; the newest committed one of a key. NULL: none. Borrowed. */
struct kek *keks_find(struct keks *keks, const struct kms_id *id);
struct kek *keks_newest(struct keks *keks, const struct kms_id *key);
/* Is a KEK of this key born here and neither committed nor abandoned? */
bool keks_has_born(const struct keks *keks, const struct kms_id *key);
kms_err keks_bear(
	struct tokend *tokend, const struct model_bear *bear, struct kms_bytes *ret_statement);
kms_err keks_commit(struct tokend *tokend, const struct kms_id *id);
kms_err keks_abandon(struct tokend *tokend, const struct kms_id *id);
/* Rows after an id, by id, at most LIMIT_LIST_PAGE; abandoned ones left out. Caller frees. */
kms_err keks_list(const struct keks *keks, const struct kms_id *after,
	struct model_held_kek **ret_rows, uint32_t *ret_count);
/* May it be used? ERASED for a destroyed one, KEY_STATE for one that is held or dying. */
kms_err kek_usable(const struct kek *kek);
/* The KEKs of one key, or of all (NULL). */
struct keks_tally {
	uint32_t born;      /* neither committed nor abandoned */
	uint32_t committed; /* ever: those below among them */
	uint32_t destroyed;
};
void keks_count(const struct keks *keks, const struct kms_id *key, struct keks_tally *ret_tally);
/* Visit each; the first error ends it. */
kms_err keks_each(
	const struct keks *keks, kms_err (*visit)(const struct kek *kek, void *arg), void *arg);
/* One more wrap: from the reserved block, or a new block reserved durably. BUDGET at the end. */
kms_err keks_count_wrap(struct tokend *tokend, struct kek *kek);

/* ---- marks.c: what was decided about a KEK, durable before it counts ---- */

/* Suspend, or no longer; idempotent. NOT_FOUND for one that was not born here, ERASED when it is
 * too late. */
kms_err keks_hold(struct tokend *tokend, const struct kms_id *id, bool held);
kms_err keks_mark_erasing(struct tokend *tokend, struct kek *kek, const struct kek_mark *mark);
kms_err keks_mark_destroyed(
	struct tokend *tokend, struct kek *kek, struct kms_bytes destroy, struct kms_bytes absence);
/* Both statements about a destroyed KEK; they borrow from ret_file. */
kms_err keks_end_read(struct tokend *tokend, const struct kek *kek, struct kms_buf *ret_file,
	struct kms_bytes *ret_destroy, struct kms_bytes *ret_absence);

/* ---- uses.c: numbers, running hash, and the statements over acknowledged uses ---- */

struct uses;
/* Counts the boot up, durably. */
kms_err uses_open(struct tokend *tokend, struct uses **ret_uses);
void uses_free(struct uses **uses);
/* Is there room for count more that kmsd has not acknowledged, and the owner's cap not reached?
 * LEDGER (unacknowledged) or RATE (cap) when not. */
kms_err uses_admit(struct uses *uses, uint32_t count, uint64_t cap_per_minute);
/* Number this use; sets use->n. */
kms_err uses_count(struct uses *uses, struct model_counted_use *use);
void uses_where(const struct uses *uses, uint64_t *ret_boot, uint64_t *ret_used,
	uint64_t *ret_acked, struct kms_hash *ret_running);
/* ARGUMENT for another boot or a number that was not given out. */
kms_err uses_ack(struct uses *uses, uint64_t boot, uint64_t n);
/* Unacknowledged uses after n, borrowed until the next call into uses. */
kms_err uses_pending(struct uses *uses, uint64_t n, struct model_counted *ret_uses);
/* Sign a statement when uses were acknowledged since the last one; fsync before it may leave. */
kms_err uses_sign(struct tokend *tokend);
/* The newest statement if it says more than (boot, n); empty else. Borrowed. */
kms_err uses_statement(
	const struct uses *uses, uint64_t boot, uint64_t n, struct kms_bytes *ret_statement);

/* ---- session.c ---- */

enum session_kind { SESSION_UNKNOWN, SESSION_SEALED, SESSION_CLEAR };
struct session {
	struct kms_id id;
	struct channel *channel;
	enum session_kind kind; /* UNKNOWN until the peer's certificate was looked at */
	struct kms_hash spki;
	int64_t cert_until_unix_s;
	int64_t opened_ms;
};
struct sessions;
kms_err sessions_new(struct tokend *tokend, struct sessions **ret_sessions);
void sessions_free(struct sessions **sessions);
kms_err sessions_open(struct sessions *sessions, struct kms_bytes flight, struct kms_id *ret_id,
	struct kms_buf *ret_flight);
struct session *sessions_find(struct sessions *sessions, const struct kms_id *id);
void sessions_close(struct sessions *sessions, const struct kms_id *id);
void sessions_tick(struct sessions *sessions); /* closes worn ones */
/*
 * May the peer of this session ask for this, now? By the owner's file: the client CA and purpose
 * for sealed, kmsd's pinned certificate for clear, the deny list as it stands on disk.
 * TOKEN_REFUSED with the reason in ret_reason (LIMIT_REASON + 1 bytes).
 */
kms_err sessions_welcome(struct sessions *sessions, struct session *session, char *ret_reason);

/* Does the deny list, as it stands on disk, name this certificate? TOKEN_REFUSED when it does. */
kms_err sessions_denied(struct sessions *sessions, const struct kms_hash *spki, char *ret_reason);
/* The tenant's; NULL for the system token. */
const struct crypto_cert *sessions_client_ca(const struct sessions *sessions);

/* ---- erase*.c: judged here alone, by the owner's file; docs/architecture.md, Erasure ---- */

enum { ERASE_OPEN_MAX = 16 }; /* held at a time; then the one that was opened first goes */
/* An erasure that was found approved. */
struct erasure {
	struct format_erase *order;
	struct kms_hash hash; /* SHA-256 of its kmsd-erase/1 bytes */
	bool late;            /* another token began it in time: ours may come after its end */
	uint64_t opened;      /* counts */
};
struct erasures;
kms_err erasures_new(struct erasures **ret_erasures);
void erasures_free(struct erasures **erasures);
/* NULL: not held. Borrowed until the next open or cancellation. */
struct erasure *erasures_find(struct erasures *erasures, const struct kms_id *id);
void erasures_drop(struct erasures *erasures, const struct kms_id *id);
/*
 * All of these give TOKEN_REFUSED with a reason (LIMIT_REASON + 1 bytes) for what the owner's file
 * does not allow, and TIMEOUT where it is too early. KEK and wipe: NOT_FOUND when it is not held.
 */
kms_err erase_open(struct tokend *tokend, const struct model_erase_order *order, char *ret_reason);
/* The statements borrow from ret_file. INTEGRITY: the token has not the KEK that was born, and it
 * was not destroyed here. */
kms_err erase_kek(struct tokend *tokend, const struct kms_id *erasure, const struct kms_id *kek,
	struct kms_buf *ret_file, struct kms_bytes *ret_destroy, struct kms_bytes *ret_absence,
	char *ret_reason);
/* KEY_STATE while a KEK is left. */
kms_err erase_wipe(struct tokend *tokend, const struct kms_id *erasure,
	struct kms_buf *ret_statement, char *ret_reason);
/* KEY_STATE once its destruction has begun here. */
kms_err erase_cancel(struct tokend *tokend, struct kms_bytes erase, struct kms_bytes spki,
	struct kms_bytes certificate, const uint8_t signature[MODEL_SIGNATURE], char *ret_reason);
/* erase_judge.c: is this order approved, by all that kms-tokend can check itself? */
kms_err erase_judge(struct tokend *tokend, const struct model_erase_order *order,
	struct erasure *ret_erasure, char *ret_reason);
/* Is that time in its window? begun: the window's end does not count any more. */
kms_err erase_in_time(
	const struct format_erase *order, int64_t unix_ms, bool begun, char *ret_reason);
/* Another token's word that it began in time to destroy a KEK of this very erasure; when that was.
 */
kms_err erase_check_late(const struct tokend *tokend, struct kms_bytes late,
	const struct erasure *erasure, int64_t *ret_unix_ms, char *ret_reason);
/*
 * erase_people.c. One of the tenant's people, not a storage system: a certificate of the client CA,
 * valid at that time, without the storage purpose, not denied now.
 */
kms_err erase_person(struct tokend *tokend, struct kms_bytes certificate, int64_t unix_s,
	struct kms_buf *ret_spki, char *ret_reason);
/* Requester and approvers, with certificates as of that time. */
kms_err erase_check_people(struct tokend *tokend, const struct model_erase_order *order,
	const struct format_erase *erase, int64_t at_unix_ms, char *ret_reason);
/* Has destruction of a KEK, or the wipe, begun here by these very bytes? Then it is finished, and
 * nothing else is begun for it. */
bool erase_has_begun(
	const struct tokend *tokend, const struct format_erase *order, const struct kms_hash *hash);
kms_err erase_is_cancelled(
	const struct tokend *tokend, const struct kms_id *erasure, bool *ret_cancelled);
bool erase_wipes(const struct format_erase *order, const struct kms_id *token);
/* Write the reason, log it, and be TOKEN_REFUSED. */
kms_err erase_refuse(char *ret_reason, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* By these very bytes? */
bool erase_wipe_begun(
	const struct tokend *tokend, const struct kms_id *erasure, const struct kms_hash *hash);
/* Was the token wiped, or has that begun? Read at the start. */
kms_err erase_wipe_read(const struct tokend *tokend, bool *ret_wiped);

/* ---- call.c, operate.c ---- */

/*
 * One CALL: open the sealed bytes, compare inside with outside, operate, count, seal the answer.
 * ret_record is owned by the caller, as is ret_answer->uses.rows.
 */
kms_err call_answer(struct tokend *tokend, const struct tokmsg_call *call,
	struct tokmsg_call_answer *ret_answer, struct kms_buf *ret_record, char *ret_reason);
/* One item, after every check on the call: fills answer and, when it is a use, use. TOKEN_DOWN
 * ends the whole call; every other failure is the item's own. */
kms_err operate(struct tokend *tokend, const struct session *session, enum model_op op,
	const struct format_item *item, struct format_answer_item *answer,
	struct model_counted_use *use, struct kms_secret **ret_data_key);

/* ---- head.c: the system token ---- */

struct head;
kms_err head_open(struct tokend *tokend, struct head **ret_head);
void head_free(struct head **head);
/* Sign a checkpoint that extends the last one, with each key that the token has for it: ROLLBACK
 * for a smaller, INTEGRITY for an inconsistent one. Borrowed note. */
kms_err head_sign(
	struct tokend *tokend, const struct model_head_sign *request, struct kms_bytes *ret_note);
kms_err head_last(const struct head *head, struct kms_bytes *ret_note);
/* manifest.c: sign a bundle's manifest, whole: TOKEN_REFUSED for a text that is none. */
enum { MANIFEST_MAX = LIMIT_TOKMSG_BYTES - TLOG_NOTE_MAX };
kms_err manifest_sign(struct tokend *tokend, struct kms_bytes text, struct kms_buf *ret_note);
#define HEAD_SIGN_LABEL "kmsd-ledger"
#define HEAD_SIGN_ED25519_LABEL "kmsd-ledger-ed25519"
#define HEAD_MANIFEST_LABEL "kmsd-manifest"

/* ---- the program ---- */

struct tokend {
	struct owner *owner;
	struct profile *profile;
	struct state state;
	struct kms_id token;
	bool has_ed25519; /* --init made the ledger's second key: it must be there */
	struct p11 *p11;  /* NULL once wiped */
	bool wiped;       /* or that has begun: the token is never opened again */
	bool down;        /* the token did not answer: p11_reopen with back-off */
	struct crypto_signer *statement_key;
	struct kms_buf statement_spki;
	struct channel_identity *identity;
	struct uses *uses;
	struct keks *keks;
	struct sessions *sessions;
	struct head *head;
	struct erasures *erasures;
};
/* Everything but the listening socket. */
kms_err tokend_open(struct owner *owner, struct tokend **ret_tokend);
void tokend_free(struct tokend **tokend);
/* Serve until a signal says stop. signal_fd as proc_signal_fd() gives it. */
kms_err serve_run(struct tokend *tokend, int listen_fd, int signal_fd);
/* Make token, keys, request and pins; print the pins. */
kms_err init_run(struct owner *owner);
/* The signed part and this token's signature: a statement as it is kept and sent. */
kms_err tokend_sign_statement(struct tokend *tokend, const struct format_statement *statement,
	struct kms_buf *ret_statement);
/* Name of a file in the token's directory. */
kms_err tokend_path(const struct owner *owner, const char *name, char ret_path[OWNER_PATH_MAX]);
#define FILE_STATEMENT_KEY "statement.key"
#define FILE_SESSION_KEY "session.key"
#define FILE_SESSION_CSR "session.csr"
#define FILE_SESSION_CERT "session.pem"
#define FILE_PINS "pins.yaml"

#endif
