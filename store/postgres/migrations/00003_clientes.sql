-- +goose Up

CREATE TABLE clientes (
	id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY, -- never used twice
	name       text        NOT NULL,
	email      text        NOT NULL, -- '' when there is none
	email_key  text        NOT NULL COLLATE "C", -- the email folded by Go
	phone      text        NOT NULL,
	company    text        NOT NULL,
	address    text        NOT NULL,
	notes      text        NOT NULL,
	version    bigint      NOT NULL, -- 1 at first, one more with every change: the ETag
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL
);

-- Partial, so that any number of customers may have no email.
CREATE UNIQUE INDEX clientes_email_key ON clientes (email_key) WHERE email_key <> '';

-- +goose Down
DROP TABLE clientes;
