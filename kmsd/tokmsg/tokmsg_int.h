/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tokmsg share: the bounds of its lists, and the messages of an erasure. */
#ifndef KMS_TOKMSG_INT_H
#define KMS_TOKMSG_INT_H

#include "tokmsg.h"

enum {
	TOKMSG_PROOF_MAX = 64,
	TOKMSG_CHECKPOINT_MAX = 512,
	TOKMSG_USES_MAX = LIMIT_COMMIT_USES,
	TOKMSG_NOTE_MAX = 8192, /* a signed checkpoint */
};

/* erase.c: the messages of an erasure, from their type on. */
void tokmsg_erase_write_request(struct kms_writer *writer, const struct tokmsg *msg);
void tokmsg_erase_write_answer(struct kms_writer *writer, const struct tokmsg *msg);
kms_err tokmsg_erase_read_request(struct kms_reader *reader, struct tokmsg *msg);
kms_err tokmsg_erase_read_answer(struct kms_reader *reader, struct tokmsg *msg);
/* What reading would refuse. */
kms_err tokmsg_erase_check_request(const struct tokmsg *msg);
kms_err tokmsg_erase_check_answer(const struct tokmsg *msg);

#endif
