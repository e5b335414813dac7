/* SPDX-License-Identifier: Apache-2.0 */
/* A plan (docs/formats/plan.md) for people: what dies, what stays, what was observed. */
#include <stdio.h>
#include <string.h>

#include "erase_int.h"

/* Names of what the ids stand for; each may be NULL. */
struct names {
	struct doc *keys, *tokens, *datasets;
};

static void names_free(struct names *names)
{
	doc_free(&names->keys);
	doc_free(&names->tokens);
	doc_free(&names->datasets);
}

/* "1 2 5" */
static kms_err numbers_text(struct doc *object, const char *member, char **ret_text)
{
	struct doc *array = NULL;
	KMS_AUTO_WRITER text = kms_writer_grow(LIMIT_KEY_VERSIONS * 8);
	struct kms_bytes bytes;
	KMS_TRY(doc_get_array(object, member, &array));
	for (size_t i = 0; i < doc_count(array); i++) {
		int64_t value = 0;
		KMS_TRY(doc_item_int(array, i, &value));
		kms_write_format(&text, "%s%lld", i > 0 ? " " : "", (long long)value);
	}
	KMS_TRY(kms_writer_bytes(&text, &bytes));
	return bytes.len == 0 ? kms_text(ret_text, "-")
			      : kms_text(ret_text, "%.*s", (int)bytes.len, (const char *)bytes.ptr);
}

static kms_err print_keys(struct doc *scope, const struct names *names)
{
	static const char *const heads[] = {"key", "name", "versions that die", "that stay"};
	KMS_AUTO(cli_table) table = NULL;
	struct doc *rows = NULL;
	KMS_TRY(cli_table_new(heads, 4, &table));
	KMS_TRY(doc_get_array(scope, "keys", &rows));
	for (size_t i = 0; i < doc_count(rows); i++) {
		KMS_AUTO_FREE char *dies = NULL;
		KMS_AUTO_FREE char *stays = NULL;
		struct doc *row = NULL;
		const char *id = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(doc_get_text(row, "id", &id));
		KMS_TRY(numbers_text(row, "versions", &dies));
		KMS_TRY(numbers_text(row, "stay", &stays));
		const char *name = cli_name_of(names->keys, "keys", id);
		KMS_TRY(cli_table_add(table, id));
		KMS_TRY(cli_table_add(table, name == id ? "-" : name));
		KMS_TRY(cli_table_add(table, dies));
		KMS_TRY(cli_table_add(table, stays));
	}
	cli_table_print(table);
	return KMS_OK;
}

/* How many of the plan's copies a token holds. */
static kms_err count_copies(struct doc *scope, const char *token, size_t *ret_count)
{
	struct doc *rows = NULL;
	size_t count = 0;
	KMS_TRY(doc_get_array(scope, "copies", &rows));
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		const char *id = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(doc_get_text(row, "token", &id));
		count += strcmp(id, token) == 0;
	}
	*ret_count = count;
	return KMS_OK;
}

static kms_err is_listed(struct doc *object, const char *member, const char *id, bool *ret_is)
{
	struct doc *array = NULL;
	bool is = false;
	KMS_TRY(doc_get_array(object, member, &array));
	for (size_t i = 0; i < doc_count(array); i++) {
		const char *text = NULL;
		KMS_TRY(doc_item_text(array, i, &text));
		is = is || strcmp(text, id) == 0;
	}
	*ret_is = is;
	return KMS_OK;
}

/* Where a token stands, as far as kmsd tells us. */
static const char *site_of(struct doc *tokens, const char *id)
{
	struct doc *rows = NULL;
	if (tokens == NULL || !kms_is_ok(doc_get_array(tokens, "tokens", &rows))) {
		return "-";
	}
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		const char *row_id = NULL;
		const char *site = NULL;
		if (kms_is_ok(doc_item_object(rows, i, &row)) &&
			kms_is_ok(doc_get_text(row, "id", &row_id)) && strcmp(row_id, id) == 0 &&
			kms_is_ok(doc_get_text(row, "site", &site)) && *site != '\0') {
			return site;
		}
	}
	return "-";
}

static kms_err print_tokens(struct doc *scope, const struct names *names)
{
	static const char *const heads[] = {"token", "site", "KEKs", "wiped"};
	KMS_AUTO(cli_table) table = NULL;
	struct doc *tokens = NULL;
	KMS_TRY(cli_table_new(heads, 4, &table));
	KMS_TRY(doc_get_array(scope, "tokens", &tokens));
	for (size_t i = 0; i < doc_count(tokens); i++) {
		const char *id = NULL;
		size_t count = 0;
		bool wiped = false;
		char number[24];
		KMS_TRY(doc_item_text(tokens, i, &id));
		KMS_TRY(count_copies(scope, id, &count));
		KMS_TRY(is_listed(scope, "wipes", id, &wiped));
		(void)snprintf(number, sizeof(number), "%zu", count);
		KMS_TRY(cli_table_add(table, id));
		KMS_TRY(cli_table_add(table, site_of(names->tokens, id)));
		KMS_TRY(cli_table_add(table, number));
		KMS_TRY(cli_table_add(table, wiped ? "yes, all of it" : "no"));
	}
	cli_table_print(table);
	return KMS_OK;
}

static kms_err print_datasets(struct doc *scope, const struct names *names)
{
	static const char *const heads[] = {
		"dataset", "medium", "serial", "site", "country", "encrypted since"};
	static const struct cli_column cells[] = {{"", "kind", CLI_TEXT}, {"", "serial", CLI_TEXT},
		{"", "site", CLI_TEXT}, {"", "country", CLI_TEXT},
		{"", "encrypted_since", CLI_TIME_S}};
	KMS_AUTO(cli_table) table = NULL;
	struct doc *datasets = NULL;
	struct doc *rows = NULL;
	uint64_t count = 0;
	KMS_TRY(doc_get_object(scope, "datasets", &datasets));
	KMS_TRY(doc_get_uint(datasets, "count", LIMIT_DATASETS, &count));
	KMS_TRY(doc_get_array(datasets, "rows", &rows));
	(void)printf("\n%llu datasets are under these keys:\n", (unsigned long long)count);
	KMS_TRY(cli_table_new(heads, 6, &table));
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		const char *id = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(doc_get_text(row, "id", &id));
		KMS_TRY(cli_table_add(table, cli_name_of(names->datasets, "datasets", id)));
		for (size_t j = 0; j < sizeof(cells) / sizeof(cells[0]); j++) {
			KMS_AUTO_FREE char *text = NULL;
			KMS_TRY(cli_cell(row, &cells[j], &text));
			KMS_TRY(cli_table_add(table, text));
		}
	}
	if (count > 0) {
		cli_table_print(table);
	}
	if (count > doc_count(rows)) {
		(void)printf("... and %llu more, all of them in the plan's hash\n",
			(unsigned long long)(count - doc_count(rows)));
	}
	return KMS_OK;
}

/* A list of texts, a line each; nothing for an empty one. */
static kms_err print_texts(struct doc *object, const char *member, const char *head)
{
	struct doc *array = NULL;
	KMS_TRY(doc_get_array(object, member, &array));
	if (doc_count(array) > 0) {
		(void)printf("\n%s\n", head);
	}
	for (size_t i = 0; i < doc_count(array); i++) {
		const char *text = NULL;
		KMS_TRY(doc_item_text(array, i, &text));
		(void)printf("  - ");
		cli_line("", text);
	}
	return KMS_OK;
}

static kms_err print_backups(struct doc *scope)
{
	struct doc *backups = NULL;
	const char *statement = NULL;
	KMS_TRY(doc_get_object(scope, "backups", &backups));
	KMS_TRY(doc_get_text(backups, "statement", &statement));
	(void)putchar('\n');
	cli_line("backups", statement);
	return KMS_OK;
}

static kms_err print_observed(struct doc *observed)
{
	static const struct cli_column uses[] = {{"key", "key", CLI_TEXT},
		{"data keys", "datakeys", CLI_NUMBER}, {"wraps", "wraps", CLI_NUMBER},
		{"unwraps", "unwraps", CLI_NUMBER}, {"rewraps", "rewraps", CLI_NUMBER},
		{"first", "first", CLI_TIME_MS}, {"last", "last", CLI_TIME_MS}, {0}};
	static const struct cli_column tokens[] = {{"token", "token", CLI_TEXT},
		{"reached", "up", CLI_YES}, {"approvals it asks for", "needed", CLI_NUMBER}, {0}};
	static const struct cli_column lease_fields[] = {
		{"data keys out", "handed_out", CLI_NUMBER}, {"given back", "returned", CLI_NUMBER},
		{"clients left", "clients", CLI_NUMBER},
		{"last lease ends", "last_end", CLI_TIME_MS}, {0}};
	static const struct cli_column at = {"", "at", CLI_TIME_MS};
	static const struct cli_column needed[] = {{"approvals", "needed", CLI_NUMBER}, {0}};
	KMS_AUTO_FREE char *when = NULL;
	struct doc *rows = NULL;
	struct doc *leases = NULL;
	KMS_TRY(cli_cell(observed, &at, &when));
	(void)printf("\nSeen at %s; these move, and are not in the plan's hash:\n", when);
	KMS_TRY(cli_fields_print(observed, needed));
	KMS_TRY(doc_get_object(observed, "leases", &leases));
	KMS_TRY(cli_fields_print(leases, lease_fields));
	KMS_TRY(doc_get_array(observed, "tokens", &rows));
	KMS_TRY(cli_rows_print(rows, tokens));
	KMS_TRY(doc_get_array(observed, "uses", &rows));
	KMS_TRY(cli_rows_print(rows, uses));
	KMS_TRY(print_texts(observed, "notes", "TO KNOW before it is requested"));
	return print_texts(
		observed, "problems", "PROBLEMS: it cannot be requested before this is solved");
}

kms_err erase_scope_print(const struct cli *cli, struct doc *scope, struct doc *observed)
{
	static const struct cli_column fields[] = {
		{"erases", "kind", CLI_TEXT}, {"of", "subject", CLI_TEXT}, {0}};
	struct names names __attribute__((cleanup(names_free))) = {
		.keys = cli_names_list(cli, kms_admin_key_list),
		.tokens = cli_names_list(cli, kms_admin_token_list),
		.datasets = cli_names_list(cli, kms_admin_dataset_list),
	};
	KMS_TRY(cli_fields_print(scope, fields));
	(void)printf("\nWHAT DIES, for good: whatever was encrypted under these versions\n");
	KMS_TRY(print_keys(scope, &names));
	(void)printf("\nin every token that ever held them:\n");
	KMS_TRY(print_tokens(scope, &names));
	KMS_TRY(print_datasets(scope, &names));
	KMS_TRY(print_texts(scope, "imports",
		"keys whose KEK came from outside: a copy may exist there, which this cannot "
		"reach"));
	KMS_TRY(print_texts(scope, "renews",
		"it takes over what these erasures, whose approvals have expired, did not "
		"destroy"));
	KMS_TRY(print_backups(scope));
	KMS_TRY(print_texts(scope, "stays", "WHAT STAYS"));
	return observed != NULL ? print_observed(observed) : KMS_OK;
}
