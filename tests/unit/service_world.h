/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of kmsd/service: two tenants, their principals and tokens in a store of its own,
 * the service on top, and requests through the door as these principals make them.
 */
#ifndef SERVICE_WORLD_H
#define SERVICE_WORLD_H

#include "service_double.h"

static char dir[64];
static char path[96];
static struct ledger *ledger;
static struct policy *policy;
static struct service *service;
/* Where a test brings a CA and a custodian's certificate of its own. */
static const char *tenant_ca;
static bool has_custodian_spki;
static struct kms_hash custodian_spki;
static bool has_storage_spki;
static struct kms_hash storage_spki;
static char detail[LIMIT_REASON + 1]; /* of the last call */

/* With no link made yet, recovery looks at nothing: those tests that want it make the links. */
static inline void make_token(struct token *token, unsigned n, const char *name)
{
	char pem[128];
	KMS_AUTO_BUF spki = {0};
	*token = (struct token){.id = id(n), .boot = 1, .item_at = UINT32_MAX};
	ck_assert_int_eq(pthread_mutex_init(&token->lock, NULL), 0);
	(void)snprintf(pem, sizeof(pem), "%s/%u.pem", dir, n);
	OK(crypto_signer_generate(pem, &token->signer));
	OK(crypto_signer_spki(token->signer, &spki));
	OK(tlog_vkey_make(name, kms_buf_bytes(&spki), &token->vkey));
	ck_assert_int_eq(unlink(pem), 0);
}

static inline void put_vkey(const struct token *token, char *text, size_t cap)
{
	KMS_AUTO_FREE char *vkey = NULL;
	OK(tlog_vkey_text(&token->vkey, &vkey));
	(void)snprintf(text, cap, "%s", vkey);
}

static inline void fill_token(struct model_token *row, const struct token *token)
{
	row->id = token->id;
	row->class = MODEL_CLASS_SOFTWARE;
	(void)snprintf(row->country, sizeof(row->country), "JP");
	row->session_spki = hash(token->id.b[15]);
	put_vkey(token, row->statement_vkey, sizeof(row->statement_vkey));
}

static inline struct model_principal principal(unsigned n)
{
	enum model_role role = n == CUSTODIAN || n == OTHER_CUSTODIAN ? MODEL_ROLE_CUSTODIAN
			       : n == APPROVER || n == APPROVER_TOO   ? MODEL_ROLE_APPROVER
			       : n == OPERATOR                        ? MODEL_ROLE_OPERATOR
								      : MODEL_ROLE_STORAGE;
	struct model_principal made = {.id = id(n),
		.tenant = id(n >= OTHER_STORAGE ? OTHER_TENANT : TENANT),
		.role = role,
		.spki = n == CUSTODIAN && has_custodian_spki ? custodian_spki
			: n == STORAGE && has_storage_spki   ? storage_spki
							     : hash(n),
		.expires_unix_s = n == EXPIRED ? 1000 : 4000000000};
	if (role == MODEL_ROLE_OPERATOR) {
		made.tenant = (struct kms_id){{0}};
	}
	return made;
}

static inline void fill_tenant(struct model_tenant_set *tenant, unsigned n, unsigned first,
	unsigned last, struct token *tokens, size_t count)
{
	tenant->tenant.id = id(n);
	(void)snprintf(
		tenant->tenant.label.text, sizeof(tenant->tenant.label.text), "tenant %u", n);
	if (tenant_ca != NULL && n == TENANT) {
		OK(kms_text(&tenant->tenant.ca_pem, "%s", tenant_ca));
	} else {
		OK(kms_text(&tenant->tenant.ca_pem, "the CA of %u\n", n));
	}
	tenant->principals = calloc(last - first + 1, sizeof(*tenant->principals));
	for (unsigned i = first; i <= last; i++) {
		tenant->principals[tenant->principal_count++] = principal(i);
	}
	tenant->tokens = calloc(count, sizeof(*tenant->tokens));
	for (size_t i = 0; i < count; i++) {
		fill_token(&tenant->tokens[i], &tokens[i]);
		tenant->tokens[i].tenant = id(n);
		tenant->token_count++;
	}
}

static inline void found(void)
{
	static struct model_change change;
	change = (struct model_change){.type = MODEL_CHANGE_LOG_OPEN};
	(void)snprintf(change.u.log_open.origin, sizeof(change.u.log_open.origin), ORIGIN);
	put_vkey(
		token_system, change.u.log_open.ledger_vkey, sizeof(change.u.log_open.ledger_vkey));
	fill_token(&change.u.log_open.system_token, token_system);
	change.u.log_open.principals = calloc(1, sizeof(*change.u.log_open.principals));
	change.u.log_open.principals[0] = principal(OPERATOR);
	change.u.log_open.principal_count = 1;
	fill_tenant(&change.u.log_open.first, TENANT, STORAGE, EXPIRED, token_a, 2);
	change.tenant = id(TENANT);
	OK(ledger_found(store, &change));
	model_change_free(&change);
	change = (struct model_change){.type = MODEL_CHANGE_TENANT_ADD, .tenant = id(OTHER_TENANT)};
	fill_tenant(&change.u.tenant_add, OTHER_TENANT, OTHER_STORAGE, OTHER_CUSTODIAN, token_c, 1);
	OK(ledger_append_offline(store, &change));
	model_change_free(&change);
}

static inline void start_service(void)
{
	struct service_parts parts = {.store = store,
		.policy = policy,
		.tokens = &set,
		.system = token_system,
		.ledger = ledger,
		.version = "0"};
	OK(service_start(&parts, &service));
}

static inline void set_up_with(const char *policy_path)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/kmsd-service-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/kmsd.db", dir);
	make_token(token_a, TOKEN_A, "token-a.example");
	make_token(token_b, TOKEN_B, "token-b.example");
	make_token(token_c, TOKEN_C, "token-c.example");
	make_token(token_system, TOKEN_SYSTEM, ORIGIN);
	OK(store_open(path, STORE_CREATE, &store));
	found();
	OK(policy_read(policy_path, &policy));
	OK(ledger_start(store, &set, token_system, NULL, policy_lease_s(policy), &ledger));
	start_service();
}

/* As shipped: sealed only. */
static inline void set_up(void)
{
	char shipped[1024];
	(void)snprintf(shipped, sizeof(shipped), "%s/policy/default.yaml", getenv("KMS_SOURCE"));
	set_up_with(shipped);
}

static inline void set_up_clear(void)
{
	static const char text[] = "version: 1\ndelivery:\n- sealed\n- clear\ndeny: []\n";
	char name[] = "/tmp/kmsd-service-policy-XXXXXX";
	int fd = mkstemp(name);
	ck_assert_int_ge(fd, 0);
	OK(kms_fd_write_all(fd, kms_bytes_str(text)));
	(void)close(fd);
	set_up_with(name);
	(void)unlink(name);
}

static inline void tear_down(void)
{
	static const char *const tails[] = {"", "-wal", "-shm", ".lock", ".old"};
	service_free(&service);
	ledger_free(&ledger);
	store_free(&store);
	policy_free(&policy);
	for (size_t i = 0; i < TOKENS; i++) {
		token_uses_free(&set.tokens[i].queue);
		crypto_signer_free(&set.tokens[i].signer);
		kms_buf_free(&set.tokens[i].note);
		format_erase_free(&set.tokens[i].erase);
	}
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char name[128];
		(void)snprintf(name, sizeof(name), "%s%s", path, tails[i]);
		(void)unlink(name);
	}
	(void)rmdir(dir);
}

/* ---- requests ---- */

static inline struct model_request *request(enum model_op op)
{
	struct model_request *made = calloc(1, sizeof(*made));
	made->op = op;
	return made;
}

/* Frees the request; ret_answer may be NULL. On the face that has the operation. */
static inline kms_err call(unsigned who, struct model_request *asked, struct model_answer **ret)
{
	struct model_principal person = principal(who);
	KMS_AUTO(model_answer) answer = NULL;
	kms_err err =
		service_call(service, &person, model_op_face(asked->op), asked, &answer, detail);
	ck_assert(kms_is_ok(err) == (answer != NULL));
	model_request_free(&asked);
	if (ret != NULL) {
		*ret = kms_take(&answer);
	}
	return err;
}

static inline kms_err call_about(unsigned who, enum model_op op, const struct kms_id *what)
{
	struct model_request *asked = request(op);
	asked->u.id = *what;
	return call(who, asked, NULL);
}

static inline struct model_request *create_request(
	enum model_delivery delivery, enum model_custody custody, unsigned first, unsigned second)
{
	struct model_request *asked = request(MODEL_OP_KEY_CREATE);
	(void)snprintf(asked->u.key_create.label, sizeof(asked->u.key_create.label), "a key");
	asked->u.key_create.delivery = delivery;
	asked->u.key_create.custody = custody;
	if (first != 0) {
		asked->u.key_create.tokens[asked->u.key_create.token_count++] = id(first);
	}
	if (second != 0) {
		asked->u.key_create.tokens[asked->u.key_create.token_count++] = id(second);
	}
	return asked;
}

/* A key of tenant 1 in token A. */
static inline struct kms_id make_key(enum model_delivery delivery)
{
	KMS_AUTO(model_answer) answer = NULL;
	OK(call(CUSTODIAN, create_request(delivery, MODEL_CUSTODY_ANY, TOKEN_A, 0), &answer));
	ck_assert_uint_eq(answer->u.keys.count, 1);
	return answer->u.keys.rows[0].id;
}

static inline struct kms_id open_session(unsigned who, unsigned token)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request *asked = request(MODEL_OP_SESSION_OPEN);
	asked->u.session_open.token = id(token);
	OK(call(who, asked, &answer));
	return answer->u.session_open.session;
}

static inline struct model_request *use_request(
	enum model_op op, const struct kms_id *key, size_t count)
{
	struct model_request *asked = request(op);
	asked->u.use.key = *key;
	asked->u.use.items = calloc(count, sizeof(*asked->u.use.items));
	asked->u.use.item_count = count;
	for (size_t i = 0; i < count; i++) {
		asked->u.use.items[i].wrapped_key = id(200 + (unsigned)i);
		asked->u.use.items[i].context = calloc(1, sizeof(struct model_context));
		OK(model_context_add(asked->u.use.items[i].context, "dataset", "backups"));
	}
	return asked;
}

static inline struct model_request *sealed_request(enum model_op op, const struct kms_id *key,
	unsigned token, const struct kms_id *session, size_t count)
{
	struct model_request *asked = use_request(op, key, count);
	asked->u.use.sealed = true;
	asked->u.use.token = id(token);
	asked->u.use.session = *session;
	OK(kms_buf_copy(kms_bytes_str("sealed request"), &asked->u.use.record));
	return asked;
}

/* ---- what the store has ---- */

struct seen {
	size_t count;          /* entries of the type that was asked for */
	size_t records;        /* use records and denials in all */
	size_t denials;        /* of them denials */
	size_t uses;           /* and uses */
	struct model_use last; /* the last denial */
};

static inline void look_at_records(struct store *from, uint64_t seq, struct seen *seen)
{
	struct kms_buf *records = NULL;
	size_t count = 0;
	OK(store_uses_get(from, NULL, seq, &records, &count));
	for (size_t i = 0; i < count; i++) {
		struct model_use use;
		OK(record_use_read(kms_buf_bytes(&records[i]), &use));
		seen->records++;
		if (use.denied != KMS_CODE_OK) {
			seen->denials++;
			seen->last = use;
		} else {
			seen->uses++;
		}
		kms_buf_free(&records[i]);
	}
	free(records);
}

/* As another process sees the store now: only what is durable. */
static inline struct seen look(enum model_change_type type, struct model_change *ret_last)
{
	struct seen seen = {0};
	struct store *other = NULL;
	OK(store_open(path, STORE_READ, &other));
	for (uint64_t from = 0;;) {
		struct model_entry *rows = NULL;
		size_t count = 0;
		OK(store_entries_get(other, NULL, from, 256, &rows, &count));
		for (size_t i = 0; i < count; i++) {
			static struct model_change change;
			struct record_head head;
			OK(record_entry_read(kms_buf_bytes(&rows[i].bytes), &head, &change));
			if (change.type == type) {
				seen.count++;
				if (ret_last != NULL) {
					*ret_last = change;
				}
			}
			if (change.type == MODEL_CHANGE_USE_BATCH) {
				look_at_records(other, rows[i].seq, &seen);
			}
			model_change_free(&change);
			kms_buf_free(&rows[i].bytes);
		}
		free(rows);
		from += count;
		if (count == 0) {
			break;
		}
	}
	store_free(&other);
	return seen;
}

static inline struct seen look_at_uses(void)
{
	return look(MODEL_CHANGE_USE_BATCH, NULL);
}

/* Files can no longer be written; and again they can. */
static inline void break_store(bool broken)
{
	struct rlimit limit;
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = broken ? 0 : limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif
