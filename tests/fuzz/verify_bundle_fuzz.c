/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stranger's bundle: bytes as certificate.json, and as a manifest that nobody pinned. The folder
 * is in memory; whatever the bytes are, a report comes out, and a bundle of two files never passes.
 */
#include "bundle_int.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static const struct kms_id zero;

static void certificate(struct kms_bytes input)
{
	KMS_AUTO(certificate) read = NULL;
	struct why why = WHY_NOT;
	char member[CERTIFICATE_MEMBER_MAX];
	kms_err err = certificate_read(input, &read, &why, member);
	if (!kms_is_ok(err)) {
		KMS_ASSERT(kms_is(err, KMS_CODE_FORMAT) && why.en != NULL && read == NULL);
		KMS_ASSERT(kms_is_ok(model_text_check(member, sizeof(member) - 1)));
		return;
	}
	/* What was read is what stands there: it can be written back. */
	KMS_AUTO_BUF again = {0};
	KMS_ASSERT(kms_is_ok(doc_write(read->doc, &again)));
	KMS_ASSERT(kms_bytes_equal(input, kms_buf_bytes(&again)));
	KMS_ASSERT(read->words.not_claimed != NULL && read->log_origin != NULL);
	for (size_t i = 0; i < read->key_count; i++) {
		KMS_ASSERT(read->keys[i].version_count > 0);
		KMS_ASSERT(certificate_key(read, &read->keys[i].id) != NULL);
	}
	KMS_ASSERT(certificate_copy(read, &zero, &zero) == NULL || read->copy_count > 0);
}

static void manifest(struct kms_bytes input)
{
	static struct trust trust;
	KMS_AUTO(doc) report = NULL;
	struct model_file files[2] = {
		{.name = "certificate.json", .bytes = {(uint8_t *)strdup("{}"), 2}},
		{.name = "manifest"},
	};
	const struct folder folder = {2, files};
	struct bundle bundle = {.trust = &trust, .folder = &folder};
	KMS_ASSERT(kms_is_ok(kms_buf_copy(input, &files[1].bytes)));
	KMS_ASSERT(kms_is_ok(doc_new_object(&report)));
	bundle.not_shown = doc_set_array(report, "not_shown");
	bundle.steps[1].reasons = doc_set_array(report, "reasons");
	KMS_ASSERT(kms_is_ok(step_manifest(&bundle)));
	/* The other files of a bundle are missing, whatever the manifest says. */
	KMS_ASSERT(bundle.steps[1].failed && doc_count(bundle.steps[1].reasons) > 0);
	kms_buf_free(&files[0].bytes);
	kms_buf_free(&files[1].bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	certificate(input);
	manifest(input);
	return 0;
}
