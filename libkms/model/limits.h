/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every maximum of the project, by name. A list, string, body, queue or count that has none here
 * is a defect. Each has a test at the maximum and one past it.
 */
#ifndef KMS_LIMITS_H
#define KMS_LIMITS_H

enum {
	/* encryption context */
	LIMIT_CONTEXT_PAIRS = 16,
	LIMIT_CONTEXT_NAME = 64,   /* bytes */
	LIMIT_CONTEXT_VALUE = 256, /* bytes */
	/* canonical form: a count, then length-prefixed names and values, and among them "tenant"
	 * with a UUID, which does not count against the caller's pairs */
	LIMIT_CONTEXT_BYTES =
		2 + LIMIT_CONTEXT_PAIRS * (2 + LIMIT_CONTEXT_NAME + 2 + LIMIT_CONTEXT_VALUE) +
		(2 + 6 + 2 + 36),

	/* keys and wrapped keys */
	LIMIT_CUSTODY_TOKENS = 4,   /* tokens that guard one key */
	LIMIT_KEY_VERSIONS = 1000,  /* versions of one key */
	LIMIT_WRAPPED_BYTES = 1024, /* a wrapped key with every slot */
	LIMIT_DATA_KEY_BYTES = 32,  /* AES-256 */
	LIMIT_BATCH_ITEMS = 256,    /* data keys or unwraps in one call */

	/* names */
	LIMIT_LABEL = 128, /* bytes of a name that people give to a tenant, key, dataset, person */
	LIMIT_PLACE = 64,  /* organisation, site, serial, medium */

	/* what one kmsd holds */
	LIMIT_TENANTS = 1000,
	LIMIT_PRINCIPALS = 1000,  /* of one tenant */
	LIMIT_TOKENS = 16,        /* of one tenant */
	LIMIT_KEYS = 100000,      /* of one tenant: KEKs are token objects */
	LIMIT_DATASETS = 1000000, /* of one tenant */
	LIMIT_LIST_PAGE = 500,    /* rows of one answer */
	LIMIT_CERT_PEM = 16 * 1024,
	LIMIT_SPKI_BYTES = 256, /* DER SubjectPublicKeyInfo of P-256 */

	/* erasures */
	LIMIT_APPROVALS = 16,          /* approvers of one token, and signatures of one erasure */
	LIMIT_ERASE_KEKS = 400,        /* in one erasure: its bytes have to fit an entry */
	LIMIT_ERASE_BYTES = 40 * 1024, /* kmsd-erase/1 */
	LIMIT_ERASE_VERSIONS = 100,    /* that a plan may name one by one */
	LIMIT_ERASE_WINDOW_S = 90 * 24 * 3600, /* of waiting before it, and of its validity */
	LIMIT_PLAN_BYTES = 2 * 1024 * 1024,
	LIMIT_PLAN_DATASETS = 1000, /* named one by one in a plan; of more, count and hash */
	LIMIT_ERASURES = 10000,     /* of one tenant */
	LIMIT_ERASE_SHOWN = 500,    /* entries of one; past them receipts are counted, not shown */
	LIMIT_ERASE_RECEIPTS = 512 * 1024, /* bytes of receipts' entries and proofs in its bundle */
	LIMIT_BUNDLE_FILES = 4096,
	LIMIT_MANIFEST_BYTES = 500 * 1024,    /* of its note: it fits one message to a kms-tokend */
	LIMIT_BUNDLE_BYTES = 5 * 1024 * 1024, /* all files: they fit one answer in base64 */

	/* leases of data keys */
	LIMIT_LEASE_S = 7 * 24 * 3600,  /* the longest that a policy may give */
	LIMIT_LEASE_LATE_S = 24 * 3600, /* after its end, until which a receipt still counts */
	LIMIT_RECEIPT_ROWS = 256,       /* keys and versions in one receipt */
	LIMIT_RECEIPT_BYTES = 8 * 1024, /* kmsd-receipt/1 */
	LIMIT_RECALLED_KEYS = 64,       /* in one answer; the others come with the next */

	/* ledger */
	LIMIT_ENTRY_BYTES = 65535, /* C2SP tlog-tiles: a 16-bit length */
	LIMIT_ENTRIES_PAGE = 256,
	LIMIT_ENTRIES_PAGE_BYTES = 1024 * 1024,
	LIMIT_COMMIT_USES = 4096,      /* use records in one commit and one use.batch */
	LIMIT_USE_RECORD_BYTES = 1024, /* JSON of one use record */
	LIMIT_DENIALS_KEPT = 100,      /* per principal and hour; more are counted */
	LIMIT_DENIAL_COUNTERS =
		1024,            /* principals counted at a time; then all counts are written */
	LIMIT_STORE_READERS = 8, /* connections that read one store at a time */

	/* messages */
	LIMIT_HTTP_BODY = 768 * 1024,
	LIMIT_HTTP_ANSWER = 8 * 1024 * 1024, /* the use records of one commit, in base64 */
	LIMIT_TOKMSG_BYTES = 512 * 1024,     /* one message between kmsd and kms-tokend */
	LIMIT_STATEMENT_BYTES = 4096,
	LIMIT_REASON = 200, /* bytes of a refusal's text */

	/* sealed sessions */
	LIMIT_TOKEN_SESSIONS = 1024, /* open at one kms-tokend */
	LIMIT_PRINCIPAL_SESSIONS =
		256, /* of one principal at one kmsd; then the longest unused ends */

	/* kms-tokend */
	LIMIT_UNACKED_USES = 65536, /* then it stops serving until kmsd has recorded some */
	LIMIT_WRAP_BLOCK = 4096,    /* wraps reserved durably at a time */

	/* kmsd's patience with a kms-tokend */
	LIMIT_TOKEN_WAIT_MS = 10 * 1000,
	LIMIT_TOKEN_QUEUE = 4096, /* calls that may wait for one token */

	/* one listener */
	LIMIT_CONNECTIONS = 512,
	LIMIT_ADDRESS_CONNECTIONS = 256, /* from one address */
	LIMIT_PEER_CONNECTIONS = 192,    /* of one principal */
	LIMIT_PEER_REQUESTS = 128,       /* of one principal, at work at a time */
	LIMIT_PEER_SECRET = 512 * 1024,  /* secret memory that its requests' bodies take */
	LIMIT_HTTP_MEMORY = 16 * 1024,   /* of one connection: its headers stand there */
	LIMIT_HTTP_QUERY = 4,            /* arguments of one URL */
	LIMIT_HTTP_HEAD_MS = 10 * 1000,  /* from the connection to the end of its first headers */
	LIMIT_HTTP_IDLE_MS = 60 * 1000,  /* from one answer to the end of the next headers */
	LIMIT_HTTP_BODY_MS = 20 * 1000,
	LIMIT_HTTP_SEND_MS = 30 * 1000,
};

/* Wraps that one KEK version is good for: SP 800-38D section 8.3 with random 96-bit nonces. */
#define LIMIT_WRAPS ((uint64_t)1 << 31)

#endif
