/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms-tokend's own durable files: DIRECTORY/state. Each is small, replaced whole, fsynced with its
 * directory before anything that depends on it leaves the process. No secret is ever in one.
 */
#include "tokend_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { STATE_MODE = 0600, NUMBER_BYTES = 8 };
static const char pins_magic[8] = "KMSTPIN1";

static kms_err path_of(const struct state *state, const char *name, char ret_path[OWNER_PATH_MAX])
{
	int n = snprintf(ret_path, OWNER_PATH_MAX, "%s/%s", state->dir, name);
	return n > 0 && n < OWNER_PATH_MAX ? KMS_OK : KMS_ERR(CONFIG);
}

kms_err state_open(const char *directory, bool make, struct state *ret_state)
{
	int n = snprintf(ret_state->dir, sizeof(ret_state->dir), "%s/state", directory);
	if (n <= 0 || (size_t)n >= sizeof(ret_state->dir) - 80) {
		return KMS_ERR(CONFIG);
	}
	char keks[OWNER_PATH_MAX], cancels[OWNER_PATH_MAX];
	KMS_TRY(path_of(ret_state, "kek", keks));
	KMS_TRY(path_of(ret_state, "cancel", cancels));
	if (make && ((mkdir(ret_state->dir, 0700) != 0 && errno != EEXIST) ||
			    (mkdir(keks, 0700) != 0 && errno != EEXIST))) {
		kms_log(KMS_LOG_ERROR, "%s: %s", ret_state->dir, strerror(errno));
		return KMS_ERR(IO);
	}
	struct stat st;
	if (stat(keks, &st) != 0) {
		kms_log(KMS_LOG_ERROR, "%s: %s; make the token with kms-tokend --init", keks,
			strerror(errno));
		return KMS_ERR(CONFIG);
	}
	if (mkdir(cancels, 0700) != 0 && errno != EEXIST) { /* or made by an older version */
		kms_log(KMS_LOG_ERROR, "%s: %s", cancels, strerror(errno));
		return KMS_ERR(IO);
	}
	return KMS_OK;
}

kms_err state_read(const struct state *state, const char *name, size_t max, struct kms_buf *ret_buf)
{
	char path[OWNER_PATH_MAX];
	struct stat st;
	KMS_TRY(path_of(state, name, path));
	if (stat(path, &st) != 0 && errno == ENOENT) {
		return KMS_ERR(NOT_FOUND);
	}
	return kms_file_read(path, max, ret_buf);
}

kms_err state_write(const struct state *state, const char *name, struct kms_bytes bytes)
{
	char path[OWNER_PATH_MAX];
	KMS_TRY(path_of(state, name, path));
	return kms_file_write(path, bytes, STATE_MODE);
}

kms_err state_remove(const struct state *state, const char *name)
{
	char path[OWNER_PATH_MAX];
	KMS_TRY(path_of(state, name, path));
	return kms_file_remove(path);
}

kms_err state_read_u64(const struct state *state, const char *name, uint64_t *ret_value)
{
	KMS_AUTO_BUF buf = {0};
	kms_err err = state_read(state, name, NUMBER_BYTES, &buf);
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		*ret_value = 0;
		return KMS_OK;
	}
	KMS_TRY(err);
	struct kms_reader reader = kms_reader_of(kms_buf_bytes(&buf));
	KMS_TRY(kms_read_u64(&reader, ret_value));
	return kms_read_end(&reader);
}

kms_err state_write_u64(const struct state *state, const char *name, uint64_t value)
{
	uint8_t bytes[NUMBER_BYTES];
	struct kms_writer writer = kms_writer_fixed(bytes, sizeof(bytes));
	kms_write_u64(&writer, value);
	return state_write(state, name, KMS_BYTES_OF(bytes));
}

kms_err state_pins_read(const struct state *state, struct state_pins *ret_pins)
{
	KMS_AUTO_BUF buf = {0};
	kms_err err = state_read(state, "token", 128, &buf);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR,
			"%s/token cannot be read; make the token with kms-tokend --init",
			state->dir);
		return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_ERR(CONFIG) : err;
	}
	struct kms_reader reader = kms_reader_of(kms_buf_bytes(&buf));
	struct state_pins pins = {0};
	uint8_t has_ed25519 = 0;
	KMS_TRY(kms_read_expect(&reader, pins_magic, sizeof(pins_magic)));
	KMS_TRY(kms_read_fixed(&reader, pins.token.b, sizeof(pins.token.b)));
	KMS_TRY(kms_read_fixed(&reader, pins.p11.serial, sizeof(pins.p11.serial)));
	KMS_TRY(kms_read_fixed(&reader, pins.p11.canary.b, sizeof(pins.p11.canary.b)));
	KMS_TRY(kms_read_u8(&reader, &has_ed25519));
	KMS_TRY(kms_read_end(&reader));
	if (pins.p11.serial[sizeof(pins.p11.serial) - 1] != '\0' || has_ed25519 > 1) {
		return KMS_ERR(FORMAT);
	}
	pins.has_ed25519 = has_ed25519 == 1;
	*ret_pins = pins;
	return KMS_OK;
}

kms_err state_pins_write(const struct state *state, const struct state_pins *pins)
{
	uint8_t bytes[128];
	struct kms_writer writer = kms_writer_fixed(bytes, sizeof(bytes));
	kms_write_fixed(&writer, pins_magic, sizeof(pins_magic));
	kms_write_fixed(&writer, pins->token.b, sizeof(pins->token.b));
	kms_write_fixed(&writer, pins->p11.serial, sizeof(pins->p11.serial));
	kms_write_fixed(&writer, pins->p11.canary.b, sizeof(pins->p11.canary.b));
	kms_write_u8(&writer, pins->has_ed25519 ? 1 : 0);
	struct kms_bytes all;
	KMS_TRY(kms_writer_bytes(&writer, &all));
	return state_write(state, "token", all);
}
