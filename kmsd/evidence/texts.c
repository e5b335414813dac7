/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed texts of certificates. They say what a software token's word is worth and no more: a
 * change here is a change of what we claim. words.c has their Japanese.
 */
#include "certificate_int.h"

const char *const texts_excluded[] = {
	"Data keys that were handed out before: who still holds one can read what it encrypts.",
	"Copies of a token that were made without kmsd: of its files, its machine, its backups.",
	"Data that was ever stored or copied unencrypted, or under keys that are not listed here.",
	NULL,
};
const char texts_excluded_imported[] =
	"Copies outside the tokens of keys that were imported: their owner made them elsewhere.";
const char texts_excluded_versions[] =
	"Data under other versions of the same keys: these versions were not part of the erasure.";

const char *const texts_not_done[] = {
	"Whether clients kept a copy of a data key that they gave back: a receipt is their own "
	"word.",
	"Whether a token was copied without kmsd: no token can show that it was not.",
	"External time: all times are those of the clocks of kmsd and the tokens' daemons.",
	"Witnesses: nobody else has cosigned the ledger's checkpoint.",
	"Evidence made by the devices themselves (attestations, audit logs): none was imported.",
	"The storage media: they were neither read nor written.",
	NULL,
};

const char texts_recorded[] =
	"For every copy with a removal entry, the daemon of its token signed this: the "
	"key-encryption "
	"key with this id and commitment was destroyed with C_DestroyObject on the word of the "
	"requester and approvers listed here, and a search of the token no longer finds it, by id "
	"or "
	"by commitment. A test decryption that worked before failed afterwards as often as "
	"'verification' says. The signed words stand in the ledger at the entries listed. This is "
	"a "
	"record of what was done and answered. It is no more than that.";

const char texts_recorded_japanese[] =
	"除去の記録がある各複製について、そのトークンのデーモンが次の事実に署名しています。この識別"
	"子と"
	"コミットメントを持つ鍵暗号化鍵が、ここに記載した請求者と承認者の署名に基づき "
	"C_DestroyObject "
	"で破棄され、その後トークンを探索しても、識別子でもコミットメントでも見つからないこと。破棄"
	"前に"
	"成功した試験復号は、「対象と結果」に示す回数だけ、破棄後に失敗しています。署名された文書は"
	"記載の"
	"番号で台帳に記録されています。この証明書は、行われたことと応答の記録であり、それ以上のもの"
	"ではありません。";

const char *const texts_not_claimed[] = {
	"Clear, Purge or Destroy as in NIST SP 800-88 or IEEE 2883",
	"zeroization as in ISO/IEC 19790 or FIPS 140",
	"that the data is unrecoverable",
	"that no other copy of a key exists",
	"a FIPS 140, JCMVP or ISO/IEC 19790 status of any module",
	"that a person has reviewed the erasure and accepted the remaining risk",
	NULL,
};
