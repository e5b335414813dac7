/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of kmsd/ledger through its header, on a real store, with a double of kmsd's side of the
 * tokens (token.h): recorded before released, whole or not at all, nothing lost, nothing rolled
 * back.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "crypto.h"
#include "ed25519.h"
#include "format.h"
#include "ledger.h"
#include "record.h"
#include "store.h"
#include "tlog.h"
#include "token.h"

#define ORIGIN "example.test/kmsd/1"

static void ok(kms_err err, const char *what, int line)
{
	if (!kms_is_ok(err)) {
		ck_abort_msg("line %d: %s: %s", line, what, kms_err_name(err));
	}
}
#define OK(expr) ok(expr, #expr, __LINE__)
#define FAILS(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

enum { TENANT = 1, PERSON = 2, TOKEN = 3, SYSTEM = 5, APPROVER = 6 };
enum { LEASE_S = 3600 };

static struct kms_id id(unsigned n)
{
	struct kms_id made = {{7}};
	made.b[15] = (uint8_t)n;
	return made;
}

static struct kms_hash hash(unsigned n)
{
	struct kms_hash made;
	memset(&made, (int)n, sizeof(made));
	return made;
}

/* ---- the double of token.h ---- */

struct token {
	struct kms_id id;
	pthread_mutex_t lock;
	struct token_uses *queue;
	uint64_t acked_boot, acked_n;
	struct crypto_signer *signer; /* system: of heads; else of statements */
	struct tlog_vkey vkey;
	_Atomic bool down;
	_Atomic unsigned statement_sleep_s;
	struct kms_buf note;      /* system: the last head */
	struct kms_buf statement; /* offered while the position is before it */
	uint64_t statement_boot, statement_n;
};
struct token_set {
	struct token tokens[2];
};
static struct token_set set;
static struct token *const one = &set.tokens[0];
static struct token *const sys = &set.tokens[1];

size_t token_count(const struct token_set *tokens)
{
	(void)tokens;
	return 2;
}

struct token *token_at(struct token_set *tokens, size_t i)
{
	return &tokens->tokens[i];
}

const struct kms_id *token_id(const struct token *token)
{
	return &token->id;
}

kms_err token_wait_up(struct token *token, int timeout_ms)
{
	(void)timeout_ms;
	return token->down ? KMS_ERR(TOKEN_DOWN) : KMS_OK;
}

struct token_uses *token_uses_take(struct token *token, uint32_t max)
{
	(void)pthread_mutex_lock(&token->lock);
	struct token_uses *list = token->queue;
	struct token_uses **at = &list;
	uint32_t total = 0;
	while (*at != NULL && (at == &list || total + (*at)->uses.count <= max)) {
		total += (*at)->uses.count;
		at = &(*at)->next;
	}
	token->queue = *at;
	*at = NULL;
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
	(void)pthread_mutex_lock(&token->lock);
	token->acked_boot = boot;
	token->acked_n = n;
	(void)pthread_mutex_unlock(&token->lock);
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
	(void)sleep(token->statement_sleep_s);
	(void)pthread_mutex_lock(&token->lock);
	bool newer = token->statement_boot > boot ||
		     (token->statement_boot == boot && token->statement_n > n);
	*ret_statement = (struct kms_buf){0};
	kms_err err = newer && token->statement.len > 0
			      ? kms_buf_copy(kms_buf_bytes(&token->statement), ret_statement)
			      : KMS_OK;
	(void)pthread_mutex_unlock(&token->lock);
	return err;
}

/* As kms-tokend does: only what extends the last head. */
static kms_err check_extends(struct token *token, const struct model_head_sign *request)
{
	struct tlog_checkpoint next, last;
	struct kms_bytes text;
	static struct tlog_proof proof;
	KMS_TRY(tlog_checkpoint_parse(request->checkpoint, &next));
	if (token->note.len == 0) {
		return KMS_OK;
	}
	KMS_TRY(tlog_note_open(kms_buf_bytes(&token->note), &token->vkey, 1, &text));
	KMS_TRY(tlog_checkpoint_parse(text, &last));
	proof.count = request->proof_count;
	memcpy(proof.hashes, request->proof, sizeof(proof.hashes));
	return tlog_check_consistency(last.size, &last.root, next.size, &next.root, &proof);
}

/* What the system token answers: as it must, or so that kmsd has to refuse it. */
enum says {
	SAYS_GOOD,
	SAYS_NO_SECOND, /* the P-256 line alone */
	SAYS_NO_FIRST,
	SAYS_SWAPPED,
	SAYS_BAD_FIRST, /* each good, but of something else */
	SAYS_BAD_SECOND,
	SAYS_OTHER_SECOND, /* another key of the log's name */
	SAYS_MORE,         /* a third line, of whoever */
	SAYS,
};
enum { SEED = 0x11, OTHER_SEED = 0x22 };
static _Atomic enum says sys_says;
static _Atomic unsigned sys_asked;
static bool sys_has_ed25519 = true;

static kms_err write_p256(struct kms_writer *note, struct token *token, struct kms_bytes text)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	KMS_TRY(crypto_sign(token->signer, text, raw));
	KMS_TRY(crypto_sig_raw_to_der(raw, &der));
	KMS_TRY(tlog_note_line(&token->vkey, kms_buf_bytes(&der), &line));
	kms_write_bytes(note, kms_buf_bytes(&line));
	return KMS_OK;
}

static void write_ed25519(
	struct kms_writer *note, const char *name, uint8_t seed, struct kms_bytes text)
{
	KMS_AUTO_BUF line = {0};
	ed25519_line(name, seed, text, &line);
	kms_write_bytes(note, kms_buf_bytes(&line));
}

static kms_err say_note(
	struct token *token, enum says says, struct kms_bytes text, struct kms_buf *ret_note)
{
	const struct kms_bytes other = kms_bytes_str("other\n");
	KMS_AUTO_WRITER note = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_bytes(&note, text);
	kms_write_text(&note, "\n");
	if (says == SAYS_SWAPPED) {
		write_ed25519(&note, ORIGIN, SEED, text);
	}
	if (says != SAYS_NO_FIRST) {
		KMS_TRY(write_p256(&note, token, says == SAYS_BAD_FIRST ? other : text));
	}
	if (sys_has_ed25519 && says != SAYS_NO_SECOND && says != SAYS_SWAPPED) {
		write_ed25519(&note, ORIGIN, says == SAYS_OTHER_SECOND ? OTHER_SEED : SEED,
			says == SAYS_BAD_SECOND ? other : text);
	}
	if (says == SAYS_MORE) {
		write_ed25519(&note, "witness", OTHER_SEED, text);
	}
	return kms_writer_take(&note, ret_note);
}

kms_err token_head_sign(
	struct token *token, const struct model_head_sign *request, struct kms_buf *ret_note)
{
	const enum says says = sys_says;
	if (token->down) {
		return KMS_ERR(TOKEN_DOWN);
	}
	KMS_TRY(check_extends(token, request));
	sys_asked++;
	if (says != SAYS_GOOD) {
		return say_note(token, says, request->checkpoint, ret_note);
	}
	kms_buf_free(&token->note);
	KMS_TRY(say_note(token, says, request->checkpoint, &token->note));
	return kms_buf_copy(kms_buf_bytes(&token->note), ret_note);
}

kms_err token_head_last(struct token *token, struct kms_buf *ret_note)
{
	return kms_buf_copy(kms_buf_bytes(&token->note), ret_note);
}

/* ---- fixtures ---- */

static char dir[64];
static char path[96];
static struct store *store;
static struct ledger *ledger;
static uint64_t next_n; /* the double's counter */
static struct kms_hash running;

static void make_token(struct token *token, unsigned n, const char *name)
{
	char pem[128];
	KMS_AUTO_BUF spki = {0};
	token->id = id(n);
	ck_assert_int_eq(pthread_mutex_init(&token->lock, NULL), 0);
	(void)snprintf(pem, sizeof(pem), "%s/%u.pem", dir, n);
	OK(crypto_signer_generate(pem, &token->signer));
	OK(crypto_signer_spki(token->signer, &spki));
	OK(tlog_vkey_make(name, kms_buf_bytes(&spki), &token->vkey));
	ck_assert_int_eq(unlink(pem), 0);
}

static void put_vkey(const struct token *token, char *text, size_t cap)
{
	KMS_AUTO_FREE char *vkey = NULL;
	OK(tlog_vkey_text(&token->vkey, &vkey));
	(void)snprintf(text, cap, "%s", vkey);
}

static void put_ed25519(struct model_change *log_open, const char *name)
{
	KMS_AUTO_FREE char *text = NULL;
	const struct tlog_vkey vkey = ed25519_vkey(name, SEED);
	OK(tlog_vkey_text(&vkey, &text));
	(void)snprintf(log_open->u.log_open.ledger_vkey_ed25519,
		sizeof(log_open->u.log_open.ledger_vkey_ed25519), "%s", text);
}

static void fill_token(struct model_token *row, const struct token *token, unsigned tenant)
{
	row->id = token->id;
	if (tenant != 0) {
		row->tenant = id(tenant);
	}
	row->class = MODEL_CLASS_SOFTWARE;
	(void)snprintf(row->country, sizeof(row->country), "JP");
	row->session_spki = hash(9);
	put_vkey(token, row->statement_vkey, sizeof(row->statement_vkey));
}

static void found(void)
{
	static struct model_change change;
	change = (struct model_change){.type = MODEL_CHANGE_LOG_OPEN};
	struct model_tenant_set *first = &change.u.log_open.first;
	(void)snprintf(change.u.log_open.origin, sizeof(change.u.log_open.origin), ORIGIN);
	put_vkey(sys, change.u.log_open.ledger_vkey, sizeof(change.u.log_open.ledger_vkey));
	if (sys_has_ed25519) {
		put_ed25519(&change, ORIGIN);
	}
	fill_token(&change.u.log_open.system_token, sys, 0);
	first->tenant.id = id(TENANT);
	(void)snprintf(first->tenant.label.text, sizeof(first->tenant.label.text), "secret name");
	OK(kms_text(&first->tenant.ca_pem, "the CA\n"));
	first->principals = calloc(2, sizeof(*first->principals));
	first->principal_count = 2;
	first->principals[1] = (struct model_principal){.id = id(APPROVER),
		.tenant = id(TENANT),
		.role = MODEL_ROLE_APPROVER,
		.spki = hash(APPROVER),
		.expires_unix_s = 2000000000};
	first->principals[0] = (struct model_principal){.id = id(PERSON),
		.tenant = id(TENANT),
		.role = MODEL_ROLE_STORAGE,
		.spki = hash(PERSON),
		.expires_unix_s = 2000000000};
	first->tokens = calloc(1, sizeof(*first->tokens));
	first->token_count = 1;
	fill_token(&first->tokens[0], one, TENANT);
	OK(ledger_found(store, &change));
	FAILS(ledger_found(store, &change), EXISTS);
	model_change_free(&change);
}

static void set_up_stopped(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/kmsd-ledger-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/kmsd.db", dir);
	make_token(one, TOKEN, "token.example");
	make_token(sys, SYSTEM, ORIGIN);
	OK(store_open(path, STORE_CREATE, &store));
	found();
}

static void set_up(void)
{
	set_up_stopped();
	OK(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger));
}

static void set_up_one_key(void)
{
	sys_has_ed25519 = false;
	set_up();
}

static void tear_down(void)
{
	static const char *const tails[] = {"", "-wal", "-shm", ".lock", ".old"};
	ledger_free(&ledger);
	store_free(&store);
	for (size_t i = 0; i < 2; i++) {
		token_uses_free(&set.tokens[i].queue);
		crypto_signer_free(&set.tokens[i].signer);
		kms_buf_free(&set.tokens[i].note);
		kms_buf_free(&set.tokens[i].statement);
	}
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char name[128];
		(void)snprintf(name, sizeof(name), "%s%s", path, tails[i]);
		(void)unlink(name);
	}
	(void)rmdir(dir);
}

/* count uses of one boot into the double's queue; returns the number of the last. */
static uint64_t queue_uses(uint64_t boot, uint32_t count, unsigned principal)
{
	struct token_uses *batch = calloc(1, sizeof(*batch));
	batch->uses.rows = calloc(count, sizeof(*batch->uses.rows));
	(void)pthread_mutex_lock(&one->lock);
	batch->uses.boot = boot;
	batch->uses.first = next_n + 1;
	batch->uses.count = count;
	if (principal != 0) {
		batch->user.principal = id(principal);
	}
	for (uint32_t i = 0; i < count; i++) {
		struct model_counted_use *row = &batch->uses.rows[i];
		*row = (struct model_counted_use){.n = ++next_n,
			.op = MODEL_OP_UNWRAP,
			.spki = hash(PERSON),
			.key = id(10),
			.kek = id(11),
			.version = 1,
			.wrapped_key = id(12),
			.context = hash(13)};
		struct model_use use = {.n = row->n,
			.op = row->op,
			.spki = row->spki,
			.key = row->key,
			.kek = row->kek,
			.version = row->version,
			.wrapped_key = row->wrapped_key,
			.context = row->context};
		OK(format_use_step(&running, &use, &running));
	}
	batch->uses.running = running;
	struct token_uses **last = &one->queue;
	while (*last != NULL) {
		last = &(*last)->next;
	}
	*last = batch;
	uint64_t n = next_n;
	(void)pthread_mutex_unlock(&one->lock);
	return n;
}

static kms_err say(const char *text, unsigned key, uint64_t *ret_seq)
{
	struct model_change *change = calloc(1, sizeof(*change));
	change->type = MODEL_CHANGE_ALARM;
	change->tenant = id(TENANT);
	(void)snprintf(change->u.alarm.text, sizeof(change->u.alarm.text), "%s", text);
	if (key != 0) {
		change->u.alarm.key = id(key);
	}
	kms_err err = ledger_change(ledger, change, ret_seq);
	free(change);
	return err;
}

/* Entries of this type, from entry 1; ret_last, when not NULL, gets the last. */
static size_t count_entries(enum model_change_type type, struct model_change *ret_last)
{
	size_t found_count = 0;
	uint64_t from = 1;
	for (;;) {
		struct model_entry *rows = NULL;
		size_t count = 0;
		OK(store_entries_get(store, NULL, from, 256, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			static struct model_change change;
			struct record_head head;
			OK(record_entry_read(kms_buf_bytes(&rows[i].bytes), &head, &change));
			if (change.type == type) {
				found_count++;
				if (ret_last != NULL) {
					*ret_last = change;
				}
			}
			model_change_free(&change);
			kms_buf_free(&rows[i].bytes);
		}
		free(rows);
		if (count == 0) {
			return found_count;
		}
		from += count;
	}
}

static void replay_says(kms_err want, const char *text)
{
	KMS_AUTO_BUF report = {0};
	kms_err err = ledger_replay(store, &report);
	if (err.code != want.code || memmem(report.ptr, report.len, text, strlen(text)) == NULL) {
		ck_abort_msg("%s, and a report without \"%s\":\n%.*s", kms_err_name(err), text,
			(int)report.len, (const char *)report.ptr);
	}
}

/* ---- group commit ---- */

enum { THREADS = 64, EACH = 4 };

struct worker {
	pthread_t thread;
	unsigned index;
	uint64_t seqs[EACH];
	kms_err errs[EACH];
};

/* What a call returned is there for another process at that moment. */
static void *append_and_look(void *arg)
{
	struct worker *worker = arg;
	struct store *other = NULL;
	OK(store_open(path, STORE_READ, &other));
	for (unsigned i = 0; i < EACH; i++) {
		char text[32];
		struct model_entry *rows = NULL;
		size_t count = 0;
		(void)snprintf(text, sizeof(text), "worker %u, %u", worker->index, i);
		OK(say(text, worker->index, &worker->seqs[i]));
		OK(store_entries_get(other, NULL, worker->seqs[i], 1, &rows, &count));
		ck_assert_uint_eq(count, 1);
		ck_assert_uint_eq(rows[0].seq, worker->seqs[i]);
		ck_assert_ptr_nonnull(
			memmem(rows[0].bytes.ptr, rows[0].bytes.len, text, strlen(text)));
		kms_buf_free(&rows[0].bytes);
		free(rows);
	}
	store_free(&other);
	return NULL;
}

static void run_workers(struct worker *workers, size_t count, void *(*body)(void *))
{
	for (size_t i = 0; i < count; i++) {
		workers[i].index = (unsigned)i + 1;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
	}
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
	}
}

START_TEST(changes_of_many_threads_are_durable_when_they_return)
{
	static struct worker workers[THREADS];
	static bool seen[THREADS * EACH + 1];
	run_workers(workers, THREADS, append_and_look);
	for (size_t i = 0; i < THREADS; i++) {
		for (size_t k = 0; k < EACH; k++) {
			uint64_t seq = workers[i].seqs[k];
			ck_assert_uint_ge(seq, 1);
			ck_assert_uint_le(seq, THREADS * EACH);
			ck_assert(!seen[seq]);
			ck_assert(k == 0 || seq > workers[i].seqs[k - 1]);
			seen[seq] = true;
		}
	}
	replay_says(KMS_OK, "state equals");
	replay_says(KMS_OK, "alarm: 256");
}
END_TEST

/* Half of them say the same boot: all but one are refused, and nobody else is hurt. */
static void *boot_or_speak(void *arg)
{
	struct worker *worker = arg;
	if (worker->index % 2 == 0) {
		worker->errs[0] = say("fine", 0, &worker->seqs[0]);
		return NULL;
	}
	struct model_change *change = calloc(1, sizeof(*change));
	change->type = MODEL_CHANGE_TOKEN_BOOT;
	change->tenant = id(TENANT);
	change->u.token_boot.token = one->id;
	change->u.token_boot.boot = 5;
	worker->errs[0] = ledger_change(ledger, change, &worker->seqs[0]);
	free(change);
	return NULL;
}

START_TEST(a_refused_change_leaves_the_others)
{
	static struct worker workers[THREADS];
	size_t booted = 0;
	run_workers(workers, THREADS, boot_or_speak);
	for (size_t i = 0; i < THREADS; i++) {
		if (workers[i].index % 2 == 0) {
			OK(workers[i].errs[0]);
		} else if (kms_is_ok(workers[i].errs[0])) {
			booted++;
		} else {
			FAILS(workers[i].errs[0], EXISTS);
		}
	}
	ck_assert_uint_eq(booted, 1);
	uint64_t size = 0;
	struct kms_hash root;
	OK(store_head_get(store, &size, &root));
	ck_assert_uint_eq(size, 1 + 1 + THREADS / 2);
	replay_says(KMS_OK, "state equals");
}
END_TEST

/* ---- uses ---- */

/* Tokens hear of it soon after the callers. */
static void wait_acked(uint64_t n)
{
	uint64_t acked = 0;
	for (int i = 0; i < 50 && acked != n; i++) {
		(void)usleep(20 * 1000);
		(void)pthread_mutex_lock(&one->lock);
		acked = one->acked_n;
		(void)pthread_mutex_unlock(&one->lock);
	}
	ck_assert_uint_eq(acked, n);
}

static void *use_and_wait(void *arg)
{
	struct worker *worker = arg;
	for (unsigned i = 0; i < EACH; i++) {
		uint64_t n = queue_uses(1, worker->index % 3 + 1, PERSON);
		worker->errs[i] = ledger_uses_wait(ledger, &one->id, 1, n);
		struct store_position position;
		OK(store_position_get(store, &one->id, &position));
		ck_assert_uint_ge(position.n, n);
	}
	return NULL;
}

START_TEST(uses_of_many_threads_are_recorded_once_and_in_order)
{
	static struct worker workers[THREADS];
	run_workers(workers, THREADS, use_and_wait);
	for (size_t i = 0; i < THREADS; i++) {
		for (size_t k = 0; k < EACH; k++) {
			OK(workers[i].errs[k]);
		}
	}
	struct store_position position;
	OK(store_position_get(store, &one->id, &position));
	ck_assert_uint_eq(position.n, next_n);
	ck_assert(kms_hash_equal(&position.running, &running));
	wait_acked(next_n);
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_ALARM, NULL), 0);
	char text[32];
	(void)snprintf(text, sizeof(text), "use records: %llu in", (unsigned long long)next_n);
	replay_says(KMS_OK, text);
}
END_TEST

static void free_records(struct kms_buf *records, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		kms_buf_free(&records[i]);
	}
	free(records);
}

START_TEST(offered_again_uses_find_their_principal_and_join)
{
	static struct model_change batch;
	struct kms_buf *records = NULL;
	size_t count = 0;
	struct model_use use;
	struct kms_id person = id(PERSON), tenant = id(TENANT);
	(void)queue_uses(1, 2, 0);
	uint64_t n = queue_uses(1, 3, 0);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	OK(ledger_uses_wait(ledger, &one->id, 1, 2));
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_USE_BATCH, &batch), 1);
	ck_assert_uint_eq(batch.u.use_batch.first, 1);
	ck_assert_uint_eq(batch.u.use_batch.count, 5);
	ck_assert(kms_hash_equal(&batch.u.use_batch.running, &running));
	OK(store_uses_get(store, &tenant, 1, &records, &count));
	ck_assert_uint_eq(count, 5);
	OK(record_use_read(kms_buf_bytes(&records[4]), &use));
	ck_assert_uint_eq(use.n, 5);
	ck_assert(kms_id_equal(&use.principal, &person));
	free_records(records, count);
}
END_TEST

START_TEST(uses_that_never_came_are_not_waited_for)
{
	struct kms_id nobody = id(99);
	FAILS(ledger_uses_wait(ledger, &one->id, 1, 1), LEDGER);
	FAILS(ledger_uses_wait(ledger, &nobody, 1, 1), LEDGER);
	uint64_t n = queue_uses(1, 1, PERSON);
	FAILS(ledger_uses_wait(ledger, &one->id, 1, n + 1), LEDGER);
	FAILS(ledger_uses_wait(ledger, &one->id, 2, n), LEDGER);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
}
END_TEST

START_TEST(a_gap_and_a_wrong_hash_raise_alarms_and_are_recorded)
{
	static struct model_change alarm;
	uint64_t n = queue_uses(1, 2, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	next_n++; /* a use is missing */
	n = queue_uses(1, 2, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_ALARM, &alarm), 1);
	ck_assert_ptr_nonnull(strstr(alarm.u.alarm.text, "do not follow"));
	ck_assert(kms_id_equal(&alarm.u.alarm.token, &one->id));
	running.b[3] ^= 1;
	n = queue_uses(1, 1, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_ALARM, &alarm), 2);
	ck_assert_ptr_nonnull(strstr(alarm.u.alarm.text, "their hash"));
	/* A new boot from its first use is no alarm. */
	next_n = 0;
	running = (struct kms_hash){{0}};
	n = queue_uses(2, 1, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 2, n));
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_ALARM, NULL), 2);
	/* An older boot is. */
	next_n = 0;
	n = queue_uses(1, 1, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_ALARM, NULL), 3);
	replay_says(KMS_OK, "use records: 7 in 5 batches");
}
END_TEST

/* Numbers that no JSON integer holds, after uses that are right. */
START_TEST(uses_that_cannot_be_recorded_hold_up_nobody_else)
{
	uint64_t seq = 0;
	struct store_position position;
	uint64_t good = queue_uses(1, 2, PERSON);
	next_n = (uint64_t)1 << 60;
	uint64_t bad = queue_uses(1, 2, PERSON);
	FAILS(ledger_uses_wait(ledger, &one->id, 1, bad), LEDGER);
	FAILS(ledger_uses_wait(ledger, &one->id, 1, good), LEDGER);
	OK(say("goes on", 0, &seq));
	OK(store_position_get(store, &one->id, &position));
	ck_assert_uint_eq(position.n, 0);
	ck_assert_uint_eq(seq, 1);
	replay_says(KMS_OK, "state equals");
}
END_TEST

START_TEST(uses_that_nobody_waits_for_are_recorded)
{
	uint64_t n = queue_uses(1, 3, PERSON);
	struct store_position position = {.n = 0};
	for (int i = 0; i < 30 && position.n < n; i++) {
		(void)usleep(100 * 1000);
		OK(store_position_get(store, &one->id, &position));
	}
	ck_assert_uint_eq(position.n, n);
}
END_TEST

/* ---- denials ---- */

static struct model_use denial(unsigned principal)
{
	return (struct model_use){.op = MODEL_OP_UNWRAP,
		.principal = id(principal),
		.spki = hash(principal),
		.key = id(10),
		.denied = KMS_CODE_DENIED};
}

static struct model_use last_denial(uint64_t seq)
{
	struct kms_buf *records = NULL;
	size_t count = 0;
	struct model_use use = {.n = 0};
	OK(store_uses_get(store, NULL, seq, &records, &count));
	OK(record_use_read(kms_buf_bytes(&records[count - 1]), &use));
	free_records(records, count);
	return use;
}

START_TEST(denials_have_a_limit_and_are_counted_beyond)
{
	struct kms_id tenant = id(TENANT);
	struct model_use use = denial(PERSON);
	uint64_t size = 0, before = 0;
	struct kms_hash root;
	int64_t hour = (int64_t)60 * 60 * 1000;
	kms_clock_fix(500000 * hour + 1);
	for (int i = 0; i < LIMIT_DENIALS_KEPT; i++) {
		OK(ledger_deny(ledger, &tenant, &use, 1));
	}
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_USE_BATCH, NULL), LIMIT_DENIALS_KEPT);
	OK(store_head_get(store, &before, &root));
	for (int i = 0; i < 7; i++) {
		OK(ledger_deny(ledger, &tenant, &use, 1));
	}
	OK(store_head_get(store, &size, &root));
	ck_assert_uint_eq(size, before);
	use = denial(44); /* another principal has its own hour */
	OK(ledger_deny(ledger, &tenant, &use, 1));
	OK(store_head_get(store, &size, &root));
	ck_assert_uint_eq(size, before + 1);

	kms_clock_fix(500001 * hour + 1);
	for (int i = 0; i < 30 && size == before + 1; i++) {
		(void)usleep(100 * 1000);
		OK(store_head_get(store, &size, &root));
	}
	ck_assert_uint_eq(size, before + 2);
	use = last_denial(size - 1);
	ck_assert_uint_eq(use.repeats, 6);
	ck_assert_int_eq(use.denied, KMS_CODE_DENIED);
	kms_clock_fix(-1);
	replay_says(KMS_OK, "use records: 102 in");
}
END_TEST

START_TEST(counted_denials_are_written_at_the_end)
{
	struct kms_id tenant = id(TENANT);
	static struct model_use uses[LIMIT_BATCH_ITEMS + 1];
	uint64_t size = 0;
	struct kms_hash root;
	for (size_t i = 0; i <= LIMIT_BATCH_ITEMS; i++) {
		uses[i] = denial(PERSON);
	}
	FAILS(ledger_deny(ledger, &tenant, uses, LIMIT_BATCH_ITEMS + 1), TOO_LARGE);
	OK(ledger_deny(ledger, &tenant, uses, LIMIT_BATCH_ITEMS));
	ledger_free(&ledger);
	OK(store_head_get(store, &size, &root));
	struct model_use use = last_denial(size - 1);
	ck_assert_uint_eq(use.repeats, LIMIT_BATCH_ITEMS - LIMIT_DENIALS_KEPT - 1);
}
END_TEST

/* ---- a full disk ---- */

static void fill_disk(const char *name)
{
	static const char zeros[512];
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	while (write(fd, zeros, sizeof(zeros)) > 0) {
	}
	ck_assert_int_eq(errno, ENOSPC);
	(void)close(fd);
}

START_TEST(on_a_full_disk_nothing_is_released_and_nothing_lost)
{
	struct kms_id tenant = id(TENANT);
	struct model_use use = denial(PERSON);
	struct store_position position;
	uint64_t seq = 0, size = 0;
	struct kms_hash root;
	char filler[128];
	store_free(&store);
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("tmpfs", dir, "tmpfs", 0, "size=2m") != 0) {
		(void)fprintf(stderr, "skipped: no mount here (%s)\n", strerror(errno));
		return;
	}
	OK(store_open(path, STORE_CREATE, &store));
	found();
	OK(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger));
	uint64_t n = queue_uses(1, 2, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	(void)snprintf(filler, sizeof(filler), "%s/filler", dir);
	fill_disk(filler);
	/* The -wal may have some room left: fill it. */
	kms_err err = KMS_OK;
	for (int i = 0; i < 2000 && kms_is_ok(err); i++) {
		err = say("a line of some length to fill what room there is", 0, &seq);
	}
	FAILS(err, LEDGER);
	uint64_t lost = queue_uses(1, 300, PERSON);
	FAILS(ledger_uses_wait(ledger, &one->id, 1, lost), LEDGER);
	OK(store_position_get(store, &one->id, &position));
	ck_assert_uint_eq(position.n, n);
	wait_acked(n);
	FAILS(ledger_deny(ledger, &tenant, &use, 1), LEDGER);

	ck_assert_int_eq(unlink(filler), 0);
	OK(ledger_uses_wait(ledger, &one->id, 1, lost));
	OK(store_position_get(store, &one->id, &position));
	ck_assert_uint_eq(position.n, lost);
	OK(say("after", 0, &seq));
	OK(store_head_get(store, &size, &root));
	ck_assert_uint_eq(size, seq + 1);
	replay_says(KMS_OK, "state equals");
	replay_says(KMS_OK, "use records: 302 in");
	ledger_free(&ledger);
	store_free(&store);
	ck_assert_int_eq(umount(dir), 0);
}
END_TEST

/* ---- heads and statements ---- */

static void wait_signed(uint64_t size)
{
	uint64_t now = 0, signed_size = 0;
	for (int i = 0; i < 50 && signed_size < size; i++) {
		KMS_AUTO_BUF note = {0};
		(void)usleep(100 * 1000);
		OK(ledger_head(ledger, &now, &signed_size, &note));
	}
	ck_assert_uint_ge(signed_size, size);
}

START_TEST(the_head_is_signed_when_it_grew)
{
	uint64_t seq = 0, size = 0, signed_size = 0;
	KMS_AUTO_BUF note = {0};
	KMS_AUTO_BUF stored = {0};
	struct kms_bytes text;
	struct tlog_checkpoint head;
	wait_signed(1);
	OK(say("one", 0, &seq));
	wait_signed(2);
	OK(say("two", 0, &seq));
	OK(say("three", 0, &seq));
	wait_signed(4);
	OK(ledger_head(ledger, &size, &signed_size, &note));
	OK(tlog_note_open(kms_buf_bytes(&note), &sys->vkey, 1, &text));
	OK(tlog_checkpoint_parse(text, &head));
	ck_assert_str_eq(head.origin, ORIGIN);
	ck_assert_uint_eq(head.size, 4);
	ledger_free(&ledger);
	OK(store_checkpoint_last(store, &size, &stored));
	ck_assert_uint_eq(size, 4);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&stored), kms_buf_bytes(&note)));
}
END_TEST

/* Which signed sizes and bytes are published, and stored. */
static void published(uint64_t *ret_size, struct kms_buf *ret_note)
{
	uint64_t size = 0;
	KMS_AUTO_BUF stored = {0};
	OK(ledger_head(ledger, &size, ret_size, ret_note));
	OK(store_checkpoint_last(store, &size, &stored));
	ck_assert_uint_le(size, *ret_size);
}

START_TEST(both_signatures_are_published)
{
	uint64_t seq = 0, size = 0;
	KMS_AUTO_BUF note = {0};
	struct kms_bytes text;
	const struct tlog_vkey keys[] = {sys->vkey, ed25519_vkey(ORIGIN, SEED)};
	OK(say("one", 0, &seq));
	wait_signed(2);
	published(&size, &note);
	OK(tlog_note_open_exact(kms_buf_bytes(&note), TLOG_NOTE_MAX, keys, 2, &text));
}
END_TEST

/* Nothing but both signatures, good and in their order, is stored or shown. */
START_TEST(half_signed_heads_are_not_published)
{
	uint64_t seq = 0, before = 0, after = 0;
	KMS_AUTO_BUF note = {0};
	KMS_AUTO_BUF same = {0};
	wait_signed(1);
	published(&before, &note);
	sys_says = (enum says)_i;
	sys_asked = 0;
	OK(say("one", 0, &seq));
	for (int i = 0; i < 100 && sys_asked < 2; i++) { /* the first answer was judged by then */
		(void)usleep(100 * 1000);
	}
	ck_assert_uint_ge(sys_asked, 2);
	published(&after, &same);
	ck_assert_uint_eq(before, after);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&note), kms_buf_bytes(&same)));
	sys_says = SAYS_GOOD;
	wait_signed(seq + 1);
	/* and a start does not believe such a last head either */
	ledger_free(&ledger);
	KMS_AUTO_BUF good = sys->note;
	struct tlog_checkpoint head;
	struct kms_bytes text;
	KMS_AUTO_BUF body = {0};
	sys->note = (struct kms_buf){0};
	OK(tlog_note_open(kms_buf_bytes(&good), &sys->vkey, 1, &text));
	OK(tlog_checkpoint_parse(text, &head));
	OK(tlog_checkpoint_text(&head, &body));
	OK(say_note(sys, (enum says)_i, kms_buf_bytes(&body), &sys->note));
	kms_err err = ledger_start(store, &set, sys, NULL, LEASE_S, &ledger);
	ck_assert_msg(kms_is(err, KMS_CODE_INTEGRITY) || kms_is(err, KMS_CODE_FORMAT), "%s",
		kms_err_name(err));
	kms_buf_free(&sys->note);
	sys->note = good;
	good = (struct kms_buf){0};
	OK(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger));
}
END_TEST

/* A log that was opened without the second key: its token's second line is no line of the log. */
START_TEST(a_log_of_one_key_has_one_line)
{
	uint64_t seq = 0, size = 0;
	KMS_AUTO_BUF note = {0};
	struct kms_bytes text;
	OK(say("one", 0, &seq));
	wait_signed(2);
	published(&size, &note);
	OK(tlog_note_open_exact(kms_buf_bytes(&note), TLOG_NOTE_MAX, &sys->vkey, 1, &text));
	sys_has_ed25519 = true;
	sys_asked = 0;
	OK(say("two", 0, &seq));
	for (int i = 0; i < 100 && sys_asked < 2; i++) {
		(void)usleep(100 * 1000);
	}
	kms_buf_free(&note);
	uint64_t after = 0;
	published(&after, &note);
	ck_assert_uint_eq(size, after);
}
END_TEST

/* Each entry, as it is stored, leads to the root of the checkpoint that covers it. */
START_TEST(entries_are_proven_under_a_signed_checkpoint)
{
	uint64_t seq = 0, size = 0;
	KMS_AUTO_BUF note = {0};
	KMS_AUTO_BUF none = {0};
	struct kms_bytes text;
	struct tlog_checkpoint head;
	struct tlog_proof proof;
	for (unsigned i = 0; i < 6; i++) {
		OK(say("once more", 0, &seq));
	}
	OK(ledger_covered(ledger, seq, 5000, &size, &note)); /* waits for the signer */
	ck_assert_uint_gt(size, seq);
	OK(tlog_note_open(kms_buf_bytes(&note), &sys->vkey, 1, &text));
	OK(tlog_checkpoint_parse(text, &head));
	ck_assert_uint_eq(head.size, size);
	for (uint64_t i = 0; i < size; i++) {
		KMS_AUTO_BUF entry = {0};
		struct kms_hash leaf;
		struct record_head said;
		static struct model_change change;
		OK(ledger_inclusion(ledger, i, size, &entry, &proof));
		OK(tlog_leaf_hash(kms_buf_bytes(&entry), &leaf));
		OK(tlog_check_inclusion(&leaf, i, size, &proof, &head.root));
		OK(record_entry_read(kms_buf_bytes(&entry), &said, &change));
		ck_assert_uint_eq(said.seq, i);
		model_change_free(&change);
	}
	FAILS(ledger_inclusion(ledger, size, size, &none, &proof), NOT_FOUND);
	FAILS(ledger_inclusion(ledger, 2, 2, &none, &proof), ARGUMENT);
	ck_assert_ptr_null(none.ptr);

	/* What is not signed yet is not handed out as if it were. */
	sys->down = true;
	OK(say("while nobody signs", 0, &seq));
	FAILS(ledger_covered(ledger, seq, 1500, &size, &none), TIMEOUT);
	ck_assert_ptr_null(none.ptr);
	sys->down = false;
	OK(ledger_covered(ledger, seq, 5000, &size, &none));
	ck_assert_uint_gt(size, seq);
}
END_TEST

START_TEST(commits_go_on_while_tokens_are_down_or_hang)
{
	uint64_t seq = 0, size = 0, signed_size = 0;
	KMS_AUTO_BUF note = {0};
	wait_signed(1);
	ledger_free(&ledger);
	one->statement_sleep_s = 3;
	OK(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger));
	sys->down = true;
	(void)sleep(1); /* the notary is in its call now */
	int64_t start = kms_monotonic_ms();
	OK(say("no token is needed for this", 0, &seq));
	ck_assert_int_lt(kms_monotonic_ms() - start, 1000);
	(void)sleep(2);
	OK(ledger_head(ledger, &size, &signed_size, &note));
	ck_assert_uint_eq(size, 2);
	ck_assert_uint_eq(signed_size, 1);
	sys->down = false;
	wait_signed(2);
	one->statement_sleep_s = 0;
}
END_TEST

/* signer says whose word it is. */
static void offer_statement(const struct crypto_signer *signer, uint64_t boot, uint64_t n)
{
	struct format_statement statement = {
		.type = FORMAT_STATEMENT_USES, .token = one->id, .tenant = id(TENANT)};
	KMS_AUTO_BUF signed_part = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	statement.unix_ms = 1;
	statement.u.uses.boot = boot;
	statement.u.uses.count = n;
	statement.u.uses.running = hash(1);
	OK(format_statement_write(&statement, &signed_part));
	OK(crypto_sign(signer, kms_buf_bytes(&signed_part), raw));
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	kms_write_bytes(&writer, kms_buf_bytes(&signed_part));
	kms_write_fixed(&writer, raw, sizeof(raw));
	(void)pthread_mutex_lock(&one->lock);
	kms_buf_free(&one->statement);
	OK(kms_writer_take(&writer, &one->statement));
	one->statement_boot = boot;
	one->statement_n = n;
	(void)pthread_mutex_unlock(&one->lock);
}

static void wait_statement(uint64_t n)
{
	struct store_position position = {.n = 0};
	for (int i = 0; i < 50 && position.statement_n < n; i++) {
		(void)usleep(100 * 1000);
		OK(store_position_get(store, &one->id, &position));
	}
	ck_assert_uint_eq(position.statement_n, n);
}

START_TEST(statements_are_recorded_once_and_bad_ones_named)
{
	static struct model_change alarm;
	uint64_t n = queue_uses(1, 5, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	offer_statement(one->signer, 1, 3);
	wait_statement(3);
	offer_statement(sys->signer, 1, 5); /* not its key */
	for (int i = 0; i < 50 && count_entries(MODEL_CHANGE_ALARM, &alarm) == 0; i++) {
		(void)usleep(100 * 1000);
	}
	(void)sleep(2); /* it is offered again and again */
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_ALARM, &alarm), 1);
	ck_assert_ptr_nonnull(strstr(alarm.u.alarm.text, "statement"));
	offer_statement(one->signer, 1, 5);
	wait_statement(5);
	ck_assert_uint_eq(count_entries(MODEL_CHANGE_USE_STATEMENT, NULL), 2);
	replay_says(KMS_OK, "use.statement: 2");
}
END_TEST

/* ---- start: who is older ---- */

static void copy_file(const char *from, const char *to)
{
	KMS_AUTO_BUF bytes = {0};
	OK(kms_file_read(from, 64 * 1024 * 1024, &bytes));
	OK(kms_file_write(to, kms_buf_bytes(&bytes), 0600));
}

START_TEST(a_store_that_was_rolled_back_is_refused)
{
	char old[128];
	uint64_t seq = 0;
	(void)snprintf(old, sizeof(old), "%s.old", path);
	wait_signed(1);
	ledger_free(&ledger);
	store_free(&store);
	copy_file(path, old);
	OK(store_open(path, STORE_WRITE, &store));
	OK(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger));
	OK(say("one", 0, &seq));
	wait_signed(2);
	ledger_free(&ledger);
	store_free(&store);

	ck_assert_int_eq(rename(old, path), 0);
	OK(store_open(path, STORE_WRITE, &store));
	FAILS(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger), ROLLBACK); /* shorter */
	ck_assert_ptr_null(ledger);
	static struct model_change other;
	other = (struct model_change){.type = MODEL_CHANGE_ALARM};
	(void)snprintf(other.u.alarm.text, sizeof(other.u.alarm.text), "another one");
	OK(ledger_append_offline(store, &other));
	FAILS(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger), ROLLBACK); /* as long, another */
	OK(ledger_append_offline(store, &other));
	FAILS(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger), ROLLBACK); /* longer, another */
}
END_TEST

START_TEST(a_token_that_was_rolled_back_is_refused)
{
	wait_signed(1);
	ledger_free(&ledger);
	kms_buf_free(&sys->note);
	FAILS(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger), ROLLBACK);
}
END_TEST

START_TEST(start_refuses)
{
	sys->down = true;
	FAILS(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger), TOKEN_DOWN);
	sys->down = false;
	/* A head that another key signed. */
	struct tlog_checkpoint head = {.origin = ORIGIN, .size = 1};
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF note = {0};
	struct token false_token = *sys;
	static struct model_head_sign request;
	OK(tlog_checkpoint_text(&head, &text));
	request.checkpoint = kms_buf_bytes(&text);
	false_token.signer = one->signer;
	OK(token_head_sign(&false_token, &request, &note));
	sys->note = false_token.note;
	FAILS(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger), INTEGRITY);
	kms_buf_free(&sys->note);
	/* A token that no entry added. */
	struct kms_id right = one->id;
	one->id = id(77);
	FAILS(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger), NOT_FOUND);
	one->id = right;
	OK(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger));
}
END_TEST

START_TEST(found_refuses_another_logs_key)
{
	struct store *memory = NULL;
	static struct model_change change;
	change = (struct model_change){.type = MODEL_CHANGE_LOG_OPEN};
	(void)snprintf(change.u.log_open.origin, sizeof(change.u.log_open.origin), "other/log");
	put_vkey(sys, change.u.log_open.ledger_vkey, sizeof(change.u.log_open.ledger_vkey));
	OK(store_open(NULL, STORE_CREATE, &memory));
	FAILS(ledger_found(memory, &change), ARGUMENT);
	(void)snprintf(change.u.log_open.origin, sizeof(change.u.log_open.origin), ORIGIN);
	put_ed25519(&change, "other/log");
	FAILS(ledger_found(memory, &change), ARGUMENT);
	/* a key of one kind in the place of the other */
	put_vkey(sys, change.u.log_open.ledger_vkey_ed25519,
		sizeof(change.u.log_open.ledger_vkey_ed25519));
	FAILS(ledger_found(memory, &change), UNSUPPORTED);
	put_ed25519(&change, ORIGIN);
	memcpy(change.u.log_open.ledger_vkey, change.u.log_open.ledger_vkey_ed25519,
		sizeof(change.u.log_open.ledger_vkey_ed25519));
	FAILS(ledger_found(memory, &change), UNSUPPORTED);
	store_free(&memory);
}
END_TEST

START_TEST(an_offline_change_is_like_any_other)
{
	static struct model_change change;
	change = (struct model_change){.type = MODEL_CHANGE_TENANT_ADD, .tenant = id(60)};
	change.u.tenant_add.tenant.id = id(60);
	OK(kms_text(&change.u.tenant_add.tenant.ca_pem, "CA"));
	OK(ledger_append_offline(store, &change));
	FAILS(ledger_append_offline(store, &change), EXISTS);
	model_change_free(&change);
	replay_says(KMS_OK, "tenant.add: 1");
}
END_TEST

/* ---- replay ---- */

static void tamper(const char *sql)
{
	sqlite3 *db = NULL;
	char *message = NULL;
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
		ck_abort_msg("%s: %s", sql, message);
	}
	ck_assert_int_eq(sqlite3_changes(db), 1);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static const struct {
	const char *sql, *report;
} TAMPERINGS[] = {
	{"UPDATE principal SET role = 2 WHERE role = 1", "state differs, first here:"},
	{"UPDATE position SET n = n - 1 WHERE n > 0", "  ledger: position token="},
	{"UPDATE entry SET bytes = CAST(bytes || x'20' AS BLOB) WHERE seq = 1",
		"entry 1: its bytes"},
	{"UPDATE entry SET leaf = zeroblob(32) WHERE seq = 2", "entry 2: its bytes"},
	{"UPDATE node SET hash = zeroblob(32) WHERE level = 1 AND place = 0",
		"entry 1: the stored tree"},
	{"DELETE FROM entry WHERE seq = 2", "entry 2: missing"},
	{"UPDATE uses SET count = 2, records = CAST(substr(records, 1, length(records) / 3 * 2) AS "
	 "BLOB)",
		"entry 1: its use records"},
	{"UPDATE head SET root = zeroblob(32)", "state differs"},
};

START_TEST(replay_finds_what_was_changed)
{
	uint64_t seq = 0;
	uint64_t n = queue_uses(1, 3, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	OK(say("about a key", 10, &seq));
	OK(say("about it again", 10, &seq));
	replay_says(KMS_OK, "state equals");
	ledger_free(&ledger);
	tamper(TAMPERINGS[_i].sql);
	replay_says(KMS_ERR(INTEGRITY), TAMPERINGS[_i].report);
}
END_TEST

/* ---- an erasure ---- */

enum { KEY = 10, KEK = 20, ERASURE = 40, CERTIFICATE = 60 };

static struct kms_buf statement_of(struct format_statement *statement)
{
	KMS_AUTO_BUF part = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	static const uint8_t signature[MODEL_SIGNATURE];
	struct kms_buf bytes = {0};
	statement->token = one->id;
	statement->tenant = id(TENANT);
	OK(format_statement_write(statement, &part));
	kms_write_bytes(&writer, kms_buf_bytes(&part));
	kms_write_fixed(&writer, signature, sizeof(signature));
	OK(kms_writer_take(&writer, &bytes));
	return bytes;
}

/* Appends change, and empties it for the next one. */
static uint64_t put(struct model_change *change)
{
	uint64_t seq = 0;
	change->tenant = id(TENANT);
	OK(ledger_change(ledger, change, &seq));
	model_change_free(change);
	return seq;
}

static void make_key(struct model_change *change)
{
	struct format_statement birth = {.type = FORMAT_STATEMENT_BIRTH};
	change->type = MODEL_CHANGE_KEY_INTENT;
	change->u.key_intent.key = (struct model_key){.id = id(KEY),
		.tenant = id(TENANT),
		.custodian = id(PERSON),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.state = MODEL_STATE_PRE_ACTIVATION,
		.token_count = 1,
		.tokens = {one->id}};
	change->u.key_intent.version = 1;
	change->u.key_intent.keks[0] = id(KEK);
	(void)put(change);
	birth.u.birth = (struct format_birth){.key = id(KEY),
		.version = 1,
		.kek = id(KEK),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.token_count = 1,
		.tokens = {one->id},
		.commitment = hash(KEK)};
	change->type = MODEL_CHANGE_KEY_RESULT;
	change->u.key_result.key = id(KEY);
	change->u.key_result.version = 1;
	change->u.key_result.made = true;
	change->u.key_result.birth_count = 1;
	change->u.key_result.births[0] = (struct model_birth){.token = one->id,
		.kek = id(KEK),
		.commitment = hash(KEK),
		.statement = statement_of(&birth)};
	(void)put(change);
}

static void request(struct model_change *change, struct kms_hash *ret_erase)
{
	struct format_erase_kek kek = {.token = one->id,
		.kek = id(KEK),
		.key = id(KEY),
		.version = 1,
		.commitment = hash(KEK)};
	struct format_erase erase = {.origin = ORIGIN,
		.erasure = id(ERASURE),
		.tenant = id(TENANT),
		.requester = id(PERSON),
		.scope = MODEL_ERASE_KEY,
		.subject = id(KEY),
		.expires_unix_s = 1,
		.kek_count = 1,
		.keks = &kek};
	change->type = MODEL_CHANGE_ERASE_REQUEST;
	change->actor = id(PERSON);
	OK(format_erase_write(&erase, &change->u.erase_request.bytes));
	OK(crypto_sha256_one(kms_buf_bytes(&change->u.erase_request.bytes), ret_erase));
	OK(kms_buf_copy(kms_bytes_str("DER"), &change->u.erase_request.certificate));
	OK(kms_buf_copy(kms_bytes_str("{}"), &change->u.erase_request.plan));
	(void)put(change);
}

static void approve_and_intend(struct model_change *change, const struct kms_hash *erase)
{
	change->type = MODEL_CHANGE_ERASE_APPROVE;
	change->actor = id(APPROVER);
	change->u.erase_signed.erasure = id(ERASURE);
	change->u.erase_signed.by.principal = id(APPROVER);
	OK(kms_buf_copy(kms_bytes_str("DER"), &change->u.erase_signed.by.spki));
	(void)put(change);
	change->type = MODEL_CHANGE_ERASE_INTENT;
	change->actor = id(PERSON);
	change->u.erase_step.erasure = id(ERASURE);
	change->u.erase_step.erase = *erase;
	(void)put(change);
}

static void destroy(struct model_change *change, const struct kms_hash *erase)
{
	struct format_statement destroyed = {.type = FORMAT_STATEMENT_DESTROY};
	struct format_statement absent = {.type = FORMAT_STATEMENT_ABSENCE};
	destroyed.u.destroy.what = (struct format_erased){.erasure = id(ERASURE),
		.erase = *erase,
		.key = id(KEY),
		.version = 1,
		.kek = id(KEK),
		.commitment = hash(KEK)};
	absent.u.absence.what = destroyed.u.destroy.what;
	change->type = MODEL_CHANGE_ERASE_RESULT;
	change->u.erase_done.erasure = id(ERASURE);
	change->u.erase_done.token = one->id;
	change->u.erase_done.key = id(KEY);
	change->u.erase_done.kek = id(KEK);
	change->u.erase_done.version = 1;
	change->u.erase_done.statement = statement_of(&destroyed);
	change->u.erase_done.absence = statement_of(&absent);
	(void)put(change);
	change->type = MODEL_CHANGE_ERASE_FINAL;
	change->u.erase_step.erasure = id(ERASURE);
	(void)put(change);
	change->type = MODEL_CHANGE_CERT_ISSUE;
	change->u.cert_issue.erasure = id(ERASURE);
	change->u.cert_issue.certificate = id(CERTIFICATE);
	change->u.cert_issue.final = true;
	OK(kms_buf_copy(kms_bytes_str("{}"), &change->u.cert_issue.json));
	OK(crypto_sha256_one(
		kms_buf_bytes(&change->u.cert_issue.json), &change->u.cert_issue.hash));
	(void)put(change);
}

static void erase_a_key(void)
{
	static struct model_change change;
	struct kms_hash erase;
	memset(&change, 0, sizeof(change));
	make_key(&change);
	request(&change, &erase);
	approve_and_intend(&change, &erase);
	destroy(&change, &erase);
}

/* From the entries alone: the plan and the certificate are not among them. */
START_TEST(replay_rebuilds_an_erasure)
{
	erase_a_key();
	replay_says(KMS_OK, "destroy.request: 1");
	replay_says(KMS_OK, "destroy.execute.result: 1");
	replay_says(KMS_OK, "cert.issue: 1");
	replay_says(KMS_OK, "state equals");
}
END_TEST

static const struct {
	const char *sql, *report;
} ERASURE_TAMPERINGS[] = {
	{"UPDATE kek SET state = 2 WHERE state = 4", "  ledger: kek id="},
	{"UPDATE erasure SET expires_unix_s = 9", "  ledger: erasure id="},
	{"DELETE FROM erasure_signature", "  ledger: erasure_signature erasure="},
	{"UPDATE certificate SET final = 0", "  ledger: certificate id="},
	{"UPDATE use_count SET unwraps = unwraps - 1", "  ledger: use_count logical_key="},
};

START_TEST(replay_finds_a_changed_erasure)
{
	uint64_t n = queue_uses(1, 3, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	erase_a_key();
	replay_says(KMS_OK, "state equals");
	ledger_free(&ledger);
	tamper(ERASURE_TAMPERINGS[_i].sql);
	replay_says(KMS_ERR(INTEGRITY), ERASURE_TAMPERINGS[_i].report);
}
END_TEST

/* Records that are kept no longer cannot be counted again. */
START_TEST(replay_goes_on_without_pruned_records)
{
	uint64_t n = queue_uses(1, 3, PERSON);
	OK(ledger_uses_wait(ledger, &one->id, 1, n));
	ledger_free(&ledger);
	tamper("DELETE FROM uses");
	replay_says(KMS_OK, "use records: 0 in 1 batches, 1 not kept");
}
END_TEST

/* A key's chain goes from its creation to its last result; its datasets lead to it, and no entry
 * of it leads to them. */
START_TEST(datasets_are_no_links_of_a_keys_chain)
{
	static struct model_change change;
	struct model_entry *rows = NULL;
	size_t count = 0;
	static const char *const types[] = {"key.create.intent", "key.create.result", "key.state"};
	memset(&change, 0, sizeof(change));
	make_key(&change);
	for (uint8_t i = 0; i < 2; i++) {
		change.type = MODEL_CHANGE_DATASET_ADD;
		change.u.dataset_add = (struct model_dataset){.id = id(70 + i),
			.tenant = id(TENANT),
			.key = id(KEY),
			.custodian = id(PERSON)};
		(void)put(&change);
	}
	change.type = MODEL_CHANGE_KEY_STATE;
	change.u.key_state.key = id(KEY);
	change.u.key_state.event = MODEL_EVENT_SUSPEND;
	change.u.key_state.state = MODEL_STATE_SUSPENDED;
	(void)put(&change);
	struct kms_id key = id(KEY);
	OK(store_entries_of_key(store, &key, LIMIT_ENTRIES_PAGE, &rows, &count));
	ck_assert_uint_eq(count, sizeof(types) / sizeof(types[0]));
	for (size_t i = 0; i < count; i++) {
		struct record_head head;
		OK(record_entry_read(kms_buf_bytes(&rows[i].bytes), &head, &change));
		ck_assert_str_eq(record_change_text(&change), types[i]);
		ck_assert_int_eq(head.has_previous, i > 0);
		ck_assert(
			i == 0 || (head.previous_seq == rows[i - 1].seq &&
					  kms_hash_equal(&head.previous_leaf, &rows[i - 1].leaf)));
		model_change_free(&change);
		kms_buf_free(&rows[i].bytes);
	}
	free(rows);
	replay_says(KMS_OK, "dataset.add: 2");
	replay_says(KMS_OK, "state equals");
}
END_TEST

START_TEST(replay_follows_the_entries_of_a_key)
{
	uint64_t seq = 0;
	OK(say("about a key", 10, &seq));
	ledger_free(&ledger);
	/* Hide it for a moment, so that the key's next entry does not lead to it. */
	tamper("UPDATE entry SET logical_key = NULL WHERE seq = 1");
	OK(ledger_start(store, &set, sys, NULL, LEASE_S, &ledger));
	OK(say("about it again", 10, &seq));
	ledger_free(&ledger);
	replay_says(KMS_ERR(INTEGRITY), "entry 2: kprev");
	ck_assert_uint_eq(seq, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ledger");
	TCase *running_case = tcase_create("running");
	tcase_add_checked_fixture(running_case, set_up, tear_down);
	tcase_set_timeout(running_case, 60);
	tcase_add_test(running_case, changes_of_many_threads_are_durable_when_they_return);
	tcase_add_test(running_case, a_refused_change_leaves_the_others);
	tcase_add_test(running_case, uses_of_many_threads_are_recorded_once_and_in_order);
	tcase_add_test(running_case, offered_again_uses_find_their_principal_and_join);
	tcase_add_test(running_case, uses_that_never_came_are_not_waited_for);
	tcase_add_test(running_case, a_gap_and_a_wrong_hash_raise_alarms_and_are_recorded);
	tcase_add_test(running_case, uses_that_cannot_be_recorded_hold_up_nobody_else);
	tcase_add_test(running_case, uses_that_nobody_waits_for_are_recorded);
	tcase_add_test(running_case, denials_have_a_limit_and_are_counted_beyond);
	tcase_add_test(running_case, counted_denials_are_written_at_the_end);
	tcase_add_test(running_case, the_head_is_signed_when_it_grew);
	tcase_add_test(running_case, both_signatures_are_published);
	tcase_add_loop_test(running_case, half_signed_heads_are_not_published, SAYS_GOOD + 1, SAYS);
	tcase_add_test(running_case, entries_are_proven_under_a_signed_checkpoint);
	tcase_add_test(running_case, replay_rebuilds_an_erasure);
	tcase_add_loop_test(running_case, replay_finds_a_changed_erasure, 0,
		(int)(sizeof(ERASURE_TAMPERINGS) / sizeof(ERASURE_TAMPERINGS[0])));
	tcase_add_test(running_case, replay_goes_on_without_pruned_records);
	tcase_add_test(running_case, commits_go_on_while_tokens_are_down_or_hang);
	tcase_add_test(running_case, statements_are_recorded_once_and_bad_ones_named);
	tcase_add_test(running_case, a_store_that_was_rolled_back_is_refused);
	tcase_add_test(running_case, a_token_that_was_rolled_back_is_refused);
	tcase_add_test(running_case, replay_follows_the_entries_of_a_key);
	tcase_add_test(running_case, datasets_are_no_links_of_a_keys_chain);
	tcase_add_loop_test(running_case, replay_finds_what_was_changed, 0,
		(int)(sizeof(TAMPERINGS) / sizeof(TAMPERINGS[0])));
	suite_add_tcase(suite, running_case);
	TCase *one_key = tcase_create("one key");
	tcase_add_checked_fixture(one_key, set_up_one_key, tear_down);
	tcase_set_timeout(one_key, 60);
	tcase_add_test(one_key, a_log_of_one_key_has_one_line);
	suite_add_tcase(suite, one_key);
	TCase *stopped = tcase_create("stopped");
	tcase_add_checked_fixture(stopped, set_up_stopped, tear_down);
	tcase_set_timeout(stopped, 60);
	tcase_add_test(stopped, on_a_full_disk_nothing_is_released_and_nothing_lost);
	tcase_add_test(stopped, start_refuses);
	tcase_add_test(stopped, found_refuses_another_logs_key);
	tcase_add_test(stopped, an_offline_change_is_like_any_other);
	suite_add_tcase(suite, stopped);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
