/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KEKs of this token in memory: every one that was ever born, by id, and the newest committed
 * one of each key. What may happen to them is in bear.c, how they are kept in births.c.
 */
#include "keks_int.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct newest {
	struct kms_id key;
	struct kek *kek;
};

static int compare_kek(const void *a, const void *b)
{
	const struct kek *x = a, *y = b;
	return memcmp(x->birth.kek.b, y->birth.kek.b, sizeof(x->birth.kek.b));
}

static int compare_newest(const void *a, const void *b)
{
	const struct newest *x = a, *y = b;
	return memcmp(x->key.b, y->key.b, sizeof(x->key.b));
}

static void free_kek(void *node)
{
	struct kek *kek = node;
	kms_buf_free(&kek->statement);
	free(kek);
}

void keks_free(struct keks **keks)
{
	if (keks == NULL || *keks == NULL) {
		return;
	}
	tdestroy((*keks)->by_key, free);
	tdestroy((*keks)->by_id, free_kek);
	free(*keks);
	*keks = NULL;
}

struct kek *keks_find(struct keks *keks, const struct kms_id *id)
{
	struct kek wanted = {.birth.kek = *id};
	struct kek **found = tfind(&wanted, &keks->by_id, compare_kek);
	return found == NULL ? NULL : *found;
}

struct kek *keks_newest(struct keks *keks, const struct kms_id *key)
{
	struct newest wanted = {.key = *key};
	struct newest **found = tfind(&wanted, &keks->by_key, compare_newest);
	return found == NULL ? NULL : (*found)->kek;
}

struct search {
	const struct kms_id *key;
	bool found;
};

static void look_born(const void *node, VISIT visit, void *closure)
{
	struct search *search = closure;
	const struct kek *kek = *(struct kek *const *)node;
	if (visit == postorder || visit == leaf) {
		search->found =
			search->found ||
			(kek->life == KEK_BORN && kms_id_equal(&kek->birth.key, search->key));
	}
}

bool keks_has_born(const struct keks *keks, const struct kms_id *key)
{
	struct search search = {.key = key};
	twalk_r(keks->by_id, look_born, &search);
	return search.found;
}

kms_err keks_note_committed(struct keks *keks, struct kek *kek)
{
	struct newest wanted = {.key = kek->birth.key};
	struct newest **found = tfind(&wanted, &keks->by_key, compare_newest);
	if (found != NULL) {
		if (kek->birth.version > (*found)->kek->birth.version) {
			(*found)->kek = kek;
		}
		return KMS_OK;
	}
	struct newest *fresh = malloc(sizeof(*fresh));
	if (fresh == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*fresh = (struct newest){kek->birth.key, kek};
	if (tsearch(fresh, &keks->by_key, compare_newest) == NULL) {
		free(fresh);
		return KMS_ERR(NO_MEMORY);
	}
	return KMS_OK;
}

kms_err keks_add(struct keks *keks, const struct format_birth *birth, struct kms_buf *statement,
	enum kek_life life, struct kek **ret_kek)
{
	struct kek *kek = calloc(1, sizeof(*kek));
	if (kek == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kek->birth = *birth;
	kek->life = life;
	kek->object.id = birth->kek;
	if (tsearch(kek, &keks->by_id, compare_kek) == NULL) {
		free(kek);
		return KMS_ERR(NO_MEMORY);
	}
	kek->statement = *statement;
	*statement = (struct kms_buf){0};
	keks->count++;
	*ret_kek = kek;
	return KMS_OK;
}

struct listing {
	const struct kms_id *after;
	struct model_held_kek *rows;
	uint32_t count;
};

struct count {
	const struct kms_id *key;
	struct keks_tally tally;
};

static void count_one(const void *node, VISIT visit, void *closure)
{
	struct count *count = closure;
	const struct kek *kek = *(struct kek *const *)node;
	if ((visit != postorder && visit != leaf) ||
		(count->key != NULL && !kms_id_equal(count->key, &kek->birth.key))) {
		return;
	}
	count->tally.born += kek->life == KEK_BORN ? 1 : 0;
	count->tally.committed += kek->life != KEK_BORN && kek->life != KEK_ABANDONED ? 1 : 0;
	count->tally.destroyed += kek->life == KEK_DESTROYED ? 1 : 0;
}

void keks_count(const struct keks *keks, const struct kms_id *key, struct keks_tally *ret_tally)
{
	struct count count = {.key = key};
	twalk_r(keks->by_id, count_one, &count);
	*ret_tally = count.tally;
}

struct each {
	kms_err (*visit)(const struct kek *kek, void *arg);
	void *arg;
	kms_err err;
};

static void visit_one(const void *node, VISIT visit, void *closure)
{
	struct each *each = closure;
	if ((visit == postorder || visit == leaf) && kms_is_ok(each->err)) {
		each->err = each->visit(*(struct kek *const *)node, each->arg);
	}
}

kms_err keks_each(
	const struct keks *keks, kms_err (*visit)(const struct kek *kek, void *arg), void *arg)
{
	struct each each = {visit, arg, KMS_OK};
	twalk_r(keks->by_id, visit_one, &each);
	return each.err;
}

static enum model_held_life life_of(const struct kek *kek)
{
	switch (kek->life) {
	case KEK_BORN:
	case KEK_ABANDONED:
		break;
	case KEK_COMMITTED:
		return MODEL_HELD_COMMITTED;
	case KEK_ERASING:
		return MODEL_HELD_ERASING;
	case KEK_DESTROYED:
		return kek->reappeared ? MODEL_HELD_REAPPEARED : MODEL_HELD_DESTROYED;
	}
	return MODEL_HELD_BORN;
}

static void list_one(const void *node, VISIT visit, void *closure)
{
	struct listing *listing = closure;
	const struct kek *kek = *(struct kek *const *)node;
	if ((visit != postorder && visit != leaf) || kek->life == KEK_ABANDONED ||
		listing->count == LIMIT_LIST_PAGE ||
		memcmp(kek->birth.kek.b, listing->after->b, sizeof(listing->after->b)) <= 0) {
		return;
	}
	listing->rows[listing->count++] = (struct model_held_kek){
		.kek = kek->birth.kek,
		.key = kek->birth.key,
		.version = kek->birth.version,
		.life = life_of(kek),
	};
}

kms_err keks_list(const struct keks *keks, const struct kms_id *after,
	struct model_held_kek **ret_rows, uint32_t *ret_count)
{
	struct listing listing = {.after = after};
	listing.rows = calloc(LIMIT_LIST_PAGE, sizeof(*listing.rows));
	if (listing.rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	twalk_r(keks->by_id, list_one, &listing);
	*ret_rows = listing.rows;
	*ret_count = listing.count;
	return KMS_OK;
}
