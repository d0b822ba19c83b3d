-- +goose Up

-- No foreign key: a name that is counted here may belong to no user.
CREATE TABLE attempts (
	key           TEXT    PRIMARY KEY,
	count         INTEGER NOT NULL,
	since         INTEGER NOT NULL,
	last_at       INTEGER NOT NULL,
	blocked_until INTEGER NOT NULL,
	forget_at     INTEGER NOT NULL  -- nothing needs the row from then on
) STRICT, WITHOUT ROWID;

-- For removing rows that nothing needs any more.
CREATE INDEX attempts_forget_at ON attempts (forget_at);

-- +goose Down
DROP TABLE attempts;
