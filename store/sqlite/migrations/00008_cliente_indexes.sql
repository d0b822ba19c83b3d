-- +goose Up

-- One index for each order of a list. Each ends in the id, as every index of SQLite does.
CREATE INDEX clientes_name_key ON clientes (name_key);
CREATE INDEX clientes_created_at ON clientes (created_at);
CREATE INDEX clientes_updated_at ON clientes (updated_at);

-- For substrings. The text stays in clientes; the index holds the positions of all sequences of
-- three characters. Case is already folded.
CREATE VIRTUAL TABLE clientes_search USING fts5(
	search,
	content = 'clientes',
	content_rowid = 'id',
	tokenize = 'trigram case_sensitive 1',
	columnsize = 0
);

INSERT INTO clientes_search (clientes_search) VALUES ('rebuild');

-- +goose StatementBegin
CREATE TRIGGER clientes_search_insert AFTER INSERT ON clientes BEGIN
	INSERT INTO clientes_search (rowid, search) VALUES (new.id, new.search);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER clientes_search_delete AFTER DELETE ON clientes BEGIN
	INSERT INTO clientes_search (clientes_search, rowid, search) VALUES ('delete', old.id, old.search);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER clientes_search_update AFTER UPDATE OF search ON clientes WHEN old.search <> new.search BEGIN
	INSERT INTO clientes_search (clientes_search, rowid, search) VALUES ('delete', old.id, old.search);
	INSERT INTO clientes_search (rowid, search) VALUES (new.id, new.search);
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER clientes_search_update;
DROP TRIGGER clientes_search_delete;
DROP TRIGGER clientes_search_insert;
DROP TABLE clientes_search;
DROP INDEX clientes_updated_at;
DROP INDEX clientes_created_at;
DROP INDEX clientes_name_key;
