/* SPDX-License-Identifier: Apache-2.0 */
/* kms key: create, list, show, and the changes of state. */
#include <stdio.h>
#include <string.h>

#include "cli_int.h"
#include "config.h"

static const struct cli_column list_fields[] = {
	{"id", "id", CLI_TEXT},
	{"label", "label", CLI_TEXT},
	{"state", "state", CLI_TEXT},
	{"version", "version", CLI_NUMBER},
	{"custody", "custody", CLI_TEXT},
	{"delivery", "delivery", CLI_TEXT},
	{"created", "created_unix_ms", CLI_TIME_MS},
	{0},
};
static const struct cli_column key_fields[] = {
	{"id", "id", CLI_TEXT},
	{"label", "label", CLI_TEXT},
	{"state", "state", CLI_TEXT},
	{"version", "version", CLI_NUMBER},
	{"custody", "custody", CLI_TEXT},
	{"delivery", "delivery", CLI_TEXT},
	{"tokens", "tokens", CLI_TEXTS},
	{"custodian", "custodian", CLI_TEXT},
	{"created", "created_unix_ms", CLI_TIME_MS},
	{0},
};
static const struct cli_column kek_fields[] = {
	{"version", "version", CLI_NUMBER},
	{"state", "state", CLI_TEXT},
	{"created", "created_unix_ms", CLI_TIME_MS},
	{"token", "token", CLI_TEXT},
	{0},
};

static kms_err list_keys(const struct cli *cli)
{
	KMS_AUTO(doc) doc = NULL;
	struct doc *rows = NULL;
	KMS_TRY(cli_pages(cli, kms_admin_key_list, "keys", &doc));
	if (cli_value(cli, "json") != NULL) {
		return cli_json_write(NULL, doc);
	}
	KMS_TRY(doc_get_array(doc, "keys", &rows));
	return cli_rows_print(rows, list_fields);
}

kms_err cli_key_list(struct cli *cli)
{
	return cli_shape(cli, list_keys(cli));
}

/* The key of an answer, with its KEKs. */
static kms_err print_rows(const struct cli *cli, struct doc *doc)
{
	struct doc *keys = NULL;
	struct doc *keks = NULL;
	struct doc *key = NULL;
	KMS_TRY(doc_get_array(doc, "keys", &keys));
	KMS_TRY(doc_item_object(keys, 0, &key));
	KMS_TRY(doc_get_array(doc, "keks", &keks));
	if (cli_value(cli, "json") != NULL) {
		doc_set_copy(key, "keks", keks);
		return cli_json_write(NULL, key);
	}
	KMS_TRY(cli_fields_print(key, key_fields));
	(void)putchar('\n');
	return cli_rows_print(keks, kek_fields);
}

static kms_err print_key(const struct cli *cli, kms_err err, char **json)
{
	KMS_AUTO(doc) doc = NULL;
	KMS_TRY(cli_answer(cli, err, json, &doc));
	return cli_shape(cli, print_rows(cli, doc));
}

typedef kms_err key_call(struct kms_client *client, const char *id, char **ret_json);

static kms_err call_and_print(const struct cli *cli, key_call *call)
{
	KMS_AUTO_FREE char *json = NULL;
	char id[KMS_ID_TEXT];
	KMS_TRY(cli_key_id(cli, cli_operand(cli, 0), id));
	kms_err err = call(cli->client, id, &json);
	return print_key(cli, err, &json);
}

kms_err cli_key_show(struct cli *cli)
{
	return call_and_print(cli, kms_admin_key_show);
}

kms_err cli_key_rotate(struct cli *cli)
{
	return call_and_print(cli, kms_admin_key_rotate);
}

kms_err cli_key_suspend(struct cli *cli)
{
	return call_and_print(cli, kms_admin_key_suspend);
}

kms_err cli_key_resume(struct cli *cli)
{
	return call_and_print(cli, kms_admin_key_resume);
}

kms_err cli_key_deactivate(struct cli *cli)
{
	return call_and_print(cli, kms_admin_key_deactivate);
}

/* ---- create ---- */

/* What a new key is to be: as given, and else as the profile pins keys. */
struct wish {
	enum model_custody custody;
	enum model_delivery delivery;
	size_t token_count;
	struct kms_id tokens[LIMIT_CUSTODY_TOKENS];
};

static kms_err wish_tokens(struct wish *wish, struct config *tokens)
{
	for (size_t i = 0; i < config_count(tokens) && i < LIMIT_CUSTODY_TOKENS; i++) {
		struct config *token;
		KMS_TRY(config_item_map(tokens, i, &token));
		KMS_TRY(config_get_id(token, "id", &wish->tokens[i]));
		wish->token_count = i + 1;
	}
	return KMS_OK;
}

/* The profile was read as a whole by libkms; here only its pins are looked at. */
static kms_err wish_pinned(const struct cli *cli, struct wish *wish)
{
	static const char *const custody[] = {"any", "all"};
	static const char *const delivery[] = {"sealed", "clear"};
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO(config) profile = NULL;
	struct config *pins;
	struct config *tokens;
	size_t word;
	KMS_TRY(cli_profile_path(cli, &path));
	KMS_TRY(config_read(path, &profile));
	KMS_TRY(config_get_map_or_none(profile, "pins", &pins));
	if (pins == NULL) {
		return KMS_OK;
	}
	KMS_TRY(config_get_choice(pins, "custody", custody, 2, &word));
	wish->custody = word == 0 ? MODEL_CUSTODY_ANY : MODEL_CUSTODY_ALL;
	KMS_TRY(config_get_choice(pins, "delivery", delivery, 2, &word));
	wish->delivery = word == 0 ? MODEL_DELIVERY_SEALED : MODEL_DELIVERY_CLEAR;
	KMS_TRY(config_get_list(pins, "tokens", &tokens));
	return wish_tokens(wish, tokens);
}

static kms_err wish_given(const struct cli *cli, struct wish *wish)
{
	const char *word = cli_value(cli, "custody");
	if (word != NULL && !kms_is_ok(model_custody_parse(word, &wish->custody))) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--custody is any or all");
	}
	word = cli_value(cli, "delivery");
	if (word != NULL && !kms_is_ok(model_delivery_parse(word, &wish->delivery))) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--delivery is sealed or clear");
	}
	size_t count = cli_count(cli, "token");
	if (count > LIMIT_CUSTODY_TOKENS) {
		return cli_refuse(
			KMS_ERR(TOO_LARGE), "a key has at most %d tokens", LIMIT_CUSTODY_TOKENS);
	}
	for (size_t i = 0; i < count; i++) {
		if (!kms_is_ok(kms_id_parse(cli_value_at(cli, "token", i), &wish->tokens[i]))) {
			return cli_refuse(
				KMS_ERR(ARGUMENT), "--token is an id that kms token list shows");
		}
		wish->token_count = count;
	}
	if (wish->token_count == 0) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"the profile pins no tokens; name them with --token (kms token list)");
	}
	return KMS_OK;
}

kms_err cli_key_create(struct cli *cli)
{
	struct wish wish = {.custody = MODEL_CUSTODY_ANY, .delivery = MODEL_DELIVERY_SEALED};
	char texts[LIMIT_CUSTODY_TOKENS][KMS_ID_TEXT];
	const char *tokens[LIMIT_CUSTODY_TOKENS];
	KMS_AUTO_FREE char *json = NULL;
	KMS_TRY(wish_pinned(cli, &wish));
	KMS_TRY(wish_given(cli, &wish));
	for (size_t i = 0; i < wish.token_count; i++) {
		tokens[i] = kms_id_text(&wish.tokens[i], texts[i]);
	}
	const struct kms_key_create create = {
		.label = cli_value(cli, "label"),
		.custody = wish.custody == MODEL_CUSTODY_ALL ? KMS_CUSTODY_ALL : KMS_CUSTODY_ANY,
		.delivery = wish.delivery == MODEL_DELIVERY_CLEAR ? KMS_DELIVERY_CLEAR
								  : KMS_DELIVERY_SEALED,
		.token_ids = tokens,
		.token_count = wish.token_count,
	};
	kms_err err = kms_admin_key_create(cli->client, &create, &json);
	return print_key(cli, err, &json);
}
