/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A malicious kmsd against the client's end: a real kms-tokend answers, and what carries the
 * answers lies. What libkms itself makes of such a kmsd is in tests/unit/client_keys_test.c.
 */
#include "malice_house.h"

static struct client client;
static struct model_bear good;
static struct format_key key; /* what the client has pinned */
static struct format_use use;

/* ---- the double, as format_custody_call() sees it ---- */

/* Changes a true answer. */
typedef void (*lie)(struct format_answer *told);
static struct {
	lie lie;
	unsigned calls;
	bool garbage;
} relay;

static void ask_like(struct ask *ask, const struct format_request *request)
{
	ask->client = &client;
	ask->inside = *request;
	memcpy(ask->items, request->items, request->count * sizeof(ask->items[0]));
	ask->outside = (struct tokmsg_call){.session = client.session,
		.op = request->op,
		.principal = client.spki,
		.key = request->key,
		.count = request->count};
	for (uint32_t i = 0; i < request->count; i++) {
		ask->outer[i].wrapped_key = request->items[i].head.wrapped_key;
		ask->outer[i].context = request->items[i].head.context;
	}
}

/* The answer that kms-tokend gave, as the lie would have it. */
static void tell_lie(const struct ask *ask, struct kms_secret **ret_answer)
{
	struct format_answer_item items[ITEMS] = {0};
	struct format_answer told = {ask->inside.op, ask->inside.id, ask->inside.count, items};
	KMS_AUTO(kms_secret) data_key = NULL;
	ck_ok(kms_secret_copy(KMS_BYTES_OF(ask->keys[0]), &data_key));
	for (uint32_t i = 0; i < ITEMS; i++) {
		items[i].slot = ask->slots[0];
		items[i].data_key = data_key;
	}
	if (relay.lie != NULL) {
		relay.lie(&told);
	}
	ck_ok(format_answer_write(&told, ret_answer));
}

static kms_err exchange(void *ctx, uint32_t token_index, enum model_op op,
	const struct kms_secret *request, struct kms_secret **ret_answer)
{
	static struct ask ask;
	KMS_AUTO(format_request) inside = NULL;
	(void)ctx;
	ck_assert_uint_eq(token_index, 0);
	relay.calls++;
	ck_ok(format_request_read(kms_secret_bytes(request), &inside));
	ck_assert_int_eq(inside->op, op);
	ask_like(&ask, inside);
	ck_ok(ask_send(&ask));
	ck_assert_int_eq(ask.codes[0], KMS_CODE_OK);
	if (relay.garbage) {
		return kms_secret_copy(kms_bytes_str("KMSA and so on"), ret_answer);
	}
	tell_lie(&ask, ret_answer);
	return KMS_OK;
}

static kms_err custody_call(enum model_op op)
{
	return format_custody_call(&key, op, &use, 1, exchange, NULL);
}

static void setup(void)
{
	copy_make();
	tokend_start("acme", "owner.yaml");
	good = key_new(MODEL_DELIVERY_SEALED);
	client_open(&client, "storage");
	key = (struct format_key){good.key, good.custody, good.delivery, 1, {token}};
	use.context = kms_buf_bytes(&context);
	ck_ok(kms_id_random(&use.wrapped.head.wrapped_key));
	ck_ok(custody_call(MODEL_OP_DATAKEY));
	ck_assert_int_eq(use.code, KMS_CODE_OK);
	ck_assert_uint_eq(relay.calls, 1);
}

static void teardown(void)
{
	kms_secret_free(&use.data_key);
	channel_free(&client.channel);
	kms_buf_free(&client.flight);
	copy_remove();
}

/* An honest answer opens what was wrapped before the lie, to the same data key. */
static void goes_on(const struct kms_secret *made)
{
	relay.lie = NULL;
	relay.garbage = false;
	ck_ok(custody_call(MODEL_OP_UNWRAP));
	ck_assert_int_eq(use.code, KMS_CODE_OK);
	ck_assert(kms_bytes_equal(kms_secret_bytes(use.data_key), kms_secret_bytes(made)));
}

START_TEST(an_honest_kmsd_is_believed)
{
	KMS_AUTO(kms_secret) made = kms_take(&use.data_key);
	ck_ok(custody_call(MODEL_OP_REWRAP));
	goes_on(made);
}
END_TEST

/* ---- answers to something that was not asked ---- */

static void other_id(struct format_answer *told)
{
	told->id++;
}

static void other_op(struct format_answer *told)
{
	told->op = told->op == MODEL_OP_UNWRAP ? MODEL_OP_DATAKEY : MODEL_OP_UNWRAP;
}

static void more(struct format_answer *told)
{
	told->count++;
}

static void other_token(struct format_answer *told)
{
	told->items[0].slot.token.b[0] ^= 1;
}

static void answer_refused(lie told, bool with_unwrap)
{
	KMS_AUTO(kms_secret) made = kms_take(&use.data_key);
	struct format_wrapped wrapped = use.wrapped;
	static const enum model_op ops[] = {MODEL_OP_DATAKEY, MODEL_OP_REWRAP, MODEL_OP_UNWRAP};
	for (size_t i = 0; i < (with_unwrap ? 3 : 2); i++) {
		relay.lie = told;
		ck_code(custody_call(ops[i]), FORMAT);
		ck_assert_ptr_null(use.data_key);
		ck_assert_mem_eq(use.wrapped.slots, wrapped.slots, sizeof(wrapped.slots));
	}
	goes_on(made);
}

START_TEST(an_answer_to_another_request_is_refused)
{
	answer_refused(other_id, true);
}
END_TEST

START_TEST(an_answer_to_another_operation_is_refused)
{
	answer_refused(other_op, true);
}
END_TEST

START_TEST(an_answer_with_more_items_is_refused)
{
	answer_refused(more, true);
}
END_TEST

START_TEST(a_slot_of_another_token_is_refused)
{
	answer_refused(other_token, false); /* the answer to unwrap has no slot */
}
END_TEST

START_TEST(an_answer_that_does_not_parse_is_refused)
{
	KMS_AUTO(kms_secret) made = kms_take(&use.data_key);
	relay.garbage = true;
	kms_err err = custody_call(MODEL_OP_UNWRAP);
	ck_assert(kms_is(err, KMS_CODE_FORMAT) || kms_is(err, KMS_CODE_TRUNCATED) ||
		  kms_is(err, KMS_CODE_VERSION));
	ck_assert_ptr_null(use.data_key);
	goes_on(made);
}
END_TEST

/* ---- a wrapped key that is not as pinned: refused before anything is asked ---- */

static void wrapped_refused(enum kms_code code)
{
	static const enum model_op ops[] = {MODEL_OP_UNWRAP, MODEL_OP_REWRAP};
	kms_secret_free(&use.data_key);
	for (size_t i = 0; i < 2; i++) {
		kms_err err = custody_call(ops[i]);
		ck_assert_msg(kms_is(err, code), "%s", kms_err_name(err));
		ck_assert_ptr_null(use.data_key);
	}
	ck_assert_uint_eq(relay.calls, 1);
}

START_TEST(a_wrapped_key_with_weaker_custody_is_refused)
{
	key.custody = MODEL_CUSTODY_ALL; /* pinned: all of its tokens; offered: any */
	wrapped_refused(KMS_CODE_PINS);
}
END_TEST

START_TEST(a_wrapped_key_with_weaker_delivery_is_refused)
{
	use.wrapped.head.delivery = MODEL_DELIVERY_CLEAR;
	wrapped_refused(KMS_CODE_PINS);
}
END_TEST

START_TEST(a_wrapped_key_of_another_token_is_refused)
{
	use.wrapped.slots[0].token.b[0] ^= 1;
	wrapped_refused(KMS_CODE_PINS);
}
END_TEST

START_TEST(a_wrapped_key_with_one_token_more_is_refused)
{
	use.wrapped.slots[1] = use.wrapped.slots[0];
	use.wrapped.slots[1].token.b[0] ^= 1;
	use.wrapped.slot_count = 2;
	wrapped_refused(KMS_CODE_PINS);
}
END_TEST

START_TEST(a_wrapped_key_with_one_token_less_is_refused)
{
	key.token_count = 2;
	ck_ok(kms_id_random(&key.tokens[1]));
	wrapped_refused(KMS_CODE_PINS);
}
END_TEST

START_TEST(a_wrapped_key_of_another_key_is_refused)
{
	use.wrapped.head.key.b[0] ^= 1;
	wrapped_refused(KMS_CODE_ARGUMENT);
}
END_TEST

START_TEST(a_wrapped_key_of_another_context_is_refused)
{
	use.wrapped.head.context.b[0] ^= 1;
	wrapped_refused(KMS_CODE_CONTEXT);
}
END_TEST

/* ---- records of answers ---- */

static struct ask asks[2];

/* Two answers of kms-tokend, on their way to the client. */
static void two_answers(struct kms_buf ret_records[2])
{
	for (size_t i = 0; i < 2; i++) {
		KMS_AUTO_BUF record = {0};
		ask_make(&asks[i], &client, &good, 1);
		ask_seal(&asks[i], &record);
		question.u.call = asks[i].outside;
		question.u.call.items = asks[i].outer;
		question.u.call.record = kms_buf_bytes(&record);
		ck_ok(tell(TOKMSG_CALL));
		ck_ok(kms_buf_copy(answer.u.answered->record, &ret_records[i]));
	}
}

static kms_err open_answer(const struct kms_buf *record)
{
	KMS_AUTO(kms_secret) message = NULL;
	return channel_open(client.channel, kms_buf_bytes(record), &message);
}

START_TEST(answers_in_their_order_are_opened)
{
	struct kms_buf records[2] = {0};
	two_answers(records);
	ck_ok(open_answer(&records[0]));
	ck_ok(open_answer(&records[1]));
	kms_buf_free(&records[0]);
	kms_buf_free(&records[1]);
}
END_TEST

START_TEST(swapped_answers_end_the_session)
{
	struct kms_buf records[2] = {0};
	two_answers(records);
	ck_code(open_answer(&records[1]), SESSION);
	ck_code(open_answer(&records[0]), SESSION);
	kms_buf_free(&records[0]);
	kms_buf_free(&records[1]);
}
END_TEST

START_TEST(a_replayed_answer_ends_the_session)
{
	struct kms_buf records[2] = {0};
	two_answers(records);
	ck_ok(open_answer(&records[0]));
	ck_code(open_answer(&records[0]), SESSION);
	ck_code(open_answer(&records[1]), SESSION);
	kms_buf_free(&records[0]);
	kms_buf_free(&records[1]);
}
END_TEST

/* ---- kmsd in the place of the token ---- */

/* The first flight of a server that kmsd runs itself, to a client that pins the token. */
static kms_err offer(const char *name, struct kms_buf *ret_out)
{
	char cert[64], private_key[64], pin[512];
	struct kms_hash spki;
	KMS_AUTO(channel_identity) storage = NULL;
	KMS_AUTO(channel_identity) kmsd = NULL;
	KMS_AUTO(channel) client_end = NULL;
	KMS_AUTO(channel) server_end = NULL;
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF flight = {0};
	(void)snprintf(cert, sizeof(cert), "%s.pem", name);
	(void)snprintf(private_key, sizeof(private_key), "%s.key", name);
	house_pin("acme/token/pins.yaml", "session_spki", pin);
	ck_ok(kms_hash_parse(pin, &spki));
	ck_ok(channel_identity_read("storage.pem", "storage.key", &storage));
	ck_ok(channel_identity_read(cert, private_key, &kmsd));
	ck_ok(channel_new_client(storage, &spki, &client_end));
	ck_ok(channel_new_server(kmsd, &server_end));
	ck_ok(channel_step(client_end, (struct kms_bytes){0}, &hello));
	ck_ok(channel_step(server_end, kms_buf_bytes(&hello), &flight));
	return channel_step(client_end, kms_buf_bytes(&flight), ret_out);
}

/* Right names each, from the platform's CA, from a CA of kmsd's own, and even from the tenant's. */
static const char *const offered[] = {"server-platform", "server-own", "server-tenant", "kmsd"};

START_TEST(a_certificate_that_is_not_the_pinned_one_is_refused)
{
	KMS_AUTO_BUF out = {0};
	ck_code(offer(offered[_i], &out), PINS);
	ck_assert_uint_eq(out.len, 0); /* not even the client's certificate goes there */
	/* The control: through the same double, the pinned one is believed. */
	client_close(&client);
	client_open(&client, "storage");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("malice_client");
	TCase *tcase = tcase_create("client");
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, house_make, house_remove);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_honest_kmsd_is_believed);
	tcase_add_test(tcase, an_answer_to_another_request_is_refused);
	tcase_add_test(tcase, an_answer_to_another_operation_is_refused);
	tcase_add_test(tcase, an_answer_with_more_items_is_refused);
	tcase_add_test(tcase, a_slot_of_another_token_is_refused);
	tcase_add_test(tcase, an_answer_that_does_not_parse_is_refused);
	tcase_add_test(tcase, a_wrapped_key_with_weaker_custody_is_refused);
	tcase_add_test(tcase, a_wrapped_key_with_weaker_delivery_is_refused);
	tcase_add_test(tcase, a_wrapped_key_of_another_token_is_refused);
	tcase_add_test(tcase, a_wrapped_key_with_one_token_more_is_refused);
	tcase_add_test(tcase, a_wrapped_key_with_one_token_less_is_refused);
	tcase_add_test(tcase, a_wrapped_key_of_another_key_is_refused);
	tcase_add_test(tcase, a_wrapped_key_of_another_context_is_refused);
	tcase_add_test(tcase, answers_in_their_order_are_opened);
	tcase_add_test(tcase, swapped_answers_end_the_session);
	tcase_add_test(tcase, a_replayed_answer_ends_the_session);
	tcase_add_loop_test(tcase, a_certificate_that_is_not_the_pinned_one_is_refused, 0, 4);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
