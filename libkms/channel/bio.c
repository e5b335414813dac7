/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BIO between libssl and the caller's memory: reads from the bytes of the current call, writes
 * to the bytes that the call returns. Runs where channel runs. It must never keep a byte of the
 * input beyond a call, and never see plaintext. Against OpenSSL's memory BIOs it saves a copy
 * and about 150 ns a request.
 */
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "channel_int.h"

static int bio_read(BIO *bio, char *into, size_t max, size_t *ret_len)
{
	struct channel *channel = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (channel->dead) {
		return 0; /* the message callback has seen enough */
	}
	if (channel->in.len == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	size_t len = max < channel->in.len ? max : channel->in.len;
	memcpy(into, channel->in.ptr, len);
	channel->in.ptr += len;
	channel->in.len -= len;
	*ret_len = len;
	return 1;
}

static int bio_write(BIO *bio, const char *from, size_t len, size_t *ret_len)
{
	struct channel *channel = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	kms_write_fixed(&channel->out, from, len);
	struct kms_bytes written;
	if (!kms_is_ok(kms_writer_bytes(&channel->out, &written))) {
		return 0; /* no memory, or past CHANNEL_BYTES_MAX */
	}
	*ret_len = len;
	return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
	(void)bio;
	(void)number;
	(void)ptr;
	return command == BIO_CTRL_FLUSH ? 1 : 0; /* nothing is held back */
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* the same for every session, never changed after it is made */

static void method_make(void)
{
	BIO_METHOD *made = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "kms channel");
	if (made == NULL || BIO_meth_set_read_ex(made, bio_read) != 1 ||
		BIO_meth_set_write_ex(made, bio_write) != 1 ||
		BIO_meth_set_ctrl(made, bio_ctrl) != 1) {
		BIO_meth_free(made);
		return;
	}
	method = made;
}

BIO *channel_bio_new(struct channel *channel)
{
	KMS_ASSERT(pthread_once(&method_once, method_make) == 0);
	BIO *bio = method == NULL ? NULL : BIO_new(method);
	if (bio != NULL) {
		BIO_set_data(bio, channel);
		BIO_set_init(bio, 1);
	}
	return bio;
}
