/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an erasure would destroy, and what would stay. Runs in kmsd. It only looks: whether the
 * erasure may happen is decided by others, by what stands here.
 */
#include "evidence.h"

#include "format.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

void evidence_plan_free(struct evidence_plan **plan)
{
	if (*plan != NULL) {
		kms_buf_free(&(*plan)->scope);
		kms_buf_free(&(*plan)->observed);
		kms_buf_free(&(*plan)->bytes);
	}
	free(*plan);
	*plan = NULL;
}

static bool names_version(const struct model_erase_target *target, uint32_t version)
{
	for (uint32_t i = 0; i < target->version_count; i++) {
		if (target->versions[i] == version) {
			return true;
		}
	}
	return false;
}

kms_err evidence_wish_of(const struct format_erase *erase, struct evidence_wish *ret_wish)
{
	struct evidence_wish wish = {
		.erasure = erase->erasure,
		.tenant = erase->tenant,
		.requester = erase->requester,
		.target = {.scope = erase->scope,
			.subject = erase->subject,
			.wipe = erase->wipe_count > 0},
		.not_before_unix_s = erase->not_before_unix_s,
		.expires_unix_s = erase->expires_unix_s,
	};
	for (uint32_t i = 0; erase->scope == MODEL_ERASE_VERSIONS && i < erase->kek_count; i++) {
		if (names_version(&wish.target, erase->keks[i].version)) {
			continue;
		}
		if (wish.target.version_count == LIMIT_ERASE_VERSIONS) {
			return KMS_ERR(TOO_LARGE);
		}
		wish.target.versions[wish.target.version_count++] = erase->keks[i].version;
	}
	*ret_wish = wish;
	return KMS_OK;
}
