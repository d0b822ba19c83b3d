-- +goose Up

-- The networks from which users have logged in. They are deleted with the user.
CREATE TABLE addresses (
	user_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	prefix    TEXT    NOT NULL,
	last_seen INTEGER NOT NULL,
	PRIMARY KEY (user_id, prefix)
) STRICT, WITHOUT ROWID;

-- For removing rows that are too old to count.
CREATE INDEX addresses_last_seen ON addresses (last_seen);

-- +goose Down
DROP TABLE addresses;
