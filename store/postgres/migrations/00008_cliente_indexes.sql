-- +goose Up

-- One index for each order of a list.
CREATE INDEX clientes_name_key ON clientes (name_key, id);
CREATE INDEX clientes_created_at ON clientes (created_at, id);
CREATE INDEX clientes_updated_at ON clientes (updated_at, id);

-- For substrings: pg_trgm, in whatever schema it is, or else where we may create it. Without it a
-- search reads all records. If the extension comes later, the index must be created by hand: see
-- the README.
-- +goose StatementBegin
DO $$
DECLARE
	place text;
BEGIN
	BEGIN
		CREATE EXTENSION IF NOT EXISTS pg_trgm;
	EXCEPTION
		WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
			NULL; -- no right to create it, or the server has none
	END;
	SELECT nspname
	INTO place
	FROM pg_extension
	JOIN pg_namespace ON pg_namespace.oid = extnamespace
	WHERE extname = 'pg_trgm';
	IF place IS NOT NULL THEN
		EXECUTE format('CREATE INDEX clientes_search ON clientes USING gin (search %I.gin_trgm_ops)', place);
	END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP INDEX IF EXISTS clientes_search;
DROP INDEX clientes_updated_at;
DROP INDEX clientes_created_at;
DROP INDEX clientes_name_key;
