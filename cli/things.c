/* SPDX-License-Identifier: Apache-2.0 */
/* kms status, and list and show of tenants, principals, tokens and datasets: one table each. */
#include <stdio.h>

#include "cli_int.h"

static const struct cli_column status_fields[] = {
	{"kmsd", "version", CLI_TEXT},
	{"ledger", "size", CLI_NUMBER},
	{"signed", "signed_size", CLI_NUMBER},
	{0},
};
static const struct cli_column tenant_fields[] = {
	{"id", "id", CLI_TEXT},
	{"name", "label", CLI_TEXT},
	{0},
};
static const struct cli_column principal_fields[] = {
	{"id", "id", CLI_TEXT},
	{"name", "label", CLI_TEXT},
	{"role", "role", CLI_TEXT},
	{"expires", "expires_unix_s", CLI_TIME_S},
	{0},
};
static const struct cli_column principal_more[] = {
	{"id", "id", CLI_TEXT},
	{"name", "label", CLI_TEXT},
	{"role", "role", CLI_TEXT},
	{"tenant", "tenant", CLI_TEXT},
	{"expires", "expires_unix_s", CLI_TIME_S},
	{"certificate", "spki", CLI_TEXT},
	{0},
};
static const struct cli_column token_fields[] = {
	{"id", "id", CLI_TEXT},
	{"up", "up", CLI_YES},
	{"boot", "boot", CLI_NUMBER},
	{"class", "class", CLI_TEXT},
	{"organisation", "organisation", CLI_TEXT},
	{"site", "site", CLI_TEXT},
	{"country", "country", CLI_TEXT},
	{0},
};
static const struct cli_column token_more[] = {
	{"id", "id", CLI_TEXT},
	{"tenant", "tenant", CLI_TEXT},
	{"up", "up", CLI_YES},
	{"since", "since_unix_ms", CLI_TIME_MS},
	{"boot", "boot", CLI_NUMBER},
	{"class", "class", CLI_TEXT},
	{"manufacturer", "manufacturer", CLI_TEXT},
	{"model", "model", CLI_TEXT},
	{"serial", "serial", CLI_TEXT},
	{"firmware", "firmware", CLI_TEXT},
	{"certificate no", "certificate_no", CLI_TEXT},
	{"organisation", "organisation", CLI_TEXT},
	{"site", "site", CLI_TEXT},
	{"country", "country", CLI_TEXT},
	{"session pin", "session_spki", CLI_TEXT},
	{"statement key", "statement_vkey", CLI_TEXT},
	{0},
};
static const struct cli_column dataset_fields[] = {
	{"id", "id", CLI_TEXT},
	{"label", "label", CLI_TEXT},
	{"key", "key", CLI_TEXT},
	{"medium", "medium", CLI_TEXT},
	{"site", "site", CLI_TEXT},
	{0},
};
static const struct cli_column dataset_more[] = {
	{"id", "id", CLI_TEXT},
	{"label", "label", CLI_TEXT},
	{"key", "key", CLI_TEXT},
	{"medium", "medium", CLI_TEXT},
	{"serial", "serial", CLI_TEXT},
	{"site", "site", CLI_TEXT},
	{"country", "country", CLI_TEXT},
	{"first write", "first_write_unix_s", CLI_TIME_S},
	{"custodian", "custodian", CLI_TEXT},
	{"tenant", "tenant", CLI_TEXT},
	{0},
};

/* A kind of thing that kmsd lists and shows. */
struct noun {
	const char *rows; /* the array in its answers */
	const struct cli_column *fields, *more;
	cli_list_call *list;
	kms_err (*show)(struct kms_client *client, const char *id, char **ret_json);
};
static const struct noun tenants = {
	"tenants", tenant_fields, tenant_fields, kms_admin_tenant_list, kms_admin_tenant_show};
static const struct noun principals = {"principals", principal_fields, principal_more,
	kms_admin_principal_list, kms_admin_principal_show};
static const struct noun tokens = {
	"tokens", token_fields, token_more, kms_admin_token_list, kms_admin_token_show};
static const struct noun datasets = {
	"datasets", dataset_fields, dataset_more, kms_admin_dataset_list, kms_admin_dataset_show};

static kms_err list_rows(const struct cli *cli, const struct noun *noun)
{
	KMS_AUTO(doc) doc = NULL;
	struct doc *rows = NULL;
	KMS_TRY(cli_pages(cli, noun->list, noun->rows, &doc));
	if (cli_value(cli, "json") != NULL) {
		return cli_json_write(NULL, doc);
	}
	KMS_TRY(doc_get_array(doc, noun->rows, &rows));
	return cli_rows_print(rows, noun->fields);
}

static kms_err list(const struct cli *cli, const struct noun *noun)
{
	return cli_shape(cli, list_rows(cli, noun));
}

/* The one row of an answer. */
static kms_err print_row(const struct cli *cli, const struct noun *noun, kms_err err, char **json)
{
	KMS_AUTO(doc) doc = NULL;
	struct doc *rows = NULL;
	struct doc *row = NULL;
	KMS_TRY(cli_answer(cli, err, json, &doc));
	err = doc_get_array(doc, noun->rows, &rows);
	err = kms_is_ok(err) ? doc_item_object(rows, 0, &row) : err;
	return cli_shape(cli, kms_is_ok(err) ? cli_row_print(cli, row, noun->more) : err);
}

static kms_err show(const struct cli *cli, const struct noun *noun)
{
	KMS_AUTO_FREE char *json = NULL;
	kms_err err = noun->show(cli->client, cli_operand(cli, 0), &json);
	return print_row(cli, noun, err, &json);
}

kms_err cli_tenant_list(struct cli *cli)
{
	return list(cli, &tenants);
}

kms_err cli_tenant_show(struct cli *cli)
{
	return show(cli, &tenants);
}

kms_err cli_principal_list(struct cli *cli)
{
	return list(cli, &principals);
}

kms_err cli_principal_show(struct cli *cli)
{
	return show(cli, &principals);
}

kms_err cli_token_list(struct cli *cli)
{
	return list(cli, &tokens);
}

kms_err cli_token_show(struct cli *cli)
{
	return show(cli, &tokens);
}

kms_err cli_dataset_list(struct cli *cli)
{
	return list(cli, &datasets);
}

kms_err cli_dataset_show(struct cli *cli)
{
	return show(cli, &datasets);
}

kms_err cli_dataset_add(struct cli *cli)
{
	KMS_AUTO_FREE char *json = NULL;
	char key[KMS_ID_TEXT];
	int64_t first_write_ms = 0;
	const char *first_write = cli_value(cli, "first-write");
	if (first_write != NULL && !kms_is_ok(kms_time_parse(first_write, &first_write_ms))) {
		return cli_refuse(
			KMS_ERR(ARGUMENT), "--first-write is a time such as 2026-11-21T09:00:00Z");
	}
	KMS_TRY(cli_key_id(cli, cli_value(cli, "key"), key));
	const struct kms_dataset_add add = {
		.key_id = key,
		.label = cli_value(cli, "label"),
		.medium = cli_value(cli, "medium"),
		.serial = cli_value(cli, "serial"),
		.site = cli_value(cli, "site"),
		.country = cli_value(cli, "country"),
		.first_write_unix_s = first_write_ms / 1000,
	};
	kms_err err = kms_admin_dataset_add(cli->client, &add, &json);
	return print_row(cli, &datasets, err, &json);
}

static kms_err print_status(const struct cli *cli, struct doc *status)
{
	struct doc *rows = NULL;
	KMS_TRY(cli_row_print(cli, status, status_fields));
	if (cli_value(cli, "json") != NULL) {
		return KMS_OK;
	}
	(void)putchar('\n');
	KMS_TRY(doc_get_array(status, "tokens", &rows));
	return cli_rows_print(rows, token_fields);
}

kms_err cli_status(struct cli *cli)
{
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) status = NULL;
	KMS_TRY(cli_answer(cli, kms_admin_status(cli->client, &json), &json, &status));
	return cli_shape(cli, print_status(cli, status));
}
