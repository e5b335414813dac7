/* SPDX-License-Identifier: Apache-2.0 */
/* A last question before something that cannot be taken back, and how long things take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_int.h"

kms_err cli_confirm(const struct cli *cli, const char *question)
{
	char line[16] = "";
	if (cli_value(cli, "yes") != NULL) {
		return KMS_OK;
	}
	if (cli_value(cli, "json") != NULL || isatty(0) == 0 || isatty(2) == 0) {
		return cli_refuse(KMS_ERR(ARGUMENT),
			"%s: there is no terminal to ask whether this is meant; read what it would "
			"do, and add --yes",
			cli->command->words);
	}
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s Type yes to go on: ", question);
	if (fgets(line, sizeof(line), stdin) == NULL || strcmp(line, "yes\n") != 0) {
		return cli_refuse(KMS_ERR(DENIED), "not confirmed; nothing was done");
	}
	return KMS_OK;
}

kms_err cli_duration(const struct cli *cli, const char *option, uint32_t max_s, uint32_t or_s,
	uint32_t *ret_seconds)
{
	static const struct {
		char letter;
		uint32_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 60 * 60}, {'d', 24 * 60 * 60}};
	const char *text = cli_value(cli, option);
	if (text == NULL) {
		*ret_seconds = or_s;
		return KMS_OK;
	}
	size_t digits = strspn(text, "0123456789");
	uint64_t value = digits > 0 && digits < 10 ? strtoull(text, NULL, 10) : UINT64_MAX;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[digits] == units[i].letter && text[digits + 1] == '\0' &&
			value <= max_s / units[i].seconds) {
			*ret_seconds = (uint32_t)value * units[i].seconds;
			return KMS_OK;
		}
	}
	return cli_refuse(KMS_ERR(ARGUMENT),
		"--%s is a time such as 90s, 30m, 12h or 7d, of at most %ud", option,
		max_s / units[3].seconds);
}
