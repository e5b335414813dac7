/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a listener one principal has now. Runs in kmsd. It must never let one principal keep
 * the others out: its share is smaller than the listener's.
 */
#include "peer_int.h"

#include <pthread.h>
#include <stdlib.h>

_Static_assert((int)LIMIT_PEER_CONNECTIONS < (int)LIMIT_CONNECTIONS, "a share, not the whole");
_Static_assert((int)LIMIT_PEER_SECRET < (int)KMS_SECRET_SLAB, "a share, not the whole");

struct holder {
	struct kms_id principal;
	uint32_t connections; /* 0: the row is free */
	uint32_t requests;
	size_t secret; /* bytes */
};

struct peer_limits {
	pthread_mutex_t lock; /* guards the rows; nothing is called while it is held */
	struct holder rows[LIMIT_CONNECTIONS];
};

kms_err peer_limits_new(struct peer_limits **ret_limits)
{
	struct peer_limits *limits = calloc(1, sizeof(*limits));
	if (limits == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	(void)pthread_mutex_init(&limits->lock, NULL);
	*ret_limits = limits;
	return KMS_OK;
}

void peer_limits_free(struct peer_limits **limits)
{
	if (limits == NULL || *limits == NULL) {
		return;
	}
	(void)pthread_mutex_destroy(&(*limits)->lock);
	free(*limits);
	*limits = NULL;
}

/* The principal's row, else NULL. */
static struct holder *row_of(struct peer_limits *limits, const struct kms_id *principal)
{
	for (size_t i = 0; i < LIMIT_CONNECTIONS; i++) {
		struct holder *row = &limits->rows[i];
		if (row->connections > 0 && kms_id_equal(&row->principal, principal)) {
			return row;
		}
	}
	return NULL;
}

static struct holder *free_row(struct peer_limits *limits)
{
	for (size_t i = 0; i < LIMIT_CONNECTIONS; i++) {
		if (limits->rows[i].connections == 0) {
			return &limits->rows[i];
		}
	}
	return NULL;
}

kms_err limits_connect(struct peer_limits *limits, const struct kms_id *principal)
{
	kms_err err = KMS_ERR(RATE);
	(void)pthread_mutex_lock(&limits->lock);
	struct holder *row = row_of(limits, principal);
	if (row == NULL) {
		row = free_row(limits);
		if (row != NULL) {
			*row = (struct holder){.principal = *principal};
		}
	}
	if (row != NULL && row->connections < LIMIT_PEER_CONNECTIONS) {
		row->connections++;
		err = KMS_OK;
	}
	(void)pthread_mutex_unlock(&limits->lock);
	return err;
}

void limits_disconnect(struct peer_limits *limits, const struct kms_id *principal)
{
	(void)pthread_mutex_lock(&limits->lock);
	struct holder *row = row_of(limits, principal);
	KMS_ASSERT(row != NULL);
	row->connections--;
	(void)pthread_mutex_unlock(&limits->lock);
}

kms_err limits_secret(struct peer_limits *limits, const struct kms_id *principal, size_t bytes)
{
	kms_err err = KMS_ERR(RATE);
	(void)pthread_mutex_lock(&limits->lock);
	struct holder *row = row_of(limits, principal);
	KMS_ASSERT(row != NULL);
	if (bytes <= LIMIT_PEER_SECRET - row->secret) {
		row->secret += bytes;
		err = KMS_OK;
	}
	(void)pthread_mutex_unlock(&limits->lock);
	return err;
}

kms_err limits_begin(struct peer_limits *limits, const struct kms_id *principal)
{
	kms_err err = KMS_ERR(RATE);
	(void)pthread_mutex_lock(&limits->lock);
	struct holder *row = row_of(limits, principal);
	KMS_ASSERT(row != NULL);
	if (row->requests < LIMIT_PEER_REQUESTS) {
		row->requests++;
		err = KMS_OK;
	}
	(void)pthread_mutex_unlock(&limits->lock);
	return err;
}

void limits_end(struct peer_limits *limits, const struct kms_id *principal, size_t secret)
{
	(void)pthread_mutex_lock(&limits->lock);
	struct holder *row = row_of(limits, principal);
	KMS_ASSERT(row != NULL && row->requests > 0 && row->secret >= secret);
	row->requests--;
	row->secret -= secret;
	(void)pthread_mutex_unlock(&limits->lock);
}
