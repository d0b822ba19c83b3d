-- +goose Up

-- Additive: no older program reads the column or calls the function.

-- The number of the last breaking migration, 0 if there was none. A program that does not know it
-- must not write. How a migration raises it: see store/README.md.
ALTER TABLE identity ADD COLUMN required_version bigint NOT NULL DEFAULT 0;

-- The first statement of every transaction that writes. known is the last migration that the
-- program knows. The lock is shared by all who write. A breaking migration takes it alone, so
-- nobody who was checked before the migration writes after it. The function must stay VOLATILE, so
-- that its second statement sees what the holder of the lock has committed.
-- +goose StatementBegin
CREATE FUNCTION clientes_check_schema(known bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	required bigint;
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1668049253, 10);
	SELECT max(required_version) INTO required FROM identity;
	IF required > known THEN
		RAISE EXCEPTION 'a newer program has changed the database'
		USING ERRCODE = 'ZS001', DETAIL = required::text;
	END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION clientes_check_schema(bigint);
ALTER TABLE identity DROP COLUMN required_version;
