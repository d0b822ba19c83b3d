-- +goose Up

-- Additive: older programs do not know the table.

-- What servers write to see whether they can write, each into a row that no other one holds.
-- Nothing else uses it.
CREATE TABLE probe (
	id bigint      PRIMARY KEY,
	at timestamptz NOT NULL
) WITH (fillfactor = 50); -- room for what an update leaves behind until the next one clears it

INSERT INTO probe (id, at)
SELECT id, now()
FROM generate_series(1, 16) AS id;

-- +goose Down
DROP TABLE probe;
