/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.json of a test's world, by the rules of docs/formats/bundle.md, from the entries as
 * they are: a bend before it is certified honestly, unless the bend is of the certificate.
 */
#ifndef BUNDLE_CERTIFICATE_H
#define BUNDLE_CERTIFICATE_H

#include "bundle_fixture.h"

static const char fixture_statement[] =
	"For every copy with a removal entry, the daemon of its token signed this: the "
	"key-encryption "
	"key with this id and commitment was destroyed with C_DestroyObject on the word of the "
	"requester and approvers listed here, and a search of the token no longer finds it, by id "
	"or "
	"by commitment. A test decryption that worked before failed afterwards as often as "
	"'verification' says. The signed words stand in the ledger at the entries listed. This is "
	"a "
	"record of what was done and answered. It is no more than that.";
static const char *const fixture_not_claimed[] = {
	"Clear, Purge or Destroy as in NIST SP 800-88 or IEEE 2883",
	"zeroization as in ISO/IEC 19790 or FIPS 140", "that the data is unrecoverable",
	"that no other copy of a key exists",
	"a FIPS 140, JCMVP or ISO/IEC 19790 status of any module",
	"that a person has reviewed the erasure and accepted the remaining risk"};

/* The entry that says this of a KEK; -1: none. */
static inline int seq_of_birth(const struct world *world, const struct kms_id *kek)
{
	for (size_t i = 0; i < world->count; i++) {
		const struct model_change *change = &world->entries[i].change;
		for (size_t j = 0; change->type == MODEL_CHANGE_KEY_RESULT &&
				   j < change->u.key_result.birth_count;
			j++) {
			if (kms_id_equal(&change->u.key_result.births[j].kek, kek)) {
				return (int)i;
			}
		}
	}
	return -1;
}

static inline int seq_of_done(
	const struct world *world, enum model_change_type type, const struct kms_id *id)
{
	for (size_t i = 0; i < world->count; i++) {
		const struct model_change *change = &world->entries[i].change;
		if (change->type == type &&
			kms_id_equal(type == MODEL_CHANGE_ERASE_WIPE ? &change->u.erase_done.token
								     : &change->u.erase_done.kek,
				id)) {
			return (int)i;
		}
	}
	return -1;
}

static inline void set_seq(struct doc *object, const char *name, int seq)
{
	if (seq < 0) {
		doc_set_null(object, name);
	} else {
		doc_set_int(object, name, seq);
	}
}

static inline bool erases_key(const struct world *world, const struct kms_id *key)
{
	for (uint32_t i = 0; i < world->erase.kek_count; i++) {
		if (kms_id_equal(&world->erase.keks[i].key, key)) {
			return true;
		}
	}
	return false;
}

/* Copies: every KEK that was born for a key of the signed bytes. */
static inline void set_copies(const struct world *world, struct doc *doc, bool *ret_all)
{
	struct doc *copies = doc_set_array(doc, "copies");
	*ret_all = true;
	for (size_t i = 0; i < KEKS; i++) {
		const struct format_erase_kek *kek = &world->keks[i];
		int born = seq_of_birth(world, &kek->kek);
		int removed = seq_of_done(world, MODEL_CHANGE_ERASE_RESULT, &kek->kek);
		if (born < 0 || !erases_key(world, &kek->key)) {
			continue;
		}
		struct doc *row = doc_add_object(copies);
		doc_set_id(row, "token", &kek->token);
		doc_set_id(row, "kek", &kek->kek);
		doc_set_id(row, "key", &kek->key);
		doc_set_int(row, "version", kek->version);
		doc_set_hash(row, "commitment", &kek->commitment);
		doc_set_int(row, "added_seq", born);
		set_seq(row, "removed_seq", removed);
		doc_set_text(row, "method", "C_DestroyObject");
		*ret_all = *ret_all && removed >= 0;
	}
}

static inline void set_key(const struct world *world, struct doc *keys, uint8_t key_byte)
{
	static const char *const counts[] = {"datakeys", "wraps", "unwraps", "rewraps"};
	struct kms_id key = id_of(key_byte);
	struct doc *row = doc_add_object(keys);
	struct doc *versions = doc_set_array(row, "versions");
	int created = -1, destroyed = 0;
	doc_set_id(row, "id", &key);
	for (size_t i = 0; i < world->count; i++) {
		const struct model_change *change = &world->entries[i].change;
		if (change->type == MODEL_CHANGE_KEY_INTENT && created < 0 &&
			kms_id_equal(&change->u.key_intent.key.id, &key)) {
			created = (int)i;
		}
		if (change->type == MODEL_CHANGE_KEY_RESULT &&
			kms_id_equal(&change->u.key_result.key, &key)) {
			doc_add_int(versions, change->u.key_result.version);
		}
	}
	for (size_t i = 0; i < KEKS; i++) {
		int removed = seq_of_done(world, MODEL_CHANGE_ERASE_RESULT, &world->keks[i].kek);
		if (kms_id_equal(&world->keks[i].key, &key) && destroyed >= 0 &&
			seq_of_birth(world, &world->keks[i].kek) >= 0) {
			destroyed = removed < 0 ? -1 : removed > destroyed ? removed : destroyed;
		}
	}
	doc_set_text(row, "level", "wrapping key");
	doc_set_int(row, "alg_bits", 256);
	set_seq(row, "created_seq", created < 0 ? 0 : created);
	doc_set_int(row, "created", world->entries[created < 0 ? 0 : created].unix_ms);
	set_seq(row, "destroyed_seq", destroyed);
	struct doc *uses = doc_set_object(row, "uses");
	for (size_t i = 0; i < 4; i++) {
		doc_set_int(uses, counts[i], 7);
	}
	doc_set_null(uses, "first");
	doc_set_null(uses, "last");
}

static inline void set_modules(struct doc *doc)
{
	struct doc *modules = doc_set_array(doc, "modules");
	for (uint32_t i = 0; i < TOKENS; i++) {
		struct kms_id token = token_id(i);
		struct doc *row = doc_add_object(modules);
		doc_set_id(row, "token", &token);
		doc_set_text(row, "manufacturer", "SoftHSM project");
		doc_set_text(row, "model", "SoftHSM v2");
		doc_set_text(row, "serial", i == 0 ? "serial-0" : "serial-1");
		doc_set_text(row, "firmware", "2.6");
		doc_set_text(row, "class", "software");
		doc_set_null(row, "certificate_no");
		doc_set_text(row, "organisation", "Customer");
		doc_set_text(row, "site", "Osaka");
		doc_set_text(row, "country", "JP");
	}
}

static inline bool is_event(const struct world *world, const struct model_change *change)
{
	switch ((int)change->type) {
	case MODEL_CHANGE_ERASE_REQUEST:
	case MODEL_CHANGE_ERASE_APPROVE:
	case MODEL_CHANGE_ERASE_CANCEL:
	case MODEL_CHANGE_ERASE_INTENT:
	case MODEL_CHANGE_ERASE_WIPE:
	case MODEL_CHANGE_ERASE_FINAL:
	case MODEL_CHANGE_LEASE_RECEIPT:
		return true;
	case MODEL_CHANGE_ERASE_RESULT:
		return kms_id_equal(&change->u.erase_done.erasure, &world->erase.erasure);
	default:
		return false;
	}
}

static inline void set_events(const struct world *world, struct doc *doc)
{
	struct doc *events = doc_set_array(doc, "events");
	int64_t requested = 0, executed = 0;
	for (size_t i = 0; i < world->count; i++) {
		const struct made *made = &world->entries[i];
		if (!is_event(world, &made->change) || made->hidden) {
			continue;
		}
		struct doc *row = doc_add_object(events);
		doc_set_text(row, "type", record_change_text(&made->change));
		doc_set_int(row, "seq", (int64_t)i);
		doc_set_hash(row, "leaf", &made->leaf);
		requested =
			made->change.type == MODEL_CHANGE_ERASE_REQUEST ? made->unix_ms : requested;
		executed =
			made->change.type == MODEL_CHANGE_ERASE_RESULT ? made->unix_ms : executed;
	}
	doc_set_int(doc, "requested", requested);
	doc_set_int(doc, "not_before", world->erase.not_before_unix_s * 1000);
	doc_set_int(doc, "expires", world->erase.expires_unix_s * 1000);
	if (executed == 0) {
		doc_set_null(doc, "executed");
	} else {
		doc_set_int(doc, "executed", executed);
	}
}

static inline void add_person(
	struct doc *persons, const char *role, const struct kms_id *id, const struct kms_buf *spki)
{
	struct kms_hash hash;
	struct doc *row = doc_add_object(persons);
	doc_set_text(row, "role", role);
	if (id == NULL) {
		doc_set_null(row, "id");
	} else {
		doc_set_id(row, "id", id);
	}
	if (spki == NULL) {
		doc_set_null(row, "spki");
	} else {
		ck_ok(crypto_sha256_one(kms_buf_bytes(spki), &hash));
		doc_set_hash(row, "spki", &hash);
	}
}

static inline void set_persons(const struct world *world, struct doc *doc)
{
	struct doc *persons = doc_set_array(doc, "persons");
	const struct model_change *intent = NULL;
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_BUF spki = {0};
	ck_ok(crypto_cert_parse_der(kms_buf_bytes(world->requester_cert), &cert));
	ck_ok(crypto_cert_spki(cert, &spki));
	add_person(persons, "requester", &world->erase.requester, &spki);
	for (size_t i = 0; i < world->count; i++) {
		const struct model_change *change = &world->entries[i].change;
		if (change->type == MODEL_CHANGE_ERASE_APPROVE && !world->entries[i].hidden) {
			add_person(persons, "approver", &change->u.erase_signed.by.principal,
				&change->u.erase_signed.by.spki);
		}
		intent = change->type == MODEL_CHANGE_ERASE_INTENT && intent == NULL ? change
										     : intent;
	}
	if (intent != NULL) {
		add_person(persons, "executor", &intent->actor, &signer_spkis[SIGNER_STRANGER]);
		for (uint32_t i = 0; i < TOKENS; i++) {
			struct kms_id token = token_id(i);
			add_person(persons, "verifier", &token, &signer_spkis[SIGNER_TOKEN_0 + i]);
		}
	}
	add_person(persons, "validator", NULL, NULL);
}

static inline void set_verification(const struct world *world, struct doc *doc)
{
	int absent = 0, failed = 0;
	for (size_t i = 0; i < world->count; i++) {
		const struct made *made = &world->entries[i];
		if (made->change.type != MODEL_CHANGE_ERASE_RESULT || made->kek < 0 ||
			!is_event(world, &made->change)) {
			continue;
		}
		const struct format_destroy *destroy =
			&world->destroys[made->kek].statement.u.destroy;
		absent += world->absences[made->kek].statement.u.absence.matched == 0;
		failed += destroy->canary_before && !destroy->canary_after;
	}
	struct doc *verification = doc_set_object(doc, "verification");
	doc_set_int(verification, "absent", absent);
	doc_set_int(verification, "canary_failed", failed);
	doc_add_text(doc_set_array(doc, "verification_not_done"), "much");
}

static inline void set_scope(const struct world *world, struct doc *doc)
{
	struct doc *scope = doc_set_object(doc, "scope");
	doc_set_text(scope, "kind", model_erase_scope_text(world->erase.scope));
	doc_set_id(scope, "subject", &world->erase.subject);
	doc_set_hash(scope, "plan", &world->erase.plan);
	doc_set_text(scope, "plaintext_before", "unknown");
	doc_add_text(doc_set_array(scope, "excluded"), "much");
	struct doc *media = doc_set_object(doc, "media");
	struct kms_hash rows = {{0}};
	KMS_AUTO_BUF json = {0};
	struct kms_id id = id_of(ID_DATASET), key = id_of(ID_KEY_0);
	doc_set_int(media, "count", 1);
	struct doc *row = doc_add_object(doc_set_array(media, "rows"));
	doc_set_id(row, "id", &id);
	doc_set_id(row, "key", &key);
	doc_set_text(row, "kind", "volume");
	doc_set_text(row, "serial", "SN-1");
	doc_set_text(row, "site", "Osaka");
	doc_set_text(row, "country", "JP");
	doc_set_int(row, "encrypted_since", 0);
	ck_ok(doc_write(row, &json));
	const struct kms_bytes parts[] = {KMS_BYTES_OF(rows.b), kms_buf_bytes(&json)};
	ck_ok(crypto_sha256(parts, 2, &rows));
	doc_set_hash(media, "hash", &rows);
}

static inline void set_words(const struct world *world, struct doc *doc)
{
	doc_set_text(doc, "claim_level", "recorded");
	doc_set_text(doc, "copies_complete", "not asserted");
	doc_set_text(doc, "method", "none claimed");
	doc_set_text(doc, "technique", "CE");
	struct doc *zeroization = doc_set_object(doc, "zeroization");
	doc_set_text(zeroization, "call", "C_DestroyObject");
	doc_set_text(zeroization, "standard", "none");
	doc_set_text(doc_set_object(doc, "validation"), "status", "pending");
	doc_set_text(doc, "statement", fixture_statement);
	struct doc *not_claimed = doc_set_array(doc, "not_claimed");
	for (size_t i = 0; i < sizeof(fixture_not_claimed) / sizeof(fixture_not_claimed[0]); i++) {
		doc_add_text(not_claimed, fixture_not_claimed[i]);
	}
	doc_set_text(doc_set_object(doc, "tool"), "kmsd", "test");
	struct doc *time = doc_set_object(doc, "time");
	doc_set_null(time, "not_before");
	doc_set_null(time, "not_after");
	const int64_t seen = world->start_ms + (int64_t)world->count * 1000; /* as cert.issue's */
	struct doc *leases = doc_set_object(doc, "leases");
	doc_set_int(leases, "handed_out", 14);
	doc_set_int(leases, "returned", 13);
	doc_set_int(leases, "clients", 1);
	doc_set_int(leases, "last_end", seen - 1000);
	doc_set_int(leases, "seen", seen);
	struct doc *backups = doc_set_object(doc, "backups");
	(void)doc_set_array(backups, "known");
	doc_set_text(backups, "statement", "none known");
}

static inline void set_wipes(const struct world *world, struct doc *doc, bool *ret_all)
{
	struct doc *wipes = doc_set_array(doc, "wipes");
	for (uint32_t i = 0; i < world->erase.wipe_count; i++) {
		struct doc *row = doc_add_object(wipes);
		int seq = seq_of_done(world, MODEL_CHANGE_ERASE_WIPE, &world->erase.wipes[i]);
		doc_set_id(row, "token", &world->erase.wipes[i]);
		set_seq(row, "seq", seq);
		*ret_all = *ret_all && seq >= 0;
	}
}

static inline void set_parties(const struct world *world, struct doc *doc)
{
	char *vkey = NULL;
	struct kms_id id = id_of((uint8_t)(ID_CERT + world->salt));
	struct kms_hash customer = hash_of(0x13);
	doc_set_text(doc, "v", "kmsd-cert/1");
	doc_set_text(doc, "type", "crypto-erase");
	doc_set_id(doc, "id", &id);
	doc_set_null(doc, "supersedes");
	struct doc *issuer = doc_set_object(doc, "issuer");
	doc_set_text(issuer, "log_origin", ORIGIN);
	ck_ok(tlog_vkey_text(&signer_vkeys[SIGNER_LOG], &vkey));
	doc_add_text(doc_set_array(issuer, "log_vkeys"), vkey); /* for people: never used */
	free(vkey);
	doc_set_id(doc, "tenant", &world->erase.tenant);
	doc_set_hash(doc, "customer", &customer);
	doc_set_id(doc, "erasure", &world->erase.erasure);
	doc_set_int(doc, "approvals_needed", 2);
}

static inline void world_certify(struct world *world)
{
	bool all = true, final = false;
	ck_ok(doc_new_object(&world->certificate));
	struct doc *doc = world->certificate;
	set_parties(world, doc);
	set_scope(world, doc);
	set_copies(world, doc, &all);
	struct doc *keys = doc_set_array(doc, "keys");
	for (uint8_t key = ID_KEY_0; key <= ID_KEY_1; key++) {
		struct kms_id id = id_of(key);
		if (erases_key(world, &id)) {
			set_key(world, keys, key);
		}
	}
	set_modules(doc);
	set_wipes(world, doc, &all);
	set_events(world, doc);
	set_persons(world, doc);
	set_verification(world, doc);
	set_words(world, doc);
	for (size_t i = 0; i < world->count; i++) {
		final = final || world->entries[i].change.type == MODEL_CHANGE_ERASE_FINAL;
	}
	world->final = all && final;
	doc_set_text(doc, "status", world->final ? "final" : "provisional");
	bend(world, STAGE_CERTIFICATE);
	ck_ok(doc_write(doc, &world->certificate_json));
}

#endif
