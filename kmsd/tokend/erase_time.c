/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is it time, by this token's own clock? Not before the waiting time is over; not after the
 * approvals expired, but to finish what the mark here says was begun, or where destruction began in
 * time by the word of a token that the owner's file pins.
 */
#include "tokend_int.h"

#include <stdio.h>

kms_err erase_in_time(
	const struct format_erase *order, int64_t unix_ms, bool begun, char *ret_reason)
{
	if (unix_ms < order->not_before_unix_s * 1000) {
		(void)snprintf(ret_reason, LIMIT_REASON + 1,
			"its waiting time is not over by this token's clock");
		return KMS_ERR(TIMEOUT);
	}
	if (unix_ms > order->expires_unix_s * 1000 && !begun) {
		return erase_refuse(ret_reason, "its approvals have expired");
	}
	return KMS_OK;
}

struct begun {
	const struct format_erase *order;
	const struct kms_hash *hash;
	bool found;
};

static bool is_inside(const struct format_erase *order, int64_t unix_ms)
{
	return unix_ms >= order->not_before_unix_s * 1000 &&
	       unix_ms <= order->expires_unix_s * 1000;
}

static kms_err find_begun(const struct kek *kek, void *arg)
{
	struct begun *begun = arg;
	bool dying = kek->life == KEK_ERASING || kek->life == KEK_DESTROYED;
	if (dying && kms_id_equal(&kek->mark.erasure, &begun->order->erasure) &&
		kms_hash_equal(&kek->mark.erase, begun->hash)) {
		begun->found = true;
	}
	return KMS_OK;
}

bool erase_has_begun(
	const struct tokend *tokend, const struct format_erase *order, const struct kms_hash *hash)
{
	struct begun begun = {order, hash, false};
	KMS_IGNORE(keks_each(tokend->keks, find_begun, &begun)); /* the visitor never fails */
	return begun.found || erase_wipe_begun(tokend, &order->erasure, hash);
}

kms_err erase_check_late(const struct tokend *tokend, struct kms_bytes late,
	const struct erasure *erasure, int64_t *ret_unix_ms, char *ret_reason)
{
	const struct owner *owner = tokend->owner;
	const struct format_erase *order = erasure->order;
	struct format_statement said = {0};
	const struct format_erased *what = &said.u.destroy.what;
	bool good = false, named = false;
	for (uint32_t i = 0; i < owner->peer_count && !good; i++) {
		const struct owner_peer *peer = &owner->peers[i];
		struct kms_bytes spki = {peer->statement.spki, peer->statement.spki_len};
		good = kms_is_ok(format_statement_verify(late, spki, &said)) &&
		       kms_id_equal(&said.token, &peer->token);
	}
	if (!good || said.type != FORMAT_STATEMENT_DESTROY ||
		!kms_id_equal(&said.tenant, &owner->tenant)) {
		return erase_refuse(
			ret_reason, "the late statement is no destroy statement of a pinned token");
	}
	for (uint32_t i = 0; i < order->kek_count; i++) {
		named = named || (kms_id_equal(&order->keks[i].token, &said.token) &&
					 kms_id_equal(&order->keks[i].kek, &what->kek));
	}
	if (!named || !kms_id_equal(&what->erasure, &order->erasure) ||
		!kms_hash_equal(&what->erase, &erasure->hash) || said.u.destroy.canary_after) {
		return erase_refuse(ret_reason, "the late statement is about something else");
	}
	if (!is_inside(order, said.u.destroy.begun_unix_ms) ||
		said.unix_ms < said.u.destroy.begun_unix_ms) {
		return erase_refuse(ret_reason, "the late statement did not begin in the window");
	}
	*ret_unix_ms = said.u.destroy.begun_unix_ms;
	return KMS_OK;
}
