-- +goose Up

-- Additive: older programs do not know the table.

-- What a server writes to see whether it can write, in one row. Nothing else uses it.
CREATE TABLE probe (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	at     INTEGER NOT NULL,
	filler BLOB    NOT NULL -- large while it has to be seen that there is room
) STRICT;

-- +goose Down
DROP TABLE probe;
