/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the notary thread asks each kms-tokend for its newest signed uses statements and has
 * them recorded. A thread of its own, so that a hanging token delays no commit. Runs in kmsd.
 */
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "ledger_int.h"

enum { STATEMENTS_AT_ONCE = 64 }; /* of one token, before the others have their turn */

static kms_err record(struct ledger *ledger, struct track *track, struct kms_buf *statement)
{
	KMS_AUTO(change_box) box = NULL;
	uint64_t seq = 0;
	KMS_TRY(ledger_change_new(MODEL_CHANGE_USE_STATEMENT, &box));
	box->change.tenant = track->tenant;
	box->change.u.use_statement.token = track->id;
	box->change.u.use_statement.statement = *statement;
	*statement = (struct kms_buf){0};
	return ledger_change(ledger, &box->change, &seq);
}

/* It is not its word: once in the ledger, until a good one comes. */
static void refuse(struct ledger *ledger, struct track *track, kms_err why)
{
	KMS_AUTO(change_box) box = NULL;
	uint64_t seq = 0;
	if (track->statement_bad || !kms_is_ok(ledger_change_new(MODEL_CHANGE_ALARM, &box))) {
		return;
	}
	box->change.tenant = track->tenant;
	box->change.u.alarm.token = track->id;
	(void)snprintf(box->change.u.alarm.text, sizeof(box->change.u.alarm.text),
		"a uses statement is not valid: %s", kms_err_text(why));
	char id[KMS_ID_TEXT];
	kms_log(KMS_LOG_ERROR, "ledger: token %s: %s", kms_id_text(&track->id, id),
		box->change.u.alarm.text);
	track->statement_bad = kms_is_ok(ledger_change(ledger, &box->change, &seq));
}

/* Signed by the pinned statement key, of this token, and after what is recorded. */
static kms_err check(
	const struct track *track, const struct store_position *position, struct kms_bytes bytes)
{
	struct format_statement statement;
	KMS_TRY(ledger_statement_check(bytes, track->statement_vkey, &statement));
	const struct format_uses *uses = &statement.u.uses;
	if (statement.type != FORMAT_STATEMENT_USES ||
		!kms_id_equal(&statement.token, &track->id)) {
		return KMS_ERR(PINS);
	}
	bool newer =
		uses->boot > position->statement_boot ||
		(uses->boot == position->statement_boot && uses->count > position->statement_n);
	return newer ? KMS_OK : KMS_ERR(ROLLBACK);
}

/* false: there is no more, for now. */
static bool take_one(struct ledger *ledger, struct track *track)
{
	KMS_AUTO_BUF statement = {0};
	struct store_position position;
	if (!kms_is_ok(store_position_get(ledger->store, &track->id, &position)) ||
		!kms_is_ok(token_statement_next(
			track->token, position.statement_boot, position.statement_n, &statement)) ||
		statement.len == 0) {
		return false; /* store and token log their own failures */
	}
	kms_err err = check(track, &position, kms_buf_bytes(&statement));
	if (!kms_is_ok(err)) {
		refuse(ledger, track, err);
		return false;
	}
	track->statement_bad = false;
	return kms_is_ok(record(ledger, track, &statement));
}

void *ledger_notary(void *arg)
{
	struct ledger *ledger = arg;
	while (!ledger_tick(ledger)) {
		for (size_t i = 0; i < ledger->track_count; i++) {
			int left = STATEMENTS_AT_ONCE;
			while (left > 0 && take_one(ledger, &ledger->tracks[i])) {
				left--;
			}
		}
	}
	return NULL;
}
