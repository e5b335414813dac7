/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of kmsd/tokmsg through its header: one spelling per message, strict, bounded both ways. */
#include "tokmsg_samples.h"

#include "golden.h"

#define ck_ok(expr) ck_assert_str_eq(kms_err_name(expr), "ok")
#define ck_code(expr, name) ck_assert_str_eq(kms_err_name(expr), kms_err_name(KMS_ERR(name)))

enum { HEAD_BYTES = 1 + 1 + 4, CODE_AT = HEAD_BYTES, ALL_SAMPLES = 2 * (TOKMSG_TYPE_COUNT_ - 1) };

/* What a test writes, and what it reads. */
static struct tokmsg msg, read_back;

static enum tokmsg_type type_of(int i)
{
	return (enum tokmsg_type)(TOKMSG_HELLO + i / 2);
}

static struct kms_buf frame_of(const struct tokmsg *from)
{
	struct kms_buf frame = {0};
	ck_ok(sample_frame(from, &frame));
	return frame;
}

/* Read must refuse the frame, and leave what the caller had. */
static void refused(const struct kms_buf *frame, enum kms_code code)
{
	read_back.id = 77;
	kms_err err = tokmsg_read(kms_buf_bytes(frame), &read_back);
	ck_assert_str_eq(kms_err_name(err), kms_err_name((kms_err){code}));
	ck_assert_uint_eq(read_back.id, 77);
}

START_TEST(every_message_comes_back_as_it_was)
{
	sample_msg(&msg, type_of(_i), _i % 2 == 1);
	KMS_AUTO_BUF frame = frame_of(&msg);
	ck_ok(tokmsg_read(kms_buf_bytes(&frame), &read_back));
	ck_assert_int_eq(read_back.type, msg.type);
	ck_assert_int_eq(read_back.is_answer, msg.is_answer);
	ck_assert_uint_eq(read_back.id, msg.id);
	KMS_AUTO_BUF again = frame_of(&read_back);
	ck_assert(kms_bytes_equal(kms_buf_bytes(&frame), kms_buf_bytes(&again)));
	tokmsg_clear(&read_back);
	tokmsg_clear(&msg);
}
END_TEST

START_TEST(every_cut_and_every_byte_more_is_refused)
{
	sample_msg(&msg, type_of(_i), _i % 2 == 1);
	KMS_AUTO_BUF frame = frame_of(&msg);
	tokmsg_clear(&msg);
	for (size_t len = 0; len < frame.len; len++) {
		kms_err err = tokmsg_read((struct kms_bytes){frame.ptr, len}, &read_back);
		ck_assert_msg(!kms_is_ok(err), "message %d cut to %zu", _i, len);
	}
	KMS_AUTO_BUF more = {malloc(frame.len + 1), frame.len + 1};
	memcpy(more.ptr, frame.ptr, frame.len);
	more.ptr[frame.len] = 0;
	refused(&more, KMS_CODE_FORMAT);
}
END_TEST

START_TEST(a_refusal_carries_code_and_reason_only)
{
	sample_blank(&msg, type_of(2 * _i), true);
	msg.code = KMS_CODE_TOKEN_REFUSED;
	memset(msg.reason, 'r', LIMIT_REASON);
	KMS_AUTO_BUF frame = frame_of(&msg);
	ck_ok(tokmsg_read(kms_buf_bytes(&frame), &read_back));
	ck_assert_int_eq(read_back.code, KMS_CODE_TOKEN_REFUSED);
	ck_assert_str_eq(read_back.reason, msg.reason);
	tokmsg_clear(&read_back);

	/* A text has one end. */
	frame.ptr[frame.len - 2] = '\0';
	refused(&frame, KMS_CODE_FORMAT);

	/* One byte past the limit of a reason. */
	KMS_AUTO_WRITER writer = kms_writer_grow(1024);
	struct kms_buf longer = {0};
	kms_write_fixed(&writer, frame.ptr, CODE_AT + 2);
	kms_write_u16(&writer, LIMIT_REASON + 1);
	for (size_t i = 0; i <= LIMIT_REASON; i++) {
		kms_write_u8(&writer, 'r');
	}
	ck_ok(kms_writer_take(&writer, &longer));
	refused(&longer, KMS_CODE_TOO_LARGE);
	kms_buf_free(&longer);
}
END_TEST

START_TEST(unknown_versions_types_and_codes)
{
	sample_msg(&msg, TOKMSG_PING, false);
	KMS_AUTO_BUF frame = frame_of(&msg);
	frame.ptr[0] = TOKMSG_VERSION + 1;
	refused(&frame, KMS_CODE_VERSION);
	frame.ptr[0] = TOKMSG_VERSION - 1;
	refused(&frame, KMS_CODE_VERSION);
	frame.ptr[0] = TOKMSG_VERSION;
	const uint8_t bad[] = {0, TOKMSG_TYPE_COUNT_, 0x7f, 0x80, TOKMSG_TYPE_COUNT_ | 0x80, 0xff};
	for (size_t i = 0; i < sizeof(bad); i++) {
		frame.ptr[1] = bad[i];
		refused(&frame, KMS_CODE_FORMAT);
	}
	struct kms_writer none = {0};
	sample_blank(&msg, TOKMSG_TYPE_COUNT_, false);
	ck_code(tokmsg_write(&msg, &none), ARGUMENT);

	/* A code that nobody gave is an error all the same. */
	sample_blank(&msg, TOKMSG_PING, true);
	msg.code = KMS_CODE_TOKEN_DOWN;
	KMS_AUTO_BUF strange = frame_of(&msg);
	strange.ptr[CODE_AT] = 0x7f;
	ck_ok(tokmsg_read(kms_buf_bytes(&strange), &read_back));
	ck_assert_int_eq(read_back.code, KMS_CODE_INTERNAL);
}
END_TEST

/* One changed byte in the body of a sample. */
static void change_refused(enum tokmsg_type type, bool is_answer, size_t at, uint8_t to)
{
	sample_msg(&msg, type, is_answer);
	KMS_AUTO_BUF frame = frame_of(&msg);
	tokmsg_clear(&msg);
	ck_assert_uint_lt(at, frame.len);
	frame.ptr[at] = to;
	refused(&frame, KMS_CODE_FORMAT);
}

START_TEST(values_that_no_field_may_have)
{
	const size_t call_op = HEAD_BYTES + 16;
	const size_t bear_custody = HEAD_BYTES + 3 * 16 + 4;
	const size_t first_kek_mark = CODE_AT + 2 + 2 + 16 + 16 + 4;
	change_refused(TOKMSG_CALL, false, call_op, 0);
	change_refused(TOKMSG_CALL, false, call_op, MODEL_OP_KEY_CREATE);
	change_refused(TOKMSG_CALL, false, call_op, 0xff);
	change_refused(TOKMSG_CALL, false, call_op + 1 + 32 + 16 + 1, 0); /* no items */
	for (uint8_t bad = 0; bad < 6; bad = (uint8_t)(bad + 3)) {        /* 0 and 3 */
		change_refused(TOKMSG_KEK_BEAR, false, bear_custody, bad);
		change_refused(TOKMSG_KEK_BEAR, false, bear_custody + 1, bad);
	}
	change_refused(TOKMSG_KEK_BEAR, false, bear_custody + 2, 0); /* no tokens */
	change_refused(TOKMSG_KEK_LIST, true, first_kek_mark, 5);
	change_refused(TOKMSG_USES_PENDING, true, CODE_AT + 2 + 8 + 7, 0); /* first use 0 */
	change_refused(TOKMSG_KEK_HOLD, false, HEAD_BYTES + 16, 2);
	change_refused(TOKMSG_ERASE_PINS, true, CODE_AT + 2, 4); /* more than there are keys */
	sample_msg(&msg, TOKMSG_ERASE_PINS, true);
	msg.u.erase_pins->needed = 4;
	KMS_AUTO_BUF frame = {0};
	ck_code(sample_frame(&msg, &frame), ARGUMENT);
	tokmsg_clear(&msg);
}
END_TEST

/* ---- limits: the last that fits, and one more ---- */

/* Write and read msg, or see both refuse one past the limit. */
static void fits(void)
{
	KMS_AUTO_BUF frame = frame_of(&msg);
	ck_ok(tokmsg_read(kms_buf_bytes(&frame), &read_back));
	tokmsg_clear(&read_back);
	tokmsg_clear(&msg);
}

static void not_written(void)
{
	KMS_AUTO_BUF frame = {0};
	ck_code(sample_frame(&msg, &frame), TOO_LARGE);
	tokmsg_clear(&msg);
}

/* Patch a 16-bit count upward: the reader has limits of its own. */
static void count_refused(size_t at, uint16_t count)
{
	KMS_AUTO_BUF frame = frame_of(&msg);
	frame.ptr[at] = (uint8_t)(count >> 8);
	frame.ptr[at + 1] = (uint8_t)count;
	refused(&frame, KMS_CODE_TOO_LARGE);
	tokmsg_clear(&msg);
}

START_TEST(limits_of_a_call)
{
	const size_t count_at = HEAD_BYTES + 16 + 1 + 32 + 16;
	sample_blank(&msg, TOKMSG_CALL, false);
	sample_call(&msg, LIMIT_BATCH_ITEMS);
	fits();
	sample_blank(&msg, TOKMSG_CALL, false);
	sample_call(&msg, LIMIT_BATCH_ITEMS + 1);
	not_written();
	sample_blank(&msg, TOKMSG_CALL, false);
	sample_call(&msg, 2);
	count_refused(count_at, LIMIT_BATCH_ITEMS + 1);
	sample_blank(&msg, TOKMSG_CALL, false);
	sample_call(&msg, 2);
	msg.u.call.count = 0;
	KMS_AUTO_BUF frame = {0};
	ck_code(sample_frame(&msg, &frame), ARGUMENT);
	tokmsg_clear(&msg);

	sample_blank(&msg, TOKMSG_CALL, true);
	sample_call_answer(&msg, 1, LIMIT_BATCH_ITEMS);
	fits();
	sample_blank(&msg, TOKMSG_CALL, true);
	sample_call_answer(&msg, 1, LIMIT_BATCH_ITEMS);
	msg.u.answered->count++;
	not_written();
	sample_blank(&msg, TOKMSG_CALL, true);
	sample_call_answer(&msg, 1, 2);
	count_refused(CODE_AT + 2, LIMIT_BATCH_ITEMS + 1);
}
END_TEST

START_TEST(limits_of_uses)
{
	sample_blank(&msg, TOKMSG_USES_PENDING, true);
	msg.u.uses = sample_uses(1, 1, LIMIT_COMMIT_USES);
	fits();
	sample_blank(&msg, TOKMSG_USES_PENDING, true);
	msg.u.uses = sample_uses(1, 1, LIMIT_COMMIT_USES + 1);
	not_written();
	sample_blank(&msg, TOKMSG_USES_PENDING, true);
	msg.u.uses = sample_uses(1, 1, 2);
	count_refused(CODE_AT + 2 + 8 + 8, LIMIT_COMMIT_USES + 1);
	sample_blank(&msg, TOKMSG_USES_PENDING, true);
	msg.u.uses = sample_uses(1, UINT64_MAX - LIMIT_COMMIT_USES, 2);
	fits();
	sample_blank(&msg, TOKMSG_USES_PENDING, true);
	msg.u.uses = sample_uses(1, UINT64_MAX - LIMIT_COMMIT_USES + 1, 2);
	KMS_AUTO_BUF frame = {0};
	ck_code(sample_frame(&msg, &frame), ARGUMENT);
	tokmsg_clear(&msg);
}
END_TEST

START_TEST(limits_of_lists)
{
	sample_blank(&msg, TOKMSG_KEK_LIST, true);
	sample_keks(&msg, LIMIT_LIST_PAGE);
	fits();
	sample_blank(&msg, TOKMSG_KEK_LIST, true);
	sample_keks(&msg, LIMIT_LIST_PAGE + 1);
	not_written();
	sample_blank(&msg, TOKMSG_KEK_LIST, true);
	sample_keks(&msg, 2);
	count_refused(CODE_AT + 2, LIMIT_LIST_PAGE + 1);

	sample_msg(&msg, TOKMSG_KEK_BEAR, false);
	msg.u.kek_bear.token_count = LIMIT_CUSTODY_TOKENS;
	fits();
	sample_msg(&msg, TOKMSG_KEK_BEAR, false);
	KMS_AUTO_BUF bear = frame_of(&msg);
	bear.ptr[HEAD_BYTES + 3 * 16 + 4 + 2] = LIMIT_CUSTODY_TOKENS + 1;
	refused(&bear, KMS_CODE_TOO_LARGE);
	msg.u.kek_bear.token_count = LIMIT_CUSTODY_TOKENS + 1;
	not_written();
}
END_TEST

START_TEST(limits_of_heads_and_frames)
{
	static uint8_t large[LIMIT_TOKMSG_BYTES];
	sample_blank(&msg, TOKMSG_HEAD_SIGN, false);
	msg.u.head_sign.proof_count = 64;
	msg.u.head_sign.checkpoint = (struct kms_bytes){large, 512};
	fits();
	sample_blank(&msg, TOKMSG_HEAD_SIGN, false);
	msg.u.head_sign.checkpoint = (struct kms_bytes){large, 513};
	not_written();
	sample_blank(&msg, TOKMSG_HEAD_SIGN, false);
	KMS_AUTO_BUF head = frame_of(&msg);
	head.ptr[head.len - 1] = 65;
	refused(&head, KMS_CODE_TOO_LARGE);
	msg.u.head_sign.proof_count = 65;
	not_written();

	const size_t flight = LIMIT_TOKMSG_BYTES - HEAD_BYTES - 4;
	sample_blank(&msg, TOKMSG_SESSION_OPEN, false);
	msg.u.flight = (struct kms_bytes){large, flight};
	fits();
	sample_blank(&msg, TOKMSG_SESSION_OPEN, false);
	msg.u.flight = (struct kms_bytes){large, flight + 1};
	not_written();
	ck_code(tokmsg_read((struct kms_bytes){large, LIMIT_TOKMSG_BYTES + 1}, &read_back),
		TOO_LARGE);
}
END_TEST

/* Patch the length of one field, of width bytes, to one past its limit. */
static void length_refused(size_t at, size_t width, uint32_t length)
{
	KMS_AUTO_BUF frame = frame_of(&msg);
	for (size_t i = 0; i < width; i++) {
		frame.ptr[at + i] = (uint8_t)(length >> 8 * (width - 1 - i));
	}
	refused(&frame, KMS_CODE_TOO_LARGE);
	tokmsg_clear(&msg);
}

/* Bytes that fill field up to its limit, and one more. */
static uint8_t many[LIMIT_TOKMSG_BYTES + 1];
static void bytes_limit(
	enum tokmsg_type type, bool is_answer, struct kms_bytes *(*field)(void), size_t limit)
{
	sample_msg(&msg, type, is_answer);
	*field() = (struct kms_bytes){many, limit};
	fits();
	sample_msg(&msg, type, is_answer);
	*field() = (struct kms_bytes){many, limit + 1};
	not_written();
}
#define FIELD(name, path)                                                                          \
	static struct kms_bytes *name(void)                                                        \
	{                                                                                          \
		return &msg.u.path;                                                                \
	}
FIELD(order_erase, erase_open->erase)
FIELD(order_certificate, erase_open->certificate)
FIELD(order_spki, erase_open->approvals[1].spki)
FIELD(order_entry, erase_open->entry)
FIELD(order_checkpoint, erase_open->checkpoint)
FIELD(order_late, erase_open->late)
FIELD(cancel_erase, erase_cancel.erase)
FIELD(cancel_spki, erase_cancel.spki)
FIELD(cancel_certificate, erase_cancel.certificate)
FIELD(erased_destroy, erased.destroy)
FIELD(erased_absence, erased.absence)
FIELD(manifest, manifest)

START_TEST(limits_of_an_order)
{
	enum { NOTE_MAX = 8192 };
	const size_t certificate_at = HEAD_BYTES + 4 + strlen("what dies");
	const size_t approvals_at = certificate_at + 4 + strlen("a certificate") + 64;
	const size_t approval = 16 + 2 + strlen("a public key") + 64;
	const size_t entry_at = approvals_at + 1 + 2 * approval;
	const size_t proof_at = entry_at + 4 + strlen("an entry") + 8;
	const size_t checkpoint_at = proof_at + 1 + 2 * (size_t)32;
	const struct {
		struct kms_bytes *(*field)(void);
		uint32_t limit;
		size_t at, width; /* of its length */
	} bytes[] = {
		{order_erase, LIMIT_ERASE_BYTES, HEAD_BYTES, 4},
		{order_certificate, LIMIT_CERT_PEM, certificate_at, 4},
		{order_spki, LIMIT_SPKI_BYTES, approvals_at + 1 + approval + 16, 2},
		{order_entry, LIMIT_ENTRY_BYTES, entry_at, 4},
		{order_checkpoint, NOTE_MAX, checkpoint_at, 4},
		{order_late, LIMIT_STATEMENT_BYTES, checkpoint_at + 4 + strlen("a note"), 2},
	};
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		bytes_limit(TOKMSG_ERASE_OPEN, false, bytes[i].field, bytes[i].limit);
		sample_msg(&msg, TOKMSG_ERASE_OPEN, false);
		length_refused(bytes[i].at, bytes[i].width, bytes[i].limit + 1);
	}
	sample_msg(&msg, TOKMSG_ERASE_OPEN, false);
	msg.u.erase_open->approval_count = LIMIT_APPROVALS;
	msg.u.erase_open->proof_count = 64;
	fits();
	sample_msg(&msg, TOKMSG_ERASE_OPEN, false);
	msg.u.erase_open->approval_count = LIMIT_APPROVALS + 1;
	not_written();
	sample_msg(&msg, TOKMSG_ERASE_OPEN, false);
	msg.u.erase_open->proof_count = 65;
	not_written();
	sample_msg(&msg, TOKMSG_ERASE_OPEN, false);
	length_refused(approvals_at, 1, LIMIT_APPROVALS + 1);
	sample_msg(&msg, TOKMSG_ERASE_OPEN, false);
	length_refused(proof_at, 1, 65);
}
END_TEST

START_TEST(limits_of_the_other_erasure_messages)
{
	const size_t spki_at = HEAD_BYTES + 4 + strlen("what would have died");
	const size_t certificate_at = spki_at + 2 + strlen("a public key");
	const size_t absence_at = CODE_AT + 2 + 2 + strlen("destroyed");
	bytes_limit(TOKMSG_ERASE_CANCEL, false, cancel_erase, LIMIT_ERASE_BYTES);
	bytes_limit(TOKMSG_ERASE_CANCEL, false, cancel_spki, LIMIT_SPKI_BYTES);
	bytes_limit(TOKMSG_ERASE_CANCEL, false, cancel_certificate, LIMIT_CERT_PEM);
	bytes_limit(TOKMSG_ERASE_KEK, true, erased_destroy, LIMIT_STATEMENT_BYTES);
	bytes_limit(TOKMSG_ERASE_KEK, true, erased_absence, LIMIT_STATEMENT_BYTES);
	bytes_limit(TOKMSG_MANIFEST_SIGN, false, manifest, LIMIT_MANIFEST_BYTES);
	const struct {
		enum tokmsg_type type;
		bool is_answer;
		size_t at, width;
		uint32_t limit;
	} lengths[] = {
		{TOKMSG_ERASE_CANCEL, false, HEAD_BYTES, 4, LIMIT_ERASE_BYTES},
		{TOKMSG_ERASE_CANCEL, false, spki_at, 2, LIMIT_SPKI_BYTES},
		{TOKMSG_ERASE_CANCEL, false, certificate_at, 4, LIMIT_CERT_PEM},
		{TOKMSG_ERASE_KEK, true, CODE_AT + 2, 2, LIMIT_STATEMENT_BYTES},
		{TOKMSG_ERASE_KEK, true, absence_at, 2, LIMIT_STATEMENT_BYTES},
		{TOKMSG_MANIFEST_SIGN, false, HEAD_BYTES, 4, LIMIT_MANIFEST_BYTES},
		{TOKMSG_ERASE_PINS, true, CODE_AT + 2 + 1, 1, LIMIT_APPROVALS},
	};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		sample_msg(&msg, lengths[i].type, lengths[i].is_answer);
		length_refused(lengths[i].at, lengths[i].width, lengths[i].limit + 1);
	}
	sample_msg(&msg, TOKMSG_ERASE_PINS, true);
	msg.u.erase_pins->count = LIMIT_APPROVALS;
	fits();
	sample_msg(&msg, TOKMSG_ERASE_PINS, true);
	msg.u.erase_pins->count = LIMIT_APPROVALS + 1;
	not_written();
}
END_TEST

START_TEST(bytes_of_a_call_and_its_answer)
{
	sample_msg(&msg, TOKMSG_CALL, false);
	KMS_AUTO_BUF asked = frame_of(&msg);
	tokmsg_clear(&msg);
	golden_hex("tokmsg-call.hex", kms_buf_bytes(&asked));
	sample_msg(&msg, TOKMSG_CALL, true);
	KMS_AUTO_BUF answered = frame_of(&msg);
	tokmsg_clear(&msg);
	golden_hex("tokmsg-call-answer.hex", kms_buf_bytes(&answered));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tokmsg");
	TCase *tcase = tcase_create("tokmsg");
	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, every_message_comes_back_as_it_was, 0, ALL_SAMPLES);
	tcase_add_loop_test(tcase, every_cut_and_every_byte_more_is_refused, 0, ALL_SAMPLES);
	tcase_add_loop_test(
		tcase, a_refusal_carries_code_and_reason_only, 0, TOKMSG_TYPE_COUNT_ - 1);
	tcase_add_test(tcase, unknown_versions_types_and_codes);
	tcase_add_test(tcase, values_that_no_field_may_have);
	tcase_add_test(tcase, limits_of_a_call);
	tcase_add_test(tcase, limits_of_uses);
	tcase_add_test(tcase, limits_of_lists);
	tcase_add_test(tcase, limits_of_heads_and_frames);
	tcase_add_test(tcase, limits_of_an_order);
	tcase_add_test(tcase, limits_of_the_other_erasure_messages);
	tcase_add_test(tcase, bytes_of_a_call_and_its_answer);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
