/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KEK's life as far as kmsd may ask for it: born, committed, abandoned. A birth binds it to
 * tenant, key id, version, custody and delivery for ever. A born KEK cannot be used before kmsd
 * says, from its ledger, that the birth is recorded; a committed one cannot be abandoned.
 */
#include "keks_int.h"

#include <string.h>

static bool same_birth(const struct tokend *tokend, const struct format_birth *birth,
	const struct model_bear *bear)
{
	return kms_id_equal(&tokend->owner->tenant, &bear->tenant) &&
	       kms_id_equal(&birth->key, &bear->key) && birth->version == bear->version &&
	       birth->custody == bear->custody && birth->delivery == bear->delivery &&
	       birth->token_count == bear->token_count &&
	       memcmp(birth->tokens, bear->tokens, bear->token_count * sizeof(bear->tokens[0])) ==
		       0;
}

/* Custody and delivery are fixed when the key is born: by its first committed KEK. */
static bool keeps_to(
	const struct kek *first, enum model_custody custody, enum model_delivery delivery)
{
	return first == NULL ||
	       (first->birth.custody == custody && first->birth.delivery == delivery);
}

/* Is this token among them, and each once? A share twice in one token is no separation. */
static bool are_custodians(const struct tokend *tokend, const struct model_bear *bear)
{
	bool mine = false;
	for (uint32_t i = 0; i < bear->token_count; i++) {
		mine = mine || kms_id_equal(&bear->tokens[i], &tokend->token);
		for (uint32_t k = 0; k < i; k++) {
			if (kms_id_equal(&bear->tokens[i], &bear->tokens[k])) {
				return false;
			}
		}
	}
	return mine;
}

/* May a KEK like this be born here at all? */
static kms_err check_bear(struct tokend *tokend, const struct model_bear *bear)
{
	bool clear_allowed = bear->delivery == MODEL_DELIVERY_SEALED || tokend->owner->clear;
	if (tokend->owner->system || !are_custodians(tokend, bear) || !clear_allowed ||
		!kms_id_equal(&bear->tenant, &tokend->owner->tenant) || bear->version == 0 ||
		kms_id_is_zero(&bear->kek) || kms_id_is_zero(&bear->key)) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	const struct kek *newest = keks_newest(tokend->keks, &bear->key);
	if (!keeps_to(newest, bear->custody, bear->delivery) ||
		(newest != NULL && bear->version <= newest->birth.version)) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	return tokend->keks->count < LIMIT_KEYS ? KMS_OK : KMS_ERR(TOO_LARGE);
}

static struct format_attributes attributes_of(const struct p11_kek_facts *facts)
{
	/* What the token does not know is stated as the weaker answer. */
	return (struct format_attributes){
		.sensitive = facts->sensitive,
		.always_sensitive = facts->always_sensitive,
		.extractable = facts->extractable,
		.never_extractable = facts->never_extractable,
		.local = facts->local,
		.copyable = facts->copyable != P11_NO,
		.destroyable = facts->destroyable != P11_NO,
		.modifiable = facts->modifiable != P11_NO,
	};
}

static kms_err state_birth(struct tokend *tokend, const struct model_bear *bear,
	const struct p11_kek_facts *facts, struct format_birth *ret_birth,
	struct kms_buf *ret_statement)
{
	struct format_statement statement = {
		.type = FORMAT_STATEMENT_BIRTH,
		.token = tokend->token,
		.tenant = tokend->owner->tenant,
		.unix_ms = kms_now_unix_ms(),
		.u.birth =
			{
				.key = bear->key,
				.version = bear->version,
				.kek = bear->kek,
				.custody = bear->custody,
				.delivery = bear->delivery,
				.token_count = bear->token_count,
				.commitment = facts->commitment,
				.attributes = attributes_of(facts),
			},
	};
	memcpy(statement.u.birth.tokens, bear->tokens, bear->token_count * sizeof(bear->tokens[0]));
	KMS_TRY(tokend_sign_statement(tokend, &statement, ret_statement));
	*ret_birth = statement.u.birth;
	return KMS_OK;
}

/* Intent, KEK, birth: each durable before the next. */
static kms_err make_and_state(struct tokend *tokend, const struct model_bear *bear,
	struct p11_kek *ret_object, struct format_birth *ret_birth, struct kms_buf *ret_statement)
{
	struct p11_kek_facts facts;
	char name[KEKS_FILE_BYTES];
	KMS_TRY(keks_intend(tokend, &bear->kek));
	KMS_TRY(p11_kek_generate(tokend->p11, &bear->kek, ret_object, &facts));
	KMS_TRY(state_birth(tokend, bear, &facts, ret_birth, ret_statement));
	KMS_TRY(state_write(&tokend->state, keks_file(&bear->kek, "birth", name),
		kms_buf_bytes(ret_statement)));
	KMS_IGNORE(keks_intent_end(tokend, &bear->kek)); /* a start does it again */
	return KMS_OK;
}

kms_err keks_bear(
	struct tokend *tokend, const struct model_bear *bear, struct kms_bytes *ret_statement)
{
	struct kek *kek = keks_find(tokend->keks, &bear->kek);
	if (kek != NULL) {
		if (kek->life == KEK_ABANDONED || !same_birth(tokend, &kek->birth, bear)) {
			return KMS_ERR(EXISTS);
		}
		*ret_statement = kms_buf_bytes(&kek->statement);
		return KMS_OK;
	}
	if (tokend->wiped) {
		return KMS_ERR(ERASED);
	}
	KMS_TRY(check_bear(tokend, bear));
	struct p11_kek object;
	struct format_birth birth;
	KMS_AUTO_BUF statement = {0};
	kms_err err = make_and_state(tokend, bear, &object, &birth, &statement);
	if (!kms_is_ok(err)) {
		/* No durable birth: it was never born. What cannot be unmade now, a start sweeps.
		 */
		KMS_IGNORE(keks_unmake(tokend, &bear->kek));
		return err;
	}
	KMS_TRY(keks_add(tokend->keks, &birth, &statement, KEK_BORN, &kek));
	kek->object = object;
	*ret_statement = kms_buf_bytes(&kek->statement);
	return KMS_OK;
}

kms_err keks_commit(struct tokend *tokend, const struct kms_id *id)
{
	struct kek *kek = keks_find(tokend->keks, id);
	if (kek == NULL || kek->life == KEK_ABANDONED) {
		return KMS_ERR(NOT_FOUND);
	}
	if (kek->life == KEK_BORN) {
		/* Two may have been born before either was committed. An older version may still
		 * come late: it is never the newest. */
		const struct format_birth *birth = &kek->birth;
		const struct kek *newest = keks_newest(tokend->keks, &birth->key);
		char name[KEKS_FILE_BYTES];
		if (!keeps_to(newest, birth->custody, birth->delivery) ||
			(newest != NULL && newest->birth.version == birth->version)) {
			return KMS_ERR(TOKEN_REFUSED);
		}
		KMS_TRY(state_write(
			&tokend->state, keks_file(id, "live", name), (struct kms_bytes){0}));
		kek->life = KEK_COMMITTED;
	}
	return keks_note_committed(tokend->keks, kek); /* again changes nothing */
}

kms_err keks_abandon(struct tokend *tokend, const struct kms_id *id)
{
	struct kek *kek = keks_find(tokend->keks, id);
	if (kek == NULL) {
		bool intended; /* else never begun here, or swept */
		KMS_TRY(keks_has_mark(tokend, id, "intent", &intended));
		return intended ? keks_unmake(tokend, id) : KMS_OK;
	}
	if (kek->life != KEK_BORN && kek->life != KEK_ABANDONED) {
		return KMS_ERR(TOKEN_REFUSED);
	}
	char name[KEKS_FILE_BYTES];
	if (kek->life == KEK_BORN) {
		KMS_TRY(state_write(
			&tokend->state, keks_file(id, "abandoned", name), (struct kms_bytes){0}));
		kek->life = KEK_ABANDONED;
	}
	kms_err err = p11_kek_destroy(tokend->p11, id);
	return kms_is(err, KMS_CODE_NOT_FOUND) ? KMS_OK : err;
}

kms_err keks_count_wrap(struct tokend *tokend, struct kek *kek)
{
	if (kek->wraps == kek->reserved) {
		if (kek->reserved > LIMIT_WRAPS - LIMIT_WRAP_BLOCK) {
			return KMS_ERR(BUDGET);
		}
		char name[KEKS_FILE_BYTES];
		KMS_TRY(state_write_u64(&tokend->state, keks_file(&kek->birth.kek, "wraps", name),
			kek->reserved + LIMIT_WRAP_BLOCK));
		kek->reserved += LIMIT_WRAP_BLOCK;
	}
	kek->wraps++;
	return KMS_OK;
}
