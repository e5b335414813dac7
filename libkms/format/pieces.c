/* SPDX-License-Identifier: Apache-2.0 */
/* The small pieces that several formats share; each reader refuses what it does not know. */
#include "format_int.h"

static const enum model_op op_of_number[] = {
	0, MODEL_OP_DATAKEY, MODEL_OP_WRAP, MODEL_OP_UNWRAP, MODEL_OP_REWRAP};
enum { OP_NUMBERS = sizeof(op_of_number) / sizeof(op_of_number[0]) };

kms_err format_op_number(enum model_op op, uint8_t *ret_number)
{
	for (uint8_t i = 1; i < OP_NUMBERS; i++) {
		if (op_of_number[i] == op) {
			*ret_number = i;
			return KMS_OK;
		}
	}
	return KMS_ERR(ARGUMENT);
}

kms_err format_op_read(struct kms_reader *reader, enum model_op *ret_op)
{
	uint8_t number = 0;
	KMS_TRY(kms_read_u8(reader, &number));
	if (number == 0 || number >= OP_NUMBERS) {
		return KMS_ERR(FORMAT);
	}
	*ret_op = op_of_number[number];
	return KMS_OK;
}

kms_err format_version_read(struct kms_reader *reader)
{
	uint8_t version = 0;
	KMS_TRY(kms_read_u8(reader, &version));
	return version == FORMAT_VERSION ? KMS_OK : KMS_ERR(VERSION);
}

kms_err format_id_read(struct kms_reader *reader, struct kms_id *ret_id)
{
	return kms_read_fixed(reader, ret_id->b, sizeof(ret_id->b));
}

kms_err format_hash_read(struct kms_reader *reader, struct kms_hash *ret_hash)
{
	return kms_read_fixed(reader, ret_hash->b, sizeof(ret_hash->b));
}

kms_err format_binding_read(struct kms_reader *reader, enum model_custody *ret_custody,
	enum model_delivery *ret_delivery)
{
	uint8_t custody = 0;
	uint8_t delivery = 0;
	KMS_TRY(kms_read_u8(reader, &custody));
	KMS_TRY(kms_read_u8(reader, &delivery));
	if (custody < MODEL_CUSTODY_ANY || custody > MODEL_CUSTODY_ALL ||
		delivery < MODEL_DELIVERY_SEALED || delivery > MODEL_DELIVERY_CLEAR) {
		return KMS_ERR(FORMAT);
	}
	*ret_custody = (enum model_custody)custody;
	*ret_delivery = (enum model_delivery)delivery;
	return KMS_OK;
}

kms_err format_tokens_check(const struct kms_id *tokens, uint32_t count)
{
	if (count == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < i; j++) {
			if (kms_id_equal(&tokens[i], &tokens[j])) {
				return KMS_ERR(ARGUMENT);
			}
		}
	}
	return KMS_OK;
}

void format_tokens_write(struct kms_writer *writer, const struct kms_id *tokens, uint32_t count)
{
	kms_write_u8(writer, (uint8_t)count);
	for (uint32_t i = 0; i < count; i++) {
		kms_write_fixed(writer, tokens[i].b, sizeof(tokens[i].b));
	}
}

kms_err format_tokens_read(
	struct kms_reader *reader, struct kms_id tokens[LIMIT_CUSTODY_TOKENS], uint32_t *ret_count)
{
	uint8_t count = 0;
	KMS_TRY(kms_read_u8(reader, &count));
	if (count > LIMIT_CUSTODY_TOKENS) {
		return KMS_ERR(TOO_LARGE);
	}
	for (uint32_t i = 0; i < count; i++) {
		KMS_TRY(format_id_read(reader, &tokens[i]));
	}
	if (!kms_is_ok(format_tokens_check(tokens, count))) {
		return KMS_ERR(FORMAT);
	}
	*ret_count = count;
	return KMS_OK;
}
