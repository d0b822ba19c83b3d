-- +goose Up

-- Columns that Go folds, because SQLite itself folds only ASCII. 00007_fold_clientes.go fills them
-- for the existing records.
ALTER TABLE clientes ADD COLUMN name_key TEXT NOT NULL DEFAULT ''; -- what names are ordered by
ALTER TABLE clientes ADD COLUMN search   TEXT NOT NULL DEFAULT ''; -- what a search looks through

-- +goose Down
ALTER TABLE clientes DROP COLUMN search;
ALTER TABLE clientes DROP COLUMN name_key;
