/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a killed or failed making of a KEK leaves, and its end. An intent is durable before the
 * token makes anything, so that a start never has to guess: a KEK without birth and without intent
 * is left alone, since it may be one whose birth was lost.
 */
#include "keks_int.h"

#include <search.h>
#include <stdlib.h>

kms_err keks_intend(struct tokend *tokend, const struct kms_id *id)
{
	char name[KEKS_FILE_BYTES];
	return state_write(&tokend->state, keks_file(id, "intent", name), (struct kms_bytes){0});
}

kms_err keks_intent_end(struct tokend *tokend, const struct kms_id *id)
{
	char name[KEKS_FILE_BYTES];
	KMS_TRY(state_remove(&tokend->state, keks_file(id, "birth.new", name)));
	return state_remove(&tokend->state, keks_file(id, "intent", name));
}

kms_err keks_unmake(struct tokend *tokend, const struct kms_id *id)
{
	char name[KEKS_FILE_BYTES];
	/* The birth goes first: it may be on disk although writing it failed. */
	KMS_TRY(state_remove(&tokend->state, keks_file(id, "birth", name)));
	kms_err err = p11_kek_destroy(tokend->p11, id);
	if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NOT_FOUND)) {
		return err;
	}
	return keks_intent_end(tokend, id);
}

/* ---- the sweep at a start ---- */

struct intents {
	struct keks *keks;
	struct kms_id *open; /* intents without a birth */
	size_t count;
};

static kms_err note_intent(struct tokend *tokend, const struct kms_id *id, void *arg)
{
	struct intents *intents = arg;
	if (keks_find(intents->keks, id) != NULL) {
		return keks_intent_end(tokend, id);
	}
	struct kms_id *more =
		reallocarray(intents->open, intents->count + 1, sizeof(*intents->open));
	if (more == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	intents->open = more;
	intents->open[intents->count++] = *id;
	return KMS_OK;
}

/* Killed before the intent was one: nothing was made. */
static kms_err drop_unfinished(struct tokend *tokend, const struct kms_id *id, void *arg)
{
	(void)arg;
	char name[KEKS_FILE_BYTES];
	return state_remove(&tokend->state, keks_file(id, "intent.new", name));
}

/* A half-made object may have no id yet: with an intent open, that is whose it is. */
static bool is_litter(const struct intents *intents, const struct p11_object *object)
{
	if (kms_id_is_zero(&object->id)) {
		return !object->whole && intents->count > 0;
	}
	const struct kek *kek = keks_find(intents->keks, &object->id);
	if (kek != NULL) {
		return kek->life == KEK_ABANDONED; /* killed between the mark and the destruction */
	}
	for (size_t i = 0; i < intents->count; i++) {
		if (kms_id_equal(&intents->open[i], &object->id)) {
			return true;
		}
	}
	return false;
}

void keks_reappeared(struct kek *kek, const char *where)
{
	char text[KMS_ID_TEXT];
	kek->reappeared = true;
	kms_log(KMS_LOG_ERROR,
		"KEK %s was erased by statement and is in the token again (as %s): was an older "
		"copy of the token put back? It is never used, and left alone as evidence",
		kms_id_text(&kek->birth.kek, text), where);
}

static void match_erased(const void *node, VISIT visit, void *closure)
{
	struct p11_object *object = closure;
	struct kek *kek = *(struct kek *const *)node;
	char text[KMS_ID_TEXT];
	if ((visit == postorder || visit == leaf) && kek->life == KEK_DESTROYED &&
		kms_hash_equal(&kek->birth.commitment, &object->commitment)) {
		keks_reappeared(kek, kms_id_text(&object->id, text));
	}
}

static kms_err sweep_objects(struct tokend *tokend, const struct intents *intents)
{
	struct p11_object *objects KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(p11_object_list(tokend->p11, &objects, &count));
	for (size_t i = 0; i < count; i++) {
		char text[KMS_ID_TEXT];
		struct p11_object *object = &objects[i];
		if (is_litter(intents, object)) {
			kms_log(KMS_LOG_WARNING, "sweeping an object that was never born: %s %s",
				kms_id_text(&object->id, text), object->file);
			KMS_TRY(p11_object_destroy(tokend->p11, object));
		} else if (kms_id_is_zero(&object->id) ||
			   keks_find(intents->keks, &object->id) == NULL) {
			kms_log(KMS_LOG_ERROR,
				"%s %s in the token has no birth in %s/kek and none was begun: was "
				"the directory restored from an older copy? It is left alone",
				kms_id_text(&object->id, text), object->file, tokend->state.dir);
			twalk_r(intents->keks->by_id, match_erased, object);
		}
	}
	return KMS_OK;
}

kms_err keks_sweep(struct tokend *tokend, struct keks *keks)
{
	struct intents intents = {.keks = keks};
	kms_err err = keks_each_file(tokend, "intent.new", drop_unfinished, NULL);
	if (kms_is_ok(err)) {
		err = keks_each_file(tokend, "intent", note_intent, &intents);
	}
	if (kms_is_ok(err)) {
		err = sweep_objects(tokend, &intents);
	}
	for (size_t i = 0; kms_is_ok(err) && i < intents.count; i++) {
		err = keks_intent_end(tokend, &intents.open[i]);
	}
	free(intents.open);
	return err;
}
