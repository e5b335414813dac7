/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readable output: aligned tables and fields. The texts come from kmsd: control characters are
 * replaced, so that nobody there can drive the terminal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "cli_int.h"

enum { COLUMNS_MAX = 12, CELLS_MAX = 2000000, FIELD_COLUMN = 16 };

/* ---- cells ---- */

static kms_err texts_cell(struct doc *object, const char *member, char **ret_text)
{
	struct doc *array = NULL;
	KMS_AUTO_WRITER text = kms_writer_grow(LIMIT_HTTP_BODY);
	struct kms_bytes bytes;
	KMS_TRY(doc_get_array(object, member, &array));
	for (size_t i = 0; i < doc_count(array); i++) {
		const char *item = NULL;
		KMS_TRY(doc_item_text(array, i, &item));
		kms_write_format(&text, "%s%s", i > 0 ? " " : "", item);
	}
	KMS_TRY(kms_writer_bytes(&text, &bytes));
	return kms_text(
		ret_text, "%.*s", (int)bytes.len, bytes.ptr != NULL ? (const char *)bytes.ptr : "");
}

static kms_err time_cell(int64_t unix_ms, char **ret_text)
{
	char text[KMS_TIME_TEXT];
	if (unix_ms == 0) {
		return kms_text(ret_text, "-");
	}
	(void)kms_time_text(unix_ms, text);
	return kms_text(ret_text, "%.19sZ", text); /* without the milliseconds */
}

kms_err cli_cell(struct doc *object, const struct cli_column *column, char **ret_text)
{
	const char *text = NULL;
	int64_t number = 0;
	bool truth = false;
	if (!doc_has(object, column->member)) {
		return kms_text(ret_text, "-");
	}
	switch (column->kind) {
	case CLI_TEXT:
		KMS_TRY(doc_get_text(object, column->member, &text));
		return kms_text(ret_text, "%s", *text != '\0' ? text : "-");
	case CLI_NUMBER:
		KMS_TRY(doc_get_int(object, column->member, &number));
		return kms_text(ret_text, "%lld", (long long)number);
	case CLI_TIME_MS:
		KMS_TRY(doc_get_int(object, column->member, &number));
		return time_cell(number, ret_text);
	case CLI_TIME_S:
		KMS_TRY(doc_get_int(object, column->member, &number));
		return time_cell(number > INT64_MAX / 1000 ? INT64_MAX : number * 1000, ret_text);
	case CLI_YES:
		KMS_TRY(doc_get_bool(object, column->member, &truth));
		return kms_text(ret_text, "%s", truth ? "yes" : "no");
	case CLI_TEXTS:
		return texts_cell(object, column->member, ret_text);
	}
	return KMS_ERR(INTERNAL);
}

/* No control character, and none that only says how others are to be read: what is written from
 * right to left, or not at all, could be taken for something else (Unicode's Cf, and U+2028, 2029).
 */
static bool is_shown(wchar_t c)
{
	static const struct {
		wchar_t first, last;
	} hidden[] = {{0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c}, {0x6dd, 0x6dd}, {0x70f, 0x70f},
		{0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
		{0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0x1d173, 0x1d17a}, {0xe0000, 0xe007f}};
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		if (c >= hidden[i].first && c <= hidden[i].last) {
			return false;
		}
	}
	return iswprint((wint_t)c) != 0;
}

/* Print without control characters, and return how many columns of the terminal that took. */
static size_t print_clean(FILE *into, const char *text)
{
	size_t width = 0;
	mbstate_t state = {0};
	while (*text != '\0') {
		wchar_t c = 0;
		size_t len = mbrtowc(&c, text, strlen(text), &state);
		if (len == 0 || len > strlen(text) || !is_shown(c)) {
			len = len == 0 || len > strlen(text) ? 1 : len;
			memset(&state, 0, sizeof(state));
			width++;
			(void)(into != NULL && fputc('?', into));
		} else {
			int columns = wcwidth(c);
			width += columns > 0 ? (size_t)columns : 0;
			(void)(into != NULL && fwrite(text, 1, len, into));
		}
		text += len;
	}
	return width;
}

/* ---- tables ---- */

struct cli_table {
	size_t columns;
	size_t widths[COLUMNS_MAX];
	char **cells; /* the heads first */
	size_t count;
	size_t room;
};

kms_err cli_table_new(const char *const *heads, size_t columns, struct cli_table **ret_table)
{
	KMS_ASSERT(columns > 0 && columns <= COLUMNS_MAX);
	KMS_AUTO(cli_table) table = calloc(1, sizeof(*table));
	if (table == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	table->columns = columns;
	for (size_t i = 0; i < columns; i++) {
		KMS_TRY(cli_table_add(table, heads[i]));
	}
	*ret_table = kms_take(&table);
	return KMS_OK;
}

kms_err cli_table_add(struct cli_table *table, const char *text)
{
	if (table->count == CELLS_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	if (table->count == table->room) {
		size_t room = table->room == 0 ? 64 : table->room * 2;
		char **cells = realloc(table->cells, room * sizeof(*cells));
		if (cells == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		table->cells = cells;
		table->room = room;
	}
	char *copy = strdup(text);
	if (copy == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	size_t width = print_clean(NULL, copy);
	size_t *widest = &table->widths[table->count % table->columns];
	*widest = width > *widest ? width : *widest;
	table->cells[table->count++] = copy;
	return KMS_OK;
}

void cli_table_print(const struct cli_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		size_t width = print_clean(stdout, table->cells[i]);
		if (column + 1 == table->columns) {
			(void)putchar('\n');
		} else {
			(void)printf("%*s", (int)(table->widths[column] - width + 2), "");
		}
	}
}

void cli_table_free(struct cli_table **table)
{
	if (table == NULL || *table == NULL) {
		return;
	}
	for (size_t i = 0; i < (*table)->count; i++) {
		free((*table)->cells[i]);
	}
	free((*table)->cells);
	free(*table);
	*table = NULL;
}

/* ---- objects ---- */

kms_err cli_rows_print(struct doc *array, const struct cli_column *columns)
{
	KMS_AUTO(cli_table) table = NULL;
	const char *heads[COLUMNS_MAX];
	size_t count = 0;
	for (; columns[count].head != NULL; count++) {
		KMS_ASSERT(count < COLUMNS_MAX);
		heads[count] = columns[count].head;
	}
	KMS_TRY(cli_table_new(heads, count, &table));
	for (size_t i = 0; i < doc_count(array); i++) {
		struct doc *row = NULL;
		KMS_TRY(doc_item_object(array, i, &row));
		for (size_t j = 0; j < count; j++) {
			KMS_AUTO_FREE char *text = NULL;
			KMS_TRY(cli_cell(row, &columns[j], &text));
			KMS_TRY(cli_table_add(table, text));
		}
	}
	cli_table_print(table);
	return KMS_OK;
}

void cli_say(const char *text)
{
	(void)print_clean(stdout, text);
}

void cli_line(const char *head, const char *text)
{
	(void)printf("%-*s", FIELD_COLUMN, head);
	(void)print_clean(stdout, text);
	(void)putchar('\n');
}

kms_err cli_fields_print(struct doc *object, const struct cli_column *columns)
{
	for (; columns->head != NULL; columns++) {
		KMS_AUTO_FREE char *text = NULL;
		KMS_TRY(cli_cell(object, columns, &text));
		cli_line(columns->head, text);
	}
	return KMS_OK;
}

kms_err cli_row_print(const struct cli *cli, struct doc *row, const struct cli_column *fields)
{
	return cli_value(cli, "json") != NULL ? cli_json_write(NULL, row)
					      : cli_fields_print(row, fields);
}
