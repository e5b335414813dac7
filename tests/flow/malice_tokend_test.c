/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A malicious kmsd against a real kms-tokend: each of its lies is refused by name, none counts as a
 * use, and kms-tokend goes on serving honest requests. The system token is in malice_head_test.c.
 */
#include "malice_house.h"

static struct client client;   /* the storage system storage-1 */
static struct model_bear good; /* a committed key, sealed */
static struct ask ask;

static void setup_with(const char *owner_file)
{
	copy_make();
	tokend_start("acme", owner_file);
	good = key_new(MODEL_DELIVERY_SEALED);
	client_open(&client, "storage");
}

static void setup(void)
{
	setup_with("owner.yaml");
}

static void setup_clear(void)
{
	setup_with("clear.yaml");
}

static void teardown(void)
{
	channel_free(&client.channel);
	kms_buf_free(&client.flight);
	copy_remove();
}

/* Data keys of the key `good`, made and to be opened again. */
static void ask_opened(uint32_t count)
{
	ask_make(&ask, &client, &good, count);
	ck_ok(ask_send(&ask));
	ask_again(&ask, MODEL_OP_UNWRAP);
}

static struct model_bear next_version(const struct model_bear *key)
{
	struct model_bear next = *key;
	ck_ok(kms_id_random(&next.kek));
	next.version++;
	return next;
}

/* ---- the honest way ---- */

START_TEST(an_honest_kmsd_is_served)
{
	uint8_t made[ITEMS][LIMIT_DATA_KEY_BYTES];
	ask_make(&ask, &client, &good, ITEMS);
	ck_ok(ask_send(&ask));
	memcpy(made, ask.keys, sizeof(made));
	ck_assert_mem_ne(made[0], made[1], sizeof(made[0]));
	struct model_bear second = next_version(&good);
	ck_ok(bear(&second));
	ck_ok(about_kek(TOKMSG_KEK_COMMIT, &second.kek));
	ask_again(&ask, MODEL_OP_REWRAP);
	ck_ok(ask_send(&ask));
	memset(ask.keys, 0, sizeof(ask.keys));
	ask_again(&ask, MODEL_OP_UNWRAP);
	ck_ok(ask_send(&ask));
	ck_assert_mem_eq(made, ask.keys, sizeof(made));
	for (uint32_t i = 0; i < ITEMS; i++) {
		ck_assert_uint_eq(ask.slots[i].version, 2);
		ck_assert(kms_id_equal(&ask.slots[i].kek, &second.kek));
	}
	ck_assert_uint_eq(used(), 3 * ITEMS);
}
END_TEST

/* ---- inside against outside ---- */

START_TEST(a_swapped_context_is_refused)
{
	ask_opened(1);
	ask.outer[0].context.b[31] ^= 1;
	refused(&ask, &good, "a context inside is another than outside");
}
END_TEST

START_TEST(a_swapped_key_is_refused)
{
	struct model_bear other = key_new(MODEL_DELIVERY_SEALED);
	ask_opened(1);
	ask.outside.key = other.key;
	refused(&ask, &good, "the key inside is another than outside");
}
END_TEST

START_TEST(a_swapped_wrapped_key_is_refused)
{
	ask_opened(1);
	ck_ok(kms_id_random(&ask.outer[0].wrapped_key));
	refused(&ask, &good, "a wrapped-key id inside is another than outside");
}
END_TEST

START_TEST(wrapped_keys_in_another_order_are_refused)
{
	ask_opened(2);
	struct model_call_item first = ask.outer[0];
	ask.outer[0] = ask.outer[1];
	ask.outer[1] = first;
	refused(&ask, &good, "a wrapped-key id inside is another than outside");
}
END_TEST

START_TEST(a_swapped_principal_is_refused)
{
	struct client second;
	client_open(&second, "second");
	ask_opened(1);
	ask.outside.principal = second.spki;
	refused(&ask, &good, "the sealed session is not the one of the principal that kmsd names");
	client_close(&second);
}
END_TEST

START_TEST(a_swapped_operation_is_refused)
{
	static const enum model_op other[] = {MODEL_OP_DATAKEY, MODEL_OP_WRAP, MODEL_OP_REWRAP};
	ask_opened(1);
	ask.outside.op = other[_i];
	refused(&ask, &good, "the operation inside is another than outside");
}
END_TEST

START_TEST(more_than_the_client_asked_is_refused)
{
	ask_opened(2);
	ask.outer[2] = ask.outer[1];
	ask.outside.count = 3;
	refused(&ask, &good, "there are more or fewer items inside than outside");
}
END_TEST

START_TEST(fewer_than_the_client_asked_is_refused)
{
	ask_opened(2);
	ask.outside.count = 1;
	refused(&ask, &good, "there are more or fewer items inside than outside");
}
END_TEST

/* ---- which KEK ---- */

START_TEST(one_keys_slot_under_anothers_kek_is_refused)
{
	struct model_bear other = key_new(MODEL_DELIVERY_SEALED);
	ask_opened(1);
	ask.items[0].slot.kek = other.kek;
	items_refused(&ask, &good, KMS_CODE_INTEGRITY);
}
END_TEST

START_TEST(a_wrapped_key_of_another_key_is_refused)
{
	struct model_bear other = key_new(MODEL_DELIVERY_SEALED);
	ask_opened(1);
	/* All of it says the other key, but for the slot. */
	ask.inside.key = ask.outside.key = ask.items[0].head.key = other.key;
	items_refused(&ask, &good, KMS_CODE_INTEGRITY);
}
END_TEST

START_TEST(a_head_of_another_key_than_the_requests_is_refused)
{
	ask_opened(1);
	ask.flip = 4 + 1 + 1 + 8 + 16 + 2 + 4 + 1 + 1 + 1; /* the head's key id; sealed.md */
	refused(&ask, &good, "the sealed request does not parse");
}
END_TEST

START_TEST(a_kek_is_not_born_for_two_keys)
{
	struct model_bear other = birth_of(MODEL_DELIVERY_SEALED);
	other.kek = good.kek;
	ck_code(bear(&other), EXISTS);
	serves_key(&good, "storage");
	ask_make(&ask, &client, &other, 1);
	items_refused(&ask, &good, KMS_CODE_NOT_FOUND);
}
END_TEST

START_TEST(another_custody_than_at_birth_is_refused)
{
	ask_opened(1);
	ask.items[0].head.custody = MODEL_CUSTODY_ALL;
	items_refused(&ask, &good, KMS_CODE_INTEGRITY);
	ask_make(&ask, &client, &good, 1);
	ask.items[0].head.custody = MODEL_CUSTODY_ALL;
	items_refused(&ask, &good, KMS_CODE_PINS);
}
END_TEST

START_TEST(another_delivery_than_at_birth_is_refused)
{
	ask_opened(1);
	ask.items[0].head.delivery = MODEL_DELIVERY_CLEAR;
	items_refused(&ask, &good, KMS_CODE_INTEGRITY);
	ask_make(&ask, &client, &good, 1);
	ask.items[0].head.delivery = MODEL_DELIVERY_CLEAR;
	items_refused(&ask, &good, KMS_CODE_PINS);
}
END_TEST

START_TEST(other_tokens_than_at_birth_are_refused)
{
	ask_opened(1);
	ask.items[0].token_count = 2;
	ck_ok(kms_id_random(&ask.items[0].tokens[1]));
	items_refused(&ask, &good, KMS_CODE_INTEGRITY);
	ask_make(&ask, &client, &good, 1);
	ck_ok(kms_id_random(&ask.items[0].tokens[0]));
	items_refused(&ask, &good, KMS_CODE_PINS);
}
END_TEST

/* Else a rewrap would make wrapped keys that nobody opens again: an erasure without approvals. */
START_TEST(a_version_with_other_tokens_is_not_rewrapped_to)
{
	struct model_bear next = next_version(&good);
	struct model_bear other = key_new(MODEL_DELIVERY_SEALED);
	next.token_count = 2;
	ck_ok(kms_id_random(&next.tokens[1]));
	ask_opened(1);
	ask_again(&ask, MODEL_OP_REWRAP);
	if (kms_is_ok(bear(&next))) {
		KMS_IGNORE(about_kek(TOKMSG_KEK_COMMIT, &next.kek));
	}
	items_refused(&ask, &other, KMS_CODE_INTEGRITY);
	ask_again(&ask, MODEL_OP_UNWRAP);
	ck_ok(ask_send(&ask));
	ck_assert_int_eq(ask.codes[0], KMS_CODE_OK);
}
END_TEST

/* ---- births ---- */

START_TEST(a_birth_that_the_owner_does_not_allow_is_refused)
{
	struct model_bear birth = birth_of(MODEL_DELIVERY_SEALED);
	switch (_i) {
	case 0: /* the owner's file has no `clear` */
		birth.delivery = MODEL_DELIVERY_CLEAR;
		break;
	case 1:
		ck_ok(kms_id_random(&birth.tenant));
		break;
	case 2: /* not for this token */
		ck_ok(kms_id_random(&birth.tokens[0]));
		break;
	default:
		birth.version = 0;
		break;
	}
	ck_code(bear(&birth), TOKEN_REFUSED);
	ck_code(about_kek(TOKMSG_KEK_COMMIT, &birth.kek), NOT_FOUND);
	serves_key(&good, "storage");
}
END_TEST

START_TEST(a_new_version_with_weaker_promises_is_refused)
{
	struct model_bear next = next_version(&good);
	if (_i == 0) {
		next.custody = MODEL_CUSTODY_ALL;
	} else if (_i == 1) {
		next.delivery = MODEL_DELIVERY_CLEAR;
	} else {
		next.version = good.version;
	}
	ck_code(bear(&next), TOKEN_REFUSED);
	ck_code(about_kek(TOKMSG_KEK_COMMIT, &next.kek), NOT_FOUND);
	serves_key(&good, "storage");
}
END_TEST

/* Both are born before either is committed, so that neither birth sees the other. */
START_TEST(two_births_of_one_key_cannot_both_be_committed_with_other_promises)
{
	struct model_bear first = birth_of(MODEL_DELIVERY_SEALED);
	struct model_bear second = next_version(&first);
	if (_i == 0) {
		second.delivery = MODEL_DELIVERY_CLEAR;
	} else {
		second.custody = MODEL_CUSTODY_ALL;
	}
	ck_ok(bear(&first));
	ck_ok(bear(&second));
	ck_ok(about_kek(TOKMSG_KEK_COMMIT, &first.kek));
	ck_code(about_kek(TOKMSG_KEK_COMMIT, &second.kek), TOKEN_REFUSED);
	serves_key(&first, "storage");
	serves_key(&good, "storage");
}
END_TEST

START_TEST(an_uncommitted_kek_is_not_used)
{
	struct model_bear born = birth_of(MODEL_DELIVERY_SEALED);
	ck_ok(bear(&born));
	ask_make(&ask, &client, &born, 1);
	items_refused(&ask, &good, KMS_CODE_TIMEOUT);
	ask_opened(1);
	ask.items[0].slot.kek = born.kek;
	items_refused(&ask, &good, KMS_CODE_TIMEOUT);
}
END_TEST

START_TEST(a_committed_kek_is_not_swept)
{
	ck_code(about_kek(TOKMSG_KEK_ABANDON, &good.kek), TOKEN_REFUSED);
	serves_key(&good, "storage");
	tokend_start("acme", "owner.yaml");
	ck_code(about_kek(TOKMSG_KEK_ABANDON, &good.kek), TOKEN_REFUSED);
	serves_key(&good, "storage");
}
END_TEST

START_TEST(an_unknown_kek_is_not_committed)
{
	struct kms_id unknown;
	ck_ok(kms_id_random(&unknown));
	ck_code(about_kek(TOKMSG_KEK_COMMIT, &unknown), NOT_FOUND);
	serves_key(&good, "storage");
}
END_TEST

START_TEST(an_abandoned_kek_does_not_come_back)
{
	struct model_bear born = birth_of(MODEL_DELIVERY_SEALED);
	ck_ok(bear(&born));
	ck_ok(about_kek(TOKMSG_KEK_ABANDON, &born.kek));
	for (int start = 0; start < 2; start++) {
		ck_code(bear(&born), EXISTS);
		ck_code(about_kek(TOKMSG_KEK_COMMIT, &born.kek), NOT_FOUND);
		serves_key(&good, "storage");
		tokend_start("acme", "owner.yaml");
	}
}
END_TEST

/* ---- records ---- */

/* The session is dead, for honest requests too; the client opens another one. */
static void session_is_dead(uint64_t before)
{
	ask_make(&ask, &client, &good, 1);
	ck_code(ask_send(&ask), SESSION);
	ck_assert_uint_eq(used(), before);
	serves_key(&good, "storage");
}

START_TEST(a_replayed_message_ends_the_session)
{
	KMS_AUTO_BUF record = {0};
	ask_opened(1);
	ask_seal(&ask, &record);
	ck_ok(ask_carry(&ask, &record));
	uint64_t before = used();
	ck_code(ask_carry(&ask, &record), SESSION);
	session_is_dead(before);
}
END_TEST

START_TEST(a_message_replayed_into_another_session_ends_that)
{
	struct client second;
	KMS_AUTO_BUF record = {0};
	ask_opened(1);
	ask_seal(&ask, &record);
	ck_ok(ask_carry(&ask, &record));
	client_open(&second, "storage");
	static struct ask other;
	ask_make(&other, &second, &good, 1);
	ck_ok(ask_send(&other));
	uint64_t before = used();
	ask.outside.session = second.session;
	ck_code(ask_carry(&ask, &record), SESSION);
	ck_code(ask_send(&other), SESSION);
	ck_assert_uint_eq(used(), before);
	serves_key(&good, "storage");
	client_close(&second);
}
END_TEST

START_TEST(swapped_messages_end_the_session)
{
	KMS_AUTO_BUF first = {0};
	KMS_AUTO_BUF second = {0};
	ask_opened(1);
	uint64_t before = used();
	ask_seal(&ask, &first);
	ask_seal(&ask, &second);
	ck_code(ask_carry(&ask, &second), SESSION);
	ck_code(ask_carry(&ask, &first), SESSION);
	session_is_dead(before);
}
END_TEST

START_TEST(a_dropped_message_ends_the_session)
{
	KMS_AUTO_BUF dropped = {0};
	KMS_AUTO_BUF next = {0};
	ask_opened(1);
	uint64_t before = used();
	ask_seal(&ask, &dropped);
	ask_seal(&ask, &next);
	ck_code(ask_carry(&ask, &next), SESSION);
	session_is_dead(before);
}
END_TEST

START_TEST(a_changed_message_ends_the_session)
{
	KMS_AUTO_BUF record = {0};
	ask_opened(1);
	uint64_t before = used();
	ask_seal(&ask, &record);
	record.ptr[record.len / 2] ^= 1;
	ck_code(ask_carry(&ask, &record), SESSION);
	session_is_dead(before);
}
END_TEST

/* ---- whose session ---- */

static void certificate_refused(const char *name, const char *reason)
{
	struct client false_client;
	client_open(&false_client, name);
	/* kmsd may name this session's own SPKI, or that of a client it wants to pass for. */
	ask_make(&ask, &false_client, &good, 1);
	refused(&ask, &good, reason);
	ask_make(&ask, &false_client, &good, 1);
	ask.outside.principal = client.spki;
	refused(&ask, &good, reason);
	client_close(&false_client);
}

#define NOT_OURS "the session's certificate is not one of the tenant's client CA"

START_TEST(a_certificate_of_the_platforms_ca_is_refused)
{
	certificate_refused("platform", NOT_OURS);
}
END_TEST

START_TEST(right_names_from_a_ca_of_its_own_are_refused)
{
	certificate_refused("own", NOT_OURS);
}
END_TEST

START_TEST(a_certificate_of_another_tenant_is_refused)
{
	certificate_refused("other", NOT_OURS);
}
END_TEST

START_TEST(a_certificate_without_the_storage_purpose_is_refused)
{
	certificate_refused("custodian", "the session's certificate lacks the storage purpose");
}
END_TEST

START_TEST(an_expired_certificate_is_refused)
{
	certificate_refused("expired", "the session's certificate has expired");
}
END_TEST

START_TEST(kmsds_own_certificate_is_refused_where_clear_is_not_allowed)
{
	certificate_refused("kmsd", NOT_OURS);
}
END_TEST

/* Owners change the file in place, or put a new one there, as many an editor does. */
static void deny(const struct kms_hash *spki, bool in_place)
{
	char text[KMS_HASH_TEXT + 1];
	(void)kms_hash_text(spki, text);
	(void)strcat(text, "\n");
	if (in_place) {
		int fd = open("acme/deny.txt", O_WRONLY | O_APPEND);
		ck_ok(kms_fd_write_all(fd, kms_bytes_str(text)));
		(void)close(fd);
	} else {
		ck_ok(kms_file_write("acme/deny.txt", kms_bytes_str(text), 0644));
	}
}

START_TEST(a_denied_certificate_is_refused)
{
	struct client second;
	client_open(&second, "second");
	deny(&second.spki, _i == 0);
	ask_make(&ask, &second, &good, 1);
	refused(&ask, &good, "the owner's deny list names this certificate");
	client_close(&second);
}
END_TEST

START_TEST(a_certificate_denied_while_its_session_lives_is_refused)
{
	struct client second;
	client_open(&second, "second");
	ask_make(&ask, &second, &good, 1);
	ck_ok(ask_send(&ask));
	deny(&second.spki, _i == 0);
	refused(&ask, &good, "the owner's deny list names this certificate");
	client_close(&second);
}
END_TEST

START_TEST(without_its_deny_list_nobody_is_served)
{
	ask_opened(1);
	uint64_t before = used();
	ck_assert_int_eq(unlink("acme/deny.txt"), 0);
	ck_code(ask_send(&ask), TOKEN_REFUSED);
	ck_assert_str_eq(answer.reason, "the deny list cannot be read");
	ck_assert_uint_eq(used(), before);
	ck_ok(kms_file_write("acme/deny.txt", kms_bytes_str("# nobody\n"), 0644));
	serves_key(&good, "storage");
}
END_TEST

/* ---- clear ---- */

START_TEST(a_sealed_key_never_answers_a_clear_session)
{
	struct client kmsd;
	client_open(&kmsd, "kmsd");
	ask_make(&ask, &kmsd, &good, 1);
	items_refused(&ask, &good, KMS_CODE_TOKEN_REFUSED);
	/* Nor a wrapped key that kmsd got from the client. */
	ask_opened(1);
	ask.client = &kmsd;
	ask.outside.session = kmsd.session;
	items_refused(&ask, &good, KMS_CODE_TOKEN_REFUSED);
	client_close(&kmsd);
}
END_TEST

START_TEST(a_clear_key_answers_a_clear_session_only)
{
	struct model_bear clear = key_new(MODEL_DELIVERY_CLEAR);
	serves_key(&clear, "kmsd");
	ask_make(&ask, &client, &clear, 1);
	items_refused(&ask, &good, KMS_CODE_TOKEN_REFUSED);
}
END_TEST

START_TEST(with_clear_allowed_others_of_the_platform_are_refused_still)
{
	certificate_refused("platform", NOT_OURS);
}
END_TEST

/* ---- uses, heads, and what is no message at all ---- */

static kms_err about_position(enum tokmsg_type type, uint64_t boot, uint64_t n)
{
	question.u.position.boot = boot;
	question.u.position.n = n;
	return tell(type);
}

START_TEST(uses_that_were_never_counted_are_not_acknowledged)
{
	serves_key(&good, "storage");
	ck_ok(tell(TOKMSG_HELLO));
	uint64_t boot = answer.u.hello.boot;
	ck_code(about_position(TOKMSG_USES_ACK, boot, 3), ARGUMENT);
	ck_code(about_position(TOKMSG_USES_ACK, boot + 1, 1), ARGUMENT);
	ck_code(about_position(TOKMSG_USES_ACK, boot - 1, 1), ARGUMENT);
	ck_code(about_position(TOKMSG_USES_PENDING, boot, 3), ARGUMENT);
	ck_ok(tell(TOKMSG_HELLO));
	ck_assert_uint_eq(answer.u.hello.acked, 0);
	sleep_ms(1300); /* statements are signed once a second */
	ck_ok(about_position(TOKMSG_STATEMENT_NEXT, 0, 0));
	ck_assert_uint_eq(answer.u.bytes.len, 0);
	/* An acknowledgement is not taken back: both uses stay in the statement. */
	ck_ok(about_position(TOKMSG_USES_ACK, boot, 2));
	ck_ok(about_position(TOKMSG_USES_ACK, boot, 1));
	sleep_ms(1300);
	ck_ok(about_position(TOKMSG_STATEMENT_NEXT, 0, 0));
	struct format_statement statement;
	struct kms_bytes signed_part, signature;
	ck_ok(format_statement_read(answer.u.bytes, &statement, &signed_part, &signature));
	ck_assert_uint_eq(statement.u.uses.count, 2);
	serves_key(&good, "storage");
}
END_TEST

START_TEST(a_tenants_token_signs_no_head)
{
	question.u.head_sign.proof_count = 0;
	question.u.head_sign.checkpoint =
		kms_bytes_str("platform.example/kmsd/malice\n1\n"
			      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	ck_code(tell(TOKMSG_HEAD_SIGN), TOKEN_REFUSED);
	ck_code(tell(TOKMSG_HEAD_LAST), TOKEN_REFUSED);
	serves_key(&good, "storage");
}
END_TEST

/* Frames of which kms-tokend understands the length and nothing else. */
static const struct {
	const char *what;
	uint8_t bytes[16];
	size_t len;
} no_messages[] = {
	{"a version that is not spoken", {0, 0, 0, 6, 2, TOKMSG_HELLO, 0, 0, 0, 1}, 10},
	{"type 0", {0, 0, 0, 6, 1, 0, 0, 0, 0, 1}, 10},
	{"a type after the last", {0, 0, 0, 6, 1, TOKMSG_TYPE_COUNT_, 0, 0, 0, 1}, 10},
	{"an answer", {0, 0, 0, 8, 1, TOKMSG_ANSWER | TOKMSG_PING, 0, 0, 0, 1, 0, 0}, 12},
	{"a body cut short", {0, 0, 0, 8, 1, TOKMSG_KEK_COMMIT, 0, 0, 0, 1, 1, 2}, 12},
	{"bytes after the body", {0, 0, 0, 7, 1, TOKMSG_HELLO, 0, 0, 0, 1, 9}, 11},
	{"no body", {0, 0, 0, 0}, 4},
	{"a length one past the limit", {0, 8, 0, 1, 1, TOKMSG_HELLO, 0, 0, 0, 1}, 10},
	{"the longest length", {0xff, 0xff, 0xff, 0xff, 1, TOKMSG_HELLO}, 6},
};
enum { NO_MESSAGES = sizeof(no_messages) / sizeof(no_messages[0]) };

START_TEST(what_is_no_message_ends_the_connection)
{
	_Static_assert(LIMIT_TOKMSG_BYTES == 0x80000, "the frame one past the limit");
	struct kms_bytes bytes = {no_messages[_i].bytes, no_messages[_i].len};
	ck_ok(kms_fd_write_all(toklink_fd(link_to), bytes));
	int64_t start = kms_monotonic_ms();
	kms_err err = toklink_receive(link_to, WAIT_MS, &answer);
	/* At once: it does not wait five seconds for the rest of a frame that is too long. */
	ck_assert_int_lt(kms_monotonic_ms() - start, 4000);
	ck_assert_msg(kms_is(err, KMS_CODE_TOKEN_DOWN), "%s: %s", no_messages[_i].what,
		kms_err_name(err));
	reconnect();
	serves_key(&good, "storage");
}
END_TEST

START_TEST(a_call_for_a_session_that_is_not_there_is_refused)
{
	ask_opened(1);
	uint64_t before = used();
	ck_ok(kms_id_random(&ask.outside.session));
	ck_code(ask_send(&ask), SESSION);
	ck_assert_uint_eq(used(), before);
	serves_key(&good, "storage");
}
END_TEST

/* Does kms-tokend hang up on this link without an answer? */
static bool hangs_up(void)
{
	struct toklink *stranger = NULL;
	if (!kms_is_ok(toklink_connect("acme/s", &stranger))) {
		return false; /* not what is tested here */
	}
	question.type = TOKMSG_HELLO;
	tokmsg_clear(&answer);
	KMS_IGNORE(toklink_send(stranger, &question, WAIT_MS));
	kms_err err = toklink_receive(stranger, WAIT_MS, &answer);
	toklink_free(&stranger);
	return kms_is(err, KMS_CODE_TOKEN_DOWN);
}

START_TEST(another_user_than_kmsds_is_refused)
{
	if (geteuid() != 0) {
		return; /* the next test says it without root */
	}
	ck_assert_int_eq(chmod("acme/s", 0666), 0); /* were it but for the file's mode */
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		bool refused_there = setgid(65533) == 0 && setuid(65533) == 0 && hangs_up();
		_exit(refused_there ? 0 : 1);
	}
	int status = 0;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	serves_key(&good, "storage");
}
END_TEST

START_TEST(who_is_not_the_owners_kmsd_is_refused)
{
	tokend_start("acme", "stranger.yaml"); /* expects kmsd as user 65533 */
	ck_assert(hangs_up());
	tokend_start("acme", "owner.yaml");
	serves_key(&good, "storage");
}
END_TEST

/* ---- */

static TCase *tcase(Suite *suite, const char *name, void (*before)(void))
{
	TCase *tcase = tcase_create(name);
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, house_make, house_remove);
	tcase_add_checked_fixture(tcase, before, teardown);
	suite_add_tcase(suite, tcase);
	return tcase;
}

static void add_calls(TCase *calls)
{
	tcase_add_test(calls, an_honest_kmsd_is_served);
	tcase_add_test(calls, a_swapped_context_is_refused);
	tcase_add_test(calls, a_swapped_key_is_refused);
	tcase_add_test(calls, a_swapped_wrapped_key_is_refused);
	tcase_add_test(calls, wrapped_keys_in_another_order_are_refused);
	tcase_add_test(calls, a_swapped_principal_is_refused);
	tcase_add_loop_test(calls, a_swapped_operation_is_refused, 0, 3);
	tcase_add_test(calls, more_than_the_client_asked_is_refused);
	tcase_add_test(calls, fewer_than_the_client_asked_is_refused);
	tcase_add_test(calls, a_replayed_message_ends_the_session);
	tcase_add_test(calls, a_message_replayed_into_another_session_ends_that);
	tcase_add_test(calls, swapped_messages_end_the_session);
	tcase_add_test(calls, a_dropped_message_ends_the_session);
	tcase_add_test(calls, a_changed_message_ends_the_session);
	tcase_add_test(calls, a_call_for_a_session_that_is_not_there_is_refused);
	tcase_add_test(calls, uses_that_were_never_counted_are_not_acknowledged);
}

static void add_keks(TCase *keks)
{
	tcase_add_test(keks, one_keys_slot_under_anothers_kek_is_refused);
	tcase_add_test(keks, a_wrapped_key_of_another_key_is_refused);
	tcase_add_test(keks, a_head_of_another_key_than_the_requests_is_refused);
	tcase_add_test(keks, a_kek_is_not_born_for_two_keys);
	tcase_add_test(keks, another_custody_than_at_birth_is_refused);
	tcase_add_test(keks, another_delivery_than_at_birth_is_refused);
	tcase_add_test(keks, other_tokens_than_at_birth_are_refused);
	tcase_add_test(keks, a_version_with_other_tokens_is_not_rewrapped_to);
	tcase_add_loop_test(keks, a_birth_that_the_owner_does_not_allow_is_refused, 0, 4);
	tcase_add_loop_test(keks, a_new_version_with_weaker_promises_is_refused, 0, 3);
	tcase_add_test(keks, an_uncommitted_kek_is_not_used);
	tcase_add_test(keks, a_committed_kek_is_not_swept);
	tcase_add_test(keks, an_unknown_kek_is_not_committed);
	tcase_add_test(keks, an_abandoned_kek_does_not_come_back);
	tcase_add_test(keks, a_tenants_token_signs_no_head);
}

static void add_peers(TCase *peers)
{
	tcase_add_test(peers, a_certificate_of_the_platforms_ca_is_refused);
	tcase_add_test(peers, right_names_from_a_ca_of_its_own_are_refused);
	tcase_add_test(peers, a_certificate_of_another_tenant_is_refused);
	tcase_add_test(peers, a_certificate_without_the_storage_purpose_is_refused);
	tcase_add_test(peers, an_expired_certificate_is_refused);
	tcase_add_test(peers, kmsds_own_certificate_is_refused_where_clear_is_not_allowed);
	tcase_add_loop_test(peers, a_denied_certificate_is_refused, 0, 2);
	tcase_add_loop_test(peers, a_certificate_denied_while_its_session_lives_is_refused, 0, 2);
	tcase_add_test(peers, without_its_deny_list_nobody_is_served);
	tcase_add_loop_test(peers, what_is_no_message_ends_the_connection, 0, NO_MESSAGES);
	tcase_add_test(peers, another_user_than_kmsds_is_refused);
	tcase_add_test(peers, who_is_not_the_owners_kmsd_is_refused);
}

int main(void)
{
	Suite *suite = suite_create("malice_tokend");
	add_calls(tcase(suite, "calls", setup));
	add_keks(tcase(suite, "keks", setup));
	add_peers(tcase(suite, "peers", setup));
	TCase *clear = tcase(suite, "clear", setup_clear);
	tcase_add_test(clear, a_sealed_key_never_answers_a_clear_session);
	tcase_add_test(clear, a_clear_key_answers_a_clear_session_only);
	tcase_add_test(clear, with_clear_allowed_others_of_the_platform_are_refused_still);
	tcase_add_loop_test(
		clear, two_births_of_one_key_cannot_both_be_committed_with_other_promises, 0, 2);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
