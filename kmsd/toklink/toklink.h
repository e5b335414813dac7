/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toklink: carries tokmsg frames between kmsd and kms-tokend: a unix stream socket with peer
 * credentials. It knows lengths, not meanings.
 */
#ifndef KMS_TOKLINK_H
#define KMS_TOKLINK_H

#include "base.h"

struct tokmsg; /* tokmsg.h */

struct toklink;
/* kmsd's end. TOKEN_DOWN when nobody listens, or whoever does accepts nobody any more; at once. */
kms_err toklink_connect(const char *socket_path, struct toklink **ret_link);
/* kms-tokend's listening socket, mode 0660 in a directory that its owner made; a stale socket
 * file is replaced, one in use is not (EXISTS). */
kms_err toklink_listen(const char *socket_path, int *ret_fd);
/* Accept one peer whose SO_PEERCRED uid is peer_uid; another is logged and closed (DENIED). */
kms_err toklink_accept(int listen_fd, unsigned peer_uid, struct toklink **ret_link);
void toklink_free(struct toklink **link);
int toklink_fd(const struct toklink *link);

/* One whole frame; blocking. TIMEOUT after timeout_ms without progress (0: wait for ever). */
kms_err toklink_send(struct toklink *link, const struct tokmsg *msg, int timeout_ms);
/* Would a small frame, such as an acknowledgement, be sent now without waiting? */
bool toklink_writable(const struct toklink *link);
/* One frame into the link's own buffer, parsed; what msg borrows lives until the next receive.
 * TOKEN_DOWN when the peer has closed, FORMAT when it does not parse: then close the link. */
kms_err toklink_receive(struct toklink *link, int timeout_ms, struct tokmsg *ret_msg);
/* Is a whole frame waiting in the buffer already? (poll() would not tell.) */
bool toklink_pending(const struct toklink *link);
/* Wake a thread that is blocked in receive, for good. */
void toklink_shutdown(struct toklink *link);

#endif
