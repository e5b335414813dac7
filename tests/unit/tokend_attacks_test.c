/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks on an erasure from below kms-tokend, numbered as in docs/threat-model.md: a PKCS#11
 * module that says OK and keeps the key (8), another key under the id of the one that must go (9),
 * and what a key that was kept is recognised by (3).
 */
#include "tokend_erase_fixture.h"

#include "p11_shim.h"

#include <dlfcn.h>

static struct shim *shim;

/* The token goes on with another module under it. */
static void go_on_with(const char *module)
{
	stop();
	shell("sed 's,^module: .*,module: %s,' $KMS_SOURCE/pkcs11-profiles/softhsm.yaml "
	      "> %s/module.yaml && sed -i 's,^profile: .*,profile: %s/module.yaml,' %s/owner.yaml",
		module, dir, dir, dir);
	ck_ok(start());
}

static void with_shim(void)
{
	char self[400];
	fresh_erase();
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	ck_assert_int_gt(len, 0);
	self[len] = '\0';
	*strrchr(self, '/') = '\0';
	const char *path = path_of("%s/p11_shim.so", self);
	go_on_with(path);
	struct shim *(*control)(void);
	void *symbol = dlsym(dlopen(path, RTLD_NOW), "shim_control");
	memcpy(&control, &symbol, sizeof(control));
	shim = control();
	draft();
	sign_draft();
	ck_ok(open_it());
}

/* How the module lies, and whether anything of it can be seen through it. */
static const struct {
	bool lies, feigns, is_found, works;
} ways[] = {
	{.lies = true}, {.feigns = true, .is_found = true}, /* the search sees it */
	{.feigns = true, .works = true},                    /* the canary does */
	{.feigns = true, .is_found = true, .works = true},  /* both do */
};

START_TEST(attack_8_a_module_that_keeps_the_key_is_seen)
{
	shim->destroy_lies = ways[_i].lies;
	shim->destroy_feigns = ways[_i].feigns;
	shim->feigned_is_found = ways[_i].is_found;
	shim->feigned_works = ways[_i].works;
	for (int i = 0; i < 2; i++) { /* and stays seen */
		ck_code(erase_it(0x11), INTERNAL);
		ck_assert_int_eq(listed(0x11), MODEL_HELD_ERASING);
		ck_assert_int_eq(use_of(0x20), KMS_CODE_KEY_STATE);
		shim->feigned = CK_INVALID_HANDLE;
	}
	shim->destroy_lies = shim->destroy_feigns = false;
	ck_ok(erase_it(0x11)); /* an honest one is told again */
	ck_assert(!in_token(0x11));
}
END_TEST

/* The residual: from outside, a module that hides all of a key is one that destroyed it. */
START_TEST(attack_8_residual_a_module_that_hides_the_key_is_believed_until_it_shows_it)
{
	struct format_destroy destroy;
	struct format_absence absence;
	shim->destroy_feigns = true;
	ck_ok(erase_one(0x11, &destroy, &absence));
	ck_assert(destroy.found && destroy.canary_before && !destroy.canary_after);
	ck_assert_int_eq(listed(0x11), MODEL_HELD_DESTROYED);
	kms_log_set("tokend_test", KMS_LOG_ERROR);
	go_on_with("/usr/lib/softhsm/libsofthsm2.so");
	ck_assert_int_eq(listed(0x11), MODEL_HELD_REAPPEARED);
	ck_assert_int_eq(use_of(0x20), KMS_CODE_ERASED);
}
END_TEST

/* Somebody with the PIN put another key under the KEK's id, and would have that one destroyed; also
 * after a destruction that was cut off, when a KEK that is gone is stated as found gone. */
START_TEST(attack_9_another_key_under_its_id_is_not_destroyed_for_it)
{
	const struct kms_id id = sample_id(0x10);
	struct p11_kek decoy;
	struct p11_kek_facts facts;
	draft();
	sign_draft();
	ck_ok(open_it());
	const struct kek_mark mark = {erase.erasure, erase_hash, kms_now_unix_ms()};
	if (_i == 1) {
		ck_ok(keks_mark_erasing(tokend, kek_of(0x10), &mark));
	}
	ck_ok(p11_kek_destroy(tokend->p11, &id));
	ck_ok(p11_kek_generate(tokend->p11, &id, &decoy, &facts));
	ck_code(erase_it(0x10), INTEGRITY);
	ck_assert(in_token(0x10));
	ck_assert_int_ne(listed(0x10), MODEL_HELD_DESTROYED);
	ck_ok(erase_it(0x11)); /* one that is itself goes */
}
END_TEST

/* All KEKs have one label: the id and the commitment say which one goes. */
START_TEST(attack_9_keys_of_the_same_label_stay)
{
	struct p11_object *objects KMS_AUTO_FREE = NULL;
	size_t count, wrong = 0, right = 0;
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	ck_ok(p11_object_list(tokend->p11, &objects, &count));
	for (size_t i = 0; i < count; i++) {
		wrong += kms_hash_equal(&objects[i].commitment, &erase_keks[0].commitment) ? 1 : 0;
		right += kms_hash_equal(&objects[i].commitment, &erase_keks[1].commitment) ? 1 : 0;
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(right, 1);
}
END_TEST

/* A certificate about a key that somebody kept: the finder computes the commitment that stands in
 * it, under whatever id the key is found. */
START_TEST(attack_3_a_key_that_was_kept_is_known_by_its_commitment)
{
	struct format_destroy destroy;
	struct format_absence absence;
	const struct kms_id id = sample_id(0x10), other = sample_id(0x99);
	struct p11 *p11;
	draft();
	sign_draft();
	stop();
	shell("cp -a %s/token/tokens %s/kept", dir, dir);
	ck_ok(start());
	ck_ok(open_it());
	ck_ok(erase_one(0x10, &destroy, &absence));
	p11 = tokend->p11;
	ck_code(p11_kek_is_there(p11, &id, &destroy.what.commitment), NOT_FOUND);
	stop();
	shell("rm -r %s/token/tokens && mv %s/kept %s/token/tokens", dir, dir, dir);
	kms_log_set("tokend_test", KMS_LOG_ERROR);
	ck_ok(start());
	p11 = tokend->p11;
	ck_ok(p11_kek_is_there(p11, &id, &destroy.what.commitment));
	ck_ok(p11_kek_is_there(p11, &other, &destroy.what.commitment));
	destroy.what.commitment.b[0] ^= 1;
	ck_code(p11_kek_is_there(p11, &other, &destroy.what.commitment), NOT_FOUND);
}
END_TEST

static TCase *case_of(Suite *suite, const char *name, void (*before)(void))
{
	TCase *tcase = tcase_create(name);
	tcase_add_unchecked_fixture(tcase, make_people, drop_people);
	tcase_add_checked_fixture(tcase, before, gone);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("tokend_attacks");
	TCase *lying = case_of(suite, "lying module", with_shim);
	tcase_add_loop_test(lying, attack_8_a_module_that_keeps_the_key_is_seen, 0,
		(int)(sizeof(ways) / sizeof(ways[0])));
	tcase_add_test(
		lying, attack_8_residual_a_module_that_hides_the_key_is_believed_until_it_shows_it);
	TCase *token = case_of(suite, "token", fresh_erase);
	tcase_add_loop_test(token, attack_9_another_key_under_its_id_is_not_destroyed_for_it, 0, 2);
	tcase_add_test(token, attack_9_keys_of_the_same_label_stay);
	tcase_add_test(token, attack_3_a_key_that_was_kept_is_known_by_its_commitment);
	return suite_run(suite);
}
