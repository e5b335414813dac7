/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of kms, by the const table. It must never guess: no abbreviations, nothing given
 * twice that counts once. No option takes a secret, since others can read a command line.
 */
#include <stdlib.h>
#include <string.h>

#include "cli_int.h"

static const struct cli_option help_option = {"help", NULL, CLI_MAY_MANY, "print this text"};

void cli_free(struct cli **cli)
{
	if (cli != NULL && *cli != NULL) {
		kms_client_free(&(*cli)->client);
		free(*cli);
		*cli = NULL;
	}
}

/* ---- what was given ---- */

static const struct cli_option *find_in(
	const struct cli_option *options, const char *name, size_t len)
{
	for (; options != NULL && options->name != NULL; options++) {
		if (strlen(options->name) == len && strncmp(options->name, name, len) == 0) {
			return options;
		}
	}
	return NULL;
}

/* Before the command, its table is not known yet: only what all commands share. */
static const struct cli_option *find_option(const struct cli *cli, const char *name, size_t len)
{
	const struct cli_option *option = NULL;
	if (len == strlen(help_option.name) && strncmp(name, help_option.name, len) == 0) {
		return &help_option;
	}
	if (cli->command == NULL || cli->command->talks) {
		option = find_in(cli_common, name, len);
	}
	if (option == NULL && cli->command != NULL) {
		option = find_in(cli->command->options, name, len);
	}
	return option;
}

size_t cli_count(const struct cli *cli, const char *name)
{
	KMS_ASSERT(find_option(cli, name, strlen(name)) != NULL);
	size_t count = 0;
	for (size_t i = 0; i < cli->given_count; i++) {
		count += strcmp(cli->given[i].option->name, name) == 0;
	}
	return count;
}

const char *cli_value_at(const struct cli *cli, const char *name, size_t at)
{
	for (size_t i = 0; i < cli->given_count; i++) {
		if (strcmp(cli->given[i].option->name, name) == 0 && at-- == 0) {
			return cli->given[i].value;
		}
	}
	return NULL;
}

const char *cli_value(const struct cli *cli, const char *name)
{
	return cli_count(cli, name) > 0 ? cli_value_at(cli, name, 0) : NULL;
}

const char *cli_operand(const struct cli *cli, size_t i)
{
	return i < cli->operand_count ? cli->operands[i] : NULL;
}

/* ---- reading argv ---- */

static kms_err usage(const struct cli *cli, const char *what, const char *word)
{
	const char *words = cli->command != NULL ? cli->command->words : cli->group;
	return cli_refuse(KMS_ERR(ARGUMENT), "%s%s; see kms%s%s --help", what, word,
		words != NULL ? " " : "", words != NULL ? words : "");
}

static bool is_many(const struct cli_option *option)
{
	return option->need == CLI_MAY_MANY || option->need == CLI_MUST_MANY;
}

/* One option at argv[*i], and its argument. */
static kms_err take_option(struct cli *cli, int argc, char *argv[], int *i)
{
	const char *name = argv[*i] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *option =
		strncmp(argv[*i], "--", 2) == 0 ? find_option(cli, name, len) : NULL;
	if (strcmp(argv[*i], "-h") == 0) {
		option = &help_option;
	}
	if (option == NULL) {
		return usage(cli, "unknown option ", argv[*i]);
	}
	if (option == &help_option) {
		cli->help = true;
		return KMS_OK;
	}
	const char *value = equals != NULL ? equals + 1 : "";
	if (option->arg == NULL && equals != NULL) {
		return usage(cli, "this option takes no value: --", option->name);
	}
	if (option->arg != NULL && equals == NULL) {
		if (*i + 1 >= argc) {
			return usage(cli, "a value is missing after --", option->name);
		}
		value = argv[++*i];
	}
	if (!is_many(option) && cli_count(cli, option->name) > 0) {
		return usage(cli, "given twice: --", option->name);
	}
	if (cli->given_count == CLI_GIVEN_MAX) {
		return usage(cli, "too many options, from --", option->name);
	}
	cli->given[cli->given_count].option = option;
	cli->given[cli->given_count++].value = value;
	return KMS_OK;
}

/* How many words of argv are this command's; 0 when it is another. */
static int match_words(const char *words, int argc, char *argv[])
{
	int count = 0;
	while (count < argc) {
		size_t len = strcspn(words, " ");
		if (strlen(argv[count]) != len || strncmp(argv[count], words, len) != 0) {
			return 0;
		}
		count++;
		if (words[len] == '\0') {
			return count;
		}
		words += len + 1;
	}
	return 0;
}

/* argv starts at the command's first word. */
static kms_err find_command(struct cli *cli, int argc, char *argv[], int *ret_words)
{
	size_t len = strlen(argv[0]);
	for (const struct cli_command *command = cli_commands; command->words != NULL; command++) {
		int words = match_words(command->words, argc, argv);
		if (words > 0) {
			cli->command = command;
			*ret_words = words;
			return KMS_OK;
		}
		if (strncmp(command->words, argv[0], len) == 0 && command->words[len] == ' ') {
			cli->group = argv[0];
		}
	}
	if (cli->group == NULL) {
		return usage(cli, "unknown command ", argv[0]);
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			cli->help = true;
			*ret_words = argc;
			return KMS_OK;
		}
	}
	return usage(cli, argc > 1 ? "unknown command " : "say which of them: ",
		argc > 1 ? argv[1] : argv[0]);
}

static kms_err take_rest(struct cli *cli, int argc, char *argv[], int from)
{
	bool options = true;
	for (int i = from; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
		} else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
			KMS_TRY(take_option(cli, argc, argv, &i));
		} else if (cli->operand_count == CLI_OPERANDS_MAX) {
			return usage(cli, "too many operands, from ", argv[i]);
		} else {
			cli->operands[cli->operand_count++] = argv[i];
		}
	}
	return KMS_OK;
}

/* ---- whether it is whole ---- */

static kms_err check_operands(const struct cli *cli)
{
	size_t min = 0;
	size_t max = 0;
	const char *word = cli->command->operands;
	while (word != NULL && *word != '\0') {
		max++;
		min += word[0] != '[';
		if (max > cli->operand_count && min > cli->operand_count) {
			return usage(cli, "an operand is missing: ", word);
		}
		word += strcspn(word, " ");
		word += *word == ' ';
	}
	if (cli->operand_count > max) {
		return usage(cli, "not understood: ", cli->operands[max]);
	}
	return KMS_OK;
}

static kms_err check_options(const struct cli *cli)
{
	/* What was given before the command's words was looked up in what commands share. */
	for (size_t i = 0; i < cli->given_count; i++) {
		const char *name = cli->given[i].option->name;
		if (find_option(cli, name, strlen(name)) == NULL) {
			return usage(cli, "this command takes no --", name);
		}
	}
	const struct cli_option *option = cli->command->options;
	for (; option != NULL && option->name != NULL; option++) {
		bool must = option->need == CLI_MUST || option->need == CLI_MUST_MANY;
		if (must && cli_count(cli, option->name) == 0) {
			return usage(cli, "this must be given: --", option->name);
		}
	}
	return KMS_OK;
}

kms_err cli_parse(int argc, char *argv[], struct cli **ret_cli)
{
	KMS_AUTO(cli) cli = calloc(1, sizeof(*cli));
	if (cli == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		KMS_TRY(take_option(cli, argc, argv, &i));
	}
	if (i < argc) {
		int words = 0;
		KMS_TRY(find_command(cli, argc - i, argv + i, &words));
		KMS_TRY(take_rest(cli, argc, argv, i + words));
	} else if (!cli->help) {
		return usage(cli, "a command is missing", "");
	}
	if (!cli->help) {
		KMS_TRY(check_operands(cli));
		KMS_TRY(check_options(cli));
	}
	*ret_cli = kms_take(&cli);
	return KMS_OK;
}
