/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage system for lease_test.py: makes COUNT data keys and holds them. It says "held N" when
 *it has them, "gone N" whenever fewer are left, and frees its client when its standard input ends.
 *
 *	holder PROFILE KEY COUNT
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <kms/kms.h>

enum { HELD_MAX = 100 };

static int die(struct kms_client *client, const char *what, kms_err err)
{
	char problem[256];
	(void)fprintf(stderr, "holder: %s: %s (%s)\n", what, kms_err_text(err),
		kms_client_problem(client, problem, sizeof(problem)));
	return 1;
}

static int count_held(struct kms_data_key *const *held, int count)
{
	int left = 0;
	for (int i = 0; i < count; i++) {
		const uint8_t *bytes;
		if (kms_data_key_borrow(held[i], &bytes).code == KMS_CODE_OK) {
			kms_data_key_return(held[i]);
			left++;
		}
	}
	return left;
}

/* False: the input has ended. */
static int wait_a_little(void)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};
	return poll(&input, 1, 50) == 0;
}

int main(int argc, char *argv[])
{
	struct kms_client *client = NULL;
	struct kms_data_key *held[HELD_MAX] = {0};
	int count = argc == 4 ? atoi(argv[3]) : 0;
	if (count < 1 || count > HELD_MAX) {
		return 2;
	}
	kms_err err = kms_client_open(argv[1], &client);
	for (int i = 0; err.code == KMS_CODE_OK && i < count; i++) {
		err = kms_datakey(client, argv[2], NULL, &held[i]);
	}
	if (err.code != KMS_CODE_OK) {
		return die(client, "data key", err);
	}
	(void)printf("held %d\n", count);
	(void)fflush(stdout);
	for (int left = count; wait_a_little();) {
		int now = count_held(held, count);
		if (now < left) {
			(void)printf("gone %d\n", left - now);
			(void)fflush(stdout);
			left = now;
		}
	}
	kms_client_free(&client);
	for (int i = 0; i < count; i++) {
		kms_data_key_free(&held[i]);
	}
	return 0;
}
