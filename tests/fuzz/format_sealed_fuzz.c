/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed requests and answers. What parses has one spelling, and what is borrowed lies inside the
 * message.
 */
#include "format.h"
#include "fuzz.h"

/* A secret that the writer can borrow, of bytes that the reader borrowed; NULL where none are. */
static struct kms_secret *borrowed(struct kms_bytes input, struct kms_bytes key)
{
	struct kms_secret *secret = NULL;
	if (key.ptr != NULL) {
		KMS_ASSERT(key.ptr >= input.ptr && key.len <= input.len);
		KMS_ASSERT((size_t)(key.ptr - input.ptr) <= input.len - key.len);
		KMS_ASSERT(kms_is_ok(kms_secret_copy(key, &secret)));
	}
	return secret;
}

static void request(struct kms_bytes input)
{
	KMS_AUTO(format_request) parsed = NULL;
	KMS_AUTO(kms_secret) again = NULL;
	struct kms_secret *keys[LIMIT_BATCH_ITEMS];
	if (!kms_is_ok(format_request_read(input, &parsed))) {
		return;
	}
	for (uint32_t i = 0; i < parsed->count; i++) {
		keys[i] = borrowed(input, parsed->items[i].data_key_bytes);
		parsed->items[i].data_key = keys[i];
	}
	KMS_ASSERT(kms_is_ok(format_request_write(parsed, &again)));
	KMS_ASSERT(kms_bytes_equal(input, kms_secret_bytes(again)));
	for (uint32_t i = 0; i < parsed->count; i++) {
		kms_secret_free(&keys[i]);
	}
}

static void answer(struct kms_bytes input)
{
	KMS_AUTO(format_answer) parsed = NULL;
	KMS_AUTO(kms_secret) again = NULL;
	struct kms_secret *keys[LIMIT_BATCH_ITEMS];
	if (!kms_is_ok(format_answer_read(input, &parsed))) {
		return;
	}
	for (uint32_t i = 0; i < parsed->count; i++) {
		keys[i] = borrowed(input, parsed->items[i].data_key_bytes);
		parsed->items[i].data_key = keys[i];
	}
	KMS_ASSERT(kms_is_ok(format_answer_write(parsed, &again)));
	KMS_ASSERT(kms_bytes_equal(input, kms_secret_bytes(again)));
	for (uint32_t i = 0; i < parsed->count; i++) {
		kms_secret_free(&keys[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kms_bytes input = {data, size};
	request(input);
	answer(input);
	return 0;
}
