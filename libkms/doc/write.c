/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON out: RFC 8785 for machines and signatures, indented for people. Runs in every program that
 * speaks JSON. Of one value it must never write two different bytes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "doc_int.h"

/* No document of ours comes near; a runaway one stops here. */
enum { OUT_MAX = 64 * 1024 * 1024 };

/* RFC 8785 section 3.2.2.2: the short escapes, \u00xx for other controls, the rest as it is. */
static void write_text(struct kms_writer *out, const char *text)
{
	static const char SHORT[128] = {
		['\b'] = 'b',
		['\t'] = 't',
		['\n'] = 'n',
		['\f'] = 'f',
		['\r'] = 'r',
		['"'] = '"',
		['\\'] = '\\',
	};
	kms_write_u8(out, '"');
	const char *plain = text; /* start of a run without escapes */
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		bool is_short = c < sizeof(SHORT) && SHORT[c] != '\0';
		if (!is_short && c >= 0x20) {
			continue;
		}
		kms_write_fixed(out, plain, (size_t)(text - plain));
		plain = text + 1;
		if (is_short) {
			kms_write_u8(out, '\\');
			kms_write_u8(out, (uint8_t)SHORT[c]);
		} else {
			kms_write_format(out, "\\u%04x", c);
		}
	}
	kms_write_fixed(out, plain, (size_t)(text - plain));
	kms_write_u8(out, '"');
}

/* A line break and its indentation; nothing in the canonical form, where indent is below 0. */
static void write_break(struct kms_writer *out, int indent)
{
	if (indent >= 0) {
		kms_write_format(out, "\n%*s", 2 * indent, "");
	}
}

static void write_value(struct kms_writer *out, const struct doc *node, int indent);

static void write_children(struct kms_writer *out, const struct doc *node, int indent)
{
	bool is_object = node->type == DOC_OBJECT;
	int inner = indent < 0 ? indent : indent + 1;
	kms_write_u8(out, is_object ? '{' : '[');
	for (size_t i = 0; i < node->count; i++) {
		if (i > 0) {
			kms_write_u8(out, ',');
		}
		write_break(out, inner);
		if (is_object) {
			write_text(out, node->children[i]->name);
			kms_write_text(out, indent < 0 ? ":" : ": ");
		}
		write_value(out, node->children[i], inner);
	}
	if (node->count > 0) {
		write_break(out, indent);
	}
	kms_write_u8(out, is_object ? '}' : ']');
}

static void write_value(struct kms_writer *out, const struct doc *node, int indent)
{
	switch (node->type) {
	case DOC_NULL:
		kms_write_text(out, "null");
		break;
	case DOC_BOOL:
		kms_write_text(out, node->number != 0 ? "true" : "false");
		break;
	case DOC_INT:
		kms_write_format(out, "%" PRId64, node->number);
		break;
	case DOC_TEXT:
		write_text(out, node->text);
		break;
	case DOC_ARRAY:
	case DOC_OBJECT:
		write_children(out, node, indent);
		break;
	}
}

static kms_err write_whole(const struct doc *doc, int indent, struct kms_buf *ret_json)
{
	const struct doc *root = doc;
	while (root->parent != NULL) {
		root = root->parent;
	}
	if (root->failed != KMS_CODE_OK) {
		return (kms_err){root->failed};
	}
	KMS_AUTO_WRITER out = kms_writer_grow(OUT_MAX);
	write_value(&out, doc, indent);
	if (indent >= 0) {
		kms_write_u8(&out, '\n');
	}
	return kms_writer_take(&out, ret_json);
}

kms_err doc_write(const struct doc *doc, struct kms_buf *ret_json)
{
	return write_whole(doc, -1, ret_json);
}

kms_err doc_write_pretty(const struct doc *doc, struct kms_buf *ret_json)
{
	return write_whole(doc, 0, ret_json);
}
