/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms init profile: what clients pin. It comes from the tokens' owners and must never come from
 * kmsd.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli_int.h"

enum { PROFILE_MAX = 64 * 1024 };

/* ---- profile (kms-profile.yaml(5)) ---- */

/* A scalar in single quotes. */
static kms_err write_scalar(struct kms_writer *yaml, const char *name, const char *value)
{
	if (*value == '\0' || !kms_is_ok(model_text_check(value, PROFILE_MAX))) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"%s is empty, has control characters or is not UTF-8", name);
	}
	kms_write_format(yaml, "%s: '", name);
	for (; *value != '\0'; value++) {
		kms_write_text(yaml, *value == '\'' ? "''" : (const char[]){*value, '\0'});
	}
	kms_write_text(yaml, "'\n");
	return KMS_OK;
}

/* Absolute, since the profile may lie elsewhere. */
static kms_err write_path(
	struct cli *cli, struct kms_writer *yaml, const char *option, const char *name)
{
	const char *given = cli_value(cli, option);
	KMS_AUTO_FREE char *path = realpath(given, NULL);
	if (path == NULL) {
		return cli_refuse(KMS_ERR(ARGUMENT), "%s: %s", given, strerror(errno));
	}
	return write_scalar(yaml, name, path);
}

static kms_err write_addresses(struct cli *cli, struct kms_writer *yaml)
{
	const char *data = cli_value(cli, "data-url");
	const char *admin = cli_value(cli, "admin-url");
	if (data == NULL && admin == NULL) {
		return cli_refuse(
			KMS_ERR(ARGUMENT), "give --data-url, --admin-url, or both: where kmsd is");
	}
	if (data != NULL) {
		KMS_TRY(write_scalar(yaml, "data_url", data));
	}
	if (admin != NULL) {
		KMS_TRY(write_scalar(yaml, "admin_url", admin));
	}
	KMS_TRY(write_path(cli, yaml, "server-ca", "server_ca"));
	KMS_TRY(write_path(cli, yaml, "certificate", "certificate"));
	return write_path(cli, yaml, "key", "key");
}

static kms_err write_id(
	struct cli *cli, struct kms_writer *yaml, const char *option, const char *name)
{
	struct kms_id id;
	const char *text = cli_value(cli, option);
	if (text != NULL && !kms_is_ok(kms_id_parse(text, &id))) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--%s is a UUID in lower case", option);
	}
	if (text != NULL) {
		kms_write_format(yaml, "%s: %s\n", name, text);
	}
	return KMS_OK;
}

static kms_err write_pinned_token(const char *path, const char *tenant, struct kms_writer *yaml)
{
	KMS_AUTO(cli_pins) pins = NULL;
	char id[KMS_ID_TEXT];
	char spki[KMS_HASH_TEXT];
	KMS_TRY(cli_pins_read(path, &pins));
	if (pins->system || strcmp(kms_id_text(&pins->token.tenant, id), tenant) != 0) {
		return cli_refuse(KMS_ERR(PINS),
			"%s: this token is not this tenant's; its owner's file names the tenant",
			path);
	}
	kms_write_format(yaml, "  - {id: %s, session_spki: %s}\n", kms_id_text(&pins->token.id, id),
		kms_hash_text(&pins->token.session_spki, spki));
	return KMS_OK;
}

static kms_err write_pins(struct cli *cli, struct kms_writer *yaml)
{
	enum model_custody custody = MODEL_CUSTODY_ANY;
	enum model_delivery delivery = MODEL_DELIVERY_SEALED;
	const char *tenant = cli_value(cli, "tenant");
	const char *word = cli_value(cli, "custody");
	if (word != NULL && !kms_is_ok(model_custody_parse(word, &custody))) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--custody is any or all");
	}
	word = cli_value(cli, "delivery");
	if (word != NULL && !kms_is_ok(model_delivery_parse(word, &delivery))) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--delivery is sealed or clear");
	}
	if ((tenant == NULL) != (cli_count(cli, "pins") == 0)) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--tenant and --pins go together");
	}
	if (tenant == NULL) {
		return KMS_OK;
	}
	KMS_TRY(write_id(cli, yaml, "tenant", "tenant"));
	kms_write_format(yaml, "pins:\n  custody: %s\n  delivery: %s\n  tokens:\n",
		model_custody_text(custody), model_delivery_text(delivery));
	for (size_t i = 0; i < cli_count(cli, "pins"); i++) {
		KMS_TRY(write_pinned_token(cli_value_at(cli, "pins", i), tenant, yaml));
	}
	return KMS_OK;
}

kms_err cli_init_profile(struct cli *cli)
{
	KMS_AUTO_WRITER yaml = kms_writer_grow(PROFILE_MAX);
	struct kms_bytes bytes;
	KMS_TRY(write_addresses(cli, &yaml));
	KMS_TRY(write_id(cli, &yaml, "key-id", "default_key"));
	KMS_TRY(write_pins(cli, &yaml));
	KMS_TRY(kms_writer_bytes(&yaml, &bytes));
	return cli_file_write(cli_value(cli, "output"), bytes, 0644);
}
