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
func (s *Store) CreateCliente(ctx context.Context, c store.Cliente) (store.Cliente, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Cliente, error) {
		c.Version = 1
		c.CreatedAt = store.Instant(s.now())
		c.UpdatedAt = c.CreatedAt
		id, err := one(ctx, conn, toID, `
			INSERT INTO clientes (name, email, email_key, phone, company, address, notes,
				version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			RETURNING id`,
			c.Name, c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes,
			c.Version, c.CreatedAt, c.UpdatedAt)
		if err != nil {
			return store.Cliente{}, fmt.Errorf("insert cliente: %w", err)
		}
		c.ID = id
		return c, nil
	})
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

// Clientes keeps the promise of store.Clientes.
func (s *Store) Clientes(ctx context.Context, after int64, limit int) ([]store.Cliente, error) {
	limit = max(limit, 0) // a negative one is an error to Postgres
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]store.Cliente, error) {
		page := make([]store.Cliente, 0, min(limit, usualPage))
		page, err := list(ctx, conn, page, toCliente, `
			SELECT `+clienteColumns+`
			FROM clientes
			WHERE id > $1
			ORDER BY id
			LIMIT $2`,
			after, limit)
		if err != nil {
			return nil, fmt.Errorf("list clientes after %d: %w", after, err)
		}
		return page, nil
	})
}

// UpdateCliente keeps the promise of store.Clientes. It takes two trips to the server.
func (s *Store) UpdateCliente(ctx context.Context, id int64,
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
		c.UpdatedAt = later(old.UpdatedAt, s.now())
		write := new(pgx.Batch)
		write.Queue(`
			UPDATE clientes
			SET name = $1, email = $2, email_key = $3, phone = $4, company = $5, address = $6, notes = $7,
				version = $8, updated_at = $9
			WHERE id = $10`,
			c.Name, c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes,
			c.Version, c.UpdatedAt,
			c.ID)
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return store.Cliente{}, fmt.Errorf("update cliente %d: %w", id, err)
		}
		return c, nil
	})
}

// DeleteCliente keeps the promise of store.Clientes.
func (s *Store) DeleteCliente(ctx context.Context, id int64, check func(store.Cliente) error) error {
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

func toID(id *int64) []any { return []any{id} }
