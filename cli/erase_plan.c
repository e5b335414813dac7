/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms erase plan: what an erasure would destroy and what would stay. It changes nothing. The plan
 * can be kept as a file, which `kms erase request` takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "erase_int.h"

enum {
	WINDOW_S = 24 * 3600,    /* to wait, where nothing was said */
	VALID_S = 7 * 24 * 3600, /* then approvals are good so long */
	PLAN_FILE_MAX = LIMIT_HTTP_ANSWER,
};

void erase_plan_free(struct erase_plan **plan)
{
	if (plan != NULL && *plan != NULL) {
		doc_free(&(*plan)->scope);
		doc_free(&(*plan)->observed);
		kms_buf_free(&(*plan)->bytes);
		format_erase_free(&(*plan)->erase);
		free(*plan);
		*plan = NULL;
	}
}

/* ---- what is wanted ---- */

struct wish {
	struct kms_erase_plan plan;
	char subject[KMS_ID_TEXT];
	uint32_t versions[LIMIT_ERASE_VERSIONS];
};

/* "1,2,5" */
static kms_err wish_versions(const char *text, struct wish *wish)
{
	const char *at = text;
	size_t count = 0;
	while (count < LIMIT_ERASE_VERSIONS) {
		size_t digits = strspn(at, "0123456789");
		unsigned long version = digits > 0 && digits < 6 ? strtoul(at, NULL, 10) : 0;
		if (version == 0 || version > LIMIT_KEY_VERSIONS ||
			(at[digits] != ',' && at[digits] != '\0')) {
			break;
		}
		wish->versions[count++] = (uint32_t)version;
		at += digits;
		if (*at == '\0') {
			wish->plan.versions = wish->versions;
			wish->plan.version_count = count;
			return KMS_OK;
		}
		at++;
	}
	return cli_refuse(KMS_ERR(ARGUMENT),
		"--versions is a list such as 1,2 of the key's older versions, at most %d of them",
		LIMIT_ERASE_VERSIONS);
}

/* The caller's own: the one that kmsd lists. */
static kms_err wish_tenant(const struct cli *cli, struct wish *wish)
{
	KMS_AUTO(doc) list = NULL;
	struct doc *rows = NULL;
	struct doc *row = NULL;
	struct kms_id id;
	KMS_TRY(cli_pages(cli, kms_admin_tenant_list, "tenants", &list));
	KMS_TRY(doc_get_array(list, "tenants", &rows));
	if (doc_count(rows) != 1) {
		return cli_refuse(
			KMS_ERR(DENIED), "only a tenant's own custodian can end its contract");
	}
	KMS_TRY(doc_item_object(rows, 0, &row));
	KMS_TRY(doc_get_id(row, "id", &id));
	(void)kms_id_text(&id, wish->subject);
	return KMS_OK;
}

static kms_err wish_scope(const struct cli *cli, struct wish *wish)
{
	const char *key = cli_value(cli, "key");
	const char *dataset = cli_value(cli, "dataset");
	const char *versions = cli_value(cli, "versions");
	bool tenant = cli_value(cli, "tenant") != NULL;
	if ((key != NULL) + (dataset != NULL) + tenant != 1) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"say what is to be erased: one of --key, --dataset and --tenant");
	}
	if (versions != NULL && key == NULL) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--versions belongs to --key");
	}
	wish->plan.wipe = cli_value(cli, "wipe") != NULL;
	if (wish->plan.wipe != 0 && !tenant) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--wipe belongs to --tenant");
	}
	if (versions != NULL) {
		KMS_TRY(wish_versions(versions, wish));
	}
	wish->plan.subject = wish->subject;
	if (tenant) {
		wish->plan.scope = KMS_ERASE_TENANT;
		return wish_tenant(cli, wish);
	}
	if (dataset != NULL) {
		wish->plan.scope = KMS_ERASE_DATASET;
		return cli_find(
			cli, kms_admin_dataset_list, "datasets", "dataset", dataset, wish->subject);
	}
	wish->plan.scope = versions != NULL ? KMS_ERASE_VERSIONS : KMS_ERASE_KEY;
	return cli_key_id(cli, key, wish->subject);
}

static kms_err wish_times(const struct cli *cli, struct wish *wish)
{
	KMS_TRY(cli_duration(cli, "window", LIMIT_ERASE_WINDOW_S, WINDOW_S, &wish->plan.window_s));
	KMS_TRY(cli_duration(cli, "valid", LIMIT_ERASE_WINDOW_S, VALID_S, &wish->plan.valid_s));
	if (wish->plan.valid_s == 0) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"--valid 0s leaves no time to execute it; say 7d, for instance");
	}
	return KMS_OK;
}

/* ---- the plan ---- */

/* scope as its RFC 8785 bytes, which were hashed. */
static kms_err plan_of(struct kms_bytes scope, struct kms_bytes observed, struct kms_buf *bytes,
	struct erase_plan **ret_plan)
{
	KMS_AUTO(erase_plan) plan = calloc(1, sizeof(*plan));
	if (plan == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(doc_parse(scope, LIMIT_PLAN_BYTES, &plan->scope));
	KMS_TRY(doc_parse(observed, LIMIT_PLAN_BYTES, &plan->observed));
	if (bytes->len > 0) {
		KMS_TRY(erase_bytes_read(kms_buf_bytes(bytes), &plan->erase));
		KMS_TRY(erase_bytes_check_scope(plan->erase, scope));
		plan->bytes = *bytes;
		*bytes = (struct kms_buf){0};
	}
	*ret_plan = kms_take(&plan);
	return KMS_OK;
}

static kms_err plan_of_answer(struct doc *answer, struct erase_plan **ret_plan)
{
	KMS_AUTO_BUF scope = {0};
	KMS_AUTO_BUF observed = {0};
	KMS_AUTO_BUF bytes = {0};
	KMS_TRY(doc_get_bytes(answer, "scope", LIMIT_PLAN_BYTES, &scope));
	KMS_TRY(doc_get_bytes(answer, "observed", LIMIT_PLAN_BYTES, &observed));
	KMS_TRY(doc_get_bytes(answer, "bytes", LIMIT_ERASE_BYTES, &bytes));
	return plan_of(kms_buf_bytes(&scope), kms_buf_bytes(&observed), &bytes, ret_plan);
}

kms_err erase_plan_ask(struct cli *cli, struct erase_plan **ret_plan)
{
	struct wish wish = {0};
	KMS_AUTO_FREE char *json = NULL;
	KMS_AUTO(doc) answer = NULL;
	KMS_TRY(wish_times(cli, &wish));
	KMS_TRY(wish_scope(cli, &wish));
	kms_err err = kms_admin_erase_plan(cli->client, &wish.plan, &json);
	KMS_TRY(cli_answer(cli, err, &json, &answer));
	return cli_shape(cli, plan_of_answer(answer, ret_plan));
}

/* ---- as a file ---- */

static kms_err plan_json(const struct erase_plan *plan, struct doc **ret_doc)
{
	KMS_AUTO(doc) doc = NULL;
	KMS_TRY(doc_new_object(&doc));
	doc_set_copy(doc, "scope", plan->scope);
	doc_set_copy(doc, "observed", plan->observed);
	doc_set_bytes(doc, "bytes", kms_buf_bytes(&plan->bytes));
	*ret_doc = kms_take(&doc);
	return KMS_OK;
}

static kms_err plan_of_file(struct doc *file, struct erase_plan **ret_plan)
{
	struct doc *scope = NULL;
	struct doc *observed = NULL;
	KMS_AUTO_BUF scope_json = {0};
	KMS_AUTO_BUF observed_json = {0};
	KMS_AUTO_BUF bytes = {0};
	KMS_TRY(doc_get_object(file, "scope", &scope));
	KMS_TRY(doc_get_object(file, "observed", &observed));
	KMS_TRY(doc_get_bytes(file, "bytes", LIMIT_ERASE_BYTES, &bytes));
	/* However a person's editor left it: the hash is over the canonical form. */
	KMS_TRY(doc_write(scope, &scope_json));
	KMS_TRY(doc_write(observed, &observed_json));
	return plan_of(kms_buf_bytes(&scope_json), kms_buf_bytes(&observed_json), &bytes, ret_plan);
}

kms_err erase_plan_read(const char *path, struct erase_plan **ret_plan)
{
	KMS_AUTO_BUF text = {0};
	KMS_AUTO(doc) file = NULL;
	KMS_TRY(cli_file_read(path, PLAN_FILE_MAX, &text));
	kms_err err = doc_parse(kms_buf_bytes(&text), PLAN_FILE_MAX, &file);
	err = kms_is_ok(err) ? plan_of_file(file, ret_plan) : err;
	if (kms_is_ok(err) || kms_is(err, KMS_CODE_INTEGRITY)) {
		return err; /* said already */
	}
	return cli_refuse(
		err, "%s: no plan of `kms erase plan --output`: %s", path, kms_err_text(err));
}

/* ---- the command ---- */

static kms_err print_plan(const struct cli *cli, const struct erase_plan *plan)
{
	const char *output = cli_value(cli, "output");
	KMS_AUTO(doc) doc = NULL;
	KMS_TRY(plan_json(plan, &doc));
	if (output != NULL) {
		KMS_TRY(cli_json_write(output, doc));
	}
	if (cli_value(cli, "json") != NULL) {
		return output != NULL ? KMS_OK : cli_json_write(NULL, doc);
	}
	KMS_TRY(erase_scope_print(cli, plan->scope, plan->observed));
	if (plan->erase == NULL) {
		(void)printf("\nThis erasure cannot be requested yet: see the problems above, and "
			     "plan again.\n");
	} else if (output != NULL) {
		(void)printf("\nNothing was changed. Next, a custodian signs and sends it:\n"
			     "  kms erase request %s\n",
			output);
	} else {
		(void)printf("\nNothing was changed. Next: run it again with --output FILE, and "
			     "kms erase request FILE.\n");
	}
	return KMS_OK;
}

kms_err cli_erase_plan(struct cli *cli)
{
	KMS_AUTO(erase_plan) plan = NULL;
	KMS_TRY(erase_plan_ask(cli, &plan));
	return cli_shape(cli, print_plan(cli, plan));
}
