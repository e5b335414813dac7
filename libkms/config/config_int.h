/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config's own: the node of the tree, and how parse.c, get.c and tree.c complain.
 */
#ifndef KMS_CONFIG_INT_H
#define KMS_CONFIG_INT_H

#include <stdarg.h>

#include "config.h"

enum node_kind { NODE_MAP = 1, NODE_LIST, NODE_SCALAR };

/* What all nodes of a file share. */
struct config_source {
	char *path;    /* as it was given */
	char *real;    /* absolute; NULL when it was not read from a file */
	char *problem; /* the first complaint; NULL: none yet */
};

struct config {
	struct config_source *source; /* owned by the root */
	struct config *parent;        /* NULL: the root */
	enum node_kind kind;
	unsigned line; /* of the key, or of the value where there is no key */
	char *name;    /* the key; NULL in a list and at the root */
	char *text;    /* of a scalar */
	bool plain;    /* a scalar without quotes */
	bool read;     /* somebody asked for it */
	char *path;    /* text, resolved; NULL until it was asked for as a path */
	size_t count;
	struct config **children; /* owned */
	size_t asked_count;
	char **asked; /* of a mapping: keys that were asked for and are not there */
};

kms_err config_node_new(struct config_source *source, struct config *parent, enum node_kind kind,
	unsigned line, struct config **ret_node);
void config_node_free(struct config **node); /* with all below it */
/* Append; takes the child over on success. */
kms_err config_node_add(struct config *parent, struct config *child);
struct config *config_node_find(const struct config *map, const char *name);
/* Find a member for a getter: marks it as read, or remembers that its key was asked for. */
struct config *config_node_ask(struct config *map, const char *name);
/* The member nobody asked for yet whose key is closest to name, or NULL when none is close. */
const struct config *config_node_nearest(const struct config *map, const char *name);

/* line 0: about the file as a whole. Returns CONFIG. */
kms_err config_source_refuse(struct config_source *source, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
kms_err config_source_vrefuse(struct config_source *source, unsigned line, const char *format,
	va_list args) __attribute__((format(printf, 3, 0)));
void config_source_free(struct config_source **source);

#endif
