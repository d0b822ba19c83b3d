-- +goose Up

CREATE TABLE clientes (
	id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
	name       TEXT    NOT NULL,
	email      TEXT    NOT NULL, -- '' when there is none
	email_key  TEXT    NOT NULL, -- the email folded by Go
	phone      TEXT    NOT NULL,
	company    TEXT    NOT NULL,
	address    TEXT    NOT NULL,
	notes      TEXT    NOT NULL,
	version    INTEGER NOT NULL, -- 1 at first, one more with every change: the ETag
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
) STRICT;

-- Partial, so that any number of customers may have no email.
CREATE UNIQUE INDEX clientes_email_key ON clientes (email_key) WHERE email_key <> '';

-- +goose Down
DROP TABLE clientes;
