-- +goose Up

-- Every change of a customer, in the order of the record's versions. No foreign key to clientes or
-- users: the history outlives both. Changes before this migration are missing.
CREATE TABLE cliente_history (
	cliente_id INTEGER NOT NULL,
	version    INTEGER NOT NULL, -- the one that the change led to
	action     TEXT    NOT NULL CHECK (action IN ('created', 'updated', 'deleted')),
	user_id    INTEGER NOT NULL, -- 0: the command line
	user_name  TEXT    NOT NULL, -- as it was then
	at         INTEGER NOT NULL,
	-- From here on the record after the change; for a delete, before it.
	name       TEXT    NOT NULL,
	email      TEXT    NOT NULL,
	phone      TEXT    NOT NULL,
	company    TEXT    NOT NULL,
	address    TEXT    NOT NULL,
	notes      TEXT    NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (cliente_id, version)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE cliente_history;
