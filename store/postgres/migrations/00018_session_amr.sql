-- +goose Up

-- Additive: older programs write sessions without it, which then say nothing of their login.

-- By what the session's login was made: values of the claim amr (RFC 8176) with spaces between.
ALTER TABLE sessions ADD COLUMN amr text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE sessions DROP COLUMN amr;
