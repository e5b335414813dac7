/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind cli_signer_open share. */
#ifndef KMS_CLI_SIGN_INT_H
#define KMS_CLI_SIGN_INT_H

#include "base.h"
#include "crypto.h"

/* A PKCS#11 module with a session at one token (sign_token.c). */
struct cli_token;
/* The one private key that a pkcs11: URI (RFC 7512) names; it works as long as the token. */
kms_err cli_token_open(
	const char *uri, struct cli_token **ret_token, struct crypto_signer **ret_key);
void cli_token_free(struct cli_token **token);

/*
 * A PIN with a NUL behind it (pin.c): from the file that a URI's pin-source names, or typed on the
 * terminal for NULL; token is for the question. Never from the command line or the environment.
 */
kms_err cli_pin(const char *pin_source, const char *token, struct kms_secret **ret_pin);

struct cli_signer {
	struct cli_token *token; /* NULL: a key file */
	struct crypto_signer *key;
};

#endif
