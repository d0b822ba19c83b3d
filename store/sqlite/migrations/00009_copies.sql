-- +goose Up

-- Which database this is, in one row.
CREATE TABLE identity (
	id      TEXT NOT NULL, -- tells it from every other, so that a copy that was interrupted goes on from the same one only
	copying TEXT NOT NULL  -- the id of the one of which a copy into this one is not finished; '' when this one is whole
) STRICT;

INSERT INTO identity (id, copying) VALUES (lower(hex(randomblob(16))), '');

-- +goose Down
DROP TABLE identity;
