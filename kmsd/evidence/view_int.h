/* SPDX-License-Identifier: Apache-2.0 */
/* The view's own: a page that is being written, and tables of members of certificate.json. */
#ifndef KMS_EVIDENCE_VIEW_INT_H
#define KMS_EVIDENCE_VIEW_INT_H

#include "certificate_int.h"
#include "doc.h"

struct page {
	struct kms_writer out;
	enum view_language language;
};
void page_raw(struct page *page, const char *html);  /* ours, and it has no text in it */
void page_text(struct page *page, const char *text); /* escaped */
void page_word(struct page *page, const char *english);

enum cell {
	CELL_TEXT,
	CELL_WORD, /* a text that may stand in the other language */
	CELL_CODE, /* an id, a hash, a key */
	CELL_NUMBER,
	CELL_NUMBERS, /* a list of them */
	CELL_MS,      /* a time */
	CELL_S,       /* a time in seconds; 0: unknown */
};
struct column {
	const char *title; /* English */
	const char *member;
	enum cell cell;
};
/* Rows of a list, under a heading; an empty list leaves one line that says so. */
kms_err page_table(struct page *page, const char *heading, struct doc *rows,
	const struct column *columns, size_t count);
/* Members of an object, one line each. */
kms_err page_lines(struct page *page, struct doc *object, const struct column *lines, size_t count);
/* The same for each of many objects, which stays on one page: where a table would be too wide. */
kms_err page_parts(struct page *page, const char *heading, struct doc *rows,
	const struct column *lines, size_t count);
kms_err page_list(struct page *page, const char *heading, struct doc *texts);

#endif
