/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the program `kms` share: the table of commands, one call of one of them. */
#ifndef KMS_CLI_INT_H
#define KMS_CLI_INT_H

#include <kms/admin.h>
#include <kms/kms.h>

#include "base.h"
#include "crypto.h"
#include "doc.h"
#include "model.h"

/* ---- the table (table.c) ---- */

enum cli_need {
	CLI_MAY,      /* at most once */
	CLI_MUST,     /* once */
	CLI_MAY_MANY, /* any number of times */
	CLI_MUST_MANY /* at least once */
};
struct cli_option {
	const char *name; /* after `--` */
	const char *arg;  /* what the help calls the argument; NULL: a flag */
	enum cli_need need;
	const char *help; /* one line, no full stop */
};
struct cli;
struct cli_command {
	const char *words;    /* "key create" */
	const char *operands; /* "IN OUT"; those in brackets may be left out; NULL: none */
	const char *summary;  /* one line, no full stop */
	const struct cli_option *options; /* up to one without a name; NULL: none */
	bool talks;                       /* to kmsd: takes the options of cli_common as well */
	kms_err (*run)(struct cli *cli);
};
extern const struct cli_command cli_commands[]; /* up to one without words */
extern const struct cli_option cli_common[];    /* --profile, --json */

/* ---- one call (args.c) ---- */

enum { CLI_OPERANDS_MAX = 4, CLI_GIVEN_MAX = 1100 };
struct cli {
	const struct cli_command *command;
	struct kms_client *client; /* where the command talks to kmsd */
	bool help;         /* asked for; command may be NULL, or group may say which commands */
	const char *group; /* the first word of several commands, alone; NULL */
	size_t operand_count;
	const char *operands[CLI_OPERANDS_MAX]; /* borrowed from argv, as are the values */
	size_t given_count;
	struct {
		const struct cli_option *option;
		const char *value; /* "" for a flag */
	} given[CLI_GIVEN_MAX];
};
void cli_free(struct cli **cli);
/* ARGUMENT, with a complaint that says what to do: unknown, abbreviated, repeated or missing. */
kms_err cli_parse(int argc, char *argv[], struct cli **ret_cli);
/* The value of an option of the command's table; NULL when it was not given. */
const char *cli_value(const struct cli *cli, const char *name);
/* Of one that may be given many times: value i of cli_count. */
size_t cli_count(const struct cli *cli, const char *name);
const char *cli_value_at(const struct cli *cli, const char *name, size_t i);
/* Operand i; NULL when it was left out. */
const char *cli_operand(const struct cli *cli, size_t i);

/* ---- help and completion, from the same table (help.c, completion.c) ---- */

/* Of a command, a group, or everything. */
void cli_help(const struct cli *cli);
kms_err cli_completion(struct cli *cli);

/* ---- complaints and files (say.c) ---- */

/* Say on stderr what is wrong and what to do, and return err. */
kms_err cli_refuse(kms_err err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A file of ours that must be there: said when it is not. */
kms_err cli_file_read(const char *path, size_t max, struct kms_buf *ret_buf);
/* A new file (EXISTS), or standard output for NULL. */
kms_err cli_file_write(const char *path, struct kms_bytes bytes, unsigned mode);
/* Indented JSON, as a new file or on standard output. */
kms_err cli_json_write(const char *path, const struct doc *doc);

/* ---- kmsd (ask.c) ---- */

/* The profile to use: --profile, $KMS_PROFILE, or the one in the home folder. */
kms_err cli_profile_path(const struct cli *cli, char **ret_path);
/* Open cli->client. */
kms_err cli_connect(struct cli *cli);
/* Pass an error of libkms on, having said what happened and what to do next. */
kms_err cli_told(const struct cli *cli, kms_err err);
/* An answer of kmsd's as a document; frees the text. */
kms_err cli_answer(const struct cli *cli, kms_err err, char **json, struct doc **ret_doc);
/* Say of an answer that it is not as it should be, and pass the error on. */
kms_err cli_shape(const struct cli *cli, kms_err err);
typedef kms_err cli_list_call(
	struct kms_client *client, const struct kms_page *page, char **ret_json);
/* Every page of a list, as one document with one array of that name. */
kms_err cli_pages(
	const struct cli *cli, cli_list_call *call, const char *rows, struct doc **ret_doc);
/* The id of something that is given by id or label, out of a list: NOT_FOUND; ARGUMENT where it is
 * ambiguous. what: "key". */
kms_err cli_find(const struct cli *cli, cli_list_call *call, const char *rows, const char *what,
	const char *text, char ret_id[KMS_ID_TEXT]);
/* The id of a key that is given by id or label: NOT_FOUND; ARGUMENT where it is ambiguous. NULL
 * stands for the profile's default key, and becomes "". */
kms_err cli_key_id(const struct cli *cli, const char *key, char ret_id[KMS_ID_TEXT]);

/* ---- readable output (output.c) ---- */

enum cli_kind {
	CLI_TEXT,
	CLI_NUMBER,
	CLI_TIME_MS,
	CLI_TIME_S, /* 0: none */
	CLI_YES,    /* a boolean */
	CLI_TEXTS   /* an array of texts */
};
struct cli_column {
	const char *head;
	const char *member;
	enum cli_kind kind;
};
/* A cell for an object's member; "-" where there is none. */
kms_err cli_cell(struct doc *object, const struct cli_column *column, char **ret_text);
/* Text of somebody else, without what a terminal would obey or hide. */
void cli_say(const char *text);
/* Rows of texts that are printed aligned; control characters never reach the terminal. */
struct cli_table;
kms_err cli_table_new(const char *const *heads, size_t columns, struct cli_table **ret_table);
/* The next cell, from left to right; the text is copied. */
kms_err cli_table_add(struct cli_table *table, const char *text);
void cli_table_print(const struct cli_table *table);
void cli_table_free(struct cli_table **table);
/* An array of objects as a table; columns up to one without a head. */
kms_err cli_rows_print(struct doc *array, const struct cli_column *columns);
/* One object, a line for each member. */
kms_err cli_fields_print(struct doc *object, const struct cli_column *columns);
/* One line of such a page: a head and a text, the text cleaned. */
void cli_line(const char *head, const char *text);
/* Print an answer's one row: all of it in JSON, else these fields. */
kms_err cli_row_print(const struct cli *cli, struct doc *row, const struct cli_column *fields);

/* The first page of a list, for names; NULL for who may not list them, and then ids are shown. */
struct doc *cli_names_list(const struct cli *cli, cli_list_call *call);
/* The label of a row with that id; else the id. Borrowed. */
const char *cli_name_of(struct doc *list, const char *rows, const char *id);

/* ---- ledger entries (entries.c) ---- */

/* The type of an entry, with what tells most of its data. */
kms_err cli_entry_type(struct doc *entry, char **ret_text);
/* The stored bytes of an answer's entries, one a line. */
kms_err cli_entries_json(struct doc *answer);

/* ---- encryption context and data keys (context.c, datakey.c, secret_file.c) ---- */

/* From --context and --dataset. */
kms_err cli_context(const struct cli *cli, struct kms_context **ret_context);
/* Exactly a data key's bytes, from a file that only its owner can read, or standard input. */
kms_err cli_key_file_read(const char *path, struct kms_secret **ret_key);
/* A new file with mode 0600. */
kms_err cli_key_file_write(const char *path, struct kms_bytes key);
/* A wrapped key in base64, from a file, or standard input for NULL and "-". */
kms_err cli_wrapped_read(const char *path, struct kms_buf *ret_wrapped);
/* The same as a new file, or on standard output for NULL. */
kms_err cli_wrapped_write(const char *path, struct kms_bytes wrapped);

/* ---- signatures of people (sign.c) ---- */

struct cli_signer;
/* A key file in PEM, or the pkcs11: URI of a key in a token or smart card. Said when it fails. */
kms_err cli_signer_open(const char *where, struct cli_signer **ret_signer);
void cli_signer_free(struct cli_signer **signer);
kms_err cli_signer_spki(const struct cli_signer *signer, struct kms_buf *ret_der);
/* r || s, checked against the signer's own public key. */
kms_err cli_sign(
	const struct cli_signer *signer, struct kms_bytes message, uint8_t ret_raw[CRYPTO_SIG_RAW]);

/* ---- questions and durations (confirm.c) ---- */

/* Ask on the terminal, where --yes was not given: DENIED unless the answer is yes. */
kms_err cli_confirm(const struct cli *cli, const char *question);
/* "90s", "12h", "7d" or 0s, of at most max_s seconds; the default where the option is not given. */
kms_err cli_duration(const struct cli *cli, const char *option, uint32_t max_s, uint32_t or_s,
	uint32_t *ret_seconds);

/* ---- progress on a terminal (progress.c) ---- */

struct cli_progress {
	int64_t since_ms;
	int64_t drawn_ms;
	uint64_t last_bytes;
	bool shown;
};
/* For struct kms_file_options; arg is a struct cli_progress, {0} at first. */
kms_err cli_progress_tell(void *arg, uint64_t done_bytes, uint64_t total_bytes);
/* Clear the line. */
void cli_progress_end(struct cli_progress *progress);

/* ---- commands ---- */

kms_err cli_status(struct cli *cli);
kms_err cli_tenant_list(struct cli *cli);
kms_err cli_tenant_show(struct cli *cli);
kms_err cli_principal_list(struct cli *cli);
kms_err cli_principal_show(struct cli *cli);
kms_err cli_token_list(struct cli *cli);
kms_err cli_token_show(struct cli *cli);
kms_err cli_key_create(struct cli *cli);
kms_err cli_key_list(struct cli *cli);
kms_err cli_key_show(struct cli *cli);
kms_err cli_key_rotate(struct cli *cli);
kms_err cli_key_suspend(struct cli *cli);
kms_err cli_key_resume(struct cli *cli);
kms_err cli_key_deactivate(struct cli *cli);
kms_err cli_key_history(struct cli *cli);
kms_err cli_dataset_add(struct cli *cli);
kms_err cli_dataset_list(struct cli *cli);
kms_err cli_dataset_show(struct cli *cli);
kms_err cli_datakey(struct cli *cli);
kms_err cli_wrap(struct cli *cli);
kms_err cli_unwrap(struct cli *cli);
kms_err cli_rewrap(struct cli *cli);
kms_err cli_encrypt(struct cli *cli);
kms_err cli_decrypt(struct cli *cli);
kms_err cli_ledger_show(struct cli *cli);
kms_err cli_ledger_uses(struct cli *cli);
kms_err cli_ledger_verify(struct cli *cli);
kms_err cli_ledger_replay(struct cli *cli);
kms_err cli_verify(struct cli *cli);

kms_err cli_erase_plan(struct cli *cli);
kms_err cli_erase_request(struct cli *cli);
kms_err cli_erase_list(struct cli *cli);
kms_err cli_erase_show(struct cli *cli);
kms_err cli_erase_approve(struct cli *cli);
kms_err cli_erase_cancel(struct cli *cli);
kms_err cli_erase_execute(struct cli *cli);
kms_err cli_erase_certificate(struct cli *cli);

/* ---- init: files for the beginning, made by each organisation alone ---- */

kms_err cli_init_purpose(struct cli *cli);
kms_err cli_init_pin(struct cli *cli);
kms_err cli_init_platform(struct cli *cli);
kms_err cli_init_tenant(struct cli *cli);
kms_err cli_init_profile(struct cli *cli);
kms_err cli_init_trust(struct cli *cli);

/* What `kms-tokend --init` printed (init_pins.c). */
struct config;
struct cli_pins {
	struct config *file; /* owns the texts */
	bool system;
	struct model_token token; /* the system token has no session */
	const char *log_origin;   /* the system token's only, like the next three */
	const char *ledger_key;
	const char *ledger_key_ed25519; /* NULL: none */
	const char *manifest_key;       /* NULL: none */
};
/* CONFIG, with file and line. */
kms_err cli_pins_read(const char *path, struct cli_pins **ret_pins);
void cli_pins_free(struct cli_pins **pins);
/* As it stands in tenant and platform files (docs/formats/tenant-file.md). */
void cli_pins_set(struct doc *object, const struct cli_pins *pins);

#endif
