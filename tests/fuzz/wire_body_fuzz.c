/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REST bodies and arguments of every operation: the first byte chooses the operation, and by its
 * high bit the request or the answer. What parses can be written, and reads as the same again.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire.h"

static const char *id_of(enum model_op op)
{
	if (strstr(wire_route_of(op)->path, "{id}") == NULL) {
		return NULL;
	}
	return op == MODEL_OP_LEDGER_USES ? "7" : "22222222-0000-4000-8000-000000000022";
}

static void check_request(enum model_op op, struct kms_bytes body)
{
	KMS_AUTO(model_request) request = NULL;
	KMS_AUTO(model_request) again = NULL;
	KMS_AUTO_FREE char *target = NULL;
	KMS_AUTO_FREE char *target_again = NULL;
	struct wire_body first = {0}, second = {0};
	if (!kms_is_ok(wire_request_read(op, id_of(op), NULL, 0, body, &request))) {
		return;
	}
	kms_err err = wire_request_write(request, &target, &first);
	if (kms_is(err, KMS_CODE_TOO_LARGE)) {
		return; /* a `clear` one that is larger than secret memory holds */
	}
	KMS_ASSERT(kms_is_ok(err));
	KMS_ASSERT(kms_is_ok(
		wire_request_read(op, id_of(op), NULL, 0, wire_body_bytes(&first), &again)));
	KMS_ASSERT(kms_is_ok(wire_request_write(again, &target_again, &second)));
	KMS_ASSERT(kms_bytes_equal(wire_body_bytes(&first), wire_body_bytes(&second)));
	wire_body_free(&first);
	wire_body_free(&second);
}

static void check_answer(enum model_op op, struct kms_bytes body)
{
	KMS_AUTO(model_answer) answer = NULL;
	KMS_AUTO(model_answer) again = NULL;
	struct wire_body first = {0}, second = {0};
	if (!kms_is_ok(wire_answer_read(op, body, &answer))) {
		return;
	}
	KMS_ASSERT(kms_is_ok(wire_answer_write(answer, &first)));
	KMS_ASSERT(kms_is_ok(wire_answer_read(op, wire_body_bytes(&first), &again)));
	KMS_ASSERT(kms_is_ok(wire_answer_write(again, &second)));
	KMS_ASSERT(kms_bytes_equal(wire_body_bytes(&first), wire_body_bytes(&second)));
	wire_body_free(&first);
	wire_body_free(&second);
}

/* The same bytes as the value of each argument. */
static void check_query(enum model_op op, struct kms_bytes input)
{
	static const char *const names[] = {"after", "limit", "from"};
	KMS_AUTO_FREE char *value = NULL;
	KMS_ASSERT(kms_is_ok(kms_text(&value, "%.*s", (int)(input.len < 64 ? input.len : 64),
		input.len == 0 ? "" : (const char *)input.ptr)));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct wire_query query = {names[i], value};
		KMS_AUTO(model_request) request = NULL;
		KMS_IGNORE(wire_request_read(
			op, id_of(op), &query, 1, (struct kms_bytes){0}, &request));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	enum model_op op = (enum model_op)(1 + (data[0] & 0x7f) % (MODEL_OP_COUNT_ - 1));
	const struct kms_bytes body = {data + 1, size - 1};
	if ((data[0] & 0x80) != 0) {
		check_answer(op, body);
	} else {
		check_request(op, body);
		check_query(op, body);
	}
	return 0;
}
