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
func (s *Store) CreateCliente(ctx context.Context, by int64, c store.Cliente) (store.Cliente, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		return s.insertCliente(conn, by, c)
	})
}

// insertCliente keeps a new record and the beginning of its history.
func (s *Store) insertCliente(conn *sqlite.Conn, by int64, c store.Cliente) (store.Cliente, error) {
	c.Version = 1
	c.CreatedAt = store.Instant(s.now())
	c.UpdatedAt = c.CreatedAt
	err := exec(conn, `
		INSERT INTO clientes (name, name_key, email, email_key, phone, company, address, notes, search,
			version, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Name, store.SortKey(c.Name), c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes, c.SearchText(),
		c.Version, c.CreatedAt, c.UpdatedAt)
	switch {
	case isConflict(err):
		return store.Cliente{}, &store.ConflictError{Field: "email"}
	case err != nil:
		return store.Cliente{}, fmt.Errorf("insert cliente: %w", err)
	}
	c.ID = conn.LastInsertRowID()
	return c, keepChange(conn, c.ID, store.Change{Version: c.Version, Action: store.Created, UserID: by, At: c.CreatedAt, Record: c})
}

// Cliente keeps the promise of store.Clientes.
func (s *Store) Cliente(ctx context.Context, id int64) (store.Cliente, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		return clienteByID(conn, id)
	})
}

// UpdateCliente keeps the promise of store.Clientes.
func (s *Store) UpdateCliente(ctx context.Context, by, id int64,
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
		c.UpdatedAt = store.Later(old.UpdatedAt, s.now())
		err = exec(conn, `
			UPDATE clientes
			SET name = ?, name_key = ?, email = ?, email_key = ?, phone = ?, company = ?, address = ?, notes = ?, search = ?,
				version = ?, updated_at = ?
			WHERE id = ?`,
			c.Name, store.SortKey(c.Name), c.Email, store.EmailKey(c.Email), c.Phone, c.Company, c.Address, c.Notes, c.SearchText(),
			c.Version, c.UpdatedAt,
			c.ID)
		switch {
		case isConflict(err):
			return store.Cliente{}, &store.ConflictError{Field: "email"}
		case err != nil:
			return store.Cliente{}, fmt.Errorf("update cliente %d: %w", id, err)
		}
		return c, keepChange(conn, id, store.Change{Version: c.Version, Action: store.Updated, UserID: by, At: c.UpdatedAt, Record: c})
	})
}

// DeleteCliente keeps the promise of store.Clientes.
func (s *Store) DeleteCliente(ctx context.Context, by, id int64, check func(store.Cliente) error) error {
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
		return struct{}{}, keepChange(conn, id, store.Change{
			Version: c.Version + 1, Action: store.Deleted, UserID: by, At: store.Later(c.UpdatedAt, s.now()), Record: c,
		})
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
