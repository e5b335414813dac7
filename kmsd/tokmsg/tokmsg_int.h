/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tokmsg share: the bounds of its lists. */
#ifndef KMS_TOKMSG_INT_H
#define KMS_TOKMSG_INT_H

#include "tokmsg.h"

enum {
	TOKMSG_PROOF_MAX = 64,
	TOKMSG_CHECKPOINT_MAX = 512,
	TOKMSG_USES_MAX = LIMIT_COMMIT_USES,
};

#endif
