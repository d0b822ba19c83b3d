package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// CreateClienteOnce implements [store.Clientes]. Because there is one writer, no two calls with the
// same key are ever at work at once.
func (s *Store) CreateClienteOnce(ctx context.Context, by int64, c store.Cliente,
	key string) (store.Cliente, bool, error) {
	replayed := false
	c, err := write(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		type use struct {
			fingerprint string
			clienteID   int64
		}
		before, err := one(conn,
			func(stmt *sqlite.Stmt) use { return use{stmt.ColumnText(0), stmt.ColumnInt64(1)} }, `
			SELECT fingerprint, cliente_id
			FROM idempotency_keys
			WHERE user_id = ? AND key = ?`,
			by, key)
		switch {
		case err == nil && before.fingerprint != c.Fingerprint():
			return store.Cliente{}, store.ErrKeyReused
		case err == nil:
			replayed = true
			return createdCliente(conn, before.clienteID)
		case !errors.Is(err, store.ErrNotFound):
			return store.Cliente{}, fmt.Errorf("look for idempotency key: %w", err)
		}
		made, err := s.insertCliente(conn, by, c)
		if err != nil {
			return store.Cliente{}, err
		}
		err = exec(conn, `
			INSERT INTO idempotency_keys (user_id, key, fingerprint, cliente_id, used_at)
			VALUES (?, ?, ?, ?, ?)`,
			by, key, c.Fingerprint(), made.ID, store.Instant(s.now()))
		if err != nil {
			return store.Cliente{}, fmt.Errorf("keep idempotency key: %w", err)
		}
		return made, nil
	})
	return c, replayed && err == nil, err
}

var selectCreated = `
	SELECT ` + changeColumns + `
	FROM cliente_history
	WHERE cliente_id = ? AND version = 1`

// createdCliente returns a record as it was created, whatever became of it.
func createdCliente(conn *sqlite.Conn, id int64) (store.Cliente, error) {
	change, err := one(conn, scanChange, selectCreated, id)
	if err != nil {
		return store.Cliente{}, fmt.Errorf("read how cliente %d was made: %w", id, err)
	}
	return change.Record, nil
}

// DeleteIdempotencyKeys implements [store.Clientes].
func (s *Store) DeleteIdempotencyKeys(ctx context.Context, before time.Time,
	limit int) (int, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (int, error) {
		err := exec(conn, `
			DELETE FROM idempotency_keys
			WHERE (user_id, key) IN (
				SELECT user_id, key
				FROM idempotency_keys
				WHERE used_at < ?
				ORDER BY used_at
				LIMIT ?)`,
			store.Instant(before), int64(max(limit, 0)))
		if err != nil {
			return 0, fmt.Errorf("delete idempotency keys: %w", err)
		}
		return conn.Changes(), nil
	})
}
