/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What entries say of the end of a KEK, of a token, and of certificates. A statement is held
 * against the entry's ids; who signed it, and whether what it says is good, the reader decides.
 */
#include "entry_int.h"

#include "crypto.h"
#include "format.h"

#include <stdlib.h>
#include <string.h>

/* A statement of the entry's token and tenant. */
static kms_err statement_check(const struct model_change *change, const struct kms_buf *bytes,
	enum format_statement_type type, kms_err bad, struct format_statement *ret_statement)
{
	struct kms_bytes signed_part;
	struct kms_bytes signature;
	KMS_TRY(format_statement_read(
		kms_buf_bytes(bytes), ret_statement, &signed_part, &signature));
	return ret_statement->type == type && !kms_id_is_zero(&change->tenant) &&
			       kms_id_equal(&ret_statement->token, &change->u.erase_done.token) &&
			       kms_id_equal(&ret_statement->tenant, &change->tenant)
		       ? KMS_OK
		       : bad;
}

/* ---- destroy.execute.result ---- */

static const struct kms_id *erase_result_key(const struct model_change *change)
{
	return &change->u.erase_done.key;
}

static kms_err erased_check(
	const struct model_change *change, const struct format_erased *what, kms_err bad)
{
	return kms_id_equal(&what->erasure, &change->u.erase_done.erasure) &&
			       kms_id_equal(&what->key, &change->u.erase_done.key) &&
			       kms_id_equal(&what->kek, &change->u.erase_done.kek) &&
			       what->version == change->u.erase_done.version
		       ? KMS_OK
		       : bad;
}

/* Both statements are about this KEK of this version of this key, and this erasure. */
static kms_err result_check(const struct model_change *change, kms_err bad)
{
	struct format_statement statement;
	KMS_TRY(statement_check(change, &change->u.erase_done.statement, FORMAT_STATEMENT_DESTROY,
		bad, &statement));
	KMS_TRY(erased_check(change, &statement.u.destroy.what, bad));
	KMS_TRY(statement_check(
		change, &change->u.erase_done.absence, FORMAT_STATEMENT_ABSENCE, bad, &statement));
	return erased_check(change, &statement.u.absence.what, bad);
}

static kms_err erase_result_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	KMS_TRY(result_check(change, KMS_ERR(ARGUMENT)));
	doc_set_int(entry, "kver", change->u.erase_done.version);
	doc_set_bytes(entry, "stmt", kms_buf_bytes(&change->u.erase_done.statement));
	doc_set_id(data, "erasure", &change->u.erase_done.erasure);
	doc_set_id(data, "token", &change->u.erase_done.token);
	doc_set_id(data, "kek", &change->u.erase_done.kek);
	doc_set_bytes(data, "absence", kms_buf_bytes(&change->u.erase_done.absence));
	return KMS_OK;
}

static kms_err erase_result_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	change->u.erase_done.key = *key;
	KMS_TRY(record_version_get(entry, "kver", &change->u.erase_done.version));
	KMS_TRY(doc_get_bytes(
		entry, "stmt", LIMIT_STATEMENT_BYTES, &change->u.erase_done.statement));
	KMS_TRY(doc_get_id(data, "erasure", &change->u.erase_done.erasure));
	KMS_TRY(doc_get_id(data, "token", &change->u.erase_done.token));
	KMS_TRY(doc_get_id(data, "kek", &change->u.erase_done.kek));
	KMS_TRY(doc_get_bytes(
		data, "absence", LIMIT_STATEMENT_BYTES, &change->u.erase_done.absence));
	return result_check(change, KMS_ERR(FORMAT));
}

const struct entry_part entry_erase_result = {erase_result_key, erase_result_set, erase_result_get};

/* ---- destroy.wipe ---- */

static kms_err wipe_check(const struct model_change *change, kms_err bad)
{
	struct format_statement statement;
	KMS_TRY(statement_check(
		change, &change->u.erase_done.statement, FORMAT_STATEMENT_WIPE, bad, &statement));
	return kms_id_equal(&statement.u.wipe.erasure, &change->u.erase_done.erasure) ? KMS_OK
										      : bad;
}

static kms_err erase_wipe_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	KMS_TRY(wipe_check(change, KMS_ERR(ARGUMENT)));
	doc_set_bytes(entry, "stmt", kms_buf_bytes(&change->u.erase_done.statement));
	doc_set_id(data, "erasure", &change->u.erase_done.erasure);
	doc_set_id(data, "token", &change->u.erase_done.token);
	return KMS_OK;
}

static kms_err erase_wipe_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)key;
	KMS_TRY(doc_get_bytes(
		entry, "stmt", LIMIT_STATEMENT_BYTES, &change->u.erase_done.statement));
	KMS_TRY(doc_get_id(data, "erasure", &change->u.erase_done.erasure));
	KMS_TRY(doc_get_id(data, "token", &change->u.erase_done.token));
	return wipe_check(change, KMS_ERR(FORMAT));
}

const struct entry_part entry_erase_wipe = {NULL, erase_wipe_set, erase_wipe_get};

/* ---- destroy.execute.refused ---- */

/* About something of a token, each KEK once, with a reason that can be shown. */
static kms_err refused_check(const struct model_change *change, kms_err bad)
{
	static const struct kms_id none;
	const struct kms_id *before = &none;
	if (kms_id_is_zero(&change->tenant) || kms_id_is_zero(&change->u.erase_refused.erasure) ||
		kms_id_is_zero(&change->u.erase_refused.token) ||
		change->u.erase_refused.text[0] == '\0' ||
		(change->u.erase_refused.kek_count == 0 && !change->u.erase_refused.wipe)) {
		return bad;
	}
	for (uint32_t i = 0; i < change->u.erase_refused.kek_count; i++) {
		const struct kms_id *kek = &change->u.erase_refused.keks[i];
		if (memcmp(before->b, kek->b, sizeof(kek->b)) >= 0) {
			return bad;
		}
		before = kek;
	}
	return KMS_OK;
}

static kms_err erase_refused_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	char text[KMS_ID_TEXT];
	(void)entry;
	if (change->u.erase_refused.kek_count > LIMIT_ERASE_KEKS) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(model_text_check(change->u.erase_refused.text, LIMIT_REASON));
	KMS_TRY(refused_check(change, KMS_ERR(ARGUMENT)));
	doc_set_id(data, "erasure", &change->u.erase_refused.erasure);
	doc_set_id(data, "token", &change->u.erase_refused.token);
	doc_set_text(data, "text", change->u.erase_refused.text);
	struct doc *keks = doc_set_array(data, "keks");
	for (uint32_t i = 0; i < change->u.erase_refused.kek_count; i++) {
		doc_add_text(keks, kms_id_text(&change->u.erase_refused.keks[i], text));
	}
	doc_set_bool(data, "wipe", change->u.erase_refused.wipe);
	return KMS_OK;
}

static kms_err refused_keks_get(struct doc *data, struct model_change *change)
{
	struct doc *keks = NULL;
	KMS_TRY(doc_get_array(data, "keks", &keks));
	size_t count = doc_count(keks);
	if (count > LIMIT_ERASE_KEKS) {
		return KMS_ERR(TOO_LARGE);
	}
	change->u.erase_refused.keks = calloc(count + 1, sizeof(struct kms_id));
	if (change->u.erase_refused.keks == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		const char *text = NULL;
		KMS_TRY(doc_item_text(keks, i, &text));
		if (!kms_is_ok(kms_id_parse(text, &change->u.erase_refused.keks[i]))) {
			return KMS_ERR(FORMAT);
		}
	}
	change->u.erase_refused.kek_count = (uint32_t)count;
	return KMS_OK;
}

static kms_err erase_refused_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_id(data, "erasure", &change->u.erase_refused.erasure));
	KMS_TRY(doc_get_id(data, "token", &change->u.erase_refused.token));
	KMS_TRY(record_text_get(
		data, "text", change->u.erase_refused.text, sizeof(change->u.erase_refused.text)));
	KMS_TRY(refused_keks_get(data, change));
	KMS_TRY(doc_get_bool(data, "wipe", &change->u.erase_refused.wipe));
	return refused_check(change, KMS_ERR(FORMAT));
}

const struct entry_part entry_erase_refused = {NULL, erase_refused_set, erase_refused_get};

/* ---- cert.issue ---- */

static bool issue_is_whole(const struct model_change *change)
{
	return !kms_id_is_zero(&change->tenant) && !kms_id_is_zero(&change->u.cert_issue.erasure) &&
	       !kms_id_is_zero(&change->u.cert_issue.certificate) &&
	       !kms_id_equal(&change->u.cert_issue.certificate, &change->u.cert_issue.supersedes);
}

static kms_err cert_issue_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	struct kms_hash hash;
	(void)entry;
	/* An entry that was read, as a replay has it, comes without the certificate itself. */
	if (change->u.cert_issue.json.len > 0) {
		KMS_TRY(crypto_sha256_one(kms_buf_bytes(&change->u.cert_issue.json), &hash));
		if (!kms_hash_equal(&hash, &change->u.cert_issue.hash)) {
			return KMS_ERR(ARGUMENT);
		}
	}
	if (!issue_is_whole(change)) {
		return KMS_ERR(ARGUMENT);
	}
	doc_set_id(data, "erasure", &change->u.cert_issue.erasure);
	doc_set_id(data, "certificate", &change->u.cert_issue.certificate);
	record_id_set(data, "supersedes", &change->u.cert_issue.supersedes);
	doc_set_text(data, "status", change->u.cert_issue.final ? "final" : "provisional");
	doc_set_hash(data, "hash", &change->u.cert_issue.hash);
	return KMS_OK;
}

static kms_err cert_issue_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	const char *status = NULL;
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_id(data, "erasure", &change->u.cert_issue.erasure));
	KMS_TRY(doc_get_id(data, "certificate", &change->u.cert_issue.certificate));
	KMS_TRY(record_id_get(data, "supersedes", &change->u.cert_issue.supersedes));
	KMS_TRY(doc_get_text(data, "status", &status));
	KMS_TRY(doc_get_hash(data, "hash", &change->u.cert_issue.hash));
	change->u.cert_issue.final = strcmp(status, "final") == 0;
	if (!change->u.cert_issue.final && strcmp(status, "provisional") != 0) {
		return KMS_ERR(FORMAT);
	}
	return issue_is_whole(change) ? KMS_OK : KMS_ERR(FORMAT);
}

const struct entry_part entry_cert_issue = {NULL, cert_issue_set, cert_issue_get};
