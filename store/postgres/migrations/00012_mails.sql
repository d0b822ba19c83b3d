-- +goose Up

-- The queue of mail. A user's mails are deleted with the user. No id is used twice: a slow sender
-- would otherwise remove another mail.
CREATE TABLE mails (
	id              bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	user_id         bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	kind            text        NOT NULL,
	address         text        NOT NULL,
	detail          text        NOT NULL, -- what else the text says; no link, no token
	link_generation bigint      NOT NULL, -- the user's at the time of writing
	created_at      timestamptz NOT NULL,
	next_try        timestamptz NOT NULL, -- due from then on
	tries           bigint      NOT NULL  -- how often it was claimed
);

-- For what is due.
CREATE INDEX mails_next_try ON mails (next_try);

-- For the removal of a user.
CREATE INDEX mails_user_id ON mails (user_id);

-- +goose Down
DROP TABLE mails;
