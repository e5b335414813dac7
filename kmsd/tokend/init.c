/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms-tokend --init, run by the token's owner: the token, the statement key, the session key with
 * its certificate request (the system token: ledger and manifest keys), and the pins that others
 * need, printed and kept in pins.yaml. Runs once; nothing that exists is overwritten.
 */
#include "tokend_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static kms_err make_directory(const struct owner *owner, struct state *ret_state)
{
	if (mkdir(owner->directory, 0700) != 0 && errno != EEXIST) {
		kms_log(KMS_LOG_ERROR, "%s: %s", owner->directory, strerror(errno));
		return KMS_ERR(IO);
	}
	char pins[OWNER_PATH_MAX];
	struct stat st;
	KMS_TRY(tokend_path(owner, FILE_PINS, pins));
	if (stat(pins, &st) == 0) {
		kms_log(KMS_LOG_ERROR, "%s exists: this token was made already", pins);
		return KMS_ERR(EXISTS);
	}
	return state_open(owner->directory, true, ret_state);
}

/* "NAME: vkey". */
static kms_err write_vkey(struct kms_writer *pins, const char *field, const struct tlog_vkey *vkey)
{
	char *text KMS_AUTO_FREE = NULL;
	KMS_TRY(tlog_vkey_text(vkey, &text));
	kms_write_format(pins, "%s: '%s'\n", field, text);
	return KMS_OK;
}

/* The same of a P-256 key whose DER SPKI is given. */
static kms_err write_p256(
	struct kms_writer *pins, const char *field, const char *name, const struct kms_buf *spki)
{
	struct tlog_vkey vkey;
	KMS_TRY(tlog_vkey_make(name, kms_buf_bytes(spki), &vkey));
	return write_vkey(pins, field, &vkey);
}

static kms_err make_statement_key(
	const struct owner *owner, const struct kms_id *token, struct kms_writer *pins)
{
	char path[OWNER_PATH_MAX], name[64], text[KMS_ID_TEXT];
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(tokend_path(owner, FILE_STATEMENT_KEY, path));
	KMS_TRY(crypto_signer_generate(path, &signer));
	KMS_TRY(crypto_signer_spki(signer, &spki));
	(void)snprintf(name, sizeof(name), "kms-token-%s", kms_id_text(token, text));
	return write_p256(pins, "statement_key", name, &spki);
}

/* Key and request; the tenant's CA signs it, and the owner puts the certificate beside it. */
static kms_err make_session_key(
	const struct owner *owner, const struct kms_id *token, struct kms_writer *pins)
{
	char path[OWNER_PATH_MAX], name[64], text[KMS_ID_TEXT], hex[KMS_HASH_TEXT];
	KMS_AUTO(crypto_signer) signer = NULL;
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO_BUF request = {0};
	struct kms_hash hash;
	KMS_TRY(tokend_path(owner, FILE_SESSION_KEY, path));
	KMS_TRY(crypto_signer_generate(path, &signer));
	(void)snprintf(name, sizeof(name), "kms-token-%s", kms_id_text(token, text));
	KMS_TRY(crypto_request_make(signer, name, &request));
	KMS_TRY(tokend_path(owner, FILE_SESSION_CSR, path));
	KMS_TRY(kms_file_write(path, kms_buf_bytes(&request), 0644));
	KMS_TRY(crypto_signer_spki(signer, &spki));
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&spki), &hash));
	kms_write_format(pins, "session_spki: %s\n", kms_hash_text(&hash, hex));
	return KMS_OK;
}

static kms_err make_sign_key(struct p11 *p11, const char *label, const char *field,
	const char *name, struct kms_writer *pins)
{
	struct p11_sign_key key;
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(p11_sign_key_generate(p11, P11_SIGN_P256, label, &key));
	KMS_TRY(p11_sign_key_spki(&key, &spki));
	return write_p256(pins, field, name, &spki);
}

/* The ledger's second key, where the token makes one that passes: what it refuses, or does badly,
 * is its answer that it has none. Anything else that fails is a failure. */
static kms_err make_ed25519_key(
	struct p11 *p11, const char *origin, struct kms_writer *pins, bool *ret_made)
{
	struct p11_sign_key key;
	struct tlog_vkey vkey;
	kms_err err = p11_sign_key_generate(p11, P11_SIGN_ED25519, HEAD_SIGN_ED25519_LABEL, &key);
	if (kms_is(err, KMS_CODE_INTERNAL) || kms_is(err, KMS_CODE_CONFIG)) {
		kms_log(KMS_LOG_WARNING, "this token makes no Ed25519 key that passes our test: "
					 "checkpoints will have the P-256 signature alone");
		kms_write_text(pins, "# no ledger_key_ed25519: this token makes no Ed25519 key\n");
		*ret_made = false;
		return KMS_OK;
	}
	KMS_TRY(err);
	KMS_TRY(tlog_vkey_make_ed25519(origin, key.point, &vkey));
	*ret_made = true;
	return write_vkey(pins, "ledger_key_ed25519", &vkey);
}

static kms_err make_system_keys(
	const struct owner *owner, struct p11 *p11, struct kms_writer *pins, bool *ret_has_ed25519)
{
	char manifest[TLOG_NAME_MAX + 1];
	int n = snprintf(manifest, sizeof(manifest), "%s/manifest", owner->log_origin);
	if (n < 0 || (size_t)n >= sizeof(manifest)) {
		return KMS_ERR(CONFIG);
	}
	kms_write_format(pins, "log_origin: '%s'\n", owner->log_origin);
	KMS_TRY(make_sign_key(p11, HEAD_SIGN_LABEL, "ledger_key", owner->log_origin, pins));
	KMS_TRY(make_ed25519_key(p11, owner->log_origin, pins, ret_has_ed25519));
	return make_sign_key(p11, HEAD_MANIFEST_LABEL, "manifest_key", manifest, pins);
}

static void write_facts(struct kms_writer *pins, const struct owner *owner,
	const struct profile *profile, const struct p11_facts *facts)
{
	kms_write_format(pins, "class: %s\n", model_class_text(profile->class));
	kms_write_format(pins, "manufacturer: '%s'\n", facts->manufacturer);
	kms_write_format(pins, "model: '%s'\n", facts->model);
	kms_write_format(pins, "serial: '%s'\n", facts->serial);
	kms_write_format(pins, "firmware: '%s'\n", facts->firmware);
	kms_write_format(pins, "organisation: '%s'\n", owner->organisation);
	kms_write_format(pins, "site: '%s'\n", owner->site);
	kms_write_format(pins, "country: %s\n", owner->country);
}

static kms_err make_token(struct owner *owner, const struct profile *profile,
	const struct state *state, struct kms_writer *pins)
{
	struct state_pins kept = {.has_ed25519 = false};
	char text[KMS_ID_TEXT];
	KMS_AUTO(kms_secret) pin = NULL;
	KMS_AUTO(p11) p11 = NULL;
	KMS_TRY(profile_pin(owner, true, &pin));
	KMS_TRY(p11_init_token(&profile->p11, pin, &kept.p11));
	KMS_TRY(p11_open(&profile->p11, &kept.p11, &pin, &p11));
	KMS_TRY(kms_id_random(&kept.token));
	kms_write_format(pins, "kms-token-pins: 1\n");
	kms_write_format(pins, "token: %s\n", kms_id_text(&kept.token, text));
	kms_write_format(pins, "role: %s\n", owner->system ? "system" : "tenant");
	if (!owner->system) {
		kms_write_format(pins, "tenant: %s\n", kms_id_text(&owner->tenant, text));
	}
	write_facts(pins, owner, profile, p11_token_facts(p11));
	KMS_TRY(make_statement_key(owner, &kept.token, pins));
	KMS_TRY(owner->system ? make_system_keys(owner, p11, pins, &kept.has_ed25519)
			      : make_session_key(owner, &kept.token, pins));
	return state_pins_write(state, &kept);
}

kms_err init_run(struct owner *owner)
{
	struct state state;
	KMS_AUTO(profile) profile = NULL;
	KMS_AUTO_WRITER pins = kms_writer_grow(LIMIT_CERT_PEM);
	KMS_TRY(make_directory(owner, &state));
	KMS_TRY(profile_read(owner, &profile));
	KMS_TRY(make_token(owner, profile, &state, &pins));
	struct kms_bytes bytes;
	char path[OWNER_PATH_MAX];
	KMS_TRY(kms_writer_bytes(&pins, &bytes));
	KMS_TRY(tokend_path(owner, FILE_PINS, path));
	KMS_TRY(kms_file_write(path, bytes, 0644));
	return kms_fd_write_all(1, bytes);
}
