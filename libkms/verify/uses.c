/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Use records against what kms-tokends signed. The running hash is computed anew from the records;
 * where it parts from a statement, a record was dropped, changed, or filed under another name.
 * Every complaint names token, boot and batch.
 */
#include "verify_int.h"

#include <stdlib.h>
#include <string.h>

/* One boot of one token, as it was recorded. */
struct boot {
	uint64_t number;
	uint64_t count;           /* uses recorded: 1 .. count */
	uint64_t stated;          /* uses that a good statement covers */
	struct kms_hash *running; /* after each use; [0] is that before the first */
	size_t cap;
	uint64_t last_batch; /* seq of the newest use.batch */
	struct boot *next;   /* older boots */
};

struct book {
	struct kms_id token;
	struct boot *boots; /* newest first */
	struct book *next;
};

void books_free(struct book **books)
{
	while (*books != NULL) {
		struct book *next = (*books)->next;
		while ((*books)->boots != NULL) {
			struct boot *boot = (*books)->boots;
			(*books)->boots = boot->next;
			free(boot->running);
			free(boot);
		}
		free(*books);
		*books = next;
	}
}

kms_err book_of(struct kms_verify *verify, const struct kms_id *token, struct book **ret_book)
{
	for (struct book *book = verify->books; book != NULL; book = book->next) {
		if (kms_id_equal(&book->token, token)) {
			*ret_book = book;
			return KMS_OK;
		}
	}
	struct book *book = calloc(1, sizeof(*book));
	if (book == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	book->token = *token;
	book->next = verify->books;
	verify->books = book;
	*ret_book = book;
	return KMS_OK;
}

static struct boot *find_boot(struct book *book, uint64_t number)
{
	struct boot *boot = book->boots;
	while (boot != NULL && boot->number != number) {
		boot = boot->next;
	}
	return boot;
}

static kms_err boot_of(struct book *book, uint64_t number, struct boot **ret_boot)
{
	struct boot *boot = find_boot(book, number);
	if (boot == NULL) {
		boot = calloc(1, sizeof(*boot));
		if (boot == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		boot->running = calloc(64, sizeof(*boot->running));
		boot->cap = 64;
		if (boot->running == NULL) {
			free(boot);
			return KMS_ERR(NO_MEMORY);
		}
		boot->number = number;
		boot->next = book->boots;
		book->boots = boot;
	}
	*ret_boot = boot;
	return KMS_OK;
}

static kms_err add_use(struct boot *boot, const struct model_use *use)
{
	if (boot->count + 1 == boot->cap) {
		struct kms_hash *running = realloc(boot->running, boot->cap * 2 * sizeof(*running));
		if (running == NULL) {
			return KMS_ERR(NO_MEMORY);
		}
		boot->running = running;
		boot->cap *= 2;
	}
	KMS_TRY(format_use_step(&boot->running[boot->count], use, &boot->running[boot->count + 1]));
	boot->count++;
	return KMS_OK;
}

/* ---- one use.batch entry and its records ---- */

kms_err book_batch(struct kms_verify *verify, uint64_t seq, const struct model_change *change)
{
	verify->batch.leaves =
		calloc((size_t)change->u.use_batch.count + 1, sizeof(*verify->batch.leaves));
	if (verify->batch.leaves == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	verify->batch.open = true;
	verify->batch.seq = seq;
	verify->batch.expected = change->u.use_batch.count;
	verify->batch.given = 0;
	verify->batch.change = *change; /* taken over: the caller does not free it */
	return KMS_OK;
}

/*
 * What the running hash does not hold, against what does: key and version against the KEK's birth,
 * the principal against the certificate. The session of a key that was born `clear` is kmsd's own,
 * so who asked for it stands on kmsd's word. NULL: nothing is wrong.
 */
static const char *wrong_with(struct kms_verify *verify, const struct model_use *use)
{
	const struct known_kek *kek = ledger_kek(verify, &use->kek);
	if (kek != NULL && (!kms_id_equal(&kek->key, &use->key) || kek->version != use->version)) {
		return "a key or version that its KEK is not of";
	}
	const struct known_principal *principal = ledger_principal(verify, &use->principal);
	if (kms_id_is_zero(&use->principal)) {
		return ledger_spki_known(verify, &use->spki)
			       ? "nobody, and its certificate is that of a principal"
			       : NULL;
	}
	if (principal != NULL && kek != NULL && kek->delivery == MODEL_DELIVERY_CLEAR) {
		verify->clear_uses++;
		return NULL;
	}
	return principal != NULL && kms_hash_equal(&principal->spki, &use->spki)
		       ? NULL
		       : "a principal that has another certificate";
}

/* A numbered use: number, principal, running hash. */
static kms_err check_use(struct kms_verify *verify, const struct model_use *use)
{
	const struct model_change *change = &verify->batch.change;
	unsigned long long seq = verify->batch.seq, boot_no = change->u.use_batch.boot;
	char token[KMS_ID_TEXT];
	struct book *book;
	struct boot *boot;
	KMS_TRY(book_of(verify, &change->u.use_batch.token, &book));
	KMS_TRY(boot_of(book, change->u.use_batch.boot, &boot));
	(void)kms_id_text(&book->token, token);
	if (use->n != change->u.use_batch.first + verify->batch.given ||
		use->n != boot->count + 1) {
		findings_fail(&verify->findings, CHECK_USES,
			"token %s, boot %llu, batch at entry %llu: use %llu does not follow use "
			"%llu",
			token, boot_no, seq, (unsigned long long)use->n,
			(unsigned long long)boot->count);
		return KMS_OK;
	}
	const char *wrong = wrong_with(verify, use);
	if (wrong != NULL) {
		findings_fail(&verify->findings, CHECK_USES,
			"token %s, boot %llu, batch at entry %llu: use %llu is filed under %s",
			token, boot_no, seq, (unsigned long long)use->n, wrong);
	} else {
		findings_good(&verify->findings, CHECK_USES);
	}
	boot->last_batch = verify->batch.seq;
	return add_use(boot, use);
}

kms_err book_record(struct kms_verify *verify, struct kms_bytes json)
{
	if (!verify->batch.open || verify->batch.given == verify->batch.expected) {
		return KMS_ERR(ARGUMENT);
	}
	struct model_use use;
	KMS_TRY(tlog_leaf_hash(json, &verify->batch.leaves[verify->batch.given]));
	kms_err err = record_use_read(json, &use);
	bool denials = verify->batch.change.u.use_batch.first == 0;
	if (!kms_is_ok(err) || denials != (use.denied != KMS_CODE_OK) ||
		(!denials && !model_op_is_use(use.op))) {
		findings_fail(&verify->findings, CHECK_USES,
			"batch at entry %llu: record %u does not parse",
			(unsigned long long)verify->batch.seq, verify->batch.given);
		err = kms_is(err, KMS_CODE_NO_MEMORY) ? err : KMS_OK;
	} else if (!denials) {
		err = check_use(verify, &use);
	}
	verify->batch.given++;
	return err;
}

/* The batch's own root, and the running hash that it claims. */
static kms_err check_batch(struct kms_verify *verify)
{
	const struct model_change *change = &verify->batch.change;
	unsigned long long seq = verify->batch.seq;
	char token[KMS_ID_TEXT];
	struct kms_hash root;
	struct book *book;
	(void)kms_id_text(&change->u.use_batch.token, token);
	if (verify->batch.given != verify->batch.expected) {
		findings_fail(&verify->findings, CHECK_USES,
			"token %s, boot %llu, batch at entry %llu: %u records of %u are missing",
			token, (unsigned long long)change->u.use_batch.boot, seq,
			verify->batch.expected - verify->batch.given, verify->batch.expected);
		return KMS_OK;
	}
	KMS_TRY(tlog_root_of(verify->batch.leaves, verify->batch.given, &root));
	if (!kms_hash_equal(&root, &change->u.use_batch.root)) {
		findings_fail(&verify->findings, CHECK_USES,
			"token %s, boot %llu, batch at entry %llu: the records do not have its "
			"root",
			token, (unsigned long long)change->u.use_batch.boot, seq);
	}
	if (change->u.use_batch.first == 0) {
		return KMS_OK;
	}
	KMS_TRY(book_of(verify, &change->u.use_batch.token, &book));
	const struct boot *boot = find_boot(book, change->u.use_batch.boot);
	if (boot == NULL ||
		!kms_hash_equal(&boot->running[boot->count], &change->u.use_batch.running)) {
		findings_fail(&verify->findings, CHECK_USES,
			"token %s, boot %llu, batch at entry %llu: the records do not have the "
			"running "
			"hash that kms-tokend gave",
			token, (unsigned long long)change->u.use_batch.boot, seq);
	}
	return KMS_OK;
}

kms_err book_batch_end(struct kms_verify *verify)
{
	if (!verify->batch.open) {
		return KMS_OK;
	}
	kms_err err = check_batch(verify);
	verify->batch.open = false;
	model_change_free(&verify->batch.change);
	free(verify->batch.leaves);
	verify->batch.leaves = NULL;
	return err;
}

/* ---- statements ---- */

/* Do the records up to that use have that running hash? */
static bool agrees(struct book *book, uint64_t number, uint64_t count,
	const struct kms_hash *running, struct boot **ret_boot)
{
	struct boot *boot = find_boot(book, number);
	*ret_boot = boot;
	return boot != NULL && boot->count >= count &&
	       kms_hash_equal(&boot->running[count], running);
}

static void complain(struct kms_verify *verify, const char *where, const struct book *book,
	const struct boot *boot, uint64_t number, uint64_t count)
{
	char token[KMS_ID_TEXT];
	(void)kms_id_text(&book->token, token);
	if (boot == NULL || boot->count < count) {
		findings_fail(&verify->findings, CHECK_STATEMENTS,
			"token %s, boot %llu: %s counts %llu uses, and only %llu are recorded, the "
			"last of them in the batch at entry %llu",
			token, (unsigned long long)number, where, (unsigned long long)count,
			(unsigned long long)(boot == NULL ? 0 : boot->count),
			(unsigned long long)(boot == NULL ? 0 : boot->last_batch));
		return;
	}
	findings_fail(&verify->findings, CHECK_STATEMENTS,
		"token %s, boot %llu: the records up to use %llu are not those that %s was signed "
		"over; the newest batch is at entry %llu",
		token, (unsigned long long)number, (unsigned long long)count, where,
		(unsigned long long)boot->last_batch);
}

static void check_statement(struct kms_verify *verify, const char *where, struct book *book,
	const struct format_uses *uses)
{
	struct boot *boot;
	if (!agrees(book, uses->boot, uses->count, &uses->running, &boot)) {
		complain(verify, where, book, boot, uses->boot, uses->count);
		return;
	}
	boot->stated = uses->count > boot->stated ? uses->count : boot->stated;
	if (uses->previous_boot != 0) {
		if (!agrees(book, uses->previous_boot, uses->previous_count,
			    &uses->previous_running, &boot)) {
			complain(verify, where, book, boot, uses->previous_boot,
				uses->previous_count);
			return;
		}
		boot->stated =
			uses->previous_count > boot->stated ? uses->previous_count : boot->stated;
	}
	findings_good(&verify->findings, CHECK_STATEMENTS);
}

kms_err book_statement(struct kms_verify *verify, const char *where, struct kms_bytes bytes)
{
	char token[KMS_ID_TEXT];
	struct format_statement statement;
	struct kms_bytes part, signature;
	struct book *book;
	kms_err err = format_statement_read(bytes, &statement, &part, &signature);
	if (!kms_is_ok(err) || statement.type != FORMAT_STATEMENT_USES) {
		findings_fail(&verify->findings, CHECK_STATEMENTS,
			"%s is not a statement over uses", where);
		return KMS_OK;
	}
	const struct trust_token *pinned = trust_find(verify->trust, &statement.token);
	(void)kms_id_text(&statement.token, token);
	if (pinned == NULL) {
		findings_not_shown(&verify->findings, CHECK_STATEMENTS,
			"%s: token %s is not pinned", where, token);
		return KMS_OK;
	}
	err = format_statement_verify(bytes,
		(struct kms_bytes){pinned->statement.spki, pinned->statement.spki_len}, &statement);
	if (!kms_is_ok(err)) {
		findings_fail(&verify->findings, CHECK_STATEMENTS, "%s is not the word of token %s",
			where, token);
		return KMS_OK;
	}
	KMS_TRY(book_of(verify, &statement.token, &book));
	check_statement(verify, where, book, &statement.u.uses);
	return KMS_OK;
}

void books_close(struct kms_verify *verify)
{
	if (verify->clear_uses > 0) {
		findings_not_shown(&verify->findings, CHECK_USES,
			"%llu uses of keys born clear: only kmsd says which principal they were "
			"for",
			(unsigned long long)verify->clear_uses);
	}
	for (const struct book *book = verify->books; book != NULL; book = book->next) {
		for (const struct boot *boot = book->boots; boot != NULL; boot = boot->next) {
			char token[KMS_ID_TEXT];
			if (boot->count > boot->stated) {
				findings_not_shown(&verify->findings, CHECK_STATEMENTS,
					"token %s, boot %llu: uses %llu to %llu are recorded and "
					"not "
					"covered by a pinned token's statement",
					kms_id_text(&book->token, token),
					(unsigned long long)boot->number,
					(unsigned long long)boot->stated + 1,
					(unsigned long long)boot->count);
			}
		}
	}
}
