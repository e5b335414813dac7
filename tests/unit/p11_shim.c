/* SPDX-License-Identifier: Apache-2.0 */
/* See p11_shim.h. */
#include "p11_shim.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static struct shim shim;
static CK_FUNCTION_LIST list;

EXPORT struct shim *shim_control(void)
{
	return &shim;
}

static CK_RV failure(const char *function)
{
	if (shim.function == NULL || strcmp(shim.function, function) != 0 || shim.times == 0) {
		return CKR_OK;
	}
	if (shim.skip > 0) {
		shim.skip--;
		return CKR_OK;
	}
	shim.times--;
	return shim.rv;
}

#define FAIL(function)                                                                             \
	do {                                                                                       \
		CK_RV failure_rv = failure(function);                                              \
		if (failure_rv != CKR_OK) {                                                        \
			return failure_rv;                                                         \
		}                                                                                  \
	} while (0)

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE type, CK_UTF8CHAR_PTR pin, CK_ULONG len)
{
	shim.logins++;
	FAIL("C_Login");
	return shim.real->C_Login(session, type, pin, len);
}

static CK_RV generate_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR object)
{
	FAIL("C_GenerateKey");
	CK_RV rv = shim.real->C_GenerateKey(session, mechanism, template, count, object);
	if (rv == CKR_OK && shim.generate_lost) {
		shim.generate_lost = false;
		return CKR_SESSION_CLOSED;
	}
	return rv;
}

static bool is_ed25519(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	CK_KEY_TYPE type = 0;
	CK_ATTRIBUTE attribute = {CKA_KEY_TYPE, &type, sizeof(type)};
	return shim.real->C_GetAttributeValue(session, object, &attribute, 1) == CKR_OK &&
	       type == CKK_EC_EDWARDS;
}

static CK_RV get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	CK_ATTRIBUTE_PTR attribute, CK_ULONG count)
{
	FAIL("C_GetAttributeValue");
	if (shim.destroy_feigns && object == shim.feigned) {
		return CKR_OBJECT_HANDLE_INVALID;
	}
	CK_RV rv = shim.real->C_GetAttributeValue(session, object, attribute, count);
	if (rv == CKR_OK && shim.flip != 0 && attribute->type == shim.flip) {
		*(CK_BBOOL *)attribute->pValue ^= CK_TRUE;
	}
	if (rv == CKR_OK && shim.ed25519_weak && attribute->type == CKA_SENSITIVE &&
		is_ed25519(session, object)) {
		*(CK_BBOOL *)attribute->pValue = CK_FALSE;
	}
	return rv;
}

static CK_RV destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	FAIL("C_DestroyObject");
	if (shim.destroy_feigns) {
		CK_ATTRIBUTE id = {CKA_ID, shim.feigned_id, sizeof(shim.feigned_id)};
		shim.feigned = object;
		return shim.real->C_GetAttributeValue(session, object, &id, 1);
	}
	return shim.destroy_lies ? CKR_OK : shim.real->C_DestroyObject(session, object);
}

static CK_RV encrypt_init(
	CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	FAIL("C_EncryptInit");
	return shim.real->C_EncryptInit(session, mechanism, key);
}

static bool is_feigned(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	CK_BYTE bytes[sizeof(shim.feigned_id)];
	CK_ATTRIBUTE id = {CKA_ID, bytes, sizeof(bytes)};
	return shim.feigned != CK_INVALID_HANDLE &&
	       shim.real->C_GetAttributeValue(session, object, &id, 1) == CKR_OK &&
	       id.ulValueLen == sizeof(bytes) && memcmp(bytes, shim.feigned_id, sizeof(bytes)) == 0;
}

static CK_RV decrypt_init(
	CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	FAIL("C_DecryptInit");
	if (shim.destroy_feigns && !shim.feigned_works && is_feigned(session, key)) {
		return CKR_KEY_HANDLE_INVALID;
	}
	return shim.real->C_DecryptInit(session, mechanism, key);
}

static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out,
	CK_ULONG_PTR out_len)
{
	FAIL("C_Encrypt");
	CK_RV rv = shim.real->C_Encrypt(session, in, in_len, out, out_len);
	if (rv == CKR_OK && shim.encrypt_lies && *out_len != in_len) {
		out[0] ^= 1;
	}
	return rv;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out,
	CK_ULONG_PTR out_len)
{
	FAIL("C_Decrypt");
	CK_RV rv = shim.real->C_Decrypt(session, in, in_len, out, out_len);
	if (rv != CKR_OK && shim.decrypt_lies) {
		*out_len = in_len - 16;
		memset(out, 0, *out_len);
		return CKR_OK;
	}
	return rv;
}

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count)
{
	FAIL("C_FindObjectsInit");
	return shim.real->C_FindObjectsInit(session, template, count);
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR found, CK_ULONG room,
	CK_ULONG_PTR ret_count)
{
	CK_ULONG kept = 0;
	CK_RV rv = shim.real->C_FindObjects(session, found, room, ret_count);
	if (rv != CKR_OK || !shim.destroy_feigns || shim.feigned_is_found) {
		return rv;
	}
	for (CK_ULONG i = 0; i < *ret_count; i++) {
		if (!is_feigned(session, found[i])) {
			found[kept++] = found[i];
		}
	}
	*ret_count = kept;
	return CKR_OK;
}

static CK_RV finalize(void *reserved)
{
	if (shim.feigned != CK_INVALID_HANDLE) {
		shim.feigned = ~(CK_OBJECT_HANDLE)0; /* none has this one: the id is left */
	}
	return shim.real->C_Finalize(reserved);
}

static CK_RV generate_random(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG len)
{
	FAIL("C_GenerateRandom");
	return shim.real->C_GenerateRandom(session, out, len);
}

static CK_RV generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_ATTRIBUTE_PTR public_template, CK_ULONG public_count, CK_ATTRIBUTE_PTR private_template,
	CK_ULONG private_count, CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key)
{
	FAIL("C_GenerateKeyPair");
	if (shim.no_ed25519 && mechanism->mechanism == CKM_EC_EDWARDS_KEY_PAIR_GEN) {
		return CKR_MECHANISM_INVALID;
	}
	return shim.real->C_GenerateKeyPair(session, mechanism, public_template, public_count,
		private_template, private_count, public_key, private_key);
}

static bool signs_ed25519; /* the operation that C_SignInit began */

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	FAIL("C_SignInit");
	signs_ed25519 = mechanism->mechanism == CKM_EDDSA;
	if (signs_ed25519) {
		FAIL("C_SignInit Ed25519");
	}
	return shim.real->C_SignInit(session, mechanism, key);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out,
	CK_ULONG_PTR out_len)
{
	FAIL("C_Sign");
	CK_RV rv = shim.real->C_Sign(session, in, in_len, out, out_len);
	if (rv == CKR_OK && signs_ed25519) {
		out[0] ^= shim.ed25519_lies ? 1 : 0;
		*out_len -= shim.ed25519_short ? 1 : 0;
	}
	return rv;
}

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR ret_list)
{
	void *library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_NODELETE);
	void *symbol = library != NULL ? dlsym(library, "C_GetFunctionList") : NULL;
	CK_C_GetFunctionList get = NULL;
	memcpy(&get, &symbol, sizeof(get));
	if (get == NULL || get(&shim.real) != CKR_OK) {
		return CKR_FUNCTION_FAILED;
	}
	list = *shim.real;
	shim.destroy_lies = getenv("KMS_SHIM_DESTROY_LIES") != NULL; /* inside a daemon */
	list.C_Login = login;
	list.C_GenerateKey = generate_key;
	list.C_GetAttributeValue = get_attribute;
	list.C_DestroyObject = destroy_object;
	list.C_EncryptInit = encrypt_init;
	list.C_Encrypt = encrypt;
	list.C_Decrypt = decrypt;
	list.C_FindObjectsInit = find_init;
	list.C_FindObjects = find;
	list.C_Finalize = finalize;
	list.C_DecryptInit = decrypt_init;
	list.C_GenerateRandom = generate_random;
	list.C_Sign = sign;
	list.C_SignInit = sign_init;
	list.C_GenerateKeyPair = generate_key_pair;
	*ret_list = &list;
	return CKR_OK;
}
