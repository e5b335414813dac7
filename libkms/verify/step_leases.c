/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of step 6: data keys on lease. Each receipt in the bundle is the word of a storage system about
 * the keys of this erasure, and what the certificate counts does not contradict itself or them.
 */
#include "bundle_int.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- one receipt ---- */

/* How much it gives back of what the certificate counts. */
static uint64_t counted(const struct format_erase *erase, const struct format_receipt *receipt)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < receipt->row_count; i++) {
		bool named = false;
		for (uint32_t j = 0; j < erase->kek_count && !named; j++) {
			named = kms_id_equal(&erase->keks[j].key, &receipt->rows[i].key) &&
				erase->keks[j].version == receipt->rows[i].version;
		}
		count += named ? receipt->rows[i].count : 0;
	}
	return count;
}

static kms_err check_issuer(
	struct bundle *bundle, const struct proven *entry, const struct crypto_cert *cert)
{
	bool storage = false;
	KMS_TRY(crypto_cert_has_purpose(cert, CRYPTO_PURPOSE_STORAGE, &storage));
	if (!storage) {
		step_fail(bundle, 6, "entry %llu: the receipt's signer is no storage system",
			"記録 %llu 番：削除報告の署名者はストレージ装置ではない", (ull)entry->seq);
	}
	if (bundle->trust->tenant_ca == NULL) {
		return KMS_OK; /* step_leases notes it, once */
	}
	kms_err err = crypto_cert_check(cert, bundle->trust->tenant_ca, entry->head.unix_ms / 1000);
	if (kms_is(err, KMS_CODE_DENIED)) {
		step_fail(bundle, 6,
			"entry %llu: the receipt's certificate was not valid under the pinned CA",
			"記録 %llu "
			"番：削除報告の証明書は固定した認証局の有効な証明書ではなかった",
			(ull)entry->seq);
		return KMS_OK;
	}
	return err;
}

/* Whose signature it is, and under whose CA. */
static kms_err check_signer(struct bundle *bundle, const struct proven *entry)
{
	KMS_AUTO(crypto_cert) cert = NULL;
	kms_err err = receipt_signer(&entry->change, &cert);
	if (kms_is(err, KMS_CODE_NO_MEMORY)) {
		return err;
	}
	if (!kms_is_ok(err)) {
		step_fail(bundle, 6,
			"entry %llu: the receipt is not signed by the certificate beside it",
			"記録 %llu 番：削除報告の署名は添付の証明書によるものではない",
			(ull)entry->seq);
		return KMS_OK;
	}
	return check_issuer(bundle, entry, cert);
}

/* The same number of the same holder again would count twice. */
static bool came_before(const struct evidence *evidence, const struct proven *entry,
	const struct format_receipt *receipt)
{
	for (size_t i = 0; i < evidence->count && evidence->entries[i] != entry; i++) {
		const struct proven *other = evidence->entries[i];
		KMS_AUTO(format_receipt) before = NULL;
		if (other->read && other->change.type == MODEL_CHANGE_LEASE_RECEIPT &&
			kms_id_equal(&other->change.actor, &entry->change.actor) &&
			kms_is_ok(format_receipt_read(
				kms_buf_bytes(&other->change.u.lease_receipt.bytes), &before)) &&
			kms_id_equal(&before->holder, &receipt->holder) &&
			before->number >= receipt->number) {
			return true;
		}
	}
	return false;
}

static kms_err check_receipt(
	struct bundle *bundle, const struct proven *entry, uint64_t *given_back)
{
	const struct evidence *evidence = bundle->evidence;
	KMS_AUTO(format_receipt) receipt = NULL;
	/* It parsed as an entry, and so as a receipt. */
	KMS_TRY(format_receipt_read(kms_buf_bytes(&entry->change.u.lease_receipt.bytes), &receipt));
	if (counted(evidence->erase, receipt) == 0) {
		step_fail(bundle, 6, "entry %llu: the receipt is about none of these keys",
			"記録 %llu 番：削除報告はこの消去の鍵に関するものではない",
			(ull)entry->seq);
	}
	if (came_before(evidence, entry, receipt)) {
		step_fail(bundle, 6, "entry %llu: a receipt with its number stands before it",
			"記録 %llu 番：同じ番号の削除報告がすでにある", (ull)entry->seq);
	}
	*given_back += counted(evidence->erase, receipt);
	return check_signer(bundle, entry);
}

/* ---- what the certificate counts ---- */

static void check_counts(struct bundle *bundle, uint64_t shown)
{
	const struct cert_leases *leases = &bundle->certificate->leases;
	const struct proven *issue = bundle->evidence->issue;
	bool all = leases->returned == leases->handed_out;
	if (leases->returned > leases->handed_out || all != (leases->clients == 0) ||
		all != !leases->has_last_end ||
		leases->clients > leases->handed_out - leases->returned) {
		step_fail(bundle, 6, "the certificate's counts of leases contradict one another",
			"証明書の貸出しの数が互いに矛盾する");
	}
	if (shown > leases->returned) {
		step_fail(bundle, 6,
			"the receipts give back %llu data keys, the certificate counts %llu",
			"削除報告のデータ鍵は %llu 個だが、証明書の返却数は %llu 個", (ull)shown,
			(ull)leases->returned);
	}
	if (issue != NULL && issue->read && leases->seen > issue->head.unix_ms) {
		step_fail(bundle, 6, "the certificate counts leases after it was issued",
			"証明書は発行後の時点の貸出しを数えている");
	}
}

static void note_rest(struct bundle *bundle, uint64_t shown)
{
	const struct cert_leases *leases = &bundle->certificate->leases;
	char end[KMS_TIME_TEXT];
	if (leases->has_last_end && leases->last_end > leases->seen) {
		step_not_shown(bundle, 6,
			"a data key is on lease until %s, and the certificate says so",
			"データ鍵の貸出しが %s まで続き、証明書もそう述べている",
			kms_time_text(leases->last_end, end));
	}
	if (leases->returned > shown) {
		bundle_note(bundle,
			"the receipts for %llu of %llu data keys that were given back: they are in "
			"the "
			"ledger, not here",
			"%llu 個（返却 %llu 個中）のデータ鍵の削除報告：台帳にあり、ここにはない",
			(ull)(leases->returned - shown), (ull)leases->returned);
	}
	if (leases->returned < leases->handed_out) {
		bundle_note(bundle,
			"that the %llu data keys which nobody gave back are gone: their leases "
			"only "
			"say when they should be",
			"返却されていない %llu "
			"個のデータ鍵が消えたこと：貸出しが示すのは消えるべき日時のみ",
			(ull)(leases->handed_out - leases->returned));
	}
}

kms_err step_leases(struct bundle *bundle)
{
	const struct evidence *evidence = bundle->evidence;
	uint64_t shown = 0;
	bool receipts = false;
	for (size_t i = 0; i < evidence->count; i++) {
		const struct proven *entry = evidence->entries[i];
		if (entry->read && entry->change.type == MODEL_CHANGE_LEASE_RECEIPT) {
			KMS_TRY(check_receipt(bundle, entry, &shown));
			receipts = true;
		}
	}
	if (receipts && bundle->trust->tenant_ca == NULL) {
		bundle_note(bundle,
			"that the receipts are by storage systems of the tenant's CA: the trust "
			"file does not pin it",
			"削除報告がテナントの認証局の装置によるものであること：信頼ファイルにない");
	}
	check_counts(bundle, shown);
	note_rest(bundle, shown);
	return KMS_OK;
}
