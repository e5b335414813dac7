/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each type of entry says of its change, except for keys (key.c) and erasures (erase.c,
 * erased.c): everything that the state needs to be rebuilt, and no name that people gave.
 */
#include "entry_int.h"

#include "format.h"

#include <string.h>

/* ---- log.open ---- */

static kms_err log_open_set(struct doc *entry, struct doc *data, const struct model_change *change)
{
	static const struct kms_id platform;
	record_token_set(doc_set_object(entry, "tok"), &change->u.log_open.system_token);
	doc_set_text(data, "origin", change->u.log_open.origin);
	doc_set_text(data, "ledger_vkey", change->u.log_open.ledger_vkey);
	if (change->u.log_open.ledger_vkey_ed25519[0] != 0) {
		doc_set_text(data, "ledger_vkey_ed25519", change->u.log_open.ledger_vkey_ed25519);
	}
	KMS_TRY(record_principals_set(doc_set_array(data, "principals"),
		change->u.log_open.principals, change->u.log_open.principal_count, &platform));
	return record_tenant_set(doc_set_object(data, "tenant"), &change->u.log_open.first);
}

static kms_err log_open_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	static const struct kms_id platform;
	struct doc *child = NULL;
	(void)key;
	KMS_TRY(doc_get_object(entry, "tok", &child));
	KMS_TRY(record_token_get(child, &change->u.log_open.system_token));
	KMS_TRY(doc_end(child));
	KMS_TRY(record_text_get(
		data, "origin", change->u.log_open.origin, sizeof(change->u.log_open.origin)));
	KMS_TRY(record_text_get(data, "ledger_vkey", change->u.log_open.ledger_vkey,
		sizeof(change->u.log_open.ledger_vkey)));
	KMS_TRY(record_text_get_or_none(data, "ledger_vkey_ed25519",
		change->u.log_open.ledger_vkey_ed25519,
		sizeof(change->u.log_open.ledger_vkey_ed25519)));
	KMS_TRY(doc_get_array(data, "principals", &child));
	KMS_TRY(record_principals_get(child, &platform, &change->u.log_open.principals,
		&change->u.log_open.principal_count));
	KMS_TRY(doc_get_object(data, "tenant", &child));
	return record_tenant_get(child, &change->u.log_open.first);
}

const struct entry_part entry_log_open = {NULL, log_open_set, log_open_get};

/* ---- tenant.add ---- */

static kms_err tenant_add_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	if (!kms_id_equal(&change->tenant, &change->u.tenant_add.tenant.id)) {
		return KMS_ERR(ARGUMENT);
	}
	return record_tenant_set(doc_set_object(data, "tenant"), &change->u.tenant_add);
}

static kms_err tenant_add_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	struct doc *child = NULL;
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_object(data, "tenant", &child));
	KMS_TRY(record_tenant_get(child, &change->u.tenant_add));
	return kms_id_equal(&change->tenant, &change->u.tenant_add.tenant.id) ? KMS_OK
									      : KMS_ERR(FORMAT);
}

const struct entry_part entry_tenant_add = {NULL, tenant_add_set, tenant_add_get};

/* ---- dataset.add ---- */

static const struct kms_id *dataset_add_key(const struct model_change *change)
{
	return &change->u.dataset_add.key;
}

static kms_err dataset_add_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	const struct model_dataset *dataset = &change->u.dataset_add;
	if (!kms_id_equal(&dataset->tenant, &change->tenant) || kms_id_is_zero(&dataset->key)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(record_subject_set(entry, &dataset->label));
	doc_set_id(data, "id", &dataset->id);
	doc_set_id(data, "custodian", &dataset->custodian);
	doc_set_text(data, "medium", dataset->medium);
	doc_set_text(data, "serial", dataset->serial);
	doc_set_text(data, "site", dataset->site);
	doc_set_text(data, "country", dataset->country);
	doc_set_int(data, "first_write", dataset->first_write_unix_s);
	return KMS_OK;
}

static kms_err dataset_add_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	struct model_dataset *dataset = &change->u.dataset_add;
	if (kms_id_is_zero(key)) {
		return KMS_ERR(FORMAT);
	}
	dataset->key = *key;
	dataset->tenant = change->tenant;
	KMS_TRY(record_subject_get(entry));
	KMS_TRY(doc_get_id(data, "id", &dataset->id));
	KMS_TRY(doc_get_id(data, "custodian", &dataset->custodian));
	KMS_TRY(record_text_get(data, "medium", dataset->medium, sizeof(dataset->medium)));
	KMS_TRY(record_text_get(data, "serial", dataset->serial, sizeof(dataset->serial)));
	KMS_TRY(record_text_get(data, "site", dataset->site, sizeof(dataset->site)));
	KMS_TRY(record_text_get(data, "country", dataset->country, sizeof(dataset->country)));
	return doc_get_int(data, "first_write", &dataset->first_write_unix_s);
}

const struct entry_part entry_dataset_add = {dataset_add_key, dataset_add_set, dataset_add_get};

/* ---- token.boot ---- */

static kms_err token_boot_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	doc_set_id(data, "token", &change->u.token_boot.token);
	return record_number_set(data, "boot", change->u.token_boot.boot);
}

static kms_err token_boot_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)entry;
	(void)key;
	KMS_TRY(doc_get_id(data, "token", &change->u.token_boot.token));
	return doc_get_uint(data, "boot", RECORD_INT_MAX, &change->u.token_boot.boot);
}

const struct entry_part entry_token_boot = {NULL, token_boot_set, token_boot_get};

/* ---- use.statement ---- */

/* Is it a uses statement of that token? Who signed it is the verifier's question. */
static kms_err use_statement_check(
	struct kms_bytes bytes, const struct kms_id *token, struct kms_err bad)
{
	struct format_statement statement;
	struct kms_bytes signed_part;
	struct kms_bytes signature;
	KMS_TRY(format_statement_read(bytes, &statement, &signed_part, &signature));
	return statement.type == FORMAT_STATEMENT_USES && kms_id_equal(&statement.token, token)
		       ? KMS_OK
		       : bad;
}

static kms_err use_statement_set(
	struct doc *entry, struct doc *data, const struct model_change *change)
{
	struct kms_bytes bytes = kms_buf_bytes(&change->u.use_statement.statement);
	KMS_TRY(use_statement_check(bytes, &change->u.use_statement.token, KMS_ERR(ARGUMENT)));
	doc_set_bytes(entry, "stmt", bytes);
	doc_set_id(data, "token", &change->u.use_statement.token);
	return KMS_OK;
}

static kms_err use_statement_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)key;
	KMS_TRY(doc_get_id(data, "token", &change->u.use_statement.token));
	KMS_TRY(doc_get_bytes(
		entry, "stmt", LIMIT_STATEMENT_BYTES, &change->u.use_statement.statement));
	return use_statement_check(kms_buf_bytes(&change->u.use_statement.statement),
		&change->u.use_statement.token, KMS_ERR(FORMAT));
}

const struct entry_part entry_use_statement = {NULL, use_statement_set, use_statement_get};

/* ---- use.batch ---- */

static kms_err use_batch_set(struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	if (change->u.use_batch.count == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (change->u.use_batch.count > LIMIT_COMMIT_USES) {
		return KMS_ERR(TOO_LARGE);
	}
	record_id_set(data, "token", &change->u.use_batch.token);
	KMS_TRY(record_number_set(data, "boot", change->u.use_batch.boot));
	KMS_TRY(record_number_set(data, "first", change->u.use_batch.first));
	doc_set_int(data, "count", change->u.use_batch.count);
	doc_set_hash(data, "running", &change->u.use_batch.running);
	doc_set_hash(data, "root", &change->u.use_batch.root);
	return KMS_OK;
}

static kms_err use_batch_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	uint64_t count = 0;
	(void)entry;
	(void)key;
	KMS_TRY(record_id_get(data, "token", &change->u.use_batch.token));
	KMS_TRY(doc_get_uint(data, "boot", RECORD_INT_MAX, &change->u.use_batch.boot));
	KMS_TRY(doc_get_uint(data, "first", RECORD_INT_MAX, &change->u.use_batch.first));
	KMS_TRY(doc_get_uint(data, "count", LIMIT_COMMIT_USES, &count));
	KMS_TRY(doc_get_hash(data, "running", &change->u.use_batch.running));
	KMS_TRY(doc_get_hash(data, "root", &change->u.use_batch.root));
	change->u.use_batch.count = (uint32_t)count;
	return count == 0 ? KMS_ERR(FORMAT) : KMS_OK;
}

const struct entry_part entry_use_batch = {NULL, use_batch_set, use_batch_get};

/* ---- alarm ---- */

static const struct kms_id *alarm_key(const struct model_change *change)
{
	return &change->u.alarm.key;
}

static kms_err alarm_set(struct doc *entry, struct doc *data, const struct model_change *change)
{
	(void)entry;
	doc_set_text(data, "text", change->u.alarm.text);
	record_id_set(data, "token", &change->u.alarm.token);
	return KMS_OK;
}

static kms_err alarm_get(
	struct doc *entry, struct doc *data, const struct kms_id *key, struct model_change *change)
{
	(void)entry;
	change->u.alarm.key = *key;
	KMS_TRY(record_text_get(data, "text", change->u.alarm.text, sizeof(change->u.alarm.text)));
	return record_id_get(data, "token", &change->u.alarm.token);
}

const struct entry_part entry_alarm = {alarm_key, alarm_set, alarm_get};
