/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as problem+json (RFC 9457), both directions. The type is an URN of the error's stable
 * name; detail comes from us and must never hold a value that a client or a token sent.
 */
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "wire.h"

#define TYPE_PREFIX "urn:kmsd:problem:"
enum { PROBLEM_MAX = 4096 };

kms_err wire_problem_write(kms_err err, int status, const char *detail, struct kms_buf *ret_body)
{
	KMS_AUTO(doc) doc = NULL;
	KMS_AUTO_FREE char *type = NULL;
	KMS_TRY(kms_text(&type, TYPE_PREFIX "%s", kms_err_name(err)));
	KMS_TRY(doc_new_object(&doc));
	doc_set_text(doc, "type", type);
	doc_set_text(doc, "title", kms_err_text(err));
	doc_set_int(doc, "status", status == 0 ? kms_err_http_status(err) : status);
	if (detail != NULL) {
		doc_set_text(doc, "detail", detail);
	}
	return doc_write(doc, ret_body);
}

kms_err wire_problem_read(struct kms_bytes body, kms_err *ret_err, char **ret_detail)
{
	KMS_AUTO(doc) doc = NULL;
	const char *type = NULL;
	const char *title = NULL;
	const char *detail = "";
	uint64_t status = 0;
	KMS_TRY(doc_parse(body, PROBLEM_MAX, &doc));
	KMS_TRY(doc_get_text(doc, "type", &type));
	KMS_TRY(doc_get_text(doc, "title", &title));
	KMS_TRY(doc_get_uint(doc, "status", 599, &status));
	if (doc_has(doc, "detail")) {
		KMS_TRY(doc_get_text(doc, "detail", &detail));
	}
	KMS_TRY(doc_end(doc));
	size_t prefix = strlen(TYPE_PREFIX);
	if (strncmp(type, TYPE_PREFIX, prefix) != 0) {
		return KMS_ERR(FORMAT);
	}
	kms_err err = kms_err_from_name(type + prefix);
	if (kms_is_ok(err)) {
		return KMS_ERR(FORMAT); /* a problem that is none */
	}
	if (ret_detail != NULL) {
		KMS_TRY(kms_text(ret_detail, "%s", detail));
	}
	*ret_err = err;
	return KMS_OK;
}
