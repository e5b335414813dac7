/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data key for a volume, made, kept wrapped, and unwrapped again:
 *	cc datakey.c $(pkg-config --cflags --libs kms) -o datakey && ./datakey profile.yaml
 */
#include <kms/kms.h>
#include <stdio.h>
#include <string.h>

/* What a storage system does with a data key: short, between borrow and return. */
static kms_err show_same(struct kms_data_key *made, struct kms_data_key *again)
{
	const uint8_t *a, *b;
	kms_err err = kms_data_key_borrow(made, &a);
	if (err.code != KMS_CODE_OK) {
		return err; /* KMS_CODE_LEASE: kms_data_key_renew gives it back */
	}
	err = kms_data_key_borrow(again, &b);
	if (err.code == KMS_CODE_OK) {
		printf("the same key again: %s\n",
			memcmp(a, b, KMS_DATA_KEY_BYTES) == 0 ? "yes" : "no");
		kms_data_key_return(again);
	}
	kms_data_key_return(made);
	return err;
}

static kms_err run(struct kms_client *client, struct kms_context *context)
{
	struct kms_data_key *made = NULL, *again = NULL;
	size_t len;
	kms_err err = kms_context_add(context, "volume", "vol-0001");
	if (err.code == KMS_CODE_OK) {
		err = kms_datakey(client, NULL, context, &made); /* NULL: the profile's key */
	}
	if (err.code == KMS_CODE_OK) {
		/* Encrypt with it; keep what follows beside the data. */
		const uint8_t *wrapped = kms_data_key_wrapped(made, &len);
		printf("%zu bytes wrapped, %u s of lease\n", len, kms_data_key_lease_s(made));
		err = kms_unwrap(client, wrapped, len, context, &again);
	}
	if (err.code == KMS_CODE_OK) {
		err = show_same(made, again);
	}
	kms_data_key_free(&made);
	kms_data_key_free(&again);
	return err;
}

int main(int argc, char **argv)
{
	struct kms_client *client = NULL;
	struct kms_context *context = NULL;
	char problem[256] = "";
	kms_err err = kms_client_open(argc == 2 ? argv[1] : "profile.yaml", &client);
	if (err.code == KMS_CODE_OK) {
		err = kms_context_new(&context);
	}
	if (err.code == KMS_CODE_OK) {
		err = run(client, context);
	}
	if (err.code != KMS_CODE_OK) {
		fprintf(stderr, "%s: %s\n", kms_err_text(err),
			kms_client_problem(client, problem, sizeof(problem)));
	}
	kms_context_free(&context);
	kms_client_free(&client);
	return err.code != KMS_CODE_OK;
}
