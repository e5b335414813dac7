/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole kms-tokend over a real SoftHSM, made by its own --init, without its socket. Certificates
 * are made once by openssl(1). Use fresh and gone as checked fixtures: PKCS#11 does not survive a
 * fork.
 */
#ifndef TOKEND_FIXTURE_H
#define TOKEND_FIXTURE_H

#include "tokend_int.h"
#include "tokmsg_samples.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ck_ok(expr) ck_assert_str_eq(kms_err_name(expr), "ok")
#define ck_code(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

#define TENANT_TEXT "10000000-0000-4000-8000-000000000001"
#define ORIGIN "example.test/kmsd/1"

static char certs[64]; /* CAs and clients; all tests */
static char dir[64];   /* one test's token */
static struct tokend *tokend;

__attribute__((format(printf, 1, 2))) static inline const char *path_of(const char *format, ...)
{
	static char ring[8][512];
	static size_t next;
	char *path = ring[next++ % 8];
	va_list args;
	va_start(args, format);
	ck_assert_int_lt(vsnprintf(path, sizeof(ring[0]), format, args), (int)sizeof(ring[0]));
	va_end(args);
	return path;
}

__attribute__((format(printf, 1, 2))) static inline void shell(const char *format, ...)
{
	char command[2048];
	va_list args;
	va_start(args, format);
	ck_assert_int_lt(vsnprintf(command, sizeof(command), format, args), (int)sizeof(command));
	va_end(args);
	ck_assert_msg(system(command) == 0, "%s", command);
}

static inline void make_certs(void)
{
	(void)strcpy(certs, "/tmp/kms-certs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(certs));
	shell("cd %s && k='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes' && "
	      "for c in ca other; do openssl req -x509 $k -days 30 -subj /CN=$c -keyout $c.key "
	      "-out $c.pem 2>/dev/null || exit 1; done && "
	      "make() { openssl req -x509 $k -CA $2.pem -CAkey $2.key -days 2 -subj /CN=$1 "
	      "-addext basicConstraints=CA:FALSE -addext extendedKeyUsage=$3 "
	      "-keyout $1.key -out $1.pem 2>/dev/null; } && "
	      "make storage ca clientAuth,%s && make second ca clientAuth,%s && "
	      "make plain ca clientAuth && make stranger other clientAuth,%s && "
	      "make kmsd other clientAuth",
		certs, CRYPTO_PURPOSE_STORAGE, CRYPTO_PURPOSE_STORAGE, CRYPTO_PURPOSE_STORAGE);
}

static inline void drop_certs(void)
{
	shell("rm -rf %s", certs);
}

static inline void write_file(const char *path, const char *text)
{
	ck_ok(kms_file_write(path, kms_bytes_str(text), 0600));
}

static inline struct kms_hash spki_of(const char *name)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	struct kms_hash hash;
	ck_ok(crypto_cert_read(path_of("%s/%s.pem", certs, name), &cert));
	ck_ok(crypto_cert_spki_hash(cert, &hash));
	return hash;
}

/* The owner's file; more is further lines of it. */
static inline const char *write_owner(bool is_system, const char *more)
{
	const char *path = path_of("%s/owner.yaml", dir);
	const char *root = getenv("KMS_SOURCE");
	char *text KMS_AUTO_FREE = NULL;
	ck_assert_msg(root != NULL, "KMS_SOURCE names the source tree");
	ck_ok(kms_text(&text,
		"role: %s\ndirectory: %s/token\nsocket: %s/socket\npeer_user: '%u'\n"
		"profile: %s/pkcs11-profiles/softhsm.yaml\nlabel: unit\npin:\n  file: %s/pin\n"
		"place:\n  organisation: Example\n  site: one\n  country: JP\n%s%s%s%s",
		is_system ? "system" : "tenant", dir, dir, (unsigned)geteuid(), root, dir,
		is_system ? "log_origin: " ORIGIN "\n" : "tenant: " TENANT_TEXT "\nclient_ca: ",
		is_system ? "" : certs, is_system ? "" : "/ca.pem\n", more));
	write_file(path, text);
	return path;
}

static inline kms_err start(void)
{
	KMS_AUTO(owner) owner = NULL;
	KMS_TRY(owner_read(path_of("%s/owner.yaml", dir), &owner));
	KMS_TRY(tokend_open(owner, &tokend));
	owner = NULL;
	return KMS_OK;
}

static inline void stop(void)
{
	tokend_free(&tokend);
}

static inline void restart(void)
{
	stop();
	ck_ok(start());
}

/* kms-tokend --init, whose pins go to stdout. */
static inline void init_quietly(struct owner *owner)
{
	int out = dup(1), null = open("/dev/null", O_WRONLY);
	ck_assert_int_ge(dup2(null, 1), 0);
	kms_err err = init_run(owner);
	ck_assert_int_ge(dup2(out, 1), 0);
	(void)close(out);
	(void)close(null);
	ck_ok(err);
}

static inline void init_with(bool is_system, const char *more)
{
	KMS_AUTO(owner) owner = NULL;
	kms_log_set("tokend_test", KMS_LOG_ERROR);
	(void)strcpy(dir, "/tmp/kms-tokend-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_ok(owner_read(write_owner(is_system, more), &owner));
	init_quietly(owner);
	if (!is_system) {
		shell("cd %s/token && openssl x509 -req -in session.csr -CA %s/ca.pem -CAkey "
		      "%s/ca.key -CAcreateserial -days 2 -out session.pem 2>/dev/null",
			dir, certs, certs);
	}
}

static inline void fresh(void)
{
	init_with(false, "");
	ck_ok(start());
}

static inline void gone(void)
{
	stop();
	kms_clock_fix(-1);
	shell("rm -rf %s", dir);
}

static inline struct kms_id tenant_id(void)
{
	struct kms_id id;
	ck_ok(kms_id_parse(TENANT_TEXT, &id));
	return id;
}

/* A birth that is allowed. */
static inline struct model_bear bear_of(uint8_t kek, uint8_t key, uint32_t version)
{
	return (struct model_bear){
		.kek = sample_id(kek),
		.tenant = tenant_id(),
		.key = sample_id(key),
		.version = version,
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_SEALED,
		.token_count = 1,
		.tokens = {tokend->token},
	};
}

static inline void born(uint8_t kek, uint8_t key, uint32_t version)
{
	const struct model_bear bear = bear_of(kek, key, version);
	struct kms_bytes statement;
	ck_ok(keks_bear(tokend, &bear, &statement));
}

static inline kms_err commit(uint8_t kek)
{
	const struct kms_id id = sample_id(kek);
	return keks_commit(tokend, &id);
}

static inline int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

#endif
