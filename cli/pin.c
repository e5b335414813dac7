/* SPDX-License-Identifier: Apache-2.0 */
/* The PIN of a person's own smart card: from a file of theirs, or typed without echo. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli_int.h"
#include "sign_int.h"

enum { PIN_MAX = 256 };

static kms_err with_nul(const struct kms_secret *pin, struct kms_secret **ret_pin)
{
	size_t len = kms_secret_len(pin);
	KMS_AUTO(kms_secret) text = NULL;
	KMS_TRY(kms_secret_new(len + 1, &text));
	memcpy(kms_secret_ptr(text), kms_secret_cptr(pin), len);
	*ret_pin = kms_take(&text);
	return KMS_OK;
}

static kms_err from_file(const char *source, struct kms_secret **ret_pin)
{
	static const char scheme[] = "file:";
	KMS_AUTO(kms_secret) pin = NULL;
	const char *path = source;
	if (strncmp(path, scheme, sizeof(scheme) - 1) == 0) {
		path += sizeof(scheme) - 1;
		path += strncmp(path, "//", 2) == 0 ? 2 : 0;
	}
	if (path[0] != '/') {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"pin-source is file:/PATH, of a file with the PIN alone");
	}
	kms_err err = kms_file_read_secret(path, PIN_MAX, &pin);
	if (!kms_is_ok(err)) {
		return cli_refuse(err, "%s: no PIN could be read there: %s", path,
			kms_is(err, KMS_CODE_IO) ? strerror(errno) : kms_err_text(err));
	}
	return with_nul(pin, ret_pin);
}

/* Byte by byte until the line ends: control-C must not leave the terminal without echo. */
static kms_err read_line(int tty, struct kms_secret *line, size_t *ret_len)
{
	enum { CONTROL_C = 3, CONTROL_D = 4, BACKSPACE = 8, DELETE = 127 };
	uint8_t *at = kms_secret_ptr(line);
	size_t len = 0;
	while (len < PIN_MAX) {
		ssize_t got = read(tty, &at[len], 1);
		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0 || at[len] == CONTROL_C || at[len] == CONTROL_D) {
			return cli_refuse(KMS_ERR(ARGUMENT), "no PIN was given");
		}
		if (at[len] == '\n' || at[len] == '\r') {
			at[len] = '\0';
			*ret_len = len;
			return KMS_OK;
		}
		if (at[len] == BACKSPACE || at[len] == DELETE) {
			at[len] = '\0';
			len -= len > 0;
		} else {
			len++;
		}
	}
	return cli_refuse(KMS_ERR(TOO_LARGE), "a PIN has at most %d bytes", PIN_MAX - 1);
}

static kms_err from_terminal(int tty, const char *token, struct kms_secret **ret_pin)
{
	KMS_AUTO(kms_secret) line = NULL;
	struct termios before;
	size_t len = 0;
	KMS_TRY(kms_secret_new(PIN_MAX, &line));
	if (tcgetattr(tty, &before) != 0) {
		return cli_refuse(KMS_ERR(IO), "the terminal: %s", strerror(errno));
	}
	struct termios quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
	(void)dprintf(tty, "PIN of %s: ", token);
	(void)tcsetattr(tty, TCSAFLUSH, &quiet);
	kms_err err = read_line(tty, line, &len);
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	(void)dprintf(tty, "\n");
	KMS_TRY(err);
	kms_secret_shrink(line, len);
	return with_nul(line, ret_pin);
}

kms_err cli_pin(const char *pin_source, const char *token, struct kms_secret **ret_pin)
{
	if (pin_source != NULL) {
		return from_file(pin_source, ret_pin);
	}
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"there is no terminal to ask for the PIN of %s; put it into a file of mode "
			"0600 and add ?pin-source=file:/PATH to the URI",
			token);
	}
	kms_err err = from_terminal(tty, token, ret_pin);
	(void)close(tty);
	return err;
}
