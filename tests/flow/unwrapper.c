/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage system for memory_test.py: makes 16 data keys and prints each in hex as a line (they
 *are test keys), then unwraps them in turn until its standard input ends, with a dot for each
 *unwrap.
 *
 *	unwrapper PROFILE KEY
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kms/kms.h>

enum { KEYS = 16 };

static int die(struct kms_client *client, const char *what, kms_err err)
{
	char problem[256];
	(void)fprintf(stderr, "unwrapper: %s: %s (%s)\n", what, kms_err_text(err),
		kms_client_problem(client, problem, sizeof(problem)));
	return 1;
}

static kms_err copy_key(struct kms_data_key *data_key, uint8_t ret_key[KMS_DATA_KEY_BYTES])
{
	const uint8_t *bytes;
	kms_err err = kms_data_key_borrow(data_key, &bytes);
	if (err.code == KMS_CODE_OK) {
		memcpy(ret_key, bytes, KMS_DATA_KEY_BYTES);
		kms_data_key_return(data_key);
	}
	return err;
}

static kms_err print_key(struct kms_data_key *data_key)
{
	uint8_t key[KMS_DATA_KEY_BYTES];
	kms_err err = copy_key(data_key, key);
	for (size_t i = 0; err.code == KMS_CODE_OK && i < KMS_DATA_KEY_BYTES; i++) {
		(void)printf("%02x", key[i]);
	}
	(void)printf("\n");
	(void)fflush(stdout);
	return err;
}

static kms_err make(struct kms_client *client, const char *key, struct kms_data_key *ret_made[KEYS])
{
	for (size_t i = 0; i < KEYS; i++) {
		kms_err err = kms_datakey(client, key, NULL, &ret_made[i]);
		if (err.code == KMS_CODE_OK) {
			err = print_key(ret_made[i]);
		}
		if (err.code != KMS_CODE_OK) {
			return err;
		}
	}
	return (kms_err){KMS_CODE_OK};
}

static kms_err unwrap(struct kms_client *client, struct kms_data_key *made, int *ret_same)
{
	struct kms_data_key *again = NULL;
	size_t len;
	const uint8_t *wrapped = kms_data_key_wrapped(made, &len);
	kms_err err = kms_unwrap(client, wrapped, len, NULL, &again);
	uint8_t one[KMS_DATA_KEY_BYTES], other[KMS_DATA_KEY_BYTES];
	if (err.code == KMS_CODE_OK) {
		err = copy_key(again, one);
	}
	if (err.code == KMS_CODE_OK) {
		err = copy_key(made, other);
	}
	*ret_same = err.code == KMS_CODE_OK && memcmp(one, other, sizeof(one)) == 0;
	kms_data_key_free(&again);
	return err;
}

static int told_to_stop(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	return poll(&input, 1, 0) != 0;
}

int main(int argc, char *argv[])
{
	struct kms_client *client = NULL;
	struct kms_data_key *made[KEYS] = {0};
	if (argc != 3) {
		return 2;
	}
	kms_err err = kms_client_open(argv[1], &client);
	if (err.code == KMS_CODE_OK) {
		err = make(client, argv[2], made);
	}
	if (err.code != KMS_CODE_OK) {
		return die(client, "data key", err);
	}
	for (size_t n = 0; !told_to_stop(); n++) {
		int same = 0;
		err = unwrap(client, made[n % KEYS], &same);
		if (err.code != KMS_CODE_OK || !same) {
			return die(client, "unwrap", err);
		}
		if (write(STDOUT_FILENO, ".", 1) != 1) {
			return 1;
		}
	}
	for (size_t i = 0; i < KEYS; i++) {
		kms_data_key_free(&made[i]);
	}
	kms_client_free(&client);
	return 0;
}
