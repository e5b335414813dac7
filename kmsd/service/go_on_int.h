/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What go_on.c, which goes through an erasure's tokens and rows, and go_on_row.c, which carries out
 * one of them, share.
 */
#ifndef KMS_GO_ON_INT_H
#define KMS_GO_ON_INT_H

#include "service_int.h"

#include "tlog.h"

/* An erasure is carried out in one token by one thread at a time. */
struct going {
	struct kms_id erasure, token;
	struct going *next;
};
/* Waits at most so long while somebody is at it; false: they still are. What entered is borrowed
 * until it leaves. */
bool go_on_enter(struct service *service, struct going *going, int wait_ms);
void go_on_leave(struct service *service, struct going *going);

struct go_on_work {
	struct service *service;
	const struct kms_id *actor;
	bool fresh;
	struct model_erasure erasure; /* owned, as the rest */
	struct format_erase *erase;
	struct kms_hash hash; /* of its bytes */
	struct model_erase_row *rows;
	size_t row_count;
	bool *refuses; /* of each row: its kms-tokend refused it now */
	char reason[LIMIT_REASON + 1];
	bool entered;                     /* by whoever called */
	struct kms_buf entry, checkpoint; /* of its intent */
	struct tlog_proof proof;
	/* the token that it is at */
	struct token *token;
	struct model_token row;
};

/* Have the token that it is at judge the erasure, with another token's word where it came late. */
kms_err go_on_open(struct go_on_work *work);
/* Have it destroy one KEK, or be wiped, and record what it stated; opened once more where it was
 * started anew in between. INTEGRITY: what it said does not hold, which is about this row alone. */
kms_err go_on_row(struct go_on_work *work, const struct model_erase_row *row);
/* As go_on_run, in a token that the caller has entered. */
kms_err go_on_run_entered(struct service *service, const struct kms_id *erasure,
	const struct kms_id *token, const struct kms_id *actor);

/* renew.c: is it the token's that it is at, and still to be done under this erasure? */
bool go_on_is_left(const struct go_on_work *work, const struct model_erase_row *row);
/* It refuses the erasure: then all that it has not begun. */
kms_err go_on_note_unbegun(struct go_on_work *work);
/* What it refused goes into the ledger: once while the approvals are good, and once after it. */
kms_err go_on_record_refused(struct go_on_work *work);

#endif
