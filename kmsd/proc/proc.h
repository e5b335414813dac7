/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: what every daemon does with its own process: options, hardening, its user, one instance,
 * signals, the sandbox, word to its service manager. The only module that includes getopt,
 * libseccomp and Landlock.
 *
 * The order at start: proc_options, proc_harden, read what only root can, proc_drop_user,
 * proc_lock_file, proc_signals, proc_sandbox, then threads and listeners, proc_daemon_ready.
 * proc_signals and proc_sandbox hold for threads that are made after them.
 */
#ifndef KMS_PROC_H
#define KMS_PROC_H

#include "base.h"

/* ---- options (options.c) ---- */

enum { PROC_OPTIONS_MAX = 32 };

struct proc_option {
	const char *name; /* after `--` */
	char letter;      /* after `-`; 0: none */
	const char *arg;  /* what the help calls the argument; NULL: a flag */
	const char *help; /* one line, no full stop */
};
/* A program and its options; --help (-h) and --version (-V) come by themselves. */
struct proc_program {
	const char *name;
	const char *summary; /* one line, no full stop */
	const char *version;
	const struct proc_option *options;
	size_t count; /* at most PROC_OPTIONS_MAX */
};
/*
 * Read the command line. ret_values has one place per option, in the table's order: NULL where it
 * was not given, its argument, or "" for a flag; borrowed from argv. ARGUMENT, with a complaint on
 * stderr that says what to do, for an unknown, abbreviated, repeated or incomplete option and for
 * any operand. *ret_done: help or version was printed, and there is nothing else to do.
 */
kms_err proc_options(const struct proc_program *program, int argc, char *argv[],
	const char *ret_values[], bool *ret_done);

/* ---- the process (harden.c) ---- */

/* No core, no ptrace by the same user, no new privileges by exec, umask 077, SIGPIPE ignored. */
kms_err proc_harden(void);
/*
 * Become the user, with its groups, for good: it is checked that there is no way back. CONFIG for
 * root without a user, for the user root, for one that is not there, and for another than the
 * own one where we are not root. NULL: stay who we are, unless that is root.
 */
kms_err proc_drop_user(const char *name);
/*
 * One instance: an exclusive flock on the file (made with mode 0600), with our process id in it.
 * EXISTS, logged with the holder's process id, while another one holds it. The lock lasts as long
 * as the file descriptor.
 */
kms_err proc_lock_file(const char *path, int *ret_fd);

/* ---- signals and the service manager (service.c) ---- */

enum proc_signal {
	PROC_SIGNAL_NONE,   /* nothing waits */
	PROC_SIGNAL_STOP,   /* SIGTERM, SIGINT */
	PROC_SIGNAL_RELOAD, /* SIGHUP */
};
/* Turn those signals into a descriptor for poll loops. Before the first thread. */
kms_err proc_signals(int *ret_signal_fd);
/* The next one; does not block. */
enum proc_signal proc_signal_read(int signal_fd);

/* READY=1 to $NOTIFY_SOCKET, as sd_notify(3) does; nothing where there is none. IO otherwise. */
kms_err proc_daemon_ready(void);
/* Path of a systemd credential, $CREDENTIALS_DIRECTORY/name; the caller frees it. NOT_FOUND. */
kms_err proc_credential_path(const char *name, char **ret_path);

/* ---- the sandbox (sandbox.c) ---- */

enum {
	PROC_READ = 1,  /* files, and what is listed in folders */
	PROC_WRITE = 2, /* make, change, rename and remove; reading is in it */
	PROC_EXEC = 4,  /* run programs; where no path has it, exec is denied altogether */
};
/* A file, or a folder with all below it. */
struct proc_path {
	const char *path;
	unsigned access;
};
/* What is in force, for status answers. */
struct proc_sandbox {
	int landlock_abi; /* 0: this kernel has no Landlock */
	bool seccomp;
};
/*
 * Give up, for good, all file access but the listed paths (Landlock), and system calls that
 * neither daemon ever needs and that reach into other processes or the kernel (seccomp). Files
 * that are open already stay open. A path that is not there, or
 * NULL, is left out. A kernel that lacks one
 * of the two is a warning, and ret_sandbox says so; any other failure is IO.
 */
kms_err proc_sandbox(const struct proc_path *paths, size_t count, struct proc_sandbox *ret_sandbox);

#endif
