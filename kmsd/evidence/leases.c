/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was handed out under the key versions of an erasure and is on lease, as plans and
 * certificates say it. Runs in kmsd. It must never count a data key as given back that no receipt
 * gave back: whose lease is over is still among those that were not.
 */
#include "evidence_int.h"

#include <stdlib.h>
#include <string.h>

static kms_err add_clients(struct lease_counts *counts, struct store *store,
	const struct kms_id *key, uint32_t version)
{
	struct kms_id *found KMS_AUTO_FREE = NULL;
	size_t count = 0, bytes = 0;
	KMS_TRY(store_lease_clients(store, key, version, &found, &count));
	KMS_TRY(kms_size_mul(counts->client_count + count + 1, sizeof(*found), &bytes));
	struct kms_id *more = realloc(counts->clients, bytes);
	if (more == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	counts->clients = more;
	for (size_t i = 0; i < count; i++) {
		bool known = false;
		for (size_t j = 0; j < counts->client_count && !known; j++) {
			known = kms_id_equal(&counts->clients[j], &found[i]);
		}
		if (!known) {
			counts->clients[counts->client_count++] = found[i];
		}
	}
	return KMS_OK;
}

static kms_err add_version(struct lease_counts *counts, struct store *store,
	const struct kms_id *key, uint32_t version)
{
	struct store_lease_sum sum;
	KMS_TRY(store_lease_sum(store, key, version, &sum));
	counts->handed_out += sum.granted;
	counts->returned += sum.returned;
	if (sum.last_end_unix_ms > counts->last_end_unix_ms) {
		counts->last_end_unix_ms = sum.last_end_unix_ms;
	}
	return add_clients(counts, store, key, version);
}

/* Each version once, although it is in several tokens. */
static bool is_first(const struct format_erase *erase, uint32_t at, bool versions)
{
	const struct format_erase_kek *kek = &erase->keks[at];
	for (uint32_t i = 0; i < at; i++) {
		if (kms_id_equal(&erase->keks[i].key, &kek->key) &&
			(!versions || erase->keks[i].version == kek->version)) {
			return false;
		}
	}
	return true;
}

kms_err lease_counts_of(
	struct store *store, const struct format_erase *erase, struct lease_counts *counts)
{
	/* Of a key as a whole also what earlier erasures of its versions left behind. */
	bool versions = erase->scope == MODEL_ERASE_VERSIONS;
	for (uint32_t i = 0; i < erase->kek_count; i++) {
		if (is_first(erase, i, versions)) {
			KMS_TRY(add_version(counts, store, &erase->keks[i].key,
				versions ? erase->keks[i].version : 0));
		}
	}
	return KMS_OK;
}

void lease_counts_free(struct lease_counts *counts)
{
	free(counts->clients);
	*counts = (struct lease_counts){0};
}

bool lease_counts_are_over(const struct lease_counts *counts, int64_t now_unix_ms)
{
	return counts->last_end_unix_ms <= now_unix_ms;
}

void lease_counts_write(const struct lease_counts *counts, int64_t seen_unix_ms, struct doc *object)
{
	struct doc *leases = doc_set_object(object, "leases");
	doc_set_int(leases, "handed_out", (int64_t)counts->handed_out);
	doc_set_int(leases, "returned", (int64_t)counts->returned);
	doc_set_int(leases, "clients", (int64_t)counts->client_count);
	if (counts->last_end_unix_ms == 0) {
		doc_set_null(leases, "last_end");
	} else {
		doc_set_int(leases, "last_end", counts->last_end_unix_ms);
	}
	doc_set_int(leases, "seen", seen_unix_ms);
}

kms_err evidence_leases_over(
	const struct evidence_parts *parts, const struct model_erasure *erasure, bool *ret_over)
{
	LEASE_COUNTS_AUTO counts = {0};
	KMS_AUTO(format_erase) erase = NULL;
	KMS_TRY(format_erase_read(kms_buf_bytes(&erasure->bytes), &erase));
	KMS_TRY(lease_counts_of(parts->store, erase, &counts));
	*ret_over = lease_counts_are_over(&counts, kms_now_unix_ms());
	return KMS_OK;
}
