-- +goose Up

-- Additive: the trigger numbers the changes of older programs.

-- The place of a change in the order of all changes; not above 0 for changes that are older than
-- this migration. There is one writer at a time, so it is one more than the highest.
ALTER TABLE cliente_history ADD COLUMN seq INTEGER NOT NULL DEFAULT -1;

CREATE UNIQUE INDEX cliente_history_order ON cliente_history (seq) WHERE seq > 0;

-- The highest id of a record with changes that have no place in the order, 0 if there is none. An
-- index of these changes would take long to make, and hold up those who write.
ALTER TABLE identity ADD COLUMN last_unordered INTEGER NOT NULL DEFAULT 0;

-- When the order began. It tells this order from that of another database, where no change does.
ALTER TABLE identity ADD COLUMN order_began INTEGER NOT NULL DEFAULT 0;

UPDATE identity
SET last_unordered = coalesce((SELECT max(cliente_id) FROM cliente_history), 0),
	order_began = CAST(unixepoch('subsec') * 1000 AS INTEGER);

-- A copy keeps the number that a change has, also where it has none.
-- +goose StatementBegin
CREATE TRIGGER cliente_history_seq
AFTER INSERT ON cliente_history
WHEN NEW.seq < 0 AND (SELECT copying FROM identity) = ''
BEGIN
	UPDATE cliente_history
	SET seq = 1 + coalesce((SELECT max(seq) FROM cliente_history WHERE seq > 0), 0)
	WHERE cliente_id = NEW.cliente_id AND version = NEW.version;
END;
-- +goose StatementEnd

-- Where an older state of the database was put in the place of a newer one. Of the changes with
-- numbers above newest_same and up to last, which either state had, some are lost. Who has followed
-- to one of these goes on after resume.
CREATE TABLE restores (
	newest_same INTEGER NOT NULL,
	last        INTEGER PRIMARY KEY,
	resume      INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE restores;
DROP TRIGGER cliente_history_seq;
ALTER TABLE identity DROP COLUMN order_began;
ALTER TABLE identity DROP COLUMN last_unordered;
DROP INDEX cliente_history_order;
ALTER TABLE cliente_history DROP COLUMN seq;
