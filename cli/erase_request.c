/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms erase request: a custodian signs what a plan would destroy, and its keys are suspended at
 * once. The signature is by the key of the custodian's own certificate.
 */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "crypto.h"
#include "erase_int.h"

/* The profile was read as a whole by libkms; here only who we are is looked at. */
struct own {
	struct config *profile; /* owns key */
	const char *key;
	struct kms_buf certificate; /* DER */
	struct kms_buf spki;
};

static void own_free(struct own *own)
{
	config_free(&own->profile);
	kms_buf_free(&own->certificate);
	kms_buf_free(&own->spki);
}

static kms_err own_read(const struct cli *cli, struct own *own)
{
	KMS_AUTO_FREE char *path = NULL;
	KMS_AUTO(crypto_cert) cert = NULL;
	const char *certificate = NULL;
	KMS_TRY(cli_profile_path(cli, &path));
	KMS_TRY(config_read(path, &own->profile));
	KMS_TRY(config_get_path(own->profile, "certificate", &certificate));
	KMS_TRY(config_get_path(own->profile, "key", &own->key));
	kms_err err = crypto_cert_read(certificate, &cert);
	if (!kms_is_ok(err)) {
		return cli_refuse(err, "%s: the certificate cannot be read", certificate);
	}
	KMS_TRY(crypto_cert_der(cert, &own->certificate));
	return crypto_cert_spki(cert, &own->spki);
}

static kms_err sign(const struct cli *cli, const struct own *own, struct kms_bytes bytes,
	uint8_t ret_signature[CRYPTO_SIG_RAW])
{
	KMS_AUTO(cli_signer) signer = NULL;
	KMS_AUTO_BUF spki = {0};
	const char *where = cli_value(cli, "sign-key");
	KMS_TRY(cli_signer_open(where != NULL ? where : own->key, &signer));
	KMS_TRY(cli_signer_spki(signer, &spki));
	if (!kms_bytes_equal(kms_buf_bytes(&spki), kms_buf_bytes(&own->spki))) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"--sign-key is not the key of the profile's certificate, by which the "
			"tokens know the requester");
	}
	return cli_sign(signer, bytes, ret_signature);
}

/* Exactly one of PLANFILE and the options of `erase plan`. */
static kms_err get_plan(struct cli *cli, struct erase_plan **ret_plan)
{
	static const char *const options[] = {
		"key", "versions", "dataset", "tenant", "wipe", "window", "valid"};
	const char *path = cli_operand(cli, 0);
	if (path == NULL) {
		return erase_plan_ask(cli, ret_plan);
	}
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (cli_value(cli, options[i]) != NULL) {
			return cli_refuse(KMS_ERR(ARGUMENT),
				"--%s belongs to a new plan; give it, or PLANFILE, not both",
				options[i]);
		}
	}
	return erase_plan_read(path, ret_plan);
}

static kms_err print_before(const struct cli *cli, const struct erase_plan *plan)
{
	if (cli_value(cli, "json") != NULL) {
		return KMS_OK;
	}
	KMS_TRY(erase_scope_print(cli, plan->scope, plan->observed));
	(void)printf("\nWHAT IS SIGNED\n");
	KMS_TRY(erase_bytes_print(plan->erase, kms_buf_bytes(&plan->bytes)));
	(void)printf(
		"\nWith the request, what it names is suspended AT ONCE: nobody can wrap or unwrap "
		"under it any more,\nuntil the erasure is cancelled. Then approvers sign it, and "
		"after its window it can be executed.\n\n");
	return KMS_OK;
}

static kms_err request(const struct cli *cli, const struct erase_plan *plan, const struct own *own)
{
	ERASE_AUTO_SHOWN shown = {0};
	KMS_AUTO_FREE char *json = NULL;
	uint8_t signature[CRYPTO_SIG_RAW];
	KMS_TRY(cli_shape(cli, print_before(cli, plan)));
	KMS_TRY(cli_confirm(cli, "Request this erasure, and suspend its keys now?"));
	KMS_TRY(sign(cli, own, kms_buf_bytes(&plan->bytes), signature));
	kms_err err = kms_admin_erase_request(cli->client, plan->bytes.ptr, plan->bytes.len,
		own->certificate.ptr, own->certificate.len, signature, &json);
	KMS_TRY(erase_shown_take(cli, err, &json, &shown));
	return erase_shown_print(cli, &shown);
}

kms_err cli_erase_request(struct cli *cli)
{
	KMS_AUTO(erase_plan) plan = NULL;
	struct own own __attribute__((cleanup(own_free))) = {0};
	KMS_TRY(get_plan(cli, &plan));
	if (plan->erase == NULL) {
		if (cli_value(cli, "json") == NULL) {
			KMS_TRY(cli_shape(
				cli, erase_scope_print(cli, plan->scope, plan->observed)));
		}
		return cli_refuse(KMS_ERR(ARGUMENT),
			"problems forbid this erasure; solve them (kms erase plan shows them), and "
			"plan again");
	}
	KMS_TRY(own_read(cli, &own));
	return request(cli, plan, &own);
}
