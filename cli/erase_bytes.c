/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an erasure's signed bytes say (docs/formats/erase.md), for the people who sign them. It must
 * never show anything that does not stand in those bytes: kmsd may say otherwise.
 */
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "erase_int.h"

kms_err erase_bytes_read(struct kms_bytes bytes, struct format_erase **ret_erase)
{
	kms_err err = format_erase_read(bytes, ret_erase);
	return kms_is_ok(err) ? err
			      : cli_refuse(err,
					"what is to be signed cannot be read as kmsd-erase/1, so "
					"it is not signed: %s",
					kms_err_text(err));
}

kms_err erase_bytes_check_scope(const struct format_erase *erase, struct kms_bytes scope)
{
	struct kms_hash hash;
	KMS_TRY(crypto_sha256_one(scope, &hash));
	if (!kms_hash_equal(&hash, &erase->plan)) {
		return cli_refuse(KMS_ERR(INTEGRITY),
			"the plan is not the one whose hash stands in the bytes to sign; do not "
			"sign, and ask the operator of kmsd");
	}
	return KMS_OK;
}

/* ---- for people ---- */

static void line_id(const char *head, const struct kms_id *id)
{
	char text[KMS_ID_TEXT];
	cli_line(head, kms_id_text(id, text));
}

static void line_time(const char *head, int64_t unix_s)
{
	char text[KMS_TIME_TEXT];
	char seconds[KMS_TIME_TEXT];
	(void)kms_time_text(unix_s * 1000, text);
	(void)snprintf(seconds, sizeof(seconds), "%.19sZ", text);
	cli_line(head, seconds);
}

static kms_err line_hash(const char *head, const struct kms_hash *hash)
{
	char text[KMS_HASH_TEXT];
	cli_line(head, kms_hash_text(hash, text));
	return KMS_OK;
}

static kms_err print_keks(const struct format_erase *erase)
{
	static const char *const heads[] = {"key", "version", "token", "KEK"};
	KMS_AUTO(cli_table) table = NULL;
	KMS_TRY(cli_table_new(heads, 4, &table));
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		const struct format_erase_kek *kek = &erase->keks[i];
		char id[KMS_ID_TEXT];
		char version[16];
		(void)snprintf(version, sizeof(version), "%u", kek->version);
		KMS_TRY(cli_table_add(table, kms_id_text(&kek->key, id)));
		KMS_TRY(cli_table_add(table, version));
		KMS_TRY(cli_table_add(table, kms_id_text(&kek->token, id)));
		KMS_TRY(cli_table_add(table, kms_id_text(&kek->kek, id)));
	}
	cli_table_print(table);
	return KMS_OK;
}

kms_err erase_bytes_print(const struct format_erase *erase, struct kms_bytes bytes)
{
	struct kms_hash hash;
	KMS_TRY(crypto_sha256_one(bytes, &hash));
	line_id("erasure", &erase->erasure);
	cli_line("ledger", erase->origin);
	line_id("tenant", &erase->tenant);
	line_id("requested by", &erase->requester);
	cli_line("scope", model_erase_scope_text(erase->scope));
	line_id("of", &erase->subject);
	line_time("not before", erase->not_before_unix_s);
	line_time("good until", erase->expires_unix_s);
	KMS_TRY(line_hash("plan hash", &erase->plan));
	KMS_TRY(line_hash("signed hash", &hash));
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		line_id(i == 0 ? "wipes the token" : "", &erase->wipes[i]);
	}
	(void)printf("\nIt destroys these %u KEKs, for good:\n", erase->kek_count);
	return print_keks(erase);
}

/* ---- for programs ---- */

kms_err erase_bytes_set(
	struct doc *object, const struct format_erase *erase, struct kms_bytes bytes)
{
	struct kms_hash hash;
	char id[KMS_ID_TEXT];
	KMS_TRY(crypto_sha256_one(bytes, &hash));
	doc_set_id(object, "erasure", &erase->erasure);
	doc_set_text(object, "origin", erase->origin);
	doc_set_id(object, "tenant", &erase->tenant);
	doc_set_id(object, "requester", &erase->requester);
	doc_set_text(object, "scope", model_erase_scope_text(erase->scope));
	doc_set_id(object, "subject", &erase->subject);
	doc_set_int(object, "not_before_unix_s", erase->not_before_unix_s);
	doc_set_int(object, "expires_unix_s", erase->expires_unix_s);
	doc_set_hash(object, "plan", &erase->plan);
	doc_set_hash(object, "hash", &hash);
	struct doc *wipes = doc_set_array(object, "wipes");
	for (uint32_t i = 0; i < erase->wipe_count; i++) {
		doc_add_text(wipes, kms_id_text(&erase->wipes[i], id));
	}
	struct doc *keks = doc_set_array(object, "keks");
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		const struct format_erase_kek *kek = &erase->keks[i];
		struct doc *row = doc_add_object(keks);
		doc_set_id(row, "token", &kek->token);
		doc_set_id(row, "kek", &kek->kek);
		doc_set_id(row, "key", &kek->key);
		doc_set_int(row, "version", kek->version);
		doc_set_hash(row, "commitment", &kek->commitment);
	}
	return KMS_OK;
}
