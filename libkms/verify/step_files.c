/* SPDX-License-Identifier: Apache-2.0 */
/* Steps 1 and 2: the files are those that the manifest key signed, the checkpoint is the ledger's.
 */
#include "bundle_int.h"

#include <string.h>

/* ---- 1: manifest ---- */

static kms_err next_line(struct kms_bytes *rest, struct kms_bytes *ret_line)
{
	const uint8_t *end = memchr(rest->ptr, '\n', rest->len);
	if (end == NULL) {
		return KMS_ERR(FORMAT);
	}
	size_t len = (size_t)(end - rest->ptr);
	*ret_line = (struct kms_bytes){rest->ptr, len};
	*rest = (struct kms_bytes){end + 1, rest->len - len - 1};
	return KMS_OK;
}

/* The text of a note whose key is not pinned: up to its first empty line, since no line of a
 * manifest is empty. */
static kms_err unsigned_text(struct kms_bytes note, struct kms_bytes *ret_text)
{
	const uint8_t *end = memmem(note.ptr, note.len, "\n\n", 2);
	if (end == NULL) {
		return KMS_ERR(FORMAT);
	}
	*ret_text = (struct kms_bytes){note.ptr, (size_t)(end - note.ptr) + 1};
	return KMS_OK;
}

static kms_err open_manifest(
	struct bundle *bundle, struct kms_bytes note, struct kms_bytes *ret_text)
{
	const struct trust *trust = bundle->trust;
	if (!trust->has_manifest) {
		step_not_shown(bundle, 1,
			"the trust file pins no manifest key: who signed the manifest is open",
			"信頼ファイルに目録の鍵がない：目録の署名者は不明");
		return unsigned_text(note, ret_text);
	}
	return tlog_note_open_exact(note, LIMIT_MANIFEST_BYTES, &trust->manifest, 1, ret_text);
}

/* "HEX  NAME"; the name as text too. */
static kms_err parse_line(struct kms_bytes line, struct kms_hash *ret_hash, char ret_name[128])
{
	char hex[KMS_HASH_TEXT];
	enum { HEX = KMS_HASH_TEXT - 1 };
	if (line.len <= HEX + 2 || memcmp(line.ptr + HEX, "  ", 2) != 0) {
		return KMS_ERR(FORMAT);
	}
	memcpy(hex, line.ptr, HEX);
	hex[HEX] = '\0';
	KMS_TRY(kms_hash_parse(hex, ret_hash));
	struct kms_bytes name = {line.ptr + HEX + 2, line.len - HEX - 2};
	if (!folder_name_allowed(name)) {
		return KMS_ERR(FORMAT);
	}
	memcpy(ret_name, name.ptr, name.len);
	ret_name[name.len] = '\0';
	return KMS_OK;
}

static kms_err check_file(
	struct bundle *bundle, const struct model_file *file, const struct kms_hash *listed)
{
	struct kms_hash hash;
	KMS_TRY(crypto_sha256_one(kms_buf_bytes(&file->bytes), &hash));
	if (!kms_hash_equal(&hash, listed)) {
		step_fail(bundle, 1, "%s is not the file that the manifest lists",
			"%s は目録に記載されたファイルではない", file->name);
	}
	return KMS_OK;
}

static void unlisted(struct bundle *bundle, const char *name)
{
	if (strcmp(name, "manifest") != 0) {
		step_fail(bundle, 1, "%s is not in the manifest", "%s は目録にない", name);
	}
}

/* Both lists are sorted: walk them together. FORMAT: a line is not right. */
static kms_err compare_lines(struct bundle *bundle, struct kms_bytes rest)
{
	const struct folder *folder = bundle->folder;
	size_t at = 0, count = 0;
	char last[128] = "";
	for (; rest.len > 0; count++) {
		struct kms_bytes line;
		struct kms_hash hash;
		char name[128];
		KMS_TRY(next_line(&rest, &line));
		KMS_TRY(parse_line(line, &hash, name));
		if (count == LIMIT_BUNDLE_FILES || strcmp(last, name) >= 0 ||
			strcmp(name, "manifest") == 0) {
			return KMS_ERR(FORMAT);
		}
		memcpy(last, name, sizeof(last));
		for (; at < folder->count && strcmp(folder->files[at].name, name) < 0; at++) {
			unlisted(bundle, folder->files[at].name);
		}
		if (at == folder->count || strcmp(folder->files[at].name, name) != 0) {
			step_fail(bundle, 1, "%s is in the manifest and not in the folder",
				"%s は目録にあるがフォルダーにない", name);
			continue;
		}
		KMS_TRY(check_file(bundle, &folder->files[at++], &hash));
	}
	for (; at < folder->count; at++) {
		unlisted(bundle, folder->files[at].name);
	}
	return KMS_OK;
}

static kms_err check_lines(struct bundle *bundle, struct kms_bytes text)
{
	struct kms_bytes line;
	KMS_TRY(next_line(&text, &line));
	if (!kms_bytes_equal(line, kms_bytes_str("kmsd-bundle/1"))) {
		return KMS_ERR(FORMAT);
	}
	return compare_lines(bundle, text);
}

/* What a bundle of this version is made of, beside entries/. */
static const char *const names[] = {"VERIFY.txt", "cert-entry.json", "certificate.html",
	"certificate.ja.html", "certificate.json", "certificate.tlog-proof", "checkpoint",
	"log.vkey", "manifest"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static bool is_known(const char *name)
{
	for (size_t i = 0; i < NAMES; i++) {
		if (strcmp(names[i], name) == 0) {
			return true;
		}
	}
	return strncmp(name, "entries/", strlen("entries/")) == 0;
}

static void check_there(struct bundle *bundle)
{
	for (size_t i = 0; i < NAMES; i++) {
		if (folder_find(bundle->folder, names[i]) == NULL) {
			step_fail(bundle, 1, "%s is missing", "%s がない", names[i]);
		}
	}
	for (size_t i = 0; i < bundle->folder->count; i++) {
		const char *name = bundle->folder->files[i].name;
		if (!is_known(name)) {
			step_fail(bundle, 1, "%s is no file of a bundle",
				"%s は証明書一式のファイルではない", name);
		}
	}
}

kms_err step_manifest(struct bundle *bundle)
{
	const struct model_file *file = folder_find(bundle->folder, "manifest");
	struct kms_bytes text;
	check_there(bundle);
	kms_err err = open_manifest(bundle, kms_buf_bytes(&file->bytes), &text);
	if (kms_is_ok(err)) {
		err = check_lines(bundle, text);
	}
	if (kms_is(err, KMS_CODE_INTEGRITY)) {
		step_fail(bundle, 1, "the manifest is not signed by the pinned manifest key",
			"目録は固定した鍵で署名されていない");
	} else if (kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	} else if (!kms_is_ok(err)) {
		step_fail_why(bundle, 1, why_of(err),
			"the manifest is not a note of kmsd-bundle/1 with one signature",
			"目録が kmsd-bundle/1 の署名一つの注記ではない");
	}
	return KMS_OK;
}

/* ---- 2: checkpoint ---- */

static kms_err open_checkpoint(
	const struct bundle *bundle, struct kms_bytes note, struct tlog_checkpoint *ret_checkpoint)
{
	struct kms_bytes text;
	const struct tlog_log_keys *ledger = &bundle->trust->ledger;
	KMS_TRY(tlog_note_open(note, ledger->keys, ledger->count, &text));
	return tlog_checkpoint_parse(text, ret_checkpoint);
}

static bool key_is_pinned(const struct trust *trust, struct kms_bytes line)
{
	for (size_t i = 0; i < trust->ledger.count; i++) {
		KMS_AUTO_FREE char *vkey = NULL;
		if (kms_is_ok(tlog_vkey_text(&trust->ledger.keys[i], &vkey)) &&
			kms_bytes_equal(line, kms_bytes_str(vkey))) {
			return true;
		}
	}
	return false;
}

/* Each line is a key. */
static bool keys_are_pinned(const struct trust *trust, struct kms_bytes text)
{
	bool pinned = text.len > 0;
	while (pinned && text.len > 0) {
		struct kms_bytes line;
		pinned = kms_is_ok(next_line(&text, &line)) && key_is_pinned(trust, line);
	}
	return pinned;
}

static void look_at_vkey(struct bundle *bundle)
{
	const struct model_file *file = folder_find(bundle->folder, "log.vkey");
	if (file != NULL && !keys_are_pinned(bundle->trust, kms_buf_bytes(&file->bytes))) {
		bundle_note(bundle,
			"that the keys in log.vkey are the ledger's: the trust file does not pin "
			"all of them, and what it does not pin was not used",
			"log.vkey "
			"の鍵が台帳のものであること：信頼ファイルにない鍵があり、それは使用していな"
			"い");
	}
}

kms_err step_checkpoint(struct bundle *bundle)
{
	const struct model_file *file = folder_find(bundle->folder, "checkpoint");
	struct tlog_checkpoint checkpoint;
	if (file == NULL) {
		step_fail(bundle, 2, "there is no checkpoint", "チェックポイントがない");
		return KMS_OK;
	}
	kms_err err = open_checkpoint(bundle, kms_buf_bytes(&file->bytes), &checkpoint);
	if (kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	}
	if (kms_is(err, KMS_CODE_INTEGRITY)) {
		step_fail(bundle, 2,
			"the checkpoint is not signed by every pinned key of the ledger",
			"チェックポイントは固定した台帳の鍵すべてでは署名されていない");
	} else if (!kms_is_ok(err)) {
		step_fail_why(bundle, 2, why_of(err), "the checkpoint is not a checkpoint",
			"チェックポイントの形式ではない");
	} else if (strcmp(checkpoint.origin, bundle->trust->origin) != 0) {
		step_fail(bundle, 2, "the checkpoint is of the log %s, and %s is pinned",
			"チェックポイントは台帳 %s のもので、固定した台帳は %s", checkpoint.origin,
			bundle->trust->origin);
	} else {
		bundle->has_checkpoint = true;
		bundle->checkpoint = checkpoint;
		bundle->checkpoint_file = file;
	}
	look_at_vkey(bundle);
	bundle_note(bundle, "that somebody else saw the same ledger: no witnesses are pinned",
		"第三者が同じ台帳を見たこと：立会人は固定されていない");
	return KMS_OK;
}
