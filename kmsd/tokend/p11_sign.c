/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing keys in the system token's kms-tokend: P-256 and Ed25519 key pairs that only sign. It
 * must never sign a hash that it did not make itself.
 */
#include "p11_raw_int.h"

#include "crypto.h"

#include <string.h>

/* CKA_EC_PARAMS in DER: id-prime256v1, 1.2.840.10045.3.1.7 (RFC 5480, 2.1.1.1), and id-Ed25519,
 * 1.3.101.112 (RFC 8410, 3) */
static const uint8_t curve_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t curve_ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70};

struct kind {
	struct kms_bytes curve;
	CK_MECHANISM_TYPE generate;
	CK_MECHANISM_TYPE sign;
	size_t point;
	const char *name;
};
static const struct kind kinds[] = {
	[P11_SIGN_P256] = {{curve_p256, sizeof(curve_p256)}, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA,
		P11_POINT, "uncompressed P-256 point"},
	[P11_SIGN_ED25519] = {{curve_ed25519, sizeof(curve_ed25519)}, CKM_EC_EDWARDS_KEY_PAIR_GEN,
		CKM_EDDSA, P11_ED25519, "Ed25519 point"},
};

static kms_err key_id(const char *label, struct kms_id *ret_id)
{
	if (label[0] == '\0' || strlen(label) > P11_LABEL_MAX) {
		return KMS_ERR(ARGUMENT);
	}
	struct kms_bytes parts[] = {kms_bytes_str("kmsd/sign/1/"), kms_bytes_str(label)};
	struct kms_hash hash;
	KMS_TRY(crypto_sha256(parts, 2, &hash));
	memcpy(ret_id->b, hash.b, sizeof(ret_id->b));
	return KMS_OK;
}

/* ---- generation ---- */

struct generate {
	const struct kind *kind;
	const char *label;
	struct kms_id id;
	CK_OBJECT_HANDLE public_key;
	CK_OBJECT_HANDLE private_key;
};

static CK_RV generate_call(struct p11 *p11, CK_OBJECT_HANDLE none, void *arg)
{
	(void)none;
	struct generate *generate = arg;
	CK_BBOOL yes = CK_TRUE;
	CK_BBOOL no = CK_FALSE;
	CK_ULONG label_len = (CK_ULONG)strlen(generate->label);
	CK_ATTRIBUTE public_template[] = {
		{CKA_EC_PARAMS, p11_lend(generate->kind->curve.ptr),
			(CK_ULONG)generate->kind->curve.len},
		{CKA_ID, generate->id.b, sizeof(generate->id.b)},
		{CKA_LABEL, p11_lend(generate->label), label_len},
		{CKA_TOKEN, &yes, sizeof(yes)},
		{CKA_PRIVATE, &no, sizeof(no)},
		{CKA_VERIFY, &yes, sizeof(yes)},
		{CKA_ENCRYPT, &no, sizeof(no)},
		{CKA_WRAP, &no, sizeof(no)},
	};
	CK_ATTRIBUTE private_template[] = {
		{CKA_ID, generate->id.b, sizeof(generate->id.b)},
		{CKA_LABEL, p11_lend(generate->label), label_len},
		{CKA_TOKEN, &yes, sizeof(yes)},
		{CKA_PRIVATE, &yes, sizeof(yes)},
		{CKA_SENSITIVE, &yes, sizeof(yes)},
		{CKA_EXTRACTABLE, &no, sizeof(no)},
		{CKA_SIGN, &yes, sizeof(yes)},
		{CKA_DECRYPT, &no, sizeof(no)},
		{CKA_UNWRAP, &no, sizeof(no)},
		{CKA_DERIVE, &no, sizeof(no)},
	};
	CK_MECHANISM mechanism = {generate->kind->generate, NULL, 0};
	return p11->module.fn->C_GenerateKeyPair(p11->session, &mechanism, public_template,
		sizeof(public_template) / sizeof(public_template[0]), private_template,
		sizeof(private_template) / sizeof(private_template[0]), &generate->public_key,
		&generate->private_key);
}

static const struct p11_expected expected[] = {
	{CKA_TOKEN, P11_YES, "CKA_TOKEN"},
	{CKA_PRIVATE, P11_YES, "CKA_PRIVATE"},
	{CKA_SENSITIVE, P11_YES, "CKA_SENSITIVE"},
	{CKA_ALWAYS_SENSITIVE, P11_YES, "CKA_ALWAYS_SENSITIVE"},
	{CKA_EXTRACTABLE, P11_NO, "CKA_EXTRACTABLE"},
	{CKA_NEVER_EXTRACTABLE, P11_YES, "CKA_NEVER_EXTRACTABLE"},
	{CKA_LOCAL, P11_YES, "CKA_LOCAL"},
	{CKA_SIGN, P11_YES, "CKA_SIGN"},
	{CKA_DECRYPT, P11_NO, "CKA_DECRYPT"},
	{CKA_UNWRAP, P11_NO, "CKA_UNWRAP"},
	{CKA_DERIVE, P11_NO, "CKA_DERIVE"},
};

/* CKA_EC_POINT is a DER OCTET STRING of the point (v2.40 mechanisms, 2.3.3); some tokens give the
 * bare point. */
static kms_err read_point(
	struct p11 *p11, CK_OBJECT_HANDLE public_key, struct p11_sign_key *ret_key)
{
	const struct kind *kind = &kinds[ret_key->kind];
	uint8_t bytes[P11_POINT + 2];
	size_t len = 0;
	KMS_TRY(p11_attribute_bytes(p11, public_key, CKA_EC_POINT, bytes, sizeof(bytes), &len));
	const uint8_t *point = bytes;
	if (len == kind->point + 2 && bytes[0] == 0x04 && bytes[1] == kind->point) {
		point = bytes + 2;
		len -= 2;
	}
	if (len != kind->point || (ret_key->kind == P11_SIGN_P256 && point[0] != 0x04)) {
		kms_log(KMS_LOG_ERROR, "token: CKA_EC_POINT is no %s", kind->name);
		return KMS_ERR(CONFIG);
	}
	memcpy(ret_key->point, point, len);
	return KMS_OK;
}

static kms_err verify(
	const struct p11_sign_key *key, struct kms_bytes message, const uint8_t raw[P11_SIG])
{
	if (key->kind == P11_SIGN_ED25519) {
		return crypto_verify_ed25519(key->point, message, (struct kms_bytes){raw, P11_SIG});
	}
	KMS_AUTO_BUF spki = {0};
	KMS_TRY(p11_sign_key_spki(key, &spki));
	return crypto_verify_raw(kms_buf_bytes(&spki), message, raw);
}

/* Private key and point belong together when what one signs the other verifies. */
static kms_err prove(struct p11 *p11, struct p11_sign_key *key)
{
	struct kms_bytes message = kms_bytes_str("kmsd/sign/1 test");
	uint8_t raw[P11_SIG];
	KMS_TRY(p11_sign(p11, key, message, raw));
	kms_err err = verify(key, message, raw);
	if (kms_is(err, KMS_CODE_INTEGRITY)) {
		kms_log(KMS_LOG_ERROR, "token: a signing key's two halves do not match: refused");
		return KMS_ERR(CONFIG);
	}
	return err;
}

static kms_err test_new(struct p11 *p11, enum p11_sign_kind kind, const struct generate *generate,
	struct p11_sign_key *ret_key)
{
	struct p11_sign_key key = {.kind = kind,
		.id = generate->id,
		.object = generate->private_key,
		.epoch = p11->epoch};
	KMS_TRY(p11_attributes_expect(
		p11, generate->private_key, expected, sizeof(expected) / sizeof(expected[0])));
	KMS_TRY(read_point(p11, generate->public_key, &key));
	KMS_TRY(prove(p11, &key));
	KMS_TRY(p11_softhsm_sync(p11->profile));
	*ret_key = key;
	return KMS_OK;
}

kms_err p11_sign_key_generate(
	struct p11 *p11, enum p11_sign_kind kind, const char *label, struct p11_sign_key *ret_key)
{
	struct generate generate = {.kind = &kinds[kind], .label = label};
	KMS_TRY(key_id(label, &generate.id));
	KMS_TRY(p11_expect_none(p11, CKO_PRIVATE_KEY, &generate.id));
	KMS_TRY(p11_expect_none(p11, CKO_PUBLIC_KEY, &generate.id));
	KMS_TRY(p11_create_begin(p11));
	kms_err err = p11_attempt(
		p11, "C_GenerateKeyPair", NULL, KMS_CODE_INTERNAL, generate_call, &generate);
	p11_create_end(p11);
	KMS_TRY(err);
	uint64_t epoch = p11->epoch;
	err = test_new(p11, kind, &generate, ret_key);
	if (!kms_is_ok(err)) {
		KMS_IGNORE(p11_destroy_confirmed(p11, generate.private_key, epoch));
		KMS_IGNORE(p11_destroy_confirmed(p11, generate.public_key, epoch));
	}
	return err;
}

kms_err p11_sign_key_find(
	struct p11 *p11, enum p11_sign_kind kind, const char *label, struct p11_sign_key *ret_key)
{
	struct p11_sign_key key = {.kind = kind};
	CK_OBJECT_HANDLE public_key;
	CK_OBJECT_HANDLE private_key;
	KMS_TRY(key_id(label, &key.id));
	KMS_TRY(p11_find_one(p11, CKO_PUBLIC_KEY, &key.id, &public_key));
	KMS_TRY(read_point(p11, public_key, &key));
	KMS_TRY(p11_find_one(p11, CKO_PRIVATE_KEY, &key.id, &private_key));
	key.object = private_key;
	key.epoch = p11->epoch;
	KMS_TRY(prove(p11, &key));
	*ret_key = key;
	return KMS_OK;
}

/* ---- use ---- */

kms_err p11_sign_key_spki(const struct p11_sign_key *key, struct kms_buf *ret_der)
{
	return key->kind == P11_SIGN_P256 ? crypto_spki_of_point(key->point, ret_der)
					  : KMS_ERR(ARGUMENT);
}

struct signing {
	CK_MECHANISM_TYPE mechanism;
	struct kms_bytes in;
	uint8_t raw[P11_SIG];
	CK_ULONG raw_len;
};

static CK_RV sign_call(struct p11 *p11, CK_OBJECT_HANDLE key, void *arg)
{
	struct signing *signing = arg;
	CK_MECHANISM mechanism = {signing->mechanism, NULL, 0};
	signing->raw_len = sizeof(signing->raw);
	CK_RV rv = p11->module.fn->C_SignInit(p11->session, &mechanism, key);
	if (rv != CKR_OK) {
		return rv;
	}
	return p11->module.fn->C_Sign(p11->session, p11_lend(signing->in.ptr),
		(CK_ULONG)signing->in.len, signing->raw, &signing->raw_len);
}

kms_err p11_sign(struct p11 *p11, struct p11_sign_key *key, struct kms_bytes message,
	uint8_t ret_raw[P11_SIG])
{
	struct kms_hash hash;
	struct signing signing = {.mechanism = kinds[key->kind].sign, .in = message};
	struct p11_ref ref = {CKO_PRIVATE_KEY, &key->id, &key->object, &key->epoch};
	if (key->kind == P11_SIGN_P256) {
		KMS_TRY(crypto_sha256_one(message, &hash));
		signing.in = KMS_BYTES_OF(hash.b);
	}
	KMS_TRY(p11_attempt(p11, "C_Sign", &ref, KMS_CODE_INTERNAL, sign_call, &signing));
	if (signing.raw_len != P11_SIG) {
		return KMS_ERR(INTERNAL);
	}
	memcpy(ret_raw, signing.raw, P11_SIG);
	return KMS_OK;
}
