/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of limits.c, as identity.c uses them. */
#ifndef KMS_PEER_INT_H
#define KMS_PEER_INT_H

#include "peer.h"

/* RATE when it has its share already. Each success is given back once. */
kms_err limits_connect(struct peer_limits *limits, const struct kms_id *principal);
void limits_disconnect(struct peer_limits *limits, const struct kms_id *principal);
kms_err limits_begin(struct peer_limits *limits, const struct kms_id *principal);
kms_err limits_secret(struct peer_limits *limits, const struct kms_id *principal, size_t bytes);
/* With what limits_secret() granted the request. */
void limits_end(struct peer_limits *limits, const struct kms_id *principal, size_t secret);

#endif
