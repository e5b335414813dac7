/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is signed for an erasure and what kms-tokend states of it: golden bytes, both directions,
 * every strictness that docs/formats names, and the limits.
 */
#include "format_bytes.h"
#include "golden.h"

enum {
	TENANT = 0x11,
	KEY = 0x22,
	KEK = 0x44,
	REQUESTER = 0x55,
	TOKEN_A = 0xa1,
	TOKEN_B = 0xa2,
	ERASURE = 0xe1,
};

static struct format_erase_kek keks[LIMIT_ERASE_KEKS + 1];
static struct format_erase erase;
static struct format_statement destroy, absence, wipe;

static const char origin[] = "ledger.example/kmsd";
/* Where things stand in the bytes of `erase`. */
enum {
	AT_ORIGIN = 12,
	AT_IDS = AT_ORIGIN + 2 + sizeof(origin) - 1,
	AT_SCOPE = AT_IDS + 3 * 16,
	AT_SUBJECT = AT_SCOPE + 1,
	AT_TIMES = AT_SUBJECT + 16 + 32,
	AT_WIPES = AT_TIMES + 8 + 8,
	AT_KEKS = AT_WIPES + 1 + 16,
	AT_FIRST_KEK = AT_KEKS + 2,
	KEK_BYTES = 3 * 16 + 4 + 32,
};

static struct format_erased what_dies(void)
{
	return (struct format_erased){.erasure = id_of(ERASURE),
		.erase = hash_of(0x9e),
		.key = id_of(KEY),
		.version = 7,
		.kek = id_of(KEK),
		.commitment = hash_of(0xcc)};
}

static struct format_statement statement_of(enum format_statement_type type)
{
	return (struct format_statement){.type = type,
		.token = id_of(TOKEN_A),
		.tenant = id_of(TENANT),
		.unix_ms = 1795338060000};
}

static void setup(void)
{
	memset(keks, 0, sizeof(keks));
	keks[0] =
		(struct format_erase_kek){id_of(TOKEN_A), id_of(KEK), id_of(KEY), 7, hash_of(0xcc)};
	keks[1] = (struct format_erase_kek){
		id_of(TOKEN_B), id_of(KEK + 1), id_of(KEY), 7, hash_of(0xcd)};
	memset(&erase, 0, sizeof(erase));
	(void)strcpy(erase.origin, origin);
	erase.erasure = id_of(ERASURE);
	erase.tenant = id_of(TENANT);
	erase.requester = id_of(REQUESTER);
	erase.scope = MODEL_ERASE_TENANT;
	erase.subject = id_of(TENANT);
	erase.plan = hash_of(0x99);
	erase.not_before_unix_s = 1795338000;
	erase.expires_unix_s = 1795942800;
	erase.wipe_count = 1;
	erase.wipes[0] = id_of(TOKEN_A);
	erase.kek_count = 2;
	erase.keks = keks;

	destroy = statement_of(FORMAT_STATEMENT_DESTROY);
	destroy.u.destroy = (struct format_destroy){.what = what_dies(),
		.begun_unix_ms = destroy.unix_ms - 1000,
		.found = true,
		.rv = 0,
		.canary_before = true};
	absence = statement_of(FORMAT_STATEMENT_ABSENCE);
	absence.u.absence = (struct format_absence){
		.what = what_dies(), .searched = 12, .matched = 0, .born = 7, .living = 2};
	wipe = statement_of(FORMAT_STATEMENT_WIPE);
	wipe.u.wipe = (struct format_wipe){.erasure = id_of(ERASURE),
		.erase = hash_of(0x9e),
		.begun_unix_ms = wipe.unix_ms - 1000,
		.destroyed = 7,
		.initialised = true,
		.overwritten = true};
}

/* ---- kmsd-erase/1 ---- */

static kms_err read_erase(struct kms_bytes bytes)
{
	KMS_AUTO(format_erase) into = NULL;
	return format_erase_read(bytes, &into);
}

/* What writing says of `erase` as it stands. */
static enum kms_code written(void)
{
	KMS_AUTO_BUF bytes = {0};
	kms_err err = format_erase_write(&erase, &bytes);
	ck_assert(kms_is_ok(err) || bytes.ptr == NULL);
	return err.code;
}

static struct kms_buf erase_bytes(void)
{
	struct kms_buf bytes = {0};
	ck_assert(kms_is_ok(format_erase_write(&erase, &bytes)));
	return bytes;
}

START_TEST(erase_golden_both_ways)
{
	KMS_AUTO_BUF bytes = erase_bytes();
	KMS_AUTO_BUF again = {0};
	KMS_AUTO(format_erase) back = NULL;
	ck_assert_uint_eq(bytes.len, AT_FIRST_KEK + 2 * KEK_BYTES);
	golden_hex("erase.hex", kms_buf_bytes(&bytes));
	ck_assert(kms_is_ok(format_erase_read(kms_buf_bytes(&bytes), &back)));
	ck_assert_str_eq(back->origin, origin);
	ck_assert_int_eq(back->expires_unix_s, 1795942800);
	ck_assert_uint_eq(back->kek_count, 2);
	ck_assert_mem_eq(back->keks, keks, 2 * sizeof(keks[0]));
	ck_assert(kms_is_ok(format_erase_write(back, &again)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_buf_bytes(&again)));
	all_cuts_refused(kms_buf_bytes(&bytes), read_erase);
}
END_TEST

START_TEST(cancel_golden)
{
	const struct kms_id erasure = id_of(ERASURE);
	const struct kms_hash hash = hash_of(0x9e);
	KMS_AUTO_BUF bytes = {0};
	ck_assert(kms_is_ok(format_erase_cancel_write(&erasure, &hash, &bytes)));
	golden_hex("erase-cancel.hex", kms_buf_bytes(&bytes));
	/* Nobody's signature under one is a signature under the other. */
	ck_assert(kms_is(read_erase(kms_buf_bytes(&bytes)), KMS_CODE_FORMAT));
}
END_TEST

START_TEST(erase_reading_is_strict)
{
	KMS_AUTO_BUF buf = erase_bytes();
	const struct {
		size_t at;
		uint8_t value;
		enum kms_code code;
	} changes[] = {
		{0, 'K', KMS_CODE_FORMAT},
		{AT_ORIGIN - 1, '2', KMS_CODE_FORMAT},
		{AT_ORIGIN, 1, KMS_CODE_TOO_LARGE},     /* an origin of 256 bytes and more */
		{AT_ORIGIN + 2, 0, KMS_CODE_FORMAT},    /* NUL in it */
		{AT_ORIGIN + 3, 0x1b, KMS_CODE_FORMAT}, /* would speak to a terminal */
		{AT_ORIGIN + 3, 0xff, KMS_CODE_FORMAT}, /* not UTF-8 */
		{AT_SCOPE, 0, KMS_CODE_FORMAT},
		{AT_SCOPE, 5, KMS_CODE_FORMAT},
		{AT_SCOPE, MODEL_ERASE_KEY, KMS_CODE_FORMAT}, /* with wipes */
		{AT_SUBJECT, 0x12, KMS_CODE_FORMAT},          /* another tenant */
		{AT_TIMES, 0x80, KMS_CODE_FORMAT},
		{AT_TIMES + 8, 0x80, KMS_CODE_FORMAT},
		{AT_TIMES + 8 + 2, 1, KMS_CODE_FORMAT}, /* after the year 9999 */
		{AT_TIMES + 8 + 4, 0, KMS_CODE_FORMAT}, /* it ends before it begins */
		{AT_WIPES, LIMIT_TOKENS + 1, KMS_CODE_TOO_LARGE},
		{AT_KEKS, 0xff, KMS_CODE_TOO_LARGE},
		{AT_KEKS + 1, 1, KMS_CODE_FORMAT},           /* one KEK is left over */
		{AT_FIRST_KEK, 0xa3, KMS_CODE_FORMAT},       /* not sorted */
		{AT_FIRST_KEK + 48 + 3, 0, KMS_CODE_FORMAT}, /* version 0 */
		{AT_FIRST_KEK + 48 + 2, 4, KMS_CODE_TOO_LARGE},
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		enum kms_code code =
			with_byte(kms_buf_bytes(&buf), changes[i].at, changes[i].value, read_erase);
		ck_assert_msg(code == changes[i].code, "change %zu gives %s", i,
			kms_err_name((kms_err){code}));
	}
	/* the same KEK twice */
	memcpy(buf.ptr + AT_FIRST_KEK + KEK_BYTES, buf.ptr + AT_FIRST_KEK, KEK_BYTES);
	ck_assert(kms_is(read_erase(kms_buf_bytes(&buf)), KMS_CODE_FORMAT));

	static uint8_t longest[LIMIT_ERASE_BYTES + 1];
	ck_assert(kms_is(read_erase(KMS_BYTES_OF(longest)), KMS_CODE_TOO_LARGE));
}
END_TEST

START_TEST(no_id_may_be_zero)
{
	static const struct kms_id zero;
	struct kms_id *const ids[] = {&erase.erasure, &erase.tenant, &erase.requester,
		&erase.subject, &erase.wipes[0], &keks[0].token, &keks[0].kek, &keks[0].key};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		setup();
		*ids[i] = zero;
		ck_assert_msg(written() == KMS_CODE_ARGUMENT, "id %zu", i);
	}
}
END_TEST

/* Who signs "key X" signs nothing about another key. */
START_TEST(a_scope_of_one_key_holds_no_other)
{
	const enum model_erase_scope one_key[] = {
		MODEL_ERASE_VERSIONS, MODEL_ERASE_KEY, MODEL_ERASE_DATASET};
	erase.wipe_count = 0;
	for (size_t i = 0; i < 3; i++) {
		erase.scope = one_key[i];
		erase.subject = id_of(one_key[i] == MODEL_ERASE_DATASET ? 0xd5 : KEY);
		keks[1].key = id_of(KEY);
		ck_assert_int_eq(written(), KMS_CODE_OK);
		KMS_AUTO_BUF bytes = erase_bytes();
		size_t second_key = AT_KEKS - 16 + 2 + KEK_BYTES + 32; /* no wipe stands before */
		ck_assert_int_eq(with_byte(kms_buf_bytes(&bytes), second_key, 0x23, read_erase),
			KMS_CODE_FORMAT);
		keks[1].key = id_of(KEY + 1);
		ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	}
	erase.scope = MODEL_ERASE_KEY;
	erase.subject = id_of(KEY + 1); /* the second's, not the first's */
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	erase.scope = MODEL_ERASE_TENANT;
	erase.subject = id_of(TENANT);
	ck_assert_int_eq(written(), KMS_CODE_OK);
}
END_TEST

START_TEST(erase_writing_is_strict)
{
	erase.scope = (enum model_erase_scope)5;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	erase.subject = id_of(TENANT + 1);
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	erase.scope = MODEL_ERASE_KEY;
	erase.subject = id_of(KEY); /* wipes without a tenant */
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	erase.not_before_unix_s = -1;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	erase.not_before_unix_s = erase.expires_unix_s;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	erase.not_before_unix_s--;
	ck_assert_int_eq(written(), KMS_CODE_OK);
	erase.expires_unix_s = 253402300799;
	ck_assert_int_eq(written(), KMS_CODE_OK);
	erase.expires_unix_s++;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	(void)strcpy(erase.origin, "two\nlines");
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	erase.origin[0] = 0;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	keks[1] = keks[0]; /* twice */
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	keks[0].token = id_of(TOKEN_B + 1); /* not sorted */
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	setup();
	erase.wipes[1] = erase.wipes[0];
	erase.wipe_count = 2;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	erase.wipes[1] = id_of(TOKEN_A - 1);
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	erase.wipes[1] = id_of(TOKEN_B);
	ck_assert_int_eq(written(), KMS_CODE_OK);
}
END_TEST

/* The longest erasure there can be. */
static void fill(void)
{
	memset(erase.origin, 'o', sizeof(erase.origin) - 1);
	for (uint32_t i = 0; i < LIMIT_TOKENS; i++) {
		erase.wipes[i] = id_of((uint8_t)(i + 1));
	}
	erase.wipe_count = LIMIT_TOKENS;
	for (uint32_t i = 0; i <= LIMIT_ERASE_KEKS; i++) {
		keks[i] = (struct format_erase_kek){id_of(TOKEN_A), id_of((uint8_t)(i / 200 + 1)),
			id_of(KEY), LIMIT_KEY_VERSIONS, hash_of(0xcc)};
		keks[i].kek.b[15] = (uint8_t)(i % 200);
	}
	erase.kek_count = LIMIT_ERASE_KEKS;
}

START_TEST(erase_limits)
{
	fill();
	KMS_AUTO_BUF bytes = erase_bytes();
	ck_assert_uint_le(bytes.len, LIMIT_ERASE_BYTES);
	ck_assert(kms_is_ok(read_erase(kms_buf_bytes(&bytes))));
	const size_t wipes_at = AT_WIPES - (sizeof(origin) - 1) + 255;
	const size_t keks_at = wipes_at + 1 + (size_t)16 * LIMIT_TOKENS;
	ck_assert_uint_eq(bytes.ptr[wipes_at], LIMIT_TOKENS);
	ck_assert_int_eq(with_byte(kms_buf_bytes(&bytes), wipes_at, LIMIT_TOKENS + 1, read_erase),
		KMS_CODE_TOO_LARGE);
	ck_assert_uint_eq(bytes.ptr[keks_at + 1], LIMIT_ERASE_KEKS & 0xff);
	ck_assert_int_eq(with_byte(kms_buf_bytes(&bytes), keks_at + 1,
				 (LIMIT_ERASE_KEKS & 0xff) + 1, read_erase),
		KMS_CODE_TOO_LARGE);

	erase.kek_count = LIMIT_ERASE_KEKS + 1;
	ck_assert_int_eq(written(), KMS_CODE_TOO_LARGE);
	erase.kek_count = 0; /* wipes alone are something; nothing at all is not */
	ck_assert_int_eq(written(), KMS_CODE_OK);
	erase.wipe_count = 0;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	erase.kek_count = 1;
	erase.wipe_count = LIMIT_TOKENS + 1;
	ck_assert_int_eq(written(), KMS_CODE_TOO_LARGE);
	erase.wipe_count = 0;
	keks[0].version = LIMIT_KEY_VERSIONS + 1;
	ck_assert_int_eq(written(), KMS_CODE_TOO_LARGE);
	keks[0].version = 0;
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
	keks[0].version = 1;
	ck_assert_int_eq(written(), KMS_CODE_OK);
	memset(erase.origin, 'o', sizeof(erase.origin)); /* 256 bytes and no end */
	ck_assert_int_eq(written(), KMS_CODE_ARGUMENT);
}
END_TEST

/* ---- destroy, absence and wipe statements ---- */

static struct format_statement *const statements[] = {&destroy, &absence, &wipe};
static const char *const statement_files[] = {
	"statement-destroy.hex", "statement-absence.hex", "statement-wipe.hex"};

START_TEST(statements_golden_both_ways)
{
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF again = {0};
	struct format_statement back;
	struct kms_bytes part, signature;
	statement_bytes(statements[_i], &bytes);
	golden_hex(statement_files[_i], kms_buf_bytes(&bytes));
	ck_assert(
		kms_is_ok(format_statement_read(kms_buf_bytes(&bytes), &back, &part, &signature)));
	ck_assert_int_eq(back.type, statements[_i]->type);
	statement_bytes(&back, &again);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_buf_bytes(&again)));
	all_cuts_refused(kms_buf_bytes(&bytes), read_statement);
}
END_TEST

/* What writing says of the statement. */
static enum kms_code stated(const struct format_statement *statement)
{
	KMS_AUTO_BUF part = {0};
	return format_statement_write(statement, &part).code;
}

enum { AT_BODY = 4 + 1 + 1 + 16 + 16 + 8, AT_VERSION = AT_BODY + 16 + 32 + 16 };

START_TEST(what_died_is_checked)
{
	static const struct kms_id zero;
	struct format_statement *const both[] = {&destroy, &absence};
	for (size_t i = 0; i < 2; i++) {
		struct format_erased *what =
			i == 0 ? &destroy.u.destroy.what : &absence.u.absence.what;
		struct kms_id *const ids[] = {&what->erasure, &what->key, &what->kek};
		KMS_AUTO_BUF bytes = {0};
		statement_bytes(both[i], &bytes);
		ck_assert_int_eq(
			with_byte(kms_buf_bytes(&bytes), AT_VERSION + 3, 0, read_statement),
			KMS_CODE_FORMAT);
		ck_assert_int_eq(
			with_byte(kms_buf_bytes(&bytes), AT_VERSION + 2, 4, read_statement),
			KMS_CODE_TOO_LARGE);
		for (size_t j = 0; j < 3; j++) {
			struct kms_id was = *ids[j];
			*ids[j] = zero;
			ck_assert_int_eq(stated(both[i]), KMS_CODE_ARGUMENT);
			*ids[j] = was;
		}
		what->version = LIMIT_KEY_VERSIONS;
		ck_assert_int_eq(stated(both[i]), KMS_CODE_OK);
		what->version = LIMIT_KEY_VERSIONS + 1;
		ck_assert_int_eq(stated(both[i]), KMS_CODE_TOO_LARGE);
	}
	wipe.u.wipe.erasure = zero;
	ck_assert_int_eq(stated(&wipe), KMS_CODE_ARGUMENT);
}
END_TEST

/* When it began: any time that there is, also one that a verifier finds wrong. */
START_TEST(the_beginning_is_a_time)
{
	struct format_statement *const both[] = {&destroy, &wipe};
	int64_t *const begun[] = {&destroy.u.destroy.begun_unix_ms, &wipe.u.wipe.begun_unix_ms};
	/* before the rest of the body and the signature */
	const size_t after[] = {8 + 8 + 1 + 64, 8 + 4 + 1 + 64};
	for (size_t i = 0; i < 2; i++) {
		KMS_AUTO_BUF bytes = {0};
		statement_bytes(both[i], &bytes);
		ck_assert_int_eq(with_byte(kms_buf_bytes(&bytes), bytes.len - after[i], 0x80,
					 read_statement),
			KMS_CODE_FORMAT);
		*begun[i] = -1;
		ck_assert_int_eq(stated(both[i]), KMS_CODE_ARGUMENT);
		*begun[i] = both[i]->unix_ms + 1;
		ck_assert_int_eq(stated(both[i]), KMS_CODE_OK);
		*begun[i] = INT64_MAX;
		ck_assert_int_eq(stated(both[i]), KMS_CODE_OK);
	}
}
END_TEST

/* The last byte before the signature: found, canary_before, canary_after. */
START_TEST(a_destroy_statement_does_not_contradict_itself)
{
	KMS_AUTO_BUF bytes = {0};
	statement_bytes(&destroy, &bytes);
	const size_t bits = bytes.len - 64 - 1;
	const bool good[8] = {[0] = true, [1] = true, [3] = true, [7] = true};
	for (uint8_t i = 0; i < 8; i++) {
		enum kms_code code = with_byte(kms_buf_bytes(&bytes), bits, i, read_statement);
		ck_assert_msg(code == (good[i] ? KMS_CODE_OK : KMS_CODE_FORMAT), "bits %u", i);
		destroy.u.destroy.found = (i & 1) != 0;
		destroy.u.destroy.canary_before = (i & 2) != 0;
		destroy.u.destroy.canary_after = (i & 4) != 0;
		ck_assert_int_eq(stated(&destroy), good[i] ? KMS_CODE_OK : KMS_CODE_ARGUMENT);
	}
	ck_assert_int_eq(
		with_byte(kms_buf_bytes(&bytes), bits, 8, read_statement), KMS_CODE_FORMAT);
	/* a call that nobody made has no result */
	destroy.u.destroy = (struct format_destroy){.what = what_dies(), .rv = 5};
	ck_assert_int_eq(stated(&destroy), KMS_CODE_ARGUMENT);
	destroy.u.destroy.found = true;
	ck_assert_int_eq(stated(&destroy), KMS_CODE_OK);
}
END_TEST

START_TEST(absence_and_wipe_do_not_contradict_themselves)
{
	KMS_AUTO_BUF bytes = {0};
	absence.u.absence.matched = 12;
	ck_assert_int_eq(stated(&absence), KMS_CODE_OK); /* bad news, but possible */
	absence.u.absence.matched = 13;
	ck_assert_int_eq(stated(&absence), KMS_CODE_ARGUMENT);
	absence.u.absence.matched = 0;
	absence.u.absence.living = 8;
	ck_assert_int_eq(stated(&absence), KMS_CODE_ARGUMENT);
	absence.u.absence.living = 7;
	statement_bytes(&absence, &bytes);
	const size_t end = bytes.len - 64;
	ck_assert_int_eq(
		with_byte(kms_buf_bytes(&bytes), end - 1, 8, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(
		with_byte(kms_buf_bytes(&bytes), end - 9, 13, read_statement), KMS_CODE_FORMAT);

	KMS_AUTO_BUF wiped = {0};
	statement_bytes(&wipe, &wiped);
	for (unsigned bits = 0; bits < 256; bits++) {
		ck_assert_int_eq(with_byte(kms_buf_bytes(&wiped), wiped.len - 65, (uint8_t)bits,
					 read_statement),
			bits < 4 ? KMS_CODE_OK : KMS_CODE_FORMAT);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {erase_golden_both_ways, cancel_golden,
		erase_reading_is_strict, no_id_may_be_zero, a_scope_of_one_key_holds_no_other,
		erase_writing_is_strict, erase_limits, what_died_is_checked,
		a_destroy_statement_does_not_contradict_itself, the_beginning_is_a_time,
		absence_and_wipe_do_not_contradict_themselves};
	Suite *suite = suite_create("format_erase");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, NULL);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		tcase_add_test(all, tests[i]);
	}
	tcase_add_loop_test(all, statements_golden_both_ways, 0, 3);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
