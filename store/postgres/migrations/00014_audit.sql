-- +goose Up

-- No foreign keys to users: the trail outlives them.
CREATE TABLE audit (
	-- Never used twice, so that pages stay stable.
	id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	kind       text        NOT NULL COLLATE "C",
	user_id    bigint      NOT NULL, -- whose account it is about, 0 if nobody's
	actor_id   bigint      NOT NULL, -- who did it, 0 if no user did
	ip         text        NOT NULL,
	user_agent text        NOT NULL,
	request_id text        NOT NULL,
	detail     text        NOT NULL,
	key        text        NOT NULL COLLATE "C", -- '' for a row that stands alone
	window_at  timestamptz NOT NULL, -- the beginning of the window in which the key has one row
	count      bigint      NOT NULL, -- how many events the row stands for
	at         timestamptz NOT NULL, -- the first of them
	last_at    timestamptz NOT NULL  -- the last of them
);

-- Merges many events into one row.
CREATE UNIQUE INDEX audit_key ON audit (key, window_at) WHERE key <> '';

-- For pages of one user's events and of one kind, newest first.
CREATE INDEX audit_user_id ON audit (user_id, id);
CREATE INDEX audit_kind ON audit (kind, id);

-- For events since an instant, and for removing old ones.
CREATE INDEX audit_last_at ON audit (last_at);

-- +goose Down
DROP TABLE audit;
