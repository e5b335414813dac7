/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program kmsd: the platform operator's daemon. It holds TLS, policy, store and ledger; never
 * a token's PIN, session or vendor module, and for sealed keys never a data key.
 */
#include "main_int.h"

#include "ledger.h"
#include "policy.h"
#include "proc.h"
#include "service.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option {
	OPTION_CONFIG,
	OPTION_INIT,
	OPTION_ADD_TENANT,
	OPTION_PLATFORM,
	OPTION_CHECK,
	OPTION_REPLAY,
	OPTION_LOG_LEVEL,
	OPTION_COUNT
};
static const struct proc_option options[OPTION_COUNT] = {
	[OPTION_CONFIG] = {"config", 'c', "FILE", "kmsd.yaml (required)"},
	[OPTION_INIT] = {"init", 0, "TENANT",
		"make the store: entry 0 with the first tenant, from a "
		"tenant file with its signature beside it (TENANT.sig)"},
	[OPTION_PLATFORM] = {"platform", 0, "FILE",
		"with --init: the platform's file (log, system token, operators)"},
	[OPTION_ADD_TENANT] = {"add-tenant", 0, "TENANT",
		"add a tenant, offline, from such a file and its signature"},
	[OPTION_CHECK] = {"check", 0, NULL, "check configuration, policy and store, and stop"},
	[OPTION_REPLAY] = {"replay", 0, NULL,
		"rebuild every key's state from the ledger and compare it with the store"},
	[OPTION_LOG_LEVEL] = {"log-level", 'l', "LEVEL", "error, warning, info or debug"},
};

static kms_err run_init(const struct settings *settings, const char *values[OPTION_COUNT])
{
	bool first = values[OPTION_INIT] != NULL;
	char *signature KMS_AUTO_FREE = NULL;
	struct service_init init = {
		.store_path = settings->store_path,
		.platform_path = values[OPTION_PLATFORM],
		.tenant_path = first ? values[OPTION_INIT] : values[OPTION_ADD_TENANT],
	};
	if (first && init.platform_path == NULL) {
		kms_log(KMS_LOG_ERROR, "--init needs --platform FILE as well");
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(kms_text(&signature, "%s.sig", init.tenant_path));
	init.tenant_signature = signature;
	return first ? service_init(&init) : service_add_tenant(&init);
}

static kms_err run_check(const struct settings *settings)
{
	KMS_AUTO(policy) policy = NULL;
	KMS_AUTO(store) store = NULL;
	KMS_TRY(policy_read(settings->policy, &policy));
	KMS_TRY(store_open(settings->store_path, STORE_READ, &store));
	KMS_TRY(store_check(store));
	(void)puts("configuration, policy and store are well");
	return KMS_OK;
}

static kms_err run_replay(const struct settings *settings)
{
	KMS_AUTO(store) store = NULL;
	KMS_AUTO_BUF report = {0};
	KMS_TRY(store_open(settings->store_path, STORE_READ, &store));
	kms_err err = ledger_replay(store, &report);
	(void)fwrite(report.ptr, 1, report.len, stdout);
	return err;
}

static kms_err run(const char *values[OPTION_COUNT])
{
	KMS_AUTO(settings) settings = NULL;
	enum kms_log_level level = KMS_LOG_INFO;
	if (values[OPTION_LOG_LEVEL] != NULL) {
		KMS_TRY(kms_log_level_parse(values[OPTION_LOG_LEVEL], &level));
	}
	kms_log_set("kmsd", level);
	if (values[OPTION_CONFIG] == NULL) {
		kms_log(KMS_LOG_ERROR, "give the configuration with --config FILE");
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(proc_harden());
	KMS_TRY(settings_read(values[OPTION_CONFIG], &settings));
	KMS_TRY(proc_drop_user(settings->user));
	KMS_TRY(kms_secret_init());
	if (values[OPTION_INIT] != NULL || values[OPTION_ADD_TENANT] != NULL) {
		return run_init(settings, values);
	}
	if (values[OPTION_CHECK] != NULL) {
		return run_check(settings);
	}
	if (values[OPTION_REPLAY] != NULL) {
		return run_replay(settings);
	}
	return start_and_serve(settings);
}

int main(int argc, char *argv[])
{
	static const struct proc_program program = {
		.name = "kmsd",
		.summary = "key management and crypto-erase over PKCS#11 tokens",
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
