/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrapped key: what lies beside the data for as long as the data lives. Head and slots, and
 * the AAD that ties each slot to its head and itself.
 */
#include "format_int.h"

#include <string.h>

static const uint8_t magic[4] = {'K', 'M', 'S', 'W'};

kms_err format_head_check(const struct format_head *head)
{
	bool custody = head->custody == MODEL_CUSTODY_ANY || head->custody == MODEL_CUSTODY_ALL;
	bool delivery =
		head->delivery == MODEL_DELIVERY_SEALED || head->delivery == MODEL_DELIVERY_CLEAR;
	return custody && delivery ? KMS_OK : KMS_ERR(ARGUMENT);
}

void format_head_write(struct kms_writer *writer, const struct format_head *head)
{
	kms_write_fixed(writer, magic, sizeof(magic));
	kms_write_u8(writer, FORMAT_VERSION);
	kms_write_u8(writer, (uint8_t)head->custody);
	kms_write_u8(writer, (uint8_t)head->delivery);
	kms_write_fixed(writer, head->key.b, sizeof(head->key.b));
	kms_write_fixed(writer, head->wrapped_key.b, sizeof(head->wrapped_key.b));
	kms_write_fixed(writer, head->context.b, sizeof(head->context.b));
}

kms_err format_head_read(struct kms_reader *reader, struct format_head *ret_head)
{
	struct format_head head;
	KMS_TRY(kms_read_expect(reader, magic, sizeof(magic)));
	KMS_TRY(format_version_read(reader));
	KMS_TRY(format_binding_read(reader, &head.custody, &head.delivery));
	KMS_TRY(format_id_read(reader, &head.key));
	KMS_TRY(format_id_read(reader, &head.wrapped_key));
	KMS_TRY(format_hash_read(reader, &head.context));
	*ret_head = head;
	return KMS_OK;
}

kms_err format_slot_check(const struct format_slot *slot)
{
	if (slot->mechanism != FORMAT_MECHANISM_AES_256_GCM || slot->version == 0) {
		return KMS_ERR(ARGUMENT);
	}
	return slot->version > LIMIT_KEY_VERSIONS ? KMS_ERR(TOO_LARGE) : KMS_OK;
}

/* The part of a slot that stands in its own AAD. */
static void slot_entry_write(struct kms_writer *writer, const struct format_slot *slot)
{
	kms_write_fixed(writer, slot->token.b, sizeof(slot->token.b));
	kms_write_fixed(writer, slot->kek.b, sizeof(slot->kek.b));
	kms_write_u32(writer, slot->version);
	kms_write_u8(writer, (uint8_t)slot->mechanism);
}

void format_slot_write(struct kms_writer *writer, const struct format_slot *slot)
{
	slot_entry_write(writer, slot);
	kms_write_fixed(writer, slot->nonce, sizeof(slot->nonce));
	kms_write_fixed(writer, slot->ciphertext, sizeof(slot->ciphertext));
	kms_write_fixed(writer, slot->tag, sizeof(slot->tag));
}

kms_err format_slot_read(struct kms_reader *reader, struct format_slot *ret_slot)
{
	struct format_slot slot;
	uint8_t mechanism = 0;
	KMS_TRY(format_id_read(reader, &slot.token));
	KMS_TRY(format_id_read(reader, &slot.kek));
	KMS_TRY(kms_read_u32(reader, &slot.version));
	KMS_TRY(kms_read_u8(reader, &mechanism));
	if (mechanism != FORMAT_MECHANISM_AES_256_GCM || slot.version == 0) {
		return KMS_ERR(FORMAT);
	}
	if (slot.version > LIMIT_KEY_VERSIONS) {
		return KMS_ERR(TOO_LARGE);
	}
	slot.mechanism = (enum format_mechanism)mechanism;
	KMS_TRY(kms_read_fixed(reader, slot.nonce, sizeof(slot.nonce)));
	KMS_TRY(kms_read_fixed(reader, slot.ciphertext, sizeof(slot.ciphertext)));
	KMS_TRY(kms_read_fixed(reader, slot.tag, sizeof(slot.tag)));
	*ret_slot = slot;
	return KMS_OK;
}

/* Does a slot before slot i belong to the same token? One token has one slot. */
static bool slot_repeats(const struct format_slot *slots, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++) {
		if (kms_id_equal(&slots[i].token, &slots[j].token)) {
			return true;
		}
	}
	return false;
}

kms_err format_wrapped_write(const struct format_wrapped *wrapped, struct kms_buf *ret_bytes)
{
	if (wrapped->slot_count == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (wrapped->slot_count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(format_head_check(&wrapped->head));

	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_WRAPPED_BYTES);
	format_head_write(&writer, &wrapped->head);
	for (uint32_t i = 0; i < wrapped->slot_count; i++) {
		KMS_TRY(format_slot_check(&wrapped->slots[i]));
		if (slot_repeats(wrapped->slots, i)) {
			return KMS_ERR(ARGUMENT);
		}
		format_slot_write(&writer, &wrapped->slots[i]);
	}
	return kms_writer_take(&writer, ret_bytes);
}

kms_err format_wrapped_read(struct kms_bytes bytes, struct format_wrapped *ret_wrapped)
{
	struct kms_reader reader = kms_reader_of(bytes);
	struct format_wrapped wrapped = {.slot_count = 0};
	KMS_TRY(format_head_read(&reader, &wrapped.head));
	/* The slots fill the rest: no count stands in the AAD, so that repair can add one. */
	do {
		if (wrapped.slot_count == LIMIT_CUSTODY_TOKENS) {
			return KMS_ERR(TOO_LARGE);
		}
		KMS_TRY(format_slot_read(&reader, &wrapped.slots[wrapped.slot_count]));
		if (slot_repeats(wrapped.slots, wrapped.slot_count)) {
			return KMS_ERR(FORMAT);
		}
		wrapped.slot_count++;
	} while (reader.left > 0);
	*ret_wrapped = wrapped;
	return KMS_OK;
}

kms_err format_slot_aad(const struct format_head *head, const struct format_slot *slot,
	const struct kms_id *tokens, uint32_t token_count, uint8_t ret_aad[FORMAT_AAD_MAX],
	size_t *ret_len)
{
	uint8_t aad[FORMAT_AAD_MAX];
	struct kms_writer writer = kms_writer_fixed(aad, sizeof(aad));
	struct kms_bytes bytes;

	KMS_TRY(format_head_check(head));
	KMS_TRY(format_slot_check(slot));
	format_head_write(&writer, head);
	slot_entry_write(&writer, slot);
	if (head->custody == MODEL_CUSTODY_ALL) {
		KMS_TRY(format_tokens_check(tokens, token_count));
		format_tokens_write(&writer, tokens, token_count);
	}
	KMS_TRY(kms_writer_bytes(&writer, &bytes));
	memcpy(ret_aad, bytes.ptr, bytes.len);
	*ret_len = bytes.len;
	return KMS_OK;
}
