-- +goose Up

-- Which database this is, in one row.
CREATE TABLE identity (
	id      TEXT NOT NULL, -- unique, so that a copy resumes only from its own source
	copying TEXT NOT NULL  -- the id of the source of an unfinished copy; '' if complete
) STRICT;

INSERT INTO identity (id, copying) VALUES (lower(hex(randomblob(16))), '');

-- +goose Down
DROP TABLE identity;
