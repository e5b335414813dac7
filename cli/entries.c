/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms ledger show and kms ledger uses: entries and use records as tables, with
 * names where kmsd still has them. In JSON the stored bytes come out as they are, one entry or
 * record a line: those are what was hashed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_int.h"

enum { SHOW_DEFAULT = 100 };

/* Names of ids; either list may be missing, and then the ids are shown. */
struct names {
	struct doc *principals, *keys;
};

static void names_free(struct names *names)
{
	doc_free(&names->principals);
	doc_free(&names->keys);
}

/* ---- one entry ---- */

static const char *text_or(struct doc *entry, const char *name, const char *or_text)
{
	const char *text = or_text;
	if (doc_has(entry, name)) {
		KMS_IGNORE(doc_get_text(entry, name, &text));
	}
	return text;
}

/* The type, with what tells most of its data. */
kms_err cli_entry_type(struct doc *entry, char **ret_text)
{
	const char *type = text_or(entry, "type", "?");
	const char *failed = strcmp(text_or(entry, "res", "ok"), "ok") != 0 ? " (failed)" : "";
	struct doc *data = NULL;
	uint64_t count = 0;
	if (doc_has(entry, "data") && kms_is_ok(doc_get_object(entry, "data", &data))) {
		if (strcmp(type, "key.state") == 0) {
			return kms_text(ret_text, "%s %s", type, text_or(data, "event", "?"));
		}
		if (strcmp(type, "use.batch") == 0 &&
			kms_is_ok(doc_get_uint(data, "count", LIMIT_COMMIT_USES, &count))) {
			return kms_text(ret_text, "%s of %llu%s", type, (unsigned long long)count,
				doc_has(data, "token") ? "" : " denied");
		}
	}
	return kms_text(ret_text, "%s%s", type, failed);
}

static kms_err add_entry(
	struct cli_table *table, struct names *names, const char *seq, struct doc *entry)
{
	static const struct cli_column time = {"time", "t", CLI_TIME_MS};
	static const struct cli_column version = {"version", "kver", CLI_NUMBER};
	KMS_AUTO_FREE char *time_text = NULL;
	KMS_AUTO_FREE char *version_text = NULL;
	KMS_AUTO_FREE char *type = NULL;
	KMS_TRY(cli_cell(entry, &time, &time_text));
	KMS_TRY(cli_cell(entry, &version, &version_text));
	KMS_TRY(cli_entry_type(entry, &type));
	KMS_TRY(cli_table_add(table, seq));
	KMS_TRY(cli_table_add(table, time_text));
	KMS_TRY(cli_table_add(table, type));
	KMS_TRY(cli_table_add(table, cli_name_of(names->keys, "keys", text_or(entry, "key", "-"))));
	KMS_TRY(cli_table_add(table, version_text));
	return cli_table_add(table,
		cli_name_of(names->principals, "principals", text_or(entry, "actor", "kmsd")));
}

static kms_err add_hidden(struct cli_table *table, const char *seq)
{
	KMS_TRY(cli_table_add(table, seq));
	KMS_TRY(cli_table_add(table, "-"));
	KMS_TRY(cli_table_add(table, "(of another tenant)"));
	KMS_TRY(cli_table_add(table, "-"));
	KMS_TRY(cli_table_add(table, "-"));
	return cli_table_add(table, "-");
}

/* A row of an answer: seq, leaf, and the bytes where they are ours to see. */
static kms_err add_row(struct cli_table *table, struct names *names, struct doc *row)
{
	static const struct cli_column seq_column = {"seq", "seq", CLI_NUMBER};
	KMS_AUTO_FREE char *seq = NULL;
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO(doc) entry = NULL;
	KMS_TRY(cli_cell(row, &seq_column, &seq));
	if (!doc_has(row, "bytes")) {
		return add_hidden(table, seq);
	}
	KMS_TRY(doc_get_bytes(row, "bytes", LIMIT_ENTRY_BYTES, &bytes));
	KMS_TRY(doc_parse(kms_buf_bytes(&bytes), LIMIT_ENTRY_BYTES, &entry));
	return add_entry(table, names, seq, entry);
}

static kms_err print_row_json(struct doc *row)
{
	KMS_AUTO_BUF bytes = {0};
	if (doc_has(row, "bytes")) {
		KMS_TRY(doc_get_bytes(row, "bytes", LIMIT_ENTRY_BYTES, &bytes));
	} else {
		KMS_TRY(doc_write(row, &bytes)); /* of another tenant: its leaf hash */
	}
	KMS_TRY(cli_file_write(NULL, kms_buf_bytes(&bytes), 0));
	return cli_file_write(NULL, kms_bytes_str("\n"), 0);
}

/* ---- commands ---- */

/* The entries of one answer into the table, or out as JSON. */
static kms_err take_entries(const struct cli *cli, struct doc *answer, struct cli_table *table,
	struct names *names, size_t *ret_count)
{
	struct doc *rows = NULL;
	KMS_TRY(doc_get_array(answer, "entries", &rows));
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(cli_value(cli, "json") != NULL ? print_row_json(row)
						       : add_row(table, names, row));
	}
	*ret_count = doc_count(rows);
	return KMS_OK;
}

kms_err cli_entries_json(struct doc *answer)
{
	struct doc *rows = NULL;
	KMS_TRY(doc_get_array(answer, "entries", &rows));
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(print_row_json(row));
	}
	return KMS_OK;
}

static kms_err parse_number(const char *what, const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	for (size_t i = 0; i == 0 || text[i] != '\0'; i++) {
		if (text[i] < '0' || text[i] > '9' || i > 15) {
			return cli_refuse(KMS_ERR(ARGUMENT), "%s is a number", what);
		}
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*ret_value = value;
	return KMS_OK;
}

/* An option without its hyphens. */
static kms_err get_number(
	const struct cli *cli, const char *option, uint64_t or_value, uint64_t *ret_value)
{
	KMS_AUTO_FREE char *what = NULL;
	if (cli_value(cli, option) == NULL) {
		*ret_value = or_value;
		return KMS_OK;
	}
	KMS_TRY(kms_text(&what, "--%s", option));
	return parse_number(what, cli_value(cli, option), ret_value);
}

static kms_err ledger_size(const struct cli *cli, uint64_t *ret_size)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) head = NULL;
	KMS_TRY(cli_answer(cli, kms_admin_ledger_head(cli->client, &json), &json, &head));
	return doc_get_uint(head, "size", INT64_MAX, ret_size);
}

kms_err cli_ledger_show(struct cli *cli)
{
	static const char *const heads[] = {"seq", "time", "type", "key", "version", "actor"};
	KMS_AUTO(cli_table) table = NULL;
	struct names names __attribute__((cleanup(names_free))) = {0};
	uint64_t size = 0;
	uint64_t limit = 0;
	uint64_t from = 0;
	KMS_TRY(get_number(cli, "limit", SHOW_DEFAULT, &limit));
	KMS_TRY(ledger_size(cli, &size));
	KMS_TRY(get_number(cli, "from", size > limit ? size - limit : 0, &from));
	KMS_TRY(cli_table_new(heads, 6, &table));
	if (cli_value(cli, "json") == NULL) {
		names.principals = cli_names_list(cli, kms_admin_principal_list);
		names.keys = cli_names_list(cli, kms_admin_key_list);
	}
	while (limit > 0 && from < size) {
		KMS_AUTO_FREE char *json = NULL;
		KMS_AUTO(doc) answer = NULL;
		size_t count = 0;
		uint32_t page = limit < LIMIT_ENTRIES_PAGE ? (uint32_t)limit : LIMIT_ENTRIES_PAGE;
		kms_err err = kms_admin_ledger_entries(cli->client, from, page, &json);
		KMS_TRY(cli_answer(cli, err, &json, &answer));
		KMS_TRY(cli_shape(cli, take_entries(cli, answer, table, &names, &count)));
		if (count == 0 || count > limit) {
			break;
		}
		limit -= count;
		from += count;
	}
	if (cli_value(cli, "json") == NULL) {
		cli_table_print(table);
	}
	return KMS_OK;
}

/* ---- use records ---- */

/* How it ended, and for how many denials more it stands. */
static kms_err result_of(struct doc *use, char **ret_text)
{
	const char *result = text_or(use, "res", "?");
	uint64_t repeats = 0;
	if (doc_has(use, "repeats")) {
		KMS_TRY(doc_get_uint(use, "repeats", UINT32_MAX, &repeats));
	}
	return repeats == 0 ? kms_text(ret_text, "%s", result)
			    : kms_text(ret_text, "%s, and %llu more", result,
				      (unsigned long long)repeats);
}

static kms_err add_use(struct cli_table *table, struct names *names, struct doc *use)
{
	static const struct cli_column cells[] = {
		{"n", "n", CLI_NUMBER}, {"time", "t", CLI_TIME_MS}, {"op", "op", CLI_TEXT}};
	static const struct cli_column version = {"version", "kver", CLI_NUMBER};
	KMS_AUTO_FREE char *version_text = NULL;
	KMS_AUTO_FREE char *result = NULL;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		KMS_AUTO_FREE char *text = NULL;
		KMS_TRY(cli_cell(use, &cells[i], &text));
		/* A denial has no number, and no version that did it. */
		KMS_TRY(cli_table_add(table, i == 0 && strcmp(text, "0") == 0 ? "-" : text));
	}
	KMS_TRY(cli_table_add(table, cli_name_of(names->keys, "keys", text_or(use, "key", "-"))));
	KMS_TRY(cli_cell(use, &version, &version_text));
	KMS_TRY(cli_table_add(table, strcmp(version_text, "0") == 0 ? "-" : version_text));
	KMS_TRY(cli_table_add(
		table, cli_name_of(names->principals, "principals", text_or(use, "actor", "-"))));
	KMS_TRY(result_of(use, &result));
	return cli_table_add(table, result);
}

static kms_err take_uses(
	const struct cli *cli, struct doc *answer, struct cli_table *table, struct names *names)
{
	struct doc *rows = NULL;
	KMS_TRY(doc_get_array(answer, "uses", &rows));
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		KMS_AUTO_BUF bytes = {0};
		KMS_AUTO(doc) use = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		if (cli_value(cli, "json") != NULL) {
			KMS_TRY(print_row_json(row));
			continue;
		}
		KMS_TRY(doc_get_bytes(row, "bytes", LIMIT_USE_RECORD_BYTES, &bytes));
		KMS_TRY(doc_parse(kms_buf_bytes(&bytes), LIMIT_USE_RECORD_BYTES, &use));
		KMS_TRY(add_use(table, names, use));
	}
	return KMS_OK;
}

kms_err cli_ledger_uses(struct cli *cli)
{
	static const char *const heads[] = {
		"n", "time", "op", "key", "version", "client", "result"};
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) answer = NULL;
	KMS_AUTO(cli_table) table = NULL;
	struct names names __attribute__((cleanup(names_free))) = {0};
	uint64_t seq = 0;
	KMS_TRY(parse_number("SEQ", cli_operand(cli, 0), &seq));
	kms_err err = kms_admin_ledger_uses(cli->client, seq, &json);
	KMS_TRY(cli_answer(cli, err, &json, &answer));
	KMS_TRY(cli_table_new(heads, sizeof(heads) / sizeof(heads[0]), &table));
	if (cli_value(cli, "json") == NULL) {
		names.principals = cli_names_list(cli, kms_admin_principal_list);
		names.keys = cli_names_list(cli, kms_admin_key_list);
	}
	KMS_TRY(cli_shape(cli, take_uses(cli, answer, table, &names)));
	if (cli_value(cli, "json") == NULL) {
		cli_table_print(table);
	}
	return KMS_OK;
}
