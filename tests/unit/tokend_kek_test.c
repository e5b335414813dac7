/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KEKs of kms-tokend's PKCS#11 layer against a real SoftHSM: birth, AES-GCM, random bytes, and the
 * list of half-made objects for the sweep.
 */
#include "p11_fixture.h"

/* ---- KEKs ---- */

START_TEST(a_kek_is_born_as_asked)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	ck_assert_uint_eq(facts.bits, 256);
	ck_assert(facts.sensitive && facts.always_sensitive && facts.never_extractable);
	ck_assert(facts.local && !facts.extractable && facts.mechanisms_limited);
	ck_assert_int_eq(facts.copyable, P11_NO);
	ck_assert_int_eq(facts.modifiable, P11_NO);
	ck_assert_int_eq(facts.destroyable, P11_YES);
	ck_assert_str_eq(facts.unique_id, "");
	struct kms_hash again;
	ck_ok(p11_kek_commitment(p11, &kek, &again));
	ck_assert(kms_hash_equal(&again, &facts.commitment));

	struct p11_kek other;
	struct p11_kek_facts other_facts;
	struct kms_id other_id = {{0x99}};
	ck_ok(p11_kek_generate(p11, &other_id, &other, &other_facts));
	ck_assert(!kms_hash_equal(&other_facts.commitment, &facts.commitment));

	struct kms_id zero = {0};
	ck_code(p11_kek_generate(p11, &kek_id, &other, &other_facts), EXISTS);
	ck_code(p11_kek_generate(p11, &zero, &other, &other_facts), ARGUMENT);
	ck_code(p11_kek_find(p11, &zero, &other), ARGUMENT);
	ck_code(p11_kek_destroy(p11, &zero), ARGUMENT);
}
END_TEST

/* The token itself holds the template, and the reference's commitment, by raw calls. */
START_TEST(the_token_holds_the_template)
{
	struct p11_kek_facts facts;
	(void)kek_new(&facts);
	struct raw raw = raw_find(CKO_SECRET_KEY, &kek_id);
	CK_BBOOL yes = CK_TRUE;
	CK_BBOOL value = CK_FALSE;
	CK_ATTRIBUTE private = {CKA_PRIVATE, &value, 1};
	ck_assert_uint_eq(
		raw.fn->C_GetAttributeValue(raw.session, raw.object, &private, 1), CKR_OK);
	ck_assert_uint_eq(value, CK_TRUE);
	CK_ATTRIBUTE weaker = {CKA_EXTRACTABLE, &yes, 1};
	ck_assert_uint_ne(raw.fn->C_SetAttributeValue(raw.session, raw.object, &weaker, 1), CKR_OK);
	CK_OBJECT_HANDLE copy;
	ck_assert_uint_ne(raw.fn->C_CopyObject(raw.session, raw.object, NULL, 0, &copy), CKR_OK);
	uint8_t bytes[64];
	CK_ATTRIBUTE secret = {CKA_VALUE, bytes, sizeof(bytes)};
	ck_assert_uint_eq(raw.fn->C_GetAttributeValue(raw.session, raw.object, &secret, 1),
		CKR_ATTRIBUTE_SENSITIVE);
	CK_MECHANISM cbc = {CKM_AES_CBC, bytes, 16};
	ck_assert_uint_ne(raw.fn->C_EncryptInit(raw.session, &cbc, raw.object), CKR_OK);

	struct kms_hash a, b;
	uint8_t blocks[32], out[32];
	CK_ULONG len = sizeof(out);
	CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
	ck_ok(crypto_sha256_one(kms_bytes_str("kmsd/commit/1/a"), &a));
	ck_ok(crypto_sha256_one(kms_bytes_str("kmsd/commit/1/b"), &b));
	memset(blocks, 0xff, sizeof(blocks));
	memcpy(blocks, a.b, 12);
	memcpy(blocks + 16, b.b, 12);
	ck_assert_uint_eq(raw.fn->C_EncryptInit(raw.session, &ecb, raw.object), CKR_OK);
	ck_assert_uint_eq(
		raw.fn->C_Encrypt(raw.session, blocks, sizeof(blocks), out, &len), CKR_OK);
	ck_ok(crypto_sha256_one(KMS_BYTES_OF(out), &a));
	ck_assert(kms_hash_equal(&a, &facts.commitment));
}
END_TEST

START_TEST(gcm_opens_what_it_sealed_and_nothing_else)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	struct kms_bytes aad = kms_bytes_str("context");
	struct kms_secret *key = key_new(0x5a, 32);
	struct kms_secret *back = NULL;
	uint8_t sealed[32 + P11_GCM_TAG];
	uint8_t other_nonce[P11_GCM_NONCE] = {9};
	ck_ok(p11_gcm_encrypt(p11, &kek, nonce, aad, key, sealed));
	ck_ok(p11_gcm_decrypt(p11, &kek, nonce, aad, KMS_BYTES_OF(sealed), &back));
	ck_assert(kms_bytes_equal(kms_secret_bytes(key), kms_secret_bytes(back)));
	kms_secret_free(&back);

	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 0x80;
		ck_code(p11_gcm_decrypt(p11, &kek, nonce, aad, KMS_BYTES_OF(sealed), &back),
			INTEGRITY);
		sealed[i] ^= 0x80;
	}
	ck_code(p11_gcm_decrypt(p11, &kek, other_nonce, aad, KMS_BYTES_OF(sealed), &back),
		INTEGRITY);
	ck_code(p11_gcm_decrypt(
			p11, &kek, nonce, kms_bytes_str("contexT"), KMS_BYTES_OF(sealed), &back),
		INTEGRITY);
	struct kms_bytes cut = {sealed, P11_GCM_TAG};
	ck_code(p11_gcm_decrypt(p11, &kek, nonce, aad, cut, &back), TRUNCATED);
	cut.len = P11_GCM_TAG + 1;
	ck_code(p11_gcm_decrypt(p11, &kek, nonce, aad, cut, &back), INTEGRITY);
	ck_assert_ptr_null(back);
	/* and the session still works */
	ck_ok(p11_gcm_decrypt(p11, &kek, nonce, aad, KMS_BYTES_OF(sealed), &back));
	kms_secret_free(&back);
	kms_secret_free(&key);
}
END_TEST

START_TEST(gcm_keeps_its_limits)
{
	struct p11_kek_facts facts;
	struct p11_kek kek = kek_new(&facts);
	static uint8_t sealed[P11_GCM_MAX + P11_GCM_TAG + 1];
	static const uint8_t text[P11_GCM_MAX + 1];
	struct kms_bytes most = {text, P11_GCM_MAX};
	struct kms_bytes more = {text, P11_GCM_MAX + 1};
	struct kms_secret *none = key_new(0, 0);
	struct kms_secret *key = key_new(7, P11_GCM_MAX);
	struct kms_secret *long_key = key_new(7, P11_GCM_MAX + 1);
	struct kms_secret *back = NULL;
	ck_ok(p11_gcm_encrypt(p11, &kek, nonce, most, key, sealed));
	ck_code(p11_gcm_encrypt(p11, &kek, nonce, more, key, sealed), TOO_LARGE);
	ck_code(p11_gcm_encrypt(p11, &kek, nonce, most, long_key, sealed), TOO_LARGE);
	ck_code(p11_gcm_encrypt(p11, &kek, nonce, most, none, sealed), ARGUMENT);
	struct kms_bytes in = {sealed, P11_GCM_MAX + P11_GCM_TAG};
	ck_ok(p11_gcm_decrypt(p11, &kek, nonce, most, in, &back));
	ck_assert(kms_bytes_equal(kms_secret_bytes(key), kms_secret_bytes(back)));
	kms_secret_free(&back);
	ck_code(p11_gcm_decrypt(p11, &kek, nonce, more, in, &back), TOO_LARGE);
	in.len++;
	ck_code(p11_gcm_decrypt(p11, &kek, nonce, most, in, &back), TOO_LARGE);
	kms_secret_free(&none);
	kms_secret_free(&key);
	kms_secret_free(&long_key);
}
END_TEST

START_TEST(random_has_its_length)
{
	struct kms_secret *a = NULL, *b = NULL;
	ck_ok(p11_random(p11, 32, &a));
	ck_ok(p11_random(p11, 32, &b));
	ck_assert_uint_eq(kms_secret_len(a), 32);
	ck_assert(!kms_bytes_equal(kms_secret_bytes(a), kms_secret_bytes(b)));
	kms_secret_free(&a);
	kms_secret_free(&b);
	ck_ok(p11_random(p11, KMS_SECRET_MAX, &a));
	kms_secret_free(&a);
	ck_code(p11_random(p11, KMS_SECRET_MAX + 1, &a), TOO_LARGE);
	ck_code(p11_random(p11, 0, &a), ARGUMENT);
}
END_TEST

/* ---- the sweep ---- */

/* The KEK's own file: the newest object that is not the token's or the canary's. */
static void copy_object(const char *folder, const char *name, size_t len)
{
	const char *path;
	struct kms_buf whole = {0};
	DIR *d = opendir(folder);
	for (struct dirent *e = readdir(d); e != NULL && whole.len == 0; e = readdir(d)) {
		if (strlen(e->d_name) == 43) {
			path = path_of("%s/%s", folder, e->d_name);
			kms_buf_free(&whole); /* of an empty one */
			ck_ok(kms_file_read(path, 65536, &whole));
		}
	}
	closedir(d);
	ck_assert_uint_gt(whole.len, len);
	path = path_of("%s/%s", folder, name);
	ck_ok(kms_file_write(path, (struct kms_bytes){whole.ptr, len}, 0600));
	kms_buf_free(&whole);
}

START_TEST(half_made_objects_are_listed_and_swept)
{
	static const char empty[] = "00000000-0000-4000-8000-000000000001.object";
	static const char cut[] = "00000000-0000-4000-8000-000000000002.object";
	static const char bare[] = "00000000-0000-4000-8000-000000000003.object";
	static const char begun[] = "00000000-0000-4000-8000-000000000004.object";
	struct p11_kek_facts facts;
	struct p11_object *objects = NULL;
	size_t count = 0, whole = 0, files = 0, bares = 0;
	const char *path;
	(void)kek_new(&facts);
	p11_free(&p11);
	char folder[256];
	strcpy(folder, token_folder());
	copy_object(folder, empty, 0);
	copy_object(folder, cut, 100);
	/* a generation number, CKA_CLASS, CKA_TOKEN, CKA_PRIVATE: an object, but no key */
	copy_object(folder, bare, 8 + 24 + 17 + 17);
	/* a generation number alone: SoftHSM's first write of an object, which it reads as one */
	copy_object(folder, begun, 8);
	ck_ok(kms_file_write(path_of("%s/%.36s.lock", folder, bare), (struct kms_bytes){0}, 0600));
	ck_ok(kms_file_write(path_of("%s/%.36s.lock", folder, begun), (struct kms_bytes){0}, 0600));
	ck_ok(open_token());
	ck_ok(p11_object_list(p11, &objects, &count));
	for (size_t i = 0; i < count; i++) {
		if (objects[i].whole) {
			ck_assert(kms_id_equal(&objects[i].id, &kek_id));
			ck_code(p11_object_destroy(p11, &(struct p11_object){.object = 424242,
								.epoch = objects[i].epoch}),
				NOT_FOUND);
			whole++;
			continue;
		}
		files += objects[i].file[0] != '\0';
		bares += objects[i].file[0] == '\0';
		ck_assert(kms_id_is_zero(&objects[i].id));
		ck_ok(p11_object_destroy(p11, &objects[i]));
		ck_code(p11_object_destroy(p11, &objects[i]), NOT_FOUND);
	}
	ck_assert_uint_eq(whole, 1);
	ck_assert_uint_eq(files, 2);
	ck_assert_uint_eq(bares, 2);
	free(objects);
	ck_ok(p11_object_list(p11, &objects, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert(objects[0].whole);
	path = path_of("%s/%s", folder, cut);
	ck_assert_int_ne(access(path, F_OK), 0);

	/* a file that is an object is not swept as litter, nor a name from elsewhere */
	copy_object(folder, bare, 8 + 24 + 17 + 17);
	struct p11_object wrong = {0};
	strcpy(wrong.file, bare);
	ck_code(p11_object_destroy(p11, &wrong), ARGUMENT);
	strcpy(wrong.file, "token.object");
	ck_code(p11_object_destroy(p11, &wrong), ARGUMENT);
	ck_ok(p11_object_destroy(p11, &objects[0]));
	free(objects);
	struct p11_kek kek;
	ck_code(p11_kek_find(p11, &kek_id, &kek), NOT_FOUND);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tokend_kek");
	TCase *tcase = tcase_create("softhsm");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_kek_is_born_as_asked);
	tcase_add_test(tcase, the_token_holds_the_template);
	tcase_add_test(tcase, gcm_opens_what_it_sealed_and_nothing_else);
	tcase_add_test(tcase, gcm_keeps_its_limits);
	tcase_add_test(tcase, random_has_its_length);
	tcase_add_test(tcase, half_made_objects_are_listed_and_swept);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
