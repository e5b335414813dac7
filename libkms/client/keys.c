/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public face of data keys: contexts, data keys, and the calls that make, wrap and unwrap them.
 * Runs inside storage systems. A data key leaves only into kms_secret.
 */
#include "client_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- context ---- */

kms_err kms_context_new(struct kms_context **ret_context)
{
	struct kms_context *context = calloc(1, sizeof(*context));
	if (context == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*ret_context = context;
	return KMS_OK;
}

kms_err kms_context_add(struct kms_context *context, const char *name, const char *value)
{
	if (context == NULL || name == NULL || value == NULL ||
		strcmp(name, MODEL_CONTEXT_TENANT) == 0) {
		return KMS_ERR(ARGUMENT);
	}
	return model_context_add(&context->model, name, value);
}

void kms_context_free(struct kms_context **context)
{
	if (context != NULL) {
		free(*context);
		*context = NULL;
	}
}

/* ---- data key ---- */

const uint8_t *kms_data_key_wrapped(const struct kms_data_key *data_key, size_t *ret_len)
{
	*ret_len = data_key->wrapped.len;
	return data_key->wrapped.ptr;
}

void kms_data_key_free(struct kms_data_key **data_key)
{
	if (data_key == NULL || *data_key == NULL) {
		return;
	}
	leases_remove(*data_key);
	kms_secret_free(&(*data_key)->key); /* one that got no lease */
	kms_buf_free(&(*data_key)->wrapped);
	free(*data_key);
	*data_key = NULL;
}

kms_err data_key_take(struct work *work, struct kms_data_key **ret_data_key)
{
	KMS_AUTO(kms_data_key) data_key = calloc(1, sizeof(*data_key));
	if (data_key == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(format_wrapped_write(&work->use.wrapped, &data_key->wrapped));
	data_key->id = work->use.wrapped.head.key;
	data_key->lease = work->lease;
	data_key->key = kms_take(&work->use.data_key);
	KMS_TRY(leases_add(work->leases, data_key));
	work->lease = (struct lease){0}; /* the data key's now */
	*ret_data_key = kms_take(&data_key);
	return KMS_OK;
}

static kms_err bytes_take(struct kms_buf *buf, uint8_t **ret_bytes, size_t *ret_len)
{
	*ret_len = buf->len;
	*ret_bytes = kms_take(&buf->ptr);
	buf->len = 0;
	return KMS_OK;
}

kms_err client_key(struct kms_client *client, const char *key_id, struct kms_id *ret_id)
{
	if (key_id != NULL) {
		return kms_is_ok(kms_id_parse(key_id, ret_id)) ? KMS_OK : KMS_ERR(ARGUMENT);
	}
	if (!client->profile->has_default_key) {
		client_problem_set(client, "no key was named, and the profile has no default_key");
		return KMS_ERR(ARGUMENT);
	}
	*ret_id = client->profile->default_key;
	return KMS_OK;
}

/* ---- many ---- */

/* Works of one key among those that are still to do. */
static size_t same_key(struct work *works, bool *waiting, size_t count, struct work **ret_same)
{
	size_t found = 0;
	for (size_t i = 0; i < count; i++) {
		if (waiting[i] && (found == 0 || kms_id_equal(&works[i].use.wrapped.head.key,
							 &ret_same[0]->use.wrapped.head.key))) {
			ret_same[found++] = &works[i];
			waiting[i] = false;
		}
	}
	return found;
}

/* key: of all works; NULL: each wrapped key names its own. */
static kms_err run_window(struct kms_client *client, enum model_op op, const struct kms_id *key,
	struct work *works, struct kms_item *items, size_t count)
{
	bool waiting[LIMIT_BATCH_ITEMS];
	struct work *same[LIMIT_BATCH_ITEMS];
	kms_err err = KMS_OK;
	for (size_t i = 0; i < count; i++) {
		struct kms_bytes wrapped = {items[i].wrapped, items[i].wrapped_len};
		items[i].err = key != NULL ? work_new(client, items[i].context, &works[i])
					   : work_new_wrapped(
						     client, items[i].context, wrapped, &works[i]);
		waiting[i] = kms_is_ok(items[i].err);
		if (waiting[i] && key != NULL) {
			works[i].use.wrapped.head.key = *key;
		}
	}
	for (size_t n; kms_is_ok(err) && (n = same_key(works, waiting, count, same)) > 0;) {
		const struct kms_id id = same[0]->use.wrapped.head.key;
		err = works_run(client, op, &id, same, n);
	}
	for (size_t i = 0; i < count; i++) {
		if (!kms_is_ok(items[i].err)) {
			continue;
		}
		/* Not reached, when an earlier key's call failed. */
		items[i].err = waiting[i] ? err : (kms_err){works[i].use.code};
		if (kms_is_ok(items[i].err)) {
			items[i].err = data_key_take(&works[i], &items[i].data_key);
		}
	}
	return err;
}

static kms_err run_many(struct kms_client *client, enum model_op op, const struct kms_id *key,
	struct kms_item *items, size_t count)
{
	struct work *works KMS_AUTO_FREE = calloc(LIMIT_BATCH_ITEMS, sizeof(*works));
	kms_err err = works == NULL ? KMS_ERR(NO_MEMORY) : KMS_OK;
	for (size_t i = 0; i < count; i++) {
		items[i].data_key = NULL;
	}
	for (size_t done = 0, n; done < count; done += n) {
		n = count - done < LIMIT_BATCH_ITEMS ? count - done : LIMIT_BATCH_ITEMS;
		if (kms_is_ok(err)) {
			err = run_window(client, op, key, works, &items[done], n);
			for (size_t i = 0; i < n; i++) {
				work_free(&works[i]);
			}
			memset(works, 0, n * sizeof(*works));
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			items[done + i].err = err;
		}
	}
	return err;
}

kms_err kms_datakeys_many(
	struct kms_client *client, const char *key_id, struct kms_item *items, size_t count)
{
	struct kms_id key;
	client_problem_set(client, "%s", "");
	KMS_TRY(client_key(client, key_id, &key));
	return run_many(client, MODEL_OP_DATAKEY, &key, items, count);
}

kms_err kms_unwrap_many(struct kms_client *client, struct kms_item *items, size_t count)
{
	client_problem_set(client, "%s", "");
	return run_many(client, MODEL_OP_UNWRAP, NULL, items, count);
}

/* ---- one ---- */

kms_err kms_datakey(struct kms_client *client, const char *key_id,
	const struct kms_context *context, struct kms_data_key **ret_data_key)
{
	struct kms_id key;
	WORK_AUTO work = {0};
	client_problem_set(client, "%s", "");
	KMS_TRY(client_key(client, key_id, &key));
	KMS_TRY(work_new(client, context, &work));
	KMS_TRY(work_run(client, MODEL_OP_DATAKEY, &key, &work));
	return data_key_take(&work, ret_data_key);
}

kms_err kms_unwrap(struct kms_client *client, const uint8_t *wrapped, size_t wrapped_len,
	const struct kms_context *context, struct kms_data_key **ret_data_key)
{
	WORK_AUTO work = {0};
	client_problem_set(client, "%s", "");
	KMS_TRY(work_new_wrapped(client, context, (struct kms_bytes){wrapped, wrapped_len}, &work));
	const struct kms_id key = work.use.wrapped.head.key;
	KMS_TRY(work_run(client, MODEL_OP_UNWRAP, &key, &work));
	return data_key_take(&work, ret_data_key);
}

kms_err kms_data_key_renew(
	struct kms_client *client, struct kms_data_key *data_key, const struct kms_context *context)
{
	WORK_AUTO work = {0};
	client_problem_set(client, "%s", "");
	if (data_key->leases != client->leases) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(work_new_wrapped(client, context, kms_buf_bytes(&data_key->wrapped), &work));
	KMS_TRY(work_run(client, MODEL_OP_UNWRAP, &data_key->id, &work));
	leases_renew(data_key, &work.use.data_key, &work.lease);
	work.lease = (struct lease){0};
	return KMS_OK;
}

kms_err kms_client_purge(struct kms_client *client, const char *key_id)
{
	struct kms_id key;
	if (key_id == NULL) {
		return leases_purge(client->leases, NULL);
	}
	KMS_TRY(client_key(client, key_id, &key));
	return leases_purge(client->leases, &key);
}

kms_err kms_wrap(struct kms_client *client, const char *key_id, const struct kms_context *context,
	const uint8_t *key, uint8_t **ret_wrapped, size_t *ret_len)
{
	struct kms_id id;
	WORK_AUTO work = {0};
	KMS_AUTO_BUF wrapped = {0};
	client_problem_set(client, "%s", "");
	if (key == NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(client_key(client, key_id, &id));
	KMS_TRY(work_new(client, context, &work));
	KMS_TRY(kms_secret_copy((struct kms_bytes){key, KMS_DATA_KEY_BYTES}, &work.use.data_key));
	KMS_TRY(work_run(client, MODEL_OP_WRAP, &id, &work));
	KMS_TRY(format_wrapped_write(&work.use.wrapped, &wrapped));
	return bytes_take(&wrapped, ret_wrapped, ret_len);
}

kms_err kms_rewrap(struct kms_client *client, const uint8_t *wrapped, size_t wrapped_len,
	const struct kms_context *context, uint8_t **ret_wrapped, size_t *ret_len)
{
	WORK_AUTO work = {0};
	KMS_AUTO_BUF rewrapped = {0};
	client_problem_set(client, "%s", "");
	KMS_TRY(work_new_wrapped(client, context, (struct kms_bytes){wrapped, wrapped_len}, &work));
	const struct kms_id key = work.use.wrapped.head.key;
	KMS_TRY(work_run(client, MODEL_OP_REWRAP, &key, &work));
	KMS_TRY(format_wrapped_write(&work.use.wrapped, &rewrapped));
	return bytes_take(&rewrapped, ret_wrapped, ret_len);
}

kms_err kms_wrapped_info(const uint8_t *wrapped, size_t wrapped_len,
	char ret_key_id[KMS_KEY_ID_TEXT], uint32_t *ret_version)
{
	struct format_wrapped read;
	uint32_t newest = 0;
	KMS_TRY(format_wrapped_read((struct kms_bytes){wrapped, wrapped_len}, &read));
	/* Slots differ in their version while a rewrap has reached only some tokens. */
	for (uint32_t i = 0; i < read.slot_count; i++) {
		newest = read.slots[i].version > newest ? read.slots[i].version : newest;
	}
	(void)kms_id_text(&read.head.key, ret_key_id);
	*ret_version = newest;
	return KMS_OK;
}
