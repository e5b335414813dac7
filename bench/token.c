/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw token: kms-tokend's PKCS#11 layer alone, a KEK with a cached handle, one thread as in
 * kms-tokend. Makes a token of its own in an empty folder.
 *
 *	bench-token FOLDER MODULE
 *
 * Commands: decrypt MS | datakey MS
 *	destroy KEYS	C_DestroyObject and nothing else, for each of as many KEKs in the token
 *	erase KEYS	all that kms-tokend does in the token for each: test ciphertext, looking
 *			for copies, C_DestroyObject, a new start, looking again
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lap.h"
#include "p11_raw_int.h"

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

/* ---- the end of many KEKs ---- */

struct doomed {
	struct p11_kek kek;
	struct kms_hash commitment;
};
typedef kms_err (*doom)(struct p11 *p11, struct doomed *doomed);

static kms_err destroy(struct p11 *p11, struct doomed *doomed)
{
	return p11->module.fn->C_DestroyObject(p11->session, doomed->kek.object) == CKR_OK
		       ? KMS_OK
		       : KMS_ERR(TOKEN_DOWN);
}

static kms_err erase(struct p11 *p11, struct doomed *doomed)
{
	struct p11_erased erased;
	KMS_TRY(p11_kek_erase(p11, &doomed->kek.id, &doomed->commitment, &erased));
	return erased.found ? KMS_OK : KMS_ERR(NOT_FOUND);
}

static kms_err make(struct p11 *p11, struct doomed *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct kms_id id;
		struct p11_kek_facts facts;
		kms_random(id.b, sizeof(id.b));
		KMS_TRY(p11_kek_generate(p11, &id, &rows[i].kek, &facts));
		rows[i].commitment = facts.commitment;
	}
	return KMS_OK;
}

struct dooms {
	struct p11 *p11;
	struct doomed *rows;
	unsigned count;
	doom call;
};

static kms_err doom_all(void *arg, unsigned thread)
{
	const struct dooms *dooms = arg;
	(void)thread;
	for (unsigned i = 0; i < dooms->count; i++) {
		KMS_TRY(dooms->call(dooms->p11, &dooms->rows[i]));
	}
	return KMS_OK;
}

static kms_err end_keks(struct p11 *p11, unsigned count, doom call)
{
	KMS_AUTO_FREE struct doomed *rows = calloc(count, sizeof(*rows));
	if (rows == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(make(p11, rows, count));
	struct dooms dooms = {p11, rows, count, call};
	return lap_once("keys", count, doom_all, &dooms);
}

/* ---- */

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
		unsigned keys = lap_number(words[1], LIMIT_ERASE_KEKS);
		bool raw_end = strcmp(words[0], "destroy") == 0;
		if (keys != 0 && (raw_end || strcmp(words[0], "erase") == 0)) {
			KMS_TRY(end_keks(raw->p11, keys, raw_end ? destroy : erase));
			continue;
		}
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
