/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a double of kmsd has for an erasure: the people's signatures, the ledger, the system token
 * that signs its heads, and a tenant's token with two keys. A test bends one of these; whatever it
 * does not bend is as it should be, so that only the lie is there to refuse.
 */
#ifndef MALICE_ERASE_H
#define MALICE_ERASE_H

#include "malice_house.h"
#include "tlog.h"

#define ORIGIN "platform.example/kmsd/malice"
#define PEER "bbbbbbbb-0000-4000-8000-0000000000bb"
enum { LEAVES = 8, LEVELS = 4, APPROVERS = 3, KEKS = 4, HOUR_S = 3600 };

/* ---- two kms-tokends ---- */

static pid_t system_tokend;
static struct toklink *system_link;

/* The next questions go to the other one. */
static inline void swap_tokends(void)
{
	pid_t pid = tokend;
	struct toklink *link = link_to;
	tokend = system_tokend;
	link_to = system_link;
	system_tokend = pid;
	system_link = link;
}

/* ---- the ledger: real heads, signed by the system token ---- */

static struct kms_hash nodes[LEVELS][LEAVES];
static struct tlog_edge edge;
static uint64_t signed_size; /* of the last head */
static struct kms_buf head;  /* its note */

static inline kms_err read_node(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret)
{
	(void)ctx;
	*ret = nodes[level][index];
	return KMS_OK;
}

static inline void ledger_append(struct kms_bytes entry)
{
	static struct tlog_node filled[TLOG_LEVELS];
	struct kms_hash leaf;
	unsigned count = 0;
	ck_ok(tlog_leaf_hash(entry, &leaf));
	ck_ok(tlog_edge_append(&edge, &leaf, filled, &count));
	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_lt(filled[i].index, LEAVES);
		nodes[filled[i].level][filled[i].index] = filled[i].hash;
	}
}

static inline void ledger_checkpoint(struct kms_buf *ret_text)
{
	struct tlog_checkpoint checkpoint = {.origin = ORIGIN, .size = edge.size};
	ck_ok(tlog_edge_root(&edge, &checkpoint.root));
	ck_ok(tlog_checkpoint_text(&checkpoint, ret_text));
}

static inline void ledger_sign(void)
{
	static struct tlog_proof proof;
	KMS_AUTO_BUF text = {0};
	ledger_checkpoint(&text);
	proof.count = 0;
	if (signed_size > 0) {
		ck_ok(tlog_prove_consistency(read_node, NULL, signed_size, edge.size, &proof));
	}
	question.u.head_sign.checkpoint = kms_buf_bytes(&text);
	question.u.head_sign.proof_count = proof.count;
	memcpy(question.u.head_sign.proof, proof.hashes, sizeof(proof.hashes));
	swap_tokends();
	ck_ok(tell(TOKMSG_HEAD_SIGN));
	swap_tokends();
	signed_size = edge.size;
	kms_buf_free(&head);
	ck_ok(kms_buf_copy(answer.u.bytes, &head));
}

/* The same checkpoint under a name that is right and a key that is the double's. */
static inline void ledger_sign_as(const struct crypto_signer *key, struct kms_buf *ret_note)
{
	struct tlog_vkey vkey;
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	ledger_checkpoint(&text);
	ck_ok(crypto_signer_spki(key, &spki));
	ck_ok(tlog_vkey_make(ORIGIN, kms_buf_bytes(&spki), &vkey));
	ck_ok(crypto_sign(key, kms_buf_bytes(&text), raw));
	ck_ok(crypto_sig_raw_to_der(raw, &der));
	ck_ok(tlog_note_line(&vkey, kms_buf_bytes(&der), &line));
	KMS_AUTO_WRITER note = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_bytes(&note, kms_buf_bytes(&text));
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	ck_ok(kms_writer_take(&note, ret_note));
}

/* ---- keys, each with a data key that was wrapped before anything was tried ---- */

struct held {
	struct model_bear birth;
	struct kms_hash commitment;
	struct ask ask;
	uint8_t data_key[LIMIT_DATA_KEY_BYTES];
};
static struct held good, other;

static inline void held_make(struct held *held)
{
	struct client client;
	struct format_statement born;
	struct kms_bytes signed_part, signature;
	held->birth = birth_of(MODEL_DELIVERY_SEALED);
	ck_ok(bear(&held->birth));
	ck_ok(format_statement_read(answer.u.bytes, &born, &signed_part, &signature));
	held->commitment = born.u.birth.commitment;
	ck_ok(about_kek(TOKMSG_KEK_COMMIT, &held->birth.kek));
	client_open(&client, "storage");
	ask_make(&held->ask, &client, &held->birth, 1);
	ck_ok(ask_send(&held->ask));
	ck_assert_int_eq(held->ask.codes[0], KMS_CODE_OK);
	memcpy(held->data_key, held->ask.keys[0], sizeof(held->data_key));
	client_close(&client);
}

/* What an honest client gets for its old data key. */
static inline enum kms_code unwrap(struct held *held)
{
	struct client client;
	client_open(&client, "storage");
	held->ask.client = &client;
	held->ask.outside.session = client.session;
	memset(held->ask.keys[0], 0, sizeof(held->ask.keys[0]));
	ask_again(&held->ask, MODEL_OP_UNWRAP);
	kms_err err = ask_send(&held->ask); /* a token that is wiped refuses as a whole */
	enum kms_code code = kms_is_ok(err) ? held->ask.codes[0] : err.code;
	if (code == KMS_CODE_OK) {
		ck_assert_mem_eq(held->data_key, held->ask.keys[0], sizeof(held->data_key));
	}
	client_close(&client);
	return code;
}

static inline void lives(struct held *held)
{
	enum kms_code code = unwrap(held);
	ck_assert_msg(code == KMS_CODE_OK, "%s", kms_err_name((kms_err){code}));
}

static inline void is_erased(struct held *held)
{
	ck_assert_int_eq(unwrap(held), KMS_CODE_ERASED);
}

/* ---- what is signed ---- */

static struct format_erase erase;
static struct format_erase_kek rows[KEKS];
static struct model_erase_order order;
static struct kms_buf erase_bytes, spkis[APPROVERS], certificate, late;
static struct crypto_signer *keys[APPROVERS], *own_key, *peer_key;
static char entry[512];
/* As tests/flow/malice-house writes them in the owner's file. */
static const char *const approver_ids[APPROVERS] = {"a1a1a1a1-0000-4000-8000-0000000000a1",
	"a2a2a2a2-0000-4000-8000-0000000000a2", "a3a3a3a3-0000-4000-8000-0000000000a3"};

/* In its place: they are sorted. */
static inline void add_row(const struct format_erase_kek *row)
{
	uint32_t at = erase.kek_count++;
	for (; at > 0 && memcmp(row, &rows[at - 1], offsetof(struct format_erase_kek, key)) < 0;
		at--) {
		rows[at] = rows[at - 1];
	}
	rows[at] = *row;
}

static inline struct format_erase_kek row_of(const struct held *held)
{
	return (struct format_erase_kek){.token = token,
		.kek = held->birth.kek,
		.key = held->birth.key,
		.version = held->birth.version,
		.commitment = held->commitment};
}

static inline void add_kek(const struct held *held)
{
	const struct format_erase_kek row = row_of(held);
	add_row(&row);
}

/* An erasure whose waiting time is over and whose approvals have not expired; of nothing yet. */
static inline void draft_of(enum model_erase_scope scope, const struct kms_id *subject)
{
	int64_t now = kms_now_unix_ms() / 1000;
	erase = (struct format_erase){
		.origin = ORIGIN,
		.tenant = tenant,
		.scope = scope,
		.subject = *subject,
		.plan = {{0x44}},
		.not_before_unix_s = now - 10,
		.expires_unix_s = now + HOUR_S,
		.keks = rows,
	};
	ck_ok(kms_id_random(&erase.erasure));
	ck_ok(kms_id_random(&erase.requester));
}

static inline void draft(void)
{
	draft_of(MODEL_ERASE_KEY, &good.birth.key);
	add_kek(&good);
}

/* The end of the contract: every key. */
static inline void draft_tenant(bool wipe)
{
	draft_of(MODEL_ERASE_TENANT, &tenant);
	add_kek(&good);
	add_kek(&other);
	erase.wipe_count = wipe ? 1 : 0;
	erase.wipes[0] = token;
}

static inline void write_bytes(void)
{
	kms_buf_free(&erase_bytes);
	ck_ok(format_erase_write(&erase, &erase_bytes));
	order.erase = kms_buf_bytes(&erase_bytes);
}

static inline void request_as(const char *name)
{
	char path[64];
	KMS_AUTO(crypto_signer) key = NULL;
	KMS_AUTO(crypto_cert) cert = NULL;
	(void)snprintf(path, sizeof(path), "%s.key", name);
	ck_ok(crypto_signer_read(path, &key));
	(void)snprintf(path, sizeof(path), "%s.pem", name);
	ck_ok(crypto_cert_read(path, &cert));
	kms_buf_free(&certificate);
	ck_ok(crypto_cert_der(cert, &certificate));
	order.certificate = kms_buf_bytes(&certificate);
	ck_ok(crypto_sign(key, order.erase, order.signature));
}

/* The approval at that place is that approver's. */
static inline void approve(uint32_t at, uint32_t approver)
{
	ck_ok(kms_id_parse(approver_ids[approver], &order.approvals[at].approver));
	order.approvals[at].spki = kms_buf_bytes(&spkis[approver]);
	ck_ok(crypto_sign(keys[approver], order.erase, order.approvals[at].signature));
}

static inline void sign_people(void)
{
	request_as("custodian");
	order.approval_count = 2;
	approve(0, 0);
	approve(1, 1);
}

/* An entry of that type about these bytes goes into the ledger, and its proof into the order. */
static inline void record(const char *type)
{
	static struct tlog_proof proof;
	struct kms_hash hash;
	char hex[KMS_HASH_TEXT], id[KMS_ID_TEXT];
	ck_ok(crypto_sha256_one(order.erase, &hash));
	(void)snprintf(entry, sizeof(entry),
		"{\"data\":{\"erase\":\"%s\",\"erasure\":\"%s\"},\"type\":\"%s\"}",
		kms_hash_text(&hash, hex), kms_id_text(&erase.erasure, id), type);
	order.entry = kms_bytes_str(entry);
	ledger_append(order.entry);
	ledger_sign();
	order.index = edge.size - 1;
	ck_ok(tlog_prove_inclusion(read_node, NULL, order.index, edge.size, &proof));
	order.proof_count = proof.count;
	memcpy(order.proof, proof.hashes, sizeof(order.proof));
	order.checkpoint = kms_buf_bytes(&head);
}

#define INTENT "destroy.execute.intent"

/* By everybody who must, and recorded. */
static inline void sign_draft(void)
{
	memset(&order, 0, sizeof(order));
	write_bytes();
	sign_people();
	record(INTENT);
}

/* The draft was changed after the people had signed: all is new but their signatures. */
static inline void change_signed(void)
{
	write_bytes();
	record(INTENT);
}

/* ---- what kmsd can say ---- */

static inline kms_err say_open(void)
{
	question.u.erase_open = &order;
	return tell(TOKMSG_ERASE_OPEN);
}

static inline kms_err say_row(const struct format_erase_kek *row)
{
	question.u.erase.erasure = erase.erasure;
	question.u.erase.kek = row->kek;
	return tell(TOKMSG_ERASE_KEK);
}

static inline kms_err say_kek(const struct held *held)
{
	const struct format_erase_kek row = row_of(held);
	return say_row(&row);
}

static inline kms_err say_wipe(void)
{
	question.u.erase.erasure = erase.erasure;
	memset(&question.u.erase.kek, 0, sizeof(question.u.erase.kek));
	return tell(TOKMSG_ERASE_WIPE);
}

/* By the first approver: the double brings what it had rather kept. */
static inline kms_err say_cancel(void)
{
	struct kms_hash hash;
	KMS_AUTO_BUF text = {0};
	ck_ok(crypto_sha256_one(order.erase, &hash));
	ck_ok(format_erase_cancel_write(&erase.erasure, &hash, &text));
	question.u.erase_cancel.erase = order.erase;
	question.u.erase_cancel.spki = kms_buf_bytes(&spkis[0]);
	question.u.erase_cancel.certificate = (struct kms_bytes){0};
	ck_ok(crypto_sign(keys[0], kms_buf_bytes(&text), question.u.erase_cancel.signature));
	return tell(TOKMSG_ERASE_CANCEL);
}

/* ---- what each refusal leaves as it was ---- */

/* Refused for that reason. What was not opened does not destroy either, whatever is asked next. */
static inline void open_fails(enum kms_code code, const char *reason)
{
	kms_err err = say_open();
	ck_assert_msg(
		err.code == code, "%s, not %s", kms_err_name(err), kms_err_name((kms_err){code}));
	ck_assert_str_eq(answer.reason, reason);
	ck_code(say_kek(&good), NOT_FOUND);
	ck_code(say_kek(&other), NOT_FOUND);
	ck_code(say_wipe(), NOT_FOUND);
	lives(&good);
	lives(&other);
}

static inline void open_refused(const char *reason)
{
	open_fails(KMS_CODE_TOKEN_REFUSED, reason);
}

/* A statement of the token itself, of that type, about these bytes. */
static inline void check_said(
	struct kms_bytes statement, enum format_statement_type type, struct format_statement *ret)
{
	char pin[512];
	struct tlog_vkey vkey;
	house_pin("acme/token/pins.yaml", "statement_key", pin);
	ck_ok(tlog_vkey_parse(pin, &vkey));
	ck_ok(format_statement_verify(
		statement, (struct kms_bytes){vkey.spki, vkey.spki_len}, ret));
	ck_assert_int_eq(ret->type, type);
	ck_assert(kms_id_equal(&ret->token, &token));
}

static inline void destroys(struct held *held)
{
	struct format_statement said;
	ck_ok(say_kek(held));
	check_said(answer.u.erased.destroy, FORMAT_STATEMENT_DESTROY, &said);
	ck_assert(kms_id_equal(&said.u.destroy.what.kek, &held->birth.kek));
	ck_assert(kms_id_equal(&said.u.destroy.what.erasure, &erase.erasure));
	check_said(answer.u.erased.absence, FORMAT_STATEMENT_ABSENCE, &said);
	ck_assert_uint_eq(said.u.absence.matched, 0);
	is_erased(held);
}

/* Each test ends so: what was refused only lacked what this one has. */
static inline void an_approved_one_destroys_this_kek_only(void)
{
	draft();
	sign_draft();
	ck_ok(say_open());
	lives(&good);
	destroys(&good);
	lives(&other);
	ck_code(say_kek(&other), TOKEN_REFUSED);
	ck_code(say_wipe(), TOKEN_REFUSED);
	lives(&other);
}

/* ---- fixtures ---- */

/* A second token of the tenant, whose statements the owner's file pins: only its key is here. */
static inline void pin_peer(void)
{
	struct tlog_vkey vkey;
	char *text KMS_AUTO_FREE = NULL;
	KMS_AUTO_BUF spki = {0};
	ck_ok(crypto_signer_generate("peer.key", &peer_key));
	ck_ok(crypto_signer_spki(peer_key, &spki));
	ck_ok(tlog_vkey_make("kms-token-" PEER, kms_buf_bytes(&spki), &vkey));
	ck_ok(tlog_vkey_text(&vkey, &text));
	FILE *file = fopen("acme/erase.yaml", "a");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_gt(fprintf(file, "peers:\n- '" PEER " %s'\n", text), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static inline void erase_setup(void)
{
	static const char *const files[APPROVERS] = {
		"approver-1.key", "approver-2.key", "custodian.key"};
	copy_make();
	for (uint32_t i = 0; i < APPROVERS; i++) {
		ck_ok(crypto_signer_read(files[i], &keys[i]));
		ck_ok(crypto_signer_spki(keys[i], &spkis[i]));
	}
	ck_ok(crypto_signer_read("kmsds-approver.key", &own_key));
	pin_peer();
	edge = (struct tlog_edge){0};
	signed_size = 0;
	ledger_append(kms_bytes_str("{}"));
	tokend_start("system", "owner.yaml");
	swap_tokends();
	tokend_start("acme", "erase.yaml");
	held_make(&good);
	held_make(&other);
}

static inline void erase_teardown(void)
{
	struct kms_buf *bufs[] = {&head, &erase_bytes, &certificate, &late};
	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
		kms_buf_free(bufs[i]);
	}
	for (uint32_t i = 0; i < APPROVERS; i++) {
		crypto_signer_free(&keys[i]);
		kms_buf_free(&spkis[i]);
	}
	crypto_signer_free(&own_key);
	crypto_signer_free(&peer_key);
	swap_tokends();
	tokend_stop();
	swap_tokends();
	copy_remove();
}

#endif
