/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts from the table; tests/golden/kms-help.txt is what they look like. */
#include <stdio.h>
#include <string.h>

#include "cli_int.h"

enum { HELP_COLUMN = 28 };

static void print_row(const char *left, const char *right)
{
	if (strlen(left) >= HELP_COLUMN - 1) {
		(void)printf("%s\n%*s%s\n", left, HELP_COLUMN, "", right);
	} else {
		(void)printf("%-*s%s\n", HELP_COLUMN, left, right);
	}
}

static void print_options(const struct cli_option *options)
{
	for (; options != NULL && options->name != NULL; options++) {
		static const char *const counts[] = {
			[CLI_MAY] = "",
			[CLI_MUST] = " (required)",
			[CLI_MAY_MANY] = " (repeatable)",
			[CLI_MUST_MANY] = " (required, repeatable)",
		};
		char left[80];
		char right[160];
		(void)snprintf(left, sizeof(left), "  --%s%s%s", options->name,
			options->arg != NULL ? " " : "", options->arg != NULL ? options->arg : "");
		(void)snprintf(right, sizeof(right), "%s%s", options->help, counts[options->need]);
		print_row(left, right);
	}
}

static void print_command(const struct cli_command *command)
{
	(void)printf("kms %s: %s\n\nusage: kms %s [options]%s%s\n\n", command->words,
		command->summary, command->words, command->operands != NULL ? " " : "",
		command->operands != NULL ? command->operands : "");
	print_options(command->options);
	if (command->talks) {
		print_options(cli_common);
	}
	print_row("  --help", "print this text");
}

/* All commands, or those that begin with the word. */
static void print_commands(const char *group)
{
	size_t len = group != NULL ? strlen(group) : 0;
	for (const struct cli_command *command = cli_commands; command->words != NULL; command++) {
		if (group == NULL ||
			(strncmp(command->words, group, len) == 0 && command->words[len] == ' ')) {
			char left[80];
			(void)snprintf(left, sizeof(left), "  %s%s%s", command->words,
				command->operands != NULL ? " " : "",
				command->operands != NULL ? command->operands : "");
			print_row(left, command->summary);
		}
	}
}

void cli_help(const struct cli *cli)
{
	if (cli->command != NULL) {
		print_command(cli->command);
		return;
	}
	if (cli->group != NULL) {
		(void)printf("usage: kms %s COMMAND [options]\n\n", cli->group);
		print_commands(cli->group);
		return;
	}
	(void)printf("kms: ask kmsd for keys, manage them, and verify its ledger\n\n"
		     "usage: kms COMMAND [options]\n\n");
	print_commands(NULL);
	(void)printf("\n");
	print_options(cli_common);
	print_row("  --help", "print this text, or that of a command");
	(void)printf("\nA KEY is the id of a key, or its label. Exit codes are in kms(1).\n");
}
