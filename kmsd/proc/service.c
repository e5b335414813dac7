/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a daemon and its service manager: signals, readiness, credentials. Runs in each daemon.
 * It must never start a process or a thread of its own.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proc.h"

kms_err proc_signals(int *ret_signal_fd)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	int status = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (status != 0) {
		kms_log(KMS_LOG_ERROR, "blocking signals: %s", strerror(status));
		return KMS_ERR(IO);
	}
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		kms_log(KMS_LOG_ERROR, "signalfd: %s", strerror(errno));
		return KMS_ERR(IO);
	}
	*ret_signal_fd = fd;
	return KMS_OK;
}

enum proc_signal proc_signal_read(int signal_fd)
{
	struct signalfd_siginfo info;
	if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
		return PROC_SIGNAL_NONE;
	}
	return info.ssi_signo == SIGHUP ? PROC_SIGNAL_RELOAD : PROC_SIGNAL_STOP;
}

/* sd_notify(3): a datagram to a path, or to an abstract name that is written with `@`. */
static kms_err notify(const char *where, const char *state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(where);
	if ((where[0] != '/' && where[0] != '@') || len >= sizeof(address.sun_path)) {
		kms_log(KMS_LOG_ERROR, "NOTIFY_SOCKET is no address of a unix socket");
		return KMS_ERR(IO);
	}
	memcpy(address.sun_path, where, len);
	if (where[0] == '@') {
		address.sun_path[0] = '\0';
	}
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		kms_log(KMS_LOG_ERROR, "socket: %s", strerror(errno));
		return KMS_ERR(IO);
	}
	ssize_t sent =
		sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	int reason = errno;
	(void)close(fd);
	if (sent < 0) {
		kms_log(KMS_LOG_ERROR, "NOTIFY_SOCKET: %s", strerror(reason));
		return KMS_ERR(IO);
	}
	return KMS_OK;
}

kms_err proc_daemon_ready(void)
{
	const char *where = getenv("NOTIFY_SOCKET");
	return where == NULL || where[0] == '\0' ? KMS_OK : notify(where, "READY=1");
}

kms_err proc_credential_path(const char *name, char **ret_path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	if (folder == NULL || folder[0] != '/') {
		return KMS_ERR(NOT_FOUND);
	}
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_AUTO_FREE char *path = NULL;
	KMS_TRY(kms_text(&path, "%s/%s", folder, name));
	if (access(path, R_OK) != 0) {
		return KMS_ERR(NOT_FOUND);
	}
	*ret_path = kms_take(&path);
	return KMS_OK;
}
