-- +goose Up

-- The queue of mail. A user's mails are deleted with the user. No id is used twice: a slow sender
-- would otherwise remove another mail.
CREATE TABLE mails (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id         INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	kind            TEXT    NOT NULL,
	address         TEXT    NOT NULL,
	detail          TEXT    NOT NULL, -- what else the text says; no link, no token
	link_generation INTEGER NOT NULL, -- the user's at the time of writing
	created_at      INTEGER NOT NULL,
	next_try        INTEGER NOT NULL, -- due from then on
	tries           INTEGER NOT NULL  -- how often it was claimed
) STRICT;

-- For what is due.
CREATE INDEX mails_next_try ON mails (next_try);

-- For the removal of a user.
CREATE INDEX mails_user_id ON mails (user_id);

-- +goose Down
DROP TABLE mails;
