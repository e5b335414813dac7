/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of an erasure's way through the one door: who may plan, request, approve and cancel it,
 * when it begins, what is believed of a kms-tokend's word, and how it goes on after it was cut off.
 */
#include "service_world.h"

#include "tls_fixture.h"

enum { LOOKS_US = 700 * 1000, VALID_S = 3600 };

static struct tls_pair ca, custodian_cert, other_cert;
static struct crypto_signer *custodian_key, *other_key, *approver_key, *approver_too_key;
static struct kms_buf custodian_der;

static void make_signer(const char *pem, struct crypto_signer **ret_signer)
{
	char name[] = "/tmp/kmsd-service-erase-XXXXXX";
	int fd = mkstemp(name);
	ck_assert_int_ge(fd, 0);
	if (pem != NULL) {
		OK(kms_fd_write_all(fd, kms_bytes_str(pem)));
		OK(crypto_signer_read(name, ret_signer));
	} else {
		(void)unlink(name);
		OK(crypto_signer_generate(name, ret_signer));
	}
	(void)close(fd);
	(void)unlink(name);
}

static void pin(struct model_erase_pins *pins, unsigned approver, struct crypto_signer *signer)
{
	KMS_AUTO_BUF spki = {0};
	OK(crypto_signer_spki(signer, &spki));
	pins->rows[pins->count].approver = id(approver);
	OK(crypto_sha256_one(kms_buf_bytes(&spki), &pins->rows[pins->count].spki));
	pins->count++;
}

static void set_up_erase(void)
{
	tls_pair_make(&ca, "the tenant's CA", TLS_USE_CA, NULL, NULL, 3600 * 24);
	tls_pair_make(&custodian_cert, "custodian", TLS_USE_CLIENT, &ca, NULL, 3600 * 24);
	tls_pair_make(&other_cert, "other", TLS_USE_CLIENT, &ca, NULL, 3600);
	make_signer(custodian_cert.key_pem, &custodian_key);
	make_signer(other_cert.key_pem, &other_key);
	make_signer(NULL, &approver_key);
	make_signer(NULL, &approver_too_key);
	KMS_AUTO(crypto_cert) cert = NULL;
	OK(crypto_cert_parse_pem(kms_bytes_str(custodian_cert.crt_pem), &cert));
	OK(crypto_cert_der(cert, &custodian_der));
	OK(crypto_cert_spki_hash(cert, &custodian_spki));
	has_custodian_spki = true;
	tenant_ca = ca.crt_pem;
	set_up();
	for (struct token *token = token_a; token <= token_b; token++) {
		token->pins.needed = 2;
		pin(&token->pins, APPROVER, approver_key);
		pin(&token->pins, APPROVER_TOO, approver_too_key);
	}
}

static void tear_down_erase(void)
{
	tear_down();
	crypto_signer_free(&custodian_key);
	crypto_signer_free(&other_key);
	crypto_signer_free(&approver_key);
	crypto_signer_free(&approver_too_key);
	kms_buf_free(&custodian_der);
	tls_pair_free(&ca);
	tls_pair_free(&custodian_cert);
	tls_pair_free(&other_cert);
	kms_clock_fix(-1);
}

/* ---- steps ---- */

static kms_err plan_as(unsigned who, enum model_erase_scope scope, const struct kms_id *subject,
	uint32_t version, struct model_answer **ret)
{
	struct model_request *asked = request(MODEL_OP_ERASE_PLAN);
	asked->u.erase_plan.target.scope = scope;
	asked->u.erase_plan.target.subject = *subject;
	if (version > 0) {
		asked->u.erase_plan.target.version_count = 1;
		asked->u.erase_plan.target.versions[0] = version;
	}
	asked->u.erase_plan.target.wipe = scope == MODEL_ERASE_TENANT;
	asked->u.erase_plan.valid_s = VALID_S;
	return call(who, asked, ret);
}

static bool says(const struct kms_buf *json, const char *text)
{
	return memmem(json->ptr, json->len, text, strlen(text)) != NULL;
}

static struct kms_buf plan(
	enum model_erase_scope scope, const struct kms_id *subject, uint32_t version)
{
	KMS_AUTO(model_answer) answer = NULL;
	OK(plan_as(CUSTODIAN, scope, subject, version, &answer));
	ck_assert(says(&answer->u.erase_plan.observed, "\"problems\":[]"));
	struct kms_buf bytes = answer->u.erase_plan.bytes;
	answer->u.erase_plan.bytes = (struct kms_buf){0};
	ck_assert_uint_gt(bytes.len, 0);
	return bytes;
}

/* The plan has one problem, that says this; and there is nothing to sign. */
static void expect_problem(
	enum model_erase_scope scope, const struct kms_id *subject, const char *text)
{
	KMS_AUTO(model_answer) answer = NULL;
	OK(plan_as(CUSTODIAN, scope, subject, 0, &answer));
	ck_assert_msg(says(&answer->u.erase_plan.observed, text), "%.*s",
		(int)answer->u.erase_plan.observed.len, answer->u.erase_plan.observed.ptr);
	ck_assert_uint_eq(answer->u.erase_plan.bytes.len, 0);
	ck_assert_uint_gt(answer->u.erase_plan.scope.len, 0);
}

static struct model_request *request_of(const struct kms_buf *bytes, struct crypto_signer *signer)
{
	struct model_request *asked = request(MODEL_OP_ERASE_REQUEST);
	OK(kms_buf_copy(kms_buf_bytes(bytes), &asked->u.erase_request.bytes));
	OK(kms_buf_copy(kms_buf_bytes(&custodian_der), &asked->u.erase_request.certificate));
	OK(crypto_sign(signer, kms_buf_bytes(bytes), asked->u.erase_request.signature));
	return asked;
}

static struct kms_id id_in(const struct kms_buf *bytes)
{
	KMS_AUTO(format_erase) erase = NULL;
	OK(format_erase_read(kms_buf_bytes(bytes), &erase));
	return erase->erasure;
}

static struct kms_id request_erasure(
	enum model_erase_scope scope, const struct kms_id *subject, uint32_t version)
{
	KMS_AUTO_BUF bytes = plan(scope, subject, version);
	OK(call(CUSTODIAN, request_of(&bytes, custodian_key), NULL));
	return id_in(&bytes);
}

static struct model_request *sign_request(enum model_op op, const struct kms_id *erasure,
	struct crypto_signer *spki_of, struct crypto_signer *signer)
{
	struct model_request *asked = request(op);
	struct model_erasure row;
	KMS_AUTO_BUF message = {0};
	struct kms_hash hash_of;
	OK(store_erasure_get(store, erasure, &row));
	asked->u.erase_sign.id = *erasure;
	OK(crypto_signer_spki(spki_of, &asked->u.erase_sign.spki));
	OK(crypto_sha256_one(kms_buf_bytes(&row.bytes), &hash_of));
	OK(format_erase_cancel_write(erasure, &hash_of, &message));
	OK(crypto_sign(signer, kms_buf_bytes(op == MODEL_OP_ERASE_APPROVE ? &row.bytes : &message),
		asked->u.erase_sign.signature));
	model_erasure_free(&row);
	return asked;
}

static kms_err approve(unsigned who, const struct kms_id *erasure, struct crypto_signer *signer)
{
	return call(who, sign_request(MODEL_OP_ERASE_APPROVE, erasure, signer, signer), NULL);
}

static kms_err cancel(unsigned who, const struct kms_id *erasure, struct crypto_signer *signer)
{
	return call(who, sign_request(MODEL_OP_ERASE_CANCEL, erasure, signer, signer), NULL);
}

static void approve_both(const struct kms_id *erasure)
{
	OK(approve(APPROVER, erasure, approver_key));
	OK(approve(APPROVER_TOO, erasure, approver_too_key));
}

static kms_err execute(const struct kms_id *erasure)
{
	return call_about(CUSTODIAN, MODEL_OP_ERASE_EXECUTE, erasure);
}

static enum model_erase_state state_of(const struct kms_id *erasure)
{
	struct model_erasure row;
	OK(store_erasure_get(store, erasure, &row));
	enum model_erase_state state = row.state;
	model_erasure_free(&row);
	return state;
}

static struct model_key key_of(const struct kms_id *key)
{
	struct model_key row;
	OK(store_key_get(store, key, &row));
	return row;
}

static bool is_held_by(const struct kms_id *key, const struct kms_id *erasure)
{
	struct model_key row = key_of(key);
	return kms_id_equal(&row.erasure, erasure);
}

static size_t heard(struct token *token, char what)
{
	size_t count = 0;
	(void)pthread_mutex_lock(&token->lock);
	for (size_t i = 0; i < token->heard_count; i++) {
		count += token->heard[i].what == what ? 1 : 0;
	}
	(void)pthread_mutex_unlock(&token->lock);
	return count;
}

static kms_err unwrap(const struct kms_id *key, const struct kms_id *session)
{
	return call(STORAGE, sealed_request(MODEL_OP_UNWRAP, key, TOKEN_A, session, 1), NULL);
}

/* A key in both tokens. */
static struct kms_id make_wide_key(void)
{
	KMS_AUTO(model_answer) answer = NULL;
	OK(call(CUSTODIAN,
		create_request(MODEL_DELIVERY_SEALED, MODEL_CUSTODY_ANY, TOKEN_A, TOKEN_B),
		&answer));
	return answer->u.keys.rows[0].id;
}

static void add_dataset(const struct kms_id *key)
{
	struct model_request *asked = request(MODEL_OP_DATASET_ADD);
	asked->u.dataset_add.key = *key;
	(void)snprintf(asked->u.dataset_add.label.text, sizeof(asked->u.dataset_add.label.text),
		"a volume");
	(void)snprintf(asked->u.dataset_add.country, sizeof(asked->u.dataset_add.country), "JP");
	OK(call(CUSTODIAN, asked, NULL));
}

static struct kms_id first_dataset(const struct kms_id *key)
{
	static const struct kms_id none;
	struct model_dataset *rows KMS_AUTO_FREE = NULL;
	size_t count = 0;
	OK(store_dataset_of_key(store, key, &none, 10, &rows, &count));
	ck_assert_uint_gt(count, 0);
	return rows[0].id;
}

/* ---- the plan ---- */

START_TEST(a_plan_says_what_dies)
{
	KMS_AUTO(model_answer) answer = NULL;
	KMS_AUTO(format_erase) erase = NULL;
	struct kms_id key = make_wide_key();
	struct kms_hash scope;
	char text[KMS_ID_TEXT];
	add_dataset(&key);
	OK(plan_as(CUSTODIAN, MODEL_ERASE_KEY, &key, 0, &answer));
	OK(format_erase_read(kms_buf_bytes(&answer->u.erase_plan.bytes), &erase));
	OK(crypto_sha256_one(kms_buf_bytes(&answer->u.erase_plan.scope), &scope));
	ck_assert(kms_hash_equal(&scope, &erase->plan));
	ck_assert_uint_eq(erase->kek_count, 2);
	struct kms_id custodian = id(CUSTODIAN);
	ck_assert(kms_id_equal(&erase->requester, &custodian));
	ck_assert_int_eq(erase->expires_unix_s - erase->not_before_unix_s, VALID_S);
	ck_assert(says(&answer->u.erase_plan.scope, kms_id_text(&key, text)));
	ck_assert(says(&answer->u.erase_plan.scope, "\"count\":1"));
	ck_assert(says(&answer->u.erase_plan.observed, "\"needed\":2"));
	/* Counts move, and the scope does not. */
	KMS_AUTO(model_answer) again = NULL;
	OK(plan_as(CUSTODIAN, MODEL_ERASE_KEY, &key, 0, &again));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&answer->u.erase_plan.scope),
		kms_buf_bytes(&again->u.erase_plan.scope)));
}
END_TEST

START_TEST(what_stands_in_the_way_is_said_and_nothing_is_signed)
{
	struct kms_id key = make_wide_key();
	token_a->down = token_b->down = true;
	expect_problem(MODEL_ERASE_KEY, &key, "no token of this erasure answers");
	token_a->down = token_b->down = false;
	token_b->pins.needed = 1;
	expect_problem(MODEL_ERASE_KEY, &key, "pin different approvers");
	token_b->pins.needed = 0;
	expect_problem(MODEL_ERASE_KEY, &key, "allows no erasure");
	token_b->pins.needed = 2;
	token_a->pins.rows[1].approver = token_b->pins.rows[1].approver = id(STORAGE);
	expect_problem(MODEL_ERASE_KEY, &key, "only 1 of the approvers");
	token_a->pins.rows[1].approver = token_b->pins.rows[1].approver = id(APPROVER_TOO);
	add_dataset(&key);
	add_dataset(&key);
	struct kms_id dataset = first_dataset(&key);
	expect_problem(MODEL_ERASE_DATASET, &dataset, "shares key");
}
END_TEST

/* One of two tokens is lost, or away: what can be held is held, what can die dies. */
START_TEST(a_token_that_is_not_reached_is_named_and_keeps_nothing_in_use)
{
	struct kms_id key = make_wide_key();
	struct token *lost = _i == 0 ? token_a : token_b, *other = _i == 0 ? token_b : token_a;
	char text[KMS_ID_TEXT + 32];
	KMS_AUTO(model_answer) answer = NULL;
	lost->down = true;
	other->pins.needed = 1;
	OK(plan_as(CUSTODIAN, MODEL_ERASE_KEY, &key, 0, &answer));
	(void)snprintf(text, sizeof(text), "token ");
	(void)kms_id_text(&lost->id, text + 6);
	(void)strcat(text, " is not reached");
	ck_assert(says(&answer->u.erase_plan.observed, text));
	ck_assert(says(&answer->u.erase_plan.observed, "\"problems\":[]"));
	ck_assert(says(&answer->u.erase_plan.observed, "\"needed\":1"));
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_SUSPENDED);
	OK(approve(APPROVER, &erasure, approver_key));
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_EXECUTING);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_RESULT, NULL).count, 1);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_REFUSED, NULL).count, 0); /* it said nothing */
	/* Its owner asks for two: it refuses, and that is written down, once. */
	lost->down = false;
	lost->open_code = KMS_CODE_TOKEN_REFUSED;
	lost->refuses_late = true;
	lost->why = "1 approvals, and 2 are needed";
	OK(execute(&erasure));
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_EXECUTING);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_REFUSED, NULL).count, 1);
	KMS_AUTO(model_answer) shown = NULL;
	struct model_request *asked = request(MODEL_OP_ERASE_SHOW);
	asked->u.id = erasure;
	OK(call(CUSTODIAN, asked, &shown));
	for (size_t i = 0; i < 2; i++) {
		const struct model_erase_row *row = &shown->u.erasures.keks[i];
		ck_assert_str_eq(row->refused, row->done ? "" : lost->why);
	}
}
END_TEST

START_TEST(pins_may_stand_in_another_order)
{
	struct kms_id key = make_wide_key();
	token_b->pins.count = 0;
	pin(&token_b->pins, APPROVER_TOO, approver_too_key);
	pin(&token_b->pins, APPROVER, approver_key);
	KMS_AUTO_BUF bytes = plan(MODEL_ERASE_KEY, &key, 0);
	ck_assert_uint_gt(bytes.len, 0);
}
END_TEST

START_TEST(nobody_plans_for_another_tenant)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED), tenant = id(TENANT);
	FAILS(plan_as(OTHER_CUSTODIAN, MODEL_ERASE_KEY, &key, 0, NULL), DENIED);
	ck_assert_uint_eq(look_at_uses().denials, 1);
	FAILS(plan_as(OTHER_CUSTODIAN, MODEL_ERASE_TENANT, &tenant, 0, NULL), DENIED);
	ck_assert_uint_eq(look_at_uses().denials, 2);
	FAILS(plan_as(STORAGE, MODEL_ERASE_KEY, &key, 0, NULL), DENIED);
}
END_TEST

START_TEST(versions_are_older_ones)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	FAILS(plan_as(CUSTODIAN, MODEL_ERASE_VERSIONS, &key, 1, NULL), KEY_STATE);
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_ROTATE, &key));
	FAILS(plan_as(CUSTODIAN, MODEL_ERASE_VERSIONS, &key, 2, NULL), KEY_STATE);
	FAILS(plan_as(CUSTODIAN, MODEL_ERASE_VERSIONS, &key, 3, NULL), NOT_FOUND);
	FAILS(plan_as(CUSTODIAN, MODEL_ERASE_VERSIONS, &key, 0, NULL), ARGUMENT);
	KMS_AUTO_BUF bytes = plan(MODEL_ERASE_VERSIONS, &key, 1);
	ck_assert_uint_gt(bytes.len, 0);
}
END_TEST

/* ---- the request ---- */

START_TEST(a_request_suspends_and_holds)
{
	struct kms_id key = make_wide_key(), session = open_session(STORAGE, TOKEN_A);
	OK(unwrap(&key, &session));
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	struct model_key row = key_of(&key);
	ck_assert_int_eq(row.state, MODEL_STATE_SUSPENDED);
	ck_assert(kms_id_equal(&row.erasure, &erasure));
	ck_assert_uint_eq(heard(token_a, 'h'), 1);
	ck_assert_uint_eq(heard(token_b, 'h'), 1);
	FAILS(unwrap(&key, &session), KEY_STATE);
	FAILS(call_about(CUSTODIAN, MODEL_OP_KEY_RESUME, &key), KEY_STATE);
	/* And nobody requests it again. */
	expect_problem(MODEL_ERASE_KEY, &key, "another erasure already");
}
END_TEST

START_TEST(a_deactivated_key_stops_as_well)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED),
		      session = open_session(STORAGE, TOKEN_A);
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_DEACTIVATE, &key));
	OK(unwrap(&key, &session));
	(void)request_erasure(MODEL_ERASE_KEY, &key, 0);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_DEACTIVATED);
	FAILS(unwrap(&key, &session), KEY_STATE);
}
END_TEST

static struct kms_buf pending; /* requested while a call is under way */
static struct kms_id pending_key;
static bool by_now;

static void request_now(void)
{
	token_a->during = NULL;
	OK(call(CUSTODIAN, request_of(&pending, custodian_key), NULL));
	by_now = true;
}

START_TEST(an_unwrap_in_flight_does_not_pass_a_request)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	by_now = false;
	pending_key = make_key(MODEL_DELIVERY_SEALED);
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_ROTATE, &pending_key));
	if (_i == 0) {
		OK(call_about(CUSTODIAN, MODEL_OP_KEY_DEACTIVATE, &pending_key));
	}
	pending = plan(
		_i == 2 ? MODEL_ERASE_VERSIONS : MODEL_ERASE_KEY, &pending_key, _i == 2 ? 1 : 0);
	token_a->during = request_now;
	FAILS(unwrap(&pending_key, &session), KEY_STATE);
	ck_assert(by_now);
	kms_buf_free(&pending);
	if (_i == 2) {
		/* The newer version lives; what is held is kms-tokend's to refuse. */
		session = open_session(STORAGE, TOKEN_A);
		ck_assert_int_eq(key_of(&pending_key).state, MODEL_STATE_ACTIVE);
		OK(unwrap(&pending_key, &session));
	}
}
END_TEST

START_TEST(held_versions_wait_for_a_token_that_was_not_told)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED),
		      session = open_session(STORAGE, TOKEN_A);
	OK(call_about(CUSTODIAN, MODEL_OP_KEY_ROTATE, &key));
	token_a->hold_code = KMS_CODE_TIMEOUT;
	(void)request_erasure(MODEL_ERASE_VERSIONS, &key, 1);
	FAILS(unwrap(&key, &session), TOKEN_DOWN);
	token_a->hold_code = KMS_CODE_OK;
	(void)usleep(LOOKS_US);
	ck_assert_uint_ge(heard(token_a, 'h'), 1);
	OK(unwrap(&key, &session));
}
END_TEST

START_TEST(what_is_requested_must_be_the_plan_and_the_askers_own)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	KMS_AUTO_BUF bytes = plan(MODEL_ERASE_KEY, &key, 0);
	size_t denials = look_at_uses().denials;
	FAILS(call(CUSTODIAN, request_of(&bytes, other_key), NULL), DENIED);
	struct model_request *asked = request_of(&bytes, other_key);
	KMS_AUTO(crypto_cert) cert = NULL;
	OK(crypto_cert_parse_pem(kms_bytes_str(other_cert.crt_pem), &cert));
	kms_buf_free(&asked->u.erase_request.certificate);
	OK(crypto_cert_der(cert, &asked->u.erase_request.certificate));
	FAILS(call(CUSTODIAN, asked, NULL), DENIED);
	FAILS(call(APPROVER, request_of(&bytes, custodian_key), NULL), DENIED);
	FAILS(call(OTHER_CUSTODIAN, request_of(&bytes, custodian_key), NULL), DENIED);
	ck_assert_uint_eq(look_at_uses().denials, denials + 4);
	/* Another window than a plan gives, and other KEKs than there are. */
	KMS_AUTO(format_erase) erase = NULL;
	OK(format_erase_read(kms_buf_bytes(&bytes), &erase));
	erase->keks[0].commitment.b[0] ^= 1;
	KMS_AUTO_BUF changed = {0};
	OK(format_erase_write(erase, &changed));
	FAILS(call(CUSTODIAN, request_of(&changed, custodian_key), NULL), ARGUMENT);
	erase->keks[0].commitment.b[0] ^= 1;
	erase->expires_unix_s += LIMIT_ERASE_WINDOW_S;
	kms_buf_free(&changed);
	OK(format_erase_write(erase, &changed));
	FAILS(call(CUSTODIAN, request_of(&changed, custodian_key), NULL), ARGUMENT);
	/* And what moved since. */
	add_dataset(&key);
	FAILS(call(CUSTODIAN, request_of(&bytes, custodian_key), NULL), KEY_STATE);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_ACTIVE);
	ck_assert_uint_eq(heard(token_a, 'h'), 0);
}
END_TEST

/* ---- approvals ---- */

START_TEST(approvers_sign_with_their_pinned_keys)
{
	struct kms_id key = make_wide_key();
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	FAILS(approve(CUSTODIAN, &erasure, approver_key), DENIED);
	FAILS(approve(APPROVER, &erasure, other_key), DENIED);
	FAILS(approve(APPROVER, &erasure, approver_too_key), DENIED);
	FAILS(call(APPROVER,
		      sign_request(MODEL_OP_ERASE_APPROVE, &erasure, approver_key, other_key),
		      NULL),
		DENIED);
	/* Every token that answers pins it. */
	token_b->pins.rows[0].spki.b[0] ^= 1;
	FAILS(approve(APPROVER, &erasure, approver_key), DENIED);
	token_b->down = true;
	OK(approve(APPROVER, &erasure, approver_key));
	FAILS(approve(APPROVER, &erasure, approver_key), EXISTS);
	token_a->down = true;
	FAILS(approve(APPROVER_TOO, &erasure, approver_too_key), TOKEN_DOWN);
	ck_assert_ptr_nonnull(strstr(detail, "no token of this erasure answers"));
	token_a->down = false;
	kms_clock_fix(kms_now_unix_ms() + (VALID_S + 60) * 1000);
	FAILS(approve(APPROVER_TOO, &erasure, approver_too_key), KEY_STATE);
}
END_TEST

START_TEST(a_cancellation_gives_back_and_is_told)
{
	struct kms_id key = make_wide_key(), session = open_session(STORAGE, TOKEN_A);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	FAILS(cancel(CUSTODIAN, &erasure, other_key), DENIED);
	FAILS(cancel(APPROVER, &erasure, other_key), DENIED);
	FAILS(cancel(OTHER_CUSTODIAN, &erasure, custodian_key), DENIED);
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_REQUESTED);
	token_b->down = true;
	OK(_i == 0 ? cancel(CUSTODIAN, &erasure, custodian_key)
		   : cancel(APPROVER, &erasure, approver_key));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_CANCELLED);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_ACTIVE);
	ck_assert_uint_eq(heard(token_a, 'x'), 1);
	ck_assert_uint_eq(heard(token_a, 'r'), 1);
	OK(unwrap(&key, &session));
	FAILS(approve(APPROVER, &erasure, approver_key), KEY_STATE);
	FAILS(execute(&erasure), KEY_STATE);
	/* The other hears of it when it is back. */
	token_b->down = false;
	(void)usleep(LOOKS_US);
	ck_assert_uint_ge(heard(token_b, 'x'), 1);
	ck_assert_uint_ge(heard(token_b, 'r'), 1);
}
END_TEST

/* ---- execution ---- */

START_TEST(it_begins_when_all_is_there)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	OK(approve(APPROVER, &erasure, approver_key));
	FAILS(execute(&erasure), KEY_STATE);
	ck_assert_str_eq(detail, "1 approvals of 2 that its tokens ask for");
	OK(approve(APPROVER_TOO, &erasure, approver_too_key));
	int64_t now = kms_now_unix_ms();
	kms_clock_fix(now - 60 * 1000);
	FAILS(execute(&erasure), KEY_STATE);
	kms_clock_fix(now + (VALID_S + 60) * 1000);
	FAILS(execute(&erasure), KEY_STATE);
	kms_clock_fix(-1);
	token_a->down = true;
	FAILS(execute(&erasure), TOKEN_DOWN);
	token_a->down = false;
	add_dataset(&key);
	FAILS(execute(&erasure), KEY_STATE);
	ck_assert_ptr_nonnull(strstr(detail, "not what was approved"));
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_INTENT, NULL).count, 0);
	ck_assert_uint_eq(token_a->opened, 0);
}
END_TEST

START_TEST(an_erased_key_says_by_what)
{
	struct kms_id key = make_wide_key(), session = open_session(STORAGE, TOKEN_A);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	char text[KMS_ID_TEXT];
	approve_both(&erasure);
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_DESTROYED);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_RESULT, NULL).count, 2);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_FINAL, NULL).count, 1);
	ck_assert_uint_eq(token_a->order_approvals, 2);
	FAILS(unwrap(&key, &session), ERASED);
	ck_assert_ptr_nonnull(strstr(detail, "erased at 20"));
	ck_assert_ptr_nonnull(strstr(detail, kms_id_text(&erasure, text)));
	ck_assert_ptr_nonnull(strstr(detail, "no certificate yet"));
	ck_assert_str_eq(kms_err_name(execute(&erasure)), "ok"); /* and changes nothing */
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_FINAL, NULL).count, 1);
	FAILS(cancel(CUSTODIAN, &erasure, custodian_key), KEY_STATE);
	FAILS(plan_as(CUSTODIAN, MODEL_ERASE_KEY, &key, 0, NULL), KEY_STATE);
}
END_TEST

START_TEST(a_false_word_is_no_result)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	bool alarms = _i == ERASE_LIE_RV || _i == ERASE_LIE_CANARY || _i == ERASE_LIE_MATCHED;
	approve_both(&erasure);
	token_a->erase_lie = (enum erase_lie)_i;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_EXECUTING);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_SUSPENDED);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_RESULT, NULL).count, 0);
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, alarms ? 1 : 0);
	FAILS(cancel(CUSTODIAN, &erasure, custodian_key), KEY_STATE);
	token_a->erase_lie = ERASE_LIE_NONE;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_INTENT, NULL).count, 1);
}
END_TEST

/* Attack 8, as kmsd sees it: kms-tokend found that its module lies, and stated nothing. */
START_TEST(attack_8_a_token_that_did_not_destroy_is_an_alarm)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&erasure);
	token_a->erase_code = KMS_CODE_INTERNAL;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_EXECUTING);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_SUSPENDED);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_RESULT, NULL).count, 0);
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, 1);
	token_a->erase_code = KMS_CODE_TIMEOUT; /* an outage is none */
	OK(execute(&erasure));
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, 1);
	token_a->erase_code = KMS_CODE_OK;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
}
END_TEST

static void link_up(struct token *token)
{
	(void)pthread_mutex_lock(&token->lock);
	token->down = false;
	token->links++;
	(void)pthread_mutex_unlock(&token->lock);
}

START_TEST(a_token_that_fails_does_not_keep_the_other)
{
	struct kms_id key = make_wide_key();
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&erasure);
	struct token *bad = _i % 2 == 0 ? token_a : token_b;
	if (_i < 2) {
		bad->down = true;
	} else {
		bad->open_code = KMS_CODE_TOKEN_REFUSED;
	}
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request *asked = request(MODEL_OP_ERASE_EXECUTE);
	asked->u.id = erasure;
	OK(call(CUSTODIAN, asked, &answer));
	ck_assert_int_eq(answer->u.erasures.rows[0].state, MODEL_ERASE_EXECUTING);
	ck_assert_uint_eq(answer->u.erasures.row_count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct model_erase_row *row = &answer->u.erasures.keks[i];
		bool its = kms_id_equal(&row->token, &bad->id);
		ck_assert_int_eq(row->done, !its);
		ck_assert_int_eq(row->seq > 0, !its);
		ck_assert_int_eq(row->token_up, !its || _i >= 2);
	}
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_SUSPENDED);
	/* It goes on by itself after the next link. */
	bad->open_code = KMS_CODE_OK;
	link_up(bad);
	for (int i = 0; i < 100 && state_of(&erasure) != MODEL_ERASE_DONE; i++) {
		(void)usleep(50 * 1000);
	}
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_RESULT, NULL).count, 2);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_DESTROYED);
}
END_TEST

START_TEST(a_token_that_comes_late_is_shown_the_others_word)
{
	struct kms_id key = make_wide_key();
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&erasure);
	token_b->open_code = KMS_CODE_TOKEN_REFUSED; /* the double takes it with that word */
	OK(execute(&erasure));
	ck_assert(!token_b->order_late);
	kms_clock_fix(kms_now_unix_ms() + (VALID_S + 60) * 1000);
	OK(execute(&erasure));
	ck_assert(token_b->order_late);
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
}
END_TEST

/* ---- approved anew ---- */

/* Of a key in both tokens B's copy is left: the approvals have expired, and B does not take A's
 * word. */
static struct kms_id half_erased(struct kms_id *ret_key)
{
	*ret_key = make_wide_key();
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, ret_key, 0);
	approve_both(&erasure);
	token_b->open_code = KMS_CODE_TOKEN_REFUSED;
	token_b->refuses_late = true;
	token_b->why = "its approvals have expired";
	OK(execute(&erasure));
	expect_problem(MODEL_ERASE_KEY, ret_key, "is in another erasure already");
	kms_clock_fix(kms_now_unix_ms() + (VALID_S + 60) * 1000);
	return erasure;
}

static void wait_for_state(const struct kms_id *erasure, enum model_erase_state state)
{
	for (int i = 0; i < 100 && state_of(erasure) != state; i++) {
		(void)usleep(50 * 1000);
	}
	ck_assert_int_eq(state_of(erasure), state);
}

START_TEST(what_is_left_after_the_expiry_is_approved_anew)
{
	struct kms_id key, session;
	struct kms_id old = half_erased(&key);
	KMS_AUTO(format_erase) erase = NULL;
	KMS_AUTO(model_answer) answer = NULL;
	char text[KMS_ID_TEXT];
	expect_problem(
		MODEL_ERASE_KEY, &key, "is in another erasure already"); /* not refused yet */
	OK(execute(&old));
	OK(plan_as(CUSTODIAN, MODEL_ERASE_KEY, &key, 0, &answer));
	ck_assert(says(&answer->u.erase_plan.observed, "\"problems\":[]"));
	ck_assert(says(&answer->u.erase_plan.scope, "\"renews\":[\""));
	ck_assert(says(&answer->u.erase_plan.scope, kms_id_text(&old, text)));
	OK(format_erase_read(kms_buf_bytes(&answer->u.erase_plan.bytes), &erase));
	ck_assert_uint_eq(erase->kek_count, 1);
	ck_assert(kms_id_equal(&erase->keks[0].token, &token_b->id));

	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_RENEWED);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_SUSPENDED);
	FAILS(call_about(CUSTODIAN, MODEL_OP_KEY_RESUME, &key), KEY_STATE);
	session = open_session(STORAGE, TOKEN_B);
	FAILS(unwrap(&key, &session), KEY_STATE);
	FAILS(execute(&old), KEY_STATE);
	FAILS(execute(&erasure), KEY_STATE); /* nobody has approved this one */
	approve_both(&erasure);
	token_b->open_code = KMS_CODE_OK;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_RENEWED);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_DESTROYED);
	ck_assert(is_held_by(&key, &erasure));
}
END_TEST

START_TEST(a_renewal_that_is_cancelled_releases_nothing)
{
	struct kms_id key;
	struct kms_id old = half_erased(&key);
	OK(execute(&old));
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	size_t released = heard(token_b, 'r');
	OK(cancel(CUSTODIAN, &erasure, custodian_key));
	ck_assert_uint_eq(heard(token_b, 'r'), released);
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_EXECUTING);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_SUSPENDED);
	ck_assert(is_held_by(&key, &old));
	link_up(token_b);
	(void)usleep(LOOKS_US);
	ck_assert_uint_eq(heard(token_b, 'r'), released);
	(void)request_erasure(MODEL_ERASE_KEY, &key, 0);
}
END_TEST

/* What a kms-tokend has begun is finished under the old bytes, and no part of a new plan. */
START_TEST(what_was_begun_is_not_renewed)
{
	struct kms_id key;
	struct kms_id old = half_erased(&key);
	set_life(token_b, &token_b->held[0].kek, MODEL_HELD_ERASING);
	OK(execute(&old)); /* refused as a whole, but begun */
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_REFUSED, NULL).count, 1); /* before the expiry */
	expect_problem(MODEL_ERASE_KEY, &key, "is in another erasure already");
	token_b->open_code = KMS_CODE_OK;
	OK(execute(&old));
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_DONE);
}
END_TEST

/* Between plan and request the token changed its mind, or went away. */
START_TEST(a_token_is_asked_once_more_before_anything_goes_over)
{
	struct kms_id key;
	struct kms_id old = half_erased(&key);
	OK(execute(&old));
	KMS_AUTO_BUF bytes = plan(MODEL_ERASE_KEY, &key, 0);
	token_b->down = true;
	FAILS(call(CUSTODIAN, request_of(&bytes, custodian_key), NULL), TOKEN_DOWN);
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_EXECUTING);
	token_b->down = false;
	token_b->open_code = KMS_CODE_OK;
	ck_assert(!kms_is_ok(call(CUSTODIAN, request_of(&bytes, custodian_key), NULL)));
	wait_for_state(&old, MODEL_ERASE_DONE);
}
END_TEST

/* A third copy, in a token that is away, stays in the old one. */
START_TEST(what_is_not_refused_stays_in_the_old_one)
{
	struct kms_id key = make_wide_key();
	struct kms_id old = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&old);
	token_a->down = true;
	token_b->open_code = KMS_CODE_TOKEN_REFUSED;
	token_b->refuses_late = true;
	OK(execute(&old));
	kms_clock_fix(kms_now_unix_ms() + (VALID_S + 60) * 1000);
	OK(execute(&old));
	KMS_AUTO(model_answer) answer = NULL;
	OK(plan_as(CUSTODIAN, MODEL_ERASE_KEY, &key, 0, &answer));
	ck_assert(says(&answer->u.erase_plan.observed, "which goes on with it"));
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_EXECUTING);
	approve_both(&erasure);
	token_b->open_code = KMS_CODE_OK;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_SUSPENDED);
	/* A comes back, had begun in time, and says so. */
	token_a->down = false;
	OK(execute(&old));
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_RENEWED);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_DESTROYED);
}
END_TEST

/* The wipe goes over with the KEK that it had to wait for. */
START_TEST(a_wipe_is_renewed_with_its_keks)
{
	struct kms_id tenant = id(TENANT);
	(void)make_wide_key();
	struct kms_id old = request_erasure(MODEL_ERASE_TENANT, &tenant, 0);
	approve_both(&old);
	token_b->erase_code = KMS_CODE_TOKEN_REFUSED;
	token_b->why = "its approvals have expired";
	OK(execute(&old));
	ck_assert_uint_eq(token_a->wipes, 1);
	kms_clock_fix(kms_now_unix_ms() + (VALID_S + 60) * 1000);
	OK(execute(&old));
	struct kms_id erasure = request_erasure(MODEL_ERASE_TENANT, &tenant, 0);
	ck_assert_int_eq(state_of(&old), MODEL_ERASE_RENEWED);
	approve_both(&erasure);
	token_b->erase_code = KMS_CODE_OK;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
	ck_assert_uint_eq(token_a->wipes, 1);
	ck_assert_uint_eq(token_b->wipes, 1);
}
END_TEST

START_TEST(a_kms_tokend_started_anew_gets_it_again)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&erasure);
	token_a->erase_code = KMS_CODE_TIMEOUT;
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_EXECUTING);
	token_a->erase_code = KMS_CODE_OK;
	format_erase_free(&token_a->erase);
	OK(execute(&erasure));
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
}
END_TEST

START_TEST(a_tenants_end_wipes_after_all_keys)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED), too = make_wide_key();
	struct kms_id tenant = id(TENANT);
	struct kms_id erasure = request_erasure(MODEL_ERASE_TENANT, &tenant, 0);
	approve_both(&erasure);
	token_a->not_initialised = true;
	token_b->erase_lie = ERASE_LIE_SIGNATURE;
	OK(execute(&erasure));
	ck_assert_uint_eq(token_a->wipes, 1);
	ck_assert_uint_eq(token_b->wipes, 0); /* a KEK of it is left */
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_WIPE, NULL).count, 0);
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_DESTROYED);
	ck_assert_int_eq(key_of(&too).state, MODEL_STATE_SUSPENDED);
	token_a->not_initialised = false;
	token_b->erase_lie = ERASE_LIE_NONE;
	OK(execute(&erasure));
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_WIPE, NULL).count, 2);
	ck_assert_int_eq(state_of(&erasure), MODEL_ERASE_DONE);
}
END_TEST

/* ---- afterwards ---- */

START_TEST(what_came_back_is_an_alarm_once)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&erasure);
	OK(execute(&erasure));
	size_t holds = heard(token_a, 'h');
	bool committed = _i == 1;
	set_life(token_a, &token_a->held[0].kek,
		committed ? MODEL_HELD_COMMITTED : MODEL_HELD_REAPPEARED);
	for (int i = 0; i < 2; i++) {
		link_up(token_a);
		(void)usleep(LOOKS_US);
	}
	ck_assert_uint_eq(look(MODEL_CHANGE_ALARM, NULL).count, 1);
	ck_assert_uint_eq(heard(token_a, 'h'), holds + (committed ? 2 : 0));
	ck_assert_int_eq(key_of(&key).state, MODEL_STATE_DESTROYED);
}
END_TEST

START_TEST(history_tells_of_erasures)
{
	KMS_AUTO(model_answer) before = NULL;
	KMS_AUTO(model_answer) after = NULL;
	struct kms_id key = make_wide_key(), other = make_key(MODEL_DELIVERY_SEALED);
	struct model_request *asked = request(MODEL_OP_KEY_HISTORY);
	asked->u.id = key;
	OK(call(CUSTODIAN, asked, &before));
	struct kms_id cancelled = request_erasure(MODEL_ERASE_KEY, &key, 0);
	OK(cancel(CUSTODIAN, &cancelled, custodian_key));
	struct kms_id tenant = id(TENANT);
	struct kms_id erasure = request_erasure(MODEL_ERASE_TENANT, &tenant, 0);
	approve_both(&erasure);
	OK(execute(&erasure));
	ck_assert_int_eq(key_of(&other).state, MODEL_STATE_DESTROYED);
	asked = request(MODEL_OP_KEY_HISTORY);
	asked->u.id = key;
	OK(call(CUSTODIAN, asked, &after));
	/* request, cancel; request, two approvals, intent, two results of this key, two wipes,
	 * final
	 */
	ck_assert_uint_eq(after->u.entries.count, before->u.entries.count + 11);
	for (size_t i = 1; i < after->u.entries.count; i++) {
		ck_assert_uint_gt(after->u.entries.rows[i].seq, after->u.entries.rows[i - 1].seq);
	}
}
END_TEST

static struct kms_id certificate(const struct kms_id *erasure, kms_err *ret_err)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request *asked = request(MODEL_OP_ERASE_CERTIFICATE);
	static const struct kms_id none;
	asked->u.id = *erasure;
	*ret_err = call(CUSTODIAN, asked, &answer);
	return answer != NULL ? answer->u.bundle.certificate : none;
}

START_TEST(a_certificate_is_issued_when_something_has_changed)
{
	kms_err err;
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	struct kms_id first = certificate(&erasure, &err);
	OK(err);
	struct kms_id again = certificate(&erasure, &err);
	OK(err);
	ck_assert(kms_id_equal(&first, &again));
	ck_assert_uint_eq(look(MODEL_CHANGE_CERT_ISSUE, NULL).count, 1);
	approve_both(&erasure);
	OK(execute(&erasure));
	struct kms_id last = certificate(&erasure, &err);
	OK(err);
	ck_assert(!kms_id_equal(&first, &last));
	again = certificate(&erasure, &err);
	OK(err);
	ck_assert(kms_id_equal(&last, &again));
	ck_assert_uint_eq(look(MODEL_CHANGE_CERT_ISSUE, NULL).count, 2);
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	char text[KMS_ID_TEXT];
	FAILS(unwrap(&key, &session), ERASED);
	ck_assert_ptr_nonnull(strstr(detail, kms_id_text(&last, text)));
}
END_TEST

/* ---- two at it at once ---- */

static struct kms_id at_once;
static pthread_t second;
static kms_err second_err;
static enum model_erase_state second_saw;

static void *execute_too(void *arg)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request *asked = request(MODEL_OP_ERASE_EXECUTE);
	struct model_principal person = principal(CUSTODIAN);
	char why[LIMIT_REASON + 1];
	(void)arg;
	asked->u.id = at_once;
	second_err = service_call(service, &person, MODEL_FACE_ADMIN, asked, &answer, why);
	second_saw = answer == NULL ? 0 : answer->u.erasures.rows[0].state;
	model_request_free(&asked);
	return NULL;
}

/* In the middle of a destruction somebody else asks for the same. */
static void another_comes(void)
{
	token_a->during = NULL;
	ck_assert_int_eq(pthread_create(&second, NULL, execute_too, NULL), 0);
	(void)usleep(300 * 1000);
}

/* Recovery looks by itself at what was begun, and a person may ask at that moment: the answer waits
 * for whoever is at it, and says what came of it. */
START_TEST(who_comes_second_is_told_the_end)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	at_once = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&at_once);
	token_a->during = another_comes;
	OK(execute(&at_once));
	ck_assert_int_eq(pthread_join(second, NULL), 0);
	OK(second_err);
	ck_assert_int_eq(second_saw, MODEL_ERASE_DONE);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_RESULT, NULL).count, 1);
	ck_assert_uint_eq(look(MODEL_CHANGE_ERASE_FINAL, NULL).count, 1);
}
END_TEST

/* ---- data keys on lease ---- */

static size_t recalled(unsigned holder)
{
	KMS_AUTO(model_answer) answer = NULL;
	struct model_request *asked = request(MODEL_OP_LEASE_REPORT);
	asked->u.lease_report.holder = id(holder);
	OK(call(STORAGE, asked, &answer));
	return answer->u.lease_report.recalled_count;
}

static void hand_out_many(const struct kms_id *key, unsigned holder, size_t count)
{
	struct kms_id session = open_session(STORAGE, TOKEN_A);
	struct model_request *asked =
		sealed_request(MODEL_OP_UNWRAP, key, TOKEN_A, &session, count);
	asked->u.use.holder = id(holder);
	OK(call(STORAGE, asked, NULL));
}

static void hand_out(const struct kms_id *key, unsigned holder)
{
	hand_out_many(key, holder, 1);
}

START_TEST(a_request_recalls_what_is_on_lease)
{
	enum { HOLDER = 90 };
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id other = make_key(MODEL_DELIVERY_SEALED);
	hand_out(&key, HOLDER);
	hand_out(&other, HOLDER + 1);
	ck_assert_uint_eq(recalled(HOLDER), 0);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	ck_assert_uint_eq(recalled(HOLDER), 1);
	ck_assert_uint_eq(recalled(HOLDER + 1), 0);
	ck_assert_uint_eq(recalled(HOLDER + 2), 0);
	OK(cancel(CUSTODIAN, &erasure, custodian_key));
	ck_assert_uint_eq(recalled(HOLDER), 0);
}
END_TEST

static struct format_receipt_row row_of(const struct kms_id *key, uint32_t count)
{
	return (struct format_receipt_row){*key, 1, count};
}

/* Recorded as it is: what a receipt must be to get here is in service_lease_test.c. */
static void give_back_with(unsigned holder, uint64_t number, struct format_receipt_row *rows,
	uint32_t count, size_t der_bytes)
{
	const struct format_receipt receipt = {.tenant = id(TENANT),
		.holder = id(holder),
		.number = number,
		.row_count = count,
		.rows = rows};
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	uint64_t seq;
	ck_assert_ptr_nonnull(change);
	change->type = MODEL_CHANGE_LEASE_RECEIPT;
	change->tenant = id(TENANT);
	change->actor = id(STORAGE);
	OK(format_receipt_write(&receipt, &change->u.lease_receipt.bytes));
	change->u.lease_receipt.certificate.ptr = calloc(1, der_bytes);
	ck_assert_ptr_nonnull(change->u.lease_receipt.certificate.ptr);
	change->u.lease_receipt.certificate.len = der_bytes;
	OK(ledger_change(ledger, change, &seq));
	model_change_free(change);
}

static void give_back(
	unsigned holder, uint64_t number, struct format_receipt_row *rows, uint32_t count)
{
	give_back_with(holder, number, rows, count, 3);
}

static size_t entries_of(const struct kms_id *erasure)
{
	uint64_t *seqs KMS_AUTO_FREE = NULL;
	size_t count = 0;
	OK(store_erasure_entries(store, erasure, &seqs, &count));
	return count;
}

/* A verifier adds up what the receipts of a certificate say, and must not come to more than the
 * certificate counts: no client spoils it with a receipt that says too much. */
START_TEST(a_receipt_that_says_too_much_is_in_no_certificate)
{
	enum { HOLDER = 90, STRANGER, HONEST };
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id other = make_key(MODEL_DELIVERY_SEALED);
	struct store_lease_sum sum;
	bool in_order = memcmp(key.b, other.b, sizeof(key.b)) < 0;
	struct format_receipt_row both[] = {
		row_of(in_order ? &key : &other, 1), row_of(in_order ? &other : &key, 1)};
	hand_out(&key, HOLDER);
	hand_out(&key, HONEST);
	hand_out(&other, STRANGER);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	size_t before = entries_of(&erasure);
	give_back(STRANGER, 1, both, 2); /* it never had this key */
	struct format_receipt_row row = row_of(&key, 2);
	give_back(HOLDER, 1, &row, 1); /* it had one */
	ck_assert_uint_eq(entries_of(&erasure), before);
	row = row_of(&key, 1);
	give_back(HONEST, 1, &row, 1);
	ck_assert_uint_eq(entries_of(&erasure), before + 1);
	OK(store_lease_sum(store, &key, 0, &sum));
	ck_assert_uint_eq(sum.returned, 2); /* what was over is not counted */
}
END_TEST

/* However many there are, and however large: what shows the erasure itself comes first. */
START_TEST(receipts_leave_room_in_the_bundle)
{
	enum { HOLDER = 90, MANY = 340 };
	kms_err err;
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct format_receipt_row row = row_of(&key, 1);
	hand_out_many(&key, HOLDER, LIMIT_BATCH_ITEMS);
	hand_out_many(&key, HOLDER, LIMIT_BATCH_ITEMS);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	for (uint64_t number = 1; number <= MANY; number++) {
		give_back_with(HOLDER, number, &row, 1, 12 * 1024);
	}
	approve_both(&erasure);
	OK(execute(&erasure));
	(void)certificate(&erasure, &err);
	OK(err);
}
END_TEST

/* All is destroyed, and a client may have its data key until then. */
START_TEST(a_certificate_is_final_when_the_last_lease_is_over)
{
	enum { HOLDER = 90 };
	kms_err err;
	struct model_erasure row;
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	hand_out(&key, HOLDER);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	approve_both(&erasure);
	OK(execute(&erasure));
	struct kms_id first = certificate(&erasure, &err);
	OK(err);
	struct kms_id again = certificate(&erasure, &err);
	OK(err);
	ck_assert(kms_id_equal(&first, &again)); /* nothing has changed */
	OK(store_erasure_get(store, &erasure, &row));
	ck_assert(!row.cert_final);
	model_erasure_free(&row);
	kms_clock_fix(kms_now_unix_ms() + (int64_t)POLICY_LEASE_S * 1000 + 1000);
	struct kms_id last = certificate(&erasure, &err);
	OK(err);
	ck_assert(!kms_id_equal(&first, &last));
	OK(store_erasure_get(store, &erasure, &row));
	ck_assert(row.cert_final);
	model_erasure_free(&row);
}
END_TEST

START_TEST(shows_and_lists_are_the_tenants_own)
{
	struct kms_id key = make_key(MODEL_DELIVERY_SEALED);
	struct kms_id erasure = request_erasure(MODEL_ERASE_KEY, &key, 0);
	KMS_AUTO(model_answer) mine = NULL;
	KMS_AUTO(model_answer) others = NULL;
	KMS_AUTO(model_answer) shown = NULL;
	OK(call(APPROVER, request(MODEL_OP_ERASE_LIST), &mine));
	ck_assert_uint_eq(mine->u.erasures.count, 1);
	OK(call(OTHER_CUSTODIAN, request(MODEL_OP_ERASE_LIST), &others));
	ck_assert_uint_eq(others->u.erasures.count, 0);
	FAILS(call_about(OTHER_CUSTODIAN, MODEL_OP_ERASE_SHOW, &erasure), DENIED);
	FAILS(call_about(OTHER_CUSTODIAN, MODEL_OP_ERASE_EXECUTE, &erasure), DENIED);
	struct model_request *asked = request(MODEL_OP_ERASE_SHOW);
	asked->u.id = erasure;
	OK(call(APPROVER, asked, &shown));
	ck_assert_uint_eq(shown->u.erasures.needed, 2);
	ck_assert_uint_eq(shown->u.erasures.row_count, 1);
	ck_assert_uint_gt(shown->u.erasures.scope.len, 0);
	ck_assert_uint_gt(shown->u.erasures.rows[0].bytes.len, 0);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_checked_fixture(tcase, set_up_erase, tear_down_erase);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, a_plan_says_what_dies);
	tcase_add_test(tcase, what_stands_in_the_way_is_said_and_nothing_is_signed);
	tcase_add_loop_test(
		tcase, a_token_that_is_not_reached_is_named_and_keeps_nothing_in_use, 0, 2);
	tcase_add_test(tcase, what_is_left_after_the_expiry_is_approved_anew);
	tcase_add_test(tcase, a_renewal_that_is_cancelled_releases_nothing);
	tcase_add_test(tcase, what_was_begun_is_not_renewed);
	tcase_add_test(tcase, a_token_is_asked_once_more_before_anything_goes_over);
	tcase_add_test(tcase, what_is_not_refused_stays_in_the_old_one);
	tcase_add_test(tcase, a_wipe_is_renewed_with_its_keks);
	tcase_add_test(tcase, pins_may_stand_in_another_order);
	tcase_add_test(tcase, nobody_plans_for_another_tenant);
	tcase_add_test(tcase, versions_are_older_ones);
	tcase_add_test(tcase, a_request_suspends_and_holds);
	tcase_add_test(tcase, a_deactivated_key_stops_as_well);
	tcase_add_loop_test(tcase, an_unwrap_in_flight_does_not_pass_a_request, 0, 3);
	tcase_add_test(tcase, held_versions_wait_for_a_token_that_was_not_told);
	tcase_add_test(tcase, what_is_requested_must_be_the_plan_and_the_askers_own);
	tcase_add_test(tcase, approvers_sign_with_their_pinned_keys);
	tcase_add_loop_test(tcase, a_cancellation_gives_back_and_is_told, 0, 2);
	tcase_add_test(tcase, it_begins_when_all_is_there);
	tcase_add_test(tcase, an_erased_key_says_by_what);
	tcase_add_loop_test(tcase, a_false_word_is_no_result, 1, ERASE_LIE_COUNT_);
	tcase_add_test(tcase, attack_8_a_token_that_did_not_destroy_is_an_alarm);
	tcase_add_loop_test(tcase, a_token_that_fails_does_not_keep_the_other, 0, 4);
	tcase_add_test(tcase, a_token_that_comes_late_is_shown_the_others_word);
	tcase_add_test(tcase, a_kms_tokend_started_anew_gets_it_again);
	tcase_add_test(tcase, a_tenants_end_wipes_after_all_keys);
	tcase_add_loop_test(tcase, what_came_back_is_an_alarm_once, 0, 2);
	tcase_add_test(tcase, history_tells_of_erasures);
	tcase_add_test(tcase, a_certificate_is_issued_when_something_has_changed);
	tcase_add_test(tcase, who_comes_second_is_told_the_end);
	tcase_add_test(tcase, a_request_recalls_what_is_on_lease);
	tcase_add_test(tcase, a_receipt_that_says_too_much_is_in_no_certificate);
	tcase_add_test(tcase, receipts_leave_room_in_the_bundle);
	tcase_add_test(tcase, a_certificate_is_final_when_the_last_lease_is_over);
	tcase_add_test(tcase, shows_and_lists_are_the_tenants_own);
}

int main(void)
{
	Suite *suite = suite_create("service_erase");
	TCase *tcase = tcase_create("all");
	add_tests(tcase);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
