/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.json as a page of A4 for people to read, print and sign: no script, nothing loaded
 * from anywhere. It proves nothing, and says so: what counts is certificate.json. Runs in kmsd.
 */
#include "view_int.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char style[] =
	"@page{size:A4;margin:16mm 15mm 18mm}"
	"*{box-sizing:border-box}"
	"body{margin:0 auto;max-width:180mm;color:#1a1d21;background:#fff;"
	"font:9.5pt/1.5 \"Helvetica Neue\",Arial,\"Noto Sans CJK JP\",\"Noto Sans JP\","
	"\"Hiragino Sans\",\"Yu Gothic\",Meiryo,sans-serif;"
	"-webkit-print-color-adjust:exact;print-color-adjust:exact}"
	"header{border-bottom:2pt solid #1f3a5f;padding-bottom:4mm;margin-bottom:4mm}"
	"h1{font-size:20pt;line-height:1.2;margin:0 0 2mm;color:#1f3a5f;font-weight:600}"
	"h2{font-size:11pt;margin:6mm 0 1.5mm;color:#1f3a5f;border-bottom:.5pt solid #b9c4d0;"
	"padding-bottom:1mm;break-after:avoid}"
	"p{margin:0 0 2mm}ul{margin:0 0 2mm;padding-left:5mm}li{margin:0 0 .6mm}"
	".status{display:inline-block;font-weight:600;padding:.8mm 3mm;border:1pt solid;"
	"border-radius:1mm;margin-right:3mm}"
	".final{color:#155e3b;background:#e9f6ef}.provisional{color:#8a4b00;background:#fff4e0}"
	".box{border:.5pt solid #b9c4d0;border-left:2.5pt solid #1f3a5f;background:#f6f8fa;"
	"padding:2.5mm 3.5mm;margin:3mm 0;break-inside:avoid}.box p:last-child{margin:0}"
	"table{border-collapse:collapse;width:100%;margin:0 0 2mm}"
	"section table{margin:0}section{margin-bottom:3mm}"
	"th,td{text-align:left;vertical-align:top;padding:.8mm 1.5mm}"
	".lines th{width:58mm;font-weight:500;color:#4a5561}"
	".lines tr{border-bottom:.25pt solid #e1e6eb;break-inside:avoid}"
	".grid{font-size:8pt;width:calc(100% - 1pt)}.grid th{background:#eef2f6;border:.5pt solid "
	"#b9c4d0;"
	"font-weight:600;line-height:1.3}.grid td{border:.5pt solid #d5dce3}"
	"td{overflow-wrap:anywhere;unicode-bidi:isolate}.grid td{min-width:13mm}"
	".grid thead{display:table-header-group}.grid tr{break-inside:avoid}"
	"code{font:7.5pt/1.35 \"DejaVu Sans Mono\",\"Liberation Mono\",Consolas,monospace;"
	"overflow-wrap:anywhere}.grid code{display:block;min-width:22mm;font-size:7.1pt}"
	".sign td{height:9mm;border-bottom:.5pt solid #1a1d21}.sign th{width:58mm;height:9mm;"
	"vertical-align:bottom;font-weight:500;color:#4a5561}.sign td{vertical-align:bottom}"
	"section{break-inside:avoid}"
	"footer{margin-top:6mm;padding-top:2mm;border-top:.5pt solid #b9c4d0;font-size:8pt;"
	"color:#4a5561}";

static void write_paragraph(struct page *page, const char *english)
{
	page_raw(page, "<p>");
	page_word(page, english);
	page_raw(page, "</p>\n");
}

static void write_top(struct page *page)
{
	page_raw(page, page->language == VIEW_JAPANESE ? "<!DOCTYPE html>\n<html lang=\"ja\">"
						       : "<!DOCTYPE html>\n<html lang=\"en\">");
	page_raw(page, "<head><meta charset=\"utf-8\">\n"
		       "<meta http-equiv=\"Content-Security-Policy\" "
		       "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>");
	page_word(page, "Certificate of key erasure");
	page_raw(page, "</title>\n<style>");
	page_raw(page, style);
	page_raw(page, "</style></head>\n<body>\n");
}

/* ---- what everybody should read ---- */

static kms_err write_status(struct page *page, struct doc *certificate)
{
	const char *status = NULL;
	KMS_TRY(doc_get_text(certificate, "status", &status));
	bool final = strcmp(status, "final") == 0;
	page_raw(page, "<header><h1>");
	page_word(page, "Certificate of key erasure");
	page_raw(page, final ? "</h1>\n<p><span class=\"status final\">"
			     : "</h1>\n<p><span class=\"status provisional\">");
	page_word(page, status);
	page_raw(page, "</span>");
	page_word(page, final ? "Every copy listed here is destroyed, and every wipe is done."
			      : "Something is still open: this certificate will be superseded.");
	page_raw(page, "</p></header>\n");
	return KMS_OK;
}

static kms_err write_claim(struct page *page, struct doc *certificate)
{
	const char *text = NULL;
	const char *level = NULL;
	KMS_TRY(doc_get_text(certificate, "statement", &text));
	KMS_TRY(doc_get_text(certificate, "claim_level", &level));
	page_raw(page, "<div class=\"box\"><p><strong>");
	page_word(page, "Claim level");
	page_raw(page, ": ");
	page_word(page, level);
	page_raw(page, "</strong></p>\n");
	write_paragraph(page, text);
	page_raw(page, "</div>\n");
	return KMS_OK;
}

static kms_err write_head(struct page *page, struct doc *certificate)
{
	static const struct column lines[] = {
		{"Certificate", "id", CELL_CODE},
		{"Supersedes", "supersedes", CELL_CODE},
		{"Erasure", "erasure", CELL_CODE},
		{"Tenant", "tenant", CELL_CODE},
		{"Customer (salted SHA-256 of the name)", "customer", CELL_CODE},
		{"Requested", "requested", CELL_MS},
		{"Not before (end of the waiting window)", "not_before", CELL_MS},
		{"Approvals expire", "expires", CELL_MS},
		{"Last destruction recorded", "executed", CELL_MS},
		{"Approvals needed", "approvals_needed", CELL_NUMBER},
		{"Technique (CE: crypto-erase)", "technique", CELL_TEXT},
		{"Method of SP 800-88", "method", CELL_WORD},
	};
	KMS_TRY(write_status(page, certificate));
	KMS_TRY(page_lines(page, certificate, lines, COUNT(lines)));
	return write_claim(page, certificate);
}

static kms_err write_limits(struct page *page, struct doc *certificate)
{
	struct doc *scope = NULL;
	struct doc *texts = NULL;
	KMS_TRY(doc_get_array(certificate, "not_claimed", &texts));
	KMS_TRY(page_list(page, "This certificate does not claim", texts));
	KMS_TRY(doc_get_object(certificate, "scope", &scope));
	KMS_TRY(doc_get_array(scope, "excluded", &texts));
	KMS_TRY(page_list(page, "Not covered", texts));
	KMS_TRY(doc_get_array(certificate, "verification_not_done", &texts));
	return page_list(page, "Not verified", texts);
}

/* ---- the details ---- */

static void write_heading(struct page *page, const char *english)
{
	page_raw(page, "<h2>");
	page_word(page, english);
	page_raw(page, "</h2>\n");
}

static kms_err write_scope(struct page *page, struct doc *certificate)
{
	static const struct column scope_lines[] = {
		{"What was erased", "kind", CELL_WORD},
		{"Subject", "subject", CELL_CODE},
		{"Plan (SHA-256)", "plan", CELL_CODE},
		{"Stored unencrypted before", "plaintext_before", CELL_WORD},
	};
	static const struct column verification_lines[] = {
		{"Copies searched for and not found", "absent", CELL_NUMBER},
		{"Test decryptions that failed afterwards", "canary_failed", CELL_NUMBER},
	};
	static const struct column lease_lines[] = {
		{"Data keys handed out", "handed_out", CELL_NUMBER},
		{"Of these given back by signed receipts", "returned", CELL_NUMBER},
		{"Clients that did not give all back", "clients", CELL_NUMBER},
		{"Last possible end of a lease", "last_end", CELL_MS},
		{"Leases as seen at", "seen", CELL_MS},
	};
	static const struct column backup_lines[] = {{"Backups", "statement", CELL_WORD}};
	struct doc *part = NULL;
	write_heading(page, "Scope and result");
	KMS_TRY(doc_get_object(certificate, "scope", &part));
	KMS_TRY(page_lines(page, part, scope_lines, COUNT(scope_lines)));
	KMS_TRY(doc_get_object(certificate, "verification", &part));
	KMS_TRY(page_lines(page, part, verification_lines, COUNT(verification_lines)));
	KMS_TRY(doc_get_object(certificate, "leases", &part));
	KMS_TRY(page_lines(page, part, lease_lines, COUNT(lease_lines)));
	KMS_TRY(doc_get_object(certificate, "backups", &part));
	return page_lines(page, part, backup_lines, COUNT(backup_lines));
}

static kms_err write_persons(struct page *page, struct doc *certificate)
{
	static const struct column columns[] = {
		{"Role", "role", CELL_WORD},
		{"Id", "id", CELL_CODE},
		{"Public key (SHA-256 of the SPKI)", "spki", CELL_CODE},
	};
	struct doc *rows = NULL;
	KMS_TRY(doc_get_array(certificate, "persons", &rows));
	return page_table(page, "Persons and daemons", rows, columns, COUNT(columns));
}

static kms_err write_uses(struct page *page, struct doc *keys)
{
	static const struct column columns[] = {
		{"Key", "id", CELL_CODE},
	};
	static const struct column uses_lines[] = {
		{"Data keys made", "datakeys", CELL_NUMBER},
		{"Data keys wrapped", "wraps", CELL_NUMBER},
		{"Data keys unwrapped", "unwraps", CELL_NUMBER},
		{"Data keys rewrapped", "rewraps", CELL_NUMBER},
		{"First use", "first", CELL_MS},
		{"Last use", "last", CELL_MS},
	};
	write_heading(page, "Uses of the keys");
	for (size_t i = 0; i < doc_count(keys); i++) {
		struct doc *row = NULL;
		struct doc *uses = NULL;
		KMS_TRY(doc_item_object(keys, i, &row));
		KMS_TRY(doc_get_object(row, "uses", &uses));
		page_raw(page, "<section>");
		KMS_TRY(page_lines(page, row, columns, COUNT(columns)));
		KMS_TRY(page_lines(page, uses, uses_lines, COUNT(uses_lines)));
		page_raw(page, "</section>\n");
	}
	return KMS_OK;
}

static kms_err write_keys(struct page *page, struct doc *certificate)
{
	static const struct column key_columns[] = {
		{"Key", "id", CELL_CODE},
		{"Versions", "versions", CELL_NUMBERS},
		{"Level", "level", CELL_WORD},
		{"AES bits", "alg_bits", CELL_NUMBER},
		{"Created", "created", CELL_MS},
		{"Entry of creation", "created_seq", CELL_NUMBER},
		{"Entry of destruction", "destroyed_seq", CELL_NUMBER},
	};
	static const struct column copy_columns[] = {
		{"Token", "token", CELL_CODE},
		{"Key-encryption key", "kek", CELL_CODE},
		{"Key", "key", CELL_CODE},
		{"Version", "version", CELL_NUMBER},
		{"Commitment", "commitment", CELL_CODE},
		{"Entry of birth", "added_seq", CELL_NUMBER},
		{"Entry of removal", "removed_seq", CELL_NUMBER},
	};
	struct doc *keys = NULL;
	struct doc *rows = NULL;
	KMS_TRY(doc_get_array(certificate, "keys", &keys));
	KMS_TRY(page_table(page, "Keys", keys, key_columns, COUNT(key_columns)));
	KMS_TRY(doc_get_array(certificate, "copies", &rows));
	KMS_TRY(page_table(page, "Copies of the keys", rows, copy_columns, COUNT(copy_columns)));
	return write_uses(page, keys);
}

static kms_err write_places(struct page *page, struct doc *certificate)
{
	static const struct column wipe_columns[] = {
		{"Token", "token", CELL_CODE},
		{"Entry of the wipe", "seq", CELL_NUMBER},
	};
	static const struct column module_lines[] = {
		{"Token", "token", CELL_CODE},
		{"Manufacturer", "manufacturer", CELL_TEXT},
		{"Model", "model", CELL_TEXT},
		{"Serial", "serial", CELL_TEXT},
		{"Firmware", "firmware", CELL_TEXT},
		{"Class", "class", CELL_WORD},
		{"Validation no.", "certificate_no", CELL_TEXT},
		{"Owner", "organisation", CELL_TEXT},
		{"Site", "site", CELL_TEXT},
		{"Country", "country", CELL_TEXT},
	};
	static const struct column media_lines[] = {
		{"Datasets under these keys", "count", CELL_NUMBER},
		{"All of them (SHA-256)", "hash", CELL_CODE},
	};
	static const struct column media_columns[] = {
		{"Dataset", "id", CELL_CODE},
		{"Key", "key", CELL_CODE},
		{"Kind", "kind", CELL_TEXT},
		{"Serial", "serial", CELL_TEXT},
		{"Site", "site", CELL_TEXT},
		{"Country", "country", CELL_TEXT},
		{"Encrypted since", "encrypted_since", CELL_S},
	};
	struct doc *rows = NULL;
	struct doc *media = NULL;
	KMS_TRY(doc_get_array(certificate, "modules", &rows));
	KMS_TRY(page_parts(page, "Tokens", rows, module_lines, COUNT(module_lines)));
	KMS_TRY(doc_get_array(certificate, "wipes", &rows));
	KMS_TRY(page_table(page, "Tokens wiped", rows, wipe_columns, COUNT(wipe_columns)));
	KMS_TRY(doc_get_object(certificate, "media", &media));
	KMS_TRY(doc_get_array(media, "rows", &rows));
	KMS_TRY(page_table(page, "Datasets", rows, media_columns, COUNT(media_columns)));
	return page_lines(page, media, media_lines, COUNT(media_lines));
}

static kms_err write_events(struct page *page, struct doc *certificate)
{
	static const struct column columns[] = {
		{"Entry", "seq", CELL_NUMBER},
		{"Event", "type", CELL_WORD},
		{"Leaf hash", "leaf", CELL_CODE},
	};
	static const struct column issuer_lines[] = {{"Ledger", "log_origin", CELL_TEXT}};
	static const struct column tool_lines[] = {{"kmsd", "kmsd", CELL_TEXT}};
	struct doc *part = NULL;
	KMS_TRY(doc_get_array(certificate, "events", &part));
	KMS_TRY(page_table(page, "Events in the ledger", part, columns, COUNT(columns)));
	KMS_TRY(doc_get_object(certificate, "issuer", &part));
	KMS_TRY(page_lines(page, part, issuer_lines, COUNT(issuer_lines)));
	KMS_TRY(doc_get_object(certificate, "tool", &part));
	return page_lines(page, part, tool_lines, COUNT(tool_lines));
}

/* A person's part, on paper: kmsd cannot do it. */
static void write_validation(struct page *page)
{
	static const char *const blanks[] = {"Decision (accept or reject) and remaining risk",
		"Name and title", "Organisation, place", "Date and signature"};
	page_raw(page, "<section>");
	write_heading(page, "Validation");
	write_paragraph(page, "A person reviews this erasure and decides about the remaining risk. "
			      "kmsd cannot do this.");
	page_raw(page, "<table class=\"sign\">\n");
	for (size_t i = 0; i < COUNT(blanks); i++) {
		page_raw(page, "<tr><th>");
		page_word(page, blanks[i]);
		page_raw(page, "</th><td></td></tr>\n");
	}
	page_raw(page, "</table></section>\n");
}

static void write_end(struct page *page)
{
	page_raw(page, "<footer>");
	write_paragraph(page, "This page is a view of certificate.json and proves nothing by "
			      "itself. To verify the bundle it came in, offline: kms verify BUNDLE "
			      "--trust TRUSTFILE, or the steps in VERIFY.txt.");
	page_raw(page, "</footer>\n</body></html>\n");
}

kms_err view_write(
	struct kms_bytes certificate_json, enum view_language language, struct kms_buf *ret_html)
{
	KMS_AUTO(doc) certificate = NULL;
	struct page page = {.out = kms_writer_grow(LIMIT_BUNDLE_BYTES), .language = language};
	kms_err err = doc_parse(certificate_json, LIMIT_BUNDLE_BYTES, &certificate);
	kms_err (*const parts[])(struct page *, struct doc *) = {write_head, write_limits,
		write_scope, write_persons, write_keys, write_places, write_events};
	write_top(&page);
	for (size_t i = 0; kms_is_ok(err) && i < COUNT(parts); i++) {
		err = parts[i](&page, certificate);
	}
	write_validation(&page);
	write_end(&page);
	if (kms_is_ok(err)) {
		err = kms_writer_take(&page.out, ret_html);
	}
	kms_writer_free(&page.out);
	return err;
}
