/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: tenant and platform files, with certificates that openssl(1) makes here. Each promise of
 * docs/formats/tenant-file.md is broken once.
 */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto.h"
#include "doc.h"
#include "record.h"

static char folder[] = "/tmp/kms-record-XXXXXX";

/* ---- certificates: two CAs, and people certified by them ---- */

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
	char command[1024];
	char script[768];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(script, sizeof(script), format, args);
	va_end(args);
	(void)snprintf(command, sizeof(command), "cd %s && (%s) >log 2>&1", folder, script);
	ck_assert_msg(system(command) == 0, "%s (is openssl installed?)", script);
}

static void make_ca(const char *name)
{
	run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
	    "-subj '/CN=%s' -keyout %s.key -out %s.pem",
		name, name, name);
}

static void make_cert(const char *name, const char *issuer, const char *usage)
{
	run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=%s' "
	    "-keyout %s.key -out %s.csr",
		name, name, name);
	run("echo 'extendedKeyUsage=clientAuth%s' >%s.ext", usage, name);
	run("openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 20 "
	    "-extfile %s.ext -out %s.pem",
		name, issuer, issuer, name, name);
}

static void make_certificates(void)
{
	(void)strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	make_ca("ca");
	make_ca("other-ca");
	make_cert("storage", "ca", "," CRYPTO_PURPOSE_STORAGE);
	make_cert("custodian", "ca", "");
	make_cert("operator", "ca", "");
	make_cert("stranger", "other-ca", "");
}

static void remove_certificates(void)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static char *pem_of(const char *name)
{
	char path[128];
	KMS_AUTO_BUF pem = {0};
	char *text = NULL;
	(void)snprintf(path, sizeof(path), "%s/%s.pem", folder, name);
	ck_assert(kms_is_ok(kms_file_read(path, LIMIT_CERT_PEM, &pem)));
	ck_assert(kms_is_ok(kms_text(&text, "%.*s", (int)pem.len, (const char *)pem.ptr)));
	return text;
}

/* ---- a file that is in order, and ways to break it ---- */

struct person {
	const char *id, *name, *role, *certificate;
	int64_t days; /* until it expires */
};

static struct person people[LIMIT_PRINCIPALS + 1];
static size_t people_count;
static size_t token_count;
static const char *version, *ca, *tenant_name, *country, *extra;

static void setup(void)
{
	people[0] = (struct person){"11111111-0000-4000-8000-000000000001", "Custodian Taro",
		"custodian", "custodian", 10};
	people[1] = (struct person){
		"11111111-0000-4000-8000-000000000002", "storage-1", "storage", "storage", 10};
	people_count = 2;
	token_count = 1;
	version = "kmsd-tenant/1";
	ca = "ca";
	tenant_name = "Example Tenant";
	country = "JP";
	extra = NULL;
}

static void token_set(struct doc *token, size_t i)
{
	char id[KMS_ID_TEXT];
	char vkey[64];
	struct kms_hash spki;
	memset(spki.b, (int)(0x40 + i), sizeof(spki.b));
	(void)snprintf(id, sizeof(id), "22222222-0000-4000-8000-%012zu", i);
	(void)snprintf(vkey, sizeof(vkey), "token-%zu+00000000+AAAA", i);
	doc_set_text(token, "id", id);
	doc_set_text(token, "class", "software");
	doc_set_text(token, "manufacturer", "SoftHSM project");
	doc_set_text(token, "model", "SoftHSM v2");
	doc_set_text(token, "serial", "0011223344556677");
	doc_set_text(token, "firmware", "2.6");
	doc_set_text(token, "certificate_no", "");
	doc_set_text(token, "organisation", "Example Org");
	doc_set_text(token, "site", "Tokyo");
	doc_set_text(token, "country", country);
	doc_set_hash(token, "session_spki", &spki);
	doc_set_text(token, "statement_vkey", vkey);
}

static void people_set(struct doc *array)
{
	for (size_t i = 0; i < people_count; i++) {
		KMS_AUTO_FREE char *pem = pem_of(people[i].certificate);
		struct doc *person = doc_add_object(array);
		doc_set_text(person, "id", people[i].id);
		doc_set_text(person, "name", people[i].name);
		doc_set_text(person, "role", people[i].role);
		doc_set_text(person, "certificate", pem);
		doc_set_time(person, "expires", kms_now_unix_ms() + people[i].days * 86400000);
	}
}

static kms_err read_tenant(struct model_tenant_set *ret_set)
{
	KMS_AUTO(doc) file = NULL;
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *pem = pem_of(ca);
	ck_assert(kms_is_ok(doc_new_object(&file)));
	doc_set_text(file, "v", version);
	struct doc *tenant = doc_set_object(file, "tenant");
	doc_set_text(tenant, "id", "33333333-0000-4000-8000-000000000033");
	doc_set_text(tenant, "name", tenant_name);
	doc_set_text(tenant, "ca", pem);
	people_set(doc_set_array(file, "principals"));
	struct doc *tokens = doc_set_array(file, "tokens");
	for (size_t i = 0; i < token_count; i++) {
		token_set(doc_add_object(tokens), i);
	}
	if (extra != NULL) {
		doc_set_text(file, extra, "");
	}
	ck_assert(kms_is_ok(doc_write_pretty(file, &json)));
	return record_tenant_read(kms_buf_bytes(&json), ret_set);
}

static void tenant_refused(enum kms_code code)
{
	struct model_tenant_set set;
	memset(&set, 0x5a, sizeof(set));
	kms_err err = read_tenant(&set);
	ck_assert_msg(err.code == code, "%s", kms_err_name(err));
	ck_assert_uint_eq(set.tenant.id.b[0], 0x5a); /* written only on success */
	setup();
}

/* ---- tenant files ---- */

START_TEST(a_tenant_file_in_order)
{
	struct model_tenant_set set, again;
	struct kms_hash spki;
	char path[128];
	KMS_AUTO(crypto_cert) cert = NULL;
	ck_assert(kms_is_ok(read_tenant(&set)));
	ck_assert_str_eq(set.tenant.label.text, "Example Tenant");
	ck_assert_uint_eq(set.tenant.id.b[0], 0x33);
	ck_assert_ptr_nonnull(strstr(set.tenant.ca_pem, "BEGIN CERTIFICATE"));
	ck_assert_uint_eq(set.principal_count, 2);
	ck_assert_int_eq(set.principals[1].role, MODEL_ROLE_STORAGE);
	ck_assert(kms_id_equal(&set.principals[1].tenant, &set.tenant.id));
	(void)snprintf(path, sizeof(path), "%s/storage.pem", folder);
	ck_assert(kms_is_ok(crypto_cert_read(path, &cert)));
	ck_assert(kms_is_ok(crypto_cert_spki_hash(cert, &spki)));
	ck_assert(kms_hash_equal(&spki, &set.principals[1].spki));
	ck_assert_int_eq(
		set.principals[0].expires_unix_s / 86400, kms_now_unix_ms() / 86400000 + 10);
	ck_assert_uint_eq(set.token_count, 1);
	ck_assert_str_eq(set.tokens[0].organisation, "Example Org");
	ck_assert(kms_id_equal(&set.tokens[0].tenant, &set.tenant.id));

	/* Salts are fresh, each its own. */
	ck_assert(kms_is_ok(read_tenant(&again)));
	ck_assert_mem_ne(set.tenant.label.salt, again.tenant.label.salt, 16);
	ck_assert_mem_ne(set.principals[0].label.salt, set.principals[1].label.salt, 16);
	model_tenant_set_free(&set);
	model_tenant_set_free(&again);
}
END_TEST

START_TEST(certificates_must_be_the_tenants_own)
{
	people[0].certificate = "stranger";
	tenant_refused(KMS_CODE_DENIED);
	ca = "other-ca";
	tenant_refused(KMS_CODE_DENIED);
	ca = "custodian"; /* no CA at all */
	tenant_refused(KMS_CODE_DENIED);
}
END_TEST

START_TEST(certificates_must_be_valid_now)
{
	kms_clock_fix(kms_now_unix_ms() + (int64_t)21 * 86400000); /* a day after they end */
	people[0].days = people[1].days = -2;
	tenant_refused(KMS_CODE_DENIED);
}
END_TEST

START_TEST(the_storage_purpose_is_storages_alone)
{
	people[1].role = "auditor";
	tenant_refused(KMS_CODE_DENIED);
	people[0].role = "storage";
	tenant_refused(KMS_CODE_DENIED);
}
END_TEST

START_TEST(expiry_lies_between_now_and_the_certificates_end)
{
	people[0].days = 21;
	tenant_refused(KMS_CODE_ARGUMENT);
	people[0].days = 0;
	tenant_refused(KMS_CODE_ARGUMENT);
	people[0].days = -1;
	tenant_refused(KMS_CODE_ARGUMENT);
}
END_TEST

START_TEST(roles_of_a_tenant)
{
	people[0].role = "operator";
	tenant_refused(KMS_CODE_ARGUMENT);
	people[0].role = "root";
	tenant_refused(KMS_CODE_FORMAT);
}
END_TEST

START_TEST(nothing_stands_twice)
{
	people[1].id = people[0].id;
	tenant_refused(KMS_CODE_EXISTS);
	people[1].name = people[0].name;
	tenant_refused(KMS_CODE_EXISTS);
	people[1].certificate = people[0].certificate; /* one person, two roles */
	people[1].role = "auditor";
	tenant_refused(KMS_CODE_EXISTS);
}
END_TEST

START_TEST(the_form_is_strict)
{
	static char name[LIMIT_LABEL + 2];
	version = "kmsd-tenant/2";
	tenant_refused(KMS_CODE_VERSION);
	version = "kmsd-platform/1";
	tenant_refused(KMS_CODE_VERSION);
	extra = "note";
	tenant_refused(KMS_CODE_FORMAT);
	tenant_name = "";
	tenant_refused(KMS_CODE_FORMAT);
	tenant_name = "two\nlines";
	tenant_refused(KMS_CODE_FORMAT);
	memset(name, 'n', LIMIT_LABEL + 1);
	tenant_name = name;
	tenant_refused(KMS_CODE_TOO_LARGE);
	country = "Japan";
	tenant_refused(KMS_CODE_TOO_LARGE);
	country = "jp";
	tenant_refused(KMS_CODE_FORMAT);
	people_count = 0;
	tenant_refused(KMS_CODE_FORMAT);
	token_count = 0;
	tenant_refused(KMS_CODE_FORMAT);
	token_count = LIMIT_TOKENS + 1;
	tenant_refused(KMS_CODE_TOO_LARGE);
	for (size_t i = 0; i <= LIMIT_PRINCIPALS; i++) {
		people[i] = people[0];
	}
	people_count = LIMIT_PRINCIPALS + 1;
	tenant_refused(KMS_CODE_TOO_LARGE);

	struct model_tenant_set set;
	memset(name, 'n', LIMIT_LABEL);
	name[LIMIT_LABEL] = 0;
	tenant_name = name;
	token_count = LIMIT_TOKENS;
	ck_assert(kms_is_ok(read_tenant(&set)));
	ck_assert_uint_eq(set.token_count, LIMIT_TOKENS);
	model_tenant_set_free(&set);
}
END_TEST

/* ---- platform files ---- */

static const char *ed25519; /* the ledger's second key, as the file has it; NULL: not there */

static kms_err read_platform(struct record_platform *ret_platform)
{
	KMS_AUTO(doc) file = NULL;
	KMS_AUTO_BUF json = {0};
	KMS_AUTO_FREE char *pem = pem_of(ca);
	ck_assert(kms_is_ok(doc_new_object(&file)));
	doc_set_text(file, "v", version);
	doc_set_text(file, "origin", tenant_name);
	doc_set_text(file, "ledger_vkey", "kms.example/kmsd/1+00000000+AAAA");
	if (ed25519 != NULL) {
		doc_set_text(file, "ledger_vkey_ed25519", ed25519);
	}
	token_set(doc_set_object(file, "system_token"), 9);
	doc_set_text(file, "ca", pem);
	people_set(doc_set_array(file, "principals"));
	if (extra != NULL) {
		doc_set_text(file, extra, "");
	}
	ck_assert(kms_is_ok(doc_write_pretty(file, &json)));
	return record_platform_read(kms_buf_bytes(&json), ret_platform);
}

static void platform_setup(void)
{
	setup();
	people[0].certificate = "operator";
	people[0].role = "operator";
	people_count = 1;
	ed25519 = NULL;
	version = "kmsd-platform/1";
	tenant_name = "kms.example/kmsd/1";
}

static void platform_refused(enum kms_code code)
{
	struct record_platform platform;
	kms_err err = read_platform(&platform);
	ck_assert_msg(err.code == code, "%s", kms_err_name(err));
	platform_setup();
}

START_TEST(a_platform_file)
{
	struct record_platform platform;
	static char origin[257];
	static char long_key[sizeof(platform.ledger_vkey_ed25519) + 1];
	platform_setup();
	ck_assert(kms_is_ok(read_platform(&platform)));
	ck_assert_str_eq(platform.origin, "kms.example/kmsd/1");
	ck_assert_uint_eq(platform.principal_count, 1);
	ck_assert_int_eq(platform.principals[0].role, MODEL_ROLE_OPERATOR);
	ck_assert(kms_id_is_zero(&platform.principals[0].tenant));
	ck_assert(kms_id_is_zero(&platform.system_token.tenant));
	record_platform_free(&platform);
	ck_assert_ptr_null(platform.ca_pem);
	ck_assert_str_eq(platform.ledger_vkey_ed25519, "");

	ed25519 = "kms.example/kmsd/1+11111111+AQAA";
	ck_assert(kms_is_ok(read_platform(&platform)));
	ck_assert_str_eq(platform.ledger_vkey, "kms.example/kmsd/1+00000000+AAAA");
	ck_assert_str_eq(platform.ledger_vkey_ed25519, ed25519);
	record_platform_free(&platform);
	ed25519 = ""; /* none is a member that is not there */
	platform_refused(KMS_CODE_FORMAT);
	memset(long_key, 'k', sizeof(long_key) - 1);
	ed25519 = long_key;
	platform_refused(KMS_CODE_TOO_LARGE);
	long_key[sizeof(platform.ledger_vkey_ed25519) - 1] = 0;
	ed25519 = long_key;
	ck_assert(kms_is_ok(read_platform(&platform)));
	record_platform_free(&platform);
	platform_setup();

	people[0].role = "custodian"; /* no tenant's role is the platform's to give */
	platform_refused(KMS_CODE_ARGUMENT);
	people[0].certificate = "stranger";
	platform_refused(KMS_CODE_DENIED);
	version = "kmsd-tenant/1";
	platform_refused(KMS_CODE_VERSION);
	extra = "tenant";
	platform_refused(KMS_CODE_FORMAT);
	tenant_name = "";
	platform_refused(KMS_CODE_FORMAT);
	memset(origin, 'o', 256);
	tenant_name = origin;
	platform_refused(KMS_CODE_TOO_LARGE);
	origin[255] = 0;
	tenant_name = origin;
	ck_assert(kms_is_ok(read_platform(&platform)));
	record_platform_free(&platform);
}
END_TEST

START_TEST(no_json_is_no_file)
{
	struct model_tenant_set set;
	struct record_platform platform;
	ck_assert(kms_is(record_tenant_read(kms_bytes_str("{"), &set), KMS_CODE_FORMAT));
	ck_assert(kms_is(record_platform_read(kms_bytes_str("[]"), &platform), KMS_CODE_FORMAT));
	KMS_AUTO_FREE char *long_text = calloc(1, RECORD_FILE_MAX + 1);
	ck_assert_ptr_nonnull(long_text);
	struct kms_bytes bytes = {(const uint8_t *)long_text, RECORD_FILE_MAX + 1};
	ck_assert(kms_is(record_tenant_read(bytes, &set), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is(record_platform_read(bytes, &platform), KMS_CODE_TOO_LARGE));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {a_tenant_file_in_order, certificates_must_be_the_tenants_own,
		certificates_must_be_valid_now, the_storage_purpose_is_storages_alone,
		expiry_lies_between_now_and_the_certificates_end, roles_of_a_tenant,
		nothing_stands_twice, the_form_is_strict, a_platform_file, no_json_is_no_file};
	Suite *suite = suite_create("record_files");
	TCase *all = tcase_create("all");
	tcase_add_unchecked_fixture(all, make_certificates, remove_certificates);
	tcase_add_checked_fixture(all, setup, NULL);
	tcase_set_timeout(all, 60);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		tcase_add_test(all, tests[i]);
	}
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
