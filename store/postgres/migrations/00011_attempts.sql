-- +goose Up

-- No foreign key: a name that is counted here may belong to no user. The keys are in byte order
-- (COLLATE "C"), in which they are locked.
CREATE TABLE attempts (
	key           text        PRIMARY KEY COLLATE "C",
	count         bigint      NOT NULL,
	since         timestamptz NOT NULL,
	last_at       timestamptz NOT NULL,
	blocked_until timestamptz NOT NULL,
	forget_at     timestamptz NOT NULL  -- nothing needs the row from then on
);

-- For removing rows that nothing needs any more.
CREATE INDEX attempts_forget_at ON attempts (forget_at);

-- +goose Down
DROP TABLE attempts;
