-- +goose Up

-- Additive: an older program that refreshes such a session lets it end as early as any other, until
-- a program that knows the column refreshes it in time.

-- Whether the session's login wanted to be remembered for longer than others.
ALTER TABLE sessions ADD COLUMN remembered INTEGER NOT NULL DEFAULT 0 CHECK (remembered IN (0, 1));

-- +goose Down
ALTER TABLE sessions DROP COLUMN remembered;
