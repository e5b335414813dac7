/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms erase approve and cancel: what a person signs. Shown is only what was parsed from the bytes
 * that are signed, never what kmsd says of them.
 */
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "erase_int.h"

kms_err erase_signer(const struct cli *cli, struct cli_signer **ret_signer)
{
	return cli_signer_open(cli_value(cli, "sign-key"), ret_signer);
}

/* What kmsd gave must be about the erasure that was asked for, in both places. */
static kms_err check_asked(const struct cli *cli, const struct erase_shown *shown)
{
	struct kms_id asked;
	if (!kms_is_ok(kms_id_parse(cli_operand(cli, 0), &asked)) ||
		!kms_id_equal(&asked, &shown->erase->erasure)) {
		return cli_refuse(KMS_ERR(INTEGRITY),
			"the bytes to sign are of another erasure than %s; nothing was signed",
			cli_operand(cli, 0));
	}
	return erase_bytes_check_scope(shown->erase, kms_buf_bytes(&shown->plan));
}

static kms_err fetch(const struct cli *cli, struct erase_shown *shown)
{
	KMS_AUTO_FREE char *json = NULL;
	kms_err err = kms_admin_erase_show(cli->client, cli_operand(cli, 0), &json);
	KMS_TRY(erase_shown_take(cli, err, &json, shown));
	return check_asked(cli, shown);
}

static kms_err print_signed(const struct cli *cli, const struct erase_shown *shown, bool cancel)
{
	if (cli_value(cli, "json") != NULL) {
		return KMS_OK;
	}
	(void)printf(cancel ? "You sign a cancellation of this erasure:\n\n"
			    : "You sign exactly this, and nothing else:\n\n");
	KMS_TRY(erase_bytes_print(shown->erase, kms_buf_bytes(&shown->bytes)));
	(void)printf("\nkmsd holds the plan with that hash; kms erase show tells it.\n\n");
	return KMS_OK;
}

/* The bytes that are signed: the erasure's own, or its cancellation's. */
static kms_err message_of(const struct erase_shown *shown, bool cancel, struct kms_buf *ret_message)
{
	struct kms_hash hash;
	if (!cancel) {
		return kms_buf_copy(kms_buf_bytes(&shown->bytes), ret_message);
	}
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&shown->bytes), &hash));
	return format_erase_cancel_write(&shown->erase->erasure, &hash, ret_message);
}

static kms_err sign_and_send(
	const struct cli *cli, const struct erase_shown *shown, bool cancel, char **ret_json)
{
	KMS_AUTO(cli_signer) signer = NULL;
	KMS_AUTO_BUF message = {0};
	KMS_AUTO_BUF spki = {0};
	uint8_t signature[CRYPTO_SIG_RAW];
	KMS_TRY(message_of(shown, cancel, &message));
	KMS_TRY(erase_signer(cli, &signer));
	KMS_TRY(cli_signer_spki(signer, &spki));
	KMS_TRY(cli_sign(signer, kms_buf_bytes(&message), signature));
	return cli_told(cli, kms_admin_erase_sign(cli->client, cli_operand(cli, 0), cancel ? 1 : 0,
				     spki.ptr, spki.len, signature, ret_json));
}

static kms_err run(const struct cli *cli, bool cancel)
{
	ERASE_AUTO_SHOWN before = {0};
	ERASE_AUTO_SHOWN after = {0};
	KMS_AUTO_FREE char *json = NULL;
	KMS_TRY(fetch(cli, &before));
	KMS_TRY(cli_shape(cli, print_signed(cli, &before, cancel)));
	KMS_TRY(cli_confirm(cli, cancel ? "Cancel this erasure, and give its keys their state back?"
					: "Approve this erasure?"));
	KMS_TRY(sign_and_send(cli, &before, cancel, &json));
	KMS_TRY(erase_shown_take(cli, KMS_OK, &json, &after));
	return erase_shown_print(cli, &after);
}

kms_err cli_erase_approve(struct cli *cli)
{
	return run(cli, false);
}

kms_err cli_erase_cancel(struct cli *cli)
{
	return run(cli, true);
}
