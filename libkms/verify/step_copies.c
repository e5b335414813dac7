/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 6: nothing is left out. What was ever born for these keys and versions, by their chains, is
 * a copy in the certificate and removed, and no lease of a data key runs on (step_leases.c), or the
 * certificate is provisional.
 */
#include "bundle_int.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- keys and versions ---- */

static bool key_is_signed(const struct format_erase *erase, const struct kms_id *key)
{
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (kms_id_equal(&erase->keks[i].key, key)) {
			return true;
		}
	}
	return false;
}

static bool version_is_signed(
	const struct format_erase *erase, const struct kms_id *key, uint32_t version)
{
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (kms_id_equal(&erase->keks[i].key, key) && erase->keks[i].version == version) {
			return true;
		}
	}
	return false;
}

/* A version that the chain made is named; or, of versions alone, one that was asked for. */
static void check_versions(struct bundle *bundle, const struct cert_key *key)
{
	const struct evidence *evidence = bundle->evidence;
	char text[KMS_ID_TEXT];
	(void)kms_id_text(&key->id, text);
	for (size_t i = 0; i < evidence->birth_count; i++) {
		const struct evidence_birth *birth = &evidence->births[i];
		bool wanted = bundle->certificate->scope != MODEL_ERASE_VERSIONS ||
			      version_is_signed(evidence->erase, &key->id, birth->version);
		if (kms_id_equal(&birth->key, &key->id) &&
			wanted != certificate_key_has(key, birth->version)) {
			step_fail_why(bundle, 6,
				wanted ? WHY("the certificate leaves it out",
						 "証明書に載っていない")
				       : WHY("the certificate adds it", "証明書に余分に載っている"),
				"key %s: version %u was made at entry %llu",
				"鍵 %s：版 %u は記録 %llu 番で生成された", text, birth->version,
				(ull)birth->entry->seq);
		}
	}
}

/* And no version is named that was never made. */
static void check_made(struct bundle *bundle, const struct cert_key *key)
{
	const struct evidence *evidence = bundle->evidence;
	for (uint32_t i = 0; i < key->version_count; i++) {
		bool made = false;
		for (size_t j = 0; j < evidence->birth_count && !made; j++) {
			made = evidence->births[j].version == key->versions[i] &&
			       kms_id_equal(&evidence->births[j].key, &key->id);
		}
		if (!made) {
			char text[KMS_ID_TEXT];
			step_fail(bundle, 6, "key %s: version %u was never made",
				"鍵 %s：版 %u は生成されていない", kms_id_text(&key->id, text),
				key->versions[i]);
		}
	}
}

static void check_keys(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	const struct format_erase *erase = bundle->evidence->erase;
	char text[KMS_ID_TEXT];
	for (size_t i = 0; i < c->key_count; i++) {
		const struct cert_key *key = &c->keys[i];
		(void)kms_id_text(&key->id, text);
		if (!key_is_signed(erase, &key->id) ||
			(i > 0 && memcmp(c->keys[i - 1].id.b, key->id.b, sizeof(key->id.b)) >= 0)) {
			step_fail(bundle, 6,
				"key %s is not of the signed bytes, or stands at the wrong place",
				"鍵 %s は署名対象にないか、順序が正しくない", text);
		}
		check_versions(bundle, key);
		check_made(bundle, key);
	}
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (certificate_key(c, &erase->keks[i].key) == NULL) {
			step_fail(bundle, 6,
				"key %s is in the signed bytes and not in the certificate",
				"鍵 %s は署名対象にあるが証明書にない",
				kms_id_text(&erase->keks[i].key, text));
		}
	}
}

/* ---- copies ---- */

/* A KEK that was born, against the certificate's row. */
static void check_born(struct bundle *bundle, const struct evidence_birth *birth)
{
	const struct cert_key *key = certificate_key(bundle->certificate, &birth->key);
	const struct cert_copy *copy =
		certificate_copy(bundle->certificate, &birth->birth->token, &birth->birth->kek);
	char kek[KMS_ID_TEXT], token[KMS_ID_TEXT];
	if (key == NULL || !certificate_key_has(key, birth->version)) {
		return; /* check_versions says what there is to say */
	}
	(void)kms_id_text(&birth->birth->kek, kek);
	(void)kms_id_text(&birth->birth->token, token);
	if (copy == NULL) {
		step_fail(bundle, 6,
			"KEK %s in token %s, born at entry %llu, is no copy in the certificate",
			"KEK %s（トークン %s、記録 %llu 番で生成）が証明書の複製にない", kek, token,
			(ull)birth->entry->seq);
	} else if (copy->added_seq != birth->entry->seq) {
		step_fail(bundle, 6, "KEK %s in token %s was born at entry %llu, not %llu",
			"KEK %s（トークン %s）の生成は記録 %llu 番であり %llu 番ではない", kek,
			token, (ull)birth->entry->seq, (ull)copy->added_seq);
	}
}

static bool in_order(const struct format_erase_kek *before, const struct format_erase_kek *after)
{
	int by_token = memcmp(before->token.b, after->token.b, sizeof(before->token.b));
	return by_token < 0 ||
	       (by_token == 0 && memcmp(before->kek.b, after->kek.b, sizeof(before->kek.b)) < 0);
}

/* The certificate's row, against the entries. */
static void check_copy(struct bundle *bundle, const struct cert_copy *copy)
{
	const struct evidence_birth *birth =
		evidence_birth(bundle->evidence, &copy->kek.token, &copy->kek.kek);
	const struct evidence_result *result =
		evidence_result(bundle->evidence, &copy->kek.token, &copy->kek.kek);
	char kek[KMS_ID_TEXT], token[KMS_ID_TEXT];
	(void)kms_id_text(&copy->kek.kek, kek);
	(void)kms_id_text(&copy->kek.token, token);
	if (birth == NULL) {
		step_fail(bundle, 6, "KEK %s in token %s is a copy that was never born",
			"KEK %s（トークン %s）は生成の記録がない複製である", kek, token);
	}
	if (copy->removed != (result != NULL) ||
		(result != NULL && copy->removed_seq != result->entry->seq)) {
		step_fail(bundle, 6,
			"KEK %s in token %s: the certificate's removal is not an entry of the "
			"bundle, or not the one",
			"KEK %s（トークン %s）：証明書の除去の記録番号が一式の記録と合わない", kek,
			token);
	}
}

static void check_copies(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	for (size_t i = 0; i < bundle->evidence->birth_count; i++) {
		check_born(bundle, &bundle->evidence->births[i]);
	}
	for (size_t i = 0; i < c->copy_count; i++) {
		check_copy(bundle, &c->copies[i]);
		if (i > 0 && !in_order(&c->copies[i - 1].kek, &c->copies[i].kek)) {
			step_fail(bundle, 6, "the copies are not in order, or one stands twice",
				"複製の順序が正しくないか、重複している");
		}
	}
}

/* When the last copy of a key went. */
static void check_destroyed(struct bundle *bundle, const struct cert_key *key)
{
	const struct certificate *c = bundle->certificate;
	uint64_t last = 0;
	bool all = true;
	for (size_t i = 0; i < c->copy_count; i++) {
		const struct cert_copy *copy = &c->copies[i];
		if (kms_id_equal(&copy->kek.key, &key->id)) {
			all = all && copy->removed;
			last = copy->removed && copy->removed_seq > last ? copy->removed_seq : last;
		}
	}
	if (key->destroyed != all || (all && key->destroyed_seq != last)) {
		char text[KMS_ID_TEXT];
		step_fail(bundle, 6, "key %s: its end is not that of its last copy",
			"鍵 %s：消滅の記録が最後の複製の除去と合わない",
			kms_id_text(&key->id, text));
	}
}

/* ---- wipes ---- */

static uint32_t copies_in(const struct certificate *c, const struct kms_id *token)
{
	uint32_t count = 0;
	for (size_t i = 0; i < c->copy_count; i++) {
		count += kms_id_equal(&c->copies[i].kek.token, token);
	}
	return count;
}

static void check_wiped(struct bundle *bundle, const struct proven *entry)
{
	const struct kms_id *token = &entry->change.u.erase_done.token;
	struct format_statement statement;
	struct kms_bytes part, signature;
	char text[KMS_ID_TEXT];
	if (!kms_is_ok(format_statement_read(kms_buf_bytes(&entry->change.u.erase_done.statement),
		    &statement, &part, &signature)) ||
		statement.type != FORMAT_STATEMENT_WIPE) {
		return; /* step 5 */
	}
	uint32_t copies = copies_in(bundle->certificate, token);
	(void)kms_id_text(token, text);
	if (statement.u.wipe.destroyed < copies) {
		step_fail(bundle, 6,
			"token %s destroyed %u KEKs before it was wiped, and the certificate names "
			"%u",
			"トークン %s は初期化前に %u 個の KEK を破棄したが、証明書の記載は %u 個",
			text, statement.u.wipe.destroyed, copies);
	} else if (statement.u.wipe.destroyed > copies) {
		/* Keys that ended before are none of the signed bytes. */
		step_not_shown(bundle, 6,
			"token %s had %u KEKs and %u are named here: the others need the "
			"certificates of earlier erasures",
			"トークン %s の KEK は %u 個、ここに記載は %u "
			"個：残りは以前の消去の証明書が必要",
			text, statement.u.wipe.destroyed, copies);
	}
}

static const struct proven *wipe_entry(const struct bundle *bundle, const struct cert_wipe *wipe)
{
	const struct proven *entry =
		wipe->done ? evidence_entry(bundle->evidence, wipe->seq) : NULL;
	bool is = entry != NULL && entry->read && entry->change.type == MODEL_CHANGE_ERASE_WIPE &&
		  kms_id_equal(&entry->change.u.erase_done.token, &wipe->token);
	return is ? entry : NULL;
}

static void check_wipes(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	const struct format_erase *erase = bundle->evidence->erase;
	char text[KMS_ID_TEXT];
	bool same = c->wipe_count == erase->wipe_count;
	for (size_t i = 0; same && i < c->wipe_count; i++) {
		same = kms_id_equal(&c->wipes[i].token, &erase->wipes[i]);
	}
	if (!same) {
		step_fail(bundle, 6, "the certificate's wipes are not those of the signed bytes",
			"証明書のトークン初期化が署名対象と異なる");
	}
	for (size_t i = 0; i < c->wipe_count; i++) {
		const struct proven *entry = wipe_entry(bundle, &c->wipes[i]);
		if (entry != NULL) {
			check_wiped(bundle, entry);
		} else if (c->wipes[i].done) {
			step_fail(bundle, 6, "token %s: entry %llu is not its wipe",
				"トークン %s：記録 %llu 番は初期化の記録ではない",
				kms_id_text(&c->wipes[i].token, text), (ull)c->wipes[i].seq);
		}
	}
}

/* ---- status ---- */

static bool is_closed(const struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	bool closed = bundle->evidence->final != NULL && c->copy_count + c->wipe_count > 0;
	for (size_t i = 0; i < c->copy_count; i++) {
		closed = closed && c->copies[i].removed;
	}
	for (size_t i = 0; i < c->wipe_count; i++) {
		closed = closed && c->wipes[i].done;
	}
	return closed && (!c->leases.has_last_end || c->leases.last_end <= c->leases.seen);
}

/* Only a token that is wiped says how many KEKs it held in all. */
static void note_unwiped(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	for (size_t i = 0; c->scope == MODEL_ERASE_TENANT && i < c->module_count; i++) {
		bool wiped = false;
		char text[KMS_ID_TEXT];
		for (size_t j = 0; j < c->wipe_count; j++) {
			wiped = wiped || kms_id_equal(&c->wipes[j].token, &c->modules[i].token);
		}
		if (!wiped) {
			bundle_note(bundle,
				"that these are all the keys of the tenant: token %s is not wiped, "
				"and may hold others",
				"テナントの鍵がこれで全てであること：トークン %s "
				"は初期化の対象ではなく、他の鍵を持つ可能性がある",
				kms_id_text(&c->modules[i].token, text));
		}
	}
}

/* What is said to be left is no fault, and no pass either. */
static void check_open(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	size_t open = 0;
	for (size_t i = 0; i < c->copy_count; i++) {
		open += c->copies[i].removed ? 0 : 1;
	}
	if (open > 0) {
		step_not_shown(bundle, 6,
			"%zu of %zu copies are not removed yet, and the certificate says so",
			"複製 %zu 個（全 %zu 個中）は未除去であり、証明書もそう述べている", open,
			c->copy_count);
	}
}

kms_err step_copies(struct bundle *bundle)
{
	if (bundle->certificate == NULL || bundle->evidence->erase == NULL) {
		step_not_shown(bundle, 6,
			"without certificate and request there is nothing to show",
			"証明書と請求がないため、示すものがない");
		return KMS_OK;
	}
	check_keys(bundle);
	check_copies(bundle);
	for (size_t i = 0; i < bundle->certificate->key_count; i++) {
		check_destroyed(bundle, &bundle->certificate->keys[i]);
	}
	copies_check_counts(bundle);
	check_wipes(bundle);
	KMS_TRY(step_leases(bundle));
	check_open(bundle);
	note_unwiped(bundle);
	if (bundle->certificate->final != is_closed(bundle)) {
		step_fail_why(bundle, 6,
			bundle->certificate->final
				? WHY("the certificate says final, and the evidence provisional",
					  "証明書は確定と述べるが、証拠が示すのは暫定")
				: WHY("the certificate says provisional, and the evidence final",
					  "証明書は暫定と述べるが、証拠が示すのは確定"),
			"the status is wrong", "状態が正しくない");
	}
	return KMS_OK;
}
