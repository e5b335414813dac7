/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was decided about a KEK, each a file of the state directory that is durable before it
 * counts: kek/ID.held (empty), ID.erasing (by which erasure, and since when) and ID.destroyed (the
 * signed destroy and absence statements). The last two never go away again: what was erased is
 * known as erased even when a copy of the token comes back.
 */
#include "keks_int.h"

#include <string.h>

static const char erasing_magic[8] = "KMSERAS1";
enum { ERASING_BYTES = 8 + 16 + 32 + 8, END_BYTES = 2 * (4 + LIMIT_STATEMENT_BYTES) };

kms_err kek_usable(const struct kek *kek)
{
	if (kek->life == KEK_DESTROYED) {
		return KMS_ERR(ERASED);
	}
	return kek->life == KEK_ERASING || kek->held ? KMS_ERR(KEY_STATE) : KMS_OK;
}

kms_err keks_hold(struct tokend *tokend, const struct kms_id *id, bool held)
{
	char name[KEKS_FILE_BYTES];
	struct kek *kek = keks_find(tokend->keks, id);
	if (kek == NULL || kek->life == KEK_ABANDONED) {
		return KMS_ERR(NOT_FOUND);
	}
	if (kek->life == KEK_DESTROYED) {
		return KMS_ERR(ERASED);
	}
	if (held) {
		kek->held = true; /* also when the disk is full: only a restart forgets it */
		return state_write(
			&tokend->state, keks_file(id, "held", name), (struct kms_bytes){0});
	}
	KMS_TRY(state_remove(&tokend->state, keks_file(id, "held", name)));
	kek->held = false;
	return KMS_OK;
}

/* ---- erasing ---- */

kms_err keks_mark_erasing(struct tokend *tokend, struct kek *kek, const struct kek_mark *mark)
{
	uint8_t bytes[ERASING_BYTES];
	char name[KEKS_FILE_BYTES];
	struct kms_writer writer = kms_writer_fixed(bytes, sizeof(bytes));
	kms_write_fixed(&writer, erasing_magic, sizeof(erasing_magic));
	kms_write_fixed(&writer, mark->erasure.b, sizeof(mark->erasure.b));
	kms_write_fixed(&writer, mark->erase.b, sizeof(mark->erase.b));
	kms_write_u64(&writer, (uint64_t)mark->begun_unix_ms);
	struct kms_bytes all;
	KMS_TRY(kms_writer_bytes(&writer, &all));
	KMS_TRY(state_write(&tokend->state, keks_file(&kek->birth.kek, "erasing", name), all));
	kek->mark = *mark;
	kek->life = KEK_ERASING;
	return KMS_OK;
}

static kms_err parse_erasing(struct kms_bytes bytes, struct kek_mark *ret_mark)
{
	struct kms_reader reader = kms_reader_of(bytes);
	struct kek_mark mark;
	uint64_t begun;
	KMS_TRY(kms_read_expect(&reader, erasing_magic, sizeof(erasing_magic)));
	KMS_TRY(kms_read_fixed(&reader, mark.erasure.b, sizeof(mark.erasure.b)));
	KMS_TRY(kms_read_fixed(&reader, mark.erase.b, sizeof(mark.erase.b)));
	KMS_TRY(kms_read_u64(&reader, &begun));
	mark.begun_unix_ms = (int64_t)begun;
	*ret_mark = mark;
	return kms_read_end(&reader);
}

/* ---- destroyed ---- */

kms_err keks_mark_destroyed(
	struct tokend *tokend, struct kek *kek, struct kms_bytes destroy, struct kms_bytes absence)
{
	char name[KEKS_FILE_BYTES];
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_WRITER writer = kms_writer_grow(END_BYTES);
	kms_write_lp32(&writer, destroy);
	kms_write_lp32(&writer, absence);
	KMS_TRY(kms_writer_take(&writer, &bytes));
	KMS_TRY(state_write(&tokend->state, keks_file(&kek->birth.kek, "destroyed", name),
		kms_buf_bytes(&bytes)));
	kek->life = KEK_DESTROYED;
	return KMS_OK;
}

kms_err keks_end_read(struct tokend *tokend, const struct kek *kek, struct kms_buf *ret_file,
	struct kms_bytes *ret_destroy, struct kms_bytes *ret_absence)
{
	char name[KEKS_FILE_BYTES];
	KMS_AUTO_BUF file = {0};
	KMS_TRY(state_read(
		&tokend->state, keks_file(&kek->birth.kek, "destroyed", name), END_BYTES, &file));
	struct kms_reader reader = kms_reader_of(kms_buf_bytes(&file));
	struct kms_bytes destroy, absence;
	KMS_TRY(kms_read_lp32(&reader, LIMIT_STATEMENT_BYTES, &destroy));
	KMS_TRY(kms_read_lp32(&reader, LIMIT_STATEMENT_BYTES, &absence));
	KMS_TRY(kms_read_end(&reader));
	*ret_destroy = destroy;
	*ret_absence = absence;
	*ret_file = file;
	file = (struct kms_buf){0};
	return KMS_OK;
}

static bool is_about(const struct kek *kek, const struct format_erased *what)
{
	return kms_id_equal(&what->kek, &kek->birth.kek) &&
	       kms_hash_equal(&what->commitment, &kek->birth.commitment) &&
	       kms_id_equal(&what->erasure, &kek->mark.erasure) &&
	       kms_hash_equal(&what->erase, &kek->mark.erase);
}

static kms_err check_end(struct tokend *tokend, const struct kek *kek)
{
	struct format_statement statement;
	KMS_AUTO_BUF file = {0};
	struct kms_bytes destroy, absence, spki = kms_buf_bytes(&tokend->statement_spki);
	KMS_TRY(keks_end_read(tokend, kek, &file, &destroy, &absence));
	KMS_TRY(format_statement_verify(destroy, spki, &statement));
	if (statement.type != FORMAT_STATEMENT_DESTROY ||
		!is_about(kek, &statement.u.destroy.what) ||
		statement.u.destroy.begun_unix_ms != kek->mark.begun_unix_ms) {
		return KMS_ERR(INTEGRITY);
	}
	KMS_TRY(format_statement_verify(absence, spki, &statement));
	bool good = statement.type == FORMAT_STATEMENT_ABSENCE &&
		    is_about(kek, &statement.u.absence.what);
	return good ? KMS_OK : KMS_ERR(INTEGRITY);
}

/* ---- at a start ---- */

static kms_err read_end(struct tokend *tokend, struct kek *kek)
{
	char name[KEKS_FILE_BYTES];
	KMS_AUTO_BUF bytes = {0};
	kms_err err = state_read(
		&tokend->state, keks_file(&kek->birth.kek, "erasing", name), ERASING_BYTES, &bytes);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		err = state_read(&tokend->state, keks_file(&kek->birth.kek, "destroyed", name),
			END_BYTES, &bytes);
		/* Destroyed without ever having been marked: not what this program wrote. */
		return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_OK : KMS_ERR(INTEGRITY);
	}
	KMS_TRY(err);
	KMS_TRY(parse_erasing(kms_buf_bytes(&bytes), &kek->mark));
	if (kek->life != KEK_COMMITTED) {
		return KMS_ERR(INTEGRITY);
	}
	kek->life = KEK_ERASING;
	err = check_end(tokend, kek);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_OK;
	}
	KMS_TRY(err);
	kek->life = KEK_DESTROYED;
	return KMS_OK;
}

kms_err keks_read_marks(struct tokend *tokend, struct kek *kek)
{
	char text[KMS_ID_TEXT];
	KMS_TRY(keks_has_mark(tokend, &kek->birth.kek, "held", &kek->held));
	kms_err err = read_end(tokend, kek);
	if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NO_MEMORY)) {
		kms_log(KMS_LOG_ERROR,
			"%s/kek/%s: erasing and destroyed are not what this token wrote: "
			"restore them",
			tokend->state.dir, kms_id_text(&kek->birth.kek, text));
		return KMS_ERR(INTEGRITY);
	}
	return err;
}
