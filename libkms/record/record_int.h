/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that stand in several records: optional ids, bounded texts, tokens, tenants. */
#ifndef KMS_RECORD_INT_H
#define KMS_RECORD_INT_H

#include "doc.h"
#include "record.h"

#define RECORD_INT_MAX                                                                             \
	(((uint64_t)1 << 53) - 1) /* integers that every JSON reader holds exactly                 \
				   */

/* An id that may be missing: left out when zero. Reading refuses a zero that is written out. */
void record_id_set(struct doc *object, const char *name, const struct kms_id *id);
kms_err record_id_get(struct doc *object, const char *name, struct kms_id *ret_id);
/* Text of at most size - 1 bytes without control characters: FORMAT, TOO_LARGE. */
kms_err record_text_get(struct doc *object, const char *name, char *into, size_t size);
/* The same of a member that may be missing: "". One that is there is not empty (FORMAT). */
kms_err record_text_get_or_none(struct doc *object, const char *name, char *into, size_t size);
kms_err record_number_set(struct doc *object, const char *name, uint64_t value); /* TOO_LARGE */
kms_err record_version_get(struct doc *object, const char *name, uint32_t *ret_version);
/* A word of model; FORMAT when it is none. */
#define RECORD_WORD_GET(object, name, parse, ret)                                                  \
	__extension__({                                                                            \
		const char *word_ = NULL;                                                          \
		kms_err word_err_ = doc_get_text(object, name, &word_);                            \
		if (kms_is_ok(word_err_) && !kms_is_ok(parse(word_, ret))) {                       \
			word_err_ = KMS_ERR(FORMAT);                                               \
		}                                                                                  \
		word_err_;                                                                         \
	})

/* `sig`: r || s of ECDSA P-256, base64. */
void record_signature_set(struct doc *object, const uint8_t signature[MODEL_SIGNATURE]);
kms_err record_signature_get(struct doc *object, uint8_t signature[MODEL_SIGNATURE]);

/* `subj`: SHA-256(salt || text), hex. Reading proves only that there is one. */
kms_err record_subject_set(struct doc *object, const struct model_label *label);
kms_err record_subject_get(struct doc *object);

/* A token's pins; the same members in entries and files. Members only: the caller calls doc_end. */
void record_token_set(struct doc *object, const struct model_token *token);
kms_err record_token_get(struct doc *object, struct model_token *ret_token);

/* Principals as they stand in entries. */
kms_err record_principals_set(struct doc *array, const struct model_principal *principals,
	size_t count, const struct kms_id *tenant);
kms_err record_principals_get(struct doc *array, const struct kms_id *tenant,
	struct model_principal **ret_principals, size_t *ret_count);
kms_err record_tokens_get(struct doc *array, const struct kms_id *tenant,
	struct model_token **ret_tokens, size_t *ret_count);
kms_err record_tenant_set(struct doc *object, const struct model_tenant_set *set);
kms_err record_tenant_get(struct doc *object, struct model_tenant_set *ret_set);

#endif
