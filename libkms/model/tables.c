/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables: one row per operation (name, roles, key states, listener), one per state (where each
 * event leads). Every face of every program asks here and nowhere else; what no row allows is
 * refused. Must never look at anything but its arguments.
 */
#include "model.h"

#include <string.h>

/* Roles, of docs/architecture.md section 9. */
#define ROLE(name) (1u << MODEL_ROLE_##name)
enum {
	READERS = ROLE(CUSTODIAN) | ROLE(APPROVER) | ROLE(AUDITOR),
	EVERYBODY = READERS | ROLE(STORAGE) | ROLE(OPERATOR),
};

/* Key states, of SP 800-57 part 1 section 7. */
#define STATE(name) (1u << MODEL_STATE_##name)
enum {
	LIVING = STATE(PRE_ACTIVATION) | STATE(ACTIVE) | STATE(SUSPENDED) | STATE(DEACTIVATED) |
		 STATE(COMPROMISED),
	ANY_STATE = LIVING | STATE(DESTROYED) | STATE(DESTROYED_COMPROMISED),
	/* What was protected may still be read after protecting has ended (section 7.4, 7.5). */
	PROCESSING = STATE(ACTIVE) | STATE(DEACTIVATED) | STATE(COMPROMISED),
};

struct op_row {
	const char *text;
	unsigned roles;
	unsigned states; /* ANY_STATE also where the operation touches no key */
	enum model_face face;
	bool is_use;
};

static const struct op_row ops[MODEL_OP_COUNT_] = {
	[MODEL_OP_STATUS] = {"status", EVERYBODY, ANY_STATE, MODEL_FACE_BOTH, false},
	[MODEL_OP_TENANT_LIST] = {"tenant.list", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_TENANT_SHOW] = {"tenant.show", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_PRINCIPAL_LIST] = {"principal.list", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_PRINCIPAL_SHOW] = {"principal.show", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_TOKEN_LIST] = {"token.list", READERS | ROLE(OPERATOR), ANY_STATE,
		MODEL_FACE_ADMIN, false},
	[MODEL_OP_TOKEN_SHOW] = {"token.show", READERS | ROLE(OPERATOR), ANY_STATE,
		MODEL_FACE_ADMIN, false},
	[MODEL_OP_KEY_CREATE] = {"key.create", ROLE(CUSTODIAN), ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_KEY_LIST] = {"key.list", READERS | ROLE(STORAGE), ANY_STATE, MODEL_FACE_BOTH,
		false},
	[MODEL_OP_KEY_SHOW] = {"key.show", READERS | ROLE(STORAGE), ANY_STATE, MODEL_FACE_BOTH,
		false},
	[MODEL_OP_KEY_ROTATE] = {"key.rotate", ROLE(CUSTODIAN), STATE(ACTIVE), MODEL_FACE_ADMIN,
		false},
	/* The transition table below says the same of these three; a test holds them together. */
	[MODEL_OP_KEY_SUSPEND] = {"key.suspend", ROLE(CUSTODIAN), STATE(ACTIVE), MODEL_FACE_ADMIN,
		false},
	[MODEL_OP_KEY_RESUME] = {"key.resume", ROLE(CUSTODIAN), STATE(SUSPENDED), MODEL_FACE_ADMIN,
		false},
	[MODEL_OP_KEY_DEACTIVATE] = {"key.deactivate", ROLE(CUSTODIAN),
		STATE(ACTIVE) | STATE(SUSPENDED), MODEL_FACE_ADMIN, false},
	[MODEL_OP_KEY_HISTORY] = {"key.history", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	/* A dataset found late must still be named before its key can be erased. */
	[MODEL_OP_DATASET_ADD] = {"dataset.add", ROLE(CUSTODIAN), LIVING, MODEL_FACE_ADMIN, false},
	[MODEL_OP_DATASET_LIST] = {"dataset.list", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_DATASET_SHOW] = {"dataset.show", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_SESSION_OPEN] = {"session.open", ROLE(STORAGE), ANY_STATE, MODEL_FACE_DATA,
		false},
	[MODEL_OP_DATAKEY] = {"datakey", ROLE(STORAGE), STATE(ACTIVE), MODEL_FACE_DATA, true},
	[MODEL_OP_WRAP] = {"wrap", ROLE(STORAGE), STATE(ACTIVE), MODEL_FACE_DATA, true},
	[MODEL_OP_UNWRAP] = {"unwrap", ROLE(STORAGE), PROCESSING, MODEL_FACE_DATA, true},
	[MODEL_OP_REWRAP] = {"rewrap", ROLE(STORAGE), STATE(ACTIVE), MODEL_FACE_DATA, true},
	/* Whatever became of the key: what is given up is given up. */
	[MODEL_OP_LEASE_REPORT] = {"lease.report", ROLE(STORAGE), ANY_STATE, MODEL_FACE_DATA,
		false},
	[MODEL_OP_LEDGER_HEAD] = {"ledger.head", READERS | ROLE(OPERATOR), ANY_STATE,
		MODEL_FACE_ADMIN, false},
	[MODEL_OP_LEDGER_ENTRIES] = {"ledger.entries", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_LEDGER_USES] = {"ledger.uses", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	/* Its keys' states are the plan's business: an erasure may be about many keys. */
	[MODEL_OP_ERASE_PLAN] = {"erase.plan", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_ERASE_REQUEST] = {"erase.request", ROLE(CUSTODIAN), ANY_STATE, MODEL_FACE_ADMIN,
		false},
	[MODEL_OP_ERASE_LIST] = {"erase.list", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_ERASE_SHOW] = {"erase.show", READERS, ANY_STATE, MODEL_FACE_ADMIN, false},
	[MODEL_OP_ERASE_APPROVE] = {"erase.approve", ROLE(APPROVER), ANY_STATE, MODEL_FACE_ADMIN,
		false},
	[MODEL_OP_ERASE_CANCEL] = {"erase.cancel", ROLE(CUSTODIAN) | ROLE(APPROVER), ANY_STATE,
		MODEL_FACE_ADMIN, false},
	[MODEL_OP_ERASE_EXECUTE] = {"erase.execute", ROLE(CUSTODIAN), ANY_STATE, MODEL_FACE_ADMIN,
		false},
	[MODEL_OP_ERASE_CERTIFICATE] = {"erase.certificate", READERS, ANY_STATE, MODEL_FACE_ADMIN,
		false},
};

/*
 * SP 800-57 part 1 section 7, figure 3; 0: no such transition. Stricter than it in one point: an
 * active key is not destroyed before it was suspended or deactivated, so that nobody is surprised.
 */
static const enum model_state next[MODEL_STATE_DESTROYED_COMPROMISED + 1][MODEL_EVENT_DESTROY + 1] =
	{
		[MODEL_STATE_PRE_ACTIVATION] =
			{
				[MODEL_EVENT_ACTIVATE] = MODEL_STATE_ACTIVE,
				[MODEL_EVENT_COMPROMISE] = MODEL_STATE_COMPROMISED,
				[MODEL_EVENT_DESTROY] = MODEL_STATE_DESTROYED,
			},
		[MODEL_STATE_ACTIVE] =
			{
				[MODEL_EVENT_SUSPEND] = MODEL_STATE_SUSPENDED,
				[MODEL_EVENT_DEACTIVATE] = MODEL_STATE_DEACTIVATED,
				[MODEL_EVENT_COMPROMISE] = MODEL_STATE_COMPROMISED,
			},
		[MODEL_STATE_SUSPENDED] =
			{
				[MODEL_EVENT_RESUME] = MODEL_STATE_ACTIVE,
				[MODEL_EVENT_DEACTIVATE] = MODEL_STATE_DEACTIVATED,
				[MODEL_EVENT_COMPROMISE] = MODEL_STATE_COMPROMISED,
				[MODEL_EVENT_DESTROY] = MODEL_STATE_DESTROYED,
			},
		[MODEL_STATE_DEACTIVATED] =
			{
				[MODEL_EVENT_COMPROMISE] = MODEL_STATE_COMPROMISED,
				[MODEL_EVENT_DESTROY] = MODEL_STATE_DESTROYED,
			},
		[MODEL_STATE_COMPROMISED] =
			{
				[MODEL_EVENT_DESTROY] = MODEL_STATE_DESTROYED_COMPROMISED,
			},
		[MODEL_STATE_DESTROYED] =
			{
				[MODEL_EVENT_COMPROMISE] = MODEL_STATE_DESTROYED_COMPROMISED,
			},
};

/* The row of a known operation, else NULL. */
static const struct op_row *row_of(enum model_op op)
{
	size_t i = (size_t)op;
	return i < MODEL_OP_COUNT_ && ops[i].text != NULL ? &ops[i] : NULL;
}

const char *model_op_text(enum model_op op)
{
	const struct op_row *row = row_of(op);
	return row == NULL ? "unknown" : row->text;
}

kms_err model_op_parse(const char *text, enum model_op *ret_op)
{
	for (size_t i = 1; i < MODEL_OP_COUNT_; i++) {
		if (strcmp(ops[i].text, text) == 0) {
			*ret_op = (enum model_op)i;
			return KMS_OK;
		}
	}
	return KMS_ERR(ARGUMENT);
}

bool model_role_may(enum model_role role, enum model_op op)
{
	const struct op_row *row = row_of(op);
	if (row == NULL || (unsigned)role > MODEL_ROLE_OPERATOR) {
		return false;
	}
	return (row->roles & (1u << role)) != 0;
}

bool model_state_allows(enum model_state state, enum model_op op)
{
	const struct op_row *row = row_of(op);
	if (row == NULL || (unsigned)state > MODEL_STATE_DESTROYED_COMPROMISED) {
		return false;
	}
	return (row->states & (1u << state)) != 0;
}

kms_err model_state_next(
	enum model_state state, enum model_event event, enum model_state *ret_state)
{
	if ((unsigned)state > MODEL_STATE_DESTROYED_COMPROMISED ||
		(unsigned)event > MODEL_EVENT_DESTROY || next[state][event] == 0) {
		return KMS_ERR(KEY_STATE);
	}
	*ret_state = next[state][event];
	return KMS_OK;
}

enum model_face model_op_face(enum model_op op)
{
	const struct op_row *row = row_of(op);
	KMS_ASSERT(row != NULL);
	return row->face;
}

bool model_op_is_use(enum model_op op)
{
	const struct op_row *row = row_of(op);
	return row != NULL && row->is_use;
}

bool model_op_hands_out(enum model_op op)
{
	return op == MODEL_OP_DATAKEY || op == MODEL_OP_UNWRAP;
}
