/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes, derivation, AES-256-GCM and P-256 keys and signatures of crypto. Certificates have a
 * suite of their own (crypto_cert), and so have published vectors (crypto_vectors).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static struct kms_bytes str(const char *text)
{
	return kms_bytes_str(text);
}

static void secret_of_hex(const char *text, struct kms_secret **ret_secret)
{
	KMS_AUTO_BUF bytes = {0};
	ck_ok(kms_hex_decode(text, 1024, &bytes));
	ck_ok(kms_secret_copy(kms_buf_bytes(&bytes), ret_secret));
}

/* ---- hash and HKDF ---- */

START_TEST(sha256_of_parts_is_that_of_the_whole)
{
	char hex[KMS_HASH_TEXT];
	struct kms_hash hash;
	struct kms_bytes parts[] = {str("a"), {NULL, 0}, str("bc")};
	ck_ok(crypto_sha256(parts, 3, &hash)); /* FIPS 180-4's example */
	ck_assert_str_eq(kms_hash_text(&hash, hex),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ck_ok(crypto_sha256(NULL, 0, &hash));
	ck_assert_str_eq(kms_hash_text(&hash, hex),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	struct kms_hash one;
	ck_ok(crypto_sha256_one(str(""), &one));
	ck_assert(kms_hash_equal(&hash, &one));
}
END_TEST

START_TEST(hkdf_has_a_longest_output)
{
	KMS_AUTO(kms_secret) key = NULL;
	secret_of_hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", &key);
	KMS_AUTO(kms_secret) out = NULL;
	ck_ok(crypto_hkdf(key, str(""), str(""), 255 * 32, &out)); /* RFC 5869 section 2.3 */
	ck_assert_uint_eq(kms_secret_len(out), 255 * 32);
	KMS_AUTO(kms_secret) none = NULL;
	ck_code(crypto_hkdf(key, str(""), str(""), 255 * 32 + 1, &none), TOO_LARGE);
	ck_code(crypto_hkdf(key, str(""), str(""), 0, &none), ARGUMENT);
	KMS_AUTO(kms_secret) empty = NULL;
	ck_ok(kms_secret_new(0, &empty));
	ck_code(crypto_hkdf(empty, str(""), str(""), 32, &none), ARGUMENT);
	ck_assert_ptr_null(none);
}
END_TEST

START_TEST(hkdf_separates_by_salt_and_info)
{
	KMS_AUTO(kms_secret) key = NULL;
	KMS_AUTO(kms_secret) a = NULL;
	KMS_AUTO(kms_secret) b = NULL;
	KMS_AUTO(kms_secret) c = NULL;
	secret_of_hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", &key);
	ck_ok(crypto_hkdf(key, str("salt"), str("info"), 32, &a));
	ck_ok(crypto_hkdf(key, str("salt"), str("other"), 32, &b));
	ck_ok(crypto_hkdf(key, str("other"), str("info"), 32, &c));
	ck_assert(!kms_bytes_equal(kms_secret_bytes(a), kms_secret_bytes(b)));
	ck_assert(!kms_bytes_equal(kms_secret_bytes(a), kms_secret_bytes(c)));
}
END_TEST

/* ---- AES-256-GCM ---- */

static const uint8_t NONCE[CRYPTO_GCM_NONCE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static void gcm_of_zeros(struct crypto_gcm **ret_gcm)
{
	KMS_AUTO(kms_secret) key = NULL;
	ck_ok(kms_secret_new(CRYPTO_KEY_BYTES, &key));
	ck_ok(crypto_gcm_new(key, ret_gcm));
}

START_TEST(gcm_opens_what_it_sealed_in_place)
{
	KMS_AUTO(crypto_gcm) gcm = NULL;
	gcm_of_zeros(&gcm);
	uint8_t text[100];
	memset(text, 'x', sizeof(text));
	for (size_t len = 0; len <= sizeof(text); len += 25) {
		uint8_t tag[CRYPTO_GCM_TAG];
		struct kms_bytes in = {text, len};
		ck_ok(crypto_gcm_seal(gcm, NONCE, str("aad"), in, text, tag));
		ck_assert(len == 0 || text[0] != 'x');
		ck_ok(crypto_gcm_open(gcm, NONCE, str("aad"), in, tag, text));
		ck_assert(len == 0 || text[0] == 'x');
	}
}
END_TEST

START_TEST(gcm_without_text_authenticates_the_aad)
{
	KMS_AUTO(crypto_gcm) gcm = NULL;
	gcm_of_zeros(&gcm);
	uint8_t tag[CRYPTO_GCM_TAG];
	struct kms_bytes none = {NULL, 0};
	ck_ok(crypto_gcm_seal(gcm, NONCE, str("aad"), none, NULL, tag));
	ck_ok(crypto_gcm_open(gcm, NONCE, str("aad"), none, tag, NULL));
	ck_code(crypto_gcm_open(gcm, NONCE, str("aae"), none, tag, NULL), INTEGRITY);
	ck_code(crypto_gcm_open(gcm, NONCE, none, none, tag, NULL), INTEGRITY);
}
END_TEST

/* Which of nonce, AAD, text and tag is changed. */
START_TEST(gcm_refuses_a_change_and_wipes)
{
	KMS_AUTO(crypto_gcm) gcm = NULL;
	gcm_of_zeros(&gcm);
	uint8_t nonce[CRYPTO_GCM_NONCE];
	uint8_t aad[] = "context";
	uint8_t text[] = "a data key";
	uint8_t tag[CRYPTO_GCM_TAG];
	uint8_t out[sizeof(text)];
	memcpy(nonce, NONCE, sizeof(nonce));
	ck_ok(crypto_gcm_seal(gcm, nonce, KMS_BYTES_OF(aad), KMS_BYTES_OF(text), text, tag));
	uint8_t *const parts[] = {nonce, aad, text, tag};
	const size_t lens[] = {sizeof(nonce), sizeof(aad), sizeof(text), sizeof(tag)};
	for (size_t at = 0; at < lens[_i]; at++) {
		parts[_i][at] ^= 0x80;
		memset(out, 'x', sizeof(out));
		ck_code(crypto_gcm_open(
				gcm, nonce, KMS_BYTES_OF(aad), KMS_BYTES_OF(text), tag, out),
			INTEGRITY);
		for (size_t k = 0; k < sizeof(out); k++) {
			ck_assert_uint_eq(out[k], 0);
		}
		parts[_i][at] ^= 0x80;
	}
	ck_ok(crypto_gcm_open(gcm, nonce, KMS_BYTES_OF(aad), KMS_BYTES_OF(text), tag, out));
	ck_assert_str_eq((const char *)out, "a data key");
}
END_TEST

START_TEST(gcm_takes_32_bytes_of_key)
{
	for (size_t len = 31; len <= 33; len += 2) {
		KMS_AUTO(kms_secret) key = NULL;
		KMS_AUTO(crypto_gcm) gcm = NULL;
		ck_ok(kms_secret_new(len, &key));
		ck_code(crypto_gcm_new(key, &gcm), ARGUMENT);
		ck_assert_ptr_null(gcm);
	}
}
END_TEST

/* ---- keys and signatures ---- */

static char directory[64];

static void directory_make(void)
{
	(void)strcpy(directory, "/tmp/kms-crypto-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
}

static void shell(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

static void directory_remove(void)
{
	shell("rm -f ./*");
	ck_assert_int_eq(rmdir(directory), 0);
}

static void file_write(const char *name, struct kms_bytes bytes)
{
	ck_ok(kms_file_write(name, bytes, 0600));
}

START_TEST(a_generated_key_is_private_and_never_replaced)
{
	KMS_AUTO(crypto_signer) made = NULL;
	ck_ok(crypto_signer_generate("key.pem", &made));
	struct stat st;
	ck_assert_int_eq(stat("key.pem", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);

	KMS_AUTO(crypto_signer) again = NULL;
	ck_code(crypto_signer_generate("key.pem", &again), EXISTS);
	ck_assert_ptr_null(again);

	KMS_AUTO(crypto_signer) read = NULL;
	KMS_AUTO_BUF a = {0};
	KMS_AUTO_BUF b = {0};
	ck_ok(crypto_signer_read("key.pem", &read));
	ck_ok(crypto_signer_spki(made, &a));
	ck_ok(crypto_signer_spki(read, &b));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&a), kms_buf_bytes(&b)));
	ck_code(crypto_signer_generate("no/such/key.pem", &again), IO);
}
END_TEST

START_TEST(keys_of_other_tools_and_kinds)
{
	KMS_AUTO(crypto_signer) signer = NULL;
	shell("openssl ecparam -name prime256v1 -genkey -out sec1.pem 2>/dev/null");
	ck_ok(crypto_signer_read("sec1.pem", &signer));
	KMS_AUTO(crypto_signer) none = NULL;
	shell("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem "
	      "2>/dev/null");
	ck_code(crypto_signer_read("p384.pem", &none), UNSUPPORTED);
	shell("openssl genpkey -algorithm ED25519 -out ed.pem");
	ck_code(crypto_signer_read("ed.pem", &none), UNSUPPORTED);
	shell("openssl ec -in sec1.pem -aes256 -passout pass:x -out locked.pem 2>/dev/null");
	ck_code(crypto_signer_read("locked.pem", &none), FORMAT); /* and no prompt */
	file_write("text.pem", str("no key"));
	ck_code(crypto_signer_read("text.pem", &none), FORMAT);
	shell("chmod 644 sec1.pem");
	ck_code(crypto_signer_read("sec1.pem", &none), CONFIG);
	ck_code(crypto_signer_read("missing.pem", &none), IO);
	ck_assert_ptr_null(none);
}
END_TEST

START_TEST(signatures_verify_by_one_key_over_one_message)
{
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO(crypto_signer) other = NULL;
	ck_ok(crypto_signer_generate("a.pem", &signer));
	ck_ok(crypto_signer_generate("b.pem", &other));
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_BUF other_spki = {0};
	ck_ok(crypto_signer_spki(signer, &spki));
	ck_ok(crypto_signer_spki(other, &other_spki));
	struct kms_bytes key = kms_buf_bytes(&spki);

	uint8_t raw[CRYPTO_SIG_RAW];
	ck_ok(crypto_sign(signer, str("message"), raw));
	ck_ok(crypto_verify_raw(key, str("message"), raw));
	ck_code(crypto_verify_raw(key, str("messagf"), raw), INTEGRITY);
	ck_code(crypto_verify_raw(kms_buf_bytes(&other_spki), str("message"), raw), INTEGRITY);
	KMS_AUTO_BUF der = {0};
	ck_ok(crypto_sig_raw_to_der(raw, &der));
	ck_ok(crypto_verify_der(key, str("message"), kms_buf_bytes(&der)));
	uint8_t back[CRYPTO_SIG_RAW];
	ck_ok(crypto_sig_der_to_raw(kms_buf_bytes(&der), back));
	ck_assert_int_eq(memcmp(raw, back, sizeof(raw)), 0);

	raw[10] ^= 1;
	ck_code(crypto_verify_raw(key, str("message"), raw), INTEGRITY);
	memset(raw, 0, sizeof(raw));
	ck_code(crypto_verify_raw(key, str("message"), raw), INTEGRITY);
	memset(raw, 0xff, sizeof(raw)); /* past the group's order */
	ck_code(crypto_verify_raw(key, str("message"), raw), INTEGRITY);
}
END_TEST

START_TEST(ed25519_verifies_by_one_key_over_one_message)
{
	/* RFC 8032 section 7.1, tests 1 to 3 */
	static const struct {
		const char *key, *message, *sig;
	} cases[] = {
		{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590"
			"a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e"
			"15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
		{"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d"
			"16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		KMS_AUTO_BUF key = {0};
		KMS_AUTO_BUF message = {0};
		KMS_AUTO_BUF sig = {0};
		ck_ok(kms_hex_decode(cases[i].key, 64, &key));
		ck_ok(kms_hex_decode(cases[i].message, 64, &message));
		ck_ok(kms_hex_decode(cases[i].sig, 128, &sig));
		const struct kms_bytes text = kms_buf_bytes(&message), good = kms_buf_bytes(&sig);
		ck_ok(crypto_verify_ed25519(key.ptr, text, good));
		ck_code(crypto_verify_ed25519(key.ptr, str("other"), good), INTEGRITY);
		for (size_t len = 0; len < good.len; len++) {
			const struct kms_bytes cut = {good.ptr, len};
			ck_code(crypto_verify_ed25519(key.ptr, text, cut), INTEGRITY);
		}
		key.ptr[0] ^= 1;
		ck_code(crypto_verify_ed25519(key.ptr, text, good), INTEGRITY);
		key.ptr[0] ^= 1;
		for (size_t k = 0; k < sig.len; k++) {
			sig.ptr[k] ^= 1;
			ck_code(crypto_verify_ed25519(key.ptr, text, good), INTEGRITY);
			sig.ptr[k] ^= 1;
		}
	}
}
END_TEST

START_TEST(openssl_verifies_our_signature)
{
	KMS_AUTO(crypto_signer) signer = NULL;
	ck_ok(crypto_signer_generate("key.pem", &signer));
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	ck_ok(crypto_sign(signer, str("message"), raw));
	ck_ok(crypto_sig_raw_to_der(raw, &der));
	file_write("sig.der", kms_buf_bytes(&der));
	file_write("message", str("message"));
	shell("openssl dgst -sha256 -prverify key.pem -signature sig.der message >/dev/null");
}
END_TEST

/* r and s whose encodings have edges: one is not DER, or not a signature, for each reason. */
static const char *const BAD_SIGS[] = {
	"",
	"30",
	"3006020101020101"
	"00",             /* a byte after it */
	"30060201010201", /* cut */
	"30070202000102"
	"0101",               /* r with a needless zero */
	"3006020181020101",   /* r negative */
	"308106020101020101", /* long form of a short length */
	"3080020101020101"
	"0000", /* BER's indefinite length */
	"302602210101010101010101010101010101010101010101010101010101010101010101010201"
	"01",
};

START_TEST(signatures_have_one_encoding)
{
	KMS_AUTO_BUF der = {0};
	ck_ok(kms_hex_decode(BAD_SIGS[_i], 128, &der));
	uint8_t raw[CRYPTO_SIG_RAW];
	ck_code(crypto_sig_der_to_raw(kms_buf_bytes(&der), raw), FORMAT);
}
END_TEST

START_TEST(small_and_large_numbers_in_signatures)
{
	static const char *const good[] = {
		"3006020101020101",
		"3006020100020101",   /* zero is well encoded; verifying refuses it */
		"300702020080020101", /* high bit */
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		KMS_AUTO_BUF der = {0};
		KMS_AUTO_BUF again = {0};
		uint8_t raw[CRYPTO_SIG_RAW];
		ck_ok(kms_hex_decode(good[i], 128, &der));
		ck_ok(crypto_sig_der_to_raw(kms_buf_bytes(&der), raw));
		ck_ok(crypto_sig_raw_to_der(raw, &again));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&der), kms_buf_bytes(&again)));
	}
	uint8_t highest[CRYPTO_SIG_RAW];
	memset(highest, 0xff, sizeof(highest));
	KMS_AUTO_BUF longest = {0};
	ck_ok(crypto_sig_raw_to_der(highest, &longest));
	ck_assert_uint_eq(longest.len, 72);
}
END_TEST

START_TEST(a_public_key_has_one_encoding)
{
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO_BUF spki = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	ck_ok(crypto_signer_generate("key.pem", &signer));
	ck_ok(crypto_signer_spki(signer, &spki));
	ck_ok(crypto_sign(signer, str("m"), raw));
	ck_assert_uint_eq(spki.len, 91);

	KMS_AUTO_BUF of_point = {0};
	uint8_t point[65];
	memcpy(point, spki.ptr + spki.len - sizeof(point), sizeof(point));
	ck_ok(crypto_spki_of_point(point, &of_point));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&spki), kms_buf_bytes(&of_point)));
	KMS_AUTO_BUF none = {0};
	point[64] ^= 1; /* off the curve */
	ck_code(crypto_spki_of_point(point, &none), FORMAT);
	point[64] ^= 1;
	for (uint8_t form = 0; form < 8; form++) { /* 6 and 7: X9.62's hybrid form */
		point[0] = form;
		if (form != 4) {
			ck_code(crypto_spki_of_point(point, &none), FORMAT);
		}
	}
	ck_assert_ptr_null(none.ptr);

	shell("openssl ec -in key.pem -pubout -conv_form compressed -outform DER -out c.der "
	      "2>/dev/null");
	KMS_AUTO_BUF compressed = {0};
	ck_ok(kms_file_read("c.der", 1024, &compressed));
	ck_code(crypto_verify_raw(kms_buf_bytes(&compressed), str("m"), raw), FORMAT);
	KMS_AUTO(crypto_signer) uncompressed = NULL;
	KMS_AUTO_BUF same = {0};
	shell("openssl ec -in key.pem -conv_form compressed -out c.pem 2>/dev/null");
	ck_ok(crypto_signer_read("c.pem", &uncompressed));
	ck_ok(crypto_signer_spki(uncompressed, &same));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&same), kms_buf_bytes(&spki)));
	struct kms_bytes cut = {spki.ptr, spki.len - 1};
	ck_code(crypto_verify_raw(cut, str("m"), raw), FORMAT);
	ck_ok(crypto_verify_raw(kms_buf_bytes(&spki), str("m"), raw));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crypto");
	TCase *hash = tcase_create("hash");
	tcase_add_test(hash, sha256_of_parts_is_that_of_the_whole);
	tcase_add_test(hash, hkdf_has_a_longest_output);
	tcase_add_test(hash, hkdf_separates_by_salt_and_info);
	suite_add_tcase(suite, hash);
	TCase *gcm = tcase_create("gcm");
	tcase_add_test(gcm, gcm_opens_what_it_sealed_in_place);
	tcase_add_test(gcm, gcm_without_text_authenticates_the_aad);
	tcase_add_loop_test(gcm, gcm_refuses_a_change_and_wipes, 0, 4);
	tcase_add_test(gcm, gcm_takes_32_bytes_of_key);
	suite_add_tcase(suite, gcm);
	TCase *sign = tcase_create("sign");
	tcase_set_timeout(sign, 30);
	tcase_add_checked_fixture(sign, directory_make, directory_remove);
	tcase_add_test(sign, a_generated_key_is_private_and_never_replaced);
	tcase_add_test(sign, keys_of_other_tools_and_kinds);
	tcase_add_test(sign, signatures_verify_by_one_key_over_one_message);
	tcase_add_test(sign, ed25519_verifies_by_one_key_over_one_message);
	tcase_add_test(sign, openssl_verifies_our_signature);
	tcase_add_loop_test(
		sign, signatures_have_one_encoding, 0, sizeof(BAD_SIGS) / sizeof(BAD_SIGS[0]));
	tcase_add_test(sign, small_and_large_numbers_in_signatures);
	tcase_add_test(sign, a_public_key_has_one_encoding);
	suite_add_tcase(suite, sign);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
