/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of libkms and of every program of the project: one closed list. Each code has an HTTP
 * status, a KMIP result reason, a CLI exit code and a text that is safe to show to a client; the
 * table stands in libkms/base/err.c.
 */
#ifndef KMS_ERR_H
#define KMS_ERR_H

#if defined(__GNUC__)
#define KMS_API __attribute__((visibility("default")))
#else
#define KMS_API
#endif
/* On a type, clang alone knows it: a dropped error is found in the clang build. */
#if defined(__clang__)
#define KMS_MUST_CHECK __attribute__((warn_unused_result))
#else
#define KMS_MUST_CHECK
#endif

/* Grouped by who must act. The numbers are stable: they stand in messages between programs. */
enum kms_code {
	KMS_CODE_OK = 0,

	/* the caller */
	KMS_CODE_ARGUMENT = 1,        /* an argument is not valid */
	KMS_CODE_FORMAT = 2,          /* bytes that do not parse */
	KMS_CODE_TOO_LARGE = 3,       /* over a named limit (model/limits.h) */
	KMS_CODE_UNAUTHENTICATED = 4, /* no certificate that is registered */
	KMS_CODE_DENIED = 5,          /* role, tenant or policy says no */
	KMS_CODE_NOT_FOUND = 6,
	KMS_CODE_EXISTS = 7,
	KMS_CODE_KEY_STATE = 8,  /* the key's state does not allow the operation */
	KMS_CODE_CONTEXT = 9,    /* the encryption context is not the one of the wrapped key */
	KMS_CODE_INTEGRITY = 10, /* authentication failed: the data was changed */
	KMS_CODE_TRUNCATED = 11, /* the data ends too early */
	KMS_CODE_PINS = 12,      /* what was offered is weaker than, or other than, what was pinned */
	KMS_CODE_BUDGET = 13,    /* the KEK version's wrap budget is used up: rotate */
	KMS_CODE_RATE = 14,      /* too many requests of this principal */
	KMS_CODE_ERASED = 15,    /* the key was crypto-erased */
	KMS_CODE_LEASE = 16,     /* the data key's lease is over: unwrap it again */

	/* the operator, or the token's owner */
	KMS_CODE_CONFIG = 32,
	KMS_CODE_TOKEN_DOWN = 33,    /* kms-tokend or its token does not answer: try again later */
	KMS_CODE_TOKEN_REFUSED = 34, /* kms-tokend refuses by its owner's file */
	KMS_CODE_LEDGER = 35,        /* the record cannot be made durable, so nothing is released */
	KMS_CODE_STORE = 36,
	KMS_CODE_IO = 37,
	KMS_CODE_NETWORK = 38,
	KMS_CODE_TIMEOUT = 39,
	KMS_CODE_ROLLBACK = 40, /* the store is older than the head that the system token signed */
	KMS_CODE_VERSION = 41,  /* a protocol or format version that is not spoken here */
	KMS_CODE_SESSION = 42,  /* the sealed session is gone: open a new one */

	/* us */
	KMS_CODE_NO_MEMORY = 64,
	KMS_CODE_INTERNAL = 65,
	KMS_CODE_UNSUPPORTED = 66,
};

/*
 * What every fallible function returns. A struct of one field, so that a caller can neither drop
 * it nor mistake it for a number: `if (f())` and `return sqlite3_step(...)` do not compile.
 */
typedef struct KMS_MUST_CHECK kms_err {
	enum kms_code code;
} kms_err;

/* One line for a person, without secrets and without a full stop. Never NULL; static. */
KMS_API const char *kms_err_text(kms_err err);

/* The stable name of the code, such as "key-state": `type` in problem+json. Never NULL; static. */
KMS_API const char *kms_err_name(kms_err err);

#endif
