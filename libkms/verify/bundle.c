/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification of a bundle: read all of it, then ask the eleven steps, each by itself. A step says
 * what it found and never changes what another sees, but for the checkpoint, which step 2 admits.
 */
#include "bundle_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More notes than these only a certificate has that fails for it: of tokens that nobody pins. */
enum { REASONS_MAX = 40, NOTES_MAX = 2000, TEXT_BYTES = 1024, WHY_BYTES = 256 };

struct step_row {
	kms_err (*run)(struct bundle *bundle);
	const char *en, *ja;
};
static const struct step_row rows[STEP_LAST + 1] = {
	[1] = {step_manifest, "Pinned keys, and a manifest that one of them signed",
		"固定した鍵と、その鍵が署名した目録"},
	[2] = {step_checkpoint, "The ledger's checkpoint", "台帳のチェックポイント"},
	[3] = {step_issue, "The certificate is in the ledger", "証明書が台帳に記録されている"},
	[4] = {step_entries, "Every entry is in the ledger, and no key's history has a gap",
		"全記録が台帳にあり、鍵の履歴に欠けがない"},
	[5] = {step_statements, "The tokens' own words: destroyed, and absent",
		"トークン自身の署名：破棄と不在"},
	[6] = {step_copies, "Every copy is named and removed",
		"全ての複製が列挙され除去されている"},
	[7] = {step_people, "Who requested and who approved", "請求者と承認者"},
	[8] = {step_stamp, "External time stamp", "外部の時刻証明"},
	[9] = {step_order, "Order and times", "順序と時刻"},
	[10] = {step_level, "The level that may be claimed", "主張できる水準"},
	[11] = {step_newer, "Newer checkpoints and revocations", "新しいチェックポイントと失効"},
};

/* ---- reasons ---- */

struct why why_of(kms_err err)
{
	return kms_is(err, KMS_CODE_TOO_LARGE) ? WHY("it is too large", "大きすぎる")
					       : WHY("it is not of that form", "形式が正しくない");
}

/* Every piece of it is bounded by its reader: a text that is cut would be our mistake, and shows.
 */
static void add_text(struct doc *array, struct why why, const char *en, const char *ja,
	va_list args) __attribute__((format(printf, 3, 0), format(printf, 4, 0)));
static void add_text(
	struct doc *array, struct why why, const char *en, const char *ja, va_list args)
{
	char text[TEXT_BYTES], all[TEXT_BYTES + WHY_BYTES];
	struct doc *item = doc_add_object(array);
	va_list again;
	va_copy(again, args);
	(void)vsnprintf(text, sizeof(text), en, args);
	(void)snprintf(all, sizeof(all), why.en == NULL ? "%s" : "%s: %s", text, why.en);
	doc_set_text(item, "text", all);
	(void)vsnprintf(text, sizeof(text), ja, again);
	(void)snprintf(all, sizeof(all), why.ja == NULL ? "%s" : "%s（%s）", text, why.ja);
	doc_set_text(item, "ja", all);
	va_end(again);
}

static void fail(struct bundle *bundle, int step, struct why why, const char *en, const char *ja,
	va_list args) __attribute__((format(printf, 4, 0), format(printf, 5, 0)));
static void fail(struct bundle *bundle, int step, struct why why, const char *en, const char *ja,
	va_list args)
{
	struct step *row = &bundle->steps[step];
	row->failed = true;
	if (row->told++ < REASONS_MAX) {
		add_text(row->reasons, why, en, ja, args);
	}
}

void step_fail(struct bundle *bundle, int step, const char *en, const char *ja, ...)
{
	va_list args;
	va_start(args, ja);
	fail(bundle, step, WHY_NOT, en, ja, args);
	va_end(args);
}

void step_fail_why(
	struct bundle *bundle, int step, struct why why, const char *en, const char *ja, ...)
{
	va_list args;
	va_start(args, ja);
	fail(bundle, step, why, en, ja, args);
	va_end(args);
}

void step_not_shown(struct bundle *bundle, int step, const char *en, const char *ja, ...)
{
	va_list args;
	struct step *row = &bundle->steps[step];
	row->not_shown = true;
	if (row->told++ < REASONS_MAX) {
		va_start(args, ja);
		add_text(row->reasons, WHY_NOT, en, ja, args);
		va_end(args);
		va_start(args, ja);
		add_text(bundle->not_shown, WHY_NOT, en, ja, args);
		va_end(args);
	}
}

void bundle_note(struct bundle *bundle, const char *en, const char *ja, ...)
{
	va_list args;
	if (bundle->noted++ < NOTES_MAX) {
		va_start(args, ja);
		add_text(bundle->not_shown, WHY_NOT, en, ja, args);
		va_end(args);
	}
}

/* ---- the report ---- */

static const char *result_of(const struct step *step)
{
	return step->failed ? "fail" : step->not_shown ? "not shown" : "pass";
}

static size_t removed_count(const struct certificate *c)
{
	size_t count = 0;
	for (size_t i = 0; i < c->copy_count; i++) {
		count += c->copies[i].removed ? 1 : 0;
	}
	return count;
}

static void set_claims(struct doc *report, const struct certificate *c)
{
	struct doc *claims = doc_set_object(report, "claims");
	doc_set_text(claims, "log", c->log_origin);
	doc_set_id(claims, "tenant", &c->tenant);
	doc_set_id(claims, "erasure", &c->erasure);
	doc_set_text(claims, "kind", model_erase_scope_text(c->scope));
	doc_set_id(claims, "subject", &c->subject);
	doc_set_text(claims, "status", c->final ? "final" : "provisional");
	doc_set_text(claims, "claim_level", c->words.claim_level);
	doc_set_int(claims, "keys", (int64_t)c->key_count);
	doc_set_int(claims, "copies", (int64_t)c->copy_count);
	doc_set_int(claims, "removed", (int64_t)removed_count(c));
	doc_set_int(claims, "wipes", (int64_t)c->wipe_count);
	doc_set_int(claims, "datasets", (int64_t)c->dataset_count);
	doc_set_int(claims, "handed_out", (int64_t)c->leases.handed_out);
	doc_set_int(claims, "returned", (int64_t)c->leases.returned);
	if (c->leases.has_last_end) {
		doc_set_int(claims, "leases_end", c->leases.last_end);
	} else {
		doc_set_null(claims, "leases_end");
	}
	doc_set_int(claims, "requested", c->requested);
	if (c->has_executed) {
		doc_set_int(claims, "executed", c->executed);
	} else {
		doc_set_null(claims, "executed");
	}
}

static void set_head(struct doc *report, const struct bundle *bundle)
{
	if (bundle->certificate == NULL) {
		doc_set_null(report, "certificate");
		doc_set_null(report, "claims");
		doc_set_null(report, "claim_level");
		doc_set_null(report, "status");
		return;
	}
	doc_set_id(report, "certificate", &bundle->certificate->id);
	doc_set_text(report, "claim_level", level_of(bundle));
	doc_set_text(report, "status", bundle->certificate->final ? "final" : "provisional");
	set_claims(report, bundle->certificate);
}

/* No more than REASONS_MAX are told one by one. */
static void set_rest(struct bundle *bundle, int step)
{
	struct step *row = &bundle->steps[step];
	if (row->told > REASONS_MAX) {
		size_t rest = row->told - REASONS_MAX;
		row->told = 0;
		if (row->failed) {
			step_fail(bundle, step, "and %zu more", "ほか %zu 件", rest);
		} else {
			step_not_shown(bundle, step, "and %zu more", "ほか %zu 件", rest);
		}
	}
}

static void set_steps(struct doc *array, struct bundle *bundle, bool begin)
{
	for (int i = STEP_FIRST; i <= STEP_LAST; i++) {
		struct doc *item = NULL;
		if (begin) {
			item = doc_add_object(array);
			doc_set_int(item, "step", i);
			doc_set_text(item, "text", rows[i].en);
			doc_set_text(item, "ja", rows[i].ja);
			bundle->steps[i].reasons = doc_set_array(item, "reasons");
		} else if (kms_is_ok(doc_item_object(array, (size_t)(i - STEP_FIRST), &item))) {
			set_rest(bundle, i);
			doc_set_text(item, "result", result_of(&bundle->steps[i]));
		}
	}
}

static bool any_failed(const struct bundle *bundle)
{
	bool failed = false;
	for (int i = STEP_FIRST; i <= STEP_LAST; i++) {
		failed = failed || bundle->steps[i].failed;
	}
	return failed;
}

/* ---- one verification ---- */

/* What always stays outside, whatever the steps say. */
static void note_rest(struct bundle *bundle)
{
	bundle_note(bundle,
		"whether anybody holds a copy of a data key, of a token, or of the data itself "
		"that no kms-tokend knew of",
		"kms-tokend が把握していないデータ鍵、トークン、データ自体の複製を誰も持っていない"
		"こと");
	bundle_note(bundle,
		"what the certificate says of data sets, uses, leases beyond the receipts, "
		"backups, "
		"and of the modules beyond their serial numbers: these are kmsd's own words",
		"データセット、利用回数、削除報告以外の貸出、バックアップ、および製造番号以外の装置"
		"情報：これらは"
		" "
		"kmsd 自身の記述である");
	bundle_note(bundle,
		"that the pages for people (certificate.html, certificate.ja.html) say what "
		"certificate.json says, and what the commands in VERIFY.txt do: only their bytes "
		"were checked",
		"閲覧用ページ（certificate.html、certificate.ja.html）の内容が certificate.json と"
		"一致すること、および VERIFY.txt の手順の内容：確認したのはファイルの同一性のみ");
}

static kms_err run_steps(struct bundle *bundle)
{
	for (int i = STEP_FIRST; i <= STEP_LAST; i++) {
		KMS_TRY(rows[i].run(bundle));
	}
	note_rest(bundle);
	return KMS_OK;
}

static kms_err look_at(struct bundle *bundle, struct doc *report)
{
	KMS_AUTO(certificate) certificate = NULL;
	KMS_AUTO(evidence) evidence = NULL;
	const struct model_file *file = folder_find(bundle->folder, "certificate.json");
	bundle->certificate_problem = WHY("it is not there", "ファイルがない");
	if (file != NULL) {
		kms_err err = certificate_read(kms_buf_bytes(&file->bytes), &certificate,
			&bundle->certificate_problem, bundle->certificate_member);
		if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_FORMAT)) {
			return err;
		}
	}
	KMS_TRY(evidence_read(bundle->folder, certificate, &evidence));
	bundle->certificate = certificate;
	bundle->evidence = evidence;
	set_head(report, bundle);
	return run_steps(bundle);
}

static kms_err finish(struct doc *report, struct bundle *bundle, char **ret_report)
{
	KMS_AUTO_BUF json = {0};
	struct doc *steps;
	KMS_TRY(doc_get_array(report, "steps", &steps));
	set_steps(steps, bundle, false);
	doc_set_text(report, "result", any_failed(bundle) ? "fail" : "pass");
	KMS_TRY(doc_write(report, &json));
	return kms_text(ret_report, "%.*s", (int)json.len, (const char *)json.ptr);
}

/* It is no bundle: step 1 says so, and the rest was not looked at. */
static kms_err refuse(struct doc *report, struct bundle *bundle, kms_err err, const char *what,
	struct why why, char **ret_report)
{
	step_fail_why(
		bundle, 1, why, "this is no bundle: %s", "これは証明書一式ではない：%s", what);
	for (int i = STEP_FIRST + 1; i <= STEP_LAST; i++) {
		step_not_shown(bundle, i, "not looked at", "調べていない");
	}
	set_head(report, bundle);
	KMS_TRY(finish(report, bundle, ret_report));
	return err;
}

static kms_err verify(struct bundle *bundle, const char *path, char **ret_report)
{
	KMS_AUTO(doc) report = NULL;
	KMS_AUTO(folder) folder = NULL;
	KMS_AUTO_FREE char *what = NULL;
	KMS_TRY(doc_new_object(&report));
	set_steps(doc_set_array(report, "steps"), bundle, true);
	bundle->not_shown = doc_set_array(report, "not_shown");
	struct why why = WHY_NOT;
	kms_err err = folder_read(path, &folder, &what, &why);
	if (kms_is_ok(err) && folder_find(folder, "manifest") == NULL) {
		KMS_TRY(kms_text(&what, "manifest"));
		why = WHY("it is not there", "ファイルがない");
		err = KMS_ERR(FORMAT);
	}
	if (!kms_is_ok(err)) {
		return what == NULL ? err : refuse(report, bundle, err, what, why, ret_report);
	}
	bundle->folder = folder;
	KMS_TRY(look_at(bundle, report));
	KMS_TRY(finish(report, bundle, ret_report));
	return any_failed(bundle) ? KMS_ERR(INTEGRITY) : KMS_OK;
}

kms_err kms_verify_bundle(const char *trust_path, const char *folder, char **ret_report)
{
	KMS_AUTO(trust) trust = NULL;
	KMS_TRY(trust_read(trust_path, &trust));
	struct bundle bundle = {.trust = trust};
	return verify(&bundle, folder, ret_report);
}
