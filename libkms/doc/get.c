/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading cursor: members by name and type, each remembered as read. Runs in every program
 * that speaks JSON. It must never abort for what a document holds, nor put a value into a problem
 * text: only names and types.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "doc_int.h"

enum { PROBLEM_MAX = 256, NAME_SHOWN = 64 };

static const char *const TYPE_NAMES[] = {
	[DOC_NULL] = "null",
	[DOC_BOOL] = "a boolean",
	[DOC_INT] = "an integer",
	[DOC_TEXT] = "a string",
	[DOC_ARRAY] = "an array",
	[DOC_OBJECT] = "an object",
};

static size_t place_of(const struct doc *node)
{
	size_t i = 0;
	while (node->parent->children[i] != node) {
		i++;
	}
	return i;
}

/* As people write it: slots[2].kek. Recursion as deep as the tree. */
static void write_path(const struct doc *node, struct kms_writer *path)
{
	if (node->parent == NULL) {
		return;
	}
	write_path(node->parent, path);
	if (node->name == NULL) {
		kms_write_format(path, "[%zu]", place_of(node));
	} else {
		kms_write_format(path, "%s%.*s", node->parent->parent == NULL ? "" : ".",
			NAME_SHOWN, node->name);
	}
}

/* Keep the first problem of the document: the node, a member of it (or NULL), and what is wrong. */
static kms_err refuse(struct doc *node, const char *member, const char *reason)
{
	struct doc *root = doc_node_root(node);
	if (root->problem != NULL) {
		return KMS_ERR(FORMAT);
	}
	KMS_AUTO_WRITER text = kms_writer_grow(PROBLEM_MAX + DOC_DEPTH_MAX * NAME_SHOWN);
	write_path(node, &text);
	if (member != NULL) {
		kms_write_format(
			&text, "%s%.*s", node->parent == NULL ? "" : ".", NAME_SHOWN, member);
	} else if (node->parent == NULL) {
		kms_write_text(&text, "the document");
	}
	kms_write_format(&text, ": %s", reason);
	kms_write_u8(&text, '\0');
	struct kms_buf problem = {0};
	if (kms_is_ok(kms_writer_take(&text, &problem))) {
		root->problem = (char *)problem.ptr;
		kms_log(KMS_LOG_DEBUG, "JSON refused: %s", root->problem);
	}
	return KMS_ERR(FORMAT);
}

static kms_err refuse_type(struct doc *node, enum doc_type wanted)
{
	char reason[PROBLEM_MAX];
	(void)snprintf(reason, sizeof(reason), "is %s, not %s", TYPE_NAMES[node->type],
		TYPE_NAMES[wanted]);
	return refuse(node, NULL, reason);
}

static kms_err need_type(struct doc *node, enum doc_type wanted)
{
	return node->type == wanted ? KMS_OK : refuse_type(node, wanted);
}

static kms_err get(struct doc *object, const char *name, enum doc_type type, struct doc **ret_node)
{
	KMS_TRY(need_type(object, DOC_OBJECT));
	size_t at;
	if (!doc_node_find(object, name, &at)) {
		return refuse(object, name, "is missing");
	}
	struct doc *node = object->children[at];
	KMS_TRY(need_type(node, type));
	node->was_read = true;
	*ret_node = node;
	return KMS_OK;
}

kms_err doc_get_text(struct doc *object, const char *name, const char **ret_text)
{
	struct doc *node = NULL;
	KMS_TRY(get(object, name, DOC_TEXT, &node));
	*ret_text = node->text;
	return KMS_OK;
}

kms_err doc_get_int(struct doc *object, const char *name, int64_t *ret_value)
{
	struct doc *node = NULL;
	KMS_TRY(get(object, name, DOC_INT, &node));
	*ret_value = node->number;
	return KMS_OK;
}

kms_err doc_get_uint(struct doc *object, const char *name, uint64_t max, uint64_t *ret_value)
{
	struct doc *node = NULL;
	KMS_TRY(get(object, name, DOC_INT, &node));
	if (node->number < 0 || (uint64_t)node->number > max) {
		char reason[PROBLEM_MAX];
		(void)snprintf(reason, sizeof(reason), "is not between 0 and %ju", (uintmax_t)max);
		return refuse(node, NULL, reason);
	}
	*ret_value = (uint64_t)node->number;
	return KMS_OK;
}

kms_err doc_get_bool(struct doc *object, const char *name, bool *ret_value)
{
	struct doc *node = NULL;
	KMS_TRY(get(object, name, DOC_BOOL, &node));
	*ret_value = node->number != 0;
	return KMS_OK;
}

kms_err doc_get_id(struct doc *object, const char *name, struct kms_id *ret_id)
{
	struct doc *node = NULL;
	KMS_TRY(get(object, name, DOC_TEXT, &node));
	return kms_is_ok(kms_id_parse(node->text, ret_id)) ? KMS_OK
							   : refuse(node, NULL, "is not a UUID");
}

kms_err doc_get_hash(struct doc *object, const char *name, struct kms_hash *ret_hash)
{
	struct doc *node = NULL;
	KMS_TRY(get(object, name, DOC_TEXT, &node));
	return kms_is_ok(kms_hash_parse(node->text, ret_hash))
		       ? KMS_OK
		       : refuse(node, NULL, "is not a SHA-256 value in hex");
}

kms_err doc_get_bytes(struct doc *object, const char *name, size_t max, struct kms_buf *ret_buf)
{
	struct doc *node = NULL;
	KMS_TRY(get(object, name, DOC_TEXT, &node));
	struct kms_bytes text = kms_bytes_str(node->text);
	kms_err err = kms_base64_decode(node->text, text.len, max, ret_buf);
	if (kms_is(err, KMS_CODE_TOO_LARGE)) {
		KMS_IGNORE(refuse(node, NULL, "is too long"));
	} else if (kms_is(err, KMS_CODE_FORMAT)) {
		KMS_IGNORE(refuse(node, NULL, "is not base64"));
	}
	return err;
}

kms_err doc_get_object(struct doc *object, const char *name, struct doc **ret_borrowed)
{
	return get(object, name, DOC_OBJECT, ret_borrowed);
}

kms_err doc_get_array(struct doc *object, const char *name, struct doc **ret_borrowed)
{
	return get(object, name, DOC_ARRAY, ret_borrowed);
}

bool doc_has(struct doc *object, const char *name)
{
	size_t at;
	if (object->type != DOC_OBJECT || !doc_node_find(object, name, &at)) {
		return false;
	}
	struct doc *node = object->children[at];
	if (node->type == DOC_NULL) {
		node->was_read = true;
		return false;
	}
	return true;
}

kms_err doc_end(struct doc *object)
{
	KMS_TRY(need_type(object, DOC_OBJECT));
	for (size_t i = 0; i < object->count; i++) {
		if (!object->children[i]->was_read) {
			return refuse(object->children[i], NULL, "is not known here");
		}
	}
	return KMS_OK;
}

size_t doc_count(const struct doc *array_or_object)
{
	return array_or_object->count;
}

static kms_err item(struct doc *array, size_t i, enum doc_type type, struct doc **ret_node)
{
	KMS_TRY(need_type(array, DOC_ARRAY));
	if (i >= array->count) {
		return refuse(array, NULL, "has too few items");
	}
	KMS_TRY(need_type(array->children[i], type));
	*ret_node = array->children[i];
	return KMS_OK;
}

kms_err doc_item_object(struct doc *array, size_t i, struct doc **ret_borrowed)
{
	return item(array, i, DOC_OBJECT, ret_borrowed);
}

kms_err doc_item_text(struct doc *array, size_t i, const char **ret_text)
{
	struct doc *node = NULL;
	KMS_TRY(item(array, i, DOC_TEXT, &node));
	*ret_text = node->text;
	return KMS_OK;
}

kms_err doc_item_int(struct doc *array, size_t i, int64_t *ret_value)
{
	struct doc *node = NULL;
	KMS_TRY(item(array, i, DOC_INT, &node));
	*ret_value = node->number;
	return KMS_OK;
}

kms_err doc_member_text(struct doc *object, size_t i, const char **ret_name, const char **ret_text)
{
	KMS_TRY(need_type(object, DOC_OBJECT));
	if (i >= object->count) {
		return refuse(object, NULL, "has too few members");
	}
	struct doc *node = object->children[i];
	KMS_TRY(need_type(node, DOC_TEXT));
	node->was_read = true;
	*ret_name = node->name;
	*ret_text = node->text;
	return KMS_OK;
}

const char *doc_problem(const struct doc *doc)
{
	while (doc->parent != NULL) {
		doc = doc->parent;
	}
	return doc->problem != NULL ? doc->problem : "";
}
