-- +goose Up

-- No foreign keys to users: the trail outlives them.
CREATE TABLE audit (
	id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so that pages stay stable
	kind       TEXT    NOT NULL,
	user_id    INTEGER NOT NULL, -- whose account it is about, 0 if nobody's
	actor_id   INTEGER NOT NULL, -- who did it, 0 if no user did
	ip         TEXT    NOT NULL,
	user_agent TEXT    NOT NULL,
	request_id TEXT    NOT NULL,
	detail     TEXT    NOT NULL,
	key        TEXT    NOT NULL, -- '' for a row that stands alone
	window_at  INTEGER NOT NULL, -- the beginning of the window in which the key has one row
	count      INTEGER NOT NULL, -- how many events the row stands for
	at         INTEGER NOT NULL, -- the first of them
	last_at    INTEGER NOT NULL  -- the last of them
) STRICT;

-- Merges many events into one row.
CREATE UNIQUE INDEX audit_key ON audit (key, window_at) WHERE key <> '';

-- For pages of one user's events and of one kind, newest first.
CREATE INDEX audit_user_id ON audit (user_id, id);
CREATE INDEX audit_kind ON audit (kind, id);

-- For events since an instant, and for removing old ones.
CREATE INDEX audit_last_at ON audit (last_at);

-- +goose Down
DROP TABLE audit;
