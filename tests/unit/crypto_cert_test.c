/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and certificate requests of crypto, made and read by OpenSSL's own tool.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto.h"

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

static char directory[64];

static void shell(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

/*
 * ca, ca2 and rsa: self-signed CAs. middle: a CA under ca. leaf: under ca, for storage. plain:
 * under ca, without extensions or common name. deep: under middle. short: under rsa.
 * notca: self-signed without CA:TRUE; under: signed by it. v1: self-signed, from before there were
 * extensions; old: signed by it. weak: under ca, with SHA-1. small: under tiny, 1024 bits of RSA.
 */
static const char MAKE[] =
	"exec 2>make.log; set -e\n"
	"self() { n=$1; shift; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
	"-nodes -keyout $n.key -out $n.pem -subj /CN=$n -days 30 \"$@\"; }\n"
	"issue() { n=$1 ca=$2 subject=$3; shift 3; openssl req -newkey ec "
	"-pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -out $n.csr -subj \"$subject\" "
	"\"$@\"; openssl x509 -req -in $n.csr -CA $ca.pem -CAkey $ca.key -CAcreateserial "
	"-days 30 -out $n.pem -copy_extensions copy; }\n"
	"self ca; self ca2; self notca -addext basicConstraints=critical,CA:FALSE\n"
	"openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -subj /CN=rsa\n"
	"issue leaf ca /O=Example/CN=array-7 "
	"-addext extendedKeyUsage=clientAuth," CRYPTO_PURPOSE_STORAGE "\n"
	"issue plain ca /O=Example\n"
	"issue middle ca /CN=middle -addext basicConstraints=critical,CA:TRUE\n"
	"issue deep middle /CN=deep -addext extendedKeyUsage=anyExtendedKeyUsage\n"
	"issue short rsa /CN=short\n"
	"issue under notca /CN=under\n"
	"openssl req -new -key ca2.key -subj /CN=v1 -out v1.csr; cp ca2.key v1.key\n"
	"openssl x509 -req -in v1.csr -signkey v1.key -out v1.pem; issue old v1 /CN=old\n"
	"openssl x509 -req -sha1 -in leaf.csr -CA ca.pem -CAkey ca.key -out weak.pem\n"
	"openssl req -x509 -newkey rsa:1024 -nodes -keyout tiny.key -out tiny.pem -subj /CN=tiny\n"
	"issue small tiny /CN=small\n";

static void certificates_make(void)
{
	(void)strcpy(directory, "/tmp/kms-cert-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
	shell(MAKE);
}

static void certificates_remove(void)
{
	shell("rm -f ./*");
	ck_assert_int_eq(rmdir(directory), 0);
}

static struct crypto_cert *cert(const char *name)
{
	struct crypto_cert *read = NULL;
	KMS_AUTO_FREE char *path = NULL;
	ck_ok(kms_text(&path, "%s.pem", name));
	ck_ok(crypto_cert_read(path, &read));
	return read;
}

static int64_t now_s(void)
{
	return kms_now_unix_ms() / 1000;
}

/* ---- reading ---- */

START_TEST(pem_and_der_are_the_same_certificate)
{
	KMS_AUTO(crypto_cert) of_pem = cert("leaf");
	KMS_AUTO(crypto_cert) of_der = NULL;
	KMS_AUTO(crypto_cert) none = NULL;
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF made = {0};
	shell("openssl x509 -in leaf.pem -outform DER -out leaf.der && printf x >>leaf.der");
	ck_ok(kms_file_read("leaf.der", 4096, &der));
	ck_code(crypto_cert_parse_der(kms_buf_bytes(&der), &none), FORMAT); /* the x */
	ck_code(crypto_cert_parse_der((struct kms_bytes){der.ptr, der.len - 2}, &none), FORMAT);
	struct kms_bytes exact = {der.ptr, der.len - 1};
	ck_ok(crypto_cert_parse_der(exact, &of_der));
	ck_ok(crypto_cert_der(of_pem, &made));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&made), exact));
	ck_assert_ptr_null(none);
}
END_TEST

START_TEST(the_spki_is_that_of_the_key)
{
	KMS_AUTO(crypto_cert) leaf = cert("leaf");
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO_BUF a = {0};
	KMS_AUTO_BUF b = {0};
	struct kms_hash of_cert;
	struct kms_hash of_key;
	ck_ok(crypto_signer_read("leaf.key", &signer));
	ck_ok(crypto_cert_spki(leaf, &a));
	ck_ok(crypto_signer_spki(signer, &b));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&a), kms_buf_bytes(&b)));
	ck_ok(crypto_cert_spki_hash(leaf, &of_cert));
	ck_ok(crypto_sha256_one(kms_buf_bytes(&b), &of_key));
	ck_assert(kms_hash_equal(&of_cert, &of_key));
}
END_TEST

START_TEST(names_and_times)
{
	KMS_AUTO(crypto_cert) leaf = cert("leaf");
	KMS_AUTO(crypto_cert) plain = cert("plain");
	KMS_AUTO_FREE char *name = NULL;
	KMS_AUTO_FREE char *none = NULL;
	int64_t from = 0;
	int64_t until = 0;
	ck_ok(crypto_cert_name(leaf, &name));
	ck_assert_str_eq(name, "array-7");
	ck_ok(crypto_cert_name(plain, &none));
	ck_assert_str_eq(none, "");
	ck_ok(crypto_cert_times(leaf, &from, &until));
	ck_assert_int_le(from, now_s());
	ck_assert_int_gt(from, now_s() - 600);
	ck_assert_int_eq(until - from, 30 * 24 * 3600);
}
END_TEST

START_TEST(the_storage_purpose)
{
	static const struct {
		const char *name;
		bool has;
	} rows[] = {{"leaf", true}, {"plain", false}, {"deep", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		KMS_AUTO(crypto_cert) one = cert(rows[i].name);
		bool has = !rows[i].has;
		ck_ok(crypto_cert_has_purpose(one, CRYPTO_PURPOSE_STORAGE, &has));
		ck_assert_msg(has == rows[i].has, "%s", rows[i].name);
	}
	KMS_AUTO(crypto_cert) leaf = cert("leaf");
	bool has = false;
	ck_ok(crypto_cert_has_purpose(leaf, "1.3.6.1.5.5.7.3.2", &has)); /* clientAuth */
	ck_assert(has);
	ck_ok(crypto_cert_has_purpose(leaf, "1.3.6.1.5.5.7.3.1", &has)); /* serverAuth */
	ck_assert(!has);
	ck_ok(crypto_cert_has_purpose(leaf, CRYPTO_PURPOSE_STORAGE "0", &has));
	ck_assert(!has);
	ck_code(crypto_cert_has_purpose(leaf, "clientAuth", &has), ARGUMENT);
}
END_TEST

START_TEST(what_is_no_certificate)
{
	KMS_AUTO(crypto_cert) none = NULL;
	ck_code(crypto_cert_read("missing.pem", &none), IO);
	ck_code(crypto_cert_read("leaf.key", &none), FORMAT);
	ck_code(crypto_cert_parse_pem(kms_bytes_str(""), &none), FORMAT);
	ck_code(crypto_cert_parse_der(kms_bytes_str("0"), &none), FORMAT);
	static uint8_t zeros[CRYPTO_CERT_MAX + 1];
	ck_code(crypto_cert_parse_pem((struct kms_bytes){zeros, CRYPTO_CERT_MAX}, &none), FORMAT);
	ck_code(crypto_cert_parse_pem(KMS_BYTES_OF(zeros), &none), TOO_LARGE);
	ck_code(crypto_cert_parse_der((struct kms_bytes){zeros, CRYPTO_CERT_MAX}, &none), FORMAT);
	ck_code(crypto_cert_parse_der(KMS_BYTES_OF(zeros), &none), TOO_LARGE);
	ck_assert_ptr_null(none);
}
END_TEST

/* ---- who issued it ---- */

static const struct {
	const char *name;
	const char *ca;
	int days; /* from now */
	bool issued;
} ISSUED[] = {
	{"leaf", "ca", 0, true},
	{"plain", "ca", 0, true},
	{"middle", "ca", 0, true},
	{"deep", "middle", 0, true}, /* the pinned CA is the anchor, not its issuer */
	{"short", "rsa", 0, true},
	{"leaf", "ca", 29, true},
	{"leaf", "ca", 31, false}, /* expired */
	{"leaf", "ca", -1, false}, /* not yet valid */
	{"leaf", "ca2", 0, false}, /* another CA */
	{"deep", "ca", 0, false},  /* not directly */
	{"under", "notca", 0, false},
	{"old", "v1", 0, false},
	{"weak", "ca", 0, false},
	{"small", "tiny", 0, false},
	{"under", "plain", 0, false},
	{"ca", "ca", 0, false}, /* the CA itself is nobody's certificate */
	{"leaf", "leaf", 0, false},
};

START_TEST(issued_directly_by_the_pinned_ca)
{
	KMS_AUTO(crypto_cert) one = cert(ISSUED[_i].name);
	KMS_AUTO(crypto_cert) ca = cert(ISSUED[_i].ca);
	kms_err err = crypto_cert_check(one, ca, now_s() + ISSUED[_i].days * INT64_C(86400));
	ck_assert_msg(err.code == (ISSUED[_i].issued ? KMS_CODE_OK : KMS_CODE_DENIED),
		"%s by %s: %s", ISSUED[_i].name, ISSUED[_i].ca, kms_err_name(err));
}
END_TEST

START_TEST(a_changed_signature_is_refused)
{
	KMS_AUTO(crypto_cert) leaf = cert("leaf");
	KMS_AUTO(crypto_cert) ca = cert("ca");
	KMS_AUTO(crypto_cert) changed = NULL;
	KMS_AUTO_BUF der = {0};
	ck_ok(crypto_cert_der(leaf, &der));
	der.ptr[der.len - 1] ^= 1;
	ck_ok(crypto_cert_parse_der(kms_buf_bytes(&der), &changed));
	ck_code(crypto_cert_check(changed, ca, now_s()), DENIED);
}
END_TEST

START_TEST(what_a_ca_signed)
{
	static const char *const cas[] = {"ca", "rsa"};
	KMS_AUTO_FREE char *command = NULL;
	KMS_AUTO_BUF sig = {0};
	KMS_AUTO(crypto_cert) ca = cert(cas[_i]);
	KMS_AUTO(crypto_cert) other = cert("ca2");
	ck_ok(kms_text(
		&command, "printf message | openssl dgst -sha256 -sign %s.key -out sig", cas[_i]));
	shell(command);
	ck_ok(kms_file_read("sig", 1024, &sig));
	struct kms_bytes bytes = kms_buf_bytes(&sig);
	ck_ok(crypto_cert_verify(ca, kms_bytes_str("message"), bytes));
	ck_code(crypto_cert_verify(ca, kms_bytes_str("messagf"), bytes), INTEGRITY);
	ck_code(crypto_cert_verify(other, kms_bytes_str("message"), bytes), INTEGRITY);
	ck_code(crypto_cert_verify(ca, kms_bytes_str("message"), kms_bytes_str("")), INTEGRITY);
}
END_TEST

START_TEST(other_kinds_of_ca_keys_sign_nothing_here)
{
	shell("openssl req -x509 -newkey ed25519 -nodes -keyout ed.key -out ed.pem -subj /CN=ed "
	      "2>/dev/null");
	KMS_AUTO(crypto_cert) ed = cert("ed");
	ck_code(crypto_cert_verify(ed, kms_bytes_str("message"), kms_bytes_str("x")), UNSUPPORTED);
}
END_TEST

/* ---- requests ---- */

START_TEST(a_request_that_openssl_verifies)
{
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO(crypto_cert) issued = NULL;
	KMS_AUTO(crypto_cert) ca = cert("ca");
	KMS_AUTO_BUF pem = {0};
	KMS_AUTO_BUF wanted = {0};
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_FREE char *name = NULL;
	ck_ok(crypto_signer_read("leaf.key", &signer));
	ck_ok(crypto_request_make(signer, "token-東京", &pem));
	ck_ok(kms_file_write("request.pem", kms_buf_bytes(&pem), 0644));
	shell("openssl req -in request.pem -verify -noout 2>/dev/null && openssl x509 -req "
	      "-in request.pem -CA ca.pem -CAkey ca.key -out issued.pem 2>/dev/null");
	ck_ok(crypto_cert_read("issued.pem", &issued));
	ck_ok(crypto_cert_check(issued, ca, now_s()));
	ck_ok(crypto_cert_name(issued, &name));
	ck_assert_str_eq(name, "token-東京");
	ck_ok(crypto_cert_spki(issued, &spki));
	ck_ok(crypto_signer_spki(signer, &wanted));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&spki), kms_buf_bytes(&wanted)));
}
END_TEST

START_TEST(a_common_name_has_a_longest_length)
{
	char name[66];
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO_BUF pem = {0};
	KMS_AUTO_BUF none = {0};
	memset(name, 'n', sizeof(name));
	ck_ok(crypto_signer_read("leaf.key", &signer));
	name[65] = '\0';
	ck_code(crypto_request_make(signer, name, &none), ARGUMENT);
	name[64] = '\0'; /* RFC 5280: ub-common-name */
	ck_ok(crypto_request_make(signer, name, &pem));
	ck_code(crypto_request_make(signer, "", &none), ARGUMENT);
	ck_code(crypto_request_make(signer, "\xff", &none), ARGUMENT); /* no UTF-8 */
	ck_assert_ptr_null(none.ptr);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crypto certificates");
	TCase *tcase = tcase_create("certificates");
	tcase_set_timeout(tcase, 30);
	tcase_add_unchecked_fixture(tcase, certificates_make, certificates_remove);
	tcase_add_test(tcase, pem_and_der_are_the_same_certificate);
	tcase_add_test(tcase, the_spki_is_that_of_the_key);
	tcase_add_test(tcase, names_and_times);
	tcase_add_test(tcase, the_storage_purpose);
	tcase_add_test(tcase, what_is_no_certificate);
	tcase_add_loop_test(
		tcase, issued_directly_by_the_pinned_ca, 0, sizeof(ISSUED) / sizeof(ISSUED[0]));
	tcase_add_test(tcase, a_changed_signature_is_refused);
	tcase_add_loop_test(tcase, what_a_ca_signed, 0, 2);
	tcase_add_test(tcase, other_kinds_of_ca_keys_sign_nothing_here);
	tcase_add_test(tcase, a_request_that_openssl_verifies);
	tcase_add_test(tcase, a_common_name_has_a_longest_length);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
