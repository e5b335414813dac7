/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A double of kmsd that speaks to a real kms-tokend, and the client whose sealed bytes it carries.
 * Each test has a copy of the house and a kms-tokend of its own. The client says inside, and the
 * double outside, what a struct ask holds: a test changes one of the two.
 */
#ifndef MALICE_HOUSE_H
#define MALICE_HOUSE_H

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "crypto.h"
#include "format.h"
#include "toklink.h"
#include "tokmsg.h"

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

#define TENANT "77777777-7777-4777-8777-777777777777"
enum { ITEMS = 3, WAIT_MS = 10000 };

static char pristine[64]; /* made once */
static char dir[128];     /* this test's copy, and the working directory */
static pid_t tokend;
static struct toklink *link_to;
static struct tokmsg question; /* the next one */
static struct tokmsg answer;   /* the last one; what it borrows lives until the next */
static struct kms_id tenant, token;
static struct kms_buf context; /* canonical */

static inline void shell(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

/* ---- the house ---- */

static inline void house_make(void)
{
	char command[1024];
	(void)strcpy(pristine, "/tmp/kms-malice-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(pristine));
	ck_assert_int_eq(chmod(pristine, 0755), 0); /* kms-tokend's user has to get through */
	(void)snprintf(command, sizeof(command),
		"mkdir %s/house && \"$KMS_SOURCE/tests/flow/malice-house\" %s/house " TENANT
		" " CRYPTO_PURPOSE_STORAGE,
		pristine, pristine);
	/* kms-tokend cannot be traced, which LeakSanitizer would need. */
	ck_assert_int_eq(setenv("ASAN_OPTIONS", "detect_leaks=0", 1), 0);
	shell(command);
}

static inline void house_remove(void)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s", pristine);
	shell(command);
}

/* The value of a line "name: value" or "name: 'value'" of a pins file. */
static inline void house_pin(const char *path, const char *name, char ret_value[512])
{
	char line[1024];
	size_t len = strlen(name);
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	do {
		ck_assert_msg(fgets(line, sizeof(line), file) != NULL, "%s: no %s", path, name);
	} while (strncmp(line, name, len) != 0 || line[len] != ':');
	(void)fclose(file);
	const char *value = line + len + 2 + (line[len + 2] == '\'' ? 1 : 0);
	(void)snprintf(ret_value, 512, "%.*s", (int)strcspn(value, "'\n"), value);
}

static inline void sleep_ms(long ms)
{
	const struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
	(void)nanosleep(&wait, NULL);
}

/* ---- kms-tokend ---- */

static inline void tokend_exec(const char *owner_file)
{
	char program[512];
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(program, sizeof(program), "%s/kmsd/tokend/kms-tokend", getenv("KMS_BUILD"));
	int log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	(void)dup2(log, 2);
	(void)execl(program, program, "--config", owner_file, "--log-level", "debug", (char *)NULL);
	_exit(127);
}

static inline void tokend_stop(void)
{
	int status = 0;
	toklink_free(&link_to);
	if (tokend > 0) {
		(void)kill(tokend, SIGTERM);
		ck_assert_int_eq(waitpid(tokend, &status, 0), tokend);
		/* It lived until now, and went when it was told to. */
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
			"kms-tokend ended with %d", status);
	}
	tokend = 0;
}

/* name: "acme" or "system"; file: one of its owner's files. */
static inline void tokend_start(const char *name, const char *file)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/%s", name, file);
	tokend_stop();
	tokend = fork();
	ck_assert_int_ge(tokend, 0);
	if (tokend == 0) {
		tokend_exec(path);
	}
	(void)snprintf(path, sizeof(path), "%s/s", name);
	kms_err err = KMS_ERR(TOKEN_DOWN);
	for (int i = 0; i < WAIT_MS / 10 && !kms_is_ok(err); i++) {
		sleep_ms(10);
		ck_assert_int_eq(waitpid(tokend, NULL, WNOHANG), 0);
		err = toklink_connect(path, &link_to);
	}
	ck_ok(err);
}

static inline void reconnect(void)
{
	toklink_free(&link_to);
	ck_ok(toklink_connect("acme/s", &link_to));
}

/* The question and its answer, which must be to it. */
static inline kms_err tell(enum tokmsg_type type)
{
	question.type = type;
	question.id++;
	tokmsg_clear(&answer);
	KMS_TRY(toklink_send(link_to, &question, WAIT_MS));
	KMS_TRY(toklink_receive(link_to, WAIT_MS, &answer));
	ck_assert(answer.is_answer && answer.id == question.id && answer.type == type);
	return (kms_err){answer.code};
}

static inline uint64_t used(void)
{
	ck_ok(tell(TOKMSG_HELLO));
	return answer.u.hello.used;
}

/* ---- keys ---- */

/* A first version that kmsd may well ask for. */
static inline struct model_bear birth_of(enum model_delivery delivery)
{
	struct model_bear birth = {
		.tenant = tenant,
		.version = 1,
		.custody = MODEL_CUSTODY_ANY,
		.delivery = delivery,
		.token_count = 1,
		.tokens = {token},
	};
	ck_ok(kms_id_random(&birth.kek));
	ck_ok(kms_id_random(&birth.key));
	return birth;
}

static inline kms_err bear(const struct model_bear *birth)
{
	question.u.kek_bear = *birth;
	return tell(TOKMSG_KEK_BEAR);
}

static inline kms_err about_kek(enum tokmsg_type type, const struct kms_id *kek)
{
	question.u.kek = *kek;
	return tell(type);
}

static inline struct model_bear key_new(enum model_delivery delivery)
{
	struct model_bear birth = birth_of(delivery);
	ck_ok(bear(&birth));
	ck_ok(about_kek(TOKMSG_KEK_COMMIT, &birth.kek));
	return birth;
}

/* ---- a client ---- */

struct client {
	struct channel *channel;
	struct kms_hash spki;
	struct kms_id session;
	struct kms_buf flight; /* goes before the first message */
};

/* With the certificate name.pem, through the double, to the pinned token. */
static inline void client_open(struct client *client, const char *name)
{
	char cert[64], key[64], pin[512];
	struct kms_hash server;
	KMS_AUTO(channel_identity) identity = NULL;
	KMS_AUTO_BUF hello = {0};
	*client = (struct client){0};
	(void)snprintf(cert, sizeof(cert), "%s.pem", name);
	(void)snprintf(key, sizeof(key), "%s.key", name);
	house_pin("acme/token/pins.yaml", "session_spki", pin);
	ck_ok(kms_hash_parse(pin, &server));
	ck_ok(channel_identity_read(cert, key, &identity));
	ck_ok(channel_identity_spki(identity, &client->spki));
	ck_ok(channel_new_client(identity, &server, &client->channel));
	ck_ok(channel_step(client->channel, (struct kms_bytes){0}, &hello));
	question.u.flight = kms_buf_bytes(&hello);
	ck_ok(tell(TOKMSG_SESSION_OPEN));
	client->session = answer.u.session_opened.session;
	ck_ok(channel_step(client->channel, answer.u.session_opened.flight, &client->flight));
}

static inline void client_close(struct client *client)
{
	question.u.session = client->session;
	ck_ok(tell(TOKMSG_SESSION_CLOSE));
	channel_free(&client->channel);
	kms_buf_free(&client->flight);
}

/* ---- one call ---- */

struct ask {
	struct client *client;
	struct format_request inside;
	struct format_item items[ITEMS];
	size_t flip; /* a byte of what is inside to change after it was written; 0: none */
	struct tokmsg_call outside;
	struct model_call_item outer[ITEMS];
	/* what came back */
	enum kms_code codes[ITEMS];
	struct format_slot slots[ITEMS];
	uint8_t keys[ITEMS][LIMIT_DATA_KEY_BYTES];
};

/* An honest one: data keys under that key, inside and outside alike. */
static inline void ask_make(
	struct ask *ask, struct client *client, const struct model_bear *key, uint32_t count)
{
	*ask = (struct ask){.client = client};
	ask->inside = (struct format_request){
		.op = MODEL_OP_DATAKEY, .id = 7, .key = key->key, .count = count};
	ask->outside = (struct tokmsg_call){.session = client->session,
		.op = MODEL_OP_DATAKEY,
		.principal = client->spki,
		.key = key->key,
		.count = count};
	for (uint32_t i = 0; i < count; i++) {
		struct format_item *item = &ask->items[i];
		item->head = (struct format_head){
			.custody = key->custody, .delivery = key->delivery, .key = key->key};
		ck_ok(kms_id_random(&item->head.wrapped_key));
		ck_ok(format_context_hash(kms_buf_bytes(&context), &item->head.context));
		item->context = kms_buf_bytes(&context);
		item->token_count = key->token_count;
		memcpy(item->tokens, key->tokens, sizeof(item->tokens));
		ask->outer[i].wrapped_key = item->head.wrapped_key;
		ask->outer[i].context = item->head.context;
	}
}

/* The same items again: what was made is now opened, or rewrapped. */
static inline void ask_again(struct ask *ask, enum model_op op)
{
	ask->inside.op = op;
	ask->outside.op = op;
	for (uint32_t i = 0; i < ask->inside.count; i++) {
		ask->items[i].slot = ask->slots[i];
	}
}

static inline void ask_seal(struct ask *ask, struct kms_buf *ret_record)
{
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO_BUF sealed = {0};
	KMS_AUTO_WRITER record = kms_writer_grow(LIMIT_TOKMSG_BYTES);
	ask->inside.items = ask->items;
	ck_ok(format_request_write(&ask->inside, &message));
	if (ask->flip != 0) {
		kms_secret_ptr(message)[ask->flip] ^= 1;
	}
	ck_ok(channel_seal(ask->client->channel, kms_secret_bytes(message), &sealed));
	kms_write_bytes(&record, kms_buf_bytes(&ask->client->flight));
	kms_write_bytes(&record, kms_buf_bytes(&sealed));
	kms_buf_free(&ask->client->flight);
	ck_ok(kms_writer_take(&record, ret_record));
}

static inline void ask_take(struct ask *ask, const struct format_answer *inside)
{
	for (uint32_t i = 0; i < inside->count; i++) {
		const struct format_answer_item *item = &inside->items[i];
		ask->codes[i] = item->code;
		ck_assert_int_eq(item->code, answer.u.answered->codes[i]);
		if (item->code == KMS_CODE_OK && inside->op != MODEL_OP_UNWRAP) {
			ask->slots[i] = item->slot;
		}
		if (item->code == KMS_CODE_OK && item->data_key_bytes.ptr != NULL) {
			memcpy(ask->keys[i], item->data_key_bytes.ptr, sizeof(ask->keys[i]));
		}
	}
}

/* Carry a record with what the double says outside of it. */
static inline kms_err ask_carry(struct ask *ask, const struct kms_buf *record)
{
	KMS_AUTO(kms_secret) message = NULL;
	KMS_AUTO(format_answer) inside = NULL;
	question.u.call = ask->outside;
	question.u.call.items = ask->outer;
	question.u.call.record = kms_buf_bytes(record);
	KMS_TRY(tell(TOKMSG_CALL));
	ck_ok(channel_open(ask->client->channel, answer.u.answered->record, &message));
	ck_ok(format_answer_read(kms_secret_bytes(message), &inside));
	ck_assert_int_eq(inside->op, ask->inside.op);
	ck_assert_uint_eq(inside->count, ask->inside.count);
	ask_take(ask, inside);
	return KMS_OK;
}

static inline kms_err ask_send(struct ask *ask)
{
	KMS_AUTO_BUF record = {0};
	ask_seal(ask, &record);
	return ask_carry(ask, &record);
}

/* ---- what each refusal leaves as it was ---- */

/* An honest client gets a data key under that key and opens it again: two uses. */
static inline void serves_key(const struct model_bear *key, const char *certificate)
{
	struct client client;
	static struct ask ask;
	uint8_t made[LIMIT_DATA_KEY_BYTES];
	uint64_t before = used();
	client_open(&client, certificate);
	ask_make(&ask, &client, key, 1);
	ck_ok(ask_send(&ask));
	ck_assert_int_eq(ask.codes[0], KMS_CODE_OK);
	memcpy(made, ask.keys[0], sizeof(made));
	memset(ask.keys[0], 0, sizeof(ask.keys[0]));
	ask_again(&ask, MODEL_OP_UNWRAP);
	ck_ok(ask_send(&ask));
	ck_assert_int_eq(ask.codes[0], KMS_CODE_OK);
	ck_assert_mem_eq(made, ask.keys[0], sizeof(made));
	client_close(&client);
	ck_assert_uint_eq(used(), before + 2);
}

/* Refused as a whole, by that name: nothing counted, and the next one is served. */
static inline void refused(struct ask *ask, const struct model_bear *good, const char *reason)
{
	uint64_t before = used();
	ck_code(ask_send(ask), TOKEN_REFUSED);
	ck_assert_str_eq(answer.reason, reason);
	ck_assert_uint_eq(used(), before);
	serves_key(good, "storage");
}

/* Each item refused, with that code. */
static inline void items_refused(struct ask *ask, const struct model_bear *good, enum kms_code code)
{
	uint64_t before = used();
	ck_ok(ask_send(ask));
	for (uint32_t i = 0; i < ask->inside.count; i++) {
		ck_assert_msg(ask->codes[i] == code, "item %u: %s, not %s", i,
			kms_err_name((kms_err){ask->codes[i]}), kms_err_name((kms_err){code}));
	}
	ck_assert_uint_eq(used(), before);
	serves_key(good, "storage");
}

/* ---- fixtures ---- */

static inline void copy_make(void)
{
	char command[256], pin[512];
	struct model_context *pairs KMS_AUTO_FREE = calloc(1, sizeof(*pairs));
	(void)snprintf(dir, sizeof(dir), "%s/%d", pristine, (int)getpid());
	(void)snprintf(command, sizeof(command), "cp -a %s/house %s", pristine, dir);
	shell(command);
	ck_assert_int_eq(chdir(dir), 0);
	ck_ok(kms_id_parse(TENANT, &tenant));
	house_pin("acme/token/pins.yaml", "token", pin);
	ck_ok(kms_id_parse(pin, &token));
	ck_ok(model_context_add(pairs, "purpose", "archive"));
	ck_ok(format_context_write(pairs, &tenant, &context));
}

static inline void copy_remove(void)
{
	tokend_stop();
	tokmsg_clear(&answer);
	kms_buf_free(&context);
	ck_assert_int_eq(chdir("/"), 0);
	char command[256];
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	shell(command);
}

#endif
