/* SPDX-License-Identifier: Apache-2.0 */
/* What serve.c's table takes from serve_erase.c. */
#ifndef KMS_SERVE_INT_H
#define KMS_SERVE_INT_H

#include "tokend_int.h"

/* What an answer holds on to until it is sent. */
struct kept {
	struct kms_buf bytes;
	struct tokmsg_call_answer *answered;
	struct model_held_kek *keks;
};

typedef kms_err (*handler)(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept);

kms_err serve_kek_hold(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept);
kms_err serve_erase_pins(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept);
kms_err serve_erase_open(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept);
kms_err serve_erase_kek(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept);
kms_err serve_erase_wipe(struct tokend *tokend, const struct tokmsg *request, struct tokmsg *answer,
	struct kept *kept);
kms_err serve_erase_cancel(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept);
kms_err serve_manifest_sign(struct tokend *tokend, const struct tokmsg *request,
	struct tokmsg *answer, struct kept *kept);

#endif
