/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle's files: each dropped, swapped with another bundle's, cut and flipped, at 500 places and
 * more, must fail with a reason; nothing but a folder of plain files is read; and what the trust
 * file does not pin is not shown.
 */
#include <kms/verify.h>

#include <sys/stat.h>

#include "bundle_files.h"

static char trust_path[64], folder[64];
static struct world *world, *other; /* both good */

static void set_up(void)
{
	bundle_keys_make();
	(void)snprintf(trust_path, sizeof(trust_path), "%s/trust.json", bundle_keys);
	(void)snprintf(folder, sizeof(folder), "%s/bundle", bundle_keys);
	KMS_AUTO(doc) trust = trust_doc(TRUST_WHOLE);
	trust_write(trust_path, trust);
	world = world_make(0, STAGE_DESCRIBE, NULL);
	other = world_make(1, STAGE_DESCRIBE, NULL);
}

static void tear_down(void)
{
	world_free(world);
	world_free(other);
	bundle_keys_drop();
}

static void lay_out(void)
{
	bundle_shell("rm -rf %s", folder);
	world_lay_out(world, folder);
}

/* ---- what came out ---- */

static kms_err verify(char **ret_json)
{
	kms_err err = kms_verify_bundle(trust_path, folder, ret_json);
	ck_assert_ptr_nonnull(*ret_json);
	return err;
}

/* The first reason of a step, or "". */
static const char *reason_of(const char *json, size_t step, const char **ret_result)
{
	static char text[1024];
	KMS_AUTO(doc) report = NULL;
	struct doc *steps = NULL, *item = NULL, *reasons = NULL, *reason = NULL;
	const char *said = NULL;
	static char result[16];
	ck_ok(doc_parse(kms_bytes_str(json), 1024 * 1024, &report));
	ck_ok(doc_get_array(report, "steps", &steps));
	ck_ok(doc_item_object(steps, step - 1, &item));
	ck_ok(doc_get_text(item, "result", &said));
	(void)snprintf(result, sizeof(result), "%s", said);
	*ret_result = result;
	ck_ok(doc_get_array(item, "reasons", &reasons));
	text[0] = '\0';
	if (doc_count(reasons) > 0) {
		ck_ok(doc_item_object(reasons, 0, &reason));
		ck_ok(doc_get_text(reason, "text", &said));
		(void)snprintf(text, sizeof(text), "%s", said);
	}
	return text;
}

static void expect_failure(const char *what, const char *name, size_t at)
{
	KMS_AUTO_FREE char *json = NULL;
	const char *result = NULL;
	kms_err err = verify(&json);
	ck_assert_msg(!kms_is_ok(err), "%s of %s at %zu went through", what, name, at);
	const char *reason = reason_of(json, 1, &result);
	ck_assert_msg(strcmp(result, "fail") == 0 && reason[0] != '\0',
		"%s of %s at %zu: step 1 is \"%s\"", what, name, at, result);
	ck_assert_ptr_nonnull(strstr(json, "\"result\":\"fail\""));
}

/* ---- negative set A ---- */

static size_t changed; /* how many cases there were */

static void put_back(const struct model_file *file)
{
	file_write(folder, file->name, kms_buf_bytes(&file->bytes));
}

static void drop(const struct model_file *file)
{
	bundle_shell("rm %s/%s", folder, file->name);
	expect_failure("drop", file->name, 0);
	changed++;
}

static void swap(const struct model_file *file)
{
	const struct model_file *twin = file_find(other, file->name);
	if (!kms_bytes_equal(kms_buf_bytes(&file->bytes), kms_buf_bytes(&twin->bytes))) {
		file_write(folder, file->name, kms_buf_bytes(&twin->bytes));
		expect_failure("swap", file->name, 0);
		changed++;
	}
}

static void cut(const struct model_file *file)
{
	const size_t lengths[] = {0, file->bytes.len / 2, file->bytes.len - 1};
	for (size_t i = 0; i < 3; i++) {
		file_write(folder, file->name, (struct kms_bytes){file->bytes.ptr, lengths[i]});
		expect_failure("cut", file->name, lengths[i]);
		changed++;
	}
}

/* First, last, and about as many between as `places`. */
static void flip(const struct model_file *file, size_t places)
{
	size_t step = file->bytes.len / places + 1;
	for (size_t at = 0; at < file->bytes.len; at += step) {
		size_t place = at + step >= file->bytes.len ? file->bytes.len - 1 : at;
		file->bytes.ptr[place] ^= (uint8_t)(1u << (place % 7));
		put_back(file);
		expect_failure("flip", file->name, place);
		file->bytes.ptr[place] ^= (uint8_t)(1u << (place % 7));
		changed++;
	}
}

START_TEST(every_file_counts)
{
	lay_out();
	for (size_t i = 0; i < world->file_count; i++) {
		const struct model_file *file = &world->files[i];
		bool manifest = strcmp(file->name, "manifest") == 0;
		drop(file);
		swap(file);
		cut(file);
		flip(file, manifest ? 300 : 8);
		put_back(file);
	}
	ck_assert_msg(changed >= 500, "%zu cases", changed);
	KMS_AUTO_FREE char *json = NULL;
	ck_ok(verify(&json)); /* all is put back */
}
END_TEST

/* ---- a manifest that is signed, and not right ---- */

static char *manifest_text(const struct world *of)
{
	char *text = NULL;
	ck_ok(kms_text(&text, "%.*s", (int)of->manifest.len, (const char *)of->manifest.ptr));
	return text;
}

static void manifest_set(struct world *of, const char *text)
{
	kms_buf_free(&of->manifest);
	ck_ok(kms_buf_copy(kms_bytes_str(text), &of->manifest));
}

static void m_version(struct world *of)
{
	of->manifest.ptr[strlen("kmsd-bundle/")] = '2';
}
static void m_by_ledger(struct world *of)
{
	of->manifest_by = SIGNER_LOG;
}
static void m_upper_case(struct world *of)
{
	uint8_t *at = of->manifest.ptr + strlen("kmsd-bundle/1\n");
	while (*at < 'a') {
		at++;
	}
	*at = (uint8_t)(*at - 32);
}
static void m_order(struct world *of)
{
	KMS_AUTO_FREE char *text = manifest_text(of);
	KMS_AUTO_FREE char *changed_text = NULL;
	char *first = strchr(text, '\n') + 1, *second = strchr(first, '\n') + 1;
	char *third = strchr(second, '\n') + 1;
	ck_ok(kms_text(&changed_text, "kmsd-bundle/1\n%.*s%.*s%s", (int)(third - second), second,
		(int)(second - first), first, third));
	manifest_set(of, changed_text);
}
static void m_twice(struct world *of)
{
	KMS_AUTO_FREE char *text = manifest_text(of);
	KMS_AUTO_FREE char *changed_text = NULL;
	char *first = strchr(text, '\n') + 1, *second = strchr(first, '\n') + 1;
	ck_ok(kms_text(
		&changed_text, "kmsd-bundle/1\n%.*s%s", (int)(second - first), first, first));
	manifest_set(of, changed_text);
}
static void m_more(struct world *of, const char *name)
{
	KMS_AUTO_FREE char *text = manifest_text(of);
	KMS_AUTO_FREE char *changed_text = NULL;
	char hex[KMS_HASH_TEXT];
	struct kms_hash hash = hash_of(1);
	ck_ok(kms_text(&changed_text, "%s%s  %s\n", text, kms_hash_text(&hash, hex), name));
	manifest_set(of, changed_text);
}
static void m_absent(struct world *of)
{
	m_more(of, "more");
}
static void m_up(struct world *of)
{
	m_more(of, "../trust.json");
}
static void m_itself(struct world *of)
{
	m_more(of, "manifest");
}
static void m_one_space(struct world *of)
{
	KMS_AUTO_FREE char *text = manifest_text(of);
	char *at = strstr(text, "  ");
	memmove(at, at + 1, strlen(at));
	manifest_set(of, text);
}
static void m_unknown_file(struct world *of)
{
	file_add(of, "purge.pdf", kms_bytes_str("purged"));
}
static void m_no_page(struct world *of)
{
	struct model_file *file = file_find(of, "certificate.ja.html");
	kms_buf_free(&file->bytes);
	*file = of->files[--of->file_count];
	of->files[of->file_count].bytes = (struct kms_buf){0};
}

static const struct {
	enum stage stage;
	void (*bend)(struct world *of);
} manifests[] = {
	{STAGE_MANIFEST, m_version},
	{STAGE_MANIFEST, m_by_ledger},
	{STAGE_MANIFEST, m_upper_case},
	{STAGE_MANIFEST, m_order},
	{STAGE_MANIFEST, m_twice},
	{STAGE_MANIFEST, m_absent},
	{STAGE_MANIFEST, m_up},
	{STAGE_MANIFEST, m_itself},
	{STAGE_MANIFEST, m_one_space},
	{STAGE_FILES, m_unknown_file},
	{STAGE_FILES, m_no_page},
};
enum { MANIFESTS = sizeof(manifests) / sizeof(manifests[0]) };

START_TEST(signed_manifests_that_are_wrong)
{
	struct world *bent = world_make(0, manifests[_i].stage, manifests[_i].bend);
	bundle_shell("rm -rf %s", folder);
	world_lay_out(bent, folder);
	expect_failure("manifest", "case", (size_t)_i);
	world_free(bent);
}
END_TEST

/* A second signature line, even of a key that nobody knows. */
START_TEST(one_signature_line)
{
	KMS_AUTO_BUF more = {0};
	KMS_AUTO_FREE char *note = NULL;
	const struct model_file *file = file_find(world, "manifest");
	lay_out();
	note_sign(SIGNER_STRANGER, kms_buf_bytes(&world->manifest), &more);
	ck_ok(kms_text(&note, "%.*s%s", (int)file->bytes.len, (const char *)file->bytes.ptr,
		(const char *)memmem(more.ptr, more.len, "\n\n", 2) + 2));
	note[file->bytes.len + (more.len - world->manifest.len - 1)] = '\0';
	file_write(folder, "manifest", kms_bytes_str(note));
	expect_failure("second signature", "manifest", 0);
}
END_TEST

/* ---- what lies in the folder ---- */

static const struct {
	const char *what, *command;
	enum kms_code code;
} strange[] = {
	{"no folder", "rm -r %s", KMS_CODE_NOT_FOUND},
	{"a file", "rm -r %1$s; touch %1$s", KMS_CODE_NOT_FOUND},
	{"nothing", "rm -r %1$s; mkdir %1$s", KMS_CODE_FORMAT},
	{"no manifest", "rm %s/manifest", KMS_CODE_FORMAT},
	{"a link", "cd %s; mv VERIFY.txt ..; ln -s ../VERIFY.txt .", KMS_CODE_FORMAT},
	{"a link to a folder", "cd %s; mv entries ../moved; ln -s ../moved entries",
		KMS_CODE_FORMAT},
	{"a pipe", "cd %s; rm VERIFY.txt; mkfifo VERIFY.txt", KMS_CODE_FORMAT},
	{"a name", "touch %s/'a name'", KMS_CODE_FORMAT},
	{"too long a name", "touch %s/$(printf '%%0200d' 0)", KMS_CODE_FORMAT},
	{"too deep", "mkdir -p %s/a/b/c/d/e", KMS_CODE_FORMAT},
	{"too much", "truncate -s 7M %s/VERIFY.txt", KMS_CODE_TOO_LARGE},
	{"too many", "cd %s; seq -f more-%%g 5000 | xargs touch", KMS_CODE_TOO_LARGE},
	{"an empty folder", "mkdir %s/more", KMS_CODE_FORMAT},
	{"an empty folder below", "mkdir %s/entries/more", KMS_CODE_FORMAT},
	{"a socket",
		"cd %s; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"more\")'",
		KMS_CODE_FORMAT},
	{"a device", "mknod %s/more c 1 5 2>/dev/null || mkfifo %1$s/more", KMS_CODE_FORMAT},
	{"a dangling link", "ln -s nowhere %s/more", KMS_CODE_FORMAT},
	{"a link to itself", "ln -s more %s/more", KMS_CODE_FORMAT},
	{"a name of control characters", "cd %s; touch \"$(printf '\\033[31mred')\"",
		KMS_CODE_FORMAT},
	{"a name that is not UTF-8", "cd %s; touch \"$(printf '\\377\\376')\"", KMS_CODE_FORMAT},
	{"a name from right to left", "cd %s; touch \"$(printf '\\342\\200\\256gpj')\"",
		KMS_CODE_FORMAT},
	{"a name of a line", "cd %s; touch \"$(printf 'a\\nb')\"", KMS_CODE_FORMAT},
	{"a name of dots", "touch %s/...", KMS_CODE_INTEGRITY},
	{"a manifest that is a folder", "cd %s; rm manifest; mkdir manifest; touch manifest/a",
		KMS_CODE_FORMAT},
	{"entries that are a file", "cd %s; rm -r entries; touch entries", KMS_CODE_INTEGRITY},
	{"another case", "cd %s; mv manifest Manifest", KMS_CODE_FORMAT},
	{"an empty manifest", "truncate -s 0 %s/manifest", KMS_CODE_INTEGRITY},
	{"a sparse terabyte", "truncate -s 1T %s/VERIFY.txt", KMS_CODE_TOO_LARGE},
	{"one file more", "touch %s/more", KMS_CODE_INTEGRITY},
	{"one file more below", "touch %s/entries/more", KMS_CODE_INTEGRITY},
};
enum { STRANGE = sizeof(strange) / sizeof(strange[0]) };

START_TEST(strange_folders)
{
	char command[512], text[512];
	KMS_AUTO_FREE char *json = NULL;
	const char *result = NULL;
	lay_out();
	/* "%s" and "%1$s" alike stand for the folder. */
	const char *from = strange[_i].command;
	char *to = command;
	for (; *from != '\0'; from++) {
		size_t len = strncmp(from, "%s", 2) == 0     ? 2
			     : strncmp(from, "%1$s", 4) == 0 ? 4
							     : 0;
		bool percent = strncmp(from, "%%", 2) == 0;
		if (len > 0) {
			to = stpcpy(to, folder);
			from += len - 1;
		} else {
			*to++ = *from;
			from += percent ? 1 : 0;
		}
	}
	*to = '\0';
	bundle_shell("%s", command);
	kms_err err = verify(&json);
	ck_assert_msg(err.code == strange[_i].code, "%s: %s", strange[_i].what, kms_err_name(err));
	(void)snprintf(text, sizeof(text), "%s", reason_of(json, 1, &result));
	ck_assert_str_eq(result, "fail");
	ck_assert_uint_gt(strlen(text), 0);
	ck_ok(model_text_check(text, sizeof(text)));
	ck_assert_ptr_null(strstr(text, "\u202e"));
	bundle_shell("rm -rf %s %s/moved", folder, bundle_keys);
}
END_TEST

/* ---- the trust file ---- */

/* Without this pin, this step has that result; and nothing else changes. */
static const struct {
	int without;
	size_t step;
	const char *result;
	enum kms_code code;
} pins[] = {
	{TRUST_WHOLE, 1, "pass", KMS_CODE_OK}, {TRUST_WHOLE, 7, "pass", KMS_CODE_OK},
	{TRUST_NO_MANIFEST, 1, "not shown", KMS_CODE_OK},
	{TRUST_NO_APPROVALS, 7, "not shown", KMS_CODE_OK},
	{TRUST_NO_CA, 7, "pass", KMS_CODE_OK}, /* and among what was not shown */
	{TRUST_NO_CLASS, 10, "pass", KMS_CODE_OK},
	{TRUST_NO_TOKEN_1, 5, "fail", KMS_CODE_INTEGRITY},
	{TRUST_NO_ED25519, 2, "pass", KMS_CODE_OK}, /* and log.vkey is not all pinned */
};

START_TEST(what_is_not_pinned)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) trust = trust_doc(pins[_i].without);
	const char *result = NULL;
	lay_out();
	trust_write(trust_path, trust);
	kms_err err = verify(&json);
	(void)reason_of(json, pins[_i].step, &result);
	ck_assert_msg(strcmp(result, pins[_i].result) == 0 && err.code == pins[_i].code,
		"case %d: %s, %s\n%.4000s", _i, result, kms_err_name(err), json);
	ck_assert_int_eq(strstr(json, "requester's certificate is of") != NULL,
		pins[_i].without == TRUST_NO_CA);
	ck_assert_int_eq(strstr(json, "is of the class") != NULL,
		pins[_i].without == TRUST_NO_CLASS || pins[_i].without == TRUST_NO_TOKEN_1);
	ck_assert_int_eq(
		strstr(json, "the keys in log.vkey") != NULL, pins[_i].without == TRUST_NO_ED25519);
}
END_TEST

/* An unsigned manifest still has to be a manifest of these files. */
START_TEST(files_count_without_a_manifest_key)
{
	KMS_AUTO(doc) trust = trust_doc(TRUST_NO_MANIFEST);
	lay_out();
	trust_write(trust_path, trust);
	file_write(folder, "VERIFY.txt", kms_bytes_str("do nothing\n"));
	expect_failure("change", "VERIFY.txt", 0);
}
END_TEST

static void t_zero(struct doc *trust)
{
	struct doc *approvals = NULL;
	ck_ok(doc_get_object(trust, "approvals", &approvals));
	doc_set_int(approvals, "needed", 0);
}
static void t_too_many(struct doc *trust)
{
	struct doc *approvals = NULL;
	ck_ok(doc_get_object(trust, "approvals", &approvals));
	doc_set_int(approvals, "needed", APPROVERS + 1);
}
static struct doc *approver(struct doc *trust, size_t i)
{
	struct doc *approvals = NULL, *list = NULL, *row = NULL;
	ck_ok(doc_get_object(trust, "approvals", &approvals));
	ck_ok(doc_get_array(approvals, "approvers", &list));
	ck_ok(doc_item_object(list, i, &row));
	return row;
}
static void t_twice(struct doc *trust)
{
	struct kms_id id = id_of(ID_APPROVER_0);
	doc_set_id(approver(trust, 1), "id", &id);
}
static void t_same_key(struct doc *trust)
{
	doc_set_bytes(approver(trust, 1), "key", kms_buf_bytes(&signer_spkis[SIGNER_APPROVER_0]));
}
static void t_same_key_as_vkey(struct doc *trust)
{
	KMS_AUTO_FREE char *vkey = NULL;
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_APPROVER_0], &vkey));
	doc_set_text(approver(trust, 1), "key", vkey);
}
static void t_loose_base64(struct doc *trust)
{
	/* A bit in the last digit that belongs to no byte, or a padding too much. */
	KMS_AUTO_FREE char *text = NULL;
	KMS_AUTO_FREE char *loose = NULL;
	ck_ok(kms_base64_text(kms_buf_bytes(&signer_spkis[SIGNER_APPROVER_1]), &text));
	char *end = strchr(text, '=');
	if (end != NULL) {
		end[-1]++;
	}
	ck_ok(kms_text(&loose, end == NULL ? "%s=" : "%s", text));
	doc_set_text(approver(trust, 1), "key", loose);
}
static void t_unknown(struct doc *trust)
{
	doc_set_text(trust, "note", "mine");
}
static void t_version(struct doc *trust)
{
	doc_set_text(trust, "v", "kmsd-trust/2");
}
static void t_no_ledger_key(struct doc *trust)
{
	(void)doc_set_array(trust, "ledger_keys");
}
static void t_many_ledger_keys(struct doc *trust)
{
	KMS_AUTO_FREE char *vkey = NULL;
	struct doc *list = doc_set_array(trust, "ledger_keys");
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &vkey));
	for (int i = 0; i < 9; i++) {
		doc_add_text(list, vkey);
	}
}
static void t_negative(struct doc *trust)
{
	struct doc *approvals = NULL;
	ck_ok(doc_get_object(trust, "approvals", &approvals));
	doc_set_int(approvals, "needed", -1);
}
static void t_2_to_32(struct doc *trust)
{
	struct doc *approvals = NULL;
	ck_ok(doc_get_object(trust, "approvals", &approvals));
	doc_set_int(approvals, "needed", 4294967298); /* 2 as 32 bits have it */
}
static void t_no_key(struct doc *trust)
{
	doc_set_text(approver(trust, 1), "key", "AAAA");
}
static void t_member(struct doc *trust)
{
	doc_set_text(approver(trust, 1), "name", "somebody");
}
static void t_no_ca(struct doc *trust)
{
	doc_set_text(trust, "tenant_ca", "-----BEGIN CERTIFICATE-----");
}
static struct doc *token_row(struct doc *trust)
{
	struct doc *list = NULL, *row = NULL;
	ck_ok(doc_get_array(trust, "tokens", &list));
	ck_ok(doc_item_object(list, 0, &row));
	return row;
}
static void t_class(struct doc *trust)
{
	doc_set_text(token_row(trust), "class", "good");
}
static struct doc *second_token(struct doc *trust)
{
	struct doc *list = NULL, *row = NULL;
	ck_ok(doc_get_array(trust, "tokens", &list));
	ck_ok(doc_item_object(list, 1, &row));
	return row;
}
static void t_token_twice(struct doc *trust)
{
	struct kms_id id = token_id(0);
	doc_set_id(second_token(trust), "id", &id);
}
static void t_serial(struct doc *trust)
{
	doc_set_text(token_row(trust), "serial",
		"0123456789012345678901234567890123456789012345678901234567890123456789");
}
static void t_manifest(struct doc *trust)
{
	doc_set_text(trust, "manifest_key", "manifest");
}

/* P-256 first, and required; then at most an Ed25519 key; and no key of one kind as the other. */
static void t_ledger(struct doc *trust, const char *first, const char *second, const char *third)
{
	struct doc *keys = doc_set_array(trust, "ledger_keys");
	doc_add_text(keys, first);
	if (second != NULL) {
		doc_add_text(keys, second);
	}
	if (third != NULL) {
		doc_add_text(keys, third);
	}
}
static void t_ed25519_alone(struct doc *trust)
{
	KMS_AUTO_FREE char *ed25519 = log_ed25519();
	t_ledger(trust, ed25519, NULL, NULL);
}
static void t_ed25519_first(struct doc *trust)
{
	KMS_AUTO_FREE char *ed25519 = log_ed25519();
	KMS_AUTO_FREE char *p256 = NULL;
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &p256));
	t_ledger(trust, ed25519, p256, NULL);
}
static void t_p256_twice(struct doc *trust)
{
	KMS_AUTO_FREE char *p256 = NULL;
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &p256));
	t_ledger(trust, p256, p256, NULL);
}
static void t_three_keys(struct doc *trust)
{
	KMS_AUTO_FREE char *ed25519 = log_ed25519();
	KMS_AUTO_FREE char *p256 = NULL;
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &p256));
	t_ledger(trust, p256, ed25519, ed25519);
}
static void t_empty_ed25519(struct doc *trust)
{
	KMS_AUTO_FREE char *p256 = NULL;
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &p256));
	t_ledger(trust, p256, "", NULL);
}
static void t_ed25519_manifest(struct doc *trust)
{
	KMS_AUTO_FREE char *ed25519 = log_ed25519();
	doc_set_text(trust, "manifest_key", ed25519);
}
static void t_ed25519_statement(struct doc *trust)
{
	KMS_AUTO_FREE char *ed25519 = log_ed25519();
	doc_set_text(token_row(trust), "statement_key", ed25519);
}
static void t_ed25519_approver(struct doc *trust)
{
	KMS_AUTO_FREE char *ed25519 = log_ed25519();
	doc_set_text(approver(trust, 0), "key", ed25519);
}

static void (*const mistakes[])(struct doc *trust) = {t_zero, t_too_many, t_negative, t_2_to_32,
	t_twice, t_same_key, t_same_key_as_vkey, t_loose_base64, t_unknown, t_version,
	t_no_ledger_key, t_many_ledger_keys, t_token_twice, t_no_key, t_member, t_no_ca, t_class,
	t_serial, t_manifest, t_ed25519_alone, t_ed25519_first, t_p256_twice, t_three_keys,
	t_empty_ed25519, t_ed25519_manifest, t_ed25519_statement, t_ed25519_approver};
enum { MISTAKES = sizeof(mistakes) / sizeof(mistakes[0]) };

START_TEST(trust_files_that_are_wrong)
{
	char *json = NULL;
	KMS_AUTO(doc) trust = trust_doc(TRUST_WHOLE);
	lay_out();
	mistakes[_i](trust);
	trust_write(trust_path, trust);
	ck_assert(kms_is(kms_verify_bundle(trust_path, folder, &json), KMS_CODE_CONFIG));
	ck_assert_ptr_null(json);
}
END_TEST

static const char *const no_trust[] = {"", "[]", "{}", "null", "{\"v\":\"kmsd-trust/1\"}",
	"{\"v\":\"kmsd-trust/1\",\"v\":\"kmsd-trust/1\"}", "\xff"};
enum { NO_TRUST = sizeof(no_trust) / sizeof(no_trust[0]) };

START_TEST(files_that_are_no_trust_file)
{
	char *json = NULL;
	lay_out();
	ck_ok(kms_file_write(trust_path, kms_bytes_str(no_trust[_i]), 0600));
	ck_assert(kms_is(kms_verify_bundle(trust_path, folder, &json), KMS_CODE_CONFIG));
	ck_assert_ptr_null(json);
	ck_assert(kms_is(kms_verify_bundle(folder, folder, &json), KMS_CODE_CONFIG));
	ck_assert(kms_is(kms_verify_bundle("/dev/zero", folder, &json), KMS_CODE_CONFIG));
}
END_TEST

/* A vkey text does as well as the SPKI itself. */
START_TEST(an_approvers_vkey)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO_FREE char *vkey = NULL;
	KMS_AUTO(doc) trust = trust_doc(TRUST_WHOLE);
	lay_out();
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_APPROVER_0], &vkey));
	doc_set_text(approver(trust, 0), "key", vkey);
	trust_write(trust_path, trust);
	ck_ok(verify(&json));
}
END_TEST

/* What people read first. */
START_TEST(claims)
{
	KMS_AUTO_FREE char *json = NULL;
	lay_out();
	ck_ok(verify(&json));
	ck_assert_ptr_nonnull(strstr(json, "\"copies\":6"));
	ck_assert_ptr_nonnull(strstr(json, "\"removed\":6"));
	ck_assert_ptr_nonnull(strstr(json, "\"kind\":\"tenant\""));
	ck_assert_ptr_nonnull(strstr(json, "\"datasets\":1"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify_bundle");
	TCase *tcase = tcase_create("verify_bundle");
	tcase_set_timeout(tcase, 120);
	tcase_add_unchecked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, claims);
	tcase_add_test(tcase, every_file_counts);
	tcase_add_loop_test(tcase, signed_manifests_that_are_wrong, 0, MANIFESTS);
	tcase_add_test(tcase, one_signature_line);
	tcase_add_loop_test(tcase, strange_folders, 0, STRANGE);
	tcase_add_loop_test(tcase, trust_files_that_are_wrong, 0, MISTAKES);
	tcase_add_loop_test(tcase, files_that_are_no_trust_file, 0, NO_TRUST);
	tcase_add_test(tcase, an_approvers_vkey);
	tcase_add_test(tcase, files_count_without_a_manifest_key);
	tcase_add_loop_test(tcase, what_is_not_pinned, 0, sizeof(pins) / sizeof(pins[0]));
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
