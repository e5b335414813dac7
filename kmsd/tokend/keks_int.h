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

/* Into the table; takes over statement. */
kms_err keks_add(struct keks *keks, const struct format_birth *birth, struct kms_buf *statement,
	enum kek_life life, struct kek **ret_kek);
/* It may be used from now on: is it the newest of its key? */
kms_err keks_note_committed(struct keks *keks, struct kek *kek);

#endif
