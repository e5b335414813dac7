/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto against Project Wycheproof's vectors, from $KMS_TESTDATA/wycheproof. Without
 * KMS_TESTDATA the whole program is skipped (exit code 77).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "crypto.h"

enum { HEX_MAX = 1024 * 1024 };

static json_t *root;

static void vectors_load(const char *name)
{
	KMS_AUTO_FREE char *path = NULL;
	ck_assert(kms_is_ok(kms_text(&path, "%s/wycheproof/%s", getenv("KMS_TESTDATA"), name)));
	json_error_t error;
	root = json_load_file(path, 0, &error);
	ck_assert_msg(root != NULL, "%s: %s", path, error.text);
}

static void vectors_free(void)
{
	json_decref(root);
	root = NULL;
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	ck_assert_msg(value != NULL, "no %s", name);
	return value;
}

static long long number(const json_t *object, const char *name)
{
	ck_assert(json_is_integer(json_object_get(object, name)));
	return json_integer_value(json_object_get(object, name));
}

static bool valid(const json_t *test)
{
	return strcmp(text(test, "result"), "valid") == 0;
}

static void hex(const json_t *object, const char *name, struct kms_buf *ret_buf)
{
	ck_assert(kms_is_ok(kms_hex_decode(text(object, name), HEX_MAX, ret_buf)));
}

static void hex_secret(const json_t *object, const char *name, struct kms_secret **ret_secret)
{
	KMS_AUTO_BUF bytes = {0};
	hex(object, name, &bytes);
	ck_assert(kms_is_ok(kms_secret_copy(kms_buf_bytes(&bytes), ret_secret)));
}

static void gcm_one(const json_t *test)
{
	long long id = number(test, "tcId");
	KMS_AUTO_BUF nonce = {0};
	KMS_AUTO_BUF aad = {0};
	KMS_AUTO_BUF msg = {0};
	KMS_AUTO_BUF ct = {0};
	KMS_AUTO_BUF tag = {0};
	KMS_AUTO(kms_secret) key = NULL;
	KMS_AUTO(crypto_gcm) gcm = NULL;
	hex(test, "iv", &nonce);
	hex(test, "aad", &aad);
	hex(test, "msg", &msg);
	hex(test, "ct", &ct);
	hex(test, "tag", &tag);
	hex_secret(test, "key", &key);
	ck_assert(kms_is_ok(crypto_gcm_new(key, &gcm)));

	KMS_AUTO_FREE uint8_t *out = malloc(ct.len + 1);
	ck_assert_ptr_nonnull(out);
	kms_err opened = crypto_gcm_open(
		gcm, nonce.ptr, kms_buf_bytes(&aad), kms_buf_bytes(&ct), tag.ptr, out);
	if (!valid(test)) {
		ck_assert_msg(kms_is(opened, KMS_CODE_INTEGRITY), "test %lld opened", id);
		return;
	}
	ck_assert_msg(kms_is_ok(opened), "test %lld: %s", id, kms_err_text(opened));
	ck_assert(kms_bytes_equal((struct kms_bytes){out, ct.len}, kms_buf_bytes(&msg)));

	uint8_t made[CRYPTO_GCM_TAG];
	ck_assert(kms_is_ok(crypto_gcm_seal(
		gcm, nonce.ptr, kms_buf_bytes(&aad), kms_buf_bytes(&msg), out, made)));
	ck_assert(kms_bytes_equal((struct kms_bytes){out, msg.len}, kms_buf_bytes(&ct)));
	ck_assert_msg(memcmp(made, tag.ptr, sizeof(made)) == 0, "test %lld: tag", id);
}

START_TEST(aes_gcm)
{
	vectors_load("aes_gcm_test.json");
	size_t done = 0;
	size_t i = 0;
	const json_t *group = NULL;
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		/* The only sizes that this project uses. */
		if (number(group, "keySize") != 256 || number(group, "ivSize") != 96 ||
			number(group, "tagSize") != 128) {
			continue;
		}
		size_t k = 0;
		const json_t *test = NULL;
		json_array_foreach(json_object_get(group, "tests"), k, test)
		{
			gcm_one(test);
			done++;
		}
	}
	vectors_free();
	ck_assert_uint_ge(done, 60);
}
END_TEST

static void hkdf_one(const json_t *test)
{
	long long id = number(test, "tcId");
	KMS_AUTO_BUF salt = {0};
	KMS_AUTO_BUF info = {0};
	KMS_AUTO_BUF okm = {0};
	KMS_AUTO(kms_secret) key = NULL;
	KMS_AUTO(kms_secret) out = NULL;
	hex(test, "salt", &salt);
	hex(test, "info", &info);
	hex(test, "okm", &okm);
	hex_secret(test, "ikm", &key);
	kms_err err = crypto_hkdf(key, kms_buf_bytes(&salt), kms_buf_bytes(&info),
		(size_t)number(test, "size"), &out);
	if (!valid(test)) {
		ck_assert_msg(kms_is(err, KMS_CODE_TOO_LARGE), "test %lld derived", id);
		return;
	}
	ck_assert_msg(kms_is_ok(err), "test %lld: %s", id, kms_err_text(err));
	ck_assert_msg(kms_bytes_equal(kms_secret_bytes(out), kms_buf_bytes(&okm)),
		"test %lld: other bytes", id);
}

START_TEST(hkdf_sha256)
{
	vectors_load("hkdf_sha256_test.json");
	size_t done = 0;
	size_t i = 0;
	const json_t *group = NULL;
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		size_t k = 0;
		const json_t *test = NULL;
		json_array_foreach(json_object_get(group, "tests"), k, test)
		{
			hkdf_one(test);
			done++;
		}
	}
	vectors_free();
	ck_assert_uint_ge(done, 80);
}
END_TEST

static void ecdsa_one(struct kms_bytes spki, const json_t *test)
{
	long long id = number(test, "tcId");
	KMS_AUTO_BUF msg = {0};
	KMS_AUTO_BUF sig = {0};
	hex(test, "msg", &msg);
	hex(test, "sig", &sig);
	kms_err err = crypto_verify_der(spki, kms_buf_bytes(&msg), kms_buf_bytes(&sig));
	ck_assert_msg(valid(test) ? kms_is_ok(err) : kms_is(err, KMS_CODE_INTEGRITY),
		"test %lld (%s): %s", id, text(test, "comment"), kms_err_text(err));

	/* The other encoding has the same verdict. */
	uint8_t raw[CRYPTO_SIG_RAW];
	if (kms_is_ok(crypto_sig_der_to_raw(kms_buf_bytes(&sig), raw))) {
		kms_err same = crypto_verify_raw(spki, kms_buf_bytes(&msg), raw);
		ck_assert_msg(same.code == err.code, "test %lld: raw and DER differ", id);
	} else {
		ck_assert_msg(!valid(test), "test %lld: valid and not DER", id);
	}
}

START_TEST(ecdsa_p256_sha256)
{
	vectors_load("ecdsa_secp256r1_sha256_test.json");
	size_t done = 0;
	size_t i = 0;
	const json_t *group = NULL;
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		KMS_AUTO_BUF spki = {0};
		hex(group, "publicKeyDer", &spki);
		size_t k = 0;
		const json_t *test = NULL;
		json_array_foreach(json_object_get(group, "tests"), k, test)
		{
			ecdsa_one(kms_buf_bytes(&spki), test);
			done++;
		}
	}
	vectors_free();
	ck_assert_uint_ge(done, 480);
}
END_TEST

START_TEST(ed25519)
{
	vectors_load("ed25519_test.json");
	size_t done = 0;
	size_t i = 0;
	const json_t *group = NULL;
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		KMS_AUTO_BUF key = {0};
		hex(json_object_get(group, "publicKey"), "pk", &key);
		ck_assert_uint_eq(key.len, CRYPTO_ED25519_KEY);
		size_t k = 0;
		const json_t *test = NULL;
		json_array_foreach(json_object_get(group, "tests"), k, test)
		{
			KMS_AUTO_BUF msg = {0};
			KMS_AUTO_BUF sig = {0};
			hex(test, "msg", &msg);
			hex(test, "sig", &sig);
			kms_err err = crypto_verify_ed25519(
				key.ptr, kms_buf_bytes(&msg), kms_buf_bytes(&sig));
			ck_assert_msg(
				valid(test) ? kms_is_ok(err) : kms_is(err, KMS_CODE_INTEGRITY),
				"test %lld (%s): %s", number(test, "tcId"), text(test, "comment"),
				kms_err_text(err));
			done++;
		}
	}
	vectors_free();
	ck_assert_uint_ge(done, 150);
}
END_TEST

int main(void)
{
	enum { SKIPPED = 77 };
	if (getenv("KMS_TESTDATA") == NULL) {
		puts("skipped: KMS_TESTDATA is not set");
		return SKIPPED;
	}
	Suite *suite = suite_create("crypto vectors");
	TCase *tcase = tcase_create("wycheproof");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, aes_gcm);
	tcase_add_test(tcase, hkdf_sha256);
	tcase_add_test(tcase, ecdsa_p256_sha256);
	tcase_add_test(tcase, ed25519);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
