-- +goose Up

-- Which database this is, in one row.
CREATE TABLE identity (
	id      text NOT NULL, -- tells it from every other, so that a copy that was interrupted goes on from the same one only
	copying text NOT NULL  -- the id of the one of which a copy into this one is not finished; '' when this one is whole
);

INSERT INTO identity (id, copying) VALUES (replace(gen_random_uuid()::text, '-', ''), '');

-- +goose Down
DROP TABLE identity;
