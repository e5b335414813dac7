/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage system for memory_test.py: makes 16 data keys and prints them in hex (they are test
 * keys), waits for a line, then unwraps them in turn until it has unwrapped as many as it was told.
 *
 *	unwrapper PROFILE KEY COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kms/kms.h>

enum { KEYS = 16 };

static int die(struct kms_client *client, const char *what, kms_err err)
{
	char problem[256];
	(void)fprintf(stderr, "unwrapper: %s: %s (%s)\n", what, kms_err_text(err),
		kms_client_problem(client, problem, sizeof(problem)));
	return 1;
}

static void print_key(const struct kms_data_key *data_key)
{
	for (size_t i = 0; i < KMS_DATA_KEY_BYTES; i++) {
		(void)printf("%02x", kms_data_key_bytes(data_key)[i]);
	}
	(void)printf("\n");
	(void)fflush(stdout);
}

int main(int argc, char *argv[])
{
	struct kms_client *client = NULL;
	struct kms_data_key *made[KEYS] = {0};
	char line[8];
	if (argc != 4) {
		return 2;
	}
	kms_err err = kms_client_open(argv[1], &client);
	for (size_t i = 0; err.code == KMS_CODE_OK && i < KEYS; i++) {
		err = kms_datakey(client, argv[2], NULL, &made[i]);
		if (err.code == KMS_CODE_OK) {
			print_key(made[i]);
		}
	}
	if (err.code != KMS_CODE_OK) {
		return die(client, "data key", err);
	}
	if (fgets(line, sizeof(line), stdin) == NULL) {
		return 1;
	}
	for (long n = 0; n < strtol(argv[3], NULL, 10); n++) {
		struct kms_data_key *again = NULL;
		size_t len;
		const uint8_t *wrapped = kms_data_key_wrapped(made[n % KEYS], &len);
		err = kms_unwrap(client, wrapped, len, NULL, &again);
		if (err.code != KMS_CODE_OK ||
			memcmp(kms_data_key_bytes(again), kms_data_key_bytes(made[n % KEYS]),
				KMS_DATA_KEY_BYTES) != 0) {
			return die(client, "unwrap", err);
		}
		kms_data_key_free(&again);
	}
	for (size_t i = 0; i < KEYS; i++) {
		kms_data_key_free(&made[i]);
	}
	kms_client_free(&client);
	return 0;
}
