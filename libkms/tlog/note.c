/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed notes (C2SP signed-note v1.0.0). Runs in every program. It must never take a note for
 * signed because of a key that the caller did not name, or because of fewer keys than it named.
 */
#include <string.h>

#include "crypto.h"
#include "tlog_int.h"

#define SIGNATURE_PREFIX "\u2014 "

static uint32_t id_of(const uint8_t bytes[TLOG_KEY_ID])
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

kms_err tlog_note_line(const struct tlog_vkey *vkey, struct kms_bytes sig, struct kms_buf *ret_line)
{
	if (sig.len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO_WRITER blob = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_u32(&blob, vkey->id);
	kms_write_bytes(&blob, sig);
	struct kms_bytes bytes;
	KMS_TRY(kms_writer_bytes(&blob, &bytes));
	KMS_AUTO_FREE char *base64 = NULL;
	KMS_TRY(kms_base64_text(bytes, &base64));
	KMS_AUTO_WRITER line = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_format(&line, SIGNATURE_PREFIX "%s %s\n", vkey->name, base64);
	return kms_writer_take(&line, ret_line);
}

/* The text ends before the last blank line; what follows are the signatures. */
static kms_err note_split(
	struct kms_bytes note, struct kms_bytes *ret_text, struct kms_bytes *ret_signatures)
{
	for (size_t i = note.len; i >= 2; i--) {
		if (note.ptr[i - 2] == '\n' && note.ptr[i - 1] == '\n') {
			*ret_text = (struct kms_bytes){note.ptr, i - 1};
			*ret_signatures = (struct kms_bytes){note.ptr + i, note.len - i};
			return KMS_OK;
		}
	}
	return KMS_ERR(FORMAT);
}

/* One signature line; *ret_key says which known key it is of, and then it was good; known_count:
 * of another. */
static kms_err signature_check(struct kms_bytes line, struct kms_bytes text,
	const struct tlog_vkey *known, size_t known_count, size_t *ret_key)
{
	struct kms_bytes name;
	KMS_TRY(tlog_prefix_skip(&line, SIGNATURE_PREFIX));
	KMS_TRY(tlog_part_next(&line, ' ', &name));
	if (!tlog_name_is_valid(name)) {
		return KMS_ERR(FORMAT);
	}
	KMS_AUTO_BUF blob = {0};
	KMS_TRY(kms_base64_decode((const char *)line.ptr, line.len, TLOG_NOTE_MAX, &blob));
	if (blob.len <= TLOG_KEY_ID) {
		return KMS_ERR(FORMAT);
	}
	size_t key = 0;
	while (key < known_count &&
		(known[key].id != id_of(blob.ptr) ||
			!kms_bytes_equal(name, kms_bytes_str(known[key].name)))) {
		key++;
	}
	if (key < known_count) {
		KMS_TRY(tlog_vkey_check(&known[key], text,
			(struct kms_bytes){blob.ptr + TLOG_KEY_ID, blob.len - TLOG_KEY_ID}));
	}
	*ret_key = key;
	return KMS_OK;
}

/* Which known keys signed, as bits, and whether their lines are the only ones and in their order.
 */
static kms_err signatures_check(struct kms_bytes rest, struct kms_bytes text,
	const struct tlog_vkey *known, size_t known_count, uint32_t *ret_good, bool *ret_exact)
{
	uint32_t good = 0;
	bool exact = true;
	size_t count = 0;
	for (; rest.len > 0; count++) {
		struct kms_bytes line;
		size_t key = 0;
		if (count == TLOG_SIGNATURES_MAX) {
			return KMS_ERR(TOO_LARGE);
		}
		KMS_TRY(tlog_line_next(&rest, &line));
		KMS_TRY(signature_check(line, text, known, known_count, &key));
		exact = exact && key == count;
		good |= key < known_count ? UINT32_C(1) << key : 0;
	}
	*ret_good = good;
	*ret_exact = exact && count == known_count;
	return KMS_OK;
}

static kms_err note_open(struct kms_bytes note, size_t max, const struct tlog_vkey *known,
	size_t known_count, struct kms_bytes *ret_text, bool *ret_exact)
{
	if (note.len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	if (!tlog_text_is_valid(note)) {
		return KMS_ERR(FORMAT);
	}
	struct kms_bytes text;
	struct kms_bytes rest;
	uint32_t good = 0;
	KMS_ASSERT(known_count <= TLOG_SIGNATURES_MAX);
	KMS_TRY(note_split(note, &text, &rest));
	if (rest.len == 0) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(signatures_check(rest, text, known, known_count, &good, ret_exact));
	if (known_count == 0 || good != (UINT32_C(1) << known_count) - 1) {
		return KMS_ERR(INTEGRITY);
	}
	*ret_text = text;
	return KMS_OK;
}

kms_err tlog_note_open(struct kms_bytes note, const struct tlog_vkey *known, size_t known_count,
	struct kms_bytes *ret_text)
{
	bool exact = false; /* all the same */
	return note_open(note, TLOG_NOTE_MAX, known, known_count, ret_text, &exact);
}

kms_err tlog_note_open_exact(struct kms_bytes note, size_t max, const struct tlog_vkey *known,
	size_t known_count, struct kms_bytes *ret_text)
{
	struct kms_bytes text;
	bool exact = false;
	KMS_TRY(note_open(note, max, known, known_count, &text, &exact));
	if (!exact) {
		return KMS_ERR(FORMAT);
	}
	*ret_text = text;
	return KMS_OK;
}
