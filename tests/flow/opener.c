/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many short-lived clients of one principal: each opens a session, asks for one data key, and
 * leaves. The first stays and asks again at the end. Prints the error's name and the number of the
 * client that had it.
 *
 *	opener PROFILE KEY COUNT
 */
#include <stdio.h>
#include <stdlib.h>

#include <kms/kms.h>

static int ask(struct kms_client *client, const char *key, int number)
{
	struct kms_data_key *data_key = NULL;
	kms_err err = kms_datakey(client, key, NULL, &data_key);
	kms_data_key_free(&data_key);
	if (err.code != KMS_CODE_OK) {
		(void)printf("client %d: %s\n", number, kms_err_name(err));
	}
	return err.code == KMS_CODE_OK ? 0 : 1;
}

int main(int argc, char *argv[])
{
	struct kms_client *first = NULL;
	int count = argc == 4 ? atoi(argv[3]) : 0;
	int failed = kms_client_open(argv[1], &first).code == KMS_CODE_OK ? 0 : 1;
	failed = failed || ask(first, argv[2], 1);
	for (int i = 2; !failed && i <= count; i++) {
		struct kms_client *client = NULL;
		failed = kms_client_open(argv[1], &client).code != KMS_CODE_OK ||
			 ask(client, argv[2], i);
		kms_client_free(&client);
	}
	failed = failed || ask(first, argv[2], 1);
	kms_client_free(&first);
	return failed;
}
