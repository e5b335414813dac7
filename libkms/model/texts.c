/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words as text, as they stand in JSON, YAML and the ledger, and back. (The operations' names
 * stand in their rows in tables.c.)
 */
#include "model.h"

#include <string.h>

/* Index 0 of each is no value, so that a forgotten one has no name. */
static const char *const roles[] = {
	NULL, "storage", "custodian", "approver", "auditor", "operator"};
static const char *const custodies[] = {NULL, "any", "all"};
static const char *const deliveries[] = {NULL, "sealed", "clear"};
static const char *const classes[] = {NULL, "software", "hsm"};
static const char *const states[] = {NULL, "pre-activation", "active", "suspended", "deactivated",
	"compromised", "destroyed", "destroyed-compromised"};
static const char *const events[] = {
	NULL, "activate", "suspend", "resume", "deactivate", "compromise", "destroy"};
static const char *const kek_states[] = {NULL, "pending", "live", "abandoned", "destroyed"};

static const char *const erase_scopes[] = {NULL, "versions", "key", "dataset", "tenant"};
static const char *const erase_states[] = {
	NULL, "requested", "cancelled", "executing", "done", "renewed"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *text_of(const char *const *texts, size_t count, size_t value)
{
	return value > 0 && value < count ? texts[value] : "unknown";
}

static kms_err value_of(
	const char *const *texts, size_t count, const char *text, unsigned *ret_value)
{
	for (unsigned i = 1; i < count; i++) {
		if (strcmp(texts[i], text) == 0) {
			*ret_value = i;
			return KMS_OK;
		}
	}
	return KMS_ERR(ARGUMENT);
}

/* model_NOUN_text and model_NOUN_parse of one table. */
#define TEXT(noun, table)                                                                          \
	const char *model_##noun##_text(enum model_##noun noun)                                    \
	{                                                                                          \
		return text_of(table, COUNT(table), (size_t)noun);                                 \
	}
#define PARSE(noun, table)                                                                         \
	kms_err model_##noun##_parse(const char *text, enum model_##noun *ret_##noun)              \
	{                                                                                          \
		unsigned value = 0;                                                                \
		KMS_TRY(value_of(table, COUNT(table), text, &value));                              \
		*ret_##noun = (enum model_##noun)value;                                            \
		return KMS_OK;                                                                     \
	}

TEXT(role, roles)
PARSE(role, roles)
TEXT(custody, custodies)
PARSE(custody, custodies)
TEXT(delivery, deliveries)
PARSE(delivery, deliveries)
TEXT(class, classes)
PARSE(class, classes)
TEXT(state, states)
PARSE(state, states)
TEXT(event, events)
PARSE(event, events)
TEXT(kek_state, kek_states)
TEXT(erase_scope, erase_scopes)
PARSE(erase_scope, erase_scopes)
TEXT(erase_state, erase_states)
PARSE(erase_state, erase_states)
