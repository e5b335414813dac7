/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doc: strict JSON in, RFC 8785 (JCS) JSON out. The only module that includes jansson.
 * Values are objects, arrays, strings, booleans, null and integers of less than 2^53; reals are
 * refused. Duplicate names, trailing bytes, bad UTF-8, NUL and deep nesting (over DOC_DEPTH_MAX)
 * are refused.
 *
 * Reading is by a cursor that remembers which members were asked for: doc_end() refuses an object
 * with a member that nobody read, so an unknown field is always an error and never ignored.
 * The first failure is logged at debug level with the path of the field, and kept: doc_problem().
 */
#ifndef KMS_DOC_H
#define KMS_DOC_H

#include "base.h"

enum { DOC_DEPTH_MAX = 16 };

/* A JSON value, owned, or borrowed from its parent where a function says so. */
struct doc;
void doc_free(struct doc **doc);

/* ---- in ---- */

/* At most max bytes (TOO_LARGE), one object or array, else FORMAT. */
kms_err doc_parse(struct kms_bytes json, size_t max, struct doc **ret_doc);

/* Members of an object: FORMAT when absent or of another type. Returned pointers are borrowed and
 * live as long as the document. */
kms_err doc_get_text(struct doc *object, const char *name, const char **ret_text);
kms_err doc_get_int(struct doc *object, const char *name, int64_t *ret_value);
kms_err doc_get_uint(struct doc *object, const char *name, uint64_t max, uint64_t *ret_value);
kms_err doc_get_bool(struct doc *object, const char *name, bool *ret_value);
kms_err doc_get_id(struct doc *object, const char *name, struct kms_id *ret_id);       /* UUID */
kms_err doc_get_hash(struct doc *object, const char *name, struct kms_hash *ret_hash); /* hex */
kms_err doc_get_bytes(
	struct doc *object, const char *name, size_t max, struct kms_buf *ret_buf); /* base64 */
kms_err doc_get_object(struct doc *object, const char *name, struct doc **ret_borrowed);
kms_err doc_get_array(struct doc *object, const char *name, struct doc **ret_borrowed);
/* Is there such a member, other than null? Counts as read when it is null. */
bool doc_has(struct doc *object, const char *name);
/* Every member was read, else FORMAT. */
kms_err doc_end(struct doc *object);

size_t doc_count(const struct doc *array_or_object);
/* Item i of an array. */
kms_err doc_item_object(struct doc *array, size_t i, struct doc **ret_borrowed);
kms_err doc_item_text(struct doc *array, size_t i, const char **ret_text);
kms_err doc_item_int(struct doc *array, size_t i, int64_t *ret_value);
/* Member i of an object whose members are all strings (an encryption context); counts as read. */
kms_err doc_member_text(struct doc *object, size_t i, const char **ret_name, const char **ret_text);

/* Path and reason of the first failure since the document was parsed, or "" ; borrowed. */
const char *doc_problem(const struct doc *doc);

/* ---- out ---- */

kms_err doc_new_object(struct doc **ret_doc);
kms_err doc_new_array(struct doc **ret_doc);
/* Set a member; the text is copied. Failures stick to the object and show in doc_write. */
void doc_set_text(struct doc *object, const char *name, const char *text);
void doc_set_int(struct doc *object, const char *name, int64_t value);
void doc_set_bool(struct doc *object, const char *name, bool value);
void doc_set_null(struct doc *object, const char *name);
void doc_set_id(struct doc *object, const char *name, const struct kms_id *id);
void doc_set_hash(struct doc *object, const char *name, const struct kms_hash *hash);
void doc_set_bytes(struct doc *object, const char *name, struct kms_bytes bytes); /* base64 */
void doc_set_time(struct doc *object, const char *name, int64_t unix_ms); /* text, RFC 3339 */
/* Add a child object or array; the result is borrowed, never NULL. */
struct doc *doc_set_object(struct doc *object, const char *name);
struct doc *doc_set_array(struct doc *object, const char *name);
void doc_set_copy(struct doc *object, const char *name, const struct doc *value);
void doc_add_text(struct doc *array, const char *text);
void doc_add_int(struct doc *array, int64_t value);
void doc_add_copy(struct doc *array, const struct doc *value);
struct doc *doc_add_object(struct doc *array);
/* RFC 8785 bytes, no newline at the end. */
kms_err doc_write(const struct doc *doc, struct kms_buf *ret_json);
/* Indented, for people; a newline at the end. */
kms_err doc_write_pretty(const struct doc *doc, struct kms_buf *ret_json);

#endif
