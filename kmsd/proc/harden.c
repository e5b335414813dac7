/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that gives away as little as it can: no core, no debugger, its own user, one instance.
 * Runs in each daemon, before its first thread. It must never leave a daemon running as root.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"

static kms_err refuse_system(const char *what)
{
	kms_log(KMS_LOG_ERROR, "%s: %s", what, strerror(errno));
	return KMS_ERR(IO);
}

static kms_err forbid_dumps(void)
{
	/* PR_SET_DUMPABLE also closes /proc/PID/mem and ptrace to the same user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
		return refuse_system("PR_SET_DUMPABLE");
	}
	return KMS_OK;
}

kms_err proc_harden(void)
{
	KMS_TRY(forbid_dumps());
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return refuse_system("PR_SET_NO_NEW_PRIVS");
	}
	const struct rlimit none = {0, 0};
	if (setrlimit(RLIMIT_CORE, &none) != 0) {
		return refuse_system("RLIMIT_CORE");
	}
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	if (sigaction(SIGPIPE, &ignore, NULL) != 0) {
		return refuse_system("SIGPIPE");
	}
	(void)umask(077);
	return KMS_OK;
}

static kms_err find_user(const char *name, struct passwd *ret_user, char *memory, size_t len)
{
	struct passwd *found = NULL;
	int status = getpwnam_r(name, ret_user, memory, len, &found);
	if (status == 0 && found != NULL) {
		return KMS_OK;
	}
	kms_log(KMS_LOG_ERROR, "user %s: %s; make it, or name another", name,
		status != 0 ? strerror(status) : "there is none of that name");
	return KMS_ERR(CONFIG);
}

/* Real, effective and saved ids are the user's, and asking for root back fails. */
static kms_err check_dropped(const struct passwd *user)
{
	uid_t uids[3];
	gid_t gids[3];
	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
		getresgid(&gids[0], &gids[1], &gids[2]) != 0) {
		return refuse_system("getresuid");
	}
	for (size_t i = 0; i < 3; i++) {
		KMS_ASSERT(uids[i] == user->pw_uid && gids[i] == user->pw_gid);
	}
	KMS_ASSERT(setuid(0) != 0 && seteuid(0) != 0);
	return KMS_OK;
}

kms_err proc_drop_user(const char *name)
{
	if (name == NULL) {
		if (geteuid() != 0 && getuid() != 0) {
			return KMS_OK;
		}
		kms_log(KMS_LOG_ERROR, "this does not run as root; name the user to become");
		return KMS_ERR(CONFIG);
	}
	struct passwd user;
	char memory[2048];
	KMS_TRY(find_user(name, &user, memory, sizeof(memory)));
	if (user.pw_uid == 0 || user.pw_gid == 0) {
		kms_log(KMS_LOG_ERROR,
			"user %s is root or of its group; name one of the daemon's own", name);
		return KMS_ERR(CONFIG);
	}
	if (geteuid() != 0) {
		if (getuid() == user.pw_uid && geteuid() == user.pw_uid) {
			return KMS_OK;
		}
		kms_log(KMS_LOG_ERROR, "only root can become user %s; start as root or as %s", name,
			name);
		return KMS_ERR(CONFIG);
	}
	/* Groups first: without root they cannot be changed any more. */
	if (initgroups(name, user.pw_gid) != 0 ||
		setresgid(user.pw_gid, user.pw_gid, user.pw_gid) != 0 ||
		setresuid(user.pw_uid, user.pw_uid, user.pw_uid) != 0) {
		return refuse_system("becoming another user");
	}
	KMS_TRY(check_dropped(&user));
	/* prctl(2): a change of the effective user sets the flag back to the system's default. */
	return forbid_dumps();
}

static kms_err refuse_locked(const char *path, int fd)
{
	char holder[16] = "";
	ssize_t len = pread(fd, holder, sizeof(holder) - 1, 0);
	holder[len > 0 ? len : 0] = '\0';
	holder[strcspn(holder, "\n")] = '\0';
	kms_log(KMS_LOG_ERROR, "%s: process %s holds it; stop that one first", path,
		holder[0] != '\0' ? holder : "(unknown)");
	return KMS_ERR(EXISTS);
}

kms_err proc_lock_file(const char *path, int *ret_fd)
{
	/* Never unlinked: two processes could then hold locks on two files of one name. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return refuse_system(path);
	}
	kms_err err = KMS_OK;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		err = errno == EWOULDBLOCK ? refuse_locked(path, fd) : refuse_system(path);
		goto out;
	}
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) != 0) {
		err = refuse_system(path);
		goto out;
	}
	err = kms_fd_write_all(fd, (struct kms_bytes){(const uint8_t *)text, (size_t)len});
out:
	if (!kms_is_ok(err)) {
		(void)close(fd);
		return err;
	}
	*ret_fd = fd;
	return KMS_OK;
}
