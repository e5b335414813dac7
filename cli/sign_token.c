/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A person's key in a PKCS#11 token or smart card, through libp11, by its URI (RFC 7512). The PIN
 * is asked for or comes from a file, never out of the URI: others can read a command line.
 */
#include <stdlib.h>
#include <string.h>

/* <openssl/err.h> uses it out of <limits.h>, and finds libkms/model's header of that name. */
#define INT_MAX __INT_MAX__
#include <libp11.h>
#include <p11-kit/uri.h>

#include "cli_int.h"
#include "sign_int.h"

struct cli_token {
	PKCS11_CTX *ctx;
	bool loaded;
	PKCS11_SLOT *slots;
	unsigned slot_count;
};

void cli_token_free(struct cli_token **token)
{
	if (token == NULL || *token == NULL) {
		return;
	}
	if ((*token)->slots != NULL) {
		PKCS11_release_all_slots((*token)->ctx, (*token)->slots, (*token)->slot_count);
	}
	if ((*token)->loaded) {
		PKCS11_CTX_unload((*token)->ctx);
	}
	if ((*token)->ctx != NULL) {
		PKCS11_CTX_free((*token)->ctx);
	}
	free(*token);
	*token = NULL;
}

/* ---- the URI ---- */

static void uri_cleanup(P11KitUri **uri)
{
	p11_kit_uri_free(*uri);
}

static kms_err read_uri(const char *text, P11KitUri *uri)
{
	int result = p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT_ON_TOKEN_AND_MODULE, uri);
	if (result != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(uri) != 0) {
		return cli_refuse(KMS_ERR(ARGUMENT), "this is no pkcs11: URI that names a key: %s",
			result != P11_KIT_URI_OK ? p11_kit_uri_message(result)
						 : "it has attributes that are not known");
	}
	if (p11_kit_uri_get_pin_value(uri) != NULL) {
		return cli_refuse(KMS_ERR(ARGUMENT), "a PIN in the URI can be read by others; use "
						     "pin-source=file:/PATH, or type "
						     "it");
	}
	if (p11_kit_uri_get_module_path(uri) == NULL) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"the URI names no module; add ?module-path=/PATH of the card's PKCS#11 "
			"library");
	}
	return KMS_OK;
}

/* PKCS#11 texts are padded with blanks. */
static void pad(const char *text, unsigned char *ret_field, size_t room)
{
	size_t len = text != NULL ? strlen(text) : 0;
	memset(ret_field, ' ', room);
	memcpy(ret_field, text != NULL ? text : "", len < room ? len : room);
}

static bool token_fits(const P11KitUri *uri, const PKCS11_TOKEN *token)
{
	CK_TOKEN_INFO info;
	memset(&info, 0, sizeof(info));
	pad(token->label, info.label, sizeof(info.label));
	pad(token->manufacturer, info.manufacturerID, sizeof(info.manufacturerID));
	pad(token->model, info.model, sizeof(info.model));
	pad(token->serialnr, info.serialNumber, sizeof(info.serialNumber));
	return p11_kit_uri_match_token_info(uri, &info) == 1;
}

static bool attribute_fits(
	P11KitUri *uri, CK_ATTRIBUTE_TYPE type, const void *value, size_t value_len)
{
	const CK_ATTRIBUTE *wanted = p11_kit_uri_get_attribute(uri, type);
	return wanted == NULL ||
	       (wanted->ulValueLen == value_len && memcmp(wanted->pValue, value, value_len) == 0);
}

/* ---- token and key ---- */

static kms_err find_slot(struct cli_token *token, const P11KitUri *uri, PKCS11_SLOT **ret_slot)
{
	PKCS11_SLOT *found = NULL;
	size_t count = 0;
	if (PKCS11_enumerate_slots(token->ctx, &token->slots, &token->slot_count) != 0) {
		token->slots = NULL;
		return cli_refuse(KMS_ERR(TOKEN_DOWN), "the PKCS#11 module shows no slots");
	}
	for (unsigned i = 0; i < token->slot_count; i++) {
		PKCS11_SLOT *slot = &token->slots[i];
		if (slot->token != NULL && slot->token->initialized &&
			token_fits(uri, slot->token)) {
			found = slot;
			count++;
		}
	}
	if (count != 1) {
		return cli_refuse(count == 0 ? KMS_ERR(NOT_FOUND) : KMS_ERR(ARGUMENT),
			count == 0 ? "no token that the URI names is there; is the card in?"
				   : "the URI names several tokens; add its serial");
	}
	*ret_slot = found;
	return KMS_OK;
}

static kms_err log_in(PKCS11_SLOT *slot, const char *pin_source)
{
	KMS_AUTO(kms_secret) pin = NULL;
	if (!slot->token->loginRequired) {
		return KMS_OK;
	}
	if (slot->token->userPinLocked) {
		return cli_refuse(KMS_ERR(TOKEN_REFUSED),
			"%s: its PIN is locked; whoever gave it out can unlock it",
			slot->token->label);
	}
	KMS_TRY(cli_pin(pin_source, slot->token->label, &pin));
	if (PKCS11_login(slot, 0, (const char *)kms_secret_cptr(pin)) != 0) {
		return cli_refuse(KMS_ERR(TOKEN_REFUSED),
			"%s: it does not accept the PIN; after some wrong ones it locks itself",
			slot->token->label);
	}
	return KMS_OK;
}

static kms_err find_key(PKCS11_SLOT *slot, P11KitUri *uri, PKCS11_KEY **ret_key)
{
	PKCS11_KEY *keys = NULL;
	PKCS11_KEY *found = NULL;
	unsigned total = 0;
	size_t count = 0;
	if (PKCS11_enumerate_keys(slot->token, &keys, &total) != 0) {
		return cli_refuse(
			KMS_ERR(TOKEN_REFUSED), "%s: it shows no private keys", slot->token->label);
	}
	for (unsigned i = 0; i < total; i++) {
		const char *label = keys[i].label != NULL ? keys[i].label : "";
		if (attribute_fits(uri, CKA_ID, keys[i].id, keys[i].id_len) &&
			attribute_fits(uri, CKA_LABEL, label, strlen(label))) {
			found = &keys[i];
			count++;
		}
	}
	if (count != 1) {
		return cli_refuse(count == 0 ? KMS_ERR(NOT_FOUND) : KMS_ERR(ARGUMENT),
			count == 0 ? "%s: no private key that the URI names is in it"
				   : "%s: the URI names several keys in it; add id or object",
			slot->token->label);
	}
	*ret_key = found;
	return KMS_OK;
}

static kms_err take_key(PKCS11_SLOT *slot, P11KitUri *uri, struct crypto_signer **ret_key)
{
	PKCS11_KEY *key = NULL;
	KMS_TRY(log_in(slot, p11_kit_uri_get_pin_source(uri)));
	KMS_TRY(find_key(slot, uri, &key));
	EVP_PKEY *pkey = PKCS11_get_private_key(key); /* the token's handle to it */
	kms_err err = pkey != NULL ? crypto_signer_of_pkey(pkey, ret_key) : KMS_ERR(ARGUMENT);
	EVP_PKEY_free(pkey);
	return kms_is_ok(err) ? err
			      : cli_refuse(err,
					"%s: this key cannot sign here: it has to be EC P-256, "
					"with its public key or certificate in the token",
					slot->token->label);
}

kms_err cli_token_open(
	const char *uri_text, struct cli_token **ret_token, struct crypto_signer **ret_key)
{
	P11KitUri *uri __attribute__((cleanup(uri_cleanup))) = p11_kit_uri_new();
	KMS_AUTO(cli_token) token = calloc(1, sizeof(*token));
	PKCS11_SLOT *slot = NULL;
	if (token == NULL || uri == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(read_uri(uri_text, uri));
	token->ctx = PKCS11_CTX_new();
	if (token->ctx == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	const char *module = p11_kit_uri_get_module_path(uri);
	if (PKCS11_CTX_load(token->ctx, module) != 0) {
		return cli_refuse(KMS_ERR(CONFIG),
			"%s: this PKCS#11 library cannot be loaded; check module-path", module);
	}
	token->loaded = true;
	KMS_TRY(find_slot(token, uri, &slot));
	KMS_TRY(take_key(slot, uri, ret_key));
	*ret_token = kms_take(&token);
	return KMS_OK;
}
