/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which kmsd starts: sandbox before the first thread, the store and its lock, the
 * tokens, the ledger (which refuses a store older than the system token's last head), the door,
 * and the listeners last. It stops the other way round.
 */
#include "main_int.h"

#include "api.h"
#include "ledger.h"
#include "policy.h"
#include "proc.h"
#include "service.h"
#include "store.h"
#include "token.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { SYSTEM_WAIT_MS = 60 * 1000 };

struct parts {
	struct store *store;
	struct policy *policy;
	struct token_set *tokens;
	struct ledger *ledger;
	struct service *service;
	struct api *data;
	struct api *admin;
};

static void parts_free(struct parts *parts)
{
	api_free(&parts->data);
	api_free(&parts->admin);
	service_free(&parts->service);
	ledger_free(&parts->ledger);
	token_set_free(&parts->tokens);
	policy_free(&parts->policy);
	store_free(&parts->store);
}

static kms_err enter_sandbox(const struct settings *settings)
{
	const struct proc_path paths[] = {
		{settings->directory, PROC_WRITE},
		{settings->tiles, PROC_WRITE},
		{settings->data.certificate, PROC_READ},
		{settings->data.key, PROC_READ},
		{settings->admin.certificate, PROC_READ},
		{settings->admin.key, PROC_READ},
		{settings->clear_certificate, PROC_READ},
		{settings->clear_key, PROC_READ},
		{settings->policy, PROC_READ},
		{"/dev/urandom", PROC_READ},
		{"/etc/gnutls", PROC_READ},
	};
	struct proc_sandbox sandbox;
	return proc_sandbox(paths, sizeof(paths) / sizeof(paths[0]), &sandbox);
}

/* A token that the store knows and the configuration does not is a mistake of the operator's; one
 * the other way round is not registered by anybody. */
static kms_err fill_place(
	struct store *store, const struct settings *settings, size_t i, struct token_place *place)
{
	struct model_token row;
	struct store_position position;
	char text[KMS_ID_TEXT];
	kms_err err = store_token_get(store, &settings->token_ids[i], &row);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "token %s of the configuration is not registered: %s",
			kms_id_text(&settings->token_ids[i], text), kms_err_text(err));
		return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_ERR(CONFIG) : err;
	}
	KMS_TRY(store_position_get(store, &row.id, &position));
	*place = (struct token_place){
		.id = row.id,
		.socket_path = settings->token_sockets[i],
		.session_spki = row.session_spki,
		.recorded_boot = position.boot,
		.recorded_n = position.n,
	};
	return KMS_OK;
}

static kms_err open_tokens(const struct settings *settings, struct parts *parts)
{
	struct token_place *places KMS_AUTO_FREE =
		calloc(settings->token_count + 1, sizeof(*places));
	if (places == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < settings->token_count; i++) {
		KMS_TRY(fill_place(parts->store, settings, i, &places[i]));
	}
	return token_set_open(places, settings->token_count, settings->clear_certificate,
		settings->clear_key, &parts->tokens);
}

static kms_err find_system(const struct parts *parts, struct token **ret_system)
{
	static const struct kms_id platform;
	struct model_token *rows KMS_AUTO_FREE = NULL;
	size_t count;
	KMS_TRY(store_token_list(parts->store, &platform, &rows, &count));
	if (count != 1 || !kms_is_ok(token_find(parts->tokens, &rows[0].id, ret_system))) {
		kms_log(KMS_LOG_ERROR, "the configuration's tokens lack the system token");
		return KMS_ERR(CONFIG);
	}
	return KMS_OK;
}

static kms_err open_parts(const struct settings *settings, struct parts *parts)
{
	struct token *system;
	KMS_TRY(store_open(settings->store_path, STORE_WRITE, &parts->store));
	KMS_TRY(policy_read(settings->policy, &parts->policy));
	KMS_TRY(open_tokens(settings, parts));
	KMS_TRY(find_system(parts, &system));
	if (!kms_is_ok(token_wait_up(system, SYSTEM_WAIT_MS))) {
		kms_log(KMS_LOG_ERROR,
			"the system token's kms-tokend does not answer; start it, then kmsd");
		return KMS_ERR(TOKEN_DOWN);
	}
	KMS_TRY(ledger_start(parts->store, parts->tokens, system, settings->tiles,
		policy_lease_s(parts->policy), &parts->ledger));
	const struct service_parts service_parts = {
		.store = parts->store,
		.policy = parts->policy,
		.tokens = parts->tokens,
		.system = system,
		.ledger = parts->ledger,
		.version = KMS_VERSION,
	};
	return service_start(&service_parts, &parts->service);
}

static kms_err listen_on(const struct settings *settings, struct parts *parts)
{
	KMS_AUTO_BUF trust = {0};
	KMS_TRY(listen_trust(parts->store, &trust));
	KMS_TRY(listen_start(
		&settings->data, MODEL_FACE_DATA, &trust, parts->service, &parts->data));
	return listen_start(
		&settings->admin, MODEL_FACE_ADMIN, &trust, parts->service, &parts->admin);
}

static void wait_for_stop(int signal_fd)
{
	struct pollfd fd = {.fd = signal_fd, .events = POLLIN};
	do {
		(void)poll(&fd, 1, -1);
	} while (proc_signal_read(signal_fd) != PROC_SIGNAL_STOP);
}

kms_err start_and_serve(const struct settings *settings)
{
	struct parts parts = {0};
	int signal_fd;
	KMS_TRY(proc_signals(&signal_fd));
	KMS_TRY(enter_sandbox(settings));
	kms_err err = open_parts(settings, &parts);
	if (kms_is_ok(err)) {
		err = listen_on(settings, &parts);
	}
	if (kms_is_ok(err)) {
		err = proc_daemon_ready();
	}
	if (kms_is_ok(err)) {
		kms_log(KMS_LOG_INFO, "serving data on %s:%u, admin on %s:%u",
			settings->data.address, (unsigned)api_port(parts.data),
			settings->admin.address, (unsigned)api_port(parts.admin));
		wait_for_stop(signal_fd);
		kms_log(KMS_LOG_INFO, "stopping");
	}
	parts_free(&parts);
	return err;
}
