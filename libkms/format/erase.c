/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmsd-erase/1: what requester and approvers sign, and what a cancellation signs. Sorted lists, so
 * that one erasure has one form.
 */
#include "format_int.h"

#include "crypto.h"

#include <stdlib.h>
#include <string.h>

static const char erase_magic[] = "kmsd-erase/1";
static const char cancel_magic[] = "kmsd-erase-cancel/1";

/* The end of the year 9999: the last that people are shown, and far from an overflow in ms. */
static const int64_t last_unix_s = 253402300799;

static int compare_id(const struct kms_id *a, const struct kms_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

static int compare_kek(const struct format_erase_kek *a, const struct format_erase_kek *b)
{
	int order = compare_id(&a->token, &b->token);
	return order != 0 ? order : compare_id(&a->kek, &b->kek);
}

static kms_err check_wipes(const struct format_erase *erase)
{
	if (erase->wipe_count > LIMIT_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	if (erase->wipe_count > 0 && erase->scope != MODEL_ERASE_TENANT) {
		return KMS_ERR(ARGUMENT);
	}
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		if (kms_id_is_zero(&erase->wipes[i]) ||
			(i > 0 && compare_id(&erase->wipes[i - 1], &erase->wipes[i]) >= 0)) {
			return KMS_ERR(ARGUMENT);
		}
	}
	return KMS_OK;
}

/* A scope that is one key holds KEKs of that key and of no other: who signs reads one id. */
static bool is_in_scope(const struct format_erase *erase, const struct format_erase_kek *kek)
{
	switch (erase->scope) {
	case MODEL_ERASE_VERSIONS:
	case MODEL_ERASE_KEY:
		return kms_id_equal(&kek->key, &erase->subject);
	case MODEL_ERASE_DATASET:
		return kms_id_equal(&kek->key, &erase->keks[0].key);
	case MODEL_ERASE_TENANT:
		return true;
	}
	return false;
}

static kms_err check_keks(const struct format_erase *erase)
{
	if (erase->kek_count == 0 && erase->wipe_count == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (erase->kek_count > LIMIT_ERASE_KEKS) {
		return KMS_ERR(TOO_LARGE);
	}
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		const struct format_erase_kek *kek = &erase->keks[i];
		if (kms_id_is_zero(&kek->token) || kms_id_is_zero(&kek->kek) ||
			kms_id_is_zero(&kek->key) || kek->version == 0 ||
			!is_in_scope(erase, kek) ||
			(i > 0 && compare_kek(&erase->keks[i - 1], kek) >= 0)) {
			return KMS_ERR(ARGUMENT);
		}
		if (kek->version > LIMIT_KEY_VERSIONS) {
			return KMS_ERR(TOO_LARGE);
		}
	}
	return KMS_OK;
}

static kms_err check_head(const struct format_erase *erase)
{
	size_t origin = strnlen(erase->origin, sizeof(erase->origin));
	if (origin == 0 || origin == sizeof(erase->origin)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(model_text_check(erase->origin, sizeof(erase->origin) - 1));
	bool ids = !kms_id_is_zero(&erase->erasure) && !kms_id_is_zero(&erase->tenant) &&
		   !kms_id_is_zero(&erase->requester) && !kms_id_is_zero(&erase->subject);
	bool scope = erase->scope >= MODEL_ERASE_VERSIONS && erase->scope <= MODEL_ERASE_TENANT &&
		     (erase->scope != MODEL_ERASE_TENANT ||
			     kms_id_equal(&erase->subject, &erase->tenant));
	bool times = erase->not_before_unix_s >= 0 &&
		     erase->expires_unix_s > erase->not_before_unix_s &&
		     erase->expires_unix_s <= last_unix_s;
	return ids && scope && times ? KMS_OK : KMS_ERR(ARGUMENT);
}

static kms_err check(const struct format_erase *erase)
{
	KMS_TRY(check_head(erase));
	KMS_TRY(check_wipes(erase));
	return check_keks(erase);
}

static void write_id(struct kms_writer *writer, const struct kms_id *id)
{
	kms_write_fixed(writer, id->b, sizeof(id->b));
}

kms_err format_erase_write(const struct format_erase *erase, struct kms_buf *ret_bytes)
{
	KMS_TRY(check(erase));
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_ERASE_BYTES);
	kms_write_text(&writer, erase_magic);
	kms_write_lp16(&writer, kms_bytes_str(erase->origin));
	write_id(&writer, &erase->erasure);
	write_id(&writer, &erase->tenant);
	write_id(&writer, &erase->requester);
	kms_write_u8(&writer, (uint8_t)erase->scope);
	write_id(&writer, &erase->subject);
	kms_write_fixed(&writer, erase->plan.b, sizeof(erase->plan.b));
	kms_write_u64(&writer, (uint64_t)erase->not_before_unix_s);
	kms_write_u64(&writer, (uint64_t)erase->expires_unix_s);
	kms_write_u8(&writer, (uint8_t)erase->wipe_count);
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		write_id(&writer, &erase->wipes[i]);
	}
	kms_write_u16(&writer, (uint16_t)erase->kek_count);
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		const struct format_erase_kek *kek = &erase->keks[i];
		write_id(&writer, &kek->token);
		write_id(&writer, &kek->kek);
		write_id(&writer, &kek->key);
		kms_write_u32(&writer, kek->version);
		kms_write_fixed(&writer, kek->commitment.b, sizeof(kek->commitment.b));
	}
	return kms_writer_take(&writer, ret_bytes);
}

static kms_err read_head(struct kms_reader *reader, struct format_erase *erase)
{
	struct kms_bytes origin;
	uint8_t scope;
	uint64_t not_before, expires;
	KMS_TRY(kms_read_expect(reader, erase_magic, sizeof(erase_magic) - 1));
	KMS_TRY(kms_read_lp16(reader, sizeof(erase->origin) - 1, &origin));
	if (memchr(origin.ptr, '\0', origin.len) != NULL) {
		return KMS_ERR(FORMAT);
	}
	memcpy(erase->origin, origin.ptr, origin.len);
	KMS_TRY(format_id_read(reader, &erase->erasure));
	KMS_TRY(format_id_read(reader, &erase->tenant));
	KMS_TRY(format_id_read(reader, &erase->requester));
	KMS_TRY(kms_read_u8(reader, &scope));
	KMS_TRY(format_id_read(reader, &erase->subject));
	KMS_TRY(format_hash_read(reader, &erase->plan));
	KMS_TRY(kms_read_u64(reader, &not_before));
	KMS_TRY(kms_read_u64(reader, &expires));
	if (not_before > INT64_MAX || expires > INT64_MAX) {
		return KMS_ERR(FORMAT);
	}
	erase->scope = (enum model_erase_scope)scope;
	erase->not_before_unix_s = (int64_t)not_before;
	erase->expires_unix_s = (int64_t)expires;
	return KMS_OK;
}

static kms_err read_lists(struct kms_reader *reader, struct format_erase *erase)
{
	uint8_t wipes;
	uint16_t keks;
	KMS_TRY(kms_read_u8(reader, &wipes));
	if (wipes > LIMIT_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	erase->wipe_count = wipes;
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		KMS_TRY(format_id_read(reader, &erase->wipes[i]));
	}
	KMS_TRY(kms_read_u16(reader, &keks));
	if (keks > LIMIT_ERASE_KEKS) {
		return KMS_ERR(TOO_LARGE);
	}
	erase->keks = calloc((size_t)keks + 1, sizeof(*erase->keks));
	if (erase->keks == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	erase->kek_count = keks;
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		struct format_erase_kek *kek = &erase->keks[i];
		KMS_TRY(format_id_read(reader, &kek->token));
		KMS_TRY(format_id_read(reader, &kek->kek));
		KMS_TRY(format_id_read(reader, &kek->key));
		KMS_TRY(kms_read_u32(reader, &kek->version));
		KMS_TRY(format_hash_read(reader, &kek->commitment));
	}
	return kms_read_end(reader);
}

kms_err format_erase_read(struct kms_bytes bytes, struct format_erase **ret_erase)
{
	if (bytes.len > LIMIT_ERASE_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO(format_erase) erase = calloc(1, sizeof(*erase));
	if (erase == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	struct kms_reader reader = kms_reader_of(bytes);
	KMS_TRY(read_head(&reader, erase));
	KMS_TRY(read_lists(&reader, erase));
	kms_err err = check(erase);
	if (!kms_is_ok(err)) {
		return kms_is(err, KMS_CODE_ARGUMENT) ? KMS_ERR(FORMAT) : err;
	}
	*ret_erase = kms_take(&erase);
	return KMS_OK;
}

void format_erase_free(struct format_erase **erase)
{
	if (erase == NULL || *erase == NULL) {
		return;
	}
	free((*erase)->keks);
	free(*erase);
	*erase = NULL;
}

kms_err format_erase_cancel_write(
	const struct kms_id *erasure, const struct kms_hash *erase, struct kms_buf *ret_bytes)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(sizeof(cancel_magic) + 16 + 32);
	kms_write_text(&writer, cancel_magic);
	write_id(&writer, erasure);
	kms_write_fixed(&writer, erase->b, sizeof(erase->b));
	return kms_writer_take(&writer, ret_bytes);
}
