-- +goose Up

-- Every change of a customer, in the order of the record's versions. No foreign key to clientes or
-- users: the history outlives both. Changes before this migration are missing.
CREATE TABLE cliente_history (
	cliente_id bigint      NOT NULL,
	version    bigint      NOT NULL, -- the one that the change led to
	action     text        NOT NULL CHECK (action IN ('created', 'updated', 'deleted')),
	user_id    bigint      NOT NULL, -- 0: the command line
	user_name  text        NOT NULL, -- as it was then
	at         timestamptz NOT NULL,
	-- From here on the record after the change; for a delete, before it.
	name       text        NOT NULL,
	email      text        NOT NULL,
	phone      text        NOT NULL,
	company    text        NOT NULL,
	address    text        NOT NULL,
	notes      text        NOT NULL,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	PRIMARY KEY (cliente_id, version)
);

-- +goose Down
DROP TABLE cliente_history;
