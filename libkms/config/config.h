/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: strict reader of our YAML files: configuration, owner's file, profile, policy. The only
 * module that includes libyaml.
 * A file is one mapping of mappings, lists and scalars. Anchors, aliases, tags, directives, a
 * second document, duplicate keys, keys without a value and deep nesting are refused, and nothing
 * is guessed: the getter that is called decides what a scalar has to be.
 *
 * Reading is by a tree that remembers what was asked for: config_end() refuses what nobody asked
 * for, so a misspelt key is always an error and never ignored. The first problem of a file is
 * logged once, at error level, as `FILE:LINE: what is wrong; what to write instead`, and kept:
 * config_problem(). All failures are CONFIG (or NO_MEMORY).
 *
 *	KMS_AUTO(config) root = NULL;
 *	KMS_TRY(config_read(path, &root));
 *	struct config *store = NULL;
 *	KMS_TRY(config_get_map(root, "store", &store));
 *	KMS_TRY(config_get_path(store, "directory", &directory));
 *	...
 *	KMS_TRY(config_end(root));
 */
#ifndef KMS_CONFIG_H
#define KMS_CONFIG_H

#include "base.h"

enum {
	CONFIG_FILE_MAX = 256 * 1024, /* bytes of a file */
	CONFIG_DEPTH_MAX = 8,         /* mappings and lists inside each other, the root counted */
	CONFIG_ITEMS_MAX = 1024,      /* members of one mapping, items of one list */
	CONFIG_NAME_MAX = 64,         /* bytes of a key */
	CONFIG_TEXT_MAX = 16 * 1024,  /* bytes of a scalar: a certificate in PEM fits */
};

/* A mapping, list or scalar. The root owns all of them; every other one is borrowed from it. */
struct config;

/* Read a file. */
kms_err config_read(const char *path, struct config **ret_root);
/* The same from memory: path stands in complaints, and relative paths go from its folder. */
kms_err config_parse(const char *path, struct kms_bytes yaml, struct config **ret_root);
void config_free(struct config **root); /* the root only */

/*
 * Members of a mapping. A required one that is absent is refused; an `_or` one is then the given
 * value. Returned pointers are borrowed and live as long as the root.
 */
/* Is the key there? Counts as asked for only together with its getter. */
bool config_has(const struct config *map, const char *name);
/* Not empty; no control characters but newline and tab. */
kms_err config_get_text(struct config *map, const char *name, const char **ret_text);
kms_err config_get_text_or(
	struct config *map, const char *name, const char *or_text, const char **ret_text);
/* Decimal digits without quotes, sign or leading zero; min and max belong to the range. */
kms_err config_get_uint(
	struct config *map, const char *name, uint64_t min, uint64_t max, uint64_t *ret_value);
kms_err config_get_uint_or(struct config *map, const char *name, uint64_t or_value, uint64_t min,
	uint64_t max, uint64_t *ret_value);
/* `true` or `false` without quotes: not yes, on or 1. */
kms_err config_get_bool(struct config *map, const char *name, bool *ret_value);
kms_err config_get_bool_or(struct config *map, const char *name, bool or_value, bool *ret_value);
/* One of count words; their index. */
kms_err config_get_choice(struct config *map, const char *name, const char *const words[],
	size_t count, size_t *ret_index);
kms_err config_get_id(struct config *map, const char *name, struct kms_id *ret_id);       /* UUID */
kms_err config_get_hash(struct config *map, const char *name, struct kms_hash *ret_hash); /* hex */
/* A path; a relative one goes from the folder of the file that it stands in, and is absolute when
 * that was read by config_read. `~` is refused. */
kms_err config_get_path(struct config *map, const char *name, const char **ret_path);
/* or_path, which may be NULL, is returned as it is. */
kms_err config_get_path_or(
	struct config *map, const char *name, const char *or_path, const char **ret_path);
kms_err config_get_map(struct config *map, const char *name, struct config **ret_map);
/* NULL when absent. */
kms_err config_get_map_or_none(struct config *map, const char *name, struct config **ret_map);
kms_err config_get_list(struct config *map, const char *name, struct config **ret_list);
/* NULL, whose config_count is 0, when absent. */
kms_err config_get_list_or_none(struct config *map, const char *name, struct config **ret_list);

/* Items of a list, or members of a mapping; 0 for NULL. */
size_t config_count(const struct config *list_or_map);
/* The key of member i, for mappings whose keys are the user's own; read it with a getter then. */
const char *config_name(const struct config *map, size_t i);
/* Item i of a list, under the rules of the getters above. */
kms_err config_item_text(struct config *list, size_t i, const char **ret_text);
kms_err config_item_choice(
	struct config *list, size_t i, const char *const words[], size_t count, size_t *ret_index);
kms_err config_item_id(struct config *list, size_t i, struct kms_id *ret_id);
kms_err config_item_hash(struct config *list, size_t i, struct kms_hash *ret_hash);
kms_err config_item_path(struct config *list, size_t i, const char **ret_path);
kms_err config_item_map(struct config *list, size_t i, struct config **ret_map);

/*
 * Everything in this mapping, and in all below it, was asked for; else the first that was not is
 * refused, with the closest key that was ("did you mean"). Call it on the root, last.
 */
kms_err config_end(struct config *map);

/*
 * A complaint of the caller's own about a value that it read: logged and kept like the reader's.
 * The format says `what is wrong; what to write instead`. name is a member of the mapping, whose
 * line is then named, or NULL for the node itself. Always returns CONFIG.
 */
kms_err config_refuse(struct config *node, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

unsigned config_line(const struct config *node);    /* from 1 */
const char *config_file(const struct config *node); /* as it was given to config_read */
/* The first problem since the file was read, or "". Borrowed. */
const char *config_problem(const struct config *node);

#endif
