/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements: what a kms-tokend says under its own statement key, and the running hash over uses
 * that they carry. The bytes as signed are the ones that are kept and verified.
 */
#include "format_int.h"

#include "crypto.h"

#include <string.h>

static const uint8_t magic[4] = {'K', 'M', 'S', 'T'};
static const char use_domain[] = "kmsd-use/1";

enum { ORIGIN_GENERATED = 1, ORIGIN_IMPORTED = 2 };

kms_err format_use_step(
	const struct kms_hash *previous, const struct model_use *use, struct kms_hash *ret_next)
{
	uint8_t bytes[sizeof(use_domain) - 1 + 32 + 8 + 32 + 1 + 16 + 16 + 32];
	struct kms_writer writer = kms_writer_fixed(bytes, sizeof(bytes));
	struct kms_bytes written;
	uint8_t op = 0;

	KMS_TRY(format_op_number(use->op, &op));
	kms_write_text(&writer, use_domain);
	kms_write_fixed(&writer, previous->b, sizeof(previous->b));
	kms_write_u64(&writer, use->n);
	kms_write_fixed(&writer, use->spki.b, sizeof(use->spki.b));
	kms_write_u8(&writer, op);
	kms_write_fixed(&writer, use->kek.b, sizeof(use->kek.b));
	kms_write_fixed(&writer, use->wrapped_key.b, sizeof(use->wrapped_key.b));
	kms_write_fixed(&writer, use->context.b, sizeof(use->context.b));
	KMS_TRY(kms_writer_bytes(&writer, &written));
	return crypto_sha256_one(written, ret_next);
}

/* ---- attributes: a bit each, in the order of the struct ---- */

enum { ATTRIBUTES = 11 };

static void attributes_list(struct format_attributes *a, bool *list[ATTRIBUTES])
{
	bool *const order[ATTRIBUTES] = {&a->sensitive, &a->always_sensitive, &a->extractable,
		&a->never_extractable, &a->local, &a->copyable, &a->destroyable, &a->modifiable,
		&a->wrap, &a->unwrap, &a->derive};
	memcpy(list, order, sizeof(order));
}

static uint16_t attributes_bits(struct format_attributes attributes)
{
	bool *list[ATTRIBUTES];
	unsigned bits = 0;
	attributes_list(&attributes, list);
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		bits |= *list[i] ? 1u << i : 0;
	}
	return (uint16_t)bits;
}

static kms_err attributes_read(struct kms_reader *reader, struct format_attributes *ret_attributes)
{
	struct format_attributes attributes;
	bool *list[ATTRIBUTES];
	uint16_t bits = 0;
	KMS_TRY(kms_read_u16(reader, &bits));
	if (bits >> ATTRIBUTES != 0) {
		return KMS_ERR(FORMAT);
	}
	attributes_list(&attributes, list);
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		*list[i] = ((unsigned)bits >> i & 1u) != 0;
	}
	*ret_attributes = attributes;
	return KMS_OK;
}

/* ---- bodies ---- */

static kms_err birth_check(const struct format_birth *birth)
{
	struct format_head binding = {.custody = birth->custody, .delivery = birth->delivery};
	KMS_TRY(format_head_check(&binding));
	if (birth->version == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (birth->version > LIMIT_KEY_VERSIONS) {
		return KMS_ERR(TOO_LARGE);
	}
	return format_tokens_check(birth->tokens, birth->token_count);
}

static void birth_write(struct kms_writer *writer, const struct format_birth *birth)
{
	kms_write_fixed(writer, birth->key.b, sizeof(birth->key.b));
	kms_write_u32(writer, birth->version);
	kms_write_fixed(writer, birth->kek.b, sizeof(birth->kek.b));
	kms_write_u8(writer, (uint8_t)birth->custody);
	kms_write_u8(writer, (uint8_t)birth->delivery);
	format_tokens_write(writer, birth->tokens, birth->token_count);
	kms_write_fixed(writer, birth->commitment.b, sizeof(birth->commitment.b));
	kms_write_u16(writer, attributes_bits(birth->attributes));
	kms_write_u8(writer, birth->imported ? ORIGIN_IMPORTED : ORIGIN_GENERATED);
}

static kms_err birth_read(struct kms_reader *reader, struct format_birth *birth)
{
	uint8_t origin = 0;
	KMS_TRY(format_id_read(reader, &birth->key));
	KMS_TRY(kms_read_u32(reader, &birth->version));
	KMS_TRY(format_id_read(reader, &birth->kek));
	KMS_TRY(format_binding_read(reader, &birth->custody, &birth->delivery));
	KMS_TRY(format_tokens_read(reader, birth->tokens, &birth->token_count));
	KMS_TRY(format_hash_read(reader, &birth->commitment));
	KMS_TRY(attributes_read(reader, &birth->attributes));
	KMS_TRY(kms_read_u8(reader, &origin));
	if (origin != ORIGIN_GENERATED && origin != ORIGIN_IMPORTED) {
		return KMS_ERR(FORMAT);
	}
	birth->imported = origin == ORIGIN_IMPORTED;
	kms_err err = birth_check(birth);
	return kms_is(err, KMS_CODE_ARGUMENT) ? KMS_ERR(FORMAT) : err;
}

/* Boots count from 1 and only up; without uses the running hash is still where it began. */
static kms_err uses_check(const struct format_uses *uses)
{
	static const struct kms_hash zero;
	if (uses->boot <= uses->previous_boot) {
		return KMS_ERR(ARGUMENT);
	}
	if (uses->previous_boot == 0 && uses->previous_count != 0) {
		return KMS_ERR(ARGUMENT);
	}
	if ((uses->count == 0) != kms_hash_equal(&uses->running, &zero) ||
		(uses->previous_count == 0) != kms_hash_equal(&uses->previous_running, &zero)) {
		return KMS_ERR(ARGUMENT);
	}
	return KMS_OK;
}

static void uses_write(struct kms_writer *writer, const struct format_uses *uses)
{
	kms_write_u64(writer, uses->boot);
	kms_write_u64(writer, uses->count);
	kms_write_fixed(writer, uses->running.b, sizeof(uses->running.b));
	kms_write_u64(writer, uses->previous_boot);
	kms_write_u64(writer, uses->previous_count);
	kms_write_fixed(writer, uses->previous_running.b, sizeof(uses->previous_running.b));
}

static kms_err uses_read(struct kms_reader *reader, struct format_uses *uses)
{
	KMS_TRY(kms_read_u64(reader, &uses->boot));
	KMS_TRY(kms_read_u64(reader, &uses->count));
	KMS_TRY(format_hash_read(reader, &uses->running));
	KMS_TRY(kms_read_u64(reader, &uses->previous_boot));
	KMS_TRY(kms_read_u64(reader, &uses->previous_count));
	KMS_TRY(format_hash_read(reader, &uses->previous_running));
	return kms_is_ok(uses_check(uses)) ? KMS_OK : KMS_ERR(FORMAT);
}

/* ---- whole statements ---- */

static kms_err body_write(struct kms_writer *writer, const struct format_statement *statement)
{
	switch (statement->type) {
	case FORMAT_STATEMENT_BIRTH:
		KMS_TRY(birth_check(&statement->u.birth));
		birth_write(writer, &statement->u.birth);
		return KMS_OK;
	case FORMAT_STATEMENT_USES:
		KMS_TRY(uses_check(&statement->u.uses));
		uses_write(writer, &statement->u.uses);
		return KMS_OK;
	case FORMAT_STATEMENT_DESTROY:
		return format_destroy_write(writer, &statement->u.destroy);
	case FORMAT_STATEMENT_ABSENCE:
		return format_absence_write(writer, &statement->u.absence);
	case FORMAT_STATEMENT_WIPE:
		return format_wipe_write(writer, &statement->u.wipe);
	}
	return KMS_ERR(ARGUMENT);
}

static kms_err body_read(struct kms_reader *reader, struct format_statement *statement)
{
	switch (statement->type) {
	case FORMAT_STATEMENT_BIRTH:
		return birth_read(reader, &statement->u.birth);
	case FORMAT_STATEMENT_USES:
		return uses_read(reader, &statement->u.uses);
	case FORMAT_STATEMENT_DESTROY:
		return format_destroy_read(reader, &statement->u.destroy);
	case FORMAT_STATEMENT_ABSENCE:
		return format_absence_read(reader, &statement->u.absence);
	case FORMAT_STATEMENT_WIPE:
		return format_wipe_read(reader, &statement->u.wipe);
	}
	return KMS_ERR(FORMAT);
}

kms_err format_statement_write(
	const struct format_statement *statement, struct kms_buf *ret_signed_part)
{
	KMS_AUTO_WRITER writer = kms_writer_grow(LIMIT_STATEMENT_BYTES - CRYPTO_SIG_RAW);
	if (statement->unix_ms < 0) {
		return KMS_ERR(ARGUMENT);
	}
	kms_write_fixed(&writer, magic, sizeof(magic));
	kms_write_u8(&writer, FORMAT_VERSION);
	kms_write_u8(&writer, (uint8_t)statement->type);
	kms_write_fixed(&writer, statement->token.b, sizeof(statement->token.b));
	kms_write_fixed(&writer, statement->tenant.b, sizeof(statement->tenant.b));
	kms_write_u64(&writer, (uint64_t)statement->unix_ms);
	KMS_TRY(body_write(&writer, statement));
	return kms_writer_take(&writer, ret_signed_part);
}

static kms_err signed_part_read(struct kms_bytes bytes, struct format_statement *ret_statement)
{
	struct kms_reader reader = kms_reader_of(bytes);
	struct format_statement statement;
	uint8_t type = 0;
	uint64_t unix_ms = 0;

	memset(&statement, 0, sizeof(statement));
	KMS_TRY(kms_read_expect(&reader, magic, sizeof(magic)));
	KMS_TRY(format_version_read(&reader));
	KMS_TRY(kms_read_u8(&reader, &type));
	KMS_TRY(format_id_read(&reader, &statement.token));
	KMS_TRY(format_id_read(&reader, &statement.tenant));
	KMS_TRY(kms_read_u64(&reader, &unix_ms));
	if (unix_ms > INT64_MAX) {
		return KMS_ERR(FORMAT);
	}
	statement.unix_ms = (int64_t)unix_ms;
	statement.type = (enum format_statement_type)type;
	KMS_TRY(body_read(&reader, &statement));
	KMS_TRY(kms_read_end(&reader));
	*ret_statement = statement;
	return KMS_OK;
}

kms_err format_statement_read(struct kms_bytes bytes, struct format_statement *ret_statement,
	struct kms_bytes *ret_signed_part, struct kms_bytes *ret_signature)
{
	if (bytes.len > LIMIT_STATEMENT_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	if (bytes.len < CRYPTO_SIG_RAW) {
		return KMS_ERR(TRUNCATED);
	}
	struct kms_bytes signed_part = {bytes.ptr, bytes.len - CRYPTO_SIG_RAW};
	KMS_TRY(signed_part_read(signed_part, ret_statement));
	*ret_signed_part = signed_part;
	*ret_signature = (struct kms_bytes){bytes.ptr + signed_part.len, CRYPTO_SIG_RAW};
	return KMS_OK;
}

kms_err format_statement_verify(
	struct kms_bytes bytes, struct kms_bytes spki_der, struct format_statement *ret_statement)
{
	struct format_statement statement;
	struct kms_bytes signed_part;
	struct kms_bytes signature;
	KMS_TRY(format_statement_read(bytes, &statement, &signed_part, &signature));
	KMS_TRY(crypto_verify_raw(spki_der, signed_part, signature.ptr));
	*ret_statement = statement;
	return KMS_OK;
}
