/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the log as one transaction sees it. One change gives one entry, one leaf and its effect
 * on state, or nothing. Runs in kmsd: in the sequencer, and in `kmsd --init` and `--add-tenant`.
 */
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "record.h"
#include "ledger_int.h"

bool ledger_err_is_hard(kms_err err)
{
	return kms_is(err, KMS_CODE_STORE) || kms_is(err, KMS_CODE_NO_MEMORY);
}

kms_err ledger_change_new(enum model_change_type type, struct change_box **ret_box)
{
	struct change_box *box = calloc(1, sizeof(*box));
	if (box == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	box->change.type = type;
	*ret_box = box;
	return KMS_OK;
}

void change_box_free(struct change_box **box)
{
	if (*box != NULL) {
		model_change_free(&(*box)->change);
		free(*box);
		*box = NULL;
	}
}

kms_err ledger_node_read(void *ctx, unsigned level, uint64_t index, struct kms_hash *ret_hash)
{
	return store_node_get(ctx, level, index, ret_hash);
}

void book_free(struct book **book)
{
	free(*book);
	*book = NULL;
}

static kms_err read_settings(struct book *book)
{
	KMS_AUTO_FREE char *origin = NULL;
	KMS_AUTO_FREE char *node = NULL;
	KMS_AUTO_FREE char *vkey = NULL;
	KMS_AUTO_FREE char *ed25519 = NULL;
	KMS_TRY(store_setting_get(book->store, "origin", &origin));
	KMS_TRY(store_setting_get(book->store, "node", &node));
	KMS_TRY(store_setting_get(book->store, "ledger_vkey", &vkey));
	KMS_TRY(store_setting_get(book->store, "ledger_vkey_ed25519", &ed25519));
	size_t len = strlen(origin);
	if (len >= sizeof(book->origin)) {
		return KMS_ERR(TOO_LARGE);
	}
	memcpy(book->origin, origin, len + 1);
	KMS_TRY(kms_id_parse(node, &book->node));
	return tlog_log_keys_parse(vkey, ed25519, &book->log);
}

static kms_err read_tree(struct book *book)
{
	uint64_t size = 0;
	struct kms_hash head, root;
	KMS_TRY(store_head_get(book->store, &size, &head));
	KMS_TRY(tlog_edge_read(ledger_node_read, book->store, size, &book->kept));
	KMS_TRY(tlog_edge_root(&book->kept, &root));
	if (!kms_hash_equal(&head, &root)) {
		kms_log(KMS_LOG_ERROR, "ledger: the stored tree of %llu entries is not the head's",
			(unsigned long long)size);
		return KMS_ERR(INTEGRITY);
	}
	book->root = root;
	book->edge = book->kept;
	return KMS_OK;
}

kms_err ledger_book_open(struct store *store, struct book **ret_book)
{
	KMS_AUTO(book) book = calloc(1, sizeof(*book));
	if (book == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	book->store = store;
	KMS_TRY(read_settings(book));
	KMS_TRY(read_tree(book));
	*ret_book = kms_take(&book);
	return KMS_OK;
}

kms_err ledger_state_apply(
	struct store_tx *tx, const struct model_change *change, uint64_t seq, int64_t unix_ms)
{
	KMS_TRY(store_apply(tx, change, seq, unix_ms));
	if (change->type != MODEL_CHANGE_USE_STATEMENT) {
		return KMS_OK;
	}
	struct format_statement statement;
	struct kms_bytes signed_part, signature;
	KMS_TRY(format_statement_read(kms_buf_bytes(&change->u.use_statement.statement), &statement,
		&signed_part, &signature));
	if (statement.type != FORMAT_STATEMENT_USES ||
		!kms_id_equal(&statement.token, &change->u.use_statement.token)) {
		return KMS_ERR(ARGUMENT);
	}
	return store_position_statement(
		tx, &statement.token, statement.u.uses.boot, statement.u.uses.count);
}

/* The entry's bytes; kprev leads to the key's entry before, this transaction's included. */
static kms_err write_entry(struct book *book, struct store_tx *tx,
	const struct model_change *change, int64_t unix_ms, const struct kms_id *key,
	struct kms_buf *ret_json)
{
	struct record_head head = {.seq = book->edge.size, .unix_ms = unix_ms, .node = book->node};
	memcpy(head.log, book->origin, sizeof(head.log));
	if (!kms_id_is_zero(key)) {
		kms_err err =
			store_entry_last_of_key(tx, key, &head.previous_seq, &head.previous_leaf);
		if (!kms_is_ok(err) && !kms_is(err, KMS_CODE_NOT_FOUND)) {
			return err;
		}
		head.has_previous = kms_is_ok(err);
	}
	return record_entry_write(&head, change, ret_json);
}

static kms_err put_leaf(struct book *book, struct store_tx *tx, const struct kms_hash *leaf)
{
	unsigned count = 0;
	KMS_TRY(tlog_edge_append(&book->edge, leaf, book->nodes, &count));
	for (unsigned i = 0; i < count; i++) {
		KMS_TRY(store_node_put(
			tx, book->nodes[i].level, book->nodes[i].index, &book->nodes[i].hash));
	}
	return KMS_OK;
}

kms_err ledger_book_append(struct book *book, struct store_tx *tx,
	const struct model_change *change, int64_t unix_ms, uint64_t *ret_seq)
{
	struct store_entry entry = {.seq = book->edge.size, .tenant = change->tenant};
	struct kms_id about;
	KMS_AUTO_BUF json = {0};
	if (!record_change_key(change, &about)) {
		about = (struct kms_id){{0}};
	}
	if (!record_change_link(change, &entry.key)) {
		entry.key = (struct kms_id){{0}};
	}
	KMS_TRY(write_entry(book, tx, change, unix_ms, &about, &json));
	KMS_TRY(ledger_state_apply(tx, change, entry.seq, unix_ms));
	entry.bytes = kms_buf_bytes(&json);
	KMS_TRY(tlog_leaf_hash(entry.bytes, &entry.leaf));
	KMS_TRY(store_entry_put(tx, &entry));
	KMS_TRY(put_leaf(book, tx, &entry.leaf));
	*ret_seq = entry.seq;
	return KMS_OK;
}

kms_err ledger_book_seal(struct book *book, struct store_tx *tx)
{
	struct kms_hash root;
	if (book->edge.size == book->kept.size) {
		return KMS_OK;
	}
	KMS_TRY(tlog_edge_root(&book->edge, &root));
	return store_head_swap(tx, book->kept.size, &book->root, book->edge.size, &root);
}

kms_err ledger_book_keep(struct book *book)
{
	KMS_TRY(tlog_edge_root(&book->edge, &book->root));
	book->kept = book->edge;
	return KMS_OK;
}

void ledger_book_restore(struct book *book)
{
	book->edge = book->kept;
}

/* ---- offline ---- */

static kms_err put_settings(
	const struct book *book, struct store_tx *tx, const struct model_change *log_open)
{
	char node[KMS_ID_TEXT];
	KMS_TRY(store_setting_put(tx, "origin", log_open->u.log_open.origin));
	KMS_TRY(store_setting_put(tx, "ledger_vkey", log_open->u.log_open.ledger_vkey));
	KMS_TRY(store_setting_put(
		tx, "ledger_vkey_ed25519", log_open->u.log_open.ledger_vkey_ed25519));
	return store_setting_put(tx, "node", kms_id_text(&book->node, node));
}

static kms_err append_one(struct book *book, const struct model_change *change, bool found)
{
	struct store_tx *tx = NULL;
	uint64_t seq = 0;
	KMS_TRY(store_begin(book->store, &tx));
	kms_err err = ledger_book_append(book, tx, change, kms_now_unix_ms(), &seq);
	if (kms_is_ok(err) && found) {
		err = put_settings(book, tx, change);
	}
	if (kms_is_ok(err)) {
		err = ledger_book_seal(book, tx);
	}
	if (!kms_is_ok(err)) {
		store_tx_free(&tx);
		return err;
	}
	return store_commit(&tx);
}

kms_err ledger_found(struct store *store, struct model_change *log_open)
{
	KMS_ASSERT(log_open->type == MODEL_CHANGE_LOG_OPEN);
	KMS_AUTO(book) book = calloc(1, sizeof(*book));
	if (book == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	book->store = store;
	KMS_TRY(read_tree(book));
	if (book->kept.size > 0) {
		return KMS_ERR(EXISTS);
	}
	KMS_TRY(tlog_log_keys_parse(log_open->u.log_open.ledger_vkey,
		log_open->u.log_open.ledger_vkey_ed25519, &book->log));
	memcpy(book->origin, log_open->u.log_open.origin, sizeof(book->origin));
	for (size_t i = 0; i < book->log.count; i++) {
		if (strcmp(book->log.keys[i].name, book->origin) != 0) {
			kms_log(KMS_LOG_ERROR,
				"ledger: the verifier key is of \"%s\", the log is \"%s\"",
				book->log.keys[i].name, book->origin);
			return KMS_ERR(ARGUMENT);
		}
	}
	KMS_TRY(kms_id_random(&book->node));
	return append_one(book, log_open, true);
}

kms_err ledger_append_offline(struct store *store, struct model_change *change)
{
	KMS_AUTO(book) book = NULL;
	KMS_TRY(ledger_book_open(store, &book));
	return append_one(book, change, false);
}
