/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms-tokend's PKCS#11 layer against a real SoftHSM: the token's life, what is gone and what is
 * down, signing keys. KEKs are in tokend_kek_test.c; what only a broken module does, in
 * tokend_rv_test.c.
 */
#include "p11_fixture.h"
#include "softhsm_leak.h"

#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>

/* ---- life ---- */

START_TEST(facts_are_the_tokens)
{
	const struct p11_facts *facts = p11_token_facts(p11);
	ck_assert_str_eq(facts->serial, pins.serial);
	ck_assert_uint_eq(strlen(facts->serial), 16);
	ck_assert_str_eq(facts->manufacturer, "SoftHSM project");
	ck_assert_str_eq(facts->model, "SoftHSM v2");
	ck_assert_str_eq(facts->firmware, "2.6");
	struct kms_buf file = {0};
	struct kms_hash hash;
	ck_ok(kms_file_read(SOFTHSM, P11_MODULE_MAX, &file));
	ck_ok(crypto_sha256_one(kms_buf_bytes(&file), &hash));
	kms_buf_free(&file);
	ck_assert(kms_hash_equal(&hash, &facts->module));
	ck_ok(p11_ping(p11));
}
END_TEST

START_TEST(init_refuses_a_label_that_exists)
{
	p11_free(&p11);
	struct kms_secret *pin = pin_new(PIN);
	struct p11_pins other;
	ck_code(p11_init_token(&profile, pin, &other), EXISTS);
	ck_code(p11_init_token(&profile, NULL, &other), CONFIG);
	kms_secret_free(&pin);
	ck_ok(open_token());
}
END_TEST

START_TEST(a_wrong_pin_is_a_clear_error)
{
	p11_free(&p11);
	struct kms_secret *pin = pin_new("0123456789abcdef0123456789abcdee");
	ck_code(p11_open(&profile, &pins, &pin, &p11), CONFIG);
	ck_assert_ptr_null(pin);
	ck_assert_ptr_null(p11);
	ck_code(p11_open(&profile, &pins, &pin, &p11), CONFIG); /* no PIN at all */
	ck_ok(open_token());
}
END_TEST

START_TEST(another_token_is_refused)
{
	p11_free(&p11);
	struct p11_pins right = pins;
	pins.canary.b[31] ^= 1;
	ck_code(open_token(), PINS);
	pins = right;
	pins.serial[0] = pins.serial[0] == '0' ? '1' : '0';
	ck_code(open_token(), TOKEN_DOWN);
	pins = right;
	pins.serial[0] = '\0';
	ck_ok(open_token());
	p11_free(&p11);
	struct kms_hash hash = {{1}};
	profile.module_hash = &hash;
	ck_code(open_token(), PINS);
}
END_TEST

START_TEST(bad_profiles_are_refused)
{
	p11_free(&p11);
	profile.module = "libsofthsm2.so";
	ck_code(open_token(), CONFIG);
	profile.module = "/bin/sh";
	ck_code(open_token(), CONFIG);
	profile_fill("/tmp/p11\nlog.level = DEBUG");
	ck_code(open_token(), CONFIG);
	profile_fill(dir);
	profile.label = "123456789012345678901234567890123"; /* one past P11_LABEL_MAX */
	ck_code(open_token(), CONFIG);
	profile.label = "12345678901234567890123456789012"; /* fine, but no such token */
	ck_code(open_token(), TOKEN_DOWN);
	profile_fill(dir);
	ck_assert_int_eq(chmod(dir, 0750), 0);
	ck_code(open_token(), CONFIG);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	ck_ok(open_token());
}
END_TEST

START_TEST(a_cut_token_object_is_put_back)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	const char *path, *copy;
	p11_free(&p11);
	char folder[256];
	strcpy(folder, token_folder());
	path = path_of("%s/token.object", folder);
	copy = path_of("%s/%s.token.object", dir, strrchr(folder, '/') + 1);
	struct stat st;
	ck_assert_int_eq(stat(path, &st), 0);
	for (off_t len = 0; len < st.st_size; len += st.st_size / 2) {
		ck_assert_int_eq(truncate(path, len), 0);
		ck_ok(open_token());
		ck_ok(p11_kek_find(p11, &kek_id, &kek));
		p11_free(&p11);
	}
	/* without a copy there is no way back, and no pretending */
	ck_assert_int_eq(unlink(copy), 0);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_code(open_token(), TOKEN_DOWN);
}
END_TEST

/* Handles are small numbers that SoftHSM gives out again: a cached one must not mean another key.
 */
START_TEST(a_handle_of_an_earlier_open_is_found_again)
{
	struct p11_kek_facts facts, other_facts;
	struct p11_kek kek = kek_new(&facts);
	struct p11_kek other;
	struct kms_id other_id = {{0x99}};
	struct kms_hash commitment;
	ck_ok(p11_kek_generate(p11, &other_id, &other, &other_facts));
	p11_free(&p11);
	ck_ok(open_token());
	unsigned long swapped = kek.object;
	kek.object = other.object;
	other.object = swapped;
	ck_ok(p11_kek_find(p11, &other_id, &(struct p11_kek){0}));
	ck_ok(p11_kek_find(p11, &kek_id, &(struct p11_kek){0}));
	ck_ok(p11_kek_commitment(p11, &kek, &commitment));
	ck_assert(kms_hash_equal(&commitment, &facts.commitment));
	ck_ok(p11_kek_commitment(p11, &other, &commitment));
	ck_assert(kms_hash_equal(&commitment, &other_facts.commitment));
}
END_TEST

static void *release(void *arg)
{
	struct timespec pause = {.tv_nsec = 300 * 1000000L};
	nanosleep(&pause, NULL);
	flock(*(int *)arg, LOCK_UN);
	return NULL;
}

START_TEST(open_waits_for_the_lock)
{
	const char *path;
	pthread_t thread;
	p11_free(&p11);
	path = path_of("%s/p11.lock", dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	int64_t from = kms_monotonic_ms();
	ck_assert_int_eq(pthread_create(&thread, NULL, release, &fd), 0);
	ck_ok(open_token());
	ck_assert_int_ge(kms_monotonic_ms() - from, 290);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	/* serialise_create: making a key waits too, and gives up in the end */
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	struct p11_kek kek;
	struct p11_kek_facts facts;
	ck_code(p11_kek_generate(p11, &kek_id, &kek, &facts), TIMEOUT);
	close(fd);
	ck_ok(p11_kek_generate(p11, &kek_id, &kek, &facts));
}
END_TEST

/* ---- gone, or down ---- */

START_TEST(destroy_is_confirmed)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	struct kms_secret *key = key_new(1, 32);
	uint8_t sealed[32 + P11_GCM_TAG];
	ck_ok(p11_kek_destroy(p11, &kek_id));
	ck_code(p11_kek_destroy(p11, &kek_id), NOT_FOUND);
	ck_code(p11_kek_find(p11, &kek_id, &kek), NOT_FOUND);
	ck_code(p11_gcm_encrypt(p11, &kek, nonce, (struct kms_bytes){0}, key, sealed), NOT_FOUND);
	ck_ok(p11_ping(p11));
	kms_secret_free(&key);
}
END_TEST

/* argv of the other process: destroy DIR SERIAL CANARY */
static int other_process(char **argv)
{
	profile_fill(argv[2]);
	struct kms_secret *pin = NULL;
	snprintf(pins.serial, sizeof(pins.serial), "%s", argv[3]);
	if (!kms_is_ok(kms_hash_parse(argv[4], &pins.canary)) ||
		!kms_is_ok(kms_secret_copy(kms_bytes_str(PIN), &pin)) ||
		!kms_is_ok(p11_open(&profile, &pins, &pin, &p11))) {
		return 1;
	}
	kms_err err = p11_kek_destroy(p11, &kek_id);
	p11_free(&p11);
	return kms_is_ok(err) ? 0 : 2;
}

START_TEST(destroyed_by_another_process_is_gone)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	struct kms_secret *key = key_new(1, 32);
	struct kms_secret *back = NULL;
	uint8_t sealed[32 + P11_GCM_TAG];
	char canary[KMS_HASH_TEXT];
	ck_ok(p11_gcm_encrypt(p11, &kek, nonce, (struct kms_bytes){0}, key, sealed));
	(void)kms_hash_text(&pins.canary, canary);
	char *argv[] = {
		(char[]){"/proc/self/exe"}, (char[]){"destroy"}, dir, pins.serial, canary, NULL};
	run(argv);
	ck_code(p11_gcm_decrypt(
			p11, &kek, nonce, (struct kms_bytes){0}, KMS_BYTES_OF(sealed), &back),
		NOT_FOUND);
	ck_code(p11_kek_find(p11, &kek_id, &kek), NOT_FOUND);
	ck_code(p11_kek_destroy(p11, &kek_id), NOT_FOUND);
	ck_ok(p11_ping(p11));
	kms_secret_free(&key);
}
END_TEST

START_TEST(a_moved_directory_is_down_and_comes_back)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	struct p11_kek found;
	struct kms_secret *key = key_new(1, 32);
	struct kms_secret *back = NULL;
	struct p11_object *objects = NULL;
	size_t count = 0;
	uint8_t sealed[32 + P11_GCM_TAG];
	const char *tokens, *away;
	ck_ok(p11_gcm_encrypt(p11, &kek, nonce, (struct kms_bytes){0}, key, sealed));
	tokens = path_of("%s/tokens", dir);
	away = path_of("%s/away", dir);
	ck_assert_int_eq(rename(tokens, away), 0);
	ck_code(p11_gcm_decrypt(
			p11, &kek, nonce, (struct kms_bytes){0}, KMS_BYTES_OF(sealed), &back),
		TOKEN_DOWN);
	ck_code(p11_kek_find(p11, &kek_id, &found), TOKEN_DOWN);
	ck_code(p11_kek_destroy(p11, &kek_id), TOKEN_DOWN);
	ck_code(p11_object_list(p11, &objects, &count), TOKEN_DOWN);
	ck_code(p11_ping(p11), TOKEN_DOWN);
	ck_code(p11_reopen(p11), TOKEN_DOWN);
	ck_code(p11_gcm_encrypt(p11, &kek, nonce, (struct kms_bytes){0}, key, sealed), TOKEN_DOWN);

	ck_assert_int_eq(rename(away, tokens), 0);
	ck_ok(p11_reopen(p11));
	ck_ok(p11_gcm_decrypt(
		p11, &kek, nonce, (struct kms_bytes){0}, KMS_BYTES_OF(sealed), &back));
	ck_assert(kms_bytes_equal(kms_secret_bytes(key), kms_secret_bytes(back)));
	kms_secret_free(&back);
	kms_secret_free(&key);
}
END_TEST

/* A descriptor table that was full once makes SoftHSM deny every key until it is started anew. */
START_TEST(a_full_descriptor_table_destroys_nothing)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	struct kms_hash commitment;
	struct rlimit old, none;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	kms_err err = p11_kek_commitment(p11, &kek, &commitment);
	kms_err found = p11_kek_find(p11, &kek_id, &kek);
	kms_err destroyed = p11_kek_destroy(p11, &kek_id);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_code(err, TOKEN_DOWN);
	ck_code(found, TOKEN_DOWN);
	ck_code(destroyed, TOKEN_DOWN);
	ck_ok(p11_reopen(p11));
	ck_ok(p11_kek_commitment(p11, &kek, &commitment));
	ck_assert(kms_hash_equal(&commitment, &facts.commitment));
}
END_TEST

/* ---- signing keys ---- */

START_TEST(a_sign_key_signs)
{
	struct p11_sign_key key, again;
	struct kms_bytes message = kms_bytes_str("a checkpoint");
	struct kms_buf spki = {0};
	uint8_t raw[P11_SIG];
	ck_code(p11_sign_key_find(p11, P11_SIGN_P256, "ledger", &key), NOT_FOUND);
	ck_ok(p11_sign_key_generate(p11, P11_SIGN_P256, "ledger", &key));
	ck_code(p11_sign_key_generate(p11, P11_SIGN_P256, "ledger", &again), EXISTS);
	ck_ok(p11_sign_key_generate(
		p11, P11_SIGN_P256, "12345678901234567890123456789012", &again));
	ck_assert(memcmp(key.point, again.point, P11_POINT) != 0);
	ck_code(p11_sign_key_generate(
			p11, P11_SIGN_P256, "123456789012345678901234567890123", &again),
		ARGUMENT);
	ck_code(p11_sign_key_generate(p11, P11_SIGN_P256, "", &again), ARGUMENT);
	p11_free(&p11);
	ck_ok(open_token());
	ck_ok(p11_sign_key_find(p11, P11_SIGN_P256, "ledger", &again));
	ck_assert(memcmp(key.point, again.point, P11_POINT) == 0);
	ck_ok(p11_sign_key_spki(&again, &spki));
	ck_ok(p11_sign(p11, &again, message, raw));
	ck_ok(crypto_verify_raw(kms_buf_bytes(&spki), message, raw));
	ck_code(crypto_verify_raw(kms_buf_bytes(&spki), kms_bytes_str("another"), raw), INTEGRITY);
	kms_buf_free(&spki);
	ck_ok(p11_reopen(p11));
	ck_ok(p11_sign(p11, &again, message, raw)); /* the handle is found again */

	struct raw raw_key = raw_find(CKO_PRIVATE_KEY, &key.id);
	CK_BBOOL extractable = CK_TRUE;
	CK_ATTRIBUTE attribute = {CKA_EXTRACTABLE, &extractable, 1};
	ck_assert_uint_eq(
		raw_key.fn->C_GetAttributeValue(raw_key.session, raw_key.object, &attribute, 1),
		CKR_OK);
	ck_assert_uint_eq(extractable, CK_FALSE);
	struct p11_object *objects = NULL;
	size_t count = 1;
	ck_ok(p11_object_list(p11, &objects, &count)); /* sign keys are none of the sweep's */
	ck_assert_uint_eq(count, 0);
	free(objects);
}
END_TEST

START_TEST(an_ed25519_sign_key_signs)
{
	struct p11_sign_key key, again, p256;
	struct kms_bytes message = kms_bytes_str("a checkpoint");
	KMS_AUTO_BUF spki = {0};
	uint8_t raw[P11_SIG];
	const struct kms_bytes sig = KMS_BYTES_OF(raw);
	ck_code(p11_sign_key_find(p11, P11_SIGN_ED25519, "second", &key), NOT_FOUND);
	ck_ok(p11_sign_key_generate(p11, P11_SIGN_ED25519, "second", &key));
	ck_code(p11_sign_key_generate(p11, P11_SIGN_ED25519, "second", &again), EXISTS);
	ck_code(p11_sign_key_generate(p11, P11_SIGN_P256, "second", &again), EXISTS);
	ck_ok(p11_sign_key_generate(p11, P11_SIGN_P256, "ledger", &p256));
	p11_free(&p11);
	ck_ok(open_token());
	ck_ok(p11_sign_key_find(p11, P11_SIGN_ED25519, "second", &again));
	ck_assert(memcmp(key.point, again.point, P11_ED25519) == 0);
	ck_code(p11_sign_key_spki(&again, &spki), ARGUMENT);
	ck_ok(p11_sign(p11, &again, message, raw));
	ck_ok(crypto_verify_ed25519(again.point, message, sig));
	ck_code(crypto_verify_ed25519(again.point, kms_bytes_str("another"), sig), INTEGRITY);
	ck_ok(p11_reopen(p11));
	ck_ok(p11_sign(p11, &again, kms_bytes_str(""), raw)); /* the handle is found again */
	ck_ok(crypto_verify_ed25519(again.point, kms_bytes_str(""), sig));
	/* neither is taken for the other */
	ck_code(p11_sign_key_find(p11, P11_SIGN_P256, "second", &again), CONFIG);
	ck_code(p11_sign_key_find(p11, P11_SIGN_ED25519, "ledger", &again), CONFIG);

	static const struct {
		CK_ATTRIBUTE_TYPE type;
		CK_BBOOL value;
	} wanted[] = {{CKA_EXTRACTABLE, CK_FALSE}, {CKA_SENSITIVE, CK_TRUE}, {CKA_SIGN, CK_TRUE},
		{CKA_DERIVE, CK_FALSE}, {CKA_DECRYPT, CK_FALSE}, {CKA_UNWRAP, CK_FALSE}};
	struct raw raw_key = raw_find(CKO_PRIVATE_KEY, &key.id);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		CK_BBOOL value = !wanted[i].value;
		CK_ATTRIBUTE attribute = {wanted[i].type, &value, 1};
		ck_assert_uint_eq(raw_key.fn->C_GetAttributeValue(
					  raw_key.session, raw_key.object, &attribute, 1),
			CKR_OK);
		ck_assert_uint_eq(value, wanted[i].value);
	}
}
END_TEST

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "destroy") == 0) {
		return other_process(argv);
	}
	Suite *suite = suite_create("tokend_p11");
	TCase *tcase = tcase_create("softhsm");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, facts_are_the_tokens);
	tcase_add_test(tcase, init_refuses_a_label_that_exists);
	tcase_add_test(tcase, a_wrong_pin_is_a_clear_error);
	tcase_add_test(tcase, another_token_is_refused);
	tcase_add_test(tcase, bad_profiles_are_refused);
	tcase_add_test(tcase, a_cut_token_object_is_put_back);
	tcase_add_test(tcase, a_handle_of_an_earlier_open_is_found_again);
	tcase_add_test(tcase, open_waits_for_the_lock);
	tcase_add_test(tcase, destroy_is_confirmed);
	tcase_add_test(tcase, destroyed_by_another_process_is_gone);
	tcase_add_test(tcase, a_moved_directory_is_down_and_comes_back);
	tcase_add_test(tcase, a_full_descriptor_table_destroys_nothing);
	tcase_add_test(tcase, a_sign_key_signs);
	tcase_add_test(tcase, an_ed25519_sign_key_signs);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
