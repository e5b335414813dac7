/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms datakey, wrap, unwrap. The key itself goes where its user said, to a file of mode 0600 or to
 * standard output, and never anywhere by default.
 */
#include <string.h>

#include "cli_int.h"

kms_err cli_context(const struct cli *cli, struct kms_context **ret_context)
{
	struct kms_context *context = NULL;
	kms_err err = kms_context_new(&context);
	const char *dataset = cli_value(cli, "dataset");
	if (kms_is_ok(err) && dataset != NULL) {
		err = kms_context_add(context, "dataset", dataset);
		if (!kms_is_ok(err)) {
			err = cli_refuse(err, "--dataset %s: %s", dataset, kms_err_text(err));
		}
	}
	for (size_t i = 0; kms_is_ok(err) && i < cli_count(cli, "context"); i++) {
		const char *pair = cli_value_at(cli, "context", i);
		const char *equals = strchr(pair, '=');
		KMS_AUTO_FREE char *name = NULL;
		if (equals == NULL) {
			err = cli_refuse(KMS_ERR(ARGUMENT), "--context %s: write NAME=VALUE", pair);
			break;
		}
		err = kms_text(&name, "%.*s", (int)(equals - pair), pair);
		err = kms_is_ok(err) ? kms_context_add(context, name, equals + 1) : err;
		if (!kms_is_ok(err)) {
			err = cli_refuse(err,
				"--context %s: %s; a name has a-z, 0-9, '.', '_' and '-', is not "
				"`tenant`, and stands once",
				pair, kms_err_text(err));
		}
	}
	if (!kms_is_ok(err)) {
		kms_context_free(&context);
		return err;
	}
	*ret_context = context;
	return KMS_OK;
}

/* ---- where keys go ---- */

static kms_err check_places(const struct cli *cli, bool key_needed)
{
	bool file = cli_value(cli, "output-key") != NULL;
	bool show = cli_value(cli, "show-key") != NULL;
	if (file && show) {
		return cli_refuse(KMS_ERR(ARGUMENT), "give --output-key or --show-key, not both");
	}
	if (key_needed && !file && !show) {
		return cli_refuse(KMS_ERR(ARGUMENT), "say where the key may go: --output-key FILE, "
						     "or --show-key for standard output");
	}
	return KMS_OK;
}

/* Standard output, in JSON where asked for: the wrapped key, the key itself, or both. */
static kms_err show_json(struct kms_bytes wrapped, const struct kms_secret *key)
{
	KMS_AUTO(kms_secret) out = NULL;
	KMS_AUTO_FREE char *wrapped_text = NULL;
	struct kms_bytes bytes;
	KMS_TRY(kms_base64_text(wrapped, &wrapped_text));
	KMS_TRY(kms_secret_new(strlen(wrapped_text) + 128, &out));
	struct kms_writer json = kms_writer_fixed(kms_secret_ptr(out), kms_secret_len(out));
	kms_write_text(&json, "{");
	if (key != NULL) {
		KMS_AUTO(kms_secret) text = NULL;
		KMS_TRY(kms_secret_base64_encode(key, &text));
		kms_write_text(&json, "\"key\":\"");
		kms_write_bytes(&json, kms_secret_bytes(text));
		kms_write_text(&json, "\",");
	}
	kms_write_text(&json, "\"wrapped\":\"");
	kms_write_text(&json, wrapped_text);
	kms_write_text(&json, "\"}\n");
	KMS_TRY(kms_writer_bytes(&json, &bytes));
	return cli_file_write(NULL, bytes, 0);
}

static kms_err show_key(const struct kms_secret *key)
{
	KMS_AUTO(kms_secret) text = NULL;
	KMS_TRY(kms_secret_base64_encode(key, &text));
	KMS_TRY(cli_file_write(NULL, kms_secret_bytes(text), 0));
	return cli_file_write(NULL, kms_bytes_str("\n"), 0);
}

/* A data key with its wrapped form, to the places that the options name. */
static kms_err write_out(const struct cli *cli, const struct kms_data_key *data_key,
	struct kms_bytes key, bool wrapped_too)
{
	KMS_AUTO(kms_secret) shown = NULL;
	struct kms_bytes wrapped = {0};
	const char *key_path = cli_value(cli, "output-key");
	const char *path = wrapped_too ? cli_value(cli, "output") : NULL;
	bool json = cli_value(cli, "json") != NULL;
	wrapped.ptr = kms_data_key_wrapped(data_key, &wrapped.len);
	if (cli_value(cli, "show-key") != NULL) {
		KMS_TRY(kms_secret_copy(key, &shown));
	}
	/* The wrapped key first: without it the key is of no use later. */
	if (wrapped_too && (path != NULL || !json)) {
		KMS_TRY(cli_wrapped_write(path, wrapped));
	}
	if (key_path != NULL) {
		KMS_TRY(cli_key_file_write(key_path, key));
	}
	if (json) {
		return show_json(wrapped, shown);
	}
	return shown != NULL ? show_key(shown) : KMS_OK;
}

/* A key that leaves this program is not ours to give back: its lease stays open. */
static kms_err hand_out(const struct cli *cli, struct kms_data_key *data_key, bool wrapped_too)
{
	struct kms_bytes key = {NULL, KMS_DATA_KEY_BYTES};
	if (cli_value(cli, "output-key") != NULL || cli_value(cli, "show-key") != NULL) {
		kms_data_key_disown(data_key);
	}
	KMS_TRY(kms_data_key_borrow(data_key, &key.ptr));
	kms_err err = write_out(cli, data_key, key, wrapped_too);
	kms_data_key_return(data_key);
	return err;
}

/* ---- commands ---- */

kms_err cli_datakey(struct cli *cli)
{
	struct kms_context *context __attribute__((cleanup(kms_context_free))) = NULL;
	struct kms_data_key *data_key __attribute__((cleanup(kms_data_key_free))) = NULL;
	char id[KMS_ID_TEXT];
	KMS_TRY(check_places(cli, false));
	KMS_TRY(cli_context(cli, &context));
	KMS_TRY(cli_key_id(cli, cli_value(cli, "key"), id));
	KMS_TRY(cli_told(
		cli, kms_datakey(cli->client, id[0] != '\0' ? id : NULL, context, &data_key)));
	return hand_out(cli, data_key, true);
}

kms_err cli_wrap(struct cli *cli)
{
	struct kms_context *context __attribute__((cleanup(kms_context_free))) = NULL;
	KMS_AUTO(kms_secret) key = NULL;
	KMS_AUTO_FREE uint8_t *wrapped = NULL;
	size_t len = 0;
	char id[KMS_ID_TEXT];
	KMS_TRY(cli_context(cli, &context));
	KMS_TRY(cli_key_file_read(cli_value(cli, "key-file"), &key));
	KMS_TRY(cli_key_id(cli, cli_value(cli, "key"), id));
	KMS_TRY(cli_told(cli, kms_wrap(cli->client, id[0] != '\0' ? id : NULL, context,
				      kms_secret_cptr(key), &wrapped, &len)));
	struct kms_bytes bytes = {wrapped, len};
	const char *path = cli_value(cli, "output");
	bool json = cli_value(cli, "json") != NULL;
	if (path != NULL || !json) {
		KMS_TRY(cli_wrapped_write(path, bytes));
	}
	return json ? show_json(bytes, NULL) : KMS_OK;
}

kms_err cli_unwrap(struct cli *cli)
{
	struct kms_context *context __attribute__((cleanup(kms_context_free))) = NULL;
	struct kms_data_key *data_key __attribute__((cleanup(kms_data_key_free))) = NULL;
	KMS_AUTO_BUF wrapped = {0};
	KMS_TRY(check_places(cli, true));
	KMS_TRY(cli_context(cli, &context));
	KMS_TRY(cli_wrapped_read(cli_operand(cli, 0), &wrapped));
	KMS_TRY(cli_told(
		cli, kms_unwrap(cli->client, wrapped.ptr, wrapped.len, context, &data_key)));
	return hand_out(cli, data_key, false);
}
