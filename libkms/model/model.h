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

/* What an erasure is about. */
enum model_erase_scope {
	MODEL_ERASE_VERSIONS = 1, /* older versions of one key */
	MODEL_ERASE_KEY,
	MODEL_ERASE_DATASET, /* that has a key of its own: that key */
	MODEL_ERASE_TENANT,  /* every key: the end of the contract */
};
enum model_erase_state {
	MODEL_ERASE_REQUESTED = 1, /* its keys are suspended */
	MODEL_ERASE_CANCELLED,
	MODEL_ERASE_EXECUTING, /* the intent is recorded; it can only be finished */
	MODEL_ERASE_DONE,      /* every KEK destroyed and absent, every wipe made */
	MODEL_ERASE_RENEWED,   /* what was left when its approvals expired is another's by now */
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
	MODEL_OP_LEASE_REPORT, /* what a client gave up of data keys; answers what it is to give up */
	MODEL_OP_LEDGER_HEAD,
	MODEL_OP_LEDGER_ENTRIES,
	MODEL_OP_LEDGER_USES,
	MODEL_OP_ERASE_PLAN, /* what would die and what would stay; the bytes to sign */
	MODEL_OP_ERASE_REQUEST,
	MODEL_OP_ERASE_LIST,
	MODEL_OP_ERASE_SHOW,
	MODEL_OP_ERASE_APPROVE,
	MODEL_OP_ERASE_CANCEL,
	MODEL_OP_ERASE_EXECUTE,     /* also goes on with one that was cut off */
	MODEL_OP_ERASE_CERTIFICATE, /* the bundle; records cert.issue when it is a new one */
	MODEL_OP_COUNT_,            /* one past the last */
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
const char *model_erase_scope_text(enum model_erase_scope scope);
kms_err model_erase_scope_parse(const char *text, enum model_erase_scope *ret_scope);
const char *model_erase_state_text(enum model_erase_state state);
kms_err model_erase_state_parse(const char *text, enum model_erase_state *ret_state);
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
/* Does the client hold a data key, or a share of one, afterwards? Then it holds it on lease. */
bool model_op_hands_out(enum model_op op);

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
	struct kms_id erasure; /* that holds it suspended, or destroyed it; zero: none */
	uint32_t version;      /* the current one; 0: none yet */
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
	struct kms_id erasure; /* that names it; zero: none */
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

/* ---- erasures (docs/architecture.md, Erasure) ---- */

enum { MODEL_SIGNATURE = 64 }; /* r || s, ECDSA P-256 with SHA-256 */

/* What somebody wants erased. */
struct model_erase_target {
	enum model_erase_scope scope;
	struct kms_id subject;  /* key, dataset or tenant */
	uint32_t version_count; /* VERSIONS */
	uint32_t versions[LIMIT_ERASE_VERSIONS];
	bool wipe; /* TENANT: the tokens as well */
};
/* One signature under an erasure's bytes, or its cancellation's. */
struct model_signed {
	struct kms_id principal;
	struct kms_buf spki; /* DER SubjectPublicKeyInfo of the key that signed */
	uint8_t signature[MODEL_SIGNATURE];
	int64_t unix_ms; /* of its entry */
	uint64_t seq;    /* of its entry */
};
struct model_erasure {
	struct kms_id id;
	struct kms_id tenant;
	struct kms_id requester;
	enum model_erase_scope scope;
	struct kms_id subject;
	enum model_erase_state state;
	int64_t not_before_unix_s; /* the end of the waiting window */
	int64_t expires_unix_s;    /* of the approvals */
	int64_t requested_unix_ms;
	int64_t done_unix_ms;       /* of its last result; 0: not yet */
	struct kms_buf bytes;       /* kmsd-erase/1: what all of them sign */
	struct kms_buf certificate; /* the requester's, DER */
	uint8_t signature[MODEL_SIGNATURE];
	size_t approval_count;
	struct model_signed *approvals;              /* owned */
	uint64_t request_seq, intent_seq, final_seq; /* of its entries; intent, final 0: none */
	uint32_t kek_count, destroyed_count;         /* of the KEKs in its bytes */
	uint32_t wipe_count, wiped_count;            /* of the tokens in its bytes */
	uint32_t renewed_count; /* of both: those that another erasure took over */
	/* The newest certificate; zero id: none was issued. */
	struct kms_id cert;
	bool cert_final;
	uint64_t cert_seq;
	struct kms_hash cert_hash;
};
void model_erasure_free(struct model_erasure *erasure); /* what it owns, not itself */

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
	MODEL_CHANGE_ERASE_REQUEST, /* suspends what its bytes name, in the same transaction */
	MODEL_CHANGE_ERASE_APPROVE,
	MODEL_CHANGE_ERASE_CANCEL, /* gives the keys back the state that they had */
	MODEL_CHANGE_ERASE_INTENT, /* durable and signed before any token is asked */
	MODEL_CHANGE_ERASE_RESULT, /* one KEK: its kms-tokend's destroy and absence statements */
	MODEL_CHANGE_ERASE_WIPE,   /* one token: its kms-tokend's wipe statement */
	MODEL_CHANGE_ERASE_FINAL,  /* all of it is done */
	MODEL_CHANGE_CERT_ISSUE,
	MODEL_CHANGE_LEASE_RECEIPT, /* a client's signed word that it gave up data keys */
	MODEL_CHANGE_ERASE_REFUSED, /* a kms-tokend does not go on with some of it, and why */
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
			char ledger_vkey_ed25519[320]; /* "": the log has no such key */
			size_t principal_count;        /* the platform's */
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
		struct {
			struct kms_buf bytes;       /* kmsd-erase/1; says the rest */
			struct kms_buf certificate; /* the requester's, DER */
			uint8_t signature[MODEL_SIGNATURE];
			/* The plan's scope, whose hash is in bytes: kept beside the state, not in
			 * the entry; empty in a replay. */
			struct kms_buf plan;
		} erase_request;
		struct {
			struct kms_id erasure;
			struct model_signed by; /* unix_ms and seq are the entry's */
		} erase_signed;                 /* APPROVE, CANCEL */
		struct {
			struct kms_id erasure;
			struct kms_hash erase; /* INTENT: SHA-256 of its bytes */
		} erase_step;                  /* INTENT, FINAL */
		struct {
			struct kms_id erasure, token;
			struct kms_id key, kek;   /* RESULT */
			uint32_t version;         /* RESULT */
			struct kms_buf statement; /* RESULT: destroy; WIPE: wipe */
			struct kms_buf absence;   /* RESULT */
		} erase_done;                     /* RESULT, WIPE */
		struct {
			struct kms_id erasure, token;
			char text[LIMIT_REASON + 1]; /* kms-tokend's reason */
			uint32_t kek_count;
			struct kms_id *keks; /* that it does not destroy; owned */
			bool wipe;           /* and whether it refuses its wipe */
		} erase_refused;
		struct {
			struct kms_id erasure;
			struct kms_id certificate;
			struct kms_id supersedes; /* zero: none */
			bool final;
			struct kms_hash hash; /* SHA-256 of certificate.json */
			struct kms_buf json;  /* itself: kept as the plan above is */
		} cert_issue;
		struct {
			struct kms_buf bytes;       /* kmsd-receipt/1; says the rest */
			struct kms_buf certificate; /* the client's, DER */
			uint8_t signature[MODEL_SIGNATURE];
		} lease_receipt;
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
	/* Of a use that handed a data key out (model_op_hands_out): who may hold it until when. */
	int64_t lease_end_unix_ms; /* 0 in the others */
	struct kms_id holder;      /* one libkms client; zero: not said */
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
			struct kms_id holder;  /* who leases what it hands out; zero: not said */
			size_t item_count;
			struct model_item *items; /* owned */
		} use;
		struct {
			uint64_t from;
			uint32_t limit;
		} entries;
		uint64_t use_batch; /* seq of the use.batch entry */
		struct {
			struct model_erase_target target;
			uint32_t window_s; /* to wait before it may be executed */
			uint32_t valid_s;  /* then the approvals are good for so long */
		} erase_plan;
		struct {
			struct kms_buf bytes; /* as the plan gave them */
			struct kms_buf certificate;
			uint8_t signature[MODEL_SIGNATURE];
		} erase_request;
		struct {
			struct kms_id id;
			struct kms_buf spki;
			uint8_t signature[MODEL_SIGNATURE];
		} erase_sign; /* APPROVE, CANCEL */
		struct {
			struct kms_id holder;
			/* All empty: it only asks. */
			struct kms_buf receipt; /* kmsd-receipt/1 */
			struct kms_buf certificate;
			uint8_t signature[MODEL_SIGNATURE];
		} lease_report;
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

/* One KEK of an erasure, or one wipe (kek zero), as ERASE_SHOW tells it. */
struct model_erase_row {
	struct kms_id token, kek, key;
	uint32_t version;
	bool done;
	uint64_t seq; /* of the entry with its statements; 0: none yet */
	bool token_up;
	struct kms_id renewed;          /* the erasure that took it over; zero: none */
	int64_t refused_unix_ms;        /* when its kms-tokend refused it last; 0: never */
	char refused[LIMIT_REASON + 1]; /* why */
};

struct model_file {
	char name[128];
	struct kms_buf bytes;
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
			uint32_t lease_s;      /* of what it handed out; 0: nothing */
			size_t item_count;
			struct model_answer_item *items; /* clear */
		} use;
		struct {
			uint32_t recalled_count;
			struct kms_id recalled[LIMIT_RECALLED_KEYS]; /* keys to give up at once */
		} lease_report;
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
		struct {
			struct kms_buf scope;    /* JSON; its SHA-256 is the plan hash in bytes */
			struct kms_buf observed; /* JSON: counts and leases, dated, not hashed */
			struct kms_buf
				bytes; /* kmsd-erase/1; empty: not possible, observed says why */
		} erase_plan;
		struct {
			size_t count;
			struct model_erasure *rows;
			size_t row_count; /* show: every KEK and wipe */
			struct model_erase_row *keks;
			struct kms_buf scope; /* show: the plan as it was approved */
			uint32_t needed;      /* show: approvals that its tokens ask for */
		} erasures;
		struct {
			struct kms_id certificate;
			size_t count;
			struct model_file *files; /* owned */
		} bundle;
	} u;
};
/* Lists and shows share one answer: a show has one row. KEY_CREATE, KEY_ROTATE and the state
 * changes answer like KEY_SHOW, DATASET_ADD like DATASET_SHOW, KEY_HISTORY like LEDGER_ENTRIES;
 * ERASE_REQUEST, _APPROVE, _CANCEL and _EXECUTE like ERASE_SHOW. */
void model_answer_free(struct model_answer **answer);

#endif
