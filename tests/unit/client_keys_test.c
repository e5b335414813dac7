/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libkms's data path against a double of kmsd: data keys, pins, sealed sessions, files.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client_fixture.h"

/* The C library's, with the monotonic clock put forward and no real sleeping. */
static _Atomic int64_t clock_skip_ms;
int clock_gettime(clockid_t id, struct timespec *ret_time);
int clock_gettime(clockid_t id, struct timespec *ret_time)
{
	long rc = syscall(SYS_clock_gettime, id, ret_time);
	if (rc == 0 && id == CLOCK_MONOTONIC) {
		ret_time->tv_sec += clock_skip_ms / 1000;
	}
	return (int)rc;
}

int nanosleep(const struct timespec *wait, struct timespec *ret_left)
{
	(void)ret_left;
	clock_skip_ms += wait->tv_sec * 1000 + wait->tv_nsec / 1000000;
	return 0;
}

/* ---- keys ---- */

static const char *const every_key[] = {KEY, KEY_CLEAR, KEY_ALL, KEY_ANY};

START_TEST(a_data_key_comes_back)
{
	KMS_AUTO(kms_data_key) made = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	KMS_AUTO(kms_data_key) wrong = NULL;
	bool clear = strcmp(every_key[_i], KEY_CLEAR) == 0;
	ck_ok(kms_datakey(client, every_key[_i], context, &made));
	ck_ok(unwrap(made, context, &again));
	ck_assert(same(made, again));
	unsigned before = fake.uses + fake.clear_uses;
	ck_code(unwrap(made, other, &wrong), CONTEXT);
	ck_code(unwrap(made, NULL, &wrong), CONTEXT);
	ck_assert_uint_eq(fake.uses + fake.clear_uses, before); /* refused here */
	ck_assert_uint_eq(fake.clear_uses, clear ? 2 : 0);
	ck_assert(clear ? fake.uses == 0 : fake.clear_uses == 0);
	ck_assert_ptr_null(wrong);
}
END_TEST

START_TEST(a_key_of_ones_own_is_wrapped_and_rewrapped)
{
	uint8_t key[KMS_DATA_KEY_BYTES];
	KMS_AUTO_FREE uint8_t *wrapped = NULL;
	KMS_AUTO_FREE uint8_t *rewrapped = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	char id[KMS_KEY_ID_TEXT];
	size_t len, relen;
	uint32_t version;
	memset(key, 0x42, sizeof(key));
	ck_ok(kms_wrap(client, every_key[_i], context, key, &wrapped, &len));
	ck_ok(kms_wrapped_info(wrapped, len, id, &version));
	ck_assert_str_eq(id, every_key[_i]);
	ck_assert_uint_eq(version, 1);
	fake.version = 2;
	ck_code(kms_rewrap(client, wrapped, len, other, &rewrapped, &relen), CONTEXT);
	ck_ok(kms_rewrap(client, wrapped, len, context, &rewrapped, &relen));
	ck_ok(kms_wrapped_info(rewrapped, relen, id, &version));
	ck_assert_uint_eq(version, 2);
	ck_ok(kms_unwrap(client, rewrapped, relen, context, &again));
	const uint8_t *bytes;
	ck_ok(kms_data_key_borrow(again, &bytes));
	ck_assert_mem_eq(bytes, key, sizeof(key));
	kms_data_key_return(again);
}
END_TEST

START_TEST(many_go_in_one_request)
{
	enum { COUNT = LIMIT_BATCH_ITEMS + 1 };
	static struct kms_item items[COUNT];
	static struct kms_item back[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		items[i].context = context;
	}
	ck_ok(kms_datakeys_many(client, KEY, items, LIMIT_BATCH_ITEMS));
	ck_assert_uint_eq(fake.uses, 1);
	for (size_t i = 0; i < LIMIT_BATCH_ITEMS; i++) {
		kms_data_key_free(&items[i].data_key);
	}
	/* one too many for one request; and keys mixed on the way back */
	ck_ok(kms_datakeys_many(client, KEY, items, COUNT));
	ck_assert_uint_eq(fake.uses, 3);
	ck_assert_uint_eq(fake.items, 1);
	kms_data_key_free(&items[7].data_key);
	ck_ok(kms_datakey(client, KEY_ALL, context, &items[7].data_key));
	for (size_t i = 0; i < COUNT; i++) {
		back[i].context = i == 9 ? other : context;
		back[i].wrapped = kms_data_key_wrapped(items[i].data_key, &back[i].wrapped_len);
	}
	back[11].wrapped_len--;
	ck_ok(kms_unwrap_many(client, back, COUNT));
	for (size_t i = 0; i < COUNT; i++) {
		enum kms_code code = i == 9 ? KMS_CODE_CONTEXT : KMS_CODE_OK;
		if (i != 11) {
			ck_assert_int_eq(back[i].err.code, code);
		}
		ck_assert(i == 9 || i == 11 ? back[i].data_key == NULL
					    : same(back[i].data_key, items[i].data_key));
		kms_data_key_free(&back[i].data_key);
		kms_data_key_free(&items[i].data_key);
	}
	ck_assert(!kms_is_ok(back[11].err));
}
END_TEST

START_TEST(large_contexts_go_in_more_requests)
{
	enum { COUNT = 64 };
	struct kms_item items[COUNT] = {0};
	char name[8], value[LIMIT_CONTEXT_VALUE + 1];
	memset(value, '"', sizeof(value)); /* JSON doubles it */
	value[LIMIT_CONTEXT_VALUE] = '\0';
	for (int i = 1; i < LIMIT_CONTEXT_PAIRS; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		ck_ok(kms_context_add(context, name, value));
	}
	for (size_t i = 0; i < COUNT; i++) {
		items[i].context = context;
	}
	const char *key = _i == 0 ? KEY : KEY_CLEAR;
	ck_ok(kms_datakeys_many(client, key, items, COUNT));
	ck_assert_uint_gt(fake.uses + fake.clear_uses, 1);
	for (size_t i = 0; i < COUNT; i++) {
		ck_ok(items[i].err);
		kms_data_key_free(&items[i].data_key);
	}
}
END_TEST

START_TEST(a_refused_item_does_not_take_the_others_along)
{
	struct kms_item items[3] = {
		{.context = context}, {.context = context}, {.context = context}};
	KMS_AUTO(kms_data_key) one = NULL;
	fake.refuse = KMS_CODE_BUDGET;
	ck_ok(kms_datakeys_many(client, every_key[_i], items, 3));
	if (strcmp(every_key[_i], KEY_CLEAR) != 0) {
		ck_code(items[0].err, BUDGET);
		ck_assert_ptr_null(items[0].data_key);
		ck_code(kms_datakey(client, every_key[_i], context, &one), BUDGET);
	}
	for (size_t i = 0; i < 3; i++) {
		ck_assert(i == 0 || kms_is_ok(items[i].err));
		kms_data_key_free(&items[i].data_key);
	}
}
END_TEST

START_TEST(a_call_that_fails_fails_its_items)
{
	struct kms_item items[2] = {{.context = context}, {.context = context}};
	char text[32];
	fake.fail = 1;
	fake.problem = KMS_CODE_DENIED;
	ck_code(kms_datakeys_many(client, KEY, items, 2), DENIED);
	ck_assert_str_eq(kms_client_problem(client, text, sizeof(text)), "so it is");
	for (size_t i = 0; i < 2; i++) {
		ck_code(items[i].err, DENIED);
		ck_assert_ptr_null(items[i].data_key);
	}
}
END_TEST

/* ---- pins ---- */

START_TEST(what_is_not_as_pinned_is_refused)
{
	KMS_AUTO(kms_data_key) made = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	ck_ok(kms_datakey(client, every_key[_i], context, &made));
	kms_client_free(&client);
	write_profile("other.yaml", true);
	ck_ok(kms_client_open("other.yaml", &client));
	unsigned before = fake.uses + fake.clear_uses;
	ck_code(unwrap(made, context, &again), PINS);
	ck_assert_uint_eq(fake.uses + fake.clear_uses, before);
}
END_TEST

START_TEST(another_token_or_order_is_refused)
{
	KMS_AUTO(kms_data_key) made = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	ck_ok(kms_datakey(client, KEY_ALL, context, &made));
	struct format_slot first;
	struct format_wrapped wrapped;
	KMS_AUTO_BUF bytes = {0};
	size_t len;
	const uint8_t *given = kms_data_key_wrapped(made, &len);
	ck_ok(format_wrapped_read((struct kms_bytes){given, len}, &wrapped));
	first = wrapped.slots[0];
	wrapped.slots[0] = wrapped.slots[1];
	wrapped.slots[1] = first;
	ck_ok(format_wrapped_write(&wrapped, &bytes));
	ck_code(kms_unwrap(client, bytes.ptr, bytes.len, context, &again), PINS);
	kms_buf_free(&bytes);
	wrapped.slots[0].token.b[0] ^= 1;
	wrapped.slots[1].token.b[0] ^= 2;
	ck_ok(format_wrapped_write(&wrapped, &bytes));
	ck_code(kms_unwrap(client, bytes.ptr, bytes.len, context, &again), PINS);
}
END_TEST

START_TEST(a_key_without_pins_is_refused)
{
	KMS_AUTO(kms_data_key) made = NULL;
	ck_code(kms_datakey(client, TENANT, context, &made), PINS);
	ck_code(kms_datakey(client, "my key", context, &made), ARGUMENT);
	ck_assert_uint_eq(fake.opened, 0);
}
END_TEST

START_TEST(a_session_with_another_certificate_is_refused)
{
	KMS_AUTO(kms_data_key) made = NULL;
	char text[128];
	fake.swap_identity = true;
	ck_code(kms_datakey(client, KEY, context, &made), PINS);
	ck_assert_uint_eq(fake.uses, 0);
	ck_assert_ptr_nonnull(strstr(kms_client_problem(client, text, sizeof(text)), "pins"));
}
END_TEST

START_TEST(a_clear_answer_of_another_wrapped_key_is_refused)
{
	KMS_AUTO(kms_data_key) made = NULL;
	fake.other_wrapped = true;
	ck_code(kms_datakey(client, KEY_CLEAR, context, &made), PINS);
}
END_TEST

/* ---- sessions ---- */

START_TEST(one_session_serves_many_calls)
{
	for (int i = 0; i < 10; i++) {
		KMS_AUTO(kms_data_key) made = NULL;
		ck_ok(kms_datakey(client, NULL, context, &made));
	}
	ck_assert_uint_eq(fake.opened, 1);
	clock_skip_ms += CHANNEL_LIFE_MS;
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	ck_assert_uint_eq(fake.opened, 2); /* the first was worn */
}
END_TEST

START_TEST(a_lost_session_is_replaced_once)
{
	KMS_AUTO(kms_data_key) made = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	channel_free(&fake.sessions[0].channel);
	ck_ok(unwrap(made, context, &again));
	ck_assert(same(made, again));
	ck_assert_uint_eq(fake.opened, 2);
	kms_data_key_free(&again);
	fake.forget = true;
	fake.uses = 0;
	ck_code(unwrap(made, context, &again), SESSION);
	ck_assert_uint_eq(fake.uses, 2);
}
END_TEST

START_TEST(a_replayed_answer_is_no_answer)
{
	KMS_AUTO(kms_data_key) made = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	ck_ok(kms_datakey(client, NULL, context, &made));
	fake.replay = true;
	ck_code(unwrap(made, context, &again), SESSION);
}
END_TEST

/* The record is the next one of its session, and request ids begin anew with each call. */
START_TEST(an_answer_that_was_withheld_is_none_to_the_next_request)
{
	KMS_AUTO(kms_data_key) first = NULL;
	KMS_AUTO(kms_data_key) second = NULL;
	KMS_AUTO(kms_data_key) opened = NULL;
	ck_ok(kms_datakey(client, NULL, context, &first));
	ck_ok(kms_datakey(client, NULL, context, &second));
	fake.withhold = true;
	ck_code(unwrap(first, context, &opened), TIMEOUT);
	fake.withhold = false;
	fake.replay = true;
	ck_code(unwrap(second, context, &opened), SESSION);
	fake.replay = false;
	ck_ok(unwrap(second, context, &opened));
	ck_assert(same(second, opened));
}
END_TEST

START_TEST(a_token_that_is_down_is_waited_for)
{
	KMS_AUTO(kms_data_key) made = NULL;
	int64_t start = clock_skip_ms;
	const char *key = _i == 0 ? KEY : KEY_CLEAR;
	fake.problem = KMS_CODE_TOKEN_DOWN;
	fake.fail = 3;
	ck_ok(kms_datakey(client, key, context, &made));
	ck_assert_int_eq(clock_skip_ms - start, 7 * RETRY_FIRST_MS);
	kms_data_key_free(&made);
	start = clock_skip_ms;
	fake.fail = 100;
	ck_code(kms_datakey(client, key, context, &made), TOKEN_DOWN);
	ck_assert_uint_eq(fake.fail, 100 - RETRY_MAX - 1);
	ck_assert_int_lt(clock_skip_ms - start, 10 * 1000);
	/* Retry-After is kept to, or not tried at all. */
	start = clock_skip_ms;
	fake.fail = 1;
	fake.retry_after_s = 3;
	ck_ok(kms_datakey(client, key, context, &made));
	ck_assert_int_eq(clock_skip_ms - start, 3000);
	kms_data_key_free(&made);
	fake.fail = 100;
	fake.retry_after_s = 1;
	ck_code(kms_datakey(client, key, context, &made), TOKEN_DOWN);
	ck_assert_uint_eq(fake.fail, 100 - RETRY_MAX - 1);
	start = clock_skip_ms;
	fake.fail = 1;
	fake.retry_after_s = 60;
	ck_code(kms_datakey(client, key, context, &made), TOKEN_DOWN);
	ck_assert_int_eq(clock_skip_ms, start);
}
END_TEST

START_TEST(where_another_token_can_unwrap_it_is_asked_at_once)
{
	KMS_AUTO(kms_data_key) any = NULL;
	KMS_AUTO(kms_data_key) all = NULL;
	KMS_AUTO(kms_data_key) again = NULL;
	ck_ok(kms_datakey(client, KEY_ANY, context, &any));
	ck_ok(kms_datakey(client, KEY_ALL, context, &all));
	int64_t start = clock_skip_ms;
	fake.down = fake.tokens[0];
	ck_ok(unwrap(any, context, &again));
	ck_assert(same(any, again));
	ck_assert_int_eq(clock_skip_ms, start);
	kms_data_key_free(&again);
	ck_code(unwrap(all, context, &again), TOKEN_DOWN);
	ck_assert_ptr_null(again);
}
END_TEST

static void *unwrap_often(void *arg)
{
	for (int i = 0; i < 20; i++) {
		KMS_AUTO(kms_data_key) again = NULL;
		if (!kms_is_ok(unwrap(arg, context, &again)) || !same(arg, again)) {
			return NULL;
		}
	}
	return arg;
}

START_TEST(threads_share_a_client)
{
	enum { THREADS = 8 };
	pthread_t threads[THREADS];
	KMS_AUTO(kms_data_key) made = NULL;
	ck_ok(kms_datakey(client, every_key[_i], context, &made));
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, unwrap_often, made), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *good = NULL;
		ck_assert_int_eq(pthread_join(threads[i], &good), 0);
		ck_assert_ptr_nonnull(good);
	}
	ck_assert_uint_le(fake.opened, 2 * SEALED_SESSIONS);
}
END_TEST

/* ---- files ---- */

static void write_plain(size_t len)
{
	KMS_AUTO_FREE uint8_t *bytes = malloc(len);
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	}
	ck_ok(kms_file_write("plain", (struct kms_bytes){bytes, len}, 0600));
}

static void check_same(const char *a, const char *b)
{
	KMS_AUTO_BUF one = {0};
	KMS_AUTO_BUF two = {0};
	ck_ok(kms_file_read(a, (size_t)1 << 22, &one));
	ck_ok(kms_file_read(b, (size_t)1 << 22, &two));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&one), kms_buf_bytes(&two)));
}

static uint64_t done_seen;
static uint64_t total_seen;

static kms_err note_progress(void *arg, uint64_t done, uint64_t total)
{
	done_seen = done;
	total_seen = total;
	return arg == NULL ? KMS_OK : KMS_ERR(TIMEOUT);
}

START_TEST(a_file_goes_there_and_back)
{
	static const size_t sizes[] = {0, 1, 65536, 65537, 1000000};
	struct kms_file_options options = {.progress = note_progress};
	write_plain(sizes[_i]);
	ck_ok(kms_encrypt_file(client, NULL, context, "plain", "sealed", &options));
	ck_assert_uint_eq(total_seen, sizes[_i]);
	done_seen = total_seen = 0;
	ck_ok(kms_decrypt_file(client, context, "sealed", "back", &options));
	ck_assert_uint_eq(total_seen, sizes[_i]);
	ck_assert_uint_eq(done_seen, sizes[_i]);
	check_same("plain", "back");
	/* never over what is there, unless asked to */
	ck_code(kms_decrypt_file(client, context, "sealed", "back", NULL), EXISTS);
	options.force = true;
	ck_ok(kms_decrypt_file(client, context, "sealed", "back", &options));
	check_same("plain", "back");
}
END_TEST

START_TEST(a_wrong_context_writes_nothing)
{
	char text[128];
	write_plain(100000);
	ck_ok(kms_encrypt_file(client, NULL, context, "plain", "sealed", NULL));
	unsigned before = fake.uses;
	ck_code(kms_decrypt_file(client, other, "sealed", "back", NULL), CONTEXT);
	ck_assert_str_eq(kms_client_problem(client, text, sizeof(text)),
		"the file was made with the context volume=vol-1");
	ck_code(kms_decrypt_file(client, NULL, "sealed", "back", NULL), CONTEXT);
	ck_code(kms_rewrap_file(client, other, "sealed"), CONTEXT);
	ck_assert_uint_eq(fake.uses, before);
	ck_assert_int_ne(access("back", F_OK), 0);
}
END_TEST

START_TEST(what_fails_leaves_no_file)
{
	struct kms_file_options options = {.progress = note_progress, .progress_arg = directory};
	write_plain(1000000);
	ck_code(kms_encrypt_file(client, NULL, context, "plain", "sealed", &options), TIMEOUT);
	ck_code(kms_encrypt_file(client, NULL, context, "none", "sealed", NULL), IO);
	fake.problem = KMS_CODE_DENIED;
	fake.fail = 1;
	ck_code(kms_encrypt_file(client, NULL, context, "plain", "sealed", NULL), DENIED);
	ck_assert_int_ne(access("sealed", F_OK), 0);
	ck_ok(kms_encrypt_file(client, NULL, context, "plain", "sealed", NULL));
	ck_assert_int_eq(truncate("sealed", 900000), 0);
	ck_code(kms_decrypt_file(client, context, "sealed", "back", NULL), TRUNCATED);
	ck_code(kms_decrypt_file(client, context, "plain", "back", NULL), FORMAT);
	ck_assert_int_ne(access("back", F_OK), 0);
}
END_TEST

START_TEST(a_file_is_rewrapped_in_place)
{
	KMS_AUTO_FREE uint8_t *wrapped = NULL;
	char id[KMS_KEY_ID_TEXT];
	uint32_t version;
	size_t len;
	write_plain(70000);
	ck_ok(kms_encrypt_file(client, NULL, context, "plain", "sealed", NULL));
	fake.version = 2;
	ck_ok(kms_rewrap_file(client, context, "sealed"));
	ck_ok(kms_file_wrapped("sealed", &wrapped, &len));
	ck_ok(kms_wrapped_info(wrapped, len, id, &version));
	ck_assert_str_eq(id, KEY);
	ck_assert_uint_eq(version, 2);
	ck_ok(kms_decrypt_file(client, context, "sealed", "back", NULL));
	check_same("plain", "back");
}
END_TEST

static void add_keys(Suite *suite)
{
	TCase *keys = tcase_create("keys");
	tcase_set_timeout(keys, 60);
	tcase_add_checked_fixture(keys, setup, teardown);
	tcase_add_loop_test(keys, a_data_key_comes_back, 0, 4);
	tcase_add_loop_test(keys, a_key_of_ones_own_is_wrapped_and_rewrapped, 0, 4);
	tcase_add_test(keys, many_go_in_one_request);
	tcase_add_loop_test(keys, large_contexts_go_in_more_requests, 0, 2);
	tcase_add_loop_test(keys, a_refused_item_does_not_take_the_others_along, 0, 4);
	tcase_add_test(keys, a_call_that_fails_fails_its_items);
	tcase_add_loop_test(keys, what_is_not_as_pinned_is_refused, 0, 4);
	tcase_add_test(keys, another_token_or_order_is_refused);
	tcase_add_test(keys, a_key_without_pins_is_refused);
	tcase_add_test(keys, a_session_with_another_certificate_is_refused);
	tcase_add_test(keys, a_clear_answer_of_another_wrapped_key_is_refused);
	suite_add_tcase(suite, keys);
}

static void add_sessions_and_files(Suite *suite)
{
	TCase *sessions = tcase_create("sessions");
	TCase *files = tcase_create("files");
	tcase_set_timeout(sessions, 60);
	tcase_add_checked_fixture(sessions, setup, teardown);
	tcase_add_test(sessions, one_session_serves_many_calls);
	tcase_add_test(sessions, a_lost_session_is_replaced_once);
	tcase_add_test(sessions, a_replayed_answer_is_no_answer);
	tcase_add_test(sessions, an_answer_that_was_withheld_is_none_to_the_next_request);
	tcase_add_loop_test(sessions, a_token_that_is_down_is_waited_for, 0, 2);
	tcase_add_test(sessions, where_another_token_can_unwrap_it_is_asked_at_once);
	tcase_add_loop_test(sessions, threads_share_a_client, 0, 4);
	suite_add_tcase(suite, sessions);
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_loop_test(files, a_file_goes_there_and_back, 0, 5);
	tcase_add_test(files, a_wrong_context_writes_nothing);
	tcase_add_test(files, what_fails_leaves_no_file);
	tcase_add_test(files, a_file_is_rewrapped_in_place);
	suite_add_tcase(suite, files);
}

int main(void)
{
	Suite *suite = suite_create("client_keys");
	add_keys(suite);
	add_sessions_and_files(suite);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
