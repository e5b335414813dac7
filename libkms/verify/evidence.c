/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a bundle, parsed: what cannot be parsed is marked so and left to step 3 and 4 to
 * complain about. Nothing here is proven to be in the ledger, and no signature was looked at.
 */
#include "bundle_int.h"

#include <stdlib.h>
#include <string.h>

static void proven_free(struct proven **proven)
{
	if (*proven == NULL) {
		return;
	}
	if ((*proven)->read) {
		model_change_free(&(*proven)->change);
	}
	free(*proven);
	*proven = NULL;
}

void evidence_free(struct evidence **evidence)
{
	if (evidence == NULL || *evidence == NULL) {
		return;
	}
	for (size_t i = 0; i < (*evidence)->count; i++) {
		proven_free(&(*evidence)->entries[i]);
	}
	proven_free(&(*evidence)->issue);
	free((*evidence)->entries);
	free((*evidence)->births);
	free((*evidence)->results);
	format_erase_free(&(*evidence)->erase);
	free(*evidence);
	*evidence = NULL;
}

/* ---- one entry ---- */

static kms_err proven_read(
	const struct model_file *file, const struct model_file *proof, struct proven **ret_proven)
{
	KMS_AUTO(proven) proven = calloc(1, sizeof(*proven));
	if (proven == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	proven->file = file;
	proven->proof = proof;
	KMS_TRY(tlog_leaf_hash(kms_buf_bytes(&file->bytes), &proven->leaf));
	kms_err err =
		record_entry_read(kms_buf_bytes(&file->bytes), &proven->head, &proven->change);
	if (kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	}
	proven->read = kms_is_ok(err);
	if (proven->read) {
		proven->seq = proven->head.seq;
		proven->has_key = record_change_link(&proven->change, &proven->key);
	}
	*ret_proven = kms_take(&proven);
	return KMS_OK;
}

/* "entries/N" and the ending; a number has one spelling. */
static bool is_entry(const char *name, uint64_t *ret_seq, char stem[static 64])
{
	static const char folder[] = "entries/", ending[] = ".json";
	uint64_t seq = 0;
	size_t len = strlen(name), digits = 0;
	if (len >= 60 || strncmp(name, folder, sizeof(folder) - 1) != 0) {
		return false;
	}
	const char *number = name + sizeof(folder) - 1;
	for (; number[digits] >= '0' && number[digits] <= '9' && digits < 17; digits++) {
		seq = seq * 10 + (uint64_t)(number[digits] - '0');
	}
	if (digits == 0 || digits == 17 || (number[0] == '0' && digits > 1) ||
		strcmp(number + digits, ending) != 0) {
		return false;
	}
	memcpy(stem, name, len - (sizeof(ending) - 1));
	stem[len - (sizeof(ending) - 1)] = '\0';
	*ret_seq = seq;
	return true;
}

static int compare_entry(const void *a, const void *b)
{
	const struct proven *one = *(struct proven *const *)a;
	const struct proven *other = *(struct proven *const *)b;
	return one->seq < other->seq ? -1 : one->seq > other->seq;
}

static kms_err read_entries(const struct folder *folder, struct evidence *evidence)
{
	evidence->entries = calloc(folder->count + 1, sizeof(evidence->entries[0]));
	if (evidence->entries == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < folder->count; i++) {
		char name[64];
		uint64_t seq;
		if (!is_entry(folder->files[i].name, &seq, name)) {
			continue;
		}
		memcpy(name + strlen(name), ".tlog-proof", sizeof(".tlog-proof"));
		struct proven **proven = &evidence->entries[evidence->count];
		KMS_TRY(proven_read(&folder->files[i], folder_find(folder, name), proven));
		(*proven)->seq = seq;
		evidence->count++;
	}
	if (evidence->count > 0) {
		qsort(evidence->entries, evidence->count, sizeof(evidence->entries[0]),
			compare_entry);
	}
	const struct model_file *issue = folder_find(folder, "cert-entry.json");
	return issue == NULL ? KMS_OK
			     : proven_read(issue, folder_find(folder, "certificate.tlog-proof"),
				       &evidence->issue);
}

/* ---- what the entries say about KEKs ---- */

static bool statement_of(
	const struct kms_buf *bytes, enum format_statement_type type, struct format_statement *ret)
{
	struct kms_bytes part, signature;
	return kms_is_ok(format_statement_read(kms_buf_bytes(bytes), ret, &part, &signature)) &&
	       ret->type == type;
}

static void take_births(struct evidence *evidence, const struct proven *entry)
{
	for (size_t i = 0; i < entry->change.u.key_result.birth_count; i++) {
		struct evidence_birth *row = &evidence->births[evidence->birth_count++];
		row->entry = entry;
		row->birth = &entry->change.u.key_result.births[i];
		row->key = entry->change.u.key_result.key;
		row->version = entry->change.u.key_result.version;
		row->read = statement_of(
			&row->birth->statement, FORMAT_STATEMENT_BIRTH, &row->statement);
	}
}

static void take_result(struct evidence *evidence, const struct proven *entry)
{
	struct evidence_result *row = &evidence->results[evidence->result_count++];
	row->entry = entry;
	row->erasure = entry->change.u.erase_done.erasure;
	row->token = entry->change.u.erase_done.token;
	row->key = entry->change.u.erase_done.key;
	row->kek = entry->change.u.erase_done.kek;
	row->version = entry->change.u.erase_done.version;
	row->read = statement_of(&entry->change.u.erase_done.statement, FORMAT_STATEMENT_DESTROY,
			    &row->destroy) &&
		    statement_of(&entry->change.u.erase_done.absence, FORMAT_STATEMENT_ABSENCE,
			    &row->absence);
}

static kms_err take_keks(struct evidence *evidence)
{
	size_t births = 0, results = 0;
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		births += entry->read && entry->change.type == MODEL_CHANGE_KEY_RESULT
				  ? entry->change.u.key_result.birth_count
				  : 0;
		results += entry->read && entry->change.type == MODEL_CHANGE_ERASE_RESULT;
	}
	evidence->births = calloc(births + 1, sizeof(evidence->births[0]));
	evidence->results = calloc(results + 1, sizeof(evidence->results[0]));
	if (evidence->births == NULL || evidence->results == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		if (entry->read && entry->change.type == MODEL_CHANGE_KEY_RESULT) {
			take_births(evidence, entry);
		} else if (entry->read && entry->change.type == MODEL_CHANGE_ERASE_RESULT) {
			take_result(evidence, entry);
		}
	}
	return KMS_OK;
}

/* ---- what they say about the erasure ---- */

static kms_err request_id(const struct proven *entry, struct kms_id *ret_id)
{
	KMS_AUTO(format_erase) erase = NULL;
	KMS_TRY(format_erase_read(kms_buf_bytes(&entry->change.u.erase_request.bytes), &erase));
	*ret_id = erase->erasure;
	return KMS_OK;
}

const struct kms_id *evidence_erasure(const struct proven *entry)
{
	if (!entry->read) {
		return NULL;
	}
	switch ((int)entry->change.type) {
	case MODEL_CHANGE_ERASE_APPROVE:
	case MODEL_CHANGE_ERASE_CANCEL:
		return &entry->change.u.erase_signed.erasure;
	case MODEL_CHANGE_ERASE_INTENT:
	case MODEL_CHANGE_ERASE_FINAL:
		return &entry->change.u.erase_step.erasure;
	case MODEL_CHANGE_ERASE_RESULT:
	case MODEL_CHANGE_ERASE_WIPE:
		return &entry->change.u.erase_done.erasure;
	default:
		return NULL;
	}
}

/* The first of its type that is about that erasure. */
static const struct proven *step_of(
	const struct evidence *evidence, const struct kms_id *erasure, enum model_change_type type)
{
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		const struct kms_id *about = evidence_erasure(entry);
		if (about != NULL && kms_id_equal(about, erasure) && entry->change.type == type) {
			return entry;
		}
	}
	return NULL;
}

static kms_err take_request(struct evidence *evidence, const struct kms_id *erasure)
{
	for (size_t i = 0; i < evidence->count && evidence->request == NULL; i++) {
		const struct proven *entry = evidence->entries[i];
		struct kms_id about;
		if (!entry->read || entry->change.type != MODEL_CHANGE_ERASE_REQUEST) {
			continue;
		}
		kms_err err = request_id(entry, &about);
		if (kms_is(err, KMS_CODE_NO_MEMORY)) {
			return err;
		}
		if (kms_is_ok(err) && kms_id_equal(&about, erasure)) {
			evidence->request = entry;
		}
	}
	if (evidence->request == NULL) {
		return KMS_OK;
	}
	evidence->erase_bytes = kms_buf_bytes(&evidence->request->change.u.erase_request.bytes);
	KMS_TRY(format_erase_read(evidence->erase_bytes, &evidence->erase));
	return crypto_sha256_one(evidence->erase_bytes, &evidence->erase_hash);
}

kms_err evidence_read(const struct folder *folder, const struct certificate *certificate,
	struct evidence **ret_evidence)
{
	KMS_AUTO(evidence) evidence = calloc(1, sizeof(*evidence));
	if (evidence == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(read_entries(folder, evidence));
	KMS_TRY(take_keks(evidence));
	if (certificate != NULL) {
		const struct kms_id *id = &certificate->erasure;
		KMS_TRY(take_request(evidence, id));
		evidence->intent = step_of(evidence, id, MODEL_CHANGE_ERASE_INTENT);
		evidence->final = step_of(evidence, id, MODEL_CHANGE_ERASE_FINAL);
	}
	*ret_evidence = kms_take(&evidence);
	return KMS_OK;
}

/* ---- look-ups ---- */

const struct proven *evidence_entry(const struct evidence *evidence, uint64_t seq)
{
	struct proven key = {.seq = seq};
	struct proven *wanted = &key;
	struct proven *const *found = evidence->count == 0
					      ? NULL
					      : bsearch(&wanted, evidence->entries, evidence->count,
							sizeof(wanted), compare_entry);
	return found == NULL ? NULL : *found;
}

const struct evidence_birth *evidence_birth(
	const struct evidence *evidence, const struct kms_id *token, const struct kms_id *kek)
{
	for (size_t i = 0; i < evidence->birth_count; i++) {
		const struct model_birth *birth = evidence->births[i].birth;
		if (kms_id_equal(&birth->kek, kek) && kms_id_equal(&birth->token, token)) {
			return &evidence->births[i];
		}
	}
	return NULL;
}

const struct evidence_result *evidence_result(
	const struct evidence *evidence, const struct kms_id *token, const struct kms_id *kek)
{
	for (size_t i = 0; i < evidence->result_count; i++) {
		const struct evidence_result *result = &evidence->results[i];
		if (kms_id_equal(&result->kek, kek) && kms_id_equal(&result->token, token)) {
			return result;
		}
	}
	return NULL;
}

const struct proven *evidence_wipe(
	const struct evidence *evidence, const struct kms_id *erasure, const struct kms_id *token)
{
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		if (entry->read && entry->change.type == MODEL_CHANGE_ERASE_WIPE &&
			kms_id_equal(&entry->change.u.erase_done.erasure, erasure) &&
			kms_id_equal(&entry->change.u.erase_done.token, token)) {
			return entry;
		}
	}
	return NULL;
}

bool evidence_erases(
	const struct format_erase *erase, const struct kms_id *token, const struct kms_id *kek)
{
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (kms_id_equal(&erase->keks[i].kek, kek) &&
			kms_id_equal(&erase->keks[i].token, token)) {
			return true;
		}
	}
	return false;
}
