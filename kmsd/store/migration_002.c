/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: erasures and certificates, and how often keys were used. Runs in kmsd. Never edited once
 * released: changes are a new file. Plans and certificates themselves stand apart from state, as
 * labels do: the ledger only has their hashes.
 */
#include "store_int.h"

const char store_migration_002[] =
	/* state: 1 requested, 2 cancelled, 3 executing, 4 done, 5 renewed; seqs and times of 0: not
	   yet */
	"CREATE TABLE erasure ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" tenant BLOB NOT NULL REFERENCES tenant (id),"
	" requester BLOB NOT NULL REFERENCES principal (id),"
	" scope INTEGER NOT NULL,"
	" subject BLOB NOT NULL CHECK (length(subject) = 16),"
	" state INTEGER NOT NULL,"
	" not_before_unix_s INTEGER NOT NULL,"
	" expires_unix_s INTEGER NOT NULL,"
	" requested_unix_ms INTEGER NOT NULL,"
	" done_unix_ms INTEGER NOT NULL,"
	" bytes BLOB NOT NULL,"
	" certificate BLOB NOT NULL,"
	" signature BLOB NOT NULL CHECK (length(signature) = 64),"
	" request_seq INTEGER NOT NULL,"
	" intent_seq INTEGER NOT NULL,"
	" final_seq INTEGER NOT NULL,"
	" kek_count INTEGER NOT NULL,"
	" destroyed_count INTEGER NOT NULL,"
	" wipe_count INTEGER NOT NULL,"
	" wiped_count INTEGER NOT NULL,"
	" cert BLOB CHECK (length(cert) = 16)" /* the newest */
	") STRICT;"
	"CREATE INDEX erasure_tenant ON erasure (tenant, id);"
	"CREATE INDEX erasure_open ON erasure (state, id) WHERE state IN (1, 3);"

	/* kind: 1 approval, 2 cancellation */
	"CREATE TABLE erasure_signature ("
	" erasure BLOB NOT NULL REFERENCES erasure (id),"
	" kind INTEGER NOT NULL,"
	" principal BLOB NOT NULL REFERENCES principal (id),"
	" spki BLOB NOT NULL,"
	" signature BLOB NOT NULL CHECK (length(signature) = 64),"
	" unix_ms INTEGER NOT NULL,"
	" seq INTEGER NOT NULL,"
	" PRIMARY KEY (erasure, kind, principal)"
	") STRICT, WITHOUT ROWID;"
	"CREATE UNIQUE INDEX erasure_signature_spki ON erasure_signature (erasure, kind, spki);"

	/* a KEK of its bytes, or a wipe, whose kek is zeros; seq 0: its statements are missing yet;
	 * renewed_by: the erasure that it went over to; refused_unix_ms 0: never refused */
	"CREATE TABLE erasure_row ("
	" erasure BLOB NOT NULL REFERENCES erasure (id),"
	" token BLOB NOT NULL REFERENCES token (id),"
	" kek BLOB NOT NULL CHECK (length(kek) = 16),"
	" logical_key BLOB REFERENCES logical_key (id),"
	" version INTEGER NOT NULL,"
	" seq INTEGER NOT NULL,"
	" renewed_by BLOB REFERENCES erasure (id),"
	" refused_unix_ms INTEGER NOT NULL,"
	" refused TEXT NOT NULL,"
	" PRIMARY KEY (erasure, token, kek)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX erasure_row_renewed ON erasure_row (renewed_by, kek)"
	" WHERE renewed_by IS NOT NULL;"

	/* a key that it holds, with the state that a cancellation gives back */
	"CREATE TABLE erasure_key ("
	" erasure BLOB NOT NULL REFERENCES erasure (id),"
	" logical_key BLOB NOT NULL REFERENCES logical_key (id),"
	" state_before INTEGER NOT NULL,"
	" PRIMARY KEY (erasure, logical_key)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE erasure_entry ("
	" erasure BLOB NOT NULL REFERENCES erasure (id),"
	" seq INTEGER NOT NULL,"
	" PRIMARY KEY (erasure, seq)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE certificate ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" erasure BLOB NOT NULL REFERENCES erasure (id),"
	" supersedes BLOB REFERENCES certificate (id),"
	" final INTEGER NOT NULL,"
	" hash BLOB NOT NULL CHECK (length(hash) = 32),"
	" seq INTEGER NOT NULL"
	") STRICT;"

	"ALTER TABLE logical_key ADD COLUMN erasure BLOB REFERENCES erasure (id);"
	"ALTER TABLE kek ADD COLUMN erasure BLOB REFERENCES erasure (id);"

	/* kind: 1 the scope of an erasure's plan, by its erasure; 2 a certificate */
	"CREATE TABLE paper ("
	" kind INTEGER NOT NULL,"
	" id BLOB NOT NULL CHECK (length(id) = 16),"
	" json BLOB NOT NULL,"
	" PRIMARY KEY (kind, id)"
	") STRICT;"

	"CREATE INDEX dataset_key ON dataset (logical_key, id);"
	/* counted here: a tenant has too many to count them at each new one */
	"ALTER TABLE tenant ADD COLUMN dataset_count INTEGER NOT NULL DEFAULT 0;"
	"UPDATE tenant SET dataset_count ="
	" (SELECT count(*) FROM dataset WHERE dataset.tenant = tenant.id);"

	/* what the use records of a key add up to */
	"CREATE TABLE use_count ("
	" logical_key BLOB PRIMARY KEY NOT NULL CHECK (length(logical_key) = 16),"
	" datakeys INTEGER NOT NULL,"
	" wraps INTEGER NOT NULL,"
	" unwraps INTEGER NOT NULL,"
	" rewraps INTEGER NOT NULL,"
	" first_unix_ms INTEGER NOT NULL,"
	" last_unix_ms INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;";
