/* SPDX-License-Identifier: Apache-2.0 */
/* bash's completion, from the table: `source <(kms completion bash)`. */
#include <stdio.h>
#include <string.h>

#include "cli_int.h"

static void print_names(const struct cli_option *options)
{
	for (; options != NULL && options->name != NULL; options++) {
		(void)printf(" --%s", options->name);
	}
}

/* Options whose argument is a file or folder, of any command: bash completes files after them. */
static void print_file_options(const struct cli_option *options)
{
	for (; options != NULL && options->name != NULL; options++) {
		if (options->arg != NULL && (strncmp(options->arg, "FILE", 4) == 0 ||
						    strcmp(options->arg, "FOLDER") == 0)) {
			(void)printf("|--%s", options->name);
		}
	}
}

/* The first words, each once; and the second ones of a group. */
static void print_words(void)
{
	const char *last = "";
	for (const struct cli_command *command = cli_commands; command->words != NULL; command++) {
		size_t len = strcspn(command->words, " ");
		if (strlen(last) < len || strncmp(last, command->words, len) != 0 ||
			(last[len] != ' ' && last[len] != '\0')) {
			(void)printf(" %.*s", (int)len, command->words);
		}
		last = command->words;
	}
}

kms_err cli_completion(struct cli *cli)
{
	(void)cli;
	(void)printf("# bash completion of kms; made by `kms completion bash`\n"
		     "_kms() {\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		     "\tlocal words=() word skip=\n"
		     "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
		     "\t\tif [ -n \"$skip\" ]; then skip=\n"
		     "\t\telif [ \"$word\" = --profile ]; then skip=1\n"
		     "\t\telif [[ $word != -* ]]; then words+=(\"$word\"); fi\n"
		     "\tdone\n"
		     "\tlocal choices=\n"
		     "\tcase $prev in\n"
		     "\t--profile");
	for (const struct cli_command *command = cli_commands; command->words != NULL; command++) {
		print_file_options(command->options);
	}
	(void)printf(")\n"
		     "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
		     "\t\treturn ;;\n"
		     "\tesac\n"
		     "\tcase \"${words[0]:-} ${words[1]:-}\" in\n");
	for (const struct cli_command *command = cli_commands; command->words != NULL; command++) {
		bool group = strchr(command->words, ' ') != NULL;
		(void)printf("\t\"%s\"%s) choices=\"", command->words, group ? "" : "\\ *");
		print_names(command->options);
		if (command->talks) {
			print_names(cli_common);
		}
		(void)printf(" --help\" ;;\n");
	}
	for (const struct cli_command *command = cli_commands; command->words != NULL; command++) {
		const char *space = strchr(command->words, ' ');
		if (space != NULL) {
			(void)printf("\t\"%.*s \") choices+=\" %s\" ;;&\n",
				(int)(space - command->words), command->words, space + 1);
		}
	}
	(void)printf("\t\" \") choices=\"");
	print_words();
	(void)printf(" --profile --json --help\" ;;\n"
		     "\tesac\n"
		     "\tCOMPREPLY=($(compgen -W \"$choices\" -- \"$cur\"))\n"
		     "\t[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n"
		     "}\n"
		     "complete -o filenames -F _kms kms\n");
	return KMS_OK;
}
