/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ledger entries: what all of them say, and the table of types. What each type adds stands in
 * change.c, key.c, erase.c, erased.c and lease.c. Must never put a name that people gave, or
 * anything secret, into an entry.
 */
#include "entry_int.h"

#include <string.h>

static const char version[] = "kmsd-entry/1";

static const struct row {
	enum model_change_type type;
	const char *text;
	const struct entry_part *part;
} rows[] = {
	{MODEL_CHANGE_LOG_OPEN, "log.open", &entry_log_open},
	{MODEL_CHANGE_TENANT_ADD, "tenant.add", &entry_tenant_add},
	/* The first row of a type is for version 1 of a key, the second for later ones. */
	{MODEL_CHANGE_KEY_INTENT, "key.create.intent", &entry_key_intent},
	{MODEL_CHANGE_KEY_INTENT, "key.rotate.intent", &entry_key_intent},
	{MODEL_CHANGE_KEY_RESULT, "key.create.result", &entry_key_result},
	{MODEL_CHANGE_KEY_RESULT, "key.rotate.result", &entry_key_result},
	{MODEL_CHANGE_KEY_STATE, "key.state", &entry_key_state},
	{MODEL_CHANGE_DATASET_ADD, "dataset.add", &entry_dataset_add},
	{MODEL_CHANGE_TOKEN_BOOT, "token.boot", &entry_token_boot},
	{MODEL_CHANGE_USE_STATEMENT, "use.statement", &entry_use_statement},
	{MODEL_CHANGE_USE_BATCH, "use.batch", &entry_use_batch},
	{MODEL_CHANGE_ALARM, "alarm", &entry_alarm},
	{MODEL_CHANGE_ERASE_REQUEST, "destroy.request", &entry_erase_request},
	{MODEL_CHANGE_ERASE_APPROVE, "destroy.approve", &entry_erase_signed},
	{MODEL_CHANGE_ERASE_CANCEL, "destroy.cancel", &entry_erase_signed},
	{MODEL_CHANGE_ERASE_INTENT, "destroy.execute.intent", &entry_erase_intent},
	{MODEL_CHANGE_ERASE_RESULT, "destroy.execute.result", &entry_erase_result},
	{MODEL_CHANGE_ERASE_REFUSED, "destroy.execute.refused", &entry_erase_refused},
	{MODEL_CHANGE_ERASE_WIPE, "destroy.wipe", &entry_erase_wipe},
	{MODEL_CHANGE_ERASE_FINAL, "destroy.final", &entry_erase_final},
	{MODEL_CHANGE_CERT_ISSUE, "cert.issue", &entry_cert_issue},
	{MODEL_CHANGE_LEASE_RECEIPT, "lease.receipt", &entry_lease_receipt},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool is_rotation(const struct model_change *change)
{
	return (change->type == MODEL_CHANGE_KEY_INTENT && change->u.key_intent.version > 1) ||
	       (change->type == MODEL_CHANGE_KEY_RESULT && change->u.key_result.version > 1);
}

static const struct row *row_of_change(const struct model_change *change)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].type == change->type) {
			return is_rotation(change) ? &rows[i + 1] : &rows[i];
		}
	}
	return NULL;
}

static const struct row *row_of_text(const char *text)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].text, text) == 0) {
			return &rows[i];
		}
	}
	return NULL;
}

const char *record_change_text(const struct model_change *change)
{
	const struct row *row = row_of_change(change);
	return row == NULL ? "unknown" : row->text;
}

bool record_change_key(const struct model_change *change, struct kms_id *ret_key)
{
	const struct row *row = row_of_change(change);
	const struct kms_id *key =
		row == NULL || row->part->key == NULL ? NULL : row->part->key(change);
	if (key == NULL || kms_id_is_zero(key)) {
		return false;
	}
	*ret_key = *key;
	return true;
}

bool record_change_link(const struct model_change *change, struct kms_id *ret_key)
{
	return change->type != MODEL_CHANGE_DATASET_ADD && record_change_key(change, ret_key);
}

/* ---- out ---- */

static kms_err head_set(
	struct doc *entry, const struct record_head *head, const struct model_change *change)
{
	doc_set_text(entry, "v", version);
	doc_set_text(entry, "log", head->log);
	KMS_TRY(record_number_set(entry, "seq", head->seq));
	doc_set_int(entry, "t", head->unix_ms);
	doc_set_id(entry, "node", &head->node);
	record_id_set(entry, "tenant", &change->tenant);
	record_id_set(entry, "actor", &change->actor);
	if (head->has_previous) {
		struct doc *previous = doc_set_object(entry, "kprev");
		KMS_TRY(record_number_set(previous, "seq", head->previous_seq));
		doc_set_hash(previous, "leaf", &head->previous_leaf);
	}
	return KMS_OK;
}

kms_err record_entry_write(
	const struct record_head *head, const struct model_change *change, struct kms_buf *ret_json)
{
	KMS_AUTO(doc) entry = NULL;
	KMS_AUTO_BUF json = {0};
	struct kms_id key;
	const struct row *row = row_of_change(change);
	bool has_key = record_change_key(change, &key);

	if (row == NULL || (head->has_previous && (!has_key || head->previous_seq >= head->seq))) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(doc_new_object(&entry));
	KMS_TRY(head_set(entry, head, change));
	doc_set_text(entry, "type", row->text);
	if (has_key) {
		doc_set_id(entry, "key", &key);
	}
	KMS_TRY(row->part->set(entry, doc_set_object(entry, "data"), change));
	KMS_TRY(doc_write(entry, &json));
	if (json.len > LIMIT_ENTRY_BYTES) {
		return KMS_ERR(TOO_LARGE);
	}
	*ret_json = json;
	json = (struct kms_buf){0};
	return KMS_OK;
}

/* ---- in ---- */

static kms_err head_get(struct doc *entry, struct record_head *head, struct model_change *change)
{
	const char *text = NULL;
	KMS_TRY(doc_get_text(entry, "v", &text));
	if (strcmp(text, version) != 0) {
		return KMS_ERR(VERSION);
	}
	KMS_TRY(record_text_get(entry, "log", head->log, sizeof(head->log)));
	KMS_TRY(doc_get_uint(entry, "seq", RECORD_INT_MAX, &head->seq));
	KMS_TRY(doc_get_int(entry, "t", &head->unix_ms));
	KMS_TRY(doc_get_id(entry, "node", &head->node));
	KMS_TRY(record_id_get(entry, "tenant", &change->tenant));
	KMS_TRY(record_id_get(entry, "actor", &change->actor));
	head->has_previous = doc_has(entry, "kprev");
	if (head->has_previous) {
		struct doc *previous = NULL;
		KMS_TRY(doc_get_object(entry, "kprev", &previous));
		KMS_TRY(doc_get_uint(previous, "seq", RECORD_INT_MAX, &head->previous_seq));
		KMS_TRY(doc_get_hash(previous, "leaf", &head->previous_leaf));
		KMS_TRY(doc_end(previous));
	}
	return KMS_OK;
}

kms_err record_entry_read(
	struct kms_bytes json, struct record_head *ret_head, struct model_change *ret_change)
{
	__attribute__((cleanup(model_change_free))) struct model_change change;
	KMS_AUTO(doc) entry = NULL;
	struct doc *data = NULL;
	struct record_head head;
	const char *text = NULL;
	struct kms_id key = {{0}};
	struct kms_id about = {{0}};

	memset(&head, 0, sizeof(head));
	memset(&change, 0, sizeof(change));
	KMS_TRY(doc_parse(json, LIMIT_ENTRY_BYTES, &entry));
	KMS_TRY(head_get(entry, &head, &change));
	KMS_TRY(doc_get_text(entry, "type", &text));
	const struct row *row = row_of_text(text);
	if (row == NULL) {
		return KMS_ERR(FORMAT);
	}
	change.type = row->type;
	KMS_TRY(record_id_get(entry, "key", &key));
	KMS_TRY(doc_get_object(entry, "data", &data));
	KMS_TRY(row->part->get(entry, data, &key, &change));
	KMS_TRY(doc_end(data));
	KMS_TRY(doc_end(entry));
	/* The type that was written is the one that this change would be written as, and `key` is
	 * the key that it is about. */
	bool has_key = record_change_key(&change, &about);
	if (row_of_change(&change) != row || !kms_id_equal(&key, &about) ||
		(head.has_previous && (!has_key || head.previous_seq >= head.seq))) {
		return KMS_ERR(FORMAT);
	}
	*ret_head = head;
	*ret_change = change;
	memset(&change, 0, sizeof(change));
	return KMS_OK;
}
