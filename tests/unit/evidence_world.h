/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of kmsd/evidence's certificates: a ledger in memory with one key of two versions in
 * one token and its erasure, real signatures under all of it, and doubles of store.h, ledger.h and
 * token.h over them. Include it once per test.
 */
#ifndef EVIDENCE_WORLD_H
#define EVIDENCE_WORLD_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "ed25519.h"
#include "evidence.h"
#include "format.h"
#include "ledger.h"
#include "record.h"
#include "store.h"
#include "tls_fixture.h"
#include "tlog.h"
#include "token.h"

#define ORIGIN "example.test/kmsd/1"
#define TENANT_NAME "Sakura <b>& \"Sons\"</b>"
#define SERIAL "LTO<script>alert('x')</script>&\"9"

static inline void ok(kms_err err, const char *what, int line)
{
	if (!kms_is_ok(err)) {
		ck_abort_msg("line %d: %s: %s", line, what, kms_err_name(err));
	}
}
#define OK(expr) ok(expr, #expr, __LINE__)
#define FAILS(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

enum { TENANT = 1, CUSTODIAN, APPROVER_A, APPROVER_B, TOKEN, KEY, ERASURE, KEK_1, KEK_2, NODE };

static inline struct kms_id id(unsigned n)
{
	struct kms_id made = {{7, 0, 0, 0, 0, 0, 0x40, 0, 0x80}};
	made.b[15] = (uint8_t)n;
	return made;
}

static inline struct kms_hash hash(unsigned n)
{
	struct kms_hash made;
	memset(&made, (int)n, sizeof(made));
	return made;
}

/* ---- keys ---- */

struct pen {
	struct crypto_signer *signer;
	struct tlog_vkey vkey;
	char *text; /* of the vkey */
};
static struct pen log_pen, manifest_pen, token_pen;

static inline void pen_make(struct pen *pen, const char *name)
{
	char path[] = "/tmp/kmsd-evidence-key-XXXXXX";
	KMS_AUTO_BUF spki = {0};
	ck_assert_ptr_nonnull(mkdtemp(path));
	char pem[64];
	(void)snprintf(pem, sizeof(pem), "%s/key", path);
	OK(crypto_signer_generate(pem, &pen->signer));
	OK(crypto_signer_spki(pen->signer, &spki));
	OK(tlog_vkey_make(name, kms_buf_bytes(&spki), &pen->vkey));
	OK(tlog_vkey_text(&pen->vkey, &pen->text));
	ck_assert_int_eq(unlink(pem), 0);
	ck_assert_int_eq(rmdir(path), 0);
}

static inline kms_err pen_note(const struct pen *pen, struct kms_bytes text, struct kms_buf *note)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	KMS_AUTO_WRITER out = kms_writer_grow(LIMIT_MANIFEST_BYTES);
	KMS_TRY(crypto_sign(pen->signer, text, raw));
	KMS_TRY(crypto_sig_raw_to_der(raw, &der));
	KMS_TRY(tlog_note_line(&pen->vkey, kms_buf_bytes(&der), &line));
	kms_write_bytes(&out, text);
	kms_write_text(&out, "\n");
	kms_write_bytes(&out, kms_buf_bytes(&line));
	return kms_writer_take(&out, note);
}

/* The ledger's second key: its line comes after that of the first. */
enum { LOG_SEED = 0x11 };
static bool log_has_ed25519 = true;

static inline kms_err log_note(struct kms_bytes text, struct kms_buf *ret_note)
{
	KMS_AUTO_BUF note = {0};
	KMS_AUTO_BUF line = {0};
	KMS_AUTO_WRITER out = kms_writer_grow(TLOG_NOTE_MAX);
	KMS_TRY(pen_note(&log_pen, text, &note));
	kms_write_bytes(&out, kms_buf_bytes(&note));
	if (log_has_ed25519) {
		ed25519_line(ORIGIN, LOG_SEED, text, &line);
		kms_write_bytes(&out, kms_buf_bytes(&line));
	}
	return kms_writer_take(&out, ret_note);
}

static inline void statement_sign(const struct format_statement *statement, struct kms_buf *ret)
{
	KMS_AUTO_BUF part = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_WRITER out = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	OK(format_statement_write(statement, &part));
	OK(crypto_sign(token_pen.signer, kms_buf_bytes(&part), raw));
	kms_write_bytes(&out, kms_buf_bytes(&part));
	kms_write_fixed(&out, raw, sizeof(raw));
	OK(kms_writer_take(&out, ret));
}

/* ---- the ledger ---- */

enum { ENTRIES_MAX = 32 };
struct written {
	struct kms_buf bytes;
	struct kms_hash leaf;
	bool of_key, of_erasure;
};
static struct written log_entries[ENTRIES_MAX];
static size_t log_count;
static struct tlog_edge log_edge;
static struct tlog_node log_nodes[ENTRIES_MAX * 8];
static size_t log_node_count;
static size_t last_of_key; /* + 1 */
static struct model_erasure erasure;
static struct kms_buf plan;

/* Writes the change as the next entry, and frees what it owns. */
static inline uint64_t append(struct model_change *change, bool of_erasure)
{
	struct written *entry = &log_entries[log_count];
	struct kms_id key;
	struct record_head head = {.seq = log_count,
		.unix_ms = 1795251600000 + (int64_t)log_count * 1000,
		.node = id(NODE)};
	struct tlog_node nodes[TLOG_LEVELS];
	unsigned count = 0;
	(void)snprintf(head.log, sizeof(head.log), ORIGIN);
	change->tenant = id(TENANT);
	entry->of_erasure = of_erasure;
	entry->of_key = record_change_key(change, &key);
	if (entry->of_key && last_of_key > 0) {
		head.has_previous = true;
		head.previous_seq = last_of_key - 1;
		head.previous_leaf = log_entries[last_of_key - 1].leaf;
	}
	OK(record_entry_write(&head, change, &entry->bytes));
	OK(tlog_leaf_hash(kms_buf_bytes(&entry->bytes), &entry->leaf));
	OK(tlog_edge_append(&log_edge, &entry->leaf, nodes, &count));
	memcpy(&log_nodes[log_node_count], nodes, count * sizeof(nodes[0]));
	log_node_count += count;
	last_of_key = entry->of_key ? log_count + 1 : last_of_key;
	model_change_free(change);
	return log_count++;
}

static struct model_change change;

static inline void append_alarm(void)
{
	change = (struct model_change){.type = MODEL_CHANGE_ALARM};
	(void)snprintf(change.u.alarm.text, sizeof(change.u.alarm.text), "nothing");
	(void)append(&change, false);
}

static inline void append_birth(uint32_t version, unsigned kek)
{
	change = (struct model_change){.type = MODEL_CHANGE_KEY_INTENT, .actor = id(CUSTODIAN)};
	change.u.key_intent.key = (struct model_key){.id = id(KEY),
		.tenant = id(TENANT),
		.custodian = id(CUSTODIAN),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.state = version == 1 ? MODEL_STATE_PRE_ACTIVATION : MODEL_STATE_ACTIVE,
		.version = version - 1,
		.created_unix_ms = 1795251601000,
		.token_count = 1,
		.tokens = {id(TOKEN)}};
	change.u.key_intent.version = version;
	change.u.key_intent.keks[0] = id(kek);
	(void)append(&change, false);

	struct format_statement birth = {.type = FORMAT_STATEMENT_BIRTH,
		.token = id(TOKEN),
		.tenant = id(TENANT),
		.unix_ms = 1795251602000};
	birth.u.birth = (struct format_birth){.key = id(KEY),
		.version = version,
		.kek = id(kek),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.token_count = 1,
		.tokens = {id(TOKEN)},
		.commitment = hash(kek),
		.attributes = {.sensitive = true, .always_sensitive = true, .local = true}};
	change = (struct model_change){.type = MODEL_CHANGE_KEY_RESULT, .actor = id(CUSTODIAN)};
	change.u.key_result.key = id(KEY);
	change.u.key_result.version = version;
	change.u.key_result.made = true;
	change.u.key_result.birth_count = 1;
	struct model_birth *row = &change.u.key_result.births[0];
	row->token = id(TOKEN);
	row->kek = id(kek);
	row->commitment = hash(kek);
	statement_sign(&birth, &row->statement);
	(void)append(&change, false);
}

/* ---- the erasure ---- */

static inline void make_plan(void)
{
	static const char text[] =
		"{\"backups\":{\"known\":[],\"statement\":\"none\"},\"datasets\":{\"count\":1,"
		"\"hash\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
		"\"rows\":[{\"country\":\"JP\",\"encrypted_since\":0,\"id\":"
		"\"07000000-0000-4000-8000-0000000000dd\",\"key\":"
		"\"07000000-0000-4000-8000-000000000006\",\"kind\":\"archive\",\"serial\":"
		"\"LTO<script>alert('x')</script>&\\\"9\",\"site\":\"Tokyo\"}]},\"imports\":[]}";
	OK(kms_buf_copy(kms_bytes_str(text), &plan));
}

static inline void make_erasure(enum model_erase_scope scope, bool wipe)
{
	static struct format_erase_kek keks[2];
	static struct format_erase erase;
	static struct tls_pair pair;
	KMS_AUTO(crypto_cert) cert = NULL;
	keks[0] = (struct format_erase_kek){id(TOKEN), id(KEK_1), id(KEY), 1, hash(KEK_1)};
	keks[1] = (struct format_erase_kek){id(TOKEN), id(KEK_2), id(KEY), 2, hash(KEK_2)};
	erase = (struct format_erase){.erasure = id(ERASURE),
		.tenant = id(TENANT),
		.requester = id(CUSTODIAN),
		.scope = scope,
		.subject = scope == MODEL_ERASE_TENANT ? id(TENANT) : id(KEY),
		.not_before_unix_s = 1795251600,
		.expires_unix_s = 1795338000,
		.wipe_count = wipe ? 1 : 0,
		.wipes = {id(TOKEN)},
		.kek_count = scope == MODEL_ERASE_VERSIONS ? 1 : 2,
		.keks = keks};
	(void)snprintf(erase.origin, sizeof(erase.origin), ORIGIN);
	OK(crypto_sha256_one(kms_buf_bytes(&plan), &erase.plan));
	tls_pair_make(&pair, "custodian", TLS_USE_CLIENT, NULL, NULL, 3600);
	OK(crypto_cert_parse_pem(kms_bytes_str(pair.crt_pem), &cert));
	erasure = (struct model_erasure){.id = id(ERASURE),
		.tenant = id(TENANT),
		.requester = id(CUSTODIAN),
		.scope = scope,
		.state = MODEL_ERASE_REQUESTED,
		.requested_unix_ms = 1795251605000,
		.kek_count = erase.kek_count,
		.wipe_count = erase.wipe_count};
	OK(format_erase_write(&erase, &erasure.bytes));
	OK(crypto_cert_der(cert, &erasure.certificate));
	change = (struct model_change){.type = MODEL_CHANGE_ERASE_REQUEST, .actor = id(CUSTODIAN)};
	OK(kms_buf_copy(kms_buf_bytes(&erasure.bytes), &change.u.erase_request.bytes));
	OK(kms_buf_copy(kms_buf_bytes(&erasure.certificate), &change.u.erase_request.certificate));
	erasure.request_seq = append(&change, true);
}

static inline void append_approval(unsigned who)
{
	KMS_AUTO_BUF spki = {0};
	OK(crypto_signer_spki(manifest_pen.signer, &spki)); /* whose key it is is veri's question */
	change = (struct model_change){.type = MODEL_CHANGE_ERASE_APPROVE, .actor = id(who)};
	change.u.erase_signed.erasure = id(ERASURE);
	change.u.erase_signed.by.principal = id(who);
	OK(kms_buf_copy(kms_buf_bytes(&spki), &change.u.erase_signed.by.spki));
	erasure.approvals = realloc(
		erasure.approvals, (erasure.approval_count + 1) * sizeof(struct model_signed));
	struct model_signed *row = &erasure.approvals[erasure.approval_count++];
	*row = (struct model_signed){.principal = id(who)};
	OK(kms_buf_copy(kms_buf_bytes(&spki), &row->spki));
	row->seq = append(&change, true);
}

static inline void append_intent(void)
{
	change = (struct model_change){.type = MODEL_CHANGE_ERASE_INTENT, .actor = id(CUSTODIAN)};
	change.u.erase_step.erasure = id(ERASURE);
	OK(crypto_sha256_one(kms_buf_bytes(&erasure.bytes), &change.u.erase_step.erase));
	erasure.intent_seq = append(&change, true);
	erasure.state = MODEL_ERASE_EXECUTING;
}

static inline void append_result(uint32_t version, unsigned kek)
{
	struct format_statement statement = {.type = FORMAT_STATEMENT_DESTROY,
		.token = id(TOKEN),
		.tenant = id(TENANT),
		.unix_ms = 1795251700000};
	struct format_erased what = {.erasure = id(ERASURE),
		.key = id(KEY),
		.version = version,
		.kek = id(kek),
		.commitment = hash(kek)};
	OK(crypto_sha256_one(kms_buf_bytes(&erasure.bytes), &what.erase));
	statement.u.destroy = (struct format_destroy){.what = what,
		.begun_unix_ms = statement.unix_ms - 100,
		.found = true,
		.canary_before = true};
	change = (struct model_change){.type = MODEL_CHANGE_ERASE_RESULT};
	change.u.erase_done.erasure = id(ERASURE);
	change.u.erase_done.token = id(TOKEN);
	change.u.erase_done.key = id(KEY);
	change.u.erase_done.kek = id(kek);
	change.u.erase_done.version = version;
	statement_sign(&statement, &change.u.erase_done.statement);
	statement.type = FORMAT_STATEMENT_ABSENCE;
	memset(&statement.u, 0, sizeof(statement.u));
	statement.u.absence = (struct format_absence){.what = what, .searched = 3, .born = 2};
	statement_sign(&statement, &change.u.erase_done.absence);
	(void)append(&change, true);
	erasure.destroyed_count++;
}

static inline void append_wipe(void)
{
	struct format_statement statement = {.type = FORMAT_STATEMENT_WIPE,
		.token = id(TOKEN),
		.tenant = id(TENANT),
		.unix_ms = 1795251800000};
	statement.u.wipe = (struct format_wipe){.erasure = id(ERASURE),
		.begun_unix_ms = statement.unix_ms - 100,
		.destroyed = 2,
		.initialised = true,
		.overwritten = true};
	OK(crypto_sha256_one(kms_buf_bytes(&erasure.bytes), &statement.u.wipe.erase));
	change = (struct model_change){.type = MODEL_CHANGE_ERASE_WIPE};
	change.u.erase_done.erasure = id(ERASURE);
	change.u.erase_done.token = id(TOKEN);
	statement_sign(&statement, &change.u.erase_done.statement);
	(void)append(&change, true);
	erasure.wiped_count++;
}

static inline void append_final(void)
{
	change = (struct model_change){.type = MODEL_CHANGE_ERASE_FINAL, .actor = id(CUSTODIAN)};
	change.u.erase_step.erasure = id(ERASURE);
	erasure.final_seq = append(&change, true);
	erasure.state = MODEL_ERASE_DONE;
}

static inline uint64_t append_issue(const struct evidence_certificate *certificate)
{
	change = (struct model_change){.type = MODEL_CHANGE_CERT_ISSUE, .actor = id(CUSTODIAN)};
	change.u.cert_issue.erasure = id(ERASURE);
	change.u.cert_issue.certificate = certificate->id;
	change.u.cert_issue.supersedes = erasure.cert;
	change.u.cert_issue.final = certificate->final;
	change.u.cert_issue.hash = certificate->hash;
	OK(kms_buf_copy(kms_buf_bytes(&certificate->json), &change.u.cert_issue.json));
	return append(&change, true);
}

/* A key of two versions, and before it what is not about it. */
static inline void set_up(void)
{
	pen_make(&log_pen, ORIGIN);
	pen_make(&manifest_pen, ORIGIN "/manifest");
	pen_make(&token_pen, "token.example");
	make_plan();
	append_alarm();
	append_birth(1, KEK_1);
	append_alarm();
	append_birth(2, KEK_2);
}

/* ---- the doubles ---- */

static struct model_principal custodian_row;
static uint32_t pins_needed = 2;

kms_err store_entries_get(struct store *store, const struct kms_id *tenant, uint64_t from,
	uint32_t limit, struct model_entry **ret_rows, size_t *ret_count)
{
	(void)store;
	(void)tenant;
	size_t count = from < log_count ? 1 : 0;
	ck_assert_uint_ge(limit, 1);
	*ret_rows = calloc(1, sizeof(**ret_rows));
	*ret_count = count;
	if (count == 1) {
		(*ret_rows)[0].seq = from;
		(*ret_rows)[0].leaf = log_entries[from].leaf;
		OK(kms_buf_copy(kms_buf_bytes(&log_entries[from].bytes), &(*ret_rows)[0].bytes));
	}
	return KMS_OK;
}

/* Pages of three, so that a chain has several. */
kms_err store_entries_of_key_from(struct store *store, const struct kms_id *key, uint64_t from,
	uint32_t limit, struct model_entry **ret_rows, size_t *ret_count)
{
	struct kms_id wanted = id(KEY);
	(void)store;
	(void)limit;
	ck_assert(kms_id_equal(key, &wanted));
	*ret_rows = calloc(log_count, sizeof(**ret_rows));
	*ret_count = 0;
	for (size_t i = 0; i < log_count; i++) {
		if (log_entries[i].of_key && i >= from && *ret_count < 3) {
			struct model_entry *row = &(*ret_rows)[(*ret_count)++];
			row->seq = i;
			row->leaf = log_entries[i].leaf;
			OK(kms_buf_copy(kms_buf_bytes(&log_entries[i].bytes), &row->bytes));
		}
	}
	return KMS_OK;
}

kms_err store_erasure_entries(
	struct store *store, const struct kms_id *erased, uint64_t **ret_seqs, size_t *ret_count)
{
	(void)store;
	(void)erased;
	*ret_seqs = calloc(log_count, sizeof(**ret_seqs));
	*ret_count = 0;
	for (size_t i = 0; i < log_count; i++) {
		if (log_entries[i].of_erasure) {
			(*ret_seqs)[(*ret_count)++] = i;
		}
	}
	return KMS_OK;
}

kms_err store_setting_get(struct store *store, const char *name, char **ret_value)
{
	(void)store;
	if (strcmp(name, "ledger_vkey_ed25519") == 0) {
		const struct tlog_vkey vkey = ed25519_vkey(ORIGIN, LOG_SEED);
		return log_has_ed25519 ? tlog_vkey_text(&vkey, ret_value)
				       : kms_text(ret_value, "%s", "");
	}
	ck_assert_str_eq(name, "ledger_vkey");
	return kms_text(ret_value, "%s", log_pen.text);
}

kms_err store_tenant_get(
	struct store *store, const struct kms_id *tenant, struct model_tenant *ret_tenant)
{
	(void)store;
	*ret_tenant = (struct model_tenant){.id = *tenant};
	(void)snprintf(ret_tenant->label.text, sizeof(ret_tenant->label.text), "%s", TENANT_NAME);
	return KMS_OK;
}

kms_err store_principal_get(
	struct store *store, const struct kms_id *who, struct model_principal *ret_principal)
{
	(void)store;
	custodian_row = (struct model_principal){.id = *who, .spki = hash(CUSTODIAN)};
	*ret_principal = custodian_row;
	return KMS_OK;
}

kms_err store_use_count_get(
	struct store *store, const struct kms_id *key, struct store_use_count *ret_count)
{
	(void)store;
	(void)key;
	*ret_count = (struct store_use_count){.datakeys = 3, .unwraps = 40, .wraps = 5};
	return KMS_OK;
}

/* Of what is on lease. */
static struct store_lease_sum lease_sum = {.granted = 43, .returned = 43};

kms_err store_lease_sum(struct store *store, const struct kms_id *key, uint32_t version,
	struct store_lease_sum *ret_sum)
{
	(void)store;
	(void)key;
	(void)version;
	*ret_sum = lease_sum;
	return KMS_OK;
}

kms_err store_lease_clients(struct store *store, const struct kms_id *key, uint32_t version,
	struct kms_id **ret_principals, size_t *ret_count)
{
	(void)store;
	(void)key;
	(void)version;
	*ret_principals = calloc(1, sizeof(**ret_principals));
	**ret_principals = id(CUSTODIAN);
	*ret_count = lease_sum.granted > lease_sum.returned ? 1 : 0;
	return KMS_OK;
}

kms_err store_erasure_plan(struct store *store, const struct kms_id *erased, struct kms_buf *ret)
{
	(void)store;
	(void)erased;
	return kms_buf_copy(kms_buf_bytes(&plan), ret);
}

kms_err store_token_list(struct store *store, const struct kms_id *tenant,
	struct model_token **ret_rows, size_t *ret_count)
{
	(void)store;
	struct model_token *rows = calloc(2, sizeof(*rows));
	rows[0].id = id(200); /* held nothing */
	rows[1] = (struct model_token){
		.id = id(TOKEN), .tenant = *tenant, .class = MODEL_CLASS_HSM, .country = "JP"};
	(void)snprintf(rows[1].certificate_no, sizeof(rows[1].certificate_no), "4242");
	(void)snprintf(rows[1].model, sizeof(rows[1].model), "<i>M&1</i>");
	(void)snprintf(
		rows[1].statement_vkey, sizeof(rows[1].statement_vkey), "%s", token_pen.text);
	*ret_rows = rows;
	*ret_count = 2;
	return KMS_OK;
}

static inline kms_err read_node(
	void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	(void)ctx;
	for (size_t i = 0; i < log_node_count; i++) {
		if (log_nodes[i].level == level && log_nodes[i].index == index) {
			*ret_hash = log_nodes[i].hash;
			return KMS_OK;
		}
	}
	return KMS_ERR(NOT_FOUND);
}

kms_err ledger_covered(struct ledger *ledger, uint64_t seq, int timeout_ms, uint64_t *ret_size,
	struct kms_buf *ret_checkpoint)
{
	struct tlog_checkpoint checkpoint = {.size = log_count};
	KMS_AUTO_BUF text = {0};
	(void)ledger;
	(void)timeout_ms;
	ck_assert_uint_lt(seq, log_count);
	(void)snprintf(checkpoint.origin, sizeof(checkpoint.origin), ORIGIN);
	OK(tlog_edge_root(&log_edge, &checkpoint.root));
	OK(tlog_checkpoint_text(&checkpoint, &text));
	*ret_size = log_count;
	return log_note(kms_buf_bytes(&text), ret_checkpoint);
}

kms_err ledger_inclusion(struct ledger *ledger, uint64_t seq, uint64_t size,
	struct kms_buf *ret_entry, struct tlog_proof *ret_proof)
{
	(void)ledger;
	KMS_TRY(tlog_prove_inclusion(read_node, NULL, seq, size, ret_proof));
	return kms_buf_copy(kms_buf_bytes(&log_entries[seq].bytes), ret_entry);
}

kms_err token_find(struct token_set *set, const struct kms_id *wanted, struct token **ret_token)
{
	(void)set;
	(void)wanted;
	*ret_token = NULL;
	return KMS_OK;
}

kms_err token_erase_pins(struct token *token, struct model_erase_pins *ret_pins)
{
	(void)token;
	*ret_pins = (struct model_erase_pins){.needed = pins_needed};
	return pins_needed == 0 ? KMS_ERR(TOKEN_DOWN) : KMS_OK;
}

kms_err token_manifest_sign(struct token *token, struct kms_bytes text, struct kms_buf *ret_note)
{
	(void)token;
	return pen_note(&manifest_pen, text, ret_note);
}

static inline struct evidence_parts parts(void)
{
	return (struct evidence_parts){.version = "0.2.0"};
}

#endif
