/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox: Landlock for files, seccomp for system calls. Runs in each daemon after its start
 * and before its first thread. It is a second wall, behind users and modes: a kernel without it
 * is a warning, but it must never claim a wall that is not in force.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc.h"

/* ---- Landlock: no wrapper in libc, so raw system calls; landlock(7) ---- */

/* Of ABI 3, which older kernel headers lack. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

static const uint64_t rights_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t rights_write = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
				     LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
				     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
				     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
				     LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE;
static const uint64_t rights_exec = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;
/* What a rule on a file, and not a folder, may name. */
static const uint64_t rights_of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
					LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;

/* Every right of the ABI: what a ruleset does not handle stays allowed. */
static uint64_t rights_handled(int abi)
{
	uint64_t abi_1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	uint64_t abi_2 = abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
	uint64_t abi_3 = abi >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
	return abi_1 | abi_2 | abi_3;
}

static kms_err refuse_system(const char *what)
{
	kms_log(KMS_LOG_ERROR, "sandbox: %s: %s", what, strerror(errno));
	return KMS_ERR(IO);
}

static kms_err allow_path(int ruleset, const struct proc_path *path, uint64_t handled)
{
	if (path->path == NULL) {
		return KMS_OK;
	}
	int fd = open(path->path, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT) {
			kms_log(KMS_LOG_DEBUG, "sandbox: %s is not there", path->path);
			return KMS_OK;
		}
		return refuse_system(path->path);
	}
	kms_err err = KMS_OK;
	struct stat status;
	struct landlock_path_beneath_attr rule = {.parent_fd = fd};
	rule.allowed_access |= (path->access & PROC_READ) != 0 ? rights_read : 0;
	rule.allowed_access |= (path->access & PROC_WRITE) != 0 ? rights_write : 0;
	rule.allowed_access |= (path->access & PROC_EXEC) != 0 ? rights_exec : 0;
	rule.allowed_access &= handled;
	if (fstat(fd, &status) != 0) {
		err = refuse_system(path->path);
		goto out;
	}
	if (!S_ISDIR(status.st_mode)) {
		rule.allowed_access &= rights_of_files;
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
		err = refuse_system(path->path);
	}
out:
	(void)close(fd);
	return err;
}

/* *ret_abi is 0 where the kernel has no Landlock, or has it switched off. */
static kms_err restrict_files(const struct proc_path *paths, size_t count, int *ret_abi)
{
	long abi = syscall(
		SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0) {
		*ret_abi = 0;
		return errno == ENOSYS || errno == EOPNOTSUPP ? KMS_OK
							      : refuse_system("Landlock's version");
	}
	struct landlock_ruleset_attr attr = {.handled_access_fs = rights_handled((int)abi)};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0) {
		return refuse_system("Landlock's rules");
	}
	kms_err err = KMS_OK;
	for (size_t i = 0; i < count && kms_is_ok(err); i++) {
		err = allow_path(ruleset, &paths[i], attr.handled_access_fs);
	}
	if (kms_is_ok(err) && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
		err = refuse_system("Landlock");
	}
	(void)close(ruleset);
	KMS_TRY(err);
	*ret_abi = (int)abi;
	return KMS_OK;
}

/* ---- seccomp ---- */

/* Calls into other processes, into the kernel, and around the first wall. */
static const int denied_calls[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(bpf),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup), /* its operations pass no seccomp filter */
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(reboot),
};
static const int exec_calls[] = {SCMP_SYS(execve), SCMP_SYS(execveat)};

/* EPERM, not a kill: what a vendor's module tries is its own error, and the daemon lives. */
static kms_err deny(scmp_filter_ctx filter, const int calls[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
		if (status != 0) {
			errno = -status;
			return refuse_system("seccomp's rules");
		}
	}
	return KMS_OK;
}

static kms_err restrict_calls(bool may_exec, bool *ret_in_force)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	if (filter == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = deny(filter, denied_calls, sizeof(denied_calls) / sizeof(denied_calls[0]));
	if (kms_is_ok(err) && !may_exec) {
		err = deny(filter, exec_calls, sizeof(exec_calls) / sizeof(exec_calls[0]));
	}
	int status = kms_is_ok(err) ? seccomp_load(filter) : 0;
	seccomp_release(filter);
	KMS_TRY(err);
	*ret_in_force = status == 0;
	return KMS_OK;
}

kms_err proc_sandbox(const struct proc_path *paths, size_t count, struct proc_sandbox *ret_sandbox)
{
	/* Both need it, and it does no harm where proc_harden set it before. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return refuse_system("PR_SET_NO_NEW_PRIVS");
	}
	bool may_exec = false;
	for (size_t i = 0; i < count; i++) {
		may_exec = may_exec || (paths[i].access & PROC_EXEC) != 0;
	}
	struct proc_sandbox sandbox = {0};
	KMS_TRY(restrict_files(paths, count, &sandbox.landlock_abi));
	KMS_TRY(restrict_calls(may_exec, &sandbox.seccomp));
	if (sandbox.landlock_abi > 0) {
		kms_log(KMS_LOG_INFO, "sandbox: files by Landlock, ABI %d, %zu paths",
			sandbox.landlock_abi, count);
	} else {
		kms_log(KMS_LOG_WARNING, "sandbox: this kernel has no Landlock; users and modes "
					 "alone guard files");
	}
	if (sandbox.seccomp) {
		kms_log(KMS_LOG_INFO, "sandbox: system calls by seccomp%s",
			may_exec ? "" : ", no exec");
	} else {
		kms_log(KMS_LOG_WARNING, "sandbox: this kernel takes no seccomp filter");
	}
	*ret_sandbox = sandbox;
	return KMS_OK;
}
