/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kms-tokend asks of a KEK again and again: AES-GCM inside the token, and random bytes. The
 * plaintext is in secret memory only. It must never offer raw AES-ECB outside of p11*.c: E(0) is
 * GCM's subkey.
 */
#include "p11_raw_int.h"

/* ---- AES-ECB, for commitments and known-answer tests ---- */

CK_RV p11_raw_ecb(
	struct p11 *p11, CK_OBJECT_HANDLE key, const uint8_t *in, size_t len, uint8_t *ret_out)
{
	CK_FUNCTION_LIST_PTR fn = p11->module.fn;
	CK_MECHANISM mechanism = {CKM_AES_ECB, NULL, 0};
	CK_ULONG out_len = (CK_ULONG)len;
	CK_RV rv = fn->C_EncryptInit(p11->session, &mechanism, key);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = fn->C_Encrypt(p11->session, p11_lend(in), (CK_ULONG)len, ret_out, &out_len);
	return rv == CKR_OK && out_len != len ? CKR_DEVICE_ERROR : rv;
}

CK_RV p11_raw_commit_blocks(
	struct p11 *p11, CK_OBJECT_HANDLE key, uint8_t ret_blocks[2 * P11_BLOCK])
{
	/* SHA-256("kmsd/commit/1/a")[0..12] and ("kmsd/commit/1/b")[0..12], each with the highest
	 * counter, which no GCM message of ours reaches: never E(0), never a low counter. */
	static const uint8_t constants[2 * P11_BLOCK] = {
		0x2e, 0xd7, 0xe4, 0x54, 0x2c, 0xc3, 0x47, 0x5d, 0x11, 0x07, 0x38, 0xca, /* a */
		0xff, 0xff, 0xff, 0xff,                                                 /**/
		0x5d, 0xef, 0x1f, 0xe5, 0x6f, 0x46, 0x3d, 0x23, 0x70, 0x66, 0xd0, 0x1f, /* b */
		0xff, 0xff, 0xff, 0xff,                                                 /**/
	};
	return p11_raw_ecb(p11, key, constants, sizeof(constants), ret_blocks);
}

/* ---- AES-GCM ---- */

struct gcm {
	const uint8_t *nonce;
	struct kms_bytes aad;
	struct kms_bytes in;
	uint8_t *out;
	size_t room;
	CK_ULONG out_len;
};

/* CK_GCM_PARAMS as v2.40 errata 01 and v3.0 have it, with ulIvBits (2.12.3). */
static CK_GCM_PARAMS gcm_params(const struct gcm *gcm)
{
	return (CK_GCM_PARAMS){
		.pIv = p11_lend(gcm->nonce),
		.ulIvLen = P11_GCM_NONCE,
		.ulIvBits = P11_GCM_NONCE * 8,
		.pAAD = gcm->aad.len > 0 ? p11_lend(gcm->aad.ptr) : NULL,
		.ulAADLen = (CK_ULONG)gcm->aad.len,
		.ulTagBits = P11_GCM_TAG * 8,
	};
}

static CK_RV encrypt_call(struct p11 *p11, CK_OBJECT_HANDLE key, void *arg)
{
	struct gcm *gcm = arg;
	CK_GCM_PARAMS params = gcm_params(gcm);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof(params)};
	gcm->out_len = (CK_ULONG)gcm->room;
	CK_RV rv = p11->module.fn->C_EncryptInit(p11->session, &mechanism, key);
	if (rv != CKR_OK) {
		return rv;
	}
	return p11->module.fn->C_Encrypt(p11->session, p11_lend(gcm->in.ptr), (CK_ULONG)gcm->in.len,
		gcm->out, &gcm->out_len);
}

static CK_RV decrypt_call(struct p11 *p11, CK_OBJECT_HANDLE key, void *arg)
{
	struct gcm *gcm = arg;
	CK_GCM_PARAMS params = gcm_params(gcm);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof(params)};
	gcm->out_len = (CK_ULONG)gcm->room;
	CK_RV rv = p11->module.fn->C_DecryptInit(p11->session, &mechanism, key);
	if (rv != CKR_OK) {
		return rv;
	}
	return p11->module.fn->C_Decrypt(p11->session, p11_lend(gcm->in.ptr), (CK_ULONG)gcm->in.len,
		gcm->out, &gcm->out_len);
}

kms_err p11_gcm_encrypt(struct p11 *p11, struct p11_kek *kek, const uint8_t nonce[P11_GCM_NONCE],
	struct kms_bytes aad, const struct kms_secret *in, uint8_t *ret_out)
{
	size_t len = kms_secret_len(in);
	if (len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (len > P11_GCM_MAX || aad.len > P11_GCM_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	struct p11_ref ref = {CKO_SECRET_KEY, &kek->id, &kek->object, &kek->epoch};
	struct gcm gcm = {
		.nonce = nonce,
		.aad = aad,
		.in = kms_secret_bytes(in),
		.out = ret_out,
		.room = len + P11_GCM_TAG,
	};
	KMS_TRY(p11_attempt(p11, "C_Encrypt", &ref, KMS_CODE_INTERNAL, encrypt_call, &gcm));
	/* A token that makes its own IV answers with more bytes: not this mechanism. */
	return gcm.out_len == gcm.room ? KMS_OK : KMS_ERR(INTERNAL);
}

kms_err p11_gcm_decrypt(struct p11 *p11, struct p11_kek *kek, const uint8_t nonce[P11_GCM_NONCE],
	struct kms_bytes aad, struct kms_bytes in, struct kms_secret **ret_out)
{
	if (in.len <= P11_GCM_TAG) {
		return KMS_ERR(TRUNCATED);
	}
	if (in.len > P11_GCM_MAX + P11_GCM_TAG || aad.len > P11_GCM_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	/* Room for the tag too: SoftHSM asks for as many bytes as it is given. */
	KMS_AUTO(kms_secret) out = NULL;
	KMS_TRY(kms_secret_new(in.len, &out));
	struct p11_ref ref = {CKO_SECRET_KEY, &kek->id, &kek->object, &kek->epoch};
	struct gcm gcm = {
		.nonce = nonce,
		.aad = aad,
		.in = in,
		.out = kms_secret_ptr(out),
		.room = in.len,
	};
	KMS_TRY(p11_attempt(p11, "C_Decrypt", &ref, KMS_CODE_INTEGRITY, decrypt_call, &gcm));
	if (gcm.out_len != in.len - P11_GCM_TAG) {
		return KMS_ERR(INTERNAL);
	}
	kms_secret_shrink(out, in.len - P11_GCM_TAG);
	*ret_out = kms_take(&out);
	return KMS_OK;
}

/* ---- random ---- */

static CK_RV random_call(struct p11 *p11, CK_OBJECT_HANDLE none, void *arg)
{
	(void)none;
	struct kms_secret *into = arg;
	return p11->module.fn->C_GenerateRandom(
		p11->session, kms_secret_ptr(into), (CK_ULONG)kms_secret_len(into));
}

kms_err p11_random(struct p11 *p11, size_t len, struct kms_secret **ret_random)
{
	if (len == 0) {
		return KMS_ERR(ARGUMENT);
	}
	if (len > KMS_SECRET_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	KMS_AUTO(kms_secret) bytes = NULL;
	KMS_TRY(kms_secret_new(len, &bytes));
	KMS_TRY(p11_attempt(p11, "C_GenerateRandom", NULL, KMS_CODE_INTERNAL, random_call, bytes));
	*ret_random = kms_take(&bytes);
	return KMS_OK;
}
