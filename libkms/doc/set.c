/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building documents. Runs in every program that speaks JSON. The first failure sticks to the root
 * and shows in doc_write; it must never be lost, or a document would go out with a part missing.
 */
#include <stdlib.h>
#include <string.h>

#include "doc_int.h"

kms_err doc_new_object(struct doc **ret_doc)
{
	return doc_node_new(DOC_OBJECT, ret_doc);
}

kms_err doc_new_array(struct doc **ret_doc)
{
	return doc_node_new(DOC_ARRAY, ret_doc);
}

/* An owned copy of a text that JSON can carry. */
static kms_err copy_text(const char *from, char **ret_text)
{
	if (!doc_utf8_valid(from)) {
		return KMS_ERR(FORMAT);
	}
	char *text = strdup(from);
	if (text == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*ret_text = text;
	return KMS_OK;
}

static kms_err check_depth(const struct doc *parent, const struct doc *node)
{
	bool container = node->type == DOC_OBJECT || node->type == DOC_ARRAY;
	return container && doc_node_depth(parent) >= DOC_DEPTH_MAX ? KMS_ERR(TOO_LARGE) : KMS_OK;
}

/* Put a node under its name, over what stood there. Returns it borrowed. */
static kms_err put(struct doc *object, const char *name, struct doc **node, struct doc **ret_node)
{
	KMS_ASSERT(object->type == DOC_OBJECT);
	KMS_TRY(check_depth(object, *node));
	KMS_TRY(copy_text(name, &(*node)->name));
	struct doc *borrowed = *node;
	size_t at;
	if (doc_node_find(object, name, &at)) {
		doc_free(&object->children[at]);
		object->children[at] = kms_take(node);
		borrowed->parent = object;
	} else {
		KMS_TRY(doc_node_insert(object, at, node));
	}
	*ret_node = borrowed;
	return KMS_OK;
}

static kms_err append(struct doc *array, struct doc **node, struct doc **ret_node)
{
	KMS_ASSERT(array->type == DOC_ARRAY);
	KMS_TRY(check_depth(array, *node));
	struct doc *borrowed = *node;
	KMS_TRY(doc_node_insert(array, array->count, node));
	*ret_node = borrowed;
	return KMS_OK;
}

/* name is NULL for an item of an array. */
static kms_err add(struct doc *parent, const char *name, enum doc_type type, struct doc **ret_node)
{
	KMS_AUTO(doc) node = NULL;
	KMS_TRY(doc_node_new(type, &node));
	return name == NULL ? append(parent, &node, ret_node) : put(parent, name, &node, ret_node);
}

static bool is_failed(struct doc *node)
{
	return doc_node_root(node)->failed != KMS_CODE_OK;
}

static void note(struct doc *node, kms_err err)
{
	struct doc *root = doc_node_root(node);
	if (root->failed == KMS_CODE_OK) {
		root->failed = err.code;
	}
}

/*
 * A child to fill, or NULL when the document has failed: after a failure nothing is set any more,
 * so a borrowed child may be stood in for by any node of the document.
 */
static struct doc *add_noted(struct doc *parent, const char *name, enum doc_type type)
{
	if (is_failed(parent)) {
		return NULL;
	}
	struct doc *child = NULL;
	note(parent, add(parent, name, type, &child));
	return child;
}

static void add_text(struct doc *parent, const char *name, const char *text)
{
	struct doc *child = add_noted(parent, name, DOC_TEXT);
	if (child != NULL) {
		note(parent, copy_text(text, &child->text));
	}
}

void doc_set_text(struct doc *object, const char *name, const char *text)
{
	add_text(object, name, text);
}

void doc_add_text(struct doc *array, const char *text)
{
	add_text(array, NULL, text);
}

static void add_int(struct doc *parent, const char *name, int64_t value)
{
	struct doc *child = add_noted(parent, name, DOC_INT);
	if (child != NULL) {
		bool fits = value <= DOC_INT_MAX && value >= -DOC_INT_MAX;
		child->number = value;
		note(parent, fits ? KMS_OK : KMS_ERR(TOO_LARGE));
	}
}

void doc_set_int(struct doc *object, const char *name, int64_t value)
{
	add_int(object, name, value);
}

void doc_add_int(struct doc *array, int64_t value)
{
	add_int(array, NULL, value);
}

void doc_set_bool(struct doc *object, const char *name, bool value)
{
	struct doc *child = add_noted(object, name, DOC_BOOL);
	if (child != NULL) {
		child->number = value;
	}
}

void doc_set_null(struct doc *object, const char *name)
{
	(void)add_noted(object, name, DOC_NULL);
}

void doc_set_id(struct doc *object, const char *name, const struct kms_id *id)
{
	char text[KMS_ID_TEXT];
	doc_set_text(object, name, kms_id_text(id, text));
}

void doc_set_hash(struct doc *object, const char *name, const struct kms_hash *hash)
{
	char text[KMS_HASH_TEXT];
	doc_set_text(object, name, kms_hash_text(hash, text));
}

void doc_set_bytes(struct doc *object, const char *name, struct kms_bytes bytes)
{
	struct doc *child = add_noted(object, name, DOC_TEXT);
	if (child != NULL) {
		note(object, kms_base64_text(bytes, &child->text));
	}
}

void doc_set_time(struct doc *object, const char *name, int64_t unix_ms)
{
	char text[KMS_TIME_TEXT];
	doc_set_text(object, name, kms_time_text(unix_ms, text));
}

struct doc *doc_set_object(struct doc *object, const char *name)
{
	struct doc *child = add_noted(object, name, DOC_OBJECT);
	return child != NULL ? child : object;
}

struct doc *doc_set_array(struct doc *object, const char *name)
{
	struct doc *child = add_noted(object, name, DOC_ARRAY);
	return child != NULL ? child : object;
}

struct doc *doc_add_object(struct doc *array)
{
	struct doc *child = add_noted(array, NULL, DOC_OBJECT);
	return child != NULL ? child : array;
}

/* Recursion: check_depth() ends it. */
static kms_err copy_node(struct doc *parent, const char *name, const struct doc *from)
{
	struct doc *child = NULL;
	KMS_TRY(add(parent, name, from->type, &child));
	child->number = from->number;
	if (from->text != NULL) {
		KMS_TRY(copy_text(from->text, &child->text));
	}
	for (size_t i = 0; i < from->count; i++) {
		KMS_TRY(copy_node(child, from->children[i]->name, from->children[i]));
	}
	return KMS_OK;
}

static void copy_noted(struct doc *parent, const char *name, const struct doc *value)
{
	if (is_failed(parent)) {
		return;
	}
	const struct doc *source = value;
	while (source->parent != NULL) {
		source = source->parent;
	}
	/* A failure of the source is one of the copy: parts of it are missing. */
	if (source->failed != KMS_CODE_OK) {
		note(parent, (kms_err){source->failed});
	} else {
		note(parent, copy_node(parent, name, value));
	}
}

void doc_set_copy(struct doc *object, const char *name, const struct doc *value)
{
	copy_noted(object, name, value);
}

void doc_add_copy(struct doc *array, const struct doc *value)
{
	copy_noted(array, NULL, value);
}
