/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 6: nothing is left out. What was ever born for these keys and versions, by their chains, is
 * a copy in the certificate and removed, or the certificate is provisional.
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
			step_fail(bundle, 6,
				"key %s: version %u was made at entry %llu, and the certificate %s "
				"it",
				"鍵 %s：版 %u は記録 %llu "
				"番で生成されたが、証明書の記載が異なる（%s）",
				text, birth->version, (ull)birth->entry->seq,
				wanted ? "leaves out" : "adds");
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

/* ---- what the tokens counted: a copy that the chain hides shows here ---- */

static uint32_t born_before(const struct evidence *evidence, const struct evidence_result *result)
{
	uint32_t count = 0;
	for (size_t i = 0; i < evidence->birth_count; i++) {
		const struct evidence_birth *birth = &evidence->births[i];
		count += kms_id_equal(&birth->key, &result->key) &&
			 kms_id_equal(&birth->birth->token, &result->token) &&
			 birth->entry->seq < result->entry->seq;
	}
	return count;
}

static void check_counts(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	char kek[KMS_ID_TEXT];
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *result = &evidence->results[i];
		uint32_t born = born_before(evidence, result);
		if (result->read && certificate_key(bundle->certificate, &result->key) != NULL &&
			result->absence.u.absence.born != born) {
			step_fail(bundle, 6,
				"KEK %s: its token counts %u KEKs that this key ever had there, "
				"the "
				"ledger %u",
				"KEK %s：この鍵の KEK の総数がトークンでは %u、台帳では %u",
				kms_id_text(&result->kek, kek), result->absence.u.absence.born,
				born);
		}
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
			"トークン %s は消去前に %u 個の KEK を破壊したが、証明書の記載は %u 個",
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
			"証明書のトークン消去が署名対象と異なる");
	}
	for (size_t i = 0; i < c->wipe_count; i++) {
		const struct proven *entry = wipe_entry(bundle, &c->wipes[i]);
		if (entry != NULL) {
			check_wiped(bundle, entry);
		} else if (c->wipes[i].done) {
			step_fail(bundle, 6, "token %s: entry %llu is not its wipe",
				"トークン %s：記録 %llu 番は消去の記録ではない",
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
	return closed;
}

kms_err step_copies(struct bundle *bundle)
{
	if (bundle->certificate == NULL || bundle->evidence->erase == NULL) {
		step_not_shown(bundle, 6,
			"without certificate and request there is nothing to show",
			"証明書と申請がないため、示すものがない");
		return KMS_OK;
	}
	check_keys(bundle);
	check_copies(bundle);
	for (size_t i = 0; i < bundle->certificate->key_count; i++) {
		check_destroyed(bundle, &bundle->certificate->keys[i]);
	}
	check_counts(bundle);
	check_wipes(bundle);
	if (bundle->certificate->final != is_closed(bundle)) {
		step_fail(bundle, 6, "the certificate says %s, and the evidence gives %s",
			"証明書は %s と述べるが、証拠が示すのは %s",
			bundle->certificate->final ? "final" : "provisional",
			is_closed(bundle) ? "final" : "provisional");
	}
	return KMS_OK;
}
