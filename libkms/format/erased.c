/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of destroy, absence and wipe statements: what a kms-tokend says of the end of a KEK.
 * A body may also say that something went wrong; only whoever reads it decides what is good.
 */
#include "format_int.h"

static kms_err check_what(const struct format_erased *what)
{
	if (kms_id_is_zero(&what->erasure) || kms_id_is_zero(&what->key) ||
		kms_id_is_zero(&what->kek) || what->version == 0) {
		return KMS_ERR(ARGUMENT);
	}
	return what->version <= LIMIT_KEY_VERSIONS ? KMS_OK : KMS_ERR(TOO_LARGE);
}

static void write_what(struct kms_writer *writer, const struct format_erased *what)
{
	kms_write_fixed(writer, what->erasure.b, sizeof(what->erasure.b));
	kms_write_fixed(writer, what->erase.b, sizeof(what->erase.b));
	kms_write_fixed(writer, what->key.b, sizeof(what->key.b));
	kms_write_u32(writer, what->version);
	kms_write_fixed(writer, what->kek.b, sizeof(what->kek.b));
	kms_write_fixed(writer, what->commitment.b, sizeof(what->commitment.b));
}

/* What must not be written is FORMAT where it is read. */
static kms_err as_read(kms_err err)
{
	return kms_is(err, KMS_CODE_ARGUMENT) ? KMS_ERR(FORMAT) : err;
}

static kms_err read_what(struct kms_reader *reader, struct format_erased *what)
{
	KMS_TRY(format_id_read(reader, &what->erasure));
	KMS_TRY(format_hash_read(reader, &what->erase));
	KMS_TRY(format_id_read(reader, &what->key));
	KMS_TRY(kms_read_u32(reader, &what->version));
	KMS_TRY(format_id_read(reader, &what->kek));
	KMS_TRY(format_hash_read(reader, &what->commitment));
	return as_read(check_what(what));
}

/* A byte of which only the lowest bits may be set. */
static kms_err read_bits(struct kms_reader *reader, unsigned count, uint8_t *ret_bits)
{
	KMS_TRY(kms_read_u8(reader, ret_bits));
	return *ret_bits >> count == 0 ? KMS_OK : KMS_ERR(FORMAT);
}

/* When kms-tokend wrote down that it begins. Whether that was in time, and before the end, the
 * reader decides. */
static kms_err read_begun(struct kms_reader *reader, int64_t *ret_unix_ms)
{
	uint64_t begun;
	KMS_TRY(kms_read_u64(reader, &begun));
	if (begun > INT64_MAX) {
		return KMS_ERR(FORMAT);
	}
	*ret_unix_ms = (int64_t)begun;
	return KMS_OK;
}

enum { FOUND = 1, CANARY_BEFORE = 2, CANARY_AFTER = 4, DESTROY_BITS = 3 };

/* Where nothing was found nothing was called and nothing tried; what never opened opens not still.
 */
static kms_err check_destroy(const struct format_destroy *destroy)
{
	KMS_TRY(check_what(&destroy->what));
	bool found = destroy->found || (destroy->rv == 0 && !destroy->canary_before);
	return found && destroy->begun_unix_ms >= 0 &&
			       (destroy->canary_before || !destroy->canary_after)
		       ? KMS_OK
		       : KMS_ERR(ARGUMENT);
}

kms_err format_destroy_write(struct kms_writer *writer, const struct format_destroy *destroy)
{
	KMS_TRY(check_destroy(destroy));
	write_what(writer, &destroy->what);
	kms_write_u64(writer, (uint64_t)destroy->begun_unix_ms);
	kms_write_u64(writer, destroy->rv);
	kms_write_u8(writer, (uint8_t)((destroy->found ? FOUND : 0) |
				       (destroy->canary_before ? CANARY_BEFORE : 0) |
				       (destroy->canary_after ? CANARY_AFTER : 0)));
	return KMS_OK;
}

kms_err format_destroy_read(struct kms_reader *reader, struct format_destroy *destroy)
{
	uint8_t bits;
	KMS_TRY(read_what(reader, &destroy->what));
	KMS_TRY(read_begun(reader, &destroy->begun_unix_ms));
	KMS_TRY(kms_read_u64(reader, &destroy->rv));
	KMS_TRY(read_bits(reader, DESTROY_BITS, &bits));
	destroy->found = (bits & FOUND) != 0;
	destroy->canary_before = (bits & CANARY_BEFORE) != 0;
	destroy->canary_after = (bits & CANARY_AFTER) != 0;
	return as_read(check_destroy(destroy));
}

static kms_err check_absence(const struct format_absence *absence)
{
	KMS_TRY(check_what(&absence->what));
	return absence->matched <= absence->searched && absence->living <= absence->born
		       ? KMS_OK
		       : KMS_ERR(ARGUMENT);
}

kms_err format_absence_write(struct kms_writer *writer, const struct format_absence *absence)
{
	KMS_TRY(check_absence(absence));
	write_what(writer, &absence->what);
	kms_write_u32(writer, absence->searched);
	kms_write_u32(writer, absence->matched);
	kms_write_u32(writer, absence->born);
	kms_write_u32(writer, absence->living);
	return KMS_OK;
}

kms_err format_absence_read(struct kms_reader *reader, struct format_absence *absence)
{
	KMS_TRY(read_what(reader, &absence->what));
	KMS_TRY(kms_read_u32(reader, &absence->searched));
	KMS_TRY(kms_read_u32(reader, &absence->matched));
	KMS_TRY(kms_read_u32(reader, &absence->born));
	KMS_TRY(kms_read_u32(reader, &absence->living));
	return as_read(check_absence(absence));
}

enum { INITIALISED = 1, OVERWRITTEN = 2, WIPE_BITS = 2 };

kms_err format_wipe_write(struct kms_writer *writer, const struct format_wipe *wipe)
{
	if (kms_id_is_zero(&wipe->erasure) || wipe->begun_unix_ms < 0) {
		return KMS_ERR(ARGUMENT);
	}
	kms_write_fixed(writer, wipe->erasure.b, sizeof(wipe->erasure.b));
	kms_write_fixed(writer, wipe->erase.b, sizeof(wipe->erase.b));
	kms_write_u64(writer, (uint64_t)wipe->begun_unix_ms);
	kms_write_u32(writer, wipe->destroyed);
	kms_write_u8(writer, (uint8_t)((wipe->initialised ? INITIALISED : 0) |
				       (wipe->overwritten ? OVERWRITTEN : 0)));
	return KMS_OK;
}

kms_err format_wipe_read(struct kms_reader *reader, struct format_wipe *wipe)
{
	uint8_t bits;
	KMS_TRY(format_id_read(reader, &wipe->erasure));
	KMS_TRY(format_hash_read(reader, &wipe->erase));
	KMS_TRY(read_begun(reader, &wipe->begun_unix_ms));
	KMS_TRY(kms_read_u32(reader, &wipe->destroyed));
	KMS_TRY(read_bits(reader, WIPE_BITS, &bits));
	wipe->initialised = (bits & INITIALISED) != 0;
	wipe->overwritten = (bits & OVERWRITTEN) != 0;
	return kms_id_is_zero(&wipe->erasure) ? KMS_ERR(FORMAT) : KMS_OK;
}
