/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of kmsd/store through its header: state by the tables, refusals, the ledger's rows,
 * transactions, a second opener, a full disk and a read-only one.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

static char dir[64];
static char path[96];
static struct store *store;

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

/* ---- the cast: one tenant with a custodian, two tokens; the platform with its token ---- */

enum { TENANT = 1, CUSTODIAN = 2, TOKEN_A = 3, TOKEN_B = 4, SYSTEM = 5, OPERATOR = 6, KEY = 10 };

static struct model_principal principal(unsigned n, enum model_role role)
{
	struct model_principal made = {.id = id(n), .role = role, .spki = hash(n)};
	made.expires_unix_s = 2000000000;
	(void)snprintf(made.label.text, sizeof(made.label.text), "person %u", n);
	return made;
}

static struct model_token token(unsigned n)
{
	struct model_token made = {.id = id(n), .class = MODEL_CLASS_SOFTWARE};
	(void)snprintf(made.serial, sizeof(made.serial), "%u", n);
	(void)snprintf(made.country, sizeof(made.country), "JP");
	made.session_spki = hash(n);
	return made;
}

static void tenant_set(struct model_tenant_set *set, unsigned tenant)
{
	set->tenant.id = id(tenant);
	(void)snprintf(set->tenant.label.text, sizeof(set->tenant.label.text), "tenant");
	OK(kms_text(&set->tenant.ca_pem, "ca of \"%u\"\n", tenant));
	set->principals = calloc(1, sizeof(*set->principals));
	set->principals[0] = principal(tenant + 1, MODEL_ROLE_CUSTODIAN);
	set->principal_count = 1;
	set->tokens = calloc(2, sizeof(*set->tokens));
	set->tokens[0] = token(tenant + 2);
	set->tokens[1] = token(tenant + 3);
	set->token_count = 2;
}

static kms_err apply(const struct model_change *change, uint64_t seq)
{
	struct store_tx *tx = NULL;
	KMS_TRY(store_begin(store, &tx));
	OK(store_savepoint(tx));
	kms_err err = store_apply(tx, change, seq, 1000 + (int64_t)seq);
	OK(kms_is_ok(err) ? store_savepoint_keep(tx) : store_savepoint_drop(tx));
	OK(store_commit(&tx));
	return err;
}

static void found(void)
{
	struct model_change change = {.type = MODEL_CHANGE_LOG_OPEN};
	change.u.log_open.system_token = token(SYSTEM);
	change.u.log_open.principals = calloc(1, sizeof(struct model_principal));
	change.u.log_open.principals[0] = principal(OPERATOR, MODEL_ROLE_OPERATOR);
	change.u.log_open.principal_count = 1;
	tenant_set(&change.u.log_open.first, TENANT);
	OK(apply(&change, 0));
	model_change_free(&change);
}

static struct model_change intent(unsigned key, uint32_t version, unsigned kek)
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
	(void)snprintf(made->label.text, sizeof(made->label.text), "archive");
	change.u.key_intent.version = version;
	change.u.key_intent.keks[0] = id(kek);
	change.u.key_intent.keks[1] = id(kek + 1);
	return change;
}

static struct model_change result(unsigned key, uint32_t version, unsigned kek, bool made)
{
	struct model_change change = {.type = MODEL_CHANGE_KEY_RESULT, .tenant = id(TENANT)};
	change.u.key_result.key = id(key);
	change.u.key_result.version = version;
	change.u.key_result.made = made;
	change.u.key_result.birth_count = made ? 2 : 0;
	for (unsigned i = 0; made && i < 2; i++) {
		change.u.key_result.births[i].kek = id(kek + i);
		change.u.key_result.births[i].token = id(i == 0 ? TOKEN_B : TOKEN_A);
		change.u.key_result.births[i].commitment = hash(kek + i);
	}
	return change;
}

static struct model_change event(enum model_event what, enum model_state state)
{
	struct model_change change = {.type = MODEL_CHANGE_KEY_STATE};
	change.u.key_state.key = id(KEY);
	change.u.key_state.event = what;
	change.u.key_state.state = state;
	return change;
}

static void make_key(void)
{
	static struct model_change change; /* too large for the stack */
	change = intent(KEY, 1, 20);
	OK(apply(&change, 1));
	change = result(KEY, 1, 20, true);
	OK(apply(&change, 2));
}

/* ---- fixtures ---- */

static void set_up_empty(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/kmsd-store-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/kmsd.db", dir);
	OK(store_open(path, STORE_CREATE, &store));
}

static void set_up(void)
{
	set_up_empty();
	found();
}

static void tear_down(void)
{
	static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
	store_free(&store);
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char name[128];
		(void)snprintf(name, sizeof(name), "%s%s", path, tails[i]);
		(void)unlink(name);
	}
	(void)rmdir(dir);
}

/* ---- opening ---- */

START_TEST(open_is_private_and_exclusive)
{
	static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
	struct store *second = NULL;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char name[128];
		struct stat st;
		(void)snprintf(name, sizeof(name), "%s%s", path, tails[i]);
		ck_assert_int_eq(stat(name, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, 0600);
	}
	FAILS(store_open(path, STORE_WRITE, &second), EXISTS);
	FAILS(store_open(path, STORE_CREATE, &second), EXISTS);
	ck_assert_ptr_null(second);
	OK(store_open(path, STORE_READ, &second));
	store_free(&second);
	store_free(&store);
	OK(store_open(path, STORE_WRITE, &store));
	OK(store_check(store));
}
END_TEST

START_TEST(open_refuses_what_is_not_ours)
{
	struct store *second = NULL;
	char other[128];
	(void)snprintf(other, sizeof(other), "%s/other.db", dir);
	FAILS(store_open(other, STORE_WRITE, &second), NOT_FOUND);
	FAILS(store_open(other, STORE_READ, &second), NOT_FOUND);
	FAILS(store_open("/nonexistent/dir/x.db", STORE_CREATE, &second), STORE);

	sqlite3 *db = NULL;
	ck_assert_int_eq(sqlite3_open(other, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "CREATE TABLE t (a)", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	FAILS(store_open(other, STORE_WRITE, &second), STORE);
	FAILS(store_open(other, STORE_CREATE, &second), STORE);
	ck_assert_ptr_null(second);
	ck_assert_int_eq(unlink(other), 0);
	(void)snprintf(other, sizeof(other), "%s/other.db.lock", dir);
	ck_assert_int_eq(unlink(other), 0);
}
END_TEST

START_TEST(open_knows_its_version)
{
	struct store *second = NULL;
	store_free(&store);
	sqlite3 *db = NULL;
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	FAILS(store_open(path, STORE_WRITE, &second), VERSION);
	FAILS(store_open(path, STORE_READ, &second), VERSION);
}
END_TEST

START_TEST(create_again_until_there_is_an_entry)
{
	struct kms_hash old, new = hash(9);
	uint64_t size = 77;
	struct store_tx *tx = NULL;
	store_free(&store);
	OK(store_open(path, STORE_CREATE, &store));
	OK(store_head_get(store, &size, &old));
	ck_assert_uint_eq(size, 0);
	OK(store_begin(store, &tx));
	OK(store_head_swap(tx, 0, &old, 1, &new));
	OK(store_commit(&tx));
	store_free(&store);
	FAILS(store_open(path, STORE_CREATE, &store), EXISTS);
}
END_TEST

/* ---- state ---- */

START_TEST(people_come_back)
{
	struct model_tenant tenant = {0};
	struct model_principal who;
	struct model_token where;
	struct kms_id want = id(TENANT);
	struct kms_hash spki = hash(CUSTODIAN);
	OK(store_tenant_get(store, &want, &tenant));
	ck_assert_str_eq(tenant.label.text, "tenant");
	ck_assert_str_eq(tenant.ca_pem, "ca of \"1\"\n");
	model_tenant_free(&tenant);
	OK(store_principal_by_spki(store, &spki, &who));
	want = id(CUSTODIAN);
	ck_assert(kms_id_equal(&who.id, &want));
	ck_assert_int_eq(who.role, MODEL_ROLE_CUSTODIAN);
	ck_assert_str_eq(who.label.text, "person 2");
	OK(store_principal_get(store, &want, &who));
	want = id(TENANT);
	ck_assert(kms_id_equal(&who.tenant, &want));
	want = id(SYSTEM);
	OK(store_token_get(store, &want, &where));
	ck_assert(kms_id_is_zero(&where.tenant));
	ck_assert_str_eq(where.serial, "5");
	want = id(99);
	spki = hash(99);
	FAILS(store_tenant_get(store, &want, &tenant), NOT_FOUND);
	FAILS(store_principal_get(store, &want, &who), NOT_FOUND);
	FAILS(store_principal_by_spki(store, &spki, &who), NOT_FOUND);
	FAILS(store_token_get(store, &want, &where), NOT_FOUND);
}
END_TEST

START_TEST(lists_stay_within_a_tenant_and_page)
{
	struct model_change change = {.type = MODEL_CHANGE_TENANT_ADD};
	struct kms_id zero = {{0}};
	struct kms_id first = id(TENANT);
	tenant_set(&change.u.tenant_add, 40);
	OK(apply(&change, 1));
	FAILS(apply(&change, 2), EXISTS);
	model_change_free(&change);

	struct model_tenant *tenants = NULL;
	struct model_principal *people = NULL;
	struct model_token *tokens = NULL;
	size_t count = 0;
	OK(store_tenant_list(store, &zero, 10, &tenants, &count));
	ck_assert_uint_eq(count, 2);
	model_tenant_free(&tenants[0]);
	model_tenant_free(&tenants[1]);
	free(tenants);
	OK(store_tenant_list(store, &first, 10, &tenants, &count));
	ck_assert_uint_eq(count, 1);
	model_tenant_free(&tenants[0]);
	free(tenants);
	OK(store_principal_list(store, &first, &zero, 10, &people, &count));
	ck_assert_uint_eq(count, 1);
	free(people);
	OK(store_principal_list(store, &zero, &zero, 10, &people, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(people[0].role, MODEL_ROLE_OPERATOR);
	free(people);
	OK(store_token_list(store, &first, &tokens, &count));
	ck_assert_uint_eq(count, 2);
	free(tokens);
	OK(store_token_list(store, &zero, &tokens, &count));
	ck_assert_uint_eq(count, 1);
	free(tokens);
	OK(store_token_list(store, NULL, &tokens, &count));
	ck_assert_uint_eq(count, 5);
	free(tokens);
}
END_TEST

START_TEST(tenant_add_refuses)
{
	struct model_change change = {.type = MODEL_CHANGE_TENANT_ADD};
	tenant_set(&change.u.tenant_add, 40);
	change.u.tenant_add.principals[0].spki = hash(CUSTODIAN); /* another tenant's person */
	FAILS(apply(&change, 1), EXISTS);
	struct kms_id refused = id(40);
	struct model_tenant tenant;
	FAILS(store_tenant_get(store, &refused, &tenant), NOT_FOUND);
	change.u.tenant_add.principals[0].spki = hash(41);
	change.u.tenant_add.tokens[1].id = id(TOKEN_A);
	FAILS(apply(&change, 1), EXISTS);
	change.u.tenant_add.tokens[1].id = id(43);
	change.u.tenant_add.tenant.id = (struct kms_id){{0}};
	FAILS(apply(&change, 1), ARGUMENT);
	model_change_free(&change);
	static struct model_change again; /* too large for the stack */
	again.type = MODEL_CHANGE_LOG_OPEN;
	FAILS(apply(&again, 1), EXISTS);
}
END_TEST

START_TEST(tokens_of_a_tenant_have_a_limit)
{
	for (unsigned n = LIMIT_TOKENS; n <= LIMIT_TOKENS + 1; n++) {
		struct model_change change = {.type = MODEL_CHANGE_TENANT_ADD};
		struct model_tenant_set *set = &change.u.tenant_add;
		set->tenant.id = id(100 * n);
		set->tokens = calloc(n, sizeof(*set->tokens));
		set->token_count = n;
		for (unsigned i = 0; i < n; i++) {
			set->tokens[i] = token(100 * n + 1 + i);
		}
		if (n == LIMIT_TOKENS) {
			OK(apply(&change, 1));
		} else {
			FAILS(apply(&change, 1), TOO_LARGE);
		}
		model_change_free(&change);
	}
}
END_TEST

START_TEST(key_is_born_in_two_steps)
{
	static struct model_change change;
	change = intent(KEY, 1, 20);
	struct model_key key;
	struct model_kek *keks = NULL;
	size_t count = 0;
	struct kms_id want = id(KEY);
	struct kms_id where = id(TOKEN_A);
	OK(apply(&change, 1));
	OK(store_key_get(store, &want, &key));
	ck_assert_int_eq(key.state, MODEL_STATE_PRE_ACTIVATION);
	ck_assert_uint_eq(key.version, 0);
	ck_assert_uint_eq(key.token_count, 2);
	ck_assert_int_eq(key.created_unix_ms, 1001);
	ck_assert_str_eq(key.label.text, "archive");
	ck_assert(kms_id_equal(&key.tokens[1], &where));
	OK(store_kek_of_token(store, &where, MODEL_KEK_PENDING, &keks, &count));
	ck_assert_uint_eq(count, 1);
	where = id(21);
	ck_assert(kms_id_equal(&keks[0].id, &where));
	free(keks);

	change = event(MODEL_EVENT_ACTIVATE, MODEL_STATE_ACTIVE);
	FAILS(apply(&change, 2), KEY_STATE); /* not before it has a KEK */
	change = result(KEY, 1, 20, true);
	OK(apply(&change, 2));
	FAILS(apply(&change, 3), KEY_STATE);
	OK(store_key_get(store, &want, &key));
	ck_assert_int_eq(key.state, MODEL_STATE_ACTIVE);
	ck_assert_uint_eq(key.version, 1);
	OK(store_kek_list(store, &want, &keks, &count));
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(keks[0].state, MODEL_KEK_LIVE);
	struct kms_hash commitment = hash(21);
	ck_assert(kms_hash_equal(&keks[0].commitment, &commitment)); /* by token: A first */
	free(keks);
}
END_TEST

START_TEST(key_intent_refuses)
{
	static struct model_change change;
	change = intent(KEY, 1, 20);
	OK(apply(&change, 1));
	FAILS(apply(&change, 2), EXISTS);
	change = intent(11, 1, 20);
	FAILS(apply(&change, 2), EXISTS); /* the KEK ids are taken */
	change = intent(11, 1, 30);
	change.u.key_intent.key.tokens[0] = id(SYSTEM);
	FAILS(apply(&change, 2), NOT_FOUND); /* not this tenant's token */
	change.u.key_intent.key.tokens[0] = id(TOKEN_A);
	FAILS(apply(&change, 2), ARGUMENT); /* twice the same */
	change.u.key_intent.key.token_count = 0;
	FAILS(apply(&change, 2), ARGUMENT);
	change.u.key_intent.key.token_count = LIMIT_CUSTODY_TOKENS + 1;
	FAILS(apply(&change, 2), ARGUMENT);
	change = intent(11, 1, 30);
	change.u.key_intent.key.tenant = id(77);
	FAILS(apply(&change, 2), NOT_FOUND);
	change = intent(11, 1, 30);
	change.u.key_intent.key.custodian = id(77);
	FAILS(apply(&change, 2), NOT_FOUND);
	change = intent(KEY, 2, 30);
	FAILS(apply(&change, 2), KEY_STATE); /* the first is still in the making */
	struct model_key key;
	struct kms_id refused = id(11);
	FAILS(store_key_get(store, &refused, &key), NOT_FOUND);
}
END_TEST

START_TEST(key_result_must_match_its_intent)
{
	static struct model_change change;
	change = intent(KEY, 1, 20);
	OK(apply(&change, 1));
	change = result(12, 1, 20, true);
	FAILS(apply(&change, 2), NOT_FOUND);
	change = result(KEY, 2, 20, true);
	FAILS(apply(&change, 2), KEY_STATE);
	change = result(KEY, 0, 20, true);
	FAILS(apply(&change, 2), KEY_STATE);
	change = result(KEY, 1, 20, true);
	change.u.key_result.birth_count = 1;
	FAILS(apply(&change, 2), ARGUMENT);
	change = result(KEY, 1, 30, true);
	FAILS(apply(&change, 2), ARGUMENT);
	change = result(KEY, 1, 20, true);
	change.u.key_result.births[0].token = id(TOKEN_A);
	FAILS(apply(&change, 2), ARGUMENT);
	change = result(KEY, 1, 20, true);
	change.u.key_result.births[1] = change.u.key_result.births[0];
	FAILS(apply(&change, 2), ARGUMENT);
}
END_TEST

START_TEST(key_given_up_is_gone)
{
	static struct model_change change;
	change = intent(KEY, 1, 20);
	struct model_key key;
	struct kms_id want = id(KEY);
	OK(apply(&change, 1));
	change = result(KEY, 1, 20, false);
	OK(apply(&change, 2));
	OK(store_key_get(store, &want, &key));
	ck_assert_int_eq(key.state, MODEL_STATE_DESTROYED);
	change = intent(KEY, 1, 30);
	FAILS(apply(&change, 3), EXISTS);
}
END_TEST

START_TEST(key_rotates_and_may_fail_to)
{
	struct model_key key;
	struct kms_id want = id(KEY);
	make_key();
	static struct model_change change;
	change = intent(KEY, 3, 30);
	FAILS(apply(&change, 3), KEY_STATE); /* a version left out */
	change = intent(KEY, 2, 30);
	change.u.key_intent.key.tenant = id(77);
	FAILS(apply(&change, 3), NOT_FOUND);
	change.u.key_intent.key.tenant = id(TENANT);
	OK(apply(&change, 3));
	change = result(KEY, 2, 30, false);
	OK(apply(&change, 4));
	OK(store_key_get(store, &want, &key));
	ck_assert_uint_eq(key.version, 1);
	ck_assert_int_eq(key.state, MODEL_STATE_ACTIVE);
	change = intent(KEY, 2, 40);
	OK(apply(&change, 5));
	change = result(KEY, 2, 40, true);
	OK(apply(&change, 6));
	OK(store_key_get(store, &want, &key));
	ck_assert_uint_eq(key.version, 2);
	change = event(MODEL_EVENT_SUSPEND, MODEL_STATE_SUSPENDED);
	OK(apply(&change, 7));
	change = intent(KEY, 3, 50);
	FAILS(apply(&change, 8), KEY_STATE);
}
END_TEST

START_TEST(key_state_follows_the_table)
{
	struct model_key key;
	struct kms_id want = id(KEY);
	make_key();
	static struct model_change change;
	change = event(MODEL_EVENT_SUSPEND, MODEL_STATE_ACTIVE);
	FAILS(apply(&change, 3), KEY_STATE); /* the entry lies about where it leads */
	change = event(MODEL_EVENT_RESUME, MODEL_STATE_ACTIVE);
	FAILS(apply(&change, 3), KEY_STATE);
	change = event(MODEL_EVENT_SUSPEND, MODEL_STATE_SUSPENDED);
	OK(apply(&change, 3));
	OK(store_key_get(store, &want, &key));
	ck_assert_int_eq(key.state, MODEL_STATE_SUSPENDED);
	ck_assert_uint_eq(key.version, 1);
	change.u.key_state.key = id(12);
	FAILS(apply(&change, 4), NOT_FOUND);
}
END_TEST

START_TEST(datasets)
{
	struct model_change change = {.type = MODEL_CHANGE_DATASET_ADD};
	struct model_dataset *set = &change.u.dataset_add;
	struct model_dataset got;
	struct model_dataset *rows = NULL;
	size_t count = 0;
	struct kms_id want = id(50), tenant = id(TENANT), other = id(40), zero = {{0}};
	set->id = want;
	set->tenant = tenant;
	set->key = id(KEY);
	set->custodian = id(CUSTODIAN);
	(void)snprintf(set->label.text, sizeof(set->label.text), "backups");
	(void)snprintf(set->medium, sizeof(set->medium), "archive");
	set->first_write_unix_s = 12;
	FAILS(apply(&change, 1), NOT_FOUND);
	make_key();
	set->tenant = other;
	FAILS(apply(&change, 3), NOT_FOUND); /* not this tenant's key */
	set->tenant = tenant;
	OK(apply(&change, 3));
	FAILS(apply(&change, 4), EXISTS);
	OK(store_dataset_get(store, &want, &got));
	ck_assert_str_eq(got.label.text, "backups");
	ck_assert_str_eq(got.medium, "archive");
	ck_assert_int_eq(got.first_write_unix_s, 12);
	OK(store_dataset_list(store, &tenant, &zero, 5, &rows, &count));
	ck_assert_uint_eq(count, 1);
	free(rows);
	OK(store_dataset_list(store, &other, &zero, 5, &rows, &count));
	ck_assert_uint_eq(count, 0);
	free(rows);
	OK(store_dataset_list(store, &tenant, &want, 5, &rows, &count));
	ck_assert_uint_eq(count, 0);
	free(rows);
	FAILS(store_dataset_get(store, &other, &got), NOT_FOUND);

	struct model_key *keys = NULL;
	OK(store_key_list(store, &tenant, &zero, 5, &keys, &count));
	ck_assert_uint_eq(count, 1);
	free(keys);
	OK(store_key_list(store, &other, &zero, 5, &keys, &count));
	ck_assert_uint_eq(count, 0);
	free(keys);
}
END_TEST

START_TEST(a_tenant_has_a_last_dataset)
{
	struct model_change change = {.type = MODEL_CHANGE_DATASET_ADD};
	char *sql = sqlite3_mprintf("UPDATE tenant SET dataset_count = %d", LIMIT_DATASETS - 1);
	sqlite3 *db = NULL;
	make_key();
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	sqlite3_free(sql);
	change.u.dataset_add.id = id(50);
	change.u.dataset_add.tenant = id(TENANT);
	change.u.dataset_add.key = id(KEY);
	change.u.dataset_add.custodian = id(CUSTODIAN);
	OK(apply(&change, 3));
	change.u.dataset_add.id = id(51);
	FAILS(apply(&change, 4), TOO_LARGE);
}
END_TEST

START_TEST(positions_follow_boots_uses_and_statements)
{
	struct kms_id where = id(TOKEN_A), nowhere = id(99);
	struct store_position position;
	struct model_change change = {.type = MODEL_CHANGE_TOKEN_BOOT};
	change.u.token_boot.token = where;
	change.u.token_boot.boot = 3;
	OK(apply(&change, 1));
	FAILS(apply(&change, 2), EXISTS);
	change.u.token_boot.token = nowhere;
	FAILS(apply(&change, 2), NOT_FOUND);

	change = (struct model_change){.type = MODEL_CHANGE_USE_BATCH};
	change.u.use_batch.token = where;
	change.u.use_batch.boot = 3;
	change.u.use_batch.first = 1;
	FAILS(apply(&change, 2), ARGUMENT); /* of nothing */
	change.u.use_batch.count = 5;
	change.u.use_batch.running = hash(7);
	OK(apply(&change, 2));
	change.u.use_batch.token = nowhere;
	FAILS(apply(&change, 3), NOT_FOUND);

	struct store_tx *tx = NULL;
	OK(store_begin(store, &tx));
	OK(store_position_statement(tx, &where, 3, 4));
	FAILS(store_position_statement(tx, &nowhere, 3, 4), NOT_FOUND);
	OK(store_commit(&tx));
	OK(store_position_get(store, &where, &position));
	ck_assert_uint_eq(position.known_boot, 3);
	ck_assert_uint_eq(position.boot, 3);
	ck_assert_uint_eq(position.n, 5);
	struct kms_hash running = hash(7);
	ck_assert(kms_hash_equal(&position.running, &running));
	ck_assert_uint_eq(position.statement_boot, 3);
	ck_assert_uint_eq(position.statement_n, 4);
	FAILS(store_position_get(store, &nowhere, &position), NOT_FOUND);
}
END_TEST

START_TEST(dump_leaves_labels_out)
{
	KMS_AUTO_BUF text = {0};
	make_key();
	OK(store_dump(store, &text));
	ck_assert_ptr_nonnull(memmem(text.ptr, text.len, "\nkey id=", 8));
	ck_assert_ptr_nonnull(memmem(text.ptr, text.len, "ca of \\x221\\x22\\x0a", 18));
	ck_assert_ptr_null(memmem(text.ptr, text.len, "archive", 7));
	ck_assert_ptr_null(memmem(text.ptr, text.len, "person", 6));

	struct store *file = store;
	KMS_AUTO_BUF same = {0};
	OK(store_open(NULL, STORE_CREATE, &store));
	found();
	make_key();
	OK(store_dump(store, &same));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&text), kms_buf_bytes(&same)));
	store_free(&store);
	store = file;
}
END_TEST

/* ---- the ledger's rows ---- */

static void put_entry(uint64_t seq, unsigned tenant, unsigned key, size_t len)
{
	struct store_tx *tx = NULL;
	uint8_t *bytes = calloc(1, len + 1);
	memset(bytes, (int)('a' + seq % 26), len);
	struct store_entry entry = {.seq = seq, .leaf = hash((unsigned)seq), .bytes = {bytes, len}};
	if (tenant != 0) {
		entry.tenant = id(tenant);
	}
	if (key != 0) {
		entry.key = id(key);
	}
	OK(store_begin(store, &tx));
	OK(store_entry_put(tx, &entry));
	OK(store_commit(&tx));
	free(bytes);
}

static void free_entries(struct model_entry *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		kms_buf_free(&rows[i].bytes);
	}
	free(rows);
}

START_TEST(entries_are_shown_to_their_tenant)
{
	struct model_entry *rows = NULL;
	size_t count = 0;
	struct kms_id tenant = id(TENANT), key = id(KEY);
	put_entry(0, 0, 0, 3);
	put_entry(1, TENANT, KEY, 3);
	put_entry(2, 40, 0, 3);
	put_entry(3, TENANT, KEY, 0);
	OK(store_entries_get(store, &tenant, 0, 10, &rows, &count));
	ck_assert_uint_eq(count, 4);
	ck_assert_uint_eq(rows[0].bytes.len, 0);
	ck_assert_uint_eq(rows[1].bytes.len, 3);
	ck_assert_int_eq(rows[1].bytes.ptr[0], 'b');
	ck_assert_uint_eq(rows[2].bytes.len, 0);
	struct kms_hash leaf = hash(2);
	ck_assert(kms_hash_equal(&rows[2].leaf, &leaf));
	free_entries(rows, count);
	OK(store_entries_get(store, NULL, 2, 1, &rows, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(rows[0].seq, 2);
	ck_assert_uint_eq(rows[0].bytes.len, 3);
	free_entries(rows, count);
	OK(store_entries_get(store, NULL, 4, 10, &rows, &count));
	ck_assert_uint_eq(count, 0);
	free_entries(rows, count);
	OK(store_entries_of_key(store, &key, 10, &rows, &count));
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(rows[0].seq, 1);
	ck_assert_uint_eq(rows[1].seq, 3);
	free_entries(rows, count);
	OK(store_entries_of_key_from(store, &key, 2, 10, &rows, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(rows[0].seq, 3);
	free_entries(rows, count);

	struct store_tx *tx = NULL;
	uint64_t seq = 0;
	struct store_entry again = {.seq = 1};
	OK(store_begin(store, &tx));
	OK(store_entry_last_of_key(tx, &key, &seq, &leaf));
	ck_assert_uint_eq(seq, 3);
	key = id(12);
	FAILS(store_entry_last_of_key(tx, &key, &seq, &leaf), NOT_FOUND);
	FAILS(store_entry_put(tx, &again), EXISTS);
	store_tx_free(&tx);
}
END_TEST

START_TEST(entries_page_by_bytes)
{
	struct model_entry *rows = NULL;
	size_t count = 0;
	for (uint64_t seq = 0; seq < 20; seq++) {
		put_entry(seq, 0, 0, LIMIT_ENTRY_BYTES);
	}
	OK(store_entries_get(store, NULL, 0, 100, &rows, &count));
	ck_assert_uint_eq(count, LIMIT_ENTRIES_PAGE_BYTES / LIMIT_ENTRY_BYTES);
	free_entries(rows, count);
	OK(store_entries_get(store, NULL, 19, 100, &rows, &count));
	ck_assert_uint_eq(count, 1);
	free_entries(rows, count);
}
END_TEST

START_TEST(head_is_compare_and_swap)
{
	struct store_tx *tx = NULL;
	uint64_t size = 0;
	struct kms_hash old, root, a = hash(1), b = hash(2);
	OK(store_head_get(store, &size, &old));
	char text[KMS_HASH_TEXT];
	ck_assert_str_eq(kms_hash_text(&old, text),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	OK(store_begin(store, &tx));
	OK(store_head_swap(tx, 0, &old, 1, &a));
	OK(store_commit(&tx));
	OK(store_begin(store, &tx));
	FAILS(store_head_swap(tx, 0, &old, 1, &b), STORE);
	FAILS(store_head_swap(tx, 1, &b, 2, &b), STORE);
	store_tx_free(&tx);
	OK(store_head_get(store, &size, &root));
	ck_assert_uint_eq(size, 1);
	ck_assert(kms_hash_equal(&root, &a));
}
END_TEST

START_TEST(nodes_checkpoints_settings)
{
	struct store_tx *tx = NULL;
	struct kms_hash a = hash(1), got;
	uint64_t size = 9;
	KMS_AUTO_BUF none = {0};
	KMS_AUTO_BUF note = {0};
	KMS_AUTO_FREE char *value = NULL;
	OK(store_checkpoint_last(store, &size, &none));
	ck_assert_uint_eq(size, 0);
	ck_assert_uint_eq(none.len, 0);
	OK(store_begin(store, &tx));
	OK(store_node_put(tx, 3, 5, &a));
	OK(store_checkpoint_put(tx, 4, kms_bytes_str("four")));
	OK(store_checkpoint_put(tx, 7, kms_bytes_str("seven")));
	OK(store_setting_put(tx, "origin", "a"));
	OK(store_setting_put(tx, "origin", "b"));
	OK(store_commit(&tx));
	OK(store_node_get(store, 3, 5, &got));
	ck_assert(kms_hash_equal(&a, &got));
	FAILS(store_node_get(store, 3, 6, &got), NOT_FOUND);
	OK(store_checkpoint_last(store, &size, &note));
	ck_assert_uint_eq(size, 7);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&note), kms_bytes_str("seven")));
	OK(store_setting_get(store, "origin", &value));
	ck_assert_str_eq(value, "b");
	FAILS(store_setting_get(store, "nothing", &value), NOT_FOUND);
}
END_TEST

START_TEST(use_records_come_back_to_their_tenant)
{
	struct store_tx *tx = NULL;
	struct kms_buf *got = NULL;
	size_t count = 0;
	struct kms_id tenant = id(TENANT), other = id(40);
	struct kms_buf records[2] = {{0}, {0}};
	uint8_t large[LIMIT_USE_RECORD_BYTES + 1] = {0};
	put_entry(0, TENANT, 0, 3);
	OK(kms_buf_copy(kms_bytes_str("{\"a\":1}"), &records[0]));
	OK(kms_buf_copy((struct kms_bytes){large, LIMIT_USE_RECORD_BYTES}, &records[1]));
	OK(store_begin(store, &tx));
	OK(store_uses_put(tx, 0, records, 2));
	FAILS(store_uses_put(tx, 5, records, 2), NOT_FOUND); /* no such entry */
	kms_buf_free(&records[1]);
	OK(kms_buf_copy(KMS_BYTES_OF(large), &records[1]));
	FAILS(store_uses_put(tx, 0, records, 2), TOO_LARGE);
	OK(store_commit(&tx));
	OK(store_uses_get(store, &tenant, 0, &got, &count));
	ck_assert_uint_eq(count, 2);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&got[0]), kms_bytes_str("{\"a\":1}")));
	ck_assert_uint_eq(got[1].len, LIMIT_USE_RECORD_BYTES);
	for (size_t i = 0; i < 2; i++) {
		kms_buf_free(&got[i]);
		kms_buf_free(&records[i]);
	}
	free(got);
	FAILS(store_uses_get(store, &other, 0, &got, &count), NOT_FOUND);
	FAILS(store_uses_get(store, NULL, 1, &got, &count), NOT_FOUND);
}
END_TEST

/* ---- transactions and disks ---- */

START_TEST(what_is_not_committed_is_gone)
{
	struct store_tx *tx = NULL;
	KMS_AUTO_FREE char *value = NULL;
	OK(store_begin(store, &tx));
	OK(store_setting_put(tx, "a", "1"));
	OK(store_savepoint(tx));
	OK(store_setting_put(tx, "b", "1"));
	OK(store_savepoint_drop(tx));
	FAILS(store_setting_get(store, "a", &value), NOT_FOUND); /* readers see what is durable */
	OK(store_commit(&tx));
	ck_assert_ptr_null(tx);
	OK(store_setting_get(store, "a", &value));
	OK(store_begin(store, &tx));
	OK(store_setting_put(tx, "c", "1"));
	store_tx_free(&tx);
	KMS_AUTO_FREE char *none = NULL;
	FAILS(store_setting_get(store, "b", &none), NOT_FOUND);
	FAILS(store_setting_get(store, "c", &none), NOT_FOUND);
}
END_TEST

static bool mount_small(void)
{
	store_free(&store);
	/* In a mount namespace of this test's own: nothing stays behind, whatever happens. */
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("tmpfs", dir, "tmpfs", 0, "size=1m") != 0) {
		(void)fprintf(stderr, "skipped: no mount here (%s)\n", strerror(errno));
		OK(store_open(path, STORE_WRITE, &store));
		return false;
	}
	OK(store_open(path, STORE_CREATE, &store));
	return true;
}

static void unmount(void)
{
	store_free(&store);
	ck_assert_int_eq(umount(dir), 0);
}

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

START_TEST(full_disk_rolls_back)
{
	if (!mount_small()) {
		return;
	}
	found();
	char filler[128];
	(void)snprintf(filler, sizeof(filler), "%s/filler", dir);
	fill_disk(filler);
	KMS_AUTO_BUF before = {0};
	KMS_AUTO_BUF after = {0};
	OK(store_dump(store, &before));
	struct kms_id tenant = {{0}};
	static uint8_t large[LIMIT_ENTRY_BYTES];
	struct store_entry entry = {.seq = 5, .tenant = tenant, .bytes = KMS_BYTES_OF(large)};
	struct store_tx *tx = NULL;
	OK(store_begin(store, &tx));
	kms_err err = store_entry_put(tx, &entry);
	if (kms_is_ok(err)) {
		err = store_commit(&tx);
	} else {
		FAILS(store_setting_put(tx, "a", "1"), STORE); /* the rest says so too */
		FAILS(store_savepoint(tx), STORE);
		FAILS(store_commit(&tx), STORE);
	}
	FAILS(err, STORE);
	ck_assert_ptr_null(tx);
	OK(store_dump(store, &after));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&before), kms_buf_bytes(&after)));

	ck_assert_int_eq(unlink(filler), 0);
	OK(store_begin(store, &tx));
	OK(store_entry_put(tx, &entry));
	OK(store_commit(&tx));
	OK(store_check(store));
	unmount();
}
END_TEST

START_TEST(read_only_disk_is_an_error)
{
	if (!mount_small()) {
		return;
	}
	found();
	store_free(&store);
	ck_assert_int_eq(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	FAILS(store_open(path, STORE_WRITE, &store), STORE);
	ck_assert_ptr_null(store);
	unmount();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *empty = tcase_create("empty");
	tcase_add_checked_fixture(empty, set_up_empty, tear_down);
	tcase_add_test(empty, open_is_private_and_exclusive);
	tcase_add_test(empty, open_refuses_what_is_not_ours);
	tcase_add_test(empty, open_knows_its_version);
	tcase_add_test(empty, create_again_until_there_is_an_entry);
	tcase_add_test(empty, full_disk_rolls_back);
	tcase_add_test(empty, read_only_disk_is_an_error);
	suite_add_tcase(suite, empty);
	TCase *state = tcase_create("state");
	tcase_add_checked_fixture(state, set_up, tear_down);
	tcase_add_test(state, people_come_back);
	tcase_add_test(state, lists_stay_within_a_tenant_and_page);
	tcase_add_test(state, tenant_add_refuses);
	tcase_add_test(state, tokens_of_a_tenant_have_a_limit);
	tcase_add_test(state, key_is_born_in_two_steps);
	tcase_add_test(state, key_intent_refuses);
	tcase_add_test(state, key_result_must_match_its_intent);
	tcase_add_test(state, key_given_up_is_gone);
	tcase_add_test(state, key_rotates_and_may_fail_to);
	tcase_add_test(state, key_state_follows_the_table);
	tcase_add_test(state, datasets);
	tcase_add_test(state, a_tenant_has_a_last_dataset);
	tcase_add_test(state, positions_follow_boots_uses_and_statements);
	tcase_add_test(state, dump_leaves_labels_out);
	tcase_add_test(state, entries_are_shown_to_their_tenant);
	tcase_add_test(state, entries_page_by_bytes);
	tcase_add_test(state, head_is_compare_and_swap);
	tcase_add_test(state, nodes_checkpoints_settings);
	tcase_add_test(state, use_records_come_back_to_their_tenant);
	tcase_add_test(state, what_is_not_committed_is_gone);
	suite_add_tcase(suite, state);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
