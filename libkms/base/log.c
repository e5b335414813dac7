/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line to stderr. Runs in every program, in any thread. It must never carry a
 * secret (no caller has a way to print one), nor let a text from outside start a line of its own.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"

enum { LINE_MAX_BYTES = 2048, PROGRAM_MAX = 32 };

static const struct {
	const char *name;
	const char *prefix; /* sd-daemon(3) */
} LEVELS[] = {
	[KMS_LOG_ERROR] = {"error", "<3>"},
	[KMS_LOG_WARNING] = {"warning", "<4>"},
	[KMS_LOG_INFO] = {"info", "<6>"},
	[KMS_LOG_DEBUG] = {"debug", "<7>"},
};

/* The one global setting; written at the start of a program, before its threads. */
static struct {
	char program[PROGRAM_MAX];
	enum kms_log_level level;
	bool journal;
} log_setting = {.program = "kms", .level = KMS_LOG_INFO};

/*
 * systemd.exec(5): JOURNAL_STREAM names device and inode of the journal's stream. Children inherit
 * the variable also where their stderr is a terminal or a file, so both are compared.
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	if (stream == NULL || fstat(STDERR_FILENO, &st) != 0) {
		return false;
	}
	char own[64];
	(void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, own) == 0;
}

void kms_log_set(const char *program, enum kms_log_level level)
{
	(void)snprintf(log_setting.program, sizeof(log_setting.program), "%s", program);
	log_setting.level = level;
	log_setting.journal = stderr_is_journal();
}

kms_err kms_log_level_parse(const char *text, enum kms_log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(LEVELS) / sizeof(LEVELS[0]); i++) {
		if (strcmp(text, LEVELS[i].name) == 0) {
			*ret_level = (enum kms_log_level)i;
			return KMS_OK;
		}
	}
	return KMS_ERR(ARGUMENT);
}

/* ASCII's control characters, and C1's as UTF-8 writes them (C2 80 .. C2 9F). */
static void replace_controls(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		unsigned char next = i + 1 < len ? (unsigned char)text[i + 1] : 0;
		if (c < 0x20 || c == 0x7f) {
			text[i] = '?';
		} else if (c == 0xc2 && next >= 0x80 && next <= 0x9f) {
			text[i] = '?';
			text[i + 1] = '?';
		}
	}
}

/* What snprintf wrote into room bytes, when it would have liked to write wanted. */
static size_t written(int wanted, size_t room)
{
	if (wanted < 0) {
		return 0;
	}
	return (size_t)wanted < room ? (size_t)wanted : room - 1;
}

void kms_log(enum kms_log_level level, const char *format, ...)
{
	static const char CUT[] = " [cut]";
	if (level > log_setting.level) {
		return;
	}
	int saved_errno = errno;
	char line[LINE_MAX_BYTES + 1]; /* with the newline; the last byte is for snprintf's NUL */
	int head = log_setting.journal
			   ? snprintf(line, LINE_MAX_BYTES, "%s", LEVELS[level].prefix)
			   : snprintf(line, LINE_MAX_BYTES, "%s: %s: ", log_setting.program,
				     LEVELS[level].name);
	size_t start = written(head, LINE_MAX_BYTES);
	size_t room = LINE_MAX_BYTES - start;
	va_list args;
	va_start(args, format);
	int body = vsnprintf(line + start, room, format, args);
	va_end(args);
	size_t len = start + written(body, room);
	if (body >= 0 && (size_t)body >= room) {
		memcpy(line + len - (sizeof(CUT) - 1), CUT, sizeof(CUT) - 1);
	}
	replace_controls(line + start, len - start);
	line[len++] = '\n';
	/* One write: lines of several threads do not mix. A log that cannot be written stops
	 * nobody. */
	KMS_IGNORE(kms_fd_write_all(STDERR_FILENO, (struct kms_bytes){(const uint8_t *)line, len}));
	errno = saved_errno;
}
