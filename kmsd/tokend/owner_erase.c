/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the owner's file that says who may have KEKs destroyed: the approvers and how many of
 * them, the ledger in which the intent must stand, and the other tokens of the tenant whose word
 * counts when this one comes late. Where it is left out, nothing is ever destroyed.
 */
#include "tokend_int.h"

#include "config.h"

#include <stdio.h>
#include <string.h>

static kms_err read_vkey(
	struct config *map, const char *name, const char *text, struct tlog_vkey *ret_vkey)
{
	kms_err err = tlog_vkey_parse(text, ret_vkey);
	if (kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	}
	return kms_is_ok(err) ? KMS_OK
			      : config_refuse(map, name,
					"'%s' is no verifier key; write it as kms-tokend --init "
					"printed it, in quotes",
					text);
}

/* "UUID REST": one item of a list. */
static kms_err split(struct config *list, size_t i, const char *want, struct kms_id *ret_id,
	const char **ret_rest)
{
	const char *text;
	char id[KMS_ID_TEXT] = {0};
	KMS_TRY(config_item_text(list, i, &text));
	if (strlen(text) > KMS_ID_TEXT && text[KMS_ID_TEXT - 1] == ' ') {
		memcpy(id, text, KMS_ID_TEXT - 1);
		if (kms_is_ok(kms_id_parse(id, ret_id)) && !kms_id_is_zero(ret_id)) {
			*ret_rest = text + KMS_ID_TEXT;
			return KMS_OK;
		}
	}
	return config_refuse(list, NULL, "'%s' is not '%s'", text, want);
}

static kms_err read_approver(struct config *keys, size_t i, struct model_erase_pins *pins)
{
	static const char want[] = "APPROVER-UUID SPKI-SHA256-HEX";
	const char *hex;
	KMS_TRY(split(keys, i, want, &pins->rows[i].approver, &hex));
	if (!kms_is_ok(kms_hash_parse(hex, &pins->rows[i].spki))) {
		return config_refuse(keys, NULL, "'%s' is not '%s'", hex, want + 14);
	}
	for (size_t k = 0; k < i; k++) {
		if (kms_id_equal(&pins->rows[k].approver, &pins->rows[i].approver) ||
			kms_hash_equal(&pins->rows[k].spki, &pins->rows[i].spki)) {
			return config_refuse(keys, NULL,
				"an approver or a key stands here twice; one person has one key");
		}
	}
	return KMS_OK;
}

static kms_err read_approvals(struct config *map, struct owner *owner)
{
	struct config *approvals, *keys;
	struct model_erase_pins *pins = &owner->approvals;
	uint64_t needed;
	KMS_TRY(config_get_map_or_none(map, "approvals", &approvals));
	if (approvals == NULL) {
		return KMS_OK;
	}
	if (!config_has(map, "ledger")) {
		return config_refuse(map, "approvals",
			"without `ledger` nothing could be destroyed; give the ledger's key too");
	}
	KMS_TRY(config_get_uint(approvals, "needed", 1, LIMIT_APPROVALS, &needed));
	KMS_TRY(config_get_list(approvals, "keys", &keys));
	if (config_count(keys) > LIMIT_APPROVALS) {
		return config_refuse(approvals, "keys", "there are at most %d", LIMIT_APPROVALS);
	}
	if (needed > config_count(keys)) {
		return config_refuse(approvals, "needed",
			"more approvals are needed than there are keys (%zu)", config_count(keys));
	}
	for (size_t i = 0; i < config_count(keys); i++) {
		KMS_TRY(read_approver(keys, i, pins));
		pins->count++;
	}
	pins->needed = (uint32_t)needed;
	return KMS_OK;
}

static kms_err read_peers(struct config *map, struct owner *owner)
{
	struct config *peers;
	KMS_TRY(config_get_list_or_none(map, "peers", &peers));
	if (config_count(peers) > LIMIT_TOKENS) {
		return config_refuse(map, "peers", "there are at most %d", LIMIT_TOKENS);
	}
	for (size_t i = 0; i < config_count(peers); i++) {
		struct owner_peer *peer = &owner->peers[i];
		char name[64], text[KMS_ID_TEXT];
		const char *vkey;
		KMS_TRY(split(peers, i, "TOKEN-UUID STATEMENT-VKEY", &peer->token, &vkey));
		KMS_TRY(read_vkey(peers, NULL, vkey, &peer->statement));
		(void)snprintf(name, sizeof(name), "kms-token-%s", kms_id_text(&peer->token, text));
		if (strcmp(name, peer->statement.name) != 0) {
			return config_refuse(peers, NULL, "the key of '%s' is another token's",
				kms_id_text(&peer->token, text));
		}
		owner->peer_count++;
	}
	return KMS_OK;
}

kms_err owner_erase_read(struct config *map, struct owner *owner)
{
	const char *ledger;
	KMS_TRY(config_get_text_or(map, "ledger", NULL, &ledger));
	if (ledger != NULL) {
		KMS_TRY(read_vkey(map, "ledger", ledger, &owner->ledger));
	}
	KMS_TRY(read_approvals(map, owner));
	return read_peers(map, owner);
}
