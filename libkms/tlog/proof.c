/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inclusion proof files (c2sp.org/tlog-proof@v1). Runs in every program. The `extra` line is not
 * authenticated by anything, so it is neither written nor accepted.
 */
#include <inttypes.h>

#include "tlog_int.h"

#define PROOF_MAGIC "c2sp.org/tlog-proof@v1"

enum {
	PROOF_HEAD_MAX = 64, /* the first two lines and the blank one */
	PROOF_BYTES_MAX = PROOF_HEAD_MAX + TLOG_PROOF_MAX * (TLOG_HASH_BASE64 + 1) + TLOG_NOTE_MAX,
};

kms_err tlog_proof_text(uint64_t index, const struct tlog_proof *proof,
	struct kms_bytes checkpoint_note, struct kms_buf *ret_text)
{
	if (index >= TLOG_SIZE_MAX || proof->count > TLOG_PROOF_MAX || checkpoint_note.len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (checkpoint_note.len > TLOG_NOTE_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO_WRITER writer = kms_writer_grow(PROOF_BYTES_MAX);
	kms_write_format(&writer, PROOF_MAGIC "\nindex %" PRIu64 "\n", index);
	for (unsigned i = 0; i < proof->count; i++) {
		tlog_hash_write(&writer, &proof->hashes[i]);
	}
	kms_write_text(&writer, "\n");
	kms_write_bytes(&writer, checkpoint_note);
	return kms_writer_take(&writer, ret_text);
}

kms_err tlog_proof_parse(struct kms_bytes text, uint64_t *ret_index, struct tlog_proof *ret_proof,
	struct kms_bytes *ret_note)
{
	if (text.len > PROOF_BYTES_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	struct kms_bytes line;
	uint64_t index = 0;
	KMS_TRY(tlog_prefix_skip(&text, PROOF_MAGIC "\n"));
	KMS_TRY(tlog_line_next(&text, &line));
	KMS_TRY(tlog_prefix_skip(&line, "index "));
	KMS_TRY(tlog_decimal_parse(line, &index));
	struct tlog_proof proof = {0};
	for (;;) {
		KMS_TRY(tlog_line_next(&text, &line));
		if (line.len == 0) {
			break;
		}
		if (proof.count == TLOG_PROOF_MAX) {
			return KMS_ERR(TOO_LARGE);
		}
		KMS_TRY(tlog_hash_parse(line, &proof.hashes[proof.count]));
		proof.count++;
	}
	if (text.len == 0) {
		return KMS_ERR(FORMAT);
	}
	if (text.len > TLOG_NOTE_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_index = index;
	*ret_proof = proof;
	*ret_note = text;
	return KMS_OK;
}
