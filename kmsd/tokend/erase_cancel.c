/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancellations that kms-tokend has seen, each kept for ever as state/cancel/ID: the erasure of
 * that id is then never opened here, whatever kmsd says. Signed by a pinned approver or by one of
 * the tenant's people with a certificate; where kms-tokend does not know the requester's key it
 * takes any of them: a cancellation errs on the side of the data.
 */
#include "tokend_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CANCEL_FILE = 7 + KMS_ID_TEXT, CANCEL_BYTES = 1024 };

static const char *file_of(const struct kms_id *id, char name[CANCEL_FILE])
{
	char text[KMS_ID_TEXT];
	(void)snprintf(name, CANCEL_FILE, "cancel/%s", kms_id_text(id, text));
	return name;
}

kms_err erase_is_cancelled(
	const struct tokend *tokend, const struct kms_id *erasure, bool *ret_cancelled)
{
	char name[CANCEL_FILE];
	KMS_AUTO_BUF bytes = {0};
	kms_err err = state_read(&tokend->state, file_of(erasure, name), CANCEL_BYTES, &bytes);
	/* One that cannot be read is there all the same. */
	*ret_cancelled = !kms_is(err, KMS_CODE_NOT_FOUND);
	return KMS_OK;
}

static kms_err check_room(const struct tokend *tokend)
{
	char path[OWNER_PATH_MAX + 8];
	(void)snprintf(path, sizeof(path), "%s/cancel", tokend->state.dir);
	DIR *dir = opendir(path);
	if (dir == NULL) {
		kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(errno));
		return KMS_ERR(IO);
	}
	size_t count = 0;
	while (readdir(dir) != NULL) {
		count++;
	}
	(void)closedir(dir);
	return count < LIMIT_ERASURES + 2 ? KMS_OK : KMS_ERR(TOO_LARGE);
}

static kms_err check_signer(struct tokend *tokend, struct kms_bytes spki,
	struct kms_bytes certificate, char *ret_reason)
{
	const struct model_erase_pins *pins = &tokend->owner->approvals;
	if (certificate.len > 0) {
		KMS_AUTO_BUF of_cert = {0};
		KMS_TRY(erase_person(
			tokend, certificate, kms_now_unix_ms() / 1000, &of_cert, ret_reason));
		return kms_bytes_equal(kms_buf_bytes(&of_cert), spki)
			       ? KMS_OK
			       : erase_refuse(ret_reason, "the key is not the certificate's");
	}
	struct kms_hash hash;
	KMS_TRY(crypto_sha256_one(spki, &hash));
	for (uint32_t i = 0; i < pins->count; i++) {
		if (kms_hash_equal(&pins->rows[i].spki, &hash)) {
			return KMS_OK;
		}
	}
	return erase_refuse(ret_reason, "the key of the cancellation is no approver's");
}

/* What it says, and by whom: kept as it came. */
static kms_err keep(const struct tokend *tokend, const struct format_erase *order,
	const struct kms_hash *hash, struct kms_bytes spki,
	const uint8_t signature[MODEL_SIGNATURE])
{
	char name[CANCEL_FILE];
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(CANCEL_BYTES);
	kms_write_fixed(&writer, hash->b, sizeof(hash->b));
	kms_write_lp16(&writer, spki);
	kms_write_fixed(&writer, signature, MODEL_SIGNATURE);
	KMS_TRY(kms_writer_take(&writer, &bytes));
	return state_write(&tokend->state, file_of(&order->erasure, name), kms_buf_bytes(&bytes));
}

static kms_err cancel(struct tokend *tokend, const struct format_erase *order,
	const struct kms_hash *hash, struct kms_bytes spki,
	const uint8_t signature[MODEL_SIGNATURE], char *ret_reason)
{
	bool cancelled;
	char text[KMS_ID_TEXT];
	KMS_AUTO_BUF bytes = {0};
	KMS_TRY(format_erase_cancel_write(&order->erasure, hash, &bytes));
	if (!kms_is_ok(crypto_verify_raw(spki, kms_buf_bytes(&bytes), signature))) {
		return erase_refuse(ret_reason, "the cancellation's signature is wrong");
	}
	KMS_TRY(erase_is_cancelled(tokend, &order->erasure, &cancelled));
	if (cancelled) {
		return KMS_OK;
	}
	if (erase_has_begun(tokend, order, hash)) {
		(void)snprintf(ret_reason, LIMIT_REASON + 1, "its destruction has begun");
		return KMS_ERR(KEY_STATE);
	}
	KMS_TRY(check_room(tokend));
	KMS_TRY(keep(tokend, order, hash, spki, signature));
	erasures_drop(tokend->erasures, &order->erasure);
	kms_log(KMS_LOG_INFO, "erasure %s is cancelled", kms_id_text(&order->erasure, text));
	return KMS_OK;
}

kms_err erase_cancel(struct tokend *tokend, struct kms_bytes erase, struct kms_bytes spki,
	struct kms_bytes certificate, const uint8_t signature[MODEL_SIGNATURE], char *ret_reason)
{
	KMS_AUTO(format_erase) order = NULL;
	struct kms_hash hash;
	KMS_TRY(crypto_sha256_one(erase, &hash));
	kms_err err = format_erase_read(erase, &order);
	if (!kms_is_ok(err)) {
		return kms_is(err, KMS_CODE_NO_MEMORY)
			       ? err
			       : erase_refuse(ret_reason, "the erasure's bytes do not parse");
	}
	if (!kms_id_equal(&order->tenant, &tokend->owner->tenant) ||
		strcmp(order->origin, tokend->owner->ledger.name) != 0) {
		return erase_refuse(ret_reason, "it is of another tenant or ledger");
	}
	KMS_TRY(check_signer(tokend, spki, certificate, ret_reason));
	return cancel(tokend, order, &hash, spki, signature, ret_reason);
}
