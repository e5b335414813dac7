/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of token it is (a file of pkcs11-profiles/), and its PIN: from a file, a systemd
 * credential or a prompt; never from argv or the environment.
 */
#include "tokend_int.h"

#include "config.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { PIN_MAX = 64, PIN_MADE = 32 };

kms_err profile_read(const struct owner *owner, struct profile **ret_profile)
{
	static const char *const classes[] = {"software", "hsm"};
	static const char *const families[] = {"generic", "softhsm"};
	KMS_AUTO(profile) profile = calloc(1, sizeof(*profile));
	if (profile == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(config_read(owner->profile_path, &profile->file));
	struct config *map = profile->file;
	size_t class, family;
	KMS_TRY(config_get_choice(map, "class", classes, 2, &class));
	KMS_TRY(config_get_choice(map, "family", families, 2, &family));
	KMS_TRY(config_get_path(map, "module", &profile->p11.module));
	KMS_TRY(config_get_text_or(map, "init_args", NULL, &profile->p11.init_args));
	KMS_TRY(config_get_bool(map, "login", &profile->p11.login));
	KMS_TRY(config_get_bool(map, "serialise_create", &profile->p11.serialise_create));
	KMS_TRY(config_end(map));
	profile->class = class == 0 ? MODEL_CLASS_SOFTWARE : MODEL_CLASS_HSM;
	profile->p11.softhsm = family == 1;
	profile->p11.label = owner->label;
	profile->p11.dir = owner->directory;
	*ret_profile = kms_take(&profile);
	return KMS_OK;
}

void profile_free(struct profile **profile)
{
	if (profile == NULL || *profile == NULL) {
		return;
	}
	config_free(&(*profile)->file);
	free(*profile);
	*profile = NULL;
}

/* SoftHSM stretches a PIN for half a millisecond only: the PIN itself carries the entropy. */
static kms_err make_pin(const char *path)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	KMS_AUTO(kms_secret) pin = NULL;
	KMS_TRY(kms_secret_new(PIN_MADE, &pin));
	uint8_t *text = kms_secret_ptr(pin);
	kms_random(text, PIN_MADE);
	for (size_t i = 0; i < PIN_MADE; i++) {
		text[i] = (uint8_t)letters[text[i] % 64];
	}
	/* Whole or not at all: a short one would be taken for the PIN by the next --init. */
	return kms_file_write(path, kms_secret_bytes(pin), 0400);
}

static kms_err prompt_pin(struct kms_secret **ret_pin)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct termios shown, hidden;
	if (fd < 0 || tcgetattr(fd, &shown) != 0) {
		kms_log(KMS_LOG_ERROR, "no PIN file or credential is configured, and there is no "
				       "terminal to ask for the PIN");
		if (fd >= 0) {
			(void)close(fd);
		}
		return KMS_ERR(CONFIG);
	}
	KMS_AUTO(kms_secret) pin = NULL;
	kms_err err = kms_secret_new(PIN_MAX + 1, &pin);
	hidden = shown;
	hidden.c_lflag &= (tcflag_t) ~(ECHO | ECHONL);
	ssize_t n = -1;
	if (kms_is_ok(err) && tcsetattr(fd, TCSAFLUSH, &hidden) == 0) {
		(void)!write(fd, "PIN: ", 5);
		n = read(fd, kms_secret_ptr(pin), PIN_MAX + 1);
		(void)!write(fd, "\n", 1);
		(void)tcsetattr(fd, TCSAFLUSH, &shown);
	}
	(void)close(fd);
	KMS_TRY(err);
	if (n < 2 || kms_secret_cptr(pin)[n - 1] != '\n') {
		kms_log(KMS_LOG_ERROR, "a PIN has 1 to %d bytes", PIN_MAX);
		return KMS_ERR(CONFIG);
	}
	kms_secret_shrink(pin, (size_t)n - 1);
	*ret_pin = kms_take(&pin);
	return KMS_OK;
}

kms_err profile_pin(const struct owner *owner, bool make, struct kms_secret **ret_pin)
{
	if (owner->pin_credential != NULL) {
		char *path KMS_AUTO_FREE = NULL;
		KMS_TRY(proc_credential_path(owner->pin_credential, &path));
		return kms_file_read_secret(path, PIN_MAX, ret_pin);
	}
	if (owner->pin_file == NULL) {
		return prompt_pin(ret_pin);
	}
	struct stat st;
	if (make && stat(owner->pin_file, &st) != 0 && errno == ENOENT) {
		KMS_TRY(make_pin(owner->pin_file));
	}
	return kms_file_read_secret(owner->pin_file, PIN_MAX, ret_pin);
}
