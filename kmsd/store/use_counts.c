/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: how often each key was used, counted when its use records are written, so that nobody has
 * to read them all again. What was handed out is on lease from then on (leases.c). Runs in kmsd.
 * What is counted is what the records say.
 */
#include "apply_int.h"

/* One more use; denials are none. */
static void count_use(struct store_use_count *count, const struct model_use *use)
{
	switch ((int)use->op) {
	case MODEL_OP_DATAKEY:
		count->datakeys++;
		break;
	case MODEL_OP_WRAP:
		count->wraps++;
		break;
	case MODEL_OP_UNWRAP:
		count->unwraps++;
		break;
	case MODEL_OP_REWRAP:
		count->rewraps++;
		break;
	default:
		return;
	}
	if (count->first_unix_ms == 0 || use->unix_ms < count->first_unix_ms) {
		count->first_unix_ms = use->unix_ms;
	}
	if (use->unix_ms > count->last_unix_ms) {
		count->last_unix_ms = use->unix_ms;
	}
}

static kms_err add_count(
	struct store_conn *conn, const struct kms_id *key, const struct store_use_count *count)
{
	STORE_AUTO_QUERY query = {0};
	KMS_TRY(store_query_open(conn,
		"INSERT INTO use_count (logical_key, datakeys, wraps, unwraps, rewraps,"
		" first_unix_ms, last_unix_ms) VALUES (:key, :datakeys, :wraps, :unwraps,"
		" :rewraps, :first, :last) ON CONFLICT (logical_key) DO UPDATE SET"
		" datakeys = datakeys + excluded.datakeys, wraps = wraps + excluded.wraps,"
		" unwraps = unwraps + excluded.unwraps, rewraps = rewraps + excluded.rewraps,"
		" first_unix_ms = min(first_unix_ms, excluded.first_unix_ms),"
		" last_unix_ms = max(last_unix_ms, excluded.last_unix_ms)",
		&query));
	store_query_id(&query, ":key", key);
	store_query_uint(&query, ":datakeys", count->datakeys);
	store_query_uint(&query, ":wraps", count->wraps);
	store_query_uint(&query, ":unwraps", count->unwraps);
	store_query_uint(&query, ":rewraps", count->rewraps);
	store_query_int(&query, ":first", count->first_unix_ms);
	store_query_int(&query, ":last", count->last_unix_ms);
	return store_query_run(&query);
}

kms_err store_uses_count(struct store_tx *tx, const struct model_use *uses, size_t count)
{
	size_t i = 0;
	while (i < count) {
		const struct kms_id *key = &uses[i].key;
		struct store_use_count sum = {0};
		/* What one request did is of one key: one statement for the run of it. */
		for (; i < count && kms_id_equal(&uses[i].key, key); i++) {
			if (uses[i].denied == KMS_CODE_OK) {
				count_use(&sum, &uses[i]);
			}
		}
		if (sum.last_unix_ms != 0) {
			KMS_TRY(add_count(&tx->store->writer, key, &sum));
		}
	}
	return store_leases_grant(&tx->store->writer, uses, count);
}

kms_err store_use_count_get(
	struct store *store, const struct kms_id *key, struct store_use_count *ret_count)
{
	STORE_AUTO_QUERY query = {0};
	struct store_use_count count = {0};
	bool row = false;
	KMS_TRY(store_query_read(store,
		"SELECT datakeys, wraps, unwraps, rewraps, first_unix_ms, last_unix_ms"
		" FROM use_count WHERE logical_key = :key",
		&query));
	store_query_id(&query, ":key", key);
	KMS_TRY(store_query_step(&query, &row));
	if (row) {
		count.datakeys = store_column_uint(&query, 0);
		count.wraps = store_column_uint(&query, 1);
		count.unwraps = store_column_uint(&query, 2);
		count.rewraps = store_column_uint(&query, 3);
		count.first_unix_ms = store_column_int(&query, 4);
		count.last_unix_ms = store_column_int(&query, 5);
		KMS_TRY(store_query_checked(&query));
	}
	*ret_count = count;
	return KMS_OK;
}
