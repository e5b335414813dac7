/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What entries say of an erasure, from the request to its certificates. Ids that stand beside
 * signed bytes are what those bytes say, or the entry is refused in both directions; whose
 * signatures they are, and whether a statement is a good one, the verifier decides.
 */
#include "entry_int.h"

#include "format.h"

#include <string.h>

/* Every step of an erasure is in the tenant's name; all but its results are a person's. */
static bool is_persons(const struct model_change *change)
{
	return !kms_id_is_zero(&change->tenant) && !kms_id_is_zero(&change->actor);
}

/* ---- destroy.request ---- */

/* The bytes parse, and are this tenant's and this person's request. */
static kms_err request_check(
	const struct model_change *change, kms_err bad, struct kms_id *ret_erasure)
{
	KMS_AUTO(format_erase) erase = NULL;
	if (!is_persons(change) || change->u.erase_request.certificate.len == 0) {
		return bad;
	}
	KMS_TRY(format_erase_read(kms_buf_bytes(&change->u.erase_request.bytes), &erase));
	if (!kms_id_equal(&erase->tenant, &change->tenant) ||
		!kms_id_equal(&erase->requester, &change->actor)) {
		return bad;
	}
	*ret_erasure = erase->erasure;
	return KMS_OK;
}

static kms_err erase_request_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	struct kms_id erasure;
	(void)entry;
	KMS_TRY(request_check(change, KMS_ERR(ARGUMENT), &erasure));
	doc_set_id(data, "erasure", &erasure);
	doc_set_bytes(data, "bytes", kms_buf_bytes(&change->u.erase_request.bytes));
	doc_set_bytes(data, "cert", kms_buf_bytes(&change->u.erase_request.certificate));
	record_signature_set(data, change->u.erase_request.signature);
	return KMS_OK;
}

static kms_err erase_request_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	struct kms_id said, erasure;
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_id(data, "erasure", &said));
	KMS_TRY(doc_get_bytes(data, "bytes", LIMIT_ERASE_BYTES, &change->u.erase_request.bytes));
	KMS_TRY(doc_get_bytes(data, "cert", LIMIT_CERT_PEM, &change->u.erase_request.certificate));
	KMS_TRY(record_signature_get(data, change->u.erase_request.signature));
	KMS_TRY(request_check(change, KMS_ERR(FORMAT), &erasure));
	return kms_id_equal(&said, &erasure) ? KMS_OK : KMS_ERR(FORMAT);
}

const struct entry_part entry_erase_request = {NULL, erase_request_set, erase_request_get};

/* ---- destroy.approve, destroy.cancel ---- */

static bool signed_is_whole(const struct model_change *change)
{
	const struct model_signed *by = &change->u.erase_signed.by;
	return is_persons(change) && kms_id_equal(&by->principal, &change->actor) &&
	       !kms_id_is_zero(&change->u.erase_signed.erasure) && by->spki.len > 0;
}

static kms_err erase_signed_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	const struct model_signed *by = &change->u.erase_signed.by;
	(void)entry;
	if (!signed_is_whole(change)) {
		return KMS_ERR(ARGUMENT);
	}
	if (by->spki.len > LIMIT_SPKI_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	doc_set_id(data, "erasure", &change->u.erase_signed.erasure);
	doc_set_bytes(data, "spki", kms_buf_bytes(&by->spki));
	record_signature_set(data, by->signature);
	return KMS_OK;
}

/* Who signed is the entry's actor; when, the entry's own t and seq. */
static kms_err erase_signed_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	struct model_signed *by = &change->u.erase_signed.by;
	(void)entry;
	(void)key;
	by->principal = change->actor;
	KMS_TRY(doc_get_id(data, "erasure", &change->u.erase_signed.erasure));
	KMS_TRY(doc_get_bytes(data, "spki", LIMIT_SPKI_BYTES, &by->spki));
	KMS_TRY(record_signature_get(data, by->signature));
	return signed_is_whole(change) ? KMS_OK : KMS_ERR(FORMAT);
}

const struct entry_part entry_erase_signed = {NULL, erase_signed_set, erase_signed_get};

/* ---- destroy.execute.intent ---- */

static bool intent_is_whole(const struct model_change *change)
{
	static const struct kms_hash none;
	return is_persons(change) && !kms_id_is_zero(&change->u.erase_step.erasure) &&
	       !kms_hash_equal(&change->u.erase_step.erase, &none);
}

static kms_err erase_intent_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	if (!intent_is_whole(change)) {
		return KMS_ERR(ARGUMENT);
	}
	doc_set_id(data, "erasure", &change->u.erase_step.erasure);
	doc_set_hash(data, "erase", &change->u.erase_step.erase);
	return KMS_OK;
}

static kms_err erase_intent_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_id(data, "erasure", &change->u.erase_step.erasure));
	KMS_TRY(doc_get_hash(data, "erase", &change->u.erase_step.erase));
	return intent_is_whole(change) ? KMS_OK : KMS_ERR(FORMAT);
}

const struct entry_part entry_erase_intent = {NULL, erase_intent_set, erase_intent_get};

/* ---- destroy.final ---- */

static bool final_is_whole(const struct model_change *change)
{
	return !kms_id_is_zero(&change->tenant) && !kms_id_is_zero(&change->u.erase_step.erasure);
}

static kms_err erase_final_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	if (!final_is_whole(change)) {
		return KMS_ERR(ARGUMENT);
	}
	doc_set_id(data, "erasure", &change->u.erase_step.erasure);
	return KMS_OK;
}

static kms_err erase_final_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_id(data, "erasure", &change->u.erase_step.erasure));
	return final_is_whole(change) ? KMS_OK : KMS_ERR(FORMAT);
}

const struct entry_part entry_erase_final = {NULL, erase_final_set, erase_final_get};
