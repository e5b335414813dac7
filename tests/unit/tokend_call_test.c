/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of sessions and calls of kms-tokend: who is welcome by the owner's file as it stands now,
 * inside against outside, and that no answer leaves without its uses.
 */
#include "tokend_fixture.h"

#include <time.h>

/* A client: what libkms is. */
struct client {
	struct channel_identity *identity;
	struct channel *channel;
	struct kms_hash spki;
	struct kms_id session;
	struct kms_buf flight; /* goes before the first record */
};

static struct client client;
static struct tokmsg_call call;
static struct tokmsg_call_answer answer;
static char reason[LIMIT_REASON + 1];
static struct format_request request;
static struct format_item items[LIMIT_BATCH_ITEMS];
static struct model_call_item outside[LIMIT_BATCH_ITEMS];
static struct kms_buf context;
static struct kms_secret *message;
static struct format_answer *inside;

static void client_drop(void)
{
	channel_free(&client.channel);
	channel_identity_free(&client.identity);
	kms_buf_free(&client.flight);
}

static kms_err client_open(const char *name)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	struct kms_hash pin;
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO_BUF back = {0};
	client_drop();
	ck_ok(crypto_cert_read(path_of("%s/token/session.pem", dir), &cert));
	ck_ok(crypto_cert_spki_hash(cert, &pin));
	ck_ok(channel_identity_read(path_of("%s/%s.pem", certs, name),
		path_of("%s/%s.key", certs, name), &client.identity));
	ck_ok(channel_identity_spki(client.identity, &client.spki));
	ck_ok(channel_new_client(client.identity, &pin, &client.channel));
	ck_ok(channel_step(client.channel, (struct kms_bytes){0}, &hello));
	KMS_TRY(sessions_open(tokend->sessions, kms_buf_bytes(&hello), &client.session, &back));
	return channel_step(client.channel, kms_buf_bytes(&back), &client.flight);
}

static void make_context(const struct kms_id *tenant)
{
	static struct model_context pairs;
	memset(&pairs, 0, sizeof(pairs));
	ck_ok(model_context_add(&pairs, "dataset", "one"));
	kms_buf_free(&context);
	ck_ok(format_context_write(&pairs, tenant, &context));
}

/* A good request and its outside, for one item of key 0x20; tests then change a thing. */
static void prepare(enum model_op op, uint32_t count)
{
	const struct kms_id tenant = tenant_id();
	make_context(&tenant);
	request = (struct format_request){
		.op = op, .id = 7, .key = sample_id(0x20), .count = count, .items = items};
	call = (struct tokmsg_call){
		.session = client.session,
		.op = op,
		.principal = client.spki,
		.key = request.key,
		.count = count,
		.items = outside,
	};
	for (uint32_t i = 0; i < count; i++) {
		struct format_slot slot = items[i].slot;
		items[i] = (struct format_item){
			.head = {MODEL_CUSTODY_ANY, MODEL_DELIVERY_SEALED, request.key,
				sample_id((uint8_t)(0x60 + i)), {{0}}},
			.token_count = 1,
			.tokens = {tokend->token},
			.context = kms_buf_bytes(&context),
			.slot = slot,
		};
		ck_ok(format_context_hash(items[i].context, &items[i].head.context));
		outside[i].wrapped_key = items[i].head.wrapped_key;
		outside[i].context = items[i].head.context;
	}
}

/* Seal what was prepared and have it answered. */
static kms_err send(void)
{
	KMS_AUTO(kms_secret) bytes = NULL;
	KMS_AUTO_BUF sealed = {0};
	KMS_AUTO_BUF record = {0};
	KMS_AUTO_WRITER all = kms_writer_grow(LIMIT_TOKMSG_BYTES);
	free(answer.uses.rows);
	answer = (struct tokmsg_call_answer){0};
	format_answer_free(&inside);
	kms_secret_free(&message);
	memset(reason, 0, sizeof(reason));
	ck_ok(format_request_write(&request, &bytes));
	KMS_TRY(channel_seal(client.channel, kms_secret_bytes(bytes), &sealed));
	kms_write_bytes(&all, kms_buf_bytes(&client.flight));
	kms_write_bytes(&all, kms_buf_bytes(&sealed));
	kms_buf_free(&client.flight);
	ck_ok(kms_writer_bytes(&all, &call.record));
	kms_err err = call_answer(tokend, &call, &answer, &record, reason);
	if (!kms_is_ok(err)) {
		ck_assert_ptr_null(record.ptr); /* nothing leaves */
		ck_assert_ptr_null(answer.uses.rows);
		return err;
	}
	ck_ok(channel_open(client.channel, kms_buf_bytes(&record), &message));
	return format_answer_read(kms_secret_bytes(message), &inside);
}

static kms_err ask(enum model_op op, uint32_t count)
{
	prepare(op, count);
	return send();
}

static void refused_with(const char *why)
{
	ck_code(send(), TOKEN_REFUSED);
	ck_assert_msg(strstr(reason, why) != NULL, "'%s' says nothing of '%s'", reason, why);
	ck_assert_uint_eq(answer.uses.count, 0);
}

static uint64_t used(void)
{
	uint64_t boot, used, acked;
	struct kms_hash running;
	uses_where(tokend->uses, &boot, &used, &acked, &running);
	return used;
}

static void ready(void)
{
	init_with(false, path_of("deny: %s/deny\n", certs));
	write_file(path_of("%s/deny", certs), "# nobody\n");
	ck_ok(start());
	born(0x10, 0x20, 1);
	ck_ok(commit(0x10));
	ck_ok(client_open("storage"));
}

static void done(void)
{
	client_drop();
	free(answer.uses.rows);
	format_answer_free(&inside);
	kms_secret_free(&message);
	kms_buf_free(&context);
	gone();
}

START_TEST(a_data_key_comes_back_by_its_slot)
{
	uint8_t keys[2][LIMIT_DATA_KEY_BYTES];
	ck_ok(ask(MODEL_OP_DATAKEY, 2));
	ck_assert_uint_eq(inside->count, 2);
	ck_assert_uint_eq(inside->id, 7);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(inside->items[i].code, KMS_CODE_OK);
		ck_assert_uint_eq(inside->items[i].data_key_bytes.len, sizeof(keys[i]));
		memcpy(keys[i], inside->items[i].data_key_bytes.ptr, sizeof(keys[i]));
		items[i].slot = inside->items[i].slot;
	}
	ck_assert_mem_ne(keys[0], keys[1], sizeof(keys[0]));
	/* The uses that the answer carries are those of the call. */
	ck_assert_uint_eq(answer.uses.count, 2);
	ck_assert_uint_eq(answer.uses.first, 1);
	const struct model_counted_use *use = &answer.uses.rows[1];
	ck_assert_uint_eq(use->n, 2);
	ck_assert_int_eq(use->op, MODEL_OP_DATAKEY);
	ck_assert(kms_hash_equal(&use->spki, &client.spki));
	ck_assert(kms_id_equal(&use->wrapped_key, &outside[1].wrapped_key));
	ck_assert(kms_hash_equal(&use->context, &outside[1].context));
	ck_assert_uint_eq(use->version, 1);

	ck_ok(ask(MODEL_OP_UNWRAP, 2));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(inside->items[i].code, KMS_CODE_OK);
		ck_assert_mem_eq(inside->items[i].data_key_bytes.ptr, keys[i], sizeof(keys[i]));
	}
	ck_assert_uint_eq(answer.uses.first, 3);
	/* After a rotation the old slot opens, new ones are of the new version, and a rewrapped one
	 * gives the same key. */
	born(0x11, 0x20, 2);
	ck_ok(ask(MODEL_OP_REWRAP, 1));
	ck_assert_uint_eq(inside->items[0].slot.version, 1); /* not committed yet */
	ck_ok(commit(0x11));
	ck_ok(ask(MODEL_OP_UNWRAP, 1));
	ck_assert_int_eq(inside->items[0].code, KMS_CODE_OK);
	ck_ok(ask(MODEL_OP_REWRAP, 1));
	ck_assert_int_eq(inside->items[0].code, KMS_CODE_OK);
	ck_assert_uint_eq(inside->items[0].slot.version, 2);
	ck_assert_uint_eq(inside->items[0].data_key_bytes.len, 0);
	items[0].slot = inside->items[0].slot;
	ck_ok(ask(MODEL_OP_UNWRAP, 1));
	ck_assert_mem_eq(inside->items[0].data_key_bytes.ptr, keys[0], sizeof(keys[0]));
}
END_TEST

/* Somebody with the PIN put another key under the KEK's id: nothing is wrapped under that. */
START_TEST(a_kek_that_is_not_the_one_that_was_born_is_never_used)
{
	static const enum model_op ops[] = {MODEL_OP_DATAKEY, MODEL_OP_UNWRAP, MODEL_OP_REWRAP};
	const struct kms_id id = sample_id(0x10);
	struct p11_kek object;
	struct p11_kek_facts facts;
	born(0x11, 0x21, 1); /* walked after the wrong one */
	ck_ok(commit(0x11));
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
	items[0].slot = inside->items[0].slot;
	ck_ok(p11_kek_destroy(tokend->p11, &id));
	ck_ok(p11_kek_generate(tokend->p11, &id, &object, &facts));
	restart();
	ck_ok(client_open("storage"));
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		ck_ok(ask(ops[i], 1));
		ck_assert_int_eq(inside->items[0].code, KMS_CODE_INTEGRITY);
		ck_assert_uint_eq(answer.uses.count, 0);
	}
	prepare(MODEL_OP_DATAKEY, 1);
	request.key = items[0].head.key = call.key = sample_id(0x21);
	ck_ok(send());
	ck_assert_int_eq(inside->items[0].code, KMS_CODE_OK);
}
END_TEST

/* Of a batch only what went well is counted, and what did not says why. */
START_TEST(failed_items_are_no_uses)
{
	ck_ok(ask(MODEL_OP_DATAKEY, 3));
	for (int i = 0; i < 3; i++) {
		items[i].slot = inside->items[i].slot;
	}
	items[1].slot.tag[0] ^= 1;
	ck_ok(ask(MODEL_OP_UNWRAP, 3));
	ck_assert_int_eq(answer.codes[0], KMS_CODE_OK);
	ck_assert_int_eq(answer.codes[1], KMS_CODE_INTEGRITY);
	ck_assert_int_eq(inside->items[1].code, KMS_CODE_INTEGRITY);
	ck_assert_uint_eq(answer.uses.count, 2);
	ck_assert(kms_id_equal(&answer.uses.rows[1].wrapped_key, &outside[2].wrapped_key));
	ck_assert_uint_eq(used(), 5);
	/* A slot under another wrapped key's head: the AAD says no. */
	items[1].slot = items[0].slot;
	ck_ok(ask(MODEL_OP_UNWRAP, 2));
	ck_assert_int_eq(answer.codes[1], KMS_CODE_INTEGRITY);
	/* A KEK that was born and not committed may be a moment later; one that never was will not.
	 */
	born(0x11, 0x21, 1);
	prepare(MODEL_OP_DATAKEY, 1);
	request.key = call.key = items[0].head.key = sample_id(0x21);
	ck_ok(send());
	ck_assert_int_eq(answer.codes[0], KMS_CODE_TIMEOUT);
	request.key = call.key = items[0].head.key = sample_id(0x22);
	ck_ok(send());
	ck_assert_int_eq(answer.codes[0], KMS_CODE_NOT_FOUND);
	ck_assert_uint_eq(answer.uses.count, 0);
	ck_assert_uint_eq(answer.uses.first, used() + 1);
	/* Weaker than the birth. */
	prepare(MODEL_OP_DATAKEY, 1);
	items[0].head.custody = MODEL_CUSTODY_ALL;
	ck_ok(send());
	ck_assert_int_eq(answer.codes[0], KMS_CODE_PINS);
	prepare(MODEL_OP_DATAKEY, 1);
	items[0].head.delivery = MODEL_DELIVERY_CLEAR;
	ck_ok(send());
	ck_assert_int_eq(answer.codes[0], KMS_CODE_PINS);
	/* The context of another tenant. */
	prepare(MODEL_OP_DATAKEY, 1);
	const struct kms_id stranger = sample_id(9);
	make_context(&stranger);
	items[0].context = kms_buf_bytes(&context);
	ck_ok(format_context_hash(items[0].context, &items[0].head.context));
	outside[0].context = items[0].head.context;
	ck_ok(send());
	ck_assert_int_eq(answer.codes[0], KMS_CODE_CONTEXT);
}
END_TEST

START_TEST(inside_and_outside_must_agree)
{
	ck_ok(ask(MODEL_OP_DATAKEY, 2));
	uint64_t before = used();
	prepare(MODEL_OP_DATAKEY, 2);
	call.op = MODEL_OP_UNWRAP;
	refused_with("operation");
	prepare(MODEL_OP_DATAKEY, 2);
	call.key = sample_id(0x21);
	refused_with("key");
	prepare(MODEL_OP_DATAKEY, 2);
	call.count = 1;
	refused_with("items");
	prepare(MODEL_OP_DATAKEY, 2);
	outside[1].wrapped_key = sample_id(0x99);
	refused_with("wrapped-key id");
	prepare(MODEL_OP_DATAKEY, 2);
	outside[1].context = sample_hash(0x99);
	refused_with("context");
	prepare(MODEL_OP_DATAKEY, 2);
	call.principal = spki_of("second");
	refused_with("principal");
	ck_assert_uint_eq(used(), before);
	ck_ok(ask(MODEL_OP_DATAKEY, 1)); /* a refusal does not end the session */
}
END_TEST

START_TEST(who_is_not_welcome)
{
	ck_ok(client_open("plain"));
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("storage purpose");
	ck_ok(client_open("stranger"));
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("client CA");
	ck_ok(client_open("kmsd")); /* the file does not allow clear sessions */
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("client CA");
	ck_assert_uint_eq(used(), 0);
}
END_TEST

START_TEST(a_certificate_expires_within_its_session)
{
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
	kms_clock_fix(kms_now_unix_ms() + (int64_t)3 * 86400 * 1000);
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("expired");
	ck_ok(client_open("storage")); /* and a new session is none the better */
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("expired");
}
END_TEST

/* Written in place, on a file system whose times have whole seconds. */
static void deny(const char *text)
{
	const struct timespec now[2] = {{.tv_sec = time(NULL)}, {.tv_sec = time(NULL)}};
	FILE *file = fopen(path_of("%s/deny", certs), "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(ftruncate(fileno(file), (off_t)strlen(text)), 0);
	ck_assert_int_eq(fflush(file), 0);
	ck_assert_int_eq(futimens(fileno(file), now), 0);
	ck_assert_int_eq(fclose(file), 0);
}

START_TEST(the_deny_list_holds_at_once)
{
	char hex[KMS_HASH_TEXT], mine[80], other[80];
	(void)snprintf(mine, sizeof(mine), "%s\n", kms_hash_text(&client.spki, hex));
	const struct kms_hash second = spki_of("second");
	(void)snprintf(other, sizeof(other), "%s\n", kms_hash_text(&second, hex));
	for (int i = 0; i < 5; i++) { /* same size, same inode, one after the other */
		deny(other);
		ck_ok(ask(MODEL_OP_DATAKEY, 1));
		deny(mine);
		prepare(MODEL_OP_DATAKEY, 1);
		refused_with("deny list");
	}
	mine[64] = '\0'; /* without its newline */
	deny(mine);
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("deny list names");
	deny("");
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
}
END_TEST

START_TEST(an_unreadable_deny_list_lets_nobody_in)
{
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
	deny("not a hash\n");
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("cannot be read");
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("cannot be read"); /* not the old list the second time */
	ck_assert_int_eq(unlink(path_of("%s/deny", certs)), 0);
	prepare(MODEL_OP_DATAKEY, 1);
	refused_with("cannot be read");
	write_file(path_of("%s/deny", certs), "# nobody\n");
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
}
END_TEST

START_TEST(sessions_that_are_none)
{
	prepare(MODEL_OP_DATAKEY, 1);
	call.session = sample_id(0x77);
	ck_code(send(), SESSION);
	/* A record that was replayed, or cut, ends the session for good. */
	ck_ok(client_open("storage"));
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
	KMS_AUTO_BUF none = {0};
	call.record = kms_bytes_str("no record");
	ck_code(call_answer(tokend, &call, &answer, &none, reason), SESSION);
	ck_assert_ptr_null(sessions_find(tokend->sessions, &client.session));
	prepare(MODEL_OP_DATAKEY, 1);
	ck_code(send(), SESSION);
	sessions_close(tokend->sessions, &client.session); /* one that is gone is fine */
}
END_TEST

START_TEST(sessions_are_bounded)
{
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
	KMS_AUTO_BUF hello = {0};
	KMS_AUTO(channel) other = NULL;
	ck_ok(channel_new_client(client.identity, &client.spki, &other));
	ck_ok(channel_step(other, (struct kms_bytes){0}, &hello));
	kms_err err = KMS_OK;
	uint32_t open = 1;
	for (; kms_is_ok(err) && open <= LIMIT_TOKEN_SESSIONS; open++) {
		struct kms_id id;
		KMS_AUTO_BUF flight = {0};
		err = sessions_open(tokend->sessions, kms_buf_bytes(&hello), &id, &flight);
	}
	ck_code(err, RATE);
	ck_assert_uint_eq(open, LIMIT_TOKEN_SESSIONS + 1);
	ck_ok(ask(MODEL_OP_DATAKEY, 1)); /* those that are there go on */
	sessions_close(tokend->sessions, &client.session);
	ck_ok(client_open("storage"));
}
END_TEST

START_TEST(bounds_of_the_owner_and_of_kmsds_patience)
{
	tokend->owner->uses_per_minute = 3;
	ck_ok(ask(MODEL_OP_DATAKEY, 2));
	ck_code(ask(MODEL_OP_DATAKEY, 2), RATE);
	tokend->owner->uses_per_minute = 0;
	for (uint32_t i = 2; i < LIMIT_UNACKED_USES - 1; i++) {
		struct model_counted_use use = {.op = MODEL_OP_UNWRAP};
		ck_ok(uses_count(tokend->uses, &use));
	}
	ck_code(ask(MODEL_OP_DATAKEY, 2), LEDGER);
	ck_ok(ask(MODEL_OP_DATAKEY, 1));
	ck_code(ask(MODEL_OP_DATAKEY, 1), LEDGER);
	ck_ok(uses_ack(tokend->uses, 1, 10));
	ck_ok(ask(MODEL_OP_DATAKEY, 2));
}
END_TEST

/* The token is gone: nothing of the batch leaves, nothing of it is counted. */
START_TEST(a_token_that_is_down)
{
	ck_ok(ask(MODEL_OP_DATAKEY, 2));
	uint64_t before = used();
	shell("mv %s/token/tokens %s/token/away", dir, dir);
	ck_code(ask(MODEL_OP_DATAKEY, 2), TOKEN_DOWN);
	ck_assert_uint_eq(used(), before);
	shell("mv %s/token/away %s/token/tokens", dir, dir);
	ck_ok(p11_reopen(tokend->p11));
	ck_ok(ask(MODEL_OP_DATAKEY, 2)); /* in the same session */
	ck_assert_uint_eq(answer.uses.first, before + 1);
}
END_TEST

/* ---- clear ---- */

static void ready_clear(void)
{
	char hex[KMS_HASH_TEXT];
	const struct kms_hash pin = spki_of("kmsd");
	init_with(false, path_of("clear:\n  kmsd_session: %s\n", kms_hash_text(&pin, hex)));
	ck_ok(start());
	struct model_bear bear = bear_of(0x10, 0x20, 1);
	struct kms_bytes statement;
	bear.delivery = MODEL_DELIVERY_CLEAR;
	ck_ok(keks_bear(tokend, &bear, &statement));
	ck_ok(commit(0x10));
	born(0x11, 0x21, 1);
	ck_ok(commit(0x11));
	ck_ok(client_open("kmsd"));
}

static kms_err ask_delivery(uint8_t key, enum model_delivery delivery)
{
	prepare(MODEL_OP_DATAKEY, 1);
	request.key = call.key = items[0].head.key = sample_id(key);
	items[0].head.delivery = delivery;
	return send();
}

START_TEST(clear_keys_answer_clear_sessions_alone)
{
	ck_ok(ask_delivery(0x20, MODEL_DELIVERY_CLEAR));
	ck_assert_int_eq(answer.codes[0], KMS_CODE_OK);
	ck_assert(kms_hash_equal(&answer.uses.rows[0].spki, &client.spki)); /* kmsd's own */
	ck_ok(ask_delivery(0x21, MODEL_DELIVERY_SEALED));
	ck_assert_int_eq(answer.codes[0], KMS_CODE_TOKEN_REFUSED);
	ck_ok(client_open("storage"));
	ck_ok(ask_delivery(0x20, MODEL_DELIVERY_CLEAR));
	ck_assert_int_eq(answer.codes[0], KMS_CODE_TOKEN_REFUSED);
	ck_ok(ask_delivery(0x21, MODEL_DELIVERY_SEALED));
	ck_assert_int_eq(answer.codes[0], KMS_CODE_OK);
	ck_ok(client_open("stranger")); /* of the same CA as kmsd's, and not pinned */
	ck_code(ask_delivery(0x20, MODEL_DELIVERY_CLEAR), TOKEN_REFUSED);
}
END_TEST

static TCase *case_of(const char *name, void (*before)(void))
{
	TCase *tcase = tcase_create(name);
	tcase_add_unchecked_fixture(tcase, make_certs, drop_certs);
	tcase_add_checked_fixture(tcase, before, done);
	tcase_set_timeout(tcase, 60);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("tokend_call");
	TCase *sealed = case_of("sealed", ready);
	TCase *clear = case_of("clear", ready_clear);
	suite_add_tcase(suite, sealed);
	suite_add_tcase(suite, clear);
	tcase_add_test(sealed, a_data_key_comes_back_by_its_slot);
	tcase_add_test(sealed, a_kek_that_is_not_the_one_that_was_born_is_never_used);
	tcase_add_test(sealed, failed_items_are_no_uses);
	tcase_add_test(sealed, inside_and_outside_must_agree);
	tcase_add_test(sealed, who_is_not_welcome);
	tcase_add_test(sealed, a_certificate_expires_within_its_session);
	tcase_add_test(sealed, the_deny_list_holds_at_once);
	tcase_add_test(sealed, an_unreadable_deny_list_lets_nobody_in);
	tcase_add_test(sealed, sessions_that_are_none);
	tcase_add_test(sealed, sessions_are_bounded);
	tcase_add_test(sealed, bounds_of_the_owner_and_of_kmsds_patience);
	tcase_add_test(sealed, a_token_that_is_down);
	tcase_add_test(clear, clear_keys_answer_clear_sessions_alone);
	return suite_run(suite);
}
