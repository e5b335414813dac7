/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole world for verification of bundles: a tenant's two tokens, two keys, three versions, the
 * end of the contract with two approvers and two wipes, its ledger, certificate and bundle, all
 * signed with keys of the test. At each stage a test may bend what is there; what follows is made
 * from the bent thing and signed anew, so that only the bend is wrong. bundle_certificate.h makes
 * certificate.json of it, bundle_files.h the files.
 */
#ifndef BUNDLE_FIXTURE_H
#define BUNDLE_FIXTURE_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"
#include "crypto.h"
#include "doc.h"
#include "format.h"
#include "model.h"
#include "record.h"
#include "tlog.h"

#define ck_ok(expr)                                                                                \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(kms_is_ok(ck_err_), "%s: %s", #expr, kms_err_text(ck_err_));         \
	} while (0)

#define ORIGIN "test.example/kmsd/1"
enum {
	TOKENS = 2,
	KEKS = 6,
	APPROVERS = 3, /* pinned; two of them sign, and two are needed */
	ENTRIES_MAX = 40,
	FILES_MAX = 100,
	DAY_S = 24 * 3600,
};

/* ---- keys: made once, in a folder of their own ---- */

enum signer {
	SIGNER_LOG,
	SIGNER_MANIFEST,
	SIGNER_TOKEN_0,
	SIGNER_TOKEN_1,
	SIGNER_REQUESTER,
	SIGNER_APPROVER_0,
	SIGNER_APPROVER_1,
	SIGNER_APPROVER_2,
	SIGNER_STORAGE,  /* a storage system's, of the tenant's CA */
	SIGNER_STRANGER, /* nobody pinned it */
	SIGNERS
};
static const char *const signer_names[SIGNERS] = {"log", "manifest", "token0", "token1",
	"requester", "approver0", "approver1", "approver2", "storage", "stranger"};
static char bundle_keys[32]; /* the folder */
static struct crypto_signer *signers[SIGNERS];
static struct kms_buf signer_spkis[SIGNERS];
static struct tlog_vkey signer_vkeys[SIGNERS];
static struct kms_buf requester_cert, storage_cert, foreign_cert; /* DER */
static struct kms_buf tenant_ca;                                  /* PEM */

static inline void bundle_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void bundle_shell(const char *format, ...)
{
	char command[1024];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	ck_assert_msg(system(command) == 0, "%s", command);
}

static inline void bundle_cert(const char *name, struct kms_buf *ret_der)
{
	char path[64];
	KMS_AUTO(crypto_cert) cert = NULL;
	(void)snprintf(path, sizeof(path), "%s/%s.pem", bundle_keys, name);
	ck_ok(crypto_cert_read(path, &cert));
	ck_ok(crypto_cert_der(cert, ret_der));
}

static inline void bundle_keys_make(void)
{
	char path[64];
	(void)strcpy(bundle_keys, "/tmp/kms-bundle-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(bundle_keys));
	for (size_t i = 0; i < SIGNERS; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", bundle_keys, signer_names[i]);
		ck_ok(crypto_signer_generate(path, &signers[i]));
		ck_ok(crypto_signer_spki(signers[i], &signer_spkis[i]));
		ck_ok(tlog_vkey_make(i == SIGNER_LOG ? ORIGIN : signer_names[i],
			kms_buf_bytes(&signer_spkis[i]), &signer_vkeys[i]));
	}
	bundle_shell(
		"cd %s; exec 2>make.log; set -e\n"
		"for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt "
		"ec_paramgen_curve:P-256 -nodes -keyout $ca.key -out $ca.pem -subj /CN=$ca -days "
		"30; done\n"
		"issue() { openssl req -new -key $1 -out $1.csr -subj /CN=$1 -addext "
		"extendedKeyUsage=$4; openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key "
		"-CAcreateserial -days 30 -out $3.pem -copy_extensions copy; }\n"
		"issue requester ca requester clientAuth; issue requester other foreign "
		"clientAuth\n"
		"issue storage ca storage clientAuth," CRYPTO_PURPOSE_STORAGE "\n",
		bundle_keys);
	bundle_cert("requester", &requester_cert);
	bundle_cert("foreign", &foreign_cert);
	bundle_cert("storage", &storage_cert);
	(void)snprintf(path, sizeof(path), "%s/ca.pem", bundle_keys);
	ck_ok(kms_file_read(path, CRYPTO_CERT_MAX, &tenant_ca));
}

static inline void bundle_keys_drop(void)
{
	for (size_t i = 0; i < SIGNERS; i++) {
		crypto_signer_free(&signers[i]);
		kms_buf_free(&signer_spkis[i]);
	}
	kms_buf_free(&requester_cert);
	kms_buf_free(&foreign_cert);
	kms_buf_free(&storage_cert);
	kms_buf_free(&tenant_ca);
	bundle_shell("rm -rf %s", bundle_keys);
}

static inline void bundle_sign(
	enum signer signer, struct kms_bytes message, uint8_t ret_raw[CRYPTO_SIG_RAW])
{
	ck_ok(crypto_sign(signers[signer], message, ret_raw));
}

/* ---- ids ---- */

static inline struct kms_id id_of(uint8_t x)
{
	return (struct kms_id){{x, x, x, x, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, x}};
}

static inline struct kms_hash hash_of(uint8_t x)
{
	struct kms_hash hash;
	memset(hash.b, x, sizeof(hash.b));
	return hash;
}

enum {
	ID_TENANT = 0x11,
	ID_KEY_0 = 0x21,
	ID_KEY_1 = 0x22,
	ID_REQUESTER = 0x51,
	ID_EXECUTOR = 0x52,
	ID_APPROVER_0 = 0x57,
	ID_NODE = 0x66,
	ID_TOKEN_0 = 0xa1,
	ID_TOKEN_1 = 0xa2,
	ID_KEK_0 = 0xb0,
	ID_CERT = 0xce,
	ID_DATASET = 0xd1,
	ID_ERASURE = 0xe1,
	ID_OTHER = 0xf1
};

/* ---- the world ---- */

enum stage {
	STAGE_DESCRIBE,    /* erase, keks, births: nothing is signed yet */
	STAGE_STATEMENTS,  /* erase_hash is known: destroys, absences, wipes, approvals */
	STAGE_ENTRIES,     /* entries, without their heads */
	STAGE_HEAD,        /* at, head: of one entry, before it is written */
	STAGE_CERTIFICATE, /* certificate */
	STAGE_ISSUE,       /* issue */
	STAGE_CHECKPOINT,  /* checkpoint: before it is signed */
	STAGE_NOTE,        /* note: signed, before any proof carries it */
	STAGE_FILES,       /* files, all but the manifest */
	STAGE_MANIFEST,    /* manifest: its text */
};
struct said {
	struct format_statement statement;
	enum signer by;
};
struct approval {
	uint8_t principal;
	enum signer by;
	bool other_bytes; /* signed something else */
};
struct made {
	struct model_change change;
	int64_t unix_ms;
	int kek;     /* of a birth's version or a result: its index; -1 */
	bool hidden; /* in the ledger, and not in the bundle */
	struct record_head head;
	struct kms_buf json;
	struct kms_hash leaf;
};
struct world {
	enum stage stage, bend_at;
	void (*bend)(struct world *world);
	uint8_t salt; /* another world has other bytes */

	int64_t start_ms; /* of the first entry; each takes a second */
	struct format_erase_kek keks[KEKS];
	struct said births[KEKS], destroys[KEKS], absences[KEKS], wipes[TOKENS];
	struct format_erase erase;
	struct format_erase_kek erase_keks[KEKS];
	struct kms_buf erase_bytes;
	struct kms_hash erase_hash;
	enum signer requester_by;
	const struct kms_buf *requester_cert;
	uint32_t approval_count;
	struct approval approvals[4];

	size_t count;
	struct made entries[ENTRIES_MAX];
	size_t at; /* STAGE_HEAD */

	bool final;
	struct doc *certificate;
	struct kms_buf certificate_json;
	struct made issue;

	struct tlog_checkpoint checkpoint;
	enum signer checkpoint_by;
	struct kms_buf note;

	size_t file_count;
	struct model_file files[FILES_MAX];
	enum signer manifest_by;
	struct kms_buf manifest; /* its text */
};

static inline void bend(struct world *world, enum stage stage)
{
	world->stage = stage;
	if (world->bend != NULL && world->bend_at == stage) {
		world->bend(world);
	}
}

/* ---- STAGE_DESCRIBE ---- */

static inline struct kms_id token_id(uint32_t i)
{
	return id_of((uint8_t)(ID_TOKEN_0 + i));
}

/* KEKs by token, then id: key 0 version 1, version 2, key 1 version 1, in each token. */
static inline void world_describe(struct world *world)
{
	world->start_ms = (kms_now_unix_ms() / 1000 + DAY_S) * 1000;
	for (uint32_t i = 0; i < KEKS; i++) {
		uint32_t of_token = i % (KEKS / TOKENS);
		world->keks[i] = (struct format_erase_kek){
			.token = token_id(i / (KEKS / TOKENS)),
			.kek = id_of((uint8_t)(ID_KEK_0 + i)),
			.key = id_of(of_token == 2 ? ID_KEY_1 : ID_KEY_0),
			.version = of_token == 1 ? 2 : 1,
			.commitment = hash_of((uint8_t)(0xc0 + i + world->salt)),
		};
		world->erase_keks[i] = world->keks[i];
		world->births[i].by = world->destroys[i].by = world->absences[i].by =
			SIGNER_TOKEN_0 + i / (KEKS / TOKENS);
		world->births[i].statement = (struct format_statement){
			.type = FORMAT_STATEMENT_BIRTH,
			.token = world->keks[i].token,
			.tenant = id_of(ID_TENANT),
			.unix_ms = world->start_ms,
			.u.birth = {.key = world->keks[i].key,
				.version = world->keks[i].version,
				.kek = world->keks[i].kek,
				.custody = MODEL_CUSTODY_ANY,
				.delivery = MODEL_DELIVERY_SEALED,
				.token_count = TOKENS,
				.tokens = {token_id(0), token_id(1)},
				.commitment = world->keks[i].commitment,
				.attributes = {.sensitive = true, .never_extractable = true}},
		};
	}
	int64_t start_s = world->start_ms / 1000;
	world->erase = (struct format_erase){.origin = ORIGIN,
		.erasure = id_of((uint8_t)(ID_ERASURE + world->salt)),
		.tenant = id_of(ID_TENANT),
		.requester = id_of(ID_REQUESTER),
		.scope = MODEL_ERASE_TENANT,
		.subject = id_of(ID_TENANT),
		.plan = hash_of(0x99),
		.not_before_unix_s = start_s + DAY_S,
		.expires_unix_s = start_s + 8 * DAY_S,
		.wipe_count = TOKENS,
		.wipes = {token_id(0), token_id(1)},
		.kek_count = KEKS,
		.keks = world->erase_keks};
	world->requester_by = SIGNER_REQUESTER;
	world->requester_cert = &requester_cert;
	world->approval_count = 2;
	for (uint32_t i = 0; i < world->approval_count; i++) {
		world->approvals[i] = (struct approval){
			(uint8_t)(ID_APPROVER_0 + i), SIGNER_APPROVER_0 + i, false};
	}
	world->final = true;
	world->checkpoint_by = SIGNER_LOG;
	world->manifest_by = SIGNER_MANIFEST;
	bend(world, STAGE_DESCRIBE);
}

/* ---- STAGE_STATEMENTS ---- */

static inline void world_state(struct world *world)
{
	ck_ok(format_erase_write(&world->erase, &world->erase_bytes));
	ck_ok(crypto_sha256_one(kms_buf_bytes(&world->erase_bytes), &world->erase_hash));
	int64_t executed_ms = world->erase.not_before_unix_s * 1000 + 1000;
	for (uint32_t i = 0; i < KEKS; i++) {
		const struct format_erase_kek *kek = &world->keks[i];
		struct format_erased what = {.erasure = world->erase.erasure,
			.erase = world->erase_hash,
			.key = kek->key,
			.version = kek->version,
			.kek = kek->kek,
			.commitment = kek->commitment};
		struct format_statement base = {.token = kek->token,
			.tenant = id_of(ID_TENANT),
			.unix_ms = executed_ms + i};
		world->destroys[i].statement = base;
		world->destroys[i].statement.type = FORMAT_STATEMENT_DESTROY;
		world->destroys[i].statement.u.destroy = (struct format_destroy){.what = what,
			.begun_unix_ms = executed_ms + i - 1,
			.found = true,
			.canary_before = true};
		world->absences[i].statement = base;
		world->absences[i].statement.type = FORMAT_STATEMENT_ABSENCE;
		world->absences[i].statement.u.absence = (struct format_absence){
			.what = what, .searched = 5, .born = i % (KEKS / TOKENS) == 2 ? 1 : 2};
	}
	for (uint32_t i = 0; i < TOKENS; i++) {
		world->wipes[i].by = SIGNER_TOKEN_0 + i;
		world->wipes[i].statement = (struct format_statement){.type = FORMAT_STATEMENT_WIPE,
			.token = token_id(i),
			.tenant = id_of(ID_TENANT),
			.unix_ms = executed_ms + 100 + i,
			.u.wipe = {.erasure = world->erase.erasure,
				.erase = world->erase_hash,
				.begun_unix_ms = executed_ms + 50 + i,
				.destroyed = KEKS / TOKENS,
				.initialised = true,
				.overwritten = true}};
	}
	bend(world, STAGE_STATEMENTS);
}

/* ---- STAGE_ENTRIES ---- */

static inline void statement_sign(const struct said *said, struct kms_buf *ret_bytes)
{
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF part = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	ck_ok(format_statement_write(&said->statement, &part));
	bundle_sign(said->by, kms_buf_bytes(&part), raw);
	kms_write_bytes(&writer, kms_buf_bytes(&part));
	kms_write_fixed(&writer, raw, sizeof(raw));
	ck_ok(kms_writer_take(&writer, ret_bytes));
}

static inline struct made *entry_add(struct world *world, enum model_change_type type)
{
	ck_assert_uint_lt(world->count, ENTRIES_MAX);
	struct made *made = &world->entries[world->count];
	made->unix_ms = world->start_ms + (int64_t)world->count * 1000;
	made->kek = -1;
	made->change.type = type;
	made->change.tenant = id_of(ID_TENANT);
	made->change.actor = id_of(ID_EXECUTOR);
	world->count++;
	return made;
}

/* An entry of somebody else: only its leaf is in the tree. */
static inline void entry_add_foreign(struct world *world)
{
	struct made *made = entry_add(world, MODEL_CHANGE_TOKEN_BOOT);
	made->change.actor = (struct kms_id){{0}};
	made->change.u.token_boot.token = token_id(0);
	made->change.u.token_boot.boot = world->count;
	made->hidden = true;
}

/* One version of a key: intent, and result with its births; kek: its KEK in the first token. */
static inline void entry_add_version(struct world *world, int kek)
{
	const struct format_erase_kek *first = &world->keks[kek];
	struct made *intent = entry_add(world, MODEL_CHANGE_KEY_INTENT);
	intent->change.u.key_intent.version = first->version;
	intent->change.u.key_intent.key = (struct model_key){.id = first->key,
		.tenant = id_of(ID_TENANT),
		.custodian = id_of(ID_EXECUTOR),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.state = first->version == 1 ? MODEL_STATE_PRE_ACTIVATION : MODEL_STATE_ACTIVE,
		.version = first->version - 1,
		.created_unix_ms = intent->unix_ms,
		.token_count = TOKENS,
		.tokens = {token_id(0), token_id(1)}};
	struct made *result = entry_add(world, MODEL_CHANGE_KEY_RESULT);
	result->kek = kek;
	result->change.u.key_result.key = first->key;
	result->change.u.key_result.version = first->version;
	result->change.u.key_result.made = true;
	result->change.u.key_result.birth_count = TOKENS;
	for (int i = 0; i < TOKENS; i++) {
		int of = kek + i * (KEKS / TOKENS);
		struct model_birth *birth = &result->change.u.key_result.births[i];
		intent->change.u.key_intent.keks[i] = world->births[of].statement.u.birth.kek;
		birth->token = world->births[of].statement.token;
		birth->kek = world->births[of].statement.u.birth.kek;
		birth->commitment = world->births[of].statement.u.birth.commitment;
		statement_sign(&world->births[of], &birth->statement);
	}
}

static inline void entry_add_state(struct world *world)
{
	struct made *made = entry_add(world, MODEL_CHANGE_KEY_STATE);
	made->change.u.key_state.key = id_of(ID_KEY_0);
	made->change.u.key_state.event = MODEL_EVENT_SUSPEND;
	made->change.u.key_state.state = MODEL_STATE_SUSPENDED;
}

/* About the first key, and no link of its chain. */
static inline void entry_add_dataset(struct world *world)
{
	struct made *made = entry_add(world, MODEL_CHANGE_DATASET_ADD);
	made->hidden = true;
	made->change.u.dataset_add = (struct model_dataset){.id = id_of(ID_DATASET),
		.tenant = id_of(ID_TENANT),
		.key = id_of(ID_KEY_0),
		.custodian = id_of(ID_EXECUTOR),
		.medium = "volume",
		.serial = "SN-1",
		.site = "Osaka",
		.country = "JP"};
}

static inline void entry_add_request(struct world *world)
{
	struct made *made = entry_add(world, MODEL_CHANGE_ERASE_REQUEST);
	made->change.actor = world->erase.requester;
	made->change.tenant = world->erase.tenant;
	ck_ok(kms_buf_copy(
		kms_buf_bytes(&world->erase_bytes), &made->change.u.erase_request.bytes));
	ck_ok(kms_buf_copy(
		kms_buf_bytes(world->requester_cert), &made->change.u.erase_request.certificate));
	bundle_sign(world->requester_by, kms_buf_bytes(&world->erase_bytes),
		made->change.u.erase_request.signature);
}

static inline struct made *entry_add_approval(struct world *world, const struct approval *approval)
{
	struct made *made = entry_add(world, MODEL_CHANGE_ERASE_APPROVE);
	struct model_signed *by = &made->change.u.erase_signed.by;
	made->change.actor = by->principal = id_of(approval->principal);
	made->change.u.erase_signed.erasure = world->erase.erasure;
	ck_ok(kms_buf_copy(kms_buf_bytes(&signer_spkis[approval->by]), &by->spki));
	bundle_sign(approval->by,
		approval->other_bytes ? kms_bytes_str("another plan")
				      : kms_buf_bytes(&world->erase_bytes),
		by->signature);
	return made;
}

static inline void entry_add_cancel(struct world *world)
{
	KMS_AUTO_BUF bytes = {0};
	struct made *made = entry_add(world, MODEL_CHANGE_ERASE_CANCEL);
	struct model_signed *by = &made->change.u.erase_signed.by;
	ck_ok(format_erase_cancel_write(&world->erase.erasure, &world->erase_hash, &bytes));
	made->change.actor = by->principal = id_of(ID_REQUESTER);
	made->change.u.erase_signed.erasure = world->erase.erasure;
	ck_ok(kms_buf_copy(kms_buf_bytes(&signer_spkis[SIGNER_REQUESTER]), &by->spki));
	bundle_sign(SIGNER_REQUESTER, kms_buf_bytes(&bytes), by->signature);
}

static inline struct made *entry_add_step(struct world *world, enum model_change_type type)
{
	struct made *made = entry_add(world, type);
	made->change.u.erase_step.erasure = world->erase.erasure;
	made->change.u.erase_step.erase =
		type == MODEL_CHANGE_ERASE_INTENT ? world->erase_hash : (struct kms_hash){{0}};
	return made;
}

static inline void entry_add_result(struct world *world, int i)
{
	struct made *made = entry_add(world, MODEL_CHANGE_ERASE_RESULT);
	const struct format_erased *what = &world->destroys[i].statement.u.destroy.what;
	made->kek = i;
	made->change.u.erase_done.erasure = what->erasure;
	made->change.u.erase_done.token = world->destroys[i].statement.token;
	made->change.u.erase_done.key = what->key;
	made->change.u.erase_done.kek = what->kek;
	made->change.u.erase_done.version = what->version;
	statement_sign(&world->destroys[i], &made->change.u.erase_done.statement);
	statement_sign(&world->absences[i], &made->change.u.erase_done.absence);
}

static inline void entry_add_wipe(struct world *world, int i)
{
	struct made *made = entry_add(world, MODEL_CHANGE_ERASE_WIPE);
	made->change.u.erase_done.erasure = world->wipes[i].statement.u.wipe.erasure;
	made->change.u.erase_done.token = world->wipes[i].statement.token;
	statement_sign(&world->wipes[i], &made->change.u.erase_done.statement);
}

static inline void world_append(struct world *world)
{
	entry_add_foreign(world);
	entry_add_version(world, 0);
	entry_add_version(world, 2);
	entry_add_state(world);
	entry_add_dataset(world);
	entry_add_version(world, 1);
	entry_add_request(world);
	for (uint32_t i = 0; i < world->approval_count; i++) {
		(void)entry_add_approval(world, &world->approvals[i]);
	}
	entry_add_foreign(world);
	(void)entry_add_step(world, MODEL_CHANGE_ERASE_INTENT);
	for (int i = 0; i < KEKS; i++) {
		entry_add_result(world, i);
	}
	for (int i = 0; i < TOKENS; i++) {
		entry_add_wipe(world, i);
	}
	(void)entry_add_step(world, MODEL_CHANGE_ERASE_FINAL);
	bend(world, STAGE_ENTRIES);
}

/* ---- heads and leaves ---- */

static inline void entry_write(struct world *world, struct made *made, uint64_t seq)
{
	struct kms_id key, other;
	made->head = (struct record_head){
		.log = ORIGIN, .seq = seq, .unix_ms = made->unix_ms, .node = id_of(ID_NODE)};
	bool has_key = record_change_key(&made->change, &key);
	for (size_t i = 0; has_key && i < seq && i < world->count; i++) {
		if (record_change_link(&world->entries[i].change, &other) &&
			kms_id_equal(&key, &other)) {
			made->head.has_previous = true;
			made->head.previous_seq = i;
			made->head.previous_leaf = world->entries[i].leaf;
		}
	}
	world->at = seq;
	bend(world, STAGE_HEAD);
	ck_ok(record_entry_write(&made->head, &made->change, &made->json));
	ck_ok(tlog_leaf_hash(kms_buf_bytes(&made->json), &made->leaf));
}

static inline void world_write(struct world *world)
{
	for (size_t i = 0; i < world->count; i++) {
		entry_write(world, &world->entries[i], i);
	}
}

/* ---- bends' helpers ---- */

/* The n-th entry of that type. */
static inline size_t entry_find(const struct world *world, enum model_change_type type, size_t n)
{
	for (size_t i = 0; i < world->count; i++) {
		if (world->entries[i].change.type == type && n-- == 0) {
			return i;
		}
	}
	ck_abort_msg("no such entry");
	return 0;
}

static inline void entry_drop(struct world *world, size_t at)
{
	model_change_free(&world->entries[at].change);
	memmove(&world->entries[at], &world->entries[at + 1],
		(world->count - at - 1) * sizeof(world->entries[0]));
	memset(&world->entries[--world->count], 0, sizeof(world->entries[0]));
}

/* Take entry `from` out and put it in at `to`; times stay with their places. */
static inline void entry_move(struct world *world, size_t from, size_t to)
{
	static struct made moved;
	moved = world->entries[from];
	if (from < to) {
		memmove(&world->entries[from], &world->entries[from + 1],
			(to - from) * sizeof(moved));
	} else {
		memmove(&world->entries[to + 1], &world->entries[to], (from - to) * sizeof(moved));
	}
	world->entries[to] = moved;
	for (size_t i = 0; i < world->count; i++) {
		world->entries[i].unix_ms = world->start_ms + (int64_t)i * 1000;
	}
}

static inline void made_clear(struct made *made)
{
	model_change_free(&made->change);
	kms_buf_free(&made->json);
}

static inline void world_free(struct world *world)
{
	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		made_clear(&world->entries[i]);
	}
	made_clear(&world->issue);
	for (size_t i = 0; i < world->file_count; i++) {
		kms_buf_free(&world->files[i].bytes);
	}
	kms_buf_free(&world->erase_bytes);
	kms_buf_free(&world->certificate_json);
	kms_buf_free(&world->note);
	kms_buf_free(&world->manifest);
	doc_free(&world->certificate);
	free(world);
}

#endif
