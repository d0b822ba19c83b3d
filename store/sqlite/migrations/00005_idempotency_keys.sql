-- +goose Up

-- The creates that a client may repeat. The answer is version 1 in the history.
CREATE TABLE idempotency_keys (
	user_id     INTEGER NOT NULL,
	key         TEXT    NOT NULL,
	fingerprint TEXT    NOT NULL, -- of the record in the request
	cliente_id  INTEGER NOT NULL,
	used_at     INTEGER NOT NULL,
	PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

-- For removing keys that are a day old.
CREATE INDEX idempotency_keys_used_at ON idempotency_keys (used_at);

-- +goose Down
DROP TABLE idempotency_keys;
