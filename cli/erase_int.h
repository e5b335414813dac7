/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `kms erase` share. */
#ifndef KMS_CLI_ERASE_INT_H
#define KMS_CLI_ERASE_INT_H

#include "base.h"
#include "cli_int.h"
#include "format.h"

/* ---- what is signed (erase_bytes.c) ---- */

/* Parse kmsd-erase/1, and say what is wrong with it. */
kms_err erase_bytes_read(struct kms_bytes bytes, struct format_erase **ret_erase);
/* Everything that these bytes say, and nothing from elsewhere. */
kms_err erase_bytes_print(const struct format_erase *erase, struct kms_bytes bytes);
/* The same as members of an object. */
kms_err erase_bytes_set(
	struct doc *object, const struct format_erase *erase, struct kms_bytes bytes);
/* INTEGRITY, said, unless these are the bytes of a plan's scope that `erase` holds the hash of. */
kms_err erase_bytes_check_scope(const struct format_erase *erase, struct kms_bytes scope);

/* ---- plans (erase_plan.c, erase_show_plan.c) ---- */

/* docs/formats/plan.md, and the bytes that were made of it. */
struct erase_plan {
	struct doc *scope;
	struct doc *observed;
	struct kms_buf bytes;       /* empty: problems forbid it */
	struct format_erase *erase; /* what they say; NULL then */
};
void erase_plan_free(struct erase_plan **plan);
/* By the options of the command, from kmsd; or from the file that `erase plan --output` made. The
 * scope's hash was held against the bytes. */
kms_err erase_plan_ask(struct cli *cli, struct erase_plan **ret_plan);
kms_err erase_plan_read(const char *path, struct erase_plan **ret_plan);
/* For people: what dies, what stays. observed may be NULL. */
kms_err erase_scope_print(const struct cli *cli, struct doc *scope, struct doc *observed);

/* ---- erasures (erase.c) ---- */

/* An answer with one erasure, taken apart. */
struct erase_shown {
	struct doc *answer; /* owns the others */
	struct doc *row;
	struct doc *copies;
	struct kms_buf bytes;
	struct kms_buf plan;
	struct format_erase *erase;
	uint64_t needed;
};
void erase_shown_free(struct erase_shown *shown); /* what it owns */
#define ERASE_AUTO_SHOWN __attribute__((cleanup(erase_shown_free))) struct erase_shown
/* Of a call that answered with one; frees its text. */
kms_err erase_shown_take(
	const struct cli *cli, kms_err err, char **json, struct erase_shown *ret_shown);
/* How far it is and what comes next; all of it in JSON. */
kms_err erase_shown_print(const struct cli *cli, struct erase_shown *shown);
/* A key to sign with: --sign-key. */
kms_err erase_signer(const struct cli *cli, struct cli_signer **ret_signer);

#endif
