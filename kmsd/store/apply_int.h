/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store's own: the parts of store_apply. Each refuses what the tables of model refuse; what it
 * wrote before refusing is undone by the savepoint around it. Runs in kmsd.
 */
#ifndef KMS_STORE_APPLY_INT_H
#define KMS_STORE_APPLY_INT_H

#include "store_int.h"

enum store_label_kind {
	STORE_LABEL_TENANT = 1,
	STORE_LABEL_PRINCIPAL,
	STORE_LABEL_KEY,
	STORE_LABEL_DATASET,
};
kms_err store_label_put(struct store_conn *conn, int kind, const struct kms_id *id,
	const struct model_label *label);

kms_err store_apply_key_intent(
	struct store_conn *conn, const struct model_change *change, int64_t unix_ms);
kms_err store_apply_key_result(struct store_conn *conn, const struct model_change *change);
kms_err store_apply_key_state(struct store_conn *conn, const struct model_change *change);

#endif
