/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vendor's module in kms-tokend: profile check, lock file, dlopen, C_Initialize, C_Finalize.
 * It must never load a module before its file's hash was compared with the pinned one.
 */
#include "p11_raw_int.h"

#include "crypto.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_POLL_MS = 20 };

/* Absolute, bounded, and fit for a line of SoftHSM's configuration, which trims blanks. */
static bool path_is_plain(const char *path)
{
	size_t len = path != NULL ? strnlen(path, P11_PATH_MAX + 1) : 0;
	if (len == 0 || len > P11_PATH_MAX || path[0] != '/' || path[len - 1] == ' ') {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f) {
			return false;
		}
	}
	return true;
}

kms_err p11_profile_check(const struct p11_profile *profile)
{
	if (!path_is_plain(profile->module) || !path_is_plain(profile->dir)) {
		kms_log(KMS_LOG_ERROR,
			"token profile: module and directory must be absolute paths");
		return KMS_ERR(CONFIG);
	}
	size_t label = profile->label != NULL ? strlen(profile->label) : 0;
	if (label == 0 || label > P11_LABEL_MAX || profile->label[label - 1] == ' ') {
		kms_log(KMS_LOG_ERROR,
			"token profile: the label must have 1 to %d bytes and no "
			"trailing blank",
			P11_LABEL_MAX);
		return KMS_ERR(CONFIG);
	}
	struct stat st;
	if (stat(profile->dir, &st) != 0) {
		kms_log(KMS_LOG_ERROR, "%s: %s", profile->dir, strerror(errno));
		return KMS_ERR(CONFIG);
	}
	/* Another uid's lock on one of the token's files would block every call (SoftHSM). */
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		kms_log(KMS_LOG_ERROR, "%s: must be a directory of this user with mode 0700",
			profile->dir);
		return KMS_ERR(CONFIG);
	}
	return KMS_OK;
}

static kms_err module_hash(const struct p11_profile *profile, struct kms_hash *ret_hash)
{
	KMS_AUTO_BUF file = {0};
	kms_err err = kms_file_read(profile->module, P11_MODULE_MAX, &file);
	if (!kms_is_ok(err)) {
		kms_log(KMS_LOG_ERROR, "%s: cannot be read", profile->module);
		return KMS_ERR(CONFIG);
	}
	struct kms_hash hash;
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&file), &hash));
	if (profile->module_hash != NULL && !kms_hash_equal(&hash, profile->module_hash)) {
		kms_log(KMS_LOG_ERROR, "%s: not the module that was pinned", profile->module);
		return KMS_ERR(PINS);
	}
	*ret_hash = hash;
	return KMS_OK;
}

kms_err p11_module_load(const struct p11_profile *profile, struct p11_module *ret_module)
{
	struct p11_module module = {0};
	KMS_TRY(module_hash(profile, &module.hash));
	/* Modules that talk to a server raise SIGPIPE when it dies (p11-kit remoting). */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
		return KMS_ERR(INTERNAL);
	}
	/* NODELETE: exit handlers and threads of modules do not survive their code's unmapping. */
	module.library = dlopen(profile->module, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (module.library == NULL) {
		kms_log(KMS_LOG_ERROR, "%s", dlerror());
		return KMS_ERR(CONFIG);
	}
	/* POSIX dlsym: an object pointer that stands for a function. */
	CK_C_GetFunctionList get_list = NULL;
	void *symbol = dlsym(module.library, "C_GetFunctionList");
	memcpy(&get_list, &symbol, sizeof(get_list));
	CK_RV rv = get_list != NULL ? get_list(&module.fn) : CKR_FUNCTION_NOT_SUPPORTED;
	if (rv != CKR_OK || module.fn == NULL) {
		kms_log(KMS_LOG_ERROR, "%s: not a PKCS#11 module", profile->module);
		p11_module_unload(&module);
		return KMS_ERR(CONFIG);
	}
	*ret_module = module;
	return KMS_OK;
}

kms_err p11_module_initialise(struct p11_module *module, const struct p11_profile *profile)
{
	/* OS locking even for one thread: modules have threads of their own (v2.40, 5.4). */
	CK_C_INITIALIZE_ARGS args = {
		.flags = CKF_OS_LOCKING_OK,
		.pReserved = profile->init_args != NULL ? p11_lend(profile->init_args) : NULL,
	};
	CK_RV rv = module->fn->C_Initialize(&args);
	/* ALREADY_INITIALIZED is no success: a second user in this process, or a fork. */
	KMS_TRY(p11_rv_error(rv, "C_Initialize"));
	module->initialised = true;
	return KMS_OK;
}

void p11_module_finalise(struct p11_module *module)
{
	if (module->initialised) {
		KMS_IGNORE(p11_rv_error(module->fn->C_Finalize(NULL), "C_Finalize"));
		module->initialised = false;
	}
}

void p11_module_unload(struct p11_module *module)
{
	p11_module_finalise(module);
	if (module->library != NULL) {
		(void)dlclose(module->library);
		module->library = NULL;
	}
}

kms_err p11_lock_open(const struct p11_profile *profile, int *ret_fd)
{
	KMS_AUTO_FREE char *path = NULL;
	KMS_TRY(kms_text(&path, "%s/p11.lock", profile->dir));
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		kms_log(KMS_LOG_ERROR, "%s: %s", path, strerror(errno));
		return KMS_ERR(IO);
	}
	*ret_fd = fd;
	return KMS_OK;
}

kms_err p11_lock_take(int fd)
{
	int64_t until = kms_monotonic_ms() + P11_LOCK_WAIT_MS;
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			kms_log(KMS_LOG_ERROR, "token lock: %s", strerror(errno));
			return KMS_ERR(IO);
		}
		if (kms_monotonic_ms() >= until) {
			kms_log(KMS_LOG_ERROR, "token lock: another process holds it");
			return KMS_ERR(TIMEOUT);
		}
		struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
		(void)nanosleep(&pause, NULL);
	}
	return KMS_OK;
}

void p11_lock_drop(int fd)
{
	(void)flock(fd, LOCK_UN);
}
