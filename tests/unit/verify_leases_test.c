/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys on lease, in bundles: receipts that are good, and bundles that are wrong in what they
 * say of leases and signed anew. Exactly the steps that the fault implies fail.
 */
#include <kms/verify.h>

#include "bundle_files.h"

static char trust_path[64], bare_trust_path[64];

static void set_up(void)
{
	bundle_keys_make();
	KMS_AUTO(doc) trust = trust_doc(TRUST_WHOLE);
	KMS_AUTO(doc) bare = trust_doc(TRUST_NO_CA);
	(void)snprintf(trust_path, sizeof(trust_path), "%s/trust.json", bundle_keys);
	trust_write(trust_path, trust);
	(void)snprintf(bare_trust_path, sizeof(bare_trust_path), "%s/bare.json", bundle_keys);
	trust_write(bare_trust_path, bare);
}

/* ---- receipts in the world ---- */

struct given {
	uint8_t tenant, holder, key;
	uint32_t version, count;
	uint64_t number;
	enum signer by;
	const struct kms_buf *certificate;
	bool other_bytes; /* signed something else */
};
static struct given given;
static const struct given honest = {.tenant = ID_TENANT,
	.holder = 0x99,
	.key = ID_KEY_0,
	.version = 1,
	.count = 2,
	.number = 1,
	.by = SIGNER_STORAGE,
	.certificate = &storage_cert};

/* Between the request and what came after it. */
static void add_receipt(struct world *world)
{
	struct format_receipt_row row = {id_of(given.key), given.version, given.count};
	const struct format_receipt receipt = {.tenant = id_of(given.tenant),
		.holder = id_of(given.holder),
		.number = given.number,
		.unix_ms = world->start_ms,
		.row_count = 1,
		.rows = &row};
	struct made *made = entry_add(world, MODEL_CHANGE_LEASE_RECEIPT);
	made->change.actor = id_of(0x56);
	ck_ok(format_receipt_write(&receipt, &made->change.u.lease_receipt.bytes));
	ck_ok(kms_buf_copy(
		kms_buf_bytes(given.certificate), &made->change.u.lease_receipt.certificate));
	bundle_sign(given.by,
		given.other_bytes ? kms_bytes_str("something else")
				  : kms_buf_bytes(&made->change.u.lease_receipt.bytes),
		made->change.u.lease_receipt.signature);
	entry_move(world, world->count - 1, entry_find(world, MODEL_CHANGE_ERASE_APPROVE, 0));
}

static void add_honest(struct world *world)
{
	given = honest;
	add_receipt(world);
}

static void add_two(struct world *world)
{
	add_honest(world);
	given.number = 2;
	given.key = ID_KEY_1;
	add_receipt(world);
}

/* ---- what is wrong with one ---- */

static void forged(struct world *world)
{
	given = honest;
	given.by = SIGNER_STRANGER;
	add_receipt(world);
}

static void signed_other_bytes(struct world *world)
{
	given = honest;
	given.other_bytes = true;
	add_receipt(world);
}

/* A person of the tenant, and no storage system. */
static void by_a_person(struct world *world)
{
	given = honest;
	given.by = SIGNER_REQUESTER;
	given.certificate = &requester_cert;
	add_receipt(world);
}

static void by_another_ca(struct world *world)
{
	given = honest;
	given.by = SIGNER_REQUESTER;
	given.certificate = &foreign_cert;
	add_receipt(world);
}

static void of_another_key(struct world *world)
{
	given = honest;
	given.key = ID_OTHER;
	add_receipt(world);
}

static void of_another_version(struct world *world)
{
	given = honest;
	given.version = 7;
	add_receipt(world);
}

static void twice(struct world *world)
{
	add_honest(world);
	add_honest(world);
}

static void older_number_after(struct world *world)
{
	given = honest;
	given.number = 5;
	add_receipt(world);
	given = honest;
	given.number = 4;
	add_receipt(world);
	/* add_receipt puts the newer before the first approval: behind the other one. */
}

static void too_many(struct world *world)
{
	given = honest;
	given.count = 14; /* the certificate counts 13 */
	add_receipt(world);
}

/* ---- what the certificate says ---- */

static struct doc *leases(struct world *world)
{
	struct doc *doc = NULL;
	ck_ok(doc_get_object(world->certificate, "leases", &doc));
	return doc;
}

static int64_t seen(struct world *world)
{
	int64_t value = 0;
	ck_ok(doc_get_int(leases(world), "seen", &value));
	return value;
}

static void returned_more_than_out(struct world *world)
{
	doc_set_int(leases(world), "returned", 15);
}

static void all_returned_and_a_client_left(struct world *world)
{
	doc_set_int(leases(world), "returned", 14);
}

static void none_left_and_an_end(struct world *world)
{
	doc_set_int(leases(world), "returned", 14);
	doc_set_int(leases(world), "clients", 0);
}

static void open_and_no_end(struct world *world)
{
	doc_set_null(leases(world), "last_end");
}

static void more_clients_than_keys(struct world *world)
{
	doc_set_int(leases(world), "clients", 2);
}

static void seen_after_the_issue(struct world *world)
{
	doc_set_int(leases(world), "seen", seen(world) + 1);
}

static void final_while_one_runs(struct world *world)
{
	doc_set_int(leases(world), "last_end", seen(world) + 1);
}

static void provisional_without_reason(struct world *world)
{
	doc_set_text(world->certificate, "status", "provisional");
	world->final = false;
}

static void honest_and_provisional(struct world *world)
{
	final_while_one_runs(world);
	provisional_without_reason(world);
}

static void over_at_that_moment(struct world *world)
{
	doc_set_int(leases(world), "last_end", seen(world));
}

static void nothing_was_handed_out(struct world *world)
{
	doc_set_int(leases(world), "handed_out", 0);
	doc_set_int(leases(world), "returned", 0);
	doc_set_int(leases(world), "clients", 0);
	doc_set_null(leases(world), "last_end");
}

/* ---- the runs ---- */

static unsigned failed_steps(
	struct world *world, const char *trust, kms_err *ret_err, char **ret_json)
{
	char folder[64];
	KMS_AUTO(doc) report = NULL;
	struct doc *steps = NULL;
	unsigned failed = 0;
	(void)snprintf(folder, sizeof(folder), "%s/b%d", bundle_keys, (int)getpid());
	world_lay_out(world, folder);
	*ret_err = kms_verify_bundle(trust, folder, ret_json);
	bundle_shell("rm -rf %s", folder);
	ck_assert_ptr_nonnull(*ret_json);
	ck_ok(doc_parse(kms_bytes_str(*ret_json), 1024 * 1024, &report));
	ck_ok(doc_get_array(report, "steps", &steps));
	for (size_t i = 0; i < 11; i++) {
		struct doc *item = NULL;
		const char *result = NULL;
		ck_ok(doc_item_object(steps, i, &item));
		ck_ok(doc_get_text(item, "result", &result));
		failed |= strcmp(result, "fail") == 0 ? 1u << i : 0;
	}
	return failed;
}

static const struct {
	const char *name;
	enum stage stage;
	void (*bend)(struct world *world);
	const char *says; /* in the report */
} good[] = {
	{"a receipt", STAGE_ENTRIES, add_honest, "11 data keys that were given back"},
	{"two", STAGE_ENTRIES, add_two, "9 of 13 data keys that were given back"},
	{"one that nobody gave back", STAGE_CERTIFICATE, over_at_that_moment,
		"1 data keys which nobody gave back"},
	{"none handed out", STAGE_CERTIFICATE, nothing_was_handed_out, "\"handed_out\":0"},
	{"one that runs", STAGE_CERTIFICATE, honest_and_provisional, "\"status\":\"provisional\""},
};

START_TEST(what_is_right_passes)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, good[_i].stage, good[_i].bend);
	unsigned failed = failed_steps(world, trust_path, &err, &json);
	ck_assert_msg(
		failed == 0 && kms_is_ok(err), "%s: %#x\n%.4000s", good[_i].name, failed, json);
	ck_assert_msg(
		_i == 0 || strstr(json, good[_i].says) != NULL, "%s: %.8000s", good[_i].name, json);
	world_free(world);
}
END_TEST

static const struct {
	const char *name;
	enum stage stage;
	void (*bend)(struct world *world);
} bad[] = {
	{"forged", STAGE_ENTRIES, forged},
	{"signed other bytes", STAGE_ENTRIES, signed_other_bytes},
	{"by a person", STAGE_ENTRIES, by_a_person},
	{"by another CA", STAGE_ENTRIES, by_another_ca},
	{"of another key", STAGE_ENTRIES, of_another_key},
	{"of another version", STAGE_ENTRIES, of_another_version},
	{"twice", STAGE_ENTRIES, twice},
	{"an older number after a newer", STAGE_ENTRIES, older_number_after},
	{"more than the certificate counts", STAGE_ENTRIES, too_many},
	{"more returned than handed out", STAGE_CERTIFICATE, returned_more_than_out},
	{"all returned, and a client left", STAGE_CERTIFICATE, all_returned_and_a_client_left},
	{"none left, and an end", STAGE_CERTIFICATE, none_left_and_an_end},
	{"some left, and no end", STAGE_CERTIFICATE, open_and_no_end},
	{"more clients than data keys", STAGE_CERTIFICATE, more_clients_than_keys},
	{"seen after the issue", STAGE_CERTIFICATE, seen_after_the_issue},
	{"final while a lease runs", STAGE_CERTIFICATE, final_while_one_runs},
	{"provisional without a reason", STAGE_CERTIFICATE, provisional_without_reason},
};

START_TEST(what_is_wrong_fails_step_6)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, bad[_i].stage, bad[_i].bend);
	unsigned failed = failed_steps(world, trust_path, &err, &json);
	ck_assert_msg(
		failed == 1u << 5, "%s: steps %#x failed\n%.4000s", bad[_i].name, failed, json);
	ck_assert(kms_is(err, KMS_CODE_INTEGRITY));
	world_free(world);
}
END_TEST

/* Whose word it is, nobody knows without the tenant's CA; that it is a storage system's, the
 * certificate itself says. */
START_TEST(without_the_tenants_ca_it_is_not_shown)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO_FREE char *person = NULL;
	struct world *world = world_make(0, STAGE_ENTRIES, add_honest);
	unsigned failed = failed_steps(world, bare_trust_path, &err, &json);
	ck_assert_msg(failed == 0 && kms_is_ok(err), "%#x\n%.4000s", failed, json);
	ck_assert_ptr_nonnull(strstr(json, "receipts are by storage systems of the tenant's CA"));
	world_free(world);
	world = world_make(0, STAGE_ENTRIES, by_a_person);
	failed = failed_steps(world, bare_trust_path, &err, &person);
	ck_assert_uint_eq(failed, 1u << 5);
	world_free(world);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify_leases");
	TCase *tcase = tcase_create("verify_leases");
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, set_up, bundle_keys_drop);
	tcase_add_loop_test(tcase, what_is_right_passes, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(
		tcase, what_is_wrong_fails_step_6, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, without_the_tenants_ca_it_is_not_shown);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
