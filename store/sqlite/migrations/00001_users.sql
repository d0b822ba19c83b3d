-- +goose Up

-- AUTOINCREMENT, because a plain rowid is used again once the row with the highest id is deleted. A
-- token or a log line would then name another user. STRICT, because SQLite otherwise keeps any type
-- in any column. Times are Unix milliseconds.
CREATE TABLE users (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	name          TEXT    NOT NULL,
	name_key      TEXT    NOT NULL, -- the name folded by Go: SQLite itself folds only ASCII
	email         TEXT    NOT NULL, -- '' when there is none
	email_key     TEXT    NOT NULL, -- the email folded by Go
	role          TEXT    NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
	disabled      INTEGER NOT NULL CHECK (disabled IN (0, 1)),
	password_hash TEXT    NOT NULL,
	generation    INTEGER NOT NULL, -- raised whenever all sessions of the user end at once
	created_at    INTEGER NOT NULL,
	updated_at    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX users_name_key ON users (name_key);

-- Partial, so that any number of users may have no email.
CREATE UNIQUE INDEX users_email_key ON users (email_key) WHERE email_key <> '';

-- +goose Down
DROP TABLE users;
