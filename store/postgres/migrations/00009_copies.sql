-- +goose Up

-- Which database this is, in one row.
CREATE TABLE identity (
	id      text NOT NULL, -- unique, so that a copy resumes only from its own source
	copying text NOT NULL  -- the id of the source of an unfinished copy; '' if complete
);

INSERT INTO identity (id, copying) VALUES (replace(gen_random_uuid()::text, '-', ''), '');

-- +goose Down
DROP TABLE identity;
