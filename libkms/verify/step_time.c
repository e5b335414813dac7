/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 9: what came before what. Order is the ledger's, which cannot be changed later; times are
 * those of the kms-tokends' clocks, which sign them. Steps 8 and 11 show nothing yet.
 */
#include "bundle_int.h"

#include <string.h>

typedef unsigned long long ull;

kms_err step_stamp(struct bundle *bundle)
{
	step_not_shown(bundle, 8,
		"no time stamp of anybody else is in the bundle: all times are by the clocks of "
		"kmsd and the kms-tokends",
		"第三者の時刻証明がない：時刻は全て kmsd と kms-tokend の時計による");
	return KMS_OK;
}

kms_err step_newer(struct bundle *bundle)
{
	step_not_shown(bundle, 11,
		"no newer checkpoint was given: whether the certificate was superseded or revoked "
		"later is open",
		"より新しいチェックポイントがない：後に差し替えや失効があったかは不明");
	return KMS_OK;
}

/* ---- 9: order ---- */

enum rank { RANK_REQUEST, RANK_APPROVE, RANK_INTENT, RANK_RESULT, RANK_WIPE, RANK_FINAL, RANKS };
static const struct why rank_words[RANKS] = {{"the request", "請求"}, {"an approval", "承認"},
	{"the intent", "実行の意図"}, {"a result", "結果"}, {"a wipe", "トークンの初期化"},
	{"the final entry", "終了の記録"}};

static bool rank_of(const struct bundle *bundle, const struct proven *entry, enum rank *ret_rank)
{
	const struct kms_id *erasure = evidence_erasure(entry);
	if (entry == bundle->evidence->request) {
		*ret_rank = RANK_REQUEST;
		return true;
	}
	if (erasure == NULL || !kms_id_equal(erasure, &bundle->certificate->erasure)) {
		return false;
	}
	switch ((int)entry->change.type) {
	case MODEL_CHANGE_ERASE_APPROVE:
		*ret_rank = RANK_APPROVE;
		return true;
	case MODEL_CHANGE_ERASE_INTENT:
		*ret_rank = RANK_INTENT;
		return true;
	case MODEL_CHANGE_ERASE_RESULT:
		*ret_rank = RANK_RESULT;
		return true;
	case MODEL_CHANGE_ERASE_WIPE:
		*ret_rank = RANK_WIPE;
		return true;
	case MODEL_CHANGE_ERASE_FINAL:
		*ret_rank = RANK_FINAL;
		return true;
	default: /* a cancellation: step 7 */
		return false;
	}
}

/* A wipe may come while another token's results are still out: only the rest is one line. */
static bool may_follow(enum rank before, enum rank after)
{
	bool both_done = before >= RANK_RESULT && before <= RANK_WIPE && after >= RANK_RESULT &&
			 after <= RANK_WIPE;
	return both_done || before < after || (before == after && before == RANK_APPROVE);
}

static void check_order(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	const struct proven *last = NULL;
	enum rank last_rank = RANK_REQUEST;
	bool intended = false;
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		enum rank rank;
		if (!rank_of(bundle, entry, &rank)) {
			continue;
		}
		bool follows = last == NULL ? rank == RANK_REQUEST : may_follow(last_rank, rank);
		if (!follows || (rank > RANK_INTENT && !intended)) {
			step_fail_why(bundle, 9, rank_words[rank],
				"entry %llu does not stand where it may",
				"記録 %llu 番の順序が正しくない", (ull)entry->seq);
		}
		intended = intended || rank == RANK_INTENT;
		last = entry;
		last_rank = rank > last_rank ? rank : last_rank;
	}
	const struct proven *issue = evidence->issue;
	if (issue != NULL && issue->read && last != NULL && issue->seq <= last->seq) {
		step_fail(bundle, 9, "the certificate was issued at entry %llu, before entry %llu",
			"証明書の発行は記録 %llu 番で、記録 %llu 番より前である", (ull)issue->seq,
			(ull)last->seq);
	}
}

/* Whoever signed that a KEK dies could know of it only when it was born. */
static void check_births(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	for (uint32_t i = 0; i < evidence->erase->kek_count; i++) {
		const struct format_erase_kek *kek = &evidence->erase->keks[i];
		const struct evidence_birth *birth =
			evidence_birth(evidence, &kek->token, &kek->kek);
		char text[KMS_ID_TEXT];
		if (birth != NULL && birth->entry->seq > evidence->request->seq) {
			step_fail(bundle, 9,
				"KEK %s was born at entry %llu, after the request that names it",
				"KEK %s の生成（記録 %llu 番）が、それを対象とする請求より後である",
				kms_id_text(&kek->kek, text), (ull)birth->entry->seq);
		}
	}
}

static void check_intent(struct bundle *bundle)
{
	const struct proven *intent = bundle->evidence->intent;
	if (intent != NULL && !kms_hash_equal(&intent->change.u.erase_step.erase,
				      &bundle->evidence->erase_hash)) {
		step_fail(bundle, 9, "the intent at entry %llu is about other signed bytes",
			"実行の意図（記録 %llu 番）は別の署名対象についてのもの", (ull)intent->seq);
	}
}

/* ---- 9: times ---- */

struct window {
	int64_t from_ms, until_ms;
};

/* unix s of a stranger's bytes: no overflow. */
static int64_t ms_of(int64_t unix_s)
{
	return unix_s > INT64_MAX / 1000   ? INT64_MAX
	       : unix_s < INT64_MIN / 1000 ? INT64_MIN
					   : unix_s * 1000;
}

static struct window window_of(const struct bundle *bundle)
{
	const struct format_erase *erase = bundle->evidence->erase;
	return (struct window){ms_of(erase->not_before_unix_s), ms_of(erase->expires_unix_s)};
}

static bool inside(const struct window *window, int64_t unix_ms)
{
	return unix_ms >= window->from_ms && unix_ms <= window->until_ms;
}

/* Did another token begin to destroy on the word of these bytes while it counted? */
static bool was_begun(
	const struct bundle *bundle, const struct window *window, const struct kms_id *token)
{
	const struct evidence *evidence = bundle->evidence;
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *result = &evidence->results[i];
		if (result->read && !kms_id_equal(&result->token, token) &&
			kms_hash_equal(
				&result->destroy.u.destroy.what.erase, &evidence->erase_hash) &&
			inside(window, result->destroy.u.destroy.begun_unix_ms)) {
			return true;
		}
	}
	return false;
}

/* What counts is when it began: what was begun in time may end at any time after. */
static void check_time(struct bundle *bundle, struct why what, uint64_t seq,
	const struct format_statement *statement, int64_t begun_ms)
{
	struct window window = window_of(bundle);
	char at[KMS_TIME_TEXT];
	(void)kms_time_text(begun_ms, at);
	if (statement->unix_ms < begun_ms) {
		step_fail_why(bundle, 9, what, "entry %llu: it ended before it began, at %s",
			"記録 %llu 番：終了が開始 %s より前である", (ull)seq, at);
	}
	if (begun_ms < window.from_ms) {
		step_fail_why(bundle, 9, what,
			"entry %llu: it began at %s, before the window was over",
			"記録 %llu 番：開始 %s は待機期間の終了前である", (ull)seq, at);
	} else if (!inside(&window, begun_ms) && !was_begun(bundle, &window, &statement->token)) {
		step_fail_why(bundle, 9, what,
			"entry %llu: it began at %s, when the approvals had expired and no other "
			"token had begun",
			"記録 %llu 番：開始 %s は承認の期限後であり、他のトークンも始めていない",
			(ull)seq, at);
	}
}

/* Both by the clock of the same token, which made it long before. */
static void check_age(struct bundle *bundle, const struct evidence_result *result)
{
	const struct evidence_birth *birth =
		evidence_birth(bundle->evidence, &result->token, &result->kek);
	char text[KMS_ID_TEXT];
	if (birth != NULL && birth->read && birth->statement.unix_ms > result->destroy.unix_ms) {
		step_fail(bundle, 9,
			"KEK %s was destroyed before its birth, by the clock of its own token",
			"KEK %s の破棄が、同じトークンの時計で生成より前である",
			kms_id_text(&result->kek, text));
	}
}

static void check_result_times(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *result = &evidence->results[i];
		if (!result->read ||
			!kms_id_equal(&result->erasure, &bundle->certificate->erasure)) {
			continue;
		}
		check_time(bundle, WHY("a destruction", "破棄"), result->entry->seq,
			&result->destroy, result->destroy.u.destroy.begun_unix_ms);
		check_age(bundle, result);
		if (result->absence.unix_ms < result->destroy.unix_ms) {
			step_fail(bundle, 9,
				"entry %llu: the search for it was before its "
				"destruction",
				"記録 %llu 番：不在の確認が破棄より前である",
				(ull)result->entry->seq);
		}
	}
}

static void check_wipe_times(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		enum rank rank;
		struct format_statement statement;
		struct kms_bytes part, signature;
		if (rank_of(bundle, entry, &rank) && rank == RANK_WIPE &&
			kms_is_ok(format_statement_read(
				kms_buf_bytes(&entry->change.u.erase_done.statement), &statement,
				&part, &signature)) &&
			statement.type == FORMAT_STATEMENT_WIPE) {
			check_time(bundle, WHY("a wipe", "トークンの初期化"), entry->seq,
				&statement, statement.u.wipe.begun_unix_ms);
		}
	}
}

/* ---- 9: the certificate's times ---- */

static void check_certificate_times(struct bundle *bundle)
{
	const struct certificate *c = bundle->certificate;
	const struct evidence *evidence = bundle->evidence;
	struct window window = window_of(bundle);
	const struct proven *last = NULL;
	for (size_t i = 0; i < evidence->count; i++) {
		enum rank rank;
		if (rank_of(bundle, evidence->entries[i], &rank) && rank == RANK_RESULT) {
			last = evidence->entries[i];
		}
	}
	if (c->not_before != window.from_ms || c->expires != window.until_ms ||
		window.from_ms >= window.until_ms) {
		step_fail(bundle, 9, "the certificate's window is not that of the signed bytes",
			"証明書の待機期間と期限が署名対象と異なる");
	}
	if (c->requested != evidence->request->head.unix_ms) {
		step_fail(bundle, 9, "the certificate was requested at another time than its entry",
			"証明書の請求時刻が記録と異なる");
	}
	if (c->has_executed != (last != NULL) ||
		(last != NULL && c->executed != last->head.unix_ms)) {
		step_fail(bundle, 9, "the certificate's execution is not that of the last result",
			"証明書の実行時刻が最後の結果の記録と異なる");
	}
}

kms_err step_order(struct bundle *bundle)
{
	if (bundle->certificate == NULL || bundle->evidence->erase == NULL) {
		step_not_shown(bundle, 9,
			"without certificate and request there is nothing to show",
			"証明書と請求がないため、示すものがない");
		return KMS_OK;
	}
	check_order(bundle);
	check_births(bundle);
	check_intent(bundle);
	check_result_times(bundle);
	check_wipe_times(bundle);
	check_certificate_times(bundle);
	return KMS_OK;
}
