/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program kms: the command line of people and scripts. It holds a client certificate and what a
 * profile pins; never the PIN of a token, and no secret in argv or the environment.
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "cli_int.h"

int main(int argc, char *argv[])
{
	const struct rlimit no_core = {0, 0};
	KMS_AUTO(cli) cli = NULL;
	kms_log_set("kms", KMS_LOG_WARNING);
	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8, wherever we run */
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("kms %s\n", KMS_VERSION);
		return 0;
	}
	kms_err err = cli_parse(argc, argv, &cli);
	if (!kms_is_ok(err)) {
		return kms_err_exit_code(err);
	}
	if (cli->help) {
		cli_help(cli);
	} else {
		err = cli->command->talks ? cli_connect(cli) : KMS_OK;
		if (kms_is_ok(err)) {
			err = cli->command->run(cli);
		}
	}
	if (fflush(stdout) != 0 && kms_is_ok(err)) {
		err = cli_refuse(KMS_ERR(IO), "standard output cannot be written");
	}
	return kms_err_exit_code(err);
}
