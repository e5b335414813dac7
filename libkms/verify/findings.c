/* SPDX-License-Identifier: Apache-2.0 */
/* What a verification found: failures one by one, successes counted, and what was not shown. */
#include "verify_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CHECK_COUNT] = {
	[CHECK_CHECKPOINT] = "checkpoint",
	[CHECK_TREE] = "tree",
	[CHECK_ENTRIES] = "entries",
	[CHECK_BIRTHS] = "births",
	[CHECK_ERASURES] = "erasures",
	[CHECK_USES] = "uses",
	[CHECK_STATEMENTS] = "statements",
	[CHECK_RECEIPTS] = "receipts",
};

kms_err findings_new(struct findings *ret_findings)
{
	*ret_findings = (struct findings){0};
	return doc_new_array(&ret_findings->list);
}

void findings_clear(struct findings *findings)
{
	doc_free(&findings->list);
}

void findings_good(struct findings *findings, enum check check)
{
	findings->counts[check].good++;
}

static void tell(struct findings *findings, enum check check, const char *result,
	const char *format, va_list args) __attribute__((format(printf, 4, 0)));
static void tell(struct findings *findings, enum check check, const char *result,
	const char *format, va_list args)
{
	char text[512];
	if (findings->told == FINDINGS_FAIL_MAX) {
		return;
	}
	findings->told++;
	(void)vsnprintf(text, sizeof(text), format, args);
	struct doc *item = doc_add_object(findings->list);
	doc_set_text(item, "check", names[check]);
	doc_set_text(item, "result", result);
	doc_set_text(item, "text", text);
}

void findings_fail(struct findings *findings, enum check check, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	findings->counts[check].failed++;
	tell(findings, check, "fail", format, args);
	va_end(args);
}

void findings_not_shown(struct findings *findings, enum check check, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	findings->counts[check].not_shown++;
	tell(findings, check, "not shown", format, args);
	va_end(args);
}

bool findings_failed(const struct findings *findings)
{
	for (size_t i = 0; i < CHECK_COUNT; i++) {
		if (findings->counts[i].failed > 0) {
			return true;
		}
	}
	return false;
}

static uint64_t met(const struct findings *findings, enum check check)
{
	return findings->counts[check].good + findings->counts[check].failed +
	       findings->counts[check].not_shown;
}

kms_err findings_report(struct findings *findings, char **ret_json)
{
	KMS_AUTO(doc) report = NULL;
	KMS_AUTO_BUF json = {0};
	KMS_TRY(doc_new_object(&report));
	doc_set_text(report, "result", findings_failed(findings) ? "fail" : "pass");
	doc_set_copy(report, "findings", findings->list);
	struct doc *checks = doc_set_array(report, "checks");
	for (size_t i = 0; i < CHECK_COUNT; i++) {
		if (i == CHECK_ERASURES && met(findings, CHECK_ERASURES) == 0) {
			continue; /* most ledgers have none: nothing is missing from them */
		}
		struct doc *item = doc_add_object(checks);
		bool failed = findings->counts[i].failed > 0;
		/* A check that met nothing showed nothing. */
		bool shown = findings->counts[i].good > 0;
		doc_set_text(item, "check", names[i]);
		doc_set_text(item, "result", failed ? "fail" : shown ? "pass" : "not shown");
		doc_set_int(item, "good", (int64_t)findings->counts[i].good);
		doc_set_int(item, "failed", (int64_t)findings->counts[i].failed);
		doc_set_int(item, "not_shown", (int64_t)findings->counts[i].not_shown);
	}
	KMS_TRY(doc_write(report, &json));
	return kms_text(ret_json, "%.*s", (int)json.len, (const char *)json.ptr);
}
