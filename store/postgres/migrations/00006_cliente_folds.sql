-- +goose Up

-- What Go folds of a record, as it does for the other engine. 00007_fold_clientes.go fills them in for the records that are
-- there. Names are ordered byte by byte.
ALTER TABLE clientes ADD COLUMN name_key text NOT NULL COLLATE "C" DEFAULT ''; -- what names are ordered by
ALTER TABLE clientes ADD COLUMN search   text NOT NULL DEFAULT '';             -- what is looked through for a text

-- +goose Down
ALTER TABLE clientes DROP COLUMN search;
ALTER TABLE clientes DROP COLUMN name_key;
