-- +goose Up

-- Tells this database from every other, so that a copy that was interrupted goes on from the same one only.
CREATE TABLE identity (
	id text NOT NULL
);

INSERT INTO identity (id) VALUES (replace(gen_random_uuid()::text, '-', ''));

-- A copy into this database that is not finished: how far it is with each table. While there is a row nothing but the
-- copy may use the database.
CREATE TABLE copy_progress (
	source     text   NOT NULL, -- the identity of the database that is copied
	table_name text   NOT NULL PRIMARY KEY,
	rows       bigint NOT NULL  -- that are here, in the order of the primary key
);

-- +goose Down
DROP TABLE copy_progress;
DROP TABLE identity;
