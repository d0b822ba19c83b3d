-- +goose Up

-- Existing emails were set by an admin, and so are confirmed. The defaults are for existing rows,
-- and are what a new account begins with.

-- Empty when none waits to be confirmed.
ALTER TABLE users ADD COLUMN pending_email TEXT NOT NULL DEFAULT '';
-- Raised when all links in mail are cancelled.
ALTER TABLE users ADD COLUMN link_generation INTEGER NOT NULL DEFAULT 0;
-- Raised when all device tokens are cancelled.
ALTER TABLE users ADD COLUMN mark_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN mfa_secret TEXT NOT NULL DEFAULT ''; -- sealed, '' when there is none
ALTER TABLE users ADD COLUMN mfa_on INTEGER NOT NULL DEFAULT 0 CHECK (mfa_on IN (0, 1));
-- Of the last code that was used.
ALTER TABLE users ADD COLUMN mfa_last_step INTEGER NOT NULL DEFAULT 0;
-- The hashes of the unused codes.
ALTER TABLE users ADD COLUMN mfa_recovery TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE users DROP COLUMN mfa_recovery;
ALTER TABLE users DROP COLUMN mfa_last_step;
ALTER TABLE users DROP COLUMN mfa_on;
ALTER TABLE users DROP COLUMN mfa_secret;
ALTER TABLE users DROP COLUMN mark_generation;
ALTER TABLE users DROP COLUMN link_generation;
ALTER TABLE users DROP COLUMN pending_email;
