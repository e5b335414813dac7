/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 6, the numbers: how many KEKs of a key the tokens themselves say were born and live, against
 * the ledger. A copy that the chain hides shows here.
 */
#include "bundle_int.h"

static uint32_t born_before(const struct evidence *evidence, const struct evidence_result *result)
{
	uint32_t count = 0;
	for (size_t i = 0; i < evidence->birth_count; i++) {
		const struct evidence_birth *birth = &evidence->births[i];
		count += kms_id_equal(&birth->key, &result->key) &&
			 kms_id_equal(&birth->birth->token, &result->token) &&
			 birth->entry->seq < result->entry->seq;
	}
	return count;
}

static void check_counts(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	char kek[KMS_ID_TEXT];
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *result = &evidence->results[i];
		uint32_t born = born_before(evidence, result);
		if (result->read && certificate_key(bundle->certificate, &result->key) != NULL &&
			result->absence.u.absence.born != born) {
			step_fail(bundle, 6,
				"KEK %s: its token counts %u KEKs that this key ever had there, "
				"the "
				"ledger %u",
				"KEK %s：この鍵の KEK の総数がトークンでは %u、台帳では %u",
				kms_id_text(&result->kek, kek), result->absence.u.absence.born,
				born);
		}
	}
}

/* Is it the last one of its key in its token? */
static bool is_last(const struct evidence *evidence, const struct evidence_result *result)
{
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *other = &evidence->results[i];
		if (other->entry->seq > result->entry->seq &&
			kms_id_equal(&other->key, &result->key) &&
			kms_id_equal(&other->token, &result->token)) {
			return false;
		}
	}
	return true;
}

static uint32_t ended_until(const struct evidence *evidence, const struct evidence_result *result)
{
	uint32_t count = 0;
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *other = &evidence->results[i];
		count += kms_id_equal(&other->key, &result->key) &&
			 kms_id_equal(&other->token, &result->token) &&
			 other->entry->seq <= result->entry->seq;
	}
	return count;
}

/* What the token's last word on a key leaves alive there, against born and ended. */
static void check_living(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	char kek[KMS_ID_TEXT];
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *result = &evidence->results[i];
		if (!result->read || certificate_key(bundle->certificate, &result->key) == NULL ||
			!is_last(evidence, result)) {
			continue;
		}
		uint32_t born = born_before(evidence, result);
		uint32_t ended = ended_until(evidence, result);
		if (result->absence.u.absence.living != (ended > born ? 0 : born - ended)) {
			step_fail(bundle, 6,
				"KEK %s: after it, its token counts %u living KEKs of this key, "
				"and the ledger %u born and %u ended",
				"KEK %s：その後に残る同じ鍵の KEK はトークンでは %u、"
				"台帳では生成 %u、消滅 %u",
				kms_id_text(&result->kek, kek), result->absence.u.absence.living,
				born, ended);
		}
	}
}

void copies_check_counts(struct bundle *bundle)
{
	check_counts(bundle);
	check_living(bundle);
}
