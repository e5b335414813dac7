/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Approved erasures that kms-tokend holds in memory, a bounded number, between their opening and
 * their end. Nothing here is durable: whoever wants to go on after a restart opens it again, and it
 * is judged again.
 */
#include "tokend_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct erasures {
	struct erasure rows[ERASE_OPEN_MAX]; /* order NULL: a free one */
	uint64_t opened;
};

kms_err erase_refuse(char *ret_reason, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(ret_reason, LIMIT_REASON + 1, format, args);
	va_end(args);
	kms_log(KMS_LOG_WARNING, "refused to destroy: %s", ret_reason);
	return KMS_ERR(TOKEN_REFUSED);
}

kms_err erasures_new(struct erasures **ret_erasures)
{
	*ret_erasures = calloc(1, sizeof(**ret_erasures));
	return *ret_erasures == NULL ? KMS_ERR(NO_MEMORY) : KMS_OK;
}

static void clear(struct erasure *row)
{
	format_erase_free(&row->order);
	*row = (struct erasure){0};
}

void erasures_free(struct erasures **erasures)
{
	if (erasures == NULL || *erasures == NULL) {
		return;
	}
	for (size_t i = 0; i < ERASE_OPEN_MAX; i++) {
		clear(&(*erasures)->rows[i]);
	}
	free(*erasures);
	*erasures = NULL;
}

struct erasure *erasures_find(struct erasures *erasures, const struct kms_id *id)
{
	for (size_t i = 0; i < ERASE_OPEN_MAX; i++) {
		struct erasure *row = &erasures->rows[i];
		if (row->order != NULL && kms_id_equal(&row->order->erasure, id)) {
			return row;
		}
	}
	return NULL;
}

void erasures_drop(struct erasures *erasures, const struct kms_id *id)
{
	struct erasure *row = erasures_find(erasures, id);
	if (row != NULL) {
		clear(row);
	}
}

/* The one that is there already, a free one, or the oldest. */
static struct erasure *place_for(struct erasures *erasures, const struct kms_id *id)
{
	struct erasure *place = erasures_find(erasures, id);
	for (size_t i = 0; place == NULL && i < ERASE_OPEN_MAX; i++) {
		place = erasures->rows[i].order == NULL ? &erasures->rows[i] : NULL;
	}
	if (place == NULL) {
		place = &erasures->rows[0];
		for (size_t i = 1; i < ERASE_OPEN_MAX; i++) {
			place = erasures->rows[i].opened < place->opened ? &erasures->rows[i]
									 : place;
		}
	}
	return place;
}

kms_err erase_open(struct tokend *tokend, const struct model_erase_order *order, char *ret_reason)
{
	struct erasure erasure = {0};
	char text[KMS_ID_TEXT];
	KMS_TRY(erase_judge(tokend, order, &erasure, ret_reason));
	struct erasures *erasures = tokend->erasures;
	struct erasure *place = place_for(erasures, &erasure.order->erasure);
	clear(place);
	*place = erasure;
	place->opened = ++erasures->opened;
	kms_log(KMS_LOG_INFO, "erasure %s is approved: its KEKs may be destroyed",
		kms_id_text(&place->order->erasure, text));
	return KMS_OK;
}
