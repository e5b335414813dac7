/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of errors. Runs in every program. Its texts go to clients: they must never name a
 * path, a peer or a value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

/*
 * Exit codes of the programs, by who must act and how. 1 is left to the shell's plain "failed",
 * and from 126 on the shell speaks for itself.
 */
enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_ARGUMENT = 2,  /* call it differently */
	EXIT_CODE_DENIED = 3,    /* ask for the right to do it */
	EXIT_CODE_NOT_FOUND = 4, /* no such thing, or it exists already */
	EXIT_CODE_DATA = 5,      /* the data is damaged, cut, or of another context */
	EXIT_CODE_KEY = 6,       /* the key's state, budget or erasure says no */
	EXIT_CODE_PINS = 7,      /* the other side is not what was pinned: do not go on */
	EXIT_CODE_AGAIN = 8,     /* server or token does not answer: try again later */
	EXIT_CODE_CONFIG = 9,    /* mend the configuration */
	EXIT_CODE_IO = 10,       /* mend disk, store or ledger */
	EXIT_CODE_INTERNAL = 70, /* EX_SOFTWARE of sysexits.h: tell us */
};

/* Result Reason, KMIP 2.1 section 11.48; the KMIP module says older ones to older clients. */
enum kmip_reason {
	KMIP_NONE = 0,
	KMIP_ITEM_NOT_FOUND = 0x01,
	KMIP_AUTHENTICATION_NOT_SUCCESSFUL = 0x03,
	KMIP_INVALID_MESSAGE = 0x04,
	KMIP_INVALID_FIELD = 0x07,
	KMIP_FEATURE_NOT_SUPPORTED = 0x08,
	KMIP_CRYPTOGRAPHIC_FAILURE = 0x0a,
	KMIP_PERMISSION_DENIED = 0x0c,
	KMIP_OBJECT_ALREADY_EXISTS = 0x18,
	KMIP_USAGE_LIMIT_EXCEEDED = 0x1a,
	KMIP_OBJECT_DESTROYED = 0x36,
	KMIP_SERVER_LIMIT_EXCEEDED = 0x3a,
	KMIP_WRONG_KEY_LIFECYCLE_STATE = 0x43,
	KMIP_GENERAL_FAILURE = 0x100,
};

struct row {
	const char *name;
	const char *text;
	int http_status;
	enum kmip_reason kmip;
	enum exit_code exit_code;
};

/* clang-format off */
static const struct row TABLE[] = {
	[KMS_CODE_OK] = {"ok", "done", 200, KMIP_NONE, EXIT_CODE_OK},

	[KMS_CODE_ARGUMENT] = {"argument", "an argument is not valid",
		400, KMIP_INVALID_FIELD, EXIT_CODE_ARGUMENT},
	[KMS_CODE_FORMAT] = {"format", "the data is not in the expected format",
		400, KMIP_INVALID_MESSAGE, EXIT_CODE_DATA},
	[KMS_CODE_TOO_LARGE] = {"too-large", "a size or count is over its limit",
		413, KMIP_INVALID_FIELD, EXIT_CODE_ARGUMENT},
	[KMS_CODE_UNAUTHENTICATED] = {"unauthenticated", "the client certificate is not registered here",
		401, KMIP_AUTHENTICATION_NOT_SUCCESSFUL, EXIT_CODE_DENIED},
	[KMS_CODE_DENIED] = {"denied", "role, tenant or policy does not allow this",
		403, KMIP_PERMISSION_DENIED, EXIT_CODE_DENIED},
	[KMS_CODE_NOT_FOUND] = {"not-found", "there is no such object",
		404, KMIP_ITEM_NOT_FOUND, EXIT_CODE_NOT_FOUND},
	[KMS_CODE_EXISTS] = {"exists", "there is such an object already",
		409, KMIP_OBJECT_ALREADY_EXISTS, EXIT_CODE_NOT_FOUND},
	[KMS_CODE_KEY_STATE] = {"key-state", "the key's state does not allow this operation",
		409, KMIP_WRONG_KEY_LIFECYCLE_STATE, EXIT_CODE_KEY},
	[KMS_CODE_CONTEXT] = {"context", "the encryption context is not the one of the wrapped key",
		422, KMIP_CRYPTOGRAPHIC_FAILURE, EXIT_CODE_DATA},
	[KMS_CODE_INTEGRITY] = {"integrity", "authentication failed: the data was changed",
		422, KMIP_CRYPTOGRAPHIC_FAILURE, EXIT_CODE_DATA},
	[KMS_CODE_TRUNCATED] = {"truncated", "the data ends too early",
		422, KMIP_INVALID_MESSAGE, EXIT_CODE_DATA},
	[KMS_CODE_PINS] = {"pins", "what was offered is not what was pinned",
		403, KMIP_PERMISSION_DENIED, EXIT_CODE_PINS},
	[KMS_CODE_BUDGET] = {"budget", "the wrap budget of this key version is used up: rotate the key",
		409, KMIP_USAGE_LIMIT_EXCEEDED, EXIT_CODE_KEY},
	[KMS_CODE_RATE] = {"rate", "too many requests",
		429, KMIP_SERVER_LIMIT_EXCEEDED, EXIT_CODE_AGAIN},
	[KMS_CODE_ERASED] = {"erased", "the key was crypto-erased",
		410, KMIP_OBJECT_DESTROYED, EXIT_CODE_KEY},
	[KMS_CODE_LEASE] = {"lease", "the data key's lease is over: unwrap it again",
		409, KMIP_WRONG_KEY_LIFECYCLE_STATE, EXIT_CODE_KEY},

	[KMS_CODE_CONFIG] = {"config", "the configuration is not valid",
		500, KMIP_GENERAL_FAILURE, EXIT_CODE_CONFIG},
	[KMS_CODE_TOKEN_DOWN] = {"token-down", "the token does not answer: try again later",
		503, KMIP_GENERAL_FAILURE, EXIT_CODE_AGAIN},
	[KMS_CODE_TOKEN_REFUSED] = {"token-refused", "the token's owner does not allow this",
		403, KMIP_PERMISSION_DENIED, EXIT_CODE_DENIED},
	[KMS_CODE_LEDGER] = {"ledger", "the record cannot be made durable, so nothing is released",
		503, KMIP_GENERAL_FAILURE, EXIT_CODE_IO},
	[KMS_CODE_STORE] = {"store", "the store failed",
		503, KMIP_GENERAL_FAILURE, EXIT_CODE_IO},
	[KMS_CODE_IO] = {"io", "reading or writing failed",
		500, KMIP_GENERAL_FAILURE, EXIT_CODE_IO},
	[KMS_CODE_NETWORK] = {"network", "the connection failed: try again later",
		502, KMIP_GENERAL_FAILURE, EXIT_CODE_AGAIN},
	[KMS_CODE_TIMEOUT] = {"timeout", "no answer within the time limit: try again later",
		503, KMIP_GENERAL_FAILURE, EXIT_CODE_AGAIN},
	[KMS_CODE_ROLLBACK] = {"rollback", "the store is older than the signed ledger",
		503, KMIP_GENERAL_FAILURE, EXIT_CODE_IO},
	[KMS_CODE_VERSION] = {"version", "this version of a protocol or format is not known here",
		400, KMIP_FEATURE_NOT_SUPPORTED, EXIT_CODE_CONFIG},
	[KMS_CODE_SESSION] = {"session", "the sealed session is gone: open a new one",
		409, KMIP_GENERAL_FAILURE, EXIT_CODE_AGAIN},

	[KMS_CODE_NO_MEMORY] = {"no-memory", "out of memory, or of lockable memory",
		503, KMIP_GENERAL_FAILURE, EXIT_CODE_INTERNAL},
	[KMS_CODE_INTERNAL] = {"internal", "internal error",
		500, KMIP_GENERAL_FAILURE, EXIT_CODE_INTERNAL},
	[KMS_CODE_UNSUPPORTED] = {"unsupported", "this is not supported",
		501, KMIP_FEATURE_NOT_SUPPORTED, EXIT_CODE_ARGUMENT},
};
/* clang-format on */

enum { TABLE_SIZE = sizeof(TABLE) / sizeof(TABLE[0]) };

/* The row of a code; a number from outside the list gets the row of INTERNAL. */
static const struct row *row_of(kms_err err)
{
	if ((unsigned)err.code < TABLE_SIZE && TABLE[err.code].name != NULL) {
		return &TABLE[err.code];
	}
	return &TABLE[KMS_CODE_INTERNAL];
}

const char *kms_err_text(kms_err err)
{
	return row_of(err)->text;
}

const char *kms_err_name(kms_err err)
{
	return row_of(err)->name;
}

int kms_err_http_status(kms_err err)
{
	return row_of(err)->http_status;
}

int kms_err_exit_code(kms_err err)
{
	return (int)row_of(err)->exit_code;
}

unsigned kms_err_kmip_reason(kms_err err)
{
	return (unsigned)row_of(err)->kmip;
}

kms_err kms_err_from_name(const char *name)
{
	for (unsigned code = 0; code < TABLE_SIZE; code++) {
		if (TABLE[code].name != NULL && strcmp(TABLE[code].name, name) == 0) {
			return (kms_err){(enum kms_code)code};
		}
	}
	return KMS_ERR(INTERNAL);
}

kms_err kms_err_from_code(unsigned code)
{
	if (code < TABLE_SIZE && TABLE[code].name != NULL) {
		return (kms_err){(enum kms_code)code};
	}
	return KMS_ERR(INTERNAL);
}

void kms_abort(const char *file, int line, const char *what)
{
	kms_log(KMS_LOG_ERROR, "broken invariant at %s:%d: %s", file, line, what);
	abort();
}
