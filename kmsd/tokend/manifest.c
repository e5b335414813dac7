/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests of bundles (docs/formats/bundle.md), signed by the system token with a key of its own:
 * never a checkpoint's. It must sign nothing but whole lines under the manifest's first one.
 */
#include "tokend_int.h"

#include <stdio.h>
#include <string.h>

static bool is_manifest(struct kms_bytes text)
{
	static const char first[] = "kmsd-bundle/1\n";
	if (text.len < sizeof(first) || text.len > MANIFEST_MAX ||
		memcmp(text.ptr, first, sizeof(first) - 1) != 0 || text.ptr[text.len - 1] != '\n') {
		return false;
	}
	for (size_t i = 1; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		/* An empty line would begin a note's signatures. */
		if ((c < 0x20 || c > 0x7e) && (c != '\n' || text.ptr[i - 1] == '\n')) {
			return false;
		}
	}
	return true;
}

static kms_err sign_line(struct tokend *tokend, struct kms_bytes text, struct kms_buf *ret_line)
{
	struct p11_sign_key key;
	struct tlog_vkey vkey;
	char name[TLOG_NAME_MAX + 1];
	uint8_t raw[P11_SIG];
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_BUF der = {0};
	int n = snprintf(name, sizeof(name), "%s/manifest", tokend->owner->log_origin);
	if (n < 0 || (size_t)n >= sizeof(name)) {
		return KMS_ERR(CONFIG);
	}
	KMS_TRY(p11_sign_key_find(tokend->p11, P11_SIGN_P256, HEAD_MANIFEST_LABEL, &key));
	KMS_TRY(p11_sign_key_spki(&key, &spki));
	KMS_TRY(tlog_vkey_make(name, kms_buf_bytes(&spki), &vkey));
	KMS_TRY(p11_sign(tokend->p11, &key, text, raw));
	KMS_TRY(crypto_sig_raw_to_der(raw, &der));
	return tlog_note_line(&vkey, kms_buf_bytes(&der), ret_line);
}

kms_err manifest_sign(struct tokend *tokend, struct kms_bytes text, struct kms_buf *ret_note)
{
	KMS_AUTO_BUF line = {0};
	if (tokend->head == NULL || !is_manifest(text)) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	KMS_TRY(sign_line(tokend, text, &line));
	KMS_AUTO_WRITER note = kms_writer_grow(LIMIT_TOKMSG_BYTES);
	kms_write_bytes(&note, text);
	kms_write_text(&note, "\n");
	kms_write_bytes(&note, kms_buf_bytes(&line));
	return kms_writer_take(&note, ret_note);
}
