/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page for people: text that is always escaped, lists and tables. Runs in kmsd. It must never
 * put a text into the page that is neither escaped nor our own.
 */
#include "view_int.h"

#include <inttypes.h>
#include <string.h>

void page_raw(struct page *page, const char *html)
{
	kms_write_text(&page->out, html);
}

void page_text(struct page *page, const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		switch (*at) {
		case '&':
			kms_write_text(&page->out, "&amp;");
			break;
		case '<':
			kms_write_text(&page->out, "&lt;");
			break;
		case '>':
			kms_write_text(&page->out, "&gt;");
			break;
		case '"':
			kms_write_text(&page->out, "&quot;");
			break;
		case '\'':
			kms_write_text(&page->out, "&#39;");
			break;
		default:
			kms_write_u8(&page->out, (uint8_t)*at);
		}
	}
}

void page_word(struct page *page, const char *english)
{
	page_text(page, view_word(page->language, english));
}

/* "2026-11-21 12:00:00 UTC" */
static void write_time(struct page *page, int64_t unix_ms)
{
	char text[KMS_TIME_TEXT];
	(void)kms_time_text(unix_ms, text);
	text[10] = ' ';
	text[19] = '\0';
	page_text(page, text);
	page_raw(page, " UTC");
}

static kms_err write_numbers(struct page *page, struct doc *array)
{
	for (size_t i = 0; i < doc_count(array); i++) {
		int64_t number = 0;
		KMS_TRY(doc_item_int(array, i, &number));
		kms_write_format(&page->out, "%s%" PRId64, i == 0 ? "" : ", ", number);
	}
	return KMS_OK;
}

static kms_err write_text_cell(struct page *page, struct doc *object, const struct column *column)
{
	const char *text = NULL;
	KMS_TRY(doc_get_text(object, column->member, &text));
	if (column->cell == CELL_WORD) {
		page_word(page, text);
	} else if (column->cell == CELL_CODE) {
		page_raw(page, "<code>");
		page_text(page, text);
		page_raw(page, "</code>");
	} else {
		page_text(page, text);
	}
	return KMS_OK;
}

static kms_err write_cell(struct page *page, struct doc *object, const struct column *column)
{
	int64_t number = 0;
	struct doc *array = NULL;
	if (!doc_has(object, column->member)) {
		page_raw(page, "&#8212;");
		return KMS_OK;
	}
	switch (column->cell) {
	case CELL_TEXT:
	case CELL_WORD:
	case CELL_CODE:
		return write_text_cell(page, object, column);
	case CELL_NUMBERS:
		KMS_TRY(doc_get_array(object, column->member, &array));
		return write_numbers(page, array);
	case CELL_NUMBER:
	case CELL_MS:
	case CELL_S:
		break;
	}
	KMS_TRY(doc_get_int(object, column->member, &number));
	if (column->cell == CELL_NUMBER) {
		kms_write_format(&page->out, "%" PRId64, number);
	} else if (column->cell == CELL_S && number == 0) {
		page_word(page, "unknown");
	} else {
		write_time(page, column->cell == CELL_S ? number * 1000 : number);
	}
	return KMS_OK;
}

static void write_heading(struct page *page, const char *heading)
{
	page_raw(page, "<h2>");
	page_word(page, heading);
	page_raw(page, "</h2>\n");
}

kms_err page_table(struct page *page, const char *heading, struct doc *rows,
	const struct column *columns, size_t count)
{
	write_heading(page, heading);
	if (doc_count(rows) == 0) {
		page_raw(page, "<p>");
		page_word(page, "none");
		page_raw(page, "</p>\n");
		return KMS_OK;
	}
	page_raw(page, "<table class=\"grid\"><thead><tr>");
	for (size_t i = 0; i < count; i++) {
		page_raw(page, "<th>");
		page_word(page, columns[i].title);
		page_raw(page, "</th>");
	}
	page_raw(page, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		page_raw(page, "<tr>");
		for (size_t j = 0; j < count; j++) {
			page_raw(page, "<td>");
			KMS_TRY(write_cell(page, row, &columns[j]));
			page_raw(page, "</td>");
		}
		page_raw(page, "</tr>\n");
	}
	page_raw(page, "</tbody></table>\n");
	return KMS_OK;
}

kms_err page_lines(struct page *page, struct doc *object, const struct column *lines, size_t count)
{
	page_raw(page, "<table class=\"lines\">\n");
	for (size_t i = 0; i < count; i++) {
		page_raw(page, "<tr><th>");
		page_word(page, lines[i].title);
		page_raw(page, "</th><td>");
		KMS_TRY(write_cell(page, object, &lines[i]));
		page_raw(page, "</td></tr>\n");
	}
	page_raw(page, "</table>\n");
	return KMS_OK;
}

kms_err page_parts(struct page *page, const char *heading, struct doc *rows,
	const struct column *lines, size_t count)
{
	write_heading(page, heading);
	for (size_t i = 0; i < doc_count(rows); i++) {
		struct doc *row = NULL;
		KMS_TRY(doc_item_object(rows, i, &row));
		page_raw(page, "<section>");
		KMS_TRY(page_lines(page, row, lines, count));
		page_raw(page, "</section>\n");
	}
	return KMS_OK;
}

kms_err page_list(struct page *page, const char *heading, struct doc *texts)
{
	write_heading(page, heading);
	page_raw(page, "<ul>\n");
	for (size_t i = 0; i < doc_count(texts); i++) {
		const char *text = NULL;
		KMS_TRY(doc_item_text(texts, i, &text));
		page_raw(page, "<li>");
		page_word(page, text);
		page_raw(page, "</li>\n");
	}
	page_raw(page, "</ul>\n");
	return KMS_OK;
}
