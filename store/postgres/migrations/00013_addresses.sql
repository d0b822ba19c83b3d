-- +goose Up

-- The networks from which users have logged in. They are deleted with the user.
CREATE TABLE addresses (
	user_id   bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	prefix    text        NOT NULL COLLATE "C",
	last_seen timestamptz NOT NULL,
	PRIMARY KEY (user_id, prefix)
);

-- For removing rows that are too old to count.
CREATE INDEX addresses_last_seen ON addresses (last_seen);

-- +goose Down
DROP TABLE addresses;
