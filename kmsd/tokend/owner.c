/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner's file: what kms-tokend trusts. Strict YAML; every key is documented in
 * kms-tokend.yaml(5). kmsd can change nothing in here, and kms-tokend never writes it.
 */
#include "tokend_int.h"

#include "config.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

kms_err tokend_path(const struct owner *owner, const char *name, char ret_path[OWNER_PATH_MAX])
{
	int n = snprintf(ret_path, OWNER_PATH_MAX, "%s/%s", owner->directory, name);
	return n > 0 && n < OWNER_PATH_MAX ? KMS_OK : KMS_ERR(CONFIG);
}

/* A user by name or, where it has none here, by number. */
static kms_err read_peer(struct config *map, unsigned *ret_uid)
{
	const char *text;
	KMS_TRY(config_get_text(map, "peer_user", &text));
	struct passwd *user = getpwnam(text);
	if (user != NULL) {
		*ret_uid = (unsigned)user->pw_uid;
		return KMS_OK;
	}
	char *end;
	errno = 0;
	unsigned long uid = strtoul(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || uid >= UINT32_MAX) {
		return config_refuse(map, "peer_user",
			"there is no user '%s'; write the name or uid of the user that runs kmsd",
			text);
	}
	*ret_uid = (unsigned)uid;
	return KMS_OK;
}

static kms_err read_pin(struct config *map, struct owner *owner)
{
	struct config *pin;
	KMS_TRY(config_get_map_or_none(map, "pin", &pin));
	if (pin == NULL) {
		return KMS_OK; /* asked for at the terminal */
	}
	KMS_TRY(config_get_path_or(pin, "file", NULL, &owner->pin_file));
	KMS_TRY(config_get_text_or(pin, "credential", NULL, &owner->pin_credential));
	if ((owner->pin_file == NULL) == (owner->pin_credential == NULL)) {
		return config_refuse(map, "pin",
			"give either file or credential; leave pin out "
			"altogether to be asked at the terminal");
	}
	return KMS_OK;
}

static kms_err read_place(struct config *map, struct owner *owner)
{
	struct config *place;
	KMS_TRY(config_get_map(map, "place", &place));
	KMS_TRY(config_get_text(place, "organisation", &owner->organisation));
	KMS_TRY(config_get_text(place, "site", &owner->site));
	KMS_TRY(config_get_text(place, "country", &owner->country));
	if (strlen(owner->organisation) > LIMIT_PLACE || strlen(owner->site) > LIMIT_PLACE) {
		return config_refuse(
			place, NULL, "organisation and site have at most %d bytes", LIMIT_PLACE);
	}
	const char *c = owner->country;
	if (strlen(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z') {
		return config_refuse(place, "country",
			"a country is two capital letters (ISO 3166-1), such as JP");
	}
	return KMS_OK;
}

/* Who may have a session: the tenant's storage systems, and kmsd itself only where this file
 * names its certificate. */
static kms_err read_clients(struct config *map, struct owner *owner)
{
	struct config *clear;
	KMS_TRY(config_get_id(map, "tenant", &owner->tenant));
	KMS_TRY(config_get_path(map, "client_ca", &owner->client_ca));
	KMS_TRY(config_get_path_or(map, "deny", NULL, &owner->deny));
	KMS_TRY(config_get_uint_or(
		map, "uses_per_minute", 0, 1, UINT32_MAX, &owner->uses_per_minute));
	KMS_TRY(config_get_map_or_none(map, "clear", &clear));
	if (clear != NULL) {
		owner->clear = true;
		KMS_TRY(config_get_hash(clear, "kmsd_session", &owner->clear_session));
	}
	return KMS_OK;
}

static kms_err read_owner(struct config *map, struct owner *owner)
{
	static const char *const roles[] = {"tenant", "system"};
	size_t role;
	KMS_TRY(config_get_choice(map, "role", roles, 2, &role));
	owner->system = role == 1;
	KMS_TRY(config_get_path(map, "directory", &owner->directory));
	KMS_TRY(config_get_text_or(map, "user", NULL, &owner->user));
	KMS_TRY(config_get_path(map, "socket", &owner->socket));
	KMS_TRY(read_peer(map, &owner->peer_uid));
	KMS_TRY(config_get_path(map, "profile", &owner->profile_path));
	KMS_TRY(config_get_text(map, "label", &owner->label));
	KMS_TRY(read_pin(map, owner));
	KMS_TRY(read_place(map, owner));
	if (owner->system) {
		KMS_TRY(config_get_text(map, "log_origin", &owner->log_origin));
	} else {
		KMS_TRY(read_clients(map, owner));
		KMS_TRY(owner_erase_read(map, owner));
	}
	return config_end(map);
}

kms_err owner_read(const char *path, struct owner **ret_owner)
{
	KMS_AUTO(owner) owner = calloc(1, sizeof(*owner));
	if (owner == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(config_read(path, &owner->file));
	KMS_TRY(read_owner(owner->file, owner));
	*ret_owner = kms_take(&owner);
	return KMS_OK;
}

void owner_free(struct owner **owner)
{
	if (owner == NULL || *owner == NULL) {
		return;
	}
	config_free(&(*owner)->file);
	free(*owner);
	*owner = NULL;
}
