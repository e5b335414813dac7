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

/* Documents beside the state; kinds of paper. */
enum { STORE_PAPER_PLAN = 1, STORE_PAPER_CERTIFICATE };
kms_err store_paper_put(
	struct store_conn *conn, int kind, const struct kms_id *id, const struct kms_buf *json);

/* What every step of an erasure has to know of it. */
struct store_erasure_head {
	struct kms_id id;
	enum model_erase_state state;
	struct kms_id requester;
	struct kms_hash erase; /* SHA-256 of its bytes */
	struct kms_id cert;    /* zero: none */
};
/* NOT_FOUND also for another tenant's. */
kms_err store_erasure_find(struct store_conn *conn, const struct model_change *change,
	const struct kms_id *id, struct store_erasure_head *ret_head);
/* NOT_FOUND where that tenant has no such principal. */
kms_err store_principal_know(
	struct store_conn *conn, const struct kms_id *tenant, const struct kms_id *principal);
/* Entry seq is about it. */
kms_err store_erasure_note(struct store_conn *conn, const struct kms_id *erasure, uint64_t seq);

kms_err store_apply_erase_request(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms);
kms_err store_apply_erase_approve(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms);
kms_err store_apply_erase_cancel(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms);
kms_err store_apply_erase_intent(
	struct store_conn *conn, const struct model_change *change, uint64_t seq);
kms_err store_apply_erase_result(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms);
kms_err store_apply_erase_wipe(
	struct store_conn *conn, const struct model_change *change, uint64_t seq);
kms_err store_apply_erase_final(
	struct store_conn *conn, const struct model_change *change, uint64_t seq);
kms_err store_apply_cert_issue(
	struct store_conn *conn, const struct model_change *change, uint64_t seq);

kms_err store_apply_erase_refused(
	struct store_conn *conn, const struct model_change *change, uint64_t seq, int64_t unix_ms);

/*
 * renewals.c: what is left of an erasure whose approvals have expired goes over to another one, row
 * by row, and comes back when that one is cancelled.
 */

/* Is this row (kek zero: the token's wipe) free for an erasure that is requested now, or may that
 * one take it over? KEY_STATE: neither. */
kms_err store_row_admit(struct store_conn *conn, const struct kms_id *token,
	const struct kms_id *kek, int64_t unix_ms, struct kms_id *ret_old);
/* It does: the row is `erasure`'s from now on. old zero: nothing happens. */
kms_err store_row_take(struct store_conn *conn, const struct kms_id *old,
	const struct kms_id *erasure, const struct kms_id *token, const struct kms_id *kek);
/* Whatever it took goes back to where it was. */
kms_err store_rows_return(struct store_conn *conn, const struct kms_id *erasure);
/* EXECUTING or RENEWED, by what its rows say. */
kms_err store_renewed_settle(struct store_conn *conn, const struct kms_id *erasure);

/* EXISTS for a receipt that was there. */
kms_err store_apply_lease_receipt(
	struct store_conn *conn, const struct model_change *change, uint64_t seq);
/* With the use records that say so; denials among them are passed over. */
kms_err store_leases_grant(struct store_conn *conn, const struct model_use *uses, size_t count);

kms_err store_apply_key_intent(
	struct store_conn *conn, const struct model_change *change, int64_t unix_ms);
kms_err store_apply_key_result(struct store_conn *conn, const struct model_change *change);
kms_err store_apply_key_state(struct store_conn *conn, const struct model_change *change);

#endif
