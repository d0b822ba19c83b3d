-- +goose Up

-- The emails that are there were set by an admin, and so are confirmed. The defaults are for the rows that are
-- there, and as good as what a new account begins with.
ALTER TABLE users ADD COLUMN pending_email text NOT NULL DEFAULT ''; -- '' when none waits to be confirmed
ALTER TABLE users ADD COLUMN link_generation bigint NOT NULL DEFAULT 0; -- raised whenever all links in mail are cancelled
ALTER TABLE users ADD COLUMN mark_generation bigint NOT NULL DEFAULT 0; -- raised whenever all marks of devices are cancelled
ALTER TABLE users ADD COLUMN mfa_secret text NOT NULL DEFAULT ''; -- sealed, '' when there is none
ALTER TABLE users ADD COLUMN mfa_on boolean NOT NULL DEFAULT false;
ALTER TABLE users ADD COLUMN mfa_last_step bigint NOT NULL DEFAULT 0; -- of the last code that was taken
ALTER TABLE users ADD COLUMN mfa_recovery text NOT NULL DEFAULT ''; -- the hashes of the codes that are left

-- +goose Down
ALTER TABLE users DROP COLUMN mfa_recovery;
ALTER TABLE users DROP COLUMN mfa_last_step;
ALTER TABLE users DROP COLUMN mfa_on;
ALTER TABLE users DROP COLUMN mfa_secret;
ALTER TABLE users DROP COLUMN mark_generation;
ALTER TABLE users DROP COLUMN link_generation;
ALTER TABLE users DROP COLUMN pending_email;
