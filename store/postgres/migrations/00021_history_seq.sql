-- +goose Up

-- Additive: the default and the trigger also work for older programs.

-- The place of a change in the order of all changes; not above 0 for changes that are older than
-- this migration. The sequence counts in the order in which changes are made. Transactions end in
-- another one, which is why clientes_register_changes exists.
ALTER TABLE cliente_history ADD COLUMN seq bigint NOT NULL DEFAULT 0;

CREATE SEQUENCE cliente_history_seq OWNED BY cliente_history.seq;

ALTER TABLE cliente_history ALTER COLUMN seq SET DEFAULT nextval('cliente_history_seq');

CREATE UNIQUE INDEX cliente_history_order ON cliente_history (seq) WHERE seq > 0;

-- The highest id of a record with changes that have no place in the order, 0 if there is none. An
-- index of these changes would take long to make, and hold up those who write.
ALTER TABLE identity ADD COLUMN last_unordered bigint NOT NULL DEFAULT 0;

-- When the order began. It tells this order from that of another database, where no change does.
ALTER TABLE identity ADD COLUMN order_began timestamptz NOT NULL DEFAULT 'epoch';

UPDATE identity
SET last_unordered = coalesce((SELECT max(cliente_id) FROM cliente_history), 0),
	order_began = date_trunc('milliseconds', clock_timestamp());

-- Registers the transaction before it takes its first number: with a lock that everybody can take
-- and that names the last number that was given out before. So whoever reads the locks knows a
-- number up to which no transaction under way has any. The lock is a number of 64 bits: ours above,
-- and below it the lower half of that number.
-- +goose StatementBegin
CREATE FUNCTION clientes_register_changes() RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	last bigint;
BEGIN
	IF coalesce(current_setting('clientes.changes', true), '') = '' THEN
		-- Named with its schema: a program that loads data may search in none.
		last := coalesce(pg_sequence_last_value(
			format('%I.cliente_history_seq', TG_TABLE_SCHEMA)::regclass), 0);
		PERFORM pg_advisory_xact_lock_shared((1668049253::bigint << 32) | (last & 4294967295)),
			set_config('clientes.changes', 'registered', true); -- until the transaction ends
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER cliente_history_register
BEFORE INSERT ON cliente_history
FOR EACH STATEMENT EXECUTE FUNCTION clientes_register_changes();

-- +goose Down
DROP TRIGGER cliente_history_register ON cliente_history;
DROP FUNCTION clientes_register_changes();
ALTER TABLE identity DROP COLUMN order_began;
ALTER TABLE identity DROP COLUMN last_unordered;
DROP INDEX cliente_history_order;
ALTER TABLE cliente_history DROP COLUMN seq;
