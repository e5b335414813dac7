/* SPDX-License-Identifier: Apache-2.0 */
/* Every command of kms: from here come the parser, the help, the completion and what is run. */
#include "cli_int.h"

#define END                                                                                        \
	{                                                                                          \
		NULL, NULL, CLI_MAY, NULL                                                          \
	}

const struct cli_option cli_common[] = {
	{"profile", "FILE", CLI_MAY, "who we are and what we pin ($KMS_PROFILE)"},
	{"json", NULL, CLI_MAY, "print JSON, for programs"},
	END,
};

/* ---- init ---- */

static const struct cli_option init_platform[] = {
	{"pins", "FILE", CLI_MUST, "what kms-tokend --init printed for the system token"},
	{"ca", "FILE", CLI_MUST, "the platform's CA certificate"},
	{"operator", "NAME=CERT.pem", CLI_MUST_MANY, "an operator's certificate"},
	{"output", "FILE", CLI_MUST, "the file for kmsd --platform"},
	END,
};
static const struct cli_option init_tenant[] = {
	{"id", "UUID", CLI_MUST, "the tenant's id"},
	{"name", "NAME", CLI_MUST, "the tenant's name"},
	{"ca", "FILE", CLI_MUST, "the tenant's CA certificate"},
	{"principal", "ROLE:NAME=CERT.pem", CLI_MUST_MANY,
		"somebody's role and certificate; expires with it"},
	{"pins", "FILE", CLI_MUST_MANY, "what kms-tokend --init printed"},
	{"output", "FILE", CLI_MUST, "the file for kmsd --init or --add-tenant"},
	END,
};
static const struct cli_option init_profile[] = {
	{"tenant", "UUID", CLI_MAY, "the tenant; with --pins"},
	{"pins", "FILE", CLI_MAY_MANY, "what kms-tokend --init printed"},
	{"data-url", "URL", CLI_MAY, "kmsd's listener for data keys"},
	{"admin-url", "URL", CLI_MAY, "kmsd's listener for management"},
	{"server-ca", "FILE", CLI_MUST, "the CA of kmsd's certificates"},
	{"certificate", "FILE", CLI_MUST, "the own certificate"},
	{"key", "FILE", CLI_MUST, "its private key"},
	{"key-id", "UUID", CLI_MAY, "the key that is used where none is named"},
	{"custody", "WORD", CLI_MAY, "any (default) or all: what keys must have"},
	{"delivery", "WORD", CLI_MAY, "sealed (default) or clear: what keys must have"},
	{"output", "FILE", CLI_MUST, "the profile"},
	END,
};
static const struct cli_option init_trust[] = {
	{"pins", "FILE", CLI_MUST_MANY, "what kms-tokend --init printed, of every token"},
	{"approver", "ID=FILE", CLI_MAY_MANY,
		"an approver of erasures: id, and public key or certificate (PEM)"},
	{"approvals", "N", CLI_MAY, "with --approver: how many of them must sign"},
	{"tenant-ca", "FILE", CLI_MAY, "the tenant's CA, for who requests erasures"},
	{"output", "FILE", CLI_MAY, "the trust file; else standard output"},
	END,
};

/* ---- keys, datasets ---- */

static const struct cli_option key_create[] = {
	{"label", "NAME", CLI_MUST, "what people call it"},
	{"token", "UUID", CLI_MAY_MANY,
		"a token that guards it, in order; else as the profile pins"},
	{"custody", "WORD", CLI_MAY, "any or all of the tokens; else as the profile pins"},
	{"delivery", "WORD", CLI_MAY, "sealed or clear; else as the profile pins"},
	END,
};
static const struct cli_option dataset_add[] = {
	{"label", "NAME", CLI_MUST, "what people call it"},
	{"key", "KEY", CLI_MUST, "the key that its data keys are under"},
	{"medium", "WORD", CLI_MUST, "volume, bucket, table, archive, backup, ..."},
	{"serial", "TEXT", CLI_MAY, "serial number of the medium"},
	{"site", "NAME", CLI_MAY, "where it is"},
	{"country", "CC", CLI_MAY, "in which country (ISO 3166-1 alpha-2)"},
	{"first-write", "TIME", CLI_MAY, "when it was first written, 2026-11-21T09:00:00Z"},
	END,
};

/* ---- data ---- */

#define CONTEXT                                                                                    \
	{"context", "NAME=VALUE", CLI_MAY_MANY,                                                    \
		"encryption context; the same to encrypt and to decrypt"},                         \
	{                                                                                          \
		"dataset", "ID", CLI_MAY, "short for --context dataset=ID"                         \
	}
#define KEY                                                                                        \
	{                                                                                          \
		"key", "KEY", CLI_MAY, "the key; else the profile's default_key"                   \
	}
#define KEY_PLACES                                                                                 \
	{"output-key", "FILE", CLI_MAY, "put the key itself here, mode 0600"},                     \
	{                                                                                          \
		"show-key", NULL, CLI_MAY, "print the key itself, in base64"                       \
	}

static const struct cli_option datakey[] = {
	KEY,
	CONTEXT,
	{"output", "FILE", CLI_MAY, "put the wrapped key here; else standard output"},
	KEY_PLACES,
	END,
};
static const struct cli_option wrap[] = {
	KEY,
	CONTEXT,
	{"key-file", "FILE", CLI_MAY, "the key to wrap, 32 bytes; else standard input"},
	{"output", "FILE", CLI_MAY, "put the wrapped key here; else standard output"},
	END,
};
static const struct cli_option unwrap[] = {CONTEXT, KEY_PLACES, END};
static const struct cli_option rewrap[] = {
	CONTEXT,
	{"wrapped", NULL, CLI_MAY, "FILE holds a wrapped key in base64, not an encrypted file"},
	END,
};
#define FILE_OPTIONS                                                                               \
	{"force", NULL, CLI_MAY, "replace OUT if there is one"},                                   \
	{                                                                                          \
		"threads", "N", CLI_MAY, "how many threads; else as many as help"                  \
	}
static const struct cli_option encrypt[] = {KEY, CONTEXT, FILE_OPTIONS, END};
static const struct cli_option decrypt[] = {CONTEXT, FILE_OPTIONS, END};

/* ---- ledger ---- */

static const struct cli_option ledger_show[] = {
	{"from", "N", CLI_MAY, "the first entry; else so that the newest is the last"},
	{"limit", "N", CLI_MAY, "how many; else 100"},
	END,
};
static const struct cli_option ledger_verify[] = {
	{"trust", "FILE", CLI_MUST, "what is believed (kms init trust)"},
	{"older", "FILE", CLI_MAY_MANY, "a checkpoint kept from before, which must still hold"},
	{"statement", "FILE", CLI_MAY_MANY, "what kms-tokend --statement printed"},
	{"save-checkpoint", "FILE", CLI_MAY, "keep the checkpoint, if all is well"},
	END,
};
static const struct cli_option verify[] = {
	{"trust", "FILE", CLI_MUST, "what is believed (kms init trust)"},
	{"lang", "WORD", CLI_MAY, "en (default) or ja"},
	{"json", NULL, CLI_MAY, "print JSON, for programs"},
	END,
};
static const struct cli_option ledger_replay[] = {
	{"config", "FILE", CLI_MAY, "kmsd.yaml; else $KMS_CONFIG"},
	END,
};

/* ---- erasures ---- */

#define ERASE_WHAT                                                                                 \
	{"key", "KEY", CLI_MAY, "a key, all of it"},                                               \
		{"versions", "1,2", CLI_MAY, "with --key: these older versions of it"},            \
		{"dataset", "ID", CLI_MAY, "a dataset that has a key of its own"},                 \
		{"tenant", NULL, CLI_MAY, "every key: the end of the contract"},                   \
		{"wipe", NULL, CLI_MAY, "with --tenant: the tokens as well"},                      \
		{"window", "TIME", CLI_MAY, "how long to wait before it (0s, 12h, 7d); else 1d"},  \
	{                                                                                          \
		"valid", "TIME", CLI_MAY, "how long it can be executed after that; else 7d"        \
	}
#define YES                                                                                        \
	{                                                                                          \
		"yes", NULL, CLI_MAY, "do not ask whether this is meant"                           \
	}
static const struct cli_option erase_plan[] = {
	ERASE_WHAT,
	{"output", "FILE", CLI_MAY, "keep the plan here, for kms erase request"},
	END,
};
static const struct cli_option erase_request[] = {
	ERASE_WHAT,
	{"sign-key", "FILE|URI", CLI_MAY, "the key of one's certificate; else the profile's"},
	YES,
	END,
};
static const struct cli_option erase_sign[] = {
	{"sign-key", "FILE|URI", CLI_MUST, "a key file, or pkcs11: URI of a smart card's key"},
	YES,
	END,
};
static const struct cli_option erase_certificate[] = {
	{"output", "FOLDER", CLI_MUST, "the new folder"},
	END,
};

/* clang-format off */
const struct cli_command cli_commands[] = {
	{"status", NULL, "kmsd, its ledger and its tokens",
		NULL, true, cli_status},
	{"tenant list", NULL, "list tenants",
		NULL, true, cli_tenant_list},
	{"tenant show", "ID", "show a tenant",
		NULL, true, cli_tenant_show},
	{"principal list", NULL, "list the people and machines of the tenant",
		NULL, true, cli_principal_list},
	{"principal show", "ID", "show one of them",
		NULL, true, cli_principal_show},
	{"token list", NULL, "list tokens",
		NULL, true, cli_token_list},
	{"token show", "ID", "show a token",
		NULL, true, cli_token_show},
	{"key create", NULL, "make a key in its tokens",
		key_create, true, cli_key_create},
	{"key list", NULL, "list keys",
		NULL, true, cli_key_list},
	{"key show", "KEY", "show a key and its versions",
		NULL, true, cli_key_show},
	{"key rotate", "KEY", "make the key's next version",
		NULL, true, cli_key_rotate},
	{"key suspend", "KEY", "let the key neither wrap nor unwrap for now",
		NULL, true, cli_key_suspend},
	{"key resume", "KEY", "undo a suspension",
		NULL, true, cli_key_resume},
	{"key deactivate", "KEY", "let the key unwrap only, for good",
		NULL, true, cli_key_deactivate},
	{"key history", "KEY", "tell a key's life, from generation to destruction",
		NULL, true, cli_key_history},
	{"dataset add", NULL, "register what a key protects",
		dataset_add, true, cli_dataset_add},
	{"dataset list", NULL, "list datasets",
		NULL, true, cli_dataset_list},
	{"dataset show", "ID", "show a dataset",
		NULL, true, cli_dataset_show},
	{"datakey", NULL, "make a data key in the token",
		datakey, true, cli_datakey},
	{"wrap", NULL, "wrap a data key of one's own",
		wrap, true, cli_wrap},
	{"unwrap", "[FILE]", "unwrap a wrapped key, from FILE or standard input",
		unwrap, true, cli_unwrap},
	{"rewrap", "FILE", "move a file to its key's newest version, in place",
		rewrap, true, cli_rewrap},
	{"encrypt", "IN OUT", "encrypt a file ('-': standard input, output)",
		encrypt, true, cli_encrypt},
	{"decrypt", "IN OUT", "decrypt a file ('-': standard input, output)",
		decrypt, true, cli_decrypt},
	{"erase plan", NULL, "show what an erasure would destroy, and what would stay",
		erase_plan, true, cli_erase_plan},
	{"erase request", "[PLANFILE]", "sign an erasure; its keys are suspended at once",
		erase_request, true, cli_erase_request},
	{"erase list", NULL, "list erasures",
		NULL, true, cli_erase_list},
	{"erase show", "ID", "show an erasure, its plan and how far it is",
		NULL, true, cli_erase_show},
	{"erase approve", "ID", "sign an erasure as an approver",
		erase_sign, true, cli_erase_approve},
	{"erase cancel", "ID", "call an erasure off, before it is executed",
		erase_sign, true, cli_erase_cancel},
	{"erase execute", "ID", "destroy what an approved erasure names, or go on with it",
		NULL, true, cli_erase_execute},
	{"erase certificate", "ID", "save the certificate of an erasure, as a folder",
		erase_certificate, true, cli_erase_certificate},
	{"ledger show", NULL, "show the ledger's entries",
		ledger_show, true, cli_ledger_show},
	{"ledger uses", "SEQ", "show the use records of a use.batch entry",
		NULL, true, cli_ledger_uses},
	{"ledger verify", NULL, "verify the ledger, with pinned keys only",
		ledger_verify, true, cli_ledger_verify},
	{"ledger replay", NULL, "rebuild keys from the ledger, offline, and compare",
		ledger_replay, false, cli_ledger_replay},
	{"verify", "BUNDLE", "verify the certificate of an erasure, offline",
		verify, false, cli_verify},
	{"init purpose", NULL, "print the purpose that storage certificates carry",
		NULL, false, cli_init_purpose},
	{"init pin", "CERT.pem", "print the pin (SHA-256 of the SPKI) of a certificate",
		NULL, false, cli_init_pin},
	{"init platform", NULL, "make the platform's file, for kmsd --init",
		init_platform, false, cli_init_platform},
	{"init tenant", NULL, "make a tenant's file, for its CA to sign",
		init_tenant, false, cli_init_tenant},
	{"init profile", NULL, "make the profile of somebody who uses kmsd",
		init_profile, false, cli_init_profile},
	{"init trust", NULL, "make an auditor's trust file",
		init_trust, false, cli_init_trust},
	{"completion bash", NULL, "print bash's completion of this program",
		NULL, false, cli_completion},
	{NULL, NULL, NULL, NULL, false, NULL},
};
/* clang-format on */
