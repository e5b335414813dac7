/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of a daemon, from a const table. Runs before anything else in each daemon. It
 * must never guess: no abbreviations, nothing given twice, no operands. There is no option that
 * takes a secret, since others can read a command line.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "proc.h"

enum {
	CHOICE_HELP = 1000, /* past every letter */
	CHOICE_VERSION,
	CHOICE_FIRST,
	HELP_COLUMN = 30,
};

static void print_option(char letter, const char *name, const char *arg, const char *help)
{
	char left[80];
	if (letter != 0) {
		(void)snprintf(left, sizeof(left), "  -%c, --%s%s%s", letter, name,
			arg != NULL ? " " : "", arg != NULL ? arg : "");
	} else {
		(void)snprintf(left, sizeof(left), "      --%s%s%s", name, arg != NULL ? " " : "",
			arg != NULL ? arg : "");
	}
	if (strlen(left) >= HELP_COLUMN - 1) {
		(void)printf("%s\n%*s%s\n", left, HELP_COLUMN, "", help);
	} else {
		(void)printf("%-*s%s\n", HELP_COLUMN, left, help);
	}
}

static void print_help(const struct proc_program *program)
{
	(void)printf("%s: %s\n\nusage: %s [options]\n\n", program->name, program->summary,
		program->name);
	for (size_t i = 0; i < program->count; i++) {
		const struct proc_option *option = &program->options[i];
		print_option(option->letter, option->name, option->arg, option->help);
	}
	print_option('h', "help", NULL, "print this text and stop");
	print_option('V', "version", NULL, "print the version and stop");
}

static kms_err refuse(const struct proc_program *program, const char *what, const char *word)
{
	kms_log(KMS_LOG_ERROR, "%s `%s`; see %s --help", what, word, program->name);
	return KMS_ERR(ARGUMENT);
}

/* getopt's tables: "+" stops at the first operand, ":" leaves the complaints to us. */
struct tables {
	struct option longs[PROC_OPTIONS_MAX + 3];
	char shorts[2 * PROC_OPTIONS_MAX + 5];
};

static void build_tables(const struct proc_program *program, struct tables *ret_tables)
{
	struct tables tables = {.shorts = "+:hV"};
	char *letter = tables.shorts + strlen(tables.shorts);
	for (size_t i = 0; i < program->count; i++) {
		const struct proc_option *option = &program->options[i];
		tables.longs[i] = (struct option){option->name,
			option->arg != NULL ? required_argument : no_argument, NULL,
			CHOICE_FIRST + (int)i};
		if (option->letter != 0) {
			*letter++ = option->letter;
			if (option->arg != NULL) {
				*letter++ = ':';
			}
		}
	}
	tables.longs[program->count] = (struct option){"help", no_argument, NULL, CHOICE_HELP};
	tables.longs[program->count + 1] =
		(struct option){"version", no_argument, NULL, CHOICE_VERSION};
	*ret_tables = tables;
}

/* getopt_long takes `--conf` for `--config`, until a `--confirm` comes: we do not. */
static bool is_abbreviated(const char *word, const char *name)
{
	if (strncmp(word, "--", 2) != 0) {
		return false;
	}
	size_t len = strlen(name);
	return strncmp(word + 2, name, len) != 0 || (word[2 + len] != '\0' && word[2 + len] != '=');
}

static size_t index_of(const struct proc_program *program, int choice)
{
	if (choice >= CHOICE_FIRST) {
		return (size_t)(choice - CHOICE_FIRST);
	}
	size_t i = 0;
	while (i < program->count && program->options[i].letter != choice) {
		i++;
	}
	KMS_ASSERT(i < program->count);
	return i;
}

static kms_err take_choice(const struct proc_program *program, int choice, const char *word,
	const char *values[], bool *done)
{
	if (choice == CHOICE_HELP || choice == 'h') {
		if (choice == CHOICE_HELP && is_abbreviated(word, "help")) {
			return refuse(program, "unknown option", word);
		}
		print_help(program);
		*done = true;
		return KMS_OK;
	}
	if (choice == CHOICE_VERSION || choice == 'V') {
		if (choice == CHOICE_VERSION && is_abbreviated(word, "version")) {
			return refuse(program, "unknown option", word);
		}
		(void)printf("%s %s\n", program->name, program->version);
		*done = true;
		return KMS_OK;
	}
	if (choice == '?') {
		return refuse(program, "unknown option", word);
	}
	if (choice == ':') {
		return refuse(program, "an argument is missing after", word);
	}
	size_t i = index_of(program, choice);
	if (choice >= CHOICE_FIRST && is_abbreviated(word, program->options[i].name)) {
		return refuse(program, "unknown option", word);
	}
	if (values[i] != NULL) {
		return refuse(program, "given twice:", word);
	}
	values[i] = program->options[i].arg != NULL ? optarg : "";
	return KMS_OK;
}

kms_err proc_options(const struct proc_program *program, int argc, char *argv[],
	const char *ret_values[], bool *ret_done)
{
	KMS_ASSERT(program->count <= PROC_OPTIONS_MAX);
	struct tables tables;
	build_tables(program, &tables);
	const char *values[PROC_OPTIONS_MAX] = {NULL};
	bool done = false;
	optind = 0; /* glibc: start afresh */
	opterr = 0;
	while (!done) {
		int at = optind == 0 ? 1 : optind;
		int choice = getopt_long(argc, argv, tables.shorts, tables.longs, NULL);
		if (choice == -1) {
			break;
		}
		KMS_TRY(take_choice(program, choice, argv[at], values, &done));
	}
	if (!done && optind < argc) {
		return refuse(program, "this program takes options only, not", argv[optind]);
	}
	for (size_t i = 0; i < program->count; i++) {
		ret_values[i] = values[i];
	}
	*ret_done = done;
	return KMS_OK;
}
