/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole ledger, entry by entry, as an auditor got it: stored bytes are hashed and never written
 * anew; the root must be that of a checkpoint signed by the pinned keys.
 */
#include "verify_int.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_key(const void *a, const void *b)
{
	return memcmp(((const struct last_of_key *)a)->key.b,
		((const struct last_of_key *)b)->key.b, sizeof(struct kms_id));
}

static int compare_principal(const void *a, const void *b)
{
	return memcmp(((const struct known_principal *)a)->id.b,
		((const struct known_principal *)b)->id.b, sizeof(struct kms_id));
}

static int compare_kek(const void *a, const void *b)
{
	return memcmp(((const struct known_kek *)a)->id.b, ((const struct known_kek *)b)->id.b,
		sizeof(struct kms_id));
}

kms_err kms_verify_open(const char *trust_path, struct kms_verify **ret_verify)
{
	KMS_AUTO(kms_verify) verify = calloc(1, sizeof(*verify));
	if (verify == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	KMS_TRY(findings_new(&verify->findings));
	KMS_TRY(trust_read(trust_path, &verify->trust));
	*ret_verify = kms_take(&verify);
	return KMS_OK;
}

void kms_verify_free(struct kms_verify **verify)
{
	if (verify == NULL || *verify == NULL) {
		return;
	}
	struct kms_verify *v = *verify;
	if (v->batch.open) {
		model_change_free(&v->batch.change);
		free(v->batch.leaves);
	}
	books_free(&v->books);
	tdestroy(v->principals, free);
	tdestroy(v->keks, free);
	tdestroy(v->keys, free);
	free(v->leaves);
	findings_clear(&v->findings);
	trust_free(&v->trust);
	free(v);
	*verify = NULL;
}

/* ---- principals and kprev ---- */

static kms_err learn_principal(struct kms_verify *verify, const struct model_principal *principal)
{
	struct known_principal *row = malloc(sizeof(*row));
	if (row == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*row = (struct known_principal){principal->id, principal->spki};
	struct known_principal **node = tsearch(row, &verify->principals, compare_principal);
	if (node == NULL || *node != row) {
		free(row);
	}
	return node == NULL ? KMS_ERR(NO_MEMORY) : KMS_OK;
}

static kms_err learn_set(
	struct kms_verify *verify, const struct model_principal *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(learn_principal(verify, &rows[i]));
	}
	return KMS_OK;
}

const struct known_principal *ledger_principal(struct kms_verify *verify, const struct kms_id *id)
{
	struct known_principal wanted = {.id = *id};
	struct known_principal **found = tfind(&wanted, &verify->principals, compare_principal);
	return found == NULL ? NULL : *found;
}

struct spki_search {
	const struct kms_hash *spki;
	bool found;
};

static void compare_spki(const void *node, VISIT visit, void *closure)
{
	struct spki_search *search = closure;
	const struct known_principal *row = *(struct known_principal *const *)node;
	if (visit == postorder || visit == leaf) {
		search->found = search->found || kms_hash_equal(&row->spki, search->spki);
	}
}

bool ledger_spki_known(struct kms_verify *verify, const struct kms_hash *spki)
{
	struct spki_search search = {spki, false};
	twalk_r(verify->principals, compare_spki, &search);
	return search.found;
}

/* link: the key's next entry has to lead to this one. */
static kms_err check_kprev(struct kms_verify *verify, const struct record_head *head,
	const struct kms_hash *leaf, const struct kms_id *key, bool link)
{
	struct last_of_key wanted = {.key = *key};
	struct last_of_key **found = tfind(&wanted, &verify->keys, compare_key);
	bool chained = found == NULL
			       ? !head->has_previous
			       : head->has_previous && head->previous_seq == (*found)->seq &&
					 kms_hash_equal(&head->previous_leaf, &(*found)->leaf);
	if (!chained) {
		findings_fail(&verify->findings, CHECK_ENTRIES,
			"entry %llu: kprev is not this key's entry before",
			(unsigned long long)head->seq);
	}
	if (!link) {
		return KMS_OK;
	}
	if (found != NULL) {
		(*found)->seq = head->seq;
		(*found)->leaf = *leaf;
		return KMS_OK;
	}
	struct last_of_key *row = malloc(sizeof(*row));
	if (row == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*row = (struct last_of_key){*key, head->seq, *leaf};
	if (tsearch(row, &verify->keys, compare_key) == NULL) {
		free(row);
		return KMS_ERR(NO_MEMORY);
	}
	return KMS_OK;
}

/* ---- births ---- */

static kms_err learn_kek(struct kms_verify *verify, const struct format_birth *birth)
{
	struct known_kek *row = malloc(sizeof(*row));
	if (row == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	*row = (struct known_kek){birth->kek, birth->key, birth->version, birth->delivery};
	struct known_kek **node = tsearch(row, &verify->keks, compare_kek);
	if (node == NULL || *node != row) {
		free(row);
	}
	return node == NULL ? KMS_ERR(NO_MEMORY) : KMS_OK;
}

const struct known_kek *ledger_kek(struct kms_verify *verify, const struct kms_id *id)
{
	struct known_kek wanted = {.id = *id};
	struct known_kek **found = tfind(&wanted, &verify->keks, compare_kek);
	return found == NULL ? NULL : *found;
}

static kms_err check_birth(struct kms_verify *verify, uint64_t seq,
	const struct model_change *change, const struct model_birth *birth)
{
	char text[KMS_ID_TEXT];
	struct format_statement statement;
	const struct trust_token *token = trust_find(verify->trust, &birth->token);
	if (token == NULL) {
		findings_not_shown(&verify->findings, CHECK_BIRTHS,
			"entry %llu: token %s is not pinned", (unsigned long long)seq,
			kms_id_text(&birth->token, text));
		return KMS_OK;
	}
	kms_err err = format_statement_verify(kms_buf_bytes(&birth->statement),
		(struct kms_bytes){token->statement.spki, token->statement.spki_len}, &statement);
	/* record_entry_read has held the entry against what its statement says. */
	bool same = kms_is_ok(err) && statement.type == FORMAT_STATEMENT_BIRTH &&
		    kms_id_equal(&statement.token, &birth->token) &&
		    kms_id_equal(&statement.u.birth.key, &change->u.key_result.key) &&
		    kms_hash_equal(&statement.u.birth.commitment, &birth->commitment);
	if (!same) {
		findings_fail(&verify->findings, CHECK_BIRTHS,
			"entry %llu: the birth statement is not the word of token %s",
			(unsigned long long)seq, kms_id_text(&birth->token, text));
		return KMS_OK;
	}
	findings_good(&verify->findings, CHECK_BIRTHS);
	return learn_kek(verify, &statement.u.birth);
}

/* ---- erasures ---- */

/* Is it this token's word, of that type? record_entry_read has held what it is about against its
 * entry. */
static bool is_its_word(const struct trust_token *token, const struct kms_buf *bytes,
	enum format_statement_type type, struct format_statement *ret_statement)
{
	struct kms_bytes spki = {token->statement.spki, token->statement.spki_len};
	return kms_is_ok(format_statement_verify(kms_buf_bytes(bytes), spki, ret_statement)) &&
	       ret_statement->type == type && kms_id_equal(&ret_statement->token, &token->id);
}

static bool says_it_is_gone(const struct trust_token *token, const struct model_change *change)
{
	struct format_statement said;
	const struct kms_buf *first = &change->u.erase_done.statement;
	if (change->type == MODEL_CHANGE_ERASE_WIPE) {
		return is_its_word(token, first, FORMAT_STATEMENT_WIPE, &said) &&
		       said.u.wipe.initialised;
	}
	return is_its_word(token, first, FORMAT_STATEMENT_DESTROY, &said) &&
	       said.u.destroy.rv == 0 && !said.u.destroy.canary_after &&
	       is_its_word(token, &change->u.erase_done.absence, FORMAT_STATEMENT_ABSENCE, &said) &&
	       said.u.absence.matched == 0;
}

static kms_err check_erased(
	struct kms_verify *verify, uint64_t seq, const struct model_change *change)
{
	char text[KMS_ID_TEXT];
	const struct trust_token *token = trust_find(verify->trust, &change->u.erase_done.token);
	(void)kms_id_text(&change->u.erase_done.token, text);
	if (token == NULL) {
		findings_not_shown(&verify->findings, CHECK_ERASURES,
			"entry %llu: token %s is not pinned", (unsigned long long)seq, text);
	} else if (says_it_is_gone(token, change)) {
		findings_good(&verify->findings, CHECK_ERASURES);
	} else {
		findings_fail(&verify->findings, CHECK_ERASURES,
			"entry %llu: that the key is gone is not the word of token %s",
			(unsigned long long)seq, text);
	}
	return KMS_OK;
}

static kms_err check_receipt(
	struct kms_verify *verify, uint64_t seq, const struct model_change *change)
{
	const struct known_principal *known = ledger_principal(verify, &change->actor);
	KMS_AUTO(crypto_cert) cert = NULL;
	struct kms_hash spki = {{0}};
	kms_err err = receipt_signer(change, &cert);
	if (kms_is_ok(err)) {
		err = crypto_cert_spki_hash(cert, &spki);
	}
	if (kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	}
	if (kms_is_ok(err) && known == NULL) {
		findings_not_shown(&verify->findings, CHECK_RECEIPTS,
			"entry %llu: who gave the receipt was registered where we do not see it",
			(unsigned long long)seq);
	} else if (kms_is_ok(err) && kms_hash_equal(&spki, &known->spki)) {
		findings_good(&verify->findings, CHECK_RECEIPTS);
	} else {
		findings_fail(&verify->findings, CHECK_RECEIPTS,
			"entry %llu: the receipt is not signed by who gave it",
			(unsigned long long)seq);
	}
	return KMS_OK;
}

/* ---- entries ---- */

static kms_err follow(
	struct kms_verify *verify, uint64_t seq, const struct model_change *change, bool *ret_keep)
{
	char where[48];
	*ret_keep = false;
	switch (change->type) {
	case MODEL_CHANGE_LOG_OPEN:
		KMS_TRY(learn_set(
			verify, change->u.log_open.principals, change->u.log_open.principal_count));
		return learn_set(verify, change->u.log_open.first.principals,
			change->u.log_open.first.principal_count);
	case MODEL_CHANGE_TENANT_ADD:
		return learn_set(verify, change->u.tenant_add.principals,
			change->u.tenant_add.principal_count);
	case MODEL_CHANGE_KEY_RESULT:
		for (size_t i = 0; i < change->u.key_result.birth_count; i++) {
			KMS_TRY(check_birth(verify, seq, change, &change->u.key_result.births[i]));
		}
		return KMS_OK;
	case MODEL_CHANGE_ERASE_RESULT:
	case MODEL_CHANGE_ERASE_WIPE:
		return check_erased(verify, seq, change);
	case MODEL_CHANGE_LEASE_RECEIPT:
		return check_receipt(verify, seq, change);
	case MODEL_CHANGE_USE_BATCH:
		*ret_keep = true;
		return book_batch(verify, seq, change);
	case MODEL_CHANGE_USE_STATEMENT:
		(void)snprintf(where, sizeof(where), "entry %llu", (unsigned long long)seq);
		return book_statement(
			verify, where, kms_buf_bytes(&change->u.use_statement.statement));
	case MODEL_CHANGE_KEY_INTENT:
	case MODEL_CHANGE_KEY_STATE:
	case MODEL_CHANGE_DATASET_ADD:
	case MODEL_CHANGE_TOKEN_BOOT:
	case MODEL_CHANGE_ERASE_REQUEST:
	case MODEL_CHANGE_ERASE_APPROVE:
	case MODEL_CHANGE_ERASE_CANCEL:
	case MODEL_CHANGE_ERASE_INTENT:
	case MODEL_CHANGE_ERASE_FINAL:
	case MODEL_CHANGE_ERASE_REFUSED:
	case MODEL_CHANGE_CERT_ISSUE:
		return KMS_OK;
	case MODEL_CHANGE_ALARM:
		findings_not_shown(&verify->findings, CHECK_ENTRIES, "entry %llu is an alarm: %s",
			(unsigned long long)seq, change->u.alarm.text);
		return KMS_OK;
	}
	return KMS_OK;
}

/* An entry whose bytes we may see: parse, index, log, kprev, then what it says. */
static kms_err check_entry(struct kms_verify *verify, uint64_t index, struct kms_bytes json,
	const struct kms_hash *leaf)
{
	struct kms_id key;
	bool keep = false;
	struct record_head *head KMS_AUTO_FREE = calloc(1, sizeof(*head));
	struct model_change *change KMS_AUTO_FREE = calloc(1, sizeof(*change));
	if (head == NULL || change == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	kms_err err = record_entry_read(json, head, change);
	if (kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	}
	if (!kms_is_ok(err)) {
		findings_fail(&verify->findings, CHECK_ENTRIES, "entry %llu does not parse",
			(unsigned long long)index);
		return KMS_OK;
	}
	if (head->seq != index || strcmp(head->log, verify->trust->origin) != 0) {
		findings_fail(&verify->findings, CHECK_ENTRIES,
			"entry %llu says that it is entry %llu of %s", (unsigned long long)index,
			(unsigned long long)head->seq, head->log);
	} else {
		findings_good(&verify->findings, CHECK_ENTRIES);
	}
	if (record_change_key(change, &key)) {
		err = check_kprev(verify, head, leaf, &key, record_change_link(change, &key));
	}
	if (kms_is_ok(err)) {
		err = follow(verify, index, change, &keep);
	}
	if (!keep || !kms_is_ok(err)) {
		model_change_free(change);
	}
	return err;
}

static kms_err add_leaf(struct kms_verify *verify, const struct kms_hash *leaf)
{
	if (verify->leaf_count == verify->leaf_cap) {
		size_t cap = verify->leaf_cap == 0 ? 1024 : verify->leaf_cap * 2;
		struct kms_hash *leaves = realloc(verify->leaves, cap * sizeof(*leaves));
		if (leaves == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		verify->leaves = leaves;
		verify->leaf_cap = cap;
	}
	verify->leaves[verify->leaf_count++] = *leaf;
	return KMS_OK;
}

kms_err kms_verify_entry(struct kms_verify *verify, uint64_t index, const uint8_t *leaf,
	const uint8_t *bytes, size_t len, uint32_t *ret_use_records)
{
	struct kms_hash claimed, hash;
	if (index != verify->leaf_count) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_TRY(book_batch_end(verify));
	memcpy(claimed.b, leaf, sizeof(claimed.b));
	hash = claimed;
	if (len == 0) {
		verify->hidden++;
	} else {
		KMS_TRY(tlog_leaf_hash((struct kms_bytes){bytes, len}, &hash));
		if (!kms_hash_equal(&hash, &claimed)) {
			findings_fail(&verify->findings, CHECK_TREE,
				"entry %llu: its bytes do not have its leaf hash",
				(unsigned long long)index);
		}
		KMS_TRY(check_entry(verify, index, (struct kms_bytes){bytes, len}, &hash));
	}
	KMS_TRY(add_leaf(verify, &hash));
	*ret_use_records = verify->batch.open ? verify->batch.expected : 0;
	return KMS_OK;
}

kms_err kms_verify_use(struct kms_verify *verify, const uint8_t *bytes, size_t len)
{
	return book_record(verify, (struct kms_bytes){bytes, len});
}

kms_err kms_verify_statement(struct kms_verify *verify, const uint8_t *bytes, size_t len)
{
	KMS_TRY(book_batch_end(verify));
	return book_statement(verify, "the owner's statement", (struct kms_bytes){bytes, len});
}

/* ---- checkpoints ---- */

static kms_err open_checkpoint(
	struct kms_verify *verify, const char *note, struct tlog_checkpoint *ret_checkpoint)
{
	struct kms_bytes text;
	const struct tlog_log_keys *ledger = &verify->trust->ledger;
	KMS_TRY(tlog_note_open(kms_bytes_str(note), ledger->keys, ledger->count, &text));
	KMS_TRY(tlog_checkpoint_parse(text, ret_checkpoint));
	return strcmp(ret_checkpoint->origin, verify->trust->origin) == 0 ? KMS_OK
									  : KMS_ERR(INTEGRITY);
}

static void check_root(
	struct kms_verify *verify, const char *which, const struct tlog_checkpoint *checkpoint)
{
	struct kms_hash root;
	if (checkpoint->size > verify->leaf_count) {
		findings_fail(&verify->findings, CHECK_TREE,
			"%s covers %llu entries, and only %zu were given", which,
			(unsigned long long)checkpoint->size, verify->leaf_count);
		return;
	}
	kms_err err = tlog_root_of(verify->leaves, (size_t)checkpoint->size, &root);
	if (!kms_is_ok(err) || !kms_hash_equal(&root, &checkpoint->root)) {
		findings_fail(&verify->findings, CHECK_TREE,
			"the entries do not have the root of %s (size %llu)", which,
			(unsigned long long)checkpoint->size);
	} else {
		findings_good(&verify->findings, CHECK_TREE);
	}
}

kms_err kms_verify_older(struct kms_verify *verify, const char *note)
{
	if (verify->older_count == OLDER_MAX) {
		return KMS_ERR(TOO_LARGE);
	}
	struct older *older = &verify->older[verify->older_count];
	KMS_TRY(open_checkpoint(verify, note, &older->checkpoint));
	verify->older_count++;
	return KMS_OK;
}

kms_err kms_verify_finish(struct kms_verify *verify, const char *checkpoint, char **ret_report)
{
	struct tlog_checkpoint newest;
	KMS_TRY(book_batch_end(verify));
	if (kms_is_ok(open_checkpoint(verify, checkpoint, &newest))) {
		findings_good(&verify->findings, CHECK_CHECKPOINT);
		check_root(verify, "the checkpoint", &newest);
		if (newest.size < verify->leaf_count) {
			findings_not_shown(&verify->findings, CHECK_TREE,
				"%llu entries after the checkpoint are not signed yet",
				(unsigned long long)(verify->leaf_count - newest.size));
		}
	} else {
		findings_fail(&verify->findings, CHECK_CHECKPOINT,
			"the checkpoint is not signed by every pinned key of %s",
			verify->trust->origin);
	}
	for (size_t i = 0; i < verify->older_count; i++) {
		check_root(verify, "an older checkpoint", &verify->older[i].checkpoint);
	}
	if (verify->hidden > 0) {
		findings_not_shown(&verify->findings, CHECK_ENTRIES,
			"%llu entries of others: their leaf hashes are in the tree",
			(unsigned long long)verify->hidden);
	}
	books_close(verify);
	KMS_TRY(findings_report(&verify->findings, ret_report));
	return findings_failed(&verify->findings) ? KMS_ERR(INTEGRITY) : KMS_OK;
}
