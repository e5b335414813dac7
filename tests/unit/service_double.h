/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of kmsd/service: kms-tokends that do as they are told (a double of token.h), over
 * a real store, ledger and policy. Each token notes what it was told together with what the store
 * said of that KEK at that moment, which shows the order of things. Include it once per test.
 */
#ifndef SERVICE_DOUBLE_H
#define SERVICE_DOUBLE_H

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crypto.h"
#include "format.h"
#include "ledger.h"
#include "policy.h"
#include "record.h"
#include "service.h"
#include "store.h"
#include "tlog.h"
#include "token.h"

#define ORIGIN "example.test/kmsd/1"

static inline void ok(kms_err err, const char *what, int line)
{
	if (!kms_is_ok(err)) {
		ck_abort_msg("line %d: %s: %s", line, what, kms_err_name(err));
	}
}
#define OK(expr) ok(expr, #expr, __LINE__)
#define FAILS(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

/* Ids. Tenant 1 has two tokens, tenant 2 has one. */
enum {
	TENANT = 1,
	OTHER_TENANT,
	STORAGE, /* tenant 1's principals */
	STORAGE_TOO,
	CUSTODIAN,
	APPROVER,
	APPROVER_TOO,
	EXPIRED,
	OTHER_STORAGE, /* tenant 2's */
	OTHER_CUSTODIAN,
	OPERATOR,
	TOKEN_A = 20,
	TOKEN_B,
	TOKEN_C,
	TOKEN_SYSTEM,
};

static inline struct kms_id id(unsigned n)
{
	struct kms_id made = {{7}};
	made.b[15] = (uint8_t)n;
	return made;
}

static inline struct kms_hash hash(unsigned n)
{
	struct kms_hash made;
	memset(&made, (int)n, sizeof(made));
	return made;
}

/* ---- the double of token.h ---- */

enum lie {
	LIE_NONE,
	LIE_KEY,
	LIE_VERSION,
	LIE_KEK,
	LIE_TENANT,
	LIE_TOKEN,
	LIE_CUSTODY,
	LIE_DELIVERY,
	LIE_TOKENS,
	LIE_SIGNATURE, /* another token signed it */
	LIE_BYTES,
	LIE_NOT_SENSITIVE,
	LIE_EXTRACTABLE,
	LIE_NOT_ALWAYS_SENSITIVE,
	LIE_NOT_NEVER_EXTRACTABLE,
	LIE_NOT_LOCAL,
	LIE_WRAP,
	LIE_UNWRAP,
	LIE_DERIVE,
	LIE_NOT_DESTROYABLE,
	LIE_IMPORTED,
	LIE_COUNT_,
};

/* What the end of a KEK is said to be, and is not. */
enum erase_lie {
	ERASE_LIE_NONE,
	ERASE_LIE_SIGNATURE, /* another token signed it */
	ERASE_LIE_TYPE,
	ERASE_LIE_TOKEN,
	ERASE_LIE_TENANT,
	ERASE_LIE_ERASURE,
	ERASE_LIE_BYTES,
	ERASE_LIE_KEY,
	ERASE_LIE_VERSION,
	ERASE_LIE_KEK,
	ERASE_LIE_COMMITMENT,
	ERASE_LIE_RV,
	ERASE_LIE_CANARY,
	ERASE_LIE_ABSENCE_KEK,
	ERASE_LIE_ABSENCE_BYTES,
	ERASE_LIE_MATCHED,
	ERASE_LIE_COUNT_,
};

/* A call of bear, commit, abandon, hold, release, erase or cancel, and what the store said of the
 * KEK just then. */
struct heard {
	char what; /* 'b', 'c', 'a', 'h', 'r', 'e', 'x' */
	struct kms_id kek;
	enum model_kek_state state; /* 0: the store does not know it */
};

enum { HELD_MAX = 16, HEARD_MAX = 512 };

struct token {
	struct kms_id id;
	pthread_mutex_t lock;
	struct token_uses *queue;
	uint64_t next_n;
	struct kms_hash running;
	struct crypto_signer *signer;
	struct tlog_vkey vkey;
	struct kms_buf note;
	bool down;
	uint64_t boot, links;
	/* KEKs */
	struct model_held_kek held[HELD_MAX];
	uint32_t held_count;
	struct heard heard[HEARD_MAX];
	size_t heard_count;
	enum lie lie;
	enum kms_code bear_code, commit_code;
	/* calls */
	unsigned calls, sessions;
	struct kms_id closed; /* the last session that was closed */
	enum kms_code call_code;
	enum kms_code item_code; /* of the item numbered item_at */
	uint32_t item_at;
	bool item_missing;
	void (*during)(void); /* happens while a call is under way */
	/* erasures */
	struct model_erase_pins pins;
	struct format_erase *erase; /* that is open */
	struct kms_hash erase_hash;
	uint32_t opened, order_approvals;
	bool order_late;
	enum erase_lie erase_lie;
	enum kms_code pins_code, open_code, erase_code, hold_code;
	bool refuses_late; /* open_code, whatever another token's word */
	const char *why;   /* its reason; NULL: none */
	bool not_initialised;
	unsigned wipes;
};
enum { TOKENS = 4 };
struct token_set {
	struct token tokens[TOKENS];
};
static struct token_set set;
static struct token *const token_a = &set.tokens[0];
static struct token *const token_b = &set.tokens[1];
static struct token *const token_c = &set.tokens[2];
static struct token *const token_system = &set.tokens[3];
static struct store *store;

size_t token_count(const struct token_set *tokens)
{
	(void)tokens;
	return TOKENS;
}

struct token *token_at(struct token_set *tokens, size_t i)
{
	return &tokens->tokens[i];
}

const struct kms_id *token_id(const struct token *token)
{
	return &token->id;
}

kms_err token_find(struct token_set *tokens, const struct kms_id *wanted, struct token **ret_token)
{
	for (size_t i = 0; i < TOKENS; i++) {
		if (kms_id_equal(&tokens->tokens[i].id, wanted)) {
			*ret_token = &tokens->tokens[i];
			return KMS_OK;
		}
	}
	return KMS_ERR(NOT_FOUND);
}

void token_state_get(struct token *token, struct token_state *ret_state)
{
	(void)pthread_mutex_lock(&token->lock);
	*ret_state = (struct token_state){.up = !token->down,
		.links = token->links,
		.hello = {.token = token->id, .boot = token->boot}};
	(void)pthread_mutex_unlock(&token->lock);
}

kms_err token_wait_up(struct token *token, int timeout_ms)
{
	(void)timeout_ms;
	return token->down ? KMS_ERR(TOKEN_DOWN) : KMS_OK;
}

struct token_uses *token_uses_take(struct token *token, uint32_t max)
{
	(void)max; /* one call at a time is all that these tests have */
	(void)pthread_mutex_lock(&token->lock);
	struct token_uses *list = token->queue;
	token->queue = NULL;
	(void)pthread_mutex_unlock(&token->lock);
	return list;
}

void token_uses_free(struct token_uses **list)
{
	while (*list != NULL) {
		struct token_uses *next = (*list)->next;
		free((*list)->uses.rows);
		free(*list);
		*list = next;
	}
}

void token_uses_ack(struct token *token, uint64_t boot, uint64_t n)
{
	(void)token, (void)boot, (void)n;
}

void token_uses_return(struct token *token, struct token_uses *list)
{
	(void)pthread_mutex_lock(&token->lock);
	struct token_uses **last = &list;
	while (*last != NULL) {
		last = &(*last)->next;
	}
	*last = token->queue;
	token->queue = list;
	(void)pthread_mutex_unlock(&token->lock);
}

kms_err token_statement_next(
	struct token *token, uint64_t boot, uint64_t n, struct kms_buf *ret_statement)
{
	(void)token, (void)boot, (void)n;
	*ret_statement = (struct kms_buf){0};
	return KMS_OK;
}

kms_err token_head_sign(
	struct token *token, const struct model_head_sign *request, struct kms_buf *ret_note)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	KMS_TRY(crypto_sign(token->signer, request->checkpoint, raw));
	KMS_TRY(crypto_sig_raw_to_der(raw, &der));
	KMS_TRY(tlog_note_line(&token->vkey, kms_buf_bytes(&der), &line));
	KMS_AUTO_WRITER note = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_bytes(&note, request->checkpoint);
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	kms_buf_free(&token->note);
	KMS_TRY(kms_writer_take(&note, &token->note));
	return kms_buf_copy(kms_buf_bytes(&token->note), ret_note);
}

kms_err token_head_last(struct token *token, struct kms_buf *ret_note)
{
	return kms_buf_copy(kms_buf_bytes(&token->note), ret_note);
}

/* What the store says of a KEK of this token. */
static inline enum model_kek_state recorded_state(
	const struct token *token, const struct kms_id *kek)
{
	enum model_kek_state found = 0;
	for (enum model_kek_state s = MODEL_KEK_PENDING; s <= MODEL_KEK_DESTROYED; s++) {
		struct model_kek *rows = NULL;
		size_t count = 0;
		OK(store_kek_of_token(store, &token->id, s, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			found = kms_id_equal(&rows[i].id, kek) ? s : found;
		}
		free(rows);
	}
	return found;
}

static inline void hear(struct token *token, char what, const struct kms_id *kek)
{
	enum model_kek_state state = recorded_state(token, kek);
	(void)pthread_mutex_lock(&token->lock);
	if (token->heard_count < HEARD_MAX) {
		token->heard[token->heard_count++] = (struct heard){what, *kek, state};
	}
	(void)pthread_mutex_unlock(&token->lock);
}

static inline void hold(
	struct token *token, const struct kms_id *kek, const struct kms_id *key, bool committed)
{
	(void)pthread_mutex_lock(&token->lock);
	ck_assert_uint_lt(token->held_count, HELD_MAX);
	uint32_t at = token->held_count++;
	for (; at > 0 && memcmp(token->held[at - 1].kek.b, kek->b, sizeof(kek->b)) > 0; at--) {
		token->held[at] = token->held[at - 1];
	}
	token->held[at] = (struct model_held_kek){.kek = *kek,
		.key = *key,
		.version = 1,
		.life = committed ? MODEL_HELD_COMMITTED : MODEL_HELD_BORN};
	(void)pthread_mutex_unlock(&token->lock);
}

/* Commit, or let go of, what is held under this id. */
static inline void settle_held(struct token *token, const struct kms_id *kek, bool keep)
{
	uint32_t left = 0;
	(void)pthread_mutex_lock(&token->lock);
	for (uint32_t i = 0; i < token->held_count; i++) {
		bool it = kms_id_equal(&token->held[i].kek, kek);
		if (it && keep) {
			token->held[i].life = MODEL_HELD_COMMITTED;
		}
		if (!it || keep) {
			token->held[left++] = token->held[i];
		}
	}
	token->held_count = left;
	(void)pthread_mutex_unlock(&token->lock);
}

static inline void tell_lie(struct format_statement *s, enum lie lie)
{
	struct format_birth *birth = &s->u.birth;
	struct format_attributes *a = &birth->attributes;
	bool *const bits[LIE_COUNT_] = {
		[LIE_NOT_SENSITIVE] = &a->sensitive,
		[LIE_EXTRACTABLE] = &a->extractable,
		[LIE_NOT_ALWAYS_SENSITIVE] = &a->always_sensitive,
		[LIE_NOT_NEVER_EXTRACTABLE] = &a->never_extractable,
		[LIE_NOT_LOCAL] = &a->local,
		[LIE_WRAP] = &a->wrap,
		[LIE_UNWRAP] = &a->unwrap,
		[LIE_DERIVE] = &a->derive,
		[LIE_NOT_DESTROYABLE] = &a->destroyable,
		[LIE_IMPORTED] = &birth->imported,
	};
	struct kms_id *const ids[LIE_COUNT_] = {
		[LIE_KEY] = &birth->key,
		[LIE_KEK] = &birth->kek,
		[LIE_TENANT] = &s->tenant,
		[LIE_TOKEN] = &s->token,
	};
	if (bits[lie] != NULL) {
		*bits[lie] = !*bits[lie];
	}
	if (ids[lie] != NULL) {
		ids[lie]->b[3] ^= 1;
	}
	birth->version += lie == LIE_VERSION ? 1 : 0;
	birth->custody = lie == LIE_CUSTODY ? MODEL_CUSTODY_ALL : birth->custody;
	birth->delivery = lie == LIE_DELIVERY ? MODEL_DELIVERY_CLEAR : birth->delivery;
	if (lie == LIE_TOKENS) {
		birth->tokens[birth->token_count++] = id(99);
	}
}

kms_err token_kek_bear(
	struct token *token, const struct model_bear *bear, struct kms_buf *ret_birth_statement)
{
	struct format_statement statement = {
		.type = FORMAT_STATEMENT_BIRTH,
		.token = token->id,
		.tenant = bear->tenant,
		.unix_ms = kms_now_unix_ms(),
		.u.birth = {.key = bear->key,
			.version = bear->version,
			.kek = bear->kek,
			.custody = bear->custody,
			.delivery = bear->delivery,
			.token_count = bear->token_count,
			.commitment = hash(77),
			.attributes = {.sensitive = true,
				.always_sensitive = true,
				.never_extractable = true,
				.local = true,
				.destroyable = true}},
	};
	memcpy(statement.u.birth.tokens, bear->tokens, sizeof(bear->tokens));
	hear(token, 'b', &bear->kek);
	if (token->during != NULL) {
		token->during();
	}
	if (token->bear_code != KMS_CODE_OK) {
		return (kms_err){token->bear_code};
	}
	hold(token, &bear->kek, &bear->key, false);
	tell_lie(&statement, token->lie);
	KMS_AUTO_BUF part = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	OK(format_statement_write(&statement, &part));
	const struct token *signer = token->lie != LIE_SIGNATURE ? token
				     : token == token_a          ? token_b
								 : token_a;
	OK(crypto_sign(signer->signer, kms_buf_bytes(&part), raw));
	raw[9] ^= token->lie == LIE_BYTES ? 1 : 0;
	KMS_AUTO_WRITER out = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	kms_write_bytes(&out, kms_buf_bytes(&part));
	kms_write_fixed(&out, raw, sizeof(raw));
	return kms_writer_take(&out, ret_birth_statement);
}

kms_err token_kek_commit(struct token *token, const struct kms_id *kek)
{
	hear(token, 'c', kek);
	if (token->commit_code != KMS_CODE_OK) {
		return (kms_err){token->commit_code};
	}
	settle_held(token, kek, true);
	return KMS_OK;
}

kms_err token_kek_abandon(struct token *token, const struct kms_id *kek)
{
	hear(token, 'a', kek);
	settle_held(token, kek, false);
	return KMS_OK;
}

/* ---- erasures ---- */

kms_err token_kek_hold(struct token *token, const struct kms_id *kek, bool held)
{
	if (token->down || token->hold_code != KMS_CODE_OK) {
		return token->down ? KMS_ERR(TOKEN_DOWN) : (kms_err){token->hold_code};
	}
	hear(token, held ? 'h' : 'r', kek);
	return KMS_OK;
}

kms_err token_erase_pins(struct token *token, struct model_erase_pins *ret_pins)
{
	if (token->down || token->pins_code != KMS_CODE_OK) {
		return token->down ? KMS_ERR(TOKEN_DOWN) : (kms_err){token->pins_code};
	}
	*ret_pins = token->pins;
	return KMS_OK;
}

static inline void say_why(const struct token *token, char *ret_reason)
{
	(void)snprintf(ret_reason, LIMIT_REASON + 1, "%s", token->why == NULL ? "" : token->why);
}

kms_err token_erase_open(
	struct token *token, const struct model_erase_order *order, char *ret_reason)
{
	say_why(token, ret_reason);
	if (token->down) {
		return KMS_ERR(TOKEN_DOWN);
	}
	token->opened++;
	token->order_approvals = order->approval_count;
	token->order_late = order->late.len > 0;
	ck_assert(memmem(order->entry.ptr, order->entry.len, "destroy.execute.intent", 22) != NULL);
	ck_assert_uint_gt(order->checkpoint.len, 0);
	if (token->open_code != KMS_CODE_OK && (!token->order_late || token->refuses_late)) {
		return (kms_err){token->open_code};
	}
	format_erase_free(&token->erase);
	OK(format_erase_read(order->erase, &token->erase));
	return crypto_sha256_one(order->erase, &token->erase_hash);
}

static inline void sign_end(
	struct token *token, const struct format_statement *statement, struct kms_buf *ret)
{
	KMS_AUTO_BUF part = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	const struct token *by = token->erase_lie != ERASE_LIE_SIGNATURE ? token
				 : token == token_a                      ? token_b
									 : token_a;
	OK(format_statement_write(statement, &part));
	OK(crypto_sign(by->signer, kms_buf_bytes(&part), raw));
	KMS_AUTO_WRITER out = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	kms_write_bytes(&out, kms_buf_bytes(&part));
	kms_write_fixed(&out, raw, sizeof(raw));
	OK(kms_writer_take(&out, ret));
}

static inline void tell_erase_lie(
	struct format_statement *s, struct format_erased *what, enum erase_lie lie)
{
	struct kms_id *const ids[ERASE_LIE_COUNT_] = {
		[ERASE_LIE_TOKEN] = &s->token,
		[ERASE_LIE_TENANT] = &s->tenant,
		[ERASE_LIE_ERASURE] = &what->erasure,
		[ERASE_LIE_KEY] = &what->key,
		[ERASE_LIE_KEK] = &what->kek,
	};
	if (ids[lie] != NULL) {
		ids[lie]->b[3] ^= 1;
	}
	what->erase.b[5] ^= lie == ERASE_LIE_BYTES ? 1 : 0;
	what->commitment.b[5] ^= lie == ERASE_LIE_COMMITMENT ? 1 : 0;
	what->version += lie == ERASE_LIE_VERSION ? 1 : 0;
}

static inline void state_end(struct token *token, const struct format_erase_kek *kek,
	struct kms_buf *ret_destroy, struct kms_buf *ret_absence)
{
	enum erase_lie lie = token->erase_lie;
	struct format_erased what = {.erasure = token->erase->erasure,
		.erase = token->erase_hash,
		.key = kek->key,
		.version = kek->version,
		.kek = kek->kek,
		.commitment = kek->commitment};
	struct format_statement s = {.type = FORMAT_STATEMENT_DESTROY,
		.token = token->id,
		.tenant = token->erase->tenant,
		.unix_ms = kms_now_unix_ms()};
	s.u.destroy = (struct format_destroy){.what = what,
		.begun_unix_ms = s.unix_ms,
		.found = true,
		.rv = lie == ERASE_LIE_RV ? 5 : 0,
		.canary_before = true,
		.canary_after = lie == ERASE_LIE_CANARY};
	tell_erase_lie(&s, &s.u.destroy.what, lie);
	if (lie == ERASE_LIE_TYPE) {
		s.type = FORMAT_STATEMENT_ABSENCE;
		s.u.absence = (struct format_absence){.what = what, .searched = 1};
	}
	sign_end(token, &s, ret_destroy);
	s = (struct format_statement){.type = FORMAT_STATEMENT_ABSENCE,
		.token = token->id,
		.tenant = token->erase->tenant,
		.unix_ms = kms_now_unix_ms()};
	s.u.absence = (struct format_absence){.what = what,
		.searched = 3,
		.born = 1,
		.matched = lie == ERASE_LIE_MATCHED ? 1 : 0};
	s.u.absence.what.kek.b[3] ^= lie == ERASE_LIE_ABSENCE_KEK ? 1 : 0;
	s.u.absence.what.erase.b[3] ^= lie == ERASE_LIE_ABSENCE_BYTES ? 1 : 0;
	sign_end(token, &s, ret_absence);
}

static inline void set_life(
	struct token *token, const struct kms_id *kek, enum model_held_life life)
{
	(void)pthread_mutex_lock(&token->lock);
	for (uint32_t i = 0; i < token->held_count; i++) {
		if (kms_id_equal(&token->held[i].kek, kek)) {
			token->held[i].life = life;
		}
	}
	(void)pthread_mutex_unlock(&token->lock);
}

kms_err token_erase_kek(struct token *token, const struct kms_id *erasure, const struct kms_id *kek,
	struct kms_buf *ret_destroy, struct kms_buf *ret_absence, char *ret_reason)
{
	say_why(token, ret_reason);
	if (token->down) {
		return KMS_ERR(TOKEN_DOWN);
	}
	if (token->erase == NULL || !kms_id_equal(&token->erase->erasure, erasure)) {
		return KMS_ERR(NOT_FOUND);
	}
	hear(token, 'e', kek);
	if (token->during != NULL) {
		token->during();
	}
	if (token->erase_code != KMS_CODE_OK) {
		return (kms_err){token->erase_code};
	}
	for (uint32_t i = 0; i < token->erase->kek_count; i++) {
		if (kms_id_equal(&token->erase->keks[i].kek, kek)) {
			state_end(token, &token->erase->keks[i], ret_destroy, ret_absence);
			set_life(token, kek, MODEL_HELD_DESTROYED);
			return KMS_OK;
		}
	}
	return KMS_ERR(TOKEN_REFUSED);
}

kms_err token_erase_wipe(struct token *token, const struct kms_id *erasure,
	struct kms_buf *ret_statement, char *ret_reason)
{
	(void)ret_reason;
	if (token->down) {
		return KMS_ERR(TOKEN_DOWN);
	}
	if (token->erase == NULL || !kms_id_equal(&token->erase->erasure, erasure)) {
		return KMS_ERR(NOT_FOUND);
	}
	token->wipes++;
	struct format_statement s = {.type = FORMAT_STATEMENT_WIPE,
		.token = token->id,
		.tenant = token->erase->tenant,
		.unix_ms = kms_now_unix_ms(),
		.u.wipe = {.erasure = *erasure,
			.erase = token->erase_hash,
			.begun_unix_ms = kms_now_unix_ms(),
			.destroyed = 1,
			.initialised = !token->not_initialised,
			.overwritten = true}};
	sign_end(token, &s, ret_statement);
	return KMS_OK;
}

kms_err token_erase_cancel(struct token *token, struct kms_bytes erase, struct kms_bytes spki,
	struct kms_bytes certificate, const uint8_t signature[MODEL_SIGNATURE])
{
	static const struct kms_id none;
	(void)erase, (void)spki, (void)certificate, (void)signature;
	if (token->down) {
		return KMS_ERR(TOKEN_DOWN);
	}
	hear(token, 'x', &none);
	return KMS_OK;
}

/* A note over the manifest, as over a checkpoint. */
kms_err token_manifest_sign(struct token *token, struct kms_bytes text, struct kms_buf *ret_note)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	KMS_TRY(crypto_sign(token->signer, text, raw));
	KMS_TRY(crypto_sig_raw_to_der(raw, &der));
	KMS_TRY(tlog_note_line(&token->vkey, kms_buf_bytes(&der), &line));
	KMS_AUTO_WRITER note = kms_writer_grow(LIMIT_MANIFEST_BYTES);
	kms_write_bytes(&note, text);
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	return kms_writer_take(&note, ret_note);
}

kms_err token_kek_list(struct token *token, const struct kms_id *after,
	struct model_held_kek **ret_rows, uint32_t *ret_count)
{
	struct model_held_kek *rows = calloc(HELD_MAX, sizeof(*rows));
	uint32_t count = 0;
	(void)pthread_mutex_lock(&token->lock);
	for (uint32_t i = 0; i < token->held_count && count < 2; i++) { /* pages of two */
		if (memcmp(token->held[i].kek.b, after->b, sizeof(after->b)) > 0) {
			rows[count++] = token->held[i];
		}
	}
	(void)pthread_mutex_unlock(&token->lock);
	*ret_rows = rows;
	*ret_count = count;
	return KMS_OK;
}

/* One use into the queue; returns its number. */
static inline uint64_t count_use(struct token *token, enum model_op op, const struct kms_id *key,
	const struct token_user *user, const struct model_call_item *item)
{
	struct token_uses *batch = calloc(1, sizeof(*batch));
	struct model_counted_use *row = calloc(1, sizeof(*row));
	(void)pthread_mutex_lock(&token->lock);
	*row = (struct model_counted_use){.n = ++token->next_n,
		.op = op,
		.spki = hash(STORAGE),
		.key = *key,
		.kek = id(60),
		.version = 1,
		.wrapped_key = item->wrapped_key,
		.context = item->context};
	struct model_use use = {.n = row->n,
		.op = row->op,
		.spki = row->spki,
		.key = row->key,
		.kek = row->kek,
		.version = row->version,
		.wrapped_key = row->wrapped_key,
		.context = row->context};
	OK(format_use_step(&token->running, &use, &token->running));
	batch->uses = (struct model_counted){.boot = token->boot,
		.first = row->n,
		.count = 1,
		.running = token->running,
		.rows = row};
	batch->user = *user;
	struct token_uses **last = &token->queue;
	while (*last != NULL) {
		last = &(*last)->next;
	}
	*last = batch;
	uint64_t n = row->n;
	(void)pthread_mutex_unlock(&token->lock);
	return n;
}

kms_err token_session_open(struct token *token, struct kms_bytes flight, struct kms_id *ret_session,
	struct kms_buf *ret_flight)
{
	(void)flight;
	unsigned n = 100 + token->sessions++;
	*ret_session = id(n);
	ret_session->b[13] = (uint8_t)(n >> 8);
	return kms_buf_copy(kms_bytes_str("hello"), ret_flight);
}

kms_err token_session_close(struct token *token, const struct kms_id *session)
{
	token->closed = *session;
	return KMS_OK;
}

void token_result_free(struct token_result **result)
{
	if (*result != NULL) {
		kms_buf_free(&(*result)->record);
	}
	free(*result);
	*result = NULL;
}

kms_err token_call(
	struct token *token, const struct token_call *call, struct token_result **ret_result)
{
	token->calls++;
	if (token->call_code != KMS_CODE_OK) {
		return (kms_err){token->call_code};
	}
	struct token_result *result = calloc(1, sizeof(*result));
	result->count = call->count - (token->item_missing ? 1 : 0);
	result->boot = token->boot;
	for (uint32_t i = 0; i < call->count; i++) {
		result->codes[i] = i == token->item_at ? token->item_code : KMS_CODE_OK;
		if (result->codes[i] == KMS_CODE_OK) {
			result->last_n = count_use(
				token, call->op, &call->key, &call->user, &call->items[i]);
		}
	}
	OK(kms_buf_copy(kms_bytes_str("sealed answer"), &result->record));
	if (token->during != NULL) {
		token->during();
	}
	*ret_result = result;
	return KMS_OK;
}

kms_err token_clear_call(struct token_set *tokens, const struct format_key *key, enum model_op op,
	const struct token_user *user, struct format_use *uses, uint32_t count,
	uint64_t ret_boot[LIMIT_CUSTODY_TOKENS], uint64_t ret_n[LIMIT_CUSTODY_TOKENS])
{
	struct token *token;
	OK(token_find(tokens, &key->tokens[0], &token));
	memset(ret_n, 0, LIMIT_CUSTODY_TOKENS * sizeof(*ret_n));
	token->calls++;
	ret_boot[0] = token->boot;
	for (uint32_t i = 0; i < count; i++) {
		uses[i].code = i == token->item_at ? token->item_code : KMS_CODE_OK;
		if (uses[i].code != KMS_CODE_OK) {
			continue;
		}
		struct model_call_item item = {.wrapped_key = uses[i].wrapped.head.wrapped_key};
		ret_n[0] = count_use(token, op, &key->id, user, &item);
		OK(kms_secret_copy(
			KMS_BYTES_OF("0123456789abcdef0123456789abcde"), &uses[i].data_key));
		uses[i].wrapped = (struct format_wrapped){.head = {.custody = key->custody,
								  .delivery = key->delivery,
								  .key = key->id,
								  .wrapped_key = item.wrapped_key},
			.slot_count = 1,
			.slots = {{.token = token->id,
				.kek = id(60),
				.version = 1,
				.mechanism = FORMAT_MECHANISM_AES_256_GCM}}};
	}
	if (token->during != NULL) {
		token->during();
	}
	return KMS_OK;
}

#endif
