/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What format's own files share: the numbers that stand on the wire, and the pieces that stand in
 * more than one format.
 */
#ifndef KMS_FORMAT_INT_H
#define KMS_FORMAT_INT_H

#include "format.h"

enum { FORMAT_VERSION = 1 };

/* Operations on the wire: 1 DATAKEY, 2 WRAP, 3 UNWRAP, 4 REWRAP, for ever. */
kms_err format_op_number(enum model_op op, uint8_t *ret_number); /* ARGUMENT: no use of a KEK */
kms_err format_op_read(struct kms_reader *reader, enum model_op *ret_op);

/* Version byte: VERSION when it is not FORMAT_VERSION. */
kms_err format_version_read(struct kms_reader *reader);
kms_err format_id_read(struct kms_reader *reader, struct kms_id *ret_id);
kms_err format_hash_read(struct kms_reader *reader, struct kms_hash *ret_hash);
/* Custody and delivery, a byte each: FORMAT when unknown. */
kms_err format_binding_read(struct kms_reader *reader, enum model_custody *ret_custody,
	enum model_delivery *ret_delivery);
/* 8-bit count, 1 .. LIMIT_CUSTODY_TOKENS, and that many ids, each once. */
kms_err format_tokens_check(const struct kms_id *tokens, uint32_t count); /* ARGUMENT */
void format_tokens_write(struct kms_writer *writer, const struct kms_id *tokens, uint32_t count);
kms_err format_tokens_read(
	struct kms_reader *reader, struct kms_id tokens[LIMIT_CUSTODY_TOKENS], uint32_t *ret_count);

kms_err format_head_check(const struct format_head *head); /* ARGUMENT */
void format_head_write(struct kms_writer *writer, const struct format_head *head);
kms_err format_head_read(struct kms_reader *reader, struct format_head *ret_head);
kms_err format_slot_check(const struct format_slot *slot); /* ARGUMENT */
void format_slot_write(struct kms_writer *writer, const struct format_slot *slot);
kms_err format_slot_read(struct kms_reader *reader, struct format_slot *ret_slot);

/* Bodies of statements (erased.c). Writing: ARGUMENT; reading: FORMAT. */
kms_err format_destroy_write(struct kms_writer *writer, const struct format_destroy *destroy);
kms_err format_destroy_read(struct kms_reader *reader, struct format_destroy *destroy);
kms_err format_absence_write(struct kms_writer *writer, const struct format_absence *absence);
kms_err format_absence_read(struct kms_reader *reader, struct format_absence *absence);
kms_err format_wipe_write(struct kms_writer *writer, const struct format_wipe *wipe);
kms_err format_wipe_read(struct kms_reader *reader, struct format_wipe *wipe);

/* A canonical context into into (emptied first), which is unspecified after a failure. */
kms_err format_context_scan(
	struct kms_bytes bytes, struct model_context *into, struct kms_id *ret_tenant);

#endif
