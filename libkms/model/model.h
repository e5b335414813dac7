/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model: the words of docs/architecture.md as types, the tables (key state x operation, state
 * transitions, role x operation), and plain request, answer and change data. No I/O.
 */
#ifndef KMS_MODEL_H
#define KMS_MODEL_H

#include "base.h"
#include "limits.h"

/* ---- words ---- */

enum model_role {
	MODEL_ROLE_STORAGE = 1,
	MODEL_ROLE_CUSTODIAN,
	MODEL_ROLE_APPROVER,
	MODEL_ROLE_AUDITOR,
	MODEL_ROLE_OPERATOR, /* the platform's; of no tenant */
};
enum model_custody { MODEL_CUSTODY_ANY = 1, MODEL_CUSTODY_ALL = 2 };
enum model_delivery { MODEL_DELIVERY_SEALED = 1, MODEL_DELIVERY_CLEAR = 2 };
enum model_class { MODEL_CLASS_SOFTWARE = 1, MODEL_CLASS_HSM = 2 };

/* Key states of SP 800-57 part 1, section 7. */
enum model_state {
	MODEL_STATE_PRE_ACTIVATION = 1,
	MODEL_STATE_ACTIVE,
	MODEL_STATE_SUSPENDED, /* neither wraps nor unwraps */
	MODEL_STATE_DEACTIVATED,
	MODEL_STATE_COMPROMISED,
	MODEL_STATE_DESTROYED,
	MODEL_STATE_DESTROYED_COMPROMISED,
};
enum model_event {
	MODEL_EVENT_ACTIVATE = 1,
	MODEL_EVENT_SUSPEND,
	MODEL_EVENT_RESUME,
	MODEL_EVENT_DEACTIVATE,
	MODEL_EVENT_COMPROMISE,
	MODEL_EVENT_DESTROY,
};
/* One KEK: a key version in one token. */
enum model_kek_state {
	MODEL_KEK_PENDING = 1, /* intent recorded; it may or may not be born */
	MODEL_KEK_LIVE,
	MODEL_KEK_ABANDONED,
	MODEL_KEK_DESTROYED,
};

enum model_op {
	MODEL_OP_STATUS = 1,
	MODEL_OP_TENANT_LIST,
	MODEL_OP_TENANT_SHOW,
	MODEL_OP_PRINCIPAL_LIST,
	MODEL_OP_PRINCIPAL_SHOW,
	MODEL_OP_TOKEN_LIST,
	MODEL_OP_TOKEN_SHOW,
	MODEL_OP_KEY_CREATE,
	MODEL_OP_KEY_LIST,
	MODEL_OP_KEY_SHOW,
	MODEL_OP_KEY_ROTATE,
	MODEL_OP_KEY_SUSPEND,
	MODEL_OP_KEY_RESUME,
	MODEL_OP_KEY_DEACTIVATE,
	MODEL_OP_KEY_HISTORY,
	MODEL_OP_DATASET_ADD,
	MODEL_OP_DATASET_LIST,
	MODEL_OP_DATASET_SHOW,
	MODEL_OP_SESSION_OPEN, /* a sealed session to a token: its first flight */
	MODEL_OP_DATAKEY,      /* make a data key (or share) in the token */
	MODEL_OP_WRAP,         /* wrap the caller's data key */
	MODEL_OP_UNWRAP,
	MODEL_OP_REWRAP, /* to the newest version of the same key, inside the token */
	MODEL_OP_LEDGER_HEAD,
	MODEL_OP_LEDGER_ENTRIES,
	MODEL_OP_LEDGER_USES,
	MODEL_OP_COUNT_, /* one past the last */
};

/* Texts as they stand in JSON, YAML and the ledger: "storage", "any", "sealed", "pre-activation",
 * "key.create". The parsers accept exactly those (ARGUMENT else). Static. */
const char *model_role_text(enum model_role role);
kms_err model_role_parse(const char *text, enum model_role *ret_role);
const char *model_custody_text(enum model_custody custody);
kms_err model_custody_parse(const char *text, enum model_custody *ret_custody);
const char *model_delivery_text(enum model_delivery delivery);
kms_err model_delivery_parse(const char *text, enum model_delivery *ret_delivery);
const char *model_class_text(enum model_class class);
kms_err model_class_parse(const char *text, enum model_class *ret_class);
const char *model_state_text(enum model_state state);
kms_err model_state_parse(const char *text, enum model_state *ret_state);
const char *model_event_text(enum model_event event);
kms_err model_event_parse(const char *text, enum model_event *ret_event);
const char *model_kek_state_text(enum model_kek_state state);
const char *model_op_text(enum model_op op);
kms_err model_op_parse(const char *text, enum model_op *ret_op);

/* ---- the tables (tables.c) ---- */

/* May a principal with this role ask for this at all? Tenants are policy's business. */
bool model_role_may(enum model_role role, enum model_op op);
/* May the operation touch a key in this state? True for operations that touch no key. */
bool model_state_allows(enum model_state state, enum model_op op);
/* KEY_STATE when there is no such transition. */
kms_err model_state_next(
	enum model_state state, enum model_event event, enum model_state *ret_state);
/* Which listener answers it: the data path, management, or both. */
enum model_face { MODEL_FACE_DATA = 1, MODEL_FACE_ADMIN = 2, MODEL_FACE_BOTH = 3 };
enum model_face model_op_face(enum model_op op);
/* Does it use a KEK, and so leave a use record? */
bool model_op_is_use(enum model_op op);

/* ---- text that people gave, and the encryption context ---- */

/* UTF-8 (RFC 3629) without control characters, of at most max bytes: ARGUMENT, TOO_LARGE. */
kms_err model_text_check(const char *text, size_t max);

struct model_context {
	size_t count;
	struct {
		char name[LIMIT_CONTEXT_NAME + 1];
		char value[LIMIT_CONTEXT_VALUE + 1];
	} pairs[LIMIT_CONTEXT_PAIRS];
};
/* Adds a pair: ARGUMENT for an empty or bad name (a-z, 0-9, '.', '_', '-'), bad UTF-8 or a control
 * character in the value; EXISTS for a name that is there; TOO_LARGE past a limit. */
kms_err model_context_add(struct model_context *context, const char *name, const char *value);
/* The name that kmsd and libkms set themselves, from the principal: "tenant". */
#define MODEL_CONTEXT_TENANT "tenant"

/* ---- things ---- */

/* A name that people gave. It stands in the store, and in the ledger only as a salted commitment:
 * SHA-256(salt || text), so that it can be forgotten. */
struct model_label {
	char text[LIMIT_LABEL + 1];
	uint8_t salt[16];
};

struct model_tenant {
	struct kms_id id;
	struct model_label label;
	char *ca_pem; /* the tenant's own CA: principals' certificates come from it; owned */
};

struct model_principal {
	struct kms_id id;
	struct kms_id tenant; /* zero: of the platform */
	enum model_role role;
	struct kms_hash spki; /* SHA-256 of the certificate's DER SPKI */
	int64_t expires_unix_s;
	struct model_label label;
};

/* What `kms-tokend --init` printed and its owner handed over: the pins, and where it stands. */
struct model_token {
	struct kms_id id;
	struct kms_id tenant; /* zero: the system token */
	enum model_class class;
	char manufacturer[33]; /* PKCS#11 CK_TOKEN_INFO, blanks trimmed */
	char model[17];
	char serial[17];
	char firmware[17];
	char certificate_no[LIMIT_PLACE + 1]; /* FIPS 140 or JCMVP; "" for none */
	char organisation[LIMIT_PLACE + 1];
	char site[LIMIT_PLACE + 1];
	char country[3]; /* ISO 3166-1 alpha-2 */
	struct kms_hash session_spki;
	char statement_vkey[512]; /* tlog vkey text */
};

struct model_key {
	struct kms_id id;
	struct kms_id tenant;
	struct kms_id custodian; /* the principal who made it */
	struct model_label label;
	enum model_custody custody;
	enum model_delivery delivery;
	enum model_state state;
	uint32_t version; /* the current one; 0: none yet */
	int64_t created_unix_ms;
	uint32_t token_count;
	struct kms_id tokens[LIMIT_CUSTODY_TOKENS]; /* in order */
};

struct model_kek {
	struct kms_id id; /* CKA_ID */
	struct kms_id key;
	uint32_t version;
	struct kms_id token;
	enum model_kek_state state;
	struct kms_hash commitment;
	int64_t created_unix_ms;
};

struct model_dataset {
	struct kms_id id;
	struct kms_id tenant;
	struct kms_id key;
	struct kms_id custodian;
	struct model_label label;
	char medium[LIMIT_PLACE + 1]; /* volume, bucket, table, archive, backup, ... */
	char serial[LIMIT_PLACE + 1];
	char site[LIMIT_PLACE + 1];
	char country[3];
	int64_t first_write_unix_s; /* 0: not written yet */
};

void model_tenant_free(struct model_tenant *tenant); /* what it owns, not itself */

/* ---- changes: the only way state changes, one ledger entry each ---- */

enum model_change_type {
	MODEL_CHANGE_LOG_OPEN = 1, /* entry 0: system token and platform principals */
	MODEL_CHANGE_TENANT_ADD,   /* a tenant with its principals and tokens */
	MODEL_CHANGE_KEY_INTENT,   /* a key, or its next version, is about to be made */
	MODEL_CHANGE_KEY_RESULT,   /* it was made in every token, or given up */
	MODEL_CHANGE_KEY_STATE,
	MODEL_CHANGE_DATASET_ADD,
	MODEL_CHANGE_TOKEN_BOOT,    /* a kms-tokend was met with a new boot number */
	MODEL_CHANGE_USE_STATEMENT, /* a kms-tokend's signed word on its uses */
	MODEL_CHANGE_USE_BATCH,     /* made by the ledger itself: use records of one commit */
	MODEL_CHANGE_ALARM,
};

/* A tenant and all that comes with it: the content of a tenant file. */
struct model_tenant_set {
	struct model_tenant tenant;
	size_t principal_count;
	struct model_principal *principals; /* owned */
	size_t token_count;
	struct model_token *tokens; /* owned */
};
void model_tenant_set_free(struct model_tenant_set *set); /* what it owns */

/* A KEK as one token bore it; the statement is its kms-tokend's signed birth statement. */
struct model_birth {
	struct kms_id token;
	struct kms_id kek;
	struct kms_hash commitment;
	struct kms_buf statement;
};

struct model_change {
	enum model_change_type type;
	struct kms_id actor;  /* principal; zero: kmsd itself */
	struct kms_id tenant; /* whose entry it is; zero: the platform's */
	union {
		struct {
			char origin[256];
			struct model_token system_token;
			char ledger_vkey[512];
			size_t principal_count; /* the platform's */
			struct model_principal *principals;
			struct model_tenant_set first; /* the first tenant */
		} log_open;
		struct model_tenant_set tenant_add;
		struct {
			struct model_key
				key; /* as it will be; state and version as before for a rotation */
			uint32_t version; /* the version to be made; 1: a new key */
			struct kms_id
				keks[LIMIT_CUSTODY_TOKENS]; /* one per key.tokens, chosen by kmsd */
		} key_intent;
		struct {
			struct kms_id key;
			uint32_t version;
			bool made;          /* false: given up, every token abandoned it */
			size_t birth_count; /* made: one per token of the key */
			struct model_birth births[LIMIT_CUSTODY_TOKENS];
		} key_result;
		struct {
			struct kms_id key;
			enum model_event event;
			enum model_state state; /* after it */
		} key_state;
		struct model_dataset dataset_add;
		struct {
			struct kms_id token;
			uint64_t boot;
		} token_boot;
		struct {
			struct kms_id token;
			struct kms_buf statement;
		} use_statement;
		struct {
			struct kms_id token; /* zero: denials only */
			uint64_t boot;
			uint64_t first;          /* number of the first use; 0 for denials */
			uint32_t count;          /* uses, or denials */
			struct kms_hash running; /* kms-tokend's running hash after the last use */
			struct kms_hash root;    /* of the records' Merkle tree */
		} use_batch;
		struct {
			char text[LIMIT_REASON + 1];
			struct kms_id token, key; /* zero where there is none */
		} alarm;
	} u;
};
void model_change_free(struct model_change *change); /* what it owns, not itself */

/* ---- one use of a KEK, as kms-tokend numbered it, or one denial ---- */

struct model_use {
	uint64_t n;      /* kms-tokend's number in its boot; 0 in a denial */
	int64_t unix_ms; /* kmsd's clock */
	enum model_op op;
	struct kms_id principal; /* zero: an SPKI that no principal has */
	struct kms_hash spki;    /* the client's; kmsd's own session certificate in `clear` */
	struct kms_id key;
	struct kms_id kek; /* zero in a denial */
	uint32_t version;
	struct kms_id wrapped_key;
	struct kms_hash context;
	enum kms_code denied; /* OK for a use */
	uint32_t repeats;     /* a denial that stands for that many more; 0 else */
};

/* ---- requests and answers of the one door ---- */

struct model_item {
	struct kms_id wrapped_key;     /* the wrapped-key id that the client chose or holds */
	struct model_context *context; /* as the client gave it, without tenant; owned */
	struct kms_buf wrapped;        /* clear unwrap and rewrap: the wrapped key */
	struct kms_secret *data_key;   /* clear wrap: the data key; owned */
};

struct model_request {
	enum model_op op;
	union {
		struct kms_id id; /* show, history, state changes: what it is about */
		struct {
			struct kms_id after; /* list: page after this id; zero: from the start */
			uint32_t limit;
		} list;
		struct {
			char label[LIMIT_LABEL + 1];
			enum model_custody custody;
			enum model_delivery delivery;
			uint32_t token_count;
			struct kms_id tokens[LIMIT_CUSTODY_TOKENS];
		} key_create;
		struct model_dataset dataset_add; /* id, tenant, custodian set by service */
		struct {
			struct kms_id token;
			struct kms_buf flight;
		} session_open;
		struct {
			struct kms_id key;
			bool sealed;
			struct kms_id token;   /* sealed */
			struct kms_id session; /* sealed */
			struct kms_buf record; /* sealed: TLS bytes */
			size_t item_count;
			struct model_item *items; /* owned */
		} use;
		struct {
			uint64_t from;
			uint32_t limit;
		} entries;
		uint64_t use_batch; /* seq of the use.batch entry */
	} u;
};
void model_request_free(struct model_request **request);

/* A ledger entry as a reader of one tenant sees it: of others' entries only the leaf hash. */
struct model_entry {
	uint64_t seq;
	struct kms_hash leaf;
	struct kms_buf bytes; /* empty: not this reader's */
};

struct model_token_status {
	struct model_token token;
	bool up;
	uint64_t boot;
	int64_t since_unix_ms; /* of the link's last change */
};

struct model_answer_item {
	enum kms_code code;          /* OK, or why this item was refused */
	struct kms_buf wrapped;      /* clear: a wrapped key */
	struct kms_secret *data_key; /* clear: a data key; owned */
};

struct model_answer {
	enum model_op op;
	union {
		struct {
			char version[32];
			uint64_t size;        /* ledger entries */
			uint64_t signed_size; /* of them covered by a signed checkpoint */
			size_t token_count;
			struct model_token_status *tokens; /* owned */
		} status;
		struct {
			size_t count;
			struct model_tenant *rows; /* owned */
		} tenants;
		struct {
			size_t count;
			struct model_principal *rows;
		} principals;
		struct {
			size_t count;
			struct model_token_status *rows;
		} tokens;
		struct {
			size_t count;
			struct model_key *rows;
			size_t kek_count; /* show: every KEK of the key */
			struct model_kek *keks;
		} keys;
		struct {
			size_t count;
			struct model_dataset *rows;
		} datasets;
		struct {
			struct kms_id session;
			struct kms_buf flight;
		} session_open;
		struct {
			struct kms_buf record; /* sealed */
			size_t item_count;
			struct model_answer_item *items; /* clear */
		} use;
		struct {
			size_t count;
			struct model_entry *rows;
			uint64_t size;
		} entries;
		struct {
			struct kms_buf checkpoint; /* the newest signed note; empty: none yet */
			uint64_t size;             /* of the ledger now */
		} head;
		struct {
			size_t count;
			struct kms_buf *records; /* stored bytes, JSON, one each */
		} uses;
	} u;
};
/* Lists and shows share one answer: a show has one row. KEY_CREATE, KEY_ROTATE and the state
 * changes answer like KEY_SHOW, DATASET_ADD like DATASET_SHOW, KEY_HISTORY like LEDGER_ENTRIES. */
void model_answer_free(struct model_answer **answer);

#endif
