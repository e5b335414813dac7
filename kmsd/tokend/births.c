/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which KEKs exist: kms-tokend's own durable record of births, apart from the token and from kmsd,
 * and how a start holds it against the token. Files of the state directory: kek/ID.birth (the
 * signed statement), .live or .abandoned (empty), .wraps; .intent is sweep.c's, and how a KEK ended
 * stands in marks.c's.
 */
#include "keks_int.h"

#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *keks_file(const struct kms_id *id, const char *suffix, char name[KEKS_FILE_BYTES])
{
	char text[KMS_ID_TEXT];
	(void)snprintf(name, KEKS_FILE_BYTES, "kek/%s.%s", kms_id_text(id, text), suffix);
	return name;
}

kms_err keks_has_mark(
	const struct tokend *tokend, const struct kms_id *id, const char *suffix, bool *ret_has)
{
	char name[KEKS_FILE_BYTES];
	KMS_AUTO_BUF buf = {0};
	kms_err err = state_read(&tokend->state, keks_file(id, suffix, name), 0, &buf);
	if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NOT_FOUND)) {
		kms_log(KMS_LOG_ERROR, "%s/%s cannot be read as the empty mark that it is",
			tokend->state.dir, name);
		return err;
	}
	*ret_has = kms_is_ok(err);
	return KMS_OK;
}

static kms_err read_life(
	const struct tokend *tokend, const struct kms_id *id, enum kek_life *ret_life)
{
	bool abandoned, live;
	char text[KMS_ID_TEXT];
	KMS_TRY(keks_has_mark(tokend, id, "abandoned", &abandoned));
	KMS_TRY(keks_has_mark(tokend, id, "live", &live));
	if (abandoned && live) {
		kms_log(KMS_LOG_ERROR, "%s/kek/%s: committed and abandoned: restore it",
			tokend->state.dir, kms_id_text(id, text));
		return KMS_ERR(INTEGRITY);
	}
	*ret_life = live ? KEK_COMMITTED : (abandoned ? KEK_ABANDONED : KEK_BORN);
	return KMS_OK;
}

/* One kek/ID.birth file back into memory; a damaged one stops the start, it is evidence. */
static kms_err read_birth(struct tokend *tokend, const struct kms_id *id, void *arg)
{
	struct keks *keks = arg;
	char name[KEKS_FILE_BYTES];
	KMS_AUTO_BUF bytes = {0};
	KMS_TRY(state_read(
		&tokend->state, keks_file(id, "birth", name), LIMIT_STATEMENT_BYTES, &bytes));
	struct format_statement statement;
	kms_err err = format_statement_verify(
		kms_buf_bytes(&bytes), kms_buf_bytes(&tokend->statement_spki), &statement);
	if (!kms_is_ok(err) || statement.type != FORMAT_STATEMENT_BIRTH ||
		!kms_id_equal(&statement.u.birth.kek, id)) {
		kms_log(KMS_LOG_ERROR, "%s/%s is not this token's birth statement: restore it",
			tokend->state.dir, name);
		return KMS_ERR(INTEGRITY);
	}
	enum kek_life life;
	struct kek *kek;
	KMS_TRY(read_life(tokend, id, &life));
	KMS_TRY(keks_add(keks, &statement.u.birth, &bytes, life, &kek));
	KMS_TRY(state_read_u64(&tokend->state, keks_file(id, "wraps", name), &kek->reserved));
	kek->wraps = kek->reserved; /* what was left of the block before is given up */
	KMS_TRY(keks_read_marks(tokend, kek));
	return life == KEK_COMMITTED ? keks_note_committed(keks, kek) : KMS_OK;
}

kms_err keks_each_file(struct tokend *tokend, const char *suffix,
	kms_err (*visit)(struct tokend *, const struct kms_id *, void *), void *arg)
{
	char path[OWNER_PATH_MAX + 8];
	(void)snprintf(path, sizeof(path), "%s/kek", tokend->state.dir);
	DIR *dir = opendir(path);
	if (dir == NULL) {
		kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(errno));
		return KMS_ERR(IO);
	}
	kms_err err = KMS_OK;
	struct dirent *entry;
	while (errno = 0, kms_is_ok(err) && (entry = readdir(dir)) != NULL) {
		char text[KMS_ID_TEXT] = {0};
		struct kms_id id;
		if (strlen(entry->d_name) < KMS_ID_TEXT || entry->d_name[KMS_ID_TEXT - 1] != '.' ||
			strcmp(entry->d_name + KMS_ID_TEXT, suffix) != 0) {
			continue;
		}
		memcpy(text, entry->d_name, KMS_ID_TEXT - 1);
		if (kms_is_ok(kms_id_parse(text, &id))) {
			err = visit(tokend, &id, arg);
		}
	}
	if (kms_is_ok(err) && errno != 0) {
		/* Births that were not read must not look like objects that were never born. */
		kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(errno));
		err = KMS_ERR(IO);
	}
	(void)closedir(dir);
	return err;
}

struct look {
	struct tokend *tokend;
	kms_err err;
};

/* A destroyed KEK must not be there. One that is was brought back, from a copy of the token. */
static kms_err look_again(struct tokend *tokend, struct kek *kek)
{
	char text[KMS_ID_TEXT];
	kms_err err = p11_kek_find(tokend->p11, &kek->birth.kek, &kek->object);
	if (kms_is_ok(err) || kms_is(err, KMS_CODE_EXISTS)) {
		keks_reappeared(kek, kms_id_text(&kek->birth.kek, text));
		return KMS_OK;
	}
	return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_OK : err;
}

/* twalk_r's visitor: a living KEK must be found, and be the one that was born. */
static void look_for(const void *node, VISIT visit, void *closure)
{
	struct look *look = closure;
	struct kek *kek = *(struct kek *const *)node;
	if ((visit != postorder && visit != leaf) || kek->life == KEK_ABANDONED ||
		kms_is(look->err, KMS_CODE_TOKEN_DOWN)) {
		return;
	}
	struct kms_hash commitment;
	char text[KMS_ID_TEXT];
	if (kek->life == KEK_DESTROYED) {
		kms_err again = look_again(look->tokend, kek);
		look->err = kms_is_ok(again) ? look->err : again;
		return;
	}
	kms_err err = p11_kek_find(look->tokend->p11, &kek->birth.kek, &kek->object);
	if (kms_is_ok(err)) {
		err = p11_kek_commitment(look->tokend->p11, &kek->object, &commitment);
	}
	if (kms_is_ok(err) && !kms_hash_equal(&commitment, &kek->birth.commitment)) {
		err = KMS_ERR(INTEGRITY);
	}
	if (kek->life == KEK_ERASING && kms_is(err, KMS_CODE_NOT_FOUND)) {
		return; /* killed after it was destroyed: the erasure goes on */
	}
	kek->wrong = kms_is(err, KMS_CODE_INTEGRITY) || kms_is(err, KMS_CODE_EXISTS);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "KEK %s is not in the token as it was born: %s",
			kms_id_text(&kek->birth.kek, text), kms_err_text(err));
		look->err = err;
	}
}

kms_err keks_open(struct tokend *tokend, struct keks **ret_keks)
{
	KMS_AUTO(keks) keks = calloc(1, sizeof(*keks));
	if (keks == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(keks_each_file(tokend, "birth", read_birth, keks));
	struct look look = {tokend, KMS_OK};
	if (tokend->wiped) {
		*ret_keks = kms_take(&keks);
		return KMS_OK; /* there is nothing to look at */
	}
	twalk_r(keks->by_id, look_for, &look);
	if (kms_is(look.err, KMS_CODE_TOKEN_DOWN)) {
		return look.err;
	}
	if (kms_is_ok(look.err)) {
		KMS_TRY(keks_sweep(tokend, keks));
	} else {
		/* Nothing uses that KEK; remains in the token may be evidence. */
		kms_log(KMS_LOG_ERROR, "nothing is swept while a KEK is missing");
	}
	*ret_keks = kms_take(&keks);
	return KMS_OK;
}
