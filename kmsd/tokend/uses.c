/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses of KEKs, numbered (token, boot, n) with a running hash over them, kept until kmsd says that
 * they are recorded, and signed statements over the acknowledged ones. kmsd can neither leave one
 * out nor file it under another principal without `kms ledger verify` naming the place.
 */
#include "tokend_int.h"

#include <stdlib.h>
#include <string.h>

struct counted {
	struct model_counted_use use;
	struct kms_hash running; /* after it */
};

struct uses {
	uint64_t boot;
	uint64_t used;  /* number of the newest use */
	uint64_t acked; /* number of the newest acknowledged one */
	struct kms_hash running;
	struct kms_hash acked_running;
	/* A ring: the unacknowledged use n lies at n % LIMIT_UNACKED_USES. */
	struct counted *ring;
	struct model_counted_use *offered; /* one answer's worth */
	/* The newest statement, and the last one of an earlier boot. */
	struct kms_buf statement;
	struct format_uses said;
	struct format_uses before;
	int64_t minute; /* for the owner's cap */
	uint64_t in_minute;
};

/* The last statement of the boot before: what the first one of this boot has to carry. */
static kms_err read_last_statement(struct tokend *tokend, struct uses *uses)
{
	kms_err err = state_read(&tokend->state, "uses", LIMIT_STATEMENT_BYTES, &uses->statement);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		return KMS_OK;
	}
	KMS_TRY(err);
	struct format_statement statement;
	err = format_statement_verify(kms_buf_bytes(&uses->statement),
		kms_buf_bytes(&tokend->statement_spki), &statement);
	if (!kms_is_ok(err) || statement.type != FORMAT_STATEMENT_USES) {
		kms_log(KMS_LOG_ERROR, "%s/uses is not a statement of this token: restore it",
			tokend->state.dir);
		return KMS_ERR(INTEGRITY);
	}
	uses->said = statement.u.uses;
	uses->before = statement.u.uses;
	return KMS_OK;
}

kms_err uses_open(struct tokend *tokend, struct uses **ret_uses)
{
	KMS_AUTO(uses) uses = calloc(1, sizeof(*uses));
	if (uses == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	uses->ring = calloc(LIMIT_UNACKED_USES, sizeof(*uses->ring));
	uses->offered = calloc(LIMIT_COMMIT_USES, sizeof(*uses->offered));
	if (uses->ring == NULL || uses->offered == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(read_last_statement(tokend, uses));
	uint64_t boot;
	KMS_TRY(state_read_u64(&tokend->state, "boot", &boot));
	if (boot < uses->said.boot || boot == UINT64_MAX) {
		/* It is durable before any statement of it: numbers would be given twice. */
		kms_log(KMS_LOG_ERROR, "%s/boot is older than %s/uses: restore it",
			tokend->state.dir, tokend->state.dir);
		return KMS_ERR(INTEGRITY);
	}
	uses->boot = boot + 1;
	KMS_TRY(state_write_u64(&tokend->state, "boot", uses->boot));
	*ret_uses = kms_take(&uses);
	return KMS_OK;
}

void uses_free(struct uses **uses)
{
	if (uses == NULL || *uses == NULL) {
		return;
	}
	free((*uses)->ring);
	free((*uses)->offered);
	kms_buf_free(&(*uses)->statement);
	free(*uses);
	*uses = NULL;
}

kms_err uses_admit(struct uses *uses, uint32_t count, uint64_t cap_per_minute)
{
	if (uses->used - uses->acked + count > LIMIT_UNACKED_USES) {
		return KMS_ERR(LEDGER);
	}
	if (cap_per_minute == 0) {
		return KMS_OK;
	}
	int64_t minute = kms_monotonic_ms() / 60000;
	if (minute != uses->minute) {
		uses->minute = minute;
		uses->in_minute = 0;
	}
	if (uses->in_minute + count > cap_per_minute) {
		return KMS_ERR(RATE);
	}
	uses->in_minute += count;
	return KMS_OK;
}

kms_err uses_count(struct uses *uses, struct model_counted_use *use)
{
	struct model_use step = {
		.n = uses->used + 1,
		.op = use->op,
		.spki = use->spki,
		.key = use->key,
		.kek = use->kek,
		.version = use->version,
		.wrapped_key = use->wrapped_key,
		.context = use->context,
	};
	struct kms_hash running;
	KMS_TRY(format_use_step(&uses->running, &step, &running));
	uses->used = step.n;
	uses->running = running;
	use->n = step.n;
	uses->ring[step.n % LIMIT_UNACKED_USES] = (struct counted){*use, running};
	return KMS_OK;
}

void uses_where(const struct uses *uses, uint64_t *ret_boot, uint64_t *ret_used,
	uint64_t *ret_acked, struct kms_hash *ret_running)
{
	*ret_boot = uses->boot;
	*ret_used = uses->used;
	*ret_acked = uses->acked;
	*ret_running = uses->running;
}

kms_err uses_ack(struct uses *uses, uint64_t boot, uint64_t n)
{
	if (boot != uses->boot || n > uses->used) {
		return KMS_ERR(ARGUMENT);
	}
	if (n > uses->acked) {
		uses->acked_running = uses->ring[n % LIMIT_UNACKED_USES].running;
		uses->acked = n;
	}
	return KMS_OK;
}

kms_err uses_pending(struct uses *uses, uint64_t n, struct model_counted *ret_uses)
{
	if (n > uses->used) {
		return KMS_ERR(ARGUMENT);
	}
	uint64_t from = n < uses->acked ? uses->acked : n;
	uint64_t waiting = uses->used - from;
	uint32_t count = waiting < LIMIT_COMMIT_USES ? (uint32_t)waiting : LIMIT_COMMIT_USES;
	for (uint32_t i = 0; i < count; i++) {
		uses->offered[i] = uses->ring[(from + 1 + i) % LIMIT_UNACKED_USES].use;
	}
	*ret_uses = (struct model_counted){
		.boot = uses->boot,
		.first = from + 1,
		.count = count,
		.running = count > 0 ? uses->ring[(from + count) % LIMIT_UNACKED_USES].running
				     : uses->running,
		.rows = uses->offered,
	};
	return KMS_OK;
}

kms_err uses_sign(struct tokend *tokend)
{
	struct uses *uses = tokend->uses;
	bool said_in_this_boot = uses->said.boot == uses->boot;
	if (uses->acked == (said_in_this_boot ? uses->said.count : 0)) {
		return KMS_OK;
	}
	struct format_statement statement = {
		.type = FORMAT_STATEMENT_USES,
		.token = tokend->token,
		.tenant = tokend->owner->tenant,
		.unix_ms = kms_now_unix_ms(),
		.u.uses =
			{
				.boot = uses->boot,
				.count = uses->acked,
				.running = uses->acked_running,
				.previous_boot = uses->before.boot,
				.previous_count = uses->before.count,
				.previous_running = uses->before.running,
			},
	};
	KMS_AUTO_BUF fresh = {0};
	KMS_TRY(tokend_sign_statement(tokend, &statement, &fresh));
	KMS_TRY(state_write(&tokend->state, "uses", kms_buf_bytes(&fresh)));
	kms_buf_free(&uses->statement);
	uses->statement = fresh;
	fresh = (struct kms_buf){0};
	uses->said = statement.u.uses;
	return KMS_OK;
}

kms_err uses_statement(
	const struct uses *uses, uint64_t boot, uint64_t n, struct kms_bytes *ret_statement)
{
	bool says_more =
		uses->said.boot > boot || (uses->said.boot == boot && uses->said.count > n);
	*ret_statement = says_more ? kms_buf_bytes(&uses->statement) : (struct kms_bytes){0};
	return KMS_OK;
}
