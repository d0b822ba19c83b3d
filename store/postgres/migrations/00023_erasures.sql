-- +goose Up

-- Additive: older programs read an erased change as a record without text, and the erasure itself
-- as a delete. They know none of the tables.

-- 1: the text of the change was erased. 2: the change is the erasure, and its action is 'deleted'.
ALTER TABLE cliente_history ADD COLUMN erased bigint NOT NULL DEFAULT 0;

-- The customers whose text was erased. A database that is restored from before an erasure is told
-- by them what to erase again.
CREATE TABLE erasures (
	cliente_id bigint      PRIMARY KEY,
	version    bigint      NOT NULL, -- of the erasure in the history
	at         timestamptz NOT NULL
);

-- The users whose name was erased, for the same reason.
CREATE TABLE erased_users (
	user_id    bigint      PRIMARY KEY,
	at         timestamptz NOT NULL,
	checked_at timestamptz -- when the history was last searched for their name; NULL: it has to be
);

-- For removing the addresses of sessions that ended.
CREATE INDEX sessions_ended_at ON sessions (ended_at)
	WHERE ended_at IS NOT NULL AND (ip <> '' OR user_agent <> '');

-- Which customer an event is about, 0 if none.
ALTER TABLE audit ADD COLUMN cliente_id bigint NOT NULL DEFAULT 0;
CREATE INDEX audit_cliente_id ON audit (cliente_id, id) WHERE cliente_id <> 0;

-- +goose Down
DROP INDEX audit_cliente_id;
DROP INDEX sessions_ended_at;
ALTER TABLE audit DROP COLUMN cliente_id;
DROP TABLE erased_users;
DROP TABLE erasures;
ALTER TABLE cliente_history DROP COLUMN erased;
