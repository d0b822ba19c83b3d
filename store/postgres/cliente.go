package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// clienteColumns are in the order of toCliente.
const clienteColumns = `id, name, email, phone, company, address, notes, version, created_at, updated_at`

func toCliente(c *store.Cliente) []any {
	return []any{&c.ID, &c.Name, &c.Email, &c.Phone, &c.Company, &c.Address, &c.Notes,
		&c.Version, &c.CreatedAt, &c.UpdatedAt}
}

// CreateCliente keeps the promise of store.Clientes.
func (s *Store) CreateCliente(ctx context.Context, by int64, c store.Cliente) (store.Cliente, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Cliente, error) {
		c, insert, args := s.newCliente(by, c)
		id, err := one(ctx, conn, toInteger, insert+`
			SELECT id
			FROM made`,
			args...)
		if err != nil {
			return store.Cliente{}, fmt.Errorf("insert cliente: %w", err)
		}
		c.ID = id
		return c, nil
	})
}

// newCliente gives the record as it will be, but for its id, and the beginning of a statement that keeps it and the
// beginning of its history, in which made is the new row. The statement takes 12 arguments.
func (s *Store) newCliente(by int64, c store.Cliente) (store.Cliente, string, []any) {
	c.Version = 1
	c.CreatedAt = store.Instant(s.now())
	c.UpdatedAt = c.CreatedAt
	insert := `
		WITH made AS (
			INSERT INTO clientes (name, name_key, email, email_key, phone, company, address, notes, search,
				version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
			RETURNING id, version, name, email, phone, company, address, notes, created_at, updated_at
		), kept AS (
			INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
				name, email, phone, company, address, notes, created_at, updated_at)
			SELECT id, version, 'created', $12::bigint, coalesce((SELECT name FROM users WHERE id = $12::bigint), ''), created_at,
				name, email, phone, company, address, notes, created_at, updated_at
			FROM made
		)`
	return c, insert, []any{
		c.Name, store.SortKey(c.Name), c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes, c.SearchText(),
		c.Version, c.CreatedAt, by,
	}
}

// Cliente keeps the promise of store.Clientes.
func (s *Store) Cliente(ctx context.Context, id int64) (store.Cliente, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Cliente, error) {
		c, err := one(ctx, conn, toCliente, `
			SELECT `+clienteColumns+`
			FROM clientes
			WHERE id = $1`,
			id)
		if err != nil {
			return store.Cliente{}, fmt.Errorf("read cliente %d: %w", id, err)
		}
		return c, nil
	})
}

// UpdateCliente keeps the promise of store.Clientes. It takes two trips to the server.
func (s *Store) UpdateCliente(ctx context.Context, by, id int64,
	change func(store.Cliente) (store.Cliente, error)) (store.Cliente, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Cliente, error) {
		old, err := lockCliente(ctx, conn, id)
		if err != nil {
			return store.Cliente{}, err
		}
		c, err := change(old)
		if err != nil {
			return store.Cliente{}, err
		}
		if c.SameText(old) {
			return old, nil
		}
		c.ID = old.ID
		c.Version = old.Version + 1
		c.CreatedAt = old.CreatedAt
		c.UpdatedAt = store.Later(old.UpdatedAt, s.now())
		write := new(pgx.Batch)
		write.Queue(`
			UPDATE clientes
			SET name = $1, name_key = $2, email = $3, email_key = $4, phone = $5, company = $6, address = $7, notes = $8,
				search = $9, version = $10, updated_at = $11
			WHERE id = $12`,
			c.Name, store.SortKey(c.Name), c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes,
			c.SearchText(), c.Version, c.UpdatedAt,
			c.ID)
		queueChange(write, id, store.Change{Version: c.Version, Action: store.Updated, UserID: by, At: c.UpdatedAt, Record: c})
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return store.Cliente{}, fmt.Errorf("update cliente %d: %w", id, err)
		}
		return c, nil
	})
}

// DeleteCliente keeps the promise of store.Clientes.
func (s *Store) DeleteCliente(ctx context.Context, by, id int64, check func(store.Cliente) error) error {
	_, err := call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		c, err := lockCliente(ctx, conn, id)
		if err != nil {
			return struct{}{}, err
		}
		if err := check(c); err != nil {
			return struct{}{}, err
		}
		write := new(pgx.Batch)
		write.Queue(`DELETE FROM clientes WHERE id = $1`, id)
		queueChange(write, id, store.Change{
			Version: c.Version + 1, Action: store.Deleted, UserID: by, At: store.Later(c.UpdatedAt, s.now()), Record: c,
		})
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return struct{}{}, fmt.Errorf("delete cliente %d: %w", id, err)
		}
		return struct{}{}, nil
	})
	return err
}

// lockCliente begins a transaction in which nobody else changes the record, and reads it.
func lockCliente(ctx context.Context, conn *pgx.Conn, id int64) (c store.Cliente, err error) {
	b := begin()
	b.Queue(`
		SELECT `+clienteColumns+`
		FROM clientes
		WHERE id = $1
		FOR UPDATE`,
		id).QueryRow(func(row pgx.Row) error { return row.Scan(toCliente(&c)...) })
	if err := send(ctx, conn, b); err != nil {
		return store.Cliente{}, fmt.Errorf("lock cliente %d: %w", id, err)
	}
	return c, nil
}
