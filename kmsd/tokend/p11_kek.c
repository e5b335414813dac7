/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The birth of KEKs (and of the canary) in kms-tokend: template, read-back, known-answer test,
 * fsync. It must never return a KEK that is weaker than asked for, or not yet on disk.
 */
#include "p11_raw_int.h"

#include "crypto.h"

#include <string.h>

#define CANARY_LABEL "kmsd canary"
enum { KAT_BYTES = 2 * P11_BLOCK };

const struct kms_id p11_canary_id = {{0x68, 0x18, 0x34, 0x26, 0x34, 0xdd, 0x0c, 0xd7, 0xe9, 0x7f,
	0x63, 0x3f, 0x9d, 0xb9, 0x1a, 0xa0}};

/* ---- generation ---- */

struct generate {
	const struct kms_id *id;
	const char *label;
	CK_OBJECT_HANDLE object;
};

/* Would a shorter template help? (v2.40, 4.1: these three answer an attribute that is unknown) */
static bool is_template_error(CK_RV rv)
{
	return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
	       rv == CKR_TEMPLATE_INCONSISTENT;
}

static CK_RV generate_call(struct p11 *p11, CK_OBJECT_HANDLE none, void *arg)
{
	(void)none;
	struct generate *generate = arg;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ULONG bytes = P11_KEK_BYTES;
	CK_BBOOL yes = CK_TRUE;
	CK_BBOOL no = CK_FALSE;
	CK_MECHANISM_TYPE allowed[] = {CKM_AES_GCM, CKM_AES_ECB};
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof(class)},
		{CKA_KEY_TYPE, &type, sizeof(type)},
		{CKA_VALUE_LEN, &bytes, sizeof(bytes)},
		{CKA_ID, p11_lend(generate->id->b), sizeof(generate->id->b)},
		{CKA_LABEL, p11_lend(generate->label), (CK_ULONG)strlen(generate->label)},
		{CKA_TOKEN, &yes, sizeof(yes)},
		/* Without it SoftHSM keeps the value in clear in its file. */
		{CKA_PRIVATE, &yes, sizeof(yes)},
		{CKA_SENSITIVE, &yes, sizeof(yes)},
		{CKA_EXTRACTABLE, &no, sizeof(no)},
		{CKA_ENCRYPT, &yes, sizeof(yes)},
		{CKA_DECRYPT, &yes, sizeof(yes)},
		/* Wrap and decrypt on one key give any key in clear (Clulow 2003). */
		{CKA_WRAP, &no, sizeof(no)},
		{CKA_UNWRAP, &no, sizeof(no)},
		{CKA_DERIVE, &no, sizeof(no)},
		{CKA_SIGN, &no, sizeof(no)},
		{CKA_VERIFY, &no, sizeof(no)},
		/* Not known to every token: left out one by one, from the end. */
		{CKA_MODIFIABLE, &no, sizeof(no)},
		{CKA_COPYABLE, &no, sizeof(no)},
		{CKA_ALLOWED_MECHANISMS, allowed, sizeof(allowed)},
	};
	enum { ALL = sizeof(template) / sizeof(template[0]), MUST = ALL - 3 };
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_RV rv = CKR_TEMPLATE_INCONSISTENT;
	for (CK_ULONG count = ALL; count >= MUST && is_template_error(rv); count--) {
		rv = p11->module.fn->C_GenerateKey(
			p11->session, &mechanism, template, count, &generate->object);
	}
	return rv;
}

/* ---- read-back ---- */

static const struct p11_expected expected[] = {
	{CKA_TOKEN, P11_YES, "CKA_TOKEN"},
	{CKA_PRIVATE, P11_YES, "CKA_PRIVATE"},
	{CKA_SENSITIVE, P11_YES, "CKA_SENSITIVE"},
	{CKA_ALWAYS_SENSITIVE, P11_YES, "CKA_ALWAYS_SENSITIVE"},
	{CKA_EXTRACTABLE, P11_NO, "CKA_EXTRACTABLE"},
	{CKA_NEVER_EXTRACTABLE, P11_YES, "CKA_NEVER_EXTRACTABLE"},
	{CKA_LOCAL, P11_YES, "CKA_LOCAL"},
	{CKA_ENCRYPT, P11_YES, "CKA_ENCRYPT"},
	{CKA_DECRYPT, P11_YES, "CKA_DECRYPT"},
	{CKA_WRAP, P11_NO, "CKA_WRAP"},
	{CKA_UNWRAP, P11_NO, "CKA_UNWRAP"},
	{CKA_DERIVE, P11_NO, "CKA_DERIVE"},
	{CKA_SIGN, P11_NO, "CKA_SIGN"},
	{CKA_VERIFY, P11_NO, "CKA_VERIFY"},
};

static bool is_allowed_pair(const CK_MECHANISM_TYPE *got, size_t bytes)
{
	return bytes == 2 * sizeof(*got) &&
	       ((got[0] == CKM_AES_GCM && got[1] == CKM_AES_ECB) ||
		       (got[0] == CKM_AES_ECB && got[1] == CKM_AES_GCM));
}

static kms_err read_optional(struct p11 *p11, CK_OBJECT_HANDLE object, struct p11_kek_facts *facts)
{
	CK_MECHANISM_TYPE allowed[4] = {0};
	size_t len = 0;
	KMS_TRY(p11_attribute_flag(p11, object, CKA_COPYABLE, &facts->copyable));
	KMS_TRY(p11_attribute_flag(p11, object, CKA_DESTROYABLE, &facts->destroyable));
	KMS_TRY(p11_attribute_flag(p11, object, CKA_MODIFIABLE, &facts->modifiable));
	KMS_TRY(p11_attribute_flag(p11, object, CKA_WRAP_WITH_TRUSTED, &facts->wrap_with_trusted));
	KMS_TRY(p11_attribute_bytes(
		p11, object, CKA_ALLOWED_MECHANISMS, allowed, sizeof(allowed), &len));
	facts->mechanisms_limited = is_allowed_pair(allowed, len);
	KMS_TRY(p11_attribute_bytes(p11, object, MORE_CKA_UNIQUE_ID, facts->unique_id,
		sizeof(facts->unique_id) - 1, &len));
	facts->unique_id[len] = '\0';
	if (facts->destroyable == P11_NO) {
		kms_log(KMS_LOG_ERROR, "token: a new KEK could not be destroyed: refused");
		return KMS_ERR(CONFIG);
	}
	return KMS_OK;
}

static kms_err read_back(struct p11 *p11, const struct p11_kek *kek, struct p11_kek_facts *facts)
{
	CK_OBJECT_HANDLE object = kek->object;
	CK_ULONG type;
	CK_ULONG bytes;
	struct kms_id id = {0};
	size_t id_len;
	KMS_TRY(p11_attribute_ulong(p11, object, CKA_KEY_TYPE, &type));
	KMS_TRY(p11_attribute_ulong(p11, object, CKA_VALUE_LEN, &bytes));
	KMS_TRY(p11_attribute_bytes(p11, object, CKA_ID, id.b, sizeof(id.b), &id_len));
	if (type != CKK_AES || bytes != P11_KEK_BYTES || id_len != sizeof(id.b) ||
		!kms_id_equal(&id, &kek->id)) {
		kms_log(KMS_LOG_ERROR, "token: a new KEK is no AES-256 key of its id: refused");
		return KMS_ERR(CONFIG);
	}
	KMS_TRY(p11_attributes_expect(
		p11, object, expected, sizeof(expected) / sizeof(expected[0])));
	facts->bits = P11_KEK_BYTES * 8;
	facts->sensitive = true;
	facts->extractable = false;
	facts->always_sensitive = true;
	facts->never_extractable = true;
	facts->local = true;
	return read_optional(p11, object, facts);
}

/* ---- known answers ---- */

struct blocks {
	const uint8_t *in;
	uint8_t out[KAT_BYTES];
};

static CK_RV ecb_call(struct p11 *p11, CK_OBJECT_HANDLE key, void *arg)
{
	struct blocks *blocks = arg;
	return p11_raw_ecb(p11, key, blocks->in, KAT_BYTES, blocks->out);
}

static CK_RV commit_call(struct p11 *p11, CK_OBJECT_HANDLE key, void *arg)
{
	return p11_raw_commit_blocks(p11, key, arg);
}

kms_err p11_kek_commitment(struct p11 *p11, struct p11_kek *kek, struct kms_hash *ret_commitment)
{
	uint8_t blocks[2 * P11_BLOCK];
	struct p11_ref ref = {CKO_SECRET_KEY, &kek->id, &kek->object, &kek->epoch};
	KMS_TRY(p11_attempt(p11, "C_Encrypt", &ref, KMS_CODE_INTERNAL, commit_call, blocks));
	return crypto_sha256_one(KMS_BYTES_OF(blocks), ret_commitment);
}

/* SP 800-38D section 7.1 with a 96-bit IV: C = GCTR(inc32(J0), 0...) = E(IV||2) || E(IV||3). */
static kms_err kat_counter(struct p11 *p11, struct p11_kek *kek, const uint8_t nonce[P11_GCM_NONCE],
	const uint8_t ciphertext[KAT_BYTES])
{
	uint8_t counters[KAT_BYTES] = {0};
	struct blocks blocks = {.in = counters};
	for (size_t i = 0; i < 2; i++) {
		memcpy(counters + i * P11_BLOCK, nonce, P11_GCM_NONCE);
		counters[i * P11_BLOCK + P11_BLOCK - 1] = (uint8_t)(i + 2);
	}
	struct p11_ref ref = {CKO_SECRET_KEY, &kek->id, &kek->object, &kek->epoch};
	KMS_TRY(p11_attempt(p11, "C_Encrypt", &ref, KMS_CODE_INTERNAL, ecb_call, &blocks));
	bool same = kms_equal_ct(blocks.out, ciphertext, KAT_BYTES);
	bool trivial = kms_equal_ct(blocks.out, counters, KAT_BYTES);
	return same && !trivial ? KMS_OK : KMS_ERR(CONFIG);
}

static kms_err kat(struct p11 *p11, struct p11_kek *kek)
{
	static const char aad_text[] = "kmsd/kat/1";
	struct kms_bytes aad = kms_bytes_str(aad_text);
	uint8_t nonce[P11_GCM_NONCE];
	uint8_t sealed[KAT_BYTES + P11_GCM_TAG];
	KMS_AUTO(kms_secret) zeros = NULL;
	KMS_AUTO(kms_secret) opened = NULL;
	KMS_AUTO(kms_secret) forged = NULL;
	kms_random(nonce, sizeof(nonce));
	KMS_TRY(kms_secret_new(KAT_BYTES, &zeros));
	KMS_TRY(p11_gcm_encrypt(p11, kek, nonce, aad, zeros, sealed));
	KMS_TRY(kat_counter(p11, kek, nonce, sealed));
	KMS_TRY(p11_gcm_decrypt(p11, kek, nonce, aad, KMS_BYTES_OF(sealed), &opened));
	if (!kms_equal_ct(kms_secret_cptr(opened), kms_secret_cptr(zeros), KAT_BYTES)) {
		return KMS_ERR(CONFIG);
	}
	/* A module that ignores AAD or tag must not pass. */
	kms_err err = p11_gcm_decrypt(
		p11, kek, nonce, (struct kms_bytes){0}, KMS_BYTES_OF(sealed), &forged);
	if (kms_is(err, KMS_CODE_INTEGRITY)) {
		sealed[sizeof(sealed) - 1] ^= 1;
		err = p11_gcm_decrypt(p11, kek, nonce, aad, KMS_BYTES_OF(sealed), &forged);
	}
	if (kms_is_ok(err)) {
		return KMS_ERR(CONFIG);
	}
	return kms_is(err, KMS_CODE_INTEGRITY) ? KMS_OK : err;
}

/* ---- birth ---- */

static kms_err test_new(struct p11 *p11, struct p11_kek *kek, struct p11_kek_facts *facts)
{
	/* A generation whose answer was lost and that was repeated makes two: EXISTS. */
	CK_OBJECT_HANDLE object;
	KMS_TRY(p11_find_one(p11, CKO_SECRET_KEY, &kek->id, &object));
	KMS_TRY(p11_kek_commitment(p11, kek, &facts->commitment));
	if (kms_id_equal(&kek->id, &p11_canary_id)) {
		/* The known-answer test asks the canary, even where it is the canary's own. */
		p11->pins.canary = facts->commitment;
	}
	KMS_TRY(read_back(p11, kek, facts));
	kms_err err = kat(p11, kek);
	if (kms_is(err, KMS_CODE_CONFIG)) {
		kms_log(KMS_LOG_ERROR, "token: a new KEK fails its known-answer test: refused");
	}
	KMS_TRY(err);
	return p11_softhsm_sync(p11->profile);
}

static kms_err make(struct p11 *p11, const struct kms_id *id, const char *label,
	struct p11_kek *ret_kek, struct p11_kek_facts *ret_facts)
{
	struct generate generate = {.id = id, .label = label, .object = CK_INVALID_HANDLE};
	struct p11_kek_facts facts = {0};
	KMS_TRY(p11_create_begin(p11));
	kms_err err = p11_attempt(
		p11, "C_GenerateKey", NULL, KMS_CODE_INTERNAL, generate_call, &generate);
	p11_create_end(p11);
	KMS_TRY(err);
	struct p11_kek kek = {.id = *id, .object = generate.object, .epoch = p11->epoch};
	err = test_new(p11, &kek, &facts);
	if (!kms_is_ok(err)) {
		/* Never born. What a token that is down keeps is the sweep's. */
		KMS_IGNORE(p11_destroy_confirmed(p11, kek.object, kek.epoch));
		return err;
	}
	*ret_kek = kek;
	*ret_facts = facts;
	return KMS_OK;
}

kms_err p11_kek_generate(struct p11 *p11, const struct kms_id *id, struct p11_kek *ret_kek,
	struct p11_kek_facts *ret_facts)
{
	if (kms_id_is_zero(id) || kms_id_equal(id, &p11_canary_id)) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(p11_expect_none(p11, CKO_SECRET_KEY, id));
	return make(p11, id, P11_KEK_LABEL, ret_kek, ret_facts);
}

kms_err p11_kek_find(struct p11 *p11, const struct kms_id *id, struct p11_kek *ret_kek)
{
	if (kms_id_is_zero(id) || kms_id_equal(id, &p11_canary_id)) {
		return KMS_ERR(ARGUMENT);
	}
	CK_OBJECT_HANDLE object;
	KMS_TRY(p11_find_one(p11, CKO_SECRET_KEY, id, &object));
	*ret_kek = (struct p11_kek){.id = *id, .object = object, .epoch = p11->epoch};
	return KMS_OK;
}

kms_err p11_canary_make(struct p11 *p11, struct kms_hash *ret_answer)
{
	struct p11_kek canary;
	struct p11_kek_facts facts;
	KMS_TRY(make(p11, &p11_canary_id, CANARY_LABEL, &canary, &facts));
	*ret_answer = facts.commitment;
	return KMS_OK;
}
