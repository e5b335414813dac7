/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger of very many uses, written into the store of a house whose kmsd is stopped, by the same
 * functions as kmsd's sequencer: records, use.batch entries, tree and head. And beside a running
 * kmsd: one entry with its inclusion proof, and, as the limit of that, one entry alone.
 *
 *	bench-ledger STORE TENANT TOKEN PRINCIPAL KEY KEK
 *
 * Commands: append USES PER-COMMIT | proof MS | entry MS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lap.h"
#include "format.h"
#include "ledger_int.h"

enum { USES_MAX = 10 * 1000 * 1000, LAP_MS_MAX = 60 * 1000 };

struct bench {
	const char *path;
	struct kms_id tenant, token, principal, key, kek;
	struct model_use *uses; /* of one commit; owned */
};

/* ---- append ---- */

struct appending {
	struct bench *bench;
	struct store *store;
	struct book *book;
	struct change_box *batch;
	uint64_t boot, n;
	unsigned count, per_commit;
};

static kms_err fill(struct appending *appending, unsigned count, int64_t unix_ms)
{
	const struct bench *bench = appending->bench;
	struct model_change *batch = &appending->batch->change;
	batch->u.use_batch.first = appending->n + 1;
	for (unsigned i = 0; i < count; i++) {
		struct model_use *use = &bench->uses[i];
		*use = (struct model_use){.n = ++appending->n,
			.unix_ms = unix_ms,
			.op = MODEL_OP_UNWRAP,
			.principal = bench->principal,
			.key = bench->key,
			.kek = bench->kek,
			.version = 1};
		kms_random(use->wrapped_key.b, sizeof(use->wrapped_key.b));
		kms_random(use->spki.b, sizeof(use->spki.b));
		kms_random(use->context.b, sizeof(use->context.b));
		KMS_TRY(format_use_step(
			&batch->u.use_batch.running, use, &batch->u.use_batch.running));
	}
	return KMS_OK;
}

static kms_err commit(struct appending *appending, unsigned count)
{
	KMS_AUTO(store_tx) tx = NULL;
	int64_t unix_ms = kms_now_unix_ms();
	KMS_TRY(fill(appending, count, unix_ms));
	KMS_TRY(store_begin(appending->store, &tx));
	KMS_TRY(ledger_batch_write(appending->book, tx, &appending->batch->change,
		appending->bench->uses, count, unix_ms));
	KMS_TRY(ledger_book_seal(appending->book, tx));
	KMS_TRY(store_commit(&tx));
	return ledger_book_keep(appending->book);
}

static kms_err append_all(void *arg, unsigned thread)
{
	struct appending *appending = arg;
	(void)thread;
	for (unsigned left = appending->count; left > 0;) {
		unsigned count = left < appending->per_commit ? left : appending->per_commit;
		KMS_TRY(commit(appending, count));
		left -= count;
	}
	return KMS_OK;
}

/* As a boot of the token's that follows the one before. */
static kms_err append(struct bench *bench, unsigned count, unsigned per_commit)
{
	KMS_AUTO(store) store = NULL;
	KMS_AUTO(book) book = NULL;
	KMS_AUTO(change_box) batch = NULL;
	struct store_position position;
	KMS_TRY(store_open(bench->path, STORE_WRITE, &store));
	KMS_TRY(ledger_book_open(store, &book));
	KMS_TRY(store_position_get(store, &bench->token, &position));
	KMS_TRY(ledger_change_new(MODEL_CHANGE_USE_BATCH, &batch));
	batch->change.tenant = bench->tenant;
	batch->change.u.use_batch.token = bench->token;
	batch->change.u.use_batch.boot = position.boot + 1;
	struct appending appending = {.bench = bench,
		.store = store,
		.book = book,
		.batch = batch,
		.count = count,
		.per_commit = per_commit};
	return lap_once("uses", count, append_all, &appending);
}

/* ---- read ---- */

struct reading {
	struct ledger ledger; /* only its store: all that an inclusion needs */
	uint64_t size;
};

static uint64_t any_seq(const struct reading *reading)
{
	uint64_t number;
	kms_random(&number, sizeof(number));
	return number % reading->size;
}

static kms_err prove(void *arg, unsigned thread)
{
	struct reading *reading = arg;
	struct tlog_proof proof;
	KMS_AUTO_BUF entry = {0};
	(void)thread;
	return ledger_inclusion(&reading->ledger, any_seq(reading), reading->size, &entry, &proof);
}

static kms_err read_entry(void *arg, unsigned thread)
{
	struct reading *reading = arg;
	struct model_entry *rows = NULL;
	size_t count = 0;
	(void)thread;
	KMS_TRY(store_entries_get(reading->ledger.store, NULL, any_seq(reading), 1, &rows, &count));
	for (size_t i = 0; i < count; i++) {
		kms_buf_free(&rows[i].bytes);
	}
	free(rows);
	return count == 1 ? KMS_OK : KMS_ERR(NOT_FOUND);
}

static kms_err look(const struct bench *bench, unsigned ms, lap_call call)
{
	KMS_AUTO(store) store = NULL;
	struct kms_hash root;
	struct reading *reading KMS_AUTO_FREE = calloc(1, sizeof(*reading));
	if (reading == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(store_open(bench->path, STORE_READ, &store));
	KMS_TRY(store_head_get(store, &reading->size, &root));
	reading->ledger.store = store;
	return lap_run(1, ms, call, reading);
}

/* ---- commands ---- */

static kms_err serve(struct bench *bench)
{
	char line[64];
	const char *words[LAP_WORDS];
	while (lap_command(line, sizeof(line), words)) {
		bool appends = strcmp(words[0], "append") == 0;
		bool proves = strcmp(words[0], "proof") == 0;
		unsigned number = lap_number(words[1], appends ? USES_MAX : LAP_MS_MAX);
		unsigned per_commit = lap_number(words[2], LIMIT_COMMIT_USES);
		bool known = appends ? per_commit != 0 : proves || strcmp(words[0], "entry") == 0;
		if (number == 0 || !known) {
			return KMS_ERR(ARGUMENT);
		}
		KMS_TRY(appends ? append(bench, number, per_commit)
				: look(bench, number, proves ? prove : read_entry));
	}
	return KMS_OK;
}

static kms_err run(int argc, char *argv[])
{
	struct bench bench = {0};
	struct kms_id *ids[] = {
		&bench.tenant, &bench.token, &bench.principal, &bench.key, &bench.kek};
	if (argc != 7) {
		return KMS_ERR(ARGUMENT);
	}
	bench.path = argv[1];
	for (int i = 0; i < 5; i++) {
		KMS_TRY(kms_id_parse(argv[i + 2], ids[i]));
	}
	bench.uses = calloc(LIMIT_COMMIT_USES, sizeof(*bench.uses));
	kms_err err = bench.uses == NULL ? KMS_ERR(NO_MEMORY) : serve(&bench);
	free(bench.uses);
	return err;
}

int main(int argc, char *argv[])
{
	kms_log_set("bench-ledger", KMS_LOG_WARNING);
	kms_err err = run(argc, argv);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s", kms_err_text(err));
	}
	return kms_err_exit_code(err);
}
