/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: golden bytes of each format from fixed inputs, both directions, every strictness that
 * docs/formats names, and the limits. Whatever is cut short anywhere is refused.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto.h"
#include "format_bytes.h"
#include "golden.h"

/* ---- fixed inputs ---- */

enum { TENANT = 0x11, KEY = 0x22, WRAPPED = 0x33, TOKEN_A = 0xa1, TOKEN_B = 0xa2, KEK = 0x44 };

static const struct kms_id tenant = {
	{TENANT, TENANT, TENANT, TENANT, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, TENANT}};
static struct model_context context;
static struct kms_buf canonical;
static struct format_wrapped wrapped;
static struct kms_secret *data_key;
static struct format_item items[2];
static struct format_request request;
static struct format_answer_item answer_items[2];
static struct format_answer answer;
static struct format_statement birth, uses;

static struct format_slot slot_of(uint8_t token, uint8_t filling)
{
	struct format_slot slot = {.token = id_of(token),
		.kek = id_of(KEK),
		.version = 7,
		.mechanism = FORMAT_MECHANISM_AES_256_GCM};
	memset(slot.nonce, filling, sizeof(slot.nonce));
	memset(slot.ciphertext, filling + 1, sizeof(slot.ciphertext));
	memset(slot.tag, filling + 2, sizeof(slot.tag));
	return slot;
}

static void setup_items(void)
{
	memset(items, 0, sizeof(items));
	memset(answer_items, 0, sizeof(answer_items));
	for (size_t i = 0; i < 2; i++) {
		items[i].head = wrapped.head;
		items[i].head.wrapped_key = id_of((uint8_t)(WRAPPED + i));
		items[i].token_count = 2;
		items[i].tokens[0] = id_of(TOKEN_A);
		items[i].tokens[1] = id_of(TOKEN_B);
		items[i].context = kms_buf_bytes(&canonical);
		items[i].slot = slot_of(TOKEN_A, 0x50);
		items[i].data_key = data_key;
	}
	request = (struct format_request){.op = MODEL_OP_UNWRAP,
		.id = 0x0102030405060708,
		.key = id_of(KEY),
		.count = 2,
		.items = items};
	answer_items[0].slot = slot_of(TOKEN_A, 0x50);
	answer_items[0].data_key = data_key;
	answer_items[1].code = KMS_CODE_INTEGRITY;
	answer = (struct format_answer){
		.op = MODEL_OP_DATAKEY, .id = request.id, .count = 2, .items = answer_items};
}

static void setup_statements(void)
{
	memset(&birth, 0, sizeof(birth));
	memset(&uses, 0, sizeof(uses));
	birth.type = FORMAT_STATEMENT_BIRTH;
	birth.token = id_of(TOKEN_A);
	birth.tenant = tenant;
	birth.unix_ms = 1795251600000;
	birth.u.birth = (struct format_birth){.key = id_of(KEY),
		.version = 7,
		.kek = id_of(KEK),
		.custody = MODEL_CUSTODY_ALL,
		.delivery = MODEL_DELIVERY_SEALED,
		.token_count = 2,
		.tokens = {id_of(TOKEN_A), id_of(TOKEN_B)},
		.commitment = hash_of(0xcc),
		.attributes = {.sensitive = true,
			.always_sensitive = true,
			.never_extractable = true,
			.local = true,
			.destroyable = true}};
	uses = birth;
	uses.type = FORMAT_STATEMENT_USES;
	uses.u.uses = (struct format_uses){.boot = 3,
		.count = 1000,
		.running = hash_of(0xdd),
		.previous_boot = 2,
		.previous_count = 500,
		.previous_running = hash_of(0xee)};
}

static void setup(void)
{
	static const uint8_t key_bytes[32] = {0x60, 0x61, 0x62, 0x63};
	memset(&context, 0, sizeof(context));
	ck_assert(kms_is_ok(model_context_add(&context, "volume", "vol-7")));
	ck_assert(kms_is_ok(model_context_add(&context, "dataset", "\xe5\x8f\xb0\xe5\xb8\xb3")));
	ck_assert(kms_is_ok(format_context_write(&context, &tenant, &canonical)));
	ck_assert(kms_is_ok(kms_secret_copy(KMS_BYTES_OF(key_bytes), &data_key)));

	memset(&wrapped, 0, sizeof(wrapped));
	wrapped.head = (struct format_head){.custody = MODEL_CUSTODY_ALL,
		.delivery = MODEL_DELIVERY_SEALED,
		.key = id_of(KEY),
		.wrapped_key = id_of(WRAPPED)};
	ck_assert(kms_is_ok(format_context_hash(kms_buf_bytes(&canonical), &wrapped.head.context)));
	wrapped.slot_count = 2;
	wrapped.slots[0] = slot_of(TOKEN_A, 0x50);
	wrapped.slots[1] = slot_of(TOKEN_B, 0x70);
	setup_items();
	setup_statements();
}

static void teardown(void)
{
	kms_buf_free(&canonical);
	kms_secret_free(&data_key);
}

/* ---- context ---- */

static kms_err read_context(struct kms_bytes bytes)
{
	static struct model_context into;
	struct kms_id who;
	return format_context_read(bytes, &into, &who);
}

START_TEST(context_golden)
{
	golden_hex("context.hex", kms_buf_bytes(&canonical));
}
END_TEST

START_TEST(context_both_ways_whatever_the_order)
{
	static struct model_context back, other;
	struct kms_id who;
	KMS_AUTO_BUF again = {0};
	ck_assert(kms_is_ok(format_context_read(kms_buf_bytes(&canonical), &back, &who)));
	ck_assert(kms_id_equal(&who, &tenant));
	ck_assert_uint_eq(back.count, 2);
	ck_assert_str_eq(back.pairs[0].name, "dataset");
	ck_assert_str_eq(back.pairs[1].value, "vol-7");

	memset(&other, 0, sizeof(other));
	ck_assert(kms_is_ok(model_context_add(&other, "dataset", context.pairs[1].value)));
	ck_assert(kms_is_ok(model_context_add(&other, "volume", "vol-7")));
	ck_assert(kms_is_ok(format_context_write(&other, &tenant, &again)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&again), kms_buf_bytes(&canonical)));
}
END_TEST

START_TEST(context_tenant_is_not_the_callers_to_give)
{
	KMS_AUTO_BUF bytes = {0};
	ck_assert(kms_is_ok(model_context_add(&context, "tenant", "mine")));
	ck_assert(kms_is(format_context_write(&context, &tenant, &bytes), KMS_CODE_ARGUMENT));
	ck_assert_ptr_null(bytes.ptr);
}
END_TEST

START_TEST(context_limits)
{
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF over = {0};
	memset(&context, 0, sizeof(context));
	for (size_t i = 0; i < LIMIT_CONTEXT_PAIRS; i++) {
		char name[LIMIT_CONTEXT_NAME + 1];
		char value[LIMIT_CONTEXT_VALUE + 1];
		memset(name, (int)('a' + i), LIMIT_CONTEXT_NAME);
		memset(value, 'v', LIMIT_CONTEXT_VALUE);
		name[LIMIT_CONTEXT_NAME] = value[LIMIT_CONTEXT_VALUE] = 0;
		ck_assert(kms_is_ok(model_context_add(&context, name, value)));
	}
	ck_assert(kms_is_ok(format_context_write(&context, &tenant, &bytes)));
	ck_assert_uint_eq(bytes.len, LIMIT_CONTEXT_BYTES);
	ck_assert(kms_is_ok(read_context(kms_buf_bytes(&bytes))));

	context.count++;
	ck_assert(kms_is(format_context_write(&context, &tenant, &over), KMS_CODE_TOO_LARGE));
	/* 18 pairs: one more than sixteen and the tenant's */
	ck_assert_int_eq(with_byte(kms_buf_bytes(&bytes), 1, LIMIT_CONTEXT_PAIRS + 2, read_context),
		KMS_CODE_TOO_LARGE);
	/* a name of 65 bytes */
	ck_assert_int_eq(with_byte(kms_buf_bytes(&bytes), 3, LIMIT_CONTEXT_NAME + 1, read_context),
		KMS_CODE_TOO_LARGE);
	/* a value of 257 bytes */
	ck_assert_int_eq(
		with_byte(kms_buf_bytes(&bytes), 4 + LIMIT_CONTEXT_NAME + 1, 1, read_context),
		KMS_CODE_TOO_LARGE);
}
END_TEST

#define PAIR_TENANT                                                                                \
	"\0\6tenant\0\44"                                                                          \
	"11111111-0000-4000-8000-000000000011"
#define REFUSED(literal)                                                                           \
	ck_assert_msg(kms_is(read_context((struct kms_bytes){                                      \
				     (const uint8_t *)(literal), sizeof(literal) - 1}),            \
			      KMS_CODE_FORMAT),                                                    \
		"%s", #literal)

START_TEST(context_reading_is_strict)
{
	ck_assert(kms_is_ok(read_context((struct kms_bytes){
		(const uint8_t *)"\0\1" PAIR_TENANT, sizeof("\0\1" PAIR_TENANT) - 1})));
	REFUSED("\0\0");                                                    /* no tenant */
	REFUSED("\0\1\0\1a\0\1b");                                          /* no tenant */
	REFUSED("\0\2" PAIR_TENANT PAIR_TENANT);                            /* twice */
	REFUSED("\0\2" PAIR_TENANT "\0\1a\0\1b");                           /* not sorted */
	REFUSED("\0\2\0\0\0\1b" PAIR_TENANT);                               /* empty name */
	REFUSED("\0\2\0\1A\0\1b" PAIR_TENANT);                              /* bad name */
	REFUSED("\0\2\0\3a\0b\0\1b" PAIR_TENANT);                           /* NUL in a name */
	REFUSED("\0\2\0\1a\0\3b\0c" PAIR_TENANT);                           /* NUL in a value */
	REFUSED("\0\2\0\1a\0\1\xff" PAIR_TENANT);                           /* not UTF-8 */
	REFUSED("\0\2\0\1a\0\1\n" PAIR_TENANT);                             /* control */
	REFUSED("\0\1\0\6tenant\0\4mine");                                  /* no UUID */
	REFUSED("\0\1\0\6tenant\0\44AAAAAAAA-0000-4000-8000-000000000011"); /* upper case */
	all_cuts_refused(kms_buf_bytes(&canonical), read_context);
}
END_TEST

/* ---- wrapped key ---- */

static kms_err read_wrapped(struct kms_bytes bytes)
{
	struct format_wrapped into;
	return format_wrapped_read(bytes, &into);
}

START_TEST(wrapped_golden_both_ways)
{
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF again = {0};
	struct format_wrapped back;
	ck_assert(kms_is_ok(format_wrapped_write(&wrapped, &bytes)));
	ck_assert_uint_eq(bytes.len, FORMAT_HEAD_BYTES + 2 * FORMAT_SLOT_BYTES);
	golden_hex("wrapped-key.hex", kms_buf_bytes(&bytes));
	ck_assert(kms_is_ok(format_wrapped_read(kms_buf_bytes(&bytes), &back)));
	ck_assert_uint_eq(back.slot_count, 2);
	ck_assert(kms_is_ok(format_wrapped_write(&back, &again)));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_buf_bytes(&again)));
}
END_TEST

START_TEST(wrapped_reading_is_strict)
{
	KMS_AUTO_BUF buf = {0};
	ck_assert(kms_is_ok(format_wrapped_write(&wrapped, &buf)));
	struct kms_bytes bytes = kms_buf_bytes(&buf);
	size_t slot = FORMAT_HEAD_BYTES;

	ck_assert_int_eq(with_byte(bytes, 0, 'X', read_wrapped), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, 4, 2, read_wrapped), KMS_CODE_VERSION);
	ck_assert_int_eq(with_byte(bytes, 4, 0, read_wrapped), KMS_CODE_VERSION);
	for (size_t at = 5; at <= 6; at++) { /* custody, delivery */
		ck_assert_int_eq(with_byte(bytes, at, 0, read_wrapped), KMS_CODE_FORMAT);
		ck_assert_int_eq(with_byte(bytes, at, 3, read_wrapped), KMS_CODE_FORMAT);
	}
	ck_assert_int_eq(with_byte(bytes, slot + 35, 0, read_wrapped), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, slot + 32, 1, read_wrapped), KMS_CODE_TOO_LARGE);
	ck_assert_int_eq(with_byte(bytes, slot + 36, 0, read_wrapped), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, slot + 36, 2, read_wrapped), KMS_CODE_FORMAT);

	wrapped.slots[1].token = wrapped.slots[0].token;
	KMS_AUTO_BUF twice = {0};
	ck_assert(kms_is(format_wrapped_write(&wrapped, &twice), KMS_CODE_ARGUMENT));
	memcpy(buf.ptr + slot + FORMAT_SLOT_BYTES, buf.ptr + slot, 16);
	ck_assert(kms_is(read_wrapped(bytes), KMS_CODE_FORMAT));
}
END_TEST

START_TEST(wrapped_cut_anywhere)
{
	KMS_AUTO_BUF bytes = {0};
	wrapped.slot_count = 1;
	ck_assert(kms_is_ok(format_wrapped_write(&wrapped, &bytes)));
	all_cuts_refused(kms_buf_bytes(&bytes), read_wrapped);
}
END_TEST

START_TEST(wrapped_limits)
{
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF none = {0};
	for (uint8_t i = 0; i < LIMIT_CUSTODY_TOKENS; i++) {
		wrapped.slots[i] = slot_of((uint8_t)(TOKEN_A + i), 0x50);
		wrapped.slots[i].version = LIMIT_KEY_VERSIONS;
	}
	wrapped.slot_count = LIMIT_CUSTODY_TOKENS;
	ck_assert(kms_is_ok(format_wrapped_write(&wrapped, &bytes)));
	ck_assert_uint_le(bytes.len, LIMIT_WRAPPED_BYTES);
	ck_assert(kms_is_ok(read_wrapped(kms_buf_bytes(&bytes))));

	uint8_t five[FORMAT_HEAD_BYTES + (LIMIT_CUSTODY_TOKENS + 1) * FORMAT_SLOT_BYTES];
	memcpy(five, bytes.ptr, bytes.len);
	memcpy(five + bytes.len, bytes.ptr + FORMAT_HEAD_BYTES, FORMAT_SLOT_BYTES);
	five[bytes.len] = 0xff;
	ck_assert(kms_is(read_wrapped(KMS_BYTES_OF(five)), KMS_CODE_TOO_LARGE));

	wrapped.slot_count++;
	ck_assert(kms_is(format_wrapped_write(&wrapped, &none), KMS_CODE_TOO_LARGE));
	wrapped.slot_count = 0;
	ck_assert(kms_is(format_wrapped_write(&wrapped, &none), KMS_CODE_ARGUMENT));
	wrapped.slot_count = 1;
	wrapped.slots[0].version = LIMIT_KEY_VERSIONS + 1;
	ck_assert(kms_is(format_wrapped_write(&wrapped, &none), KMS_CODE_TOO_LARGE));
	wrapped.slots[0].version = 0;
	ck_assert(kms_is(format_wrapped_write(&wrapped, &none), KMS_CODE_ARGUMENT));
}
END_TEST

START_TEST(aad_holds_head_entry_and_for_all_the_tokens)
{
	uint8_t aad[FORMAT_AAD_MAX];
	size_t len = 0;
	KMS_AUTO_BUF bytes = {0};
	const struct kms_id tokens[5] = {
		id_of(TOKEN_A), id_of(TOKEN_B), id_of(0xa3), id_of(0xa4), id_of(0xa5)};
	ck_assert(kms_is_ok(format_wrapped_write(&wrapped, &bytes)));

	ck_assert(
		kms_is_ok(format_slot_aad(&wrapped.head, &wrapped.slots[0], tokens, 2, aad, &len)));
	golden_hex("slot-aad.hex", (struct kms_bytes){aad, len});
	ck_assert_mem_eq(aad, bytes.ptr, FORMAT_HEAD_BYTES + 37);
	ck_assert_uint_eq(len, FORMAT_HEAD_BYTES + 37 + 1 + 32);
	ck_assert(kms_is_ok(format_slot_aad(
		&wrapped.head, &wrapped.slots[0], tokens, LIMIT_CUSTODY_TOKENS, aad, &len)));
	ck_assert_uint_eq(len, FORMAT_AAD_MAX);
	ck_assert(kms_is(format_slot_aad(&wrapped.head, &wrapped.slots[0], tokens, 5, aad, &len),
		KMS_CODE_TOO_LARGE));
	ck_assert(kms_is(format_slot_aad(&wrapped.head, &wrapped.slots[0], tokens, 0, aad, &len),
		KMS_CODE_ARGUMENT));

	wrapped.head.custody = MODEL_CUSTODY_ANY;
	ck_assert(kms_is_ok(format_slot_aad(&wrapped.head, &wrapped.slots[0], NULL, 0, aad, &len)));
	ck_assert_uint_eq(len, FORMAT_HEAD_BYTES + 37);
}
END_TEST

/* ---- sealed request and answer ---- */

static const enum model_op sealed_ops[] = {
	MODEL_OP_DATAKEY, MODEL_OP_WRAP, MODEL_OP_UNWRAP, MODEL_OP_REWRAP};

static kms_err read_request(struct kms_bytes bytes)
{
	KMS_AUTO(format_request) into = NULL;
	return format_request_read(bytes, &into);
}

static kms_err read_answer(struct kms_bytes bytes)
{
	KMS_AUTO(format_answer) into = NULL;
	return format_answer_read(bytes, &into);
}

START_TEST(request_golden_both_ways)
{
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(format_request) back = NULL;
	char name[32];
	request.op = sealed_ops[_i];
	ck_assert(kms_is_ok(format_request_write(&request, &message)));
	(void)snprintf(name, sizeof(name), "request-%s.hex", model_op_text(request.op));
	golden_hex(name, kms_secret_bytes(message));

	ck_assert(kms_is_ok(format_request_read(kms_secret_bytes(message), &back)));
	ck_assert_int_eq(back->op, request.op);
	ck_assert_uint_eq(back->id, request.id);
	ck_assert_uint_eq(back->count, 2);
	ck_assert(kms_id_equal(&back->key, &request.key));
	ck_assert(kms_id_equal(&back->items[1].head.wrapped_key, &items[1].head.wrapped_key));
	ck_assert(kms_id_equal(&back->items[1].tokens[1], &items[1].tokens[1]));
	ck_assert(kms_bytes_equal(back->items[1].context, kms_buf_bytes(&canonical)));
	if (request.op == MODEL_OP_WRAP) {
		ck_assert(
			kms_bytes_equal(back->items[1].data_key_bytes, kms_secret_bytes(data_key)));
	} else {
		ck_assert_ptr_null(back->items[1].data_key_bytes.ptr);
	}
	all_cuts_refused(kms_secret_bytes(message), read_request);
}
END_TEST

START_TEST(answer_golden_both_ways)
{
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(format_answer) back = NULL;
	char name[32];
	answer.op = sealed_ops[_i];
	ck_assert(kms_is_ok(format_answer_write(&answer, &message)));
	(void)snprintf(name, sizeof(name), "answer-%s.hex", model_op_text(answer.op));
	golden_hex(name, kms_secret_bytes(message));

	ck_assert(kms_is_ok(format_answer_read(kms_secret_bytes(message), &back)));
	ck_assert_int_eq(back->op, answer.op);
	ck_assert_uint_eq(back->id, answer.id);
	ck_assert_int_eq(back->items[1].code, KMS_CODE_INTEGRITY);
	if (answer.op == MODEL_OP_DATAKEY || answer.op == MODEL_OP_UNWRAP) {
		ck_assert(
			kms_bytes_equal(back->items[0].data_key_bytes, kms_secret_bytes(data_key)));
	}
	if (answer.op != MODEL_OP_UNWRAP) {
		ck_assert_uint_eq(back->items[0].slot.version, 7);
	}
	all_cuts_refused(kms_secret_bytes(message), read_answer);
}
END_TEST

/* Where things stand in a request: the head, then item 0. */
enum { AT_OP = 5, AT_KEY = 14, AT_COUNT = 30, AT_ITEM = 32, AT_ITEM_KEY = 32 + 7 };

START_TEST(request_reading_is_strict)
{
	KMS_AUTO(kms_secret) message = NULL;
	ck_assert(kms_is_ok(format_request_write(&request, &message)));
	struct kms_bytes bytes = kms_secret_bytes(message);
	size_t tokens = AT_ITEM + FORMAT_HEAD_BYTES;
	size_t pairs = tokens + 1 + 32 + 2;
	size_t slot = pairs + canonical.len;

	ck_assert_int_eq(with_byte(bytes, 3, 'A', read_request), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, 4, 2, read_request), KMS_CODE_VERSION);
	ck_assert_int_eq(with_byte(bytes, AT_OP, 0, read_request), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_OP, 5, read_request), KMS_CODE_FORMAT);
	/* The head of item 0 is of another key than the request. */
	ck_assert_int_eq(with_byte(bytes, AT_KEY, 0, read_request), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_ITEM_KEY, 0, read_request), KMS_CODE_FORMAT);
	/* Its hash is of another context; its context is another one. */
	ck_assert_int_eq(with_byte(bytes, tokens - 1, 0, read_request), KMS_CODE_CONTEXT);
	ck_assert_int_eq(with_byte(bytes, slot - 1, '8', read_request), KMS_CODE_CONTEXT);
	/* The context is not canonical. */
	ck_assert_int_eq(with_byte(bytes, slot - 1, '\n', read_request), KMS_CODE_FORMAT);
	/* No token, five tokens, the same twice. */
	ck_assert_int_eq(with_byte(bytes, tokens, 0, read_request), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, tokens, 5, read_request), KMS_CODE_TOO_LARGE);
	request.items[0].tokens[1] = request.items[0].tokens[0];
	KMS_AUTO(kms_secret) none = NULL;
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_ARGUMENT));
	/* The slot is of a token that the key does not have. */
	ck_assert_int_eq(with_byte(bytes, slot, 0, read_request), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, AT_COUNT, 2, read_request), KMS_CODE_TOO_LARGE);
	ck_assert_int_eq(with_byte(bytes, AT_COUNT + 1, 0, read_request), KMS_CODE_FORMAT);
}
END_TEST

START_TEST(request_writing_refuses_what_reading_would)
{
	KMS_AUTO(kms_secret) none = NULL;
	request.op = MODEL_OP_KEY_SHOW;
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_ARGUMENT));
	request.op = MODEL_OP_UNWRAP;
	items[1].head.key = id_of(0x99);
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_ARGUMENT));
	items[1].head.key = request.key;
	items[1].slot.token = id_of(0x99);
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_ARGUMENT));
	items[1].slot.token = id_of(TOKEN_B);
	items[1].head.context = hash_of(1);
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_CONTEXT));
	items[1].head.context = items[0].head.context;
	ck_assert_ptr_null(none);

	/* A data key of 31 bytes, and none at all. */
	KMS_AUTO(kms_secret) shorter = NULL;
	ck_assert(kms_is_ok(kms_secret_new(LIMIT_DATA_KEY_BYTES - 1, &shorter)));
	request.op = MODEL_OP_WRAP;
	items[1].data_key = shorter;
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_ARGUMENT));
	items[1].data_key = NULL;
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_ARGUMENT));
	answer_items[0].data_key = shorter;
	ck_assert(kms_is(format_answer_write(&answer, &none), KMS_CODE_ARGUMENT));
	answer.op = MODEL_OP_STATUS;
	ck_assert(kms_is(format_answer_write(&answer, &none), KMS_CODE_ARGUMENT));
	ck_assert_ptr_null(none);
}
END_TEST

START_TEST(answer_reading_is_strict)
{
	KMS_AUTO(kms_secret) message = NULL;
	ck_assert(kms_is_ok(format_answer_write(&answer, &message)));
	struct kms_bytes bytes = kms_secret_bytes(message);
	size_t code_1 = bytes.len - 2;
	ck_assert_int_eq(with_byte(bytes, 3, 'Q', read_answer), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, 4, 2, read_answer), KMS_CODE_VERSION);
	ck_assert_int_eq(with_byte(bytes, AT_OP, 5, read_answer), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, code_1 + 1, 31, read_answer), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, code_1, 1, read_answer), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, 15, 0, read_answer), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, 14, 2, read_answer), KMS_CODE_TOO_LARGE);
}
END_TEST

START_TEST(batch_limits)
{
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(kms_secret) none = NULL;
	static struct format_item many[LIMIT_BATCH_ITEMS + 1];
	static struct format_answer_item answers[LIMIT_BATCH_ITEMS + 1];
	for (size_t i = 0; i <= LIMIT_BATCH_ITEMS; i++) {
		many[i] = items[0];
		answers[i] = answer_items[0];
	}
	request.items = many;
	request.count = LIMIT_BATCH_ITEMS;
	ck_assert(kms_is_ok(format_request_write(&request, &message)));
	ck_assert(kms_is_ok(read_request(kms_secret_bytes(message))));
	kms_secret_free(&message);
	request.count++;
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_TOO_LARGE));
	request.count = 0;
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_ARGUMENT));

	answer.items = answers;
	answer.count = LIMIT_BATCH_ITEMS;
	ck_assert(kms_is_ok(format_answer_write(&answer, &message)));
	ck_assert(kms_is_ok(read_answer(kms_secret_bytes(message))));
	answer.count++;
	ck_assert(kms_is(format_answer_write(&answer, &none), KMS_CODE_TOO_LARGE));
	answer.count = 0;
	ck_assert(kms_is(format_answer_write(&answer, &none), KMS_CODE_ARGUMENT));
}
END_TEST

START_TEST(a_batch_longer_than_a_secret_is_too_large)
{
	KMS_AUTO(kms_secret) none = NULL;
	KMS_AUTO_BUF big = {0};
	static struct format_item many[LIMIT_BATCH_ITEMS];
	char value[LIMIT_CONTEXT_VALUE + 1];
	memset(value, 'v', LIMIT_CONTEXT_VALUE);
	value[LIMIT_CONTEXT_VALUE] = 0;
	for (char name[2] = "a"; context.count < LIMIT_CONTEXT_PAIRS; name[0]++) {
		ck_assert(kms_is_ok(model_context_add(&context, name, value)));
	}
	ck_assert(kms_is_ok(format_context_write(&context, &tenant, &big)));
	for (size_t i = 0; i < LIMIT_BATCH_ITEMS; i++) {
		many[i] = items[0];
		many[i].context = kms_buf_bytes(&big);
		ck_assert(kms_is_ok(format_context_hash(many[i].context, &many[i].head.context)));
	}
	request.items = many;
	request.count = LIMIT_BATCH_ITEMS;
	ck_assert(kms_is(format_request_write(&request, &none), KMS_CODE_TOO_LARGE));
}
END_TEST

/* ---- uses ---- */

START_TEST(use_hash_golden_and_each_field_counts)
{
	struct model_use use = {.n = 1,
		.op = MODEL_OP_UNWRAP,
		.spki = hash_of(0x77),
		.kek = id_of(KEK),
		.wrapped_key = id_of(WRAPPED),
		.context = hash_of(0x88)};
	struct kms_hash zero = {{0}};
	struct kms_hash first, next;
	ck_assert(kms_is_ok(format_use_step(&zero, &use, &first)));
	golden_hex("use-step.hex", KMS_BYTES_OF(first.b));

	struct model_use changed[6] = {use, use, use, use, use, use};
	changed[0].n = 2;
	changed[1].op = MODEL_OP_DATAKEY;
	changed[2].spki.b[31] ^= 1;
	changed[3].kek.b[15] ^= 1;
	changed[4].wrapped_key.b[15] ^= 1;
	changed[5].context.b[31] ^= 1;
	for (size_t i = 0; i < 6; i++) {
		ck_assert(kms_is_ok(format_use_step(&zero, &changed[i], &next)));
		ck_assert_msg(!kms_hash_equal(&first, &next), "field %zu", i);
	}
	ck_assert(kms_is_ok(format_use_step(&first, &use, &next)));
	ck_assert(!kms_hash_equal(&first, &next));
	use.op = MODEL_OP_KEY_SHOW;
	ck_assert(kms_is(format_use_step(&zero, &use, &next), KMS_CODE_ARGUMENT));
}
END_TEST

/* ---- statements ---- */

START_TEST(statements_golden_both_ways)
{
	const struct format_statement *statement = _i == 0 ? &birth : &uses;
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF again = {0};
	struct format_statement back;
	struct kms_bytes part, signature;
	statement_bytes(statement, &bytes);
	golden_hex(_i == 0 ? "statement-birth.hex" : "statement-uses.hex", kms_buf_bytes(&bytes));
	ck_assert(
		kms_is_ok(format_statement_read(kms_buf_bytes(&bytes), &back, &part, &signature)));
	ck_assert_uint_eq(part.len + CRYPTO_SIG_RAW, bytes.len);
	ck_assert_ptr_eq(signature.ptr, bytes.ptr + part.len);
	statement_bytes(&back, &again);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&bytes), kms_buf_bytes(&again)));
	all_cuts_refused(kms_buf_bytes(&bytes), read_statement);
}
END_TEST

START_TEST(every_attribute_has_its_bit)
{
	for (unsigned i = 0; i < 11; i++) {
		KMS_AUTO_BUF bytes = {0};
		struct format_statement back;
		struct kms_bytes part, signature;
		bool *values = (bool *)&birth.u.birth.attributes;
		memset(values, 0, sizeof(birth.u.birth.attributes));
		values[i] = true;
		statement_bytes(&birth, &bytes);
		ck_assert_uint_eq(bytes.ptr[bytes.len - 64 - 2] |
					  (unsigned)bytes.ptr[bytes.len - 64 - 3] << 8,
			1u << i);
		ck_assert(kms_is_ok(
			format_statement_read(kms_buf_bytes(&bytes), &back, &part, &signature)));
		ck_assert_mem_eq(&back.u.birth.attributes, values, 11);
	}
}
END_TEST

START_TEST(statement_reading_is_strict)
{
	KMS_AUTO_BUF b = {0};
	KMS_AUTO_BUF u = {0};
	statement_bytes(&birth, &b);
	statement_bytes(&uses, &u);
	struct kms_bytes bytes = kms_buf_bytes(&b);
	size_t body = 4 + 1 + 1 + 16 + 16 + 8;

	ck_assert_int_eq(with_byte(bytes, 0, 'k', read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, 4, 2, read_statement), KMS_CODE_VERSION);
	ck_assert_int_eq(with_byte(bytes, 5, 0, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, 5, 6, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, body - 8, 0x80, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, body + 19, 0, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, body + 16, 1, read_statement), KMS_CODE_TOO_LARGE);
	ck_assert_int_eq(with_byte(bytes, body + 36, 3, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, body + 37, 0, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, body + 38, 5, read_statement), KMS_CODE_TOO_LARGE);
	/* an unknown attribute, an unknown origin */
	ck_assert_int_eq(with_byte(bytes, bytes.len - 67, 0x08, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, bytes.len - 65, 3, read_statement), KMS_CODE_FORMAT);
	ck_assert_int_eq(with_byte(bytes, bytes.len - 65, 2, read_statement), KMS_CODE_OK);

	/* boot 2 after boot 2; no uses with a running hash */
	ck_assert_int_eq(
		with_byte(kms_buf_bytes(&u), body + 7, 2, read_statement), KMS_CODE_FORMAT);
	uint8_t *count = u.ptr + body + 8;
	memset(count, 0, 8);
	ck_assert(kms_is(read_statement(kms_buf_bytes(&u)), KMS_CODE_FORMAT));
	memset(count, 0, 8 + 32);
	ck_assert(kms_is_ok(read_statement(kms_buf_bytes(&u))));

	static uint8_t longest[LIMIT_STATEMENT_BYTES + 1];
	ck_assert(kms_is(read_statement(KMS_BYTES_OF(longest)), KMS_CODE_TOO_LARGE));
}
END_TEST

START_TEST(statement_writing_is_strict)
{
	KMS_AUTO_BUF none = {0};
	birth.unix_ms = -1;
	ck_assert(kms_is(format_statement_write(&birth, &none), KMS_CODE_ARGUMENT));
	birth.unix_ms = 0;
	birth.u.birth.version = LIMIT_KEY_VERSIONS + 1;
	ck_assert(kms_is(format_statement_write(&birth, &none), KMS_CODE_TOO_LARGE));
	birth.u.birth.version = 0;
	ck_assert(kms_is(format_statement_write(&birth, &none), KMS_CODE_ARGUMENT));
	uses.u.uses.previous_boot = 0;
	ck_assert(kms_is(format_statement_write(&uses, &none), KMS_CODE_ARGUMENT));
	uses.type = (enum format_statement_type)6;
	ck_assert(kms_is(format_statement_write(&uses, &none), KMS_CODE_ARGUMENT));
	ck_assert_ptr_null(none.ptr);
}
END_TEST

START_TEST(a_statement_is_its_keys_word)
{
	char folder[] = "/tmp/kms-format-XXXXXX";
	char path[64];
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_BUF bytes = {0};
	KMS_AUTO_BUF part = {0};
	struct format_statement back;
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/key.pem", folder);
	ck_assert(kms_is_ok(crypto_signer_generate(path, &signer)));
	(void)unlink(path);
	(void)rmdir(folder);
	ck_assert(kms_is_ok(crypto_signer_spki(signer, &spki)));

	statement_bytes(&uses, &bytes);
	ck_assert(
		kms_is(format_statement_verify(kms_buf_bytes(&bytes), kms_buf_bytes(&spki), &back),
			KMS_CODE_INTEGRITY));
	ck_assert(kms_is_ok(format_statement_write(&uses, &part)));
	ck_assert(kms_is_ok(crypto_sign(signer, kms_buf_bytes(&part), bytes.ptr + part.len)));
	ck_assert(kms_is_ok(
		format_statement_verify(kms_buf_bytes(&bytes), kms_buf_bytes(&spki), &back)));
	ck_assert_uint_eq(back.u.uses.count, 1000);
	bytes.ptr[6] ^= 1; /* the token's id */
	ck_assert(
		kms_is(format_statement_verify(kms_buf_bytes(&bytes), kms_buf_bytes(&spki), &back),
			KMS_CODE_INTEGRITY));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {context_golden, context_both_ways_whatever_the_order,
		context_tenant_is_not_the_callers_to_give, context_limits,
		context_reading_is_strict, wrapped_golden_both_ways, wrapped_reading_is_strict,
		wrapped_cut_anywhere, wrapped_limits, aad_holds_head_entry_and_for_all_the_tokens,
		request_reading_is_strict, request_writing_refuses_what_reading_would,
		answer_reading_is_strict, batch_limits, a_batch_longer_than_a_secret_is_too_large,
		use_hash_golden_and_each_field_counts, every_attribute_has_its_bit,
		statement_reading_is_strict, statement_writing_is_strict,
		a_statement_is_its_keys_word};
	Suite *suite = suite_create("format");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		tcase_add_test(all, tests[i]);
	}
	tcase_add_loop_test(all, request_golden_both_ways, 0, 4);
	tcase_add_loop_test(all, answer_golden_both_ways, 0, 4);
	tcase_add_loop_test(all, statements_golden_both_ways, 0, 2);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
