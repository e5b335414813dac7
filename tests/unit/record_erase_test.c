/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: the entries of an erasure, from its request to its certificate: goldens, both directions,
 * and that what contradicts the bytes or statements beside it is refused.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "format.h"
#include "golden.h"
#include "record.h"

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

static struct kms_buf buf_of(const char *text)
{
	struct kms_buf buf = {0};
	ck_assert(kms_is_ok(kms_buf_copy(kms_bytes_str(text), &buf)));
	return buf;
}

enum {
	TENANT = 0x11,
	KEY = 0x22,
	KEK = 0x44,
	CUSTODIAN = 0x55,
	APPROVER = 0x57,
	NODE = 0x66,
	TOKEN = 0xa1,
	ERASURE = 0xe1,
	CERTIFICATE = 0xce,
};

static struct record_head head;
static struct model_change change;

/* ---- one of each ---- */

static void make_request(void)
{
	struct format_erase_kek kek = {.token = id_of(TOKEN),
		.kek = id_of(KEK),
		.key = id_of(KEY),
		.version = 1,
		.commitment = hash_of(0xcc)};
	struct format_erase erase = {.origin = "kms.example/kmsd/1",
		.erasure = id_of(ERASURE),
		.tenant = id_of(TENANT),
		.requester = id_of(CUSTODIAN),
		.scope = MODEL_ERASE_KEY,
		.subject = id_of(KEY),
		.plan = hash_of(0x99),
		.not_before_unix_s = 1795251700,
		.expires_unix_s = 1795351700,
		.kek_count = 1,
		.keks = &kek};
	change.type = MODEL_CHANGE_ERASE_REQUEST;
	ck_assert(kms_is_ok(format_erase_write(&erase, &change.u.erase_request.bytes)));
	change.u.erase_request.certificate = buf_of("a certificate, DER");
	memset(change.u.erase_request.signature, 0x51, MODEL_SIGNATURE);
}

static void make_signed(enum model_change_type type, uint8_t principal)
{
	change.type = type;
	change.actor = id_of(principal);
	change.u.erase_signed.erasure = id_of(ERASURE);
	change.u.erase_signed.by.principal = id_of(principal);
	change.u.erase_signed.by.spki = buf_of("a key, DER");
	memset(change.u.erase_signed.by.signature, 0x52, MODEL_SIGNATURE);
}

static void make_approve(void)
{
	make_signed(MODEL_CHANGE_ERASE_APPROVE, APPROVER);
}

static void make_cancel(void)
{
	make_signed(MODEL_CHANGE_ERASE_CANCEL, CUSTODIAN);
}

static void make_intent(void)
{
	change.type = MODEL_CHANGE_ERASE_INTENT;
	change.u.erase_step.erasure = id_of(ERASURE);
	change.u.erase_step.erase = hash_of(0x77);
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
	statement->unix_ms = 1795251800000;
	ck_assert(kms_is_ok(format_statement_write(statement, &part)));
	kms_write_bytes(&writer, kms_buf_bytes(&part));
	kms_write_fixed(&writer, signature, sizeof(signature));
	ck_assert(kms_is_ok(kms_writer_take(&writer, &bytes)));
	return bytes;
}

static struct format_erased erased(void)
{
	return (struct format_erased){.erasure = id_of(ERASURE),
		.erase = hash_of(0x77),
		.key = id_of(KEY),
		.version = 1,
		.kek = id_of(KEK),
		.commitment = hash_of(0xcc)};
}

static struct kms_buf destroy_of(struct format_erased what)
{
	struct format_statement statement = {.type = FORMAT_STATEMENT_DESTROY};
	statement.u.destroy =
		(struct format_destroy){.what = what, .found = true, .canary_before = true};
	return statement_of(&statement);
}

static struct kms_buf absence_of(struct format_erased what)
{
	struct format_statement statement = {.type = FORMAT_STATEMENT_ABSENCE};
	statement.u.absence = (struct format_absence){.what = what, .searched = 3, .born = 1};
	return statement_of(&statement);
}

static struct kms_buf wipe_of(struct kms_id erasure)
{
	struct format_statement statement = {.type = FORMAT_STATEMENT_WIPE};
	statement.u.wipe = (struct format_wipe){.erasure = erasure,
		.erase = hash_of(0x77),
		.destroyed = 1,
		.initialised = true,
		.overwritten = true};
	return statement_of(&statement);
}

static void make_result(void)
{
	change.type = MODEL_CHANGE_ERASE_RESULT;
	change.actor = (struct kms_id){{0}};
	change.u.erase_done.erasure = id_of(ERASURE);
	change.u.erase_done.token = id_of(TOKEN);
	change.u.erase_done.key = id_of(KEY);
	change.u.erase_done.kek = id_of(KEK);
	change.u.erase_done.version = 1;
	change.u.erase_done.statement = destroy_of(erased());
	change.u.erase_done.absence = absence_of(erased());
}

static void make_wipe(void)
{
	change.type = MODEL_CHANGE_ERASE_WIPE;
	change.actor = (struct kms_id){{0}};
	change.u.erase_done.erasure = id_of(ERASURE);
	change.u.erase_done.token = id_of(TOKEN);
	change.u.erase_done.statement = wipe_of(id_of(ERASURE));
}

static void make_final(void)
{
	change.type = MODEL_CHANGE_ERASE_FINAL;
	change.actor = (struct kms_id){{0}};
	change.u.erase_step.erasure = id_of(ERASURE);
}

static void make_issue(void)
{
	change.type = MODEL_CHANGE_CERT_ISSUE;
	change.u.cert_issue.erasure = id_of(ERASURE);
	change.u.cert_issue.certificate = id_of(CERTIFICATE);
	change.u.cert_issue.final = true;
	change.u.cert_issue.json = buf_of("{\"v\":\"kmsd-cert/1\"}");
	ck_assert(kms_is_ok(crypto_sha256_one(
		kms_buf_bytes(&change.u.cert_issue.json), &change.u.cert_issue.hash)));
}

static void make_provisional(void)
{
	make_issue();
	change.u.cert_issue.final = false;
	change.u.cert_issue.supersedes = id_of(CERTIFICATE + 1);
}

static void make_refused(void)
{
	change.type = MODEL_CHANGE_ERASE_REFUSED;
	change.u.erase_refused.erasure = id_of(ERASURE);
	change.u.erase_refused.token = id_of(TOKEN);
	(void)strcpy(change.u.erase_refused.text, "its approvals have expired");
	change.u.erase_refused.keks = calloc(LIMIT_ERASE_KEKS + 1, sizeof(struct kms_id));
	change.u.erase_refused.kek_count = 2;
	change.u.erase_refused.keks[0] = id_of(KEK);
	change.u.erase_refused.keks[1] = id_of(KEK + 1);
	change.u.erase_refused.wipe = true;
}

enum { REQUEST, APPROVE, CANCEL, INTENT, RESULT, WIPE, FINAL, PROVISIONAL, ISSUE, REFUSED, KINDS };
static const struct {
	const char *type;
	void (*make)(void);
} kinds[KINDS] = {
	[REQUEST] = {"destroy.request", make_request},
	[APPROVE] = {"destroy.approve", make_approve},
	[CANCEL] = {"destroy.cancel", make_cancel},
	[INTENT] = {"destroy.execute.intent", make_intent},
	[RESULT] = {"destroy.execute.result", make_result},
	[WIPE] = {"destroy.wipe", make_wipe},
	[FINAL] = {"destroy.final", make_final},
	[PROVISIONAL] = {"cert.issue", make_provisional},
	[ISSUE] = {"cert.issue", make_issue},
	[REFUSED] = {"destroy.execute.refused", make_refused},
};

static void make(size_t kind)
{
	model_change_free(&change);
	change.tenant = id_of(TENANT);
	change.actor = id_of(CUSTODIAN);
	kinds[kind].make();
	head.seq = 200 + kind;
	head.has_previous = kind == RESULT;
}

static void setup(void)
{
	memset(&head, 0, sizeof(head));
	memset(&change, 0, sizeof(change));
	memcpy(head.log, "kms.example/kmsd/1", 19);
	head.unix_ms = 1795251800123;
	head.node = id_of(NODE);
	head.previous_seq = 42;
	head.previous_leaf = hash_of(0x42);
}

static void teardown(void)
{
	model_change_free(&change);
}

/* ---- tests ---- */

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
	golden_text("erase-entries.jsonl", text);
}
END_TEST

START_TEST(entries_both_ways)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_BUF again = {0};
	struct record_head head_back;
	struct model_change back;
	struct kms_id key;
	make((size_t)_i);
	ck_assert_str_eq(record_change_text(&change), kinds[_i].type);
	ck_assert_int_eq(record_change_key(&change, &key), _i == RESULT);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(record_entry_read(kms_buf_bytes(&json), &head_back, &back)));
	ck_assert_int_eq(back.type, change.type);
	ck_assert(kms_is_ok(record_entry_write(&head_back, &back, &again)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&json), kms_buf_bytes(&again)));
	model_change_free(&back);
}
END_TEST

START_TEST(a_refusal_is_about_something_and_has_a_reason)
{
	KMS_AUTO_BUF json = {0};
	make(REFUSED);
	change.u.erase_refused.keks[1] = change.u.erase_refused.keks[0];
	ck_assert_int_eq(record_entry_write(&head, &change, &json).code, KMS_CODE_ARGUMENT);
	make(REFUSED);
	change.u.erase_refused.text[0] = '\0';
	ck_assert_int_eq(record_entry_write(&head, &change, &json).code, KMS_CODE_ARGUMENT);
	make(REFUSED);
	change.u.erase_refused.text[3] = '\n';
	ck_assert_int_eq(record_entry_write(&head, &change, &json).code, KMS_CODE_ARGUMENT);
	make(REFUSED);
	change.u.erase_refused.kek_count = 0;
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	change.u.erase_refused.wipe = false;
	ck_assert_int_eq(record_entry_write(&head, &change, &json).code, KMS_CODE_ARGUMENT);
	/* As many as an erasure names fit an entry, and no more. */
	make(REFUSED);
	for (uint32_t i = 0; i <= LIMIT_ERASE_KEKS; i++) {
		change.u.erase_refused.keks[i].b[0] = (uint8_t)(i >> 8);
		change.u.erase_refused.keks[i].b[1] = (uint8_t)i;
		change.u.erase_refused.keks[i].b[15] = 1;
	}
	kms_buf_free(&json);
	change.u.erase_refused.kek_count = LIMIT_ERASE_KEKS;
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	change.u.erase_refused.kek_count = LIMIT_ERASE_KEKS + 1;
	ck_assert_int_eq(record_entry_write(&head, &change, &json).code, KMS_CODE_TOO_LARGE);
}
END_TEST

/* What kms-tokend looks for in the intent's canonical bytes, having no JSON parser. */
START_TEST(an_intent_has_the_members_that_a_token_looks_for)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *want = NULL;
	char hex[KMS_HASH_TEXT];
	make(INTENT);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(kms_text(
		&want, "\"erase\":\"%s\"", kms_hash_text(&change.u.erase_step.erase, hex))));
	ck_assert_ptr_nonnull(memmem(json.ptr, json.len, want, strlen(want)));
	ck_assert_ptr_nonnull(
		memmem(json.ptr, json.len, "\"type\":\"destroy.execute.intent\"", 31));
}
END_TEST

static void approval_comes_back(const struct model_change *back)
{
	const struct model_signed *by = &back->u.erase_signed.by;
	ck_assert(kms_id_equal(&by->principal, &back->actor));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&by->spki), kms_bytes_str("a key, DER")));
	ck_assert_uint_eq(by->signature[MODEL_SIGNATURE - 1], 0x52);
}

START_TEST(an_approval_comes_back_whole)
{
	KMS_AUTO_BUF json = {0};
	struct record_head head_back;
	struct model_change back;
	make(APPROVE);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(record_entry_read(kms_buf_bytes(&json), &head_back, &back)));
	approval_comes_back(&back);
	model_change_free(&back);
}
END_TEST

static const struct {
	size_t kind;
	const char *from, *to;
} CHANGED[] = {
	/* ids beside the bytes that say others */
	{REQUEST, "\"erasure\":\"e1", "\"erasure\":\"e2"},
	{REQUEST, "\"tenant\":\"11", "\"tenant\":\"12"},
	{REQUEST, "\"actor\":\"55", "\"actor\":\"56"},
	{REQUEST, "\"actor\":\"55555555-0000-4000-8000-000000000055\",", ""},
	{REQUEST, "\"sig\":\"UVFR", "\"sig\":\""},
	{REQUEST, "\"bytes\":\"", "\"bytes\":\"AAAA"},
	{APPROVE, "\"sig\":\"", "\"sig\":\"UlJS"},
	{APPROVE, "\"actor\":\"57575757-0000-4000-8000-000000000057\",", ""},
	{APPROVE, "\"spki\":\"YSBrZXksIERFUg==\"", "\"spki\":\"\""},
	{APPROVE, "\"data\":{", "\"data\":{\"x\":1,"},
	{CANCEL, "\"erasure\":\"e1e1e1e1-0000-4000-8000-0000000000e1\",", ""},
	{CANCEL, "\"tenant\":\"11111111-0000-4000-8000-000000000011\",", ""},
	{INTENT, "\"erase\":\"77", "\"erase\":\"7"},
	/* statements about something else */
	{RESULT, "\"erasure\":\"e1", "\"erasure\":\"e2"},
	{RESULT, "\"token\":\"a1", "\"token\":\"a2"},
	{RESULT, "\"kek\":\"44", "\"kek\":\"45"},
	{RESULT, "\"key\":\"22", "\"key\":\"23"},
	{RESULT, "\"kver\":1", "\"kver\":2"},
	{RESULT, "\"tenant\":\"11", "\"tenant\":\"12"},
	{WIPE, "\"erasure\":\"e1", "\"erasure\":\"e2"},
	{WIPE, "\"token\":\"a1", "\"token\":\"a2"},
	{WIPE, "destroy.wipe", "destroy.final"},
	{FINAL, "\"data\":{", "\"data\":{\"erase\":\"00\","},
	{ISSUE, "\"final\"", "\"done\""},
	{PROVISIONAL, "\"supersedes\":\"cfcfcfcf-0000-4000-8000-0000000000cf\"",
		"\"supersedes\":\"00000000-0000-0000-0000-000000000000\""},
	{PROVISIONAL, "\"supersedes\":\"cfcfcfcf-0000-4000-8000-0000000000cf\"",
		"\"supersedes\":\"cececece-0000-4000-8000-0000000000ce\""},
};

START_TEST(reading_is_strict)
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *text = NULL;
	KMS_AUTO_FREE char *changed = NULL;
	struct record_head head_back;
	static struct model_change back;
	const char *from = CHANGED[_i].from;
	make(CHANGED[_i].kind);
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	ck_assert(kms_is_ok(kms_text(&text, "%.*s", (int)json.len, (const char *)json.ptr)));
	char *at = strstr(text, from);
	ck_assert_msg(at != NULL, "%s is not in %s", from, text);
	ck_assert(kms_is_ok(kms_text(
		&changed, "%.*s%s%s", (int)(at - text), text, CHANGED[_i].to, at + strlen(from))));
	kms_err err = record_entry_read(kms_bytes_str(changed), &head_back, &back);
	/* A signature that is too long for its place is named so. */
	ck_assert_msg(!kms_is_ok(err) && !kms_is(err, KMS_CODE_NO_MEMORY), "%s", CHANGED[_i].to);
}
END_TEST

static void refused(enum kms_code code)
{
	KMS_AUTO_BUF none = {0};
	kms_err err = record_entry_write(&head, &change, &none);
	ck_assert_msg(err.code == code, "%s", kms_err_name(err));
	ck_assert_ptr_null(none.ptr);
}

START_TEST(writing_refuses_contradictions)
{
	make(REQUEST);
	change.actor = id_of(0x56);
	refused(KMS_CODE_ARGUMENT);
	make(REQUEST);
	change.tenant = id_of(0x12);
	refused(KMS_CODE_ARGUMENT);
	make(REQUEST);
	kms_buf_free(&change.u.erase_request.certificate);
	refused(KMS_CODE_ARGUMENT);
	make(REQUEST);
	change.u.erase_request.bytes.ptr[0] ^= 1;
	refused(KMS_CODE_FORMAT);
	make(APPROVE);
	change.u.erase_signed.by.principal = id_of(CUSTODIAN);
	refused(KMS_CODE_ARGUMENT);
	make(INTENT);
	change.actor = (struct kms_id){{0}};
	refused(KMS_CODE_ARGUMENT);
	make(INTENT);
	change.u.erase_step.erase = hash_of(0);
	refused(KMS_CODE_ARGUMENT);
	make(FINAL);
	change.tenant = (struct kms_id){{0}};
	refused(KMS_CODE_ARGUMENT);
	make(ISSUE);
	change.u.cert_issue.hash.b[0] ^= 1;
	refused(KMS_CODE_ARGUMENT);
}
END_TEST

/* A result whose statements are about something else: each of them, in each point. */
START_TEST(a_result_holds_its_statements_against_itself)
{
	for (int place = 0; place < 5; place++) {
		struct format_erased other = erased();
		other.erasure = place == 0 ? id_of(0xe2) : other.erasure;
		other.key = place == 1 ? id_of(0x23) : other.key;
		other.kek = place == 2 ? id_of(0x45) : other.kek;
		other.version = place == 3 ? 2 : other.version;
		make(RESULT);
		kms_buf_free(&change.u.erase_done.statement);
		change.u.erase_done.statement = place < 4 ? destroy_of(other) : absence_of(other);
		refused(KMS_CODE_ARGUMENT);
		make(RESULT);
		kms_buf_free(&change.u.erase_done.absence);
		change.u.erase_done.absence = place < 4 ? absence_of(other) : destroy_of(other);
		refused(KMS_CODE_ARGUMENT);
	}
	make(WIPE);
	kms_buf_free(&change.u.erase_done.statement);
	change.u.erase_done.statement = wipe_of(id_of(0xe2));
	refused(KMS_CODE_ARGUMENT);
}
END_TEST

/* The most KEKs that an erasure names fit an entry, with a certificate of 8 KiB. */
START_TEST(the_longest_request_fits)
{
	static struct format_erase_kek keks[LIMIT_ERASE_KEKS];
	struct format_erase erase = {.erasure = id_of(ERASURE),
		.tenant = id_of(TENANT),
		.requester = id_of(CUSTODIAN),
		.scope = MODEL_ERASE_TENANT,
		.subject = id_of(TENANT),
		.expires_unix_s = 1,
		.wipe_count = LIMIT_TOKENS,
		.kek_count = LIMIT_ERASE_KEKS,
		.keks = keks};
	KMS_AUTO_BUF json = {0};
	memset(erase.origin, 'o', sizeof(erase.origin) - 1);
	for (unsigned i = 0; i < LIMIT_TOKENS; i++) {
		erase.wipes[i] = id_of((uint8_t)(i + 1));
	}
	for (unsigned i = 0; i < LIMIT_ERASE_KEKS; i++) {
		keks[i] = (struct format_erase_kek){
			.token = id_of(TOKEN), .kek = id_of(KEK), .key = id_of(KEY), .version = 1};
		keks[i].kek.b[1] = (uint8_t)(i >> 8);
		keks[i].kek.b[2] = (uint8_t)i;
	}
	make(REQUEST);
	kms_buf_free(&change.u.erase_request.bytes);
	ck_assert(kms_is_ok(format_erase_write(&erase, &change.u.erase_request.bytes)));
	kms_buf_free(&change.u.erase_request.certificate);
	change.u.erase_request.certificate.ptr = calloc(1, 32 * 1024);
	change.u.erase_request.certificate.len = 8 * 1024;
	ck_assert(kms_is_ok(record_entry_write(&head, &change, &json)));
	change.u.erase_request.certificate.len = 32 * 1024;
	refused(KMS_CODE_TOO_LARGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("record_erase");
	TCase *tcase = tcase_create("entries");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_refusal_is_about_something_and_has_a_reason);
	tcase_add_test(tcase, entries_golden);
	tcase_add_loop_test(tcase, entries_both_ways, 0, KINDS);
	tcase_add_test(tcase, an_intent_has_the_members_that_a_token_looks_for);
	tcase_add_test(tcase, an_approval_comes_back_whole);
	tcase_add_loop_test(
		tcase, reading_is_strict, 0, (int)(sizeof(CHANGED) / sizeof(CHANGED[0])));
	tcase_add_test(tcase, writing_refuses_contradictions);
	tcase_add_test(tcase, a_result_holds_its_statements_against_itself);
	tcase_add_test(tcase, the_longest_request_fits);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
