/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of libkms against the double of kmsd, in a folder of its own: keys of each custody and
 * delivery, pinned in its profile.
 */
#ifndef KMS_TEST_CLIENT_FIXTURE_H
#define KMS_TEST_CLIENT_FIXTURE_H

#include <sys/stat.h>
#include <unistd.h>

#include "client_double.h"

#define TENANT "77777777-7777-4777-8777-777777777777"
#define KEY "11111111-1111-4111-8111-111111111111"
#define KEY_CLEAR "22222222-2222-4222-8222-222222222222"
#define KEY_ALL "33333333-3333-4333-8333-333333333333"
#define KEY_ANY "44444444-4444-4444-8444-444444444444"

static char directory[64];
static struct kms_client *client;
static struct kms_context *context;
static struct kms_context *other;

static inline void write_token(struct kms_writer *yaml, unsigned token)
{
	char id[KMS_ID_TEXT], hash[KMS_HASH_TEXT];
	struct kms_hash spki;
	ck_ok(channel_identity_spki(fake.identity[token], &spki));
	kms_write_format(yaml, "      - id: %s\n        session_spki: %s\n",
		kms_id_text(&fake.tokens[token], id), kms_hash_text(&spki, hash));
}

static inline void write_pins(struct kms_writer *yaml, const char *key, const char *custody,
	const char *delivery, unsigned tokens)
{
	kms_write_format(yaml, "  %s:\n    custody: %s\n    delivery: %s\n    tokens:\n", key,
		custody, delivery);
	for (unsigned i = 0; i < tokens; i++) {
		write_token(yaml, i);
	}
}

static inline void write_profile(const char *path, bool weaker)
{
	KMS_AUTO_WRITER yaml = kms_writer_grow(8192);
	struct kms_bytes bytes;
	kms_write_text(&yaml, "data_url: https://kmsd\nserver_ca: c.pem\ncertificate: c.pem\n"
			      "key: c.key\ntenant: " TENANT "\ndefault_key: " KEY "\nkey_pins:\n");
	write_pins(&yaml, KEY, weaker ? "all" : "any", "sealed", 1);
	write_pins(&yaml, KEY_CLEAR, "any", weaker ? "sealed" : "clear", 1);
	write_pins(&yaml, KEY_ALL, weaker ? "any" : "all", "sealed", 2);
	write_pins(&yaml, KEY_ANY, "any", "sealed", weaker ? 1 : 2);
	ck_ok(kms_writer_bytes(&yaml, &bytes));
	ck_ok(kms_file_write(path, bytes, 0600));
}

static inline void setup(void)
{
	(void)strcpy(directory, "/tmp/kms-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
	ck_assert_int_eq(system("for n in c t0 t1; do openssl req -x509 -newkey ec -pkeyopt "
				"ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$n -keyout "
				"$n.key -out $n.pem 2>/dev/null || exit 1; done"),
		0);
	ck_ok(kms_secret_init());
	ck_ok(kms_id_parse(TENANT, &fake.tenant));
	ck_ok(kms_id_random(&fake.tokens[0]));
	ck_ok(kms_id_random(&fake.tokens[1]));
	ck_ok(channel_identity_read("t0.pem", "t0.key", &fake.identity[0]));
	ck_ok(channel_identity_read("t1.pem", "t1.key", &fake.identity[1]));
	fake.version = 1;
	write_profile("p.yaml", false);
	ck_ok(kms_client_open("p.yaml", &client));
	ck_ok(kms_context_new(&context));
	ck_ok(kms_context_add(context, "volume", "vol-1"));
	ck_ok(kms_context_new(&other));
	ck_ok(kms_context_add(other, "volume", "vol-2"));
}

static inline void teardown(void)
{
	kms_client_free(&client);
	kms_context_free(&context);
	kms_context_free(&other);
	for (size_t i = 0; i < DOUBLE_SESSIONS; i++) {
		channel_free(&fake.sessions[i].channel);
	}
	channel_identity_free(&fake.identity[0]);
	channel_identity_free(&fake.identity[1]);
	kms_buf_free(&fake.last_record);
	ck_assert_int_eq(system("rm -f ./* ./.[a-z]*"), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

static inline kms_err unwrap(const struct kms_data_key *from, const struct kms_context *with,
	struct kms_data_key **ret_data_key)
{
	size_t len;
	const uint8_t *wrapped = kms_data_key_wrapped(from, &len);
	return kms_unwrap(client, wrapped, len, with, ret_data_key);
}

static inline bool same(struct kms_data_key *a, struct kms_data_key *b)
{
	const uint8_t *one, *another;
	ck_ok(kms_data_key_borrow(a, &one));
	ck_ok(kms_data_key_borrow(b, &another));
	bool equal = memcmp(one, another, KMS_DATA_KEY_BYTES) == 0;
	kms_data_key_return(b);
	kms_data_key_return(a);
	return equal;
}

#endif
