/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real SoftHSM token in a temporary directory, for the suites of tokend's PKCS#11 layer. Use
 * setup and teardown as a checked fixture: PKCS#11 does not survive a fork.
 */
#ifndef P11_FIXTURE_H
#define P11_FIXTURE_H

#include <p11-kit/pkcs11.h>

#include "crypto.h"
#include "p11_int.h"

#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"
#define PIN "0123456789abcdef0123456789abcdef"
#define ck_ok(expr) ck_assert_int_eq((expr).code, KMS_CODE_OK)
#define ck_code(expr, name) ck_assert_int_eq((expr).code, KMS_CODE_##name)

static char dir[64];
static struct p11_profile profile;
static struct p11_pins pins;
static struct p11 *p11;
static const uint8_t nonce[P11_GCM_NONCE] = {1, 2, 3};
static const struct kms_id kek_id = {{0x11, 0x22, 0x33}};

/* A path that lives for the next few calls. */
__attribute__((format(printf, 1, 2))) static inline const char *path_of(const char *format, ...)
{
	static char ring[8][512];
	static size_t next;
	char *path = ring[next++ % 8];
	va_list args;
	va_start(args, format);
	ck_assert_int_lt(vsnprintf(path, sizeof(ring[0]), format, args), sizeof(ring[0]));
	va_end(args);
	return path;
}

static inline struct kms_secret *pin_new(const char *text)
{
	struct kms_secret *pin = NULL;
	ck_ok(kms_secret_copy(kms_bytes_str(text), &pin));
	return pin;
}

static inline kms_err open_token(void)
{
	struct kms_secret *pin = pin_new(PIN);
	kms_err err = p11_open(&profile, &pins, &pin, &p11);
	ck_assert_ptr_null(pin);
	return err;
}

static inline void profile_fill(const char *at)
{
	profile = (struct p11_profile){.module = SOFTHSM,
		.label = "unit",
		.dir = at,
		.login = true,
		.serialise_create = true,
		.softhsm = true};
}

static inline void setup(void)
{
	strcpy(dir, "/tmp/p11-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	kms_log_set("tokend_p11_test", KMS_LOG_ERROR);
	profile_fill(dir);
	struct kms_secret *pin = pin_new(PIN);
	ck_ok(p11_init_token(&profile, pin, &pins));
	kms_secret_free(&pin);
	ck_ok(open_token());
}

static inline void run(char *const argv[])
{
	pid_t pid;
	int status;
	extern char **environ;
	ck_assert_int_eq(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static inline void teardown(void)
{
	p11_free(&p11);
	char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, dir, NULL};
	run(argv);
}

/* The token's folder in SoftHSM's store: DIR/tokens/UUID. */
static inline const char *token_folder(void)
{
	const char *tokens;
	tokens = path_of("%s/tokens", dir);
	DIR *d = opendir(tokens);
	ck_assert_ptr_nonnull(d);
	struct dirent *entry;
	do {
		entry = readdir(d);
		ck_assert_ptr_nonnull(entry);
	} while (entry->d_name[0] == '.');
	const char *path = path_of("%s/%s", tokens, entry->d_name);
	closedir(d);
	return path;
}

static inline struct kms_secret *key_new(uint8_t fill, size_t len)
{
	struct kms_secret *key = NULL;
	ck_ok(kms_secret_new(len, &key));
	memset(kms_secret_ptr(key), fill, len);
	return key;
}

static inline struct p11_kek kek_new(struct p11_kek_facts *ret_facts)
{
	struct p11_kek kek;
	ck_ok(p11_kek_generate(p11, &kek_id, &kek, ret_facts));
	return kek;
}

/* A raw session beside ours, to look at objects without the code under test. */
struct raw {
	CK_FUNCTION_LIST_PTR fn;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE object;
};

static inline struct raw raw_open(void)
{
	struct raw raw = {0};
	void *library = dlopen(SOFTHSM, RTLD_NOW);
	CK_C_GetFunctionList get;
	void *symbol = dlsym(library, "C_GetFunctionList");
	memcpy(&get, &symbol, sizeof(get));
	ck_assert_uint_eq(get(&raw.fn), CKR_OK);
	CK_SLOT_ID slots[8];
	CK_ULONG count = 8;
	ck_assert_uint_eq(raw.fn->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
	ck_assert_uint_eq(raw.fn->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
				  NULL, &raw.session),
		CKR_OK);
	return raw;
}

static inline struct raw raw_find(CK_OBJECT_CLASS class, const struct kms_id *id)
{
	struct raw raw = raw_open();
	CK_ULONG count = 0;
	struct kms_id copy = *id;
	CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_ID, copy.b, 16}};
	ck_assert_uint_eq(raw.fn->C_FindObjectsInit(raw.session, wanted, 2), CKR_OK);
	ck_assert_uint_eq(raw.fn->C_FindObjects(raw.session, &raw.object, 1, &count), CKR_OK);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(raw.fn->C_FindObjectsFinal(raw.session), CKR_OK);
	return raw;
}

/* Run the suite's one case; the exit code of main. */
static inline int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

#endif
