/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed getters: what a scalar has to be is decided here and nowhere else. Runs in every program.
 * It must never accept a second spelling of a value: one way to write a thing, the others named
 * in the complaint.
 */
#include <stdio.h>
#include <string.h>

#include "config_int.h"

enum {
	LABEL_MAX = CONFIG_NAME_MAX + 64,
	SHOWN_MAX = 40, /* bytes of a wrong value in a complaint */
};

/* How a complaint calls a node: by its key, or by its place in a list. */
static const char *label(const struct config *node, char text[LABEL_MAX])
{
	const struct config *parent = node->parent;
	if (node->name != NULL) {
		(void)snprintf(text, LABEL_MAX, "`%s`", node->name);
		return text;
	}
	size_t i = 0;
	while (i < parent->count && parent->children[i] != node) {
		i++;
	}
	(void)snprintf(text, LABEL_MAX, "item %zu of `%s`", i + 1,
		parent->name != NULL ? parent->name : "a list");
	return text;
}

static kms_err refuse_missing(const struct config *map, const char *name)
{
	const struct config *near = config_node_nearest(map, name);
	if (near != NULL) {
		return config_source_refuse(map->source, near->line,
			"unknown key `%s`; did you mean `%s`, which is missing?", near->name, name);
	}
	if (map->name == NULL) {
		return config_source_refuse(map->source, map->line,
			"`%s` is missing here; write `%s: ...`", name, name);
	}
	return config_source_refuse(map->source, map->line,
		"`%s` is missing in `%s`; write `%s: ...`", name, map->name, name);
}

static kms_err require(struct config *map, const char *name, struct config **ret_node)
{
	struct config *node = config_node_ask(map, name);
	if (node == NULL) {
		return refuse_missing(map, name);
	}
	*ret_node = node;
	return KMS_OK;
}

static kms_err item(struct config *list, size_t i, struct config **ret_node)
{
	KMS_ASSERT(list != NULL && list->kind == NODE_LIST && i < list->count);
	list->children[i]->read = true;
	*ret_node = list->children[i];
	return KMS_OK;
}

/* A scalar with something in it. YAML has five spellings of null; none of them is a value. */
static kms_err check_scalar(const struct config *node)
{
	char text[LABEL_MAX];
	if (node->kind != NODE_SCALAR) {
		return config_source_refuse(node->source, node->line, "%s is a %s; write one value",
			label(node, text), node->kind == NODE_MAP ? "mapping" : "list");
	}
	bool is_null = node->plain &&
		       (strcmp(node->text, "~") == 0 || strcasecmp(node->text, "null") == 0);
	if (node->text[0] == '\0' || is_null) {
		return config_source_refuse(node->source, node->line,
			"%s has no value; write one, or remove the key", label(node, text));
	}
	return KMS_OK;
}

static kms_err text_of(const struct config *node, const char **ret_text)
{
	KMS_TRY(check_scalar(node));
	*ret_text = node->text;
	return KMS_OK;
}

/* ---- text ---- */

bool config_has(const struct config *map, const char *name)
{
	return config_node_find(map, name) != NULL;
}

kms_err config_get_text(struct config *map, const char *name, const char **ret_text)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return text_of(node, ret_text);
}

kms_err config_get_text_or(
	struct config *map, const char *name, const char *or_text, const char **ret_text)
{
	const struct config *node = config_node_ask(map, name);
	if (node == NULL) {
		*ret_text = or_text;
		return KMS_OK;
	}
	return text_of(node, ret_text);
}

kms_err config_item_text(struct config *list, size_t i, const char **ret_text)
{
	struct config *node = NULL;
	KMS_TRY(item(list, i, &node));
	return text_of(node, ret_text);
}

/* ---- numbers and booleans ---- */

/* Digits to a number; false when it is none, or does not fit. */
static bool parse_uint(const char *text, uint64_t *ret_value)
{
	if (text[0] == '0' && text[1] != '\0') {
		return false; /* YAML 1.1 would read 010 as 8 */
	}
	uint64_t value = 0;
	for (const char *c = text; *c != '\0'; c++) {
		if (*c < '0' || *c > '9') {
			return false;
		}
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*c - '0'), &value)) {
			return false;
		}
	}
	*ret_value = value;
	return true;
}

static kms_err uint_of(const struct config *node, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	char text[LABEL_MAX];
	KMS_TRY(check_scalar(node));
	uint64_t value = 0;
	if (!node->plain || !parse_uint(node->text, &value) || value < min || value > max) {
		return config_source_refuse(node->source, node->line,
			"%s is %s%.*s%s; write a number from %llu to %llu, digits only",
			label(node, text), node->plain ? "" : "\"", SHOWN_MAX, node->text,
			node->plain ? "" : "\"", (unsigned long long)min, (unsigned long long)max);
	}
	*ret_value = value;
	return KMS_OK;
}

kms_err config_get_uint(
	struct config *map, const char *name, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return uint_of(node, min, max, ret_value);
}

kms_err config_get_uint_or(struct config *map, const char *name, uint64_t or_value, uint64_t min,
	uint64_t max, uint64_t *ret_value)
{
	const struct config *node = config_node_ask(map, name);
	if (node == NULL) {
		*ret_value = or_value;
		return KMS_OK;
	}
	return uint_of(node, min, max, ret_value);
}

static kms_err bool_of(const struct config *node, bool *ret_value)
{
	char text[LABEL_MAX];
	KMS_TRY(check_scalar(node));
	bool is_true = strcmp(node->text, "true") == 0;
	if (!node->plain || (!is_true && strcmp(node->text, "false") != 0)) {
		return config_source_refuse(node->source, node->line,
			"%s is %.*s; write true or false, without quotes", label(node, text),
			SHOWN_MAX, node->text);
	}
	*ret_value = is_true;
	return KMS_OK;
}

kms_err config_get_bool(struct config *map, const char *name, bool *ret_value)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return bool_of(node, ret_value);
}

kms_err config_get_bool_or(struct config *map, const char *name, bool or_value, bool *ret_value)
{
	const struct config *node = config_node_ask(map, name);
	if (node == NULL) {
		*ret_value = or_value;
		return KMS_OK;
	}
	return bool_of(node, ret_value);
}

/* ---- words, ids, hashes ---- */

static kms_err choice_of(
	const struct config *node, const char *const words[], size_t count, size_t *ret_index)
{
	char text[LABEL_MAX];
	KMS_TRY(check_scalar(node));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(node->text, words[i]) == 0) {
			*ret_index = i;
			return KMS_OK;
		}
	}
	char allowed[512];
	struct kms_writer writer = kms_writer_fixed(allowed, sizeof(allowed) - 1);
	for (size_t i = 0; i < count; i++) {
		kms_write_format(&writer, "%s%s", i == 0 ? "" : ", ", words[i]);
	}
	allowed[writer.len] = '\0';
	return config_source_refuse(node->source, node->line, "%s is %.*s; write one of: %s",
		label(node, text), SHOWN_MAX, node->text, allowed);
}

kms_err config_get_choice(struct config *map, const char *name, const char *const words[],
	size_t count, size_t *ret_index)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return choice_of(node, words, count, ret_index);
}

kms_err config_item_choice(
	struct config *list, size_t i, const char *const words[], size_t count, size_t *ret_index)
{
	struct config *node = NULL;
	KMS_TRY(item(list, i, &node));
	return choice_of(node, words, count, ret_index);
}

static kms_err id_of(const struct config *node, struct kms_id *ret_id)
{
	char text[LABEL_MAX];
	KMS_TRY(check_scalar(node));
	if (!kms_is_ok(kms_id_parse(node->text, ret_id))) {
		return config_source_refuse(node->source, node->line,
			"%s is not an id; write a UUID in lower case, 36 characters",
			label(node, text));
	}
	return KMS_OK;
}

kms_err config_get_id(struct config *map, const char *name, struct kms_id *ret_id)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return id_of(node, ret_id);
}

kms_err config_item_id(struct config *list, size_t i, struct kms_id *ret_id)
{
	struct config *node = NULL;
	KMS_TRY(item(list, i, &node));
	return id_of(node, ret_id);
}

static kms_err hash_of(const struct config *node, struct kms_hash *ret_hash)
{
	char text[LABEL_MAX];
	KMS_TRY(check_scalar(node));
	if (!kms_is_ok(kms_hash_parse(node->text, ret_hash))) {
		return config_source_refuse(node->source, node->line,
			"%s is not a SHA-256 value; write 64 hex digits in lower case",
			label(node, text));
	}
	return KMS_OK;
}

kms_err config_get_hash(struct config *map, const char *name, struct kms_hash *ret_hash)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return hash_of(node, ret_hash);
}

kms_err config_item_hash(struct config *list, size_t i, struct kms_hash *ret_hash)
{
	struct config *node = NULL;
	KMS_TRY(item(list, i, &node));
	return hash_of(node, ret_hash);
}

/* ---- paths ---- */

static kms_err path_of(struct config *node, const char **ret_path)
{
	char text[LABEL_MAX];
	KMS_TRY(check_scalar(node));
	if (node->text[0] == '~') {
		return config_source_refuse(node->source, node->line,
			"%s starts with `~`, which only shells know; write the path in full",
			label(node, text));
	}
	if (strpbrk(node->text, "\n\t") != NULL) {
		return config_source_refuse(node->source, node->line,
			"%s has a line break or tab in it; write a path on one line",
			label(node, text));
	}
	if (node->path == NULL) {
		const char *file =
			node->source->real != NULL ? node->source->real : node->source->path;
		const char *slash = strrchr(file, '/');
		/* A file without a folder in its name stands in the working directory. */
		int folder = node->text[0] == '/' || slash == NULL ? 0 : (int)(slash - file + 1);
		KMS_TRY(kms_text(&node->path, "%.*s%s", folder, file, node->text));
	}
	*ret_path = node->path;
	return KMS_OK;
}

kms_err config_get_path(struct config *map, const char *name, const char **ret_path)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return path_of(node, ret_path);
}

kms_err config_get_path_or(
	struct config *map, const char *name, const char *or_path, const char **ret_path)
{
	struct config *node = config_node_ask(map, name);
	if (node == NULL) {
		*ret_path = or_path;
		return KMS_OK;
	}
	return path_of(node, ret_path);
}

kms_err config_item_path(struct config *list, size_t i, const char **ret_path)
{
	struct config *node = NULL;
	KMS_TRY(item(list, i, &node));
	return path_of(node, ret_path);
}

/* ---- mappings and lists ---- */

static kms_err branch_of(struct config *node, enum node_kind kind, struct config **ret_node)
{
	char text[LABEL_MAX];
	if (node->kind != kind) {
		return config_source_refuse(node->source, node->line, "%s is not a %s",
			label(node, text),
			kind == NODE_MAP ? "mapping; write `key: value` lines below it"
					 : "list; write `- value` lines below it, or []");
	}
	*ret_node = node;
	return KMS_OK;
}

kms_err config_get_map(struct config *map, const char *name, struct config **ret_map)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return branch_of(node, NODE_MAP, ret_map);
}

kms_err config_get_map_or_none(struct config *map, const char *name, struct config **ret_map)
{
	if (config_node_ask(map, name) == NULL) {
		*ret_map = NULL;
		return KMS_OK;
	}
	return config_get_map(map, name, ret_map);
}

kms_err config_get_list(struct config *map, const char *name, struct config **ret_list)
{
	struct config *node = NULL;
	KMS_TRY(require(map, name, &node));
	return branch_of(node, NODE_LIST, ret_list);
}

kms_err config_get_list_or_none(struct config *map, const char *name, struct config **ret_list)
{
	if (config_node_ask(map, name) == NULL) {
		*ret_list = NULL;
		return KMS_OK;
	}
	return config_get_list(map, name, ret_list);
}

kms_err config_item_map(struct config *list, size_t i, struct config **ret_map)
{
	struct config *node = NULL;
	KMS_TRY(item(list, i, &node));
	return branch_of(node, NODE_MAP, ret_map);
}

size_t config_count(const struct config *list_or_map)
{
	return list_or_map == NULL ? 0 : list_or_map->count;
}

const char *config_name(const struct config *map, size_t i)
{
	KMS_ASSERT(map != NULL && map->kind == NODE_MAP && i < map->count);
	return map->children[i]->name;
}
