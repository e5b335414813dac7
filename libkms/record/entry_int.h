/* SPDX-License-Identifier: Apache-2.0 */
/* What a type of entry adds to what all entries say. */
#ifndef KMS_RECORD_ENTRY_INT_H
#define KMS_RECORD_ENTRY_INT_H

#include "record_int.h"

struct entry_part {
	/* The key it is about; NULL: it is never about one. */
	const struct kms_id *(*key)(const struct model_change *change);
	kms_err (*set)(struct doc *entry, struct doc *data, const struct model_change *change);
	/* change has its type and tenant, and is freed by the caller whatever happens. */
	kms_err (*get)(struct doc *entry, struct doc *data, const struct kms_id *key,
		struct model_change *change);
};

extern const struct entry_part entry_log_open, entry_tenant_add, entry_key_intent, entry_key_result,
	entry_key_state, entry_dataset_add, entry_token_boot, entry_use_statement, entry_use_batch,
	entry_alarm, entry_erase_request, entry_erase_signed, entry_erase_intent,
	entry_erase_result, entry_erase_wipe, entry_erase_final, entry_cert_issue,
	entry_lease_receipt, entry_erase_refused;

#endif
