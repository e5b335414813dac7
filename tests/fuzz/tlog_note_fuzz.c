/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifier keys, notes, checkpoints and proof files of tlog. What parses has one spelling: written
 * again, it is the same bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "tlog.h"

/* The key that signed the notes of the corpus. */
static const char VKEY[] =
	"ledger.example/kmsd/1+0b91e95a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCtjTinH8uDuFycTRr462jY"
	"cS/rz1UanG/L+tPeuHxlE7hYIWDlzbpFOPS/blaBTfxYNsabtbOn7UJhlArfdnGw=";

static void vkey(struct kms_bytes input)
{
	KMS_AUTO_FREE char *text = strndup((const char *)input.ptr, input.len);
	struct tlog_vkey key;
	KMS_AUTO_FREE char *again = NULL;
	KMS_ASSERT(text != NULL);
	if (kms_is_ok(tlog_vkey_parse(text, &key))) {
		KMS_ASSERT(kms_is_ok(tlog_vkey_text(&key, &again)));
		KMS_ASSERT(strcmp(text, again) == 0);
	}
}

static void checkpoint(struct kms_bytes input)
{
	struct tlog_checkpoint parsed;
	KMS_AUTO_BUF again = {0};
	if (kms_is_ok(tlog_checkpoint_parse(input, &parsed))) {
		KMS_ASSERT(kms_is_ok(tlog_checkpoint_text(&parsed, &again)));
		KMS_ASSERT(kms_bytes_equal(input, kms_buf_bytes(&again)));
	}
}

static void note(struct kms_bytes input)
{
	static struct tlog_vkey
		known; /* read once: reading checks the curve, which takes longest */
	struct kms_bytes text;
	if (known.spki_len == 0) {
		KMS_ASSERT(kms_is_ok(tlog_vkey_parse(VKEY, &known)));
	}
	if (kms_is_ok(tlog_note_open(input, &known, 1, &text))) {
		KMS_ASSERT(text.len > 0 && text.ptr == input.ptr && text.len < input.len);
		KMS_ASSERT(text.ptr[text.len - 1] == '\n' && text.ptr[text.len] == '\n');
		checkpoint(text);
	}
}

static void proof(struct kms_bytes input)
{
	uint64_t index = 0;
	struct tlog_proof parsed;
	struct kms_bytes inner;
	KMS_AUTO_BUF again = {0};
	if (!kms_is_ok(tlog_proof_parse(input, &index, &parsed, &inner))) {
		return;
	}
	if (index < TLOG_SIZE_MAX) {
		KMS_ASSERT(kms_is_ok(tlog_proof_text(index, &parsed, inner, &again)));
		KMS_ASSERT(kms_bytes_equal(input, kms_buf_bytes(&again)));
	}
	note(inner);
	/* Any verdict will do: the walk must end, and stay inside the proof. */
	const struct kms_hash leaf = {{0}};
	KMS_IGNORE(tlog_check_inclusion(&leaf, index, TLOG_SIZE_MAX, &parsed, &leaf));
	KMS_IGNORE(tlog_check_consistency(index, &leaf, TLOG_SIZE_MAX, &leaf, &parsed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	vkey(input);
	note(input);
	checkpoint(input);
	proof(input);
	return 0;
}
