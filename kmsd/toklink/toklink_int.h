/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of toklink share. */
#ifndef KMS_TOKLINK_INT_H
#define KMS_TOKLINK_INT_H

#include "tokmsg.h"
#include "toklink.h"

/* A link that owns fd; closes it on failure. */
kms_err toklink_of_fd(int fd, struct toklink **ret_link);

#endif
