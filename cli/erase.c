/* SPDX-License-Identifier: Apache-2.0 */
/* kms erase list, show and execute: how far erasures are. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "erase_int.h"

static const struct cli_column list_fields[] = {
	{"id", "id", CLI_TEXT},
	{"state", "state", CLI_TEXT},
	{"erases", "scope", CLI_TEXT},
	{"of", "subject", CLI_TEXT},
	{"requested", "requested_unix_ms", CLI_TIME_MS},
	{"approvals", "approval_count", CLI_NUMBER},
	{"not before", "not_before_unix_s", CLI_TIME_S},
	{"good until", "expires_unix_s", CLI_TIME_S},
	{"KEKs", "kek_count", CLI_NUMBER},
	{"destroyed", "destroyed_count", CLI_NUMBER},
	{"renewed", "renewed_count", CLI_NUMBER},
	{0},
};
static const struct cli_column show_fields[] = {
	{"erasure", "id", CLI_TEXT},
	{"state", "state", CLI_TEXT},
	{"erases", "scope", CLI_TEXT},
	{"of", "subject", CLI_TEXT},
	{"not before", "not_before_unix_s", CLI_TIME_S},
	{"good until", "expires_unix_s", CLI_TIME_S},
	{"KEKs", "kek_count", CLI_NUMBER},
	{"destroyed", "destroyed_count", CLI_NUMBER},
	{"to wipe", "wipe_count", CLI_NUMBER},
	{"wiped", "wiped_count", CLI_NUMBER},
	{"renewed", "renewed_count", CLI_NUMBER},
	{"done", "done_unix_ms", CLI_TIME_MS},
	{"certificate", "cert", CLI_TEXT},
	{0},
};
static const struct cli_column copy_fields[] = {
	{"token", "token", CLI_TEXT},
	{"KEK", "kek", CLI_TEXT},
	{"key", "key", CLI_TEXT},
	{"version", "version", CLI_NUMBER},
	{"done", "done", CLI_YES},
	{"entry", "seq", CLI_NUMBER},
	{"token reached", "token_up", CLI_YES},
	{"now in", "renewed", CLI_TEXT},
	{0},
};

/* ---- an answer with one ---- */

void erase_shown_free(struct erase_shown *shown)
{
	doc_free(&shown->answer);
	kms_buf_free(&shown->bytes);
	kms_buf_free(&shown->plan);
	format_erase_free(&shown->erase);
}

static kms_err take_apart(struct erase_shown *shown)
{
	struct doc *rows = NULL;
	KMS_TRY(doc_get_array(shown->answer, "erasures", &rows));
	KMS_TRY(doc_item_object(rows, 0, &shown->row));
	KMS_TRY(doc_get_array(shown->answer, "copies", &shown->copies));
	KMS_TRY(doc_get_bytes(shown->answer, "plan", LIMIT_PLAN_BYTES, &shown->plan));
	KMS_TRY(doc_get_uint(shown->answer, "needed", LIMIT_APPROVALS, &shown->needed));
	return doc_get_bytes(shown->row, "bytes", LIMIT_ERASE_BYTES, &shown->bytes);
}

kms_err erase_shown_take(
	const struct cli *cli, kms_err err, char **json, struct erase_shown *ret_shown)
{
	erase_shown_free(ret_shown);
	*ret_shown = (struct erase_shown){0};
	KMS_TRY(cli_answer(cli, err, json, &ret_shown->answer));
	KMS_TRY(cli_shape(cli, take_apart(ret_shown)));
	return erase_bytes_read(kms_buf_bytes(&ret_shown->bytes), &ret_shown->erase);
}

static kms_err print_json(struct erase_shown *shown)
{
	struct doc *about = doc_set_object(shown->row, "signed");
	KMS_TRY(erase_bytes_set(about, shown->erase, kms_buf_bytes(&shown->bytes)));
	doc_set_copy(shown->row, "copies", shown->copies);
	doc_set_int(shown->row, "needed", (int64_t)shown->needed);
	return cli_json_write(NULL, shown->row);
}

/* ---- what was refused ---- */

/* Of each token that refused something that is left, what it said last: it is about all of it. */
static kms_err print_refused(const struct erase_shown *shown)
{
	static const struct cli_column at = {"", "refused_unix_ms", CLI_TIME_MS};
	const char *before = "";
	for (size_t i = 0; i < doc_count(shown->copies); i++) {
		struct doc *row = NULL;
		const char *text = NULL;
		const char *token = NULL;
		bool done = false;
		KMS_AUTO_FREE char *when = NULL;
		KMS_AUTO_FREE char *line = NULL;
		KMS_TRY(doc_item_object(shown->copies, i, &row));
		KMS_TRY(doc_get_text(row, "refused", &text));
		KMS_TRY(doc_get_text(row, "token", &token));
		KMS_TRY(doc_get_bool(row, "done", &done));
		if (done || text[0] == '\0' || strcmp(token, before) == 0) {
			continue;
		}
		before = token;
		KMS_TRY(cli_cell(row, &at, &when));
		KMS_TRY(kms_text(&line, "token %s refused at %s: %s", token, when, text));
		cli_line("", line);
	}
	return KMS_OK;
}

/* ---- who signed, and what comes next ---- */

static kms_err person_line(struct doc *people, const char *head, struct doc *row,
	const char *id_member, const char *time_member, const char *seq_member)
{
	const struct cli_column time = {"", time_member, CLI_TIME_MS};
	const char *id = NULL;
	uint64_t seq = 0;
	KMS_AUTO_FREE char *when = NULL;
	KMS_AUTO_FREE char *text = NULL;
	KMS_TRY(doc_get_text(row, id_member, &id));
	KMS_TRY(cli_cell(row, &time, &when));
	KMS_TRY(doc_get_uint(row, seq_member, INT64_MAX, &seq));
	KMS_TRY(kms_text(&text, "%s, %s, entry %llu", cli_name_of(people, "principals", id), when,
		(unsigned long long)seq));
	cli_line(head, text);
	return KMS_OK;
}

static kms_err print_people(const struct cli *cli, struct erase_shown *shown)
{
	KMS_AUTO(doc) people = cli_names_list(cli, kms_admin_principal_list);
	struct doc *approvals = NULL;
	KMS_TRY(person_line(people, "requested by", shown->row, "requester", "requested_unix_ms",
		"request_seq"));
	KMS_TRY(doc_get_array(shown->row, "approvals", &approvals));
	for (size_t i = 0; i < doc_count(approvals); i++) {
		struct doc *row = NULL;
		KMS_TRY(doc_item_object(approvals, i, &row));
		KMS_TRY(person_line(people, "approved by", row, "principal", "unix_ms", "seq"));
	}
	return KMS_OK;
}

static void print_requested(const struct erase_shown *shown, const char *id, size_t approvals)
{
	int64_t now = kms_now_unix_ms() / 1000;
	if (now >= shown->erase->expires_unix_s) {
		(void)printf(
			"It was not executed in time. Cancel it (kms erase cancel %s), and plan "
			"anew.\n",
			id);
	} else if (approvals < shown->needed) {
		(void)printf(
			"Its keys are suspended. %zu of %llu approvals are there; each approver:\n"
			"  kms erase approve %s --sign-key KEY.pem|pkcs11:...\n",
			approvals, (unsigned long long)shown->needed, id);
	} else {
		(void)printf("Its keys are suspended, and its approvals are there. %s:\n"
			     "  kms erase execute %s\n",
			now < shown->erase->not_before_unix_s ? "After its window, a custodian"
							      : "Next, a custodian",
			id);
	}
}

static void print_next(const struct erase_shown *shown, const char *state, size_t approvals)
{
	char id[KMS_ID_TEXT];
	(void)kms_id_text(&shown->erase->erasure, id);
	(void)putchar('\n');
	if (strcmp(state, "requested") == 0) {
		print_requested(shown, id, approvals);
	} else if (strcmp(state, "executing") == 0) {
		(void)printf("It has begun and can only be finished. When every token is reached "
			     "again:\n  kms erase execute %s\n"
			     "What its tokens refuse once its approvals have expired is planned, "
			     "requested and approved anew (kms erase plan).\n",
			id);
	} else if (strcmp(state, "renewed") == 0) {
		(void)printf("Its approvals expired. What was left of it is in another erasure, "
			     "and its keys stay suspended; its own certificate stays "
			     "provisional.\n");
	} else if (strcmp(state, "done") == 0) {
		(void)printf("Everything that it names is destroyed. Its certificate:\n"
			     "  kms erase certificate %s --output FOLDER\n",
			id);
	} else {
		(void)printf("It was cancelled; its keys have the state that they had.\n");
	}
}

static kms_err print_shown(const struct cli *cli, struct erase_shown *shown)
{
	const char *state = NULL;
	struct doc *approvals = NULL;
	if (cli_value(cli, "json") != NULL) {
		return print_json(shown);
	}
	KMS_TRY(doc_get_text(shown->row, "state", &state));
	KMS_TRY(doc_get_array(shown->row, "approvals", &approvals));
	KMS_TRY(cli_fields_print(shown->row, show_fields));
	KMS_TRY(print_people(cli, shown));
	(void)putchar('\n');
	KMS_TRY(cli_rows_print(shown->copies, copy_fields));
	KMS_TRY(print_refused(shown));
	print_next(shown, state, doc_count(approvals));
	return KMS_OK;
}

kms_err erase_shown_print(const struct cli *cli, struct erase_shown *shown)
{
	return cli_shape(cli, print_shown(cli, shown));
}

/* ---- list, show ---- */

static kms_err list(const struct cli *cli)
{
	KMS_AUTO(doc) doc = NULL;
	struct doc *rows = NULL;
	KMS_TRY(cli_pages(cli, kms_admin_erase_list, "erasures", &doc));
	if (cli_value(cli, "json") != NULL) {
		return cli_json_write(NULL, doc);
	}
	KMS_TRY(doc_get_array(doc, "erasures", &rows));
	return cli_rows_print(rows, list_fields);
}

kms_err cli_erase_list(struct cli *cli)
{
	return cli_shape(cli, list(cli));
}

static kms_err print_plan(const struct cli *cli, const struct erase_shown *shown)
{
	KMS_AUTO(doc) scope = NULL;
	KMS_TRY(erase_bytes_check_scope(shown->erase, kms_buf_bytes(&shown->plan)));
	if (cli_value(cli, "json") != NULL) {
		return KMS_OK;
	}
	KMS_TRY(doc_parse(kms_buf_bytes(&shown->plan), LIMIT_PLAN_BYTES, &scope));
	(void)printf("\nThe plan whose hash was signed:\n\n");
	return erase_scope_print(cli, scope, NULL);
}

kms_err cli_erase_show(struct cli *cli)
{
	ERASE_AUTO_SHOWN shown = {0};
	KMS_AUTO_FREE char *json = NULL;
	kms_err err = kms_admin_erase_show(cli->client, cli_operand(cli, 0), &json);
	KMS_TRY(erase_shown_take(cli, err, &json, &shown));
	KMS_TRY(erase_shown_print(cli, &shown));
	return cli_shape(cli, print_plan(cli, &shown));
}

/* ---- execute ---- */

struct far {
	uint64_t done, all;
	bool finished;
};

static kms_err far_of(struct erase_shown *shown, struct far *ret_far)
{
	static const char *const done[] = {"destroyed_count", "wiped_count"};
	static const char *const all[] = {"kek_count", "wipe_count"};
	const char *state = NULL;
	struct far far = {0};
	for (size_t i = 0; i < 2; i++) {
		uint64_t part = 0;
		KMS_TRY(doc_get_uint(shown->row, done[i], UINT32_MAX, &part));
		far.done += part;
		KMS_TRY(doc_get_uint(shown->row, all[i], UINT32_MAX, &part));
		far.all += part;
	}
	KMS_TRY(doc_get_text(shown->row, "state", &state));
	far.finished = strcmp(state, "done") == 0;
	*ret_far = far;
	return KMS_OK;
}

/* Once. An answer that comes too late is not the end: what was done meanwhile is asked for. */
static kms_err step(const struct cli *cli, struct erase_shown *shown)
{
	KMS_AUTO_FREE char *json = NULL;
	const char *id = cli_operand(cli, 0);
	kms_err err = kms_admin_erase_execute(cli->client, id, &json);
	if (kms_is(err, KMS_CODE_TIMEOUT)) {
		err = kms_admin_erase_show(cli->client, id, &json);
	}
	return erase_shown_take(cli, err, &json, shown);
}

static void tell(const struct far *far)
{
	if (isatty(2) != 0) {
		(void)fprintf(stderr, "\r\033[K%llu of %llu destroyed%s",
			(unsigned long long)far->done, (unsigned long long)far->all,
			far->finished ? "\n" : "");
		(void)fflush(stderr);
	}
}

/* As long as it moves. */
static kms_err execute(const struct cli *cli, struct erase_shown *shown, struct far *far)
{
	uint64_t before;
	do {
		before = far->done;
		KMS_TRY(step(cli, shown));
		KMS_TRY(cli_shape(cli, far_of(shown, far)));
		tell(far);
	} while (!far->finished && far->done > before);
	return KMS_OK;
}

kms_err cli_erase_execute(struct cli *cli)
{
	ERASE_AUTO_SHOWN shown = {0};
	struct far far = {0};
	kms_err err = execute(cli, &shown, &far);
	if (isatty(2) != 0 && !far.finished && far.all > 0) {
		(void)fputc('\n', stderr);
	}
	KMS_TRY(err);
	KMS_TRY(erase_shown_print(cli, &shown));
	return far.finished
		       ? KMS_OK
		       : cli_refuse(KMS_ERR(TOKEN_DOWN),
				 "%llu of %llu are destroyed; its keys stay suspended, and kms "
				 "erase execute goes on when the tokens are reached again",
				 (unsigned long long)far.done, (unsigned long long)far.all);
}
