/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms init platform, tenant: the files of docs/formats/tenant-file.md. Run by each organisation on
 * its own machine. Only certificates go in: a private key in the same PEM file must never.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_int.h"
#include "crypto.h"

enum { PEM_LINE = 64 }; /* RFC 7468 section 2 */

/* Written anew from its DER form, so that nothing else of its file comes along. */
static kms_err set_pem(struct doc *object, const char *name, const struct crypto_cert *cert)
{
	KMS_AUTO_BUF der = {0};
	KMS_AUTO_FREE char *text = NULL;
	KMS_AUTO_WRITER pem = kms_writer_grow(LIMIT_CERT_PEM);
	struct kms_bytes bytes;
	KMS_TRY(crypto_cert_der(cert, &der));
	KMS_TRY(kms_base64_text(kms_buf_bytes(&der), &text));
	kms_write_text(&pem, "-----BEGIN CERTIFICATE-----\n");
	for (const char *at = text; *at != '\0'; at += strnlen(at, PEM_LINE)) {
		kms_write_format(&pem, "%.*s\n", PEM_LINE, at);
	}
	kms_write_text(&pem, "-----END CERTIFICATE-----\n");
	kms_write_u8(&pem, 0);
	KMS_TRY(kms_writer_bytes(&pem, &bytes));
	doc_set_text(object, name, (const char *)bytes.ptr);
	return KMS_OK;
}

static kms_err read_cert(const char *path, struct crypto_cert **ret_cert)
{
	KMS_AUTO_BUF pem = {0};
	KMS_TRY(cli_file_read(path, CRYPTO_CERT_MAX, &pem));
	kms_err err = crypto_cert_parse_pem(kms_buf_bytes(&pem), ret_cert);
	return kms_is_ok(err) ? err : cli_refuse(err, "%s: no certificate in PEM", path);
}

/* ---- principals ---- */

/* Who is to be written: a role, and NAME=CERT.pem. */
static kms_err check_person(const struct crypto_cert *cert, const struct crypto_cert *ca,
	enum model_role role, const char *name)
{
	bool storage = false;
	kms_err err = crypto_cert_check(cert, ca, kms_now_unix_ms() / 1000);
	if (!kms_is_ok(err)) {
		return cli_refuse(err,
			"%s: the certificate is not valid now, or not issued by the CA in --ca",
			name);
	}
	KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &storage));
	if (storage != (role == MODEL_ROLE_STORAGE)) {
		return cli_refuse(KMS_ERR(DENIED),
			"%s: role %s, but the certificate %s the purpose that `kms init purpose` "
			"prints; storage certificates have it, and only they",
			name, model_role_text(role), storage ? "has" : "lacks");
	}
	return KMS_OK;
}

static kms_err add_person(struct doc *array, const struct crypto_cert *ca, enum model_role role,
	const char *name_and_path)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_FREE char *name = NULL;
	int64_t from = 0;
	int64_t until = 0;
	struct kms_id id;
	const char *equals = strchr(name_and_path, '=');
	if (equals == NULL || equals == name_and_path) {
		return cli_refuse(KMS_ERR(ARGUMENT), "%s: write NAME=CERT.pem", name_and_path);
	}
	KMS_TRY(kms_text(&name, "%.*s", (int)(equals - name_and_path), name_and_path));
	if (!kms_is_ok(model_text_check(name, LIMIT_LABEL))) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"a name has 1 to %d bytes of UTF-8 without control characters",
			LIMIT_LABEL);
	}
	KMS_TRY(read_cert(equals + 1, &cert));
	KMS_TRY(check_person(cert, ca, role, name));
	KMS_TRY(crypto_cert_times(cert, &from, &until));
	KMS_TRY(kms_id_random(&id));
	struct doc *person = doc_add_object(array);
	doc_set_id(person, "id", &id);
	doc_set_text(person, "name", name);
	doc_set_text(person, "role", model_role_text(role));
	doc_set_time(person, "expires", until * 1000);
	return set_pem(person, "certificate", cert);
}

/* ---- platform ---- */

kms_err cli_init_platform(struct cli *cli)
{
	KMS_AUTO(cli_pins) pins = NULL;
	KMS_AUTO(crypto_cert) ca = NULL;
	KMS_AUTO(doc) file = NULL;
	const char *path = cli_value(cli, "pins");
	KMS_TRY(cli_pins_read(path, &pins));
	if (!pins->system) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"%s: these are a tenant's token's pins; give those of the system token",
			path);
	}
	KMS_TRY(read_cert(cli_value(cli, "ca"), &ca));
	KMS_TRY(doc_new_object(&file));
	doc_set_text(file, "v", "kmsd-platform/1");
	doc_set_text(file, "origin", pins->log_origin);
	doc_set_text(file, "ledger_vkey", pins->ledger_key);
	if (pins->ledger_key_ed25519 != NULL) {
		doc_set_text(file, "ledger_vkey_ed25519", pins->ledger_key_ed25519);
	}
	cli_pins_set(doc_set_object(file, "system_token"), pins);
	KMS_TRY(set_pem(file, "ca", ca));
	struct doc *people = doc_set_array(file, "principals");
	for (size_t i = 0; i < cli_count(cli, "operator"); i++) {
		KMS_TRY(add_person(
			people, ca, MODEL_ROLE_OPERATOR, cli_value_at(cli, "operator", i)));
	}
	return cli_json_write(cli_value(cli, "output"), file);
}

/* ---- tenant ---- */

static kms_err add_people(struct cli *cli, struct doc *array, const struct crypto_cert *ca)
{
	for (size_t i = 0; i < cli_count(cli, "principal"); i++) {
		const char *given = cli_value_at(cli, "principal", i);
		const char *colon = strchr(given, ':');
		KMS_AUTO_FREE char *word = NULL;
		enum model_role role;
		KMS_TRY(kms_text(&word, "%.*s",
			(int)(colon != NULL ? (size_t)(colon - given) : strlen(given)), given));
		if (colon == NULL || !kms_is_ok(model_role_parse(word, &role)) ||
			role == MODEL_ROLE_OPERATOR) {
			return cli_refuse(KMS_ERR(ARGUMENT),
				"%s: write ROLE:NAME=CERT.pem, ROLE being storage, custodian, "
				"approver or auditor",
				given);
		}
		KMS_TRY(add_person(array, ca, role, colon + 1));
	}
	return KMS_OK;
}

static kms_err add_tokens(struct cli *cli, struct doc *array, const struct kms_id *tenant)
{
	for (size_t i = 0; i < cli_count(cli, "pins"); i++) {
		KMS_AUTO(cli_pins) pins = NULL;
		const char *path = cli_value_at(cli, "pins", i);
		KMS_TRY(cli_pins_read(path, &pins));
		if (pins->system || !kms_id_equal(&pins->token.tenant, tenant)) {
			return cli_refuse(KMS_ERR(PINS),
				"%s: this token is not this tenant's; its owner's file names the "
				"tenant",
				path);
		}
		cli_pins_set(doc_add_object(array), pins);
	}
	return KMS_OK;
}

kms_err cli_init_tenant(struct cli *cli)
{
	KMS_AUTO(crypto_cert) ca = NULL;
	KMS_AUTO(doc) file = NULL;
	struct kms_id id;
	const char *name = cli_value(cli, "name");
	const char *output = cli_value(cli, "output");
	if (!kms_is_ok(kms_id_parse(cli_value(cli, "id"), &id))) {
		return cli_refuse(KMS_ERR(ARGUMENT), "--id is a UUID in lower case; uuidgen(1) "
						     "makes one");
	}
	if (*name == '\0' || !kms_is_ok(model_text_check(name, LIMIT_LABEL))) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"--name has 1 to %d bytes of UTF-8 without control characters",
			LIMIT_LABEL);
	}
	KMS_TRY(read_cert(cli_value(cli, "ca"), &ca));
	KMS_TRY(doc_new_object(&file));
	doc_set_text(file, "v", "kmsd-tenant/1");
	struct doc *tenant = doc_set_object(file, "tenant");
	doc_set_id(tenant, "id", &id);
	doc_set_text(tenant, "name", name);
	KMS_TRY(set_pem(tenant, "ca", ca));
	KMS_TRY(add_people(cli, doc_set_array(file, "principals"), ca));
	KMS_TRY(add_tokens(cli, doc_set_array(file, "tokens"), &id));
	KMS_TRY(cli_json_write(output, file));
	(void)printf("%s is not valid until the tenant's CA has signed it, with\n"
		     "  openssl dgst -sha256 -sign CA.key -out %s.sig %s\n",
		output, output, output);
	return KMS_OK;
}

/* ---- small ones ---- */

kms_err cli_init_purpose(struct cli *cli)
{
	(void)cli;
	(void)puts(CRYPTO_PURPOSE_STORAGE);
	return KMS_OK;
}

kms_err cli_init_pin(struct cli *cli)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	struct kms_hash hash;
	char text[KMS_HASH_TEXT];
	KMS_TRY(read_cert(cli_operand(cli, 0), &cert));
	KMS_TRY(crypto_cert_spki_hash(cert, &hash));
	(void)puts(kms_hash_text(&hash, text));
	return KMS_OK;
}
