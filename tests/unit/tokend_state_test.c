/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of what kms-tokend keeps: boots, uses and their statements, births, wrap budget. A start
 * after any durable write goes on from there.
 */
#include "tokend_fixture.h"

/* ---- uses ---- */

static void count(uint32_t uses)
{
	for (uint32_t i = 0; i < uses; i++) {
		struct model_counted_use use = {.op = MODEL_OP_UNWRAP, .spki = sample_hash(1)};
		ck_ok(uses_count(tokend->uses, &use));
	}
}

static uint64_t boot(void)
{
	uint64_t boot, used, acked;
	struct kms_hash running;
	uses_where(tokend->uses, &boot, &used, &acked, &running);
	return boot;
}

static struct format_uses stated(uint64_t after_boot, uint64_t after_n)
{
	struct kms_bytes bytes;
	struct format_statement statement;
	ck_ok(uses_statement(tokend->uses, after_boot, after_n, &bytes));
	ck_assert_uint_gt(bytes.len, 0);
	ck_ok(format_statement_verify(bytes, kms_buf_bytes(&tokend->statement_spki), &statement));
	ck_assert_int_eq(statement.type, FORMAT_STATEMENT_USES);
	ck_assert(kms_id_equal(&statement.token, &tokend->token));
	return statement.u.uses;
}

static bool says_nothing(uint64_t after_boot, uint64_t after_n)
{
	struct kms_bytes bytes;
	ck_ok(uses_statement(tokend->uses, after_boot, after_n, &bytes));
	return bytes.len == 0;
}

START_TEST(boots_count_up)
{
	ck_assert_uint_eq(boot(), 1);
	restart();
	ck_assert_uint_eq(boot(), 2);
	/* One that ends before anything happened counts as well. */
	restart();
	ck_assert_uint_eq(boot(), 3);
}
END_TEST

START_TEST(only_acknowledged_uses_are_stated)
{
	struct kms_hash running = {0}, third = {0};
	uint64_t at, used, acked;
	ck_ok(uses_sign(tokend));
	ck_assert(says_nothing(0, 0));
	count(3);
	uses_where(tokend->uses, &at, &used, &acked, &third);
	count(2);
	ck_ok(uses_sign(tokend));
	ck_assert(says_nothing(0, 0)); /* nothing is acknowledged */
	ck_ok(uses_ack(tokend->uses, 1, 3));
	ck_ok(uses_sign(tokend));
	struct format_uses said = stated(0, 0);
	ck_assert_uint_eq(said.boot, 1);
	ck_assert_uint_eq(said.count, 3);
	ck_assert(kms_hash_equal(&said.running, &third));
	ck_assert_uint_eq(said.previous_boot, 0);
	ck_assert(says_nothing(1, 3));
	/* The running hash is the one of docs/formats/use.md. */
	for (uint64_t n = 1; n <= 3; n++) {
		const struct model_use use = {
			.n = n, .op = MODEL_OP_UNWRAP, .spki = sample_hash(1)};
		ck_ok(format_use_step(&running, &use, &running));
	}
	ck_assert(kms_hash_equal(&said.running, &running));
	/* Durable: what the owner prints is what was said. */
	KMS_AUTO_BUF file = {0};
	struct kms_bytes bytes;
	ck_ok(state_read(&tokend->state, "uses", LIMIT_STATEMENT_BYTES, &file));
	ck_ok(uses_statement(tokend->uses, 0, 0, &bytes));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&file), bytes));
}
END_TEST

START_TEST(a_boot_carries_the_last_statement_before)
{
	count(4);
	ck_ok(uses_ack(tokend->uses, 1, 4));
	ck_ok(uses_sign(tokend));
	struct format_uses before = stated(0, 0);
	restart();
	ck_ok(uses_sign(tokend));
	ck_assert_uint_eq(stated(0, 0).boot, 1); /* the old one is offered still */
	restart();                               /* boot 2 had no uses */
	count(1);
	ck_ok(uses_ack(tokend->uses, 3, 1));
	ck_ok(uses_sign(tokend));
	for (int i = 0; i < 2; i++) {
		struct format_uses said = stated(1, 4);
		ck_assert_uint_eq(said.boot, 3);
		ck_assert_uint_eq(said.previous_boot, 1);
		ck_assert_uint_eq(said.previous_count, 4);
		ck_assert(kms_hash_equal(&said.previous_running, &before.running));
		count(1); /* and so does a later one of the boot */
		ck_ok(uses_ack(tokend->uses, 3, 2));
		ck_ok(uses_sign(tokend));
	}
}
END_TEST

START_TEST(a_statement_that_is_not_durable_does_not_leave)
{
	count(1);
	ck_ok(uses_ack(tokend->uses, 1, 1));
	shell("mkdir %s/token/state/uses.new", dir); /* where the file would be written */
	ck_assert(!kms_is_ok(uses_sign(tokend)));
	ck_assert(says_nothing(0, 0));
	shell("rmdir %s/token/state/uses.new", dir);
	ck_ok(uses_sign(tokend));
	ck_assert_uint_eq(stated(0, 0).count, 1);
}
END_TEST

START_TEST(acknowledgements_are_checked)
{
	count(2);
	ck_code(uses_ack(tokend->uses, 1, 3), ARGUMENT);
	ck_code(uses_ack(tokend->uses, 2, 1), ARGUMENT);
	ck_ok(uses_ack(tokend->uses, 1, 2));
	ck_ok(uses_ack(tokend->uses, 1, 1)); /* an old one changes nothing */
	struct model_counted pending;
	ck_ok(uses_pending(tokend->uses, 0, &pending));
	ck_assert_uint_eq(pending.count, 0);
	ck_assert_uint_eq(pending.first, 3);
	ck_code(uses_pending(tokend->uses, 3, &pending), ARGUMENT);
}
END_TEST

START_TEST(unacknowledged_uses_are_offered_and_bounded)
{
	struct model_counted pending;
	ck_ok(uses_admit(tokend->uses, LIMIT_UNACKED_USES, 0));
	ck_code(uses_admit(tokend->uses, LIMIT_UNACKED_USES + 1, 0), LEDGER);
	count(LIMIT_UNACKED_USES);
	ck_code(uses_admit(tokend->uses, 1, 0), LEDGER);
	uint64_t n = 0;
	do {
		ck_ok(uses_pending(tokend->uses, n, &pending));
		for (uint32_t i = 0; i < pending.count; i++) {
			ck_assert_uint_eq(pending.rows[i].n, n + 1 + i);
		}
		n += pending.count;
	} while (pending.count > 0);
	ck_assert_uint_eq(n, LIMIT_UNACKED_USES);
	ck_ok(uses_ack(tokend->uses, 1, 2));
	ck_ok(uses_admit(tokend->uses, 2, 0));
	ck_code(uses_admit(tokend->uses, 3, 0), LEDGER);
	count(2); /* the ring goes round */
	ck_ok(uses_pending(tokend->uses, LIMIT_UNACKED_USES - 1, &pending));
	ck_assert_uint_eq(pending.count, 3);
	ck_assert_uint_eq(pending.rows[2].n, LIMIT_UNACKED_USES + 2);
}
END_TEST

START_TEST(the_owners_cap)
{
	ck_ok(uses_admit(tokend->uses, 5, 10));
	ck_ok(uses_admit(tokend->uses, 5, 10));
	ck_code(uses_admit(tokend->uses, 1, 10), RATE);
	ck_ok(uses_admit(tokend->uses, 1, 0));
}
END_TEST

START_TEST(state_that_went_back_stops_the_start)
{
	count(1);
	ck_ok(uses_ack(tokend->uses, 1, 1));
	ck_ok(uses_sign(tokend));
	stop();
	shell("rm %s/token/state/boot", dir);
	ck_code(start(), INTEGRITY);
	shell("printf 'x' > %s/token/state/boot", dir); /* cut short */
	ck_assert(!kms_is_ok(start()));
	shell("printf '\\0\\0\\0\\0\\0\\0\\0\\1' > %s/token/state/boot", dir);
	ck_ok(start());
	ck_assert_uint_eq(boot(), 2);
	stop();
	shell("printf 'x' >> %s/token/state/uses", dir);
	ck_code(start(), INTEGRITY);
}
END_TEST

/* ---- births ---- */

static bool in_token(uint8_t kek)
{
	struct p11_kek object;
	const struct kms_id id = sample_id(kek);
	kms_err err = p11_kek_find(tokend->p11, &id, &object);
	ck_assert(kms_is_ok(err) || kms_is(err, KMS_CODE_NOT_FOUND));
	return kms_is_ok(err);
}

static enum kek_life life(uint8_t kek)
{
	const struct kms_id id = sample_id(kek);
	struct kek *found = keks_find(tokend->keks, &id);
	ck_assert_ptr_nonnull(found);
	return found->life;
}

START_TEST(a_birth_is_said_once_and_the_same_again)
{
	const struct model_bear bear = bear_of(0x10, 0x20, 1);
	struct kms_bytes first, again;
	struct format_statement statement;
	ck_ok(keks_bear(tokend, &bear, &first));
	ck_ok(format_statement_verify(first, kms_buf_bytes(&tokend->statement_spki), &statement));
	ck_assert(kms_id_equal(&statement.u.birth.kek, &bear.kek));
	ck_assert(kms_id_equal(&statement.tenant, &bear.tenant));
	ck_assert(statement.u.birth.attributes.sensitive &&
		  !statement.u.birth.attributes.extractable && !statement.u.birth.imported);
	ck_ok(keks_bear(tokend, &bear, &again));
	ck_assert(kms_bytes_equal(first, again));
	restart();
	ck_ok(keks_bear(tokend, &bear, &again));
	ck_assert_uint_gt(again.len, 0);
	ck_assert_int_eq(life(0x10), KEK_BORN);
	/* The same id with any other fact. */
	struct model_bear other = bear;
	other.key = sample_id(0x21);
	ck_code(keks_bear(tokend, &other, &again), EXISTS);
	other = bear;
	other.version = 2;
	ck_code(keks_bear(tokend, &other, &again), EXISTS);
	other = bear;
	other.custody = MODEL_CUSTODY_ALL;
	ck_code(keks_bear(tokend, &other, &again), EXISTS);
	other = bear;
	other.delivery = MODEL_DELIVERY_CLEAR;
	ck_code(keks_bear(tokend, &other, &again), EXISTS);
	other = bear;
	other.tenant = sample_id(9);
	ck_code(keks_bear(tokend, &other, &again), EXISTS);
	other = bear;
	other.token_count = 2;
	other.tokens[1] = sample_id(7);
	ck_code(keks_bear(tokend, &other, &again), EXISTS);
}
END_TEST

static void not_born(const struct model_bear *bear)
{
	struct kms_bytes statement;
	ck_code(keks_bear(tokend, bear, &statement), TOKEN_REFUSED);
	ck_assert_ptr_null(keks_find(tokend->keks, &bear->kek));
}

START_TEST(births_that_the_owner_refuses)
{
	struct model_bear bear = bear_of(0x10, 0x20, 1);
	bear.tenant = sample_id(9);
	not_born(&bear);
	bear = bear_of(0x10, 0x20, 1);
	bear.tokens[0] = sample_id(8); /* another token's */
	not_born(&bear);
	bear = bear_of(0x10, 0x20, 1);
	bear.token_count = 2;
	bear.tokens[1] = bear.tokens[0]; /* two shares in one token */
	not_born(&bear);
	bear = bear_of(0x10, 0x20, 1);
	bear.delivery = MODEL_DELIVERY_CLEAR; /* the file does not allow it */
	not_born(&bear);
	bear = bear_of(0x10, 0x20, 0);
	not_born(&bear);
	bear = bear_of(0, 0x20, 1);
	not_born(&bear);
	bear = bear_of(0x10, 0, 1);
	not_born(&bear);
}
END_TEST

START_TEST(a_key_keeps_its_terms_and_its_versions_grow)
{
	born(0x10, 0x20, 2);
	ck_ok(commit(0x10));
	struct model_bear bear = bear_of(0x11, 0x20, 2);
	not_born(&bear);
	bear.version = 1;
	not_born(&bear);
	bear = bear_of(0x11, 0x20, 3);
	bear.custody = MODEL_CUSTODY_ALL;
	not_born(&bear);
	born(0x11, 0x20, 3);
	born(0x12, 0x21, 1); /* another key has terms of its own */
	const struct kms_id key = sample_id(0x20);
	ck_assert_uint_eq(keks_newest(tokend->keks, &key)->birth.version, 2);
	ck_ok(commit(0x11));
	ck_assert_uint_eq(keks_newest(tokend->keks, &key)->birth.version, 3);
	restart();
	ck_assert_uint_eq(keks_newest(tokend->keks, &key)->birth.version, 3);
}
END_TEST

/* Born before the other was committed: the terms hold at the commit, too. */
START_TEST(two_births_cannot_become_two_kinds_of_key)
{
	struct model_bear all = bear_of(0x11, 0x20, 2);
	struct kms_bytes statement;
	all.custody = MODEL_CUSTODY_ALL;
	born(0x10, 0x20, 1);
	ck_ok(keks_bear(tokend, &all, &statement));
	born(0x12, 0x20, 1);
	born(0x13, 0x20, 2);
	ck_ok(commit(0x10));
	ck_code(commit(0x11), TOKEN_REFUSED);
	ck_code(commit(0x12), TOKEN_REFUSED);
	ck_ok(commit(0x13));
	restart();
	ck_assert_int_eq(life(0x11), KEK_BORN);
	const struct kms_id key = sample_id(0x20), id = sample_id(0x11);
	ck_assert_int_eq(keks_newest(tokend->keks, &key)->birth.custody, MODEL_CUSTODY_ANY);
	ck_ok(keks_abandon(tokend, &id));
}
END_TEST

START_TEST(commit_and_abandon)
{
	const struct kms_id one = sample_id(0x10), two = sample_id(0x11), none = sample_id(0x12);
	born(0x10, 0x20, 1);
	born(0x11, 0x21, 1);
	ck_code(keks_commit(tokend, &none), NOT_FOUND);
	ck_ok(keks_commit(tokend, &one));
	ck_ok(keks_commit(tokend, &one));
	ck_code(keks_abandon(tokend, &one), TOKEN_REFUSED);
	ck_ok(keks_abandon(tokend, &two));
	ck_ok(keks_abandon(tokend, &two));
	ck_ok(keks_abandon(tokend, &none));
	ck_code(keks_commit(tokend, &two), NOT_FOUND);
	const struct model_bear again = bear_of(0x11, 0x21, 1);
	struct kms_bytes statement;
	ck_code(keks_bear(tokend, &again, &statement), EXISTS);
	restart();
	ck_assert_int_eq(life(0x10), KEK_COMMITTED);
	ck_assert_int_eq(life(0x11), KEK_ABANDONED);
	ck_assert(in_token(0x10) && !in_token(0x11));
	ck_code(keks_abandon(tokend, &one), TOKEN_REFUSED);
	struct model_held_kek *rows = NULL;
	uint32_t count;
	const struct kms_id start_id = {{0}};
	ck_ok(keks_list(tokend->keks, &start_id, &rows, &count));
	ck_assert_uint_eq(count, 1); /* the abandoned one is left out */
	ck_assert(kms_id_equal(&rows[0].kek, &one) && rows[0].life == MODEL_HELD_COMMITTED);
	free(rows);
	ck_ok(keks_list(tokend->keks, &one, &rows, &count));
	ck_assert_uint_eq(count, 0);
	free(rows);
}
END_TEST

/* ---- kills: what stands on disk after each durable write ---- */

/* A KEK in the token of which nothing else tells. */
static void orphan(uint8_t kek)
{
	const struct kms_id id = sample_id(kek);
	struct p11_kek object;
	struct p11_kek_facts facts;
	ck_ok(p11_kek_generate(tokend->p11, &id, &object, &facts));
}

#define KEK_FILE(digits, suffix)                                                                   \
	path_of("%s/token/state/kek/" digits digits digits digits "-" digits digits                \
		"-" digits digits "-" digits digits "-" digits digits digits digits digits digits  \
		"." suffix,                                                                        \
		dir)

#define ck_gone(path) ck_assert_int_ne(access((path), F_OK), 0)

static void intend(uint8_t kek)
{
	const struct kms_id id = sample_id(kek);
	char text[KMS_ID_TEXT];
	write_file(path_of("%s/token/state/kek/%s.intent", dir, kms_id_text(&id, text)), "");
}

START_TEST(an_unborn_object_is_swept_and_no_other)
{
	born(0x10, 0x20, 1);
	ck_ok(commit(0x10));
	born(0x11, 0x20, 2);
	ck_gone(KEK_FILE("10", "intent"));
	intend(0x12);
	orphan(0x12);
	orphan(0x13); /* its birth may have been lost */
	restart();
	ck_assert(in_token(0x10) && in_token(0x11) && !in_token(0x12) && in_token(0x13));
	ck_gone(KEK_FILE("12", "intent"));
	/* A birth that was being written: the temporary file is no birth, and goes with its object.
	 */
	intend(0x12);
	orphan(0x12);
	write_file(KEK_FILE("12", "birth.new"), "half");
	write_file(KEK_FILE("14", "intent.new"), "");
	restart();
	ck_assert(in_token(0x10) && in_token(0x11) && !in_token(0x12));
	ck_gone(KEK_FILE("12", "birth.new"));
	ck_gone(KEK_FILE("14", "intent.new"));
}
END_TEST

START_TEST(an_intent_beside_its_birth_is_over)
{
	born(0x10, 0x20, 1);
	intend(0x10);
	restart();
	ck_assert(in_token(0x10));
	ck_assert_int_eq(life(0x10), KEK_BORN);
	ck_gone(KEK_FILE("10", "intent"));
}
END_TEST

/* The rename is on disk, but the directory's fsync failed: nobody was told of that birth. */
START_TEST(a_birth_that_may_not_be_durable_is_unmade)
{
	const struct kms_id id = sample_id(0x10);
	intend(0x10);
	orphan(0x10);
	write_file(KEK_FILE("10", "birth"), "");
	ck_ok(keks_abandon(tokend, &id));
	ck_assert(!in_token(0x10));
	ck_gone(KEK_FILE("10", "birth"));
	ck_gone(KEK_FILE("10", "intent"));
	born(0x10, 0x20, 1); /* and may be tried again */
}
END_TEST

START_TEST(an_intent_that_is_not_durable_makes_nothing)
{
	const struct model_bear bear = bear_of(0x10, 0x20, 1);
	struct kms_bytes statement;
	ck_assert_int_eq(mkdir(KEK_FILE("10", "intent.new"), 0700), 0);
	ck_assert(!kms_is_ok(keks_bear(tokend, &bear, &statement)));
	ck_assert(!in_token(0x10));
}
END_TEST

START_TEST(a_kill_after_the_mark_of_an_abandon)
{
	born(0x10, 0x20, 1);
	stop();
	shell("touch %s/token/state/kek/10101010-1010-1010-1010-101010101010.abandoned", dir);
	ck_ok(start());
	ck_assert(!in_token(0x10));
	ck_assert_int_eq(life(0x10), KEK_ABANDONED);
}
END_TEST

/* Not even when it lacks a single birth. */
START_TEST(an_older_copy_of_the_state_destroys_nothing)
{
	born(0x10, 0x20, 1);
	ck_ok(commit(0x10));
	shell("cp -a %s/token/state/kek %s/older", dir, dir);
	born(0x11, 0x20, 2);
	ck_ok(commit(0x11));
	stop();
	shell("mv %s/token/state/kek %s/newer && mv %s/older %s/token/state/kek", dir, dir, dir,
		dir);
	ck_ok(start());
	ck_assert(in_token(0x10) && in_token(0x11));
	stop();
	shell("rm -r %s/token/state/kek && mv %s/newer %s/token/state/kek", dir, dir, dir);
	ck_ok(start());
	ck_assert_int_eq(life(0x11), KEK_COMMITTED);
}
END_TEST

START_TEST(marks_that_cannot_be_read_stop_the_start)
{
	born(0x10, 0x20, 1);
	ck_ok(commit(0x10));
	stop();
	const char *mark = path_of(
		"%s/token/state/kek/%s.abandoned", dir, "10101010-1010-1010-1010-101010101010");
	ck_assert_int_eq(mkdir(mark, 0700), 0); /* there, and no file */
	ck_assert(!kms_is_ok(start()));
	ck_assert_int_eq(rmdir(mark), 0);
	write_file(mark, ""); /* committed and abandoned */
	ck_code(start(), INTEGRITY);
	ck_assert_int_eq(unlink(mark), 0);
	ck_ok(start());
	ck_assert(in_token(0x10));
	stop();
	shell("printf x >> %s/token/state/kek/10101010-1010-1010-1010-101010101010.birth", dir);
	ck_code(start(), INTEGRITY);
}
END_TEST

START_TEST(while_a_committed_kek_is_missing_nothing_is_swept)
{
	const struct kms_id id = sample_id(0x10);
	born(0x10, 0x20, 1);
	ck_ok(commit(0x10));
	intend(0x12);
	orphan(0x12);
	ck_ok(p11_kek_destroy(tokend->p11, &id));
	restart(); /* it serves what is there */
	ck_assert(!in_token(0x10) && in_token(0x12));
	ck_assert_int_eq(access(KEK_FILE("12", "intent"), F_OK), 0); /* for a later start */
}
END_TEST

/* ---- the wrap budget ---- */

static struct kek *kek_10(void)
{
	const struct kms_id id = sample_id(0x10);
	struct kek *kek = keks_find(tokend->keks, &id);
	ck_assert_ptr_nonnull(kek);
	return kek;
}

static uint64_t on_disk(void)
{
	uint64_t wraps;
	ck_ok(state_read_u64(
		&tokend->state, "kek/10101010-1010-1010-1010-101010101010.wraps", &wraps));
	return wraps;
}

START_TEST(wraps_are_reserved_before_they_are_made)
{
	born(0x10, 0x20, 1);
	ck_assert_uint_eq(on_disk(), 0);
	for (uint64_t n = 1; n <= LIMIT_WRAP_BLOCK + 1; n++) {
		ck_ok(keks_count_wrap(tokend, kek_10()));
		ck_assert_uint_ge(on_disk(), n);
	}
	ck_assert_uint_eq(on_disk(), 2 * LIMIT_WRAP_BLOCK);
	restart(); /* as after a kill: the rest of the block is given up, never used twice */
	ck_ok(keks_count_wrap(tokend, kek_10()));
	ck_assert_uint_eq(kek_10()->wraps, 2 * LIMIT_WRAP_BLOCK + 1);
	ck_assert_uint_eq(on_disk(), 3 * LIMIT_WRAP_BLOCK);
}
END_TEST

START_TEST(a_block_that_is_not_durable_is_not_used)
{
	born(0x10, 0x20, 1);
	shell("mkdir %s/token/state/kek/10101010-1010-1010-1010-101010101010.wraps.new", dir);
	ck_assert(!kms_is_ok(keks_count_wrap(tokend, kek_10())));
	ck_assert_uint_eq(kek_10()->wraps, 0);
	ck_assert_uint_eq(kek_10()->reserved, 0);
}
END_TEST

START_TEST(the_budget_ends)
{
	born(0x10, 0x20, 1);
	ck_ok(state_write_u64(&tokend->state, "kek/10101010-1010-1010-1010-101010101010.wraps",
		LIMIT_WRAPS - LIMIT_WRAP_BLOCK));
	restart();
	for (uint32_t i = 0; i < LIMIT_WRAP_BLOCK; i++) {
		ck_ok(keks_count_wrap(tokend, kek_10()));
	}
	ck_assert_uint_eq(kek_10()->wraps, LIMIT_WRAPS);
	ck_code(keks_count_wrap(tokend, kek_10()), BUDGET);
	restart();
	ck_code(keks_count_wrap(tokend, kek_10()), BUDGET);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tokend_state");
	TCase *tcase = tcase_create("state");
	suite_add_tcase(suite, tcase);
	tcase_add_unchecked_fixture(tcase, make_certs, drop_certs);
	tcase_add_checked_fixture(tcase, fresh, gone);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, boots_count_up);
	tcase_add_test(tcase, only_acknowledged_uses_are_stated);
	tcase_add_test(tcase, a_boot_carries_the_last_statement_before);
	tcase_add_test(tcase, a_statement_that_is_not_durable_does_not_leave);
	tcase_add_test(tcase, acknowledgements_are_checked);
	tcase_add_test(tcase, unacknowledged_uses_are_offered_and_bounded);
	tcase_add_test(tcase, the_owners_cap);
	tcase_add_test(tcase, state_that_went_back_stops_the_start);
	tcase_add_test(tcase, a_birth_is_said_once_and_the_same_again);
	tcase_add_test(tcase, births_that_the_owner_refuses);
	tcase_add_test(tcase, a_key_keeps_its_terms_and_its_versions_grow);
	tcase_add_test(tcase, two_births_cannot_become_two_kinds_of_key);
	tcase_add_test(tcase, commit_and_abandon);
	tcase_add_test(tcase, an_unborn_object_is_swept_and_no_other);
	tcase_add_test(tcase, an_intent_beside_its_birth_is_over);
	tcase_add_test(tcase, a_birth_that_may_not_be_durable_is_unmade);
	tcase_add_test(tcase, an_intent_that_is_not_durable_makes_nothing);
	tcase_add_test(tcase, a_kill_after_the_mark_of_an_abandon);
	tcase_add_test(tcase, an_older_copy_of_the_state_destroys_nothing);
	tcase_add_test(tcase, marks_that_cannot_be_read_stop_the_start);
	tcase_add_test(tcase, while_a_committed_kek_is_missing_nothing_is_swept);
	tcase_add_test(tcase, wraps_are_reserved_before_they_are_made);
	tcase_add_test(tcase, a_block_that_is_not_durable_is_not_used);
	tcase_add_test(tcase, the_budget_ends);
	return suite_run(suite);
}
