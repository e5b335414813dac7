/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms init trust: what an auditor's verification believes, and nothing else. Tokens' pins come from
 * their owners, approvers' keys from the approvers; none of it may come from kmsd.
 */
#include <string.h>

#include "cli_int.h"
#include "crypto.h"

enum { PUBLIC_KEY_FILE = 16 * 1024, SPKI = 91, SPKI_HEAD = 26 };

static kms_err set_log(struct doc *file, const struct cli_pins *pins, const char *path)
{
	if (doc_has(file, "origin")) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"%s: a second system token; a trust file is about one ledger", path);
	}
	doc_set_text(file, "origin", pins->log_origin);
	struct doc *keys = doc_set_array(file, "ledger_keys");
	doc_add_text(keys, pins->ledger_key);
	if (pins->ledger_key_ed25519 != NULL) {
		doc_add_text(keys, pins->ledger_key_ed25519);
	}
	if (pins->manifest_key != NULL) {
		doc_set_text(file, "manifest_key", pins->manifest_key);
	}
	return KMS_OK;
}

static kms_err set_tokens(struct cli *cli, struct doc *file)
{
	struct doc *tokens = doc_set_array(file, "tokens");
	for (size_t i = 0; i < cli_count(cli, "pins"); i++) {
		KMS_AUTO(cli_pins) pins = NULL;
		const char *path = cli_value_at(cli, "pins", i);
		KMS_TRY(cli_pins_read(path, &pins));
		if (pins->system) {
			KMS_TRY(set_log(file, pins, path));
		}
		struct doc *token = doc_add_object(tokens);
		doc_set_id(token, "id", &pins->token.id);
		doc_set_text(token, "serial", pins->token.serial);
		doc_set_text(token, "statement_key", pins->token.statement_vkey);
		doc_set_text(token, "class", model_class_text(pins->token.class));
		if (pins->token.certificate_no[0] != '\0') {
			doc_set_text(token, "certificate_no", pins->token.certificate_no);
		}
	}
	return doc_has(file, "origin")
		       ? KMS_OK
		       : cli_refuse(KMS_ERR(ARGUMENT), "give the system token's pins as well: they "
						       "name the ledger and its key");
}

/* ---- approvers ---- */

/* The DER in a PEM of a public key (RFC 7468 section 13). */
static kms_err read_public_key(const struct kms_buf *pem, struct kms_buf *ret_spki)
{
	static const char begin[] = "-----BEGIN PUBLIC KEY-----",
			  end[] = "-----END PUBLIC KEY-----";
	const char *from = memmem(pem->ptr, pem->len, begin, sizeof(begin) - 1);
	char base64[512];
	size_t len = 0;
	if (from == NULL) {
		return KMS_ERR(FORMAT);
	}
	from += sizeof(begin) - 1;
	const char *pem_end = (const char *)pem->ptr + pem->len;
	const char *to = memmem(from, (size_t)(pem_end - from), end, sizeof(end) - 1);
	for (; to != NULL && from < to; from++) {
		if (*from == '\n' || *from == '\r') {
			continue;
		}
		if (len == sizeof(base64)) {
			return KMS_ERR(TOO_LARGE);
		}
		base64[len++] = *from;
	}
	return kms_base64_decode(base64, len, LIMIT_SPKI_BYTES, ret_spki);
}

/* Of a P-256 key: as its point is written, and no other way. */
static bool is_p256(const struct kms_buf *spki)
{
	KMS_AUTO_BUF again = {0};
	return spki->len == SPKI &&
	       kms_is_ok(crypto_spki_of_point(spki->ptr + SPKI_HEAD, &again)) &&
	       kms_bytes_equal(kms_buf_bytes(spki), kms_buf_bytes(&again));
}

static kms_err read_approver_key(const char *path, struct kms_buf *ret_spki)
{
	KMS_AUTO_BUF pem = {0};
	KMS_AUTO_BUF spki = {0};
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_TRY(cli_file_read(path, PUBLIC_KEY_FILE, &pem));
	kms_err err = read_public_key(&pem, &spki);
	if (!kms_is_ok(err) && kms_is_ok(crypto_cert_parse_pem(kms_buf_bytes(&pem), &cert))) {
		err = crypto_cert_spki(cert, &spki);
	}
	if (!kms_is_ok(err) || !is_p256(&spki)) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"%s: no public key or certificate of a P-256 key, in PEM", path);
	}
	*ret_spki = spki;
	spki = (struct kms_buf){0};
	return KMS_OK;
}

static kms_err add_approver(struct doc *list, const char *given)
{
	struct kms_id id;
	char text[KMS_ID_TEXT];
	KMS_AUTO_BUF spki = {0};
	const char *path = strchr(given, '=');
	size_t len = path == NULL ? 0 : (size_t)(path - given);
	if (len != sizeof(text) - 1) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"--approver %s: give the approver's id, '=', and the file of the public "
			"key",
			given);
	}
	memcpy(text, given, len);
	text[len] = '\0';
	if (!kms_is_ok(kms_id_parse(text, &id))) {
		return cli_refuse(
			KMS_ERR(ARGUMENT), "--approver %s: the id is a UUID in lower case", given);
	}
	for (size_t i = 0; i < doc_count(list); i++) {
		struct doc *other;
		struct kms_id other_id;
		KMS_TRY(doc_item_object(list, i, &other));
		KMS_TRY(doc_get_id(other, "id", &other_id));
		if (kms_id_equal(&id, &other_id)) {
			return cli_refuse(KMS_ERR(ARGUMENT), "--approver %s is given twice", text);
		}
	}
	KMS_TRY(read_approver_key(path + 1, &spki));
	struct doc *row = doc_add_object(list);
	doc_set_id(row, "id", &id);
	doc_set_bytes(row, "key", kms_buf_bytes(&spki));
	return KMS_OK;
}

static kms_err read_needed(struct cli *cli, size_t approvers, int64_t *ret_needed)
{
	const char *text = cli_value(cli, "approvals");
	int64_t needed = 0;
	size_t digits = text == NULL ? 0 : strspn(text, "0123456789");
	for (size_t i = 0; digits > 0 && digits <= 3 && i < digits; i++) {
		needed = needed * 10 + (text[i] - '0');
	}
	if (text == NULL || text[digits] != '\0' || needed < 1 || (size_t)needed > approvers) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"--approvals is how many of the approvers must sign: 1 to %zu", approvers);
	}
	*ret_needed = needed;
	return KMS_OK;
}

static kms_err set_approvals(struct cli *cli, struct doc *file)
{
	int64_t needed = 0;
	size_t count = cli_count(cli, "approver");
	if (count == 0) {
		return cli_value(cli, "approvals") == NULL
			       ? KMS_OK
			       : cli_refuse(KMS_ERR(ARGUMENT),
					 "--approvals goes with --approver: name them all");
	}
	if (count > LIMIT_APPROVALS) {
		return cli_refuse(KMS_ERR(TOO_LARGE), "at most %d approvers", (int)LIMIT_APPROVALS);
	}
	KMS_TRY(read_needed(cli, count, &needed));
	struct doc *approvals = doc_set_object(file, "approvals");
	doc_set_int(approvals, "needed", needed);
	struct doc *list = doc_set_array(approvals, "approvers");
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(add_approver(list, cli_value_at(cli, "approver", i)));
	}
	return KMS_OK;
}

static kms_err set_ca(struct cli *cli, struct doc *file)
{
	const char *path = cli_value(cli, "tenant-ca");
	KMS_AUTO_BUF pem = {0};
	KMS_AUTO(crypto_cert) cert = NULL;
	KMS_AUTO_FREE char *text = NULL;
	if (path == NULL) {
		return KMS_OK;
	}
	KMS_TRY(cli_file_read(path, LIMIT_CERT_PEM, &pem));
	if (!kms_is_ok(crypto_cert_parse_pem(kms_buf_bytes(&pem), &cert))) {
		return cli_refuse(KMS_ERR(ARGUMENT), "%s: no certificate in PEM", path);
	}
	KMS_TRY(kms_text(&text, "%.*s", (int)pem.len, (const char *)pem.ptr));
	doc_set_text(file, "tenant_ca", text);
	return KMS_OK;
}

kms_err cli_init_trust(struct cli *cli)
{
	KMS_AUTO(doc) file = NULL;
	KMS_TRY(doc_new_object(&file));
	doc_set_text(file, "v", "kmsd-trust/1");
	KMS_TRY(set_tokens(cli, file));
	KMS_TRY(set_approvals(cli, file));
	KMS_TRY(set_ca(cli, file));
	return cli_json_write(cli_value(cli, "output"), file);
}
