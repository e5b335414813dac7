/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about KEKs share: the table, and the names of its files. */
#ifndef KMS_KEKS_INT_H
#define KMS_KEKS_INT_H

#include "tokend_int.h"

/* Two search trees (tsearch(3)) over the same structs: by id, and the newest of each key. */
struct keks {
	void *by_id;  /* struct kek */
	void *by_key; /* struct newest */
	size_t count;
};

enum { KEKS_FILE_BYTES = 4 + KMS_ID_TEXT + 16 };
/* "kek/ID.SUFFIX", a file of the state directory. Returns name. */
const char *keks_file(const struct kms_id *id, const char *suffix, char name[KEKS_FILE_BYTES]);

/* Is the mark there? What cannot be told is an error: an object must never be swept because of a
 * file that could not be read. */
kms_err keks_has_mark(
	const struct tokend *tokend, const struct kms_id *id, const char *suffix, bool *ret_has);
/* Visit every kek/ID.SUFFIX of the state directory; the first error ends it. */
kms_err keks_each_file(struct tokend *tokend, const char *suffix,
	kms_err (*visit)(struct tokend *, const struct kms_id *, void *), void *arg);

/*
 * sweep.c: kek/ID.intent says durably, before the token makes a KEK, that one is being made; it
 * goes when the birth is durable. Only what an intent names may ever be swept.
 */
kms_err keks_intend(struct tokend *tokend, const struct kms_id *id);
kms_err keks_intent_end(struct tokend *tokend, const struct kms_id *id);
/* Destroy what an interrupted making left: a birth nobody was told of, the object, the intent. */
kms_err keks_unmake(struct tokend *tokend, const struct kms_id *id);
/* At a start, with every birth read: destroy what was never born or was abandoned. */
kms_err keks_sweep(struct tokend *tokend, struct keks *keks);

/* marks.c: held, erasing and destroyed of one KEK, back into memory. */
kms_err keks_read_marks(struct tokend *tokend, struct kek *kek);
/* sweep.c: remember, and log, that it is in the token again (under that id). */
void keks_reappeared(struct kek *kek, const char *where);

/* Into the table; takes over statement. */
kms_err keks_add(struct keks *keks, const struct format_birth *birth, struct kms_buf *statement,
	enum kek_life life, struct kek **ret_kek);
/* It may be used from now on: is it the newest of its key? */
kms_err keks_note_committed(struct keks *keks, struct kek *kek);

#endif
