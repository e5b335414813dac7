/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the first schema. Runs in kmsd. Never edited once released: changes are a new file.
 * Ids are 16 bytes, hashes 32; a tenant of NULL is the platform. Labels stand apart from state, so
 * that they can be forgotten, and so that state is what the ledger alone can rebuild.
 */
#include "store_int.h"

const char store_migration_001[] =
	"CREATE TABLE setting ("
	" name TEXT PRIMARY KEY NOT NULL,"
	" value TEXT NOT NULL"
	") STRICT;"

	/* state: what store_apply makes of the ledger's changes */

	"CREATE TABLE tenant ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" ca_pem TEXT NOT NULL"
	") STRICT;"

	"CREATE TABLE principal ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" tenant BLOB REFERENCES tenant (id),"
	" role INTEGER NOT NULL,"
	" spki BLOB NOT NULL UNIQUE CHECK (length(spki) = 32),"
	" expires_unix_s INTEGER NOT NULL"
	") STRICT;"
	"CREATE INDEX principal_tenant ON principal (tenant, id);"

	"CREATE TABLE token ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" tenant BLOB REFERENCES tenant (id),"
	" class INTEGER NOT NULL,"
	" manufacturer TEXT NOT NULL,"
	" model TEXT NOT NULL,"
	" serial TEXT NOT NULL,"
	" firmware TEXT NOT NULL,"
	" certificate_no TEXT NOT NULL,"
	" organisation TEXT NOT NULL,"
	" site TEXT NOT NULL,"
	" country TEXT NOT NULL,"
	" session_spki BLOB NOT NULL CHECK (length(session_spki) = 32),"
	" statement_vkey TEXT NOT NULL"
	") STRICT;"
	"CREATE INDEX token_tenant ON token (tenant, id);"

	/* a column for each of LIMIT_CUSTODY_TOKENS, in the key's order */
	"CREATE TABLE logical_key ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" tenant BLOB NOT NULL REFERENCES tenant (id),"
	" custodian BLOB NOT NULL REFERENCES principal (id),"
	" custody INTEGER NOT NULL,"
	" delivery INTEGER NOT NULL,"
	" state INTEGER NOT NULL,"
	" version INTEGER NOT NULL,"
	" created_unix_ms INTEGER NOT NULL,"
	" token_1 BLOB NOT NULL REFERENCES token (id),"
	" token_2 BLOB REFERENCES token (id),"
	" token_3 BLOB REFERENCES token (id),"
	" token_4 BLOB REFERENCES token (id)"
	") STRICT;"
	"CREATE INDEX logical_key_tenant ON logical_key (tenant, id);"

	/* state: 1 pending, 2 live, 3 abandoned, 4 destroyed */
	"CREATE TABLE kek ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" logical_key BLOB NOT NULL REFERENCES logical_key (id),"
	" version INTEGER NOT NULL,"
	" token BLOB NOT NULL REFERENCES token (id),"
	" state INTEGER NOT NULL,"
	" commitment BLOB CHECK (length(commitment) = 32),"
	" created_unix_ms INTEGER NOT NULL"
	") STRICT;"
	"CREATE UNIQUE INDEX kek_place ON kek (logical_key, version, token) WHERE state <> 3;"
	"CREATE INDEX kek_token ON kek (token, state);"

	"CREATE TABLE dataset ("
	" id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
	" tenant BLOB NOT NULL REFERENCES tenant (id),"
	" logical_key BLOB NOT NULL REFERENCES logical_key (id),"
	" custodian BLOB NOT NULL REFERENCES principal (id),"
	" medium TEXT NOT NULL,"
	" serial TEXT NOT NULL,"
	" site TEXT NOT NULL,"
	" country TEXT NOT NULL,"
	" first_write_unix_s INTEGER NOT NULL"
	") STRICT;"
	"CREATE INDEX dataset_tenant ON dataset (tenant, id);"

	"CREATE TABLE position ("
	" token BLOB PRIMARY KEY NOT NULL REFERENCES token (id),"
	" boot INTEGER NOT NULL,"
	" n INTEGER NOT NULL,"
	" running BLOB CHECK (length(running) = 32),"
	" statement_boot INTEGER NOT NULL,"
	" statement_n INTEGER NOT NULL,"
	" known_boot INTEGER NOT NULL"
	") STRICT;"

	/* what people call things; kind: 1 tenant, 2 principal, 3 key, 4 dataset */
	"CREATE TABLE label ("
	" kind INTEGER NOT NULL,"
	" id BLOB NOT NULL CHECK (length(id) = 16),"
	" text TEXT NOT NULL,"
	" salt BLOB NOT NULL CHECK (length(salt) = 16),"
	" PRIMARY KEY (kind, id)"
	") STRICT, WITHOUT ROWID;"

	/* the ledger */

	"CREATE TABLE entry ("
	" seq INTEGER PRIMARY KEY NOT NULL,"
	" tenant BLOB CHECK (length(tenant) = 16),"
	" logical_key BLOB CHECK (length(logical_key) = 16),"
	" leaf BLOB NOT NULL CHECK (length(leaf) = 32),"
	" bytes BLOB NOT NULL"
	") STRICT;"
	"CREATE INDEX entry_key ON entry (logical_key, seq) WHERE logical_key IS NOT NULL;"

	"CREATE TABLE node ("
	" level INTEGER NOT NULL,"
	" place INTEGER NOT NULL,"
	" hash BLOB NOT NULL CHECK (length(hash) = 32),"
	" PRIMARY KEY (level, place)"
	") STRICT, WITHOUT ROWID;"

	/* one row; an empty tree's root is SHA-256 of nothing (RFC 9162 section 2.1.1) */
	"CREATE TABLE head ("
	" id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),"
	" size INTEGER NOT NULL,"
	" root BLOB NOT NULL CHECK (length(root) = 32)"
	") STRICT;"
	"INSERT INTO head (id, size, root) VALUES (1, 0,"
	" x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');"

	"CREATE TABLE checkpoint ("
	" size INTEGER PRIMARY KEY NOT NULL,"
	" note BLOB NOT NULL"
	") STRICT;"

	/* the packed use records of one use.batch entry: for each a 32-bit length and its bytes */
	"CREATE TABLE uses ("
	" seq INTEGER PRIMARY KEY NOT NULL REFERENCES entry (seq),"
	" count INTEGER NOT NULL,"
	" records BLOB NOT NULL"
	") STRICT;";
