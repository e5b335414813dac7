/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the system token's kms-tokend: no smaller, forked or foreign head is ever signed, and
 * what was signed is durable; of the poll loop over a real socket; and of the owner's file.
 */
#include "tokend_fixture.h"

#include "p11_shim.h"
#include "proc.h"
#include "softhsm_leak.h"
#include "toklink.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

enum { TREE = 16, LEVELS = 5 };

/* A log of TREE leaves, and one that differs from leaf 2 on. */
static struct kms_hash nodes[2][LEVELS][TREE];
static struct kms_hash roots[2][TREE + 1];

static kms_err read_node(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	*ret_hash = nodes[*(const int *)ctx][level][index];
	return KMS_OK;
}

static void grow(int log)
{
	static struct tlog_edge edge;
	static struct tlog_node filled[TLOG_LEVELS];
	unsigned count;
	memset(&edge, 0, sizeof(edge));
	for (unsigned i = 0; i < TREE; i++) {
		const struct kms_hash leaf =
			sample_hash((uint8_t)(i + (i >= 2 && log == 1 ? 100u : 0u)));
		ck_ok(tlog_edge_append(&edge, &leaf, filled, &count));
		for (unsigned k = 0; k < count; k++) {
			nodes[log][filled[k].level][filled[k].index] = filled[k].hash;
		}
		ck_ok(tlog_edge_root(&edge, &roots[log][i + 1]));
	}
}

/* Ask for the head of log at size, proven from `from` (0: without a proof). */
static kms_err sign_as(const char *origin, int log, uint64_t from, uint64_t size)
{
	static struct tlog_checkpoint checkpoint;
	static struct tlog_proof proof;
	static struct model_head_sign request;
	KMS_AUTO_BUF text = {0};
	struct kms_bytes note;
	memset(&checkpoint, 0, sizeof(checkpoint));
	memset(&proof, 0, sizeof(proof));
	memset(&request, 0, sizeof(request));
	(void)strcpy(checkpoint.origin, origin);
	checkpoint.size = size;
	checkpoint.root = roots[log][size];
	ck_ok(tlog_checkpoint_text(&checkpoint, &text));
	if (from > 0) {
		ck_ok(tlog_prove_consistency(read_node, &log, from, size, &proof));
	}
	request.checkpoint = kms_buf_bytes(&text);
	request.proof_count = proof.count;
	memcpy(request.proof, proof.hashes, sizeof(request.proof));
	return head_sign(tokend, &request, &note);
}

static kms_err sign(int log, uint64_t from, uint64_t size)
{
	return sign_as(ORIGIN, log, from, size);
}

/* The log's keys as the token has them now. */
static void token_keys(bool has_ed25519, struct tlog_vkey keys[2])
{
	struct p11_sign_key key;
	KMS_AUTO_BUF spki = {0};
	ck_ok(p11_sign_key_find(tokend->p11, P11_SIGN_P256, HEAD_SIGN_LABEL, &key));
	ck_ok(p11_sign_key_spki(&key, &spki));
	ck_ok(tlog_vkey_make(ORIGIN, kms_buf_bytes(&spki), &keys[0]));
	kms_err err =
		p11_sign_key_find(tokend->p11, P11_SIGN_ED25519, HEAD_SIGN_ED25519_LABEL, &key);
	if (has_ed25519) {
		ck_ok(err);
		ck_ok(tlog_vkey_make_ed25519(ORIGIN, key.point, &keys[1]));
	} else {
		ck_code(err, NOT_FOUND);
	}
}

/* What is held, and what stands on disk, is a note over that size, with both signatures or, where
 * the token has no Ed25519 key, with the one. */
static void holds_with(bool has_ed25519, uint64_t size)
{
	struct kms_bytes note;
	KMS_AUTO_BUF file = {0};
	ck_ok(head_last(tokend->head, &note));
	if (size == 0) {
		ck_assert_uint_eq(note.len, 0);
		ck_code(state_read(&tokend->state, "head", TLOG_NOTE_MAX, &file), NOT_FOUND);
		return;
	}
	ck_ok(state_read(&tokend->state, "head", TLOG_NOTE_MAX, &file));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&file), note));
	struct tlog_vkey keys[2];
	struct tlog_checkpoint checkpoint;
	struct kms_bytes text;
	token_keys(has_ed25519, keys);
	ck_ok(tlog_note_open_exact(note, TLOG_NOTE_MAX, keys, has_ed25519 ? 2 : 1, &text));
	ck_ok(tlog_checkpoint_parse(text, &checkpoint));
	ck_assert_uint_eq(checkpoint.size, size);
}

static void holds(uint64_t size)
{
	holds_with(true, size);
}

/* The same without a look into the token: size alone. */
static void holds_file(uint64_t size)
{
	struct kms_bytes note;
	KMS_AUTO_BUF file = {0};
	KMS_AUTO_FREE char *want = NULL;
	ck_ok(head_last(tokend->head, &note));
	ck_ok(state_read(&tokend->state, "head", TLOG_NOTE_MAX, &file));
	ck_assert(kms_bytes_equal(kms_buf_bytes(&file), note));
	ck_ok(kms_text(&want, "%s\n%llu\n", ORIGIN, (unsigned long long)size));
	ck_assert(note.len > strlen(want) && memcmp(note.ptr, want, strlen(want)) == 0);
}

static void fresh_system(void)
{
	init_with(true, "");
	ck_ok(start());
	grow(0);
	grow(1);
}

START_TEST(heads_grow)
{
	holds(0);
	ck_ok(sign(0, 0, 3));
	holds(3);
	ck_ok(sign(0, 3, 4));
	ck_ok(sign(0, 4, 11));
	ck_ok(sign(0, 0, 11)); /* the same again: the note that is there */
	holds(11);
	restart();
	holds(11);
	ck_ok(sign(0, 11, 16));
	holds(16);
}
END_TEST

START_TEST(heads_that_are_refused)
{
	ck_ok(sign(0, 0, 7));
	for (int again = 0; again < 2; again++) {
		ck_code(sign(0, 0, 6), ROLLBACK);
		ck_code(sign(1, 0, 6), ROLLBACK);
		ck_code(sign(1, 0, 7), INTEGRITY); /* same size, other root */
		ck_code(sign(1, 7, 9), INTEGRITY); /* a fork with a proof of its own */
		ck_code(sign(0, 6, 9), INTEGRITY); /* a proof from elsewhere */
		ck_assert(!kms_is_ok(sign(0, 0, 9)));
		ck_code(sign_as("example.test/kmsd/2", 0, 7, 9), TOKEN_REFUSED);
		holds(7);
		restart(); /* and so after a start */
	}
	ck_ok(sign(0, 7, 9));
}
END_TEST

START_TEST(an_empty_log_has_no_head)
{
	ck_ok(tlog_root_of(NULL, 0, &roots[0][0]));
	ck_code(sign(0, 0, 0), TOKEN_REFUSED);
	static struct model_head_sign request;
	struct kms_bytes note;
	request.checkpoint = kms_bytes_str("not a checkpoint\n");
	ck_assert(!kms_is_ok(head_sign(tokend, &request, &note)));
	holds(0);
}
END_TEST

START_TEST(a_head_that_is_not_durable_does_not_leave)
{
	ck_ok(sign(0, 0, 3));
	shell("mkdir %s/token/state/head.new", dir);
	ck_assert(!kms_is_ok(sign(0, 3, 5)));
	holds(3);
	shell("rmdir %s/token/state/head.new", dir);
	ck_ok(sign(0, 3, 5));
	holds(5);
}
END_TEST

START_TEST(a_changed_head_file_stops_the_start)
{
	ck_ok(sign(0, 0, 3));
	stop();
	shell("sed -i 2s/3/2/ %s/token/state/head", dir);
	ck_code(start(), INTEGRITY);
}
END_TEST

/* ---- the second key ---- */

/* One line of the head file, and it alone, is other than it was. */
START_TEST(a_head_file_has_both_lines)
{
	static const char *const edits[] = {
		"$d",                                  /* without the Ed25519 line */
		"5d",                                  /* without the P-256 line */
		"5{h;d};${G}",                         /* swapped */
		"${p}",                                /* one twice */
		"$ s/.$/A/",                           /* another base64 padding */
		"$ s/\\(.*\\)..\\(....\\)$/\\1AA\\2/", /* another signature */
		"5 s/\\(.*\\)..\\(....\\)$/\\1AA\\2/",
	};
	ck_ok(sign(0, 0, 3));
	stop();
	shell("cp %s/token/state/head %s/kept && test $(wc -l < %s/kept) = 6", dir, dir, dir);
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		shell("sed '%s' %s/kept > %s/token/state/head && ! cmp -s %s/kept "
		      "%s/token/state/head",
			edits[i], dir, dir, dir, dir);
		kms_err err = start();
		ck_assert_msg(
			kms_is(err, KMS_CODE_INTEGRITY), "%s: %s", edits[i], kms_err_name(err));
	}
	shell("cp %s/kept %s/token/state/head", dir, dir);
	ck_ok(start());
	holds(3);
}
END_TEST

START_TEST(pins_name_both_keys)
{
	struct tlog_vkey keys[2];
	KMS_AUTO_FREE char *p256 = NULL;
	KMS_AUTO_FREE char *ed25519 = NULL;
	token_keys(true, keys);
	ck_ok(tlog_vkey_text(&keys[0], &p256));
	ck_ok(tlog_vkey_text(&keys[1], &ed25519));
	shell("grep -qxF \"ledger_key: '%s'\" %s/token/pins.yaml", p256, dir);
	shell("grep -qxF \"ledger_key_ed25519: '%s'\" %s/token/pins.yaml", ed25519, dir);
}
END_TEST

/* --init made it: there are no heads of one signature instead. */
START_TEST(a_second_key_that_is_gone_stops_the_start)
{
	struct p11_sign_key key;
	ck_ok(p11_sign_key_find(tokend->p11, P11_SIGN_ED25519, HEAD_SIGN_ED25519_LABEL, &key));
	char id[2 * sizeof(key.id.b) + 1] = "";
	for (size_t i = 0; i < sizeof(key.id.b); i++) {
		(void)snprintf(id + 2 * i, 3, "%02x", key.id.b[i]);
	}
	stop();
	/* SoftHSM writes CKA_ID as it is into the file of the public half. */
	shell("n=0; for f in $(find %s/token -name '*.object'); do if od -An -v -tx1 $f | tr -d ' "
	      "\\n' | grep -q %s; then rm $f; n=$((n + 1)); fi; done; test $n = 1",
		dir, id);
	ck_code(start(), NOT_FOUND);
}
END_TEST

static struct shim *shim;

/* A system token over a module that does as the test says, made and started. */
static void system_on_shim(void (*before_init)(void))
{
	char self[400];
	KMS_AUTO(owner) owner = NULL;
	kms_log_set("tokend_test", KMS_LOG_ERROR);
	(void)strcpy(dir, "/tmp/kms-tokend-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	ck_assert_int_gt(len, 0);
	self[len] = '\0';
	*strrchr(self, '/') = '\0';
	const char *path = path_of("%s/p11_shim.so", self);
	struct shim *(*control)(void);
	void *symbol = dlsym(dlopen(path, RTLD_NOW), "shim_control");
	memcpy(&control, &symbol, sizeof(control));
	shim = control();
	const char *file = write_owner(true, "");
	shell("sed 's,^module: .*,module: %s,' $KMS_SOURCE/pkcs11-profiles/softhsm.yaml "
	      "> %s/module.yaml && sed -i 's,^profile: .*,profile: %s/module.yaml,' %s",
		path, dir, dir, file);
	before_init();
	ck_ok(owner_read(file, &owner));
	init_quietly(owner);
	ck_ok(start());
	grow(0);
	grow(1);
}

static void lies_not(void)
{
}
static void knows_no_ed25519(void)
{
	shim->no_ed25519 = true;
}
static void signs_ed25519_badly(void)
{
	shim->ed25519_lies = true;
}
static void has_weak_ed25519(void)
{
	shim->ed25519_weak = true;
}

START_TEST(a_token_that_cannot_has_the_p256_key_alone)
{
	void (*const before[])(void) = {knows_no_ed25519, signs_ed25519_badly, has_weak_ed25519};
	system_on_shim(before[_i]);
	shell("grep -q \"^ledger_key: '\" %s/token/pins.yaml", dir);
	shell("! grep -q ^ledger_key_ed25519: %s/token/pins.yaml", dir);
	shell("grep -q '^# no ledger_key_ed25519: ' %s/token/pins.yaml", dir);
	ck_ok(sign(0, 0, 3));
	holds_with(false, 3);
	restart();
	ck_ok(sign(0, 3, 4));
	holds_with(false, 4);
	/* a token that learns it later has no such key for all that: --init runs once */
	stop();
	memset(shim, 0, offsetof(struct shim, logins));
	ck_ok(start());
	ck_ok(sign(0, 4, 5));
	holds_with(false, 5);
}
END_TEST

/* What fails for one key fails for both: no head is written, and none leaves. */
START_TEST(one_signature_that_fails_fails_both)
{
	enum { ALWAYS = 1000000 };
	system_on_shim(lies_not);
	ck_ok(sign(0, 0, 3));
	shim->function = "C_SignInit Ed25519";
	shim->rv = CKR_GENERAL_ERROR;
	shim->times = ALWAYS;
	ck_code(sign(0, 3, 5), INTERNAL);
	holds_file(3);
	shim->function = "C_SignInit";
	shim->times = 1; /* the first: P-256 */
	shim->rv = CKR_KEY_FUNCTION_NOT_PERMITTED;
	ck_code(sign(0, 3, 5), INTERNAL);
	ck_assert_uint_eq(shim->times, 0);
	holds_file(3);
	shim->function = NULL;
	shim->ed25519_lies = true;
	ck_code(sign(0, 3, 5), INTERNAL);
	holds_file(3);
	shim->ed25519_lies = false;
	shim->ed25519_short = true;
	ck_code(sign(0, 3, 5), INTERNAL);
	holds_file(3);
	shim->ed25519_short = false;
	holds(3);
	ck_ok(sign(0, 3, 5));
	holds(5);
}
END_TEST

START_TEST(the_system_token_does_nothing_else)
{
	struct model_bear bear = bear_of(0x10, 0x20, 1);
	struct kms_bytes statement;
	struct kms_id session;
	KMS_AUTO_BUF flight = {0};
	bear.tenant = tokend->owner->tenant;
	ck_code(keks_bear(tokend, &bear, &statement), TOKEN_REFUSED);
	ck_code(sessions_open(tokend->sessions, kms_bytes_str("x"), &session, &flight),
		TOKEN_REFUSED);
}
END_TEST

/* ---- the poll loop ---- */

static int listen_fd, stop_fd;
static pthread_t server;
static struct tokmsg msg;

static void *serve(void *ret_err)
{
	*(kms_err *)ret_err = serve_run(tokend, listen_fd, stop_fd);
	return NULL;
}

static enum kms_code said(struct toklink *link, enum tokmsg_type type)
{
	sample_msg(&msg, type, false);
	ck_ok(toklink_send(link, &msg, 2000));
	tokmsg_clear(&msg);
	ck_ok(toklink_receive(link, 5000, &msg));
	ck_assert(msg.is_answer && msg.type == type && msg.id == 0x01020304);
	enum kms_code code = msg.code;
	ck_assert(code == KMS_CODE_OK || msg.reason[0] != '\0');
	tokmsg_clear(&msg);
	return code;
}

START_TEST(messages_over_a_socket)
{
	struct toklink *link = NULL, *second = NULL;
	kms_err err = KMS_OK;
	const char *path = path_of("%s/socket", dir);
	ck_ok(toklink_listen(path, &listen_fd));
	ck_ok(proc_signals(&stop_fd));
	ck_assert_int_eq(pthread_create(&server, NULL, serve, &err), 0);
	ck_ok(toklink_connect(path, &link));
	ck_assert_int_eq(said(link, TOKMSG_HELLO), KMS_CODE_OK);
	ck_assert_int_eq(said(link, TOKMSG_PING), KMS_CODE_OK);
	ck_assert_int_eq(said(link, TOKMSG_CALL), KMS_CODE_SESSION);
	ck_assert_int_eq(said(link, TOKMSG_KEK_BEAR), KMS_CODE_TOKEN_REFUSED);
	ck_assert_int_eq(said(link, TOKMSG_KEK_COMMIT), KMS_CODE_NOT_FOUND);
	ck_assert_int_eq(said(link, TOKMSG_KEK_ABANDON), KMS_CODE_OK);
	ck_assert_int_eq(said(link, TOKMSG_KEK_LIST), KMS_CODE_OK);
	ck_assert_int_eq(said(link, TOKMSG_HEAD_SIGN), KMS_CODE_TOKEN_REFUSED);
	ck_assert_int_eq(said(link, TOKMSG_HEAD_LAST), KMS_CODE_TOKEN_REFUSED);
	ck_assert_int_eq(said(link, TOKMSG_USES_ACK), KMS_CODE_ARGUMENT);
	ck_assert_int_eq(said(link, TOKMSG_STATEMENT_NEXT), KMS_CODE_OK);
	ck_assert_int_eq(said(link, TOKMSG_SESSION_CLOSE), KMS_CODE_OK);
	ck_assert_int_eq(said(link, TOKMSG_KEK_HOLD), KMS_CODE_NOT_FOUND);
	ck_assert_int_eq(said(link, TOKMSG_ERASE_PINS), KMS_CODE_OK);
	ck_assert_int_eq(said(link, TOKMSG_ERASE_OPEN), KMS_CODE_TOKEN_REFUSED);
	ck_assert_int_eq(said(link, TOKMSG_ERASE_KEK), KMS_CODE_NOT_FOUND);
	ck_assert_int_eq(said(link, TOKMSG_ERASE_WIPE), KMS_CODE_NOT_FOUND);
	ck_assert_int_eq(said(link, TOKMSG_ERASE_CANCEL), KMS_CODE_TOKEN_REFUSED);
	ck_assert_int_eq(said(link, TOKMSG_MANIFEST_SIGN), KMS_CODE_TOKEN_REFUSED);
	/* An answer where a request must be ends that connection, and no other. */
	ck_ok(toklink_connect(path, &second));
	sample_msg(&msg, TOKMSG_PING, true);
	ck_ok(toklink_send(second, &msg, 2000));
	ck_code(toklink_receive(second, 5000, &msg), TOKEN_DOWN);
	ck_assert_int_eq(said(link, TOKMSG_PING), KMS_CODE_OK);
	toklink_free(&second);
	toklink_free(&link);
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	ck_assert_int_eq(pthread_join(server, NULL), 0);
	ck_ok(err);
	(void)close(listen_fd);
	(void)close(stop_fd);
}
END_TEST

/* ---- the owner's file ---- */

static void empty_directory(void)
{
	kms_log_set("tokend_test", KMS_LOG_ERROR);
	(void)strcpy(dir, "/tmp/kms-tokend-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

/* The good file with one line changed by sed(1). */
static void file_refused(bool is_system, const char *sed)
{
	KMS_AUTO(owner) owner = NULL;
	const char *path = write_owner(is_system, "");
	ck_ok(owner_read(path, &owner));
	owner_free(&owner);
	shell("sed -i \"%s\" %s", sed, path);
	kms_err err = owner_read(path, &owner);
	ck_assert_msg(kms_is(err, KMS_CODE_CONFIG), "%s: %s", sed, kms_err_name(err));
	ck_assert_ptr_null(owner);
}

START_TEST(owners_files_that_are_refused)
{
	static const char *const both[] = {"s/^role:.*/role: both/", "/^role:/d", "/^directory:/d",
		"/^socket:/d", "/^peer_user:/d", "/^profile:/d", "/^label:/d", "/^place:/d",
		"s/^peer_user:.*/peer_user: no-such-user/", "s/^peer_user:.*/peer_user: '-1'/",
		"s/^peer_user:.*/peer_user: '12x'/", "s/country:.*/country: jp/",
		"s/country:.*/country: JPN/", "s/^pin:/pin:\\n  credential: both/",
		"s/^  file:.*/  other: x/", "$ a unknown: key", "$ a label: twice"};
	for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
		file_refused(false, both[i]);
		file_refused(true, both[i]);
	}
	file_refused(false, "/^tenant:/d");
	file_refused(false, "s/^tenant:.*/tenant: someone/");
	file_refused(false, "/^client_ca:/d");
	file_refused(false, "$ a uses_per_minute: 0");
	file_refused(false, "$ a uses_per_minute: 4294967296");
	file_refused(false, "$ a clear:\\n  kmsd_session: abcd");
	file_refused(false, "$ a clear: yes");
	file_refused(false, "$ a log_origin: example.test"); /* the system token's */
	file_refused(true, "/^log_origin:/d");
	file_refused(true, "$ a ledger: x");            /* a tenant's */
	file_refused(true, "$ a tenant: " TENANT_TEXT); /* a tenant's */
}
END_TEST

START_TEST(an_owners_file_is_read_as_written)
{
	KMS_AUTO(owner) owner = NULL;
	const struct kms_hash pin = sample_hash(0xab);
	char hex[KMS_HASH_TEXT];
	ck_ok(owner_read(write_owner(false, path_of("uses_per_minute: 5\nclear:\n  kmsd_session: "
						    "%s\n",
						    kms_hash_text(&pin, hex))),
		&owner));
	ck_assert(!owner->system && owner->clear);
	ck_assert(kms_hash_equal(&owner->clear_session, &pin));
	ck_assert_uint_eq(owner->uses_per_minute, 5);
	ck_assert_uint_eq(owner->peer_uid, geteuid());
	owner_free(&owner);
	ck_ok(owner_read(write_owner(false, ""), &owner));
	ck_assert(!owner->clear); /* unless it is said */
	ck_assert_uint_eq(owner->uses_per_minute, 0);
}
END_TEST

static void nothing(void)
{
}

static TCase *case_of(const char *name, void (*before)(void))
{
	TCase *tcase = tcase_create(name);
	tcase_add_unchecked_fixture(tcase, make_certs, drop_certs);
	tcase_add_checked_fixture(tcase, before, gone);
	tcase_set_timeout(tcase, 60);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("tokend_head");
	TCase *head = case_of("head", fresh_system);
	TCase *loop = case_of("serve", fresh);
	TCase *owner = case_of("owner", empty_directory);
	suite_add_tcase(suite, head);
	TCase *shimmed = case_of("shim", nothing);
	suite_add_tcase(suite, shimmed);
	suite_add_tcase(suite, loop);
	suite_add_tcase(suite, owner);
	tcase_add_test(head, heads_grow);
	tcase_add_test(head, heads_that_are_refused);
	tcase_add_test(head, an_empty_log_has_no_head);
	tcase_add_test(head, a_head_that_is_not_durable_does_not_leave);
	tcase_add_test(head, a_changed_head_file_stops_the_start);
	tcase_add_test(head, a_head_file_has_both_lines);
	tcase_add_test(head, pins_name_both_keys);
	tcase_add_test(head, a_second_key_that_is_gone_stops_the_start);
	tcase_add_test(head, the_system_token_does_nothing_else);
	tcase_add_loop_test(shimmed, a_token_that_cannot_has_the_p256_key_alone, 0, 3);
	tcase_add_test(shimmed, one_signature_that_fails_fails_both);
	tcase_add_test(loop, messages_over_a_socket);
	tcase_add_test(owner, owners_files_that_are_refused);
	tcase_add_test(owner, an_owners_file_is_read_as_written);
	return suite_run(suite);
}
