/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile file: where kmsd is, who we are, and what is pinned. Runs wherever libkms does. What
 * stands here is trusted; kmsd must never be able to change or replace any of it.
 */
#include "client_int.h"

#include <stdlib.h>
#include <string.h>

/* The token's place in the profile's list of them, where it is added if it is new. */
static kms_err pin_token(struct profile *profile, struct config *map,
	const struct pinned_token *token, uint32_t *ret_at)
{
	for (uint32_t i = 0; i < profile->token_count; i++) {
		if (!kms_id_equal(&profile->tokens[i].id, &token->id)) {
			continue;
		}
		if (!kms_hash_equal(&profile->tokens[i].session_spki, &token->session_spki)) {
			return config_refuse(map, "session_spki",
				"this token is pinned with another session_spki above; a token has "
				"one");
		}
		*ret_at = i;
		return KMS_OK;
	}
	if (profile->token_count == PROFILE_TOKENS_MAX) {
		return config_refuse(
			map, NULL, "a profile has at most %d tokens", PROFILE_TOKENS_MAX);
	}
	profile->tokens[profile->token_count] = *token;
	*ret_at = profile->token_count++;
	return KMS_OK;
}

static kms_err read_token(struct profile *profile, struct config *list, size_t i, struct pins *pins)
{
	struct config *map;
	struct pinned_token token;
	KMS_TRY(config_item_map(list, i, &map));
	KMS_TRY(config_get_id(map, "id", &token.id));
	KMS_TRY(config_get_hash(map, "session_spki", &token.session_spki));
	for (size_t j = 0; j < i; j++) {
		if (kms_id_equal(&pins->key.tokens[j], &token.id)) {
			return config_refuse(map, "id", "this token stands twice; name each once");
		}
	}
	pins->key.tokens[i] = token.id;
	return pin_token(profile, map, &token, &pins->token[i]);
}

static kms_err read_pins(struct profile *profile, struct config *map, struct pins *ret_pins)
{
	static const char *const custody[] = {"any", "all"};
	static const char *const delivery[] = {"sealed", "clear"};
	struct pins pins = {0};
	struct config *list;
	size_t word;
	KMS_TRY(config_get_choice(map, "custody", custody, 2, &word));
	pins.key.custody = word == 0 ? MODEL_CUSTODY_ANY : MODEL_CUSTODY_ALL;
	KMS_TRY(config_get_choice(map, "delivery", delivery, 2, &word));
	pins.key.delivery = word == 0 ? MODEL_DELIVERY_SEALED : MODEL_DELIVERY_CLEAR;
	KMS_TRY(config_get_list(map, "tokens", &list));
	size_t count = config_count(list);
	if (count == 0 || count > LIMIT_CUSTODY_TOKENS) {
		return config_refuse(map, "tokens",
			"a key has 1 to %d tokens; name them in the order of the key",
			LIMIT_CUSTODY_TOKENS);
	}
	pins.key.token_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(read_token(profile, list, i, &pins));
	}
	*ret_pins = pins;
	return KMS_OK;
}

/* Pins of single keys: a mapping from key ids. */
static kms_err read_key_pins(struct profile *profile, struct config *map)
{
	size_t count = config_count(map);
	if (count > PROFILE_KEYS_MAX) {
		return config_refuse(map, NULL, "a profile pins at most %d keys", PROFILE_KEYS_MAX);
	}
	profile->key_pins = calloc(count + 1, sizeof(*profile->key_pins));
	if (profile->key_pins == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		const char *name = config_name(map, i);
		struct config *pins;
		struct kms_id id;
		if (!kms_is_ok(kms_id_parse(name, &id))) {
			return config_refuse(map, name,
				"'%s' is no key id; write the UUID that `kms key show` prints",
				name);
		}
		KMS_TRY(config_get_map(map, name, &pins));
		KMS_TRY(read_pins(profile, pins, &profile->key_pins[i]));
		profile->key_pins[i].key.id = id;
		profile->key_pins_count = i + 1;
	}
	return KMS_OK;
}

/* Nothing but https://HOST[:PORT]: libkms brings the path, and a user part or query would only be
 * a place for secrets that leak. */
static kms_err read_url(struct config *map, const char *name, const char **ret_url)
{
	static const char scheme[] = "https://";
	static const char host_chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
	const char *url;
	KMS_TRY(config_get_text_or(map, name, NULL, &url));
	if (url == NULL) {
		return KMS_OK;
	}
	const char *host = url + strlen(scheme);
	if (strncmp(url, scheme, strlen(scheme)) != 0 || *host == '\0' ||
		strspn(host, host_chars) != strlen(host)) {
		return config_refuse(map, name,
			"an address of kmsd is https://HOST or https://HOST:PORT, without a path");
	}
	*ret_url = url;
	return KMS_OK;
}

static kms_err read_profile(struct config *map, struct profile *profile)
{
	struct config *pins, *keys;
	KMS_TRY(read_url(map, "data_url", &profile->data_url));
	KMS_TRY(read_url(map, "admin_url", &profile->admin_url));
	if (profile->data_url == NULL && profile->admin_url == NULL) {
		return config_refuse(map, NULL,
			"there is no address of kmsd; give data_url for data "
			"keys, admin_url for management, or both");
	}
	KMS_TRY(config_get_path(map, "server_ca", &profile->server_ca));
	KMS_TRY(config_get_path(map, "certificate", &profile->certificate));
	KMS_TRY(config_get_path(map, "key", &profile->key));
	if (config_has(map, "tenant")) {
		KMS_TRY(config_get_id(map, "tenant", &profile->tenant));
	}
	profile->has_default_key = config_has(map, "default_key");
	if (profile->has_default_key) {
		KMS_TRY(config_get_id(map, "default_key", &profile->default_key));
	}
	KMS_TRY(config_get_map_or_none(map, "pins", &pins));
	KMS_TRY(config_get_map_or_none(map, "key_pins", &keys));
	if (pins != NULL) {
		KMS_TRY(read_pins(profile, pins, &profile->default_pins));
		profile->has_default_pins = true;
	}
	if (keys != NULL) {
		KMS_TRY(read_key_pins(profile, keys));
	}
	if ((pins != NULL || keys != NULL) && kms_id_is_zero(&profile->tenant)) {
		return config_refuse(map, NULL,
			"there are pins but no tenant; write the tenant's id, it is bound to every "
			"data key");
	}
	return config_end(map);
}

kms_err profile_read(const char *path, struct profile **ret_profile)
{
	KMS_AUTO(profile) profile = calloc(1, sizeof(*profile));
	if (profile == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(config_read(path, &profile->file));
	KMS_TRY(read_profile(profile->file, profile));
	*ret_profile = kms_take(&profile);
	return KMS_OK;
}

void profile_free(struct profile **profile)
{
	if (profile == NULL || *profile == NULL) {
		return;
	}
	config_free(&(*profile)->file);
	free((*profile)->key_pins);
	free(*profile);
	*profile = NULL;
}

kms_err profile_pins(const struct profile *profile, const struct kms_id *key, struct pins *ret_pins)
{
	for (size_t i = 0; i < profile->key_pins_count; i++) {
		if (kms_id_equal(&profile->key_pins[i].key.id, key)) {
			*ret_pins = profile->key_pins[i];
			return KMS_OK;
		}
	}
	if (!profile->has_default_pins) {
		return KMS_ERR(PINS);
	}
	*ret_pins = profile->default_pins;
	ret_pins->key.id = *key;
	return KMS_OK;
}
