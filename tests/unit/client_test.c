/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libkms: what a profile may say, what a context may hold, and what management sends and takes.
 * The HTTP layer is a double here: it notes the request and gives a canned answer.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_int.h"

#define ck_ok(expr)                                                                                \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(kms_is_ok(ck_err_), "%s: %s", #expr, kms_err_text(ck_err_));         \
	} while (0)
#define ck_code(expr, name)                                                                        \
	do {                                                                                       \
		kms_err ck_err_ = (expr);                                                          \
		ck_assert_msg(ck_err_.code == KMS_CODE_##name, "%s: %s, not " #name, #expr,        \
			kms_err_name(ck_err_));                                                    \
	} while (0)

/* ---- the double ---- */

static struct {
	unsigned calls;
	char line[512]; /* "METHOD URL TARGET" of the last call */
	char body[1024];
	unsigned status;
	const char *answer;
} seen;

kms_err http_new(const struct profile *profile, struct http **ret_http)
{
	(void)profile;
	*ret_http = NULL;
	return KMS_OK;
}

void http_free(struct http **http)
{
	(void)http;
}

void http_answer_free(struct http_answer *answer)
{
	kms_buf_free(&answer->plain);
}

struct kms_bytes http_answer_body(const struct http_answer *answer)
{
	return kms_buf_bytes(&answer->plain);
}

kms_err http_call(struct http *http, const struct http_call *call, struct http_answer *answer)
{
	(void)http;
	seen.calls++;
	(void)snprintf(
		seen.line, sizeof(seen.line), "%s %s%s", call->method, call->url, call->target);
	(void)snprintf(seen.body, sizeof(seen.body), "%.*s", (int)call->body.len,
		call->body.len == 0 ? "" : (const char *)call->body.ptr);
	answer->status = seen.status;
	return kms_buf_copy(kms_bytes_str(seen.answer), &answer->plain);
}

/* ---- fixture ---- */

#define ID_1 "11111111-1111-4111-8111-111111111111"
#define ID_2 "22222222-2222-4222-8222-222222222222"
#define HASH_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define HASH_2 "2222222222222222222222222222222222222222222222222222222222222222"
#define WHO "server_ca: a.pem\ncertificate: a.pem\nkey: a.key\ntenant: " ID_1 "\n"
#define TOKEN_1 "    - id: " ID_1 "\n      session_spki: " HASH_1 "\n"
#define TOKEN_2 "    - id: " ID_2 "\n      session_spki: " HASH_2 "\n"
#define SEALED "  custody: any\n  delivery: sealed\n  tokens:\n"
#define PINS "pins:\n" SEALED TOKEN_1
#define URLS "data_url: https://kmsd.example:8443\nadmin_url: https://[::1]:8444\n"

static char directory[64];

static void setup(void)
{
	(void)strcpy(directory, "/tmp/kms-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
	ck_assert_int_eq(system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
				"-nodes -days 2 -subj /CN=a -keyout a.key -out a.pem 2>/dev/null"),
		0);
	ck_ok(kms_secret_init());
	seen.status = 200;
	seen.answer = "{}";
}

static void teardown(void)
{
	ck_assert_int_eq(system("rm -f ./*"), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

static kms_err open_profile(const char *yaml, struct kms_client **ret_client)
{
	ck_ok(kms_file_write("profile.yaml", kms_bytes_str(yaml), 0600));
	return kms_client_open("profile.yaml", ret_client);
}

/* ---- profile ---- */

START_TEST(a_whole_profile_is_read)
{
	KMS_AUTO(kms_client) client = NULL;
	struct pins pins;
	struct kms_id one, two;
	ck_ok(kms_id_parse(ID_1, &one));
	ck_ok(kms_id_parse(ID_2, &two));
	ck_ok(open_profile(URLS WHO
		"default_key: " ID_2 "\n" PINS "key_pins:\n  " ID_2
		":\n    custody: all\n    delivery: clear\n    tokens:\n" TOKEN_2 TOKEN_1,
		&client));
	ck_ok(profile_pins(client->profile, &one, &pins));
	ck_assert(kms_id_equal(&pins.key.id, &one) && pins.key.token_count == 1);
	ck_assert_int_eq(pins.key.custody, MODEL_CUSTODY_ANY);
	ck_assert_int_eq(pins.key.delivery, MODEL_DELIVERY_SEALED);
	ck_ok(profile_pins(client->profile, &two, &pins));
	ck_assert(kms_id_equal(&pins.key.id, &two) && pins.key.token_count == 2);
	ck_assert_int_eq(pins.key.custody, MODEL_CUSTODY_ALL);
	ck_assert_int_eq(pins.key.delivery, MODEL_DELIVERY_CLEAR);
	ck_assert(kms_id_equal(&pins.key.tokens[0], &two));
	ck_assert(kms_id_equal(&client->profile->tokens[pins.token[0]].id, &two));
	ck_assert_uint_eq(client->profile->token_count, 2);
}
END_TEST

static const struct {
	const char *why;
	const char *yaml;
} refused[] = {
	{"no address", WHO PINS},
	{"not https", "data_url: http://h\n" WHO PINS},
	{"a path", "data_url: https://h/v1\n" WHO PINS},
	{"a user", "data_url: https://u@h\n" WHO PINS},
	{"no host", "data_url: https://\n" WHO PINS},
	{"no CA", URLS "certificate: a.pem\nkey: a.key\n"},
	{"a misspelt key", URLS WHO "pin:\n" SEALED TOKEN_1},
	{"no tenant", URLS "server_ca: a.pem\ncertificate: a.pem\nkey: a.key\n" PINS},
	{"no custody", URLS WHO "pins:\n  delivery: sealed\n  tokens:\n" TOKEN_1},
	{"a strange custody",
		URLS WHO "pins:\n  custody: one\n  delivery: sealed\n  tokens:\n" TOKEN_1},
	{"no delivery", URLS WHO "pins:\n  custody: any\n  tokens:\n" TOKEN_1},
	{"no tokens", URLS WHO "pins:\n  custody: any\n  delivery: sealed\n  tokens: []\n"},
	{"a token twice", URLS WHO PINS TOKEN_1},
	{"one token, two certificates", URLS WHO PINS
		"key_pins:\n  " ID_2 ":\n    custody: any\n    delivery: sealed\n"
		"    tokens:\n      - id: " ID_1 "\n        session_spki: " HASH_2 "\n"},
	{"a token without certificate", URLS WHO "pins:\n" SEALED "    - id: " ID_1 "\n"},
	{"pins of no key", URLS WHO "key_pins:\n  my-key:\n  " SEALED TOKEN_1},
};

START_TEST(a_profile_that_is_not_right_is_refused)
{
	KMS_AUTO(kms_client) client = NULL;
	kms_err err = open_profile(refused[_i].yaml, &client);
	ck_assert_msg(kms_is(err, KMS_CODE_CONFIG), "%s: %s", refused[_i].why, kms_err_name(err));
	ck_assert_ptr_null(client);
}
END_TEST

START_TEST(a_key_that_others_can_read_is_refused)
{
	KMS_AUTO(kms_client) client = NULL;
	ck_assert_int_eq(chmod("a.key", 0640), 0);
	ck_code(open_profile(URLS WHO PINS, &client), CONFIG);
	ck_assert_int_eq(chmod("a.key", 0600), 0);
	ck_ok(open_profile(URLS WHO PINS, &client));
}
END_TEST

/* count tokens: four in the tenant's pins, the others in those of single keys. */
static kms_err open_tokens(unsigned in_pins, unsigned count)
{
	KMS_AUTO_WRITER yaml = kms_writer_grow(64 * 1024);
	KMS_AUTO(kms_client) client = NULL;
	kms_write_text(&yaml, URLS WHO "pins:\n" SEALED);
	for (unsigned i = 0; i < count; i++) {
		if (i == in_pins) {
			kms_write_text(&yaml, "key_pins:\n");
		}
		if (i >= in_pins && (i - in_pins) % LIMIT_CUSTODY_TOKENS == 0) {
			kms_write_format(&yaml,
				"  33333333-3333-4333-8333-%012u:\n    custody: any\n"
				"    delivery: sealed\n    tokens:\n",
				i);
		}
		kms_write_format(&yaml,
			"      - id: 44444444-4444-4444-8444-%012u\n        session_spki: " HASH_1
			"\n",
			i);
	}
	kms_write_u8(&yaml, '\0');
	ck_assert_int_eq(yaml.failed, KMS_CODE_OK);
	return open_profile((const char *)yaml.ptr, &client);
}

START_TEST(tokens_are_limited)
{
	ck_ok(open_tokens(LIMIT_CUSTODY_TOKENS, LIMIT_CUSTODY_TOKENS));
	ck_code(open_tokens(LIMIT_CUSTODY_TOKENS + 1, LIMIT_CUSTODY_TOKENS + 1), CONFIG);
	ck_ok(open_tokens(LIMIT_CUSTODY_TOKENS, PROFILE_TOKENS_MAX));
	ck_code(open_tokens(LIMIT_CUSTODY_TOKENS, PROFILE_TOKENS_MAX + 1), CONFIG);
}
END_TEST

static kms_err open_keys(unsigned count)
{
	KMS_AUTO_WRITER yaml = kms_writer_grow(CONFIG_FILE_MAX);
	KMS_AUTO(kms_client) client = NULL;
	kms_write_text(&yaml, URLS WHO "key_pins:\n");
	for (unsigned i = 0; i < count; i++) {
		kms_write_format(&yaml,
			"  33333333-3333-4333-8333-%012u: {custody: any, delivery: sealed, "
			"tokens: [{id: " ID_1 ", session_spki: " HASH_1 "}]}\n",
			i);
	}
	kms_write_u8(&yaml, '\0');
	ck_assert_int_eq(yaml.failed, KMS_CODE_OK);
	return open_profile((const char *)yaml.ptr, &client);
}

START_TEST(keys_with_pins_are_limited)
{
	ck_ok(open_keys(PROFILE_KEYS_MAX));
	ck_code(open_keys(PROFILE_KEYS_MAX + 1), CONFIG);
}
END_TEST

/* ---- context ---- */

START_TEST(a_context_holds_what_binds)
{
	KMS_AUTO(kms_context) context = NULL;
	char text[LIMIT_CONTEXT_VALUE + 2];
	ck_ok(kms_context_new(&context));
	ck_ok(kms_context_add(context, "dataset", "\xe6\x96\x87\xe6\x9b\xb8"));
	ck_code(kms_context_add(context, "dataset", "again"), EXISTS);
	ck_code(kms_context_add(context, "tenant", ID_1), ARGUMENT);
	ck_code(kms_context_add(context, "Dataset", "x"), ARGUMENT);
	ck_code(kms_context_add(context, "", "x"), ARGUMENT);
	ck_code(kms_context_add(context, "a", "line\nbreak"), ARGUMENT);
	memset(text, 'x', sizeof(text));
	text[LIMIT_CONTEXT_VALUE + 1] = '\0';
	ck_code(kms_context_add(context, "long", text), TOO_LARGE);
	text[LIMIT_CONTEXT_VALUE] = '\0';
	ck_ok(kms_context_add(context, "long", text));
	for (int i = 2; i < LIMIT_CONTEXT_PAIRS; i++) {
		(void)snprintf(text, sizeof(text), "n%d", i);
		ck_ok(kms_context_add(context, text, ""));
	}
	ck_code(kms_context_add(context, "more", "x"), TOO_LARGE);
}
END_TEST

/* ---- management ---- */

START_TEST(management_sends_what_it_was_given)
{
	KMS_AUTO(kms_client) client = NULL;
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO_FREE char *page_json = NULL;
	KMS_AUTO_FREE char *made = NULL;
	const char *tokens[] = {ID_2};
	const struct kms_page page = {.after = ID_2, .limit = 7};
	struct kms_key_create create = {"archive", KMS_CUSTODY_ANY, KMS_DELIVERY_SEALED, tokens, 1};
	ck_ok(open_profile(URLS WHO, &client)); /* management needs no pins */
	seen.answer = "{\"said\":\"as it came\"}";
	ck_ok(kms_admin_key_show(client, ID_1, &json));
	ck_assert_str_eq(json, seen.answer);
	ck_assert_str_eq(seen.line, "GET https://[::1]:8444/v1/keys/" ID_1);
	ck_ok(kms_admin_key_list(client, &page, &page_json));
	ck_assert_str_eq(seen.line, "GET https://[::1]:8444/v1/keys?after=" ID_2 "&limit=7");
	ck_ok(kms_admin_key_create(client, &create, &made));
	ck_assert_str_eq(seen.line, "POST https://[::1]:8444/v1/keys");
	ck_assert_str_eq(seen.body, "{\"custody\":\"any\",\"delivery\":\"sealed\","
				    "\"label\":\"archive\",\"tokens\":[\"" ID_2 "\"]}");
}
END_TEST

START_TEST(management_checks_before_it_sends)
{
	KMS_AUTO(kms_client) client = NULL;
	char *json = NULL;
	const char *tokens[] = {ID_1, ID_1, ID_1, ID_1, ID_1};
	struct kms_key_create create = {"a", KMS_CUSTODY_ANY, KMS_DELIVERY_SEALED, tokens, 5};
	struct kms_dataset_add add = {
		.key_id = ID_1, .label = "x", .medium = "y", .country = "JPN"};
	ck_ok(open_profile(URLS WHO, &client));
	ck_code(kms_admin_key_show(client, "../" ID_1, &json), ARGUMENT);
	ck_code(kms_admin_key_show(client, NULL, &json), ARGUMENT);
	ck_code(kms_admin_key_create(client, &create, &json), TOO_LARGE);
	create.token_count = 0;
	ck_code(kms_admin_key_create(client, &create, &json), ARGUMENT);
	create.token_count = 1;
	create.custody = 0;
	ck_code(kms_admin_key_create(client, &create, &json), ARGUMENT);
	ck_code(kms_admin_dataset_add(client, &add, &json), TOO_LARGE);
	ck_assert_uint_eq(seen.calls, 0);
	ck_assert_ptr_null(json);
}
END_TEST

START_TEST(erasures_send_what_they_were_given)
{
	KMS_AUTO(kms_client) client = NULL;
	KMS_AUTO_FREE char *planned = NULL;
	KMS_AUTO_FREE char *requested = NULL;
	KMS_AUTO_FREE char *cancelled = NULL;
	KMS_AUTO_FREE char *saved = NULL;
	const uint32_t versions[] = {1, 2};
	const uint8_t signature[MODEL_SIGNATURE] = {0};
	const struct kms_erase_plan plan = {KMS_ERASE_VERSIONS, ID_1, versions, 2, 0, 60, 3600};
	ck_ok(open_profile(URLS WHO, &client));
	seen.answer = "{\"said\":\"as it came\"}";
	ck_ok(kms_admin_erase_plan(client, &plan, &planned));
	ck_assert_str_eq(seen.line, "POST https://[::1]:8444/v1/erasures/plan");
	ck_assert_str_eq(seen.body, "{\"scope\":\"versions\",\"subject\":\"" ID_1
				    "\",\"valid_s\":3600,\"versions\":[1,2],\"window_s\":60,"
				    "\"wipe\":false}");
	ck_ok(kms_admin_erase_request(client, (const uint8_t *)"bytes", 5, (const uint8_t *)"cert",
		4, signature, &requested));
	ck_assert_str_eq(seen.line, "POST https://[::1]:8444/v1/erasures");
	ck_assert_ptr_nonnull(strstr(seen.body, "\"bytes\":\"Ynl0ZXM=\""));
	ck_ok(kms_admin_erase_sign(
		client, ID_1, 1, (const uint8_t *)"spki", 4, signature, &cancelled));
	ck_assert_str_eq(seen.line, "POST https://[::1]:8444/v1/erasures/" ID_1 "/cancel");
	ck_ok(kms_admin_erase_certificate(client, ID_1, &saved));
	ck_assert_str_eq(seen.line, "GET https://[::1]:8444/v1/erasures/" ID_1 "/certificate");
}
END_TEST

START_TEST(erasures_are_checked_before_they_are_sent)
{
	KMS_AUTO(kms_client) client = NULL;
	char *json = NULL;
	static uint32_t versions[LIMIT_ERASE_VERSIONS + 1];
	const uint8_t signature[MODEL_SIGNATURE] = {0};
	const uint8_t *some = signature;
	const struct kms_erase_plan wrong[] = {
		{0, ID_1, NULL, 0, 0, 0, 1},                    /* no scope */
		{KMS_ERASE_TENANT + 1, ID_1, NULL, 0, 0, 0, 1}, /* past the last */
		{KMS_ERASE_VERSIONS, ID_1, NULL, 0, 0, 0, 1},   /* of none */
		{KMS_ERASE_VERSIONS, ID_1, NULL, 1, 0, 0, 1},   /* nowhere */
		{KMS_ERASE_KEY, ID_1, versions, 1, 0, 0, 1},    /* all of it, and one of it */
		{KMS_ERASE_KEY, ID_1, NULL, 0, 1, 0, 1},        /* a wipe for one key */
		{KMS_ERASE_KEY, "../" ID_1, NULL, 0, 0, 0, 1},
		{KMS_ERASE_KEY, NULL, NULL, 0, 0, 0, 1},
	};
	const struct kms_erase_plan many = {
		KMS_ERASE_VERSIONS, ID_1, versions, LIMIT_ERASE_VERSIONS + 1, 0, 0, 1};
	ck_ok(open_profile(URLS WHO, &client));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_code(kms_admin_erase_plan(client, &wrong[i], &json), ARGUMENT);
	}
	ck_code(kms_admin_erase_plan(client, NULL, &json), ARGUMENT);
	ck_code(kms_admin_erase_plan(client, &many, &json), TOO_LARGE);
	ck_code(kms_admin_erase_request(
			client, some, LIMIT_ERASE_BYTES + 1, some, 1, signature, &json),
		TOO_LARGE);
	ck_code(kms_admin_erase_request(client, some, 1, NULL, 0, signature, &json), ARGUMENT);
	ck_code(kms_admin_erase_sign(client, ID_1, 0, NULL, 0, signature, &json), ARGUMENT);
	ck_code(kms_admin_erase_sign(client, "x", 0, some, 1, signature, &json), ARGUMENT);
	ck_assert_uint_eq(seen.calls, 0);
	ck_assert_ptr_null(json);
}
END_TEST

START_TEST(a_problem_is_the_error_and_its_detail)
{
	KMS_AUTO(kms_client) client = NULL;
	char *json = NULL;
	char text[64];
	ck_ok(open_profile(URLS WHO, &client));
	seen.status = 403;
	seen.answer = "{\"detail\":\"not \x1b[31mallowed\",\"status\":403,\"title\":\"x\","
		      "\"type\":\"urn:kmsd:problem:denied\"}";
	/* JSON admits no raw control character, so this is no answer of a kmsd. */
	ck_code(kms_admin_status(client, &json), NETWORK);
	seen.answer = "{\"detail\":\"not \\u001b[31mallowed\",\"status\":403,\"title\":\"x\","
		      "\"type\":\"urn:kmsd:problem:denied\"}";
	ck_code(kms_admin_status(client, &json), DENIED);
	ck_assert_str_eq(kms_client_problem(client, text, sizeof(text)), "not  [31mallowed");
	ck_assert_str_eq(kms_client_problem(client, text, 4), "not");
	seen.status = 200;
	seen.answer = "{}";
	ck_ok(kms_admin_status(client, &json));
	free(json);
	ck_assert_str_eq(kms_client_problem(client, text, sizeof(text)), "");
	/* What is called a problem and says "ok" is none. */
	seen.status = 500;
	seen.answer = "{\"status\":500,\"title\":\"x\",\"type\":\"urn:kmsd:problem:ok\"}";
	ck_code(kms_admin_status(client, &json), NETWORK);
}
END_TEST

START_TEST(a_profile_without_that_face_says_so)
{
	KMS_AUTO(kms_client) client = NULL;
	KMS_AUTO_FREE char *json = NULL;
	struct kms_data_key *data_key = NULL;
	ck_ok(open_profile("data_url: https://h\n" WHO PINS, &client));
	ck_ok(kms_admin_status(client, &json)); /* is answered on both */
	ck_assert_str_eq(seen.line, "GET https://h/v1/status");
	ck_code(kms_admin_tenant_list(client, NULL, &json), CONFIG);
	ck_code(kms_datakey(client, NULL, NULL, &data_key), ARGUMENT); /* no default_key */
	kms_client_free(&client);
	ck_ok(open_profile("admin_url: https://h\n" WHO PINS, &client));
	ck_code(kms_datakey(client, ID_1, NULL, &data_key), CONFIG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client");
	TCase *tests = tcase_create("profile, context, management");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_whole_profile_is_read);
	tcase_add_loop_test(tests, a_profile_that_is_not_right_is_refused, 0,
		(int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tests, a_key_that_others_can_read_is_refused);
	tcase_add_test(tests, tokens_are_limited);
	tcase_add_test(tests, keys_with_pins_are_limited);
	tcase_add_test(tests, a_context_holds_what_binds);
	tcase_add_test(tests, management_sends_what_it_was_given);
	tcase_add_test(tests, management_checks_before_it_sends);
	tcase_add_test(tests, erasures_send_what_they_were_given);
	tcase_add_test(tests, erasures_are_checked_before_they_are_sent);
	tcase_add_test(tests, a_problem_is_the_error_and_its_detail);
	tcase_add_test(tests, a_profile_without_that_face_says_so);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
