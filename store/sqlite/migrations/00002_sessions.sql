-- +goose Up

-- No foreign key to users: the ended sessions of a deleted user stay while a token may name them.
CREATE TABLE sessions (
	id           TEXT    PRIMARY KEY,
	user_id      INTEGER NOT NULL,
	counter      INTEGER NOT NULL, -- the number of the newest refresh token
	parent       INTEGER NOT NULL, -- the number of the one it was made from
	rotated_at   INTEGER NOT NULL,
	created_at   INTEGER NOT NULL,
	last_used_at INTEGER NOT NULL,
	expires_at   INTEGER NOT NULL,
	token_exp    INTEGER NOT NULL, -- the latest exp of the access tokens minted for it
	ended_at     INTEGER,          -- NULL while it lives
	ended_order  INTEGER,          -- its position in the order of ends, NULL while it lives
	ip           TEXT    NOT NULL,
	user_agent   TEXT    NOT NULL
) STRICT;

-- For ending all sessions of a user.
CREATE INDEX sessions_user_id ON sessions (user_id) WHERE ended_at IS NULL;

-- For the ends since a watermark, which every process reads a few times a second. With token_exp it
-- skips the ends that no longer matter without reading their rows.
CREATE INDEX sessions_ended_order ON sessions (ended_order, token_exp) WHERE ended_order IS NOT NULL;

-- For removing rows that nothing can need any more.
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- The last number in the order of ends, in one row. The highest ended_order would not do: it falls
-- when old sessions are removed. A process with a newer watermark would never see an end whose
-- number was used before.
CREATE TABLE session_ends (
	last INTEGER NOT NULL
) STRICT;

INSERT INTO session_ends (last) VALUES (0);

-- +goose Down
DROP TABLE session_ends;
DROP TABLE sessions;
