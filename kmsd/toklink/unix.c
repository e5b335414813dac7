/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets between kmsd and kms-tokend. Who may connect is decided by the kernel's word on
 * the peer's uid, not by anything the peer says.
 */
#include "toklink_int.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 8 };

static kms_err address_of(const char *path, struct sockaddr_un *ret_address)
{
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(ret_address->sun_path)) {
		kms_log(KMS_LOG_ERROR, "%s: a socket's path has 1 to %zu bytes", path,
			sizeof(ret_address->sun_path) - 1);
		return KMS_ERR(CONFIG);
	}
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret_address->sun_path, path, len);
	return KMS_OK;
}

/* TOKEN_DOWN: nobody listens, or its queue of connections is full (EAGAIN, where a blocking socket
 * would wait for ever); ret_errno tells which. */
static kms_err connect_fd(const struct sockaddr_un *address, int *ret_fd, int *ret_errno)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return KMS_ERR(IO);
	}
	int rc;
	do {
		rc = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	} while (rc < 0 && errno == EINTR);
	if (rc < 0) {
		*ret_errno = errno;
		(void)close(fd);
		return KMS_ERR(TOKEN_DOWN);
	}
	*ret_fd = fd;
	return KMS_OK;
}

kms_err toklink_connect(const char *socket_path, struct toklink **ret_link)
{
	struct sockaddr_un address;
	int fd, why;
	KMS_TRY(address_of(socket_path, &address));
	KMS_TRY(connect_fd(&address, &fd, &why));
	return toklink_of_fd(fd, ret_link);
}

/* A socket file that nobody listens on is what a killed process left behind. */
static kms_err remove_stale(const char *path, const struct sockaddr_un *address)
{
	struct stat st;
	if (lstat(path, &st) != 0) {
		return KMS_OK;
	}
	int fd, why = 0;
	if (!S_ISSOCK(st.st_mode)) {
		kms_log(KMS_LOG_ERROR, "%s is there and is not a socket", path);
		return KMS_ERR(EXISTS);
	}
	kms_err err = connect_fd(address, &fd, &why);
	if (kms_is_ok(err)) {
		(void)close(fd);
	}
	if (kms_is_ok(err) || why != ECONNREFUSED) {
		kms_log(KMS_LOG_ERROR, "%s: another process listens there", path);
		return KMS_ERR(EXISTS);
	}
	return unlink(path) == 0 ? KMS_OK : KMS_ERR(IO);
}

kms_err toklink_listen(const char *socket_path, int *ret_fd)
{
	struct sockaddr_un address;
	KMS_TRY(address_of(socket_path, &address));
	KMS_TRY(remove_stale(socket_path, &address));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return KMS_ERR(IO);
	}
	mode_t mask = umask(0117);
	int rc = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	(void)umask(mask);
	if (rc != 0 || listen(fd, BACKLOG) != 0) {
		kms_log(KMS_LOG_ERROR, "%s: cannot listen: %s", socket_path, strerror(errno));
		(void)close(fd);
		return KMS_ERR(IO);
	}
	*ret_fd = fd;
	return KMS_OK;
}

kms_err toklink_accept(int listen_fd, unsigned peer_uid, struct toklink **ret_link)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		return KMS_ERR(IO);
	}
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || peer.uid != peer_uid) {
		kms_log(KMS_LOG_WARNING, "refused a connection of uid %u: only uid %u may connect",
			(unsigned)peer.uid, peer_uid);
		(void)close(fd);
		return KMS_ERR(DENIED);
	}
	return toklink_of_fd(fd, ret_link);
}
