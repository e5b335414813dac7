/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program kms-tokend: options, then --init, --statement, or serving. Runs as the user of the
 * token's owner; started as root it becomes that user before it reads a key.
 */
#include "tokend_int.h"

#include "proc.h"
#include "toklink.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option { OPTION_CONFIG, OPTION_INIT, OPTION_STATEMENT, OPTION_LOG_LEVEL, OPTION_COUNT };
static const struct proc_option options[OPTION_COUNT] = {
	[OPTION_CONFIG] = {"config", 'c', "FILE", "the owner's file (required)"},
	[OPTION_INIT] = {"init", 0, NULL, "make token and keys, print the pins that others need"},
	[OPTION_STATEMENT] = {"statement", 0, NULL,
		"print the newest signed statement over uses, in base64"},
	[OPTION_LOG_LEVEL] = {"log-level", 'l', "LEVEL", "error, warning, info or debug"},
};

/* What the process may still touch once it serves. */
static kms_err enter_sandbox(const struct tokend *tokend)
{
	const struct owner *owner = tokend->owner;
	/* The folder of the deny list: who changes it may well put a new file in its place. */
	char *deny KMS_AUTO_FREE = owner->deny == NULL ? NULL : strdup(owner->deny);
	if (owner->deny != NULL && deny == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	const struct proc_path paths[] = {
		{owner->directory, PROC_WRITE},
		{deny == NULL ? NULL : dirname(deny), PROC_READ},
		{tokend->profile->p11.module, PROC_READ},
		{"/dev/urandom", PROC_READ},
	};
	struct proc_sandbox sandbox;
	return proc_sandbox(paths, sizeof(paths) / sizeof(paths[0]), &sandbox);
}

static kms_err print_statement(struct owner *owner)
{
	struct state state;
	KMS_AUTO_BUF bytes = {0};
	char *text KMS_AUTO_FREE = NULL;
	KMS_TRY(state_open(owner->directory, false, &state));
	KMS_TRY(state_read(&state, "uses", LIMIT_STATEMENT_BYTES, &bytes));
	KMS_TRY(kms_base64_text(kms_buf_bytes(&bytes), &text));
	return puts(text) < 0 ? KMS_ERR(IO) : KMS_OK;
}

static kms_err serve(struct owner **owner)
{
	char lock_path[OWNER_PATH_MAX];
	int lock_fd, signal_fd, listen_fd;
	KMS_TRY(tokend_path(*owner, "lock", lock_path));
	KMS_TRY(proc_lock_file(lock_path, &lock_fd));
	KMS_TRY(proc_signals(&signal_fd));
	KMS_AUTO(tokend) tokend = NULL;
	KMS_TRY(tokend_open(*owner, &tokend));
	*owner = NULL; /* the tokend's now */
	KMS_TRY(toklink_listen(tokend->owner->socket, &listen_fd));
	KMS_TRY(enter_sandbox(tokend));
	KMS_TRY(proc_daemon_ready());
	kms_log(KMS_LOG_INFO, "serving on %s", tokend->owner->socket);
	kms_err err = serve_run(tokend, listen_fd, signal_fd);
	(void)close(listen_fd);
	(void)close(lock_fd);
	return err;
}

static kms_err run(const char *values[OPTION_COUNT])
{
	KMS_AUTO(owner) owner = NULL;
	enum kms_log_level level = KMS_LOG_INFO;
	if (values[OPTION_LOG_LEVEL] != NULL) {
		KMS_TRY(kms_log_level_parse(values[OPTION_LOG_LEVEL], &level));
	}
	kms_log_set("kms-tokend", level);
	if (values[OPTION_CONFIG] == NULL) {
		kms_log(KMS_LOG_ERROR, "give the owner's file with --config FILE");
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(proc_harden());
	KMS_TRY(owner_read(values[OPTION_CONFIG], &owner));
	KMS_TRY(proc_drop_user(owner->user));
	KMS_TRY(kms_secret_init());
	if (values[OPTION_INIT] != NULL) {
		return init_run(owner);
	}
	if (values[OPTION_STATEMENT] != NULL) {
		return print_statement(owner);
	}
	return serve(&owner);
}

int main(int argc, char *argv[])
{
	static const struct proc_program program = {
		.name = "kms-tokend",
		.summary = "guard one PKCS#11 token for its owner",
		.version = KMS_VERSION,
		.options = options,
		.count = OPTION_COUNT,
	};
	const char *values[OPTION_COUNT];
	bool done = false;
	kms_err err = proc_options(&program, argc, argv, values, &done);
	if (kms_is_ok(err) && !done) {
		err = run(values);
		if (!kms_is_ok(err)) {
			kms_log(KMS_LOG_ERROR, "stopped: %s", kms_err_text(err));
		}
	}
	return kms_err_exit_code(err);
}
