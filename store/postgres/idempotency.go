package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

var createClienteOnce = insertCliente(4, `
	UPDATE idempotency_keys
	SET cliente_id = made.id
	FROM made
	WHERE user_id = $1::bigint AND key = $3
	RETURNING cliente_id`)

// CreateClienteOnce implements [store.Clientes]. It takes the key first. A second call with the key
// waits until the first one has committed or rolled back: for one of this process in
// [Store.take], for others at the unique index.
func (s *Store) CreateClienteOnce(ctx context.Context, by int64, c store.Cliente,
	key string) (store.Cliente, bool, error) {
	unlock, err := s.take(ctx, &s.taking.keys, strconv.FormatInt(by, 10)+" "+key)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return store.Cliente{}, false, store.ErrKeyInProgress
	case err != nil:
		return store.Cliente{}, false, err
	}
	defer unlock()
	replayed := false
	// The time includes the wait for the first call.
	c, err = callFor(ctx, s, store.First, 2*s.timeout,
		func(ctx context.Context, conn *pgx.Conn) (store.Cliente, error) {
			replayed = false
			took, err := s.takeKey(ctx, conn, by, key, c.Fingerprint())
			if err != nil {
				return store.Cliente{}, err
			}
			if !took {
				replayed = true
				return answered(ctx, conn, by, key, c.Fingerprint())
			}
			c := s.newCliente(c)
			write := new(pgx.Batch)
			write.Queue(createClienteOnce, rowArgs([]any{by, c.CreatedAt, key}, c)...).
				QueryRow(func(row pgx.Row) error { return row.Scan(&c.ID) })
			write.Queue("COMMIT")
			if err := send(ctx, conn, write); err != nil {
				return store.Cliente{}, fmt.Errorf("insert cliente: %w", err)
			}
			return c, nil
		})
	return c, replayed && err == nil, err
}

// takeKey begins a transaction and takes the key in it. It reports false if the key stands for a
// record already.
func (s *Store) takeKey(ctx context.Context, conn *pgx.Conn, by int64, key, fingerprint string) (
	took bool, err error) {
	take := begin()
	take.Queue(fmt.Sprintf("SET LOCAL lock_timeout = %d", s.timeout.Milliseconds()))
	// If the key stands for a record, DO UPDATE alters nothing, but locks the row: DO NOTHING would
	// let somebody remove it before it is read.
	take.Queue(`
		INSERT INTO idempotency_keys (user_id, key, fingerprint, cliente_id, used_at)
		VALUES ($1, $2, $3, 0, $4)
		ON CONFLICT (user_id, key) DO UPDATE
		SET used_at = excluded.used_at
		WHERE false`,
		by, key, fingerprint, store.Instant(s.now())).Exec(func(tag pgconn.CommandTag) error {
		took = tag.RowsAffected() == 1
		return nil
	})
	if err := send(ctx, conn, take); err != nil {
		if isLockTimeout(err) {
			err = store.ErrKeyInProgress
		}
		return false, fmt.Errorf("take idempotency key: %w", err)
	}
	return took, nil
}

var selectAnswered = `
	SELECT fingerprint, h.*
	FROM idempotency_keys k
	JOIN (
		SELECT ` + changeColumns + `
		FROM cliente_history
	) h ON h.cliente_id = k.cliente_id AND h.version = 1
	WHERE k.user_id = $1 AND k.key = $2`

// answered returns the record that a key stands for as it was created, whatever became of it.
func answered(ctx context.Context, conn *pgx.Conn, by int64, key,
	fingerprint string) (store.Cliente, error) {
	type use struct {
		fingerprint string
		store.Change
	}
	first, err := one(ctx, conn,
		func(u *use) []any { return append([]any{&u.fingerprint}, toChange(&u.Change)...) },
		selectAnswered, by, key)
	switch {
	case err != nil:
		return store.Cliente{}, fmt.Errorf("look for idempotency key: %w", err)
	case first.fingerprint != fingerprint:
		return store.Cliente{}, store.ErrKeyReused
	}
	return first.Record, nil
}

// DeleteIdempotencyKeys implements [store.Clientes]. It skips rows that another process has locked.
func (s *Store) DeleteIdempotencyKeys(ctx context.Context, before time.Time,
	limit int) (int, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		removed, err := change(ctx, conn, `
			DELETE FROM idempotency_keys
			WHERE (user_id, key) IN (
				SELECT user_id, key
				FROM idempotency_keys
				WHERE used_at < $1
				ORDER BY used_at
				LIMIT $2
				FOR UPDATE SKIP LOCKED)`,
			store.Instant(before), max(limit, 0))
		if err != nil {
			return 0, fmt.Errorf("delete idempotency keys: %w", err)
		}
		return int(removed), nil
	})
}
