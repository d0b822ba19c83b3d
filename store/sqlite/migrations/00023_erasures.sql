-- +goose Up
UPDATE identity SET required_version = 23;

-- Breaking: older programs do not overwrite what they delete, so what is erased later would stay in
-- the file. They still read.

-- 1: the text of the change was erased. 2: the change is the erasure, and its action is 'deleted'.
ALTER TABLE cliente_history
	ADD COLUMN erased INTEGER NOT NULL DEFAULT 0 CHECK (erased IN (0, 1, 2));

-- The customers whose text was erased. A database that is restored from before an erasure is told
-- by them what to erase again.
CREATE TABLE erasures (
	cliente_id INTEGER PRIMARY KEY,
	version    INTEGER NOT NULL, -- of the erasure in the history
	at         INTEGER NOT NULL
) STRICT;

-- The users whose name was erased, for the same reason.
CREATE TABLE erased_users (
	user_id    INTEGER PRIMARY KEY,
	at         INTEGER NOT NULL,
	checked_at INTEGER -- when the history was last searched for their name; NULL: it has to be
) STRICT;

-- For removing the addresses of sessions that ended.
CREATE INDEX sessions_ended_at ON sessions (ended_at)
	WHERE ended_at IS NOT NULL AND (ip <> '' OR user_agent <> '');

-- Which customer an event is about, 0 if none.
ALTER TABLE audit ADD COLUMN cliente_id INTEGER NOT NULL DEFAULT 0;
CREATE INDEX audit_cliente_id ON audit (cliente_id, id) WHERE cliente_id <> 0;

-- Whether the file may hold copies of texts that are gone: see scrub.go.
CREATE TABLE scrubbing (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	wanted  INTEGER NOT NULL, -- how often it was asked for
	done    INTEGER NOT NULL, -- how often it had been asked for when it was last done
	rebuilt INTEGER NOT NULL  -- whether what older programs deleted is overwritten
) STRICT;

-- Nothing was ever deleted where no id was ever given.
INSERT INTO scrubbing (id, wanted, done, rebuilt)
SELECT 1, 0, 0, NOT EXISTS (
	SELECT 1
	FROM sqlite_sequence
	WHERE name IN ('users', 'mails', 'audit', 'clientes'));

-- +goose Down
DROP TABLE scrubbing;
DROP INDEX audit_cliente_id;
DROP INDEX sessions_ended_at;
ALTER TABLE audit DROP COLUMN cliente_id;
DROP TABLE erased_users;
DROP TABLE erasures;
ALTER TABLE cliente_history DROP COLUMN erased;
