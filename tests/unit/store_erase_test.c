/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of kmsd/store through its header: erasures from request to certificate, every step that is
 * out of order, what a request may name, what a cancellation gives back, and use counts.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto.h"
#include "format.h"
#include "store.h"

static struct store *store;
static uint64_t seq;

static void ok(kms_err err, const char *what, int line)
{
	if (!kms_is_ok(err)) {
		ck_abort_msg("line %d: %s: %s", line, what, kms_err_name(err));
	}
}
#define OK(expr) ok(expr, #expr, __LINE__)
#define FAILS(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

static struct kms_id id(unsigned n)
{
	struct kms_id made = {{0}};
	made.b[0] = (uint8_t)(n >> 8);
	made.b[15] = (uint8_t)n;
	made.b[1] = 7;
	return made;
}

static struct kms_hash hash(unsigned n)
{
	struct kms_hash made;
	memset(&made, (int)n, sizeof(made));
	return made;
}

/* ---- the cast: a tenant with its people, two tokens and two keys; another tenant ---- */

enum {
	TENANT = 1,
	CUSTODIAN = 2,
	TOKEN_A = 3,
	TOKEN_B = 4,
	SYSTEM = 5,
	APPROVER = 6,
	SECOND = 7,
	KEY = 10,
	SPARE = 11,
	FIRST_KEK = 20, /* of KEY: version 1 in B, A, then version 2 in B, A */
	SPARE_KEK = 30,
	ERASURE = 40,
	DATASET = 50,
	CERTIFICATE = 60,
	OTHER_TENANT = 70,
};

static struct model_token token(unsigned n)
{
	struct model_token made = {.id = id(n), .class = MODEL_CLASS_SOFTWARE};
	(void)snprintf(made.country, sizeof(made.country), "JP");
	made.session_spki = hash(n);
	return made;
}

static void tenant_set(struct model_tenant_set *set, unsigned tenant, const unsigned *people,
	size_t count, const unsigned *tokens, size_t token_count)
{
	set->tenant.id = id(tenant);
	OK(kms_text(&set->tenant.ca_pem, "ca"));
	set->principals = calloc(count, sizeof(*set->principals));
	set->principal_count = count;
	for (size_t i = 0; i < count; i++) {
		set->principals[i] = (struct model_principal){.id = id(people[i]),
			.role = i == 0 ? MODEL_ROLE_CUSTODIAN : MODEL_ROLE_APPROVER,
			.spki = hash(people[i])};
	}
	set->tokens = calloc(token_count, sizeof(*set->tokens));
	set->token_count = token_count;
	for (size_t i = 0; i < token_count; i++) {
		set->tokens[i] = token(tokens[i]);
	}
}

/* Applies and forgets it. */
static kms_err apply(struct model_change *change)
{
	struct store_tx *tx = NULL;
	OK(store_begin(store, &tx));
	OK(store_savepoint(tx));
	kms_err err = store_apply(tx, change, seq, 1000 + (int64_t)seq);
	OK(kms_is_ok(err) ? store_savepoint_keep(tx) : store_savepoint_drop(tx));
	OK(store_commit(&tx));
	model_change_free(change);
	seq++;
	return err;
}

static void found(void)
{
	static const unsigned people[] = {CUSTODIAN, APPROVER, SECOND},
			      tokens[] = {TOKEN_A, TOKEN_B};
	static const unsigned person[] = {OTHER_TENANT + 1}, other[] = {OTHER_TENANT + 2};
	struct model_change change = {.type = MODEL_CHANGE_LOG_OPEN};
	change.u.log_open.system_token = token(SYSTEM);
	tenant_set(&change.u.log_open.first, TENANT, people, 3, tokens, 2);
	OK(apply(&change));
	change = (struct model_change){.type = MODEL_CHANGE_TENANT_ADD};
	tenant_set(&change.u.tenant_add, OTHER_TENANT, person, 1, other, 1);
	OK(apply(&change));
}

static kms_err intend(unsigned key, uint32_t version, unsigned kek)
{
	struct model_change change = {.type = MODEL_CHANGE_KEY_INTENT, .tenant = id(TENANT)};
	struct model_key *made = &change.u.key_intent.key;
	made->id = id(key);
	made->tenant = id(TENANT);
	made->custodian = id(CUSTODIAN);
	made->custody = MODEL_CUSTODY_ALL;
	made->delivery = MODEL_DELIVERY_SEALED;
	made->token_count = 2;
	made->tokens[0] = id(TOKEN_B);
	made->tokens[1] = id(TOKEN_A);
	change.u.key_intent.version = version;
	change.u.key_intent.keks[0] = id(kek);
	change.u.key_intent.keks[1] = id(kek + 1);
	return apply(&change);
}

static void make_key(unsigned key, uint32_t version, unsigned kek)
{
	static struct model_change change; /* too large for the stack beside that of intend */
	OK(intend(key, version, kek));
	change = (struct model_change){.type = MODEL_CHANGE_KEY_RESULT, .tenant = id(TENANT)};
	change.u.key_result.key = id(key);
	change.u.key_result.version = version;
	change.u.key_result.made = true;
	change.u.key_result.birth_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		change.u.key_result.births[i].kek = id(kek + i);
		change.u.key_result.births[i].token = id(i == 0 ? TOKEN_B : TOKEN_A);
		change.u.key_result.births[i].commitment = hash(kek + i);
	}
	OK(apply(&change));
}

static kms_err set_key(unsigned key, enum model_event event, enum model_state state)
{
	struct model_change change = {.type = MODEL_CHANGE_KEY_STATE, .tenant = id(TENANT)};
	change.u.key_state.key = id(key);
	change.u.key_state.event = event;
	change.u.key_state.state = state;
	return apply(&change);
}

static kms_err add_dataset(unsigned dataset, unsigned key)
{
	struct model_change change = {.type = MODEL_CHANGE_DATASET_ADD, .tenant = id(TENANT)};
	change.u.dataset_add.id = id(dataset);
	change.u.dataset_add.tenant = id(TENANT);
	change.u.dataset_add.key = id(key);
	change.u.dataset_add.custodian = id(CUSTODIAN);
	return apply(&change);
}

static void set_up(void)
{
	seq = 0;
	OK(store_open(NULL, STORE_CREATE, &store));
	found();
	make_key(KEY, 1, FIRST_KEK);
	make_key(KEY, 2, FIRST_KEK + 2);
	make_key(SPARE, 1, SPARE_KEK);
}

static void tear_down(void)
{
	store_free(&store);
}

/* ---- the steps ---- */

static struct format_erase_kek keks[8];
static struct format_erase wish;

/* KEY's KEKs of versions from .. to, which tests then change. */
static void wish_for(enum model_erase_scope scope, unsigned subject, uint32_t from, uint32_t to)
{
	memset(&wish, 0, sizeof(wish));
	(void)snprintf(wish.origin, sizeof(wish.origin), "example.test/kmsd/1");
	wish.erasure = id(ERASURE);
	wish.tenant = id(TENANT);
	wish.requester = id(CUSTODIAN);
	wish.scope = scope;
	wish.subject = id(subject);
	wish.plan = hash(9);
	wish.not_before_unix_s = 5;
	wish.expires_unix_s = 6;
	wish.keks = keks;
	for (unsigned i = 0; i < 2; i++) { /* in the order of tokens */
		for (uint32_t version = from; version <= to; version++) {
			unsigned kek = FIRST_KEK + 2 * (version - 1) + 1 - i;
			keks[wish.kek_count++] =
				(struct format_erase_kek){.token = id(i == 0 ? TOKEN_A : TOKEN_B),
					.kek = id(kek),
					.key = id(KEY),
					.version = version,
					.commitment = hash(kek)};
		}
	}
}

/* Everything of the tenant, with both tokens. */
static void wish_for_tenant(void)
{
	static struct format_erase_kek all[6];
	wish_for(MODEL_ERASE_TENANT, TENANT, 1, 2);
	for (unsigned i = 0; i < 2; i++) {
		unsigned kek = SPARE_KEK + 1 - i;
		memcpy(all + (size_t)3 * i, keks + (size_t)2 * i, 2 * sizeof(keks[0]));
		all[3 * i + 2] = (struct format_erase_kek){.token = id(i == 0 ? TOKEN_A : TOKEN_B),
			.kek = id(kek),
			.key = id(SPARE),
			.version = 1,
			.commitment = hash(kek)};
	}
	wish.keks = all;
	wish.kek_count = 6;
	wish.wipe_count = 2;
	wish.wipes[0] = id(TOKEN_A);
	wish.wipes[1] = id(TOKEN_B);
}

static kms_err request(void)
{
	struct model_change change = {
		.type = MODEL_CHANGE_ERASE_REQUEST, .tenant = wish.tenant, .actor = wish.requester};
	OK(format_erase_write(&wish, &change.u.erase_request.bytes));
	OK(kms_buf_copy(kms_bytes_str("a certificate"), &change.u.erase_request.certificate));
	OK(kms_buf_copy(kms_bytes_str("{\"plan\":1}"), &change.u.erase_request.plan));
	memset(change.u.erase_request.signature, 7, MODEL_SIGNATURE);
	return apply(&change);
}

static struct kms_hash erase_hash(void)
{
	KMS_AUTO_BUF bytes = {0};
	struct kms_hash made;
	OK(format_erase_write(&wish, &bytes));
	OK(crypto_sha256_one(kms_buf_bytes(&bytes), &made));
	return made;
}

static kms_err sign(enum model_change_type type, unsigned who, unsigned spki)
{
	struct model_change change = {.type = type, .tenant = id(TENANT), .actor = id(who)};
	char text[16];
	(void)snprintf(text, sizeof(text), "key %u", spki);
	change.u.erase_signed.erasure = wish.erasure;
	change.u.erase_signed.by.principal = id(who);
	OK(kms_buf_copy(kms_bytes_str(text), &change.u.erase_signed.by.spki));
	memset(change.u.erase_signed.by.signature, (int)who, MODEL_SIGNATURE);
	return apply(&change);
}

static kms_err approve(unsigned who)
{
	return sign(MODEL_CHANGE_ERASE_APPROVE, who, who);
}

static kms_err cancel(unsigned who)
{
	return sign(MODEL_CHANGE_ERASE_CANCEL, who, who);
}

static kms_err step(enum model_change_type type)
{
	struct model_change change = {.type = type, .tenant = id(TENANT), .actor = id(CUSTODIAN)};
	change.u.erase_step.erasure = wish.erasure;
	if (type == MODEL_CHANGE_ERASE_INTENT) {
		change.u.erase_step.erase = erase_hash();
	}
	return apply(&change);
}

static kms_err execute(void)
{
	return step(MODEL_CHANGE_ERASE_INTENT);
}

static kms_err end(void)
{
	return step(MODEL_CHANGE_ERASE_FINAL);
}

static struct kms_buf statement_of(struct format_statement *statement, struct kms_id of)
{
	KMS_AUTO_BUF part = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	static const uint8_t signature[MODEL_SIGNATURE];
	struct kms_buf bytes = {0};
	statement->token = of;
	statement->tenant = id(TENANT);
	OK(format_statement_write(statement, &part));
	kms_write_bytes(&writer, kms_buf_bytes(&part));
	kms_write_fixed(&writer, signature, sizeof(signature));
	OK(kms_writer_take(&writer, &bytes));
	return bytes;
}

/* The two statements of a KEK; tests make them say something else. */
static struct format_statement destroyed, absent;

static void say(const struct format_erase_kek *kek)
{
	struct format_erased what = {.erasure = wish.erasure,
		.erase = erase_hash(),
		.key = kek->key,
		.version = kek->version,
		.kek = kek->kek,
		.commitment = kek->commitment};
	destroyed = (struct format_statement){.type = FORMAT_STATEMENT_DESTROY};
	destroyed.u.destroy =
		(struct format_destroy){.what = what, .found = true, .canary_before = true};
	absent = (struct format_statement){.type = FORMAT_STATEMENT_ABSENCE};
	absent.u.absence = (struct format_absence){.what = what, .searched = 3, .born = 1};
}

static kms_err record(const struct format_erase_kek *kek)
{
	struct model_change change = {.type = MODEL_CHANGE_ERASE_RESULT, .tenant = id(TENANT)};
	change.u.erase_done.erasure = wish.erasure;
	change.u.erase_done.token = kek->token;
	change.u.erase_done.key = kek->key;
	change.u.erase_done.kek = kek->kek;
	change.u.erase_done.version = kek->version;
	change.u.erase_done.statement = statement_of(&destroyed, kek->token);
	change.u.erase_done.absence = statement_of(&absent, kek->token);
	return apply(&change);
}

static kms_err result(const struct format_erase_kek *kek)
{
	say(kek);
	return record(kek);
}

static kms_err wipe(unsigned which, bool initialised)
{
	struct model_change change = {.type = MODEL_CHANGE_ERASE_WIPE, .tenant = id(TENANT)};
	struct format_statement statement = {.type = FORMAT_STATEMENT_WIPE};
	statement.u.wipe = (struct format_wipe){
		.erasure = wish.erasure, .erase = erase_hash(), .initialised = initialised};
	change.u.erase_done.erasure = wish.erasure;
	change.u.erase_done.token = id(which);
	change.u.erase_done.statement = statement_of(&statement, id(which));
	return apply(&change);
}

static kms_err certify(unsigned certificate, unsigned supersedes, bool final)
{
	struct model_change change = {.type = MODEL_CHANGE_CERT_ISSUE, .tenant = id(TENANT)};
	change.u.cert_issue.erasure = wish.erasure;
	change.u.cert_issue.certificate = id(certificate);
	if (supersedes != 0) {
		change.u.cert_issue.supersedes = id(supersedes);
	}
	change.u.cert_issue.final = final;
	change.u.cert_issue.hash = hash(certificate);
	OK(kms_buf_copy(kms_bytes_str("{\"cert\":1}"), &change.u.cert_issue.json));
	return apply(&change);
}

/* ---- what the state says ---- */

static struct model_key key_now(unsigned n)
{
	struct kms_id which = id(n);
	struct model_key key;
	OK(store_key_get(store, &which, &key));
	return key;
}

static void key_is(unsigned n, enum model_state state, bool held)
{
	struct model_key key = key_now(n);
	ck_assert_str_eq(model_state_text(key.state), model_state_text(state));
	ck_assert_int_eq(!kms_id_is_zero(&key.erasure), held);
	ck_assert(!held || kms_id_equal(&key.erasure, &wish.erasure));
}

static void keks_are(unsigned key, enum model_kek_state state, size_t want, bool held)
{
	struct kms_id which = id(key);
	struct model_kek *rows = NULL;
	size_t count = 0, found_count = 0;
	OK(store_kek_list(store, &which, &rows, &count));
	for (size_t i = 0; i < count; i++) {
		found_count += rows[i].state == state && !kms_id_is_zero(&rows[i].erasure) == held;
	}
	ck_assert_uint_eq(found_count, want);
	free(rows);
}

/* KEKs that went over to another erasure before the last of the others was gone. */
static uint32_t left_over;

static void erasure_is(enum model_erase_state state, uint32_t gone, uint32_t wiped)
{
	struct model_erasure erasure;
	OK(store_erasure_get(store, &wish.erasure, &erasure));
	ck_assert_str_eq(model_erase_state_text(erasure.state), model_erase_state_text(state));
	ck_assert_uint_eq(erasure.destroyed_count, gone);
	ck_assert_uint_eq(erasure.wiped_count, wiped);
	ck_assert_int_eq(
		erasure.done_unix_ms != 0, gone > 0 && gone + left_over == erasure.kek_count);
	model_erasure_free(&erasure);
}

/* Nothing at all stayed of what was refused. */
static void refused(kms_err err, enum kms_code code, const struct kms_buf *before)
{
	KMS_AUTO_BUF after = {0};
	ck_assert_msg(err.code == code, "%s", kms_err_name(err));
	OK(store_dump(store, &after));
	ck_assert(kms_bytes_equal(kms_buf_bytes(before), kms_buf_bytes(&after)));
}

/* ---- whole stories ---- */

START_TEST(a_key_from_request_to_certificate)
{
	struct model_erasure erasure;
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	OK(request());
	key_is(KEY, MODEL_STATE_SUSPENDED, true);
	key_is(SPARE, MODEL_STATE_ACTIVE, false);
	keks_are(KEY, MODEL_KEK_LIVE, 4, true);
	OK(certify(CERTIFICATE, 0, false));
	OK(approve(APPROVER));
	OK(approve(SECOND));
	OK(execute());
	for (uint32_t i = 0; i < wish.kek_count; i++) {
		erasure_is(MODEL_ERASE_EXECUTING, i, 0);
		key_is(KEY, MODEL_STATE_SUSPENDED, true);
		FAILS(end(), KEY_STATE);
		OK(result(&wish.keks[i]));
	}
	key_is(KEY, MODEL_STATE_DESTROYED, true);
	keks_are(KEY, MODEL_KEK_DESTROYED, 4, true);
	erasure_is(MODEL_ERASE_EXECUTING, 4, 0);
	FAILS(certify(CERTIFICATE + 1, CERTIFICATE, true), KEY_STATE);
	OK(end());
	erasure_is(MODEL_ERASE_DONE, 4, 0);
	OK(certify(CERTIFICATE + 1, CERTIFICATE, true));

	OK(store_erasure_get(store, &wish.erasure, &erasure));
	struct kms_id person = id(CUSTODIAN), newest = id(CERTIFICATE + 1), second = id(SECOND);
	ck_assert(kms_id_equal(&erasure.requester, &person));
	ck_assert_int_eq(erasure.scope, MODEL_ERASE_KEY);
	ck_assert_int_eq(erasure.expires_unix_s, 6);
	ck_assert_uint_eq(erasure.signature[63], 7);
	ck_assert(kms_bytes_equal(
		kms_buf_bytes(&erasure.certificate), kms_bytes_str("a certificate")));
	ck_assert_uint_eq(erasure.approval_count, 2);
	ck_assert(kms_id_equal(&erasure.approvals[1].principal, &second));
	ck_assert(
		kms_bytes_equal(kms_buf_bytes(&erasure.approvals[1].spki), kms_bytes_str("key 7")));
	ck_assert_uint_eq(erasure.approvals[1].signature[0], SECOND);
	ck_assert_uint_gt(erasure.approvals[1].seq, erasure.request_seq);
	ck_assert_uint_gt(erasure.intent_seq, erasure.approvals[1].seq);
	ck_assert_uint_gt(erasure.final_seq, erasure.intent_seq);
	ck_assert_int_eq(erasure.requested_unix_ms, 1000 + (int64_t)erasure.request_seq);
	ck_assert(kms_id_equal(&erasure.cert, &newest));
	ck_assert(erasure.cert_final);
	ck_assert_uint_gt(erasure.cert_seq, erasure.final_seq);
	ck_assert_uint_eq(erasure.cert_hash.b[0], CERTIFICATE + 1);
	model_erasure_free(&erasure);
}
END_TEST

START_TEST(getters_follow_the_erasure)
{
	static const struct kms_id zero;
	struct kms_id tenant = id(TENANT), other = id(OTHER_TENANT), nobody = id(99);
	struct kms_id certificate = id(CERTIFICATE);
	struct model_erasure *rows = NULL;
	struct model_erase_row *keks_now = NULL;
	uint64_t *seqs = NULL;
	size_t count = 0;
	KMS_AUTO_BUF plan = {0};
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_BUF none = {0};
	wish_for_tenant();
	OK(request());
	uint64_t first = seq - 1;
	OK(approve(APPROVER));
	OK(store_erasure_open(store, &rows, &count));
	ck_assert_uint_eq(count, 0);
	free(rows);
	FAILS(approve(APPROVER), EXISTS);
	OK(execute());
	OK(result(&wish.keks[0]));
	OK(certify(CERTIFICATE, 0, false));

	OK(store_erasure_entries(store, &wish.erasure, &seqs, &count));
	ck_assert_uint_eq(count, 5);
	ck_assert_uint_eq(seqs[0], first);
	ck_assert_uint_eq(seqs[1], first + 1);
	ck_assert_uint_eq(seqs[2], first + 3); /* not the refused one */
	free(seqs);
	OK(store_erasure_rows(store, &wish.erasure, &keks_now, &count));
	ck_assert_uint_eq(count, 8);
	ck_assert(keks_now[0].done && keks_now[0].seq == first + 4);
	ck_assert(kms_id_equal(&keks_now[5].kek, &wish.keks[5].kek) && !keks_now[5].done);
	ck_assert(kms_id_is_zero(&keks_now[7].kek) && kms_id_is_zero(&keks_now[7].key));
	ck_assert(kms_id_equal(&keks_now[7].token, &wish.wipes[1]));
	free(keks_now);

	OK(store_erasure_list(store, &tenant, &zero, 5, &rows, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(rows[0].approval_count, 1);
	model_erasure_free(&rows[0]);
	free(rows);
	OK(store_erasure_list(store, &tenant, &wish.erasure, 5, &rows, &count));
	ck_assert_uint_eq(count, 0);
	free(rows);
	OK(store_erasure_list(store, &other, &zero, 5, &rows, &count));
	ck_assert_uint_eq(count, 0);
	free(rows);
	OK(store_erasure_open(store, &rows, &count));
	ck_assert_uint_eq(count, 1);
	model_erasure_free(&rows[0]);
	free(rows);

	OK(store_erasure_plan(store, &wish.erasure, &plan));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&plan), kms_bytes_str("{\"plan\":1}")));
	OK(store_certificate(store, &certificate, &json));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&json), kms_bytes_str("{\"cert\":1}")));
	FAILS(store_erasure_plan(store, &nobody, &none), NOT_FOUND);
	FAILS(store_certificate(store, &wish.erasure, &none), NOT_FOUND);
	struct model_erasure got;
	FAILS(store_erasure_get(store, &nobody, &got), NOT_FOUND);
}
END_TEST

START_TEST(a_tenant_ends_with_its_tokens)
{
	wish_for_tenant();
	OK(request());
	key_is(SPARE, MODEL_STATE_SUSPENDED, true);
	FAILS(intend(12, 1, 80), KEY_STATE); /* no new key outruns it */
	OK(approve(APPROVER));
	OK(execute());
	for (uint32_t i = 0; i < wish.kek_count; i++) {
		/* A token is wiped when its last KEK is gone: the first three are of A. */
		if (i < 3) {
			FAILS(wipe(TOKEN_A, true), KEY_STATE);
		}
		OK(result(&wish.keks[i]));
	}
	FAILS(wipe(TOKEN_A, false), ARGUMENT);
	OK(wipe(TOKEN_A, true));
	FAILS(wipe(TOKEN_A, true), EXISTS);
	FAILS(wipe(SYSTEM, true), NOT_FOUND);
	FAILS(end(), KEY_STATE);
	OK(wipe(TOKEN_B, true));
	erasure_is(MODEL_ERASE_EXECUTING, 6, 2);
	OK(end());
	key_is(KEY, MODEL_STATE_DESTROYED, true);
	key_is(SPARE, MODEL_STATE_DESTROYED, true);
}
END_TEST

START_TEST(versions_leave_the_key_alone)
{
	wish_for(MODEL_ERASE_VERSIONS, KEY, 1, 1);
	OK(request());
	key_is(KEY, MODEL_STATE_ACTIVE, false);
	keks_are(KEY, MODEL_KEK_LIVE, 2, true);
	keks_are(KEY, MODEL_KEK_LIVE, 2, false);
	make_key(KEY, 3, FIRST_KEK + 4); /* rotation goes on */
	OK(approve(APPROVER));
	OK(execute());
	OK(result(&wish.keks[0]));
	OK(result(&wish.keks[1]));
	OK(end());
	key_is(KEY, MODEL_STATE_ACTIVE, false);
	keks_are(KEY, MODEL_KEK_DESTROYED, 2, true);
	keks_are(KEY, MODEL_KEK_LIVE, 4, false);
}
END_TEST

START_TEST(a_dataset_needs_a_key_of_its_own)
{
	OK(add_dataset(DATASET, KEY));
	OK(add_dataset(DATASET + 1, KEY));
	OK(add_dataset(DATASET + 2, SPARE));
	wish_for(MODEL_ERASE_DATASET, DATASET, 1, 2);
	FAILS(request(), KEY_STATE); /* shared */
	wish_for(MODEL_ERASE_DATASET, DATASET + 2, 1, 2);
	FAILS(request(), ARGUMENT); /* another key's */
	wish_for(MODEL_ERASE_DATASET, 99, 1, 2);
	FAILS(request(), NOT_FOUND);
	wish_for_tenant();
	wish.scope = MODEL_ERASE_DATASET;
	wish.subject = id(DATASET + 2);
	wish.wipe_count = 0;
	wish.keks[0] = wish.keks[2];
	wish.keks[1] = wish.keks[5];
	wish.kek_count = 2;
	OK(request());
	key_is(SPARE, MODEL_STATE_SUSPENDED, true);
	key_is(KEY, MODEL_STATE_ACTIVE, false);
}
END_TEST

/* ---- what a request may name ---- */

START_TEST(requests_are_refused)
{
	KMS_AUTO_BUF before = {0};
	OK(store_dump(store, &before));
	wish_for(MODEL_ERASE_KEY, KEY, 1, 1); /* not all of it */
	refused(request(), KMS_CODE_KEY_STATE, &before);
	wish_for(MODEL_ERASE_VERSIONS, KEY, 1, 2); /* the current one, too */
	refused(request(), KMS_CODE_KEY_STATE, &before);
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	keks[3].commitment.b[0] ^= 1;
	refused(request(), KMS_CODE_NOT_FOUND, &before);
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	keks[3].version = 1;
	refused(request(), KMS_CODE_NOT_FOUND, &before);
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	keks[3].kek = id(99);
	refused(request(), KMS_CODE_NOT_FOUND, &before);
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	wish.requester = id(OTHER_TENANT + 1);
	refused(request(), KMS_CODE_NOT_FOUND, &before);
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	wish.tenant = id(OTHER_TENANT);
	wish.requester = id(OTHER_TENANT + 1);
	refused(request(), KMS_CODE_NOT_FOUND, &before);
	wish_for_tenant();
	wish.wipes[1] = id(OTHER_TENANT + 2);
	refused(request(), KMS_CODE_NOT_FOUND, &before);
	wish_for_tenant();
	wish.kek_count = 5;
	refused(request(), KMS_CODE_KEY_STATE, &before);

	/* Bytes that are no request, and another's request. */
	struct model_change change = {.type = MODEL_CHANGE_ERASE_REQUEST, .tenant = id(TENANT)};
	OK(kms_buf_copy(kms_bytes_str("kmsd-erase/1"), &change.u.erase_request.bytes));
	kms_err err = apply(&change);
	ck_assert(!kms_is_ok(err));
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	change = (struct model_change){
		.type = MODEL_CHANGE_ERASE_REQUEST, .tenant = id(TENANT), .actor = id(APPROVER)};
	OK(format_erase_write(&wish, &change.u.erase_request.bytes));
	refused(apply(&change), KMS_CODE_ARGUMENT, &before);
}
END_TEST

START_TEST(one_erasure_holds_a_key_at_a_time)
{
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	OK(request());
	FAILS(request(), EXISTS);
	wish.erasure = id(ERASURE + 1);
	FAILS(request(), KEY_STATE);
	wish_for(MODEL_ERASE_VERSIONS, KEY, 1, 1);
	wish.erasure = id(ERASURE + 1);
	FAILS(request(), KEY_STATE);
	wish_for_tenant();
	wish.erasure = id(ERASURE + 1);
	FAILS(request(), KEY_STATE);
	wish.erasure = id(ERASURE);
	OK(cancel(CUSTODIAN));
	wish.erasure = id(ERASURE + 1);
	OK(request());
	FAILS(request(), EXISTS);

	/* Versions that another erasure names keep the key from its end. */
	OK(cancel(APPROVER));
	wish_for(MODEL_ERASE_VERSIONS, KEY, 1, 1);
	wish.erasure = id(ERASURE + 2);
	OK(request());
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	wish.erasure = id(ERASURE + 3);
	FAILS(request(), KEY_STATE);
}
END_TEST

START_TEST(a_version_in_the_making_is_waited_for)
{
	OK(intend(KEY, 3, FIRST_KEK + 4));
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	FAILS(request(), KEY_STATE);
	wish_for(MODEL_ERASE_VERSIONS, KEY, 1, 1);
	OK(request());
}
END_TEST

/* ---- out of order ---- */

START_TEST(steps_keep_their_order)
{
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	FAILS(approve(APPROVER), NOT_FOUND);
	FAILS(cancel(APPROVER), NOT_FOUND);
	FAILS(execute(), NOT_FOUND);
	FAILS(result(&wish.keks[0]), NOT_FOUND);
	FAILS(end(), NOT_FOUND);
	FAILS(certify(CERTIFICATE, 0, false), NOT_FOUND);
	OK(request());
	FAILS(execute(), KEY_STATE); /* nobody approved */
	FAILS(result(&wish.keks[0]), KEY_STATE);
	FAILS(end(), KEY_STATE);
	FAILS(approve(CUSTODIAN), ARGUMENT); /* the requester */
	FAILS(approve(OTHER_TENANT + 1), NOT_FOUND);
	OK(approve(APPROVER));
	FAILS(approve(APPROVER), EXISTS);
	FAILS(sign(MODEL_CHANGE_ERASE_APPROVE, SECOND, APPROVER), EXISTS); /* one key, two names */
	uint64_t expires = (uint64_t)wish.expires_unix_s;
	wish.expires_unix_s++;
	FAILS(execute(), ARGUMENT); /* other bytes */
	wish.expires_unix_s = (int64_t)expires;
	OK(execute());
	FAILS(execute(), KEY_STATE);
	FAILS(approve(SECOND), KEY_STATE);
	FAILS(cancel(CUSTODIAN), KEY_STATE);
	OK(result(&wish.keks[0]));
	FAILS(result(&wish.keks[0]), EXISTS);
	FAILS(wipe(TOKEN_A, true), NOT_FOUND); /* nobody signed that */
	OK(certify(CERTIFICATE, 0, false));
	FAILS(certify(CERTIFICATE, 0, false), EXISTS);
	FAILS(certify(CERTIFICATE + 1, 0, false), EXISTS); /* does not name the one before */
	FAILS(certify(CERTIFICATE + 1, CERTIFICATE + 2, false), EXISTS);
}
END_TEST

START_TEST(a_cancelled_one_is_over)
{
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	OK(request());
	OK(approve(APPROVER));
	OK(cancel(SECOND));
	erasure_is(MODEL_ERASE_CANCELLED, 0, 0);
	FAILS(approve(SECOND), KEY_STATE);
	FAILS(execute(), KEY_STATE);
	FAILS(cancel(SECOND), KEY_STATE);
	FAILS(result(&wish.keks[0]), KEY_STATE);
	FAILS(end(), KEY_STATE);
}
END_TEST

/* What a kms-tokend says when it did not go well, or was about something else. */
START_TEST(bad_statements_destroy_nothing)
{
	KMS_AUTO_BUF before = {0};
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	OK(request());
	OK(approve(APPROVER));
	OK(execute());
	OK(store_dump(store, &before));
	const struct format_erase_kek *kek = &wish.keks[0];
	for (int i = 0; i < 9; i++) {
		say(kek);
		struct format_erased *what =
			i % 2 == 0 ? &destroyed.u.destroy.what : &absent.u.absence.what;
		switch (i) {
		case 0:
		case 1:
			what->erase.b[0] ^= 1;
			break;
		case 2:
		case 3:
			what->commitment.b[0] ^= 1;
			break;
		case 4:
		case 5:
			what->erasure = id(ERASURE + 1);
			break;
		case 6:
			destroyed.u.destroy.rv = 5;
			break;
		case 7:
			absent.u.absence.matched = 1;
			break;
		default:
			destroyed.u.destroy.canary_after = true;
			break;
		}
		refused(record(kek), KMS_CODE_ARGUMENT, &before);
	}
	/* One for the other, and another token's. */
	say(kek);
	destroyed = absent;
	refused(record(kek), KMS_CODE_ARGUMENT, &before);
	struct format_erase_kek elsewhere = *kek;
	elsewhere.token = id(TOKEN_B);
	refused(result(&elsewhere), KMS_CODE_NOT_FOUND, &before);
	elsewhere = *kek;
	elsewhere.kek = id(SPARE_KEK); /* not in the bytes */
	refused(result(&elsewhere), KMS_CODE_NOT_FOUND, &before);
	OK(result(kek));
}
END_TEST

/* ---- what is held, and what is given back ---- */

START_TEST(a_held_key_stays_as_it_is)
{
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	OK(request());
	FAILS(set_key(KEY, MODEL_EVENT_RESUME, MODEL_STATE_ACTIVE), KEY_STATE);
	FAILS(set_key(KEY, MODEL_EVENT_DESTROY, MODEL_STATE_DESTROYED), KEY_STATE);
	FAILS(intend(KEY, 3, FIRST_KEK + 4), KEY_STATE);
	/* A dataset found late makes another plan; past the intent it is too late. */
	OK(add_dataset(DATASET, KEY));
	OK(approve(APPROVER));
	OK(execute());
	FAILS(add_dataset(DATASET + 1, KEY), KEY_STATE);
	OK(add_dataset(DATASET + 1, SPARE));
}
END_TEST

START_TEST(a_cancellation_gives_back_what_was)
{
	wish_for_tenant();
	OK(set_key(SPARE, MODEL_EVENT_SUSPEND, MODEL_STATE_SUSPENDED));
	OK(request());
	key_is(KEY, MODEL_STATE_SUSPENDED, true);
	key_is(SPARE, MODEL_STATE_SUSPENDED, true);
	OK(cancel(APPROVER));
	key_is(KEY, MODEL_STATE_ACTIVE, false);
	key_is(SPARE, MODEL_STATE_SUSPENDED, false);
	keks_are(KEY, MODEL_KEK_LIVE, 4, false);
	keks_are(SPARE, MODEL_KEK_LIVE, 2, false);
	OK(intend(12, 1, 80));

	/* What became of a key meanwhile is not undone. */
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	wish.erasure = id(ERASURE + 1);
	OK(request());
	OK(set_key(KEY, MODEL_EVENT_COMPROMISE, MODEL_STATE_COMPROMISED));
	OK(cancel(APPROVER));
	key_is(KEY, MODEL_STATE_COMPROMISED, false);
	wish.erasure = id(ERASURE + 2);
	OK(request());
	key_is(KEY, MODEL_STATE_COMPROMISED, true);
	OK(approve(SECOND));
	OK(execute());
	for (uint32_t i = 0; i < wish.kek_count; i++) {
		OK(result(&wish.keks[i]));
	}
	key_is(KEY, MODEL_STATE_DESTROYED_COMPROMISED, true);
}
END_TEST

/* The same changes give the same rows, without the papers that a replay does not have. */
/* ---- refusals, and who takes over ---- */

enum { LATER = 10000 }; /* an entry's time is its seq */

static kms_err refuse(
	unsigned token_id, const struct format_erase_kek *first, uint32_t count, bool wipes)
{
	struct model_change change = {.type = MODEL_CHANGE_ERASE_REFUSED, .tenant = id(TENANT)};
	change.u.erase_refused.erasure = wish.erasure;
	change.u.erase_refused.token = id(token_id);
	(void)snprintf(change.u.erase_refused.text, sizeof(change.u.erase_refused.text), "why");
	change.u.erase_refused.keks = calloc(count + 1, sizeof(struct kms_id));
	change.u.erase_refused.kek_count = count;
	for (uint32_t i = 0; i < count; i++) {
		change.u.erase_refused.keks[i] = first[i].kek;
	}
	change.u.erase_refused.wipe = wipes;
	return apply(&change);
}

static void begin_wish(void)
{
	OK(request());
	OK(approve(APPROVER));
	OK(execute());
}

/* KEY in A is gone, KEY in B was refused while the approvals were good. */
static struct format_erase half_gone(void)
{
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	begin_wish();
	OK(result(&wish.keks[0]));
	OK(result(&wish.keks[1]));
	OK(refuse(TOKEN_B, &wish.keks[2], 2, false));
	FAILS(refuse(TOKEN_B, &wish.keks[2], 2, false), KEY_STATE); /* it was said */
	return wish;
}

/* A wish for these of the other's KEKs, good when all of this happens. */
static void anew(const struct format_erase *old, unsigned erasure, uint32_t from, uint32_t count)
{
	static struct format_erase_kek its[8];
	wish = *old;
	memcpy(its, &old->keks[from], count * sizeof(its[0]));
	wish.keks = its;
	wish.kek_count = count;
	wish.wipe_count = 0;
	wish.erasure = id(erasure);
	wish.expires_unix_s = 100;
}

static void row_is(const struct kms_id *erasure, const struct kms_id *kek, unsigned renewed_by)
{
	struct model_erase_row *rows = NULL;
	struct kms_id by = renewed_by == 0 ? (struct kms_id){{0}} : id(renewed_by);
	size_t count = 0, met = 0;
	OK(store_erasure_rows(store, erasure, &rows, &count));
	for (size_t i = 0; i < count; i++) {
		if (kms_id_equal(&rows[i].kek, kek)) {
			ck_assert(kms_id_equal(&rows[i].renewed, &by));
			met++;
		}
	}
	ck_assert_uint_eq(met, 1);
	free(rows);
}

START_TEST(a_replay_gives_the_same)
{
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF again = {0};
	struct store *first = store;
	for (int round = 0; round < 2; round++) {
		if (round == 1) {
			set_up();
		}
		wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
		OK(request());
		OK(cancel(APPROVER));
		wish.erasure = id(ERASURE + 1);
		OK(request());
		OK(approve(APPROVER));
		OK(execute());
		OK(result(&wish.keks[1]));
		OK(certify(CERTIFICATE, 0, false));
		seq += LATER;
		OK(refuse(TOKEN_A, &wish.keks[0], 1, false));
		struct format_erase old = wish;
		anew(&old, ERASURE + 2, 0, 1);
		OK(request());
		OK(store_dump(store, round == 0 ? &text : &again));
	}
	ck_assert(kms_bytes_equal(kms_buf_bytes(&text), kms_buf_bytes(&again)));
	static const char *const tables[] = {"\nerasure id=", "\nerasure_signature ",
		"\nerasure_row ", "\nerasure_key ", "\nerasure_entry ", "\ncertificate id="};
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		ck_assert_msg(memmem(text.ptr, text.len, tables[i], strlen(tables[i])) != NULL,
			"%s", tables[i]);
	}
	store_free(&store);
	store = first;
}
END_TEST

/* ---- what is left when the approvals have expired ---- */

START_TEST(what_is_refused_after_the_expiry_goes_over)
{
	struct kms_id *renews = NULL;
	size_t count = 0;
	struct format_erase old = half_gone();
	anew(&old, ERASURE + 1, 2, 2);
	FAILS(request(), KEY_STATE); /* refused, and not expired */
	seq += LATER;
	FAILS(request(), KEY_STATE); /* expired, and not refused since */
	wish = old;
	OK(refuse(TOKEN_B, &wish.keks[2], 2, false));
	FAILS(refuse(TOKEN_B, &wish.keks[2], 1, false), KEY_STATE);
	FAILS(refuse(TOKEN_A, &wish.keks[0], 1, false), KEY_STATE); /* it is gone */
	anew(&old, ERASURE + 1, 0, 4);
	FAILS(request(), KEY_STATE); /* half of it is gone */
	anew(&old, ERASURE + 1, 2, 2);
	OK(request());
	key_is(KEY, MODEL_STATE_SUSPENDED, true);
	FAILS(set_key(KEY, MODEL_EVENT_RESUME, MODEL_STATE_ACTIVE), KEY_STATE);
	OK(store_erasure_renews(store, &wish.erasure, &renews, &count));
	ck_assert(count == 1 && kms_id_equal(&renews[0], &old.erasure));
	free(renews);
	row_is(&old.erasure, &old.keks[2].kek, ERASURE + 1);
	row_is(&old.erasure, &old.keks[0].kek, 0);
	/* The old one does nothing any more, and is never final. */
	wish = old;
	erasure_is(MODEL_ERASE_RENEWED, 2, 0);
	FAILS(result(&wish.keks[2]), KEY_STATE);
	FAILS(refuse(TOKEN_B, &wish.keks[2], 1, false), KEY_STATE);
	FAILS(end(), KEY_STATE);
	FAILS(execute(), KEY_STATE);
	FAILS(cancel(APPROVER), KEY_STATE);
	OK(certify(CERTIFICATE, 0, false));
	FAILS(certify(CERTIFICATE + 1, CERTIFICATE, true), KEY_STATE);
	/* A third one has nothing to take. */
	anew(&old, ERASURE + 2, 2, 2);
	FAILS(request(), KEY_STATE);
	anew(&old, ERASURE + 1, 2, 2);
	OK(approve(APPROVER));
	OK(execute());
	OK(result(&wish.keks[0]));
	key_is(KEY, MODEL_STATE_SUSPENDED, true);
	OK(result(&wish.keks[1]));
	OK(end());
	key_is(KEY, MODEL_STATE_DESTROYED, true);
	erasure_is(MODEL_ERASE_DONE, 2, 0);
}
END_TEST

START_TEST(a_renewal_that_is_cancelled_gives_back_to_the_old_one)
{
	struct format_erase old = half_gone();
	seq += LATER;
	OK(refuse(TOKEN_B, &wish.keks[2], 2, false));
	for (unsigned i = 1; i <= 2; i++) {
		anew(&old, ERASURE + i, 2, 2);
		OK(request());
		OK(cancel(APPROVER));
		wish = old;
		erasure_is(MODEL_ERASE_EXECUTING, 2, 0);
		key_is(KEY, MODEL_STATE_SUSPENDED, true); /* the old one's */
		FAILS(set_key(KEY, MODEL_EVENT_RESUME, MODEL_STATE_ACTIVE), KEY_STATE);
		row_is(&old.erasure, &old.keks[3].kek, 0);
	}
	/* And that one may still end it, with another token's word, say. */
	OK(result(&wish.keks[2]));
	OK(result(&wish.keks[3]));
	OK(end());
	key_is(KEY, MODEL_STATE_DESTROYED, true);
}
END_TEST

START_TEST(what_goes_on_stays_in_the_old_one)
{
	struct format_erase old = half_gone();
	seq += LATER;
	OK(refuse(TOKEN_B, &wish.keks[2], 1, false)); /* it has begun the other one */
	anew(&old, ERASURE + 1, 2, 2);
	FAILS(request(), KEY_STATE);
	anew(&old, ERASURE + 1, 2, 1);
	OK(request());
	wish = old;
	erasure_is(MODEL_ERASE_EXECUTING, 2, 0);
	OK(result(&wish.keks[3]));
	left_over = 1;
	erasure_is(MODEL_ERASE_RENEWED, 3, 0);
	FAILS(end(), KEY_STATE);
	anew(&old, ERASURE + 1, 2, 1);
	OK(cancel(APPROVER));
	wish = old;
	erasure_is(MODEL_ERASE_EXECUTING, 3, 0);
	/* A renewal may expire, and be renewed. */
	for (unsigned i = 2; i < 4; i++) {
		anew(&old, ERASURE + i, 2, 1);
		wish.expires_unix_s = 100 * i;
		OK(request());
		OK(approve(APPROVER));
		OK(execute());
		seq += LATER * 20;
		OK(refuse(TOKEN_B, wish.keks, 1, false));
	}
	struct kms_id last = id(ERASURE + 2);
	row_is(&last, &old.keks[2].kek, ERASURE + 3);
	OK(result(&wish.keks[0]));
	key_is(KEY, MODEL_STATE_DESTROYED, true);
	left_over = 0;
}
END_TEST

START_TEST(versions_that_are_left_go_over)
{
	wish_for(MODEL_ERASE_VERSIONS, KEY, 1, 1);
	begin_wish();
	struct format_erase old = wish;
	OK(result(&wish.keks[0]));
	seq += LATER;
	OK(refuse(TOKEN_B, &wish.keks[1], 1, false));
	/* With all of the key, whose newest version is free. */
	wish_for(MODEL_ERASE_KEY, KEY, 1, 2);
	memmove(&keks[0], &keks[1], 3 * sizeof(keks[0]));
	wish.kek_count = 3;
	wish.erasure = id(ERASURE + 1);
	wish.expires_unix_s = 100;
	OK(request());
	key_is(KEY, MODEL_STATE_SUSPENDED, true);
	OK(cancel(APPROVER));
	key_is(KEY, MODEL_STATE_ACTIVE, false);
	row_is(&old.erasure, &old.keks[1].kek, 0);
	keks_are(KEY, MODEL_KEK_LIVE, 1, true);
	keks_are(KEY, MODEL_KEK_LIVE, 2, false);
}
END_TEST

START_TEST(a_wipe_that_is_left_goes_over)
{
	wish_for_tenant();
	begin_wish();
	struct format_erase old = wish;
	for (uint32_t i = 0; i < wish.kek_count; i++) {
		OK(result(&wish.keks[i]));
	}
	OK(wipe(TOKEN_A, true));
	seq += LATER;
	wish.erasure = id(ERASURE + 1);
	wish.kek_count = 0;
	wish.wipe_count = 1;
	wish.wipes[0] = id(TOKEN_B);
	wish.expires_unix_s = 100;
	FAILS(request(), KEY_STATE); /* not refused */
	struct format_erase new = wish;
	wish = old;
	OK(refuse(TOKEN_B, NULL, 0, true));
	wish = new;
	wish.wipes[0] = id(TOKEN_A);
	FAILS(request(), KEY_STATE); /* wiped */
	wish = new;
	begin_wish();
	OK(wipe(TOKEN_B, true));
	OK(end());
	erasure_is(MODEL_ERASE_DONE, 0, 1);
	wish = old;
	erasure_is(MODEL_ERASE_RENEWED, 6, 1);
}
END_TEST

/* ---- counts and datasets ---- */

START_TEST(uses_are_counted_by_key)
{
	static const enum model_op ops[] = {MODEL_OP_DATAKEY, MODEL_OP_WRAP, MODEL_OP_UNWRAP,
		MODEL_OP_UNWRAP, MODEL_OP_REWRAP, MODEL_OP_UNWRAP};
	struct model_use uses[6];
	struct store_use_count count;
	struct kms_id key = id(KEY), spare = id(SPARE);
	struct store_tx *tx = NULL;
	memset(uses, 0, sizeof(uses));
	for (unsigned i = 0; i < 6; i++) {
		uses[i].op = ops[i];
		uses[i].unix_ms = 1000 + i;
		uses[i].key = i == 3 ? spare : key;
		uses[i].denied = i == 5 ? KMS_CODE_DENIED : KMS_CODE_OK;
	}
	OK(store_use_count_get(store, &key, &count));
	ck_assert_uint_eq(count.datakeys + count.unwraps, 0);
	ck_assert_int_eq(count.first_unix_ms, 0);
	for (int round = 0; round < 2; round++) {
		OK(store_begin(store, &tx));
		OK(store_uses_count(tx, uses, 6));
		OK(store_commit(&tx));
		uses[0].unix_ms += 5000;
	}
	OK(store_use_count_get(store, &key, &count));
	ck_assert_uint_eq(count.datakeys, 2);
	ck_assert_uint_eq(count.wraps, 2);
	ck_assert_uint_eq(count.unwraps, 2); /* the denied ones are none */
	ck_assert_uint_eq(count.rewraps, 2);
	ck_assert_int_eq(count.first_unix_ms, 1000);
	ck_assert_int_eq(count.last_unix_ms, 6000);
	OK(store_use_count_get(store, &spare, &count));
	ck_assert_uint_eq(count.unwraps, 2);
	ck_assert_int_eq(count.first_unix_ms, 1003);
	ck_assert_int_eq(count.last_unix_ms, 1003);
}
END_TEST

START_TEST(datasets_are_found_by_their_key)
{
	static const struct kms_id zero;
	struct kms_id key = id(KEY), after = id(DATASET);
	struct model_dataset *rows = NULL;
	size_t count = 0;
	for (unsigned i = 0; i < 6; i++) {
		OK(add_dataset(DATASET + i, i % 2 == 0 ? KEY : SPARE));
	}
	OK(store_dataset_of_key(store, &key, &zero, 9, &rows, &count));
	ck_assert_uint_eq(count, 3);
	free(rows);
	OK(store_dataset_of_key(store, &key, &after, 1, &rows, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(rows[0].id.b[15], DATASET + 2);
	free(rows);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_erase");
	TCase *tcase = tcase_create("erasures");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_key_from_request_to_certificate);
	tcase_add_test(tcase, getters_follow_the_erasure);
	tcase_add_test(tcase, a_tenant_ends_with_its_tokens);
	tcase_add_test(tcase, versions_leave_the_key_alone);
	tcase_add_test(tcase, a_dataset_needs_a_key_of_its_own);
	tcase_add_test(tcase, requests_are_refused);
	tcase_add_test(tcase, one_erasure_holds_a_key_at_a_time);
	tcase_add_test(tcase, a_version_in_the_making_is_waited_for);
	tcase_add_test(tcase, steps_keep_their_order);
	tcase_add_test(tcase, a_cancelled_one_is_over);
	tcase_add_test(tcase, bad_statements_destroy_nothing);
	tcase_add_test(tcase, a_held_key_stays_as_it_is);
	tcase_add_test(tcase, a_cancellation_gives_back_what_was);
	tcase_add_test(tcase, a_replay_gives_the_same);
	tcase_add_test(tcase, what_is_refused_after_the_expiry_goes_over);
	tcase_add_test(tcase, a_renewal_that_is_cancelled_gives_back_to_the_old_one);
	tcase_add_test(tcase, what_goes_on_stays_in_the_old_one);
	tcase_add_test(tcase, versions_that_are_left_go_over);
	tcase_add_test(tcase, a_wipe_that_is_left_goes_over);
	tcase_add_test(tcase, uses_are_counted_by_key);
	tcase_add_test(tcase, datasets_are_found_by_their_key);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
