/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML to the tree, over libyaml's events: they carry line numbers, and aliases arrive as events
 * and are refused before anything is expanded. Runs in every program, before it does anything
 * else. It must never guess: what is not plainly a mapping, list or scalar is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config_int.h"

struct parse {
	yaml_parser_t parser;
	struct config_source *source;
	struct kms_bytes yaml;
};

static unsigned line_of(const yaml_event_t *event)
{
	return (unsigned)event->start_mark.line + 1;
}

/* libyaml's reader tells where bad UTF-8 is by offset, everything else by mark. */
static unsigned line_of_problem(const struct parse *parse)
{
	if (parse->parser.error != YAML_READER_ERROR) {
		return (unsigned)parse->parser.problem_mark.line + 1;
	}
	unsigned line = 1;
	for (size_t i = 0; i < parse->parser.problem_offset && i < parse->yaml.len; i++) {
		line += parse->yaml.ptr[i] == '\n' ? 1 : 0;
	}
	return line;
}

/* The next event; the caller deletes it. */
static kms_err next(struct parse *parse, yaml_event_t *ret_event)
{
	if (yaml_parser_parse(&parse->parser, ret_event) == 1) {
		return KMS_OK;
	}
	if (parse->parser.error == YAML_MEMORY_ERROR) {
		return KMS_ERR(NO_MEMORY);
	}
	return config_source_refuse(parse->source, line_of_problem(parse),
		"not YAML: %s; mind indentation by blanks, quotes and colons",
		parse->parser.problem != NULL ? parse->parser.problem : "it does not parse");
}

/* Text of a scalar: no NUL, and no control character but newline and tab. */
static kms_err copy_text(struct parse *parse, const yaml_event_t *event, char **ret_text)
{
	const unsigned char *value = event->data.scalar.value;
	size_t len = event->data.scalar.length;
	if (len > CONFIG_TEXT_MAX) {
		return config_source_refuse(parse->source, line_of(event),
			"a text of %zu bytes; at most %d are read", len, CONFIG_TEXT_MAX);
	}
	for (size_t i = 0; i < len; i++) {
		if ((value[i] < 0x20 && value[i] != '\n' && value[i] != '\t') || value[i] == 0x7f) {
			return config_source_refuse(parse->source, line_of(event),
				"a control character in a text; remove it");
		}
	}
	char *text = strndup((const char *)value, len);
	if (text == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*ret_text = text;
	return KMS_OK;
}

static kms_err refuse_extras(
	struct parse *parse, unsigned line, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL) {
		return config_source_refuse(
			parse->source, line, "an anchor (&); write the value out where it is used");
	}
	if (tag != NULL) {
		return config_source_refuse(
			parse->source, line, "a tag (!); write the value without it");
	}
	return KMS_OK;
}

static kms_err parse_children(struct parse *parse, struct config *node, unsigned depth);

/* Fill a node, of which the first event is here. */
static kms_err parse_value(
	struct parse *parse, const yaml_event_t *event, struct config *node, unsigned depth)
{
	switch ((int)event->type) {
	case YAML_SCALAR_EVENT:
		KMS_TRY(refuse_extras(
			parse, line_of(event), event->data.scalar.anchor, event->data.scalar.tag));
		node->kind = NODE_SCALAR;
		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		return copy_text(parse, event, &node->text);
	case YAML_MAPPING_START_EVENT:
		KMS_TRY(refuse_extras(parse, line_of(event), event->data.mapping_start.anchor,
			event->data.mapping_start.tag));
		node->kind = NODE_MAP;
		return parse_children(parse, node, depth + 1);
	case YAML_SEQUENCE_START_EVENT:
		KMS_TRY(refuse_extras(parse, line_of(event), event->data.sequence_start.anchor,
			event->data.sequence_start.tag));
		node->kind = NODE_LIST;
		return parse_children(parse, node, depth + 1);
	case YAML_ALIAS_EVENT:
		return config_source_refuse(parse->source, line_of(event),
			"an alias (*); write the value out where it is used");
	default:
		return config_source_refuse(parse->source, line_of(event), "a value is expected");
	}
}

/* A key, with the checks that make it one of ours. */
static kms_err parse_name(
	struct parse *parse, const yaml_event_t *event, const struct config *map, char **ret_name)
{
	unsigned line = line_of(event);
	if (event->type == YAML_ALIAS_EVENT) {
		return config_source_refuse(
			parse->source, line, "an alias (*); write the value out where it is used");
	}
	if (event->type != YAML_SCALAR_EVENT) {
		return config_source_refuse(
			parse->source, line, "a key that is not a word; write `key: value`");
	}
	KMS_TRY(refuse_extras(parse, line, event->data.scalar.anchor, event->data.scalar.tag));
	size_t len = event->data.scalar.length;
	if (len == 0 || len > CONFIG_NAME_MAX) {
		return config_source_refuse(parse->source, line,
			"a key of %zu bytes; it has 1 to %d", len, CONFIG_NAME_MAX);
	}
	KMS_AUTO_FREE char *name = NULL;
	KMS_TRY(copy_text(parse, event, &name));
	const struct config *first = config_node_find(map, name);
	if (first != NULL) {
		return config_source_refuse(parse->source, line,
			"the key `%s` stands in line %u already; remove one of them", name,
			first->line);
	}
	*ret_name = kms_take(&name);
	return KMS_OK;
}

/* One member or item, of which the first event is here. */
static kms_err parse_child(
	struct parse *parse, const yaml_event_t *event, struct config *parent, unsigned depth)
{
	if (parent->count == CONFIG_ITEMS_MAX) {
		return config_source_refuse(parse->source, line_of(event),
			"more than %d entries in one mapping or list; at most that many are read",
			CONFIG_ITEMS_MAX);
	}
	KMS_AUTO_FREE char *name = NULL;
	if (parent->kind == NODE_MAP) {
		KMS_TRY(parse_name(parse, event, parent, &name));
	}
	struct config *child = NULL;
	KMS_TRY(config_node_new(parse->source, parent, NODE_SCALAR, line_of(event), &child));
	child->name = kms_take(&name);
	kms_err err = config_node_add(parent, child);
	if (!kms_is_ok(err)) {
		config_node_free(&child);
		return err;
	}
	if (parent->kind == NODE_LIST) {
		return parse_value(parse, event, child, depth);
	}
	yaml_event_t value;
	KMS_TRY(next(parse, &value));
	err = parse_value(parse, &value, child, depth);
	yaml_event_delete(&value);
	return err;
}

/* All children of a mapping or list whose start was read, to its end. */
static kms_err parse_children(struct parse *parse, struct config *node, unsigned depth)
{
	if (depth > CONFIG_DEPTH_MAX) {
		return config_source_refuse(parse->source, node->line,
			"mappings and lists more than %d deep; make it flatter", CONFIG_DEPTH_MAX);
	}
	for (;;) {
		yaml_event_t event;
		KMS_TRY(next(parse, &event));
		bool is_end = event.type == YAML_MAPPING_END_EVENT ||
			      event.type == YAML_SEQUENCE_END_EVENT;
		kms_err err = is_end ? KMS_OK : parse_child(parse, &event, node, depth);
		yaml_event_delete(&event);
		if (is_end || !kms_is_ok(err)) {
			return err;
		}
	}
}

/* The start of the stream and of its first document, up to the root's first event. */
static kms_err parse_start(struct parse *parse, yaml_event_t *ret_event)
{
	yaml_event_t event;
	KMS_TRY(next(parse, &event)); /* the stream's start */
	yaml_event_delete(&event);
	KMS_TRY(next(parse, &event));
	bool is_document = event.type == YAML_DOCUMENT_START_EVENT;
	bool has_directive =
		is_document && (event.data.document_start.version_directive != NULL ||
				       event.data.document_start.tag_directives.start !=
					       event.data.document_start.tag_directives.end);
	unsigned line = line_of(&event);
	yaml_event_delete(&event);
	if (!is_document) {
		return config_source_refuse(parse->source, 0, "the file is empty");
	}
	if (has_directive) {
		return config_source_refuse(
			parse->source, line, "a YAML directive (%%); remove the line");
	}
	return next(parse, ret_event);
}

/* After the root: the end of the document and of the stream, nothing else. */
static kms_err parse_stop(struct parse *parse)
{
	yaml_event_t event;
	KMS_TRY(next(parse, &event)); /* the document's end */
	yaml_event_delete(&event);
	KMS_TRY(next(parse, &event));
	bool is_end = event.type == YAML_STREAM_END_EVENT;
	unsigned line = line_of(&event);
	yaml_event_delete(&event);
	if (!is_end) {
		return config_source_refuse(parse->source, line,
			"a second document; a file has one, remove the `---` and what follows");
	}
	return KMS_OK;
}

static kms_err parse_root(struct parse *parse, struct config *root)
{
	yaml_event_t event;
	KMS_TRY(parse_start(parse, &event));
	kms_err err;
	if (event.type == YAML_MAPPING_START_EVENT) {
		root->line = line_of(&event);
		err = parse_value(parse, &event, root, 0);
	} else {
		err = config_source_refuse(parse->source, line_of(&event),
			"the file does not start with a mapping; write `key: value` lines");
	}
	yaml_event_delete(&event);
	KMS_TRY(err);
	return parse_stop(parse);
}

static kms_err source_new(const char *path, struct config_source **ret_source)
{
	struct config_source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	source->path = strdup(path);
	if (source->path == NULL) {
		free(source);
		return KMS_ERR(NO_MEMORY);
	}
	*ret_source = source;
	return KMS_OK;
}

/* Takes the source over. */
static kms_err parse_source(
	struct config_source *source, struct kms_bytes yaml, struct config **ret_root)
{
	KMS_AUTO(config) root = NULL;
	kms_err err = config_node_new(source, NULL, NODE_MAP, 1, &root);
	if (!kms_is_ok(err)) {
		config_source_free(&source);
		return err;
	}
	if (yaml.len > CONFIG_FILE_MAX) {
		return config_source_refuse(
			source, 0, "the file is over %d bytes", CONFIG_FILE_MAX);
	}
	if (yaml.len == 0) {
		return config_source_refuse(source, 0, "the file is empty");
	}
	struct parse parse = {.source = source, .yaml = yaml};
	if (yaml_parser_initialize(&parse.parser) != 1) {
		return KMS_ERR(NO_MEMORY);
	}
	/* Named, so that a byte-order mark cannot turn the text into UTF-16. */
	yaml_parser_set_encoding(&parse.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parse.parser, yaml.ptr, yaml.len);
	err = parse_root(&parse, root);
	yaml_parser_delete(&parse.parser);
	KMS_TRY(err);
	*ret_root = kms_take(&root);
	return KMS_OK;
}

kms_err config_parse(const char *path, struct kms_bytes yaml, struct config **ret_root)
{
	struct config_source *source = NULL;
	KMS_TRY(source_new(path, &source));
	return parse_source(source, yaml, ret_root);
}

kms_err config_read(const char *path, struct config **ret_root)
{
	struct config_source *source = NULL;
	KMS_TRY(source_new(path, &source));
	KMS_AUTO_BUF buf = {0};
	errno = 0;
	kms_err err = kms_file_read(path, CONFIG_FILE_MAX, &buf);
	if (kms_is_ok(err)) {
		/* Paths in it stay good when the working directory changes. */
		source->real = realpath(path, NULL);
		return parse_source(source, kms_buf_bytes(&buf), ret_root);
	}
	if (kms_is(err, KMS_CODE_TOO_LARGE)) {
		err = config_source_refuse(source, 0, "the file is over %d bytes", CONFIG_FILE_MAX);
	} else if (!kms_is(err, KMS_CODE_NO_MEMORY)) {
		err = config_source_refuse(source, 0, "the file cannot be read: %s",
			errno != 0 ? strerror(errno) : kms_err_text(err));
	}
	config_source_free(&source);
	return err;
}
