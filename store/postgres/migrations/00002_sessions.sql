-- +goose Up

-- No foreign key to users: the ended sessions of a deleted user stay while a token may name them.
CREATE TABLE sessions (
	id           text        PRIMARY KEY COLLATE "C",
	user_id      bigint      NOT NULL,
	counter      bigint      NOT NULL, -- the number of the newest refresh token
	parent       bigint      NOT NULL, -- the number of the one it was made from
	rotated_at   timestamptz NOT NULL,
	created_at   timestamptz NOT NULL,
	last_used_at timestamptz NOT NULL,
	expires_at   timestamptz NOT NULL,
	token_exp    timestamptz NOT NULL, -- the latest exp of the access tokens minted for it
	ended_at     timestamptz,          -- NULL while it lives
	-- The id of the transaction that ended it, NULL while it lives.
	ended_order  bigint,
	ip           text        NOT NULL,
	user_agent   text        NOT NULL
);

-- For ending all sessions of a user.
CREATE INDEX sessions_user_id ON sessions (user_id) WHERE ended_at IS NULL;

-- For the ends since a watermark, which every process reads a few times a second. With token_exp it
-- skips the ends that no longer matter without reading their rows.
CREATE INDEX sessions_ended_order ON sessions (ended_order, token_exp) WHERE ended_order IS NOT NULL;

-- For removing rows that nothing can need any more.
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- +goose Down
DROP TABLE sessions;
