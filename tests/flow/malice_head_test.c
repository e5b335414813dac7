/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A malicious kmsd against the kms-tokend of the system token: it signs no head that shortens or
 * forks the ledger, and does nothing else for it.
 */
#include "malice_house.h"
#include "tlog.h"

#define ORIGIN "platform.example/kmsd/malice"
enum { LEAVES = 8, LEVELS = 4 };

/* A small ledger: every node, and the root at each size. */
struct tree {
	struct kms_hash nodes[LEVELS][LEAVES];
	struct kms_hash roots[LEAVES + 1];
};
static struct tree honest;
static struct tree forked; /* other than honest from leaf 2 on */

static void tree_make(struct tree *tree, uint8_t fork_at)
{
	static struct tlog_edge edge;
	static struct tlog_node filled[TLOG_LEVELS];
	edge = (struct tlog_edge){0};
	for (uint8_t i = 0; i < LEAVES; i++) {
		struct kms_hash leaf;
		unsigned count = 0;
		uint8_t entry[] = {'e', i, i >= fork_at};
		ck_ok(tlog_leaf_hash(KMS_BYTES_OF(entry), &leaf));
		ck_ok(tlog_edge_append(&edge, &leaf, filled, &count));
		for (unsigned n = 0; n < count; n++) {
			tree->nodes[filled[n].level][filled[n].index] = filled[n].hash;
		}
		ck_ok(tlog_edge_root(&edge, &tree->roots[i + 1]));
	}
}

static kms_err read_node(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	const struct tree *tree = ctx;
	*ret_hash = tree->nodes[level][index];
	return KMS_OK;
}

static void prove(struct tree *tree, uint64_t old_size, uint64_t size)
{
	static struct tlog_proof proof;
	proof.count = 0;
	if (old_size > 0) {
		ck_ok(tlog_prove_consistency(read_node, tree, old_size, size, &proof));
	}
	question.u.head_sign.proof_count = proof.count;
	memcpy(question.u.head_sign.proof, proof.hashes, sizeof(proof.hashes));
}

/* Ask to sign; what proof goes with it is in the question already. */
static kms_err ask_to_sign(const char *origin, uint64_t size, const struct kms_hash *root)
{
	KMS_AUTO_BUF text = {0};
	struct tlog_checkpoint checkpoint = {.size = size, .root = *root};
	(void)strcpy(checkpoint.origin, origin);
	ck_ok(tlog_checkpoint_text(&checkpoint, &text));
	question.u.head_sign.checkpoint = kms_buf_bytes(&text);
	return tell(TOKMSG_HEAD_SIGN);
}

/* The answer is a head of that size and root, signed by both keys that the owner printed. */
static void check_note(uint64_t size)
{
	char pin[512];
	char ed25519[512];
	struct tlog_log_keys log;
	struct kms_bytes text;
	struct tlog_checkpoint checkpoint;
	house_pin("system/token/pins.yaml", "ledger_key", pin);
	house_pin("system/token/pins.yaml", "ledger_key_ed25519", ed25519);
	ck_ok(tlog_log_keys_parse(pin, ed25519, &log));
	ck_assert_uint_eq(log.count, 2);
	ck_ok(tlog_note_open_exact(answer.u.bytes, TLOG_NOTE_MAX, log.keys, log.count, &text));
	ck_ok(tlog_checkpoint_parse(text, &checkpoint));
	ck_assert_uint_eq(checkpoint.size, size);
	ck_assert(kms_hash_equal(&checkpoint.root, &honest.roots[size]));
}

/* After a lie the last head is the one of 4 entries, and 5 are signed when they are proven. */
static void goes_on(void)
{
	ck_ok(tell(TOKMSG_HEAD_LAST));
	check_note(4);
	prove(&honest, 4, 5);
	ck_ok(ask_to_sign(ORIGIN, 5, &honest.roots[5]));
	check_note(5);
	ck_ok(tell(TOKMSG_HEAD_LAST));
	check_note(5);
}

static void setup(void)
{
	copy_make();
	tree_make(&honest, LEAVES);
	tree_make(&forked, 2);
	tokend_start("system", "owner.yaml");
	ck_ok(ask_to_sign(ORIGIN, 3, &honest.roots[3]));
	check_note(3);
	prove(&honest, 3, 4);
	ck_ok(ask_to_sign(ORIGIN, 4, &honest.roots[4]));
	check_note(4);
}

START_TEST(an_honest_ledger_is_signed)
{
	goes_on();
}
END_TEST

START_TEST(a_smaller_head_is_refused)
{
	for (uint64_t size = 1; size < 4; size++) {
		prove(&honest, size, 4);
		ck_code(ask_to_sign(ORIGIN, size, &honest.roots[size]), ROLLBACK);
	}
	goes_on();
}
END_TEST

START_TEST(a_smaller_head_is_refused_after_a_restart)
{
	tokend_start("system", "owner.yaml");
	ck_code(ask_to_sign(ORIGIN, 3, &honest.roots[3]), ROLLBACK);
	goes_on();
}
END_TEST

START_TEST(another_root_of_the_same_size_is_refused)
{
	ck_code(ask_to_sign(ORIGIN, 4, &forked.roots[4]), INTEGRITY);
	goes_on();
}
END_TEST

START_TEST(the_same_head_again_is_the_same_note)
{
	KMS_AUTO_BUF note = {0};
	ck_ok(tell(TOKMSG_HEAD_LAST));
	ck_ok(kms_buf_copy(answer.u.bytes, &note));
	ck_ok(ask_to_sign(ORIGIN, 4, &honest.roots[4]));
	ck_assert(kms_bytes_equal(answer.u.bytes, kms_buf_bytes(&note)));
	goes_on();
}
END_TEST

START_TEST(a_forked_ledger_is_refused_with_its_own_proof)
{
	prove(&forked, 4, 7);
	ck_code(ask_to_sign(ORIGIN, 7, &forked.roots[7]), INTEGRITY);
	goes_on();
}
END_TEST

START_TEST(a_forked_ledger_is_refused_with_an_honest_proof)
{
	prove(&honest, 4, 7);
	ck_code(ask_to_sign(ORIGIN, 7, &forked.roots[7]), INTEGRITY);
	goes_on();
}
END_TEST

START_TEST(a_larger_head_needs_its_proof)
{
	prove(&honest, 4, 7);
	struct model_head_sign *sign = &question.u.head_sign;
	if (_i == 0) {
		sign->proof_count = 0;
	} else if (_i == 1) {
		sign->proof_count--;
	} else if (_i == 2) {
		sign->proof[sign->proof_count++] = honest.roots[1];
	} else {
		sign->proof[0].b[0] ^= 1;
	}
	ck_code(ask_to_sign(ORIGIN, 7, &honest.roots[7]), INTEGRITY);
	goes_on();
}
END_TEST

START_TEST(another_origin_is_refused)
{
	static const char *const origins[] = {"platform.example/kmsd/other", ORIGIN "/manifest",
		"platform.example/kmsd/malic", ORIGIN "2"};
	prove(&honest, 4, 5);
	ck_code(ask_to_sign(origins[_i], 5, &honest.roots[5]), TOKEN_REFUSED);
	goes_on();
}
END_TEST

START_TEST(an_empty_ledger_is_refused)
{
	struct kms_hash empty;
	ck_ok(tlog_root_of(NULL, 0, &empty));
	prove(&honest, 0, 0);
	ck_code(ask_to_sign(ORIGIN, 0, &empty), TOKEN_REFUSED);
	goes_on();
}
END_TEST

START_TEST(what_is_no_checkpoint_is_refused)
{
	static const char *const texts[] = {"", "kmsd-bundle/1\n", ORIGIN "\n5\n",
		ORIGIN "\n05\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
		ORIGIN "\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n"};
	question.u.head_sign.checkpoint = kms_bytes_str(texts[_i]);
	ck_code(tell(TOKMSG_HEAD_SIGN), FORMAT);
	goes_on();
}
END_TEST

START_TEST(the_system_token_has_no_keys_of_clients)
{
	struct model_bear birth = birth_of(MODEL_DELIVERY_SEALED);
	ck_code(bear(&birth), TOKEN_REFUSED);
	question.u.flight = kms_bytes_str("hello");
	ck_code(tell(TOKMSG_SESSION_OPEN), TOKEN_REFUSED);
	goes_on();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("malice_head");
	TCase *heads = tcase_create("heads");
	tcase_set_timeout(heads, 60);
	tcase_add_unchecked_fixture(heads, house_make, house_remove);
	tcase_add_checked_fixture(heads, setup, copy_remove);
	tcase_add_test(heads, an_honest_ledger_is_signed);
	tcase_add_test(heads, a_smaller_head_is_refused);
	tcase_add_test(heads, a_smaller_head_is_refused_after_a_restart);
	tcase_add_test(heads, another_root_of_the_same_size_is_refused);
	tcase_add_test(heads, the_same_head_again_is_the_same_note);
	tcase_add_test(heads, a_forked_ledger_is_refused_with_its_own_proof);
	tcase_add_test(heads, a_forked_ledger_is_refused_with_an_honest_proof);
	tcase_add_loop_test(heads, a_larger_head_needs_its_proof, 0, 4);
	tcase_add_loop_test(heads, another_origin_is_refused, 0, 4);
	tcase_add_test(heads, an_empty_ledger_is_refused);
	tcase_add_loop_test(heads, what_is_no_checkpoint_is_refused, 0, 5);
	tcase_add_test(heads, the_system_token_has_no_keys_of_clients);
	suite_add_tcase(suite, heads);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
