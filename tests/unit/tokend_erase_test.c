/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of erasures in kms-tokend over a real SoftHSM: what it destroys and states, that it judges
 * by its owner's file alone, and that a kill between the steps loses nothing.
 */
#include "no_leak_check.h"
#include "tokend_erase_fixture.h"

static struct kms_buf late;

/* ---- the good path ---- */

START_TEST(an_approved_erasure_destroys_and_says_so)
{
	struct format_destroy destroy;
	struct format_absence absence;
	ck_assert_int_eq(use_of(0x20), KMS_CODE_OK);
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_assert(in_token(0x10)); /* opening destroys nothing */
	ck_ok(erase_one(0x10, &destroy, &absence));
	ck_assert(destroy.found && destroy.canary_before && !destroy.canary_after);
	ck_assert_uint_eq(destroy.rv, 0);
	ck_assert(kms_hash_equal(&destroy.what.erase, &erase_hash));
	ck_assert(kms_hash_equal(&destroy.what.commitment, &erase_keks[0].commitment));
	ck_assert_uint_eq(destroy.what.version, 1);
	ck_assert_uint_eq(absence.searched, 2);
	ck_assert_uint_eq(absence.matched, 0);
	ck_assert_uint_eq(absence.born, 2); /* of this key */
	ck_assert_uint_eq(absence.living, 1);
	ck_assert(!in_token(0x10) && in_token(0x11));
	ck_ok(erase_one(0x11, &destroy, &absence));
	ck_assert_uint_eq(absence.living, 0);
	ck_assert(!in_token(0x11) && in_token(0x12));
	ck_assert_int_eq(use_of(0x20), KMS_CODE_ERASED);
	ck_assert_int_eq(use_of(0x21), KMS_CODE_OK);
	ck_assert_int_eq(listed(0x10), MODEL_HELD_DESTROYED);
	const struct kms_id id = sample_id(0x10);
	ck_code(keks_abandon(tokend, &id), TOKEN_REFUSED);
}
END_TEST

START_TEST(again_gives_the_same_statements)
{
	const struct kms_id id = sample_id(0x10);
	KMS_AUTO_BUF first = {0};
	struct kms_bytes a, b;
	draft();
	sign_draft();
	ck_code(erase_kek(tokend, &erase.erasure, &id, &first, &a, &b, reason), NOT_FOUND);
	ck_ok(open_it());
	ck_ok(erase_kek(tokend, &erase.erasure, &id, &first, &a, &b, reason));
	for (int i = 0; i < 2; i++) {
		KMS_AUTO_BUF again = {0};
		struct kms_bytes c, d;
		ck_ok(erase_kek(tokend, &erase.erasure, &id, &again, &c, &d, reason));
		ck_assert(kms_bytes_equal(a, c) && kms_bytes_equal(b, d));
		restart(); /* a destroyed one needs no opening */
	}
	ck_code(erase_it(0x11), NOT_FOUND);
	ck_ok(open_it()); /* judged again, with one KEK gone */
	ck_ok(erase_it(0x11));
	const struct kms_id other = sample_id(0xe2);
	KMS_AUTO_BUF none = {0};
	ck_code(erase_kek(tokend, &other, &id, &none, &a, &b, reason), NOT_FOUND);
}
END_TEST

START_TEST(erasures_held_are_bounded)
{
	for (uint8_t i = 0; i <= ERASE_OPEN_MAX; i++) {
		draft();
		erase.erasure = sample_id((uint8_t)(0x80 + i));
		sign_draft();
		ck_ok(open_it());
	}
	ck_ok(erase_it(0x10));
	erase.erasure = sample_id(0x80);
	ck_code(erase_it(0x11), NOT_FOUND); /* the oldest went */
	erase.erasure = sample_id(0x81);
	ck_code(erase_it(0x10), TOKEN_REFUSED); /* by another it died */
}
END_TEST

/* ---- refusals: who ---- */

START_TEST(too_few_approvals)
{
	draft();
	sign_draft();
	order.approval_count = 1;
	refused_for("1 approvals, and 2 are needed");
	order.approval_count = 0;
	refused_for("0 approvals");
}
END_TEST

START_TEST(one_approver_twice)
{
	draft();
	sign_draft();
	approve(1, 0);
	refused_for("signed twice");
	order.approval_count = 3; /* also beside enough others */
	approve(1, 1);
	approve(2, 1);
	refused_for("signed twice");
}
END_TEST

START_TEST(an_approver_with_anothers_key)
{
	draft();
	sign_draft();
	order.approvals[1].approver = approver_id(2); /* but key 1 */
	refused_for("not pinned");
}
END_TEST

START_TEST(a_key_that_is_not_pinned)
{
	draft();
	sign_draft();
	order.approvals[1].spki = kms_buf_bytes(&peer_spki);
	sign_bytes(peer_key, order.erase, order.approvals[1].signature);
	refused_for("not pinned");
}
END_TEST

START_TEST(the_requester_approves_by_id)
{
	draft();
	erase.requester = approver_id(1);
	sign_draft();
	refused_for("requester cannot approve");
}
END_TEST

START_TEST(the_requester_approves_by_key)
{
	draft();
	sign_draft();
	approve(1, APPROVERS - 1); /* pinned, under another id */
	refused_for("requester cannot approve");
}
END_TEST

START_TEST(forged_signatures)
{
	draft();
	sign_draft();
	order.approvals[1].signature[9] ^= 1;
	refused_for("approval's signature");
	sign_draft();
	order.signature[9] ^= 1;
	refused_for("requester's signature");
	/* over other bytes */
	sign_draft();
	sign_bytes(approver_keys[1], kms_bytes_str("other"), order.approvals[1].signature);
	refused_for("approval's signature");
}
END_TEST

START_TEST(a_storage_certificate_as_requester)
{
	draft();
	requester = "storage";
	sign_draft();
	refused_for("storage system's");
}
END_TEST

START_TEST(a_requester_of_another_ca)
{
	draft();
	requester = "kmsd";
	sign_draft();
	refused_for("not a valid one");
}
END_TEST

START_TEST(a_denied_requester)
{
	const struct kms_hash denied = spki_of("plain");
	char hex[KMS_HASH_TEXT];
	stop();
	write_file(path_of("%s/deny", dir), path_of("%s\n", kms_hash_text(&denied, hex)));
	shell("echo 'deny: deny' >> %s/owner.yaml", dir);
	ck_ok(start());
	draft();
	sign_draft();
	refused_for("deny list");
}
END_TEST

/* ---- refusals: when ---- */

START_TEST(too_early_is_tried_again)
{
	draft();
	erase.not_before_unix_s = kms_now_unix_ms() / 1000 + 60;
	sign_draft();
	ck_code(open_it(), TIMEOUT);
	kms_clock_fix((erase.not_before_unix_s - 1) * 1000 + 999);
	ck_code(open_it(), TIMEOUT);
	kms_clock_fix(erase.not_before_unix_s * 1000);
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
}
END_TEST

START_TEST(expired)
{
	draft();
	sign_draft();
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	refused_for("expired");
	kms_clock_fix(erase.expires_unix_s * 1000);
	ck_ok(open_it());
	/* held, but executed too late */
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	ck_code(erase_it(0x10), TOKEN_REFUSED);
	ck_assert(in_token(0x10));
}
END_TEST

START_TEST(what_began_in_time_is_finished)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	/* that the other one was in time helps this one nothing, here and after a restart */
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	ck_code(erase_it(0x11), TOKEN_REFUSED);
	restart();
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	ck_code(erase_it(0x11), TOKEN_REFUSED);
	ck_assert(in_token(0x11));
}
END_TEST

/* Marked in time, killed, and away until the approvals have expired: it is finished by these very
 * bytes, and the statement says when it began and when it ended. */
START_TEST(a_kill_after_the_mark_is_finished_after_the_expiry)
{
	struct format_destroy destroy;
	struct format_absence absence;
	draft();
	sign_draft();
	kms_clock_fix(erase.expires_unix_s * 1000);
	const struct kek_mark mark = {erase.erasure, erase_hash, kms_now_unix_ms()};
	ck_ok(keks_mark_erasing(tokend, kek_of(0x10), &mark));
	kms_clock_fix(erase.expires_unix_s * 1000 + 86400 * 1000);
	restart();
	ck_code(erase_it(0x10), NOT_FOUND);
	ck_ok(open_it());
	ck_ok(erase_one(0x10, &destroy, &absence));
	ck_assert(destroy.found && destroy.canary_before);
	ck_assert_int_eq(destroy.begun_unix_ms, erase.expires_unix_s * 1000);
	ck_assert_int_eq(destroy_unix_ms, erase.expires_unix_s * 1000 + 86400 * 1000);
	ck_assert(!in_token(0x10));
	ck_code(erase_it(0x11), TOKEN_REFUSED);
	ck_assert(in_token(0x11));
}
END_TEST

/* The old bytes finish what they began; what they did not begin dies by new ones alone. */
START_TEST(new_bytes_destroy_what_the_old_never_began)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	ck_code(erase_it(0x11), TOKEN_REFUSED);
	draft();
	erase.erasure = sample_id(0xe2);
	sign_draft();
	refused_for("dies by another erasure"); /* with the one that is gone */
	draft();
	erase.erasure = sample_id(0xe2);
	erase.keks[0] = erase.keks[1];
	erase.kek_count = 1;
	sign_draft();
	order.approval_count = 1;
	refused_for("1 approvals, and 2 are needed"); /* the old ones are none of it */
	order.approval_count = 2;
	ck_ok(open_it());
	ck_ok(erase_it(0x11));
	ck_assert(!in_token(0x11));
}
END_TEST

/* A mark by other bytes is no beginning of these. */
START_TEST(a_mark_by_other_bytes_is_no_beginning)
{
	draft();
	sign_draft();
	const struct kek_mark mark = {erase.erasure, sample_hash(9), kms_now_unix_ms()};
	ck_ok(keks_mark_erasing(tokend, kek_of(0x10), &mark));
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	refused_for("expired");
}
END_TEST

/* A peer's destroy statement about this erasure. */
static void peer_says(struct format_statement *said, const struct crypto_signer *key)
{
	KMS_AUTO_BUF part = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_WRITER all = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	kms_buf_free(&late);
	ck_ok(format_statement_write(said, &part));
	ck_ok(crypto_sign(key, kms_buf_bytes(&part), raw));
	kms_write_bytes(&all, kms_buf_bytes(&part));
	kms_write_fixed(&all, raw, sizeof(raw));
	ck_ok(kms_writer_take(&all, &late));
	order.late = kms_buf_bytes(&late);
}

static struct format_statement peers_word(void)
{
	const struct format_erase_kek *kek = &erase_keks[erase.kek_count - 1];
	return (struct format_statement){
		.type = FORMAT_STATEMENT_DESTROY,
		.token = sample_id(0xee),
		.tenant = tenant_id(),
		.unix_ms = erase.expires_unix_s * 1000 - 5,
		.u.destroy = {.what = {erase.erasure, erase_hash, kek->key, kek->version, kek->kek,
				      kek->commitment},
			.begun_unix_ms = erase.expires_unix_s * 1000 - 7,
			.found = true,
			.canary_before = true},
	};
}

static void draft_with_peer(void)
{
	draft();
	/* sorted by token: make the peer's the last */
	erase.keks[erase.kek_count++] = (struct format_erase_kek){
		sample_id(0xee), sample_id(0x33), sample_id(0x20), 1, sample_hash(0x34)};
	if (memcmp(tokend->token.b, sample_id(0xee).b, 16) > 0) {
		struct format_erase_kek peer = erase.keks[2];
		memmove(&erase.keks[1], &erase.keks[0], 2 * sizeof(erase.keks[0]));
		erase.keks[0] = peer;
	}
	sign_draft();
}

static const struct format_erase_kek *peers_kek(void)
{
	bool first = kms_id_equal(&erase.keks[0].token, &(struct kms_id){{0}});
	const struct kms_id peer = sample_id(0xee);
	first = kms_id_equal(&erase.keks[0].token, &peer);
	return &erase.keks[first ? 0 : 2];
}

static struct format_statement good_word(void)
{
	struct format_statement said = peers_word();
	const struct format_erase_kek *kek = peers_kek();
	said.u.destroy.what.kek = kek->kek;
	said.u.destroy.what.key = kek->key;
	said.u.destroy.what.version = kek->version;
	said.u.destroy.what.commitment = kek->commitment;
	return said;
}

START_TEST(late_with_a_peers_statement)
{
	struct format_destroy destroy;
	struct format_absence absence;
	draft_with_peer();
	kms_clock_fix(erase.expires_unix_s * 1000 + 86400 * 1000);
	refused_for("expired");
	struct format_statement said = good_word();
	peer_says(&said, peer_key);
	ck_ok(open_it());
	/* it takes the word, and not the time: what it says of the beginning is its own */
	ck_ok(erase_one(0x10, &destroy, &absence));
	ck_assert_int_eq(destroy.begun_unix_ms, erase.expires_unix_s * 1000 + 86400 * 1000);
}
END_TEST

START_TEST(late_statements_that_do_not_count)
{
	draft_with_peer();
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	struct format_statement said = good_word();
	peer_says(&said, ledger_key);
	refused_for("no destroy statement of a pinned token");
	said.token = sample_id(0xef);
	peer_says(&said, peer_key);
	refused_for("no destroy statement of a pinned token");
	said = good_word();
	said.u.destroy.what.erase = sample_hash(9);
	peer_says(&said, peer_key);
	refused_for("something else");
	said = good_word();
	said.u.destroy.what.kek = sample_id(0x99);
	peer_says(&said, peer_key);
	refused_for("something else");
	said = good_word();
	said.unix_ms = said.u.destroy.begun_unix_ms = erase.expires_unix_s * 1000 + 1;
	peer_says(&said, peer_key);
	refused_for("did not begin in the window");
	said.u.destroy.begun_unix_ms = erase.not_before_unix_s * 1000 - 1;
	peer_says(&said, peer_key);
	refused_for("did not begin in the window");
	said.u.destroy.begun_unix_ms = erase.not_before_unix_s * 1000 + 1;
	said.unix_ms = erase.not_before_unix_s * 1000;
	peer_says(&said, peer_key);
	refused_for("did not begin in the window");
	ck_assert(in_token(0x10));
}
END_TEST

/* ---- refusals: what ---- */

START_TEST(another_tenant_or_ledger)
{
	draft();
	erase.tenant = sample_id(0x66);
	sign_draft();
	refused_for("another tenant");
	draft();
	(void)strcpy(erase.origin, "example.test/kmsd/2");
	sign_draft();
	refused_for("another ledger");
}
END_TEST

START_TEST(bytes_that_do_not_parse)
{
	draft();
	sign_draft();
	order.erase.len--;
	refused_for("do not parse");
}
END_TEST

START_TEST(keks_that_are_not_these)
{
	draft();
	erase.keks[1].kek = sample_id(0x5f);
	sign_draft();
	refused_for("no KEK 5f5f5f5f");
	draft();
	erase.keks[1].version = 3;
	sign_draft();
	refused_for("another key or version");
	draft_tenant();
	erase.keks[1].key = sample_id(0x21);
	sign_draft();
	refused_for("another key or version");
	draft();
	erase.keks[1].commitment.b[0] ^= 1;
	sign_draft();
	refused_for("another KEK");
	draft();
	erase.kek_count = 1;
	erase.keks[0].token = sample_id(0xee);
	sign_draft();
	refused_for("nothing of this token");
}
END_TEST

START_TEST(a_kek_that_was_never_committed)
{
	born(0x13, 0x22, 1);
	draft_tenant();
	add_kek(0x13);
	sign_draft();
	refused_for("no KEK 13131313");
}
END_TEST

START_TEST(a_kek_that_the_erasure_does_not_name)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_code(erase_it(0x12), TOKEN_REFUSED);
	ck_assert(in_token(0x12));
}
END_TEST

START_TEST(a_kek_that_dies_by_another_erasure)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	draft();
	erase.erasure = sample_id(0xe2);
	sign_draft();
	refused_for("another erasure");
}
END_TEST

START_TEST(an_owner_who_allows_none)
{
	stop();
	(void)write_owner(false, "");
	ck_ok(start());
	draft();
	sign_draft();
	refused_for("allows no erasure");
}
END_TEST

/* ---- refusals: the ledger ---- */

START_TEST(an_intent_that_is_not_in_the_ledger)
{
	draft();
	sign_draft();
	order.proof[0] = sample_hash(0x78);
	refused_for("not in the ledger");
	sign_draft();
	order.proof_count = 0;
	refused_for("not in the ledger");
	sign_draft();
	order.index = 0;
	refused_for("not in the ledger");
	sign_draft();
	order.index = 2;
	refused_for("not in the ledger");
}
END_TEST

START_TEST(a_checkpoint_that_is_not_the_ledgers)
{
	draft();
	sign_draft();
	record_as(ORIGIN, peer_key); /* another key under its name */
	refused_for("not the pinned ledger's");
	record_as("example.test/kmsd/2", ledger_key);
	refused_for("not the pinned ledger's");
	sign_draft();
	order.checkpoint.len -= 20; /* without its whole signature */
	refused_for("not the pinned ledger's");
	order.checkpoint.len = 0;
	refused_for("not the pinned ledger's");
}
END_TEST

START_TEST(an_entry_that_is_no_intent)
{
	const struct kms_hash other = sample_hash(5);
	draft();
	sign_draft();
	intent_text("destroy.request", &erase_hash);
	record_as(ORIGIN, ledger_key);
	refused_for("not its intent");
	intent_text("destroy.execute.intent", &other);
	record_as(ORIGIN, ledger_key);
	refused_for("not its intent");
	order.entry.len = 0;
	refused_for("not its intent");
}
END_TEST

/* ---- cancellations ---- */

static kms_err cancel_with(
	const struct crypto_signer *key, const struct kms_buf *spki, struct kms_bytes certificate)
{
	KMS_AUTO_BUF what = {0};
	uint8_t signature[MODEL_SIGNATURE];
	ck_ok(format_erase_cancel_write(&erase.erasure, &erase_hash, &what));
	sign_bytes(key, kms_buf_bytes(&what), signature);
	return erase_cancel(
		tokend, order.erase, kms_buf_bytes(spki), certificate, signature, reason);
}

static kms_err cancel_by_cert(const char *name)
{
	KMS_AUTO(crypto_signer) key = NULL;
	KMS_AUTO_BUF spki = {0};
	sign_as_requester(name);
	ck_ok(crypto_signer_read(path_of("%s/%s.key", certs, name), &key));
	ck_ok(crypto_signer_spki(key, &spki));
	return cancel_with(key, &spki, order.certificate);
}

START_TEST(cancelled_is_cancelled_for_ever)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(cancel_with(approver_keys[2], &approver_spki[2], (struct kms_bytes){0}));
	ck_ok(cancel_with(approver_keys[2], &approver_spki[2], (struct kms_bytes){0}));
	ck_code(erase_it(0x10), NOT_FOUND);
	refused_for("cancelled");
	restart();
	refused_for("cancelled");
	ck_assert(in_token(0x10));
	draft(); /* another erasure of the same is not */
	erase.erasure = sample_id(0xe2);
	sign_draft();
	ck_ok(open_it());
}
END_TEST

START_TEST(who_may_cancel)
{
	draft();
	sign_draft();
	ck_code(cancel_with(peer_key, &peer_spki, (struct kms_bytes){0}), TOKEN_REFUSED);
	ck_code(cancel_with(approver_keys[1], &approver_spki[2], (struct kms_bytes){0}),
		TOKEN_REFUSED);
	ck_code(cancel_by_cert("storage"), TOKEN_REFUSED);
	ck_code(cancel_by_cert("kmsd"), TOKEN_REFUSED);
	/* a certificate that is not the key's */
	ck_code(cancel_with(peer_key, &peer_spki, order.certificate), TOKEN_REFUSED);
	sign_draft();
	ck_ok(open_it());
	ck_ok(cancel_by_cert("plain"));
	refused_for("cancelled");
}
END_TEST

START_TEST(begun_is_not_cancelled)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	ck_code(cancel_with(approver_keys[2], &approver_spki[2], (struct kms_bytes){0}), KEY_STATE);
	ck_ok(erase_it(0x11));
}
END_TEST

/* ---- kills: what stands on disk after each durable write ---- */

static void mark_erasing(uint8_t kek)
{
	const struct kek_mark mark = {erase.erasure, erase_hash, kms_now_unix_ms()};
	ck_ok(keks_mark_erasing(tokend, kek_of(kek), &mark));
}

START_TEST(a_kill_after_the_mark)
{
	struct format_destroy destroy;
	struct format_absence absence;
	draft();
	sign_draft();
	mark_erasing(0x11);
	restart();
	ck_assert_int_eq(listed(0x11), MODEL_HELD_ERASING);
	ck_assert_int_eq(use_of(0x20), KMS_CODE_KEY_STATE);
	ck_assert(in_token(0x11)); /* nothing sweeps it */
	ck_code(erase_it(0x11), NOT_FOUND);
	ck_ok(open_it());
	ck_ok(erase_one(0x11, &destroy, &absence));
	ck_assert(destroy.found && destroy.canary_before);
}
END_TEST

START_TEST(a_kill_after_the_destruction)
{
	struct format_destroy destroy;
	struct format_absence absence;
	const struct kms_id id = sample_id(0x11);
	draft();
	sign_draft();
	mark_erasing(0x11);
	ck_ok(p11_kek_destroy(tokend->p11, &id));
	restart(); /* a missing KEK that is being erased stops nothing */
	ck_assert_int_eq(listed(0x11), MODEL_HELD_ERASING);
	ck_assert_int_eq(use_of(0x21), KMS_CODE_OK);
	ck_ok(open_it());
	ck_ok(erase_one(0x11, &destroy, &absence));
	ck_assert(!destroy.found && !destroy.canary_before && destroy.rv == 0);
	ck_assert_uint_eq(absence.matched, 0);
}
END_TEST

START_TEST(statements_that_are_not_durable_do_not_leave)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	char text[KMS_ID_TEXT];
	const struct kms_id id = sample_id(0x10);
	const char *file =
		path_of("%s/token/state/kek/%s.destroyed.new", dir, kms_id_text(&id, text));
	ck_assert_int_eq(mkdir(file, 0700), 0);
	ck_assert(!kms_is_ok(erase_it(0x10)));
	ck_assert_int_eq(rmdir(file), 0);
	ck_ok(erase_it(0x10));
	/* and no destruction without its mark */
	const struct kms_id two = sample_id(0x11);
	file = path_of("%s/token/state/kek/%s.erasing.new", dir, kms_id_text(&two, text));
	ck_assert_int_eq(mkdir(file, 0700), 0);
	ck_assert(!kms_is_ok(erase_it(0x11)));
	ck_assert(in_token(0x11));
}
END_TEST

START_TEST(a_kek_that_was_gone_before_is_not_stated)
{
	const struct kms_id id = sample_id(0x10);
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(p11_kek_destroy(tokend->p11, &id));
	ck_code(erase_it(0x10), INTEGRITY);
	ck_assert_int_eq(listed(0x10), MODEL_HELD_COMMITTED);
}
END_TEST

START_TEST(changed_marks_stop_the_start)
{
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	stop();
	shell("cd %s/token/state/kek && echo >> 10101010-1010-1010-1010-101010101010.destroyed",
		dir);
	ck_code(start(), INTEGRITY);
	shell("cd %s/token/state/kek && truncate -s -1 *10.destroyed && mv *10.erasing ../away",
		dir);
	ck_code(start(), INTEGRITY);
	shell("cd %s/token/state/kek && mv ../away "
	      "10101010-1010-1010-1010-101010101010.erasing",
		dir);
	ck_ok(start());
}
END_TEST

/* ---- a KEK that comes back ---- */

START_TEST(a_kek_that_reappears_is_never_used)
{
	draft();
	sign_draft();
	stop();
	shell("cp -a %s/token/tokens %s/before", dir, dir);
	ck_ok(start());
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	ck_ok(erase_it(0x11));
	stop();
	shell("rm -r %s/token/tokens && cp -a %s/before %s/token/tokens", dir, dir, dir);
	kms_log_set("tokend_test", KMS_LOG_ERROR);
	ck_ok(start());
	ck_assert_int_eq(listed(0x11), MODEL_HELD_REAPPEARED);
	ck_assert_int_eq(use_of(0x20), KMS_CODE_ERASED);
	ck_assert_int_eq(use_of(0x21), KMS_CODE_OK);
	restart();
	ck_assert(in_token(0x10) && in_token(0x11)); /* not swept: it is evidence */
	ck_assert_int_eq(listed(0x10), MODEL_HELD_REAPPEARED);
	ck_ok(erase_it(0x10)); /* the statements of then */
	ck_assert(in_token(0x10));
}
END_TEST

START_TEST(every_object_of_a_kek_is_destroyed)
{
	struct format_destroy destroy;
	struct format_absence absence;
	draft();
	sign_draft();
	stop();
	/* the same objects once more: SoftHSM takes any UUID as a file's name */
	shell("cd %s/token/tokens/* && for f in *-*.object *-*.lock; do "
	      "cp $f ffffffff$(echo $f | cut -c9-); done",
		dir);
	ck_ok(start());
	ck_ok(open_it());
	ck_ok(erase_one(0x10, &destroy, &absence));
	ck_assert(destroy.found);
	ck_assert_uint_eq(absence.matched, 0);
	ck_assert(!in_token(0x10));
}
END_TEST

/* ---- hold ---- */

START_TEST(a_held_kek_refuses_every_use)
{
	const struct kms_id id = sample_id(0x11), none = sample_id(0x55);
	ck_ok(keks_hold(tokend, &id, true));
	ck_ok(keks_hold(tokend, &id, true));
	ck_assert_int_eq(use_of(0x20), KMS_CODE_KEY_STATE);
	restart();
	ck_assert_int_eq(use_of(0x20), KMS_CODE_KEY_STATE);
	ck_assert_int_eq(use_of(0x21), KMS_CODE_OK);
	ck_ok(keks_hold(tokend, &id, false));
	ck_ok(keks_hold(tokend, &id, false));
	ck_assert_int_eq(use_of(0x20), KMS_CODE_OK);
	restart();
	ck_assert_int_eq(use_of(0x20), KMS_CODE_OK);
	ck_code(keks_hold(tokend, &none, true), NOT_FOUND);
	draft();
	sign_draft();
	ck_ok(open_it());
	ck_ok(erase_it(0x11));
	ck_code(keks_hold(tokend, &id, false), ERASED);
}
END_TEST

/* ---- wipe ---- */

static kms_err wipe_it(struct format_wipe *wipe)
{
	KMS_AUTO_BUF statement = {0};
	struct format_statement said;
	KMS_TRY(erase_wipe(tokend, &erase.erasure, &statement, reason));
	ck_ok(format_statement_verify(
		kms_buf_bytes(&statement), kms_buf_bytes(&tokend->statement_spki), &said));
	ck_assert_int_eq(said.type, FORMAT_STATEMENT_WIPE);
	*wipe = said.u.wipe;
	return KMS_OK;
}

static void erase_all(void)
{
	ck_ok(open_it());
	ck_ok(erase_it(0x10));
	ck_ok(erase_it(0x11));
	ck_ok(erase_it(0x12));
}

static void is_wiped(void)
{
	struct format_wipe wipe;
	shell("test -z \"$(ls -A %s/token/tokens)\" && ! ls %s/token/*.token.object 2>/dev/null",
		dir, dir);
	ck_ok(wipe_it(&wipe));
	ck_assert(wipe.initialised && wipe.overwritten);
	ck_assert_uint_eq(wipe.destroyed, 3);
	ck_assert(kms_hash_equal(&wipe.erase, &erase_hash));
}

START_TEST(a_token_is_wiped_when_its_keks_are_gone)
{
	struct format_wipe wipe;
	draft_wipe();
	sign_draft();
	ck_ok(open_it());
	ck_code(wipe_it(&wipe), KEY_STATE);
	erase_all();
	/* other names for the same files show what was written into them */
	shell("cd %s && mkdir links && for f in token/tokens/*/*.object token/*.token.object; do "
	      "ln $f links/$(basename $f).$(stat -c %%i $f); cp $f $f.copy; mv $f.copy links/; "
	      "done; "
	      "test $(ls links | wc -l) -ge 4; cd links; for f in *.object.[0-9]*; do sha256sum "
	      "$f; "
	      "done > ../before.sums",
		dir);
	ck_ok(wipe_it(&wipe));
	shell("cd %s/links && ! sha256sum -c ../before.sums 2>/dev/null | grep -q ': OK'", dir);
	is_wiped();
	const struct model_bear bear = bear_of(0x14, 0x24, 1);
	struct kms_bytes statement;
	ck_code(keks_bear(tokend, &bear, &statement), ERASED);
	restart();
	is_wiped();
	ck_assert_int_eq(listed(0x12), MODEL_HELD_DESTROYED);
	ck_ok(erase_it(0x12));
	ck_ok(uses_sign(tokend));
}
END_TEST

START_TEST(a_wipe_that_nobody_signed)
{
	struct format_wipe wipe;
	draft_tenant();
	sign_draft();
	erase_all();
	ck_code(wipe_it(&wipe), TOKEN_REFUSED);
	draft_wipe(); /* another token's */
	erase.erasure = sample_id(0xe2);
	ck_code(wipe_it(&wipe), NOT_FOUND);
	ck_ok(p11_ping(tokend->p11));
}
END_TEST

START_TEST(a_wipe_that_leaves_out_a_living_kek)
{
	draft_wipe();
	erase.kek_count = 2;
	sign_draft();
	refused_for("every living KEK");
	draft_wipe();
	sign_draft();
	ck_ok(open_it());
	born(0x15, 0x25, 1); /* since it was signed */
	ck_ok(commit(0x15));
	ck_ok(erase_it(0x10));
	ck_ok(erase_it(0x11));
	ck_ok(erase_it(0x12));
	struct format_wipe wipe;
	ck_code(wipe_it(&wipe), KEY_STATE);
	ck_assert(in_token(0x15));
}
END_TEST

START_TEST(a_kill_while_the_token_is_wiped)
{
	struct format_wipe wipe;
	draft_wipe();
	sign_draft();
	erase_all();
	/* marked, nothing else; the owner starts it again when the approvals have expired */
	static uint8_t mark[65] = "KMSWIPE1";
	memcpy(mark + 8, erase.erasure.b, 16);
	memcpy(mark + 24, erase_hash.b, 32);
	int64_t begun = erase.expires_unix_s * 1000 - 1;
	for (int i = 0; i < 8; i++) {
		mark[56 + i] = (uint8_t)(begun >> (56 - 8 * i));
	}
	kms_clock_fix(begun + 86400000);
	stop();
	ck_ok(kms_file_write(path_of("%s/token/state/wiping", dir), KMS_BYTES_OF(mark), 0600));
	ck_ok(start());
	ck_assert_ptr_null(tokend->p11);
	ck_code(wipe_it(&wipe), NOT_FOUND);
	ck_ok(open_it());
	ck_ok(wipe_it(&wipe));
	ck_assert_int_eq(wipe.begun_unix_ms, begun);
	is_wiped();
}
END_TEST

/* What is left of an erasure that expired is the wipe alone. */
START_TEST(a_wipe_by_bytes_that_name_no_kek)
{
	struct format_wipe wipe;
	draft_wipe();
	sign_draft();
	erase_all();
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	ck_code(wipe_it(&wipe), TOKEN_REFUSED);
	draft_wipe();
	erase.erasure = sample_id(0xe2);
	erase.kek_count = 0;
	sign_draft();
	ck_ok(open_it());
	ck_ok(wipe_it(&wipe));
	ck_assert_uint_eq(wipe.destroyed, 3);
	is_wiped();
}
END_TEST

START_TEST(a_wipe_by_bytes_that_leave_out_a_living_kek)
{
	draft_wipe();
	erase.kek_count = 0;
	sign_draft();
	refused_for("every living KEK");
}
END_TEST

START_TEST(a_wipe_that_was_not_begun_in_time)
{
	struct format_wipe wipe;
	draft_wipe();
	sign_draft();
	erase_all();
	kms_clock_fix(erase.expires_unix_s * 1000 + 1);
	ck_code(wipe_it(&wipe), TOKEN_REFUSED);
	ck_assert(!tokend->wiped);
	kms_clock_fix(erase.expires_unix_s * 1000);
	ck_ok(wipe_it(&wipe));
	ck_assert_int_eq(wipe.begun_unix_ms, erase.expires_unix_s * 1000);
}
END_TEST

START_TEST(a_kill_while_the_files_are_removed)
{
	struct format_wipe wipe;
	draft_wipe();
	sign_draft();
	erase_all();
	static uint8_t mark[65] = "KMSWIPE1";
	memcpy(mark + 8, erase.erasure.b, 16);
	memcpy(mark + 24, erase_hash.b, 32);
	mark[64] = 1;
	stop();
	ck_ok(kms_file_write(path_of("%s/token/state/wiping", dir), KMS_BYTES_OF(mark), 0600));
	shell("rm %s/token/tokens/*/token.object", dir);
	ck_ok(start());
	ck_ok(open_it());
	ck_ok(wipe_it(&wipe));
	is_wiped();
}
END_TEST

/* ---- the owner's file ---- */

/* The good file with one line changed by sed(1). */
static void file_refused(const char *sed)
{
	KMS_AUTO(owner) owner = NULL;
	const char *path = write_owner(false, owner_lines);
	ck_ok(owner_read(path, &owner));
	owner_free(&owner);
	shell("cp %s %s.good && sed -i \"%s\" %s && ! cmp -s %s %s.good", path, path, sed, path,
		path, path);
	kms_err err = owner_read(path, &owner);
	ck_assert_msg(kms_is(err, KMS_CODE_CONFIG), "%s: %s", sed, kms_err_name(err));
	ck_assert_ptr_null(owner);
}

START_TEST(owners_files_that_are_refused)
{
	file_refused("s/needed: 2/needed: 0/");
	file_refused("s/needed: 2/needed: 4/"); /* than there are keys */
	file_refused("/needed:/d");
	file_refused("/keys:/,/^  - .a2/d");
	file_refused("/^ledger:/d");
	file_refused("s/^ledger: 'e/ledger: '+e/");
	file_refused("s/  - 'a1a1/  - 'a0a0/;s/-a1a1-a1a1-a1a1-a1a1a1a1a1a1/-x/");
	file_refused("s/- 'a1a1a1a1-.* /- 'a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0 /"); /* twice */
	file_refused("/- 'a1/d;s/\\(- 'a\\)0\\(.* \\)\\(.*\\)/&\\n  \\11\\2\\3/");   /* key twice */
	file_refused("s/\\(- 'a1.*\\)..'/\\1'/");   /* a short hash */
	file_refused("s/- 'eeeeeeee/- 'efeeeeee/"); /* a peer's key under another id */
	file_refused("s/  needed/  sufficient/");
}
END_TEST

START_TEST(an_owners_file_is_read_as_written)
{
	const struct kms_id first = approver_id(0), peer = sample_id(0xee);
	KMS_AUTO(owner) owner = NULL;
	ck_ok(owner_read(write_owner(false, owner_lines), &owner));
	ck_assert_uint_eq(owner->approvals.needed, 2);
	ck_assert_uint_eq(owner->approvals.count, APPROVERS);
	ck_assert(kms_id_equal(&owner->approvals.rows[0].approver, &first));
	ck_assert_str_eq(owner->ledger.name, ORIGIN);
	ck_assert_uint_eq(owner->peer_count, 1);
	ck_assert(kms_id_equal(&owner->peers[0].token, &peer));
	owner_free(&owner);
	ck_ok(owner_read(write_owner(false, ""), &owner));
	ck_assert_uint_eq(owner->approvals.needed, 0);
}
END_TEST

/* Approvers up to the limit, and one more. */
static const char *many_approvers(unsigned count)
{
	static char text[8192];
	const char *approvals = strstr(owner_lines, "approvals:");
	struct kms_writer lines = kms_writer_fixed(text, sizeof(text) - 1);
	memset(text, 0, sizeof(text));
	kms_write_format(&lines, "%.*sapprovals:\n  needed: 1\n  keys:\n",
		(int)(approvals - owner_lines), owner_lines);
	for (unsigned i = 1; i <= count; i++) {
		char id_text[KMS_ID_TEXT], hex[KMS_HASH_TEXT];
		const struct kms_id id = sample_id((uint8_t)i);
		const struct kms_hash hash = sample_hash((uint8_t)i);
		kms_write_format(&lines, "  - '%s %s'\n", kms_id_text(&id, id_text),
			kms_hash_text(&hash, hex));
	}
	return text;
}

START_TEST(approvers_are_bounded)
{
	KMS_AUTO(owner) owner = NULL;
	ck_ok(owner_read(write_owner(false, many_approvers(LIMIT_APPROVALS)), &owner));
	ck_assert_uint_eq(owner->approvals.count, LIMIT_APPROVALS);
	owner_free(&owner);
	ck_code(owner_read(write_owner(false, many_approvers(LIMIT_APPROVALS + 1)), &owner),
		CONFIG);
}
END_TEST

static void empty_directory(void)
{
	kms_log_set("tokend_test", KMS_LOG_ERROR);
	(void)strcpy(dir, "/tmp/kms-tokend-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

/* ---- the system token ---- */

static void fresh_system(void)
{
	no_leak_check(); /* --init signs to try the token */
	init_with(true, "");
	ck_ok(start());
}

static kms_err sign_manifest(const char *text)
{
	KMS_AUTO_BUF note = {0};
	KMS_AUTO_BUF spki = {0};
	struct p11_sign_key key;
	struct tlog_vkey vkey;
	struct kms_bytes opened;
	KMS_TRY(manifest_sign(tokend, kms_bytes_str(text), &note));
	ck_ok(p11_sign_key_find(tokend->p11, P11_SIGN_P256, HEAD_MANIFEST_LABEL, &key));
	ck_ok(p11_sign_key_spki(&key, &spki));
	ck_ok(tlog_vkey_make(ORIGIN "/manifest", kms_buf_bytes(&spki), &vkey));
	char *vkey_text KMS_AUTO_FREE = NULL;
	ck_ok(tlog_vkey_text(&vkey, &vkey_text));
	shell("grep -qF \"manifest_key: '%s'\" %s/token/pins.yaml", vkey_text, dir);
	ck_ok(tlog_note_open(kms_buf_bytes(&note), &vkey, 1, &opened));
	ck_assert(kms_bytes_equal(opened, kms_bytes_str(text)));
	return KMS_OK;
}

START_TEST(manifests_are_signed_and_nothing_else)
{
	static const char *const bad[] = {"", "kmsd-bundle/1\n", "kmsd-bundle/1\nline",
		"kmsd-bundle/2\nline\n", "\nkmsd-bundle/1\nline\n", "kmsd-bundle/1\n\nline\n",
		"kmsd-bundle/1\nli\tne\n", "kmsd-bundle/1\nline\n\n", ORIGIN "\n3\nroot\n"};
	ck_ok(sign_manifest("kmsd-bundle/1\nabcd  checkpoint\n"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_code(sign_manifest(bad[i]), TOKEN_REFUSED);
	}
}
END_TEST

START_TEST(a_manifest_at_its_limit)
{
	char *text KMS_AUTO_FREE = malloc(MANIFEST_MAX + 2);
	ck_assert_ptr_nonnull(text);
	memset(text, 'a', MANIFEST_MAX + 1);
	memcpy(text, "kmsd-bundle/1\n", 14);
	text[MANIFEST_MAX - 1] = '\n';
	KMS_AUTO_BUF note = {0};
	ck_ok(manifest_sign(tokend, (struct kms_bytes){(uint8_t *)text, MANIFEST_MAX}, &note));
	text[MANIFEST_MAX - 1] = 'a';
	text[MANIFEST_MAX] = '\n';
	kms_buf_free(&note);
	ck_code(manifest_sign(tokend, (struct kms_bytes){(uint8_t *)text, MANIFEST_MAX + 1}, &note),
		TOKEN_REFUSED);
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

static void add(TCase *tcase, const TTest *const *tests)
{
	for (; *tests != NULL; tests++) {
		tcase_add_test(tcase, *tests);
	}
}

int main(void)
{
	const TTest *const good[] = {an_approved_erasure_destroys_and_says_so,
		again_gives_the_same_statements, erasures_held_are_bounded,
		every_object_of_a_kek_is_destroyed, a_kek_that_reappears_is_never_used,
		a_held_kek_refuses_every_use, NULL};
	const TTest *const who[] = {too_few_approvals, one_approver_twice,
		an_approver_with_anothers_key, a_key_that_is_not_pinned,
		the_requester_approves_by_id, the_requester_approves_by_key, forged_signatures,
		a_storage_certificate_as_requester, a_requester_of_another_ca, a_denied_requester,
		NULL};
	const TTest *const when[] = {too_early_is_tried_again, expired,
		what_began_in_time_is_finished, a_kill_after_the_mark_is_finished_after_the_expiry,
		a_mark_by_other_bytes_is_no_beginning, new_bytes_destroy_what_the_old_never_began,
		a_wipe_by_bytes_that_name_no_kek, a_wipe_by_bytes_that_leave_out_a_living_kek,
		a_wipe_that_was_not_begun_in_time, late_with_a_peers_statement,
		late_statements_that_do_not_count, NULL};
	const TTest *const what[] = {another_tenant_or_ledger, bytes_that_do_not_parse,
		keks_that_are_not_these, a_kek_that_was_never_committed,
		a_kek_that_the_erasure_does_not_name, a_kek_that_dies_by_another_erasure,
		an_owner_who_allows_none, an_intent_that_is_not_in_the_ledger,
		a_checkpoint_that_is_not_the_ledgers, an_entry_that_is_no_intent, NULL};
	const TTest *const cancel[] = {
		cancelled_is_cancelled_for_ever, who_may_cancel, begun_is_not_cancelled, NULL};
	const TTest *const kills[] = {a_kill_after_the_mark, a_kill_after_the_destruction,
		statements_that_are_not_durable_do_not_leave,
		a_kek_that_was_gone_before_is_not_stated, changed_marks_stop_the_start, NULL};
	const TTest *const wipe[] = {a_token_is_wiped_when_its_keks_are_gone,
		a_wipe_that_nobody_signed, a_wipe_that_leaves_out_a_living_kek,
		a_kill_while_the_token_is_wiped, a_kill_while_the_files_are_removed, NULL};
	const TTest *const owner[] = {owners_files_that_are_refused,
		an_owners_file_is_read_as_written, approvers_are_bounded, NULL};
	const TTest *const system[] = {
		manifests_are_signed_and_nothing_else, a_manifest_at_its_limit, NULL};
	Suite *suite = suite_create("tokend_erase");
	add(case_of(suite, "good", fresh_erase), good);
	add(case_of(suite, "who", fresh_erase), who);
	add(case_of(suite, "when", fresh_erase), when);
	add(case_of(suite, "what", fresh_erase), what);
	add(case_of(suite, "cancel", fresh_erase), cancel);
	add(case_of(suite, "kills", fresh_erase), kills);
	add(case_of(suite, "wipe", fresh_erase), wipe);
	add(case_of(suite, "owner", empty_directory), owner);
	add(case_of(suite, "system", fresh_system), system);
	return suite_run(suite);
}
