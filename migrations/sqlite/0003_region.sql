-- Where the content of a key's requests may be processed; NULL for anywhere.
ALTER TABLE api_keys ADD COLUMN region TEXT CHECK (region IS NULL OR length(region) BETWEEN 1 AND 15);
