/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: every operation's request and answer, out and in again, against a golden page; every member
 * taken away, made unknown or repeated is refused; and each limit with one past it.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "format.h"
#include "golden.h"
#include "wire.h"

/* ---- fixed values ---- */

static struct kms_id id_of(uint8_t x)
{
	struct kms_id id = {{x, x, x, x, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, x}};
	return id;
}

static struct kms_hash hash_of(uint8_t x)
{
	struct kms_hash hash;
	memset(hash.b, x, sizeof(hash.b));
	return hash;
}

static struct kms_buf buf_of(const char *text)
{
	struct kms_buf buf = {0};
	ck_assert(kms_is_ok(kms_buf_copy(kms_bytes_str(text), &buf)));
	return buf;
}

static struct kms_buf wrapped_of(uint8_t x)
{
	struct format_wrapped wrapped = {
		.head = {MODEL_CUSTODY_ANY, MODEL_DELIVERY_CLEAR, id_of(0x22), id_of(x),
			hash_of(0x44)},
		.slot_count = 1,
		.slots = {{.token = id_of(0x55),
			.kek = id_of(0x66),
			.version = 1,
			.mechanism = FORMAT_MECHANISM_AES_256_GCM}},
	};
	struct kms_buf bytes = {0};
	ck_assert(kms_is_ok(format_wrapped_write(&wrapped, &bytes)));
	return bytes;
}

static struct kms_secret *key_of(uint8_t x)
{
	uint8_t bytes[LIMIT_DATA_KEY_BYTES];
	struct kms_secret *secret = NULL;
	memset(bytes, x, sizeof(bytes));
	ck_assert(kms_is_ok(kms_secret_copy(KMS_BYTES_OF(bytes), &secret)));
	return secret;
}

static struct model_label label_of(const char *text)
{
	struct model_label label = {.salt = {1, 2, 3}};
	memcpy(label.text, text, strlen(text) + 1);
	return label;
}

static void *fresh(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	ck_assert_ptr_nonnull(memory);
	return memory;
}

/* ---- one request and one answer of each operation ---- */

static void fill_items(struct model_request *request, size_t count)
{
	request->u.use.item_count = count;
	request->u.use.items = fresh(count, sizeof(request->u.use.items[0]));
	for (size_t i = 0; i < count; i++) {
		struct model_item *item = &request->u.use.items[i];
		item->wrapped_key = id_of(0x33);
		item->context = fresh(1, sizeof(*item->context));
		ck_assert(kms_is_ok(
			model_context_add(item->context, "volume", "a \"quoted\\\" \xe9\x8d\xb5")));
		ck_assert(kms_is_ok(model_context_add(item->context, "purpose", "")));
		if (request->u.use.sealed) {
			continue;
		}
		if (request->op == MODEL_OP_WRAP) {
			item->data_key = key_of(0x77);
		} else if (request->op != MODEL_OP_DATAKEY) {
			item->wrapped = wrapped_of(0x33);
		}
	}
}

static bool is_erase(enum model_op op)
{
	return op >= MODEL_OP_ERASE_PLAN && op <= MODEL_OP_ERASE_CERTIFICATE;
}

static void fill_erase_request(struct model_request *request)
{
	static const struct model_erase_target target = {.scope = MODEL_ERASE_VERSIONS,
		.version_count = 2,
		.versions = {1, LIMIT_KEY_VERSIONS}};
	if (request->op == MODEL_OP_ERASE_PLAN) {
		request->u.erase_plan.target = target;
		request->u.erase_plan.target.subject = id_of(0x22);
		request->u.erase_plan.window_s = 0;
		request->u.erase_plan.valid_s = 604800;
	} else if (request->op == MODEL_OP_ERASE_REQUEST) {
		request->u.erase_request.bytes = buf_of("kmsd-erase/1");
		request->u.erase_request.certificate = buf_of("DER");
		request->u.erase_request.signature[63] = 1;
	} else if (request->op == MODEL_OP_ERASE_LIST) {
		request->u.list.after = id_of(0x21);
		request->u.list.limit = LIMIT_LIST_PAGE;
	} else if (request->op == MODEL_OP_ERASE_APPROVE || request->op == MODEL_OP_ERASE_CANCEL) {
		request->u.erase_sign.id = id_of(0xaa);
		request->u.erase_sign.spki = buf_of("SPKI");
		request->u.erase_sign.signature[0] = 1;
	} else {
		request->u.id = id_of(0xaa);
	}
}

static struct model_request *request_of(enum model_op op, bool sealed)
{
	struct model_request *request = fresh(1, sizeof(*request));
	request->op = op;
	if (model_op_is_use(op)) {
		request->u.use.key = id_of(0x22);
		request->u.use.sealed = sealed;
		request->u.use.holder = id_of(0x99);
		if (sealed) {
			request->u.use.token = id_of(0x55);
			request->u.use.session = id_of(0x88);
			request->u.use.record = buf_of("TLS record");
		}
		fill_items(request, 2);
		return request;
	}
	const char *method = wire_route_of(op)->method;
	const char *path = wire_route_of(op)->path;
	if (is_erase(op)) {
		fill_erase_request(request);
	} else if (op == MODEL_OP_KEY_CREATE) {
		memcpy(request->u.key_create.label, "archive", 8);
		request->u.key_create.custody = MODEL_CUSTODY_ALL;
		request->u.key_create.delivery = MODEL_DELIVERY_SEALED;
		request->u.key_create.token_count = 2;
		request->u.key_create.tokens[0] = id_of(0x55);
		request->u.key_create.tokens[1] = id_of(0x56);
	} else if (op == MODEL_OP_DATASET_ADD) {
		request->u.dataset_add = (struct model_dataset){.key = id_of(0x22),
			.label = label_of("tax"),
			.medium = "volume",
			.serial = "S1",
			.site = "Tokyo",
			.country = "JP",
			.first_write_unix_s = 1};
		memset(request->u.dataset_add.label.salt, 0, 16); /* kmsd's to choose */
	} else if (op == MODEL_OP_LEASE_REPORT) {
		request->u.lease_report.holder = id_of(0x99);
		request->u.lease_report.receipt = buf_of("kmsd-receipt/1");
		request->u.lease_report.certificate = buf_of("DER");
		request->u.lease_report.signature[63] = 1;
	} else if (op == MODEL_OP_SESSION_OPEN) {
		request->u.session_open.token = id_of(0x55);
		request->u.session_open.flight = buf_of("hello");
	} else if (op == MODEL_OP_LEDGER_ENTRIES) {
		request->u.entries.from = 12;
		request->u.entries.limit = LIMIT_ENTRIES_PAGE;
	} else if (op == MODEL_OP_LEDGER_USES) {
		request->u.use_batch = 42;
	} else if (strstr(path, "{id}") != NULL) {
		request->u.id = id_of(0x22);
	} else if (strcmp(method, "GET") == 0 && op != MODEL_OP_STATUS &&
		   op != MODEL_OP_LEDGER_HEAD) {
		request->u.list.after = id_of(0x21);
		request->u.list.limit = LIMIT_LIST_PAGE;
	}
	return request;
}

static struct model_token_status *token_rows(void)
{
	struct model_token_status *rows = fresh(2, sizeof(*rows));
	for (size_t i = 0; i < 2; i++) {
		rows[i] = (struct model_token_status){
			.token = {.id = id_of(0x55),
				.tenant = i == 0 ? id_of(0x11) : (struct kms_id){{0}},
				.class = i == 0 ? MODEL_CLASS_HSM : MODEL_CLASS_SOFTWARE,
				.manufacturer = "SoftHSM project",
				.model = "SoftHSM v2",
				.serial = "1",
				.firmware = "2.6",
				.organisation = "A",
				.site = "Tokyo",
				.country = "JP",
				.session_spki = hash_of(1),
				.statement_vkey = "token+1+A"},
			.up = i == 0,
			.boot = 3,
			.since_unix_ms = 4,
		};
	}
	return rows;
}

static void fill_keys(struct model_answer *answer)
{
	answer->u.keys.count = answer->u.keys.kek_count = 1;
	answer->u.keys.rows = fresh(1, sizeof(answer->u.keys.rows[0]));
	answer->u.keys.keks = fresh(1, sizeof(answer->u.keys.keks[0]));
	answer->u.keys.rows[0] = (struct model_key){.id = id_of(0x22),
		.tenant = id_of(0x11),
		.custodian = id_of(0x12),
		.label = label_of("archive"),
		.custody = MODEL_CUSTODY_ANY,
		.delivery = MODEL_DELIVERY_CLEAR,
		.state = MODEL_STATE_DESTROYED_COMPROMISED,
		.erasure = id_of(0xaa),
		.version = 1,
		.created_unix_ms = 5,
		.token_count = 1,
		.tokens = {id_of(0x55)}};
	answer->u.keys.keks[0] = (struct model_kek){.id = id_of(0x66),
		.key = id_of(0x22),
		.version = 1,
		.token = id_of(0x55),
		.state = MODEL_KEK_DESTROYED,
		.erasure = id_of(0xaa),
		.commitment = hash_of(2),
		.created_unix_ms = 6};
}

static void fill_entries(struct model_answer *answer)
{
	answer->u.entries.count = 2;
	answer->u.entries.size = 44;
	answer->u.entries.rows = fresh(2, sizeof(answer->u.entries.rows[0]));
	for (size_t i = 0; i < 2; i++) {
		answer->u.entries.rows[i].seq = i;
		answer->u.entries.rows[i].leaf = hash_of(3);
	}
	answer->u.entries.rows[0].bytes = buf_of("{\"v\":1}"); /* the other is not this reader's */
}

static void fill_use(struct model_answer *answer, bool sealed)
{
	if (sealed) {
		answer->u.use.record = buf_of("TLS record");
		return;
	}
	answer->u.use.item_count = 2;
	answer->u.use.items = fresh(2, sizeof(answer->u.use.items[0]));
	answer->u.use.items[1].code = KMS_CODE_CONTEXT;
	if (answer->op != MODEL_OP_UNWRAP) {
		answer->u.use.items[0].wrapped = wrapped_of(0x33);
	}
	if (answer->op == MODEL_OP_DATAKEY || answer->op == MODEL_OP_UNWRAP) {
		answer->u.use.items[0].data_key = key_of(0x77);
	}
}

static void fill_people(struct model_answer *answer)
{
	bool is_tenant = answer->op == MODEL_OP_TENANT_LIST || answer->op == MODEL_OP_TENANT_SHOW;
	if (is_tenant) {
		answer->u.tenants.count = 1;
		answer->u.tenants.rows = fresh(1, sizeof(answer->u.tenants.rows[0]));
		answer->u.tenants.rows[0] = (struct model_tenant){
			.id = id_of(0x11), .label = label_of("A"), .ca_pem = strdup("-----\n")};
		return;
	}
	answer->u.principals.count = 2;
	answer->u.principals.rows = fresh(2, sizeof(answer->u.principals.rows[0]));
	for (size_t i = 0; i < 2; i++) {
		answer->u.principals.rows[i] = (struct model_principal){
			.id = id_of(0x12),
			.tenant = i == 0 ? id_of(0x11) : (struct kms_id){{0}},
			.role = i == 0 ? MODEL_ROLE_STORAGE : MODEL_ROLE_OPERATOR,
			.spki = hash_of(4),
			.expires_unix_s = 7,
			.label = label_of("storage-1"),
		};
	}
}

static void fill_ledger(struct model_answer *answer)
{
	if (answer->op == MODEL_OP_LEDGER_HEAD) {
		answer->u.head.checkpoint = buf_of("origin\n1\nroot\n");
		answer->u.head.size = 44;
		return;
	}
	answer->u.uses.count = 2;
	answer->u.uses.records = fresh(2, sizeof(answer->u.uses.records[0]));
	answer->u.uses.records[0] = buf_of("{\"n\":1}");
	answer->u.uses.records[1] = buf_of("{\"n\":2}");
}

static void fill_erasures(struct model_answer *answer)
{
	bool is_list = answer->op == MODEL_OP_ERASE_LIST;
	answer->u.erasures.count = 1;
	answer->u.erasures.rows = fresh(1, sizeof(answer->u.erasures.rows[0]));
	struct model_erasure *row = &answer->u.erasures.rows[0];
	*row = (struct model_erasure){.id = id_of(0xaa),
		.tenant = id_of(0x11),
		.requester = id_of(0x12),
		.scope = MODEL_ERASE_TENANT,
		.subject = id_of(0x11),
		.state = MODEL_ERASE_EXECUTING,
		.not_before_unix_s = 8,
		.expires_unix_s = 9,
		.requested_unix_ms = 10,
		.done_unix_ms = 11,
		.approval_count = 1,
		.request_seq = 12,
		.intent_seq = 13,
		.final_seq = 14,
		.kek_count = 2,
		.destroyed_count = 1,
		.wipe_count = 1,
		.wiped_count = 0,
		.renewed_count = 1,
		.cert = id_of(0xbb),
		.cert_final = true,
		.cert_seq = 15,
		.cert_hash = hash_of(5)};
	if (is_list) {
		return;
	}
	row->bytes = buf_of("kmsd-erase/1");
	row->certificate = buf_of("DER");
	row->approvals = fresh(1, sizeof(row->approvals[0]));
	row->approvals[0] = (struct model_signed){
		.principal = id_of(0x13), .spki = buf_of("SPKI"), .unix_ms = 16, .seq = 17};
	answer->u.erasures.row_count = 2;
	answer->u.erasures.keks = fresh(2, sizeof(answer->u.erasures.keks[0]));
	answer->u.erasures.keks[0] = (struct model_erase_row){.token = id_of(0x55),
		.kek = id_of(0x66),
		.key = id_of(0x22),
		.version = 1,
		.done = true,
		.seq = 18};
	answer->u.erasures.keks[1] = (struct model_erase_row){.token = id_of(0x55),
		.token_up = true, /* a wipe */
		.renewed = id_of(0xe2),
		.refused_unix_ms = 19,
		.refused = "expired"};
	answer->u.erasures.scope = buf_of("{}");
	answer->u.erasures.needed = 2;
}

static void fill_erase_answer(struct model_answer *answer)
{
	if (answer->op == MODEL_OP_ERASE_PLAN) {
		answer->u.erase_plan.scope = buf_of("{}");
		answer->u.erase_plan.observed = buf_of("{}");
		answer->u.erase_plan.bytes = buf_of("kmsd-erase/1");
	} else if (answer->op == MODEL_OP_ERASE_CERTIFICATE) {
		answer->u.bundle.certificate = id_of(0xbb);
		answer->u.bundle.count = 1;
		answer->u.bundle.files = fresh(1, sizeof(answer->u.bundle.files[0]));
		memcpy(answer->u.bundle.files[0].name, "entries/7.json", 15);
		answer->u.bundle.files[0].bytes = buf_of("{}");
	} else {
		fill_erasures(answer);
	}
}

static struct model_answer *answer_of(enum model_op op, bool sealed)
{
	struct model_answer *answer = fresh(1, sizeof(*answer));
	const char *path = wire_route_of(op)->path;
	answer->op = op;
	if (model_op_is_use(op)) {
		fill_use(answer, sealed);
	} else if (is_erase(op)) {
		fill_erase_answer(answer);
	} else if (op == MODEL_OP_STATUS) {
		memcpy(answer->u.status.version, "0.1.0", 6);
		answer->u.status.size = 44;
		answer->u.status.signed_size = 43;
		answer->u.status.token_count = 2;
		answer->u.status.tokens = token_rows();
	} else if (op == MODEL_OP_TOKEN_LIST || op == MODEL_OP_TOKEN_SHOW) {
		answer->u.tokens.count = 2;
		answer->u.tokens.rows = token_rows();
	} else if (op == MODEL_OP_KEY_HISTORY || op == MODEL_OP_LEDGER_ENTRIES) {
		fill_entries(answer);
	} else if (strncmp(path, "/v1/keys", 8) == 0) {
		fill_keys(answer);
	} else if (strncmp(path, "/v1/ledger", 10) == 0) {
		fill_ledger(answer);
	} else if (op == MODEL_OP_LEASE_REPORT) {
		answer->u.lease_report.recalled_count = 2;
		answer->u.lease_report.recalled[0] = id_of(0x22);
		answer->u.lease_report.recalled[1] = id_of(0x23);
	} else if (op == MODEL_OP_SESSION_OPEN) {
		answer->u.session_open.session = id_of(0x88);
		answer->u.session_open.flight = buf_of("hello back");
	} else if (strncmp(path, "/v1/datasets", 12) == 0) {
		answer->u.datasets.count = 1;
		answer->u.datasets.rows = fresh(1, sizeof(answer->u.datasets.rows[0]));
		answer->u.datasets.rows[0] = (struct model_dataset){.id = id_of(0x99),
			.tenant = id_of(0x11),
			.key = id_of(0x22),
			.custodian = id_of(0x12),
			.label = label_of("tax"),
			.medium = "volume",
			.country = "JP"};
	} else {
		fill_people(answer);
	}
	return answer;
}

/* ---- out, and in again ---- */

/* What a server makes of a target: its path's id and its arguments. */
struct split {
	char text[256];
	const char *id;
	struct wire_query query[4];
	size_t count;
};

static void split_target(enum model_op op, const char *target, struct split *split)
{
	const char *path = wire_route_of(op)->path;
	const char *part = strstr(path, "{id}");
	*split = (struct split){.count = 0};
	ck_assert_uint_lt(strlen(target), sizeof(split->text));
	memcpy(split->text, target, strlen(target) + 1);
	char *query = strchr(split->text, '?');
	if (query != NULL) {
		*query++ = '\0';
	}
	for (char *save = NULL, *one = query == NULL ? NULL : strtok_r(query, "&", &save);
		one != NULL; one = strtok_r(NULL, "&", &save)) {
		char *value = strchr(one, '=');
		ck_assert_ptr_nonnull(value);
		*value++ = '\0';
		split->query[split->count++] = (struct wire_query){one, value};
	}
	if (part != NULL) {
		char *id = split->text + (part - path);
		id[strcspn(id, "/")] = '\0';
		split->id = id;
	}
}

static kms_err read_request(enum model_op op, const char *target, struct kms_bytes body,
	struct model_request **ret_request)
{
	struct split split;
	split_target(op, target, &split);
	return wire_request_read(op, split.id, split.query, split.count, body, ret_request);
}

typedef void (*visit)(
	enum model_op op, bool is_answer, const char *target, const struct wire_body *body);

/* Every operation's request and answer, use operations sealed and clear. */
static void for_each(visit see)
{
	for (int i = 1; i < MODEL_OP_COUNT_; i++) {
		enum model_op op = (enum model_op)i;
		for (int sealed = model_op_is_use(op) ? 0 : 1; sealed < 2; sealed++) {
			KMS_AUTO(model_request) request = request_of(op, sealed == 1);
			KMS_AUTO(model_answer) answer = answer_of(op, sealed == 1);
			KMS_AUTO_FREE char *target = NULL;
			struct wire_body body = {0};
			ck_assert(kms_is_ok(wire_request_write(request, &target, &body)));
			see(op, false, target, &body);
			wire_body_free(&body);
			ck_assert(kms_is_ok(wire_answer_write(answer, &body)));
			see(op, true, target, &body);
			wire_body_free(&body);
		}
	}
}

static struct kms_writer page;

static void check_again(
	enum model_op op, bool is_answer, const char *target, const struct wire_body *body)
{
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO(model_answer) answer = NULL;
	KMS_AUTO_FREE char *again_target = NULL;
	struct wire_body again = {0};
	struct kms_bytes bytes = wire_body_bytes(body);
	if (is_answer) {
		ck_assert_msg(kms_is_ok(wire_answer_read(op, bytes, &answer)), "%s: %.*s",
			model_op_text(op), (int)bytes.len, (const char *)bytes.ptr);
		ck_assert(kms_is_ok(wire_answer_write(answer, &again)));
	} else {
		ck_assert_msg(kms_is_ok(read_request(op, target, bytes, &request)), "%s: %s",
			model_op_text(op), target);
		ck_assert(kms_is_ok(wire_request_write(request, &again_target, &again)));
		ck_assert_str_eq(again_target, target);
	}
	ck_assert(kms_bytes_equal(wire_body_bytes(&again), bytes));
	if (is_answer) {
		kms_write_text(&page, "  -> ");
	} else {
		kms_write_format(
			&page, "%s: %s %s ", model_op_text(op), wire_route_of(op)->method, target);
	}
	kms_write_bytes(&page, bytes);
	kms_write_text(&page, "\n");
	wire_body_free(&again);
}

START_TEST(writes_what_it_reads)
{
	page = kms_writer_grow((size_t)256 * 1024);
	for_each(check_again);
	struct kms_bytes bytes;
	ck_assert(kms_is_ok(kms_writer_bytes(&page, &bytes)));
	golden_text("wire.txt", bytes);
	kms_writer_free(&page);
}
END_TEST

/* What may carry a data key lies in secret memory, and nothing else does. */
static void check_memory(
	enum model_op op, bool is_answer, const char *target, const struct wire_body *body)
{
	(void)is_answer;
	(void)target;
	struct kms_bytes bytes = wire_body_bytes(body);
	bool is_sealed = memmem(bytes.ptr == NULL ? (const uint8_t *)"" : bytes.ptr, bytes.len,
				 "\"record\"", 8) != NULL;
	ck_assert((body->secret != NULL) == (model_op_is_use(op) && !is_sealed));
}

START_TEST(keeps_data_keys_in_secret_memory)
{
	for_each(check_memory);
}
END_TEST

/* ---- strictness, by taking each body apart ---- */

static unsigned refused_count;

static bool accepts(enum model_op op, bool is_answer, const char *target, const json_t *body)
{
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO(model_answer) answer = NULL;
	char *text = json_dumps(body, JSON_COMPACT);
	struct kms_bytes bytes = kms_bytes_str(text);
	kms_err err = is_answer ? wire_answer_read(op, bytes, &answer)
				: read_request(op, target, bytes, &request);
	free(text);
	return kms_is_ok(err);
}

/* Members that may be absent; wrapped_key where kmsd can choose it. */
static bool is_optional(const char *name, enum model_op op, bool is_sealed, bool is_answer)
{
	if (is_erase(op)) { /* no certificate was issued yet; a wipe has no key; nobody took it over
			     */
		return is_answer &&
		       (strcmp(name, "cert") == 0 || strcmp(name, "kek") == 0 ||
			       strcmp(name, "key") == 0 || strcmp(name, "renewed") == 0);
	}
	return strcmp(name, "tenant") == 0 || strcmp(name, "erasure") == 0 ||
	       (strcmp(name, "holder") == 0 && model_op_is_use(op)) ||
	       (strcmp(name, "bytes") == 0 && is_answer) ||
	       (strcmp(name, "wrapped_key") == 0 && !is_sealed &&
		       (op == MODEL_OP_DATAKEY || op == MODEL_OP_WRAP));
}

struct apart {
	enum model_op op;
	bool is_answer, is_sealed;
	const char *target;
	json_t *root;
};

static void take_apart(const struct apart *apart, json_t *at);

static void check_member(const struct apart *apart, json_t *object, const char *name)
{
	json_t *value = json_incref(json_object_get(object, name));
	const char *op = model_op_text(apart->op);
	/* Without it; the required members of datasets' rows are the required ones of requests. */
	json_object_del(object, name);
	bool without = accepts(apart->op, apart->is_answer, apart->target, apart->root);
	if (!is_optional(name, apart->op, apart->is_sealed, apart->is_answer)) {
		ck_assert_msg(!without, "%s without %s", op, name);
		refused_count++;
	}
	/* Of another type. */
	json_object_set_new(object, name, json_is_array(value) ? json_object() : json_array());
	ck_assert_msg(!accepts(apart->op, apart->is_answer, apart->target, apart->root),
		"%s with another %s", op, name);
	json_object_set(object, name, value);
	json_decref(value);
}

static void check_object(const struct apart *apart, json_t *object)
{
	const char *name;
	json_t *value;
	json_object_set_new(object, "zzz", json_integer(1));
	ck_assert_msg(!accepts(apart->op, apart->is_answer, apart->target, apart->root),
		"%s with an unknown member", model_op_text(apart->op));
	json_object_del(object, "zzz");
	json_t *names = json_deep_copy(object);
	json_object_foreach(names, name, value)
	{
		check_member(apart, object, name);
		if (strcmp(name, "context") != 0) {
			take_apart(apart, json_object_get(object, name));
		}
	}
	json_decref(names);
	ck_assert(accepts(apart->op, apart->is_answer, apart->target, apart->root));
}

/* Recursion as deep as the body. */
static void take_apart(const struct apart *apart, json_t *at)
{
	if (json_is_object(at)) {
		check_object(apart, at);
	}
	for (size_t i = 0; json_is_array(at) && i < json_array_size(at); i++) {
		take_apart(apart, json_array_get(at, i));
	}
}

static void check_strict(
	enum model_op op, bool is_answer, const char *target, const struct wire_body *body)
{
	struct kms_bytes bytes = wire_body_bytes(body);
	if (bytes.len == 0) {
		KMS_AUTO(model_request) request = NULL;
		ck_assert(kms_is(
			read_request(op, target, kms_bytes_str("{}"), &request), KMS_CODE_FORMAT));
		return;
	}
	struct apart apart = {.op = op, .is_answer = is_answer, .target = target};
	apart.root = json_loadb((const char *)bytes.ptr, bytes.len, 0, NULL);
	ck_assert_ptr_nonnull(apart.root);
	apart.is_sealed = json_object_get(apart.root, "record") != NULL;
	take_apart(&apart, apart.root);
	json_decref(apart.root);

	/* The first member twice. */
	const char *text = (const char *)bytes.ptr;
	KMS_AUTO_FREE char *twice = NULL;
	ck_assert(kms_is_ok(kms_text(&twice, "{%.*s,%.*s", (int)(bytes.len - 2), text + 1,
		(int)(bytes.len - 1), text + 1)));
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO(model_answer) answer = NULL;
	kms_err err = is_answer ? wire_answer_read(op, kms_bytes_str(twice), &answer)
				: read_request(op, target, kms_bytes_str(twice), &request);
	ck_assert(kms_is(err, KMS_CODE_FORMAT));
}

START_TEST(refuses_what_is_not_exact)
{
	for_each(check_strict);
	ck_assert_uint_gt(refused_count, 200);
}
END_TEST

START_TEST(refuses_bad_urls)
{
	struct kms_bytes none = {0};
	KMS_AUTO(model_request) request = NULL;
	const struct wire_query twice[] = {{"limit", "1"}, {"limit", "1"}};
	const struct wire_query bad[] = {{"limit", ""}, {"limit", "01"}, {"limit", "-1"},
		{"limit", "1 "}, {"limit", NULL}, {"after", "1"}, {"from", "1"}, {"Limit", "1"}};
	ck_assert(kms_is(wire_request_read(MODEL_OP_KEY_LIST, NULL, twice, 2, none, &request),
		KMS_CODE_FORMAT));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!kms_is_ok(wire_request_read(
				      MODEL_OP_KEY_LIST, NULL, &bad[i], 1, none, &request)),
			"%s=%s", bad[i].name, bad[i].value);
	}
	ck_assert(!kms_is_ok(wire_request_read(MODEL_OP_STATUS, NULL, twice, 1, none, &request)));
	ck_assert(!kms_is_ok(wire_request_read(MODEL_OP_KEY_SHOW, NULL, NULL, 0, none, &request)));
	ck_assert(!kms_is_ok(wire_request_read(MODEL_OP_KEY_SHOW, "x", NULL, 0, none, &request)));
	ck_assert(
		!kms_is_ok(wire_request_read(MODEL_OP_LEDGER_USES, "1x", NULL, 0, none, &request)));
	ck_assert(!kms_is_ok(wire_request_read(
		MODEL_OP_LEDGER_USES, "9007199254740992", NULL, 0, none, &request)));
	ck_assert(kms_is_ok(wire_request_read(
		MODEL_OP_LEDGER_USES, "9007199254740991", NULL, 0, none, &request)));
}
END_TEST

START_TEST(refuses_unknown_operations)
{
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO(model_answer) answer = NULL;
	struct kms_bytes none = {0};
	ck_assert(kms_is(wire_request_read(MODEL_OP_COUNT_, NULL, NULL, 0, none, &request),
		KMS_CODE_ARGUMENT));
	ck_assert(kms_is(wire_answer_read(0, none, &answer), KMS_CODE_ARGUMENT));
	ck_assert_ptr_null(wire_route_of(MODEL_OP_COUNT_));
	for (int op = 1; op < MODEL_OP_COUNT_; op++) {
		ck_assert_ptr_nonnull(wire_route_of((enum model_op)op));
	}
}
END_TEST

/* ---- limits, and one past each ---- */

static kms_err batch_of(size_t count, bool sealed)
{
	KMS_AUTO(model_request) request = fresh(1, sizeof(*request));
	KMS_AUTO(model_request) again = NULL;
	KMS_AUTO_FREE char *target = NULL;
	struct wire_body body = {0};
	request->op = MODEL_OP_UNWRAP;
	request->u.use.key = id_of(0x22);
	request->u.use.sealed = sealed;
	if (sealed) {
		request->u.use.token = request->u.use.session = id_of(0x55);
		request->u.use.record = buf_of("TLS record");
	}
	fill_items(request, count);
	ck_assert(kms_is_ok(wire_request_write(request, &target, &body)));
	kms_err err = read_request(MODEL_OP_UNWRAP, target, wire_body_bytes(&body), &again);
	if (kms_is_ok(err)) {
		ck_assert_uint_eq(again->u.use.item_count, count);
		ck_assert(kms_id_equal(&again->u.use.items[count - 1].wrapped_key,
			&request->u.use.items[0].wrapped_key));
	}
	wire_body_free(&body);
	return err;
}

START_TEST(limits_batches)
{
	for (int sealed = 0; sealed < 2; sealed++) {
		ck_assert(kms_is_ok(batch_of(LIMIT_BATCH_ITEMS, sealed == 1)));
		ck_assert(kms_is(batch_of(LIMIT_BATCH_ITEMS + 1, sealed == 1), KMS_CODE_TOO_LARGE));
	}
	KMS_AUTO(model_request) request = NULL;
	ck_assert(kms_is(read_request(MODEL_OP_DATAKEY,
				 "/v1/keys/22222222-0000-4000-8000-000000000022/datakey",
				 kms_bytes_str("{\"items\":[]}"), &request),
		KMS_CODE_FORMAT));
}
END_TEST

static kms_err create_with(size_t label_len, size_t token_count)
{
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO_WRITER out = kms_writer_grow(4096);
	char id[KMS_ID_TEXT];
	struct kms_id token = id_of(0x55);
	struct kms_bytes body;
	kms_write_text(&out, "{\"custody\":\"any\",\"delivery\":\"sealed\",\"label\":\"");
	for (size_t i = 0; i < label_len; i++) {
		kms_write_u8(&out, 'x');
	}
	kms_write_text(&out, "\",\"tokens\":[");
	for (size_t i = 0; i < token_count; i++) {
		kms_write_format(&out, "%s\"%s\"", i > 0 ? "," : "", kms_id_text(&token, id));
	}
	kms_write_text(&out, "]}");
	ck_assert(kms_is_ok(kms_writer_bytes(&out, &body)));
	kms_err err = wire_request_read(MODEL_OP_KEY_CREATE, NULL, NULL, 0, body, &request);
	if (kms_is_ok(err)) {
		ck_assert_uint_eq(strlen(request->u.key_create.label), label_len);
		ck_assert_uint_eq(request->u.key_create.token_count, token_count);
	}
	return err;
}

START_TEST(limits_names_and_tokens)
{
	ck_assert(kms_is_ok(create_with(LIMIT_LABEL, 0)));
	ck_assert(kms_is(create_with(LIMIT_LABEL + 1, 0), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is_ok(create_with(1, LIMIT_CUSTODY_TOKENS)));
	ck_assert(kms_is(create_with(1, LIMIT_CUSTODY_TOKENS + 1), KMS_CODE_TOO_LARGE));
}
END_TEST

static kms_err plan_with(const char *scope, size_t versions, uint32_t version, bool wipe)
{
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO_WRITER out = kms_writer_grow(4096);
	struct kms_bytes body;
	kms_write_format(&out, "{\"scope\":\"%s\",\"valid_s\":1,\"window_s\":0,\"wipe\":%s,", scope,
		wipe ? "true" : "false");
	kms_write_text(&out, "\"subject\":\"22222222-0000-4000-8000-000000000022\",\"versions\":[");
	for (size_t i = 0; i < versions; i++) {
		kms_write_format(&out, "%s%u", i > 0 ? "," : "", version);
	}
	kms_write_text(&out, "]}");
	ck_assert(kms_is_ok(kms_writer_bytes(&out, &body)));
	kms_err err = wire_request_read(MODEL_OP_ERASE_PLAN, NULL, NULL, 0, body, &request);
	if (kms_is_ok(err)) {
		ck_assert_uint_eq(request->u.erase_plan.target.version_count, versions);
	}
	return err;
}

START_TEST(limits_versions_of_a_plan)
{
	ck_assert(kms_is_ok(plan_with("versions", LIMIT_ERASE_VERSIONS, 1, false)));
	ck_assert(kms_is(
		plan_with("versions", LIMIT_ERASE_VERSIONS + 1, 1, false), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is_ok(plan_with("versions", 1, LIMIT_KEY_VERSIONS, false)));
	ck_assert(kms_is(plan_with("versions", 1, LIMIT_KEY_VERSIONS + 1, false), KMS_CODE_FORMAT));
	ck_assert(kms_is(plan_with("versions", 1, 0, false), KMS_CODE_FORMAT));
}
END_TEST

/* Versions are of one key, and a wipe of a tenant: never of less than was meant. */
START_TEST(refuses_what_is_not_of_the_plans_scope)
{
	static const char *const others[] = {"key", "dataset", "tenant"};
	ck_assert(kms_is(plan_with("versions", 0, 0, false), KMS_CODE_FORMAT));
	ck_assert(kms_is(plan_with("versions", 1, 1, true), KMS_CODE_FORMAT));
	for (size_t i = 0; i < 3; i++) {
		bool is_tenant = i == 2;
		ck_assert(kms_is_ok(plan_with(others[i], 0, 0, false)));
		ck_assert(kms_is(plan_with(others[i], 1, 1, false), KMS_CODE_FORMAT));
		ck_assert_int_eq(kms_is_ok(plan_with(others[i], 0, 0, true)), is_tenant);
	}
}
END_TEST

/* The largest bundle, and the largest plan, are one answer each. */
START_TEST(carries_the_largest_bundle_and_plan)
{
	KMS_AUTO(model_answer) bundle = fresh(1, sizeof(*bundle));
	KMS_AUTO(model_answer) plan = fresh(1, sizeof(*plan));
	KMS_AUTO(model_answer) again = NULL;
	struct wire_body body = {0};
	bundle->op = MODEL_OP_ERASE_CERTIFICATE;
	bundle->u.bundle.certificate = id_of(0xbb);
	bundle->u.bundle.count = LIMIT_BUNDLE_FILES;
	bundle->u.bundle.files = fresh(LIMIT_BUNDLE_FILES, sizeof(bundle->u.bundle.files[0]));
	for (size_t i = 0; i < LIMIT_BUNDLE_FILES; i++) {
		memset(bundle->u.bundle.files[i].name, 'n', 127);
		bundle->u.bundle.files[i].bytes.len = LIMIT_BUNDLE_BYTES / LIMIT_BUNDLE_FILES;
		bundle->u.bundle.files[i].bytes.ptr = fresh(1, bundle->u.bundle.files[i].bytes.len);
	}
	ck_assert(kms_is_ok(wire_answer_write(bundle, &body)));
	ck_assert_uint_le(wire_body_bytes(&body).len, LIMIT_HTTP_ANSWER);
	ck_assert(kms_is_ok(wire_answer_read(bundle->op, wire_body_bytes(&body), &again)));
	ck_assert_uint_eq(again->u.bundle.count, LIMIT_BUNDLE_FILES);
	wire_body_free(&body);
	plan->op = MODEL_OP_ERASE_PLAN;
	plan->u.erase_plan.scope.ptr = fresh(1, LIMIT_PLAN_BYTES);
	plan->u.erase_plan.observed.ptr = fresh(1, LIMIT_PLAN_BYTES);
	plan->u.erase_plan.bytes.ptr = fresh(1, LIMIT_ERASE_BYTES);
	plan->u.erase_plan.scope.len = plan->u.erase_plan.observed.len = LIMIT_PLAN_BYTES;
	plan->u.erase_plan.bytes.len = LIMIT_ERASE_BYTES;
	ck_assert(kms_is_ok(wire_answer_write(plan, &body)));
	ck_assert_uint_le(wire_body_bytes(&body).len, LIMIT_HTTP_ANSWER);
	wire_body_free(&body);
}
END_TEST

static kms_err page_of(const char *name, const char *value, enum model_op op)
{
	KMS_AUTO(model_request) request = NULL;
	const struct wire_query query = {name, value};
	return wire_request_read(op, NULL, &query, 1, (struct kms_bytes){0}, &request);
}

START_TEST(limits_pages)
{
	ck_assert(kms_is_ok(page_of("limit", "500", MODEL_OP_KEY_LIST)));
	ck_assert(kms_is(page_of("limit", "501", MODEL_OP_KEY_LIST), KMS_CODE_TOO_LARGE));
	ck_assert(kms_is_ok(page_of("limit", "256", MODEL_OP_LEDGER_ENTRIES)));
	ck_assert(kms_is(page_of("limit", "257", MODEL_OP_LEDGER_ENTRIES), KMS_CODE_TOO_LARGE));
	_Static_assert(LIMIT_LIST_PAGE == 500 && (int)LIMIT_ENTRIES_PAGE == 256, "as above");
}
END_TEST

/* All use records of the largest commit, each as long as may be, are one answer. */
START_TEST(carries_the_largest_commit)
{
	KMS_AUTO(model_answer) answer = fresh(1, sizeof(*answer));
	KMS_AUTO(model_answer) again = NULL;
	struct wire_body body = {0};
	answer->op = MODEL_OP_LEDGER_USES;
	answer->u.uses.count = LIMIT_COMMIT_USES;
	answer->u.uses.records = fresh(LIMIT_COMMIT_USES, sizeof(struct kms_buf));
	for (size_t i = 0; i < LIMIT_COMMIT_USES; i++) {
		answer->u.uses.records[i].ptr = fresh(1, LIMIT_USE_RECORD_BYTES);
		answer->u.uses.records[i].len = LIMIT_USE_RECORD_BYTES;
	}
	ck_assert(kms_is_ok(wire_answer_write(answer, &body)));
	ck_assert_uint_le(wire_body_bytes(&body).len, LIMIT_HTTP_ANSWER);
	ck_assert(
		kms_is_ok(wire_answer_read(MODEL_OP_LEDGER_USES, wire_body_bytes(&body), &again)));
	ck_assert_uint_eq(again->u.uses.count, LIMIT_COMMIT_USES);
	wire_body_free(&body);
}
END_TEST

/* Every token's slot, every item: the largest `clear` answer fits secret memory. */
START_TEST(carries_the_largest_clear_answer)
{
	enum { WRAPPED = FORMAT_HEAD_BYTES + LIMIT_CUSTODY_TOKENS * FORMAT_SLOT_BYTES };
	KMS_AUTO(model_answer) answer = fresh(1, sizeof(*answer));
	struct wire_body body = {0};
	answer->op = MODEL_OP_DATAKEY;
	answer->u.use.item_count = LIMIT_BATCH_ITEMS;
	answer->u.use.items = fresh(LIMIT_BATCH_ITEMS, sizeof(answer->u.use.items[0]));
	for (size_t i = 0; i < LIMIT_BATCH_ITEMS; i++) {
		answer->u.use.items[i].wrapped.ptr = fresh(1, WRAPPED);
		answer->u.use.items[i].wrapped.len = WRAPPED;
		answer->u.use.items[i].data_key = key_of(1);
	}
	ck_assert(kms_is_ok(wire_answer_write(answer, &body)));
	ck_assert_ptr_nonnull(body.secret);
	wire_body_free(&body);
}
END_TEST

START_TEST(limits_data_keys)
{
	static const char target[] = "/v1/keys/22222222-0000-4000-8000-000000000022/wrap";
	KMS_AUTO(model_request) request = NULL;
	ck_assert(
		kms_is(read_request(MODEL_OP_WRAP, target,
			       kms_bytes_str("{\"items\":[{\"context\":{},\"data_key\":"
					     "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}"),
			       &request),
			KMS_CODE_TOO_LARGE)); /* 33 bytes */
	ck_assert(kms_is_ok(read_request(MODEL_OP_WRAP, target,
		kms_bytes_str("{\"items\":[{\"context\":{},\"data_key\":"
			      "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}"),
		&request)));
	ck_assert(!kms_id_is_zero(&request->u.use.items[0].wrapped_key)); /* chosen here */
}
END_TEST

/* ---- problems ---- */

START_TEST(names_problems)
{
	KMS_AUTO_BUF body = {0};
	KMS_AUTO_FREE char *detail = NULL;
	kms_err err = KMS_OK;
	ck_assert(kms_is_ok(wire_problem_write(KMS_ERR(KEY_STATE), 0, "suspended", &body)));
	ck_assert_int_eq(memcmp(body.ptr,
				 "{\"detail\":\"suspended\",\"status\":409,\"title\":\"the key's "
				 "state does not allow this operation\",\"type\":"
				 "\"urn:kmsd:problem:key-state\"}",
				 body.len),
		0);
	ck_assert(kms_is_ok(wire_problem_read(kms_buf_bytes(&body), &err, &detail)));
	ck_assert(kms_is(err, KMS_CODE_KEY_STATE));
	ck_assert_str_eq(detail, "suspended");
	kms_buf_free(&body);
	ck_assert(kms_is_ok(wire_problem_write(KMS_ERR(UNSUPPORTED), 405, NULL, &body)));
	ck_assert_ptr_nonnull(memmem(body.ptr, body.len, "\"status\":405", 12));
}
END_TEST

START_TEST(refuses_false_problems)
{
	static const char *const bodies[] = {
		"{}",
		"{\"status\":200,\"title\":\"\",\"type\":\"urn:kmsd:problem:ok\"}",
		"{\"status\":409,\"title\":\"\",\"type\":\"about:blank\"}",
		"{\"status\":409,\"title\":\"\",\"type\":\"urn:kmsd:problem:rate\",\"x\":1}",
		"{\"status\":600,\"title\":\"\",\"type\":\"urn:kmsd:problem:rate\"}",
	};
	kms_err err = KMS_OK;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		ck_assert(kms_is(
			wire_problem_read(kms_bytes_str(bodies[i]), &err, NULL), KMS_CODE_FORMAT));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tcase = tcase_create("wire");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, writes_what_it_reads);
	tcase_add_test(tcase, keeps_data_keys_in_secret_memory);
	tcase_add_test(tcase, refuses_what_is_not_exact);
	tcase_add_test(tcase, refuses_bad_urls);
	tcase_add_test(tcase, refuses_unknown_operations);
	tcase_add_test(tcase, limits_batches);
	tcase_add_test(tcase, limits_names_and_tokens);
	tcase_add_test(tcase, limits_pages);
	tcase_add_test(tcase, limits_versions_of_a_plan);
	tcase_add_test(tcase, refuses_what_is_not_of_the_plans_scope);
	tcase_add_test(tcase, carries_the_largest_bundle_and_plan);
	tcase_add_test(tcase, carries_the_largest_commit);
	tcase_add_test(tcase, carries_the_largest_clear_answer);
	tcase_add_test(tcase, limits_data_keys);
	tcase_add_test(tcase, names_problems);
	tcase_add_test(tcase, refuses_false_problems);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
