/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ledger holds about one erasure and about the keys that it names. Everything that a
 * certificate says of births, destructions and wipes comes from the entries that go with it into
 * the bundle, so that no reader has to believe kmsd's rows. Runs in kmsd; changes nothing.
 */
#include "certificate_int.h"

#include <stdlib.h>
#include <string.h>

#include "record.h"

struct reading {
	struct record_head head;
	struct model_change change;
};

static void reading_free(struct reading **reading)
{
	if (*reading != NULL) {
		model_change_free(&(*reading)->change);
		free(*reading);
		*reading = NULL;
	}
}

static kms_err reading_of(const struct model_entry *entry, struct reading **ret_reading)
{
	KMS_AUTO(reading) reading = calloc(1, sizeof(*reading));
	if (reading == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(record_entry_read(kms_buf_bytes(&entry->bytes), &reading->head, &reading->change));
	if (reading->head.seq != entry->seq) {
		return KMS_ERR(INTEGRITY);
	}
	*ret_reading = kms_take(&reading);
	return KMS_OK;
}

void facts_free(struct facts **facts)
{
	if (*facts == NULL) {
		return;
	}
	struct facts *old = kms_take(facts);
	for (size_t i = 0; old->keys != NULL && i < old->key_count; i++) {
		free(old->keys[i].versions);
	}
	format_erase_free(&old->erase);
	free(old->keys);
	free(old->copies);
	free(old->events);
	free(old->seqs);
	free(old);
}

/* One more row at the end of an array. */
static kms_err grow(void *array, size_t *count, size_t row)
{
	void **rows = array;
	size_t bytes = 0;
	if ((*count & (*count - 1)) == 0) { /* at 0, 1, 2, 4, 8, ...: double it */
		KMS_TRY(kms_size_mul(*count == 0 ? 1 : *count * 2, row, &bytes));
		void *more = realloc(*rows, bytes);
		if (more == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		*rows = more;
	}
	memset((char *)*rows + *count * row, 0, row);
	(*count)++;
	return KMS_OK;
}

static kms_err add_seq(struct facts *facts, uint64_t seq)
{
	if (facts->seq_count >= LIMIT_BUNDLE_FILES) {
		kms_log(KMS_LOG_ERROR, "evidence: the keys of this erasure have more entries than "
				       "a bundle has room for");
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(grow(&facts->seqs, &facts->seq_count, sizeof(facts->seqs[0])));
	facts->seqs[facts->seq_count - 1] = seq;
	return KMS_OK;
}

/* ---- the signed bytes ---- */

static struct facts_key *find_key(struct facts *facts, const struct kms_id *id)
{
	for (size_t i = 0; i < facts->key_count; i++) {
		if (kms_id_equal(&facts->keys[i].id, id)) {
			return &facts->keys[i];
		}
	}
	return NULL;
}

static kms_err add_version(struct facts_key *key, uint32_t version)
{
	size_t count = key->version_count;
	for (size_t i = 0; i < count; i++) {
		if (key->versions[i] == version) {
			return KMS_OK;
		}
	}
	KMS_TRY(grow(&key->versions, &count, sizeof(key->versions[0])));
	key->versions[count - 1] = version;
	key->version_count = (uint32_t)count;
	return KMS_OK;
}

static int compare_key(const void *a, const void *b)
{
	const struct facts_key *one = a;
	const struct facts_key *other = b;
	return memcmp(one->id.b, other->id.b, sizeof(one->id.b));
}

static kms_err read_bytes(struct facts *facts)
{
	KMS_TRY(format_erase_read(kms_buf_bytes(&facts->erasure->bytes), &facts->erase));
	for (uint32_t i = 0; i < facts->erase->kek_count; i++) {
		const struct format_erase_kek *kek = &facts->erase->keks[i];
		struct facts_key *key = find_key(facts, &kek->key);
		if (key == NULL) {
			KMS_TRY(grow(&facts->keys, &facts->key_count, sizeof(facts->keys[0])));
			key = &facts->keys[facts->key_count - 1];
			key->id = kek->key;
		}
		KMS_TRY(add_version(key, kek->version));
	}
	if (facts->key_count > 0) {
		qsort(facts->keys, facts->key_count, sizeof(facts->keys[0]), compare_key);
	}
	for (uint32_t i = 0; i < facts->erase->wipe_count; i++) {
		facts->wipes[i].token = facts->erase->wipes[i];
	}
	return KMS_OK;
}

/* ---- the chain of one key ---- */

static bool has_version(const struct facts_key *key, uint32_t version)
{
	for (uint32_t i = 0; i < key->version_count; i++) {
		if (key->versions[i] == version) {
			return true;
		}
	}
	return false;
}

static kms_err take_births(
	struct facts *facts, struct facts_key *key, const struct reading *reading)
{
	uint32_t version = reading->change.u.key_result.version;
	if (!reading->change.u.key_result.made) {
		return KMS_OK;
	}
	if (facts->erase->scope != MODEL_ERASE_VERSIONS) {
		KMS_TRY(add_version(key, version));
	}
	for (size_t i = 0;
		has_version(key, version) && i < reading->change.u.key_result.birth_count; i++) {
		const struct model_birth *birth = &reading->change.u.key_result.births[i];
		KMS_TRY(grow(&facts->copies, &facts->copy_count, sizeof(facts->copies[0])));
		facts->copies[facts->copy_count - 1] = (struct facts_copy){
			.kek = {.token = birth->token,
				.kek = birth->kek,
				.key = key->id,
				.version = version,
				.commitment = birth->commitment},
			.added_seq = reading->head.seq,
		};
	}
	return KMS_OK;
}

/* What a result of this erasure shows. */
static kms_err count_result(struct facts *facts, const struct model_change *change)
{
	struct format_statement statement;
	struct kms_bytes part, signature;
	KMS_TRY(format_statement_read(
		kms_buf_bytes(&change->u.erase_done.statement), &statement, &part, &signature));
	if (statement.type == FORMAT_STATEMENT_DESTROY && statement.u.destroy.canary_before &&
		!statement.u.destroy.canary_after) {
		facts->canary_failed++;
	}
	KMS_TRY(format_statement_read(
		kms_buf_bytes(&change->u.erase_done.absence), &statement, &part, &signature));
	if (statement.type == FORMAT_STATEMENT_ABSENCE && statement.u.absence.matched == 0) {
		facts->absent++;
	}
	return KMS_OK;
}

static kms_err take_result(struct facts *facts, const struct reading *reading)
{
	const struct model_change *change = &reading->change;
	if (kms_id_equal(&change->u.erase_done.erasure, &facts->erasure->id)) {
		KMS_TRY(count_result(facts, change));
	}
	for (size_t i = 0; i < facts->copy_count; i++) {
		struct facts_copy *copy = &facts->copies[i];
		if (kms_id_equal(&copy->kek.kek, &change->u.erase_done.kek) &&
			kms_id_equal(&copy->kek.token, &change->u.erase_done.token)) {
			copy->removed_seq = reading->head.seq;
		}
	}
	return KMS_OK;
}

static kms_err take_chain_entry(
	struct facts *facts, struct facts_key *key, const struct model_entry *entry)
{
	KMS_AUTO(reading) reading = NULL;
	KMS_TRY(reading_of(entry, &reading));
	KMS_TRY(add_seq(facts, entry->seq));
	switch ((int)reading->change.type) {
	case MODEL_CHANGE_KEY_INTENT:
		if (reading->change.u.key_intent.version == 1) {
			key->created_seq = entry->seq;
			key->created_unix_ms = reading->head.unix_ms;
		}
		return KMS_OK;
	case MODEL_CHANGE_KEY_RESULT:
		return take_births(facts, key, reading);
	case MODEL_CHANGE_ERASE_RESULT:
		return take_result(facts, reading);
	default:
		return KMS_OK;
	}
}

static void entries_free(struct model_entry *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		kms_buf_free(&rows[i].bytes);
	}
	free(rows);
}

/* One page of the chain; *from goes behind it, and there is no more when *ret_count is 0. */
static kms_err read_page(
	struct facts *facts, struct facts_key *key, uint64_t *from, size_t *ret_count)
{
	struct model_entry *rows = NULL;
	size_t count = 0;
	KMS_TRY(store_entries_of_key_from(
		facts->parts->store, &key->id, *from, LIMIT_ENTRIES_PAGE, &rows, &count));
	kms_err err = KMS_OK;
	size_t taken = 0;
	while (kms_is_ok(err) && taken < count && rows[taken].seq < facts->before) {
		err = take_chain_entry(facts, key, &rows[taken]);
		*from = rows[taken++].seq + 1;
	}
	entries_free(rows, count);
	*ret_count = taken;
	return err;
}

static kms_err read_chain(struct facts *facts, struct facts_key *key)
{
	uint64_t from = 0;
	size_t count = 1;
	while (count > 0) {
		KMS_TRY(read_page(facts, key, &from, &count));
	}
	return KMS_OK;
}

/* ---- the erasure's own entries ---- */

static kms_err add_event(
	struct facts *facts, const struct model_entry *entry, const struct model_change *change)
{
	KMS_TRY(grow(&facts->events, &facts->event_count, sizeof(facts->events[0])));
	facts->events[facts->event_count - 1] = (struct facts_event){
		.type = record_change_text(change),
		.seq = entry->seq,
		.leaf = entry->leaf,
	};
	return add_seq(facts, entry->seq);
}

/* A bundle shows receipts while there is room: storage systems write them, and what shows the
 * erasure itself must fit whatever they write. Always the same ones, of the same entries. */
static bool has_room(struct facts *facts, const struct model_entry *entry)
{
	enum { PROOF_BYTES = 2 * 1024 }; /* with the checkpoint in it */
	size_t bytes = entry->bytes.len + PROOF_BYTES;
	if (bytes > LIMIT_ERASE_RECEIPTS - facts->receipt_bytes) {
		return false;
	}
	facts->receipt_bytes += bytes;
	return true;
}

static kms_err take_event(struct facts *facts, const struct model_entry *entry)
{
	KMS_AUTO(reading) reading = NULL;
	KMS_TRY(reading_of(entry, &reading));
	const struct model_change *change = &reading->change;
	switch ((int)change->type) {
	case MODEL_CHANGE_ERASE_INTENT:
		facts->executor = change->actor;
		break;
	case MODEL_CHANGE_ERASE_RESULT:
		facts->executed_unix_ms = reading->head.unix_ms;
		break;
	case MODEL_CHANGE_ERASE_WIPE:
		for (uint32_t i = 0; i < facts->erase->wipe_count; i++) {
			if (kms_id_equal(&facts->wipes[i].token, &change->u.erase_done.token)) {
				facts->wipes[i].seq = entry->seq;
			}
		}
		break;
	case MODEL_CHANGE_ERASE_FINAL:
		facts->finished = true;
		break;
	case MODEL_CHANGE_ERASE_REQUEST:
		facts->requested_unix_ms = reading->head.unix_ms;
		break;
	case MODEL_CHANGE_ERASE_APPROVE:
	case MODEL_CHANGE_ERASE_CANCEL:
		break;
	case MODEL_CHANGE_LEASE_RECEIPT:
		if (!has_room(facts, entry)) {
			return KMS_OK;
		}
		break;
	default:
		return KMS_OK; /* an earlier certificate: no part of what it certifies */
	}
	return add_event(facts, entry, change);
}

static kms_err read_entry(struct store *store, uint64_t seq, struct model_entry *ret_entry)
{
	struct model_entry *rows = NULL;
	size_t count = 0;
	KMS_TRY(store_entries_get(store, NULL, seq, 1, &rows, &count));
	if (count == 0) {
		free(rows);
		return KMS_ERR(NOT_FOUND);
	}
	*ret_entry = rows[0];
	rows[0].bytes = (struct kms_buf){0};
	entries_free(rows, count);
	return KMS_OK;
}

static kms_err read_events(struct facts *facts)
{
	KMS_AUTO_FREE uint64_t *seqs = NULL;
	size_t count = 0;
	KMS_TRY(store_erasure_entries(facts->parts->store, &facts->erasure->id, &seqs, &count));
	for (size_t i = 0; i < count && seqs[i] < facts->before; i++) {
		struct model_entry entry = {0};
		KMS_TRY(read_entry(facts->parts->store, seqs[i], &entry));
		kms_err err = take_event(facts, &entry);
		kms_buf_free(&entry.bytes);
		KMS_TRY(err);
	}
	return KMS_OK;
}

/* ---- all of it ---- */

static int compare_number(const void *a, const void *b)
{
	const uint64_t one = *(const uint64_t *)a;
	const uint64_t other = *(const uint64_t *)b;
	return one < other ? -1 : one > other;
}

static int compare_version(const void *a, const void *b)
{
	const uint32_t one = *(const uint32_t *)a;
	const uint32_t other = *(const uint32_t *)b;
	return one < other ? -1 : one > other;
}

static int compare_copy(const void *a, const void *b)
{
	const struct facts_copy *one = a;
	const struct facts_copy *other = b;
	int by_token = memcmp(one->kek.token.b, other->kek.token.b, sizeof(one->kek.token.b));
	return by_token != 0 ? by_token
			     : memcmp(one->kek.kek.b, other->kek.kek.b, sizeof(one->kek.kek.b));
}

static void sort(struct facts *facts)
{
	if (facts->copy_count > 0) {
		qsort(facts->copies, facts->copy_count, sizeof(facts->copies[0]), compare_copy);
	}
	for (size_t i = 0; i < facts->key_count; i++) {
		qsort(facts->keys[i].versions, facts->keys[i].version_count, sizeof(uint32_t),
			compare_version);
	}
	size_t kept = 0;
	if (facts->seq_count > 0) {
		qsort(facts->seqs, facts->seq_count, sizeof(facts->seqs[0]), compare_number);
	}
	for (size_t i = 0; i < facts->seq_count; i++) {
		if (kept == 0 || facts->seqs[kept - 1] != facts->seqs[i]) {
			facts->seqs[kept++] = facts->seqs[i];
		}
	}
	facts->seq_count = kept;
}

/* Every KEK of the signed bytes was born, and just so. */
static kms_err check(const struct facts *facts)
{
	for (uint32_t i = 0; i < facts->erase->kek_count; i++) {
		const struct format_erase_kek *kek = &facts->erase->keks[i];
		bool found = false;
		for (size_t j = 0; j < facts->copy_count && !found; j++) {
			const struct format_erase_kek *copy = &facts->copies[j].kek;
			found = kms_id_equal(&copy->token, &kek->token) &&
				kms_id_equal(&copy->kek, &kek->kek) &&
				kms_id_equal(&copy->key, &kek->key) &&
				copy->version == kek->version &&
				kms_hash_equal(&copy->commitment, &kek->commitment);
		}
		if (!found) {
			kms_log(KMS_LOG_ERROR, "evidence: the ledger has no such birth as the "
					       "erasure's signed bytes name");
			return KMS_ERR(INTEGRITY);
		}
	}
	return KMS_OK;
}

kms_err facts_collect(const struct evidence_parts *parts, const struct model_erasure *erasure,
	uint64_t before, struct facts **ret_facts)
{
	KMS_AUTO(facts) facts = calloc(1, sizeof(*facts));
	if (facts == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	facts->parts = parts;
	facts->erasure = erasure;
	facts->before = before;
	KMS_TRY(read_bytes(facts));
	for (size_t i = 0; i < facts->key_count; i++) {
		KMS_TRY(read_chain(facts, &facts->keys[i]));
	}
	KMS_TRY(read_events(facts));
	sort(facts);
	KMS_TRY(check(facts));
	*ret_facts = kms_take(&facts);
	return KMS_OK;
}

bool facts_are_closed(const struct facts *facts)
{
	bool closed = facts->finished && facts->copy_count + facts->erase->wipe_count > 0;
	for (size_t i = 0; i < facts->copy_count; i++) {
		closed = closed && facts->copies[i].removed_seq != 0;
	}
	for (uint32_t i = 0; i < facts->erase->wipe_count; i++) {
		closed = closed && facts->wipes[i].seq != 0;
	}
	return closed;
}
