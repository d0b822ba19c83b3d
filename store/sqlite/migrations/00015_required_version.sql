-- +goose Up

-- Additive: no older program reads the column.

-- The number of the last breaking migration, 0 if there was none. A program that does not know it
-- must not write. How a migration raises it: see store/README.md.
ALTER TABLE identity ADD COLUMN required_version INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE identity DROP COLUMN required_version;
