/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: replay. The state is rebuilt from the entries alone, in memory, and compared with the
 * store's; on the way everything that the log says about itself is checked. Runs in
 * `kmsd --replay`, beside a running kmsd or without. Never writes to the store.
 */
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "ledger_int.h"

enum {
	REPORT_MAX = 64 * 1024,
	TYPES = MODEL_CHANGE_ERASE_REFUSED + 1,
	TRIES = 100, /* of catching up with a running kmsd */
	LINE_MAX_SHOWN = 400,
};

struct replay {
	struct store *store;  /* what is checked */
	struct store *memory; /* what is rebuilt */
	char *origin;
	struct tlog_edge edge;
	struct kms_hash root;
	struct tlog_node nodes[TLOG_LEVELS];
	uint64_t counts[TYPES];
	uint64_t uses, batches, pruned;
	struct kms_writer report;
};

static void replay_free(struct replay **replay)
{
	if (*replay == NULL) {
		return;
	}
	store_free(&(*replay)->memory);
	free((*replay)->origin);
	kms_writer_free(&(*replay)->report);
	free(*replay);
	*replay = NULL;
}

static kms_err bad(struct replay *replay, uint64_t seq, const char *what)
{
	kms_write_format(&replay->report, "entry %llu: %s\n", (unsigned long long)seq, what);
	return KMS_ERR(INTEGRITY);
}

/* kprev names the key's entry before, as it was rebuilt. */
static kms_err check_previous(struct replay *replay, struct store_tx *tx, uint64_t seq,
	const struct record_head *head, const struct kms_id *key)
{
	uint64_t previous = 0;
	struct kms_hash leaf;
	bool has = false;
	if (!kms_id_is_zero(key)) {
		kms_err err = store_entry_last_of_key(tx, key, &previous, &leaf);
		if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NOT_FOUND)) {
			return err;
		}
		has = kms_is_ok(err);
	}
	if (has != head->has_previous ||
		(has && (previous != head->previous_seq ||
				!kms_hash_equal(&leaf, &head->previous_leaf)))) {
		return bad(replay, seq, "kprev does not lead to the key's entry before");
	}
	return KMS_OK;
}

static kms_err check_leaf(struct replay *replay, const struct model_entry *entry)
{
	struct kms_hash leaf, stored;
	unsigned count = 0;
	KMS_TRY(tlog_leaf_hash(kms_buf_bytes(&entry->bytes), &leaf));
	if (!kms_hash_equal(&leaf, &entry->leaf)) {
		return bad(replay, entry->seq, "its bytes are not what its leaf hash says");
	}
	KMS_TRY(tlog_edge_append(&replay->edge, &leaf, replay->nodes, &count));
	for (unsigned i = 0; i < count; i++) {
		const struct tlog_node *node = &replay->nodes[i];
		kms_err err = store_node_get(replay->store, node->level, node->index, &stored);
		if (kms_is(err, KMS_CODE_NOT_FOUND) ||
			(kms_is_ok(err) && !kms_hash_equal(&stored, &node->hash))) {
			return bad(
				replay, entry->seq, "the stored tree is not that of the entries");
		}
		KMS_TRY(err);
	}
	return KMS_OK;
}

static kms_err root_of_records(
	const struct kms_buf *records, size_t count, struct kms_hash *ret_root)
{
	KMS_AUTO_FREE struct kms_hash *leaves = calloc(count + 1, sizeof(*leaves));
	if (leaves == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(tlog_leaf_hash(kms_buf_bytes(&records[i]), &leaves[i]));
	}
	return tlog_root_of(leaves, count, ret_root);
}

/* What the records add up to, as it was counted when they came. */
static kms_err count_uses(struct replay *replay, struct store_tx *tx, uint64_t seq,
	const struct kms_buf *records, size_t count)
{
	KMS_AUTO_FREE struct model_use *uses = calloc(count + 1, sizeof(*uses));
	if (uses == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < count; i++) {
		if (!kms_is_ok(record_use_read(kms_buf_bytes(&records[i]), &uses[i]))) {
			return bad(replay, seq, "one of its use records does not parse");
		}
	}
	return store_uses_count(tx, uses, count);
}

/* The leaves of the batch's root, and then what they add up to. */
static kms_err check_records(struct replay *replay, struct store_tx *tx, uint64_t seq,
	const struct model_change *change, const struct kms_buf *records, size_t count)
{
	struct kms_hash root;
	KMS_TRY(root_of_records(records, count, &root));
	if (count != change->u.use_batch.count ||
		!kms_hash_equal(&root, &change->u.use_batch.root)) {
		return bad(replay, seq, "its use records are not those of its root");
	}
	replay->uses += count;
	return count_uses(replay, tx, seq, records, count);
}

/* The use records of a batch, while they are kept. */
static kms_err check_uses(
	struct replay *replay, struct store_tx *tx, uint64_t seq, const struct model_change *change)
{
	struct kms_buf *records = NULL;
	size_t count = 0;
	kms_err err = store_uses_get(replay->store, NULL, seq, &records, &count);
	replay->batches++;
	if (kms_is(err, KMS_CODE_NOT_FOUND)) {
		replay->pruned++;
		return KMS_OK;
	}
	KMS_TRY(err);
	err = check_records(replay, tx, seq, change, records, count);
	for (size_t i = 0; i < count; i++) {
		kms_buf_free(&records[i]);
	}
	free(records);
	return err;
}

static kms_err replay_change(struct replay *replay, struct store_tx *tx,
	const struct model_entry *entry, const struct record_head *head,
	const struct model_change *change)
{
	struct store_entry row = {.seq = entry->seq, .tenant = change->tenant, .leaf = entry->leaf};
	if (head->seq != entry->seq || strcmp(head->log, replay->origin) != 0) {
		return bad(replay, entry->seq, "it is of another place, or of another log");
	}
	struct kms_id about;
	if (!record_change_key(change, &about)) {
		about = (struct kms_id){{0}};
	}
	if (!record_change_link(change, &row.key)) {
		row.key = (struct kms_id){{0}};
	}
	KMS_TRY(check_previous(replay, tx, entry->seq, head, &about));
	kms_err err = ledger_state_apply(tx, change, entry->seq, head->unix_ms);
	if (!kms_is_ok(err)) {
		kms_write_format(&replay->report, "entry %llu: %s: refused: %s\n",
			(unsigned long long)entry->seq, record_change_text(change),
			kms_err_text(err));
		return ledger_err_is_hard(err) ? err : KMS_ERR(INTEGRITY);
	}
	KMS_TRY(store_entry_put(tx, &row)); /* for kprev: without its bytes */
	if (change->type == MODEL_CHANGE_USE_BATCH) {
		KMS_TRY(check_uses(replay, tx, entry->seq, change));
	}
	replay->counts[change->type]++;
	return KMS_OK;
}

static kms_err replay_entry(
	struct replay *replay, struct store_tx *tx, const struct model_entry *entry)
{
	KMS_AUTO(change_box) box = NULL;
	struct record_head head;
	if (entry->seq != replay->edge.size) {
		return bad(replay, replay->edge.size, "missing");
	}
	KMS_TRY(check_leaf(replay, entry));
	KMS_TRY(ledger_change_new(MODEL_CHANGE_ALARM, &box));
	if (!kms_is_ok(record_entry_read(kms_buf_bytes(&entry->bytes), &head, &box->change))) {
		return bad(replay, entry->seq, "it does not parse");
	}
	return replay_change(replay, tx, entry, &head, &box->change);
}

static kms_err replay_page(struct replay *replay, const struct model_entry *rows, size_t count)
{
	struct store_tx *tx = NULL;
	struct kms_hash root;
	uint64_t old_size = replay->edge.size;
	KMS_TRY(store_begin(replay->memory, &tx));
	kms_err err = KMS_OK;
	for (size_t i = 0; i < count && kms_is_ok(err); i++) {
		err = replay_entry(replay, tx, &rows[i]);
	}
	if (kms_is_ok(err)) {
		err = tlog_edge_root(&replay->edge, &root);
	}
	if (kms_is_ok(err)) {
		err = store_head_swap(tx, old_size, &replay->root, replay->edge.size, &root);
	}
	if (!kms_is_ok(err)) {
		store_tx_free(&tx);
		return err;
	}
	replay->root = root;
	return store_commit(&tx);
}

static kms_err replay_entries(struct replay *replay)
{
	for (;;) {
		struct model_entry *rows = NULL;
		size_t count = 0;
		KMS_TRY(store_entries_get(
			replay->store, NULL, replay->edge.size, LIMIT_ENTRIES_PAGE, &rows, &count));
		kms_err err = count > 0 ? replay_page(replay, rows, count) : KMS_OK;
		for (size_t i = 0; i < count; i++) {
			kms_buf_free(&rows[i].bytes);
		}
		free(rows);
		KMS_TRY(err);
		if (count == 0) {
			return KMS_OK;
		}
	}
}

/* ---- the comparison ---- */

static struct kms_bytes next_line(struct kms_bytes *text)
{
	const uint8_t *end = memchr(text->ptr, '\n', text->len);
	size_t len = end == NULL ? text->len : (size_t)(end - text->ptr) + 1;
	struct kms_bytes line = {text->ptr, len};
	text->ptr += len;
	text->len -= len;
	return line;
}

static void show_line(struct kms_writer *report, const char *whose, struct kms_bytes line)
{
	size_t len = line.len > 0 && line.ptr[line.len - 1] == '\n' ? line.len - 1 : line.len;
	kms_write_format(report, "  %s: %.*s%s\n", whose,
		(int)(len < LINE_MAX_SHOWN ? len : LINE_MAX_SHOWN), (const char *)line.ptr,
		len == 0 ? "(nothing)" : (len > LINE_MAX_SHOWN ? " ..." : ""));
}

static void show_difference(
	struct kms_writer *report, struct kms_bytes store, struct kms_bytes ledger)
{
	struct kms_bytes a = next_line(&store);
	struct kms_bytes b = next_line(&ledger);
	while (a.len > 0 && b.len > 0 && kms_bytes_equal(a, b)) {
		a = next_line(&store);
		b = next_line(&ledger);
	}
	kms_write_text(report, "state differs, first here:\n");
	show_line(report, "store ", a);
	show_line(report, "ledger", b);
}

static void show_counts(struct replay *replay)
{
	char root[KMS_HASH_TEXT];
	static const char *const names[TYPES] = {
		[MODEL_CHANGE_LOG_OPEN] = "log.open",
		[MODEL_CHANGE_TENANT_ADD] = "tenant.add",
		[MODEL_CHANGE_KEY_INTENT] = "key intents",
		[MODEL_CHANGE_KEY_RESULT] = "key results",
		[MODEL_CHANGE_KEY_STATE] = "key.state",
		[MODEL_CHANGE_DATASET_ADD] = "dataset.add",
		[MODEL_CHANGE_TOKEN_BOOT] = "token.boot",
		[MODEL_CHANGE_USE_STATEMENT] = "use.statement",
		[MODEL_CHANGE_USE_BATCH] = "use.batch",
		[MODEL_CHANGE_ALARM] = "alarm",
		[MODEL_CHANGE_ERASE_REQUEST] = "destroy.request",
		[MODEL_CHANGE_ERASE_APPROVE] = "destroy.approve",
		[MODEL_CHANGE_ERASE_CANCEL] = "destroy.cancel",
		[MODEL_CHANGE_ERASE_INTENT] = "destroy.execute.intent",
		[MODEL_CHANGE_ERASE_RESULT] = "destroy.execute.result",
		[MODEL_CHANGE_ERASE_WIPE] = "destroy.wipe",
		[MODEL_CHANGE_ERASE_FINAL] = "destroy.final",
		[MODEL_CHANGE_CERT_ISSUE] = "cert.issue",
		[MODEL_CHANGE_ERASE_REFUSED] = "destroy.execute.refused",
	};
	kms_write_format(&replay->report, "entries: %llu, root %s\n",
		(unsigned long long)replay->edge.size, kms_hash_text(&replay->root, root));
	for (size_t i = 1; i < TYPES; i++) {
		if (replay->counts[i] > 0) {
			kms_write_format(&replay->report, "  %s: %llu\n", names[i],
				(unsigned long long)replay->counts[i]);
		}
	}
	kms_write_format(&replay->report, "use records: %llu in %llu batches, %llu not kept\n",
		(unsigned long long)replay->uses, (unsigned long long)replay->batches,
		(unsigned long long)replay->pruned);
}

/* Records that are not kept cannot be counted again: then the counts, which are the last of a dump,
 * are left out. */
static struct kms_bytes comparable(const struct replay *replay, const struct kms_buf *dump)
{
	static const char counts[] = "\nuse_count ";
	struct kms_bytes text = kms_buf_bytes(dump);
	const uint8_t *at = memmem(text.ptr, text.len, counts, sizeof(counts) - 1);
	if (replay->pruned > 0 && at != NULL) {
		text.len = (size_t)(at - text.ptr) + 1;
	}
	return text;
}

/* Until the store's state is that of the entries read, with nothing written in between. */
static kms_err compare(struct replay *replay)
{
	for (int i = 0; i < TRIES; i++) {
		KMS_AUTO_BUF store = {0};
		KMS_AUTO_BUF ledger = {0};
		uint64_t size = 0;
		struct kms_hash root;
		KMS_TRY(replay_entries(replay));
		KMS_TRY(store_dump(replay->store, &store));
		KMS_TRY(store_dump(replay->memory, &ledger));
		struct kms_bytes ours = comparable(replay, &store);
		struct kms_bytes rebuilt = comparable(replay, &ledger);
		if (kms_bytes_equal(ours, rebuilt)) {
			show_counts(replay);
			kms_write_text(&replay->report, "state equals\n");
			return KMS_OK;
		}
		KMS_TRY(store_head_get(replay->store, &size, &root));
		if (size <= replay->edge.size) {
			show_counts(replay);
			show_difference(&replay->report, ours, rebuilt);
			return KMS_ERR(INTEGRITY);
		}
	}
	kms_write_text(&replay->report, "the ledger grows faster than it can be replayed\n");
	return KMS_ERR(TIMEOUT);
}

kms_err ledger_replay(struct store *store, struct kms_buf *ret_report)
{
	KMS_AUTO(replay) replay = calloc(1, sizeof(*replay));
	if (replay == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	replay->store = store;
	replay->report = kms_writer_grow(REPORT_MAX);
	KMS_TRY(store_setting_get(store, "origin", &replay->origin));
	KMS_TRY(store_open(NULL, STORE_CREATE, &replay->memory));
	KMS_TRY(tlog_edge_root(&replay->edge, &replay->root));
	kms_err err = compare(replay);
	KMS_TRY(kms_writer_take(&replay->report, ret_report));
	return err;
}
