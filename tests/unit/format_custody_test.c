/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of one operation over every token of a key (format_custody_call), with doubles of the
 * tokens that answer as a script says. A double "encrypts" by XOR with its own pad, so that the
 * tests can open every slot by themselves.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"
#include "format.h"
#include "model.h"

static void ok(kms_err err, const char *what, int line)
{
	if (!kms_is_ok(err)) {
		ck_abort_msg("line %d: %s: %s", line, what, kms_err_name(err));
	}
}
#define OK(expr) ok(expr, #expr, __LINE__)
#define FAILS(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

enum { ITEMS = 3, TOKENS = LIMIT_CUSTODY_TOKENS, KEY_BYTES = LIMIT_DATA_KEY_BYTES };

/* ---- the tokens' doubles ---- */

/* How one token's next answers differ from good ones. */
struct script {
	bool down;
	enum model_op op;   /* 0: as asked */
	uint64_t id_more;   /* added to the request's id */
	int count_more;     /* items more than asked */
	bool other_token;   /* the slots are another token's */
	uint32_t code_item; /* which item fails, with: */
	enum kms_code code;
	int copies; /* copies of secrets that succeed after this answer; 0: all */
};
static struct script scripts[TOKENS];
static struct {
	uint32_t token;
	enum model_op op;
} asked[2 * TOKENS];
static size_t asked_count;

static struct kms_id id_of(unsigned n)
{
	struct kms_id id = {{0x44}};
	id.b[15] = (uint8_t)n;
	return id;
}

/* Memory that ends: see `copies`. The linker puts this before every call of kms_secret_copy. */
static int copies_left = -1;
kms_err __real_kms_secret_copy(struct kms_bytes from, struct kms_secret **ret_secret);
kms_err __wrap_kms_secret_copy(struct kms_bytes from, struct kms_secret **ret_secret);
kms_err __wrap_kms_secret_copy(struct kms_bytes from, struct kms_secret **ret_secret)
{
	if (copies_left == 0) {
		return KMS_ERR(NO_MEMORY);
	}
	copies_left -= copies_left > 0;
	return __real_kms_secret_copy(from, ret_secret);
}

static uint8_t pad_of(uint32_t token, size_t i)
{
	return (uint8_t)(0x11 * (token + 1) + 3 * i);
}

static void open_slot(const struct format_slot *slot, uint32_t token, uint8_t ret_key[KEY_BYTES])
{
	for (size_t i = 0; i < KEY_BYTES; i++) {
		ret_key[i] = (uint8_t)(slot->ciphertext[i] ^ pad_of(token, i));
	}
}

static void seal(uint32_t token, uint32_t version, const uint8_t *key, struct format_slot *ret_slot)
{
	*ret_slot = (struct format_slot){.token = id_of(token),
		.kek = id_of(0x80 + token),
		.version = version,
		.mechanism = FORMAT_MECHANISM_AES_256_GCM};
	for (size_t i = 0; i < KEY_BYTES; i++) {
		ret_slot->ciphertext[i] = (uint8_t)(key[i] ^ pad_of(token, i));
	}
}

static void answer_item(uint32_t token, enum model_op op, const struct format_item *item,
	struct format_answer_item *ret_item, struct kms_secret **ret_key)
{
	uint8_t key[KEY_BYTES];
	uint32_t version = 1;
	if (op == MODEL_OP_DATAKEY) {
		kms_random(key, sizeof(key));
	} else if (op == MODEL_OP_WRAP) {
		memcpy(key, item->data_key_bytes.ptr, sizeof(key));
	} else {
		ck_assert_uint_eq(item->slot.token.b[15], token);
		open_slot(&item->slot, token, key);
		version = item->slot.version + 1;
	}
	seal(token, version, key, &ret_item->slot);
	OK(__real_kms_secret_copy(KMS_BYTES_OF(key), ret_key));
	ret_item->data_key = *ret_key;
}

static kms_err exchange(void *ctx, uint32_t token, enum model_op op,
	const struct kms_secret *request, struct kms_secret **ret_answer)
{
	const struct script *script = &scripts[token];
	KMS_AUTO(format_request) read = NULL;
	struct format_answer_item items[ITEMS + 1] = {0};
	struct kms_secret *keys[ITEMS + 1] = {0};
	(void)ctx;
	ck_assert_uint_lt(asked_count, sizeof(asked) / sizeof(asked[0]));
	asked[asked_count].token = token;
	asked[asked_count++].op = op;
	if (script->down) {
		return KMS_ERR(TOKEN_DOWN);
	}
	OK(format_request_read(kms_secret_bytes(request), &read));
	ck_assert_int_eq(read->op, op);
	ck_assert_uint_eq(read->count, ITEMS);
	for (uint32_t i = 0; i < ITEMS + 1; i++) {
		answer_item(token, op, &read->items[i < ITEMS ? i : 0], &items[i], &keys[i]);
		if (script->other_token) {
			items[i].slot.token = id_of(0x70);
		}
	}
	items[script->code_item].code = script->code;
	struct format_answer answer = {.op = script->op == 0 ? op : script->op,
		.id = read->id + script->id_more,
		.count = (uint32_t)(ITEMS + script->count_more),
		.items = items};
	OK(format_answer_write(&answer, ret_answer));
	for (size_t i = 0; i < ITEMS + 1; i++) {
		kms_secret_free(&keys[i]);
	}
	copies_left = script->copies > 0 ? script->copies : -1;
	return KMS_OK;
}

/* ---- fixtures ---- */

static struct kms_buf context;
static struct format_key key;
static struct format_use uses[ITEMS];

static void set_up(void)
{
	static struct model_context pairs;
	const struct kms_id tenant = id_of(0x55);
	memset(&pairs, 0, sizeof(pairs));
	OK(kms_secret_init());
	OK(model_context_add(&pairs, "volume", "vol-7"));
	OK(format_context_write(&pairs, &tenant, &context));
}

static void drop_keys(void)
{
	for (size_t i = 0; i < ITEMS; i++) {
		kms_secret_free(&uses[i].data_key);
	}
}

static void tear_down(void)
{
	drop_keys();
	kms_buf_free(&context);
}

static void begin(enum model_custody custody, uint32_t tokens)
{
	key = (struct format_key){.id = id_of(0x60),
		.custody = custody,
		.delivery = MODEL_DELIVERY_SEALED,
		.token_count = tokens};
	for (uint32_t i = 0; i < tokens; i++) {
		key.tokens[i] = id_of(i);
	}
	drop_keys();
	memset(uses, 0, sizeof(uses));
	memset(scripts, 0, sizeof(scripts));
	for (unsigned i = 0; i < ITEMS; i++) {
		uses[i].context = kms_buf_bytes(&context);
		uses[i].wrapped.head.wrapped_key = id_of(0x90 + i);
	}
}

static kms_err call(enum model_op op)
{
	asked_count = 0;
	copies_left = -1;
	kms_err err = format_custody_call(&key, op, uses, ITEMS, exchange, NULL);
	copies_left = -1;
	return err;
}

/* What the slots of a wrapped key hold together. */
static void joined(const struct format_wrapped *wrapped, uint8_t ret_key[KEY_BYTES])
{
	memset(ret_key, 0, KEY_BYTES);
	ck_assert_uint_eq(wrapped->slot_count, key.token_count);
	for (uint32_t token = 0; token < key.token_count; token++) {
		uint8_t part[KEY_BYTES];
		open_slot(&wrapped->slots[token], token, part);
		for (size_t i = 0; i < KEY_BYTES; i++) {
			ret_key[i] = (uint8_t)(ret_key[i] ^ part[i]);
		}
	}
}

static bool key_is(const struct kms_secret *secret, const uint8_t bytes[KEY_BYTES])
{
	return kms_bytes_equal(
		kms_secret_bytes(secret), (struct kms_bytes){bytes, (size_t)KEY_BYTES});
}

/* Every slot of `any` holds the key; those of `all` hold it only together. */
static void holds_key(const struct format_use *use)
{
	uint8_t part[KEY_BYTES];
	ck_assert_int_eq(use->code, KMS_CODE_OK);
	ck_assert_ptr_nonnull(use->data_key);
	ck_assert_uint_eq(use->wrapped.slot_count, key.token_count);
	for (uint32_t token = 0; token < key.token_count; token++) {
		open_slot(&use->wrapped.slots[token], token, part);
		ck_assert(key_is(use->data_key, part) ==
			  (key.custody == MODEL_CUSTODY_ANY || key.token_count == 1));
	}
	if (key.custody == MODEL_CUSTODY_ALL) {
		joined(&use->wrapped, part);
		ck_assert(key_is(use->data_key, part));
	}
}

/* Secrets of a key's length that there is room for: fewer when something was not freed. */
static size_t room(void)
{
	enum { MOST = KMS_SECRET_SLAB / KEY_BYTES };
	static struct kms_secret *secrets[MOST];
	size_t count = 0;
	while (count < MOST && kms_is_ok(kms_secret_new(KEY_BYTES, &secrets[count]))) {
		count++;
	}
	for (size_t i = 0; i < count; i++) {
		kms_secret_free(&secrets[i]);
	}
	return count;
}

static void keep_keys(uint8_t ret_keys[ITEMS][KEY_BYTES])
{
	for (size_t i = 0; i < ITEMS; i++) {
		memcpy(ret_keys[i], kms_secret_cptr(uses[i].data_key), KEY_BYTES);
	}
}

static void give_keys(void)
{
	uint8_t bytes[KEY_BYTES];
	for (size_t i = 0; i < ITEMS; i++) {
		kms_random(bytes, sizeof(bytes));
		kms_secret_free(&uses[i].data_key);
		OK(kms_secret_copy(KMS_BYTES_OF(bytes), &uses[i].data_key));
	}
}

/* A wrapped key for each item, and no data key. */
static void begin_wrapped(enum model_custody custody, uint32_t tokens)
{
	begin(custody, tokens);
	OK(call(MODEL_OP_DATAKEY));
	drop_keys();
}

static enum model_custody custody_of(int i)
{
	return i / TOKENS == 0 ? MODEL_CUSTODY_ANY : MODEL_CUSTODY_ALL;
}

static uint32_t tokens_of(int i)
{
	return (uint32_t)(i % TOKENS) + 1;
}
enum { KEYS = 2 * TOKENS };

/* ---- every operation, with both custodies and 1 to 4 tokens ---- */

START_TEST(datakey_then_unwrap_gives_the_same_key)
{
	uint8_t made[ITEMS][KEY_BYTES];
	begin(custody_of(_i), tokens_of(_i));
	OK(call(MODEL_OP_DATAKEY));
	ck_assert_uint_eq(asked_count, key.token_count);
	for (size_t i = 0; i < asked_count; i++) {
		ck_assert_uint_eq(asked[i].token, i);
		ck_assert_int_eq(asked[i].op, key.custody == MODEL_CUSTODY_ANY && i > 0
						      ? MODEL_OP_WRAP
						      : MODEL_OP_DATAKEY);
	}
	for (size_t i = 0; i < ITEMS; i++) {
		holds_key(&uses[i]);
	}
	keep_keys(made);
	drop_keys();
	OK(call(MODEL_OP_UNWRAP));
	ck_assert_uint_eq(asked_count, key.custody == MODEL_CUSTODY_ANY ? 1 : key.token_count);
	for (size_t i = 0; i < ITEMS; i++) {
		ck_assert_int_eq(uses[i].code, KMS_CODE_OK);
		ck_assert(key_is(uses[i].data_key, made[i]));
	}
}
END_TEST

START_TEST(wrap_guards_the_key_that_was_given)
{
	uint8_t given[ITEMS][KEY_BYTES];
	begin(custody_of(_i), tokens_of(_i));
	give_keys();
	keep_keys(given);
	OK(call(MODEL_OP_WRAP));
	ck_assert_uint_eq(asked_count, key.token_count);
	for (size_t i = 0; i < ITEMS; i++) {
		ck_assert_int_eq(asked[i % asked_count].op, MODEL_OP_WRAP);
		ck_assert(key_is(uses[i].data_key, given[i]));
		holds_key(&uses[i]);
	}
}
END_TEST

START_TEST(shares_are_drawn_anew)
{
	struct format_wrapped before;
	begin(MODEL_CUSTODY_ALL, tokens_of(_i));
	give_keys();
	OK(call(MODEL_OP_WRAP));
	before = uses[0].wrapped;
	OK(call(MODEL_OP_WRAP));
	for (uint32_t token = 0; token < key.token_count; token++) {
		/* With one token there is nothing to share. */
		ck_assert_int_eq(memcmp(before.slots[token].ciphertext,
					 uses[0].wrapped.slots[token].ciphertext, KEY_BYTES) == 0,
			key.token_count == 1);
	}
}
END_TEST

START_TEST(rewrap_takes_every_slot_to_a_new_version)
{
	uint8_t before[ITEMS][KEY_BYTES], after[KEY_BYTES];
	begin_wrapped(custody_of(_i), tokens_of(_i));
	for (size_t i = 0; i < ITEMS; i++) {
		joined(&uses[i].wrapped, before[i]);
	}
	OK(call(MODEL_OP_REWRAP));
	ck_assert_uint_eq(asked_count, key.token_count);
	for (size_t i = 0; i < ITEMS; i++) {
		joined(&uses[i].wrapped, after);
		ck_assert_mem_eq(before[i], after, KEY_BYTES);
		ck_assert_ptr_null(uses[i].data_key);
		for (uint32_t token = 0; token < key.token_count; token++) {
			ck_assert_uint_eq(uses[i].wrapped.slots[token].version, 2);
		}
	}
}
END_TEST

/* ---- one token is down ---- */

static const enum model_op OPS[] = {
	MODEL_OP_DATAKEY, MODEL_OP_WRAP, MODEL_OP_UNWRAP, MODEL_OP_REWRAP};
enum { OP_COUNT = sizeof(OPS) / sizeof(OPS[0]) };

static void begin_op(enum model_op op, enum model_custody custody, uint32_t tokens)
{
	begin_wrapped(custody, tokens);
	if (op == MODEL_OP_WRAP) {
		give_keys();
	}
}

/* Only WRAP's own input may be left. */
static void no_key_is_left(enum model_op op)
{
	for (size_t i = 0; i < ITEMS; i++) {
		ck_assert_int_eq(uses[i].data_key != NULL, op == MODEL_OP_WRAP);
	}
}

START_TEST(unwrap_of_any_needs_one_token)
{
	uint8_t made[ITEMS][KEY_BYTES];
	for (uint32_t up = 0; up < TOKENS; up++) {
		begin(MODEL_CUSTODY_ANY, TOKENS);
		OK(call(MODEL_OP_DATAKEY));
		keep_keys(made);
		drop_keys();
		for (uint32_t token = 0; token < TOKENS; token++) {
			scripts[token].down = token != up;
		}
		OK(call(MODEL_OP_UNWRAP));
		ck_assert_uint_eq(asked_count, up + 1);
		for (size_t i = 0; i < ITEMS; i++) {
			ck_assert(key_is(uses[i].data_key, made[i]));
		}
		scripts[up].down = true;
		drop_keys();
		FAILS(call(MODEL_OP_UNWRAP), TOKEN_DOWN);
		no_key_is_left(MODEL_OP_UNWRAP);
	}
}
END_TEST

static const enum model_custody CUSTODIES[] = {MODEL_CUSTODY_ANY, MODEL_CUSTODY_ALL};

START_TEST(every_other_call_needs_every_token)
{
	size_t before = room();
	for (size_t i = 0; i < 2 * OP_COUNT; i++) {
		enum model_op op = OPS[i % OP_COUNT];
		enum model_custody custody = CUSTODIES[i / OP_COUNT];
		for (uint32_t down = 0; down < TOKENS; down++) {
			if (op == MODEL_OP_UNWRAP && custody == MODEL_CUSTODY_ANY) {
				continue;
			}
			begin_op(op, custody, TOKENS);
			scripts[down].down = true;
			FAILS(call(op), TOKEN_DOWN);
			ck_assert_uint_eq(asked_count, down + 1);
			no_key_is_left(op);
			drop_keys();
			ck_assert_uint_eq(room(), before);
		}
	}
}
END_TEST

/* ---- answers to something else ---- */

static const struct script BAD_ANSWERS[] = {
	{.op = MODEL_OP_DATAKEY},
	{.op = MODEL_OP_WRAP},
	{.op = MODEL_OP_UNWRAP},
	{.op = MODEL_OP_REWRAP},
	{.id_more = 1},
	{.id_more = UINT64_MAX},
	{.count_more = 1},
	{.count_more = -1},
	{.other_token = true},
};

START_TEST(an_answer_to_something_else_is_refused)
{
	const struct script *bad = &BAD_ANSWERS[_i];
	size_t before = room();
	for (size_t i = 0; i < OP_COUNT; i++) {
		for (uint32_t from = 0; from < 2; from++) {
			begin_op(OPS[i], MODEL_CUSTODY_ALL, 2);
			/* The op that it should have, and UNWRAP has no slots in its answer. */
			if (bad->op == OPS[i] || (bad->other_token && OPS[i] == MODEL_OP_UNWRAP)) {
				continue;
			}
			scripts[from] = *bad;
			FAILS(call(OPS[i]), FORMAT);
			ck_assert_uint_eq(asked_count, from + 1);
			no_key_is_left(OPS[i]);
			drop_keys();
			ck_assert_uint_eq(room(), before);
		}
	}
}
END_TEST

START_TEST(unwrap_of_any_goes_on_after_a_bad_answer)
{
	uint8_t made[ITEMS][KEY_BYTES];
	if (BAD_ANSWERS[_i].op == MODEL_OP_UNWRAP || BAD_ANSWERS[_i].other_token) {
		return; /* for UNWRAP a good one */
	}
	begin(MODEL_CUSTODY_ANY, 2);
	OK(call(MODEL_OP_DATAKEY));
	keep_keys(made);
	drop_keys();
	scripts[0] = BAD_ANSWERS[_i];
	OK(call(MODEL_OP_UNWRAP));
	ck_assert_uint_eq(asked_count, 2);
	for (size_t i = 0; i < ITEMS; i++) {
		ck_assert(key_is(uses[i].data_key, made[i]));
	}
}
END_TEST

/* The first token's answer is taken half; the second's brings the rest, or all is dropped. */
START_TEST(a_half_taken_answer_leaves_nothing_behind)
{
	uint8_t made[ITEMS][KEY_BYTES];
	size_t before = room();
	begin(MODEL_CUSTODY_ANY, 2);
	OK(call(MODEL_OP_DATAKEY));
	keep_keys(made);
	drop_keys();
	scripts[0] = (struct script){.copies = 1, .code_item = 0, .code = KMS_CODE_INTEGRITY};
	OK(call(MODEL_OP_UNWRAP));
	ck_assert_uint_eq(asked_count, 2);
	for (size_t i = 0; i < ITEMS; i++) {
		ck_assert_int_eq(uses[i].code, KMS_CODE_OK);
		ck_assert(key_is(uses[i].data_key, made[i]));
	}
	drop_keys();
	ck_assert_uint_eq(room(), before);

	scripts[1] = (struct script){.copies = 1}; /* two are missing */
	FAILS(call(MODEL_OP_UNWRAP), NO_MEMORY);
	no_key_is_left(MODEL_OP_UNWRAP);
	ck_assert_uint_eq(room(), before);
}
END_TEST

/* Each token alone can unwrap: what one lost, or found damaged, the next one opens. */
START_TEST(unwrap_of_any_opens_elsewhere_what_one_token_cannot)
{
	uint8_t made[ITEMS][KEY_BYTES];
	size_t before = room();
	begin(MODEL_CUSTODY_ANY, 3);
	OK(call(MODEL_OP_DATAKEY));
	keep_keys(made);
	for (uint32_t item = 0; item < ITEMS; item++) {
		drop_keys();
		scripts[0] = (struct script){.code_item = item, .code = KMS_CODE_NOT_FOUND};
		scripts[1] = (struct script){.down = item == 1};
		OK(call(MODEL_OP_UNWRAP));
		ck_assert_uint_eq(asked_count, item == 1 ? 3 : 2);
		for (size_t i = 0; i < ITEMS; i++) {
			ck_assert_int_eq(uses[i].code, KMS_CODE_OK);
			ck_assert(key_is(uses[i].data_key, made[i]));
		}
	}
	/* Nobody opens it: why not is the first one's word, and the others are there. */
	drop_keys();
	scripts[0] = (struct script){.code_item = 1, .code = KMS_CODE_INTEGRITY};
	scripts[1] = (struct script){.code_item = 1, .code = KMS_CODE_NOT_FOUND};
	scripts[2] = (struct script){.down = true};
	OK(call(MODEL_OP_UNWRAP));
	ck_assert_int_eq(uses[1].code, KMS_CODE_INTEGRITY);
	ck_assert_ptr_null(uses[1].data_key);
	ck_assert(key_is(uses[0].data_key, made[0]) && key_is(uses[2].data_key, made[2]));
	drop_keys();
	ck_assert_uint_eq(room(), before);
}
END_TEST

/* ---- one item fails ---- */

START_TEST(one_item_that_fails_leaves_the_others)
{
	size_t before = room();
	uint8_t given[ITEMS][KEY_BYTES];
	for (size_t op = 0; op < OP_COUNT; op++) {
		for (uint32_t from = 0; from < tokens_of(_i); from++) {
			begin_op(OPS[op], custody_of(_i), tokens_of(_i));
			if (OPS[op] == MODEL_OP_WRAP) {
				keep_keys(given);
			}
			scripts[from].code = KMS_CODE_KEY_STATE;
			scripts[from].code_item = 1;
			OK(call(OPS[op]));
			/* Of `any` another token opens it. */
			bool heard = OPS[op] != MODEL_OP_UNWRAP ||
				     key.custody == MODEL_CUSTODY_ALL || key.token_count == 1;
			ck_assert_int_eq(uses[0].code, KMS_CODE_OK);
			ck_assert_int_eq(uses[1].code, heard ? KMS_CODE_KEY_STATE : KMS_CODE_OK);
			ck_assert_int_eq(uses[2].code, KMS_CODE_OK);
			if (OPS[op] == MODEL_OP_WRAP) {
				ck_assert(key_is(uses[1].data_key, given[1])); /* still ours */
			} else if (heard) {
				ck_assert_ptr_null(uses[1].data_key);
			}
			if (OPS[op] == MODEL_OP_DATAKEY || OPS[op] == MODEL_OP_WRAP) {
				holds_key(&uses[0]);
				holds_key(&uses[2]);
			}
			drop_keys();
			ck_assert_uint_eq(room(), before);
		}
	}
}
END_TEST

/* ---- what is refused before any token is asked ---- */

START_TEST(what_is_not_this_keys_never_leaves)
{
	begin_wrapped(MODEL_CUSTODY_ALL, 2);
	const struct format_key good = key;
	key.id = id_of(0x61);
	FAILS(call(MODEL_OP_UNWRAP), ARGUMENT);
	key = good;
	key.custody = MODEL_CUSTODY_ANY;
	FAILS(call(MODEL_OP_UNWRAP), PINS);
	key = good;
	key.delivery = MODEL_DELIVERY_CLEAR;
	FAILS(call(MODEL_OP_REWRAP), PINS);
	key = good;
	key.token_count = 1;
	FAILS(call(MODEL_OP_UNWRAP), PINS);
	key.token_count = 2;
	key.tokens[0] = good.tokens[1];
	key.tokens[1] = good.tokens[0];
	FAILS(call(MODEL_OP_UNWRAP), PINS);
	key = good;
	uses[1].wrapped.head.context.b[0] ^= 1;
	FAILS(call(MODEL_OP_UNWRAP), CONTEXT);
	ck_assert_uint_eq(asked_count, 0);
}
END_TEST

START_TEST(counts_have_limits)
{
	begin(MODEL_CUSTODY_ANY, 1);
	asked_count = 0;
	FAILS(format_custody_call(&key, MODEL_OP_DATAKEY, uses, 0, exchange, NULL), ARGUMENT);
	FAILS(format_custody_call(
		      &key, MODEL_OP_DATAKEY, uses, LIMIT_BATCH_ITEMS + 1, exchange, NULL),
		ARGUMENT);
	key.token_count = 0;
	FAILS(call(MODEL_OP_DATAKEY), ARGUMENT);
	key.token_count = LIMIT_CUSTODY_TOKENS + 1;
	FAILS(call(MODEL_OP_DATAKEY), ARGUMENT);
	key.token_count = 1;
	FAILS(call(MODEL_OP_KEY_CREATE), ARGUMENT);
	ck_assert_uint_eq(asked_count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("format_custody");
	TCase *tests = tcase_create("custody");
	int bad = (int)(sizeof(BAD_ANSWERS) / sizeof(BAD_ANSWERS[0]));
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, datakey_then_unwrap_gives_the_same_key, 0, KEYS);
	tcase_add_loop_test(tests, wrap_guards_the_key_that_was_given, 0, KEYS);
	tcase_add_loop_test(tests, shares_are_drawn_anew, 0, TOKENS);
	tcase_add_loop_test(tests, rewrap_takes_every_slot_to_a_new_version, 0, KEYS);
	tcase_add_test(tests, unwrap_of_any_needs_one_token);
	tcase_add_test(tests, every_other_call_needs_every_token);
	tcase_add_loop_test(tests, an_answer_to_something_else_is_refused, 0, bad);
	tcase_add_test(tests, unwrap_of_any_opens_elsewhere_what_one_token_cannot);
	tcase_add_loop_test(tests, unwrap_of_any_goes_on_after_a_bad_answer, 0, bad);
	tcase_add_test(tests, a_half_taken_answer_leaves_nothing_behind);
	tcase_add_loop_test(tests, one_item_that_fails_leaves_the_others, 0, KEYS);
	tcase_add_test(tests, what_is_not_this_keys_never_leaves);
	tcase_add_test(tests, counts_have_limits);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
