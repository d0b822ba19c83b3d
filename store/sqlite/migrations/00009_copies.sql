-- +goose Up

-- Tells this database from every other, so that a copy that was interrupted goes on from the same one only.
CREATE TABLE identity (
	id TEXT NOT NULL
) STRICT;

INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));

-- A copy into this database that is not finished: how far it is with each table. While there is a row nothing but the
-- copy may use the database.
CREATE TABLE copy_progress (
	source     TEXT    NOT NULL, -- the identity of the database that is copied
	table_name TEXT    NOT NULL PRIMARY KEY,
	rows       INTEGER NOT NULL  -- that are here, in the order of the primary key
) STRICT;

-- +goose Down
DROP TABLE copy_progress;
DROP TABLE identity;
