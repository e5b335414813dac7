/* SPDX-License-Identifier: Apache-2.0 */
/* kms encrypt, decrypt and rewrap: files, by libkms's stream format. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli_int.h"

/* NULL stands for standard input and output. */
static const char *path_of(const char *operand)
{
	return strcmp(operand, "-") == 0 ? NULL : operand;
}

/* Strictly a number of threads. */
static kms_err get_threads(const struct cli *cli, uint32_t *ret_threads)
{
	const char *text = cli_value(cli, "threads");
	uint32_t threads = 0;
	for (size_t i = 0; text != NULL && text[i] != '\0'; i++) {
		if (text[i] < '0' || text[i] > '9' || i > 3) {
			return cli_refuse(KMS_ERR(ARGUMENT), "--threads is a number");
		}
		threads = threads * 10 + (uint32_t)(text[i] - '0');
	}
	*ret_threads = threads;
	return KMS_OK;
}

static kms_err run(struct cli *cli, bool encrypt)
{
	struct kms_context *context __attribute__((cleanup(kms_context_free))) = NULL;
	struct cli_progress progress = {0};
	struct kms_file_options options = {.force = cli_value(cli, "force") != NULL};
	const char *in = path_of(cli_operand(cli, 0));
	const char *out = path_of(cli_operand(cli, 1));
	char id[KMS_ID_TEXT] = "";
	kms_err err;
	if (encrypt && out == NULL && isatty(1)) {
		return cli_refuse(KMS_ERR(ARGUMENT), "encrypted bytes are not for a terminal; name "
						     "a file, or redirect");
	}
	if (isatty(2)) {
		options.progress = cli_progress_tell;
		options.progress_arg = &progress;
	}
	KMS_TRY(get_threads(cli, &options.threads));
	KMS_TRY(cli_context(cli, &context));
	if (encrypt) {
		KMS_TRY(cli_key_id(cli, cli_value(cli, "key"), id));
		err = kms_encrypt_file(
			cli->client, id[0] != '\0' ? id : NULL, context, in, out, &options);
	} else {
		err = kms_decrypt_file(cli->client, context, in, out, &options);
	}
	cli_progress_end(&progress);
	return cli_told(cli, err);
}

kms_err cli_encrypt(struct cli *cli)
{
	return run(cli, true);
}

kms_err cli_decrypt(struct cli *cli)
{
	return run(cli, false);
}

/* ---- rewrap ---- */

/* Which key and version a wrapped key is under, before and after. */
struct change {
	char key[KMS_KEY_ID_TEXT];
	uint32_t before, after;
};

static kms_err rewrap_wrapped(
	struct cli *cli, const struct kms_context *context, const char *path, struct change *change)
{
	KMS_AUTO_BUF old = {0};
	KMS_AUTO_FREE uint8_t *fresh = NULL;
	KMS_AUTO_FREE char *text = NULL;
	KMS_AUTO_FREE char *line = NULL;
	size_t len = 0;
	KMS_TRY(cli_wrapped_read(path, &old));
	KMS_TRY(cli_told(cli, kms_wrapped_info(old.ptr, old.len, change->key, &change->before)));
	KMS_TRY(cli_told(cli, kms_rewrap(cli->client, old.ptr, old.len, context, &fresh, &len)));
	KMS_TRY(cli_told(cli, kms_wrapped_info(fresh, len, change->key, &change->after)));
	/* In place: after a crash there is the old one or the new one, and both are good. */
	KMS_TRY(kms_base64_text((struct kms_bytes){fresh, len}, &text));
	KMS_TRY(kms_text(&line, "%s\n", text));
	return kms_file_write(path, kms_bytes_str(line), 0644);
}

static kms_err file_info(
	struct cli *cli, const char *path, char key[KMS_KEY_ID_TEXT], uint32_t *ret_version)
{
	KMS_AUTO_FREE uint8_t *wrapped = NULL;
	size_t len = 0;
	KMS_TRY(cli_told(cli, kms_file_wrapped(path, &wrapped, &len)));
	return cli_told(cli, kms_wrapped_info(wrapped, len, key, ret_version));
}

static kms_err rewrap_header(
	struct cli *cli, const struct kms_context *context, const char *path, struct change *change)
{
	KMS_TRY(file_info(cli, path, change->key, &change->before));
	KMS_TRY(cli_told(cli, kms_rewrap_file(cli->client, context, path)));
	return file_info(cli, path, change->key, &change->after);
}

kms_err cli_rewrap(struct cli *cli)
{
	struct kms_context *context __attribute__((cleanup(kms_context_free))) = NULL;
	struct change change = {0};
	const char *path = cli_operand(cli, 0);
	KMS_TRY(cli_context(cli, &context));
	KMS_TRY(cli_value(cli, "wrapped") != NULL ? rewrap_wrapped(cli, context, path, &change)
						  : rewrap_header(cli, context, path, &change));
	if (cli_value(cli, "json") == NULL) {
		(void)printf("%s: key %s, version %u -> %u\n", path, change.key, change.before,
			change.after);
		return KMS_OK;
	}
	KMS_AUTO(doc) doc = NULL;
	KMS_TRY(doc_new_object(&doc));
	doc_set_text(doc, "file", path);
	doc_set_text(doc, "key", change.key);
	doc_set_int(doc, "before", change.before);
	doc_set_int(doc, "after", change.after);
	return cli_json_write(NULL, doc);
}
