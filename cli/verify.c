/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms ledger verify and replay. Verification fetches from kmsd and believes none of it: what counts
 * is the trust file. Replay needs the store, so kmsd itself does it, offline.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kms/verify.h>

#include "cli_int.h"

enum { NOTE_MAX = 64 * 1024 };

/* ---- from kmsd into the verification ---- */

static kms_err feed_uses(
	const struct cli *cli, struct kms_verify *verify, uint64_t seq, uint32_t wanted)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) answer = NULL;
	struct doc *rows = NULL;
	KMS_TRY(cli_answer(cli, kms_admin_ledger_uses(cli->client, seq, &json), &json, &answer));
	KMS_TRY(doc_get_array(answer, "uses", &rows));
	/* One too few or too many is a finding, not our error. */
	for (size_t i = 0; i < doc_count(rows) && i < wanted; i++) {
		struct doc *row = NULL;
		KMS_AUTO_BUF bytes = {0};
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(doc_get_bytes(row, "bytes", LIMIT_USE_RECORD_BYTES, &bytes));
		KMS_TRY(kms_verify_use(verify, bytes.ptr, bytes.len));
	}
	return KMS_OK;
}

static kms_err feed_entry(
	const struct cli *cli, struct kms_verify *verify, struct doc *row, uint64_t index)
{
	struct kms_hash leaf;
	KMS_AUTO_BUF bytes = {0};
	uint32_t uses = 0;
	KMS_TRY(doc_get_hash(row, "leaf", &leaf));
	if (doc_has(row, "bytes")) {
		KMS_TRY(doc_get_bytes(row, "bytes", LIMIT_ENTRY_BYTES, &bytes));
	}
	KMS_TRY(kms_verify_entry(verify, index, leaf.b, bytes.ptr, bytes.len, &uses));
	return uses > 0 ? feed_uses(cli, verify, index, uses) : KMS_OK;
}

static kms_err feed_entries(const struct cli *cli, struct kms_verify *verify, uint64_t size)
{
	uint64_t index = 0;
	while (index < size) {
		KMS_AUTO_FREE char *json = NULL;
		KMS_AUTO(doc) answer = NULL;
		struct doc *rows = NULL;
		uint64_t left = size - index;
		uint32_t page = left < LIMIT_ENTRIES_PAGE ? (uint32_t)left : LIMIT_ENTRIES_PAGE;
		kms_err err = kms_admin_ledger_entries(cli->client, index, page, &json);
		KMS_TRY(cli_answer(cli, err, &json, &answer));
		KMS_TRY(doc_get_array(answer, "entries", &rows));
		if (doc_count(rows) == 0 || doc_count(rows) > page) {
			return cli_refuse(KMS_ERR(TRUNCATED),
				"kmsd gave %zu entries from %llu on, of a ledger of %llu",
				doc_count(rows), (unsigned long long)index,
				(unsigned long long)size);
		}
		for (size_t i = 0; i < doc_count(rows); i++) {
			struct doc *row = NULL;
			KMS_TRY(doc_item_object(rows, i, &row));
			KMS_TRY(feed_entry(cli, verify, row, index++));
		}
	}
	return KMS_OK;
}

/* ---- what people kept ---- */

static kms_err feed_kept(const struct cli *cli, struct kms_verify *verify)
{
	for (size_t i = 0; i < cli_count(cli, "older"); i++) {
		const char *path = cli_value_at(cli, "older", i);
		KMS_AUTO_BUF note = {0};
		KMS_AUTO_FREE char *text = NULL;
		KMS_TRY(cli_file_read(path, NOTE_MAX, &note));
		KMS_TRY(kms_text(&text, "%.*s", (int)note.len, (const char *)note.ptr));
		kms_err err = kms_verify_older(verify, text);
		if (!kms_is_ok(err)) {
			return cli_refuse(err, "%s: %s", path, kms_err_text(err));
		}
	}
	return KMS_OK;
}

static kms_err feed_statements(const struct cli *cli, struct kms_verify *verify)
{
	for (size_t i = 0; i < cli_count(cli, "statement"); i++) {
		const char *path = cli_value_at(cli, "statement", i);
		KMS_AUTO_BUF text = {0};
		KMS_AUTO_BUF bytes = {0};
		KMS_TRY(cli_file_read(path, NOTE_MAX, &text));
		size_t len = text.len;
		while (len > 0 && text.ptr[len - 1] == '\n') {
			len--;
		}
		kms_err err = kms_base64_decode(
			(const char *)text.ptr, len, LIMIT_STATEMENT_BYTES, &bytes);
		err = kms_is_ok(err) ? kms_verify_statement(verify, bytes.ptr, bytes.len) : err;
		if (!kms_is_ok(err)) {
			return cli_refuse(err, "%s: no statement of kms-tokend --statement", path);
		}
	}
	return KMS_OK;
}

/* ---- the result ---- */

static kms_err print_report(const struct cli *cli, const char *json)
{
	static const struct cli_column checks[] = {
		{"check", "check", CLI_TEXT},
		{"result", "result", CLI_TEXT},
		{"good", "good", CLI_NUMBER},
		{"failed", "failed", CLI_NUMBER},
		{"not shown", "not_shown", CLI_NUMBER},
		{0},
	};
	KMS_AUTO(doc) report = NULL;
	struct doc *rows = NULL;
	const char *result = NULL;
	KMS_TRY(doc_parse(kms_bytes_str(json), LIMIT_HTTP_ANSWER, &report));
	if (cli_value(cli, "json") != NULL) {
		return cli_json_write(NULL, report);
	}
	KMS_TRY(doc_get_array(report, "checks", &rows));
	KMS_TRY(cli_rows_print(rows, checks));
	KMS_TRY(doc_get_array(report, "findings", &rows));
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		const char *check = NULL;
		const char *what = NULL;
		const char *text = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(doc_get_text(row, "check", &check));
		KMS_TRY(doc_get_text(row, "result", &what));
		KMS_TRY(doc_get_text(row, "text", &text));
		(void)printf("%s: %s: %s\n", what, check, text);
	}
	KMS_TRY(doc_get_text(report, "result", &result));
	(void)printf("%s\n", strcmp(result, "pass") == 0 ? "pass" : "FAIL");
	return KMS_OK;
}

static kms_err verify_all(const struct cli *cli, struct kms_verify *verify)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO_FREE char *note = NULL;
	KMS_AUTO_FREE char *report = NULL;
	KMS_AUTO(doc) head = NULL;
	KMS_AUTO_BUF checkpoint = {0};
	uint64_t size = 0;
	KMS_TRY(feed_kept(cli, verify));
	KMS_TRY(cli_answer(cli, kms_admin_ledger_head(cli->client, &json), &json, &head));
	KMS_TRY(doc_get_bytes(head, "checkpoint", NOTE_MAX, &checkpoint));
	KMS_TRY(doc_get_uint(head, "size", INT64_MAX, &size));
	KMS_TRY(kms_text(&note, "%.*s", (int)checkpoint.len,
		checkpoint.ptr != NULL ? (const char *)checkpoint.ptr : ""));
	KMS_TRY(cli_shape(cli, feed_entries(cli, verify, size)));
	KMS_TRY(feed_statements(cli, verify));
	kms_err err = kms_verify_finish(verify, note, &report);
	if (report != NULL) {
		KMS_TRY(print_report(cli, report));
	}
	if (kms_is_ok(err) && cli_value(cli, "save-checkpoint") != NULL) {
		return cli_file_write(
			cli_value(cli, "save-checkpoint"), kms_buf_bytes(&checkpoint), 0644);
	}
	return kms_is(err, KMS_CODE_INTEGRITY)
		       ? cli_refuse(err, "the ledger does not verify; keep this report, the trust "
					 "file and the checkpoints, and ask the operator")
		       : err;
}

kms_err cli_ledger_verify(struct cli *cli)
{
	struct kms_verify *verify __attribute__((cleanup(kms_verify_free))) = NULL;
	const char *trust = cli_value(cli, "trust");
	kms_err err = kms_verify_open(trust, &verify);
	if (!kms_is_ok(err)) {
		return cli_refuse(err, "%s: %s", trust, kms_err_text(err));
	}
	return verify_all(cli, verify);
}

/* ---- replay ---- */

/* Beside us as installed, or in the build's folders; else wherever $PATH says. */
static kms_err find_kmsd(char **ret_path)
{
	static const char *const places[] = {"../sbin/kmsd", "../kmsd/main/kmsd"};
	char self[2048];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len > 0) {
		self[len] = '\0';
		*strrchr(self, '/') = '\0';
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			KMS_AUTO_FREE char *path = NULL;
			KMS_TRY(kms_text(&path, "%s/%s", self, places[i]));
			if (access(path, X_OK) == 0) {
				*ret_path = kms_take(&path);
				return KMS_OK;
			}
		}
	}
	return kms_text(ret_path, "kmsd");
}

kms_err cli_ledger_replay(struct cli *cli)
{
	KMS_AUTO_FREE char *kmsd = NULL;
	const char *config = cli_value(cli, "config");
	if (config == NULL) {
		config = getenv("KMS_CONFIG");
	}
	if (config == NULL || *config == '\0') {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"name kmsd's configuration with --config or $KMS_CONFIG");
	}
	KMS_TRY(find_kmsd(&kmsd));
	(void)fflush(stdout);
	(void)execlp(kmsd, "kmsd", "--config", config, "--log-level", "warning", "--replay",
		(char *)NULL);
	return cli_refuse(KMS_ERR(NOT_FOUND), "%s: %s; replay runs where kmsd is installed", kmsd,
		strerror(errno));
}
