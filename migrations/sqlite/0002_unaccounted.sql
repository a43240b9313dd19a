-- What a gateway start says of itself (requests begun) beside what has come of it (requests with their last record), and since when it
-- has been gone for good. What lies between is unaccounted: counted, never billed.
ALTER TABLE delivery ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN finished INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN gone_ms INTEGER;
UPDATE delivery SET started = sequence, finished = sequence;

-- The same of gateway starts that have been forgotten: a number and a time, no gateway and no account.
CREATE TABLE unaccounted (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0)
) STRICT;
