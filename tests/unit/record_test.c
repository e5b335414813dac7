/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: one golden line for each type of entry and of use record, both directions, that no name
 * gets into an entry, and that what contradicts itself or is unknown is refused. The files that
 * people write are tested in record_files_test.c.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "format.h"
#include "golden.h"
#include "record.h"

/* ---- fixed inputs ---- */

static struct kms_id id_of(uint8_t x)
{
	struct kms_id id = {{x, x, x, x, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, x}};
	return id;
}

static struct kms_hash hash_of(uint8_t x)
{
	struct kms_hash hash;
	memset(hash.b, x, sizeof(hash.b));
	return hash;
}

enum {
	TENANT = 0x11,
	KEY = 0x22,
	WRAPPED = 0x33,
	KEK = 0x44,
	CUSTODIAN = 0x55,
	NODE = 0x66,
	DATASET = 0x77,
	TOKEN = 0xa1,
	SYSTEM = 0xa0,
};

static struct record_head head;
static struct model_change change;

static struct model_label label_of(const char *text)
{
	struct model_label label;
	memset(&label, 0, sizeof(label));
	memcpy(label.text, text, strlen(text) + 1);
	memset(label.salt, 0x5a, sizeof(label.salt));
	return label;
}

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	ck_assert_ptr_nonnull(memory);
	return memory;
}

static struct model_token token_of(uint8_t id, struct kms_id tenant)
{
	struct model_token token = {.id = id_of(id),
		.tenant = tenant,
		.class = MODEL_CLASS_SOFTWARE,
		.manufacturer = "SoftHSM project",
		.model = "SoftHSM v2",
		.serial = "0011223344556677",
		.firmware = "2.6",
		.certificate_no = "",
		.organisation = "Example Org",
		.site = "Tokyo",
		.country = "JP",
		.session_spki = hash_of(id),
		.statement_vkey = "token.example+00000000+AAAA"};
	return token;
}

static struct model_principal principal_of(uint8_t id, struct kms_id tenant, enum model_role role)
{
	struct model_principal principal = {.id = id_of(id),
		.tenant = tenant,
		.role = role,
		.spki = hash_of(id),
		.expires_unix_s = 1893456000,
		.label = label_of("SECRETNAME person")};
	return principal;
}

static void set_fill(struct model_tenant_set *set)
{
	set->tenant.id = id_of(TENANT);
	set->tenant.label = label_of("SECRETNAME tenant");
	ck_assert(kms_is_ok(kms_text(&set->tenant.ca_pem, "%s", "-----BEGIN CERTIFICATE-----\n")));
	set->principal_count = 2;
	set->principals = zeroed(2, sizeof(set->principals[0]));
	set->principals[0] = principal_of(CUSTODIAN, id_of(TENANT), MODEL_ROLE_CUSTODIAN);
	set->principals[1] = principal_of(0x56, id_of(TENANT), MODEL_ROLE_STORAGE);
	set->token_count = 1;
	set->tokens = zeroed(1, sizeof(set->tokens[0]));
	set->tokens[0] = token_of(TOKEN, id_of(TENANT));
}

/* A statement with 64 bytes where a signature stands: record does not verify it. */
static struct kms_buf statement_of(struct format_statement *statement)
{
	KMS_AUTO_BUF part = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	uint8_t signature[CRYPTO_SIG_RAW];
	struct kms_buf bytes = {0};
	memset(signature, 0x5a, sizeof(signature));
	statement->token = id_of(TOKEN);
	statement->tenant = id_of(TENANT);
	statement->unix_ms = 1795251600000;
	ck_assert(kms_is_ok(format_statement_write(statement, &part)));
	kms_write_bytes(&writer, kms_buf_bytes(&part));
	kms_write_fixed(&writer, signature, sizeof(signature));
	ck_assert(kms_is_ok(kms_writer_take(&writer, &bytes)));
	return bytes;
}

static struct kms_buf birth_statement(uint32_t version)
{
	struct format_statement statement;
	memset(&statement, 0, sizeof(statement));
	statement.type = FORMAT_STATEMENT_BIRTH;
	statement.u.birth = (struct format_birth){.key = id_of(KEY),
		.version = version,
		.kek = id_of(KEK),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.token_count = 1,
		.tokens = {id_of(TOKEN)},
		.commitment = hash_of(0xcc),
		.attributes = {.sensitive = true,
			.always_sensitive = true,
			.never_extractable = true,
			.local = true,
			.destroyable = true}};
	return statement_of(&statement);
}

static struct kms_buf uses_statement(void)
{
	struct format_statement statement;
	memset(&statement, 0, sizeof(statement));
	statement.type = FORMAT_STATEMENT_USES;
	statement.u.uses = (struct format_uses){.boot = 1, .count = 5, .running = hash_of(0xdd)};
	return statement_of(&statement);
}

/* ---- one change of each type ---- */

static void make_log_open(void)
{
	change.type = MODEL_CHANGE_LOG_OPEN;
	change.tenant = id_of(TENANT);
	change.actor = (struct kms_id){{0}};
	memcpy(change.u.log_open.origin, "kms.example/kmsd/1", 19);
	memcpy(change.u.log_open.ledger_vkey, "kms.example/kmsd/1+00000000+AAAA", 33);
	memcpy(change.u.log_open.ledger_vkey_ed25519, "kms.example/kmsd/1+11111111+AQAA", 33);
	change.u.log_open.system_token = token_of(SYSTEM, (struct kms_id){{0}});
	change.u.log_open.principal_count = 1;
	change.u.log_open.principals = zeroed(1, sizeof(struct model_principal));
	change.u.log_open.principals[0] =
		principal_of(0x57, (struct kms_id){{0}}, MODEL_ROLE_OPERATOR);
	set_fill(&change.u.log_open.first);
}

static void make_tenant_add(void)
{
	change.type = MODEL_CHANGE_TENANT_ADD;
	set_fill(&change.u.tenant_add);
}

static void make_intent(uint32_t version)
{
	change.type = MODEL_CHANGE_KEY_INTENT;
	change.u.key_intent.version = version;
	change.u.key_intent.key = (struct model_key){.id = id_of(KEY),
		.tenant = id_of(TENANT),
		.custodian = id_of(CUSTODIAN),
		.label = label_of("SECRETNAME key"),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.state = version == 1 ? MODEL_STATE_PRE_ACTIVATION : MODEL_STATE_ACTIVE,
		.version = version - 1,
		.created_unix_ms = 1795251600000,
		.token_count = 1,
		.tokens = {id_of(TOKEN)}};
	change.u.key_intent.keks[0] = id_of(KEK);
}

static void make_create_intent(void)
{
	make_intent(1);
}

static void make_rotate_intent(void)
{
	make_intent(2);
}

static void make_result(uint32_t version, bool made)
{
	change.type = MODEL_CHANGE_KEY_RESULT;
	change.u.key_result.key = id_of(KEY);
	change.u.key_result.version = version;
	change.u.key_result.made = made;
	change.u.key_result.birth_count = made ? 1 : 0;
	if (made) {
		change.u.key_result.births[0] = (struct model_birth){.token = id_of(TOKEN),
			.kek = id_of(KEK),
			.commitment = hash_of(0xcc),
			.statement = birth_statement(version)};
	}
}

static void make_create_result(void)
{
	make_result(1, true);
}

static void make_rotate_failed(void)
{
	make_result(2, false);
}

static void make_state(void)
{
	change.type = MODEL_CHANGE_KEY_STATE;
	change.u.key_state.key = id_of(KEY);
	change.u.key_state.event = MODEL_EVENT_SUSPEND;
	change.u.key_state.state = MODEL_STATE_SUSPENDED;
}

static void make_dataset(void)
{
	change.type = MODEL_CHANGE_DATASET_ADD;
	change.u.dataset_add = (struct model_dataset){.id = id_of(DATASET),
		.tenant = id_of(TENANT),
		.key = id_of(KEY),
		.custodian = id_of(CUSTODIAN),
		.label = label_of("SECRETNAME dataset"),
		.medium = "volume",
		.serial = "SN-1",
		.site = "Osaka",
		.country = "JP",
		.first_write_unix_s = 1795251600};
}

static void make_boot(void)
{
	change.type = MODEL_CHANGE_TOKEN_BOOT;
	change.actor = (struct kms_id){{0}};
	change.u.token_boot.token = id_of(TOKEN);
	change.u.token_boot.boot = 3;
}

static void make_use_statement(void)
{
	change.type = MODEL_CHANGE_USE_STATEMENT;
	change.actor = (struct kms_id){{0}};
	change.u.use_statement.token = id_of(TOKEN);
	change.u.use_statement.statement = uses_statement();
}

static void make_use_batch(void)
{
	change.type = MODEL_CHANGE_USE_BATCH;
	change.actor = (struct kms_id){{0}};
	change.u.use_batch.token = id_of(TOKEN);
	change.u.use_batch.boot = 1;
	change.u.use_batch.first = 1;
	change.u.use_batch.count = 5;
	change.u.use_batch.running = hash_of(0xdd);
	change.u.use_batch.root = hash_of(0xee);
}

static void make_denials(void)
{
	make_use_batch();
	change.u.use_batch.token = (struct kms_id){{0}};
	change.u.use_batch.boot = 0;
	change.u.use_batch.first = 0;
	change.u.use_batch.running = hash_of(0);
}

static void make_alarm(void)
{
	change.type = MODEL_CHANGE_ALARM;
	memcpy(change.u.alarm.text, "a token answered out of order", 30);
	change.u.alarm.token = id_of(TOKEN);
	change.u.alarm.key = id_of(KEY);
}

static const struct {
	const char *type;
	void (*make)(void);
	bool has_key;
} kinds[] = {
	{"log.open", make_log_open, false},
	{"tenant.add", make_tenant_add, false},
	{"key.create.intent", make_create_intent, true},
	{"key.create.result", make_create_result, true},
	{"key.rotate.intent", make_rotate_intent, true},
	{"key.rotate.result", make_rotate_failed, true},
	{"key.state", make_state, true},
	{"dataset.add", make_dataset, true},
	{"token.boot", make_boot, false},
	{"use.statement", make_use_statement, false},
	{"use.batch", make_use_batch, false},
	{"use.batch", make_denials, false},
	{"alarm", make_alarm, true},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void make(size_t kind)
{
	model_change_free(&change);
	change.tenant = id_of(TENANT);
	change.actor = id_of(CUSTODIAN);
	kinds[kind].make();
	head.seq = 100 + kind;
	head.has_previous = kinds[kind].has_key && kind > 2;
}

static void setup(void)
{
	memset(&head, 0, sizeof(head));
	memset(&change, 0, sizeof(change));
	memcpy(head.log, "kms.example/kmsd/1", 19);
	head.unix_ms = 1795251600123;
	head.node = id_of(NODE);
	head.previous_seq = 42;
	head.previous_leaf = hash_of(0x42);
}

static void teardown(void)
{
	model_change_free(&change);
}

/* ---- entries ---- */

START_TEST(entries_golden)
{
	KMS_AUTO_WRITER writer = kms_writer_grow((size_t)256 * 1024);
	struct kms_bytes text;
	for (size_t i = 0; i < KINDS; i++) {
		KMS_AUTO_BUF json = {0};
		make(i);
		ck_assert_msg(
			kms_is_ok(record_entry_write(&head, &change, &json)), "%s", kinds[i].type);
		kms_write_bytes(&writer, kms_buf_bytes(&json));
		kms_write_text(&writer, "\n");
	}
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &text)));
	golden_text("entries.jsonl", text);
	/* Not one name of anybody or anything. */
	ck_assert_ptr_null(memmem(text.ptr, text.len, "SECRETNAME", 10));
}
END_TEST

/* Labels come back empty: give them back, so that the rest can be compared byte by byte. */
static void set_labels_give(struct model_tenant_set *set)
{
	ck_assert_str_eq(set->tenant.label.text, "");
	set->tenant.label = label_of("SECRETNAME tenant");
	for (size_t i = 0; i < set->principal_count; i++) {
		set->principals[i].label = label_of("SECRETNAME person");
	}
}

static void labels_give(struct model_change *back)
{
	if (back->type == MODEL_CHANGE_LOG_OPEN) {
		back->u.log_open.principals[0].label = label_of("SECRETNAME person");
		set_labels_give(&back->u.log_open.first);
	} else if (back->type == MODEL_CHANGE_TENANT_ADD) {
		set_labels_give(&back->u.tenant_add);
	} else if (back->type == MODEL_CHANGE_KEY_INTENT) {
		ck_assert_str_eq(back->u.key_intent.key.label.text, "");
		back->u.key_intent.key.label = label_of("SECRETNAME key");
	} else if (back->type == MODEL_CHANGE_DATASET_ADD) {
		ck_assert_str_eq(back->u.dataset_add.label.text, "");
		back->u.dataset_add.label = label_of("SECRETNAME dataset");
	}
}

START_TEST(entries_both_ways)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_BUF again = {0};
	struct record_head head_back;
	struct model_change back;
	struct kms_id key;
	make((size_t)_i);
	ck_assert_str_eq(record_change_text(&change), kinds[_i].type);
	ck_assert_int_eq(record_change_key(&change, &key), kinds[_i].has_key);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(record_entry_read(kms_buf_bytes(&json), &head_back, &back)));
	ck_assert_int_eq(back.type, change.type);
	labels_give(&back);
	ck_assert(kms_is_ok(record_entry_write(&head_back, &back, &again)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&json), kms_buf_bytes(&again)));
	model_change_free(&back);
}
END_TEST

/* What the state is rebuilt from, field by field, for one type with everything. */
START_TEST(a_birth_comes_back_whole)
{
	KMS_AUTO_BUF json = {0};
	struct record_head head_back;
	struct model_change back;
	make(3);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(record_entry_read(kms_buf_bytes(&json), &head_back, &back)));
	ck_assert_uint_eq(head_back.seq, head.seq);
	ck_assert_int_eq(head_back.unix_ms, head.unix_ms);
	ck_assert(head_back.has_previous);
	ck_assert_uint_eq(head_back.previous_seq, 42);
	ck_assert(kms_id_equal(&back.actor, &change.actor));
	ck_assert(kms_id_equal(&back.tenant, &change.tenant));
	ck_assert(back.u.key_result.made);
	ck_assert_uint_eq(back.u.key_result.birth_count, 1);
	ck_assert(kms_hash_equal(&back.u.key_result.births[0].commitment,
		&change.u.key_result.births[0].commitment));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&back.u.key_result.births[0].statement),
		kms_buf_bytes(&change.u.key_result.births[0].statement)));
	model_change_free(&back);
}
END_TEST

/* ---- strictness: the text of an entry, changed in one place ---- */

static enum kms_code read_changed(
	size_t kind, const char *from, const char *to, enum kms_code expected)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *text = NULL;
	KMS_AUTO_FREE char *changed = NULL;
	struct record_head head_back;
	static struct model_change back;
	make(kind);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(kms_text(&text, "%.*s", (int)json.len, (const char *)json.ptr)));
	char *at = strstr(text, from);
	ck_assert_msg(at != NULL, "%s is not in %s", from, text);
	ck_assert(kms_is_ok(
		kms_text(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from))));
	memset(&back, 0x5a, sizeof(back));
	kms_err err = record_entry_read(kms_bytes_str(changed), &head_back, &back);
	if (kms_is_ok(err)) {
		model_change_free(&back);
	} else {
		ck_assert_int_eq(back.type, 0x5a5a5a5a); /* written only on success */
	}
	ck_assert_msg(err.code == expected, "%s: %s", to, kms_err_name(err));
	return err.code;
}

START_TEST(reading_is_strict)
{
	static const struct {
		size_t kind;
		const char *from, *to;
		enum kms_code code;
	} cases[] = {
		{6, "kmsd-entry/1", "kmsd-entry/2", KMS_CODE_VERSION},
		{6, "\"seq\":106", "\"seq\":106.0", KMS_CODE_FORMAT},
		{6, "\"seq\":106", "\"seq\":-1", KMS_CODE_FORMAT},
		{6, "\"seq\":106", "\"seq\":106,\"x\":1", KMS_CODE_FORMAT},
		{6, "\"seq\":42", "\"seq\":106", KMS_CODE_FORMAT}, /* kprev is not before */
		{6, "\"data\":{", "\"data\":{\"x\":1,", KMS_CODE_FORMAT},
		{6, "key.state", "key.stat", KMS_CODE_FORMAT},
		{6, "key.state", "token.boot", KMS_CODE_FORMAT},
		{6, "\"suspend\"", "\"pause\"", KMS_CODE_FORMAT},
		{6, "\"key\":\"22222222-0000-4000-8000-000000000022\",", "", KMS_CODE_FORMAT},
		{6, "22222222-0000-4000-8000-000000000022", "00000000-0000-0000-0000-000000000000",
			KMS_CODE_FORMAT},
		/* a create that says version 2, a rotation that says 1 */
		{2, "key.create.intent", "key.rotate.intent", KMS_CODE_FORMAT},
		{4, "\"kver\":2", "\"kver\":1", KMS_CODE_FORMAT},
		{2, "\"kver\":1", "\"kver\":0", KMS_CODE_FORMAT},
		/* what is said of a birth is not what its statement says */
		{3, "\"kc\":\"cc", "\"kc\":\"cd", KMS_CODE_FORMAT},
		{3, "\"extractable\":false", "\"extractable\":true", KMS_CODE_FORMAT},
		{3, "\"generated\"", "\"imported\"", KMS_CODE_FORMAT},
		{3, "\"kek\":\"44444444", "\"kek\":\"45444444", KMS_CODE_FORMAT},
		{3, "\"bits\":256", "\"bits\":128", KMS_CODE_FORMAT},
		{3, "\"kver\":1", "\"kver\":2", KMS_CODE_FORMAT},
		{3, "\"res\":\"ok\"", "\"res\":\"error\"", KMS_CODE_FORMAT},
		{3, "\"res\":\"ok\"", "\"res\":\"maybe\"", KMS_CODE_FORMAT},
		{5, "\"res\":\"error\"", "\"res\":\"ok\"", KMS_CODE_FORMAT},
		/* a tenant entry of another tenant */
		{1, "\"tenant\":\"11111111", "\"tenant\":\"12111111", KMS_CODE_FORMAT},
		{1, "\"country\":\"JP\"", "\"country\":\"jp\"", KMS_CODE_FORMAT},
		{9, "\"token\":\"a1a1a1a1", "\"token\":\"a2a1a1a1", KMS_CODE_FORMAT},
		{10, "\"count\":5", "\"count\":0", KMS_CODE_FORMAT},
		{10, "\"count\":5", "\"count\":4097", KMS_CODE_FORMAT},
		{12, "out of order", "out\\nof order", KMS_CODE_FORMAT},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(
			read_changed(cases[i].kind, cases[i].from, cases[i].to, cases[i].code),
			cases[i].code);
	}
	/* The double itself is sound. */
	(void)read_changed(6, "\"seq\":106", "\"seq\":107", KMS_CODE_OK);
	(void)read_changed(10, "\"count\":5", "\"count\":4096", KMS_CODE_OK);
}
END_TEST

START_TEST(writing_refuses_contradictions)
{
	KMS_AUTO_BUF none = {0};
	make(6);
	change.u.key_state.key = (struct kms_id){{0}};
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(6);
	head.previous_seq = head.seq;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	head.previous_seq = 42;
	make(8);
	head.has_previous = true; /* about no key */
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(3);
	change.u.key_result.births[0].commitment.b[0] ^= 1;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(3);
	change.u.key_result.made = false;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(3);
	change.tenant = id_of(0x12); /* the statement is of another tenant's KEK */
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(9);
	change.u.use_statement.token = id_of(0xa2);
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(1);
	change.u.tenant_add.principals[1].tenant = id_of(0x12);
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(7);
	change.u.dataset_add.tenant = id_of(0x12);
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	make(0);
	model_change_free(&change);
	change.type = (enum model_change_type)99;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_ARGUMENT));
	ck_assert_str_eq(record_change_text(&change), "unknown");
	ck_assert_ptr_null(none.ptr);
}
END_TEST

/* 2^53 - 1 is the largest integer that every reader of JSON holds. */
START_TEST(limits)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_BUF none = {0};
	make(8);
	change.u.token_boot.boot = ((uint64_t)1 << 53) - 1;
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	change.u.token_boot.boot++;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_TOO_LARGE));
	make(10);
	change.u.use_batch.count = LIMIT_COMMIT_USES + 1;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_TOO_LARGE));
	make(2);
	change.u.key_intent.version = LIMIT_KEY_VERSIONS + 1;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_TOO_LARGE));
	make(2);
	change.u.key_intent.key.token_count = LIMIT_CUSTODY_TOKENS + 1;
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_TOO_LARGE));

	/* A CA that fills the entry past its hard limit. */
	make(1);
	kms_free_ptr(&change.u.tenant_add.tenant.ca_pem);
	change.u.tenant_add.tenant.ca_pem = zeroed(1, LIMIT_ENTRY_BYTES + 1);
	memset(change.u.tenant_add.tenant.ca_pem, 'x', LIMIT_ENTRY_BYTES);
	ck_assert(kms_is(record_entry_write(&head, &change, &none), KMS_CODE_TOO_LARGE));
	change.u.tenant_add.tenant.ca_pem[LIMIT_CERT_PEM] = 0;
	kms_buf_free(&json);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	struct record_head head_back;
	struct model_change back;
	ck_assert(kms_is_ok(record_entry_read(kms_buf_bytes(&json), &head_back, &back)));
	model_change_free(&back);
	change.u.tenant_add.tenant.ca_pem[LIMIT_CERT_PEM] = 'x';
	change.u.tenant_add.tenant.ca_pem[LIMIT_CERT_PEM + 1] = 0;
	kms_buf_free(&json);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is(
		record_entry_read(kms_buf_bytes(&json), &head_back, &back), KMS_CODE_TOO_LARGE));
}
END_TEST

/* ---- use records ---- */

static struct model_use use_of(bool denied)
{
	struct model_use use = {.n = 7,
		.unix_ms = 1795251600123,
		.op = MODEL_OP_UNWRAP,
		.principal = id_of(0x56),
		.spki = hash_of(0x56),
		.key = id_of(KEY),
		.kek = id_of(KEK),
		.version = 1,
		.wrapped_key = id_of(WRAPPED),
		.context = hash_of(0x88),
		.denied = KMS_CODE_OK,
		.lease_end_unix_ms = 1795255200123,
		.holder = id_of(0x99)};
	if (denied) {
		use.lease_end_unix_ms = 0;
		use.holder = (struct kms_id){{0}};
		use.n = 0;
		use.version = 0;
		use.kek = use.principal = (struct kms_id){{0}};
		use.denied = KMS_CODE_DENIED;
		use.repeats = 12;
	}
	return use;
}

START_TEST(uses_golden_both_ways)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(4096);
	struct kms_bytes text;
	for (int denied = 0; denied < 2; denied++) {
		KMS_AUTO_BUF json = {0};
		KMS_AUTO_BUF again = {0};
		struct model_use back;
		struct model_use use = use_of(denied == 1);
		ck_assert(kms_is_ok(record_use_write(&use, &json)));
		ck_assert_uint_le(json.len, LIMIT_USE_RECORD_BYTES);
		kms_write_bytes(&writer, kms_buf_bytes(&json));
		kms_write_text(&writer, "\n");
		ck_assert(kms_is_ok(record_use_read(kms_buf_bytes(&json), &back)));
		ck_assert_uint_eq(back.n, use.n);
		ck_assert_int_eq(back.denied, use.denied);
		ck_assert_uint_eq(back.repeats, use.repeats);
		ck_assert_int_eq(back.lease_end_unix_ms, use.lease_end_unix_ms);
		ck_assert(kms_id_equal(&back.holder, &use.holder));
		ck_assert(kms_is_ok(record_use_write(&back, &again)));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&json), kms_buf_bytes(&again)));
	}
	ck_assert(kms_is_ok(kms_writer_bytes(&writer, &text)));
	golden_text("uses.jsonl", text);
}
END_TEST

static kms_err use_changed(const char *from, const char *to)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *text = NULL;
	KMS_AUTO_FREE char *changed = NULL;
	struct model_use back;
	struct model_use use = use_of(false);
	ck_assert(kms_is_ok(record_use_write(&use, &json)));
	ck_assert(kms_is_ok(kms_text(&text, "%.*s", (int)json.len, (const char *)json.ptr)));
	char *at = strstr(text, from);
	ck_assert_ptr_nonnull(at);
	ck_assert(kms_is_ok(
		kms_text(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from))));
	return record_use_read(kms_bytes_str(changed), &back);
}

START_TEST(use_reading_is_strict)
{
	ck_assert(kms_is_ok(use_changed("\"n\":7", "\"n\":8")));
	ck_assert(kms_is(use_changed("kmsd-use/1", "kmsd-use/2"), KMS_CODE_VERSION));
	ck_assert(kms_is(use_changed("\"n\":7", "\"n\":0"), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"n\":7", "\"n\":9007199254740992"), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"ok\"", "\"fine\""), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"ok\"", "\"denied\""), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"unwrap\"", "\"open\""), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"n\":7", "\"n\":7,\"x\":1"), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"kek\":\"44444444-0000-4000-8000-000000000044\",", ""),
		KMS_CODE_FORMAT));
	/* What hands a data key out has a lease, its holder may be nobody; nothing else has one. */
	ck_assert(kms_is_ok(
		use_changed("\"holder\":\"99999999-0000-4000-8000-000000000099\",", "")));
	ck_assert(kms_is(use_changed("\"lease\":1795255200123,", ""), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"lease\":1795255200123", "\"lease\":0"), KMS_CODE_FORMAT));
	ck_assert(kms_is(use_changed("\"unwrap\"", "\"rewrap\""), KMS_CODE_FORMAT));
	static char longest[LIMIT_USE_RECORD_BYTES + 2];
	memset(longest, ' ', LIMIT_USE_RECORD_BYTES + 1);
	struct model_use back;
	ck_assert(kms_is(record_use_read(kms_bytes_str(longest), &back), KMS_CODE_TOO_LARGE));
}
END_TEST

/* log.open with its second key as the text says it, and what comes back. */
static kms_err log_open_with(const char *member, char ret_key[320])
{
	static const char both[] = "\"ledger_vkey_ed25519\":\"kms.example/kmsd/1+11111111+AQAA\",";
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *text = NULL;
	KMS_AUTO_FREE char *changed = NULL;
	struct record_head back_head;
	static struct model_change back; /* too large for the stack */
	make(0);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(kms_text(&text, "%.*s", (int)json.len, (const char *)json.ptr)));
	char *at = strstr(text, both);
	ck_assert_ptr_nonnull(at);
	ck_assert(kms_is_ok(
		kms_text(&changed, "%.*s%s%s", (int)(at - text), text, member, at + strlen(both))));
	memset(&back, 0, sizeof(back));
	KMS_TRY(record_entry_read(kms_bytes_str(changed), &back_head, &back));
	memcpy(ret_key, back.u.log_open.ledger_vkey_ed25519, 320);
	model_change_free(&back);
	return KMS_OK;
}

START_TEST(a_log_has_a_second_key_or_none)
{
	char key[320], longest[400] = "\"ledger_vkey_ed25519\":\"";
	ck_assert(kms_is_ok(log_open_with("\"ledger_vkey_ed25519\":\"a\",", key)));
	ck_assert_str_eq(key, "a");
	ck_assert(kms_is_ok(log_open_with("", key)));
	ck_assert_str_eq(key, "");
	ck_assert(kms_is(log_open_with("\"ledger_vkey_ed25519\":\"\",", key), KMS_CODE_FORMAT));
	ck_assert(kms_is_ok(log_open_with("\"ledger_vkey_ed25519\":null,", key))); /* none, too */
	ck_assert_str_eq(key, "");
	ck_assert(kms_is(log_open_with("\"ledger_vkey_ed25519\":7,", key), KMS_CODE_FORMAT));
	memset(longest + strlen(longest), 'k', 320);
	(void)strcat(longest, "\",");
	ck_assert(kms_is(log_open_with(longest, key), KMS_CODE_TOO_LARGE));
	/* and one without is written without the member, as logs with one key were before */
	KMS_AUTO_BUF json = {0};
	make(0);
	change.u.log_open.ledger_vkey_ed25519[0] = '\0';
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert_ptr_null(memmem(json.ptr, json.len, "ed25519", 7));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {entries_golden, a_birth_comes_back_whole, reading_is_strict,
		writing_refuses_contradictions, limits, uses_golden_both_ways,
		use_reading_is_strict, a_log_has_a_second_key_or_none};
	Suite *suite = suite_create("record");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		tcase_add_test(all, tests[i]);
	}
	tcase_add_loop_test(all, entries_both_ways, 0, KINDS);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
