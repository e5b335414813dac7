/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles by somebody who holds the ledger's and the manifest's key and not the tokens' statement
 * keys: what a forged entry beside a true one could add, and what the tokens' own numbers show.
 * Steps 5 and 6; more of them in verify_steps_test.c.
 */
#include "verify_steps.h"

/* ---- 5: statements ---- */

/* A second, false result of a KEK, behind the true one. */
BEND(b5_result_twice)
{
	struct said destroy = world->destroys[0], absence = world->absences[0];
	world->destroys[0].by = world->absences[0].by = SIGNER_STRANGER;
	entry_add_result(world, 0);
	world->destroys[0] = destroy;
	world->absences[0] = absence;
	entry_move(world, world->count - 1, entry_find(world, MODEL_CHANGE_ERASE_WIPE, 0));
}
BEND(b5_wipe_twice)
{
	struct said wipe = world->wipes[0];
	world->wipes[0].by = SIGNER_STRANGER;
	entry_add_wipe(world, 0);
	world->wipes[0] = wipe;
	entry_move(world, world->count - 1, entry_find(world, MODEL_CHANGE_ERASE_FINAL, 0));
}
/* The second one is false and has the number that step 6 likes. */
BEND(b5_wipe_twice_and_named)
{
	if (world->stage == STAGE_STATEMENTS) {
		world->wipes[0].statement.u.wipe.destroyed = 1;
		world->bend_at = STAGE_ENTRIES;
	} else if (world->stage == STAGE_ENTRIES) {
		world->wipes[0].statement.u.wipe.destroyed = KEKS / TOKENS;
		b5_wipe_twice(world);
		world->bend_at = STAGE_CERTIFICATE;
	} else {
		size_t second = entry_find(world, MODEL_CHANGE_ERASE_WIPE, 2);
		doc_set_int(row(world, "wipes", 0), "seq", (int64_t)second);
	}
}
/* Nobody signed that this token is wiped. */
BEND(b5_wipe_unsigned)
{
	world->erase.wipe_count = 1;
}
/* Nor that this KEK dies. */
BEND(b5_kek_unsigned)
{
	world->erase.kek_count = KEKS - 1;
}
BEND(b5_birth_by_other_token)
{
	world->births[1].by = SIGNER_TOKEN_1;
}
BEND(b5_all_by_ledger)
{
	for (int i = 0; i < KEKS; i++) {
		world->destroys[i].by = world->absences[i].by = SIGNER_LOG;
	}
}
BEND(b5_by_approver)
{
	world->absences[0].by = SIGNER_APPROVER_0;
}
BEND(b5_by_requester)
{
	world->wipes[0].by = SIGNER_REQUESTER;
}
/* The same KEK counts for two copies. */
BEND(b5_one_commitment)
{
	world->destroys[1].statement.u.destroy.what.commitment = world->keks[0].commitment;
	world->absences[1].statement.u.absence.what.commitment = world->keks[0].commitment;
}
BEND(b5_rv_big)
{
	world->destroys[4].statement.u.destroy.rv = (uint64_t)1 << 32; /* 0 as 32 bits have it */
}
BEND(b5_matched_all)
{
	world->absences[1].statement.u.absence.matched =
		world->absences[1].statement.u.absence.searched;
}
BEND(b5_wipe_of_nothing)
{
	struct kms_hash none = {{0}};
	world->wipes[0].statement.u.wipe.erase = none;
}
BEND(b5_kind)
{
	doc_set_text(object(world, "scope"), "kind", "key");
}
BEND(b5_module_twice)
{
	static const int order[] = {0, 0, 1, -1};
	static const int people[] = {0, 1, 2, 3, 4, 4, 5, 6, -1};
	reorder(world, "modules", order);
	reorder(world, "persons", people);
}
BEND(b5_module_order)
{
	static const int order[] = {1, 0, -1};
	static const int people[] = {0, 1, 2, 3, 5, 4, 6, -1};
	reorder(world, "modules", order);
	reorder(world, "persons", people);
}
/* A better device, beside those that it was about. */
BEND(b5_module_more)
{
	static const int order[] = {0, 1, 1, -1};
	static const int people[] = {0, 1, 2, 3, 4, 5, 5, 6, -1};
	struct kms_id id = id_of(0xaf);
	reorder(world, "modules", order);
	reorder(world, "persons", people);
	doc_set_id(row(world, "modules", 2), "token", &id);
	doc_set_id(row(world, "persons", 6), "id", &id);
	doc_set_text(row(world, "modules", 2), "class", "hsm");
}
/* A note for each of them would be more than a report may hold. */
BEND(b5_modules_without_end)
{
	enum { MANY = 8000 };
	static int order[MANY + 1];
	order[MANY] = -1;
	doc_set_text(row(world, "modules", 0), "manufacturer", "x");
	reorder(world, "modules", order);
	for (size_t i = 1; i < MANY; i++) {
		struct kms_id id = id_of(0xf0);
		id.b[1] = (uint8_t)(i >> 8);
		id.b[2] = (uint8_t)i;
		doc_set_id(row(world, "modules", i), "token", &id);
	}
}
BEND(b5_serial_null)
{
	doc_set_null(row(world, "modules", 1), "serial");
}
BEND(b5_serials_swapped)
{
	doc_set_text(row(world, "modules", 0), "serial", "serial-1");
	doc_set_text(row(world, "modules", 1), "serial", "serial-0");
}
BEND(b5_serial_space)
{
	doc_set_text(row(world, "modules", 0), "serial", "serial-0 ");
}
BEND(b5_absent)
{
	doc_set_int(object(world, "verification"), "absent", KEKS + 1);
}
BEND(b5_copy_key)
{
	struct kms_id id = id_of(ID_KEY_1);
	doc_set_id(row(world, "copies", 0), "key", &id);
}
BEND(b5_copy_version)
{
	doc_set_int(row(world, "copies", 0), "version", 2);
}
BEND(b5_tenant)
{
	world->erase.tenant = world->erase.subject = id_of(ID_OTHER);
}

/* ---- 6: copies ---- */

/* The token itself says that a KEK of this key lives on. */
BEND(b6_living)
{
	/* After both KEKs of the key in that token. */
	world->absences[0].statement.u.absence.living = 1;
	world->absences[1].statement.u.absence.living = 1;
}
/* A version that the tokens made and the ledger never saw. */
BEND(b6_version_unrecorded)
{
	for (int i = 0; i < KEKS; i++) {
		world->absences[i].statement.u.absence.born++;
	}
}
/* The chain without version 2, whole in itself; the tokens' statements know better. */
BEND(b6_version_away)
{
	if (world->stage == STAGE_DESCRIBE) {
		int kept = 0;
		for (int i = 0; i < KEKS; i++) {
			if (world->keks[i].version == 1) {
				world->erase_keks[kept++] = world->keks[i];
			}
		}
		world->erase.kek_count = (uint32_t)kept;
		world->bend_at = STAGE_ENTRIES;
	} else {
		entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_RESULT, 4));
		entry_drop(world, entry_find(world, MODEL_CHANGE_ERASE_RESULT, 1));
		entry_drop(world, entry_find(world, MODEL_CHANGE_KEY_RESULT, 2));
		entry_drop(world, entry_find(world, MODEL_CHANGE_KEY_INTENT, 2));
	}
}
BEND(b6_seqs_swapped)
{
	int64_t first, second;
	ck_ok(doc_get_int(row(world, "copies", 0), "removed_seq", &first));
	ck_ok(doc_get_int(row(world, "copies", 1), "removed_seq", &second));
	doc_set_int(row(world, "copies", 0), "removed_seq", second);
	doc_set_int(row(world, "copies", 1), "removed_seq", first);
}
BEND(b6_births_swapped)
{
	int64_t first, second;
	ck_ok(doc_get_int(row(world, "copies", 0), "added_seq", &first));
	ck_ok(doc_get_int(row(world, "copies", 1), "added_seq", &second));
	doc_set_int(row(world, "copies", 0), "added_seq", second);
	doc_set_int(row(world, "copies", 1), "added_seq", first);
}
BEND(b6_removed_nowhere)
{
	doc_set_int(row(world, "copies", 3), "removed_seq", 9007199254740991);
}
BEND(b6_removed_by_wipe)
{
	size_t wipe = entry_find(world, MODEL_CHANGE_ERASE_WIPE, 0);
	doc_set_int(row(world, "copies", 0), "removed_seq", (int64_t)wipe);
}
BEND(b6_no_copies)
{
	(void)doc_set_array(world->certificate, "copies");
}
BEND(b6_no_keys)
{
	(void)doc_set_array(world->certificate, "keys");
}
BEND(b6_keys_reordered)
{
	static const int order[] = {1, 0, -1};
	reorder(world, "keys", order);
}
BEND(b6_key_twice)
{
	static const int order[] = {0, 1, 1, -1};
	reorder(world, "keys", order);
}
BEND(b6_key_more)
{
	static const int order[] = {0, 1, 1, -1};
	struct kms_id id = id_of(0x2f);
	reorder(world, "keys", order);
	doc_set_id(row(world, "keys", 2), "id", &id);
}
BEND(b6_version_3)
{
	struct doc *versions = NULL;
	ck_ok(doc_get_array(row(world, "keys", 0), "versions", &versions));
	doc_add_int(versions, 3);
}
BEND(b6_no_wipes)
{
	(void)doc_set_array(world->certificate, "wipes");
}
BEND(b6_wipe_twice)
{
	static const int order[] = {0, 0, 1, -1};
	reorder(world, "wipes", order);
}
BEND(b6_wipe_more)
{
	static const int order[] = {0, 1, 1, -1};
	struct kms_id id = id_of(0xaf);
	reorder(world, "wipes", order);
	doc_set_id(row(world, "wipes", 2), "token", &id);
}
BEND(b6_wipe_open)
{
	doc_set_null(row(world, "wipes", 1), "seq");
}
BEND(b6_wipes_swapped)
{
	int64_t first, second;
	ck_ok(doc_get_int(row(world, "wipes", 0), "seq", &first));
	ck_ok(doc_get_int(row(world, "wipes", 1), "seq", &second));
	doc_set_int(row(world, "wipes", 0), "seq", second);
	doc_set_int(row(world, "wipes", 1), "seq", first);
}
BEND(b6_wipe_none_destroyed)
{
	world->wipes[0].statement.u.wipe.destroyed = 0;
}
BEND(b6_final_away)
{
	hide(world, MODEL_CHANGE_ERASE_FINAL, 0);
}
/* The KEKs of version 1 once more, in the place of those of version 2. */
BEND(b6_birth_twice)
{
	if (world->stage == STAGE_CERTIFICATE) {
		struct doc *versions = doc_set_array(row(world, "keys", 0), "versions");
		doc_add_int(versions, 1);
		return;
	}
	struct model_change *change = entry(world, MODEL_CHANGE_KEY_RESULT, 2);
	struct model_change *first = entry(world, MODEL_CHANGE_KEY_RESULT, 0);
	change->u.key_result.version = first->u.key_result.version;
	for (uint32_t i = 0; i < TOKENS; i++) {
		struct model_birth *birth = &change->u.key_result.births[i];
		kms_buf_free(&birth->statement);
		*birth = first->u.key_result.births[i];
		birth->statement = (struct kms_buf){0};
		ck_ok(kms_buf_copy(kms_buf_bytes(&first->u.key_result.births[i].statement),
			&birth->statement));
	}
	world->bend_at = STAGE_CERTIFICATE;
}

static const struct wrong cases[] = {
	CASE(b5_result_twice, ENTRIES, S(5)),
	CASE(b5_wipe_twice, ENTRIES, S(5)),
	CASE(b5_wipe_twice_and_named, STATEMENTS, S(5)),
	CASE(b5_wipe_unsigned, DESCRIBE, S(5)),
	CASE(b5_kek_unsigned, DESCRIBE, S(5)),
	CASE(b5_birth_by_other_token, DESCRIBE, S(5)),
	CASE(b5_all_by_ledger, STATEMENTS, S(5)),
	CASE(b5_by_approver, STATEMENTS, S(5)),
	CASE(b5_by_requester, STATEMENTS, S(5)),
	CASE(b5_one_commitment, STATEMENTS, S(5)),
	CASE(b5_rv_big, STATEMENTS, S(5)),
	CASE(b5_matched_all, STATEMENTS, S(5)),
	CASE(b5_wipe_of_nothing, STATEMENTS, S(5)),
	CASE(b5_kind, CERTIFICATE, S(5)),
	CASE(b5_module_twice, CERTIFICATE, S(5)),
	CASE(b5_module_order, CERTIFICATE, S(5)),
	CASE(b5_module_more, CERTIFICATE, S(5)),
	CASE(b5_modules_without_end, CERTIFICATE, S(5) | S(7)),
	CASE(b5_serial_null, CERTIFICATE, S(5)),
	CASE(b5_serials_swapped, CERTIFICATE, S(5)),
	CASE(b5_serial_space, CERTIFICATE, S(5)),
	CASE(b5_absent, CERTIFICATE, S(5)),
	CASE(b5_copy_key, CERTIFICATE, S(5)),
	CASE(b5_copy_version, CERTIFICATE, S(5)),
	CASE(b5_tenant, DESCRIBE, S(3) | S(4) | S(5)),

	CASE(b6_living, STATEMENTS, S(6)),
	CASE(b6_version_unrecorded, STATEMENTS, S(6)),
	CASE(b6_version_away, DESCRIBE, S(6)),
	CASE(b6_seqs_swapped, CERTIFICATE, S(6)),
	CASE(b6_births_swapped, CERTIFICATE, S(6)),
	CASE(b6_removed_nowhere, CERTIFICATE, S(6)),
	CASE(b6_removed_by_wipe, CERTIFICATE, S(6)),
	CASE(b6_no_copies, CERTIFICATE, S(6)),
	CASE(b6_no_keys, CERTIFICATE, S(4) | S(6)),
	CASE(b6_keys_reordered, CERTIFICATE, S(6)),
	CASE(b6_key_twice, CERTIFICATE, S(6)),
	CASE(b6_key_more, CERTIFICATE, S(4) | S(6)),
	CASE(b6_version_3, CERTIFICATE, S(6)),
	CASE(b6_no_wipes, CERTIFICATE, S(6)),
	CASE(b6_wipe_twice, CERTIFICATE, S(6)),
	CASE(b6_wipe_more, CERTIFICATE, S(6)),
	CASE(b6_wipe_open, CERTIFICATE, S(6)),
	CASE(b6_wipes_swapped, CERTIFICATE, S(6)),
	CASE(b6_wipe_none_destroyed, STATEMENTS, S(6)),
	CASE(b6_final_away, ENTRIES, S(6)),
	CASE(b6_birth_twice, ENTRIES, S(5) | S(6)),
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

/* What is not told one by one is counted. */
START_TEST(reasons_without_end)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, STAGE_CERTIFICATE, b5_modules_without_end);
	(void)failed_steps(world, &err, &json);
	ck_assert_ptr_nonnull(strstr(json, "\"text\":\"and 7962 more\""));
	ck_assert_ptr_nonnull(strstr(json, "\"ja\":\"ほか 7962 件\""));
	world_free(world);
}
END_TEST

START_TEST(wrong_of_the_tokens)
{
	expect_wrong(&cases[_i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify_hostile_tokens");
	TCase *tcase = tcase_create("verify_hostile_tokens");
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, set_up, bundle_keys_drop);
	tcase_add_test(tcase, reasons_without_end);
	tcase_add_loop_test(tcase, wrong_of_the_tokens, 0, CASES);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
