/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifier keys (C2SP signed-note v1.0.0) of the two types that our ledgers sign with. Runs in
 * every program. It must never take a key of one type where the other is meant, nor two spellings
 * of one key.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "tlog_int.h"

enum {
	SPKI = 91, /* DER of a P-256 key */
	SPKI_HEAD = 26,
	VKEY_ID_TEXT = 2 * TLOG_KEY_ID,
};

/* Of the parts' SHA-256, the first bytes. */
static kms_err id_of(const struct kms_bytes *parts, size_t count, uint32_t *ret_id)
{
	struct kms_hash hash;
	KMS_TRY(crypto_sha256(parts, count, &hash));
	struct kms_reader reader = kms_reader_of(KMS_BYTES_OF(hash.b));
	return kms_read_u32(&reader, ret_id);
}

static kms_err id_of_p256(struct kms_bytes spki_der, uint32_t *ret_id)
{
	return id_of(&spki_der, 1, ret_id);
}

static kms_err id_of_ed25519(struct kms_bytes name, struct kms_bytes key, uint32_t *ret_id)
{
	const uint8_t between[] = {'\n', TLOG_VKEY_ED25519};
	const struct kms_bytes parts[] = {name, KMS_BYTES_OF(between), key};
	return id_of(parts, 3, ret_id);
}

static kms_err p256_of(struct kms_bytes name, struct kms_bytes spki_der, struct tlog_vkey *ret_vkey)
{
	struct tlog_vkey vkey = {.type = TLOG_VKEY_ECDSA, .spki_len = SPKI};
	KMS_TRY(tlog_name_copy(name, vkey.name));
	if (spki_der.len != SPKI) {
		return KMS_ERR(FORMAT);
	}
	/* The key's point makes an SPKI of one spelling: anything else is no P-256 key. */
	KMS_AUTO_BUF again = {0};
	KMS_TRY(crypto_spki_of_point(spki_der.ptr + SPKI_HEAD, &again));
	if (!kms_bytes_equal(spki_der, kms_buf_bytes(&again))) {
		return KMS_ERR(FORMAT);
	}
	memcpy(vkey.spki, spki_der.ptr, SPKI);
	KMS_TRY(id_of_p256(spki_der, &vkey.id));
	*ret_vkey = vkey;
	return KMS_OK;
}

static kms_err ed25519_of(struct kms_bytes name, struct kms_bytes key, struct tlog_vkey *ret_vkey)
{
	struct tlog_vkey vkey = {.type = TLOG_VKEY_ED25519};
	KMS_TRY(tlog_name_copy(name, vkey.name));
	if (key.len != sizeof(vkey.ed25519)) {
		return KMS_ERR(FORMAT);
	}
	memcpy(vkey.ed25519, key.ptr, key.len);
	KMS_TRY(id_of_ed25519(name, key, &vkey.id));
	*ret_vkey = vkey;
	return KMS_OK;
}

kms_err tlog_vkey_make(const char *name, struct kms_bytes spki_der, struct tlog_vkey *ret_vkey)
{
	return p256_of(kms_bytes_str(name), spki_der, ret_vkey);
}

kms_err tlog_vkey_make_ed25519(
	const char *name, const uint8_t key[CRYPTO_ED25519_KEY], struct tlog_vkey *ret_vkey)
{
	return ed25519_of(
		kms_bytes_str(name), (struct kms_bytes){key, CRYPTO_ED25519_KEY}, ret_vkey);
}

kms_err tlog_vkey_text(const struct tlog_vkey *vkey, char **ret_text)
{
	const bool is_ed25519 = vkey->type == TLOG_VKEY_ED25519;
	const size_t len = is_ed25519 ? sizeof(vkey->ed25519) : vkey->spki_len;
	uint8_t key[1 + sizeof(vkey->spki)] = {vkey->type};
	KMS_ASSERT(len <= sizeof(vkey->spki));
	memcpy(key + 1, is_ed25519 ? vkey->ed25519 : vkey->spki, len);
	KMS_AUTO_FREE char *base64 = NULL;
	KMS_TRY(kms_base64_text((struct kms_bytes){key, 1 + len}, &base64));
	return kms_text(ret_text, "%s+%08" PRIx32 "+%s", vkey->name, vkey->id, base64);
}

/* The parts of a key of that type; its ID is compared by the caller, who knows how it is made. */
static kms_err split(const char *text, uint8_t type, struct kms_bytes *ret_name,
	struct kms_bytes *ret_id, struct kms_buf *ret_key)
{
	struct kms_bytes rest = kms_bytes_str(text);
	KMS_AUTO_BUF key = {0};
	KMS_TRY(tlog_part_next(&rest, '+', ret_name));
	KMS_TRY(tlog_part_next(&rest, '+', ret_id)); /* base64 may hold further ones */
	KMS_TRY(kms_base64_decode((const char *)rest.ptr, rest.len, TLOG_NOTE_MAX, &key));
	if (key.len == 0) {
		return KMS_ERR(FORMAT);
	}
	if (key.ptr[0] != type) {
		return KMS_ERR(UNSUPPORTED);
	}
	*ret_key = key;
	key = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err check_id(struct kms_bytes text, uint32_t id)
{
	char expected[VKEY_ID_TEXT + 1];
	(void)snprintf(expected, sizeof(expected), "%08" PRIx32, id);
	return kms_bytes_equal(text, kms_bytes_str(expected)) ? KMS_OK : KMS_ERR(FORMAT);
}

kms_err tlog_vkey_parse(const char *text, struct tlog_vkey *ret_vkey)
{
	struct kms_bytes name, id_text;
	KMS_AUTO_BUF key = {0};
	uint32_t id = 0;
	KMS_TRY(split(text, TLOG_VKEY_ECDSA, &name, &id_text, &key));
	/* The ID first: it finds a mistyped key before the curve does. */
	const struct kms_bytes spki = {key.ptr + 1, key.len - 1};
	KMS_TRY(id_of_p256(spki, &id));
	KMS_TRY(check_id(id_text, id));
	return p256_of(name, spki, ret_vkey);
}

kms_err tlog_vkey_parse_ed25519(const char *text, struct tlog_vkey *ret_vkey)
{
	struct kms_bytes name, id_text;
	struct tlog_vkey vkey;
	KMS_AUTO_BUF key = {0};
	KMS_TRY(split(text, TLOG_VKEY_ED25519, &name, &id_text, &key));
	KMS_TRY(ed25519_of(name, (struct kms_bytes){key.ptr + 1, key.len - 1}, &vkey));
	KMS_TRY(check_id(id_text, vkey.id));
	*ret_vkey = vkey;
	return KMS_OK;
}

kms_err tlog_log_keys_parse(const char *p256, const char *ed25519, struct tlog_log_keys *ret_keys)
{
	struct tlog_log_keys keys = {.count = 1};
	KMS_TRY(tlog_vkey_parse(p256, &keys.keys[0]));
	if (ed25519[0] != '\0') {
		KMS_TRY(tlog_vkey_parse_ed25519(ed25519, &keys.keys[1]));
		keys.count = 2;
	}
	*ret_keys = keys;
	return KMS_OK;
}

kms_err tlog_vkey_check(const struct tlog_vkey *vkey, struct kms_bytes text, struct kms_bytes sig)
{
	if (vkey->type == TLOG_VKEY_ED25519) {
		return crypto_verify_ed25519(vkey->ed25519, text, sig);
	}
	return crypto_verify_der((struct kms_bytes){vkey->spki, vkey->spki_len}, text, sig);
}
