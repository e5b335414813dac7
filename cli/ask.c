/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talking to kmsd through libkms: the profile, what to say when a call fails, lists of several
 * pages, and keys by their labels. What kmsd answers is shown, not believed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_int.h"

enum { ANSWER_MAX = LIMIT_HTTP_ANSWER };

/* ---- opening ---- */

kms_err cli_profile_path(const struct cli *cli, char **ret_path)
{
	const char *path = cli_value(cli, "profile");
	if (path == NULL) {
		path = getenv("KMS_PROFILE");
	}
	if (path != NULL && *path != '\0') {
		return kms_text(ret_path, "%s", path);
	}
	const char *home = getenv("HOME");
	return kms_text(ret_path, "%s/.config/kms/profile.yaml", home != NULL ? home : "");
}

kms_err cli_connect(struct cli *cli)
{
	KMS_AUTO_FREE char *path = NULL;
	KMS_TRY(cli_profile_path(cli, &path));
	if (access(path, R_OK) != 0) {
		return cli_refuse(KMS_ERR(CONFIG),
			"%s: %s; name a profile with --profile or $KMS_PROFILE (kms init profile "
			"makes one)",
			path, strerror(errno));
	}
	kms_err err = kms_client_open(path, &cli->client);
	return kms_is_ok(err) ? err : cli_refuse(err, "%s: %s", path, kms_err_text(err));
}

/* ---- failing ---- */

/* What whoever sits there can do about it. */
static const char *const advice[] = {
	[KMS_CODE_UNAUTHENTICATED] = "take the profile of a registered principal, or have it added",
	[KMS_CODE_DENIED] = "take the profile of somebody with the right role (kms principal list)",
	[KMS_CODE_NOT_FOUND] = "look at the list for what there is",
	[KMS_CODE_EXISTS] = "choose another name, or --force for a file",
	[KMS_CODE_KEY_STATE] = "kms key show tells the key's state",
	[KMS_CODE_CONTEXT] = "give the same --context and --dataset as when it was made",
	[KMS_CODE_INTEGRITY] = "do not use this copy; take another one",
	[KMS_CODE_TRUNCATED] = "fetch the whole of it again",
	[KMS_CODE_FORMAT] = "check that this is the right file",
	[KMS_CODE_PINS] = "do not go on; ask the token's owner whether the pins have changed",
	[KMS_CODE_BUDGET] = "a custodian rotates it with kms key rotate",
	[KMS_CODE_RATE] = "wait a moment",
	[KMS_CODE_TOKEN_DOWN] = "kms status shows which token is away",
	[KMS_CODE_TOKEN_REFUSED] = "ask the token's owner",
	[KMS_CODE_LEDGER] = "the operator of kmsd has to look at its disk",
	[KMS_CODE_STORE] = "the operator of kmsd has to look at its store",
	[KMS_CODE_NETWORK] = "check that kmsd runs, and the addresses in the profile",
	[KMS_CODE_TIMEOUT] = "check that kmsd runs, and the addresses in the profile",
	[KMS_CODE_ROLLBACK] = "the operator of kmsd has put back an old store",
	[KMS_CODE_SESSION] = "run it again",
};

kms_err cli_told(const struct cli *cli, kms_err err)
{
	char problem[512];
	const char *next = NULL;
	if (kms_is_ok(err)) {
		return err;
	}
	int saved = errno;
	(void)kms_client_problem(cli->client, problem, sizeof(problem));
	if (problem[0] == '\0' && kms_is(err, KMS_CODE_IO) && saved != 0) {
		(void)snprintf(problem, sizeof(problem), "%s", strerror(saved));
	}
	if ((size_t)err.code < sizeof(advice) / sizeof(advice[0])) {
		next = advice[err.code];
	}
	return cli_refuse(err, "%s: %s%s%s%s%s%s", cli->command->words, kms_err_text(err),
		problem[0] != '\0' ? " (" : "", problem, problem[0] != '\0' ? ")" : "",
		next != NULL ? "; " : "", next != NULL ? next : "");
}

kms_err cli_answer(const struct cli *cli, kms_err err, char **json, struct doc **ret_doc)
{
	KMS_AUTO_FREE char *text = NULL;
	KMS_TRY(cli_told(cli, err));
	text = kms_take(json);
	err = doc_parse(kms_bytes_str(text), ANSWER_MAX, ret_doc);
	return kms_is_ok(err) ? err
			      : cli_refuse(err, "%s: kmsd's answer: %s", cli->command->words,
					kms_err_text(err));
}

kms_err cli_shape(const struct cli *cli, kms_err err)
{
	if (kms_is(err, KMS_CODE_FORMAT) || kms_is(err, KMS_CODE_TOO_LARGE) ||
		kms_is(err, KMS_CODE_NO_MEMORY)) {
		return cli_refuse(err, "%s: what kmsd answered cannot be shown: %s",
			cli->command->words, kms_err_text(err));
	}
	return err;
}

/* ---- lists ---- */

static kms_err add_page(struct doc *page, const char *rows, struct doc *all, char last[KMS_ID_TEXT],
	size_t *ret_count)
{
	struct doc *array = NULL;
	KMS_TRY(doc_get_array(page, rows, &array));
	for (size_t i = 0; i < doc_count(array); i++) {
		struct doc *row = NULL;
		struct kms_id id;
		KMS_TRY(doc_item_object(array, i, &row));
		KMS_TRY(doc_get_id(row, "id", &id));
		(void)kms_id_text(&id, last);
		doc_add_copy(all, row);
	}
	*ret_count = doc_count(array);
	return KMS_OK;
}

kms_err cli_pages(
	const struct cli *cli, cli_list_call *call, const char *rows, struct doc **ret_doc)
{
	KMS_AUTO(doc) list = NULL;
	char last[KMS_ID_TEXT] = "";
	char before[KMS_ID_TEXT];
	size_t count = 0;
	KMS_TRY(doc_new_object(&list));
	struct doc *all = doc_set_array(list, rows);
	do {
		KMS_AUTO(doc) page = NULL;
		KMS_AUTO_FREE char *json = NULL;
		struct kms_page where = {last[0] != '\0' ? last : NULL, LIMIT_LIST_PAGE};
		memcpy(before, last, sizeof(before));
		KMS_TRY(cli_answer(cli, call(cli->client, &where, &json), &json, &page));
		KMS_TRY(add_page(page, rows, all, last, &count));
		if (doc_count(all) > LIMIT_DATASETS) {
			return KMS_ERR(TOO_LARGE);
		}
		/* A page that does not go on would go on for ever. */
	} while (count >= LIMIT_LIST_PAGE && strcmp(before, last) < 0);
	*ret_doc = kms_take(&list);
	return KMS_OK;
}

/* ---- things by label ---- */

kms_err cli_find(const struct cli *cli, cli_list_call *call, const char *rows, const char *what,
	const char *text, char ret_id[KMS_ID_TEXT])
{
	KMS_AUTO(doc) list = NULL;
	struct doc *array = NULL;
	struct kms_id id;
	size_t found = 0;
	char id_text[KMS_ID_TEXT] = "";
	if (kms_is_ok(kms_id_parse(text, &id))) {
		(void)kms_id_text(&id, ret_id);
		return KMS_OK;
	}
	KMS_TRY(cli_pages(cli, call, rows, &list));
	KMS_TRY(doc_get_array(list, rows, &array));
	for (size_t i = 0; i < doc_count(array); i++) {
		struct doc *row = NULL;
		const char *label = NULL;
		KMS_TRY(doc_item_object(array, i, &row));
		KMS_TRY(doc_get_text(row, "label", &label));
		if (strcmp(label, text) == 0) {
			KMS_TRY(doc_get_id(row, "id", &id));
			(void)kms_id_text(&id, id_text);
			found++;
		}
	}
	if (found == 0) {
		return cli_refuse(KMS_ERR(NOT_FOUND),
			"there is no %s with the label %s; kms %s list shows them", what, text,
			what);
	}
	if (found > 1) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"%zu %ss have the label %s; give the id (kms %s list)", found, what, text,
			what);
	}
	memcpy(ret_id, id_text, sizeof(id_text));
	return KMS_OK;
}

kms_err cli_key_id(const struct cli *cli, const char *key, char ret_id[KMS_ID_TEXT])
{
	if (key == NULL) {
		ret_id[0] = '\0';
		return KMS_OK;
	}
	return cli_find(cli, kms_admin_key_list, "keys", "key", key, ret_id);
}
