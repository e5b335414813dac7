/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proof vectors of transparency-dev/merkle, in $KMS_TESTDATA/merkle. Each file is one proof and
 * whether it must be refused. Without KMS_TESTDATA: exit 77, skipped.
 *
 * The upstream verifier takes hashes of any length; ours has no room for one that is not 32 bytes,
 * so a case with such a hash counts as refused. One case that must pass has them; it is named.
 */
#include <check.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tlog.h"

enum { CASES = 98, EXIT_SKIPPED = 77 }; /* of each kind */

/* Good for upstream, though its roots are 12 bytes long: refused here. */
static const char SHORT_ROOTS[] = "sizes are equal (one) and proof is empty";

/* nftw(3) passes no pointer. */
static unsigned seen;
static unsigned good;
static unsigned not_32_bytes;
static unsigned short_roots;

/* The sizes of some cases are over 2^63, so integers come as reals; from 2^53 on only "more than
 * any tree has" matters. */
static uint64_t number_of(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	ck_assert_msg(json_is_real(value), "no number %s", name);
	double number = json_real_value(value);
	return number >= 9007199254740992.0 ? UINT64_MAX : (uint64_t)number;
}

/* False when it is not 32 bytes. */
static bool hash_of(const json_t *value, struct kms_hash *ret_hash)
{
	ck_assert(json_is_string(value));
	KMS_AUTO_BUF bytes = {0};
	ck_assert(kms_is_ok(kms_base64_decode(
		json_string_value(value), json_string_length(value), 4096, &bytes)));
	if (bytes.len != sizeof(ret_hash->b)) {
		return false;
	}
	memcpy(ret_hash->b, bytes.ptr, bytes.len);
	return true;
}

static bool member_hash(const json_t *object, const char *name, struct kms_hash *ret_hash)
{
	return hash_of(json_object_get(object, name), ret_hash);
}

static bool proof_of(const json_t *object, struct tlog_proof *ret_proof)
{
	const json_t *array = json_object_get(object, "proof");
	ck_assert(json_is_array(array) || json_is_null(array));
	ck_assert_uint_le(json_array_size(array), TLOG_PROOF_MAX);
	ret_proof->count = (unsigned)json_array_size(array);
	for (unsigned i = 0; i < ret_proof->count; i++) {
		if (!hash_of(json_array_get(array, i), &ret_proof->hashes[i])) {
			return false;
		}
	}
	return true;
}

/* Count the case, and compare ours with upstream's verdict. */
static void judge(const char *path, const json_t *object, bool whole, kms_err err)
{
	const char *name = json_string_value(json_object_get(object, "desc"));
	const json_t *want = json_object_get(object, "wantErr");
	ck_assert(name != NULL && json_is_boolean(want));
	bool wanted = json_is_false(want);
	seen++;
	not_32_bytes += whole ? 0 : 1;
	if (wanted && !whole) {
		ck_assert_str_eq(name, SHORT_ROOTS);
		short_roots++;
		return;
	}
	bool passed = whole && kms_is_ok(err);
	ck_assert_msg(passed == wanted, "%s: %s", path, kms_err_text(err));
	good += passed ? 1 : 0;
}

static void inclusion(const char *path, const json_t *object)
{
	struct tlog_proof proof = {0};
	struct kms_hash leaf;
	struct kms_hash root;
	kms_err err = KMS_ERR(FORMAT);
	bool whole = proof_of(object, &proof) && member_hash(object, "leafHash", &leaf) &&
		     member_hash(object, "root", &root);
	if (whole) {
		err = tlog_check_inclusion(&leaf, number_of(object, "leafIdx"),
			number_of(object, "treeSize"), &proof, &root);
	}
	judge(path, object, whole, err);
}

static void consistency(const char *path, const json_t *object)
{
	struct tlog_proof proof = {0};
	struct kms_hash old_root;
	struct kms_hash root;
	kms_err err = KMS_ERR(FORMAT);
	bool whole = proof_of(object, &proof) && member_hash(object, "root1", &old_root) &&
		     member_hash(object, "root2", &root);
	if (whole) {
		uint64_t old_size = number_of(object, "size1");
		err = tlog_check_consistency(
			old_size, &old_root, number_of(object, "size2"), &root, &proof);
		/* a size of 0 is refused for what it is, whatever else is wrong */
		ck_assert(kms_is(err, KMS_CODE_ARGUMENT) == (old_size == 0));
	}
	judge(path, object, whole, err);
}

static json_t *load(const char *path)
{
	json_error_t error;
	json_t *object = json_load_file(path, JSON_DECODE_INT_AS_REAL, &error);
	ck_assert_msg(json_is_object(object), "%s: %s", path, error.text);
	return object;
}

static int visit_inclusion(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_F) {
		json_t *object = load(path);
		inclusion(path, object);
		json_decref(object);
	}
	return 0;
}

static int visit_consistency(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_F) {
		json_t *object = load(path);
		consistency(path, object);
		json_decref(object);
	}
	return 0;
}

static void walk(const char *folder, __nftw_func_t visit)
{
	KMS_AUTO_FREE char *path = NULL;
	ck_assert(kms_is_ok(kms_text(&path, "%s/merkle/%s", getenv("KMS_TESTDATA"), folder)));
	ck_assert_int_eq(nftw(path, visit, 8, FTW_PHYS), 0);
}

START_TEST(inclusion_vectors)
{
	walk("inclusion", visit_inclusion);
	ck_assert_uint_eq(seen, CASES);
	ck_assert_uint_eq(good, 6);
	ck_assert_uint_eq(not_32_bytes, 26);
	ck_assert_uint_eq(short_roots, 0);
}
END_TEST

START_TEST(consistency_vectors)
{
	walk("consistency", visit_consistency);
	ck_assert_uint_eq(seen, CASES);
	ck_assert_uint_eq(good, 5);
	ck_assert_uint_eq(not_32_bytes, 27);
	ck_assert_uint_eq(short_roots, 1);
}
END_TEST

int main(void)
{
	if (getenv("KMS_TESTDATA") == NULL) {
		(void)puts("skipped: KMS_TESTDATA is not set, so there are no proof vectors");
		return EXIT_SKIPPED;
	}
	Suite *suite = suite_create("tlog_vectors");
	TCase *tcase = tcase_create("vectors");
	tcase_add_test(tcase, inclusion_vectors);
	tcase_add_test(tcase, consistency_vectors);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
