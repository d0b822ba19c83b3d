-- +goose Up

-- GENERATED ALWAYS, so that no statement can choose an id, which might have been used before. The
-- keys are folded by Go and compared byte by byte (COLLATE "C"), as Go compares them. An index in
-- that order also stays correct when the collations of the system change.
CREATE TABLE users (
	id            bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	name          text        NOT NULL,
	name_key      text        NOT NULL COLLATE "C",
	email         text        NOT NULL, -- '' when there is none
	email_key     text        NOT NULL COLLATE "C",
	role          text        NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
	disabled      boolean     NOT NULL,
	password_hash text        NOT NULL,
	generation    bigint      NOT NULL, -- raised whenever all sessions of the user end at once
	created_at    timestamptz NOT NULL,
	updated_at    timestamptz NOT NULL
);

CREATE UNIQUE INDEX users_name_key ON users (name_key);

-- Partial, so that any number of users may have no email.
CREATE UNIQUE INDEX users_email_key ON users (email_key) WHERE email_key <> '';

-- +goose Down
DROP TABLE users;
