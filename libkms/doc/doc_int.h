/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of JSON values that reading and writing share. jansson is only the parser: a tree of
 * our own remembers what was read, keeps members in the order of RFC 8785, and is wiped when freed.
 */
#ifndef KMS_DOC_INT_H
#define KMS_DOC_INT_H

#include "doc.h"

/* RFC 7493 section 2.2: what every reader of JSON holds exactly. */
#define DOC_INT_MAX ((INT64_C(1) << 53) - 1)

enum doc_type { DOC_NULL, DOC_BOOL, DOC_INT, DOC_TEXT, DOC_ARRAY, DOC_OBJECT };

struct doc {
	enum doc_type type;
	bool was_read;         /* of a member: somebody asked for it */
	enum kms_code failed;  /* of a root being built: the first failure */
	int64_t number;        /* DOC_INT, DOC_BOOL */
	char *text;            /* DOC_TEXT */
	char *name;            /* of a member */
	struct doc *parent;    /* NULL for a root */
	struct doc **children; /* of an object: by name, in the order of RFC 8785 */
	size_t count;
	size_t cap;
	char *problem; /* of a root that was read: its first failure */
};

kms_err doc_node_new(enum doc_type type, struct doc **ret_node);
struct doc *doc_node_root(struct doc *node);
size_t doc_node_depth(const struct doc *node); /* 1 for a root */
/* Append at place `at`; takes the node. */
kms_err doc_node_insert(struct doc *parent, size_t at, struct doc **node);
/* Where the name stands, or would stand. */
bool doc_node_find(const struct doc *object, const char *name, size_t *ret_at);
/* Order of two names by UTF-16 code units (RFC 8785 section 3.2.3). */
int doc_name_compare(const char *a, const char *b);
/* Well-formed UTF-8 (RFC 3629): nothing overlong, no surrogates. */
bool doc_utf8_valid(const char *text);

/* From now on what jansson frees is wiped; once in a process. */
void doc_heap_wipe(void);

#endif
