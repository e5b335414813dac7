/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: an entry with its proof, for those who verify without us: kms-tokends before they
 * destroy, auditors afterwards. Only under checkpoints that the system token signed. Runs in kmsd.
 */
#include <stdlib.h>
#include <time.h>

#include "ledger_int.h"

enum { POLL_MS = 50 };

kms_err ledger_covered(struct ledger *ledger, uint64_t seq, int timeout_ms, uint64_t *ret_size,
	struct kms_buf *ret_checkpoint)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
	int64_t end = kms_monotonic_ms() + timeout_ms;
	while (true) {
		KMS_AUTO_BUF note = {0};
		uint64_t size, signed_size;
		KMS_TRY(ledger_head(ledger, &size, &signed_size, &note));
		if (seq < signed_size) {
			*ret_size = signed_size;
			*ret_checkpoint = note;
			note = (struct kms_buf){0};
			return KMS_OK;
		}
		if (kms_monotonic_ms() >= end) {
			return KMS_ERR(TIMEOUT);
		}
		(void)nanosleep(&pause, NULL);
	}
}

kms_err ledger_inclusion(struct ledger *ledger, uint64_t seq, uint64_t size,
	struct kms_buf *ret_entry, struct tlog_proof *ret_proof)
{
	struct model_entry *rows = NULL;
	size_t count = 0;
	KMS_TRY(store_entries_get(ledger->store, NULL, seq, 1, &rows, &count));
	bool found = count == 1 && rows[0].seq == seq && rows[0].bytes.len > 0;
	if (found) {
		*ret_entry = rows[0].bytes;
	} else if (count > 0) {
		kms_buf_free(&rows[0].bytes);
	}
	free(rows);
	if (!found) {
		return KMS_ERR(NOT_FOUND);
	}
	kms_err err = tlog_prove_inclusion(ledger_node_read, ledger->store, seq, size, ret_proof);
	if (!kms_is_ok(err)) {
		kms_buf_free(ret_entry);
	}
	return err;
}
