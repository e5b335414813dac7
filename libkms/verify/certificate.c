/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.json as a struct: every member there, none besides, RFC 8785 bytes. Whether any of it
 * is true is for the steps.
 */
#include "bundle_int.h"

#include <stdlib.h>
#include <string.h>

enum { INT_MAX_JSON = 53 };
#define SEQ_MAX (((uint64_t)1 << INT_MAX_JSON) - 1)

void certificate_free(struct certificate **certificate)
{
	if (certificate == NULL || *certificate == NULL) {
		return;
	}
	struct certificate *c = *certificate;
	for (size_t i = 0; c->keys != NULL && i < c->key_count; i++) {
		free(c->keys[i].versions);
	}
	free(c->keys);
	free(c->copies);
	free(c->wipes);
	free(c->modules);
	free(c->events);
	free(c->persons);
	doc_free(&c->doc);
	free(c);
	*certificate = NULL;
}

/* Every one of its members was read, and count of them are there: so none is missing that may be
 * null, but must be there. */
static kms_err end(struct doc *object, size_t count)
{
	KMS_TRY(doc_end(object));
	return doc_count(object) == count ? KMS_OK : KMS_ERR(FORMAT);
}

/* A member that may be null; ret_text NULL then. */
static kms_err text_or_null(struct doc *object, const char *name, const char **ret_text)
{
	*ret_text = NULL;
	return doc_has(object, name) ? doc_get_text(object, name, ret_text) : KMS_OK;
}

/* What is repeated to people: short, and no control characters. */
static kms_err word(struct doc *object, const char *name, const char **ret_text)
{
	const char *text;
	KMS_TRY(doc_get_text(object, name, &text));
	if (!kms_is_ok(model_text_check(text, TLOG_NAME_MAX))) {
		return KMS_ERR(FORMAT);
	}
	*ret_text = text;
	return KMS_OK;
}

static kms_err place_or_null(struct doc *object, const char *name, char into[LIMIT_PLACE + 1])
{
	const char *text;
	KMS_TRY(text_or_null(object, name, &text));
	if (text != NULL) {
		if (text[0] == '\0' || !kms_is_ok(model_text_check(text, LIMIT_PLACE))) {
			return KMS_ERR(FORMAT);
		}
		memcpy(into, text, strlen(text) + 1);
	}
	return KMS_OK;
}

static kms_err number_or_null(struct doc *object, const char *name, bool *ret_has, uint64_t *ret)
{
	*ret_has = doc_has(object, name);
	return *ret_has ? doc_get_uint(object, name, SEQ_MAX, ret) : KMS_OK;
}

static kms_err time_of(struct doc *object, const char *name, int64_t *ret_ms)
{
	uint64_t ms;
	KMS_TRY(doc_get_uint(object, name, SEQ_MAX, &ms));
	*ret_ms = (int64_t)ms;
	return KMS_OK;
}

static kms_err numbers(struct doc *object, const char *const *names, size_t count)
{
	uint64_t number;
	for (size_t i = 0; i < count; i++) {
		KMS_TRY(doc_get_uint(object, names[i], SEQ_MAX, &number));
	}
	return KMS_OK;
}

static kms_err texts(struct doc *array)
{
	const char *text;
	for (size_t i = 0; i < doc_count(array); i++) {
		KMS_TRY(doc_item_text(array, i, &text));
	}
	return KMS_OK;
}

static kms_err fixed(struct doc *object, const char *name, const char *wanted)
{
	const char *text;
	KMS_TRY(doc_get_text(object, name, &text));
	return strcmp(text, wanted) == 0 ? KMS_OK : KMS_ERR(FORMAT);
}

/* An array of objects, and room for as many rows; ret_count counts what was read. */
#define LIST(object, name, rows, count, read_row)                                                  \
	__extension__({                                                                            \
		struct doc *list_ = NULL;                                                          \
		kms_err list_err_ = doc_get_array(object, name, &list_);                           \
		if (kms_is_ok(list_err_)) {                                                        \
			(rows) = calloc(doc_count(list_) + 1, sizeof(*(rows)));                    \
			list_err_ = (rows) == NULL ? KMS_ERR(NO_MEMORY) : KMS_OK;                  \
		}                                                                                  \
		for (size_t i_ = 0; kms_is_ok(list_err_) && i_ < doc_count(list_); i_++) {         \
			struct doc *item_ = NULL;                                                  \
			(count) = i_ + 1;                                                          \
			list_err_ = doc_item_object(list_, i_, &item_);                            \
			if (kms_is_ok(list_err_)) {                                                \
				list_err_ = read_row(item_, &(rows)[i_]);                          \
			}                                                                          \
		}                                                                                  \
		list_err_;                                                                         \
	})

/* ---- rows ---- */

static kms_err read_uses(struct doc *key)
{
	static const char *const counts[] = {"datakeys", "wraps", "unwraps", "rewraps"};
	struct doc *uses;
	uint64_t number;
	bool has;
	KMS_TRY(doc_get_object(key, "uses", &uses));
	KMS_TRY(numbers(uses, counts, 4));
	KMS_TRY(number_or_null(uses, "first", &has, &number));
	KMS_TRY(number_or_null(uses, "last", &has, &number));
	return end(uses, 6);
}

static kms_err read_versions(struct doc *item, struct cert_key *key)
{
	struct doc *list;
	KMS_TRY(doc_get_array(item, "versions", &list));
	if (doc_count(list) == 0 || doc_count(list) > LIMIT_KEY_VERSIONS) {
		return KMS_ERR(FORMAT);
	}
	key->versions = calloc(doc_count(list), sizeof(key->versions[0]));
	if (key->versions == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (size_t i = 0; i < doc_count(list); i++) {
		int64_t version;
		KMS_TRY(doc_item_int(list, i, &version));
		int64_t before = i == 0 ? 0 : (int64_t)key->versions[i - 1];
		if (version <= before || version > LIMIT_KEY_VERSIONS) {
			return KMS_ERR(FORMAT);
		}
		key->versions[i] = (uint32_t)version;
		key->version_count++;
	}
	return KMS_OK;
}

static kms_err read_key(struct doc *item, struct cert_key *key)
{
	const char *level;
	KMS_TRY(doc_get_id(item, "id", &key->id));
	KMS_TRY(read_versions(item, key));
	KMS_TRY(word(item, "level", &level));
	if (strlen(level) >= sizeof(key->level)) {
		return KMS_ERR(FORMAT);
	}
	memcpy(key->level, level, strlen(level) + 1);
	KMS_TRY(doc_get_uint(item, "alg_bits", SEQ_MAX, &key->alg_bits));
	KMS_TRY(doc_get_uint(item, "created_seq", SEQ_MAX, &key->created_seq));
	KMS_TRY(time_of(item, "created", &key->created));
	KMS_TRY(number_or_null(item, "destroyed_seq", &key->destroyed, &key->destroyed_seq));
	KMS_TRY(read_uses(item));
	return end(item, 8);
}

static kms_err read_copy(struct doc *item, struct cert_copy *copy)
{
	uint64_t version;
	KMS_TRY(doc_get_id(item, "token", &copy->kek.token));
	KMS_TRY(doc_get_id(item, "kek", &copy->kek.kek));
	KMS_TRY(doc_get_id(item, "key", &copy->kek.key));
	KMS_TRY(doc_get_uint(item, "version", LIMIT_KEY_VERSIONS, &version));
	copy->kek.version = (uint32_t)version;
	KMS_TRY(doc_get_hash(item, "commitment", &copy->kek.commitment));
	KMS_TRY(doc_get_uint(item, "added_seq", SEQ_MAX, &copy->added_seq));
	KMS_TRY(number_or_null(item, "removed_seq", &copy->removed, &copy->removed_seq));
	KMS_TRY(fixed(item, "method", "C_DestroyObject"));
	return end(item, 8);
}

static kms_err read_wipe(struct doc *item, struct cert_wipe *wipe)
{
	KMS_TRY(doc_get_id(item, "token", &wipe->token));
	KMS_TRY(number_or_null(item, "seq", &wipe->done, &wipe->seq));
	return end(item, 2);
}

static kms_err read_module(struct doc *item, struct cert_module *module)
{
	static const char *const others[] = {
		"manufacturer", "model", "firmware", "organisation", "site", "country"};
	char place[LIMIT_PLACE + 1];
	const char *class;
	KMS_TRY(doc_get_id(item, "token", &module->token));
	KMS_TRY(place_or_null(item, "serial", module->serial));
	KMS_TRY(place_or_null(item, "certificate_no", module->certificate_no));
	KMS_TRY(doc_get_text(item, "class", &class));
	if (!kms_is_ok(model_class_parse(class, &module->class))) {
		return KMS_ERR(FORMAT);
	}
	for (size_t i = 0; i < 6; i++) {
		KMS_TRY(place_or_null(item, others[i], place));
	}
	return end(item, 10);
}

static kms_err read_event(struct doc *item, struct cert_event *event)
{
	KMS_TRY(word(item, "type", &event->type));
	KMS_TRY(doc_get_uint(item, "seq", SEQ_MAX, &event->seq));
	KMS_TRY(doc_get_hash(item, "leaf", &event->leaf));
	return end(item, 3);
}

static kms_err read_person(struct doc *item, struct cert_person *person)
{
	KMS_TRY(doc_get_text(item, "role", &person->role));
	person->has_id = doc_has(item, "id");
	if (person->has_id) {
		KMS_TRY(doc_get_id(item, "id", &person->id));
	}
	person->has_spki = doc_has(item, "spki");
	if (person->has_spki) {
		KMS_TRY(doc_get_hash(item, "spki", &person->spki));
	}
	return end(item, 3);
}

/* ---- groups of members ---- */

static kms_err read_head(struct doc *doc, struct certificate *c)
{
	const char *status;
	KMS_TRY(fixed(doc, "v", "kmsd-cert/1"));
	KMS_TRY(fixed(doc, "type", "crypto-erase"));
	KMS_TRY(doc_get_id(doc, "id", &c->id));
	c->has_supersedes = doc_has(doc, "supersedes");
	if (c->has_supersedes) {
		KMS_TRY(doc_get_id(doc, "supersedes", &c->supersedes));
	}
	KMS_TRY(doc_get_text(doc, "status", &status));
	c->final = strcmp(status, "final") == 0;
	return c->final || strcmp(status, "provisional") == 0 ? KMS_OK : KMS_ERR(FORMAT);
}

static kms_err read_parties(struct doc *doc, struct certificate *c)
{
	struct doc *issuer, *vkeys, *tool;
	struct kms_hash customer;
	const char *version;
	KMS_TRY(doc_get_object(doc, "issuer", &issuer));
	KMS_TRY(word(issuer, "log_origin", &c->log_origin));
	KMS_TRY(doc_get_array(issuer, "log_vkeys", &vkeys));
	KMS_TRY(texts(vkeys));
	KMS_TRY(end(issuer, 2));
	KMS_TRY(doc_get_id(doc, "tenant", &c->tenant));
	if (doc_has(doc, "customer")) {
		KMS_TRY(doc_get_hash(doc, "customer", &customer));
	}
	KMS_TRY(doc_get_id(doc, "erasure", &c->erasure));
	KMS_TRY(doc_get_object(doc, "tool", &tool));
	KMS_TRY(doc_get_text(tool, "kmsd", &version));
	return end(tool, 1);
}

static kms_err read_scope(struct doc *doc, struct certificate *c)
{
	struct doc *scope, *excluded;
	const char *kind;
	KMS_TRY(doc_get_object(doc, "scope", &scope));
	KMS_TRY(doc_get_text(scope, "kind", &kind));
	if (!kms_is_ok(model_erase_scope_parse(kind, &c->scope))) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(doc_get_id(scope, "subject", &c->subject));
	KMS_TRY(doc_get_hash(scope, "plan", &c->plan));
	KMS_TRY(word(scope, "plaintext_before", &c->words.plaintext_before));
	KMS_TRY(doc_get_array(scope, "excluded", &excluded));
	KMS_TRY(texts(excluded));
	return end(scope, 5);
}

static kms_err read_leases(struct doc *doc, struct cert_leases *ret_leases)
{
	struct doc *leases;
	uint64_t last_end;
	KMS_TRY(doc_get_object(doc, "leases", &leases));
	KMS_TRY(doc_get_uint(leases, "handed_out", SEQ_MAX, &ret_leases->handed_out));
	KMS_TRY(doc_get_uint(leases, "returned", SEQ_MAX, &ret_leases->returned));
	KMS_TRY(doc_get_uint(leases, "clients", SEQ_MAX, &ret_leases->clients));
	KMS_TRY(number_or_null(leases, "last_end", &ret_leases->has_last_end, &last_end));
	ret_leases->last_end = ret_leases->has_last_end ? (int64_t)last_end : 0;
	KMS_TRY(time_of(leases, "seen", &ret_leases->seen));
	return end(leases, 5);
}

static kms_err read_beside(struct doc *doc, struct certificate *c)
{
	struct doc *backups, *known;
	const char *text;
	KMS_TRY(read_leases(doc, &c->leases));
	KMS_TRY(doc_get_object(doc, "backups", &backups));
	KMS_TRY(doc_get_array(backups, "known", &known));
	KMS_TRY(doc_get_text(backups, "statement", &text));
	/* What kmsd knows of backups in this version: none. */
	return doc_count(known) == 0 ? end(backups, 2) : KMS_ERR(FORMAT);
}

static kms_err read_words(struct doc *doc, struct cert_words *words)
{
	struct doc *part;
	KMS_TRY(word(doc, "claim_level", &words->claim_level));
	KMS_TRY(word(doc, "copies_complete", &words->copies_complete));
	KMS_TRY(word(doc, "method", &words->method));
	KMS_TRY(word(doc, "technique", &words->technique));
	KMS_TRY(doc_get_object(doc, "zeroization", &part));
	KMS_TRY(word(part, "call", &words->zeroization_call));
	KMS_TRY(word(part, "standard", &words->zeroization_standard));
	KMS_TRY(end(part, 2));
	KMS_TRY(doc_get_object(doc, "validation", &part));
	KMS_TRY(word(part, "status", &words->validation));
	KMS_TRY(end(part, 1));
	KMS_TRY(doc_get_text(doc, "statement", &words->statement));
	KMS_TRY(doc_get_array(doc, "not_claimed", &words->not_claimed));
	return texts(words->not_claimed);
}

static kms_err read_course(struct doc *doc, struct certificate *c)
{
	struct doc *part;
	uint64_t executed;
	KMS_TRY(time_of(doc, "requested", &c->requested));
	KMS_TRY(time_of(doc, "not_before", &c->not_before));
	KMS_TRY(time_of(doc, "expires", &c->expires));
	KMS_TRY(number_or_null(doc, "executed", &c->has_executed, &executed));
	c->executed = c->has_executed ? (int64_t)executed : 0;
	KMS_TRY(doc_get_object(doc, "verification", &part));
	KMS_TRY(doc_get_uint(part, "absent", SEQ_MAX, &c->absent));
	KMS_TRY(doc_get_uint(part, "canary_failed", SEQ_MAX, &c->canary_failed));
	KMS_TRY(end(part, 2));
	KMS_TRY(doc_get_array(doc, "verification_not_done", &part));
	KMS_TRY(texts(part));
	KMS_TRY(doc_get_object(doc, "time", &part));
	/* External time is not recorded in this version. */
	if (doc_has(part, "not_before") || doc_has(part, "not_after")) {
		return KMS_ERR(FORMAT);
	}
	KMS_TRY(end(part, 2));
	return number_or_null(doc, "approvals_needed", &c->has_needed, &c->needed);
}

static kms_err read_lists(struct doc *doc, struct certificate *c)
{
	KMS_TRY(LIST(doc, "keys", c->keys, c->key_count, read_key));
	KMS_TRY(LIST(doc, "copies", c->copies, c->copy_count, read_copy));
	KMS_TRY(LIST(doc, "wipes", c->wipes, c->wipe_count, read_wipe));
	KMS_TRY(LIST(doc, "modules", c->modules, c->module_count, read_module));
	KMS_TRY(LIST(doc, "events", c->events, c->event_count, read_event));
	return LIST(doc, "persons", c->persons, c->person_count, read_person);
}

static kms_err read_all(struct doc *doc, struct certificate *c)
{
	enum { MEMBERS = 36 };
	struct doc *media;
	KMS_TRY(read_head(doc, c));
	KMS_TRY(read_parties(doc, c));
	KMS_TRY(read_scope(doc, c));
	KMS_TRY(doc_get_object(doc, "media", &media));
	KMS_TRY(certificate_read_media(media, &c->dataset_count));
	KMS_TRY(read_beside(doc, c));
	KMS_TRY(read_words(doc, &c->words));
	KMS_TRY(read_course(doc, c));
	KMS_TRY(read_lists(doc, c));
	return end(doc, MEMBERS);
}

/* ---- all of it ---- */

static kms_err check_canonical(struct kms_bytes json, const struct doc *doc)
{
	KMS_AUTO_BUF again = {0};
	KMS_TRY(doc_write(doc, &again));
	return kms_bytes_equal(json, kms_buf_bytes(&again)) ? KMS_OK : KMS_ERR(FORMAT);
}

/* The member that the first problem is about, of a stranger's document: in plain ASCII. */
static void member_of(const struct doc *doc, char ret_member[CERTIFICATE_MEMBER_MAX])
{
	const char *problem = doc_problem(doc);
	const char *end = strstr(problem, ": ");
	size_t len = end == NULL ? 0 : (size_t)(end - problem);
	len = len < CERTIFICATE_MEMBER_MAX ? len : CERTIFICATE_MEMBER_MAX - 1;
	for (size_t i = 0; i < len; i++) {
		ret_member[i] = problem[i] > ' ' && problem[i] < 0x7f ? problem[i] : '?';
	}
	ret_member[len] = '\0';
}

kms_err certificate_read(struct kms_bytes json, struct certificate **ret_certificate,
	struct why *ret_why, char ret_member[CERTIFICATE_MEMBER_MAX])
{
	KMS_AUTO(certificate) c = calloc(1, sizeof(*c));
	struct why why = WHY("it is no JSON object", "JSON オブジェクトではない");
	if (c == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	ret_member[0] = '\0';
	kms_err err = doc_parse(json, LIMIT_BUNDLE_BYTES, &c->doc);
	if (kms_is_ok(err)) {
		why = WHY("a member is missing, unknown, or not of its form",
			"項目が欠けているか、未知か、形式が異なる");
		err = read_all(c->doc, c);
		member_of(c->doc, ret_member);
	}
	if (kms_is_ok(err)) {
		why = WHY("it is not in RFC 8785 form", "RFC 8785 の形式ではない");
		err = check_canonical(json, c->doc);
	}
	if (kms_is_ok(err)) {
		*ret_certificate = kms_take(&c);
		return KMS_OK;
	}
	*ret_why = why;
	return kms_is(err, KMS_CODE_NO_MEMORY) ? err : KMS_ERR(FORMAT);
}

const struct cert_key *certificate_key(
	const struct certificate *certificate, const struct kms_id *key)
{
	for (size_t i = 0; i < certificate->key_count; i++) {
		if (kms_id_equal(&certificate->keys[i].id, key)) {
			return &certificate->keys[i];
		}
	}
	return NULL;
}

const struct cert_copy *certificate_copy(
	const struct certificate *certificate, const struct kms_id *token, const struct kms_id *kek)
{
	for (size_t i = 0; i < certificate->copy_count; i++) {
		const struct cert_copy *copy = &certificate->copies[i];
		if (kms_id_equal(&copy->kek.kek, kek) && kms_id_equal(&copy->kek.token, token)) {
			return copy;
		}
	}
	return NULL;
}

bool certificate_key_has(const struct cert_key *key, uint32_t version)
{
	for (uint32_t i = 0; i < key->version_count; i++) {
		if (key->versions[i] == version) {
			return true;
		}
	}
	return false;
}
