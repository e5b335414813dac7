/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of the view in Japanese, by their English. A text that stands in no row (of an older
 * or newer kmsd) is shown as it is. Runs in kmsd.
 */
#include "certificate_int.h"

#include <stdlib.h>
#include <string.h>

static const struct word {
	const char *english;
	const char *japanese;
} words[] = {
	/* the head */
	{"Certificate of key erasure", "鍵消去証明書"},
	{"final", "確定"},
	{"provisional", "暫定"},
	{"Every copy listed here is destroyed, and every wipe is done.",
		"ここに記載したすべての鍵の複製が破棄され、すべてのトークン初期化が完了しています"
		"。"},
	{"Something is still open: this certificate will be superseded.",
		"完了していない処理があります。この証明書は後の証明書に置き換えられます。"},
	{"Claim level", "主張の水準"},
	{"recorded", "recorded(記録された事実のみ)"},
	{"asserted", "asserted(表明)"},
	{"evidenced", "evidenced(証拠あり)"},
	{"Certificate", "証明書"},
	{"Supersedes", "置き換える証明書"},
	{"Erasure", "消去手続"},
	{"Tenant", "テナント"},
	{"Customer (salted SHA-256 of the name)", "顧客(名称のソルト付き SHA-256)"},
	{"Requested", "消去の請求"},
	{"Not before (end of the waiting window)", "実行可能日時(待機期間の終わり)"},
	{"Approvals expire", "承認の有効期限"},
	{"Last destruction recorded", "最後の破棄の記録"},
	{"Approvals needed", "必要な承認数"},
	{"Technique (CE: crypto-erase)", "技法(CE:暗号化消去)"},
	{"Method of SP 800-88", "SP 800-88 の方式"},
	{"none claimed", "主張しない"},
	/* scope and result */
	{"Scope and result", "対象と結果"},
	{"What was erased", "消去の対象"},
	{"versions", "鍵の版"},
	{"key", "鍵"},
	{"dataset", "データセット(専用の鍵)"},
	{"tenant", "テナント全体"},
	{"Subject", "対象の識別子"},
	{"Plan (SHA-256)", "消去計画(SHA-256)"},
	{"Stored unencrypted before", "暗号化前の平文保存"},
	{"unknown", "不明"},
	{"Copies searched for and not found", "探索して見つからなかった複製の数"},
	{"Test decryptions that failed afterwards", "破棄後に失敗した試験復号の数"},
	{"Data keys handed out", "引き渡したデータ鍵の数"},
	{"Of these given back by signed receipts", "うち署名付き削除報告で返却された数"},
	{"Clients that did not give all back", "すべてを返却していないクライアントの数"},
	{"Leases as seen at", "貸出しの確認日時"},
	{"Last possible end of a lease", "貸出しが終わり得る最も遅い日時"},
	{"Backups", "バックアップ"},
	{"kmsd makes no backups of tokens and knows of none; a copy that somebody else made of a "
	 "token is outside this plan",
		"kmsd "
		"はトークンのバックアップを作らず、その存在も知りません。他の者が作ったトークンの"
		"複製は計画の対象外です。"},
	/* persons */
	{"Persons and daemons", "関与した者と機器"},
	{"Role", "役割"},
	{"Id", "識別子"},
	{"Public key (SHA-256 of the SPKI)", "公開鍵(SPKI の SHA-256)"},
	{"requester", "請求者"},
	{"approver", "承認者"},
	{"executor", "実行者"},
	{"verifier", "検証者(トークンのデーモン)"},
	{"validator", "妥当性確認者"},
	/* keys */
	{"Keys", "鍵"},
	{"Key", "鍵"},
	{"Versions", "版"},
	{"Level", "種別"},
	{"wrapping key", "鍵暗号化鍵"},
	{"AES bits", "AES ビット長"},
	{"Created", "生成日時"},
	{"Entry of creation", "生成の記録番号"},
	{"Entry of destruction", "破棄の記録番号"},
	{"Copies of the keys", "鍵の複製"},
	{"Token", "トークン"},
	{"Key-encryption key", "鍵暗号化鍵(KEK)"},
	{"Version", "版"},
	{"Commitment", "コミットメント"},
	{"Entry of birth", "誕生の記録番号"},
	{"Entry of removal", "除去の記録番号"},
	{"Uses of the keys", "鍵の利用"},
	{"Data keys made", "データ鍵の生成"},
	{"Data keys wrapped", "データ鍵の暗号化"},
	{"Data keys unwrapped", "データ鍵の復号"},
	{"Data keys rewrapped", "データ鍵の再暗号化"},
	{"First use", "最初の利用"},
	{"Last use", "最後の利用"},
	/* places */
	{"Tokens", "トークン"},
	{"Manufacturer", "製造者"},
	{"Model", "型式"},
	{"Serial", "製造番号"},
	{"Firmware", "ファームウェア"},
	{"Class", "区分"},
	{"software", "ソフトウェア"},
	{"hsm", "HSM"},
	{"Validation no.", "認証番号"},
	{"Owner", "所有組織"},
	{"Site", "設置場所"},
	{"Country", "国"},
	{"Tokens wiped", "初期化したトークン"},
	{"Entry of the wipe", "初期化の記録番号"},
	{"Datasets", "データセット"},
	{"Dataset", "データセット"},
	{"Datasets under these keys", "これらの鍵の下のデータセット数"},
	{"All of them (SHA-256)", "全件の SHA-256"},
	{"Kind", "種類"},
	{"Encrypted since", "暗号化の開始"},
	{"none", "なし"},
	/* events */
	{"Events in the ledger", "台帳の記録"},
	{"Entry", "記録番号"},
	{"Event", "事象"},
	{"Leaf hash", "リーフハッシュ"},
	{"destroy.request", "請求 destroy.request"},
	{"destroy.approve", "承認 destroy.approve"},
	{"destroy.cancel", "取消し destroy.cancel"},
	{"destroy.execute.intent", "実行の開始 destroy.execute.intent"},
	{"destroy.execute.result", "破棄の結果 destroy.execute.result"},
	{"destroy.wipe", "トークンの初期化 destroy.wipe"},
	{"destroy.final", "完了 destroy.final"},
	{"Ledger", "台帳"},
	/* validation */
	{"Validation", "妥当性確認"},
	{"A person reviews this erasure and decides about the remaining risk. kmsd cannot do this.",
		"人がこの消去を審査し、残存リスクについて判断します。kmsd にはできません。"},
	{"Decision (accept or reject) and remaining risk", "判断(受入れ・却下)と残存リスク"},
	{"Name and title", "氏名・役職"},
	{"Organisation, place", "組織・場所"},
	{"Date and signature", "日付・署名"},
	{"This page is a view of certificate.json and proves nothing by itself. To verify the "
	 "bundle "
	 "it came in, offline: kms verify BUNDLE --trust TRUSTFILE, or the steps in VERIFY.txt.",
		"このページは certificate.json "
		"の表示であり、それ自体は何も証明しません。一式の検証はオフラインで kms verify "
		"BUNDLE --trust TRUSTFILE、または VERIFY.txt の手順で行えます。"},
	/* the fixed texts */
	{"This certificate does not claim", "この証明書が主張しないこと"},
	{"Not covered", "対象外"},
	{"Not verified", "検証していないこと"},
	{"Data keys that were handed out before: who still holds one can read what it encrypts.",
		"以前に引き渡したデータ鍵。これを今も保持する者は、その鍵で暗号化されたデータを読め"
		"ます。"},
	{"Copies of a token that were made without kmsd: of its files, its machine, its backups.",
		"kmsd を介さずに作られたトークンの複製(ファイル、機器、バックアップの複製)。"},
	{"Data that was ever stored or copied unencrypted, or under keys that are not listed here.",
		"一度でも平文で、またはここに記載のない鍵で保存・複製されたデータ。"},
	{"Copies outside the tokens of keys that were imported: their owner made them elsewhere.",
		"取り込まれた鍵のトークン外の複製。所有者が別の場所で作った鍵です。"},
	{"Data under other versions of the same keys: these versions were not part of the erasure.",
		"同じ鍵の他の版で暗号化されたデータ。それらの版は今回の消去の対象ではありません。"},
	{"Whether clients kept a copy of a data key that they gave back: a receipt is their own "
	 "word.",
		"クライアントが返却したデータ鍵の複製を残していないか。削除報告はクライアント自身の"
		"申告です。"},
	{"Whether a token was copied without kmsd: no token can show that it was not.",
		"kmsd "
		"を介さずにトークンが複製されていないか。複製されていないことを示せるトークンはあり"
		"ません。"},
	{"External time: all times are those of the clocks of kmsd and the tokens' daemons.",
		"外部の時刻。すべての時刻は kmsd とトークンのデーモンの時計によります。"},
	{"Witnesses: nobody else has cosigned the ledger's checkpoint.",
		"第三者の証人。台帳のチェックポイントに連署した者はいません。"},
	{"Evidence made by the devices themselves (attestations, audit logs): none was imported.",
		"装置自身が作る証拠(アテステーション、監査ログ)。取り込まれていません。"},
	{"The storage media: they were neither read nor written.",
		"記憶媒体。読取りも書込みも行っていません。"},
	{"Clear, Purge or Destroy as in NIST SP 800-88 or IEEE 2883",
		"NIST SP 800-88 または IEEE 2883 の Clear、Purge、Destroy"},
	{"zeroization as in ISO/IEC 19790 or FIPS 140", "ISO/IEC 19790 または FIPS 140 のゼロ化"},
	{"that the data is unrecoverable", "データが復元不可能であること"},
	{"that no other copy of a key exists", "鍵の複製が他に存在しないこと"},
	{"a FIPS 140, JCMVP or ISO/IEC 19790 status of any module",
		"モジュールの FIPS 140、JCMVP、ISO/IEC 19790 の認証状態"},
	{"that a person has reviewed the erasure and accepted the remaining risk",
		"人が消去を審査し、残存リスクを受け入れたこと"},
};

const char *view_word(enum view_language language, const char *english)
{
	if (language == VIEW_JAPANESE && strcmp(english, texts_recorded) == 0) {
		return texts_recorded_japanese;
	}
	for (size_t i = 0; language == VIEW_JAPANESE && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].english, english) == 0) {
			return words[i].japanese;
		}
	}
	return english;
}
