/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: a small honest ledger, and what a dishonest kmsd could make of it. The lies are told
 * before the tree is built and signed, as a kmsd that holds the log's signing service would: only
 * the kms-tokend's own statements can show them.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kms/verify.h>

#include "base.h"
#include "crypto.h"
#include "doc.h"
#include "ed25519.h"
#include "format.h"
#include "model.h"
#include "record.h"
#include "tlog.h"

#define ORIGIN "test.example/kmsd/1"
enum { USES = 6, BATCH = 3, ENTRIES_MAX = 16 };

static char folder[] = "/tmp/kms-verify-XXXXXX";
static struct crypto_signer *log_key, *token_key, *other_key;
static struct tlog_vkey log_vkey, token_vkey;
static char trust_path[64];

static const struct kms_id tenant = {{0x11}}, principal = {{0x22}}, stranger = {{0x23}},
			   token = {{0x33}}, key = {{0x44}}, kek = {{0x55}};

static struct kms_hash hash_of(uint8_t byte)
{
	struct kms_hash hash;
	memset(hash.b, byte, sizeof(hash.b));
	return hash;
}

/* ---- keys and trust file, once ---- */

static struct crypto_signer *new_key(
	const char *name, const char *vkey_name, struct tlog_vkey *vkey)
{
	char path[64];
	struct crypto_signer *signer = NULL;
	KMS_AUTO_BUF spki = {0};
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	ck_assert(kms_is_ok(crypto_signer_generate(path, &signer)));
	ck_assert(kms_is_ok(crypto_signer_spki(signer, &spki)));
	ck_assert(kms_is_ok(tlog_vkey_make(vkey_name, kms_buf_bytes(&spki), vkey)));
	return signer;
}

static void set_up(void)
{
	struct tlog_vkey other;
	char *log_text = NULL, *token_text = NULL, *json = NULL;
	char id[KMS_ID_TEXT];
	ck_assert_ptr_nonnull(mkdtemp(folder));
	log_key = new_key("log", ORIGIN, &log_vkey);
	token_key = new_key("token", "token", &token_vkey);
	other_key = new_key("other", ORIGIN, &other);
	ck_assert(kms_is_ok(tlog_vkey_text(&log_vkey, &log_text)));
	ck_assert(kms_is_ok(tlog_vkey_text(&token_vkey, &token_text)));
	ck_assert(kms_is_ok(kms_text(&json,
		"{\"v\":\"kmsd-trust/1\",\"origin\":\"%s\",\"ledger_keys\":[\"%s\"],\"tokens\":[{"
		"\"id\":\"%s\",\"serial\":\"s\",\"statement_key\":\"%s\"}]}",
		ORIGIN, log_text, kms_id_text(&token, id), token_text)));
	(void)snprintf(trust_path, sizeof(trust_path), "%s/trust.json", folder);
	ck_assert(kms_is_ok(kms_file_write(trust_path, kms_bytes_str(json), 0600)));
	free(log_text);
	free(token_text);
	free(json);
}

static void tear_down(void)
{
	static const char *const names[] = {"log", "token", "other", "trust.json"};
	crypto_signer_free(&log_key);
	crypto_signer_free(&token_key);
	crypto_signer_free(&other_key);
	for (size_t i = 0; i < 4; i++) {
		char path[64];
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(folder);
}

/* ---- a ledger ---- */

struct ledger {
	struct kms_buf entries[ENTRIES_MAX];
	size_t count;
	struct kms_buf uses[ENTRIES_MAX][BATCH]; /* records by entry */
	uint32_t use_count[ENTRIES_MAX];
};

/* What kms-tokend counted: never touched by the lies. */
static struct model_use counted(uint64_t n)
{
	return (struct model_use){.n = n,
		.unix_ms = 1,
		.op = MODEL_OP_UNWRAP,
		.principal = principal,
		.spki = hash_of(0x22),
		.key = key,
		.kek = kek,
		.version = 1,
		.wrapped_key = {{(uint8_t)n}},
		.context = hash_of(0x77),
		.lease_end_unix_ms = 3600001};
}

static struct kms_hash running_at(uint64_t n)
{
	struct kms_hash running = {{0}};
	for (uint64_t i = 1; i <= n; i++) {
		struct model_use use = counted(i);
		ck_assert(kms_is_ok(format_use_step(&running, &use, &running)));
	}
	return running;
}

static void append(struct ledger *ledger, const struct model_change *change)
{
	struct record_head head = {
		.log = ORIGIN, .seq = ledger->count, .unix_ms = 1, .node = {{9}}};
	if (change->type == MODEL_CHANGE_ERASE_RESULT) { /* after the birth, entry 1 */
		head.has_previous = true;
		head.previous_seq = 1;
		ck_assert(kms_is_ok(
			tlog_leaf_hash(kms_buf_bytes(&ledger->entries[1]), &head.previous_leaf)));
	}
	ck_assert(kms_is_ok(record_entry_write(&head, change, &ledger->entries[ledger->count])));
	ledger->count++;
}

static void append_tenant(struct ledger *ledger)
{
	struct model_principal people[2] = {
		{.id = principal,
			.tenant = tenant,
			.role = MODEL_ROLE_STORAGE,
			.expires_unix_s = 1},
		{.id = stranger, .tenant = tenant, .role = MODEL_ROLE_STORAGE, .expires_unix_s = 1},
	};
	char ca[] = "-";
	people[0].spki = hash_of(0x22);
	people[1].spki = hash_of(0x23);
	static struct model_change change; /* too large for the stack of those who call this */
	change = (struct model_change){.type = MODEL_CHANGE_TENANT_ADD, .tenant = tenant};
	change.u.tenant_add.tenant.id = tenant;
	change.u.tenant_add.tenant.ca_pem = ca;
	change.u.tenant_add.principals = people;
	change.u.tenant_add.principal_count = 2;
	append(ledger, &change);
}

/* One use.batch; records as they are given, the claims as kmsd chooses. */
static void append_batch(struct ledger *ledger, uint64_t boot, const struct model_use *uses,
	uint32_t count, const struct kms_hash *running)
{
	struct kms_hash leaves[BATCH];
	static struct model_change change; /* as above */
	change = (struct model_change){.type = MODEL_CHANGE_USE_BATCH, .tenant = tenant};
	for (uint32_t i = 0; i < count; i++) {
		struct kms_buf *record = &ledger->uses[ledger->count][i];
		ck_assert(kms_is_ok(record_use_write(&uses[i], record)));
		ck_assert(kms_is_ok(tlog_leaf_hash(kms_buf_bytes(record), &leaves[i])));
	}
	ledger->use_count[ledger->count] = count;
	change.u.use_batch.token = token;
	change.u.use_batch.boot = boot;
	change.u.use_batch.first = uses[0].n;
	change.u.use_batch.count = count;
	change.u.use_batch.running = *running;
	ck_assert(kms_is_ok(tlog_root_of(leaves, count, &change.u.use_batch.root)));
	append(ledger, &change);
}

static void sign_statement(const struct crypto_signer *signer,
	const struct format_statement *statement, struct kms_buf *ret_statement)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF part = {0};
	ck_assert(kms_is_ok(format_statement_write(statement, &part)));
	ck_assert(kms_is_ok(crypto_sign(signer, kms_buf_bytes(&part), raw)));
	struct kms_writer writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	kms_write_bytes(&writer, kms_buf_bytes(&part));
	kms_write_fixed(&writer, raw, sizeof(raw));
	ck_assert(kms_is_ok(kms_writer_take(&writer, ret_statement)));
}

static void make_statement(const struct crypto_signer *signer, uint64_t boot, uint64_t count,
	uint64_t previous_boot, uint64_t previous_count, struct kms_buf *ret_statement)
{
	struct format_statement statement = {.type = FORMAT_STATEMENT_USES,
		.token = token,
		.tenant = tenant,
		.unix_ms = 1,
		.u.uses = {.boot = boot,
			.count = count,
			.running = running_at(count),
			.previous_boot = previous_boot,
			.previous_count = previous_count,
			.previous_running = running_at(previous_count)}};
	sign_statement(signer, &statement, ret_statement);
}

/* The key's first version is made; its KEK is the one that all uses are of. */
static void append_birth(struct ledger *ledger, enum model_delivery delivery)
{
	struct format_statement statement = {.type = FORMAT_STATEMENT_BIRTH,
		.token = token,
		.tenant = tenant,
		.unix_ms = 1,
		.u.birth = {.key = key,
			.version = 1,
			.kek = kek,
			.custody = MODEL_CUSTODY_ANY,
			.delivery = delivery,
			.token_count = 1,
			.tokens = {token},
			.commitment = hash_of(0x66),
			.attributes = {.sensitive = true}}};
	struct model_change change = {.type = MODEL_CHANGE_KEY_RESULT, .tenant = tenant};
	change.u.key_result.key = key;
	change.u.key_result.version = 1;
	change.u.key_result.made = true;
	change.u.key_result.birth_count = 1;
	struct model_birth *birth = &change.u.key_result.births[0];
	birth->token = token;
	birth->kek = kek;
	birth->commitment = hash_of(0x66);
	sign_statement(token_key, &statement, &birth->statement);
	append(ledger, &change);
	kms_buf_free(&birth->statement);
}

static void append_statement(struct ledger *ledger, const struct crypto_signer *signer,
	uint64_t boot, uint64_t count, uint64_t previous_boot, uint64_t previous_count)
{
	struct model_change change = {.type = MODEL_CHANGE_USE_STATEMENT, .tenant = tenant};
	change.u.use_statement.token = token;
	make_statement(signer, boot, count, previous_boot, previous_count,
		&change.u.use_statement.statement);
	append(ledger, &change);
	kms_buf_free(&change.u.use_statement.statement);
}

/* The KEK's end, as the signer says it. */
static void append_end(
	struct ledger *ledger, const struct crypto_signer *signer, uint64_t rv, uint32_t matched)
{
	const struct kms_id erasure = {{0x77}};
	const struct format_erased what = {.erasure = erasure,
		.erase = hash_of(0x78),
		.key = key,
		.version = 1,
		.kek = kek,
		.commitment = hash_of(0x66)};
	struct format_statement said = {.type = FORMAT_STATEMENT_DESTROY,
		.token = token,
		.tenant = tenant,
		.unix_ms = 1,
		.u.destroy = {.what = what, .found = true, .rv = rv, .canary_before = true}};
	struct model_change change = {.type = MODEL_CHANGE_ERASE_RESULT, .tenant = tenant};
	change.u.erase_done.erasure = erasure;
	change.u.erase_done.token = token;
	change.u.erase_done.key = key;
	change.u.erase_done.kek = kek;
	change.u.erase_done.version = 1;
	sign_statement(signer, &said, &change.u.erase_done.statement);
	said.type = FORMAT_STATEMENT_ABSENCE;
	said.u.absence =
		(struct format_absence){.what = what, .searched = 3, .matched = matched, .born = 1};
	sign_statement(signer, &said, &change.u.erase_done.absence);
	append(ledger, &change);
	model_change_free(&change);
}

static void ledger_clear(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->count; i++) {
		kms_buf_free(&ledger->entries[i]);
		for (size_t j = 0; j < BATCH; j++) {
			kms_buf_free(&ledger->uses[i][j]);
		}
	}
}

/* Uses 1 .. USES in two batches; lie changes one of them before it is written. */
static void fill_uses(struct ledger *ledger, void (*lie)(struct model_use *uses))
{
	struct model_use uses[USES];
	for (uint64_t n = 1; n <= USES; n++) {
		uses[n - 1] = counted(n);
	}
	if (lie != NULL) {
		lie(uses);
	}
	for (uint64_t first = 1; first <= USES; first += BATCH) {
		struct kms_hash running = running_at(first + BATCH - 1);
		append_batch(ledger, 1, &uses[first - 1], BATCH, &running);
	}
}

static void fill(struct ledger *ledger, void (*lie)(struct model_use *uses))
{
	append_tenant(ledger);
	fill_uses(ledger, lie);
}

static void fill_with_birth(
	struct ledger *ledger, enum model_delivery delivery, void (*lie)(struct model_use *uses))
{
	append_tenant(ledger);
	append_birth(ledger, delivery);
	fill_uses(ledger, lie);
}

/* ---- verify it ---- */

static void checkpoint_of(const struct ledger *ledger, size_t size, struct kms_buf *ret_text)
{
	struct tlog_checkpoint checkpoint = {.origin = ORIGIN, .size = size};
	struct kms_hash leaves[ENTRIES_MAX];
	for (size_t i = 0; i < size; i++) {
		ck_assert(
			kms_is_ok(tlog_leaf_hash(kms_buf_bytes(&ledger->entries[i]), &leaves[i])));
	}
	ck_assert(kms_is_ok(tlog_root_of(leaves, size, &checkpoint.root)));
	ck_assert(kms_is_ok(tlog_checkpoint_text(&checkpoint, ret_text)));
}

static void p256_line(
	const struct crypto_signer *signer, struct kms_bytes text, struct kms_buf *ret_line)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	ck_assert(kms_is_ok(crypto_sign(signer, text, raw)));
	ck_assert(kms_is_ok(crypto_sig_raw_to_der(raw, &der)));
	ck_assert(kms_is_ok(tlog_note_line(&log_vkey, kms_buf_bytes(&der), ret_line)));
}

static void sign_checkpoint(const struct ledger *ledger, const struct crypto_signer *signer,
	size_t size, struct kms_buf *ret_note)
{
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF line = {0};
	checkpoint_of(ledger, size, &text);
	p256_line(signer, kms_buf_bytes(&text), &line);
	struct kms_writer note = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_bytes(&note, kms_buf_bytes(&text));
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	kms_write_u8(&note, 0);
	ck_assert(kms_is_ok(kms_writer_take(&note, ret_note)));
}

static void give(struct kms_verify *verify, const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->count; i++) {
		struct kms_hash leaf;
		uint32_t wanted = 0;
		ck_assert(kms_is_ok(tlog_leaf_hash(kms_buf_bytes(&ledger->entries[i]), &leaf)));
		ck_assert(kms_is_ok(kms_verify_entry(verify, i, leaf.b, ledger->entries[i].ptr,
			ledger->entries[i].len, &wanted)));
		ck_assert_uint_eq(wanted, ledger->use_count[i]);
		for (uint32_t j = 0; j < wanted; j++) {
			ck_assert(kms_is_ok(kms_verify_use(
				verify, ledger->uses[i][j].ptr, ledger->uses[i][j].len)));
		}
	}
}

/* The report; text must stand in it. */
static void expect(const struct ledger *ledger, const struct kms_buf *owners, enum kms_code code,
	const char *text)
{
	struct kms_verify *verify = NULL;
	char *report = NULL;
	KMS_AUTO_BUF note = {0};
	sign_checkpoint(ledger, log_key, ledger->count, &note);
	ck_assert(kms_is_ok(kms_verify_open(trust_path, &verify)));
	give(verify, ledger);
	if (owners != NULL) {
		ck_assert(kms_is_ok(kms_verify_statement(verify, owners->ptr, owners->len)));
	}
	kms_err err = kms_verify_finish(verify, (const char *)note.ptr, &report);
	ck_assert_msg(kms_is(err, code), "%s", report);
	ck_assert_msg(
		text == NULL || strstr(report, text) != NULL, "'%s' is not in %s", text, report);
	free(report);
	kms_verify_free(&verify);
}

START_TEST(honest_ledger_passes)
{
	struct ledger ledger = {0};
	fill(&ledger, NULL);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_OK, "\"findings\":[]");
	ledger_clear(&ledger);
}

/* What kmsd says of a destruction counts only in the word of the token. */
START_TEST(invented_destruction_is_named)
{
	static const struct {
		struct crypto_signer **signer;
		uint64_t rv;
		uint32_t matched;
		enum kms_code code;
		const char *text;
	} ends[] = {
		{&token_key, 0, 0, KMS_CODE_OK, "\"findings\":[]"},
		{&other_key, 0, 0, KMS_CODE_INTEGRITY, "that the key is gone is not the word"},
		{&token_key, 6, 0, KMS_CODE_INTEGRITY, "that the key is gone is not the word"},
		{&token_key, 0, 1, KMS_CODE_INTEGRITY, "that the key is gone is not the word"},
	};
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct ledger ledger = {0};
		fill_with_birth(&ledger, MODEL_DELIVERY_SEALED, NULL);
		append_statement(&ledger, token_key, 1, USES, 0, 0);
		append_end(&ledger, *ends[i].signer, ends[i].rv, ends[i].matched);
		expect(&ledger, NULL, ends[i].code, ends[i].text);
		ledger_clear(&ledger);
	}
}

/* An entry about the key whose kprev leads to that one. */
static void append_after(struct ledger *ledger, const struct model_change *change, size_t previous)
{
	struct record_head head = {.log = ORIGIN,
		.seq = ledger->count,
		.unix_ms = 1,
		.node = {{9}},
		.has_previous = true,
		.previous_seq = previous};
	ck_assert(kms_is_ok(
		tlog_leaf_hash(kms_buf_bytes(&ledger->entries[previous]), &head.previous_leaf)));
	ck_assert(kms_is_ok(record_entry_write(&head, change, &ledger->entries[ledger->count])));
	ledger->count++;
}

/* Entry 1 is the key's birth; two datasets; and a suspension that leads to entry `previous`. */
static void fill_with_datasets(struct ledger *ledger, size_t previous)
{
	static struct model_change change; /* too large for the stack */
	append_tenant(ledger);
	append_birth(ledger, MODEL_DELIVERY_SEALED);
	memset(&change, 0, sizeof(change));
	change.type = MODEL_CHANGE_DATASET_ADD;
	change.tenant = tenant;
	change.u.dataset_add = (struct model_dataset){
		.id = principal, .tenant = tenant, .key = key, .custodian = principal};
	append_after(ledger, &change, 1);
	change.u.dataset_add.id = stranger;
	append_after(ledger, &change, 1);
	memset(&change, 0, sizeof(change));
	change.type = MODEL_CHANGE_KEY_STATE;
	change.tenant = tenant;
	change.u.key_state.key = key;
	change.u.key_state.event = MODEL_EVENT_SUSPEND;
	change.u.key_state.state = MODEL_STATE_SUSPENDED;
	append_after(ledger, &change, previous);
}

START_TEST(datasets_are_no_links_of_a_keys_chain)
{
	struct ledger ledger = {0};
	fill_with_datasets(&ledger, 1);
	expect(&ledger, NULL, KMS_CODE_OK, "\"findings\":[]");
	ledger_clear(&ledger);
	ledger = (struct ledger){0};
	fill_with_datasets(&ledger, 3);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY, "entry 4: kprev is not this key's entry before");
	ledger_clear(&ledger);
}

START_TEST(uses_past_the_last_statement_are_not_shown)
{
	struct ledger ledger = {0};
	fill(&ledger, NULL);
	append_statement(&ledger, token_key, 1, 4, 0, 0);
	expect(&ledger, NULL, KMS_CODE_OK, "uses 5 to 6 are recorded and not covered");
	ledger_clear(&ledger);
}

static void under_another(struct model_use *uses)
{
	uses[4].principal = stranger;
}

START_TEST(use_under_another_principal_is_named)
{
	struct ledger ledger = {0};
	fill(&ledger, under_another);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY,
		"boot 1, batch at entry 2: use 5 is filed under a principal");
	ledger_clear(&ledger);
}

static void under_another_with_its_certificate(struct model_use *uses)
{
	uses[4].principal = stranger;
	uses[4].spki = hash_of(0x23);
}

static void under_nobody(struct model_use *uses)
{
	uses[4].principal = (struct kms_id){{0}};
}

START_TEST(use_under_nobody_is_named)
{
	struct ledger ledger = {0};
	fill(&ledger, under_nobody);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY,
		"boot 1, batch at entry 2: use 5 is filed under nobody");
	ledger_clear(&ledger);
}

/* Key and version are not in the running hash; the birth statement has them. */
static void under_another_key(struct model_use *uses)
{
	uses[4].key = stranger;
}

static void under_another_version(struct model_use *uses)
{
	uses[4].version = 2;
}

static void under_no_operation(struct model_use *uses)
{
	uses[4].op = MODEL_OP_KEY_SHOW;
}

START_TEST(use_under_another_key_or_version_is_named)
{
	static void (*const lies[])(struct model_use *) = {
		under_another_key, under_another_version};
	for (size_t i = 0; i < 2; i++) {
		struct ledger ledger = {0};
		fill_with_birth(&ledger, MODEL_DELIVERY_SEALED, lies[i]);
		append_statement(&ledger, token_key, 1, USES, 0, 0);
		expect(&ledger, NULL, KMS_CODE_INTEGRITY,
			"batch at entry 3: use 5 is filed under a key or version that");
		ledger_clear(&ledger);
	}
}

START_TEST(use_that_is_no_use_is_named)
{
	struct ledger ledger = {0};
	fill(&ledger, under_no_operation);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY, "batch at entry 2: record 1 does not parse");
	ledger_clear(&ledger);
}

/* kms-tokend counted the session's certificate: kmsd's own where the key was born `clear`, and
 * only there. */
START_TEST(clear_uses_stand_under_the_principal_that_kmsd_names)
{
	struct ledger ledger = {0};
	fill_with_birth(&ledger, MODEL_DELIVERY_CLEAR, under_another);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_OK, "only kmsd says which principal");
	ledger_clear(&ledger);
	ledger = (struct ledger){0};
	fill_with_birth(&ledger, MODEL_DELIVERY_SEALED, under_another);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY, "use 5 is filed under a principal");
	ledger_clear(&ledger);
}

START_TEST(use_under_another_principal_and_certificate_breaks_the_hash)
{
	struct ledger ledger = {0};
	fill(&ledger, under_another_with_its_certificate);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY, "boot 1, batch at entry 2");
	ledger_clear(&ledger);
}

/* kmsd leaves use 5 out and gives its successor the number. */
START_TEST(dropped_use_is_named)
{
	struct ledger ledger = {0};
	struct model_use uses[BATCH] = {counted(1), counted(2), counted(3)};
	struct kms_hash running = running_at(3);
	append_tenant(&ledger);
	append_batch(&ledger, 1, uses, 3, &running);
	uses[0] = counted(4);
	uses[1] = counted(6);
	uses[1].n = 5;
	running = running_at(6);
	append_batch(&ledger, 1, uses, 2, &running);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY, "boot 1: entry 3 counts 6 uses, and only 5");
	ledger_clear(&ledger);
}

/* kmsd forgets the last batch and restarts kms-tokend, whose next boot says what was. */
START_TEST(uses_lost_at_a_restart_are_named)
{
	struct ledger ledger = {0};
	struct model_use uses[BATCH] = {counted(1), counted(2), counted(3)};
	struct kms_hash running = running_at(3);
	append_tenant(&ledger);
	append_batch(&ledger, 1, uses, 3, &running);
	append_batch(&ledger, 2, uses, 3, &running);
	append_statement(&ledger, token_key, 2, 3, 1, USES);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY, "boot 1: entry 3 counts 6 uses, and only 3");
	ledger_clear(&ledger);
}

/* kmsd withholds the statement as well; the token's owner prints it. */
START_TEST(the_owners_statement_shows_what_was_withheld)
{
	struct ledger ledger = {0};
	struct model_use uses[BATCH] = {counted(1), counted(2), counted(3)};
	struct kms_hash running = running_at(3);
	KMS_AUTO_BUF statement = {0};
	append_tenant(&ledger);
	append_batch(&ledger, 1, uses, 3, &running);
	expect(&ledger, NULL, KMS_CODE_OK, "not covered");
	make_statement(token_key, 1, USES, 0, 0, &statement);
	expect(&ledger, &statement, KMS_CODE_INTEGRITY,
		"the owner's statement counts 6 uses, and only 3 are recorded");
	ledger_clear(&ledger);
}

START_TEST(statement_of_another_key_fails)
{
	struct ledger ledger = {0};
	fill(&ledger, NULL);
	append_statement(&ledger, other_key, 1, USES, 0, 0);
	expect(&ledger, NULL, KMS_CODE_INTEGRITY, "is not the word of token");
	ledger_clear(&ledger);
}

START_TEST(changed_entry_fails)
{
	struct ledger ledger = {0};
	KMS_AUTO_BUF note = {0};
	struct kms_verify *verify = NULL;
	char *report = NULL;
	fill(&ledger, NULL);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	sign_checkpoint(&ledger, log_key, ledger.count, &note);
	char *place = memmem(ledger.entries[0].ptr, ledger.entries[0].len, "\"t\":1", 5);
	ck_assert_ptr_nonnull(place);
	place[4] = '2';
	ck_assert(kms_is_ok(kms_verify_open(trust_path, &verify)));
	give(verify, &ledger);
	ck_assert(kms_is(
		kms_verify_finish(verify, (const char *)note.ptr, &report), KMS_CODE_INTEGRITY));
	ck_assert_ptr_nonnull(strstr(report, "do not have the root"));
	free(report);
	kms_verify_free(&verify);
	ledger_clear(&ledger);
}

START_TEST(checkpoint_must_be_signed_by_a_pinned_key)
{
	struct ledger ledger = {0};
	KMS_AUTO_BUF note = {0};
	struct kms_verify *verify = NULL;
	char *report = NULL;
	fill(&ledger, NULL);
	sign_checkpoint(&ledger, other_key, ledger.count, &note);
	ck_assert(kms_is_ok(kms_verify_open(trust_path, &verify)));
	give(verify, &ledger);
	ck_assert(kms_is(
		kms_verify_finish(verify, (const char *)note.ptr, &report), KMS_CODE_INTEGRITY));
	ck_assert_ptr_nonnull(strstr(report, "not signed by every pinned key"));
	free(report);
	kms_verify_free(&verify);
	ledger_clear(&ledger);
}

/* An auditor kept a checkpoint; kmsd shows another past. */
START_TEST(log_must_extend_an_older_checkpoint)
{
	static struct ledger kept, shown; /* too large for the stack; tests fork */
	KMS_AUTO_BUF old = {0};
	KMS_AUTO_BUF note = {0};
	struct kms_verify *verify = NULL;
	char *report = NULL;
	fill(&kept, NULL);
	sign_checkpoint(&kept, log_key, 2, &old);
	fill(&shown, under_another);
	sign_checkpoint(&shown, log_key, shown.count, &note);
	ck_assert(kms_is_ok(kms_verify_open(trust_path, &verify)));
	ck_assert(kms_is_ok(kms_verify_older(verify, (const char *)old.ptr)));
	give(verify, &kept);
	kms_verify_free(&verify);
	/* the same prefix: consistent; another one: not */
	shown.entries[1].ptr[0] = '[';
	ck_assert(kms_is_ok(kms_verify_open(trust_path, &verify)));
	ck_assert(kms_is_ok(kms_verify_older(verify, (const char *)old.ptr)));
	for (size_t i = 0; i < shown.count; i++) {
		struct kms_hash leaf;
		uint32_t wanted;
		ck_assert(kms_is_ok(tlog_leaf_hash(kms_buf_bytes(&shown.entries[i]), &leaf)));
		ck_assert(kms_is_ok(kms_verify_entry(verify, i, leaf.b, NULL, 0, &wanted)));
	}
	ck_assert(kms_is(
		kms_verify_finish(verify, (const char *)note.ptr, &report), KMS_CODE_INTEGRITY));
	ck_assert_ptr_nonnull(strstr(report, "an older checkpoint"));
	free(report);
	kms_verify_free(&verify);
	ledger_clear(&kept);
	ledger_clear(&shown);
}

/* ---- the ledger's second key ---- */

enum { SEED = 0x11, OTHER_SEED = 0x22 };

/* trust.json, and the Ed25519 key after the P-256 one in it. */
static void trust_both(char path[64])
{
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *both = NULL;
	KMS_AUTO_FREE char *vkey = NULL;
	const struct tlog_vkey second = ed25519_vkey(ORIGIN, SEED);
	ck_assert(kms_is_ok(tlog_vkey_text(&second, &vkey)));
	ck_assert(kms_is_ok(kms_file_read(trust_path, 4096, &json)));
	const char *end = memmem(json.ptr, json.len, "\"],\"tokens", 10);
	ck_assert_ptr_nonnull(end);
	int before = (int)(end + 1 - (const char *)json.ptr);
	ck_assert(kms_is_ok(kms_text(&both, "%.*s,\"%s\"%.*s", before, (const char *)json.ptr, vkey,
		(int)json.len - before, (const char *)json.ptr + before)));
	(void)snprintf(path, 64, "%s/both.json", folder);
	ck_assert(kms_is_ok(kms_file_write(path, kms_bytes_str(both), 0600)));
}

enum line { NONE, P256, P256_BAD, ED25519, ED25519_BAD, ED25519_OTHER, WITNESS };

static void write_line(struct kms_writer *note, enum line what, struct kms_bytes text)
{
	static const uint8_t seeds[] = {[ED25519] = SEED,
		[ED25519_BAD] = SEED,
		[ED25519_OTHER] = OTHER_SEED,
		[WITNESS] = OTHER_SEED};
	KMS_AUTO_BUF line = {0};
	if (what == P256 || what == P256_BAD) {
		p256_line(what == P256 ? log_key : other_key, text, &line);
	} else {
		ed25519_line(what == WITNESS ? "witness" : ORIGIN, seeds[what],
			what == ED25519_BAD ? kms_bytes_str("other\n") : text, &line);
	}
	kms_write_bytes(note, kms_buf_bytes(&line));
}

static const struct {
	enum line lines[3];
	bool one_key;   /* is it good for who pins P-256 alone, */
	bool both_keys; /* and for who pins both? */
} seconds[] = {
	{{P256, ED25519}, true, true},
	{{ED25519, P256}, true, true}, /* the order has no meaning */
	{{P256, ED25519, WITNESS}, true, true},
	{{P256, ED25519_OTHER, ED25519}, true, true},
	{{P256}, true, false},
	{{P256, WITNESS}, true, false},
	{{P256, ED25519_BAD}, true, false},
	{{P256, ED25519_OTHER}, true, false},
	{{P256, ED25519, ED25519_BAD}, true, false},
	{{ED25519}, false, false},
	{{P256_BAD, ED25519}, false, false},
	{{P256_BAD, P256, ED25519}, false, false},
};

/* The newest checkpoint, and one kept from before. */
START_TEST(what_is_pinned_must_have_signed)
{
	static struct ledger ledger; /* too large for the stack; tests fork */
	char both[64];
	struct kms_bytes text;
	KMS_AUTO_BUF checkpoint = {0};
	KMS_AUTO_BUF note = {0};
	fill(&ledger, NULL);
	append_statement(&ledger, token_key, 1, USES, 0, 0);
	checkpoint_of(&ledger, ledger.count, &checkpoint);
	text = kms_buf_bytes(&checkpoint);
	KMS_AUTO_WRITER writer = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_bytes(&writer, text);
	kms_write_text(&writer, "\n");
	for (size_t i = 0; i < 3 && seconds[_i].lines[i] != NONE; i++) {
		write_line(&writer, seconds[_i].lines[i], text);
	}
	kms_write_u8(&writer, 0);
	ck_assert(kms_is_ok(kms_writer_take(&writer, &note)));
	trust_both(both);
	for (int pinned = 1; pinned <= 2; pinned++) {
		const bool good = pinned == 1 ? seconds[_i].one_key : seconds[_i].both_keys;
		struct kms_verify *verify = NULL;
		KMS_AUTO_FREE char *report = NULL;
		ck_assert(kms_is_ok(kms_verify_open(pinned == 1 ? trust_path : both, &verify)));
		kms_err older = kms_verify_older(verify, (const char *)note.ptr);
		give(verify, &ledger);
		kms_err err = kms_verify_finish(verify, (const char *)note.ptr, &report);
		ck_assert_msg(good == kms_is_ok(older), "case %d, %d keys: %s", _i, pinned,
			kms_err_name(older));
		ck_assert_msg(good == kms_is_ok(err), "case %d, %d keys: %s", _i, pinned, report);
		ck_assert(good || (kms_is(older, KMS_CODE_INTEGRITY) &&
					  strstr(report, "not signed by every pinned key")));
		kms_verify_free(&verify);
	}
	(void)unlink(both);
	ledger_clear(&ledger);
}

START_TEST(order_and_trust_file_are_checked)
{
	struct kms_verify *verify = NULL;
	uint8_t leaf[32] = {0};
	uint32_t wanted;
	char path[64];
	ck_assert(kms_is_ok(kms_verify_open(trust_path, &verify)));
	ck_assert(kms_is(kms_verify_entry(verify, 1, leaf, NULL, 0, &wanted), KMS_CODE_ARGUMENT));
	ck_assert(kms_is(kms_verify_use(verify, leaf, 1), KMS_CODE_ARGUMENT));
	kms_verify_free(&verify);
	(void)snprintf(path, sizeof(path), "%s/bad.json", folder);
	static const char *const bad[] = {"", "{}", "[]", "{\"v\":\"kmsd-trust/2\"}",
		"{\"v\":\"kmsd-trust/1\",\"origin\":\"a\",\"ledger_keys\":[],\"tokens\":[]}",
		"{\"v\":\"kmsd-trust/1\",\"origin\":\"a\",\"ledger_keys\":[\"x\"],\"tokens\":[]}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert(kms_is_ok(kms_file_write(path, kms_bytes_str(bad[i]), 0600)));
		ck_assert(kms_is(kms_verify_open(path, &verify), KMS_CODE_CONFIG));
	}
	(void)unlink(path);
}

int main(void)
{
	Suite *suite = suite_create("verify");
	TCase *tcase = tcase_create("ledger");
	tcase_add_unchecked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, honest_ledger_passes);
	tcase_add_test(tcase, datasets_are_no_links_of_a_keys_chain);
	tcase_add_test(tcase, uses_past_the_last_statement_are_not_shown);
	tcase_add_test(tcase, use_under_another_principal_is_named);
	tcase_add_test(tcase, use_under_nobody_is_named);
	tcase_add_test(tcase, use_under_another_key_or_version_is_named);
	tcase_add_test(tcase, use_that_is_no_use_is_named);
	tcase_add_test(tcase, clear_uses_stand_under_the_principal_that_kmsd_names);
	tcase_add_test(tcase, use_under_another_principal_and_certificate_breaks_the_hash);
	tcase_add_test(tcase, dropped_use_is_named);
	tcase_add_test(tcase, uses_lost_at_a_restart_are_named);
	tcase_add_test(tcase, the_owners_statement_shows_what_was_withheld);
	tcase_add_test(tcase, statement_of_another_key_fails);
	tcase_add_test(tcase, invented_destruction_is_named);
	tcase_add_test(tcase, changed_entry_fails);
	tcase_add_test(tcase, checkpoint_must_be_signed_by_a_pinned_key);
	tcase_add_test(tcase, log_must_extend_an_older_checkpoint);
	tcase_add_loop_test(
		tcase, what_is_pinned_must_have_signed, 0, sizeof(seconds) / sizeof(seconds[0]));
	tcase_add_test(tcase, order_and_trust_file_are_checked);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
