/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifier keys, signed notes, checkpoints and proof files: what is written is read, and what has
 * a second spelling, a bad signature or one thing too many is refused.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto.h"
#include "ed25519.h"
#include "tlog.h"

/* Made with the openssl command and sha256sum, so that this code does not judge itself. */
static const char VKEY[] =
	"ledger.example/kmsd/1+0b91e95a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCtjTinH8uDuFycTRr462jY"
	"cS/rz1UanG/L+tPeuHxlE7hYIWDlzbpFOPS/blaBTfxYNsabtbOn7UJhlArfdnGw=";
#define TEXT "ledger.example/kmsd/1\n1\ndziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwE=\n"
#define LINE                                                                                       \
	"\u2014 ledger.example/kmsd/1 C5HpWjBFAiEAk3JP71O2vof+JVlY1XqOUCt8ik+4mPCdw181ga8Uy2oCICb" \
	"0eKEqAIFeLn92CQcs6bYzTwPxRo3AYUIEOfaergjy\n"
static const char NOTE[] = TEXT "\n" LINE;

static struct crypto_signer *signer;
static struct tlog_vkey known;
/* Large, so not on the stack. */
static struct tlog_proof proof;
static struct tlog_proof parsed;

static void ok(kms_err err)
{
	ck_assert_msg(kms_is_ok(err), "%s", kms_err_text(err));
}

/* A key of the test's own, for notes that the fixed one did not sign. */
static void setup(void)
{
	char dir[] = "/tmp/kms-tlog-test-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(dir));
	KMS_AUTO_FREE char *path = NULL;
	ok(kms_text(&path, "%s/key.pem", dir));
	ok(crypto_signer_generate(path, &signer));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
	KMS_AUTO_BUF spki = {0};
	ok(crypto_signer_spki(signer, &spki));
	ok(tlog_vkey_make("test.example/log", kms_buf_bytes(&spki), &known));
}

static void teardown(void)
{
	crypto_signer_free(&signer);
}

/* The line that our key signs under text. */
static void line_of(const char *text, struct kms_buf *ret_line)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	ok(crypto_sign(signer, kms_bytes_str(text), raw));
	ok(crypto_sig_raw_to_der(raw, &der));
	ok(tlog_note_line(&known, kms_buf_bytes(&der), ret_line));
}

/* text, a blank line, before, our signature, after; checked with our key. */
static kms_err opened(const char *text, const char *before, const char *after)
{
	KMS_AUTO_BUF line = {0};
	line_of(text, &line);
	KMS_AUTO_WRITER note = kms_writer_grow(64 * 1024);
	kms_write_format(&note, "%s\n%s", text, before);
	kms_write_bytes(&note, kms_buf_bytes(&line));
	kms_write_text(&note, after);
	struct kms_bytes bytes;
	ok(kms_writer_bytes(&note, &bytes));
	struct kms_bytes signed_text = {NULL, 0};
	kms_err err = tlog_note_open(bytes, &known, 1, &signed_text);
	ck_assert(kms_is_ok(err) == kms_bytes_equal(signed_text, kms_bytes_str(text)));
	return err;
}

static kms_err open_text(const char *note, const struct tlog_vkey *vkeys, size_t count)
{
	struct kms_bytes text;
	return tlog_note_open(kms_bytes_str(note), vkeys, count, &text);
}

START_TEST(vkeys_come_and_go)
{
	struct tlog_vkey vkey;
	KMS_AUTO_FREE char *text = NULL;
	ok(tlog_vkey_parse(VKEY, &vkey));
	ck_assert_str_eq(vkey.name, "ledger.example/kmsd/1");
	ck_assert_uint_eq(vkey.id, 0x0b91e95a);
	ck_assert_uint_eq(vkey.type, TLOG_VKEY_ECDSA);
	ok(tlog_vkey_text(&vkey, &text));
	ck_assert_str_eq(text, VKEY);
	struct tlog_vkey made;
	ok(tlog_vkey_make(vkey.name, (struct kms_bytes){vkey.spki, vkey.spki_len}, &made));
	ck_assert_uint_eq(made.id, vkey.id);
}
END_TEST

START_TEST(vkeys_have_one_spelling)
{
	static const struct {
		const char *text;
		enum kms_code code;
	} cases[] = {
		{"", KMS_CODE_FORMAT}, {"name", KMS_CODE_FORMAT},
		{"name+0b91e95a", KMS_CODE_FORMAT}, {"name+0b91e95a+", KMS_CODE_FORMAT},
		{"name+0b91e95a+Ag==", KMS_CODE_FORMAT},
		{"name+0b91e95a+AQ==", KMS_CODE_UNSUPPORTED}, /* Ed25519 */
	};
	struct tlog_vkey vkey;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert(kms_is(tlog_vkey_parse(cases[i].text, &vkey), cases[i].code));
	}
	/* a changed byte: name (any name has this key ID), ID, key, padding; and more of it */
	char text[sizeof(VKEY) + 1];
	static const struct {
		size_t at;
		char to;
	} edits[] = {{0, ' '}, {0, '+'}, {22, '1'}, {25, 'B'}, {40, 'A'}, {100, 'A'},
		{sizeof(VKEY) - 2, 'A'}, {sizeof(VKEY) - 1, '\n'}, {sizeof(VKEY) - 3, 'x'}};
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		memset(text, 0, sizeof(text));
		memcpy(text, VKEY, sizeof(VKEY));
		text[edits[i].at] = edits[i].to;
		ck_assert_msg(kms_is(tlog_vkey_parse(text, &vkey), KMS_CODE_FORMAT), "%s", text);
	}
	memcpy(text, VKEY, sizeof(VKEY));
	char *e = strstr(text, "0b91e95a") + 4;
	*e = 'E'; /* upper-case hex is a second spelling */
	ck_assert(kms_is(tlog_vkey_parse(text, &vkey), KMS_CODE_FORMAT));
}
END_TEST

/* ---- Ed25519: key and note of Go's sumdb/note, as its documentation has them ---- */

static const char NEUMANN[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
#define NEUMANN_TEXT                                                                               \
	"If you think cryptography is the answer to your problem,\n"                               \
	"then you don't know what your problem is.\n"
#define NEUMANN_LINE                                                                               \
	"\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf" \
	"qdngotpRZb6KE6RyyBwJnAM=\n"
static const char NEUMANN_NOTE[] = NEUMANN_TEXT "\n" NEUMANN_LINE;

START_TEST(ed25519_vkeys_come_and_go)
{
	static const char *const keys[] = {
		NEUMANN, "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct tlog_vkey vkey, made;
		KMS_AUTO_FREE char *text = NULL;
		ok(tlog_vkey_parse_ed25519(keys[i], &vkey));
		ck_assert_uint_eq(vkey.type, TLOG_VKEY_ED25519);
		ck_assert_uint_eq(vkey.spki_len, 0);
		ok(tlog_vkey_text(&vkey, &text));
		ck_assert_str_eq(text, keys[i]);
		ok(tlog_vkey_make_ed25519(vkey.name, vkey.ed25519, &made));
		ck_assert_uint_eq(made.id, vkey.id);
	}
}
END_TEST

START_TEST(ed25519_vkeys_have_one_spelling)
{
	/* Go's own bad keys: of 37 bytes, of an unknown type, both with the ID that fits */
	static const struct {
		const char *text;
		enum kms_code code;
	} cases[] = {
		{"", KMS_CODE_FORMAT},
		{"name+0b91e95a+", KMS_CODE_FORMAT},
		{"name+0b91e95a+AQ==", KMS_CODE_FORMAT},
		{"name+0b91e95a+Ag==", KMS_CODE_UNSUPPORTED},
		{"PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
			KMS_CODE_FORMAT},
		{"PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
			KMS_CODE_UNSUPPORTED},
		{"PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
			KMS_CODE_FORMAT}, /* the name is in the ID */
		{"PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
			KMS_CODE_FORMAT},
		{"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX",
			KMS_CODE_FORMAT},
		{"Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
			KMS_CODE_FORMAT},
	};
	struct tlog_vkey vkey;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kms_err err = tlog_vkey_parse_ed25519(cases[i].text, &vkey);
		ck_assert_msg(
			kms_is(err, cases[i].code), "%s: %s", cases[i].text, kms_err_name(err));
	}
	/* neither is taken where the other is meant */
	ck_assert(kms_is(tlog_vkey_parse_ed25519(VKEY, &vkey), KMS_CODE_UNSUPPORTED));
	ck_assert(kms_is(tlog_vkey_parse(NEUMANN, &vkey), KMS_CODE_UNSUPPORTED));
}
END_TEST

START_TEST(a_logs_keys_have_their_places)
{
	struct tlog_log_keys keys;
	ok(tlog_log_keys_parse(VKEY, "", &keys));
	ck_assert_uint_eq(keys.count, 1);
	ok(tlog_log_keys_parse(VKEY, NEUMANN, &keys));
	ck_assert_uint_eq(keys.count, 2);
	ck_assert(keys.keys[0].type == TLOG_VKEY_ECDSA && keys.keys[1].type == TLOG_VKEY_ED25519);
	ck_assert(kms_is(tlog_log_keys_parse(NEUMANN, "", &keys), KMS_CODE_UNSUPPORTED));
	ck_assert(kms_is(tlog_log_keys_parse(NEUMANN, VKEY, &keys), KMS_CODE_UNSUPPORTED));
	ck_assert(kms_is(tlog_log_keys_parse(VKEY, VKEY, &keys), KMS_CODE_UNSUPPORTED));
	ck_assert(kms_is(tlog_log_keys_parse("", NEUMANN, &keys), KMS_CODE_FORMAT));
}
END_TEST

START_TEST(opens_gos_note)
{
	struct tlog_vkey vkey;
	struct kms_bytes text;
	ok(tlog_vkey_parse_ed25519(NEUMANN, &vkey));
	ok(tlog_note_open(kms_bytes_str(NEUMANN_NOTE), &vkey, 1, &text));
	ck_assert(kms_bytes_equal(text, kms_bytes_str(NEUMANN_TEXT)));
	ok(tlog_note_open_exact(kms_bytes_str(NEUMANN_NOTE), TLOG_NOTE_MAX, &vkey, 1, &text));
	for (size_t i = 0; i < sizeof(NEUMANN_NOTE) - 1; i++) {
		uint8_t note[sizeof(NEUMANN_NOTE)];
		memcpy(note, NEUMANN_NOTE, sizeof(NEUMANN_NOTE));
		note[i] ^= 1;
		kms_err err = tlog_note_open(
			(struct kms_bytes){note, sizeof(NEUMANN_NOTE) - 1}, &vkey, 1, &text);
		ck_assert_msg(kms_is(err, KMS_CODE_FORMAT) || kms_is(err, KMS_CODE_INTEGRITY),
			"byte %zu: %s", i, kms_err_name(err));
	}
	/* a signature of another length is none */
	KMS_AUTO_BUF line = {0};
	const uint8_t sig[65] = {0};
	for (size_t len = 63; len <= 65; len++) {
		kms_buf_free(&line);
		ok(tlog_note_line(&vkey, (struct kms_bytes){sig, len}, &line));
		KMS_AUTO_FREE char *note = NULL;
		ok(kms_text(&note, NEUMANN_TEXT "\n%.*s", (int)line.len, (const char *)line.ptr));
		ck_assert(kms_is(open_text(note, &vkey, 1), KMS_CODE_INTEGRITY));
	}
}
END_TEST

/* ---- two signatures ---- */

enum { SEED = 0x11, OTHER_SEED = 0x22 };
#define LOG "test.example/log"

/* Lines of one text: of the log's two keys, of others by the same name, and bad ones. */
static struct {
	char *p256, *ed25519, *other_p256, *other_ed25519, *bad_p256, *bad_ed25519, *witness;
} said;
static struct tlog_vkey log_keys[2];

static void line_text(struct kms_buf *line, char **ret_text)
{
	ok(kms_text(ret_text, "%.*s", (int)line->len, (const char *)line->ptr));
	kms_buf_free(line);
}

static void two_keys(void)
{
	setup();
	struct kms_buf line = {0};
	log_keys[0] = known;
	log_keys[1] = ed25519_vkey(LOG, SEED);
	line_of("text\n", &line);
	line_text(&line, &said.p256);
	line_of("other\n", &line);
	line_text(&line, &said.bad_p256);
	ed25519_line(LOG, SEED, kms_bytes_str("text\n"), &line);
	line_text(&line, &said.ed25519);
	ed25519_line(LOG, SEED, kms_bytes_str("other\n"), &line);
	line_text(&line, &said.bad_ed25519);
	ed25519_line(LOG, OTHER_SEED, kms_bytes_str("text\n"), &line);
	line_text(&line, &said.other_ed25519);
	/* another key of the log's name: its own good signature */
	struct crypto_signer *first = signer;
	const struct tlog_vkey first_key = known;
	signer = NULL;
	setup();
	line_of("text\n", &line);
	line_text(&line, &said.other_p256);
	crypto_signer_free(&signer);
	signer = first;
	known = first_key;
	ok(kms_text(&said.witness, "\u2014 witness.example AAAAAAA=\n"));
}

static void two_keys_gone(void)
{
	char **all[] = {&said.p256, &said.ed25519, &said.other_p256, &said.other_ed25519,
		&said.bad_p256, &said.bad_ed25519, &said.witness};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		free(*all[i]);
		*all[i] = NULL;
	}
	teardown();
}

/* The verdicts on these lines under "text": of a reader that pins count of the log's keys, and of
 * one that wants their lines exactly. */
static void verdicts(size_t count, const char *first, const char *second, const char *third,
	enum kms_code open, enum kms_code exact)
{
	struct kms_bytes text;
	KMS_AUTO_FREE char *note = NULL;
	ok(kms_text(&note, "text\n\n%s%s%s", first, second, third));
	kms_err err = tlog_note_open(kms_bytes_str(note), log_keys, count, &text);
	ck_assert_msg(kms_is(err, open), "%zu keys: %s\n%s", count, kms_err_name(err), note);
	err = tlog_note_open_exact(kms_bytes_str(note), TLOG_NOTE_MAX, log_keys, count, &text);
	ck_assert_msg(kms_is(err, exact), "%zu keys: %s\n%s", count, kms_err_name(err), note);
}

START_TEST(both_signatures_or_none)
{
	const enum kms_code good = KMS_CODE_OK, bad = KMS_CODE_INTEGRITY, more = KMS_CODE_FORMAT;
	verdicts(2, said.p256, said.ed25519, "", good, good);
	verdicts(2, said.ed25519, said.p256, "", good, more); /* swapped */
	verdicts(2, said.p256, said.ed25519, said.witness, good, more);
	verdicts(2, said.witness, said.p256, said.ed25519, good, more);
	verdicts(2, said.p256, said.ed25519, said.ed25519, good, more); /* twice */
	verdicts(2, said.p256, "", "", bad, bad);                       /* missing */
	verdicts(2, said.ed25519, "", "", bad, bad);
	verdicts(2, said.p256, said.p256, "", bad, bad);
	verdicts(2, said.p256, said.bad_ed25519, "", bad, bad); /* one good, one not */
	verdicts(2, said.bad_p256, said.ed25519, "", bad, bad);
	verdicts(2, said.p256, said.ed25519, said.bad_ed25519, bad, bad);
	verdicts(2, said.p256, said.other_ed25519, "", bad, bad); /* another of the name */
	verdicts(2, said.other_p256, said.ed25519, "", bad, bad);
	verdicts(2, said.p256, said.other_ed25519, said.ed25519, good, more);
}
END_TEST

START_TEST(an_unpinned_ed25519_line_is_an_unknown_one)
{
	const enum kms_code good = KMS_CODE_OK, bad = KMS_CODE_INTEGRITY, more = KMS_CODE_FORMAT;
	verdicts(1, said.p256, "", "", good, good);
	verdicts(1, said.p256, said.ed25519, "", good, more);
	verdicts(1, said.p256, said.bad_ed25519, "", good, more);
	verdicts(1, said.p256, said.other_ed25519, "", good, more);
	verdicts(1, said.ed25519, "", "", bad, bad);
	verdicts(1, said.bad_p256, said.ed25519, "", bad, bad);
}
END_TEST

START_TEST(names_are_checked)
{
	static const char *const good[] = {
		"a", "example.com/log", "\u00e9", "\u65e5\u672c", "\u2014", "\U0001f511", "a\x7f"};
	static const char *const bad[] = {"", " ", "a b", "a+b", "a\tb", "a\nb", "a\x01",
		"a\xc2\x85", "a\u00a0b", "\u1680", "\u2003", "\u2028", "\u202f", "\u205f", "\u3000",
		"\xff", "\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\x80"};
	struct kms_bytes spki = {known.spki, known.spki_len};
	struct tlog_vkey vkey;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ok(tlog_vkey_make(good[i], spki, &vkey));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(kms_is(tlog_vkey_make(bad[i], spki, &vkey), KMS_CODE_FORMAT),
			"name %zu", i);
	}
	char name[TLOG_NAME_MAX + 2] = {0};
	memset(name, 'n', TLOG_NAME_MAX);
	ok(tlog_vkey_make(name, spki, &vkey));
	name[TLOG_NAME_MAX] = 'n';
	ck_assert(kms_is(tlog_vkey_make(name, spki, &vkey), KMS_CODE_FORMAT));
}
END_TEST

START_TEST(opens_a_note_that_openssl_signed)
{
	struct tlog_vkey vkey;
	struct kms_bytes text;
	ok(tlog_vkey_parse(VKEY, &vkey));
	ok(tlog_note_open(kms_bytes_str(NOTE), &vkey, 1, &text));
	ck_assert(kms_bytes_equal(text, kms_bytes_str(TEXT)));
	struct tlog_checkpoint checkpoint;
	ok(tlog_checkpoint_parse(text, &checkpoint));
	struct kms_hash leaf;
	ok(tlog_leaf_hash(kms_bytes_str("entry 0"), &leaf));
	ck_assert(kms_hash_equal(&checkpoint.root, &leaf)); /* one leaf is its own root */
	/* not with another key of that name, nor with that key under another name */
	struct tlog_vkey other = known;
	memcpy(other.name, vkey.name, sizeof(other.name));
	ck_assert(kms_is(open_text(NOTE, &other, 1), KMS_CODE_INTEGRITY));
	other = vkey;
	other.name[0] = 'x';
	ck_assert(kms_is(open_text(NOTE, &other, 1), KMS_CODE_INTEGRITY));
	ck_assert(kms_is(open_text(NOTE, NULL, 0), KMS_CODE_INTEGRITY));
	/* every key that the caller names must have signed */
	const struct tlog_vkey both[] = {vkey, known};
	ck_assert(kms_is(open_text(NOTE, both, 2), KMS_CODE_INTEGRITY));
	ok(open_text(NOTE, both, 1));
}
END_TEST

START_TEST(no_changed_byte_passes)
{
	struct tlog_vkey vkey;
	ok(tlog_vkey_parse(VKEY, &vkey));
	for (size_t i = 0; i < sizeof(NOTE) - 1; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t note[sizeof(NOTE)];
			memcpy(note, NOTE, sizeof(NOTE));
			note[i] ^= (uint8_t)(1U << bit);
			struct kms_bytes bytes = {note, sizeof(NOTE) - 1};
			struct kms_bytes text;
			kms_err err = tlog_note_open(bytes, &vkey, 1, &text);
			ck_assert_msg(
				kms_is(err, KMS_CODE_FORMAT) || kms_is(err, KMS_CODE_INTEGRITY),
				"byte %zu, bit %u: %s", i, bit, kms_err_name(err));
		}
		struct kms_bytes cut = {(const uint8_t *)NOTE, i};
		struct kms_bytes text;
		ck_assert(!kms_is_ok(tlog_note_open(cut, &vkey, 1, &text)));
	}
}
END_TEST

START_TEST(unknown_signatures_are_passed_over)
{
	ok(opened("text\n", "", ""));
	ok(opened("text\n", LINE, ""));
	ok(opened("text\n", "", LINE));
	ok(opened("text\n", "\u2014 witness.example AAAAAAA=\n", LINE));
	ok(opened("two\n\nparagraphs\n", "", "")); /* the last blank line ends the text */
	ok(opened("\n", "", ""));
}
END_TEST

START_TEST(a_bad_known_signature_is_refused)
{
	KMS_AUTO_BUF bad = {0};
	line_of("other text\n", &bad);
	KMS_AUTO_FREE char *line = strndup((const char *)bad.ptr, bad.len);
	ck_assert(kms_is(opened("text\n", line, ""), KMS_CODE_INTEGRITY));
	ck_assert(kms_is(opened("text\n", "", line), KMS_CODE_INTEGRITY));
	/* our name and ID before what is no DER */
	KMS_AUTO_BUF junk = {0};
	ok(tlog_note_line(&known, kms_bytes_str("junk"), &junk));
	KMS_AUTO_FREE char *junk_line = strndup((const char *)junk.ptr, junk.len);
	ck_assert(kms_is(opened("text\n", "", junk_line), KMS_CODE_INTEGRITY));
	ck_assert(kms_is(
		tlog_note_line(&known, (struct kms_bytes){NULL, 0}, &junk), KMS_CODE_ARGUMENT));
}
END_TEST

START_TEST(sixteen_signatures_and_no_more)
{
	KMS_AUTO_WRITER fifteen = kms_writer_grow(64 * 1024);
	for (int i = 0; i < TLOG_SIGNATURES_MAX - 1; i++) {
		kms_write_format(&fifteen, "\u2014 witness%d AAAAAAA=\n", i);
	}
	kms_write_u8(&fifteen, 0);
	ok(opened("text\n", (const char *)fifteen.ptr, ""));
	ok(opened("text\n", "", (const char *)fifteen.ptr));
	ck_assert(kms_is(opened("text\n", (const char *)fifteen.ptr, "\u2014 one AAAAAAA=\n"),
		KMS_CODE_TOO_LARGE));
}
END_TEST

START_TEST(a_note_has_its_limit)
{
	static char text[TLOG_NOTE_MAX + 2];
	KMS_AUTO_BUF line = {0};
	line_of("x\n", &line); /* about as long; DER differs by a byte or two */
	for (size_t len = TLOG_NOTE_MAX - line.len - 8; len <= TLOG_NOTE_MAX - line.len + 8;
		len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		text[len - 1] = '\n';
		KMS_AUTO_BUF sig = {0};
		line_of(text, &sig);
		KMS_AUTO_WRITER note = kms_writer_grow(2 * TLOG_NOTE_MAX);
		kms_write_format(&note, "%s\n", text);
		kms_write_bytes(&note, kms_buf_bytes(&sig));
		struct kms_bytes bytes;
		struct kms_bytes signed_text;
		ok(kms_writer_bytes(&note, &bytes));
		kms_err err = tlog_note_open(bytes, &known, 1, &signed_text);
		bool fits = bytes.len <= TLOG_NOTE_MAX;
		ck_assert(kms_is(err, fits ? KMS_CODE_OK : KMS_CODE_TOO_LARGE));
	}
}
END_TEST

START_TEST(malformed_notes_are_refused)
{
	ck_assert(kms_is(opened("tab\there\n", "", ""), KMS_CODE_FORMAT));
	ck_assert(kms_is(opened("return\r\n", "", ""), KMS_CODE_FORMAT));
	ck_assert(kms_is(opened("\x1b[31m\n", "", ""), KMS_CODE_FORMAT));
	ck_assert(kms_is(opened("not UTF-8: \xff\n", "", ""), KMS_CODE_FORMAT));
	ck_assert(kms_is(opened("no newline at the end", "", ""), KMS_CODE_FORMAT));
	static const char *const lines[] = {
		"\n",                              /* then our line stands alone */
		"text\n",                          /* no signature line */
		"- witness AAAAAAA=\n",            /* a hyphen */
		"\u2014witness AAAAAAA=\n",        /* no space */
		"\u2014  witness AAAAAAA=\n",      /* two */
		"\u2014 wit ness AAAAAAA=\n",      /* a space in the name */
		"\u2014 wit+ness AAAAAAA=\n",      /* a plus */
		"\u2014 wit\u00a0ness AAAAAAA=\n", /* a space of Unicode's */
		"\u2014 witness\n",                /* no signature */
		"\u2014 witness \n",               /* an empty one */
		"\u2014 witness AAAAAA==\n",       /* a key ID only */
		"\u2014 witness AAAAAAB=\n",       /* unused bits are not zero */
		"\u2014 witness AAAAAAA\n",        /* no padding */
		"\u2014 witness AAAA AAA=\n",      /* a space inside */
		"\u2014 witness AAAAAAA= \n",      /* and one at the end */
		"\u2014 witness AAAA_AA=\n",       /* the other alphabet */
		"\u2014 witness AAAAAAA=",         /* no newline: our line goes on in it */
	};
	for (size_t i = 1; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_msg(kms_is(opened("text\n", lines[i], ""), KMS_CODE_FORMAT), "before: %s",
			lines[i]);
		ck_assert_msg(kms_is(opened("text\n", "", lines[i]), KMS_CODE_FORMAT), "after: %s",
			lines[i]);
	}
	ck_assert(kms_is(opened("text\n", "", lines[0]), KMS_CODE_FORMAT));
	/* one more blank line belongs to the text, which then is not what was signed */
	ck_assert(kms_is(opened("text\n", lines[0], ""), KMS_CODE_INTEGRITY));
	static const char *const notes[] = {
		"", "\n", "\n\n", "text\n", "text\n\n", "text\n" LINE, LINE};
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		ck_assert_msg(
			kms_is(open_text(notes[i], &known, 1), KMS_CODE_FORMAT), "%s", notes[i]);
	}
}
END_TEST

#define ROOT "dziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwE="
#define EMPTY_ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

START_TEST(checkpoints_come_and_go)
{
	static const char *const texts[] = {
		"example.com/log\n0\n" EMPTY_ROOT "\n",
		"example.com/log\n1\n" ROOT "\n",
		"example.com/log\n10\n" ROOT "\n",
		"example.com/log\n9223372036854775807\n" ROOT "\n",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct tlog_checkpoint checkpoint;
		KMS_AUTO_BUF text = {0};
		ok(tlog_checkpoint_parse(kms_bytes_str(texts[i]), &checkpoint));
		ok(tlog_checkpoint_text(&checkpoint, &text));
		ck_assert(kms_bytes_equal(kms_buf_bytes(&text), kms_bytes_str(texts[i])));
	}
	struct tlog_checkpoint checkpoint = {.origin = "example.com/log", .size = 0};
	KMS_AUTO_BUF text = {0};
	ck_assert(kms_is(tlog_checkpoint_text(&checkpoint, &text), KMS_CODE_ARGUMENT));
	checkpoint.size = TLOG_SIZE_MAX + 1;
	ck_assert(kms_is(tlog_checkpoint_text(&checkpoint, &text), KMS_CODE_ARGUMENT));
	checkpoint = (struct tlog_checkpoint){.origin = "two\nlines", .size = 1};
	ck_assert(kms_is(tlog_checkpoint_text(&checkpoint, &text), KMS_CODE_ARGUMENT));
	checkpoint.origin[0] = '\0';
	ck_assert(kms_is(tlog_checkpoint_text(&checkpoint, &text), KMS_CODE_ARGUMENT));
}
END_TEST

START_TEST(checkpoints_have_one_spelling)
{
	static const char *const bad[] = {
		"",
		"example.com/log\n",
		"example.com/log\n1\n",
		"example.com/log\n1\n" ROOT,
		"example.com/log\n1\n" ROOT "\n\n",
		"example.com/log\n1\n" ROOT "\nextension\n",
		"\nexample.com/log\n1\n" ROOT "\n",
		"\n1\n" ROOT "\n",
		"example com\n1\n" ROOT "\n",
		"example+com\n1\n" ROOT "\n",
		"example.com/log\n\n" ROOT "\n",
		"example.com/log\n01\n" ROOT "\n",
		"example.com/log\n00\n" EMPTY_ROOT "\n",
		"example.com/log\n+1\n" ROOT "\n",
		"example.com/log\n-1\n" ROOT "\n",
		"example.com/log\n 1\n" ROOT "\n",
		"example.com/log\n1 \n" ROOT "\n",
		"example.com/log\n0x1\n" ROOT "\n",
		"example.com/log\n1\r\n" ROOT "\n",
		"example.com/log\n9223372036854775808\n" ROOT "\n",
		"example.com/log\n18446744073709551617\n" ROOT "\n",
		"example.com/log\n0\n" ROOT "\n",
		"example.com/log\n1\n\n",
		"example.com/log\n1\ndziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwF=\n",
		"example.com/log\n1\ndziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwE\n",
		"example.com/log\n1\ndziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVw==\n",
		"example.com/log\n1\ndziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwEA\n",
		"example.com/log\n1\ndziFphNIniTOLPdhmdakI_BC5LvxLX7s7pEu8nbGVwE=\n",
	};
	struct tlog_checkpoint checkpoint;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(kms_is(tlog_checkpoint_parse(kms_bytes_str(bad[i]), &checkpoint),
				      KMS_CODE_FORMAT),
			"%s", bad[i]);
	}
}
END_TEST

START_TEST(proof_files_come_and_go)
{
	for (unsigned count = 0; count <= TLOG_PROOF_MAX; count++) {
		proof.count = count;
		KMS_AUTO_BUF text = {0};
		ok(tlog_proof_text(TLOG_SIZE_MAX - 1, &proof, kms_bytes_str(NOTE), &text));
		uint64_t index = 0;
		struct kms_bytes note;
		ok(tlog_proof_parse(kms_buf_bytes(&text), &index, &parsed, &note));
		ck_assert_uint_eq(index, TLOG_SIZE_MAX - 1);
		ck_assert_uint_eq(parsed.count, count);
		ck_assert_mem_eq(parsed.hashes, proof.hashes, count * sizeof(proof.hashes[0]));
		ck_assert(kms_bytes_equal(note, kms_bytes_str(NOTE)));
		if (count < TLOG_PROOF_MAX) {
			memset(proof.hashes[count].b, (int)count + 1, sizeof(proof.hashes[0].b));
		}
	}
	KMS_AUTO_BUF text = {0};
	proof.count = 0;
	ok(tlog_proof_text(0, &proof, kms_bytes_str("note\n"), &text));
	ck_assert(kms_bytes_equal(
		kms_buf_bytes(&text), kms_bytes_str("c2sp.org/tlog-proof@v1\nindex 0\n\nnote\n")));
	KMS_AUTO_BUF never = {0};
	ck_assert(kms_is(tlog_proof_text(TLOG_SIZE_MAX, &proof, kms_bytes_str(NOTE), &never),
		KMS_CODE_ARGUMENT));
	ck_assert(kms_is(tlog_proof_text(0, &proof, kms_bytes_str(""), &never), KMS_CODE_ARGUMENT));
	proof.count = TLOG_PROOF_MAX + 1;
	ck_assert(
		kms_is(tlog_proof_text(0, &proof, kms_bytes_str(NOTE), &never), KMS_CODE_ARGUMENT));
}
END_TEST

static kms_err proof_parsed(const char *text)
{
	uint64_t index;
	struct kms_bytes note;
	return tlog_proof_parse(kms_bytes_str(text), &index, &parsed, &note);
}

START_TEST(proof_files_have_one_spelling)
{
#define MAGIC "c2sp.org/tlog-proof@v1\n"
	static const char *const bad[] = {
		"",
		MAGIC,
		MAGIC "index 0\n",
		MAGIC "index 0\n\n",
		MAGIC "index 0\nnote\n",
		"c2sp.org/tlog-proof@v2\nindex 0\n\nnote\n",
		MAGIC "extra AAAA\nindex 0\n\nnote\n",
		MAGIC "\nindex 0\n\nnote\n",
		MAGIC "index\n\nnote\n",
		MAGIC "index \n\nnote\n",
		MAGIC "index 00\n\nnote\n",
		MAGIC "index  0\n\nnote\n",
		MAGIC "index 9223372036854775808\n\nnote\n",
		MAGIC "index 0\nAAAA\n\nnote\n",
		MAGIC "index 0\n" ROOT " \n\nnote\n",
		MAGIC "index 0\ndziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwF=\n\nnote\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(kms_is(proof_parsed(bad[i]), KMS_CODE_FORMAT), "%s", bad[i]);
	}
	ok(proof_parsed(MAGIC "index 0\n" ROOT "\n\nnote\n"));
}
END_TEST

START_TEST(proof_files_have_their_limits)
{
	for (unsigned count = TLOG_PROOF_MAX; count <= TLOG_PROOF_MAX + 1; count++) {
		KMS_AUTO_WRITER text = kms_writer_grow(64 * 1024);
		kms_write_text(&text, MAGIC "index 0\n");
		for (unsigned i = 0; i < count; i++) {
			kms_write_text(&text, ROOT "\n");
		}
		kms_write_text(&text, "\nnote\n");
		kms_write_u8(&text, 0);
		kms_err err = proof_parsed((const char *)text.ptr);
		ck_assert(kms_is(err, count == TLOG_PROOF_MAX ? KMS_CODE_OK : KMS_CODE_TOO_LARGE));
	}
	static char note[TLOG_NOTE_MAX + 2];
	for (size_t len = TLOG_NOTE_MAX; len <= TLOG_NOTE_MAX + 1; len++) {
		memset(note, 'n', len);
		KMS_AUTO_FREE char *text = NULL;
		ok(kms_text(&text, MAGIC "index 0\n\n%s", note));
		enum kms_code code = len == TLOG_NOTE_MAX ? KMS_CODE_OK : KMS_CODE_TOO_LARGE;
		ck_assert(kms_is(proof_parsed(text), code));
		KMS_AUTO_BUF made = {0};
		ck_assert(kms_is(tlog_proof_text(0, &proof, kms_bytes_str(note), &made), code));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tlog_note");
	TCase *tcase = tcase_create("note");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, vkeys_come_and_go);
	tcase_add_test(tcase, vkeys_have_one_spelling);
	tcase_add_test(tcase, ed25519_vkeys_come_and_go);
	tcase_add_test(tcase, ed25519_vkeys_have_one_spelling);
	tcase_add_test(tcase, a_logs_keys_have_their_places);
	tcase_add_test(tcase, opens_gos_note);
	tcase_add_test(tcase, names_are_checked);
	tcase_add_test(tcase, opens_a_note_that_openssl_signed);
	tcase_add_test(tcase, no_changed_byte_passes);
	tcase_add_test(tcase, unknown_signatures_are_passed_over);
	tcase_add_test(tcase, a_bad_known_signature_is_refused);
	tcase_add_test(tcase, sixteen_signatures_and_no_more);
	tcase_add_test(tcase, a_note_has_its_limit);
	tcase_add_test(tcase, malformed_notes_are_refused);
	tcase_add_test(tcase, checkpoints_come_and_go);
	tcase_add_test(tcase, checkpoints_have_one_spelling);
	tcase_add_test(tcase, proof_files_come_and_go);
	tcase_add_test(tcase, proof_files_have_one_spelling);
	tcase_add_test(tcase, proof_files_have_their_limits);
	suite_add_tcase(suite, tcase);
	TCase *two = tcase_create("two signatures");
	tcase_set_timeout(two, 60);
	tcase_add_checked_fixture(two, two_keys, two_keys_gone);
	tcase_add_test(two, both_signatures_or_none);
	tcase_add_test(two, an_unpinned_ed25519_line_is_an_unknown_one);
	suite_add_tcase(suite, two);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
