-- +goose Up

-- Columns that Go folds, as it does for the other engine. 00007_fold_clientes.go fills them for the
-- existing records. Names are ordered byte by byte.

-- What names are ordered by.
ALTER TABLE clientes ADD COLUMN name_key text NOT NULL COLLATE "C" DEFAULT '';
-- What a search looks through.
ALTER TABLE clientes ADD COLUMN search   text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE clientes DROP COLUMN search;
ALTER TABLE clientes DROP COLUMN name_key;
