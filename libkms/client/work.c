/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses of keys: every one of them is held against the profile's pins here, put into requests of
 * bounded size, and goes to the tokens sealed or, where pinned so, clear. Runs wherever libkms
 * does.
 */
#include "client_int.h"

#include <stdlib.h>
#include <string.h>

/*
 * A request's body lies in secret memory and holds, for each item, the context as JSON (every byte
 * may be escaped), and either the sealed request's item in base64 or, in clear, a wrapped key in
 * base64. The rest of KMS_SECRET_MAX is for what stands beside the items.
 */
enum {
	BATCH_BYTES = KMS_SECRET_MAX - 16 * 1024,
	ITEM_BYTES = 400,
	ITEM_TOKEN_BYTES = 4 * (FORMAT_SLOT_BYTES + 3) / 3,
};

static size_t item_bytes(const struct format_key *key, const struct work *work)
{
	return ITEM_BYTES + key->token_count * ITEM_TOKEN_BYTES + work->canonical.len * 10 / 3 + 1;
}

static bool was_handed(const struct work *work)
{
	bool handed = false;
	for (uint32_t i = 0; i < LIMIT_CUSTODY_TOKENS; i++) {
		handed = handed || work->lease.versions[i] != 0;
	}
	return handed;
}

void work_free(struct work *work)
{
	kms_secret_free(&work->use.data_key);
	if (was_handed(work)) {
		leases_gave_up(work->leases, &work->use.wrapped.head.key, &work->lease);
		work->lease = (struct lease){0};
	}
	free(work->context);
	work->context = NULL;
	kms_buf_free(&work->canonical);
}

kms_err work_new(
	const struct kms_client *client, const struct kms_context *context, struct work *ret_work)
{
	WORK_AUTO work = {0};
	if (kms_id_is_zero(&client->profile->tenant)) {
		return KMS_ERR(PINS); /* a profile for management alone */
	}
	work.context = calloc(1, sizeof(*work.context));
	if (work.context == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	if (context != NULL) {
		*work.context = context->model;
	}
	KMS_TRY(format_context_write(work.context, &client->profile->tenant, &work.canonical));
	KMS_TRY(kms_id_random(&work.use.wrapped.head.wrapped_key));
	work.leases = client->leases;
	*ret_work = work;
	ret_work->use.context = kms_buf_bytes(&ret_work->canonical);
	work = (struct work){0};
	return KMS_OK;
}

kms_err work_new_wrapped(const struct kms_client *client, const struct kms_context *context,
	struct kms_bytes wrapped, struct work *ret_work)
{
	struct format_wrapped read;
	KMS_TRY(format_wrapped_read(wrapped, &read));
	KMS_TRY(work_new(client, context, ret_work));
	ret_work->use.wrapped = read;
	return KMS_OK;
}

/* ---- one request ---- */

struct carry {
	struct kms_client *client;
	const struct pins *pins;
	struct batch *batch;
};

/* format_exchange */
static kms_err carry(void *ctx, uint32_t token, enum model_op op, const struct kms_secret *request,
	struct kms_secret **ret_answer)
{
	const struct carry *it = ctx;
	const struct format_key *key = &it->pins->key;
	/* Where another token can unwrap as well, it is asked at once. */
	bool patient = op != MODEL_OP_UNWRAP || key->custody == MODEL_CUSTODY_ALL ||
		       token + 1 == key->token_count;
	return sealed_exchange(it->client->sealed[it->pins->token[token]], op, &key->id, it->batch,
		patient, request, ret_answer);
}

static void batch_free(struct batch *batch)
{
	free(batch->uses);
	free(batch->contexts);
}

/* Those of the works that may go: what is refused here never reaches kmsd. */
static kms_err batch_fill(const struct format_key *key, enum model_op op, struct work *const *works,
	size_t count, struct batch *batch)
{
	batch->uses = calloc(count, sizeof(*batch->uses));
	batch->contexts = calloc(count, sizeof(*batch->contexts));
	if (batch->uses == NULL || batch->contexts == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		struct work *work = works[i];
		if (op == MODEL_OP_UNWRAP || op == MODEL_OP_REWRAP) {
			kms_err err =
				format_custody_check(key, &work->use.wrapped, work->use.context);
			work->use.code = err.code;
			if (!kms_is_ok(err)) {
				continue;
			}
		}
		batch->uses[batch->count] = work->use;
		batch->contexts[batch->count++] = work->context;
		work->use.code = KMS_CODE_OK;
		work->use.data_key = NULL; /* moved */
	}
	return KMS_OK;
}

void batch_lease(struct batch *batch, enum model_op op, int64_t asked_ms, uint32_t lease_s)
{
	/* A kmsd that says no time, or one past all policies, gets the longest that there is. */
	bool said = lease_s > 0 && lease_s <= LIMIT_LEASE_S;
	int64_t end_ms = asked_ms + (int64_t)(said ? lease_s : LIMIT_LEASE_S) * 1000;
	if (model_op_hands_out(op) && (batch->lease_end_ms == 0 || end_ms < batch->lease_end_ms)) {
		batch->lease_end_ms = end_ms;
	}
}

/* Back to the works, in the same order; an error stands for every one that went. */
static void batch_empty(struct batch *batch, struct work *const *works, size_t count, kms_err err)
{
	uint32_t next = 0;
	for (size_t i = 0; i < count; i++) {
		if (works[i]->use.code != KMS_CODE_OK || next == batch->count) {
			continue;
		}
		works[i]->use = batch->uses[next++];
		works[i]->lease.end_ms = batch->lease_end_ms;
		memcpy(works[i]->lease.versions, works[i]->use.handed,
			sizeof(works[i]->lease.versions));
		if (!kms_is_ok(err)) {
			works[i]->use.code = err.code;
		}
	}
}

static kms_err run_batch(struct kms_client *client, const struct pins *pins, enum model_op op,
	struct work *const *works, size_t count)
{
	struct batch batch __attribute__((cleanup(batch_free))) = {0};
	kms_err err = batch_fill(&pins->key, op, works, count, &batch);
	for (size_t i = 0; !kms_is_ok(err) && i < count; i++) {
		works[i]->use.code = err.code;
	}
	if (kms_is_ok(err) && batch.count > 0) {
		struct carry ctx = {client, pins, &batch};
		err = pins->key.delivery == MODEL_DELIVERY_CLEAR
			      ? clear_call(client, &pins->key, op, &batch)
			      : format_custody_call(
					&pins->key, op, batch.uses, batch.count, carry, &ctx);
	}
	batch_empty(&batch, works, count, err);
	return err;
}

/* ---- many ---- */

kms_err works_run(struct kms_client *client, enum model_op op, const struct kms_id *key,
	struct work *const *works, size_t count)
{
	struct pins pins;
	kms_err err = profile_pins(client->profile, key, &pins);
	if (!kms_is_ok(err)) {
		client_problem_set(client, "the profile pins no tokens for this key");
	}
	for (size_t done = 0, n; done < count; done += n) {
		size_t bytes = 0;
		for (n = 0; kms_is_ok(err) && done + n < count && n < LIMIT_BATCH_ITEMS; n++) {
			bytes += item_bytes(&pins.key, works[done + n]);
			if (n > 0 && bytes > BATCH_BYTES) {
				break;
			}
		}
		if (kms_is_ok(err)) {
			err = run_batch(client, &pins, op, &works[done], n);
			continue;
		}
		works[done]->use.code = err.code; /* not reached */
		n = 1;
	}
	return err;
}

kms_err work_run(
	struct kms_client *client, enum model_op op, const struct kms_id *key, struct work *work)
{
	KMS_TRY(works_run(client, op, key, &work, 1));
	return (kms_err){work->use.code};
}
