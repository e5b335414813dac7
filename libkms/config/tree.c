/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a configuration file: nodes, complaints, and the search for keys that nobody asked
 * for. Runs in every program. It must never print a value of an unknown key: that may be a secret
 * that somebody put into the wrong file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_int.h"

/* ---- nodes ---- */

kms_err config_node_new(struct config_source *source, struct config *parent, enum node_kind kind,
	unsigned line, struct config **ret_node)
{
	struct config *node = calloc(1, sizeof(*node));
	if (node == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	node->source = source;
	node->parent = parent;
	node->kind = kind;
	node->line = line;
	*ret_node = node;
	return KMS_OK;
}

void config_node_free(struct config **node)
{
	if (*node == NULL) {
		return;
	}
	/* Depth is at most CONFIG_DEPTH_MAX. */
	for (size_t i = 0; i < (*node)->count; i++) {
		config_node_free(&(*node)->children[i]);
	}
	for (size_t i = 0; i < (*node)->asked_count; i++) {
		free((*node)->asked[i]);
	}
	free((*node)->children);
	free((*node)->asked);
	free((*node)->name);
	free((*node)->text);
	free((*node)->path);
	free(*node);
	*node = NULL;
}

void config_source_free(struct config_source **source)
{
	if (*source != NULL) {
		free((*source)->path);
		free((*source)->real);
		free((*source)->problem);
		free(*source);
		*source = NULL;
	}
}

void config_free(struct config **root)
{
	if (*root == NULL) {
		return;
	}
	KMS_ASSERT((*root)->parent == NULL);
	struct config_source *source = (*root)->source;
	config_node_free(root);
	config_source_free(&source);
}

kms_err config_node_add(struct config *parent, struct config *child)
{
	/* Room doubles: it is full whenever the count is a power of two. */
	if ((parent->count & (parent->count - 1)) == 0) {
		size_t room = parent->count == 0 ? 1 : parent->count * 2;
		struct config **more = reallocarray(parent->children, room, sizeof(*more));
		if (more == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		parent->children = more;
	}
	parent->children[parent->count++] = child;
	return KMS_OK;
}

struct config *config_node_find(const struct config *map, const char *name)
{
	KMS_ASSERT(map != NULL && map->kind == NODE_MAP);
	for (size_t i = 0; i < map->count; i++) {
		if (strcmp(map->children[i]->name, name) == 0) {
			return map->children[i];
		}
	}
	return NULL;
}

/* Only suggestions need it, so a lack of memory loses a suggestion and nothing else. */
static void remember(struct config *map, const char *name)
{
	for (size_t i = 0; i < map->asked_count; i++) {
		if (strcmp(map->asked[i], name) == 0) {
			return;
		}
	}
	char **more = reallocarray(map->asked, map->asked_count + 1, sizeof(*more));
	if (more == NULL) {
		return;
	}
	map->asked = more;
	char *copy = strdup(name);
	if (copy != NULL) {
		map->asked[map->asked_count++] = copy;
	}
}

struct config *config_node_ask(struct config *map, const char *name)
{
	struct config *node = config_node_find(map, name);
	if (node != NULL) {
		node->read = true;
	} else {
		remember(map, name);
	}
	return node;
}

/* ---- complaints ---- */

kms_err config_source_vrefuse(
	struct config_source *source, unsigned line, const char *format, va_list args)
{
	if (source->problem != NULL) {
		return KMS_ERR(CONFIG);
	}
	KMS_AUTO_FREE char *what = NULL;
	if (vasprintf(&what, format, args) < 0) {
		what = NULL;
		return KMS_ERR(NO_MEMORY);
	}
	if (line == 0) {
		KMS_TRY(kms_text(&source->problem, "%s: %s", source->path, what));
	} else {
		KMS_TRY(kms_text(&source->problem, "%s:%u: %s", source->path, line, what));
	}
	kms_log(KMS_LOG_ERROR, "%s", source->problem);
	return KMS_ERR(CONFIG);
}

kms_err config_source_refuse(struct config_source *source, unsigned line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	kms_err err = config_source_vrefuse(source, line, format, args);
	va_end(args);
	return err;
}

kms_err config_refuse(struct config *node, const char *name, const char *format, ...)
{
	const struct config *at = node;
	if (name != NULL) {
		const struct config *member = config_node_find(node, name);
		at = member != NULL ? member : node;
	}
	va_list args;
	va_start(args, format);
	kms_err err = config_source_vrefuse(node->source, at->line, format, args);
	va_end(args);
	return err;
}

unsigned config_line(const struct config *node)
{
	return node->line;
}

const char *config_file(const struct config *node)
{
	return node->source->path;
}

const char *config_problem(const struct config *node)
{
	return node->source->problem != NULL ? node->source->problem : "";
}

/* ---- keys that nobody asked for ---- */

/* Changed, missing, added and swapped characters from a to b (optimal string alignment). */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][CONFIG_NAME_MAX + 1];
	size_t *before = rows[0];
	size_t *above = rows[1];
	size_t *row = rows[2];
	size_t len_a = strlen(a);
	size_t len_b = strlen(b);
	if (len_a > CONFIG_NAME_MAX || len_b > CONFIG_NAME_MAX) {
		return SIZE_MAX;
	}
	for (size_t j = 0; j <= len_b; j++) {
		row[j] = j;
	}
	for (size_t i = 1; i <= len_a; i++) {
		size_t *spare = before;
		before = above;
		above = row;
		row = spare;
		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t best = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
			best = above[j] + 1 < best ? above[j] + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < best) {
				best = before[j - 2] + 1;
			}
			row[j] = best;
		}
	}
	return row[len_b];
}

/* A slip of the finger, and not just another word. */
static bool is_close(size_t steps, const char *name)
{
	return steps <= strlen(name) / 3 + 1 && steps < strlen(name);
}

const struct config *config_node_nearest(const struct config *map, const char *name)
{
	const struct config *nearest = NULL;
	size_t least = SIZE_MAX;
	for (size_t i = 0; i < map->count; i++) {
		const struct config *node = map->children[i];
		size_t steps = node->read ? SIZE_MAX : distance(node->name, name);
		if (steps < least) {
			least = steps;
			nearest = node;
		}
	}
	return nearest != NULL && is_close(least, name) ? nearest : NULL;
}

/* The closest key that was asked for and is not there, else of those that are. */
static const char *nearest_known(const struct config *map, const char *name)
{
	const char *nearest = NULL;
	size_t least = SIZE_MAX;
	for (size_t i = 0; i < map->asked_count; i++) {
		size_t steps = distance(map->asked[i], name);
		if (steps < least) {
			least = steps;
			nearest = map->asked[i];
		}
	}
	for (size_t i = 0; i < map->count; i++) {
		size_t steps =
			map->children[i]->read ? distance(map->children[i]->name, name) : SIZE_MAX;
		if (steps < least) {
			least = steps;
			nearest = map->children[i]->name;
		}
	}
	return nearest != NULL && is_close(least, name) ? nearest : NULL;
}

static kms_err unknown(const struct config *node)
{
	if (node->name == NULL) {
		return config_source_refuse(
			node->source, node->line, "one item too many; remove it");
	}
	const char *known = nearest_known(node->parent, node->name);
	if (known != NULL) {
		return config_source_refuse(node->source, node->line,
			"unknown key `%s`; did you mean `%s`?", node->name, known);
	}
	return config_source_refuse(
		node->source, node->line, "unknown key `%s`; remove it", node->name);
}

static kms_err check_all_read(const struct config *node)
{
	for (size_t i = 0; i < node->count; i++) {
		const struct config *child = node->children[i];
		if (!child->read) {
			return unknown(child);
		}
		KMS_TRY(check_all_read(child));
	}
	return KMS_OK;
}

kms_err config_end(struct config *map)
{
	/* A caller that went on after a complaint does not get away with it. */
	if (map->source->problem != NULL) {
		return KMS_ERR(CONFIG);
	}
	return check_all_read(map);
}
