/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw token: kms-tokend's PKCS#11 layer alone, a KEK with a cached handle, one thread as in
 * kms-tokend. Makes a token of its own in an empty folder.
 *
 *	bench-token FOLDER MODULE
 *
 * Commands: decrypt MS | datakey MS
 */
#include <stdio.h>
#include <string.h>

#include "lap.h"
#include "p11_int.h"

enum { LAP_MS_MAX = 60 * 1000, DATA_KEY = 32, AAD_BYTES = 150 };

struct raw {
	struct p11 *p11;
	struct p11_kek kek;
	uint8_t nonce[P11_GCM_NONCE];
	uint8_t aad[AAD_BYTES]; /* about as long as a slot's */
	uint8_t sealed[DATA_KEY + P11_GCM_TAG];
};

static kms_err decrypt(void *arg, unsigned thread)
{
	struct raw *raw = arg;
	KMS_AUTO(kms_secret) out = NULL;
	(void)thread;
	return p11_gcm_decrypt(raw->p11, &raw->kek, raw->nonce, KMS_BYTES_OF(raw->aad),
		KMS_BYTES_OF(raw->sealed), &out);
}

/* What the token does for one data key: make it, and wrap it. */
static kms_err datakey(void *arg, unsigned thread)
{
	struct raw *raw = arg;
	KMS_AUTO(kms_secret) key = NULL;
	(void)thread;
	KMS_TRY(p11_random(raw->p11, DATA_KEY, &key));
	kms_random(raw->nonce, sizeof(raw->nonce));
	return p11_gcm_encrypt(
		raw->p11, &raw->kek, raw->nonce, KMS_BYTES_OF(raw->aad), key, raw->sealed);
}

static kms_err open_token(const struct p11_profile *profile, struct raw *raw)
{
	static const struct kms_id kek_id = {{1}};
	struct p11_pins pins = {0};
	struct p11_kek_facts facts;
	KMS_AUTO(kms_secret) pin = NULL;
	KMS_TRY(kms_secret_copy(kms_bytes_str("a token of bench, thrown away "), &pin));
	KMS_TRY(p11_init_token(profile, pin, &pins));
	KMS_TRY(p11_open(profile, &pins, &pin, &raw->p11));
	KMS_TRY(p11_kek_generate(raw->p11, &kek_id, &raw->kek, &facts));
	return datakey(raw, 0);
}

static kms_err serve(struct raw *raw)
{
	char line[64];
	const char *words[LAP_WORDS];
	while (lap_command(line, sizeof(line), words)) {
		unsigned ms = lap_number(words[1], LAP_MS_MAX);
		lap_call call = strcmp(words[0], "decrypt") == 0 ? decrypt : datakey;
		if (ms == 0 || (call == datakey && strcmp(words[0], "datakey") != 0)) {
			return KMS_ERR(ARGUMENT);
		}
		KMS_TRY(lap_run(1, ms, call, raw));
	}
	return KMS_OK;
}

int main(int argc, char *argv[])
{
	struct raw raw = {0};
	kms_log_set("bench-token", KMS_LOG_WARNING);
	kms_err err = argc == 3 ? KMS_OK : KMS_ERR(ARGUMENT);
	if (kms_is_ok(err)) {
		const struct p11_profile profile = {
			.module = argv[2],
			.label = "bench",
			.dir = argv[1],
			.login = true,
			.serialise_create = true,
			.softhsm = true,
		};
		err = open_token(&profile, &raw);
		if (kms_is_ok(err)) {
			err = serve(&raw);
		}
		p11_free(&raw.p11);
	}
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s", kms_err_text(err));
	}
	return kms_err_exit_code(err);
}
