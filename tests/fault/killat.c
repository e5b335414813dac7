/* SPDX-License-Identifier: Apache-2.0 */
/*
 * killat: run a command, count its system calls that leave something behind (on a disk or a
 * socket), and kill it with SIGKILL at exactly the n-th of them. For tests; never part of a
 * product.
 *
 *   killat --trace OUT [--at N --when before|after] [--arm FILE] [--only PREFIX]... [--sockets]
 *          -- COMMAND...
 *
 * Counted, over all threads and children: opens that truncate or create, writes, syncs, renames,
 * links, unlinks, mkdirs, and truncations of files under a PREFIX, and, with --sockets, what is
 * sent on sockets. --arm: count only while FILE is there. OUT gets a line for each, `n thread call
 * what`, and `killed before n` or `killed after n`. `before` means that the call never ran: the
 * kernel skips a call whose caller was killed at its entry.
 *
 * The command keeps killat's own process id, so that whoever starts and stops a daemon needs to
 * know nothing of this: the tracer is a process beside it. Needs root: a daemon that is not
 * dumpable shows its memory and descriptors to no one else.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PREFIXES_MAX = 8, THREADS_MAX = 1024, WHAT_MAX = 1024 };

/* Which argument says what a call is about. */
enum about {
	ABOUT_FD,        /* a descriptor in argument 0 */
	ABOUT_PATH,      /* a path in argument 0 */
	ABOUT_PATH_AT,   /* a folder's descriptor in 0 and a path in 1 */
	ABOUT_PATH_1,    /* a path in argument 1: where a link or a name goes to */
	ABOUT_PATH_AT_2, /* a folder's descriptor in 2 and a path in 3: the same */
};
static const struct call {
	long number;
	const char *name;
	enum about about;
	int flags_at; /* the argument with open's flags; -1: always counted */
} CALLS[] = {
#ifdef SYS_open
	{SYS_open, "open", ABOUT_PATH, 1},
	{SYS_creat, "creat", ABOUT_PATH, -1},
	{SYS_rename, "rename", ABOUT_PATH_1, -1},
	{SYS_unlink, "unlink", ABOUT_PATH, -1},
	{SYS_rmdir, "rmdir", ABOUT_PATH, -1},
	{SYS_mkdir, "mkdir", ABOUT_PATH, -1},
	{SYS_link, "link", ABOUT_PATH_1, -1},
#endif
	{SYS_openat, "openat", ABOUT_PATH_AT, 2},
#ifdef SYS_renameat
	{SYS_renameat, "renameat", ABOUT_PATH_AT_2, -1},
#endif
	{SYS_renameat2, "renameat2", ABOUT_PATH_AT_2, -1},
	{SYS_unlinkat, "unlinkat", ABOUT_PATH_AT, -1},
	{SYS_mkdirat, "mkdirat", ABOUT_PATH_AT, -1},
	{SYS_linkat, "linkat", ABOUT_PATH_AT_2, -1},
	{SYS_truncate, "truncate", ABOUT_PATH, -1},
	{SYS_write, "write", ABOUT_FD, -1},
	{SYS_pwrite64, "pwrite64", ABOUT_FD, -1},
	{SYS_writev, "writev", ABOUT_FD, -1},
	{SYS_pwritev, "pwritev", ABOUT_FD, -1},
	{SYS_ftruncate, "ftruncate", ABOUT_FD, -1},
	{SYS_fallocate, "fallocate", ABOUT_FD, -1},
	{SYS_fsync, "fsync", ABOUT_FD, -1},
	{SYS_fdatasync, "fdatasync", ABOUT_FD, -1},
	{SYS_sendto, "sendto", ABOUT_FD, -1},
	{SYS_sendmsg, "sendmsg", ABOUT_FD, -1},
	{SYS_sendmmsg, "sendmmsg", ABOUT_FD, -1},
};

struct options {
	const char *prefixes[PREFIXES_MAX];
	size_t prefix_count;
	bool sockets;
	const char *arm;
	FILE *trace;
	unsigned long at; /* 0: nowhere */
	bool after;
};

/* What each thread is in the middle of. */
struct tracer {
	struct options options;
	pid_t process; /* the command's */
	unsigned long count;
	struct {
		pid_t id;
		bool in_the_call; /* that is to be killed at */
	} threads[THREADS_MAX];
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("killat: ", stderr);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(125);
}

/* ---- what a call is about ---- */

static void read_link(const char *name, char ret_target[WHAT_MAX])
{
	ssize_t length = readlink(name, ret_target, WHAT_MAX - 1);
	ret_target[length < 0 ? 0 : length] = '\0';
}

/* A file's path, or what /proc says of another thing. */
static void describe_fd(pid_t thread, int fd, char ret_what[WHAT_MAX])
{
	char name[64];
	if (fd == AT_FDCWD) {
		snprintf(name, sizeof(name), "/proc/%d/cwd", (int)thread);
	} else {
		snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)thread, fd);
	}
	read_link(name, ret_what);
}

/* `socket unix` or `socket inet`: an own copy of the socket is asked. */
static void describe_socket(pid_t process, int fd, char ret_what[WHAT_MAX])
{
	int family = 0;
	socklen_t size = sizeof(family);
	int whose = (int)syscall(SYS_pidfd_open, process, 0);
	int copy = (int)syscall(SYS_pidfd_getfd, whose, fd, 0);
	getsockopt(copy, SOL_SOCKET, SO_DOMAIN, &family, &size);
	close(copy);
	close(whose);
	snprintf(ret_what, WHAT_MAX, "socket %s", family == AF_UNIX ? "unix" : "inet");
}

static void read_text(pid_t thread, uint64_t address, char ret_text[WHAT_MAX])
{
	size_t length = 0;
	while (length < WHAT_MAX - 1) {
		union {
			long word;
			char bytes[sizeof(long)];
		} part;
		/* glibc's ptrace hands the word back; of an address that is not there, -1. */
		part.word = ptrace(
			PTRACE_PEEKDATA, thread, (void *)(uintptr_t)(address + length), NULL);
		for (size_t i = 0; i < sizeof(long) && length < WHAT_MAX - 1; i++, length++) {
			ret_text[length] = part.bytes[i];
			if (part.bytes[i] == '\0') {
				return;
			}
		}
	}
	ret_text[length] = '\0';
}

/* The folder as the kernel resolves it: prefixes hold no links and no `..`. */
static void describe_path(pid_t thread, int folder, uint64_t address, char ret_what[WHAT_MAX])
{
	char text[WHAT_MAX];
	char path[2 * WHAT_MAX];
	read_text(thread, address, text);
	describe_fd(thread, folder, path);
	size_t length = text[0] == '/' ? 0 : strlen(path);
	snprintf(path + length, sizeof(path) - length, "/%s", text);
	char *name = strrchr(path, '/');
	*name++ = '\0';
	char *resolved = realpath(path[0] != '\0' ? path : "/", NULL);
	snprintf(ret_what, WHAT_MAX, "%s/%s", resolved != NULL ? resolved : path, name);
	free(resolved);
}

static void describe(
	pid_t thread, const struct call *call, const uint64_t args[6], char ret_what[WHAT_MAX])
{
	switch (call->about) {
	case ABOUT_FD:
		describe_fd(thread, (int)args[0], ret_what);
		break;
	case ABOUT_PATH:
		describe_path(thread, AT_FDCWD, args[0], ret_what);
		break;
	case ABOUT_PATH_AT:
		describe_path(thread, (int)args[0], args[1], ret_what);
		break;
	case ABOUT_PATH_1:
		describe_path(thread, AT_FDCWD, args[1], ret_what);
		break;
	case ABOUT_PATH_AT_2:
		describe_path(thread, (int)args[2], args[3], ret_what);
		break;
	}
}

/* ---- counting ---- */

static bool is_below(const char *path, const char *prefix)
{
	size_t length = strlen(prefix);
	return strncmp(path, prefix, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool is_counted(const struct tracer *tracer, const struct call *call, const uint64_t args[6],
	const char *what, bool is_socket)
{
	const struct options *options = &tracer->options;
	if (options->arm != NULL && access(options->arm, F_OK) != 0) {
		return false;
	}
	if (is_socket) {
		return options->sockets;
	}
	if (call->flags_at >= 0 && (args[call->flags_at] & (O_TRUNC | O_CREAT)) == 0) {
		return false;
	}
	for (size_t i = 0; i < options->prefix_count; i++) {
		if (is_below(what, options->prefixes[i])) {
			return true;
		}
	}
	return options->prefix_count == 0;
}

static void kill_now(struct tracer *tracer, const char *when)
{
	/* First the line: whoever waits for the death wants to read it. */
	fprintf(tracer->options.trace, "killed %s %lu\n", when, tracer->options.at);
	fflush(tracer->options.trace);
	if (kill(tracer->process, SIGKILL) != 0) {
		die("cannot kill %d", (int)tracer->process);
	}
}

static bool *in_the_call(struct tracer *tracer, pid_t thread)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (tracer->threads[i].id == thread || tracer->threads[i].id == 0) {
			tracer->threads[i].id = thread;
			return &tracer->threads[i].in_the_call;
		}
	}
	die("too many threads");
}

static const struct call *find_call(uint64_t number)
{
	for (size_t i = 0; i < sizeof(CALLS) / sizeof(CALLS[0]); i++) {
		if ((uint64_t)CALLS[i].number == number) {
			return &CALLS[i];
		}
	}
	return NULL;
}

static void enter_call(struct tracer *tracer, pid_t thread, uint64_t number, const uint64_t args[6])
{
	char what[WHAT_MAX];
	const struct call *call = find_call(number);
	if (call == NULL) {
		return;
	}
	describe(thread, call, args, what);
	bool is_socket =
		call->about == ABOUT_FD && strncmp(what, "socket:", strlen("socket:")) == 0;
	if (!is_counted(tracer, call, args, what, is_socket)) {
		return;
	}
	if (is_socket) {
		describe_socket(tracer->process, (int)args[0], what);
	}
	FILE *trace = tracer->options.trace;
	fprintf(trace, "%lu %d %s %s\n", ++tracer->count, (int)thread, call->name, what);
	fflush(trace);
	if (tracer->count != tracer->options.at) {
		return;
	}
	if (tracer->options.after) {
		*in_the_call(tracer, thread) = true;
	} else {
		kill_now(tracer, "before");
	}
}

static void stop_at_call(struct tracer *tracer, pid_t thread)
{
	struct __ptrace_syscall_info info = {0};
	if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof(info), &info) <= 0) {
		return; /* killed meanwhile */
	}
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		uint64_t args[6];
		memcpy(args, info.entry.args, sizeof(args));
		enter_call(tracer, thread, info.entry.nr, args);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && *in_the_call(tracer, thread)) {
		*in_the_call(tracer, thread) = false;
		kill_now(tracer, "after");
	}
}

/* ---- following ---- */

/* One change of one thread; then let it go on. */
static void follow(struct tracer *tracer, pid_t thread, int status)
{
	int number = WSTOPSIG(status);
	int event = status >> 16;
	uintptr_t deliver = 0;
	if (number == (SIGTRAP | 0x80)) {
		stop_at_call(tracer, thread);
	} else if (event == PTRACE_EVENT_STOP && number != SIGTRAP) {
		ptrace(PTRACE_LISTEN, thread, NULL,
			NULL); /* stopped like any process, until SIGCONT */
		return;
	} else if (event == 0) {
		deliver = (uintptr_t)number;
	}
	ptrace(PTRACE_SYSCALL, thread, NULL, (void *)deliver);
}

__attribute__((noreturn)) static void trace_until_its_end(struct tracer *tracer)
{
	int status = 0;
	for (;;) {
		pid_t thread = waitpid(-1, &status, __WALL);
		if (thread < 0) {
			_exit(0); /* nobody is left */
		}
		if (WIFSTOPPED(status)) {
			follow(tracer, thread, status);
		} else {
			*in_the_call(tracer, thread) = false; /* ids come back */
		}
	}
}

static void start_tracer(struct tracer *tracer, int ready)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE |
			     PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
	if (ptrace(PTRACE_SEIZE, tracer->process, NULL, (void *)options) != 0 ||
		ptrace(PTRACE_INTERRUPT, tracer->process, NULL, NULL) != 0) {
		die("cannot trace (not root?)");
	}
	setsid();
	if (write(ready, "", 1) != 1) {
		die("the command is gone");
	}
	close(ready);
	trace_until_its_end(tracer);
}

static unsigned long read_number(const char *text)
{
	char *end = NULL;
	unsigned long number = strtoul(text, &end, 10);
	if (number == 0 || *end != '\0') {
		die("not a number from 1: %s", text);
	}
	return number;
}

/* Options up to `--`; returns where the command begins. */
static char **read_options(char **words, struct options *ret_options)
{
	for (; *words != NULL && strcmp(*words, "--") != 0; words++) {
		if (strcmp(*words, "--sockets") == 0) {
			ret_options->sockets = true;
			continue;
		}
		const char *value = words[1];
		if (value == NULL) {
			die("a value is missing after %s", *words);
		}
		if (strcmp(*words, "--trace") == 0) {
			ret_options->trace = fopen(value, "we");
		} else if (strcmp(*words, "--at") == 0) {
			ret_options->at = read_number(value);
		} else if (strcmp(*words, "--when") == 0) {
			ret_options->after = strcmp(value, "after") == 0;
		} else if (strcmp(*words, "--arm") == 0) {
			ret_options->arm = value;
		} else if (strcmp(*words, "--only") == 0 &&
			   ret_options->prefix_count < PREFIXES_MAX) {
			ret_options->prefixes[ret_options->prefix_count++] = value;
		} else {
			die("not understood: %s", *words);
		}
		words++;
	}
	if (*words == NULL || words[1] == NULL || ret_options->trace == NULL) {
		die("usage: killat --trace OUT [--at N --when before|after] [--arm FILE] [--only "
		    "PREFIX]..."
		    " [--sockets] -- COMMAND...");
	}
	return words + 1;
}

int main(int argc, char *argv[])
{
	static struct tracer tracer;
	int ready[2];
	char byte = 0;
	char **command = read_options(argv + (argc > 0 ? 1 : 0), &tracer.options);
	tracer.process = getpid();
	if (pipe2(ready, O_CLOEXEC) != 0) {
		die("no pipe");
	}
	/* Two forks: the command must not find a child that it did not make. */
	pid_t between = fork();
	if (between == 0) {
		if (fork() == 0) {
			start_tracer(&tracer, ready[1]);
		}
		_exit(0);
	}
	close(ready[1]);
	waitpid(between, NULL, 0);
	if (read(ready[0], &byte, 1) != 1) { /* that the tracer holds us */
		die("no tracer");
	}
	execv(command[0], command);
	die("cannot run %s", command[0]);
}
