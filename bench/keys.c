/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data keys and unwraps through a running kmsd, and the same requests to bench-constant. A
 * connection is a thread with a client of its own, as one storage node has it: kept HTTPS
 * connection, and where sealed, one kept session to kms-tokend.
 *
 *	bench-keys SEALED-PROFILE SEALED-KEY CLEAR-PROFILE CLEAR-KEY CONSTANT-PROFILE
 *
 * Commands: sealed-unwrap|sealed-datakey|clear-unwrap|clear-datakey|constant CONNECTIONS BATCH MS
 *           open CONNECTIONS 1 MS     a new sealed session, then one unwrap in it
 * BATCH 1 is kms_unwrap() and kms_datakey(), more are kms_unwrap_many() and kms_datakeys_many().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_int.h"
#include "lap.h"
#include "wire.h"

enum {
	LAP_MS_MAX = 60 * 1000,
	BATCH_MAX = 16,
	/* a sealed request: TLS record, and for each item its head, slot and context */
	RECORD_BYTES = 64,
	RECORD_ITEM_BYTES = 300,
};

enum where { SEALED, CLEAR, CONSTANT, WHERE_COUNT };

struct place {
	const char *profile;
	const char *key;
	struct kms_client *clients[LAP_THREADS_MAX]; /* opened when first needed */
	struct kms_data_key *keys[BATCH_MAX];        /* what is unwrapped */
};

struct bench {
	struct place places[WHERE_COUNT];
	struct kms_context *context;
	enum where where;
	unsigned batch;
};

static kms_err item_result(struct kms_item *items, unsigned count, kms_err err)
{
	for (unsigned i = 0; i < count; i++) {
		err = kms_is_ok(err) ? items[i].err : err;
		kms_data_key_free(&items[i].data_key);
	}
	return err;
}

static kms_err unwrap(void *arg, unsigned thread)
{
	struct bench *bench = arg;
	struct place *place = &bench->places[bench->where];
	struct kms_item items[BATCH_MAX] = {0};
	for (unsigned i = 0; i < bench->batch; i++) {
		items[i].context = bench->context;
		items[i].wrapped = kms_data_key_wrapped(place->keys[i], &items[i].wrapped_len);
	}
	if (bench->batch > 1) {
		return item_result(items, bench->batch,
			kms_unwrap_many(place->clients[thread], items, bench->batch));
	}
	kms_err err = kms_unwrap(place->clients[thread], items[0].wrapped, items[0].wrapped_len,
		bench->context, &items[0].data_key);
	return item_result(items, 1, err);
}

static kms_err datakey(void *arg, unsigned thread)
{
	struct bench *bench = arg;
	struct place *place = &bench->places[bench->where];
	struct kms_item items[BATCH_MAX] = {0};
	for (unsigned i = 0; i < bench->batch; i++) {
		items[i].context = bench->context;
	}
	if (bench->batch > 1) {
		return item_result(items, bench->batch,
			kms_datakeys_many(place->clients[thread], place->key, items, bench->batch));
	}
	kms_err err =
		kms_datakey(place->clients[thread], place->key, bench->context, &items[0].data_key);
	return item_result(items, 1, err);
}

/* What a client that was just started pays: the sealed handshake, and one unwrap to finish it. */
static kms_err open_session(void *arg, unsigned thread)
{
	struct bench *bench = arg;
	struct kms_client *client = bench->places[SEALED].clients[thread];
	sealed_free(&client->sealed[0]);
	KMS_TRY(sealed_new(client, &client->profile->tokens[0], &client->sealed[0]));
	return unwrap(arg, thread);
}

/* The request of a sealed unwrap, with zeros where the sealed bytes would be. */
static kms_err constant(void *arg, unsigned thread)
{
	static uint8_t record[RECORD_BYTES + BATCH_MAX * RECORD_ITEM_BYTES];
	struct bench *bench = arg;
	HTTP_AUTO_ANSWER body = {0};
	KMS_AUTO(model_answer) answer = NULL;
	struct model_item items[BATCH_MAX] = {0};
	static const struct kms_id any_id = {{1}};
	struct model_request request = {.op = MODEL_OP_UNWRAP};
	request.u.use.key = request.u.use.token = request.u.use.session = any_id;
	for (unsigned i = 0; i < bench->batch; i++) {
		items[i].wrapped_key = any_id;
		items[i].context = &bench->context->model;
	}
	request.u.use.sealed = true;
	request.u.use.record =
		(struct kms_buf){record, RECORD_BYTES + (size_t)bench->batch * RECORD_ITEM_BYTES};
	request.u.use.item_count = bench->batch;
	request.u.use.items = items;
	KMS_TRY(client_ask(bench->places[CONSTANT].clients[thread], &request, NULL, &body));
	return wire_answer_read(request.op, http_answer_body(&body), &answer);
}

static const struct row {
	const char *name;
	enum where where;
	lap_call call;
} rows[] = {
	{"sealed-unwrap", SEALED, unwrap},
	{"sealed-datakey", SEALED, datakey},
	{"clear-unwrap", CLEAR, unwrap},
	{"clear-datakey", CLEAR, datakey},
	{"constant", CONSTANT, constant},
	{"open", SEALED, open_session},
};

static kms_err prepare(struct bench *bench, unsigned connections)
{
	struct place *place = &bench->places[bench->where];
	for (unsigned i = 0; i < connections; i++) {
		if (place->clients[i] == NULL) {
			KMS_TRY(kms_client_open(place->profile, &place->clients[i]));
		}
	}
	for (unsigned i = 0; bench->where != CONSTANT && i < BATCH_MAX; i++) {
		if (place->keys[i] == NULL) {
			KMS_TRY(kms_datakey(
				place->clients[0], place->key, bench->context, &place->keys[i]));
		}
	}
	return KMS_OK;
}

static kms_err run_command(struct bench *bench, const char *words[LAP_WORDS])
{
	unsigned connections = lap_number(words[1], LAP_THREADS_MAX);
	unsigned ms = lap_number(words[3], LAP_MS_MAX);
	bench->batch = lap_number(words[2], BATCH_MAX);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (connections > 0 && bench->batch > 0 && ms > 0 &&
			strcmp(rows[i].name, words[0]) == 0) {
			bench->where = rows[i].where;
			KMS_TRY(prepare(bench, connections));
			return lap_run(connections, ms, rows[i].call, bench);
		}
	}
	return KMS_ERR(ARGUMENT);
}

static kms_err serve(struct bench *bench)
{
	char line[128];
	const char *words[LAP_WORDS];
	KMS_TRY(kms_context_new(&bench->context));
	KMS_TRY(kms_context_add(bench->context, "dataset", "bench"));
	KMS_TRY(kms_context_add(bench->context, "purpose", "volume"));
	while (lap_command(line, sizeof(line), words)) {
		KMS_TRY(run_command(bench, words));
	}
	return KMS_OK;
}

static void say_problem(struct bench *bench, kms_err err)
{
	char text[CLIENT_PROBLEM_MAX] = "";
	const struct place *place = &bench->places[bench->where];
	for (size_t i = 0; i < LAP_THREADS_MAX && text[0] == '\0'; i++) {
		(void)kms_client_problem(place->clients[i], text, sizeof(text));
	}
	kms_log(KMS_LOG_ERROR, "%s: %s", kms_err_text(err), text);
}

static void bench_close(struct bench *bench)
{
	for (size_t i = 0; i < WHERE_COUNT; i++) {
		for (size_t j = 0; j < LAP_THREADS_MAX; j++) {
			kms_client_free(&bench->places[i].clients[j]);
		}
		for (size_t j = 0; j < BATCH_MAX; j++) {
			kms_data_key_free(&bench->places[i].keys[j]);
		}
	}
	kms_context_free(&bench->context);
}

int main(int argc, char *argv[])
{
	static struct bench bench;
	kms_log_set("bench-keys", KMS_LOG_WARNING);
	if (argc != 6) {
		kms_log(KMS_LOG_ERROR, "see the head of bench/keys.c");
		return kms_err_exit_code(KMS_ERR(ARGUMENT));
	}
	bench.places[SEALED] = (struct place){.profile = argv[1], .key = argv[2]};
	bench.places[CLEAR] = (struct place){.profile = argv[3], .key = argv[4]};
	bench.places[CONSTANT] = (struct place){.profile = argv[5]};
	kms_err err = serve(&bench);
	if (!kms_is_ok(err)) {
		say_problem(&bench, err);
	}
	bench_close(&bench);
	return kms_err_exit_code(err);
}
