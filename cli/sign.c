/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of people: by a key file, or by a key in a token or smart card (sign_token.c). The
 * private key of a token never comes here.
 */
#include <stdlib.h>
#include <string.h>

#include "cli_int.h"
#include "sign_int.h"

void cli_signer_free(struct cli_signer **signer)
{
	if (signer != NULL && *signer != NULL) {
		crypto_signer_free(&(*signer)->key);
		cli_token_free(&(*signer)->token);
		free(*signer);
		*signer = NULL;
	}
}

kms_err cli_signer_open(const char *where, struct cli_signer **ret_signer)
{
	KMS_AUTO(cli_signer) signer = calloc(1, sizeof(*signer));
	if (signer == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	if (strncmp(where, "pkcs11:", strlen("pkcs11:")) == 0) {
		KMS_TRY(cli_token_open(where, &signer->token, &signer->key));
	} else {
		kms_err err = crypto_signer_read(where, &signer->key);
		if (!kms_is_ok(err)) {
			return cli_refuse(err,
				"%s: no key to sign with: an EC P-256 private key in PEM, not "
				"encrypted, that only its owner can read; or a pkcs11: URI",
				where);
		}
	}
	*ret_signer = kms_take(&signer);
	return KMS_OK;
}

kms_err cli_signer_spki(const struct cli_signer *signer, struct kms_buf *ret_der)
{
	return crypto_signer_spki(signer->key, ret_der);
}

kms_err cli_sign(
	const struct cli_signer *signer, struct kms_bytes message, uint8_t ret_raw[CRYPTO_SIG_RAW])
{
	KMS_AUTO_BUF spki = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_TRY(crypto_signer_spki(signer->key, &spki));
	kms_err err = crypto_sign(signer->key, message, raw);
	/* A card may hold a certificate's key beside another private key: found out here, not by
	 * kmsd. */
	err = kms_is_ok(err) ? crypto_verify_raw(kms_buf_bytes(&spki), message, raw) : err;
	if (!kms_is_ok(err)) {
		return cli_refuse(err, "the key made no signature that its public key verifies; "
				       "take another key, or ask who gave out the card");
	}
	memcpy(ret_raw, raw, sizeof(raw));
	return KMS_OK;
}
