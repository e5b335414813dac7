/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An erasure that a kms-tokend must find approved, with keys of its requester, approvers, ledger
 * and a peer token; tests change one thing of it.
 */
#ifndef TOKEND_ERASE_FIXTURE_H
#define TOKEND_ERASE_FIXTURE_H

#include "tokend_fixture.h"

enum { APPROVERS = 3 };

static struct crypto_signer *approver_keys[APPROVERS], *ledger_key, *peer_key;
static struct kms_buf approver_spki[APPROVERS], ledger_spki, peer_spki;
static char owner_lines[2048];
static char reason[LIMIT_REASON + 1];
static int64_t destroy_unix_ms; /* of the last destroy statement */

/* What is signed, and what goes to kms-tokend. */
static struct format_erase erase;
static struct format_erase_kek erase_keks[8];
static struct model_erase_order order;
static struct kms_buf bytes, requester_der, checkpoint;
static struct kms_hash erase_hash;
static const char *requester; /* name of a certificate */
static char entry_text[512];

static inline void new_key(const char *name, struct crypto_signer **ret_key, struct kms_buf *spki)
{
	ck_ok(crypto_signer_generate(path_of("%s/%s.key", certs, name), ret_key));
	ck_ok(crypto_signer_spki(*ret_key, spki));
}

static inline struct kms_id approver_id(uint8_t i)
{
	return sample_id((uint8_t)(0xa0 + i));
}

static inline void add_vkey(
	struct kms_writer *lines, const char *before, const char *name, const struct kms_buf *spki)
{
	struct tlog_vkey vkey;
	char *text KMS_AUTO_FREE = NULL;
	ck_ok(tlog_vkey_make(name, kms_buf_bytes(spki), &vkey));
	ck_ok(tlog_vkey_text(&vkey, &text));
	kms_write_format(lines, "%s%s'\n", before, text);
}

/* Certificates, keys, and the lines of the owner's file that pin them. */
static inline void make_people(void)
{
	char id_text[KMS_ID_TEXT], hex[KMS_HASH_TEXT], name[64];
	struct kms_writer lines = kms_writer_fixed(owner_lines, sizeof(owner_lines));
	const struct kms_id peer = sample_id(0xee);
	make_certs();
	new_key("ledger", &ledger_key, &ledger_spki);
	add_vkey(&lines, "ledger: '", ORIGIN, &ledger_spki);
	kms_write_text(&lines, "approvals:\n  needed: 2\n  keys:\n");
	for (uint8_t i = 0; i < APPROVERS; i++) {
		struct kms_hash hash;
		const struct kms_id id = approver_id(i);
		if (i == APPROVERS - 1) { /* one who is a custodian with the same key */
			ck_ok(crypto_signer_read(
				path_of("%s/plain.key", certs), &approver_keys[i]));
			ck_ok(crypto_signer_spki(approver_keys[i], &approver_spki[i]));
		} else {
			new_key(path_of("approval-%d", i), &approver_keys[i], &approver_spki[i]);
		}
		ck_ok(crypto_sha256_one(kms_buf_bytes(&approver_spki[i]), &hash));
		kms_write_format(&lines, "  - '%s %s'\n", kms_id_text(&id, id_text),
			kms_hash_text(&hash, hex));
	}
	new_key("peer", &peer_key, &peer_spki);
	(void)snprintf(name, sizeof(name), "kms-token-%s", kms_id_text(&peer, id_text));
	add_vkey(&lines, path_of("peers:\n- '%s ", id_text), name, &peer_spki);
	kms_write_u8(&lines, 0);
	struct kms_bytes all;
	ck_ok(kms_writer_bytes(&lines, &all));
}

static inline void drop_people(void)
{
	crypto_signer_free(&ledger_key);
	crypto_signer_free(&peer_key);
	kms_buf_free(&ledger_spki);
	kms_buf_free(&peer_spki);
	for (size_t i = 0; i < APPROVERS; i++) {
		crypto_signer_free(&approver_keys[i]);
		kms_buf_free(&approver_spki[i]);
	}
	drop_certs();
}

/* Two versions of one key and one of another, committed. */
static inline void fresh_erase(void)
{
	init_with(false, owner_lines);
	ck_ok(start());
	born(0x10, 0x20, 1);
	ck_ok(commit(0x10));
	born(0x11, 0x20, 2);
	ck_ok(commit(0x11));
	born(0x12, 0x21, 1);
	ck_ok(commit(0x12));
}

static inline struct kek *kek_of(uint8_t kek)
{
	const struct kms_id id = sample_id(kek);
	struct kek *found = keks_find(tokend->keks, &id);
	ck_assert_ptr_nonnull(found);
	return found;
}

static inline void add_kek(uint8_t kek)
{
	const struct kek *here = kek_of(kek);
	erase.keks[erase.kek_count++] = (struct format_erase_kek){tokend->token, here->birth.kek,
		here->birth.key, here->birth.version, here->birth.commitment};
}

/* An erasure of key 0x20, whose window is open. */
static inline void draft(void)
{
	erase = (struct format_erase){
		.origin = ORIGIN,
		.erasure = sample_id(0xe1),
		.tenant = tenant_id(),
		.requester = sample_id(0xc1),
		.scope = MODEL_ERASE_KEY,
		.subject = sample_id(0x20),
		.plan = sample_hash(0x44),
		.not_before_unix_s = kms_now_unix_ms() / 1000 - 10,
		.expires_unix_s = kms_now_unix_ms() / 1000 + 3600,
		.keks = erase_keks,
	};
	requester = "plain";
	entry_text[0] = '\0';
	add_kek(0x10);
	add_kek(0x11);
}

/* The same for everything: a scope that may hold several keys. */
static inline void draft_tenant(void)
{
	draft();
	erase.scope = MODEL_ERASE_TENANT;
	erase.subject = erase.tenant;
	add_kek(0x12);
}

/* And the token. */
static inline void draft_wipe(void)
{
	draft_tenant();
	erase.wipe_count = 1;
	erase.wipes[0] = tokend->token;
}

static inline void sign_bytes(
	const struct crypto_signer *key, struct kms_bytes what, uint8_t ret[MODEL_SIGNATURE])
{
	ck_ok(crypto_sign(key, what, ret));
}

static inline void approve(uint32_t at, uint8_t approver)
{
	order.approvals[at].approver = approver_id(approver);
	order.approvals[at].spki = kms_buf_bytes(&approver_spki[approver]);
	sign_bytes(approver_keys[approver], order.erase, order.approvals[at].signature);
}

static inline void sign_as_requester(const char *name)
{
	KMS_AUTO(crypto_signer) key = NULL;
	KMS_AUTO(crypto_cert) cert = NULL;
	ck_ok(crypto_signer_read(path_of("%s/%s.key", certs, name), &key));
	ck_ok(crypto_cert_read(path_of("%s/%s.pem", certs, name), &cert));
	kms_buf_free(&requester_der);
	ck_ok(crypto_cert_der(cert, &requester_der));
	order.certificate = kms_buf_bytes(&requester_der);
	sign_bytes(key, order.erase, order.signature);
}

/* The intent as leaf 1 of a log of two, under a checkpoint of that key and origin. */
static inline void record_as(const char *origin, const struct crypto_signer *key)
{
	static struct tlog_checkpoint head;
	struct tlog_vkey vkey;
	struct kms_hash leaf;
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_AUTO_BUF text = {0};
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_BUF line = {0};
	order.entry = kms_bytes_str(entry_text);
	order.index = 1;
	order.proof_count = 1;
	order.proof[0] = sample_hash(0x77);
	memset(&head, 0, sizeof(head));
	(void)strcpy(head.origin, origin);
	head.size = 2;
	ck_ok(tlog_leaf_hash(order.entry, &leaf));
	ck_ok(tlog_node_hash(&order.proof[0], &leaf, &head.root));
	ck_ok(tlog_checkpoint_text(&head, &text));
	ck_ok(crypto_signer_spki(key, &spki));
	ck_ok(tlog_vkey_make(origin, kms_buf_bytes(&spki), &vkey));
	ck_ok(crypto_sign(key, kms_buf_bytes(&text), raw));
	ck_ok(crypto_sig_raw_to_der(raw, &der));
	ck_ok(tlog_note_line(&vkey, kms_buf_bytes(&der), &line));
	KMS_AUTO_WRITER note = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_bytes(&note, kms_buf_bytes(&text));
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	kms_buf_free(&checkpoint);
	ck_ok(kms_writer_take(&note, &checkpoint));
	order.checkpoint = kms_buf_bytes(&checkpoint);
}

static inline void intent_text(const char *type, const struct kms_hash *hash)
{
	char hex[KMS_HASH_TEXT];
	(void)snprintf(entry_text, sizeof(entry_text),
		"{\"data\":{\"erase\":\"%s\",\"erasure\":\"x\"},\"type\":\"%s\"}",
		kms_hash_text(hash, hex), type);
}

/* Sign the draft by everybody who must, and record its intent. */
static inline void sign_draft(void)
{
	memset(&order, 0, sizeof(order));
	kms_buf_free(&bytes);
	ck_ok(format_erase_write(&erase, &bytes));
	order.erase = kms_buf_bytes(&bytes);
	ck_ok(crypto_sha256_one(order.erase, &erase_hash));
	sign_as_requester(requester);
	order.approval_count = 2;
	approve(0, 0);
	approve(1, 1);
	intent_text("destroy.execute.intent", &erase_hash);
	record_as(ORIGIN, ledger_key);
}

static inline kms_err open_it(void)
{
	memset(reason, 0, sizeof(reason));
	return erase_open(tokend, &order, reason);
}

/* Refused, for that reason, and nothing is held. */
static inline void refused_for(const char *why)
{
	ck_code(open_it(), TOKEN_REFUSED);
	ck_assert_msg(strstr(reason, why) != NULL, "'%s' says nothing of '%s'", reason, why);
	ck_assert_ptr_null(erasures_find(tokend->erasures, &erase.erasure));
}

static inline kms_err erase_one(
	uint8_t kek, struct format_destroy *destroy, struct format_absence *absence)
{
	const struct kms_id id = sample_id(kek);
	KMS_AUTO_BUF file = {0};
	struct kms_bytes one, two, spki = kms_buf_bytes(&tokend->statement_spki);
	struct format_statement said;
	KMS_TRY(erase_kek(tokend, &erase.erasure, &id, &file, &one, &two, reason));
	ck_ok(format_statement_verify(one, spki, &said));
	ck_assert_int_eq(said.type, FORMAT_STATEMENT_DESTROY);
	ck_assert(kms_id_equal(&said.token, &tokend->token));
	*destroy = said.u.destroy;
	destroy_unix_ms = said.unix_ms;
	ck_ok(format_statement_verify(two, spki, &said));
	ck_assert_int_eq(said.type, FORMAT_STATEMENT_ABSENCE);
	*absence = said.u.absence;
	return KMS_OK;
}

static inline kms_err erase_it(uint8_t kek)
{
	struct format_destroy destroy;
	struct format_absence absence;
	return erase_one(kek, &destroy, &absence);
}

static inline bool in_token(uint8_t kek)
{
	const struct kms_id id = sample_id(kek);
	struct p11_kek object;
	kms_err err = p11_kek_find(tokend->p11, &id, &object);
	ck_assert(kms_is_ok(err) || kms_is(err, KMS_CODE_NOT_FOUND));
	return kms_is_ok(err);
}

/* What a data key under that key answers. */
static inline enum kms_code use_of(uint8_t key)
{
	static struct format_item item;
	static struct format_answer_item answer;
	static struct model_counted_use use;
	static struct model_context pairs;
	const struct kms_id tenant = tenant_id();
	struct session session = {.kind = SESSION_SEALED};
	KMS_AUTO(kms_secret) data_key = NULL;
	KMS_AUTO_BUF context = {0};
	memset(&pairs, 0, sizeof(pairs));
	ck_ok(format_context_write(&pairs, &tenant, &context));
	item = (struct format_item){
		.head = {MODEL_CUSTODY_ANY, MODEL_DELIVERY_SEALED, sample_id(key), sample_id(1),
			{{0}}},
		.token_count = 1,
		.tokens = {tokend->token},
		.context = kms_buf_bytes(&context),
	};
	ck_ok(operate(tokend, &session, MODEL_OP_DATAKEY, &item, &answer, &use, &data_key));
	return answer.code;
}

static inline enum model_held_life listed(uint8_t kek)
{
	struct model_held_kek *rows KMS_AUTO_FREE = NULL;
	uint32_t count;
	const struct kms_id from = {{0}}, id = sample_id(kek);
	ck_ok(keks_list(tokend->keks, &from, &rows, &count));
	for (uint32_t i = 0; i < count; i++) {
		if (kms_id_equal(&rows[i].kek, &id)) {
			return rows[i].life;
		}
	}
	ck_abort_msg("not listed");
}

#endif
