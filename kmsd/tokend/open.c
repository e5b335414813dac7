/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting kms-tokend: keys, token, births, uses, sessions, in the order in which each needs the
 * ones before it. Anything that is not as --init left it stops the start, with what to do.
 */
#include "tokend_int.h"

#include <stdlib.h>

void tokend_free(struct tokend **tokend)
{
	if (tokend == NULL || *tokend == NULL) {
		return;
	}
	struct tokend *t = *tokend;
	head_free(&t->head);
	erasures_free(&t->erasures);
	sessions_free(&t->sessions);
	keks_free(&t->keks);
	uses_free(&t->uses);
	p11_free(&t->p11);
	channel_identity_free(&t->identity);
	kms_buf_free(&t->statement_spki);
	crypto_signer_free(&t->statement_key);
	profile_free(&t->profile);
	owner_free(&t->owner);
	free(t);
	*tokend = NULL;
}

kms_err tokend_sign_statement(struct tokend *tokend, const struct format_statement *statement,
	struct kms_buf *ret_statement)
{
	KMS_AUTO_BUF part = {0};
	uint8_t raw[CRYPTO_SIG_RAW];
	KMS_TRY(format_statement_write(statement, &part));
	KMS_TRY(crypto_sign(tokend->statement_key, kms_buf_bytes(&part), raw));
	KMS_AUTO_WRITER all = kms_writer_grow(LIMIT_STATEMENT_BYTES);
	kms_write_bytes(&all, kms_buf_bytes(&part));
	kms_write_fixed(&all, raw, sizeof(raw));
	return kms_writer_take(&all, ret_statement);
}

/* The key of the statements, and for a tenant's token the certificate of its sessions. */
static kms_err read_keys(struct tokend *tokend)
{
	char path[OWNER_PATH_MAX], key_path[OWNER_PATH_MAX];
	KMS_TRY(tokend_path(tokend->owner, FILE_STATEMENT_KEY, path));
	KMS_TRY(crypto_signer_read(path, &tokend->statement_key));
	KMS_TRY(crypto_signer_spki(tokend->statement_key, &tokend->statement_spki));
	if (tokend->owner->system) {
		return KMS_OK;
	}
	KMS_TRY(tokend_path(tokend->owner, FILE_SESSION_CERT, path));
	KMS_TRY(tokend_path(tokend->owner, FILE_SESSION_KEY, key_path));
	kms_err err = channel_identity_read(path, key_path, &tokend->identity);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR,
			"%s: the session certificate; have the tenant's CA sign %s and put it "
			"there",
			path, FILE_SESSION_CSR);
	}
	return err;
}

static kms_err open_token(struct tokend *tokend, const struct p11_pins *pins)
{
	KMS_AUTO(kms_secret) pin = NULL;
	if (tokend->profile->p11.login) {
		KMS_TRY(profile_pin(tokend->owner, false, &pin));
	}
	return p11_open(&tokend->profile->p11, pins, &pin, &tokend->p11);
}

static kms_err open_parts(struct tokend *tokend)
{
	struct state_pins pins;
	KMS_TRY(state_open(tokend->owner->directory, false, &tokend->state));
	KMS_TRY(state_pins_read(&tokend->state, &pins));
	tokend->token = pins.token;
	tokend->has_ed25519 = pins.has_ed25519;
	KMS_TRY(profile_read(tokend->owner, &tokend->profile));
	KMS_TRY(read_keys(tokend));
	KMS_TRY(erase_wipe_read(tokend, &tokend->wiped));
	if (tokend->wiped) {
		kms_log(KMS_LOG_WARNING, "the token was wiped; only its statements are served");
	} else {
		KMS_TRY(open_token(tokend, &pins.p11));
	}
	KMS_TRY(erasures_new(&tokend->erasures));
	KMS_TRY(keks_open(tokend, &tokend->keks));
	KMS_TRY(uses_open(tokend, &tokend->uses));
	KMS_TRY(sessions_new(tokend, &tokend->sessions));
	return tokend->owner->system ? head_open(tokend, &tokend->head) : KMS_OK;
}

kms_err tokend_open(struct owner *owner, struct tokend **ret_tokend)
{
	KMS_AUTO(tokend) tokend = calloc(1, sizeof(*tokend));
	if (tokend == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	tokend->owner = owner;
	kms_err err = open_parts(tokend);
	if (!kms_is_ok(err)) {
		tokend->owner = NULL; /* still the caller's */
		return err;
	}
	*ret_tokend = kms_take(&tokend);
	return KMS_OK;
}
