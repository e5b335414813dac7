/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that happened to one key: its own entries, and those of every erasure that names it, also of
 * cancelled ones, in the order of the ledger. Runs in kmsd; changes nothing.
 */
#include "service_int.h"

#include "record.h"

#include <stdlib.h>

static bool names(const struct format_erase *erase, const struct kms_id *key)
{
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (kms_id_equal(&erase->keks[i].key, key)) {
			return true;
		}
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct model_entry *x = a, *y = b;
	return x->seq < y->seq ? -1 : x->seq > y->seq ? 1 : 0;
}

static bool has_seq(const struct model_answer *answer, uint64_t seq)
{
	for (size_t i = 0; i < answer->u.entries.count; i++) {
		if (answer->u.entries.rows[i].seq == seq) {
			return true;
		}
	}
	return false;
}

/* Is it about another key? Those of the key itself are in the answer already. */
static kms_err is_anothers(const struct model_entry *entry, bool *ret_is)
{
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	struct record_head *head KMS_AUTO_FREE = calloc(1, sizeof(*head));
	struct kms_id about;
	if (change == NULL || head == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(record_entry_read(kms_buf_bytes(&entry->bytes), head, change));
	*ret_is = record_change_key(change, &about);
	model_change_free(change);
	return KMS_OK;
}

static kms_err add_entry(struct service *service, const struct service_ask *ask, uint64_t seq,
	struct model_answer *answer)
{
	struct model_entry *entry KMS_AUTO_FREE = NULL;
	size_t count = 0, have = answer->u.entries.count;
	bool skip = false;
	if (has_seq(answer, seq) || have >= LIMIT_LIST_PAGE) {
		return KMS_OK;
	}
	KMS_TRY(store_entries_get(service->parts.store, &ask->who->tenant, seq, 1, &entry, &count));
	if (count != 1) {
		return KMS_ERR(NOT_FOUND);
	}
	kms_err err = is_anothers(entry, &skip);
	struct model_entry *grown = kms_is_ok(err) && !skip ? realloc(answer->u.entries.rows,
								      (have + 1) * sizeof(*grown))
							    : NULL;
	if (grown == NULL) {
		kms_buf_free(&entry->bytes);
		KMS_TRY(err);
		return skip ? KMS_OK : KMS_ERR(NO_MEMORY);
	}
	grown[have] = *entry;
	answer->u.entries.rows = grown;
	answer->u.entries.count = have + 1;
	return KMS_OK;
}

static kms_err add_erasure(struct service *service, const struct service_ask *ask,
	const struct model_erasure *erasure, struct model_answer *answer)
{
	KMS_AUTO(format_erase) erase = NULL;
	uint64_t *seqs KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(format_erase_read(kms_buf_bytes(&erasure->bytes), &erase));
	if (!names(erase, &ask->key.id)) {
		return KMS_OK;
	}
	KMS_TRY(store_erasure_entries(service->parts.store, &erasure->id, &seqs, &count));
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(add_entry(service, ask, seqs[i], answer));
	}
	return KMS_OK;
}

static kms_err add_erasures(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	struct kms_id after = {0};
	size_t count = 1;
	kms_err err = KMS_OK;
	while (kms_is_ok(err) && count > 0) {
		struct model_erasure *rows KMS_AUTO_FREE = NULL;
		KMS_TRY(store_erasure_list(service->parts.store, &ask->who->tenant, &after,
			LIMIT_LIST_PAGE, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			err = kms_is_ok(err) ? add_erasure(service, ask, &rows[i], answer) : err;
			after = rows[i].id;
			model_erasure_free(&rows[i]);
		}
	}
	return err;
}

kms_err lists_history(
	struct service *service, const struct service_ask *ask, struct model_answer *answer)
{
	uint64_t signed_size;
	KMS_AUTO_BUF checkpoint = {0};
	KMS_TRY(ledger_head(
		service->parts.ledger, &answer->u.entries.size, &signed_size, &checkpoint));
	KMS_TRY(store_entries_of_key(service->parts.store, &ask->key.id, LIMIT_LIST_PAGE,
		&answer->u.entries.rows, &answer->u.entries.count));
	KMS_TRY(add_erasures(service, ask, answer));
	qsort(answer->u.entries.rows, answer->u.entries.count, sizeof(*answer->u.entries.rows),
		compare);
	return KMS_OK;
}
