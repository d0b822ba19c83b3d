-- +goose Up

-- Additive: older programs write no such change, and read one as 'updated', which they know.

-- Whether the change brought back the text of an earlier version, and the record if it was deleted.
-- Its action is 'updated'.
ALTER TABLE cliente_history ADD COLUMN restored boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE cliente_history DROP COLUMN restored;
