/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms-tokend's PKCS#11 layer against a module that fails and lies: what each CK_RV becomes, what is
 * mended, and what is refused.
 */
#include "no_leak_check.h"
#include "p11_fixture.h"
#include "p11_shim.h"

static struct shim *shim;
static struct p11_kek kek;
static struct kms_secret *key;
static uint8_t sealed[32 + P11_GCM_TAG];

static const char *shim_path(void)
{
	char self[400];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	ck_assert_int_gt(len, 0);
	self[len] = '\0';
	*strrchr(self, '/') = '\0';
	return path_of("%s/p11_shim.so", self);
}

static void setup_shim(void)
{
	static char path[512];
	setup();
	struct p11_kek_facts facts;
	kek = kek_new(&facts);
	key = key_new(0x42, 32);
	ck_ok(p11_gcm_encrypt(p11, &kek, nonce, (struct kms_bytes){0}, key, sealed));
	p11_free(&p11);
	strcpy(path, shim_path());
	profile.module = path;
	ck_ok(open_token());
	struct shim *(*control)(void);
	void *symbol = dlsym(dlopen(path, RTLD_NOW), "shim_control");
	memcpy(&control, &symbol, sizeof(control));
	shim = control();
	shim->logins = 0;
}

static void teardown_shim(void)
{
	memset(shim, 0, offsetof(struct shim, logins));
	kms_secret_free(&key);
	teardown();
}

static void inject(const char *function, CK_RV rv, unsigned times)
{
	shim->function = function;
	shim->rv = rv;
	shim->times = times;
	shim->skip = 0;
}

static kms_err encrypt_once(void)
{
	uint8_t out[32 + P11_GCM_TAG];
	return p11_gcm_encrypt(p11, &kek, nonce, (struct kms_bytes){0}, key, out);
}

static kms_err decrypt_once(void)
{
	struct kms_secret *back = NULL;
	kms_err err = p11_gcm_decrypt(
		p11, &kek, nonce, (struct kms_bytes){0}, KMS_BYTES_OF(sealed), &back);
	if (kms_is_ok(err)) {
		ck_assert(kms_bytes_equal(kms_secret_bytes(key), kms_secret_bytes(back)));
	}
	kms_secret_free(&back);
	return err;
}

/* ---- the table ---- */

enum { ALWAYS = 1000 };

static const struct {
	const char *function;
	CK_RV rv;
	unsigned times;
	enum kms_code expected;
} encrypt_rows[] = {
	/* mended, and not seen outside */
	{"C_EncryptInit", CKR_KEY_HANDLE_INVALID, 1, KMS_CODE_OK},
	{"C_EncryptInit", CKR_OBJECT_HANDLE_INVALID, 1, KMS_CODE_OK},
	{"C_EncryptInit", CKR_USER_NOT_LOGGED_IN, 1, KMS_CODE_OK},
	{"C_EncryptInit", CKR_SESSION_HANDLE_INVALID, 1, KMS_CODE_OK},
	{"C_Encrypt", CKR_SESSION_CLOSED, 1, KMS_CODE_OK},
	{"C_Encrypt", CKR_OPERATION_NOT_INITIALIZED, 1, KMS_CODE_OK},
	{"C_EncryptInit", CKR_OPERATION_ACTIVE, 1, KMS_CODE_OK},
	/* not mended by one repetition; the canary is well, or is not */
	{"C_EncryptInit", CKR_KEY_HANDLE_INVALID, 2, KMS_CODE_INTERNAL},
	{"C_EncryptInit", CKR_KEY_HANDLE_INVALID, ALWAYS, KMS_CODE_TOKEN_DOWN},
	{"C_EncryptInit", CKR_SESSION_HANDLE_INVALID, ALWAYS, KMS_CODE_TOKEN_DOWN},
	{"C_Encrypt", CKR_GENERAL_ERROR, 1, KMS_CODE_INTERNAL},
	{"C_Encrypt", CKR_GENERAL_ERROR, ALWAYS, KMS_CODE_TOKEN_DOWN},
	{"C_Encrypt", CKR_FUNCTION_FAILED, 1, KMS_CODE_INTERNAL},
	{"C_Encrypt", CKR_VENDOR_DEFINED | 7, 1, KMS_CODE_INTERNAL},
	{"C_Encrypt", CKR_VENDOR_DEFINED | 7, ALWAYS, KMS_CODE_TOKEN_DOWN},
	{"C_EncryptInit", CKR_MECHANISM_INVALID, 1, KMS_CODE_INTERNAL},
	{"C_Encrypt", CKR_DATA_LEN_RANGE, 1, KMS_CODE_INTERNAL},
	/* said outright */
	{"C_Encrypt", CKR_DEVICE_ERROR, 1, KMS_CODE_TOKEN_DOWN},
	{"C_Encrypt", CKR_DEVICE_REMOVED, 1, KMS_CODE_TOKEN_DOWN},
	{"C_EncryptInit", CKR_TOKEN_NOT_PRESENT, 1, KMS_CODE_TOKEN_DOWN},
	{"C_EncryptInit", CKR_CRYPTOKI_NOT_INITIALIZED, 1, KMS_CODE_TOKEN_DOWN},
	{"C_EncryptInit", CKR_PIN_EXPIRED, 1, KMS_CODE_CONFIG},
};

START_TEST(encrypt_row)
{
	inject(encrypt_rows[_i].function, encrypt_rows[_i].rv, encrypt_rows[_i].times);
	ck_assert_int_eq(encrypt_once().code, encrypt_rows[_i].expected);
	ck_assert_uint_eq(shim->times == 0 || encrypt_rows[_i].times == ALWAYS, 1);
	/* whatever it was, it leaves no trace when it is over */
	inject(NULL, CKR_OK, 0);
	ck_ok(encrypt_once());
	ck_ok(decrypt_once());
}
END_TEST

static const struct {
	CK_RV rv;
	unsigned times;
	enum kms_code expected;
} decrypt_rows[] = {
	{CKR_GENERAL_ERROR, 1, KMS_CODE_INTEGRITY}, /* SoftHSM's word for a bad tag */
	{CKR_ENCRYPTED_DATA_INVALID, 1, KMS_CODE_INTEGRITY},
	{0x42 /* CKR_AEAD_DECRYPT_FAILED, v3.0 */, 1, KMS_CODE_INTEGRITY},
	{CKR_DEVICE_ERROR, 1, KMS_CODE_TOKEN_DOWN},
	{CKR_SESSION_HANDLE_INVALID, 1, KMS_CODE_OK},
	{CKR_BUFFER_TOO_SMALL, 1, KMS_CODE_INTERNAL},
};

START_TEST(decrypt_row)
{
	inject("C_Decrypt", decrypt_rows[_i].rv, decrypt_rows[_i].times);
	ck_assert_int_eq(decrypt_once().code, decrypt_rows[_i].expected);
	ck_ok(decrypt_once());
}
END_TEST

/* A bad tag's GENERAL_ERROR with a canary that does not answer is a token that is down. */
START_TEST(bad_ciphertext_needs_a_canary)
{
	sealed[0] ^= 1;
	ck_code(decrypt_once(), INTEGRITY);
	inject("C_EncryptInit", CKR_GENERAL_ERROR, ALWAYS);
	ck_code(decrypt_once(), TOKEN_DOWN);
}
END_TEST

START_TEST(other_calls_are_judged_alike)
{
	struct kms_secret *random = NULL;
	struct p11_kek found;
	inject("C_GenerateRandom", CKR_SESSION_HANDLE_INVALID, 1);
	ck_ok(p11_random(p11, 16, &random));
	kms_secret_free(&random);
	inject("C_GenerateRandom", CKR_DEVICE_ERROR, 1);
	ck_code(p11_random(p11, 16, &random), TOKEN_DOWN);
	inject("C_FindObjectsInit", CKR_GENERAL_ERROR, 1);
	ck_code(p11_kek_find(p11, &kek_id, &found), INTERNAL);
	inject("C_FindObjectsInit", CKR_SESSION_CLOSED, 1);
	ck_ok(p11_kek_find(p11, &kek_id, &found));
	struct p11_sign_key sign_key;
	ck_ok(p11_sign_key_generate(p11, P11_SIGN_P256, "ledger", &sign_key));
	uint8_t raw[P11_SIG];
	inject("C_Sign", CKR_SESSION_HANDLE_INVALID, 1);
	ck_ok(p11_sign(p11, &sign_key, kms_bytes_str("x"), raw));
	inject("C_Sign", CKR_GENERAL_ERROR, 1);
	ck_code(p11_sign(p11, &sign_key, kms_bytes_str("x"), raw), INTERNAL);
	inject("C_EncryptInit", CKR_DEVICE_ERROR, ALWAYS);
	ck_code(p11_ping(p11), TOKEN_DOWN);
	struct kms_id id = {{0x77}};
	struct p11_kek_facts facts;
	inject("C_GenerateKey", CKR_DEVICE_MEMORY, 1);
	ck_code(p11_kek_generate(p11, &id, &found, &facts), CONFIG);
}
END_TEST

/* What a token without Ed25519 answers, or one that does it badly; and nothing is left of the
 * trial, nor is a P-256 key touched by it. */
START_TEST(a_token_without_ed25519_says_so)
{
	no_leak_check();
	struct p11_sign_key made, found, p256;
	bool *const lies[] = {
		&shim->no_ed25519, &shim->ed25519_lies, &shim->ed25519_short, &shim->ed25519_weak};
	const enum kms_code codes[] = {
		KMS_CODE_INTERNAL, KMS_CODE_CONFIG, KMS_CODE_INTERNAL, KMS_CODE_CONFIG};
	ck_ok(p11_sign_key_generate(p11, P11_SIGN_P256, "ledger", &p256));
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		*lies[i] = true;
		kms_err err = p11_sign_key_generate(p11, P11_SIGN_ED25519, "second", &made);
		ck_assert_msg(kms_is(err, codes[i]), "%zu: %s", i, kms_err_name(err));
		ck_code(p11_sign_key_find(p11, P11_SIGN_ED25519, "second", &found), NOT_FOUND);
		ck_ok(p11_sign_key_find(p11, P11_SIGN_P256, "ledger", &found));
		*lies[i] = false;
	}
	/* once the token does it well, it does; and a lie later on is seen at the next start */
	ck_ok(p11_sign_key_generate(p11, P11_SIGN_ED25519, "second", &made));
	ck_ok(p11_sign_key_find(p11, P11_SIGN_ED25519, "second", &found));
	shim->ed25519_lies = true;
	ck_code(p11_sign_key_find(p11, P11_SIGN_ED25519, "second", &found), CONFIG);
}
END_TEST

/* ---- login ---- */

static void log_out(void)
{
	struct raw raw = raw_open();
	ck_assert_uint_eq(raw.fn->C_Logout(raw.session), CKR_OK);
}

START_TEST(a_lost_login_is_made_again)
{
	log_out();
	ck_ok(decrypt_once());
	ck_assert_uint_eq(shim->logins, 1);
	log_out();
	ck_ok(p11_ping(p11));
	ck_assert_uint_eq(shim->logins, 2);
}
END_TEST

/* Without a login a search finds nothing, and says OK: never "the key is gone". */
START_TEST(a_lost_login_hides_nothing)
{
	struct p11_kek found;
	struct p11_kek_facts facts;
	struct p11_object *objects = NULL;
	size_t count = 0;
	log_out();
	ck_ok(p11_kek_find(p11, &kek_id, &found));
	log_out();
	ck_code(p11_kek_generate(p11, &kek_id, &found, &facts), EXISTS);
	log_out();
	ck_ok(p11_object_list(p11, &objects, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert(objects[0].whole);
	log_out();
	ck_code(p11_object_destroy(p11, &objects[0]), TOKEN_DOWN); /* a handle of the last login */
	free(objects);
	log_out();
	ck_ok(p11_kek_destroy(p11, &kek_id));
	log_out();
	ck_code(p11_kek_destroy(p11, &kek_id), NOT_FOUND);
}
END_TEST

START_TEST(a_refused_pin_is_never_tried_again)
{
	log_out();
	inject("C_Login", CKR_PIN_INCORRECT, 1);
	ck_code(decrypt_once(), CONFIG);
	ck_code(decrypt_once(), CONFIG);
	ck_code(p11_reopen(p11), CONFIG);
	ck_code(p11_ping(p11), TOKEN_DOWN);
	ck_assert_uint_eq(shim->logins, 1);
	p11_free(&p11);
	shim->logins = 0;
	inject("C_Login", CKR_PIN_LOCKED, 1);
	ck_code(open_token(), CONFIG);
	ck_assert_uint_eq(shim->logins, 1);
}
END_TEST

/* ---- lies ---- */

static const CK_ATTRIBUTE_TYPE weak[] = {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE,
	CKA_ALWAYS_SENSITIVE, CKA_EXTRACTABLE, CKA_NEVER_EXTRACTABLE, CKA_LOCAL, CKA_ENCRYPT,
	CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE, CKA_SIGN, CKA_VERIFY, CKA_DESTROYABLE};

START_TEST(a_weaker_kek_is_refused)
{
	struct kms_id id = {{0x77}};
	struct p11_kek made;
	struct p11_kek_facts facts;
	shim->flip = weak[_i];
	ck_code(p11_kek_generate(p11, &id, &made, &facts), CONFIG);
	shim->flip = 0;
	ck_code(p11_kek_find(p11, &id, &made), NOT_FOUND);
	ck_ok(p11_kek_generate(p11, &id, &made, &facts));
}
END_TEST

START_TEST(a_false_gcm_is_refused)
{
	struct kms_id id = {{0x77}};
	struct p11_kek made;
	struct p11_kek_facts facts;
	shim->encrypt_lies = true;
	ck_code(p11_kek_generate(p11, &id, &made, &facts), CONFIG);
	shim->encrypt_lies = false;
	shim->decrypt_lies = true;
	ck_code(p11_kek_generate(p11, &id, &made, &facts), CONFIG);
	shim->decrypt_lies = false;
	ck_code(p11_kek_find(p11, &id, &made), NOT_FOUND);
}
END_TEST

START_TEST(an_unknown_attribute_is_left_out_and_said)
{
	struct kms_id id = {{0x77}};
	struct p11_kek made;
	struct p11_kek_facts facts;
	inject("C_GenerateKey", CKR_ATTRIBUTE_TYPE_INVALID, 1);
	ck_ok(p11_kek_generate(p11, &id, &made, &facts));
	ck_assert(!facts.mechanisms_limited);
	ck_assert_int_eq(facts.copyable, P11_NO);
	id.b[1] = 1;
	inject("C_GenerateKey", CKR_TEMPLATE_INCONSISTENT, 3);
	ck_ok(p11_kek_generate(p11, &id, &made, &facts));
	ck_assert_int_eq(facts.copyable, P11_YES);
	ck_assert_int_eq(facts.modifiable, P11_YES);
	id.b[1] = 2;
	inject("C_GenerateKey", CKR_TEMPLATE_INCONSISTENT, 4);
	ck_code(p11_kek_generate(p11, &id, &made, &facts), INTERNAL);
}
END_TEST

START_TEST(a_key_that_was_made_twice_is_not_born)
{
	struct kms_id id = {{0x77}};
	struct p11_kek made;
	struct p11_kek_facts facts;
	shim->generate_lost = true;
	ck_code(p11_kek_generate(p11, &id, &made, &facts), EXISTS);
	/* one was destroyed again, the other is the sweep's */
	struct p11_object *objects = NULL;
	size_t count = 0;
	ck_ok(p11_object_list(p11, &objects, &count));
	ck_assert_uint_eq(count, 2);
	free(objects);
	ck_ok(p11_kek_destroy(p11, &id));
}
END_TEST

START_TEST(a_destruction_that_did_not_happen_is_not_confirmed)
{
	shim->destroy_lies = true;
	ck_code(p11_kek_destroy(p11, &kek_id), INTERNAL);
	struct p11_object *objects = NULL;
	size_t count = 0;
	ck_ok(p11_object_list(p11, &objects, &count));
	ck_assert_uint_eq(count, 1);
	ck_code(p11_object_destroy(p11, &objects[0]), INTERNAL);
	shim->destroy_lies = false;
	inject("C_EncryptInit", CKR_GENERAL_ERROR, ALWAYS); /* the canary is not well */
	ck_code(p11_kek_destroy(p11, &kek_id), TOKEN_DOWN);
	inject(NULL, CKR_OK, 0);
	ck_code(p11_kek_destroy(p11, &kek_id), NOT_FOUND);
	free(objects);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
	Suite *suite = suite_create("tokend_rv");
	TCase *tcase = tcase_create("shim");
	tcase_add_checked_fixture(tcase, setup_shim, teardown_shim);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, encrypt_row, 0, COUNT(encrypt_rows));
	tcase_add_loop_test(tcase, decrypt_row, 0, COUNT(decrypt_rows));
	tcase_add_test(tcase, bad_ciphertext_needs_a_canary);
	tcase_add_test(tcase, other_calls_are_judged_alike);
	tcase_add_test(tcase, a_token_without_ed25519_says_so);
	tcase_add_test(tcase, a_lost_login_is_made_again);
	tcase_add_test(tcase, a_lost_login_hides_nothing);
	tcase_add_test(tcase, a_refused_pin_is_never_tried_again);
	tcase_add_loop_test(tcase, a_weaker_kek_is_refused, 0, COUNT(weak));
	tcase_add_test(tcase, a_false_gcm_is_refused);
	tcase_add_test(tcase, an_unknown_attribute_is_left_out_and_said);
	tcase_add_test(tcase, a_key_that_was_made_twice_is_not_born);
	tcase_add_test(tcase, a_destruction_that_did_not_happen_is_not_confirmed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
