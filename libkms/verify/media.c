/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What certificate.json says of datasets: rows as the plan has them (docs/formats/plan.md), and the
 * hash over all of them, which these rows must have where they are all.
 */
#include "bundle_int.h"

/* A member that may be null, but must be there: the caller counts members. */
static kms_err check_text(struct doc *row, const char *name)
{
	const char *text;
	return doc_has(row, name) ? doc_get_text(row, name, &text) : KMS_OK;
}

static kms_err check_row(struct doc *row)
{
	static const char *const texts[] = {"kind", "serial", "site", "country"};
	enum { TEXTS = sizeof(texts) / sizeof(texts[0]), MEMBERS = TEXTS + 3 };
	struct kms_id id;
	uint64_t since;
	KMS_TRY(doc_get_id(row, "id", &id));
	KMS_TRY(doc_get_id(row, "key", &id));
	KMS_TRY(doc_get_uint(row, "encrypted_since", INT64_MAX, &since));
	for (size_t i = 0; i < TEXTS; i++) {
		KMS_TRY(check_text(row, texts[i]));
	}
	KMS_TRY(doc_end(row));
	return doc_count(row) == MEMBERS ? KMS_OK : KMS_ERR(FORMAT);
}

/* SHA-256(the hash before, the row). */
static kms_err add_row(const struct doc *row, struct kms_hash *hash)
{
	KMS_AUTO_BUF json = {0};
	struct kms_hash next;
	KMS_TRY(doc_write(row, &json));
	const struct kms_bytes parts[] = {KMS_BYTES_OF(hash->b), kms_buf_bytes(&json)};
	KMS_TRY(crypto_sha256(parts, 2, &next));
	*hash = next;
	return KMS_OK;
}

kms_err certificate_read_media(struct doc *media, uint64_t *ret_count)
{
	struct doc *rows, *row;
	struct kms_hash said, hash = {{0}};
	uint64_t count;
	KMS_TRY(doc_get_uint(media, "count", INT64_MAX, &count));
	KMS_TRY(doc_get_hash(media, "hash", &said));
	KMS_TRY(doc_get_array(media, "rows", &rows));
	KMS_TRY(doc_end(media));
	uint64_t shown = count < LIMIT_PLAN_DATASETS ? count : LIMIT_PLAN_DATASETS;
	if (doc_count(rows) != shown) {
		return KMS_ERR(FORMAT);
	}
	for (size_t i = 0; i < shown; i++) {
		KMS_TRY(doc_item_object(rows, i, &row));
		KMS_TRY(check_row(row));
		KMS_TRY(add_row(row, &hash));
	}
	if (shown == count && !kms_hash_equal(&hash, &said)) {
		return KMS_ERR(FORMAT);
	}
	*ret_count = count;
	return KMS_OK;
}
