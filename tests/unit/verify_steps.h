/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of bundles that are wrong in a step and signed anew, manifest and all, with every key that
 * their makers could have: exactly the steps that the fault implies fail, each with a reason in
 * both languages.
 */
#ifndef VERIFY_STEPS_H
#define VERIFY_STEPS_H

#include <kms/verify.h>

#include "bundle_files.h"

static char trust_path[64];

static inline void set_up(void)
{
	bundle_keys_make();
	(void)snprintf(trust_path, sizeof(trust_path), "%s/trust.json", bundle_keys);
	KMS_AUTO(doc) trust = trust_doc(TRUST_WHOLE);
	trust_write(trust_path, trust);
}

/* ---- helpers of the bends ---- */

static inline struct doc *object(struct world *world, const char *name)
{
	struct doc *doc = NULL;
	ck_ok(doc_get_object(world->certificate, name, &doc));
	return doc;
}

static inline struct doc *row(struct world *world, const char *list, size_t i)
{
	struct doc *array = NULL, *item = NULL;
	ck_ok(doc_get_array(world->certificate, list, &array));
	ck_ok(doc_item_object(array, i, &item));
	return item;
}

/* The list with rows in that order; -1 ends it. */
static inline void reorder(struct world *world, const char *list, const int *order)
{
	KMS_AUTO(doc) array = NULL;
	ck_ok(doc_new_array(&array));
	for (; *order >= 0; order++) {
		doc_add_copy(array, row(world, list, (size_t)*order));
	}
	doc_set_copy(world->certificate, list, array);
}

static inline struct model_change *entry(struct world *world, enum model_change_type type, size_t n)
{
	return &world->entries[entry_find(world, type, n)].change;
}

static inline void hide(struct world *world, enum model_change_type type, size_t n)
{
	world->entries[entry_find(world, type, n)].hidden = true;
}

static inline void claim_final(struct world *world)
{
	doc_set_text(world->certificate, "status", "final");
	world->final = true;
}

/* A note of the ledger's key over any text. */
static inline void note_text(struct world *world, const char *text)
{
	kms_buf_free(&world->note);
	note_sign(SIGNER_LOG, kms_bytes_str(text), &world->note);
}

static inline void note_replace(struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static inline void note_replace(struct world *world, const char *format, ...)
{
	static char bytes[8192];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(bytes, sizeof(bytes), format, args);
	va_end(args);
	kms_buf_free(&world->note);
	ck_ok(kms_buf_copy(kms_bytes_str(bytes), &world->note));
}

static inline char *note_string(const struct world *world)
{
	return strndup((const char *)world->note.ptr, world->note.len);
}

static inline void proof_copy(struct world *world, const char *to, const char *from)
{
	const struct model_file *source = file_find(world, from);
	file_set(file_find(world, to), kms_buf_bytes(&source->bytes));
}

static inline void file_drop(struct world *world, const char *name)
{
	struct model_file *file = file_find(world, name);
	kms_buf_free(&file->bytes);
	*file = world->files[--world->file_count];
	world->files[world->file_count].bytes = (struct kms_buf){0};
}

/* ---- the table ---- */

#define BEND(name) static void name(struct world *world)
#define S(n) (1u << (n))
struct wrong {
	const char *name;
	unsigned steps; /* that fail */
	enum stage stage;
	void (*bend)(struct world *world);
};
#define CASE(bend, stage, steps)                                                                   \
	{                                                                                          \
#bend, (steps), STAGE_##stage, (bend)                                              \
	}

/* ---- verify it ---- */

/* Japanese holds names and ids in ASCII, and no three English words in a row. */
static inline bool is_japanese(const char *text)
{
	unsigned words = 0;
	for (const char *at = text; *at != '\0';) {
		size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz");
		bool ends = at[len] == ' ' || at[len] == '\0' || (at[len] & 0x80) != 0;
		words = len > 1 && ends ? words + 1 : 0;
		if (words == 3) {
			return false;
		}
		at += len;
		at += *at != '\0' ? 1 : 0;
	}
	return true;
}

static inline void check_texts(struct doc *list)
{
	for (size_t i = 0; i < doc_count(list); i++) {
		struct doc *item = NULL;
		const char *text = NULL;
		ck_ok(doc_item_object(list, i, &item));
		ck_ok(doc_get_text(item, "text", &text));
		ck_assert_uint_gt(strlen(text), 0);
		ck_ok(doc_get_text(item, "ja", &text));
		ck_assert_uint_gt(strlen(text), 0);
		ck_assert_msg(is_japanese(text), "%s", text);
	}
}

/* The steps that failed, each with a reason in both languages; the JSON for whoever debugs. */
static inline unsigned failed_steps(struct world *world, kms_err *ret_err, char **ret_json)
{
	char folder[64];
	KMS_AUTO(doc) report = NULL;
	struct doc *steps = NULL;
	unsigned failed = 0;
	(void)snprintf(folder, sizeof(folder), "%s/b%d", bundle_keys, (int)getpid());
	world_lay_out(world, folder);
	*ret_err = kms_verify_bundle(trust_path, folder, ret_json);
	bundle_shell("rm -rf %s", folder);
	ck_assert_ptr_nonnull(*ret_json);
	ck_ok(doc_parse(kms_bytes_str(*ret_json), 4 * 1024 * 1024, &report));
	ck_ok(doc_get_array(report, "steps", &steps));
	ck_assert_uint_eq(doc_count(steps), 11);
	for (size_t i = 0; i < 11; i++) {
		struct doc *item = NULL, *reasons = NULL;
		const char *result = NULL;
		ck_ok(doc_item_object(steps, i, &item));
		ck_ok(doc_get_text(item, "result", &result));
		ck_ok(doc_get_array(item, "reasons", &reasons));
		if (strcmp(result, "fail") == 0) {
			failed |= S(i + 1);
			ck_assert_uint_gt(doc_count(reasons), 0);
		}
		check_texts(reasons);
		if (i + 1 == 8 || i + 1 == 11) {
			ck_assert_str_eq(result, "not shown");
		}
	}
	return failed;
}

static inline void expect_wrong(const struct wrong *wrong)
{
	kms_err err;
	KMS_AUTO_FREE char *json = NULL;
	struct world *world = world_make(0, wrong->stage, wrong->bend);
	unsigned failed = failed_steps(world, &err, &json);
	ck_assert_msg(failed == wrong->steps, "%s: steps %#x failed, not %#x\n%.4000s", wrong->name,
		failed, wrong->steps, json);
	ck_assert(kms_is(err, KMS_CODE_INTEGRITY));
	world_free(world);
}

#endif
