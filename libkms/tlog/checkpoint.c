/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints (C2SP tlog-checkpoint v1.0.0): origin, size, root, and nothing more. Runs in every
 * program. Extension lines are allowed there and refused here: nobody would verify them.
 */
#include <inttypes.h>

#include "tlog_int.h"

/* What holds for a checkpoint whether it is read or written. */
static kms_err checkpoint_check(const struct tlog_checkpoint *checkpoint)
{
	if (!tlog_name_is_valid(kms_bytes_str(checkpoint->origin)) ||
		checkpoint->size > TLOG_SIZE_MAX) {
		return KMS_ERR(FORMAT);
	}
	if (checkpoint->size == 0) { /* RFC 9162 section 2.1.1: an empty tree has one root */
		struct kms_hash empty;
		KMS_TRY(tlog_root_of(NULL, 0, &empty));
		return kms_hash_equal(&checkpoint->root, &empty) ? KMS_OK : KMS_ERR(FORMAT);
	}
	return KMS_OK;
}

kms_err tlog_checkpoint_text(const struct tlog_checkpoint *checkpoint, struct kms_buf *ret_text)
{
	kms_err err = checkpoint_check(checkpoint);
	if (kms_is(err, KMS_CODE_FORMAT)) {
		return KMS_ERR(
			ARGUMENT); /* here it is the caller's value, not bytes that were read */
	}
	KMS_TRY(err);
	KMS_AUTO_WRITER writer = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_format(&writer, "%s\n%" PRIu64 "\n", checkpoint->origin, checkpoint->size);
	tlog_hash_write(&writer, &checkpoint->root);
	return kms_writer_take(&writer, ret_text);
}

kms_err tlog_checkpoint_parse(struct kms_bytes text, struct tlog_checkpoint *ret_checkpoint)
{
	struct kms_bytes origin;
	struct kms_bytes size;
	struct kms_bytes root;
	KMS_TRY(tlog_line_next(&text, &origin));
	KMS_TRY(tlog_line_next(&text, &size));
	KMS_TRY(tlog_line_next(&text, &root));
	if (text.len != 0) {
		return KMS_ERR(FORMAT);
	}
	struct tlog_checkpoint checkpoint;
	KMS_TRY(tlog_name_copy(origin, checkpoint.origin));
	KMS_TRY(tlog_decimal_parse(size, &checkpoint.size));
	KMS_TRY(tlog_hash_parse(root, &checkpoint.root));
	KMS_TRY(checkpoint_check(&checkpoint));
	*ret_checkpoint = checkpoint;
	return KMS_OK;
}
