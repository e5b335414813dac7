/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of JSON values. Runs in every program that speaks JSON. It must never keep two members
 * of one name, nor give memory back unwiped: a text may be a key of `clear` delivery.
 */
#include <stdlib.h>
#include <string.h>

#include "doc_int.h"

enum { FIRST_CAP = 8 };

static void wipe_text(char **text)
{
	if (*text != NULL) {
		explicit_bzero(*text, strlen(*text));
		free(*text);
		*text = NULL;
	}
}

/* Recursion: no tree is deeper than DOC_DEPTH_MAX and its leaves. */
void doc_free(struct doc **doc)
{
	if (doc == NULL || *doc == NULL) {
		return;
	}
	struct doc *node = *doc;
	for (size_t i = 0; i < node->count; i++) {
		doc_free(&node->children[i]);
	}
	free(node->children);
	free(node->name);
	free(node->problem);
	wipe_text(&node->text);
	free(node);
	*doc = NULL;
}

kms_err doc_node_new(enum doc_type type, struct doc **ret_node)
{
	struct doc *node = calloc(1, sizeof(*node));
	if (node == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	node->type = type;
	*ret_node = node;
	return KMS_OK;
}

struct doc *doc_node_root(struct doc *node)
{
	while (node->parent != NULL) {
		node = node->parent;
	}
	return node;
}

size_t doc_node_depth(const struct doc *node)
{
	size_t depth = 1;
	while (node->parent != NULL) {
		node = node->parent;
		depth++;
	}
	return depth;
}

kms_err doc_node_insert(struct doc *parent, size_t at, struct doc **node)
{
	if (parent->count == parent->cap) {
		size_t cap = parent->cap == 0 ? FIRST_CAP : parent->cap * 2;
		struct doc **children = reallocarray(parent->children, cap, sizeof(*children));
		if (children == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		parent->children = children;
		parent->cap = cap;
	}
	memmove(parent->children + at + 1, parent->children + at,
		(parent->count - at) * sizeof(*parent->children));
	parent->children[at] = *node;
	parent->count++;
	(*node)->parent = parent;
	*node = NULL;
	return KMS_OK;
}

bool doc_node_find(const struct doc *object, const char *name, size_t *ret_at)
{
	size_t low = 0;
	size_t high = object->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = doc_name_compare(object->children[middle]->name, name);
		if (order == 0) {
			*ret_at = middle;
			return true;
		}
		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	*ret_at = low;
	return false;
}

/*
 * Bytes of UTF-8 sort as code points do. UTF-16 differs in one place: what it writes with
 * surrogates (lead bytes F0 .. F4) sorts before U+E000 .. U+FFFF (lead bytes EE and EF).
 */
static int utf16_rank(char c)
{
	int byte = (unsigned char)c;
	return byte == 0xee || byte == 0xef ? byte + 0x10 : byte;
}

int doc_name_compare(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return utf16_rank(*a) - utf16_rank(*b);
}

/* Bytes of the well-formed sequence that starts here, or 0. RFC 3629 section 4, table by table. */
static size_t utf8_sequence(const unsigned char *at)
{
	size_t len;
	unsigned char low = 0x80; /* bounds of the second byte */
	unsigned char high = 0xbf;
	if (at[0] < 0x80) {
		return 1;
	} else if (at[0] >= 0xc2 && at[0] <= 0xdf) {
		len = 2;
	} else if (at[0] >= 0xe0 && at[0] <= 0xef) {
		len = 3;
		low = at[0] == 0xe0 ? 0xa0 : low;
		high = at[0] == 0xed ? 0x9f : high; /* no surrogates */
	} else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
		len = 4;
		low = at[0] == 0xf0 ? 0x90 : low;
		high = at[0] == 0xf4 ? 0x8f : high; /* U+10FFFF is the last */
	} else {
		return 0;
	}
	if (at[1] < low || at[1] > high) {
		return 0;
	}
	for (size_t i = 2; i < len; i++) {
		if (at[i] < 0x80 || at[i] > 0xbf) { /* the NUL at the end stops it too */
			return 0;
		}
	}
	return len;
}

bool doc_utf8_valid(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	while (*at != '\0') {
		size_t len = utf8_sequence(at);
		if (len == 0) {
			return false;
		}
		at += len;
	}
	return true;
}
