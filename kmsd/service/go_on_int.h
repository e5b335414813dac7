/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What go_on.c, which goes through an erasure's tokens and rows, and go_on_row.c, which carries out
 * one of them, share.
 */
#ifndef KMS_GO_ON_INT_H
#define KMS_GO_ON_INT_H

#include "service_int.h"

#include "tlog.h"

struct go_on_work {
	struct service *service;
	const struct kms_id *actor;
	bool fresh;
	struct model_erasure erasure; /* owned, as the rest */
	struct format_erase *erase;
	struct kms_hash hash; /* of its bytes */
	struct model_erase_row *rows;
	size_t row_count;
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

#endif
