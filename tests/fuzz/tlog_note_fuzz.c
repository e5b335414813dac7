/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifier keys, notes, checkpoints and proof files of tlog. What parses has one spelling: written
 * again, it is the same bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "tlog.h"

/* The keys that signed the notes of the corpus. */
static const char VKEY[] =
	"ledger.example/kmsd/1+0b91e95a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCtjTinH8uDuFycTRr462jY"
	"cS/rz1UanG/L+tPeuHxlE7hYIWDlzbpFOPS/blaBTfxYNsabtbOn7UJhlArfdnGw=";

static const char ED25519[] =
	"ledger.example/kmsd/1+cc2d1531+AdBKsjJ0K7SrOhNovUYV5ObQIkq3GgFrr4UgozLJd4c3";

static void vkey(struct kms_bytes input)
{
	KMS_AUTO_FREE char *text = strndup((const char *)input.ptr, input.len);
	struct tlog_vkey key;
	KMS_AUTO_FREE char *again = NULL;
	KMS_ASSERT(text != NULL);
	/* A text is a key of one type, or of none. */
	const bool p256 = kms_is_ok(tlog_vkey_parse(text, &key));
	const bool ed25519 = !p256 && kms_is_ok(tlog_vkey_parse_ed25519(text, &key));
	if (p256 || ed25519) {
		KMS_ASSERT(key.type == (p256 ? TLOG_VKEY_ECDSA : TLOG_VKEY_ED25519));
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
	static struct tlog_log_keys
		known; /* read once: reading checks the curve, which takes longest */
	struct kms_bytes text, same;
	if (known.count == 0) {
		KMS_ASSERT(kms_is_ok(tlog_log_keys_parse(VKEY, ED25519, &known)));
	}
	const bool one = kms_is_ok(tlog_note_open(input, known.keys, 1, &text));
	const bool both = kms_is_ok(tlog_note_open(input, known.keys, 2, &same));
	const bool exact =
		kms_is_ok(tlog_note_open_exact(input, TLOG_NOTE_MAX, known.keys, 2, &same));
	/* Who pins more believes less. */
	KMS_ASSERT((one || !both) && (both || !exact));
	if (one) {
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
