/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles by somebody who holds the ledger's and the manifest's key, or writes these formats
 * carelessly: notes, proofs, certificates and entries that another reader could take for right.
 * Steps 2 to 4; more of them in verify_steps_test.c.
 */
#include "verify_steps.h"

/* ---- bytes ---- */

static void bytes_set(struct kms_buf *buf, const char *text)
{
	kms_buf_free(buf);
	ck_ok(kms_buf_copy(kms_bytes_str(text), buf));
}

/* The first `from` of a text becomes `to`. */
static void bytes_replace(struct kms_buf *buf, const char *from, const char *to)
{
	KMS_AUTO_FREE char *text = NULL;
	const char *at = memmem(buf->ptr, buf->len, from, strlen(from));
	ck_assert_msg(at != NULL, "no %s", from);
	size_t before = (size_t)(at - (const char *)buf->ptr);
	ck_ok(kms_text(&text, "%.*s%s%.*s", (int)before, (const char *)buf->ptr, to,
		(int)(buf->len - before - strlen(from)), at + strlen(from)));
	bytes_set(buf, text);
}

/* ---- 2: the checkpoint ---- */

#define ROOT "RERERERERERERERERERERERERERERERERERERERERERE"

BEND(b2_carriage_returns)
{
	note_text(world, ORIGIN "\r\n40\r\n" ROOT "=\r\n");
}
BEND(b2_blank_line)
{
	note_text(world, ORIGIN "\n40\n" ROOT "=\n\n" ORIGIN "\n41\n" ROOT "=\n");
}
BEND(b2_mark_in_front)
{
	note_text(world, "\xef\xbb\xbf" ORIGIN "\n40\n" ROOT "=\n");
}
BEND(b2_bad_utf8)
{
	note_text(world, ORIGIN "\n40\n" ROOT "=\n\xff\n");
}
BEND(b2_too_big)
{
	note_text(world, ORIGIN "\n9223372036854775808\n" ROOT "=\n");
}
BEND(b2_far_too_big)
{
	note_text(world, ORIGIN "\n18446744073709551656\n" ROOT "=\n"); /* 40 modulo 2^64 */
}
BEND(b2_signed_size)
{
	note_text(world, ORIGIN "\n+40\n" ROOT "=\n");
}
BEND(b2_negative_size)
{
	note_text(world, ORIGIN "\n-40\n" ROOT "=\n");
}
BEND(b2_loose_base64)
{
	/* The last two bits of the last digit belong to no byte. */
	note_text(world, ORIGIN "\n40\nRERERERERERERERERERERERERERERERERERERERERER=\n");
}
BEND(b2_long_root)
{
	note_text(world, ORIGIN "\n40\n" ROOT ROOT "\n");
}
BEND(b2_empty_root)
{
	note_text(world, ORIGIN "\n40\n\n");
}
BEND(b2_no_newline)
{
	world->note.len--;
}
BEND(b2_no_dash)
{
	bytes_replace(&world->note, "\u2014 ", "- ");
}
BEND(b2_two_spaces)
{
	bytes_replace(&world->note, "\u2014 ", "\u2014  ");
}
BEND(b2_other_name)
{
	/* The pinned key, under a name that is not pinned. */
	bytes_replace(&world->note, "\u2014 " ORIGIN, "\u2014 other.example/kmsd/1");
}
BEND(b2_name_with_control)
{
	bytes_replace(&world->note, "\u2014 " ORIGIN, "\u2014 \x1b[31m" ORIGIN);
}
BEND(b2_no_padding)
{
	KMS_AUTO_FREE char *note = note_string(world);
	size_t len = strlen(note) - 1;
	bool padded = note[len - 1] == '=';
	while (note[len - 1] == '=') {
		len--;
	}
	/* Where there was none, a padding that does not belong there. */
	note_replace(world, "%.*s%s\n", (int)len, note, padded ? "" : "====");
}
BEND(b2_manifest_key)
{
	world->checkpoint_by = SIGNER_MANIFEST;
}
BEND(b2_empty_log)
{
	world->checkpoint.size = 0;
	ck_ok(tlog_root_of(NULL, 0, &world->checkpoint.root));
}
BEND(b2_smaller)
{
	world->checkpoint.size = 3;
}
BEND(b2_another_checkpoint)
{
	/* Good, by the ledger's key, and not the one of the proofs. */
	struct tlog_checkpoint later = world->checkpoint;
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF note = {0};
	later.size++;
	ck_ok(tlog_checkpoint_text(&later, &text));
	note_sign(SIGNER_LOG, kms_buf_bytes(&text), &note);
	file_set(file_find(world, "checkpoint"), kms_buf_bytes(&note));
}

/* ---- 3: the certificate and its entry ---- */

/* certificate.json as these bytes, and the entry holds their hash. */
static void certificate_bytes(struct world *world)
{
	ck_ok(crypto_sha256_one(
		kms_buf_bytes(&world->certificate_json), &world->issue.change.u.cert_issue.hash));
}
static void certificate_as(struct world *world, const char *text)
{
	bytes_set(&world->certificate_json, text);
	certificate_bytes(world);
}
static void certificate_with(struct world *world, const char *from, const char *to)
{
	bytes_replace(&world->certificate_json, from, to);
	certificate_bytes(world);
}

BEND(b3_twice)
{
	certificate_with(
		world, "\"status\":\"final\"", "\"status\":\"provisional\",\"status\":\"final\"");
}
BEND(b3_inner_twice)
{
	certificate_with(world, "\"call\":", "\"call\":\"none\",\"call\":");
}
BEND(b3_space)
{
	certificate_with(world, "\"status\":", "\"status\": ");
}
BEND(b3_newline)
{
	KMS_AUTO_FREE char *text = NULL;
	struct kms_buf *json = &world->certificate_json;
	ck_ok(kms_text(&text, "%.*s\n", (int)json->len, (const char *)json->ptr));
	certificate_as(world, text);
}
BEND(b3_mark_in_front)
{
	certificate_with(world, "{\"approvals_needed\"", "\xef\xbb\xbf{\"approvals_needed\"");
}
BEND(b3_escaped)
{
	certificate_with(world, "\"status\":\"final\"", "\"status\":\"fin\\u0061l\"");
}
BEND(b3_slash)
{
	certificate_with(world, "kmsd-cert/1", "kmsd-cert\\/1");
}
BEND(b3_nul)
{
	certificate_with(world, "\"status\":\"final\"", "\"status\":\"final\\u0000\"");
}
BEND(b3_fraction)
{
	certificate_with(world, "\"approvals_needed\":2", "\"approvals_needed\":2.0");
}
BEND(b3_exponent)
{
	certificate_with(world, "\"approvals_needed\":2", "\"approvals_needed\":2e0");
}
BEND(b3_minus_zero)
{
	certificate_with(world, "\"returned\":13", "\"returned\":-0");
}
BEND(b3_2_to_53)
{
	certificate_with(world, "\"returned\":13", "\"returned\":9007199254740992");
}
BEND(b3_2_to_64)
{
	certificate_with(world, "\"returned\":13", "\"returned\":18446744073709551616");
}
BEND(b3_leading_zero)
{
	certificate_with(world, "\"approvals_needed\":2", "\"approvals_needed\":02");
}
BEND(b3_number_as_text)
{
	certificate_with(world, "\"approvals_needed\":2", "\"approvals_needed\":\"2\"");
}
BEND(b3_upper_case_id)
{
	certificate_with(world, "\"erasure\":\"e1e1", "\"erasure\":\"E1E1");
}
BEND(b3_upper_case_hash)
{
	certificate_with(world, "\"commitment\":\"c0", "\"commitment\":\"C0");
}
BEND(b3_lone_surrogate)
{
	certificate_with(world, "\"kmsd\":\"test\"", "\"kmsd\":\"\\ud800\"");
}
BEND(b3_member_missing)
{
	certificate_with(world, "\"technique\":\"CE\",", "");
}
BEND(b3_null_left_out)
{
	certificate_with(world, "\"supersedes\":null,", "");
}
BEND(b3_list_null)
{
	doc_set_null(world->certificate, "wipes");
}
BEND(b3_list_object)
{
	(void)doc_set_object(world->certificate, "events");
}
BEND(b3_no_versions)
{
	(void)doc_set_array(row(world, "keys", 0), "versions");
}
static void versions_of(struct world *world, int first, int second)
{
	struct doc *versions = doc_set_array(row(world, "keys", 0), "versions");
	doc_add_int(versions, first);
	doc_add_int(versions, second);
}
BEND(b3_version_0)
{
	versions_of(world, 0, 1);
}
BEND(b3_version_twice)
{
	versions_of(world, 1, 1);
}
BEND(b3_versions_reordered)
{
	versions_of(world, 2, 1);
}
BEND(b3_version_2_to_32)
{
	struct doc *versions = doc_set_array(row(world, "keys", 0), "versions");
	doc_add_int(versions, 1);
	doc_add_int(versions, 4294967298); /* 2 as 32 bits have it */
}
BEND(b3_copy_version)
{
	doc_set_int(row(world, "copies", 0), "version", 4294967297);
}
BEND(b3_method)
{
	doc_set_text(row(world, "copies", 0), "method", "C_DestroyObject and shredding");
}
BEND(b3_backups)
{
	struct doc *known = NULL;
	ck_ok(doc_get_array(object(world, "backups"), "known", &known));
	doc_add_text(known, "tape 7");
}
BEND(b3_time)
{
	doc_set_int(object(world, "time"), "not_before", 5);
}
BEND(b3_media_rows)
{
	doc_set_int(object(world, "media"), "count", 0);
}
/* One row is another, and the hash over all of them is as it was. */
BEND(b3_media_row)
{
	struct doc *rows = NULL, *item = NULL;
	ck_ok(doc_get_array(object(world, "media"), "rows", &rows));
	ck_ok(doc_item_object(rows, 0, &item));
	doc_set_text(item, "serial", "SN-2");
}
BEND(b3_media_row_away)
{
	(void)doc_set_array(object(world, "media"), "rows");
}
BEND(b3_media_count)
{
	doc_set_int(object(world, "media"), "count", 2);
}
BEND(b3_array)
{
	certificate_as(world, "[]");
}
BEND(b3_empty_object)
{
	certificate_as(world, "{}");
}
BEND(b3_empty)
{
	certificate_as(world, "");
}
BEND(b3_deep)
{
	static char text[40001];
	memset(text, '[', 20000);
	memset(text + 20000, ']', 20000);
	certificate_as(world, text);
}
BEND(b3_level_of_a_megabyte)
{
	static char text[1024 * 1024];
	for (size_t i = 0; i + 3 < sizeof(text); i += 3) {
		memcpy(text + i, "証", 3);
	}
	doc_set_text(world->certificate, "claim_level", text);
}
BEND(b3_log_of_a_kilobyte)
{
	char text[1024];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	doc_set_text(object(world, "issuer"), "log_origin", text);
}

/* ---- 3 and 4: proofs; of the certificate and of an entry ---- */

static const char *proof_name; /* which */

static struct kms_buf *proof_of(struct world *world)
{
	return &file_find(world, proof_name)->bytes;
}
BEND(p_extra)
{
	bytes_replace(proof_of(world), "@v1\n", "@v1\nextra AAAA\n");
}
BEND(p_version)
{
	bytes_replace(proof_of(world), "@v1\n", "@v2\n");
}
BEND(p_carriage_return)
{
	bytes_replace(proof_of(world), "@v1\n", "@v1\r\n");
}
BEND(p_leading_zero)
{
	bytes_replace(proof_of(world), "index ", "index 0");
}
BEND(p_space)
{
	bytes_replace(proof_of(world), "index ", "index  ");
}
BEND(p_plus)
{
	bytes_replace(proof_of(world), "index ", "index +");
}
BEND(p_2_to_63)
{
	bytes_replace(proof_of(world), "index ", "index 9223372036854775808");
}
BEND(p_2_to_64)
{
	/* One more digit than 2^64 has: what overflows could come out right. */
	bytes_replace(proof_of(world), "index ", "index 184467440737095516160");
}
BEND(p_hash_more)
{
	bytes_replace(proof_of(world), "\n\n", "\n" ROOT "=\n\n");
}
BEND(p_many_hashes)
{
	for (int i = 0; i < 100; i++) {
		p_hash_more(world);
	}
}
BEND(p_hash_missing)
{
	KMS_AUTO_FREE char *text = NULL;
	struct kms_buf *proof = proof_of(world);
	const char *start = memmem(proof->ptr, proof->len, "index ", 6);
	start = strchr(start, '\n') + 1;
	size_t before = (size_t)(start - (const char *)proof->ptr);
	const char *rest = strchr(start, '\n') + 1;
	size_t after = proof->len - (size_t)(rest - (const char *)proof->ptr);
	ck_ok(kms_text(&text, "%.*s%.*s", (int)before, (const char *)proof->ptr, (int)after, rest));
	bytes_set(proof, text);
}
BEND(p_short_hash)
{
	bytes_replace(proof_of(world), "\n\n", "\nRERE\n\n");
}
BEND(p_no_note)
{
	struct kms_buf *proof = proof_of(world);
	const uint8_t *end = memmem(proof->ptr, proof->len, "\n\n", 2);
	proof->len = (size_t)(end - proof->ptr) + 2;
}
BEND(p_after_it)
{
	KMS_AUTO_FREE char *text = NULL;
	struct kms_buf *proof = proof_of(world);
	ck_ok(kms_text(&text, "%.*s\n", (int)proof->len, (const char *)proof->ptr));
	bytes_set(proof, text);
}
BEND(p_empty)
{
	bytes_set(proof_of(world), "");
}

static void (*const proofs[])(struct world *world) = {p_extra, p_version, p_carriage_return,
	p_leading_zero, p_space, p_plus, p_2_to_63, p_2_to_64, p_hash_more, p_many_hashes,
	p_hash_missing, p_short_hash, p_no_note, p_after_it, p_empty};
enum { PROOFS = sizeof(proofs) / sizeof(proofs[0]) };

/* ---- 4: entries ---- */

BEND(b4_second_chain)
{
	/* The key is made once more, and what was before stays apart. */
	size_t last = entry_find(world, MODEL_CHANGE_KEY_INTENT, 2);
	if (world->at == last) {
		world->entries[last].head.has_previous = false;
	}
}
BEND(b4_other_erasure)
{
	struct made *made = entry_add_step(world, MODEL_CHANGE_ERASE_INTENT);
	made->change.u.erase_step.erasure = id_of(ID_OTHER);
}
BEND(b4_second_request)
{
	entry_add_request(world);
}
BEND(b4_alarm)
{
	struct made *made = entry_add(world, MODEL_CHANGE_ALARM);
	(void)strcpy(made->change.u.alarm.text, "nothing");
}
BEND(b4_other_key)
{
	struct made *made = entry_add(world, MODEL_CHANGE_KEY_STATE);
	made->change.u.key_state.key = id_of(ID_OTHER);
	made->change.u.key_state.event = MODEL_EVENT_SUSPEND;
	made->change.u.key_state.state = MODEL_STATE_SUSPENDED;
}
BEND(b4_tail_away)
{
	/* Its leaf stays in the tree, and the state after it names it. */
	size_t at = entry_find(world, MODEL_CHANGE_ERASE_RESULT, 0);
	world->entries[at].hidden = true;
}
BEND(b4_event_birth)
{
	size_t at = entry_find(world, MODEL_CHANGE_KEY_RESULT, 0);
	struct doc *event = row(world, "events", 0);
	doc_set_int(event, "seq", (int64_t)at);
	doc_set_text(event, "type", "key.create.result");
	doc_set_hash(event, "leaf", &world->entries[at].leaf);
}
BEND(b4_event_twice)
{
	static const int order[] = {0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, -1};
	reorder(world, "events", order);
}
BEND(b4_event_more)
{
	static const int order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, -1};
	reorder(world, "events", order);
	doc_set_int(row(world, "events", 13), "seq", 9007199254740991);
}
BEND(b4_no_events)
{
	(void)doc_set_array(world->certificate, "events");
}
static struct kms_buf *entry_bytes(struct world *world, const char *name)
{
	return &file_find(world, name)->bytes;
}
BEND(b4_space)
{
	bytes_replace(entry_bytes(world, "entries/5.json"), "{", "{ ");
}
BEND(b4_twice)
{
	bytes_replace(entry_bytes(world, "entries/5.json"), "\"v\":", "\"v\":\"x\",\"v\":");
}
BEND(b4_empty)
{
	bytes_set(entry_bytes(world, "entries/5.json"), "");
}
BEND(b4_minus)
{
	file_add(world, "entries/-1.json", kms_bytes_str("{}"));
}
BEND(b4_no_digits)
{
	file_add(world, "entries/.json", kms_bytes_str("{}"));
}
BEND(b4_huge_number)
{
	file_add(world, "entries/18446744073709551616.json", kms_bytes_str("{}"));
}
BEND(b4_beyond)
{
	struct model_file *twin = file_find(world, "entries/5.json");
	KMS_AUTO_BUF bytes = {0};
	ck_ok(kms_buf_copy(kms_buf_bytes(&twin->bytes), &bytes));
	file_add(world, "entries/9007199254740992.json", kms_buf_bytes(&bytes));
}
BEND(b4_deeper)
{
	file_add(world, "entries/5.json.json", kms_bytes_str("{}"));
}
BEND(b4_creation_of_another)
{
	doc_set_int(row(world, "keys", 0), "created_seq", 3);
}

static const struct wrong cases[] = {
	CASE(b2_carriage_returns, NOTE, S(2)),
	CASE(b2_blank_line, NOTE, S(2)),
	CASE(b2_mark_in_front, NOTE, S(2)),
	CASE(b2_bad_utf8, NOTE, S(2)),
	CASE(b2_too_big, NOTE, S(2)),
	CASE(b2_far_too_big, NOTE, S(2)),
	CASE(b2_signed_size, NOTE, S(2)),
	CASE(b2_negative_size, NOTE, S(2)),
	CASE(b2_loose_base64, NOTE, S(2)),
	CASE(b2_long_root, NOTE, S(2)),
	CASE(b2_empty_root, NOTE, S(2)),
	CASE(b2_no_newline, NOTE, S(2)),
	CASE(b2_no_dash, NOTE, S(2)),
	CASE(b2_two_spaces, NOTE, S(2)),
	CASE(b2_other_name, NOTE, S(2)),
	CASE(b2_name_with_control, NOTE, S(2)),
	CASE(b2_no_padding, NOTE, S(2)),
	CASE(b2_manifest_key, CHECKPOINT, S(2)),
	CASE(b2_empty_log, CHECKPOINT, S(3) | S(4)),
	CASE(b2_smaller, CHECKPOINT, S(3) | S(4)),
	CASE(b2_another_checkpoint, FILES, S(3) | S(4)),

	CASE(b3_twice, ISSUE, S(3)),
	CASE(b3_inner_twice, ISSUE, S(3)),
	CASE(b3_space, ISSUE, S(3)),
	CASE(b3_newline, ISSUE, S(3)),
	CASE(b3_mark_in_front, ISSUE, S(3)),
	CASE(b3_escaped, ISSUE, S(3)),
	CASE(b3_slash, ISSUE, S(3)),
	CASE(b3_nul, ISSUE, S(3)),
	CASE(b3_fraction, ISSUE, S(3)),
	CASE(b3_exponent, ISSUE, S(3)),
	CASE(b3_minus_zero, ISSUE, S(3)),
	CASE(b3_2_to_53, ISSUE, S(3)),
	CASE(b3_2_to_64, ISSUE, S(3)),
	CASE(b3_leading_zero, ISSUE, S(3)),
	CASE(b3_number_as_text, ISSUE, S(3)),
	CASE(b3_upper_case_id, ISSUE, S(3)),
	CASE(b3_upper_case_hash, ISSUE, S(3)),
	CASE(b3_lone_surrogate, ISSUE, S(3)),
	CASE(b3_member_missing, ISSUE, S(3)),
	CASE(b3_null_left_out, ISSUE, S(3)),
	CASE(b3_list_null, CERTIFICATE, S(3)),
	CASE(b3_list_object, CERTIFICATE, S(3)),
	CASE(b3_no_versions, CERTIFICATE, S(3)),
	CASE(b3_version_0, CERTIFICATE, S(3)),
	CASE(b3_version_twice, CERTIFICATE, S(3)),
	CASE(b3_versions_reordered, CERTIFICATE, S(3)),
	CASE(b3_version_2_to_32, CERTIFICATE, S(3)),
	CASE(b3_copy_version, CERTIFICATE, S(3)),
	CASE(b3_method, CERTIFICATE, S(3)),
	CASE(b3_backups, CERTIFICATE, S(3)),
	CASE(b3_time, CERTIFICATE, S(3)),
	CASE(b3_media_rows, CERTIFICATE, S(3)),
	CASE(b3_media_row, CERTIFICATE, S(3)),
	CASE(b3_media_row_away, CERTIFICATE, S(3)),
	CASE(b3_media_count, CERTIFICATE, S(3)),
	CASE(b3_array, ISSUE, S(3)),
	CASE(b3_empty_object, ISSUE, S(3)),
	CASE(b3_empty, ISSUE, S(3)),
	CASE(b3_deep, ISSUE, S(3)),
	CASE(b3_level_of_a_megabyte, CERTIFICATE, S(3)),
	CASE(b3_log_of_a_kilobyte, CERTIFICATE, S(3)),

	CASE(b4_second_chain, HEAD, S(4)),
	CASE(b4_other_erasure, ENTRIES, S(4)),
	CASE(b4_second_request, ENTRIES, S(4) | S(9)),
	CASE(b4_alarm, ENTRIES, S(4)),
	CASE(b4_other_key, ENTRIES, S(4)),
	CASE(b4_tail_away, ENTRIES, S(4) | S(5) | S(6)),
	CASE(b4_event_birth, CERTIFICATE, S(4)),
	CASE(b4_event_twice, CERTIFICATE, S(4)),
	CASE(b4_event_more, CERTIFICATE, S(4)),
	CASE(b4_no_events, CERTIFICATE, S(4)),
	CASE(b4_space, FILES, S(4)),
	CASE(b4_twice, FILES, S(4)),
	CASE(b4_empty, FILES, S(4)),
	CASE(b4_minus, FILES, S(4)),
	CASE(b4_no_digits, FILES, S(4)),
	CASE(b4_huge_number, FILES, S(4)),
	CASE(b4_beyond, FILES, S(4)),
	CASE(b4_deeper, FILES, S(4)),
	CASE(b4_creation_of_another, CERTIFICATE, S(4)),
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

START_TEST(wrong_in_the_ledger)
{
	expect_wrong(&cases[_i]);
}
END_TEST

START_TEST(wrong_proofs)
{
	struct wrong of_issue = {"of the certificate", S(3), STAGE_FILES, proofs[_i]};
	struct wrong of_entry = {"of an entry", S(4), STAGE_FILES, proofs[_i]};
	proof_name = "certificate.tlog-proof";
	expect_wrong(&of_issue);
	proof_name = "entries/2.tlog-proof";
	expect_wrong(&of_entry);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify_hostile_ledger");
	TCase *tcase = tcase_create("verify_hostile_ledger");
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, set_up, bundle_keys_drop);
	tcase_add_loop_test(tcase, wrong_in_the_ledger, 0, CASES);
	tcase_add_loop_test(tcase, wrong_proofs, 0, PROOFS);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
