/* SPDX-License-Identifier: Apache-2.0 */
/* kmsd.yaml, strictly: every key is documented in kmsd.yaml(5), unknown ones are refused. */
#include "main_int.h"

#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_loopback(const char *address)
{
	struct in_addr four;
	struct in6_addr six;
	if (inet_pton(AF_INET, address, &four) == 1) {
		return (ntohl(four.s_addr) >> 24) == 127;
	}
	return inet_pton(AF_INET6, address, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static kms_err read_listener(struct config *listeners, const char *name, uint64_t port,
	struct settings_listener *ret_listener)
{
	struct config *map;
	uint64_t value;
	KMS_TRY(config_get_map(listeners, name, &map));
	KMS_TRY(config_get_text_or(map, "address", "127.0.0.1", &ret_listener->address));
	KMS_TRY(config_get_uint_or(map, "port", port, 0, 65535, &value));
	KMS_TRY(config_get_path(map, "certificate", &ret_listener->certificate));
	KMS_TRY(config_get_path(map, "key", &ret_listener->key));
	ret_listener->port = (uint16_t)value;
	struct in6_addr parsed;
	if (inet_pton(AF_INET, ret_listener->address, &parsed) != 1 &&
		inet_pton(AF_INET6, ret_listener->address, &parsed) != 1) {
		return config_refuse(map, "address",
			"'%s' is not an IPv4 or IPv6 address; write one, such as 127.0.0.1",
			ret_listener->address);
	}
	return KMS_OK;
}

/* Management is on a path of its own: off loopback only when that is said out loud. */
static kms_err read_listeners(struct config *root, struct settings *settings)
{
	struct config *listeners;
	bool allowed;
	KMS_TRY(config_get_map(root, "listeners", &listeners));
	KMS_TRY(read_listener(listeners, "data", 8443, &settings->data));
	KMS_TRY(read_listener(listeners, "admin", 8444, &settings->admin));
	KMS_TRY(config_get_bool_or(listeners, "admin_off_loopback", false, &allowed));
	if (!allowed && !is_loopback(settings->admin.address)) {
		return config_refuse(listeners, "admin",
			"the admin listener is not on loopback (A-2); use 127.0.0.1, or, on a "
			"management network of its own, write admin_off_loopback: true");
	}
	return KMS_OK;
}

static kms_err read_tokens(struct config *root, struct settings *settings)
{
	struct config *list, *map;
	KMS_TRY(config_get_list(root, "tokens", &list));
	size_t most = sizeof(settings->token_ids) / sizeof(settings->token_ids[0]);
	settings->token_count = config_count(list);
	if (settings->token_count > most) {
		return config_refuse(root, "tokens", "at most %zu tokens", most);
	}
	for (size_t i = 0; i < settings->token_count; i++) {
		KMS_TRY(config_item_map(list, i, &map));
		KMS_TRY(config_get_id(map, "id", &settings->token_ids[i]));
		KMS_TRY(config_get_path(map, "socket", &settings->token_sockets[i]));
		for (size_t j = 0; j < i; j++) {
			if (kms_id_equal(&settings->token_ids[j], &settings->token_ids[i])) {
				return config_refuse(
					map, "id", "this token stands twice; keep one");
			}
		}
	}
	return KMS_OK;
}

static kms_err read_clear(struct config *root, struct settings *settings)
{
	struct config *map;
	KMS_TRY(config_get_map_or_none(root, "clear_session", &map));
	if (map == NULL) {
		return KMS_OK;
	}
	KMS_TRY(config_get_path(map, "certificate", &settings->clear_certificate));
	return config_get_path(map, "key", &settings->clear_key);
}

static kms_err read_settings(struct config *root, struct settings *settings)
{
	KMS_TRY(config_get_path(root, "directory", &settings->directory));
	KMS_TRY(config_get_path_or(root, "tiles", NULL, &settings->tiles));
	KMS_TRY(config_get_text_or(root, "user", NULL, &settings->user));
	KMS_TRY(config_get_path(root, "policy", &settings->policy));
	KMS_TRY(read_tokens(root, settings));
	KMS_TRY(read_listeners(root, settings));
	KMS_TRY(read_clear(root, settings));
	KMS_TRY(config_end(root));
	int n = snprintf(settings->store_path, sizeof(settings->store_path), "%s/kmsd.db",
		settings->directory);
	if (n < 0 || (size_t)n >= sizeof(settings->store_path)) {
		return config_refuse(root, "directory", "the path is too long");
	}
	return KMS_OK;
}

kms_err settings_read(const char *path, struct settings **ret_settings)
{
	KMS_AUTO(settings) settings = calloc(1, sizeof(*settings));
	if (settings == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(config_read(path, &settings->file));
	KMS_TRY(read_settings(settings->file, settings));
	*ret_settings = kms_take(&settings);
	return KMS_OK;
}

void settings_free(struct settings **settings)
{
	if (settings == NULL || *settings == NULL) {
		return;
	}
	config_free(&(*settings)->file);
	free(*settings);
	*settings = NULL;
}
