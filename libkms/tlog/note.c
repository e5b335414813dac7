/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifier keys and signed notes (C2SP signed-note v1.0.0). Runs in every program. It must never
 * take a note for signed because of a key that the caller did not name.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "tlog_int.h"

#define SIGNATURE_PREFIX "\u2014 "

enum {
	SPKI = 91, /* DER of a P-256 key */
	SPKI_HEAD = 26,
	VKEY_ID_TEXT = 2 * TLOG_KEY_ID,
};

static uint32_t id_of(const uint8_t bytes[TLOG_KEY_ID])
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static kms_err id_of_spki(struct kms_bytes spki_der, uint32_t *ret_id)
{
	struct kms_hash hash;
	KMS_TRY(crypto_sha256_one(spki_der, &hash));
	*ret_id = id_of(hash.b);
	return KMS_OK;
}

static kms_err vkey_of(struct kms_bytes name, struct kms_bytes spki_der, struct tlog_vkey *ret_vkey)
{
	struct tlog_vkey vkey = {.type = TLOG_VKEY_ECDSA, .spki_len = SPKI};
	KMS_TRY(tlog_name_copy(name, vkey.name));
	if (spki_der.len != SPKI) {
		return KMS_ERR(FORMAT);
	}
	/* The key's point makes an SPKI of one spelling: anything else is no P-256 key. */
	KMS_AUTO_BUF again = {0};
	KMS_TRY(crypto_spki_of_point(spki_der.ptr + SPKI_HEAD, &again));
	if (!kms_bytes_equal(spki_der, kms_buf_bytes(&again))) {
		return KMS_ERR(FORMAT);
	}
	memcpy(vkey.spki, spki_der.ptr, SPKI);
	KMS_TRY(id_of_spki(spki_der, &vkey.id));
	*ret_vkey = vkey;
	return KMS_OK;
}

kms_err tlog_vkey_make(const char *name, struct kms_bytes spki_der, struct tlog_vkey *ret_vkey)
{
	return vkey_of(kms_bytes_str(name), spki_der, ret_vkey);
}

kms_err tlog_vkey_text(const struct tlog_vkey *vkey, char **ret_text)
{
	uint8_t key[1 + sizeof(vkey->spki)] = {vkey->type};
	KMS_ASSERT(vkey->spki_len <= sizeof(vkey->spki));
	memcpy(key + 1, vkey->spki, vkey->spki_len);
	KMS_AUTO_FREE char *base64 = NULL;
	KMS_TRY(kms_base64_text((struct kms_bytes){key, 1 + vkey->spki_len}, &base64));
	return kms_text(ret_text, "%s+%08" PRIx32 "+%s", vkey->name, vkey->id, base64);
}

kms_err tlog_vkey_parse(const char *text, struct tlog_vkey *ret_vkey)
{
	struct kms_bytes rest = kms_bytes_str(text);
	struct kms_bytes name;
	struct kms_bytes id;
	KMS_TRY(tlog_part_next(&rest, '+', &name));
	KMS_TRY(tlog_part_next(&rest, '+', &id)); /* base64 may hold further ones */
	KMS_AUTO_BUF key = {0};
	KMS_TRY(kms_base64_decode((const char *)rest.ptr, rest.len, TLOG_NOTE_MAX, &key));
	if (key.len == 0) {
		return KMS_ERR(FORMAT);
	}
	if (key.ptr[0] != TLOG_VKEY_ECDSA) {
		return KMS_ERR(UNSUPPORTED);
	}
	/* The ID first: it finds a mistyped key before the curve does. */
	const struct kms_bytes spki = {key.ptr + 1, key.len - 1};
	uint32_t spki_id = 0;
	char expected[VKEY_ID_TEXT + 1];
	KMS_TRY(id_of_spki(spki, &spki_id));
	(void)snprintf(expected, sizeof(expected), "%08" PRIx32, spki_id);
	if (!kms_bytes_equal(id, kms_bytes_str(expected))) {
		return KMS_ERR(FORMAT);
	}
	return vkey_of(name, spki, ret_vkey);
}

kms_err tlog_note_line(
	const struct tlog_vkey *vkey, struct kms_bytes sig_der, struct kms_buf *ret_line)
{
	if (sig_der.len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO_WRITER blob = kms_writer_grow(TLOG_NOTE_MAX);
	kms_write_u32(&blob, vkey->id);
	kms_write_bytes(&blob, sig_der);
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

/* One signature line; *known says whether it was one of a known key, and then it was good. */
static kms_err signature_check(struct kms_bytes line, struct kms_bytes text,
	const struct tlog_vkey *known, size_t known_count, bool *ret_known)
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
	struct kms_bytes sig = {blob.ptr + TLOG_KEY_ID, blob.len - TLOG_KEY_ID};
	bool found = false;
	for (size_t i = 0; i < known_count && !found; i++) {
		const struct tlog_vkey *vkey = &known[i];
		if (vkey->id == id_of(blob.ptr) &&
			kms_bytes_equal(name, kms_bytes_str(vkey->name))) {
			struct kms_bytes spki = {vkey->spki, vkey->spki_len};
			KMS_TRY(crypto_verify_der(spki, text, sig));
			found = true;
		}
	}
	*ret_known = found;
	return KMS_OK;
}

kms_err tlog_note_open_max(struct kms_bytes note, size_t max, const struct tlog_vkey *known,
	size_t known_count, struct kms_bytes *ret_text)
{
	if (note.len > max) {
		return KMS_ERR(TOO_LARGE);
	}
	if (!tlog_text_is_valid(note)) {
		return KMS_ERR(FORMAT);
	}
	struct kms_bytes text;
	struct kms_bytes rest;
	KMS_TRY(note_split(note, &text, &rest));
	if (rest.len == 0) {
		return KMS_ERR(FORMAT);
	}
	size_t good = 0;
	for (size_t count = 0; rest.len > 0; count++) {
		if (count == TLOG_SIGNATURES_MAX) {
			return KMS_ERR(TOO_LARGE);
		}
		struct kms_bytes line;
		bool is_known = false;
		KMS_TRY(tlog_line_next(&rest, &line));
		KMS_TRY(signature_check(line, text, known, known_count, &is_known));
		good += is_known ? 1 : 0;
	}
	if (good == 0) {
		return KMS_ERR(INTEGRITY);
	}
	*ret_text = text;
	return KMS_OK;
}

kms_err tlog_note_open(struct kms_bytes note, const struct tlog_vkey *known, size_t known_count,
	struct kms_bytes *ret_text)
{
	return tlog_note_open_max(note, TLOG_NOTE_MAX, known, known_count, ret_text);
}
