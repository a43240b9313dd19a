-- Append-only: a migration that has been released is never changed.
-- Unsigned 64-bit numbers are kept as the signed number with the same bits. Times are milliseconds since the epoch, UTC.

CREATE TABLE schema_version (
    version INTEGER NOT NULL PRIMARY KEY
) STRICT;

-- Numbers that only rise (versions of snapshots and endpoint lists).
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

-- `name` is given by the operator. The key itself is nowhere.
CREATE TABLE api_keys (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    account INTEGER NOT NULL UNIQUE CHECK (account <> 0),
    name TEXT NOT NULL CHECK (length(name) <= 64),
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT;

CREATE TABLE operator_tokens (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT;

-- The catalogue. An id is never used for anything else, so that old records keep their meaning.
CREATE TABLE routes (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    upstream TEXT NOT NULL,
    UNIQUE (provider, model, upstream)
) STRICT;

-- Numbers of destinations in endpoint lists; never used for another destination.
CREATE TABLE endpoints (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    UNIQUE (host, port)
) STRICT;

-- Policy 2.1, and nothing else: every column is a fact of a usage record. `id` only orders the rows.
CREATE TABLE operational_metadata (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    route INTEGER NOT NULL,
    input_units INTEGER NOT NULL,
    output_units INTEGER NOT NULL,
    unit_class INTEGER NOT NULL,
    quality INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    account INTEGER NOT NULL,
    status INTEGER NOT NULL,
    total_ms INTEGER NOT NULL,
    first_byte_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX operational_metadata_at ON operational_metadata (at_ms);

-- How far each gateway start has delivered; dropped after the deduplication window.
CREATE TABLE delivery (
    instance BLOB NOT NULL PRIMARY KEY CHECK (length(instance) = 12),
    sequence INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
) STRICT;
