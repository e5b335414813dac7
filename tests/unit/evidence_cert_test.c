/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of kmsd/evidence's certificates and bundles through its header: what they say of a ledger
 * in memory, when they are final, that no text becomes HTML, and that VERIFY.txt's commands do what
 * it says.
 */
#include <jansson.h>

#include "evidence_world.h"

static struct evidence_certificate *made;
static json_t *cert;

static void make(void)
{
	struct evidence_parts all = parts();
	evidence_certificate_free(&made);
	json_decref(cert);
	OK(evidence_certificate_make(&all, &erasure, &made));
	cert = json_loadb((const char *)made->json.ptr, made->json.len, 0, NULL);
	ck_assert_ptr_nonnull(cert);
	struct kms_hash hash_now;
	OK(crypto_sha256_one(kms_buf_bytes(&made->json), &hash_now));
	ck_assert(kms_hash_equal(&hash_now, &made->hash));
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	ck_assert_msg(value != NULL, "no text %s", name);
	return value;
}

static void assert_status(bool final)
{
	make();
	ck_assert_int_eq(made->final, final);
	ck_assert_str_eq(text(cert, "status"), final ? "final" : "provisional");
}

/* From request to final, with a wipe. */
static void run_all(void)
{
	make_erasure(MODEL_ERASE_TENANT, true);
	append_approval(APPROVER_A);
	append_approval(APPROVER_B);
	append_intent();
	append_result(1, KEK_1);
	append_alarm();
	append_result(2, KEK_2);
	append_wipe();
	append_final();
}

/* ---- members ---- */

static void assert_members(const json_t *object, const char *const *names)
{
	size_t count = 0;
	while (names[count] != NULL) {
		ck_assert_msg(json_object_get(object, names[count]) != NULL, "%s is not there",
			names[count]);
		count++;
	}
	ck_assert_uint_eq(json_object_size(object), count);
}
#define MEMBERS(object, ...) assert_members(object, (const char *const[]){__VA_ARGS__, NULL})

static FILE *open_document(void)
{
	char path[1024];
	(void)snprintf(path, sizeof(path), "%s/docs/formats/bundle.md", getenv("KMS_SOURCE"));
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	return file;
}

/* Statement and list stand there as they are, one a line. */
START_TEST(fixed_texts_are_those_of_the_document)
{
	char *line = NULL;
	size_t cap = 0;
	size_t found = 0;
	run_all();
	make();
	json_t *texts = json_copy(json_object_get(cert, "not_claimed"));
	ck_assert_int_eq(json_array_insert(texts, 0, json_object_get(cert, "statement")), 0);
	FILE *file = open_document();
	while (found < json_array_size(texts) && getline(&line, &cap, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		found += strcmp(line, json_string_value(json_array_get(texts, found))) == 0;
	}
	ck_assert_uint_eq(found, json_array_size(texts));
	free(line);
	(void)fclose(file);
	json_decref(texts);
}
END_TEST

/* The first column of the table that stands in docs/formats/bundle.md. */
START_TEST(members_are_those_of_the_document)
{
	char *line = NULL;
	size_t cap = 0;
	size_t count = 0;
	bool inside = false;
	FILE *file = open_document();
	run_all();
	make();
	while (getline(&line, &cap, file) > 0) {
		inside = strncmp(line, "## ", 3) == 0 ? strstr(line, "certificate.json") != NULL
						      : inside;
		if (!inside || strncmp(line, "| `", 3) != 0) {
			continue;
		}
		*strstr(line + 2, " | ") = '\0';
		for (char *at = strtok(line, "|`, "); at != NULL; at = strtok(NULL, "|`, ")) {
			ck_assert_msg(json_object_get(cert, at) != NULL, "%s is not there", at);
			count++;
		}
	}
	free(line);
	(void)fclose(file);
	ck_assert_uint_gt(count, 30);
	ck_assert_uint_eq(json_object_size(cert), count);
}
END_TEST

START_TEST(members_of_members)
{
	run_all();
	make();
	json_t *key = json_array_get(json_object_get(cert, "keys"), 0);
	MEMBERS(json_object_get(cert, "issuer"), "log_origin", "log_vkeys");
	MEMBERS(json_object_get(cert, "scope"), "kind", "subject", "plan", "plaintext_before",
		"excluded");
	MEMBERS(json_object_get(cert, "media"), "count", "hash", "rows");
	MEMBERS(key, "id", "versions", "level", "alg_bits", "created_seq", "created",
		"destroyed_seq", "uses");
	MEMBERS(json_object_get(key, "uses"), "datakeys", "wraps", "unwraps", "rewraps", "first",
		"last");
	MEMBERS(json_array_get(json_object_get(cert, "copies"), 0), "token", "kek", "key",
		"version", "commitment", "added_seq", "removed_seq", "method");
	MEMBERS(json_array_get(json_object_get(cert, "wipes"), 0), "token", "seq");
	MEMBERS(json_array_get(json_object_get(cert, "modules"), 0), "token", "manufacturer",
		"model", "serial", "firmware", "class", "certificate_no", "organisation", "site",
		"country");
	MEMBERS(json_object_get(cert, "leases"), "handed_out", "returned", "clients", "last_end",
		"seen");
	MEMBERS(json_object_get(cert, "backups"), "known", "statement");
	MEMBERS(json_object_get(cert, "zeroization"), "call", "standard");
	MEMBERS(json_object_get(cert, "tool"), "kmsd");
	MEMBERS(json_array_get(json_object_get(cert, "events"), 0), "type", "seq", "leaf");
	MEMBERS(json_object_get(cert, "verification"), "absent", "canary_failed");
	MEMBERS(json_object_get(cert, "time"), "not_before", "not_after");
	MEMBERS(json_array_get(json_object_get(cert, "persons"), 0), "role", "id", "spki");
	MEMBERS(json_object_get(cert, "validation"), "status");
}
END_TEST

static json_int_t number(const json_t *object, const char *name)
{
	ck_assert_msg(json_is_integer(json_object_get(object, name)), "no number %s", name);
	return json_integer_value(json_object_get(object, name));
}

START_TEST(what_it_says_of_a_whole_erasure)
{
	static const char *const roles[] = {
		"requester", "approver", "approver", "executor", "verifier", "validator"};
	static const char *const types[] = {"destroy.request", "destroy.approve", "destroy.approve",
		"destroy.execute.intent", "destroy.execute.result", "destroy.execute.result",
		"destroy.wipe", "destroy.final"};
	run_all();
	make();
	json_t *persons = json_object_get(cert, "persons");
	json_t *events = json_object_get(cert, "events");
	json_t *copies = json_object_get(cert, "copies");
	json_t *key = json_array_get(json_object_get(cert, "keys"), 0);
	ck_assert_uint_eq(json_array_size(persons), 6);
	for (size_t i = 0; i < 6; i++) {
		ck_assert_str_eq(text(json_array_get(persons, i), "role"), roles[i]);
	}
	ck_assert_uint_eq(json_array_size(events), 8);
	for (size_t i = 0; i < 8; i++) {
		ck_assert_str_eq(text(json_array_get(events, i), "type"), types[i]);
	}
	ck_assert_uint_eq(json_array_size(copies), 2);
	ck_assert_int_eq(number(json_array_get(copies, 0), "added_seq"), 2);
	ck_assert_int_eq(number(json_array_get(copies, 0), "removed_seq"), 10);
	ck_assert_int_eq(number(json_array_get(copies, 1), "removed_seq"), 12);
	ck_assert_uint_eq(json_array_size(json_object_get(key, "versions")), 2);
	ck_assert_int_eq(number(key, "created_seq"), 1);
	ck_assert_int_eq(number(key, "destroyed_seq"), 12);
	ck_assert_int_eq(number(cert, "requested"), 1795251606000); /* its entry's */
	ck_assert_int_eq(number(cert, "executed"), 1795251612000);
	ck_assert_int_eq(number(cert, "approvals_needed"), 2);
	ck_assert_int_eq(number(json_object_get(cert, "verification"), "absent"), 2);
	ck_assert_int_eq(number(json_object_get(cert, "verification"), "canary_failed"), 2);
	ck_assert_int_eq(number(json_object_get(cert, "leases"), "handed_out"), 43);
	ck_assert_uint_eq(json_array_size(json_object_get(cert, "modules")), 1);
	ck_assert(json_is_null(json_object_get(cert, "supersedes")));
	erasure.cert = made->id;
	pins_needed = 0; /* no token can be asked */
	make();
	ck_assert_uint_eq(strlen(text(cert, "supersedes")), 36);
	ck_assert(json_is_null(json_object_get(cert, "approvals_needed")));
}
END_TEST

/* ---- provisional and final ---- */

START_TEST(final_only_when_nothing_is_open)
{
	make_erasure(MODEL_ERASE_TENANT, true);
	assert_status(false);
	ck_assert(json_is_null(json_object_get(cert, "executed")));
	ck_assert_uint_eq(json_array_size(json_object_get(cert, "persons")), 2);
	append_approval(APPROVER_A);
	append_approval(APPROVER_B);
	append_intent();
	append_result(1, KEK_1);
	assert_status(false);
	json_t *key = json_array_get(json_object_get(cert, "keys"), 0);
	json_t *open = json_array_get(json_object_get(cert, "copies"), 1);
	ck_assert(json_is_null(json_object_get(key, "destroyed_seq")));
	ck_assert(json_is_null(json_object_get(open, "removed_seq")));
	append_result(2, KEK_2);
	assert_status(false); /* the wipe */
	append_wipe();
	assert_status(false); /* the last entry */
	append_final();
	assert_status(true);
}
END_TEST

/* Whatever kmsd's entries say, a copy without a result keeps it provisional. */
START_TEST(final_entry_alone_makes_nothing_final)
{
	make_erasure(MODEL_ERASE_KEY, false);
	append_intent();
	append_result(1, KEK_1);
	append_final();
	assert_status(false);
}
END_TEST

/* Until the last data key that nobody gave back is over. */
START_TEST(final_needs_the_end_of_each_lease)
{
	run_all();
	lease_sum.returned--;
	lease_sum.last_end_unix_ms = kms_now_unix_ms() + 60 * 1000;
	assert_status(false);
	json_t *leases = json_object_get(cert, "leases");
	ck_assert_int_eq(number(leases, "returned"), 42);
	ck_assert_int_eq(number(leases, "clients"), 1);
	ck_assert_int_eq(number(leases, "last_end"), lease_sum.last_end_unix_ms);
	ck_assert_int_lt(number(leases, "seen"), lease_sum.last_end_unix_ms);
	lease_sum.last_end_unix_ms = kms_now_unix_ms();
	assert_status(true);
	ck_assert_int_eq(number(json_object_get(cert, "leases"), "clients"), 1);
}
END_TEST

START_TEST(final_needs_each_wipe)
{
	make_erasure(MODEL_ERASE_TENANT, true);
	append_intent();
	append_result(1, KEK_1);
	append_result(2, KEK_2);
	append_final();
	assert_status(false);
}
END_TEST

START_TEST(versions_say_that_others_live)
{
	make_erasure(MODEL_ERASE_VERSIONS, false);
	append_intent();
	append_result(1, KEK_1);
	append_final();
	assert_status(true);
	json_t *key = json_array_get(json_object_get(cert, "keys"), 0);
	json_t *excluded = json_object_get(json_object_get(cert, "scope"), "excluded");
	ck_assert_uint_eq(json_array_size(json_object_get(cert, "copies")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(key, "versions")), 1);
	ck_assert_ptr_nonnull(
		strstr(json_string_value(json_array_get(excluded, json_array_size(excluded) - 1)),
			"other versions"));
}
END_TEST

/* ---- claims ---- */

START_TEST(it_claims_no_more_than_recorded)
{
	static const char *const never[] = {"purge", "Purge", "zeroi", "unrecoverable",
		"irrecoverable", "FIPS", "no other cop", "sanitiz"};
	run_all(); /* and the token is an HSM with a certificate number */
	make();
	ck_assert_str_eq(text(cert, "claim_level"), "recorded");
	ck_assert_str_eq(text(cert, "method"), "none claimed");
	ck_assert_str_eq(text(cert, "copies_complete"), "not asserted");
	ck_assert_str_eq(text(json_object_get(cert, "zeroization"), "standard"), "none");
	ck_assert_str_eq(text(json_object_get(cert, "validation"), "status"), "pending");
	ck_assert_str_eq(text(json_object_get(cert, "scope"), "plaintext_before"), "unknown");
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		ck_assert_ptr_null(strstr(text(cert, "statement"), never[i]));
	}
	ck_assert_uint_ge(json_array_size(json_object_get(cert, "not_claimed")), 5);
	ck_assert_uint_ge(json_array_size(json_object_get(cert, "verification_not_done")), 5);
}
END_TEST

START_TEST(what_contradicts_itself_is_not_certified)
{
	struct evidence_parts all = parts();
	struct evidence_certificate *none = NULL;
	run_all();
	plan.ptr[plan.len - 2] ^= 1; /* another plan than was signed */
	FAILS(evidence_certificate_make(&all, &erasure, &none), INTEGRITY);
	plan.ptr[plan.len - 2] ^= 1;
	erasure.bytes.ptr[erasure.bytes.len - 1] ^= 1; /* another commitment than was born */
	FAILS(evidence_certificate_make(&all, &erasure, &none), INTEGRITY);
	ck_assert_ptr_null(none);
}
END_TEST

/* ---- the bundle ---- */

static struct model_file *files;
static size_t file_count;

static void make_bundle(void)
{
	struct evidence_parts all = parts();
	run_all();
	make();
	uint64_t seq = append_issue(made);
	append_alarm(); /* a checkpoint covers more than the certificate */
	OK(evidence_bundle_make(&all, &erasure, made, seq, &files, &file_count));
}

static const struct kms_buf *file(const char *name)
{
	for (size_t i = 0; i < file_count; i++) {
		if (strcmp(files[i].name, name) == 0) {
			return &files[i].bytes;
		}
	}
	ck_abort_msg("no file %s", name);
}

static char *file_text(const char *name)
{
	return strndup((const char *)file(name)->ptr, file(name)->len);
}

START_TEST(bundle_lists_and_proves_its_files)
{
	static const char *const fixed[] = {"manifest", "certificate.json", "cert-entry.json",
		"certificate.tlog-proof", "checkpoint", "log.vkey", "certificate.html",
		"certificate.ja.html", "VERIFY.txt"};
	struct kms_bytes signed_text;
	struct tlog_checkpoint checkpoint;
	size_t proofs = 0;
	make_bundle();
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		(void)file(fixed[i]);
	}
	/* births 1, 2, 4, 5; request to final 6 .. 14 but for the alarm, 11: no others */
	ck_assert_uint_eq(file_count, 9 + 2 * (4 + 8));
	const struct tlog_vkey log[] = {log_pen.vkey, ed25519_vkey(ORIGIN, LOG_SEED)};
	OK(tlog_note_open_exact(
		kms_buf_bytes(file("checkpoint")), TLOG_NOTE_MAX, log, 2, &signed_text));
	OK(tlog_checkpoint_parse(signed_text, &checkpoint));
	for (size_t seq = 0; seq < log_count; seq++) {
		char entry[64], proof_name[64];
		struct tlog_proof proof;
		struct kms_bytes note;
		uint64_t index = 0;
		struct kms_hash leaf;
		(void)snprintf(entry, sizeof(entry), "entries/%zu.json", seq);
		(void)snprintf(proof_name, sizeof(proof_name), "entries/%zu.tlog-proof", seq);
		bool there = false;
		for (size_t i = 0; i < file_count; i++) {
			there = there || strcmp(files[i].name, entry) == 0;
		}
		if (!there) {
			continue;
		}
		OK(tlog_proof_parse(kms_buf_bytes(file(proof_name)), &index, &proof, &note));
		ck_assert_uint_eq(index, seq);
		ck_assert(kms_bytes_equal(note, kms_buf_bytes(file("checkpoint"))));
		OK(tlog_leaf_hash(kms_buf_bytes(file(entry)), &leaf));
		OK(tlog_check_inclusion(&leaf, index, checkpoint.size, &proof, &checkpoint.root));
		proofs++;
	}
	ck_assert_uint_eq(proofs, 12);
}
END_TEST

/* The ledger's keys, one or two, in certificate and log.vkey. */
START_TEST(the_ledgers_keys)
{
	KMS_AUTO_FREE char *ed25519 = NULL;
	KMS_AUTO_FREE char *lines = NULL;
	KMS_AUTO_FREE char *said = NULL;
	const struct tlog_vkey vkey = ed25519_vkey(ORIGIN, LOG_SEED);
	log_has_ed25519 = _i == 1;
	make_bundle();
	OK(tlog_vkey_text(&vkey, &ed25519));
	OK(kms_text(&lines, "%s\n%s%s", log_pen.text, _i == 1 ? ed25519 : "", _i == 1 ? "\n" : ""));
	said = file_text("log.vkey");
	ck_assert_str_eq(said, lines);
	const json_t *vkeys = json_object_get(json_object_get(cert, "issuer"), "log_vkeys");
	ck_assert_uint_eq(json_array_size(vkeys), _i == 1 ? 2 : 1);
	ck_assert_str_eq(json_string_value(json_array_get(vkeys, 0)), log_pen.text);
	if (_i == 1) {
		ck_assert_str_eq(json_string_value(json_array_get(vkeys, 1)), ed25519);
	}
	log_has_ed25519 = true;
}
END_TEST

START_TEST(manifest_is_of_every_file_in_order)
{
	struct kms_bytes signed_text;
	KMS_AUTO_WRITER wanted = kms_writer_grow(LIMIT_MANIFEST_BYTES);
	struct kms_bytes bytes;
	make_bundle();
	OK(tlog_note_open_exact(kms_buf_bytes(file("manifest")), LIMIT_MANIFEST_BYTES,
		&manifest_pen.vkey, 1, &signed_text));
	kms_write_text(&wanted, "kmsd-bundle/1\n");
	for (size_t i = 0; i < file_count; i++) {
		struct kms_hash hash_of;
		char hex[KMS_HASH_TEXT];
		if (strcmp(files[i].name, "manifest") == 0) {
			continue;
		}
		ck_assert(i == 0 || strcmp(files[i - 1].name, files[i].name) < 0);
		OK(crypto_sha256_one(kms_buf_bytes(&files[i].bytes), &hash_of));
		kms_write_format(&wanted, "%s  %s\n", kms_hash_text(&hash_of, hex), files[i].name);
	}
	OK(kms_writer_bytes(&wanted, &bytes));
	ck_assert(kms_bytes_equal(bytes, signed_text));
}
END_TEST

/* ---- the views ---- */

START_TEST(no_text_becomes_html)
{
	static const char *const names[] = {"certificate.html", "certificate.ja.html"};
	make_bundle();
	for (size_t i = 0; i < 2; i++) {
		char *html KMS_AUTO_FREE = file_text(names[i]);
		ck_assert_ptr_null(strstr(html, "<script"));
		ck_assert_ptr_null(strstr(html, "<i>"));
		ck_assert_ptr_null(strstr(html, "http://"));
		ck_assert_ptr_null(strstr(html, "https://"));
		ck_assert_ptr_nonnull(strstr(
			html, "LTO&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;9"));
		/* On a line of its own: a table of all that a token is would be cut at the edge. */
		ck_assert_ptr_nonnull(
			strstr(html, "</th><td>&lt;i&gt;M&amp;1&lt;/i&gt;</td></tr>"));
		ck_assert_ptr_nonnull(strstr(html, i == 0 ? "lang=\"en\"" : "lang=\"ja\""));
		ck_assert_ptr_nonnull(strstr(html, "size:A4"));
		ck_assert_ptr_nonnull(strstr(html, "</html>"));
	}
}
END_TEST

static void assert_translated(const char *japanese, const json_t *texts)
{
	for (size_t i = 0; i < json_array_size(texts); i++) {
		const char *english = json_string_value(json_array_get(texts, i));
		ck_assert_msg(strstr(japanese, english) == NULL, "no Japanese for: %s", english);
	}
}

START_TEST(japanese_view_has_every_fixed_text)
{
	make_bundle();
	char *html KMS_AUTO_FREE = file_text("certificate.ja.html");
	assert_translated(html, json_object_get(cert, "not_claimed"));
	assert_translated(html, json_object_get(cert, "verification_not_done"));
	assert_translated(html, json_object_get(json_object_get(cert, "scope"), "excluded"));
	ck_assert_ptr_null(strstr(html, text(cert, "statement")));
	ck_assert_ptr_nonnull(strstr(html, "確定"));
	char *english KMS_AUTO_FREE = file_text("certificate.html");
	ck_assert_ptr_nonnull(strstr(english, "unrecoverable"));
}
END_TEST

/* ---- VERIFY.txt ---- */

static char folder[64];

static void save(void)
{
	char path[256];
	(void)snprintf(folder, sizeof(folder), "/tmp/kmsd-bundle-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/bundle", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/bundle/entries", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	for (size_t i = 0; i < file_count; i++) {
		(void)snprintf(path, sizeof(path), "%s/bundle/%s", folder, files[i].name);
		OK(kms_file_write(path, kms_buf_bytes(&files[i].bytes), 0600));
	}
}

/* Its indented lines, but for the keys, which are ours, as a script beside the bundle. */
static void save_script(void)
{
	char path[256];
	char *steps KMS_AUTO_FREE = file_text("VERIFY.txt");
	char *at = steps;
	KMS_AUTO_WRITER script = kms_writer_grow(LIMIT_BUNDLE_BYTES);
	struct kms_bytes bytes;
	char *ed25519 KMS_AUTO_FREE = NULL;
	const struct tlog_vkey second = ed25519_vkey(ORIGIN, LOG_SEED);
	OK(tlog_vkey_text(&second, &ed25519));
	kms_write_format(&script, "set -u\ncd '%s/bundle'\nLOG='%s'\nED25519='%s'\nMANIFEST='%s'\n",
		folder, log_pen.text, log_has_ed25519 ? ed25519 : "", manifest_pen.text);
	kms_write_format(&script, "STATEMENTS=('%s' '%s')\n", log_pen.text, token_pen.text);
	for (char *line = strsep(&at, "\n"); line != NULL; line = strsep(&at, "\n")) {
		bool command = strncmp(line, "    ", 4) == 0 && strstr(line, "kms verify") == NULL;
		if (command && strstr(line, "='the") == NULL && strstr(line, "=('the") == NULL) {
			kms_write_format(&script, "%s\n", line);
		}
	}
	kms_write_text(&script, "rm -r \"$T\"\n");
	OK(kms_writer_bytes(&script, &bytes));
	(void)snprintf(path, sizeof(path), "%s/script", folder);
	OK(kms_file_write(path, bytes, 0600));
}

static char *run(const char *command)
{
	char line[512];
	char *output = calloc(1, 65536);
	(void)snprintf(line, sizeof(line), "bash -c \"%s\" 2>&1", command);
	FILE *pipe = popen(line, "r");
	ck_assert_ptr_nonnull(pipe);
	size_t len = fread(output, 1, 65535, pipe);
	ck_assert_uint_lt(len, 65535);
	(void)pclose(pipe);
	return output;
}

static size_t count_of(const char *text_in, const char *word)
{
	size_t count = 0;
	for (const char *at = strstr(text_in, word); at != NULL; at = strstr(at + 1, word)) {
		count++;
	}
	return count;
}

static char *run_script(void)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "bash %s/script", folder);
	return run(command);
}

static void change_file(const char *name, const char *command)
{
	char line[400];
	(void)snprintf(line, sizeof(line), "cd %s/bundle && %s", folder, command);
	char *said KMS_AUTO_FREE = run(line);
	ck_assert_msg(said[0] == '\0', "%s: %s", name, said);
}

static void remove_folder(void)
{
	char line[128];
	(void)snprintf(line, sizeof(line), "rm -r %s", folder);
	char *said KMS_AUTO_FREE = run(line);
	ck_assert_str_eq(said, "");
}

START_TEST(the_commands_of_verify_txt_verify)
{
	make_bundle();
	save();
	save_script();
	char *good KMS_AUTO_FREE = run_script();
	ck_assert_msg(count_of(good, "Verified OK") == 2, "%s", good); /* manifest, checkpoint */
	ck_assert_msg(count_of(good, "Signature Verified Successfully") == 1, "%s", good);
	ck_assert_msg(count_of(good, "files OK") == 1, "%s", good);
	ck_assert_msg(count_of(good, "no other file") == 1, "%s", good);
	ck_assert_msg(count_of(good, "\n1\n") == 1, "%s", good); /* the certificate's hash */
	ck_assert_msg(count_of(good, "in the ledger") == 1, "%s", good);
	ck_assert_msg(count_of(good, ".json OK") == 12, "%s", good);
	/* two births, two destructions, two absences, one wipe */
	ck_assert_msg(count_of(good, " type 1 token 070000") == 2, "%s", good);
	ck_assert_msg(count_of(good, " type 3 ") == 2, "%s", good);
	ck_assert_msg(count_of(good, " type 4 ") == 2, "%s", good);
	ck_assert_msg(count_of(good, " type 5 ") == 1, "%s", good);
	ck_assert_msg(count_of(good, "FAILED") == 0, "%s", good);
	/* and what is wrong does not */
	change_file("entries/10.json", "sed -i 's/\\\"t\\\":1/\\\"t\\\":2/' entries/10.json");
	change_file("checkpoint", "sed -i 's/^16$/17/;s/^17$/18/' checkpoint");
	change_file("extra", "touch extra");
	char *bad KMS_AUTO_FREE = run_script();
	ck_assert_msg(count_of(bad, "Verified OK") == 1, "%s", bad);
	ck_assert_msg(count_of(bad, "Signature Verified Successfully") == 0, "%s", bad);
	ck_assert_msg(count_of(bad, "files OK") == 0, "%s", bad);
	ck_assert_msg(count_of(bad, "no other file") == 0, "%s", bad);
	ck_assert_msg(count_of(bad, "entries/10.json FAILED") == 1, "%s", bad);
	ck_assert_msg(count_of(bad, "in the ledger") == 0, "%s", bad);
	remove_folder();
}
END_TEST

/* Where the ledger has one key, the commands want one signature. */
START_TEST(verify_txt_of_a_ledger_with_one_key)
{
	log_has_ed25519 = false;
	make_bundle();
	save();
	save_script();
	char *good KMS_AUTO_FREE = run_script();
	ck_assert_msg(count_of(good, "Verified OK") == 2, "%s", good);
	ck_assert_msg(count_of(good, "Signature Verif") == 0, "%s", good);
	ck_assert_msg(count_of(good, ".json OK") == 12, "%s", good);
	remove_folder();
	log_has_ed25519 = true;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("evidence_cert");
	TCase *tests = tcase_create("all");
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, members_are_those_of_the_document);
	tcase_add_test(tests, fixed_texts_are_those_of_the_document);
	tcase_add_test(tests, members_of_members);
	tcase_add_loop_test(tests, the_ledgers_keys, 0, 2);
	tcase_add_test(tests, what_it_says_of_a_whole_erasure);
	tcase_add_test(tests, final_only_when_nothing_is_open);
	tcase_add_test(tests, final_entry_alone_makes_nothing_final);
	tcase_add_test(tests, final_needs_the_end_of_each_lease);
	tcase_add_test(tests, final_needs_each_wipe);
	tcase_add_test(tests, versions_say_that_others_live);
	tcase_add_test(tests, it_claims_no_more_than_recorded);
	tcase_add_test(tests, what_contradicts_itself_is_not_certified);
	tcase_add_test(tests, bundle_lists_and_proves_its_files);
	tcase_add_test(tests, manifest_is_of_every_file_in_order);
	tcase_add_test(tests, no_text_becomes_html);
	tcase_add_test(tests, japanese_view_has_every_fixed_text);
	tcase_add_test(tests, the_commands_of_verify_txt_verify);
	tcase_add_test(tests, verify_txt_of_a_ledger_with_one_key);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
