/* SPDX-License-Identifier: Apache-2.0 */
/* What `kms-tokend --init` printed for a token's owner, read strictly. */
#include <stdlib.h>
#include <string.h>

#include "cli_int.h"
#include "config.h"

static kms_err get_text(struct config *map, const char *name, char *into, size_t size)
{
	const char *text;
	KMS_TRY(config_get_text(map, name, &text));
	if (!kms_is_ok(model_text_check(text, size - 1))) {
		return config_refuse(
			map, name, "'%s' has more than %zu bytes, or a newline", name, size - 1);
	}
	memcpy(into, text, strlen(text) + 1);
	return KMS_OK;
}
#define GET_TEXT(map, name, member) get_text(map, name, member, sizeof(member))

static kms_err read_facts(struct config *map, struct model_token *token)
{
	static const char *const classes[] = {"software", "hsm"};
	size_t class;
	KMS_TRY(config_get_choice(map, "class", classes, 2, &class));
	token->class = class == 0 ? MODEL_CLASS_SOFTWARE : MODEL_CLASS_HSM;
	KMS_TRY(GET_TEXT(map, "manufacturer", token->manufacturer));
	KMS_TRY(GET_TEXT(map, "model", token->model));
	KMS_TRY(GET_TEXT(map, "serial", token->serial));
	KMS_TRY(GET_TEXT(map, "firmware", token->firmware));
	KMS_TRY(GET_TEXT(map, "organisation", token->organisation));
	KMS_TRY(GET_TEXT(map, "site", token->site));
	KMS_TRY(GET_TEXT(map, "country", token->country));
	return GET_TEXT(map, "statement_key", token->statement_vkey);
}

static kms_err read_pins(struct config *map, struct cli_pins *pins)
{
	static const char *const roles[] = {"tenant", "system"};
	uint64_t version;
	size_t role;
	KMS_TRY(config_get_uint(map, "kms-token-pins", 1, 1, &version));
	KMS_TRY(config_get_id(map, "token", &pins->token.id));
	KMS_TRY(config_get_choice(map, "role", roles, 2, &role));
	pins->system = role == 1;
	KMS_TRY(read_facts(map, &pins->token));
	if (pins->system) {
		KMS_TRY(config_get_text(map, "log_origin", &pins->log_origin));
		KMS_TRY(config_get_text(map, "ledger_key", &pins->ledger_key));
		KMS_TRY(config_get_text_or(
			map, "ledger_key_ed25519", NULL, &pins->ledger_key_ed25519));
		KMS_TRY(config_get_text_or(map, "manifest_key", NULL, &pins->manifest_key));
	} else {
		KMS_TRY(config_get_id(map, "tenant", &pins->token.tenant));
		KMS_TRY(config_get_hash(map, "session_spki", &pins->token.session_spki));
	}
	return config_end(map);
}

kms_err cli_pins_read(const char *path, struct cli_pins **ret_pins)
{
	KMS_AUTO(cli_pins) pins = calloc(1, sizeof(*pins));
	if (pins == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(config_read(path, &pins->file));
	KMS_TRY(read_pins(pins->file, pins));
	*ret_pins = kms_take(&pins);
	return KMS_OK;
}

void cli_pins_free(struct cli_pins **pins)
{
	if (pins != NULL && *pins != NULL) {
		config_free(&(*pins)->file);
		free(*pins);
		*pins = NULL;
	}
}

void cli_pins_set(struct doc *object, const struct cli_pins *pins)
{
	const struct model_token *token = &pins->token;
	doc_set_id(object, "id", &token->id);
	doc_set_text(object, "class", model_class_text(token->class));
	doc_set_text(object, "manufacturer", token->manufacturer);
	doc_set_text(object, "model", token->model);
	doc_set_text(object, "serial", token->serial);
	doc_set_text(object, "firmware", token->firmware);
	doc_set_text(object, "certificate_no", token->certificate_no);
	doc_set_text(object, "organisation", token->organisation);
	doc_set_text(object, "site", token->site);
	doc_set_text(object, "country", token->country);
	doc_set_hash(object, "session_spki", &token->session_spki);
	doc_set_text(object, "statement_vkey", token->statement_vkey);
}
