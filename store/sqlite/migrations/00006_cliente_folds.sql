-- +goose Up

-- What Go folds of a record, because SQLite itself folds ASCII alone. 00007_fold_clientes.go fills them in for the records
-- that are there.
ALTER TABLE clientes ADD COLUMN name_key TEXT NOT NULL DEFAULT ''; -- what names are ordered by
ALTER TABLE clientes ADD COLUMN search   TEXT NOT NULL DEFAULT ''; -- what is looked through for a text

-- +goose Down
ALTER TABLE clientes DROP COLUMN search;
ALTER TABLE clientes DROP COLUMN name_key;
