/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms verify: a certificate of erasure, offline, for somebody who has never seen the project: what
 * is claimed, what was found step by step, what was not shown, and the verdict. Needs no profile.
 */
#include <stdio.h>
#include <string.h>

#include <kms/verify.h>

#include "cli_int.h"

enum { REPORT_MAX = 4 * 1024 * 1024 };

enum lang { EN, JA, LANGS };

/* ---- words ---- */

enum word {
	W_CLAIMS,
	W_STEPS,
	W_NOT_SHOWN,
	W_VERDICT,
	W_PASS,
	W_FAIL,
	W_OPEN,
	W_VERDICT_FINAL,
	W_VERDICT_PROVISIONAL,
	W_VERDICT_FAIL,
	W_LEVEL,
	WORDS
};
static const char *const words[WORDS][LANGS] = {
	[W_CLAIMS] = {"What the bundle claims (its own words, not yet believed)",
		"証明書の主張（検証前の記載）"},
	[W_STEPS] = {"What was checked, against the keys of the trust file alone",
		"検証結果（信頼ファイルの鍵のみによる）"},
	[W_NOT_SHOWN] = {"What was NOT shown", "示されていないこと"},
	[W_VERDICT] = {"Verdict", "判定"},
	[W_PASS] = {"pass", "合格"},
	[W_FAIL] = {"FAIL", "不合格"},
	[W_OPEN] = {"not shown", "未提示"},
	[W_VERDICT_FINAL] = {"PASS: the erasure is recorded as claimed, within what was not shown "
			     "above.",
		"合格：消去は主張どおり記録されている（上記の「示されていないこと」を除く）。"},
	[W_VERDICT_PROVISIONAL] =
		{"PASS, BUT PROVISIONAL: the certificate tells the truth, and the "
		 "truth is that the erasure is NOT finished.",
			"合格（暫定）：証明書の記載は正しいが、消去は完了していない。"},
	[W_VERDICT_FAIL] = {"FAIL: do not rely on this certificate.",
		"不合格：この証明書に依拠してはならない。"},
	[W_LEVEL] = {"Level by the evidence: ", "証拠が示す水準："},
};

static const struct {
	const char *member;
	const char *text[LANGS];
	bool is_time;
} claims[] = {
	{"kind", {"what was to be erased", "消去の範囲"}, false},
	{"subject", {"of", "対象"}, false},
	{"tenant", {"tenant", "テナント"}, false},
	{"status", {"status", "状態"}, false},
	{"claim_level", {"claim level", "主張の水準"}, false},
	{"keys", {"keys", "鍵の数"}, false},
	{"copies", {"copies of their key-encryption keys", "鍵暗号化鍵の複製の数"}, false},
	{"removed", {"of these removed", "うち除去済み"}, false},
	{"wipes", {"tokens to be wiped", "初期化するトークンの数"}, false},
	{"datasets", {"data sets", "データセットの数"}, false},
	{"handed_out", {"data keys handed out", "引き渡したデータ鍵の数"}, false},
	{"returned", {"of these given back", "うち返却済み"}, false},
	{"leases_end", {"last lease ends", "貸出しの最終期限"}, true},
	{"requested", {"requested", "請求"}, true},
	{"executed", {"executed", "実行"}, true},
	{"erasure", {"erasure", "消去手続"}, false},
	{"log", {"ledger", "台帳"}, false},
};
enum { CLAIMS = sizeof(claims) / sizeof(claims[0]) };

static void say_heading(enum lang lang, enum word word)
{
	(void)printf("\n%s\n", words[word][lang]);
}

/* ---- parts ---- */

/* A value that is a word of the format, in Japanese with the word behind it. */
static const char *value_in(enum lang lang, const char *value)
{
	static const char *const values[][2] = {{"versions", "鍵の版 (versions)"},
		{"key", "鍵 (key)"}, {"dataset", "データセット (dataset)"},
		{"tenant", "テナント全体 (tenant)"}, {"final", "確定 (final)"},
		{"provisional", "暫定 (provisional)"}, {"recorded", "記録 (recorded)"},
		{"asserted", "表明 (asserted)"}, {"evidenced", "立証 (evidenced)"}};
	for (size_t i = 0; lang == JA && i < sizeof(values) / sizeof(values[0]); i++) {
		if (strcmp(values[i][0], value) == 0) {
			return values[i][1];
		}
	}
	return value;
}

static kms_err say_claims(struct doc *report, enum lang lang)
{
	struct doc *said;
	const char *id;
	KMS_TRY(doc_get_text(report, "certificate", &id));
	KMS_TRY(doc_get_object(report, "claims", &said));
	say_heading(lang, W_CLAIMS);
	(void)printf("  %s: %s\n", lang == JA ? "証明書" : "certificate", id);
	for (size_t i = 0; i < CLAIMS; i++) {
		const struct cli_column column = {
			"", claims[i].member, claims[i].is_time ? CLI_TIME_MS : CLI_TEXT};
		KMS_AUTO_FREE char *cell = NULL;
		int64_t number;
		if (!claims[i].is_time && kms_is_ok(doc_get_int(said, claims[i].member, &number))) {
			KMS_TRY(kms_text(&cell, "%lld", (long long)number));
		} else {
			KMS_TRY(cli_cell(said, &column, &cell));
		}
		(void)printf("  %s: ", claims[i].text[lang]);
		cli_say(value_in(lang, cell));
		(void)putchar('\n');
	}
	return KMS_OK;
}

/* A list of texts in both languages. */
static kms_err say_texts(struct doc *list, enum lang lang, const char *before)
{
	for (size_t i = 0; i < doc_count(list); i++) {
		struct doc *item;
		const char *text;
		KMS_TRY(doc_item_object(list, i, &item));
		KMS_TRY(doc_get_text(item, lang == JA ? "ja" : "text", &text));
		(void)fputs(before, stdout);
		cli_say(text);
		(void)putchar('\n');
	}
	return KMS_OK;
}

static kms_err say_step(struct doc *step, enum lang lang)
{
	struct doc *reasons;
	const char *text, *result;
	int64_t number;
	KMS_TRY(doc_get_int(step, "step", &number));
	KMS_TRY(doc_get_text(step, lang == JA ? "ja" : "text", &text));
	KMS_TRY(doc_get_text(step, "result", &result));
	KMS_TRY(doc_get_array(step, "reasons", &reasons));
	enum word word = strcmp(result, "pass") == 0   ? W_PASS
			 : strcmp(result, "fail") == 0 ? W_FAIL
						       : W_OPEN;
	(void)printf("  %2lld  %s: %s\n", (long long)number, text, words[word][lang]);
	return say_texts(reasons, lang, "      - ");
}

static kms_err say_steps(struct doc *report, enum lang lang)
{
	struct doc *steps;
	KMS_TRY(doc_get_array(report, "steps", &steps));
	say_heading(lang, W_STEPS);
	for (size_t i = 0; i < doc_count(steps); i++) {
		struct doc *step;
		KMS_TRY(doc_item_object(steps, i, &step));
		KMS_TRY(say_step(step, lang));
	}
	return KMS_OK;
}

static kms_err say_verdict(struct doc *report, enum lang lang, bool *ret_provisional)
{
	const char *result, *status = "", *level = NULL;
	KMS_TRY(doc_get_text(report, "result", &result));
	if (doc_has(report, "claim_level")) {
		KMS_TRY(doc_get_text(report, "claim_level", &level));
		KMS_TRY(doc_get_text(report, "status", &status));
	}
	bool pass = strcmp(result, "pass") == 0;
	*ret_provisional = pass && strcmp(status, "final") != 0;
	say_heading(lang, W_VERDICT);
	(void)printf("  %s\n", words[!pass                ? W_VERDICT_FAIL
				       : *ret_provisional ? W_VERDICT_PROVISIONAL
							  : W_VERDICT_FINAL][lang]);
	if (pass && level != NULL) {
		(void)printf("  %s%s\n", words[W_LEVEL][lang], value_in(lang, level));
	}
	return KMS_OK;
}

static kms_err say_all(struct doc *report, enum lang lang, bool *ret_provisional)
{
	struct doc *list;
	if (doc_has(report, "claims")) {
		KMS_TRY(say_claims(report, lang));
	}
	KMS_TRY(say_steps(report, lang));
	KMS_TRY(doc_get_array(report, "not_shown", &list));
	say_heading(lang, W_NOT_SHOWN);
	KMS_TRY(say_texts(list, lang, "  - "));
	return say_verdict(report, lang, ret_provisional);
}

/* ---- the command ---- */

static kms_err lang_of(const struct cli *cli, enum lang *ret_lang)
{
	const char *word = cli_value(cli, "lang");
	if (word != NULL && strcmp(word, "en") != 0 && strcmp(word, "ja") != 0) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--lang is en or ja");
	}
	*ret_lang = word != NULL && strcmp(word, "ja") == 0 ? JA : EN;
	return KMS_OK;
}

/* An unfinished erasure is no success, for a script that looks at nothing but the exit code. */
static kms_err is_final(struct doc *report)
{
	const char *status;
	KMS_TRY(doc_get_text(report, "status", &status));
	return strcmp(status, "final") == 0 ? KMS_OK : KMS_ERR(KEY_STATE);
}

kms_err cli_verify(struct cli *cli)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) report = NULL;
	enum lang lang = EN;
	bool provisional = false;
	KMS_TRY(lang_of(cli, &lang));
	kms_err err = kms_verify_bundle(cli_value(cli, "trust"), cli_operand(cli, 0), &json);
	if (json == NULL) {
		bool pins = kms_is(err, KMS_CODE_CONFIG);
		return cli_refuse(err, "%s: %s",
			pins ? cli_value(cli, "trust") : cli_operand(cli, 0), kms_err_text(err));
	}
	KMS_TRY(doc_parse(kms_bytes_str(json), REPORT_MAX, &report));
	if (cli_value(cli, "json") != NULL) {
		KMS_TRY(cli_json_write(NULL, report));
	} else {
		KMS_TRY(say_all(report, lang, &provisional));
	}
	/* What holds more than a bundle may is no bundle: no size of ours was wrong. */
	err = kms_is(err, KMS_CODE_TOO_LARGE) ? KMS_ERR(FORMAT) : err;
	return kms_is_ok(err) ? is_final(report) : err;
}
