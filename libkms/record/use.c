/* SPDX-License-Identifier: Apache-2.0 */
/* Use records: one use of a KEK, or one denial. Leaves of a commit's tree; never a secret. */
#include "record_int.h"

#include <string.h>

static const char version[] = "kmsd-use/1";

kms_err record_use_write(const struct model_use *use, struct kms_buf *ret_json)
{
	KMS_AUTO(doc) doc = NULL;
	KMS_AUTO_BUF json = {0};
	KMS_TRY(doc_new_object(&doc));
	doc_set_text(doc, "v", version);
	KMS_TRY(record_number_set(doc, "n", use->n));
	doc_set_int(doc, "t", use->unix_ms);
	doc_set_text(doc, "op", model_op_text(use->op));
	record_id_set(doc, "actor", &use->principal);
	doc_set_hash(doc, "spki", &use->spki);
	record_id_set(doc, "key", &use->key);
	record_id_set(doc, "kek", &use->kek);
	doc_set_int(doc, "kver", use->version);
	record_id_set(doc, "wrapped_key", &use->wrapped_key);
	doc_set_hash(doc, "context", &use->context);
	doc_set_text(doc, "res", kms_err_name((kms_err){use->denied}));
	doc_set_int(doc, "repeats", use->repeats);
	if (use->lease_end_unix_ms != 0) {
		doc_set_int(doc, "lease", use->lease_end_unix_ms);
		record_id_set(doc, "holder", &use->holder);
	}
	KMS_TRY(doc_write(doc, &json));
	if (json.len > LIMIT_USE_RECORD_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_json = json;
	json = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err result_get(struct doc *doc, enum kms_code *ret_code)
{
	const char *name = NULL;
	KMS_TRY(doc_get_text(doc, "res", &name));
	kms_err result = kms_err_from_name(name);
	/* An unknown name comes back as another one. */
	if (strcmp(kms_err_name(result), name) != 0) {
		return KMS_ERR(FORMAT);
	}
	*ret_code = result.code;
	return KMS_OK;
}

/* What handed a data key out has a lease, and nothing else has one. */
static kms_err lease_get(struct doc *doc, struct model_use *use)
{
	bool leased = use->denied == KMS_CODE_OK && model_op_hands_out(use->op);
	if (leased != doc_has(doc, "lease")) {
		return KMS_ERR(FORMAT);
	}
	if (!leased) {
		return KMS_OK;
	}
	KMS_TRY(doc_get_int(doc, "lease", &use->lease_end_unix_ms));
	KMS_TRY(record_id_get(doc, "holder", &use->holder));
	return use->lease_end_unix_ms > 0 ? KMS_OK : KMS_ERR(FORMAT);
}

kms_err record_use_read(struct kms_bytes json, struct model_use *ret_use)
{
	KMS_AUTO(doc) doc = NULL;
	struct model_use use;
	const char *text = NULL;
	uint64_t repeats = 0;

	memset(&use, 0, sizeof(use));
	KMS_TRY(doc_parse(json, LIMIT_USE_RECORD_BYTES, &doc));
	KMS_TRY(doc_get_text(doc, "v", &text));
	if (strcmp(text, version) != 0) {
		return KMS_ERR(VERSION);
	}
	KMS_TRY(doc_get_uint(doc, "n", RECORD_INT_MAX, &use.n));
	KMS_TRY(doc_get_int(doc, "t", &use.unix_ms));
	KMS_TRY(RECORD_WORD_GET(doc, "op", model_op_parse, &use.op));
	KMS_TRY(record_id_get(doc, "actor", &use.principal));
	KMS_TRY(doc_get_hash(doc, "spki", &use.spki));
	KMS_TRY(record_id_get(doc, "key", &use.key));
	KMS_TRY(record_id_get(doc, "kek", &use.kek));
	KMS_TRY(record_version_get(doc, "kver", &use.version));
	KMS_TRY(record_id_get(doc, "wrapped_key", &use.wrapped_key));
	KMS_TRY(doc_get_hash(doc, "context", &use.context));
	KMS_TRY(result_get(doc, &use.denied));
	KMS_TRY(doc_get_uint(doc, "repeats", UINT32_MAX, &repeats));
	use.repeats = (uint32_t)repeats;
	KMS_TRY(lease_get(doc, &use));
	KMS_TRY(doc_end(doc));
	/* A use has its number and its KEK; a denial has neither. */
	if ((use.denied == KMS_CODE_OK) != (use.n != 0) ||
		(use.denied == KMS_CODE_OK) == kms_id_is_zero(&use.kek)) {
		return KMS_ERR(FORMAT);
	}
	*ret_use = use;
	return KMS_OK;
}
