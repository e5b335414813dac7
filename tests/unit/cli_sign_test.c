/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of people: by a key file, and by a P-256 key in SoftHSM through its pkcs11: URI, whose
 * PIN comes from a file. What is not right is refused before anything is signed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_int.h"

#define ck_ok(expr)                                                                                \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(kms_is_ok(ck_err_), "%s: %s", #expr, kms_err_text(ck_err_));         \
	} while (0)
#define ck_code(expr, name)                                                                        \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(ck_err_.code == KMS_CODE_##name, "%s: %s, not " #name, #expr,        \
			kms_err_name(ck_err_));                                                    \
	} while (0)

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define PIN "271828"

static char folder[64];

static char *in_folder(const char *name)
{
	char *path = NULL;
	ck_ok(kms_text(&path, "%s/%s", folder, name));
	return path;
}

static void put(const char *name, const char *text, unsigned mode)
{
	KMS_AUTO_FREE char *path = in_folder(name);
	ck_ok(kms_file_write(path, kms_bytes_str(text), mode));
}

static void shell(const char *command)
{
	KMS_AUTO_FREE char *line = NULL;
	ck_ok(kms_text(&line, "cd %s && { %s; } >/dev/null 2>&1", folder, command));
	ck_assert_msg(system(line) == 0, "%s", command);
}

static void set_up(void)
{
	KMS_AUTO_FREE char *conf = NULL;
	KMS_AUTO_FREE char *tokens = NULL;
	KMS_AUTO_FREE char *key = NULL;
	KMS_AUTO(crypto_signer) signer = NULL;
	(void)snprintf(folder, sizeof(folder), "/tmp/kms-cli-sign.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	conf = in_folder("softhsm2.conf");
	tokens = in_folder("tokens");
	ck_assert_int_eq(mkdir(tokens, 0700), 0);
	KMS_AUTO_FREE char *text = NULL;
	ck_ok(kms_text(&text, "directories.tokendir = %s\nlog.level = ERROR\n", tokens));
	put("softhsm2.conf", text, 0644);
	ck_assert_int_eq(setenv("SOFTHSM2_CONF", conf, 1), 0);
	key = in_folder("key.pem");
	ck_ok(crypto_signer_generate(key, &signer));
	put("pin", PIN "\n", 0600);
	put("wrong", "314159\n", 0600);
	put("open", PIN "\n", 0644);
	shell("softhsm2-util --init-token --free --label Hana --pin " PIN " --so-pin 1234");
	shell("softhsm2-util --import key.pem --token Hana --label approver --id 01 --pin " PIN);
	shell("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out other.pem");
	shell("softhsm2-util --import other.pem --token Hana --label other --id 02 --pin " PIN);
}

static void tear_down(void)
{
	KMS_AUTO_FREE char *line = NULL;
	ck_ok(kms_text(&line, "rm -rf %s", folder));
	ck_assert_int_eq(system(line), 0);
}

/* A URI of our token; `path` and `query` are what follows. */
static kms_err open_uri(const char *path, const char *pin, const char *query)
{
	KMS_AUTO(cli_signer) signer = NULL;
	KMS_AUTO_FREE char *uri = NULL;
	ck_ok(kms_text(&uri, "pkcs11:%s?pin-source=file:%s/%s%s", path, folder, pin, query));
	return cli_signer_open(uri, &signer);
}

/* The public key that belongs to it, and no other, verifies what it signs. */
static void check_signs(const char *where)
{
	static const char message[] = "kmsd-erase/1";
	KMS_AUTO(cli_signer) signer = NULL;
	KMS_AUTO(crypto_signer) file = NULL;
	KMS_AUTO_FREE char *key = in_folder("key.pem");
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_BUF of_file = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	ck_ok(cli_signer_open(where, &signer));
	ck_ok(cli_signer_spki(signer, &spki));
	ck_ok(cli_sign(signer, kms_bytes_str(message), raw));
	ck_ok(crypto_signer_read(key, &file));
	ck_ok(crypto_signer_spki(file, &of_file));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&spki), kms_buf_bytes(&of_file)));
	ck_ok(crypto_verify_raw(kms_buf_bytes(&of_file), kms_bytes_str(message), raw));
	ck_code(crypto_verify_raw(kms_buf_bytes(&of_file), kms_bytes_str("other"), raw), INTEGRITY);
}

START_TEST(a_key_file_signs)
{
	KMS_AUTO_FREE char *key = in_folder("key.pem");
	KMS_AUTO(cli_signer) signer = NULL;
	check_signs(key);
	ck_assert_int_eq(chmod(key, 0644), 0);
	ck_assert(!kms_is_ok(cli_signer_open(key, &signer)));
	ck_assert(!kms_is_ok(cli_signer_open("/nonexistent/key.pem", &signer)));
	ck_assert_ptr_null(signer);
}
END_TEST

START_TEST(a_key_in_a_token_signs)
{
	static const char *const paths[] = {
		"token=Hana;object=approver", "object=approver", "token=Hana;id=%01"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		KMS_AUTO_FREE char *uri = NULL;
		ck_ok(kms_text(&uri, "pkcs11:%s?module-path=" MODULE "&pin-source=file:%s/pin",
			paths[i], folder));
		check_signs(uri);
	}
}
END_TEST

START_TEST(a_pin_in_the_uri_is_refused)
{
	KMS_AUTO(cli_signer) signer = NULL;
	ck_code(cli_signer_open("pkcs11:token=Hana?module-path=" MODULE "&pin-value=" PIN, &signer),
		ARGUMENT);
	ck_assert_ptr_null(signer);
}
END_TEST

#define WITH_MODULE "&module-path=" MODULE

START_TEST(what_the_uri_does_not_name_is_refused)
{
	ck_ok(open_uri("token=Hana;object=approver", "pin", WITH_MODULE));
	ck_code(open_uri("token=Hana;object=approver", "pin", ""), ARGUMENT); /* no module */
	ck_code(open_uri("token=Hana;object=approver", "pin", "&module-path=/nonexistent.so"),
		CONFIG);
	ck_code(open_uri("token=Hanako;object=approver", "pin", WITH_MODULE), NOT_FOUND);
	ck_code(open_uri("token=Hana;serial=0;object=approver", "pin", WITH_MODULE), NOT_FOUND);
	ck_code(open_uri("token=Hana;object=approve", "pin", WITH_MODULE), NOT_FOUND);
	ck_code(open_uri("token=Hana;id=%03", "pin", WITH_MODULE), NOT_FOUND);
	ck_code(open_uri("token=Hana", "pin", WITH_MODULE), ARGUMENT);              /* two keys */
	ck_code(open_uri("token=Hana;object=other", "pin", WITH_MODULE), ARGUMENT); /* P-384 */
	ck_code(open_uri("token=Hana;x-unknown=1", "pin", WITH_MODULE), ARGUMENT);
	ck_code(open_uri("token", "pin", WITH_MODULE), ARGUMENT);
}
END_TEST

START_TEST(a_pin_comes_from_a_file_of_ones_own)
{
	static const char path[] = "token=Hana;object=approver";
	KMS_AUTO(cli_signer) signer = NULL;
	ck_code(open_uri(path, "wrong", WITH_MODULE), TOKEN_REFUSED);
	ck_code(open_uri(path, "open", WITH_MODULE), CONFIG); /* others can read it */
	ck_assert(!kms_is_ok(open_uri(path, "missing", WITH_MODULE)));
	ck_code(cli_signer_open("pkcs11:token=Hana;object=approver?module-path=" MODULE
				"&pin-source=%7Ccat%20pin",
			&signer),
		ARGUMENT); /* no command */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_sign");
	TCase *tcase = tcase_create("cli_sign");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_key_file_signs);
	tcase_add_test(tcase, a_key_in_a_token_signs);
	tcase_add_test(tcase, a_pin_in_the_uri_is_refused);
	tcase_add_test(tcase, what_the_uri_does_not_name_is_refused);
	tcase_add_test(tcase, a_pin_comes_from_a_file_of_ones_own);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
