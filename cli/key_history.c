/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms key history: one page on a key, from its generation to its destruction: what it is, who has
 * it in custody, where its tokens stand, and every change with time, person and ledger entry. The
 * changes come from the ledger's entries; the rest is how things stand now.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_int.h"

/* What the page is made of, and names. */
struct page {
	const struct cli *cli;
	struct doc *shown, *entries, *tokens, *people, *erasure;
	struct doc *key; /* in shown */
};

static void page_free(struct page *page)
{
	doc_free(&page->shown);
	doc_free(&page->entries);
	doc_free(&page->tokens);
	doc_free(&page->people);
	doc_free(&page->erasure);
}

/* ---- what it is ---- */

static kms_err print_head(const struct page *page)
{
	static const struct cli_column before[] = {{"key", "id", CLI_TEXT},
		{"label", "label", CLI_TEXT}, {"state", "state", CLI_TEXT},
		{"version", "version", CLI_NUMBER}, {"custody", "custody", CLI_TEXT},
		{"delivery", "delivery", CLI_TEXT}, {"created", "created_unix_ms", CLI_TIME_MS},
		{0}};
	const char *custodian = NULL;
	KMS_TRY(cli_fields_print(page->key, before));
	cli_line("type", "wrapping key (KEK), symmetric, one for each version and token");
	cli_line("algorithm", "AES-256, used in GCM inside the token");
	KMS_TRY(doc_get_text(page->key, "custodian", &custodian));
	cli_line("custodian", cli_name_of(page->people, "principals", custodian));
	return KMS_OK;
}

/* The row of a token, or NULL. */
static struct doc *token_of(struct doc *tokens, const char *id)
{
	struct doc *rows = NULL;
	if (tokens == NULL || !kms_is_ok(doc_get_array(tokens, "tokens", &rows))) {
		return NULL;
	}
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		const char *row_id = NULL;
		if (kms_is_ok(doc_item_object(rows, i, &row)) &&
			kms_is_ok(doc_get_text(row, "id", &row_id)) && strcmp(row_id, id) == 0) {
			return row;
		}
	}
	return NULL;
}

static kms_err print_places(const struct page *page)
{
	static const char *const heads[] = {
		"token", "organisation", "site", "country", "class", "model", "serial"};
	static const char *const members[] = {
		"organisation", "site", "country", "class", "model", "serial"};
	KMS_AUTO(cli_table) table = NULL;
	struct doc *ids = NULL;
	KMS_TRY(cli_table_new(heads, 7, &table));
	KMS_TRY(doc_get_array(page->key, "tokens", &ids));
	for (size_t i = 0; i < doc_count(ids); i++) {
		const char *id = NULL;
		KMS_TRY(doc_item_text(ids, i, &id));
		struct doc *token = token_of(page->tokens, id);
		KMS_TRY(cli_table_add(table, id));
		for (size_t j = 0; j < sizeof(members) / sizeof(members[0]); j++) {
			const struct cli_column cell = {"", members[j], CLI_TEXT};
			KMS_AUTO_FREE char *text = NULL;
			KMS_TRY(token != NULL ? cli_cell(token, &cell, &text)
					      : kms_text(&text, "-"));
			KMS_TRY(cli_table_add(table, text));
		}
	}
	(void)printf("\nWHERE IT IS\n");
	cli_table_print(table);
	return KMS_OK;
}

static kms_err print_versions(const struct page *page)
{
	static const struct cli_column fields[] = {{"version", "version", CLI_NUMBER},
		{"state", "state", CLI_TEXT}, {"born", "created_unix_ms", CLI_TIME_MS},
		{"token", "token", CLI_TEXT}, {"KEK", "id", CLI_TEXT}, {0}};
	struct doc *keks = NULL;
	KMS_TRY(doc_get_array(page->shown, "keks", &keks));
	(void)printf("\nITS VERSIONS\n");
	return cli_rows_print(keks, fields);
}

/* ---- what happened ---- */

/* One line of what happened; rows come from the ledger and from the erasure, in order of entries.
 */
struct event {
	uint64_t seq;
	int64_t unix_ms;
	char *what;
	char *who;
	char *version;
};
enum { EVENTS_MAX = LIMIT_LIST_PAGE + LIMIT_APPROVALS + 4 };
struct events {
	size_t count;
	struct event rows[EVENTS_MAX];
};

static void events_free(struct events **events)
{
	for (size_t i = 0; *events != NULL && i < (*events)->count; i++) {
		free((*events)->rows[i].what);
		free((*events)->rows[i].who);
		free((*events)->rows[i].version);
	}
	free(*events);
	*events = NULL;
}

static kms_err add(struct events *events, uint64_t seq, int64_t unix_ms, const char *what,
	const char *version, const char *who)
{
	if (events->count == EVENTS_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	for (size_t i = 0; i < events->count; i++) {
		if (events->rows[i].seq == seq) {
			return KMS_OK; /* the ledger told it already */
		}
	}
	struct event *event = &events->rows[events->count++];
	event->seq = seq;
	event->unix_ms = unix_ms;
	KMS_TRY(kms_text(&event->what, "%s", what));
	KMS_TRY(kms_text(&event->version, "%s", version));
	return kms_text(&event->who, "%s", who);
}

static kms_err add_entries(const struct page *page, struct doc *answer, struct events *events)
{
	static const struct cli_column version_cell = {"", "kver", CLI_NUMBER};
	struct doc *rows = NULL;
	KMS_TRY(doc_get_array(answer, "entries", &rows));
	for (size_t i = 0; i < doc_count(rows); i++) {
		KMS_AUTO_BUF bytes = {0};
		KMS_AUTO(doc) entry = NULL;
		KMS_AUTO_FREE char *what = NULL;
		KMS_AUTO_FREE char *version = NULL;
		struct doc *row = NULL;
		uint64_t seq = 0;
		int64_t when = 0;
		const char *actor = "kmsd";
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(doc_get_uint(row, "seq", INT64_MAX, &seq));
		KMS_TRY(doc_get_bytes(row, "bytes", LIMIT_ENTRY_BYTES, &bytes));
		KMS_TRY(doc_parse(kms_buf_bytes(&bytes), LIMIT_ENTRY_BYTES, &entry));
		KMS_TRY(doc_get_int(entry, "t", &when));
		KMS_TRY(cli_entry_type(entry, &what));
		KMS_TRY(cli_cell(entry, &version_cell, &version));
		if (doc_has(entry, "actor")) {
			KMS_TRY(doc_get_text(entry, "actor", &actor));
			actor = cli_name_of(page->people, "principals", actor);
		}
		KMS_TRY(add(events, seq, when, what, version, actor));
	}
	return KMS_OK;
}

static kms_err add_signed(const struct page *page, struct doc *row, const char *what,
	const char *id_member, const char *time_member, const char *seq_member,
	struct events *events)
{
	const char *id = NULL;
	int64_t when = 0;
	uint64_t seq = 0;
	KMS_TRY(doc_get_text(row, id_member, &id));
	KMS_TRY(doc_get_int(row, time_member, &when));
	KMS_TRY(doc_get_uint(row, seq_member, INT64_MAX, &seq));
	return add(events, seq, when, what, "-", cli_name_of(page->people, "principals", id));
}

/* An entry of which only the number is known; 0: it has not come yet. */
static kms_err add_numbered(
	const struct page *page, struct doc *row, const char *seq_member, struct events *events)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) answer = NULL;
	uint64_t seq = 0;
	KMS_TRY(doc_get_uint(row, seq_member, INT64_MAX, &seq));
	if (seq == 0) {
		return KMS_OK;
	}
	kms_err err = kms_admin_ledger_entries(page->cli->client, seq, 1, &json);
	KMS_TRY(cli_answer(page->cli, err, &json, &answer));
	return add_entries(page, answer, events);
}

/* The steps of its erasure, which are entries about the erasure and not about the key alone. */
static kms_err add_erasure(const struct page *page, struct events *events)
{
	struct doc *rows = NULL;
	struct doc *row = NULL;
	struct doc *approvals = NULL;
	if (page->erasure == NULL) {
		return KMS_OK;
	}
	KMS_TRY(doc_get_array(page->erasure, "erasures", &rows));
	KMS_TRY(doc_item_object(rows, 0, &row));
	KMS_TRY(add_signed(page, row, "destroy.request", "requester", "requested_unix_ms",
		"request_seq", events));
	KMS_TRY(doc_get_array(row, "approvals", &approvals));
	for (size_t i = 0; i < doc_count(approvals); i++) {
		struct doc *approval = NULL;
		KMS_TRY(doc_item_object(approvals, i, &approval));
		KMS_TRY(add_signed(
			page, approval, "destroy.approve", "principal", "unix_ms", "seq", events));
	}
	KMS_TRY(add_numbered(page, row, "intent_seq", events));
	return add_numbered(page, row, "final_seq", events);
}

static int by_seq(const void *a, const void *b)
{
	const struct event *one = a;
	const struct event *other = b;
	return one->seq < other->seq ? -1 : one->seq > other->seq;
}

static kms_err print_events(const struct page *page)
{
	static const char *const heads[] = {"entry", "time", "what", "version", "who"};
	KMS_AUTO(events) events = calloc(1, sizeof(*events));
	KMS_AUTO(cli_table) table = NULL;
	if (events == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(add_entries(page, page->entries, events));
	KMS_TRY(add_erasure(page, events));
	qsort(events->rows, events->count, sizeof(events->rows[0]), by_seq);
	KMS_TRY(cli_table_new(heads, 5, &table));
	for (size_t i = 0; i < events->count; i++) {
		const struct event *event = &events->rows[i];
		char seq[24];
		char when[KMS_TIME_TEXT];
		(void)snprintf(seq, sizeof(seq), "%llu", (unsigned long long)event->seq);
		(void)kms_time_text(event->unix_ms, when);
		KMS_TRY(cli_table_add(table, seq));
		KMS_TRY(cli_table_add(table, when));
		KMS_TRY(cli_table_add(table, event->what));
		KMS_TRY(cli_table_add(table, event->version));
		KMS_TRY(cli_table_add(table, event->who));
	}
	(void)printf("\nWHAT HAPPENED\n");
	cli_table_print(table);
	return KMS_OK;
}

/* ---- the command ---- */

static kms_err print_page(const struct page *page)
{
	KMS_TRY(print_head(page));
	KMS_TRY(print_places(page));
	KMS_TRY(print_versions(page));
	return print_events(page);
}

/* The key in the answer, and the erasure that has to do with it. */
static kms_err find_key(const struct cli *cli, struct page *page)
{
	struct doc *keys = NULL;
	const char *id = NULL;
	KMS_AUTO_FREE char *json = NULL;
	KMS_TRY(doc_get_array(page->shown, "keys", &keys));
	KMS_TRY(doc_item_object(keys, 0, &page->key));
	if (!doc_has(page->key, "erasure")) {
		return KMS_OK;
	}
	KMS_TRY(doc_get_text(page->key, "erasure", &id));
	kms_err err = kms_admin_erase_show(cli->client, id, &json);
	return cli_answer(cli, err, &json, &page->erasure);
}

static kms_err read_page(const struct cli *cli, const char *id, struct page *page)
{
	KMS_AUTO_FREE char *json = NULL;
	kms_err err = kms_admin_key_show(cli->client, id, &json);
	KMS_TRY(cli_answer(cli, err, &json, &page->shown));
	page->tokens = cli_names_list(cli, kms_admin_token_list);
	page->people = cli_names_list(cli, kms_admin_principal_list);
	KMS_TRY(cli_shape(cli, find_key(cli, page)));
	return cli_shape(cli, print_page(page));
}

kms_err cli_key_history(struct cli *cli)
{
	struct page page __attribute__((cleanup(page_free))) = {.cli = cli};
	KMS_AUTO_FREE char *json = NULL;
	char id[KMS_ID_TEXT];
	KMS_TRY(cli_key_id(cli, cli_operand(cli, 0), id));
	kms_err err = kms_admin_key_history(cli->client, id, &json);
	KMS_TRY(cli_answer(cli, err, &json, &page.entries));
	if (cli_value(cli, "json") != NULL) {
		return cli_shape(cli, cli_entries_json(page.entries));
	}
	return read_page(cli, id, &page);
}
