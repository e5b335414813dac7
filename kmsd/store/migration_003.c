/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: leases of data keys. Runs in kmsd. Never edited once released: changes are a new file.
 */
#include "store_int.h"

const char store_migration_003[] =
	/* what one holder was handed out under one version of a key, how much of it a receipt gave
	 * back, and the end of the last lease; holder of zeros: not said, or folded together */
	"CREATE TABLE lease ("
	" logical_key BLOB NOT NULL CHECK (length(logical_key) = 16),"
	" version INTEGER NOT NULL,"
	" principal BLOB NOT NULL CHECK (length(principal) = 16),"
	" holder BLOB NOT NULL CHECK (length(holder) = 16),"
	" granted INTEGER NOT NULL,"
	" returned INTEGER NOT NULL,"
	" last_end_unix_ms INTEGER NOT NULL,"
	" PRIMARY KEY (logical_key, version, principal, holder)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX lease_holder ON lease (principal, holder);"
	"CREATE INDEX lease_end ON lease (last_end_unix_ms)"
	" WHERE holder <> x'00000000000000000000000000000000';"

	/* the number of a holder's last receipt, while it has rows above */
	"CREATE TABLE receipt ("
	" principal BLOB NOT NULL CHECK (length(principal) = 16),"
	" holder BLOB NOT NULL CHECK (length(holder) = 16),"
	" number INTEGER NOT NULL,"
	" PRIMARY KEY (principal, holder)"
	") STRICT, WITHOUT ROWID;";
