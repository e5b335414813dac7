/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <kms/kms.h>: data keys for storage systems. A client is made from a profile file
 * (docs/profile.md) that says where kmsd is and pins, out of band, which tokens guard the tenant's
 * keys and how their data keys travel. What kmsd offers is held against these pins and refused when
 * it is weaker or other (KMS_CODE_PINS).
 *
 * A client may be used by several threads at once, the other objects by one thread at a time.
 * Outputs come last and are written only on success, but for the members of struct kms_item. What
 * a function allocates as plain bytes or text is the caller's, for free(3). Key ids are UUIDs as
 * text; NULL stands for the profile's default key.
 *
 * Errors that every call with a network behind it may give: NETWORK, TIMEOUT, TOKEN_DOWN (tried
 * again for some seconds first), UNAUTHENTICATED, DENIED, RATE, NOT_FOUND, KEY_STATE, PINS, LEDGER,
 * NO_MEMORY.
 */
#ifndef KMS_KMS_H
#define KMS_KMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kms/err.h>

enum {
	KMS_DATA_KEY_BYTES = 32, /* every data key is an AES-256 key */
	KMS_WRAPPED_MAX = 1024,  /* bytes of the longest wrapped data key */
	KMS_KEY_ID_TEXT = 37,    /* a UUID's text with its NUL */
};

/* ---- client ---- */

struct kms_client;
/* CONFIG, with the reason on stderr: the profile or a file that it names is not right. Nothing is
 * connected yet. */
KMS_API kms_err kms_client_open(const char *profile_path, struct kms_client **ret_client);
/* Accepts NULL; sets NULL. No other thread may be inside a call. Data keys that live on are wiped,
 * and still the caller's to free, when nobody looks at them; then kmsd is told. A kmsd that does
 * not answer is waited for once, at most as long as for one request. */
KMS_API void kms_client_free(struct kms_client **client);
/* What the last failed call of this client (in any thread) had to say beside its error, for people:
 * one line, "" when there is nothing. Cut to size. Returns text. */
KMS_API const char *kms_client_problem(struct kms_client *client, char *text, size_t size);

/* ---- encryption context ---- */

/* Name/value pairs that are bound to a data key and must be given again to unwrap it. They are not
 * secret. libkms adds `tenant` from the profile. Everywhere NULL stands for one without pairs. */
struct kms_context;
KMS_API kms_err kms_context_new(struct kms_context **ret_context);
/* ARGUMENT: a name with anything but a-z, 0-9, '.', '_', '-', the name `tenant`, or a value that is
 * not UTF-8 or has control characters. EXISTS: the name is there. TOO_LARGE: more than 16 pairs,
 * names over 64 bytes, values over 256. */
KMS_API kms_err kms_context_add(struct kms_context *context, const char *name, const char *value);
KMS_API void kms_context_free(struct kms_context **context); /* accepts NULL; sets NULL */

/* ---- data keys ---- */

/*
 * An unwrapped data key in locked memory, with its wrapped form. It is on lease, for as long as
 * kmsd's policy says. When the lease is over, when an erasure has its key (kmsd is asked every five
 * seconds), and when the client is freed, a thread of libkms wipes it and tells kmsd so in a signed
 * receipt: an erasure is final only when its leases are over or given back. That thread, and
 * another that talks to kmsd, start with the first data key and have every signal blocked. A child
 * of fork(2) has neither: it must not use or free the clients and data keys of its parent, which
 * are empty in it. Free the clients before exit(3), and before libkms is unloaded.
 */
struct kms_data_key;
/* KMS_DATA_KEY_BYTES bytes to be looked at until kms_data_key_return; they are not wiped meanwhile,
 * so be short. Each borrow needs its return. LEASE: it is wiped, or about to be. */
KMS_API kms_err kms_data_key_borrow(struct kms_data_key *data_key, const uint8_t **ret_bytes);
KMS_API void kms_data_key_return(struct kms_data_key *data_key);
/* Seconds of its lease that are left; 0: it is over. */
KMS_API uint32_t kms_data_key_lease_s(const struct kms_data_key *data_key);
/* Unwrap it again, in place, for a new lease, also when it was wiped. Errors as kms_unwrap. */
KMS_API kms_err kms_data_key_renew(struct kms_client *client, struct kms_data_key *data_key,
	const struct kms_context *context);
/* The caller has copied it to where libkms cannot wipe it: no receipt will speak of it, and its
 * lease stays open to its end. */
KMS_API void kms_data_key_disown(struct kms_data_key *data_key);
/* The wrapped form, to be kept with the data; borrowed. */
KMS_API const uint8_t *kms_data_key_wrapped(const struct kms_data_key *data_key, size_t *ret_len);
KMS_API void kms_data_key_free(struct kms_data_key **data_key); /* wipes; accepts NULL; sets NULL */
/* Wipe the data keys of one key (NULL: of all) that nobody has borrowed, those when they are
 * returned, and send kmsd the receipts. Errors: those of the network, the keys are wiped then all
 * the same. */
KMS_API kms_err kms_client_purge(struct kms_client *client, const char *key_id);

/* A new data key, made in the token. */
KMS_API kms_err kms_datakey(struct kms_client *client, const char *key_id,
	const struct kms_context *context, struct kms_data_key **ret_data_key);
/* Wrap a key of the caller's own, KMS_DATA_KEY_BYTES bytes. */
KMS_API kms_err kms_wrap(struct kms_client *client, const char *key_id,
	const struct kms_context *context, const uint8_t *key, uint8_t **ret_wrapped,
	size_t *ret_len);
/* CONTEXT: not the context that it was wrapped with. FORMAT, VERSION: no wrapped key. INTEGRITY: it
 * was changed. PINS: not guarded as the profile pins. */
KMS_API kms_err kms_unwrap(struct kms_client *client, const uint8_t *wrapped, size_t wrapped_len,
	const struct kms_context *context, struct kms_data_key **ret_data_key);
/* The same data key under the newest version of the same key, done inside the token. Errors as
 * kms_unwrap. */
KMS_API kms_err kms_rewrap(struct kms_client *client, const uint8_t *wrapped, size_t wrapped_len,
	const struct kms_context *context, uint8_t **ret_wrapped, size_t *ret_len);

/* One of many. */
struct kms_item {
	const struct kms_context *context;
	const uint8_t *wrapped; /* kms_unwrap_many; borrowed */
	size_t wrapped_len;
	struct kms_data_key
		*data_key; /* set by the call: the caller's to free, NULL unless err is OK */
	kms_err err;       /* set by the call */
};
/* Up to 256 in one request, which is far cheaper than one by one; more are split. When the call
 * itself fails, so did the items without a data key; those with one are good. */
KMS_API kms_err kms_datakeys_many(
	struct kms_client *client, const char *key_id, struct kms_item *items, size_t count);
/* Wrapped keys of several keys may be mixed. */
KMS_API kms_err kms_unwrap_many(struct kms_client *client, struct kms_item *items, size_t count);

/* Which key, and which version of it, a wrapped data key is under; nothing is authenticated. */
KMS_API kms_err kms_wrapped_info(const uint8_t *wrapped, size_t wrapped_len,
	char ret_key_id[KMS_KEY_ID_TEXT], uint32_t *ret_version);

/* ---- files (docs/formats/stream.md) ---- */

struct kms_file_options {
	bool force;       /* replace an output that is there */
	uint32_t threads; /* 0: libkms chooses */
	/* Told now and then, never by two threads at once; total is 0 where it is not known. An
	 * error from it stops the work and is returned. */
	kms_err (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_arg;
};
/*
 * Under a new data key. The output appears under its name only when it is whole and durable; when
 * anything fails there is none. in_path NULL: standard input; out_path NULL: standard output, where
 * bytes go out before the end is known. options may be NULL. EXISTS: there is an output and no
 * force. IO: with errno set.
 */
KMS_API kms_err kms_encrypt_file(struct kms_client *client, const char *key_id,
	const struct kms_context *context, const char *in_path, const char *out_path,
	const struct kms_file_options *options);
/* CONTEXT: not the context that the file was made with; INTEGRITY: changed; TRUNCATED: cut. */
KMS_API kms_err kms_decrypt_file(struct kms_client *client, const struct kms_context *context,
	const char *in_path, const char *out_path, const struct kms_file_options *options);
/* Rewrap the data key in the file's header, in place; after a crash the file has the old wrapped
 * key or the new one, and is good with either. */
KMS_API kms_err kms_rewrap_file(
	struct kms_client *client, const struct kms_context *context, const char *path);
/* The wrapped key in a file's header, as for kms_wrapped_info. */
KMS_API kms_err kms_file_wrapped(const char *path, uint8_t **ret_wrapped, size_t *ret_len);

#endif
