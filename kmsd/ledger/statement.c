/* SPDX-License-Identifier: Apache-2.0 */
/* Statements of kms-tokends under the keys that their owners handed over. Runs in kmsd. */
#include "ledger.h"

#include "format.h"
#include "tlog.h"

kms_err ledger_statement_check(
	struct kms_bytes statement, const char *vkey, struct format_statement *ret_statement)
{
	struct tlog_vkey key;
	KMS_TRY(tlog_vkey_parse(vkey, &key));
	return format_statement_verify(
		statement, (struct kms_bytes){key.spki, key.spki_len}, ret_statement);
}
