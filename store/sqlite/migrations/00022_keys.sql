-- +goose Up

-- Additive: to an older program a key is a session like others, which it may list and end.

-- The session of a program has a hash of its key, a login's has ''.
ALTER TABLE sessions ADD COLUMN key_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN key_name TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN key_role TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN key_scopes TEXT NOT NULL DEFAULT ''; -- with spaces between them

CREATE UNIQUE INDEX sessions_key_hash ON sessions (key_hash) WHERE key_hash <> '';

-- For the list of all keys.
CREATE INDEX sessions_keys ON sessions (created_at, id) WHERE key_hash <> '' AND ended_at IS NULL;

-- +goose Down
DROP INDEX sessions_keys;
DROP INDEX sessions_key_hash;
ALTER TABLE sessions DROP COLUMN key_scopes;
ALTER TABLE sessions DROP COLUMN key_role;
ALTER TABLE sessions DROP COLUMN key_name;
ALTER TABLE sessions DROP COLUMN key_hash;
