/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: denials. Up to LIMIT_DENIALS_KEPT of one principal in an hour become records; what is
 * beyond is counted and becomes one record with `repeats` when the hour is over, so that no client
 * can fill the disk. Counts live in memory: a kill loses those of the hour. Runs in kmsd's
 * sequencer.
 */
#include <stdlib.h>
#include <string.h>

#include "ledger_int.h"

static const int64_t HOUR_MS = (int64_t)60 * 60 * 1000;

static kms_err add_row(
	struct deny_book *deny, const struct kms_id *tenant, const struct model_use *use)
{
	if (deny->row_count == deny->row_cap) {
		size_t cap = deny->row_cap == 0 ? 64 : deny->row_cap * 2;
		struct denial *rows = reallocarray(deny->rows, cap, sizeof(*rows));
		if (rows == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		deny->rows = rows;
		deny->row_cap = cap;
	}
	deny->rows[deny->row_count++] = (struct denial){.tenant = *tenant, .use = *use};
	return KMS_OK;
}

kms_err ledger_deny_flush(struct deny_book *deny, int64_t unix_ms, bool all)
{
	for (size_t i = 0; i < deny->count; i++) {
		struct counter *counter = &deny->counters[i];
		counter->writing = all || counter->hour != unix_ms / HOUR_MS;
		if (counter->writing && counter->counted > 0) {
			struct model_use use = counter->last;
			use.repeats = counter->counted - 1; /* it stands for itself, too */
			KMS_TRY(add_row(deny, &counter->tenant, &use));
		}
	}
	return KMS_OK;
}

static struct counter *find(struct deny_book *deny, const struct kms_id *tenant,
	const struct kms_id *principal, int64_t hour)
{
	for (size_t i = 0; i < deny->count; i++) {
		struct counter *counter = &deny->counters[i];
		if (counter->hour == hour && !counter->writing &&
			kms_id_equal(&counter->tenant, tenant) &&
			kms_id_equal(&counter->principal, principal)) {
			return counter;
		}
	}
	return NULL;
}

/* NULL: the table is full; all of it is written in the next round. */
static struct counter *add_counter(struct deny_book *deny, const struct kms_id *tenant,
	const struct kms_id *principal, int64_t hour)
{
	if (deny->counters == NULL) {
		deny->counters = calloc(LIMIT_DENIAL_COUNTERS, sizeof(*deny->counters));
	}
	if (deny->counters == NULL || deny->count == LIMIT_DENIAL_COUNTERS) {
		for (size_t i = 0; i < deny->count; i++) {
			deny->counters[i].hour = -1;
		}
		return NULL;
	}
	struct counter *counter = &deny->counters[deny->count++];
	*counter = (struct counter){.tenant = *tenant, .principal = *principal, .hour = hour};
	return counter;
}

kms_err ledger_deny_take(struct deny_book *deny, const struct kms_id *tenant,
	const struct model_use *use, int64_t unix_ms)
{
	struct model_use denial = *use;
	denial.n = 0;
	denial.repeats = 0;
	if (denial.unix_ms == 0) {
		denial.unix_ms = unix_ms;
	}
	int64_t hour = unix_ms / HOUR_MS;
	struct counter *counter = find(deny, tenant, &use->principal, hour);
	if (counter == NULL) {
		counter = add_counter(deny, tenant, &use->principal, hour);
	}
	if (counter == NULL) {
		return add_row(deny, tenant, &denial);
	}
	if (counter->kept < LIMIT_DENIALS_KEPT) {
		counter->kept++;
		return add_row(deny, tenant, &denial);
	}
	if (counter->counted < UINT32_MAX) {
		counter->counted++;
	}
	counter->last = denial;
	return KMS_OK;
}

static int by_tenant(const void *a, const void *b)
{
	const struct denial *left = a;
	const struct denial *right = b;
	return memcmp(&left->tenant, &right->tenant, sizeof(left->tenant));
}

static kms_err write_tenant(struct book *book, struct store_tx *tx, const struct denial *rows,
	size_t count, int64_t unix_ms)
{
	KMS_AUTO(change_box) box = NULL;
	KMS_AUTO_FREE struct model_use *uses = calloc(count, sizeof(*uses));
	if (uses == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(ledger_change_new(MODEL_CHANGE_USE_BATCH, &box));
	box->change.tenant = rows[0].tenant;
	for (size_t i = 0; i < count; i++) {
		uses[i] = rows[i].use;
	}
	return ledger_batch_write(book, tx, &box->change, uses, count, unix_ms);
}

kms_err ledger_deny_write(
	struct book *book, struct store_tx *tx, struct deny_book *deny, int64_t unix_ms)
{
	qsort(deny->rows, deny->row_count, sizeof(*deny->rows), by_tenant);
	for (size_t from = 0; from < deny->row_count;) {
		size_t count = 1;
		while (from + count < deny->row_count && count < LIMIT_COMMIT_USES &&
			by_tenant(&deny->rows[from], &deny->rows[from + count]) == 0) {
			count++;
		}
		KMS_TRY(write_tenant(book, tx, &deny->rows[from], count, unix_ms));
		from += count;
	}
	return KMS_OK;
}

void ledger_deny_done(struct deny_book *deny, bool durable)
{
	size_t left = 0;
	for (size_t i = 0; i < deny->count; i++) {
		bool over = deny->counters[i].writing && durable;
		deny->counters[i].writing = false;
		if (!over) {
			deny->counters[left++] = deny->counters[i];
		}
	}
	deny->count = left;
	deny->row_count = 0;
}

void ledger_deny_free(struct deny_book *deny)
{
	free(deny->counters);
	free(deny->rows);
	*deny = (struct deny_book){0};
}
