package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// clienteColumns are in the order of scanCliente.
const clienteColumns = `id, name, email, phone, company, address, notes, version, created_at, updated_at`

func scanCliente(stmt *sqlite.Stmt) store.Cliente {
	return store.Cliente{
		ID:        stmt.ColumnInt64(0),
		Name:      stmt.ColumnText(1),
		Email:     stmt.ColumnText(2),
		Phone:     stmt.ColumnText(3),
		Company:   stmt.ColumnText(4),
		Address:   stmt.ColumnText(5),
		Notes:     stmt.ColumnText(6),
		Version:   stmt.ColumnInt64(7),
		CreatedAt: instant(stmt, 8),
		UpdatedAt: instant(stmt, 9),
	}
}

// CreateCliente keeps the promise of store.Clientes.
func (s *Store) CreateCliente(ctx context.Context, c store.Cliente) (store.Cliente, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		c.Version = 1
		c.CreatedAt = store.Instant(s.now())
		c.UpdatedAt = c.CreatedAt
		err := exec(conn, `
			INSERT INTO clientes (name, email, email_key, phone, company, address, notes,
				version, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.Name, c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes,
			c.Version, c.CreatedAt, c.UpdatedAt)
		switch {
		case isConflict(err):
			return store.Cliente{}, &store.ConflictError{Field: "email"}
		case err != nil:
			return store.Cliente{}, fmt.Errorf("insert cliente: %w", err)
		}
		c.ID = conn.LastInsertRowID()
		return c, nil
	})
}

// Cliente keeps the promise of store.Clientes.
func (s *Store) Cliente(ctx context.Context, id int64) (store.Cliente, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		return clienteByID(conn, id)
	})
}

// Clientes keeps the promise of store.Clientes.
func (s *Store) Clientes(ctx context.Context, after int64, limit int) ([]store.Cliente, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	return read(ctx, s, func(conn *sqlite.Conn) ([]store.Cliente, error) {
		page := make([]store.Cliente, 0, min(limit, usualPage))
		page, err := list(ctx, conn, page, scanCliente, `
			SELECT `+clienteColumns+`
			FROM clientes
			WHERE id > ?
			ORDER BY id
			LIMIT +?`,
			after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("list clientes after %d: %w", after, err)
		}
		return page, nil
	})
}

// UpdateCliente keeps the promise of store.Clientes.
func (s *Store) UpdateCliente(ctx context.Context, id int64,
	change func(store.Cliente) (store.Cliente, error)) (store.Cliente, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		old, err := clienteByID(conn, id)
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
		err = exec(conn, `
			UPDATE clientes
			SET name = ?, email = ?, email_key = ?, phone = ?, company = ?, address = ?, notes = ?,
				version = ?, updated_at = ?
			WHERE id = ?`,
			c.Name, c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes,
			c.Version, c.UpdatedAt,
			c.ID)
		switch {
		case isConflict(err):
			return store.Cliente{}, &store.ConflictError{Field: "email"}
		case err != nil:
			return store.Cliente{}, fmt.Errorf("update cliente %d: %w", id, err)
		}
		return c, nil
	})
}

// DeleteCliente keeps the promise of store.Clientes.
func (s *Store) DeleteCliente(ctx context.Context, id int64, check func(store.Cliente) error) error {
	_, err := write(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		c, err := clienteByID(conn, id)
		if err != nil {
			return struct{}{}, err
		}
		if err := check(c); err != nil {
			return struct{}{}, err
		}
		if err := exec(conn, `DELETE FROM clientes WHERE id = ?`, id); err != nil {
			return struct{}{}, fmt.Errorf("delete cliente %d: %w", id, err)
		}
		return struct{}{}, nil
	})
	return err
}

func clienteByID(conn *sqlite.Conn, id int64) (store.Cliente, error) {
	c, err := one(conn, scanCliente, `
		SELECT `+clienteColumns+`
		FROM clientes
		WHERE id = ?`,
		id)
	if err != nil {
		return store.Cliente{}, fmt.Errorf("read cliente %d: %w", id, err)
	}
	return c, nil
}
